//! The journal of a `memory:` server.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::event::position::JournalPosition;
use crate::keyspace::journal::answer::Answered;
use crate::keyspace::journal::positions::{Claim, Positions, Stored, Taken};
use crate::keyspace::journal::settings::ServerSettings;
use crate::keyspace::journal::stored::StoredJournal;
use crate::keyspace::journal::{JournalStore, Page, Uses};
use crate::keyspace::memory::MemoryKeys;
use crate::memory::now;

impl MemoryKeys {
    fn run<T: Send + 'static>(&self, run: impl FnOnce(&mut StoredJournal) -> T) -> Answered<T> {
        let answer = run(&mut self.lock().journal);
        Box::pin(ready(Ok(answer)))
    }

    fn page_after(&self, after: JournalPosition, count: usize) -> Page {
        self.lock().journal.page(after.next(), None, count)
    }
}

impl JournalStore for MemoryKeys {
    fn check(&self, _: Uses) -> Answered<()> {
        Box::pin(ready(Ok(())))
    }

    fn settings(&self) -> Answered<ServerSettings> {
        Box::pin(ready(Ok(ServerSettings::default())))
    }

    fn append(&self, frame: Bytes, attempt: u32) -> Answered<Option<JournalPosition>> {
        self.run(|stored| {
            let is_there = !stored.entries.is_empty();
            is_there.then(|| stored.add(frame, attempt))
        })
    }

    fn create(&self, frame: Bytes) -> Answered<bool> {
        self.run(|stored| stored.create(frame))
    }

    fn read_after(&self, after: JournalPosition, count: usize, block: Duration) -> Answered<Page> {
        let this = self.clone();
        Box::pin(async move {
            let added = Arc::clone(&this.lock().journal.added);
            let mut added = pin!(added.notified());
            // An entry that is added after the look is not missed.
            added.as_mut().enable();
            let page = this.page_after(after, count);
            if !page.entries.is_empty() {
                return Ok(page);
            }
            let _ = timeout(block, added).await;
            Ok(this.page_after(after, count))
        })
    }

    fn range(
        &self,
        from: JournalPosition,
        to: Option<JournalPosition>,
        count: usize,
    ) -> Answered<Page> {
        self.run(|stored| stored.page(from, to, count))
    }

    fn newest(&self) -> Answered<Page> {
        self.run(|stored| {
            let newest = stored.entries.back().map(|entry| entry.id);
            stored.page(newest.unwrap_or_default(), None, 1)
        })
    }

    fn time(&self) -> Answered<u64> {
        Box::pin(ready(Ok(now())))
    }

    fn bytes(&self) -> Answered<u64> {
        self.run(|stored| stored.bytes)
    }

    fn length(&self) -> Answered<u64> {
        self.run(|stored| stored.entries.len() as u64)
    }

    fn trim(&self, to: JournalPosition) -> Answered<bool> {
        self.run(|stored| stored.trim(to))
    }

    fn trim_when_full(&self, to: JournalPosition) -> Answered<()> {
        self.run(|stored| {
            stored.trim(to);
        })
    }

    /// Memory has no replicas.
    fn wait(&self, _: u32, _: Duration) -> Answered<u32> {
        Box::pin(ready(Ok(0)))
    }
}

impl Positions for MemoryKeys {
    fn take(&self, claim: &Claim) -> Answered<Taken> {
        self.run(|stored| stored.take(claim))
    }

    fn renew(&self, claim: &Claim, place: Option<String>) -> Answered<Option<String>> {
        self.run(|stored| stored.renew(claim, place))
    }

    fn release(&self, claim: &Claim, place: Option<String>) -> Answered<()> {
        self.run(|stored| stored.release(claim, place))
    }

    fn positions(&self) -> Answered<Vec<Stored>> {
        self.run(|stored| stored.positions())
    }

    fn remove(&self, name: &str) -> Answered<bool> {
        self.run(|stored| stored.remove(name))
    }
}
