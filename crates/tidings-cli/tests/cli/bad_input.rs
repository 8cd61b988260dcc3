//! Hostile texts, full disks, closed inputs and foreign bytes: each ends with a sentence, and none does
//! anything to the terminal.

use std::ffi::OsStr;
use std::fs::{File, Permissions, set_permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};
use tidings::NodeId;

use crate::every::{COMMANDS, member};
use crate::fleet::{Fleet, PASSWORD};
use crate::listen::listen;
use crate::pty::Terminal;
use crate::support::{Running, text};

/// Text that would clear the terminal, set its title, ring its bell or reverse a line.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{9b}2J\u{202e}\0\u{8}";

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn is_full_disk(arguments: &[&str], output: &Output) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    let sentence = "error: cannot write to standard output: No space left on device";
    assert!(stderr.contains(sentence), "{arguments:?}: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_of_every_command() {
    let fleet = Fleet::start().await;
    let _member = member(&fleet).await;
    let _web = fleet.sandbox.run_web(&[]);
    let local: &[&[&str]] = &[
        &["ps"],
        &["scale", "2"],
        &["acl"],
        &["context", "show"],
        &["completions", "bash"],
        &["members", "--watch"],
        &["members", "--watch", "--json"],
        &["state", "watch", "filled"],
    ];
    thread::scope(|scope| {
        for arguments in COMMANDS.iter().chain(local) {
            let fleet = &fleet;
            scope.spawn(move || {
                let output = fleet.command().args(*arguments).stdout(full()).output();
                is_full_disk(arguments, &output.unwrap());
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_a_stream_of_events() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    for arguments in [
        &["listen"][..],
        &["listen", "--json"],
        &["listen", "--rates"],
    ] {
        let mut command = fleet.command();
        command.args(arguments).stdout(full());
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let ended = thread::spawn(move || child.wait_with_output().unwrap());
        // One of them arrives after it has begun to listen.
        while !ended.is_finished() {
            bus.send_to_all("tick", &1).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        is_full_disk(arguments, &ended.join().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_input_is_an_empty_one() {
    let fleet = Fleet::start().await;
    let _member = member(&fleet).await;
    thread::scope(|scope| {
        for arguments in COMMANDS {
            let fleet = &fleet;
            scope.spawn(move || {
                let output = without_input(fleet, arguments);
                assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
            });
        }
    });
    let output = without_input(&fleet, &["send", "-"]);
    assert_eq!(text(&output.stdout), "sent 0 events\n");
    let output = without_input(&fleet, &["send", "tick", "-"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("the standard input is not JSON"),
        "{stderr}"
    );
    let output = without_input(&fleet, &["state", "clear", "filled"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("help: add --yes"), "{stderr}");
}

/// Runs `tidings` without a standard input.
fn without_input(fleet: &Fleet, arguments: &[&str]) -> Output {
    let mut shell = fleet.command_of("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" <&-"]);
    shell.arg(env!("CARGO_BIN_EXE_tidings")).args(arguments);
    shell.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_arguments_do_nothing_to_the_terminal() {
    let fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    // An argument cannot have a NUL.
    let hostile = &HOSTILE.replace('\0', "");
    for arguments in [
        &["send", hostile][..],
        &["send", "tick", hostile],
        &["send", "tick", "--to", hostile],
        &["send", "tick", "--header", hostile],
        &["send", "tick", "--file", hostile],
        &["request", hostile],
        &["members", hostile],
        &["state", "get", hostile],
        &["map", "get", hostile, hostile],
        &["counter", "get", hostile],
        &["journal", "remove", hostile, "--yes"],
        &["members", "-n", hostile],
        &["members", "-c", hostile],
        &["members", "--url", hostile],
        &["stop", hostile],
        &[hostile],
    ] {
        let (code, lines) = Terminal::start(fleet.command().args(arguments), 80).end();
        assert_ne!(code, 0, "{arguments:?} {lines:#?}");
        assert!(lines[0].starts_with("error: "), "{arguments:?} {lines:#?}");
    }
}

#[test]
fn arguments_that_are_not_utf_8_are_an_error_of_usage() {
    let sandbox = crate::support::Sandbox::new();
    let foreign = OsStr::from_bytes(b"x\xff\x9b2J");
    for name in ["send", "members", "run"] {
        let mut command = sandbox.command();
        let output = command.arg(name).arg(foreign).arg(foreign).output();
        let output = output.unwrap();
        assert!(!output.stderr.contains(&0x9b), "{output:?}");
        let code = output.status.code();
        assert!(matches!(code, Some(1 | 2)), "{name}: {output:?}");
        assert!(text(&output.stderr).contains("error: "), "{output:?}");
    }
    let mut command = sandbox.command();
    let output = command.arg("members").env("TIDINGS_NAMESPACE", foreign);
    let output = output.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("TIDINGS_NAMESPACE is not UTF-8"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_hostile_events_do_nothing_to_the_terminal() {
    let fleet = Fleet::start().await;
    let bus = fleet.member(HOSTILE).await;
    let mut terminal = Terminal::start(fleet.command().arg("listen"), 100);
    terminal.wait_for("listening to shop");
    let json = listen(&fleet, &["--json"]);
    // Nearly 1 MiB on the wire.
    let large = HOSTILE.repeat(15_000);
    bus.send_to_all("tick", &large).await.unwrap();
    let object = json!({ HOSTILE: HOSTILE });
    let sent = bus.send_to_all("tick", &object);
    sent.header("tenant", HOSTILE).await.unwrap();
    // A frame that is too large, and bytes that are no text.
    publish(&fleet, "\u{1b}[2J".repeat(1 << 19).as_bytes());
    publish(&fleet, b"{\"v\":1,\0\xff\xfe\x9b2J\x1b[2J");
    bus.send_to_all("last", &1).await.unwrap();

    terminal.wait_for("last  1");
    terminal.enter("\u{3}");
    let (code, lines) = terminal.end();
    json.stdout.wait_for("\"event\":\"last\"");

    assert_eq!(code, 0, "{lines:#?}");
    let lines = json.stdout.all();
    let printed: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(printed[0]["data"], large);
    assert_eq!(printed[1]["data"], object);
    assert!(printed[2]["unreadable"].is_object() && printed[3]["unreadable"].is_object());
    let is_control = |it: char| it.is_control() || it == '\u{202e}';
    assert!(!lines.concat().contains(is_control));
}

/// Publishes bytes that may be no text.
fn publish(fleet: &Fleet, bytes: &[u8]) {
    let mut connection = TcpStream::connect(fleet.redis.address()).unwrap();
    let channel = "tidings:{shop}";
    let begin = format!(
        "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n",
        channel.len(),
        bytes.len()
    );
    let command = [begin.as_bytes(), bytes, b"\r\n"].concat();
    connection.write_all(&command).unwrap();
    // The answer is the number of subscribers.
    let mut answer = [0];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b":");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_failures_and_values_do_nothing_to_the_terminal() {
    let fleet = Fleet::start().await;
    let fail = |_: Value| async { Err::<(), tidings::HandlerError>(HOSTILE.repeat(9).into()) };
    let bus = fleet.member_with(HOSTILE, |bus| {
        bus.role("api").version(HOSTILE).on("tick", fail)
    });
    let bus = bus.await;
    let state = bus.shared::<Value>("limits").unwrap();
    state.set(&json!({ HOSTILE: HOSTILE })).await.unwrap();
    let map = bus.map::<String, Value>("users").unwrap();
    let key = HOSTILE.to_owned();
    map.set(&key, &json!(HOSTILE)).await.unwrap();
    let id = bus.id().to_string();
    for (arguments, expected) in [
        (&["send", "tick", "--ack"][..], 3),
        (&["request", "tick"], 3),
        (&["members"], 0),
        (&["members", &id], 0),
        (&["state", "get", "limits"], 0),
        (&["map", "ls", "users"], 0),
    ] {
        for json in [None, Some("--json")] {
            let mut command = fleet.command();
            command.args(arguments).args(json);
            let (code, lines) = Terminal::start(&command, 200).end();
            assert_eq!(code, expected, "{arguments:?} {lines:#?}");
            let is_foreign = |it: char| it.is_control() || it == '\u{202e}';
            assert!(!lines.concat().contains(is_foreign), "{lines:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_event_of_a_newer_version_disturbs_nothing() {
    let fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    let plain = listen(&fleet, &["--json"]);
    let control = listen(&fleet, &["--control"]);
    let node = NodeId::new(7);
    let frame = format!(
        r#"{{"v":1,"from":"{node}","seq":1,"events":[{{"event":"tidings.future","meta":{{"request":"1"}},"data":{{"x":1}}}},{{"event":"tick","data":1}}]}}"#
    );
    publish(&fleet, frame.as_bytes());

    control.stdout.wait_for("tidings.future  {\"x\":1}");
    control.stdout.wait_for("tick  1");
    plain.stdout.wait_for("\"event\":\"tick\"");
    assert_eq!(plain.stdout.count("tidings.future"), 0);
    assert_eq!(fleet.answer(&["members"]).1, 0);
    for mut running in [plain, control] {
        running.signal(Signal::INT);
        assert_eq!(running.code(), 0);
    }
}

#[test]
fn a_command_or_an_option_of_a_newer_version_is_an_error_that_names_it() {
    let sandbox = crate::support::Sandbox::new();
    for arguments in [&["frobnicate"][..], &["members", "--frobnicate"]] {
        let (stderr, code) = sandbox.fail(arguments);
        assert_eq!(code, 2, "{stderr}");
        assert!(
            stderr.contains("frobnicate") && stderr.contains("--help"),
            "{stderr}"
        );
    }
}

/// Runs `tidings members` with a password file of this mode.
fn with_password_file(fleet: &Fleet, mode: u32, arguments: &[&str]) -> (String, Option<i32>) {
    fleet.write("password", PASSWORD);
    let path = fleet.sandbox.path("password");
    set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let mut command: Command = fleet.command();
    let address = format!("redis://{}", fleet.redis.address());
    command
        .env("TIDINGS_URL", address)
        .env("TIDINGS_PASSWORD_FILE", path);
    let output = command.arg("members").args(arguments).output().unwrap();
    (text(&output.stderr), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_that_others_can_read_is_warned_of_and_one_that_they_can_change_is_refused()
{
    let fleet = Fleet::start_with(|redis| redis.password(PASSWORD)).await;
    for mode in [0o600, 0o400, 0o440] {
        assert_eq!(
            with_password_file(&fleet, mode, &[]),
            (String::new(), Some(0))
        );
    }
    let (stderr, code) = with_password_file(&fleet, 0o444, &[]);
    assert_eq!(code, Some(0), "{stderr}");
    let warning = "warning: other users can read the password file ";
    assert!(
        stderr.starts_with(warning) && stderr.contains("chmod 600"),
        "{stderr}"
    );
    assert_eq!(
        with_password_file(&fleet, 0o444, &["-q"]),
        (String::new(), Some(0))
    );
    for mode in [0o666, 0o620, 0o602] {
        let (stderr, code) = with_password_file(&fleet, mode, &[]);
        assert_eq!(code, Some(2), "{stderr}");
        let text = format!("has mode {mode:03o}, so that other users can change it");
        assert!(
            stderr.contains(&text) && stderr.contains("help: chmod 600 "),
            "{stderr}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_that_cannot_be_read_is_named() {
    let fleet = Fleet::start_with(|redis| redis.password(PASSWORD)).await;
    fleet.write("folder/file", "");
    for path in ["missing", "folder"] {
        let path = fleet.sandbox.path(path);
        let mut command = fleet.command();
        let address = format!("redis://{}", fleet.redis.address());
        command
            .env("TIDINGS_URL", address)
            .env("TIDINGS_PASSWORD_FILE", &path)
            .args(["members", "--timeout", "500ms"]);
        let output = command.output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let shown = path.display().to_string();
        assert!(
            stderr.contains("error: ") && stderr.contains(&shown),
            "{stderr}"
        );
    }
}

/// Such a read cannot be ended, nor can the look-up of a name whose server does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_in_time_while_its_password_file_cannot_be_read_to_the_end() {
    let fleet = Fleet::start().await;
    let path = fleet.sandbox.path("password");
    let mut made = Command::new("mkfifo");
    let made = made.args(["-m", "600"]).arg(&path).status();
    assert!(made.unwrap().success());
    let mut command = fleet.command();
    command
        .env("TIDINGS_URL", fleet.redis.url())
        .env("TIDINGS_PASSWORD_FILE", &path)
        .args(["members", "--timeout=200ms"]);
    let mut running = Running::start(&mut command);
    assert_eq!(running.code(), 1);
    running.stderr.wait_for("error: cannot reach redis://");
}

/// The reader of a pipe that has gone ends a stream before the next event is printed.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_a_pipe_ends_after_the_line_that_cannot_be_written() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = fleet.command();
    let mut running = Running::start_to(command.arg("listen"), writer.into());
    running.stderr.wait_for("listening to shop");
    bus.send_to_all("tick", &1).await.unwrap();
    assert_eq!(running.code(), 0);
}
