//! What the host knows of stations: their names, which plugins ask for one at a time, and their climates, which plugins share whole.

use ampoule_example_records::climate::{Normal, encode};

/// A weather station.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) normal: Normal,
}

const fn station(code: &'static str, name: &'static str, temperature: f64, deviation: f64) -> Station {
    Station { code, name, normal: Normal { temperature, deviation } }
}

/// Airports of the world, by their ICAO codes, with rounded annual means.
pub(crate) const STATIONS: [Station; 20] = [
    station("BIKF", "Keflavik", 5.0, 5.0),
    station("CYYZ", "Toronto", 8.5, 11.0),
    station("DNMM", "Lagos", 27.5, 2.5),
    station("EDDF", "Frankfurt am Main", 10.5, 7.5),
    station("EFHK", "Helsinki", 5.5, 9.5),
    station("EGLL", "London Heathrow", 11.5, 6.0),
    station("FACT", "Cape Town", 17.0, 4.5),
    station("HKJK", "Nairobi", 19.5, 3.0),
    station("KDEN", "Denver", 10.5, 11.0),
    station("KJFK", "New York JFK", 12.5, 10.0),
    station("LEMD", "Madrid", 15.0, 8.5),
    station("LFPG", "Paris Charles de Gaulle", 11.5, 7.0),
    station("OMDB", "Dubai", 28.5, 7.0),
    station("RJTT", "Tokyo Haneda", 16.5, 8.0),
    station("SAEZ", "Buenos Aires", 17.0, 6.5),
    station("SBGR", "Sao Paulo", 19.5, 4.0),
    station("UUEE", "Moscow Sheremetyevo", 5.5, 11.5),
    station("VIDP", "Delhi", 25.0, 8.0),
    station("WSSS", "Singapore", 27.5, 2.0),
    station("YSSY", "Sydney", 18.0, 5.0),
];

/// What a station is called.
pub(crate) fn name(code: &str) -> Option<&'static str> {
    STATIONS.iter().find(|station| station.code == code).map(|station| station.name)
}

/// The climate table, as the plugins read it.
pub(crate) fn climate() -> Vec<u8> {
    encode(STATIONS.iter().map(|station| (station.code, station.normal)))
}
