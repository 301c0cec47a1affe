//! What can be wrong with a snapshot file.

use std::io;
use std::path::PathBuf;

use crate::channel::table::TableError;
use crate::linux::state::StateError;
use crate::program::{InterfaceError, ProgramError};
use crate::sandbox::State;
use crate::vm::error::HostError;
use crate::wire::WireError;

/// Why a snapshot was not written to a file, or a file is none that can be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotFileError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// What the snapshot was to be written to does not take it.
    #[error("cannot write the snapshot: {source}")]
    Write {
        /// The reason.
        source: io::Error,
    },
    /// A directory, a pipe or a device.
    #[error("{} is no regular file: a snapshot is loaded from one", path.display())]
    NotAFile {
        /// Which one.
        path: PathBuf,
    },
    /// The file is larger than any snapshot within the limits that are granted.
    #[error(
        "the file has {size} bytes, and no snapshot within the limits granted has more than {max}: grant more with SnapshotOptions::limits"
    )]
    TooLarge {
        /// Bytes of the file.
        size: u64,
        /// The most that are read.
        max: u64,
    },

    /// The file is something else.
    #[error("this is no snapshot of Ampoule's: it starts with {found:02x?}")]
    Magic {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// The file is of another version of the format.
    #[error(
        "the file is of version {version} of the format, and this Ampoule knows version {known}: make the snapshot anew with this Ampoule"
    )]
    Version {
        /// The file's.
        version: u32,
        /// The one that is known.
        known: u32,
    },
    /// The file is shorter or longer than it says.
    #[error("the file says that it has {stated} bytes, and it has {found}: it is truncated or damaged")]
    Length {
        /// Bytes by its own account.
        stated: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error("the file's checksum is {stored:#010x}, and its bytes give {computed:#010x}: it is damaged")]
    Checksum {
        /// As the file has it.
        stored: u32,
        /// As its bytes have it.
        computed: u32,
    },
    /// The guest was made for other calls between guest and host than this Ampoule's.
    #[error("the guest was told that the ABI is {major}.{minor}, and this Ampoule's is {}.{}: load it with an Ampoule that is as new, or make the snapshot anew", known.0, known.1)]
    Abi {
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
        /// This Ampoule's.
        known: (u16, u16),
    },
    /// A field is not there, or holds what it never can.
    #[error(transparent)]
    Wire(#[from] WireError),

    /// The guest may use an instruction that this host's processor does not have.
    #[error(
        "the guest was started on a processor with {feature}, which this host does not offer: load it where there is, or make the snapshot here"
    )]
    MissingFeature {
        /// Its name in `/proc/cpuinfo`.
        feature: &'static str,
    },
    /// The guest may use a feature that this Ampoule has no name for.
    #[error(
        "the file asks for processor features {bits:#x}, which this Ampoule does not know: it is newer, or damaged"
    )]
    UnknownFeatures {
        /// Their places.
        bits: u64,
    },
    /// The guest's registers hold a state that this host's processor does not have.
    #[error(
        "the guest uses the processor state with bit {state} in XSTATE_BV, which this host does not have: load it where there is"
    )]
    MissingState {
        /// Its bit.
        state: u32,
    },

    /// The program in the file is none that can be run.
    #[error("the program in the file: {0}")]
    Program(#[from] ProgramError),
    /// The program's interface cannot be read.
    #[error("the program in the file: {0}")]
    Interface(#[from] InterfaceError),
    /// The limits are none that a sandbox can have.
    #[error("the file has {value} as {what}, which no sandbox can have: it is damaged or forged")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// What the file says.
        value: u64,
    },
    /// The snapshot's sandbox had a larger limit than is granted.
    #[error("the snapshot's {what} is {needed} and {granted} are granted: load it with SnapshotOptions::{option}")]
    NotGranted {
        /// Which limit.
        what: &'static str,
        /// The snapshot's.
        needed: u64,
        /// What is granted.
        granted: u64,
        /// The option that grants it.
        option: &'static str,
    },
    /// The guest's table of functions cannot be read, or is not in its one form.
    #[error("the guest's table of functions: {0}")]
    Table(#[from] TableError),
    /// Where the guest is, or what it waits for, is nothing that a guest comes to.
    #[error("where the guest is: {what}")]
    Position {
        /// What is wrong.
        what: &'static str,
    },
    /// A register holds what no program can have in it.
    #[error("{register} holds {value:#x}, which no program can have there: the file is damaged or forged")]
    Register {
        /// Which one.
        register: &'static str,
        /// What the file says.
        value: u64,
    },
    /// The personality's part is wrong, or needs more than the limits grant.
    #[error(transparent)]
    State(#[from] StateError),
    /// The program cannot be where the file says that it is.
    #[error("the program is said to be moved by {stored:#x}, and it is one that is moved by {expected:#x}")]
    Bias {
        /// What the file says.
        stored: u64,
        /// Where this program goes.
        expected: u64,
    },
    /// The pages do not agree with what the guest has mapped.
    #[error("the pages from {address:#x} on: {what}")]
    Pages {
        /// The first of them.
        address: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Mapped pages that have to be there are not.
    #[error("{missing} pages that the guest has mapped are not in the file: it is damaged or forged")]
    MissingPages {
        /// How many.
        missing: u64,
    },
    /// The pages and their page tables need more than the snapshot's own memory limit.
    #[error(
        "the pages do not fit into the {limit} bytes of memory that the file grants the guest: it is damaged or forged"
    )]
    Memory {
        /// The file's memory limit.
        limit: u64,
    },

    /// The snapshot's sandbox shares regions with the host. A file would hold a copy that nobody shares any more, so there is none.
    #[error(
        "the snapshot's sandbox shares {count} regions with the host, which a file cannot hold: make it without regions, or send the data as messages"
    )]
    Regions {
        /// How many.
        count: usize,
    },
    /// The snapshot's guest has directories of the host's. A file would lead to whatever is at their paths where it is loaded, so there is none.
    #[error(
        "the snapshot's guest uses host directories, which a file cannot hold: make it without, and send the data as messages or files in memory"
    )]
    HostDirs,
    /// The guest has jumped to where no program is, and would end with its next instruction.
    #[error("the guest is at {rip:#x}, where no program can be: it would end with its next instruction")]
    Instruction {
        /// Its instruction pointer.
        rip: u64,
    },
    /// The guest is in a state that files do not hold.
    #[error("the snapshot's sandbox is {state}, in a way that a file cannot hold: let the call come to its end first")]
    Unfinished {
        /// The sandbox's state.
        state: State,
    },
    /// The host has no memory to load it.
    #[error(transparent)]
    Host(#[from] HostError),
}
