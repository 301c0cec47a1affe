//! Connections: how many there are, how slow they may be, and how they end when the server does.
//!
//! ```text
//! serving ── stop ──► draining: answers end their connections, new ones are served ── drain time over ──► closing: nobody new, the rest is finished
//! ```
//! Who was let in last has sent nothing yet, and is not turned away for it: its first answer ends its connection. One that is still idle after another
//! drain time is closed.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::Server;
use crate::descriptors;

/// How long nobody is let in after the host had no descriptor for one more: some connections end meanwhile.
const NO_ROOM: Duration = Duration::from_millis(50);
/// How long it takes until a client that the kernel has begun to let in is in: a round trip.
const HANDSHAKE: Duration = Duration::from_millis(100);

/// What connections may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How many there are at once. Others wait until one ends.
    pub(crate) connections: usize,
    /// How long a client may take to send a request's head, from the connection's beginning or the answer before.
    pub(crate) head: Duration,
    /// How long a client may take nothing of its answer.
    pub(crate) stall: Duration,
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
    let (lives, mut ended) = mpsc::channel(1);
    let connections = Connections {
        room: Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS))),
        router,
        bounds,
        graceful: GracefulShutdown::new(),
        lives,
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
    let_nobody_new_in(&listener);
    let mut settled = pin!(sleep(HANDSHAKE));
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.serve(stream, Arc::clone(&connections.room).try_acquire_owned().ok()),
                Err(error) => refused(&error).await,
            },
            () = &mut settled => break,
        }
    }
    drop(listener);
    let Connections { graceful, lives, .. } = connections;
    drop(lives);
    // Nothing is sent: it ends when the last connection does.
    let _ = timeout(bounds.drain, ended.recv()).await;
    graceful.shutdown().await;
}

/// Has the kernel drop what would begin a connection, and nothing else: who is half let in when a listener is closed would be reset. Who knocks meanwhile
/// does so again after a second, and is refused.
fn let_nobody_new_in(listener: &TcpListener) {
    // Where a TCP header has its flags, and two of them.
    let (flags, syn, ack) = (13, 0x02, 0x10);
    // What linux/filter.h calls BPF_LD | BPF_B | BPF_ABS, BPF_ALU | BPF_AND, BPF_JMP | BPF_JEQ and BPF_RET.
    let [load_byte, and, jump_if_equal, give_back] = [0x30, 0x54, 0x15, 0x06];
    let filter = [
        SockFilter::new(load_byte, 0, 0, flags),
        SockFilter::new(and, 0, 0, syn | ack),
        SockFilter::new(jump_if_equal, 0, 1, syn),
        SockFilter::new(give_back, 0, 0, 0),
        SockFilter::new(give_back, 0, 0, u32::MAX),
    ];
    if let Err(error) = SockRef::from(listener).attach_filter(&filter) {
        tracing::debug!(%error, "whoever connects in the last moment may be reset");
    }
}

/// A connection that could not be made: one that ended already is nobody's business.
async fn refused(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection");
    // Machines that nobody uses hold what a connection needs.
    descriptors::give_back();
    sleep(NO_ROOM).await;
}

struct Connections {
    room: Arc<Semaphore>,
    router: Router,
    bounds: Bounds,
    graceful: GracefulShutdown,
    /// Each connection has a copy for as long as it lives.
    lives: mpsc::Sender<()>,
}

impl Connections {
    fn serve(&self, stream: TcpStream, room: Option<OwnedSemaphorePermit>) {
        // Answers are whole: waiting for more to send only makes them late.
        let _ = stream.set_nodelay(true);
        // A client that reads nothing would keep its connection, and what it was to read, for as long as it likes.
        let stall = u32::try_from(self.bounds.stall.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, stall) {
            tracing::debug!(%error, "a client may take its answer as slowly as it likes");
        }
        let service = TowerToHyperService::new(self.router.clone().into_service::<hyper::body::Incoming>());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.head)
            .serve_connection(TokioIo::new(stream), service);
        let served = self.graceful.watch(connection);
        let lives = self.lives.clone();
        tokio::spawn(async move {
            let _held = (room, lives);
            // How a connection ends is its client's business.
            let _: Result<(), hyper::Error> = served.await;
        });
    }
}
