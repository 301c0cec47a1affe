//! A bare virtual machine: what anybody has to ask of KVM to run one instruction at CPL3, and nothing of Ampoule's.
//!
//! It exists to be measured. Speed is quoted as a ratio to it, so it has one slot, one vCPU and no kernel: the payload's slot of an
//! ordinary guest memory, in which the host wrote three page tables and a few bytes of code.
//!
//! ```text
//! page of the slot   0 PML4   1 PDPT   2 PD: one large page, the slot's first 2 MiB at virtual 0   3 TSS: zeros   4 code
//! ```
//!
//! An all-zero TSS is an I/O bitmap that opens every port; with IOPL 3 in the flags as well, a port write at CPL3 exits on every KVM,
//! whichever of the two it honours.

use ampoule_kernel::layout::{PAGE_SIZE, PAYLOAD_BASE};
use kvm_ioctls::VmFd;

use super::clock::{self, Nanos};
use super::device::Device;
use super::error::HostError;
use super::exit::Exit;
use super::kick::{Blocked, ThreadTimer};
use super::memory::{Geometry, GuestMemory};
use super::seam::{self, HostCall};
use super::shell::set_slot;
use super::vcpu::{KvmVcpu, Registers, Segment, SystemRegisters, Vcpu};

/// 64 MiB: the default limit of a sandbox.
const PAGES: u64 = 16_384;
/// The port that is written. No device is behind it: the VM has no interrupt controllers.
const PORT: u8 = 0x10;
/// Where the TSS and the code are, in the slot and virtually.
const TSS: u64 = 3 * PAGE_SIZE;
const CODE: u64 = 4 * PAGE_SIZE;

/// Present, writable, accessible at CPL3, accessed, dirty; and the same for a large page.
const TABLE: u64 = 0x67;
const LARGE: u64 = TABLE | 1 << 7;

/// PE, MP, ET, NE, WP, PG.
const CR0: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;
/// PAE, OSFXSR.
const CR4: u64 = 1 << 5 | 1 << 9;
/// LME, LMA.
const EFER: u64 = 1 << 8 | 1 << 10;
/// IF, IOPL 3 and the flag that reads as one.
const FLAGS: u64 = 1 << 1 | 1 << 9 | 3 << 12;

/// No run of Ampoule's has this number, so that the thread's timer is armed anew by the next one.
const NO_RUN: u64 = 0;

/// What the code page holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guest {
    /// `out PORT, al; jmp to itself`
    Exits,
    /// `jmp to itself`
    Spins,
}

/// A VM, a vCPU and a slot.
#[derive(Debug)]
pub(crate) struct BareVm {
    /// The vCPU goes first: it keeps the VM alive.
    vcpu: KvmVcpu,
    /// The VM before the memory that its slot points to.
    vm: VmFd,
    memory: GuestMemory,
}

/// Memory with page tables and `guest` in it: not KVM's, so it is made before the clock starts.
pub(crate) fn memory(guest: Guest) -> Result<GuestMemory, HostError> {
    let mut memory = GuestMemory::new(Geometry { payload_pages: PAGES, table_pages: 1 })?;
    let table = |page| PAYLOAD_BASE + page * PAGE_SIZE;
    memory.write_u64(table(0), table(1) | TABLE)?;
    memory.write_u64(table(1), table(2) | TABLE)?;
    memory.write_u64(table(2), PAYLOAD_BASE | LARGE)?;
    // Zero it is already; a page that the host never touched would cost the first run a fault.
    memory.zero_page(PAYLOAD_BASE + TSS)?;
    let code: &[u8] = match guest {
        Guest::Exits => &[0xe6, PORT, 0xeb, 0xfc],
        Guest::Spins => &[0xeb, 0xfe],
    };
    memory.write(PAYLOAD_BASE + CODE, code)?;
    Ok(memory)
}

impl BareVm {
    /// Makes VM, slot and vCPU: five calls to KVM beside reading the reset state.
    pub(crate) fn new(device: &Device, memory: GuestMemory) -> Result<Self, HostError> {
        let vm = device.create_vm()?;
        let [_, _, payload] = memory.slots();
        set_slot(&vm, &memory, &payload, payload.bytes)?;
        let fd = seam::call(HostCall::CreateVcpu, || vm.create_vcpu(0))?;
        let mut vcpu = KvmVcpu::new(fd, device)?;
        vcpu.set_system_registers(&system(vcpu.system_registers()?))?;
        vcpu.set_registers(&Registers { rip: CODE, rflags: FLAGS, ..Registers::default() });
        Ok(Self { vcpu, vm, memory })
    }

    /// Runs to the port write. Any other exit is this KVM's failure to be measured.
    pub(crate) fn run(&mut self) -> Result<(), HostError> {
        match self.vcpu.run()? {
            Exit::PortOut { .. } => Ok(()),
            exit => Err(HostError::Broken { exit: exit.to_string() }),
        }
    }

    /// Runs until a bare timer stops it, and says how late that was.
    pub(crate) fn run_until(&mut self, deadline: Nanos) -> Result<Nanos, HostError> {
        let timer = ThreadTimer::current()?;
        let blocked = Blocked::new(timer.id())?;
        self.vcpu.set_signal_mask(blocked.mask_inside())?;
        timer.arm(NO_RUN, deadline)?;
        let late = loop {
            let exit = self.vcpu.run()?;
            let now = clock::monotonic();
            match exit {
                // Somebody else's signal may come first.
                Exit::Interrupted => {
                    if let Some(late) = now.checked_sub(deadline) {
                        break Ok(late);
                    }
                }
                exit => break Err(HostError::Broken { exit: exit.to_string() }),
            }
        };
        timer.disarm(NO_RUN);
        late
    }

    /// Drops VM and vCPU, and hands the memory back to be unmapped when the clock has stopped.
    pub(crate) fn end(self) -> GuestMemory {
        let Self { vcpu, vm, memory } = self;
        drop(vcpu);
        drop(vm);
        memory
    }
}

/// CPL3 of long mode.
fn system(reset: SystemRegisters) -> SystemRegisters {
    let flat = Segment { limit: u32::MAX, present: 1, dpl: 3, s: 1, g: 1, ..Segment::default() };
    SystemRegisters {
        cr0: CR0,
        cr3: PAYLOAD_BASE,
        cr4: CR4,
        efer: EFER,
        cs: Segment { selector: 0x33, type_: 11, l: 1, ..flat },
        ss: Segment { selector: 0x2b, type_: 3, db: 1, ..flat },
        tr: Segment { base: TSS, limit: 0xfff, selector: 0x40, type_: 11, present: 1, ..Segment::default() },
        ..reset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_vm_exits_from_cpl3_every_time_it_runs() {
        let mut vm = BareVm::new(Device::get().unwrap(), memory(Guest::Exits).unwrap()).unwrap();
        for _ in 0..3 {
            vm.run().unwrap();
            assert_eq!(vm.vcpu.system_registers().unwrap().cs.selector & 3, 3);
        }
    }

    #[test]
    fn a_bare_vm_that_spins_is_stopped_by_the_timer_and_not_before() {
        let mut vm = BareVm::new(Device::get().unwrap(), memory(Guest::Spins).unwrap()).unwrap();
        for _ in 0..3 {
            let deadline = clock::monotonic() + 1_000_000;
            vm.run_until(deadline).unwrap();
            assert!(clock::monotonic() >= deadline);
        }
    }
}
