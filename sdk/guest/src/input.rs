//! Where arguments arrive: a buffer that is as long as the longest so far, and is never zeroed twice.

/// The receive buffer.
pub(crate) enum Input<'a> {
    #[cfg(feature = "alloc")]
    Growing(alloc::vec::Vec<u8>),
    Fixed(&'a mut [u8]),
}

impl Input<'_> {
    /// All of it.
    #[inline]
    pub(crate) fn whole(&mut self) -> &mut [u8] {
        match self {
            #[cfg(feature = "alloc")]
            Self::Growing(bytes) => bytes,
            Self::Fixed(bytes) => bytes,
        }
    }

    /// Its beginning: what has arrived.
    #[inline]
    pub(crate) fn arrived(&self, length: usize) -> &[u8] {
        let whole: &[u8] = match self {
            #[cfg(feature = "alloc")]
            Self::Growing(bytes) => bytes,
            Self::Fixed(bytes) => bytes,
        };
        whole.get(..length).unwrap_or(whole)
    }

    /// Room for a message of this length; `None` if there cannot be any. What has arrived stays.
    #[inline]
    pub(crate) fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        match self {
            #[cfg(feature = "alloc")]
            Self::Growing(bytes) => {
                if bytes.len() < length {
                    bytes.try_reserve(length - bytes.len()).ok()?;
                    bytes.resize(bytes.capacity(), 0);
                }
                bytes.get_mut(..length)
            }
            Self::Fixed(bytes) => bytes.get_mut(..length),
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_the_longest_message_and_keeps_what_has_arrived() {
        let mut input = Input::Growing(vec![7; 10]);
        assert_eq!(input.room(1000).map(|room| room.len()), Some(1000));
        assert!(input.whole().len() >= 1000 && input.arrived(10) == [7; 10]);
        let length = input.whole().len();
        assert!(input.room(5).is_some() && input.whole().len() == length);
        assert!(input.room(usize::MAX).is_none());
    }

    #[test]
    fn a_fixed_one_has_the_room_that_it_has() {
        let mut buffer = [0; 8];
        let mut input = Input::Fixed(&mut buffer);
        assert!(input.room(8).is_some() && input.room(9).is_none());
    }
}
