//! Users that lack a permission.

use tidings::acl::Permissions;

use crate::doctor::examination::{Examination, examine_at, paste};
use crate::fleet::{Fleet, NAMESPACE, PASSWORD};

/// A server with a user who may look at everything.
async fn with_user(rules: &str) -> Fleet {
    let user = format!("shop on >{PASSWORD} {rules}");
    Fleet::start_with(|redis| redis.password(PASSWORD).user(user)).await
}

fn examine_as_shop(fleet: &Fleet) -> Examination {
    examine_at(fleet, &fleet.redis.url_as("shop", PASSWORD))
}

/// Runs the cure as an administrator.
fn cured(fleet: &Fleet, cure: &str) {
    let port = fleet.redis.port().to_string();
    let host = format!("redis-cli -h 127.0.0.1 -p {port} ");
    let command = cure
        .trim_start_matches(&host)
        .trim_start_matches("redis-cli ");
    paste(&format!("{host}{command}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_receive_is_an_error_with_the_missing_rule() {
    let fleet = with_user("~* resetchannels +@all").await;
    let examination = examine_as_shop(&fleet);
    examination.has_only(&[("bus", "error")]);
    let cure = &examination.cures("bus")[0];
    assert!(
        cure.contains("ACL SETUSER shop '&tidings:{shop}'"),
        "{cure}"
    );
    cured(&fleet, cure);
    examine_as_shop(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_send_is_an_error_with_the_missing_rule() {
    let fleet = with_user("~* &* +@all -publish").await;
    let examination = examine_as_shop(&fleet);
    let (check, severity) = examination.problems()[0];
    assert!(
        ["bus", "echo"].contains(&check) && severity == "error",
        "{examination:#?}"
    );
    let cure = examination.cures(check)[0].clone();
    assert!(cure.contains("ACL SETUSER shop +publish"), "{cure}");
    cured(&fleet, &cure);
    examine_as_shop(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing_for_a_part_is_a_warning_with_the_missing_rules() {
    let fleet = with_user("~* &* +@all -hscan -persist").await;
    let examination = examine_as_shop(&fleet);
    examination.has_only(&[("permissions", "warning")]);
    cured(&fleet, &examination.cures("permissions")[0]);
    examine_as_shop(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_use_the_keys_of_the_namespace_is_found() {
    let fleet = with_user("~tidings:{other}:* &* +@all").await;
    let examination = examine_as_shop(&fleet);
    let problems = examination.problems();
    assert!(
        problems.contains(&("permissions", "warning")),
        "{examination:#?}"
    );
    for finding in examination.of("permissions") {
        cured(&fleet, finding["cures"][0].as_str().unwrap());
    }
    examine_as_shop(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_right_to_look_has_skipped_checks_and_no_wrong_ones() {
    let bus = Permissions::of_bus(NAMESPACE)
        .unwrap()
        .be_member()
        .check_role();
    let fleet = with_user(&bus.to_string()).await;
    let examination = examine_as_shop(&fleet);
    examination.has_only(&[]);
    for check in [
        "version",
        "output-buffer",
        "eviction",
        "default-user",
        "slow-subscribers",
        "database",
        "retention",
    ] {
        assert_eq!(examination.severity(check), "skipped", "{check}");
        assert!(examination.text(check).contains("may not use"), "{check}");
    }
    // It is meant not to use them.
    let parts = examination.of("permissions");
    assert!(
        parts.iter().all(|part| part["severity"] == "ok"),
        "{parts:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_cannot_be_listed_are_skipped_with_the_reason() {
    let fleet = with_user("~* &* +@all -evalsha").await;
    let examination = examine_as_shop(&fleet);
    let of_permissions =
        |(check, severity): &(&str, &str)| *check == "permissions" && *severity == "warning";
    let problems = examination.problems();
    assert!(problems.iter().all(of_permissions), "{problems:?}");
    assert_eq!(examination.severity("members"), "skipped");
    assert!(examination.text("members").contains("evalsha"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_that_a_user_may_not_run_is_named() {
    let fleet = with_user("~* &* +@all").await;
    let bus = Permissions::of_bus(NAMESPACE).unwrap();
    let all = bus.be_member().share().count().durable().to_string();
    // The bus itself tries the first two, and only that part of a journal marks itself with the third.
    let untried = ["+subscribe", "+publish", "+multi"];
    // Without these, the user is meant not to use their part.
    let marks = ["+incrby", "+hincrby", "+xadd"];
    let rules = all.split(' ').filter(|word| word.starts_with('+'));
    for rule in rules.filter(|rule| !untried.contains(rule)) {
        let deny = rule.replacen('+', "-", 1);
        let set = ["ACL", "SETUSER", "shop", "+@all", &deny];
        fleet.redis.command(&set).await;

        let examination = examine_as_shop(&fleet);

        let found = examination.of("permissions");
        let mut texts = found
            .iter()
            .map(|finding| finding["text"].as_str().unwrap());
        let is_named = if marks.contains(&rule) {
            texts.any(|text| text.starts_with("the user shop may not use"))
        } else {
            texts.any(|text| text.split(' ').any(|word| word == rule))
        };
        assert!(is_named, "{rule}: {found:#?}");
    }
}
