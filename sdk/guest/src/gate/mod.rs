//! The way to the host, and the only place with `unsafe`: registers, and addresses that the host has mapped.
//!
//! ```text
//! guest                        call()                        host
//! &[u8], &mut [u8]  ──►  RAX RDI RSI RDX R10 R9  ──►  copies out of and into exactly these bytes
//!                   ◄──  RAX RDI RSI             ◄──
//! ```
//!
//! Every function here is safe to call with anything: buffers are borrowed for as long as the host can touch them, and what the
//! host maps is only looked at after ATTACH, which is what makes it be there.

#[cfg(not(feature = "std"))]
pub(crate) mod exclusive;
mod pages;
mod ring_memory;

use core::sync::atomic::{AtomicBool, Ordering};

use ampoule_kernel::{call, layout};

pub(crate) use self::pages::{event, info, region};
pub(crate) use self::ring_memory::RingMemory;
use crate::errno::Errno;

/// True from the moment in which ATTACH was answered.
static ATTACHED: AtomicBool = AtomicBool::new(false);

/// Three registers, as a call leaves them.
struct Answer {
    rax: u64,
    rdi: u64,
    rsi: u64,
}

impl Answer {
    fn result(&self) -> Result<usize, Refusal> {
        match Errno::from_result(self.rax) {
            None => Ok(size(self.rax)),
            Some(errno) => Err(Refusal { errno, bytes: size(self.rsi) }),
        }
    }
}

/// An error, and the bytes that can be fetched if it says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) bytes: usize,
}

fn size(register: u64) -> usize {
    // The target has 64 bits.
    usize::try_from(register).unwrap_or(usize::MAX)
}

/// A call by the gate: what `syscall` does, without its emulation where the host would have to emulate it.
///
/// # Safety
/// As for [`by_instruction`]; and the guest is attached, so that there is a gate.
#[inline(always)]
unsafe fn by_gate(number: u64, [rdi, rsi, rdx, r10, r9]: [u64; 5]) -> Answer {
    let mut answer = Answer { rax: number, rdi, rsi };
    // SAFETY: the gate returns to the address in RCX, touches no stack, and clobbers what is said here; the rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "lea rcx, [rip + 2f]",
            "jmp {gate}",
            "2:",
            gate = in(reg) layout::CALL_GATE,
            inlateout("rax") answer.rax,
            inlateout("rdi") answer.rdi,
            inlateout("rsi") answer.rsi,
            in("rdx") rdx,
            in("r10") r10,
            in("r9") r9,
            out("rcx") _,
            lateout("r8") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// A call by the `syscall` instruction: Linux's own calls, and ATTACH, before which nobody knows whether there is a gate.
///
/// # Safety
/// The arguments are what the call of this number takes: addresses of memory that it may read or write, for as long as it may.
unsafe fn by_instruction(number: u64, [rdi, rsi, rdx, r10, r9]: [u64; 5]) -> Answer {
    let mut answer = Answer { rax: number, rdi, rsi };
    // SAFETY: a system call touches no stack and clobbers what is said here; the rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") answer.rax,
            inlateout("rdi") answer.rdi,
            inlateout("rsi") answer.rsi,
            in("rdx") rdx,
            in("r10") r10,
            in("r9") r9,
            out("rcx") _,
            lateout("r8") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

#[inline]
fn readable(bytes: &[u8]) -> [u64; 2] {
    [bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64]
}

#[inline]
fn writable(bytes: &mut [u8]) -> [u64; 2] {
    [bytes.as_mut_ptr().expose_provenance() as u64, bytes.len() as u64]
}

pub(crate) fn is_attached() -> bool {
    ATTACHED.load(Ordering::Relaxed)
}

/// Stops what would touch what is not there. All callers have attached, or cannot be reached without.
fn assert_attached() {
    assert!(is_attached(), "this needs a host: call `ampoule_guest::attach` first");
}

pub(crate) fn attach(table: &[u8], features: u64) -> Result<(), Errno> {
    let [address, length] = readable(table);
    let version = call::version(call::ABI_MAJOR, call::ABI_MINOR);
    // SAFETY: ATTACH reads the table; on Linux there is no call of this number.
    let answer = unsafe { by_instruction(call::ATTACH, [version, address, length, features, 0]) };
    answer.result().map_err(|refusal| refusal.errno)?;
    ATTACHED.store(true, Ordering::Relaxed);
    Ok(())
}

/// What [`next`] came back with.
pub(crate) enum Next {
    /// The arguments are in the buffer.
    Call { ordinal: u64, length: usize },
    /// The arguments can be fetched.
    TooLong { ordinal: u64, needed: usize },
    /// There is a ring to be served.
    Ring(RingMemory),
    /// The host does not want to go on.
    Refused(Errno),
}

#[inline]
pub(crate) fn next(outcome: u64, reply: &[u8], buffer: &mut [u8]) -> Next {
    assert_attached();
    let [reply_address, reply_length] = readable(reply);
    let [address, length] = writable(buffer);
    // SAFETY: NEXT reads the reply and writes into the buffer, both of which are borrowed until it returns.
    let answer = unsafe { by_gate(call::NEXT, [outcome, reply_address, reply_length, address, length]) };
    match answer.result() {
        Ok(_) if answer.rdi == call::SWITCH_TO_RING => Next::Ring(RingMemory::of_the_switch()),
        Ok(length) => Next::Call { ordinal: answer.rdi, length },
        Err(Refusal { errno: Errno::MSGSIZE, bytes: needed }) => Next::TooLong { ordinal: answer.rdi, needed },
        Err(Refusal { errno, .. }) => Next::Refused(errno),
    }
}

#[inline]
pub(crate) fn import(ordinal: u32, arguments: &[u8], buffer: &mut [u8]) -> Result<usize, Refusal> {
    assert_attached();
    let [from, from_length] = readable(arguments);
    let [to, to_length] = writable(buffer);
    // SAFETY: IMPORT reads the arguments and writes into the buffer, both of which are borrowed until it returns.
    unsafe { by_gate(call::IMPORT, [ordinal.into(), from, from_length, to, to_length]) }.result()
}

/// [`import`] into the room that a vector has, which is not zeroed first.
#[cfg(feature = "alloc")]
#[inline]
pub(crate) fn import_into(ordinal: u32, arguments: &[u8], reply: &mut alloc::vec::Vec<u8>) -> Result<(), Refusal> {
    assert_attached();
    reply.clear();
    let [from, from_length] = readable(arguments);
    let room = reply.spare_capacity_mut();
    let (to, to_length) = (room.as_mut_ptr().expose_provenance() as u64, room.len());
    // SAFETY: IMPORT reads the arguments and writes into the room, both of which are borrowed until it returns.
    let length =
        unsafe { by_gate(call::IMPORT, [ordinal.into(), from, from_length, to, to_length as u64]) }.result()?;
    assert!(length <= to_length, "the host wrote no more than there is room for");
    // SAFETY: there is room for these bytes, and the host has written them.
    unsafe { reply.set_len(length) };
    Ok(())
}

pub(crate) fn fetch(buffer: &mut [u8]) -> Result<usize, Errno> {
    assert_attached();
    let [address, length] = writable(buffer);
    // SAFETY: FETCH writes into the buffer, which is borrowed until it returns.
    unsafe { by_gate(call::FETCH, [address, length, 0, 0, 0]) }.result().map_err(|refusal| refusal.errno)
}

pub(crate) fn log(level: u64, record: &[u8]) {
    assert_attached();
    let [address, length] = readable(record);
    // SAFETY: LOG reads the record.
    let _ = unsafe { by_gate(call::LOG, [level, address, length, 0, 0]) };
}

pub(crate) fn park() {
    assert_attached();
    // SAFETY: PARK takes nothing.
    let _ = unsafe { by_gate(call::PARK, [0; 5]) };
}

/// `clock_gettime(CLOCK_MONOTONIC)` in nanoseconds.
pub(crate) fn monotonic() -> Result<u64, Errno> {
    const CLOCK_GETTIME: u64 = 228;
    const CLOCK_MONOTONIC: u64 = 1;
    let mut time = [0_u64; 2];
    let address = time.as_mut_ptr().expose_provenance() as u64;
    // SAFETY: a `timespec` is two words of 8 bytes.
    let answer = unsafe { by_instruction(CLOCK_GETTIME, [CLOCK_MONOTONIC, address, 0, 0, 0]) };
    answer.result().map_err(|refusal| refusal.errno)?;
    let [seconds, nanoseconds] = time;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

pub(crate) fn getrandom(buffer: &mut [u8]) -> Result<usize, Errno> {
    const GETRANDOM: u64 = 318;
    let [address, length] = writable(buffer);
    // SAFETY: `getrandom` writes into the buffer, which is borrowed until it returns.
    unsafe { by_instruction(GETRANDOM, [address, length, 0, 0, 0]) }.result().map_err(|refusal| refusal.errno)
}

/// `write` to standard error, as much as it takes.
pub(crate) fn write_to_stderr(bytes: &[u8]) -> Result<usize, Errno> {
    const WRITE: u64 = 1;
    let [address, length] = readable(bytes);
    // SAFETY: `write` reads the bytes.
    unsafe { by_instruction(WRITE, [2, address, length, 0, 0]) }.result().map_err(|refusal| refusal.errno)
}

/// `exit_group`; where there is `std`, its own way out is taken, which flushes.
#[cfg(not(feature = "std"))]
pub(crate) fn exit(status: u8) -> ! {
    const EXIT_GROUP: u64 = 231;
    loop {
        // SAFETY: it does not return, and has nothing to leave behind.
        let _ = unsafe { by_instruction(EXIT_GROUP, [status.into(), 0, 0, 0, 0]) };
    }
}

/// The time-stamp counter.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has it, and Ampoule's guests may read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}
