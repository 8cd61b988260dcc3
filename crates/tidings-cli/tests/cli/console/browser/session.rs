//! A session with the page: its tabs, what is pressed in them, and what they show.

use std::fs;
use std::path::PathBuf;
use std::thread;

use axum::http::Method;
use fantoccini::wd::{WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use url::{ParseError, Url};

use super::chromium::Chromium;
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

/// A command that the standard of `WebDriver` does not have.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
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
        self.client().goto(url).await.unwrap();
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
        let more = self.extension("se/log", json!({ "type": "browser" })).await;
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

    pub(super) fn client(&self) -> &Client {
        &self.chromium.client
    }

    async fn extension(&self, path: &'static str, body: Value) -> Value {
        let answer = self.client().issue_cmd(Extension { path, body }).await;
        answer.unwrap()
    }

    /// Runs a command of the developer tools in this tab.
    pub(super) async fn tool(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.extension("goog/cdp/execute", body).await
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

    pub(super) async fn tab(&self) -> WindowHandle {
        self.client().window().await.unwrap()
    }

    /// Opens a tab, which becomes the one that is seen.
    pub(super) async fn new_tab(&self) -> WindowHandle {
        let tab = self.client().new_window(true).await.unwrap().handle;
        self.switch(&tab).await;
        self.prepare_tab().await;
        tab
    }

    /// Shows a tab, and hides the one that was seen.
    pub(super) async fn switch(&self, tab: &WindowHandle) {
        self.client().switch_to_window(tab.clone()).await.unwrap();
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
        let ran = self.client().execute(statements, vec![argument]).await;
        ran.unwrap_or_else(|error| panic!("{statements}: {error}"))
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
                    await new Promise((resume) => setTimeout(resume, 20));
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
        self.client().current_url().await.unwrap().into()
    }
}

/// # Pressing
impl Browser {
    pub(super) async fn click(&self, selector: &str) {
        let found = self.client().find(Locator::Css(selector)).await;
        found.unwrap().click().await.unwrap();
    }

    /// Clicks the button with this text.
    pub(super) async fn press(&self, button: &str) {
        let path = format!("//main//button[normalize-space()='{button}']");
        let found = self.client().find(Locator::XPath(&path)).await;
        found.unwrap().click().await.unwrap();
    }

    /// Types into what has the focus.
    pub(super) async fn keys(&self, keys: &str) {
        let focused = self.client().active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }
}

/// # Pictures
impl Browser {
    /// Saves what the tab shows as `target/browser/screenshots/NAME.png`.
    pub(super) async fn save(&self, name: &str) {
        let picture = self.client().screenshot().await.unwrap();
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
