//! The command line of what has to do with NATS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;

use super::queue::Prefix;
use crate::arguments::{Common, Token, count, milliseconds};
use crate::functions::failure::clean;
use crate::functions::name::Name;
use crate::functions::settings::Settings;

/// Longest name of a worker, in characters: it is in every result.
const MAX_NAME: usize = 64;

/// What is done beside serving over HTTP.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run invocations from a queue of a NATS server, with functions from its object store
    Worker(Box<Worker>),
    /// Put a function into the object store: workers take it up at once
    Deploy(Box<Deploy>),
    /// Put an invocation into the queue, and print its id
    Submit(Box<Submit>),
}

/// How a NATS server is reached.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    /// The server, or several of one cluster with commas between them: nats://HOST, nats://USER:PASSWORD@HOST:PORT, tls://HOST
    #[arg(
        long = "nats",
        value_name = "URL",
        env = "NATS_URL",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    pub(crate) urls: Vec<String>,
    /// A file with the certificates of those who may say who the server is; without it, the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// A certificate that says who this client is
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// A credentials file: a JWT and the seed of its key
    #[cfg(feature = "nats-creds")]
    #[arg(long, value_name = "FILE", env = "NATS_CREDS")]
    pub(crate) creds: Option<PathBuf>,
}

/// What the streams are called, and what they are if they are not there yet. What is there is never changed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Streams {
    /// How the names of streams, bucket and subjects begin
    #[arg(long, value_name = "NAME", default_value = "ampoule")]
    pub(crate) prefix: Prefix,
    /// Servers that keep a copy of what is stored: 3 in a cluster
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5).map(count))]
    pub(crate) replicas: usize,
    /// How long an invocation may wait in the queue before it is forgotten, in seconds; 0 is for ever
    #[arg(long = "max-age-s", value_name = "COUNT", default_value = "604800", value_parser = seconds)]
    pub(crate) max_age: Duration,
    /// How long a result is kept, in seconds; 0 is for ever
    #[arg(long = "result-age-s", value_name = "COUNT", default_value = "86400", value_parser = seconds)]
    pub(crate) result_age: Duration,
    /// Most MiB of invocations that wait: what is more is refused; 0 is as many as the server keeps
    #[arg(long = "queue-mib", value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1 << 30))]
    pub(crate) queue_mib: u32,
    /// How long a message is a worker's alone without a sign of life, in milliseconds
    #[arg(long = "ack-wait-ms", value_name = "COUNT", default_value = "30000", value_parser = milliseconds_from(100))]
    pub(crate) ack_wait: Duration,
    /// Invocations of all workers at once
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_ack_pending: u32,
}

/// Run invocations from a queue of a NATS server, with functions from its object store
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) streams: Streams,
    /// Invocations at once, of all functions
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) invocations: u32,
    /// What the worker is called in results; without it, the host's name and the process's number
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Deliveries of an invocation after which a failure that is not the function's is its result
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1000))]
    pub(crate) max_deliver: i64,
    /// How long an invocation that could not run waits for its second delivery, in milliseconds; then twice as long, and so on up to a minute
    #[arg(long = "retry-ms", value_name = "COUNT", default_value = "1000", value_parser = milliseconds_from(1))]
    pub(crate) retry: Duration,
    /// How the subjects begin at which submitters may ask for results
    #[arg(long, value_name = "SUBJECT", default_value = "_INBOX")]
    pub(crate) reply_prefix: String,
    /// Where to answer GET /healthz, /metrics and /reports/ID; beyond this machine only with a token
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) address: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) token: Token,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten, next_help_heading = "What a function may use unless its deployment says otherwise")]
    pub(crate) settings: Settings,
}

impl Worker {
    /// What it is called, fit for a header and a log.
    pub(crate) fn name(&self) -> String {
        let name = self.name.clone().unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{}-{}", host.trim(), std::process::id())
        });
        clean(&name).chars().take(MAX_NAME).collect()
    }
}

/// Put a function into the object store: workers take it up at once
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) streams: Streams,
    /// A static ELF or a snapshot
    #[arg(value_name = "FILE", required_unless_present = "delete", conflicts_with = "delete")]
    pub(crate) file: Option<PathBuf>,
    /// What the function is called
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Name,
    /// Take the function out instead
    #[arg(long)]
    pub(crate) delete: bool,
    #[command(flatten, next_help_heading = "What the function may use")]
    pub(crate) settings: Settings,
}

/// Put an invocation into the queue, and print its id
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) streams: Streams,
    /// The function
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// A file with the body; without it, the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// What the invocation is called: what is submitted again with the same id soon is not run again
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<super::invocation::Id>,
    /// Wait so many seconds for the result, and write it to the standard output instead of the id
    #[arg(long = "wait-s", value_name = "COUNT", value_parser = seconds)]
    pub(crate) wait: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse::<u32>().map(|count| Duration::from_secs(count.into()))
}

fn milliseconds_from(least: u64) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| match milliseconds(text) {
        Ok(duration) if duration >= Duration::from_millis(least) => Ok(duration),
        Ok(_) => Err(format!("at least {least}")),
        Err(error) => Err(error.to_string()),
    }
}
