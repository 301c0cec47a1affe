//! The personality on a fake vCPU: a real program loaded, real areas, page tables and frames, and no KVM.

mod directed;
mod document;
mod locks;
mod parked;
mod random;
mod sources;
mod waiting;

use ampoule_kernel::layout::{self, PAGE_SIZE, USER_END, USER_START};

use super::areas::Attributes;
use super::rig::{DATA, Rig, TEXT, program, watch};
use super::*;
use crate::vm::clock::Nanos;
use crate::vm::exit::Exit;
use crate::vm::fake::{FakeVcpu, Step};
use crate::vm::vcpu::Registers;

/// Stops that the fake has ready; each lets the machine bring page tables and registers in.
const STOPS: usize = 4096;

impl Rig {
    fn new(pages: u64) -> Self {
        Self::with_sources(pages, Sources::Real)
    }

    fn with_sources(pages: u64, sources: Sources) -> Self {
        let in_gate = |_| Step {
            posted: Vec::new(),
            change: Box::new(|registers: &mut Registers| {
                registers.rip = layout::CALL_GATE + layout::OUT_BYTES;
                registers.rcx = TEXT + 0xf0;
            }),
            exit: Exit::PortOut { port: u16::from(ampoule_kernel::abi::SYSCALL_PORT), size: 1, count: 1 },
        };
        Self::over(FakeVcpu::new((0..STOPS).map(in_gate)), &program(), pages, sources).unwrap()
    }

    /// The program is about to make a system call.
    fn set_call(&mut self, number: u64, arguments: &[u64]) {
        let mut six = [0; 6];
        six.iter_mut().zip(arguments).for_each(|(to, &from)| *to = from);
        let [rdi, rsi, rdx, r10, r8, r9] = six;
        let registers = Registers { rax: number, rdi, rsi, rdx, r10, r8, r9, ..*self.machine.registers() };
        self.machine.set_registers(&registers).unwrap();
    }

    /// Makes one system call; what RAX is then, or why the run is over.
    fn call_within(&mut self, wall: Nanos, number: u64, arguments: &[u64]) -> Result<u64, Refusal> {
        self.set_call(number, arguments);
        let mut watch = watch(wall);
        self.kernel(&mut watch).syscall()?;
        Ok(self.machine.registers().rax)
    }

    /// As [`call_within`](Self::call_within) with time enough, and a failed call's errno as a negative number.
    fn call(&mut self, number: u64, arguments: &[u64]) -> i64 {
        self.call_within(u64::MAX, number, arguments).unwrap().cast_signed()
    }

    /// Makes a system call that ends the run.
    fn ends(&mut self, number: u64, arguments: &[u64]) -> crate::End {
        match self.call_within(50_000_000, number, arguments) {
            Err(Refusal::End(end)) => end,
            other => panic!("{other:?}"),
        }
    }

    /// Puts bytes into the program's memory, by whatever its pages allow.
    fn put(&mut self, address: u64, bytes: &[u8]) {
        let mut watch = watch(u64::MAX);
        self.kernel(&mut watch).write_all(address, bytes).unwrap();
    }

    fn put_words(&mut self, address: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(address, &bytes);
    }

    fn word(&mut self, address: u64) -> u64 {
        let mut watch = watch(u64::MAX);
        let [word] = self.kernel(&mut watch).read_words(address).unwrap();
        word
    }
}
