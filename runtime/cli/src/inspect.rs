//! `ampoule inspect`: what a program is, offers and needs, without running it.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::path::PathBuf;

use ampoule::{Function, Interface, Kind, Program};
use serde_json::{Value, json};

use crate::units::human_size;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// The program: a static Linux x86-64 ELF
    #[arg(value_name = "ELF")]
    program: PathBuf,
}

const EXAMPLES: &str = "Nothing is run, and no KVM is needed.
Exit code: 0, or 125 if it is not a program or its interface cannot be read.

Examples:
  ampoule inspect plugin.elf
  ampoule inspect --json plugin.elf | jq -r '.exports[].name'
  diff <(ampoule inspect old.elf) <(ampoule inspect new.elf)";

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    // Whether it may be run with such segments is decided when it is.
    let program = Program::options().allow_write_execute(true).from_file(&arguments.program)?;
    let report = Report { program: &program, interface: program.interface()? };
    let mut stdout = std::io::stdout().lock();
    if arguments.json {
        writeln!(stdout, "{}", report.json())?
    } else {
        write!(stdout, "{report}")?
    }
    Ok(0)
}

/// What is shown of a program.
struct Report<'a> {
    program: &'a Program,
    interface: &'a Interface,
}

impl Report<'_> {
    fn kind(&self) -> &'static str {
        match self.program.kind() {
            Kind::Static => "static",
            Kind::StaticPie => "static-pie",
            _ => "other",
        }
    }

    /// Bytes of all segments in memory.
    fn memory_size(&self) -> u64 {
        self.program.segments().iter().map(|segment| segment.memory_size()).fold(0, u64::saturating_add)
    }

    fn abi(&self) -> Option<String> {
        self.interface.version().map(|version| version.to_string())
    }

    fn json(&self) -> Value {
        let segments = self.program.segments().iter().map(|segment| {
            json!({
                "address": segment.address(),
                "memory_size": segment.memory_size(),
                "file_size": segment.data().len(),
                "protection": segment.protection().to_string(),
            })
        });
        let functions = |functions: &[Function]| -> Value {
            let one =
                |function: &Function| json!({"name": function.name(), "signature": function.signature().to_string()});
            functions.iter().map(one).collect()
        };
        json!({
            "name": self.program.name(),
            "kind": self.kind(),
            "entry": self.program.entry(),
            "file_size": self.program.file_size(),
            "memory_size": self.memory_size(),
            "segments": segments.collect::<Value>(),
            "abi": self.abi(),
            "exports": functions(self.interface.exports()),
            "imports": functions(self.interface.imports()),
        })
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let program = self.program;
        writeln!(f, "{:<9}{:?}", "program", program.name())?;
        writeln!(f, "{:<9}{}", "kind", self.kind())?;
        writeln!(f, "{:<9}{:#x}", "entry", program.entry())?;
        writeln!(
            f,
            "{:<9}{} in the file, {} in memory",
            "size",
            human_size(program.file_size()),
            human_size(self.memory_size())
        )?;
        writeln!(f, "segments")?;
        for segment in program.segments() {
            let (address, protection) = (segment.address(), segment.protection().to_string());
            let data = u64::try_from(segment.data().len()).unwrap_or(u64::MAX);
            let (memory, data) = (human_size(segment.memory_size()), human_size(data));
            writeln!(f, "  {protection}  {address:#014x}  {memory:>10}, {data} from the file")?;
        }
        match self.abi() {
            Some(version) => writeln!(f, "{:<9}{version}", "abi")?,
            None => writeln!(f, "{:<9}none: it exports and imports nothing", "abi")?,
        }
        for (title, functions) in [("exports", self.interface.exports()), ("imports", self.interface.imports())] {
            if !functions.is_empty() {
                writeln!(f, "{title}")?;
            }
            functions.iter().try_for_each(|function| writeln!(f, "  {function}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `mov eax, 60; syscall`, with a segment of notes of these types and texts.
    fn program(notes: &[(u8, &str)]) -> Program {
        let notes = notes.iter().flat_map(|&(kind, text)| {
            let size = u8::try_from(text.len() + 4).unwrap();
            let mut note =
                [&[8, 0, 0, 0, size, 0, 0, 0, kind, 0, 0, 0], &b"Ampoule\0\x01\0\0\0"[..], text.as_bytes()].concat();
            note.resize(note.len().next_multiple_of(4), 0);
            note
        });
        let notes: Vec<_> = notes.collect();
        let size = notes.len() as u64;
        let words: [u64; 23] = [
            0x0001_0102_464c_457f,
            0,
            0x0000_0001_003e_0002,
            0x40_00b0,
            64,
            0,
            0x0038_0040_0000_0000,
            2,
            0x0000_0005_0000_0001,
            0,
            0x40_0000,
            0x40_0000,
            184,
            184,
            0x1000,
            0x0000_0004_0000_0004,
            184,
            0,
            0,
            size,
            size,
            4,
            0x9005_0f00_0000_3cb8,
        ];
        Program::from_bytes([words.map(u64::to_le_bytes).as_flattened(), &notes].concat()).unwrap()
    }

    fn plugin() -> Program {
        program(&[(1, "score(name: string) -> f64"), (2, "log(bytes) -> bytes"), (1, "reset() -> ()")])
    }

    #[test]
    fn text_lists_the_program_and_its_functions() {
        let program = plugin();
        let text = Report { program: &program, interface: program.interface().unwrap() }.to_string();
        let wanted = "program  \"program\"
kind     static
entry    0x4000b0
size     320 B in the file, 184 B in memory
segments
  r-x  0x000000400000       184 B, 184 B from the file
abi      1.0
exports
  score(name: string) -> f64
  reset() -> ()
imports
  log(bytes) -> bytes
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn json_says_the_same() {
        let program = plugin();
        let json = Report { program: &program, interface: program.interface().unwrap() }.json();
        let wanted = json!({
            "name": "program",
            "kind": "static",
            "entry": 0x40_00b0,
            "file_size": 320,
            "memory_size": 184,
            "segments": [{"address": 0x40_0000, "memory_size": 184, "file_size": 184, "protection": "r-x"}],
            "abi": "1.0",
            "exports": [
                {"name": "score", "signature": "(name: string) -> f64"},
                {"name": "reset", "signature": "() -> ()"},
            ],
            "imports": [{"name": "log", "signature": "(bytes) -> bytes"}],
        });
        assert_eq!(json, wanted);
    }

    #[test]
    fn a_program_that_knows_nothing_of_ampoule_has_no_abi() {
        let program = program(&[]);
        let report = Report { program: &program, interface: program.interface().unwrap() };
        assert!(report.to_string().ends_with("abi      none: it exports and imports nothing\n"), "{report}");
        assert_eq!(report.json()["abi"], Value::Null);
    }
}
