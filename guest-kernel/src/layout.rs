//! The guest's memory map: one documented constant per address.
//!
//! ```text
//! guest physical                                guest virtual
//! 0x00_0000_0000 ┌───────────────┐ kernel        0x0000_0000_0001_0000 ┌─────────────┐ payload, CPL3
//!                └───────────────┘                                     │             │
//! 0x00_2000_0000   posted events (no memory)     0x0000_7f80_0000_0000 ├─────────────┤ USER_END: from here on the host's
//! 0x00_3000_0000 ┌───────────────┐ ring                                │ regions     │ mappings for the payload, which it
//!                └───────────────┘ (on demand)   0x0000_7fff_fdc0_0000 │ fuzzing     │ cannot change
//! 0x00_3100_0000 ┌───────────────┐ fuzzing       0x0000_7fff_ffc0_0000 │ ring        │
//!                └───────────────┘ (on demand)                         │             │
//!                                                0x0000_7fff_ffff_1000 │ clock, vDSO │
//!                                                0x0000_7fff_ffff_5000 │ restored    │
//! 0x00_4000_0000 ┌───────────────┐ page tables   0x0000_7fff_ffff_9000 │ events      │
//!                └───────────────┘ (an arena)    0x0000_7fff_ffff_b000 │ info page   │
//! 0x01_0000_0000 ┌───────────────┐ payload       0x0000_7fff_ffff_d000 └─────────────┘ gates
//!                │               │                                       (never mapped, then the canonical hole)
//!                └───────────────┘               0xffff_8000_0000_0000 ┌─────────────┐ kernel slot, CPL0
//! 0x80_0000_0000 ┌───────────────┐ regions                             └─────────────┘
//!                └───────────────┘ (on demand)   0xffff_8000_4000_0000 ┌─────────────┐ page-table arena, CPL0, writable
//!   anything else is a trap, not memory                                └─────────────┘
//! ```
//!
//! The kernel slot, page by page (`*_PAGE` constants):
//!
//! ```text
//! 0 descriptor tables   GDT, TSS with its I/O bitmap, IDT
//! 1 supervisor code     exception stubs, syscall gate, page-table editor      CPL0 read, execute
//! 2 user code           the gate, and the restore gate                        CPL3 read, execute
//! 3 stacks              exception stack, double-fault stack, resume frame     CPL0 read, write
//! 4 edit list           two pages of page-table edits for the editor          CPL0 read, write
//! 6 kernel page tables  PDPT, PD, PT and the arena's PD
//! 10 shared page tables PDPT, PD and PT of what the host maps for the payload
//! 13 info page          see call::info                                        CPL3 read
//! 14 restored state     extended state, registers: for the restore gate       CPL3 read
//! 16 region tables      a PD for each GiB of regions
//! 32 clock page         see vdso::record                                      CPL3 read
//! 33 vDSO               an ELF image: see vdso                                CPL3 read, execute
//! ```

/// Bytes in a page, the unit of every mapping.
pub const PAGE_SIZE: u64 = 4096;

/// Bytes mapped by one page table (512 entries of one page).
pub const TABLE_SPAN: u64 = 512 * PAGE_SIZE;

// ---- guest physical -------------------------------------------------------------------------------------------------

/// Where the kernel slot starts.
pub const KERNEL_BASE: u64 = 0;
/// Pages of the kernel slot.
pub const KERNEL_PAGES: u64 = 34;

/// The page whose stores are posted events: an address with no memory behind it.
pub const EVENTS_BASE: u64 = 0x2000_0000;
/// Where the ring's slot starts, in guests that have one.
pub const RING_BASE: u64 = 0x3000_0000;

/// Where the slot of the fuzzing windows starts, in guests that are fuzzed: [`WINDOWS_BYTES`] that the payload can write, then [`PLAN_BYTES`] that it cannot.
pub const WINDOWS_BASE: u64 = 0x3100_0000;
/// Memory that no reset touches: results of a batch, and what a target wants to tell over many inputs.
pub const WINDOWS_BYTES: u64 = 16 << 20;
/// Memory that says what a batch does: inputs, and what is put back between them.
pub const PLAN_BYTES: u64 = 16 << 20;

/// Where the page-table arena starts. 2 MiB aligned, because the editor sees it through large pages.
pub const TABLES_BASE: u64 = 0x4000_0000;
/// The arena is never larger than this: what one page directory of large pages can map.
pub const TABLES_MAX_BYTES: u64 = 512 * TABLE_SPAN;

/// Where the payload's memory starts: above 4 GiB, clear of the APIC page and of everything else that a PC reserves.
pub const PAYLOAD_BASE: u64 = 0x1_0000_0000;
/// The most memory that a payload can be given: 256 GiB, well inside the 40 physical address bits of the smallest CPUs.
pub const PAYLOAD_MAX_BYTES: u64 = 256 << 30;

/// Where shared regions start: half of what 40 physical address bits reach.
pub const REGIONS_BASE: u64 = 0x80_0000_0000;
/// All regions of a guest together, each rounded up to [`REGION_ALIGN`].
pub const REGIONS_MAX_BYTES: u64 = REGION_PDS << 30;
/// Regions are mapped with large pages.
pub const REGION_ALIGN: u64 = TABLE_SPAN;

// ---- guest virtual --------------------------------------------------------------------------------------------------

/// Lowest address that a payload may map: Linux's default `vm.mmap_min_addr`, so that a null dereference is a fault.
pub const USER_START: u64 = 0x1_0000;
/// End of what a payload may map. The last entry of the lower half's root table is the host's: what it maps there for the payload is no
/// mapping of the payload's own, and no system call can change it.
pub const USER_END: u64 = 0x7f80_0000_0000;
/// Where regions are mapped, read-only.
pub const REGIONS: u64 = USER_END;
/// Where the ring is mapped.
pub const RING: u64 = 0x7fff_ffc0_0000;
/// Where the fuzzing windows are mapped: see [`fuzz::window`](crate::fuzz::window).
pub const WINDOWS: u64 = RING - WINDOWS_BYTES - PLAN_BYTES;
/// Where the plan of a batch is mapped, read-only: see [`fuzz::plan`](crate::fuzz::plan).
pub const PLAN: u64 = WINDOWS + WINDOWS_BYTES;
/// Where the clock page is mapped: see [`vdso::record`](crate::vdso::record).
pub const CLOCK: u64 = 0x7fff_ffff_1000;
/// Where the vDSO is mapped, right behind the clock page, which it finds by that. Programs keep the addresses of its functions, and snapshots
/// keep programs: it stays where it is for good.
pub const VDSO: u64 = CLOCK + PAGE_SIZE;
/// Where the restored state is mapped: an `XSAVE` area, and a page of registers behind it.
pub const RESTORED: u64 = 0x7fff_ffff_5000;
/// Where the event page is mapped: a store of 8 bytes at offset 8 · n posts event n.
pub const EVENTS: u64 = 0x7fff_ffff_9000;
/// Where the info page is mapped: see [`call::info`](crate::call::info).
pub const INFO: u64 = 0x7fff_ffff_b000;
/// The user code page. At its start: code for CPL3 that makes a system call: jumped to with the return address in RCX, it does what `syscall` does. Where a KVM without
/// hardware virtualization leaves `syscall` at CPL3 it is the syscall gate itself, and saves the emulation of `syscall`.
///
/// It has to be in the payload's half: such a KVM lets CPL3 execute nothing in the upper half, which is its host kernel's. The last page
/// below the canonical hole stays unmapped for good: a `syscall` at its end would have a return address that is not canonical, and
/// `sysretq` would fault at CPL0 with the payload's stack.
pub const CALL_GATE: u64 = 0x7fff_ffff_d000;

/// Where the kernel slot is mapped.
pub const KERNEL_VIRTUAL: u64 = 0xffff_8000_0000_0000;
/// Where the page-table arena is mapped, for the editor.
pub const TABLES_VIRTUAL: u64 = 0xffff_8000_4000_0000;

// ---- pages of the kernel slot ---------------------------------------------------------------------------------------

/// GDT, TSS and IDT.
pub const DESCRIPTORS_PAGE: u64 = 0;
/// Code for CPL0.
pub const SUPERVISOR_CODE_PAGE: u64 = 1;
/// Code for CPL3: mapped at [`CALL_GATE`] only.
pub const USER_CODE_PAGE: u64 = 2;
/// The stacks and the resume frame.
pub const STACKS_PAGE: u64 = 3;
/// First page of the edit list.
pub const EDITS_PAGE: u64 = 4;
/// Pages of the edit list.
pub const EDITS_PAGES: u64 = 2;
/// The PDPT of the kernel's half.
pub const KERNEL_PDPT_PAGE: u64 = 6;
/// The PD of the kernel slot.
pub const KERNEL_PD_PAGE: u64 = 7;
/// The PT of the kernel slot.
pub const KERNEL_PT_PAGE: u64 = 8;
/// The PD that maps the page-table arena with large pages.
pub const ARENA_PD_PAGE: u64 = 9;
/// The PDPT of the host's mappings for the payload.
pub const SHARED_PDPT_PAGE: u64 = 10;
/// The PD of the last GiB of the lower half.
pub const SHARED_PD_PAGE: u64 = 11;
/// The PT of its last 2 MiB.
pub const SHARED_PT_PAGE: u64 = 12;
/// The info page.
pub const INFO_PAGE: u64 = 13;
/// The first page of the restored state: the extended state, as `xrstor` reads it.
pub const RESTORED_EXTENDED_PAGE: u64 = 14;
/// The second: registers, see [`RESTORED_RIP_OFFSET`] and those that follow it.
pub const RESTORED_REGISTERS_PAGE: u64 = 15;
/// The first PD of the regions.
pub const REGION_PD_PAGE: u64 = 16;
/// PDs of the regions.
pub const REGION_PDS: u64 = 16;
/// The clock page.
pub const CLOCK_PAGE: u64 = 32;
/// The vDSO.
pub const VDSO_PAGE: u64 = 33;

/// Physical address of a page of the kernel slot.
#[must_use]
pub const fn kernel_physical(page: u64) -> u64 {
    KERNEL_BASE + page * PAGE_SIZE
}

/// Virtual address of a page of the kernel slot.
#[must_use]
pub const fn kernel_virtual(page: u64) -> u64 {
    KERNEL_VIRTUAL + page * PAGE_SIZE
}

// ---- inside the descriptors page ------------------------------------------------------------------------------------

/// The GDT, at the start of its page.
pub const GDT_OFFSET: u64 = 0;
/// Entries of the GDT; the TSS descriptor takes the last two.
pub const GDT_ENTRIES: u64 = 10;
/// The TSS.
pub const TSS_OFFSET: u64 = 0x100;
/// Bytes of a 64-bit TSS without its I/O bitmap (Intel SDM vol. 3, 8.7).
pub const TSS_BYTES: u64 = 104;
/// Bytes of I/O bitmap that follow the TSS: ports 0–255 and the terminating byte of ones. Ports beyond are closed.
pub const IO_BITMAP_BYTES: u64 = 256 / 8 + 1;
/// The IDT.
pub const IDT_OFFSET: u64 = 0x400;
/// Gates of the IDT: the architectural exceptions. `int n` above them is a #GP.
pub const IDT_ENTRIES: u64 = 32;

/// Selectors are Linux's own: programs can read CS and SS, and some look.
pub const KERNEL_CODE_SELECTOR: u16 = 0x10;
/// Kernel data and stack.
pub const KERNEL_DATA_SELECTOR: u16 = 0x18;
/// What `sysretq` derives its selectors from: SS is this plus 8, CS this plus 16, both with RPL 3.
pub const SYSRET_BASE_SELECTOR: u16 = 0x23;
/// Payload data and stack.
pub const USER_DATA_SELECTOR: u16 = 0x2b;
/// Payload code.
pub const USER_CODE_SELECTOR: u16 = 0x33;
/// The task register.
pub const TSS_SELECTOR: u16 = 0x40;

// ---- inside the supervisor code page --------------------------------------------------------------------------------

/// Exception stubs: vector n at `STUBS_OFFSET + n * STUB_BYTES`.
pub const STUBS_OFFSET: u64 = 0;
/// Bytes between two stubs.
pub const STUB_BYTES: u64 = 16;
/// The CPL0 syscall gate.
pub const SYSCALL_GATE_OFFSET: u64 = 0x400;
/// The page-table editor; ends as the resume gate does.
pub const EDITOR_OFFSET: u64 = 0x480;
/// The resume gate: one `iretq` over the resume frame.
pub const RESUME_OFFSET: u64 = 0x4c0;

/// The CPL0 syscall gate that rings by `vmcall` (Intel's).
pub const VMCALL_GATE_OFFSET: u64 = 0x500;
/// The CPL0 syscall gate that rings by `vmmcall` (AMD's).
pub const VMMCALL_GATE_OFFSET: u64 = VMCALL_GATE_OFFSET + HYPERCALL_GATE_BYTES;
/// Bytes of a gate that rings by a hypercall.
pub const HYPERCALL_GATE_BYTES: u64 = 0x80;

/// Virtual address of the first exception stub.
pub const STUBS: u64 = kernel_virtual(SUPERVISOR_CODE_PAGE) + STUBS_OFFSET;
/// Virtual address of the CPL0 syscall gate.
pub const SUPERVISOR_SYSCALL_GATE: u64 = kernel_virtual(SUPERVISOR_CODE_PAGE) + SYSCALL_GATE_OFFSET;
/// Virtual address of the gate that rings by `vmcall`.
pub const VMCALL_GATE: u64 = kernel_virtual(SUPERVISOR_CODE_PAGE) + VMCALL_GATE_OFFSET;
/// Virtual address of the gate that rings by `vmmcall`.
pub const VMMCALL_GATE: u64 = kernel_virtual(SUPERVISOR_CODE_PAGE) + VMMCALL_GATE_OFFSET;
/// Virtual address of the editor.
pub const EDITOR: u64 = kernel_virtual(SUPERVISOR_CODE_PAGE) + EDITOR_OFFSET;
/// Virtual address of the resume gate.
pub const RESUME: u64 = kernel_virtual(SUPERVISOR_CODE_PAGE) + RESUME_OFFSET;
/// Bytes of `out imm8, al`: where RIP stands after a doorbell, on hosts that report it so.
pub const OUT_BYTES: u64 = 2;

// ---- inside the user code page --------------------------------------------------------------------------------------

/// The registers gate: loads the registers that the editor and the restore gate need for themselves from the restored state, and jumps to
/// where that says. At CPL3, where it costs nothing.
pub const REGISTERS_GATE_OFFSET: u64 = 0x100;
/// The restore gate: loads segment selectors and bases and the extended state, and goes on as the registers gate.
pub const RESTORE_GATE_OFFSET: u64 = 0x140;
/// Bytes of both gates at most.
pub const RESTORE_GATES_BYTES: u64 = 0x100;
/// The batch gate: [`NEXT`](crate::call::NEXT) for targets that are fuzzed in batches. Jumped to as [`CALL_GATE`] is; it goes there itself, unless there is a plan.
pub const BATCH_GATE_OFFSET: u64 = 0x400;
/// Where the batch gate goes on behind the restore gate: it copies the next input, and leads to where the target waits for it.
pub const BATCH_INPUT_OFFSET: u64 = 0x600;
/// Bytes of each part of the batch gate at most.
pub const BATCH_GATE_BYTES: u64 = 0x200;
/// Virtual address of the batch gate.
pub const BATCH_GATE: u64 = CALL_GATE + BATCH_GATE_OFFSET;
/// Virtual address of its second part.
pub const BATCH_INPUT: u64 = CALL_GATE + BATCH_INPUT_OFFSET;
/// Virtual address of the registers gate.
pub const REGISTERS_GATE: u64 = CALL_GATE + REGISTERS_GATE_OFFSET;
/// Virtual address of the restore gate.
pub const RESTORE_GATE: u64 = CALL_GATE + RESTORE_GATE_OFFSET;

// ---- inside the registers page of the restored state ----------------------------------------------------------------

/// Where the payload goes on.
pub const RESTORED_RIP_OFFSET: u64 = 0x00;
/// RAX, RBX, RCX, RDX, RSI and RDI.
pub const RESTORED_GENERAL_OFFSET: u64 = 0x08;
/// The base of FS.
pub const RESTORED_FS_BASE_OFFSET: u64 = 0x38;
/// The base of GS.
pub const RESTORED_GS_BASE_OFFSET: u64 = 0x40;
/// The selectors of DS, ES, FS and GS, 16 bits each.
pub const RESTORED_SELECTORS_OFFSET: u64 = 0x48;

// ---- inside the stacks page -----------------------------------------------------------------------------------------

/// Top of the exception stack (IST 1, and RSP0). A frame is always pushed from here: exceptions do not nest, each ends in an exit.
pub const EXCEPTION_STACK_OFFSET: u64 = 0x400;
/// Top of the double-fault stack (IST 2).
pub const DOUBLE_FAULT_STACK_OFFSET: u64 = 0x800;
/// The resume frame: RIP, CS, RFLAGS, RSP, SS as `iretq` pops them.
pub const RESUME_FRAME_OFFSET: u64 = 0xa00;

/// The registers that a hypercall needs for itself (RAX, RBX, RCX, RDX), as the program had them; the gate loads them back.
pub const HYPERCALL_REGISTERS_OFFSET: u64 = 0xb00;

// ---- the edit list --------------------------------------------------------------------------------------------------

/// Words of the edit list. A span is its destination (virtual), a count and that many entries; destination and count of the first one are
/// in registers.
pub const EDIT_WORDS: u64 = EDITS_PAGES * PAGE_SIZE / 8;

const _: () = {
    assert!(TABLES_BASE.is_multiple_of(TABLE_SPAN), "the arena is mapped with large pages: see the map above");
    assert!(KERNEL_BASE + KERNEL_PAGES * PAGE_SIZE <= TABLES_BASE, "slots overlap: see the map above");
    assert!(TABLES_BASE + TABLES_MAX_BYTES <= PAYLOAD_BASE, "slots overlap: see the map above");
    assert!(REGION_PD_PAGE + REGION_PDS <= CLOCK_PAGE, "the regions' tables run into the clock page");
    assert!(VDSO_PAGE < KERNEL_PAGES, "the kernel slot is too small for its pages");
    assert!(PAYLOAD_BASE + PAYLOAD_MAX_BYTES <= REGIONS_BASE, "slots overlap: see the map above");
    assert!(EVENTS_BASE + PAGE_SIZE <= RING_BASE, "slots overlap: see the map above");
    assert!(RING_BASE + crate::ring::RING_BYTES <= TABLES_BASE, "slots overlap: see the map above");
    assert!(crate::ring::RING_BYTES == TABLE_SPAN, "the ring is one large page");
    assert!(RING.is_multiple_of(TABLE_SPAN) && RING_BASE.is_multiple_of(TABLE_SPAN), "the ring is one large page");
    assert!(REGIONS + REGIONS_MAX_BYTES <= WINDOWS, "the regions run into the fuzzing windows");
    assert!(RING_BASE + crate::ring::RING_BYTES <= WINDOWS_BASE, "slots overlap: see the map above");
    assert!(WINDOWS_BASE + WINDOWS_BYTES + PLAN_BYTES <= TABLES_BASE, "slots overlap: see the map above");
    assert!(WINDOWS.is_multiple_of(TABLE_SPAN) && WINDOWS_BASE.is_multiple_of(TABLE_SPAN), "windows are large pages");
    assert!(BATCH_INPUT_OFFSET + BATCH_GATE_BYTES <= PAGE_SIZE, "the batch gate is too long for the user code page");
    assert!(
        RING + TABLE_SPAN <= CLOCK && CLOCK / TABLE_SPAN == CALL_GATE / TABLE_SPAN,
        "one table maps the last pages"
    );
    assert!(GDT_OFFSET + GDT_ENTRIES * 8 <= TSS_OFFSET, "the GDT runs into the TSS");
    assert!(TSS_OFFSET + TSS_BYTES + IO_BITMAP_BYTES <= IDT_OFFSET, "the I/O bitmap runs into the IDT");
    assert!(IDT_OFFSET + IDT_ENTRIES * 16 <= PAGE_SIZE, "the IDT runs out of its page");
    assert!(STUBS_OFFSET + IDT_ENTRIES * STUB_BYTES <= SYSCALL_GATE_OFFSET, "the stubs run into the gate");
    assert!(
        RESUME_FRAME_OFFSET + 5 * 8 <= HYPERCALL_REGISTERS_OFFSET,
        "the resume frame runs into the saved registers"
    );
    assert!(
        VDSO + PAGE_SIZE <= RESTORED && RESTORED + 2 * PAGE_SIZE <= EVENTS,
        "the restored state lies between the vDSO and the event page"
    );
    assert!(RESTORED_REGISTERS_PAGE == RESTORED_EXTENDED_PAGE + 1, "the restored state is two pages");
    assert!(TSS_SELECTOR as u64 / 8 + 2 == GDT_ENTRIES, "the TSS descriptor takes the last two entries");
    assert!(CALL_GATE + PAGE_SIZE < 0x7fff_ffff_f000, "see CALL_GATE");
};
