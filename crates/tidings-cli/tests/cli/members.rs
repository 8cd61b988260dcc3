//! `tidings members`.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tidings::acl::Permissions;
use tidings::{Bus, BusBuilder, HandlerError, NodeId};

use crate::fleet::{Fleet, NAMESPACE, PASSWORD, objects};
use crate::schema;
use crate::support::{Running, eventually, text};

/// Text that would clear the terminal, set its title or reverse the line.
const HOSTILE: &str = "x\u{1b}[2J\r\nok\u{9b}2J\u{202e}\0";

/// Returns the lines of a table as words.
fn words(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines();
    lines
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_a_table_with_the_address_below() {
    let fleet = Fleet::start().await;
    let none = format!("no members of shop at {}\n", fleet.redis.url());
    assert_eq!(fleet.succeed(&["members"]), none);
    let described = |name| fleet.member_with(name, |bus| bus.role("api").version("1.4.0"));
    let (first, _second) = (described("api-1").await, described("api-2").await);

    let stdout = fleet.succeed(&["members"]);

    let lines = words(&stdout);
    assert_eq!(
        lines[0].join(" "),
        "NAME ROLE VERSION HOST PID SINCE RECEIVES GAPS NODE"
    );
    assert_eq!(lines[1][..3], ["api-1", "api", "1.4.0"]);
    let id = first.id().to_string();
    assert!(lines[1].ends_with(&["yes", "0", &id[..8]]), "{stdout}");
    assert_eq!(lines[2][0], "api-2");
    let about = format!("2 members of shop at {}", fleet.redis.url());
    assert_eq!(stdout.lines().last(), Some(&*about));
    let objects = fleet.json(&["members"]);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["name"], "api-1");
    assert_eq!(objects[0]["id"], id);
    let answered = json!([true, 0, 0, null]);
    let fields = ["receives", "gaps", "missed", "error"].map(|field| &objects[0][field]);
    assert_eq!(json!(fields), answered);
}

/// While `tidings` runs, the member of this thread does not.
#[tokio::test]
async fn a_member_that_does_not_answer_is_named_with_code_3() {
    let fleet = Fleet::start().await;
    let _stuck = fleet.member("job-1").await;

    let (stdout, code) = fleet.answer(&["members"]);

    assert_eq!(code, 3, "{stdout}");
    let line = stdout.lines().nth(1).unwrap();
    assert!(line.contains("  no        -"), "{stdout}");
    assert!(line.ends_with("  no response within 1s"), "{stdout}");
    let (stdout, code) = fleet.answer(&["members", "job-1", "--timeout", "700ms"]);
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("no response within 700ms"), "{stdout}");
    let (stdout, code) = fleet.answer(&["members", "--json", "--timeout", "700ms"]);
    let member = &objects(&stdout)[0];
    assert_eq!((code, &member["receives"]), (3, &json!(false)));
    assert_eq!(member["error"], "no response within 700ms");
    assert!(member["gaps"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_inspection_is_not_reproached_for_it() {
    let fleet = Fleet::start().await;
    let _member = fleet
        .member_with("api-1", |bus| bus.inspection(false))
        .await;
    let (stdout, code) = fleet.answer(&["members"]);
    assert_eq!(code, 0, "{stdout}");
    let line = stdout.lines().nth(1).unwrap();
    assert!(line.ends_with("  inspection is off"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_also_for_a_user_who_cannot_ask_them() {
    let rules = Permissions::of_bus(NAMESPACE).unwrap();
    let rules = rules.be_member().check_role().to_string();
    let user = format!("reader on >{PASSWORD} {rules} -publish");
    let fleet = Fleet::start_with(|redis| redis.user(user)).await;
    let _member = fleet.member("api-1").await;
    let url = fleet.redis.url_as("reader", PASSWORD);
    let mut command = fleet.command();
    let output = command.env("TIDINGS_URL", url).arg("members").output();
    let output = output.unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(stdout.contains("not asked: "), "{stdout}");
}

/// A member with a handler that fails once and succeeds once, and with a gap.
async fn troubled(fleet: &Fleet) -> Bus {
    let pay = async |amount: i64| {
        if amount < 0 {
            return Err::<(), HandlerError>(HOSTILE.into());
        }
        Ok(())
    };
    let handlers = |bus: BusBuilder| bus.on("paid", pay).on("tick", |_: Value| async {});
    let member = fleet.member_with("api-1", handlers).await;
    for amount in [7, -7] {
        fleet.succeed(&["send", "paid", &amount.to_string(), "--force"]);
    }
    for number in [1, 5] {
        let frame = format!(
            r#"{{"v":1,"from":"{}","seq":{number},"events":[{{"event":"tick","data":1}}]}}"#,
            NodeId::new(7)
        );
        let publish = ["PUBLISH", "tidings:{shop}", &frame];
        fleet.redis.command(&publish).await;
    }
    eventually("the member has the gap and the failure", || {
        let inspection = member.inspection();
        inspection.gaps.len() == 1 && inspection.failures.len() == 1
    });
    member
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_is_shown_with_its_handlers_and_what_went_wrong_last() {
    let fleet = Fleet::start().await;
    let member = troubled(&fleet).await;
    let id = member.id().to_string();

    let stdout = fleet.succeed(&["members", "api-1", "--color", "always"]);

    let plain = anstream::adapter::strip_str(&stdout).to_string();
    let lines = words(&plain);
    assert_eq!(lines[0], ["MEMBER", "api-1"]);
    assert_eq!(lines[1], ["node", &*id]);
    let row = |name: &str| {
        let row = lines.iter().find(|line| line.first() == Some(&name));
        row.unwrap_or_else(|| panic!("no {name} in {plain}"))
            .join(" ")
    };
    assert!(row("receives").starts_with("receives yes, connected for "));
    assert_eq!(row("gaps"), "gaps 1 (3 missed, 0 dropped by a full queue)");
    assert!(
        plain.contains("HANDLER  ") && plain.contains("  SLOWEST\n"),
        "{plain}"
    );
    let paid = lines.iter().find(|line| line[..].first() == Some(&"paid"));
    // The handler, its queue, in progress, handled, failed, timed out.
    let numbers = &paid.unwrap()[paid.unwrap().len() - 6..];
    assert!(numbers[0].starts_with("0/"), "{plain}");
    assert_eq!(numbers[1..5], ["0", "1", "1", "0"], "{plain}");
    assert!(
        plain.contains("LAST GAPS\n0s ago  3 events of node "),
        "{plain}"
    );
    assert!(plain.contains("LAST FAILURES\n"), "{plain}");
    assert!(!stdout.contains("\x1b[2J"), "{stdout:?}");
    assert!(
        !plain.contains(['\r', '\0', '\u{9b}', '\u{202e}', '\u{1b}']),
        "{plain:?}"
    );

    let object = &fleet.json(&["members", &id[..8]])[0];
    let inspection = &object["inspection"];
    assert_eq!(inspection["gaps"][0]["missed"], 3);
    assert_eq!(inspection["handlers"][0]["events"], json!(["paid"]));
    assert_eq!(object["missed"], 3);
    let (stderr, code) = fleet.fail(&["members", "api-2"]);
    assert_eq!(code, 5, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_members_are_an_object_per_second_also_while_redis_is_away() {
    let mut fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    let arguments = ["members", "--watch", "--json", "--timeout", "300ms"];
    let mut running = Running::start(fleet.command().args(arguments));
    let first = running.stdout.wait_for("\"members\"");
    let first: Value = serde_json::from_str(&first).unwrap();
    schema::check("members", &first);
    assert_eq!(first["members"][0]["name"], "api-1");
    assert!(first["at"].is_u64());
    fleet.redis.stop().await;
    running.stdout.wait_for("\"error\":\"cannot ");
    let before = running.stdout.count("\"receives\":true");
    fleet.redis.start_again().await;
    running.stdout.wait_count("\"receives\":true", before + 1);
    running.signal(Signal::INT);
    assert_eq!(running.code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_reader() {
    let fleet = Fleet::start().await;
    let mut command = fleet.command();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.args(["members", "--watch"]).stdout(writer);
    let output = output.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_by_a_signal_while_its_reader_is_stuck() {
    let fleet = Fleet::start().await;
    let member = fleet.member("api-1").await;
    for number in 0..3_000 {
        let event = format!("an.event.whose.name.is.long.{number}");
        member.on(&*event, async |_: Value| {}).unwrap();
    }
    let mut command = fleet.command();
    let watch = command.args(["members", "--watch", "--json", "api-1"]);
    let (stderr, code) = Running::end_while_stuck(watch, Signal::INT);
    assert!(stderr.contains("did not take the last lines"), "{stderr}");
    assert_eq!(code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_member_does_nothing_to_the_terminal() {
    let fleet = Fleet::start().await;
    let described = |bus: BusBuilder| bus.version(HOSTILE).lease(Duration::from_mins(1));
    let _member = fleet.member_with(HOSTILE, described).await;

    let stdout = fleet.succeed(&["members", "--color", "always"]);
    let json = fleet.succeed(&["members", "--json"]);

    assert_eq!(stdout.lines().count(), 3, "{stdout:?}");
    assert!(
        !stdout.contains("\x1b[2J") && !stdout.contains('\u{9b}'),
        "{stdout:?}"
    );
    assert!(!stdout.contains(['\r', '\0', '\u{202e}']), "{stdout:?}");
    assert_eq!(json.lines().count(), 1);
    let member: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(member["name"], HOSTILE);
}
