//! What crashed, for those who mend it: a report for each place at which a function crashes, and how often it did.
//!
//! A function that crashes in every call does so at one place. Its report is made once, which takes some hundred microseconds, and counted afterwards.

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::time::SystemTime;

use ampoule::{End, Program, Report, Site};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use super::name::Name;

/// Reports that are kept: the oldest goes when there is one more.
const KEPT: usize = 256;
/// Most bytes of a report's text.
const MAX_TEXT: usize = 32 << 10;

/// Names a report in answers and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportId(u64);

impl Display for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for ReportId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A report as it is told.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Told {
    id: ReportId,
    function: String,
    version: u64,
    /// When it was first seen, in seconds since 1970.
    time: u64,
    /// How often it was seen.
    count: u64,
    /// How the function ended, in a line.
    end: String,
    /// Backtrace, instructions, registers and mappings.
    report: String,
}

/// Where and how something crashed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    function: Name,
    version: u64,
    /// Of its file: a function that was deleted and deployed again begins with the first version again.
    sha256: String,
    what: String,
    rip: u64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<VecDeque<(Place, Told)>>);

impl Reports {
    /// The report of a crash, which is made unless there is one of its place; none if it was no crash.
    pub(crate) fn of(
        &self,
        (function, version): (&Name, u64),
        sha256: &str,
        program: &Program,
        end: &End,
        site: Option<&Site>,
    ) -> Option<ReportId> {
        let (what, site) = match end {
            End::Trap(trap) => (trap.meaning().to_string(), trap.site()),
            End::Signaled(signal) => (signal.to_string(), site?),
            _ => return None,
        };
        let (function, sha256) = (function.clone(), sha256.to_owned());
        let place = Place { function, version, sha256, what, rip: site.registers().rip };
        if let Some(known) = count(&mut self.0.lock(), &place) {
            return Some(known);
        }
        let report = Report::new(program, end, Some(site))?;
        let mut text = report.to_string();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        // Nothing that could be guessed: whoever knows it may read what crashed.
        let mut id = [0; 8];
        rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).ok()?;
        let id = ReportId(u64::from_le_bytes(id));
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = since_1970.map_or(0, |time| time.as_secs());
        let function = place.function.to_string();
        let told = Told { id, function, version, time, count: 1, end: report.headline, report: text };
        let mut kept = self.0.lock();
        // Another invocation may have crashed there meanwhile.
        if let Some(known) = count(&mut kept, &place) {
            return Some(known);
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((place, told));
        Some(id)
    }

    /// The report of that name.
    pub(crate) fn get(&self, id: &str) -> Option<Told> {
        self.0.lock().iter().map(|(_, told)| told).find(|told| told.id.to_string() == id).cloned()
    }
}

/// Counts one more crash at a place that is known.
fn count(kept: &mut VecDeque<(Place, Told)>, place: &Place) -> Option<ReportId> {
    let (_, told) = kept.iter_mut().find(|(known, _)| known == place)?;
    told.count += 1;
    Some(told.id)
}
