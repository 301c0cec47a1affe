//! A process as bytes and back: the personality's part of a snapshot file. `docs/snapshot-format.md` tells it byte by byte.
//!
//! Each part is written and read beside the type that it belongs to (`areas/state.rs`, `files/tree/state.rs` …), for what is private there
//! stays private. Reading checks everything that the running code takes for granted and no program can break by itself. What can be
//! derived is not in the file, so that it cannot be wrong there; and what is accepted is written again as the same bytes.
//!
//! Not in the file: statistics (a process that was read has made no calls) and limits, which are the loader's.
//! Not checked here: that the areas and the machine's pages agree. Whoever reads both compares them.

mod error;
#[cfg(any(test, feature = "fuzzing"))]
mod sound;
#[cfg(test)]
mod tests;

use std::ops::Range;

use ampoule_kernel::layout::{PAGE_SIZE, USER_END};

pub use self::error::StateError;
use super::Process;
use super::counts::Counts;
use super::files::{Files, Quota};
use super::memory::Memory;
use super::signals::Signals;
use super::sources::Supply;
use crate::machine::paging::Access;
use crate::wire::{Reader, Writer};

/// A range that is mapped, as far as its pages are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) range: Range<u64>,
    /// What its pages allow.
    pub(crate) access: Access,
    /// All of its pages are there.
    pub(crate) is_backed: bool,
}

impl Process {
    /// What it is called.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// True if its last system call is to be made again.
    pub(crate) fn waited(&self) -> bool {
        self.waited
    }

    /// What is mapped of `range`, in ascending order: what its pages have to agree with.
    pub(crate) fn mappings(&self, range: Range<u64>) -> impl Iterator<Item = Mapping> + '_ {
        self.memory.areas.within(range).map(|(range, attributes)| Mapping {
            range,
            access: attributes.access,
            is_backed: attributes.is_backed(),
        })
    }

    /// Appends the process. Equal processes are equal bytes.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.name);
        writer.u64(self.bias);
        writer.flag(self.waited);
        writer.bytes(&self.arguments);
        writer.bytes(&self.environment);
        self.memory.encode(writer);
        self.files.encode(writer);
        self.signals.encode(writer);
        self.supply.encode(writer);
    }

    /// Reads a process, which from now on lives within these limits.
    ///
    /// # Errors
    /// [`StateError`] for what [`encode`](Self::encode) does not write, and for a process that needs more than the limits grant.
    pub(crate) fn decode(reader: &mut Reader<'_>, quota: Quota, open_files: u16) -> Result<Self, StateError> {
        let name = reader.bytes("program name")?;
        if let Err(error) = std::str::from_utf8(name) {
            return Err(StateError::Name { valid: error.valid_up_to() });
        }
        let bias = reader.u64("bias")?;
        if !bias.is_multiple_of(PAGE_SIZE) || bias >= USER_END {
            return Err(StateError::Bias { bias });
        }
        let waited = reader.flag("waited")?;
        let arguments = strings(reader, "arguments")?;
        let environment = strings(reader, "environment")?;
        Ok(Self {
            memory: Memory::decode(reader)?,
            files: Files::decode(reader, quota, open_files)?,
            signals: Signals::decode(reader)?,
            supply: Supply::decode(reader)?,
            counts: Counts::new(),
            name: name.to_vec(),
            executable: super::executable(name),
            arguments: arguments.into(),
            environment: environment.into(),
            open_files,
            bias,
            waited,
            waits_until: None,
        })
    }
}

/// Strings that each end with their NUL, as many as a program can be started with.
fn strings(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<u8>, StateError> {
    let strings = reader.bytes(field)?;
    if strings.last().is_some_and(|last| *last != 0) || strings.len() as u64 > super::MAX_ARGUMENTS {
        return Err(StateError::Strings { field, length: strings.len(), max: super::MAX_ARGUMENTS });
    }
    Ok(strings.to_vec())
}
