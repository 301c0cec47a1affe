//! Progress on stderr, if that is a terminal; and what drives it while a plugin is busy: the events that it posts.

use std::thread::JoinHandle;
use std::time::Duration;

use ampoule::Events;
use ampoule_example_records::PROGRESS;
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::Error;

/// A bar over so many records. It draws nothing where stderr is no terminal.
pub(crate) fn bar(what: &'static str, records: u64) -> ProgressBar {
    let bar = ProgressBar::new(records).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} [{bar:40}] {human_pos}/{human_len} {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// A thread that listens to a sandbox's events.
#[derive(Debug)]
pub(crate) struct Listener {
    thread: JoinHandle<u64>,
}

impl Listener {
    /// Shows each event that says how far a batch is; batches are `batch` records long, and come one after the other.
    ///
    /// The thread ends when the sandbox is gone and all its events were taken.
    pub(crate) fn start(events: Events, bar: ProgressBar, batch: u64) -> Result<Self, Error> {
        let listen = move || {
            let (mut taken, mut before) = (0, 0);
            while let Some(event) = events.next(Duration::MAX) {
                if event.id == PROGRESS {
                    taken += 1;
                    bar.set_position(before + event.value);
                    if event.value >= batch {
                        before += event.value;
                    }
                }
            }
            bar.finish_and_clear();
            taken
        };
        let thread = std::thread::Builder::new().name("events".to_owned()).spawn(listen);
        Ok(Self { thread: thread.map_err(|source| Error::Thread { source })? })
    }

    /// Waits for the last event, after the sandbox was dropped; says how many there were.
    pub(crate) fn finish(self) -> u64 {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
