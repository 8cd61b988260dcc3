//! The programs of the book in other languages: Node and Python read what a node sends, and send.
//!
//! They need packages that `cargo xtask test --long` installs, and are ignored elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tidings::Journal;
use tidings_testkit::{Collected, Node, Redis};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

/// The folder of the installed packages.
fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-peers")
}

/// The source of a program.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/src/programs")
        .join(name)
}

/// A program that runs until this is dropped.
struct Program {
    name: String,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Program {
    /// Starts a program in JavaScript. Node looks for packages beside it.
    fn javascript(name: &str, redis: &Redis) -> Self {
        let beside = packages().join("js").join(format!("book-{name}"));
        fs::copy(source(name), &beside).expect("`cargo xtask test --long` installs the packages");
        Self::start(name, Command::new("node").arg(beside), redis)
    }

    fn python(name: &str, redis: &Redis) -> Self {
        let python = packages().join("python/bin/python");
        Self::start(name, Command::new(python).arg(source(name)), redis)
    }

    fn start(name: &str, command: &mut Command, redis: &Redis) -> Self {
        let child = command
            .env("TIDINGS_URL", redis.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let stdout = child.stdout.take().unwrap();
        Self {
            name: name.to_owned(),
            lines: BufReader::new(stdout).lines(),
            _child: child,
        }
    }

    async fn line(&mut self) -> String {
        let line = timeout(SOON, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{} prints nothing", self.name));
        line.unwrap()
            .unwrap_or_else(|| panic!("{} ended", self.name))
    }

    /// Reads lines up to this one.
    async fn prints(&mut self, expected: &str) {
        let mut before = Vec::new();
        loop {
            let line = self.line().await;
            if line == expected {
                return;
            }
            before.push(line);
            assert!(before.len() < 100, "{} prints {before:?}", self.name);
        }
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and their packages: `cargo xtask test --long`"]
async fn programs_in_other_languages_read_the_journal() {
    let redis = Redis::start().await;
    let node = redis.node_with(|bus| bus.journal(Journal::default())).await;
    node.send_to_all("before", &0).await.unwrap();
    let mut programs = [
        Program::javascript("journal.mjs", &redis),
        Program::python("journal.py", &redis),
    ];
    for program in &mut programs {
        let line = program.line().await;
        assert!(line.starts_with("reading after "), "{line}");
    }

    let mut expected = Vec::new();
    for number in 1..=3_u64 {
        let receipt = node.send_to_all("tick", &number).await.unwrap();
        let position = receipt.position().unwrap();
        expected.push(format!("{position} tick {} {number}", receipt.sequence));
    }
    // Two events in one frame.
    node.feed("user.renamed", "Ada").await.unwrap();
    node.feed("user.renamed", "Bob").await.unwrap();
    node.flush().await.unwrap();

    for program in &mut programs {
        for line in &expected {
            assert_eq!(&program.line().await, line, "{}", program.name);
        }
        for (sequence, name) in [(5, "Ada"), (6, "Bob")] {
            let line = program.line().await;
            let end = format!(" user.renamed {sequence} {name}");
            assert!(line.ends_with(&end), "{} prints {line}", program.name);
        }
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and their packages: `cargo xtask test --long`"]
async fn programs_in_other_languages_receive_and_send_events() {
    let redis = Redis::start().await;
    let node: Node = redis.node().await;
    let prices: Collected<Value> = node.collect("price.set");
    let mut programs = [
        Program::javascript("node.mjs", &redis),
        Program::python("python.py", &redis),
    ];
    for item in ["pears", "plums"] {
        prices.wait_for(|price| price["item"] == item).await;
    }

    let receipt = node.send_to_all("tick", &1).await.unwrap();
    node.send_to(node.id(), "tick", &2).await.unwrap();
    let last = node.send_to_others("tick", &3).await.unwrap();
    for program in &mut programs {
        let tick = |sequence, number| format!("received tick ({sequence}): {number}");
        program.prints(&tick(receipt.sequence, 1)).await;
        // What is addressed to the node is not for the program.
        assert_eq!(program.line().await, tick(last.sequence, 3));
    }
}
