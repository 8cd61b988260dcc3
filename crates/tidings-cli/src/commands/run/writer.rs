//! The thread that writes to standard output and standard error. A slow reader blocks no other task.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use tidings_supervisor::OutputStream;

/// The length of the queue from which on [`Writer::write`] waits.
const CAPACITY: usize = 256;

/// The length of the queue from which on [`Writer::try_write`] drops texts.
const HARD_CAPACITY: usize = 2 * CAPACITY;

/// Writes texts in the order in which they were queued. Clones share the queue.
#[derive(Clone, Debug)]
pub(super) struct Writer(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    texts: VecDeque<(OutputStream, String)>,
    is_writing: bool,
    dropped: u64,
}

impl Writer {
    pub(super) fn start(stdout: ColorChoice, stderr: ColorChoice) -> io::Result<Self> {
        let writer = Self(Arc::default());
        let queue = Arc::clone(&writer.0);
        let work = move || {
            loop {
                let (to, text) = queue.next();
                match to {
                    OutputStream::Stdout => {
                        write(AutoStream::new(io::stdout().lock(), stdout), &text);
                    }
                    OutputStream::Stderr => {
                        write(AutoStream::new(io::stderr().lock(), stderr), &text);
                    }
                }
            }
        };
        thread::Builder::new()
            .name("tidings-writer".to_owned())
            .spawn(work)?;
        Ok(writer)
    }

    /// Queues a text, and blocks while the queue is full.
    pub(super) fn write(&self, to: OutputStream, text: String) {
        let is_full = |state: &mut QueueState| state.texts.len() >= CAPACITY;
        self.0.wait_while(is_full).texts.push_back((to, text));
        self.0.changed.notify_all();
    }

    /// Queues a text, or drops it if the queue is full. The next queued text follows one that
    /// `report` makes of the number of dropped texts.
    pub(super) fn try_write(
        &self,
        to: OutputStream,
        text: String,
        report: impl Fn(u64) -> (OutputStream, String),
    ) {
        let mut state = self.0.lock();
        if state.texts.len() >= HARD_CAPACITY {
            state.dropped += 1;
            return;
        }
        if state.dropped > 0 {
            let report = report(std::mem::take(&mut state.dropped));
            state.texts.push_back(report);
        }
        state.texts.push_back((to, text));
        self.0.changed.notify_all();
    }

    /// Waits until all texts are written, at most for this time.
    pub(super) fn flush(&self, timeout: Duration) {
        let is_busy = |state: &mut QueueState| state.is_writing || !state.texts.is_empty();
        let state = self.0.lock();
        // A timeout is no error: the process ends.
        let _ = self.0.changed.wait_timeout_while(state, timeout, is_busy);
    }
}

impl Queue {
    /// Waits for the next text, after the previous one was written.
    fn next(&self) -> (OutputStream, String) {
        self.lock().is_writing = false;
        self.changed.notify_all();
        let mut state = self.wait_while(|state| state.texts.is_empty());
        let next = state.texts.pop_front();
        state.is_writing = true;
        next.expect("the queue is not empty after the wait")
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(
        &self,
        condition: impl FnMut(&mut QueueState) -> bool,
    ) -> MutexGuard<'_, QueueState> {
        let waited = self.changed.wait_while(self.lock(), condition);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ignores errors: workers keep running when their output is closed.
fn write(mut to: impl Write, text: &str) {
    let _ = to.write_all(format!("{text}\n").as_bytes());
}
