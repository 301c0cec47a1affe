//! The queue: a stream that keeps each invocation until it is acknowledged, the consumer through which all workers share it, and a stream of results.
//!
//! ```text
//! PREFIX-invocations   PREFIX.invoke.>   retention: work queue    gone when acknowledged, or too old
//!   └─ workers         durable, pull     explicit acknowledgement; delivered again after ack_wait, without an end
//! PREFIX-results       PREFIX.result.>   retention: limits        gone when too old; a second result of an id stays beside the first
//! ```
//! The consumer has no limit on deliveries. The server only stops to deliver what is over such a limit: it stays in the stream, has no result, and
//! nobody is told. Workers count instead, and what came too often gets a result that says so.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};

use super::arguments::Streams;
use crate::functions::name::Name;

/// What all workers are called together.
const WORKERS: &str = "workers";
/// How long the server remembers ids, to take no invocation twice: JetStream's usual. Whoever submits again does so within it.
const DUPLICATES: Duration = Duration::from_secs(120);
/// Longest prefix, in bytes.
const MAX_PREFIX: usize = 32;

/// How the names of streams, bucket and subjects begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix(Box<str>);

/// A text that is no prefix.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is 1 to {MAX_PREFIX} of a-z, A-Z, 0-9, - and _")]
pub(crate) struct BadPrefix;

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=MAX_PREFIX).contains(&text.len()) && text.bytes().all(is_good) {
            Ok(Self(text.into()))
        } else {
            Err(BadPrefix)
        }
    }
}

impl Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// Where a function's invocations are published.
    pub(crate) fn invoke(&self, function: &Name) -> String {
        format!("{self}.invoke.{function}")
    }

    /// The function's name in such a subject: what follows, whether or not it is a name.
    pub(crate) fn function<'a>(&self, subject: &'a str) -> &'a str {
        let rest = subject.strip_prefix(&*self.0).and_then(|rest| rest.strip_prefix(".invoke."));
        rest.unwrap_or(subject)
    }

    /// Where the results of an invocation are published.
    pub(crate) fn result(&self, id: impl Display) -> String {
        format!("{self}.result.{id}")
    }

    /// The bucket of functions.
    pub(crate) fn bucket(&self) -> String {
        format!("{self}-functions")
    }

    fn invocations(&self) -> String {
        format!("{self}-invocations")
    }

    pub(crate) fn results(&self) -> String {
        format!("{self}-results")
    }
}

/// Why there is no queue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueError {
    #[error("cannot {action} {name}: {source}; the server needs JetStream, and this user the right to use it")]
    Server { action: &'static str, name: String, source: async_nats::Error },
    #[error("{name} is there and cannot be used: {reason}; choose another --prefix, or delete it")]
    Unfit { name: String, reason: String },
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) prefix: Prefix,
    pub(crate) invocations: Stream,
    pub(crate) consumer: Consumer<pull::Config>,
    /// How long the server waits for a sign of life of who has a message.
    pub(crate) ack_wait: Duration,
}

impl Queue {
    /// Makes what is missing. What is there stays as it is: where it is otherwise than asked for, the log says so.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(crate) async fn open(context: &Context, streams: &Streams) -> Result<Self, QueueError> {
        let invocations = invocations(context, streams).await?;
        results(context, streams).await?;
        let consumer = consumer(&invocations, streams).await?;
        let ack_wait = consumer.cached_info().config.ack_wait;
        Ok(Self { prefix: streams.prefix.clone(), invocations, consumer, ack_wait })
    }
}

/// The stream of invocations.
pub(crate) async fn invocations(context: &Context, streams: &Streams) -> Result<Stream, QueueError> {
    let max_bytes = if streams.queue_mib == 0 { -1 } else { i64::from(streams.queue_mib) << 20 };
    let config = Config {
        name: streams.prefix.invocations(),
        description: Some("Invocations that are not done with".to_owned()),
        subjects: vec![format!("{}.invoke.>", streams.prefix)],
        retention: RetentionPolicy::WorkQueue,
        // Whoever submits is told: nothing that was taken is given up for it.
        discard: DiscardPolicy::New,
        max_bytes,
        max_age: streams.max_age,
        num_replicas: streams.replicas,
        duplicate_window: duplicates(streams.max_age),
        ..Config::default()
    };
    stream(context, config).await
}

/// The stream of results.
pub(crate) async fn results(context: &Context, streams: &Streams) -> Result<Stream, QueueError> {
    let config = Config {
        name: streams.prefix.results(),
        description: Some("Results of invocations".to_owned()),
        subjects: vec![format!("{}.result.>", streams.prefix)],
        retention: RetentionPolicy::Limits,
        max_bytes: -1,
        max_age: streams.result_age,
        num_replicas: streams.replicas,
        duplicate_window: duplicates(streams.result_age),
        ..Config::default()
    };
    stream(context, config).await
}

/// The server refuses a window that is longer than what is in it stays.
fn duplicates(max_age: Duration) -> Duration {
    if max_age.is_zero() { DUPLICATES } else { DUPLICATES.min(max_age) }
}

async fn stream(context: &Context, config: Config) -> Result<Stream, QueueError> {
    let failed = |action: &'static str, source: async_nats::Error| QueueError::Server {
        action,
        name: config.name.clone(),
        source,
    };
    let found = match context.get_stream(&config.name).await {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND) =>
        {
            match context.create_stream(config.clone()).await {
                Ok(made) => {
                    tracing::info!(stream = config.name, "made a stream");
                    made
                }
                // Another made it at the same time, as it wants it to be.
                Err(error) if matches!(error.kind(), CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST) => {
                    context.get_stream(&config.name).await.map_err(|source| failed("look at", source.into()))?
                }
                Err(source) => return Err(failed("make", source.into())),
            }
        }
        Err(source) => return Err(failed("look at", source.into())),
    };
    let there = &found.cached_info().config;
    let unfit = |reason| QueueError::Unfit { name: config.name.clone(), reason };
    if there.retention != config.retention {
        return Err(unfit(format!("its retention is {:?}, and has to be {:?}", there.retention, config.retention)));
    }
    if let Some(missing) = config.subjects.iter().find(|subject| !there.subjects.contains(subject)) {
        return Err(unfit(format!("its subjects are {}, without {missing}", there.subjects.join(", "))));
    }
    for (what, there, asked) in [
        ("replicas", there.num_replicas.to_string(), config.num_replicas.to_string()),
        ("maximum age", format!("{:?}", there.max_age), format!("{:?}", config.max_age)),
        ("maximum of bytes", there.max_bytes.to_string(), config.max_bytes.to_string()),
    ] {
        if there != asked {
            tracing::warn!(
                stream = config.name,
                what,
                there,
                asked,
                "a stream is otherwise than asked for, and stays so"
            );
        }
    }
    Ok(found)
}

async fn consumer(stream: &Stream, streams: &Streams) -> Result<Consumer<pull::Config>, QueueError> {
    let name = || format!("{}/{WORKERS}", streams.prefix.invocations());
    let failed = |action: &'static str, source: async_nats::Error| QueueError::Server { action, name: name(), source };
    let config = pull::Config {
        durable_name: Some(WORKERS.to_owned()),
        description: Some("Shared by all workers".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: streams.ack_wait,
        max_deliver: -1,
        max_ack_pending: i64::from(streams.max_ack_pending),
        ..pull::Config::default()
    };
    match stream.consumer_info(WORKERS).await {
        Ok(_) => {}
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            let made = stream.create_consumer(config.clone()).await.map_err(|source| failed("make", source.into()))?;
            tracing::info!(consumer = name(), "made a consumer");
            return Ok(made);
        }
        Err(source) => return Err(failed("look at", source.into())),
    }
    let found = stream.get_consumer::<pull::Config>(WORKERS).await.map_err(|source| failed("use", source))?;
    let there = &found.cached_info().config;
    if there.ack_policy != AckPolicy::Explicit {
        let reason = format!("its acknowledgements are {:?}, and have to be explicit", there.ack_policy);
        return Err(QueueError::Unfit { name: name(), reason });
    }
    for (what, there, asked) in [
        ("ack wait", format!("{:?}", there.ack_wait), format!("{:?}", config.ack_wait)),
        ("maximum of deliveries", there.max_deliver.to_string(), config.max_deliver.to_string()),
        ("maximum of unacknowledged", there.max_ack_pending.to_string(), config.max_ack_pending.to_string()),
    ] {
        if there != asked {
            tracing::warn!(
                consumer = name(),
                what,
                there,
                asked,
                "the consumer is otherwise than asked for, and stays so"
            );
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_one_token_of_a_subject_and_a_part_of_a_streams_name() {
        for bad in ["", "a.b", "a b", "a*", ">", "ä", &"a".repeat(33)] {
            assert_eq!(bad.parse::<Prefix>(), Err(BadPrefix), "{bad:?}");
        }
        let prefix: Prefix = "ampoule".parse().unwrap();
        assert_eq!(prefix.invoke(&"word-count".parse().unwrap()), "ampoule.invoke.word-count");
        assert_eq!(prefix.function("ampoule.invoke.word-count"), "word-count");
        assert_eq!(prefix.function("ampoule.invoke.a.b"), "a.b");
    }
}
