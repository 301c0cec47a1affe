//! Many inputs in one entry: the guest's batch gate puts back, between them, the pages that inputs are known to write.
//!
//! ```text
//! plan   0x0  words: how many inputs, where, registers        see ampoule_kernel::fuzz::plan
//!      0x100  ranges of counters ─ spans ─ contents of their pages ─ inputs' entries ─ inputs
//! ```
//! That is an exact reset for as long as inputs write no other page and make no system call. Both are looked at after each batch: in the dirty log, the
//! host's own writes and the exits. What came of a batch where there is anything else is forgotten. A target that means harm can deceive the gate; one that
//! is only wrong can not, short of writing to the windows, whose address it would have to guess.

use std::sync::Arc;

use ampoule_kernel::fuzz::{plan, window};
use ampoule_kernel::layout::{self, PAGE_SIZE, PAYLOAD_BASE, USER_END, USER_START};

use super::{Came, Fuzzed, Way};
use crate::end::{End, Limit};
use crate::limits::Call;
use crate::machine::image::CHUNK_PAGES;
use crate::sandbox::core::Driven;
use crate::sandbox::halt::{Halt, Pause};
use crate::sandbox::instance::{budget, prepare};
use crate::sandbox::saved::Saved;
use crate::sandbox::session::Used;
use crate::vm::error::HostError;
use crate::vm::memory::{PAGE_BYTES, ZEROS};
use crate::vm::vcpu::Registers;
use crate::vm::watch::Watch;

/// Pages that are put back between two inputs, at most: 4 MiB, a third of a millisecond.
const MAX_PAGES: usize = 1024;
/// Inputs of a batch, at most.
const MAX_INPUTS: usize = 4096;
/// A batch takes at most so many times what an input may take.
const MAX_TIMES: u32 = 64;
/// Bytes of an entry of an input or a range.
const PAIR: u64 = 16;
/// Bytes of an entry of a span.
const SPAN: u64 = 24;

/// What is known of the pages that inputs write.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The state that inputs begin in.
    start: Option<Arc<Saved>>,
    /// One bit for each page of the slot.
    pages: Vec<u64>,
    /// The pages that the guest can write: index and address, in the order of their indices.
    places: Vec<(u64, u64)>,
    /// Where inputs go in the plan; none as long as it is not written.
    inputs_at: Option<u64>,
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Inputs that are done.
    pub(crate) done: usize,
    /// What came of the last one: [`Came::Done`] if all are done.
    pub(crate) came: Came,
    /// Nothing was written, and nothing happened, but what was expected.
    pub(crate) is_exact: bool,
}

impl Known {
    /// Learns from the reset that was just done.
    pub(crate) fn learn(&mut self, guest: &Fuzzed) {
        if !self.start.as_ref().is_some_and(|start| Arc::ptr_eq(start, &guest.start)) {
            *self = Self { start: Some(Arc::clone(&guest.start)), places: places(guest), ..Self::default() };
        }
        let written = guest.core.machine.pages_written();
        if self.pages.len() < written.len() {
            self.pages.resize(written.len(), 0);
        }
        for (known, &written) in self.pages.iter_mut().zip(written) {
            if written & !*known != 0 {
                *known |= written;
                self.inputs_at = None;
            }
        }
    }

    /// True if the reset that was just done put nothing back that is not known.
    fn covers(&self, written: &[u64]) -> bool {
        written.iter().zip(self.pages.iter().chain(std::iter::repeat(&0))).all(|(written, known)| written & !known == 0)
    }

    /// True if something is known.
    pub(crate) fn is_of(&self, guest: &Fuzzed) -> bool {
        self.start.as_ref().is_some_and(|start| Arc::ptr_eq(start, &guest.start))
    }

    /// Adds the pages that an input of this length is written to.
    fn add_buffer(&mut self, buffer: u64, bytes: u64) {
        for &(page, address) in &self.places {
            if address + PAGE_SIZE > buffer
                && address < buffer.saturating_add(bytes)
                && let Ok(index) = usize::try_from(page)
                && let Some(word) = self.pages.get_mut(index / CHUNK_PAGES)
                && *word >> (index % CHUNK_PAGES) & 1 == 0
            {
                *word |= 1 << (index % CHUNK_PAGES);
                self.inputs_at = None;
            }
        }
    }

    /// The known pages that the guest can write, in the order of their addresses.
    fn spans(&self) -> Vec<(u64, u64)> {
        let is_known = |page: u64| {
            usize::try_from(page)
                .ok()
                .and_then(|page| Some((self.pages.get(page / CHUNK_PAGES)?, page % CHUNK_PAGES)))
                .is_some_and(|(word, bit)| word >> bit & 1 == 1)
        };
        let mut spans: Vec<_> =
            self.places.iter().filter(|(page, _)| is_known(*page)).map(|&(page, address)| (address, page)).collect();
        spans.sort_unstable();
        spans
    }
}

impl Fuzzed {
    /// Runs as many of `inputs` as fit into a batch; none if this guest, or this host, cannot.
    ///
    /// The guest is where inputs begin, before and afterwards.
    pub(crate) fn run_batch(
        &mut self,
        inputs: &[&[u8]],
        call: &Call,
        known: &mut Known,
    ) -> Result<Option<Batch>, HostError> {
        let Way::Called { ordinal, buffer } = self.way else { return Ok(None) };
        if !known.is_of(self) || !self.core.machine.has_restore_gate() {
            return Ok(None);
        }
        let max = usize::try_from(window::RESULTS_BYTES / self.stride().max(1)).unwrap_or(MAX_INPUTS).min(MAX_INPUTS);
        let inputs = inputs.get(..max).unwrap_or(inputs);
        let longest = inputs.iter().map(|input| input.len()).max().unwrap_or(0) as u64;
        if longest > buffer.length {
            return Ok(None);
        }
        known.add_buffer(buffer.address, longest);
        let at = match known.inputs_at {
            Some(at) => at,
            None => match self.write_spans(known)? {
                Some(at) => *known.inputs_at.insert(at),
                None => return Ok(None),
            },
        };
        let count = self.write_inputs(at, inputs)?;
        if count == 0 {
            return Ok(None);
        }
        let registers = *self.core.machine.registers();
        for (offset, word) in [
            (plan::COUNT, count as u64),
            (plan::BUFFER, buffer.address),
            (plan::BUFFER_BYTES, buffer.length),
            (plan::INPUTS, layout::PLAN + at),
            (plan::STRIDE, self.stride()),
            (plan::RSI, 0),
            (plan::RDI, ordinal.into()),
        ]
        .into_iter()
        .chain(words(&registers))
        {
            self.memory.set_word(layout::WINDOWS_BYTES + offset, word)?;
        }
        self.memory.set_word(window::INDEX, 0)?;
        self.memory.set_word(window::INPUT, layout::PLAN + at)?;
        self.enter_batch(count, call, known).map(Some)
    }

    fn enter_batch(&mut self, count: usize, call: &Call, known: &Known) -> Result<Batch, HostError> {
        let driven = self.drive_batch(count, call);
        // Whatever came of it: with a plan, an input that is run singly would be followed by those of the batch.
        self.memory.set_word(layout::WINDOWS_BYTES + plan::COUNT, 0)?;
        let driven = driven?;
        let was_alone = !matches!(driven, Ok(Driven::Yielded));
        // A machine that is given up has the log of this batch, and the one that the guest is put into has not.
        let has_log = self.core.machine.can_be_restored();
        let came = self.came(driven)?;
        let done = usize::try_from(self.memory.word(window::INDEX)?).unwrap_or(usize::MAX).min(count);
        let is_over = matches!(came, Came::Done);
        let is_whole = !is_over || done == count;
        self.reset()?;
        let is_exact = was_alone && is_whole && has_log && known.covers(self.core.machine.pages_written());
        Ok(Batch { done, came, is_exact })
    }

    fn drive_batch(&mut self, count: usize, call: &Call) -> Result<Result<Driven, Halt>, HostError> {
        let mut watch = Watch::begin(budget(&self.core, call))?;
        if let Some(target) = self.core.target.as_deref_mut() {
            target.finding = None;
        }
        self.core.machine.go_on_in_batch();
        // As a call is delivered.
        self.core.channel.buffer = None;
        self.core.channel.outstanding = true;
        // The first exit that is not the last input's is the end of the batch: what comes behind it would be run again anyway.
        let mut driven =
            prepare(&mut self.core, call, &watch).and_then(|()| self.core.drive_alone(&mut (), &mut watch));
        // Every input may take its time: who got on to another since the last one is given it again. What the target says of that may be a lie.
        let mut before = 0;
        let mut times = 1;
        while let Err(Halt::End(End::Limit(Limit::Wall | Limit::Cpu), Pause::Between)) = driven {
            let now = self.memory.word(window::INDEX)?;
            if now <= before || now >= count as u64 || times == MAX_TIMES {
                break;
            }
            (before, times) = (now, times + 1);
            drop(watch);
            watch = Watch::begin(budget(&self.core, call))?;
            self.core.machine.attach(watch.mask_inside())?;
            driven = self.core.drive_alone(&mut (), &mut watch);
        }
        self.used = Used::of(&watch);
        Ok(driven)
    }

    /// The counters that an input of the last batch left.
    pub(crate) fn read_batch_counters(&self, index: usize, to: &mut [u8]) -> Result<(), HostError> {
        self.memory.read(window::RESULTS + index as u64 * self.stride(), to)
    }

    /// Bytes of results of an input.
    fn stride(&self) -> u64 {
        self.core.target.as_deref().map_or(0, |target| target.counter_bytes()).next_multiple_of(8)
    }

    /// Writes what is put back between inputs; where inputs can be written behind that. None if it is too much.
    fn write_spans(&self, known: &Known) -> Result<Option<u64>, HostError> {
        let ranges = self.core.target.as_deref().map_or(&[][..], |target| &target.counters);
        let spans = known.spans();
        if spans.len() > MAX_PAGES {
            return Ok(None);
        }
        let ranges_at = plan::DATA;
        let spans_at = ranges_at + ranges.len() as u64 * PAIR;
        let contents_at = (spans_at + spans.len() as u64 * SPAN).next_multiple_of(PAGE_SIZE);
        let put = |offset: u64, word: u64| self.memory.set_word(layout::WINDOWS_BYTES + offset, word);
        for (range, at) in ranges.iter().zip((ranges_at..).step_by(16)) {
            put(at, range.address)?;
            put(at + 8, range.length)?;
        }
        // Pages that follow each other are one span.
        let mut entries: Vec<[u64; 3]> = Vec::new();
        for (&(address, page), content) in spans.iter().zip((contents_at..).step_by(PAGE_BYTES)) {
            let bytes = usize::try_from(page)
                .ok()
                .and_then(|page| self.start.machine.image().page(page / CHUNK_PAGES, page % CHUNK_PAGES));
            self.memory.write(layout::WINDOWS_BYTES + content, bytes.unwrap_or(&ZEROS))?;
            match entries.last_mut() {
                Some([to, _, words]) if *to + *words * 8 == address => *words += PAGE_SIZE / 8,
                _ => entries.push([address, layout::PLAN + content, PAGE_SIZE / 8]),
            }
        }
        for (entry, at) in entries.iter().zip((spans_at..).step_by(24)) {
            for (word, at) in entry.iter().zip((at..).step_by(8)) {
                put(at, *word)?;
            }
        }
        put(plan::RANGES, ranges.len() as u64)?;
        put(plan::RANGE_ENTRIES, layout::PLAN + ranges_at)?;
        put(plan::SPANS, entries.len() as u64)?;
        put(plan::SPAN_ENTRIES, layout::PLAN + spans_at)?;
        Ok(Some(contents_at + spans.len() as u64 * PAGE_SIZE))
    }

    /// Writes as many inputs as there is room for.
    fn write_inputs(&self, at: u64, inputs: &[&[u8]]) -> Result<usize, HostError> {
        let mut content = at + inputs.len() as u64 * PAIR;
        let mut count = 0;
        for (input, entry) in inputs.iter().zip((at..).step_by(16)) {
            let bytes = input.len() as u64;
            if content + bytes > layout::PLAN_BYTES {
                break;
            }
            self.memory.set_word(layout::WINDOWS_BYTES + entry, layout::PLAN + content)?;
            self.memory.set_word(layout::WINDOWS_BYTES + entry + 8, bytes)?;
            self.memory.write(layout::WINDOWS_BYTES + content, input)?;
            content += bytes;
            count += 1;
        }
        Ok(count)
    }
}

/// The registers that the gate goes on with.
fn words(registers: &Registers) -> [(u64, u64); 13] {
    [
        (plan::RIP, registers.rip),
        (plan::RCX, registers.rcx),
        (plan::RFLAGS, registers.rflags),
        (plan::RSP, registers.rsp),
        (plan::RBP, registers.rbp),
        (plan::R8, registers.r8),
        (plan::R8 + 8, registers.r9),
        (plan::R8 + 16, registers.r10),
        (plan::R8 + 24, registers.r11),
        (plan::R8 + 32, registers.r12),
        (plan::R8 + 40, registers.r13),
        (plan::R8 + 48, registers.r14),
        (plan::R8 + 56, registers.r15),
    ]
}

/// Where the guest has the pages that it can write.
fn places(guest: &Fuzzed) -> Vec<(u64, u64)> {
    let tables = &guest.core.machine.tables;
    let mut places = Vec::new();
    let mut at = USER_START;
    while let Some(page) = tables.next_mapped(at, USER_END) {
        at = page.address() + PAGE_SIZE;
        if let Some(mapped) = tables.lookup(page)
            && mapped.access.write
        {
            places.push(((mapped.frame.physical() - PAYLOAD_BASE) / PAGE_SIZE, page.address()));
        }
    }
    places.sort_unstable();
    places
}
