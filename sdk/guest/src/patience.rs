//! How long the ring is looked at for nothing before the guest parks: the host's choice, measured without leaving the guest.

use ampoule_kernel::call::info;

use crate::gate;

/// How long to spin for nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// When this wait began to be measured, in ticks, or in spins where ticks mean nothing.
    since: Option<u64>,
    /// How long it may last, in the same unit.
    limit: u64,
    /// True if `limit` is in ticks.
    ticks: bool,
    park: fn(),
}

impl Patience {
    /// Spins between two looks at the clock: one to three microseconds.
    pub(crate) const SPINS: u64 = 64;
    /// How long a spin takes, for want of a clock: a pause is 40 to 140 cycles.
    const SPIN_NANOSECONDS: u64 = 32;

    pub(crate) fn of_the_host() -> Self {
        let idle = gate::info(info::IDLE).unwrap_or(u64::MAX);
        match gate::info(info::TICKS).unwrap_or(0) {
            0 => Self::of_spins(idle / Self::SPIN_NANOSECONDS, gate::park),
            ticks => {
                let limit = u64::try_from(u128::from(idle) * u128::from(ticks) / 1000).unwrap_or(u64::MAX);
                Self { since: None, limit, ticks: true, park: gate::park }
            }
        }
    }

    /// So many spins, and then `park`.
    pub(crate) const fn of_spins(limit: u64, park: fn()) -> Self {
        Self { since: None, limit, ticks: false, park }
    }

    /// Parks if it has taken too long. `spins` counts those of this wait, and is a multiple of [`SPINS`](Self::SPINS).
    #[cold]
    pub(crate) fn check(&mut self, spins: u64) {
        let now = if self.ticks { gate::ticks() } else { spins };
        if spins == Self::SPINS {
            self.since = None;
        }
        let since = *self.since.get_or_insert(now);
        if now.wrapping_sub(since) >= self.limit {
            (self.park)();
            self.since = None;
        }
    }
}
