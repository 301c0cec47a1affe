//! The inputs that a run starts from.

use std::io;
use std::path::{Path, PathBuf};

/// An input and the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// What there is to start from, if nobody has anything better: nothing, a little of nothing, and a word.
pub(super) fn trivial() -> Vec<Named> {
    let of = |name: &str, bytes: &[u8]| Named { name: name.to_owned(), bytes: bytes.to_vec() };
    vec![of("empty", b""), of("zeros", &[0; 8]), of("text", b"hello\n")]
}

/// Every input at or beneath `path`, in the order of their paths. What a fuzzer writes beside inputs is left out: hidden files, reports, README.txt.
pub(super) fn read(path: &Path) -> io::Result<Vec<Named>> {
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Named { name, bytes: std::fs::read(path)? })
    };
    files(path)?.into_iter().map(read).collect()
}

/// The files of [`read`].
pub(super) fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        for entry in std::fs::read_dir(&path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Symlinks to files are followed, and to directories only where the user names one: a circle of them would have no end. Reading a pipe
            // may have none either.
            if !name.starts_with('.') && !is_beside(&name) && (entry.path().is_file() || entry.file_type()?.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_beside(name: &str) -> bool {
    name == "README.txt" || name.ends_with(super::out::REPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read_beneath_a_directory_in_the_order_of_their_paths_and_what_lies_beside_them_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir(path.join("deep")).unwrap();
        std::os::unix::fs::symlink(path, path.join("deep/circle")).unwrap();
        for name in ["b", "a", "deep/c", ".hidden", "README.txt", "a.report.txt"] {
            std::fs::write(path.join(name), name).unwrap();
        }
        let names: Vec<_> = read(path).unwrap().into_iter().map(|input| input.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(read(&path.join("b")).unwrap(), [Named { name: "b".into(), bytes: b"b".to_vec() }]);
        assert!(read(&path.join("absent")).is_err());
    }
}
