//! Memory that stays where it is, as all of it does: `mlock`, `mincore`, `msync`. Ranges are checked as Linux checks them.

use std::ops::Range;

use ampoule_kernel::layout::PAGE_SIZE;
use rustix::io::Errno;

use super::reply::{Refusal, Reply};
use super::{Kernel, areas};

const MS_ASYNC: u64 = 1;
const MS_INVALIDATE: u64 = 2;
const MS_SYNC: u64 = 4;
/// `mlock2`: pages are locked as they are touched.
const MLOCK_ONFAULT: u64 = 1;
/// `mlockall`: what is mapped, what will be, and as it is touched.
const MCL_ALL: u64 = 7;
const MCL_ONFAULT: u64 = 4;

/// Pages that `mincore` tells at a time; between them the run's limits are looked at.
const PIECE: u64 = 4096;

impl Kernel<'_> {
    /// A range that is mapped from end to end; nothing of it is written back, for mappings of files are copies.
    pub(super) fn sys_msync(&mut self, start: u64, length: u64, flags: u64) -> Reply {
        let is_known = flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) == 0;
        if !is_known || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC || !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::INVAL.into());
        }
        self.mapped(start, length)?;
        Ok(0)
    }

    pub(super) fn sys_mlock(&mut self, start: u64, length: u64, flags: u64) -> Reply {
        if flags & !MLOCK_ONFAULT != 0 {
            return Err(Errno::INVAL.into());
        }
        let offset = start % PAGE_SIZE;
        let length = if length == 0 { 0 } else { length.saturating_add(offset) };
        self.mapped(start - offset, length)?;
        Ok(0)
    }

    pub(super) fn sys_mlockall(flags: u64) -> Reply {
        if flags == 0 || flags & !MCL_ALL != 0 || flags == MCL_ONFAULT {
            return Err(Errno::INVAL.into());
        }
        Ok(0)
    }

    /// A byte for each page: whether it has its memory.
    pub(super) fn sys_mincore(&mut self, start: u64, length: u64, to: u64) -> Reply {
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::INVAL.into());
        }
        let range = self.mapped(start, length)?;
        let mut at = range.start;
        while at < range.end {
            self.watch.check()?;
            let end = at.saturating_add(PIECE * PAGE_SIZE).min(range.end);
            let pages = (at..end).step_by(usize::try_from(PAGE_SIZE).unwrap_or(1));
            let bytes: Vec<u8> = pages.map(|page| u8::from(self.machine.is_mapped(page))).collect();
            self.write_all(to.wrapping_add((at - range.start) / PAGE_SIZE), &bytes)?;
            at = end;
        }
        Ok(0)
    }

    /// The pages of a range, all of which are mapped.
    fn mapped(&self, start: u64, length: u64) -> Result<Range<u64>, Refusal> {
        if length == 0 {
            return Ok(start..start);
        }
        let range = areas::valid(start, length).ok_or(Errno::NOMEM)?;
        if self.process.memory.areas.covers(range.clone()) { Ok(range) } else { Err(Errno::NOMEM.into()) }
    }
}
