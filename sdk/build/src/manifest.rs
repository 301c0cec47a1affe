//! Where a guest's manifest is, and the crate that cargo is shown.
//!
//! `cargo package` leaves out every directory that holds a `Cargo.toml`, whatever `include` says. A guest that is to be published inside
//! the package that embeds it therefore calls its manifest `Cargo.guest.toml`, and cargo, which reads no manifest of another name, gets a
//! directory in which it has the right one:
//!
//! ```text
//! guest/Cargo.guest.toml     crates/guest/Cargo.toml   copied, with an empty [workspace] if it has none
//! guest/Cargo.lock           crates/guest/Cargo.lock   copied, because cargo may write it
//! guest/src                  crates/guest/src          a link, so that times and messages are the original's
//! ```

use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::About;

const MANIFEST: &str = "Cargo.toml";
const PACKAGED: &str = "Cargo.guest.toml";
const LOCK: &str = "Cargo.lock";

/// A guest's crate.
#[derive(Debug)]
pub(crate) struct Source {
    /// The manifest that cargo is given.
    pub(crate) manifest: PathBuf,
    /// The directory that the user named.
    pub(crate) directory: PathBuf,
    /// The directory that cargo is shown in its place.
    staged: Option<PathBuf>,
}

impl Source {
    /// Finds the crate in `directory`; `staging` is made if it is needed.
    pub(crate) fn find(directory: PathBuf, staging: impl FnOnce() -> Result<PathBuf, Error>) -> Result<Self, Error> {
        let manifest = directory.join(MANIFEST);
        if manifest.is_file() {
            return Ok(Self { manifest, directory, staged: None });
        }
        if !directory.join(PACKAGED).is_file() {
            return Err(Error::NoManifest { directory });
        }
        let staged = staging()?;
        stage(&directory, &staged)?;
        Ok(Self { manifest: staged.join(MANIFEST), directory, staged: Some(staged) })
    }

    /// Where the user has a file that cargo was shown.
    pub(crate) fn original(&self, file: &Path) -> PathBuf {
        match self.staged.as_deref().map(|staged| file.strip_prefix(staged)) {
            Some(Ok(rest)) if rest == Path::new(MANIFEST) => self.directory.join(PACKAGED),
            Some(Ok(rest)) => self.directory.join(rest),
            _ => file.to_owned(),
        }
    }
}

fn stage(directory: &Path, staged: &Path) -> Result<(), Error> {
    // What is gone from the crate must not be found here.
    for entry in std::fs::read_dir(staged).about(staged)? {
        let path = entry.about(staged)?.path();
        if path.is_symlink() {
            std::fs::remove_file(&path).about(&path)?;
        }
    }
    let manifest = directory.join(PACKAGED);
    let mut text = std::fs::read_to_string(&manifest).about(&manifest)?;
    // Without, cargo would look for a workspace upwards from the output directory, and find that of the package.
    if !text.lines().any(|line| matches!(line.trim(), "[workspace]") || line.trim().starts_with("[workspace.")) {
        text += "\n[workspace]\n";
    }
    write_if_other(&staged.join(MANIFEST), text.as_bytes())?;

    for entry in std::fs::read_dir(directory).about(directory)? {
        let entry = entry.about(directory)?;
        let (name, path) = (entry.file_name(), entry.path());
        let to = staged.join(&name);
        if name == LOCK {
            write_if_other(&to, &std::fs::read(&path).about(&path)?)?;
        } else if name != PACKAGED {
            std::os::unix::fs::symlink(&path, &to).about(&to)?;
        }
    }
    Ok(())
}

/// Cargo takes a manifest for changed when its time is.
fn write_if_other(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) { Ok(()) } else { std::fs::write(path, bytes).about(path) }
}
