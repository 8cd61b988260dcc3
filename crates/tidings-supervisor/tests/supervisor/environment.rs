//! The descriptors, arguments, environment and user of workers.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::{FdFlags, fcntl_setfd};
use serde::Deserialize;
use tidings_supervisor::{ProgramError, ReadyWhen, StartError, Supervisor};

use super::harness::*;

/// The output of `describe` of `examples/misbehaving.rs`.
#[derive(Debug, Deserialize)]
struct Description {
    pid: u32,
    supervisor: u32,
    group: u32,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    directory: PathBuf,
    descriptors: BTreeMap<i32, PathBuf>,
    status: BTreeMap<String, String>,
}

impl TestSupervisor {
    async fn description(&self) -> Description {
        self.descriptions(1).await.remove(0).1
    }

    /// Returns the slots and descriptions of this many workers. A description contains the environment of
    /// the test, and may be longer than a line.
    async fn descriptions(&self, many: usize) -> Vec<(usize, Description)> {
        let lines = self.lines.until(|all| {
            let mut lines = Recorder::whole(all);
            lines.retain(|line| line.text.starts_with('{') && !line.is_partial);
            (lines.len() >= many).then_some(lines)
        });
        let lines = lines.await.into_iter();
        let described = lines.map(|it| (it.slot, serde_json::from_str(&it.text).unwrap()));
        described.collect()
    }
}

async fn described(builder: Builder) -> Description {
    let supervisor = builder.start().await;
    supervisor.description().await
}

fn describing() -> Builder {
    workers_that(&["describe", "ready", "wait"])
}

/// Opens descriptors without close-on-exec.
fn inheritable(many: usize) -> Vec<OwnedFd> {
    let one = || {
        let (one, other) = std::io::pipe().unwrap();
        [OwnedFd::from(one), OwnedFd::from(other)]
    };
    let all: Vec<_> = std::iter::repeat_with(one).take(many).flatten().collect();
    for descriptor in &all {
        fcntl_setfd(descriptor, FdFlags::empty()).unwrap();
    }
    all
}

#[tokio::test]
async fn without_sockets_a_worker_inherits_three_descriptors() {
    let _open = inheritable(40);
    let worker = described(describing()).await;
    let numbers: Vec<_> = worker.descriptors.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2], "{:?}", worker.descriptors);
    assert_eq!(worker.descriptors[&0], PathBuf::from("/dev/null"));
    assert!(!worker.environment.contains_key("LISTEN_FDS"));
    assert!(!worker.environment.contains_key("LISTEN_PID"));
}

#[tokio::test]
async fn sockets_are_inherited_from_3_on_in_order_and_nothing_else() {
    let _open = inheritable(40);
    let directory = short_directory();
    let path = directory.path().join("socket");
    let builder = describing().with(|it| {
        it.listen(local("web"))
            .listen(format!("unix:{}", path.display()).parse().unwrap())
            .listen(local("admin"))
    });
    let worker = described(builder).await;
    let numbers: Vec<_> = worker.descriptors.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{:?}", worker.descriptors);
    let environment = &worker.environment;
    assert_eq!(environment["LISTEN_FDS"], "3");
    assert_eq!(environment["LISTEN_FDNAMES"], "web:listen:admin");
    assert_eq!(environment["LISTEN_PID"], worker.pid.to_string());
}

#[tokio::test]
async fn many_sockets_are_inherited() {
    for many in [1, 4, 20, 60] {
        let builder = describing().with(|mut supervisor| {
            for number in 0..many {
                supervisor = supervisor.listen(local(&format!("socket-{number}")));
            }
            supervisor
        });
        let worker = described(builder).await;
        let sockets: Vec<_> = worker.descriptors.iter().skip(3).collect();
        assert_eq!(sockets.len(), many);
        for (number, link) in sockets {
            assert!(
                link.to_string_lossy().starts_with("socket:"),
                "{number}: {link:?}"
            );
        }
        assert_eq!(worker.environment["LISTEN_FDS"], many.to_string());
    }
}

#[tokio::test]
async fn a_hundred_workers_inherit_the_same_while_others_are_started() {
    let _open = inheritable(10);
    let supervisor = describing().workers(100).listening().ready().await;
    for (slot, worker) in supervisor.descriptions(100).await {
        let numbers: Vec<_> = worker.descriptors.keys().copied().collect();
        assert_eq!(numbers, [0, 1, 2, 3], "{:?}", worker.descriptors);
        assert_eq!(worker.environment["WORKER_ID"], slot.to_string());
        assert_eq!(worker.environment["LISTEN_PID"], worker.pid.to_string());
    }
}

#[tokio::test]
async fn a_worker_leads_a_group_of_its_own_and_is_a_child_of_the_supervisor() {
    let worker = described(describing()).await;
    assert_eq!(worker.group, worker.pid);
    assert_eq!(worker.supervisor, std::process::id());
}

#[tokio::test]
async fn arguments_are_passed_unchanged() {
    let odd = [
        "a b",
        "\"'",
        "$(touch /tmp/x) `id` ; | & *",
        "",
        "ä\n",
        "--",
    ];
    let says = odd.map(|it| format!("print={it}"));
    let mut steps = vec!["describe"];
    steps.extend(says.iter().map(String::as_str));
    steps.extend(["ready", "wait"]);
    let builder = workers_that(&steps);
    let worker = described(builder).await;
    assert_eq!(worker.arguments[0], misbehaving().to_string_lossy());
    assert_eq!(worker.arguments[1..], steps);
}

#[tokio::test]
async fn the_environment_has_the_given_changes() {
    let builder = describing().with(|it| {
        it.env("GIVEN", "a b=c $HOME")
            .env("GIVEN_TWICE", "1")
            .env("GIVEN_TWICE", "2")
            .env_remove("PATH")
    });
    let worker = described(builder).await;
    let environment = &worker.environment;
    assert_eq!(environment["GIVEN"], "a b=c $HOME");
    assert_eq!(environment["GIVEN_TWICE"], "2");
    assert!(!environment.contains_key("PATH"));
    assert_eq!(
        environment.get("CARGO_MANIFEST_DIR"),
        std::env::var("CARGO_MANIFEST_DIR").ok().as_ref()
    );
}

#[tokio::test]
async fn a_cleared_environment_has_the_given_variables_and_those_of_the_supervisor() {
    let builder = describing().with(|it| it.env_clear().env("GIVEN", "1"));
    let builder = builder.with(|it| it.watchdog(DEADLINE));
    let worker = described(builder).await;
    let names: Vec<_> = worker.environment.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["GIVEN", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WORKER_ID"]
    );
    assert_eq!(worker.environment["WATCHDOG_USEC"], "30000000");
}

/// With such a variable the worker would use sockets that it does not have, or another supervisor.
#[tokio::test]
async fn variables_of_the_supervisor_cannot_be_set() {
    for name in [
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "LISTEN_PIDFDID",
        "TIDINGS_RUNTIME_DIR",
        "NOTIFY_SOCKET",
        "WORKER_ID",
    ] {
        let builder = describing().with(|it| it.env(name, "1"));
        let rejected = builder.supervisor().start().await.unwrap_err().to_string();
        assert!(rejected.contains(name), "{rejected}");
    }
    // To remove them changes nothing: a worker has only what its supervisor sets.
    let builder = describing().with(|it| it.env_remove("WORKER_ID"));
    let worker = described(builder).await;
    assert_eq!(worker.environment["WORKER_ID"], "0");
}

#[tokio::test]
async fn a_worker_starts_in_the_given_directory() {
    let directory = short_directory();
    let path = directory.path().canonicalize().unwrap();
    let worker = described(describing().with(|it| it.current_dir(&path))).await;
    assert_eq!(worker.directory, path);
}

const NOBODY: u32 = 65_534;

#[tokio::test]
async fn a_worker_runs_as_another_user_permanently() {
    let steps = ["describe", "regain", "ready", "wait"];
    // In a directory that the other user can read.
    let directory = short_directory();
    set_mode(directory.path(), 0o755);
    let program = directory.path().join("misbehaving");
    copy(&misbehaving(), &program);
    let builder = workers_of(&program, &steps).listening();
    let builder = builder.with(|it| {
        it.user(NOBODY.to_string())
            .group("65533")
            .env("HOME", "/given")
    });
    if !rustix::process::geteuid().is_root() {
        let rejected = builder.supervisor().start().await.unwrap_err().to_string();
        assert!(rejected.contains("only root"), "{rejected}");
        return;
    }
    let supervisor = builder.ready().await;
    let worker = supervisor.description().await;
    let status = |name: &str| worker.status[name].split_whitespace().collect::<Vec<_>>();
    assert_eq!(status("Uid"), ["65534"; 4]);
    assert_eq!(status("Gid"), ["65533"; 4]);
    assert_eq!(status("Groups"), ["65533"]);
    assert_eq!(status("NoNewPrivs"), ["1"]);
    assert_eq!(status("CapEff"), ["0000000000000000"]);
    assert_eq!(status("CapPrm"), ["0000000000000000"]);
    assert_eq!(worker.environment["HOME"], "/given");
    assert_ne!(worker.environment["USER"], "root");
    assert_eq!(worker.environment["USER"], worker.environment["LOGNAME"]);
    supervisor.says("Err(EPERM)").await;
    // The supervisor can still stop it.
    assert!(supervisor.workers.stop().await.is_clean());
}

#[tokio::test]
async fn an_invalid_program_is_rejected_at_the_start() {
    let directory = short_directory();
    let path = directory.path();
    let start = async |program: PathBuf| Supervisor::new(program).start().await.unwrap_err();

    let missing = start(path.join("nothing")).await;
    assert!(matches!(
        missing,
        StartError::Program(ProgramError::NotFound(_))
    ));
    let directory = start(path.to_owned()).await;
    assert!(matches!(
        directory,
        StartError::Program(ProgramError::NotExecutable(_))
    ));
    let text = path.join("text");
    std::fs::write(&text, "").unwrap();
    let text = start(text).await;
    assert!(matches!(
        text,
        StartError::Program(ProgramError::NotExecutable(_))
    ));
    let open = script(path, "#!/bin/sh\n");
    set_mode(&open, 0o777);
    let open = start(open).await;
    assert!(matches!(
        open,
        StartError::Program(ProgramError::WorldWritable(_))
    ));
}

#[tokio::test]
async fn other_invalid_settings_are_rejected_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let rejected = |choose: fn(Supervisor) -> Supervisor| async move {
        let builder = workers_that(&["wait"]).with(choose);
        builder.supervisor().start().await.unwrap_err()
    };
    let none = rejected(|it| it.workers(0)).await;
    assert!(matches!(none, StartError::WorkerCount(0)));
    let nobody = rejected(|it| it.user("no-such-user")).await;
    assert!(matches!(nobody, StartError::User { .. }));
    let group = rejected(|it| it.group("root")).await;
    assert!(matches!(group, StartError::User { .. }));
    let name = rejected(|it| it.name("../up")).await;
    assert!(matches!(name, StartError::InvalidName(_)));
    let ready = rejected(|it| {
        let at = "127.0.0.1:9999".parse().unwrap();
        it.listen("0.0.0.0:9999".parse().unwrap())
            .ready_when(ReadyWhen::Accepts(at))
    });
    let ready = ready.await;
    let why = std::error::Error::source(&ready).unwrap().to_string();
    assert!(why.contains("whether they are ready"), "{why}");
    let listen = workers_that(&["wait"]).with(|it| it.listen(at.into()));
    let listen = listen.supervisor().start().await.unwrap_err();
    assert!(matches!(listen, StartError::Listen { .. }));
}
