//! Functions in the server's object store: the file as an object of the function's name, the settings in that object's metadata.
//!
//! ```text
//! $O.PREFIX-functions.C.NUID     the file, in pieces
//! $O.PREFIX-functions.M.NAME     its length, its SHA-256, where its pieces are, and its settings: published last, in one message
//! ```
//! So a function and its settings change at one moment or not at all. Whoever may write to the bucket may write anything: what is read from it is
//! measured, and compared with its digest. Links are not followed.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::jetstream::object_store::{self, ObjectInfo, ObjectMetadata, ObjectStore};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, Message};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::arguments::Streams;
use crate::functions::name::Name;
use crate::functions::settings::Settings;

/// What the settings are called in the metadata.
const SETTINGS: &str = "settings";
/// Longest settings, in bytes.
const MAX_SETTINGS: usize = 4096;
/// How long the next piece of an object may take.
const PIECE: Duration = Duration::from_secs(5);

/// Why the bucket cannot be used, or something in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    #[error("cannot {action} the bucket {bucket}: {source}")]
    Server { action: &'static str, bucket: String, source: async_nats::Error },
    #[error("cannot read {name}: {reason}")]
    NotNow { name: Name, reason: String },
    #[error("{object} is refused: {reason}")]
    Refused { object: String, reason: String },
}

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct Bucket {
    name: String,
    context: Context,
    stream: Stream,
    store: ObjectStore,
}

/// What the bucket says of a function.
#[derive(Debug)]
pub(crate) enum Entry {
    Deleted,
    Object(Object),
}

/// A function's file, before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    nuid: String,
    pub(crate) bytes: usize,
    digest: String,
    /// As they are stored.
    pub(crate) settings: Option<String>,
}

impl Bucket {
    /// Makes it if it is not there.
    pub(crate) async fn open(context: &Context, streams: &Streams) -> Result<Self, BucketError> {
        let name = streams.prefix.bucket();
        let failed = |action: &'static str, source: async_nats::Error| BucketError::Server {
            action,
            bucket: name.clone(),
            source,
        };
        let store = match context.get_object_store(&name).await {
            Ok(store) => store,
            // If it is there although it was not found, the server does not make another.
            Err(_) => {
                let config = object_store::Config {
                    bucket: name.clone(),
                    description: Some("Functions".to_owned()),
                    max_bytes: -1,
                    num_replicas: streams.replicas,
                    ..object_store::Config::default()
                };
                let made = context.create_object_store(config).await.map_err(|source| failed("make", source.into()))?;
                tracing::info!(bucket = name, "made a bucket");
                made
            }
        };
        let stream = context.get_stream(format!("OBJ_{name}")).await.map_err(|source| failed("use", source.into()))?;
        Ok(Self { name, context: context.clone(), stream, store })
    }

    /// Writes a function. Returns the SHA-256 of its file, in hexadecimal.
    pub(crate) async fn put(&self, function: &Name, image: &[u8], settings: &Settings) -> Result<String, BucketError> {
        let settings = serde_json::to_string(settings).map_err(|source| self.failed("write to", source.into()))?;
        let metadata = ObjectMetadata {
            name: function.to_string(),
            metadata: HashMap::from([(SETTINGS.to_owned(), settings)]),
            ..ObjectMetadata::default()
        };
        let mut reader = image;
        let put = self.store.put(metadata, &mut reader).await;
        put.map_err(|source| self.failed("write to", source.into()))?;
        Ok(crate::functions::store::digest(image))
    }

    /// Takes a function out.
    pub(crate) async fn delete(&self, function: &Name) -> Result<(), BucketError> {
        let deleted = self.store.delete(function.as_str()).await;
        deleted.map_err(|source| self.failed("delete from", source.into()))
    }

    /// What is in it, and then what is changed, for ever; and how many of them are there already.
    pub(crate) async fn entries(&self) -> Result<(push::Ordered, u64), BucketError> {
        self.subscribe(format!("$O.{}.M.>", self.name), DeliverPolicy::LastPerSubject).await
    }

    /// The function that an entry is of, and what it says.
    pub(crate) fn read(&self, message: &Message) -> Result<(Name, Result<Entry, BucketError>), BucketError> {
        let token = message.subject.rsplit('.').next().unwrap_or_default();
        let text = BASE64_URL_SAFE.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(name) = text.as_deref().and_then(|text| text.parse::<Name>().ok()) else {
            let object = crate::functions::failure::clean(text.as_deref().unwrap_or(token));
            return Err(BucketError::Refused { object, reason: "that is no name of a function".to_owned() });
        };
        let entry = entry(&message.payload).map_err(|reason| BucketError::Refused { object: name.to_string(), reason });
        Ok((name, entry))
    }

    /// Reads a function's file.
    pub(crate) async fn get(&self, name: &Name, object: &Object) -> Result<Bytes, BucketError> {
        let refused = |reason: String| BucketError::Refused { object: name.to_string(), reason };
        let not_now = |reason: String| BucketError::NotNow { name: name.clone(), reason };
        let mut image = BytesMut::new();
        if object.bytes > 0 {
            let (mut pieces, _) =
                self.subscribe(format!("$O.{}.C.{}", self.name, object.nuid), DeliverPolicy::All).await?;
            while image.len() < object.bytes {
                let piece = match timeout(PIECE, pieces.next()).await {
                    Ok(Some(Ok(piece))) => piece,
                    Ok(Some(Err(error))) => return Err(not_now(error.to_string())),
                    Ok(None) => return Err(not_now("the pieces came to an end".to_owned())),
                    Err(_) => return Err(not_now(format!("{} of {} bytes are there", image.len(), object.bytes))),
                };
                if piece.payload.len() > object.bytes - image.len() {
                    return Err(refused(format!(
                        "it is longer than the {} bytes that it is said to have",
                        object.bytes
                    )));
                }
                image.extend_from_slice(&piece.payload);
            }
        }
        let image = image.freeze();
        // A large file takes long, and acknowledgements are not to wait for it.
        let digested = tokio::task::spawn_blocking({
            let image = image.clone();
            move || BASE64_URL_SAFE.encode(Sha256::digest(&image))
        });
        if digested.await.is_ok_and(|digest| digest == object.digest) {
            return Ok(image);
        }
        Err(refused("its SHA-256 is another than it is said to be".to_owned()))
    }

    async fn subscribe(&self, subject: String, deliver: DeliverPolicy) -> Result<(push::Ordered, u64), BucketError> {
        let config = push::OrderedConfig {
            deliver_subject: self.context.client().new_inbox(),
            filter_subject: subject,
            deliver_policy: deliver,
            ..push::OrderedConfig::default()
        };
        let consumer =
            self.stream.create_consumer(config).await.map_err(|source| self.failed("read", source.into()))?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.map_err(|source| self.failed("read", source.into()))?;
        Ok((messages, pending))
    }

    fn failed(&self, action: &'static str, source: async_nats::Error) -> BucketError {
        BucketError::Server { action, bucket: self.name.clone(), source }
    }
}

/// Reads what the bucket says of an object.
fn entry(payload: &[u8]) -> Result<Entry, String> {
    let info: ObjectInfo =
        serde_json::from_slice(payload).map_err(|error| format!("its description cannot be read: {error}"))?;
    if info.deleted {
        return Ok(Entry::Deleted);
    }
    if info.options.as_ref().is_some_and(|options| options.link.is_some()) {
        return Err("it is a link".to_owned());
    }
    // A token of a subject, and nothing that is more than one.
    if info.nuid.is_empty() || info.nuid.len() > 64 || !info.nuid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("where its pieces are is no place".to_owned());
    }
    let Some(digest) = info.digest.as_deref().and_then(|digest| digest.strip_prefix("SHA-256=")) else {
        return Err("it has no SHA-256".to_owned());
    };
    let settings = info.metadata.get(SETTINGS).cloned();
    if settings.as_ref().is_some_and(|settings| settings.len() > MAX_SETTINGS) {
        return Err(format!("its settings are longer than {MAX_SETTINGS} bytes"));
    }
    Ok(Entry::Object(Object { nuid: info.nuid, bytes: info.size, digest: digest.to_owned(), settings }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(changes: &[(&str, Value)]) -> Result<Entry, String> {
        let mut info = json!({ "name": "a", "bucket": "b", "nuid": "N1", "size": 3, "chunks": 1, "digest": "SHA-256=x",
            "mtime": "2026-01-01T00:00:00Z", "metadata": { "settings": "{}" } });
        for (name, value) in changes {
            info[*name] = value.clone();
        }
        entry(info.to_string().as_bytes())
    }

    #[test]
    fn what_is_no_function_is_refused_before_it_is_read() {
        assert!(matches!(said(&[]), Ok(Entry::Object(Object { bytes: 3, .. }))));
        assert!(matches!(said(&[("deleted", json!(true))]), Ok(Entry::Deleted)));
        for (name, value) in [
            ("nuid", json!(">")),
            ("nuid", json!("")),
            ("digest", json!("MD5=x")),
            ("size", json!(-1)),
            ("options", json!({ "link": { "name": "a", "bucket": "b" } })),
            ("metadata", json!({ "settings": "x".repeat(5000) })),
        ] {
            let refused = said(&[(name, value.clone())]);
            assert!(refused.is_err(), "{name} {value}");
        }
        assert!(entry(b"\xff{").is_err());
    }
}
