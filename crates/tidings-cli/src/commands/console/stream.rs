//! The stream of one viewer: looks, rows and counts, framed as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::hub::Watching;
use super::limits::{ROWS_TIME, SECOND};
use super::viewer::Counts;

/// A comment, which tells a page without a message that its stream is alive: a look lasts as long as its
/// slowest member, and the page takes a stream that is silent for some seconds as lost.
const SIGN_OF_LIFE: &str = ":\n\n";

/// The messages of one viewer.
struct Messages {
    watching: Watching,
    looks: watch::Receiver<Arc<str>>,
    tick: Interval,
    first: Option<String>,
    /// The counts that were sent, and when.
    sent: (Counts, Instant),
}

/// Answers with the stream of a viewer, which begins with `about`.
pub(super) fn answer(
    watching: Watching,
    mut looks: watch::Receiver<Arc<str>>,
    about: &Value,
) -> Response {
    // A look that others see is shown at once.
    looks.mark_changed();
    let mut tick = interval(ROWS_TIME);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let messages = Messages {
        watching,
        looks,
        tick,
        first: Some(message("about", &about.to_string())),
        sent: (Counts::default(), Instant::now()),
    };
    let body = unfold(messages, |mut messages| async move {
        let text = messages.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), messages))
    });
    let content_type = [(CONTENT_TYPE, "text/event-stream")];
    (content_type, Body::from_stream(body)).into_response()
}

impl Messages {
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match timeout(SECOND, self.message()).await {
            Ok(message) => message,
            Err(_) => Some(SIGN_OF_LIFE.to_owned()),
        }
    }

    /// Waits for the next look, or for rows.
    async fn message(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                changed = self.looks.changed() => {
                    changed.ok()?;
                    let look = Arc::clone(&self.looks.borrow_and_update());
                    if !look.is_empty() {
                        return Some(message("look", &look));
                    }
                }
                _ = self.tick.tick(), if self.watching.viewer.wants_events() => {
                    let text = self.rows();
                    if !text.is_empty() {
                        return Some(text);
                    }
                }
            }
        }
    }

    /// Returns the rows that wait, and each second the counts.
    fn rows(&mut self) -> String {
        let (rows, counts) = self.watching.viewer.take();
        let mut text = String::new();
        if !rows.is_empty() {
            text = message("rows", &format!("{{\"rows\":[{}]}}", rows.join(",")));
        }
        let (before, at) = self.sent;
        let elapsed = at.elapsed();
        if elapsed >= SECOND {
            let rate = |now: u64, before: u64| {
                let millis = elapsed.as_millis().try_into().unwrap_or(u64::MAX).max(1);
                (now - before).saturating_mul(1_000) / millis
            };
            let mut described = json!(counts);
            described["arrived_per_second"] = rate(counts.arrived, before.arrived).into();
            described["shown_per_second"] = rate(counts.shown, before.shown).into();
            text.push_str(&message("counts", &described.to_string()));
            self.sent = (counts, Instant::now());
        }
        text
    }
}

/// Frames a message. JSON has no line breaks.
fn message(kind: &str, json: &str) -> String {
    format!("event: {kind}\ndata: {json}\n\n")
}
