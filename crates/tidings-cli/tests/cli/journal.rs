//! `tidings journal` and `acl`.

use serde_json::Value;
use tidings::Journal;
use tidings::acl::Permissions;

use crate::fleet::{Fleet, NAMESPACE, PASSWORD};
use crate::support::text;

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_shown_trimmed_and_rid_of_a_name() {
    let fleet = Fleet::start().await;
    let journal = || Journal::default();
    let durable = |bus: tidings::BusBuilder| {
        bus.journal(journal().durable("billing"))
            .on("tick", |_: u32| async {})
    };
    let bus = fleet.member_with("api-1", durable).await;
    bus.send_to_all("tick", &1).await.unwrap();
    let last = bus
        .send_to_all("tick", &2)
        .await
        .unwrap()
        .position()
        .unwrap();
    bus.shutdown(std::time::Duration::from_secs(5))
        .await
        .unwrap();

    let info = fleet.succeed(&["journal", "info"]);
    let positions = fleet.succeed(&["journal", "positions"]);

    assert!(
        info.lines().nth(1).unwrap().starts_with("entries  "),
        "{info}"
    );
    assert!(
        positions.lines().nth(1).unwrap().starts_with("billing  "),
        "{positions}"
    );
    assert!(
        positions.lines().nth(1).unwrap().ends_with("none"),
        "{positions}"
    );
    assert_eq!(fleet.json(&["journal", "positions"])[0]["name"], "billing");
    let (stderr, code) = fleet.fail(&["journal", "trim", &last.to_string()]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("this removes entries of the journal"),
        "{stderr}"
    );
    let trimmed = fleet.succeed(&["journal", "trim", &last.to_string(), "--yes"]);
    assert_eq!(trimmed, format!("the journal begins at {last} now\n"));
    assert_eq!(
        fleet.json(&["journal", "info"])[0]["oldest"],
        last.to_string()
    );
    fleet.succeed(&["journal", "trim", "--older-than", "1h", "--yes"]);
    fleet.succeed(&["journal", "remove", "billing", "--yes"]);
    let (stderr, code) = fleet.fail(&["journal", "remove", "billing", "--yes"]);
    assert_eq!(code, 5);
    assert!(
        stderr.contains("there is no durable name `billing`"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_permissions_are_enough_for_what_was_asked() {
    let fleet = Fleet::start().await;
    let acl = [
        "acl",
        "--user",
        "shop",
        "--members",
        "--share",
        "--count",
        "--role",
    ];
    let command = fleet.succeed(&acl);
    let expected = Permissions::of_bus(NAMESPACE).unwrap();
    let expected = expected.be_member().share().count().check_role();
    assert_eq!(command, format!("{}\n", expected.set_user("shop")));
    let object: Value = fleet.json(&acl)[0].clone();
    assert_eq!(object["rules"], expected.to_string());

    let mut words = vec!["ACL", "SETUSER", "shop", "on"];
    let (password, rules) = (format!(">{PASSWORD}"), expected.to_string());
    words.push(&password);
    words.extend(rules.split(' '));
    fleet.redis.command(&words).await;

    let url = fleet.redis.url_as("shop", PASSWORD);
    for arguments in [
        &["members"][..],
        &["send", "tick"],
        &["state", "set", "limits", "1"],
        &["counter", "add", "visits"],
    ] {
        let output = fleet
            .command()
            .env("TIDINGS_URL", &url)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
    let sentinel = fleet.succeed(&["acl", "--sentinel"]);
    assert_eq!(
        sentinel,
        format!("{}\n", Permissions::of_sentinel().set_user("tidings"))
    );
    assert_eq!(fleet.fail(&["acl", "--sentinel", "--share"]).1, 2);
    assert_eq!(fleet.fail(&["acl", "-n", "no name"]).1, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_a_journal_is_code_5_and_gets_none() {
    let fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    for arguments in [
        &["journal", "info"][..],
        &["journal", "positions"],
        &["journal", "trim", "--older-than", "1h", "--yes"],
        &["journal", "remove", "billing", "--yes"],
        &["listen", "--since", "10m"],
    ] {
        let (stderr, code) = fleet.fail(arguments);
        assert_eq!(code, 5, "{arguments:?}: {stderr}");
        assert!(stderr.contains("the namespace has no journal"), "{stderr}");
        let keys = fleet.redis.cli(&["KEYS", "*journal*"]).await;
        assert_eq!(keys.trim(), "", "{arguments:?}");
    }
}
