//! Files that nobody thought of: what the fuzz target does, for a while.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        load_anything(&bytes);
        let mut file = example()[..20].to_vec();
        file.extend_from_slice(&bytes);
        if file.len() >= 24 {
            load_anything(&sealed(file));
        }
    }

    #[test]
    fn no_change_of_a_file_is_too_strange(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, prop::collection::vec(any::<u8>(), 0..40)), 1..4)
    ) {
        let mut file = example();
        for (at, removed, bytes) in changes {
            let at = 20 + at.index(file.len() - 24);
            let end = (at + removed).min(file.len() - 4);
            file.splice(at..end, bytes);
        }
        load_anything(&sealed(file));
    }
}
