//! The registers' chapter: general registers, segments, extended state.

use std::sync::Arc;

use ampoule_kernel::layout::{self, USER_END};
use ampoule_kernel::vdso;

use super::SnapshotFileError;
use crate::machine::extended;
use crate::machine::restore::Segments;
use crate::machine::restore::parts::{PayloadRegisters, payload_flags};
use crate::vm::vcpu::Registers;
use crate::wire::{Reader, Writer};

/// Bits of an address that the processor looks at, but for the sign.
const ADDRESS_BITS: u32 = 47;

pub(super) fn write(writer: &mut Writer, registers: &PayloadRegisters) -> Result<(), SnapshotFileError> {
    let PayloadRegisters { general, segments: Segments { selectors, bases }, extended } = registers;
    if !is_where_a_program_is(general.rip) {
        return Err(SnapshotFileError::Instruction { rip: general.rip });
    }
    let &Registers { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags } =
        general;
    for word in [rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip] {
        writer.u64(word);
    }
    writer.u64(payload_flags(rflags));
    for &selector in selectors {
        writer.u32(selector.into());
    }
    for &base in bases {
        writer.u64(base);
    }
    let in_use = extended::in_use(extended);
    writer.u64(in_use);
    writer.u32(extended::mxcsr(extended));
    for part in parts(in_use)? {
        writer.raw(extended.get(part).unwrap_or_default());
    }
    Ok(())
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<PayloadRegisters, SnapshotFileError> {
    let mut words = [0; 16];
    for word in &mut words {
        *word = reader.u64("a general register")?;
    }
    let [rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15] = words;
    let rip = checked(reader, "RIP", is_where_a_program_is)?;
    let rflags = checked(reader, "RFLAGS", |flags| payload_flags(flags) == flags)?;
    let mut segments = Segments::default();
    for (name, place) in ["DS", "ES", "FS", "GS"].into_iter().zip(&mut segments.selectors) {
        let selector = reader.u32_up_to(name, u16::MAX.into())?;
        *place = u16::try_from(selector)
            .ok()
            .filter(|&selector| is_loadable(selector))
            .ok_or(SnapshotFileError::Register { register: name, value: selector.into() })?;
    }
    for (name, place) in ["the base of FS", "the base of GS"].into_iter().zip(&mut segments.bases) {
        *place = checked(reader, name, is_canonical)?;
    }
    let in_use = checked(reader, "XSTATE_BV", |states| states & !extended::STATES == 0)?;
    let mxcsr = reader.u32_up_to("MXCSR", extended::MXCSR_MASK)?;
    let mut state = extended::with(in_use, mxcsr);
    for part in parts(in_use)? {
        let bytes = reader.raw("extended state", part.len() as u64)?;
        if let Some(place) = state.get_mut(part) {
            place.copy_from_slice(bytes);
        }
    }
    let general =
        Registers { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags };
    Ok(PayloadRegisters { general, segments, extended: Arc::new(state) })
}

fn parts(in_use: u64) -> Result<Vec<std::ops::Range<usize>>, SnapshotFileError> {
    extended::parts(in_use).map_err(|missing| SnapshotFileError::MissingState { state: missing.state })
}

fn checked(
    reader: &mut Reader<'_>,
    register: &'static str,
    is_possible: impl Fn(u64) -> bool,
) -> Result<u64, SnapshotFileError> {
    let value = reader.u64(register)?;
    if is_possible(value) { Ok(value) } else { Err(SnapshotFileError::Register { register, value }) }
}

/// Its own half, the first instruction of the gate that it may call, or where the vDSO is the same in all versions.
fn is_where_a_program_is(rip: u64) -> bool {
    rip < USER_END || rip == layout::CALL_GATE || vdso::is_lasting(rip)
}

/// What a data segment register of CPL3 can be loaded with: nothing, and the flat data or code segment of its own level.
fn is_loadable(selector: u16) -> bool {
    const PRIVILEGE: u16 = 3;
    selector <= PRIVILEGE || [layout::USER_DATA_SELECTOR, layout::USER_CODE_SELECTOR].contains(&(selector | PRIVILEGE))
}

fn is_canonical(address: u64) -> bool {
    let sign = address >> ADDRESS_BITS;
    sign == 0 || sign == u64::MAX >> ADDRESS_BITS
}
