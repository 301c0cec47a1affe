//! Version 1 of the scoring plugin.

use ampoule_example_records::{Record, Score, Summary};
use ampoule_example_scoring::{climate, formula};

#[ampoule_guest::export]
fn score(record: Record) -> Result<Score, String> {
    ampoule_example_scoring::score(&record, climate(), formula::first)
}

#[ampoule_guest::export]
fn summarise(batch: Vec<Record>) -> Summary {
    ampoule_example_scoring::summarise(&batch, climate(), formula::first)
}

fn main() {
    ampoule_guest::serve()
}
