#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod batch;
mod comparisons;
mod counters;
mod crash;
mod executor;
mod feedback;
mod metadata;

pub use batch::{BatchedStage, HasAmpouleExecutor};
pub use comparisons::ComparisonsObserver;
pub use counters::{CounterMap, EdgesObserver, edges_observer};
pub use crash::{CrashObserver, CrashReport};
pub use executor::AmpouleExecutor;
pub use feedback::NewCrashFeedback;
