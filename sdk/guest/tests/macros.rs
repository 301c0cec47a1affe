//! What the macros make of a guest's code: functions that can be called, imports that can be mocked, notes that say what there is.
//!
//! The crate forbids `unsafe`, because a guest may.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper: what is wrong ends the test")]
mod elf;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ampoule_guest::{ImportError, Reply, Schema, export, import};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
struct Meters(f64);

#[derive(Serialize, Deserialize, Schema)]
struct Nothing;

#[derive(Serialize, Deserialize, Schema)]
struct Pair(u8, Meters);

#[derive(Serialize, Deserialize, Schema)]
#[serde(rename_all = "camelCase")]
struct Route<'a, T> {
    #[serde(borrow)]
    road_name: &'a str,
    #[serde(rename = "len")]
    length: Meters,
    r#type: T,
}

#[derive(Serialize, Deserialize, Schema)]
#[serde(rename_all = "snake_case", rename_all_fields = "UPPERCASE")]
enum Shape {
    NotDrawn,
    Circle(f32),
    Square { side: [u8; 4], color: Option<char> },
}

#[derive(Serialize, Deserialize, Schema)]
#[serde(transparent)]
struct Wrapped {
    inner: BTreeMap<String, i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
enum Refused {
    TooLong,
}

/// The function's documentation and attributes stay.
#[export]
#[allow(dead_code)]
fn score(name: String, mut n: u32) -> Result<f64, Refused> {
    n += 1;
    if name.len() > 10 { Err(Refused::TooLong) } else { Ok(f64::from(n)) }
}

#[export]
fn route(route: Route<'_, Pair>, nothing: Nothing) -> &'static str {
    let Route { road_name, length: Meters(_), r#type: Pair(_, Meters(_)) } = route;
    let Nothing = nothing;
    if road_name.is_empty() { "none" } else { "some" }
}

#[export(name = "shape.draw")]
fn draw(shape: Shape, text: Cow<'_, str>, wrapped: &[u8]) -> Wrapped {
    let sides = match shape {
        Shape::NotDrawn => 0,
        Shape::Circle(_) => 1,
        Shape::Square { side, color } => side.len() + color.map_or(0, char::len_utf8),
    };
    let sides = i64::try_from(sides + wrapped.len()).unwrap_or(i64::MAX);
    Wrapped { inner: BTreeMap::from([(text.into_owned(), sides)]) }
}

#[export]
fn nothing() {}

#[export(bytes)]
fn reverse(input: &[u8], reply: &mut Reply) {
    reply.extend_from_slice(input);
    reply.as_mut_slice().reverse();
}

#[cfg(any())]
#[export]
fn not_there(x: NoSuchType) {}

#[export]
#[cfg(any())]
fn not_there_either(x: NoSuchType) {}

import! {
    /// Finds what is known about a key.
    pub(crate) fn lookup(key: &str) -> Option<String>;
    fn count(a: u32);
    #[name = "raw.bytes"]
    #[bytes]
    fn raw(input: &[u8], reply: &mut Vec<u8>) -> Result<(), ImportError>;
    #[bytes]
    fn raw_slice(input: &[u8], reply: &mut [u8]) -> Result<usize, ImportError>;
    #[cfg(any())]
    fn not_imported(x: NoSuchType);
}

#[test]
fn an_export_is_an_ordinary_function() {
    assert_eq!(score("alice".to_owned(), 2), Ok(3.0));
    assert_eq!(score("somebody else".to_owned(), 2), Err(Refused::TooLong));
    let mut reply = Reply::new();
    reverse(b"abc", &mut reply);
    assert_eq!(reply.as_slice(), b"cba");
    assert_eq!(draw(Shape::NotDrawn, "x".into(), b"ab").inner, BTreeMap::from([("x".to_owned(), 2)]));
    assert_eq!(route(Route { road_name: "", length: Meters(1.0), r#type: Pair(1, Meters(2.0)) }, Nothing), "none");
    nothing();
    let _ = (Shape::Circle(1.0), Shape::Square { side: [0; 4], color: None });
}

#[test]
fn the_notes_say_what_there_is() {
    let mut notes = elf::notes(&std::fs::read(std::env::current_exe().unwrap()).unwrap());
    notes.sort();
    assert_eq!(
        notes,
        [
            (1, "nothing() -> ()"),
            (1, "reverse(bytes) -> bytes"),
            (1, "route(route: {roadName: string, len: f64, type: (u8, f64)}, nothing: ()) -> string"),
            (1, "score(name: string, n: u32) -> result<f64, enum{TooLong}>"),
            (
                1,
                "shape.draw(shape: enum{not_drawn, circle(f32), square{SIDE: [u8; 4], COLOR: option<char>}}, text: string, \
                 wrapped: [u8]) -> map<string, i64>"
            ),
            (2, "count(a: u32) -> ()"),
            (2, "lookup(key: string) -> option<string>"),
            (2, "raw.bytes(bytes) -> bytes"),
            (2, "raw_slice(bytes) -> bytes"),
        ]
        .map(|(kind, text)| (kind, text.to_owned()))
    );
}

#[test]
fn a_mock_answers_until_its_guard_is_dropped() {
    let _outer = lookup::mock(|key| Some(format!("outer {key}")));
    {
        let calls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&calls);
        let _inner = lookup::mock(move |_| {
            seen.set(seen.get() + 1);
            None
        });
        assert_eq!((lookup("a"), lookup("b"), calls.get()), (None, None, 2));
    }
    assert_eq!(lookup("a").as_deref(), Some("outer a"));
}

#[test]
fn mocks_have_the_types_of_their_imports() {
    let _count = count::mock(|a| assert_eq!(a, 7));
    count(7);
    let _raw = raw::mock(|input, reply| {
        reply.extend_from_slice(input);
        if input.is_empty() { Err(ImportError::Failed("nothing to do".into())) } else { Ok(()) }
    });
    let mut reply = Vec::new();
    assert_eq!((raw(b"abc", &mut reply), reply.as_slice()), (Ok(()), &b"abc"[..]));
    assert_eq!(raw(b"", &mut reply).unwrap_err().to_string(), "nothing to do");
    let _raw_slice = raw_slice::mock(|input, reply| {
        reply[..input.len()].copy_from_slice(input);
        Ok(input.len())
    });
    let mut reply = [0; 4];
    assert_eq!((raw_slice(b"abc", &mut reply), reply), (Ok(3), *b"abc\0"));
}

#[test]
fn a_mock_is_for_its_thread() {
    let _mock = lookup::mock(|_| None);
    std::thread::spawn(|| std::panic::catch_unwind(|| lookup("a")).unwrap_err()).join().unwrap();
}

#[test]
fn an_import_without_a_host_and_without_a_mock_says_what_to_do() {
    let payload = std::panic::catch_unwind(|| lookup("a")).unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.contains("let _mock = lookup::mock(…);") && message.contains("ampoule_guest::serve"), "{message}");
}
