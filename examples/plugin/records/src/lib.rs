//! What crosses the border between the host and its plugins: one definition for both sides.
//!
//! The host and the Rust plugins use these types; a plugin in C writes their shape into its signature. The host compares all of them with
//! the plugins' interface notes before the first call, so a field that is added here and not in a plugin is an error with both shapes in it.

pub mod climate;

use ampoule_guest::Schema;
use serde::{Deserialize, Serialize};

/// The region in which the host shares the [`climate`] table.
pub const CLIMATE: &str = "climate";
/// The event that says how many records of a batch are done.
pub const PROGRESS: u16 = 0;

/// One observation of a weather station, in metric units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Record {
    /// The station's code, in capitals.
    pub station: String,
    /// When, as the file has it.
    pub time: String,
    /// Degrees Celsius.
    pub temperature: f64,
    /// Metres per second.
    pub wind: f64,
    /// Hectopascals.
    pub pressure: f64,
    /// Percent.
    pub humidity: u8,
}

/// How far an observation is from what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Level {
    /// Nobody would mention it.
    Ordinary,
    /// Worth a remark.
    Notable,
    /// Worth a warning.
    Severe,
}

impl Level {
    /// The level of so many points.
    #[must_use]
    pub fn of(points: f64) -> Self {
        if points < 2.5 {
            Self::Ordinary
        } else if points < 4.0 {
            Self::Notable
        } else {
            Self::Severe
        }
    }
}

/// What a plugin makes of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Score {
    /// How unusual it is.
    pub points: f64,
    /// The same in a word.
    pub level: Level,
    /// The station's name, as the host's directory has it.
    pub place: String,
}

/// What a plugin makes of many records.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Summary {
    /// Records that could be scored.
    pub scored: u32,
    /// Records of stations without an entry in the climate table.
    pub unknown: u32,
    /// All their points together.
    pub total: f64,
    /// The most points of one.
    pub highest: f64,
}

impl Summary {
    /// Adds what is known of other records.
    pub fn add(&mut self, other: &Self) {
        self.scored += other.scored;
        self.unknown += other.unknown;
        self.total += other.total;
        self.highest = self.highest.max(other.highest);
    }
}
