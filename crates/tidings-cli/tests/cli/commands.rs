//! `tidings ps`, `reload`, `scale` and `stop`.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;

use rustix::process::{Signal, geteuid};

use crate::support::{Running, STAYS, STUBBORN, Sandbox, copy, eventually, lives, text};

#[test]
fn ps_shows_all_workers_as_a_table() {
    let sandbox = Sandbox::new();
    let none = format!(
        "no supervisor is running; searched {}
",
        sandbox.path("runtime").display()
    );
    assert_eq!(sandbox.succeed(&["ps"]), none);
    let _web = sandbox.run_web(&["--listen=127.0.0.1:0"]);
    let jobs = sandbox.run(&["--name=jobs", "--workers=1"], &STAYS);
    jobs.stderr.wait_for("is ready");

    let stdout = sandbox.succeed(&["ps"]);

    let (about, table) = stdout.split_once("\n\n").unwrap();
    assert!(about.starts_with("jobs  pid "), "{about}");
    assert!(about.contains("\nweb  pid ") && about.contains(", listening on 127.0.0.1:"));
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    let headings = "NAME SLOT PID STATE UPTIME RESTARTS LAST EXIT";
    assert_eq!(rows[0].join(" "), headings);
    assert_eq!(rows.len(), 4, "{table}");
    let pid = jobs.pids(1)[0].to_string();
    assert_eq!(rows[1][..4], ["jobs", "0", &pid, "ready"]);
    assert_eq!((rows[1][5], rows[1][6]), ("0", "-"));
    assert_eq!((rows[2][0], rows[3][0]), ("web", "web"));
    assert!(!table.contains('\x1b'), "{table}");
    assert_eq!(sandbox.succeed(&["ps", "jobs"]).lines().count(), 4);
}

#[test]
fn ps_shows_the_last_exit_of_a_worker() {
    let sandbox = Sandbox::new();
    let program = ["sh", "-c", "[ $WORKER_ID = 0 ] || exec sleep 1000; exit 7"];
    let options = ["--workers=2", "--crash-loop=1/60s"];
    let running = sandbox.run(&options, &program);
    running.stderr.wait_for("slot 0 failed");
    running.stderr.wait_for("worker 1 is ready");

    let table = sandbox.succeed(&["ps"]);
    let row = table.lines().nth(3).unwrap();
    assert!(
        row.contains("failed") && row.ends_with("exited with status 7"),
        "{table}"
    );
}

#[test]
fn ps_prints_json() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.succeed(&["ps", "--json"]), "[]\n");
    let _web = sandbox.run_web(&[]);

    let fleets: serde_json::Value =
        serde_json::from_str(&sandbox.succeed(&["ps", "--json"])).unwrap();

    let fleet = &fleets[0];
    assert_eq!(
        (&fleet["name"], &fleet["slots"]),
        (&"web".into(), &2.into())
    );
    let worker = &fleet["workers"][1];
    assert_eq!(
        (&worker["slot"], &worker["state"]),
        (&1.into(), &"ready".into())
    );
    assert!(worker["uptime"].as_f64().unwrap() > 0.0);
}

#[test]
fn ps_reports_a_supervisor_that_does_not_respond_and_shows_the_others() {
    let sandbox = Sandbox::new();
    let _web = sandbox.run_web(&[]);
    let stopped = sandbox.run(&["--name=stopped", "--workers=1"], &STAYS);
    stopped.stderr.wait_for("is ready");
    stopped.signal(Signal::STOP);

    let output = sandbox.tidings(&["ps"]);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).matches("  ready  ").count(), 2);
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("no response from supervisor `stopped`"),
        "{stderr}"
    );
    let (stderr, code) = sandbox.fail(&["stop", "stopped", "--now"]);
    assert_eq!(code, 4, "{stderr}");
}

/// Starts a fake supervisor that responds to each request with this line.
fn fake_supervisor(sandbox: &Sandbox, name: &str, answer: impl Fn() -> String + Send + 'static) {
    let home = sandbox.path("runtime").join(name);
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(sandbox.path("runtime"), Permissions::from_mode(0o700)).unwrap();
    let listener = UnixListener::bind(home.join("control")).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            if !request.is_empty() {
                writeln!(stream, "{}", answer()).unwrap();
            }
        }
    });
}

#[test]
fn ps_escapes_text_of_other_processes() {
    let sandbox = Sandbox::new();
    let hostile = r"x\nweb  pid 7\u202e\u009b2J";
    let answer = format!(
        r#"{{"response":"status","name":"name {hostile}","pid":1,"command":["{hostile}"],"listen":["at {hostile}"],"slots":1,"is_reloading":false,"workers":[{{"slot":0,"pid":null,"state":"waiting","uptime":0.0,"restarts":1,"last_exit":{{"not_started":"why {hostile}"}}}}]}}"#
    );
    fake_supervisor(&sandbox, "hostile", move || answer.clone());

    let stdout = sandbox.succeed(&["ps"]);
    let json = sandbox.succeed(&["ps", "--json"]);

    let escaped = r"x\nweb  pid 7\u{202e}\u{9b}2J";
    let about = format!("name {escaped}  pid 1, listening on at {escaped}");
    assert_eq!(stdout.lines().next(), Some(&*about), "{stdout:?}");
    assert!(
        stdout.ends_with(&format!("cannot start: why {escaped}\n")),
        "{stdout:?}"
    );
    assert_eq!(stdout.lines().count(), 4, "{stdout:?}");
    assert!(json.is_ascii(), "{json:?}");
    assert!(json.contains(r"x\nweb  pid 7\u202e\u009b2J"), "{json:?}");
}

#[test]
fn an_error_from_a_supervisor_is_escaped() {
    let sandbox = Sandbox::new();
    let why = r"no\n  because \u202eof \u001b]0;title\u0007this";
    let answer =
        format!(r#"{{"response":"rejected","kind":"invalid_worker_count","why":"{why}"}}"#);
    fake_supervisor(&sandbox, "hostile", move || answer.clone());

    let (stderr, _) = sandbox.fail(&["scale", "2"]);

    assert!(
        stderr.contains("no\n  because \\u{202e}of this"),
        "{stderr:?}"
    );
}

#[test]
fn an_invalid_response_is_escaped() {
    let sandbox = Sandbox::new();
    fake_supervisor(&sandbox, "hostile", || {
        r#"{"response":"x\n\u202ey"}"#.to_owned()
    });

    let (stderr, _) = sandbox.fail(&["stop"]);

    assert_eq!(stderr.lines().count(), 2, "{stderr:?}");
    assert!(stderr.contains(r"x\n\u{202e}y"), "{stderr:?}");
    assert!(
        stderr.contains("help: the supervisor may have another version"),
        "{stderr:?}"
    );
}

#[test]
fn a_request_that_an_older_supervisor_does_not_know_is_an_error_with_help() {
    let sandbox = Sandbox::new();
    let rejected = r#"{"response":"rejected","kind":"invalid_request","why":"unknown variant"}"#;
    fake_supervisor(&sandbox, "old", || rejected.to_owned());
    let (stderr, code) = sandbox.fail(&["reload"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("error: cannot reload old: unknown variant")
            && stderr.contains("help: the supervisor may have another version"),
        "{stderr}"
    );
}

/// Each supervisor responds only after both were asked.
#[test]
fn ps_asks_all_supervisors_concurrently() {
    let sandbox = Sandbox::new();
    let both = Arc::new(Barrier::new(2));
    for name in ["one", "two"] {
        let both = Arc::clone(&both);
        let answer = format!(
            r#"{{"response":"status","name":"{name}\u001b[2J","pid":1,"command":[],"slots":0,"is_reloading":true,"workers":[]}}"#
        );
        fake_supervisor(&sandbox, name, move || {
            both.wait();
            answer.clone()
        });
    }

    let stdout = sandbox.succeed(&["ps"]);

    for shown in ["one  pid 1, reloading", "two  pid 1, reloading"] {
        assert!(stdout.contains(shown), "{stdout:?}");
    }
}

#[test]
fn reload_replaces_all_workers_and_prints_the_time() {
    let sandbox = Sandbox::new();
    let web = sandbox.run_web(&[]);
    let before = web.pids(2);

    for arguments in [["reload", "web"].as_slice(), &["reload", "--rolling"]] {
        let stdout = sandbox.succeed(arguments);
        assert!(stdout.contains("web: replaced 2 workers in "), "{stdout}");
    }

    eventually("the old workers end", || {
        !before.iter().any(|pid| lives(*pid))
    });
    assert!(web.pids(6)[4..].iter().all(|pid| lives(*pid)));
}

#[test]
fn a_failed_reload_prints_the_reason_and_the_old_workers_keep_running() {
    let sandbox = Sandbox::new();
    let program = sandbox.put_program("server", "echo up $$; exec sleep 1000");
    // The time in which the second version must have ended, also on a busy machine.
    let mut command = sandbox.command();
    command.args(["run", "--ready-after=2s", "--workers=2", "--"]);
    let web = Running::start(command.arg(program));
    web.stderr.wait_count("is ready", 2);
    let before = web.pids(2);

    sandbox.put_program("server", "echo no such table; exit 7");
    let (stderr, code) = sandbox.fail(&["reload"]);

    assert_eq!(code, 1);
    for part in [
        "cannot reload server",
        "status 7",
        "no such table",
        "keep running",
    ] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert!(before.iter().all(|pid| lives(*pid)));
}

#[test]
fn a_queued_reload_is_reported() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    let options = [
        "run",
        "--name=web",
        "--workers=1",
        "--ready-timeout=1h",
        "--",
    ];
    // It never reports readiness.
    let web = Running::start(command.args(options).args(STAYS));
    web.stderr.wait_for("worker 0 started");

    let first = Running::start(sandbox.command().args(["reload", "web"]));
    web.stderr.wait_for("reloading 1 worker");
    let second = Running::start(sandbox.command().args(["reload", "web"]));

    let stderr = second.stderr.wait_for("web: ");
    assert!(
        stderr.contains("waiting for another reload to finish"),
        "{stderr}"
    );
    assert!(first.stdout.all().is_empty());
}

#[test]
fn scale_changes_the_number_of_workers() {
    let sandbox = Sandbox::new();
    let web = sandbox.run_web(&[]);

    let stdout = sandbox.succeed(&["scale", "4"]);
    assert!(stdout.contains("web: from 2 to 4 workers"), "{stdout}");
    let workers = web.pids(4);
    sandbox.succeed(&["scale", "web", "1"]);
    eventually("three end", || {
        workers.iter().filter(|pid| lives(**pid)).count() == 1
    });

    let stdout = sandbox.succeed(&["scale", "1"]);
    assert!(stdout.contains("web: already has 1 worker"), "{stdout}");
    let (stderr, code) = sandbox.fail(&["scale", "web", "0"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("expected 1 to 1024"), "{stderr}");
    let (stderr, _) = sandbox.fail(&["scale", "web"]);
    let cure = "missing number of workers: write `tidings scale web 6`";
    assert!(stderr.contains(cure), "{stderr}");
}

#[test]
fn stop_is_graceful() {
    let sandbox = Sandbox::new();
    let mut web = sandbox.run_web(&[]);
    let stdout = sandbox.succeed(&["stop"]);
    assert!(stdout.contains("web: stopped"), "{stdout}");
    assert_eq!(web.code(), 0);
}

#[test]
fn stop_now_kills_the_workers() {
    let sandbox = Sandbox::new();
    let mut web = sandbox.run(
        &["--name=web", "--workers=2", "--stop-timeout=1h"],
        &STUBBORN,
    );
    let workers = web.pids(2);

    let output = sandbox.tidings(&["stop", "web", "--now"]);

    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("web: stopped, 2 workers had to be killed"),
        "{stdout}"
    );
    assert_eq!((output.status.code(), web.code()), (Some(3), 3));
    assert!(!workers.iter().any(|pid| lives(*pid)));
}

#[test]
fn with_several_supervisors_a_valid_name_is_required() {
    let sandbox = Sandbox::new();
    let (stderr, code) = sandbox.fail(&["reload"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no supervisor is running"), "{stderr}");
    assert!(stderr.contains("help: start one"), "{stderr}");

    let _web = sandbox.run_web(&[]);
    let jobs = sandbox.run(&["--name=jobs", "--workers=1"], &STAYS);
    jobs.stderr.wait_for("is ready");
    for command in ["reload", "stop"] {
        let (stderr, code) = sandbox.fail(&[command]);
        assert_eq!(code, 1);
        assert!(
            stderr.contains("several supervisors are running: jobs, web"),
            "{stderr}"
        );
        assert!(
            stderr.contains("help: add the name of the supervisor"),
            "{stderr}"
        );
    }
    let (stderr, _) = sandbox.fail(&["ps", "mail"]);
    assert!(
        stderr.contains("named `mail` is running; these are: jobs, web"),
        "{stderr}"
    );
}

/// Only root can change its user.
#[test]
fn another_user_is_refused_and_reported() {
    if !geteuid().is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let web = sandbox.run_web(&[]);
    // Give all users access to the socket.
    let socket = sandbox.path("runtime/web/control");
    for path in socket
        .ancestors()
        .take_while(|it| it.starts_with(sandbox.directory.path()))
    {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
    let program = sandbox.path("tidings");
    copy(Path::new(env!("CARGO_BIN_EXE_tidings")), &program);

    let mut command = Command::new(&program);
    let command = command
        .args(["stop", "web", "--now"])
        .uid(65_534)
        .gid(65_534);
    let output = command
        .env("TIDINGS_RUNTIME_DIR", sandbox.path("runtime"))
        .output()
        .unwrap();

    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("belongs to another user"), "{stderr}");
    let warning = web.stderr.wait_for("rejected a request of another user");
    assert!(
        warning.contains("WARN") && warning.contains("uid=65534"),
        "{warning}"
    );
    assert!(web.pids(2).iter().all(|pid| lives(*pid)));
}
