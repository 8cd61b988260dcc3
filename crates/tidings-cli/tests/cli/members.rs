//! `tidings members`.

use crate::fleet::Fleet;

#[tokio::test]
async fn members_are_a_table_with_the_address_below() {
    let fleet = Fleet::start().await;
    let none = format!("no members of shop at {}\n", fleet.redis.url());
    assert_eq!(fleet.succeed(&["members"]), none);
    let described = |name| fleet.member_with(name, |bus| bus.role("api").version("1.4.0"));
    let (first, _second) = (described("api-1").await, described("api-2").await);

    let stdout = fleet.succeed(&["members"]);

    let lines: Vec<Vec<&str>> = stdout
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0].join(" "), "NAME ROLE VERSION HOST PID SINCE NODE");
    assert_eq!(lines[1][..3], ["api-1", "api", "1.4.0"]);
    assert_eq!(lines[1].last(), Some(&&first.id().to_string()[..8]));
    assert_eq!(lines[2][0], "api-2");
    let about = format!("2 members of shop at {}", fleet.redis.url());
    assert_eq!(stdout.lines().last(), Some(&*about));
    let objects = fleet.json(&["members"]);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["name"], "api-1");
    assert_eq!(objects[0]["id"], first.id().to_string());
}

#[tokio::test]
async fn a_name_of_a_member_does_nothing_to_the_terminal() {
    let fleet = Fleet::start().await;
    let hostile = "x\u{1b}[2J\r\nok\u{9b}2J\u{202e}\0";
    let _member = fleet.member_with(hostile, |bus| bus.version(hostile)).await;

    let stdout = fleet.succeed(&["members", "--color", "always"]);
    let json = fleet.succeed(&["members", "--json"]);

    assert_eq!(stdout.lines().count(), 3, "{stdout:?}");
    assert!(
        !stdout.contains("\x1b[2J") && !stdout.contains('\u{9b}'),
        "{stdout:?}"
    );
    assert!(!stdout.contains(['\r', '\0', '\u{202e}']), "{stdout:?}");
    assert_eq!(json.lines().count(), 1);
    let member: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(member["name"], hostile);
}
