//! Signals as bytes: actions that are not the default, masks, what is pending, the alternate stack.

use super::{
    Action, AlternateStack, FIRST_QUEUED, Information, MAX_PENDING, SI_TKILL, SI_USER, SS_AUTODISARM, SS_DISABLE,
    Signals, UNSTOPPABLE, sender,
};
use crate::linux::sigframe::{ALWAYS_STATES, known_states};
use crate::linux::state::StateError;
use crate::signal::Signal;
use crate::wire::{Reader, Writer};

/// Signal, handler, flags, restorer, mask.
const ACTION_BYTES: u64 = 33;
/// Signal, code, value.
const PENDING_BYTES: u64 = 13;

impl Signals {
    pub(in crate::linux) fn encode(&self, writer: &mut Writer) {
        writer.u64(self.blocked);
        writer.flag(self.suspended.is_some());
        if let Some(mask) = self.suspended {
            writer.u64(mask);
        }
        let AlternateStack { start, size, flags } = self.alternate;
        writer.u64(start);
        writer.u64(size);
        writer.u32(flags);
        writer.u64(self.states);
        let set = || (1_u8..).zip(&self.actions).filter(|(_, action)| **action != Action::default());
        writer.count(set().count());
        for (signal, Action { handler, flags, restorer, mask }) in set() {
            writer.u8(signal);
            writer.u64(*handler);
            writer.u64(*flags);
            writer.u64(*restorer);
            writer.u64(*mask);
        }
        writer.count(self.pending.len());
        for Information { signal, code, value } in &self.pending {
            writer.u8(signal.number());
            writer.u32(code.cast_unsigned());
            writer.u64(*value);
        }
    }

    pub(in crate::linux) fn decode(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut signals = Self::new();
        signals.blocked = mask(reader, "the set of blocked signals")?;
        if reader.flag("mask to return to")? {
            signals.suspended = Some(mask(reader, "the mask to return to")?);
        }
        signals.alternate = alternate(reader)?;
        signals.states = states(reader)?;
        let count = reader.count("signal actions", ACTION_BYTES)?;
        let mut previous = 0;
        for _ in 0..count {
            previous = signals.decode_action(reader, previous)?;
        }
        let count = reader.count("pending signals", PENDING_BYTES)?;
        let mut queued = 0;
        for _ in 0..count {
            signals.decode_pending(reader, &mut queued)?;
        }
        Ok(signals)
    }

    /// One action, of a signal after `previous`; its number.
    fn decode_action(&mut self, reader: &mut Reader<'_>, previous: u8) -> Result<u8, StateError> {
        let number = reader.u8("signal with an action")?;
        let action = Action {
            handler: reader.u64("signal handler")?,
            flags: reader.u64("signal action's flags")?,
            restorer: reader.u64("signal action's restorer")?,
            mask: mask(reader, "a signal action's mask")?,
        };
        let signal = Signal::new(number).filter(|signal| number > previous && signal.bit() & UNSTOPPABLE == 0);
        let signal = signal.filter(|_| action != Action::default()).ok_or(StateError::Action { signal: number })?;
        self.set_action(signal, action);
        Ok(number)
    }

    /// One pending signal, after `queued` that are queued.
    fn decode_pending(&mut self, reader: &mut Reader<'_>, queued: &mut usize) -> Result<(), StateError> {
        let number = reader.u8("pending signal")?;
        let code = reader.u32("pending signal's code")?.cast_signed();
        let value = reader.u64("pending signal's value")?;
        // Faults are never pending: they are delivered at once, or end the run.
        let sent = matches!(code, SI_USER | SI_TKILL) && value == sender();
        let signal = Signal::new(number).filter(|_| sent).ok_or(StateError::Pending { signal: number, code, value })?;
        let full = if number >= FIRST_QUEUED {
            *queued += 1;
            *queued > MAX_PENDING
        } else {
            self.pending.iter().any(|pending| pending.signal == signal)
        };
        if full {
            return Err(StateError::PendingTwice { signal: number });
        }
        self.pending.push(Information { signal, code, value });
        Ok(())
    }
}

/// A set of signals that may be blocked.
fn mask(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, StateError> {
    let set = reader.u64(field)?;
    if set & UNSTOPPABLE == 0 { Ok(set) } else { Err(StateError::Unblockable { field, set }) }
}

/// The alternate stack. Where it lies and how large it is, `rt_sigreturn` takes from the program as it comes.
fn alternate(reader: &mut Reader<'_>) -> Result<AlternateStack, StateError> {
    let (start, size) = (reader.u64("start of the alternate stack")?, reader.u64("size of the alternate stack")?);
    let flags = reader.u32("flags of the alternate stack")?;
    if flags & !(SS_DISABLE | SS_AUTODISARM) != 0 {
        return Err(StateError::AlternateStack { flags });
    }
    Ok(AlternateStack { start, size, flags })
}

fn states(reader: &mut Reader<'_>) -> Result<u64, StateError> {
    let (states, always, known) = (reader.u64("extended states")?, ALWAYS_STATES, known_states());
    if states & always == always && states & !known == 0 {
        Ok(states)
    } else {
        Err(StateError::ExtendedStates { states, always, known })
    }
}
