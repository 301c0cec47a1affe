//! What a worker does while it has a client: it fetches as many messages as it can run, and no more.
//!
//! ```text
//! room for n? ── fetch up to n ── each in a task of its own, which has room for one ──► invocation
//!      ▲                                                    │
//!      └──────────────────────── room again ◄───────────────┘
//! ```
//! What is fetched is a worker's alone: if it had more than it can run, the others would wait although they have room.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::WorkerError;
use super::arguments::Worker;
use super::connection::Connection;
use super::invocation::Invocation;
use super::library::{Following, Library};
use super::outcome::Unique;
use super::queue::Queue;
use super::sieve;
use crate::functions::Functions;

/// How long the server keeps a fetch open. A worker that is to end waits for it, because what was sent to it is its own.
const FETCH: Duration = Duration::from_secs(1);
/// Most messages of one fetch.
const MOST: usize = 256;
/// How often messages that cannot be read are looked for without a reason.
const SIEVE: Duration = Duration::from_secs(60);
/// The first wait after a fetch that failed, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) queue: Queue,
    pub(crate) functions: Arc<Functions>,
    /// The worker's.
    pub(crate) name: Arc<str>,
    pub(crate) max_deliver: i64,
    pub(crate) retry: Duration,
    pub(crate) reply_prefix: String,
    unique: Unique,
    room: Arc<Semaphore>,
    _following: Following,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was to end, and nothing is left to do.
    Stopped,
    /// The client will not come back.
    Lost,
}

impl Session {
    /// Connects, makes what is missing, and takes up what is in the bucket.
    pub(crate) async fn open(
        worker: &Worker,
        name: &Arc<str>,
        functions: &Arc<Functions>,
        library: &Arc<Library>,
    ) -> Result<Self, WorkerError> {
        let connection = Connection::open(&worker.connection, name).await?;
        let queue = Queue::open(&connection.context, &worker.streams).await?;
        let following = library.follow(&connection, &worker.streams).await?;
        tracing::info!(worker = %name, ack_wait = ?queue.ack_wait, invocations = worker.invocations, "works");
        Ok(Self {
            connection,
            queue,
            functions: Arc::clone(functions),
            name: Arc::clone(name),
            max_deliver: worker.max_deliver,
            retry: worker.retry,
            reply_prefix: worker.reply_prefix.clone(),
            unique: Unique::new(),
            room: Arc::new(Semaphore::new(usize::try_from(worker.invocations).unwrap_or(Semaphore::MAX_PERMITS))),
            _following: following,
        })
    }

    /// A name that nothing else has.
    pub(crate) fn unique(&self) -> String {
        self.unique.next()
    }

    /// Works until `stop` is ready or the client is gone, and then until what it has fetched is done with.
    pub(crate) async fn serve(self, stop: &mut (impl Future<Output = ()> + Unpin)) -> Ended {
        let session = Arc::new(self);
        let mut begun = JoinSet::new();
        let mut sieved = None::<Instant>;
        let mut wait = AGAIN.0;
        let ended = loop {
            let room = tokio::select! {
                biased;
                () = &mut *stop => break Ended::Stopped,
                room = session.room() => room,
            };
            if sieved.is_none_or(|last| last.elapsed() >= SIEVE) {
                sieve::sieve(&session).await;
                sieved = Some(Instant::now());
            }
            if !session.is_connected() {
                // A fetch now would be sent when nobody waits for its messages any more.
                tokio::select! {
                    () = &mut *stop => break Ended::Stopped,
                    () = session.connection.found.notified() => {}
                    () = sleep(AGAIN.1) => {}
                }
                sieved = None;
                if session.is_lost().await {
                    break Ended::Lost;
                }
                continue;
            }
            match session.fetch(room, &mut begun).await {
                Ok(()) => wait = AGAIN.0,
                Err(error) => {
                    tracing::warn!(%error, "cannot fetch");
                    if session.is_lost().await {
                        break Ended::Lost;
                    }
                    tokio::select! {
                        () = &mut *stop => break Ended::Stopped,
                        () = sleep(wait) => wait = (wait * 2).min(AGAIN.1),
                    }
                    sieved = None;
                }
            }
            // Notified when the server was found again: what it was lost by may be in the queue.
            if session.connection.found.notified().now_or_never().is_some() {
                sieved = None;
            }
        };
        match ended {
            Ended::Stopped => {
                while begun.join_next().await.is_some() {}
                let _ = session.connection.client.flush().await;
            }
            // What it has begun nobody can be told of any more. It is delivered again.
            Ended::Lost => begun.shutdown().await,
        }
        ended
    }

    fn is_connected(&self) -> bool {
        self.connection.client.connection_state() == State::Connected
    }

    /// Is the client's own task gone? It connects again by itself, but a message that it cannot read can end it.
    async fn is_lost(&self) -> bool {
        // While there is no server, there is no answer.
        matches!(timeout(AGAIN.0, self.connection.client.flush()).await, Ok(Err(_)))
    }

    /// Room for one invocation, and for as many more as there is.
    async fn room(&self) -> Vec<OwnedSemaphorePermit> {
        let mut room: Vec<_> = Arc::clone(&self.room).acquire_owned().await.into_iter().collect();
        while room.len() < MOST
            && let Ok(more) = Arc::clone(&self.room).try_acquire_owned()
        {
            room.push(more);
        }
        room
    }

    /// Fetches at most as many messages as there is room for, and begins to run each.
    async fn fetch(
        self: &Arc<Self>,
        mut room: Vec<OwnedSemaphorePermit>,
        begun: &mut JoinSet<()>,
    ) -> Result<(), async_nats::Error> {
        while begun.try_join_next().is_some() {}
        let batch = self.queue.consumer.batch().max_messages(room.len()).expires(FETCH).messages().await;
        let mut batch = batch?;
        while let Some(message) = batch.next().await {
            let message = message?;
            let Some(place) = room.pop() else { continue };
            let session = Arc::clone(self);
            begun.spawn(async move {
                let _place = place;
                if let Some(invocation) = Invocation::of(message, &session) {
                    invocation.run(&session).await;
                }
            });
        }
        Ok(())
    }
}
