//! Stand-ins for the host's functions: for one thread and one scope, so that tests run beside each other.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::LocalKey;

/// Where a thread has the stand-in of one import.
pub type Slot<F> = RefCell<Option<Rc<RefCell<F>>>>;

/// Keeps a mock in place; dropping it brings back what was there before.
///
/// Guards are dropped in the reverse order of their making, as local variables are.
#[must_use = "the mock is gone when its guard is dropped: `let _mock = …`"]
pub struct Mock {
    /// Taken when it is run, which is once.
    restore: Option<Box<dyn FnOnce()>>,
}

impl std::fmt::Debug for Mock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mock").finish_non_exhaustive()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        if let Some(restore) = self.restore.take() {
            restore();
        }
    }
}

thread_local! {
    static REGIONS: RefCell<Vec<(String, &'static [u8])>> = const { RefCell::new(Vec::new()) };
}

/// Lets [`region`](crate::region()) find these bytes under this name, on this thread, where there is no host.
///
/// ```
/// let _mock = ampoule_guest::mock_region("dictionary", b"aardvark\nabacus\n");
/// assert_eq!(ampoule_guest::region("dictionary").map(<[u8]>::len), Some(16));
/// ```
pub fn mock_region(name: &str, bytes: &'static [u8]) -> Mock {
    let before = REGIONS.with_borrow_mut(|regions| {
        regions.push((name.to_owned(), bytes));
        regions.len() - 1
    });
    let restore = move || {
        // A thread that is ending has no regions any more.
        let _ = REGIONS.try_with(|regions| regions.borrow_mut().truncate(before));
    };
    Mock { restore: Some(Box::new(restore)) }
}

/// The mock of a region: the one that was made last.
pub(crate) fn region(name: &str) -> Option<&'static [u8]> {
    REGIONS.with_borrow(|regions| regions.iter().rev().find(|(it, _)| it == name).map(|&(_, bytes)| bytes))
}

/// Sets the mock of a slot.
pub fn set<F: ?Sized + 'static>(slot: &'static LocalKey<Slot<F>>, mock: Rc<RefCell<F>>) -> Mock {
    let previous = slot.replace(Some(mock));
    let restore = move || {
        // A thread that is ending has no slots any more, and nobody who could call.
        let _ = slot.try_with(|slot| slot.replace(previous));
    };
    Mock { restore: Some(Box::new(restore)) }
}

/// The mock of a slot.
///
/// # Panics
/// If there is none, with what to do about it.
#[track_caller]
#[expect(clippy::panic, reason = "the declared result has no place for an error")]
pub fn get<F: ?Sized>(slot: &'static LocalKey<Slot<F>>, name: &str) -> Rc<RefCell<F>> {
    slot.with_borrow(Clone::clone).unwrap_or_else(|| {
        panic!(
            "the import `{name}` was called where there is no host: in a test, set a mock on this thread before \
             (`let _mock = {name}::mock(…);`); in a guest, call `ampoule_guest::serve` or `attach` before"
        )
    })
}

/// The mocking half of what `import!` makes.
#[doc(hidden)]
#[macro_export]
macro_rules! __mock {
    ($visibility:vis $name:ident($($parameter:ident: $ty:ty),*) -> $result:ty) => {
        impl $name {
            /// Answers the calls of this thread with `mock`, until the guard is dropped.
            #[allow(dead_code)]
            $visibility fn mock(mock: impl FnMut($($ty),*) -> $result + 'static) -> $crate::Mock {
                $crate::__private::set_mock(
                    Self::__slot(),
                    $crate::__private::std::rc::Rc::new($crate::__private::std::cell::RefCell::new(mock)),
                )
            }

            #[allow(clippy::type_complexity)]
            fn __slot() -> &'static $crate::__private::std::thread::LocalKey<
                $crate::__private::MockSlot<dyn FnMut($($ty),*) -> $result>
            > {
                $crate::__private::std::thread_local! {
                    static SLOT: $crate::__private::MockSlot<dyn FnMut($($ty),*) -> $result> =
                        const { $crate::__private::std::cell::RefCell::new(None) };
                }
                &SLOT
            }

            #[track_caller]
            fn __call($($parameter: $ty),*) -> $result {
                let mock = $crate::__private::get_mock(Self::__slot(), stringify!($name));
                let mut mock = mock.try_borrow_mut().expect(concat!("the mock of `", stringify!($name), "` does not call it"));
                (*mock)($($parameter),*)
            }
        }
    };
}

/// The call of a mock, in the function that `import!` makes.
#[doc(hidden)]
#[macro_export]
macro_rules! __mocked {
    ($name:ident($($parameter:ident),*)) => {
        $name::__call($($parameter),*)
    };
}
