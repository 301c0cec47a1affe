//! `ampoule run`.

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ampoule::confine::Confinement;
use ampoule::{Call, Command, Doorbell, HostDir, Limits, Program, Report, Snapshot, Sources, Stdio};

use crate::{confine, report, units};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Memory: program, heap, stack and page tables together
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    memory: u64,
    /// Wall time, waiting included
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = units::time)]
    wall: Duration,
    /// CPU time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::time)]
    cpu: Duration,
    /// Bytes written to stdout and stderr together
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    output: u64,
    /// Files open at once
    #[arg(long, value_name = "COUNT", default_value_t = Limits::DEFAULT_OPEN_FILES)]
    open_files: u16,
    /// An environment variable; the program gets no others (repeat for more)
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// A directory of this host that the program may use at a path of its own: read-only, or with :rw to be changed (repeat for more)
    #[arg(long, value_name = "HOST:GUEST[:rw]", value_parser = directory)]
    dir: Vec<Directory>,
    /// The directory that the program starts in, a path of its own [default: /]
    #[arg(long, value_name = "GUEST")]
    cwd: Option<OsString>,
    /// Where time and randomness come from: the host, a clock that stands still, or a seed (0, 1, …) that makes runs repeat themselves [default: real]
    #[arg(long, value_name = "real|frozen|SEED", value_parser = sources)]
    sources: Option<Sources>,
    /// Allow segments that are writable and executable at once
    #[arg(long)]
    allow_write_execute: bool,
    /// How the guest rings for a system call (see `ampoule doctor`)
    #[arg(long, value_enum, default_value = "port")]
    doorbell: Bell,
    #[command(flatten)]
    confine: confine::Rights,
    /// Print what the run cost, on stderr
    #[arg(long)]
    stats: bool,
    /// Print how it ended and what it cost as one JSON object, on stderr
    #[arg(long)]
    json: bool,
    /// The program: a static Linux x86-64 ELF, or a snapshot of one, which goes on
    #[arg(value_name = "ELF|SNAPSHOT")]
    program: PathBuf,
    /// Its arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// `--dir`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    host: PathBuf,
    guest: String,
    writable: bool,
}

/// The doorbells by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Bell {
    Port,
    Hypercall,
}

const EXAMPLES: &str =
    "Exit code: the program's own; 124 wall or CPU time; 137 memory or output; 125 Ampoule's own failure;
128 + signal for signals and traps (132 SIGILL, 134 SIGABRT, 135 SIGBUS, 136 SIGFPE, 139 SIGSEGV).

Examples:
  echo hello | ampoule run /bin/busybox sha256sum
  ampoule run --memory 128M --wall 2s --cpu 1s --env LANG=C ./prog --its-own-option
  ampoule run --dir ./data:/data:rw --cwd /data /bin/busybox ls -l
  ampoule run --sources 7 ./prog       the same time and randomness in every run
  ampoule run --stats ./prog
  ampoule run app.amp                  what `ampoule snapshot save` has stopped, --after a time or --at-input
  ampoule run --json ./prog 2>report.json";

pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

fn directory(text: &str) -> Result<Directory, String> {
    let (paths, writable) = match text.strip_suffix(":rw") {
        Some(paths) => (paths, true),
        None => (text.strip_suffix(":ro").unwrap_or(text), false),
    };
    // The host's path may have colons, the guest's is made up for the purpose.
    match paths.rsplit_once(':') {
        Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => {
            Ok(Directory { host: host.into(), guest: guest.to_owned(), writable })
        }
        _ => Err("write HOST:GUEST or HOST:GUEST:rw, where GUEST is an absolute path".to_owned()),
    }
}

fn sources(text: &str) -> Result<Sources, String> {
    match text {
        "real" => Ok(Sources::Real),
        "frozen" => Ok(Sources::Frozen),
        seed => match seed.parse() {
            Ok(seed) => Ok(Sources::Deterministic(seed)),
            Err(_) => Err("write real, frozen, or a seed from 0 to 18446744073709551615".to_owned()),
        },
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<u8, Box<dyn Error>> {
    let limits = Limits::new().memory(arguments.memory).open_files(arguments.open_files);
    let (mut command, program) =
        if Snapshot::is_in_file(&arguments.program) { go_on(&arguments, limits)? } else { start(&arguments, limits)? };
    command.stdin(Stdio::inherit()).call(Call::new().wall(arguments.wall).cpu(arguments.cpu).output(arguments.output));
    arguments.confine.apply(&confinement(&arguments.dir))?;
    let status = command.status()?;
    let crash = Report::new(&program, &status.end, status.site());
    if arguments.json {
        eprintln!("{}", report::json(&status.end, &status.stats, crash.as_ref()));
    } else {
        report::end(program.name(), &status.end, crash.as_ref());
        if arguments.stats {
            report::stats(&status.stats);
        }
    }
    Ok(report::exit_code(&status.end))
}

/// What is opened after the program has begun: what lies in its directories.
fn confinement(directories: &[Directory]) -> Confinement {
    directories.iter().fold(Confinement::new(), |confinement, Directory { host, writable, .. }| {
        if *writable { confinement.allow_write(host) } else { confinement.allow_read(host) }
    })
}

/// A program from its beginning.
fn start(arguments: &Arguments, limits: Limits) -> Result<(Command, Program), Box<dyn Error>> {
    let program =
        Program::options().allow_write_execute(arguments.allow_write_execute).from_file(&arguments.program)?;
    let mut command = Command::new(&program);
    command
        .arg0(&arguments.program)
        .args(&arguments.arguments)
        .doorbell(match arguments.doorbell {
            Bell::Port => Doorbell::Port,
            Bell::Hypercall => Doorbell::Hypercall,
        })
        .sources(arguments.sources.unwrap_or(Sources::Real))
        .limits(limits);
    for (key, value) in &arguments.env {
        command.env(key, value);
    }
    for Directory { host, guest, writable } in &arguments.dir {
        let directory = if *writable { HostDir::read_write(host)? } else { HostDir::read_only(host)? };
        command.dir(guest, &directory);
    }
    if let Some(directory) = &arguments.cwd {
        command.current_dir(directory);
    }
    Ok((command, program))
}

/// A program from where it was stopped.
fn go_on(arguments: &Arguments, limits: Limits) -> Result<(Command, Program), Box<dyn Error>> {
    let has_more = !arguments.arguments.is_empty() || !arguments.env.is_empty() || !arguments.dir.is_empty();
    if has_more || arguments.cwd.is_some() || arguments.sources.is_some() {
        return Err(
            "the program in a snapshot has started: it takes no more arguments, --env, --dir, --cwd or --sources"
                .into(),
        );
    }
    let options = Snapshot::options().limits(limits).allow_write_execute(arguments.allow_write_execute);
    let snapshot = options.load(&arguments.program)?;
    if snapshot.is_called() {
        return Err("the program in the snapshot is a plugin, which waits to be called: spawn it from its host, with Snapshot::load".into());
    }
    Ok((snapshot.command()?, snapshot.program().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_two_paths_and_perhaps_a_right() {
        let wanted =
            |host: &str, guest: &str, writable| Ok(Directory { host: host.into(), guest: guest.to_owned(), writable });
        assert_eq!(directory("data:/data"), wanted("data", "/data", false));
        assert_eq!(directory("data:/data:ro"), wanted("data", "/data", false));
        assert_eq!(directory("/a:b:/data:rw"), wanted("/a:b", "/data", true));
        for text in ["", "data", ":/data", "data:", "data:relative", "data:rw", "data:/x:rx"] {
            assert!(directory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sources_are_two_words_or_a_seed() {
        assert_eq!(sources("real"), Ok(Sources::Real));
        assert_eq!(sources("frozen"), Ok(Sources::Frozen));
        assert_eq!(sources("18446744073709551615"), Ok(Sources::Deterministic(u64::MAX)));
        for text in ["", "Real", "-1", "18446744073709551616", "0x7", "seed"] {
            assert!(sources(text).is_err(), "{text}");
        }
    }
}
