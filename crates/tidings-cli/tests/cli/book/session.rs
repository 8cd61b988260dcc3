//! Runs the commands of a session.

use std::process::Command;
use std::thread::spawn;

use futures_util::future::BoxFuture;
use rustix::process::Signal;
use tidings::Bus;
use tokio::task::spawn_blocking;

use super::page::{Difference, Session, Shown};
use crate::fleet::Fleet;
use crate::support::{Running, text};

/// The address that the page shows.
const ADDRESS: &str = "10.0.0.7:6379";

/// The host and the process id that the page shows.
const HOST: &str = "web-3";
const PID: &str = "4711";

/// The place where the commands of a session run.
pub(super) struct Stage {
    pub(super) fleet: Fleet,
    pub(super) members: Vec<Bus>,
    /// The directory of the commands, in the sandbox.
    pub(super) directory: &'static str,
    /// True if the environment has the address and the namespace of the fleet.
    pub(super) has_address: bool,
    /// The action once a command that is interrupted has printed its first line.
    pub(super) meanwhile: Option<fn(&Stage) -> BoxFuture<'_, ()>>,
}

/// Runs the commands, and returns the outputs that differ from the page.
pub(super) async fn run(session: Session, stage: Stage) -> Vec<Difference> {
    let mut differences = Vec::new();
    for shown in session.commands {
        let printed = stage.run(&shown).await;
        differences.extend(shown.compare(printed));
    }
    differences
}

impl Stage {
    async fn run(&self, shown: &Shown) -> Vec<String> {
        let interrupt = shown.output.iter().position(|line| line.starts_with("^C"));
        let lines = match interrupt {
            None => {
                let mut shell = self.shell(&shown.command);
                let output = spawn_blocking(move || shell.output()).await.unwrap();
                let output = text(&output.unwrap().stdout);
                output.lines().map(str::to_owned).collect()
            }
            Some(count) => self.interrupted(&shown.command, count).await,
        };
        lines.iter().map(|line| self.as_in_the_page(line)).collect()
    }

    /// Runs a command, and interrupts it after this many lines.
    async fn interrupted(&self, command: &str, count: usize) -> Vec<String> {
        let running = Running::start(&mut self.shell(&format!("exec {command}")));
        let lines = running.stdout.clone();
        spawn_blocking(move || lines.wait_count("", 1))
            .await
            .unwrap();
        if let Some(meanwhile) = self.meanwhile {
            meanwhile(self).await;
        }
        let lines = running.stdout.clone();
        spawn_blocking(move || lines.wait_count("", count))
            .await
            .unwrap();
        running.signal(Signal::INT);
        let ended = spawn(move || {
            let mut running = running;
            running.code();
            running.stdout.wait_count("", count + 1);
            running.stdout.all()
        });
        let mut lines = spawn_blocking(|| ended.join().unwrap()).await.unwrap();
        lines[count].insert_str(0, "^C");
        lines
    }

    /// A shell with `tidings` on its path.
    fn shell(&self, command: &str) -> Command {
        let mut shell = self.fleet.command_of("sh");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_tidings"));
        let mut path = program.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        shell
            .current_dir(self.fleet.sandbox.path(self.directory))
            .env("PATH", path);
        if !self.has_address {
            shell
                .env_remove("TIDINGS_URL")
                .env_remove("TIDINGS_NAMESPACE");
        }
        shell.args(["-c", &format!("exec 2>&1; {command}")]);
        shell
    }

    /// Replaces what belongs to this machine.
    fn as_in_the_page(&self, line: &str) -> String {
        let sandbox = self.fleet.sandbox.directory.path();
        let sandbox = sandbox.canonicalize().unwrap();
        let line = line.replace(&*sandbox.to_string_lossy(), "");
        let line = line.replace(&self.fleet.redis.address().to_string(), ADDRESS);
        let line = line.replace("cli::book::fleets::", "shop::");
        let host = rustix::system::uname();
        let (host, pid) = (
            host.nodename().to_string_lossy(),
            std::process::id().to_string(),
        );
        let words = line.split(' ').map(|word| match word {
            word if word == host => HOST,
            word if word == pid => PID,
            word => word,
        });
        words.collect::<Vec<_>>().join(" ")
    }
}
