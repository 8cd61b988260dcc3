//! Watches a file or directory for changes, for development.

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

/// The time without changes after which a change is complete: programs are written in several parts.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// The time after which a change is reported even if further ones follow.
const MAX_DEBOUNCE: Duration = Duration::from_secs(2);

/// The interval at which the path is checked for a replaced directory.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// The path itself, or the parent of a file: a replaced file is another inode.
    directory: PathBuf,
    mode: RecursiveMode,
    /// The last reported version of a file; `None` for a directory.
    reported: Option<FileVersion>,
    /// The inode of the watched directory.
    watched: Option<Inode>,
    watcher: RecommendedWatcher,
    changes: Arc<Notify>,
}

/// The device and inode of a file or directory.
type Inode = (u64, u64);

/// The version of a file, by its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    inode: Inode,
    length: u64,
    mode: u32,
    modified: Option<SystemTime>,
}

impl Watch {
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let doing = || format!("cannot watch {}", path.display());
        let path = std::path::absolute(path).with_context(doing)?;
        let found = metadata(&path).with_context(doing)?;
        let changes = Arc::new(Notify::new());
        let notify = Arc::clone(&changes);
        let watcher = notify::recommended_watcher(move |event| notify_change(&notify, &event));
        let parent = path.parent().filter(|_| !found.is_dir());
        let mut watch = Self {
            directory: parent.unwrap_or(&path).to_owned(),
            mode: match parent {
                Some(_) => RecursiveMode::NonRecursive,
                None => RecursiveMode::Recursive,
            },
            reported: parent.map(|_| FileVersion::of(&found)),
            watched: None,
            watcher: watcher.with_context(doing)?,
            changes,
            path,
        };
        watch.follow_path().with_context(doing)?;
        Ok(watch)
    }

    /// Waits for the next complete change, and returns the path.
    pub(super) async fn changed(&mut self) -> PathBuf {
        loop {
            let is_notified = timeout(CHECK_INTERVAL, self.changes.notified())
                .await
                .is_ok();
            // The directory may be missing for a moment: try again.
            let is_replaced = self.follow_path().unwrap_or(false);
            if !is_notified && !is_replaced && self.reported.is_none() {
                continue;
            }
            if self.has_changed().await {
                return self.path.clone();
            }
        }
    }

    /// Watches the directory that has the path now. Returns whether it is another one than before.
    fn follow_path(&mut self) -> anyhow::Result<bool> {
        let inode = inode(&metadata(&self.directory)?);
        if self.watched == Some(inode) {
            return Ok(false);
        }
        if self.watched.take().is_some() {
            // A removed directory is no longer watched.
            let _ = self.watcher.unwatch(&self.directory);
        }
        self.watcher.watch(&self.directory, self.mode)?;
        self.watched = Some(inode);
        Ok(true)
    }

    async fn has_changed(&mut self) -> bool {
        let Some(reported) = self.reported else {
            let quiet = async { while timeout(DEBOUNCE, self.changes.notified()).await.is_ok() {} };
            // A timeout does not matter: the directory has changed.
            let _ = timeout(MAX_DEBOUNCE, quiet).await;
            return true;
        };
        // Other files in the directory may change all the time: compare the file itself.
        let mut now = FileVersion::at(&self.path);
        while now != Some(reported) {
            sleep(DEBOUNCE).await;
            let before = std::mem::replace(&mut now, FileVersion::at(&self.path));
            if now == before {
                break;
            }
        }
        // A missing file is about to be replaced.
        let is_changed = now.is_some_and(|now| now != reported);
        self.reported = now.or(self.reported);
        is_changed
    }
}

impl FileVersion {
    fn at(path: &Path) -> Option<Self> {
        Some(Self::of(&metadata(path).ok()?))
    }

    fn of(found: &Metadata) -> Self {
        Self {
            inode: inode(found),
            length: found.len(),
            mode: found.mode(),
            modified: found.modified().ok(),
        }
    }
}

fn inode(found: &Metadata) -> Inode {
    (found.dev(), found.ino())
}

/// Notifies about a change. Reading is none: each start of a worker reads its program.
fn notify_change(changes: &Notify, event: &notify::Result<Event>) {
    let written = AccessKind::Close(AccessMode::Write);
    let is_change = match event {
        Ok(event) => !event.kind.is_access() || event.kind == EventKind::Access(written),
        // The watcher lost events.
        Err(_) => true,
    };
    if is_change {
        changes.notify_one();
    }
}
