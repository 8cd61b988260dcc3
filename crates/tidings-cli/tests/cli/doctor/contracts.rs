//! Two contracts in one fleet.

use crate::contract::member::{self, LONG};
use crate::doctor::examination::examine;
use crate::doctor::settings::healthy;
use crate::fleet::Fleet;
use crate::support::{Running, TIMEOUT};
use tidings::Bus;
use tidings_testkit::wait_for;

/// A fleet with a member of this program, and one whose program has this form of the field.
async fn with_two_contracts(form: &str) -> (Fleet, Bus, Running) {
    let fleet = healthy().await;
    let bus = fleet.member("api-1").await;
    let other = member::start(&fleet, "job-1", "1.3.9", form, LONG);
    let observer = fleet.builder("observer").membership(false);
    let observer = observer.start().await.unwrap();
    wait_for("both have collected their contracts", TIMEOUT, async || {
        let mut responses = observer.inspect().await.unwrap();
        let mut contracts = Vec::new();
        while let Some(response) = responses.next().await {
            contracts.extend(response.value.unwrap().contract);
        }
        contracts.len() == 2
    })
    .await;
    (fleet, bus, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_the_others_cannot_read_is_an_error_with_the_rule_and_its_cure() {
    let (fleet, _bus, _other) = with_two_contracts("text").await;
    let examination = examine(&fleet);
    examination.has_only(&[("member-contracts", "error"); 2]);
    let texts: Vec<_> = examination.of("member-contracts");
    for (finding, [reader, writer, written, read]) in texts.iter().zip([
        ["job-1 (1.3.9)", "api-1", "u64", "text"],
        ["api-1", "job-1 (1.3.9)", "text", "u64"],
    ]) {
        let text = format!(
            "event fleet.checked .id: processes like {reader} cannot read what processes like {writer} \
             write: {written} is written, and {read} is read (type-changed)"
        );
        assert_eq!(finding["text"], text);
        assert_eq!(
            finding["cures"][0],
            "add a field or an event with the new type"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn breaks_that_the_project_allows_are_counted_if_its_file_can_be_read() {
    let (fleet, _bus, _other) = with_two_contracts("text").await;
    let exception = "[[contract.allow]]\nrule = \"type-changed\"\nevent = \"fleet.checked\"\n\
                     reason = \"no member sends it\"\n";
    fleet.write("tidings.toml", exception);
    let examination = examine(&fleet);
    examination.has_only(&[]);
    let counted = "can read the others except for 2 breaks that the project allows: ";
    let text = examination.text("member-contracts");
    assert!(text.contains(counted), "{text}");

    fleet.write("tidings.toml", &format!("{exception}until = \"soon\"\n"));
    let examination = examine(&fleet);
    examination.has_only(&[("member-contracts", "error"); 2]);
    let findings = examination.of("member-contracts");
    let skipped = findings.iter().find(|it| it["severity"] == "skipped");
    let text = skipped.unwrap()["text"].as_str().unwrap();
    assert!(text.contains("`until` must be a day"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_that_can_be_read_by_all_are_named() {
    let (fleet, _bus, _other) = with_two_contracts("optional").await;
    let examination = examine(&fleet);
    examination.has_only(&[]);
    let text = examination.text("member-contracts");
    assert!(
        text.starts_with("the members have 2 contracts, and each can read the others: "),
        "{text}"
    );
    assert!(
        text.contains("api-1") && text.contains("job-1 (1.3.9)"),
        "{text}"
    );
}
