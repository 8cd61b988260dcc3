//! The routes. While Redis does not answer, a request ends within a second: with the cached value,
//! or with 503.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::{Bus, MapOptions, SharedError, SharedMap, StoreError};
use tokio::time::timeout;

use crate::page::page;
use crate::settings::Settings;

/// The longest value, in bytes.
const LONGEST_VALUE: usize = 64 << 10;

/// The longest key, in bytes: a map accepts no longer one.
const LONGEST_KEY: usize = 1 << 10;

/// Each byte may be percent-encoded.
const LONGEST_BODY: usize = 3 * (LONGEST_VALUE + LONGEST_KEY) + 64;

/// A client gets an answer within a second.
const ANSWERS_WITHIN: Duration = Duration::from_millis(900);

/// The source of the value in an answer: `hit`, `miss` or `stale`.
const CACHE: HeaderName = HeaderName::from_static("x-cache");
const INSTANCE: HeaderName = HeaderName::from_static("x-instance");

#[derive(Clone)]
pub(crate) struct Service {
    bus: Bus,
    values: SharedMap<String, String>,
    instance: Arc<str>,
}

impl Service {
    pub(crate) fn new(bus: Bus, settings: Settings) -> Result<Self, SharedError> {
        let options = MapOptions::new().ttl(settings.ttl);
        Ok(Self {
            values: bus.map_with("values", options)?,
            bus,
            instance: settings.instance.into(),
        })
    }

    /// An answer with the page.
    fn show(&self, status: StatusCode, result: &str) -> Response {
        let instance = HeaderValue::from_str(&self.instance);
        let instance = instance.unwrap_or(HeaderValue::from_static("?"));
        let page = Html(page(&self.instance, result));
        (status, [(INSTANCE, instance)], page).into_response()
    }
}

pub(crate) fn router(service: Service) -> Router {
    Router::new()
        .route("/", get(form))
        .route("/save-data", post(save))
        .route("/search", post(search))
        .route("/data/{key}", delete(remove))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(service)
}

async fn form(State(service): State<Service>) -> Response {
    service.show(StatusCode::OK, "")
}

#[derive(Deserialize)]
struct Save {
    key: String,
    value: String,
}

async fn save(
    State(service): State<Service>,
    form: Result<Form<Save>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(Save { key, value }) = form.map_err(|refused| service.refuse_form(&refused))?;
    service.check_key(&key)?;
    if value.len() > LONGEST_VALUE {
        let why = format!("A value has at most {LONGEST_VALUE} bytes.");
        return Err(service.refuse(StatusCode::PAYLOAD_TOO_LARGE, &why));
    }
    let saved = timeout(ANSWERS_WITHIN, service.values.set(&key, &value)).await;
    service.check_stored(saved.ok())?;
    Ok(service.show(StatusCode::CREATED, &format!("Saved `{key}`.")))
}

#[derive(Deserialize)]
struct Search {
    key: String,
}

async fn search(
    State(service): State<Service>,
    form: Result<Form<Search>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(Search { key }) = form.map_err(|refused| service.refuse_form(&refused))?;
    service.check_key(&key)?;
    let was_cached = service.values.peek(&key).is_some();
    let value = match timeout(ANSWERS_WITHIN, service.values.get(&key)).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => return Err(service.unavailable(&error)),
        Err(_) => return Err(service.silent()),
    };
    let Some(value) = value else {
        let nothing = format!("Nothing is saved under `{key}`.");
        return Ok(service.show(StatusCode::NOT_FOUND, &nothing));
    };
    let stale_since = service.values.stale_since().filter(|_| was_cached);
    let (cache, source) = match (stale_since, was_cached) {
        (Some(_), _) => ("stale", "the cache; it may be out of date"),
        (None, true) => ("hit", "the cache"),
        (None, false) => ("miss", "Redis"),
    };
    let found = format!("`{key}` is `{value}`, from {source}.");
    let mut response = service.show(StatusCode::OK, &found);
    let headers = response.headers_mut();
    headers.insert(CACHE, HeaderValue::from_static(cache));
    if let Some(since) = stale_since {
        headers.insert(header::AGE, age(since));
    }
    Ok(response)
}

/// The seconds since the last moment at which the value was known to be current.
fn age(since: Instant) -> HeaderValue {
    HeaderValue::from(since.elapsed().as_secs())
}

async fn remove(
    State(service): State<Service>,
    Path(key): Path<String>,
) -> Result<Response, Refusal> {
    service.check_key(&key)?;
    let removed = timeout(ANSWERS_WITHIN, service.values.remove(&key)).await;
    service.check_stored(removed.ok())?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Answers a readiness probe. An instance without Redis stays in service: it has its cache, and
/// another one would have no Redis either.
async fn ready(State(service): State<Service>) -> Json<Value> {
    Json(json!({ "ready": true, "degraded": !service.bus.is_ready() }))
}

/// An answer that is an error.
struct Refusal(Box<Response>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl Service {
    fn refuse(&self, status: StatusCode, why: &str) -> Refusal {
        Refusal(Box::new(self.show(status, why)))
    }

    fn check_key(&self, key: &str) -> Result<(), Refusal> {
        let (status, why) = match key.len() {
            0 => (StatusCode::BAD_REQUEST, "A key is not empty.".to_owned()),
            1..=LONGEST_KEY => return Ok(()),
            _ => {
                let why = format!("A key has at most {LONGEST_KEY} bytes.");
                (StatusCode::PAYLOAD_TOO_LARGE, why)
            }
        };
        Err(self.refuse(status, &why))
    }

    fn refuse_form(&self, refused: &FormRejection) -> Refusal {
        self.refuse(refused.status(), &refused.body_text())
    }

    fn check_stored(&self, stored: Option<Result<(), StoreError>>) -> Result<(), Refusal> {
        match stored {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.unavailable(&error)),
            None => Err(self.silent()),
        }
    }

    fn unavailable(&self, error: &(dyn std::error::Error + 'static)) -> Refusal {
        let why = format!("Redis is unavailable: {}.", tidings::report(error));
        self.refuse(StatusCode::SERVICE_UNAVAILABLE, &why)
    }

    fn silent(&self) -> Refusal {
        let why = "Redis did not answer in time: the change may or may not be made.";
        self.refuse(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}
