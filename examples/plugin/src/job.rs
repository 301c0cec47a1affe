//! The job: every line of a file through two plugins, and the records together through one of them.
//!
//! ```text
//! line ──bytes──► normaliser: normalise ──► line ──typed──► normaliser: parse ──► Record ──typed──► scoring: score ──► Score
//!                                                                                │                    └ asks the host for a name
//!                                                                                └ 1,000 at a time ──► scoring: summarise ──► Summary
//!                                                                                                     └ posts events meanwhile
//! ```
//! A line that a plugin refuses is a result like any other; a call that ends in another way is the end of the job.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use ampoule::{CallError, Overflow, Sandbox};
use ampoule_example_records::{Level, Record, Score, Summary};
use serde::Serialize;

use crate::error::Error;
use crate::latencies::{Kind, Latencies};
use crate::outcome::clean;
use crate::plugins::{Directory, Normaliser, Plugins, Scoring, honest};
use crate::progress::{self, Listener};

/// Records of a batch.
const BATCH: usize = 1000;
/// Rows that are shown of what there can be many of.
const SHOWN: usize = 5;

/// A line that went all the way, with what came out at each stage.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) line: Vec<u8>,
    pub(crate) normal: Vec<u8>,
    pub(crate) record: Record,
    pub(crate) score: Score,
}

/// What came of the job.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Job {
    lines: usize,
    scored: usize,
    /// Why lines were refused, and how many.
    refused: BTreeMap<String, usize>,
    levels: Levels,
    /// The most unusual records.
    highest: Vec<High>,
    summary: Summary,
    batches: usize,
    /// Events that came while the batches were summarised.
    events: u64,
    /// Calls of the host's directory.
    lookups: u64,
    milliseconds: u128,
}

#[derive(Debug, Default, Serialize)]
struct Levels {
    ordinary: usize,
    notable: usize,
    severe: usize,
}

#[derive(Debug, Serialize)]
struct High {
    points: f64,
    place: String,
    record: Record,
}

/// Does the job. The lines that went all the way are handed back with it.
pub(crate) fn run(plugins: &Plugins, file: &[u8], latencies: &mut Latencies) -> Result<(Job, Vec<Done>), Error> {
    let begun = Instant::now();
    let lines: Vec<_> = lines(file).collect();
    let mut job = Job { lines: lines.len(), ..Job::default() };

    let mut stages = Stages {
        plugins,
        normaliser: plugins.surroundings.start(Normaliser::NAME, &plugins.normaliser.program)?,
        scoring: plugins.surroundings.start(Scoring::NAME, &plugins.scoring.program)?,
        reply: Vec::new(),
    };
    let bar = progress::bar("scoring", lines.len() as u64);
    let mut done = Vec::with_capacity(lines.len());
    for line in lines {
        match stages.score(line, latencies)? {
            Ok(one) => done.push(one),
            Err(reason) => *job.refused.entry(reason).or_default() += 1,
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if done.is_empty() {
        return Err(Error::NoRecords);
    }
    job.lookups = stages.scoring.into_data().lookups;

    let records: Vec<_> = done.iter().map(|done| done.record.clone()).collect();
    (job.summary, job.events) = summarise(plugins, &records)?;
    job.batches = records.len().div_ceil(BATCH);
    job.take(&done);
    job.milliseconds = begun.elapsed().as_millis();
    Ok((job, done))
}

/// The lines that hold something, without the heading.
fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = file.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    lines.enumerate().filter(|(index, line)| *index > 0 || !line.starts_with(b"station,")).map(|(_, line)| line)
}

/// The sandboxes that lines go through.
struct Stages<'a> {
    plugins: &'a Plugins,
    normaliser: Sandbox<Directory>,
    scoring: Sandbox<Directory>,
    /// Kept for its memory.
    reply: Vec<u8>,
}

impl Stages<'_> {
    /// One line all the way, or why a plugin refused it.
    fn score(&mut self, line: &[u8], latencies: &mut Latencies) -> Result<Result<Done, String>, Error> {
        let Self { plugins, normaliser, scoring, reply } = self;
        let call = honest();
        match latencies.time(Kind::Bytes, || normaliser.call_bytes(Normaliser::NORMALISE, line, reply, &call)) {
            Ok(()) => {}
            // A bytes function has no result that could say so: it fails, and can be called again.
            Err(CallError::Guest { message, .. }) => return Ok(Err(clean(&message))),
            Err(source) => return Err(Error::Call { plugin: Normaliser::NAME, source }),
        }
        let text = String::from_utf8_lossy(reply).into_owned();
        let parsed = latencies.time(Kind::Typed, || normaliser.call_with(&plugins.normaliser.parse, (text,), &call));
        let record = match parsed.map_err(|source| Error::Call { plugin: Normaliser::NAME, source })? {
            Ok(record) => record,
            Err(reason) => return Ok(Err(clean(&reason))),
        };
        let arguments = (record.clone(),);
        let scored = latencies
            .time(Kind::WithHostFunction, || scoring.call_with(&plugins.scoring.score, arguments, &call))
            .map_err(|source| Error::Call { plugin: Scoring::NAME, source })?;
        Ok(match scored {
            Ok(score) => Ok(Done { line: line.to_vec(), normal: reply.clone(), record, score }),
            Err(reason) => Err(clean(&reason)),
        })
    }
}

/// All records, a batch at a time; and how many events there were meanwhile.
fn summarise(plugins: &Plugins, records: &[Record]) -> Result<(Summary, u64), Error> {
    let builder = plugins.surroundings.builder(&plugins.scoring.program);
    // Progress is worth nothing late: if nobody takes the events in time the oldest make room.
    let (builder, events) = builder.events(256, Overflow::DropOldest);
    let started = builder.build(Directory::default());
    let mut sandbox = started.map_err(|source| Error::Start { plugin: Scoring::NAME, source })?;
    let listener = Listener::start(events, progress::bar("summarising", records.len() as u64), BATCH as u64)?;

    let mut summary = Summary::default();
    let call = honest().wall(Duration::from_secs(60));
    for batch in records.chunks(BATCH) {
        let part = sandbox
            .call_with(&plugins.scoring.summarise, (batch.to_vec(),), &call)
            .map_err(|source| Error::Call { plugin: Scoring::NAME, source })?;
        summary.add(&part);
    }
    drop(sandbox);
    Ok((summary, listener.finish()))
}

impl Job {
    /// Counts what was scored.
    fn take(&mut self, done: &[Done]) {
        self.scored = done.len();
        for Done { score, .. } in done {
            match score.level {
                Level::Ordinary => self.levels.ordinary += 1,
                Level::Notable => self.levels.notable += 1,
                Level::Severe => self.levels.severe += 1,
            }
        }
        let mut highest: Vec<_> = done.iter().collect();
        highest.sort_by(|one, other| other.score.points.total_cmp(&one.score.points));
        let high = |done: &&Done| High {
            points: done.score.points,
            place: clean(&done.score.place),
            record: done.record.clone(),
        };
        self.highest = highest.iter().take(SHOWN).map(high).collect();
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, scored, levels: Levels { ordinary, notable, severe }, .. } = self;
        writeln!(f, "{lines} lines, {scored} scored: {ordinary} ordinary, {notable} notable, {severe} severe")?;
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|reason| std::cmp::Reverse(reason.1));
        for (reason, count) in refused.iter().take(SHOWN) {
            writeln!(f, "{count:>6} refused: {reason}")?;
        }
        for High { points, place, record } in &self.highest {
            let Record { time, temperature, wind, .. } = record;
            writeln!(f, "{points:>6.2} points: {place}, {time}, {temperature:.1} °C, wind {wind:.1} m/s")?;
        }
        let Summary { scored, total, highest, .. } = self.summary;
        let mean = total / f64::from(scored.max(1));
        writeln!(f, "{} batches summarised: mean {mean:.3}, highest {highest:.2}", self.batches)?;
        writeln!(f, "{} events, {} lookups, {} ms", self.events, self.lookups, self.milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heading_empty_lines_and_carriage_returns_are_no_lines() {
        let file = b"station,time\r\n\r\na,b\r\n\nstation,again\nlast";
        assert_eq!(lines(file).collect::<Vec<_>>(), [&b"a,b"[..], b"station,again", b"last"]);
    }
}
