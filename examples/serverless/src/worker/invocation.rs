//! One invocation, from the arrival of its message to the acknowledgement.
//!
//! ```text
//! message ─ held: "still at it" every third of ack_wait ─┬─ answered, or failed by itself ──────────► result ─ stored? ─ acknowledged
//!                                                        ├─ cannot run here or now ─► again later       └─ no: delivered again
//!                                                        └─ the same for the last time, or no sense in it ─► result ─ stored? ─ ended
//! ```
//! What is the function's fault has a result at once: it would fail again. What is the host's has none until it came too often.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use async_nats::{HeaderMap, header};
use bytes::Bytes;

use super::outcome::{Failed, Outcome};
use super::receipt::Receipt;
use super::session::Session;
use crate::functions::failure::{Failure, Kind};
use crate::functions::name::Name;

/// Where a submitter wants to be told of the result, beside the stream of results.
pub(crate) const REPLY: &str = "Ampoule-Reply";
/// Longest id, in bytes.
const MAX_ID: usize = 128;
/// Longest subject that a submitter may be told at.
const MAX_REPLY: usize = 256;
/// Longest wait between two deliveries of what could not run.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// What an invocation is called: a token of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Id(Box<str>);

/// A text that is no id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to {MAX_ID} of a-z, A-Z, 0-9, - and _")]
pub(crate) struct BadId;

impl FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_good) { Ok(Self(text.into())) } else { Err(BadId) }
    }
}

impl Id {
    /// The id of a message that has none of its own.
    pub(crate) fn of_sequence(sequence: u64) -> Self {
        Self(format!("seq-{sequence}").into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An invocation that has arrived.
#[derive(Debug)]
pub(crate) struct Invocation {
    receipt: Receipt,
    id: Result<Id, BadId>,
    sequence: u64,
    attempt: i64,
    function: String,
    body: Bytes,
    reply: Option<String>,
}

/// What is to be done with it.
enum Verdict {
    /// There is a result.
    Done(Result<Vec<u8>, Failure>, String),
    /// It could not run: not now, or not here.
    NotYet(Failure),
    /// It can never run.
    Never(Failed),
}

impl Invocation {
    /// None if it came from no stream: then nobody waits for an acknowledgement either.
    pub(crate) fn of(message: Message, session: &Session) -> Option<Self> {
        let (sequence, attempt) = message.info().ok().map(|info| (info.stream_sequence, info.delivered))?;
        let receipt = Receipt::new(session.connection.client.clone(), message.reply.clone()?);
        let headers = message.headers.as_ref();
        let id = match headers.and_then(|headers| headers.get(header::NATS_MESSAGE_ID)) {
            Some(id) => id.as_str().parse(),
            None => Ok(Id::of_sequence(sequence)),
        };
        Some(Self {
            receipt,
            id,
            sequence,
            attempt,
            function: session.queue.prefix.function(&message.subject).to_owned(),
            reply: headers.and_then(|headers| reply(headers, &session.reply_prefix)),
            body: message.message.payload,
        })
    }

    /// Runs it, if that can be, and tells what became of it.
    pub(crate) async fn run(mut self, session: &Session) {
        let held = self.receipt.hold(session.queue.ack_wait);
        let body = std::mem::take(&mut self.body);
        let (answered, version, kind) = match self.invoke(body, session).await {
            Verdict::Done(answered, version) => (answered.map_err(Failed::from), Some(version), AckKind::Ack),
            Verdict::NotYet(failure) if self.attempt < session.max_deliver => {
                let after = backoff(session.retry, self.attempt);
                tracing::debug!(
                    function = self.function,
                    attempt = self.attempt,
                    detail = failure.detail,
                    ?after,
                    "delivered again later"
                );
                drop(held);
                return self.receipt.again(after).await;
            }
            Verdict::NotYet(failure) => {
                let detail = format!("{} (delivered {} times, which is the last)", failure.detail, self.attempt);
                (Err(Failure { detail, ..failure }.into()), None, AckKind::Term)
            }
            Verdict::Never(failed) => (Err(failed), None, AckKind::Term),
        };
        let Self { receipt, id, sequence, attempt, function, reply, .. } = self;
        let id = id.unwrap_or_else(|_| Id::of_sequence(sequence));
        let failed = answered.as_ref().err().map(|failed| failed.kind);
        let outcome = Outcome { id: id.clone(), function, version, attempt, answered };
        if !outcome.tell(session, reply).await {
            tracing::warn!(%id, attempt, "a result could not be stored: the invocation will be delivered again");
            return;
        }
        // The result is there: that it is heard of only keeps the invocation from being run once more.
        if !receipt.settle(kind).await {
            tracing::warn!(%id, attempt, "an acknowledgement was not heard: the invocation may be delivered again");
        }
        tracing::debug!(%id, attempt, failed, "done");
    }

    async fn invoke(&self, body: Bytes, session: &Session) -> Verdict {
        if let Err(error) = &self.id {
            return Verdict::Never(Failed::message(format!("Nats-Msg-Id is no id: {error}")));
        }
        // Whoever had it before was killed: perhaps by it.
        if self.attempt > session.max_deliver {
            let detail = format!("no worker came to an end with it in {} deliveries", session.max_deliver);
            return Verdict::Never(Failure::new(Kind::Host, detail).into());
        }
        if let Err(error) = self.function.parse::<Name>() {
            let Failure { kind, detail, .. } = Failure::unknown(&self.function);
            return Verdict::Never(Failure::new(kind, format!("{detail}: {error}")).into());
        }
        let Some(function) = session.functions.get(&self.function) else {
            return Verdict::NotYet(Failure::unknown(&self.function));
        };
        let version = function.version();
        let sha256 = version.manifest.sha256.clone();
        match session.functions.invoke_version(&function, version, body).await {
            Err(failure) if failure.kind.is_refusal() || failure.kind == Kind::Host => Verdict::NotYet(failure),
            answered => Verdict::Done(answered, sha256),
        }
    }
}

/// Where the submitter wants to be told, if it is a place of submitters. A worker may publish where a submitter may not, and does not do it for one.
fn reply(headers: &HeaderMap, prefix: &str) -> Option<String> {
    let subject = headers.get(REPLY)?.as_str();
    let is_below = subject.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'$' | b'.');
    let is_literal = subject.len() <= MAX_REPLY
        && subject.bytes().all(is_plain)
        && subject.split('.').all(|token| !token.is_empty());
    (is_below && is_literal).then(|| subject.to_owned())
}

/// How long something waits for its next delivery: twice as long each time.
fn backoff(first: Duration, attempt: i64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 16)).unwrap_or(16);
    first.saturating_mul(2u32.pow(doublings)).min(MAX_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(subject: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(REPLY, subject);
        reply(&headers, "_INBOX")
    }

    #[test]
    fn a_submitter_is_told_only_where_submitters_are() {
        assert_eq!(asks("_INBOX.a.b").as_deref(), Some("_INBOX.a.b"));
        for other in [
            "$JS.API.STREAM.DELETE.x",
            "ampoule.invoke.a",
            "_INBOX",
            "_INBOXED.a",
            "_INBOX.",
            "_INBOX.*",
            "_INBOX.>",
            "_INBOX.a b",
            "",
        ] {
            assert_eq!(asks(other), None, "{other:?}");
        }
    }

    #[test]
    fn an_id_is_a_token_of_a_subject() {
        assert_eq!("Order-4_2".parse::<Id>().unwrap().as_str(), "Order-4_2");
        for bad in ["", "a.b", "*", ">", "a b", "ä", &"a".repeat(129)] {
            assert_eq!(bad.parse::<Id>(), Err(BadId), "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_run_waits_twice_as_long_each_time_up_to_a_minute() {
        let waits = [1, 2, 3, 7, 1000, i64::MAX].map(|attempt| backoff(Duration::from_secs(1), attempt).as_secs());
        assert_eq!(waits, [1, 2, 4, 60, 60, 60]);
    }
}
