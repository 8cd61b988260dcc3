//! No request is lost while workers are replaced, with the server of `examples/server.rs`.

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

/// A supervisor of the example, with its events.
struct Server {
    workers: Workers,
    at: SocketAddr,
    events: Receiver<SupervisorEvent>,
    _runtime: TempDir,
}

impl Server {
    async fn start(workers: usize, stop_timeout: Duration, arguments: &[&str]) -> Self {
        let runtime = short_directory();
        let (event, events) = channel();
        let workers = Supervisor::new(example("server"))
            .args(arguments)
            .workers(workers)
            .listen("127.0.0.1:0".parse().unwrap())
            .stop_timeout(stop_timeout)
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

    /// Waits until no worker is draining.
    async fn wait_for_old_workers(&self) {
        until(async || {
            let status = self.workers.status().await.unwrap();
            let mut states = status.workers.iter().map(|it| it.state);
            states.all(|state| state != WorkerState::Draining)
        })
        .await;
    }
}

/// Returns an example, which cargo puts next to the directory of this test.
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
        assert!(
            Instant::now() < deadline,
            "the condition is not met in time"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for more requests than there are clients.
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
        let old_workers = server.pids().await;

        server.reload(strategy).await;

        some_requests(&load).await;
        server.wait_for_old_workers().await;
        let new_workers = server.pids().await;
        assert!(
            old_workers
                .iter()
                .all(|old_worker| !new_workers.contains(old_worker))
        );
    }
    some_requests(&load).await;

    let counts = load.end().await;

    assert_eq!(counts.lost(), 0, "{counts}");
    let stopped = timeout(SOON, server.workers.stop()).await.unwrap();
    assert!(stopped.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_can_send_one_more_request_and_is_closed() {
    let server = Server::start(1, SOON, &["--drain-timeout", "60000"]).await;
    let mut client = Client::new(server.at, true);
    let old_worker = client.get("/").await.unwrap();
    assert!(!old_worker.is_last);

    server.reload(ReloadStrategy::AllAtOnce).await;

    let last = client.get("/").await.unwrap();
    assert_eq!(last.body, old_worker.body);
    // The signal may arrive after the result of the reload.
    let last = if last.is_last {
        last
    } else {
        until_last(&mut client).await
    };
    assert_eq!(last.body, old_worker.body);
    server.wait_for_old_workers().await;
    assert_ne!(client.get("/").await.unwrap().body, old_worker.body);
}

async fn until_last(client: &mut Client) -> load::Response {
    let deadline = Instant::now() + SOON;
    loop {
        assert!(
            Instant::now() < deadline,
            "no response closes the connection"
        );
        let response = client.get("/").await.unwrap();
        if response.is_last {
            return response;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_delays_an_old_worker_for_at_most_the_drain_timeout() {
    let server = Server::start(1, SOON, &["--drain-timeout", "100"]).await;
    let mut client = Client::new(server.at, true);
    client.get("/").await.unwrap();

    server.reload(ReloadStrategy::AllAtOnce).await;

    server.wait_for_old_workers().await;
    let killed = |it: SupervisorEvent| matches!(it, SupervisorEvent::Killed { .. });
    assert!(!server.events.try_iter().any(killed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_progress_during_a_reload_is_completed() {
    let server = Server::start(2, SOON, &[]).await;
    let old_workers = server.pids().await;
    let mut client = Client::new(server.at, true);
    client.get("/").await.unwrap();
    let request = tokio::spawn(async move { client.get("/after/3000").await });

    server.reload(ReloadStrategy::AllAtOnce).await;

    let response = timeout(SOON, request).await.unwrap().unwrap().unwrap();
    assert_eq!(response.status, 200);
    let by_an_old_worker = |it: &u32| response.body.contains(&format!(" {it}."));
    assert!(
        old_workers.iter().any(by_an_old_worker),
        "{}",
        response.body
    );
    server.wait_for_old_workers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_worker_that_does_not_finish_is_killed_after_the_stop_timeout() {
    let stop_timeout = Duration::from_millis(500);
    let server = Server::start(1, stop_timeout, &[]).await;
    let mut client = Client::new(server.at, true);
    client.get("/").await.unwrap();
    let request = tokio::spawn(async move { client.get("/after/600000").await });

    server.reload(ReloadStrategy::AllAtOnce).await;

    let cut = timeout(SOON, request).await.unwrap().unwrap();
    assert!(matches!(cut, Err(Failure::Cut(_))), "{cut:?}");
    server.wait_for_old_workers().await;
    let killed = |it: SupervisorEvent| matches!(it, SupervisorEvent::Killed { stop_timeout: Some(it), .. } if it == stop_timeout);
    assert!(server.events.try_iter().any(killed));
    assert_eq!(
        Client::new(server.at, true).get("/").await.unwrap().status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_in_the_backlog_survive_the_old_worker() {
    let server = Server::start(1, Duration::from_millis(500), &[]).await;
    let old_worker = server.pids().await[0];
    freeze(old_worker);
    let mut requests = Vec::new();
    for _ in 0..20 {
        let mut client = Client::new(server.at, false);
        client.connect().await.unwrap();
        requests.push(tokio::spawn(async move { client.get("/").await }));
    }

    server.reload(ReloadStrategy::AllAtOnce).await;

    for request in requests {
        let response = timeout(SOON, request).await.unwrap().unwrap().unwrap();
        assert!(!response.body.contains(&format!(" {old_worker}.")));
    }
    server.wait_for_old_workers().await;
}

/// Freezes a worker.
fn freeze(worker: u32) {
    let pid = Pid::from_raw(worker.cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).unwrap();
}
