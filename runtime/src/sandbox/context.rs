//! What a host function sees of the call that it serves.

use std::time::Duration;

use crate::linux::Kernel;
use crate::linux::reply::Refusal;

/// What a host function is called with beside its arguments.
#[derive(Debug)]
pub struct Context<'a, T> {
    data: &'a mut T,
    run: &'a mut dyn RunAccess,
}

/// Why a host function cannot reach the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The guest has no memory there, or may not do there what was asked for.
    #[error("the guest has no such memory at {address:#x}, {bytes} bytes long")]
    Fault {
        /// Where.
        address: u64,
        /// How long.
        bytes: usize,
    },
    /// The guest is running at the same time, on a thread of its own.
    #[error("the memory of a live guest cannot be reached: it runs at the same time")]
    Live,
    /// The run is over: a limit was reached.
    #[error("the run is over")]
    Over,
}

/// The run that a host function is part of.
pub(crate) trait RunAccess: std::fmt::Debug {
    fn remaining(&self) -> Duration;
    fn is_cancelled(&self) -> bool;
    fn read(&mut self, address: u64, to: &mut [u8]) -> Result<(), MemoryError>;
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), MemoryError>;
}

impl<'a, T> Context<'a, T> {
    pub(crate) fn new(data: &'a mut T, run: &'a mut dyn RunAccess) -> Self {
        Self { data, run }
    }

    /// The sandbox's data.
    #[must_use]
    pub fn data(&self) -> &T {
        self.data
    }

    /// The sandbox's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        self.data
    }

    /// Wall time that the call has left. A host function that takes longer is not interrupted: the call ends when it returns.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.run.remaining()
    }

    /// True once the call was cancelled. A host function that waits for something looks here from time to time.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.run.is_cancelled()
    }

    /// Copies bytes out of the guest's memory.
    ///
    /// # Errors
    /// [`MemoryError`] if the guest itself could not read them all.
    pub fn read(&mut self, address: u64, to: &mut [u8]) -> Result<(), MemoryError> {
        self.run.read(address, to)
    }

    /// Copies bytes into the guest's memory.
    ///
    /// # Errors
    /// [`MemoryError`] if the guest itself could not write them all.
    pub fn write(&mut self, address: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.run.write(address, from)
    }
}

impl RunAccess for Kernel<'_> {
    fn remaining(&self) -> Duration {
        Duration::from_nanos(self.watch.wall_left())
    }

    fn is_cancelled(&self) -> bool {
        self.watch.is_cancelled()
    }

    fn read(&mut self, address: u64, to: &mut [u8]) -> Result<(), MemoryError> {
        let bytes = to.len();
        self.read_exact(address, to).map_err(|refusal| memory_error(&refusal, address, bytes))
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.write_all(address, from).map_err(|refusal| memory_error(&refusal, address, from.len()))
    }
}

fn memory_error(refusal: &Refusal, address: u64, bytes: usize) -> MemoryError {
    match refusal {
        Refusal::Errno(_) => MemoryError::Fault { address, bytes },
        Refusal::End(_) | Refusal::Host(_) | Refusal::Parked(_) => MemoryError::Over,
    }
}
