//! Text of other programs, wherever it is shown: one line that does nothing to a terminal or a log.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tidings_codec::{DecodeError, Format, NodeId, Payload, check_name};

use crate::error::connect::{ConnectError, UrlError};
use crate::error::counter::CounterError;
use crate::error::failure::{Failure, HandlerFailure};
use crate::error::members::MembersError;
use crate::error::report;
use crate::error::request::ResponseError;
use crate::error::send::SendError;
use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::error::shared::{LoadError, SharedError, StoreError};
use crate::error::start::StartError;
use crate::error::subscribe::SubscribeError;
use crate::request::summary::{Responder, Summary};

/// Clears the screen, begins a line of a log, colors it, turns it around and hides a character.
const INJECTION: &str =
    "x\u{1b}[2J\r\n2026-01-01 ERROR lost \u{9b}31m\u{202e}txt\u{2028}\u{200b}\u{feff}\t\0\u{7f}";

/// The shown texts, by their kind.
#[derive(Default)]
struct Shown(Vec<(String, String)>);

impl Shown {
    fn error(&mut self, error: &(dyn Error + 'static)) {
        self.text(error);
        self.0
            .push((format!("report of {error:?}"), report(error).to_string()));
        let mut cause = error.source();
        while let Some(error) = cause {
            // What an application fails with is its own; the report of it is escaped.
            if error.is::<std::io::Error>() {
                break;
            }
            self.text(error);
            cause = error.source();
        }
    }

    fn text(&mut self, shown: impl Display + Debug) {
        self.0.push((format!("{shown:?}"), shown.to_string()));
    }

    /// Every text is one line, has no character that does something, and still says what it says.
    fn check(&self) {
        for (debug, text) in &self.0 {
            for text in [debug, text] {
                let harmful = |character: char| {
                    character.is_control()
                        || INJECTION[1..]
                            .chars()
                            .any(|one| one == character && !one.is_ascii())
                };
                assert!(!text.contains(harmful), "{text:?}");
            }
        }
    }
}

fn foreign() -> String {
    INJECTION.to_owned()
}

fn io() -> std::io::Error {
    std::io::Error::other(INJECTION)
}

/// The words of serde's error for a payload that quotes its sender.
fn decode_errors() -> Vec<DecodeError> {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[serde(default)]
        _id: u64,
    }
    #[derive(Debug, Deserialize)]
    enum Choice {
        One,
    }
    #[derive(Debug, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        One,
    }
    fn error<T: serde::de::DeserializeOwned + Debug>(
        format: Format,
        value: &serde_json::Value,
    ) -> DecodeError {
        let mut bytes = Vec::new();
        format.encode(value, &mut bytes).unwrap();
        Payload::new(format, &bytes).decode::<T>().unwrap_err()
    }
    let mut errors = Vec::new();
    for format in [Format::Json, Format::MessagePack] {
        errors.push(error::<Strict>(
            format,
            &serde_json::json!({ INJECTION: 1 }),
        ));
        errors.push(error::<Choice>(format, &serde_json::json!(INJECTION)));
        errors.push(error::<Choice>(
            format,
            &serde_json::json!({ INJECTION: 1 }),
        ));
        errors.push(error::<Tagged>(
            format,
            &serde_json::json!({ "type": INJECTION }),
        ));
        errors.push(error::<u64>(format, &serde_json::json!(INJECTION)));
        errors.push(error::<std::net::IpAddr>(
            format,
            &serde_json::json!(INJECTION),
        ));
    }
    let _ = (Choice::One, Tagged::One);
    errors
}

#[test]
fn payloads_of_others_are_shown_escaped() {
    let mut shown = Shown::default();
    for error in decode_errors() {
        let quotes = report(&error).to_string();
        assert!(quotes.contains("cannot read"), "{quotes}");
        shown.error(&error);
    }
    let payload = format!("\"{INJECTION}\"");
    shown.0.push((
        String::new(),
        format!("{:?}", Payload::new(Format::Json, payload.as_bytes())),
    ));
    shown.check();
}

#[test]
fn members_and_their_answers_are_shown_escaped() {
    let who = || Responder {
        node: NodeId::new(7),
        name: Some(foreign()),
        role: Some(foreign()),
    };
    let mut shown = Shown::default();
    shown.text(who());
    shown.text(Summary {
        handled: vec![who()],
        failed: vec![(who(), foreign())],
        without_handler: vec![who()],
        timed_out: vec![who()],
        left: vec![who()],
        timeout: Duration::from_secs(2),
        ..Summary::default()
    });
    shown.error(&ResponseError::Failed { text: foreign() });
    shown.error(&MembersError::Foreign { words: foreign() });
    shown.check();
}

#[test]
fn words_of_redis_are_shown_escaped() {
    let reason = || SendFailure::Refused(INJECTION.into());
    let mut shown = Shown::default();
    shown.text(reason());
    shown.text(Unconfirmed::NotSent(reason()));
    shown.error(&ConnectError::Redis {
        doing: "subscribing",
        words: foreign(),
        cure: None,
        is_final: false,
    });
    shown.error(&ConnectError::Denied {
        doing: "subscribing",
        words: foreign(),
        cure: String::new(),
    });
    shown.error(&ConnectError::Tls {
        doing: "connecting",
        problem: foreign(),
        source: Box::new(io()),
        is_final: true,
    });
    shown.error(&ConnectError::Role { role: foreign() });
    shown.error(&ConnectError::Moved { to: foreign() });
    shown.error(&ConnectError::Sentinels {
        master: foreign(),
        said: foreign(),
        is_final: false,
    });
    shown.error(&SendError::Unknown {
        event: "tick".to_owned(),
        why: reason(),
    });
    shown.error(&CounterError::Foreign {
        counter: "visits".to_owned(),
        words: foreign(),
    });
    shown.check();
}

#[test]
fn shared_values_of_others_are_shown_escaped() {
    let mut shown = Shown::default();
    let loads = || {
        let decode = decode_errors().into_iter().map(|source| LoadError::Decode {
            shared: foreign(),
            source: Arc::new(source),
        });
        decode.chain([
            LoadError::Foreign {
                shared: foreign(),
                words: foreign(),
            },
            LoadError::Format {
                shared: foreign(),
                format: foreign(),
            },
            LoadError::Key {
                shared: "prices".to_owned(),
                key: foreign(),
                words: foreign(),
            },
        ])
    };
    for error in loads() {
        shown.error(&error);
    }
    for source in loads() {
        shown.error(&Failure::Shared {
            shared: foreign(),
            source,
        });
    }
    shown.error(&Failure::ValueLost {
        shared: foreign(),
        version: 3,
        found: None,
    });
    shown.error(&StoreError::Unconfirmed {
        shared: "limits".to_owned(),
        why: Unconfirmed::NotSent(SendFailure::Refused(INJECTION.into())),
    });
    shown.check();
}

#[test]
fn failures_of_handlers_are_shown_escaped() {
    let failure = |cause| Failure::Handler {
        event: "tick".to_owned(),
        handler: "tick (u64)".into(),
        sender: None,
        sequence: None,
        cause,
    };
    let mut shown = Shown::default();
    shown.error(&failure(HandlerFailure::Failed(Box::new(io()))));
    shown.error(&failure(HandlerFailure::Panicked(foreign())));
    for source in decode_errors() {
        shown.error(&Failure::Payload {
            event: "tick".to_owned(),
            handler: "tick (u64)".into(),
            sender: None,
            sequence: None,
            source,
        });
    }
    shown.check();
}

#[test]
fn names_that_were_refused_are_shown_escaped() {
    let source = || check_name(INJECTION).unwrap_err();
    let mut shown = Shown::default();
    shown.error(&SendError::Name {
        event: foreign(),
        source: source(),
    });
    shown.error(&SubscribeError::Name {
        event: foreign(),
        source: source(),
    });
    shown.error(&SharedError::Name {
        shared: foreign(),
        source: source(),
    });
    shown.error(&SendError::Nobody {
        event: "tick".to_owned(),
        to: foreign(),
    });
    shown.error(&StartError::Namespace {
        namespace: foreign(),
        source: source(),
    });
    shown.error(&StartError::Url {
        url: foreign(),
        source: UrlError::Malformed { reason: foreign() },
    });
    shown.check();
}
