//! What a program's stdin, stdout and stderr are connected to.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::linux::streams::host_file::HostFile;
use crate::linux::streams::{Input, Output};

/// What one of a program's streams is connected to: `std::process::Stdio`'s shape.
///
/// Whatever it is, a program that waits for it is still ended by its limits and its cancel token.
#[derive(Debug)]
pub struct Stdio(Kind);

enum Kind {
    Null,
    Bytes(Arc<Vec<u8>>),
    Inherit,
    Piped,
    File(OwnedFd),
    Writer(Box<dyn Write + Send>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Inherit => f.write_str("Inherit"),
            Self::Piped => f.write_str("Piped"),
            Self::File(fd) => write!(f, "File({fd:?})"),
            Self::Writer(_) => f.write_str("Writer"),
        }
    }
}

impl Stdio {
    /// Nothing to read; what is written is dropped.
    #[must_use]
    pub fn null() -> Self {
        Self(Kind::Null)
    }

    /// For stdin: these bytes, then the end. As an output it is [`null`](Self::null).
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Kind::Bytes(Arc::new(bytes.into())))
    }

    /// This process's own stream.
    #[must_use]
    pub fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// A pipe whose other end is in the [`Child`](crate::Child). [`Command::output`](crate::Command::output) collects a piped output in
    /// memory.
    #[must_use]
    pub fn piped() -> Self {
        Self(Kind::Piped)
    }

    /// For outputs: everything is written to `writer` by a thread of its own, so that a run can end at its limits although the writer
    /// blocks. The result is there when the writer has taken everything or a limit is reached; in the second case the thread stays
    /// until the writer returns, so a writer that never does keeps one thread for each run.
    #[must_use]
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self(Kind::Writer(Box::new(writer)))
    }
}

impl From<std::fs::File> for Stdio {
    fn from(file: std::fs::File) -> Self {
        Self(Kind::File(file.into()))
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self(Kind::File(fd))
    }
}

impl From<PipeReader> for Stdio {
    fn from(pipe: PipeReader) -> Self {
        Self(Kind::File(pipe.into()))
    }
}

impl From<PipeWriter> for Stdio {
    fn from(pipe: PipeWriter) -> Self {
        Self(Kind::File(pipe.into()))
    }
}

/// What a piped output becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipes {
    /// Pipes, for a child.
    Real,
    /// Memory, for `output()`.
    Captured,
}

/// A writer's thread and how to see that it is done.
#[derive(Debug)]
pub(crate) struct WriterThread {
    /// Closed by the thread when it has written everything.
    pub(crate) done: PipeReader,
    pub(crate) thread: JoinHandle<io::Result<()>>,
}

/// An output, connected.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) output: Output,
    pub(crate) pipe: Option<PipeReader>,
    pub(crate) writer: Option<WriterThread>,
}

impl Stdio {
    /// What the next run gets. What can be given only once is null afterwards.
    pub(crate) fn take(&mut self) -> Self {
        Self(match &self.0 {
            Kind::Null => Kind::Null,
            Kind::Bytes(bytes) => Kind::Bytes(Arc::clone(bytes)),
            Kind::Inherit => Kind::Inherit,
            Kind::Piped => Kind::Piped,
            Kind::File(_) | Kind::Writer(_) => std::mem::replace(&mut self.0, Kind::Null),
        })
    }

    /// Connects stdin.
    pub(crate) fn connect_input(self, pipes: Pipes) -> io::Result<(Input, Option<PipeWriter>)> {
        Ok(match self.0 {
            Kind::Null | Kind::Writer(_) => (Input::Empty, None),
            // Nobody could write to it.
            Kind::Piped if pipes == Pipes::Captured => (Input::Empty, None),
            Kind::Bytes(bytes) => (Input::Bytes { bytes, position: 0 }, None),
            Kind::Inherit => (Input::File(HostFile::new(io::stdin().as_fd().try_clone_to_owned()?)?), None),
            Kind::File(fd) => (Input::File(HostFile::new(fd)?), None),
            Kind::Piped => {
                let (reader, writer) = io::pipe()?;
                (Input::File(HostFile::own_pipe(reader.into())?), Some(writer))
            }
        })
    }

    /// Connects an output; `own` is this process's stream of the same kind.
    pub(crate) fn connect_output(self, own: impl AsFd, pipes: Pipes) -> io::Result<Connected> {
        let plain = |output| Connected { output, pipe: None, writer: None };
        Ok(match self.0 {
            Kind::Null | Kind::Bytes(_) => plain(Output::Discard),
            Kind::Piped if pipes == Pipes::Captured => plain(Output::Capture(Vec::new())),
            Kind::Inherit => plain(Output::File(HostFile::new(own.as_fd().try_clone_to_owned()?)?)),
            Kind::File(fd) => plain(Output::File(HostFile::new(fd)?)),
            Kind::Piped => {
                let (reader, writer) = io::pipe()?;
                Connected { pipe: Some(reader), ..plain(Output::File(HostFile::own_pipe(writer.into())?)) }
            }
            Kind::Writer(mut to) => {
                let (mut from, ours) = io::pipe()?;
                let (done, finished) = io::pipe()?;
                let thread = std::thread::Builder::new().name("ampoule-writer".to_owned()).spawn(move || {
                    let result = io::copy(&mut from, &mut to).and_then(|_| to.flush());
                    drop(finished);
                    result
                })?;
                let writer = Some(WriterThread { done, thread });
                Connected { writer, ..plain(Output::File(HostFile::own_pipe(ours.into())?)) }
            }
        })
    }
}
