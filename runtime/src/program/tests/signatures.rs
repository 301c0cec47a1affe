//! Signatures: which texts are some, when two are the same, and what the host may decode.

use crate::program::*;
use ampoule_kernel::note::TEXT_MAX_BYTES;
use ampoule_kernel::schema::{Content, Field, Schema, Type, Variant};

fn parse(text: &str) -> Signature {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refuse(text: &str, at: usize, fault: SignatureFault) {
    assert_eq!(text.parse::<Signature>(), Err(SignatureError { at, fault }), "{text}");
}

#[test]
fn every_type_of_the_grammar_is_read_and_written_as_it_was() {
    for text in [
        "() -> ()",
        "(bytes) -> bytes",
        "(a: bool, b: u8, c: u16, d: u32, e: u64, f: u128) -> (i8, i16, i32, i64, i128)",
        "(f32, f64) -> (char)",
        "(x: option<result<map<string, ()>, [()]>>) -> [[u8; 4]; 18446744073709551615]",
        "(s: {}, t: {größe: u8, kebab-case: u8, option: u8}) -> {a: {b: {c: ()}}}",
        "(e: enum{}, option: enum{A, B(), C(u8, (u8)), D{}, E{x: u8, y: [u8]}}) -> enum{One}",
    ] {
        assert_eq!(parse(text).to_string(), text);
    }
}

#[test]
fn spaces_do_not_matter() {
    let wanted = "(a: [u8; 4], b: map<string, {x: ()}>) -> enum{A, B(u8), C{d: option<u8>}}";
    for text in [
        "(a:[u8;4],b:map<string,{x:()}>)->enum{A,B(u8),C{d:option<u8>}}",
        "\n( a : [ u8 ; 0004 ] ,\tb : map < string , { x : ( ) } > ) -> enum { A , B ( u8 ) , C { d : option < u8 > } }\r\n",
    ] {
        assert_eq!(parse(text).to_string(), wanted);
    }
    assert_eq!(parse(" (\tbytes )->\nbytes ").to_string(), "(bytes) -> bytes");
}

#[test]
fn names_of_parameters_do_not_matter_and_all_other_names_do() {
    assert_eq!(parse("(a: u8, b: {c: u8}) -> ()"), parse("(x: u8, {c: u8}) -> ()"));
    for (one, other) in [
        ("({c: u8}) -> ()", "({d: u8}) -> ()"),
        ("(enum{A, B}) -> ()", "(enum{B, A}) -> ()"),
        ("(enum{A}) -> ()", "(enum{A()}) -> ()"),
        ("({a: u8}) -> ()", "((u8)) -> ()"),
        ("(u8, u8) -> ()", "((u8, u8)) -> ()"),
        ("(i32) -> ()", "(u32) -> ()"),
        ("() -> u8", "() -> (u8)"),
        ("([u8; 4]) -> ()", "([u8]) -> ()"),
    ] {
        assert_ne!(parse(one), parse(other));
    }
}

#[test]
fn bytes_are_a_kind_of_their_own_and_no_type() {
    assert!(parse("(bytes) -> bytes").is_bytes() && !parse("([u8]) -> [u8]").is_bytes());
    assert_ne!(parse("(bytes) -> bytes"), parse("([u8]) -> [u8]"));
    refuse("(bytes) -> ()", 1, SignatureFault::UnknownType);
    refuse("(body: bytes) -> bytes", 7, SignatureFault::UnknownType);
    refuse("() -> bytes", 6, SignatureFault::UnknownType);
    refuse("(bytes) -> bytesbytes", 1, SignatureFault::UnknownType);
}

#[test]
fn what_is_no_signature_is_refused_where_it_ceases_to_be_one() {
    use SignatureFault::{Expected, Length, Name, UnknownType};
    refuse("", 0, Expected("`(`"));
    refuse("u8 -> u8", 0, Expected("`(`"));
    refuse("(", 1, UnknownType);
    refuse("(u8", 3, Expected("`,` or `)`"));
    refuse("(u8,)", 4, UnknownType);
    refuse("(a: u8 b: u8)", 7, Expected("`,` or `)`"));
    refuse("(: u8)", 1, Name);
    refuse("()", 2, Expected("`->`"));
    refuse("() - > ()", 3, Expected("`->`"));
    refuse("() -> ", 6, UnknownType);
    refuse("() -> u8 u8", 9, Expected("nothing more"));
    refuse("() -> option", 12, Expected("`<`"));
    refuse("() -> option<u8, u8>", 15, Expected("`>`"));
    refuse("() -> result<u8>", 15, Expected("`,`"));
    refuse("() -> [u8", 9, Expected("`]`"));
    refuse("() -> [u8; ]", 11, Length);
    refuse("() -> [u8; -1]", 11, Length);
    refuse("() -> [u8; +1]", 11, Length);
    refuse("() -> [u8; 18446744073709551616]", 11, Length);
    refuse("() -> {a u8}", 9, Expected("`:`"));
    refuse("() -> {a: u8", 12, Expected("`,` or `}`"));
    refuse("() -> enum", 10, Expected("`{`"));
    refuse("() -> enum{A B}", 13, Expected("`,` or `}`"));
    refuse("() -> enum{A, }", 14, Name);
    refuse("() -> usize", 6, UnknownType);
    refuse("() -> \u{a0}u8", 6, UnknownType);
}

#[test]
fn a_name_cannot_rearrange_the_terminal_that_shows_it() {
    for name in ["\x1b[2J", "a\u{202e}b", "\u{200b}", "it's", "\"", "\\"] {
        assert!(format!("() -> {{{name}: u8}}").parse::<Signature>().is_err(), "{name:?}");
        assert!(format!("({name}: u8) -> ()").parse::<Signature>().is_err(), "{name:?}");
        assert!(format!("() -> enum{{{name}}}").parse::<Signature>().is_err(), "{name:?}");
    }
}

#[test]
fn types_nest_64_deep_and_no_deeper() {
    let nested = |depth: usize| format!("() -> {}u8{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(parse(&nested(64)).to_string(), nested(64));
    refuse(&nested(65), 6 + 64, SignatureFault::TooDeep { max: 64 });
    refuse(&nested(30_000), 6 + 64, SignatureFault::TooDeep { max: 64 });
}

#[test]
fn a_text_ends_after_64_kib() {
    let text = format!("() -> ({})", vec!["()"; 15_000].join(", "));
    assert_eq!(parse(&text).to_string(), text);
    let spaces = " ".repeat(TEXT_MAX_BYTES);
    refuse(&format!("() -> (){spaces}"), TEXT_MAX_BYTES, SignatureFault::TooLong { max: TEXT_MAX_BYTES });
}

#[test]
fn what_the_compiler_knows_equals_what_a_note_says() {
    type Scores = Vec<(String, Option<[f64; 2]>)>;
    let of = Signature::of(<(&str, u32)>::TYPE, Scores::TYPE);
    assert_eq!(of, parse("(name: string, n: u32) -> [(string, option<[f64; 2]>)]"));
    assert_eq!(of.to_string(), "(string, u32) -> [(string, option<[f64; 2]>)]");
    assert_eq!(Signature::of(<()>::TYPE, <()>::TYPE), parse("() -> ()"));
    assert_eq!(Signature::of(<(Vec<u8>,)>::TYPE, <Vec<u8>>::TYPE), parse("(x: [u8]) -> [u8]"));
    assert_ne!(Signature::of(<(Vec<u8>,)>::TYPE, <Vec<u8>>::TYPE), Signature::bytes());
    assert_eq!(Signature::of(&Type::Tuple(&[]), u8::TYPE), parse("() -> u8"));
}

#[track_caller]
fn expect_unbounded(ty: &Type, wanted: Option<&str>) {
    assert_eq!(unbounded(ty).map(|found| found.to_string()).as_deref(), wanted);
}

#[test]
fn sequences_of_what_takes_no_bytes_are_unbounded() {
    const EMPTY: Type = Type::Struct(&[]);
    const HOLLOW: Type =
        Type::Struct(&[Field { name: "a", ty: &Type::UNIT }, Field { name: "b", ty: <[u64; 0]>::TYPE }]);
    expect_unbounded(<Vec<()>>::TYPE, Some("[()]"));
    expect_unbounded(<Vec<[u8; 0]>>::TYPE, Some("[[u8; 0]]"));
    expect_unbounded(<Vec<[(); 9]>>::TYPE, Some("[[(); 9]]"));
    expect_unbounded(<Vec<((), ((), ()))>>::TYPE, Some("[((), ((), ()))]"));
    expect_unbounded(&Type::Sequence(&EMPTY), Some("[{}]"));
    expect_unbounded(&Type::Sequence(&HOLLOW), Some("[{a: (), b: [u64; 0]}]"));
    expect_unbounded(&Type::Map(&Type::UNIT, &EMPTY), Some("map<(), {}>"));
}

#[test]
fn sequences_of_what_takes_a_byte_are_bounded() {
    const ENUM: Type = Type::Enum(&[Variant { name: "A", content: Content::Unit }]);
    for ty in [
        <Vec<u8>>::TYPE,
        <Vec<Option<()>>>::TYPE,
        <Vec<Result<(), ()>>>::TYPE,
        <Vec<((), bool)>>::TYPE,
        <Vec<[u8; 1]>>::TYPE,
        <Vec<Vec<u8>>>::TYPE,
        <Vec<&str>>::TYPE,
        &Type::Sequence(&ENUM),
        &Type::Map(u8::TYPE, &Type::UNIT),
        &Type::Map(&Type::UNIT, u8::TYPE),
        &Type::UNIT,
        <[(); 3]>::TYPE,
    ] {
        expect_unbounded(ty, None);
    }
}

#[test]
fn an_unbounded_sequence_is_found_wherever_it_is() {
    const BAD: &Type = &Type::Sequence(&Type::UNIT);
    const FIELDS: &[Field] = &[Field { name: "fine", ty: u8::TYPE }, Field { name: "rows", ty: BAD }];
    const ENUM: Type = Type::Enum(&[
        Variant { name: "Fine", content: Content::Tuple(&[u8::TYPE]) },
        Variant { name: "Bad", content: Content::Struct(FIELDS) },
    ]);
    expect_unbounded(&Type::Tuple(&[u8::TYPE, &Type::Struct(FIELDS)]), Some("[()] at .1.rows"));
    expect_unbounded(&Type::Sequence(&ENUM), Some("[()] at []::Bad.rows"));
    expect_unbounded(&Type::Option(&Type::Array(BAD, 2)), Some("[()] at ?[]"));
    expect_unbounded(&Type::Result(u8::TYPE, BAD), Some("[()] at ::Err"));
    expect_unbounded(&Type::Result(BAD, u8::TYPE), Some("[()] at ::Ok"));
    expect_unbounded(&Type::Map(u8::TYPE, BAD), Some("[()] at [value]"));
    expect_unbounded(&Type::Map(BAD, u8::TYPE), Some("[()] at [key]"));
    expect_unbounded(&Type::Enum(&[Variant { name: "V", content: Content::Tuple(&[BAD]) }]), Some("[()] at ::V.0"));
}
