//! The directory of one supervisor: its lock, its control socket, and where its workers speak to it.

use std::env;
use std::ffi::OsString;
use std::fs::{
    DirBuilder, File, Metadata, metadata, remove_dir_all, set_permissions, symlink_metadata,
};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{process, thread};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Uid, geteuid};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::error::StartError;
use crate::listen::is_name;

const LOCK: &str = "lock";
const CONTROL: &str = "control";

/// All directories in which supervisors of this user can be: which one a supervisor takes depends on
/// its environment, and that of who looks for it is another one.
pub(crate) fn places() -> Vec<PathBuf> {
    places_of(|name| env::var_os(name), geteuid())
}

fn places_of(variable: impl Fn(&str) -> Option<OsString>, user: Uid) -> Vec<PathBuf> {
    if let Some(path) = variable("TIDINGS_RUNTIME_DIR") {
        return vec![path.into()];
    }
    let own = format!("tidings-{}", user.as_raw());
    let session = Path::new("/run/user").join(user.as_raw().to_string());
    let all = [
        user.is_root().then(of_root),
        variable("XDG_RUNTIME_DIR").map(|path| Path::new(&path).join("tidings")),
        Some(session.join("tidings")),
        Some(env::temp_dir().join(&own)),
        Some(Path::new("/tmp").join(&own)),
    ];
    let mut places = Vec::new();
    for place in all.into_iter().flatten() {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn of_root() -> PathBuf {
    let run = if cfg!(target_os = "linux") {
        "/run"
    } else {
        "/var/run"
    };
    Path::new(run).join("tidings")
}

/// A directory for this user's supervisors: `TIDINGS_RUNTIME_DIR`, else of root `/run/tidings`, else
/// `tidings` in `XDG_RUNTIME_DIR`, else `tidings-` and the user's number in the temporary directory.
pub(crate) fn runtime_dir() -> PathBuf {
    if let Some(path) = env::var_os("TIDINGS_RUNTIME_DIR") {
        return path.into();
    }
    let user = geteuid();
    if user.is_root() {
        return of_root();
    }
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(path) => Path::new(&path).join("tidings"),
        None => env::temp_dir().join(format!("tidings-{}", user.as_raw())),
    }
}

/// How often a directory is made anew that others sweep away while it is taken.
const ATTEMPTS: usize = 100;

/// The longest path of a socket, on the strictest system (macOS) and without the zero that ends it.
const LONGEST: usize = 103;

/// Held by one supervisor at a time; gone with it. What a killed one left is removed by the next.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    mode: u32,
    /// The system takes the lock away from a process that ends, however it ends.
    lock: Mutex<File>,
    starts: AtomicU64,
}

impl Home {
    /// Takes the name; without one, takes a name that nobody else has.
    pub(crate) fn take(
        runtime: &Path,
        name: Option<&str>,
        is_for_others: bool,
    ) -> Result<Self, StartError> {
        // Workers of another user pass through it, and see nothing there.
        let mode = if is_for_others { 0o711 } else { 0o700 };
        own_directory(runtime, mode).map_err(|why| directory_error(runtime, &why))?;
        sweep(runtime);
        let name = name.map_or_else(unnamed, str::to_owned);
        if !is_name(&name) {
            return Err(StartError::InvalidName(name));
        }
        let path = runtime.join(&name);
        if path.join("notify-18446744073709551615").as_os_str().len() > LONGEST {
            return Err(StartError::RuntimeDir {
                path,
                why: "its path is too long for those of sockets in it".to_owned(),
            });
        }
        let mut attempts = 1;
        loop {
            match Self::try_to_take(&path, mode) {
                Ok(Some(home)) => return Ok(home),
                Ok(None) => return Err(StartError::NameTaken { name }),
                Err(why) if attempts < ATTEMPTS && is_swept_away(&why) => attempts += 1,
                Err(why) => return Err(directory_error(&path, &why)),
            }
        }
    }

    /// Another process may sweep it away in between: then something is not found.
    fn try_to_take(path: &Path, mode: u32) -> io::Result<Option<Self>> {
        own_directory(path, mode)?;
        let Some(lock) = lock_patiently(path)? else {
            return Ok(None);
        };
        if !is_at(&lock, path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let home = Self {
            path: path.to_owned(),
            mode,
            lock: Mutex::new(lock),
            starts: AtomicU64::new(0),
        };
        home.clear()?;
        Ok(Some(home))
    }

    /// Makes it again where somebody removed it, as those do who clean temporary directories, with the
    /// same care as the first time.
    pub(crate) fn restore(&self) -> io::Result<()> {
        let mut held = self.lock();
        if is_at(&held, &self.path) {
            return Ok(());
        }
        if let Some(runtime) = self.path.parent() {
            own_directory(runtime, self.mode)?;
        }
        own_directory(&self.path, self.mode)?;
        let taken = || io::Error::other("another supervisor has taken the name");
        let lock = lock_patiently(&self.path)?.ok_or_else(taken)?;
        if !is_at(&lock, &self.path) {
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

    pub(crate) fn control(&self) -> PathBuf {
        self.path.join(CONTROL)
    }

    /// A path where nothing is, for a worker to speak to.
    pub(crate) fn ear(&self) -> PathBuf {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("notify-{number}"))
    }

    /// Removes what a killed supervisor of this name left.
    fn clear(&self) -> io::Result<()> {
        for entry in self.path.read_dir()? {
            let entry = entry?;
            if entry.file_name() != LOCK {
                make_room(&entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Another supervisor may have the name by now, and the directory with it.
        if is_at(&self.lock(), &self.path) {
            let _ = remove_dir_all(&self.path);
        }
    }
}

/// A socket in a home, which somebody may remove while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    device: u64,
    inode: u64,
}

/// How soon it is noticed that somebody removed a socket.
const LOOK: Duration = Duration::from_millis(250);

impl Place {
    /// Where a socket is that was just made; its number is no other's as long as it is open.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let there = symlink_metadata(path)?;
        let (device, inode) = (there.dev(), there.ino());
        Ok(Self { device, inode })
    }

    /// The socket is still the one of that path.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|there| there == self)
    }
}

/// When to look whether a socket is still there.
pub(crate) fn looks() -> Interval {
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// As [`Home::restore`], where nothing may block.
pub(crate) async fn restore(home: &Arc<Home>) -> io::Result<()> {
    let home = Arc::clone(home);
    let restored = spawn_blocking(move || home.restore()).await;
    restored.unwrap_or_else(|panic| Err(panic.into()))
}

/// The lock is still the one of this home.
fn is_at(lock: &File, home: &Path) -> bool {
    let place = |it: Metadata| (it.dev(), it.ino());
    let (ours, there) = (lock.metadata(), metadata(home.join(LOCK)));
    matches!((ours.map(place), there.map(place)), (Ok(ours), Ok(there)) if ours == there)
}

/// Removes what is at the path of a socket and is not that socket; the path is in a home that is ours.
pub(crate) fn make_room(path: &Path) -> io::Result<()> {
    let removed = match symlink_metadata(path) {
        Ok(there) if there.is_dir() => remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(why) => Err(why),
    };
    match removed {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

/// The control sockets of all supervisors, by name; those of killed ones may be among them.
/// None of a directory that somebody else could have made: they would choose what we read.
pub(crate) fn controls(runtime: &Path) -> Vec<(String, PathBuf)> {
    let is_ours = |it: &Metadata| [0, geteuid().as_raw()].contains(&it.uid());
    if !symlink_metadata(runtime).is_ok_and(|it| is_ours(&it) && is_safe(&it)) {
        return Vec::new();
    }
    let Ok(entries) = runtime.read_dir() else {
        return Vec::new();
    };
    let homes = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = homes.filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let control = path.join(CONTROL);
        (is_name(&name) && control.exists()).then_some((name, control))
    });
    named.collect()
}

/// Removes the directories whose supervisors are gone.
fn sweep(runtime: &Path) {
    let Ok(entries) = runtime.read_dir() else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        // Without a lock it is just being made, or none of ours.
        if path.join(LOCK).exists()
            && let Ok(Some(_lock)) = lock(&path)
        {
            let _ = remove_dir_all(&path);
        }
    }
}

/// The lock, unless somebody holds it for longer than a sweep takes.
fn lock_patiently(home: &Path) -> io::Result<Option<File>> {
    for _ in 0..10 {
        if let Some(lock) = lock(home)? {
            return Ok(Some(lock));
        }
        thread::sleep(Duration::from_millis(10));
    }
    lock(home)
}

/// The lock, unless somebody holds it.
fn lock(home: &Path) -> io::Result<Option<File>> {
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(home.join(LOCK))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a directory that only we can write, or sees that the one that is there is such a one: in the
/// temporary directory anybody could have put something.
fn own_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    let there = symlink_metadata(path)?;
    if there.uid() != geteuid().as_raw() || !is_safe(&there) {
        let why = "it must be a directory of this user that nobody else can write";
        return Err(io::Error::other(why));
    }
    if there.mode() & mode == mode {
        return Ok(());
    }
    set_permissions(path, PermissionsExt::from_mode(mode))
}

/// Before it was made whole: else it would be locked.
fn is_swept_away(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
    )
}

/// A directory that only its owner can write.
fn is_safe(there: &Metadata) -> bool {
    there.is_dir() && there.mode() & 0o022 == 0
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
    fn a_name_is_taken_until_its_holder_is_gone() {
        let runtime = short_directory();
        let take = |name| Home::take(runtime.path(), Some(name), false);

        let home = take("web").unwrap();
        assert!(matches!(take("web"), Err(StartError::NameTaken { .. })));
        let other = take("worker").unwrap();
        drop(home);

        take("web").unwrap();
        drop(other);
    }

    #[test]
    fn what_a_killed_supervisor_left_is_swept_away() {
        let runtime = short_directory();
        let left = runtime.path().join("dead");
        own_directory(&left, 0o700).unwrap();
        drop(lock(&left).unwrap());

        let home = Home::take(runtime.path(), None, false).unwrap();

        assert!(!left.exists());
        drop(home);
        assert_eq!(runtime.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_directory_in_place_of_a_socket_is_removed() {
        let runtime = short_directory();
        let take = || Home::take(runtime.path(), Some("web"), false);
        let home = take().unwrap();
        let in_place = || std::fs::create_dir_all(home.control().join("directory")).unwrap();
        in_place();
        make_room(&home.control()).unwrap();
        assert!(!home.control().exists());

        // And where a killed supervisor left it.
        in_place();
        home.clear().unwrap();
        assert!(!home.control().exists());
    }

    #[test]
    fn a_name_is_taken_while_others_sweep() {
        let runtime = short_directory();
        let take_many = |name: &'static str| {
            for _ in 0..2_000 {
                Home::take(runtime.path(), Some(name), false).unwrap();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| take_many("one"));
            scope.spawn(|| take_many("other"));
        });
    }

    #[test]
    fn a_home_that_was_removed_is_made_again_and_still_taken() {
        let runtime = short_directory();
        let directory = runtime.path().join("run");
        let take = || Home::take(&directory, Some("web"), false);
        let home = take().unwrap();

        remove_dir_all(&directory).unwrap();
        home.restore().unwrap();

        assert!(matches!(take(), Err(StartError::NameTaken { .. })));
        let mode = metadata(&directory).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(home);
        take().unwrap();
    }

    #[test]
    fn a_home_is_made_again_only_where_nobody_else_can_write() {
        let runtime = short_directory();
        let directory = runtime.path().join("run");
        let home = Home::take(&directory, Some("web"), false).unwrap();
        remove_dir_all(&directory).unwrap();
        DirBuilder::new().create(&directory).unwrap();
        set_permissions(&directory, PermissionsExt::from_mode(0o777)).unwrap();

        home.restore().unwrap_err();

        assert_eq!(directory.read_dir().unwrap().count(), 0);
        set_permissions(&directory, PermissionsExt::from_mode(0o700)).unwrap();
        home.restore().unwrap();
    }

    #[test]
    fn a_home_whose_name_was_taken_meanwhile_is_left_to_its_new_owner() {
        let runtime = short_directory();
        let take = || Home::take(runtime.path(), Some("web"), false);
        let old = take().unwrap();
        remove_dir_all(runtime.path().join("web")).unwrap();
        let new = take().unwrap();

        old.restore().unwrap_err();
        drop(old);

        assert!(new.path.join(LOCK).exists());
        assert!(matches!(take(), Err(StartError::NameTaken { .. })));
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let runtime = short_directory();
        set_permissions(runtime.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let taken = Home::take(runtime.path(), Some("web"), false);
        assert!(matches!(taken, Err(StartError::RuntimeDir { .. })));
    }

    #[test]
    fn sockets_are_looked_for_where_nobody_else_can_write_and_by_names_alone() {
        let runtime = short_directory();
        for name in ["web", "we\x1b[2Jb", ".hidden"] {
            own_directory(&runtime.path().join(name), 0o700).unwrap();
            File::create(runtime.path().join(name).join(CONTROL)).unwrap();
        }
        let names = || controls(runtime.path()).into_iter().map(|(name, _)| name);
        assert_eq!(names().collect::<Vec<_>>(), ["web"]);

        set_permissions(runtime.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(names().count(), 0);
    }

    #[test]
    fn supervisors_are_looked_for_in_all_places_of_a_user() {
        let user = Uid::from_raw(1000);
        let session = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/xdg".into());
        let there = places_of(session, user);
        let bare = places_of(|_| None, user);

        for place in ["/run/user/1000/tidings", "/tmp/tidings-1000"] {
            assert!(there.contains(&place.into()) && bare.contains(&place.into()));
        }
        assert_eq!(there[0], Path::new("/xdg/tidings"));
        assert_eq!(places_of(|_| None, Uid::ROOT)[0], of_root());
        let chosen = |name: &str| (name == "TIDINGS_RUNTIME_DIR").then(|| "/here".into());
        assert_eq!(places_of(chosen, user), [Path::new("/here")]);
    }

    #[test]
    fn a_path_that_is_too_long_for_sockets_is_refused() {
        let runtime = short_directory();
        let long = runtime.path().join("x".repeat(100));
        let taken = Home::take(&long, Some("web"), false);
        assert!(matches!(taken, Err(StartError::RuntimeDir { .. })));
    }

    #[test]
    fn a_name_is_no_path() {
        let runtime = short_directory();
        for name in ["", "..", "a/b", "a b", ".hidden"] {
            let taken = Home::take(runtime.path(), Some(name), false);
            assert!(matches!(taken, Err(StartError::InvalidName(_))), "{name}");
        }
    }
}
