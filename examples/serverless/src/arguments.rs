//! The command line.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;

use crate::error::Error;
use crate::functions::settings::Settings;

/// Serve untrusted functions over HTTP, a fresh machine state for every request
#[derive(Debug, clap::Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[cfg(feature = "nats")]
    #[command(subcommand)]
    pub(crate) command: Option<crate::worker::arguments::Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten, next_help_heading = "What a function may use unless its deployment says otherwise")]
    pub(crate) settings: Settings,
}

/// What the HTTP server is.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Functions to deploy at the start, called by their file names; without any, and with an empty store, two small ones that the server brings along
    #[arg(value_name = "FUNCTION_FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where to listen; beyond this machine only with a token
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) address: SocketAddr,
    #[command(flatten)]
    pub(crate) token: Token,
    /// A directory that keeps the functions; without one, a restart forgets them
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) store: Option<PathBuf>,
    /// Connections at once; more wait
    #[arg(long, value_name = "COUNT", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..).map(count))]
    pub(crate) connections: usize,
    /// How long a client may take to send a request's head, and how long a connection may be idle, in milliseconds
    #[arg(long = "head-ms", value_name = "COUNT", default_value = "10000", value_parser = milliseconds)]
    pub(crate) head_time: Duration,
    /// How long a client may take to send a body, and how long it may take nothing of an answer, in milliseconds
    #[arg(long = "body-ms", value_name = "COUNT", default_value = "10000", value_parser = milliseconds)]
    pub(crate) body_time: Duration,
    /// How long answers tell clients to go elsewhere before the server lets nobody in any more, in milliseconds
    #[arg(long = "drain-ms", value_name = "COUNT", default_value = "500", value_parser = milliseconds)]
    pub(crate) drain: Duration,
}

/// What requests have to have.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Token {
    /// A file with the token that requests have to have
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The token itself, where a file is not to be had
    #[arg(long, value_name = "TOKEN", env = "SERVERLESS_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
}

impl Token {
    /// The token, if there is one.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub(crate) fn read(&self) -> Result<Option<String>, Error> {
        match &self.token_file {
            Some(path) => {
                fs::read_to_string(path).map(Some).map_err(|source| Error::Read { path: path.clone(), source })
            }
            None => Ok(self.token.clone()),
        }
    }
}

/// What every host of functions is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Functions at most
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..).map(count))]
    pub(crate) functions: usize,
    /// Longest file of a function, in MiB
    #[arg(long = "image-mib", value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096).map(count))]
    pub(crate) image_mib: usize,
    /// Memory of all guests together, in MiB; three quarters of what the machine and the control group have, unless said otherwise
    #[arg(long = "guests-mib", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) guests_mib: Option<u32>,
    /// How much guests that compute for long give way to short ones: the nice value of their threads
    #[arg(long, value_name = "NICE", default_value_t = 10, value_parser = clap::value_parser!(i32).range(0..=19))]
    pub(crate) nice: i32,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
    /// What is in the log: `debug` has every request
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: tracing::Level,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line of text for each event
    Text,
    /// A JSON object for each event
    Json,
}

const EXAMPLES: &str = "Examples:
  serverless                                     the two that it brings along: word-count and shout
  serverless --store functions                   keep what is deployed
  serverless ./resize ./render --wall-ms 200     your own, at most 200 ms for a request
  curl --data-binary @notes.txt http://127.0.0.1:8080/invoke/word-count
  curl --upload-file ./resize 'http://127.0.0.1:8080/functions/resize?wall_ms=200'
  curl http://127.0.0.1:8080/functions
  serverless worker --nats nats://127.0.0.1      run invocations from a queue";

pub(crate) fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse::<u32>().map(|count| Duration::from_millis(count.into()))
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
