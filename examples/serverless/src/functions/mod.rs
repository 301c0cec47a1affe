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
#[cfg(feature = "baseline")]
mod native;
pub(crate) mod reports;
pub(crate) mod settings;
pub(crate) mod store;
pub(crate) mod streaming;
pub(crate) mod version;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use ampoule::{HostError, PoolError, RunError, SandboxError, SnapshotError, SnapshotFileError};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::failure::Failure;
use self::function::Function;
use self::name::Name;
use self::reports::Reports;
use self::settings::Settings;
use self::store::{Manifest, Store, StoreError};
use self::streaming::{Answer, Pieces};
use self::version::{NoFunction, Version};
use crate::descriptors;
use crate::lanes::Lanes;

/// Deployments that are made ready at once. One that boots for long, up to its own limits, is passed by the others.
const BOOTING: usize = 8;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Functions {
    by_name: RwLock<BTreeMap<Name, Arc<Function>>>,
    /// None: a restart forgets them.
    store: Option<Arc<Store>>,
    booting: Arc<Semaphore>,
    /// Held by whoever changes which functions there are, and never while a guest runs.
    changing: Mutex<()>,
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
    NoFunction(NoFunction),
    #[error("the server has no room for one more function: {0}")]
    NoRoom(HostError),
    #[error(
        "the server has no room for one more function: most of its descriptors are in use; raise the limit (ulimit -n)"
    )]
    NoDescriptors,
    #[error("the server's host failed: {0}")]
    Host(HostError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there are {most} functions, which is as many as this host takes: delete one")]
    TooMany { most: usize },
    #[error("the server failed: its log says how")]
    Panicked,
}

impl From<NoFunction> for NotDeployed {
    fn from(error: NoFunction) -> Self {
        let run = |error| match error {
            SandboxError::Run(RunError::Host(error)) => Ok(error),
            error => Err(error),
        };
        // What the host lacks is nothing that the function did.
        let host = match error {
            NoFunction::Start(error) => run(error).map_err(NoFunction::Start),
            NoFunction::Pool(PoolError::Sandbox(error)) => run(error).map_err(|error| NoFunction::Pool(error.into())),
            NoFunction::Run(RunError::Host(error))
            | NoFunction::Pool(PoolError::Host(error))
            | NoFunction::Snapshot(SnapshotError::Host(error))
            | NoFunction::SnapshotFile(SnapshotFileError::Host(error)) => Ok(error),
            error => Err(error),
        };
        match host {
            Ok(error) if failure::is_full(&error) => Self::NoRoom(error),
            Ok(error) => Self::Host(error),
            Err(error) => Self::NoFunction(error),
        }
    }
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
            booting: Arc::new(Semaphore::new(BOOTING)),
            changing: Mutex::default(),
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
        // Nobody closes the semaphore.
        let booting = Arc::clone(&self.booting).acquire_owned().await.ok();
        let functions = Arc::clone(self);
        let deploy = move || {
            // Held here: this goes on although nobody waits for it any more.
            let _booting = booting;
            functions.deploy_here(&name, &image, settings)
        };
        spawn_blocking(deploy).await.map_err(|_| NotDeployed::Panicked)?
    }

    fn deploy_here(&self, name: &Name, image: &Bytes, settings: Settings) -> Result<Deployed, NotDeployed> {
        self.has_room_for(name)?;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let deployed = since_1970.map_or(0, |time| time.as_secs());
        let manifest = Manifest { settings, deployed, sha256: store::digest(image) };
        let mut version = Version::prepare((name, 0), manifest.clone(), image.to_vec(), None)?;

        let _changing = self.changing.lock();
        self.has_room_for(name)?;
        let before = self.get(name.as_str());
        // What is stored and could not be served is no reason to fail, and is not written over.
        let stored = self.store.as_ref().map(|store| store.highest(name.as_str())).transpose()?.flatten();
        let served = before.as_ref().map(|before| before.version().number);
        version.number = stored.max(served).map_or(1, |highest| highest + 1);
        let number = version.number;
        if let Some(store) = &self.store {
            store.write((name, number), &manifest, image, |path| version.save(path))?;
        }
        let function = match &before {
            Some(before) => {
                before.replace(version);
                Arc::clone(before)
            }
            None => {
                let function = Arc::new(Function::new(version));
                self.by_name.write().insert(name.clone(), Arc::clone(&function));
                function
            }
        };
        self.forget(name, number);
        tracing::info!(function = %name, version = number, bytes = image.len(), "deployed");
        Ok(Deployed { is_new: before.is_none(), description: function.describe() })
    }

    fn has_room_for(&self, name: &Name) -> Result<(), NotDeployed> {
        let functions = self.by_name.read();
        let most = self.most.functions;
        if functions.contains_key(name) {
            return Ok(());
        }
        if functions.len() >= most {
            return Err(NotDeployed::TooMany { most });
        }
        if descriptors::are_short() { Err(NotDeployed::NoDescriptors) } else { Ok(()) }
    }

    /// Serves a function no more, and keeps nothing of it; what it has begun it finishes. False if there is none of that name, served or only stored.
    ///
    /// # Errors
    /// If it cannot be removed from the store. It is served as before then.
    pub(crate) async fn delete(self: &Arc<Self>, name: String) -> Result<bool, NotDeployed> {
        let functions = Arc::clone(self);
        let delete = move || {
            let _changing = functions.changing.lock();
            let is_stored = match &functions.store {
                Some(store) => store.remove(&name, u64::MAX)?,
                None => false,
            };
            let is_served = functions.by_name.write().remove(name.as_str()).is_some();
            if is_stored || is_served {
                tracing::info!(function = name, "deleted");
            }
            Ok(is_stored || is_served)
        };
        spawn_blocking(delete).await.map_err(|_| NotDeployed::Panicked)?
    }

    /// Removes from the store what is served no more.
    fn forget(&self, name: &Name, number: u64) {
        if let Some(store) = &self.store
            && let Err(error) = store.remove(name.as_str(), number)
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
