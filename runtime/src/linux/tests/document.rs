//! `docs/linux.md` against the code: every number that Linux has given out is there once, and what it says of a call is what the call does.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::*;
use crate::linux::names;

const DOCUMENT: &str = include_str!("../../../../docs/linux.md");

/// Beyond the last number that Linux has given out.
const NUMBERS: u64 = 600;

/// What the document says of one system call.
#[derive(Debug, PartialEq)]
enum Said {
    Served,
    Nothing,
    Refused(Errno),
}

/// Number, name and what is said, in the order of the rows.
fn rows() -> Vec<(u64, &'static str, Said)> {
    let mut rows = Vec::new();
    for line in DOCUMENT.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, name, said, ..] = cells[..] else { continue };
        let Ok(number) = number.parse() else { continue };
        let name = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).expect("a name in backquotes");
        let said = match said {
            "served" => Said::Served,
            "nothing" => Said::Nothing,
            "refused `ENOSYS`" => Said::Refused(Errno::NOSYS),
            "refused `EPERM`" => Said::Refused(Errno::PERM),
            "refused `EAFNOSUPPORT`" => Said::Refused(Errno::AFNOSUPPORT),
            other => panic!("{line}: what does {other:?} mean?"),
        };
        rows.push((number, name, said));
    }
    rows
}

/// What a call comes to with nothing but zeros for arguments.
fn tried(number: u64) -> Option<Errno> {
    let mut rig = Rig::new(256);
    match rig.call_within(u64::MAX, number, &[]) {
        Ok(result) => {
            let errno =
                i32::try_from(result.cast_signed().wrapping_neg()).ok().filter(|errno| (1..4096).contains(errno));
            errno.map(Errno::from_raw_os_error)
        }
        Err(Refusal::End(_)) => None,
        Err(refusal) => panic!("{number}: {refusal:?}"),
    }
}

#[test]
fn every_number_is_in_the_document_once_and_by_its_name() {
    let mut found = BTreeMap::new();
    for (number, name, _) in rows() {
        assert_eq!(names::name(number), Some(name), "{number}");
        assert_eq!(found.insert(number, name), None, "{name} is there twice");
    }
    let missing: Vec<_> = (0..NUMBERS).filter(|number| !found.contains_key(number)).filter_map(names::name).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
}

#[test]
fn what_the_document_says_is_refused_is_and_nothing_else() {
    let said: BTreeMap<_, _> = rows().into_iter().map(|(number, _, said)| (number, said)).collect();
    for number in 0..NUMBERS {
        let result = tried(number);
        match said.get(&number) {
            Some(Said::Refused(errno)) => assert_eq!(result, Some(*errno), "{number}"),
            Some(_) => assert_ne!(result, Some(Errno::NOSYS), "{number} is said to be served"),
            None => assert_eq!(result, Some(Errno::NOSYS), "{number} is no system call"),
        }
    }
}

#[test]
fn what_the_document_says_is_refused_is_counted_as_unknown() {
    for (number, name, said) in rows() {
        let mut rig = Rig::new(256);
        let _ = rig.call_within(u64::MAX, number, &[]);
        let unknown = rig.process.counts.list().iter().any(|count| count.unknown);
        assert_eq!(unknown, said == Said::Refused(Errno::NOSYS), "{name}");
    }
}
