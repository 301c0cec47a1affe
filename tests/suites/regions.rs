//! Regions: memory of the host's that many guests read, each under a name, and none can change.

use super::sandboxes::pattern;
use ampoule::{CallError, End, Region, Sandbox, SandboxBuilder, SandboxError, TrapMeaning};
use ampoule_tests::{asked, call_bytes, honest_call, program, sandbox, word};
use std::io::{Read, Seek, Write};

fn builder() -> SandboxBuilder<()> {
    Sandbox::builder(&program("asks"), &asked())
}

/// FNV-1a, as the guest `plugin` computes it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn a_guest_reads_regions_of_every_size() {
    let sizes = [0, 1, 4095, 4097, 2 << 20, (2 << 20) + 1, 5 << 20];
    let regions: Vec<_> = sizes.iter().map(|&size| Region::from_bytes(pattern(size)).expect("a region")).collect();
    let plugin = Sandbox::builder(&program("plugin"), &ampoule_tests::echoing());
    let named = |builder: SandboxBuilder<()>| {
        regions.iter().zip(sizes).fold(builder, |builder, (region, size)| builder.region(&format!("of-{size}"), region))
    };
    let mut plugin = named(plugin).build(()).expect("a sandbox");
    let mut asks = named(builder()).build(()).expect("a sandbox");
    let mut places = Vec::new();
    for (region, size) in regions.iter().zip(sizes) {
        let name = format!("of-{size}");
        assert_eq!((region.len(), region.is_empty()), (size as u64, size == 0));
        let sum = word(&call_bytes(&mut plugin, "checksum", name.as_bytes()).expect("a sum"));
        assert_eq!(sum, checksum(&pattern(size)), "{name}");
        assert!(
            call_bytes(&mut asks, "gives", name.as_bytes()).expect("a reply") == pattern(size),
            "{name} as a reply"
        );
        assert!(
            call_bytes(&mut asks, "sends", name.as_bytes()).expect("a reply") == pattern(size),
            "{name} as arguments"
        );
        let place = call_bytes(&mut asks, "where", name.as_bytes()).expect("a place");
        let (address, bytes) = place.split_at(8);
        assert_eq!((word(address) % (2 << 20), word(bytes)), (0, size as u64));
        assert!(word(address) >= ampoule_kernel::layout::REGIONS);
        assert_eq!(call_bytes(&mut asks, "where", name.as_bytes()).expect("a place"), place, "it stays where it is");
        places.push((word(address), size as u64));
    }
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{places:x?}");
}

#[test]
fn many_sandboxes_share_one_region() {
    let bytes = pattern(3 << 20);
    let region = Region::from_bytes(&bytes).expect("a region");
    let program = program("plugin");
    let mut all: Vec<_> = (0..8)
        .map(|_| {
            let builder = Sandbox::builder(&program, &ampoule_tests::echoing::<()>()).region("model", &region);
            builder.build(()).expect("a sandbox")
        })
        .collect();
    drop(region);
    std::thread::scope(|scope| {
        for plugin in &mut all {
            let bytes = &bytes;
            scope.spawn(move || {
                assert_eq!(word(&call_bytes(plugin, "checksum", b"model").expect("a sum")), checksum(bytes));
            });
        }
    });
    let last = all.pop();
    drop(all);
    let mut last = last.expect("a sandbox");
    assert_eq!(word(&call_bytes(&mut last, "checksum", b"model").expect("a sum")), checksum(&bytes));
}

#[test]
fn a_store_to_a_region_is_a_trap_and_the_others_see_nothing_of_it() {
    let region = Region::from_bytes(pattern(5000)).expect("a region");
    let build = || builder().region("shared", &region).build(()).expect("a sandbox");
    let (mut spoils, mut other) = (build(), build());
    match call_bytes(&mut spoils, "spoils", b"shared") {
        Err(CallError::Ended(End::Trap(trap))) => {
            assert_eq!(trap.meaning(), TrapMeaning::WriteToReadOnly, "{trap}");
            assert_eq!(trap.fault_address(), Some(ampoule_kernel::layout::REGIONS));
            assert!(trap.symbol().is_some_and(|(name, _)| name.starts_with("stores_to_region")), "{trap}");
        }
        answer => panic!("{answer:?}"),
    }
    assert!(call_bytes(&mut other, "gives", b"shared").expect("a reply") == pattern(5000));
}

#[test]
fn linux_calls_read_from_regions_and_do_not_write_to_them() {
    let bytes = pattern(3 << 20);
    let mut file = tempfile::tempfile().expect("a file");
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"not to be read").expect("a pipe");
    let mut asks = builder()
        .region("shared", &Region::from_bytes(&bytes).expect("a region"))
        .stdout(file.try_clone().expect("a file").into())
        .stdin(reader.into())
        .build(())
        .expect("a sandbox");
    call_bytes(&mut asks, "shows", b"shared").expect("shown");
    let mut shown = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut shown).expect("a file");
    assert!(shown == bytes);
    assert_eq!(call_bytes(&mut asks, "reads_into", b"shared").expect("an answer"), 1_i32.to_le_bytes(), "EFAULT");
    assert!(call_bytes(&mut asks, "gives", b"shared").expect("a reply") == bytes);
}

#[test]
fn a_region_that_is_not_there_is_no_region() {
    let mut none = sandbox(&program("asks"), &asked());
    let region = Region::from_bytes(b"here").expect("a region");
    let mut one = builder().region("here", &region).build(()).expect("a sandbox");
    let refused = |asks: &mut Sandbox<()>, name: &str| match call_bytes(asks, "where", name.as_bytes()) {
        Err(CallError::Guest { message, .. }) => assert_eq!(message, "there is no such region"),
        other => panic!("{name:?}: {other:?}"),
    };
    refused(&mut none, "here");
    for name in ["her", "heree", "", "HERE"] {
        refused(&mut one, name);
    }
    assert_eq!(call_bytes(&mut one, "gives", b"here").expect("a reply"), b"here");
}

#[test]
fn a_name_that_is_none_is_refused_with_a_reason() {
    let region = Region::from_bytes(b"here").expect("a region");
    for name in ["", "two words", "line\n", "call(", "\u{e4}", &"x".repeat(256)] {
        let error = builder().region(name, &region).build(()).expect_err("no name");
        assert!(matches!(&error, SandboxError::Region { .. }), "{error}");
        assert!(error.to_string().contains("1 to 255"), "{error}");
    }
    builder().region(&"x".repeat(255), &region).build(()).expect("the longest name");
}

#[test]
fn a_region_is_a_file_as_it_was_and_costs_no_memory_of_the_guests() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let bytes = pattern(40 << 20);
    file.write_all(&bytes).expect("a file");
    let region = Region::from_file(file.path()).expect("a region");
    file.as_file().set_len(0).expect("a file");
    let limits = ampoule::Limits::new().memory(8 << 20);
    let mut plugin = Sandbox::builder(&program("plugin"), &ampoule_tests::echoing())
        .region("file", &region)
        .limits(limits)
        .call(honest_call())
        .build(())
        .expect("a sandbox");
    assert_eq!(word(&call_bytes(&mut plugin, "checksum", b"file").expect("a sum")), checksum(&bytes));
    assert!(Region::from_file("/nowhere").is_err());
}
