//! docs/kvm.md against the bindings and the code: an exit without a row, a row that is not true, a test that is gone.
//!
//! A constant that a later version of the bindings adds cannot be seen from here, since nothing lists them. So the version that was read
//! is written down, here and in the document, and compared with what cargo chose: an upgrade fails until somebody has read its headers.

use kvm_bindings as kvm;

use super::device::Device;
use super::error::HostError;
use super::exit::{self, Exit};
use super::seam::{HostCall, fault};
use super::vcpu::{KvmVcpu, Vcpu};

/// Whose `KVM_EXIT_*` are in [`REASONS`].
const BINDINGS: &str = "0.14.2";

const DOCUMENT: &str = include_str!("../../../docs/kvm.md");
const LOCK: &str = include_str!("../../../Cargo.lock");
const SEAM: &str = include_str!("seam.rs");

/// Where the tests are that the document names.
const TESTS: [&str; 12] = [
    include_str!("bare.rs"),
    include_str!("interface_tests.rs"),
    include_str!("watch/tests.rs"),
    include_str!("../machine/probe.rs"),
    include_str!("../machine/tests.rs"),
    include_str!("../sandbox/tests.rs"),
    include_str!("../../../tests/suites/events.rs"),
    include_str!("../../../tests/suites/hostile_instructions.rs"),
    include_str!("../../../tests/suites/limits.rs"),
    include_str!("../../../tests/suites/live_threads.rs"),
    include_str!("../../../tests/suites/signals.rs"),
    include_str!("../../../tests/suites/snapshots.rs"),
];

macro_rules! reasons {
    ($($name:ident)*) => { [$((stringify!($name), kvm::$name)),*] };
}

/// Every exit reason of the bindings. `KVM_EXIT_IO_*`, `KVM_EXIT_HYPERV_*` and `KVM_EXIT_XEN_HCALL` are not: they tell kinds of one reason
/// apart.
const REASONS: [(&str, u32); 40] = reasons! {
    KVM_EXIT_UNKNOWN KVM_EXIT_EXCEPTION KVM_EXIT_IO KVM_EXIT_HYPERCALL KVM_EXIT_DEBUG KVM_EXIT_HLT KVM_EXIT_MMIO
    KVM_EXIT_IRQ_WINDOW_OPEN KVM_EXIT_SHUTDOWN KVM_EXIT_FAIL_ENTRY KVM_EXIT_INTR KVM_EXIT_SET_TPR KVM_EXIT_TPR_ACCESS
    KVM_EXIT_S390_SIEIC KVM_EXIT_S390_RESET KVM_EXIT_DCR KVM_EXIT_NMI KVM_EXIT_INTERNAL_ERROR KVM_EXIT_OSI
    KVM_EXIT_PAPR_HCALL KVM_EXIT_S390_UCONTROL KVM_EXIT_WATCHDOG KVM_EXIT_S390_TSCH KVM_EXIT_EPR KVM_EXIT_SYSTEM_EVENT
    KVM_EXIT_S390_STSI KVM_EXIT_IOAPIC_EOI KVM_EXIT_HYPERV KVM_EXIT_ARM_NISV KVM_EXIT_X86_RDMSR KVM_EXIT_X86_WRMSR
    KVM_EXIT_DIRTY_RING_FULL KVM_EXIT_AP_RESET_HOLD KVM_EXIT_X86_BUS_LOCK KVM_EXIT_XEN KVM_EXIT_RISCV_SBI
    KVM_EXIT_RISCV_CSR KVM_EXIT_NOTIFY KVM_EXIT_LOONGARCH_IOCSR KVM_EXIT_MEMORY_FAULT
};

/// The document's part between this heading and the next.
fn section(heading: &str) -> &'static str {
    let (_, after) = DOCUMENT.split_once(&format!("\n{heading}\n")).expect(heading);
    after.split("\n#").next().unwrap()
}

/// The cells of the row that begins with this number and name.
fn row(section: &'static str, number: u32, name: &str) -> Option<Vec<&'static str>> {
    let start = format!("| {number} | `{name}` |");
    section.lines().find(|line| line.starts_with(&start)).map(|line| line.split(" | ").collect())
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What `vm/exit.rs` makes of a reason, by its variants' names. Ports and MMIO go two ways.
fn decoded(reason: u32) -> Vec<String> {
    let mut run = kvm::kvm_run { exit_reason: reason, ..Default::default() };
    let exits = match reason {
        kvm::KVM_EXIT_IO => [kvm::KVM_EXIT_IO_OUT, kvm::KVM_EXIT_IO_IN]
            .map(|direction| {
                run.__bindgen_anon_1.io.direction = u8::try_from(direction).unwrap();
                exit::decode(&run)
            })
            .to_vec(),
        kvm::KVM_EXIT_MMIO => [0, 1]
            .map(|is_write| {
                run.__bindgen_anon_1.mmio.is_write = is_write;
                exit::decode(&run)
            })
            .to_vec(),
        _ => vec![exit::decode(&run)],
    };
    exits.iter().map(|exit| format!("{exit:?}").split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn the_bindings_that_cargo_chose_are_those_that_were_read() {
    let locked = LOCK.split_once("name = \"kvm-bindings\"\nversion = \"").unwrap().1.split('"').next().unwrap();
    assert_eq!(locked, BINDINGS, "read the new KVM_EXIT_* and kvm.h, then extend REASONS and docs/kvm.md");
    assert!(DOCUMENT.contains(&format!("kvm-bindings {BINDINGS}")), "docs/kvm.md names another version");
}

#[test]
fn every_exit_reason_of_the_bindings_has_one_row_with_its_number() {
    for (expected, (name, number)) in (0..).zip(REASONS) {
        assert_eq!(number, expected, "{name}: the list has a gap before it");
        let rows = ["### Exits that are used or expected", "### Exits that do not come"]
            .map(|heading| row(section(heading), number, name))
            .into_iter()
            .flatten();
        assert_eq!(rows.count(), 1, "rows of docs/kvm.md for {number}, {name}");
    }
}

#[test]
fn a_reason_becomes_the_exit_that_the_document_says() {
    for (name, number) in REASONS {
        let exits = decoded(number);
        match row(section("### Exits that are used or expected"), number, name) {
            Some(row) => assert_eq!(quoted(row[2]).collect::<Vec<_>>(), exits, "{name}"),
            None => assert_eq!(exits, ["Other"], "{name}"),
        }
    }
}

#[test]
fn every_reason_beyond_the_bindings_is_refused_by_number() {
    let first = u32::try_from(REASONS.len()).unwrap();
    for reason in (first..256).chain([u32::MAX - 1, u32::MAX]) {
        let run = kvm::kvm_run { exit_reason: reason, ..Default::default() };
        assert_eq!(exit::decode(&run), Exit::Other { reason });
    }
}

#[test]
fn an_errno_of_kvm_run_is_an_interruption_an_exit_or_a_typed_error() {
    let device = Device::get().unwrap();
    let vm = device.create_vm().unwrap();
    let mut vcpu = KvmVcpu::new(vm.create_vcpu(0).unwrap(), device).unwrap();
    let mut run = |errno| fault::with_nth_failing(Some(0), errno, || vcpu.run()).0;
    for (errno, exit) in [
        (libc::EINTR, Exit::Interrupted),
        (libc::EAGAIN, Exit::Interrupted),
        (libc::EFAULT, Exit::MemoryFault),
        (libc::EHWPOISON, Exit::HardwarePoison),
    ] {
        assert_eq!(run(errno).unwrap(), exit, "errno {errno}");
    }
    for errno in [libc::EIO, libc::EINVAL, libc::ENOMEM, libc::EBADF] {
        match run(errno) {
            Err(HostError::Call { call: HostCall::Run, source }) => assert_eq!(source.raw_os_error(), Some(errno)),
            other => panic!("errno {errno}: {other:?}"),
        }
    }
}

#[test]
fn every_ioctl_that_passes_the_seam_has_a_row_among_those_that_are_used() {
    let used = section("### ioctls that are used");
    let ioctls: Vec<_> = quoted(SEAM).filter(|name| name.starts_with("KVM_")).collect();
    assert!(ioctls.len() > 10, "{ioctls:?}");
    for ioctl in ioctls {
        assert!(used.contains(&format!("\n| `{ioctl}` |")), "{ioctl} has no row in docs/kvm.md");
        assert!(!section("### ioctls that are not used").contains(&format!("\n| `{ioctl}`")), "{ioctl} is used");
    }
}

/// A test's name is a sentence: it has four words or more.
#[test]
fn every_test_that_the_document_names_exists() {
    let (_, interface) = DOCUMENT.split_once("\n## The KVM interface\n").unwrap();
    let is_test = |name: &&str| {
        name.matches('_').count() > 2 && name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let named: Vec<_> = interface.lines().flat_map(quoted).filter(is_test).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let definition = format!("fn {name}(");
        assert!(
            TESTS.iter().any(|source| source.contains(&definition)),
            "no test {name} in the files that are looked at"
        );
    }
}
