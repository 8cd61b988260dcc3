//! The page of contracts.

use std::fs;

use serde_json::{Value, json};
use tidings::Bus;

use super::session::Browser;
use crate::console::client::Console;
use crate::console::contracts::users;
use crate::console::foreign::{self, Program};
use crate::fleet::Fleet;
use crate::support::eventually;

/// Members with two contracts: the one that handles events started last.
pub(super) async fn two_versions(fleet: &Fleet, bus: &Bus) -> [Program; 2] {
    let programs = [
        Program::new("job-1", "1.3.9", &users("integer")),
        Program::new("api-7", "1.4.0", &users("string")),
    ];
    foreign::start(fleet, bus, &programs).await;
    programs
}

pub(super) async fn members_that_cannot_read_each_other_are_named(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let bus = fleet
        .builder("tool")
        .membership(false)
        .start()
        .await
        .unwrap();
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.show("contract").await;
    browser
        .until_text("Switch the feature “schema” of tidings on")
        .await;

    // Without a reload.
    let [old, _] = two_versions(&fleet, &bus).await;
    browser
        .until_text("Members that cannot read each other")
        .await;
    let breaks = browser
        .eval("document.querySelector('.breaks li').innerText")
        .await;
    for part in [
        "user.renamed",
        "type-changed",
        ".id",
        "job-1 (1.3.9)",
        "api-7 (1.4.0)",
        "Instead:",
    ] {
        assert!(breaks.as_str().unwrap().contains(part), "{part}: {breaks}");
    }
    browser.press("user.renamed").await;
    browser.until_text("2 forms of it run now").await;
    browser.until_text(".address.city").await;
    browser.press("stock.count").await;
    browser.until_text("Response, written and read").await;
    browser.save("contract").await;

    // The documents are those of the command line.
    let folder = fleet.sandbox.path("saved");
    fs::create_dir_all(&folder).unwrap();
    let allow = json!({ "behavior": "allow", "downloadPath": folder });
    browser.tool("Browser.setDownloadBehavior", allow).await;
    fleet.write("contract/events.json", &old.contract);
    for (form, button) in [("asyncapi", "AsyncAPI"), ("jsonschema", "JSON Schema")] {
        let label = format!("Save {button} of {}", old.hash());
        browser.click(&format!("[aria-label='{label}']")).await;
        let file = folder.join(format!("shop-{}.{form}.json", old.hash()));
        eventually("it is saved", || file.exists());
        let saved: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let exported = fleet.succeed(&["schema", "export", &format!("--{form}")]);
        assert_eq!(saved, serde_json::from_str::<Value>(&exported).unwrap());
    }
}
