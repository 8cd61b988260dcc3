//! The commands of the `WebDriver` protocol that the tests use.

use axum::body::{Body, to_bytes};
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The member of an element's JSON that has its identifier: [the `WebDriver`
/// standard](https://www.w3.org/TR/webdriver2/#elements) names it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session with a browser, by its driver.
pub(super) struct Driver {
    port: u16,
    session: String,
}

impl Driver {
    /// Begins a session with the driver that has this port.
    pub(super) async fn begin(port: u16, capabilities: Value) -> Self {
        let mut driver = Self {
            port,
            session: "/session".to_owned(),
        };
        let begun = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let begun = driver.post("", begun).await;
        driver.session += "/";
        driver.session += begun["sessionId"].as_str().unwrap();
        driver
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.command(Method::GET, path, Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let body = Body::from(body.to_string());
        self.command(Method::POST, path, body).await
    }

    /// Returns the element that a strategy, such as `css selector`, finds first.
    pub(super) async fn find(&self, strategy: &str, value: &str) -> String {
        let found = json!({ "using": strategy, "value": value });
        element(&self.post("/element", found).await)
    }

    /// Returns the element that has the focus.
    pub(super) async fn focused(&self) -> String {
        element(&self.get("/element/active").await)
    }

    /// Runs a command, and panics if it fails.
    async fn command(&self, method: Method, path: &str, body: Body) -> Value {
        let path = format!("{}{path}", self.session);
        let request = Request::builder().method(method).uri(&path);
        let request = request.header(HOST, "127.0.0.1").body(body).unwrap();
        let connection = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (mut requests, connection) = handshake(TokioIo::new(connection)).await.unwrap();
        tokio::spawn(connection);
        let response = requests.send_request(request).await.unwrap();
        let is_done = response.status().is_success();
        let body = Body::new(response.into_body());
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        assert!(is_done, "{path}: {}", answer["value"]["message"]);
        answer["value"].take()
    }
}

fn element(found: &Value) -> String {
    found[ELEMENT].as_str().unwrap().to_owned()
}
