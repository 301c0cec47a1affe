//! The build script that this runs in: where it may write, what it was told, and what it tells cargo.
//!
//! ```text
//! OUT_DIR/ampoule-build/
//!   guests/NAME     what is embedded
//!   target/         the target directory of Rust guests, shared by all of this build script
//!   crates/NAME/    a guest whose manifest is Cargo.guest.toml, as cargo wants it
//!   objects/NAME/   object files of a C guest
//! ```
//! The target directory is apart from the outer one because the outer cargo holds the lock of that for as long as the build script runs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::About;
use crate::{Error, Guest, depfile, elf};

/// Set to anything but `0` or nothing: no guest is compiled.
const SKIP: &str = "AMPOULE_BUILD_SKIP";
/// Set by docs.rs, which has no network for a guest's dependencies and runs nothing that it builds.
const DOCS_RS: &str = "DOCS_RS";
/// What a placeholder holds. It is no ELF, so it is refused when it is loaded, with these words in it for whoever looks.
const PLACEHOLDER: &str = "not a guest: ampoule-build was told to skip it, by AMPOULE_BUILD_SKIP or DOCS_RS\n";

/// The variables that this build script has given to guests so far.
static TAKEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// One guest's part of the build script.
#[derive(Debug)]
pub(crate) struct Script {
    /// The guest's name.
    pub(crate) name: String,
    /// Where the package is that is being built.
    pub(crate) package: PathBuf,
    output: PathBuf,
}

impl Script {
    /// Begins with a guest.
    pub(crate) fn begin(name: String) -> Result<Self, Error> {
        for variable in [SKIP, DOCS_RS] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        if matches!(name.as_str(), "" | "." | "..") || name.contains(|it: char| it == '/' || it.is_control()) {
            return Err(Error::BadName { name });
        }
        let directory = |variable| std::env::var_os(variable).ok_or(Error::NotABuildScript { variable });
        let output = Path::new(&directory("OUT_DIR")?).join("ampoule-build");
        Ok(Self { name, package: directory("CARGO_MANIFEST_DIR")?.into(), output })
    }

    /// The directory for one purpose, which exists.
    pub(crate) fn directory(&self, purpose: &str) -> Result<PathBuf, Error> {
        let directory = self.output.join(purpose);
        std::fs::create_dir_all(&directory).about(&directory)?;
        Ok(directory)
    }

    /// The placeholder, if guests are not to be compiled.
    pub(crate) fn skip(&self) -> Result<Option<Guest>, Error> {
        if !is_set(SKIP) && !is_set(DOCS_RS) {
            return Ok(None);
        }
        // Beside the guest and not over it: what was built stays as it was.
        let path = self.directory("guests")?.join(format!("{}.skipped", self.name));
        std::fs::write(&path, PLACEHOLDER).about(&path)?;
        self.publish(path, true).map(Some)
    }

    /// Takes over what a compiler wrote, and tells cargo.
    pub(crate) fn finish(&self, built: &Path) -> Result<Guest, Error> {
        let guest = || self.name.clone();
        let image = std::fs::read(built).about(built)?;
        match elf::linkage(&image) {
            elf::Linkage::Static => {}
            elf::Linkage::Dynamic => return Err(Error::NotStatic { guest: guest() }),
            elf::Linkage::NotX86_64 => return Err(Error::NotX86_64 { guest: guest() }),
        }
        // A file of its own: the next guest from the same target directory may have the same file name.
        let path = self.directory("guests")?.join(&self.name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).about(&path)?,
            _ => {}
        }
        std::fs::copy(built, &path).about(&path)?;
        self.publish(path, false)
    }

    /// Has cargo run the build script again in any case, because what would make a failed guest succeed is in no list.
    pub(crate) fn run_again(&self) {
        depfile::watch(&self.output.join("never"));
    }

    fn publish(&self, path: PathBuf, placeholder: bool) -> Result<Guest, Error> {
        let name = self.name.clone();
        let letters = name.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' });
        let variable = format!("AMPOULE_GUEST_{}", letters.collect::<String>());
        if !TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(variable.clone()) {
            return Err(Error::SameName { name, variable });
        }
        println!("cargo::rustc-env={variable}={}", path.display());
        Ok(Guest { name, path, variable, placeholder })
    }
}

/// True if the variable is set to anything but `0` or nothing.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty() && value != OsStr::new("0"))
}

/// The guest, or the end of the build script.
pub(crate) fn or_exit(result: Result<Guest, Error>) -> Guest {
    match result {
        Ok(guest) => guest,
        Err(error) => {
            // Cargo shows this before everything that the build script printed.
            println!("cargo::error={error}");
            std::process::exit(1)
        }
    }
}
