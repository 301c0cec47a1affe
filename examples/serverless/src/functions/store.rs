//! Functions on disk, so that a restart serves them again.
//!
//! ```text
//! STORE/word-count.3/       the third version of word-count, written whole before it gets this name
//!       ├─ function         the file that was deployed: an ELF or a snapshot
//!       ├─ warm             the snapshot that was taken when it was ready; an older server's is made anew
//!       └─ manifest.json    its settings, and the SHA-256 of `function`
//! STORE/.writing-…          what a server was writing when it ended; removed by the next
//! STORE/.lock               held by the server that uses the store
//! ```
//! The highest version of a name is the one that is served. Nothing is changed in place: a crash leaves the old version or the new one.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::name::Name;
use super::settings::Settings;

const FUNCTION: &str = "function";
const WARM: &str = "warm";
const MANIFEST: &str = "manifest.json";
const WRITING: &str = ".writing-";
const LOCK: &str = ".lock";

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    /// Held open: its lock is this server's.
    _lock: File,
    writing: AtomicU64,
}

/// A function as it is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) name: Name,
    pub(crate) version: u64,
    pub(crate) manifest: Manifest,
    pub(crate) image: Vec<u8>,
    /// Where its warm state is, if it is anywhere.
    pub(crate) warm: PathBuf,
}

/// What is known of a function beside its file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) settings: Settings,
    /// In seconds since 1970.
    pub(crate) deployed: u64,
    /// Of the function's file, in hexadecimal.
    pub(crate) sha256: String,
}

/// Why a store, or something in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("cannot {action} {path:?}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path:?} is in use by another server: give this one a --store of its own")]
    InUse { path: PathBuf },
    #[error("{path:?} is damaged: {reason}; deploy that function again")]
    Damaged { path: PathBuf, reason: String },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}

impl Store {
    /// Makes the directory if it is not there, and removes what another server did not finish.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(io_error("make", directory))?;
        let lock_path = directory.join(LOCK);
        let lock = File::options().create(true).append(true).open(&lock_path).map_err(io_error("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &lock_path)(source)),
        }
        let store = Self { directory: directory.to_owned(), _lock: lock, writing: AtomicU64::new(0) };
        for entry in store.entries()? {
            if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WRITING)) {
                remove(&entry)?;
            }
        }
        Ok(store)
    }

    /// The functions, each in its highest version. One that is damaged is an error of its own: the others are served.
    pub(crate) fn load(&self) -> Result<Vec<Result<Stored, StoreError>>, StoreError> {
        let mut found: Vec<(Name, u64, PathBuf)> = self
            .entries()?
            .into_iter()
            .filter_map(|path| {
                let (name, version) = path.file_name()?.to_str()?.rsplit_once('.')?;
                Some((name.parse().ok()?, version.parse().ok()?, path))
            })
            .collect();
        found.sort();
        let mut highest: Vec<(Name, u64, PathBuf)> = Vec::new();
        for entry in found {
            match highest.last_mut() {
                Some(last) if last.0 == entry.0 => {
                    remove(&last.2)?;
                    *last = entry;
                }
                _ => highest.push(entry),
            }
        }
        Ok(highest.into_iter().map(|(name, version, path)| read(name, version, &path)).collect())
    }

    /// Writes a version; what it replaces is removed when it is there.
    pub(crate) fn write(
        &self,
        (name, version): (&Name, u64),
        manifest: &Manifest,
        image: &[u8],
        warm: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let number = self.writing.fetch_add(1, Ordering::Relaxed);
        let writing = self.directory.join(format!("{WRITING}{number}"));
        let written = self.write_whole(&writing, manifest, image, warm).and_then(|()| {
            let path = self.path(name, version);
            fs::rename(&writing, &path).map_err(io_error("write", &path))?;
            self.sync(&self.directory)
        });
        if written.is_err() {
            // What is left of it is removed by the next server at the latest.
            let _ = fs::remove_dir_all(&writing);
        }
        written
    }

    fn write_whole(
        &self,
        writing: &Path,
        manifest: &Manifest,
        image: &[u8],
        warm: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        fs::create_dir(writing).map_err(io_error("make", writing))?;
        let manifest = serde_json::to_vec_pretty(manifest).map_err(io::Error::from);
        let manifest = manifest.map_err(io_error("write", writing))?;
        for (file, bytes) in [(FUNCTION, image), (MANIFEST, &manifest)] {
            let path = writing.join(file);
            let write = || {
                let mut file = File::create_new(&path)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(io_error("write", &path))?;
        }
        let path = writing.join(WARM);
        warm(&path).map_err(io_error("write", &path))?;
        self.sync(writing)
    }

    /// Removes a version; it need not be there.
    pub(crate) fn remove(&self, name: &Name, version: u64) -> Result<(), StoreError> {
        remove(&self.path(name, version))
    }

    fn path(&self, name: &Name, version: u64) -> PathBuf {
        self.directory.join(format!("{name}.{version}"))
    }

    fn entries(&self) -> Result<Vec<PathBuf>, StoreError> {
        let list = || -> io::Result<_> {
            fs::read_dir(&self.directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
        };
        list().map_err(io_error("list", &self.directory))
    }

    /// What was renamed or made in a directory stays so after a power failure.
    fn sync(&self, directory: &Path) -> Result<(), StoreError> {
        File::open(directory).and_then(|file| file.sync_all()).map_err(io_error("write", directory))
    }
}

/// The SHA-256 of a function's file.
pub(crate) fn digest(image: &[u8]) -> String {
    Sha256::digest(image).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(name: Name, version: u64, directory: &Path) -> Result<Stored, StoreError> {
    let open = |file: &str| {
        let path = directory.join(file);
        fs::read(&path).map_err(io_error("read", &path))
    };
    let damaged = |reason: String| StoreError::Damaged { path: directory.to_owned(), reason };
    let manifest: Manifest =
        serde_json::from_slice(&open(MANIFEST)?).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
    let image = open(FUNCTION)?;
    if digest(&image) != manifest.sha256 {
        return Err(damaged(format!("{FUNCTION} is not what {MANIFEST} says it is")));
    }
    let settings = manifest.settings.clone().checked().map_err(|error| damaged(error.to_string()))?;
    Ok(Stored { name, version, manifest: Manifest { settings, ..manifest }, image, warm: directory.join(WARM) })
}

fn remove(directory: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", directory)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::functions::settings::tests::defaults;

    fn manifest(image: &[u8]) -> Manifest {
        Manifest { settings: defaults(), deployed: 1, sha256: digest(image) }
    }

    fn write(store: &Store, name: &str, version: u64, image: &[u8]) -> Result<(), StoreError> {
        store.write((&name.parse().unwrap(), version), &manifest(image), image, |_| Ok(()))
    }

    fn loaded(store: &Store) -> Vec<(String, u64, Vec<u8>)> {
        let found = store.load().unwrap().into_iter().map(Result::unwrap);
        found.map(|stored| (stored.name.to_string(), stored.version, stored.image)).collect()
    }

    #[test]
    fn the_highest_version_is_there_after_a_restart_and_what_was_not_finished_is_not() {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for (name, version) in [("b", 9), ("a", 1), ("b", 10)] {
            write(&store, name, version, name.as_bytes()).unwrap();
        }
        let cut_short =
            store.write((&"a".parse().unwrap(), 2), &manifest(b"x"), b"x", |_| Err(io::ErrorKind::Other.into()));
        assert!(matches!(cut_short, Err(StoreError::Io { .. })));
        fs::create_dir(directory.path().join(".writing-7")).unwrap();
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(loaded(&store), [("a".to_owned(), 1, b"a".to_vec()), ("b".to_owned(), 10, b"b".to_vec())]);
        let mut names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".lock", "a.1", "b.10"]);
        store.remove(&"a".parse().unwrap(), 1).unwrap();
        assert_eq!(loaded(&store).len(), 1);
    }

    #[test]
    fn a_function_that_was_changed_on_disk_is_refused_and_the_others_are_not() {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        write(&store, "a", 1, b"a").unwrap();
        write(&store, "b", 1, b"b").unwrap();
        fs::write(directory.path().join("a.1").join(FUNCTION), b"other").unwrap();
        let found = store.load().unwrap();
        assert!(matches!(&found[..], [Err(StoreError::Damaged { .. }), Ok(_)]), "{found:?}");
    }

    #[test]
    fn a_store_is_one_servers() {
        let directory = TempDir::new().unwrap();
        let _store = Store::open(directory.path()).unwrap();
        assert!(matches!(Store::open(directory.path()), Err(StoreError::InUse { .. })));
    }
}
