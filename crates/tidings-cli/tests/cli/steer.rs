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

use crate::support::{Place, Running, STAYS, STUBBORN, copy, eventually, lives, text};

#[test]
fn ps_shows_all_workers_as_a_table() {
    let place = Place::new();
    let nobody = format!(
        "no supervisor runs; looked in {}\n",
        place.path("runtime").display()
    );
    assert_eq!(place.said(&["ps"]), nobody);
    let _web = place.run_web(&["--listen=127.0.0.1:0"]);
    let jobs = place.run(&["--name=jobs", "--workers=1"], &STAYS);
    jobs.stderr.wait_for("is ready");

    let said = place.said(&["ps"]);

    let (about, table) = said.split_once("\n\n").unwrap();
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
    assert_eq!(place.said(&["ps", "jobs"]).lines().count(), 4);
}

#[test]
fn ps_shows_what_became_of_a_worker() {
    let place = Place::new();
    let program = ["sh", "-c", "[ $WORKER_ID = 0 ] || exec sleep 1000; exit 7"];
    let options = ["--workers=2", "--crash-loop=1/60s"];
    let running = place.run(&options, &program);
    running.stderr.wait_for("slot 0 failed");
    running.stderr.wait_for("worker 1 is ready");

    let table = place.said(&["ps"]);
    let row = table.lines().nth(3).unwrap();
    assert!(
        row.contains("failed") && row.ends_with("exited with status 7"),
        "{table}"
    );
}

#[test]
fn ps_is_also_json() {
    let place = Place::new();
    assert_eq!(place.said(&["ps", "--json"]), "[]\n");
    let _web = place.run_web(&[]);

    let fleets: serde_json::Value = serde_json::from_str(&place.said(&["ps", "--json"])).unwrap();

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
fn ps_complains_of_who_does_not_answer_and_shows_the_others() {
    let place = Place::new();
    let _web = place.run_web(&[]);
    let stopped = place.run(&["--name=stopped", "--workers=1"], &STAYS);
    stopped.stderr.wait_for("is ready");
    stopped.signal(Signal::STOP);

    let output = place.tidings(&["ps"]);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).matches("  ready  ").count(), 2);
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains("`stopped` gives no answer"),
        "{complaint}"
    );
    let (complaint, code) = place.refused(&["stop", "stopped", "--now"]);
    assert_eq!(code, 1, "{complaint}");
}

/// A foreign program in the place of a supervisor, which answers each request with this line.
fn answer_as(place: &Place, name: &str, answer: impl Fn() -> String + Send + 'static) {
    let home = place.path("runtime").join(name);
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(place.path("runtime"), Permissions::from_mode(0o700)).unwrap();
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
fn ps_shows_text_of_other_processes_escaped_in_one_line() {
    let place = Place::new();
    let hostile = r"x\nweb  pid 7\u202e\u009b2J";
    let answer = format!(
        r#"{{"response":"status","name":"name {hostile}","pid":1,"command":["{hostile}"],"listen":["at {hostile}"],"slots":1,"is_reloading":false,"workers":[{{"slot":0,"pid":null,"state":"waiting","uptime":0.0,"restarts":1,"last_exit":{{"not_started":"why {hostile}"}}}}]}}"#
    );
    answer_as(&place, "hostile", move || answer.clone());

    let said = place.said(&["ps"]);
    let json = place.said(&["ps", "--json"]);

    let escaped = r"x\nweb  pid 7\u{202e}\u{9b}2J";
    let about = format!("name {escaped}  pid 1, listening on at {escaped}");
    assert_eq!(said.lines().next(), Some(&*about), "{said:?}");
    assert!(
        said.ends_with(&format!("cannot start: why {escaped}\n")),
        "{said:?}"
    );
    assert_eq!(said.lines().count(), 4, "{said:?}");
    assert!(json.is_ascii(), "{json:?}");
    assert!(json.contains(r"x\nweb  pid 7\u202e\u009b2J"), "{json:?}");
}

#[test]
fn what_another_supervisor_refuses_with_is_shown_escaped() {
    let place = Place::new();
    let why = r"no\n  because \u202eof \u001b]0;title\u0007this";
    let answer =
        format!(r#"{{"response":"rejected","kind":"invalid_worker_count","why":"{why}"}}"#);
    answer_as(&place, "hostile", move || answer.clone());

    let (complaint, _) = place.refused(&["scale", "2"]);

    assert!(
        complaint.contains("no\n  because \\u{202e}of this"),
        "{complaint:?}"
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_shown_escaped() {
    let place = Place::new();
    answer_as(&place, "hostile", || {
        r#"{"response":"x\n\u202ey"}"#.to_owned()
    });

    let (complaint, _) = place.refused(&["stop"]);

    assert_eq!(complaint.lines().count(), 1, "{complaint:?}");
    assert!(complaint.contains(r"x\n\u{202e}y"), "{complaint:?}");
}

/// Each answers only once both have been asked.
#[test]
fn ps_asks_all_at_once() {
    let place = Place::new();
    let both = Arc::new(Barrier::new(2));
    for name in ["one", "two"] {
        let both = Arc::clone(&both);
        let answer = format!(
            r#"{{"response":"status","name":"{name}\u001b[2J","pid":1,"command":[],"slots":0,"is_reloading":true,"workers":[]}}"#
        );
        answer_as(&place, name, move || {
            both.wait();
            answer.clone()
        });
    }

    let said = place.said(&["ps"]);

    for shown in ["one  pid 1, reloading", "two  pid 1, reloading"] {
        assert!(said.contains(shown), "{said:?}");
    }
}

#[test]
fn reload_replaces_all_workers_and_says_how_long_it_took() {
    let place = Place::new();
    let web = place.run_web(&[]);
    let before = web.pids(2);

    for arguments in [["reload", "web"].as_slice(), &["reload", "--rolling"]] {
        let said = place.said(arguments);
        assert!(said.contains("web: replaced 2 workers in "), "{said}");
    }

    eventually("the elders end", || !before.iter().any(|pid| lives(*pid)));
    assert!(web.pids(6)[4..].iter().all(|pid| lives(*pid)));
}

#[test]
fn a_failed_reload_says_why_and_the_old_workers_keep_running() {
    let place = Place::new();
    let program = place.put_program("server", "echo up $$; exec sleep 1000");
    let web = place.run(&["--workers=2"], &[program.to_str().unwrap()]);
    web.stderr.wait_count("is ready", 2);
    let before = web.pids(2);

    place.put_program("server", "echo no such table; exit 7");
    let (complaint, code) = place.refused(&["reload"]);

    assert_eq!(code, 1);
    for part in [
        "server is not reloaded",
        "status 7",
        "no such table",
        "keep running",
    ] {
        assert!(complaint.contains(part), "{complaint}");
    }
    assert!(before.iter().all(|pid| lives(*pid)));
}

#[test]
fn a_reload_that_waits_for_another_says_so() {
    let place = Place::new();
    let mut command = place.command();
    let options = [
        "run",
        "--name=web",
        "--workers=1",
        "--ready-timeout=1h",
        "--",
    ];
    // It never says that it is ready.
    let web = Running::start(command.args(options).args(STAYS));
    web.stderr.wait_for("worker 0 started");

    let first = Running::start(place.command().args(["reload", "web"]));
    web.stderr.wait_for("reloading 1 worker");
    let second = Running::start(place.command().args(["reload", "web"]));

    let said = second.stdout.wait_for("web: ");
    assert!(said.contains("this one begins after it"), "{said}");
    assert!(first.stdout.all().is_empty());
}

#[test]
fn scale_changes_the_number_of_workers() {
    let place = Place::new();
    let web = place.run_web(&[]);

    let said = place.said(&["scale", "4"]);
    assert!(said.contains("web: from 2 to 4 workers"), "{said}");
    let workers = web.pids(4);
    place.said(&["scale", "web", "1"]);
    eventually("three end", || {
        workers.iter().filter(|pid| lives(**pid)).count() == 1
    });

    let said = place.said(&["scale", "1"]);
    assert!(said.contains("web: has 1 worker already"), "{said}");
    let (complaint, code) = place.refused(&["scale", "web", "0"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("there can be 1 to 1024"), "{complaint}");
    let (complaint, _) = place.refused(&["scale", "web"]);
    let asks = "how many? `tidings scale web 6`";
    assert!(complaint.contains(asks), "{complaint}");
}

#[test]
fn stop_lets_all_workers_finish() {
    let place = Place::new();
    let mut web = place.run_web(&[]);
    let said = place.said(&["stop"]);
    assert!(said.contains("web: stopped"), "{said}");
    assert_eq!(web.code(), 0);
}

#[test]
fn stop_now_kills_them() {
    let place = Place::new();
    let mut web = place.run(
        &["--name=web", "--workers=2", "--stop-timeout=1h"],
        &STUBBORN,
    );
    let workers = web.pids(2);

    let output = place.tidings(&["stop", "web", "--now"]);

    let said = text(&output.stdout);
    assert!(
        said.contains("web: stopped, 2 workers had to be killed"),
        "{said}"
    );
    assert_eq!((output.status.code(), web.code()), (Some(3), 3));
    assert!(!workers.iter().any(|pid| lives(*pid)));
}

#[test]
fn a_name_is_needed_when_several_run_and_has_to_be_one_of_them() {
    let place = Place::new();
    let (complaint, code) = place.refused(&["reload"]);
    assert_eq!(code, 1);
    assert!(complaint.contains("no supervisor runs"), "{complaint}");
    assert!(complaint.contains("help: start one"), "{complaint}");

    let _web = place.run_web(&[]);
    let jobs = place.run(&["--name=jobs", "--workers=1"], &STAYS);
    jobs.stderr.wait_for("is ready");
    for command in ["reload", "stop"] {
        let (complaint, code) = place.refused(&[command]);
        assert_eq!(code, 1);
        assert!(
            complaint.contains("several supervisors run: jobs, web"),
            "{complaint}"
        );
        assert!(complaint.contains("help: say which one"), "{complaint}");
    }
    let (complaint, _) = place.refused(&["ps", "mail"]);
    assert!(
        complaint.contains("named `mail` runs; these do: jobs, web"),
        "{complaint}"
    );
}

/// Only root can be somebody else.
#[test]
fn another_user_is_refused_and_reported() {
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let web = place.run_web(&[]);
    // As if somebody had opened the way to the socket.
    let socket = place.path("runtime/web/control");
    for way in socket
        .ancestors()
        .take_while(|it| it.starts_with(place.directory.path()))
    {
        fs::set_permissions(way, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
    let program = place.path("tidings");
    copy(Path::new(env!("CARGO_BIN_EXE_tidings")), &program);

    let mut command = Command::new(&program);
    let command = command
        .args(["stop", "web", "--now"])
        .uid(65_534)
        .gid(65_534);
    let output = command
        .env("TIDINGS_RUNTIME_DIR", place.path("runtime"))
        .output()
        .unwrap();

    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("belongs to another user"), "{complaint}");
    let warning = web.stderr.wait_for("another user was refused");
    assert!(
        warning.contains("WARN") && warning.contains("uid=65534"),
        "{warning}"
    );
    assert!(web.pids(2).iter().all(|pid| lives(*pid)));
}
