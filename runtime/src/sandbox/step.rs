//! One step: enter the guest, see why it stopped, serve it, look at the limits.
//!
//! ```text
//! system call ── the personality serves it ──────────── value or errno ──► enter again
//! exception ──── a lazy page, or a handler's signal ─── handled ─────────► enter again
//! signal ─────── clocks and tokens decide ───────────── not over ────────► enter again
//! Ampoule's own ─────────────────────────────────────── the caller serves it
//!                                            otherwise: an end
//! ```

use std::collections::BTreeMap;

use super::halt::{Halt, Pause};
use crate::channel::hypercall::Hypercall;
use crate::channel::posted::{EventQueue, NotPosted};
use crate::end::{End, Limit};
use crate::linux::reply::Refusal;
use crate::linux::{Handled, Kernel};
use crate::machine::event::{Event, Exception};
use crate::program::Program;
use crate::site::Site;
use crate::trap::Trap;
use crate::vm::clock::{self, Nanos};
use crate::vm::error::HostError;
use crate::vm::exit::ExitKind;
use crate::vm::posted::Posted;

/// Time and exits, as the steps count them.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) guest: Nanos,
    pub(super) personality: Nanos,
    exits: [u64; ExitKind::ALL.len()],
}

impl Meter {
    /// Exits by kind; kinds that did not occur are left out.
    pub(super) fn exits(&self) -> BTreeMap<ExitKind, u64> {
        ExitKind::ALL.into_iter().zip(self.exits).filter(|&(_, count)| count > 0).collect()
    }

    /// True if the guest came out for nothing else than that somebody wanted it to.
    #[cfg(feature = "fuzz")]
    pub(super) fn was_only_interrupted(&self) -> bool {
        ExitKind::ALL.into_iter().zip(self.exits).all(|(kind, count)| count == 0 || kind == ExitKind::Interrupted)
    }

    fn count(&mut self, kind: ExitKind) {
        if let Some(count) = ExitKind::ALL.iter().position(|&it| it == kind).and_then(|index| self.exits.get_mut(index))
        {
            *count += 1;
        }
    }
}

/// What the guest may do beside Linux's system calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules<'a> {
    /// Ampoule's own calls are the caller's to serve; they do not exist otherwise.
    pub(super) hypercalls: bool,
    /// Where its events go.
    pub(super) events: Option<&'a EventQueue>,
}

/// What came of a step that did not end the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// On to the next.
    Served,
    /// One of Ampoule's own calls waits to be served.
    Hypercall(Hypercall),
}

/// Enters the guest once and serves what it wants.
pub(super) fn step(
    kernel: &mut Kernel<'_>,
    program: &Program,
    meter: &mut Meter,
    rules: Rules<'_>,
) -> Result<Progress, Halt> {
    step_with(kernel, program, meter, rules, |_| {})
}

/// The same, with something to do between the guest's exit and what it wants.
pub(super) fn step_with(
    kernel: &mut Kernel<'_>,
    program: &Program,
    meter: &mut Meter,
    rules: Rules<'_>,
    came_out: impl FnOnce(&mut Kernel<'_>),
) -> Result<Progress, Halt> {
    kernel.watch.enter()?;
    kernel.machine.set_signal_mask(kernel.watch.mask_inside())?;
    let entered = clock::monotonic();
    kernel.show_clock(entered)?;
    let event = kernel.machine.run();
    let left = clock::monotonic();
    meter.guest += left.saturating_sub(entered);
    let event = event?;
    came_out(kernel);
    meter.count(kind(&event));
    if let Some(events) = rules.events {
        take_posted(kernel, program, events)?;
    }
    let served = serve(kernel, program, event, rules);
    meter.personality += clock::monotonic().saturating_sub(left);
    let progress = served?;
    let pause = if progress == Progress::Served { Pause::Between } else { Pause::Hypercall };
    kernel.watch.check().map_err(|stop| Halt::stopped(stop, pause))?;
    Ok(progress)
}

/// Serves the system call that was cut short before it had done anything.
pub(super) fn serve_again(kernel: &mut Kernel<'_>, meter: &mut Meter) -> Result<(), Halt> {
    let began = clock::monotonic();
    let served = kernel.syscall_again();
    meter.personality += clock::monotonic().saturating_sub(began);
    served.map_err(|refusal| in_syscall(kernel, refusal))
}

fn serve(kernel: &mut Kernel<'_>, program: &Program, event: Event, rules: Rules<'_>) -> Result<Progress, Halt> {
    match event {
        Event::Syscall => {
            if rules.hypercalls
                && let Some(hypercall) = Hypercall::decode(kernel.machine.registers())
            {
                return Ok(Progress::Hypercall(hypercall));
            }
            kernel.syscall().map_err(|refusal| in_syscall(kernel, refusal))?;
        }
        Event::Posted(posted) => {
            if let Some(events) = rules.events {
                post(kernel, program, events, posted)?;
            }
        }
        Event::Exception(exception) => match kernel.exception(exception) {
            Ok(Handled::Yes) => {}
            Ok(Handled::No) => return Err(trap(kernel, program, exception).into()),
            // Nothing of it was done: the instruction faults again.
            Err(refusal) => return Err(Halt::refused(refusal, Pause::Between)),
        },
        Event::Fatal(exception) => return Err(trap(kernel, program, exception).into()),
        Event::Interrupted => kernel.watch.interrupted().map_err(|halted| Halt::halted(halted, Pause::Between))?,
        Event::Crashed(exit) => {
            return Err(report(program, Trap::crash(exit, site(kernel, None))).into());
        }
        Event::KernelFault { vector, rip } => return Err(HostError::KernelFault { vector, rip }.into()),
        Event::Broken(exit) => return Err(HostError::Broken { exit: exit.to_string() }.into()),
    }
    Ok(Progress::Served)
}

fn in_syscall(kernel: &Kernel<'_>, refusal: Refusal) -> Halt {
    let pause = if kernel.can_serve_again() { Pause::Syscall } else { Pause::Never };
    Halt::refused(refusal, pause)
}

fn take_posted(kernel: &mut Kernel<'_>, program: &Program, events: &EventQueue) -> Result<(), Halt> {
    let mut refused = None;
    kernel.machine.drain_posted(&mut |posted| {
        if refused.is_none() {
            refused = events.post(posted).err();
        }
    });
    refused.map_or(Ok(()), |reason| Err(not_posted(kernel, program, reason)))
}

fn post(kernel: &mut Kernel<'_>, program: &Program, events: &EventQueue, posted: Posted) -> Result<(), Halt> {
    events.post(posted).map_err(|reason| not_posted(kernel, program, reason))
}

fn not_posted(kernel: &mut Kernel<'_>, program: &Program, reason: NotPosted) -> Halt {
    match reason {
        NotPosted::NoRoom => End::Limit(Limit::Events).into(),
        NotPosted::Misuse { offset, bytes } => {
            report(program, Trap::event_page(offset, bytes, site(kernel, None))).into()
        }
    }
}

fn kind(event: &Event) -> ExitKind {
    match event {
        Event::Syscall | Event::Exception(_) | Event::Fatal(_) | Event::KernelFault { .. } => ExitKind::Port,
        Event::Posted(_) => ExitKind::Mmio,
        Event::Interrupted => ExitKind::Interrupted,
        Event::Crashed(exit) | Event::Broken(exit) => exit.kind(),
    }
}

fn trap(kernel: &mut Kernel<'_>, program: &Program, exception: Exception) -> End {
    let place = kernel.process.place(exception.address.unwrap_or(0));
    report(program, Trap::exception(exception, place, site(kernel, exception.address)))
}

fn report(program: &Program, mut trap: Trap) -> End {
    trap.symbolise(program);
    End::Trap(Box::new(trap))
}

fn site(kernel: &Kernel<'_>, fault_address: Option<u64>) -> Site {
    kernel.process.site(kernel.machine, fault_address)
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal, Pause::Never)
    }
}
