//! Whether files are as calls leave them: what tests and fuzzing ask after each.

use super::{Files, Location};

impl Files {
    /// Whether nothing is leaked, and everything is counted.
    pub(in crate::linux) fn assert_account(&self) {
        self.tree.assert_account(|inode| self.current == Location::Tree(inode) || self.descriptors.hold(inode));
    }

    /// Whether everything is as calls leave it, wherever it came from.
    pub(in crate::linux) fn assert_sound(&self) {
        self.assert_account();
        self.tree.assert_sound();
        self.descriptors.assert_sound();
        self.assert_interests();
        assert!(self.umask <= 0o777);
        if let Location::Tree(current) = self.current {
            assert!(self.tree.directory(current).is_ok());
        }
    }
}
