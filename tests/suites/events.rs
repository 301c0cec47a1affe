//! Events: in order, before what the guest does next, seen by other threads while it computes, and never more of them than there is room for.

use ampoule::{CallError, End, Event, Events, Imports, Limit, Overflow, Sandbox, State};
use ampoule_tests::{
    asked, call_an_honest_plugin, call_bytes, call_bytes_within, echoing, honest_call, program, resume_bytes, sandbox,
    scale, word,
};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

fn with_events<T: 'static>(
    name: &str,
    imports: &Imports<T>,
    data: T,
    capacity: usize,
    overflow: Overflow,
) -> (Sandbox<T>, Events) {
    let (builder, events) = Sandbox::builder(&program(name), imports).events(capacity, overflow);
    (builder.build(data).expect("a sandbox"), events)
}

/// All that have arrived.
fn arrived(events: &Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

/// What `posts_then_asks` posts.
fn posted(count: u64) -> Vec<Event> {
    (0..count).map(|value| Event { id: u16::try_from(value % 512).unwrap_or_default(), value }).collect()
}

#[test]
fn events_are_there_before_the_call_that_follows_them() {
    let listener: Arc<OnceLock<Events>> = Arc::default();
    let listening = Arc::clone(&listener);
    let imports = asked::<Vec<Event>>().bytes("raw", move |context, _, reply| {
        let seen = arrived(listening.get().expect("events"));
        reply.extend_from_slice(&(seen.len() as u64).to_le_bytes());
        *context.data_mut() = seen;
        Ok::<(), Infallible>(())
    });
    let (mut asks, events) = with_events("asks", &imports, Vec::new(), 1000, Overflow::Stop);
    listener.set(events).expect("the first");
    // More than KVM notes down at once as well as fewer; the numbers are far from every size that a ring may have.
    for count in [400, 0, 1, 100, 400, 999] {
        let reply = call_bytes(&mut asks, "posts_then_asks", count.to_string().as_bytes()).expect("a reply");
        assert_eq!(word(&reply), count);
        assert_eq!(*asks.data(), posted(count));
    }
}

#[test]
fn events_and_calls_are_seen_in_the_order_in_which_the_guest_made_them() {
    let listener: Arc<OnceLock<Events>> = Arc::default();
    let listening = Arc::clone(&listener);
    let imports = asked::<u64>().bytes("raw", move |context, input, _| {
        let seen = arrived(listening.get().expect("events"));
        assert_eq!(seen, [Event { id: 7, value: word(input) }], "exactly the one before this call");
        *context.data_mut() += 1;
        Ok::<(), Infallible>(())
    });
    let (mut asks, events) = with_events("asks", &imports, 0, 10, Overflow::Stop);
    listener.set(events).expect("the first");
    call_bytes(&mut asks, "posts_and_asks", b"500").expect("all of them");
    assert_eq!(*asks.data(), 500);
}

#[test]
fn events_are_there_when_the_call_returns_however_it_ended() {
    let (mut plugin, events) = with_events("plugin", &echoing(), (), 1000, Overflow::DropOldest);
    assert_eq!(word(&call_bytes(&mut plugin, "events", b"700").expect("posted")), 700);
    assert_eq!(arrived(&events), posted(700));
    assert_eq!((events.next(Duration::ZERO), events.dropped()), (None, 0));

    let (mut asks, events) = with_events("asks", &asked(), (), 1000, Overflow::DropOldest);
    let call = honest_call().wall(Duration::from_millis(20));
    assert!(call_bytes_within(&mut asks, "posts_forever", b"", &call).is_err());
    let first = arrived(&events);
    assert!(first.len() <= 1000);
    assert!(resume_bytes(&mut asks, &call).is_err());
    let second = arrived(&events);
    let values: Vec<u64> = first.iter().chain(&second).map(|event| event.value).collect();
    assert!(values.is_sorted_by(|one, next| one < next), "nothing twice, nothing out of order");
}

#[test]
fn the_oldest_is_dropped_and_counted_or_the_guest_is_stopped() {
    let (mut plugin, events) = with_events("plugin", &echoing(), (), 100, Overflow::DropOldest);
    call_bytes(&mut plugin, "events", b"1000").expect("posted");
    assert_eq!(events.dropped(), 900);
    assert_eq!(arrived(&events), posted(1000)[900..]);
    call_bytes(&mut plugin, "events", b"100").expect("there is room again");
    assert_eq!((events.dropped(), arrived(&events)), (900, posted(100)));

    let (mut plugin, events) = with_events("plugin", &echoing(), (), 100, Overflow::Stop);
    call_bytes(&mut plugin, "events", b"100").expect("as many as there is room for");
    let stopped = call_bytes(&mut plugin, "events", b"1");
    assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Events)))), "{stopped:?}");
    assert_eq!(arrived(&events), posted(100), "what was there stays");
    assert_eq!((events.dropped(), plugin.state()), (0, State::Ended));
}

#[test]
fn a_flood_is_as_large_as_the_queue_and_the_last_ones_are_there() {
    // A store is a hundred times slower where the processor is emulated: a million of them takes a scale of 10.
    let count = scale(100_000);
    let (mut plugin, events) = with_events("plugin", &echoing(), (), 64, Overflow::DropOldest);
    call_bytes(&mut plugin, "events", count.to_string().as_bytes()).expect("posted");
    assert_eq!(events.dropped(), count as u64 - 64);
    assert_eq!(arrived(&events), posted(count as u64)[count - 64..]);
}

#[test]
fn another_thread_sees_events_while_the_guest_computes() {
    let (mut asks, events) = with_events("asks", &asked(), (), 1000, Overflow::DropOldest);
    let token = ampoule::CancelToken::new();
    let ended = std::thread::scope(|scope| {
        let guest = scope.spawn(|| call_bytes_within(&mut asks, "posts_forever", b"", &honest_call().cancel(&token)));
        let mut last = None;
        for _ in 0..10_000 {
            let event = events.next(Duration::from_secs(120)).expect("it posts all the time");
            assert_eq!(event.id, 3);
            assert!(last.is_none_or(|last| event.value > last), "in order");
            last = Some(event.value);
        }
        token.cancel();
        guest.join().expect("no panic")
    });
    assert!(matches!(ended, Err(CallError::Ended(End::Cancelled))), "{ended:?}");
}

#[test]
fn two_listeners_share_what_arrives() {
    let (mut plugin, events) = with_events("plugin", &echoing(), (), 10_000, Overflow::Stop);
    let other = events.clone();
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for listener in [events, other] {
            let seen = &seen;
            scope.spawn(move || {
                while let Some(event) = listener.next(Duration::from_secs(120)) {
                    seen.lock().expect("a lock").push(event.value);
                }
            });
        }
        call_bytes(&mut plugin, "events", b"5000").expect("posted");
        drop(plugin);
    });
    let mut seen = seen.into_inner().expect("a lock");
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..5000), "each was seen once, and the end of the sandbox by both");
}

#[test]
fn a_guest_learns_that_nobody_listens() {
    let mut asks = sandbox(&program("asks"), &asked());
    assert_eq!(call_bytes(&mut asks, "posts", b"").expect("a result"), (-38_i32).to_le_bytes(), "ENOSYS");
    let (mut asks, events) = with_events("asks", &asked(), (), 1, Overflow::Stop);
    assert_eq!(call_bytes(&mut asks, "posts", b"").expect("a result"), 0_i32.to_le_bytes());
    assert_eq!(arrived(&events), [Event { id: 5, value: 55 }]);
}

#[test]
fn nobody_has_to_take_events() {
    let (mut plugin, events) = with_events("plugin", &echoing(), (), 10, Overflow::DropOldest);
    drop(events);
    call_bytes(&mut plugin, "events", b"1000").expect("posted to nobody");
    assert_eq!(call_bytes(&mut plugin, "echo", b"well").expect("a reply"), b"well");
    call_an_honest_plugin();
}
