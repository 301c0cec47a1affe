//! Sources as bytes: which, how far the clock is, how many random bytes were taken. The stream's key follows from the seed.

use super::super::chacha::Stream;
use super::{Clock, Sources, Supply, key};
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

impl Supply {
    pub(in crate::linux) fn encode(&self, writer: &mut Writer) {
        let Self::Own(Clock { is_frozen, elapsed, slept }, stream) = self else {
            return writer.u8(0);
        };
        if *is_frozen {
            writer.u8(1);
        } else {
            let [[low, high, ..], _] = stream.key();
            writer.u8(2);
            writer.u32(low);
            writer.u32(high);
            writer.u64(*elapsed);
            writer.u64(*slept);
        }
        writer.u64(stream.taken());
    }

    pub(in crate::linux) fn decode(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (seed, clock) = match reader.u8_up_to("sources", 2)? {
            0 => return Ok(Self::new(Sources::Real)),
            1 => (0, Clock { is_frozen: true, ..Clock::default() }),
            _ => {
                let seed = reader.u64("seed of the sources")?;
                let elapsed = reader.u64("time since the start")?;
                let slept = reader.u64_up_to("time slept", elapsed)?;
                (seed, Clock { is_frozen: false, elapsed, slept })
            }
        };
        let stream = Stream::after(key(clock.is_frozen, seed), reader.u64("random bytes taken")?);
        Ok(Self::Own(clock, stream))
    }
}
