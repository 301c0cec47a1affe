//! The ring: two single-producer single-consumer queues in memory that host and guest share, so that calls cross without an exit.
//!
//! ```text
//! offset   0x0000  how far the guest has consumed its queue (one word, written by the guest)
//!          0x0040  how far the host has consumed its queue (one word, written by the host)
//!          0x1000  64 cells of 64 bytes: host to guest
//!          0x2000  64 cells: guest to host
//!         0x10000  bulk: host to guest            0x100000  bulk: guest to host           0x1f0000  end
//!
//! cell     word 0   stamp: 1 + the cell's position since the ring began; written last, with release
//!          word 1   kind (8 bits) | outcome (8) | reserved (16) | ordinal (32)
//!          word 2   bytes in this piece (32) | call number (32)
//!          word 3   bytes in the whole message
//!          words 4–7  the piece, if it is no longer than 32 bytes
//! ```
//!
//! There are no head and tail words to bounce between two caches: a consumer waits for the stamp of the cell that comes next. A ring begins
//! with zeroed memory and with both ends of a queue new; from then on a stamp is never the same twice, so what an earlier lap left in a
//! cell is not taken for a message; and as every cell is one message piece, no payload can look like a stamp. A piece longer than 32
//! bytes lies in the bulk area of its direction, in the half that the cell's position selects (even: the first); a message longer than a
//! half is cut into pieces of whole halves, all but the last.
//!
//! # Order
//!
//! Each word and byte but two kinds of word has one writer at a time, and the two kinds hand it over:
//!
//! - The stamp hands a cell, and the half that it points to, to the consumer: everything is written before the stamp's release, and read
//!   after its acquire.
//! - The progress word hands them back. Its release comes after the consumer's last read, for a release keeps earlier loads before it as
//!   well as earlier stores; and the producer writes a place again only after an acquire that saw it given back. That is `CELLS` pieces
//!   later for a cell. For a half it is when at most one piece is not taken yet: that one is the piece just before, whose parity is the
//!   other, whatever lies in between in cells or in halves.
//!
//! # Distrust
//!
//! Neither side trusts the other: lengths are checked against the constants here before anything is copied, a piece is copied out once
//! and parsed from the copy, and whatever the other side writes meanwhile changes nothing but its own message. A progress word that
//! cannot be true means that there is no room. A message says its length in its first piece, and no piece but the last is short: whoever
//! receives it decides by [`Header::length`] before he takes anything, and knows how many pieces will come. Left to the caller: whether
//! this kind may come in this direction now, whether call number and length are acceptable, and how long to wait.

#[cfg(test)]
mod tests;

use core::sync::atomic::Ordering;

/// Bytes of the shared slot: one large page.
pub const RING_BYTES: u64 = 2 << 20;
/// Bytes at its start that hold words and cells: zero in an empty ring. The bulk areas follow.
pub const CONTROL_BYTES: u64 = 0x1_0000;
/// Model checkers, and Miri, get a ring that is full and wraps after few steps: other numbers, the same code.
const SMALL: bool = cfg!(any(loom, miri));
/// Cells of each direction.
pub const CELLS: u64 = if SMALL { 4 } else { 64 };
/// Bytes of a cell: a cache line.
pub const CELL_BYTES: u64 = 64;
/// The longest piece that travels in its cell.
pub const INLINE_BYTES: usize = 32;
/// Bytes of one half of a bulk area: the longest piece.
pub const PIECE_BYTES: usize = if SMALL { 48 } else { 0x7_8000 };

/// Where the words and areas of one direction are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The consumer's progress.
    consumed: u64,
    cells: u64,
    bulk: u64,
}

/// What the host writes and the guest reads.
pub const TO_GUEST: Direction = Direction { consumed: 0, cells: 0x1000, bulk: CONTROL_BYTES };
/// What the guest writes and the host reads.
pub const TO_HOST: Direction = Direction { consumed: 0x40, cells: 0x2000, bulk: 0x10_0000 };

const _: () = {
    assert!(CELLS >= 2 && CELLS.is_multiple_of(2), "two pieces can be in the halves at once");
    assert!(INLINE_BYTES < PIECE_BYTES && PIECE_BYTES.is_multiple_of(8), "a half begins with a word");
    assert!(32 + INLINE_BYTES as u64 == CELL_BYTES, "see the map above");
    assert!(TO_GUEST.cells + CELLS * CELL_BYTES <= TO_HOST.cells, "see the map above");
    assert!(TO_GUEST.bulk + 2 * PIECE_BYTES as u64 <= TO_HOST.bulk, "see the map above");
    assert!(TO_HOST.bulk + 2 * PIECE_BYTES as u64 <= RING_BYTES, "see the map above");
};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Host to guest: call the export of this ordinal.
    Call = 1,
    /// Guest to host: the outcome of the call of this number.
    Reply = 2,
    /// Guest to host: call the import of this ordinal.
    Import = 3,
    /// Host to guest: the import's result; its outcome is 0, or an errno.
    ImportReply = 4,
    /// Host to guest: leave the ring and call [`NEXT`](crate::call::NEXT).
    Leave = 5,
}

impl Kind {
    #[inline]
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Call,
            2 => Self::Reply,
            3 => Self::Import,
            4 => Self::ImportReply,
            5 => Self::Leave,
            _ => return None,
        })
    }
}

/// A message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// How a call went: for replies.
    pub outcome: u8,
    /// Which function: for calls.
    pub ordinal: u32,
    /// Which call this belongs to.
    pub number: u32,
    /// Bytes of payload in the whole message.
    pub length: u64,
}

/// The other side wrote something that no message looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A kind that does not exist.
    Kind(u8),
    /// A piece longer than a piece can be, or than what is left of its message.
    Length(u32),
    /// Pieces of one message that do not agree about it.
    Torn,
}

/// The shared memory, as one side sees it. Offsets are below [`RING_BYTES`], and ranges end there at the latest; an offset is a multiple
/// of 8.
///
/// The other side may write at any time, whatever the protocol says: words are atomics, and the copies are volatile or atomic and form no
/// reference into the memory. Copies keep their place between the `Acquire` before and the `Release` after them, as plain loads and stores
/// do; one that stores past the cache needs its own fence.
pub trait Memory {
    /// Loads a word; `Acquire` or `Relaxed`.
    fn load(&self, offset: u64, order: Ordering) -> u64;
    /// Stores a word; `Release` or `Relaxed`.
    fn store(&self, offset: u64, value: u64, order: Ordering);
    /// Copies bytes out: a piece of a bulk area.
    fn read(&self, offset: u64, to: &mut [u8]);
    /// Copies bytes in: a piece of a bulk area.
    fn write(&self, offset: u64, from: &[u8]);
}

impl<M: Memory + ?Sized> Memory for &M {
    #[inline]
    fn load(&self, offset: u64, order: Ordering) -> u64 {
        (**self).load(offset, order)
    }
    #[inline]
    fn store(&self, offset: u64, value: u64, order: Ordering) {
        (**self).store(offset, value, order);
    }
    #[inline]
    fn read(&self, offset: u64, to: &mut [u8]) {
        (**self).read(offset, to);
    }
    #[inline]
    fn write(&self, offset: u64, from: &[u8]) {
        (**self).write(offset, from);
    }
}

/// One side's end of the queue that it writes.
#[derive(Debug)]
pub struct Producer {
    direction: Direction,
    /// Cells written so far.
    position: u64,
    /// As much as the consumer was seen to have taken.
    consumed: u64,
}

impl Producer {
    /// The end of a queue that nothing was written to; the memory is zero.
    #[must_use]
    pub const fn new(direction: Direction) -> Self {
        Self { direction, position: 0, consumed: 0 }
    }

    /// Writes a message; `header.length` is ignored for `payload`'s. `wait` is called as long as there is no room, which may be for ever.
    ///
    /// # Errors
    /// What `wait` returns: the message is then cut short, and nothing more can be sent in this ring.
    #[inline]
    pub fn send<E>(
        &mut self,
        memory: &impl Memory,
        header: &Header,
        payload: &[u8],
        mut wait: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let header = Header { length: payload.len() as u64, ..*header };
        let mut rest = payload;
        loop {
            let (piece, tail) = rest.split_at_checked(PIECE_BYTES).unwrap_or((rest, &[]));
            while !self.has_room(memory, piece.len() > INLINE_BYTES) {
                wait()?;
            }
            self.publish(memory, &header, piece);
            rest = tail;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// True if the cell, and for bulk the half, that `position` selects was given back.
    #[inline]
    fn has_room(&mut self, memory: &impl Memory, bulk: bool) -> bool {
        let ahead = if bulk { 2 } else { CELLS };
        if self.position - self.consumed >= ahead {
            let seen = memory.load(self.direction.consumed, Ordering::Acquire);
            // What cannot be true is not believed: then there is no room, and the wait has an end of its own.
            if (self.consumed..=self.position).contains(&seen) {
                self.consumed = seen;
            }
        }
        self.position - self.consumed < ahead
    }

    #[inline]
    fn publish(&mut self, memory: &impl Memory, header: &Header, piece: &[u8]) {
        let cell = self.direction.cell(self.position);
        if piece.len() > INLINE_BYTES {
            memory.write(self.direction.half(self.position), piece);
        } else {
            store_inline(memory, cell + 32, piece);
        }
        let word = u64::from(header.kind as u8) | u64::from(header.outcome) << 8 | u64::from(header.ordinal) << 32;
        memory.store(cell + 8, word, Ordering::Relaxed);
        // A piece is no longer than a half, which 32 bits hold.
        memory.store(cell + 16, piece.len() as u64 | u64::from(header.number) << 32, Ordering::Relaxed);
        memory.store(cell + 24, header.length, Ordering::Relaxed);
        self.position += 1;
        memory.store(cell, self.position, Ordering::Release);
    }
}

/// A piece of a message that has arrived and was not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The message's header.
    pub header: Header,
    /// Where the piece begins in the message.
    pub offset: u64,
    /// Its bytes, at most [`PIECE_BYTES`].
    pub length: usize,
}

impl Piece {
    /// True if the message is whole with this piece.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.offset + self.length as u64 == self.header.length
    }
}

/// One side's end of the queue that it reads.
#[derive(Debug)]
pub struct Consumer {
    direction: Direction,
    /// Cells taken so far.
    position: u64,
    /// The message whose pieces are arriving, and how much of it was taken.
    unfinished: Option<(Header, u64)>,
}

impl Consumer {
    /// The end of a queue that nothing was read from.
    #[must_use]
    pub const fn new(direction: Direction) -> Self {
        Self { direction, position: 0, unfinished: None }
    }

    /// The piece that comes next, if it is there. [`take`](Self::take) takes it; asking again without finds it again.
    ///
    /// # Errors
    /// [`Malformed`]: the queue cannot be used any more.
    #[inline]
    pub fn poll(&self, memory: &impl Memory) -> Result<Option<Piece>, Malformed> {
        let cell = self.direction.cell(self.position);
        if memory.load(cell, Ordering::Acquire) != self.position + 1 {
            return Ok(None);
        }
        let [kind, outcome, _, _, o0, o1, o2, o3] = memory.load(cell + 8, Ordering::Relaxed).to_le_bytes();
        let [l0, l1, l2, l3, n0, n1, n2, n3] = memory.load(cell + 16, Ordering::Relaxed).to_le_bytes();
        let header = Header {
            kind: Kind::from_byte(kind).ok_or(Malformed::Kind(kind))?,
            outcome,
            ordinal: u32::from_le_bytes([o0, o1, o2, o3]),
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            length: memory.load(cell + 24, Ordering::Relaxed),
        };
        let said = u32::from_le_bytes([l0, l1, l2, l3]);
        let length = usize::try_from(said).unwrap_or(usize::MAX);
        let offset = match self.unfinished {
            None => 0,
            Some((first, done)) if first == header => done,
            Some(_) => return Err(Malformed::Torn),
        };
        let left = header.length - offset;
        // A piece is all that is left of its message, or as long as pieces get: a message has an end.
        if length as u64 != left.min(PIECE_BYTES as u64) {
            return Err(Malformed::Length(said));
        }
        Ok(Some(Piece { header, offset, length }))
    }

    /// Copies the piece that [`poll`](Self::poll) just found out and gives its place back. `to` is as long as the piece: the rest of a
    /// longer one is left alone, and a shorter one gets nothing, which is how a piece is thrown away.
    #[inline]
    pub fn take(&mut self, memory: &impl Memory, piece: &Piece, to: &mut [u8]) {
        if let Some(to) = to.get_mut(..piece.length) {
            if to.len() > INLINE_BYTES {
                memory.read(self.direction.half(self.position), to);
            } else {
                load_inline(memory, self.direction.cell(self.position) + 32, to);
            }
        }
        self.unfinished = if piece.is_last() { None } else { Some((piece.header, piece.offset + piece.length as u64)) };
        self.position += 1;
        memory.store(self.direction.consumed, self.position, Ordering::Release);
    }
}

impl Direction {
    #[inline]
    const fn cell(self, position: u64) -> u64 {
        self.cells + position % CELLS * CELL_BYTES
    }

    #[inline]
    const fn half(self, position: u64) -> u64 {
        self.bulk + position % 2 * PIECE_BYTES as u64
    }
}

/// Words, not a copy of bytes: for so few a call of the C library's costs more than the copying.
#[inline]
fn store_inline(memory: &impl Memory, start: u64, piece: &[u8]) {
    let (words, tail) = piece.as_chunks();
    let mut offset = start;
    for word in words {
        memory.store(offset, u64::from_le_bytes(*word), Ordering::Relaxed);
        offset += 8;
    }
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        memory.store(offset, word, Ordering::Relaxed);
    }
}

#[inline]
fn load_inline(memory: &impl Memory, start: u64, to: &mut [u8]) {
    let (words, tail) = to.as_chunks_mut();
    let mut offset = start;
    for word in words {
        *word = memory.load(offset, Ordering::Relaxed).to_le_bytes();
        offset += 8;
    }
    if !tail.is_empty() {
        let mut rest = memory.load(offset, Ordering::Relaxed);
        for byte in tail {
            [*byte, ..] = rest.to_le_bytes();
            rest >>= 8;
        }
    }
}
