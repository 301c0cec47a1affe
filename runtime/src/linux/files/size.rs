//! The length of a file, set by path or reserved: `truncate`, `fallocate`, and what `statfs` says is left.

use rustix::io::Errno;

use super::Files;
use super::abi::{AT_FDCWD, FALLOC_FL_KEEP_SIZE, W_OK};
use super::descriptors::Object;
use super::resolve::Found;
use super::tree::Quota;
use super::walk::FinalLink;

impl Files {
    /// `truncate`.
    ///
    /// # Errors
    /// `EINVAL` for a negative length and for a device, `EISDIR`, `EACCES`, `EFBIG`, `ENOSPC`; what a walk gives.
    pub(crate) fn truncate(&mut self, path: &[u8], length: i64) -> Result<(), Errno> {
        let length = u64::try_from(length).map_err(|_| Errno::INVAL)?;
        let inode = match self.find(AT_FDCWD, path, FinalLink::Follow)? {
            Found::Inode(inode) => inode,
            Found::Host(place) => return place.truncate(length),
        };
        let old = self.tree.contents(inode)?.len() as u64;
        if !self.tree.inode(inode)?.allows(W_OK) {
            return Err(Errno::ACCESS);
        }
        // Its times stay, too, unlike `ftruncate`'s.
        if old == length { Ok(()) } else { self.tree_mut().truncate(inode, length) }
    }

    /// `fallocate` with the modes 0 and `FALLOC_FL_KEEP_SIZE`. Memory is there as soon as it is within the quota: all that the call can do beyond
    /// that is to make the file longer.
    ///
    /// # Errors
    /// `EBADF` if it is not open for writing, `EINVAL` for a range that is none, `EOPNOTSUPP` for other modes, `ESPIPE`, `EISDIR`, `ENODEV`,
    /// `EFBIG`, `ENOSPC`.
    pub(crate) fn fallocate(&mut self, descriptor: i32, mode: u32, offset: i64, length: i64) -> Result<(), Errno> {
        let object = self.object(descriptor)?;
        if offset < 0 || length <= 0 {
            return Err(Errno::INVAL);
        }
        if mode & !FALLOC_FL_KEEP_SIZE != 0 {
            return Err(Errno::OPNOTSUPP);
        }
        if !self.descriptors.get(descriptor)?.writable() {
            return Err(Errno::BADF);
        }
        let inode = match object {
            Object::Path(_) => return Err(Errno::BADF),
            Object::Stream(_) | Object::Pipe(_) => return Err(Errno::SPIPE),
            Object::Directory(_) => return Err(Errno::ISDIR),
            Object::Device(..) | Object::Socket(_) | Object::Counter(_) | Object::Epoll(_) => return Err(Errno::NODEV),
            Object::Host(handle) if mode == 0 => return self.handles.get(handle)?.allocate(offset, length),
            // Room beyond a file's end is nobody's that an account could know of.
            Object::Host(_) => return Err(Errno::OPNOTSUPP),
            Object::File(inode) => inode,
        };
        let end = offset.checked_add(length).ok_or(Errno::FBIG)?.unsigned_abs();
        let old = self.tree.contents(inode)?.len() as u64;
        if end > self.tree.quota().bytes as u64 {
            return Err(Errno::FBIG);
        }
        if end.saturating_sub(old) > self.tree.left().bytes as u64 {
            return Err(Errno::NOSPC);
        }
        if mode & FALLOC_FL_KEEP_SIZE != 0 || end <= old {
            return self.tree_mut().change(inode, |_| ());
        }
        self.tree_mut().truncate(inode, end)
    }

    /// What the tree may cost, and what is left of that.
    pub(crate) fn quota(&self) -> [Quota; 2] {
        [self.tree.quota(), self.tree.left()]
    }

    /// Whether a path leads to something.
    ///
    /// # Errors
    /// What a walk gives; `ENOENT`.
    pub(crate) fn exists(&self, path: &[u8], follow: bool) -> Result<(), Errno> {
        let final_link = if follow { FinalLink::Follow } else { FinalLink::Stop };
        self.find(AT_FDCWD, path, final_link).map(|_| ())
    }
}
