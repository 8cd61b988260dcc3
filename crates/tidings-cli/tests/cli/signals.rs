//! Signals to `tidings run`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::support::{DRAINS, Running, STUBBORN, Sandbox, eventually, lives};

#[test]
fn sighup_replaces_all_workers() {
    let sandbox = Sandbox::new();
    let running = sandbox.run_web(&[]);
    let before = running.pids(2);

    running.signal(Signal::HUP);

    running.stderr.wait_for("reloaded 2 workers");
    eventually("the old workers end", || {
        !before.iter().any(|pid| lives(*pid))
    });
    let after = running.pids(4).split_off(2);
    assert!(after.iter().all(|pid| lives(*pid)));
}

#[test]
fn sigint_stops_it() {
    let sandbox = Sandbox::new();
    let mut running = sandbox.run_web(&[]);
    running.signal(Signal::INT);
    assert_eq!(running.code(), 0);
}

#[test]
fn with_rolling_sighup_replaces_one_worker_after_the_other() {
    let sandbox = Sandbox::new();
    let running = sandbox.run_web(&["--rolling"]);

    running.signal(Signal::HUP);

    running.stderr.wait_for("reloaded 2 workers");
    let lines = running.stderr.all();
    let reload = lines.iter().skip_while(|it| !it.contains("reloading 2"));
    let what = reload.filter_map(|it| match it {
        it if it.contains("started") => Some("started"),
        it if it.contains("is ready") => Some("ready"),
        _ => None,
    });
    let what = what.collect::<Vec<_>>();
    assert_eq!(what, ["started", "ready", "started", "ready"]);
}

#[test]
fn sigint_prints_that_a_second_one_kills() {
    let sandbox = Sandbox::new();
    let options = ["--workers=1", "--stop-timeout=1h", "--output=pretty"];
    let mut running = sandbox.run(&options, &STUBBORN);
    running.stdout.wait_for("up ");

    running.signal(Signal::INT);
    running.stderr.wait_for("press Ctrl-C again to kill them");

    assert_eq!(running.code_after_many(Signal::INT), 3);
}

/// `timeout`, terminals and process managers signal a process and then its process group.
#[test]
fn signals_within_a_second_count_as_one() {
    for second in [Signal::TERM, Signal::INT] {
        let sandbox = Sandbox::new();
        let mut running = sandbox.run(&["--workers=1", "--stop-timeout=1m"], &DRAINS);
        running.pids(1);

        running.signal(Signal::TERM);
        running.stderr.wait_for("was told to stop");
        running.signal(second);

        assert_eq!(running.code(), 0, "{:#?}", running.stderr.all());
        running.stdout.wait_for("drained");
        assert_eq!(running.stderr.count("is killed"), 0);
    }
}

#[test]
fn a_second_sigterm_kills() {
    let sandbox = Sandbox::new();
    let mut running = sandbox.run(&["--workers=1", "--stop-timeout=1h"], &STUBBORN);
    let worker = running.pids(1)[0];

    running.signal(Signal::TERM);
    running.stderr.wait_for("was told to stop");
    assert!(lives(worker));

    assert_eq!(running.code_after_many(Signal::TERM), 3);
    assert!(!lives(worker));
}

/// Returns the path of the supervisor's example server. Builds it if necessary.
fn server() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_tidings")).parent().unwrap();
    let server = built.join("examples/server");
    if !server.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-p", "tidings-supervisor", "--example", "server"]);
        cargo.arg("--target-dir").arg(built.parent().unwrap());
        if built.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
    }
    server
}

#[test]
fn a_server_with_readiness_responds_before_and_after_a_reload() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["run", "--workers=2", "--listen=127.0.0.1:0", "--"]);
    let running = Running::start(command.arg(server()));
    let begun = running.stderr.wait_for("listening on ");
    running.stderr.wait_count("is ready", 2);
    let address = begun.split("listening on ").nth(1).unwrap();
    let address = address.split(';').next().unwrap();
    let get = || {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get().contains("Hello from process"));

    running.signal(Signal::HUP);

    running.stderr.wait_for("reloaded 2 workers");
    assert!(get().contains("Hello from process"));
}
