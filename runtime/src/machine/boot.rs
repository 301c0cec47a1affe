//! What a fresh vCPU starts from: descriptor tables, ring-0 image and system registers, straight into CPL3 of long mode.
//!
//! All of it is the same for every program, and none of it can be changed by one: the payload never leaves CPL3. The bit layouts are
//! those of the Intel SDM, vol. 3, chapters 3 (segments), 6 (IDT), 8 (TSS) and AMD's manual, vol. 2, chapter 4.

use ampoule_kernel::layout::{
    self, GDT_ENTRIES, GDT_OFFSET, IDT_ENTRIES, IDT_OFFSET, IO_BITMAP_BYTES, PAGE_SIZE, TSS_BYTES, TSS_OFFSET,
    kernel_physical, kernel_virtual,
};
use ampoule_kernel::{abi, image};

use crate::vm::device::Features;
use crate::vm::error::HostError;
use crate::vm::memory::GuestMemory;
use crate::vm::shell::Setup;
use crate::vm::vcpu::{Segment, SystemRegisters};

/// How `syscall` gets to the host: which one works is found by the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gate {
    /// `syscall` enters CPL0, as the architecture has it: `out`, then `sysretq`.
    Supervisor,
    /// `syscall` stays at CPL3 (KVM without hardware virtualization): `out` through the TSS bitmap, then `jmp rcx`.
    User,
}

/// How the CPL0 gate tells the host that somebody called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Doorbell {
    /// A byte written to a port: works on every KVM, and nothing is quicker.
    #[default]
    Port,
    /// The hypercall that KVM passes on (`KVM_EXIT_HYPERCALL`), `vmcall` or `vmmcall`: where the probe shows that it works.
    Hypercall,
}

/// The instruction behind a doorbell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bell {
    /// `out`
    Out,
    /// Intel's hypercall.
    Vmcall,
    /// AMD's hypercall.
    Vmmcall,
}

/// A way from CPL3 to the host and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Passage {
    pub(crate) gate: Gate,
    pub(crate) bell: Bell,
}

impl Passage {
    /// Where `syscall` goes.
    pub(crate) fn entry(self) -> u64 {
        match (self.gate, self.bell) {
            (Gate::User, _) => layout::CALL_GATE,
            (Gate::Supervisor, Bell::Out) => layout::SUPERVISOR_SYSCALL_GATE,
            (Gate::Supervisor, Bell::Vmcall) => layout::VMCALL_GATE,
            (Gate::Supervisor, Bell::Vmmcall) => layout::VMMCALL_GATE,
        }
    }
}

const CR0: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 18 | 1 << 31; // PE MP ET NE WP AM PG
const CR4_PAE: u64 = 1 << 5;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CR4_UMIP: u64 = 1 << 11;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;

const EFER_SCE: u64 = 1;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
const EFER_NXE: u64 = 1 << 11;

const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_FMASK: u32 = 0xc000_0084;

/// Flags that `syscall` clears on its way to CPL0: what Linux clears (TF, IF, DF, IOPL, NT, RF, AC).
const SUPERVISOR_FMASK: u64 = 0x5_7700;

/// Access byte and flags of a 64-bit code segment, present, accessed; DPL 0.
const CODE_DESCRIPTOR: u64 = 0x00af_9b00_0000_ffff;
/// The same of a data segment.
const DATA_DESCRIPTOR: u64 = 0x00cf_9300_0000_ffff;
/// DPL 3 in a descriptor.
const DPL_3: u64 = 3 << 45;

/// Interrupt gate, present, DPL 0.
const INTERRUPT_GATE: u64 = 0x8e << 40;
/// The IST entry that holds the exception stack, and the one for double faults.
const IST_EXCEPTION: u64 = 1;
const IST_DOUBLE_FAULT: u64 = 2;
const VECTOR_BREAKPOINT: u64 = 3;
const VECTOR_OVERFLOW: u64 = 4;
const VECTOR_DOUBLE_FAULT: u64 = 8;

/// Writes descriptor tables and image into the kernel slot.
pub(crate) fn install(memory: &mut GuestMemory, gate: Gate) -> Result<(), HostError> {
    memory.write(kernel_physical(layout::SUPERVISOR_CODE_PAGE), image::supervisor())?;
    let user = match gate {
        Gate::Supervisor => image::trampoline(),
        Gate::User => image::user(),
    };
    memory.write(kernel_physical(layout::USER_CODE_PAGE), user)?;
    memory.write(kernel_physical(layout::VDSO_PAGE), image::vdso())?;
    let page = kernel_physical(layout::DESCRIPTORS_PAGE);
    memory.write(page + GDT_OFFSET, &words(&gdt()))?;
    memory.write(page + TSS_OFFSET, &tss(gate))?;
    memory.write(page + IDT_OFFSET, &words(&idt()))
}

/// The state of a vCPU that is about to run at CPL3, with `root` as its page tables.
pub(crate) fn setup(reset: SystemRegisters, features: Features, passage: Passage, root: u64) -> Setup {
    let on = |condition: bool, bit: u64| if condition { bit } else { 0 };
    let mut system = reset;
    system.cr0 = CR0;
    system.cr3 = root;
    system.cr4 = CR4_PAE
        | CR4_OSFXSR
        | CR4_OSXMMEXCPT
        | on(features.umip, CR4_UMIP)
        | on(features.fsgsbase, CR4_FSGSBASE)
        | on(features.xsave, CR4_OSXSAVE)
        | on(features.smep, CR4_SMEP)
        | on(features.smap, CR4_SMAP);
    system.efer = EFER_SCE | EFER_LME | EFER_LMA | on(features.nx, EFER_NXE);
    system.cs = code_segment(layout::USER_CODE_SELECTOR);
    system.ss = data_segment(layout::USER_DATA_SELECTOR);
    let null = Segment { unusable: 1, ..Segment::default() };
    system.ds = null;
    system.es = null;
    system.fs = null;
    system.gs = null;
    system.ldt = null;
    system.tr = Segment {
        base: kernel_virtual(layout::DESCRIPTORS_PAGE) + TSS_OFFSET,
        limit: TSS_LIMIT,
        selector: layout::TSS_SELECTOR,
        type_: 11,
        present: 1,
        ..Segment::default()
    };
    system.gdt.base = kernel_virtual(layout::DESCRIPTORS_PAGE) + GDT_OFFSET;
    system.gdt.limit = GDT_LIMIT;
    system.idt.base = kernel_virtual(layout::DESCRIPTORS_PAGE) + IDT_OFFSET;
    system.idt.limit = IDT_LIMIT;
    let fmask = match passage.gate {
        Gate::Supervisor => SUPERVISOR_FMASK,
        Gate::User => 0,
    };
    let star = u64::from(layout::SYSRET_BASE_SELECTOR) << 48 | u64::from(layout::KERNEL_CODE_SELECTOR) << 32;
    Setup {
        system,
        msrs: vec![(MSR_STAR, star), (MSR_LSTAR, passage.entry()), (MSR_FMASK, fmask)],
        xcr0: features.xsave.then_some(features.xcr0),
        hypercall_exits: passage.bell != Bell::Out,
    }
}

/// A flat 64-bit code segment register; the selector's RPL is its DPL.
pub(crate) fn code_segment(selector: u16) -> Segment {
    Segment { type_: 11, l: 1, ..flat(selector) }
}

/// A flat data segment register.
pub(crate) fn data_segment(selector: u16) -> Segment {
    Segment { type_: 3, db: 1, ..flat(selector) }
}

fn flat(selector: u16) -> Segment {
    let dpl = if selector & 3 == 3 { 3 } else { 0 };
    Segment { limit: u32::MAX, selector, present: 1, dpl, s: 1, g: 1, ..Segment::default() }
}

const GDT_LIMIT: u16 = limit(GDT_ENTRIES * 8);
const IDT_LIMIT: u16 = limit(IDT_ENTRIES * 16);
const TSS_LIMIT: u32 = limit(TSS_BYTES + IO_BITMAP_BYTES) as u32;

#[expect(clippy::cast_possible_truncation, reason = "evaluated at compile time, and checked")]
const fn limit(bytes: u64) -> u16 {
    assert!(bytes <= PAGE_SIZE, "descriptor tables fit their page");
    (bytes - 1) as u16
}

fn gdt() -> [u64; 10] {
    let tss = kernel_virtual(layout::DESCRIPTORS_PAGE) + TSS_OFFSET;
    let tss_low = u64::from(TSS_LIMIT) & 0xffff
        | (tss & 0x00ff_ffff) << 16
        | 0x89 << 40 // present, 64-bit TSS, available
        | (tss >> 24 & 0xff) << 56;
    [
        0,
        0,
        CODE_DESCRIPTOR,
        DATA_DESCRIPTOR,
        0, // Linux has its 32-bit code segment here: a payload that jumps to it takes a #GP
        DATA_DESCRIPTOR | DPL_3,
        CODE_DESCRIPTOR | DPL_3,
        0,
        tss_low,
        tss >> 32,
    ]
}

fn tss(gate: Gate) -> Vec<u8> {
    let mut tss = vec![0; 4];
    let stack = kernel_virtual(layout::STACKS_PAGE) + layout::EXCEPTION_STACK_OFFSET;
    let double_fault = kernel_virtual(layout::STACKS_PAGE) + layout::DOUBLE_FAULT_STACK_OFFSET;
    let pointers = [stack, 0, 0, 0, stack, double_fault, 0, 0, 0, 0, 0, 0]; // RSP0–2, reserved, IST1–7, reserved
    tss.extend(words(&pointers));
    tss.extend([0, 0]);
    tss.extend(limit(TSS_BYTES + 1).to_le_bytes()); // where the bitmap starts
    let open = match gate {
        Gate::User => Some(abi::SYSCALL_PORT),
        Gate::Supervisor => None,
    };
    for byte in 0..IO_BITMAP_BYTES {
        tss.push(match open {
            Some(port) if u64::from(port / 8) == byte => !(1 << (port % 8)),
            _ => 0xff,
        });
    }
    tss
}

fn idt() -> Vec<u64> {
    (0..IDT_ENTRIES)
        .flat_map(|vector| {
            let stub = layout::STUBS + vector * layout::STUB_BYTES;
            let ist = if vector == VECTOR_DOUBLE_FAULT { IST_DOUBLE_FAULT } else { IST_EXCEPTION };
            // What a program may raise by an instruction of its own: int3 and into. Any other `int n` is a #GP.
            let dpl = if matches!(vector, VECTOR_BREAKPOINT | VECTOR_OVERFLOW) { DPL_3 } else { 0 };
            let low = stub & 0xffff
                | u64::from(layout::KERNEL_CODE_SELECTOR) << 16
                | ist << 32
                | INTERRUPT_GATE
                | dpl
                | (stub >> 16 & 0xffff) << 48;
            [low, stub >> 32]
        })
        .collect()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tss_has_its_size_and_opens_no_port_for_the_supervisor_gate() {
        let tss = tss(Gate::Supervisor);
        assert_eq!(tss.len() as u64, TSS_BYTES + IO_BITMAP_BYTES);
        assert!(tss[104..].iter().all(|&byte| byte == 0xff));
        assert_eq!(u16::from_le_bytes([tss[102], tss[103]]), 104);
    }

    #[test]
    fn the_user_gate_opens_exactly_the_syscall_port() {
        let bitmap = &tss(Gate::User)[104..];
        let open: Vec<_> = (0..bitmap.len() * 8).filter(|port| bitmap[port / 8] >> (port % 8) & 1 == 0).collect();
        assert_eq!(open, [usize::from(abi::SYSCALL_PORT)]);
    }

    #[test]
    fn only_int3_and_into_may_be_raised_by_the_payload() {
        let idt = idt();
        let open: Vec<_> = (0..32).filter(|vector| idt[vector * 2] >> 45 & 3 == 3).collect();
        assert_eq!(open, [3, 4]);
    }

    #[test]
    fn the_selectors_find_their_descriptors() {
        let gdt = gdt();
        for (selector, descriptor) in [
            (layout::KERNEL_CODE_SELECTOR, CODE_DESCRIPTOR),
            (layout::KERNEL_DATA_SELECTOR, DATA_DESCRIPTOR),
            (layout::USER_DATA_SELECTOR, DATA_DESCRIPTOR | DPL_3),
            (layout::USER_CODE_SELECTOR, CODE_DESCRIPTOR | DPL_3),
        ] {
            assert_eq!(gdt[usize::from(selector / 8)], descriptor);
        }
        assert_eq!(layout::SYSRET_BASE_SELECTOR + 8, layout::USER_DATA_SELECTOR);
        assert_eq!(layout::SYSRET_BASE_SELECTOR + 16, layout::USER_CODE_SELECTOR);
    }
}
