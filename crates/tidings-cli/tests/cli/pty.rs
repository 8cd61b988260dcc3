//! Runs `tidings` on a pseudo-terminal, and shows what its screen shows.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::support::{TIMEOUT, eventually};

/// A program on a terminal of its own, which is killed on drop.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    /// Ends when the program has closed the terminal.
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program on a terminal with 24 lines. It has the arguments, the environment and the
    /// directory of this command.
    pub(crate) fn start(command: &Command, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let path = std::ffi::OsStr::from_bytes(name.to_bytes());
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(OFlags::NOCTTY.bits()).unwrap())
            .open(path)
            .unwrap();
        let child = on_terminal(command, &slave).spawn().unwrap();
        let screen = Arc::new((Mutex::new(Screen::new(columns.into(), 24)), Condvar::new()));
        let master = File::from(master);
        let (mut output, shown) = (master.try_clone().unwrap(), Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The read fails when the program has ended.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                shown.0.lock().unwrap().write(&bytes[..read]);
                shown.1.notify_all();
            }
        });
        Self {
            child,
            master,
            screen,
            reader: Some(reader),
        }
    }

    /// Types a text. Ctrl-C is `\u{3}`.
    pub(crate) fn enter(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn modes(&self) -> Termios {
        tcgetattr(&self.master).unwrap()
    }

    pub(crate) fn has_color(&self) -> bool {
        self.screen.0.lock().unwrap().has_color
    }

    /// Waits until this is so of the lines of the screen, and returns them.
    pub(crate) fn wait_until(&self, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let (screen, changed) = &*self.screen;
        let waited = changed.wait_timeout_while(screen.lock().unwrap(), TIMEOUT, |screen| {
            !is_so(&screen.lines())
        });
        let (screen, waited) = waited.unwrap();
        assert!(!waited.timed_out(), "{:#?}", screen.lines());
        screen.lines()
    }

    /// Waits for a line that contains this, and returns all lines.
    pub(crate) fn wait_for(&self, part: &str) -> Vec<String> {
        self.wait_until(|lines| lines.iter().any(|line| line.contains(part)))
    }

    /// Waits for the end of the program, and returns its exit code and the last screen. It must not
    /// have used sequences that leave a terminal in another state.
    pub(crate) fn end(mut self) -> (i32, Vec<String>) {
        let mut status = None;
        eventually("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let screen = self.screen.0.lock().unwrap();
        assert_eq!(screen.strange, Vec::<String>::new());
        (status.unwrap().code().unwrap(), screen.lines())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program in a session with this controlling terminal, so that Ctrl-C sends a signal.
fn on_terminal(command: &Command, slave: &File) -> Command {
    let stdio = || Stdio::from(slave.try_clone().unwrap());
    let mut session = Command::new("setsid");
    session
        .arg("--ctty")
        .arg(command.get_program())
        .args(command.get_args())
        .env("TERM", "xterm-256color")
        .stdin(stdio())
        .stdout(stdio())
        .stderr(stdio());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => session.env(name, value),
            None => session.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        session.current_dir(directory);
    }
    session
}

/// A screen that understands the sequences that `tidings` uses. All others are remembered as strange.
struct Screen {
    columns: usize,
    rows: usize,
    lines: Vec<Vec<char>>,
    /// The line and the column of the cursor.
    cursor: (usize, usize),
    unread: Vec<u8>,
    has_color: bool,
    strange: Vec<String>,
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            lines: vec![Vec::new()],
            cursor: (0, 0),
            unread: Vec::new(),
            has_color: false,
            strange: Vec::new(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.lines.iter();
        let mut lines: Vec<String> = lines
            .map(|line| line.iter().collect::<String>().trim_end().to_owned())
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    fn write(&mut self, bytes: &[u8]) {
        self.unread.extend(bytes);
        let whole = match std::str::from_utf8(&self.unread) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = String::from_utf8(self.unread.drain(..whole).collect()).unwrap();
        let mut rest = &*text;
        while let Some(character) = rest.chars().next() {
            if character == '\x1b' {
                let Some(end) = rest[1..].find(|it: char| it.is_ascii_alphabetic()) else {
                    // The rest of the sequence has not been read yet.
                    self.unread.splice(0..0, rest.bytes());
                    return;
                };
                self.sequence(&rest[..end + 2]);
                rest = &rest[end + 2..];
            } else {
                self.character(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }

    fn character(&mut self, character: char) {
        match character {
            '\r' => self.cursor.1 = 0,
            '\n' => self.cursor.0 += 1,
            character if character.is_control() => self.strange.push(format!("{character:?}")),
            character => {
                if self.cursor.1 == self.columns {
                    self.cursor = (self.cursor.0 + 1, 0);
                }
                self.make_room();
                let line = &mut self.lines[self.cursor.0];
                line.resize(line.len().max(self.cursor.1 + 1), ' ');
                line[self.cursor.1] = character;
                self.cursor.1 += 1;
            }
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        let lines = self.lines.len().max(self.cursor.0 + 1);
        self.lines.resize(lines, Vec::new());
    }

    fn sequence(&mut self, sequence: &str) {
        let parameters = sequence.strip_prefix("\x1b[").unwrap_or_default();
        let parameters = parameters.trim_end_matches(|it: char| it.is_ascii_alphabetic());
        match sequence.chars().next_back() {
            Some('m') => self.has_color = true,
            Some('A') => {
                let top = self.lines.len().saturating_sub(self.rows);
                let up: usize = parameters.parse().unwrap();
                self.cursor.0 = self.cursor.0.saturating_sub(up).max(top);
            }
            Some('K') if parameters.is_empty() => {
                self.lines[self.cursor.0].truncate(self.cursor.1);
            }
            Some('J') if parameters.is_empty() => {
                self.lines[self.cursor.0].truncate(self.cursor.1);
                self.lines.truncate(self.cursor.0 + 1);
            }
            _ => self.strange.push(format!("{sequence:?}")),
        }
    }
}
