//! The server's log: kept while it runs, and printed when its test fails.

use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

#[derive(Default)]
struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

/// See the module's documentation.
pub(crate) struct Log {
    lines: Arc<Lines>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    pub(crate) fn read(stderr: ChildStderr) -> Self {
        let lines = Arc::new(Lines::default());
        let to = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                to.lines.lock().unwrap().0.push(String::from_utf8_lossy(&line).into_owned());
                to.more.notify_all();
            }
            to.lines.lock().unwrap().1 = true;
            to.more.notify_all();
        });
        Self { lines, reader: Some(reader) }
    }

    /// The first line that is wanted, now or later; panics if the server ends without it.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut lines = self.lines.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.0.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            assert!(!lines.1, "the server ended without logging what was expected:\n{}", lines.0.join("\n"));
            lines = self.lines.more.wait(lines).unwrap();
        }
    }

    /// What the server has written, all of it; it has to have ended.
    pub(crate) fn whole(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.lines.lines.lock().unwrap().0.clone()
    }
}
