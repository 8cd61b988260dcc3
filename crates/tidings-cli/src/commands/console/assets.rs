//! The files of the page, which are part of the program.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

/// A file of the page.
struct Asset {
    path: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($path:literal $name:literal),* $(,)?) => {
        &[$(Asset { path: $path, text: include_str!(concat!("page/", $name)) }),*]
    };
}

const ASSETS: &[Asset] = assets![
    "/" "index.html",
    "/api.js" "api.js",
    "/change.js" "change.js",
    "/chart.js" "chart.js",
    "/console.css" "console.css",
    "/contract.js" "contract.js",
    "/contracts.js" "contracts.js",
    "/dom.js" "dom.js",
    "/edit.js" "edit.js",
    "/events.js" "events.js",
    "/favicon.svg" "favicon.svg",
    "/filter.js" "filter.js",
    "/fleet.js" "fleet.js",
    "/form.js" "form.js",
    "/format.js" "format.js",
    "/gaps.js" "gaps.js",
    "/json.js" "json.js",
    "/main.js" "main.js",
    "/members.js" "members.js",
    "/outline.js" "outline.js",
    "/overview.js" "overview.js",
    "/payload.js" "payload.js",
    "/redis.js" "redis.js",
    "/route.js" "route.js",
    "/row.js" "row.js",
    "/send.js" "send.js",
    "/state.js" "state.js",
    "/stream.js" "stream.js",
    "/tally.js" "tally.js",
    "/widgets.js" "widgets.js",
];

impl Asset {
    fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, end)| end) {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        }
    }

    /// Returns a text that changes with the file.
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = self.tag();
        let known = headers.get(IF_NONE_MATCH);
        let about = [(CACHE_CONTROL, "no-cache"), (ETAG, tag.as_str())];
        if known.is_some_and(|known| known == tag.as_str()) {
            return (StatusCode::NOT_MODIFIED, about).into_response();
        }
        let content_type = [(CONTENT_TYPE, self.content_type())];
        (about, content_type, self.text).into_response()
    }
}

/// Adds a route for each file.
pub(super) fn add_to(router: Router) -> Router {
    ASSETS.iter().fold(router, |router, asset| {
        let answer = move |headers: HeaderMap| async move { asset.answer(&headers) };
        router.route(asset.path, get(answer))
    })
}
