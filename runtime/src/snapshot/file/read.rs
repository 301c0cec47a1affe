//! A snapshot out of the bytes of a file, which anybody may have written.

use std::collections::HashMap;
use std::sync::Arc;

use ampoule_kernel::call;

use super::{SnapshotFileError, SnapshotOptions, header, pages, position, registers};
use crate::limits::Limits;
use crate::linux::Process;
use crate::linux::files::Quota;
use crate::machine::boot::Doorbell;
use crate::machine::load;
use crate::machine::shells::Fittings;
use crate::program::Program;
use crate::sandbox::saved::Saved;
use crate::vm::features::GuestFeatures;
use crate::wire::Reader;

/// The whole file.
pub(super) fn read(bytes: &[u8], options: &SnapshotOptions) -> Result<Saved, SnapshotFileError> {
    let mut reader = header::check(bytes)?;
    abi(&mut reader)?;
    let (features, here) = features(&mut reader)?;
    let file = reader.bytes("program")?;
    let limits = limits(&mut reader, &options.limits)?;
    let place = position::read(&mut reader, options.events)?;
    let registers = registers::read(&mut reader)?;
    let (file_bytes, inodes) = limits.file_quota();
    let quota = Quota { bytes: file_bytes, inodes };
    let process = Process::decode(&mut reader, quota, limits.descriptors())?;
    let program = program(file, &process, options)?;
    let (channel, position) = place.agreed(&program, &process)?;
    let space = pages::read(&mut reader, &limits, &process, here.has_no_execute())?;
    reader.finish()?;
    Ok(Saved {
        fittings: Fittings::new(limits.pages(), Doorbell::default()).with(channel.events.is_some(), Vec::new()),
        program,
        limits,
        regions: Arc::new(HashMap::new()),
        machine: space.into_state(registers),
        process,
        channel,
        position,
        features,
    })
}

fn abi(reader: &mut Reader<'_>) -> Result<(), SnapshotFileError> {
    let version = reader.u64_up_to("ABI version", u32::MAX.into())?;
    let [major, minor] = [version >> 16, version & 0xffff].map(|part| u16::try_from(part).unwrap_or(u16::MAX));
    // A guest of an older minor version knows nothing that is not there any more.
    if major == call::ABI_MAJOR && (0..=call::ABI_MINOR).contains(&minor) {
        return Ok(());
    }
    Err(SnapshotFileError::Abi { major, minor, known: (call::ABI_MAJOR, call::ABI_MINOR) })
}

/// Those that the guest needs, and those that there are.
fn features(reader: &mut Reader<'_>) -> Result<(GuestFeatures, GuestFeatures), SnapshotFileError> {
    let bits = reader.u64("processor features")?;
    let needed =
        GuestFeatures::from_bits(bits).map_err(|unknown| SnapshotFileError::UnknownFeatures { bits: unknown.bits })?;
    let here = GuestFeatures::of_processor();
    match needed.without(here).names().next() {
        Some(feature) => Err(SnapshotFileError::MissingFeature { feature }),
        None => Ok((needed, here)),
    }
}

fn limits(reader: &mut Reader<'_>, granted: &Limits) -> Result<Limits, SnapshotFileError> {
    let memory = reader.u64("memory limit")?;
    let open_files = reader.u32_up_to("limit of open files", u16::MAX.into())?;
    let mut size = |field| -> Result<u64, SnapshotFileError> { Ok(reader.u64(field)?) };
    let file_bytes = size("limit of bytes in files")?;
    let file_count = size("limit of files")?;
    let message = size("limit of a message")?;
    let (granted_bytes, granted_count) = granted.file_quota();
    for (what, needed, granted) in [
        ("memory limit", memory, granted.memory_bytes()),
        ("limit of open files", open_files.into(), granted.descriptors().into()),
        ("limit of bytes in files", file_bytes, granted_bytes as u64),
        ("limit of files", file_count, granted_count as u64),
        ("limit of a message", message, granted.message() as u64),
    ] {
        if needed > granted {
            return Err(SnapshotFileError::NotGranted { what, needed, granted, option: "limits" });
        }
    }
    // None is above what is granted.
    let [file_bytes, file_count, message] =
        [file_bytes, file_count, message].map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    let limits = Limits::new()
        .memory(memory)
        .open_files(u16::try_from(open_files).unwrap_or(u16::MAX))
        .file_bytes(file_bytes)
        .file_count(file_count)
        .message_bytes(message);
    if limits.memory_bytes() != memory {
        return Err(SnapshotFileError::Limit { what: "memory limit", value: memory });
    }
    Ok(limits)
}

fn program(file: &[u8], process: &Process, options: &SnapshotOptions) -> Result<Program, SnapshotFileError> {
    let name = String::from_utf8_lossy(process.name());
    let program = Program::options().name(name).allow_write_execute(options.write_execute).from_bytes(file)?;
    let (stored, expected) = (process.bias(), load::bias(&program));
    if stored != expected {
        return Err(SnapshotFileError::Bias { stored, expected });
    }
    Ok(program)
}
