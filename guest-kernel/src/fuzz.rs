//! What a fuzz target and its harness say to each other: [`call::FUZZ`](crate::call::FUZZ) and what it takes, and the memory that they share.
//!
//! A target with a function for one input is a guest like any other: it [attaches](crate::call::ATTACH) with one export, [`ENTRY`], and waits for inputs with
//! [`NEXT`](crate::call::NEXT). A plain program reads its input from stdin or a file, and need know nothing of this. Both may tell where their counters are.
//!
//! ```text
//! target                                     harness
//! FUZZ COUNTERS, PROGRAM_COUNTERS ─────────►  reads the counters there after each input
//! FUZZ WINDOW "comparisons" ───────────────►  memory that no reset touches
//! ATTACH "export LLVMFuzzerTestOneInput\n" ►
//! NEXT ────────────────────────────────────►  snapshot: every input begins here
//!      ◄────────────────────── an input ───
//! NEXT, or FUZZ FINDING, or a trap ────────►  verdict; back to the snapshot
//! ```

use crate::layout;

/// The export that takes an input.
pub const ENTRY: &str = "LLVMFuzzerTestOneInput";

/// RSI, RDX: address and bytes of counters, one byte for each edge. They stay where they are. A range that was told already counts once.
pub const COUNTERS: u64 = 1;

/// RSI, RDX: address and bytes of a table with [`PROGRAM_COUNTER_BYTES`] for each counter, in the order in which the ranges of counters were told: the
/// address of its block, and flags (1: a function's first).
pub const PROGRAM_COUNTERS: u64 = 2;

/// In a program that is not called: every input begins here, unless the program has asked for its input before. Returns 0, once for each. The next time
/// ends the input.
pub const START: u64 = 3;

/// RSI, RDX: address and bytes of a name; R10: bytes. Returns the address of that much memory, zeros at first, which is left as it is
/// when an input's traces are removed, and which the harness can read by its name. The same again for the same name. `ENOMEM` beyond [`window::OWN_BYTES`] together, `EBUSY` for a new
/// name from the first input on.
pub const WINDOW: u64 = 4;

/// RSI: address of a [`finding`] of [`finding::BYTES`]. Ends the input: the target's own checks found an error. Does not return.
pub const FINDING: u64 = 5;

/// Bytes of an entry of the table of program counters.
pub const PROGRAM_COUNTER_BYTES: u64 = 16;
/// Most counters of a target: 4 MiB.
pub const MAX_COUNTERS: u64 = 4 << 20;
/// Most ranges of them.
pub const MAX_RANGES: usize = 256;

/// What a target's own checks found: little-endian words.
pub mod finding {
    /// One of the kinds below.
    pub const KIND: usize = 0x00;
    /// 0: neither, 1: it was read, 2: it was written.
    pub const ACCESS: usize = 0x08;
    /// The address that was accessed, or freed.
    pub const ADDRESS: usize = 0x10;
    /// Bytes accessed.
    pub const SIZE: usize = 0x18;
    /// The block of memory that the address is in or near: its address; 0 if there is none.
    pub const BLOCK: usize = 0x20;
    /// Its bytes.
    pub const BLOCK_SIZE: usize = 0x28;
    /// Return addresses of where it was allocated, the innermost first, up to a 0.
    pub const ALLOCATED: usize = 0x30;
    /// Return addresses of where it was freed.
    pub const FREED: usize = 0x70;
    /// Words of each.
    pub const FRAMES: usize = 8;
    /// Address of a text that says more, such as a variable's name; 0 if there is none.
    pub const TEXT: usize = 0xb0;
    /// Its bytes, at most [`TEXT_MAX_BYTES`].
    pub const TEXT_SIZE: usize = 0xb8;
    /// Bytes of a finding.
    pub const BYTES: usize = 0xc0;
    /// Most bytes of a text; the rest is cut.
    pub const TEXT_MAX_BYTES: usize = 255;

    /// An access behind or before a block of the heap.
    pub const HEAP_OVERFLOW: u64 = 1;
    /// An access behind or before a variable on the stack.
    pub const STACK_OVERFLOW: u64 = 2;
    /// An access behind or before a global variable.
    pub const GLOBAL_OVERFLOW: u64 = 3;
    /// An access to a block that was freed.
    pub const USE_AFTER_FREE: u64 = 4;
    /// A variable's scope is over.
    pub const USE_AFTER_SCOPE: u64 = 5;
    /// A block was freed twice.
    pub const DOUBLE_FREE: u64 = 6;
    /// What was freed is no block.
    pub const BAD_FREE: u64 = 7;
    /// An access behind the input's end.
    pub const INPUT_OVERFLOW: u64 = 8;
    /// An access to memory that is not the target's to touch, of no kind above.
    pub const INVALID_ACCESS: u64 = 9;
}

/// The comparisons of an input, in the window of the name [`NAME`](comparisons::NAME): a count, then as many entries as fit; the count goes on.
pub mod comparisons {
    /// The window's name.
    pub const NAME: &str = "comparisons";
    /// Bytes in front of the entries; the count is the first word.
    pub const HEADER_BYTES: usize = 16;
    /// A word that the host writes: if it is not 0, nobody will look, and the target need not log anything for this input.
    pub const UNWANTED: usize = 0x08;
    /// Bytes of an entry.
    pub const ENTRY_BYTES: usize = 32;
    /// In an entry: the address behind the comparison.
    pub const ADDRESS: usize = 0x00;
    /// The operands' bytes (1, 2, 4, 8), and 0x100 if the left one is a constant.
    pub const KIND: usize = 0x08;
    /// The left operand.
    pub const LEFT: usize = 0x10;
    /// The right one.
    pub const RIGHT: usize = 0x18;
}

/// The memory at [`layout::WINDOWS`], which the target can write: offsets.
pub mod window {
    use super::layout;

    /// Inputs of the batch that are done.
    pub const INDEX: u64 = 0x00;
    /// Address in the plan of the entry of the input that is next or under way.
    pub const INPUT: u64 = 0x08;
    /// Where the results of a batch start: the counters of one input after the other.
    pub const RESULTS: u64 = layout::PAGE_SIZE;
    /// Where the target's own windows start.
    pub const OWN: u64 = layout::WINDOWS_BYTES - OWN_BYTES;
    /// Bytes of them together.
    pub const OWN_BYTES: u64 = 4 << 20;
    /// Bytes for the results of a batch.
    pub const RESULTS_BYTES: u64 = OWN - RESULTS;
}

/// The memory at [`layout::PLAN`], which says what the batch gate does: offsets of words. Without a batch [`COUNT`](plan::COUNT) is 0.
pub mod plan {
    /// Inputs.
    pub const COUNT: u64 = 0x00;
    /// Where each is copied to.
    pub const BUFFER: u64 = 0x08;
    /// Bytes there.
    pub const BUFFER_BYTES: u64 = 0x10;
    /// Address of the entries of the inputs: address and bytes of each.
    pub const INPUTS: u64 = 0x18;
    /// Spans that are put back between inputs.
    pub const SPANS: u64 = 0x20;
    /// Address of their entries: to, from, words of 8 bytes.
    pub const SPAN_ENTRIES: u64 = 0x28;
    /// Ranges of counters.
    pub const RANGES: u64 = 0x30;
    /// Address of their entries: address, bytes.
    pub const RANGE_ENTRIES: u64 = 0x38;
    /// Bytes from the results of one input to those of the next.
    pub const STRIDE: u64 = 0x40;
    /// Where the target waits for an input.
    pub const RIP: u64 = 0x48;
    /// RCX, RSI and RDI there.
    pub const RCX: u64 = 0x50;
    /// See [`RCX`].
    pub const RSI: u64 = 0x58;
    /// See [`RCX`].
    pub const RDI: u64 = 0x60;
    /// RFLAGS, RSP, RBP and R8 to R15 there, a word each.
    pub const RFLAGS: u64 = 0x68;
    /// See [`RFLAGS`].
    pub const RSP: u64 = 0x70;
    /// See [`RFLAGS`].
    pub const RBP: u64 = 0x78;
    /// See [`RFLAGS`].
    pub const R8: u64 = 0x80;
    /// Where tables, contents and inputs may start.
    pub const DATA: u64 = 0x100;
}

const _: () = {
    assert!(window::INPUT + 8 <= window::RESULTS, "the results of a batch run into its progress");
    assert!(window::RESULTS + window::RESULTS_BYTES == window::OWN, "a target's windows do not follow the results");
    assert!(window::OWN + window::OWN_BYTES == layout::WINDOWS_BYTES, "the windows' parts are not all of them");
    assert!(MAX_COUNTERS <= window::RESULTS_BYTES, "a batch of one input has no room for its counters");
    assert!(plan::R8 + 8 * 8 <= plan::DATA, "the plan's registers run into its tables");
    assert!(finding::FREED - finding::ALLOCATED == finding::FRAMES * 8, "a finding's words do not follow each other");
    assert!(finding::TEXT - finding::FREED == finding::FRAMES * 8, "a finding's words do not follow each other");
    assert!(finding::TEXT_SIZE + 8 == finding::BYTES, "a finding is longer than its words");
};
