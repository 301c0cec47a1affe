//! A server of functions that nobody has to trust: each request has a machine state that no other has touched.
//!
//! ```text
//! load      files ─► functions, booted and snapshotted        arguments   the command line
//! server    HTTP: who is asked, what is refused at the door   failure     how a request fails: status and text
//! function  one request: a pooled sandbox, or a whole run     error       why the server does not start
//! ```
#![deny(unsafe_code)]

mod arguments;
mod error;
mod failure;
mod function;
mod load;
mod server;

use std::io::Write;
use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser;
use error::Error;
use function::Function;
use server::Functions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a program that ctrl-c ended.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serverless: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let functions = load::load(arguments)?;
    // A guest that sleeps holds the thread that polls it: as many may sleep as there are sandboxes, and the others are still served.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cpus + functions.values().map(Function::threads).sum::<usize>();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(|source| Error::Runtime { source })?.block_on(serve(arguments, functions))
}

async fn serve(arguments: &Arguments, functions: Functions) -> Result<(), Error> {
    let address = arguments.address;
    let cannot_listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    greet(&functions, listener.local_addr().map_err(cannot_listen)?).map_err(|source| Error::Print { source })?;
    let router = server::router(functions, arguments.body_bytes());
    let served = axum::serve(listener, router).with_graceful_shutdown(interrupted());
    served.await.map_err(|source| Error::Serve { source })
}

fn greet(functions: &Functions, address: std::net::SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    let width = functions.keys().map(String::len).max().unwrap_or(0);
    for (name, function) in functions.iter() {
        writeln!(stdout, "  POST /invoke/{name:width$}  {function}")?;
    }
    stdout.flush()
}

/// Waits for ctrl-c. What is being served is then finished, and a second one ends even that.
async fn interrupted() {
    // One listener for both: a second ctrl-c that comes at once is not missed.
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else {
        // Ctrl-c ends the process as it always does.
        return std::future::pending().await;
    };
    interrupts.recv().await;
    tokio::spawn(async move {
        interrupts.recv().await;
        std::process::exit(INTERRUPTED);
    });
}
