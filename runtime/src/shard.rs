//! Which of several equal places a thread keeps its things in, so that two threads seldom meet on one lock.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places of this process, in the order in which `count` of them are to be looked at by this thread: its own first.
pub(crate) fn order(count: usize) -> impl Iterator<Item = usize> {
    let own = number();
    (0..count).map(move |step| own.wrapping_add(step) % count)
}

/// This thread's place among `count`.
pub(crate) fn own(count: usize) -> usize {
    number() % count.max(1)
}

/// Threads are numbered as they ask first.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    // A thread that ends has no number any more: whatever it has then goes into the first place.
    let number = OWN.try_with(|own| {
        own.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            own.set(Some(next));
            next
        })
    });
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_looked_at_once_and_the_own_one_first() {
        let places: Vec<_> = order(5).collect();
        assert_eq!(places.first(), Some(&own(5)));
        let mut sorted = places.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4]);
        assert_eq!(order(0).count(), 0);
    }

    #[test]
    fn threads_that_follow_each_other_have_places_of_their_own() {
        let (mine, other) = (own(usize::MAX), std::thread::spawn(|| own(usize::MAX)).join().unwrap());
        assert_ne!(mine, other);
        assert_eq!(mine, own(usize::MAX));
    }
}
