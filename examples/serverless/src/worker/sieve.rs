//! Messages that the client cannot read are taken out of the queue, with a result that says so.
//!
//! Whoever may publish can store a message with a subject or headers that are no text, or no headers. The server takes it, and delivers it; the client
//! breaks the connection over it, and so does every client to which it is delivered again. Nothing of it ever gets to an [invocation](super::invocation).
//! So when a connection was lost, the messages that somebody has and nobody has acknowledged are looked at one by one, in a form that no message can break.

use async_nats::jetstream::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::invocation::Id;
use super::outcome::{Failed, Outcome};
use super::session::Session;

/// Most messages that are looked at in one go. What is behind them is looked at when those before it are done with.
const MOST: usize = 10_000;

/// A message as the server tells of it in JSON.
#[derive(Debug, Deserialize)]
struct Told {
    message: Raw,
}

#[derive(Debug, Deserialize)]
struct Raw {
    subject: String,
    #[serde(default)]
    hdrs: Option<String>,
}

/// Looks at what is delivered and not acknowledged.
pub(crate) async fn sieve(session: &Session) {
    let Ok(consumer) = session.queue.consumer.get_info().await else { return };
    let (first, last) = (consumer.ack_floor.stream_sequence.saturating_add(1), consumer.delivered.stream_sequence);
    if consumer.num_ack_pending == 0 {
        return;
    }
    for sequence in (first..=last).take(MOST) {
        let subject = format!("STREAM.MSG.GET.{}", consumer.stream_name);
        let told = session.connection.context.request(subject, &json!({ "seq": sequence })).await;
        // What is acknowledged meanwhile is not there any more.
        let Ok(Response::Ok(Told { message })) = told else { continue };
        if is_readable(&message) {
            continue;
        }
        let function = session.queue.prefix.function(&message.subject).to_owned();
        tracing::warn!(sequence, "a message cannot be read, and is taken out of the queue");
        let failed = Failed::message("its subject or its headers cannot be read");
        // How often it was delivered is known only to those who cannot read it.
        let outcome =
            Outcome { id: Id::of_sequence(sequence), function, version: None, attempt: 0, answered: Err(failed) };
        if outcome.tell(session, None).await
            && let Err(error) = session.queue.invocations.delete_message(sequence).await
        {
            tracing::debug!(%error, sequence, "not taken out: perhaps another worker has done it");
        }
    }
}

fn is_readable(message: &Raw) -> bool {
    // The server's JSON has a mark where a subject is no text.
    let subject = message.subject.bytes().all(|byte| byte.is_ascii_graphic());
    let headers =
        message.hdrs.as_ref().is_none_or(|hdrs| BASE64_STANDARD.decode(hdrs).is_ok_and(|bytes| are_headers(&bytes)));
    subject && headers
}

/// Is it a version without a status, which only the server gives, and then lines with a name and a value?
fn are_headers(bytes: &[u8]) -> bool {
    let Some(lines) = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_prefix("NATS/1.0\r\n")) else {
        return false;
    };
    lines.split("\r\n").all(|line| {
        let is_one_line = !line.contains(['\r', '\n']);
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_graphic());
        let goes_on = line.starts_with(' ') || line.starts_with('\t');
        is_one_line && (line.is_empty() || goes_on || line.split_once(':').is_some_and(|(name, _)| is_name(name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_breaks_over_is_not_readable() {
        for good in ["NATS/1.0\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: ä: c\r\nB:\r\n\r\n"] {
            assert!(are_headers(good.as_bytes()), "{good:?}");
        }
        for bad in [
            "",
            "NATS/1.0",
            "NATS/1.0 409 gone\r\n\r\n",
            "NATS/1.0\r\nno colon\r\n\r\n",
            "NATS/1.0\r\na b: c\r\n\r\n",
            "NATS/1.0\r\nA: b\rc\r\n\r\n",
        ] {
            assert!(!are_headers(bad.as_bytes()), "{bad:?}");
        }
        assert!(!are_headers(b"NATS/1.0\r\nA: \xff\r\n\r\n"));
        for (subject, readable) in [("a.invoke.b", true), ("a.invoke.\u{fffd}", false), ("a.invoke.b c", false)] {
            assert_eq!(is_readable(&Raw { subject: subject.to_owned(), hdrs: None }), readable, "{subject:?}");
        }
    }
}
