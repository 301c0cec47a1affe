//! Which program may take another's place.

use super::accept;
use super::builder::{Elf, function};
use crate::program::*;
use ampoule_kernel::note::{EXPORT, IMPORT};

fn interface(exports: &[&str], imports: &[&str]) -> Interface {
    let exports = exports.iter().map(|text| function(EXPORT, text));
    let notes: Vec<_> = exports.chain(imports.iter().map(|text| function(IMPORT, text))).collect();
    accept(&Elf::program().with_notes(&notes.concat())).interface().unwrap().clone()
}

#[test]
fn the_newer_one_may_export_more_import_less_and_rename_parameters() {
    let older = interface(&["score(name: string) -> f64"], &["lookup(key: string) -> ()", "log(bytes) -> bytes"]);
    let newer = interface(&["extra() -> ()", "score(who: string) -> f64"], &["log(bytes) -> bytes"]);
    assert_eq!(newer.can_replace(&older), Ok(()));
    assert_eq!(older.can_replace(&older), Ok(()));
    assert_eq!(older.can_replace(&newer).unwrap_err().all().len(), 2);
}

#[test]
fn everything_that_is_in_the_way_is_listed_with_both_signatures() {
    let older = interface(&["gone(x: u8) -> ()", "score(n: u32) -> f64"], &["lookup(key: string) -> u8"]);
    let newer = interface(&["score(n: i32) -> f64"], &["new() -> ()", "lookup(bytes) -> bytes"]);
    let error = newer.can_replace(&older).unwrap_err();
    let lines: Vec<_> = error.all().iter().map(Incompatibility::to_string).collect();
    let wanted = [
        "export gone(x: u8) -> () is missing",
        "export score(n: u32) -> f64 has become score(n: i32) -> f64",
        "import new() -> () is new",
        "import lookup(key: string) -> u8 has become lookup(bytes) -> bytes",
    ];
    assert_eq!(lines, wanted);
    assert!(wanted.iter().all(|line| error.to_string().contains(line)), "{error}");
}
