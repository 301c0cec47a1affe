//! The functions of a host, whoever asks for them: deployed, kept, invoked. Nothing here knows of HTTP or of a queue.
//!
//! ```text
//! name, settings   what a function is called, and what it may use
//! function         a name's invocations ──► version   one version, ready: a pool of sandboxes, or a program
//! admission        who may come in                    store     versions on disk
//! failure          how an invocation fails            reports   what crashed, measures: what was counted
//! streaming        input and answer in pieces
//! ```

pub(crate) mod admission;
pub(crate) mod failure;
pub(crate) mod function;
pub(crate) mod measures;
pub(crate) mod name;
pub(crate) mod reports;
pub(crate) mod settings;
pub(crate) mod store;
pub(crate) mod streaming;
pub(crate) mod version;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use self::failure::Failure;
use self::function::Function;
use self::name::Name;
use self::reports::Reports;
use self::settings::Settings;
use self::store::{Manifest, Store, StoreError};
use self::streaming::{Answer, Pieces};
use self::version::{NoFunction, Version};
use crate::lanes::Lanes;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Functions {
    by_name: RwLock<BTreeMap<Name, Arc<Function>>>,
    /// None: a restart forgets them.
    store: Option<Arc<Store>>,
    /// Held by whoever changes which functions there are.
    changing: Arc<Mutex<()>>,
    lanes: Lanes,
    reports: Arc<Reports>,
    most: Most,
}

/// How much a host takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    /// Functions.
    pub(crate) functions: usize,
    /// Bytes of one function's file.
    pub(crate) image_bytes: usize,
}

/// Why a function is not deployed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDeployed {
    #[error(transparent)]
    NoFunction(#[from] NoFunction),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there are {most} functions, which is as many as this host takes: delete one")]
    TooMany { most: usize },
    #[error("the server failed: its log says how")]
    Panicked,
}

/// What a deployment did.
#[derive(Debug)]
pub(crate) struct Deployed {
    /// There was no function of that name.
    pub(crate) is_new: bool,
    pub(crate) description: Value,
}

impl Functions {
    pub(crate) fn new(store: Option<Store>, lanes: Lanes, most: Most) -> Self {
        Self {
            by_name: RwLock::default(),
            store: store.map(Arc::new),
            changing: Arc::default(),
            lanes,
            reports: Arc::default(),
            most,
        }
    }

    /// Makes the stored functions ready. One that cannot be served is told in the log, and stays in the store.
    ///
    /// # Errors
    /// If the store cannot be read at all.
    pub(crate) fn load(&self) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        for stored in store.load()? {
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::error!(%error, "a stored function is not served");
                    continue;
                }
            };
            let name = stored.name.clone();
            let warm = Some(stored.warm.as_path());
            match Version::prepare((&name, stored.version), stored.manifest, stored.image, warm) {
                Ok(version) => {
                    self.by_name.write().insert(name, Arc::new(Function::new(version)));
                }
                Err(error) => tracing::error!(function = %name, %error, "a stored function is not served"),
            }
        }
        Ok(())
    }

    /// Makes a function ready, keeps it, and serves it from then on. What the version before has begun it finishes.
    ///
    /// # Errors
    /// [`NotDeployed`]: nothing has changed then.
    pub(crate) async fn deploy(
        self: &Arc<Self>,
        name: Name,
        image: Bytes,
        settings: Settings,
    ) -> Result<Deployed, NotDeployed> {
        let changing = Arc::clone(&self.changing).lock_owned().await;
        let functions = Arc::clone(self);
        let deploy = move || {
            // Held here: this goes on although nobody waits for it any more.
            let _changing = changing;
            functions.deploy_here(&name, &image, settings)
        };
        spawn_blocking(deploy).await.map_err(|_| NotDeployed::Panicked)?
    }

    fn deploy_here(&self, name: &Name, image: &Bytes, settings: Settings) -> Result<Deployed, NotDeployed> {
        let before = self.get(name.as_str());
        if before.is_none() && self.by_name.read().len() >= self.most.functions {
            return Err(NotDeployed::TooMany { most: self.most.functions });
        }
        let number = before.as_ref().map_or(1, |before| before.version().number + 1);
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let deployed = since_1970.map_or(0, |time| time.as_secs());
        let manifest = Manifest { settings, deployed, sha256: store::digest(image) };
        let version = Version::prepare((name, number), manifest.clone(), image.to_vec(), None)?;
        if let Some(store) = &self.store {
            store.write((name, number), &manifest, image, |path| version.save(path))?;
        }
        let function = match &before {
            Some(before) => {
                let old = before.replace(version);
                self.forget(&old);
                Arc::clone(before)
            }
            None => {
                let function = Arc::new(Function::new(version));
                self.by_name.write().insert(name.clone(), Arc::clone(&function));
                function
            }
        };
        tracing::info!(function = %name, version = number, bytes = image.len(), "deployed");
        Ok(Deployed { is_new: before.is_none(), description: function.describe() })
    }

    /// Serves a function no more; what it has begun it finishes. False if there is none of that name.
    ///
    /// # Errors
    /// If it cannot be removed from the store: a restart would serve it again.
    pub(crate) async fn delete(self: &Arc<Self>, name: &str) -> Result<bool, StoreError> {
        let _changing = self.changing.lock().await;
        let removed = self.by_name.write().remove(name);
        let Some(removed) = removed else { return Ok(false) };
        let version = removed.version();
        if let Some(store) = &self.store {
            store.remove(&version.name, version.number)?;
        }
        tracing::info!(function = name, "deleted");
        Ok(true)
    }

    /// Removes from the store what is served no more.
    fn forget(&self, version: &Version) {
        if let Some(store) = &self.store
            && let Err(error) = store.remove(&version.name, version.number)
        {
            // The newer one is served all the same, by the next server too, which removes this one.
            tracing::warn!(%error, "an old version stays in the store");
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Function>> {
        self.by_name.read().get(name).cloned()
    }

    /// All functions, by their names.
    pub(crate) fn all(&self) -> Vec<(Name, Arc<Function>)> {
        self.by_name.read().iter().map(|(name, function)| (name.clone(), Arc::clone(function))).collect()
    }

    /// Invokes a function. Dropping the future stops it.
    pub(crate) async fn invoke(&self, function: &Function, body: Bytes) -> Result<Vec<u8>, Failure> {
        function.invoke(&self.lanes, &self.reports, body).await
    }

    /// Invokes a program whose body comes in pieces. Dropping the future, or the answer, stops it.
    pub(crate) async fn stream(&self, function: &Function, body: Pieces) -> Result<Answer, Failure> {
        function.stream(&self.lanes, &self.reports, body).await
    }

    /// The same with a version of the function that was asked for before.
    #[cfg(feature = "nats")]
    pub(crate) async fn invoke_version(
        &self,
        function: &Function,
        version: Arc<Version>,
        body: Bytes,
    ) -> Result<Vec<u8>, Failure> {
        function.invoke_version(version, &self.lanes, &self.reports, body).await
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.reports
    }

    pub(crate) fn most(&self) -> Most {
        self.most
    }
}
