//! The command confines itself before the first instruction of a guest: whoever leaves the virtual machine finds nothing to do.

use std::error::Error;

use ampoule::confine::Confinement;

/// What both commands that run guests offer.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Rights {
    /// Do not give up this process's own rights first (landlock and seccomp; see `ampoule doctor`)
    #[arg(long)]
    no_confine: bool,
}

impl Rights {
    /// Confines the process, and with it the one thread that it has. Everything that is opened from now on is in `confinement`.
    pub(crate) fn apply(self, confinement: &Confinement) -> Result<(), Box<dyn Error>> {
        if self.no_confine {
            return Ok(());
        }
        // A kernel without landlock is told of by `ampoule doctor`.
        let _ = confinement.apply_to_process()?;
        Ok(confinement.apply_to_this_thread()?)
    }
}
