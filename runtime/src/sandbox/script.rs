//! A guest's behaviour as a fuzzer's bytes, played on a fake vCPU through the same step as every run.
//!
//! ```text
//! byte 0           what happens next        and then
//! 0..=7            bytes into its memory    where, how many, the bytes
//! 8..=15           an exception             vector, error code, address, RIP, RSP, flags
//! 16..=23          any other exit           which, with what
//! 24, 25           the state is taken, or put back
//! else             a system call            number, six arguments, RSP, return address
//! ```
//! Addresses and numbers are decoded so that they often mean something: see [`Script::value`]. A script that is over, is over: what is missing
//! reads as zeros.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a promise that does not hold ends by a panic"
)]

use std::sync::mpsc;

use ampoule_kernel::{abi, call, layout};

use super::halt::Halt;
use super::step::{Meter, Progress, Rules, step};
use crate::channel::posted::{self, Overflow};
use crate::end::{End, Limit};
use crate::linux::Process;
use crate::linux::rig::{DATA, Rig, TEXT, program, watch};
use crate::linux::sources::Sources;
use crate::machine::event::PAGE_FAULT;
use crate::machine::restore::MachineState;
use crate::vm::clock::Nanos;
use crate::vm::error::HostError;
use crate::vm::exit::Exit;
use crate::vm::fake::{FakeVcpu, Step};
use crate::vm::posted::Posted;
use crate::vm::vcpu::Registers;

/// Enough for some mappings, too little for many.
const PAGES: u64 = 768;
/// What a script may do before it is over.
const MAX_STEPS: usize = 300;
/// Wall time of one step.
const WALL: Nanos = 20_000_000;

/// Numbers worth more than their share: memory, signals, descriptors, vectors, paths.
const FAVOURITES: [u64; 32] = [
    0, 1, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 25, 28, 35, 72, 77, 83, 87, 130, 131, 202, 217, 234, 257,
    271, 292, 296,
];

/// Addresses and numbers on an edge.
const EDGES: [u64; 24] = [
    0,
    TEXT,
    DATA,
    DATA + layout::PAGE_SIZE,
    layout::USER_START,
    layout::USER_END,
    layout::CALL_GATE,
    layout::EVENTS,
    layout::EVENTS_BASE,
    layout::INFO,
    layout::RESTORED,
    layout::KERNEL_VIRTUAL,
    layout::TABLES_VIRTUAL,
    layout::STUBS,
    layout::SUPERVISOR_SYSCALL_GATE,
    layout::EDITOR,
    layout::RESUME,
    call::CALL_BASE,
    0x7fff_f000,
    1 << 32,
    1 << 47,
    1 << 63,
    u64::MAX,
    u64::MAX - 99,
];

/// Bytes, and how far they were read.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let count = self.0.len().min(N);
        let (now, rest) = self.0.split_at(count);
        bytes[..count].copy_from_slice(now);
        self.0 = rest;
        bytes
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.bytes();
        byte
    }

    fn index(&mut self, length: usize) -> usize {
        usize::from(self.byte()) % length
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn short(&mut self) -> u64 {
        u16::from_le_bytes(self.bytes()).into()
    }

    /// A number, an address, a length, a set of flags.
    fn value(&mut self, rig: &Rig) -> u64 {
        match self.byte() % 10 {
            0 => self.byte().into(),
            1 => 0_u64.wrapping_sub(self.byte().into()),
            2 => u64::from(self.byte()) * layout::PAGE_SIZE,
            3 => DATA + self.short() % (2 * layout::PAGE_SIZE),
            4 => EDGES[self.index(EDGES.len())],
            5 => EDGES[self.index(EDGES.len())].wrapping_sub(self.byte().into()),
            6 => 1 << (self.byte() % 64),
            7 => {
                let bounds = rig.bounds();
                let which = self.index(bounds.len() + 1);
                let pages = u64::from(self.byte() % 8) * layout::PAGE_SIZE;
                bounds.get(which).map_or(0, |bound| bound.wrapping_sub(pages))
            }
            8 => self.short(),
            _ => self.word(),
        }
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 8 {
            0..=3 => FAVOURITES[self.index(FAVOURITES.len())],
            4..=6 => self.short() % 601,
            _ => self.word(),
        }
    }

    fn syscall(&mut self, rig: &Rig) -> Step {
        let rax = self.number();
        let [rdi, rsi, rdx, r10, r8, r9] = [(); 6].map(|()| self.value(rig));
        let (rsp, rcx, rflags) = match self.byte() % 4 {
            0 => (self.value(rig), self.value(rig), self.word()),
            _ => (rig.machine.registers().rsp, TEXT + 0xf0, 0x202),
        };
        let rip = layout::CALL_GATE + layout::OUT_BYTES;
        let change = move |registers: &mut Registers| {
            *registers = Registers { rax, rdi, rsi, rdx, r10, r8, r9, rsp, rcx, rflags, rip, ..*registers };
        };
        let exit = Exit::PortOut { port: u16::from(abi::SYSCALL_PORT), size: 1, count: 1 };
        Step { change: Box::new(change), posted: self.posted(rig), exit }
    }

    /// An exception, with the frame that a CPU pushes for one at CPL3.
    fn exception(&mut self, rig: &mut Rig) -> Step {
        let vector = if self.byte().is_multiple_of(2) { PAGE_FAULT } else { self.byte() % 32 };
        let double = vector == 8;
        let top = if double { layout::DOUBLE_FAULT_STACK_OFFSET } else { layout::EXCEPTION_STACK_OFFSET };
        let [code, cr2, rip, rsp] = [(); 4].map(|()| self.value(rig));
        let frame = [code, rip, layout::USER_CODE_SELECTOR.into(), 0x202, rsp, layout::USER_DATA_SELECTOR.into()];
        let start = layout::kernel_physical(layout::STACKS_PAGE) + top - 48;
        let (_, _, memory) = rig.machine.space();
        for (word, at) in frame.into_iter().zip((start..).step_by(8)) {
            memory.write_u64(at, word).unwrap();
        }
        let mut system = rig.machine.vcpu().system_registers().unwrap();
        system.cr2 = cr2;
        rig.machine.vcpu().set_system_registers(&system).unwrap();
        let stub = layout::STUBS + u64::from(vector) * layout::STUB_BYTES;
        let exit = Exit::PortOut { port: u16::from(abi::TRAP_PORT), size: 1, count: 1 };
        Step { change: Box::new(move |registers| registers.rip = stub), posted: self.posted(rig), exit }
    }

    /// An exit that no program can make is the host's failure; those that one can make have names.
    fn other(&mut self, rig: &Rig) -> Step {
        let [rip, address] = [(); 2].map(|()| self.value(rig));
        let len = u32::from(self.byte() % 9);
        let (port, size, count) = (u16::from_le_bytes(self.bytes()), self.byte(), u32::from(self.byte()));
        let exit = match self.byte() % 12 {
            0 => Exit::PortOut { port, size, count },
            1 => Exit::PortIn { port, size, count },
            2 => Exit::PortOut { port: abi::SYSCALL_PORT.into(), size, count },
            3 => Exit::PortIn { port: abi::SYSCALL_PORT.into(), size, count },
            4 => Exit::PortOut { port: abi::TRAP_PORT.into(), size, count },
            5 => Exit::MmioRead { address, len },
            6 => Exit::MmioWrite { address, len, data: self.bytes() },
            7 => Exit::Hypercall { number: address },
            8 => Exit::Halt,
            9 => Exit::Shutdown,
            10 => Exit::InternalError { suberror: len, data: [address; 4] },
            _ => Exit::Interrupted,
        };
        Step { change: Box::new(move |registers| registers.rip = rip), posted: self.posted(rig), exit }
    }

    /// Stores to the event page that came before the exit.
    fn posted(&mut self, rig: &Rig) -> Vec<Posted> {
        let count = self.byte().saturating_sub(250);
        let one = |_| {
            let address = layout::EVENTS_BASE.wrapping_add(self.value(rig) % (2 * layout::PAGE_SIZE));
            Posted { address, len: 1 << (self.byte() % 4), data: self.bytes() }
        };
        (0..count).map(one).collect()
    }

    /// Bytes that a guest stores to its own memory, as far as it may.
    fn store(&mut self, rig: &mut Rig) {
        let address = self.value(rig);
        let count = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        // In no area, or in one that may not be written: nothing happens.
        let _ = rig.kernel(&mut watch(u64::MAX)).write_some(address, bytes);
    }
}

/// See the module's documentation.
pub(crate) fn play(bytes: &[u8]) {
    let mut script = Script(bytes);
    let (feed, steps) = mpsc::channel();
    let vcpu = FakeVcpu::new(std::iter::from_fn(move || steps.try_recv().ok()));
    let program = program();
    let mut rig = Rig::over(vcpu, &program, PAGES, Sources::Deterministic(0)).unwrap();
    let overflow = if script.byte().is_multiple_of(2) { Overflow::DropOldest } else { Overflow::Stop };
    let (queue, _events) = posted::queue(4, overflow);
    let mut meter = Meter::default();
    let mut saved: Option<(MachineState, Process)> = None;
    for _ in 0..MAX_STEPS {
        if script.0.is_empty() {
            return;
        }
        let (next, is_syscall) = match script.byte() {
            0..=7 => {
                script.store(&mut rig);
                continue;
            }
            8..=15 => (script.exception(&mut rig), false),
            16..=23 => (script.other(&rig), false),
            24 => {
                saved = Some((rig.machine.save().unwrap(), rig.process.clone()));
                rig.check();
                continue;
            }
            25 => {
                if let Some((machine, process)) = &saved {
                    rig.machine.restore(machine).unwrap();
                    rig.process.restore(process);
                    rig.check();
                }
                continue;
            }
            _ => (script.syscall(&rig), true),
        };
        let rules = Rules { hypercalls: true, events: Some(&queue) };
        feed.send(next).unwrap();
        let result = step(&mut rig.kernel(&mut watch(WALL)), &program, &mut meter, rules);
        match result {
            Ok(Progress::Served | Progress::Hypercall(_)) => rig.check(),
            // Over in the middle of something: nobody runs on.
            Err(Halt::End(End::Limit(Limit::Wall), _)) => return,
            Err(Halt::End(End::Cancelled | End::Limit(Limit::Cpu | Limit::Output), _)) => panic!("nobody asked for it"),
            // A snapshot would go on from here.
            Err(Halt::End(..)) => rig.check(),
            Err(Halt::Host(HostError::Broken { .. } | HostError::KernelFault { .. })) if !is_syscall => return,
            Err(other) => panic!("{other:?}"),
        }
    }
}
