//! Sends events for a page, and tells which members handled them.

use std::fmt;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidings::Bus;
use tidings_codec::check_name;

use super::api::{Api, Failure};
use super::changes::{self, Made, Quoted};
use crate::app::App;
use crate::args::To;
use crate::commands::send::Event;
use crate::connect::to_send;
use crate::recipient::Recipients;
use crate::settings::Settings;

/// An event that a page wants to send.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outgoing {
    event: String,
    /// `all`, `others`, `role:NAME`, or a name or an id, as `tidings send --to` takes it.
    to: String,
    /// JSON as a text, so that no browser rounds its numbers.
    payload: String,
    /// True if it is sent although a receiver cannot read it.
    #[serde(default)]
    force: bool,
}

impl fmt::Display for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.payload.len();
        let (event, to) = (Quoted(&self.event), Quoted(&self.to));
        write!(f, "send {event} to {to}, {bytes} bytes")
    }
}

pub(super) struct Sender {
    pub(super) app: App,
    pub(super) settings: Settings,
    pub(super) bus: Bus,
}

impl Sender {
    /// Sends an event that its receivers can read, and waits for them.
    pub(super) async fn send(&self, wanted: &Outgoing, api: &Api) -> Result<Made, Failure> {
        check_name(&wanted.event).map_err(|error| {
            let error = format!("this cannot be the name of an event: {error}");
            Failure::new(StatusCode::BAD_REQUEST, error)
        })?;
        let data = changes::json(&wanted.payload)?;
        let to: To = match wanted.to.parse() {
            Ok(to) => to,
            Err(never) => match never {},
        };
        let bus = to_send(&self.app, &self.settings, self.bus.clone(), false).await?;
        let to = Recipients::find(&bus, &to).await?;
        if !wanted.force {
            let announced = api.looker.announced(&api.hub).await;
            let event = (&*wanted.event, &data);
            api.contracts.check_payload(&announced, &to, event).await?;
        }
        let event = Event {
            bus: &bus,
            name: &wanted.event,
            data,
            headers: &[],
        };
        let sent = event.acknowledged(&to, self.app.global.timeout).await?;
        Ok(Made {
            text: sent.summary.to_string(),
            answer: json!({
                "event": wanted.event,
                "to": wanted.to,
                "node": bus.id(),
                "summary": sent.summary,
            }),
        })
    }
}
