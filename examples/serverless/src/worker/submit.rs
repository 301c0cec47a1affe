//! The other side of the queue: functions and invocations are put in, and results read.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::{HeaderMap, header};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::WorkerError;
use super::arguments::{Deploy, Submit};
use super::bucket::Bucket;
use super::connection::Connection;
use super::invocation::Id;
use super::outcome::random;
use super::queue::{invocations, results};
use crate::error::Error;

/// How a submitter is called in the server's list of clients.
const CLIENT: &str = "serverless";

/// Puts a function into the object store, or takes one out.
pub(crate) async fn deploy(deploy: Deploy) -> Result<(), Error> {
    let settings = deploy.settings.checked().map_err(|source| Error::Setting { source })?;
    let connection = Connection::open(&deploy.connection, CLIENT).await.map_err(WorkerError::from)?;
    let bucket = Bucket::open(&connection.context, &deploy.streams).await.map_err(WorkerError::from)?;
    let told = match &deploy.file {
        Some(path) => {
            let image = std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let sha256 = bucket.put(&deploy.name, &image, &settings).await.map_err(WorkerError::from)?;
            format!("{} {sha256}\n", deploy.name)
        }
        None => {
            bucket.delete(&deploy.name).await.map_err(WorkerError::from)?;
            format!("{} deleted\n", deploy.name)
        }
    };
    print(told.as_bytes()).map_err(|source| Error::Print { source })
}

/// Puts an invocation into the queue, and waits for its result if it is to.
pub(crate) async fn submit(submit: Submit) -> Result<(), Error> {
    let connection = Connection::open(&submit.connection, CLIENT).await.map_err(WorkerError::from)?;
    let context = &connection.context;
    invocations(context, &submit.streams).await.map_err(WorkerError::from)?;
    let body = read(submit.body.as_deref(), connection.client.max_payload())?;
    let prefix = &submit.streams.prefix;
    let id: Id = match submit.id {
        Some(id) => id,
        None => random().parse().map_err(|_| WorkerError::NotStored { source: "no id".into() })?,
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MESSAGE_ID, id.as_str());
    let not_stored = |source: async_nats::Error| WorkerError::NotStored { source };
    let sent = context.publish_with_headers(prefix.invoke(&submit.name), headers, body).await;
    let stored = sent.map_err(|source| not_stored(source.into()))?.await.map_err(|source| not_stored(source.into()))?;
    if stored.duplicate {
        tracing::warn!(%id, "this id was submitted before, and is not run again");
    }
    let Some(wait) = submit.wait else {
        return print(format!("{id}\n").as_bytes()).map_err(|source| Error::Print { source });
    };
    let stream = results(context, &submit.streams).await.map_err(WorkerError::from)?;
    let answer = result(&connection, &stream, &id, prefix.result(&id), wait).await?;
    print(&answer).map_err(|source| Error::Print { source })
}

/// Waits for a result: one that is there already is as good.
async fn result(
    connection: &Connection,
    stream: &async_nats::jetstream::stream::Stream,
    id: &Id,
    subject: String,
    wait: Duration,
) -> Result<Bytes, WorkerError> {
    let none = |subject| WorkerError::NoResult { id: id.to_string(), subject, waited: wait };
    let first = async {
        let config = push::OrderedConfig {
            deliver_subject: connection.client.new_inbox(),
            filter_subject: subject.clone(),
            deliver_policy: DeliverPolicy::All,
            ..push::OrderedConfig::default()
        };
        stream.create_consumer(config).await.ok()?.messages().await.ok()?.next().await?.ok()
    };
    let Ok(Some(message)) = timeout(wait, first).await else { return Err(none(subject)) };
    let message = message.message;
    let said = |name: &'static str| {
        let headers = message.headers.as_ref();
        headers.and_then(|headers| headers.get(name)).map(|value| value.as_str().to_owned()).unwrap_or_default()
    };
    match said("Ampoule-Outcome") {
        kind if kind == "ok" => Ok(message.payload),
        kind => Err(WorkerError::Failed { id: id.to_string(), kind, detail: said("Ampoule-Detail") }),
    }
}

/// Reads a body that a message has room for.
fn read(path: Option<&Path>, most: usize) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = match path {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut body)),
        None => io::stdin().lock().take(limit).read_to_end(&mut body),
    };
    let path = path.unwrap_or(Path::new("/dev/stdin"));
    read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if body.len() > most {
        return Err(WorkerError::TooLong { most }.into());
    }
    Ok(body.into())
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
