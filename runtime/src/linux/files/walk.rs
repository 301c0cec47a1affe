//! From a path to an inode, step by step as Linux goes.
//!
//! A walk reads one component at a time from a short stack of unread parts: the path at the bottom, the target of each symlink on
//! the way on top. Nothing is joined, copied or recursed into, so the work is bounded by the bytes of the path and of the at most 40
//! targets.
//!
//! ```text
//!   "a/link/b"  at a/link → "../x"      unread: [ "/b", "../x" ]      next component: ".."
//! ```

use std::borrow::Cow;

use rustix::io::Errno;

use super::abi::{NAME_BYTES, PATH_BYTES, SYMLINK_DEPTH, X_OK};
use super::inode::{InodeId, Node};
use super::mounts::MountId;
use super::tree::Tree;

/// What to do with a symlink in the last place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinalLink {
    /// Go on through it.
    Follow,
    /// Stop at it, unless a slash comes after it.
    Stop,
    /// Stop at it in any case: the name itself is to be made or removed.
    Name,
    /// Stop before it is looked up: [`Tree::entry`] does that, after the checks that come before.
    Parent,
}

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Last<'a> {
    /// There is none: the path is all slashes.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name that is looked up.
    Name(Cow<'a, [u8]>),
}

/// Where a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The directory that the last component was looked up in.
    pub(crate) directory: InodeId,
    /// The last component.
    pub(crate) last: Last<'a>,
    /// Whether slashes come after it: then only a directory will do.
    pub(crate) slash: bool,
    /// What is there.
    pub(crate) inode: Option<InodeId>,
}

/// How far the tree leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Walked<'a> {
    /// To the end of the path.
    Place(Place<'a>),
    /// Into a directory of the host's: which one, the rest of the path, and how many symlinks were followed.
    Mount(MountId, Vec<u8>, u32),
}

/// Checks what `getname` checks before anything is looked up.
///
/// # Errors
/// `ENOENT` for an empty path, `ENAMETOOLONG` for one that does not fit `PATH_MAX`.
pub(crate) fn check_path(path: &[u8]) -> Result<(), Errno> {
    match path.len() {
        0 => Err(Errno::NOENT),
        1..=PATH_BYTES => Ok(()),
        _ => Err(Errno::NAMETOOLONG),
    }
}

impl Tree {
    /// Walks `path` from the directory `start`, or from the root if it begins with a slash, up to its last component, which need
    /// not be there. With `create`, a slash after the last component is refused before it is looked up, as `O_CREAT` does. `links`
    /// symlinks were followed before.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EACCES` (a directory that may not be searched), `ENAMETOOLONG`, `ELOOP`; `EISDIR` as said.
    pub(crate) fn walk<'a>(
        &'a self,
        start: InodeId,
        path: &'a [u8],
        final_link: FinalLink,
        create: bool,
        mut links: u32,
    ) -> Result<Walked<'a>, Errno> {
        let mut directory = if path.starts_with(b"/") { InodeId::ROOT } else { start };
        let mut unread = vec![path];
        while let Some(component) = next_component(&mut unread) {
            let names = self.directory(directory)?;
            if !self.inode(directory)?.allows(X_OK) {
                return Err(Errno::ACCESS);
            }
            let is_last = unread.iter().rev().all(|part| part.iter().all(|byte| *byte == b'/'));
            let slash = is_last && unread.iter().any(|part| !part.is_empty());
            if is_last && final_link == FinalLink::Parent {
                let last = match component {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    name => Last::Name(Cow::Borrowed(name)),
                };
                return Ok(Walked::Place(Place { directory, last, slash, inode: None }));
            }
            let (last, inode) = match component {
                b"." => (Last::Dot, Some(directory)),
                b".." => (Last::DotDot, Some(names.parent())),
                _ if slash && create => return Err(Errno::ISDIR),
                _ if !self.inode(directory)?.linked() => return Err(Errno::NOENT),
                _ if component.len() > NAME_BYTES => return Err(Errno::NAMETOOLONG),
                name => (Last::Name(Cow::Borrowed(name)), names.lookup(name)),
            };
            let place = Place { directory, last, slash, inode };
            let Some(inode) = inode else {
                return if is_last { Ok(Walked::Place(place)) } else { Err(Errno::NOENT) };
            };
            match &self.inode(inode)?.node {
                Node::Symlink(target) if !is_last || final_link.goes_on(slash) => {
                    links += 1;
                    if links > SYMLINK_DEPTH {
                        return Err(Errno::LOOP);
                    }
                    if target.starts_with(b"/") {
                        directory = InodeId::ROOT;
                    }
                    unread.push(target);
                }
                Node::Mount(mount) => {
                    unread.reverse();
                    return Ok(Walked::Mount(*mount, unread.concat(), links));
                }
                _ if is_last => return Ok(Walked::Place(place)),
                Node::Directory(_) => directory = inode,
                _ => return Err(Errno::NOTDIR),
            }
        }
        Ok(Walked::Place(Place { directory, last: Last::Root, slash: false, inode: Some(directory) }))
    }

    /// What `name` leads to in `directory`, as the last step of a walk to [`FinalLink::Parent`].
    ///
    /// # Errors
    /// `ENOENT` in a directory that has been removed, `ENAMETOOLONG`.
    pub(crate) fn entry(&self, directory: InodeId, name: &[u8]) -> Result<Option<InodeId>, Errno> {
        if !self.inode(directory)?.linked() {
            return Err(Errno::NOENT);
        }
        if name.len() > NAME_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(self.directory(directory)?.lookup(name))
    }
}

impl Place<'_> {
    /// The same, borrowed from nobody.
    pub(crate) fn into_owned<'b>(self) -> Place<'b> {
        let last = match self.last {
            Last::Name(name) => Last::Name(Cow::Owned(name.into_owned())),
            Last::Root => Last::Root,
            Last::Dot => Last::Dot,
            Last::DotDot => Last::DotDot,
        };
        Place { directory: self.directory, last, slash: self.slash, inode: self.inode }
    }

    /// What is there.
    ///
    /// # Errors
    /// `ENOENT` if nothing is, `ENOTDIR` if a slash comes after what is no directory.
    pub(crate) fn existing(&self, tree: &Tree) -> Result<InodeId, Errno> {
        let inode = self.inode.ok_or(Errno::NOENT)?;
        if self.slash {
            tree.directory(inode)?;
        }
        Ok(inode)
    }
}

impl FinalLink {
    pub(crate) fn goes_on(self, slash: bool) -> bool {
        match self {
            Self::Follow => true,
            Self::Stop => slash,
            Self::Name | Self::Parent => false,
        }
    }
}

/// Takes the next component from the innermost part that has one.
fn next_component<'a>(unread: &mut Vec<&'a [u8]>) -> Option<&'a [u8]> {
    while let Some(part) = unread.pop() {
        let Some(start) = part.iter().position(|byte| *byte != b'/') else {
            continue;
        };
        let part = part.get(start..)?;
        let end = part.iter().position(|byte| *byte == b'/').unwrap_or(part.len());
        let (component, rest) = part.split_at_checked(end)?;
        unread.push(rest);
        return Some(component);
    }
    None
}
