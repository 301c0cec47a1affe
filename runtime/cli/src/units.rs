//! Sizes and times as people write them on a command line: `64M`, `1.5G`, `200ms`, `2s`.

use std::time::Duration;

/// Parses a size in bytes: digits with an optional fraction, then nothing, `K`, `M`, `G` or `T` (powers of 1,024; `MiB` and `MB` too).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let scale: f64 = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 1.0,
        "K" => 1024.0,
        "M" => 1_048_576.0,
        "G" => 1_073_741_824.0,
        "T" => 1_099_511_627_776.0,
        _ => return Err(format!("unknown unit {unit:?}: write 512K, 64M or 1G")),
    };
    let bytes = parse(number)? * scale;
    // The largest power of two below which every whole f64 is exact.
    if bytes > 9_007_199_254_740_992.0 {
        return Err("too large".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 2^53, as just checked"
    )]
    Ok(bytes as u64)
}

/// Parses a time: digits with an optional fraction, then `us`, `ms`, `s`, `m` or `h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit {unit:?}: write 500us, 200ms, 2s or 1m")),
    };
    Duration::try_from_secs_f64(parse(number)? * seconds).map_err(|error| error.to_string())
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

fn parse(number: &str) -> Result<f64, String> {
    number.parse().map_err(|_| format!("{number:?} is not a number"))
}

/// A size for people: `1.5 MiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        unit = next;
        if value < 1024.0 || next == "TiB" {
            break;
        }
        value /= 1024.0;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A time for people: `1.50 ms`.
pub(crate) fn human_time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let seconds = time.as_secs_f64();
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} µs", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("1024", 1024), ("64M", 64 << 20), ("1.5G", 3 << 29), ("2KiB", 2048), ("1mb", 1 << 20)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1M", "1X", "99999999T", "1..5M"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, micros) in
            [("500us", 500), ("200ms", 200_000), ("2s", 2_000_000), ("1.5s", 1_500_000), ("1m", 60_000_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1e400s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_times_are_shown_short() {
        assert_eq!([human_size(12), human_size(1536), human_size(64 << 20)], ["12 B", "1.5 KiB", "64.0 MiB"]);
        assert_eq!(human_time(Duration::from_micros(1500)), "1.50 ms");
    }
}
