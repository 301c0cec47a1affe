//! The host beyond one machine: invocations come from a queue in NATS JetStream, functions from a bucket of its object store.
//!
//! ```text
//! submit ──► stream PREFIX-invocations ──► consumer `workers` ──► worker: invocation ──► stream PREFIX-results ──► submit --wait
//!              PREFIX.invoke.FUNCTION        who has what,          │  ▲                   PREFIX.result.ID
//!                    ▲                       and until when         │  library ◄── bucket PREFIX-functions ◄── deploy
//!                    └── acknowledged when its result is stored ────┘
//!
//! arguments    the command line                       connection   a client of the server, and how it is let in
//! queue        streams, subjects, the consumer        bucket       functions in the object store
//! session      what a worker does while it has a client: fetch as many as it can run
//! invocation   one message from its arrival to its acknowledgement: receipt, outcome
//! sieve        messages that the client cannot read   library      deploys what is in the bucket
//! submit       the other side: deploy, submit
//! ```
//! A worker keeps nothing: killed at any time, it loses no invocation, because what it did not acknowledge is delivered again.

pub(crate) mod arguments;
mod bucket;
mod connection;
mod invocation;
mod library;
mod outcome;
mod queue;
mod receipt;
mod session;
mod sieve;
pub(crate) mod submit;

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::arguments::Worker;
use self::bucket::BucketError;
use self::connection::ConnectionError;
use self::library::Library;
use self::queue::QueueError;
use self::session::{Ended, Session};
use crate::functions::{Functions, Most};
use crate::http::listener::{self, Bounds};
use crate::http::{self, Access, Server};
use crate::lanes::Lanes;

/// Why a worker does not start, or a submission does not go well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("the body has more than {most} bytes, which is as much as the NATS server takes in a message")]
    TooLong { most: usize },
    #[error("the invocation was not stored: {source}")]
    NotStored { source: async_nats::Error },
    #[error("no result of {id} came within {waited:?}: it may still come, as {subject}")]
    NoResult { id: String, subject: String, waited: Duration },
    #[error("{id} failed: {kind}: {detail}")]
    Failed { id: String, kind: String, detail: String },
}

/// How long a worker that lost its client waits before it makes another.
const AGAIN: Duration = Duration::from_secs(1);
/// How long one of those who look at a worker may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of those who look at a worker.
const OBSERVERS: usize = 64;

/// Works until `stop` is ready, and then until what it has begun is done.
pub(crate) async fn run(
    worker: Worker,
    lanes: Lanes,
    stop: impl Future<Output = ()>,
) -> Result<(), crate::error::Error> {
    let settings = worker.settings.clone().checked().map_err(|source| crate::error::Error::Setting { source })?;
    let most = Most { functions: worker.common.functions, image_bytes: worker.common.image_mib << 20 };
    let functions = Arc::new(Functions::new(None, lanes, most));
    let library = Arc::new(Library::new(Arc::clone(&functions), settings.clone()));
    let name: Arc<str> = worker.name().into();

    // Whoever starts it is told at once of a server that is not there, or that does not let it in.
    let mut session = Some(Session::open(&worker, &name, &functions, &library).await?);
    let observers = match worker.address {
        Some(address) => {
            let access = Access::new(address, worker.token.read()?.as_deref())?;
            let server = Arc::new(Server::new(Arc::clone(&functions), settings, access, Duration::ZERO));
            Some(observe(address, server).await?)
        }
        None => None,
    };
    let server = observers.as_ref().map(|observers| Arc::clone(&observers.server));
    let stop = async move {
        stop.await;
        if let Some(server) = server {
            server.drain();
        }
    };
    let mut stop = pin!(stop.shared());
    loop {
        let opened = match session.take() {
            Some(session) => Ok(session),
            None => Session::open(&worker, &name, &functions, &library).await,
        };
        match opened {
            Ok(session) => match session.serve(&mut stop).await {
                Ended::Stopped => break,
                Ended::Lost => tracing::warn!("the connection is lost for good: making another"),
            },
            Err(error) => tracing::warn!(%error, "cannot work at the moment"),
        }
        tokio::select! {
            () = &mut stop => break,
            () = sleep(AGAIN) => {}
        }
    }
    if let Some(observers) = observers {
        observers.end().await;
    }
    tracing::info!("ended: nothing is left");
    Ok(())
}

/// What tells of a worker over HTTP.
struct Observers {
    server: Arc<Server>,
    stop: oneshot::Sender<()>,
    listens: JoinHandle<()>,
}

impl Observers {
    async fn end(self) {
        // It is gone only if the listener is.
        let _ = self.stop.send(());
        let _ = self.listens.await;
    }
}

async fn observe(address: SocketAddr, server: Arc<Server>) -> Result<Observers, crate::error::Error> {
    let cannot_listen = |source| crate::error::Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "listening on http://{address}").and_then(|()| stdout.flush());
    printed.map_err(|source| crate::error::Error::Print { source })?;
    drop(stdout);
    let (stop, stopped) = oneshot::channel::<()>();
    let router = http::observed(Arc::clone(&server));
    let bounds = Bounds { connections: OBSERVERS, head: PATIENCE, stall: PATIENCE, drain: Duration::ZERO };
    let listens = tokio::spawn({
        let server = Arc::clone(&server);
        async move { listener::serve(listener, router, &server, bounds, stopped.map(drop)).await }
    });
    Ok(Observers { server, stop, listens })
}
