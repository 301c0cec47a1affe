//! A run of the fuzzer: what the main thread does while the cores fuzz.

use std::error::Error;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ampoule::confine::Confinement;
use libafl::mutators::Tokens;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::engine::{self, Plan};
use super::inputs::{self, Named};
use super::out::{Instance, Out};
use super::shared::{Event, Shared};
use super::show::Screen;
use super::stats::{Fixed, Writer};
use super::{CRASHED, Campaign};
use crate::{confine, report};

/// Longest input that is made unless said otherwise.
const LONGEST: usize = 4096;
/// How often the figures are shown to a person.
const FRAME: Duration = Duration::from_millis(200);
/// How often they are written to the files.
const WRITTEN: Duration = Duration::from_secs(5);

/// Why a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Time,
    Executions,
    Interrupted,
    Crashed,
}

pub(super) fn run(campaign: &Campaign) -> Result<u8, Box<dyn Error>> {
    let target = campaign.target.open(&campaign.own)?;
    let is_resumed = campaign.input.as_deref() == Some(Path::new("-"));
    let given = match &campaign.input {
        Some(path) if !is_resumed => given(path)?,
        _ => Vec::new(),
    };
    let dictionary = campaign.dict.as_deref().map(dictionary).transpose()?;
    let longest = match campaign.max_len {
        Some(0) => return Err("inputs of no bytes are all the same: --max-len must be more than 0".into()),
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        None => given.iter().map(|input| input.bytes.len()).max().unwrap_or(0).max(LONGEST),
    };
    let out = Out::claim(&campaign.output, is_resumed)?;
    let names: Vec<_> = match campaign.cores {
        1 => vec!["default".to_owned()],
        cores => (0..cores).map(|core| format!("core{core}")).collect(),
    };
    let foreign = out.foreign(&names)?;
    let instances: Vec<_> = names.iter().map(|name| Instance::open(&out.root, name)).collect::<Result<_, _>>()?;
    let interrupted = interruptions()?;
    campaign.confine.apply_to_process(&Confinement::new().allow_write(&out.root))?;
    let plan = Plan {
        target,
        root: out.root.clone(),
        cores: instances.len(),
        given,
        foreign,
        longest,
        dictionary,
        seed: campaign.seed,
        executions: campaign.executions,
        command: command_line(),
    };
    let shared = Arc::new(Shared::new(plan.cores));
    let screen = Screen::new(campaign.json, &plan);
    let mut monitor = Monitor::new(&plan, &shared, screen);
    for instance in &instances {
        monitor.writers.push(Writer::new(&instance.path)?);
    }
    fuzz(monitor, instances, &shared, campaign.confine, |monitor, events| {
        monitor.watch(events, campaign.time, campaign.until_crash, &interrupted)
    })?;
    Ok(if out.has_crashes()? { CRASHED } else { 0 })
}

/// Runs the cores, each in a directory of its own, and watches them.
fn fuzz(
    mut monitor: Monitor<'_>,
    instances: Vec<Instance>,
    shared: &Arc<Shared>,
    rights: confine::Rights,
    watch: impl FnOnce(&mut Monitor<'_>, &Receiver<Event>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (sender, events) = mpsc::channel();
    let plan = monitor.plan;
    thread::scope(|scope| {
        for (core, instance) in instances.into_iter().enumerate() {
            let sender = sender.clone();
            let fuzz = move || {
                // The main thread draws, and has no guests: what it asks of a terminal is nothing that a core may.
                let confined = rights.apply_to_this_thread().map_err(|error| error.to_string());
                let run = || engine::run(core, instance, plan, shared, &sender);
                let ended = confined.and_then(|()| {
                    let panicked = |_| Err(format!("core {core} panicked, which is a bug of Ampoule's"));
                    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(panicked)
                });
                let _ = sender.send(Event::Ended(ended));
            };
            let started = thread::Builder::new().name(format!("core{core}")).spawn_scoped(scope, fuzz);
            if let Err(error) = started {
                shared.stop();
                return Err(format!("cannot start a thread for core {core}: {error}").into());
            }
        }
        drop(sender);
        let watched = watch(&mut monitor, &events);
        // Whatever it was: nobody waits for cores that go on.
        shared.stop();
        watched
    })
}

/// What the main thread has seen so far.
struct Monitor<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    screen: Screen,
    writers: Vec<Writer>,
    /// How many the target has, once a harness is there.
    edges: Option<usize>,
    banner: String,
    began: Instant,
}

impl<'a> Monitor<'a> {
    fn new(plan: &'a Plan, shared: &'a Shared, screen: Screen) -> Self {
        let banner = plan.target.name();
        Self { plan, shared, screen, writers: Vec::new(), edges: None, banner, began: Instant::now() }
    }

    /// Until all cores have ended.
    fn watch(
        &mut self,
        events: &Receiver<Event>,
        time: Option<Duration>,
        until_crash: bool,
        interrupted: &AtomicBool,
    ) -> Result<(), Box<dyn Error>> {
        let mut running = self.plan.cores;
        let mut reason = Reason::Executions;
        let (mut failure, mut written) = (None, Instant::now());
        while running > 0 {
            match events.recv_timeout(FRAME) {
                Ok(Event::Ended(ended)) => {
                    running -= 1;
                    if let Err(error) = ended {
                        self.shared.stop();
                        failure.get_or_insert(error);
                    }
                }
                Ok(Event::Ready { edges }) => self.ready(edges),
                Ok(event) => {
                    self.screen.event(&event);
                    if until_crash && matches!(event, Event::Crash { .. }) && !self.shared.is_stopping() {
                        reason = Reason::Crashed;
                        self.shared.stop();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let elapsed = self.began.elapsed();
            if !self.shared.is_stopping() {
                if interrupted.load(Relaxed) {
                    reason = Reason::Interrupted;
                    self.shared.stop();
                } else if time.is_some_and(|time| elapsed >= time) {
                    reason = Reason::Time;
                    self.shared.stop();
                }
            }
            if written.elapsed() >= WRITTEN {
                written = Instant::now();
                self.write(elapsed)?;
            }
            self.screen.frame(self.shared, elapsed, self.edges.unwrap_or(0));
        }
        let elapsed = self.began.elapsed();
        self.write(elapsed)?;
        match failure {
            Some(failure) => {
                self.screen.clear();
                Err(failure.into())
            }
            None => {
                self.screen.end(self.shared, elapsed, self.edges.unwrap_or(0), reason);
                Ok(())
            }
        }
    }

    fn ready(&mut self, edges: usize) {
        if self.edges.is_none() {
            self.edges = Some(edges);
            self.screen.begin(edges);
        }
    }

    fn write(&mut self, elapsed: Duration) -> std::io::Result<()> {
        let Some(edges) = self.edges else { return Ok(()) };
        let (timeout, banner, command) = (self.plan.target.timeout, self.banner.as_str(), self.plan.command.as_str());
        let fixed = Fixed { edges, timeout, banner, command };
        for (figures, writer) in self.shared.cores.iter().zip(&mut self.writers) {
            writer.write(figures, elapsed, &fixed)?;
        }
        Ok(())
    }
}

/// The corpus; one that is not there is as one that is empty, as a first run has it.
fn given(path: &Path) -> Result<Vec<Named>, Box<dyn Error>> {
    if !path.exists() {
        report::note(&format!("{} is not there: starting from a few trivial inputs", path.display()));
        return Ok(Vec::new());
    }
    let given = inputs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if given.is_empty() {
        report::note(&format!("{} is empty: starting from a few trivial inputs", path.display()));
    }
    Ok(given)
}

fn dictionary(path: &Path) -> Result<Tokens, Box<dyn Error>> {
    let told = |error: &dyn std::fmt::Display| format!("cannot read the dictionary {}: {error}", path.display());
    // LibAFL panics at what is no text.
    std::fs::read_to_string(path).map_err(|error| told(&error))?;
    Ok(Tokens::from_file(path).map_err(|error| told(&error))?)
}

/// Set when the process is asked to end; asked once more, it does so at once.
fn interruptions() -> std::io::Result<Arc<AtomicBool>> {
    /// A shell's code for SIGINT.
    const AT_ONCE: i32 = 130;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, AT_ONCE, Arc::clone(&interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

/// How this process was started, for a shell.
fn command_line() -> String {
    let mut line = String::new();
    for argument in std::env::args_os() {
        let argument = argument.to_string_lossy();
        let is_plain = argument.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_=./:,@+%".contains(letter));
        let space = if line.is_empty() { "" } else { " " };
        let _ = if is_plain && !argument.is_empty() {
            write!(line, "{space}{argument}")
        } else {
            write!(line, "{space}'{}'", argument.replace('\'', r"'\''").replace('\n', " "))
        };
    }
    line
}
