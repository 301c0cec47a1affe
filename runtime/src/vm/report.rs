//! Everything that KVM reports of a vCPU, for tests that compare two of them.

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::{Kvm, VcpuFd};

use super::vcpu::{Registers, SystemRegisters, XSAVE_BYTES};

/// MSRs whose values are the clock's: `IA32_TIME_STAMP_COUNTER`, `IA32_MPERF`, `IA32_APERF`, `HV_X64_MSR_VP_RUNTIME`,
/// `HV_X64_MSR_TIME_REF_COUNT`.
const CLOCKS: [u32; 5] = [0x10, 0xe7, 0xe8, 0x4000_0010, 0x4000_0020];

/// See the module's documentation.
#[derive(Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) general: Registers,
    pub(crate) system: SystemRegisters,
    pub(crate) extended: Vec<u32>,
    /// XCR0, where there is one.
    pub(crate) xcrs: Option<Vec<(u32, u64)>>,
    /// DR0 to DR3 and DR7. DR6 tells of the last debug exception, to CPL0 alone.
    pub(crate) debug: [u64; 5],
    /// Exceptions, interrupts, NMIs and system management, as `kvm_vcpu_events` has them.
    pub(crate) events: String,
    /// Runnable, halted, and others.
    pub(crate) mp_state: u32,
    /// Every MSR that can be read, but for the clocks.
    pub(crate) msrs: Vec<(u32, u64)>,
}

impl Report {
    pub(super) fn of(fd: &VcpuFd) -> Self {
        let debug = fd.get_debug_regs().unwrap();
        let [dr0, dr1, dr2, dr3] = debug.db;
        let xsave = fd.get_xsave().unwrap();
        assert!(xsave.region.len() * 4 <= XSAVE_BYTES);
        let mut extended = xsave.region.to_vec();
        // XSTATE_BV: which states the host's CPU takes for initial. Their content is what counts, and is there either way.
        extended[128] = 0;
        let mut general = fd.get_regs().unwrap();
        // Whether it is set while an exit is handled is KVM's business: the resume flag is never the payload's own for long.
        general.rflags &= !(1 << 16);
        let mut events = fd.get_vcpu_events().unwrap();
        // What is over is no state, though its number stays.
        if events.exception.pending == 0 && events.exception.injected == 0 {
            events.exception = Default::default();
        }
        if events.interrupt.injected == 0 {
            events.interrupt.nr = 0;
        }
        Self {
            general,
            system: SystemRegisters { cr2: 0, ..fd.get_sregs().unwrap() },
            extended,
            xcrs: fd.get_xcrs().ok().map(|xcrs| {
                let count = usize::try_from(xcrs.nr_xcrs).unwrap();
                xcrs.xcrs[..count].iter().map(|xcr| (xcr.xcr, xcr.value)).collect()
            }),
            debug: [dr0, dr1, dr2, dr3, debug.dr7],
            events: format!("{events:?}"),
            mp_state: fd.get_mp_state().unwrap().mp_state,
            msrs: msrs(fd),
        }
    }
}

fn msrs(fd: &VcpuFd) -> Vec<(u32, u64)> {
    let indices = Kvm::new().unwrap().get_msr_index_list().unwrap();
    let read = |&index: &u32| {
        let mut msrs = Msrs::from_entries(&[kvm_msr_entry { index, ..Default::default() }]).unwrap();
        (fd.get_msrs(&mut msrs).unwrap_or(0) == 1).then(|| (index, msrs.as_slice()[0].data))
    };
    indices.as_slice().iter().filter(|index| !CLOCKS.contains(index)).filter_map(read).collect()
}
