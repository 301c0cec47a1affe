//! The floors: what this host's KVM costs before Ampoule does anything. Speed is quoted as a ratio to them.

use std::io;
use std::thread;
use std::time::Duration;

use ampoule_kernel::layout;

use super::Machine;
use super::boot::Doorbell;
use super::paging::{Access, Page};
use super::probe::{HostProbe, map_page};
use crate::vm::bare::{self, Answering, BareVm, Guest};
use crate::vm::clock::{self, Nanos};
use crate::vm::device::Device;
use crate::vm::error::HostError;
use crate::vm::seam::HostCall;

/// One of the floors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Floor {
    /// An exit from CPL3 and back: a bare VM writes a port and runs on.
    Exit,
    /// A bare VM with one slot of 64 MiB: the KVM calls that make it, run it to its first exit, and drop it. Mapping the slot's memory
    /// and unmapping it is not counted.
    VmLife,
    /// The same without dropping it.
    VmCreation,
    /// The first touch of a 4 KiB page that the guest has mapped.
    FirstTouch,
    /// How much later than asked for a bare per-thread timer, set to 5 ms, stops a spinning bare VM.
    Overshoot,
    /// A store of 8 bytes that KVM notes down instead of exiting, and reading it from KVM's ring: a bare VM makes many before one exit,
    /// which is not counted. Where KVM has no such ring it is the exit that a store costs.
    PostedWrite,
    /// A round trip between two cores: one writes a cache line, the guest of a bare VM, spinning on the other, sees it and writes
    /// another. Needs two CPUs.
    PingPong,
}

/// What this host's KVM costs. Minima over many runs, but for the overshoot and the posted write, which are medians.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Floors {
    /// [`Floor::Exit`]
    pub exit: Duration,
    /// [`Floor::VmLife`]
    pub vm_life: Duration,
    /// [`Floor::VmCreation`]
    pub vm_creation: Duration,
    /// [`Floor::FirstTouch`]
    pub first_touch: Duration,
    /// [`Floor::Overshoot`]
    pub overshoot: Duration,
    /// [`Floor::PostedWrite`]
    pub posted_write: Duration,
    /// [`Floor::PingPong`]; none if this process may use one CPU only.
    pub ping_pong: Option<Duration>,
}

/// Exits that are timed together.
const EXITS: u32 = 100;
const EXIT_ROUNDS: usize = 40;
const LIFE_ROUNDS: usize = 40;
/// Pages that are touched together.
const TOUCH_PAGES: u32 = 1024;
const TOUCH_ROUNDS: usize = 10;
const OVERSHOOT_ROUNDS: usize = 40;
/// The limit that is overshot.
const SPIN: Nanos = 5_000_000;
/// Exits that are timed one by one, with the stores before them and without.
const STORE_EXITS: u32 = 50;
const STORE_ROUNDS: usize = 20;
/// Round trips that are timed together, and how often; the least time counts, for either core can be lent to others meanwhile.
const TRIPS: u32 = 100;
const TRIP_BATCHES: usize = 200;
/// A machine that lends them out all the time gets no more batches than fit into this.
const TRIP_TIME: Nanos = 500_000_000;
const TRIP_ROUNDS: usize = 5;
/// 64 MiB.
const PAGES: u64 = 16_384;
const CODE: u64 = layout::USER_START;
const DATA: u64 = 0x40_0000;

/// `again: mov [rdi], eax; add rdi, 4096; dec rdx; jnz again; syscall`
const TOUCH: [u8; 16] =
    [0x89, 0x07, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0x48, 0xff, 0xca, 0x75, 0xf2, 0x0f, 0x05];

impl HostProbe {
    /// Measures the floors of this host: takes about a second on an idle machine.
    ///
    /// # Errors
    /// [`HostError`] if KVM fails in the middle.
    pub fn measure(&self) -> Result<Floors, HostError> {
        Ok(Floors {
            exit: self.least(Floor::Exit, EXIT_ROUNDS)?,
            vm_life: self.least(Floor::VmLife, LIFE_ROUNDS)?,
            vm_creation: self.least(Floor::VmCreation, LIFE_ROUNDS)?,
            first_touch: self.least(Floor::FirstTouch, TOUCH_ROUNDS)?,
            overshoot: self.median(Floor::Overshoot, OVERSHOOT_ROUNDS)?,
            posted_write: self.median(Floor::PostedWrite, STORE_ROUNDS)?,
            ping_pong: if cpus() > 1 { Some(self.least(Floor::PingPong, TRIP_ROUNDS)?) } else { None },
        })
    }

    /// Measures one floor once, in a virtual machine made for it: between two measurements of something else, so that both see the same
    /// noise. An exit and a first touch are the mean of a hundred and of a thousand, a posted write and a round trip the least of many
    /// such means.
    ///
    /// # Errors
    /// As [`measure`](Self::measure), and for [`Floor::PingPong`] if this process may use one CPU only.
    pub fn measure_once(&self, floor: Floor) -> Result<Duration, HostError> {
        let device = Device::get()?;
        Ok(match floor {
            Floor::Exit => Duration::from_nanos(exits(device)?) / EXITS,
            Floor::VmLife => Duration::from_nanos(life(device)?),
            Floor::VmCreation => Duration::from_nanos(creation(device)?),
            Floor::FirstTouch => Duration::from_nanos(touch(device, self)?) / TOUCH_PAGES,
            Floor::Overshoot => Duration::from_nanos(overshoot(device)?),
            Floor::PostedWrite => Duration::from_nanos(stores(device)?) / u32::from(bare::STORES),
            Floor::PingPong => Duration::from_nanos(round_trips(device)?) / TRIPS,
        })
    }

    fn least(&self, floor: Floor, rounds: usize) -> Result<Duration, HostError> {
        let mut least = Duration::MAX;
        for _ in 0..rounds {
            least = least.min(self.measure_once(floor)?);
        }
        Ok(least)
    }

    fn median(&self, floor: Floor, rounds: usize) -> Result<Duration, HostError> {
        let mut all = (0..rounds).map(|_| self.measure_once(floor)).collect::<Result<Vec<_>, _>>()?;
        all.sort_unstable();
        Ok(all.get(rounds / 2).copied().unwrap_or_default())
    }
}

fn exits(device: &Device) -> Result<Nanos, HostError> {
    let mut vm = BareVm::new(device, bare::memory(Guest::Exits)?)?;
    vm.run()?;
    let from = clock::monotonic();
    for _ in 0..EXITS {
        vm.run()?;
    }
    Ok(clock::monotonic() - from)
}

fn life(device: &Device) -> Result<Nanos, HostError> {
    let memory = bare::memory(Guest::Exits)?;
    let from = clock::monotonic();
    let mut vm = BareVm::new(device, memory)?;
    vm.run()?;
    let memory = vm.end();
    let taken = clock::monotonic() - from;
    drop(memory);
    Ok(taken)
}

fn creation(device: &Device) -> Result<Nanos, HostError> {
    let memory = bare::memory(Guest::Exits)?;
    let from = clock::monotonic();
    let mut vm = BareVm::new(device, memory)?;
    vm.run()?;
    let taken = clock::monotonic() - from;
    drop(vm);
    Ok(taken)
}

fn touch(device: &Device, probe: &HostProbe) -> Result<Nanos, HostError> {
    let mut machine = Machine::new(device, probe, Doorbell::Port, PAGES)?;
    map_page(&mut machine, CODE, Access { read: true, write: false, execute: true }, &TOUCH)?;
    let mut registers = *machine.registers();
    registers.rip = CODE;
    registers.rdi = DATA;
    registers.rdx = u64::from(TOUCH_PAGES);
    // CODE is in the payload's half.
    let _ = machine.set_registers(&registers);
    let (tables, frames, memory) = machine.space();
    for page in 0..u64::from(TOUCH_PAGES) {
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

fn overshoot(device: &Device) -> Result<Nanos, HostError> {
    let mut vm = BareVm::new(device, bare::memory(Guest::Spins)?)?;
    vm.run_until(clock::monotonic() + SPIN)
}

/// The stores before one exit, without it: the difference of two least times, for that of two means can be nothing at all on a busy machine.
fn stores(device: &Device) -> Result<Nanos, HostError> {
    let mut storing = BareVm::new(device, bare::memory(Guest::Stores)?)?;
    storing.note_stores(device)?;
    let with = least_of(STORE_EXITS, || storing.run_stores(&mut |_| {}))?;
    let mut exiting = BareVm::new(device, bare::memory(Guest::Exits)?)?;
    let without = least_of(STORE_EXITS, || exiting.run())?;
    Ok(with.saturating_sub(without))
}

fn least_of(count: u32, mut run: impl FnMut() -> Result<(), HostError>) -> Result<Nanos, HostError> {
    let mut least = Nanos::MAX;
    for _ in 0..count {
        let from = clock::monotonic();
        run()?;
        least = least.min(clock::monotonic() - from);
    }
    Ok(least)
}

/// The least time of [`TRIPS`] round trips.
fn round_trips(device: &Device) -> Result<Nanos, HostError> {
    if cpus() < 2 {
        let source = io::Error::new(io::ErrorKind::Unsupported, "a round trip between two CPUs, and there is one");
        return Err(HostError::Call { call: HostCall::Thread, source });
    }
    let mut guest = Answering::start(BareVm::new(device, bare::memory(Guest::Answers)?)?)?;
    let end = clock::monotonic().saturating_add(TRIP_TIME);
    let mut least = Nanos::MAX;
    for _ in 0..TRIP_BATCHES {
        least = least.min(guest.round_trips(TRIPS)?);
        if clock::monotonic() >= end {
            break;
        }
    }
    guest.end()?;
    Ok(least)
}

/// CPUs that this process may use.
fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_floor_is_measured() {
        let floors = HostProbe::get().unwrap().measure().unwrap();
        for floor in [floors.exit, floors.vm_life, floors.vm_creation, floors.first_touch, floors.posted_write] {
            assert!(!floor.is_zero(), "{floors:?}");
        }
        assert_eq!(floors.ping_pong.is_some_and(|floor| !floor.is_zero()), cpus() > 1, "{floors:?}");
    }
}
