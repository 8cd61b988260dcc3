//! The routes of the console.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::assets;
use super::filter::Filter;
use super::hub::Hub;
use super::look::Looker;
use super::servers::Servers;
use super::stored::{MapQuery, Store};
use super::stream;

/// The state that the routes answer from.
pub(super) struct Api {
    /// The settings that do not change.
    pub(super) about: Value,
    pub(super) hides_payloads: bool,
    pub(super) looker: Looker,
    pub(super) hub: Arc<Hub>,
    pub(super) store: Store,
    pub(super) servers: Servers,
}

/// A request that is not answered, and why.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    error: String,
}

/// The query for one stored value.
#[derive(Deserialize)]
struct Named {
    name: String,
}

type Shared = State<Arc<Api>>;
type Checked<T> = Result<Query<T>, QueryRejection>;

pub(super) fn router(api: Arc<Api>) -> Router {
    let router = Router::new()
        .route("/api/about", get(about))
        .route("/api/look", get(look))
        .route("/api/gaps", get(gaps))
        .route("/api/servers", get(servers))
        .route("/api/state", get(names))
        .route("/api/state/shared", get(shared))
        .route("/api/state/map", get(map))
        .route("/api/state/counter", get(counter))
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

async fn names(State(api): Shared) -> Result<Json<Value>, Failure> {
    api.store.names().await.map(Json)
}

async fn shared(State(api): Shared, query: Checked<Named>) -> Result<Json<Value>, Failure> {
    api.store.shared(&query?.name).await.map(Json)
}

async fn map(State(api): Shared, query: Checked<MapQuery>) -> Result<Json<Value>, Failure> {
    api.store.map(query?.0).await.map(Json)
}

async fn counter(State(api): Shared, query: Checked<Named>) -> Result<Json<Value>, Failure> {
    api.store.counter(&query?.name).await.map(Json)
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
        let error = error.to_string();
        Self { status, error }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}
