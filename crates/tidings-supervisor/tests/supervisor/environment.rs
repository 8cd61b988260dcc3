//! What a worker is given, and nothing else.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::{FdFlags, fcntl_setfd};
use serde::Deserialize;
use tidings_supervisor::{ProgramError, ReadyWhen, StartError, Supervisor};

use super::harness::*;

/// As `describe` of `examples/misbehaving.rs` writes it.
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

impl Trial {
    async fn description(&self) -> Description {
        self.descriptions(1).await.remove(0).1
    }

    /// All that so many workers were given, and the slot of each. The environment is that of whoever
    /// runs the test, and may be longer than a line.
    async fn descriptions(&self, many: usize) -> Vec<(usize, Description)> {
        let lines = self.lines.until(|all| {
            let mut lines = Heard::whole(all);
            lines.retain(|line| line.text.starts_with('{') && !line.is_partial);
            (lines.len() >= many).then_some(lines)
        });
        let lines = lines.await.into_iter();
        let described = lines.map(|it| (it.slot, serde_json::from_str(&it.text).unwrap()));
        described.collect()
    }
}

async fn described(plan: Plan) -> Description {
    let trial = plan.start().await;
    trial.description().await
}

fn describing() -> Plan {
    workers_that(&["describe", "ready", "wait"])
}

/// Descriptors of this process that an exec would leave open.
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
async fn without_sockets_a_worker_has_three_descriptors_whatever_is_open_here() {
    let _open = inheritable(40);
    let worker = described(describing()).await;
    let numbers: Vec<_> = worker.descriptors.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2], "{:?}", worker.descriptors);
    assert_eq!(worker.descriptors[&0], PathBuf::from("/dev/null"));
    assert!(!worker.environment.contains_key("LISTEN_FDS"));
    assert!(!worker.environment.contains_key("LISTEN_PID"));
}

#[tokio::test]
async fn sockets_lie_from_3_on_in_their_order_and_nothing_else_does() {
    let _open = inheritable(40);
    let directory = short_directory();
    let path = directory.path().join("socket");
    let plan = describing().with(|it| {
        it.listen(local("web"))
            .listen(format!("unix:{}", path.display()).parse().unwrap())
            .listen(local("admin"))
    });
    let worker = described(plan).await;
    let numbers: Vec<_> = worker.descriptors.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{:?}", worker.descriptors);
    let environment = &worker.environment;
    assert_eq!(environment["LISTEN_FDS"], "3");
    assert_eq!(environment["LISTEN_FDNAMES"], "web:listen:admin");
    assert_eq!(environment["LISTEN_PID"], worker.pid.to_string());
}

#[tokio::test]
async fn many_sockets_arrive_all() {
    for many in [1, 4, 20, 60] {
        let plan = describing().with(|mut supervisor| {
            for number in 0..many {
                supervisor = supervisor.listen(local(&format!("socket-{number}")));
            }
            supervisor
        });
        let worker = described(plan).await;
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
async fn a_hundred_workers_have_what_is_theirs_while_others_are_started() {
    let _open = inheritable(10);
    let trial = describing().workers(100).listening().ready().await;
    for (slot, worker) in trial.descriptions(100).await {
        let numbers: Vec<_> = worker.descriptors.keys().copied().collect();
        assert_eq!(numbers, [0, 1, 2, 3], "{:?}", worker.descriptors);
        assert_eq!(worker.environment["WORKER_ID"], slot.to_string());
        assert_eq!(worker.environment["LISTEN_PID"], worker.pid.to_string());
    }
}

#[tokio::test]
async fn a_worker_leads_a_group_of_its_own_and_is_our_child() {
    let worker = described(describing()).await;
    assert_eq!(worker.group, worker.pid);
    assert_eq!(worker.supervisor, std::process::id());
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let odd = [
        "a b",
        "\"'",
        "$(touch /tmp/x) `id` ; | & *",
        "",
        "ä\n",
        "--",
    ];
    let says = odd.map(|it| format!("say={it}"));
    let mut steps = vec!["describe"];
    steps.extend(says.iter().map(String::as_str));
    steps.extend(["ready", "wait"]);
    let plan = workers_that(&steps);
    let worker = described(plan).await;
    assert_eq!(worker.arguments[0], misbehaving().to_string_lossy());
    assert_eq!(worker.arguments[1..], steps);
}

#[tokio::test]
async fn the_environment_is_as_it_was_given() {
    let plan = describing().with(|it| {
        it.env("GIVEN", "a b=c $HOME")
            .env("GIVEN_TWICE", "1")
            .env("GIVEN_TWICE", "2")
            .env_remove("PATH")
    });
    let worker = described(plan).await;
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
async fn an_environment_that_is_cleared_holds_what_was_given_and_what_the_supervisor_says() {
    let plan = describing().with(|it| it.env_clear().env("GIVEN", "1"));
    let plan = plan.with(|it| it.watchdog(PATIENCE));
    let worker = described(plan).await;
    let names: Vec<_> = worker.environment.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["GIVEN", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WORKER_ID"]
    );
    assert_eq!(worker.environment["WATCHDOG_USEC"], "30000000");
}

/// Whoever sets such a variable would have the worker look for sockets that are not there, or speak
/// to somebody else.
#[tokio::test]
async fn what_the_supervisor_says_is_said_by_nobody_else() {
    let plan = describing().with(|it| {
        it.env("LISTEN_FDS", "7")
            .env("LISTEN_PID", "1")
            .env("LISTEN_FDNAMES", "x")
            .env("LISTEN_PIDFDID", "1")
            .env("TIDINGS_RUNTIME_DIR", "/nowhere")
            .env("NOTIFY_SOCKET", "/nowhere")
            .env("WORKER_ID", "77")
    });
    let trial = plan.ready().await;
    let worker = trial.description().await;
    assert!(!worker.environment.contains_key("LISTEN_FDS"));
    assert!(!worker.environment.contains_key("LISTEN_PID"));
    assert!(!worker.environment.contains_key("LISTEN_FDNAMES"));
    assert!(!worker.environment.contains_key("LISTEN_PIDFDID"));
    assert!(!worker.environment.contains_key("TIDINGS_RUNTIME_DIR"));
    assert_eq!(worker.environment["WORKER_ID"], "0");
}

#[tokio::test]
async fn a_worker_starts_in_its_directory() {
    let directory = short_directory();
    let path = directory.path().canonicalize().unwrap();
    let worker = described(describing().with(|it| it.current_dir(&path))).await;
    assert_eq!(worker.directory, path);
}

const NOBODY: u32 = 65_534;

#[tokio::test]
async fn a_worker_becomes_another_user_for_good() {
    let steps = ["describe", "regain", "ready", "wait"];
    // Where another user can run it.
    let directory = short_directory();
    set_mode(directory.path(), 0o755);
    let program = directory.path().join("misbehaving");
    copy(&misbehaving(), &program);
    let plan = workers_of(&program, &steps).listening();
    let plan = plan.with(|it| {
        it.user(NOBODY.to_string())
            .group("65533")
            .env("HOME", "/given")
    });
    if !rustix::process::geteuid().is_root() {
        let refused = plan.supervisor().start().await.unwrap_err().to_string();
        assert!(refused.contains("only root"), "{refused}");
        return;
    }
    let trial = plan.ready().await;
    let worker = trial.description().await;
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
    trial.says("Err(EPERM)").await;
    // And it is ours all the same: told to end, and killed with us.
    assert!(trial.workers.stop().await.is_clean());
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_refused_at_the_start() {
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
async fn what_else_cannot_be_is_refused_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let refused = |choose: fn(Supervisor) -> Supervisor| async move {
        let plan = workers_that(&["wait"]).with(choose);
        plan.supervisor().start().await.unwrap_err()
    };
    let none = refused(|it| it.workers(0)).await;
    assert!(matches!(none, StartError::WorkerCount(0)));
    let nobody = refused(|it| it.user("no-such-user")).await;
    assert!(matches!(nobody, StartError::User { .. }));
    let group = refused(|it| it.group("root")).await;
    assert!(matches!(group, StartError::User { .. }));
    let name = refused(|it| it.name("../up")).await;
    assert!(matches!(name, StartError::InvalidName(_)));
    let ready = refused(|it| {
        let at = "127.0.0.1:9999".parse().unwrap();
        it.listen("0.0.0.0:9999".parse().unwrap())
            .ready_when(ReadyWhen::Accepts(at))
    });
    let ready = ready.await;
    let why = std::error::Error::source(&ready).unwrap().to_string();
    assert!(why.contains("who is ready"), "{why}");
    let listen = workers_that(&["wait"]).with(|it| it.listen(at.into()));
    let listen = listen.supervisor().start().await.unwrap_err();
    assert!(matches!(listen, StartError::Listen { .. }));
}
