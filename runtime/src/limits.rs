//! What a guest may use: [`Limits`] belong to a sandbox, [`Call`] to one run. Everything has a default, and nothing is without limit.

use std::time::Duration;

use ampoule_kernel::layout;

use crate::vm::cancel::CancelToken;

/// What a sandbox may hold.
///
/// ```
/// use ampoule::Limits;
/// let limits = Limits::new().memory(128 << 20).open_files(32);
/// assert_eq!(limits.memory_bytes(), 128 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    memory: u64,
    open_files: u16,
    file_bytes: usize,
    file_count: usize,
    message_bytes: usize,
}

impl Limits {
    /// Memory unless said otherwise: 64 MiB.
    pub const DEFAULT_MEMORY: u64 = 64 << 20;
    /// Open files unless said otherwise.
    pub const DEFAULT_OPEN_FILES: u16 = 256;
    /// Bytes in in-memory files unless said otherwise: 16 MiB.
    pub const DEFAULT_FILE_BYTES: usize = 16 << 20;
    /// In-memory files and directories unless said otherwise.
    pub const DEFAULT_FILE_COUNT: usize = 4096;
    /// Bytes of a message unless said otherwise: 16 MiB.
    pub const DEFAULT_MESSAGE_BYTES: usize = 16 << 20;
    /// The least memory that is granted: 256 KiB, enough for a start-up's page tables.
    pub const MIN_MEMORY: u64 = 256 << 10;
    /// The most memory that is granted: 256 GiB.
    pub const MAX_MEMORY: u64 = layout::PAYLOAD_MAX_BYTES;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            memory: Self::DEFAULT_MEMORY,
            open_files: Self::DEFAULT_OPEN_FILES,
            file_bytes: Self::DEFAULT_FILE_BYTES,
            file_count: Self::DEFAULT_FILE_COUNT,
            message_bytes: Self::DEFAULT_MESSAGE_BYTES,
        }
    }

    /// Memory in bytes: program, heap, stack and page tables together. Rounded up to whole pages and held between
    /// [`MIN_MEMORY`](Self::MIN_MEMORY) and [`MAX_MEMORY`](Self::MAX_MEMORY).
    ///
    /// `mmap` and `brk` beyond it fail with `ENOMEM`; touching a reservation (the stack, `MAP_NORESERVE`) with no page left ends the
    /// run with [`Limit::Memory`](crate::Limit::Memory).
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes.clamp(Self::MIN_MEMORY, Self::MAX_MEMORY).next_multiple_of(layout::PAGE_SIZE);
        self
    }

    /// Open files at once, the three streams included; `EMFILE` beyond.
    #[must_use]
    pub fn open_files(mut self, count: u16) -> Self {
        self.open_files = count;
        self
    }

    /// Bytes in in-memory files and their names; `ENOSPC` beyond. They live in the host's memory, beside [`memory`](Self::memory).
    #[must_use]
    pub fn file_bytes(mut self, bytes: usize) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// In-memory files and directories; `ENOSPC` beyond.
    #[must_use]
    pub fn file_count(mut self, count: usize) -> Self {
        self.file_count = count;
        self
    }

    /// Bytes of one message between host and guest: arguments or a reply, of a call in either direction. The host holds at most a few
    /// messages of a sandbox at once.
    #[must_use]
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.message_bytes = bytes;
        self
    }

    /// The memory limit in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory
    }

    pub(crate) fn pages(&self) -> u64 {
        self.memory / layout::PAGE_SIZE
    }

    pub(crate) fn descriptors(&self) -> u16 {
        self.open_files
    }

    pub(crate) fn message(&self) -> usize {
        self.message_bytes
    }

    pub(crate) fn file_quota(&self) -> (usize, usize) {
        (self.file_bytes, self.file_count)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// What one run may use, and what ends it early.
///
/// ```
/// use std::time::Duration;
/// use ampoule::{Call, CancelToken};
/// let token = CancelToken::new();
/// let call = Call::new().wall(Duration::from_millis(200)).cpu(Duration::from_millis(100)).cancel(&token);
/// # let _ = call;
/// ```
#[derive(Debug, Clone)]
pub struct Call {
    wall: Duration,
    cpu: Duration,
    output: u64,
    host_calls: u64,
    cancel: Option<CancelToken>,
}

impl Call {
    /// Wall time unless said otherwise: one minute.
    pub const DEFAULT_WALL: Duration = Duration::from_secs(60);
    /// CPU time unless said otherwise: half a minute.
    pub const DEFAULT_CPU: Duration = Duration::from_secs(30);
    /// Output unless said otherwise: 64 MiB.
    pub const DEFAULT_OUTPUT: u64 = 64 << 20;
    /// Calls of the host's functions unless said otherwise: a million.
    pub const DEFAULT_HOST_CALLS: u64 = 1_000_000;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            wall: Self::DEFAULT_WALL,
            cpu: Self::DEFAULT_CPU,
            output: Self::DEFAULT_OUTPUT,
            host_calls: Self::DEFAULT_HOST_CALLS,
            cancel: None,
        }
    }

    /// Wall time, waiting included. Ends the run with [`Limit::Wall`](crate::Limit::Wall).
    #[must_use]
    pub fn wall(mut self, time: Duration) -> Self {
        self.wall = time;
        self
    }

    /// CPU time of the thread: in the guest, and in the host on the guest's behalf. Ends the run with [`Limit::Cpu`](crate::Limit::Cpu).
    /// Calls that follow each other within a quarter of a millisecond are accounted by the wall clock, so much may one be wrong by.
    #[must_use]
    pub fn cpu(mut self, time: Duration) -> Self {
        self.cpu = time;
        self
    }

    /// Bytes written to stdout and stderr together. The run ends with [`Limit::Output`](crate::Limit::Output) when it would write
    /// more; what fits is written.
    #[must_use]
    pub fn output(mut self, bytes: u64) -> Self {
        self.output = bytes;
        self
    }

    /// Calls of the host's functions. One more ends the run with [`Limit::HostCalls`](crate::Limit::HostCalls).
    #[must_use]
    pub fn host_calls(mut self, count: u64) -> Self {
        self.host_calls = count;
        self
    }

    /// Lets `token` end the run from another thread, with [`End::Cancelled`](crate::End::Cancelled).
    #[must_use]
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(token.clone());
        self
    }

    #[cfg(feature = "fuzz")]
    pub(crate) fn set_token(&mut self, token: Option<&CancelToken>) {
        self.cancel = token.cloned();
    }

    pub(crate) fn times(&self) -> (Duration, Duration) {
        (self.wall, self.cpu)
    }

    pub(crate) fn output_bytes(&self) -> u64 {
        self.output
    }

    pub(crate) fn host_call_count(&self) -> u64 {
        self.host_calls
    }

    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.cancel.as_ref()
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}
