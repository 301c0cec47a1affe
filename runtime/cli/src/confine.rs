//! The command confines itself before the first instruction of a guest: whoever leaves the virtual machine finds nothing to do.

use std::error::Error;

use ampoule::confine::{ConfineError, Confinement};

/// What the commands that run guests offer.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Rights {
    /// Do not give up this process's own rights first (landlock and seccomp; see `ampoule doctor`)
    #[arg(long)]
    no_confine: bool,
}

impl Rights {
    /// Confines the process, and with it the one thread that it has. Everything that is opened from now on is in `confinement`.
    pub(crate) fn apply(self, confinement: &Confinement) -> Result<(), Box<dyn Error>> {
        self.apply_to_process(confinement)?;
        self.apply_to_this_thread()
    }

    /// Confines the process, and leaves its threads the system calls that they make.
    pub(crate) fn apply_to_process(self, confinement: &Confinement) -> Result<(), Box<dyn Error>> {
        if !self.no_confine {
            // A kernel without landlock is told of by `ampoule doctor`.
            let _ = confinement.apply_to_process().map_err(told)?;
        }
        Ok(())
    }

    /// Confines this thread, which runs guests.
    pub(crate) fn apply_to_this_thread(self) -> Result<(), Box<dyn Error>> {
        if self.no_confine { Ok(()) } else { Confinement::new().apply_to_this_thread().map_err(told) }
    }
}

/// What to do about it, where the command itself has the answer.
fn told(error: ConfineError) -> Box<dyn Error> {
    match error {
        ConfineError::Landlock { .. } | ConfineError::Seccomp { .. } => {
            format!("{error}; --no-confine runs the program in a process that keeps its rights").into()
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_kernel_refuses_to_confine_the_way_to_go_without_is_told() {
        let refused = told(ConfineError::Seccomp { reason: "Function not implemented".into() });
        assert!(refused.to_string().contains("--no-confine"), "{refused}");
        let path = ConfineError::Path { path: "absent".into(), source: std::io::ErrorKind::NotFound.into() };
        assert!(!told(path).to_string().contains("--no-confine"));
    }
}
