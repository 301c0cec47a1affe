//! Which files this process may still open: landlock(7).
//!
//! What is open already stays open; what is opened from now on lies at or below a path that was allowed. The three streams may be opened again
//! as they are, since a pipe or a terminal is read without blocking through a description of our own.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, RestrictSelf, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{FileType, OFlags};

use super::error::ConfineError;
use super::{Confinement, Enforced};

/// What is asked for: all that the newest kernel has with which this was tested. An older one enforces what it knows.
const ASKED: ABI = ABI::V7;

/// What this kernel's landlock can enforce; none without it.
pub(super) fn version() -> Option<u32> {
    // Asked for nothing, it does nothing but say what there is.
    let status = RestrictSelf::default().no_new_privs(false).apply().ok()?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            u32::try_from(kernel_abi.unwrap_or(effective_abi as i32)).ok()
        }
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    }
}

/// Restricts the calling thread and those that it will start.
pub(super) fn restrict(confinement: &Confinement) -> Result<Enforced, ConfineError> {
    let mut rules = ruleset(confinement.network).map_err(refused)?;
    for (path, writable) in &confinement.paths {
        let file = open(path).map_err(|source| ConfineError::Path { path: path.clone(), source })?;
        let metadata = file.metadata().map_err(|source| ConfineError::Path { path: path.clone(), source })?;
        let access = if *writable { read() | write() } else { read() };
        let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(ASKED) };
        (&mut rules).add_rule(PathBeneath::new(file, access)).map_err(refused)?;
    }
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        if let Some(access) = reopened(stream) {
            // A pipe is in no file system, so that there is no rule about it: it is never refused.
            let _ = (&mut rules).add_rule(PathBeneath::new(stream, access));
        }
    }
    let status = rules.restrict_self().map_err(refused)?;
    let enforced = status.ruleset != RulesetStatus::NotEnforced;
    Ok(Enforced { landlock: version().filter(|_| enforced), network: !confinement.network })
}

fn ruleset(network: bool) -> Result<RulesetCreated, RulesetError> {
    let rules = Ruleset::default().handle_access(AccessFs::from_all(ASKED))?.scope(Scope::Signal)?;
    if network {
        return rules.create();
    }
    rules.handle_access(AccessNet::from_all(ASKED))?.scope(Scope::AbstractUnixSocket)?.create()
}

fn refused(error: RulesetError) -> ConfineError {
    ConfineError::Landlock { reason: error.into() }
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Files, directories and links; no devices, sockets or FIFOs, and no `ioctl` on a device.
fn write() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
}

/// How a stream may be opened again; none if that never happens.
fn reopened(stream: BorrowedFd<'_>) -> Option<BitFlags<AccessFs>> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(stream).ok()?.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::Fifo) {
        return None;
    }
    match rustix::fs::fcntl_getfl(stream).ok()? & OFlags::ACCMODE {
        OFlags::WRONLY => Some(AccessFs::WriteFile.into()),
        OFlags::RDWR => Some(AccessFs::ReadFile | AccessFs::WriteFile),
        _ => Some(AccessFs::ReadFile.into()),
    }
}
