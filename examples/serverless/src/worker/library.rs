//! The functions of a worker are those of the bucket: what is there at the start, and then what is put in, replaced or taken out.
//!
//! A file that is no function, or is not what it is said to be, is told in the log and left alone until it is replaced; what was served before is
//! served on. A file that cannot be read now is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::arguments::Streams;
use super::bucket::{Bucket, BucketError, Entry, Object};
use super::connection::Connection;
use crate::functions::failure::clean;
use crate::functions::name::Name;
use crate::functions::settings::Settings;
use crate::functions::{Functions, NotDeployed};

/// The wait before something is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a worker waits for what is in the bucket before it fetches invocations: those of functions that are not there yet come again later.
const CATCH_UP: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Library {
    functions: Arc<Functions>,
    /// What a function has whose deployment says nothing.
    defaults: Settings,
    /// What was taken up or refused: it is not read twice.
    known: Mutex<BTreeMap<Name, Object>>,
}

/// As long as it is there, the functions follow the bucket.
#[derive(Debug)]
pub(crate) struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Library {
    pub(crate) fn new(functions: Arc<Functions>, defaults: Settings) -> Self {
        Self { functions, defaults, known: Mutex::default() }
    }

    /// Takes up what is in the bucket, and begins to follow it.
    ///
    /// # Errors
    /// If there is no bucket, and none can be made.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        connection: &Connection,
        streams: &Streams,
    ) -> Result<Following, BucketError> {
        let bucket = Bucket::open(&connection.context, streams).await?;
        let (caught_up, is_caught_up) = oneshot::channel();
        let library = Arc::clone(self);
        let following = Following(tokio::spawn(async move {
            let mut caught_up = Some(caught_up);
            loop {
                if let Err(error) = library.pass(&bucket, &mut caught_up).await {
                    tracing::warn!(%error, "functions cannot be followed at the moment");
                }
                sleep(AGAIN).await;
            }
        }));
        if timeout(CATCH_UP, is_caught_up).await.is_err() {
            tracing::warn!("not all functions are there yet");
        }
        Ok(following)
    }

    /// Reads the bucket from its start, and then what changes, until something is to be tried again.
    async fn pass(&self, bucket: &Bucket, caught_up: &mut Option<oneshot::Sender<()>>) -> Result<(), BucketError> {
        let (mut entries, mut pending) = bucket.entries().await?;
        let mut seen = Some(BTreeSet::new());
        let mut again = None::<Instant>;
        loop {
            if pending == 0
                && let Some(seen) = seen.take()
            {
                self.keep(&seen).await;
                if let Some(caught_up) = caught_up.take() {
                    // Nobody waits any more.
                    let _ = caught_up.send(());
                }
            }
            let message = tokio::select! {
                message = entries.next() => message,
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => return Ok(()),
            };
            let Some(Ok(message)) = message else { return Ok(()) };
            pending = message.info().map_or(0, |info| info.pending);
            match bucket.read(&message) {
                Ok((name, entry)) => {
                    if let Some(seen) = &mut seen {
                        seen.insert(name.clone());
                    }
                    match self.take(bucket, &name, entry).await {
                        Ok(()) => {}
                        Err(error @ BucketError::Refused { .. }) => {
                            tracing::error!(%error, "a function is not taken up")
                        }
                        Err(error) => {
                            tracing::warn!(%error, "a function is tried again");
                            again.get_or_insert_with(|| Instant::now() + AGAIN);
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "a function is not taken up"),
            }
        }
    }

    async fn take(&self, bucket: &Bucket, name: &Name, entry: Result<Entry, BucketError>) -> Result<(), BucketError> {
        let object = match entry? {
            Entry::Deleted => {
                self.remove(name).await;
                return Ok(());
            }
            Entry::Object(object) => object,
        };
        if self.known.lock().await.get(name) == Some(&object) {
            return Ok(());
        }
        let taken = self.deploy(bucket, name, &object).await;
        if !matches!(taken, Err(BucketError::NotNow { .. } | BucketError::Server { .. })) {
            self.known.lock().await.insert(name.clone(), object);
        }
        taken
    }

    async fn deploy(&self, bucket: &Bucket, name: &Name, object: &Object) -> Result<(), BucketError> {
        let refused = |reason: String| BucketError::Refused { object: name.to_string(), reason };
        let most = self.functions.most().image_bytes;
        if object.bytes > most {
            return Err(refused(format!("it has {} bytes, and this worker takes {most}", object.bytes)));
        }
        let settings = settings(&self.defaults, object.settings.as_deref()).map_err(refused)?;
        let image = bucket.get(name, object).await?;
        let deployed = self.functions.deploy(name.clone(), image, settings).await;
        deployed.map(drop).map_err(|error| {
            let reason = clean(&error.to_string());
            match error {
                NotDeployed::NoFunction(_) => refused(reason),
                // What the host lacks now it may have later.
                _ => BucketError::NotNow { name: name.clone(), reason },
            }
        })
    }

    /// Removes what is in the bucket no more, without a word of it.
    async fn keep(&self, seen: &BTreeSet<Name>) {
        let gone: Vec<_> = self.known.lock().await.keys().filter(|name| !seen.contains(*name)).cloned().collect();
        for name in gone {
            self.remove(&name).await;
        }
    }

    async fn remove(&self, name: &Name) {
        self.known.lock().await.remove(name);
        if let Err(error) = self.functions.delete(name.to_string()).await {
            tracing::error!(%error, function = %name, "a function is not deleted");
        }
    }
}

/// The defaults with what is stored: a JSON object of some settings.
fn settings(defaults: &Settings, stored: Option<&str>) -> Result<Settings, String> {
    let Some(stored) = stored else { return Ok(defaults.clone()) };
    let changes: BTreeMap<String, Value> =
        serde_json::from_str(stored).map_err(|error| format!("its settings cannot be read: {error}"))?;
    let changes: Vec<_> = changes
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => (name, text),
            value => (name, value.to_string()),
        })
        .collect();
    defaults.with(&changes).map_err(|error| error.to_string())
}
