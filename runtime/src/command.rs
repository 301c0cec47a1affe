//! Running a program: `std::process::Command`'s shape, with limits.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::event::PollFlags;

use crate::child::Child;
use crate::end::End;
use crate::error::RunError;
use crate::limits::{Call, Limits};
use crate::linux::files::HostDir;
use crate::linux::reply::Refusal;
use crate::linux::sources::Sources;
use crate::linux::streams::awaited::Awaited;
use crate::linux::streams::{Input, Output as Sink, Streams};
use crate::machine::boot::Doorbell;
use crate::program::Program;
use crate::sandbox::run::{self, Content, Job, Outcome, Placed};
use crate::sandbox::run_task::RunTask;
use crate::sandbox::saved::Saved;
use crate::site::Site;
use crate::stats::Stats;
use crate::stdio::{Connected, Pipes, Stdio, WriterThread};
use crate::vm::parked::Done;
use crate::vm::watch::Watch;

/// A program to run, and what to run it with.
///
/// Each run has a machine of its own. A command can be run again: it starts anew. A stream that was given as a file, a pipe's end or a
/// writer is used up by the first run and null afterwards.
///
/// ```no_run
/// use std::time::Duration;
/// use ampoule::{Call, Command, End, Program, Stdio};
///
/// let program = Program::from_file("/bin/busybox")?;
/// let output = Command::new(&program)
///     .args(["sha256sum"])
///     .stdin(Stdio::bytes("hello"))
///     .call(Call::new().wall(Duration::from_millis(500)))
///     .output()?;
/// assert_eq!(output.end, End::Exited(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Command {
    program: Program,
    name: Option<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<(Vec<u8>, Vec<u8>)>,
    files: Vec<Placed>,
    directory: Option<Vec<u8>>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    limits: Limits,
    call: Call,
    doorbell: Doorbell,
    sources: Sources,
    from: Option<Arc<Saved>>,
}

/// How a run ended, what it printed and what it cost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Output {
    /// How it ended.
    pub end: End,
    /// What it wrote to stdout, if that was piped (the default): also when a limit ended it.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, if that was piped (the default).
    pub stderr: Vec<u8>,
    /// What it did and what it cost.
    pub stats: Stats,
    pub(crate) site: Option<Box<Site>>,
}

/// How a run ended and what it cost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// How it ended.
    pub end: End,
    /// What it did and what it cost.
    pub stats: Stats,
    pub(crate) site: Option<Box<Site>>,
}

impl Output {
    fn new(outcome: Outcome, streams: Streams) -> Self {
        let taken = |sink| match sink {
            Sink::Capture(bytes) => bytes,
            Sink::Discard | Sink::File(_) => Vec::new(),
        };
        let Outcome { end, stats, site, .. } = outcome;
        Self { end, stdout: taken(streams.output), stderr: taken(streams.error), stats, site }
    }

    /// Where the program stopped, if it crashed: by a trap, or by a signal that it sent to itself.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        self.end.site().or(self.site.as_deref())
    }
}

impl Status {
    /// Where the program stopped, if it crashed: by a trap, or by a signal that it sent to itself.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        self.end.site().or(self.site.as_deref())
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        Self { end: outcome.end, stats: outcome.stats, site: outcome.site }
    }
}

impl Command {
    /// A run of `program` without arguments, with an empty environment and the default limits.
    #[must_use]
    pub fn new(program: &Program) -> Self {
        Self {
            program: program.clone(),
            name: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            directory: None,
            stdin: None,
            stdout: None,
            stderr: None,
            limits: Limits::new(),
            call: Call::new(),
            doorbell: Doorbell::default(),
            sources: Sources::default(),
            from: None,
        }
    }

    /// The rest of a run: program, arguments, files, sources and limits are those of its beginning.
    pub(crate) fn going_on(saved: &Arc<Saved>) -> Self {
        Self { limits: saved.limits.clone(), from: Some(Arc::clone(saved)), ..Self::new(&saved.program) }
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().as_bytes().to_vec());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    /// Sets argument zero, which is the program's file name otherwise.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.name = Some(name.as_ref().as_bytes().to_vec());
        self
    }

    /// Sets an environment variable. Nothing of this process's own environment is passed on.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let key = key.as_ref().as_bytes().to_vec();
        self.environment.retain(|(existing, _)| *existing != key);
        self.environment.push((key, value.as_ref().as_bytes().to_vec()));
        self
    }

    /// Puts a file into the program's in-memory file system. `path` is absolute, and its directories are made.
    pub fn file(&mut self, path: impl AsRef<OsStr>, content: impl Into<Vec<u8>>) -> &mut Self {
        self.place(path, Content::File(content.into()))
    }

    /// Puts an empty directory into the program's in-memory file system. `path` is absolute, and its parents are made.
    pub fn directory(&mut self, path: impl AsRef<OsStr>) -> &mut Self {
        self.place(path, Content::Directory)
    }

    /// Puts a symbolic link into the program's in-memory file system. `path` is absolute, `target` is whatever the program will follow.
    pub fn symlink(&mut self, path: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> &mut Self {
        self.place(path, Content::Symlink(target.as_ref().as_bytes().to_vec()))
    }

    /// Puts a directory of the host's into the program's file system: it sees what is beneath, and may change it if `directory` says so. `path`
    /// is absolute, and its parents are made; what is there already must be an empty directory, such as `/tmp`.
    pub fn dir(&mut self, path: impl AsRef<OsStr>, directory: &HostDir) -> &mut Self {
        self.place(path, Content::HostDir(directory.clone()))
    }

    fn place(&mut self, path: impl AsRef<OsStr>, content: Content) -> &mut Self {
        self.files.push(Placed { path: path.as_ref().as_bytes().to_vec(), content });
        self
    }

    /// Sets the directory that the program starts in, a path in its own file system: `/` unless said otherwise.
    pub fn current_dir(&mut self, path: impl AsRef<OsStr>) -> &mut Self {
        self.directory = Some(path.as_ref().as_bytes().to_vec());
        self
    }

    /// What stdin is: null unless said otherwise.
    pub fn stdin(&mut self, stdin: Stdio) -> &mut Self {
        self.stdin = Some(stdin);
        self
    }

    /// What stdout is: piped for [`output`](Self::output), inherited otherwise.
    pub fn stdout(&mut self, stdout: Stdio) -> &mut Self {
        self.stdout = Some(stdout);
        self
    }

    /// What stderr is: piped for [`output`](Self::output), inherited otherwise.
    pub fn stderr(&mut self, stderr: Stdio) -> &mut Self {
        self.stderr = Some(stderr);
        self
    }

    /// What the program may hold.
    pub fn limits(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// What the run may use.
    pub fn call(&mut self, call: Call) -> &mut Self {
        self.call = call;
        self
    }

    /// Where the program's time and randomness come from: the host unless said otherwise.
    pub fn sources(&mut self, sources: Sources) -> &mut Self {
        self.sources = sources;
        self
    }

    /// How the guest tells the host that it made a system call. Only for comparing: the default works everywhere and nothing is quicker.
    ///
    /// The run fails with [`HostError::NoDoorbell`](crate::HostError::NoDoorbell) where the probe shows that it does not work.
    pub fn doorbell(&mut self, doorbell: Doorbell) -> &mut Self {
        self.doorbell = doorbell;
        self
    }

    /// Runs the program on this thread and collects what it prints.
    ///
    /// # Errors
    /// [`RunError`] if the run could not be made. What the program does, limits included, is [`Output::end`].
    pub fn output(&mut self) -> Result<Output, RunError> {
        let (mut run, _) = self.prepare(Pipes::Captured, Stdio::piped)?;
        let outcome = run.finish()?;
        Ok(Output::new(outcome, run.streams))
    }

    /// The same as a future: the program runs while it is polled, a few milliseconds at a time, on whatever thread that is, and no thread waits for
    /// it but as [`Sandbox::call_async`](crate::Sandbox::call_async) says.
    ///
    /// The run begins, and its time with it, when the future is polled first; its streams are taken at once. Dropping it ends the run.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use ampoule::{Command, End, Program};
    ///
    /// let program = Program::from_file("/bin/busybox")?;
    /// let output = Command::new(&program).args(["sleep", "1"]).output_async().await?;
    /// assert_eq!(output.end, End::Exited(0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn output_async(&mut self) -> impl Future<Output = Result<Output, RunError>> + Send + use<> {
        let prepared = self.prepare(Pipes::Captured, Stdio::piped);
        async move {
            let (run, _) = prepared?;
            let (outcome, streams) = run.finish_awaited().await?;
            Ok(Output::new(outcome, streams))
        }
    }

    /// Runs the program on this thread.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn status(&mut self) -> Result<Status, RunError> {
        let (mut run, _) = self.prepare(Pipes::Captured, Stdio::inherit)?;
        let outcome = run.finish()?;
        Ok(outcome.into())
    }

    /// Runs the program on a thread of its own.
    ///
    /// # Errors
    /// [`RunError::Setup`] if streams or thread cannot be made, and what [`output`](Self::output) finds before the program starts.
    pub fn spawn(&mut self) -> Result<Child, RunError> {
        let (run, ends) = self.prepare(Pipes::Real, Stdio::inherit)?;
        Child::start(run, ends)
    }

    /// Runs the program on this thread; its state is kept if it is stopped.
    pub(crate) fn run_until_stopped(&mut self) -> Result<Outcome, RunError> {
        let (mut run, _) = self.prepare(Pipes::Captured, Stdio::inherit)?;
        run.job.keeps_state = true;
        run.finish()
    }

    /// Runs the program on this thread until it asks for input; its state is kept if it is stopped. Its stdin stays for another run.
    pub(crate) fn run_until_input(&mut self) -> Result<Outcome, RunError> {
        let stdin = self.stdin.take();
        let prepared = self.prepare(Pipes::Captured, Stdio::inherit);
        self.stdin = stdin;
        let (mut run, _) = prepared?;
        run.job.keeps_state = true;
        run.streams.awaited = Some(Awaited::Stdin);
        run.finish()
    }

    /// What a sandbox is made of: streams are null unless said otherwise, and nothing is collected in memory.
    pub(crate) fn prepare_sandbox(&mut self) -> Result<(Job, Streams), RunError> {
        let (Run { job, mut streams, .. }, _) = self.prepare(Pipes::Captured, Stdio::null)?;
        for output in [&mut streams.output, &mut streams.error] {
            if matches!(output, Sink::Capture(_)) {
                *output = Sink::Discard;
            }
        }
        Ok((job, streams))
    }

    fn prepare(&mut self, pipes: Pipes, default: fn() -> Stdio) -> Result<(Run, Ends), RunError> {
        let mut arguments = vec![self.name.clone().unwrap_or_else(|| self.program.name().as_bytes().to_vec())];
        arguments.extend(self.arguments.iter().cloned());
        let environment: Vec<Vec<u8>> =
            self.environment.iter().map(|(key, value)| [key.as_slice(), b"=", value].concat()).collect();
        for (what, strings) in [("an argument", &arguments), ("an environment variable", &environment)] {
            if let Some(bad) = strings.iter().find(|string| string.contains(&0)) {
                return Err(RunError::Nul { what: format!("{what}, {:?},", String::from_utf8_lossy(bad)) });
            }
        }
        let setup = |source| RunError::Setup { source };
        let take = |stream: &mut Option<Stdio>| stream.as_mut().map(Stdio::take);
        let (input, stdin) = take(&mut self.stdin).unwrap_or_else(Stdio::null).connect_input(pipes).map_err(setup)?;
        let output =
            take(&mut self.stdout).unwrap_or_else(default).connect_output(io::stdout(), pipes).map_err(setup)?;
        let error =
            take(&mut self.stderr).unwrap_or_else(default).connect_output(io::stderr(), pipes).map_err(setup)?;
        let Connected { output, pipe: stdout, writer: stdout_writer } = output;
        let Connected { output: error, pipe: stderr, writer: stderr_writer } = error;
        let streams = Streams::new(input, output, error, self.call.output_bytes());
        let current = self.directory.clone().map(|path| Placed { path, content: Content::Current });
        let job = Job {
            program: self.program.clone(),
            arguments,
            environment,
            files: self.files.iter().cloned().chain(current).collect(),
            limits: self.from.as_ref().map_or(&self.limits, |saved| &saved.limits).clone(),
            call: self.call.clone(),
            doorbell: self.doorbell,
            sources: self.sources,
            kill: None,
            from: self.from.clone(),
            keeps_state: false,
        };
        let writers = [stdout_writer, stderr_writer].into_iter().flatten().collect();
        Ok((Run { job, streams, writers }, Ends { stdin, stdout, stderr }))
    }
}

/// The embedder's ends of a child's pipes.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdin: Option<io::PipeWriter>,
    pub(crate) stdout: Option<io::PipeReader>,
    pub(crate) stderr: Option<io::PipeReader>,
}

/// A run, ready to go on whatever thread.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) job: Job,
    pub(crate) streams: Streams,
    writers: Vec<WriterThread>,
}

impl Run {
    /// Runs to the end and closes the streams.
    pub(crate) fn finish(&mut self) -> Result<Outcome, RunError> {
        let writers = std::mem::take(&mut self.writers);
        let outcome = run::run(&self.job, &mut self.streams, |streams, watch| close(&writers, streams, watch))?;
        join(writers);
        Ok(outcome)
    }

    /// The same as a task.
    async fn finish_awaited(self) -> Result<(Outcome, Streams), RunError> {
        let Self { job, streams, writers } = self;
        let mut task =
            RunTask::new(job, streams, |streams: &mut Streams, watch: &mut Watch| close(&writers, streams, watch))?;
        let outcome = (&mut task).await?;
        let streams = task.streams;
        join(writers);
        Ok((outcome, streams))
    }
}

/// Closes the pipes' ends, so that readers see the end and writer threads finish, and waits for these.
fn close(writers: &[WriterThread], streams: &mut Streams, watch: &mut Watch) -> Result<(), Refusal> {
    for output in [&mut streams.output, &mut streams.error] {
        if matches!(output, Sink::File(_)) {
            *output = Sink::Discard;
        }
    }
    streams.input = Input::Empty;
    for writer in writers {
        watch.wait_in_call(Done::Nothing, &[(writer.done.as_fd(), PollFlags::IN)], None)?;
    }
    Ok(())
}

fn join(writers: Vec<WriterThread>) {
    for writer in writers {
        if writer.thread.is_finished() {
            // A writer that failed has closed its pipe: the program has seen that, as it would see a reader gone.
            let _ = writer.thread.join();
        }
    }
}
