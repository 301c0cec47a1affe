//! Two cores and two cache lines: a bare VM that answers on a thread of its own, as fast as the machine can.
//!
//! ```text
//! measuring thread                     the VM's thread
//! store n at PING ───────────────────► the guest, spinning at CPL3, loads it
//! spins ◄───────────────────────────── and stores n at PONG
//! store STOP at PING ────────────────► it writes the port: the thread ends
//! ```
//! A guest that does not answer is stopped by the thread's timer, and whoever waits for it sees that the thread is over.

use std::hint;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use ampoule_kernel::layout::RING_BASE;
use ampoule_kernel::ring::{Memory, RING_BYTES};
use kvm_bindings::kvm_userspace_memory_region;

use super::{BareVm, PORT};
use crate::vm::clock::{self, Nanos};
use crate::vm::error::HostError;
use crate::vm::seam::{self, HostCall};
use crate::vm::shared::RingMemory;

/// The two words, in pages of their own as in the ring: processors fetch neighbouring lines together.
const PING: u64 = 0;
const PONG: u64 = 0x1000;
/// What ends the guest.
const STOP: u64 = u64::MAX;

/// ```text
///          mov edi, 4 MiB + PING; mov esi, 4 MiB + PONG; xor eax, eax
/// spin:    mov rcx, [rdi]; cmp rcx, rax; jne answer; pause; jmp spin
/// answer:  mov rax, rcx; mov [rsi], rax; cmp rax, STOP; jne spin
///          out PORT, al; jmp spin
/// ```
pub(super) const CODE: &[u8] = &[
    0xbf, 0, 0, 0x40, 0, 0xbe, 0, 0x10, 0x40, 0, 0x31, 0xc0, // before the loop
    0x48, 0x8b, 0x0f, 0x48, 0x39, 0xc1, 0x75, 0x04, 0xf3, 0x90, 0xeb, 0xf4, // spin
    0x48, 0x89, 0xc8, 0x48, 0x89, 0x06, 0x48, 0x83, 0xf8, 0xff, 0x75, 0xe8, // answer
    0xe6, PORT, 0xeb, 0xe4,
];

/// KVM's number for the shared slot: the bare VM's own has the payload's, 2.
const SLOT: u32 = 3;
/// The guest answers for so long and no longer: far longer than two threads wait to be run at the same time on a busy machine.
const LIFE: Nanos = 10_000_000_000;
/// Polls between two looks at the other thread. An answer takes far fewer while both run.
const POLLS: u32 = 4096;

/// A VM that answers.
#[derive(Debug)]
pub(crate) struct Answering {
    ring: Arc<RingMemory>,
    /// None once it was joined.
    thread: Option<JoinHandle<Result<(), HostError>>>,
    asked: u64,
}

impl Answering {
    /// Sets `vm` going, whose memory holds [`Guest::Answers`](super::Guest::Answers).
    pub(crate) fn start(mut vm: BareVm) -> Result<Self, HostError> {
        let ring = vm.share()?;
        let thread = seam::call(HostCall::Thread, || {
            thread::Builder::new()
                .name("ampoule-floor".to_owned())
                .spawn(move || vm.run_before(clock::monotonic().saturating_add(LIFE)))
        })?;
        Ok(Self { ring, thread: Some(thread), asked: 0 })
    }

    /// How long `count` round trips take.
    pub(crate) fn round_trips(&mut self, count: u32) -> Result<Nanos, HostError> {
        let from = clock::monotonic();
        for _ in 0..count {
            self.round_trip()?;
        }
        Ok(clock::monotonic() - from)
    }

    fn round_trip(&mut self) -> Result<(), HostError> {
        self.asked += 1;
        self.ring.store(PING, self.asked, Ordering::Release);
        let mut polls = 0_u32;
        while self.ring.load(PONG, Ordering::Acquire) != self.asked {
            polls = polls.wrapping_add(1);
            if polls.is_multiple_of(POLLS) {
                self.look()?;
            }
            hint::spin_loop();
        }
        Ok(())
    }

    /// Gives way to the other thread, which may be without a core, and sees whether it is still there.
    #[cold]
    fn look(&mut self) -> Result<(), HostError> {
        thread::yield_now();
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        self.stop()?;
        Err(HostError::Broken { exit: "the port write that ends a guest, unasked".to_owned() })
    }

    /// Ends the guest and its thread.
    pub(crate) fn end(mut self) -> Result<(), HostError> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), HostError> {
        self.ring.store(PING, STOP, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ring.store(PING, STOP, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It is over in any case; how is nobody's business any more.
            let _ = thread.join();
        }
    }
}

impl BareVm {
    /// Gives the guest memory at 4 MiB that another thread shares.
    fn share(&mut self) -> Result<Arc<RingMemory>, HostError> {
        let ring = Arc::new(RingMemory::new()?);
        // Before it is a slot: should the call fail half done, the memory stays for as long as the VM.
        self.ring = Some(Arc::clone(&ring));
        // A page that the host never touched would cost the first round trip a fault.
        ring.clear();
        let slot = kvm_userspace_memory_region {
            slot: SLOT,
            flags: 0,
            guest_phys_addr: RING_BASE,
            memory_size: RING_BYTES,
            userspace_addr: ring.host_address(),
        };
        seam::call(HostCall::SetMemory, || {
            // SAFETY: the range is the ring's whole mapping, which `self.ring` keeps until the VM is gone (field order); host threads
            // reach it only through atomics and volatile copies.
            unsafe { self.vm.set_user_memory_region(slot) }.map_err(io::Error::from)
        })?;
        Ok(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::bare::{Guest, memory};
    use crate::vm::device::Device;

    fn answering() -> Answering {
        Answering::start(BareVm::new(Device::get().unwrap(), memory(Guest::Answers).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_guest_on_its_own_thread_answers_until_it_is_told_to_stop() {
        let mut guest = answering();
        guest.round_trips(3).unwrap();
        assert_eq!(guest.ring.load(PONG, Ordering::Acquire), 3);
        guest.end().unwrap();
    }

    #[test]
    fn a_guest_that_was_never_asked_anything_ends_as_well() {
        drop(answering());
    }

    #[test]
    fn whoever_waits_for_a_guest_that_is_gone_is_told() {
        let mut guest = answering();
        guest.ring.store(PING, STOP, Ordering::Release);
        guest.asked = STOP - 2;
        // The answer to `STOP` is not the one that is waited for.
        while !guest.thread.as_ref().unwrap().is_finished() {
            thread::yield_now();
        }
        assert!(matches!(guest.round_trips(1), Err(HostError::Broken { .. })));
    }
}
