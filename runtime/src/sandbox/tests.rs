//! What every exit comes to, on a fake vCPU; and a whole life with each kernel call failing in turn, on a real one.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ampoule_kernel::{abi, layout};

use super::super::course::{Lent, begin_in};
use super::super::entry;
use super::super::run_task::RunTask;
use super::*;
use crate::linux::streams::{Input, Output};
use crate::machine::probe::HostProbe;
use crate::machine::shells::set_max_idle_machines;
use crate::trap::TrapCause;
use crate::vm::error::HostError;
use crate::vm::exit::Exit;
use crate::vm::exit::ExitKind;
use crate::vm::fake::{FakeVcpu, Step};
use crate::vm::seam::{HostCall, fault};
use crate::vm::vcpu::Registers;

/// xor edi, edi; mov eax, 231; syscall: exit_group(0) behind the smallest ELF header.
fn program() -> Program {
    let words: [u64; 17] = [
        0x0001_0102_464c_457f,
        0,
        0x0000_0001_003e_0002,
        0x40_0078,
        0x40,
        0,
        0x0038_0040_0000_0000,
        0x0000_0000_0000_0001,
        0x0000_0005_0000_0001,
        0,
        0x40_0000,
        0x40_0000,
        136,
        136,
        0x1000,
        0,
        0,
    ];
    let mut bytes = words.map(u64::to_le_bytes).concat();
    bytes.splice(0x78..0x81, [0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    Program::from_bytes(bytes).unwrap()
}

fn job() -> Job {
    Job {
        program: program(),
        arguments: vec![b"tiny".to_vec()],
        environment: Vec::new(),
        files: Vec::new(),
        limits: Limits::new(),
        call: Call::new(),
        doorbell: Doorbell::Port,
        sources: Sources::Real,
        kill: None,
        from: None,
        keeps_state: false,
    }
}

fn streams() -> Streams {
    Streams::new(Input::Empty, Output::Capture(Vec::new()), Output::Discard, 1 << 20)
}

/// Runs the program on a fake that takes these steps.
fn play(steps: Vec<Step>) -> Result<Outcome, RunError> {
    let job = job();
    let mut watch = Watch::begin(budget(&job))?;
    let mut machine = Machine::fake(Box::new(FakeVcpu::new(steps)), job.limits.pages())?;
    let loaded = match entry::load_into(&mut machine, &job, &mut watch) {
        Ok(loaded) => loaded,
        Err(not_started) => panic!("{not_started:?}"),
    };
    let (lent, mut streams) = (Lent { machine: Some(machine), fittings: None }, streams());
    let stage = begin_in(&job, lent, &loaded, Features::default(), &mut streams, &mut watch)?;
    let mut course = Course { stage, meter: Meter::default(), used: Used::default() };
    match course.go_on(&job, &mut streams, &mut watch, Nanos::MAX, &mut |_, _| Ok(()))? {
        Pass::Over(outcome) => Ok(*outcome),
        Pass::Later(parked) => panic!("{parked:?}"),
    }
}

fn stop(exit: Exit) -> Step {
    Step { change: Box::new(|_| {}), posted: Vec::new(), exit }
}

const DOORBELL: Exit = Exit::PortOut { port: abi::SYSCALL_PORT as u16, size: 1, count: 1 };

/// A system call through the CPL3 gate.
fn syscall(number: u64, arguments: [u64; 3]) -> Step {
    let [rdi, rsi, rdx] = arguments;
    Step {
        posted: Vec::new(),
        change: Box::new(move |registers| {
            let rip = layout::CALL_GATE + layout::OUT_BYTES;
            *registers = Registers { rax: number, rdi, rsi, rdx, rcx: 0x40_0080, rip, ..*registers };
        }),
        exit: DOORBELL,
    }
}

const EXIT_GROUP: u64 = 231;

#[test]
fn io_at_the_gate_is_a_system_call() {
    assert_eq!(play(vec![syscall(EXIT_GROUP, [7, 0, 0])]).unwrap().end, End::Exited(7));
}

#[test]
fn io_anywhere_else_is_the_payloads_own_and_a_general_protection_fault() {
    for exit in [
        DOORBELL,
        Exit::PortIn { port: u16::from(abi::SYSCALL_PORT), size: 1, count: 1 },
        Exit::PortOut { port: u16::from(abi::SYSCALL_PORT), size: 1, count: 4096 },
    ] {
        let End::Trap(trap) = play(vec![stop(exit)]).unwrap().end else { panic!("{exit}") };
        assert_eq!(trap.vector(), Some(13), "{exit}");
    }
}

#[test]
fn io_on_a_port_that_is_closed_to_payloads_is_the_hosts_failure() {
    for port in [0, 0x80, u16::from(abi::PROBE_PORT), u16::MAX] {
        let exit = Exit::PortOut { port, size: 1, count: 1 };
        assert!(matches!(play(vec![stop(exit)]), Err(RunError::Host(HostError::Broken { .. }))), "{port}");
    }
}

#[test]
fn a_trap_doorbell_that_no_stub_rang_is_the_hosts_failure() {
    let exit = Exit::PortOut { port: u16::from(abi::TRAP_PORT), size: 1, count: 1 };
    assert!(matches!(play(vec![stop(exit)]), Err(RunError::Host(HostError::Broken { .. }))));
}

#[test]
fn a_hypercall_where_that_doorbell_was_not_chosen_is_the_hosts_failure() {
    for number in [0, u64::from(abi::HYPERCALL_NUMBER), u64::MAX] {
        for rip in [0x40_0000, layout::VMCALL_GATE, layout::CALL_GATE] {
            let step = Step {
                change: Box::new(move |registers| registers.rip = rip),
                posted: Vec::new(),
                exit: Exit::Hypercall { number },
            };
            assert!(matches!(play(vec![step]), Err(RunError::Host(HostError::Broken { .. }))), "{number}, {rip:#x}");
        }
    }
}

#[test]
fn shutdown_is_a_trap() {
    let End::Trap(trap) = play(vec![stop(Exit::Shutdown)]).unwrap().end else { panic!() };
    assert_eq!(trap.cause(), TrapCause::Shutdown);
}

#[test]
fn internal_error_is_a_trap_with_its_suberror() {
    let exit = Exit::InternalError { suberror: 1, data: [1, 2, 3, 4] };
    let End::Trap(trap) = play(vec![stop(exit)]).unwrap().end else { panic!() };
    assert_eq!(trap.cause(), TrapCause::Emulation { suberror: 1 });
}

#[test]
fn mmio_hlt_fail_entry_memory_fault_efault_and_ehwpoison_are_the_hosts_failure_and_say_so() {
    for (exit, name) in [
        (Exit::MmioRead { address: 1, len: 8 }, "KVM_EXIT_MMIO"),
        (Exit::MmioWrite { address: 1, len: 8, data: [0; 8] }, "KVM_EXIT_MMIO"),
        (Exit::Halt, "KVM_EXIT_HLT"),
        (Exit::FailEntry { reason: 0x8000_0021, cpu: 3 }, "KVM_EXIT_FAIL_ENTRY"),
        (Exit::MemoryFault, "EFAULT"),
        (Exit::HardwarePoison, "EHWPOISON"),
    ] {
        match play(vec![stop(exit)]) {
            Err(RunError::Host(HostError::Broken { exit })) => assert!(exit.contains(name), "{exit}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn exits_that_ampoule_never_asks_for_and_those_of_other_architectures_are_the_hosts_failure() {
    for reason in 0..64 {
        assert!(
            matches!(play(vec![stop(Exit::Other { reason })]), Err(RunError::Host(HostError::Broken { .. }))),
            "exit reason {reason}"
        );
    }
}

#[test]
fn intr_by_somebody_elses_signal_changes_nothing() {
    let steps = vec![stop(Exit::Interrupted), stop(Exit::Interrupted), syscall(EXIT_GROUP, [3, 0, 0])];
    let outcome = play(steps).unwrap();
    assert_eq!(outcome.end, End::Exited(3));
    assert_eq!(outcome.stats.exits.get(&ExitKind::Interrupted), Some(&2));
}

#[test]
fn a_system_call_that_nobody_serves_is_counted_and_visible() {
    let outcome = play(vec![syscall(500, [0; 3]), syscall(u64::MAX, [0; 3]), syscall(EXIT_GROUP, [0; 3])]).unwrap();
    let unknown: Vec<_> =
        outcome.stats.syscalls.iter().filter(|call| call.unknown).map(|call| call.name.as_str()).collect();
    assert_eq!(unknown, ["500", "512 and above"]);
}

/// Descriptors and mappings of this process.
fn holdings() -> [usize; 2] {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mappings = std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter(|line| line.contains(" rw-p 00000000 00:00 0 "))
        .count();
    [descriptors, mappings]
}

/// Fails the nth kernel call of a whole life, for every n. In a process of its own, whose descriptors and mappings nobody else changes.
#[test]
fn a_life_in_which_any_kernel_call_fails_ends_in_a_typed_error_and_leaks_nothing() {
    const NAME: &str =
        "sandbox::run::tests::a_life_in_which_any_kernel_call_fails_ends_in_a_typed_error_and_leaks_nothing";
    const ALONE: &str = "AMPOULE_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--test-threads=1", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(
            alone.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&alone.stderr)
        );
        return;
    }
    HostProbe::get().unwrap();
    let life = || run(&job(), &mut streams(), |_, _| Ok(()));
    let as_a_task = || {
        let mut task = RunTask::new(job(), streams(), |_: &mut Streams, _: &mut Watch| Ok(()))?;
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())) {
                return outcome;
            }
        }
    };
    // Each life in a new machine; and then in the one that the life before it left behind.
    for max_idle in [0, 1] {
        set_max_idle_machines(max_idle);
        assert_eq!(life().unwrap().end, End::Exited(0));
        let (_, calls) = fault::with_nth_failing(None, libc::EIO, || life().unwrap());
        if max_idle == 0 {
            assert!(calls.contains(&HostCall::CreateVm) && calls.len() <= 100, "{calls:?}");
        } else {
            assert_eq!(calls, [HostCall::SignalMask, HostCall::GetDirtyLog, HostCall::Run]);
        }
        every_call_fails_once(&calls, life);
        every_call_fails_once(&calls, as_a_task);
    }
}

fn every_call_fails_once(calls: &[HostCall], life: impl Fn() -> Result<Outcome, RunError>) {
    let before = holdings();
    for nth in 0..calls.len() {
        let (result, made) = fault::with_nth_failing(Some(nth), libc::EIO, &life);
        // Where a timer has to be armed anew depends on the time: it need not be the call that it was. None, if this life made fewer.
        let Some(call) = made.get(nth) else { continue };
        match result {
            Err(RunError::Host(HostError::Call { call: failed, source })) => {
                assert_eq!((failed, source.raw_os_error()), (*call, Some(libc::EIO)), "call {nth}");
            }
            // Disarming a timer that cannot be disarmed: the run was over.
            Ok(outcome) => assert_eq!(outcome.end, End::Exited(0), "call {nth}, {call}"),
            Err(other) => panic!("call {nth}, {call}: {other}"),
        }
        // A machine in which something failed is gone; the next life has another.
        assert_eq!(life().unwrap().end, End::Exited(0), "after call {nth}, {call}, failed");
        assert_eq!(holdings(), before, "after call {nth}, {call}, failed");
    }
}
