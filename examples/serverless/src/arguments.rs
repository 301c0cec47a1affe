//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ampoule::{Call, Limits};

use crate::function::Bounds;

/// Serve untrusted functions over HTTP, a fresh machine state for every request
#[derive(Debug, clap::Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Static Linux programs, called by their file names; without any, two small ones that the server brings along
    #[arg(value_name = "FUNCTION_FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where to listen; whoever can reach it can call the functions
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) address: SocketAddr,
    /// Wall time of a request, in milliseconds
    #[arg(long, value_name = "COUNT", default_value_t = 5000)]
    wall_ms: u64,
    /// CPU time of a request, in milliseconds
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    cpu_ms: u64,
    /// Memory of a function, in MiB
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=262_144))]
    memory_mib: u64,
    /// Longest body of a request, in KiB
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    body_kib: u16,
    /// Requests that one function serves at once
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    sandboxes: u16,
    /// How long a request waits for its turn, in milliseconds
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    wait_ms: u64,
}

const EXAMPLES: &str = "Examples:
  serverless                                     the two that it brings along: word-count and shout
  serverless ./resize ./render --wall-ms 200     your own, at most 200 ms for a request
  curl --data-binary @notes.txt http://127.0.0.1:8080/invoke/word-count
  curl http://127.0.0.1:8080/functions";

/// Most bytes of a reply: as many as Ampoule's message may have.
const REPLY_BYTES: u64 = 16 << 20;

impl Arguments {
    /// Most bytes of a body.
    pub(crate) fn body_bytes(&self) -> usize {
        usize::from(self.body_kib) << 10
    }

    /// What a request may use.
    pub(crate) fn bounds(&self) -> Bounds {
        let (wall, cpu) = (Duration::from_millis(self.wall_ms), Duration::from_millis(self.cpu_ms));
        Bounds {
            limits: Limits::new().memory(self.memory_mib << 20),
            call: Call::new().wall(wall).cpu(cpu).output(REPLY_BYTES),
            wait: Duration::from_millis(self.wait_ms),
            sandboxes: self.sandboxes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
