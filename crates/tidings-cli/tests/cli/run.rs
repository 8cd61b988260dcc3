//! `tidings run`: environment of the workers, output and exit codes.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::support::{Running, STAYS, STUBBORN, Sandbox, eventually, lives, pid, text};

#[test]
fn it_prints_the_workers_the_address_and_how_to_reload() {
    let sandbox = Sandbox::new();
    let mut running = sandbox.run_web(&["--listen", "127.0.0.1:0"]);

    let begun = running.stderr.wait_for("listening on 127.0.0.1:");
    for part in ["web: 2 workers", "`tidings reload web`"] {
        assert!(begun.contains(part), "{begun}");
    }
    assert!(!begun.contains("127.0.0.1:0"), "{begun}");

    running.signal(Signal::TERM);
    assert_eq!(running.code(), 0);
    running.stderr.wait_for("all workers stopped in time");
}

#[test]
fn lines_have_the_number_of_their_slot_and_no_colors() {
    let sandbox = Sandbox::new();
    let program = ["sh", "-c", "echo here; echo there >&2; exec sleep 1000"];
    let running = sandbox.run(&["--workers", "2"], &program);

    for slot in 0..2 {
        running.stdout.wait_for(&format!("{slot} | here"));
        running.stderr.wait_for(&format!("{slot} | there"));
    }
    let all = [running.stdout.all(), running.stderr.all()].concat();
    assert!(!all.iter().any(|line| line.contains('\x1b')), "{all:?}");
}

#[test]
fn json_is_one_object_per_line_with_an_event() {
    let sandbox = Sandbox::new();
    let options = ["--output", "json", "--workers", "1", "--name", "web"];
    let mut running = sandbox.run(&options, &STAYS);
    running.stdout.wait_for(r#""event":"ready""#);
    running.signal(Signal::TERM);
    assert_eq!(running.code(), 0);
    running.stdout.wait_for(r#""event":"stopped""#);

    let parse = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let objects: Vec<_> = running.stdout.all().iter().map(parse).collect();
    let find = |what: &str| {
        let mut objects = objects.iter();
        objects.find(|it| it["event"] == what).unwrap()
    };
    for object in &objects {
        let at = object["timestamp"].as_str().unwrap();
        assert!(at.len() == 24 && at.ends_with('Z'), "{object}");
    }
    assert_eq!(find("running")["name"], "web");
    assert_eq!(find("line")["stream"], "stdout");
    assert_eq!(find("started")["slot"], 0);
    assert!(find("ready")["after"].as_f64().unwrap() > 0.0);
    assert_eq!(find("stopped")["killed"], 0);
    assert!(running.stderr.all().is_empty());
}

#[test]
fn an_error_at_the_start_is_json_too() {
    let sandbox = Sandbox::new();
    let output = sandbox.tidings(&["run", "--output=json", "--", "./no-such-program"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &error["event"]),
        (Some(1), &"error".into())
    );
    let text = error["text"].as_str().unwrap();
    assert!(text.contains("not found"), "{text}");
    assert!(output.stderr.is_empty());
}

#[test]
fn a_program_that_never_reports_readiness_gets_help_once() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args([
        "run",
        "--workers=1",
        "--ready-timeout=50ms",
        "--backoff-min=1ms",
        "--",
    ]);
    let running = Running::start(command.args(STAYS));
    running.stderr.wait_count("was not ready within", 2);
    running.stderr.wait_for("`--ready-after 2s`");
    running.stderr.wait_count("was not ready within", 3);
    assert_eq!(running.stderr.count("`--ready-after 2s`"), 1);
}

#[test]
fn a_worker_without_watchdog_notifications_is_killed() {
    let sandbox = Sandbox::new();
    let running = sandbox.run(&["--workers=1", "--watchdog=200ms"], &STAYS);
    running.stderr.wait_for("no WATCHDOG=1");
    running.pids(2);
}

/// Only root can change its user.
#[test]
fn workers_run_as_the_given_user() {
    if !geteuid().is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let program = ["/bin/sh", "-c", "echo is $(id -u); exec sleep 1000"];
    let running = sandbox.run(&["--workers=1", "--user=65534"], &program);
    running.stdout.wait_for("0 | is 65534");
}

#[test]
fn colors_follow_the_environment() {
    let sandbox = Sandbox::new();
    let run = |variables: &[(&str, &str)]| {
        let mut command = sandbox.command();
        let options = ["run", "--output", "pretty", "--ready-after", "100ms"];
        command.args(options).args(["--workers", "1", "--"]);
        command.args(["echo", "hello"]).envs(variables.to_vec());
        let running = Running::start(&mut command);
        running.stdout.wait_for("hello")
    };
    assert!(run(&[("CLICOLOR_FORCE", "1")]).contains("\x1b[36m0 │\x1b[0m hello"));
    assert_eq!(
        run(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]),
        "0 │ hello"
    );
}

#[test]
fn workers_get_their_environment_directory_and_sockets() {
    let sandbox = Sandbox::new();
    let directory = sandbox.directory.path().canonicalize().unwrap();
    let socket = format!("admin=unix:{}", sandbox.path("admin").display());
    let show =
        "echo $WORKER_ID $COLOR $LISTEN_FDS $LISTEN_FDNAMES $(pwd) ${HOME-none}; exec sleep 1000";
    let running = sandbox.run(
        &[
            "--workers=1",
            "--env=COLOR=a=b",
            "--env-clear",
            "--listen=127.0.0.1:0",
            "--listen",
            &socket,
            "--working-directory",
            directory.to_str().unwrap(),
        ],
        &["/bin/sh", "-c", show],
    );
    let shown = format!("0 | 0 a=b 2 listen:admin {} none", directory.display());
    running.stdout.wait_for(&shown);
}

/// A worker in another directory would not find its notify socket.
#[test]
fn a_relative_runtime_directory_is_that_of_the_supervisor() {
    let sandbox = Sandbox::new();
    let directory = sandbox.directory.path().canonicalize().unwrap();
    let mut command = sandbox.command();
    command
        .current_dir(&directory)
        .env("TIDINGS_RUNTIME_DIR", "runtime")
        .args(["run", "--workers=1", "--name=web", "--working-directory=/"])
        .args([
            "--",
            "/bin/sh",
            "-c",
            "echo $NOTIFY_SOCKET; exec sleep 1000",
        ]);
    let running = Running::start(&mut command);
    let shown = format!("0 | {}/runtime/web/notify-0", directory.display());
    running.stdout.wait_for(&shown);
}

#[test]
fn a_missing_working_directory_is_named() {
    let sandbox = Sandbox::new();
    let run = ["run", "--working-directory=/no/such", "--", "true"];
    let (stderr, code) = sandbox.fail(&run);
    assert_eq!(code, 1, "{stderr}");
    let sentence = "error: cannot work in the directory /no/such: No such file or directory";
    assert!(stderr.contains(sentence), "{stderr}");

    let path = sandbox.path("work");
    fs::create_dir(&path).unwrap();
    let option = format!("--working-directory={}", path.display());
    let running = sandbox.run(
        &[&option, "--workers=1"],
        &["sh", "-c", "rmdir \"$PWD\"; exit 1"],
    );
    let sentence = format!(
        "cannot start: cannot work in the directory {}: ",
        path.display()
    );
    running.stderr.wait_for(&sentence);
}

/// With such a variable the worker would use sockets that it does not have, or another supervisor.
#[test]
fn a_variable_of_the_supervisor_is_rejected() {
    let sandbox = Sandbox::new();
    let run = ["run", "--env", "LISTEN_FDS=3", "--", "true"];
    let (stderr, code) = sandbox.fail(&run);
    assert!(stderr.contains("`LISTEN_FDS`"), "{stderr}");
    assert_eq!(code, 2);
    let json = sandbox.tidings(&[&["--json"], &run[..]].concat());
    let error: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(error["event"], "error");
    assert_eq!(json.status.code(), Some(2));
}

#[test]
fn quiet_leaves_the_lines_of_workers_and_errors() {
    let sandbox = Sandbox::new();
    let program = ["sh", "-c", "echo up; echo there >&2; exec sleep 1000"];
    let mut running = sandbox.run(&["--quiet", "--workers=1"], &program);
    running.stdout.wait_for("0 | up");
    running.stderr.wait_for("0 | there");
    running.signal(Signal::TERM);
    assert_eq!(running.code(), 0);
    assert_eq!(running.stderr.all(), ["0 | there"]);

    let crash_loop = ["--quiet", "--workers=1", "--crash-loop=1/1m"];
    let mut failing = sandbox.run(&crash_loop, &["false"]);
    assert_eq!(failing.code(), 1);
    failing.stderr.wait_for("stopped: all slots failed");
    assert_eq!(failing.stderr.count("started"), 0);
}

#[test]
fn verbose_prints_the_log_to_standard_error() {
    for format in ["plain", "json"] {
        let sandbox = Sandbox::new();
        let output = format!("--output={format}");
        let running = sandbox.run(&["-v", "--name=web", "--workers=1", &output], &STAYS);
        running.stdout.wait_for("up");

        fs::remove_file(sandbox.path("runtime/web/control")).unwrap();

        let line = running.stderr.wait_for("it is open again");
        assert!(line.contains("INFO"), "{line}");
    }
}

#[test]
fn workers_are_stopped_with_the_given_signal() {
    let sandbox = Sandbox::new();
    let waits = "trap '' TERM; trap 'echo bye; exit 0' QUIT; echo up; while :; do sleep 0.1; done";
    let options = ["--workers", "1", "--stop-signal", "SIGQUIT"];
    let mut running = sandbox.run(&options, &["sh", "-c", waits]);
    running.stdout.wait_for("0 | up");

    running.signal(Signal::TERM);

    running.stdout.wait_for("0 | bye");
    assert_eq!(running.code(), 0);
}

/// Shell scripts ignore these signals in background processes.
#[test]
fn workers_do_not_inherit_ignored_signals() {
    let sandbox = Sandbox::new();
    let waits = "trap 'echo bye; exit 0' QUIT; echo up; while :; do sleep 0.1; done";
    let tidings = sandbox.command();
    let mut script = Command::new("sh");
    script
        .args(["-c", "trap '' INT QUIT; exec \"$@\"", "sh"])
        .arg(tidings.get_program())
        .args(["run", "--ready-after", "100ms", "--workers", "1"])
        .args(["--stop-signal", "SIGQUIT", "--", "sh", "-c", waits])
        .env("TIDINGS_RUNTIME_DIR", sandbox.path("runtime"));
    let mut running = Running::start(&mut script);
    running.stdout.wait_for("0 | up");

    running.signal(Signal::TERM);

    running.stdout.wait_for("0 | bye");
    assert_eq!(running.code(), 0);
}

#[test]
fn arguments_are_not_passed_through_a_shell() {
    let sandbox = Sandbox::new();
    let running = sandbox.run(&["--workers", "1"], &["echo", "$(id)", "; *", "--help"]);
    running.stdout.wait_for("0 | $(id) ; * --help");
}

#[test]
fn an_error_at_the_start_exits_with_1_and_a_reason() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, why) in [
        (["run", "--", "./no-such-program"].as_slice(), "not found"),
        (&["run", "--listen", &taken, "--", "sleep", "9"], "in use"),
        (
            &["run", "--user", "no-such-user", "--", "sleep", "9"],
            "no such user",
        ),
        (
            &["run", "--watch", "no/such/file", "--", "sleep", "9"],
            "cannot watch",
        ),
    ] {
        let (stderr, code) = sandbox.fail(arguments);
        assert_eq!(code, 1, "{stderr}");
        assert!(
            stderr.starts_with("error: ") && stderr.contains(why),
            "{stderr}"
        );
    }
}

#[test]
fn invalid_arguments_exit_with_2() {
    let sandbox = Sandbox::new();
    for arguments in [
        ["run"].as_slice(),
        &["run", "--ready-after", "soon", "--", "sleep", "9"],
        &["run", "--listen", "somewhere", "--", "sleep", "9"],
        &["run", "--crash-loop", "10", "--", "sleep", "9"],
        &["run", "--group", "root", "--", "sleep", "9"],
        &["run", "--workers", "0", "--", "sleep", "9"],
        &["run", "--workers", "1025", "--", "sleep", "9"],
        &["run", "--name", "a/b", "--", "sleep", "9"],
        &["scale"],
        &["scale", "0"],
    ] {
        let (stderr, code) = sandbox.fail(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
    }
}

#[test]
fn it_exits_with_1_when_all_slots_failed() {
    let sandbox = Sandbox::new();
    let options = ["--workers=1", "--crash-loop=2/60s", "--backoff-min=1ms"];
    let mut running = sandbox.run(&options, &["sh", "-c", "echo no database; exit 4"]);
    assert_eq!(running.code(), 1);
    running.stderr.wait_for("slot 0 failed");
    running.stderr.wait_for("    no database");
}

#[test]
fn the_last_output_of_a_worker_is_escaped() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args([
        "run",
        "--output=pretty",
        "--workers=1",
        "--crash-loop=1/60s",
        "--",
    ]);
    command.args(["sh", "-c", "printf 'no \\007database\\n'; exit 4"]);
    let running = Running::start(command.env("CLICOLOR_FORCE", "1"));
    running.stderr.wait_for("    no database");
}

#[test]
fn it_exits_with_3_when_workers_had_to_be_killed() {
    let sandbox = Sandbox::new();
    let mut running = sandbox.run(&["--workers=1", "--stop-timeout=100ms"], &STUBBORN);
    let worker = running.pids(1)[0];

    running.signal(Signal::TERM);

    assert_eq!(running.code(), 3);
    assert!(!lives(worker));
}

#[test]
fn the_default_name_is_the_program_with_a_number_if_it_is_taken() {
    let sandbox = Sandbox::new();
    let first = sandbox.run(&["--workers=1"], &STAYS);
    first.stderr.wait_for("`tidings reload sh`");
    let second = sandbox.run(&["--workers=1"], &STAYS);
    second.stderr.wait_for("the name sh is taken: using sh-2");
    second.stderr.wait_for("`tidings reload sh-2`");

    let (stderr, code) = sandbox.fail(&["run", "--name", "sh", "--", "sleep", "9"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("`sh` is already running"), "{stderr}");
    assert!(
        stderr.contains("help: choose another name with `--name`"),
        "{stderr}"
    );
}

#[test]
fn a_killed_supervisor_leaves_no_workers_and_frees_its_name() {
    let sandbox = Sandbox::new();
    let mut killed = sandbox.run(&["--name=web", "--workers=3"], &STUBBORN);
    let workers = killed.pids(3);

    killed.signal(Signal::KILL);
    killed.status();

    assert!(
        sandbox
            .succeed(&["ps"])
            .starts_with("no supervisor is running;")
    );
    let next = sandbox.run_web(&[]);
    next.pids(2);
    eventually("no worker is left", || {
        !workers.iter().any(|pid| lives(*pid))
    });
}

/// As with a terminal that was stopped with Ctrl-S.
#[test]
fn a_reader_that_does_not_read_blocks_neither_reloads_nor_the_stop() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("watched"), "1").unwrap();
    let mut command = sandbox.command();
    command.args(["run", "--name=web", "--workers=1", "--ready-after=0s"]);
    command.arg("--watch").arg(sandbox.path("watched"));
    command.args(["--", "sh", "-c", "exec yes >&2"]);
    let mut unread = Unread::start(&mut command);
    eventually("the pipe is full", || unread.waiting() > 50_000);
    let worker = || {
        let status: serde_json::Value =
            serde_json::from_str(&sandbox.succeed(&["ps", "--json"])).unwrap();
        status[0]["workers"][0]["pid"].clone()
    };
    let before = worker();

    fs::write(sandbox.path("watched"), "22").unwrap();
    eventually("the worker is replaced", || worker() != before);

    kill_process(unread.pid(), Signal::TERM).unwrap();
    eventually("tidings ends", || unread.0.try_wait().unwrap().is_some());
}

/// A `tidings run` whose standard error is not read.
struct Unread(Child);

impl Unread {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Returns the number of unread bytes.
    fn waiting(&self) -> u64 {
        ioctl_fionread(self.0.stderr.as_ref().unwrap()).unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills a supervisor that is not a child of the test, on drop.
#[cfg(target_os = "linux")]
struct KillOnDrop<'a>(&'a Sandbox);

#[cfg(target_os = "linux")]
impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.0.tidings(&["stop", "--now"]);
    }
}

/// The terminal in which it was started is closed.
#[test]
#[cfg(target_os = "linux")]
fn it_stops_when_its_terminal_is_closed() {
    let sandbox = Sandbox::new();
    let _end = KillOnDrop(&sandbox);
    let worker = run_in_a_terminal_that_closes(&sandbox, "");

    eventually("the worker ends", || !lives(worker));
    eventually("the supervisor ends", || {
        sandbox
            .succeed(&["ps"])
            .starts_with("no supervisor is running;")
    });
}

#[test]
#[cfg(target_os = "linux")]
fn with_nohup_it_survives_its_terminal() {
    let sandbox = Sandbox::new();
    let _end = KillOnDrop(&sandbox);
    let worker = run_in_a_terminal_that_closes(&sandbox, "nohup ");

    let reloaded = sandbox.succeed(&["reload"]);
    assert!(reloaded.contains("1 worker"), "{reloaded}");
    eventually("the old worker ends", || !lives(worker));
}

/// Takes longer to stop than the second in which signals count as one; creates `late` after it.
#[cfg(target_os = "linux")]
const DRAINS_LONG: &str = "sleep 1.2; touch late; sleep 1; touch drained; exit 0";

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_closes_during_a_stop_kills_no_workers() {
    let sandbox = Sandbox::new();
    let _end = KillOnDrop(&sandbox);
    let (terminal, worker) = start_in_a_terminal(&sandbox, "", DRAINS_LONG);
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let supervisor = status.lines().find_map(|it| it.strip_prefix("PPid:"));
    let supervisor = Pid::from_raw(supervisor.unwrap().trim().parse().unwrap()).unwrap();

    kill_process(supervisor, Signal::TERM).unwrap();
    eventually("it drains", || sandbox.path("late").exists());
    close(terminal);

    eventually("the worker ends", || !lives(worker));
    assert!(sandbox.path("drained").exists(), "the worker was killed");
}

/// Returns the only worker.
#[cfg(target_os = "linux")]
fn run_in_a_terminal_that_closes(sandbox: &Sandbox, by: &str) -> Pid {
    let (terminal, worker) = start_in_a_terminal(sandbox, by, "exit 0");
    close(terminal);
    worker
}

#[cfg(target_os = "linux")]
fn close(mut terminal: Running) {
    terminal.signal(Signal::KILL);
    terminal.status();
}

/// Returns the terminal and the only worker, a shell that runs `at_end` on SIGTERM.
#[cfg(target_os = "linux")]
fn start_in_a_terminal(sandbox: &Sandbox, by: &str, at_end: &str) -> (Running, Pid) {
    let seen = sandbox.path("seen");
    let tidings = format!(
        "{by}{} run --ready-after 100ms --workers 1 --name web -- sh worker.sh",
        env!("CARGO_BIN_EXE_tidings"),
    );
    let worker = format!(
        "trap '{at_end}' TERM; echo up $$ > {}; while :; do sleep 0.05; done",
        seen.display()
    );
    fs::write(sandbox.path("worker.sh"), worker).unwrap();
    let mut script = Command::new("script");
    script
        .args(["-qec", &tidings, "/dev/null"])
        .current_dir(sandbox.directory.path())
        .stdin(Stdio::piped());
    script.env("TIDINGS_RUNTIME_DIR", sandbox.path("runtime"));
    let terminal = Running::start(&mut script);
    let mut worker = None;
    eventually("the worker is up", || {
        let line = fs::read(&seen).map(|line| text(&line)).unwrap_or_default();
        worker = line.strip_suffix('\n').map(pid);
        worker.is_some()
    });
    (terminal, worker.unwrap())
}
