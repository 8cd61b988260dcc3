//! `tidings` on a terminal.

use serde_json::Value;

use crate::fleet::Fleet;
use crate::pty::Terminal;

/// Starts `tidings` on a terminal.
fn on_terminal(fleet: &Fleet, arguments: &[&str], columns: u16) -> Terminal {
    Terminal::start(fleet.command().args(arguments), columns)
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_members_are_redrawn_in_place_and_the_terminal_is_left_as_it_was() {
    let fleet = Fleet::start().await;
    let _first = fleet.member("api-1").await;
    let mut terminal = on_terminal(&fleet, &["members", "--watch"], 120);
    let before = terminal.modes();
    terminal.wait_for("1 member of shop at redis://");
    let second = fleet.member("api-2").await;
    let lines = terminal.wait_for("2 members of shop at redis://");
    assert_eq!(lines.len(), 5, "{lines:#?}");
    second
        .shutdown(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    terminal.wait_for("1 member of shop at redis://");

    terminal.enter("\u{3}");

    let after = terminal.modes();
    assert_eq!(after.local_modes, before.local_modes);
    let (code, lines) = terminal.end();
    assert_eq!(code, 0);
    let headings = lines.iter().filter(|line| line.starts_with("NAME "));
    assert_eq!(headings.count(), 1, "{lines:#?}");
    assert!(lines.len() <= 5, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_redrawn_in_place_below_the_losses() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let mut terminal = on_terminal(&fleet, &["listen", "--rates"], 120);
    terminal.wait_for("listening to shop");
    bus.send_to_all("tick", &1).await.unwrap();
    terminal.wait_for("1/s  tick");
    fleet
        .redis
        .command(&["PUBLISH", "tidings:{shop}", "{\"v\":1,\u{1b}[2J"])
        .await;
    terminal.wait_for("bytes that cannot be read");
    bus.send_to_all("tock", &1).await.unwrap();
    let lines = terminal.wait_for("1/s  tock");
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[1].contains("bytes that cannot be read"), "{lines:#?}");
    // The block of the next second is in its place.
    let lines = terminal.wait_until(|lines| !lines.iter().any(|line| line.contains("tock")));
    assert_eq!(lines.len(), 3, "{lines:#?}");
    terminal.enter("\u{3}");
    let (code, lines) = terminal.end();
    assert_eq!(code, 0);
    assert!(
        lines.last().unwrap().contains("2 events of 1 node"),
        "{lines:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_stream_with_code_0() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let value = bus.shared::<Value>("limits").unwrap();
    value.set(&1.into()).await.unwrap();
    for (arguments, begun) in [
        (&["listen"][..], "listening to shop"),
        (&["state", "watch", "limits"], "version 1"),
        (&["members", "--watch", "--json"], "api-1"),
    ] {
        let mut terminal = on_terminal(&fleet, arguments, 200);
        terminal.wait_for(begun);
        terminal.enter("\u{3}");
        let (code, lines) = terminal.end();
        assert_eq!(code, 0, "{arguments:?} {lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_protected_context_is_asked_for() {
    let fleet = Fleet::start().await;
    let config = format!(
        "[contexts.prod]\nurl = \"{}\"\nprotect = true\n",
        fleet.redis.url()
    );
    fleet.write(".config/tidings/config.toml", &config);
    let ask = |answer: &str| {
        let mut terminal = on_terminal(&fleet, &["send", "tick", "-c", "prod"], 80);
        terminal.wait_for("Type its name to go on: prod");
        terminal.enter(answer);
        terminal.end()
    };
    let (code, lines) = ask("prod\n");
    assert_eq!(code, 0, "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("sent tick"), "{lines:#?}");
    for answer in ["dev\n", "\n", "\u{4}"] {
        let (code, lines) = ask(answer);
        assert_eq!(code, 1, "{lines:#?}");
        let last = lines.last().unwrap();
        assert!(last.contains("nothing was done"), "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_is_confirmed() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let value = bus.shared::<Value>("limits").unwrap();
    value.set(&1.into()).await.unwrap();
    let ask = |answer: &str| {
        let mut terminal = on_terminal(&fleet, &["state", "clear", "limits"], 80);
        terminal.wait_for("Remove the value of limits? [y/N]");
        terminal.enter(answer);
        terminal.end()
    };
    for answer in ["n\n", "\n", "yes, please\n"] {
        let (code, lines) = ask(answer);
        assert_eq!(code, 1, "{lines:#?}");
        assert!(
            lines.last().unwrap().contains("nothing was removed"),
            "{lines:#?}"
        );
    }
    assert!(value.refresh().await.unwrap().value().is_some());
    let (code, lines) = ask("y\n");
    assert_eq!(code, 0, "{lines:#?}");
    assert!(value.refresh().await.unwrap().value().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_cut_to_the_width_of_the_terminal_and_not_elsewhere() {
    let fleet = Fleet::start().await;
    let name = "a-name-that-is-longer-than-a-terminal-is-wide";
    let _member = fleet.member_with(name, |bus| bus.role(name)).await;
    let (code, lines) = on_terminal(&fleet, &["members"], 90).end();
    assert_eq!(code, 0);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[1].contains('…') && !lines[1].contains(name),
        "{lines:#?}"
    );
    let (_, lines) = on_terminal(&fleet, &["members"], 250).end();
    assert!(lines[1].contains(name), "{lines:#?}");
    assert!(fleet.succeed(&["members"]).contains(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn colors_are_on_and_no_color_turns_them_off() {
    let fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    for arguments in [&["members"][..], &["listen", "--for", "1ms", "--rates"]] {
        let has_color = |set: &dyn Fn(&mut std::process::Command)| {
            let mut command = fleet.command();
            set(command.args(arguments));
            let terminal = Terminal::start(&command, 120);
            terminal.wait_for("shop at redis://");
            let has_color = terminal.has_color();
            terminal.end();
            has_color
        };
        assert!(has_color(&|_| {}), "{arguments:?}");
        let no_color = |command: &mut std::process::Command| {
            command.env("NO_COLOR", "1");
        };
        assert!(!has_color(&no_color), "{arguments:?}");
        let never = |command: &mut std::process::Command| {
            command.args(["--color", "never"]);
        };
        assert!(!has_color(&never), "{arguments:?}");
    }
}
