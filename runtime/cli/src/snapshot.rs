//! `ampoule snapshot`: a running program in a file.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ampoule::confine::Confinement;
use ampoule::{Call, Command, End, Imports, Limit, Limits, Program, Sandbox, Snapshot, State, Stdio};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::confine;
use crate::run::variable;
use crate::units::{self, human_size};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Start a program, stop it, and write it to a file
    Save(Save),
    /// Tell what is in a snapshot file, without running it
    Show(Show),
}

#[derive(Debug, clap::Args)]
#[command(after_help = SAVE_EXAMPLES)]
struct Save {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Stop it where it waits for its first call: a plugin that imports nothing (the default)
    #[arg(long)]
    until_serve: bool,
    /// Stop it after this time, wherever it is: a program that nobody calls
    #[arg(long, value_name = "TIME", value_parser = units::time, conflicts_with = "until_serve")]
    after: Option<Duration>,
    /// Stop it where it first asks for input, to run it from there with one input after the other
    #[arg(long, conflicts_with_all = ["until_serve", "after"])]
    at_input: bool,
    /// Memory: program, heap, stack and page tables together
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    memory: u64,
    /// Files open at once
    #[arg(long, value_name = "COUNT", default_value_t = Limits::DEFAULT_OPEN_FILES)]
    open_files: u16,
    /// An environment variable; the program gets no others (repeat for more)
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Allow segments that are writable and executable at once
    #[arg(long)]
    allow_write_execute: bool,
    #[command(flatten)]
    confine: confine::Rights,
    /// The program: a static Linux x86-64 ELF
    #[arg(value_name = "ELF")]
    program: PathBuf,
    /// Its arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

const SAVE_EXAMPLES: &str =
    "What the program prints before it is stopped goes to stdout and stderr; its stdin is empty, and with --at-input not looked at.
The file holds the program's memory: whoever can read it can read what the program knows.
Exit code: 0, or 125 if there is no snapshot.

Examples:
  ampoule snapshot save plugin.elf -o plugin.amp
  ampoule snapshot save --after 100ms -o app.amp ./app --its-own-option
  ampoule run app.amp
  ampoule snapshot save --at-input -o filter.amp ./filter --its-own-option
  ampoule run filter.amp < first; ampoule run filter.amp < second";

#[derive(Debug, clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
struct Show {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// The largest memory limit that the snapshot may have
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    memory: u64,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const SHOW_EXAMPLES: &str = "Nothing is run, and no KVM is needed.
Exit code: 0, or 125 if it is no snapshot that can be loaded here.

Examples:
  ampoule snapshot show app.amp
  ampoule snapshot show --json app.amp | jq .memory";

pub(crate) fn run(arguments: Arguments) -> Result<u8, Box<dyn Error>> {
    match arguments.command {
        Subcommands::Save(save) => write(&save),
        Subcommands::Show(show) => print(&show),
    }
}

fn write(save: &Save) -> Result<u8, Box<dyn Error>> {
    let program = Program::options().allow_write_execute(save.allow_write_execute).from_file(&save.program)?;
    let limits = Limits::new().memory(save.memory).open_files(save.open_files);
    // The file is made beside its final name.
    let beside = save.output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    save.confine.apply(&Confinement::new().allow_write(beside))?;
    let snapshot = match save.after {
        Some(after) => stopped_after(save, &program, limits, after)?,
        None if save.at_input => stopped_at_input(save, &program, limits)?,
        None => until_serve(save, &program, limits)?,
    };
    snapshot.save(&save.output)?;
    Ok(0)
}

fn until_serve(save: &Save, program: &Program, limits: Limits) -> Result<Snapshot, Box<dyn Error>> {
    if let Some(import) = program.interface()?.imports().first() {
        let name = import.name();
        return Err(format!(
            "the program imports `{name}`, which this command cannot offer: save it from its host, with Snapshot::save"
        )
        .into());
    }
    let mut builder =
        Sandbox::builder(program, &Imports::new()).limits(limits).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    for argument in &save.arguments {
        builder = builder.arg(argument);
    }
    for (key, value) in &save.env {
        builder = builder.env(key, value);
    }
    Ok(builder.build(())?.snapshot()?)
}

fn stopped_after(save: &Save, program: &Program, limits: Limits, after: Duration) -> Result<Snapshot, Box<dyn Error>> {
    // CPU time never ends it first.
    let stopped = command(save, program, limits).call(Call::new().wall(after).cpu(after.saturating_mul(2))).stop()?;
    stopped.snapshot.ok_or_else(|| match stopped.end {
        End::Limit(Limit::Wall) => {
            "the program was not under way, or in the middle of writing: try another --after".into()
        }
        end => format!("the program ended before it was stopped ({end}): try a shorter --after").into(),
    })
}

fn stopped_at_input(save: &Save, program: &Program, limits: Limits) -> Result<Snapshot, Box<dyn Error>> {
    let stopped = command(save, program, limits).stop_at_input()?;
    stopped.snapshot.ok_or_else(|| format!("the program did not come to ask for input ({})", stopped.end).into())
}

/// A program that nobody calls.
fn command(save: &Save, program: &Program, limits: Limits) -> Command {
    let mut command = Command::new(program);
    command.arg0(&save.program).args(&save.arguments).limits(limits);
    for (key, value) in &save.env {
        command.env(key, value);
    }
    command
}

fn print(show: &Show) -> Result<u8, Box<dyn Error>> {
    let limits = Limits::new().memory(show.memory).open_files(u16::MAX);
    // It is not run here.
    let snapshot = Snapshot::options().limits(limits).allow_write_execute(true).load(&show.file)?;
    let report = Report(&snapshot);
    let mut stdout = std::io::stdout().lock();
    if show.json {
        writeln!(stdout, "{}", report.json())?
    } else {
        write!(stdout, "{report}")?
    }
    Ok(0)
}

/// What is shown of a snapshot.
struct Report<'a>(&'a Snapshot);

impl Report<'_> {
    fn state(&self) -> &'static str {
        match (self.0.is_called(), self.0.state()) {
            (true, State::Ready) => "waits for a call",
            (true, _) => "stopped in a call",
            (false, _) => "stopped; `ampoule run` goes on",
        }
    }

    fn json(&self) -> Value {
        json!({
            "program": self.0.program().name(),
            "program_size": self.0.program().file_size(),
            "state": match (self.0.is_called(), self.0.state()) {
                (true, State::Ready) => "ready",
                (true, _) => "stopped_in_call",
                (false, _) => "stopped",
            },
            "memory": self.0.memory(),
            "memory_limit": self.0.limits().memory_bytes(),
            "features": self.0.processor_features(),
        })
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (program, limit) = (self.0.program(), self.0.limits().memory_bytes());
        writeln!(f, "{:<10}{:?}, {}", "program", program.name(), human_size(program.file_size()))?;
        writeln!(f, "{:<10}{}", "state", self.state())?;
        writeln!(f, "{:<10}{} of at most {}", "memory", human_size(self.0.memory()), human_size(limit))?;
        let features = self.0.processor_features();
        let features = if features.is_empty() { "none".to_owned() } else { features.join(" ") };
        writeln!(f, "{:<10}{features}", "needs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot of a program that waits for a call: the example of the format's document.
    fn example() -> Snapshot {
        let document = include_str!("../../../docs/snapshot-format.md");
        let bytes = |title: &str| -> Vec<u8> {
            let (_, block) = document.split_once(&format!("```text {title}\n")).unwrap();
            let (block, _) = block.split_once("```").unwrap();
            let digits = block.lines().filter_map(|line| line.split_once('│')).map(|(bytes, _)| bytes);
            digits.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
        };
        let (before, after) = (bytes("before the personality"), bytes("after the personality"));
        let mut page = vec![0; 4096];
        page[..128].copy_from_slice(&before[44..172]);
        Snapshot::from_bytes(&[&before[..], &bytes("personality"), &after[..25], &page, &after[25..]].concat()).unwrap()
    }

    #[test]
    fn text_tells_what_is_in_a_file() {
        let wanted = "program   \"p\", 128 B
state     waits for a call
memory    4.0 KiB of at most 256.0 KiB
needs     none
";
        assert_eq!(Report(&example()).to_string(), wanted);
    }

    #[test]
    fn json_says_the_same() {
        let wanted = json!({
            "program": "p",
            "program_size": 128,
            "state": "ready",
            "memory": 4096,
            "memory_limit": 262_144,
            "features": [],
        });
        assert_eq!(Report(&example()).json(), wanted);
    }
}
