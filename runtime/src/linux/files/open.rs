//! `open`: from flags and a path to a descriptor.
//!
//! The order is Linux's, because a guest can see it: flags, the path's length, a free descriptor, and only then the walk. So a full
//! table creates no file, and a failed open changes nothing.

use std::sync::Arc;

use rustix::io::Errno;

use super::Files;
use super::abi::{
    O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_KNOWN, O_LARGEFILE, O_NOFOLLOW, O_OPENING_ONLY, O_PATH,
    O_PATH_FLAGS, O_SYNCHRONOUS, O_TMPFILE_BIT, O_TRUNC, O_WRONLY, R_OK, S_IALLUGO, W_OK,
};
use super::descriptors::Object;
use super::host::{Handle, HostPlace, Opening};
use super::inode::{InodeId, Node};
use super::resolve::Resolved;
use super::walk::{FinalLink, Last, check_path};

/// What was asked for, after the checks that need no path.
#[derive(Clone, Copy, Debug)]
struct Request {
    flags: u32,
    permissions: u32,
}

impl Request {
    fn new(flags: u32, permissions: u32) -> Result<Self, Errno> {
        let request = Self { flags: flags & O_KNOWN, permissions: permissions & S_IALLUGO };
        if request.has(O_PATH) {
            return Ok(Self { flags: request.flags & O_PATH_FLAGS, permissions: 0 });
        }
        if request.has(O_CREAT) && request.has(O_DIRECTORY) {
            return Err(Errno::INVAL);
        }
        if request.has(O_TMPFILE_BIT) {
            let whole = request.has(O_DIRECTORY) && request.flags & O_ACCMODE != 0;
            return Err(if whole { Errno::OPNOTSUPP } else { Errno::INVAL });
        }
        Ok(request)
    }

    fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// What `F_GETFL` shows afterwards.
    fn status(self) -> u32 {
        let large = if self.has(O_PATH) { 0 } else { O_LARGEFILE };
        self.flags & !O_OPENING_ONLY | large
    }

    /// What the owner must be allowed: `O_TRUNC` needs writing, and the access mode 3 needs both.
    fn access(self) -> u32 {
        let access = match self.flags & O_ACCMODE {
            0 => R_OK,
            O_WRONLY => W_OK,
            _ => R_OK | W_OK,
        };
        if self.has(O_TRUNC) { access | W_OK } else { access }
    }

    fn final_link(self) -> FinalLink {
        if self.has(O_NOFOLLOW) || self.has(O_CREAT) && self.has(O_EXCL) { FinalLink::Stop } else { FinalLink::Follow }
    }
}

impl Files {
    /// `openat`. Flags that Linux does not know are ignored; `O_TMPFILE` is refused.
    ///
    /// # Errors
    /// `EINVAL` for `O_CREAT` with `O_DIRECTORY` and for a malformed `O_TMPFILE`; `EOPNOTSUPP` for `O_TMPFILE`; `EMFILE`,
    /// `EBADF`, `ENOENT`, `EEXIST`, `EISDIR`, `ENOTDIR`, `ELOOP`, `EACCES`, `ENAMETOOLONG`, `ENOSPC`.
    pub(crate) fn open(&mut self, directory: i32, path: &[u8], flags: u32, mode: u32) -> Result<i32, Errno> {
        let request = Request::new(flags, mode & !self.umask)?;
        check_path(path)?;
        self.descriptors.lowest_free()?;
        let object = self.open_object(directory, path, request)?;
        self.descriptors.open(object, request.status(), request.has(O_CLOEXEC))
    }

    /// Opens an inode that is open already.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for what a walk gives.
    pub(super) fn open_inode(&mut self, id: InodeId, flags: u32, mode: u32) -> Result<i32, Errno> {
        let request = Request::new(flags, mode)?;
        self.descriptors.lowest_free()?;
        let object = self.open_existing(id, request)?;
        self.descriptors.open(object, request.status(), request.has(O_CLOEXEC))
    }

    fn open_object(&mut self, directory: i32, path: &[u8], request: Request) -> Result<Object, Errno> {
        let place = match self.resolve(directory, path, request.final_link(), request.has(O_CREAT))? {
            Resolved::Tree(place) => place,
            Resolved::Host(place) => {
                let handle = open_host(&place, request)?;
                return Ok(Object::Host(self.handles.add(handle)));
            }
        };
        let (Last::Name(name), None, true) = (&place.last, place.inode, request.has(O_CREAT)) else {
            let inode = place.existing(&self.tree)?;
            return self.open_existing(inode, request);
        };
        let (parent, name) = (place.directory, name.to_vec());
        self.may_change(parent)?;
        let file = Node::File(Arc::default());
        Ok(Object::File(self.tree_mut().create(parent, &name, file, request.permissions)?))
    }

    fn open_existing(&mut self, id: InodeId, request: Request) -> Result<Object, Errno> {
        let inode = self.tree.inode(id)?;
        let is_directory = matches!(inode.node, Node::Directory(_));
        if request.has(O_CREAT) && request.has(O_EXCL) {
            return Err(Errno::EXIST);
        }
        if request.has(O_CREAT) && is_directory {
            return Err(Errno::ISDIR);
        }
        if request.has(O_DIRECTORY) && !is_directory {
            return Err(Errno::NOTDIR);
        }
        if request.has(O_PATH) {
            return Ok(Object::Path(id));
        }
        let object = match inode.node {
            // No name leads to one.
            Node::Pipe(_) | Node::Socket(_) | Node::Counter(_) | Node::Epoll => return Err(Errno::NXIO),
            Node::Symlink(_) => return Err(Errno::LOOP),
            Node::Directory(_) if request.access() & W_OK != 0 => return Err(Errno::ISDIR),
            Node::Directory(_) => Object::Directory(id),
            Node::File(_) => Object::File(id),
            Node::Device(device) => Object::Device(device, id),
            // A path that ends there ends in the host's directory.
            Node::Mount(_) => return Err(Errno::STALE),
        };
        if !inode.allows(request.access()) {
            return Err(Errno::ACCESS);
        }
        if request.has(O_TRUNC) && matches!(object, Object::File(_)) {
            self.tree_mut().truncate(id, 0)?;
        }
        Ok(object)
    }
}

/// Opens a file or directory of the host's, or makes the file.
fn open_host(place: &HostPlace, request: Request) -> Result<Handle, Errno> {
    let opening = Opening {
        read: request.access() & R_OK != 0,
        write: request.flags & O_ACCMODE != 0,
        truncate: request.has(O_TRUNC),
        path: request.has(O_PATH),
        synchronous: request.flags & O_SYNCHRONOUS,
        permissions: request.permissions,
    };
    if !place.exists() && request.has(O_CREAT) {
        match place.create(opening) {
            // Somebody made it meanwhile: the program asked for either.
            Err(Errno::EXIST) if !request.has(O_EXCL) => return place.again()?.open(opening),
            made => return made,
        }
    }
    if request.has(O_CREAT) && request.has(O_EXCL) && place.exists() {
        return Err(Errno::EXIST);
    }
    if request.has(O_CREAT) && place.is_directory() {
        return Err(Errno::ISDIR);
    }
    if request.has(O_DIRECTORY) && place.exists() && !place.is_directory() {
        return Err(Errno::NOTDIR);
    }
    place.open(opening)
}
