//! What is open, told as links: the text that `/proc/self/fd/N` leads to, and opening once more what is open there.
//!
//! Only the program's own descriptors are told, and the text is never walked: the number alone says what is meant.

use rustix::io::Errno;

use super::Files;
use super::abi::{
    AT_FDCWD, F_DUPFD, F_DUPFD_CLOEXEC, O_ACCMODE, O_APPEND, O_CLOEXEC, O_LARGEFILE, O_NONBLOCK, O_RDWR, O_TRUNC,
};
use super::descriptors::Object;
use super::inode::InodeId;
use super::resolve::Found;
use super::walk::FinalLink;

impl Files {
    /// The descriptors that are open, in ascending order.
    pub(crate) fn open_descriptors(&self) -> Vec<i32> {
        self.descriptors.within(0, u32::MAX)
    }

    /// What a link to a descriptor says: the first path found that leads to it, or what it is.
    ///
    /// # Errors
    /// `ENOENT` if it is not open.
    pub(crate) fn link_to(&self, descriptor: i32) -> Result<Vec<u8>, Errno> {
        let object = self.descriptors.get(descriptor).map_err(|_| Errno::NOENT)?.object;
        let inode = match object {
            Object::Stream(stream) => return Ok(format!("pipe:[{}]", stream.number()).into_bytes()),
            Object::Pipe(inode) => return Ok(format!("pipe:[{}]", inode.number()).into_bytes()),
            Object::Socket(inode) => return Ok(format!("socket:[{}]", inode.number()).into_bytes()),
            Object::Counter(_) => return Ok(b"anon_inode:[eventfd]".to_vec()),
            Object::Epoll(_) => return Ok(b"anon_inode:[eventpoll]".to_vec()),
            Object::Host(handle) => {
                return Ok(self.path_of_host(handle).unwrap_or_else(|_| b"/[] (deleted)".to_vec()));
            }
            Object::File(inode) | Object::Directory(inode) | Object::Device(_, inode) | Object::Path(inode) => inode,
        };
        Ok(self.path_of(inode).unwrap_or_else(|| format!("/[{}] (deleted)", inode.number()).into_bytes()))
    }

    /// Opens what a descriptor is open on once more: a stream's new descriptor shares its description, anything else gets its own.
    ///
    /// # Errors
    /// `ENOENT` if it is not open, `EACCES` for a direction that a stream has not and for both of a pipe; as `open`.
    pub(crate) fn reopen(&mut self, descriptor: i32, flags: u32, mode: u32) -> Result<i32, Errno> {
        let old = self.descriptors.get(descriptor).map_err(|_| Errno::NOENT)?;
        let (object, status) = (old.object, old.status);
        match object {
            Object::Stream(_) if status & O_ACCMODE != flags & O_ACCMODE => Err(Errno::ACCESS),
            Object::Stream(_) => {
                let command = if flags & O_CLOEXEC == 0 { F_DUPFD } else { F_DUPFD_CLOEXEC };
                self.fcntl(descriptor, command, 0)
            }
            Object::Pipe(_) if flags & O_RDWR != 0 => Err(Errno::ACCESS),
            Object::Pipe(_) => self.descriptors.open(object, flags & (O_ACCMODE | O_NONBLOCK), flags & O_CLOEXEC != 0),
            Object::Socket(_) | Object::Counter(_) | Object::Epoll(_) => Err(Errno::NXIO),
            // The same open file, but for the offset: it cannot be given more rights than it has.
            Object::Host(_) if ![O_RDWR, flags & O_ACCMODE].contains(&(status & O_ACCMODE)) => Err(Errno::ACCESS),
            Object::Host(handle) => {
                if flags & O_TRUNC != 0 {
                    self.handles.get(handle)?.truncate(0)?;
                }
                let status = flags & (O_ACCMODE | O_APPEND | O_NONBLOCK) | O_LARGEFILE;
                self.descriptors.open(object, status, flags & O_CLOEXEC != 0)
            }
            Object::File(id) | Object::Directory(id) | Object::Device(_, id) | Object::Path(id) => {
                self.open_inode(id, flags, mode)
            }
        }
    }

    /// Takes every name out of a directory that the embedder made, as far as it is empty below.
    pub(crate) fn clear(&mut self, path: &[u8]) {
        let Ok(Found::Inode(inode)) = self.find(AT_FDCWD, path, FinalLink::Stop) else { return };
        let Ok(directory) = self.tree.directory(inode) else { return };
        let names: Vec<Vec<u8>> = directory.names_from(0).map(|(_, name, _)| name.to_vec()).collect();
        for name in names {
            // What cannot be removed is the program's own work, and stays.
            let _ = self.unlink_at(AT_FDCWD, &[path, b"/", &name].concat(), 0);
        }
    }

    /// The first path that leads to an inode, the root's directories looked through in the order of their numbers.
    fn path_of(&self, inode: InodeId) -> Option<Vec<u8>> {
        let mut at = inode;
        let mut names = Vec::new();
        while at != InodeId::ROOT {
            let parent = match self.tree.directory(at) {
                Ok(directory) => directory.parent(),
                Err(_) => self.tree.holder_of(at)?,
            };
            names.push(self.tree.directory(parent).ok()?.name_of(at)?);
            at = parent;
        }
        let path = names.iter().rev().flat_map(|name| [b"/", *name].concat()).collect::<Vec<_>>();
        Some(if path.is_empty() { b"/".to_vec() } else { path })
    }
}
