//! Contexts, files and the environment.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::fleet::{Fleet, PASSWORD};
use crate::schema::commands;
use crate::support::{Sandbox, text};

const CONFIG: &str = ".config/tidings/config.toml";

/// Runs `tidings` in the directory of the sandbox.
fn tidings(sandbox: &Sandbox, arguments: &[&str]) -> (String, String, i32) {
    let mut command = sandbox.command();
    let command = command
        .current_dir(sandbox.directory.path())
        .args(arguments);
    let output = command.output().unwrap();
    let code = output.status.code().unwrap();
    (text(&output.stdout), text(&output.stderr), code)
}

fn write(sandbox: &Sandbox, path: &str, text: &str, mode: u32) {
    let path = sandbox.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn context_show_says_where_each_setting_comes_from_without_passwords() {
    let sandbox = Sandbox::new();
    let config = format!(
        "context = \"dev\"\n[contexts.dev]\nurl = \"redis://shop:{PASSWORD}@10.0.0.7\"\nprotect = true\n"
    );
    write(&sandbox, CONFIG, &config, 0o600);
    write(&sandbox, "tidings.toml", "namespace = \"shop\"", 0o644);

    let (stdout, stderr, code) = tidings(&sandbox, &["context", "show"]);

    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    let rows: Vec<String> = stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let home = sandbox.directory.path().canonicalize().unwrap();
    let home = home.display();
    assert!(
        rows[1].starts_with("context dev ") && rows[1].ends_with("config.toml"),
        "{rows:?}"
    );
    assert_eq!(rows[2], "url redis://shop:…@10.0.0.7 context dev");
    assert_eq!(rows[3], format!("namespace shop {home}/tidings.toml"));
    assert_eq!(rows[4], "protect true context dev");
    let (stdout, ..) = tidings(&sandbox, &["context", "show", "--json", "-n", "other"]);
    let shown: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(shown["namespace"]["source"], "--namespace");
    assert!(!stdout.contains(PASSWORD));
}

#[test]
fn a_file_with_a_password_that_others_can_read_is_refused() {
    let sandbox = Sandbox::new();
    let config = format!("[contexts.dev]\nurl = \"redis://:{PASSWORD}@a\"\n");
    write(&sandbox, CONFIG, &config, 0o640);
    let (_, stderr, code) = tidings(&sandbox, &["context", "list"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("mode 640") && stderr.contains("help: chmod 600 "),
        "{stderr}"
    );
    assert!(!stderr.contains(PASSWORD), "{stderr}");
    write(&sandbox, CONFIG, &config, 0o600);
    assert_eq!(tidings(&sandbox, &["context", "list"]).2, 0);
    write(
        &sandbox,
        CONFIG,
        "[contexts.dev]\nurl = \"redis://a\"\n",
        0o644,
    );
    assert_eq!(tidings(&sandbox, &["context", "list"]).2, 0);
}

#[test]
fn a_file_of_a_project_with_a_password_or_a_program_is_refused() {
    let sandbox = Sandbox::new();
    for (text, why) in [
        (
            "url = \"redis://:hush@a\"",
            "has a user, a password or options",
        ),
        ("password_file = \"hush\"", "unknown field `password_file`"),
        ("command = \"hush\"", "unknown field `command`"),
    ] {
        write(&sandbox, "tidings.toml", text, 0o600);
        let (stdout, stderr, code) = tidings(&sandbox, &["members"]);
        assert_eq!((code, &*stdout), (2, ""), "{stderr}");
        assert!(
            stderr.contains(why) && stderr.contains("help: "),
            "{stderr}"
        );
        assert!(!stderr.contains("hush"), "{stderr}");
    }
    // It does not matter for commands without an address.
    assert_eq!(tidings(&sandbox, &["ps"]).2, 0);
}

#[test]
fn context_use_changes_one_line_and_context_list_marks_the_default() {
    let sandbox = Sandbox::new();
    let config = "# mine\ncontext = \"dev\"\n\n[contexts.dev]\nurl = \"redis://a\"\n\n[contexts.prod]\nurl = \"redis://b\" # b\nprotect = true\n";
    write(&sandbox, CONFIG, config, 0o600);

    let (_, stderr, code) = tidings(&sandbox, &["context", "use", "prod"]);

    assert_eq!(code, 0, "{stderr}");
    let changed = fs::read_to_string(sandbox.path(CONFIG)).unwrap();
    assert_eq!(changed, config.replace("\"dev\"", "\"prod\""));
    let mode = fs::metadata(sandbox.path(CONFIG))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (stdout, ..) = tidings(&sandbox, &["context", "list"]);
    assert!(
        stdout
            .lines()
            .nth(2)
            .unwrap()
            .ends_with("default, protected"),
        "{stdout}"
    );
    let (_, stderr, code) = tidings(&sandbox, &["context", "use", "other"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("are: dev, prod"), "{stderr}");
}

#[tokio::test]
async fn a_password_is_read_from_a_file_and_one_in_the_arguments_is_warned_of() {
    let fleet = Fleet::start_with(|redis| redis.password(PASSWORD)).await;
    write(&fleet.sandbox, "password", &format!("{PASSWORD}\n"), 0o600);
    let address = format!("redis://{}", fleet.redis.address());
    let members = |arguments: &[&str]| {
        let mut command = fleet.command();
        command.env("TIDINGS_PASSWORD_FILE", fleet.sandbox.path("password"));
        let output = command
            .env_remove("TIDINGS_URL")
            .arg("members")
            .args(arguments)
            .output()
            .unwrap();
        (
            text(&output.stdout),
            text(&output.stderr),
            output.status.code(),
        )
    };
    let (stdout, stderr, code) = members(&["--url", &address]);
    assert_eq!((code, &*stderr), (Some(0), ""), "{stdout}");
    let (stdout, stderr) = {
        let output = fleet.tidings(&["members", "--url", &fleet.redis.url()]);
        (text(&output.stdout), text(&output.stderr))
    };
    assert!(
        stderr.contains("warning: other users of this machine can see the password"),
        "{stderr}"
    );
    assert!(
        !stderr.contains(PASSWORD) && !stdout.contains(PASSWORD),
        "{stdout}"
    );
}

#[test]
fn settings_that_are_not_valid_are_errors_of_usage() {
    let sandbox = Sandbox::new();
    for arguments in [
        ["members", "--url", "http://a"],
        ["members", "--namespace", "a b"],
        ["members", "--context", "other"],
        ["members", "--timeout", "5"],
        ["members", "--timeout", "0s"],
        ["acl", "--user", "a b"],
        ["members", "--no-such-option", "5"],
    ] {
        let (stdout, stderr, code) = tidings(&sandbox, &arguments);
        assert_eq!((code, &*stdout), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains("error: "), "{stderr}");
    }
}

#[test]
fn without_a_home_directory_the_missing_variable_is_named() {
    let sandbox = Sandbox::new();
    for (arguments, code) in [
        (["context", "list"].as_slice(), 0),
        (&["context", "use", "x"], 2),
    ] {
        let mut command = sandbox.command();
        let output = command.args(arguments).env_remove("HOME").output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.contains("~/.config/tidings/config.toml (HOME is not set)"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn an_address_and_a_context_contradict_each_other() {
    let fleet = Fleet::start().await;
    let url = fleet.redis.url();
    let (stderr, code) = fleet.fail(&["--url", &url, "members", "--context", "dev"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("`--url` and `--context` both name an address"),
        "{stderr}"
    );
}

#[test]
fn the_help_groups_the_commands() {
    let sandbox = Sandbox::new();
    let (help, ..) = tidings(&sandbox, &["--help"]);
    for group in [
        "\nEvents:\n  send ",
        "\nFleet:\n  members ",
        "\nWorkers:\n  run ",
        "\nItself:\n  context ",
        "\nExit codes:\n",
    ] {
        assert!(help.contains(group), "{help}");
    }
}

#[test]
fn completions_know_the_commands_in_each_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, stderr, code) = tidings(&sandbox, &["completions", shell]);
        assert_eq!(code, 0, "{stderr}");
        for word in ["members", "listen", "namespace", "if-version"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(tidings(&sandbox, &["completions", "other"]).2, 2);
    let bash = tidings(&sandbox, &["completions", "bash"]).0;
    fs::write(sandbox.path("completions"), bash).unwrap();
    let mut check = Command::new("bash");
    let checked = check.arg("-n").arg(sandbox.path("completions")).status();
    assert!(checked.unwrap().success());
}

#[test]
fn each_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let directory = sandbox.path("share/man1");
    let path = directory.to_str().unwrap();
    assert_eq!(tidings(&sandbox, &["man", path, "--quiet"]).2, 0);
    assert!(directory.join("tidings.1").exists());
    for command in commands(&sandbox) {
        let page = fs::read_to_string(directory.join(format!("tidings-{command}.1"))).unwrap();
        assert!(page.contains("Examples:"), "{command}");
    }
    let file = sandbox.path("file");
    fs::write(&file, "").unwrap();
    let (_, stderr, code) = tidings(&sandbox, &["man", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("cannot write the manual pages into "),
        "{stderr}"
    );
}
