//! The host's ends of stdin, stdout and stderr.
//!
//! Everything that can block is a [`HostFile`], and every wait on one ends at the run's limits. Output is counted before it is written:
//! a program that prints without end reaches its limit, whatever the other end does.

pub(crate) mod awaited;
pub(crate) mod host_file;
mod tail;

use std::sync::Arc;

use awaited::Awaited;
use host_file::HostFile;
pub(crate) use tail::SharedTail;

use super::files::Stream;
use super::reply::Refusal;
use crate::end::{End, Limit};
use crate::vm::parked::Done;
use crate::vm::watch::Watch;

/// Where stdin comes from.
#[derive(Debug)]
pub(crate) enum Input {
    /// Nothing.
    Empty,
    /// These bytes, from `position` on.
    Bytes { bytes: Arc<Vec<u8>>, position: usize },
    /// A file of the host's.
    File(HostFile),
}

/// Where an output goes.
#[derive(Debug)]
pub(crate) enum Output {
    /// Nowhere.
    Discard,
    /// Into memory.
    Capture(Vec<u8>),
    /// Into a file of the host's.
    File(HostFile),
}

/// All three, with the output limit.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) input: Input,
    pub(crate) output: Output,
    pub(crate) error: Output,
    /// Bytes that may still be written.
    pub(crate) left: u64,
    /// Bytes read.
    pub(crate) bytes_in: u64,
    /// Bytes written.
    pub(crate) bytes_out: u64,
    /// The end of stderr, if it is kept.
    pub(crate) tail: Option<SharedTail>,
    /// What the program is stopped at when it asks for it.
    pub(crate) awaited: Option<Awaited>,
}

impl Streams {
    /// Streams of a run that may write `left` bytes.
    pub(crate) fn new(input: Input, output: Output, error: Output, left: u64) -> Self {
        Self { input, output, error, left, bytes_in: 0, bytes_out: 0, tail: None, awaited: None }
    }

    /// True if the program asked for input that is not there yet.
    pub(crate) fn has_asked(&self) -> bool {
        self.awaited == Some(Awaited::Asked)
    }

    /// The program wants to know something of stdin, which ends the run if that is awaited.
    pub(crate) fn ask(&mut self) -> Result<(), Refusal> {
        Awaited::stdin(&mut self.awaited)
    }

    /// From now on the end of what is written to stderr is kept.
    pub(crate) fn keep_tail(&mut self) -> SharedTail {
        self.tail.insert(SharedTail::default()).clone()
    }

    /// True if an output is a file of the host's, perhaps a pipe.
    pub(crate) fn has_files(&self) -> bool {
        matches!((&self.output, &self.error), (Output::File(_), _) | (_, Output::File(_)))
    }

    /// Begins another run that may write `left` bytes.
    pub(crate) fn begin(&mut self, left: u64) {
        (self.left, self.bytes_in, self.bytes_out) = (left, 0, 0);
        if let Some(tail) = &self.tail {
            tail.clear();
        }
    }

    /// Reads into `buf`; 0 is the end. `before` is what the system call has done so far.
    pub(crate) fn read(&mut self, buf: &mut [u8], before: Done, watch: &mut Watch) -> Result<usize, Refusal> {
        self.ask()?;
        let count = match &mut self.input {
            Input::Empty => 0,
            Input::Bytes { bytes, position } => {
                let rest = bytes.get(*position..).unwrap_or_default();
                let count = rest.len().min(buf.len());
                if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                *position += count;
                count
            }
            Input::File(file) => file.read(buf, before, watch)?,
        };
        self.bytes_in += count as u64;
        Ok(count)
    }

    /// Writes `bytes`, all of them unless an error comes first; ends the run at the output limit. `before` is what the system call has done so far.
    pub(crate) fn write(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        before: Done,
        watch: &mut Watch,
    ) -> Result<usize, Refusal> {
        let allowed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let fits = bytes.get(..allowed).unwrap_or_default();
        let output = if stream == Stream::Stderr { &mut self.error } else { &mut self.output };
        let count = match output {
            Output::Discard => fits.len(),
            Output::Capture(captured) => {
                captured.extend_from_slice(fits);
                fits.len()
            }
            Output::File(file) => file.write(fits, before, watch)?,
        };
        if let (Stream::Stderr, Some(tail)) = (stream, &self.tail) {
            tail.push(fits.get(..count).unwrap_or_default());
        }
        self.left -= count as u64;
        self.bytes_out += count as u64;
        if allowed < bytes.len() && count == allowed {
            return Err(End::Limit(Limit::Output).into());
        }
        Ok(count)
    }

    /// The host's file behind a stream, if it is one that can make a program wait.
    pub(crate) fn file(&self, stream: Stream) -> Option<&HostFile> {
        match stream {
            Stream::Stdin => match &self.input {
                Input::File(file) => Some(file),
                _ => None,
            },
            Stream::Stdout | Stream::Stderr => {
                match if stream == Stream::Stderr { &self.error } else { &self.output } {
                    Output::File(file) => Some(file),
                    _ => None,
                }
            }
        }
    }
}
