//! A booted guest: a shell with page tables and the ring-0 image in it, seen as a program at CPL3 that stops for a reason.
//!
//! ```text
//! probe    which gate works here, found by running tiny guests      paging   page tables and how a change reaches the guest
//! boot     descriptor tables, image, system registers               frames   the payload's pages: the memory limit
//! space    ranges of pages: populate, protect, move, copy            event    an exit, as what it means for the payload
//! shells   machines that nobody uses, kept for the next
//! image    what the payload's memory held; restore: a machine's state, taken and put back
//! clock    the time, as far as a program reads it without asking
//! extended what x87, SSE, AVX and the rest look like in memory
//! floors   what this host costs before Ampoule does anything
//! load     a program's segments                                     stack    argv, envp, auxv
//! shared   what the host maps for the payload: gate, info page, events, ring, regions
//! ```
//!
//! [`Machine`] keeps one thing straight above all: *where* the vCPU stopped. The payload's registers are the same to everyone above,
//! whether the vCPU stands in a gate, in an exception stub or in the payload itself; how they get back in differs.
//!
//! ```text
//! stopped in    privilege   on the way back
//! user gate     CPL3        the result in RAX; or all registers at once
//! CPL0 gate     CPL0        the result in RAX; or all registers through the resume gate
//! trap stub     CPL0        all registers through the resume gate
//! anywhere, when page-table entries changed:      through the editor, then the resume gate
//! ```

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod event;
pub(crate) mod extended;
pub(crate) mod floors;
pub(crate) mod frames;
pub(crate) mod image;
pub(crate) mod load;
pub(crate) mod paging;
pub(crate) mod probe;
pub(crate) mod restore;
pub(crate) mod shared;
pub(crate) mod shells;
pub(crate) mod space;
pub(crate) mod stack;

use std::sync::Arc;

use ampoule_kernel::layout;

use self::boot::{Bell, Doorbell, Gate, Passage};
use self::clock::Clock;
use self::event::{Event, Exception, GENERAL_PROTECTION, Stopped, UNDEFINED};
use self::frames::Frames;
use self::image::Image;
use self::paging::{Arena, Changes, EditList, PageTables};
use self::probe::HostProbe;
use self::restore::{ExtendedState, Reload};
use self::shared::{NoRoom, SharedMappings};
use crate::vm::device::Device;
use crate::vm::error::HostError;
use crate::vm::memory::{Geometry, GuestMemory};
use crate::vm::posted::Posted;
#[cfg(feature = "fuzz")]
use crate::vm::shared::WindowMemory;
use crate::vm::shared::{RegionMemory, RingMemory};
use crate::vm::shell::Shell;
use crate::vm::vcpu::{Registers, SystemRegisters, Vcpu};

/// Flags that a program may have: CF PF AF ZF SF TF DF OF NT RF AC ID.
const USER_FLAGS: u64 = 0x25_4dd5;
/// The trap flag.
const TRAP_FLAG: u64 = 1 << 8;
/// Where the canonical lower half ends (4-level paging).
const CANONICAL_END: u64 = 1 << 47;
/// Flags that it always has: the one that reads as one, and IF.
const FIXED_FLAGS: u64 = 1 << 1 | 1 << 9;

/// A booted guest.
#[derive(Debug)]
pub(crate) struct Machine {
    shell: Shell,
    /// The payload's address space.
    pub(crate) tables: PageTables,
    /// The payload's pages.
    pub(crate) frames: Frames,
    /// What the host maps for the payload.
    shared: SharedMappings,
    passage: Passage,
    stopped: Stopped,
    /// The payload's registers.
    user: Registers,
    /// They differ from what the vCPU will resume with by more than RAX.
    replaced: bool,
    /// The system registers that it was booted with, but for CR3, which is the present one.
    system: SystemRegisters,
    /// What the payload's memory holds, the pages aside that were written since.
    base: Image,
    /// What the restore gate has to load before the payload goes on.
    reload: Option<Reload>,
    /// What is in the page that it loads from.
    loaded: Option<Arc<ExtendedState>>,
    /// The restore gate works on this host.
    has_gate: bool,
    /// The exception that the restore gate took last, and where, if it ever did.
    gate_fault: Option<(u8, u64)>,
    /// KVM may have derived something from the page tables.
    has_run: bool,
    /// Nothing that was done with it failed: it can be restored.
    is_sound: bool,
    /// The ring is there.
    has_ring: bool,
    clock: Clock,
    /// The states that have most in common with this one; 0 is none.
    family: u64,
    /// Pages of the payload's memory that were ever used.
    touched: u64,
}

/// An instruction pointer outside the payload's half: resuming there would fault in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotInUserHalf;

/// How much page-table arena goes with how much memory: tables for all of it, plus as much again for sparse mappings; and for the
/// programs that follow each other in one machine.
fn arena(payload_pages: u64) -> Arena {
    const FIXED: u64 = 64;
    const SHARE: u64 = 128;
    const FOLLOWING: u64 = 128;
    let most = layout::TABLES_MAX_BYTES / layout::PAGE_SIZE;
    let program_pages = (FIXED + payload_pages / SHARE).min(most);
    Arena { program_pages, pages: (program_pages + FOLLOWING).min(most) }
}

impl Machine {
    /// Boots an empty machine with `payload_pages` pages of memory.
    pub(crate) fn new(
        device: &Device,
        probe: &HostProbe,
        doorbell: Doorbell,
        payload_pages: u64,
    ) -> Result<Self, HostError> {
        let mut machine = Self::with_passage(device, probe.passage(doorbell)?, payload_pages)?;
        machine.has_gate = probe.has_restore_gate();
        machine.clock.is_possible = probe.has_clock();
        if probe.moves_counter() {
            machine.shell.vcpu.show_hosts_counter()?;
        }
        Ok(machine)
    }

    fn with_passage(device: &Device, passage: Passage, payload_pages: u64) -> Result<Self, HostError> {
        let arena = arena(payload_pages);
        let geometry = Geometry { payload_pages, table_pages: arena.pages };
        let features = device.features();
        let mut system = SystemRegisters::default();
        let shell = Shell::new(device, geometry, |reset| {
            let setup = boot::setup(reset, features, passage, layout::TABLES_BASE);
            system = setup.system;
            setup
        })?;
        Self::over(shell, payload_pages, passage, features.nx, system)
    }

    /// A machine over a fake vCPU.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn fake(vcpu: Box<dyn Vcpu>, payload_pages: u64) -> Result<Self, HostError> {
        let geometry = Geometry { payload_pages, table_pages: arena(payload_pages).pages };
        let passage = Passage { gate: Gate::User, bell: Bell::Out };
        Self::over(Shell::fake(geometry, vcpu)?, payload_pages, passage, true, SystemRegisters::default())
    }

    fn over(
        mut shell: Shell,
        payload_pages: u64,
        passage: Passage,
        nx: bool,
        system: SystemRegisters,
    ) -> Result<Self, HostError> {
        boot::install(&mut shell.memory, passage.gate)?;
        let tables = PageTables::new(&mut shell.memory, arena(payload_pages), nx)?;
        let frames = Frames::new(payload_pages);
        let shared = SharedMappings::new(&mut shell.memory, nx)?;
        Ok(Self {
            shell,
            tables,
            frames,
            shared,
            passage,
            stopped: Stopped::Fresh,
            user: Registers { rflags: FIXED_FLAGS, ..Registers::default() },
            replaced: true,
            system,
            base: Image::default(),
            reload: None,
            loaded: None,
            has_gate: false,
            gate_fault: None,
            has_run: false,
            is_sound: true,
            has_ring: false,
            clock: Clock::default(),
            family: 0,
            touched: 0,
        })
    }

    /// Runs the payload until something happens.
    pub(crate) fn run(&mut self) -> Result<Event, HostError> {
        self.is_sound = false;
        self.resume()?;
        self.has_run = true;
        let exit = self.shell.vcpu.run()?;
        let decoded = event::decode(exit, self.passage, self.shell.vcpu.as_mut(), &self.shell.memory)?;
        self.stopped = decoded.stopped;
        if decoded.arrived {
            self.tables.edits_arrived();
        }
        if let (Some(_), Some(user), Event::Exception(exception)) = (&self.reload, decoded.user, decoded.event)
            && event::in_restore_gate(user.rip)
        {
            // What the vCPU still has of the last program, such as a protection key, keeps the gate from its data. Or the payload jumped
            // there by itself: it goes back to where it was restored, and has the fault the next time.
            self.gate_fault = Some((exception.vector, user.rip));
            self.reload_by_calls()?;
            self.replaced = true;
            return self.run();
        }
        if let Some(user) = decoded.user {
            self.user = user;
        }
        if decoded.arrived {
            self.reload = None;
        }
        // Half of an `in` or of a load is done, and KVM would do the other half, or all rounds of a string, with the next program's registers.
        self.is_sound = !matches!(
            decoded.event,
            Event::Fatal(_) | Event::Crashed(_) | Event::Broken(_) | Event::KernelFault { .. }
        );
        match decoded.event {
            Event::Exception(exception) if exception.vector == UNDEFINED => self.corrected(exception),
            event => Ok(event),
        }
    }

    /// A KVM without hardware virtualization emulates what raised a #GP at CPL3, and raises #UD instead if its emulator does not know
    /// the instruction. `int n` is the one whose #GP is certain: error code n · 8 + 2, the gate's selector with the IDT bit.
    fn corrected(&self, exception: Exception) -> Result<Event, HostError> {
        const INT: u8 = 0xcd;
        let mut instruction = [0; 2];
        let whole = self.copy_out(self.user.rip, &mut instruction)? == instruction.len();
        Ok(Event::Exception(match instruction {
            [INT, vector] if whole => {
                Exception { vector: GENERAL_PROTECTION, error_code: u64::from(vector) * 8 + 2, address: None }
            }
            _ => exception,
        }))
    }

    /// Before the first run on a thread: that this process owns the VM, and the signals that stay blocked inside.
    pub(crate) fn attach(&mut self, signal_mask: u64) -> Result<(), HostError> {
        self.shell.check_owner()?;
        self.shell.vcpu.set_signal_mask(signal_mask)
    }

    /// The signals that stay blocked inside from the next run on; free if they are the same.
    pub(crate) fn set_signal_mask(&mut self, signal_mask: u64) -> Result<(), HostError> {
        self.shell.vcpu.set_signal_mask(signal_mask)
    }

    /// True if it can be made what a snapshot says, or what somebody else's says: nothing failed, nothing is mapped that no snapshot has, and this
    /// process made it.
    pub(crate) fn can_be_restored(&self) -> bool {
        self.is_sound && !self.has_ring && self.shell.check_owner().is_ok()
    }

    /// The states that have most in common with this machine's.
    pub(crate) fn family(&self) -> u64 {
        self.family
    }

    /// Pages of the payload's memory that were ever used.
    fn touched(&self) -> u64 {
        self.touched.max(self.frames.peak())
    }

    /// The payload's registers.
    pub(crate) fn registers(&self) -> &Registers {
        &self.user
    }

    /// Sets what a system call returns.
    pub(crate) fn set_result(&mut self, value: u64) {
        self.user.rax = value;
    }

    /// Sets what one of Ampoule's own calls returns: RAX, RDI, RSI.
    pub(crate) fn set_results(&mut self, [rax, rdi, rsi]: [u64; 3]) {
        self.user.rax = rax;
        self.user.rdi = rdi;
        self.user.rsi = rsi;
        // The gate that rings by a hypercall loads back RAX alone.
        self.replaced |= self.passage.bell != Bell::Out;
    }

    /// Writes a word of the info page.
    pub(crate) fn write_info(&mut self, offset: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.shell.memory.write(layout::kernel_physical(layout::INFO_PAGE) + offset, bytes)
    }

    /// Opens the event page: stores to it are posted events from now on.
    pub(crate) fn open_events(&mut self, device: &Device) -> Result<(), HostError> {
        self.shell.open_events(device)?;
        self.shared.open_events(&mut self.shell.memory)
    }

    /// Takes the events that were posted since the last time.
    pub(crate) fn drain_posted(&mut self, take: &mut dyn FnMut(Posted)) {
        self.shell.vcpu.drain_posted(take);
    }

    /// Maps a region for the payload; returns its address.
    pub(crate) fn add_region(
        &mut self,
        device: &Device,
        region: &Arc<RegionMemory>,
    ) -> Result<Result<u64, NoRoom>, HostError> {
        let Ok(offset) = self.shared.place_region(region.whole()) else { return Ok(Err(NoRoom)) };
        self.shell.add_region(device, layout::REGIONS_BASE + offset, region)?;
        self.shared.map_region(&mut self.shell.memory, offset, region.whole())?;
        Ok(Ok(layout::REGIONS + offset))
    }

    /// Gives the payload the ring; an empty one, if it has it already.
    pub(crate) fn open_ring(&mut self) -> Result<Arc<RingMemory>, HostError> {
        self.has_ring = true;
        let ring = shells::with_room(|| self.shell.add_ring(layout::RING_BASE))?;
        ring.clear();
        self.shared.open_ring(&mut self.shell.memory)?;
        Ok(ring)
    }

    /// Gives the payload the windows of a fuzz target.
    #[cfg(feature = "fuzz")]
    fn open_windows(&mut self, windows: &Arc<WindowMemory>) -> Result<(), HostError> {
        self.shell.add_windows(layout::WINDOWS_BASE, windows)?;
        self.shared.open_windows(&mut self.shell.memory)
    }

    /// Replaces the payload's registers. Flags that a program cannot have are put right.
    pub(crate) fn set_registers(&mut self, registers: &Registers) -> Result<(), NotInUserHalf> {
        if registers.rip >= layout::USER_END && !event::in_vdso(registers.rip) {
            return Err(NotInUserHalf);
        }
        self.user = *registers;
        self.user.rflags = registers.rflags & USER_FLAGS | FIXED_FLAGS;
        self.replaced = true;
        Ok(())
    }

    /// The payload goes on in the second part of the batch gate, with the registers that it has.
    #[cfg(feature = "fuzz")]
    pub(crate) fn go_on_in_batch(&mut self) {
        self.user.rip = layout::BATCH_INPUT;
        self.replaced = true;
    }

    /// True if registers are restored by a gate in the guest.
    #[cfg(feature = "fuzz")]
    pub(crate) fn has_restore_gate(&self) -> bool {
        self.has_gate && self.user.rflags & TRAP_FLAG == 0
    }

    /// The pages of the payload's memory that the last save or restore found written, one bit each.
    #[cfg(feature = "fuzz")]
    pub(crate) fn pages_written(&self) -> &[u64] {
        self.shell.dirty.written()
    }

    /// The guest's memory.
    pub(crate) fn memory(&self) -> &GuestMemory {
        &self.shell.memory
    }

    /// Address space, frames and memory together: what a change of the mappings needs.
    pub(crate) fn space(&mut self) -> (&mut PageTables, &mut Frames, &mut GuestMemory) {
        (&mut self.tables, &mut self.frames, &mut self.shell.memory)
    }

    /// The vCPU, for state off the hot path.
    pub(crate) fn vcpu(&mut self) -> &mut dyn Vcpu {
        self.shell.vcpu.as_mut()
    }

    /// Brings page tables and registers into the guest.
    fn resume(&mut self) -> Result<(), HostError> {
        if self.stopped == Stopped::Inside {
            return Ok(());
        }
        self.prepare_reload()?;
        if self.user.rflags & TRAP_FLAG != 0 {
            // The payload's first trap would be in the gate that the editor leads to.
            self.tables.avoid_editor(&mut self.shell.memory)?;
        }
        match self.tables.take_changes() {
            Changes::None => {}
            // Before the first run nothing was derived from the tables yet.
            Changes::Toggle if !self.has_run => {}
            Changes::Toggle => self.shell.toggle_tables()?,
            Changes::Edits(list) => {
                self.finish_hypercall()?;
                return self.resume_through_editor(&list);
            }
        }
        match self.stopped {
            Stopped::Inside => {}
            Stopped::Gate if !self.replaced && self.passage.bell != Bell::Out => {
                let saved = layout::kernel_physical(layout::STACKS_PAGE) + layout::HYPERCALL_REGISTERS_OFFSET;
                self.shell.memory.write_u64(saved, self.user.rax)?;
            }
            Stopped::Gate if !self.replaced => {
                let registers = self.shell.vcpu.registers();
                let Registers { rax, rdi, rsi, .. } = self.user;
                self.shell.vcpu.set_registers(&Registers { rax, rdi, rsi, ..registers });
            }
            Stopped::Fresh => self.set_user_registers(),
            Stopped::Gate if self.passage.gate == Gate::User => self.set_user_registers(),
            Stopped::Gate | Stopped::Trap => {
                self.finish_hypercall()?;
                let rip = if self.reload.is_some() { layout::RESTORE_GATE } else { self.canonical_rip() };
                self.write_resume_frame(rip)?;
                let frame = layout::kernel_virtual(layout::STACKS_PAGE) + layout::RESUME_FRAME_OFFSET;
                let registers = Registers { rip: layout::RESUME, rsp: frame, rflags: 2, ..self.user };
                self.shell.vcpu.set_registers(&registers);
            }
        }
        self.replaced = false;
        Ok(())
    }

    fn set_user_registers(&mut self) {
        let rip = if self.reload.is_some() { layout::RESTORE_GATE } else { self.canonical_rip() };
        let registers = Registers { rip, ..self.user };
        self.shell.vcpu.set_registers(&registers);
    }

    /// At a pending hypercall KVM would put its result into RAX and move RIP after we replaced them: that has to be over first.
    fn finish_hypercall(&mut self) -> Result<(), HostError> {
        if self.stopped == Stopped::Gate && self.passage.bell != Bell::Out {
            self.shell.vcpu.complete()
        } else {
            Ok(())
        }
    }

    fn resume_through_editor(&mut self, list: &EditList) -> Result<(), HostError> {
        let [destination, count, entries @ ..] = list.words.as_slice() else { return Ok(()) };
        let entries: Vec<u8> = entries.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.shell.memory.write(layout::kernel_physical(layout::EDITS_PAGE), &entries)?;
        if self.stopped == Stopped::Fresh || (self.stopped == Stopped::Gate && self.passage.gate == Gate::User) {
            // The gate loads what these change beside the privilege level.
            let mut system = if self.reload.is_some() { self.system } else { self.shell.vcpu.system_registers()? };
            system.cs = boot::code_segment(layout::KERNEL_CODE_SELECTOR);
            system.ss = boot::data_segment(layout::KERNEL_DATA_SELECTOR);
            self.shell.vcpu.enter_with(&system);
        }
        self.write_restored_registers()?;
        let gate = if self.reload.is_some() { layout::RESTORE_GATE } else { layout::REGISTERS_GATE };
        self.write_resume_frame(gate)?;
        let registers = Registers {
            rip: layout::EDITOR,
            rsp: layout::kernel_virtual(layout::STACKS_PAGE) + layout::RESUME_FRAME_OFFSET,
            rdi: *destination,
            rcx: *count,
            rsi: layout::kernel_virtual(layout::EDITS_PAGE),
            rbx: list.spans,
            rdx: self.tables.root(),
            rflags: 2,
            ..self.user
        };
        self.shell.vcpu.set_registers(&registers);
        self.replaced = false;
        Ok(())
    }

    fn write_resume_frame(&mut self, rip: u64) -> Result<(), HostError> {
        let stacks = layout::kernel_physical(layout::STACKS_PAGE);
        let frame = [
            rip,
            u64::from(layout::USER_CODE_SELECTOR),
            self.user.rflags,
            self.user.rsp,
            u64::from(layout::USER_DATA_SELECTOR),
        ];
        for (word, offset) in frame.into_iter().zip((layout::RESUME_FRAME_OFFSET..).step_by(8)) {
            self.shell.memory.write_u64(stacks + offset, word)?;
        }
        Ok(())
    }

    /// The payload can jump into its own gate with any return address; one that is not canonical would fault in `iretq`, at CPL0, or be
    /// refused by the CPU that is to enter there. The page that is never mapped faults at CPL3 instead.
    fn canonical_rip(&self) -> u64 {
        if self.user.rip < CANONICAL_END { self.user.rip } else { CANONICAL_END - layout::PAGE_SIZE }
    }
}

#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod tests;
