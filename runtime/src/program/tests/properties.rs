//! Whatever the bytes: no panic, and what is accepted keeps every promise that the loader relies on.

use super::builder::{Elf, Symbol, TEXT};
use crate::program::promises::keeps_its_promises;
use crate::program::*;
use goblin::elf::dynamic::{DF_1_PIE, DT_FLAGS_1};
use proptest::collection::vec;
use proptest::prelude::*;

fn valid() -> impl Strategy<Value = Vec<u8>> {
    let symbols: Vec<_> = (0..4)
        .map(|at| Symbol { name: b"name".to_vec(), address: TEXT + at * 64, size: at * 16, info: 0x12, section: 1 })
        .collect();
    let fixed = Elf { symbols, ..Elf::program() };
    let moved = Elf::static_pie(&[(DT_FLAGS_1, DF_1_PIE)]);
    prop_oneof![Just(fixed.build()), Just(moved.build())]
}

/// Numbers that sit on an edge, since random ones rarely do.
fn edge() -> impl Strategy<Value = u64> {
    let around = |base: u64| (0_u64..3).prop_map(move |step| base.wrapping_add(step).wrapping_sub(1));
    prop_oneof![
        any::<u64>(),
        0_u64..0x5000,
        (0_u64..64).prop_flat_map(move |shift| around(1 << shift)),
        around(0),
        around(0x40_0000),
        around(0x40_1000),
        around(0x7f7f_0000_0000),
        (0_u64..0x800).prop_map(|page| page << 12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn bytes_flipped_anywhere_are_refused_or_keep_every_promise(
        mut bytes in valid(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        header_flips in vec((0_usize..700, any::<u8>()), 0..6),
        length in prop::option::of(any::<prop::sample::Index>()),
        allow in any::<bool>(),
    ) {
        flips.iter().for_each(|(at, value)| *at.get_mut(&mut bytes) = *value);
        header_flips.iter().for_each(|&(at, value)| bytes[at] = value);
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len() + 1));
        }
        if let Ok(program) = Program::options().allow_write_execute(allow).from_bytes(bytes) {
            keeps_its_promises(&program, allow);
        }
    }

    #[test]
    fn fields_set_to_edges_are_refused_or_keep_every_promise(
        mut bytes in valid(),
        words in vec((0_usize..75, edge()), 1..5),
        allow in any::<bool>(),
    ) {
        // From e_entry (24) on, fields and all of the program headers are words or halves of words.
        for (word, value) in words {
            bytes[24 + word * 8..][..8].copy_from_slice(&value.to_le_bytes());
        }
        if let Ok(program) = Program::options().allow_write_execute(allow).from_bytes(bytes) {
            keeps_its_promises(&program, allow);
        }
    }

    #[test]
    fn segments_anywhere_are_refused_or_keep_every_promise(
        places in vec((0_u64..24, 0_u64..0x5000, 0_u64..0x3000, 0_u32..8), 1..6),
        pie in any::<bool>(),
        allow in any::<bool>(),
    ) {
        let mut elf = if pie { Elf::static_pie(&[(DT_FLAGS_1, DF_1_PIE)]) } else { Elf::program() };
        let pattern = elf.headers[2];
        for (page, memory_size, file_size, flags) in places {
            let address = pattern.address - 8 + (page << 12) + 8;
            elf.headers.push(super::builder::Header { address, memory_size, file_size, flags, ..pattern });
        }
        if let Ok(program) = Program::options().allow_write_execute(allow).from_bytes(elf.build()) {
            keeps_its_promises(&program, allow);
        }
    }

    #[test]
    fn any_bytes_after_the_magic_are_refused_or_keep_every_promise(tail in vec(any::<u8>(), 0..400)) {
        let bytes = [&b"\x7fELF\x02\x01\x01"[..], &tail].concat();
        if let Ok(program) = Program::from_bytes(bytes) {
            keeps_its_promises(&program, false);
        }
    }
}
