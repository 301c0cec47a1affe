//! The chapter of where the guest is: what it waits for, or where it was stopped; and its side of Ampoule's own calls.
//!
//! Only what a guest comes to can be said. What is the same in all guests of a kind is not in the file.

use std::sync::Arc;

use super::SnapshotFileError;
use crate::channel::posted::Overflow;
use crate::channel::table::Table;
use crate::linux::Process;
use crate::linux::user::Span;
use crate::program::Program;
use crate::sandbox::State;
use crate::sandbox::halt::Pause;
use crate::sandbox::saved::{Channel, Position};
use crate::wire::{Reader, Writer};

const WAITS: u8 = 0;
const IN_A_CALL: u8 = 1;
const IN_A_COMMAND: u8 = 2;

/// Where a guest is, as a file says.
#[derive(Debug)]
pub(super) struct Place {
    channel: Channel,
    state: State,
    pause: Option<Pause>,
    ordinal: Option<u32>,
}

pub(super) fn write(writer: &mut Writer, channel: &Channel, position: &Position) -> Result<(), SnapshotFileError> {
    let unfinished = || SnapshotFileError::Unfinished { state: position.state };
    let Channel { table, ring, buffer, outstanding, undelivered, events } = channel;
    match (position.state, position.pause, table, buffer, outstanding) {
        (State::Ready, None, Some(_), &Some(Span { address, length }), false) => {
            writer.u8(WAITS);
            writer.u64(address);
            writer.u64(length);
        }
        (State::Stopped, Some(pause), Some(_), None, true) => {
            writer.u8(IN_A_CALL);
            writer.u8(pause_code(pause).ok_or_else(unfinished)?);
            writer.u32(position.ordinal.ok_or_else(unfinished)?);
        }
        (State::Stopped, Some(pause @ (Pause::Between | Pause::Syscall)), None, None, false) => {
            writer.u8(IN_A_COMMAND);
            writer.u8(pause_code(pause).ok_or_else(unfinished)?);
            return Ok(());
        }
        _ => return Err(unfinished()),
    }
    writer.bytes(&table.as_deref().map(Table::text).unwrap_or_default());
    writer.flag(*ring);
    writer.flag(undelivered.is_some());
    if let Some(message) = undelivered {
        writer.bytes(message);
    }
    writer.flag(events.is_some());
    if let Some((capacity, overflow)) = events {
        writer.u64(*capacity as u64);
        writer.u8(match overflow {
            Overflow::DropOldest => 0,
            Overflow::Stop => 1,
        });
    }
    Ok(())
}

fn pause_code(pause: Pause) -> Option<u8> {
    match pause {
        Pause::Between => Some(0),
        Pause::Syscall => Some(1),
        Pause::Hypercall => Some(2),
        Pause::Before | Pause::Never => None,
    }
}

pub(super) fn read(reader: &mut Reader<'_>, most_events: usize) -> Result<Place, SnapshotFileError> {
    let kind = reader.u8_up_to("where the guest is", IN_A_COMMAND)?;
    let mut place = Place { channel: Channel::default(), state: State::Stopped, pause: None, ordinal: None };
    if kind == WAITS {
        place.state = State::Ready;
        let (address, length) = (reader.u64("address of the buffer")?, reader.u64("length of the buffer")?);
        place.channel.buffer = Some(Span { address, length });
    } else {
        let last = if kind == IN_A_CALL { 2 } else { 1 };
        place.pause = Some(match reader.u8_up_to("where the guest was stopped", last)? {
            0 => Pause::Between,
            1 => Pause::Syscall,
            _ => Pause::Hypercall,
        });
    }
    if kind == IN_A_COMMAND {
        return Ok(place);
    }
    if kind == IN_A_CALL {
        place.ordinal = Some(reader.u32("function that is being called")?);
        place.channel.outstanding = true;
    }
    place.channel.table = Some(Arc::new(table(reader)?));
    place.channel.ring = reader.flag("whether the guest serves the ring")?;
    if reader.flag("whether a message waits")? {
        place.channel.undelivered = Some(reader.bytes("message that waits")?.to_vec());
    }
    if reader.flag("whether there are events")? {
        place.channel.events = Some(events(reader, most_events)?);
    }
    Ok(place)
}

fn table(reader: &mut Reader<'_>) -> Result<Table, SnapshotFileError> {
    let text = reader.bytes("table of functions")?;
    if text.len() > ampoule_kernel::call::TABLE_MAX_BYTES {
        return Err(crate::channel::table::TableError::TooLong { bytes: text.len() as u64 }.into());
    }
    let table = Table::parse(text)?;
    if table.text() != text {
        return Err(SnapshotFileError::Position { what: "its table of functions has imports before exports" });
    }
    Ok(table)
}

fn events(reader: &mut Reader<'_>, most: usize) -> Result<(usize, Overflow), SnapshotFileError> {
    let needed = reader.u64("capacity of the queue of events")?;
    let overflow = match reader.u8_up_to("what happens to too many events", 1)? {
        0 => Overflow::DropOldest,
        _ => Overflow::Stop,
    };
    match usize::try_from(needed) {
        Ok(0) => Err(SnapshotFileError::Limit { what: "capacity of the queue of events", value: 0 }),
        Ok(capacity) if capacity <= most => Ok((capacity, overflow)),
        _ => {
            let (what, granted) = ("capacity of the queue of events", most as u64);
            Err(SnapshotFileError::NotGranted { what, needed, granted, option: "events" })
        }
    }
}

impl Place {
    /// The guest's place, if it is one of this program's and this process's.
    pub(super) fn agreed(self, program: &Program, process: &Process) -> Result<(Channel, Position), SnapshotFileError> {
        let Self { channel, state, pause, ordinal } = self;
        let wrong = |what| SnapshotFileError::Position { what };
        if pause == Some(Pause::Syscall) && !process.waited() {
            return Err(wrong("it was stopped in a system call, and none is to be made again"));
        }
        let mut calling: Arc<str> = Arc::from("");
        if let Some(table) = &channel.table {
            let exports = program.interface()?.exports();
            if exports.iter().any(|export| !table.exports.contains_key(export.name())) {
                return Err(wrong("its table of functions lacks one that the program exports"));
            }
            if let Some(ordinal) = ordinal {
                let called = table.exports.iter().find(|(_, it)| **it == ordinal);
                calling = called.map(|(name, _)| Arc::from(&**name)).ok_or(wrong("it is in a call of no function"))?;
            }
        }
        Ok((channel, Position { state, pause, calling, ordinal }))
    }
}
