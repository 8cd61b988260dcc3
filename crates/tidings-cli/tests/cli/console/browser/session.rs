//! A session with the page: its tabs, what is pressed in them, and what they show.

use std::fs;
use std::path::PathBuf;
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::chromium::Chromium;
use super::driver::Driver;
use crate::console::client::Console;

/// The time in which a page must show something, in milliseconds.
const WAIT: u32 = 20_000;

/// Runs before the scripts of each document, and remembers what its policy forbade.
const LISTENER: &str = "
    globalThis.violations = [];
    addEventListener('securitypolicyviolation', (event) =>
        violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));";

/// A browser with a console in its first tab. Its end is [`finish`](Self::finish).
pub(super) struct Browser {
    chromium: Chromium,
    log: Vec<Value>,
    is_finished: bool,
}

/// # Sessions
impl Browser {
    pub(super) async fn start() -> Self {
        let browser = Self {
            chromium: Chromium::start().await,
            log: Vec::new(),
            is_finished: false,
        };
        browser.prepare_tab().await;
        browser
    }

    /// Starts a browser, and opens the page of a console with its token.
    pub(super) async fn open(console: &Console) -> Self {
        let mut browser = Self::start().await;
        browser.enter(console).await;
        browser
    }

    /// Opens the page of a console with its token, and waits until it is live.
    pub(super) async fn enter(&mut self, console: &Console) {
        self.goto(&format!("http://{}/#{}", console.address, console.token))
            .await;
        self.until_live().await;
    }

    pub(super) async fn goto(&mut self, url: &str) {
        self.check_violations().await;
        self.driver().post("/url", json!({ "url": url })).await;
    }

    /// Shows another page of the console, and waits for its title.
    pub(super) async fn show(&self, page: &str) {
        self.run("location.hash = arguments[0]", json!(format!("#/{page}")))
            .await;
        let name = page.split('?').next().unwrap();
        let title = format!("document.title.toLowerCase().startsWith('{name} ·')");
        self.until("the page is open", &title).await;
    }

    /// Checks that no document broke its policy and no script failed, and ends the session.
    pub(super) async fn finish(mut self) {
        self.check_violations().await;
        let log = self.read_log().await.iter();
        let faults: Vec<_> = log.filter(|entry| is_fault(entry)).collect();
        assert!(faults.is_empty(), "{faults:#?}");
        self.is_finished = true;
    }

    /// Returns everything that the pages wrote into the log of the browser so far.
    pub(super) async fn read_log(&mut self) -> &[Value] {
        let more = json!({ "type": "browser" });
        let more = self.driver().post("/se/log", more).await;
        self.log.extend(more.as_array().unwrap().iter().cloned());
        &self.log
    }

    /// Ignores what the log has so far: a hostile page is told that it is refused.
    pub(super) async fn forget_log(&mut self) {
        self.read_log().await;
        self.log.clear();
    }

    pub(super) async fn check_violations(&self) {
        let found = self.eval("globalThis.violations ?? []").await;
        assert_eq!(found, json!([]), "the policy was broken");
    }

    pub(super) fn chromium(&self) -> &Chromium {
        &self.chromium
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.chromium.driver
    }

    /// Runs a command of the developer tools in this tab.
    pub(super) async fn tool(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.driver().post("/goog/cdp/execute", body).await
    }
}

fn is_fault(entry: &Value) -> bool {
    let message = entry["message"].as_str().unwrap_or_default();
    // Rendering is what the browser says of a path or a number that is none.
    ["javascript", "rendering", "security"]
        .iter()
        .any(|it| entry["source"] == **it)
        || message.contains("Content Security Policy")
}

/// # Tabs
impl Browser {
    async fn prepare_tab(&self) {
        let script = json!({ "source": LISTENER });
        self.tool("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
    }

    /// Returns the name of the tab that is seen.
    pub(super) async fn tab(&self) -> Value {
        self.driver().get("/window").await
    }

    /// Opens a tab, which becomes the one that is seen.
    pub(super) async fn new_tab(&self) -> Value {
        let tab = json!({ "type": "tab" });
        let tab = self.driver().post("/window/new", tab).await["handle"].take();
        self.switch(&tab).await;
        self.prepare_tab().await;
        tab
    }

    /// Shows a tab, and hides the one that was seen.
    pub(super) async fn switch(&self, tab: &Value) {
        self.driver()
            .post("/window", json!({ "handle": tab }))
            .await;
        self.tool("Page.bringToFront", json!({})).await;
    }
}

/// # Reading
impl Browser {
    /// Evaluates a JavaScript expression, and awaits its promise.
    pub(super) async fn eval(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression})"), Value::Null)
            .await
    }

    /// Runs statements with one argument.
    pub(super) async fn run(&self, statements: &str, argument: Value) -> Value {
        let script = json!({ "script": statements, "args": [argument] });
        self.driver().post("/execute/sync", script).await
    }

    /// Waits until an expression is true, and returns its value.
    #[track_caller]
    pub(super) fn until(&self, what: &str, expression: &str) -> impl Future<Output = Value> {
        let line = std::panic::Location::caller();
        let wait = format!(
            "return (async () => {{
                for (const end = Date.now() + {WAIT}; Date.now() < end;) {{
                    const value = ({expression});
                    if (value) return value;
                    await new Promise((resume) => setTimeout(resume, 50));
                }}
                return null;
            }})()"
        );
        async move {
            let value = self.run(&wait, Value::Null).await;
            if value.is_null() {
                let text = self.eval("document.body.innerText").await;
                self.save("failed").await;
                panic!("{line}: waited for: {what}: {expression}\n{text}");
            }
            value
        }
    }

    pub(super) async fn until_live(&self) {
        self.until("the page is live", "live.textContent === 'live'")
            .await;
    }

    /// Waits until the page shows this text.
    pub(super) async fn until_text(&self, text: &str) {
        let text = json!(text);
        let expression = format!("document.body.innerText.includes({text})");
        self.until("the page shows it", &expression).await;
    }

    /// Waits until the page does not show this text.
    pub(super) async fn until_no_text(&self, text: &str) {
        let text = json!(text);
        let expression = format!("!document.body.innerText.includes({text})");
        self.until("the page does not show it", &expression).await;
    }

    pub(super) async fn text(&self) -> String {
        let text = self.eval("document.body.innerText").await;
        text.as_str().unwrap().to_owned()
    }

    pub(super) async fn url(&self) -> String {
        let url = self.driver().get("/url").await;
        url.as_str().unwrap().to_owned()
    }
}

/// # Pressing
impl Browser {
    pub(super) async fn click(&self, selector: &str) {
        self.click_on("css selector", selector).await;
    }

    /// Clicks the button with this text.
    pub(super) async fn press(&self, button: &str) {
        let path = format!("//main//button[normalize-space()='{button}']");
        self.click_on("xpath", &path).await;
    }

    async fn click_on(&self, strategy: &str, value: &str) {
        let element = self.driver().find(strategy, value).await;
        let path = format!("/element/{element}/click");
        self.driver().post(&path, json!({})).await;
    }

    /// Types into what has the focus.
    pub(super) async fn keys(&self, keys: &str) {
        let focused = self.driver().focused().await;
        let path = format!("/element/{focused}/value");
        self.driver().post(&path, json!({ "text": keys })).await;
    }
}

/// # Pictures
impl Browser {
    /// Saves what the tab shows as `target/browser/screenshots/NAME.png`.
    pub(super) async fn save(&self, name: &str) {
        let picture = self.driver().get("/screenshot").await;
        let picture = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let folder = artifacts().join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Emulates a scheme of colors, `light` or `dark`.
    pub(super) async fn scheme(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.tool(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// Emulates a screen of this size.
    pub(super) async fn size(&self, width: u32, height: u32) {
        let screen = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.tool("Emulation.setDeviceMetricsOverride", screen)
            .await;
    }
}

/// The folder of what the tests in a browser need and leave.
pub(super) fn artifacts() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.join("../../target/browser")
}

impl Drop for Browser {
    fn drop(&mut self) {
        assert!(
            self.is_finished || thread::panicking(),
            "the session was not finished, and so not checked"
        );
    }
}
