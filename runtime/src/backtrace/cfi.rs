//! From a frame to its caller's by the program's unwind tables (`.eh_frame`), as its own exceptions would go.
//!
//! Tables and stack are hostile. An entry is as long as a compiler makes one, or it is skipped; an expression has a limit of steps; memory is
//! what was copied of the stack.

use std::collections::HashMap;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EhFrameOffset, EvaluationResult, LittleEndian, Location, Register,
    RegisterRule, UnwindContext, UnwindExpression, UnwindSection, Value, X86_64,
};

use super::budget::Budget;
use super::tables::Bytes;
use crate::site::Site;
use crate::trap::TrapRegisters;

/// Entries read, in the order of the file: the largest programs have half as many.
const MAX_ENTRIES: u64 = 1 << 20;
/// Entries of what functions have in common. Linkers merge them to a handful, or leave one for each file.
const MAX_CIES: usize = 1 << 16;
/// Bytes of instructions for one function: each can cost a copy of all rules.
const MAX_FDE_BYTES: usize = 16 << 10;
/// Bytes of what functions have in common.
const MAX_CIE_BYTES: usize = 4 << 10;
/// Operations of one expression. Compilers use half a dozen.
const MAX_OPERATIONS: u32 = 256;

/// An entry: the addresses that it is for, as linked, and where it stands in the section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fde {
    start: u64,
    end: u64,
    offset: usize,
}

/// Registers by their numbers in DWARF; the last is the address of the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    registers: [u64; 17],
    /// The address is of an instruction that is about to be executed, not of one behind a call.
    pub(super) is_exact: bool,
}

/// What the tables say of a frame's caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Frame(Frame),
    /// There is none: this is where everything began.
    None,
}

/// The program's unwind tables.
pub(super) struct Cfi<'a> {
    section: EhFrame<Bytes<'a>>,
    bases: BaseAddresses,
    fdes: &'a [Fde],
}

impl Frame {
    /// The frame that a program stopped in.
    pub(super) fn at(r: &TrapRegisters) -> Self {
        let registers = [
            r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14,
            r.r15, r.rip,
        ];
        Self { registers, is_exact: true }
    }

    /// The caller's, as far as it is known from where the call is and where its stack ends.
    pub(super) fn called_from(mut self, rip: u64, rsp: u64) -> Self {
        self.set(X86_64::RA, rip);
        self.set(X86_64::RSP, rsp);
        self.is_exact = false;
        self
    }

    /// The same with the caller's RBP.
    pub(super) fn with_frame_pointer(mut self, rbp: u64) -> Self {
        self.set(X86_64::RBP, rbp);
        self
    }

    pub(super) fn rip(&self) -> u64 {
        self.get(X86_64::RA).unwrap_or(0)
    }

    pub(super) fn rsp(&self) -> u64 {
        self.get(X86_64::RSP).unwrap_or(0)
    }

    pub(super) fn rbp(&self) -> u64 {
        self.get(X86_64::RBP).unwrap_or(0)
    }

    /// An address inside the instruction that the frame is in: behind a call, that is the byte before.
    pub(super) fn inside(&self) -> u64 {
        if self.is_exact { self.rip() } else { self.rip().wrapping_sub(1) }
    }

    fn get(&self, register: Register) -> Option<u64> {
        self.registers.get(usize::from(register.0)).copied()
    }

    fn set(&mut self, register: Register, value: u64) {
        if let Some(place) = self.registers.get_mut(usize::from(register.0)) {
            *place = value;
        }
    }
}

impl<'a> Cfi<'a> {
    pub(super) fn new(section: &'a [u8], address: u64, fdes: &'a [Fde]) -> Self {
        let bases = BaseAddresses::default().set_eh_frame(address);
        Self { section: EhFrame::new(section, LittleEndian), bases, fdes }
    }

    /// All entries by address.
    pub(super) fn index(&self) -> Vec<Fde> {
        let mut fdes = Vec::new();
        // Each is read once, however many entries refer to it.
        let mut common = HashMap::new();
        let mut entries = self.section.entries(&self.bases);
        let mut budget = Budget::new(MAX_ENTRIES);
        while let Ok(Some(entry)) = entries.next()
            && budget.pay(1).is_some()
            && common.len() < MAX_CIES
        {
            let CieOrFde::Fde(partial) = entry else { continue };
            let offset = partial.offset();
            let fde = partial.parse(|section, bases, at| {
                common.entry(at.0).or_insert_with(|| section.cie_from_offset(bases, at)).clone()
            });
            if let Ok(fde) = fde
                && fde.entry_len() <= MAX_FDE_BYTES
                && fde.cie().entry_len() <= MAX_CIE_BYTES
                && fde.cie().address_size() == 8
                && let Some(end) = fde.initial_address().checked_add(fde.len())
            {
                fdes.push(Fde { start: fde.initial_address(), end, offset });
            }
        }
        fdes.sort_unstable_by_key(|fde| fde.start);
        fdes.shrink_to_fit();
        fdes
    }

    /// The caller of the frame whose instruction is at `inside`, an address as linked; none if the tables do not know.
    pub(super) fn caller(&self, frame: &Frame, inside: u64, site: &Site) -> Option<Caller> {
        let after = self.fdes.partition_point(|fde| fde.start <= inside);
        let found = self.fdes.get(after.checked_sub(1)?).filter(|fde| inside < fde.end)?;
        let offset = EhFrameOffset(found.offset);
        let fde = self.section.fde_from_offset(&self.bases, offset, EhFrame::cie_from_offset).ok()?;
        let cie = fde.cie();
        let mut context = UnwindContext::new();
        let row = fde.unwind_info_for_address(&self.section, &self.bases, &mut context, inside).ok()?;
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => frame.get(*register)?.wrapping_add_signed(*offset),
            CfaRule::Expression(expression) => self.evaluate(expression, None, frame, site, cie.encoding())?,
        };
        let mut caller = *frame;
        caller.is_exact = fde.is_signal_trampoline();
        caller.set(X86_64::RSP, cfa);
        for (register, rule) in row.registers() {
            let value = match rule {
                RegisterRule::Undefined if *register == X86_64::RA => return Some(Caller::None),
                RegisterRule::Undefined | RegisterRule::SameValue => continue,
                RegisterRule::Offset(offset) => site.stack_word(cfa.wrapping_add_signed(*offset)),
                RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(*offset)),
                RegisterRule::Register(other) => frame.get(*other),
                RegisterRule::Expression(expression) => {
                    let address = self.evaluate(expression, Some(cfa), frame, site, cie.encoding());
                    address.and_then(|address| site.stack_word(address))
                }
                RegisterRule::ValExpression(expression) => {
                    self.evaluate(expression, Some(cfa), frame, site, cie.encoding())
                }
                _ => None,
            };
            // What cannot be read is not known; only for the way itself it matters.
            match value {
                Some(value) => caller.set(*register, value),
                None if *register == X86_64::RA || *register == X86_64::RSP => return None,
                None => caller.set(*register, 0),
            }
        }
        // Tables that do not say where the return address is do not know the caller.
        let has_address = row.registers().any(|(register, _)| *register == X86_64::RA);
        has_address.then_some(Caller::Frame(caller))
    }

    fn evaluate(
        &self,
        expression: &UnwindExpression<usize>,
        initial: Option<u64>,
        frame: &Frame,
        site: &Site,
        encoding: gimli::Encoding,
    ) -> Option<u64> {
        let expression = expression.get(&self.section).ok()?;
        let mut evaluation = expression.evaluation(encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(value) = initial {
            evaluation.set_initial_value(value);
        }
        let mut result = evaluation.evaluate().ok()?;
        for _ in 0..MAX_OPERATIONS {
            result = match result {
                EvaluationResult::Complete => {
                    return match evaluation.as_result() {
                        [piece] => match piece.location {
                            Location::Address { address } => Some(address),
                            Location::Value { value: Value::Generic(value) } => Some(value),
                            _ => None,
                        },
                        _ => None,
                    };
                }
                EvaluationResult::RequiresMemory { address, size: 8, space: None, .. } => {
                    evaluation.resume_with_memory(Value::Generic(site.stack_word(address)?))
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(frame.get(register)?))
                }
                _ => return None,
            }
            .ok()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries found in these bytes at address 0.
    fn index(section: &[u8]) -> Vec<Fde> {
        Cfi::new(section, 0, &[]).index()
    }

    /// An entry: its length, which CIE it is of as a distance back, and the rest.
    fn entry(distance: u32, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(4 + rest.len()).unwrap();
        [&length.to_le_bytes(), &distance.to_le_bytes(), rest].concat()
    }

    /// A CIE without an augmentation, and what all its instructions are.
    fn cie(instructions: &[u8]) -> Vec<u8> {
        entry(0, &[&[1, 0, 1, 0x78, 16], instructions].concat())
    }

    /// Behind a CIE of `before` bytes, the entry of a function of 16 bytes at 0x1000.
    fn fde(before: usize, instructions: &[u8]) -> Vec<u8> {
        let distance = u32::try_from(before + 4).unwrap();
        let addresses = [0x1000_u64, 16].map(u64::to_le_bytes).concat();
        entry(distance, &[&addresses, instructions].concat())
    }

    #[test]
    fn entries_longer_than_compilers_write_are_skipped() {
        let found = |common: usize, own: usize| {
            let cie = cie(&vec![0; common]);
            let fde = fde(cie.len(), &vec![0; own]);
            index(&[cie, fde].concat()).len()
        };
        assert_eq!(found(7, 7), 1);
        assert_eq!(found(MAX_CIE_BYTES, 7), 0);
        assert_eq!(found(7, MAX_FDE_BYTES), 0);
    }

    #[test]
    fn entries_of_ever_other_cies_are_read_until_these_are_too_many() {
        // Each names its own place less 4 as its CIE, which is none.
        let strange = entry(8, &[]).repeat(2 * MAX_CIES);
        let cie = cie(&[0; 7]);
        let behind = [&strange[..], &cie, &fde(cie.len(), &[0; 7])].concat();
        assert_eq!(index(&behind).len(), 0);
        let before = [&cie, &fde(cie.len(), &[0; 7])[..], &strange].concat();
        assert_eq!(index(&before).len(), 1);
    }
}
