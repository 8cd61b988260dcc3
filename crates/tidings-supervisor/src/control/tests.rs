//! What a control socket promises, also to those who do it harm.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::directory::short_directory;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::server::may_ask;
use crate::{
    ReadyWhen, Rejection, ReloadStrategy, RemoteError, RemoteSupervisor, StartError, Supervisor,
    Workers,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Workers that are ready at once and end at once when told to.
fn sleepers(runtime: &TempDir, name: &str) -> Supervisor {
    Supervisor::new("sleep")
        .args(["1000"])
        .workers(1)
        .ready_when(ReadyWhen::After(Duration::ZERO))
        .runtime_dir(runtime.path())
        .name(name)
}

struct Fleet {
    runtime: TempDir,
    workers: Workers,
}

impl Fleet {
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

    /// What is answered to this, until the connection is closed.
    async fn answer(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may be refused before all of it is written.
        let _ = stream.write_all(request).await;
        heard(stream).await
    }
}

async fn heard(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    match read.expect("the connection is closed in time") {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(answer).unwrap(),
    }
}

async fn names(runtime: &Path) -> Vec<String> {
    let all = RemoteSupervisor::list_in(runtime).await;
    all.iter().map(|it| it.name().to_owned()).collect()
}

#[tokio::test]
async fn a_remote_sees_reloads_scales_and_stops_the_workers() {
    let fleet = Fleet::start().await;
    let web = fleet.remote().await;

    let status = web.status().await.unwrap();
    assert_eq!((&*status.name, status.slots), ("web", 1));
    assert_eq!(web.scale(3).await.unwrap(), 1);
    assert!(fleet.workers.wait_until_ready().await);
    assert_eq!(
        web.reload(ReloadStrategy::Rolling).await.unwrap().workers,
        3
    );
    assert!(web.stop().await.unwrap().is_clean());

    assert!(fleet.workers.wait_until_stopped().await.is_clean());
    assert!(names(fleet.runtime.path()).await.is_empty());
}

#[tokio::test]
async fn a_second_reload_hears_that_it_is_queued_and_both_hear_their_outcome() {
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
async fn a_reload_goes_on_when_its_client_goes_away() {
    let fleet = Fleet::start().await;
    let before = fleet.workers.status().await.unwrap().workers[0].pid;

    drop(
        fleet
            .remote()
            .await
            .start_reload(ReloadStrategy::AllAtOnce)
            .await,
    );

    // Its own reload comes after that one.
    fleet
        .workers
        .reload(ReloadStrategy::AllAtOnce)
        .await
        .unwrap();
    let workers = fleet.workers.status().await.unwrap().workers;
    assert!(workers.iter().any(|it| it.pid != before));
    fleet.workers.kill().await;
}

#[tokio::test]
async fn what_the_supervisor_refuses_is_said_with_its_kind() {
    let fleet = Fleet::start().await;
    let error = fleet.remote().await.scale(2000).await.unwrap_err();
    let RemoteError::Rejected { kind, why } = error else {
        panic!("{error:?}");
    };
    assert_eq!(kind, Rejection::InvalidWorkerCount);
    assert_eq!(why, "2000 workers: there can be 1 to 1024");
    fleet.workers.kill().await;
}

#[tokio::test]
async fn a_failed_reload_says_why_and_that_the_old_ones_serve_on() {
    let runtime = short_directory();
    let program = runtime.path().join("server");
    let write = |script: &str| {
        let (text, next) = (runtime.path().join("text"), runtime.path().join("next"));
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // Not written by this process: a child that another test starts meanwhile would hold it open,
        // and what is open for writing cannot be run.
        let copied = std::process::Command::new("cp")
            .args([&text, &next])
            .status();
        assert!(copied.unwrap().success());
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&next, &program).unwrap();
    };
    write("exec sleep 1000");
    let homes = short_directory();
    let workers = Supervisor::new(&program)
        .workers(1)
        .ready_when(ReadyWhen::After(Duration::from_millis(200)))
        .runtime_dir(homes.path())
        .name("web")
        .start()
        .await
        .unwrap();
    assert!(workers.wait_until_ready().await);
    let web = RemoteSupervisor::find_in(homes.path(), None).await.unwrap();

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
async fn the_only_one_needs_no_name_and_of_several_one_is_named() {
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
    assert_eq!(several, "several supervisors run: jobs, web");
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
async fn a_socket_that_a_killed_supervisor_left_is_not_listed() {
    let fleet = Fleet::start().await;
    let left = fleet.runtime.path().join("dead");
    std::fs::create_dir(&left).unwrap();
    drop(std::os::unix::net::UnixListener::bind(left.join("control")).unwrap());

    assert_eq!(names(fleet.runtime.path()).await, ["web"]);
    fleet.workers.kill().await;
}

#[tokio::test]
async fn who_never_answers_is_given_up() {
    let runtime = short_directory();
    let home = runtime.path().join("web");
    std::fs::create_dir(&home).unwrap();
    // The system takes connections for it, as for a supervisor that was stopped.
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
    let (status, kill, reload) = timeout(PATIENCE, asked).await.unwrap();

    for error in [status.unwrap_err(), kill.unwrap_err(), reload.unwrap_err()] {
        assert!(
            matches!(error, RemoteError::Unreachable { .. }) && !error.is_stopped(),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_status_says_where_the_workers_are_reached() {
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
async fn a_control_socket_is_its_users_alone() {
    let fleet = Fleet::start().await;
    let control = fleet.runtime.path().join("web/control");
    let mode = std::fs::metadata(control).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fleet.workers.kill().await;
}

/// Waits until the supervisor is found again.
async fn is_found(runtime: &Path) -> RemoteSupervisor {
    let found = async {
        loop {
            match RemoteSupervisor::find_in(runtime, Some("web")).await {
                Ok(remote) => return remote,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it is found again")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_supervisor_whose_directory_was_removed_is_found_again_and_still_has_its_name() {
    let runtime = short_directory();
    let place = runtime.path().join("run");
    let start = || sleepers(&runtime, "web").runtime_dir(&place).start();
    let workers = start().await.unwrap();

    for _ in 0..3 {
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!(is_found(&place).await.status().await.unwrap().slots, 1);
    }

    assert_eq!(mode(&place), 0o700);
    assert_eq!(mode(&place.join("web")), 0o700);
    assert_eq!(mode(&place.join("web/control")), 0o600);
    let again = start().await;
    assert!(
        matches!(again, Err(StartError::NameTaken { .. })),
        "{again:?}"
    );
    workers.kill().await;
    assert_eq!(place.read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_control_socket_that_was_removed_or_replaced_is_made_again() {
    let fleet = Fleet::start().await;
    let control = fleet.runtime.path().join("web/control");

    std::fs::remove_file(&control).unwrap();
    is_found(fleet.runtime.path()).await;

    std::fs::remove_file(&control).unwrap();
    std::fs::write(&control, "no socket").unwrap();
    is_found(fleet.runtime.path()).await;
    assert_eq!(mode(&control), 0o600);
    fleet.workers.kill().await;
}

#[test]
fn only_the_same_user_and_root_may_ask() {
    assert!(may_ask(1000, 1000) && may_ask(0, 1000) && may_ask(0, 0));
    assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_harms_nobody() {
    let fleet = Fleet::start().await;
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
        let answer = fleet.answer(request).await;
        assert!(
            answer.starts_with(r#"{"response":"rejected","kind":"invalid_request","#),
            "{answer}"
        );
    }
    assert_eq!(fleet.remote().await.status().await.unwrap().slots, 1);
    fleet.workers.kill().await;
}

#[tokio::test]
async fn a_request_of_64_kib_is_read_whole() {
    let fleet = Fleet::start().await;
    let start = r#"{"request":"status","note":""#;
    let note = "x".repeat((64 << 10) - start.len() - 3);
    let answer = fleet
        .answer(format!("{start}{note}\"}}\n").as_bytes())
        .await;
    assert!(answer.starts_with(r#"{"response":"status""#), "{answer}");
    fleet.workers.kill().await;
}

#[tokio::test]
async fn a_request_has_a_longest() {
    let fleet = Fleet::start().await;
    let answer = fleet.answer(&vec![b' '; 1 << 20]).await;
    assert!(answer.contains("longer than 65536 bytes"), "{answer}");
    fleet.workers.kill().await;
}

/// Whoever waits for the end may end the process then: the others have heard of it. Several times,
/// for it is a race where it is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_it_hears_of_the_end_before_the_program_goes_on() {
    for _ in 0..20 {
        let fleet = Fleet::start().await;
        let mut stream = fleet.connect().await;
        stream.write_all(b"{\"request\":\"stop\"}\n").await.unwrap();

        fleet.workers.wait_until_stopped().await;

        let mut heard = [0; 1024];
        let mut stream = stream.into_std().unwrap();
        let length = std::io::Read::read(&mut stream, &mut heard).unwrap();
        let heard = String::from_utf8_lossy(&heard[..length]);
        assert!(heard.contains(r#""response":"stopped""#), "{heard}");
    }
}

#[tokio::test]
async fn who_says_nothing_takes_a_place_for_a_while_only() {
    let fleet = Fleet::start().await;
    let mut silent = Vec::new();
    for _ in 0..super::server::PLACES {
        silent.push(fleet.connect().await);
    }

    // All places are taken: this one waits for one of them.
    let web = fleet.remote().await;
    assert_eq!(
        timeout(PATIENCE, web.status())
            .await
            .unwrap()
            .unwrap()
            .slots,
        1
    );

    let answer = heard(silent.remove(0)).await;
    assert!(answer.contains("no request came within 5s"), "{answer}");
    fleet.workers.kill().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_hold_up_the_end() {
    let fleet = Fleet::start().await;
    let silent = fleet.connect().await;
    assert!(fleet.remote().await.stop().await.unwrap().is_clean());
    assert_eq!(heard(silent).await, "");
}

#[tokio::test]
async fn who_waits_for_a_reload_takes_nobodys_place() {
    let runtime = short_directory();
    let never = sleepers(&runtime, "web").ready_when(ReadyWhen::Notified);
    let never = never.ready_timeout(Duration::from_hours(1));
    let workers = never.start().await.unwrap();
    let web = RemoteSupervisor::find_in(runtime.path(), None)
        .await
        .unwrap();

    let others_are_served = async {
        let mut waiting = Vec::new();
        for _ in 0..2 * super::server::PLACES {
            waiting.push(web.start_reload(ReloadStrategy::AllAtOnce).await.unwrap());
        }
        assert!(web.status().await.unwrap().is_reloading);
    };
    timeout(PATIENCE, others_are_served).await.unwrap();

    assert_eq!(
        web.kill().await.unwrap(),
        workers.wait_until_stopped().await
    );
}

#[tokio::test]
async fn who_waits_for_a_reload_does_not_keep_the_workers_alive() {
    let runtime = short_directory();
    let never = sleepers(&runtime, "web").ready_when(ReadyWhen::Notified);
    let workers = never.start().await.unwrap();
    let web = RemoteSupervisor::find_in(runtime.path(), None)
        .await
        .unwrap();
    let reloading = web.start_reload(ReloadStrategy::AllAtOnce).await.unwrap();

    drop(workers);

    let outcome = timeout(PATIENCE, reloading.wait()).await.unwrap();
    let ending = matches!(
        outcome,
        Err(RemoteError::Rejected {
            kind: Rejection::Stopping,
            ..
        })
    );
    assert!(ending, "{outcome:?}");
}
