//! Messages arrive in order and whole whatever the interleaving, and no memory, however hostile, makes an end panic, hang or write
//! where it should not.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::*;

/// Atomic words: no access is a data race, and Miri shows a load every value that the orders allow. What lies between the areas of the
/// ring's map is not there.
struct Shared {
    /// Where each area begins, and its words: progress and cells, and the bulk of each direction.
    areas: [(u64, Vec<AtomicU64>); 3],
}

impl Shared {
    fn new() -> Self {
        Self::filled(core::iter::repeat(0))
    }

    fn filled(words: impl Iterator<Item = u64> + Clone) -> Self {
        let area = |start, bytes: u64| {
            (start, words.clone().take(usize::try_from(bytes / 8).unwrap()).map(AtomicU64::new).collect())
        };
        let halves = 2 * PIECE_BYTES as u64;
        Self {
            areas: [
                area(TO_HOST.bulk, halves),
                area(TO_GUEST.bulk, halves),
                area(0, TO_HOST.cells + CELLS * CELL_BYTES),
            ],
        }
    }

    fn word(&self, offset: u64) -> &AtomicU64 {
        assert_eq!(offset % 8, 0, "an offset is a multiple of 8");
        let (start, words) = self.areas.iter().find(|&&(start, _)| start <= offset).unwrap();
        &words[usize::try_from((offset - start) / 8).unwrap()]
    }
}

impl Memory for Shared {
    fn load(&self, offset: u64, order: Ordering) -> u64 {
        self.word(offset).load(order)
    }

    fn store(&self, offset: u64, value: u64, order: Ordering) {
        self.word(offset).store(value, order);
    }

    fn read(&self, offset: u64, to: &mut [u8]) {
        for (offset, bytes) in (offset..).step_by(8).zip(to.chunks_mut(8)) {
            bytes.copy_from_slice(&self.word(offset).load(Ordering::Relaxed).to_le_bytes()[..bytes.len()]);
        }
    }

    fn write(&self, offset: u64, from: &[u8]) {
        for (offset, bytes) in (offset..).step_by(8).zip(from.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.word(offset).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }
}

/// What `wait` is told to end with when there is no room.
#[derive(Debug, PartialEq, Eq)]
struct Full;

const HEADER: Header = Header { kind: Kind::Import, outcome: 7, ordinal: 0x89ab_cdef, number: 0xfedc_ba98, length: 0 };

fn header(number: u32, length: usize) -> Header {
    Header { number, length: length as u64, ..HEADER }
}

/// Bytes that tell their message and place.
fn payload(number: u32, length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(31) ^ number as usize).to_le_bytes()[0]).collect()
}

/// Takes the pieces that are there until a message is whole.
fn receive(consumer: &mut Consumer, memory: &Shared, message: &mut Vec<u8>) -> Result<Option<Header>, Malformed> {
    while let Some(piece) = consumer.poll(memory)? {
        assert_eq!(piece.offset, message.len() as u64);
        let start = message.len();
        message.resize(start + piece.length, 0);
        consumer.take(memory, &piece, &mut message[start..]);
        if piece.is_last() {
            return Ok(Some(piece.header));
        }
    }
    Ok(None)
}

/// Sizes at which something changes.
const SIZES: [usize; 15] = [
    0,
    1,
    7,
    8,
    9,
    INLINE_BYTES - 1,
    INLINE_BYTES,
    INLINE_BYTES + 1,
    PIECE_BYTES - 1,
    PIECE_BYTES,
    PIECE_BYTES + 1,
    2 * PIECE_BYTES,
    2 * PIECE_BYTES + 1,
    3 * PIECE_BYTES,
    3 * PIECE_BYTES + 7,
];

#[test]
fn the_last_piece_of_a_message_is_never_empty_unless_the_message_is() {
    for (length, pieces) in [(0, 1), (1, 1), (PIECE_BYTES, 1), (PIECE_BYTES + 1, 2), (2 * PIECE_BYTES, 2)] {
        let memory = Shared::new();
        let (mut producer, mut consumer) = (Producer::new(TO_HOST), Consumer::new(TO_HOST));
        producer.send(&memory, &HEADER, &payload(1, length), || Err(Full)).unwrap();
        for left in (0..pieces).rev() {
            let piece = consumer.poll(&memory).unwrap().unwrap();
            assert_eq!(piece.header, Header { length: length as u64, ..HEADER }, "the whole length is known at once");
            assert_eq!(piece.is_last(), left == 0);
            consumer.take(&memory, &piece, &mut []);
        }
        assert_eq!(consumer.poll(&memory), Ok(None));
    }
}

#[test]
fn a_full_queue_waits_until_a_piece_is_taken() {
    let memory = Shared::new();
    let (mut producer, mut consumer) = (Producer::new(TO_GUEST), Consumer::new(TO_GUEST));
    for number in 0..u32::try_from(CELLS).unwrap() {
        producer.send(&memory, &header(number, 0), &[1; INLINE_BYTES], || Err(Full)).unwrap();
    }
    assert_eq!(producer.send(&memory, &HEADER, &[], || Err(Full)), Err(Full));
    let piece = consumer.poll(&memory).unwrap().unwrap();
    consumer.take(&memory, &piece, &mut [0; INLINE_BYTES]);
    producer.send(&memory, &HEADER, &[], || Err(Full)).unwrap();
    assert_eq!(producer.send(&memory, &HEADER, &[], || Err(Full)), Err(Full));
}

/// Two bulk pieces with an even distance lie in the same half: with every number of inline ones between them.
#[test]
fn a_half_is_not_written_again_before_it_was_taken() {
    for between in 0..CELLS - 1 {
        let memory = Shared::new();
        let (mut producer, mut consumer) = (Producer::new(TO_HOST), Consumer::new(TO_HOST));
        let first = payload(1, INLINE_BYTES + 1);
        producer.send(&memory, &HEADER, &first, || Err(Full)).unwrap();
        for _ in 0..between {
            producer.send(&memory, &HEADER, &[], || Err(Full)).unwrap();
        }
        let mut untaken = between + 1;
        let mut taken = Vec::new();
        producer
            .send(&memory, &HEADER, &[0xee; PIECE_BYTES], || {
                let piece = consumer.poll(&memory).unwrap().unwrap();
                let mut bytes = vec![0; piece.length];
                consumer.take(&memory, &piece, &mut bytes);
                taken.push(bytes);
                untaken -= 1;
                Ok::<_, Full>(())
            })
            .unwrap();
        assert_eq!(untaken, 1.min(between + 1), "no more is waited for than one piece before");
        assert!(between == 0 || taken[0] == first);
    }
}

#[test]
fn asking_again_finds_the_same_piece() {
    let memory = Shared::new();
    let (mut producer, consumer) = (Producer::new(TO_HOST), Consumer::new(TO_HOST));
    assert_eq!(consumer.poll(&memory), Ok(None));
    producer.send(&memory, &HEADER, b"once", || Err(Full)).unwrap();
    assert_eq!(consumer.poll(&memory), consumer.poll(&memory));
}

/// What an honest producer wrote, with one word of the second piece's cell replaced.
fn second_piece_with(word: u64, value: u64) -> Result<Option<Piece>, Malformed> {
    let memory = Shared::new();
    let (mut producer, mut consumer) = (Producer::new(TO_HOST), Consumer::new(TO_HOST));
    producer.send(&memory, &HEADER, &[0; PIECE_BYTES + 40], || Err(Full)).unwrap();
    let piece = consumer.poll(&memory).unwrap().unwrap();
    consumer.take(&memory, &piece, &mut []);
    memory.store(TO_HOST.cell(1) + 8 * word, value, Ordering::Relaxed);
    consumer.poll(&memory)
}

#[test]
fn a_piece_that_does_not_fit_its_message_is_malformed() {
    let number = u64::from(HEADER.number) << 32;
    let kinds = u64::from(HEADER.outcome) << 8 | u64::from(HEADER.ordinal) << 32;
    assert!(matches!(second_piece_with(2, number | 40), Ok(Some(Piece { length: 40, .. }))));
    for length in [0, 39, 41, u32::MAX] {
        assert_eq!(second_piece_with(2, number | u64::from(length)), Err(Malformed::Length(length)));
    }
    for (word, value) in [(1, kinds | Kind::Reply as u64), (2, 40), (3, 0), (3, u64::MAX)] {
        assert_eq!(second_piece_with(word, value), Err(Malformed::Torn));
    }
    for kind in [0, 6, 255] {
        assert_eq!(second_piece_with(1, kinds | u64::from(kind)), Err(Malformed::Kind(kind)));
    }
    assert_eq!(second_piece_with(0, 2 + CELLS), Ok(None), "another lap's stamp is not this one's");
}

#[test]
fn a_message_of_any_length_is_cut_where_its_first_piece_says() {
    for (length, first) in [(u64::MAX, PIECE_BYTES), (PIECE_BYTES as u64 + 1, PIECE_BYTES), (3, 3)] {
        let memory = Shared::new();
        let mut consumer = Consumer::new(TO_HOST);
        let cell = TO_HOST.cell(0);
        memory.store(cell + 8, Kind::Reply as u64, Ordering::Relaxed);
        memory.store(cell + 16, first as u64, Ordering::Relaxed);
        memory.store(cell + 24, length, Ordering::Relaxed);
        memory.store(cell, 1, Ordering::Release);
        let piece = consumer.poll(&memory).unwrap().unwrap();
        assert_eq!((piece.header.length, piece.length, piece.is_last()), (length, first, length == first as u64));
        consumer.take(&memory, &piece, &mut []);
    }
}

#[test]
fn progress_that_cannot_be_true_makes_no_room() {
    let memory = Shared::new();
    let mut producer = Producer::new(TO_GUEST);
    for _ in 0..CELLS {
        producer.send(&memory, &HEADER, &[], || Err(Full)).unwrap();
    }
    for wrong in [CELLS + 1, u64::MAX, u64::MAX - CELLS, 1 << 63] {
        memory.store(TO_GUEST.consumed, wrong, Ordering::Relaxed);
        assert_eq!(producer.send(&memory, &HEADER, &[], || Err(Full)), Err(Full), "{wrong:#x}");
    }
    memory.store(TO_GUEST.consumed, CELLS, Ordering::Relaxed);
    producer.send(&memory, &HEADER, &[], || Err(Full)).unwrap();
    memory.store(TO_GUEST.consumed, 0, Ordering::Relaxed);
    for _ in 1..CELLS {
        producer.send(&memory, &HEADER, &[], || Err(Full)).unwrap();
    }
    assert_eq!(producer.send(&memory, &HEADER, &[], || Err(Full)), Err(Full), "progress does not go back");
}

#[test]
fn two_threads_talk_in_every_size() {
    const ROUNDS: u32 = if SMALL { 40 } else { 20_000 };
    // Long ones come rarely: they are what costs.
    fn size(number: u32) -> usize {
        let number = number as usize;
        if number.is_multiple_of(97) { SIZES[number / 97 % SIZES.len()].min(PIECE_BYTES + 9) } else { number % 3 * 23 }
    }
    let memory = &Shared::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut producer, mut consumer) = (Producer::new(TO_HOST), Consumer::new(TO_GUEST));
            let mut message = Vec::new();
            for _ in 0..ROUNDS {
                message.clear();
                let header = loop {
                    match receive(&mut consumer, memory, &mut message).unwrap() {
                        Some(header) => break header,
                        None => std::thread::yield_now(),
                    }
                };
                producer
                    .send(memory, &header, &message, || {
                        std::thread::yield_now();
                        Ok::<_, Full>(())
                    })
                    .unwrap();
            }
        });
        let (mut producer, mut consumer) = (Producer::new(TO_GUEST), Consumer::new(TO_HOST));
        let mut waiting = VecDeque::new();
        let mut message = Vec::new();
        let mut answered = |message: &mut Vec<u8>, waiting: &mut VecDeque<u32>| {
            if let Some(header) = receive(&mut consumer, memory, message).unwrap() {
                let number = waiting.pop_front().unwrap();
                assert_eq!((header.number, &*message), (number, &payload(number, size(number))));
                message.clear();
            } else {
                std::thread::yield_now();
            }
        };
        for number in 0..ROUNDS {
            waiting.push_back(number);
            producer
                .send(memory, &header(number, 0), &payload(number, size(number)), || {
                    answered(&mut message, &mut waiting);
                    Ok::<_, Full>(())
                })
                .unwrap();
        }
        while !waiting.is_empty() {
            answered(&mut message, &mut waiting);
        }
    });
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: if SMALL { 4 } else { 64 }, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_message_arrives_in_order_and_whole(
        sizes in prop::collection::vec(prop_oneof![8 => 0_usize..100, 1 => prop::sample::select(&SIZES[..])], 1..40),
        turns in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let memory = Shared::new();
        let (mut producer, mut consumer) = (Producer::new(TO_GUEST), Consumer::new(TO_GUEST));
        let mut turns = turns.into_iter().cycle();
        let (mut message, mut arrived) = (Vec::new(), 0_u32);
        let mut one_piece = |message: &mut Vec<u8>| {
            let Some(piece) = consumer.poll(&memory).unwrap() else { return false };
            let start = message.len();
            message.resize(start + piece.length, 0);
            consumer.take(&memory, &piece, &mut message[start..]);
            if piece.is_last() {
                let length = sizes[arrived as usize];
                assert_eq!(piece.header, header(arrived, length));
                assert_eq!(*message, payload(arrived, length));
                message.clear();
                arrived += 1;
            }
            true
        };
        for (number, &size) in (0..).zip(&sizes) {
            producer.send(&memory, &header(number, 0), &payload(number, size), || {
                assert!(one_piece(&mut message), "who waits has not been taken from");
                Ok::<_, Full>(())
            }).unwrap();
            while turns.next().unwrap() && one_piece(&mut message) {}
        }
        while one_piece(&mut message) {}
        prop_assert_eq!(arrived as usize, sizes.len());
    }

    #[test]
    fn no_memory_makes_an_end_panic_hang_or_write_past_its_buffer(
        words in prop::collection::vec(prop_oneof![any::<u64>(), 0_u64..8, Just(u64::MAX)], 1..32),
        steps in prop::collection::vec(
            (any::<bool>(), 0_u64..8, prop_oneof![any::<u64>(), 0_u64..200], 0..=PIECE_BYTES.min(80)),
            1..200,
        ),
    ) {
        let memory = Shared::filled(words.into_iter().cycle());
        let mut producer = Producer::new(TO_GUEST);
        let mut consumer = Consumer::new(TO_HOST);
        let mut buffer = vec![0xa5; PIECE_BYTES + 1];
        for (sends, word, value, size) in steps {
            if sends {
                memory.store(TO_GUEST.consumed, value, Ordering::Relaxed);
                let mut waits = 0;
                let sent = producer.send(&memory, &HEADER, &buffer[..size], || {
                    waits += 1;
                    if waits < 3 { Ok(()) } else { Err(Full) }
                });
                prop_assert_eq!(sent.is_err(), waits == 3);
            } else {
                // Half of the cells are believable, so that more than the first check is reached.
                let cell = TO_HOST.cell(consumer.position);
                memory.store(cell, consumer.position + 1, Ordering::Relaxed);
                memory.store(cell + 8, Kind::Reply as u64, Ordering::Relaxed);
                if let Some((first, _)) = consumer.unfinished {
                    memory.store(cell + 24, first.length, Ordering::Relaxed);
                }
                if value % 2 == 0 {
                    memory.store(cell + 16, PIECE_BYTES as u64, Ordering::Relaxed);
                } else {
                    memory.store(cell + 8 * word, value, Ordering::Relaxed);
                }
                if let Ok(Some(piece)) = consumer.poll(&memory) {
                    prop_assert!(piece.length <= PIECE_BYTES && piece.offset <= piece.header.length);
                    // The other side changes its mind between the look and the copy.
                    memory.store(cell + 16, u64::MAX, Ordering::Relaxed);
                    consumer.take(&memory, &piece, &mut buffer[..piece.length]);
                    prop_assert_eq!(buffer[PIECE_BYTES], 0xa5);
                }
            }
        }
    }
}
