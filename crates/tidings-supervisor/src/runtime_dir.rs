//! The directory of a supervisor below the runtime directory: its lock, its control socket, and the
//! notify sockets of its workers.

use std::env;
use std::ffi::OsString;
use std::fs::{
    DirBuilder, File, Metadata, metadata, remove_dir_all, set_permissions, symlink_metadata,
};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{process, thread};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Uid, geteuid};
use tokio::task::spawn_blocking;

use crate::error::StartError;
use crate::listen::is_name;
use crate::socket_file::remove;

const LOCK: &str = "lock";
const CONTROL: &str = "control";

/// The number of attempts to create a directory that other processes remove at the same time.
const ATTEMPTS: usize = 100;

/// The longest path of a socket on the strictest system, macOS, without the terminating zero.
const MAX_SOCKET_PATH: usize = 103;

/// Returns the runtime directory of this process: `TIDINGS_RUNTIME_DIR`, else for root `/run/tidings`,
/// else `tidings` below `XDG_RUNTIME_DIR`, else `tidings-UID` below the temporary directory.
pub(crate) fn runtime_dir() -> PathBuf {
    let variable = |name: &str| env::var_os(name);
    if let Some(path) = chosen(variable) {
        return path;
    }
    let user = geteuid();
    if user.is_root() {
        return root_runtime_dir();
    }
    of_session(variable)
        .unwrap_or_else(|| env::temp_dir().join(format!("tidings-{}", user.as_raw())))
}

/// Returns the directory that the user has chosen. An empty variable counts as absent.
fn chosen(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = variable("TIDINGS_RUNTIME_DIR")?;
    (!path.is_empty()).then(|| path.into())
}

/// Returns the directory in that of the session. A path that is not absolute is ignored, as the
/// specification of the variable demands.
fn of_session(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = PathBuf::from(variable("XDG_RUNTIME_DIR")?);
    path.is_absolute().then(|| path.join("tidings"))
}

/// Returns all runtime directories that supervisors of this user can have: which one they use depends
/// on their environment, which may differ from that of this process.
pub(crate) fn runtime_dirs() -> Vec<PathBuf> {
    runtime_dirs_of(|name| env::var_os(name), geteuid())
}

fn runtime_dirs_of(variable: impl Fn(&str) -> Option<OsString>, user: Uid) -> Vec<PathBuf> {
    if let Some(path) = chosen(&variable) {
        return vec![path];
    }
    let name = format!("tidings-{}", user.as_raw());
    let session = Path::new("/run/user").join(user.as_raw().to_string());
    let all = [
        user.is_root().then(root_runtime_dir),
        of_session(&variable),
        Some(session.join("tidings")),
        Some(env::temp_dir().join(&name)),
        Some(Path::new("/tmp").join(&name)),
    ];
    let mut directories = Vec::new();
    for directory in all.into_iter().flatten() {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories
}

fn root_runtime_dir() -> PathBuf {
    let run = if cfg!(target_os = "linux") {
        "/run"
    } else {
        "/var/run"
    };
    Path::new(run).join("tidings")
}

/// A locked directory of one supervisor, removed on drop. The next supervisor removes those of killed
/// ones.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    path: PathBuf,
    mode: u32,
    /// The kernel releases the lock when the process ends, even by SIGKILL.
    lock: Mutex<File>,
    next_socket: AtomicU64,
}

impl RuntimeDir {
    /// Takes the directory of this name, or of an unused one.
    pub(crate) fn take(
        runtime: &Path,
        name: Option<&str>,
        is_for_others: bool,
    ) -> Result<Self, StartError> {
        // Workers of another user traverse it, and cannot list it.
        let mode = if is_for_others { 0o711 } else { 0o700 };
        // Workers, which may work in another directory, get the paths of their sockets.
        let runtime = &absolute(runtime).map_err(|why| directory_error(runtime, &why))?;
        create_private(runtime, mode).map_err(|why| directory_error(runtime, &why))?;
        remove_stale(runtime);
        let name = name.map_or_else(unnamed, str::to_owned);
        if !is_name(&name) {
            return Err(StartError::InvalidName(name));
        }
        let path = runtime.join(&name);
        if path.join(format!("notify-{}", u64::MAX)).as_os_str().len() > MAX_SOCKET_PATH {
            return Err(StartError::RuntimeDir {
                path,
                why: "its path is too long for sockets in it".to_owned(),
            });
        }
        let mut attempts = 1;
        loop {
            match Self::try_to_take(&path, mode) {
                Ok(Some(directory)) => return Ok(directory),
                Ok(None) => return Err(StartError::NameTaken { name }),
                Err(why) if attempts < ATTEMPTS && is_removed_concurrently(&why) => attempts += 1,
                Err(why) => return Err(directory_error(&path, &why)),
            }
        }
    }

    fn try_to_take(path: &Path, mode: u32) -> io::Result<Option<Self>> {
        create_private(path, mode)?;
        let Some(lock) = lock_with_retries(path)? else {
            return Ok(None);
        };
        if !is_lock_of(&lock, path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let directory = Self {
            path: path.to_owned(),
            mode,
            lock: Mutex::new(lock),
            next_socket: AtomicU64::new(0),
        };
        directory.clear()?;
        Ok(Some(directory))
    }

    /// Creates the directory again if it was removed, with the checks of the first time.
    pub(crate) fn restore(&self) -> io::Result<()> {
        let mut held = self.lock();
        if is_lock_of(&held, &self.path) {
            return Ok(());
        }
        if let Some(runtime) = self.path.parent() {
            create_private(runtime, self.mode)?;
        }
        create_private(&self.path, self.mode)?;
        let taken = || io::Error::other("another supervisor has taken the name");
        let lock = lock_with_retries(&self.path)?.ok_or_else(taken)?;
        if !is_lock_of(&lock, &self.path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        *held = lock;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path.join(CONTROL)
    }

    /// Returns an unused path for the notify socket of a worker.
    pub(crate) fn notify_socket(&self) -> PathBuf {
        let number = self.next_socket.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("notify-{number}"))
    }

    /// Removes the files of a killed supervisor.
    fn clear(&self) -> io::Result<()> {
        for entry in self.path.read_dir()? {
            let entry = entry?;
            if entry.file_name() != LOCK {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // If it was removed, another supervisor may have the name and a directory of its own now.
        if is_lock_of(&self.lock(), &self.path) {
            let _ = remove_dir_all(&self.path);
        }
    }
}

/// Runs [`RuntimeDir::restore`] where blocking is allowed.
pub(crate) async fn restore(directory: &Arc<RuntimeDir>) -> io::Result<()> {
    let directory = Arc::clone(directory);
    let restored = spawn_blocking(move || directory.restore()).await;
    restored.unwrap_or_else(|panic| Err(panic.into()))
}

/// Returns the control sockets of all supervisors with their names, possibly those of killed ones.
/// Returns none of a directory that another user could have made.
pub(crate) fn control_sockets(runtime: &Path) -> Vec<(String, PathBuf)> {
    let is_ours = |it: &Metadata| [0, geteuid().as_raw()].contains(&it.uid());
    if !symlink_metadata(runtime).is_ok_and(|it| is_ours(&it) && is_private_dir(&it)) {
        return Vec::new();
    }
    let Ok(entries) = runtime.read_dir() else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = paths.filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let control = path.join(CONTROL);
        (is_name(&name) && control.exists()).then_some((name, control))
    });
    named.collect()
}

/// Removes the directories of supervisors that are gone.
fn remove_stale(runtime: &Path) {
    let Ok(entries) = runtime.read_dir() else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        // A directory without a lock is just being created, or not a supervisor's.
        if path.join(LOCK).exists()
            && let Ok(Some(_lock)) = try_lock(&path)
        {
            let _ = remove_dir_all(&path);
        }
    }
}

fn is_lock_of(lock: &File, directory: &Path) -> bool {
    let file = |it: Metadata| (it.dev(), it.ino());
    let (held, found) = (lock.metadata(), metadata(directory.join(LOCK)));
    matches!((held.map(file), found.map(file)), (Ok(held), Ok(found)) if held == found)
}

/// Takes the lock, unless another process holds it for longer than [`remove_stale`] does.
fn lock_with_retries(directory: &Path) -> io::Result<Option<File>> {
    for _ in 0..10 {
        if let Some(lock) = try_lock(directory)? {
            return Ok(Some(lock));
        }
        thread::sleep(Duration::from_millis(10));
    }
    try_lock(directory)
}

fn try_lock(directory: &Path) -> io::Result<Option<File>> {
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(LOCK))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Creates a directory that only this user can write. Rejects an existing one that others could have
/// made, as in the temporary directory, and takes no permission away from one: it may be the one of
/// another program.
fn create_private(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    let found = symlink_metadata(path)?;
    if found.uid() != geteuid().as_raw() || !is_private_dir(&found) {
        let why = "it must be a directory of this user that no other user can write";
        return Err(io::Error::other(why));
    }
    let traversal = mode & 0o011;
    if found.mode() & traversal == traversal {
        return Ok(());
    }
    set_permissions(path, PermissionsExt::from_mode(found.mode() | traversal))
}

fn is_private_dir(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.mode() & 0o022 == 0
}

/// Returns whether another process has removed the directory before it was locked.
fn is_removed_concurrently(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
    )
}

fn directory_error(path: &Path, why: &io::Error) -> StartError {
    StartError::RuntimeDir {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn unnamed() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("unnamed-{}-{count}", process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::short_directory;

    #[test]
    fn a_name_is_taken_until_its_supervisor_is_gone() {
        let runtime = short_directory();
        let take = |name| RuntimeDir::take(runtime.path(), Some(name), false);

        let dir = take("web").unwrap();
        assert!(matches!(take("web"), Err(StartError::NameTaken { .. })));
        let other = take("worker").unwrap();
        drop(dir);

        take("web").unwrap();
        drop(other);
    }

    #[test]
    fn directories_of_killed_supervisors_are_removed() {
        let runtime = short_directory();
        let stale = runtime.path().join("dead");
        create_private(&stale, 0o700).unwrap();
        drop(try_lock(&stale).unwrap());

        let dir = RuntimeDir::take(runtime.path(), None, false).unwrap();

        assert!(!stale.exists());
        drop(dir);
        assert_eq!(runtime.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_directory_in_place_of_a_socket_is_removed() {
        let runtime = short_directory();
        let take = || RuntimeDir::take(runtime.path(), Some("web"), false);
        let dir = take().unwrap();
        let in_place = || std::fs::create_dir_all(dir.control_socket().join("directory")).unwrap();
        in_place();
        remove(&dir.control_socket()).unwrap();
        assert!(!dir.control_socket().exists());

        // Also one that a killed supervisor has left.
        in_place();
        dir.clear().unwrap();
        assert!(!dir.control_socket().exists());
    }

    #[test]
    fn a_name_can_be_taken_while_others_remove_stale_directories() {
        let runtime = short_directory();
        let take_many = |name: &'static str| {
            for _ in 0..2_000 {
                RuntimeDir::take(runtime.path(), Some(name), false).unwrap();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| take_many("one"));
            scope.spawn(|| take_many("other"));
        });
    }

    #[test]
    fn a_removed_directory_is_created_again_and_keeps_its_name() {
        let runtime = short_directory();
        let directory = runtime.path().join("run");
        let take = || RuntimeDir::take(&directory, Some("web"), false);
        let dir = take().unwrap();

        remove_dir_all(&directory).unwrap();
        dir.restore().unwrap();

        assert!(matches!(take(), Err(StartError::NameTaken { .. })));
        let mode = metadata(&directory).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(dir);
        take().unwrap();
    }

    #[test]
    fn a_directory_is_created_again_only_where_no_other_user_can_write() {
        let runtime = short_directory();
        let directory = runtime.path().join("run");
        let dir = RuntimeDir::take(&directory, Some("web"), false).unwrap();
        remove_dir_all(&directory).unwrap();
        DirBuilder::new().create(&directory).unwrap();
        set_permissions(&directory, PermissionsExt::from_mode(0o777)).unwrap();

        dir.restore().unwrap_err();

        assert_eq!(directory.read_dir().unwrap().count(), 0);
        set_permissions(&directory, PermissionsExt::from_mode(0o700)).unwrap();
        dir.restore().unwrap();
    }

    #[test]
    fn an_existing_directory_keeps_its_permissions() {
        let runtime = short_directory();
        let mode = || metadata(runtime.path()).unwrap().mode() & 0o777;
        for (given, is_for_others, kept) in [
            (0o555, false, 0o555),
            (0o555, true, 0o555),
            (0o700, true, 0o711),
        ] {
            set_permissions(runtime.path(), PermissionsExt::from_mode(given)).unwrap();
            // Root can write to a directory without the permission, and others cannot.
            let _ = RuntimeDir::take(runtime.path(), None, is_for_others);
            assert_eq!(mode(), kept, "{given:o}");
        }
    }

    #[test]
    fn a_removed_directory_whose_name_was_taken_is_left_to_its_new_owner() {
        let runtime = short_directory();
        let take = || RuntimeDir::take(runtime.path(), Some("web"), false);
        let old = take().unwrap();
        remove_dir_all(runtime.path().join("web")).unwrap();
        let new = take().unwrap();

        old.restore().unwrap_err();
        drop(old);

        assert!(new.path.join(LOCK).exists());
        assert!(matches!(take(), Err(StartError::NameTaken { .. })));
    }

    #[test]
    fn a_directory_that_others_can_write_is_rejected() {
        let runtime = short_directory();
        set_permissions(runtime.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let taken = RuntimeDir::take(runtime.path(), Some("web"), false);
        assert!(matches!(taken, Err(StartError::RuntimeDir { .. })));
    }

    #[test]
    fn control_sockets_are_listed_by_valid_name_and_only_in_private_directories() {
        let runtime = short_directory();
        for name in ["web", "we\x1b[2Jb", ".hidden"] {
            create_private(&runtime.path().join(name), 0o700).unwrap();
            File::create(runtime.path().join(name).join(CONTROL)).unwrap();
        }
        let names = || {
            control_sockets(runtime.path())
                .into_iter()
                .map(|(name, _)| name)
        };
        assert_eq!(names().collect::<Vec<_>>(), ["web"]);

        set_permissions(runtime.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(names().count(), 0);
    }

    #[test]
    fn supervisors_are_searched_in_all_runtime_directories_of_a_user() {
        let user = Uid::from_raw(1000);
        let session = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/xdg".into());
        let in_session = runtime_dirs_of(session, user);
        let without = runtime_dirs_of(|_| None, user);

        for place in ["/run/user/1000/tidings", "/tmp/tidings-1000"] {
            assert!(in_session.contains(&place.into()) && without.contains(&place.into()));
        }
        assert_eq!(in_session[0], Path::new("/xdg/tidings"));
        assert_eq!(runtime_dirs_of(|_| None, Uid::ROOT)[0], root_runtime_dir());
        let chosen = |name: &str| (name == "TIDINGS_RUNTIME_DIR").then(|| "/here".into());
        assert_eq!(runtime_dirs_of(chosen, user), [Path::new("/here")]);
    }

    /// They would be directories below that of each process.
    #[test]
    fn empty_variables_and_a_relative_directory_of_the_session_are_ignored() {
        let user = Uid::from_raw(1000);
        let without = runtime_dirs_of(|_| None, user);
        assert_eq!(runtime_dirs_of(|_| Some("".into()), user), without);
        let relative = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "run".into());
        assert_eq!(runtime_dirs_of(relative, user), without);
    }

    #[test]
    fn a_path_that_is_too_long_for_sockets_is_rejected() {
        let runtime = short_directory();
        let long = runtime.path().join("x".repeat(100));
        let taken = RuntimeDir::take(&long, Some("web"), false);
        assert!(matches!(taken, Err(StartError::RuntimeDir { .. })));
    }

    #[test]
    fn a_name_that_is_a_path_is_rejected() {
        let runtime = short_directory();
        for name in ["", "..", "a/b", "a b", ".hidden"] {
            let taken = RuntimeDir::take(runtime.path(), Some(name), false);
            assert!(matches!(taken, Err(StartError::InvalidName(_))), "{name}");
        }
    }
}
