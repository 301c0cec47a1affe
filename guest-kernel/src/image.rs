//! The ring-0 image: everything that ever runs at CPL0, and the CPL3 gate.
//!
//! On a KVM that emulates CPL0 each instruction costs about 0.6 µs and only plain integer instructions exist, so there is
//! almost nothing here: an exception stub is a port write, a system call is a port write and a `sysretq`. The one loop is the
//! page-table editor. It exists because a shadow-paging KVM notices a *changed* entry only when guest code writes it
//! (`docs/kvm.md`); the host fills entries that were not present by itself.
//!
//! Nothing here has state, takes a lock or reads what the payload can write.

#![allow(unsafe_code, reason = "an extern block is the only way to name assembled bytes; its statics are safe to read")]

use crate::fuzz::{plan, window};
use crate::{abi, call, layout};

/// Bytes of each image.
pub const IMAGE_BYTES: usize = 4096;

/// The linker's name of an image. It carries the crate's version, so that two versions can live in one program.
macro_rules! symbol {
    ($name:literal) => {
        concat!(
            "ampoule_kernel_",
            $name,
            "_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH")
        )
    };
}

mod batch;
mod vdso;

use self::batch::batch_gate;
pub use self::vdso::vdso;

// SAFETY: all symbols are defined below, each followed by exactly `IMAGE_BYTES` initialised bytes of read-only data
// (the `.org` that ends an image fails to assemble if its code is longer).
unsafe extern "C" {
    #[link_name = symbol!("supervisor")]
    safe static SUPERVISOR_IMAGE: [u8; IMAGE_BYTES];
    #[link_name = symbol!("user")]
    safe static USER_IMAGE: [u8; IMAGE_BYTES];
    #[link_name = symbol!("trampoline")]
    safe static TRAMPOLINE_IMAGE: [u8; IMAGE_BYTES];
}

/// The page of code for CPL0: see [`layout::STUBS_OFFSET`] and the offsets after it.
#[must_use]
pub fn supervisor() -> &'static [u8; IMAGE_BYTES] {
    &SUPERVISOR_IMAGE
}

/// The page of code for CPL3 where `syscall` stays at CPL3: the syscall gate at its start.
#[must_use]
pub fn user() -> &'static [u8; IMAGE_BYTES] {
    &USER_IMAGE
}

/// The page of code for CPL3 where `syscall` enters CPL0: the same to its callers.
#[must_use]
pub fn trampoline() -> &'static [u8; IMAGE_BYTES] {
    &TRAMPOLINE_IMAGE
}

/// From the start of the supervisor image to the saved registers, as they lie in the guest.
const SAVED_REGISTERS: u64 =
    (layout::STACKS_PAGE - layout::SUPERVISOR_CODE_PAGE) * layout::PAGE_SIZE + layout::HYPERCALL_REGISTERS_OFFSET;

/// A CPL0 syscall gate whose doorbell is a hypercall.
macro_rules! hypercall_gate {
    ($offset:literal, $instruction:literal) => {
        concat!(
            ".org 10b + ",
            $offset,
            ", 0xf4\n",
            "mov [rip + .Lampoule_supervisor + {saved}], rax\n",
            "mov [rip + .Lampoule_supervisor + {saved} + 8], rbx\n",
            "mov [rip + .Lampoule_supervisor + {saved} + 16], rcx\n",
            "mov [rip + .Lampoule_supervisor + {saved} + 24], rdx\n",
            "mov eax, {number}\n",
            "mov ebx, {address}\n",
            "mov ecx, {pages}\n",
            "xor edx, edx\n",
            $instruction,
            "\n",
            "mov rax, [rip + .Lampoule_supervisor + {saved}]\n",
            "mov rbx, [rip + .Lampoule_supervisor + {saved} + 8]\n",
            "mov rcx, [rip + .Lampoule_supervisor + {saved} + 16]\n",
            "mov rdx, [rip + .Lampoule_supervisor + {saved} + 24]\n",
            "sysretq\n",
        )
    };
}

/// From the start of the user image to the restored state, as they lie in the guest.
const RESTORED_EXTENDED: i64 = -(layout::CALL_GATE - layout::RESTORED).cast_signed();
/// The same of its page of registers.
const RESTORED_REGISTERS: i64 = RESTORED_EXTENDED + layout::PAGE_SIZE.cast_signed();

/// From the start of the user image to a fuzz target's windows, and to the plan of its batch.
const WINDOWS: i64 = -(layout::CALL_GATE - layout::WINDOWS).cast_signed();
/// See [`WINDOWS`].
const PLAN: i64 = -(layout::CALL_GATE - layout::PLAN).cast_signed();

/// The registers gate and the restore gate, the same in both user images; `$image` is the label at the image's start. They change no
/// flags and use no stack, and no instruction of them is for CPL0: a KVM that emulates CPL0 knows few of them.
macro_rules! restore_gates {
    ($label:literal, $image:literal) => {
        concat!(
            ".org ",
            $label,
            " + {registers_gate}, 0xf4\n",
            "5: mov rax, [rip + ",
            $image,
            " + {registers} + {general}]\n",
            "mov rbx, [rip + ",
            $image,
            " + {registers} + {general} + 8]\n",
            "mov rcx, [rip + ",
            $image,
            " + {registers} + {general} + 16]\n",
            "mov rdx, [rip + ",
            $image,
            " + {registers} + {general} + 24]\n",
            "mov rsi, [rip + ",
            $image,
            " + {registers} + {general} + 32]\n",
            "mov rdi, [rip + ",
            $image,
            " + {registers} + {general} + 40]\n",
            "jmp qword ptr [rip + ",
            $image,
            " + {registers} + {rip}]\n",
            ".org ",
            $label,
            " + {restore_gate}, 0xf4\n",
            "mov ds, word ptr [rip + ",
            $image,
            " + {registers} + {selectors}]\n",
            "mov es, word ptr [rip + ",
            $image,
            " + {registers} + {selectors} + 2]\n",
            "mov fs, word ptr [rip + ",
            $image,
            " + {registers} + {selectors} + 4]\n",
            "mov gs, word ptr [rip + ",
            $image,
            " + {registers} + {selectors} + 6]\n",
            "mov rax, [rip + ",
            $image,
            " + {registers} + {fs_base}]\n",
            "wrfsbase rax\n",
            "mov rax, [rip + ",
            $image,
            " + {registers} + {gs_base}]\n",
            "wrgsbase rax\n",
            "mov eax, -1\n",
            "mov edx, -1\n",
            "xrstor64 [rip + ",
            $image,
            " + {extended}]\n",
            "jmp 5b\n",
        )
    };
}

core::arch::global_asm!(
    ".pushsection .rodata.ampoule_kernel, \"a\", @progbits",
    ".balign 4096",
    // One stub for each vector. The host tells the vector by RIP and never resumes behind the port write.
    concat!(".globl ", symbol!("supervisor")),
    concat!(symbol!("supervisor"), ":"),
    ".Lampoule_supervisor:",
    "10:",
    ".rept {vectors}",
    "  1: out {trap}, al",
    "  hlt",
    "  .org 1b + {stub_bytes}, 0xf4",
    ".endr",
    // syscall came here at CPL0: RCX is the return address, R11 the flags, RSP still the payload's; no stack is used.
    ".org 10b + {gate}, 0xf4",
    "  out {syscall}, al",
    "  sysretq",
    // The editor. RDI, RCX: destination and count of the first span; RSI: its entries, then the other spans; EBX: how many spans there
    // are; RDX: CR3; RSP: the resume frame, which leads to one of the gates that load these registers back.
    ".org 10b + {editor}, 0xf4",
    "  2: rep movsq",
    "  dec ebx",
    "  jz 3f",
    "  lodsq",
    "  mov rdi, rax",
    "  lodsq",
    "  mov rcx, rax",
    "  jmp 2b",
    "  3: mov cr3, rdx",
    "  iretq",
    ".org 10b + {resume}, 0xf4",
    "  iretq",
    // The same gate with a hypercall as its doorbell. It needs four registers for itself, so they go through memory; the host
    // answers in the saved RAX. RFLAGS is in R11.
    hypercall_gate!("{vmcall_gate}", "vmcall"),
    hypercall_gate!("{vmmcall_gate}", "vmmcall"),
    ".org 10b + {bytes}, 0xf4",
    // syscall came here at CPL3: the same registers, and RFLAGS untouched because SFMASK is 0.
    concat!(".globl ", symbol!("user")),
    concat!(symbol!("user"), ":"),
    ".Lampoule_user:",
    "20:",
    "  out {syscall}, al",
    "  jmp rcx",
    restore_gates!("20b", ".Lampoule_user"),
    batch_gate!("20b", ".Lampoule_user"),
    ".org 20b + {bytes}, 0xf4",
    // Somebody jumped here with the return address in RCX, which `syscall` will take; R8 is the one register that callers give up for it.
    concat!(".globl ", symbol!("trampoline")),
    concat!(symbol!("trampoline"), ":"),
    ".Lampoule_trampoline:",
    "30:",
    "  mov r8, rcx",
    "  syscall",
    "  jmp r8",
    restore_gates!("30b", ".Lampoule_trampoline"),
    batch_gate!("30b", ".Lampoule_trampoline"),
    ".org 30b + {bytes}, 0xf4",
    ".popsection",
    vectors = const layout::IDT_ENTRIES,
    stub_bytes = const layout::STUB_BYTES,
    trap = const abi::TRAP_PORT,
    syscall = const abi::SYSCALL_PORT,
    gate = const layout::SYSCALL_GATE_OFFSET,
    editor = const layout::EDITOR_OFFSET,
    resume = const layout::RESUME_OFFSET,
    vmcall_gate = const layout::VMCALL_GATE_OFFSET,
    vmmcall_gate = const layout::VMMCALL_GATE_OFFSET,
    saved = const SAVED_REGISTERS,
    registers_gate = const layout::REGISTERS_GATE_OFFSET,
    restore_gate = const layout::RESTORE_GATE_OFFSET,
    extended = const RESTORED_EXTENDED,
    registers = const RESTORED_REGISTERS,
    rip = const layout::RESTORED_RIP_OFFSET,
    general = const layout::RESTORED_GENERAL_OFFSET,
    fs_base = const layout::RESTORED_FS_BASE_OFFSET,
    gs_base = const layout::RESTORED_GS_BASE_OFFSET,
    selectors = const layout::RESTORED_SELECTORS_OFFSET,
    batch_gate = const layout::BATCH_GATE_OFFSET,
    batch_input = const layout::BATCH_INPUT_OFFSET,
    next = const call::NEXT,
    returned = const call::OUTCOME_RETURNED,
    windows = const WINDOWS,
    window_index = const window::INDEX,
    window_input = const window::INPUT,
    window_results = const window::RESULTS,
    plan = const PLAN,
    plan_count = const plan::COUNT,
    plan_buffer = const plan::BUFFER,
    plan_buffer_bytes = const plan::BUFFER_BYTES,
    plan_inputs = const plan::INPUTS,
    plan_spans = const plan::SPANS,
    plan_span_entries = const plan::SPAN_ENTRIES,
    plan_ranges = const plan::RANGES,
    plan_range_entries = const plan::RANGE_ENTRIES,
    plan_stride = const plan::STRIDE,
    plan_rip = const plan::RIP,
    plan_rcx = const plan::RCX,
    plan_rsi = const plan::RSI,
    plan_rdi = const plan::RDI,
    plan_rflags = const plan::RFLAGS,
    plan_rsp = const plan::RSP,
    plan_rbp = const plan::RBP,
    plan_r8 = const plan::R8,
    number = const abi::HYPERCALL_NUMBER,
    address = const abi::HYPERCALL_ADDRESS,
    pages = const abi::HYPERCALL_PAGES,
    bytes = const IMAGE_BYTES,
);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(image: &[u8], offset: u64) -> &[u8] {
        &image[usize::try_from(offset).unwrap()..]
    }

    #[test]
    fn every_vector_has_a_stub_that_rings_the_trap_port_and_stops() {
        for vector in 0..layout::IDT_ENTRIES {
            let stub = at(supervisor(), layout::STUBS_OFFSET + vector * layout::STUB_BYTES);
            assert_eq!(stub[..3], [0xe6, abi::TRAP_PORT, 0xf4], "vector {vector}");
        }
    }

    #[test]
    fn both_syscall_gates_ring_the_syscall_port_first() {
        assert_eq!(at(supervisor(), layout::SYSCALL_GATE_OFFSET)[..5], [0xe6, abi::SYSCALL_PORT, 0x48, 0x0f, 0x07]);
        assert_eq!(user()[..4], [0xe6, abi::SYSCALL_PORT, 0xff, 0xe1]);
    }

    #[test]
    fn the_resume_gate_is_one_iretq() {
        assert_eq!(at(supervisor(), layout::RESUME_OFFSET)[..2], [0x48, 0xcf]);
    }

    #[test]
    fn everything_between_the_gates_halts() {
        let after_resume = &at(supervisor(), layout::RESUME_OFFSET + 2)
            [..usize::try_from(layout::VMCALL_GATE_OFFSET - layout::RESUME_OFFSET - 2).unwrap()];
        assert!(after_resume.iter().all(|&byte| byte == 0xf4));
        let gate = usize::try_from(layout::REGISTERS_GATE_OFFSET).unwrap();
        assert!(user()[4..gate].iter().all(|&byte| byte == 0xf4));
        let behind = gate + usize::try_from(layout::RESTORE_GATES_BYTES).unwrap();
        let batch = usize::try_from(layout::BATCH_GATE_OFFSET).unwrap();
        let end = usize::try_from(layout::BATCH_INPUT_OFFSET + layout::BATCH_GATE_BYTES).unwrap();
        for image in [user(), trampoline()] {
            assert!(image[behind - 1..batch].iter().chain(&image[end..]).all(|&byte| byte == 0xf4));
        }
    }

    #[test]
    fn the_batch_gate_leads_to_the_call_gate_unless_a_call_was_answered() {
        let gate = at(user(), layout::BATCH_GATE_OFFSET);
        // cmp rdi, OUTCOME_RETURNED; jne, near, to the image's start.
        assert_eq!(gate[..6], [0x48, 0x83, 0xff, u8::try_from(call::OUTCOME_RETURNED).unwrap(), 0x0f, 0x85]);
        let displacement = i64::from(i32::from_le_bytes(gate[6..10].try_into().unwrap()));
        assert_eq!(i64::try_from(layout::BATCH_GATE_OFFSET).unwrap() + 10 + displacement, 0);
    }

    #[test]
    fn the_restore_gates_are_the_same_in_both_user_images_and_end_where_the_state_says() {
        let [registers, restore] =
            [layout::REGISTERS_GATE_OFFSET, layout::RESTORE_GATE_OFFSET].map(|offset| usize::try_from(offset).unwrap());
        assert_eq!(user()[registers..], trampoline()[registers..]);
        // The registers gate's last instruction is the jump to where the payload goes on.
        let end = user()[..restore].iter().rposition(|&byte| byte != 0xf4).unwrap() + 1;
        assert_eq!(user()[end - 6..end - 4], [0xff, 0x25]);
        let displacement = i64::from(i32::from_le_bytes(user()[end - 4..end].try_into().unwrap()));
        let rip = RESTORED_REGISTERS + layout::RESTORED_RIP_OFFSET.cast_signed();
        assert_eq!(i64::try_from(end).unwrap() + displacement, rip);
    }
}
