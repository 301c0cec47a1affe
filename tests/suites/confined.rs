//! A process that has confined itself: everything still works in it, and what is not on the list is not done.
//!
//! Confinement cannot be undone, so that each scenario has a process: this executable once more, with the scenario's name.

use ampoule::confine::{Confinement, Denied};
use ampoule::{
    Call, CallError, Command, End, HostDir, Idle, Imports, Limit, Limits, Overflow, Pool, Program, ProgramError,
    Region, Sandbox, Snapshot, Stdio,
};
use ampoule_tests::{
    call_an_honest_plugin, call_bytes, echoing, honest_call, program, resume_bytes, run_hello, run_inside, sandbox,
    stop_in_the_middle, word,
};
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// How this executable is told that it is a scenario's process: this, the name, and a directory.
const FLAG: &str = "--confined";

/// How a scenario's process ends.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    KilledBy(i32),
}

/// Name, what is done in the confined process, and how that ends.
type Scenario = (&'static str, fn(&Path), Outcome);

const SCENARIOS: [Scenario; 20] = [
    ("programs run", programs, Outcome::Done),
    ("limits strike", limits, Outcome::Done),
    ("streams of every kind", streams, Outcome::Done),
    ("programs use directories of the host's", host_directories, Outcome::Done),
    ("children run on threads", children, Outcome::Done),
    ("sandboxes answer", sandboxes, Outcome::Done),
    ("live sandboxes answer", live, Outcome::Done),
    ("snapshots are restored, saved and loaded", snapshots, Outcome::Done),
    ("a pool serves several threads", pools, Outcome::Done),
    ("calls are awaited", futures, Outcome::Done),
    ("a panic is reported", panics, Outcome::Done),
    ("a thread may be confined twice", twice, Outcome::Done),
    ("files are where they were allowed, and nowhere else", paths, Outcome::Done),
    ("calls that are refused fail and the process goes on", refusals, Outcome::Done),
    ("a socket kills", sockets, Outcome::KilledBy(libc::SIGSYS)),
    ("executing kills", executing, Outcome::KilledBy(libc::SIGSYS)),
    ("a fork kills", forking, Outcome::KilledBy(libc::SIGSYS)),
    ("executable memory kills", executable_memory, Outcome::KilledBy(libc::SIGSYS)),
    ("a request that is not KVM's kills", foreign_requests, Outcome::KilledBy(libc::SIGSYS)),
    ("threads inherit the filter", inheritance, Outcome::KilledBy(libc::SIGSYS)),
];

/// If this is a scenario's process, what it does. Never returns then.
pub(crate) fn child() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(FLAG) {
        return;
    }
    let (name, directory) = (arguments.next().expect("a name"), arguments.next().expect("a directory"));
    let (_, body, _) = SCENARIOS.iter().find(|(known, ..)| *known == name).expect("a scenario");
    body(Path::new(&directory));
    std::process::exit(0);
}

/// Every scenario in a process of its own.
pub(crate) fn all() {
    for (name, _, expected) in &SCENARIOS {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = std::process::Command::new("/proc/self/exe");
        child
            .args([FLAG, name])
            .arg(directory.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let output = child.output().expect("a child");
        let ended = match output.status.signal() {
            Some(signal) => Outcome::KilledBy(signal),
            None => {
                assert!(
                    output.status.success(),
                    "{name}: {}: {}",
                    output.status,
                    String::from_utf8_lossy(&output.stderr)
                );
                Outcome::Done
            }
        };
        assert_eq!(ended, *expected, "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Confines process and thread, as much as there is.
fn confine(confinement: &Confinement) {
    let enforced = confinement.apply_to_process().expect("one thread");
    assert!(enforced.files(), "this kernel has no landlock: boot Linux 5.13 or later with landlock in lsm=");
    confinement.apply_to_this_thread().expect("a filter");
}

// ---- what works -----------------------------------------------------------------------------------------------------

fn programs(_: &Path) {
    confine(&Confinement::new());
    run_hello();
    for name in [
        "files",
        "heap",
        "maps",
        "clocks",
        "compute",
        "signals",
        "stack",
        "rust",
        "epoll",
        "eventfd",
        "pipes",
        "proc",
        "select",
        "socketpair",
        "vdso",
    ] {
        let output = run_inside(name, &[]);
        assert_eq!(output.end, End::Exited(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(matches!(run_inside("memory", &["write null"]).end, End::Trap(_)));
}

fn limits(_: &Path) {
    confine(&Confinement::new());
    let endless = program("endless");
    let short = Duration::from_millis(5);
    for (name, call, limit) in [
        ("spin", honest_call().wall(short), Limit::Wall),
        ("spin", honest_call().cpu(short), Limit::Cpu),
        ("sleep", honest_call().wall(short), Limit::Wall),
        ("write", honest_call().output(100_000), Limit::Output),
    ] {
        let output = Command::new(&endless).arg(name).call(call).output().expect("a typed ending");
        assert_eq!(output.end, End::Limit(limit), "{name}");
    }
}

fn streams(_: &Path) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("sockets that are connected");
    confine(&Confinement::new());
    let streams = program("streams");
    writer.write_all(b"through a pipe").expect("room");
    drop(writer);
    let from_a_pipe = Command::new(&streams)
        .args(["cat", "7"])
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(reader)))
        .call(honest_call())
        .output();
    assert_eq!(from_a_pipe.expect("an ending").stdout, b"through a pipe");

    let to_a_socket = Command::new(&streams)
        .args(["cat", "7"])
        .stdin(Stdio::bytes("through a socket"))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(far)))
        .call(honest_call())
        .status();
    assert_eq!(to_a_socket.expect("an ending").end, End::Exited(0));
    let mut received = String::new();
    (&near).read_to_string(&mut received).expect("what was sent");
    assert_eq!(received, "through a socket");

    let written = Command::new(&streams)
        .args(["cat", "7"])
        .stdin(Stdio::bytes("to a writer"))
        .stdout(Stdio::writer(std::io::sink()))
        .call(honest_call())
        .status();
    assert_eq!(written.expect("an ending").end, End::Exited(0));
}

fn host_directories(directory: &Path) {
    std::fs::write(directory.join("text"), "of the host's").expect("a file");
    let data = HostDir::read_write(directory).expect("a directory");
    let empty = tempfile::tempdir_in(directory).expect("a directory");
    let names = HostDir::read_write(empty.path()).expect("a directory");
    confine(&Confinement::new().allow_write(directory));
    // Every call about names, attributes and room that there is.
    let mut command = Command::new(&program("names"));
    let output = command.dir("/data", &names).current_dir("/data").call(honest_call()).output().expect("an ending");
    assert!(matches!(output.end, End::Exited(_)), "{:?}", output.end);
    let host_dirs = program("host_dirs");
    for (arguments, printed) in [
        (&["cat", "/data/text"][..], &b"of the host's"[..]),
        (&["copy", "/data/text", "/data/copy"], b""),
        (&["cat", "/data/copy"], b"of the host's"),
        (&["where"], b"/data\n"),
    ] {
        let mut command = Command::new(&host_dirs);
        command.args(arguments).dir("/data", &data).current_dir("/data").call(honest_call());
        let output = command.output().expect("an ending");
        assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), printed), "{arguments:?}");
    }
}

fn children(_: &Path) {
    confine(&Confinement::new());
    let mut child = Command::new(&program("endless"))
        .args(["read", "say"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .call(honest_call())
        .spawn()
        .expect("a child");
    let mut line = [0; 6];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("the first line");
    let stdin = child.stdin.take();
    child.kill();
    assert_eq!(child.wait().expect("a typed ending").end, End::Cancelled);
    drop(stdin);
}

fn sandboxes(_: &Path) {
    confine(&Confinement::new());
    call_an_honest_plugin();
    let region = Region::from_bytes([1; 5000]).expect("a region");
    let (builder, events) =
        Sandbox::builder(&program("plugin"), &echoing()).region("shared", &region).events(8, Overflow::Stop);
    let mut plugin = builder.build(()).expect("a sandbox");
    call_bytes(&mut plugin, "checksum", b"shared").expect("a region");
    call_bytes(&mut plugin, "events", b"8").expect("events");
    assert!(events.try_next().is_some());
    assert_eq!(call_bytes(&mut plugin, "echo", &vec![7; 1 << 20]).expect("a reply").len(), 1 << 20);

    let mut tasks = sandbox(&program("tasks"), &Imports::new());
    stop_in_the_middle(&mut tasks, "sleeps", b"100000");
    assert!(matches!(resume_bytes(&mut tasks, &Call::new().wall(Duration::from_millis(5))), Err(CallError::Ended(_))));
}

fn live(_: &Path) {
    confine(&Confinement::new());
    let plugin = Sandbox::new(&program("plugin"), &echoing(), ()).expect("a sandbox");
    let mut live = plugin.into_live(Idle::spin(Duration::from_micros(20))).expect("it serves the ring");
    for size in [0, 1, 100_000] {
        let (input, mut reply) = (vec![7; size], Vec::new());
        live.call_bytes("calls_host", &input, &mut reply, &honest_call()).expect("a reply");
        assert_eq!(reply, input);
    }
}

fn snapshots(directory: &Path) {
    confine(&Confinement::new().allow_write(directory));
    let mut states = sandbox(&program("states"), &Imports::new());
    let count = |sandbox: &mut Sandbox<()>| word(&call_bytes(sandbox, "count", b"").expect("a count")[..8]);
    let ready = states.snapshot().expect("a snapshot");
    assert_eq!((count(&mut states), count(&mut states)), (1, 2));
    states.restore(&ready).expect("it is restored");
    assert_eq!(count(&mut states), 1);
    states.park().expect("its machine is lent to others");
    let file = directory.join("states.amp");
    ready.save(&file).expect("a file");
    Region::from_file(&file).expect("what a file holds");
    let loaded = Snapshot::load(&file).expect("the same");
    let mut twin = loaded.spawn(&Imports::new(), ()).expect("a twin");
    assert_eq!(count(&mut twin), 1);
}

fn pools(_: &Path) {
    confine(&Confinement::new());
    let ready = sandbox(&program("states"), &Imports::<()>::new()).snapshot().expect("a snapshot");
    let pool = Pool::builder(&ready, &Imports::new()).warm(2).max(3).build().expect("a pool");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut taken = pool.take(()).expect("a sandbox");
                    assert_eq!(word(&call_bytes(&mut taken, "count", b"").expect("a count")[..8]), 1);
                }
            });
        }
    });
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn futures(_: &Path) {
    confine(&Confinement::new());
    let mut plugin = sandbox(&program("plugin"), &echoing());
    let (mut reply, call) = (Vec::new(), honest_call());
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    {
        let mut future = pin!(plugin.call_bytes_async("calls_host", b"awaited", &mut reply, &call));
        let mut poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
        while poll().map(|done| done.expect("a reply")).is_pending() {
            std::thread::park();
        }
    }
    assert_eq!(reply, b"awaited");
    // A guest that waits, for a time and for bytes.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let builder = Sandbox::builder(&program("waits"), &Imports::new()).stdin(reader.into());
    let mut waits = builder.build(()).expect("a sandbox");
    for (name, input) in [("waits", &b"nanosleep 5000000"[..]), ("listens", b"poll 60000")] {
        let mut future = pin!(waits.call_bytes_async(name, input, &mut reply, &call));
        let mut poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending(), "{name}");
        if name == "listens" {
            writer.write_all(b"bytes").expect("written");
        }
        while poll().map(|done| done.expect("a reply")).is_pending() {
            std::thread::park();
        }
    }
    assert!(reply.starts_with(b"bytes"));
}

fn panics(_: &Path) {
    confine(&Confinement::new());
    // With a backtrace, as far as files can be read.
    let panicked = std::panic::catch_unwind(|| panic!("on purpose"));
    assert!(panicked.is_err());
    run_hello();
}

fn twice(_: &Path) {
    let confinement = Confinement::new();
    confine(&confinement);
    confinement.apply_to_this_thread().expect("a second filter");
    std::thread::spawn(move || {
        confinement.apply_to_this_thread().expect("a third filter");
        run_hello();
    })
    .join()
    .expect("no panic");
}

// ---- what does not --------------------------------------------------------------------------------------------------

fn paths(directory: &Path) {
    let (allowed, readable, outside) =
        (directory.join("allowed"), directory.join("readable"), directory.join("outside"));
    for path in [&allowed, &readable, &outside] {
        std::fs::create_dir(path).expect("a directory");
        std::fs::write(path.join("file"), ampoule_tests::guest("hello")).expect("a file");
    }
    confine(&Confinement::new().allow_write(&allowed).allow_read(&readable));
    let denied = |result: std::io::Result<()>, what: &str| {
        let error = result.expect_err(what);
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{what}: {error}");
    };
    std::fs::write(allowed.join("new"), "content").expect("it is allowed");
    std::fs::rename(allowed.join("new"), allowed.join("newer")).expect("it is allowed");
    std::fs::remove_file(allowed.join("newer")).expect("it is allowed");
    Program::from_file(readable.join("file")).expect("it may be read");
    denied(std::fs::write(readable.join("file"), "content"), "writing what may be read");
    denied(std::fs::read(outside.join("file")).map(drop), "reading outside");
    denied(std::fs::read("/dev/zero").map(drop), "reading a device of the host's");
    denied(std::fs::rename(allowed.join("file"), outside.join("moved")), "moving something out");
    denied(std::fs::read("/dev/kvm").map(drop), "the device itself");
    let refused = Program::from_file(outside.join("file"));
    assert!(
        matches!(&refused, Err(ProgramError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied),
        "{refused:?}"
    );
    let large = Limits::new().memory(256 << 20);
    let output = Command::new(&program("hello")).limits(large).call(honest_call()).output();
    assert_eq!(output.expect("a machine that is made now").stdout, b"hello\n");
}

/// The error number of a system call that failed.
fn errno_of(result: libc::c_long) -> Option<i32> {
    let errno = std::io::Error::last_os_error().raw_os_error();
    errno.filter(|_| result == -1)
}

fn make_a_socket() -> libc::c_long {
    // SAFETY: it takes three numbers.
    unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0) }
}

fn make_memory(protection: libc::c_int) -> libc::c_long {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
    unsafe { libc::syscall(libc::SYS_mmap, 0, 4096, protection, flags, -1, 0) }
}

fn refusals(_: &Path) {
    confine(&Confinement::new().denied(Denied::Refuse).allow_system_call(libc::SYS_getppid));
    assert_eq!(errno_of(make_a_socket()), Some(libc::EPERM));
    assert_eq!(errno_of(make_memory(libc::PROT_READ | libc::PROT_EXEC)), Some(libc::EPERM));
    assert_eq!(errno_of(make_memory(libc::PROT_READ | libc::PROT_WRITE)), None);
    let spawned = std::process::Command::new("/proc/self/exe").spawn();
    assert_eq!(spawned.expect_err("no process").raw_os_error(), Some(libc::EPERM));
    // SAFETY: it takes nothing.
    let parent = unsafe { libc::syscall(libc::SYS_getppid) };
    // SAFETY: it takes three numbers.
    let priority = unsafe { libc::syscall(libc::SYS_setpriority, 0, 0, 19) };
    assert!(parent > 0, "what was added is allowed");
    assert_eq!(errno_of(priority), Some(libc::EPERM));
    run_hello();
}

fn sockets(_: &Path) {
    confine(&Confinement::new());
    make_a_socket();
}

fn executing(_: &Path) {
    confine(&Confinement::new());
    let (path, none) = (c"/proc/self/exe", [std::ptr::null::<libc::c_char>()]);
    // SAFETY: a path that ends with a zero byte, and two lists that end at once.
    unsafe { libc::execve(path.as_ptr(), none.as_ptr(), none.as_ptr()) };
}

fn forking(_: &Path) {
    confine(&Confinement::new());
    // SAFETY: this process has one thread. The child, should there be one, ends with this scenario.
    unsafe { libc::fork() };
}

fn executable_memory(_: &Path) {
    confine(&Confinement::new());
    make_memory(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
}

fn foreign_requests(_: &Path) {
    confine(&Confinement::new());
    // SAFETY: `TIOCSTI` reads one byte, which is there.
    unsafe { libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()) };
}

fn inheritance(_: &Path) {
    confine(&Confinement::new());
    std::thread::spawn(make_a_socket).join().expect("no panic");
}
