//! The climate table: what is usual at a station, in bytes that a plugin searches where they are.
//!
//! The host writes it once into a shared region. A plugin reads it in place: no copy, no parsing, no allocation.
//!
//! ```text
//! 0          8              16            24
//! ┌──────────┬──────────────┬─────────────┐
//! │ station  │ temperature  │ deviation   │  × stations, in the order of their codes
//! └──────────┴──────────────┴─────────────┘
//!  code, then    f64, little-endian
//!  zero bytes
//! ```

/// What is usual at a station.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    /// The mean temperature in degrees Celsius.
    pub temperature: f64,
    /// Its standard deviation.
    pub deviation: f64,
}

/// Bytes of a station's code.
const CODE: usize = 8;
/// Bytes of an entry.
const ENTRY: usize = CODE + 16;

/// A table, where it lies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Climate<'a> {
    entries: &'a [[u8; ENTRY]],
}

impl<'a> Climate<'a> {
    /// The table in these bytes. What is left over at their end is no entry.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { entries: bytes.as_chunks().0 }
    }

    /// What is usual at a station; none if the table does not have it.
    #[must_use]
    pub fn normal(&self, station: &str) -> Option<Normal> {
        let code = code(station)?;
        let at = self.entries.binary_search_by(|entry| entry.first_chunk().cmp(&Some(&code))).ok()?;
        let [temperature, deviation] = self.entries.get(at)?.last_chunk::<16>()?.as_chunks().0 else { return None };
        Some(Normal { temperature: f64::from_le_bytes(*temperature), deviation: f64::from_le_bytes(*deviation) })
    }
}

/// Writes a table. Stations whose codes are longer than eight bytes are left out.
#[must_use]
pub fn encode<'a>(normals: impl IntoIterator<Item = (&'a str, Normal)>) -> Vec<u8> {
    let coded = normals.into_iter().filter_map(|(station, normal)| Some((code(station)?, normal)));
    let mut entries: Vec<_> = coded.collect();
    entries.sort_by_key(|entry| entry.0);
    let bytes = entries.iter().flat_map(|(code, normal)| {
        code.iter().copied().chain(normal.temperature.to_le_bytes()).chain(normal.deviation.to_le_bytes())
    });
    bytes.collect()
}

fn code(station: &str) -> Option<[u8; CODE]> {
    let mut code = [0; CODE];
    code.get_mut(..station.len())?.copy_from_slice(station.as_bytes());
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: Normal = Normal { temperature: 28.5, deviation: 4.0 };
    const COLD: Normal = Normal { temperature: -3.0, deviation: 9.5 };

    #[test]
    fn every_station_that_was_written_is_found_and_no_other() {
        let bytes = encode([("WSSS", HOT), ("BIKF", COLD), ("TOO-LONG-A-CODE", HOT)]);
        let climate = Climate::new(&bytes);
        assert_eq!((climate.normal("WSSS"), climate.normal("BIKF")), (Some(HOT), Some(COLD)));
        for unknown in ["", "WSS", "WSSSX", "AAAA", "ZZZZ", "TOO-LONG-A-CODE"] {
            assert_eq!(climate.normal(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn bytes_that_are_no_table_have_no_stations() {
        assert_eq!(Climate::new(b"half an entry").normal("WSSS"), None);
        assert_eq!(Climate::default().normal("WSSS"), None);
    }
}
