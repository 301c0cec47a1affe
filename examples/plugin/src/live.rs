//! The same calls without exits: the plugins' guests run on threads of their own and are called through shared memory.
//!
//! It costs a core for as long as it lasts, so it is for plugins that are called all the time. What they answer must be the same.

use std::fmt::Debug;
use std::time::Duration;

use ampoule::{Call, CallError, Idle, Live};

use crate::error::Error;
use crate::job::Done;
use crate::latencies::{Kind, Latencies};
use crate::plugins::{Directory, Normaliser, Plugins, Scoring, honest};

/// Most lines: enough for a percentile, and done soon where there are fewer cores than threads.
const MOST: usize = 2000;
/// How long a guest spins for nothing before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// Calls the plugins with what the job called them with, and compares the answers.
pub(crate) fn run(plugins: &Plugins, done: &[Done], latencies: &mut Latencies) -> Result<(), Error> {
    let call = honest();
    let mut normaliser = start(plugins, Normaliser::NAME, &plugins.normaliser.program)?;
    let mut reply = Vec::new();
    for Done { line, normal, record, .. } in done.iter().take(MOST) {
        let normalised =
            latencies.time(Kind::LiveBytes, || normaliser.call_bytes(Normaliser::NORMALISE, line, &mut reply, &call));
        normalised.map_err(|source| Error::Call { plugin: Normaliser::NAME, source })?;
        same(Normaliser::NAME, &reply, normal)?;

        let arguments = (String::from_utf8_lossy(normal).into_owned(),);
        let parsed =
            latencies.time(Kind::LiveTyped, || normaliser.call_with(&plugins.normaliser.parse, arguments, &call));
        let parsed = parsed.map_err(|source| Error::Call { plugin: Normaliser::NAME, source })?;
        same(Normaliser::NAME, &parsed.as_ref(), &Ok(record))?;
    }
    drop(normaliser);

    let mut scoring = start(plugins, Scoring::NAME, &plugins.scoring.program)?;
    for Done { record, score, .. } in done.iter().take(MOST) {
        let arguments = (record.clone(),);
        let scored = latencies
            .time(Kind::LiveWithHostFunction, || scoring.call_with(&plugins.scoring.score, arguments, &call))
            .map_err(|source| Error::Call { plugin: Scoring::NAME, source })?;
        same(Scoring::NAME, &scored.as_ref(), &Ok(score))?;
    }
    // Not needed here, where it is dropped next: a live guest can become an ordinary sandbox again, and is checked to be well.
    let mut back = scoring.into_sandbox(&Call::new()).map_err(failed)?;
    if let Some(Done { record, score, .. }) = done.first() {
        let scored = back.call_with(&plugins.scoring.score, (record.clone(),), &call).map_err(failed)?;
        same(Scoring::NAME, &scored.as_ref(), &Ok(score))?;
    }
    Ok(())
}

fn failed(source: CallError) -> Error {
    Error::Call { plugin: Scoring::NAME, source }
}

fn start(plugins: &Plugins, plugin: &'static str, program: &ampoule::Program) -> Result<Live<Directory>, Error> {
    let sandbox = plugins.surroundings.start(plugin, program)?;
    sandbox.into_live(Idle::spin(SPIN)).map_err(|source| Error::Call { plugin, source })
}

fn same<T: PartialEq + Debug>(plugin: &'static str, got: &T, expected: &T) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Answer { plugin, got: format!("{got:?}"), expected: format!("{expected:?}") })
}
