//! `tidings run`: what workers are given, what is shown, and how it ends.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::support::{Place, Running, STAYS, STUBBORN, eventually, lives, pid, text};

#[test]
fn it_says_what_runs_where_and_how_to_reload_it() {
    let place = Place::new();
    let mut running = place.run_web(&["--listen", "127.0.0.1:0"]);

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
fn lines_come_behind_the_number_of_their_slot_and_without_colours() {
    let place = Place::new();
    let program = ["sh", "-c", "echo here; echo there >&2; exec sleep 1000"];
    let running = place.run(&["--workers", "2"], &program);

    for slot in 0..2 {
        running.stdout.wait_for(&format!("{slot} | here"));
        running.stderr.wait_for(&format!("{slot} | there"));
    }
    let all = [running.stdout.all(), running.stderr.all()].concat();
    assert!(!all.iter().any(|line| line.contains('\x1b')), "{all:?}");
}

#[test]
fn json_is_an_object_a_line_and_says_what_it_is() {
    let place = Place::new();
    let options = ["--output", "json", "--workers", "1", "--name", "web"];
    let mut running = place.run(&options, &STAYS);
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
fn what_cannot_start_says_so_in_json_too() {
    let place = Place::new();
    let output = place.tidings(&["run", "--output=json", "--", "./no-such-program"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &error["event"]),
        (Some(1), &"error".into())
    );
    let text = error["text"].as_str().unwrap();
    assert!(text.contains("there is no program"), "{text}");
    assert!(output.stderr.is_empty());
}

#[test]
fn who_never_says_that_it_is_ready_is_told_what_to_do_once() {
    let place = Place::new();
    let mut command = place.command();
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
fn a_ready_worker_that_gives_no_sign_of_life_is_killed() {
    let place = Place::new();
    let running = place.run(&["--workers=1", "--watchdog=200ms"], &STAYS);
    running.stderr.wait_for("no WATCHDOG=1");
    running.pids(2);
}

/// Only root can become somebody else.
#[test]
fn workers_become_the_user_that_was_named() {
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let program = ["/bin/sh", "-c", "echo is $(id -u); exec sleep 1000"];
    let running = place.run(&["--workers=1", "--user=65534"], &program);
    running.stdout.wait_for("0 | is 65534");
}

#[test]
fn colours_are_for_whoever_wants_them() {
    let place = Place::new();
    let run = |variables: &[(&str, &str)]| {
        let mut command = place.command();
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
fn workers_are_given_their_environment_directory_and_sockets() {
    let place = Place::new();
    let directory = place.directory.path().canonicalize().unwrap();
    let socket = format!("admin=unix:{}", place.path("admin").display());
    let show =
        "echo $WORKER_ID $COLOUR $LISTEN_FDS $LISTEN_FDNAMES $(pwd) ${HOME-none}; sleep 1000";
    let running = place.run(
        &[
            "--workers=1",
            "--env=COLOUR=a=b",
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

#[test]
fn workers_are_told_to_end_by_the_signal_that_they_understand() {
    let place = Place::new();
    let waits = "trap '' TERM; trap 'echo bye; exit 0' QUIT; echo up; while :; do sleep 0.1; done";
    let options = ["--workers", "1", "--stop-signal", "SIGQUIT"];
    let mut running = place.run(&options, &["sh", "-c", waits]);
    running.stdout.wait_for("0 | up");

    running.signal(Signal::TERM);

    running.stdout.wait_for("0 | bye");
    assert_eq!(running.code(), 0);
}

/// A script that starts it in the background has these signals ignored.
#[test]
fn workers_understand_a_signal_that_was_ignored_where_the_supervisor_was_started() {
    let place = Place::new();
    let waits = "trap 'echo bye; exit 0' QUIT; echo up; while :; do sleep 0.1; done";
    let tidings = place.command();
    let mut script = Command::new("sh");
    script
        .args(["-c", "trap '' INT QUIT; exec \"$@\"", "sh"])
        .arg(tidings.get_program())
        .args(["run", "--ready-after", "100ms", "--workers", "1"])
        .args(["--stop-signal", "SIGQUIT", "--", "sh", "-c", waits])
        .env("TIDINGS_RUNTIME_DIR", place.path("runtime"));
    let mut running = Running::start(&mut script);
    running.stdout.wait_for("0 | up");

    running.signal(Signal::TERM);

    running.stdout.wait_for("0 | bye");
    assert_eq!(running.code(), 0);
}

#[test]
fn no_shell_sees_the_arguments() {
    let place = Place::new();
    let running = place.run(&["--workers", "1"], &["echo", "$(id)", "; *", "--help"]);
    running.stdout.wait_for("0 | $(id) ; * --help");
}

#[test]
fn what_cannot_start_ends_with_1_and_says_why() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, why) in [
        (
            ["run", "--", "./no-such-program"].as_slice(),
            "there is no program",
        ),
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
        let (complaint, code) = place.refused(arguments);
        assert_eq!(code, 1, "{complaint}");
        assert!(
            complaint.starts_with("error: ") && complaint.contains(why),
            "{complaint}"
        );
    }
}

#[test]
fn what_is_not_understood_ends_with_2() {
    let place = Place::new();
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
        let (complaint, code) = place.refused(arguments);
        assert_eq!(code, 2, "{arguments:?}: {complaint}");
    }
}

#[test]
fn it_ends_with_1_when_all_slots_failed() {
    let place = Place::new();
    let options = ["--workers=1", "--crash-loop=2/60s", "--backoff-min=1ms"];
    let mut running = place.run(&options, &["sh", "-c", "echo no database; exit 4"]);
    assert_eq!(running.code(), 1);
    running.stderr.wait_for("slot 0 failed");
    running.stderr.wait_for("    no database");
}

#[test]
fn what_a_worker_wrote_last_does_nothing_to_a_terminal() {
    let place = Place::new();
    let mut command = place.command();
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
fn workers_that_had_to_be_killed_make_it_end_with_3() {
    let place = Place::new();
    let mut running = place.run(&["--workers=1", "--stop-timeout=100ms"], &STUBBORN);
    let worker = running.pids(1)[0];

    running.signal(Signal::TERM);

    assert_eq!(running.code(), 3);
    assert!(!lives(worker));
}

#[test]
fn a_fleet_is_called_as_its_program_and_the_next_one_gets_a_number() {
    let place = Place::new();
    let first = place.run(&["--workers=1"], &STAYS);
    first.stderr.wait_for("`tidings reload sh`");
    let second = place.run(&["--workers=1"], &STAYS);
    second
        .stderr
        .wait_for("the name sh is taken: this one is sh-2");
    second.stderr.wait_for("`tidings reload sh-2`");

    let (complaint, code) = place.refused(&["run", "--name", "sh", "--", "sleep", "9"]);
    assert_eq!(code, 1);
    assert!(complaint.contains("`sh` runs already"), "{complaint}");
    assert!(
        complaint.contains("help: give another one with `--name`"),
        "{complaint}"
    );
}

#[test]
fn killed_it_leaves_no_worker_and_its_name_is_free_at_once() {
    let place = Place::new();
    let mut killed = place.run(&["--name=web", "--workers=3"], &STUBBORN);
    let workers = killed.pids(3);

    killed.signal(Signal::KILL);
    killed.status();

    assert!(place.said(&["ps"]).starts_with("no supervisor runs;"));
    let next = place.run_web(&[]);
    next.pids(2);
    eventually("no worker is left", || {
        !workers.iter().any(|pid| lives(*pid))
    });
}

/// As a terminal that was stopped with Ctrl-S.
#[test]
fn who_reads_nothing_holds_up_neither_reloads_nor_the_end() {
    let place = Place::new();
    fs::write(place.path("watched"), "1").unwrap();
    let mut command = place.command();
    command.args(["run", "--name=web", "--workers=1", "--ready-after=0s"]);
    command.arg("--watch").arg(place.path("watched"));
    command.args(["--", "sh", "-c", "exec yes >&2"]);
    let mut deaf = Deaf::start(&mut command);
    eventually("the pipe is full", || deaf.waiting() > 50_000);
    let worker = || {
        let status: serde_json::Value =
            serde_json::from_str(&place.said(&["ps", "--json"])).unwrap();
        status[0]["workers"][0]["pid"].clone()
    };
    let before = worker();

    fs::write(place.path("watched"), "22").unwrap();
    eventually("the worker is replaced", || worker() != before);

    kill_process(deaf.pid(), Signal::TERM).unwrap();
    eventually("tidings ends", || deaf.0.try_wait().unwrap().is_some());
}

/// A `tidings run` whose complaints nobody reads.
struct Deaf(Child);

impl Deaf {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// How many bytes nobody has read.
    fn waiting(&self) -> u64 {
        ioctl_fionread(self.0.stderr.as_ref().unwrap()).unwrap()
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends a supervisor that is no child of the test.
#[cfg(target_os = "linux")]
struct Stops<'a>(&'a Place);

#[cfg(target_os = "linux")]
impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.tidings(&["stop", "--now"]);
    }
}

/// The terminal in which it was started is closed: nobody would know that it still runs.
#[test]
#[cfg(target_os = "linux")]
fn a_closed_terminal_ends_it() {
    let place = Place::new();
    let _end = Stops(&place);
    let worker = run_in_a_terminal_that_closes(&place, "");

    eventually("the worker ends", || !lives(worker));
    eventually("the supervisor ends", || {
        place.said(&["ps"]).starts_with("no supervisor runs;")
    });
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_to_outlive_its_terminal_does() {
    let place = Place::new();
    let _end = Stops(&place);
    let worker = run_in_a_terminal_that_closes(&place, "nohup ");

    let reloaded = place.said(&["reload"]);
    assert!(reloaded.contains("1 worker"), "{reloaded}");
    eventually("the elder ends", || !lives(worker));
}

/// Takes longer to end than signals count as one request; `late` tells that this time is over.
#[cfg(target_os = "linux")]
const DRAINS_LONG: &str = "sleep 1.2; touch late; sleep 1; touch drained; exit 0";

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_closes_during_a_stop_leaves_workers_their_grace() {
    let place = Place::new();
    let _end = Stops(&place);
    let (terminal, worker) = start_in_a_terminal(&place, "", DRAINS_LONG);
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let supervisor = status.lines().find_map(|it| it.strip_prefix("PPid:"));
    let supervisor = Pid::from_raw(supervisor.unwrap().trim().parse().unwrap()).unwrap();

    kill_process(supervisor, Signal::TERM).unwrap();
    eventually("it drains", || place.path("late").exists());
    close(terminal);

    eventually("the worker ends", || !lives(worker));
    assert!(place.path("drained").exists(), "the worker was killed");
}

/// The one worker.
#[cfg(target_os = "linux")]
fn run_in_a_terminal_that_closes(place: &Place, by: &str) -> Pid {
    let (terminal, worker) = start_in_a_terminal(place, by, "exit 0");
    close(terminal);
    worker
}

#[cfg(target_os = "linux")]
fn close(mut terminal: Running) {
    terminal.signal(Signal::KILL);
    terminal.status();
}

/// The terminal, and the one worker, a shell that runs this when it is told to end.
#[cfg(target_os = "linux")]
fn start_in_a_terminal(place: &Place, by: &str, at_end: &str) -> (Running, Pid) {
    let seen = place.path("seen");
    let tidings = format!(
        "{by}{} run --ready-after 100ms --workers 1 --name web -- sh worker.sh",
        env!("CARGO_BIN_EXE_tidings"),
    );
    let worker = format!(
        "trap '{at_end}' TERM; echo up $$ > {}; while :; do sleep 0.05; done",
        seen.display()
    );
    fs::write(place.path("worker.sh"), worker).unwrap();
    let mut script = Command::new("script");
    script
        .args(["-qec", &tidings, "/dev/null"])
        .current_dir(place.directory.path())
        .stdin(Stdio::piped());
    script.env("TIDINGS_RUNTIME_DIR", place.path("runtime"));
    let terminal = Running::start(&mut script);
    let mut worker = None;
    eventually("the worker is up", || {
        let line = fs::read(&seen).map(|line| text(&line)).unwrap_or_default();
        worker = line.strip_suffix('\n').map(pid);
        worker.is_some()
    });
    (terminal, worker.unwrap())
}
