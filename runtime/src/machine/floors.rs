//! The floors: what this host's KVM costs before Ampoule does anything. Speed is quoted as a ratio to them.

use std::time::Duration;

use ampoule_kernel::{abi, layout};

use super::Machine;
use super::boot::Gate;
use super::paging::{Access, Page};
use super::probe::{HostProbe, map_page};
use crate::vm::clock::{self, Nanos};
use crate::vm::device::Device;
use crate::vm::error::HostError;
use crate::vm::watch::{Budget, Halted, Watch};

/// What this host's KVM costs. Minima over many runs, but for the overshoot, which is a median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Floors {
    /// An exit from CPL3 and back, by the cheapest way that works here.
    pub exit: Duration,
    /// A virtual machine with 64 MiB of memory: made, run once, dropped.
    pub vm_life: Duration,
    /// The first touch of a 4 KiB page that the guest has mapped.
    pub first_touch: Duration,
    /// How much later than asked for a per-thread timer stops a spinning guest.
    pub overshoot: Duration,
}

/// Exits that are timed together.
const EXITS: u32 = 100;
const EXIT_ROUNDS: usize = 40;
const LIFE_ROUNDS: usize = 40;
const TOUCH_PAGES: u64 = 1024;
const TOUCH_ROUNDS: usize = 10;
const OVERSHOOT_ROUNDS: usize = 40;
/// The limit that is overshot.
const SPIN: Nanos = 5_000_000;
/// 64 MiB.
const LIFE_PAGES: u64 = 16_384;
const SMALL_PAGES: u64 = 64;
const CODE: u64 = layout::USER_START;
const DATA: u64 = 0x40_0000;

/// `out SYSCALL_PORT, al; jmp to itself`
const RING: [u8; 4] = [0xe6, abi::SYSCALL_PORT, 0xeb, 0xfc];
/// `syscall; jmp to itself`
const CALL: [u8; 4] = [0x0f, 0x05, 0xeb, 0xfc];
/// `jmp to itself`
const FOREVER: [u8; 2] = [0xeb, 0xfe];
/// `again: mov [rdi], eax; add rdi, 4096; dec rdx; jnz again; syscall`
const TOUCH: [u8; 16] =
    [0x89, 0x07, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0x48, 0xff, 0xca, 0x75, 0xf2, 0x0f, 0x05];

impl HostProbe {
    /// Measures the floors of this host: takes about a second on an idle machine.
    ///
    /// # Errors
    /// [`HostError`] if KVM fails in the middle.
    pub fn measure(&self) -> Result<Floors, HostError> {
        let device = Device::get()?;
        let gate = self.gate();
        Ok(Floors {
            exit: minimum(EXIT_ROUNDS, || exits(device, gate))? / EXITS,
            vm_life: minimum(LIFE_ROUNDS, || life(device, gate))?,
            first_touch: minimum(TOUCH_ROUNDS, || touch(device, gate))? / u32::try_from(TOUCH_PAGES).unwrap_or(1),
            overshoot: overshoot(device, gate)?,
        })
    }
}

fn minimum(rounds: usize, mut measure: impl FnMut() -> Result<Nanos, HostError>) -> Result<Duration, HostError> {
    let mut least = Nanos::MAX;
    for _ in 0..rounds {
        least = least.min(measure()?);
    }
    Ok(Duration::from_nanos(least))
}

/// A machine about to run `code` at CPL3.
fn machine(device: &Device, gate: Gate, pages: u64, code: &[u8]) -> Result<Machine, HostError> {
    let mut machine = Machine::with_gate(device, gate, pages)?;
    map_page(&mut machine, CODE, Access { read: true, write: false, execute: true }, code)?;
    let mut registers = *machine.registers();
    registers.rip = CODE;
    registers.rdi = DATA;
    registers.rdx = TOUCH_PAGES;
    // CODE is in the payload's half.
    let _ = machine.set_registers(&registers);
    Ok(machine)
}

fn exits(device: &Device, gate: Gate) -> Result<Nanos, HostError> {
    let code = if gate == Gate::User { &RING } else { &CALL };
    let mut machine = machine(device, gate, SMALL_PAGES, code)?;
    machine.run()?;
    let vcpu = machine.vcpu();
    let from = clock::monotonic();
    for _ in 0..EXITS {
        vcpu.run()?;
    }
    Ok(clock::monotonic() - from)
}

fn life(device: &Device, gate: Gate) -> Result<Nanos, HostError> {
    let from = clock::monotonic();
    let mut machine = machine(device, gate, LIFE_PAGES, &CALL)?;
    machine.run()?;
    drop(machine);
    Ok(clock::monotonic() - from)
}

fn touch(device: &Device, gate: Gate) -> Result<Nanos, HostError> {
    let mut machine = machine(device, gate, LIFE_PAGES, &TOUCH)?;
    let (tables, frames, memory) = machine.space();
    for page in 0..TOUCH_PAGES {
        let Some(page) = Page::containing(DATA + page * layout::PAGE_SIZE) else { continue };
        let Some(allocated) = frames.allocate() else { continue };
        // 64 MiB have room for both.
        let _ = tables.prepare(memory, frames, page)?;
        let _ = tables.map(memory, page, allocated.frame, Access::READ_WRITE)?;
    }
    let from = clock::monotonic();
    machine.run()?;
    Ok(clock::monotonic() - from)
}

fn overshoot(device: &Device, gate: Gate) -> Result<Duration, HostError> {
    let mut machine = machine(device, gate, SMALL_PAGES, &FOREVER)?;
    let mut late = Vec::with_capacity(OVERSHOOT_ROUNDS);
    for _ in 0..OVERSHOOT_ROUNDS {
        let mut watch = Watch::begin(Budget { wall: SPIN, cpu: Nanos::MAX, cancel: Vec::new() })?;
        machine.attach(watch.mask_inside())?;
        loop {
            watch.enter()?;
            machine.run()?;
            match watch.interrupted() {
                Ok(()) => {}
                Err(Halted::Stop(_)) => break,
                Err(Halted::Host(error)) => return Err(error),
            }
        }
        late.push(watch.wall_used().saturating_sub(SPIN));
    }
    late.sort_unstable();
    Ok(Duration::from_nanos(late.get(OVERSHOOT_ROUNDS / 2).copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_floor_is_measured() {
        let floors = HostProbe::get().unwrap().measure().unwrap();
        for floor in [floors.exit, floors.vm_life, floors.first_touch] {
            assert!(!floor.is_zero(), "{floors:?}");
        }
    }
}
