//! Tests of the control socket, also with malicious clients.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::directory::short_directory;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::server::is_allowed;
use crate::{
    ReadyWhen, Rejection, ReloadStrategy, RemoteError, RemoteSupervisor, StartError, Supervisor,
    Workers,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// A supervisor of a worker that is ready and stops at once.
fn sleepers(runtime: &TempDir, name: &str) -> Supervisor {
    Supervisor::new("sleep")
        .args(["1000"])
        .workers(1)
        .ready_when(ReadyWhen::After(Duration::ZERO))
        .runtime_dir(runtime.path())
        .name(name)
}

struct TestSupervisor {
    runtime: TempDir,
    workers: Workers,
}

impl TestSupervisor {
    async fn start() -> Self {
        let runtime = short_directory();
        let workers = sleepers(&runtime, "web").start().await.unwrap();
        assert!(workers.wait_until_ready().await);
        Self { runtime, workers }
    }

    async fn remote(&self) -> RemoteSupervisor {
        RemoteSupervisor::find_in(self.runtime.path(), None)
            .await
            .unwrap()
    }

    async fn connect(&self) -> UnixStream {
        let control = self.runtime.path().join("web/control");
        UnixStream::connect(control).await.unwrap()
    }

    /// Returns all responses to a request.
    async fn send(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may be rejected before all of it is written.
        let _ = stream.write_all(request).await;
        read_all(stream).await
    }
}

async fn read_all(mut stream: UnixStream) -> String {
    let mut response = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut response)).await;
    match read.expect("the connection is closed in time") {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(response).unwrap(),
    }
}

async fn names(runtime: &Path) -> Vec<String> {
    let all = RemoteSupervisor::list_in(runtime).await;
    all.iter().map(|it| it.name().to_owned()).collect()
}

#[tokio::test]
async fn a_remote_supervisor_can_be_inspected_scaled_reloaded_and_stopped() {
    let supervisor = TestSupervisor::start().await;
    let web = supervisor.remote().await;

    let status = web.status().await.unwrap();
    assert_eq!((&*status.name, status.slots), ("web", 1));
    assert_eq!(web.scale(3).await.unwrap(), 1);
    assert!(supervisor.workers.wait_until_ready().await);
    assert_eq!(
        web.reload(ReloadStrategy::Rolling).await.unwrap().workers,
        3
    );
    assert!(web.stop().await.unwrap().is_clean());

    assert!(supervisor.workers.wait_until_stopped().await.is_clean());
    assert!(names(supervisor.runtime.path()).await.is_empty());
}

#[tokio::test]
async fn a_second_reload_is_queued_and_both_get_their_result() {
    let runtime = short_directory();
    let slow = sleepers(&runtime, "web").ready_when(ReadyWhen::After(Duration::from_millis(300)));
    let workers = slow.start().await.unwrap();
    let web = RemoteSupervisor::find_in(runtime.path(), Some("web"))
        .await
        .unwrap();

    let first = web.start_reload(ReloadStrategy::AllAtOnce).await.unwrap();
    let second = web.start_reload(ReloadStrategy::AllAtOnce).await.unwrap();

    assert!(!first.is_queued() && second.is_queued());
    assert_eq!(first.wait().await.unwrap().workers, 1);
    assert_eq!(second.wait().await.unwrap().workers, 1);
    workers.kill().await;
}

#[tokio::test]
async fn a_reload_continues_without_its_client() {
    let supervisor = TestSupervisor::start().await;
    let before = supervisor.workers.status().await.unwrap().workers[0].pid;

    drop(
        supervisor
            .remote()
            .await
            .start_reload(ReloadStrategy::AllAtOnce)
            .await,
    );

    // This reload runs after that one.
    supervisor
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let workers = supervisor.workers.status().await.unwrap().workers;
    assert!(workers.iter().any(|it| it.pid != before));
    supervisor.workers.kill().await;
}

#[tokio::test]
async fn a_rejection_has_a_kind_and_a_reason() {
    let supervisor = TestSupervisor::start().await;
    let error = supervisor.remote().await.scale(2000).await.unwrap_err();
    let RemoteError::Rejected { kind, why } = error else {
        panic!("{error:?}");
    };
    assert_eq!(kind, Rejection::InvalidWorkerCount);
    assert_eq!(why, "cannot run 2000 workers: choose 1 to 1024");
    supervisor.workers.kill().await;
}

#[tokio::test]
async fn a_failed_reload_says_why_and_that_the_old_workers_keep_running() {
    let runtime = short_directory();
    let program = runtime.path().join("server");
    let write = |script: &str| {
        let (text, next) = (runtime.path().join("text"), runtime.path().join("next"));
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // Not written by this process: a child of another test could hold it open, and a file that is open
        // for writing cannot be executed.
        let copied = std::process::Command::new("cp")
            .args([&text, &next])
            .status();
        assert!(copied.unwrap().success());
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&next, &program).unwrap();
    };
    write("exec sleep 1000");
    let runtime_dir = short_directory();
    let workers = Supervisor::new(&program)
        .workers(1)
        .ready_when(ReadyWhen::After(Duration::from_millis(200)))
        .runtime_dir(runtime_dir.path())
        .name("web")
        .start()
        .await
        .unwrap();
    assert!(workers.wait_until_ready().await);
    let web = RemoteSupervisor::find_in(runtime_dir.path(), None)
        .await
        .unwrap();

    write("echo no such table; exit 7");
    let error = web.reload(ReloadStrategy::AllAtOnce).await.unwrap_err();

    let RemoteError::Rejected { kind, why } = error else {
        panic!("{error:?}");
    };
    assert_eq!(kind, Rejection::ReloadFailed);
    for part in ["status 7", "no such table", "the old workers keep running"] {
        assert!(why.contains(part), "{why}");
    }
    workers.kill().await;
}

#[tokio::test]
async fn a_name_is_needed_only_among_several_supervisors() {
    let runtime = short_directory();
    let find = async |name| RemoteSupervisor::find_in(runtime.path(), name).await;
    assert!(matches!(
        find(None).await,
        Err(RemoteError::NoneRunning { .. })
    ));

    let web = sleepers(&runtime, "web").start().await.unwrap();
    assert_eq!(find(None).await.unwrap().name(), "web");

    let jobs = sleepers(&runtime, "jobs").start().await.unwrap();
    assert_eq!(names(runtime.path()).await, ["jobs", "web"]);
    let several = find(None).await.unwrap_err().to_string();
    assert_eq!(several, "several supervisors are running: jobs, web");
    let missing = find(Some("mail")).await.unwrap_err().to_string();
    assert!(
        missing.contains("`mail`") && missing.contains("jobs, web"),
        "{missing}"
    );
    assert_eq!(find(Some("jobs")).await.unwrap().name(), "jobs");

    web.kill().await;
    jobs.kill().await;
}

#[tokio::test]
async fn the_socket_of_a_killed_supervisor_is_not_listed() {
    let supervisor = TestSupervisor::start().await;
    let left = supervisor.runtime.path().join("dead");
    std::fs::create_dir(&left).unwrap();
    drop(std::os::unix::net::UnixListener::bind(left.join("control")).unwrap());

    assert_eq!(names(supervisor.runtime.path()).await, ["web"]);
    supervisor.workers.kill().await;
}

#[tokio::test]
async fn requests_to_a_supervisor_that_does_not_respond_time_out() {
    let runtime = short_directory();
    let home = runtime.path().join("web");
    std::fs::create_dir(&home).unwrap();
    // The kernel accepts connections for it, as for a frozen supervisor.
    let _silent = std::os::unix::net::UnixListener::bind(home.join("control")).unwrap();
    let web = RemoteSupervisor::find_in(runtime.path(), None)
        .await
        .unwrap();

    let asked = async {
        tokio::join!(
            web.status(),
            web.kill(),
            web.reload(ReloadStrategy::Rolling)
        )
    };
    let (status, kill, reload) = timeout(DEADLINE, asked).await.unwrap();

    for error in [status.unwrap_err(), kill.unwrap_err(), reload.unwrap_err()] {
        assert!(
            matches!(error, RemoteError::Unreachable { .. }) && !error.is_stopped(),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_status_has_the_addresses_of_the_workers() {
    let runtime = short_directory();
    let listening = sleepers(&runtime, "web").listen("127.0.0.1:0".parse().unwrap());
    let workers = listening.start().await.unwrap();
    let web = RemoteSupervisor::find_in(runtime.path(), None)
        .await
        .unwrap();

    let status = web.status().await.unwrap();

    assert_eq!(status.listen, [workers.addresses()[0].to_string()]);
    workers.kill().await;
}

#[tokio::test]
async fn a_control_socket_is_private() {
    let supervisor = TestSupervisor::start().await;
    let control = supervisor.runtime.path().join("web/control");
    let mode = std::fs::metadata(control).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    supervisor.workers.kill().await;
}

/// Waits until the supervisor is found.
async fn wait_until_found(runtime: &Path) -> RemoteSupervisor {
    let found = async {
        loop {
            match RemoteSupervisor::find_in(runtime, Some("web")).await {
                Ok(remote) => return remote,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(DEADLINE, found)
        .await
        .expect("the supervisor is found in time")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_supervisor_whose_directory_was_removed_is_found_again_and_keeps_its_name() {
    let runtime = short_directory();
    let directory = runtime.path().join("run");
    let start = || sleepers(&runtime, "web").runtime_dir(&directory).start();
    let workers = start().await.unwrap();

    for _ in 0..3 {
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(
            wait_until_found(&directory)
                .await
                .status()
                .await
                .unwrap()
                .slots,
            1
        );
    }

    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("web")), 0o700);
    assert_eq!(mode(&directory.join("web/control")), 0o600);
    let again = start().await;
    assert!(
        matches!(again, Err(StartError::NameTaken { .. })),
        "{again:?}"
    );
    workers.kill().await;
    assert_eq!(directory.read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_removed_or_replaced_control_socket_is_opened_again() {
    let supervisor = TestSupervisor::start().await;
    let control = supervisor.runtime.path().join("web/control");

    std::fs::remove_file(&control).unwrap();
    wait_until_found(supervisor.runtime.path()).await;

    std::fs::remove_file(&control).unwrap();
    std::fs::write(&control, "no socket").unwrap();
    wait_until_found(supervisor.runtime.path()).await;
    assert_eq!(mode(&control), 0o600);
    supervisor.workers.kill().await;
}

#[test]
fn only_the_same_user_and_root_are_allowed() {
    assert!(is_allowed(1000, 1000) && is_allowed(0, 1000) && is_allowed(0, 0));
    assert!(!is_allowed(1001, 1000) && !is_allowed(1000, 0));
}

#[tokio::test]
async fn an_invalid_request_is_rejected() {
    let supervisor = TestSupervisor::start().await;
    let nested = "[".repeat(4000) + "\n";
    let hostile: [&[u8]; 6] = [
        b"\n",
        b"{}\n",
        b"\xff\xfe\n",
        b"{\"request\":\"burn\"}\n",
        b"{\"request\":\"scale\",\"workers\":-1}\n",
        nested.as_bytes(),
    ];
    for request in hostile {
        let response = supervisor.send(request).await;
        assert!(
            response.starts_with(r#"{"response":"rejected","kind":"invalid_request","#),
            "{response}"
        );
    }
    assert_eq!(supervisor.remote().await.status().await.unwrap().slots, 1);
    supervisor.workers.kill().await;
}

#[tokio::test]
async fn a_request_of_64_kib_is_read_whole() {
    let supervisor = TestSupervisor::start().await;
    let start = r#"{"request":"status","note":""#;
    let note = "x".repeat((64 << 10) - start.len() - 3);
    let response = supervisor
        .send(format!("{start}{note}\"}}\n").as_bytes())
        .await;
    assert!(
        response.starts_with(r#"{"response":"status""#),
        "{response}"
    );
    supervisor.workers.kill().await;
}

#[tokio::test]
async fn a_too_long_request_is_rejected() {
    let supervisor = TestSupervisor::start().await;
    let response = supervisor.send(&vec![b' '; 1 << 20]).await;
    assert!(response.contains("longer than 65536 bytes"), "{response}");
    supervisor.workers.kill().await;
}

/// A program may exit when its handle resolves. Repeated, because without the order this is a race.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_the_supervisor_gets_the_result_before_its_handle_resolves() {
    for _ in 0..20 {
        let supervisor = TestSupervisor::start().await;
        let mut stream = supervisor.connect().await;
        stream.write_all(b"{\"request\":\"stop\"}\n").await.unwrap();

        supervisor.workers.wait_until_stopped().await;

        let mut response = [0; 1024];
        let mut stream = stream.into_std().unwrap();
        let length = std::io::Read::read(&mut stream, &mut response).unwrap();
        let response = String::from_utf8_lossy(&response[..length]);
        assert!(response.contains(r#""response":"stopped""#), "{response}");
    }
}

#[tokio::test]
async fn a_silent_client_occupies_a_place_only_for_a_while() {
    let supervisor = TestSupervisor::start().await;
    let mut silent = Vec::new();
    for _ in 0..super::server::MAX_ACTIVE {
        silent.push(supervisor.connect().await);
    }

    // All places are occupied: this one waits.
    let web = supervisor.remote().await;
    assert_eq!(
        timeout(DEADLINE, web.status())
            .await
            .unwrap()
            .unwrap()
            .slots,
        1
    );

    let response = read_all(silent.remove(0)).await;
    assert!(response.contains("no request within 5s"), "{response}");
    supervisor.workers.kill().await;
}

#[tokio::test]
async fn a_silent_client_does_not_delay_a_stop() {
    let supervisor = TestSupervisor::start().await;
    let silent = supervisor.connect().await;
    assert!(supervisor.remote().await.stop().await.unwrap().is_clean());
    assert_eq!(read_all(silent).await, "");
}

#[tokio::test]
async fn a_client_that_waits_for_a_reload_occupies_no_place() {
    let runtime = short_directory();
    let never = sleepers(&runtime, "web").ready_when(ReadyWhen::Notified);
    let never = never.ready_timeout(Duration::from_hours(1));
    let workers = never.start().await.unwrap();
    let web = RemoteSupervisor::find_in(runtime.path(), None)
        .await
        .unwrap();

    let others_are_served = async {
        let mut waiting = Vec::new();
        for _ in 0..2 * super::server::MAX_ACTIVE {
            waiting.push(web.start_reload(ReloadStrategy::AllAtOnce).await.unwrap());
        }
        assert!(web.status().await.unwrap().is_reloading);
    };
    timeout(DEADLINE, others_are_served).await.unwrap();

    assert_eq!(
        web.kill().await.unwrap(),
        workers.wait_until_stopped().await
    );
}

#[tokio::test]
async fn a_client_that_waits_for_a_reload_does_not_keep_the_workers_alive() {
    let runtime = short_directory();
    let never = sleepers(&runtime, "web").ready_when(ReadyWhen::Notified);
    let workers = never.start().await.unwrap();
    let web = RemoteSupervisor::find_in(runtime.path(), None)
        .await
        .unwrap();
    let reloading = web.start_reload(ReloadStrategy::AllAtOnce).await.unwrap();

    drop(workers);

    let result = timeout(DEADLINE, reloading.wait()).await.unwrap();
    let is_stopping = matches!(
        result,
        Err(RemoteError::Rejected {
            kind: Rejection::Stopping,
            ..
        })
    );
    assert!(is_stopping, "{result:?}");
}
