//! Requests that change something: which are allowed, and the line on standard error that each leaves.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use super::api::Failure;
use super::contracts::cut;
use super::guard::only;
use super::limits;
use crate::output;
use crate::terminal::escape;

/// The maximum number of characters of a line that come from a request or a member.
const LINE: usize = 2_000;

/// The changes that the page may make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) send: bool,
    pub(super) write: bool,
}

/// The address of the browser, or of a proxy before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The changes in progress, which the console waits for before it ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(watch::Sender<()>);

/// A change that a page asks for.
pub(super) struct Change<T> {
    wanted: T,
    by: Peer,
}

/// The line of a change, which is printed when this is dropped: also when the change panics, or the
/// console ends first.
struct Entry {
    by: Peer,
    what: String,
    result: String,
    /// The console waits for those that it has given out.
    _in_progress: watch::Receiver<()>,
}

/// A change that was made.
pub(super) struct Made {
    /// The result, for the line on standard error.
    pub(super) text: String,
    pub(super) answer: Value,
}

impl Allowed {
    /// Checks the head of a request that changes something.
    pub(super) fn check(self, path: &str, headers: &HeaderMap) -> Result<(), Failure> {
        let (is_allowed, switch) = match path {
            "/api/send" => (self.send, "--allow-send"),
            "/api/state/shared" | "/api/state/map" | "/api/state/counter" => {
                (self.write, "--allow-write")
            }
            _ => {
                let error = "there is nothing to change at this path";
                return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, error));
            }
        };
        if !is_allowed {
            let error = format!("the console was started without {switch}");
            return Err(Failure::new(StatusCode::FORBIDDEN, error));
        }
        let of_body = only(headers, &CONTENT_TYPE).unwrap_or_default();
        let (kind, _) = of_body.split_once(';').unwrap_or((of_body, ""));
        if !kind.trim().eq_ignore_ascii_case("application/json") {
            let error = "the content type must be application/json";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
        }
        let length = only(headers, &CONTENT_LENGTH).map(str::parse::<usize>);
        match length {
            Some(Ok(length)) if length > limits::BODY => Err(too_long()),
            Some(Err(_)) => Err(too_long()),
            _ => Ok(()),
        }
    }

    /// Returns what the page may do, in words.
    pub(super) fn words(self) -> &'static str {
        match (self.send, self.write) {
            (false, false) => "read-only",
            (true, false) => "which may send events",
            (false, true) => "which may change values",
            (true, true) => "which may send events and change values",
        }
    }
}

fn too_long() -> Failure {
    let error = format!("the body has more than {} bytes", limits::BODY);
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error)
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Change<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let by = request.extensions().get::<Peer>().copied();
        let by = by.expect("the server names the peer of each connection");
        let body = to_bytes(request.into_body(), limits::BODY);
        let Ok(body) = timeout(limits::HEAD_TIME, body).await else {
            let error = "the body did not arrive in time";
            return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, error));
        };
        // A body that ends early has no reader for the answer.
        let body = body.map_err(|_| too_long())?;
        let wanted = serde_json::from_slice(&body).map_err(|error| {
            let error = format!("the body is not what this path takes: {error}");
            Failure::new(StatusCode::BAD_REQUEST, error)
        })?;
        Ok(Self { wanted, by })
    }
}

impl<T: Display + Send + 'static> Change<T> {
    /// Makes the change, also if the page goes away, and prints who wanted what, and the result.
    pub(super) async fn make<F>(
        self,
        changes: &Changes,
        make: impl FnOnce(T) -> F + Send + 'static,
    ) -> Result<Json<Value>, Failure>
    where
        F: Future<Output = Result<Made, Failure>> + Send,
    {
        let mut entry = Entry {
            by: self.by,
            what: self.wanted.to_string(),
            result: "unknown: the console ended before the result was there".to_owned(),
            _in_progress: changes.0.subscribe(),
        };
        // Until the page has its answer.
        let _in_progress = changes.0.subscribe();
        let task = tokio::spawn(async move {
            let made = make(self.wanted).await;
            entry.end(&made);
            made
        });
        let made = task.await.map_err(|_| {
            let error = "the change ended with a panic: look whether it was made";
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error)
        })?;
        made.map(|made| Json(made.answer))
    }
}

impl Changes {
    pub(super) fn is_any(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Waits until none is in progress.
    pub(super) async fn ended(&self) {
        self.0.closed().await;
    }
}

impl Entry {
    fn end(&mut self, made: &Result<Made, Failure>) {
        self.result = match made {
            Ok(made) => made.text.clone(),
            Err(failure) if failure.is_unknown() => format!("unknown: {failure}"),
            Err(failure) => format!("not done: {failure}"),
        };
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            "unknown: it ended with a panic".clone_into(&mut self.result);
        }
        output::remark(line(self.by, &self.what, &self.result));
    }
}

/// A text of a request in a line: quoted, unless it could not be taken for another part of the line.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |it: char| it.is_alphanumeric() || "._-:/*#@".contains(it);
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

fn line(by: Peer, what: &str, result: &str) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    let (what, result) = (cut(what, LINE), cut(result, LINE));
    format!("{time} {} {}: {}", by.0, escape(what), escape(result))
}

/// Parses JSON that a person has typed. Fails if a whole number in it would be rounded.
pub(super) fn json(text: &str) -> Result<Value, Failure> {
    let value = serde_json::from_str(text).map_err(|error| {
        let error = format!("the text is not JSON: {error}");
        Failure::new(StatusCode::BAD_REQUEST, error)
    })?;
    if would_round(text) {
        let error = "a whole number has more than 64 bits: it would be rounded";
        return Err(Failure::new(StatusCode::BAD_REQUEST, error));
    }
    Ok(value)
}

/// Returns whether a JSON text has a whole number that becomes a fraction.
fn would_round(json: &str) -> bool {
    let mut rest = json;
    while let Some(start) = rest.find(|it: char| it == '"' || it == '-' || it.is_ascii_digit()) {
        rest = &rest[start..];
        let is_text = rest.starts_with('"');
        let end = if is_text {
            text_end(rest)
        } else {
            number_end(rest)
        };
        let (token, after) = rest.split_at(end);
        let is_whole = !is_text && !token.contains(['.', 'e', 'E']);
        if is_whole && token.parse::<i64>().is_err() && token.parse::<u64>().is_err() {
            return true;
        }
        rest = after;
    }
    false
}

fn text_end(json: &str) -> usize {
    let mut is_escaped = false;
    let quote = json[1..].find(|it| {
        let is_end = it == '"' && !is_escaped;
        is_escaped = it == '\\' && !is_escaped;
        is_end
    });
    quote.map_or(json.len(), |before| before + 2)
}

fn number_end(json: &str) -> usize {
    let is_part = |it: char| it.is_ascii_digit() || "+-.eE".contains(it);
    json.find(|it| !is_part(it)).unwrap_or(json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_wanted_what_without_control_characters() {
        let by = Peer("127.0.0.1:4711".parse().unwrap());
        let long = "x".repeat(2 * LINE);
        let line = line(by, "send \u{1b}[2J\nfake to all", &long);
        assert!(line.contains(" 127.0.0.1:4711 send "), "{line}");
        assert!(!line.contains(['\u{1b}', '\n']), "{line}");
        assert!(line.ends_with('…') && line.len() < 2 * LINE, "{line}");
    }

    #[test]
    fn a_text_that_could_be_another_part_of_a_line_is_quoted() {
        let quoted = |text| Quoted(text).to_string();
        assert_eq!(quoted("role:api"), "role:api");
        assert_eq!(quoted("ünder/_-.7"), "ünder/_-.7");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("all, 2 bytes: done"), "\"all, 2 bytes: done\"");
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
    }

    #[test]
    fn a_whole_number_that_would_be_rounded_is_rejected() {
        let exact = r#"{"99999999999999999999": ["\\\"99999999999999999999", 18446744073709551615,
            -9223372036854775808, 1e30, 0.99999999999999999999]}"#;
        assert!(json(exact).is_ok());
        for rounded in ["18446744073709551616", "[-9223372036854775809]"] {
            let failure = json(rounded).unwrap_err();
            assert!(failure.to_string().contains("rounded"), "{rounded}");
        }
    }

    #[test]
    fn a_change_needs_its_switch_and_json_of_at_most_a_mebibyte() {
        let status = |path: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| {
                let name: axum::http::HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            });
            let allowed = Allowed {
                send: true,
                write: false,
            };
            let checked = allowed.check(path, &headers.collect());
            checked.err().map(|failure| failure.status().as_u16())
        };
        let json = ("content-type", "application/json");
        assert_eq!(status("/api/send", &[json]), None);
        let with_charset = ("content-type", "Application/JSON; charset=utf-8");
        assert_eq!(status("/api/send", &[with_charset]), None);
        assert_eq!(status("/api/send", &[]), Some(415));
        assert_eq!(status("/api/send", &[json, json]), Some(415));
        let text = ("content-type", "text/plain");
        assert_eq!(status("/api/send", &[text]), Some(415));
        for (length, expected) in [("1048576", None), ("1048577", Some(413)), ("x", Some(413))] {
            let headers = [json, ("content-length", length)];
            assert_eq!(status("/api/send", &headers), expected, "{length}");
        }
        assert_eq!(status("/api/state/shared", &[json]), Some(403));
        assert_eq!(status("/api/look", &[json]), Some(405));
    }
}
