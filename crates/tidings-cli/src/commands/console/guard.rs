//! Decides which requests are served, and adds the headers that protect the page.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue,
    ORIGIN, TRANSFER_ENCODING,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

use super::api::Failure;
use super::changes::Allowed;
use super::limits;
use super::lock::lock;
use super::token::Token;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const MINUTE: Duration = Duration::from_mins(1);

/// The headers of every response.
const HEADERS: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' \
         data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    (
        "permissions-policy",
        "camera=(), clipboard-read=(), display-capture=(), fullscreen=(), geolocation=(), \
         microphone=(), payment=(), serial=(), usb=()",
    ),
];

/// The conditions that a request must meet.
pub(super) struct Guard {
    /// The values of `Host` that are ours.
    hosts: Vec<String>,
    token: Token,
    allowed: Allowed,
    /// The times of the last wrong tokens.
    failures: Mutex<VecDeque<Instant>>,
}

impl Guard {
    pub(super) fn new(hosts: Vec<String>, token: Token, allowed: Allowed) -> Self {
        Self {
            hosts,
            token,
            allowed,
            failures: Mutex::default(),
        }
    }

    fn check(&self, request: &Request) -> Result<(), Failure> {
        let headers = request.headers();
        let host = self.host(request).ok_or_else(|| {
            Failure::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this is not a host of the console",
            )
        })?;
        check_site(headers, &host)?;
        let path = request.uri().path();
        if path.starts_with("/api/") {
            self.check_token(headers)?;
        }
        match *request.method() {
            Method::GET | Method::HEAD if has_body(headers) => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "no request that reads has a body",
            )),
            Method::GET | Method::HEAD => Ok(()),
            Method::POST => self.allowed.check(path, headers),
            _ => Err(Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "the console takes GET, HEAD and POST",
            )),
        }
    }

    /// Returns the host of the request if it is one of ours.
    fn host(&self, request: &Request) -> Option<String> {
        let host = only(request.headers(), &HOST)?.to_ascii_lowercase();
        let is_same =
            |authority: &axum::http::uri::Authority| authority.as_str().eq_ignore_ascii_case(&host);
        let is_ours = self.hosts.contains(&host) && request.uri().authority().is_none_or(is_same);
        is_ours.then_some(host)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if given.is_some_and(|given| self.token.is_in(given)) {
            return Ok(());
        }
        // The owner of the token is not locked out by those who guess.
        if self.has_failed_too_often() {
            return Err(Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens: wait a minute",
            ));
        }
        Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "this needs the token that `tidings console` has printed",
        ))
    }

    /// Counts a wrong token.
    fn has_failed_too_often(&self) -> bool {
        let now = Instant::now();
        let mut failures = lock(&self.failures);
        while failures
            .front()
            .is_some_and(|at| now.duration_since(*at) > MINUTE)
        {
            failures.pop_front();
        }
        if failures.len() >= limits::FAILURES {
            return true;
        }
        failures.push_back(now);
        false
    }
}

/// Returns the values of `Host` that are those of the console at this address, with these other names.
pub(super) fn hosts(address: SocketAddr, has_tls: bool, names: &[String]) -> Vec<String> {
    let (port, default) = (address.port(), if has_tls { ":443" } else { ":80" });
    let own = ["127.0.0.1", "[::1]", "localhost"].map(|host| format!("{host}:{port}"));
    let mut hosts = Vec::from(own);
    // A loopback address other than these was chosen on purpose.
    hosts.push(address.to_string());
    // A browser leaves out the default port.
    add_without(default, &mut hosts);
    let mut others: Vec<_> = names.iter().map(|it| it.to_ascii_lowercase()).collect();
    // A proxy may add TLS or take it away.
    add_without(":443", &mut others);
    add_without(":80", &mut others);
    hosts.append(&mut others);
    hosts
}

/// Adds the hosts with this port without it.
fn add_without(port: &str, hosts: &mut Vec<String>) {
    let without = hosts.iter().filter_map(|host| host.strip_suffix(port));
    let without: Vec<_> = without.map(str::to_owned).collect();
    hosts.extend(without);
}

/// Rejects requests that a page of another origin has sent. Another port is another origin.
fn check_site(headers: &HeaderMap, host: &str) -> Result<(), Failure> {
    let rejected = |why| Err(Failure::new(StatusCode::FORBIDDEN, why));
    let site = headers.contains_key(&SEC_FETCH_SITE);
    if site && !matches!(only(headers, &SEC_FETCH_SITE), Some("same-origin" | "none")) {
        return rejected("another site has sent this request");
    }
    if headers.contains_key(ORIGIN) {
        let origin = only(headers, &ORIGIN).unwrap_or_default();
        let (_, of_host) = origin.split_once("://").unwrap_or_default();
        let is_web = origin.starts_with("http://") || origin.starts_with("https://");
        if !is_web || !of_host.eq_ignore_ascii_case(host) {
            return rejected("another origin has sent this request");
        }
    }
    Ok(())
}

/// Returns the value of a header that is there once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

/// Checks each request to the router.
pub(super) fn protect(router: Router, guard: Guard) -> Router {
    router.layer(from_fn_with_state(Arc::new(guard), check))
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            let mut response = failure.into_response();
            // What else is on the connection, as a body, is not read.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(CACHE_CONTROL).or_insert(no_store);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_the_default_port_is_known_without_it() {
        let known = |address: &str, has_tls, host: &str| {
            let names = ["Console.example:443".to_owned(), "eye.example".to_owned()];
            let hosts = hosts(address.parse().unwrap(), has_tls, &names);
            hosts.iter().any(|it| it == host)
        };
        for (address, has_tls, host) in [
            ("10.0.0.5:443", true, "10.0.0.5"),
            ("10.0.0.5:443", true, "10.0.0.5:443"),
            ("10.0.0.5:443", true, "localhost"),
            ("[::1]:443", true, "[::1]"),
            ("127.0.0.2:80", false, "127.0.0.2"),
            ("127.0.0.1:80", false, "[::1]"),
            ("127.0.0.1:8425", false, "console.example"),
            ("127.0.0.1:8425", false, "eye.example"),
        ] {
            assert!(known(address, has_tls, host), "{address}: {host}");
        }
        for (address, has_tls, host) in [
            ("10.0.0.5:443", false, "10.0.0.5"),
            ("10.0.0.5:80", true, "10.0.0.5"),
            ("10.0.0.5:8443", true, "10.0.0.5"),
            ("127.0.0.1:8425", false, "localhost"),
            ("127.0.0.1:443", true, "10.0.0.5"),
        ] {
            assert!(!known(address, has_tls, host), "{address}: {host}");
        }
    }
}
