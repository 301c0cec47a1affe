//! Directory listings, as `getdents64` needs them: plain entries, and a position to go on from.

use std::borrow::Cow;

use rustix::io::Errno;

use super::Files;
use super::descriptors::Object;
use super::directory::Directory;
use super::host::HostName;
use super::inode::{InodeId, Node};

/// One name in a listing: the fields of `struct linux_dirent64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedName<'a> {
    /// `d_ino`.
    pub(crate) ino: u64,
    /// `d_off`: the position after this name, for [`Files::listed`] and for the guest's `lseek`.
    pub(crate) next: i64,
    /// `d_type`.
    pub(crate) kind: u8,
    /// `d_name`, without the NUL.
    pub(crate) name: Cow<'a, [u8]>,
}

/// `d_type` of a character device.
const DT_CHR: u8 = 2;
/// `d_type` of a directory.
const DT_DIR: u8 = 4;
/// `d_type` of a regular file.
const DT_REG: u8 = 8;
/// `d_type` of a symlink.
const DT_LNK: u8 = 10;

impl Files {
    /// `getdents64`, first step: the names from the position of the listing on, `.` and `..` first. The caller takes as many as fit the
    /// guest's buffer, and ends with [`Files::listed`].
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`, `ENOENT` if the directory has been removed.
    pub(crate) fn list(&self, descriptor: i32) -> Result<Box<dyn Iterator<Item = ListedName<'_>> + '_>, Errno> {
        let description = self.descriptors.get(descriptor)?;
        let inode = match description.object {
            Object::Directory(inode) => inode,
            Object::Host(handle) => {
                let names = self.handles.get(handle)?.list(description.offset)?.into_iter();
                return Ok(Box::new(names.filter_map(|HostName { ino, next, kind, name }| {
                    Some(ListedName { ino, next: i64::try_from(next).ok()?, kind, name: name.into() })
                })));
            }
            Object::Path(_) => return Err(Errno::BADF),
            _ => return Err(Errno::NOTDIR),
        };
        if !self.tree.inode(inode)?.linked() {
            return Err(Errno::NOENT);
        }
        let directory = self.tree.directory(inode)?;
        let position = description.offset;
        let dots: [(u64, &[u8], InodeId); 2] = [(0, b".", inode), (1, b"..", directory.parent())];
        let names = directory.names_from(position.max(Directory::FIRST_POSITION));
        let all =
            dots.into_iter().filter(move |(at, ..)| *at >= position).chain(names).filter_map(|(at, name, inode)| {
                let kind = match self.tree.inode(inode).ok()?.node {
                    Node::File(_) => DT_REG,
                    Node::Directory(_) | Node::Mount(_) => DT_DIR,
                    Node::Symlink(_) => DT_LNK,
                    Node::Device(_) => DT_CHR,
                    // What never has a name is in no listing.
                    Node::Pipe(_) | Node::Socket(_) | Node::Counter(_) | Node::Epoll => return None,
                };
                let next = i64::try_from(at.checked_add(1)?).ok()?;
                Some(ListedName { ino: inode.number(), next, kind, name: name.into() })
            });
        Ok(Box::new(all))
    }

    /// `getdents64`, second step: the names before position `next` have reached the guest.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`, `EINVAL` for what is no position.
    pub(crate) fn listed(&mut self, descriptor: i32, next: i64) -> Result<(), Errno> {
        let description = self.descriptors.get_mut(descriptor)?;
        let (Object::Directory(_) | Object::Host(_)) = description.object else {
            return Err(Errno::NOTDIR);
        };
        description.offset = u64::try_from(next).map_err(|_| Errno::INVAL)?;
        Ok(())
    }
}
