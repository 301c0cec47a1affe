//! Functions on disk, so that a restart serves them again.
//!
//! ```text
//! STORE/word-count.3/       the third version of word-count, written whole before it gets this name
//!       ├─ function         the file that was deployed: an ELF or a snapshot
//!       ├─ warm             the snapshot that was taken when it was ready; an older server's is made anew
//!       └─ manifest.json    its settings, and the SHA-256 of `function`
//! STORE/.writing-…          what a server was writing or removing when it ended; removed by the next
//! STORE/.lock               held by the server that uses the store
//! ```
//! The highest version of a name that is whole is the one that is served. Nothing is changed in place: a crash leaves the old version or the new one.
//! What else is in the directory is told and left alone.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::name::Name;
use super::settings::Settings;

const FUNCTION: &str = "function";
const WARM: &str = "warm";
const MANIFEST: &str = "manifest.json";
const WRITING: &str = ".writing-";
const LOCK: &str = ".lock";
/// Highest version that is taken from a directory's name: there is room for more after it.
const MAX_VERSION: u64 = u64::MAX >> 1;

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
    #[error("{path:?} is no version of a function, and is left alone")]
    Strange { path: PathBuf },
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
            if is_unfinished(&entry) {
                remove(&entry)?;
            }
        }
        Ok(store)
    }

    /// The functions, each in its highest version that is whole. What is not is an error of its own: the others are served.
    pub(crate) fn load(&self) -> Result<Vec<Result<Stored, StoreError>>, StoreError> {
        let mut found = Vec::new();
        let mut versions = Vec::new();
        for path in self.entries()? {
            match version(&path) {
                Some((name, number)) => versions.push((name, number, path)),
                None if is_unfinished(&path) || path.ends_with(LOCK) => {}
                None => found.push(Err(StoreError::Strange { path })),
            }
        }
        versions.sort();
        for of_a_name in versions.chunk_by(|(a, ..), (b, ..)| a == b) {
            // The highest first: those below it are what was served before, and were to be removed.
            let mut stored = of_a_name.iter().rev();
            for (name, number, path) in stored.by_ref() {
                let read = read(name.clone(), *number, path);
                let is_whole = read.is_ok();
                found.push(read);
                if is_whole {
                    break;
                }
            }
            found.extend(stored.filter_map(|(.., path)| self.set_aside(path).err()).map(Err));
        }
        Ok(found)
    }

    /// The highest version of a function that is there, whole or not.
    pub(crate) fn highest(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.versions(name)?.last().map(|&(number, _)| number))
    }

    /// Writes a version; what it replaces is removed when it is there.
    pub(crate) fn write(
        &self,
        (name, version): (&Name, u64),
        manifest: &Manifest,
        image: &[u8],
        warm: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let writing = self.unfinished();
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

    /// Removes the versions of a function below `end`, whole or not. False if there were none.
    pub(crate) fn remove(&self, name: &str, end: u64) -> Result<bool, StoreError> {
        let versions = self.versions(name)?;
        let mut any = false;
        // The lowest first: what is served stays served until it goes itself.
        for (_, path) in versions.iter().filter(|&&(number, _)| number < end) {
            self.set_aside(path)?;
            any = true;
        }
        self.sync(&self.directory)?;
        Ok(any)
    }

    /// Removes an entry, at once and whole for whoever looks at the names.
    fn set_aside(&self, entry: &Path) -> Result<(), StoreError> {
        let aside = self.unfinished();
        fs::rename(entry, &aside).map_err(io_error("remove", entry))?;
        remove(&aside)
    }

    /// The versions of a function, the lowest first.
    fn versions(&self, name: &str) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let numbered = |path: PathBuf| {
            let (of, number) = version(&path)?;
            (of.as_str() == name).then_some((number, path))
        };
        let mut versions: Vec<_> = self.entries()?.into_iter().filter_map(numbered).collect();
        versions.sort();
        Ok(versions)
    }

    /// A path that the next server removes.
    fn unfinished(&self) -> PathBuf {
        self.directory.join(format!("{WRITING}{}", self.writing.fetch_add(1, Ordering::Relaxed)))
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

/// The function and the version that an entry's name says.
fn version(path: &Path) -> Option<(Name, u64)> {
    let (name, digits) = path.file_name()?.to_str()?.rsplit_once('.')?;
    let number: u64 = digits.parse().ok()?;
    // Only as it is written here: `a.1` and `a.01` would be two of the same.
    let is_written_here = number <= MAX_VERSION && number.to_string() == digits;
    Some((name.parse().ok()?, number)).filter(|_| is_written_here)
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WRITING))
}

fn read(name: Name, version: u64, directory: &Path) -> Result<Stored, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: directory.to_owned(), reason };
    if !fs::symlink_metadata(directory).map_err(io_error("read", directory))?.is_dir() {
        return Err(damaged("it is no directory".to_owned()));
    }
    let open = |file: &str| {
        let path = directory.join(file);
        read_file(&path).map_err(io_error("read", &path))
    };
    let manifest: Manifest =
        serde_json::from_slice(&open(MANIFEST)?).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
    let image = open(FUNCTION)?;
    if digest(&image) != manifest.sha256 {
        return Err(damaged(format!("{FUNCTION} is not what {MANIFEST} says it is")));
    }
    let settings = manifest.settings.clone().checked().map_err(|error| damaged(error.to_string()))?;
    Ok(Stored { name, version, manifest: Manifest { settings, ..manifest }, image, warm: directory.join(WARM) })
}

/// A regular file's content: a pipe would keep the server from starting, and a symlink leads out of the store.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes whatever it is; it need not be there.
fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
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
        assert!(store.remove("a", u64::MAX).unwrap());
        assert!(!store.remove("a", u64::MAX).unwrap());
        assert_eq!(loaded(&store).len(), 1);
    }

    #[test]
    fn a_damaged_version_hides_no_whole_one_below_it_and_is_never_written_over() {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        write(&store, "a", 1, b"first").unwrap();
        write(&store, "a", 2, b"second").unwrap();
        // As a file that a disk lost, and as something that nobody here has made.
        fs::remove_file(directory.path().join("a.2").join(FUNCTION)).unwrap();
        fs::write(directory.path().join("a.3"), b"").unwrap();
        let found = store.load().unwrap();
        let [Err(StoreError::Damaged { .. }), Err(StoreError::Io { .. }), Ok(stored)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!((stored.version, &stored.image[..]), (1, &b"first"[..]));
        assert_eq!(store.highest("a").unwrap(), Some(3));
        write(&store, "a", 4, b"fourth").unwrap();
        store.remove("a", 4).unwrap();
        assert_eq!(loaded(&store), [("a".to_owned(), 4, b"fourth".to_vec())]);
    }

    #[test]
    fn what_is_no_version_is_told_and_left_alone() {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        write(&store, "a", 1, b"a").unwrap();
        for strange in ["a.01", "b", "B.1", "a.18446744073709551615", "lost+found", ".hidden.1"] {
            fs::create_dir(directory.path().join(strange)).unwrap();
        }
        let found = store.load().unwrap();
        let strange = found.iter().filter(|found| matches!(found, Err(StoreError::Strange { .. }))).count();
        assert_eq!((strange, found.iter().flatten().count()), (6, 1), "{found:?}");
        assert!(directory.path().join("lost+found").exists());
    }

    #[test]
    fn nothing_but_a_regular_file_in_the_stores_own_directory_is_read() {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for name in ["link", "linked", "pipe"] {
            write(&store, name, 1, b"content").unwrap();
        }
        let path = |name: &str| directory.path().join(name);
        fs::rename(path("link.1"), path("elsewhere")).unwrap();
        std::os::unix::fs::symlink(path("elsewhere"), path("link.1")).unwrap();
        fs::rename(path("linked.1").join(FUNCTION), path("linked.1").join("other")).unwrap();
        std::os::unix::fs::symlink("other", path("linked.1").join(FUNCTION)).unwrap();
        fs::remove_file(path("pipe.1").join(FUNCTION)).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe.1").join(FUNCTION), Mode::RUSR | Mode::WUSR).unwrap();
        let found = store.load().unwrap();
        assert!(found.iter().all(Result::is_err) && found.len() == 4, "{found:?}");
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
