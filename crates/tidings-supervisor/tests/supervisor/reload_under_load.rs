//! Nobody loses a request while workers are replaced: as long as the server is one like the example.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;
use tidings_supervisor::{ReloadStrategy, Supervisor, SupervisorEvent, WorkerState, Workers};
use tokio::time::{sleep, timeout};

use crate::directory::short_directory;
use crate::load::{self, Client, Failure, Load};

const SOON: Duration = Duration::from_secs(30);

/// The example, with these arguments, and what was reported of it.
struct Server {
    workers: Workers,
    at: SocketAddr,
    events: Receiver<SupervisorEvent>,
    _runtime: TempDir,
}

impl Server {
    async fn start(workers: usize, grace: Duration, arguments: &[&str]) -> Self {
        let runtime = short_directory();
        let (event, events) = channel();
        let workers = Supervisor::new(example("server"))
            .args(arguments)
            .workers(workers)
            .listen("127.0.0.1:0".parse().unwrap())
            .stop_timeout(grace)
            .runtime_dir(runtime.path())
            .on_line(|_| {})
            .on_event(move |it| drop(event.send(it.clone())))
            .start()
            .await
            .unwrap();
        assert!(timeout(SOON, workers.wait_until_ready()).await.unwrap());
        let at = workers.addresses()[0].to_string().parse().unwrap();
        Self {
            workers,
            at,
            events,
            _runtime: runtime,
        }
    }

    async fn pids(&self) -> Vec<u32> {
        let status = self.workers.status().await.unwrap();
        status.workers.iter().filter_map(|it| it.pid).collect()
    }

    async fn reload(&self, strategy: ReloadStrategy) {
        let reloaded = timeout(SOON, self.workers.reload(strategy)).await;
        reloaded.unwrap().unwrap();
    }

    /// Until no worker drains any more.
    async fn elders_are_gone(&self) {
        until(async || {
            let status = self.workers.status().await.unwrap();
            let mut states = status.workers.iter().map(|it| it.state);
            states.all(|state| state != WorkerState::Draining)
        })
        .await;
    }
}

/// Where cargo put it: beside the directory of this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is not built: run the tests of this package without `--test`",
        program.display()
    );
    program
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it does not come");
        sleep(Duration::from_millis(10)).await;
    }
}

/// More requests than there are clients: each has asked at least once since.
async fn some_requests(load: &Load) {
    let so_far = load.made();
    until(async || load.made() > so_far + 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_all_workers_are_replaced() {
    let server = Server::start(2, SOON, &[]).await;
    let load = Load::start(server.at, 6, 2);
    for strategy in [
        ReloadStrategy::AllAtOnce,
        ReloadStrategy::Rolling,
        ReloadStrategy::AllAtOnce,
    ] {
        some_requests(&load).await;
        let elders = server.pids().await;

        server.reload(strategy).await;

        some_requests(&load).await;
        server.elders_are_gone().await;
        let successors = server.pids().await;
        assert!(elders.iter().all(|elder| !successors.contains(elder)));
    }
    some_requests(&load).await;

    let counts = load.end().await;

    assert_eq!(counts.lost(), 0, "{counts}");
    let stopped = timeout(SOON, server.workers.stop()).await.unwrap();
    assert!(stopped.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_may_ask_once_more_and_is_told_to_leave() {
    let server = Server::start(1, SOON, &["--drain-timeout", "60000"]).await;
    let mut client = Client::new(server.at, true);
    let elder = client.get("/").await.unwrap();
    assert!(!elder.is_last);

    server.reload(ReloadStrategy::AllAtOnce).await;

    let last = client.get("/").await.unwrap();
    assert_eq!(last.body, elder.body);
    // The signal may not have arrived when the reload was done: then it is the one after that.
    let last = if last.is_last {
        last
    } else {
        until_last(&mut client).await
    };
    assert_eq!(last.body, elder.body);
    server.elders_are_gone().await;
    assert_ne!(client.get("/").await.unwrap().body, elder.body);
}

async fn until_last(client: &mut Client) -> load::Answer {
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "it is not told to leave");
        let answer = client.get("/").await.unwrap();
        if answer.is_last {
            return answer;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_an_elder_for_longer_than_the_linger() {
    let server = Server::start(1, SOON, &["--drain-timeout", "100"]).await;
    let mut client = Client::new(server.at, true);
    client.get("/").await.unwrap();

    server.reload(ReloadStrategy::AllAtOnce).await;

    server.elders_are_gone().await;
    let killed = |it: SupervisorEvent| matches!(it, SupervisorEvent::Killed { .. });
    assert!(!server.events.try_iter().any(killed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_in_the_middle_of_a_reload_is_answered_in_full() {
    let server = Server::start(2, SOON, &[]).await;
    let elders = server.pids().await;
    let mut client = Client::new(server.at, true);
    client.get("/").await.unwrap();
    let request = tokio::spawn(async move { client.get("/after/3000").await });

    server.reload(ReloadStrategy::AllAtOnce).await;

    let answer = timeout(SOON, request).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status, 200);
    let by_an_elder = |it: &u32| answer.body.contains(&format!(" {it}."));
    assert!(elders.iter().any(by_an_elder), "{}", answer.body);
    server.elders_are_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elder_that_does_not_finish_is_killed_after_the_grace() {
    let grace = Duration::from_millis(500);
    let server = Server::start(1, grace, &[]).await;
    let mut client = Client::new(server.at, true);
    client.get("/").await.unwrap();
    let request = tokio::spawn(async move { client.get("/after/600000").await });

    server.reload(ReloadStrategy::AllAtOnce).await;

    let cut = timeout(SOON, request).await.unwrap().unwrap();
    assert!(matches!(cut, Err(Failure::Cut(_))), "{cut:?}");
    server.elders_are_gone().await;
    let killed = |it: SupervisorEvent| matches!(it, SupervisorEvent::Killed { stop_timeout: Some(it), .. } if it == grace);
    assert!(server.events.try_iter().any(killed));
    assert_eq!(
        Client::new(server.at, true).get("/").await.unwrap().status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_in_the_socket_outlive_the_elder() {
    let server = Server::start(1, Duration::from_millis(500), &[]).await;
    let elder = server.pids().await[0];
    freeze(elder);
    let mut requests = Vec::new();
    for _ in 0..20 {
        let mut client = Client::new(server.at, false);
        client.connect().await.unwrap();
        requests.push(tokio::spawn(async move { client.get("/").await }));
    }

    server.reload(ReloadStrategy::AllAtOnce).await;

    for request in requests {
        let answer = timeout(SOON, request).await.unwrap().unwrap().unwrap();
        assert!(!answer.body.contains(&format!(" {elder}.")));
    }
    server.elders_are_gone().await;
}

/// From now on it accepts nothing, and will never end by itself.
fn freeze(worker: u32) {
    let pid = Pid::from_raw(worker.cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).unwrap();
}
