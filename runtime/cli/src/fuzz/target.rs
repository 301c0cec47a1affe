//! What is fuzzed: the program, how it gets its inputs, and what it may use.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use ampoule::fuzz::{Harness, HarnessBuilder};
use ampoule::{Limits, Program};

use crate::units;

/// Where the input is, if the arguments have [`PLACEHOLDER`] and nobody says otherwise.
const INPUT: &str = "/input";
/// AFL's word for the input's path.
const PLACEHOLDER: &[u8] = b"@@";

#[derive(Debug, Clone, clap::Args)]
pub(super) struct TargetArguments {
    /// The target: a static Linux x86-64 ELF. It may stand behind `--`, too, as AFL has it
    #[arg(value_name = "TARGET")]
    program: Option<PathBuf>,
    /// The target reads its input from the file of this name, and not from stdin (@@ among its arguments stands for /input, if nothing is said here)
    #[arg(long, value_name = "PATH", conflicts_with = "function")]
    file: Option<OsString>,
    /// The exported function that takes inputs, if the target is a plugin [default: LLVMFuzzerTestOneInput]
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Time for an input
    #[arg(short = 't', long, value_name = "TIME", default_value = "100ms", value_parser = units::time)]
    timeout: Duration,
    /// Memory: program, heap, stack and page tables together
    #[arg(short = 'm', long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    memory: u64,
}

/// The last of the arguments: behind all others that have a place.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OwnArguments {
    /// The target's own arguments
    #[arg(value_name = "ARGS", last = true)]
    arguments: Vec<OsString>,
}

/// A program, read, and how it is made a harness of.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) program: Program,
    pub(super) path: PathBuf,
    file: Option<OsString>,
    function: Option<String>,
    pub(super) timeout: Duration,
    memory: u64,
    pub(super) arguments: Vec<OsString>,
}

impl TargetArguments {
    pub(super) fn open(&self, own: &OwnArguments) -> Result<Target, Box<dyn Error>> {
        let (path, given) = match (&self.program, own.arguments.split_first()) {
            (Some(path), _) => (path.clone(), own.arguments.as_slice()),
            (None, Some((path, given))) => (path.into(), given),
            (None, None) => return Err("name a target: ampoule fuzz TARGET".into()),
        };
        if self.timeout.is_zero() {
            return Err("no input is done in no time: --timeout must be more than 0".into());
        }
        let is_placed = given.iter().any(|argument| contains(argument, PLACEHOLDER));
        let file = self.file.clone().or_else(|| is_placed.then(|| INPUT.into()));
        let arguments = match &file {
            Some(file) => given.iter().map(|argument| replace(argument, PLACEHOLDER, file)).collect(),
            None => given.to_vec(),
        };
        let program = Program::from_file(&path)?;
        let (function, timeout, memory) = (self.function.clone(), self.timeout, self.memory);
        Ok(Target { program, path, file, function, timeout, memory, arguments })
    }
}

impl Target {
    pub(super) fn builder(&self) -> HarnessBuilder {
        let limits = Limits::new().memory(self.memory);
        let mut builder = Harness::builder(&self.program).timeout(self.timeout).limits(limits);
        if let Some(file) = &self.file {
            builder = builder.file(file);
        }
        if let Some(function) = &self.function {
            builder = builder.function(function);
        }
        self.arguments.iter().fold(builder, HarnessBuilder::arg)
    }

    /// What fuzzer_stats calls it.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

fn contains(text: &OsStr, word: &[u8]) -> bool {
    text.as_bytes().windows(word.len()).any(|bytes| bytes == word)
}

fn replace(text: &OsStr, word: &[u8], by: &OsStr) -> OsString {
    let (mut replaced, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        match rest.strip_prefix(word) {
            Some(behind) => {
                replaced.extend_from_slice(by.as_bytes());
                rest = behind;
            }
            None => {
                replaced.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_is_replaced_wherever_it_stands() {
        let replaced = |text: &str| replace(text.as_ref(), PLACEHOLDER, "/input".as_ref());
        for (text, wanted) in [("@@", "/input"), ("--in=@@", "--in=/input"), ("@", "@"), ("a@@b@@@", "a/inputb/input@")]
        {
            assert_eq!(replaced(text), wanted, "{text}");
        }
        assert!(contains("x@@".as_ref(), PLACEHOLDER) && !contains("x@y@".as_ref(), PLACEHOLDER));
    }
}
