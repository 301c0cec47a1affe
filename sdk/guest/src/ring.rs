//! The ring, served: calls and imports that cross without an exit, until the host wants it back.
//!
//! ```text
//! host                       guest
//! Call 7   ──────────────►   dispatch
//!          ◄──────────────   Import (of call 7)     by the export, on this thread
//! ImportReply ───────────►
//!          ◄──────────────   Reply 7
//! Leave    ──────────────►   back to NEXT
//! ```
//!
//! The guest spins: the next message is a cache line away, and everything that could be done meanwhile takes longer than it. After a
//! while of nothing it parks, which is an exit.

use core::convert::Infallible;

use ampoule_kernel::ring::{Consumer, Header, Kind, Malformed, Memory, Piece, Producer, TO_GUEST, TO_HOST};

use crate::describe::leave;
use crate::errno::Errno;
use crate::gate::{Refusal, RingMemory};
use crate::import::{ImportError, Receive};
use crate::input::Input;
use crate::local::local;
use crate::patience::Patience;
use crate::reply::Reply;

local!(RING: Option<Ring<RingMemory>> = None);

/// What the host wrote is not what it can have meant; the queue cannot be used any more.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    Malformed(Malformed),
    Unexpected(Kind),
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// A call that has arrived.
struct Arrival {
    header: Header,
    /// Its arguments are in the buffer; false if they did not fit.
    fits: bool,
}

/// Both queues, and how long to wait for them.
struct Ring<M> {
    memory: M,
    from_host: Consumer,
    to_host: Producer,
    patience: Patience,
    /// The number of the call that is being served.
    call: u32,
}

/// Serves the ring until the host says to leave it.
pub(crate) fn serve(
    memory: RingMemory,
    input: &mut Input<'_>,
    reply: &mut Reply<'_>,
    mut call: impl FnMut(Served<'_, '_, '_>) -> u64,
) {
    RING.with(|place| *place = Some(Ring::new(memory, Patience::of_the_host())));
    while let Some(Arrival { header, fits }) = with_ring(|ring| ring.receive(input)) {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let arguments = if fits { Ok(input.arrived(length)) } else { Err(length) };
        let outcome = call(Served { ordinal: header.ordinal.into(), arguments, reply });
        // There are four outcomes.
        let outcome = u8::try_from(outcome).unwrap_or(u8::MAX);
        with_ring(|ring| {
            ring.send(Kind::Reply, outcome, header.ordinal, reply.as_slice());
            Ok(())
        });
    }
    RING.with(|place| *place = None);
}

/// A call to be served: its arguments, or how long they would be.
pub(crate) struct Served<'i, 'r, 'a> {
    pub(crate) ordinal: u64,
    pub(crate) arguments: Result<&'i [u8], usize>,
    pub(crate) reply: &'r mut Reply<'a>,
}

/// Calls the host through the ring; `None` if this thread serves none.
#[inline]
pub(crate) fn import<B: Receive + ?Sized>(
    ordinal: u32,
    arguments: &[u8],
    reply: &mut B,
) -> Option<Result<usize, ImportError>> {
    let result = RING.with(|ring| ring.as_mut().map(|ring| ring.import(ordinal, arguments, reply))).flatten()?;
    Some(result.unwrap_or_else(|broken| give_up(&broken)))
}

fn with_ring<R>(use_it: impl FnOnce(&mut Ring<RingMemory>) -> Result<R, Broken>) -> R {
    match RING.with(|ring| ring.as_mut().map(use_it)).flatten() {
        Some(Ok(result)) => result,
        Some(Err(broken)) => give_up(&broken),
        None => leave(format_args!("the ring is used by two threads: exports are served on one")),
    }
}

#[cold]
fn give_up(broken: &Broken) -> ! {
    leave(format_args!("the host wrote something into the ring that is no message: {broken:?}"))
}

impl<M: Memory> Ring<M> {
    const fn new(memory: M, patience: Patience) -> Self {
        Self { memory, from_host: Consumer::new(TO_GUEST), to_host: Producer::new(TO_HOST), patience, call: 0 }
    }

    /// The next call, or `None` for good.
    #[inline]
    fn receive(&mut self, input: &mut Input<'_>) -> Result<Option<Arrival>, Broken> {
        let piece = self.wait()?;
        let header = piece.header;
        match header.kind {
            Kind::Call => {
                self.call = header.number;
                let fits = self.collect(piece, |length| input.room(length))?;
                Ok(Some(Arrival { header, fits }))
            }
            Kind::Leave => {
                self.collect(piece, |_| None)?;
                Ok(None)
            }
            other => Err(Broken::Unexpected(other)),
        }
    }

    fn import<B: Receive + ?Sized>(
        &mut self,
        ordinal: u32,
        arguments: &[u8],
        reply: &mut B,
    ) -> Result<Result<usize, ImportError>, Broken> {
        self.send(Kind::Import, 0, ordinal, arguments);
        let piece = self.wait()?;
        let Header { kind, outcome, length, .. } = piece.header;
        if kind != Kind::ImportReply {
            return Err(Broken::Unexpected(kind));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if outcome == 0 {
            return Ok(if self.collect(piece, |length| reply.room(length))? {
                Ok(length)
            } else {
                Err(ImportError::ReplyTooLong { needed: length })
            });
        }
        let refusal = Refusal { errno: Errno::from_byte(outcome), bytes: length };
        let mut collected = None;
        let error = ImportError::new(refusal, |buffer| {
            let result = self.collect(piece, |length| buffer.get_mut(..length));
            let fits = result == Ok(true);
            collected = Some(result);
            fits.then_some(length)
        });
        match collected {
            Some(result) => result?,
            None => self.collect(piece, |_| None)?,
        };
        Ok(Err(error))
    }

    /// Takes a whole message into the room that there is for it; without room it is taken all the same, and false is returned.
    #[inline]
    fn collect<'b>(&mut self, first: Piece, room: impl FnOnce(usize) -> Option<&'b mut [u8]>) -> Result<bool, Broken> {
        let mut to = usize::try_from(first.header.length).ok().and_then(room);
        let mut piece = first;
        loop {
            let start = usize::try_from(piece.offset).unwrap_or(usize::MAX);
            let part = to.as_deref_mut().and_then(|to| to.get_mut(start..)).unwrap_or_default();
            self.from_host.take(&self.memory, &piece, part);
            if piece.is_last() {
                return Ok(to.is_some());
            }
            piece = self.wait()?;
        }
    }

    #[inline]
    fn send(&mut self, kind: Kind, outcome: u8, ordinal: u32, payload: &[u8]) {
        let header = Header { kind, outcome, ordinal, number: self.call, length: 0 };
        let sent = self.to_host.send(&self.memory, &header, payload, || {
            core::hint::spin_loop();
            Ok::<(), Infallible>(())
        });
        match sent {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// Spins until a piece is there.
    #[inline]
    fn wait(&mut self) -> Result<Piece, Malformed> {
        let mut spins = 0_u64;
        loop {
            if let Some(piece) = self.from_host.poll(&self.memory)? {
                return Ok(piece);
            }
            spins += 1;
            if spins.is_multiple_of(Patience::SPINS) {
                self.patience.check(spins);
            }
            // Every time: whoever looks without a pause takes the cell's line away from the writer between two of its stores, and an answer
            // takes four times as long.
            core::hint::spin_loop();
        }
    }
}

#[cfg(all(test, feature = "std"))]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers: what is wrong ends the test")]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::Ordering;

    use ampoule_kernel::ring::{PIECE_BYTES, RING_BYTES};

    use super::*;

    /// The shared memory, for two ends on one thread.
    struct Shared(RefCell<Vec<u8>>);

    impl Memory for Shared {
        fn load(&self, offset: u64, _: Ordering) -> u64 {
            let mut word = [0; 8];
            self.read(offset, &mut word);
            u64::from_le_bytes(word)
        }
        fn store(&self, offset: u64, value: u64, _: Ordering) {
            self.write(offset, &value.to_le_bytes());
        }
        fn read(&self, offset: u64, to: &mut [u8]) {
            let start = usize::try_from(offset).unwrap();
            to.copy_from_slice(&self.0.borrow()[start..start + to.len()]);
        }
        fn write(&self, offset: u64, from: &[u8]) {
            let start = usize::try_from(offset).unwrap();
            self.0.borrow_mut()[start..start + from.len()].copy_from_slice(from);
        }
    }

    thread_local! {
        static PARKED: Cell<u32> = const { Cell::new(0) };
        /// What the host does when the guest has parked.
        static HOST: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    fn park() {
        PARKED.set(PARKED.get() + 1);
        if let Some(host) = HOST.take() {
            host();
        }
    }

    fn shared() -> &'static Shared {
        Box::leak(Box::new(Shared(RefCell::new(vec![0; usize::try_from(RING_BYTES).unwrap()]))))
    }

    fn guest(memory: &'static Shared) -> Ring<&'static Shared> {
        Ring::new(memory, Patience::of_spins(4096, park))
    }

    fn say(memory: &Shared, host: &mut Producer, kind: Kind, outcome: u8, payload: &[u8]) {
        let header = Header { kind, outcome, ordinal: 3, number: 9, length: 0 };
        host.send(memory, &header, payload, || Err("no room")).unwrap();
    }

    fn heard(memory: &Shared, host: &mut Consumer) -> (Header, Vec<u8>) {
        let piece = host.poll(memory).unwrap().unwrap();
        let mut payload = vec![0; piece.length];
        host.take(memory, &piece, &mut payload);
        (piece.header, payload)
    }

    #[test]
    fn a_call_arrives_with_its_arguments_and_is_answered_under_its_number() {
        let memory = shared();
        let (mut to_guest, mut from_guest) = (Producer::new(TO_GUEST), Consumer::new(TO_HOST));
        let mut ring = guest(memory);
        for arguments in [&b""[..], b"short", &[7; 1000]] {
            say(memory, &mut to_guest, Kind::Call, 0, arguments);
            let mut input = Input::Growing(vec![0; 8]);
            let Arrival { header, fits } = ring.receive(&mut input).unwrap().unwrap();
            assert_eq!((header.ordinal, fits, input.arrived(arguments.len())), (3, true, arguments));
            ring.send(Kind::Reply, 1, header.ordinal, b"done");
            let (header, payload) = heard(memory, &mut from_guest);
            assert_eq!(
                (header.kind, header.outcome, header.number, payload.as_slice()),
                (Kind::Reply, 1, 9, &b"done"[..])
            );
        }
        say(memory, &mut to_guest, Kind::Leave, 0, b"");
        assert!(ring.receive(&mut Input::Growing(Vec::new())).unwrap().is_none());
    }

    #[test]
    fn arguments_in_many_pieces_arrive_whole() {
        let memory = shared();
        let mut to_guest = Producer::new(TO_GUEST);
        let arguments: Vec<u8> = (0..2 * PIECE_BYTES).map(|index| index.to_le_bytes()[1]).collect();
        say(memory, &mut to_guest, Kind::Call, 0, &arguments);
        let mut input = Input::Growing(Vec::new());
        assert!(guest(memory).receive(&mut input).unwrap().unwrap().fits);
        assert!(input.arrived(arguments.len()) == arguments);
    }

    #[test]
    fn arguments_without_room_are_taken_all_the_same_and_the_next_call_arrives() {
        let memory = shared();
        let mut to_guest = Producer::new(TO_GUEST);
        say(memory, &mut to_guest, Kind::Call, 0, &vec![1; PIECE_BYTES + 1]);
        say(memory, &mut to_guest, Kind::Call, 0, b"next");
        let mut buffer = [0; 8];
        let (mut ring, mut input) = (guest(memory), Input::Fixed(&mut buffer));
        assert!(!ring.receive(&mut input).unwrap().unwrap().fits);
        assert!(ring.receive(&mut input).unwrap().unwrap().fits && input.arrived(4) == b"next");
    }

    #[test]
    fn an_import_has_its_reply_its_reason_or_its_refusal() {
        let memory = shared();
        let (mut to_guest, mut from_guest) = (Producer::new(TO_GUEST), Consumer::new(TO_HOST));
        let mut ring = guest(memory);
        let mut import = |outcome, payload: &[u8]| {
            say(memory, &mut to_guest, Kind::ImportReply, outcome, payload);
            let mut reply = Vec::new();
            let result = ring.import(5, b"key", &mut reply).unwrap();
            let (header, payload) = heard(memory, &mut from_guest);
            assert_eq!((header.kind, header.ordinal, payload.as_slice()), (Kind::Import, 5, &b"key"[..]));
            result.map(|length| {
                reply.truncate(length);
                reply
            })
        };
        assert_eq!(import(0, b"value"), Ok(b"value".to_vec()));
        assert_eq!(
            import(121, b"no such key, nor one like it, in any book"),
            Err(ImportError::Failed("no such key, nor one like it, in any book".into()))
        );
        assert_eq!(import(2, b""), Err(ImportError::Unknown));
        assert_eq!(import(74, b"thrown away"), Err(ImportError::BadArguments));
        assert_eq!(import(0, b""), Ok(Vec::new()));
        say(memory, &mut to_guest, Kind::ImportReply, 0, b"12345");
        let mut short = [0; 4];
        assert_eq!(ring.import(5, b"", &mut short[..]).unwrap(), Err(ImportError::ReplyTooLong { needed: 5 }));
    }

    #[test]
    fn what_cannot_come_now_is_not_taken_for_what_could() {
        let memory = shared();
        let mut to_guest = Producer::new(TO_GUEST);
        let mut ring = guest(memory);
        say(memory, &mut to_guest, Kind::ImportReply, 0, b"");
        assert_eq!(ring.receive(&mut Input::Growing(Vec::new())).err(), Some(Broken::Unexpected(Kind::ImportReply)));
        let memory = shared();
        let mut to_guest = Producer::new(TO_GUEST);
        say(memory, &mut to_guest, Kind::Call, 0, b"");
        assert_eq!(guest(memory).import(0, b"", &mut Vec::new()), Err(Broken::Unexpected(Kind::Call)));
    }

    #[test]
    fn a_guest_with_nothing_to_do_parks_until_there_is_something() {
        let memory = shared();
        HOST.set(Some(Box::new(move || {
            HOST.set(Some(Box::new(move || say(memory, &mut Producer::new(TO_GUEST), Kind::Leave, 0, b""))))
        })));
        assert!(guest(memory).receive(&mut Input::Growing(Vec::new())).unwrap().is_none());
        assert_eq!(PARKED.get(), 2, "once for nothing, once until the message came");
    }
}
