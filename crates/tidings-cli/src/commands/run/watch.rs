//! A file or directory that is watched for changes, for development.

use std::fs::{Metadata, metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// A change is one once nothing has changed for so long: programs are written in many parts.
const QUIET: Duration = Duration::from_millis(300);

/// What never rests is taken as it is then.
const AT_LATEST: Duration = Duration::from_secs(2);

/// How often it is looked whether the directory that is watched is still the one of its name.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// The path itself, or of a file its parent: a file that is replaced is another file.
    directory: PathBuf,
    mode: RecursiveMode,
    /// As it was when it was told of last; of a file only.
    known: Option<Mark>,
    /// Which one of this name is watched.
    watched: Option<Place>,
    watcher: RecommendedWatcher,
    something: Arc<Notify>,
}

/// Where a directory lies on its disk.
type Place = (u64, u64);

/// Differs between two versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    place: Place,
    length: u64,
    mode: u32,
    modified: Option<SystemTime>,
}

impl Watch {
    pub(super) fn over(path: &Path) -> anyhow::Result<Self> {
        let doing = || format!("cannot watch {}", path.display());
        let path = std::path::absolute(path).with_context(doing)?;
        let found = metadata(&path).with_context(doing)?;
        let something = Arc::new(Notify::new());
        let told = Arc::clone(&something);
        let watcher = notify::recommended_watcher(move |event| tell(&told, &event));
        let parent = path.parent().filter(|_| !found.is_dir());
        let mut watch = Self {
            directory: parent.unwrap_or(&path).to_owned(),
            mode: match parent {
                Some(_) => RecursiveMode::NonRecursive,
                None => RecursiveMode::Recursive,
            },
            known: parent.map(|_| Mark::of(&found)),
            watched: None,
            watcher: watcher.with_context(doing)?,
            something,
            path,
        };
        watch.look().with_context(doing)?;
        Ok(watch)
    }

    /// Waits for the next change, and that it is complete.
    pub(super) async fn change(&mut self) -> PathBuf {
        loop {
            let is_told = timeout(LOOK_AGAIN, self.something.notified()).await.is_ok();
            // A directory that is away for a moment is looked for again.
            let is_another = self.look().unwrap_or(false);
            if !is_told && !is_another && self.known.is_none() {
                continue;
            }
            if self.has_changed().await {
                return self.path.clone();
            }
        }
    }

    /// Watches the directory that has the name now, if that is another one than before.
    fn look(&mut self) -> anyhow::Result<bool> {
        let place = place(&metadata(&self.directory)?);
        if self.watched == Some(place) {
            return Ok(false);
        }
        if self.watched.take().is_some() {
            // What is gone is not watched already.
            let _ = self.watcher.unwatch(&self.directory);
        }
        self.watcher.watch(&self.directory, self.mode)?;
        self.watched = Some(place);
        Ok(true)
    }

    async fn has_changed(&mut self) -> bool {
        let Some(known) = self.known else {
            let rest = async { while timeout(QUIET, self.something.notified()).await.is_ok() {} };
            // Whether it rests or not, it has changed.
            let _ = timeout(AT_LATEST, rest).await;
            return true;
        };
        // Others in the same directory may never be quiet: only the file itself counts.
        let mut now = Mark::at(&self.path);
        while now != Some(known) {
            sleep(QUIET).await;
            let before = std::mem::replace(&mut now, Mark::at(&self.path));
            if now == before {
                break;
            }
        }
        // A file that is away is about to come back.
        let is_changed = now.is_some_and(|now| now != known);
        self.known = now.or(self.known);
        is_changed
    }
}

impl Mark {
    fn at(path: &Path) -> Option<Self> {
        Some(Self::of(&metadata(path).ok()?))
    }

    fn of(found: &Metadata) -> Self {
        Self {
            place: place(found),
            length: found.len(),
            mode: found.mode(),
            modified: found.modified().ok(),
        }
    }
}

fn place(found: &Metadata) -> Place {
    (found.dev(), found.ino())
}

/// Reading changes nothing: each start of a worker reads its program.
fn tell(something: &Notify, event: &notify::Result<Event>) {
    let written = AccessKind::Close(AccessMode::Write);
    let is_change = match event {
        Ok(event) => !event.kind.is_access() || event.kind == EventKind::Access(written),
        // Events were missed.
        Err(_) => true,
    };
    if is_change {
        something.notify_one();
    }
}
