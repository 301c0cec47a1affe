//! What `stat` says about a thing, and its bytes as an x86-64 guest expects them.
//!
//! ```text
//!   0 dev   8 ino   16 nlink   24 mode│uid   32 gid│pad   40 rdev   48 size   56 blksize   64 blocks
//!   72 atime   88 mtime   104 ctime (seconds, nanoseconds)   120 three unused words   144
//! ```
//!
//! The times of a stream are 0: it is not in the tree, which keeps them.

use rustix::io::Errno;

use super::abi::S_IFIFO;
use super::descriptors::Stream;
use super::inode::{InodeId, Node};
use super::tree::Tree;

/// `st_dev` of everything in the tree.
const TREE_DEVICE: u64 = 1;
/// `st_dev` of the streams. They are not in the tree, so no pair of device and inode is there twice.
const STREAM_DEVICE: u64 = 2;
/// The user and group that own everything, and that the guest runs as.
pub(crate) const OWNER: u32 = 1000;
/// `st_blksize`, and the unit that sizes are rounded up to for `st_blocks`.
const BLOCK: u64 = 4096;
/// `st_blocks` counts in these.
const SECTOR: u64 = 512;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    /// Seconds since 1970.
    pub(crate) secs: i64,
    /// And nanoseconds, fewer than a second's.
    pub(crate) nsecs: u32,
}

/// The fields of `struct stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Which file system.
    pub(crate) dev: u64,
    /// Which inode on it.
    pub(crate) ino: u64,
    /// How many names lead here.
    pub(crate) nlink: u64,
    /// Kind and permissions.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Owning group.
    pub(crate) gid: u32,
    /// Which device it is, if it is one.
    pub(crate) rdev: u64,
    /// Length in bytes.
    pub(crate) size: i64,
    /// A good length for reads and writes.
    pub(crate) blksize: i64,
    /// Space taken, in 512 bytes.
    pub(crate) blocks: i64,
    /// Last read.
    pub(crate) accessed: Time,
    /// Last written.
    pub(crate) modified: Time,
    /// Last changed in any way.
    pub(crate) changed: Time,
}

impl Stat {
    /// What the guest sees of a stream: one end of a pipe.
    pub(crate) fn of_stream(stream: Stream) -> Self {
        Self::new(STREAM_DEVICE, stream.number(), S_IFIFO | 0o600)
    }

    /// What the guest sees of something in the tree.
    ///
    /// # Errors
    /// As [`Tree::inode`].
    pub(crate) fn of_inode(tree: &Tree, id: InodeId) -> Result<Self, Errno> {
        let inode = tree.inode(id)?;
        let mut stat = Self::new(TREE_DEVICE, id.number(), inode.mode());
        stat.nlink = inode.names;
        (stat.accessed, stat.modified, stat.changed) =
            (inode.times.accessed, inode.times.modified, inode.times.changed);
        match &inode.node {
            Node::File(contents) => stat = stat.sized(bytes_of(contents)),
            Node::Symlink(target) => stat = stat.sized(bytes_of(target)),
            Node::Directory(directory) => {
                stat.nlink = if inode.linked() { directory.links() } else { 0 };
                stat = stat.sized(BLOCK);
            }
            // Never asked for: what is seen is the host's directory.
            Node::Mount(_) => {}
            Node::Device(device) => stat.rdev = device.number(),
            Node::Pipe(_) | Node::Socket(_) | Node::Counter(_) | Node::Epoll => stat.nlink = 1,
        }
        Ok(stat)
    }

    /// The 144 bytes of x86-64's `struct stat`.
    pub(crate) fn encode(&self) -> [u8; 144] {
        let words: [u64; 18] = [
            self.dev,
            self.ino,
            self.nlink,
            u64::from(self.mode) | u64::from(self.uid) << 32,
            u64::from(self.gid),
            self.rdev,
            self.size.cast_unsigned(),
            self.blksize.cast_unsigned(),
            self.blocks.cast_unsigned(),
            self.accessed.secs.cast_unsigned(),
            u64::from(self.accessed.nsecs),
            self.modified.secs.cast_unsigned(),
            u64::from(self.modified.nsecs),
            self.changed.secs.cast_unsigned(),
            u64::from(self.changed.nsecs),
            0,
            0,
            0,
        ];
        let mut bytes = [0; 144];
        for (slot, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *slot = word.to_le_bytes();
        }
        bytes
    }

    fn new(dev: u64, ino: u64, mode: u32) -> Self {
        Self {
            dev,
            ino,
            nlink: 1,
            mode,
            uid: OWNER,
            gid: OWNER,
            rdev: 0,
            size: 0,
            blksize: BLOCK.cast_signed(),
            blocks: 0,
            accessed: Time::default(),
            modified: Time::default(),
            changed: Time::default(),
        }
    }

    fn sized(self, len: u64) -> Self {
        let blocks = len.div_ceil(BLOCK).saturating_mul(BLOCK / SECTOR);
        Self { size: i64::try_from(len).unwrap_or(i64::MAX), blocks: i64::try_from(blocks).unwrap_or(i64::MAX), ..self }
    }
}

fn bytes_of(contents: &[u8]) -> u64 {
    u64::try_from(contents.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_lies_where_the_x86_64_abi_puts_it() {
        let stat = Stat {
            dev: 0x01,
            ino: 0x02,
            nlink: 0x03,
            mode: 0x04,
            uid: 0x05,
            gid: 0x06,
            rdev: 0x07,
            size: -8,
            blksize: 0x09,
            blocks: 0x0a,
            accessed: Time { secs: -1, nsecs: 0x0b },
            modified: Time { secs: 0x0c, nsecs: 0x0d },
            changed: Time { secs: 0x0e, nsecs: 0x0f },
        };
        let bytes = stat.encode();
        // offsetof(struct stat, …) as glibc's <sys/stat.h> has it on x86-64.
        let quads: [(usize, u64); 13] = [
            (0, 1),
            (8, 2),
            (16, 3),
            (40, 7),
            (48, 8u64.wrapping_neg()),
            (56, 9),
            (64, 10),
            (72, u64::MAX),
            (80, 11),
            (88, 12),
            (96, 13),
            (104, 14),
            (112, 15),
        ];
        for (at, value) in quads {
            assert_eq!(bytes[at..at + 8], value.to_le_bytes(), "at {at}");
        }
        for (at, value) in [(24, 4u32), (28, 5), (32, 6), (36, 0)] {
            assert_eq!(bytes[at..at + 4], value.to_le_bytes(), "at {at}");
        }
        assert_eq!(bytes[120..], [0; 24]);
    }

    #[test]
    fn blocks_are_whole_pages_in_512_byte_units() {
        let blocks = |len| Stat::new(0, 0, 0).sized(len).blocks;
        assert_eq!([blocks(0), blocks(1), blocks(4096), blocks(4097)], [0, 8, 8, 16]);
    }
}
