//! The document against the code.

use super::*;
use crate::sandbox::State;
use crate::vm::features::GuestFeatures;

#[test]
fn the_documents_example_can_be_read_and_is_written_as_the_same_bytes() {
    let bytes = example();
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    assert_eq!(snapshot.program().name(), "p");
    assert_eq!(snapshot.program().entry(), 0x40_0078);
    assert_eq!(snapshot.state(), State::Ready);
    assert_eq!(snapshot.memory(), PAGE_SIZE);
    assert_eq!(written(&snapshot), bytes);
}

#[test]
fn the_fuzz_targets_seed_is_the_documents_example() {
    assert_eq!(include_bytes!("../../../../../fuzz/seeds/snapshot_file/example.amp")[..], example());
}

#[test]
fn the_document_says_how_long_its_example_is_and_has_its_checksum() {
    let bytes = example();
    assert_eq!(sealed(bytes.clone()), bytes);
    assert!(DOCUMENT.contains(&format!("length of the file: {},{:03}", bytes.len() / 1000, bytes.len() % 1000)));
}

#[test]
fn the_document_names_every_feature_with_its_bit() {
    let all = (0..64).filter_map(|bit| Some((bit, GuestFeatures::from_bits(1 << bit).ok()?)));
    let mut count = 0;
    for (bit, feature) in all {
        let name = feature.names().next().unwrap();
        assert!(DOCUMENT.contains(&format!("{bit} `{name}`")), "{bit} {name}");
        count += 1;
    }
    assert!(count > 50);
}

#[test]
fn a_saved_file_is_loaded_as_what_was_saved_and_leaves_nothing_beside_it() {
    let directory = std::env::temp_dir().join(format!("ampoule-snapshot-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("p.amp");
    let snapshot = Snapshot::from_bytes(&example()).unwrap();
    snapshot.save(&path).unwrap();
    snapshot.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), example());
    assert_eq!(written(&Snapshot::load(&path).unwrap()), example());
    assert!(Snapshot::is_in_file(&path) && !Snapshot::is_in_file(&directory) && !Snapshot::is_in_file("/dev/zero"));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_is_no_file_is_refused_with_its_name() {
    assert!(matches!(Snapshot::load("/dev/zero"), Err(SnapshotFileError::NotAFile { .. })));
    assert!(matches!(Snapshot::load("/"), Err(SnapshotFileError::NotAFile { .. })));
    let error = Snapshot::load("/nowhere/at/all").unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/at/all: "), "{error}");
    let snapshot = Snapshot::from_bytes(&example()).unwrap();
    assert!(matches!(snapshot.save("/nowhere/at/all"), Err(SnapshotFileError::Io { .. })));
}
