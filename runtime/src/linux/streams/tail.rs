//! The end of what a program wrote: enough to see why it failed, bounded whatever it writes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes that are kept.
const KEPT: usize = 4096;

/// The last bytes of a stream, for whoever reports about the program, on whatever thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedTail(Arc<Mutex<VecDeque<u8>>>);

impl SharedTail {
    pub(super) fn push(&self, bytes: &[u8]) {
        let (_, last) = bytes.split_at(bytes.len().saturating_sub(KEPT));
        let mut kept = self.0.lock();
        let excess = (kept.len() + last.len()).saturating_sub(KEPT);
        kept.drain(..excess);
        kept.extend(last);
    }

    /// Forgets what was kept.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    /// What was kept, as text.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock();
        let (front, back) = kept.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_however_they_come() {
        let tail = SharedTail::default();
        tail.push(&[b'a'; 3 * KEPT]);
        assert_eq!(tail.text(), "a".repeat(KEPT));
        tail.push(b"end");
        assert_eq!(tail.text().len(), KEPT);
        assert!(tail.text().ends_with("aaend"));
        tail.clear();
        tail.push(b"x");
        assert_eq!(tail.text(), "x");
    }
}
