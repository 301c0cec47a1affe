//! What the file layer promises, as sentences; its numbers were read off Linux 6.18 (`tests/native.rs` asks the running kernel again).

use rustix::io::Errno;

use super::abi::*;
use super::inode::Device;
use super::listing::ListedName;
use super::*;

mod descriptors;
mod embedder;
mod listing;
mod model;
mod names;
mod native;
mod opening;
mod operations;
mod paths;
mod pipes;
mod quota;
mod state;
mod times;
mod transfer;

/// As many descriptors as an embedder gives unless told otherwise.
const DEFAULT_OPEN_FILES: u16 = crate::limits::Limits::DEFAULT_OPEN_FILES;

/// A guest's files with this in `/tmp`, which is also the current directory:
/// `f` "hello", `d/`, `d/g` "", `lf → f`, `lf_slash → f/`, `ld → d`, `gone → nowhere`, `loop → loop`.
fn files() -> Files {
    let mut files = Files::new(Quota::default(), DEFAULT_OPEN_FILES);
    files.insert(b"/tmp/f", b"hello".to_vec(), 0o644).unwrap();
    files.insert(b"/tmp/d/g", Vec::new(), 0o644).unwrap();
    for (name, target) in [("lf", "f"), ("lf_slash", "f/"), ("ld", "d"), ("gone", "nowhere"), ("loop", "loop")] {
        files.insert_symlink(format!("/tmp/{name}").as_bytes(), target.as_bytes()).unwrap();
    }
    files.chdir(b"/tmp").unwrap();
    files
}

impl Files {
    fn open_here(&mut self, path: &str, flags: u32) -> Result<i32, Errno> {
        self.open(AT_FDCWD, path.as_bytes(), flags, 0o644)
    }

    /// What `write` does with bytes that are all there.
    fn write_all(&mut self, descriptor: i32, bytes: &[u8]) -> Result<usize, Errno> {
        match self.write(descriptor)? {
            Sink::File(mut sink) => sink.write(bytes),
            Sink::Discard | Sink::Stream(_) | Sink::Pipe(_) | Sink::Counter(_) => Ok(bytes.len()),
        }
    }

    /// What `pwrite` does with bytes that are all there.
    fn write_all_at(&mut self, descriptor: i32, offset: i64, bytes: &[u8]) -> Result<usize, Errno> {
        match self.write_at(descriptor, offset)? {
            Sink::File(mut sink) => sink.write(bytes),
            Sink::Discard | Sink::Stream(_) | Sink::Pipe(_) | Sink::Counter(_) => Ok(bytes.len()),
        }
    }

    /// What `read` does with a good buffer.
    fn read_some(&mut self, descriptor: i32, limit: usize) -> Result<Vec<u8>, Errno> {
        let bytes = bytes_of(self.read(descriptor, limit)?);
        self.advance(descriptor, bytes.len())?;
        Ok(bytes)
    }

    /// The whole file at a path, whoever may read it.
    fn contents(&self, path: &str) -> Result<&[u8], Errno> {
        match self.find(AT_FDCWD, path.as_bytes(), walk::FinalLink::Follow)? {
            resolve::Found::Inode(inode) => self.tree.contents(inode),
            resolve::Found::Host(_) => panic!("{path} is the host's"),
        }
    }
}

pub(in crate::linux::files) fn bytes_of(source: Source<'_>) -> Vec<u8> {
    match source {
        Source::Bytes(bytes) => bytes.to_vec(),
        Source::Zeros(count) => vec![0; count],
        Source::Random(count) => vec![4; count],
        Source::Host(file, offset, count) => {
            let mut bytes = vec![0; count];
            let count = file.read(&mut bytes, offset).unwrap();
            bytes.truncate(count);
            bytes
        }
        Source::End | Source::Stream(_) | Source::Pipe(_) | Source::Counter(_) => Vec::new(),
    }
}
