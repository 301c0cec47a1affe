//! Whatever the notes: no panic, and texts that stay what they are.

use super::builder::{Elf, NOTES_INDEX, function};
use crate::program::*;
use ampoule_kernel::note::NAME;
use ampoule_kernel::schema::{Content, Field, Type, Variant};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const WORDS: [&str; 17] = [
    "bool", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64", "char", "string", "()",
    "()",
];

/// Types live for ever, because those of the contract do: a test may leak some.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn rendered(ty: &Type) -> String {
    Signature::of(&Type::UNIT, ty).to_string().split_off("() -> ".len())
}

fn fields(types: BoxedStrategy<&'static Type>) -> impl Strategy<Value = &'static [Field]> {
    let field = ("[a-zé_][a-z0-9_-]{0,5}", types);
    vec(field.prop_map(|(name, ty)| Field { name: leak(name), ty }), 0..4).prop_map(|fields| &**leak(fields))
}

fn parts(types: BoxedStrategy<&'static Type>) -> impl Strategy<Value = &'static [&'static Type]> {
    vec(types, 0..4).prop_map(|parts| &**leak(parts))
}

fn types() -> impl Strategy<Value = &'static Type> {
    let word = select(&WORDS[..]).prop_map(|word| leak(Type::Primitive(word)));
    word.prop_recursive(6, 40, 4, |inner| {
        let inner = inner.prop_map(|ty| ty as &'static Type).boxed();
        let content = prop_oneof![
            Just(Content::Unit),
            parts(inner.clone()).prop_map(Content::Tuple),
            fields(inner.clone()).prop_map(Content::Struct),
        ];
        let variant = ("[A-Z][a-zA-Z0-9]{0,5}", content);
        let variants = vec(variant.prop_map(|(name, content)| Variant { name: leak(name), content }), 0..4);
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.clone().prop_map(Type::Option),
            inner.clone().prop_map(Type::Sequence),
            (inner.clone(), any::<usize>()).prop_map(|(ty, count)| Type::Array(ty, count)),
            pair.clone().prop_map(|(one, other)| Type::Result(one, other)),
            pair.prop_map(|(one, other)| Type::Map(one, other)),
            parts(inner.clone()).prop_map(Type::Tuple),
            fields(inner).prop_map(Type::Struct),
            variants.prop_map(|variants| Type::Enum(leak(variants))),
        ]
        .prop_map(leak)
    })
    .prop_map(|ty| ty as &'static Type)
}

/// What a signature that was read promises.
fn keeps_its_promises(signature: &Signature) {
    let text = signature.to_string();
    let again: Signature = text.parse().unwrap();
    assert_eq!((&again, again.to_string()), (signature, text.clone()));
    assert!(!text.contains(char::is_control), "{text:?}");
}

fn read(elf: &Elf) {
    let Ok(program) = Program::from_bytes(elf.build()) else { return };
    match program.interface() {
        Ok(interface) => {
            let functions = [interface.exports(), interface.imports()].concat();
            assert!(functions.len() <= Interface::MAX_FUNCTIONS);
            assert_eq!(functions.is_empty(), interface.is_empty());
            functions.iter().for_each(|function| keeps_its_promises(function.signature()));
            assert!(interface.exports().iter().all(|one| interface.export(one.name()) == Some(one)));
            assert!(interface.imports().iter().all(|one| interface.import(one.name()) == Some(one)));
            assert_eq!(interface.can_replace(interface), Ok(()));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_type_rendered_and_read_is_the_same_text(parameters in vec(types(), 0..4), result in types()) {
        let parameters: &'static [&'static Type] = leak(parameters);
        let of = Signature::of(&Type::Tuple(parameters), result);
        let wanted = format!("{} -> {}", rendered(&Type::Tuple(parameters)), rendered(result));
        let read: Signature = wanted.parse().unwrap();
        prop_assert_eq!(&read.to_string(), &wanted);
        prop_assert_eq!(&read, &of);
        keeps_its_promises(&read);
        if let Some(found) = unbounded(result) {
            prop_assert!(wanted.contains(found.to_string().split(" at ").next().unwrap()));
        }
    }

    #[test]
    fn a_signature_with_changes_is_one_or_an_error(
        result in types(),
        changes in vec((any::<prop::sample::Index>(), select(&b"()[]{}<>,:; a1-\x1b\xc3\xa9"[..])), 1..6),
    ) {
        let mut bytes = format!("(name: string, n: {{x: u8}}) -> {}", rendered(result)).into_bytes();
        changes.iter().for_each(|(at, value)| *at.get_mut(&mut bytes) = *value);
        let text = String::from_utf8_lossy(&bytes);
        match text.parse::<Signature>() {
            Ok(signature) => keeps_its_promises(&signature),
            Err(error) => prop_assert!(error.at <= text.len()),
        }
    }

    #[test]
    fn any_text_is_a_signature_or_an_error(text in "[(){}<>\\[\\],:; abu8-]{0,60}|(?s).{0,40}") {
        match text.parse::<Signature>() {
            Ok(signature) => keeps_its_promises(&signature),
            Err(error) => prop_assert!(error.at <= text.len()),
        }
    }

    #[test]
    fn any_bytes_as_a_segment_of_notes_are_an_interface_or_an_error(
        bytes in vec(any::<u8>(), 0..300),
        alignment in select(&[0_u64, 4, 8, 16][..]),
    ) {
        read(&Elf::program().with_notes(&bytes).with(NOTES_INDEX, |header| header.alignment = alignment));
    }

    #[test]
    fn notes_with_flipped_bytes_are_an_interface_or_an_error(
        kinds in vec(0_u32..4, 1..6),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in 0_u64..64,
    ) {
        let texts = kinds.iter().enumerate().map(|(at, kind)| function(*kind, &format!("f{at}(x: [u8], y: {{}}) -> ()")));
        let mut notes = texts.collect::<Vec<_>>().concat();
        flips.iter().for_each(|(at, value)| *at.get_mut(&mut notes) = *value);
        read(&Elf::program().with_notes(&notes).with(NOTES_INDEX, |header| header.file_size -= cut.min(header.file_size)));
    }

    #[test]
    fn words_that_are_small_numbers_and_our_name_are_an_interface_or_an_error(
        words in vec(prop_oneof![
            (0_u32..20).prop_map(|word| word.to_le_bytes().to_vec()),
            Just(NAME.to_vec()),
            Just(b"\x01\0\0\0f() -> ()\0\0\0".to_vec()),
        ], 0..40),
    ) {
        read(&Elf::program().with_notes(&words.concat()));
    }
}
