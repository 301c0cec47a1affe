//! A program that reads its input while it comes, and whose answer goes out while it is written.
//!
//! ```text
//! body ── pump ──► pipe ──► stdin ┌─────────┐ stdout ──► pipe ──► held back ── ended well ──► a whole answer
//!                                 │ program │                        │      └─ failed ─────► a failure, with its status
//!                                 └─────────┘                        └─ much, or old ──────► a stream, which breaks off if the program fails
//! ```
//! Nobody holds more than a piece of it: a client that sends or takes slowly makes the program wait, within its wall time.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ampoule::{CancelToken, Output, RunError, Stdio};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::task::JoinError;
use tokio::time::{Instant, timeout_at};

use super::admission::Admitted;
use super::failure::{Failure, Kind};
use super::function::Counted;
use super::reports::Reports;
use super::version::Version;
use crate::lanes::{AbortOnDrop, History, Lanes};

/// Bytes of an answer that are held back: a program that fails before it has written so many gets the status of its failure…
const HELD: usize = 64 << 10;
/// …unless the first of them are as old as that: somebody may wait for them to send more.
const HELD_TIME: Duration = Duration::from_millis(50);
/// Bytes of an answer that are sent at once.
const PIECE: usize = 64 << 10;

/// A body, or an answer, as it comes.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What a program answers.
pub(crate) enum Answer {
    /// All of it: the program has ended well.
    Whole(Bytes),
    /// It is not done. The pieces end with an error if the program does not end well.
    Pieces(Pieces),
}

/// How a program's run came out of its lane.
type Ran = Result<Result<Output, RunError>, JoinError>;

/// A program that runs.
struct Running {
    version: Arc<Version>,
    reports: Arc<Reports>,
    output: Receiver,
    run: AbortOnDrop<Ran>,
    /// Why the body did not come to its end, if that is why the program was stopped.
    lost: Arc<Mutex<Option<Failure>>>,
    _pump: AbortOnDrop<()>,
    counted: Counted,
}

/// Runs a program on a body that comes in pieces. Dropping the future, or the stream that it returns, stops the program.
pub(super) async fn answer(
    (version, reports): (Arc<Version>, Arc<Reports>),
    lane: (Lanes, Arc<History>),
    (admitted, counted): (Admitted, Counted),
    body: Pieces,
) -> Result<Answer, Failure> {
    let no_pipe = |error: io::Error| Failure::new(Kind::Host, format!("no pipe to the function: {error}"));
    let (stdin, input) = io::pipe().map_err(no_pipe)?;
    let (output, stdout) = io::pipe().map_err(no_pipe)?;
    let input = Sender::from_owned_fd(input.into()).map_err(no_pipe)?;
    let output = Receiver::from_owned_fd(output.into()).map_err(no_pipe)?;
    let stop = CancelToken::new();
    let run = start(&version, lane, admitted, &stop, stdin, stdout)?;
    let lost = Arc::default();
    let most = version.manifest.settings.body_bytes();
    let pump = AbortOnDrop(tokio::spawn(pump(body, input, most, stop, Arc::clone(&lost))));
    let mut running = Running { version, reports, output, run, lost, _pump: pump, counted };
    let mut held = BytesMut::new();
    let mut old = None;
    while held.len() < HELD {
        held.reserve(PIECE);
        let read = read(&mut running.output, &mut held);
        let read = match old {
            None => read.await?,
            Some(old) => match timeout_at(old, read).await {
                Ok(read) => read?,
                Err(_) => break,
            },
        };
        if read == 0 {
            running.ended().await?;
            return Ok(Answer::Whole(held.freeze()));
        }
        old = old.or_else(|| Some(Instant::now() + HELD_TIME));
    }
    Ok(Answer::Pieces(Box::pin(stream::try_unfold((running, held), next))))
}

/// The next piece of an answer.
async fn next((mut running, held): (Running, BytesMut)) -> io::Result<Option<(Bytes, (Running, BytesMut))>> {
    if !held.is_empty() {
        return Ok(Some((held.freeze(), (running, BytesMut::new()))));
    }
    let mut piece = BytesMut::with_capacity(PIECE);
    let broken = |failure: Failure| io::Error::other(failure.detail);
    if read(&mut running.output, &mut piece).await.map_err(broken)? == 0 {
        return running.ended().await.map(|()| None).map_err(|failure| {
            tracing::info!(detail = failure.detail, "an answer breaks off: its function failed");
            broken(failure)
        });
    }
    Ok(Some((piece.freeze(), (running, BytesMut::new()))))
}

fn start(
    version: &Version,
    (lanes, history): (Lanes, Arc<History>),
    admitted: Admitted,
    stop: &CancelToken,
    stdin: PipeReader,
    stdout: PipeWriter,
) -> Result<AbortOnDrop<Ran>, Failure> {
    let mut command = version.command(version.manifest.settings.call().cancel(stop))?;
    // The run takes its ends of the pipes, and closes them: so the answer comes to its end.
    let run =
        command.stdin(Stdio::from(OwnedFd::from(stdin))).stdout(Stdio::from(OwnedFd::from(stdout))).output_async();
    let run = async move {
        // Its place is free when its guest is gone.
        let _admitted = admitted;
        run.await
    };
    Ok(AbortOnDrop(tokio::spawn(async move { lanes.run(&history, run).await })))
}

/// Gives the program its input, no more than it may have. What it does not read does not come in.
async fn pump(mut body: Pieces, mut input: Sender, most: usize, stop: CancelToken, lost: Arc<Mutex<Option<Failure>>>) {
    let mut left = most;
    while let Some(piece) = body.next().await {
        let failure = match piece {
            Ok(piece) if piece.len() > left => Failure::body_too_long(most),
            Ok(piece) => {
                left -= piece.len();
                if input.write_all(&piece).await.is_err() {
                    // The program reads no more, and need not.
                    return;
                }
                continue;
            }
            Err(error) => Failure::new(Kind::BodyLost, format!("the body did not come to its end: {error}")),
        };
        *lost.lock() = Some(failure);
        // Before its input ends: the program must not take what came for everything.
        stop.cancel();
        return std::future::pending().await;
    }
}

async fn read(output: &mut Receiver, to: &mut BytesMut) -> Result<usize, Failure> {
    let read = output.read_buf(to).await;
    read.map_err(|error| Failure::new(Kind::Host, format!("the function's answer cannot be read: {error}")))
}

impl Running {
    /// How it ended, once its answer has.
    async fn ended(&mut self) -> Result<(), Failure> {
        let ended = self.outcome().await;
        self.counted.set(&ended);
        ended
    }

    async fn outcome(&mut self) -> Result<(), Failure> {
        let run = (&mut self.run).await.and_then(|run| run);
        let output = run.map_err(|_| Failure::panicked())??;
        if let Some(lost) = self.lost.lock().take() {
            return Err(lost);
        }
        self.version.ended_well(&output, &self.reports)
    }
}
