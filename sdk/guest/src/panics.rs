//! Panics in exports: caught, and remembered with the place where they happened.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// A panic that was caught.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked {
    pub(crate) message: String,
    /// `file:line:column`, or nothing if the panic did not pass the hook.
    pub(crate) location: String,
}

thread_local! {
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sees to it that panics leave their location. The hook that was there is called too, so what it writes is still written.
pub(crate) fn remember_locations() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            let location = information.location().map(ToString::to_string);
            // A panic while this thread is ending has nobody to be told to.
            let _ = LOCATION.try_with(|place| place.replace(location));
            previous(information);
        }));
    });
}

/// Calls `function`, and catches its panic.
#[inline]
pub(crate) fn catch<R>(function: impl FnOnce() -> R) -> Result<R, Panicked> {
    // One that the function caught itself may have left its location, and `resume_unwind` leaves none.
    LOCATION.take();
    // What the function leaves half done is its own, or a reply that is thrown away.
    panic::catch_unwind(AssertUnwindSafe(function)).map_err(panicked)
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Panicked {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic whose payload is not text".to_owned(),
    };
    // A payload is foreign code too when it is dropped. One whose drop panics with another such is not worth a third try.
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    Panicked { message, location: LOCATION.take().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_has_its_message_and_its_location() {
        remember_locations();
        let line = line!() + 1;
        let panicked = catch(|| panic!("no {}", "luck")).unwrap_err();
        assert_eq!(panicked.message, "no luck");
        assert!(panicked.location.starts_with(&format!("{}:{line}:", file!())), "{}", panicked.location);
        assert_eq!(catch(|| panic::panic_any(7)).unwrap_err().message, "a panic whose payload is not text");
        assert_eq!(catch(|| 7), Ok(7));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic::resume_unwind(Box::new("dropped"));
            }
        }
        assert!(catch(|| panic::resume_unwind(Box::new(Bomb))).is_err());
    }
}
