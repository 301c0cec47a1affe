#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod comparisons;
mod counters;
mod crash;
mod executor;
mod feedback;
mod metadata;

pub use comparisons::ComparisonsObserver;
pub use counters::{CounterMap, EdgesObserver, edges_observer};
pub use crash::{CrashObserver, CrashReport, crash_key};
pub use executor::AmpouleExecutor;
pub use feedback::NewCrashFeedback;
