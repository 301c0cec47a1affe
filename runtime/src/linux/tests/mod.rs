//! The personality on a fake vCPU: a real program loaded, real areas, page tables and frames, and no KVM.

mod directed;
mod random;
mod sources;

use std::collections::BTreeSet;

use ampoule_kernel::layout::{self, PAGE_SIZE, USER_END, USER_START};

use super::areas::Attributes;
use super::streams::{Input, Output};
use super::*;
use crate::machine::load;
use crate::vm::clock::Nanos;
use crate::vm::exit::Exit;
use crate::vm::fake::{FakeVcpu, Step};
use crate::vm::vcpu::Registers;
use crate::vm::watch::Budget;

/// Where the program's one segment is: code, and data that is writable in its second page.
const TEXT: u64 = 0x40_0000;
const DATA: u64 = 0x60_0000;

/// A program with a text segment and two pages of data.
fn program() -> Program {
    let mut bytes = vec![0; 0x2000];
    let header: [u64; 8] =
        [0x0001_0102_464c_457f, 0, 0x0000_0001_003e_0002, TEXT + 0xf0, 0x40, 0, 0x0038_0040_0000_0000, 2];
    let text = [5 << 32 | 1, 0, TEXT, TEXT, 0x1000, 0x1000, 0x1000];
    let data = [6 << 32 | 1, 0x1000, DATA, DATA, 0x1000, 0x2000, 0x1000];
    for (place, word) in bytes.chunks_exact_mut(8).zip(header.into_iter().chain(text).chain(data)) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Program::from_bytes(bytes).unwrap()
}

/// A process with its machine, and streams that go nowhere.
struct Rig {
    process: Process,
    machine: Machine,
    streams: Streams,
}

/// Stops that the fake has ready; each lets the machine bring page tables and registers in.
const STOPS: usize = 4096;

fn watch(wall: Nanos) -> Watch {
    Watch::begin(Budget { wall, cpu: u64::MAX, cancel: [None, None], nudge: None, pipes: true, tick: None }).unwrap()
}

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
        let mut machine = Machine::fake(Box::new(FakeVcpu::new((0..STOPS).map(in_gate))), pages).unwrap();
        let program = program();
        let mut watch = watch(u64::MAX);
        let loaded = load::load(&mut machine, &program, &mut watch).unwrap().unwrap();
        let start = Start {
            program: &program,
            arguments: &[b"program".to_vec()],
            environment: &[],
            open_files: 32,
            quota: Quota { bytes: 1 << 20, inodes: 64 },
            sources,
            features: Features::default(),
        };
        let mut process = Process::new(&loaded, &start).unwrap();
        let mut streams = Streams {
            input: Input::Empty,
            output: Output::Discard,
            error: Output::Discard,
            left: u64::MAX,
            bytes_in: 0,
            bytes_out: 0,
            tail: None,
        };
        Kernel { process: &mut process, machine: &mut machine, watch: &mut watch, streams: &mut streams }
            .start(&loaded, &start)
            .unwrap();
        Self { process, machine, streams }
    }

    fn kernel<'a>(&'a mut self, watch: &'a mut Watch) -> Kernel<'a> {
        let Self { process, machine, streams } = self;
        Kernel { process, machine, watch, streams }
    }

    /// Makes one system call; what RAX is then, or why the run is over.
    fn call_within(&mut self, wall: Nanos, number: u64, arguments: &[u64]) -> Result<u64, Refusal> {
        let mut six = [0; 6];
        six.iter_mut().zip(arguments).for_each(|(to, &from)| *to = from);
        let [rdi, rsi, rdx, r10, r8, r9] = six;
        let registers = Registers { rax: number, rdi, rsi, rdx, r10, r8, r9, ..*self.machine.registers() };
        self.machine.set_registers(&registers).unwrap();
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

    /// Areas, page tables and frames say the same.
    fn check(&self) {
        let tables = &self.machine.tables;
        let (mut mapped, mut frames) = (0, BTreeSet::new());
        let mut end = USER_START;
        for (area, attributes) in self.process.memory.areas.iter() {
            assert!(end <= area.start && area.start < area.end && area.end <= USER_END, "{area:x?}");
            assert!(area.start.is_multiple_of(PAGE_SIZE) && area.end.is_multiple_of(PAGE_SIZE), "{area:x?}");
            assert_eq!(tables.next_mapped(end, area.start), None, "mapped, but in no area");
            end = area.end;
            let mut pages = 0;
            let mut at = area.start;
            while let Some(page) = tables.next_mapped(at, area.end) {
                let found = tables.lookup(page).unwrap();
                assert!(frames.insert(found.frame), "one frame at two places");
                let Attributes { access, .. } = attributes;
                assert_eq!(found.access, access, "{page:x?} of {area:x?} {attributes:?}");
                pages += 1;
                at = page.address() + PAGE_SIZE;
            }
            if attributes.is_backed() {
                assert_eq!(pages, (area.end - area.start) / PAGE_SIZE, "pages of {area:x?}");
            }
            mapped += pages;
        }
        assert_eq!(tables.next_mapped(end, USER_END), None, "mapped, but in no area");
        let limit = &self.machine.frames;
        assert_eq!(limit.used(), mapped + tables.count(), "frames, pages and tables");
        assert!(limit.used() <= limit.total() && limit.peak() <= limit.total());
        self.process.files.assert_account();
        self.process.assert_survives_a_file();
    }
}
