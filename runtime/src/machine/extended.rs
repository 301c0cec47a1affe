//! Extended states in memory: where `XSAVE` puts x87, SSE, AVX and the others, on this host.
//!
//! ```text
//! 0    x87 ── 24 MXCSR ── 32 x87 registers ── 160 XMM registers ── 416 not used
//! 512  header: which states are in use            576 on: each further state where CPUID leaf 0xd says
//! ```
//! Processors agree on the sizes of states and disagree on their places: Intel's leave room for what AMD's never had. So what leaves this host
//! is taken apart, and put together again where it is loaded.

use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::ops::Range;
use std::sync::OnceLock;

use super::restore::{ExtendedState, initial_extended_state};

/// `FXSAVE`'s area.
pub(crate) const LEGACY_BYTES: usize = 512;
/// That and the header.
pub(crate) const HEADER_END: usize = LEGACY_BYTES + 64;
/// Bits of MXCSR that are not reserved on any processor.
pub(crate) const MXCSR_MASK: u32 = 0xffff;

/// Where MXCSR is.
const MXCSR: Range<usize> = 24..28;
/// Where the states in use are told: `XSTATE_BV`.
const IN_USE: Range<usize> = LEGACY_BYTES..LEGACY_BYTES + 8;
const X87: u32 = 0;
const SSE: u32 = 1;
/// Bit in `XSTATE_BV` and bytes: AVX, the three of AVX-512, PKRU (Intel SDM vol. 1, 13.5).
const FURTHER: [(u32, usize); 5] = [(2, 256), (5, 64), (6, 512), (7, 1024), (9, 8)];

/// All states that a guest can have.
pub(crate) const STATES: u64 = 0b11 | 1 << 2 | 0b111 << 5 | 1 << 9;

/// One that this host's processor does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MissingState {
    /// Its bit in `XSTATE_BV`.
    pub(crate) state: u32,
}

/// Where the parts of the states `in_use` are, in ascending order of states; MXCSR aside, which is always there.
///
/// # Errors
/// [`MissingState`] if this host has no place for one.
pub(crate) fn parts(in_use: u64) -> Result<Vec<Range<usize>>, MissingState> {
    let mut parts = Vec::new();
    if in_use >> X87 & 1 == 1 {
        parts.extend([0..MXCSR.start, 32..160]);
    }
    if in_use >> SSE & 1 == 1 {
        parts.push(160..416);
    }
    for (state, bytes) in FURTHER.into_iter().filter(|(state, _)| in_use >> state & 1 == 1) {
        let start = place(state, bytes).ok_or(MissingState { state })?;
        parts.push(start..start + bytes);
    }
    Ok(parts)
}

/// Where the states that this processor has end, and their bits: x87 and SSE, which need the header, then each of the others.
pub(crate) fn ends() -> &'static [(usize, u64)] {
    static ENDS: OnceLock<Vec<(usize, u64)>> = OnceLock::new();
    ENDS.get_or_init(|| {
        let end = |(state, bytes): (u32, usize)| place(state, bytes).map(|start| (start + bytes, 1 << state));
        std::iter::once((HEADER_END, 1 << X87 | 1 << SSE)).chain(FURTHER.into_iter().filter_map(end)).collect()
    })
}

/// Where this processor has a state, if it has it in the size that everybody has.
fn place(state: u32, bytes: usize) -> Option<usize> {
    const LEAF: u32 = 0xd;
    if __cpuid(0).eax < LEAF || __cpuid_count(LEAF, 0).eax >> state & 1 == 0 {
        return None;
    }
    let answer = __cpuid_count(LEAF, state);
    let place = usize::try_from(answer.ebx).ok().filter(|place| (HEADER_END..=4096 - bytes).contains(place))?;
    (usize::try_from(answer.eax) == Ok(bytes)).then_some(place)
}

/// The states in use.
pub(crate) fn in_use(state: &ExtendedState) -> u64 {
    state.get(IN_USE).and_then(|bits| bits.try_into().ok()).map_or(0, u64::from_le_bytes) & STATES
}

/// MXCSR without what is reserved.
pub(crate) fn mxcsr(state: &ExtendedState) -> u32 {
    state.get(MXCSR).and_then(|bits| bits.try_into().ok()).map_or(0, u32::from_le_bytes) & MXCSR_MASK
}

/// A state in which `in_use` are in use, all zeros yet, and MXCSR is this: in the form that `xrstor` accepts.
pub(crate) fn with(in_use: u64, mxcsr: u32) -> ExtendedState {
    let mut state = initial_extended_state();
    for (range, bytes) in [(MXCSR, &mxcsr.to_le_bytes()[..]), (IN_USE, &in_use.to_le_bytes()[..])] {
        if let Some(place) = state.get_mut(range) {
            place.copy_from_slice(bytes);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_in_use_have_places_that_do_not_overlap() {
        let here: u64 =
            (0..10).filter(|&state| STATES >> state & 1 == 1 && parts(1 << state).is_ok()).map(|it| 1 << it).sum();
        assert_eq!(here & 0b11, 0b11);
        let mut parts = parts(here).unwrap();
        parts.sort_by_key(|part| part.start);
        assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start), "{parts:?}");
        assert!(parts.iter().all(|part| part.end <= 4096));
    }

    #[test]
    fn what_is_made_says_what_it_was_made_with_and_has_an_empty_header() {
        let state = with(0b101, 0x1fa0);
        assert_eq!((in_use(&state), mxcsr(&state)), (0b101, 0x1fa0));
        assert!(state[IN_USE.end..HEADER_END].iter().all(|&byte| byte == 0), "XCOMP_BV and what is reserved");
        assert_eq!(with(0, 0x1f80), initial_extended_state());
    }
}
