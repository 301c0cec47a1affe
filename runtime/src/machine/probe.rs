//! What this host does, found by running tiny guests under a timer: never guessed from a vendor string.
//!
//! Two KVMs differ in ways that no capability tells: whether `syscall` changes the privilege level, whether CPL3 reaches a port
//! through the TSS bitmap, whether an edited page-table entry is seen. The probe runs at first use, takes a few milliseconds, and its
//! answer holds for the life of the process.

use std::sync::OnceLock;

use ampoule_kernel::layout;

use super::boot::{Bell, Doorbell, Gate, Passage};
use super::event::{Event, PAGE_FAULT};
use super::paging::{Access, Page};
use super::{Machine, Stopped};
use crate::vm::clock::Nanos;
use crate::vm::device::{Capability, Device, Features};
use crate::vm::error::{HostError, ProbeFailure};
use crate::vm::tsc;
use crate::vm::watch::{Budget, Halted, Watch};

/// A tiny guest that is still running after this is hung. An emulated CPU on a busy machine needs some of it.
const PATIENCE: Nanos = 2_000_000_000;
/// The same for hypercalls: there are hosts on which they never come back, and everybody who asks has to wait for that.
const HYPERCALL_PATIENCE: Nanos = 200_000_000;
/// Memory of a tiny guest.
const PROBE_PAGES: u64 = 32;
/// Where its code is.
const CODE: u64 = layout::USER_START;
/// Where its data is.
const DATA: u64 = layout::USER_START + 16 * layout::PAGE_SIZE;

/// mov [DATA], eax; syscall; and again without end: each round shows that memory can be written and the gate passed.
const PROGRAM: [u8; 13] = [
    0x89, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, // mov [0x20000], eax
    0x0f, 0x05, // syscall
    0xeb, 0xf5, // jmp -11
    0xf4, 0xf4,
];
const _: () = assert!(DATA == 0x2_0000, "the program names it");

/// The same size: rdtsc; mov edi, eax; mov esi, edx; syscall; and again without end.
const COUNTER_PROGRAM: [u8; 13] = [
    0x0f, 0x31, // rdtsc
    0x89, 0xc7, // mov edi, eax
    0x89, 0xd6, // mov esi, edx
    0x90, // where `PROGRAM` has its system call
    0x0f, 0x05, // syscall
    0xeb, 0xf5, // jmp -11
    0xf4, 0xf4,
];

/// What Ampoule found out about this host, once for the process.
#[derive(Debug, Clone)]
pub struct HostProbe {
    gate: Gate,
    features: Features,
    capabilities: Vec<Capability>,
    steps: Vec<ProbeStep>,
    restore_gate: bool,
    counter: GuestCounter,
}

/// What guests see of the host's time-stamp counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GuestCounter {
    /// The counter itself.
    Hosts,
    /// The counter, once KVM was told not to move it.
    HostsIfTold,
    /// Another, or one that is no clock.
    Unusable,
}

/// One question that the probe asked, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStep {
    /// What was tried.
    pub question: &'static str,
    /// How it went; none is well.
    pub failure: Option<ProbeFailure>,
}

impl HostProbe {
    /// The answer for this host; the first call in a process runs the tiny guests.
    ///
    /// # Errors
    /// If `/dev/kvm` cannot be used, or if no way into and out of CPL3 works on it.
    pub fn get() -> Result<&'static Self, HostError> {
        static PROBE: OnceLock<HostProbe> = OnceLock::new();
        if let Some(probe) = PROBE.get() {
            return Ok(probe);
        }
        let probe = Self::run(Device::get()?)?;
        Ok(PROBE.get_or_init(|| probe))
    }

    /// Whether a doorbell works here. The first question about the hypercall takes a moment, since on some hosts it hangs until a timer
    /// ends it.
    ///
    /// # Errors
    /// [`HostError::NoDoorbell`] with what the probe saw.
    pub fn doorbell(&self, doorbell: Doorbell) -> Result<(), HostError> {
        self.passage(doorbell).map(|_| ())
    }

    /// The way from CPL3 to the host with this doorbell.
    pub(super) fn passage(&self, doorbell: Doorbell) -> Result<Passage, HostError> {
        static HYPERCALL: OnceLock<Result<Bell, ProbeFailure>> = OnceLock::new();
        let gate = self.gate;
        let bell = match doorbell {
            Doorbell::Port => Bell::Out,
            Doorbell::Hypercall => HYPERCALL
                .get_or_init(|| hypercall_instruction(gate))
                .clone()
                .map_err(|reason| HostError::NoDoorbell { reason })?,
        };
        Ok(Passage { gate, bell })
    }

    /// How `syscall` gets to the host here.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// True if the restore gate works here.
    pub(super) fn has_restore_gate(&self) -> bool {
        self.restore_gate
    }

    /// True if guests can tell the time by the time-stamp counter.
    pub(super) fn has_clock(&self) -> bool {
        self.counter != GuestCounter::Unusable
    }

    /// True if KVM moves each guest's counter unless it is told not to.
    pub(super) fn moves_counter(&self) -> bool {
        self.counter == GuestCounter::HostsIfTold
    }

    /// CPU features that guests get.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// The capabilities that Ampoule looks at.
    #[must_use]
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// What was tried, in order.
    #[must_use]
    pub fn steps(&self) -> &[ProbeStep] {
        &self.steps
    }

    fn run(device: &Device) -> Result<Self, HostError> {
        // From here on, how long a tick takes can be measured.
        let _ = tsc::rate(&tsc::Reading::now());
        let mut steps = Vec::new();
        let mut last = ProbeFailure::Hung;
        for (gate, question) in [
            (Gate::Supervisor, "syscall enters CPL0, writes a port and returns by sysret"),
            (Gate::User, "syscall stays at CPL3, writes a port through the TSS bitmap and returns by a jump"),
        ] {
            let passage = Passage { gate, bell: Bell::Out };
            let failure = gate_works(device, passage, PATIENCE)?;
            steps.push(ProbeStep { question, failure: failure.clone() });
            let Some(failure) = failure else {
                for (question, many) in [
                    ("page-table entries changed by the guest's editor are seen", false),
                    ("page-table entries changed by the host are seen after the slot was toggled", true),
                ] {
                    let failure = edits_are_seen(device, passage, many)?;
                    steps.push(ProbeStep { question, failure: failure.clone() });
                    if let Some(reason) = failure {
                        return Err(HostError::NoGate { reason });
                    }
                }
                let failure = restore_gate_works(device, passage)?;
                let restore_gate = failure.is_none();
                let question = "selectors, bases and extended state are loaded at CPL3 by the restore gate";
                steps.push(ProbeStep { question, failure });
                let found = find_counter(device, passage)?;
                let counter = *found.as_ref().unwrap_or(&GuestCounter::Unusable);
                let question = "the guest's time-stamp counter is the host's, and a clock";
                steps.push(ProbeStep { question, failure: found.err() });
                let (features, capabilities) = (device.features(), device.capabilities());
                return Ok(Self { gate, features, capabilities, steps, restore_gate, counter });
            };
            last = failure;
        }
        Err(HostError::NoGate { reason: last })
    }
}

/// The hypercall instruction that works here: a CPU has one of the two, and KVM may or may not pass the call on.
fn hypercall_instruction(gate: Gate) -> Result<Bell, ProbeFailure> {
    if gate == Gate::User {
        // A hypercall is CPL0's, and this host's gate never gets there.
        return Err(ProbeFailure::Level);
    }
    let mut last = ProbeFailure::Hung;
    for bell in [Bell::Vmcall, Bell::Vmmcall] {
        let tried = Device::get().and_then(|device| gate_works(device, Passage { gate, bell }, HYPERCALL_PATIENCE));
        match tried {
            Ok(None) => return Ok(bell),
            Ok(Some(failure)) => last = failure,
            Err(error) => last = ProbeFailure::Exit(error.to_string()),
        }
    }
    Err(last)
}

/// A tiny guest.
struct Tiny {
    machine: Machine,
    watch: Watch,
}

impl Tiny {
    fn new(device: &Device, passage: Passage, patience: Nanos) -> Result<Self, HostError> {
        Self::with_program(device, passage, patience, &PROGRAM)
    }

    fn with_program(
        device: &Device,
        passage: Passage,
        patience: Nanos,
        program: &[u8; PROGRAM.len()],
    ) -> Result<Self, HostError> {
        let mut machine = Machine::with_passage(device, passage, PROBE_PAGES)?;
        let execute = Access { read: true, write: false, execute: true };
        map_page(&mut machine, CODE, execute, program)?;
        let mut registers = *machine.registers();
        registers.rip = CODE;
        // CODE is in the payload's half, so this cannot be refused.
        let _ = machine.set_registers(&registers);
        let watch = Watch::begin(Budget {
            wall: patience,
            cpu: patience,
            cancel: [None, None],
            nudge: None,
            pipes: true,
            tick: None,
            slice: None,
        })?;
        machine.attach(watch.mask_inside())?;
        Ok(Self { machine, watch })
    }

    /// Runs to the next event that is not somebody's signal.
    fn next(&mut self) -> Result<Result<Event, ProbeFailure>, HostError> {
        loop {
            self.watch.enter()?;
            let event = self.machine.run()?;
            if event != Event::Interrupted {
                return Ok(Ok(event));
            }
            match self.watch.interrupted() {
                Ok(()) => {}
                Err(Halted::Stop(_)) => return Ok(Err(ProbeFailure::Hung)),
                Err(Halted::Host(error)) => return Err(error),
            }
        }
    }

    /// Runs to the next event, which must be the system call.
    fn rings(&mut self) -> Result<Option<ProbeFailure>, HostError> {
        let event = match self.next()? {
            Ok(event) => event,
            Err(failure) => return Ok(Some(failure)),
        };
        let rip = self.machine.registers().rip;
        Ok(match event {
            Event::Syscall if rip == CODE + 9 && self.at_right_level()? => None,
            Event::Syscall => {
                Some(ProbeFailure::Exit(format!("a system call at the wrong privilege level, RIP {rip:#x}")))
            }
            Event::KernelFault { vector, .. } => Some(ProbeFailure::Exception { vector, rip }),
            Event::Exception(exception) | Event::Fatal(exception) => {
                Some(ProbeFailure::Exception { vector: exception.vector, rip })
            }
            Event::Crashed(exit) | Event::Broken(exit) => Some(ProbeFailure::Exit(exit.to_string())),
            Event::Posted(_) => Some(ProbeFailure::Exit("a store to the event page".to_owned())),
            Event::Interrupted => Some(ProbeFailure::Hung),
        })
    }

    /// On a CPU that enters CPL0, the user gate would seem to work, and leave the payload there.
    fn at_right_level(&mut self) -> Result<bool, HostError> {
        let level = self.machine.vcpu().system_registers()?.cs.selector & 3;
        Ok(level == if self.machine.passage.gate == Gate::User { 3 } else { 0 })
    }
}

/// Maps one page with `content` in it: what a tiny guest needs.
pub(super) fn map_page(machine: &mut Machine, address: u64, access: Access, content: &[u8]) -> Result<(), HostError> {
    let (tables, frames, memory) = machine.space();
    let (Some(page), Some(allocated)) = (Page::containing(address), frames.allocate()) else {
        return Ok(());
    };
    memory.write(allocated.frame.physical(), content)?;
    // PROBE_PAGES has room for the few tables that this takes; were it not so, the guest would fault and the probe would say so.
    let _ = tables.prepare(memory, frames, page)?;
    let _ = tables.map(memory, page, allocated.frame, access)?;
    Ok(())
}

fn gate_works(device: &Device, passage: Passage, patience: Nanos) -> Result<Option<ProbeFailure>, HostError> {
    let mut tiny = Tiny::new(device, passage, patience)?;
    map_page(&mut tiny.machine, DATA, Access::READ_WRITE, &[])?;
    for _ in 0..2 {
        let failure = tiny.rings()?;
        if failure.is_some() {
            return Ok(failure);
        }
    }
    Ok(None)
}

/// Write, make read-only, see the fault, make writable, see the write, unmap, see the fault.
fn edits_are_seen(device: &Device, passage: Passage, by_toggle: bool) -> Result<Option<ProbeFailure>, HostError> {
    let mut tiny = Tiny::new(device, passage, PATIENCE)?;
    map_page(&mut tiny.machine, DATA, Access::READ_WRITE, &[])?;
    let read_only = Access { read: true, write: false, execute: false };
    let steps =
        [(None, false), (Some(read_only), true), (Some(Access::READ_WRITE), false), (Some(Access::default()), true)];
    let Some(page) = Page::containing(DATA) else {
        return Ok(Some(ProbeFailure::Hung));
    };
    for (access, faults) in steps {
        if let Some(access) = access {
            let (tables, _, memory) = tiny.machine.space();
            tables.protect(memory, page, access)?;
            if by_toggle {
                tables.force_toggle(memory)?;
            }
        }
        if !faults {
            let failure = tiny.rings()?;
            if failure.is_some() {
                return Ok(failure);
            }
            continue;
        }
        match tiny.next()? {
            Err(failure) => return Ok(Some(failure)),
            Ok(Event::Exception(exception)) if exception.vector == PAGE_FAULT && exception.address == Some(DATA) => {}
            Ok(_) => return Ok(Some(ProbeFailure::StaleEntry)),
        }
        debug_assert_eq!(tiny.machine.stopped, Stopped::Trap);
    }
    Ok(None)
}

/// Goes back to the first system call after the second, through the gate, and on from there.
fn restore_gate_works(device: &Device, passage: Passage) -> Result<Option<ProbeFailure>, HostError> {
    let mut tiny = Tiny::new(device, passage, PATIENCE)?;
    tiny.machine.has_gate = true;
    map_page(&mut tiny.machine, DATA, Access::READ_WRITE, &[])?;
    for _ in 0..2 {
        let failure = tiny.rings()?;
        if failure.is_some() {
            return Ok(failure);
        }
        let state = tiny.machine.save()?;
        tiny.machine.restore(&state)?;
    }
    let failure = tiny.rings()?;
    Ok(failure.or(tiny.machine.gate_fault.map(|(vector, rip)| ProbeFailure::Exception { vector, rip })))
}

/// Whether a guest reads the host's counter, with or without KVM's help.
fn find_counter(device: &Device, passage: Passage) -> Result<Result<GuestCounter, ProbeFailure>, HostError> {
    if !tsc::is_clock() {
        return Ok(Err(ProbeFailure::Counter("the host's kernel does not take its time from the time-stamp counter")));
    }
    for counter in [GuestCounter::Hosts, GuestCounter::HostsIfTold] {
        let mut tiny = Tiny::with_program(device, passage, PATIENCE, &COUNTER_PROGRAM)?;
        // Older than Linux 5.16, KVM has no such attribute.
        if counter == GuestCounter::HostsIfTold && tiny.machine.vcpu().show_hosts_counter().is_err() {
            break;
        }
        match counts_as_host(&mut tiny)? {
            Ok(true) => return Ok(Ok(counter)),
            Ok(false) => {}
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Err(ProbeFailure::Counter("the guest's time-stamp counter is not the host's")))
}

/// Whether the guest's counter, read between two readings of the host's, is between them.
fn counts_as_host(tiny: &mut Tiny) -> Result<Result<bool, ProbeFailure>, HostError> {
    let before = tsc::ticks();
    if let Some(failure) = tiny.rings()? {
        return Ok(Err(failure));
    }
    let after = tsc::ticks();
    let registers = tiny.machine.registers();
    let counted = registers.rsi << 32 | registers.rdi;
    Ok(Ok((before..=after).contains(&counted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_exactly_one_way_through_the_gate() {
        let device = Device::get().unwrap();
        let works: Vec<_> = [Gate::Supervisor, Gate::User]
            .into_iter()
            .filter(|&gate| gate_works(device, Passage { gate, bell: Bell::Out }, PATIENCE).unwrap().is_none())
            .collect();
        assert_eq!(works, [HostProbe::get().unwrap().gate()]);
    }

    #[test]
    fn where_the_hosts_counter_is_a_clock_the_guests_is_the_same_in_every_machine() {
        let (device, probe) = (Device::get().unwrap(), HostProbe::get().unwrap());
        assert_eq!(probe.has_clock(), tsc::is_clock(), "{:?}", probe.steps());
        if !probe.has_clock() {
            return;
        }
        let passage = probe.passage(Doorbell::Port).unwrap();
        for _ in 0..3 {
            let mut tiny = Tiny::with_program(device, passage, PATIENCE, &COUNTER_PROGRAM).unwrap();
            if probe.moves_counter() {
                tiny.machine.vcpu().show_hosts_counter().unwrap();
            }
            for _ in 0..3 {
                assert_eq!(counts_as_host(&mut tiny).unwrap(), Ok(true));
            }
        }
    }

    #[test]
    fn the_hypercall_doorbell_is_offered_only_where_cpl0_is_real() {
        let probe = HostProbe::get().unwrap();
        assert!(probe.doorbell(Doorbell::Port).is_ok());
        if probe.gate() == Gate::User {
            let refused = probe.doorbell(Doorbell::Hypercall).unwrap_err();
            assert!(matches!(refused, HostError::NoDoorbell { reason: ProbeFailure::Level }), "{refused}");
        } else {
            assert!(probe.doorbell(Doorbell::Hypercall).is_ok());
        }
    }

    #[test]
    fn a_page_table_edit_is_seen_whichever_way_it_travels() {
        let device = Device::get().unwrap();
        let probe = HostProbe::get().unwrap();
        for doorbell in [Doorbell::Port, Doorbell::Hypercall] {
            let passage = match probe.passage(doorbell) {
                Ok(passage) => passage,
                Err(HostError::NoDoorbell { .. }) if doorbell == Doorbell::Hypercall => continue,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(edits_are_seen(device, passage, false).unwrap(), None, "{doorbell:?}");
            assert_eq!(edits_are_seen(device, passage, true).unwrap(), None, "{doorbell:?}");
        }
    }
}
