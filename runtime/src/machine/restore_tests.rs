//! That a restore leaves nothing of what its machine was: each test makes a machine what a state says after something hostile ran in it, and
//! compares with a machine that never was anything else.

#![allow(unsafe_code, reason = "an extern block is the only way to name assembled bytes; its statics are safe to read")]

use ampoule_kernel::{abi, layout};

use super::boot::{Doorbell, Gate};
use super::event::{Event, Exception};
use super::paging::Access;
use super::probe::{HostProbe, map_page};
use super::restore::MachineState;
use super::{Machine, Stopped, TRAP_FLAG};
use crate::vm::device::Device;
use crate::vm::memory::PAGE_BYTES;
use crate::vm::report::Report;
use crate::vm::vcpu::Registers;
use crate::vm::watch::{Budget, Watch};

const PAGES: u64 = 64;
const CODE: u64 = layout::USER_START;
const DATA: u64 = layout::USER_START + 16 * layout::PAGE_SIZE;
/// What hostile programs leave wherever they can.
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;

/// Names pieces of code, each assembled into 256 bytes at most.
macro_rules! code {
    ($($name:ident: $($line:literal)+;)+) => {
        $(
            core::arch::global_asm!(
                ".pushsection .rodata.ampoule_restore_tests, \"a\", @progbits",
                concat!(".globl ampoule_restore_test_", stringify!($name)),
                concat!("ampoule_restore_test_", stringify!($name), ":"),
                "# {data} {secret} {events} {gate} {port}",
                "77:",
                $($line,)+
                "2: jmp 2b",
                ".org 77b + 256, 0xf4",
                ".popsection",
                data = const DATA,
                secret = const SECRET,
                events = const layout::EVENTS,
                gate = const layout::RESTORE_GATE,
                port = const abi::SYSCALL_PORT,
            );
            #[allow(non_upper_case_globals, reason = "named like what it assembles")]
            fn $name() -> &'static [u8; 256] {
                // SAFETY: the symbol is defined above, followed by exactly 256 initialised bytes of read-only data.
                unsafe extern "C" {
                    #[link_name = concat!("ampoule_restore_test_", stringify!($name))]
                    safe static BYTES: [u8; 256];
                }
                &BYTES
            }
        )+
    };
}

code! {
    // Writes to its data and calls, again and again.
    victim: "mov rdi, {data}" "3: add qword ptr [rdi + 8], 1" "mov rcx, fs:[0]" "syscall" "jmp 3b";
    // All flags that a payload can set but TF, all of x87 and SSE, pending exceptions included.
    floods: "mov rax, {secret}" "movq xmm0, rax" "punpcklqdq xmm0, xmm0"
        "movdqa xmm1, xmm0" "movdqa xmm2, xmm0" "movdqa xmm3, xmm0" "movdqa xmm4, xmm0" "movdqa xmm5, xmm0" "movdqa xmm6, xmm0"
        "movdqa xmm7, xmm0" "movdqa xmm8, xmm0" "movdqa xmm9, xmm0" "movdqa xmm10, xmm0" "movdqa xmm11, xmm0" "movdqa xmm12, xmm0"
        "movdqa xmm13, xmm0" "movdqa xmm14, xmm0" "movdqa xmm15, xmm0"
        "mov rdi, {data}" "movdqa [rdi], xmm0" "mov dword ptr [rdi + 16], 0x0000ffbf" "ldmxcsr [rdi + 16]"
        "fld qword ptr [rdi]" "fldpi" "fldl2e" "fldlg2" "fldz" "fld1" "fldpi" "fldpi" "fldpi"
        "mov word ptr [rdi + 16], 0x0f40" "fldcw [rdi + 16]"
        "mov rbx, rax" "mov rdx, rax" "mov rsi, rax" "mov rbp, rax" "mov r8, rax" "mov r9, rax" "mov r10, rax" "mov r12, rax"
        "mov r13, rax" "mov r14, rax" "mov r15, rax" "lea rsp, [rdi + 2048]" "push 0x244ed7" "popfq" "mov rsp, rax" "syscall";
    // No address for a stack.
    has_no_stack: "mov rsp, {secret}" "xor eax, eax" "syscall";
    // Selectors and bases.
    selects: "mov eax, 0x2b" "mov ds, eax" "mov es, eax" "mov fs, eax" "mov eax, 3" "mov gs, eax"
        "mov rax, {secret}" "shr rax, 17" "wrfsbase rax" "wrgsbase rax" "syscall";
    // A trap of its own at every step.
    steps: "mov rdi, {data}" "lea rsp, [rdi + 2048]" "push 0x102" "popfq" "nop" "nop" "nop";
    faults: "mov rdi, {secret}" "shr rdi, 17" "mov [rdi], rdi";
    breaks: "int3";
    undefined: "ud2";
    // Reads from a port, once and in a string; the same for the event page, in one piece, two, and more.
    reads_port: "mov eax, -1" "in al, {port}" "syscall";
    reads_port_string: "mov edx, {port}" "mov rdi, {data}" "mov ecx, 3000" "rep insb" "syscall";
    writes_port_string: "mov edx, {port}" "mov rsi, {data}" "mov ecx, 3000" "rep outsb" "syscall";
    reads_event: "mov rax, {events}" "mov rax, [rax]" "syscall";
    reads_event_in_pieces: "mov rax, {events}" "movups xmm0, [rax]" "syscall";
    reads_event_string: "mov rsi, {events}" "mov rdi, {data}" "mov ecx, 64" "rep movsb" "syscall";
    writes_events: "mov rax, {events}" "3: movups [rax], xmm0" "jmp 3b";
    spins: "mov rdi, {data}" "3: inc qword ptr [rdi]" "jmp 3b";
    jumps_into_the_gate: "mov rax, {gate}" "jmp rax";
    jumps_behind_the_gate: "mov rax, {gate}" "add rax, 0xff" "jmp rax";
    // Says whether its words are what it wrote: RAX.
    remembers: "mov rdi, {data}" "mov rax, {secret}" "mov rbx, rax" "mov rsi, rax" "mov rdx, 7" "wrfsbase rdi" "movq xmm5, rax" "syscall"
        "movq rdx, xmm5" "mov r12, rdi" "mov r13, rsi" "rdfsbase r14" "syscall";
}

fn new(code: &[u8]) -> Machine {
    with_code(empty(), code)
}

/// The same with tables in other places, so that a restore into it writes them anew.
fn elsewhere(code: &[u8]) -> Machine {
    let mut machine = empty();
    map_page(&mut machine, CODE << 20, Access::READ_WRITE, &[]).unwrap();
    with_code(machine, code)
}

fn empty() -> Machine {
    let (device, probe) = (Device::get().unwrap(), HostProbe::get().unwrap());
    let mut machine = Machine::new(device, probe, Doorbell::Port, PAGES).unwrap();
    machine.open_events(device).unwrap();
    machine.attach(!0).unwrap();
    machine
}

fn with_code(machine: Machine, code: &[u8]) -> Machine {
    let mut machine = machine;
    map_page(&mut machine, CODE, Access { read: true, write: false, execute: true }, code).unwrap();
    map_page(&mut machine, DATA, Access::READ_WRITE, &[]).unwrap();
    let registers = Registers { rip: CODE, ..*machine.registers() };
    machine.set_registers(&registers).unwrap();
    machine
}

/// A machine with such a program, stopped at its first event, and that event.
fn stopped(code: &[u8]) -> (Machine, Event) {
    let mut machine = new(code);
    let event = machine.run().unwrap();
    (machine, event)
}

/// Goes on until a timer ends it, however often it stops before.
fn interrupted(machine: &mut Machine, microseconds: u64) {
    let nanos = microseconds * 1000;
    let mut watch = Watch::begin(Budget {
        wall: nanos,
        cpu: u64::MAX / 4,
        cancel: [None, None],
        nudge: None,
        pipes: true,
        tick: None,
        slice: None,
    })
    .unwrap();
    machine.attach(watch.mask_inside()).unwrap();
    while watch.enter().is_ok() {
        if machine.run().unwrap() == Event::Interrupted && watch.interrupted().is_err() {
            break;
        }
    }
    drop(watch);
    machine.attach(!0).unwrap();
}

/// The state of the victim at its second call: something is in its memory.
fn victim_state() -> MachineState {
    let (mut machine, event) = stopped(victim());
    // FS has no base yet, so that it faults there; it has now.
    assert!(matches!(event, Event::Exception(_)), "{event:?}");
    let mut state = machine.save().unwrap();
    state.set_bases([DATA, 0x1234_5000]);
    machine.restore(&state).unwrap();
    assert_eq!(machine.run().unwrap(), Event::Syscall);
    machine.save().unwrap()
}

/// All that a program could see, or that decides what it sees, of a machine at an event.
#[derive(PartialEq)]
struct Seen {
    event: Event,
    user: Registers,
    vcpu: Report,
    /// The whole slot of the payload's memory.
    memory: Vec<u8>,
    /// The pages that the host maps for it, the code aside.
    info: Vec<u8>,
    restored: Vec<u8>,
    /// The mirror of the page tables, and what the tables themselves map: address, entry.
    mirror: String,
    tables: Vec<(u64, u64)>,
    frames: String,
}

fn physical(machine: &Machine, start: u64, pages: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(pages).unwrap() * PAGE_BYTES];
    machine.memory().read(start, &mut bytes).unwrap();
    bytes
}

/// The pages below `table` that are mapped, as a CPU would find them.
fn walk(machine: &Machine, table: u64, level: u32, start: u64, found: &mut Vec<(u64, u64)>) {
    let entries = physical(machine, table, 1);
    // The upper half and what the host maps are the kernel slot's.
    let lower = if level == 3 { 255 } else { 512 };
    for (index, entry) in (0..lower).zip(entries.chunks_exact(8)) {
        let entry = u64::from_le_bytes(entry.try_into().unwrap());
        let address = start + (index << (12 + 9 * level));
        match (entry & 1, level) {
            (0, _) => {}
            (_, 0) => found.push((address, entry)),
            _ => walk(machine, entry & 0x000f_ffff_ffff_f000, level - 1, address, found),
        }
    }
}

impl Seen {
    fn of(machine: &mut Machine, event: Event) -> Self {
        let mut vcpu = machine.vcpu().report().unwrap();
        // Where the tables are is nobody's business but the kernel's.
        vcpu.system.cr3 = 0;
        let mut mirror = String::new();
        let mut at = layout::USER_START;
        while let Some(page) = machine.tables.next_mapped(at, layout::USER_END) {
            mirror += &format!("{page:?} {:?}\n", machine.tables.lookup(page));
            at = page.address() + layout::PAGE_SIZE;
        }
        let mut tables = Vec::new();
        walk(machine, machine.tables.root(), 3, 0, &mut tables);
        Self {
            event,
            user: *machine.registers(),
            vcpu,
            memory: physical(machine, layout::PAYLOAD_BASE, PAGES),
            info: physical(machine, layout::kernel_physical(layout::INFO_PAGE), 1),
            restored: physical(machine, layout::kernel_physical(layout::RESTORED_EXTENDED_PAGE), 2),
            mirror,
            tables,
            frames: format!("{:?}", machine.frames),
        }
    }

    /// Restores, runs to the first event, and looks.
    fn after_restore(machine: &mut Machine, state: &MachineState) -> Self {
        machine.restore(state).unwrap();
        let event = machine.run().unwrap();
        Self::of(machine, event)
    }

    fn assert_is(&self, expected: &Self, after: &str) {
        assert_eq!(self.event, expected.event, "after {after}");
        assert_eq!(self.user, expected.user, "after {after}");
        assert_eq!(self.vcpu.general, expected.vcpu.general, "after {after}");
        assert_eq!(self.vcpu.system, expected.vcpu.system, "after {after}");
        let both = (0..).zip(self.vcpu.extended.iter().zip(&expected.vcpu.extended));
        let differing: Vec<(u32, _)> = both.filter(|(_, (ours, theirs))| ours != theirs).collect();
        assert_eq!(differing, [], "words of extended state after {after}");
        assert_eq!(self.vcpu.debug, expected.vcpu.debug, "debug registers after {after}");
        assert_eq!(self.vcpu.events, expected.vcpu.events, "after {after}");
        let both = self.vcpu.msrs.iter().zip(&expected.vcpu.msrs);
        let differing: Vec<_> = both.filter(|(ours, theirs)| ours != theirs).collect();
        assert_eq!(differing, [], "MSRs after {after}");
        assert_eq!(self.vcpu, expected.vcpu, "after {after}");
        assert!(self.memory == expected.memory, "memory after {after}");
        assert!(self.info == expected.info, "info page after {after}");
        assert!(self.restored == expected.restored, "restored state after {after}");
        assert_eq!(self.mirror, expected.mirror, "after {after}");
        assert_eq!(self.tables, expected.tables, "after {after}");
        assert_eq!(self.frames, expected.frames, "after {after}");
    }
}

/// Whatever ended a program, and where: what can be restored afterwards is what a machine is that nobody used before.
#[test]
fn after_any_hostile_program_a_restored_machine_is_one_that_nobody_used_before() {
    let state = victim_state();
    let expected = Seen::after_restore(&mut new(victim()), &state);
    assert_eq!(expected.event, Event::Syscall);
    for (name, code) in [
        ("floods", floods()),
        ("selects", selects()),
        ("steps", steps()),
        ("faults", faults()),
        ("breaks", breaks()),
        ("undefined", undefined()),
        ("reads_port", reads_port()),
        ("reads_port_string", reads_port_string()),
        ("writes_port_string", writes_port_string()),
        ("reads_event", reads_event()),
        ("reads_event_in_pieces", reads_event_in_pieces()),
        ("reads_event_string", reads_event_string()),
        ("writes_events", writes_events()),
        ("jumps_into_the_gate", jumps_into_the_gate()),
        ("jumps_behind_the_gate", jumps_behind_the_gate()),
    ] {
        let mut machine = elsewhere(code);
        machine.write_info(0, &SECRET.to_le_bytes()).unwrap();
        for round in 0..3 {
            if name == "jumps_into_the_gate" {
                interrupted(&mut machine, 1000);
            } else {
                let _ = machine.run().unwrap();
            }
            if !machine.can_be_restored() {
                break;
            }
            let seen = Seen::after_restore(&mut machine, &state);
            seen.assert_is(&expected, &format!("{name}, round {round}"));
            // The hostile one again, in the machine that was the victim's.
            let other = new(code).save().unwrap();
            machine.restore(&other).unwrap();
        }
    }
}

#[test]
fn after_a_program_was_interrupted_anywhere_a_restored_machine_is_one_that_nobody_used_before() {
    let state = victim_state();
    let expected = Seen::after_restore(&mut new(victim()), &state);
    let programs = [spins(), victim(), writes_events(), jumps_into_the_gate(), faults()];
    let hostile: Vec<_> =
        programs.iter().flat_map(|code| [new, elsewhere].map(|make| make(*code).save().unwrap())).collect();
    let mut machine = new(victim());
    for round in 0..60 {
        machine.restore(&hostile[round % hostile.len()]).unwrap();
        interrupted(&mut machine, 5 + 11 * (round as u64 % 23));
        Seen::after_restore(&mut machine, &state).assert_is(&expected, &format!("round {round}"));
    }
}

#[test]
fn a_program_that_a_signal_met_at_an_address_of_the_kernels_half_leaves_nothing() {
    let state = victim_state();
    let expected = Seen::after_restore(&mut new(victim()), &state);
    let (mut machine, _) = stopped(floods());
    machine.restore(&new(faults()).save().unwrap()).unwrap();
    let _ = machine.run().unwrap();
    machine.restore(&new(spins()).save().unwrap()).unwrap();
    interrupted(&mut machine, 2000);
    // At CPL3, about to fault: a jump there that did not get to its first fetch.
    let registers = Registers { rip: layout::STUBS + 7, ..machine.vcpu().registers() };
    machine.vcpu().set_registers(&registers);
    assert_eq!(machine.stopped, Stopped::Inside);
    let saved = machine.save().unwrap();
    assert_eq!(machine.registers().rip, registers.rip, "and it is what a snapshot has");
    drop(saved);
    Seen::after_restore(&mut machine, &state).assert_is(&expected, "a jump to the kernel's half");
}

#[test]
fn what_reads_a_device_in_the_middle_is_no_machine_to_be_used_again() {
    for code in [reads_event(), reads_event_in_pieces(), reads_event_string()] {
        let (machine, event) = stopped(code);
        assert!(matches!(event, Event::Fatal(_)), "{event:?}");
        assert!(!machine.can_be_restored());
    }
}

#[test]
fn with_the_trap_flag_set_everything_is_loaded_as_well_and_nothing_of_others_is_left_to_read() {
    let mut machine = elsewhere(remembers());
    assert_eq!(machine.run().unwrap(), Event::Syscall);
    machine.user.rflags |= TRAP_FLAG;
    let mut state = machine.save().unwrap();
    let (mut other, _) = stopped(floods());
    let flooded = other.save().unwrap();
    // The gate loads the flood, so that it is in the restored state's pages.
    other.restore(&flooded).unwrap();
    interrupted(&mut other, 1000);
    for round in 0..2 {
        other.restore(&state).unwrap();
        let event = other.run().unwrap();
        assert!(matches!(event, Event::Exception(Exception { vector: 1, .. })), "{event:?}");
        assert_eq!(other.vcpu().system_registers().unwrap().fs.base, DATA, "round {round}");
        assert_eq!(other.registers().rdx, SECRET);
        let restored = physical(&other, layout::kernel_physical(layout::RESTORED_EXTENDED_PAGE), 2);
        assert!(restored.iter().all(|&byte| byte == 0), "round {round}: somebody's registers");
        state = other.save().unwrap();
    }
}

#[test]
fn a_restore_gate_that_faults_is_done_without() {
    let (mut machine, event) = stopped(remembers());
    assert_eq!(event, Event::Syscall);
    let state = machine.save().unwrap();
    let mut machine = new(victim());
    // As if the payload had forbidden itself to read: KVM derived nothing from this entry yet.
    let entry = layout::kernel_physical(layout::SHARED_PT_PAGE) + (layout::RESTORED >> 12) % 512 * 8;
    let write = |machine: &mut Machine, entry: u64, value: u64| machine.shell.memory.write_u64(entry, value).unwrap();
    for offset in [0, 8] {
        write(&mut machine, entry + offset, 0);
    }
    machine.restore(&state).unwrap();
    assert_eq!(machine.run().unwrap(), Event::Syscall);
    let registers = *machine.registers();
    assert_eq!([registers.rdx, registers.r12, registers.r13, registers.r14], [SECRET, DATA, SECRET, DATA]);
    assert!(machine.can_be_restored());
}

#[test]
fn a_jump_into_the_restore_gate_is_the_payloads_own_fault() {
    let state = new(jumps_behind_the_gate()).save().unwrap();
    let mut machine = new(victim());
    machine.restore(&state).unwrap();
    let event = machine.run().unwrap();
    assert!(matches!(event, Event::Exception(Exception { vector: 13, .. })), "{event:?}");
    assert!(machine.can_be_restored());
}

#[test]
fn a_stack_pointer_that_is_no_address_is_restored_like_any_other() {
    // There is a KVM on which the restore gate faults with it.
    let (mut machine, event) = stopped(has_no_stack());
    assert_eq!(event, Event::Syscall);
    let state = machine.save().unwrap();
    for mut machine in [machine, new(victim()), elsewhere(victim())] {
        machine.restore(&state).unwrap();
        interrupted(&mut machine, 2000);
        assert_eq!(machine.stopped, Stopped::Inside);
        assert_eq!(machine.registers().rsp, SECRET);
        assert!(machine.can_be_restored());
    }
}

#[test]
fn a_machine_in_which_a_string_of_port_reads_was_in_the_middle_is_no_machine_to_be_used_again() {
    let (machine, event) = stopped(reads_port_string());
    match HostProbe::get().unwrap().gate() {
        Gate::User => assert!(matches!(event, Event::Fatal(_)) && !machine.can_be_restored(), "{event:?}"),
        _ => assert!(matches!(event, Event::Exception(Exception { vector: 13, .. })), "{event:?}"),
    }
}
