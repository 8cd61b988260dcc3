//! All unsafe code of tidings: between `fork` and `exec`, and a query of a signal handler.
//!
//! The standard library cannot do three things that a worker needs. Its sockets must be descriptors 3,
//! 4, …, without close-on-exec. `LISTEN_PID` must contain its process id, which is known only after
//! `fork`. And it must be killed with its supervisor. So the child does these, and `exec`, in the hook
//! that the standard library has for it.
//!
//! After `fork` only one thread exists in the child, and locks that other threads held stay locked.
//! Therefore nothing there allocates, locks or panics: all data is prepared before, and only system calls
//! are made (those of signal-safety(7), `prctl`, `close_range` and `setgroups`).
#![allow(
    unsafe_code,
    reason = "the only module with unsafe code; each use says why it is sound"
)]

use std::ffi::{CString, c_char, c_int};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::ptr;

use rustix::io::fcntl_dupfd_cloexec;

use crate::identity::Identity;

/// The first inherited socket, by the protocol of `LISTEN_FDS`.
const FIRST: RawFd = 3;

/// With room for the largest process id and a terminating zero.
const LISTEN_PID: &[u8; 22] = b"LISTEN_PID=0000000000\0";
const PID_OFFSET: usize = "LISTEN_PID=".len();

/// All stop signals except SIGHUP.
const STOP_SIGNALS: [c_int; 5] = [
    libc::SIGTERM,
    libc::SIGQUIT,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Returns the lowest descriptor above those of this many inherited sockets.
pub(crate) fn first_free(sockets: usize) -> RawFd {
    FIRST.saturating_add(RawFd::try_from(sockets).unwrap_or(RawFd::MAX))
}

/// The arguments of `exec`, and the state of the worker before it.
#[derive(Debug)]
pub(crate) struct Exec<'a> {
    pub(crate) program: &'a std::path::Path,
    /// With the name of the program first.
    pub(crate) arguments: Vec<CString>,
    /// Without `LISTEN_PID`.
    pub(crate) environment: Vec<CString>,
    /// None below [`first_free`].
    pub(crate) sockets: &'a [OwnedFd],
    pub(crate) identity: Option<Identity>,
}

/// Spawns the command, whose child then becomes what `exec` says.
pub(crate) fn spawn(command: &mut Command, exec: Exec<'_>) -> io::Result<Child> {
    let (mut failures, report) = pipe(first_free(exec.sockets.len()))?;
    let mut setup = ChildSetup::new(exec, report.as_raw_fd())?;
    // SAFETY: `run` does only what is allowed between fork and exec, see above.
    unsafe { command.pre_exec(move || setup.run()) };
    let spawned = command.spawn();
    // Only the child holds the writing end now.
    drop(report);
    let mut child = spawned?;
    // Returns when the child's end is closed by its exec or death. The standard library has such a pipe
    // as well, but sockets may be put in its place.
    let mut failure = Vec::new();
    failures.read_to_end(&mut failure)?;
    let Some((&step, errno)) = failure.split_first() else {
        return Ok(child);
    };
    child.wait()?;
    let errno = errno.try_into().map_or(0, c_int::from_ne_bytes);
    let why = io::Error::from_raw_os_error(errno);
    let step = STEPS.get(usize::from(step)).unwrap_or(&"start it");
    Err(io::Error::new(why.kind(), format!("cannot {step}: {why}")))
}

/// The steps of the child that can fail.
const STEPS: [&str; 4] = [
    "pass on the sockets",
    "switch the user",
    "bind its lifetime to the supervisor",
    "execute it",
];

const SOCKETS: u8 = 0;
const IDENTITY: u8 = 1;
const LIFETIME: u8 = 2;
const EXEC: u8 = 3;

/// Creates a pipe whose writing end is above the inherited sockets.
fn pipe(above: RawFd) -> io::Result<(std::fs::File, OwnedFd)> {
    let (reading, writing) = io::pipe()?;
    let writing = fcntl_dupfd_cloexec(&writing, above)?;
    Ok((OwnedFd::from(reading).into(), writing))
}

/// All data that the child needs, allocated before `fork`.
struct ChildSetup {
    program: CString,
    /// Terminated by a null pointer, as is `environment`.
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// The texts that they point to, on the heap, where they do not move.
    _texts: [Vec<CString>; 2],
    listen_pid: [u8; LISTEN_PID.len()],
    sockets: Vec<RawFd>,
    identity: Option<Identity>,
    supervisor: libc::pid_t,
    report: RawFd,
}

// SAFETY: the pointers lead to heap memory that `_texts` owns, and that is only read.
unsafe impl Send for ChildSetup {}
// SAFETY: as above; nothing is written through a shared reference.
unsafe impl Sync for ChildSetup {}

impl ChildSetup {
    fn new(exec: Exec<'_>, report: RawFd) -> io::Result<Self> {
        let pointers = |texts: &[CString]| -> Vec<_> {
            let texts = texts.iter().map(|text| text.as_ptr());
            // The second null is the place of `LISTEN_PID` in the environment.
            texts.chain([ptr::null(), ptr::null()]).collect()
        };
        Ok(Self {
            program: CString::new(exec.program.as_os_str().as_bytes())?,
            arguments: pointers(&exec.arguments),
            environment: pointers(&exec.environment),
            _texts: [exec.arguments, exec.environment],
            listen_pid: *LISTEN_PID,
            sockets: exec.sockets.iter().map(OwnedFd::as_raw_fd).collect(),
            identity: exec.identity,
            supervisor: libc::pid_t::try_from(std::process::id()).unwrap_or(0),
            report,
        })
    }

    /// Executes the program, or reports the error and exits. Never returns.
    fn run(&mut self) -> io::Result<()> {
        let step = self.exec();
        // SAFETY: plain reads of errno and system calls; the buffer is on the stack.
        unsafe {
            let errno = *errno_location();
            let [a, b, c, d] = errno.to_ne_bytes();
            let message = [step, a, b, c, d];
            libc::write(self.report, message.as_ptr().cast(), message.len());
            libc::_exit(127)
        }
    }

    /// Executes the program. Returns only on an error: the failed step, with its errno set.
    fn exec(&mut self) -> u8 {
        // SAFETY: system calls with descriptors and numbers by value, and with pointers to memory that
        // `self` owns. `arguments` and `environment` end with null, and each text with a zero.
        unsafe {
            for (&socket, target) in self.sockets.iter().zip(FIRST..) {
                // The duplicate has no close-on-exec flag.
                if libc::dup2(socket, target) == -1 {
                    return SOCKETS;
                }
            }
            set_close_on_exec(first_free(self.sockets.len()));
            if self.identity.is_some_and(|it| !become_user(it)) {
                return IDENTITY;
            }
            // After the change of the user, which resets it.
            if !die_with(self.supervisor) {
                return LIFETIME;
            }
            if !self.sockets.is_empty() {
                write_number(libc::getpid(), &mut self.listen_pid[PID_OFFSET..]);
                let places = self.environment.len();
                self.environment[places - 2] = self.listen_pid.as_ptr().cast();
            }
            // Signals that the supervisor inherited as ignored, as in the background of a script, would
            // stay ignored in workers. SIGHUP may stay so: that is the purpose of nohup.
            for signal in STOP_SIGNALS {
                libc::signal(signal, libc::SIG_DFL);
            }
            libc::execve(
                self.program.as_ptr(),
                self.arguments.as_ptr(),
                self.environment.as_ptr(),
            );
        }
        EXEC
    }
}

/// Writes a number of up to ten digits with a terminating zero byte.
fn write_number(number: libc::pid_t, to: &mut [u8]) {
    let (mut rest, mut length) = (number, 0);
    while rest > 0 && length < 10 {
        rest /= 10;
        length += 1;
    }
    let mut rest = number;
    for place in to.iter_mut().take(length).rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    if let Some(end) = to.get_mut(length) {
        *end = 0;
    }
}

/// Sets close-on-exec on all descriptors from this one on.
///
/// # Safety
///
/// Only in a child between fork and exec, because it affects descriptors of other owners.
unsafe fn set_close_on_exec(from: RawFd) {
    // SAFETY: system calls by value. Errors of descriptors that are not open do not matter.
    unsafe {
        #[cfg(target_os = "linux")]
        {
            let (from, flags) = (from.cast_unsigned(), libc::CLOSE_RANGE_CLOEXEC);
            if libc::syscall(libc::SYS_close_range, from, libc::c_uint::MAX, flags) == 0 {
                return;
            }
        }
        // Before Linux 5.11, and on other systems. Higher descriptors are ignored.
        for descriptor in from..65_536 {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// Switches to the user and group permanently, without supplementary groups. A process that is not root
/// runs as that user already, and can only check that it cannot switch back.
///
/// # Safety
///
/// Only in a child between fork and exec, where there is one thread.
unsafe fn become_user(Identity { uid, gid }: Identity) -> bool {
    // SAFETY: system calls by value; the only pointer leads to one group on the stack.
    unsafe {
        let dropped = libc::geteuid() != 0
            || (libc::setgroups(1, &raw const gid) == 0
                && libc::setgid(gid) == 0
                && libc::setuid(uid) == 0);
        #[cfg(target_os = "linux")]
        let dropped = dropped && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
        dropped && (uid == 0 || libc::setuid(0) == -1)
    }
}

/// Lets the kernel kill this process when the supervisor ends.
///
/// # Safety
///
/// Only in a child between fork and exec.
unsafe fn die_with(supervisor: libc::pid_t) -> bool {
    #[cfg(target_os = "linux")]
    // SAFETY: system calls by value.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) == -1 {
            return false;
        }
    }
    // SAFETY: a system call without arguments. The supervisor may have died before.
    unsafe { libc::getppid() == supervisor }
}

/// Returns the location of this thread's errno.
///
/// # Safety
///
/// The pointer must be used only on this thread.
unsafe fn errno_location() -> *mut c_int {
    #[cfg(target_os = "linux")]
    // SAFETY: no arguments.
    unsafe {
        libc::__errno_location()
    }
    #[cfg(not(target_os = "linux"))]
    // SAFETY: no arguments.
    unsafe {
        libc::__error()
    }
}

/// Returns whether this process was started with SIGHUP ignored, as by `nohup`.
pub(crate) fn is_hangup_ignored() -> bool {
    let mut current = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing changes, because the new action is null. All zeros are a valid action.
    unsafe {
        libc::sigaction(libc::SIGHUP, ptr::null(), current.as_mut_ptr());
        current.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_with_a_terminating_zero() {
        for number in [1, 7, 10, 32_768, 4_194_304, libc::pid_t::MAX] {
            let mut to = *b"xxxxxxxxxxx";
            write_number(number, &mut to);
            let end = to.iter().position(|byte| *byte == 0).unwrap();
            assert_eq!(to[..end], *number.to_string().as_bytes());
        }
    }
}
