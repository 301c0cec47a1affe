//! Version 3 of the scoring plugin. It cannot take an older one's place: `score` wants to know from how many points on a record is severe, and
//! `summarise` is gone. A host that was built for version 1 has to refuse it.

use ampoule_example_records::{Level, Record, Score};
use ampoule_example_scoring::{climate, formula};

#[ampoule_guest::export]
fn score(record: Record, severe: f64) -> Result<Score, String> {
    let mut score = ampoule_example_scoring::score(&record, climate(), formula::second)?;
    if score.points >= severe {
        score.level = Level::Severe;
    }
    Ok(score)
}

fn main() {
    ampoule_guest::serve()
}
