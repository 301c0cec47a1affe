//! Up the stack, a caller at a time, whatever the program did to it.
//!
//! ```text
//! unwind tables know the function ────────────────────────────► its caller, with all registers
//! they do not, or what they say makes no sense:
//!   RIP is in no code (a wild jump) ── return address at RSP ──► who jumped
//!   a word of the stack follows a call of this very function ──► that call's
//!   RBP points to a pair of frame pointer and return address ──► that one
//!   a word of the stack follows some call ─────────────────────► that call's
//! ```
//! Code written in assembly, as much of musl is, has no tables. Each step says how it was found, and each goes up the stack, so that there is an end.

use super::Found;
use super::cfi::{Caller, Frame};
use super::tables::Information;
use crate::program::Segment;
use crate::site::Site;

/// Steps of one walk.
pub(super) const MAX_STEPS: usize = 128;
/// Words looked at for a call of the very function: all that are copied.
const SCANNED_WORDS: u64 = (Site::MAX_STACK_BYTES / 8) as u64;
/// Bytes of a beginning that has no name: musl's has 30.
const BEGINNING_BYTES: u64 = 128;
/// Words looked at for any call.
const GUESSED_WORDS: u64 = 256;

/// A frame, and how it was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) frame: Frame,
    pub(super) found: Found,
}

/// Why a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// Where the program began.
    Outermost,
    /// The stack goes on, and was not copied.
    StackGoesOn,
    /// [`MAX_STEPS`].
    Limit,
    /// Nothing that makes sense.
    Lost,
}

/// An instruction that a return address follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// `call` of a fixed address, as linked.
    Direct(u64),
    /// `call` through a register or memory.
    Indirect,
}

/// A program and where it stopped.
pub(super) struct Walk<'a> {
    pub(super) information: &'a Information<'a>,
    pub(super) site: &'a Site,
}

impl Walk<'_> {
    /// The frames, innermost first. There is at least one.
    pub(super) fn steps(&self) -> (Vec<Step>, Last) {
        let mut frame = Frame::at(self.site.registers());
        let mut steps = vec![Step { frame, found: Found::Registers }];
        loop {
            if steps.len() >= MAX_STEPS {
                return (steps, Last::Limit);
            }
            if self.is_beginning(&frame) {
                return (steps, Last::Outermost);
            }
            let told = self.information.cfi.caller(&frame, self.linked(frame.inside()), self.site);
            let step = match told {
                Some(Caller::None) => return (steps, Last::Outermost),
                Some(Caller::Frame(caller)) if self.is_sound(&frame, &caller) => {
                    Some(Step { frame: caller, found: Found::UnwindTable })
                }
                _ => self.search(&frame),
            };
            let Some(step) = step else {
                let last = if self.site.stack_goes_on() { Last::StackGoesOn } else { Last::Lost };
                return (steps, last);
            };
            frame = step.frame;
            steps.push(step);
        }
    }

    /// An address as linked.
    pub(super) fn linked(&self, address: u64) -> u64 {
        address.wrapping_sub(self.site.bias())
    }

    /// True if an address, as linked, is in the program's code.
    pub(super) fn is_code(&self, address: u64) -> bool {
        self.code(address).is_some()
    }

    /// True for the function that the program starts in, which nobody called.
    fn is_beginning(&self, frame: &Frame) -> bool {
        let entry = self.information.program.entry();
        match self.function(frame) {
            Some(start) => start == entry,
            // Written in assembly, it may be a label and no function.
            None => (entry..entry.saturating_add(BEGINNING_BYTES)).contains(&self.linked(frame.inside())),
        }
    }

    /// Where the frame's function starts, as linked.
    fn function(&self, frame: &Frame) -> Option<u64> {
        let inside = self.linked(frame.inside());
        inside.checked_sub(self.information.program.symbol_at(inside)?.offset)
    }

    /// True if a frame can be another's caller's: further up, and in code.
    fn is_sound(&self, frame: &Frame, caller: &Frame) -> bool {
        caller.rsp() > frame.rsp() && self.is_code(self.linked(caller.inside()))
    }

    /// A caller that the tables do not know.
    fn search(&self, frame: &Frame) -> Option<Step> {
        let start = frame.rsp().max(self.site.stack().0).checked_next_multiple_of(8)?;
        if !self.is_code(self.linked(frame.inside())) {
            let found = Found::ReturnAddress;
            return self
                .candidate(frame, start)
                .map(|(frame, _)| Step { frame, found })
                .or_else(|| self.guess(frame, start));
        }
        if let Some(function) = self.function(frame) {
            let mut words = (0..SCANNED_WORDS).map_while(|index| start.checked_add(index * 8));
            let of_this = words.find_map(|at| {
                self.site.stack_word(at)?;
                self.candidate(frame, at).filter(|(_, call)| *call == Call::Direct(function))
            });
            if let Some((frame, _)) = of_this {
                return Some(Step { frame, found: Found::ReturnAddress });
            }
        }
        self.by_frame_pointer(frame).or_else(|| self.guess(frame, start))
    }

    /// The caller that a pair of frame pointer and return address tells.
    fn by_frame_pointer(&self, frame: &Frame) -> Option<Step> {
        let rbp = frame.rbp();
        if rbp < frame.rsp() || !rbp.is_multiple_of(8) {
            return None;
        }
        let before = self.site.stack_word(rbp)?;
        let (caller, _) = self.candidate(frame, rbp.checked_add(8)?)?;
        Some(Step { frame: caller.with_frame_pointer(before), found: Found::FramePointer })
    }

    /// The first word that follows a call.
    fn guess(&self, frame: &Frame, start: u64) -> Option<Step> {
        let mut words = (0..GUESSED_WORDS).map_while(|index| start.checked_add(index * 8));
        let (frame, _) = words.find_map(|at| self.candidate(frame, at))?;
        Some(Step { frame, found: Found::Guess })
    }

    /// The caller if the word at `at` is a return address: it follows a call.
    fn candidate(&self, frame: &Frame, at: u64) -> Option<(Frame, Call)> {
        let address = self.site.stack_word(at)?;
        let call = self.call_before(self.linked(address))?;
        Some((frame.called_from(address, at.checked_add(8)?), call))
    }

    /// The call that ends at `address`, as linked.
    fn call_before(&self, address: u64) -> Option<Call> {
        let (segment, offset) = self.code(address.checked_sub(1)?)?;
        call_at_the_end_of(segment.data().get(..=offset)?, address)
    }

    /// The segment of code that has `address`, as linked, and where in its data.
    fn code(&self, address: u64) -> Option<(&Segment, usize)> {
        self.information.program.segments().iter().filter(|segment| segment.protection().execute).find_map(|segment| {
            let offset = usize::try_from(address.checked_sub(segment.address())?).ok()?;
            (offset < segment.data().len()).then_some((segment, offset))
        })
    }
}

/// The call that code ends with, if it does; what follows it is at `address`.
fn call_at_the_end_of(code: &[u8], address: u64) -> Option<Call> {
    if let [.., 0xe8, a, b, c, d] = *code {
        let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
        return Some(Call::Direct(address.wrapping_add_signed(distance)));
    }
    // FF /2, with as many bytes behind as its operand needs.
    let is_indirect = matches!(
        *code,
        [.., 0xff, 0xd0..=0xd7 | 0x10..=0x13 | 0x16 | 0x17]
            | [.., 0xff, 0x50..=0x53 | 0x55..=0x57 | 0x14, _]
            | [.., 0xff, 0x54, _, _]
            | [.., 0xff, 0x90..=0x93 | 0x95..=0x97 | 0x15, _, _, _, _]
            | [.., 0xff, 0x94 | 0x14, _, _, _, _, _]
    );
    is_indirect.then_some(Call::Indirect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_address_follows_a_call_of_any_form() {
        assert_eq!(call_at_the_end_of(&[0x90, 0xe8, 0xfb, 0xff, 0xff, 0xff], 0x1006), Some(Call::Direct(0x1001)));
        let forms: [&[u8]; 7] = [
            &[0xff, 0xd0],                   // call rax
            &[0x41, 0xff, 0x13],             // call [r11]
            &[0xff, 0x50, 0x10],             // call [rax+16]
            &[0xff, 0x14, 0xc8],             // call [rax+8*rcx]
            &[0xff, 0x54, 0x24, 0x08],       // call [rsp+8]
            &[0xff, 0x15, 1, 2, 3, 0],       // call [rip+…]
            &[0xff, 0x94, 0xc8, 1, 2, 3, 0], // call [rax+8*rcx+…]
        ];
        for form in forms {
            assert_eq!(call_at_the_end_of(form, 0x1000), Some(Call::Indirect), "{form:x?}");
        }
    }

    #[test]
    fn what_is_no_call_is_followed_by_no_return_address() {
        for bytes in [&[][..], &[0xff], &[0xe8, 0, 0, 0], &[0xff, 0xe0], &[0xff, 0x60, 0x10], &[0x90; 8]] {
            assert_eq!(call_at_the_end_of(bytes, 0x1000), None, "{bytes:x?}");
        }
    }
}
