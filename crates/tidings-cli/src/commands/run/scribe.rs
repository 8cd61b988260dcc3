//! The thread that writes. A terminal or a pipe that nobody reads holds up nobody else.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use tidings_supervisor::OutputStream;

/// With so many texts waiting, whoever can wait does.
const QUEUE: usize = 256;

/// With so many waiting, the texts of those who cannot wait are lost, and counted.
const MOST: usize = 2 * QUEUE;

/// Writes all texts in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Scribe(Arc<Desk>);

#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    texts: VecDeque<(OutputStream, String)>,
    is_writing: bool,
    missed: u64,
}

impl Scribe {
    pub(super) fn start(stdout: ColorChoice, stderr: ColorChoice) -> io::Result<Self> {
        let scribe = Self(Arc::default());
        let desk = Arc::clone(&scribe.0);
        let work = move || {
            loop {
                let (to, text) = desk.next();
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
            .name("tidings-scribe".to_owned())
            .spawn(work)?;
        Ok(scribe)
    }

    /// Waits for room: only for threads that nobody else needs.
    pub(super) fn write(&self, to: OutputStream, text: String) {
        let is_full = |waiting: &mut Waiting| waiting.texts.len() >= QUEUE;
        self.0.wait_while(is_full).texts.push_back((to, text));
        self.0.changed.notify_all();
    }

    /// Never waits. Of what there was no room for, `missed` is told the number once there is.
    pub(super) fn put(&self, to: OutputStream, text: String, missed: impl Fn(u64) -> String) {
        let mut waiting = self.0.lock();
        if waiting.texts.len() >= MOST {
            waiting.missed += 1;
            return;
        }
        if waiting.missed > 0 {
            let missed = missed(std::mem::take(&mut waiting.missed));
            waiting.texts.push_back((to, missed));
        }
        waiting.texts.push_back((to, text));
        self.0.changed.notify_all();
    }

    /// Until all is written, but no longer than this.
    pub(super) fn finish(&self, within: Duration) {
        let is_busy = |it: &mut Waiting| it.is_writing || !it.texts.is_empty();
        let waiting = self.0.lock();
        // Whether it was in time or not, nobody waits any longer.
        let _ = self.0.changed.wait_timeout_while(waiting, within, is_busy);
    }
}

impl Desk {
    /// The next text, when the one before is written.
    fn next(&self) -> (OutputStream, String) {
        self.lock().is_writing = false;
        self.changed.notify_all();
        let mut waiting = self.wait_while(|it| it.texts.is_empty());
        let next = waiting.texts.pop_front();
        waiting.is_writing = true;
        next.expect("it was waited for")
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut Waiting) -> bool) -> MutexGuard<'_, Waiting> {
        let waited = self.changed.wait_while(self.lock(), condition);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Workers live on also when nobody wants to see what they write.
fn write(mut to: impl Write, text: &str) {
    let _ = to.write_all(format!("{text}\n").as_bytes());
}
