//! Connections: how many there are, how slow they may be, and how they end when the server does.
//!
//! ```text
//! serving ── stop ──► draining: answers end their connections, new ones are served ── drain time over ──► closing: nobody new, the rest is finished
//! ```

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::Server;

/// How long a client may take to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long nobody is let in after the host had no descriptor for one more: some connections end meanwhile.
const NO_ROOM: Duration = Duration::from_millis(50);

/// What connections may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How many there are at once. Others wait until one ends.
    pub(crate) connections: usize,
    /// How long answers tell clients to go elsewhere before nobody is let in any more.
    pub(crate) drain: Duration,
}

/// Serves until `stop` is ready, and then until every request that was sent is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    server: &Server,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) {
    let connections = Connections {
        room: Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS))),
        router,
        graceful: GracefulShutdown::new(),
    };
    let drained = async {
        stop.await;
        server.drain();
        sleep(bounds.drain).await;
    };
    let mut drained = pin!(drained);
    loop {
        let next = async {
            // The semaphore is never closed.
            let room = Arc::clone(&connections.room).acquire_owned().await.ok();
            (listener.accept().await, room)
        };
        tokio::select! {
            biased;
            () = &mut drained => break,
            (accepted, room) = next => match accepted {
                Ok((stream, _)) => connections.serve(stream, room),
                Err(error) => refused(&error).await,
            },
        }
    }
    // Whoever the kernel has let in already is not turned away.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        let room = Arc::clone(&connections.room).try_acquire_owned().ok();
        connections.serve(stream, room);
    }
    drop(listener);
    connections.graceful.shutdown().await;
}

/// A connection that could not be made: one that ended already is nobody's business.
async fn refused(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection");
    sleep(NO_ROOM).await;
}

struct Connections {
    room: Arc<Semaphore>,
    router: Router,
    graceful: GracefulShutdown,
}

impl Connections {
    fn serve(&self, stream: TcpStream, room: Option<OwnedSemaphorePermit>) {
        // Answers are whole: waiting for more to send only makes them late.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(self.router.clone().into_service::<hyper::body::Incoming>());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), service);
        let served = self.graceful.watch(connection);
        tokio::spawn(async move {
            let _room = room;
            // How a connection ends is its client's business.
            let _: Result<(), hyper::Error> = served.await;
        });
    }
}
