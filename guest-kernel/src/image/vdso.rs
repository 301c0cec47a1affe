//! The vDSO as an ELF file of one page: headers and tables in its first half, code in its second. What its functions promise is in
//! [`vdso`](crate::vdso).
//!
//! Each libc looks for functions in its own way: musl walks the symbols that `DT_HASH` counts and looks at their versions, glibc looks them
//! up by `DT_GNU_HASH`, Go by either. Both tables have one bucket, so that every look-up walks a dozen symbols.
//!
//! No function uses the stack or changes an argument, so that all of them can be begun again, and one rule unwinds them: the return address
//! is where RSP points to.

use super::IMAGE_BYTES;
use crate::layout::{CLOCK, VDSO};
use crate::vdso::record;
use crate::vdso::{CLOCK_GETRES, CLOCK_GETTIME, FUNCTION_BYTES, GETCPU, GETTIMEOFDAY, SYSTEM_CALL, TIME};

// SAFETY: the symbol is defined below, followed by exactly `IMAGE_BYTES` initialised bytes of read-only data.
unsafe extern "C" {
    #[link_name = symbol!("vdso")]
    safe static VDSO_IMAGE: [u8; IMAGE_BYTES];
}

/// The vDSO, an ELF shared object.
#[must_use]
pub fn vdso() -> &'static [u8; IMAGE_BYTES] {
    &VDSO_IMAGE
}

/// The hash of `DT_HASH` and of versions (System V ABI, "Hash Table").
const fn elf_hash(name: &str) -> u32 {
    let mut hash: u32 = 0;
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        hash = (hash << 4).wrapping_add(*first as u32);
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fff_ffff;
        rest = tail;
    }
    hash
}

/// The hash of `DT_GNU_HASH`, without the bit that ends a chain.
const fn gnu_hash(name: &str) -> u32 {
    let mut hash: u32 = 5381;
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        hash = hash.wrapping_mul(33).wrapping_add(*first as u32);
        rest = tail;
    }
    hash & !1
}

/// From the start of the image to a word of the clock record, as they lie in the guest.
const fn of_record(offset: u64) -> i64 {
    offset.cast_signed() - (VDSO - CLOCK).cast_signed()
}

/// A symbol: a function at `$value`, strong by its own name or weak by its plain one.
macro_rules! function {
    ($name:literal, $binding:literal, $value:literal) => {
        concat!(
            ".long .Lampoule_vdso_",
            $name,
            " - .Lampoule_vdso_strings\n",
            ".byte ",
            $binding,
            " << 4 | 2, 0\n", // STT_FUNC, STV_DEFAULT
            // There are no sections; any number but 0 and the reserved ones says that it is defined.
            ".short 1\n",
            ".quad ",
            $value,
            ", {function_bytes}\n",
        )
    };
}

/// A string of the string table.
macro_rules! string {
    ($name:literal) => {
        concat!(".Lampoule_vdso_", $name, ": .asciz \"", $name, "\"\n")
    };
}

/// Reads the clock whose place in the record R9 has: seconds into RCX, nanoseconds into RAX. Jumps to 8 if the record does not hold.
macro_rules! read_clock {
    () => {
        concat!(
            "2: mov r10, [rip + .Lampoule_vdso + {sequence}]\n",
            "mov r11, [rip + .Lampoule_vdso + {base}]\n",
            // The counter is read after the record, and not before what came before the call.
            "lfence\n",
            "rdtsc\n",
            "shl rdx, 32\n",
            "or rax, rdx\n",
            "sub rax, r11\n",
            // Also what is before the base, as a number beyond any span.
            "cmp rax, [rip + .Lampoule_vdso + {span}]\n",
            "jae 8f\n",
            "imul rax, [rip + .Lampoule_vdso + {multiplier}]\n",
            "shr rax, 32\n",
            "mov rcx, [r9]\n",
            "add rax, [r9 + 8]\n",
            // The host wrote another record meanwhile.
            "cmp r10, [rip + .Lampoule_vdso + {sequence}]\n",
            "jne 2b\n",
            "cmp rax, 1000000000\n",
            "jb 3f\n",
            "sub rax, 1000000000\n",
            "inc rcx\n",
            "3:\n",
        )
    };
}

core::arch::global_asm!(
    ".pushsection .rodata.ampoule_vdso, \"a\", @progbits",
    ".balign 4096",
    concat!(".globl ", symbol!("vdso")),
    concat!(symbol!("vdso"), ":"),
    ".Lampoule_vdso:",
    "70:",
    // ELF header: 64 bits, little-endian, ET_DYN, EM_X86_64; no sections.
    ".byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0",
    ".short 3, 62",
    ".long 1",
    ".quad 0, .Lampoule_vdso_segments - .Lampoule_vdso, 0",
    ".long 0",
    ".short 64, 56, 3, 64, 0, 0",
    ".Lampoule_vdso_segments:",
    // PT_LOAD, readable and executable: the page.
    ".long 1, 5",
    ".quad 0, 0, 0, {bytes}, {bytes}, 4096",
    // PT_DYNAMIC, readable.
    ".long 2, 4",
    ".quad .Lampoule_vdso_dynamic - .Lampoule_vdso, .Lampoule_vdso_dynamic - .Lampoule_vdso, .Lampoule_vdso_dynamic - .Lampoule_vdso",
    ".quad .Lampoule_vdso_dynamic_end - .Lampoule_vdso_dynamic, .Lampoule_vdso_dynamic_end - .Lampoule_vdso_dynamic, 8",
    // PT_GNU_EH_FRAME, readable.
    ".long 0x6474e550, 4",
    ".quad .Lampoule_vdso_unwind - .Lampoule_vdso, .Lampoule_vdso_unwind - .Lampoule_vdso, .Lampoule_vdso_unwind - .Lampoule_vdso",
    ".quad .Lampoule_vdso_frames - .Lampoule_vdso_unwind, .Lampoule_vdso_frames - .Lampoule_vdso_unwind, 4",
    ".Lampoule_vdso_dynamic:",
    ".quad 14, .Lampoule_vdso_soname - .Lampoule_vdso_strings", // DT_SONAME
    ".quad 4, .Lampoule_vdso_hash - .Lampoule_vdso",            // DT_HASH
    ".quad 0x6ffffef5, .Lampoule_vdso_gnu_hash - .Lampoule_vdso", // DT_GNU_HASH
    ".quad 5, .Lampoule_vdso_strings - .Lampoule_vdso",         // DT_STRTAB
    ".quad 6, .Lampoule_vdso_symbols - .Lampoule_vdso",         // DT_SYMTAB
    ".quad 10, .Lampoule_vdso_strings_end - .Lampoule_vdso_strings", // DT_STRSZ
    ".quad 11, 24",                                             // DT_SYMENT
    ".quad 0x6ffffff0, .Lampoule_vdso_versym - .Lampoule_vdso", // DT_VERSYM
    ".quad 0x6ffffffc, .Lampoule_vdso_verdef - .Lampoule_vdso", // DT_VERDEF
    ".quad 0x6ffffffd, 2",                                      // DT_VERDEFNUM
    ".quad 0, 0",
    ".Lampoule_vdso_dynamic_end:",
    ".Lampoule_vdso_symbols:",
    ".zero 24",
    function!("__vdso_clock_gettime", "1", "{clock_gettime}"),
    function!("__vdso_gettimeofday", "1", "{gettimeofday}"),
    function!("__vdso_time", "1", "{time}"),
    function!("__vdso_clock_getres", "1", "{clock_getres}"),
    function!("__vdso_getcpu", "1", "{getcpu}"),
    function!("clock_gettime", "2", "{clock_gettime}"),
    function!("gettimeofday", "2", "{gettimeofday}"),
    function!("time", "2", "{time}"),
    function!("clock_getres", "2", "{clock_getres}"),
    function!("getcpu", "2", "{getcpu}"),
    // One bucket, eleven entries: each symbol is followed by the next.
    ".Lampoule_vdso_hash:",
    ".long 1, 11, 1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0",
    // One bucket, from symbol 1 on, and a filter that lets everything through.
    ".balign 8",
    ".Lampoule_vdso_gnu_hash:",
    ".long 1, 1, 1, 0",
    ".quad -1",
    ".long 1",
    ".long {h0}, {h1}, {h2}, {h3}, {h4}, {h5}, {h6}, {h7}, {h8}, {h9} | 1",
    // All but the first are of version 2.
    ".Lampoule_vdso_versym:",
    ".short 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2",
    ".balign 4",
    ".Lampoule_vdso_verdef:",
    ".short 1, 1, 1, 1", // VER_FLG_BASE: the file
    ".long {soname_hash}, 20, 28",
    ".long .Lampoule_vdso_soname - .Lampoule_vdso_strings, 0",
    ".short 1, 0, 2, 1",
    ".long {version_hash}, 20, 0",
    ".long .Lampoule_vdso_version - .Lampoule_vdso_strings, 0",
    ".Lampoule_vdso_strings:",
    ".byte 0",
    ".Lampoule_vdso_soname: .asciz \"linux-vdso.so.1\"",
    ".Lampoule_vdso_version: .asciz \"LINUX_2.6\"",
    string!("__vdso_clock_gettime"),
    string!("__vdso_gettimeofday"),
    string!("__vdso_time"),
    string!("__vdso_clock_getres"),
    string!("__vdso_getcpu"),
    string!("clock_gettime"),
    string!("gettimeofday"),
    string!("time"),
    string!("clock_getres"),
    string!("getcpu"),
    ".Lampoule_vdso_strings_end:",
    // .eh_frame_hdr: a table of one entry (pcrel sdata4, udata4, datarel sdata4).
    ".balign 4",
    ".Lampoule_vdso_unwind:",
    ".byte 1, 0x1b, 0x03, 0x3b",
    ".long .Lampoule_vdso_frames - .",
    ".long 1",
    ".long .Lampoule_vdso_code - .Lampoule_vdso_unwind, .Lampoule_vdso_fde - .Lampoule_vdso_unwind",
    // .eh_frame: the CFA is RSP + 8, and the return address is right below it.
    ".Lampoule_vdso_frames:",
    ".long 20, 0",
    ".byte 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0",
    ".Lampoule_vdso_fde:",
    ".long 16, .Lampoule_vdso_fde + 4 - .Lampoule_vdso_frames",
    ".long .Lampoule_vdso_code - ., {code_bytes}",
    ".byte 0, 0, 0, 0",
    ".long 0",
    // int clock_gettime(clockid_t EDI, struct timespec *RSI)
    ".org 70b + {clock_gettime}, 0xf4",
    ".Lampoule_vdso_code:",
    "  cmp edi, 6",
    "  ja 8f",
    "  mov eax, {known}",
    "  bt eax, edi",
    "  jnc 8f",
    "  mov eax, {monotonic}",
    "  xor r9d, r9d",
    "  bt eax, edi",
    "  setc r9b",
    "  shl r9d, 4",
    "  lea rax, [rip + .Lampoule_vdso + {realtime}]",
    "  add r9, rax",
    read_clock!(),
    "  mov [rsi], rcx",
    "  mov [rsi + 8], rax",
    "  xor eax, eax",
    "  ret",
    "  8: mov eax, 228",
    "  jmp .Lampoule_vdso_system_call",
    // int gettimeofday(struct timeval *RDI, struct timezone *RSI)
    ".org 70b + {gettimeofday}, 0xf4",
    "  test rdi, rdi",
    "  jz 4f",
    "  lea r9, [rip + .Lampoule_vdso + {realtime}]",
    read_clock!(),
    // Nanoseconds by 1,000: 2^38 / 1000, rounded up, is exact for all below 2^30.
    "  imul rax, rax, 274877907",
    "  shr rax, 38",
    "  mov [rdi], rcx",
    "  mov [rdi + 8], rax",
    "  4: test rsi, rsi",
    "  jz 5f",
    "  mov qword ptr [rsi], 0",
    "  5: xor eax, eax",
    "  ret",
    "  8: mov eax, 96",
    "  jmp .Lampoule_vdso_system_call",
    // time_t time(time_t *RDI)
    ".org 70b + {time}, 0xf4",
    "  lea r9, [rip + .Lampoule_vdso + {realtime}]",
    read_clock!(),
    "  test rdi, rdi",
    "  jz 4f",
    "  mov [rdi], rcx",
    "  4: mov rax, rcx",
    "  ret",
    "  8: mov eax, 201",
    "  jmp .Lampoule_vdso_system_call",
    // int clock_getres(clockid_t EDI, struct timespec *RSI): a nanosecond.
    ".org 70b + {clock_getres}, 0xf4",
    "  cmp edi, 6",
    "  ja 8f",
    "  mov eax, {known}",
    "  bt eax, edi",
    "  jnc 8f",
    "  test rsi, rsi",
    "  jz 4f",
    "  mov qword ptr [rsi], 0",
    "  mov qword ptr [rsi + 8], 1",
    "  4: xor eax, eax",
    "  ret",
    "  8: mov eax, 229",
    "  jmp .Lampoule_vdso_system_call",
    // int getcpu(unsigned *RDI, unsigned *RSI, …): there is one of each.
    ".org 70b + {getcpu}, 0xf4",
    "  xor eax, eax",
    "  test rdi, rdi",
    "  jz 4f",
    "  mov [rdi], eax",
    "  4: test rsi, rsi",
    "  jz 5f",
    "  mov [rsi], eax",
    "  5: ret",
    ".org 70b + {system_call}, 0xf4",
    ".Lampoule_vdso_system_call:",
    "  syscall",
    "  ret",
    ".org 70b + {bytes}, 0xf4",
    ".popsection",
    bytes = const IMAGE_BYTES,
    sequence = const of_record(record::SEQUENCE),
    base = const of_record(record::BASE),
    span = const of_record(record::SPAN),
    multiplier = const of_record(record::MULTIPLIER),
    realtime = const of_record(record::REALTIME),
    // CLOCK_REALTIME, CLOCK_MONOTONIC and both as they are coarse.
    known = const 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6,
    monotonic = const 1 << 1 | 1 << 6,
    clock_gettime = const CLOCK_GETTIME - VDSO,
    gettimeofday = const GETTIMEOFDAY - VDSO,
    time = const TIME - VDSO,
    clock_getres = const CLOCK_GETRES - VDSO,
    getcpu = const GETCPU - VDSO,
    system_call = const SYSTEM_CALL - VDSO,
    function_bytes = const FUNCTION_BYTES,
    code_bytes = const IMAGE_BYTES as u64 - (CLOCK_GETTIME - VDSO),
    soname_hash = const elf_hash("linux-vdso.so.1"),
    version_hash = const elf_hash("LINUX_2.6"),
    h0 = const gnu_hash("__vdso_clock_gettime"),
    h1 = const gnu_hash("__vdso_gettimeofday"),
    h2 = const gnu_hash("__vdso_time"),
    h3 = const gnu_hash("__vdso_clock_getres"),
    h4 = const gnu_hash("__vdso_getcpu"),
    h5 = const gnu_hash("clock_gettime"),
    h6 = const gnu_hash("gettimeofday"),
    h7 = const gnu_hash("time"),
    h8 = const gnu_hash("clock_getres"),
    h9 = const gnu_hash("getcpu"),
);

const _: () = assert!(record::MONOTONIC == record::REALTIME + 16, "clock_gettime finds one behind the other");

#[cfg(test)]
mod tests;
