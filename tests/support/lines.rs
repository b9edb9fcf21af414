//! The lines a process writes, collected by a thread, with waits that have deadlines.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// One output stream of a child.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl State {
    fn count(&self, text: &str) -> usize {
        self.lines.iter().filter(|line| line.contains(text)).count()
    }
}

impl Lines {
    /// Reads `stream` to its end.
    pub fn collect(stream: impl Read + Send + 'static) -> Self {
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let there = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                there.0.lock().unwrap().lines.push(text);
                there.1.notify_all();
                line.clear();
            }
            there.0.lock().unwrap().ended = true;
            there.1.notify_all();
        });
        Self { shared }
    }

    /// The first line that `wanted` takes; `None` when the stream ended or `patience` is over.
    pub fn wait<T>(&self, patience: Duration, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut state = self.shared.0.lock().unwrap();
        loop {
            if let Some(found) = state.lines.iter().find_map(|line| wanted(line)) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until so many lines hold `text`; returns whether they came.
    pub fn wait_count(&self, patience: Duration, text: &str, count: usize) -> bool {
        let state = self.shared.0.lock().unwrap();
        let (state, _) = self
            .shared
            .1
            .wait_timeout_while(state, patience, |state| !state.ended && state.count(text) < count)
            .unwrap();
        state.count(text) >= count
    }

    /// How many lines hold `text` so far.
    pub fn count(&self, text: &str) -> usize {
        self.shared.0.lock().unwrap().count(text)
    }

    /// Waits for the end of the stream, which is the end of the process.
    pub fn wait_end(&self, patience: Duration) -> bool {
        let state = self.shared.0.lock().unwrap();
        let (state, _) = self.shared.1.wait_timeout_while(state, patience, |state| !state.ended).unwrap();
        state.ended
    }

    pub fn text(&self) -> String {
        self.shared.0.lock().unwrap().lines.join("\n")
    }
}
