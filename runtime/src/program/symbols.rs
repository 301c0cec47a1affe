//! The names of functions, for a backtrace: parsed on first use, and never a reason to refuse a program.
//!
//! Section headers and symbols are hints that a linker left; a hostile file can say anything there. So nothing is
//! copied (a name stays where it is in the file and is cut out when asked for), every count is capped, and what makes
//! no sense is skipped. The functions of a file may nest and overlap as they like. They are flattened once into
//! disjoint spans, each named after the nearest function that starts before it and covers it, so that a lookup is one
//! binary search whatever the file holds.
//!
//! ```text
//! functions   ├─ main ─────────────────────┤      ├─ exit ─┤
//!                   ├─ inner ─┤  ├ label (size 0: to the next function or the end of its segment)
//! spans       │main │  inner  │ma│ label ────────│  exit  │
//! ```

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use goblin::elf::section_header::{SHT_DYNSYM, SHT_STRTAB, SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::{STB_GLOBAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, Sym, Symtab};
use goblin::elf64::sym::SIZEOF_SYM;

use super::elf::{ELF64, part};
use super::sections;
use super::segments::Segment;

/// Symbols of any type looked at, in the order of the file: 96 MiB of table.
const MAX_SYMBOLS: usize = 1 << 22;

/// Functions kept, in the order of the file. At the most this makes 32 MiB of spans.
const MAX_FUNCTIONS: usize = 1 << 19;

/// A name is cut here. None is ever copied, so that there is no sum of them to cap.
const MAX_NAME_BYTES: usize = 4096;

/// The function that an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Name as in the file, mangled if the compiler mangles. It ends where something follows that is not printable
    /// UTF-8.
    pub name: &'a str,
    /// Bytes from the start of the function.
    pub offset: u64,
}

impl fmt::Display for Symbol<'_> {
    /// `main+0x1c`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.name, self.offset)
    }
}

/// Function symbols by address.
#[derive(Default)]
pub(super) struct Symbols {
    /// Ascending and disjoint.
    spans: Vec<Span>,
    /// Where the names are in the file.
    names: Range<usize>,
}

/// Addresses that one function has the best claim to.
struct Span {
    start: u64,
    end: u64,
    /// Where the function starts: before the span, if another function stands inside it.
    function: u64,
    name: Name,
}

/// Offset of a name into the names.
type Name = u32;

impl Symbols {
    /// The functions of `.symtab`, or of `.dynsym` if there are none. Empty if neither makes sense.
    pub(super) fn parse(bytes: &[u8], segments: &[Segment]) -> Self {
        let sections = sections::all(bytes);
        let table =
            |kind| Self::of_section(bytes, &sections, kind, segments).filter(|symbols| !symbols.spans.is_empty());
        table(SHT_SYMTAB).or_else(|| table(SHT_DYNSYM)).unwrap_or_default()
    }

    /// The function that `address` belongs to.
    pub(super) fn resolve<'a>(&self, bytes: &'a [u8], address: u64) -> Option<Symbol<'a>> {
        let after = self.spans.partition_point(|span| span.start <= address);
        let span = self.spans.get(after.checked_sub(1)?).filter(|span| address < span.end)?;
        let name = name(bytes.get(self.names.clone())?, span.name, MAX_NAME_BYTES);
        Some(Symbol { name, offset: address.checked_sub(span.function)? })
    }

    fn of_section(bytes: &[u8], sections: &[SectionHeader], kind: u32, segments: &[Segment]) -> Option<Self> {
        let table = sections.iter().find(|section| section.sh_type == kind)?;
        let names =
            sections.get(usize::try_from(table.sh_link).ok()?).filter(|section| section.sh_type == SHT_STRTAB)?;
        let strings = part(bytes, names.sh_offset, names.sh_size)?;
        let symbols = part(bytes, table.sh_offset, table.sh_size).filter(|_| table.sh_entsize == SIZEOF_SYM as u64)?;
        let symbols = Symtab::parse(symbols, 0, MAX_SYMBOLS.min(symbols.len() / SIZEOF_SYM), ELF64).ok()?;
        let functions = symbols.iter().filter_map(|symbol| function(&symbol, strings, segments)).take(MAX_FUNCTIONS);
        let start = usize::try_from(names.sh_offset).ok()?;
        Some(Self { spans: flatten(functions.collect()), names: start..start.saturating_add(strings.len()) })
    }
}

/// A function as its symbol tells it, ordered so that of two at one address the better comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    address: u64,
    /// One with a size is better.
    sizeless: bool,
    /// Global, weak, other.
    binding: u8,
    /// The longer one is better. Never beyond the segment.
    end: Reverse<u64>,
    name: Name,
}

/// The symbol as a function, if it is one that is defined in an executable segment and has a name.
fn function(symbol: &Sym, names: &[u8], segments: &[Segment]) -> Option<Function> {
    if ![STT_FUNC, STT_GNU_IFUNC].contains(&symbol.st_type()) || symbol.st_shndx == 0 {
        return None;
    }
    let address = symbol.st_value;
    let segment = segments.get(segments.partition_point(|segment| segment.address() <= address).checked_sub(1)?)?;
    if !segment.protection().execute || address >= segment.end() {
        return None;
    }
    let text = Name::try_from(symbol.st_name).ok().filter(|&at| !name(names, at, char::MAX.len_utf8()).is_empty())?;
    let sizeless = symbol.st_size == 0;
    let size = if sizeless { u64::MAX } else { symbol.st_size };
    let binding = match symbol.st_bind() {
        STB_GLOBAL => 0,
        STB_WEAK => 1,
        _ => 2,
    };
    Some(Function {
        address,
        sizeless,
        binding,
        end: Reverse(address.saturating_add(size).min(segment.end())),
        name: text,
    })
}

/// Spans that do not overlap, in ascending order; at most two for each function.
fn flatten(mut functions: Vec<Function>) -> Vec<Span> {
    functions.sort_unstable();
    functions.dedup_by_key(|function| function.address);
    let mut next = u64::MAX;
    for function in functions.iter_mut().rev() {
        if function.sizeless {
            function.end = Reverse(function.end.0.min(next));
        }
        next = function.address;
    }
    let mut spans = Vec::new();
    // Functions that have begun and may not have ended, the nearest last; and up to where the spans are complete.
    let mut open: Vec<Function> = Vec::new();
    let mut done = 0;
    let mut complete = |open: &mut Vec<Function>, limit: u64| {
        while let Some(&Function { address, end: Reverse(end), name, .. }) = open.last() {
            let stop = end.min(limit);
            if done < stop {
                spans.push(Span { start: done, end: stop, function: address, name });
                done = stop;
            }
            if end > limit {
                break;
            }
            open.pop();
        }
        done = limit;
    };
    for function in functions {
        complete(&mut open, function.address);
        open.push(function);
    }
    complete(&mut open, u64::MAX);
    spans.shrink_to_fit();
    spans
}

/// The printable UTF-8 that stands at `at`, up to a NUL or `max` bytes.
fn name(names: &[u8], at: Name, max: usize) -> &str {
    let rest = usize::try_from(at).ok().and_then(|at| names.get(at..)).unwrap_or_default();
    let text = rest.get(..max).unwrap_or(rest).utf8_chunks().next().map(|chunk| chunk.valid()).unwrap_or_default();
    text.split(char::is_control).next().unwrap_or_default()
}
