//! Version 2 of the scoring plugin: another formula, and one more export. It can take version 1's place.

use ampoule_example_records::{Record, Score, Summary};
use ampoule_example_scoring::{climate, formula};

#[ampoule_guest::export]
fn score(record: Record) -> Result<Score, String> {
    ampoule_example_scoring::score(&record, climate(), formula::second)
}

#[ampoule_guest::export]
fn summarise(batch: Vec<Record>) -> Summary {
    ampoule_example_scoring::summarise(&batch, climate(), formula::second)
}

/// New in this version: says where the points come from.
#[ampoule_guest::export]
fn explain(record: Record) -> Option<String> {
    let normal = climate().normal(&record.station)?;
    let away = record.temperature - normal.temperature;
    Some(format!("{away:+.1} °C from the usual {:.1} °C, wind {:.1} m/s", normal.temperature, record.wind))
}

fn main() {
    ampoule_guest::serve()
}
