//! Guests that wait in calls that are awaited: no thread is held, the wait is as long as it was to be, and whatever may end it does.

use ampoule::{Call, CallError, CancelToken, End, HostDir, Imports, Limit, Sandbox, Snapshot, Sources, State};
use ampoule_tests::{call_bytes, honest_call, program, resume_bytes, sandbox, word};
use std::future::poll_fn;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::executors::{Tasks, block_on, block_on_many_threads};

/// Every way to wait for nothing.
const WAYS: [&str; 9] = ["nanosleep", "clock", "absolute", "poll", "ppoll", "select", "pselect", "epoll", "futex"];
/// Long enough not to be over by itself while a test looks.
const HOUR: &str = "3600000000000";

// ---- what the tests share -------------------------------------------------------------------------------------------

fn waits() -> Sandbox<()> {
    sandbox(&program("waits"), &Imports::new())
}

/// A sandbox that reads from a pipe.
fn listening() -> (Sandbox<()>, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let builder = Sandbox::builder(&program("waits"), &Imports::new()).stdin(reader.into());
    (builder.build(()).expect("a sandbox"), writer)
}

/// A sandbox that prints to a pipe that is full, but for what is left of its last page.
fn printing() -> (Sandbox<()>, PipeReader, usize) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let capacity = rustix::pipe::fcntl_getpipe_size(&writer).expect("its size");
    writer.write_all(&vec![b'-'; capacity]).expect("it fits");
    let builder = Sandbox::builder(&program("waits"), &Imports::new()).stdout(writer.into());
    (builder.build(()).expect("a sandbox"), reader, capacity)
}

/// How long a guest waited, by its own clock.
fn waited(reply: &[u8]) -> Duration {
    Duration::from_nanos(word(reply))
}

/// A waker that counts.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls until the future returns without having woken its task: it waits for something, and runs no more.
pub(crate) fn poll_until_it_rests<F: Future>(mut future: Pin<&mut F>) {
    loop {
        let wakes = Arc::new(Counter::default());
        let poll = future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&wakes))));
        assert!(poll.is_pending(), "it waits for longer than this test takes");
        if wakes.0.load(Ordering::SeqCst) == 0 {
            return;
        }
    }
}

/// The call's result, if it is not told when to be polled but polled all the time, with another waker each time.
fn poll_all_the_time<F: Future>(future: F) -> (F::Output, u64) {
    let (mut future, mut polls) = (pin!(future), 0);
    loop {
        polls += 1;
        let waker = Waker::from(Arc::new(Counter::default()));
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, polls);
        }
    }
}

fn awaited(sandbox: &mut Sandbox<()>, name: &str, input: &str, call: &Call) -> Result<Vec<u8>, CallError> {
    let mut reply = Vec::new();
    block_on(sandbox.call_bytes_async(name, input.as_bytes(), &mut reply, call)).map(|()| reply)
}

/// Leaves the sandbox in the middle of a call that waits.
fn leave_waiting(sandbox: &mut Sandbox<()>, name: &str, input: &str) {
    let (mut reply, call) = (Vec::new(), honest_call());
    poll_until_it_rests(pin!(sandbox.call_bytes_async(name, input.as_bytes(), &mut reply, &call)));
    assert_eq!(sandbox.state(), State::Stopped);
}

// ---- threads --------------------------------------------------------------------------------------------------------

#[test]
fn sixty_four_guests_sleep_at_once_on_one_thread() {
    const COUNT: usize = 64;
    const SLEEP: Duration = Duration::from_millis(300);
    let (tasks, asleep) = (Arc::new(Tasks::default()), Arc::new(AtomicUsize::new(0)));
    let done = Arc::new(Mutex::new(Vec::new()));
    let snapshot = waits().snapshot().expect("a snapshot");
    for _ in 0..COUNT {
        let mut sandbox = snapshot.spawn(&Imports::new(), ()).expect("a twin");
        let (asleep, done) = (Arc::clone(&asleep), Arc::clone(&done));
        tasks.spawn(async move {
            let (mut reply, call) = (Vec::new(), honest_call());
            let input = format!("nanosleep {}", SLEEP.as_nanos());
            let mut future = Box::pin(sandbox.call_bytes_async("waits", input.as_bytes(), &mut reply, &call));
            let mut is_first = true;
            poll_fn(|task| {
                let poll = future.as_mut().poll(task);
                if poll.is_pending() && std::mem::take(&mut is_first) {
                    asleep.fetch_add(1, Ordering::SeqCst);
                }
                poll
            })
            .await
            .expect("it slept");
            drop(future);
            done.lock().expect("a lock").push((waited(&reply), asleep.load(Ordering::SeqCst)));
        });
    }
    tasks.run();
    let done = done.lock().expect("a lock");
    assert_eq!(done.len(), COUNT);
    assert!(done.iter().all(|(slept, _)| *slept >= SLEEP), "{done:?}");
    // Had the thread waited for one, it would have been done before the next one had begun.
    assert!(done.iter().all(|(_, asleep)| *asleep == COUNT), "{done:?}");
}

#[test]
fn a_guest_that_waits_is_polled_by_any_thread() {
    let mut sandbox = waits();
    for way in WAYS {
        let (mut reply, call) = (Vec::new(), honest_call());
        let input = format!("{way} 20000000");
        let (result, polls) =
            block_on_many_threads(sandbox.call_bytes_async("waits", input.as_bytes(), &mut reply, &call));
        result.unwrap_or_else(|error| panic!("{way}: {error}"));
        assert!(polls > 1, "{way}");
        assert!(waited(&reply) >= Duration::from_millis(20), "{way}: {:?}", waited(&reply));
    }
}

// ---- times ----------------------------------------------------------------------------------------------------------

#[test]
fn every_wait_takes_as_long_as_it_was_to_take_and_is_woken_by_its_time() {
    let mut sandbox = waits();
    for way in WAYS {
        for milliseconds in [0, 1, 25] {
            let reply = awaited(&mut sandbox, "waits", &format!("{way} {}", milliseconds * 1_000_000), &honest_call());
            let reply = reply.unwrap_or_else(|error| panic!("{way}: {error}"));
            assert!(
                waited(&reply) >= Duration::from_millis(milliseconds),
                "{way} {milliseconds}: {:?}",
                waited(&reply)
            );
        }
    }
}

#[test]
fn polls_that_nobody_asked_for_neither_cut_a_wait_short_nor_begin_it_anew() {
    let mut sandbox = waits();
    for way in WAYS {
        let (mut reply, call) = (Vec::new(), honest_call());
        let input = format!("{way} 30000000");
        // A wait that began anew at each poll would never be over.
        let (result, polls) = poll_all_the_time(sandbox.call_bytes_async("waits", input.as_bytes(), &mut reply, &call));
        result.unwrap_or_else(|error| panic!("{way}: {error}"));
        assert!(polls > 2, "{way}: {polls}");
        assert!(waited(&reply) >= Duration::from_millis(30), "{way}: {:?}", waited(&reply));
    }
}

#[test]
fn time_that_a_guest_waits_is_wall_time_and_no_cpu_time_and_its_system_call_is_counted_once() {
    let mut sandbox = waits();
    let call = honest_call().cpu(Duration::from_secs(1));
    let (mut reply, slept) = (Vec::new(), Duration::from_millis(40));
    let (result, polls) =
        poll_all_the_time(sandbox.call_bytes_async("waits", b"nanosleep 40000000", &mut reply, &call));
    result.expect("it slept");
    let stats = sandbox.last_stats();
    // What of its sleep is before and after it is the host's work, too.
    assert!(polls > 2 && stats.wall >= slept && stats.waited >= slept / 2 && stats.wall >= stats.waited, "{stats:?}");
    assert!(stats.cpu < slept, "{stats:?}");
    let sleeps = stats.syscalls.iter().find(|call| call.name == "nanosleep").map(|call| call.count);
    assert_eq!(sleeps, Some(1), "{stats:?}");
}

#[test]
fn a_clock_of_cpu_time_does_not_go_back_where_a_call_goes_on() {
    let mut sandbox = waits();
    let (mut reply, call) = (Vec::new(), honest_call());
    let (result, polls) = block_on_many_threads(sandbox.call_bytes_async("works", b"for 30000000", &mut reply, &call));
    result.expect("it never went back");
    assert!(polls > 2, "{polls}");
}

#[test]
fn a_guest_with_time_of_its_own_does_not_wait_at_all() {
    for sources in [Sources::Frozen, Sources::Deterministic(5)] {
        let builder = Sandbox::builder(&program("waits"), &Imports::new()).sources(sources);
        let mut sandbox = builder.build(()).expect("a sandbox");
        for way in WAYS {
            awaited(&mut sandbox, "waits", &format!("{way} {HOUR}"), &honest_call())
                .unwrap_or_else(|error| panic!("{way}: {error}"));
        }
    }
}

// ---- what ends a wait -----------------------------------------------------------------------------------------------

#[test]
fn a_limit_and_a_token_end_a_wait_and_the_sandbox_can_be_resumed() {
    let mut sandbox = waits();
    let wall = honest_call().wall(Duration::from_millis(60));
    let ended = awaited(&mut sandbox, "waits", "nanosleep 200000000", &wall);
    assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{ended:?}");
    assert_eq!(sandbox.state(), State::Stopped);
    let slept = waited(&resume_bytes(&mut sandbox, &honest_call()).expect("the rest"));
    assert!(slept >= Duration::from_millis(200), "{slept:?}");

    let token = CancelToken::new();
    let call = honest_call().cancel(&token);
    let mut reply = Vec::new();
    let mut future = Box::pin(sandbox.call_bytes_async("waits", b"nanosleep 200000000", &mut reply, &call));
    poll_until_it_rests(future.as_mut());
    let other = std::thread::spawn(move || token.cancel());
    let ended = block_on(future);
    other.join().expect("no panic");
    assert!(matches!(ended, Err(CallError::Ended(End::Cancelled))), "{ended:?}");
    assert_eq!(sandbox.state(), State::Stopped);
    let slept = waited(&resume_bytes(&mut sandbox, &honest_call()).expect("the rest"));
    assert!(slept >= Duration::from_millis(200), "{slept:?}");
}

#[test]
fn a_cancel_wakes_the_waker_that_came_last() {
    let (mut sandbox, token) = (waits(), CancelToken::new());
    let call = honest_call().cancel(&token);
    let mut reply = Vec::new();
    let input = format!("poll {HOUR}");
    let mut future = pin!(sandbox.call_bytes_async("waits", input.as_bytes(), &mut reply, &call));
    poll_until_it_rests(future.as_mut());
    let wakers = [Arc::new(Counter::default()), Arc::new(Counter::default())];
    for waker in &wakers {
        let poll = future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker))));
        assert!(poll.is_pending());
    }
    token.cancel();
    assert_eq!(wakers.map(|waker| waker.0.load(Ordering::SeqCst)), [0, 1]);
    let ended = block_on(future);
    assert!(matches!(ended, Err(CallError::Ended(End::Cancelled))), "{ended:?}");
}

#[test]
fn a_guest_that_waits_for_bytes_is_woken_by_them_and_by_the_end_of_its_stream() {
    for way in ["read", "poll", "select", "epoll"] {
        let (mut sandbox, mut writer) = listening();
        let (mut reply, call) = (Vec::new(), honest_call());
        let input = format!("{way} 2000000");
        let mut future = Box::pin(sandbox.call_bytes_async("listens", input.as_bytes(), &mut reply, &call));
        poll_until_it_rests(future.as_mut());
        let other = std::thread::spawn(move || writer.write_all(b"a line").map(|()| writer));
        block_on(future).unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(reply, b"a line", "{way}");
        let writer = other.join().expect("no panic").expect("written");

        let mut future = Box::pin(sandbox.call_bytes_async("listens", input.as_bytes(), &mut reply, &call));
        poll_until_it_rests(future.as_mut());
        drop(writer);
        block_on(future).unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(reply, b"", "{way}: the end");
    }
}

#[test]
fn a_guest_that_waits_for_bytes_is_woken_by_its_time_out() {
    for way in ["poll", "select", "epoll"] {
        let (mut sandbox, _writer) = listening();
        let (mut reply, call) = (Vec::new(), honest_call());
        let input = format!("{way} 30");
        let began = Instant::now();
        let (result, _) = poll_all_the_time(sandbox.call_bytes_async("listens", input.as_bytes(), &mut reply, &call));
        result.unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(reply, b"nothing", "{way}");
        assert!(began.elapsed() >= Duration::from_millis(30), "{way}");
        assert_eq!(awaited(&mut sandbox, "listens", &input, &call).expect("no bytes"), b"nothing", "{way}");
    }
}

#[test]
fn a_guest_whose_stream_is_full_is_woken_when_somebody_reads() {
    let (mut sandbox, mut reader, full) = printing();
    let (mut reply, call) = (Vec::new(), honest_call());
    let mut future = Box::pin(sandbox.call_bytes_async("prints", b"all 26", &mut reply, &call));
    poll_until_it_rests(future.as_mut());
    let other = std::thread::spawn(move || {
        let mut bytes = vec![0; full];
        reader.read_exact(&mut bytes).map(|()| reader)
    });
    block_on(future).expect("printed");
    assert_eq!(word(&reply), 26);
    let mut reader = other.join().expect("no panic").expect("what was there");
    // What is written in pieces is written once.
    let other = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    assert_eq!(word(&awaited(&mut sandbox, "prints", "all 1000000", &call).expect("printed")), 1_000_000);
    drop(sandbox);
    let alphabet = |count: usize| (b'a'..=b'z').cycle().take(count);
    let all = other.join().expect("no panic").expect("what it printed");
    assert!(all.iter().copied().eq(alphabet(26).chain(alphabet(1_000_000))), "{} bytes", all.len());
}

#[test]
fn a_guest_that_waits_for_a_lock_gets_it_when_it_is_given_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    std::fs::write(&path, b"locked").expect("a file");
    let held = std::fs::File::open(&path).expect("the file");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    let shared = HostDir::read_write(directory.path()).expect("it is there");
    let mut sandbox =
        Sandbox::builder(&program("waits"), &Imports::new()).dir("/host", &shared).build(()).expect("a sandbox");
    let (mut reply, call) = (Vec::new(), honest_call());
    let mut future = Box::pin(sandbox.call_bytes_async("locks", b"/host/file", &mut reply, &call));
    poll_until_it_rests(future.as_mut());
    let other = std::thread::spawn(move || drop(held));
    block_on(future).expect("a lock");
    other.join().expect("no panic");
    assert_eq!(reply, b"locked");
}

// ---- futures that are dropped ---------------------------------------------------------------------------------------

#[test]
fn a_call_that_is_dropped_while_its_guest_sleeps_goes_on_with_the_rest() {
    const SLEEP: Duration = Duration::from_millis(150);
    let mut sandbox = waits();
    for way in WAYS {
        leave_waiting(&mut sandbox, "waits", &format!("{way} {}", SLEEP.as_nanos()));
        let over = Instant::now() + SLEEP;
        while Instant::now() < over {
            std::thread::yield_now();
        }
        let slept =
            waited(&resume_bytes(&mut sandbox, &honest_call()).unwrap_or_else(|error| panic!("{way}: {error}")));
        assert!(slept >= SLEEP, "{way}: {slept:?}");
        let waited = sandbox.last_stats().waited;
        assert!(waited < SLEEP, "{way}: it did not sleep again, but for {waited:?}");
    }
}

#[test]
fn a_guest_that_sleeps_is_saved_and_its_twins_wake_up_in_each_place() {
    let mut sandbox = waits();
    let awake = sandbox.snapshot().expect("a snapshot");
    leave_waiting(&mut sandbox, "waits", "nanosleep 100000000");
    let asleep = sandbox.snapshot().expect("a snapshot of a guest that sleeps");
    // The sandbox itself, parked and back in another machine.
    sandbox.park().expect("parked");
    let slept = waited(&resume_bytes(&mut sandbox, &honest_call()).expect("the rest"));
    assert!(slept >= Duration::from_millis(100), "{slept:?}");
    // The same sandbox, put back to sleep; and put back to before.
    sandbox.restore(&asleep).expect("a restore");
    assert_eq!(sandbox.state(), State::Stopped);
    let slept = waited(&resume_bytes(&mut sandbox, &honest_call()).expect("the rest"));
    assert!(slept >= Duration::from_millis(100), "{slept:?}");
    leave_waiting(&mut sandbox, "waits", &format!("nanosleep {HOUR}"));
    sandbox.restore(&awake).expect("a restore");
    let slept = waited(&call_bytes(&mut sandbox, "waits", b"nanosleep 1000000").expect("a call"));
    assert!(slept >= Duration::from_millis(1), "{slept:?}");
    // A twin, and one out of a file.
    let file = tempfile::NamedTempFile::new().expect("a file");
    asleep.save(file.path()).expect("saved");
    let loaded = Snapshot::load(file.path()).expect("loaded");
    for snapshot in [&asleep, &loaded] {
        let mut twin = snapshot.spawn(&Imports::new(), ()).expect("a twin");
        assert_eq!(twin.state(), State::Stopped);
        let slept = waited(&resume_bytes(&mut twin, &honest_call()).expect("the rest"));
        assert!(slept >= Duration::from_millis(100), "{slept:?}");
    }
}

#[test]
fn a_call_that_is_dropped_while_its_guest_waits_for_bytes_reads_them_later() {
    let (mut sandbox, mut writer) = listening();
    leave_waiting(&mut sandbox, "listens", "read 0");
    writer.write_all(b"later").expect("written");
    assert_eq!(resume_bytes(&mut sandbox, &honest_call()).expect("bytes"), b"later");

    let (mut sandbox, mut reader, full) = printing();
    leave_waiting(&mut sandbox, "prints", "all 26");
    let mut bytes = vec![0; full];
    reader.read_exact(&mut bytes).expect("what was there");
    assert_eq!(word(&resume_bytes(&mut sandbox, &honest_call()).expect("printed")), 26);
}

// ---- guests that mean harm ------------------------------------------------------------------------------------------

#[test]
fn a_guest_that_sleeps_for_as_short_as_there_is_takes_turns_as_one_that_computes() {
    let mut sandbox = waits();
    let (mut reply, call) = (Vec::new(), honest_call());
    let (result, polls) = block_on_many_threads(sandbox.call_bytes_async("naps", b"for 60000000", &mut reply, &call));
    result.expect("naps");
    assert!(polls > 2 && word(&reply) > 0, "{polls} polls, {} naps", word(&reply));
    let ended = awaited(&mut sandbox, "naps", &format!("for {HOUR}"), &honest_call().cpu(Duration::from_millis(50)));
    assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::Cpu)))), "{ended:?}");
}

#[test]
fn a_guest_that_sleeps_for_as_long_as_there_is_ends_by_its_limit() {
    let mut sandbox = waits();
    let snapshot = sandbox.snapshot().expect("a snapshot");
    // The last in nanoseconds, and more of them than there are numbers for.
    for way in ["nanosleep", "clock", "absolute", "ppoll", "select", "pselect", "futex", "ages"] {
        let call = honest_call().wall(Duration::from_millis(40));
        let ended = awaited(&mut sandbox, "waits", &format!("{way} {}", i64::MAX), &call);
        assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{way}: {ended:?}");
        let ended = sandbox.resume_bytes(&mut Vec::new(), &call);
        assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{way}: {ended:?}");
        sandbox.restore(&snapshot).expect("a restore");
    }
}
