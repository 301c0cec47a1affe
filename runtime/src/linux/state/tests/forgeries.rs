//! Forged bytes of what is not a file: the program, its memory, its signals. Written here by hand.

use super::*;
use crate::wire::WireError;

const END: u64 = TEXT + PAGE_SIZE;
/// New mappings and the heap stay below.
const MAPPING_TOP: u64 = STACK_TOP - STACK_BYTES - 256 * PAGE_SIZE;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Start, end, access, laziness, purpose.
type Area = (u64, u64, u8, u8, u8);

const TEXT_AREA: Area = (TEXT, END, 5, 0, 0);

fn memory(heap: [u64; 2], areas: &[Area]) -> Result<Memory, StateError> {
    let mut bytes = words(&[heap[0], heap[1], areas.len() as u64]);
    for (start, end, access, lazy, purpose) in areas {
        bytes.extend(words(&[*start, *end]));
        bytes.extend([access, lazy, purpose]);
    }
    let mut reader = Reader::new(&bytes);
    let memory = Memory::decode(&mut reader)?;
    reader.finish()?;
    let mut writer = Writer::new();
    memory.encode(&mut writer);
    assert_eq!(writer.into_bytes(), bytes);
    Ok(memory)
}

fn areas(areas: &[Area]) -> Result<Memory, StateError> {
    memory([END, END], areas)
}

#[test]
fn the_programs_name_is_text() {
    let mut process = small();
    process.name = b"na\xffme".to_vec();
    assert_eq!(read(&written(&process)).unwrap_err(), StateError::Name { valid: 2 });
}

#[test]
fn arguments_and_environment_end_with_a_nul_and_are_as_many_as_a_program_can_have() {
    let max = STACK_BYTES / 4;
    let full = [vec![b'a'; usize::try_from(max).unwrap() - 1], vec![0]].concat();
    let process = Process { arguments: full.clone().into(), ..small() };
    assert_eq!(*read(&written(&process)).unwrap().arguments, *full);
    for bytes in [b"a".to_vec(), [full, vec![0]].concat()] {
        let length = bytes.len();
        let refused = |field| StateError::Strings { field, length, max };
        let process = Process { arguments: bytes.clone().into(), ..small() };
        assert_eq!(read(&written(&process)).unwrap_err(), refused("arguments"));
        let process = Process { environment: bytes.into(), ..small() };
        assert_eq!(read(&written(&process)).unwrap_err(), refused("environment"));
    }
}

#[test]
fn the_program_is_moved_by_whole_pages_within_its_memory() {
    for bias in [1, 0xfff, PAGE_SIZE + 8, USER_END, 1 << 63] {
        let process = Process { bias, ..small() };
        assert_eq!(read(&written(&process)).unwrap_err(), StateError::Bias { bias });
    }
}

#[test]
fn the_heap_is_where_brk_can_have_left_it() {
    for (heap, good) in [
        ([END, END + 5], true),
        ([END, MAPPING_TOP], true),
        ([USER_END - PAGE_SIZE, USER_END - PAGE_SIZE], true),
        ([END, END - 1], false),
        ([END, MAPPING_TOP + 1], false),
        ([END, u64::MAX], false),
        ([END + 1, END + 1], false),
        ([0, 0], false),
        ([USER_START - PAGE_SIZE, END], false),
        ([USER_END + PAGE_SIZE, USER_END + PAGE_SIZE], false),
    ] {
        let [start, end] = heap;
        let expected = if good { None } else { Some(StateError::Heap { start, end }) };
        assert_eq!(memory(heap, &[TEXT_AREA]).err(), expected, "{heap:x?}");
    }
}

#[test]
fn areas_are_pages_that_a_program_can_map() {
    for (start, end) in [
        (TEXT, TEXT),
        (END, TEXT),
        (TEXT + 1, END),
        (TEXT, END + 1),
        (0, PAGE_SIZE),
        (USER_START - PAGE_SIZE, END),
        (TEXT, USER_END + PAGE_SIZE),
        (USER_END, USER_END + PAGE_SIZE),
        (u64::MAX - 4095, u64::MAX),
        (TEXT, u64::MAX),
    ] {
        assert_eq!(areas(&[(start, end, 1, 0, 3)]), Err(StateError::Area { start, end }));
    }
    assert!(areas(&[(USER_START, USER_END, 0, 1, 3)]).is_ok());
    assert!(areas(&[]).is_ok());
}

#[test]
fn areas_are_in_order_and_do_not_overlap() {
    let later = (END, END + PAGE_SIZE, 3, 0, 3);
    assert!(areas(&[TEXT_AREA, later]).is_ok());
    assert_eq!(areas(&[later, TEXT_AREA]), Err(StateError::AreaOrder { start: TEXT, previous: END + PAGE_SIZE }));
    assert_eq!(areas(&[TEXT_AREA, TEXT_AREA]), Err(StateError::AreaOrder { start: TEXT, previous: END }));
    let overlapping = [(TEXT, END + PAGE_SIZE, 5, 0, 0), later];
    assert_eq!(areas(&overlapping), Err(StateError::AreaOrder { start: END, previous: END + PAGE_SIZE }));
}

#[test]
fn neighbours_that_are_alike_are_one_area() {
    let next = (END, END + PAGE_SIZE, 5, 0, 0);
    assert_eq!(areas(&[TEXT_AREA, next]), Err(StateError::AreasAlike { start: END }));
    assert!(areas(&[TEXT_AREA, (END + PAGE_SIZE, END + 2 * PAGE_SIZE, 5, 0, 0)]).is_ok());
}

#[test]
fn an_areas_attributes_go_together() {
    for purpose in 0..5 {
        for access in 0..8 {
            for lazy in 0..2 {
                // Only segments of a program, which are as the linker says, write or execute without reading.
                let readable = access & 1 == 1 || access == 0;
                let good = match purpose {
                    0 => lazy == 0,
                    1 => lazy == 0 && readable,
                    2 => lazy == 1 && readable,
                    3 => readable,
                    _ => lazy == 0 && readable,
                };
                let result = areas(&[(TEXT, END, access, lazy, purpose)]);
                let expected = if good { None } else { Some(StateError::AreaAttributes { start: TEXT }) };
                assert_eq!(result.err(), expected, "{purpose} {access} {lazy}");
            }
        }
    }
    let field = |area: Area| match areas(&[area]) {
        Err(StateError::Wire(WireError::OutOfRange { field, .. })) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field((TEXT, END, 8, 0, 0)), "access of an area");
    assert_eq!(field((TEXT, END, 5, 2, 0)), "laziness of an area");
    assert_eq!(field((TEXT, END, 5, 0, 5)), "purpose of an area");
}

#[test]
fn there_are_no_more_areas_than_a_program_may_have() {
    let many = |count: u64| -> Vec<Area> {
        (0..count).map(|n| (TEXT + 2 * n * PAGE_SIZE, TEXT + (2 * n + 1) * PAGE_SIZE, 3, 0, 3)).collect()
    };
    assert!(areas(&many(65_530)).is_ok());
    assert_eq!(areas(&many(65_531)), Err(StateError::AreaCount { count: 65_531, max: 65_530 }));
}

/// The fields of signals, as the format has them.
#[derive(Clone, Debug)]
struct Forged {
    blocked: u64,
    suspended: Option<u64>,
    stack_flags: u32,
    states: u64,
    /// Signal; handler, flags, restorer, mask.
    actions: Vec<(u8, [u64; 4])>,
    /// Signal, code, value.
    pending: Vec<(u8, i32, u64)>,
}

const SENDER: u64 = 100 | 1000 << 32;
const KILL: u64 = 1 << 8;
const STOP: u64 = 1 << 18;

impl Forged {
    fn new() -> Self {
        Self {
            blocked: 1 << 9,
            suspended: Some(0),
            stack_flags: 2,
            states: 0b11,
            actions: vec![(1, [1, 2, 3, 4]), (64, [1, 0, 0, 0])],
            pending: vec![(10, 0, SENDER), (40, -6, SENDER), (40, 0, SENDER)],
        }
    }

    fn read(&self) -> Result<Signals, StateError> {
        let mut bytes = words(&[self.blocked]);
        bytes.push(self.suspended.is_some().into());
        bytes.extend(self.suspended.map_or(vec![], |mask| words(&[mask])));
        bytes.extend(words(&[7, 8]));
        bytes.extend(self.stack_flags.to_le_bytes());
        bytes.extend(words(&[self.states, self.actions.len() as u64]));
        for (signal, action) in &self.actions {
            bytes.push(*signal);
            bytes.extend(words(action));
        }
        bytes.extend(words(&[self.pending.len() as u64]));
        for (signal, code, value) in &self.pending {
            bytes.push(*signal);
            bytes.extend(code.to_le_bytes());
            bytes.extend(words(&[*value]));
        }
        let mut reader = Reader::new(&bytes);
        let signals = Signals::decode(&mut reader)?;
        reader.finish()?;
        let mut writer = Writer::new();
        signals.encode(&mut writer);
        assert_eq!(writer.into_bytes(), bytes);
        Ok(signals)
    }
}

/// That signals with this change are refused, and why.
fn refused(change: impl FnOnce(&mut Forged), expected: StateError) {
    let mut forged = Forged::new();
    assert!(forged.read().is_ok());
    change(&mut forged);
    assert_eq!(forged.read().unwrap_err(), expected);
}

#[test]
fn sigkill_and_sigstop_are_in_no_mask() {
    for set in [KILL, STOP, u64::MAX] {
        let unblockable = |field| StateError::Unblockable { field, set };
        refused(|forged| forged.blocked = set, unblockable("the set of blocked signals"));
        refused(|forged| forged.suspended = Some(set), unblockable("the mask to return to"));
        refused(|forged| forged.actions[0].1[3] = set, unblockable("a signal action's mask"));
    }
}

#[test]
fn actions_are_of_signals_that_can_have_one_and_in_order() {
    for signal in [0, 9, 19, 65, 255] {
        refused(|forged| forged.actions[0].0 = signal, StateError::Action { signal });
    }
    refused(|forged| forged.actions[1].0 = 1, StateError::Action { signal: 1 });
    refused(|forged| forged.actions.swap(0, 1), StateError::Action { signal: 1 });
    refused(|forged| forged.actions[0].1 = [0; 4], StateError::Action { signal: 1 });
}

#[test]
fn handlers_are_whatever_the_program_says() {
    let mut forged = Forged::new();
    forged.actions[0].1 = [u64::MAX, u64::MAX, u64::MAX, !(KILL | STOP)];
    assert!(forged.read().is_ok());
}

#[test]
fn pending_signals_are_such_as_a_program_sends() {
    for (signal, code, value) in [(0, 0, SENDER), (65, 0, SENDER), (10, 1, SENDER), (10, 0x80, 0), (10, 0, 0)] {
        refused(|forged| forged.pending[0] = (signal, code, value), StateError::Pending { signal, code, value });
    }
}

#[test]
fn a_standard_signal_is_pending_once_and_real_time_signals_up_to_their_limit() {
    refused(|forged| forged.pending.push((10, -6, SENDER)), StateError::PendingTwice { signal: 10 });
    let mut forged = Forged::new();
    forged.pending = vec![(64, 0, SENDER); 1024];
    forged.pending.extend((1..32).map(|signal| (signal, 0, SENDER)));
    assert!(forged.read().is_ok());
    forged.pending.push((32, 0, SENDER));
    assert_eq!(forged.read(), Err(StateError::PendingTwice { signal: 32 }));
}

#[test]
fn the_alternate_stack_is_disabled_or_disarms_itself_or_neither() {
    for flags in [1, 3, 4, 1 << 30, u32::MAX] {
        refused(|forged| forged.stack_flags = flags, StateError::AlternateStack { flags });
    }
    for flags in [0, 2, 1 << 31, 1 << 31 | 2] {
        assert!(Forged { stack_flags: flags, ..Forged::new() }.read().is_ok());
    }
}

#[test]
fn extended_states_are_those_of_a_signal_frame() {
    let known = 0b10_1110_0111;
    for states in [0, 1, 2, 0b1011, 1 << 63 | 3, u64::MAX] {
        refused(|forged| forged.states = states, StateError::ExtendedStates { states, always: 3, known });
    }
    assert!(Forged { states: known, ..Forged::new() }.read().is_ok());
}

#[test]
fn nobody_slept_longer_than_there_was_time() {
    let supply = |kind: u8, words_after: &[u64]| {
        let bytes = [&[kind][..], &words(words_after)].concat();
        let mut reader = Reader::new(&bytes);
        let supply = Supply::decode(&mut reader)?;
        reader.finish()?;
        let mut writer = Writer::new();
        supply.encode(&mut writer);
        assert_eq!(writer.into_bytes(), bytes);
        Ok::<_, StateError>(supply)
    };
    assert!(supply(0, &[]).is_ok() && supply(1, &[u64::MAX]).is_ok() && supply(2, &[u64::MAX, 9, 9, 0]).is_ok());
    let error = WireError::OutOfRange { field: "time slept", offset: 17, value: 10, max: 9 };
    assert_eq!(supply(2, &[1 << 40, 9, 10, 0]), Err(error.into()));
    let error = WireError::OutOfRange { field: "sources", offset: 0, value: 3, max: 2 };
    assert_eq!(supply(3, &[0; 4]), Err(error.into()));
}
