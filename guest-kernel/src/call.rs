//! Ampoule's own calls: how a guest that knows about Ampoule offers functions to the host and calls the host's.
//!
//! `docs/abi.md` is this module in prose, for people who write a guest in another language.
//!
//! ```text
//! number     RAX            results     RAX: a count, or -errno; RDI, RSI where a call says so
//! arguments  RDI RSI RDX R10 R9          clobbered: RCX R8 R11
//! ```
//!
//! Where RDI and RSI are not said to hold a result they hold nothing in particular. An address where the guest has no memory is `EFAULT`, or
//! ends the guest where nobody is left to be told.
//!
//! A call is made by `syscall`, like Linux's own, or by a jump to [`layout::CALL_GATE`](crate::layout::CALL_GATE) with the return address in
//! RCX: the same, and cheaper on some hosts. Outside Ampoule, and in a program that nobody calls into, the first one is answered with
//! `-ENOSYS`.
//!
//! ```text
//! guest                                       host
//! ATTACH  "export score\nimport lookup\n" ──►  checks names; from now on the guest may be called
//! NEXT    (nothing to answer) ──────────────►  it is ready
//!         ◄─────────── ordinal, arguments ───  call("score", …)
//! IMPORT  ordinal, arguments ───────────────►  runs the host's function
//!         ◄──────────────────────── reply ───
//! NEXT    (outcome, reply) ─────────────────►  the call returns; one exit both answers it and waits for the next
//! ```

/// Version of what this module describes. A guest of another major version is refused.
pub const ABI_MAJOR: u16 = 1;
/// Grows with additions that older hosts and guests can ignore.
pub const ABI_MINOR: u16 = 0;

/// Numbers from here on are Ampoule's; everything below is Linux's.
pub const CALL_BASE: u64 = 0x1000_0000;

/// Declares what the guest exports and imports. RDI: [`version`]; RSI, RDX: address and bytes of the table; R10: features
/// ([`FEATURE_RING`]). Once in a guest's life.
///
/// The table is text: one line for each function, `export NAME` or `import NAME`, ended by a newline. A function's ordinal is its place
/// among those of its kind, from 0.
///
/// Errors: `ENOSYS` where nobody calls into the guest. Another major version, a bad table and a second time (outside the ring) end the
/// guest: nobody could call it.
pub const ATTACH: u64 = CALL_BASE;

/// Answers the call that is being served, if there is one, and waits for the next. RDI: the outcome ([`OUTCOME_NONE`] and the others);
/// RSI, RDX: address and bytes of the reply; R10, R9: address and bytes of the buffer for the next call's arguments.
///
/// Returns in RAX the bytes of the arguments, which are in the buffer; in RDI the ordinal of the export. If the buffer is too small
/// RAX is `-EMSGSIZE`, RDI the ordinal all the same, and RSI the bytes that are needed: [`FETCH`] gets them. [`SWITCH_TO_RING`] instead of an ordinal: see there.
pub const NEXT: u64 = CALL_BASE + 1;

/// Calls the host. RDI: the ordinal of the import; RSI, RDX: address and bytes of the arguments; R10, R9: address and bytes of the
/// buffer for the reply.
///
/// Returns in RAX the bytes of the reply. Errors: `EMSGSIZE` as in [`NEXT`]; `ENOENT` if there is no such import; `EBADMSG` if
/// the arguments are not what the function takes; `EREMOTEIO` if the function failed: RSI bytes of reason can be had by [`FETCH`].
pub const IMPORT: u64 = CALL_BASE + 2;

/// Gets the message that did not fit. RDI, RSI: address and bytes of the buffer. Returns its bytes in RAX; `ENOMSG` if there is none;
/// `EMSGSIZE` and the bytes in RSI if it does not fit again, and then it stays.
pub const FETCH: u64 = CALL_BASE + 3;

/// Says something to whoever looks after the guest. RDI: the level, 1 (error) to 5 (trace); RSI, RDX: address and bytes of the target, a
/// NUL byte and the message, in UTF-8. What comes too often is dropped and counted; what is longer than [`LOG_MAX_BYTES`] is cut.
pub const LOG: u64 = CALL_BASE + 4;

/// Finds a region of memory that the host shares, and never changes. RDI, RSI: address and bytes of its name. Returns its bytes in RAX and its address in
/// RDI; `ENOENT` if there is none of that name.
pub const REGION: u64 = CALL_BASE + 5;

/// Ring mode only: there has been nothing to do for a while. Returns when there is.
pub const PARK: u64 = CALL_BASE + 6;

/// Tells the harness that fuzzes this program something, or asks it for something. RDI: what, one of the numbers in [`fuzz`](crate::fuzz); RSI, RDX
/// and R10 as is said there. `ENOSYS` where nobody fuzzes, `EINVAL` for what the harness does not know.
pub const FUZZ: u64 = CALL_BASE + 7;

/// [`NEXT`]: nothing to answer.
pub const OUTCOME_NONE: u64 = 0;
/// [`NEXT`]: the reply is the function's result.
pub const OUTCOME_RETURNED: u64 = 1;
/// [`NEXT`]: the function panicked; the reply is its message, a NUL byte and the source location, in UTF-8. The guest can be called again.
pub const OUTCOME_PANICKED: u64 = 2;
/// [`NEXT`]: the arguments could not be decoded. The reply does not matter.
pub const OUTCOME_BAD_ARGUMENTS: u64 = 3;

/// In place of an ordinal: serve the ring at [`layout::RING`](crate::layout::RING), which is empty and at its beginning again, until it says
/// [`ring::Kind::Leave`](crate::ring::Kind), then come back to [`NEXT`] with [`OUTCOME_NONE`]. While the ring is served, [`IMPORT`] and
/// [`ATTACH`] are `EBUSY`.
pub const SWITCH_TO_RING: u64 = u64::MAX;

/// [`ATTACH`]: the guest can serve the ring.
pub const FEATURE_RING: u64 = 1;

/// Most bytes of the table of exports and imports.
pub const TABLE_MAX_BYTES: usize = 64 << 10;
/// Most bytes of a function's or a region's name. Names are graphic ASCII characters other than `(` and `)`.
pub const NAME_MAX_BYTES: usize = 255;
/// Most bytes of one log record, target and NUL included.
pub const LOG_MAX_BYTES: usize = 4 << 10;

/// What [`ATTACH`] takes as the version.
#[must_use]
pub const fn version(major: u16, minor: u16) -> u64 {
    ((major as u64) << 16) | minor as u64
}

/// True if a function can have this name.
#[must_use]
pub const fn is_name(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return false;
    }
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        if !first.is_ascii_graphic() || matches!(*first, b'(' | b')') {
            return false;
        }
        rest = tail;
    }
    true
}

/// The info page, at [`layout::INFO`](crate::layout::INFO): what the host tells the guest without being asked. Little-endian words, read-only to the
/// guest, written before each entry.
pub mod info {
    /// The host's [`version`](super::version).
    pub const VERSION: u64 = 0x00;
    /// Which life this is: another number after every restore and in every clone of a snapshot. Whoever caches anything random checks it.
    pub const GENERATION: u64 = 0x08;
    /// When the run in progress is over, in nanoseconds of the guest's `CLOCK_MONOTONIC`.
    pub const DEADLINE: u64 = 0x10;
    /// The highest level that [`LOG`](super::LOG) is listened to with, 0–5.
    pub const LOG_LEVEL: u64 = 0x18;
    /// Nanoseconds that a guest spins on the ring before it calls [`PARK`](super::PARK).
    pub const IDLE: u64 = 0x20;
    /// Ticks of the time-stamp counter in a microsecond; 0 if the host does not know.
    pub const TICKS: u64 = 0x28;
    /// 1 if there is an event page; without one a store to it is a trap.
    pub const EVENTS: u64 = 0x30;
    /// 32 bytes of fresh randomness, another for every generation.
    pub const SEED: u64 = 0x40;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_graphic_and_have_an_end() {
        assert!(is_name(b"score") && is_name(b"a.b::c-d/e") && is_name(&[b'x'; NAME_MAX_BYTES]));
        for bad in
            [&b""[..], b"two words", b"new\nline", b"nul\0", b"call(", "\u{e4}".as_bytes(), &[b'x'; NAME_MAX_BYTES + 1]]
        {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
