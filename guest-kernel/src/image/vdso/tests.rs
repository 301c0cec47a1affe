//! The image as its readers see it: goblin, and the look-ups that musl, glibc and Go do.

use goblin::elf::Elf;
use goblin::elf::dynamic::{DT_GNU_HASH, DT_HASH, DT_VERDEF, DT_VERSYM};
use goblin::elf::program_header::{PT_DYNAMIC, PT_GNU_EH_FRAME, PT_LOAD};

use super::*;
use crate::vdso::RETURN;

const FUNCTIONS: [(&str, u64); 5] = [
    ("clock_gettime", CLOCK_GETTIME),
    ("gettimeofday", GETTIMEOFDAY),
    ("time", TIME),
    ("clock_getres", CLOCK_GETRES),
    ("getcpu", GETCPU),
];

fn elf() -> Elf<'static> {
    Elf::parse(vdso()).unwrap()
}

fn offset(address: u64) -> usize {
    usize::try_from(address - VDSO).unwrap()
}

/// Little-endian numbers from `offset` on.
fn words(offset: u64) -> impl Iterator<Item = u32> {
    let bytes = &vdso()[usize::try_from(offset).unwrap()..];
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()))
}

fn table(tag: u64) -> u64 {
    elf().dynamic.unwrap().dyns.iter().find(|entry| entry.d_tag == tag).unwrap().d_val
}

/// Both names of each function, with where it is.
fn names() -> impl Iterator<Item = (String, u64)> {
    FUNCTIONS.into_iter().flat_map(|(name, address)| [(format!("__vdso_{name}"), address), (name.to_owned(), address)])
}

#[test]
fn it_is_a_shared_object_of_one_page_that_can_only_be_read_and_executed() {
    let elf = elf();
    assert!(elf.is_64 && elf.is_lib && elf.little_endian && elf.soname == Some("linux-vdso.so.1"));
    let kinds: Vec<_> = elf.program_headers.iter().map(|header| header.p_type).collect();
    assert_eq!(kinds, [PT_LOAD, PT_DYNAMIC, PT_GNU_EH_FRAME]);
    let page = &elf.program_headers[0];
    assert_eq!((page.p_offset, page.p_vaddr, page.p_filesz, page.p_memsz), (0, 0, 4096, 4096));
    assert!(page.is_read() && page.is_executable() && !page.is_write());
    assert!(elf.dynrelas.is_empty() && elf.dynrels.is_empty() && elf.libraries.is_empty(), "nothing to relocate");
}

#[test]
fn its_functions_are_where_the_contract_says_by_both_names_and_of_the_version_that_libcs_ask_for() {
    let elf = elf();
    // goblin looks for versions in sections, and there are none.
    let [file, version] = [0, 28].map(|at| words(table(DT_VERDEF) + at).take(7).collect::<Vec<_>>());
    assert_eq!(file[..2], [0x0001_0001, 0x0001_0001], "the file's own");
    assert_eq!((file[2], file[3], file[4]), (elf_hash("linux-vdso.so.1"), 20, 28));
    assert_eq!(version[..2], [1, 0x0001_0002], "version 2, with one name");
    assert_eq!((version[2], version[3], version[4]), (0x03ae_75f6, 20, 0), "the hash is what Go compares");
    let name = |at: u32| elf.dynstrtab.get_at(usize::try_from(at).unwrap());
    assert_eq!((name(file[5]), name(version[5])), (Some("linux-vdso.so.1"), Some("LINUX_2.6")));
    let versym = usize::try_from(table(DT_VERSYM)).unwrap();
    let versions = vdso()[versym..].chunks_exact(2).map(|of| u16::from_le_bytes(of.try_into().unwrap()));
    let symbols: Vec<_> = elf.dynsyms.iter().zip(versions).skip(1).collect();
    assert_eq!(symbols.len(), 2 * FUNCTIONS.len());
    for (name, address) in names() {
        let (symbol, of) =
            symbols.iter().find(|(symbol, _)| elf.dynstrtab.get_at(symbol.st_name) == Some(&name)).unwrap();
        assert_eq!(symbol.st_value, address - VDSO, "{name}");
        assert!(symbol.is_function() && symbol.st_shndx != 0, "{name}");
        assert_eq!(symbol.st_bind(), if name.starts_with("__vdso_") { 1 } else { 2 }, "{name}");
        assert_eq!(*of, 2, "{name}");
    }
}

#[test]
fn musl_finds_every_function_among_the_symbols_that_the_hash_table_counts() {
    let elf = elf();
    let count = usize::try_from(words(table(DT_HASH)).nth(1).unwrap()).unwrap();
    assert_eq!(count, elf.dynsyms.len());
}

#[test]
fn a_look_up_by_the_hash_table_finds_every_function_and_no_other_name() {
    let elf = elf();
    let find = |name: &str| {
        let table: Vec<_> = words(table(DT_HASH)).take(14).collect();
        let (buckets, chains) = (table[0], &table[3..]);
        let bucket = elf_hash(name) % buckets;
        let mut at = usize::try_from(table[2 + usize::try_from(bucket).unwrap()]).unwrap();
        while at != 0 {
            let symbol = elf.dynsyms.get(at).unwrap();
            if elf.dynstrtab.get_at(symbol.st_name) == Some(name) {
                return Some(symbol.st_value + VDSO);
            }
            at = usize::try_from(chains[at]).unwrap();
        }
        None
    };
    for (name, address) in names() {
        assert_eq!(find(&name), Some(address), "{name}");
    }
    assert_eq!((find(""), find("__vdso_getrandom")), (None, None));
}

#[test]
fn a_look_up_by_the_gnu_hash_table_finds_every_function_and_no_other_name() {
    let elf = elf();
    let find = |name: &str| {
        let table: Vec<_> = words(table(DT_GNU_HASH)).take(17).collect();
        assert_eq!(table[..7], [1, 1, 1, 0, u32::MAX, u32::MAX, 1]);
        for (at, hash) in (1..).zip(&table[7..]) {
            let symbol = elf.dynsyms.get(at).unwrap();
            if hash & !1 == gnu_hash(name) && elf.dynstrtab.get_at(symbol.st_name) == Some(name) {
                return Some(symbol.st_value + VDSO);
            }
            if hash & 1 == 1 {
                assert_eq!(at, 10, "the last symbol ends the chain");
                return None;
            }
        }
        panic!("the chain has no end");
    };
    for (name, address) in names() {
        assert_eq!(find(&name), Some(address), "{name}");
    }
    assert_eq!(find("__vdso_getrandom"), None);
}

#[test]
fn hashes_are_those_of_the_specifications() {
    assert_eq!(["", "printf", "exit", "LINUX_2.6"].map(elf_hash), [0, 0x077905a6, 0x0006cf04, 0x03ae75f6]);
    assert_eq!(["", "printf", "exit"].map(gnu_hash), [0x1505 & !1, 0x156b2bb8, 0x7c967e3f & !1]);
}

#[test]
fn one_rule_unwinds_all_of_its_code() {
    let elf = elf();
    let header = &elf.program_headers[2];
    let at = header.p_offset;
    assert_eq!(vdso()[usize::try_from(at).unwrap()..][..4], [1, 0x1b, 0x03, 0x3b]);
    let [frames, count, code, rule] =
        <[u32; 4]>::try_from(words(at + 4).take(4).collect::<Vec<_>>()).unwrap().map(u64::from);
    let fde = at + rule;
    assert_eq!((count, at + code), (1, CLOCK_GETTIME - VDSO));
    assert_eq!(at + 4 + frames, at + header.p_filesz, "the frames come behind the table");
    let [length, to_cie, start, bytes] =
        <[u32; 4]>::try_from(words(fde).take(4).collect::<Vec<_>>()).unwrap().map(u64::from);
    assert_eq!((length, fde + 4 - to_cie), (16, at + 4 + frames));
    assert_eq!((fde + 8 + start, bytes), (CLOCK_GETTIME - VDSO, VDSO + 4096 - CLOCK_GETTIME));
}

#[test]
fn code_that_nobody_calls_halts() {
    assert_eq!(vdso()[offset(SYSTEM_CALL)..offset(RETURN) + 1], [0x0f, 0x05, 0xc3]);
    assert!(vdso()[offset(RETURN) + 1..].iter().all(|&byte| byte == 0xf4));
    for (name, address) in FUNCTIONS {
        let end = offset(address + FUNCTION_BYTES);
        assert_eq!(vdso()[end - 1], 0xf4, "{name} fits with room to spare");
    }
}
