//! The rows of the page of events, as JSON.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};
use tidings::codec::{DecodeError, Format, To};
use tidings::{Gap, TappedEvent, Unreadable, report};

use super::limits::{PREVIEW, PREVIEW_NODES, RAW};
use super::mask::Secrecy;
use crate::time::milliseconds_of;

/// An event for several viewers: it is decoded once, and only if one of them wants it.
pub(super) struct Seen<'a> {
    pub(super) event: &'a TappedEvent,
    pub(super) sender_name: Option<&'a str>,
    secrecy: &'a Secrecy,
    data: OnceCell<Result<Value, DecodeError>>,
    row: OnceCell<Arc<str>>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(
        event: &'a TappedEvent,
        sender_name: Option<&'a str>,
        secrecy: &'a Secrecy,
    ) -> Self {
        Self {
            event,
            sender_name,
            secrecy,
            data: OnceCell::new(),
            row: OnceCell::new(),
        }
    }

    /// Returns the payload with its masks.
    pub(super) fn data(&self) -> Result<&Value, &DecodeError> {
        let decode = || {
            let mut data = self.event.decode()?;
            let masked = self.secrecy.masks.of_event(self.event);
            masked.replace_in(&mut data);
            Ok(data)
        };
        self.data.get_or_init(decode).as_ref()
    }

    pub(super) fn row(&self) -> Arc<str> {
        let row = self.row.get_or_init(|| self.described().to_string().into());
        Arc::clone(row)
    }

    fn described(&self) -> Value {
        let event = self.event;
        let to = match event.to() {
            To::All => "all".to_owned(),
            To::Others => "others".to_owned(),
            To::Node(node) => node.to_string(),
        };
        let mut row = json!({
            "kind": "event",
            "at": milliseconds_of(event.sent_at().unwrap_or_else(|| event.received_at())),
            "name": event.name(),
            "sender": *event.sender(),
            "sender_name": self.sender_name,
            "sequence": event.sequence(),
            "to": to,
            "format": event.format().to_string(),
            "bytes": event.payload().bytes().len(),
            "is_request": event.is_request(),
            "error": null,
            "is_cut": false,
            "is_hidden": self.secrecy.hides_payloads,
        });
        if !self.secrecy.hides_payloads {
            row["headers"] = json!(event.headers());
            self.add_payload(&mut row);
        }
        row
    }

    fn add_payload(&self, row: &mut Value) {
        let bytes = self.event.payload().bytes();
        let is_masked = self.secrecy.masks.of_event(self.event).is_any();
        row["is_masked"] = is_masked.into();
        if !is_masked {
            let is_json = self.event.format() == Format::Json;
            let (raw, is_hex) = raw(bytes, is_json);
            row["raw"] = raw.into();
            row["is_hex"] = is_hex.into();
        }
        if bytes.len() > PREVIEW {
            row["is_cut"] = true.into();
            return;
        }
        match self.data() {
            Ok(data) if is_small(data) => row["data"] = data.clone(),
            Ok(_) => row["is_cut"] = true.into(),
            // The error may quote the payload.
            Err(_) if is_masked => row["error"] = "it is masked".into(),
            Err(error) => row["error"] = report(error).to_string().into(),
        }
    }
}

/// Returns the start of a payload as it was sent: as a text, or as hexadecimal digits and true.
fn raw(bytes: &[u8], is_text: bool) -> (String, bool) {
    let start = &bytes[..bytes.len().min(RAW)];
    // The end may have cut a character.
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        Err(error) if start.len() < bytes.len() && error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    if let Some(text) = text.filter(|_| is_text) {
        return (text.to_owned(), false);
    }
    let mut digits = String::with_capacity(2 * start.len());
    for byte in start {
        let _ = write!(digits, "{byte:02x}");
    }
    (digits, true)
}

/// Returns whether a browser can show the value at once.
pub(super) fn is_small(value: &Value) -> bool {
    count_nodes(value, PREVIEW_NODES).is_some()
}

/// Counts the values within a value, and returns how many more there may be.
fn count_nodes(value: &Value, budget: usize) -> Option<usize> {
    let budget = budget.checked_sub(1)?;
    match value {
        Value::Array(values) => values
            .iter()
            .try_fold(budget, |it, value| count_nodes(value, it)),
        Value::Object(fields) => fields
            .values()
            .try_fold(budget, |it, value| count_nodes(value, it)),
        _ => Some(budget),
    }
}

pub(super) fn gap(gap: &Gap, sender_name: Option<&str>) -> Value {
    let reason = serde_json::to_value(&gap.reason).unwrap_or_default();
    json!({
        "kind": "gap",
        "at": milliseconds_of(SystemTime::now()),
        "sender": gap.sender,
        "sender_name": sender_name,
        "missed": gap.missed,
        "reason": reason["kind"],
        "text": gap.to_string(),
    })
}

pub(super) fn unreadable(frame: &Unreadable) -> Value {
    json!({
        "kind": "unreadable",
        "at": milliseconds_of(frame.received_at()),
        "sender": *frame.sender(),
        "bytes": frame.bytes().len(),
        "text": report(frame.failure()).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shown_as_text_or_as_digits() {
        assert_eq!(raw(b"{\"a\":1}", true), ("{\"a\":1}".to_owned(), false));
        assert_eq!(raw(b"\x81\xa1a", false), ("81a161".to_owned(), true));
        assert_eq!(raw(b"\xff", true), ("ff".to_owned(), true));
        assert_eq!(raw(b"a\xc3", true), ("61c3".to_owned(), true));
        let long = "ä".repeat(RAW);
        assert_eq!(raw(long.as_bytes(), true), ("ä".repeat(RAW / 2), false));
        let odd = format!("a{long}");
        assert_eq!(raw(odd.as_bytes(), true).0.len(), RAW - 1);
    }

    #[test]
    fn values_with_many_nodes_are_not_small() {
        let of = |length: usize| Value::from(vec![Value::Null; length]);
        assert!(is_small(&of(PREVIEW_NODES - 1)));
        assert!(!is_small(&of(PREVIEW_NODES)));
        assert!(!is_small(&json!({ "a": of(PREVIEW_NODES - 1) })));
    }
}
