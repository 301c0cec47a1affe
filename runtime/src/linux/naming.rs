//! System calls that give things other names: `rename`, `link`, `symlink`.

use super::paths::low;
use super::reply::Reply;
use super::{Kernel, descriptor};

impl Kernel<'_> {
    pub(super) fn sys_renameat2(&mut self, [from_directory, from, to_directory, to, flags]: [u64; 5]) -> Reply {
        let (from, to) = (self.path(from)?, self.path(to)?);
        let (from, to) = ((descriptor(from_directory), &*from), (descriptor(to_directory), &*to));
        self.process.files.rename_at(from, to, low(flags))?;
        Ok(0)
    }

    pub(super) fn sys_linkat(&mut self, [from_directory, from, to_directory, to, flags]: [u64; 5]) -> Reply {
        let (from, to) = (self.path(from)?, self.path(to)?);
        let (from, to) = ((descriptor(from_directory), &*from), (descriptor(to_directory), &*to));
        self.process.files.link_at(from, to, low(flags))?;
        Ok(0)
    }

    pub(super) fn sys_symlinkat(&mut self, target: u64, directory: u64, path: u64) -> Reply {
        let (target, path) = (self.path(target)?, self.path(path)?);
        self.process.files.symlink_at(&target, descriptor(directory), &path)?;
        Ok(0)
    }
}
