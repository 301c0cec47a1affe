//! An exit, as what it means for the payload: a system call, an exception, an interruption, or an end.
//!
//! Nothing here trusts the guest. A port write counts as a system call only when RIP stands in the gate; anywhere else it is the
//! payload's own `out`, which Linux answers with a #GP. Hosts differ in whether RIP is on the `out` or past it: both are accepted.

use ampoule_kernel::{abi, layout};

use super::boot::{Bell, Gate, Passage};
use crate::vm::error::HostError;
use crate::vm::exit::Exit;
use crate::vm::memory::GuestMemory;
use crate::vm::posted::Posted;
use crate::vm::vcpu::{Registers, Vcpu};

/// Where the vCPU stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It has not run: CPL3.
    Fresh,
    /// In the syscall gate.
    Gate,
    /// In an exception stub: CPL0.
    Trap,
    /// Wherever a signal found it, perhaps in the middle of the kernel's code: it goes on by itself.
    Inside,
}

/// An exception of the payload's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exception {
    /// The vector, 0–31.
    pub(crate) vector: u8,
    /// The error code, for the vectors that have one.
    pub(crate) error_code: u64,
    /// The address that could not be accessed: page faults only.
    pub(crate) address: Option<u64>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A system call, Linux's or Ampoule's; its number and arguments are in the registers.
    Syscall,
    /// A store to the event page that KVM did not note down: it has no such ring, or it is full.
    Posted(Posted),
    /// The payload took an exception.
    Exception(Exception),
    /// The same, but no handler can be told: its `in` is half done, and KVM would finish it over the handler's registers.
    Fatal(Exception),
    /// A signal is pending: somebody's.
    Interrupted,
    /// The payload did something that this KVM cannot carry out or survive.
    Crashed(Exit),
    /// The ring-0 image took an exception, which no payload can make it do: a bug, or a KVM that does not do what the probe saw.
    KernelFault {
        /// The vector.
        vector: u8,
        /// Where in the image.
        rip: u64,
    },
    /// KVM or the kernel image failed.
    Broken(Exit),
}

/// An exit, decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) event: Event,
    pub(super) stopped: Stopped,
    /// The payload's registers, where the exit tells them.
    pub(super) user: Option<Registers>,
    /// What was to happen on the way in has happened: the editor and the restore gate are done.
    pub(super) arrived: bool,
}

/// Page fault.
pub(crate) const PAGE_FAULT: u8 = 14;
/// Undefined opcode.
pub(crate) const UNDEFINED: u8 = 6;
/// General protection.
pub(crate) const GENERAL_PROTECTION: u8 = 13;
/// A page fault's error code for a read at CPL3 of a page that is there.
const READ_AT_CPL3: u64 = 1 | 1 << 2;
/// Vectors that push an error code (Intel SDM vol. 3, table 6-1; AMD vol. 2, 8.2).
const WITH_ERROR_CODE: u32 =
    1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;
/// The vector whose frame is on a stack of its own.
const DOUBLE_FAULT: u8 = 8;

/// Makes sense of `exit`.
pub(super) fn decode(
    exit: Exit,
    passage: Passage,
    vcpu: &mut dyn Vcpu,
    memory: &GuestMemory,
) -> Result<Decoded, HostError> {
    let registers = vcpu.registers();
    if exit == Exit::Interrupted
        && let Some((exit, level)) = about_to_exit(passage, registers.rip)
        // A payload may jump to any address, and be stopped before it faults there.
        && vcpu.system_registers()?.cs.selector & 3 == level
    {
        // The port write that a signal came before: taken as done, because what it would say is all here.
        vcpu.set_registers(&Registers { rip: registers.rip + layout::OUT_BYTES, ..registers });
        return decode(exit, passage, vcpu, memory);
    }
    let ended = |event| Decoded { event, stopped: Stopped::Inside, user: Some(registers), arrived: true };
    Ok(match exit {
        Exit::PortOut { port, size: 1, count: 1 }
            if port == u16::from(abi::SYSCALL_PORT) && in_gate(passage, registers.rip) =>
        {
            let flags = match passage.gate {
                Gate::Supervisor => registers.r11,
                Gate::User => registers.rflags,
            };
            let user = Registers { rip: registers.rcx, rflags: flags, ..registers };
            Decoded { event: Event::Syscall, stopped: Stopped::Gate, user: Some(user), arrived: true }
        }
        Exit::Hypercall { number }
            if number == u64::from(abi::HYPERCALL_NUMBER) && in_hypercall_gate(passage, registers.rip) =>
        {
            let mut saved = [0; 32];
            memory
                .read(layout::kernel_physical(layout::STACKS_PAGE) + layout::HYPERCALL_REGISTERS_OFFSET, &mut saved)?;
            let [rax, rbx, rcx, rdx] = words(&saved);
            let user = Registers { rax, rbx, rcx, rdx, rip: rcx, rflags: registers.r11, ..registers };
            Decoded { event: Event::Syscall, stopped: Stopped::Gate, user: Some(user), arrived: true }
        }
        Exit::PortOut { port, .. } if port == u16::from(abi::TRAP_PORT) => match stub_vector(registers.rip) {
            Some(vector) => trap(vector, &registers, vcpu, memory)?,
            None => ended(Event::Broken(exit)),
        },
        // The port that the bitmap opens, used by the payload itself.
        Exit::PortOut { port, .. } | Exit::PortIn { port, .. }
            if port == u16::from(abi::SYSCALL_PORT) && registers.rip < layout::USER_END =>
        {
            let exception = Exception { vector: GENERAL_PROTECTION, error_code: 0, address: None };
            match exit {
                Exit::PortIn { .. } => ended(Event::Fatal(exception)),
                _ => Decoded { stopped: Stopped::Gate, ..ended(Event::Exception(exception)) },
            }
        }
        Exit::MmioWrite { address, len, data } if in_events(address) => Decoded {
            event: Event::Posted(Posted { address, len, data }),
            stopped: Stopped::Inside,
            user: in_payload(&registers),
            arrived: true,
        },
        Exit::MmioRead { address, .. } if in_events(address) => ended(Event::Fatal(Exception {
            vector: PAGE_FAULT,
            error_code: READ_AT_CPL3,
            address: Some(address - layout::EVENTS_BASE + layout::EVENTS),
        })),
        Exit::Interrupted => {
            let user = in_payload(&registers);
            Decoded { event: Event::Interrupted, stopped: Stopped::Inside, user, arrived: user.is_some() }
        }
        Exit::Shutdown | Exit::InternalError { .. } => ended(Event::Crashed(exit)),
        _ => ended(Event::Broken(exit)),
    })
}

fn in_events(address: u64) -> bool {
    (layout::EVENTS_BASE..layout::EVENTS_BASE + layout::PAGE_SIZE).contains(&address)
}

/// The registers, if they are the payload's and not the kernel's or the restore gate's on the way back to it. The syscall gate at CPL3 has
/// none of its own.
pub(super) fn in_payload(registers: &Registers) -> Option<Registers> {
    let rip = registers.rip;
    let is_payloads = rip < layout::USER_END
        || in_vdso(rip)
        || in_batch_gate(rip)
        || (layout::CALL_GATE..layout::REGISTERS_GATE).contains(&rip);
    is_payloads.then_some(*registers)
}

/// True if a function is there that programs call to learn the time.
pub(super) fn in_vdso(rip: u64) -> bool {
    (layout::VDSO..layout::VDSO + layout::PAGE_SIZE).contains(&rip)
}

/// True if the gate is there that leads from one input of a fuzz target to the next. Its registers are the payload's.
fn in_batch_gate(rip: u64) -> bool {
    (layout::BATCH_GATE..layout::BATCH_INPUT + layout::BATCH_GATE_BYTES).contains(&rip)
}

/// True if one of the gates that load registers is there.
pub(super) fn in_restore_gate(rip: u64) -> bool {
    (layout::REGISTERS_GATE..layout::REGISTERS_GATE + layout::RESTORE_GATES_BYTES).contains(&rip)
}

/// The exit that the next instruction makes, if it is one of the ports' that tell everything by where they are; and the level that it is
/// made at.
fn about_to_exit(passage: Passage, rip: u64) -> Option<(Exit, u16)> {
    let out = |port: u8| Exit::PortOut { port: port.into(), size: 1, count: 1 };
    if passage.bell == Bell::Out && rip == passage.entry() {
        return Some((out(abi::SYSCALL_PORT), if passage.gate == Gate::User { 3 } else { 0 }));
    }
    let stub = rip.checked_sub(layout::STUBS)?;
    (stub.is_multiple_of(layout::STUB_BYTES) && stub_vector(rip).is_some()).then(|| (out(abi::TRAP_PORT), 0))
}

fn in_gate(passage: Passage, rip: u64) -> bool {
    let start = passage.entry();
    rip == start || rip == start + layout::OUT_BYTES
}

/// Hosts differ in whether RIP is on the hypercall or past it; it is somewhere in the gate.
fn in_hypercall_gate(passage: Passage, rip: u64) -> bool {
    let start = passage.entry();
    passage.bell != Bell::Out && (start..start + layout::HYPERCALL_GATE_BYTES).contains(&rip)
}

fn stub_vector(rip: u64) -> Option<u8> {
    let offset = rip.checked_sub(layout::STUBS)?;
    let vector = offset / layout::STUB_BYTES;
    (vector < layout::IDT_ENTRIES && offset % layout::STUB_BYTES <= layout::OUT_BYTES)
        .then(|| u8::try_from(vector).ok())
        .flatten()
}

/// Little-endian words out of as many bytes as they take.
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = from.try_into().map_or(0, u64::from_le_bytes);
    }
    words
}

/// Reads the frame that the CPU pushed.
fn trap(vector: u8, registers: &Registers, vcpu: &mut dyn Vcpu, memory: &GuestMemory) -> Result<Decoded, HostError> {
    let has_code = WITH_ERROR_CODE >> vector & 1 == 1;
    let top = if vector == DOUBLE_FAULT { layout::DOUBLE_FAULT_STACK_OFFSET } else { layout::EXCEPTION_STACK_OFFSET };
    let mut bytes = [0; 48];
    memory.read(layout::kernel_physical(layout::STACKS_PAGE) + top - 48, &mut bytes)?;
    let [code, rip, cs, rflags, rsp, _ss] = words(&bytes);
    let address = if vector == PAGE_FAULT { Some(vcpu.system_registers()?.cr2) } else { None };
    let exception = Exception { vector, error_code: if has_code { code } else { 0 }, address };
    if cs & 3 != 3 {
        let event = Event::KernelFault { vector, rip };
        return Ok(Decoded { event, stopped: Stopped::Inside, user: None, arrived: true });
    }
    let user = Registers { rip, rflags, rsp, ..*registers };
    Ok(Decoded { event: Event::Exception(exception), stopped: Stopped::Trap, user: Some(user), arrived: true })
}
