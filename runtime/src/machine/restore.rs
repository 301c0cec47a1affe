//! A machine's state, taken and put back.
//!
//! ```text
//! save       memory: the pages written since the base was true, in an image that shares all others with it     machine::image
//!            page tables: the mirror; registers; extended state; segments. The guest is not entered.
//! restore    memory: what was written, and what the two images do not share, is copied back                     vm::dirty
//!            page tables: entries put back, or all written anew                                                 machine::paging
//!            registers: loaded by the restore gate, at CPL3, on the way back into the guest
//! ```
//! What the payload can change at CPL3 goes through the gate: general registers and flags, the selectors and bases of the data segments,
//! x87, SSE, AVX and whatever else `xrstor` knows. System registers it cannot change, so they are not looked at.

pub(crate) mod parts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ampoule_kernel::{layout, vdso};

use super::boot::{self, Gate};
use super::clock::Times;
use super::event::{self, Stopped};
use super::frames::Frames;
use super::image::{Image, PageContent, ones};
use super::paging::SavedTables;
use super::{FIXED_FLAGS, Machine, TRAP_FLAG, arena};
use crate::vm::dirty::Habit;
use crate::vm::error::HostError;
use crate::vm::memory::{PAGE_BYTES, ZEROS};
use crate::vm::vcpu::{Registers, Segment, XSAVE_BYTES};

/// Where the `syscall` of the user image's trampoline returns to: a jump to R8.
const BEHIND_TRAMPOLINE: u64 = layout::CALL_GATE + 5;
/// Where the doorbell of the user image's syscall gate returns to: a jump to RCX.
const BEHIND_DOORBELL: u64 = layout::CALL_GATE + layout::OUT_BYTES;

/// x87, SSE, AVX and further states, as `XSAVE` writes them.
pub(crate) type ExtendedState = [u8; XSAVE_BYTES];

/// What the data segment registers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Segments {
    /// Of DS, ES, FS and GS.
    pub(crate) selectors: [u16; 4],
    /// Of FS and GS.
    pub(crate) bases: [u64; 2],
}

/// What the restore gate loads.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    extended: Arc<ExtendedState>,
    segments: Segments,
}

/// The state of a machine: immutable, and shared where it is equal.
#[derive(Debug, Clone)]
pub(crate) struct MachineState {
    image: Image,
    tables: SavedTables,
    frames: Frames,
    registers: Registers,
    reload: Reload,
    family: u64,
    /// The latest that the program may have been told.
    told: Times,
}

impl MachineState {
    /// Nothing, with a memory limit in pages.
    pub(crate) fn empty(pages: u64) -> Self {
        let extended = Arc::new(initial_extended_state());
        Self {
            image: Image::default(),
            tables: SavedTables::empty(arena(pages).program_pages),
            frames: Frames::new(pages),
            registers: Registers { rflags: FIXED_FLAGS, ..Registers::default() },
            reload: Reload { extended, segments: Segments::default() },
            family: 0,
            told: Times::default(),
        }
    }

    /// The states that have most in common with this one.
    pub(crate) fn family(&self) -> u64 {
        self.family
    }

    /// What the payload's memory holds.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// Sets the bases of FS and GS.
    #[cfg(test)]
    pub(super) fn set_bases(&mut self, bases: [u64; 2]) {
        self.reload.segments.bases = bases;
    }
}

impl Machine {
    /// The machine's state. It goes on from there, and what it shares with the state is found by the next [`save`](Self::save). After an error
    /// nobody knows any more what of its memory differs from what.
    pub(crate) fn save(&mut self) -> Result<MachineState, HostError> {
        self.shell.check_owner()?;
        let was_sound = std::mem::replace(&mut self.is_sound, false);
        let state = self.take_state()?;
        self.is_sound = was_sound;
        Ok(state)
    }

    fn take_state(&mut self) -> Result<MachineState, HostError> {
        self.finish_instruction()?;
        let reload = match &self.reload {
            // The gate has not loaded it yet.
            Some(reload) => reload.clone(),
            None => self.reload_state()?,
        };
        let mut registers = self.user;
        if self.passage.gate == Gate::Supervisor && registers.rip == BEHIND_TRAMPOLINE {
            // The trampoline's last step, taken here: a host with the other gate has none.
            registers.rip = registers.r8;
        }
        if self.passage.gate == Gate::User && registers.rip == BEHIND_DOORBELL {
            // The same for the syscall gate of a host where that is at CPL3.
            registers.rip = registers.rcx;
        }
        // Where it goes on, the clock page tells another time, and the function may be written in another way.
        registers.rip = vdso::begun_again(registers.rip).unwrap_or(registers.rip);
        if self.family == 0 {
            self.family = next_family();
        }
        Ok(MachineState {
            image: self.save_memory()?,
            tables: self.tables.save(),
            frames: self.frames.clone(),
            registers,
            reload,
            family: self.family,
            told: self.told(),
        })
    }

    fn reload_state(&mut self) -> Result<Reload, HostError> {
        let system = self.shell.vcpu.system_registers()?;
        Ok(Reload {
            extended: Arc::from(self.shell.vcpu.extended_state()?),
            segments: Segments {
                selectors: [system.ds, system.es, system.fs, system.gs].map(|segment| segment.selector),
                bases: [system.fs.base, system.gs.base],
            },
        })
    }

    fn save_memory(&mut self) -> Result<Image, HostError> {
        self.shell.collect_dirty()?;
        let mut image = self.base.clone();
        let mut content = [0; PAGE_BYTES];
        let mut at = 0;
        while let Some((word, bits)) = self.shell.dirty.next(at) {
            at = word + 1;
            for page in ones(bits) {
                self.shell.memory.read(address(word, page), &mut content)?;
                let differs = content != *self.base.page(word, page).unwrap_or(&ZEROS);
                let bit = 1 << page;
                let habit = self.shell.dirty.habit(word, bit);
                self.shell.dirty.saved(word, bit, habit, differs);
                if differs {
                    image.set(word, page, Some(Arc::new(PageContent(content))));
                }
            }
        }
        self.shell.memory.forget_written();
        self.shell.protect_clean()?;
        self.base = image.clone();
        Ok(image)
    }

    /// Makes the machine what `state` says, whatever it was. After an error nothing is known of it.
    pub(crate) fn restore(&mut self, state: &MachineState) -> Result<(), HostError> {
        // In the child of a fork its memory is not even there.
        self.shell.check_owner()?;
        // Until it is done.
        self.is_sound = false;
        self.touched = self.touched();
        self.settle()?;
        self.shell.vcpu.drain_posted(&mut |_| {});
        // Seed, number and deadline of a life that is over: some programs are told of none.
        self.shell.memory.zero_page(layout::kernel_physical(layout::INFO_PAGE))?;
        self.restore_memory(&state.image)?;
        let moved = self.tables.reset(&mut self.shell.memory, &state.tables)?;
        if moved.is_some() {
            self.system.cr3 = self.tables.root();
            let system = self.system;
            self.shell.vcpu.enter_with(&system);
            self.stopped = Stopped::Fresh;
        }
        self.frames.clone_from(&state.frames);
        self.user = state.registers;
        self.replaced = true;
        self.reload = Some(state.reload.clone());
        self.family = state.family;
        self.take_clock_over(state.told);
        self.is_sound = true;
        Ok(())
    }

    /// Lets KVM finish an instruction that is half done. The guest does not go on.
    fn finish_instruction(&mut self) -> Result<(), HostError> {
        if self.stopped == Stopped::Inside && self.reload.is_none() {
            self.shell.vcpu.complete()?;
            let registers = self.shell.vcpu.registers();
            // On the way back from the editor the payload's registers are still those that it is to have.
            let on_the_way = self.tables.are_edits_in_flight() && event::in_restore_gate(registers.rip);
            // A payload can stand at any address, if it is about to fault there.
            if event::in_payload(&registers).is_some() || (self.is_at_cpl3()? && !on_the_way) {
                self.user = registers;
            }
        }
        Ok(())
    }

    fn is_at_cpl3(&mut self) -> Result<bool, HostError> {
        Ok(self.shell.vcpu.system_registers()?.cs.selector & 3 == 3)
    }

    /// Leaves nothing pending in the vCPU that would still happen after its registers were replaced.
    fn settle(&mut self) -> Result<(), HostError> {
        self.finish_hypercall()?;
        if self.stopped != Stopped::Inside {
            return Ok(());
        }
        // The half of an instruction that KVM would finish.
        self.shell.vcpu.complete()?;
        // An exception that was about to be delivered when a signal came.
        self.shell.vcpu.clear_events()?;
        // At CPL3 or CPL0, which the instruction pointer does not tell: CPL3 can have jumped to the kernel's half, about to fault.
        let system = self.system;
        self.shell.vcpu.enter_with(&system);
        self.stopped = Stopped::Fresh;
        Ok(())
    }

    fn restore_memory(&mut self, image: &Image) -> Result<(), HostError> {
        self.shell.collect_dirty()?;
        let Self { shell, base, .. } = self;
        let mut at = 0;
        while let Some((word, bits)) = shell.dirty.next(at) {
            at = word + 1;
            for page in ones(bits & shell.dirty.kept(word)) {
                shell.memory.put_back(address(word, page), image.page(word, page))?;
            }
            for page in ones(bits & !shell.dirty.kept(word)) {
                let bit = 1 << page;
                let habit = shell.dirty.habit(word, bit);
                let differs = habit != Habit::Compare
                    || shell.memory.differs(address(word, page), base.page(word, page).unwrap_or(&ZEROS))?;
                shell.memory.put_back(address(word, page), image.page(word, page))?;
                shell.dirty.found(word, bit, habit, differs);
            }
        }
        for (word, bits) in base.differing(image) {
            for page in ones(bits) {
                shell.memory.put_back(address(word, page), image.page(word, page))?;
            }
        }
        shell.memory.forget_written();
        shell.protect_clean()?;
        self.base.clone_from(image);
        Ok(())
    }

    /// Gives the restore gate what it loads.
    pub(super) fn prepare_reload(&mut self) -> Result<(), HostError> {
        let Some(reload) = &self.reload else { return Ok(()) };
        if !self.has_gate || self.user.rflags & TRAP_FLAG != 0 {
            // With the trap flag set the payload's first trap would be in the gate.
            return self.reload_by_calls();
        }
        if !self.loaded.as_ref().is_some_and(|loaded| Arc::ptr_eq(loaded, &reload.extended)) {
            let page = layout::kernel_physical(layout::RESTORED_EXTENDED_PAGE);
            self.shell.memory.write(page, reload.extended.as_slice())?;
            self.loaded = Some(Arc::clone(&reload.extended));
        }
        let Segments { selectors: [ds, es, fs, gs], bases: [fs_base, gs_base] } = reload.segments;
        let selectors = u64::from(ds) | u64::from(es) << 16 | u64::from(fs) << 32 | u64::from(gs) << 48;
        let words = [
            (layout::RESTORED_FS_BASE_OFFSET, fs_base),
            (layout::RESTORED_GS_BASE_OFFSET, gs_base),
            (layout::RESTORED_SELECTORS_OFFSET, selectors),
        ];
        let page = layout::kernel_physical(layout::RESTORED_REGISTERS_PAGE);
        for (offset, word) in words {
            self.shell.memory.write_u64(page + offset, word)?;
        }
        self.write_restored_registers()
    }

    /// Gives both gates what they load last.
    pub(super) fn write_restored_registers(&mut self) -> Result<(), HostError> {
        let Registers { rax, rbx, rcx, rdx, rsi, rdi, .. } = self.user;
        let words = [self.canonical_rip(), rax, rbx, rcx, rdx, rsi, rdi];
        let page = layout::kernel_physical(layout::RESTORED_REGISTERS_PAGE);
        for (word, offset) in words.into_iter().zip((layout::RESTORED_RIP_OFFSET..).step_by(8)) {
            self.shell.memory.write_u64(page + offset, word)?;
        }
        Ok(())
    }

    /// The same by two calls of KVM's, where the gate cannot be used.
    pub(super) fn reload_by_calls(&mut self) -> Result<(), HostError> {
        let Some(Reload { extended, segments }) = self.reload.take() else { return Ok(()) };
        self.loaded = None;
        // The payload can read what the gates load from, and somebody else's may be there.
        for page in [layout::RESTORED_EXTENDED_PAGE, layout::RESTORED_REGISTERS_PAGE] {
            self.shell.memory.zero_page(layout::kernel_physical(page))?;
        }
        self.shell.vcpu.set_extended_state(&extended)?;
        let mut system = match self.stopped {
            Stopped::Fresh => self.system,
            _ => self.shell.vcpu.system_registers()?,
        };
        let [ds, es, fs, gs] = segments.selectors.map(data_segment);
        let [fs_base, gs_base] = segments.bases;
        (system.ds, system.es) = (ds, es);
        (system.fs, system.gs) = (Segment { base: fs_base, ..fs }, Segment { base: gs_base, ..gs });
        self.shell.vcpu.set_system_registers(&system)
    }
}

/// A number that no state has yet.
fn next_family() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The extended state of a program that has just begun, as `XSAVE` writes it: nothing is in use, which `xrstor` takes for the initial values
/// of all but MXCSR.
pub(crate) fn initial_extended_state() -> ExtendedState {
    const FCW: (usize, u16) = (0, 0x37f);
    const MXCSR: (usize, u16) = (24, 0x1f80);
    let mut state = [0; XSAVE_BYTES];
    for (offset, value) in [FCW, MXCSR] {
        for (to, from) in state.iter_mut().skip(offset).zip(value.to_le_bytes()) {
            *to = from;
        }
    }
    state
}

/// What a payload can have in a data segment register: nothing, or the flat segment of its own level.
fn data_segment(selector: u16) -> Segment {
    if selector < 4 {
        Segment { selector, unusable: 1, ..Segment::default() }
    } else {
        Segment { selector, ..boot::data_segment(layout::USER_DATA_SELECTOR) }
    }
}

/// The guest-physical address of a page of the payload's slot, by its place in a dirty log.
fn address(word: usize, page: usize) -> u64 {
    layout::PAYLOAD_BASE + (word as u64 * 64 + page as u64) * layout::PAGE_SIZE
}
