//! What a payload's memory held at some time: pages that are shared with the images before and after it.
//!
//! ```text
//! Image    chunk 0    chunk 1   chunk 2         a chunk is 64 pages: one word of a dirty log
//!            │          none       │            an image that differs in a few pages copies their chunks' pointers
//!            ▼        (zeros)      ▼            and holds new pages for these alone; a copy shares all of it
//!          page page none …      page …         no page: zeros
//! ```

use std::fmt;
use std::sync::Arc;

use crate::vm::memory::PAGE_BYTES;

/// Pages in a chunk.
pub(crate) const CHUNK_PAGES: usize = 64;

/// A page's content.
pub(crate) struct PageContent(pub(crate) [u8; PAGE_BYTES]);

impl fmt::Debug for PageContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageContent").finish_non_exhaustive()
    }
}

type Chunk = [Option<Arc<PageContent>>; CHUNK_PAGES];

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    chunks: Arc<Vec<Option<Arc<Chunk>>>>,
}

impl Image {
    /// What a page holds; none is zeros.
    #[inline]
    pub(crate) fn page(&self, chunk: usize, page: usize) -> Option<&[u8; PAGE_BYTES]> {
        let content = self.chunks.get(chunk)?.as_ref()?.get(page)?.as_ref()?;
        Some(&content.0)
    }

    /// Sets what a page holds.
    pub(crate) fn set(&mut self, chunk: usize, page: usize, content: Option<Arc<PageContent>>) {
        if chunk >= self.chunks.len() {
            if content.is_none() {
                return;
            }
            Arc::make_mut(&mut self.chunks).resize(chunk + 1, None);
        }
        let Some(place) = Arc::make_mut(&mut self.chunks).get_mut(chunk) else { return };
        let pages = Arc::make_mut(place.get_or_insert_with(|| Arc::new([const { None }; CHUNK_PAGES])));
        if let Some(place) = pages.get_mut(page) {
            *place = content;
        }
    }

    /// The pages that two images do not share: chunks, and a bit for each page. What they share is equal; what they do not may be.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (usize, u64)> + 'a {
        let are_one = Arc::ptr_eq(&self.chunks, &other.chunks);
        let chunks = if are_one { 0 } else { self.chunks.len().max(other.chunks.len()) };
        (0..chunks).filter_map(move |index| {
            let [ours, theirs] = [self, other].map(|image| image.chunks.get(index).and_then(Option::as_ref));
            let bits = match (ours, theirs) {
                (None, None) => 0,
                (Some(ours), Some(theirs)) if Arc::ptr_eq(ours, theirs) => 0,
                (Some(ours), Some(theirs)) => bits(ours.iter().zip(theirs.iter()).map(|pages| match pages {
                    (Some(ours), Some(theirs)) => !Arc::ptr_eq(ours, theirs),
                    (None, None) => false,
                    _ => true,
                })),
                (Some(only), None) | (None, Some(only)) => bits(only.iter().map(Option::is_some)),
            };
            (bits != 0).then_some((index, bits))
        })
    }

    /// How many pages are not zeros.
    pub(crate) fn count(&self) -> u64 {
        self.pages().count() as u64
    }

    /// The pages that are not zeros, by their index in the slot.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &[u8; PAGE_BYTES])> + '_ {
        self.chunks.iter().enumerate().flat_map(|(index, chunk)| {
            let first = index as u64 * CHUNK_PAGES as u64;
            let pages = chunk.iter().flat_map(|pages| pages.iter());
            (first..).zip(pages).filter_map(|(number, page)| page.as_ref().map(|page| (number, &page.0)))
        })
    }
}

fn bits(pages: impl Iterator<Item = bool>) -> u64 {
    pages.zip(0..64).fold(0, |bits, (set, bit)| bits | u64::from(set) << bit)
}

/// The bits of a word that are set, by their number.
pub(crate) fn ones(word: u64) -> impl Iterator<Item = usize> {
    let mut left = word;
    std::iter::from_fn(move || {
        let lowest = left.trailing_zeros();
        left &= left.wrapping_sub(1);
        usize::try_from(lowest).ok().filter(|&lowest| lowest < CHUNK_PAGES)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8) -> Option<Arc<PageContent>> {
        Some(Arc::new(PageContent([byte; PAGE_BYTES])))
    }

    #[test]
    fn images_share_what_they_do_not_change() {
        let mut first = Image::default();
        first.set(0, 3, content(1));
        first.set(2, 63, content(2));
        let mut second = first.clone();
        assert_eq!(first.differing(&second).count(), 0);
        second.set(2, 0, content(3));
        second.set(5, 1, content(4));
        second.set(9, 1, None);
        assert_eq!(first.differing(&second).collect::<Vec<_>>(), [(2, 1), (5, 2)]);
        assert_eq!(first.page(2, 0), None);
        assert_eq!(second.page(2, 0).map(|page| page[0]), Some(3));
        assert_eq!(
            second.pages().map(|(number, page)| (number, page[0])).collect::<Vec<_>>(),
            [(3, 1), (128, 3), (191, 2), (321, 4)]
        );
    }

    #[test]
    fn a_words_ones_are_found_in_order() {
        assert_eq!(ones(1 | 1 << 5 | 1 << 63).collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!(ones(0).count(), 0);
    }
}
