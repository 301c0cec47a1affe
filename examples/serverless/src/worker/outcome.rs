//! What became of an invocation, as a message: the answer, or why there is none; and who says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use bytes::Bytes;
use tokio::time::sleep;

use super::invocation::Id;
use super::session::Session;
use crate::functions::failure::{Failure, Kind, clean};
use crate::functions::reports::ReportId;

/// Room for the headers of a result.
const HEADERS: usize = 8 << 10;
/// How often a result is published until the server says that it is stored.
const TELLINGS: u32 = 8;
/// The wait before it is published again, which doubles.
const AGAIN: Duration = Duration::from_millis(100);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) id: Id,
    /// As it was asked for: it need not be a name.
    pub(crate) function: String,
    /// The SHA-256 of the function's file, if it ran.
    pub(crate) version: Option<String>,
    pub(crate) attempt: i64,
    pub(crate) answered: Result<Vec<u8>, Failed>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
    /// Where more is told of it.
    pub(crate) report: Option<ReportId>,
}

impl Failed {
    /// It is the message that is wrong.
    pub(crate) fn message(detail: impl Into<String>) -> Self {
        Self { kind: "bad_message", detail: detail.into(), report: None }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind.as_str(), detail: failure.detail, report: failure.report }
    }
}

impl Outcome {
    /// Stores it, and then sends it to whoever wants to be told at once. False if the server never said that it is stored.
    pub(crate) async fn tell(self, session: &Session, reply: Option<String>) -> bool {
        let subject = session.queue.prefix.result(&self.id);
        let (headers, payload) = self.message(session);
        let mut wait = AGAIN;
        for _ in 0..TELLINGS {
            let context = &session.connection.context;
            let stored = match context.publish_with_headers(subject.clone(), headers.clone(), payload.clone()).await {
                Ok(acknowledgement) => acknowledgement.await.map(drop),
                Err(error) => Err(error),
            };
            match stored {
                Ok(()) => {
                    if let Some(reply) = reply {
                        // Whoever listens may be gone: the result is in the stream.
                        let _ = session.connection.client.publish_with_headers(reply, headers, payload).await;
                    }
                    return true;
                }
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    tracing::error!(%error, "a result is too long for the server that is connected now");
                    return false;
                }
                Err(error) => tracing::debug!(%error, "a result was not stored"),
            }
            sleep(wait).await;
            wait *= 2;
        }
        false
    }

    fn message(self, session: &Session) -> (HeaderMap, Bytes) {
        let Self { id, function, version, attempt, answered } = self;
        let most = session.connection.client.max_payload().saturating_sub(HEADERS);
        let answered = answered.and_then(|answer| {
            if answer.len() <= most {
                return Ok(answer);
            }
            let detail =
                format!("the answer has {} bytes, and a message of the NATS server has room for {most}", answer.len());
            Err(Failure::new(Kind::ReplyTooLong, detail).into())
        });
        let mut headers = HeaderMap::new();
        let mut say = |name: &'static str, value: &str| headers.insert(name, clean(value));
        say("Ampoule-Id", id.as_str());
        say("Ampoule-Function", &function);
        if let Some(version) = version {
            say("Ampoule-Version", &version);
        }
        say("Ampoule-Attempt", &attempt.to_string());
        say("Ampoule-Worker", &session.name);
        // It names this one publishing, and not the invocation: what is published again because nobody said that it is stored is stored once, and
        // what another delivery of the same invocation comes to is stored beside it.
        say("Nats-Msg-Id", &session.unique());
        let payload = match answered {
            Ok(answer) => {
                say("Ampoule-Outcome", "ok");
                answer
            }
            Err(failed) => {
                say("Ampoule-Outcome", failed.kind);
                say("Ampoule-Detail", &failed.detail);
                if let Some(report) = failed.report {
                    say("Ampoule-Report", &report.to_string());
                }
                Vec::new()
            }
        };
        (headers, payload.into())
    }
}

/// Names that nobody else gives: random, and counted.
#[derive(Debug)]
pub(crate) struct Unique {
    random: String,
    next: AtomicU64,
}

impl Unique {
    pub(crate) fn new() -> Self {
        Self { random: random(), next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> String {
        format!("{}-{}", self.random, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// 128 random bits, in hexadecimal.
pub(crate) fn random() -> String {
    let mut bytes = [0; 16];
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        // No such system call: what is at hand differs between processes all the same.
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = (time.as_nanos() ^ (u128::from(std::process::id()) << 96)).to_le_bytes();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
