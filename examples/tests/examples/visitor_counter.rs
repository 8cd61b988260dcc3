//! The visitor counter: each number is returned once, whichever process responds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;
use tidings_testkit::Redis;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

const WORKERS: usize = 4;
const SOON: Duration = Duration::from_secs(30);

/// The running program and its output.
struct Program {
    at: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
    _runtime: TempDir,
}

impl Program {
    /// Starts the program, and waits until all of its workers are ready.
    async fn start(redis: &Redis) -> Self {
        let runtime = tempfile::tempdir().unwrap();
        let mut child = Command::new(path())
            .args(["--port", "0", "--workers", &WORKERS.to_string()])
            .env("TIDINGS_URL", redis.url())
            .env("TIDINGS_RUNTIME_DIR", runtime.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut at, mut ready) = (None, 0);
        while at.is_none() || ready < WORKERS {
            let line = next(&mut lines).await;
            at = at.or(line
                .split_once("http://")
                .map(|(_, at)| at.parse().unwrap()));
            ready += usize::from(line.contains(" is ready "));
        }
        Self {
            at: at.unwrap(),
            lines,
            child,
            _runtime: runtime,
        }
    }

    /// Kills a worker, and waits until it is replaced.
    async fn kill(&mut self, worker: u64) {
        signal("-KILL", worker).await;
        self.wait_for(" is ready ").await;
    }

    /// Replaces all workers.
    async fn reload(&mut self) {
        signal("-HUP", self.child.id().unwrap().into()).await;
        self.wait_for(&format!("reloaded {WORKERS} workers")).await;
    }

    async fn wait_for(&mut self, words: &str) {
        while !next(&mut self.lines).await.contains(words) {}
    }

    /// Sends this many requests at once.
    fn visit(&self, visitors: usize) -> Visits {
        let at = self.at;
        let visit = |_| tokio::spawn(timeout(SOON, ask(at)));
        Visits((0..visitors).map(visit).collect())
    }
}

async fn signal(which: &str, process: u64) {
    let process = process.to_string();
    let sent = Command::new("kill").args([which, &process]).status();
    assert!(sent.await.unwrap().success());
}

/// Requests without a response so far.
struct Visits(Vec<JoinHandle<Result<Value, Elapsed>>>);

impl Visits {
    /// The numbers and the process ids of the responses.
    async fn end(self) -> (Vec<u64>, BTreeSet<u64>) {
        let (mut numbers, mut workers) = (Vec::new(), BTreeSet::new());
        for visit in self.0 {
            let answer = visit.await.unwrap().unwrap();
            numbers.push(answer["counter"].as_u64().unwrap());
            workers.insert(answer["pid"].as_u64().unwrap());
        }
        (numbers, workers)
    }
}

/// Sends requests without a pause until `is_over`; the numbers of the responses.
fn visit_until(at: SocketAddr, is_over: Arc<AtomicBool>) -> JoinHandle<Vec<u64>> {
    tokio::spawn(async move {
        let mut numbers = Vec::new();
        while !is_over.load(Relaxed) {
            let visits = join_all((0..10).map(|_| timeout(SOON, ask(at)))).await;
            let answers = visits.into_iter().map(Result::unwrap);
            numbers.extend(answers.map(|answer| answer["counter"].as_u64().unwrap()));
        }
        numbers
    })
}

/// The example as cargo built it, next to the directory of this test.
fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join("visitor-counter")
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(SOON, lines.next_line()).await;
    line.unwrap().unwrap().unwrap()
}

async fn ask(at: SocketAddr) -> Value {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_visitors_get_each_number_once_while_workers_are_killed_and_replaced() {
    let redis = Redis::start().await;
    let mut program = Program::start(&redis).await;

    let (mut numbers, first) = program.visit(250).end().await;
    program.kill(*first.first().unwrap()).await;
    let (more, second) = program.visit(250).end().await;
    numbers.extend(more);
    let is_over = Arc::new(AtomicBool::new(false));
    let others = visit_until(program.at, Arc::clone(&is_over));
    program.reload().await;
    let (more, _) = program.visit(500).end().await;
    numbers.extend(more);
    is_over.store(true, Relaxed);
    numbers.extend(others.await.unwrap());

    numbers.sort_unstable();
    let visitors = numbers.len() as u64;
    assert!(visitors >= 1000 && numbers.into_iter().eq(1..=visitors));
    assert!(!second.contains(first.first().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_gets_an_error_when_the_count_is_unknown() {
    let redis = Redis::start().await;
    let program = Program::start(&redis).await;
    redis
        .cli(&["SET", "tidings:{visitor-counter}:counter:visits", "many"])
        .await;

    let answer = ask(program.at).await;

    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("holds no integer"),
        "{answer}"
    );
}
