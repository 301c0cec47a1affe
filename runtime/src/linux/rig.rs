//! The personality on a fake vCPU, for tests and fuzzing: a real program loaded, real areas, page tables and frames, and no KVM.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "checks for tests and fuzzing, which end by a panic"
)]

use std::collections::BTreeSet;

use ampoule_kernel::layout::{PAGE_SIZE, USER_END, USER_START};

use super::areas::Attributes;
use super::streams::{Input, Output};
use super::*;
use crate::machine::load;
use crate::machine::paging::Access;
use crate::vm::fake::FakeVcpu;
use crate::vm::watch::{Budget, Slice};

/// Where the program's one segment is: code, and data that is writable in its second page.
pub(crate) const TEXT: u64 = 0x40_0000;
pub(crate) const DATA: u64 = 0x60_0000;

/// A program with a text segment and two pages of data.
pub(crate) fn program() -> Program {
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

/// Limits of nothing but wall time.
pub(crate) fn watch(wall: Nanos) -> Watch {
    watch_slice(wall, None)
}

/// The same for a slice of a task's run.
pub(crate) fn watch_slice(wall: Nanos, slice: Option<Slice>) -> Watch {
    Watch::begin(Budget { wall, cpu: u64::MAX, cancel: [None, None], nudge: None, pipes: true, tick: None, slice })
        .unwrap()
}

/// A process with its machine, and streams that go nowhere.
pub(crate) struct Rig {
    pub(crate) process: Process,
    pub(crate) machine: Machine,
    pub(crate) streams: Streams,
}

impl Rig {
    /// A program at its first instruction, in a machine of `pages` pages whose vCPU is this one.
    pub(crate) fn over(vcpu: FakeVcpu, program: &Program, pages: u64, sources: Sources) -> Result<Self, NotStarted> {
        let mut machine = Machine::fake(Box::new(vcpu), pages).unwrap();
        let mut watch = watch(u64::MAX);
        let loaded = load::load(&mut machine, program, &mut watch)??;
        let start = Start {
            program,
            arguments: &[b"program".to_vec()],
            environment: &[],
            open_files: 32,
            quota: Quota { bytes: 1 << 20, inodes: 64 },
            sources,
            features: Features::default(),
        };
        let mut process = Process::new(&loaded, &start)?;
        let mut streams = Streams::new(Input::Empty, Output::Discard, Output::Discard, u64::MAX);
        Kernel { process: &mut process, machine: &mut machine, watch: &mut watch, streams: &mut streams }
            .start(&loaded, &start)?;
        Ok(Self { process, machine, streams })
    }

    /// What serves the program's system calls, within these limits.
    pub(crate) fn kernel<'a>(&'a mut self, watch: &'a mut Watch) -> Kernel<'a> {
        let Self { process, machine, streams } = self;
        Kernel { process, machine, watch, streams }
    }

    /// Where its areas begin and end.
    pub(crate) fn bounds(&self) -> Vec<u64> {
        self.process.memory.areas.iter().flat_map(|(area, _)| [area.start, area.end]).collect()
    }

    /// Every segment that can be read is in memory with the file's bytes, and zeros where the file has none.
    pub(crate) fn check_loaded(&self, program: &Program) {
        for segment in program.segments().iter().filter(|segment| segment.protection().read) {
            let pages = segment.pages();
            let mut found = vec![0xcc; usize::try_from(pages.end - pages.start).unwrap()];
            let start = pages.start + self.process.bias;
            assert_eq!(self.machine.copy_out(start, &mut found).unwrap(), found.len(), "{segment:x?}");
            let before = usize::try_from(segment.address() - pages.start).unwrap();
            let (data, behind) = found[before..].split_at(segment.data().len());
            assert!(data == segment.data(), "{segment:x?}");
            assert!(found[..before].iter().chain(behind).all(|&byte| byte == 0), "{segment:x?}");
        }
    }

    /// Areas, page tables and frames say the same.
    pub(crate) fn check(&self) {
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
                let Attributes { access: Access { read, write, execute }, .. } = attributes;
                // A program's segment may say that it cannot be read; the processor knows no such pages.
                let access = Access { read: read || write || execute, write, execute };
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
