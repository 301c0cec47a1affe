//! What guests may still add to a directory. One account for everybody who uses it, so that neither a restore nor a new run starts it
//! anew.
//!
//! A file's bytes come back when the file goes: with its last name, or, if a guest has it open then, with the last descriptor. They come back
//! to the account through which that name was removed, and to no other: two may be about the same directory.

use std::collections::HashMap;

use rustix::fs::Stat;
use rustix::io::Errno;

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// What is left, and which files are open.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) bytes: u64,
    pub(super) names: u64,
    open: HashMap<Identity, Open>,
}

/// A file that is open.
#[derive(Debug, Default)]
struct Open {
    /// By how many descriptors.
    count: usize,
    /// Its last name was removed through this account.
    is_removed: bool,
}

/// How a file is known as long as it is there.
pub(super) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// A file's length.
pub(super) fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

impl Account {
    pub(super) fn new(bytes: u64, names: u64) -> Self {
        Self { bytes, names, open: HashMap::new() }
    }

    /// Pays for a name.
    ///
    /// # Errors
    /// `ENOSPC` if none is left.
    pub(super) fn add_name(&mut self) -> Result<(), Errno> {
        self.names = self.names.checked_sub(1).ok_or(Errno::NOSPC)?;
        Ok(())
    }

    /// A name is gone, or did not come to be.
    pub(super) fn remove_name(&mut self) {
        self.names = self.names.saturating_add(1);
    }

    /// The end of a write of `count` bytes at `start` into a file of `size` that the account can bear; `start` or less if none.
    pub(super) fn reach(&self, size: u64, start: u64, count: u64) -> u64 {
        start.saturating_add(count).min(size.saturating_add(self.bytes))
    }

    /// A file was `old` bytes long and is `new` bytes long now.
    pub(super) fn resized(&mut self, old: u64, new: u64) {
        self.bytes = self.bytes.saturating_sub(new.saturating_sub(old)).saturating_add(old.saturating_sub(new));
    }

    /// A descriptor leads to the file.
    pub(super) fn opened(&mut self, file: Identity) {
        self.open.entry(file).or_default().count += 1;
    }

    /// A descriptor less leads to the file; `stat` is what it was last.
    pub(super) fn closed(&mut self, file: Identity, stat: Option<&Stat>) {
        let Some(open) = self.open.get_mut(&file) else { return };
        open.count = open.count.saturating_sub(1);
        if open.count > 0 {
            return;
        }
        let is_removed = open.is_removed;
        self.open.remove(&file);
        if let Some(gone) = stat.filter(|stat| is_removed && stat.st_nlink == 0) {
            self.resized(length(gone), 0);
        }
    }

    /// A name of what `stat` was, while this account was held, is gone.
    pub(super) fn unlinked(&mut self, stat: &Stat) {
        self.remove_name();
        if stat.st_nlink > 1 || !is_file(stat) {
            return;
        }
        match self.open.get_mut(&identity(stat)) {
            Some(open) => open.is_removed = true,
            None => self.resized(length(stat), 0),
        }
    }
}

fn is_file(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_reaches_as_far_as_the_account_bears() {
        let account = Account::new(10, 0);
        assert_eq!(account.reach(100, 0, 50), 50, "inside the file it costs nothing");
        assert_eq!(account.reach(100, 90, 20), 110);
        assert_eq!(account.reach(100, 90, 21), 110, "and no further");
        assert!(account.reach(100, 200, 5) <= 200, "a hole costs what it makes the file longer by");
        assert_eq!(account.reach(0, 0, u64::MAX), 10);
        assert!(account.reach(u64::MAX, u64::MAX, 1) == u64::MAX);
    }

    #[test]
    fn what_is_cut_off_or_removed_can_be_written_again() {
        let mut account = Account::new(10, 1);
        account.resized(0, 10);
        assert_eq!(account.bytes, 0);
        account.resized(10, 4);
        assert_eq!(account.bytes, 6);
        account.add_name().unwrap();
        assert_eq!(account.add_name(), Err(Errno::NOSPC));
        account.remove_name();
        account.add_name().unwrap();
    }
}
