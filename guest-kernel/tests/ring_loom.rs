//! The ring under loom: every interleaving, and every value that the orders allow a load to see.
//!
//! Only stamps and progress words are atomics here. All else is plain memory, and two accesses to it that nothing orders fail the test: so
//! what passes shows that the hand-overs are complete, not only that the bytes were right.
#![cfg(loom)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic, and its helpers are not seen to be tests"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ampoule_kernel::ring::{
    CELL_BYTES, CELLS, Consumer, Header, INLINE_BYTES, Kind, Memory, PIECE_BYTES, Producer, TO_GUEST, TO_HOST,
};
use loom::cell::Cell;
use loom::sync::atomic::AtomicU64;

/// A word that must not be raced for.
struct Plain(Cell<u64>);

// SAFETY: loom runs one thread at a time, and its cell ends the test when accesses are not ordered.
unsafe impl Sync for Plain {}
// SAFETY: it is a number.
unsafe impl Send for Plain {}

struct Model {
    stamps: BTreeMap<u64, AtomicU64>,
    words: BTreeMap<u64, Plain>,
}

impl Model {
    /// The parts of the ring's map that are used, for each direction: progress, cells, bulk.
    fn new(directions: &[(u64, u64, u64)]) -> Arc<Self> {
        let (mut stamps, mut words) = (BTreeMap::new(), BTreeMap::new());
        for &(consumed, cells, bulk) in directions {
            stamps.insert(consumed, AtomicU64::new(0));
            for cell in (cells..cells + CELLS * CELL_BYTES).step_by(64) {
                stamps.insert(cell, AtomicU64::new(0));
                words.extend((cell + 8..cell + CELL_BYTES).step_by(8).map(|at| (at, Plain(Cell::new(0)))));
            }
            words.extend((bulk..bulk + 2 * PIECE_BYTES as u64).step_by(8).map(|at| (at, Plain(Cell::new(0)))));
        }
        Arc::new(Self { stamps, words })
    }
}

const GUEST: (u64, u64, u64) = (0, 0x1000, 0x1_0000);
const HOST: (u64, u64, u64) = (0x40, 0x2000, 0x10_0000);

impl Memory for Model {
    fn load(&self, offset: u64, order: Ordering) -> u64 {
        if order == Ordering::Relaxed { self.words[&offset].0.get() } else { self.stamps[&offset].load(order) }
    }

    fn store(&self, offset: u64, value: u64, order: Ordering) {
        if order == Ordering::Relaxed {
            self.words[&offset].0.set(value);
        } else {
            self.stamps[&offset].store(value, order);
        }
    }

    fn read(&self, offset: u64, to: &mut [u8]) {
        for (offset, bytes) in (offset..).step_by(8).zip(to.chunks_mut(8)) {
            bytes.copy_from_slice(&self.words[&offset].0.get().to_le_bytes()[..bytes.len()]);
        }
    }

    fn write(&self, offset: u64, from: &[u8]) {
        for (offset, bytes) in (offset..).step_by(8).zip(from.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.words[&offset].0.set(u64::from_le_bytes(word));
        }
    }
}

fn payload(number: u32, length: usize) -> Vec<u8> {
    (1..=length).map(|index| (index as u8).wrapping_add(number as u8 * 64)).collect()
}

fn wait() -> Result<(), Infallible> {
    loom::thread::yield_now();
    Ok(())
}

fn send(producer: &mut Producer, memory: &Model, number: u32, length: usize) {
    let header = Header { kind: Kind::Call, outcome: 0, ordinal: 1, number, length: 0 };
    producer.send(memory, &header, &payload(number, length), wait).unwrap();
}

fn receive(consumer: &mut Consumer, memory: &Model, number: u32, length: usize) {
    let mut message = Vec::new();
    loop {
        let Some(piece) = consumer.poll(memory).unwrap() else {
            loom::thread::yield_now();
            continue;
        };
        assert_eq!((piece.header.number, piece.header.length), (number, length as u64));
        let start = message.len();
        message.resize(start + piece.length, 0);
        consumer.take(memory, &piece, &mut message[start..]);
        if piece.is_last() {
            return assert_eq!(message, payload(number, length));
        }
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(3));
    builder.max_branches = 20_000;
    builder.check(model);
}

/// One thread sends messages of these lengths, the other receives them.
fn arrive(lengths: &'static [usize]) {
    explore(move || {
        let memory = Model::new(&[GUEST]);
        let sender = loom::thread::spawn({
            let memory = memory.clone();
            move || {
                let mut producer = Producer::new(TO_GUEST);
                for (number, &length) in (0..).zip(lengths) {
                    send(&mut producer, &memory, number, length);
                }
            }
        });
        let mut consumer = Consumer::new(TO_GUEST);
        for (number, &length) in (0..).zip(lengths) {
            receive(&mut consumer, &memory, number, length);
        }
        assert_eq!(consumer.poll(&*memory), Ok(None));
        sender.join().unwrap();
    });
}

#[test]
fn ring_loom_cells_are_used_again_lap_after_lap() {
    arrive(&[8, 0, 1, INLINE_BYTES, 8, 9]);
}

#[test]
fn ring_loom_halves_are_used_again_with_nothing_in_between() {
    arrive(&[INLINE_BYTES + 1, PIECE_BYTES, PIECE_BYTES - 1, PIECE_BYTES]);
}

#[test]
fn ring_loom_halves_are_used_again_with_an_odd_number_of_cells_in_between() {
    arrive(&[PIECE_BYTES, 1, PIECE_BYTES, 8, INLINE_BYTES + 1]);
}

#[test]
fn ring_loom_halves_are_used_again_with_an_even_number_of_cells_in_between() {
    arrive(&[PIECE_BYTES, 1, 0, PIECE_BYTES, PIECE_BYTES]);
}

#[test]
fn ring_loom_a_message_of_many_pieces_is_whole() {
    arrive(&[1, 3 * PIECE_BYTES + 7]);
}

#[test]
fn ring_loom_a_reply_belongs_to_its_request() {
    explore(|| {
        let memory = Model::new(&[GUEST, HOST]);
        let lengths = [8, INLINE_BYTES + 1, PIECE_BYTES + 1];
        let guest = loom::thread::spawn({
            let memory = memory.clone();
            move || {
                let (mut requests, mut replies) = (Consumer::new(TO_GUEST), Producer::new(TO_HOST));
                for (number, length) in (0..).zip(lengths) {
                    receive(&mut requests, &memory, number, length);
                    send(&mut replies, &memory, number, length);
                }
            }
        });
        let (mut requests, mut replies) = (Producer::new(TO_GUEST), Consumer::new(TO_HOST));
        for (number, length) in (0..).zip(lengths) {
            send(&mut requests, &memory, number, length);
            receive(&mut replies, &memory, number, length);
        }
        guest.join().unwrap();
    });
}
