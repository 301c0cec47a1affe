//! Where notes are found, and that no claim about their places and sizes is believed.

use super::builder::{DATA, Elf, NOTES, NOTES_INDEX, add_section, function, note};
use super::{accept, builder};
use crate::program::*;
use ampoule_kernel::note::{EXPORT, IMPORT, NAME, SECTION};
use goblin::elf::section_header::{SHT_NOBITS, SHT_NOTE, SHT_PROGBITS};

fn names(bytes: Vec<u8>) -> Result<Vec<String>, InterfaceError> {
    let program = Program::from_bytes(bytes).unwrap();
    let interface = program.interface()?;
    Ok(interface.exports().iter().map(|function| function.name().to_owned()).collect())
}

/// The interface's error with the notes as they are.
#[track_caller]
fn refuse(elf: &Elf) -> InterfaceError {
    accept(elf).interface().unwrap_err()
}

fn two_notes() -> Vec<u8> {
    [function(EXPORT, "f() -> ()"), function(EXPORT, "g() -> ()")].concat()
}

#[test]
fn a_note_counts_once_however_many_segments_hold_it() {
    let mut elf = Elf::program().with_notes(&two_notes());
    let whole = elf.headers[NOTES_INDEX];
    // The other way round, to show that the order is that of the file.
    elf.headers.insert(0, builder::Header { offset: NOTES + 36, file_size: whole.file_size - 36, ..whole });
    elf.headers.push(whole);
    assert_eq!(names(elf.build()).unwrap(), ["f", "g"]);
}

#[test]
fn a_segment_aligned_to_8_has_its_notes_aligned_to_8() {
    let property = note(b"GNU\0", 5, &[7; 16]);
    let mut ours = note(&NAME, EXPORT, &[]);
    ours.extend([0; 4]);
    ours[4] = 13;
    ours.extend(b"\x01\0\0\0f() -> ()\0\0\0");
    let elf = Elf::program().with_notes(&[property, ours].concat()).with(NOTES_INDEX, |header| header.alignment = 8);
    assert_eq!(names(elf.build()).unwrap(), ["f"]);
}

#[test]
fn without_a_segment_the_section_is_read() {
    let notes = two_notes();
    for (name, kind, found) in [
        (SECTION, SHT_NOTE, &["f", "g"][..]),
        (SECTION, SHT_PROGBITS, &["f", "g"]),
        (SECTION, SHT_NOBITS, &[]),
        (".note.ampoules", SHT_NOTE, &[]),
        (".note.ampoul", SHT_NOTE, &[]),
    ] {
        let mut bytes = Elf::program().with_notes(&notes).with(NOTES_INDEX, |header| header.kind = 0).build();
        add_section(&mut bytes, name, kind, NOTES, notes.len() as u64);
        assert_eq!(names(bytes).unwrap(), found, "{name} {kind}");
    }
}

#[test]
fn the_section_is_read_where_a_segment_makes_no_sense() {
    let notes = two_notes();
    let mixed = Elf::program().with_notes(&[b"misleading", &notes[..]].concat());
    assert!(matches!(refuse(&mixed), InterfaceError::Truncated { place: NotePlace::Segment(NOTES_INDEX), .. }));
    let mut bytes = mixed.build();
    add_section(&mut bytes, SECTION, SHT_NOTE, NOTES + 10, notes.len() as u64);
    assert_eq!(names(bytes).unwrap(), ["f", "g"]);
}

#[test]
fn a_section_that_repeats_the_segment_adds_nothing_and_a_broken_one_does_not_matter_then() {
    for size in [two_notes().len() as u64, u64::MAX] {
        let mut bytes = Elf::program().with_notes(&two_notes()).build();
        add_section(&mut bytes, SECTION, SHT_NOTE, NOTES, size);
        assert_eq!(names(bytes).unwrap(), ["f", "g"]);
    }
}

#[test]
fn a_segment_or_section_outside_the_file_is_refused() {
    let file = NOTES + two_notes().len() as u64;
    for (offset, size) in [(u64::MAX, 16), (NOTES, u64::MAX), (0, file + 1), (file + 1, 1)] {
        let elf = Elf::program().with_notes(&two_notes());
        let elf = elf.with(NOTES_INDEX, |header| (header.offset, header.file_size) = (offset, size));
        let place = NotePlace::Segment(NOTES_INDEX);
        assert_eq!(refuse(&elf), InterfaceError::OutsideFile { place, offset, size, file });
    }
    let mut bytes = Elf::program().with(NOTES_INDEX, |header| header.kind = 0).build();
    add_section(&mut bytes, SECTION, SHT_NOTE, 0, u64::MAX);
    let error = names(bytes).unwrap_err();
    assert!(matches!(error, InterfaceError::OutsideFile { place: NotePlace::Section(1), offset: 0, .. }), "{error}");
    assert!(error.to_string().starts_with("note section 1 takes 0xffffffffffffffff bytes at 0x0 of a file"), "{error}");
}

#[test]
fn notes_cut_off_anywhere_are_refused_unless_only_padding_is_missing() {
    let notes = [function(IMPORT, "log(bytes) -> bytes"), function(EXPORT, "f(x: u8) -> ()")].concat();
    for cut in 1..=notes.len() {
        let elf = Elf::program().with_notes(&notes).with(NOTES_INDEX, |header| header.file_size = cut as u64);
        let result = accept(&elf).interface().cloned();
        // The first note is 43 bytes and one of padding, the second 38 and two.
        assert_eq!(result.is_ok(), [43, 44, 82, 83, 84].contains(&cut), "{cut}: {result:?}");
    }
}

#[test]
fn sizes_that_reach_beyond_the_end_are_refused_with_what_they_need() {
    let place = NotePlace::Segment(NOTES_INDEX);
    for (sizes, needed) in [([8, u32::MAX], 20 + u64::from(u32::MAX)), ([u32::MAX, 13], (1 << 32) + 12 + 13)] {
        let mut notes = two_notes();
        notes[..8].copy_from_slice(sizes.map(u32::to_le_bytes).as_flattened());
        let error = refuse(&Elf::program().with_notes(&notes));
        assert_eq!(error, InterfaceError::Truncated { place, offset: NOTES, needed, left: 72 });
    }
}

#[test]
fn a_flood_of_notes_is_refused_whoever_owns_them_and_however_often_they_are_claimed() {
    let empty = note(b"", 0, b"").repeat(40_000);
    let mut elf = Elf::program().with_notes(&empty);
    assert!(accept(&elf).interface().is_ok());
    elf.headers.push(elf.headers[NOTES_INDEX]);
    assert_eq!(refuse(&elf), InterfaceError::TooManyNotes { max: 65_536 });
}

#[test]
fn a_program_whose_notes_are_refused_is_a_program_all_the_same() {
    let program = accept(&Elf::program());
    assert!(matches!(program.interface(), Err(InterfaceError::OutsideFile { offset: u64::MAX, .. })));
    assert_eq!(program.segments()[2].address(), DATA);
}
