//! What the server hears of a message that it delivered: that somebody still works on it, that it is to come again, that it is done with.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::{Client, Subject};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often the server is told that a message is done with, until it says that it has heard.
const TELLINGS: u32 = 5;
/// The wait before it is told again, which doubles.
const AGAIN: Duration = Duration::from_millis(100);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    client: Client,
    subject: Subject,
}

impl Receipt {
    /// `subject` is where the message wants its acknowledgement.
    pub(crate) fn new(client: Client, subject: Subject) -> Self {
        Self { client, subject }
    }

    /// Says again and again that the message is worked on, until the returned value is dropped.
    pub(crate) fn hold(&self, ack_wait: Duration) -> Held {
        let receipt = self.clone();
        // Two of them can be late or lost.
        let every = (ack_wait / 3).max(Duration::from_millis(10));
        Held(tokio::spawn(async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first is at once, and the message has only come.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                receipt.say(AckKind::Progress).await;
            }
        }))
    }

    /// The message is to come again, to this worker or another. If the server does not hear it, it comes when it is thought lost.
    pub(crate) async fn again(&self, after: Duration) {
        self.say(AckKind::Nak(Some(after))).await;
    }

    /// The message is done with. False if the server never said that it has heard: it will come again.
    pub(crate) async fn settle(&self, kind: AckKind) -> bool {
        let mut wait = AGAIN;
        for _ in 0..TELLINGS {
            match self.client.request(self.subject.clone(), kind.into()).await {
                Ok(_) => return true,
                Err(error) => tracing::debug!(%error, "an acknowledgement was not heard"),
            }
            sleep(wait).await;
            wait *= 2;
        }
        false
    }

    async fn say(&self, kind: AckKind) {
        if let Err(error) = self.client.publish(self.subject.clone(), kind.into()).await {
            tracing::debug!(%error, "the server was not told of a message");
        }
    }
}

/// A message that is worked on.
#[derive(Debug)]
pub(crate) struct Held(tokio::task::JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}
