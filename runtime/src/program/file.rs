//! Reading a program's file: once, into memory, and never more than [`Program::MAX_FILE_BYTES`].
//!
//! A copy and not a mapping: a file that somebody truncates under its mapping is a SIGBUS in the embedder, and one that
//! somebody rewrites changes after it was validated. The size is checked on the open file and again while reading,
//! because a file can grow in between; what has no size to check (a pipe, a device) is refused, and opening it must not
//! wait for a writer.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Program;
use super::error::ProgramError;

/// All bytes of the regular file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ProgramError> {
    let failed = |source| ProgramError::Io { path: path.to_owned(), source };
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(ProgramError::NotAFile { path: path.to_owned(), found: metadata.file_type() });
    }
    check_size(metadata.len(), Program::MAX_FILE_BYTES)?;
    let bytes = read_at_most(file, metadata.len(), Program::MAX_FILE_BYTES).map_err(failed)?;
    check_size(bytes.len() as u64, Program::MAX_FILE_BYTES)?;
    Ok(bytes)
}

/// Refuses `size` if it is above `max`.
pub(super) fn check_size(size: u64, max: u64) -> Result<(), ProgramError> {
    if size > max { Err(ProgramError::TooLarge { size, max }) } else { Ok(()) }
}

/// Reads to the end, or to the first byte beyond `max`. `expected` has to be at most `max`: it is reserved in one go.
fn read_at_most(source: impl Read, expected: u64, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than expected, so that reading the end of the file does not make the vector grow.
    let reserve = usize::try_from(expected).unwrap_or(usize::MAX).saturating_add(1);
    bytes.try_reserve_exact(reserve).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    source.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::path::PathBuf;

    /// A path of this test's own, removed when the test ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ampoule-program-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_file_is_read_whole() {
        let scratch = Scratch::new("whole");
        std::fs::write(&scratch.0, vec![7; 100_000]).unwrap();
        assert_eq!(read(&scratch.0).unwrap(), vec![7; 100_000]);
    }

    #[test]
    fn a_file_above_the_cap_is_refused_before_it_is_read() {
        let scratch = Scratch::new("sparse");
        File::create(&scratch.0).unwrap().set_len(Program::MAX_FILE_BYTES * 4).unwrap();
        let error = read(&scratch.0).unwrap_err();
        assert!(matches!(error, ProgramError::TooLarge { size, .. } if size == Program::MAX_FILE_BYTES * 4), "{error}");
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_stops_one_byte_beyond_the_cap() {
        let bytes = read_at_most(io::repeat(1), 10, 5000).unwrap();
        assert_eq!(bytes.len(), 5001);
        assert!(check_size(5001, 5000).is_err());
        assert!(check_size(5000, 5000).is_ok());
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_gives_what_is_left() {
        assert_eq!(read_at_most(&b"abc"[..], 1 << 20, 1 << 20).unwrap(), b"abc");
    }

    #[test]
    fn a_directory_is_refused() {
        let error = read(Path::new("/")).unwrap_err();
        assert!(error.to_string().contains("is a directory"), "{error}");
    }

    #[test]
    fn a_device_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("is a device"), "{error}");
    }

    #[test]
    fn a_pipe_without_a_writer_is_refused_without_waiting_for_one() {
        let scratch = Scratch::new("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &scratch.0, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let error = read(&scratch.0).unwrap_err();
        assert!(error.to_string().contains("is a pipe"), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_its_path() {
        let error = read(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(matches!(&error, ProgramError::Io { path, .. } if path == Path::new("/nowhere/at/all")));
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
