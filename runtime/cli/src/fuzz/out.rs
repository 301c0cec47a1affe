//! What is written: a directory in AFL's layout, so that AFL's tools, and eyes that know it, can read it.
//!
//! ```text
//! out/default/                 out/core0/, out/core1/, … with several cores
//!   queue/id:000000,time:0,execs:1,orig:NAME               an input to start from
//!         id:000007,src:000003,time:41,execs:912,op:havoc  made of id 3, after 41 ms and 912 executions
//!         id:000008,sync:core1,src:000012,time:…,execs:…   found by another core
//!   crashes/id:000000,…  id:000000,….report.txt  README.txt
//!   hangs/id:000000,…                                      …,+oom: it was memory that was used up
//!   fuzzer_stats  plot_data
//! ```

use std::cell::Cell;
use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::inputs::{self, Named};
use super::stats;

/// How the name of a crash's report ends.
pub(super) const REPORT: &str = ".report.txt";

/// Longest part of an input's name that goes on in ours: names have 255 bytes.
const MAX_ORIGIN: usize = 120;

/// The directory of a run, which is ours as long as this is there.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) root: PathBuf,
    /// Locked.
    _directory: File,
}

/// The directory of a core.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// What its queue holds from an earlier run.
    pub(super) resumed: Vec<(u64, Named)>,
    /// What its earlier runs came to.
    pub(super) earlier: stats::Earlier,
    began: Instant,
    next: [Cell<u64>; 3],
}

/// Where in an [`Instance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Queue,
    Crashes,
    Hangs,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was there, by this name.
    Given(String),
    /// An earlier run put it into the queue by this number.
    Resumed(u64),
    /// Another instance found it, and has it by this number.
    Synced { instance: String, id: u64 },
    /// It was made of one in the queue.
    Made { source: u64, operation: &'static str },
}

/// An input that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) path: PathBuf,
}

impl Place {
    const ALL: [Self; 3] = [Self::Queue, Self::Crashes, Self::Hangs];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Crashes => "crashes",
            Self::Hangs => "hangs",
        }
    }
}

impl Out {
    /// Makes the directory, or takes one that a fuzzer has left, and no other.
    pub(super) fn claim(root: &Path, must_exist: bool) -> Result<Self, Box<dyn Error>> {
        let told = |error: io::Error| format!("cannot write to {}: {error}", root.display());
        let has_one = root.is_dir() && !instances(root).map_err(told)?.is_empty();
        if must_exist && !has_one {
            return Err(format!("-i - goes on with what is in {}, and there is no queue", root.display()).into());
        }
        fs::create_dir_all(root).map_err(told)?;
        if !has_one && fs::read_dir(root).map_err(told)?.next().is_some() {
            return Err(format!(
                "{} is not empty, and no fuzzer's: name another directory with -o, or empty this one",
                root.display()
            )
            .into());
        }
        let directory = File::open(root).map_err(told)?;
        match directory.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _directory: directory }),
            Err(TryLockError::WouldBlock) => {
                Err(format!("another ampoule fuzz writes to {}: name another directory with -o", root.display()).into())
            }
            Err(TryLockError::Error(error)) => Err(told(error).into()),
        }
    }

    /// What is in the queues of instances of an earlier run that this one has not.
    pub(super) fn foreign(&self, own: &[String]) -> io::Result<Vec<(Origin, Vec<u8>)>> {
        let mut found = Vec::new();
        for instance in instances(&self.root)?.into_iter().filter(|name| !own.contains(name)) {
            for (id, input) in queue(&self.root.join(&instance))? {
                found.push((Origin::Synced { instance: instance.clone(), id }, input.bytes));
            }
        }
        Ok(found)
    }

    /// True if any of the instances has crashes.
    pub(super) fn has_crashes(&self) -> io::Result<bool> {
        for instance in instances(&self.root)? {
            if !inputs::files(&self.root.join(instance).join(Place::Crashes.name()))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Instance {
    /// Makes an instance's directories, or reads what is in them.
    pub(super) fn open(root: &Path, name: &str) -> io::Result<Self> {
        let path = root.join(name);
        let mut next = [const { Cell::new(0) }; 3];
        for (place, next) in Place::ALL.into_iter().zip(&mut next) {
            let directory = path.join(place.name());
            fs::create_dir_all(&directory)?;
            let ids = inputs::files(&directory)?.iter().filter_map(|file| number(&file_name(file))).max();
            next.set(ids.map_or(0, |id| id + 1));
        }
        let resumed = queue(&path)?;
        let earlier = stats::Earlier::read(&path.join(stats::STATS));
        Ok(Self { name: name.to_owned(), path, resumed, earlier, began: Instant::now(), next })
    }

    /// Time that it has run for, in earlier runs too.
    pub(super) fn run_time(&self) -> Duration {
        self.earlier.run_time + self.began.elapsed()
    }

    /// The crashes and hangs that earlier runs have found.
    pub(super) fn found(&self) -> io::Result<Vec<Named>> {
        let mut found = inputs::read(&self.path.join(Place::Crashes.name()))?;
        found.append(&mut inputs::read(&self.path.join(Place::Hangs.name()))?);
        Ok(found)
    }

    /// The number of the next input there.
    pub(super) fn next(&self, place: Place) -> u64 {
        self.numbers(place).get()
    }

    fn numbers(&self, place: Place) -> &Cell<u64> {
        let [queue, crashes, hangs] = &self.next;
        match place {
            Place::Queue => queue,
            Place::Crashes => crashes,
            Place::Hangs => hangs,
        }
    }

    /// Writes an input. One that was resumed is there.
    pub(super) fn keep(
        &self,
        place: Place,
        origin: &Origin,
        executions: u64,
        note: &str,
        bytes: &[u8],
    ) -> io::Result<Kept> {
        let directory = self.path.join(place.name());
        if let (Place::Queue, Origin::Resumed(id)) = (place, origin) {
            return Ok(Kept { id: *id, path: directory });
        }
        let next = self.numbers(place);
        let (id, time) = (next.get(), self.run_time().as_millis());
        let executions = self.earlier.executions.saturating_add(executions);
        let name = match origin {
            Origin::Given(name) => format!("id:{id:06},time:{time},execs:{executions},orig:{}", shortened(name)),
            Origin::Resumed(source) => format!("id:{id:06},src:{source:06},time:{time},execs:{executions},op:resume"),
            Origin::Synced { instance, id: source } => {
                format!("id:{id:06},sync:{instance},src:{source:06},time:{time},execs:{executions}")
            }
            Origin::Made { source, operation } => {
                format!("id:{id:06},src:{source:06},time:{time},execs:{executions},op:{operation}")
            }
        };
        let path = directory.join(name + note);
        File::create_new(&path)?.write_all(bytes)?;
        next.set(id + 1);
        Ok(Kept { id, path })
    }

    /// Writes a crash with its report, and what they are beside the first.
    pub(super) fn keep_crash(
        &self,
        origin: &Origin,
        executions: u64,
        bytes: &[u8],
        report: &str,
        command: &str,
    ) -> io::Result<Kept> {
        let kept = self.keep(Place::Crashes, origin, executions, "", bytes)?;
        fs::write(format!("{}{REPORT}", kept.path.display()), report)?;
        let readme = self.path.join("crashes/README.txt");
        if !readme.exists() {
            fs::write(readme, format!("{README}\nCommand line used to find these crashes:\n\n{command}\n"))?;
        }
        Ok(kept)
    }
}

const README: &str = "Each file id:… is an input on which the target crashed, one for each bug as far as the place of the crash tells them apart.
Beside it is its report. To run inputs again: ampoule fuzz replay TARGET FILE, with the target's options as below.
";

/// The instances in a directory, by their names.
fn instances(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if Place::ALL.iter().all(|place| path.join(place.name()).is_dir()) {
            found.push(file_name(&path));
        }
    }
    found.sort();
    Ok(found)
}

/// The numbered inputs in an instance's queue, in the order of their numbers.
fn queue(instance: &Path) -> io::Result<Vec<(u64, Named)>> {
    let all = inputs::read(&instance.join(Place::Queue.name()))?;
    let mut numbered: Vec<_> = all.into_iter().filter_map(|input| Some((number(&input.name)?, input))).collect();
    numbered.sort_by_key(|(id, _)| *id);
    Ok(numbered)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The number in a name: `id:000012,…`.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("id:")?.split(',').next()?;
    // A number that leaves room for more.
    digits.parse().ok().filter(|&id: &u64| id < u64::from(u32::MAX))
}

/// What a name was at first, as far as there is room.
fn shortened(name: &str) -> String {
    let origin = name.rsplit_once("orig:").map_or(name, |(_, origin)| origin);
    let mut end = origin.len().min(MAX_ORIGIN);
    while !origin.is_char_boundary(end) {
        end -= 1;
    }
    origin.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| file_name(&entry.unwrap().path())).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_that_is_somebody_elses_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("thesis");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("chapter"), "1").unwrap();
        assert!(Out::claim(&root, false).unwrap_err().to_string().contains("no fuzzer's"));
        assert_eq!(names(&root), ["chapter"]);
        assert!(Out::claim(&root.join("chapter"), false).is_err());
    }

    #[test]
    fn a_directory_that_is_written_to_already_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("out");
        assert!(Out::claim(&root, true).unwrap_err().to_string().contains("no queue"));
        let first = Out::claim(&root, false).unwrap();
        assert!(Out::claim(&root, false).unwrap_err().to_string().contains("another ampoule fuzz"));
        drop(first);
        Out::claim(&root, false).unwrap();
    }

    #[test]
    fn inputs_are_named_by_where_they_come_from_and_numbered_on_in_the_next_run() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let first = Instance::open(root, "default").unwrap();
        first.keep(Place::Queue, &Origin::Given("id:000003,time:0,orig:seed".into()), 1, "", b"a").unwrap();
        let made = Origin::Made { source: 0, operation: "havoc" };
        first.keep(Place::Queue, &made, 9, "", b"b").unwrap();
        let synced = Origin::Synced { instance: "core1".into(), id: 12 };
        first.keep(Place::Queue, &synced, 10, "", b"c").unwrap();
        let mut crash = first.keep_crash(&made, 11, b"d", "report", "ampoule fuzz").unwrap().path;
        first.keep(Place::Hangs, &made, 12, ",+oom", b"e").unwrap();
        let queue = names(&root.join("default/queue"));
        assert!(queue[0].starts_with("id:000000,time:") && queue[0].ends_with(",execs:1,orig:seed"), "{queue:?}");
        assert!(queue[1].starts_with("id:000001,src:000000,time:") && queue[1].ends_with(",execs:9,op:havoc"));
        assert!(queue[2].starts_with("id:000002,sync:core1,src:000012,time:"), "{queue:?}");
        assert!(names(&root.join("default/hangs"))[0].ends_with(",op:havoc,+oom"));
        crash.as_mut_os_string().push(REPORT);
        assert_eq!(fs::read_to_string(crash).unwrap(), "report");
        assert!(fs::read_to_string(root.join("default/crashes/README.txt")).unwrap().contains("ampoule fuzz"));

        let out = Out::claim(root, true).unwrap();
        assert!(out.has_crashes().unwrap());
        let second = Instance::open(root, "default").unwrap();
        let resumed: Vec<_> = second.resumed.iter().map(|(id, input)| (*id, input.bytes.as_slice())).collect();
        assert_eq!(resumed, [(0, &b"a"[..]), (1, b"b"), (2, b"c")]);
        assert_eq!(second.keep(Place::Queue, &Origin::Resumed(1), 1, "", b"b").unwrap().id, 1);
        assert_eq!(second.keep(Place::Queue, &made, 1, "", b"f").unwrap().id, 3);
        assert_eq!(second.found().unwrap().len(), 2);
        let foreign = out.foreign(&["core0".into()]).unwrap();
        assert_eq!(foreign[2], (Origin::Synced { instance: "default".into(), id: 2 }, b"c".to_vec()));
        assert!(out.foreign(&["default".into()]).unwrap().is_empty());
    }

    #[test]
    fn a_long_name_is_cut_between_two_letters() {
        assert_eq!(shortened(&"ä".repeat(200)).chars().count(), MAX_ORIGIN / 2);
        assert_eq!(shortened("id:000001,time:3,execs:4,orig:a,b"), "a,b");
    }
}
