//! The records that come with the example: the same on every machine, and as untidy as what people send.
//!
//! Each is an observation of one of [`STATIONS`], every ten minutes one, with its numbers in whatever unit the sender likes. One in 256 is
//! extreme, one in 128 is broken, one in 512 is from a station that nobody knows.

use std::fmt::Write;

use crate::stations::STATIONS;

/// Where the generator begins.
const SEED: u64 = 0x2024_0101;

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): ten lines, and good enough to invent weather.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..count`.
    fn below(&mut self, count: u32) -> u32 {
        u32::try_from(self.next() % u64::from(count.max(1))).unwrap_or(0)
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    /// From -1 to 1, most often near 0.
    fn around(&mut self) -> f64 {
        let sum: u32 = (0..4).map(|_| self.below(1001)).sum();
        (f64::from(sum) - 2000.0) / 2000.0
    }

    fn choose<'a>(&mut self, words: [&'a str; 3]) -> &'a str {
        let [first, second, third] = words;
        match self.below(3) {
            0 => first,
            1 => second,
            _ => third,
        }
    }
}

/// So many lines, below a heading.
pub(crate) fn generate(count: u32) -> String {
    let mut random = Random(SEED);
    let mut text = "station,time,temperature,wind,pressure,humidity\n".to_owned();
    for index in 0..count {
        let line = line(&mut random, index);
        // A `String` takes everything.
        let _ = writeln!(text, "{line}");
    }
    text
}

fn line(random: &mut Random, index: u32) -> String {
    let chosen = usize::try_from(random.below(20)).unwrap_or(0);
    let Some(station) = STATIONS.get(chosen) else { return String::new() };
    let time = time(index);
    let extreme = if random.one_in(256) { 3.0 } else { 1.0 };
    let celsius = station.normal.temperature + random.around() * 2.5 * extreme * station.normal.deviation;
    let metres = random.around().abs() * 14.0 * extreme;
    let pressure = 1013.0 + random.around() * 25.0 * extreme;
    let humidity = 20 + random.below(81);

    let code = if random.one_in(512) { "XXXX" } else { station.code };
    let code = if random.one_in(4) { code.to_lowercase() } else { code.to_owned() };
    let temperature = match random.choose(["C", "F", ""]) {
        "F" => format!("{:.1}F", celsius * 9.0 / 5.0 + 32.0),
        unit => format!("{celsius:.1}{unit}"),
    };
    let wind = match random.choose(["kt", "km/h", "m/s"]) {
        "kt" => format!("{:.0}kt", metres / 0.514_444),
        "km/h" => format!("{:.1} km/h", metres * 3.6),
        unit => format!("{metres:.1} {unit}"),
    };
    let space = random.choose(["", " ", ""]);
    if random.one_in(128) {
        return match random.choose(["field", "letters", "range"]) {
            "field" => format!("{code},{time},{temperature},{wind}"),
            "letters" => format!("{code},{time},missing,{wind},{pressure:.1},{humidity}"),
            _ => format!("{code},{time},{temperature},{wind},{pressure:.1},{}", humidity + 200),
        };
    }
    format!("{space}{code},{time},{space}{temperature},{wind},{pressure:.1}{space},{humidity}%")
}

/// Ten minutes for each record, in months of 28 days: a calendar that every reader takes, and that is as long as it has to be.
fn time(index: u32) -> String {
    let (minute, hour) = (index % 6 * 10, index / 6 % 24);
    let (day, month, year) = (index / 144 % 28 + 1, index / 4032 % 12 + 1, 2024 + index / 48_384);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_are_the_same_every_time() {
        let text = generate(2000);
        assert_eq!(text, generate(2000));
        assert_eq!(text.lines().count(), 2001);
        assert!(generate(3000).starts_with(&text));
    }

    #[test]
    fn some_records_are_broken_and_most_are_not() {
        let text = generate(10_000);
        let short = text.lines().filter(|line| line.matches(',').count() != 5).count();
        assert!((1..200).contains(&short), "{short}");
    }
}
