//! A plugin in Rust: how unusual is an observation?
//!
//! The plugin's versions are the binaries of this package, each a page of exports over what is here. Here are ordinary functions, so
//! they are tested like any other code: `cargo test -p ampoule-example-scoring` needs no virtual machine.

pub mod formula;

use std::sync::OnceLock;

use ampoule_example_records::climate::Climate;
use ampoule_example_records::{CLIMATE, Level, PROGRESS, Record, Score, Summary};

use crate::formula::Formula;

ampoule_guest::import! {
    /// The host's directory: what a station is called.
    pub fn lookup(key: &str) -> Option<String>;
}

/// Records between two events.
const STEP: usize = 100;

/// The climate table that the host shares; without a host, or if it shares none, a table without stations.
///
/// Finding a region is a call of the host, and it stays where it is: so it is found once.
#[must_use]
pub fn climate() -> Climate<'static> {
    static TABLE: OnceLock<Climate<'static>> = OnceLock::new();
    *TABLE.get_or_init(|| ampoule_guest::region(CLIMATE).map(Climate::new).unwrap_or_default())
}

/// Scores one record.
///
/// # Errors
/// What is missing, if the climate table does not have the station.
pub fn score(record: &Record, climate: Climate<'_>, formula: Formula) -> Result<Score, String> {
    let normal =
        climate.normal(&record.station).ok_or_else(|| format!("no climate is known for station {}", record.station))?;
    let points = formula(record, &normal);
    let place = lookup(&record.station).unwrap_or_else(|| record.station.clone());
    Ok(Score { points, level: Level::of(points), place })
}

/// Scores many records, and posts an event from time to time. It asks the host for nothing, so there is no exit on the way.
///
/// # Panics
/// If there are no records: the highest of none is nothing.
#[must_use]
pub fn summarise(batch: &[Record], climate: Climate<'_>, formula: Formula) -> Summary {
    assert!(!batch.is_empty(), "a batch without records has no summary");
    let mut summary = Summary::default();
    let mut done = 0;
    for step in batch.chunks(STEP) {
        for record in step {
            match climate.normal(&record.station) {
                None => summary.unknown += 1,
                Some(normal) => {
                    let points = formula(record, &normal);
                    summary.scored += 1;
                    summary.total += points;
                    summary.highest = summary.highest.max(points);
                }
            }
        }
        done += step.len();
        ampoule_guest::event(PROGRESS, done as u64);
    }
    summary
}

#[cfg(test)]
mod tests {
    use ampoule_example_records::climate::{Normal, encode};

    use super::*;

    fn table() -> Vec<u8> {
        encode([("EDDF", Normal { temperature: 10.0, deviation: 5.0 })])
    }

    fn record(station: &str, temperature: f64) -> Record {
        let (station, time) = (station.to_owned(), "2024-01-01T00:00Z".to_owned());
        Record { station, time, temperature, wind: 10.0, pressure: 1013.0, humidity: 60 }
    }

    #[test]
    fn a_score_has_the_name_that_the_host_knows() {
        let _mock = lookup::mock(|key| (key == "EDDF").then(|| "Frankfurt".to_owned()));
        let score = score(&record("EDDF", 20.0), Climate::new(&table()), formula::first).unwrap();
        assert_eq!(score, Score { points: 3.0, level: Level::Notable, place: "Frankfurt".to_owned() });
    }

    #[test]
    fn a_station_that_the_host_does_not_know_is_called_by_its_code() {
        let _mock = lookup::mock(|_| None);
        assert_eq!(score(&record("EDDF", 10.0), Climate::new(&table()), formula::first).unwrap().place, "EDDF");
    }

    #[test]
    fn a_station_without_a_climate_has_no_score_and_is_not_asked_for() {
        let _mock = lookup::mock(|key| panic!("{key} was asked for"));
        let refused = score(&record("XXXX", 20.0), Climate::new(&table()), formula::first);
        assert_eq!(refused, Err("no climate is known for station XXXX".to_owned()));
    }

    #[test]
    fn a_summary_is_that_of_its_records() {
        let batch = [record("EDDF", 20.0), record("XXXX", 0.0), record("EDDF", 10.0)];
        let summary = summarise(&batch, Climate::new(&table()), formula::first);
        assert_eq!(summary, Summary { scored: 2, unknown: 1, total: 4.0, highest: 3.0 });
    }

    #[test]
    #[should_panic(expected = "a batch without records has no summary")]
    fn a_batch_without_records_is_the_callers_mistake() {
        let _ = summarise(&[], Climate::default(), formula::first);
    }

    #[test]
    fn without_a_host_there_is_no_climate() {
        assert_eq!(climate().normal("EDDF"), None);
    }
}
