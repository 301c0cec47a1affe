//! A vCPU that produces the exits it was told to: what no real KVM gives on demand.

use super::error::HostError;
use super::exit::Exit;
use super::posted::Posted;
use super::vcpu::{Registers, SystemRegisters, Vcpu, XSAVE_BYTES};

/// What the fake does at one `run`: changes the registers, then stops for this reason.
pub(crate) struct Step {
    pub(crate) change: Box<dyn FnOnce(&mut Registers) + Send>,
    /// Stores that were posted before it stopped.
    pub(crate) posted: Vec<Posted>,
    pub(crate) exit: Exit,
}

/// See the module's documentation. Out of steps, it halts, which no program can do.
pub(crate) struct FakeVcpu {
    steps: Box<dyn Iterator<Item = Step> + Send>,
    registers: Registers,
    system: SystemRegisters,
    state: Box<[u8; XSAVE_BYTES]>,
    posted: Vec<Posted>,
}

impl FakeVcpu {
    /// Asks for each step when the vCPU is entered.
    pub(crate) fn new(steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        Self {
            steps: Box::new(steps.into_iter()),
            registers: Registers::default(),
            system: SystemRegisters::default(),
            state: Box::new([0; XSAVE_BYTES]),
            posted: Vec::new(),
        }
    }
}

impl std::fmt::Debug for FakeVcpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeVcpu")
    }
}

impl Vcpu for FakeVcpu {
    fn run(&mut self) -> Result<Exit, HostError> {
        Ok(match self.steps.next() {
            Some(step) => {
                (step.change)(&mut self.registers);
                self.posted.extend(step.posted);
                step.exit
            }
            None => Exit::Halt,
        })
    }

    fn complete(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn registers(&self) -> Registers {
        self.registers
    }

    fn set_registers(&mut self, registers: &Registers) {
        self.registers = *registers;
    }

    fn system_registers(&mut self) -> Result<SystemRegisters, HostError> {
        Ok(self.system)
    }

    fn set_system_registers(&mut self, registers: &SystemRegisters) -> Result<(), HostError> {
        self.system = *registers;
        Ok(())
    }

    fn enter_with(&mut self, registers: &SystemRegisters) {
        self.system = *registers;
    }

    fn clear_events(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn extended_state(&self) -> Result<Box<[u8; XSAVE_BYTES]>, HostError> {
        Ok(self.state.clone())
    }

    fn set_extended_state(&mut self, state: &[u8; XSAVE_BYTES]) -> Result<(), HostError> {
        *self.state = *state;
        Ok(())
    }

    fn ticks_per_millisecond(&self) -> Option<u32> {
        None
    }

    fn show_hosts_counter(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn open_posted(&mut self, _ring_page: i64) -> Result<(), HostError> {
        Ok(())
    }

    fn drain_posted(&mut self, take: &mut dyn FnMut(Posted)) {
        for posted in self.posted.drain(..) {
            take(posted);
        }
    }

    fn set_signal_mask(&mut self, _mask: u64) -> Result<(), HostError> {
        Ok(())
    }

    #[cfg(test)]
    fn report(&self) -> Option<super::report::Report> {
        None
    }
}
