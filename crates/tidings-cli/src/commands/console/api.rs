//! The routes of the console.

use std::fmt::{self, Display};
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::assets;
use super::changes::{Change, Changes};
use super::contracts::{Contracts, Form, PlaceQuery};
use super::filter::Filter;
use super::hub::Hub;
use super::look::Looker;
use super::sender::{Outgoing, Sender};
use super::servers::Servers;
use super::stored::{MapQuery, Store};
use super::stream;
use super::writer::{CounterChange, MapChange, SharedChange};
use crate::exit::{Exit, exit_of};

/// The state that the routes answer from.
pub(super) struct Api {
    /// The settings that do not change.
    pub(super) about: Value,
    pub(super) hides_payloads: bool,
    pub(super) looker: Looker,
    pub(super) hub: Arc<Hub>,
    pub(super) store: Store,
    pub(super) servers: Servers,
    pub(super) contracts: Contracts,
    pub(super) sender: Sender,
    pub(super) changes: Changes,
}

/// A request that is not answered, and why.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    error: String,
    /// The value that is there instead of the one that was to be changed.
    current: Option<Value>,
    /// The text for the log, if the error quotes a payload.
    unquoted: Option<&'static str>,
}

/// The query for one stored value.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// The query for a document of a contract.
#[derive(Deserialize)]
struct Hashed {
    hash: String,
}

type Shared = State<Arc<Api>>;
type Answer = Result<Json<Value>, Failure>;
type Checked<T> = Result<Query<T>, QueryRejection>;

pub(super) fn router(api: Arc<Api>) -> Router {
    let router = Router::new()
        .route("/api/about", get(about))
        .route("/api/look", get(look))
        .route("/api/gaps", get(gaps))
        .route("/api/servers", get(servers))
        .route("/api/state", get(names))
        .route("/api/state/shared", get(shared).post(change_shared))
        .route("/api/state/map", get(map).post(change_map))
        .route("/api/state/counter", get(counter).post(change_counter))
        .route("/api/contracts", get(contract_list))
        .route("/api/contracts/place", get(place))
        .route("/api/contracts/asyncapi", get(asyncapi))
        .route("/api/contracts/jsonschema", get(jsonschema))
        .route("/api/send", post(send))
        .route("/api/stream", get(stream))
        .fallback(nothing)
        .with_state(api);
    assets::add_to(router)
}

async fn about(State(api): Shared) -> Json<Value> {
    Json(api.about.clone())
}

async fn look(State(api): Shared) -> Response {
    written(&api.looker.look(&api.hub).await)
}

async fn gaps(State(api): Shared) -> Json<Value> {
    Json(api.looker.incidents(&api.hub).await)
}

async fn servers(State(api): Shared) -> Response {
    written(&api.servers.servers().await)
}

async fn names(State(api): Shared) -> Answer {
    api.store.names().await.map(Json)
}

async fn shared(State(api): Shared, query: Checked<Named>) -> Answer {
    api.store.shared(&query?.name).await.map(Json)
}

async fn map(State(api): Shared, query: Checked<MapQuery>) -> Answer {
    api.store.map(query?.0).await.map(Json)
}

async fn counter(State(api): Shared, query: Checked<Named>) -> Answer {
    api.store.counter(&query?.name).await.map(Json)
}

/// It goes on if the page goes away: what was asked for is remembered.
async fn contract_list(State(api): Shared) -> Answer {
    let asked = tokio::spawn(async move {
        let announced = api.looker.announced(&api.hub).await;
        api.contracts.overview(&announced).await
    });
    asked.await.map_err(super::contracts::panicked)?.map(Json)
}

async fn place(State(api): Shared, query: Checked<PlaceQuery>) -> Answer {
    api.contracts.place(query?.0).await.map(Json)
}

async fn asyncapi(State(api): Shared, query: Checked<Hashed>) -> Result<Response, Failure> {
    api.contracts.document(&query?.hash, Form::AsyncApi).await
}

async fn jsonschema(State(api): Shared, query: Checked<Hashed>) -> Result<Response, Failure> {
    api.contracts.document(&query?.hash, Form::JsonSchema).await
}

async fn change_shared(State(api): Shared, change: Change<SharedChange>) -> Answer {
    let changes = api.changes.clone();
    let make = async move |change| api.store.change_shared(change).await;
    change.make(&changes, make).await
}

async fn change_map(State(api): Shared, change: Change<MapChange>) -> Answer {
    let changes = api.changes.clone();
    let make = async move |change| api.store.change_map(change).await;
    change.make(&changes, make).await
}

async fn change_counter(State(api): Shared, change: Change<CounterChange>) -> Answer {
    let changes = api.changes.clone();
    let make = async move |change| api.store.change_counter(change).await;
    change.make(&changes, make).await
}

async fn send(State(api): Shared, change: Change<Outgoing>) -> Answer {
    let changes = api.changes.clone();
    let make = async move |event| api.sender.send(&event, &api).await;
    change.make(&changes, make).await
}

async fn stream(State(api): Shared, query: Checked<Filter>) -> Result<Response, Failure> {
    let filter = query?.0.prepared();
    if filter.has_text() && api.hides_payloads {
        // A search would tell what payloads contain.
        let error = "payloads are hidden: the filter cannot have a text";
        return Err(Failure::new(StatusCode::BAD_REQUEST, error));
    }
    // Subscribed before the viewer counts, so that it sees the first look.
    let looks = api.hub.looks.subscribe();
    let Some(watching) = api.hub.enter(filter) else {
        let error = "too many streams are open: close a page";
        return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, error));
    };
    let mut about = api.about.clone();
    about["history"] = api.hub.history().into();
    Ok(stream::answer(watching, looks, &about))
}

async fn nothing() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

/// Answers with JSON that is a text already.
fn written(json: &str) -> Response {
    ([(CONTENT_TYPE, "application/json")], json.to_owned()).into_response()
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: impl Display) -> Self {
        Self {
            status,
            error: error.to_string(),
            current: None,
            unquoted: None,
        }
    }

    /// Keeps the error out of the log, which has this text instead.
    pub(super) fn logged_as(mut self, text: &'static str) -> Self {
        self.unquoted = Some(text);
        self
    }

    pub(super) fn with_current(mut self, current: Value) -> Self {
        self.current = Some(current);
        self
    }

    /// Returns whether what was asked for may have happened.
    pub(super) fn is_unknown(&self) -> bool {
        self.status == StatusCode::GATEWAY_TIMEOUT
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

/// The text for the log.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.unquoted.unwrap_or(&self.error))
    }
}

/// The status says what may have happened.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let status = match exit_of(&error) {
            Exit::Usage => StatusCode::BAD_REQUEST,
            Exit::Nobody => StatusCode::NOT_FOUND,
            Exit::Unknown => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, format_args!("{error:#}"))
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut answer = json!({ "error": self.error });
        if let Some(current) = self.current {
            answer["current"] = current;
        }
        (self.status, Json(answer)).into_response()
    }
}
