//! ELF files made by hand: every field can be set to what no linker would write.

use ampoule_kernel::note::NAME;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_DYNAMIC, PT_LOAD};

pub(crate) const TEXT: u64 = 0x40_1000;
pub(crate) const DATA: u64 = 0x40_3008;
/// Where notes lie in the file, if there are any.
pub(crate) const NOTES: u64 = 0x8000;
/// The program header of the notes.
pub(crate) const NOTES_INDEX: usize = 5;

/// One program header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) alignment: u64,
}

impl Header {
    /// A loadable segment of `size` bytes at `address`, without bytes in the file.
    pub(crate) fn zeros(address: u64, size: u64) -> Self {
        Self {
            kind: PT_LOAD,
            flags: PF_R | PF_W,
            offset: 0,
            address,
            file_size: 0,
            memory_size: size,
            alignment: 0x1000,
        }
    }
}

/// A symbol: name, address, size, `st_info` and section.
#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: Vec<u8>,
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) info: u8,
    pub(crate) section: u16,
}

/// Everything that makes the file; `count` and `entry_size` of tables can be wrong on purpose.
#[derive(Debug, Clone)]
pub(crate) struct Elf {
    pub(crate) ident: [u8; 16],
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) version: u32,
    pub(crate) entry: u64,
    pub(crate) headers_offset: u64,
    pub(crate) header_size: u16,
    /// If not as many as there are.
    pub(crate) count: Option<u16>,
    pub(crate) headers: Vec<Header>,
    /// Written at 0x2800.
    pub(crate) dynamic: Vec<(u64, u64)>,
    pub(crate) symbols: Vec<Symbol>,
    /// 2 for `.symtab`, 11 for `.dynsym`.
    pub(crate) symbol_section: u32,
    /// Written at [`NOTES`].
    pub(crate) notes: Vec<u8>,
}

impl Elf {
    /// A program as linkers make it: headers, text, and data that ends in zeros. 0x3000 bytes.
    pub(crate) fn program() -> Self {
        let text = Header {
            kind: PT_LOAD,
            flags: PF_R | PF_X,
            offset: 0x1000,
            address: TEXT,
            file_size: 0x800,
            memory_size: 0x800,
            alignment: 0x1000,
        };
        Self {
            ident: *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
            kind: 2,
            machine: 62,
            version: 1,
            entry: TEXT + 0x10,
            headers_offset: 64,
            header_size: 56,
            count: None,
            headers: vec![
                Header { flags: PF_R, offset: 0, address: 0x40_0000, file_size: 0x400, memory_size: 0x400, ..text },
                text,
                Header {
                    flags: PF_R | PF_W,
                    offset: 0x2008,
                    address: DATA,
                    file_size: 0x600,
                    memory_size: 0x2100,
                    ..text
                },
                // PT_TLS, PT_GNU_STACK, PT_NOTE, PT_GNU_RELRO, PT_GNU_PROPERTY and a processor's own: all tolerated.
                Header { kind: 7, ..text },
                Header { kind: 0x6474_e551, flags: 7, ..Header::zeros(0, 0) },
                Header { kind: 4, offset: u64::MAX, ..text },
                Header { kind: 0x6474_e552, ..text },
                Header { kind: 0x6474_e553, ..text },
                Header { kind: 0x7000_0001, ..text },
            ],
            dynamic: Vec::new(),
            symbols: Vec::new(),
            symbol_section: 2,
            notes: Vec::new(),
        }
    }

    /// The same, position-independent: linked at 0, with a dynamic table.
    pub(crate) fn static_pie(dynamic: &[(u64, u64)]) -> Self {
        let mut elf = Self::program();
        elf.kind = 3;
        elf.entry -= 0x40_0000;
        elf.headers.iter_mut().for_each(|header| header.address = header.address.saturating_sub(0x40_0000));
        elf.with_dynamic(dynamic)
    }

    pub(crate) fn with_dynamic(mut self, dynamic: &[(u64, u64)]) -> Self {
        self.dynamic = dynamic.to_vec();
        let size = dynamic.len() as u64 * 16;
        let at = Header { kind: PT_DYNAMIC, offset: 0x2800, file_size: size, ..Header::zeros(0x3800, size) };
        self.headers.push(at);
        self
    }

    /// With a segment of notes.
    pub(crate) fn with_notes(mut self, notes: &[u8]) -> Self {
        self.notes = notes.to_vec();
        self.with(NOTES_INDEX, |header| {
            (header.offset, header.file_size, header.alignment) = (NOTES, notes.len() as u64, 4);
        })
    }

    /// Changes program header `index`; 1 is the text, 2 the data.
    pub(crate) fn with(mut self, index: usize, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.headers[index]);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut bytes = self.ident.to_vec();
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.machine.to_le_bytes());
        bytes.extend(self.version.to_le_bytes());
        let sections: u64 = if self.symbols.is_empty() { 0 } else { 0x3000 };
        bytes.extend([self.entry, self.headers_offset, sections].map(u64::to_le_bytes).as_flattened());
        bytes.extend(0_u32.to_le_bytes());
        let count = self.count.unwrap_or(self.headers.len().try_into().unwrap());
        let halves = [64, self.header_size, count, 64, if sections == 0 { 0 } else { 3 }, 0];
        bytes.extend(halves.map(u16::to_le_bytes).as_flattened());
        for header in &self.headers {
            bytes.extend(header.kind.to_le_bytes());
            bytes.extend(header.flags.to_le_bytes());
            let Header { offset, address, file_size, memory_size, alignment, .. } = *header;
            let words = [offset, address, address, file_size, memory_size, alignment];
            bytes.extend(words.map(u64::to_le_bytes).as_flattened());
        }
        bytes.resize(bytes.len().max(0x2800), 0xcc);
        bytes.extend(self.dynamic.iter().flat_map(|&(tag, value)| [tag, value].map(u64::to_le_bytes).concat()));
        bytes.resize(bytes.len().max(0x3000), 0);
        if sections != 0 {
            self.add_sections(&mut bytes);
        }
        if !self.notes.is_empty() {
            bytes.resize(NOTES.try_into().unwrap(), 0);
            bytes.extend(&self.notes);
        }
        bytes
    }

    /// Three sections: none, the symbols, their names.
    fn add_sections(&self, bytes: &mut Vec<u8>) {
        let (mut table, mut names) = (vec![0; 24], vec![0]);
        for symbol in &self.symbols {
            table.extend(u32::try_from(names.len()).unwrap().to_le_bytes());
            table.extend([symbol.info, 0]);
            table.extend(symbol.section.to_le_bytes());
            table.extend(symbol.address.to_le_bytes());
            table.extend(symbol.size.to_le_bytes());
            names.extend(&symbol.name);
            names.push(0);
        }
        let start = 0x3000 + 3 * 64;
        let middle = start + table.len() as u64;
        let section = |kind: u32, offset: u64, size: usize, link: u32, entry: u64| {
            let words = [0, 0, offset, size as u64, u64::from(link), 0, entry].map(u64::to_le_bytes).concat();
            [&0_u32.to_le_bytes()[..], &kind.to_le_bytes(), &words].concat()
        };
        bytes.extend(section(0, 0, 0, 0, 0));
        bytes.extend(section(self.symbol_section, start, table.len(), 2, 24));
        bytes.extend(section(3, middle, names.len(), 0, 0));
        bytes.extend(table);
        bytes.extend(names);
    }
}

/// A note, aligned to 4.
pub(crate) fn note(owner: &[u8], kind: u32, description: &[u8]) -> Vec<u8> {
    let sizes = [owner.len(), description.len()].map(|size| u32::try_from(size).unwrap().to_le_bytes());
    let mut bytes = [sizes.as_flattened(), &kind.to_le_bytes(), owner].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(description);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A note of Ampoule's: of ABI 1.0, with this text.
pub(crate) fn function(kind: u32, text: &str) -> Vec<u8> {
    note(&NAME, kind, &[&[1, 0, 0, 0], text.as_bytes()].concat())
}

/// Adds two sections at the end of a file without any: their names, and one that lies at `offset`.
pub(crate) fn add_section(bytes: &mut Vec<u8>, name: &str, kind: u32, offset: u64, size: u64) {
    let names = [b"\0", name.as_bytes(), b"\0"].concat();
    let names_offset = bytes.len() as u64;
    bytes.extend(&names);
    let table = bytes.len() as u64;
    for (name, kind, offset, size) in [(0_u32, 3, names_offset, names.len() as u64), (1, kind, offset, size)] {
        bytes.extend(name.to_le_bytes());
        bytes.extend(u32::to_le_bytes(kind));
        bytes.extend([0, 0, offset, size, 0, 4, 0].map(u64::to_le_bytes).as_flattened());
    }
    bytes[40..48].copy_from_slice(&table.to_le_bytes());
    bytes[60..64].copy_from_slice(&[2, 0, 0, 0]);
}
