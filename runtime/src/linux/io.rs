//! Reading and writing: `read` and `write` in all their forms.
//!
//! Bytes move in pieces of bounded size through one buffer of the host's, whatever size the program names, and the run's limits are
//! looked at between pieces.

use rustix::io::Errno;

use super::files::abi::{F_GETFL, O_NONBLOCK};
use super::files::{Files, INPUT, OUTPUT, Object, Sink, Source, Stream};
use super::poll::POLLIN;
use super::reply::{Refusal, Reply};
use super::sources::Supply;
use super::user::{MAX_TRANSFER, Span};
use super::{Kernel, descriptor};
use crate::vm::clock::Nanos;
use crate::vm::parked::Done;

/// Bytes moved at a time.
const PIECE: usize = 64 << 10;

/// Where in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At the offset, which moves.
    Offset,
    /// Here; the offset stays.
    Position(i64),
}

impl At {
    fn source(self, files: &Files, fd: i32, limit: usize) -> Result<Source<'_>, Errno> {
        match self {
            Self::Offset => files.read(fd, limit),
            Self::Position(position) => files.read_at(fd, position, limit),
        }
    }

    /// `pread` and `pwrite`: a negative position is refused by the file layer.
    pub(super) fn position(value: u64) -> Self {
        Self::Position(i64::from_le_bytes(value.to_le_bytes()))
    }
}

impl Kernel<'_> {
    /// Reads into the program's ranges, one after the other.
    pub(super) fn read_spans(&mut self, fd: i32, spans: &[Span], at: At) -> Reply {
        // A descriptor that cannot be read is an error even if nothing is asked for.
        match at.source(&self.process.files, fd, 1)? {
            Source::Stream(_) => return self.read_stream(fd, spans),
            Source::Pipe(pipe) => {
                let manner = self.manner(fd)?;
                return self.read_pipe(manner, pipe, spans);
            }
            Source::Counter(counter) => return self.read_counter(fd, counter, spans),
            _ => {}
        }
        self.move_pieces(fd, spans, at, |kernel, fd, address, piece, at, _| kernel.read_piece(fd, address, piece, at))
    }

    /// Writes the program's ranges, one after the other.
    pub(super) fn write_spans(&mut self, fd: i32, spans: &[Span], at: At) -> Reply {
        match self.sink(fd, at)? {
            Sink::Pipe(pipe) => {
                let manner = self.manner(fd)?;
                return self.write_pipe(manner, pipe, spans);
            }
            Sink::Counter(counter) => return self.write_counter(fd, counter, spans),
            _ => {}
        }
        self.move_pieces(fd, spans, at, Self::write_piece)
    }

    /// `preadv2` and `pwritev2`: a position of -1 is the offset. None of the flags is known.
    pub(super) fn sys_vectors2(&mut self, writes: bool, [fd, address, count, position, _, flags]: [u64; 6]) -> Reply {
        if flags != 0 {
            return Err(Errno::OPNOTSUPP.into());
        }
        let spans = self.read_vectors(address, count)?;
        let at = if position == u64::MAX { At::Offset } else { At::position(position) };
        if writes { self.write_spans(descriptor(fd), &spans, at) } else { self.read_spans(descriptor(fd), &spans, at) }
    }

    /// Moves the ranges piece by piece, until one comes out short or is refused.
    fn move_pieces(
        &mut self,
        fd: i32,
        spans: &[Span],
        mut at: At,
        one: impl Fn(&mut Self, i32, u64, &mut [u8], At, Done) -> Result<usize, Refusal>,
    ) -> Reply {
        let mut buffer = vec![0; piece_size(spans)];
        let mut total = 0;
        for span in spans {
            let mut done = 0;
            while done < span.length {
                if total > 0 && self.watch.check().is_err() {
                    return Ok(total);
                }
                let wanted = usize::try_from(span.length - done).unwrap_or(usize::MAX).min(buffer.len());
                let Some(piece) = buffer.get_mut(..wanted) else { break };
                let before = if total == 0 { Done::Nothing } else { Done::Something };
                let count = match one(self, fd, span.address.wrapping_add(done), piece, at, before) {
                    Err(Refusal::Errno(_)) if total > 0 => return Ok(total),
                    result => result?,
                };
                total += count as u64;
                done += count as u64;
                if let At::Position(position) = &mut at {
                    *position = position.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
                }
                if count < wanted {
                    return Ok(total);
                }
            }
        }
        Ok(total)
    }

    /// Reads a stream once, as much as there is and fits into one piece, and spreads it over the ranges.
    fn read_stream(&mut self, fd: i32, spans: &[Span]) -> Reply {
        let mut buffer = vec![0; piece_size(spans)];
        let room = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length));
        let wanted = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        let Some(first) = spans.iter().find(|span| span.length > 0) else { return Ok(0) };
        // Bytes of a stream are gone once read: see that they have somewhere to go first.
        self.probe_writable(first.address)?;
        let flags = self.process.files.fcntl(fd, F_GETFL, 0)?;
        if flags.cast_unsigned() & O_NONBLOCK != 0 && self.ready(fd, POLLIN)? == 0 {
            return Err(Errno::AGAIN.into());
        }
        let Some(piece) = buffer.get_mut(..wanted) else { return Ok(0) };
        let count = self.streams.read(piece, Done::Nothing, self.watch)?;
        self.process.files.wake(Object::Stream(Stream::Stdin), INPUT);
        self.spread(buffer.get(..count).unwrap_or_default(), spans)
    }

    /// Copies bytes into the program's ranges, one after the other, and returns how many there was room for.
    pub(super) fn spread(&mut self, bytes: &[u8], spans: &[Span]) -> Reply {
        let mut rest = bytes;
        let mut total = 0;
        for span in spans {
            let (part, after) = rest.split_at(usize::try_from(span.length).unwrap_or(usize::MAX).min(rest.len()));
            if part.is_empty() {
                continue;
            }
            let written = match self.write_some(span.address, part) {
                Err(Refusal::Errno(_)) if total > 0 => return Ok(total),
                written => written?,
            };
            total += written as u64;
            // What the next range gets must follow what this one got.
            if written < part.len() {
                return Ok(total);
            }
            rest = after;
        }
        Ok(total)
    }

    fn read_piece(&mut self, fd: i32, address: u64, piece: &mut [u8], at: At) -> Result<usize, Refusal> {
        let source = at.source(&self.process.files, fd, piece.len())?;
        // Streams, pipes and counters were served before.
        let count = pour(source, &mut self.process.supply, piece)?.ok_or(Errno::BADF)?;
        let count = self.write_some(address, piece.get(..count).unwrap_or_default())?;
        if at == At::Offset {
            self.process.files.advance(fd, count)?;
        }
        Ok(count)
    }

    /// `EFAULT` unless the byte at `address` can be written.
    fn probe_writable(&mut self, address: u64) -> Result<(), Refusal> {
        let [byte] = self.read_array(address)?;
        self.write_all(address, &[byte])
    }

    fn sink(&mut self, fd: i32, at: At) -> Result<Sink<'_>, Errno> {
        match at {
            At::Offset => self.process.files.write(fd),
            At::Position(position) => self.process.files.write_at(fd, position),
        }
    }

    fn write_piece(&mut self, fd: i32, address: u64, piece: &mut [u8], at: At, before: Done) -> Result<usize, Refusal> {
        if let Sink::Discard = self.sink(fd, at)? {
            return Ok(piece.len());
        }
        let count = self.read_some(address, piece)?;
        let bytes = piece.get(..count).unwrap_or_default();
        let stream = match self.sink(fd, at)? {
            Sink::Stream(stream) => stream,
            Sink::Discard => return Ok(count),
            // Served before.
            Sink::Pipe(_) | Sink::Counter(_) => return Err(Errno::BADF.into()),
            Sink::File(mut file) => return Ok(file.write(bytes)?),
        };
        self.write_stream(stream, bytes, before)
    }

    /// Writes to a stream, and sends the signal that comes with a broken one. `before` is what the system call has done so far.
    pub(super) fn write_stream(&mut self, stream: Stream, bytes: &[u8], before: Done) -> Result<usize, Refusal> {
        self.process.files.wake(Object::Stream(stream), OUTPUT);
        match self.streams.write(stream, bytes, before, self.watch) {
            Err(Refusal::Errno(Errno::PIPE)) => Err(self.broken_pipe().into()),
            other => other,
        }
    }

    /// `struct timespec` at `address`, as a span of time; none for a null pointer.
    pub(super) fn read_timeout(&mut self, address: u64) -> Result<Option<Nanos>, Refusal> {
        if address == 0 {
            return Ok(None);
        }
        let [seconds, nanos] = self.read_words(address)?;
        if i64::try_from(seconds).is_err() || nanos >= 1_000_000_000 {
            return Err(Errno::INVAL.into());
        }
        Ok(Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
    }
}

fn piece_size(spans: &[Span]) -> usize {
    let all = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length));
    usize::try_from(all).unwrap_or(PIECE).min(PIECE)
}

/// The one range of a plain `read` or `write`.
pub(super) fn span(address: u64, length: u64) -> [Span; 1] {
    [Span { address, length: length.min(MAX_TRANSFER) }]
}

/// `poll`'s timeout in milliseconds; negative is forever.
pub(super) fn milliseconds(value: u64) -> Option<Nanos> {
    u64::try_from(descriptor(value)).ok().map(|value| value * 1_000_000)
}

/// Moves what a descriptor gives into `piece`: how much, or nothing said for a stream, a pipe or a counter, whose bytes are not there yet.
pub(super) fn pour(source: Source<'_>, supply: &mut Supply, piece: &mut [u8]) -> Result<Option<usize>, Errno> {
    let room = |count: usize| count.min(piece.len());
    Ok(Some(match source {
        Source::Bytes(bytes) => {
            let count = room(bytes.len());
            if let (Some(to), Some(from)) = (piece.get_mut(..count), bytes.get(..count)) {
                to.copy_from_slice(from);
            }
            count
        }
        Source::Zeros(count) => {
            let count = room(count);
            piece.get_mut(..count).unwrap_or_default().fill(0);
            count
        }
        Source::Random(count) => {
            let count = room(count);
            supply.fill(piece.get_mut(..count).unwrap_or_default())?;
            count
        }
        Source::Host(file, offset, count) => {
            let count = room(count);
            file.read(piece.get_mut(..count).unwrap_or_default(), offset)?
        }
        Source::End => 0,
        Source::Stream(_) | Source::Pipe(_) | Source::Counter(_) => return Ok(None),
    }))
}
