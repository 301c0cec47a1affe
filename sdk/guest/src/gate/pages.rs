//! What the host maps for the guest: the info page, the event page, and shared regions.

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use ampoule_kernel::{call, layout};

use super::{Answer, by_gate, is_attached, readable, size};

/// Events have a word each on one page.
const EVENTS: u16 = 512;

/// A word of the info page; `None` if nobody has attached.
#[inline]
pub(crate) fn info(offset: u64) -> Option<u64> {
    if !is_attached() || offset > layout::PAGE_SIZE - 8 || !offset.is_multiple_of(8) {
        return None;
    }
    let word = with_exposed_provenance::<u64>(size(layout::INFO + offset));
    // SAFETY: the info page is mapped in a guest that has attached, and this is an aligned word on it. The host writes it between two entries,
    // so each load is volatile.
    Some(unsafe { word.read_volatile() })
}

/// Posts an event; false if there is nobody to post it to, or no such event.
#[inline]
pub(crate) fn event(id: u16, value: u64) -> bool {
    if id >= EVENTS || info(call::info::EVENTS) != Some(1) {
        return false;
    }
    let word = with_exposed_provenance_mut::<u64>(size(layout::EVENTS + 8 * u64::from(id)));
    // SAFETY: the event page is mapped where the info page says so, and this is an aligned word on it. A store there is a message, so it is
    // volatile; nobody reads from there.
    unsafe { word.write_volatile(value) };
    true
}

/// The region of a name.
pub(crate) fn region(name: &str) -> Option<&'static [u8]> {
    if !is_attached() {
        return None;
    }
    let [address, length] = readable(name.as_bytes());
    // SAFETY: REGION reads the name.
    let answer: Answer = unsafe { by_gate(call::REGION, [address, length, 0, 0, 0]) };
    let bytes = answer.result().ok()?;
    if bytes == 0 {
        return Some(&[]);
    }
    let start = with_exposed_provenance::<u8>(size(answer.rdi));
    // SAFETY: the host has mapped these bytes for the life of the guest, and does not change what it shares.
    Some(unsafe { core::slice::from_raw_parts(start, bytes) })
}
