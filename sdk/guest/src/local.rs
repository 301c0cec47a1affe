//! State of the thread that serves: thread-local where there is `std`; where there is not, for one user at a time.

#[cfg(feature = "std")]
use std::{cell::RefCell, thread::LocalKey};

/// A value of the thread, made by [`local!`].
pub(crate) struct Local<T: 'static> {
    #[cfg(feature = "std")]
    pub(crate) key: &'static LocalKey<RefCell<T>>,
    #[cfg(not(feature = "std"))]
    pub(crate) slot: crate::gate::exclusive::Exclusive<T>,
}

impl<T> Local<T> {
    /// Lends the value; `None` if it is lent already, or the thread is ending.
    #[inline]
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        #[cfg(feature = "std")]
        {
            self.key.try_with(|value| value.try_borrow_mut().ok().map(|mut value| use_it(&mut value))).ok().flatten()
        }
        #[cfg(not(feature = "std"))]
        {
            self.slot.with(use_it)
        }
    }
}

/// `local!(NAME: Type = initial value);`
macro_rules! local {
    ($name:ident: $ty:ty = $initial:expr) => {
        #[cfg(feature = "std")]
        static $name: $crate::local::Local<$ty> = {
            std::thread_local! {
                static KEY: std::cell::RefCell<$ty> = const { std::cell::RefCell::new($initial) };
            }
            $crate::local::Local { key: &KEY }
        };
        #[cfg(not(feature = "std"))]
        static $name: $crate::local::Local<$ty> =
            $crate::local::Local { slot: $crate::gate::exclusive::Exclusive::new($initial) };
    };
}
pub(crate) use local;
