//! `ampoule fuzz replay`: inputs once more, each with its full report.

use std::error::Error;
use std::path::PathBuf;

use ampoule::confine::Confinement;
use ampoule::fuzz::{FuzzError, Harness, Verdict};
use ampoule_libafl::CrashReport;
use serde_json::json;

use super::{CRASHED, inputs, target};
use crate::confine;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: target::TargetArguments,
    /// Inputs, and directories of them
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Runs each so often, and tells how often the same came of it
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Print a JSON object for each input, in a line on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confine: confine::Rights,
    #[command(flatten)]
    own: target::OwnArguments,
}

const EXAMPLES: &str = "Exit status: 0 the target took all of them; 1 one crashed, hung, used up its memory, or did not do the same each time;
125 Ampoule's own failure.

Examples:
  ampoule fuzz replay ./parser out/default/crashes
  ampoule fuzz replay --times 1000 ./parser out/default/crashes/id:000000*
  ampoule fuzz replay ./program input.bin -- --decode @@";

/// What came of an input.
struct Replayed {
    verdict: Verdict,
    /// Runs of which the same came, counters included.
    same: u32,
    edges: usize,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    if arguments.files.is_empty() {
        return Err("name the inputs: ampoule fuzz replay TARGET FILE…".into());
    }
    let target = arguments.target.open(&arguments.own)?;
    let mut inputs = Vec::new();
    for path in &arguments.files {
        let told = |error| format!("cannot read {}: {error}", path.display());
        for file in inputs::files(path).map_err(told)? {
            let bytes = std::fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            inputs.push((file, bytes));
        }
    }
    arguments.confine.apply(&Confinement::new())?;
    let mut harness = target.builder().build()?;
    let mut is_well = true;
    for (file, bytes) in &inputs {
        let replayed = replay(&mut harness, bytes, arguments.times)?;
        is_well &= replayed.verdict.is_ok() && replayed.same == arguments.times;
        if arguments.json {
            println!("{}", describe(&replayed, &file.to_string_lossy(), arguments.times));
            continue;
        }
        let text = match &replayed.verdict {
            Verdict::Crash(crash) => CrashReport::of(crash).text,
            verdict => format!("{verdict}\n"),
        };
        print!("{}: {text}", file.display());
        if arguments.times > 1 {
            println!("{} of {} the same", replayed.same, arguments.times);
        }
    }
    Ok(if is_well { 0 } else { CRASHED })
}

fn replay(harness: &mut Harness, input: &[u8], times: u32) -> Result<Replayed, FuzzError> {
    let verdict = harness.run(input)?;
    let counters = harness.counters().to_vec();
    let mut same = 1;
    for _ in 1..times {
        let again = harness.run(input)?;
        // How far a hang comes in its time is the machine's affair.
        let is_same = again == verdict && (verdict == Verdict::Hang || harness.counters() == counters);
        same += u32::from(is_same);
    }
    Ok(Replayed { verdict, same, edges: counters.iter().filter(|&&count| count > 0).count() })
}

fn describe(replayed: &Replayed, file: &str, times: u32) -> serde_json::Value {
    let Replayed { verdict, same, edges } = replayed;
    let kind = match verdict {
        Verdict::Ok => "ok",
        Verdict::Crash(_) => "crash",
        Verdict::Hang => "hang",
        Verdict::OutOfMemory => "out of memory",
        _ => "other",
    };
    let crash = verdict.crash().map(|crash| {
        let CrashReport { key, text } = CrashReport::of(crash);
        let signal = crash.signal().map(|signal| json!({"number": signal.number(), "name": signal.to_string()}));
        json!({"key": key, "signal": signal, "report": crash.report(), "text": text, "stderr": crash.stderr()})
    });
    json!({"file": file, "verdict": kind, "crash": crash, "edges": edges, "times": times, "same": same})
}
