//! What goes to stderr beside the program's own output: how it ended, what it cost, or why it could not run.

use std::error::Error;
use std::io::IsTerminal;

use ampoule::{End, Limit, Report, Stats};
use serde_json::{Value, json};

use crate::units::{human_size, human_time};

/// Colour only for people.
pub(crate) fn paint(code: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

pub(crate) const RED: &str = "1;31";
const BOLD: &str = "1";

/// Ampoule's own failure.
pub(crate) fn failure(error: &dyn Error) {
    eprintln!("{} {error}", paint(RED, "ampoule:"));
}

/// Something that one should know, and that is no failure.
#[cfg(feature = "fuzz")]
pub(crate) fn note(text: &str) {
    eprintln!("{} {text}", paint(BOLD, "ampoule:"));
}

/// How the program ended, unless that speaks for itself, and what to do about it; a crash with all that is known of it.
pub(crate) fn end(name: &str, end: &End, crash: Option<&Report>) {
    if let Some(crash) = crash {
        eprintln!("{} {name}: {crash}", paint(RED, "ampoule:"));
        return;
    }
    let advice = match end {
        End::Exited(_) => return,
        End::Limit(Limit::Wall) => "; allow more with --wall",
        End::Limit(Limit::Cpu) => "; allow more with --cpu",
        End::Limit(Limit::Memory) => "; allow more with --memory",
        End::Limit(Limit::Output) => "; allow more with --output",
        _ => "",
    };
    eprintln!("{} {name}: {end}{advice}", paint(RED, "ampoule:"));
}

/// The exit code for an end: the program's own, and the shell's conventions for the rest.
pub(crate) fn exit_code(end: &End) -> u8 {
    const SIGNAL: u8 = 128;
    match end {
        End::Exited(status) => u8::try_from(*status).unwrap_or(u8::MAX),
        End::Limit(Limit::Memory | Limit::Output) => 137,
        End::Signaled(signal) => SIGNAL + signal.number(),
        End::Trap(trap) => SIGNAL + trap.signal().number(),
        // Wall and CPU time, and what would only have ended with them: timeout(1)'s code.
        _ => 124,
    }
}

/// What a run cost, as a table.
pub(crate) fn stats(stats: &Stats) {
    let row = |name: &str, value: String| eprintln!("  {name:<14}{value}");
    eprintln!("{}", paint(BOLD, "time"));
    row("wall", human_time(stats.wall));
    row("cpu", human_time(stats.cpu));
    row("guest", human_time(stats.guest));
    row("personality", human_time(stats.personality));
    row("waited", human_time(stats.waited));
    eprintln!("{}", paint(BOLD, "memory and data"));
    row("memory peak", human_size(stats.memory_peak));
    row("read", human_size(stats.bytes_in));
    row("written", human_size(stats.bytes_out));
    eprintln!("{}", paint(BOLD, "exits"));
    for (kind, count) in &stats.exits {
        row(&format!("{kind:?}").to_lowercase(), count.to_string());
    }
    eprintln!("{}", paint(BOLD, "system calls"));
    for call in &stats.syscalls {
        let note = if call.unknown { "  (not served: ENOSYS)" } else { "" };
        row(&call.name, format!("{}{note}", call.count));
    }
}

/// End and costs for programs; times in nanoseconds.
pub(crate) fn json(end: &End, stats: &Stats, crash: Option<&Report>) -> Value {
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let calls: Vec<_> = stats
        .syscalls
        .iter()
        .map(|call| json!({"name": call.name, "count": call.count, "unknown": call.unknown}))
        .collect();
    let exits: serde_json::Map<_, _> =
        stats.exits.iter().map(|(kind, count)| (format!("{kind:?}").to_lowercase(), json!(count))).collect();
    json!({
        "end": end_json(end),
        "crash": crash,
        "exit_code": exit_code(end),
        "wall_ns": nanos(stats.wall),
        "cpu_ns": nanos(stats.cpu),
        "guest_ns": nanos(stats.guest),
        "personality_ns": nanos(stats.personality),
        "waited_ns": nanos(stats.waited),
        "memory_peak": stats.memory_peak,
        "bytes_in": stats.bytes_in,
        "bytes_out": stats.bytes_out,
        "exits": exits,
        "syscalls": calls,
    })
}

fn end_json(end: &End) -> Value {
    match end {
        End::Exited(status) => json!({"kind": "exited", "status": status}),
        End::Signaled(signal) => json!({"kind": "signaled", "signal": signal.number(), "name": signal.to_string()}),
        End::Limit(limit) => json!({"kind": "limit", "limit": format!("{limit:?}").to_lowercase()}),
        End::Trap(trap) => json!({
            "kind": "trap",
            "signal": trap.signal().number(),
            "vector": trap.vector(),
            "meaning": trap.meaning().to_string(),
            "cause": trap.cause().to_string(),
            "rip": trap.rip(),
            "symbol": trap.symbol().map(|(name, offset)| json!({"name": name, "offset": offset})),
            "fault_address": trap.fault_address(),
            "bytes": trap.bytes(),
        }),
        End::Deadlock => json!({"kind": "deadlock"}),
        End::Cancelled => json!({"kind": "cancelled"}),
        other => json!({"kind": other.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use ampoule::Signal;

    use super::*;

    #[test]
    fn exit_codes_are_those_that_shells_know() {
        assert_eq!(exit_code(&End::Exited(7)), 7);
        assert_eq!(exit_code(&End::Limit(Limit::Wall)), 124);
        assert_eq!(exit_code(&End::Limit(Limit::Cpu)), 124);
        assert_eq!(exit_code(&End::Limit(Limit::Memory)), 137);
        assert_eq!(exit_code(&End::Limit(Limit::Output)), 137);
        assert_eq!(exit_code(&End::Signaled(Signal::ABRT)), 134);
    }
}
