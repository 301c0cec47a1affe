//! Delivering a signal: the frame that a handler finds on its stack, and the way back.
//!
//! The layout is Linux's `struct rt_sigframe` (`arch/x86/include/asm/sigframe.h`, `uapi/asm/sigcontext.h`), byte for byte: unwinders,
//! Rust's stack-overflow handler and language run-times read it.
//!
//! ```text
//! RSP at the handler ─►  0  return address (sa_restorer)
//!                        8  ucontext: flags, link, alternate stack, registers (sigcontext), signal mask
//!                      312  siginfo_t, 128 bytes
//!                      ...  extended state in XSAVE format, 64-byte aligned
//! ```
//!
//! What comes back through `rt_sigreturn` is the program's own invention as far as the host knows: flags are filtered, RIP must be in
//! the payload's half, and the extended state is checked before KVM sees it.

use rustix::io::Errno;

use super::Kernel;
use super::reply::{Refusal, refused};
use super::signals::{
    AlternateStack, Information, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTORER, SIG_DFL, SIG_IGN,
};
use crate::end::End;
use crate::machine::event::{Exception, PAGE_FAULT};
use crate::machine::extended::{self, HEADER_END, LEGACY_BYTES, MXCSR_MASK};
use crate::machine::restore::initial_extended_state;
use crate::signal::Signal;
use crate::trap::signal_of;
use crate::vm::error::HostError;
use crate::vm::vcpu::{Registers, XSAVE_BYTES};

/// Return address, ucontext (40 + 256 + 8 bytes), siginfo.
const FRAME_BYTES: u64 = 8 + 304 + 128;
/// Bytes below RSP that belong to the interrupted function (System V ABI).
const RED_ZONE: u64 = 128;
/// Where the kernel's `struct _fpx_sw_bytes` lies in the FXSAVE area.
const SOFTWARE_OFFSET: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// The states that every frame holds: x87 and SSE.
pub(super) const ALWAYS_STATES: u64 = 0b11;
/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 7;
/// `SS_AUTODISARM` in the flags of an alternate stack.
const AUTODISARM: u32 = 1 << 31;
/// DF, TF and RF are clear when a handler starts.
const HANDLER_CLEARS: u64 = 1 << 10 | 1 << 8 | 1 << 16;

const SI_KERNEL: i32 = 0x80;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;

/// Most room that a signal frame takes, as `AT_MINSIGSTKSZ` tells the program.
pub(crate) const MAX_FRAME: u64 = FRAME_BYTES + 2696 + 4 + 64 + 16 + RED_ZONE;

/// What came of an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// The program goes on: in its handler, or with the page that it touched.
    Yes,
    /// Nobody handles it.
    No,
}

impl Kernel<'_> {
    /// An exception of the program's: a lazy page, or a signal for its handler.
    pub(crate) fn exception(&mut self, exception: Exception) -> Result<Handled, Refusal> {
        const WRITE: u64 = 1 << 1;
        const FETCH: u64 = 1 << 4;
        if let Some(address) = exception.address
            && exception.error_code & FETCH == 0
            && self.fault_in(address, exception.error_code & WRITE != 0)?
        {
            return Ok(Handled::Yes);
        }
        let information = self.information(&exception)?;
        let signals = &self.process.signals;
        let handler = signals.action(information.signal).handler;
        if handler == SIG_DFL || handler == SIG_IGN || signals.blocked & information.signal.bit() != 0 {
            return Ok(Handled::No);
        }
        match self.deliver(information, Some(exception))? {
            Ok(()) => Ok(Handled::Yes),
            Err(NoRoom) => Ok(Handled::No),
        }
    }

    /// Delivers what is pending. Call before the program runs on.
    pub(crate) fn deliver_pending(&mut self) -> Result<(), Refusal> {
        let mut delivered = 0_u32;
        while let Some(information) = self.process.signals.take_due() {
            if delivered > 0 {
                self.watch.check()?;
            }
            delivered = delivered.saturating_add(1);
            let signal = information.signal;
            match self.process.signals.action(signal).handler {
                SIG_IGN => {}
                SIG_DFL if self.process.signals.is_ignored(signal) => {}
                // It would stop for good: nobody can continue it.
                SIG_DFL if signal == Signal::STOP => return Err(End::Deadlock.into()),
                SIG_DFL => return Err(End::Signaled(signal).into()),
                _ => {
                    if self.deliver(information, None)?.is_err() {
                        return Err(End::Signaled(Signal::SEGV).into());
                    }
                }
            }
        }
        // rt_sigsuspend's mask lasts until a handler was set up, whose return restores the one before.
        if let Some(mask) = self.process.signals.suspended.take() {
            self.process.signals.set_blocked(mask);
        }
        Ok(())
    }

    fn information(&mut self, exception: &Exception) -> Result<Information, Refusal> {
        let signal = signal_of(exception.vector);
        let rip = self.machine.registers().rip;
        let (code, value) = match exception.vector {
            0 => (1, rip),                             // FPE_INTDIV
            1 => (2, rip),                             // TRAP_TRACE
            6 => (2, rip),                             // ILL_ILLOPN
            17 => (1, exception.address.unwrap_or(0)), // BUS_ADRALN
            16 | 19 => (self.float_code(exception.vector)?, rip),
            PAGE_FAULT => {
                let address = exception.address.unwrap_or(0);
                let mapped = self.process.memory.areas.find(address).is_some();
                (if mapped { SEGV_ACCERR } else { SEGV_MAPERR }, address)
            }
            _ => (SI_KERNEL, 0),
        };
        Ok(Information { signal, code, value })
    }

    /// `si_code` of a floating-point exception: the first that is raised and not masked, as Linux looks for it.
    fn float_code(&mut self, vector: u8) -> Result<i32, Refusal> {
        const MATH_FAULT: u8 = 16;
        let state = self.machine.vcpu().extended_state()?;
        let raised = if vector == MATH_FAULT {
            word(&state[..], 2) & !word(&state[..], 0)
        } else {
            let mxcsr = word(&state[..], 24);
            mxcsr & !(mxcsr >> 7)
        };
        Ok(match raised & 0x3f {
            flags if flags & 1 != 0 => 7,    // FPE_FLTINV
            flags if flags & 4 != 0 => 3,    // FPE_FLTDIV
            flags if flags & 8 != 0 => 4,    // FPE_FLTOVF
            flags if flags & 0x12 != 0 => 5, // FPE_FLTUND
            flags if flags & 0x20 != 0 => 6, // FPE_FLTRES
            _ => 7,
        })
    }

    /// Builds the frame and points the registers at the handler.
    fn deliver(
        &mut self,
        information: Information,
        exception: Option<Exception>,
    ) -> Result<Result<(), NoRoom>, Refusal> {
        let signal = information.signal;
        let action = self.process.signals.action(signal);
        if action.flags & SA_RESTORER == 0 {
            return Ok(Err(NoRoom));
        }
        let registers = *self.machine.registers();
        let alternate = self.process.signals.alternate;
        let nested = alternate.contains(registers.rsp);
        let entering = action.flags & SA_ONSTACK != 0 && alternate.is_enabled() && !nested;
        let stack =
            if entering { alternate.start.wrapping_add(alternate.size) } else { registers.rsp.wrapping_sub(RED_ZONE) };
        let state = self.machine.vcpu().extended_state()?;
        let (state, present) = frame_state(&state);
        self.process.signals.states |= present & known_states();
        let state_at = stack.wrapping_sub(state.len() as u64) & !63;
        let frame_at = (state_at.wrapping_sub(FRAME_BYTES) & !15).wrapping_sub(8);
        if (nested || entering) && !alternate.contains(frame_at) {
            // It would run out of the alternate stack, into whatever lies below.
            return Ok(Err(NoRoom));
        }
        let mask = self.process.signals.suspended.take().unwrap_or(self.process.signals.blocked);

        let mut frame = Vec::new();
        push(&mut frame, &[action.restorer, UC_FLAGS, 0]);
        push(&mut frame, &[alternate.start, u64::from(alternate.flags), alternate.size]);
        let r = &registers;
        push(&mut frame, &[r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15]);
        push(&mut frame, &[r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp, r.rip, r.rflags]);
        let selectors = u64::from(ampoule_kernel::layout::USER_CODE_SELECTOR)
            | u64::from(ampoule_kernel::layout::USER_DATA_SELECTOR) << 48;
        let (code, vector, address) =
            exception.map_or((0, 0, 0), |e| (e.error_code, u64::from(e.vector), e.address.unwrap_or(0)));
        push(&mut frame, &[selectors, code, vector, mask, address, state_at]);
        push(&mut frame, &[0; 8]);
        push(&mut frame, &[mask]);
        frame.extend_from_slice(&siginfo(&information));

        if refused(self.write_all(state_at, &state))? || refused(self.write_all(frame_at, &frame))? {
            return Ok(Err(NoRoom));
        }
        let handler = Registers {
            rip: action.handler,
            rsp: frame_at,
            rax: 0,
            rdi: u64::from(signal.number()),
            rsi: frame_at.wrapping_add(8 + 304),
            rdx: frame_at.wrapping_add(8),
            rflags: registers.rflags & !HANDLER_CLEARS,
            ..registers
        };
        if self.machine.set_registers(&handler).is_err() {
            return Ok(Err(NoRoom));
        }
        self.machine.vcpu().set_extended_state(&initial_extended_state())?;
        let signals = &mut self.process.signals;
        let own = if action.flags & SA_NODEFER == 0 { signal.bit() } else { 0 };
        signals.set_blocked(signals.blocked | action.mask | own);
        if action.flags & SA_RESETHAND != 0 {
            let reset = super::signals::Action { handler: SIG_DFL, ..action };
            signals.set_action(signal, reset);
        }
        if alternate.flags & AUTODISARM != 0 {
            signals.alternate = AlternateStack { start: 0, size: 0, flags: 2 };
        }
        Ok(Ok(()))
    }

    /// Restores what a handler's frame says. A frame that cannot be is a fault, as in Linux.
    pub(super) fn sys_rt_sigreturn(&mut self) -> Result<(), Refusal> {
        let frame_at = self.machine.registers().rsp.wrapping_sub(8);
        if refused(self.restore(frame_at))? {
            return Err(End::Signaled(Signal::SEGV).into());
        }
        Ok(())
    }

    fn restore(&mut self, frame_at: u64) -> Result<(), Refusal> {
        let context = frame_at.wrapping_add(8);
        let [_, _, stack_start, stack_flags, stack_size] = self.read_words(context)?;
        let w: [u64; 24] = self.read_words(context.wrapping_add(40))?;
        let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags, ..] = w;
        let [.., state_at] = w;
        let [mask] = self.read_words(context.wrapping_add(296))?;
        let registers =
            Registers { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags };
        if state_at != 0 {
            let state = self.read_state(state_at)?;
            // What the checks let through and the kernel refuses all the same is the program's own doing.
            match self.machine.vcpu().set_extended_state(&state) {
                Err(HostError::Call { source, .. }) if source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    return Err(Errno::FAULT.into());
                }
                result => result?,
            }
        } else {
            self.machine.vcpu().set_extended_state(&initial_extended_state())?;
        }
        self.machine.set_registers(&registers).map_err(|_| Errno::FAULT)?;
        self.process.signals.set_blocked(mask);
        let flags = u32::try_from(stack_flags & u64::from(u32::MAX)).unwrap_or(0);
        if !self.process.signals.alternate.contains(rsp) && flags & !(AUTODISARM | 3) == 0 {
            self.process.signals.alternate =
                AlternateStack { start: stack_start, size: stack_size, flags: flags & (AUTODISARM | 2) };
        }
        Ok(())
    }

    /// Reads the extended state of a frame into a form that KVM accepts.
    fn read_state(&mut self, at: u64) -> Result<Box<[u8; XSAVE_BYTES]>, Refusal> {
        let mut state = Box::new([0; XSAVE_BYTES]);
        let legacy = state.get_mut(..LEGACY_BYTES).unwrap_or_default();
        self.read_exact(at, legacy)?;
        let size = usize::try_from(word(legacy, SOFTWARE_OFFSET + 16)).unwrap_or(0);
        let is_extended =
            word(legacy, SOFTWARE_OFFSET) == MAGIC1 && extended::ends().iter().any(|&(end, _)| end == size);
        let mut present = 0b11;
        if is_extended {
            let rest = state.get_mut(LEGACY_BYTES..size).unwrap_or_default();
            self.read_exact(at.wrapping_add(LEGACY_BYTES as u64), rest)?;
            let header = state.get(LEGACY_BYTES..LEGACY_BYTES + 8).and_then(|bits| bits.try_into().ok());
            let fits = extended::ends().iter().filter(|&&(end, _)| end <= size);
            let allowed = fits.fold(0, |bits, &(_, bit)| bits | bit);
            present = header.map_or(0, u64::from_le_bytes) & allowed & self.process.signals.states;
        }
        if let Some(header) = state.get_mut(LEGACY_BYTES..HEADER_END) {
            header.fill(0);
        }
        patch(&mut state[..], LEGACY_BYTES, &present.to_le_bytes());
        let mxcsr = word(&state[..], 24) & MXCSR_MASK;
        patch(&mut state[..], 24, &mxcsr.to_le_bytes());
        Ok(state)
    }
}

/// The frame does not fit where it must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NoRoom;

fn push(frame: &mut Vec<u8>, words: &[u64]) {
    frame.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

/// A little-endian word; zero beyond the end.
fn word(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..offset + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn patch(bytes: &mut [u8], offset: usize, with: &[u8]) {
    if let Some(place) = bytes.get_mut(offset..offset + with.len()) {
        place.copy_from_slice(with);
    }
}

/// The states that a frame can hold, on whatever processor.
pub(super) fn known_states() -> u64 {
    extended::STATES
}

/// The state as a frame holds it: as long as the states in use need, with the kernel's own words, and the end marker.
fn frame_state(state: &[u8; XSAVE_BYTES]) -> (Vec<u8>, u64) {
    let header = state.get(LEGACY_BYTES..LEGACY_BYTES + 8).and_then(|bits| bits.try_into().ok());
    let present = header.map_or(0b11, u64::from_le_bytes);
    let known = known_states();
    let ends = extended::ends().iter().filter(|&&(_, bit)| present & bit != 0).map(|&(end, _)| end);
    let size = ends.max().unwrap_or(HEADER_END);
    let mut bytes = state.get(..size).unwrap_or_default().to_vec();
    let total = u32::try_from(size + 4).unwrap_or(0);
    let size = u32::try_from(size).unwrap_or(0);
    patch(&mut bytes, SOFTWARE_OFFSET, &MAGIC1.to_le_bytes());
    patch(&mut bytes, SOFTWARE_OFFSET + 4, &total.to_le_bytes());
    patch(&mut bytes, SOFTWARE_OFFSET + 8, &known.to_le_bytes());
    patch(&mut bytes, SOFTWARE_OFFSET + 16, &size.to_le_bytes());
    bytes.extend_from_slice(&MAGIC2.to_le_bytes());
    (bytes, present)
}

fn siginfo(information: &Information) -> [u8; 128] {
    let mut bytes = [0; 128];
    patch(&mut bytes, 0, &u32::from(information.signal.number()).to_le_bytes());
    patch(&mut bytes, 8, &information.code.to_le_bytes());
    patch(&mut bytes, 16, &information.value.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_long_as_linux_makes_it() {
        assert_eq!(FRAME_BYTES, 440);
    }

    #[test]
    fn the_state_in_a_frame_is_no_longer_than_what_is_in_use() {
        let mut state = [0; XSAVE_BYTES];
        state[LEGACY_BYTES] = 0b111;
        let (bytes, present) = frame_state(&state);
        assert_eq!(present, 0b111);
        assert_eq!(bytes.len(), 832 + 4);
        assert_eq!(bytes[SOFTWARE_OFFSET..SOFTWARE_OFFSET + 4], MAGIC1.to_le_bytes());
        assert_eq!(bytes[832..], MAGIC2.to_le_bytes());
        state[LEGACY_BYTES] = 0b11;
        assert_eq!(frame_state(&state).0.len(), HEADER_END + 4);
    }
}
