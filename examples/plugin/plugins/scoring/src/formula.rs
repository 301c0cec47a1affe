//! The formulas: how many points a record has.

use ampoule_example_records::Record;
use ampoule_example_records::climate::Normal;

/// Points of a record, given what is usual at its station.
pub type Formula = fn(&Record, &Normal) -> f64;

/// Temperature and wind.
#[must_use]
pub fn first(record: &Record, normal: &Normal) -> f64 {
    (record.temperature - normal.temperature).abs() / normal.deviation + record.wind / 10.0
}

/// Temperature and wind, and a point for every ten hectopascals below a thousand.
#[must_use]
pub fn second(record: &Record, normal: &Normal) -> f64 {
    first(record, normal) + (1000.0 - record.pressure).max(0.0) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_pressure_counts_in_the_second_formula_only() {
        let normal = Normal { temperature: 10.0, deviation: 5.0 };
        let (station, time) = ("EDDF".to_owned(), String::new());
        let storm = Record { station, time, temperature: 0.0, wind: 25.0, pressure: 970.0, humidity: 90 };
        assert_eq!((first(&storm, &normal), second(&storm, &normal)), (4.5, 7.5));
        let calm = Record { pressure: 1020.0, ..storm };
        assert_eq!(first(&calm, &normal), second(&calm, &normal));
    }
}
