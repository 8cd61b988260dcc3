//! The file of a Unix socket, which something may remove while the socket is open.

use std::fs::{remove_dir_all, remove_file, symlink_metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The interval at which supervisors check that their sockets still exist.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The file of an open socket. Its inode number is not reused while the socket is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketFile {
    device: u64,
    inode: u64,
}

impl SocketFile {
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let found = symlink_metadata(path)?;
        let (device, inode) = (found.dev(), found.ino());
        Ok(Self { device, inode })
    }

    /// Returns whether the file is still at this path.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        Self::at(path).is_ok_and(|found| found == self)
    }
}

/// Returns the interval at which to check that a socket still exists.
pub(crate) fn check_interval() -> Interval {
    let mut interval = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Removes the file or directory at a path, if there is one.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match symlink_metadata(path) {
        Ok(found) if found.is_dir() => remove_dir_all(path),
        Ok(_) => remove_file(path),
        Err(why) => Err(why),
    };
    match removed {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}
