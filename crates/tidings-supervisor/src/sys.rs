//! All unsafe code of tidings: between `fork` and `exec`, and one question to the system.
//!
//! The standard library starts a process with everything but three things that a worker needs. Its
//! sockets must lie at 3, 4, …, without the mark that closes them at `exec`. `LISTEN_PID` must hold
//! its process id, which is known only after `fork`. And it must die with its supervisor. So the
//! child does these, and `exec` itself, in the hook that the standard library has for it.
//!
//! Of a program with several threads only one is in the child, and a lock that another held is held
//! for ever. Therefore nothing there allocates, locks or panics: all is prepared before, and what is
//! called are system calls (those of signal-safety(7), `prctl`, `close_range` and `setgroups`).
#![allow(
    unsafe_code,
    reason = "the only module that may; each use says why it is sound"
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

/// The first descriptor that a worker gets, by the rules of `LISTEN_FDS`.
const FIRST: RawFd = 3;

/// Has room for the largest process id and the zero that ends it.
const LISTEN_PID: &[u8; 22] = b"LISTEN_PID=0000000000\0";
const DIGITS: usize = "LISTEN_PID=".len();

/// The signals that may tell a worker to stop, but for the hangup.
const STOPS: [c_int; 5] = [
    libc::SIGTERM,
    libc::SIGQUIT,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// The lowest descriptor that is in nobody's way when so many sockets are passed on.
pub(crate) fn first_free(sockets: usize) -> RawFd {
    FIRST.saturating_add(RawFd::try_from(sockets).unwrap_or(RawFd::MAX))
}

/// What a worker is to be.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) program: &'a std::path::Path,
    /// The name it is called by first.
    pub(crate) arguments: Vec<CString>,
    /// All of it, but for `LISTEN_PID`.
    pub(crate) environment: Vec<CString>,
    /// At [`first_free`] or above.
    pub(crate) sockets: &'a [OwnedFd],
    pub(crate) identity: Option<Identity>,
}

/// Starts `command`, which has all that the standard library can do, as `plan` says.
pub(crate) fn spawn(command: &mut Command, plan: Plan<'_>) -> io::Result<Child> {
    let (mut failure, report) = pipe(first_free(plan.sockets.len()))?;
    let mut birth = Birth::new(plan, report.as_raw_fd())?;
    // SAFETY: `become_worker` keeps to what may be done between fork and exec, see above.
    unsafe { command.pre_exec(move || birth.become_worker()) };
    let spawned = command.spawn();
    // The hook may hold what it captured for as long as the command lives; the child has its own.
    drop(report);
    let mut child = spawned?;
    // Ends when the child's end is closed, by its exec or its death. The standard library has a pipe
    // of this kind as well, but sockets are put where it may lie.
    let mut failed = Vec::new();
    failure.read_to_end(&mut failed)?;
    let Some((&step, errno)) = failed.split_first() else {
        return Ok(child);
    };
    child.wait()?;
    let errno = errno.try_into().map_or(0, c_int::from_ne_bytes);
    let why = io::Error::from_raw_os_error(errno);
    let step = STEPS.get(usize::from(step)).unwrap_or(&"starting it");
    Err(io::Error::new(why.kind(), format!("{step}: {why}")))
}

/// What can fail in the child, for its only message.
const STEPS: [&str; 4] = [
    "handing the sockets over",
    "becoming another user",
    "tying its life to the supervisor's",
    "executing it",
];

const SOCKETS: u8 = 0;
const IDENTITY: u8 = 1;
const LIFE: u8 = 2;
const EXEC: u8 = 3;

/// A pipe whose writing end is out of the way of the sockets.
fn pipe(above: RawFd) -> io::Result<(std::fs::File, OwnedFd)> {
    let (reading, writing) = io::pipe()?;
    let writing = fcntl_dupfd_cloexec(&writing, above)?;
    Ok((OwnedFd::from(reading).into(), writing))
}

/// All that the child needs, in memory that is there already.
struct Birth {
    program: CString,
    /// Both end with a null pointer, as `execve` wants it.
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// What they point to: on the heap, where it does not move.
    _texts: [Vec<CString>; 2],
    listen_pid: [u8; LISTEN_PID.len()],
    sockets: Vec<RawFd>,
    identity: Option<Identity>,
    supervisor: libc::pid_t,
    report: RawFd,
}

// SAFETY: the pointers lead to heap memory that `_texts` owns and that nobody else knows; it is
// only read.
unsafe impl Send for Birth {}
// SAFETY: as above; nothing is written through a shared reference.
unsafe impl Sync for Birth {}

impl Birth {
    fn new(plan: Plan<'_>, report: RawFd) -> io::Result<Self> {
        let pointers = |texts: &[CString]| -> Vec<_> {
            let texts = texts.iter().map(|text| text.as_ptr());
            // One place more in the environment, for `LISTEN_PID`.
            texts.chain([ptr::null(), ptr::null()]).collect()
        };
        Ok(Self {
            program: CString::new(plan.program.as_os_str().as_bytes())?,
            arguments: pointers(&plan.arguments),
            environment: pointers(&plan.environment),
            _texts: [plan.arguments, plan.environment],
            listen_pid: *LISTEN_PID,
            sockets: plan.sockets.iter().map(OwnedFd::as_raw_fd).collect(),
            identity: plan.identity,
            supervisor: libc::pid_t::try_from(std::process::id()).unwrap_or(0),
            report,
        })
    }

    /// Comes back never: either the worker runs, or the child ends.
    fn become_worker(&mut self) -> io::Result<()> {
        let step = self.try_to();
        // SAFETY: plain reads of errno and system calls; the buffer is on the stack.
        unsafe {
            let errno = *errno_place();
            let [a, b, c, d] = errno.to_ne_bytes();
            let message = [step, a, b, c, d];
            libc::write(self.report, message.as_ptr().cast(), message.len());
            libc::_exit(127)
        }
    }

    /// Does not come back when all goes well; else tells what failed, with errno as it was then.
    fn try_to(&mut self) -> u8 {
        // SAFETY: system calls with descriptors and numbers by value, and with pointers to memory that
        // `self` owns. `arguments` and `environment` end with null, and each text with a zero.
        unsafe {
            for (&socket, target) in self.sockets.iter().zip(FIRST..) {
                // The copy is without the mark that closes it at exec.
                if libc::dup2(socket, target) == -1 {
                    return SOCKETS;
                }
            }
            close_at_exec(first_free(self.sockets.len()));
            if self.identity.is_some_and(|it| !become_somebody(it)) {
                return IDENTITY;
            }
            // After the change of user, which takes it away again.
            if !die_with(self.supervisor) {
                return LIFE;
            }
            if !self.sockets.is_empty() {
                write_number(libc::getpid(), &mut self.listen_pid[DIGITS..]);
                let places = self.environment.len();
                self.environment[places - 2] = self.listen_pid.as_ptr().cast();
            }
            // What was ignored where the supervisor was started, as in the background of a script, its
            // workers would ignore as well. A hangup stays ignored: nohup is for that.
            for signal in STOPS {
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

/// In decimal, with a zero byte behind it; a process id has at most ten digits.
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

/// Marks all descriptors from this one on, so that the worker has none of them.
///
/// # Safety
///
/// Only in a child between fork and exec: it is about descriptors that others own.
unsafe fn close_at_exec(from: RawFd) {
    // SAFETY: system calls by value; a descriptor that is not open makes an error that means nothing.
    unsafe {
        #[cfg(target_os = "linux")]
        {
            let (from, mark) = (from.cast_unsigned(), libc::CLOSE_RANGE_CLOEXEC);
            if libc::syscall(libc::SYS_close_range, from, libc::c_uint::MAX, mark) == 0 {
                return;
            }
        }
        // Before Linux 5.11, and elsewhere. Higher ones than these are not looked for.
        for descriptor in from..65_536 {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// For good: no supplementary groups, and no way back. Who is not root is that user already, and has
/// no right to drop anything; then only the last step is left.
///
/// # Safety
///
/// Only in a child between fork and exec, where there is one thread.
unsafe fn become_somebody(Identity { uid, gid }: Identity) -> bool {
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

/// Whatever becomes of the supervisor: this process is killed with it.
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
    // SAFETY: a system call without arguments. It may have died before that was in force.
    unsafe { libc::getppid() == supervisor }
}

/// # Safety
///
/// As that of the C library's function: the pointer is this thread's.
unsafe fn errno_place() -> *mut c_int {
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

/// Whoever started this process told the system that it does not want to hear of hang-ups.
pub(crate) fn is_hang_up_ignored() -> bool {
    let mut known = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: changes nothing, since the new action is null; all zeros are an action, and it is only
    // written to.
    unsafe {
        libc::sigaction(libc::SIGHUP, ptr::null(), known.as_mut_ptr());
        known.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_with_the_zero_that_ends_it() {
        for number in [1, 7, 10, 32_768, 4_194_304, libc::pid_t::MAX] {
            let mut to = *b"xxxxxxxxxxx";
            write_number(number, &mut to);
            let end = to.iter().position(|byte| *byte == 0).unwrap();
            assert_eq!(to[..end], *number.to_string().as_bytes());
        }
    }
}
