//! What the host tells and takes without a call, or by one that everybody may make.

use core::time::Duration;

use ampoule_kernel::call::info;

use crate::errno::Errno;
use crate::gate;

/// True if there is a host: [`serve`](crate::serve()) or [`attach_with`](crate::attach_with) has found one.
#[must_use]
pub fn is_attached() -> bool {
    gate::is_attached()
}

/// Posts event `id`, below 512, with a value. It costs no exit; the host sees it when it next looks.
///
/// False if there is no such event, or no host that takes any.
#[inline]
pub fn event(id: u16, value: u64) -> bool {
    gate::event(id, value)
}

/// How long the run in progress may still take. [`Duration::MAX`] where there is no host, or it sets no deadline that this clock shows.
#[must_use]
pub fn remaining() -> Duration {
    let Some(deadline) = gate::info(info::DEADLINE).filter(|&deadline| deadline != u64::MAX) else {
        return Duration::MAX;
    };
    gate::monotonic().map_or(Duration::MAX, |now| Duration::from_nanos(deadline.saturating_sub(now)))
}

/// Which life this is: another number after every restore and in every clone of a snapshot. Whoever keeps anything that must not be the same
/// in two lives, a random number generator above all, compares it before each use. 0 where there is no host.
#[must_use]
#[inline]
pub fn generation() -> u64 {
    gate::info(info::GENERATION).unwrap_or(0)
}

/// Fills a buffer with randomness from the system.
///
/// # Errors
/// The system has none to give; the buffer is then partly filled.
pub fn entropy(buffer: &mut [u8]) -> Result<(), Errno> {
    let mut rest = buffer;
    while !rest.is_empty() {
        match gate::getrandom(rest) {
            Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Memory that the host shares under this name, read-only and unchanging. `None` if there is none; without a host, unless there
/// is a mock.
///
/// Asking costs an exit: find a region once and keep it, in a `LazyLock` for instance.
#[must_use]
pub fn region(name: &str) -> Option<&'static [u8]> {
    #[cfg(feature = "std")]
    if !gate::is_attached() {
        return crate::mock::region(name);
    }
    gate::region(name)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn without_a_host_nothing_is_limited_posted_or_shared() {
        assert!(!is_attached() && !event(1, 2) && !event(512, 2));
        assert_eq!((remaining(), generation(), region("model")), (Duration::MAX, 0, None));
    }

    #[test]
    fn there_is_entropy_without_a_host() {
        let mut buffers = [[0_u8; 600]; 2];
        for buffer in &mut buffers {
            entropy(buffer).unwrap();
        }
        assert_ne!(buffers[0], buffers[1]);
        assert!(buffers[0][550..].iter().any(|&byte| byte != 0));
        entropy(&mut []).unwrap();
    }
}
