//! No ending is ever attributed to the wrong cause: what a guest does, which limits it has, and the one ending that is right. All other limits are far away,
//! and every case runs beside all the others, on several threads, again and again.

use std::time::Duration;

use ampoule::{
    Call, CallError, CancelToken, Command, End, Limit, Limits, Overflow, Sandbox, Signal, State, TrapMeaning,
};
use ampoule_tests::{call_bytes, call_bytes_within, echoing, honest_call, program, run_hello, scale};

/// What is far away unless a case says otherwise.
fn limits() -> Limits {
    Limits::new().memory(64 << 20)
}

const SHORT: Duration = Duration::from_millis(20);

/// The one right ending.
#[derive(Debug, Clone, Copy)]
enum Right {
    Exited(i32),
    /// By a signal of this number.
    Signaled(u8),
    Limit(Limit),
    Trap(Signal, TrapMeaning),
    Deadlock,
    Cancelled,
}

impl Right {
    fn is(self, end: &End) -> bool {
        match (self, end) {
            (Self::Exited(wanted), End::Exited(status)) => wanted == *status,
            (Self::Signaled(wanted), End::Signaled(signal)) => wanted == signal.number(),
            (Self::Limit(wanted), End::Limit(limit)) => wanted == *limit,
            (Self::Trap(signal, meaning), End::Trap(trap)) => trap.signal() == signal && trap.meaning() == meaning,
            (Self::Deadlock, End::Deadlock) | (Self::Cancelled, End::Cancelled) => true,
            _ => false,
        }
    }
}

/// A guest with its arguments, what is near of its limits, and the ending.
struct Case {
    guest: &'static str,
    args: &'static [&'static str],
    near: Near,
    right: Right,
}

/// Which limit is near.
#[derive(Debug, Clone, Copy)]
enum Near {
    Nothing,
    Wall,
    Cpu,
    Output(u64),
    Memory,
    Token,
    /// A token that another run has, and that is cancelled all the time.
    AnothersToken,
}

const fn case(guest: &'static str, args: &'static [&'static str], near: Near, right: Right) -> Case {
    Case { guest, args, near, right }
}

const CASES: &[Case] = &[
    case("hello", &[], Near::Nothing, Right::Exited(0)),
    case("hello", &[], Near::Output(6), Right::Exited(0)),
    case("hello", &[], Near::Output(5), Right::Limit(Limit::Output)),
    case("hello", &[], Near::AnothersToken, Right::Exited(0)),
    // What a shell would say of a signal is still an exit.
    case("exits", &["exit", "137"], Near::Nothing, Right::Exited(137)),
    case("exits", &["exit", "124"], Near::Wall, Right::Exited(124)),
    // Nor is a signal that usually means a limit, or a kill, one.
    case("exits", &["raise", "9"], Near::Nothing, Right::Signaled(9)),
    case("exits", &["raise", "24"], Near::Nothing, Right::Signaled(24)),
    case("exits", &["raise", "25"], Near::Nothing, Right::Signaled(25)),
    case("exits", &["raise", "14"], Near::Nothing, Right::Signaled(14)),
    case("exits", &["raise", "11"], Near::Nothing, Right::Signaled(11)),
    case("exits", &["abort"], Near::Nothing, Right::Signaled(6)),
    case("endless", &["spin"], Near::Wall, Right::Limit(Limit::Wall)),
    case("endless", &["spin"], Near::Cpu, Right::Limit(Limit::Cpu)),
    case("endless", &["syscall"], Near::Wall, Right::Limit(Limit::Wall)),
    case("endless", &["syscall"], Near::Cpu, Right::Limit(Limit::Cpu)),
    case("endless", &["fault"], Near::Cpu, Right::Limit(Limit::Cpu)),
    case("endless", &["sleep"], Near::Wall, Right::Limit(Limit::Wall)),
    case("endless", &["sleep"], Near::Token, Right::Cancelled),
    case("endless", &["spin"], Near::Token, Right::Cancelled),
    case("endless", &["futex"], Near::Nothing, Right::Deadlock),
    case("endless", &["wait for a signal"], Near::Nothing, Right::Deadlock),
    case("endless", &["write"], Near::Output(10_000), Right::Limit(Limit::Output)),
    case("endless", &["write errors"], Near::Output(10_000), Right::Limit(Limit::Output)),
    // No access failed: there was no room for another signal's frame.
    case("endless", &["signals in signals"], Near::Nothing, Right::Signaled(11)),
    case("hungry", &["touch"], Near::Memory, Right::Limit(Limit::Memory)),
    // What it is refused it can survive: no limit ended it.
    case("hungry", &["map"], Near::Memory, Right::Exited(0)),
    case("memory", &["write null"], Near::Nothing, Right::Trap(Signal::SEGV, TrapMeaning::NullDereference)),
    case("memory", &["recurse"], Near::Nothing, Right::Trap(Signal::SEGV, TrapMeaning::StackOverflow)),
    case("memory", &["write text"], Near::Nothing, Right::Trap(Signal::SEGV, TrapMeaning::WriteToReadOnly)),
    case("memory", &["read kernel"], Near::Nothing, Right::Trap(Signal::SEGV, TrapMeaning::KernelAddress)),
    case("instructions", &["ud2"], Near::Nothing, Right::Trap(Signal::ILL, TrapMeaning::IllegalInstruction)),
    case("instructions", &["divide-by-zero"], Near::Nothing, Right::Trap(Signal::FPE, TrapMeaning::DivideError)),
    case("instructions", &["int3"], Near::Nothing, Right::Trap(Signal::TRAP, TrapMeaning::Breakpoint)),
    case("instructions", &["hlt"], Near::Nothing, Right::Trap(Signal::SEGV, TrapMeaning::Privileged)),
];

impl Case {
    fn call(&self, anothers: &CancelToken) -> Call {
        let call = honest_call();
        match self.near {
            // Near enough to be looked at, too far to strike.
            Near::Wall if matches!(self.right, Right::Exited(_)) => call.wall(Duration::from_secs(30)),
            Near::Wall => call.wall(SHORT),
            Near::Cpu => call.cpu(SHORT),
            Near::Output(bytes) => call.output(bytes),
            Near::Token => {
                let token = CancelToken::new();
                token.cancel();
                call.cancel(&token)
            }
            Near::AnothersToken => {
                anothers.cancel();
                call.cancel(&CancelToken::new())
            }
            Near::Nothing | Near::Memory => call,
        }
    }

    fn ends_as_it_should(&self, anothers: &CancelToken) {
        let program = program(self.guest);
        let limits = if matches!(self.near, Near::Memory) { Limits::new().memory(24 << 20) } else { limits() };
        let output = Command::new(&program).args(self.args).limits(limits).call(self.call(anothers)).output();
        let end = output.unwrap_or_else(|error| panic!("{} {:?}: {error}", self.guest, self.args)).end;
        assert!(
            self.right.is(&end),
            "{} {:?} with {:?} near: {:?}, not {end:?}",
            self.guest,
            self.args,
            self.near,
            self.right
        );
    }
}

#[test]
fn every_ending_has_its_own_cause_and_no_other_whatever_else_runs() {
    const THREADS: usize = 4;
    let anothers = CancelToken::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let anothers = &anothers;
            scope.spawn(move || {
                for round in 0..scale(1) * CASES.len() {
                    // Each in another order, so that every case meets every other.
                    CASES[(round * (2 * thread + 1) + thread) % CASES.len()].ends_as_it_should(anothers);
                }
            });
        }
    });
    run_hello();
}

#[test]
fn every_ending_of_a_call_has_its_own_cause_and_no_other() {
    let hostile = program("hostile_accesses");
    let make = || {
        let builder = Sandbox::builder(&hostile, &echoing()).limits(limits()).call(honest_call());
        builder.events(4, Overflow::Stop).0.build(()).expect("a sandbox")
    };
    for _ in 0..scale(2) {
        let ends = |name: &str, call: &Call| {
            let mut plugin = make();
            match call_bytes_within(&mut plugin, "misbehave", name.as_bytes(), call) {
                Err(CallError::Ended(end)) => (end, plugin.state()),
                other => panic!("{name}: {other:?}"),
            }
        };
        let (end, state) = ends("silence", &honest_call().wall(SHORT));
        assert_eq!((end, state), (End::Limit(Limit::Wall), State::Stopped));
        assert_eq!(ends("silence", &honest_call().cpu(SHORT)).0, End::Limit(Limit::Cpu));
        assert_eq!(ends("import forever", &honest_call().host_calls(100)).0, End::Limit(Limit::HostCalls));
        assert_eq!(ends("event flood", &honest_call()).0, End::Limit(Limit::Events));
        assert_eq!(ends("leave", &honest_call()), (End::Exited(3), State::Ended));
        assert_eq!(ends("die", &honest_call()).0, End::Signaled(Signal::KILL));
        assert!(matches!(ends("info store", &honest_call()).0, End::Trap(_)));
        let token = CancelToken::new();
        token.cancel();
        assert_eq!(ends("silence", &honest_call().cancel(&token)).0, End::Cancelled);
    }
    let mut plugin = make();
    assert!(call_bytes(&mut plugin, "no such function", b"").is_err());
    assert_eq!(plugin.state(), State::Ready, "what was never called ended nothing");
}
