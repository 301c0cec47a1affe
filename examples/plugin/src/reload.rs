//! Replacing a plugin while it is being called: no call fails, and none is answered by half of each version.
//!
//! ```text
//! worker        slot                     operator
//! call (1) ──►  version 1                offers version 3: its interface cannot replace version 1's: refused, nothing happens
//! call (1) ──►  version 1                offers version 2: interfaces fit, it starts, it answers ─┐
//! call (2) ──►  version 2  ◄──────────────────────────────────────────────────────────────────────┘
//! ```
//! A worker looks at the slot before each call. If the version there is another it starts a sandbox of that, and drops its old one: a call that is
//! being served is served to its end. Where starting a sandbox is too slow for a call to wait, start it beside and swap when it is ready.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ampoule::{Incompatible, Program, Sandbox};
use ampoule_example_records::Score;
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::RwLock;
use serde::Serialize;

use crate::error::Error;
use crate::hostile::reference;
use crate::plugins::{Directory, Plugins, SCORING, Scoring, Surroundings, honest, interface, load};

/// Calls that each worker makes of a version before the operator goes on.
const CALLS: u64 = 200;

/// One version of the plugin, as workers use it.
#[derive(Debug)]
struct Version {
    number: usize,
    scoring: Scoring,
}

/// Where the current version is.
#[derive(Debug)]
struct Slot {
    current: RwLock<Arc<Version>>,
}

impl Slot {
    fn current(&self) -> Arc<Version> {
        Arc::clone(&self.current.read())
    }

    /// Puts a newer version in the place of the current one, after it has shown that it fits, starts and answers. Otherwise all stays as it is.
    fn replace(
        &self,
        number: usize,
        program: Program,
        surroundings: &Surroundings,
    ) -> Result<Result<(), Incompatible>, Error> {
        let older = self.current();
        let newer = interface(Scoring::NAME, &program)?;
        if let Err(incompatible) = newer.can_replace(interface(Scoring::NAME, &older.scoring.program)?) {
            return Ok(Err(incompatible));
        }
        let version = Version { number, scoring: Scoring::new(program)? };
        let mut trial = Worker::new(surroundings, Arc::new(version))?;
        trial.call()?;
        *self.current.write() = trial.version;
        Ok(Ok(()))
    }
}

/// A sandbox of one version.
struct Worker {
    version: Arc<Version>,
    sandbox: Sandbox<Directory>,
}

impl Worker {
    fn new(surroundings: &Surroundings, version: Arc<Version>) -> Result<Self, Error> {
        let sandbox = surroundings.start(Scoring::NAME, &version.scoring.program)?;
        Ok(Self { version, sandbox })
    }

    fn call(&mut self) -> Result<Score, Error> {
        let scored = self.sandbox.call_with(&self.version.scoring.score, (reference(),), &honest());
        scored
            .map_err(|source| Error::Call { plugin: Scoring::NAME, source })?
            .map_err(|refusal| answer(refusal, "a score".to_owned()))
    }
}

/// What a worker tells the operator.
enum News {
    /// It has made its calls of this version.
    Enough(usize),
    /// It cannot go on.
    Failed(Error),
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Reloaded {
    workers: u16,
    /// Calls that were answered, by version.
    versions: Vec<Answered>,
    /// Why version 3 was not taken.
    refused: String,
}

#[derive(Debug, Clone, Serialize)]
struct Answered {
    version: usize,
    calls: u64,
    /// Points of the reference record.
    points: f64,
}

/// Replaces version 1 under load.
pub(crate) fn run(plugins: &Plugins, workers: u16) -> Result<Reloaded, Error> {
    let first = Arc::new(Version { number: 1, scoring: plugins.scoring.clone() });
    let slot = Slot { current: RwLock::new(first) };
    let over = AtomicBool::new(false);
    let (tell, news) = unbounded();
    std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..workers)
            .map(|_| {
                let (tell, slot, over) = (tell.clone(), &slot, &over);
                scope.spawn(move || work(&plugins.surroundings, slot, over, &tell))
            })
            .collect();
        drop(tell);
        let refused = operate(plugins, &slot, &news, workers);
        over.store(true, Ordering::Release);
        let mut versions: Vec<Answered> = Vec::new();
        for worker in spawned {
            let answered = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            answered.iter().try_for_each(|one| add(&mut versions, one))?;
        }
        // A call that failed, of whichever worker, has ended the operator's work with its error.
        Ok(Reloaded { workers, versions, refused: refused?.to_string() })
    })
}

/// The operator: lets the workers work, offers a version that does not fit, then one that does.
fn operate(plugins: &Plugins, slot: &Slot, news: &Receiver<News>, workers: u16) -> Result<Incompatible, Error> {
    let [_, second, third] = SCORING;
    wait(news, 1, workers)?;
    let refused = match slot.replace(3, load(Scoring::NAME, third)?, &plugins.surroundings)? {
        Err(incompatible) => incompatible,
        Ok(()) => return Err(Error::NotContained { what: "version 3", ending: "it replaced version 1".to_owned() }),
    };
    slot.replace(2, load(Scoring::NAME, second)?, &plugins.surroundings)?
        .map_err(|source| Error::Refused { source })?;
    wait(news, 2, workers)?;
    Ok(refused)
}

/// Waits until each worker has made its calls of a version.
fn wait(news: &Receiver<News>, version: usize, workers: u16) -> Result<(), Error> {
    let mut left = workers;
    while left > 0 {
        match news.recv() {
            Ok(News::Enough(number)) if number == version => left -= 1,
            Ok(News::Enough(_)) => {}
            Ok(News::Failed(error)) => return Err(error),
            // All workers are gone, and each has said why.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Calls whatever version is current until it is over; says how often which version answered.
fn work(surroundings: &Surroundings, slot: &Slot, over: &AtomicBool, tell: &Sender<News>) -> Vec<Answered> {
    let mut answered = Vec::new();
    if let Err(error) = try_work(surroundings, slot, over, tell, &mut answered) {
        // The operator may have given up already.
        let _ = tell.send(News::Failed(error));
    }
    answered
}

fn try_work(
    surroundings: &Surroundings,
    slot: &Slot,
    over: &AtomicBool,
    tell: &Sender<News>,
    answered: &mut Vec<Answered>,
) -> Result<(), Error> {
    let mut worker = Worker::new(surroundings, slot.current())?;
    let mut calls = 0;
    while !over.load(Ordering::Acquire) {
        let current = slot.current();
        if !Arc::ptr_eq(&current, &worker.version) {
            worker = Worker::new(surroundings, current)?;
            calls = 0;
        }
        let points = worker.call()?.points;
        add(answered, &Answered { version: worker.version.number, calls: 1, points })?;
        calls += 1;
        if calls == CALLS {
            // As above.
            let _ = tell.send(News::Enough(worker.version.number));
        }
    }
    Ok(())
}

/// Adds answers to those that are known. A version always gives the same.
fn add(to: &mut Vec<Answered>, one: &Answered) -> Result<(), Error> {
    match to.iter_mut().find(|known| known.version == one.version) {
        None => to.push(one.clone()),
        Some(known) if known.points.to_bits() != one.points.to_bits() => {
            return Err(answer(one.points.to_string(), known.points.to_string()));
        }
        Some(known) => known.calls += one.calls,
    }
    Ok(())
}

fn answer(got: String, expected: String) -> Error {
    Error::Answer { plugin: Scoring::NAME, got, expected }
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Answered { version, calls, points } in &self.versions {
            writeln!(f, "version {version} answered {calls} calls of {} workers, {points} points each", self.workers)?;
        }
        writeln!(f, "version 2 took the place of version 1, and no call failed")?;
        writeln!(f, "version 3 was refused: {}", self.refused)
    }
}
