//! A guest that does not run: everything that it needs to go on, in no machine and belonging to nobody.
//!
//! A snapshot is one that many share; a parked sandbox has one of its own. Closures, streams and the host's ends of channels are not in
//! it: whoever wakes a guest brings those.

use std::collections::HashMap;
use std::sync::Arc;

use super::State;
use super::core::MappedRegion;
use super::halt::Pause;
use crate::channel::posted::Overflow;
use crate::channel::table::Table;
use crate::limits::Limits;
use crate::linux::Process;
use crate::linux::user::Span;
use crate::machine::restore::MachineState;
use crate::machine::shells::Fittings;
use crate::program::Program;
use crate::vm::features::GuestFeatures;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) fittings: Fittings,
    pub(crate) regions: Arc<HashMap<Box<str>, MappedRegion>>,
    pub(crate) machine: MachineState,
    pub(crate) process: Process,
    pub(crate) channel: Channel,
    pub(crate) position: Position,
    /// What it may have found in the processor, and relies on.
    pub(crate) features: GuestFeatures,
}

/// The guest's side of Ampoule's own calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channel {
    /// What it said when it attached; none before.
    pub(crate) table: Option<Arc<Table>>,
    /// Can it serve the ring?
    pub(crate) ring: bool,
    /// Where the next call's arguments go: it waits.
    pub(crate) buffer: Option<Span>,
    /// A call is being served.
    pub(crate) outstanding: bool,
    /// A message that did not fit the guest's buffer.
    pub(crate) undelivered: Option<Vec<u8>>,
    /// The queue that its events went to; none if it has no event page.
    pub(crate) events: Option<(usize, Overflow)>,
}

/// Where it is, as its caller sees it.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    pub(crate) state: State,
    pub(crate) pause: Option<Pause>,
    /// The function that is being called, or was last.
    pub(crate) calling: Arc<str>,
    pub(crate) ordinal: Option<u32>,
}

impl Position {
    /// It waits for its first call.
    pub(crate) fn ready() -> Self {
        Self { state: State::Ready, pause: None, calling: Arc::from(""), ordinal: None }
    }
}
