//! What can be wrong with a personality's state in a file.

use crate::wire::WireError;

/// Why bytes are not the state of a process.
///
/// Numbers are those of the file: inodes and descriptors as the program sees them, addresses in its memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A field is not there, or holds what it never can.
    #[error(transparent)]
    Wire(#[from] WireError),

    /// The process has more bytes in its files than the loader grants.
    #[error("the files hold {needed} bytes and {quota} are granted: load with a larger quota of file bytes")]
    FileBytes {
        /// Bytes of contents, names and symlink targets.
        needed: u64,
        /// The loader's quota.
        quota: u64,
    },
    /// The process has more files than the loader grants.
    #[error("there are {needed} files and directories and {quota} are granted: load with a larger quota of files")]
    FileCount {
        /// Inodes.
        needed: u64,
        /// The loader's quota.
        quota: u64,
    },
    /// A descriptor is not below the loader's limit.
    #[error("descriptor {descriptor} is open and the limit is {limit}: load with a larger limit of open files")]
    OpenFiles {
        /// The descriptor.
        descriptor: u32,
        /// The loader's limit: the first number that is too large.
        limit: u16,
    },

    /// The program's name is not UTF-8.
    #[error("the program's name is no UTF-8 from byte {valid} on")]
    Name {
        /// Bytes that are.
        valid: usize,
    },
    /// Arguments or environment do not end with a NUL, or are more than a program can be started with.
    #[error("the {field} are {length} bytes: they end with a NUL, and are {max} bytes at most")]
    Strings {
        /// Which.
        field: &'static str,
        /// How many bytes they are.
        length: usize,
        /// The most there can be.
        max: u64,
    },
    /// What was added to the program's addresses is no page's address in the program's memory.
    #[error("the program is said to be moved by {bias:#x}, which is no page that a program can start at")]
    Bias {
        /// What the file says.
        bias: u64,
    },

    /// More areas than a program may have.
    #[error("there are {count} mapped areas; a program has {max} at most")]
    AreaCount {
        /// Areas.
        count: u64,
        /// The most there can be.
        max: u64,
    },
    /// An area is not made of whole pages, is empty, or leaves what a program may map.
    #[error("the mapped area {start:#x}..{end:#x} is no range of pages that a program can map")]
    Area {
        /// Its first byte.
        start: u64,
        /// The first byte after it.
        end: u64,
    },
    /// An area starts before the one before it ends.
    #[error("the mapped area at {start:#x} begins before {previous:#x}, where the one before it ends")]
    AreaOrder {
        /// Its first byte.
        start: u64,
        /// The end of the one before.
        previous: u64,
    },
    /// Two neighbours are alike and should be one area.
    #[error("the mapped area at {start:#x} goes on from the one before it and is like it: they are one")]
    AreasAlike {
        /// The second one's first byte.
        start: u64,
    },
    /// An area's access, laziness and purpose cannot go together.
    #[error("the mapped area at {start:#x} allows, or gets its memory, as no mapping of its purpose does")]
    AreaAttributes {
        /// Its first byte.
        start: u64,
    },
    /// The heap's bounds are not where `brk` leaves them.
    #[error("the heap {start:#x}..{end:#x} is not where brk can put one")]
    Heap {
        /// Where it starts.
        start: u64,
        /// The break.
        end: u64,
    },

    /// The first inode is not the root directory, its own parent.
    #[error("inode 1 is not the root directory")]
    Root,
    /// Inodes are not in ascending order.
    #[error("inode {inode} comes after inode {previous}")]
    InodeOrder {
        /// The inode's number.
        inode: u64,
        /// The one before it.
        previous: u64,
    },
    /// The next inode's number is in use, or below one that is.
    #[error("the next inode is to be {next}, and {last} is there")]
    NextInode {
        /// The number to be given out next.
        next: u64,
        /// The highest number in use.
        last: u64,
    },
    /// A symlink's target is not one that a symlink can have.
    #[error("symlink {inode} has a target of {length} bytes that no symlink has: 1 to 4095, none of them NUL")]
    Target {
        /// The symlink.
        inode: u64,
        /// The target's length.
        length: usize,
    },
    /// A pipe or socket holds more than fits into one.
    #[error("pipe or socket {inode} holds {length} bytes; 65536 fit into a pipe")]
    PipeBytes {
        /// The pipe or socket.
        inode: u64,
        /// What is in it.
        length: usize,
    },
    /// A socket, whether it is closed or was reset, and the other one of its pair do not go together.
    #[error("socket {inode} and {peer}, its peer, are no pair of sockets as a program can leave one")]
    SocketPair {
        /// The socket.
        inode: u64,
        /// The other one, as it says.
        peer: u64,
    },
    /// An event counter is beyond what writing to it can reach.
    #[error("event counter {inode} is at 2^64 - 1, which no counter reaches")]
    Counter {
        /// The counter.
        inode: u64,
    },
    /// Something is in a set of what is waited for that cannot be, or is there twice, or is one too many.
    #[error(
        "descriptor {descriptor} is in the set of epoll {inode}, and cannot be, or is there already, or is one too many"
    )]
    Interest {
        /// The set.
        inode: u64,
        /// The descriptor that it is there by.
        descriptor: u32,
    },
    /// A name leads to what never has one: a pipe, a socket, an event counter or an epoll set.
    #[error("directory {directory} names inode {inode}, which is of a kind that has no name")]
    Nameless {
        /// The directory.
        directory: u64,
        /// What it names.
        inode: u64,
    },
    /// A name is not one that a file can have.
    #[error("directory {directory} holds the name {name:?}, which no file can have")]
    FileName {
        /// The directory.
        directory: u64,
        /// The name, as far as it is UTF-8.
        name: String,
    },
    /// A name is twice in one directory.
    #[error("directory {directory} holds the name {name:?} twice")]
    NameTwice {
        /// The directory.
        directory: u64,
        /// The name, as far as it is UTF-8.
        name: String,
    },
    /// Names are not in the order of their positions, or one has a position that is not given out yet.
    #[error("directory {directory} has a name at position {position}, outside {least}..{next}")]
    Position {
        /// The directory.
        directory: u64,
        /// The name's position in listings.
        position: u64,
        /// The least that it can be, after the name before it.
        least: u64,
        /// The position to be given out next.
        next: u64,
    },
    /// A name leads to an inode that is not there.
    #[error("directory {directory} names inode {inode}, which is not there")]
    Dangling {
        /// The directory.
        directory: u64,
        /// What it names.
        inode: u64,
    },
    /// Two names lead to one directory, or one leads to the root.
    #[error("directory {inode} has a second name in directory {directory}")]
    SecondName {
        /// The directory with the second name.
        directory: u64,
        /// What it names.
        inode: u64,
    },
    /// A directory's `..` does not lead to the directory that holds its name.
    #[error("directory {directory} is in {named_in}, and its parent is {parent}")]
    Parent {
        /// The directory.
        directory: u64,
        /// Where its `..` leads.
        parent: u64,
        /// Where its name is.
        named_in: u64,
    },
    /// A directory that the root does not lead to has names in it.
    #[error("directory {directory} is not in the tree and has names in it")]
    CutOffNotEmpty {
        /// The directory.
        directory: u64,
    },
    /// The `..` of a directory without a name leads to what is no directory, or round in a circle.
    #[error("the parents of directory {directory}, which has no name, do not lead to the tree: {parent} is next")]
    CutOffParent {
        /// The directory.
        directory: u64,
        /// Where its `..` leads.
        parent: u64,
    },
    /// An inode has no name and nothing holds it.
    #[error("inode {inode} has no name, and nothing that is open leads to it")]
    Leaked {
        /// The inode.
        inode: u64,
    },
    /// The files' bytes are not as many as the file says.
    #[error("the files are said to hold {stored} bytes, and {counted} were counted")]
    Account {
        /// What the file says.
        stored: u64,
        /// What was counted, as far as it was needed.
        counted: u64,
    },
    /// The current directory is no directory of the tree.
    #[error("the current directory is inode {inode}, which is no directory")]
    CurrentDirectory {
        /// The inode.
        inode: u64,
    },

    /// Descriptors are not in ascending order.
    #[error("descriptor {descriptor} comes after descriptor {previous}")]
    DescriptorOrder {
        /// The descriptor.
        descriptor: u32,
        /// The one before it.
        previous: u32,
    },
    /// A descriptor leads to a description that neither was before nor is the next.
    #[error("descriptor {descriptor} leads to description {description}, and {known} are known")]
    Description {
        /// The descriptor.
        descriptor: u32,
        /// The description's number.
        description: u32,
        /// How many there are so far.
        known: u32,
    },
    /// A stream, a socket, an event counter or an epoll set is open twice, where only `dup` could have made two descriptors for it.
    #[error("descriptor {descriptor} has something that is open already, and does not share its description")]
    StreamTwice {
        /// The descriptor.
        descriptor: u32,
    },
    /// What is open is not there, or cannot be opened.
    #[error("descriptor {descriptor} is open on inode {inode}, which is not there or is a symlink")]
    OpenInode {
        /// The descriptor.
        descriptor: u32,
        /// The inode.
        inode: u64,
    },
    /// An access mode or status flag that `open` and `fcntl` leave on nothing of this kind.
    #[error("descriptor {descriptor} has the status {status:#o}, which nothing of its kind can have")]
    Status {
        /// The descriptor.
        descriptor: u32,
        /// Access mode and status flags.
        status: u32,
    },
    /// A stream or a device has an offset.
    #[error("descriptor {descriptor} has the offset {offset} on something that has none")]
    Offset {
        /// The descriptor.
        descriptor: u32,
        /// The offset.
        offset: u64,
    },

    /// SIGKILL or SIGSTOP is in a set of blocked signals.
    #[error("{field} is {set:#x}: it holds SIGKILL or SIGSTOP, which cannot be blocked")]
    Unblockable {
        /// Which set.
        field: &'static str,
        /// The set; bit n - 1 is signal n.
        set: u64,
    },
    /// A signal that is none, is out of order, or cannot have an action.
    #[error(
        "an action for signal {signal}, which is none, is out of order, cannot be caught or has the default action"
    )]
    Action {
        /// The signal's number.
        signal: u8,
    },
    /// A pending signal that is none, or not as a program can send it.
    #[error("signal {signal} is pending with code {code} and value {value:#x}, which no program can bring about")]
    Pending {
        /// The signal's number.
        signal: u8,
        /// `si_code`.
        code: i32,
        /// `si_pid` and `si_uid`.
        value: u64,
    },
    /// One pending signal too many: a standard one is pending once, and the number of real-time ones is limited.
    #[error("signal {signal} is pending once too often")]
    PendingTwice {
        /// The signal's number.
        signal: u8,
    },
    /// The alternate signal stack has flags that it cannot have.
    #[error("the alternate signal stack has the flags {flags:#x}; it can have SS_DISABLE and SS_AUTODISARM")]
    AlternateStack {
        /// The flags.
        flags: u32,
    },
    /// Extended states that no signal frame holds, or not those that every frame holds.
    #[error(
        "signal frames are said to have held the states {states:#x}; they hold {always:#x}, and {known:#x} at most"
    )]
    ExtendedStates {
        /// Bits of XSTATE_BV.
        states: u64,
        /// Those that every frame holds.
        always: u64,
        /// Those that one can hold.
        known: u64,
    },
}
