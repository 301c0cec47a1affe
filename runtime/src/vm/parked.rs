//! A wait that nobody holds a thread for: what has to happen before its system call is served again.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::PollFlags;

use super::clock::Nanos;
use super::error::HostError;
use super::seam::{self, HostCall};
use super::watch::Halted;

/// What a guest waits for while it runs nowhere: whichever comes first.
#[derive(Debug)]
pub(crate) struct Parked {
    /// A point in time, on `CLOCK_MONOTONIC`.
    pub(crate) until: Option<Nanos>,
    /// One of these is ready. They are duplicates, which outlive the streams that they are of.
    pub(crate) files: Vec<(OwnedFd, PollFlags)>,
}

impl Parked {
    pub(super) fn new(fds: &[(BorrowedFd<'_>, PollFlags)], until: Option<Nanos>) -> Result<Self, HostError> {
        let mut files = Vec::with_capacity(fds.len());
        for &(fd, events) in fds {
            files.push((seam::call(HostCall::Duplicate, || fd.try_clone_to_owned())?, events));
        }
        Ok(Self { until, files })
    }
}

/// Why a wait is over before its end.
#[derive(Debug)]
pub(crate) enum CutShort {
    /// The run must end, or the host failed.
    Halted(Halted),
    /// The task is the one to wait, and no limit was reached.
    Parked(Parked),
}

impl<T: Into<Halted>> From<T> for CutShort {
    fn from(halted: T) -> Self {
        Self::Halted(halted.into())
    }
}

/// How far a system call is that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It can be served again, from its beginning.
    Nothing,
    /// It cannot.
    Something,
}
