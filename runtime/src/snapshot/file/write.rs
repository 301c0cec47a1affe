//! A snapshot as the bytes of a file.

use ampoule_kernel::call;

use super::{SnapshotFileError, header, pages, position, registers};
use crate::limits::Limits;
use crate::sandbox::saved::Saved;
use crate::wire::Writer;

/// The whole file.
pub(super) fn write(saved: &Saved) -> Result<Vec<u8>, SnapshotFileError> {
    if !saved.regions.is_empty() {
        return Err(SnapshotFileError::Regions { count: saved.regions.len() });
    }
    if saved.process.files.have_mounts() {
        return Err(SnapshotFileError::HostDirs);
    }
    let mut writer = header::begin();
    writer.u64(call::version(call::ABI_MAJOR, call::ABI_MINOR));
    writer.u64(saved.features.bits());
    writer.bytes(saved.program.file());
    limits(&mut writer, &saved.limits);
    position::write(&mut writer, &saved.channel, &saved.position)?;
    registers::write(&mut writer, &saved.machine.payload_registers())?;
    saved.process.encode(&mut writer);
    pages::write(&mut writer, &saved.machine, &saved.process)?;
    Ok(header::end(writer))
}

fn limits(writer: &mut Writer, limits: &Limits) {
    let (file_bytes, file_count) = limits.file_quota();
    writer.u64(limits.memory_bytes());
    writer.u32(limits.descriptors().into());
    writer.u64(file_bytes as u64);
    writer.u64(file_count as u64);
    writer.u64(limits.message() as u64);
}
