//! The word on the bus that replaces the workers of all hosts, and what each host answers.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tidings_testkit::Redis;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

const WORKERS: usize = 2;

/// A host, and the link to the program that its workers run.
struct Host {
    at: String,
    /// The processes that it began with.
    elders: Vec<String>,
    folder: TempDir,
    _lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Host {
    /// Starts one whose workers count visitors, and waits until it hears.
    async fn start(name: &str, redis: &Redis) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("current");
        symlink(example("visitor-counter"), &program).unwrap();
        let mut child = Command::new(example("workers-reload"))
            .args(["--host", name, "--listen", "127.0.0.1:0", "--"])
            .arg(&program)
            .arg("--worker")
            .env("TIDINGS_URL", redis.url())
            .env("TIDINGS_RUNTIME_DIR", folder.path().join("runtime"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut at, mut elders, mut hears) = (String::new(), Vec::new(), false);
        while elders.len() < WORKERS || !hears {
            let line = timeout(SOON, lines.next_line()).await;
            let line = line.unwrap().unwrap().unwrap();
            hears |= line.ends_with(" hears");
            if let Some((who, place)) = line.split_once(" answers on http://") {
                elders.push(who.rsplit(' ').next().unwrap().to_owned());
                place.clone_into(&mut at);
            }
        }
        Self {
            at,
            elders,
            folder,
            _lines: lines,
            _child: child,
        }
    }

    /// From now on this is what new workers run.
    fn deploy(&self, program: &Path) {
        let next = self.folder.path().join("next");
        symlink(program, &next).unwrap();
        std::fs::rename(next, self.folder.path().join("current")).unwrap();
    }

    /// Which process answers a visitor.
    async fn visit(&self) -> String {
        let mut stream = TcpStream::connect(&self.at).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, pid) = answer.split_once(r#""pid":"#).unwrap();
        pid.trim_end_matches('}').to_owned()
    }

    /// Whether this visitor is answered by one of those it began with.
    async fn is_as_it_was(&self) -> bool {
        let who = timeout(SOON, self.visit()).await.unwrap();
        self.elders.contains(&who)
    }
}

/// Where cargo put it: beside the directory of this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join(name)
}

/// Tells all hosts: what it prints, and whether it is content.
async fn reload_now(redis: &Redis) -> (String, bool) {
    let program = Command::new(example("workers-reload"))
        .arg("--now")
        .env("TIDINGS_URL", redis.url())
        .kill_on_drop(true)
        .output();
    let output = timeout(SOON * 2, program).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_answers_that_its_workers_are_new() {
    let redis = Redis::start().await;
    let hosts = [
        Host::start("a", &redis).await,
        Host::start("b", &redis).await,
    ];

    let (answers, is_content) = reload_now(&redis).await;

    assert!(is_content, "{answers}");
    assert!(answers.contains("a: 2 new workers"), "{answers}");
    assert!(answers.contains("b: 2 new workers"), "{answers}");
    for host in hosts {
        // The elders end meanwhile, and may have answers to give until then.
        let replaced = async { while host.is_as_it_was().await {} };
        timeout(SOON, replaced).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_broken_version_answers_why_and_its_old_workers_serve_on() {
    let redis = Redis::start().await;
    let whole = Host::start("whole", &redis).await;
    let broken = Host::start("broken", &redis).await;
    broken.deploy(Path::new("/bin/false"));

    let (answers, is_content) = reload_now(&redis).await;

    assert!(!is_content, "{answers}");
    assert!(answers.contains("whole: 2 new workers"), "{answers}");
    assert!(answers.contains("broken: the new worker "), "{answers}");
    assert!(answers.contains("the old workers serve on"), "{answers}");
    for _ in 0..20 {
        assert!(broken.is_as_it_was().await);
    }
    drop(whole);
}
