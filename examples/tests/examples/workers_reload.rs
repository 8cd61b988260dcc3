//! The request that reloads the workers of all hosts, and the response of each host.

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

/// A host, and the directory with the symbolic link to its workers' program.
struct Host {
    at: String,
    /// The process ids of its first workers.
    old_workers: Vec<String>,
    folder: TempDir,
    _lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Host {
    /// Starts a host whose workers count visitors, and waits until it is ready.
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
        let (mut at, mut old_workers, mut is_ready) = (String::new(), Vec::new(), false);
        while old_workers.len() < WORKERS || !is_ready {
            let line = timeout(SOON, lines.next_line()).await;
            let line = line.unwrap().unwrap().unwrap();
            is_ready |= line.ends_with(&format!("{name} is ready"));
            if let Some((process, address)) = line.split_once(" answers on http://") {
                old_workers.push(process.rsplit(' ').next().unwrap().to_owned());
                address.clone_into(&mut at);
            }
        }
        Self {
            at,
            old_workers,
            folder,
            _lines: lines,
            _child: child,
        }
    }

    /// Makes new workers run `program`.
    fn deploy(&self, program: &Path) {
        let next = self.folder.path().join("next");
        symlink(program, &next).unwrap();
        std::fs::rename(next, self.folder.path().join("current")).unwrap();
    }

    /// Sends a request; the id of the process that responds.
    async fn visit(&self) -> String {
        let mut stream = TcpStream::connect(&self.at).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, pid) = answer.split_once(r#""pid":"#).unwrap();
        pid.trim_end_matches('}').to_owned()
    }

    /// Whether one of the first workers responds to a request.
    async fn is_served_by_old_workers(&self) -> bool {
        let process = timeout(SOON, self.visit()).await.unwrap();
        self.old_workers.contains(&process)
    }
}

/// The example as cargo built it, next to the directory of this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join(name)
}

/// Reloads all hosts; the output, and whether it succeeded.
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
async fn each_host_responds_that_its_workers_were_replaced() {
    let redis = Redis::start().await;
    let hosts = [
        Host::start("a", &redis).await,
        Host::start("b", &redis).await,
    ];

    let (output, is_ok) = reload_now(&redis).await;

    assert!(is_ok, "{output}");
    assert!(output.contains("a: 2 new workers"), "{output}");
    assert!(output.contains("b: 2 new workers"), "{output}");
    for host in hosts {
        // The old workers may still respond until they end.
        let replaced = async { while host.is_served_by_old_workers().await {} };
        timeout(SOON, replaced).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_broken_version_responds_with_the_error_and_keeps_its_old_workers() {
    let redis = Redis::start().await;
    let whole = Host::start("whole", &redis).await;
    let broken = Host::start("broken", &redis).await;
    broken.deploy(Path::new("/bin/false"));

    let (output, is_ok) = reload_now(&redis).await;

    assert!(!is_ok, "{output}");
    assert!(output.contains("whole: 2 new workers"), "{output}");
    assert!(output.contains("broken: the new worker "), "{output}");
    assert!(output.contains("the old workers keep running"), "{output}");
    for _ in 0..20 {
        assert!(broken.is_served_by_old_workers().await);
    }
    drop(whole);
}
