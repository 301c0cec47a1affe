//! Edges that random calls do not find by themselves.

use rustix::io::Errno;

use super::*;
use crate::end::{End, Limit};
use crate::linux::areas::{MAX_AREAS, Purpose};
use crate::linux::streams::Input;
use crate::machine::event::{Exception, PAGE_FAULT};
use crate::machine::paging::{Access, Page};
use crate::signal::Signal;
use crate::vm::vcpu::XSAVE_BYTES;

const MMAP: u64 = 9;
const MPROTECT: u64 = 10;
const MUNMAP: u64 = 11;
const BRK: u64 = 12;
const SIGACTION: u64 = 13;
const SIGPROCMASK: u64 = 14;
const SIGRETURN: u64 = 15;
const MREMAP: u64 = 25;
const MADVISE: u64 = 28;
const POLL: u64 = 7;
const SIGSUSPEND: u64 = 130;
const FUTEX: u64 = 202;
const TGKILL: u64 = 234;

const NONE: u64 = 0;
const READ: u64 = 1;
const RW: u64 = 3;
const ANONYMOUS: u64 = 0x22;
const FIXED: u64 = 0x32;
const NORESERVE: u64 = 0x4000;
const NOREPLACE: u64 = 0x10_0000;
const DONTNEED: u64 = 4;

/// A place where nothing is.
const FREE: u64 = 0x2000_0000_0000;

fn failed(errno: Errno) -> i64 {
    -i64::from(errno.raw_os_error())
}

fn address(value: i64) -> u64 {
    u64::try_from(value).unwrap()
}

fn pages(count: u64) -> u64 {
    count * PAGE_SIZE
}

fn rig() -> Rig {
    Rig::new(2048)
}

fn map(rig: &mut Rig, at: u64, length: u64, protection: u64, flags: u64) -> i64 {
    rig.call(MMAP, &[at, length, protection, flags, u64::MAX, 0])
}

#[test]
fn a_mapping_as_large_as_all_that_is_left_is_made_or_refused_and_never_tried_for_ever() {
    let mut rig = Rig::new(700);
    let left = rig.machine.frames.left();
    for length in (left - 6..left + 3).rev() {
        let result = map(&mut rig, FREE, pages(length), RW, ANONYMOUS);
        // A PDPT, a PD, and two PTs.
        assert_eq!(result > 0, length + 4 <= left, "{length} of {left}: {result}");
        rig.check();
        if result > 0 {
            assert_eq!(rig.call(MUNMAP, &[address(result), pages(length)]), 0);
        }
    }
}

#[test]
fn a_program_with_as_many_areas_as_there_may_be_gets_errors_and_nothing_else() {
    let mut rig = rig();
    map(&mut rig, FREE, pages(4), NONE, FIXED);
    map(&mut rig, FREE + pages(8), pages(8), RW, FIXED);
    // Every other page, so that no two areas become one.
    let mut at = FREE + pages(64);
    for _ in rig.process.memory.areas.iter().count()..MAX_AREAS - 2 {
        rig.process.memory.areas.insert(at..at + PAGE_SIZE, none()).unwrap();
        at += pages(2);
    }
    rig.check();
    for spare in (0..3).rev() {
        // Access to the middle of what had none: two areas more.
        let protect = rig.call(MPROTECT, &[FREE + PAGE_SIZE, PAGE_SIZE, RW]);
        rig.check();
        let remap = rig.call(MREMAP, &[FREE + pages(9), PAGE_SIZE, pages(3), 1, 0]);
        assert_eq!(remap, failed(Errno::NOMEM));
        rig.check();
        let fixed = rig.call(MREMAP, &[FREE + pages(10), PAGE_SIZE, PAGE_SIZE, 3, FREE + pages(30)]);
        assert_eq!(fixed, failed(Errno::NOMEM));
        rig.check();
        let hole = rig.call(MUNMAP, &[FREE + pages(10), PAGE_SIZE]);
        rig.check();
        assert!(protect == 0 || protect == failed(Errno::NOMEM));
        assert!(hole == 0 || hole == failed(Errno::NOMEM));
        if spare > 0 {
            map(&mut rig, at, PAGE_SIZE, NONE, FIXED);
            at += pages(2);
        }
    }
    // What is there can still be given back, whole.
    assert_eq!(rig.call(MUNMAP, &[FREE, at - FREE]), 0);
    rig.check();
}

fn none() -> Attributes {
    Attributes { access: Access::default(), lazy: false, purpose: Purpose::Anonymous }
}

#[test]
fn protecting_as_many_areas_as_there_may_be_looks_at_the_limits_on_the_way() {
    let mut rig = rig();
    for index in 0..40_000 {
        let at = FREE + pages(index);
        let access = Access { read: true, write: index % 2 == 0, execute: false };
        let attributes = Attributes { access, lazy: true, purpose: Purpose::Anonymous };
        rig.process.memory.areas.insert(at..at + PAGE_SIZE, attributes).unwrap();
    }
    let began = std::time::Instant::now();
    match rig.call_within(1_000_000, MPROTECT, &[FREE, pages(40_000), READ]) {
        Err(Refusal::End(End::Limit(Limit::Wall))) => {}
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_reservation_of_terabytes_costs_nothing_moves_and_goes() {
    let mut rig = rig();
    let length = 1 << 42;
    let before = rig.machine.frames.used();
    for flags in [ANONYMOUS, ANONYMOUS | NORESERVE] {
        let protection = if flags == ANONYMOUS { NONE } else { RW };
        let at = address(map(&mut rig, 0, length, protection, flags));
        assert_eq!(rig.machine.frames.used(), before);
        let moved = address(rig.call(MREMAP, &[at, length, length, 3, FREE]));
        assert_eq!(moved, FREE);
        rig.check();
        assert_eq!(
            rig.call(MPROTECT, &[FREE, length, READ]),
            if flags == ANONYMOUS { failed(Errno::NOMEM) } else { 0 }
        );
        assert_eq!(rig.call(MADVISE, &[FREE, length, DONTNEED]), 0);
        assert_eq!(rig.call(MUNMAP, &[FREE, length]), 0);
        rig.check();
    }
}

#[test]
fn a_lazy_page_is_there_when_it_is_touched_and_zero_again_when_it_is_not_needed() {
    let mut rig = rig();
    let at = address(map(&mut rig, 0, pages(64), RW, ANONYMOUS | NORESERVE));
    let mut watch = watch(u64::MAX);
    let touch = |address, error_code| Exception { vector: PAGE_FAULT, error_code, address: Some(address) };
    assert_eq!(rig.kernel(&mut watch).exception(touch(at + pages(20), 6)).unwrap(), Handled::Yes);
    rig.check();
    rig.put_words(at + pages(20), &[7]);
    assert_eq!(rig.call(MPROTECT, &[at, pages(64), READ]), 0);
    assert_eq!(rig.kernel(&mut watch).exception(touch(at + pages(40), 6)).unwrap(), Handled::No);
    assert_eq!(rig.kernel(&mut watch).exception(touch(at + pages(40), 4)).unwrap(), Handled::Yes);
    assert_eq!(rig.word(at + pages(20)), 7);
    rig.check();
    assert_eq!(rig.call(MADVISE, &[at, pages(64), DONTNEED]), 0);
    assert!(!rig.machine.is_mapped(at + pages(20)));
    assert_eq!(rig.word(at + pages(20)), 0);
    rig.check();
}

#[test]
fn touching_a_reservation_with_no_page_left_is_the_memory_limit() {
    let mut rig = Rig::new(128);
    let at = address(map(&mut rig, 0, pages(1024), RW, ANONYMOUS | NORESERVE));
    let mut watch = watch(u64::MAX);
    for page in 0..1024 {
        let exception = Exception { vector: PAGE_FAULT, error_code: 6, address: Some(at + pages(page)) };
        if rig.machine.is_mapped(at + pages(page)) {
            continue;
        }
        match rig.kernel(&mut watch).exception(exception) {
            Ok(Handled::Yes) => {}
            Err(Refusal::End(End::Limit(Limit::Memory))) => return,
            other => panic!("{other:?}"),
        }
        rig.check();
    }
    panic!("it got everything");
}

#[test]
fn memory_that_lost_its_access_keeps_its_content_and_cannot_be_had_by_system_calls() {
    let mut rig = rig();
    let at = address(map(&mut rig, 0, pages(2), RW, ANONYMOUS));
    rig.put_words(at, &[42]);
    assert_eq!(rig.call(MPROTECT, &[at, pages(2), NONE]), 0);
    rig.check();
    let mut limits = watch(u64::MAX);
    assert!(matches!(rig.kernel(&mut limits).read_words::<1>(at), Err(Refusal::Errno(Errno::FAULT))));
    assert_eq!(rig.call(1, &[1, at, 8]), failed(Errno::FAULT));
    assert_eq!(rig.call(MREMAP, &[at, pages(2), pages(2), 3, FREE]), FREE.cast_signed());
    rig.check();
    assert_eq!(rig.call(MPROTECT, &[FREE, pages(2), READ]), 0);
    assert_eq!(rig.word(FREE), 42);
    rig.check();
}

#[test]
fn mremap_refuses_what_linux_refuses() {
    let mut rig = rig();
    let at = address(map(&mut rig, FREE, pages(4), RW, FIXED));
    for (arguments, errno) in [
        ([at + 1, pages(1), pages(2), 1, 0], Errno::INVAL),
        ([at, pages(1), 0, 1, 0], Errno::INVAL),
        ([at, 0, pages(1), 1, 0], Errno::INVAL),
        ([at, pages(1), pages(1), 2, FREE + pages(9)], Errno::INVAL),
        ([at, pages(1), pages(1), 8, 0], Errno::INVAL),
        ([at, pages(4), pages(4), 3, at + pages(2)], Errno::INVAL),
        ([at, pages(1), pages(1), 3, at + 1], Errno::INVAL),
        ([at, pages(5), pages(6), 1, 0], Errno::FAULT),
        ([FREE - pages(9), pages(1), pages(1), 1, 0], Errno::FAULT),
        ([at, pages(1), u64::MAX, 1, 0], Errno::INVAL),
        ([at, pages(2), pages(3), 0, 0], Errno::NOMEM),
        ([at, pages(4), 1 << 46, 1, 0], Errno::NOMEM),
    ] {
        assert_eq!(rig.call(MREMAP, &arguments), failed(errno), "{arguments:x?}");
        rig.check();
    }
    assert_eq!(rig.call(MREMAP, &[at, pages(4), pages(6), 0, 0]), at.cast_signed());
    assert_eq!(rig.call(MREMAP, &[at, pages(6), pages(1), 0, 0]), at.cast_signed());
    rig.check();
}

#[test]
fn the_heap_and_mappings_stay_out_of_each_others_way() {
    let mut rig = rig();
    let start = address(rig.call(BRK, &[0]));
    assert_eq!(rig.call(BRK, &[start + pages(4) + 1]), (start + pages(4) + 1).cast_signed());
    assert_eq!(map(&mut rig, start + pages(6), PAGE_SIZE, RW, FIXED | NOREPLACE), (start + pages(6)).cast_signed());
    // It would grow over the mapping, below its start, out of the payload's half, or around the end of numbers.
    for to in [start + pages(8), start - 1, USER_END, u64::MAX, u64::MAX - PAGE_SIZE, 1 << 63] {
        assert_eq!(rig.call(BRK, &[to]), (start + pages(4) + 1).cast_signed(), "{to:#x}");
        rig.check();
    }
    assert_eq!(map(&mut rig, start + pages(2), PAGE_SIZE, RW, FIXED | NOREPLACE), failed(Errno::EXIST));
    // A hole in the heap is the program's own doing, and so is what it puts there.
    assert_eq!(rig.call(MUNMAP, &[start + pages(1), PAGE_SIZE]), 0);
    assert_eq!(map(&mut rig, start + pages(1), PAGE_SIZE, READ, FIXED), (start + pages(1)).cast_signed());
    assert_eq!(rig.call(BRK, &[start]), start.cast_signed());
    rig.check();
    assert_eq!(rig.call(BRK, &[start + pages(3)]), (start + pages(3)).cast_signed());
    rig.check();
}

#[test]
fn nothing_can_be_mapped_outside_the_payloads_half() {
    let mut rig = rig();
    for (at, errno) in [
        (0, Errno::PERM),
        (USER_START - PAGE_SIZE, Errno::PERM),
        (USER_END, Errno::NOMEM),
        (layout::CALL_GATE, Errno::NOMEM),
        (layout::KERNEL_VIRTUAL, Errno::NOMEM),
        (layout::TABLES_VIRTUAL, Errno::NOMEM),
        (u64::MAX - PAGE_SIZE + 1, Errno::NOMEM),
        (FREE + 1, Errno::INVAL),
    ] {
        assert_eq!(map(&mut rig, at, pages(1), RW, FIXED), failed(errno), "{at:#x}");
    }
    for call in [MUNMAP, MPROTECT, MADVISE] {
        for at in [layout::CALL_GATE, layout::KERNEL_VIRTUAL, USER_END - PAGE_SIZE] {
            let third = if call == MADVISE { DONTNEED } else { RW };
            assert!(rig.call(call, &[at, pages(2), third]) < 0, "{call} {at:#x}");
        }
    }
    rig.check();
}

/// Offsets in the frame that `rt_sigreturn` takes, from RSP minus eight.
mod frame {
    pub(super) const CONTEXT: u64 = 8 + 40;
    pub(super) const RSP: u64 = CONTEXT + 15 * 8;
    pub(super) const RIP: u64 = CONTEXT + 16 * 8;
    pub(super) const FLAGS: u64 = CONTEXT + 17 * 8;
    pub(super) const STATE: u64 = CONTEXT + 23 * 8;
    pub(super) const MASK: u64 = CONTEXT + 32 * 8;
}

/// A program in the handler of a signal that it sent itself, and where its frame is.
fn in_handler() -> (Rig, u64) {
    let mut rig = rig();
    let registers = Registers { rsp: memory::STACK_TOP - 8192, rip: TEXT + 0xf2, ..*rig.machine.registers() };
    rig.machine.set_registers(&registers).unwrap();
    rig.put_words(DATA, &[TEXT + 0x10, 0x0400_0004, TEXT + 0x20, 0]);
    assert_eq!(rig.call(SIGACTION, &[10, DATA, 0, 8]), 0);
    rig.call(TGKILL, &[identity::PROCESS, identity::PROCESS, 10]);
    let registers = *rig.machine.registers();
    assert_eq!((registers.rip, registers.rdi), (TEXT + 0x10, 10));
    assert_eq!(rig.word(registers.rsp), TEXT + 0x20);
    // The restorer was returned to.
    rig.machine.set_registers(&Registers { rsp: registers.rsp + 8, ..registers }).unwrap();
    (rig, registers.rsp)
}

fn returned(rig: &mut Rig) -> Result<Registers, End> {
    match rig.call_within(u64::MAX, SIGRETURN, &[]) {
        Ok(_) => Ok(*rig.machine.registers()),
        Err(Refusal::End(end)) => Err(end),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_returns_to_where_the_program_was() {
    let (mut rig, _) = in_handler();
    let registers = returned(&mut rig).unwrap();
    assert_eq!((registers.rip, registers.rsp, registers.rax), (TEXT + 0xf2, memory::STACK_TOP - 8192, 0));
}

#[test]
fn a_forged_frame_with_an_instruction_pointer_outside_the_payloads_half_is_a_segmentation_fault() {
    for rip in [USER_END, layout::CALL_GATE, 1 << 47, 1 << 63, layout::EDITOR, layout::RESUME, layout::STUBS, u64::MAX]
    {
        let (mut rig, frame) = in_handler();
        rig.put_words(frame + frame::RIP, &[rip]);
        assert_eq!(returned(&mut rig), Err(End::Signaled(Signal::SEGV)), "{rip:#x}");
    }
}

#[test]
fn a_forged_frame_gets_no_flag_that_a_program_cannot_have() {
    for flags in [u64::MAX, 0, 3 << 12, 1 << 17 | 3 << 12 | 1 << 19, 1 << 9] {
        let (mut rig, frame) = in_handler();
        rig.put_words(frame + frame::FLAGS, &[flags]);
        let registers = returned(&mut rig).unwrap();
        // IOPL, VM, VIF and VIP never; IF and the one that reads as one always.
        assert_eq!(registers.rflags & !0x25_4dd5, 0x202, "{flags:#x}");
        assert_eq!(registers.rflags & 0x25_4dd5, flags & 0x25_4dd5);
    }
}

#[test]
fn a_forged_frame_may_name_any_stack_pointer_and_mask() {
    for rsp in [0, 1 << 63, 1 << 47, layout::KERNEL_VIRTUAL, u64::MAX] {
        let (mut rig, frame) = in_handler();
        rig.put_words(frame + frame::RSP, &[rsp]);
        rig.put_words(frame + frame::MASK, &[u64::MAX]);
        assert_eq!(returned(&mut rig).unwrap().rsp, rsp);
        // All but SIGKILL and SIGSTOP are blocked now; a handler cannot be entered.
        assert_eq!(rig.process.signals.blocked, !(1 << 8 | 1 << 18));
        assert_eq!(rig.ends(TGKILL, &[identity::PROCESS, identity::PROCESS, 9]), End::Signaled(Signal::KILL));
    }
}

#[test]
fn a_forged_extended_state_is_one_that_the_kernel_takes() {
    let (mut rig, frame) = in_handler();
    let at = rig.word(frame + frame::STATE);
    let garbage: Vec<u8> = (0..4096_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for (magic, size) in
        [(0, 0), (0x4650_5853_u32, 832_u32), (0x4650_5853, 2696), (0x4650_5853, 4096), (0x4650_5853, 0)]
    {
        let there = address(map(&mut rig, 0, pages(1), RW, ANONYMOUS));
        rig.put(there, &garbage);
        rig.put(there + 464, &magic.to_le_bytes());
        rig.put(there + 464 + 16, &size.to_le_bytes());
        rig.put_words(frame + frame::STATE, &[there]);
        returned(&mut rig).unwrap();
        let state: Box<[u8; XSAVE_BYTES]> = rig.machine.vcpu().extended_state().unwrap();
        let word = |offset: usize| u64::from_le_bytes(state[offset..offset + 8].try_into().unwrap());
        // MXCSR without reserved bits; no state that was never there; the rest of the header zero.
        assert_eq!(word(24) & 0xffff_0000, 0);
        assert_eq!(word(512) & !0b11, 0);
        assert!(state[520..576].iter().all(|&byte| byte == 0), "{magic:#x} {size}");
        let registers = Registers { rsp: frame + 8, ..*rig.machine.registers() };
        rig.machine.set_registers(&registers).unwrap();
    }
    // Where nothing is, it cannot be read.
    for at in [8, 1 << 63, layout::KERNEL_VIRTUAL, u64::MAX, at + pages(100_000)] {
        rig.put_words(frame + frame::STATE, &[at]);
        assert_eq!(returned(&mut rig), Err(End::Signaled(Signal::SEGV)), "{at:#x}");
    }
}

#[test]
fn a_frame_that_has_no_room_ends_the_run_and_writes_nothing_elsewhere() {
    for rsp in [0, 100, 1 << 63, layout::KERNEL_VIRTUAL + 4096, u64::MAX, TEXT + 4096, USER_END + 4096] {
        let mut rig = rig();
        rig.put_words(DATA, &[TEXT + 0x10, 0x0400_0000, TEXT, 0]);
        assert_eq!(rig.call(SIGACTION, &[10, DATA, 0, 8]), 0);
        let registers = Registers { rsp, rip: TEXT + 0xf2, ..*rig.machine.registers() };
        rig.machine.set_registers(&registers).unwrap();
        let end = rig.ends(TGKILL, &[identity::PROCESS, identity::PROCESS, 10]);
        assert_eq!(end, End::Signaled(Signal::SEGV), "{rsp:#x}");
        rig.check();
    }
}

#[test]
fn a_handler_or_restorer_in_the_kernels_half_is_never_gone_to() {
    for handler in [layout::CALL_GATE, layout::EDITOR, 1 << 63, u64::MAX, 1 << 47] {
        let mut rig = rig();
        let registers = Registers { rsp: memory::STACK_TOP - 8192, rip: TEXT, ..*rig.machine.registers() };
        rig.machine.set_registers(&registers).unwrap();
        rig.put_words(DATA, &[handler, 0x0400_0000, handler, 0]);
        assert_eq!(rig.call(SIGACTION, &[10, DATA, 0, 8]), 0);
        let end = rig.ends(TGKILL, &[identity::PROCESS, identity::PROCESS, 10]);
        assert_eq!(end, End::Signaled(Signal::SEGV), "{handler:#x}");
    }
}

#[test]
fn real_time_signals_that_pile_up_are_limited_and_their_delivery_ends_at_the_limits() {
    let mut rig = rig();
    let registers = Registers { rsp: memory::STACK_TOP - 8192, rip: TEXT, ..*rig.machine.registers() };
    rig.machine.set_registers(&registers).unwrap();
    // SA_NODEFER: each frame goes on top of the one before.
    rig.put_words(DATA, &[TEXT + 0x10, 0x4400_0000, TEXT, 0]);
    assert_eq!(rig.call(SIGACTION, &[40, DATA, 0, 8]), 0);
    rig.put_words(DATA, &[u64::MAX]);
    assert_eq!(rig.call(SIGPROCMASK, &[0, DATA, 0, 8]), 0);
    let sent = (0..5000).take_while(|_| rig.call(TGKILL, &[identity::PROCESS, identity::PROCESS, 40]) == 0).count();
    assert!(sent <= 5000);
    rig.put_words(DATA, &[0]);
    match rig.call_within(1, SIGPROCMASK, &[2, DATA, 0, 8]) {
        Err(Refusal::End(End::Limit(Limit::Wall))) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn waiting_for_what_nobody_sends_is_a_deadlock_and_not_a_wait() {
    let mut rig = rig();
    rig.put_words(DATA, &[0, 0, 0, 0]);
    assert_eq!(rig.ends(SIGSUSPEND, &[DATA, 8]), End::Deadlock);
    assert_eq!(rig.ends(FUTEX, &[DATA, 128, 0, 0]), End::Deadlock);
    assert_eq!(rig.ends(POLL, &[0, 0, u64::MAX]), End::Deadlock);
    assert_eq!(rig.ends(34, &[]), End::Deadlock);
}

#[test]
fn futex_refuses_what_linux_refuses() {
    let mut rig = rig();
    rig.put_words(DATA, &[7, 0, 1_000_000_000, u64::MAX, 0]);
    for (arguments, result) in [
        ([DATA + 1, 128, 7, 0, 0, 0], failed(Errno::INVAL)),
        ([DATA, 128, 8, 0, 0, 0], failed(Errno::AGAIN)),
        ([DATA, 128 | 9, 7, 0, 0, 0], failed(Errno::INVAL)),
        ([FREE, 128, 7, 0, 0, 0], failed(Errno::FAULT)),
        ([layout::KERNEL_VIRTUAL, 128, 7, 0, 0, 0], failed(Errno::FAULT)),
        // A nanosecond count of a whole second, and seconds before time began.
        ([DATA, 128, 7, DATA + 8, 0, 0], failed(Errno::INVAL)),
        ([DATA, 128, 7, DATA + 24, 0, 0], failed(Errno::INVAL)),
        ([DATA, 128, 7, DATA + 32, 0, 0], failed(Errno::TIMEDOUT)),
        // A point in time that has been.
        ([DATA, 128 | 9, 7, DATA + 32, 0, 1], failed(Errno::TIMEDOUT)),
        ([DATA, 128 | 9 | 256, 7, DATA + 32, 0, 1], failed(Errno::TIMEDOUT)),
        ([DATA, 1, i64::MAX as u64, 0, 0, 0], 0),
        ([DATA, 3, 0, 0, 0, 0], failed(Errno::NOSYS)),
        ([DATA, 1 << 32, 0, 0, 0, 0], failed(Errno::NOSYS)),
    ] {
        assert_eq!(rig.call(FUTEX, &arguments), result, "{arguments:x?}");
    }
}

#[test]
fn poll_of_many_descriptors_that_are_not_open_answers_each() {
    let mut rig = rig();
    let at = address(map(&mut rig, 0, pages(2), RW, ANONYMOUS));
    for index in 0..1024 {
        rig.put_words(at + index * 8, &[(index + 5) | (0xffff << 32)]);
    }
    assert_eq!(rig.call(POLL, &[at, 1024, u64::MAX]), 1024);
    assert_eq!(rig.word(at) >> 48, 0x20);
    assert_eq!(rig.call(POLL, &[at, 1025, 0]), failed(Errno::INVAL));
    assert_eq!(rig.call(POLL, &[at + pages(2) - 8, 2, 0]), failed(Errno::FAULT));
}

#[test]
fn vectors_of_enormous_length_move_what_is_there() {
    let mut rig = rig();
    let vector = |base: u64, length: u64| [base, length];
    let words: Vec<u64> = (0..4).flat_map(|_| vector(DATA + 0x1000, 0x7fff_ffff_ffff)).collect();
    rig.put_words(DATA, &words);
    rig.put(DATA + 0x800, b"/dev/null\0");
    let null = address(rig.call(2, &[DATA + 0x800, 2, 0]));
    assert_eq!(rig.call(20, &[null, DATA, 4]), 0x7fff_f000, "MAX_RW_COUNT, unread");
    assert_eq!(rig.call(20, &[1, DATA, 4]), 0x1000, "as far as memory goes");
    assert_eq!(rig.call(20, &[1, DATA, 1025]), failed(Errno::INVAL));
    rig.put_words(DATA, &[DATA, 1 << 63]);
    assert_eq!(rig.call(20, &[1, DATA, 1]), failed(Errno::INVAL));
}

#[test]
fn no_page_of_the_program_is_where_only_the_host_may_map() {
    // The gate's page cannot even be named.
    assert_eq!(Page::containing(layout::CALL_GATE), None);
    assert_eq!(Page::containing(USER_END), None);
    assert_eq!(Page::containing(USER_START - 1), None);
}

#[test]
fn a_read_of_a_silent_stdin_that_the_program_made_nonblocking_is_eagain() {
    use std::io::Write;

    use crate::linux::streams::host_file::HostFile;

    const READ_CALL: u64 = 0;
    const FCNTL: u64 = 72;
    const F_SETFL: u64 = 4;
    const O_NONBLOCK: u64 = 0o4000;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut rig = Rig::new(64);
    rig.streams.input = Input::File(HostFile::own_pipe(reader.into()).unwrap());
    assert_eq!(rig.call(FCNTL, &[0, F_SETFL, O_NONBLOCK]), 0);
    assert_eq!(rig.call(READ_CALL, &[0, DATA, 8]), failed(Errno::AGAIN));
    writer.write_all(b"now").unwrap();
    assert_eq!(rig.call(READ_CALL, &[0, DATA, 8]), 3);
    drop(writer);
    assert_eq!(rig.call(READ_CALL, &[0, DATA, 8]), 0);
}

#[test]
fn what_comes_from_stdin_goes_on_without_the_programs_memory() {
    use std::io::Write;

    use crate::linux::streams::Output;
    use crate::linux::streams::host_file::HostFile;

    const SENDFILE: u64 = 40;
    let mut rig = Rig::new(64);
    rig.streams.output = Output::Capture(Vec::new());
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    rig.streams.input = Input::Bytes { bytes: std::sync::Arc::new(bytes.clone()), position: 0 };
    assert_eq!(rig.call(SENDFILE, &[1, 0, 0, 150_000]), 150_000);
    assert_eq!(rig.call(SENDFILE, &[1, 0, 0, 1 << 40]), 50_000);
    assert_eq!(rig.call(SENDFILE, &[1, 0, 0, 1]), 0, "the end");
    assert!(matches!(&rig.streams.output, Output::Capture(written) if *written == bytes));
    assert_eq!(rig.call(SENDFILE, &[0, 0, 0, 1]), failed(Errno::BADF));
    // It takes what is there, and waits only if nothing is; a limit that strikes then has lost nothing.
    let (reader, mut writer) = std::io::pipe().unwrap();
    rig.streams.input = Input::File(HostFile::own_pipe(reader.into()).unwrap());
    writer.write_all(b"now").unwrap();
    assert_eq!(rig.call(SENDFILE, &[1, 0, 0, 8]), 3);
    assert!(matches!(rig.ends(SENDFILE, &[1, 0, 0, 8]), End::Limit(crate::Limit::Wall)));
    assert!(rig.process.waited());
}

#[test]
fn a_vectored_read_of_stdin_stops_where_a_range_stops_being_writable() {
    const READV: u64 = 19;
    let mut rig = Rig::new(64);
    rig.streams.input = Input::Bytes { bytes: std::sync::Arc::new(b"abcdef".to_vec()), position: 0 };
    // The data segment's last two bytes, and two beyond it; then a range that could be written.
    let end = DATA + 2 * PAGE_SIZE;
    rig.put_words(DATA, &[end - 2, 4, DATA + 64, 2]);
    assert_eq!(rig.call(READV, &[0, DATA, 2]), 2);
    assert_eq!(rig.word(end - 8) >> 48, u64::from(u16::from_le_bytes(*b"ab")));
    assert_eq!(rig.word(DATA + 64), 0);
}

#[test]
fn waiting_for_a_pipe_that_only_the_program_itself_could_serve_is_a_deadlock_and_not_a_wait() {
    const PIPE2: u64 = 293;
    const NONBLOCK: u64 = 0o4000;
    let with_pipe = |flags| {
        let mut rig = rig();
        assert_eq!(rig.call(PIPE2, &[DATA, flags]), 0);
        assert_eq!(rig.word(DATA), 3 | 4 << 32);
        rig
    };
    let (read, write, close) = (0, 1, 3);
    assert_eq!(with_pipe(0).ends(read, &[3, DATA, 1]), End::Deadlock);
    assert_eq!(with_pipe(NONBLOCK).call(read, &[3, DATA, 1]), failed(Errno::AGAIN));
    let mut rig = with_pipe(0);
    let half = memory::STACK_BYTES / 2;
    // As much as fits, from pages that come with being touched.
    assert_eq!(rig.call(write, &[4, memory::STACK_TOP - half, 65_536]), 65_536);
    assert_eq!(rig.ends(write, &[4, DATA, 1]), End::Deadlock);
    rig.put_words(DATA, &[4 | 4 << 32]);
    assert_eq!(rig.ends(POLL, &[DATA, 1, u64::MAX]), End::Deadlock);
    assert_eq!(rig.call(read, &[3, DATA, 100]), 100);
    // A short write comes in whole or not at all.
    assert_eq!(rig.ends(write, &[4, DATA, 101]), End::Deadlock);
    assert_eq!(rig.call(write, &[4, DATA, 100]), 100);
    assert_eq!(rig.call(close, &[4]), 0);
    assert_eq!(rig.call(read, &[3, memory::STACK_TOP - half, 100_000]), 65_536);
    assert_eq!(rig.call(read, &[3, DATA, 1]), 0, "nobody writes any more");
}
