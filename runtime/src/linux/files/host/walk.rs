//! A guest's path through a directory of the host's.
//!
//! ```text
//!   "lib/json/../re.py"   lib/json   several names at once, where the host's openat2 does that: no symlink may be among them
//!                         ..         the directory's own path is asked for, shortened, and resolved from the top
//!                         re.py      the last name is looked at and not followed
//! ```
//! A symlink is read here. What it says is walked from where it lies, or, if it is absolute, from the root of the guest's file system,
//! which is not the host's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::place::{HostLast, HostPlace};
use super::{Handle, Root};
use crate::linux::files::abi::{NAME_BYTES, SYMLINK_DEPTH};
use crate::linux::files::mounts::MountId;
use crate::linux::files::walk::FinalLink;

/// Names that one path may make the host look up, all detours included: more than any path that leads somewhere needs.
const MAX_WORK: usize = 1 << 16;

/// How a directory that is only passed through is opened.
const PASSING: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How several names are resolved at once.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

/// A directory that a walk stands in.
#[derive(Debug, Clone)]
pub(crate) enum Anchor {
    /// The top.
    Root(Arc<Root>),
    /// One that the guest has open, or is in.
    Handle(Arc<Handle>),
    /// One on the way.
    Passed(Arc<OwnedFd>),
}

impl AsFd for Anchor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(root) => root.as_fd(),
            Self::Handle(handle) => (**handle).as_fd(),
            Self::Passed(fd) => fd.as_fd(),
        }
    }
}

/// What is left of the work that one path may make.
#[derive(Debug)]
pub(crate) struct Work(usize);

impl Default for Work {
    fn default() -> Self {
        Self(MAX_WORK)
    }
}

impl Work {
    fn spend(&mut self, names: usize) -> Result<(), Errno> {
        self.0 = self.0.checked_sub(names).ok_or(Errno::LOOP)?;
        Ok(())
    }
}

/// A walk through one directory of the host's.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    pub(crate) root: &'a Arc<Root>,
    pub(crate) mount: MountId,
    pub(crate) final_link: FinalLink,
    /// With `O_CREAT`, a slash after the last name is refused before it is looked up.
    pub(crate) create: bool,
    pub(crate) work: &'a mut Work,
}

/// How a walk went on.
#[derive(Debug)]
pub(crate) enum Step {
    /// It came to its end.
    Place(HostPlace),
    /// A symlink leads to the guest's root: the rest of the path from there, and the symlinks that were followed.
    Root { rest: Vec<u8>, links: u32 },
    /// `..` at the top: the rest of the path from the directory above.
    Above { rest: Vec<u8>, links: u32 },
}

/// The next component of a path and what comes after it; none if there are only slashes.
fn first(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().position(|byte| *byte != b'/')?;
    let path = path.get(start..)?;
    path.split_at_checked(path.iter().position(|byte| *byte == b'/').unwrap_or(path.len()))
}

fn is_slashes(path: &[u8]) -> bool {
    path.iter().all(|byte| *byte == b'/')
}

impl Walk<'_> {
    /// Goes from `directory` along `path`, on which `links` symlinks were followed before.
    pub(crate) fn go(mut self, mut directory: Anchor, mut path: Vec<u8>, mut links: u32) -> Result<Step, Errno> {
        let mut several = true;
        let mut end = if matches!(directory, Anchor::Root(_)) { HostLast::Root } else { HostLast::Dot };
        loop {
            let Some((component, rest)) = first(&path) else {
                return self.itself(directory, end, !path.is_empty());
            };
            let is_last = is_slashes(rest);
            let slash = is_last && !rest.is_empty();
            let target = match component {
                b"." => {
                    end = HostLast::Dot;
                    path = rest.to_vec();
                    continue;
                }
                b".." => {
                    let Some(parent) = self.parent(&directory)? else {
                        return Ok(Step::Above { rest: [b".", rest].concat(), links });
                    };
                    (directory, end) = (parent, HostLast::DotDot);
                    path = rest.to_vec();
                    continue;
                }
                _ if component.len() > NAME_BYTES => return Err(Errno::NAMETOOLONG),
                _ if slash && self.create => return Err(Errno::ISDIR),
                name if is_last => {
                    self.work.spend(1)?;
                    let found = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => Some(stat),
                        Err(Errno::NOENT) => None,
                        Err(errno) => return Err(errno),
                    };
                    let is_link = found.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_symlink());
                    if !is_link || !self.final_link.goes_on(slash) {
                        return Ok(Step::Place(self.place(directory, HostLast::Name(name.to_vec()), slash, found)));
                    }
                    readlinkat(&directory, name, Vec::new())?
                }
                name => {
                    if several && let Some((passed, rest)) = self.pass_several(&directory, &path)? {
                        (directory, path) = (passed, rest);
                        continue;
                    }
                    self.work.spend(1)?;
                    match openat(&directory, name, PASSING, Mode::empty()) {
                        Ok(fd) => {
                            directory = Anchor::Passed(Arc::new(fd));
                            several = false;
                            path = rest.to_vec();
                            continue;
                        }
                        // What is no directory may be a symlink; what is no symlink is EINVAL.
                        Err(Errno::NOTDIR | Errno::LOOP) => {
                            readlinkat(&directory, name, Vec::new()).map_err(|errno| match errno {
                                Errno::INVAL => Errno::NOTDIR,
                                other => other,
                            })?
                        }
                        Err(errno) => return Err(errno),
                    }
                }
            };
            links += 1;
            if links > SYMLINK_DEPTH {
                return Err(Errno::LOOP);
            }
            path = [target.to_bytes(), rest].concat();
            several = true;
            if path.starts_with(b"/") {
                return Ok(Step::Root { rest: path, links });
            }
        }
    }

    /// Opens the directory behind the names up to the next `.`, `..` or last component in one call; none if that is not possible, because
    /// a symlink is among them or the host has no such call.
    fn pass_several(&mut self, from: &Anchor, path: &[u8]) -> Result<Option<(Anchor, Vec<u8>)>, Errno> {
        let mut rest = path;
        let mut names: Vec<&[u8]> = Vec::new();
        while let Some((name, after)) = first(rest)
            && !matches!(name, b"." | b"..")
            && name.len() <= NAME_BYTES
            && !is_slashes(after)
        {
            names.push(name);
            rest = after;
        }
        self.work.spend(names.len())?;
        match openat2(from, names.join(&b'/'), PASSING, Mode::empty(), BENEATH) {
            Ok(fd) => Ok(Some((Anchor::Passed(Arc::new(fd)), rest.to_vec()))),
            // These are the same however the names are looked up, and come after any symlink.
            Err(errno @ (Errno::NOENT | Errno::ACCESS)) => Err(errno),
            Err(_) => Ok(None),
        }
    }

    /// The directory above; none at the top.
    fn parent(&mut self, directory: &Anchor) -> Result<Option<Anchor>, Errno> {
        let Some(path) = path_beneath(self.root, directory)? else { return Ok(None) };
        let Some(end) = path.iter().rposition(|byte| *byte == b'/') else {
            return Ok(Some(Anchor::Root(Arc::clone(self.root))));
        };
        let path = path.get(..end).unwrap_or_default();
        let names = path.split(|byte| *byte == b'/');
        self.work.spend(names.clone().count())?;
        match openat2(self.root, path, PASSING, Mode::empty(), BENEATH) {
            Ok(fd) => return Ok(Some(Anchor::Passed(Arc::new(fd)))),
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        let mut at = Anchor::Root(Arc::clone(self.root));
        for name in names {
            at = Anchor::Passed(Arc::new(openat(&at, name, PASSING, Mode::empty())?));
        }
        Ok(Some(at))
    }

    /// The directory itself is meant.
    fn itself(self, directory: Anchor, last: HostLast, slash: bool) -> Result<Step, Errno> {
        let found = fstat(&directory)?;
        Ok(Step::Place(self.place(directory, last, slash, Some(found))))
    }

    fn place(self, directory: Anchor, last: HostLast, slash: bool, found: Option<rustix::fs::Stat>) -> HostPlace {
        HostPlace { root: Arc::clone(self.root), mount: self.mount, directory, last, slash, found }
    }
}

/// A directory's path beneath the top; none for the top itself. The host knows it, whoever renamed what.
///
/// # Errors
/// `ENOENT` if it was removed, or moved to somewhere else.
pub(crate) fn path_beneath(root: &Root, directory: &Anchor) -> Result<Option<Vec<u8>>, Errno> {
    if matches!(directory, Anchor::Root(_)) {
        return Ok(None);
    }
    let (top, at) = (fstat(root)?, fstat(directory)?);
    if (top.st_dev, top.st_ino) == (at.st_dev, at.st_ino) {
        return Ok(None);
    }
    if at.st_nlink == 0 {
        return Err(Errno::NOENT);
    }
    let path = |fd: BorrowedFd<'_>| readlinkat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
    let (top, at) = (path(root.as_fd())?, path(directory.as_fd())?);
    let top = top.to_bytes();
    let beneath = at.to_bytes().strip_prefix(top.strip_suffix(b"/").unwrap_or(top));
    let beneath = beneath.and_then(|path| path.strip_prefix(b"/")).ok_or(Errno::NOENT)?;
    Ok(Some(beneath.to_vec()))
}
