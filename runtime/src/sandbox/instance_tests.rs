//! A sandbox's life with each kernel call failing in turn, and what a call leaves behind.

use std::sync::atomic::{AtomicBool, Ordering};

use ampoule_kernel::call;

use super::*;
use crate::channel::posted::Overflow;
use crate::error::RunError;
use crate::machine::shells::tests::with_only_new;
use crate::sandbox::error::SandboxError;
use crate::sandbox::region::Region;
use crate::vm::error::HostError;
use crate::vm::seam::{HostCall, fault};

const TABLE: &[u8] = b"export echo\n";

/// Attaches and echoes, in the smallest ELF file that can; its buffer is below the stack pointer. It writes to one page, its stack's.
pub(crate) fn echo() -> Program {
    echo_after(&[])
}

/// The same, with something to do in every call first.
fn echo_after(first: &[u8]) -> Program {
    const START: u32 = 0x40_0078;
    let code = |table: u32| {
        let mut code = Vec::new();
        let number = |number: u64| u32::try_from(number).unwrap().to_le_bytes();
        code.extend([&[0xb8][..], &number(call::ATTACH)].concat()); // mov eax, ATTACH
        code.extend([&[0xbf][..], &number(call::version(call::ABI_MAJOR, 0))].concat()); // mov edi, version
        code.extend([&[0xbe][..], &table.to_le_bytes()].concat()); // mov esi, table
        code.extend([&[0xba][..], &number(TABLE.len() as u64)].concat()); // mov edx, its length
        code.extend([0x45, 0x31, 0xd2, 0x0f, 0x05]); // xor r10d, r10d; syscall
        code.extend([0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2]); // xor edi, edi; xor esi, esi; xor edx, edx
        let serve = code.len();
        code.extend([&[0xb8][..], &number(call::NEXT)].concat()); // mov eax, NEXT
        code.extend([0x4c, 0x8d, 0x94, 0x24, 0x00, 0xfc, 0xff, 0xff]); // lea r10, [rsp - 1024]
        code.extend([0x41, 0xb9, 0x00, 0x02, 0x00, 0x00, 0x0f, 0x05]); // mov r9d, 512; syscall
        code.extend(first);
        code.extend([0x50, 0x5a, 0x4c, 0x89, 0xd6]); // push rax; pop rdx; mov rsi, r10
        code.extend([&[0xbf][..], &number(call::OUTCOME_RETURNED)].concat()); // mov edi, RETURNED
        let back = i8::try_from(serve.cast_signed() - (code.len() + 2).cast_signed()).unwrap();
        code.extend([0xeb, back.cast_unsigned()]); // jmp to NEXT
        code
    };
    let length = u32::try_from(code(0).len()).unwrap();
    let code = [code(START + length).as_slice(), TABLE].concat();
    let size = 0x78 + code.len() as u64;
    let words: [u64; 15] = [
        0x0001_0102_464c_457f,
        0,
        0x0000_0001_003e_0002,
        u64::from(START),
        0x40,
        0,
        0x0038_0040_0000_0000,
        0x0000_0000_0000_0001,
        0x0000_0005_0000_0001,
        0,
        0x40_0000,
        0x40_0000,
        size,
        size,
        0x1000,
    ];
    Program::from_bytes([words.map(u64::to_le_bytes).concat(), code].concat()).unwrap()
}

/// Makes a sandbox with everything that it can have, and calls it twice.
fn life(program: &Program, region: &Region) -> Result<(), Failure> {
    let (builder, _events) = Sandbox::builder(program, &Imports::<()>::new()).events(4, Overflow::Stop);
    let mut sandbox = builder.region("shared", region).build(())?;
    let mut reply = Vec::new();
    for message in [&b"first"[..], b"second"] {
        let result = sandbox.call_bytes("echo", message, &mut reply, &Call::new());
        let expected = if result.is_ok() { State::Ready } else { State::Poisoned };
        assert_eq!(sandbox.state(), expected, "{result:?}");
        result?;
        assert_eq!(reply, message);
    }
    Ok(())
}

#[derive(Debug)]
enum Failure {
    Making(SandboxError),
    Calling(CallError),
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::Making(error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Calling(error)
    }
}

#[test]
fn a_sandboxs_life_in_which_any_kernel_call_fails_ends_in_a_typed_error_and_the_next_is_well() {
    let (program, region) = (echo(), Region::from_bytes(b"shared").unwrap());
    life(&program, &region).unwrap();
    // The second one keeps the program as it was loaded; those after it begin there.
    life(&program, &region).unwrap();
    let failing = |nth| with_only_new(|| fault::with_nth_failing(nth, libc::EIO, || life(&program, &region)));
    let (made, calls) = failing(None);
    made.unwrap();
    assert!(calls.len() > 20, "{calls:?}");
    for nth in 0..calls.len() {
        let (result, made) = failing(Some(nth));
        // Where a timer has to be armed anew depends on the time: it need not be the call that it was. None, if this life made fewer.
        let Some(call) = made.get(nth) else { continue };
        match result {
            Err(Failure::Making(SandboxError::Run(RunError::Host(HostError::Call { call: failed, source }))))
            | Err(Failure::Calling(CallError::Host(HostError::Call { call: failed, source }))) => {
                assert_eq!((failed, source.raw_os_error()), (*call, Some(libc::EIO)), "call {nth}");
            }
            // Disarming a timer that cannot be disarmed: the run was over.
            Ok(()) => {}
            Err(other) => panic!("call {nth}, {call}: {other:?}"),
        }
        life(&program, &region).unwrap();
    }
}

/// Reads a byte from stdin.
const READ: [u8; 22] = [
    0x50, 0x31, 0xff, 0x48, 0x8d, 0xb4, 0x24, 0x00, 0xf8, 0xff,
    0xff, // push rax; xor edi, edi; lea rsi, [rsp - 2048]
    0xba, 0x01, 0x00, 0x00, 0x00, 0x31, 0xc0, 0x0f, 0x05, 0x58,
    0x90, // mov edx, 1; xor eax, eax; syscall; pop rax; nop
];

/// Somebody wanted the task to be polled.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_call_that_is_parked_while_any_kernel_call_fails_ends_in_a_typed_error_or_can_be_resumed() {
    let program = echo_after(&READ);
    let life = |nth| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let builder = Sandbox::builder(&program, &Imports::<()>::new()).stdin(reader.into());
        let (mut sandbox, call, mut reply) = (builder.build(()).unwrap(), Call::new(), Vec::new());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut task = TaskContext::from_waker(&waker);
        let (result, calls) = fault::with_nth_failing(nth, libc::EIO, || {
            let mut future = std::pin::pin!(sandbox.call_bytes_async("echo", b"x", &mut reply, &call));
            let mut has_rested = false;
            loop {
                match future.as_mut().poll(&mut task) {
                    Poll::Ready(result) => return result,
                    // It does not want to be polled again: it waits, and from now on there is something.
                    Poll::Pending if !woken.0.swap(false, Ordering::Relaxed) && !has_rested => {
                        has_rested = true;
                        std::io::Write::write_all(&mut writer, b"!").unwrap();
                    }
                    Poll::Pending => std::thread::yield_now(),
                }
            }
        });
        // For the rest of this call, and for the next.
        std::io::Write::write_all(&mut writer, b"!!").unwrap();
        let error = result.err().map(|error| (describe(&error), sandbox.state()));
        if sandbox.state() == State::Stopped {
            sandbox.resume_bytes(&mut reply, &call).unwrap();
        }
        if sandbox.state() == State::Ready {
            sandbox.call_bytes("echo", b"y", &mut reply, &call).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reply, b"y");
        }
        (error, calls)
    };
    let (error, calls) = life(None);
    assert!(error.is_none() && calls.contains(&HostCall::Duplicate), "{error:?} {calls:?}");
    let mut resumed = 0;
    for nth in 0..calls.len() {
        let (error, made) = life(Some(nth));
        let (Some((error, state)), Some(call)) = (error, made.get(nth)) else { continue };
        assert!(error.contains(call.name()) && error.contains("os error 5"), "call {nth}, {call}: {error}");
        assert!(matches!(state, State::Poisoned | State::Stopped), "call {nth}, {call}: {state}");
        resumed += u32::from(state == State::Stopped);
    }
    assert!(resumed > 0, "what the task waits with can be refused while the guest is as it was");
}

#[test]
fn a_call_is_one_exit_and_costs_no_other_kernel_call_on_the_vcpu() {
    let program = echo();
    let mut sandbox = Sandbox::new(&program, &Imports::new(), ()).unwrap();
    let (mut reply, call) = (Vec::new(), Call::new());
    sandbox.call_bytes("echo", b"warm", &mut reply, &call).unwrap();
    let (_, calls) =
        fault::with_nth_failing(None, libc::EIO, || sandbox.call_bytes("echo", b"x", &mut reply, &call).unwrap());
    let on_the_vcpu: Vec<_> = calls.iter().filter(|call| call.name().starts_with("KVM_")).collect();
    assert_eq!(on_the_vcpu, [&HostCall::Run], "{calls:?}");
    assert_eq!(sandbox.last_stats().exit_count(), 1);
}

#[test]
fn arguments_that_do_not_fit_the_guests_buffer_are_no_call_of_the_ones_that_do() {
    let mut sandbox = Sandbox::new(&echo(), &Imports::new(), ()).unwrap();
    let mut reply = Vec::new();
    // This guest knows nothing of FETCH: it answers with what the errno looks like as a length.
    let long = sandbox.call_bytes("echo", &[7; 513], &mut reply, &Call::new()).unwrap_err();
    assert!(matches!(long, CallError::TooLong { .. }), "{long:?}");
    sandbox.call_bytes("echo", &[7; 512], &mut reply, &Call::new()).unwrap();
    assert_eq!(reply, [7; 512]);
}

#[test]
fn a_sandbox_and_its_calls_go_from_thread_to_thread() {
    fn is_send<T: Send>(_: &T) {}
    let mut sandbox = Sandbox::new(&echo(), &Imports::new(), ()).unwrap();
    let mut reply = Vec::new();
    is_send(&sandbox);
    is_send(&sandbox.call_bytes_async("echo", b"x", &mut reply, &Call::new()));
    let mut sandbox = std::thread::spawn(move || {
        let mut reply = Vec::new();
        sandbox.call_bytes("echo", b"there", &mut reply, &Call::new()).unwrap();
        sandbox
    })
    .join()
    .unwrap();
    sandbox.call_bytes("echo", b"back", &mut reply, &Call::new()).unwrap();
    assert_eq!(reply, b"back");
}

/// What can be done with a snapshot, in the order of the kernel calls that it takes.
fn life_with_snapshots(program: &Program) -> Result<(), (&'static str, State, String)> {
    let mut sandbox =
        Sandbox::new(program, &Imports::new(), ()).map_err(|error| ("new", State::Poisoned, describe(&error)))?;
    let mut reply = Vec::new();
    let failed = |what, state, error: &dyn std::error::Error| Err((what, state, describe(error)));
    let snapshot = match sandbox.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return failed("snapshot", sandbox.state(), &error),
    };
    for message in [&b"first"[..], b"second"] {
        if let Err(error) = sandbox.call_bytes("echo", message, &mut reply, &Call::new()) {
            return failed("call", sandbox.state(), &error);
        }
        assert_eq!(reply, message);
        if let Err(error) = sandbox.restore(&snapshot) {
            return failed("restore", sandbox.state(), &error);
        }
    }
    if let Err(error) = sandbox.park() {
        return failed("park", sandbox.state(), &error);
    }
    let mut twin = snapshot.spawn(&Imports::new(), ()).unwrap();
    for (what, sandbox) in [("wake", &mut sandbox), ("spawn", &mut twin)] {
        let had_machine = sandbox.has_machine();
        if let Err(error) = sandbox.call_bytes("echo", b"third", &mut reply, &Call::new()) {
            let (state, woken) = (sandbox.state(), sandbox.has_machine());
            if !had_machine && !woken {
                // Nothing ran: it is as it was, and can be called.
                assert_eq!(state, State::Ready, "{what}: {error}");
                sandbox.call_bytes("echo", b"again", &mut reply, &Call::new()).unwrap();
                assert_eq!(reply, b"again");
                return failed("wake", State::Poisoned, &error);
            }
            return failed(what, state, &error);
        }
        assert_eq!(reply, b"third");
    }
    Ok(())
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn a_snapshot_restore_spawn_or_wake_in_which_any_kernel_call_fails_poisons_or_changes_nothing_and_the_next_is_well() {
    let program = echo();
    life_with_snapshots(&program).unwrap();
    // In machines that were used before, as far as there are any, and in new ones.
    for only_new in [true, false] {
        let failing = |nth| {
            let body = || fault::with_nth_failing(nth, libc::EIO, || life_with_snapshots(&program));
            if only_new { with_only_new(body) } else { body() }
        };
        let (made, calls) = failing(None);
        made.unwrap();
        for nth in 0..calls.len() {
            let (result, made) = failing(Some(nth));
            if let Err((what, state, error)) = result {
                assert_eq!(state, State::Poisoned, "call {nth} in {what}: {error}");
                let name = made.get(nth).unwrap().name();
                assert!(error.contains(name) && error.contains("os error 5"), "call {nth}, {name}, in {what}: {error}");
            }
            life_with_snapshots(&program).unwrap();
        }
    }
}
