//! Files as bytes and back: nothing that a program can see is lost, and nothing comes in that no program could have made.

use proptest::prelude::*;

use super::model::{CHOICE, LIMIT, QUOTA};
use super::operations::{World, operations};
use super::*;
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

mod forgeries;

fn written(files: &Files) -> Vec<u8> {
    let mut writer = Writer::new();
    files.encode(&mut writer);
    writer.into_bytes()
}

fn read(bytes: &[u8], quota: Quota, open_files: u16) -> Result<Files, StateError> {
    let mut reader = Reader::new(bytes);
    let files = Files::decode(&mut reader, quota, open_files)?;
    reader.finish()?;
    files.assert_sound();
    Ok(files)
}

/// The same files, from their bytes.
fn again(files: &Files) -> Files {
    let bytes = written(files);
    let read = read(&bytes, files.tree.quota(), DEFAULT_OPEN_FILES).unwrap();
    assert_eq!(written(&read), bytes);
    assert_eq!((&read.tree, read.current, read.umask), (&files.tree, files.current, files.umask));
    read
}

/// Files in every state that is not the ordinary one: open and unlinked, a current directory that is removed with its parent, shared
/// descriptions, a listing in the middle.
fn unusual() -> Files {
    let mut files = files();
    files.set_umask(0o077);
    for path in ["p", "p/q", "p/q/r"] {
        files.mkdir_at(AT_FDCWD, path.as_bytes(), 0o700).unwrap();
    }
    assert_eq!(files.open_here("f", O_RDWR | O_APPEND | O_CLOEXEC), Ok(3));
    assert_eq!(files.read_some(3, 2), Ok(b"he".to_vec()));
    assert_eq!(files.fcntl(3, F_DUPFD, 20), Ok(20));
    assert_eq!(files.open_here("d", O_DIRECTORY), Ok(4));
    files.listed(4, 2).unwrap();
    assert_eq!(files.open_here("/dev/urandom", O_NONBLOCK), Ok(5));
    assert_eq!(files.dup2(5, 2), Ok(2));
    files.close(1).unwrap();
    files.unlink_at(AT_FDCWD, b"f", 0).unwrap();
    files.unlink_at(AT_FDCWD, b"/dev/urandom", 0).unwrap();
    assert_eq!(files.pipe(O_NONBLOCK), Ok([1, 6]));
    let Ok(Object::Pipe(pipe)) = files.object(1) else { panic!("{:?}", files.object(1)) };
    files.pipe_append(pipe, b"in the pipe").unwrap();
    assert_eq!(files.open_here("lf", O_PATH | O_NOFOLLOW), Ok(7));
    files.unlink_at(AT_FDCWD, b"lf", 0).unwrap();
    files.chdir(b"p/q/r").unwrap();
    for path in ["/tmp/p/q/r", "/tmp/p/q", "/tmp/p"] {
        files.unlink_at(AT_FDCWD, path.as_bytes(), AT_REMOVEDIR).unwrap();
    }
    files
}

#[test]
fn new_files_are_the_same_files_after_the_way_through_bytes() {
    let files = Files::new(Quota::default(), DEFAULT_OPEN_FILES);
    assert_eq!(again(&files), files);
    let nothing = Files::new(Quota { bytes: 0, inodes: 0 }, DEFAULT_OPEN_FILES);
    assert_eq!(again(&nothing), nothing);
}

#[test]
fn an_unlinked_file_stays_open_with_its_contents_offset_and_flags() {
    let mut files = again(&unusual());
    assert_eq!(files.stat(3).unwrap().nlink, 0);
    assert_eq!(files.read_some(3, 9), Ok(b"llo".to_vec()));
    assert_eq!(files.fcntl(3, F_GETFL, 0), Ok((O_RDWR | O_APPEND | O_LARGEFILE).cast_signed()));
    assert_eq!((files.fcntl(3, F_GETFD, 0), files.fcntl(20, F_GETFD, 0)), (Ok(1), Ok(0)));
}

#[test]
fn a_pipe_keeps_what_is_in_it_and_a_place_that_lost_its_name_is_the_same() {
    let mut files = again(&unusual());
    let Ok(Object::Pipe(pipe)) = files.object(6) else { panic!("{:?}", files.object(6)) };
    files.pipe_append(pipe, b" and more").unwrap();
    assert_eq!(files.pipe_peek(pipe, 99), Ok(b"in the pipe and more".to_vec()));
    assert_eq!(*files.readlink_at(7, b"").unwrap(), *b"f");
    files.close(1).unwrap();
    assert!(!files.pipe_state(pipe).unwrap().has_readers);
}

#[test]
fn duplicates_still_share_their_offset() {
    let mut files = again(&unusual());
    assert_eq!(files.lseek(3, 1, SEEK_SET), Ok(1));
    assert_eq!(files.lseek(20, 0, SEEK_CUR), Ok(1));
    assert_eq!(files.object(2), files.object(5));
}

#[test]
fn a_removed_current_directory_leads_up_and_goes_when_it_is_left() {
    let mut files = again(&unusual());
    assert_eq!(files.getcwd(), Err(Errno::NOENT));
    let before = files.tree.left().inodes;
    files.chdir(b"../../..").unwrap();
    assert_eq!(files.getcwd(), Ok(b"/tmp".to_vec()));
    assert_eq!(files.tree.left().inodes, before + 3);
    files.assert_sound();
}

#[test]
fn what_was_only_held_open_gives_its_quota_back_when_it_is_closed() {
    let mut files = again(&unusual());
    let before = files.tree.left();
    files.close(3).unwrap();
    assert_eq!(files.tree.left(), before);
    files.close(20).unwrap();
    assert_eq!(files.tree.left(), Quota { bytes: before.bytes + 5, inodes: before.inodes + 1 });
    files.assert_sound();
}

#[test]
fn a_listing_goes_on_where_it_stopped() {
    let files = again(&unusual());
    assert_eq!(files.list(4).unwrap().map(|entry| entry.name.to_vec()).collect::<Vec<_>>(), [b"g"]);
}

#[test]
fn numbers_that_were_given_out_are_not_given_out_again() {
    let mut files = files();
    let open = |files: &mut Files| {
        let opened = files.open_here("x", O_CREAT | O_RDWR).unwrap();
        let inode = files.stat(opened).unwrap().ino;
        files.close(opened).unwrap();
        files.unlink_at(AT_FDCWD, b"x", 0).unwrap();
        inode
    };
    let first = open(&mut files);
    assert!(open(&mut again(&files)) > first);
}

#[test]
fn equal_files_are_equal_bytes_however_they_came_about() {
    let (mut long, mut short) = (unusual(), unusual());
    // Descriptions are numbered as they are opened, which nobody can see.
    for _ in 0..9 {
        let opened = long.open_here("/tmp/d", 0).unwrap();
        long.close(opened).unwrap();
    }
    assert_eq!(long.dup(4), short.dup(4));
    assert_eq!(written(&long), written(&short));
}

#[test]
fn what_needs_more_than_the_loader_grants_is_told_with_both_numbers() {
    let files = files();
    let Quota { bytes, inodes } = files.tree.left();
    let needed = Quota { bytes: (16 << 20) - bytes, inodes: 4096 - inodes };
    let (bytes, full) = (written(&files), needed);
    assert!(read(&bytes, full, DEFAULT_OPEN_FILES).is_ok());
    let small = Quota { bytes: needed.bytes - 1, ..full };
    let error = StateError::FileBytes { needed: needed.bytes as u64, quota: small.bytes as u64 };
    assert_eq!(read(&bytes, small, DEFAULT_OPEN_FILES), Err(error));
    let few = Quota { inodes: needed.inodes - 1, ..full };
    let error = StateError::FileCount { needed: needed.inodes as u64, quota: few.inodes as u64 };
    assert_eq!(read(&bytes, few, DEFAULT_OPEN_FILES), Err(error));
    let bytes = written(&unusual());
    assert!(read(&bytes, Quota::default(), 21).is_ok());
    assert_eq!(read(&bytes, Quota::default(), 20), Err(StateError::OpenFiles { descriptor: 20, limit: 20 }));
}

#[test]
fn the_limits_that_apply_afterwards_are_the_loaders() {
    let bytes = written(&unusual());
    let mut files = read(&bytes, Quota { bytes: 70_000, inodes: 32 }, 21).unwrap();
    assert_eq!(files.tree.quota(), Quota { bytes: 70_000, inodes: 32 });
    assert_eq!(files.dup2(3, 21), Err(Errno::BADF));
    assert_eq!(files.fcntl(3, F_DUPFD, 20), Err(Errno::MFILE));
}

#[test]
fn the_three_streams_are_accepted_whatever_the_limit() {
    let files = Files::new(Quota::default(), 0);
    assert_eq!(read(&written(&files), Quota::default(), 0), Ok(files));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = written(&unusual());
    for length in 0..bytes.len() {
        let error = read(&bytes[..length], Quota::default(), DEFAULT_OPEN_FILES).unwrap_err();
        assert!(matches!(error, StateError::Wire(_)), "{length}: {error}");
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_makes_other_files_that_are_as_sound() {
    let mut bytes = written(&unusual());
    let mut accepted = 0;
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(files) = read(&bytes, Quota::default(), DEFAULT_OPEN_FILES) {
            assert_eq!(written(&files), bytes, "bit {bit}");
            accepted += 1;
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // Contents, names, permissions, offsets: not everything is an invariant.
    assert!(accepted > 0 && accepted < bytes.len() * 4, "{accepted} of {}", bytes.len() * 8);
}

proptest! {
    #[test]
    fn whatever_was_done_the_files_that_are_read_go_on_as_those_that_were_written(
        before in operations(CHOICE, 80),
        after in operations(CHOICE, 40),
    ) {
        let limit = u16::try_from(LIMIT).unwrap();
        let mut files = Files::new(QUOTA, limit);
        for operation in &before {
            let _ = files.apply(operation);
        }
        let bytes = written(&files);
        let mut loaded = read(&bytes, QUOTA, limit).unwrap();
        prop_assert_eq!(written(&loaded), bytes);
        for operation in &after {
            prop_assert_eq!(loaded.apply(operation), files.apply(operation), "{:?}", operation);
        }
        loaded.assert_sound();
        prop_assert_eq!(written(&loaded), written(&files));
    }

    #[test]
    fn bytes_that_are_changed_anywhere_are_refused_or_written_again_as_they_are(
        before in operations(CHOICE, 40),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![0_u8..12, any::<u8>()]), 1..4),
    ) {
        let limit = u16::try_from(LIMIT).unwrap();
        let mut files = Files::new(QUOTA, limit);
        for operation in &before {
            let _ = files.apply(operation);
        }
        let mut bytes = written(&files);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(mut loaded) = read(&bytes, QUOTA, limit) {
            prop_assert_eq!(written(&loaded), bytes);
            for operation in &before {
                let _ = loaded.apply(operation);
            }
            loaded.assert_sound();
            prop_assert!(read(&written(&loaded), QUOTA, limit).is_ok());
        }
    }
}
