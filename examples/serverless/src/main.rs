//! A host of functions that nobody has to trust: each invocation has a machine state that no other has touched.
//!
//! ```text
//! arguments, error   the command line, and why it does not start
//! descriptors        what connections and machines share
//! load               the functions that are there at the start
//! http               who asks: over HTTP ──────┐
//! worker             or from a queue in NATS ──┤
//! functions          what is asked for: deployed, kept, invoked
//! lanes              which threads a guest computes on
//! memory             how much guests may have together
//! ```
#![deny(unsafe_code)]

mod arguments;
mod descriptors;
mod error;
mod functions;
mod http;
mod lanes;
mod load;
mod memory;
#[cfg(feature = "nats")]
mod worker;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::{io, thread};

use arguments::{Arguments, Common, LogFormat};
use clap::Parser;
use error::Error;
use functions::store::Store;
use functions::{Functions, Most};
use http::listener::{self, Bounds};
use http::{Access, Server};
use lanes::Lanes;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
#[cfg(feature = "nats")]
use worker::arguments::Command;

/// The exit code of a program that ctrl-c ended.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(common(&arguments), level(&arguments));
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serverless: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Error> {
    let common = common(&arguments);
    let guests_mib = common.guests_mib.unwrap_or_else(memory::default_mib);
    ampoule::set_memory_budget(u64::from(guests_mib) << 20);
    let nice = common.nice;
    let background = runtime("background", move || lanes::give_way(nice))?;
    let front = runtime("front", || {})?;
    let lanes = Lanes::new(background.handle().clone());
    #[cfg(feature = "nats")]
    let done = front.block_on(async {
        match arguments.command {
            None => serve(arguments, lanes).await,
            Some(Command::Worker(worker)) => worker::run(*worker, lanes, stopped()).await,
            Some(Command::Deploy(deploy)) => worker::submit::deploy(*deploy).await,
            Some(Command::Submit(submit)) => worker::submit::submit(*submit).await,
        }
    });
    #[cfg(not(feature = "nats"))]
    let done = front.block_on(serve(arguments, lanes));
    // Every request is answered: what is left is a guest that nobody waits for.
    background.shutdown_background();
    done
}

/// What is said of every host, whichever this one is.
fn common(arguments: &Arguments) -> &Common {
    #[cfg(feature = "nats")]
    if let Some(Command::Worker(worker)) = &arguments.command {
        return &worker.common;
    }
    &arguments.common
}

/// What is in the log: of what ends by itself, only what is wrong.
fn level(arguments: &Arguments) -> Level {
    #[cfg(feature = "nats")]
    if let Some(Command::Deploy(_) | Command::Submit(_)) = &arguments.command {
        return Level::WARN;
    }
    common(arguments).log_level
}

fn runtime(name: &str, begins: impl Fn() + Send + Sync + 'static) -> Result<Runtime, Error> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(cpus).thread_name(name).on_thread_start(begins).enable_all();
    builder.build().map_err(|source| Error::Runtime { source })
}

async fn serve(arguments: Arguments, lanes: Lanes) -> Result<(), Error> {
    let Arguments { serve, common, settings, .. } = arguments;
    descriptors::raise_limit();
    let settings = settings.checked().map_err(|source| Error::Setting { source })?;
    let address = serve.address;
    let access = Access::new(address, serve.token.read()?.as_deref())?;
    let store = serve.store.as_deref().map(Store::open).transpose()?;
    let most = Most { functions: common.functions, image_bytes: common.image_mib << 20 };
    let functions = Arc::new(Functions::new(store, lanes, most));
    functions.load()?;
    load::load(&functions, &serve.files, &settings).await?;

    let cannot_listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    greet(&functions, listener.local_addr().map_err(cannot_listen)?).map_err(|source| Error::Print { source })?;
    let server = Arc::new(Server::new(functions, settings, access, serve.body_time));
    let bounds =
        Bounds { connections: serve.connections, head: serve.head_time, stall: serve.body_time, drain: serve.drain };
    listener::serve(listener, http::router(Arc::clone(&server)), &server, bounds, stopped()).await;
    Ok(())
}

fn greet(functions: &Functions, address: std::net::SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    for (name, _) in functions.all() {
        writeln!(stdout, "  POST /invoke/{name}")?;
    }
    stdout.flush()
}

fn start_log(common: &Common, level: Level) {
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(false);
    match common.log {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Waits for ctrl-c or SIGTERM. What is being served is then finished, and a second one ends even that.
async fn stopped() {
    // One listener for both: a second signal that comes at once is not missed.
    let signals = signal(SignalKind::interrupt()).and_then(|first| Ok((first, signal(SignalKind::terminate())?)));
    let Ok((mut interrupts, mut terminations)) = signals else {
        // They end the process as they always do.
        return std::future::pending().await;
    };
    let mut one = async move || {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    };
    one().await;
    tracing::info!("ending: what was asked for is answered first");
    tokio::spawn(async move {
        one().await;
        std::process::exit(INTERRUPTED);
    });
}
