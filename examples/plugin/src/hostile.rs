//! A plugin that means harm: every way in which it misbehaves ends as a value of the type that says so, and nobody else notices.
//!
//! Each case has a sandbox of its own and limits that it will reach. Meanwhile an honest plugin is called on another thread, and must answer as
//! always.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ampoule::{Call, CallError, CancelToken, End, Limit, Limits, Overflow, Sandbox, Signal, State, TrapMeaning};
use ampoule_example_records::{Record, Score};
use serde::Serialize;

use crate::error::Error;
use crate::outcome::in_a_line;
use crate::plugins::{Directory, Hostile, Plugins, Scoring, honest};

/// What a case comes to: what the plugin answered, or why it did not.
type Ending = Result<String, CallError>;

/// One way to misbehave.
struct Case {
    /// The plugin's function.
    function: &'static str,
    /// What it runs into.
    against: &'static str,
    call: fn() -> Call,
    limits: fn() -> Limits,
    overflow: Overflow,
    /// Whether somebody cancels the call as soon as it runs.
    cancelled: bool,
    /// Is this how it has to end?
    deserved: fn(&Ending) -> bool,
}

/// Call limits that none of the cases reaches unless it says so.
fn ample() -> Call {
    Call::new().wall(Duration::from_secs(20)).cpu(Duration::from_secs(10))
}

impl Case {
    const fn new(function: &'static str, against: &'static str, deserved: fn(&Ending) -> bool) -> Self {
        let overflow = Overflow::DropOldest;
        Self { function, against, call: ample, limits: Limits::new, overflow, cancelled: false, deserved }
    }

    const fn call(self, call: fn() -> Call) -> Self {
        Self { call, ..self }
    }

    const fn limits(self, limits: fn() -> Limits) -> Self {
        Self { limits, ..self }
    }
}

fn is_limit(ending: &Ending, expected: Limit) -> bool {
    matches!(ending, Err(CallError::Ended(End::Limit(limit))) if *limit == expected)
}

fn is_trap(ending: &Ending, meaning: TrapMeaning) -> bool {
    matches!(ending, Err(CallError::Ended(End::Trap(trap))) if trap.meaning() == meaning)
}

/// All of them.
fn cases() -> Vec<Case> {
    vec![
        Case::new("spins", "50 ms of wall time", |it| is_limit(it, Limit::Wall))
            .call(|| ample().wall(Duration::from_millis(50))),
        Case::new("spins", "50 ms of CPU time", |it| is_limit(it, Limit::Cpu))
            .call(|| ample().cpu(Duration::from_millis(50))),
        Case {
            cancelled: true,
            ..Case::new("spins", "a cancel token", |it| matches!(it, Err(CallError::Ended(End::Cancelled))))
        },
        Case::new("waits", "nobody to wait for", |it| matches!(it, Err(CallError::Ended(End::Deadlock)))),
        Case::new("hoards", "32 MiB of memory", |it| it.as_ref().is_ok_and(|text| text.starts_with("malloc said no")))
            .limits(|| Limits::new().memory(32 << 20)),
        Case::new("eats_memory", "32 MiB of memory", |it| is_limit(it, Limit::Memory))
            .limits(|| Limits::new().memory(32 << 20)),
        Case::new("floods_output", "64 KiB of output", |it| is_limit(it, Limit::Output))
            .call(|| ample().output(64 << 10)),
        Case::new("floods_host_calls", "1,000 host calls", |it| is_limit(it, Limit::HostCalls))
            .call(|| ample().host_calls(1000)),
        Case {
            overflow: Overflow::Stop,
            ..Case::new("floods_events", "64 events that wait", |it| is_limit(it, Limit::Events))
        },
        Case::new("misleads_the_host", "types", |it| matches!(it, Err(CallError::Guest { .. }))),
        Case::new("dereferences_null", "the processor", |it| is_trap(it, TrapMeaning::NullDereference)),
        Case::new("overflows_the_stack", "the processor", |it| is_trap(it, TrapMeaning::StackOverflow)),
        Case::new("writes_its_code", "the processor", |it| is_trap(it, TrapMeaning::WriteToReadOnly)),
        Case::new("aborts", "its end", |it| matches!(it, Err(CallError::Ended(End::Signaled(Signal::ABRT))))),
        Case::new("exits", "its end", |it| matches!(it, Err(CallError::Ended(End::Exited(3))))),
        Case::new("lies", "types", |it| matches!(it, Err(CallError::Encoding { .. }))),
        Case::new("breaks_the_protocol", "the protocol", |it| matches!(it, Err(CallError::Protocol(_)))),
        Case::new("answers_too_much", "1 MiB of a message", |it| matches!(it, Err(CallError::TooLong { .. })))
            .limits(|| Limits::new().message_bytes(1 << 20)),
    ]
}

/// What came of a case.
#[derive(Debug, Serialize)]
struct Row {
    function: &'static str,
    against: &'static str,
    ending: String,
    /// What can be done with the sandbox now.
    state: String,
    milliseconds: f64,
}

/// What came of all of them.
#[derive(Debug, Serialize)]
pub(crate) struct Contained {
    cases: Vec<Row>,
    /// Calls of the honest plugin that were answered meanwhile, as before.
    undisturbed: u64,
}

/// Lets the plugin do its worst.
pub(crate) fn run(plugins: &Plugins) -> Result<Contained, Error> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| bystand(plugins, &over));
        let cases = provoke_all(plugins);
        over.store(true, Ordering::Release);
        let undisturbed = honest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Contained { cases: cases?, undisturbed })
    })
}

fn provoke_all(plugins: &Plugins) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for case in cases() {
        rows.push(provoke(plugins, &case)?);
    }
    rows.push(assertion(plugins)?);
    Ok(rows)
}

fn provoke(plugins: &Plugins, case: &Case) -> Result<Row, Error> {
    let program = &plugins.hostile.program;
    let builder = plugins.surroundings.builder(program).limits((case.limits)());
    let (builder, events) = builder.events(64, case.overflow);
    let started = builder.build(Directory::default());
    let mut sandbox = started.map_err(|source| Error::Start { plugin: Hostile::NAME, source })?;
    let token = CancelToken::new();
    let call = (case.call)().cancel(&token);

    let begun = Instant::now();
    let ending = std::thread::scope(|scope| {
        if case.cancelled {
            // The plugin posts an event when it has begun, so the token does not come before the call.
            scope.spawn(|| events.next(Duration::from_secs(10)).map(|_| token.cancel()));
        }
        provoked(plugins, case, &mut sandbox, &call)
    });
    row(case.function, case.against, &ending, &sandbox, begun, case.deserved)
}

fn provoked(plugins: &Plugins, case: &Case, sandbox: &mut Sandbox<Directory>, call: &Call) -> Ending {
    if case.function == plugins.hostile.lies.name() {
        return sandbox.call_with(&plugins.hostile.lies, (), call).map(|answer| answer.to_string());
    }
    let mut reply = Vec::new();
    sandbox.call_bytes(case.function, &[], &mut reply, call)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// The honest plugin panics when it is asked for what it cannot do. It goes on afterwards.
fn assertion(plugins: &Plugins) -> Result<Row, Error> {
    let mut sandbox = plugins.surroundings.start(Scoring::NAME, &plugins.scoring.program)?;
    let begun = Instant::now();
    let ending =
        sandbox.call_with(&plugins.scoring.summarise, (Vec::new(),), &ample()).map(|summary| format!("{summary:?}"));
    let panicked = |it: &Ending| matches!(it, Err(CallError::Guest { location, stderr, .. }) if location.contains(".rs:") && stderr.contains("panicked"));
    let row = row("summarise", "its own assertion", &ending, &sandbox, begun, panicked)?;
    score(plugins, &mut sandbox)?;
    Ok(row)
}

fn row(
    function: &'static str,
    against: &'static str,
    ending: &Ending,
    sandbox: &Sandbox<Directory>,
    begun: Instant,
    deserved: fn(&Ending) -> bool,
) -> Result<Row, Error> {
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let text = match ending {
        Ok(answer) => format!("answered: {}", crate::outcome::clean(answer)),
        Err(error) => in_a_line(error),
    };
    if !deserved(ending) {
        return Err(Error::NotContained { what: function, ending: text });
    }
    let (state, expected) = (sandbox.state(), state_after(ending));
    if state != expected {
        let ending = format!("{text}; its sandbox is {state:?} and should be {expected:?}");
        return Err(Error::NotContained { what: function, ending });
    }
    Ok(Row { function, against, ending: text, state: format!("{state:?}"), milliseconds })
}

/// What can be done with a sandbox after a call has ended so.
fn state_after(ending: &Ending) -> State {
    match ending {
        Err(CallError::Ended(End::Cancelled | End::Limit(Limit::Wall | Limit::Cpu | Limit::HostCalls))) => {
            State::Stopped
        }
        Err(CallError::Ended(_) | CallError::Protocol(_)) => State::Ended,
        _ => State::Ready,
    }
}

/// Calls an honest plugin until the others are done; says how often.
fn bystand(plugins: &Plugins, over: &AtomicBool) -> Result<u64, Error> {
    let mut sandbox = plugins.surroundings.start(Scoring::NAME, &plugins.scoring.program)?;
    let before = score(plugins, &mut sandbox)?;
    let mut count = 0;
    while !over.load(Ordering::Acquire) {
        let now = score(plugins, &mut sandbox)?;
        if now != before {
            let (got, expected) = (format!("{now:?}"), format!("{before:?}"));
            return Err(Error::Answer { plugin: Scoring::NAME, got, expected });
        }
        count += 1;
    }
    Ok(count)
}

/// A record that every version can score.
pub(crate) fn reference() -> Record {
    let (station, time) = ("EFHK".to_owned(), "2024-02-10T06:00Z".to_owned());
    Record { station, time, temperature: -21.0, wind: 13.0, pressure: 981.0, humidity: 88 }
}

fn score(plugins: &Plugins, sandbox: &mut Sandbox<Directory>) -> Result<Score, Error> {
    let scored = sandbox.call_with(&plugins.scoring.score, (reference(),), &honest());
    let refused = |got| Error::Answer { plugin: Scoring::NAME, got, expected: "a score".to_owned() };
    scored.map_err(|source| Error::Call { plugin: Scoring::NAME, source })?.map_err(refused)
}

impl fmt::Display for Contained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { function, against, ending, state, milliseconds } in &self.cases {
            writeln!(f, "{function:20} against {against:20} {milliseconds:>7.1} ms  {state:8} {ending}")?;
        }
        writeln!(f, "meanwhile an honest plugin answered {} calls, each as before", self.undisturbed)
    }
}
