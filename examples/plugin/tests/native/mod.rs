//! What the plugins do, in plain Rust: no sandbox, no SDK, none of their code.

use std::collections::HashMap;

#[expect(dead_code, reason = "only the table of stations is used here")]
#[path = "../../src/stations.rs"]
mod stations;

/// What the job has to come to.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Lines that are no records.
    pub(crate) refused: u64,
    /// Records of stations that nobody knows.
    pub(crate) unknown: u64,
    /// Ordinary, notable, severe.
    pub(crate) levels: [u64; 3],
    pub(crate) total: f64,
    pub(crate) highest: f64,
}

/// Scores a file with a heading.
pub(crate) fn score(file: &str) -> Expected {
    let normals: HashMap<_, _> = stations::STATIONS.iter().map(|station| (station.code, station.normal)).collect();
    let mut expected = Expected::default();
    for line in file.lines().skip(1) {
        let Some((station, temperature, wind)) = parse(line) else {
            expected.refused += 1;
            continue;
        };
        let Some(normal) = normals.get(station.as_str()) else {
            expected.unknown += 1;
            continue;
        };
        let points = (temperature - normal.temperature).abs() / normal.deviation + wind / 10.0;
        let level = if points < 2.5 { 0 } else { 1 + usize::from(points >= 4.0) };
        expected.levels[level] += 1;
        expected.total += points;
        expected.highest = expected.highest.max(points);
    }
    expected
}

/// What the first formula needs of a line.
fn parse(line: &str) -> Option<(String, f64, f64)> {
    let fields: Vec<_> = line.split(',').map(str::trim).collect();
    let [station, _, temperature, wind, pressure, humidity] = fields[..] else { return None };
    let celsius = match number(temperature)? {
        (value, "F") => (value - 32.0) * 5.0 / 9.0,
        (value, "C" | "") => value,
        _ => return None,
    };
    let metres = match number(wind)? {
        (value, "kt") => value * 0.514_444,
        (value, "km/h") => value / 3.6,
        (value, "m/s" | "") => value,
        _ => return None,
    };
    number(pressure).filter(|(_, unit)| ["", "hPa"].contains(unit))?;
    number(humidity).filter(|(value, unit)| (0.0..=100.0).contains(value) && ["", "%"].contains(unit))?;
    Some((station.to_uppercase(), tenths(celsius), tenths(metres)))
}

fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && !"+-.".contains(character));
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    Some((digits.parse().ok()?, unit.trim()))
}

/// As precise as the normalised line is.
fn tenths(value: f64) -> f64 {
    format!("{value:.1}").parse().unwrap()
}
