//! ChaCha20 (RFC 8439) as a stream of random bytes that is the same whenever its key is.
//!
//! ```text
//! key │ bytes taken so far          the whole state: a copy of it goes on with the same bytes
//!        └ / 64 ► block's counter   └ % 64 ► how much of that block is gone
//! ```
//! The counter has 64 bits, as in the cipher's first form: with the RFC's 32 and a nonce of zeros the stream would be over after 256 GiB,
//! and up to there both are the same. A block is made anew for every request, however small: that is less than the exit that the request
//! costs.

/// Bytes of a block.
const BLOCK: u64 = 64;
/// "expand 32-byte k", RFC 8439, section 2.3.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// A row of the state, which is four words square.
type Row = [u32; 4];

/// A stream of random bytes, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    key: [Row; 2],
    taken: u64,
}

impl Stream {
    /// The stream of a key, once so many bytes of it are taken.
    pub(crate) fn after(key: [Row; 2], taken: u64) -> Self {
        Self { key, taken }
    }

    /// Its key.
    pub(crate) fn key(&self) -> [Row; 2] {
        self.key
    }

    /// How many bytes of it are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes.
    pub(crate) fn fill(&mut self, buf: &mut [u8]) {
        let mut rest = buf;
        while !rest.is_empty() {
            let [low, high] = halves(self.taken / BLOCK);
            let block = block(self.key, [low, high, 0, 0]);
            let gone = usize::try_from(self.taken % BLOCK).unwrap_or(0);
            let left = block.get(gone..).unwrap_or_default();
            let (piece, later) = rest.split_at_mut(left.len().min(rest.len()));
            piece.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
            self.taken = self.taken.wrapping_add(piece.len() as u64);
            rest = later;
        }
    }
}

/// The low and the high half of a word.
pub(crate) fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// The block function, section 2.3: `last` is counter and nonce.
fn block(key: [Row; 2], last: Row) -> [u8; 64] {
    let [low, high] = key;
    let start = [CONSTANTS, low, high, last];
    let mut state = start;
    for _ in 0..10 {
        quarter_rounds(&mut state);
        // Turned by their numbers, the rows have the diagonals in their columns.
        for (by, row) in state.iter_mut().enumerate() {
            row.rotate_left(by);
        }
        quarter_rounds(&mut state);
        for (by, row) in state.iter_mut().enumerate() {
            row.rotate_right(by);
        }
    }
    let words = state.iter().flatten().zip(start.iter().flatten()).map(|(a, b)| a.wrapping_add(*b));
    let mut bytes = [0; 64];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

/// The quarter round of section 2.1 on each of the four columns.
fn quarter_rounds([a, b, c, d]: &mut [Row; 4]) {
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        for (first, second) in [(16, 12), (8, 7)] {
            *a = a.wrapping_add(*b);
            *d = (*d ^ *a).rotate_left(first);
            *c = c.wrapping_add(*d);
            *b = (*b ^ *c).rotate_left(second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn a_quarter_round_is_that_of_the_rfc() {
        let mut state = [[0x1111_1111; 4], [0x0102_0304; 4], [0x9b8d_6f43; 4], [0x0123_4567; 4]];
        quarter_rounds(&mut state);
        assert_eq!(state, [[0xea2a_92f4; 4], [0xcb1c_f8ce; 4], [0x4581_472e; 4], [0x5881_c4bb; 4]]);
    }

    #[test]
    fn a_block_is_that_of_the_rfc() {
        let key = [
            [0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c],
            [0x1312_1110, 0x1716_1514, 0x1b1a_1918, 0x1f1e_1d1c],
        ];
        // Section 2.3.2.
        let expected = bytes(
            "10 f1 e7 e4 d1 3b 59 15 50 0f dd 1f a3 20 71 c4 c7 d1 f4 c7 33 c0 68 03 04 22 aa 9a c3 d4 6c 4e
             d2 82 64 46 07 9f aa 09 14 c2 d7 05 d9 8b 02 a2 b5 12 9c d1 de 16 4e b9 cb d0 83 e8 a2 50 3c 4e",
        );
        assert_eq!(block(key, [1, 0x0900_0000, 0x4a00_0000, 0]).as_slice(), expected);
    }

    #[test]
    fn a_stream_is_the_blocks_of_the_rfc_one_after_the_other() {
        // Appendix A.1, test vectors 1 and 2: all zeros, counters 0 and 1.
        let expected = bytes(
            "76 b8 e0 ad a0 f1 3d 90 40 5d 6a e5 53 86 bd 28 bd d2 19 b8 a0 8d ed 1a a8 36 ef cc 8b 77 0d c7
             da 41 59 7c 51 57 48 8d 77 24 e0 3f b8 d8 4a 37 6a 43 b8 f4 15 18 a1 1c c3 87 b6 69 b2 ee 65 86
             9f 07 e7 be 55 51 38 7a 98 ba 97 7c 73 2d 08 0d cb 0f 29 a0 48 e3 65 69 12 c6 53 3e 32 ee 7a ed
             29 b7 21 76 9c e6 4e 43 d5 71 33 b0 74 d8 39 d5 31 ed 1f 28 51 0a fb 45 ac e1 0a 1f 4b 79 4d 6f",
        );
        let mut whole = [0; 128];
        Stream::after([[0; 4]; 2], 0).fill(&mut whole);
        assert_eq!(whole.as_slice(), expected);
    }

    #[test]
    fn a_stream_is_the_same_in_pieces_and_goes_on_in_a_copy() {
        let key = [[1, 2, 3, 4], [5, 6, 7, 8]];
        let mut whole = [0; 1000];
        Stream::after(key, 0).fill(&mut whole);
        let mut pieces = Stream::after(key, 0);
        let mut at = 0;
        for size in [0, 1, 3, 60, 64, 65, 127, 128, 200, 352] {
            let mut copy = pieces.clone();
            let (mut piece, mut same) = (vec![0; size], vec![0; size]);
            pieces.fill(&mut piece);
            copy.fill(&mut same);
            assert_eq!(piece, whole[at..at + size], "{size} bytes at {at}");
            assert_eq!(same, piece);
            at += size;
        }
        assert_eq!(at, whole.len());
    }

    #[test]
    fn the_counter_goes_on_in_its_second_word() {
        let mut stream = Stream::after([[9; 4]; 2], (1 << 32) * BLOCK);
        let mut next = [0; 64];
        stream.fill(&mut next);
        assert_eq!(next, block([[9; 4]; 2], [0, 1, 0, 0]));
    }
}
