//! A bare virtual machine: what anybody has to ask of KVM to run one instruction at CPL3, and nothing of Ampoule's.
//!
//! It exists to be measured. Speed is quoted as a ratio to it, so it has one slot, one vCPU and no kernel: the payload's slot of an
//! ordinary guest memory, in which the host wrote three page tables and a few bytes of code.
//!
//! ```text
//! page of the slot   0 PML4   1 PDPT   2 PD   3 TSS: zeros   4 code
//! virtual            0 the slot's first 2 MiB   2 MiB no memory: stores are noted down   4 MiB memory that another thread shares
//! ```
//!
//! An all-zero TSS is an I/O bitmap that opens every port; with IOPL 3 in the flags as well, a port write at CPL3 exits on every KVM,
//! whichever of the two it honours.

mod answering;

use std::sync::Arc;

use ampoule_kernel::layout::{EVENTS_BASE, PAGE_SIZE, PAYLOAD_BASE, RING_BASE};
use kvm_ioctls::{IoEventAddress, VmFd};

pub(crate) use self::answering::Answering;

use super::clock::{self, Nanos};
use super::device::Device;
use super::error::HostError;
use super::exit::Exit;
use super::kick::{Blocked, ThreadTimer};
use super::memory::{Geometry, GuestMemory};
use super::posted::Posted;
use super::seam::{self, HostCall};
use super::shared::RingMemory;
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

/// Stores before an exit. KVM's ring has room for 169; before Linux 6.12 only 85 fit.
pub(crate) const STORES: u8 = 80;
/// Bytes of the page whose stores are noted down.
const NOTED_BYTES: u32 = 4096;

/// No run of Ampoule's has this number, so that the thread's timer is armed anew by the next one.
const NO_RUN: u64 = 0;

/// What the code page holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guest {
    /// Writes the port, again and again.
    Exits,
    /// Runs in place.
    Spins,
    /// Makes [`STORES`] stores that are noted down, then writes the port; again and again.
    Stores,
    /// See [`Answering`].
    Answers,
}

impl Guest {
    fn code(self) -> &'static [u8] {
        match self {
            // again: out PORT, al; jmp again
            Self::Exits => &[0xe6, PORT, 0xeb, 0xfc],
            // again: jmp again
            Self::Spins => &[0xeb, 0xfe],
            // again: mov ecx, STORES; mov edi, 2 MiB
            // store: mov [rdi], rax; dec ecx; jnz store; out PORT, al; jmp again
            Self::Stores => &[
                0xb9, STORES, 0, 0, 0, 0xbf, 0, 0, 0x20, 0, // before the loop
                0x48, 0x89, 0x07, 0xff, 0xc9, 0x75, 0xf9, 0xe6, PORT, 0xeb, 0xeb,
            ],
            Self::Answers => answering::CODE,
        }
    }
}

/// A VM, a vCPU and a slot.
#[derive(Debug)]
pub(crate) struct BareVm {
    /// The vCPU goes first: it keeps the VM alive.
    vcpu: KvmVcpu,
    /// The VM before the memory that its slots point to.
    vm: VmFd,
    memory: GuestMemory,
    /// What another thread shares with the guest.
    ring: Option<Arc<RingMemory>>,
}

/// Memory with page tables and `guest` in it: not KVM's, so it is made before the clock starts.
pub(crate) fn memory(guest: Guest) -> Result<GuestMemory, HostError> {
    let mut memory = GuestMemory::new(Geometry { payload_pages: PAGES, table_pages: 1 })?;
    let table = |page| PAYLOAD_BASE + page * PAGE_SIZE;
    memory.write_u64(table(0), table(1) | TABLE)?;
    memory.write_u64(table(1), table(2) | TABLE)?;
    for (entry, base) in (0..).zip([PAYLOAD_BASE, EVENTS_BASE, RING_BASE]) {
        memory.write_u64(table(2) + entry * 8, base | LARGE)?;
    }
    // Zero it is already; a page that the host never touched would cost the first run a fault.
    memory.zero_page(PAYLOAD_BASE + TSS)?;
    memory.write(PAYLOAD_BASE + CODE, guest.code())?;
    Ok(memory)
}

impl BareVm {
    /// Makes VM, slot and vCPU: five calls to KVM beside reading the reset state.
    pub(crate) fn new(device: &Device, memory: GuestMemory) -> Result<Self, HostError> {
        let vm = device.create_vm()?;
        let [_, _, payload] = memory.slots();
        set_slot(&vm, &memory, &payload, payload.bytes, 0)?;
        let fd = seam::call(HostCall::CreateVcpu, || vm.create_vcpu(0))?;
        let mut vcpu = KvmVcpu::new(fd, device)?;
        let reset = vcpu.system_registers()?;
        vcpu.set_system_registers(&system(reset))?;
        vcpu.set_registers(&Registers { rip: CODE, rflags: FLAGS, ..Registers::default() });
        Ok(Self { vcpu, vm, memory, ring: None })
    }

    /// Runs to the port write. Any other exit is this KVM's failure to be measured.
    pub(crate) fn run(&mut self) -> Result<(), HostError> {
        match self.vcpu.run()? {
            Exit::PortOut { .. } => Ok(()),
            exit => Err(HostError::Broken { exit: exit.to_string() }),
        }
    }

    /// From now on stores to the page at 2 MiB are noted down, where KVM can.
    pub(crate) fn note_stores(&mut self, device: &Device) -> Result<(), HostError> {
        let Some(page) = device.posted_ring_page() else { return Ok(()) };
        let zone = IoEventAddress::Mmio(EVENTS_BASE);
        seam::call(HostCall::RegisterCoalesced, || self.vm.register_coalesced_mmio(zone, NOTED_BYTES))?;
        self.vcpu.open_posted(page)
    }

    /// Runs to the port write and takes the stores that were made before, whether noted down or exits.
    pub(crate) fn run_stores(&mut self, take: &mut dyn FnMut(Posted)) -> Result<(), HostError> {
        loop {
            let exit = self.vcpu.run()?;
            self.vcpu.drain_posted(take);
            match exit {
                Exit::PortOut { .. } => return Ok(()),
                Exit::MmioWrite { address, len, data } => take(Posted { address, len, data }),
                exit => return Err(HostError::Broken { exit: exit.to_string() }),
            }
        }
    }

    /// Runs until a bare timer stops it, and says how late that was.
    pub(crate) fn run_until(&mut self, deadline: Nanos) -> Result<Nanos, HostError> {
        self.run_timed(deadline, |exit, late| match exit {
            Exit::Interrupted => Ok(late),
            exit => Err(HostError::Broken { exit: exit.to_string() }),
        })
    }

    /// Runs to the port write, which comes before `deadline`.
    fn run_before(&mut self, deadline: Nanos) -> Result<(), HostError> {
        self.run_timed(deadline, |exit, _| match exit {
            Exit::PortOut { .. } => Ok(()),
            exit => Err(HostError::Broken { exit: exit.to_string() }),
        })
    }

    /// Runs to the first exit, or until a bare timer stops it: then `end` is told how late that was.
    fn run_timed<T>(
        &mut self,
        deadline: Nanos,
        end: impl FnOnce(Exit, Nanos) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let timer = ThreadTimer::current()?;
        let blocked = Blocked::new(timer.id(), false)?;
        self.vcpu.set_signal_mask(blocked.mask_inside())?;
        timer.stop();
        timer.arm(NO_RUN, deadline)?;
        let ended = loop {
            let exit = self.vcpu.run();
            let now = clock::monotonic();
            match exit {
                // Somebody else's signal may come first.
                Ok(Exit::Interrupted) if now < deadline => {}
                Ok(exit) => break end(exit, now.saturating_sub(deadline)),
                Err(error) => break Err(error),
            }
        };
        timer.stop();
        ended
    }

    /// Drops VM and vCPU, and hands the memory back to be unmapped when the clock has stopped.
    pub(crate) fn end(self) -> GuestMemory {
        let Self { vcpu, vm, memory, .. } = self;
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

    #[test]
    fn a_bare_vm_makes_all_its_stores_before_it_exits() {
        let device = Device::get().unwrap();
        let mut vm = BareVm::new(device, memory(Guest::Stores).unwrap()).unwrap();
        vm.note_stores(device).unwrap();
        for _ in 0..3 {
            let mut stores = 0;
            vm.run_stores(&mut |posted| {
                assert_eq!((posted.address, posted.len), (EVENTS_BASE, 8));
                stores += 1;
            })
            .unwrap();
            assert_eq!(stores, STORES);
        }
    }
}
