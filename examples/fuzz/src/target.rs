//! What is fuzzed: a target that this program brings along, or a static program of your own.

use std::path::Path;
use std::time::Duration;

use ampoule::fuzz::Harness;
use ampoule::{Limits, Program};

use crate::error::Error;

static ZLIB: &[u8] = include_bytes!(env!("AMPOULE_GUEST_ZLIB"));
static PLANTED: &[u8] = include_bytes!(env!("AMPOULE_GUEST_PLANTED"));

/// A target.
#[derive(Debug)]
pub struct Target {
    program: Program,
    /// As the user named it.
    pub name: String,
    /// Bugs that are known to be in it: a campaign is over when so many were found.
    pub bugs: usize,
    /// Bytes of memory that it may have unless somebody says otherwise.
    pub memory: u64,
}

/// For small targets: what allocates without end then ends long before its time is over.
const LITTLE: u64 = 16 << 20;
/// For targets that nobody knows.
const ENOUGH: u64 = 64 << 20;

impl Target {
    /// The target of this name; any other name than those that are embedded is a file's.
    ///
    /// # Errors
    /// [`Error::Load`] and [`Error::LoadOwn`].
    pub fn named(name: &str) -> Result<Self, Error> {
        let embedded = |image: &[u8], name: &'static str, bugs| {
            let program = Program::from_bytes(image).map_err(|source| Error::LoadOwn { name, source })?;
            Ok(Self { program, name: name.to_owned(), bugs, memory: LITTLE })
        };
        match name {
            "zlib" => embedded(ZLIB, "zlib", 1),
            "planted" => embedded(PLANTED, "planted", 4),
            path => {
                let program = Program::from_file(Path::new(path));
                let program = program.map_err(|source| Error::Load { path: path.into(), source })?;
                Ok(Self { program, name: path.to_owned(), bugs: 1, memory: ENOUGH })
            }
        }
    }

    /// A machine of its own that waits for inputs. Many of them are many cores.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn harness(&self, timeout: Duration, memory: u64) -> Result<Harness, Error> {
        let harness = Harness::builder(&self.program).timeout(timeout).limits(Limits::new().memory(memory)).build();
        harness.map_err(|source| Error::Start { name: self.name.clone(), source })
    }
}
