//! What a program's notes say about its functions, and what they must not say.

use super::accept;
use super::builder::{Elf, NOTES, function, note};
use crate::program::*;
use ampoule_kernel::note::{EXPORT, IMPORT, NAME, TEXT_MAX_BYTES};

/// The section `.note.ampoule` of a program that was built for ABI 1.0, in hexadecimal digits. It must be readable for ever.
const ABI_1_0: &str = include_str!("notes-1.0.hex");

fn read(notes: &[Vec<u8>]) -> Result<Interface, InterfaceError> {
    accept(&Elf::program().with_notes(&notes.concat())).interface().cloned()
}

#[track_caller]
fn refuse(notes: &[Vec<u8>]) -> InterfaceError {
    read(notes).unwrap_err()
}

fn lines(functions: &[Function]) -> Vec<String> {
    functions.iter().map(Function::to_string).collect()
}

#[test]
fn notes_of_abi_1_0_are_read() {
    let bytes: String = ABI_1_0.split_ascii_whitespace().collect();
    let bytes: Vec<_> =
        (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()).collect();
    let interface = read(&[bytes]).unwrap();
    assert_eq!(interface.version().unwrap().to_string(), "1.0");
    let exports = [
        "score(name: string, n: u32) -> f64",
        "handle(bytes) -> bytes",
        "reset() -> ()",
        "numbers(a: bool, b: u8, c: u16, d: u32, e: u64, f: u128, g: i8, h: i16, i: i32, j: i64, k: i128, l: f32, \
         m: f64, n: char) -> [(u8, i128)]",
        "draw(scene: {title: string, size: (u32, u32), marks: [enum{Empty, Dot(f32, f32), Text{at: [f64; 2], \
         text: option<string>}}]}) -> result<map<string, [u8; 16]>, (string)>",
    ];
    assert_eq!(lines(interface.exports()), exports);
    assert_eq!(lines(interface.imports()), ["lookup(key: string) -> option<string>", "log(bytes) -> bytes"]);
    assert!(interface.export("handle").unwrap().signature().is_bytes());
}

#[test]
fn functions_are_found_by_name_and_listed_in_order() {
    let interface = read(&[
        function(EXPORT, "b(x: u8) -> u8"),
        function(IMPORT, "b() -> string"),
        function(EXPORT, "a::c/d() -> ()"),
    ])
    .unwrap();
    assert_eq!(lines(interface.exports()), ["b(x: u8) -> u8", "a::c/d() -> ()"]);
    assert_eq!(lines(interface.imports()), ["b() -> string"]);
    assert_eq!(interface.export("b").unwrap().signature(), &"(y: u8) -> u8".parse().unwrap());
    assert_eq!(interface.import("b").unwrap().name(), "b");
    assert!(interface.export("c").is_none() && interface.import("a::c/d").is_none());
}

#[test]
fn a_program_without_notes_of_ampoules_has_an_empty_interface() {
    let build_id = note(b"GNU\0", 3, &[0xab; 20]);
    let no_name = note(b"", 0, b"");
    let similar = note(b"Ampoule", EXPORT, &[0xff; 9]);
    let interface = read(&[build_id.clone(), no_name, similar]).unwrap();
    assert!(interface.is_empty() && interface.version().is_none());
    let without_segment = accept(&Elf::program().with(5, |header| header.file_size = 0));
    assert!(without_segment.interface().unwrap().is_empty());
    let among_others = read(&[build_id.clone(), function(EXPORT, "f() -> ()"), build_id]).unwrap();
    assert_eq!(lines(among_others.exports()), ["f() -> ()"]);
}

#[test]
fn an_interface_is_read_once_for_all_clones_of_a_program() {
    let program = accept(&Elf::program().with_notes(&function(EXPORT, "f() -> ()")));
    assert!(std::ptr::eq(program.interface().unwrap(), program.clone().interface().unwrap()));
}

#[test]
fn spaces_in_a_note_do_not_matter() {
    let interface = read(&[function(EXPORT, " score\n( name :string,n:  u32\t)->f64\r\n")]).unwrap();
    assert_eq!(lines(interface.exports()), ["score(name: string, n: u32) -> f64"]);
}

#[test]
fn a_later_minor_version_is_read_and_what_it_has_added_is_skipped() {
    let later = note(&NAME, EXPORT, b"\x01\0\x07\0f() -> ()");
    let interface = read(&[later, function(IMPORT, "g() -> ()"), note(&NAME, 77, b"?")]).unwrap();
    assert_eq!(interface.version(), Some(AbiVersion { major: 1, minor: 7 }));
}

#[test]
fn another_major_version_is_refused() {
    let error = refuse(&[function(EXPORT, "f() -> ()"), note(&NAME, EXPORT, b"\x02\0\x01\0g() -> ()")]);
    let version = AbiVersion { major: 2, minor: 1 };
    assert_eq!(error, InterfaceError::Version { offset: NOTES + 36, version, supported: 1 });
    assert!(
        error.to_string().contains("ABI 2.1, this host reads 1.x: build the program with the guest SDK"),
        "{error}"
    );
}

#[test]
fn a_note_without_a_version_is_refused() {
    assert_eq!(refuse(&[note(&NAME, IMPORT, b"\x01\0\0")]), InterfaceError::NoVersion { offset: NOTES, size: 3 });
}

#[test]
fn a_text_that_is_not_utf8_is_refused() {
    let error = refuse(&[note(&NAME, EXPORT, b"\x01\0\0\0f(\xff: u8) -> ()")]);
    assert_eq!(error, InterfaceError::NotUtf8 { offset: NOTES, valid: 2 });
}

#[test]
fn a_function_without_a_name_that_a_function_can_have_is_refused() {
    let long = format!("{}() -> ()", "x".repeat(256));
    for text in ["", "score", "() -> ()", "two words() -> ()", "\x1b[2J() -> ()", "größe() -> ()", "a)() -> ()", &long]
    {
        assert_eq!(refuse(&[function(EXPORT, text)]), InterfaceError::Name { offset: NOTES, max: 255 }, "{text:?}");
    }
    assert!(read(&[function(EXPORT, &long[1..])]).is_ok());
}

#[test]
fn a_wrong_signature_is_refused_with_the_function_and_the_place() {
    let error = refuse(&[function(IMPORT, "lookup(key: String) -> ()")]);
    let wrong = SignatureError { at: 6, fault: SignatureFault::UnknownType };
    assert_eq!(error, InterfaceError::Signature { kind: FunctionKind::Import, name: "lookup".into(), error: wrong });
    let beginning =
        "the signature of import lookup is wrong at byte 6: there is no such type; there are bool, u8 to u128,";
    assert!(error.to_string().starts_with(beginning), "{error}");
}

#[test]
fn a_name_twice_is_refused_among_exports_and_among_imports() {
    for (number, kind) in [(EXPORT, FunctionKind::Export), (IMPORT, FunctionKind::Import)] {
        let error = refuse(&[function(number, "f() -> ()"), function(number, "f() -> ()")]);
        assert_eq!(error, InterfaceError::Duplicate { kind, name: "f".into() });
    }
}

#[test]
fn at_most_4096_functions_are_read() {
    let mut notes: Vec<_> =
        (0..2048).flat_map(|at| [EXPORT, IMPORT].map(|kind| function(kind, &format!("f{at}() -> ()")))).collect();
    let interface = read(&notes).unwrap();
    assert_eq!((interface.exports().len(), interface.imports().len()), (2048, 2048));
    assert_eq!(interface.import("f2047").unwrap().to_string(), "f2047() -> ()");
    notes.push(function(EXPORT, "more() -> ()"));
    assert_eq!(refuse(&notes), InterfaceError::TooManyFunctions { max: 4096 });
}

#[test]
fn a_text_is_at_most_64_kib_and_all_together_a_megabyte() {
    let text = |name: char, bytes: usize| {
        let text = format!("{name}() -> ()");
        text.clone() + &" ".repeat(bytes - text.len())
    };
    let notes: Vec<_> = ('a'..='o').map(|name| function(EXPORT, &text(name, TEXT_MAX_BYTES))).collect();
    assert!(read(&notes).is_ok());
    let error = refuse(&[function(EXPORT, &text('a', TEXT_MAX_BYTES + 1))]);
    assert_eq!(error, InterfaceError::Size { offset: NOTES, size: 0x1_0005, most: 0x1_0004 });
    let left = (1 << 20) - 15 * (TEXT_MAX_BYTES as u64 + 4);
    let last = function(EXPORT, &text('p', TEXT_MAX_BYTES));
    let error = refuse(&[notes.concat(), last]);
    assert!(matches!(error, InterfaceError::Size { most, .. } if most == left), "{error}");
}
