//! Names of functions: the nearest that covers, whatever the table says.

use super::builder::{DATA, Elf, Symbol, TEXT};
use crate::program::Program;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const FUNCTION: u8 = 2;
const GLOBAL: u8 = 1 << 4;
const WEAK: u8 = 2 << 4;

fn symbol(name: &str, address: u64, size: u64) -> Symbol {
    Symbol { name: name.into(), address, size, info: FUNCTION | GLOBAL, section: 1 }
}

fn program(symbols: Vec<Symbol>) -> Program {
    Program::from_bytes(Elf { symbols, ..Elf::program() }.build()).unwrap()
}

#[track_caller]
fn expect(program: &Program, address: u64, wanted: Option<&str>) {
    assert_eq!(program.symbol_at(address).map(|symbol| symbol.to_string()).as_deref(), wanted, "{address:#x}");
}

#[test]
fn an_address_has_the_name_of_the_function_that_covers_it() {
    let program = program(vec![symbol("exit", TEXT + 0x40, 0x10), symbol("main", TEXT + 0x10, 0x20)]);
    expect(&program, TEXT + 0xf, None);
    expect(&program, TEXT + 0x10, Some("main+0x0"));
    expect(&program, TEXT + 0x2f, Some("main+0x1f"));
    expect(&program, TEXT + 0x30, None);
    expect(&program, TEXT + 0x4f, Some("exit+0xf"));
    expect(&program, TEXT + 0x50, None);
    expect(&program, u64::MAX, None);
    expect(&program, 0, None);
}

#[test]
fn a_function_inside_another_is_nearer_until_it_ends() {
    let program = program(vec![
        symbol("outer", TEXT, 0x100),
        symbol("inner", TEXT + 0x10, 0x10),
        symbol("tail", TEXT + 0x80, 0x200),
    ]);
    expect(&program, TEXT + 0xf, Some("outer+0xf"));
    expect(&program, TEXT + 0x10, Some("inner+0x0"));
    expect(&program, TEXT + 0x20, Some("outer+0x20"));
    expect(&program, TEXT + 0x90, Some("tail+0x10"));
    expect(&program, TEXT + 0x27f, Some("tail+0x1ff"));
}

#[test]
fn a_function_without_a_size_reaches_to_the_next_one_or_the_end_of_its_segment() {
    let program =
        program(vec![symbol("start", TEXT, 0), symbol("main", TEXT + 0x20, 0x10), symbol("last", TEXT + 0x40, 0)]);
    expect(&program, TEXT + 0x1f, Some("start+0x1f"));
    expect(&program, TEXT + 0x30, None);
    expect(&program, TEXT + 0x7ff, Some("last+0x7bf"));
    expect(&program, TEXT + 0x800, None);
}

#[test]
fn a_function_ends_with_its_segment_whatever_its_size() {
    let program = program(vec![symbol("long", TEXT + 0x10, u64::MAX)]);
    expect(&program, TEXT + 0x7ff, Some("long+0x7ef"));
    expect(&program, TEXT + 0x800, None);
}

#[test]
fn of_two_names_for_one_address_the_sized_then_the_global_then_the_longer_one_wins() {
    let local = |name, size| Symbol { info: FUNCTION, ..symbol(name, TEXT, size) };
    let weak = |name, size| Symbol { info: FUNCTION | WEAK, ..symbol(name, TEXT, size) };
    expect(&program(vec![weak("weak", 9), symbol("global", TEXT, 4), local("local", 9)]), TEXT, Some("global+0x0"));
    expect(&program(vec![local("local", 9), weak("weak", 4)]), TEXT, Some("weak+0x0"));
    expect(&program(vec![symbol("short", TEXT, 4), symbol("long", TEXT, 8)]), TEXT, Some("long+0x0"));
    expect(&program(vec![symbol("sizeless", TEXT, 0), local("sized", 4)]), TEXT, Some("sized+0x0"));
}

#[test]
fn only_functions_that_are_defined_in_code_and_have_a_name_count() {
    let other = [
        Symbol { info: GLOBAL, ..symbol("label", TEXT, 4) },
        Symbol { info: GLOBAL | 1, ..symbol("object", TEXT, 4) },
        Symbol { section: 0, ..symbol("undefined", TEXT, 4) },
        symbol("data", DATA, 4),
        symbol("beyond", TEXT + 0x800, 4),
        symbol("absolute", u64::MAX, u64::MAX),
        symbol("", TEXT, 4),
        symbol("\x1b[2J", TEXT, 4),
        Symbol { name: vec![0xff, b'a'], ..symbol("", TEXT, 4) },
    ];
    let program = program(other.to_vec());
    for address in [TEXT, DATA, TEXT + 0x800, u64::MAX] {
        expect(&program, address, None);
    }
    let indirect = Symbol { info: GLOBAL | 10, ..symbol("memcpy", TEXT, 4) };
    expect(&super::symbols::program(vec![indirect]), TEXT, Some("memcpy+0x0"));
}

#[test]
fn a_name_ends_where_it_is_not_printable_or_too_long() {
    let named = |name: &[u8]| program(vec![Symbol { name: name.into(), ..symbol("", TEXT, 4) }]);
    expect(&named(b"good\xff\xfebad"), TEXT, Some("good+0x0"));
    expect(&named(b"good\x1b[2Jbad"), TEXT, Some("good+0x0"));
    expect(&named("größe🦀".as_bytes()), TEXT, Some("größe🦀+0x0"));
    expect(&named("🦀".as_bytes()), TEXT, Some("🦀+0x0"));
    assert_eq!(named(&[b'x'; 10_000]).symbol_at(TEXT).unwrap().name.len(), 4096);
}

#[test]
fn a_stripped_program_falls_back_on_its_dynamic_symbols_and_then_has_none() {
    let dynamic = Elf { symbols: vec![symbol("main", TEXT, 4)], symbol_section: 11, ..Elf::program() };
    expect(&Program::from_bytes(dynamic.build()).unwrap(), TEXT, Some("main+0x0"));
    expect(&program(Vec::new()), TEXT, None);
}

/// What the documentation promises, in the plainest words; of functions that start together, only the longest.
fn nearest(functions: &BTreeMap<u64, u64>, address: u64) -> Option<u64> {
    let covers = |&(&start, &size): &(&u64, &u64)| {
        let next = functions.range(start + 1..).next().map_or(0x800, |(&next, _)| next);
        address < if size == 0 { next } else { start + size }
    };
    functions.range(..=address).rev().find(covers).map(|(&start, _)| start)
}

proptest! {
    #[test]
    fn the_nearest_function_that_covers_is_found(functions in vec((0_u64..0x100, 0_u64..0x90), 1..40)) {
        let symbols = functions.iter().map(|&(start, size)| symbol(&format!("f{start}"), TEXT + start, size)).collect();
        let program = program(symbols);
        let mut longest = BTreeMap::new();
        for (start, size) in functions {
            longest.entry(start).and_modify(|old: &mut u64| *old = size.max(*old)).or_insert(size);
        }
        for address in 0..0x220 {
            let wanted = nearest(&longest, address).map(|start| format!("f{start}+{:#x}", address - start));
            let found = program.symbol_at(TEXT + address).map(|symbol| symbol.to_string());
            prop_assert_eq!(found, wanted, "{:#x}", address);
        }
    }

    #[test]
    fn a_hostile_symbol_table_is_never_a_panic(
        noise in vec((0x3000_usize..0x3200, any::<u8>()), 1..40),
        length in 0x3000_usize..0x3200,
        addresses in vec(prop_oneof![TEXT..TEXT + 0x900, any::<u64>()], 10),
    ) {
        let symbols = (0..8).map(|at| symbol("name", TEXT + at * 8, at * 4)).collect();
        let mut bytes = Elf { symbols, ..Elf::program() }.build();
        for (at, value) in noise {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length);
        let program = Program::from_bytes(bytes).unwrap();
        for address in addresses {
            if let Some(symbol) = program.symbol_at(address) {
                prop_assert!(symbol.offset <= address && symbol.name.len() <= 4096 && !symbol.name.is_empty());
            }
        }
    }
}
