//! A Chromium and its driver for one test. Both end with the test, however it ends.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::driver::Driver;

// How the Redis servers of a test end with it.
#[allow(dead_code, reason = "a server is also stopped and named")]
#[path = "../../../../../tidings-testkit/src/process.rs"]
mod process;

use self::process::{PROGRAM_NOT_FOUND, Process};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STARTS_OF_DRIVER: usize = 5;

/// Nothing but the page: no sandbox, because root has none, and no requests of its own.
const OPTIONS: [&str; 16] = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-crash-reporter",
    "--metrics-recording-only",
    "--mute-audio",
    "--password-store=basic",
    "--hide-scrollbars",
    "--window-size=1280,900",
];

/// The processes of a browser, and the session with it.
pub(super) struct Chromium {
    pub(super) driver: Driver,
    browser: Started,
    _driving: Started,
}

/// A process in a directory of its own.
struct Started {
    program: &'static str,
    /// `None` once it is killed.
    process: Option<Process>,
    directory: TempDir,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.process = None;
        // The processes that it has started end a moment later, and write until then.
        let is_gone = || fs::remove_dir_all(self.directory.path()).is_ok();
        let mut tries = 0..100;
        while !is_gone() && tries.next().is_some() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Chromium {
    pub(super) async fn start() -> Self {
        let mut browser = Started::begin("chromium", |profile| {
            let mut options = vec![format!("--user-data-dir={}", profile.display())];
            options.push("--remote-debugging-port=0".to_owned());
            options.extend(OPTIONS.map(str::to_owned));
            options.push("about:blank".to_owned());
            ("--headless=new", options)
        });
        let port = "DevToolsActivePort";
        let debugger = browser.wait_for(port, |text| text.lines().next()?.parse().ok());
        let (driving, debugger) = tokio::join!(start_driver(), debugger);
        let (driving, driver) = driving;
        let debugger = debugger.unwrap_or_else(|failure| panic!("{failure}"));
        Self {
            driver: connect(debugger, driver).await,
            browser,
            _driving: driving,
        }
    }

    /// The directory with all that the browser keeps, and its log.
    pub(super) fn profile(&self) -> &Path {
        self.browser.directory.path()
    }

    /// Returns the memory of the largest tab in MB, as the browser's own task manager shows it: what the
    /// process shares with no other.
    pub(super) fn largest_tab(&self) -> u64 {
        let profile = self.profile().to_str().unwrap();
        let of_tab = |process: &Path| {
            let command = fs::read_to_string(process.join("cmdline")).ok()?;
            let is_tab = command.contains("--type=renderer") && command.contains(profile);
            let status = fs::read_to_string(process.join("status")).ok()?;
            let size = |name| -> Option<u64> {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().strip_suffix(" kB")?.parse().ok()
            };
            let kibibytes = size("RssAnon:")? + size("VmSwap:")?;
            is_tab.then_some(kibibytes * 1_024 / 1_000_000)
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let sizes = processes.filter_map(|process| of_tab(&process.path()));
        sizes.max().expect("the browser has a tab")
    }
}

/// Starts the driver, and returns it with its port. It takes a free port of IPv6, and ends if another
/// process has the same one of IPv4.
async fn start_driver() -> (Started, u16) {
    let mut failures = Vec::new();
    while failures.len() < STARTS_OF_DRIVER {
        let mut driver = Started::begin("chromedriver", |_| ("--port=0", Vec::new()));
        let port = driver.wait_for("log", |text| {
            let (_, rest) = text.split_once("successfully on port ")?;
            rest.split_once('.')?.0.parse().ok()
        });
        match port.await {
            Ok(port) => return (driver, port),
            Err(failure) if failure.contains("Address already in use") => failures.push(failure),
            Err(failure) => panic!("{failure}"),
        }
    }
    panic!("{}", failures.join("\n"));
}

async fn connect(debugger: u16, driver: u16) -> Driver {
    let capabilities = json!({
        "goog:chromeOptions": { "debuggerAddress": format!("127.0.0.1:{debugger}") },
        "goog:loggingPrefs": { "browser": "ALL" },
        // A dialog then fails the next command.
        "unhandledPromptBehavior": "ignore",
        "timeouts": { "script": 60_000 },
    });
    Driver::begin(driver, capabilities).await
}

impl Started {
    fn begin(
        program: &'static str,
        arguments: impl FnOnce(&Path) -> (&'static str, Vec<String>),
    ) -> Self {
        let prefix = format!("tidings-{program}-");
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
        let (first, rest) = arguments(directory.path());
        let rest: Vec<_> = rest.iter().map(String::as_str).collect();
        let log = File::create(directory.path().join("log")).unwrap();
        let process = Process::start(
            Path::new(program),
            directory.path(),
            Path::new(first),
            &rest,
            log,
        );
        Self {
            program,
            process: Some(process.unwrap()),
            directory,
        }
    }

    /// Waits until a file has what `find` looks for. The error is why it never will.
    async fn wait_for(
        &mut self,
        file: &str,
        find: impl Fn(&str) -> Option<u16>,
    ) -> Result<u16, String> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            let text = fs::read_to_string(self.directory.path().join(file));
            if let Some(found) = text.ok().as_deref().and_then(&find) {
                return Ok(found);
            }
            if let Some(status) = self.process.as_mut().unwrap().exit_status().unwrap() {
                return Err(self.ended(status));
            }
            if Instant::now() >= deadline {
                return Err(self.failure("is not ready"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn ended(&self, status: ExitStatus) -> String {
        if status.code() != Some(PROGRAM_NOT_FOUND) {
            return self.failure(&format!("ended with {status}"));
        }
        format!(
            "`{}` is not installed, or not on the PATH\n\
             \x20 in the tidings repository:  cargo xtask test  installs it\n\
             \x20 on Debian:                  apt-get install chromium chromium-driver",
            self.program
        )
    }

    fn failure(&self, what: &str) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        format!("{} {what}; its log:\n{log}", self.program)
    }
}
