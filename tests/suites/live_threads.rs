//! Who runs where: a live guest on its thread, which spins and sleeps; its callers and listeners on theirs.

use ampoule::{CallError, Idle, Live, Overflow, Sandbox, State};
use ampoule_kernel::ring::PIECE_BYTES;
use ampoule_tests::{asked, echoing, honest_call, program, scale, word};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::live::{call_live, idle, live, live_with, until};
use super::sandboxes::pattern;

#[test]
fn what_is_said_and_printed_while_live_is_heard_and_seen() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let sandbox = Sandbox::builder(&program("plugin"), &echoing())
        .stdout(writer.into())
        .log_level(Some(ampoule::LogLevel::Info))
        .log(move |record| heard.lock().expect("a lock").push((record.level, record.message.to_owned())))
        .build(())
        .expect("a sandbox");
    let mut plugin = sandbox.into_live(idle()).expect("it serves the ring");
    for (times, text) in (1..).zip(["one\n", "two\n"]) {
        call_live(&mut plugin, "prints", text.as_bytes()).expect("printed");
        let mut seen = [0; 4];
        std::io::Read::read_exact(&mut reader, &mut seen).expect("it is there when the call is over");
        assert_eq!(seen, text.as_bytes());
        call_live(&mut plugin, "log", text.trim().as_bytes()).expect("said");
        let said = said.lock().expect("a lock");
        assert_eq!(said.len(), 3 * times, "errors, warnings and information");
        assert!(said[3 * times - 3..].iter().all(|(_, message)| message == text.trim()), "{said:?}");
    }
}

#[test]
fn events_arrive_in_order_while_the_guest_is_live() {
    let sandbox = Sandbox::builder(&program("asks"), &asked()).events(2000, Overflow::Stop);
    let (builder, events) = sandbox;
    let mut asks = builder.build(()).expect("a sandbox").into_live(idle()).expect("it serves the ring");
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let next = |value| {
                let event = events.next(Duration::from_secs(120)).expect("it was posted");
                assert_eq!((u64::from(event.id), event.value), (value % 512, value));
            };
            for count in [1, 700, 30] {
                (0..count).for_each(next);
            }
        });
        for count in [1, 700, 30] {
            let reply = call_live(&mut asks, "posts_then_asks", count.to_string().as_bytes()).expect("a reply");
            assert_eq!(word(&reply), count);
        }
        // Without another call: a listener gets what was posted by itself.
        listener.join().expect("no panic");
    });
    assert_eq!((events.try_next(), events.dropped()), (None, 0));
}

#[test]
fn two_live_sandboxes_are_called_from_two_threads_at_once() {
    let program = program("plugin");
    std::thread::scope(|scope| {
        for thread in 0..2_u8 {
            let program = &program;
            scope.spawn(move || {
                let sandbox = Sandbox::new(program, &echoing(), ()).expect("a sandbox");
                let mut plugin = sandbox.into_live(idle()).expect("it serves the ring");
                for round in 0..scale(200) {
                    let input = vec![thread; round * 7];
                    assert!(call_live(&mut plugin, "calls_host", &input).expect("a reply") == input);
                }
            });
        }
    });
}

#[test]
fn a_live_sandbox_moves_between_threads_from_call_to_call() {
    let mut plugin = live("plugin", ());
    for calls in 1..=scale(20) {
        plugin = std::thread::spawn(move || {
            assert_eq!(word(&call_live(&mut plugin, "counts", b"").expect("a count")), calls as u64);
            plugin
        })
        .join()
        .expect("a thread");
    }
}

#[test]
fn data_that_cannot_leave_its_thread_stays_there() {
    // Both hold for a type that is Send, and then the compiler cannot choose.
    trait IfSend<Which> {
        const CHOSEN: () = ();
    }
    struct Send_;
    impl<T: ?Sized> IfSend<()> for T {}
    impl<T: ?Sized + Send> IfSend<Send_> for T {}
    const { <Live<Rc<()>> as IfSend<_>>::CHOSEN };

    let shared = Rc::new(std::cell::Cell::new(0));
    let imports = echoing::<Rc<std::cell::Cell<u64>>>().bytes("lookup", |context, _, _| {
        context.data().set(context.data().get() + 1);
        Ok::<(), Infallible>(())
    });
    let mut plugin = live_with("plugin", &imports, Rc::clone(&shared));
    for _ in 0..3 {
        call_live(&mut plugin, "calls_host", b"").expect("a reply");
    }
    assert_eq!((shared.get(), Rc::strong_count(&shared)), (3, 2));
}

#[test]
fn a_live_sandbox_can_be_called_inside_a_host_function_of_another_one() {
    let imports = echoing::<Option<Live<()>>>().bytes("lookup", |context, input, reply| {
        let inner = context.data_mut().as_mut().expect("a live sandbox");
        inner.call_bytes("reverse", input, reply, &honest_call())
    });
    let mut outer = live_with("plugin", &imports, Some(live("plugin", ())));
    for size in [0, 5, 100, PIECE_BYTES + 1] {
        let mut reversed = call_live(&mut outer, "calls_host", &pattern(size)).expect("a reply");
        reversed.reverse();
        assert!(reversed == pattern(size), "{size} bytes");
    }
    // A failure of the inner one is a failure of the outer one's host function.
    let inner = outer.data_mut().as_mut().expect("a live sandbox");
    assert!(call_live(inner, "exits", b"").is_err());
    let error = call_live(&mut outer, "calls_host", b"x").expect_err("the inner one has ended");
    let CallError::Import { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(source.downcast_ref(), Some(CallError::State(State::Ended))), "{source}");
    assert_eq!(outer.state(), State::Ready);
}

#[test]
fn an_idle_guest_parks_and_is_woken() {
    for spin in [Duration::ZERO, Duration::from_micros(50)] {
        let sandbox = Sandbox::new(&program("plugin"), &echoing(), ()).expect("a sandbox");
        let mut plugin = sandbox.into_live(Idle::spin(spin)).expect("it serves the ring");
        let mut calls = 0;
        // What it slept is counted when it is woken.
        until(|| {
            calls += 1;
            assert_eq!(word(&call_live(&mut plugin, "counts", b"").expect("a count")), calls);
            let input = pattern(if calls % 10 == 0 { 2 * PIECE_BYTES + 1 } else { 3 });
            assert!(call_live(&mut plugin, "calls_host", &input).expect("a reply") == input);
            plugin.stats().parked >= scale(20) as u64
        });
    }
}

#[test]
fn an_honest_guest_spins_as_long_as_it_was_told_and_then_parks_by_itself() {
    let sandbox = Sandbox::new(&program("plugin"), &echoing(), ()).expect("a sandbox");
    // Much longer than the ticks at which the host looks whether it has to be made to.
    let spin = Duration::from_millis(20);
    let mut plugin = sandbox.into_live(Idle::spin(spin)).expect("it serves the ring");
    // On a busy machine its time can be over while it does not run, and then the host may be first: not always.
    for _ in 0..50 {
        let began = Instant::now();
        until(|| began.elapsed() > 2 * spin);
        call_live(&mut plugin, "echo", b"").expect("a reply");
        if plugin.stats().parked > 0 {
            return;
        }
    }
    panic!("it never had the time that it was given: {:?}", plugin.stats());
}

#[test]
fn a_guest_that_will_not_park_is_made_to_and_is_woken_all_the_same() {
    for misbehaviour in ["spins", "makes system calls", "logs", "fetches", "attaches", "prints", "unsettled"] {
        let mut plugin = live("hostile_ring", ());
        assert_eq!(call_live(&mut plugin, "misbehave", format!("idle: {misbehaviour}").as_bytes()).expect("ok"), b"ok");
        for times in 1..=3 {
            until(|| plugin.stats().made_to_park >= times);
            assert_eq!(call_live(&mut plugin, "misbehave", b"").expect("a reply"), b"ok", "{misbehaviour}");
        }
        assert!(!plugin.stats().idle.is_zero(), "{:?}", plugin.stats());
    }
}

#[test]
fn idling_has_an_end() {
    assert_eq!(Idle::spin(Duration::MAX), Idle::spin(Idle::MAX));
    let sandbox = Sandbox::new(&program("plugin"), &echoing(), ()).expect("a sandbox");
    let live = sandbox.into_live(Idle::spin(Duration::from_millis(3))).expect("it serves the ring");
    assert_eq!(live.idle(), Idle::spin(Duration::from_millis(3)));
}
