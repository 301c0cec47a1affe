//! Signals: what the program wants done with each, which are blocked, which are pending. Plain data; delivery is `sigframe`'s.
//!
//! A sealed program gets signals from two places only: from itself (`raise`, `abort`, a broken pipe) and from the processor (a
//! fault). One of each standard signal can be pending, and a limited number of real-time signals.

mod state;

use rustix::io::Errno;

use super::Kernel;
use super::reply::Reply;
use super::sigframe::ALWAYS_STATES;
use crate::end::End;
use crate::signal::Signal;

/// Default disposition.
pub(super) const SIG_DFL: u64 = 0;
/// Ignored.
pub(super) const SIG_IGN: u64 = 1;

pub(super) const SA_RESTORER: u64 = 0x0400_0000;
pub(super) const SA_ONSTACK: u64 = 0x0800_0000;
pub(super) const SA_NODEFER: u64 = 0x4000_0000;
pub(super) const SA_RESETHAND: u64 = 0x8000_0000;

/// `si_code` of a signal that a program sent: kill(2), tgkill(2), and the kernel's own.
pub(super) const SI_USER: i32 = 0;
pub(super) const SI_TKILL: i32 = -6;

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;
/// Linux's MINSIGSTKSZ.
const MIN_STACK: u64 = 2048;

const SIG_BLOCK: u64 = 0;
const SIG_UNBLOCK: u64 = 1;
const SIG_SETMASK: u64 = 2;

/// SIGKILL and SIGSTOP cannot be blocked, caught or ignored.
const UNSTOPPABLE: u64 = 1 << 8 | 1 << 18;

/// Real-time signals are queued.
const FIRST_QUEUED: u8 = 32;
/// Most signals that are pending at once; each is some bytes of the host's memory.
const MAX_PENDING: usize = 1024;

/// `struct kernel_sigaction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Action {
    pub(super) handler: u64,
    pub(super) flags: u64,
    pub(super) restorer: u64,
    pub(super) mask: u64,
}

/// What a handler is told of its signal: the fields of `siginfo_t` that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Information {
    pub(super) signal: Signal,
    pub(super) code: i32,
    /// `si_addr` for faults; `si_pid` and `si_uid` otherwise.
    pub(super) value: u64,
}

/// The alternate signal stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlternateStack {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) flags: u32,
}

impl AlternateStack {
    const NONE: Self = Self { start: 0, size: 0, flags: SS_DISABLE };

    pub(super) fn is_enabled(&self) -> bool {
        self.flags & SS_DISABLE == 0 && self.size != 0
    }

    pub(super) fn contains(&self, pointer: u64) -> bool {
        self.is_enabled() && pointer > self.start && pointer - self.start <= self.size
    }
}

/// Everything about a program's signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signals {
    actions: Vec<Action>,
    /// Bit n - 1: signal n.
    pub(super) blocked: u64,
    pending: Vec<Information>,
    pub(super) alternate: AlternateStack,
    /// The mask to return to after `rt_sigsuspend`.
    pub(super) suspended: Option<u64>,
    /// Extended states that a frame has held: what KVM gave, it takes back.
    pub(super) states: u64,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            actions: vec![Action::default(); 64],
            blocked: 0,
            pending: Vec::new(),
            alternate: AlternateStack::NONE,
            suspended: None,
            states: ALWAYS_STATES,
        }
    }

    pub(super) fn action(&self, signal: Signal) -> Action {
        self.actions.get(usize::from(signal.number()) - 1).copied().unwrap_or_default()
    }

    pub(super) fn set_action(&mut self, signal: Signal, action: Action) {
        if let Some(slot) = self.actions.get_mut(usize::from(signal.number()) - 1) {
            *slot = action;
        }
    }

    /// Makes a signal pending. Ignored ones vanish at once, as Linux has it, unless they are blocked.
    ///
    /// # Errors
    /// `EAGAIN` for a real-time signal if too many are pending.
    pub(super) fn send(&mut self, information: Information) -> Result<(), Errno> {
        let signal = information.signal;
        let queued = signal.number() >= FIRST_QUEUED;
        if self.blocked & signal.bit() == 0 && self.is_ignored(signal) {
            return Ok(());
        }
        if !queued && self.pending.iter().any(|pending| pending.signal == signal) {
            return Ok(());
        }
        if queued && self.pending.len() >= MAX_PENDING {
            return Err(Errno::AGAIN);
        }
        self.pending.push(information);
        Ok(())
    }

    /// True if nothing happens when it is delivered.
    pub(super) fn is_ignored(&self, signal: Signal) -> bool {
        match self.action(signal).handler {
            SIG_IGN => true,
            SIG_DFL => ignored_by_default(signal),
            _ => false,
        }
    }

    /// Takes the pending signal that is due: not blocked, lowest number first.
    pub(super) fn take_due(&mut self) -> Option<Information> {
        let (index, _) = self
            .pending
            .iter()
            .enumerate()
            .filter(|(_, pending)| self.blocked & pending.signal.bit() == 0)
            .min_by_key(|(_, pending)| pending.signal)?;
        Some(self.pending.remove(index))
    }

    /// True if a signal would be delivered now.
    pub(super) fn is_due(&self) -> bool {
        self.pending.iter().any(|pending| self.blocked & pending.signal.bit() == 0)
    }

    pub(super) fn set_blocked(&mut self, mask: u64) {
        self.blocked = mask & !UNSTOPPABLE;
    }

    fn pending_set(&self) -> u64 {
        self.pending.iter().fold(0, |set, pending| set | pending.signal.bit()) & self.blocked
    }
}

/// CHLD, CONT, URG, WINCH: nothing happens. The stop signals stop a process, which a sealed one cannot be woken from: they are
/// ignored but for STOP itself, which is a deadlock.
fn ignored_by_default(signal: Signal) -> bool {
    matches!(signal.number(), 17 | 18 | 23 | 28 | 20..=22)
}

/// `si_pid` and `si_uid` of every signal that is sent: there is nobody else.
fn sender() -> u64 {
    super::identity::PROCESS | u64::from(super::identity::USER) << 32
}

fn signal(number: u64) -> Result<Signal, Errno> {
    u8::try_from(number).ok().and_then(Signal::new).ok_or(Errno::INVAL)
}

impl Kernel<'_> {
    pub(super) fn sys_rt_sigaction(&mut self, number: u64, new: u64, old: u64, set_bytes: u64) -> Reply {
        if set_bytes != 8 {
            return Err(Errno::INVAL.into());
        }
        let signal = signal(number)?;
        let replacement = if new == 0 {
            None
        } else {
            let [handler, flags, restorer, mask] = self.read_words(new)?;
            Some(Action { handler, flags, restorer, mask: mask & !UNSTOPPABLE })
        };
        if replacement.is_some() && signal.bit() & UNSTOPPABLE != 0 {
            return Err(Errno::INVAL.into());
        }
        let before = self.process.signals.action(signal);
        if let Some(action) = replacement {
            self.process.signals.set_action(signal, action);
            if self.process.signals.is_ignored(signal) {
                self.process.signals.pending.retain(|pending| pending.signal != signal);
            }
        }
        if old != 0 {
            self.write_words(old, &[before.handler, before.flags, before.restorer, before.mask])?;
        }
        Ok(0)
    }

    pub(super) fn sys_rt_sigprocmask(&mut self, how: u64, new: u64, old: u64, set_bytes: u64) -> Reply {
        if set_bytes != 8 {
            return Err(Errno::INVAL.into());
        }
        let before = self.process.signals.blocked;
        if new != 0 {
            let [set] = self.read_words(new)?;
            let mask = match how {
                SIG_BLOCK => before | set,
                SIG_UNBLOCK => before & !set,
                SIG_SETMASK => set,
                _ => return Err(Errno::INVAL.into()),
            };
            self.process.signals.set_blocked(mask);
        }
        if old != 0 {
            self.write_words(old, &[before])?;
        }
        Ok(0)
    }

    pub(super) fn sys_rt_sigpending(&mut self, set: u64, set_bytes: u64) -> Reply {
        if set_bytes > 8 {
            return Err(Errno::INVAL.into());
        }
        let pending = self.process.signals.pending_set().to_le_bytes();
        let wanted = usize::try_from(set_bytes).ok().and_then(|count| pending.get(..count)).unwrap_or_default();
        self.write_all(set, wanted)?;
        Ok(0)
    }

    /// Waits for a signal. Only a pending one can come: without one, nobody will ever send it.
    pub(super) fn sys_rt_sigsuspend(&mut self, set: u64, set_bytes: u64) -> Reply {
        if set_bytes != 8 {
            return Err(Errno::INVAL.into());
        }
        let [mask] = self.read_words(set)?;
        let before = self.process.signals.blocked;
        self.process.signals.set_blocked(mask);
        if !self.process.signals.is_due() {
            return Err(End::Deadlock.into());
        }
        self.process.signals.suspended = Some(before);
        Err(Errno::INTR.into())
    }

    pub(super) fn sys_sigaltstack(&mut self, new: u64, old: u64) -> Reply {
        let pointer = self.machine.registers().rsp;
        let current = self.process.signals.alternate;
        let on_it = current.contains(pointer);
        let replacement = if new == 0 {
            None
        } else {
            let [start, flags, size] = self.read_words(new)?;
            let flags = u32::try_from(flags & u64::from(u32::MAX)).map_err(|_| Errno::INVAL)?;
            if on_it {
                return Err(Errno::PERM.into());
            }
            Some(match flags & !SS_AUTODISARM {
                SS_DISABLE => AlternateStack { flags, ..AlternateStack::NONE },
                0 | SS_ONSTACK if size < MIN_STACK => return Err(Errno::NOMEM.into()),
                0 | SS_ONSTACK => AlternateStack { start, size, flags: flags & SS_AUTODISARM },
                _ => return Err(Errno::INVAL.into()),
            })
        };
        if old != 0 {
            let flags = if on_it { SS_ONSTACK } else { current.flags };
            self.write_words(old, &[current.start, u64::from(flags), current.size])?;
        }
        if let Some(stack) = replacement {
            self.process.signals.alternate = stack;
        }
        Ok(0)
    }

    /// kill(2), to this process only: 0, itself, its group.
    pub(super) fn sys_kill(&mut self, process: u64, number: u64) -> Reply {
        let target = super::descriptor(process);
        let own = i32::try_from(super::identity::PROCESS).unwrap_or(i32::MAX);
        if number > 64 {
            return Err(Errno::INVAL.into());
        }
        if !(target == 0 || target == own || target == -own || target == -1) {
            return Err(Errno::SRCH.into());
        }
        self.send_to_self(number, SI_USER)
    }

    /// tkill(2) and tgkill(2).
    pub(super) fn sys_tkill(&mut self, process: u64, thread: u64, number: u64) -> Reply {
        let own = super::identity::PROCESS;
        if super::descriptor(process) <= 0 || super::descriptor(thread) <= 0 || number > 64 {
            return Err(Errno::INVAL.into());
        }
        if process != own || thread != own {
            return Err(Errno::SRCH.into());
        }
        self.send_to_self(number, SI_TKILL)
    }

    fn send_to_self(&mut self, number: u64, code: i32) -> Reply {
        if number == 0 {
            return Ok(0);
        }
        self.process.signals.send(Information { signal: signal(number)?, code, value: sender() })?;
        Ok(0)
    }

    /// A write to a pipe without a reader.
    pub(super) fn broken_pipe(&mut self) -> Errno {
        match self.process.signals.send(Information { signal: Signal::PIPE, code: SI_USER, value: sender() }) {
            Ok(()) => Errno::PIPE,
            Err(errno) => errno,
        }
    }
}
