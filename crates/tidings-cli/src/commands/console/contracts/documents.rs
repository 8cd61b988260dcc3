//! The documents of a contract that a page saves: the same as those of `tidings schema export`.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::{Contracts, panicked};
use crate::commands::console::api::Failure;
use crate::commands::console::limits::DOCUMENT;
use crate::contract::{Contract, JsonSchemas, asyncapi};

/// The form of a document.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Form {
    AsyncApi,
    JsonSchema,
}

impl Contracts {
    /// Returns a document of the contract with this hash.
    pub(in super::super) async fn document(
        &self,
        hash: &str,
        form: Form,
    ) -> Result<Response, Failure> {
        let contract = self.contract(hash).await?;
        let namespace = self.namespace.clone();
        let written = spawn_blocking(move || match form {
            Form::AsyncApi => written(&asyncapi(&contract, &namespace)),
            Form::JsonSchema => schemas(&contract),
        });
        let text = written.await.map_err(panicked)?.ok_or_else(|| {
            let most = DOCUMENT >> 20;
            let error = format!(
                "the document has more than {most} MiB: `tidings schema export` writes it from the \
                 contract file"
            );
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error)
        })?;
        Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
    }
}

/// Writes a document as a file has it, if it is not too long.
fn written(document: &Value) -> Option<String> {
    let text = format!("{document:#}\n");
    (text.len() <= DOCUMENT).then_some(text)
}

/// Writes all schemas into one document, by the names of their files.
fn schemas(contract: &Contract) -> Option<String> {
    let mut document = serde_json::Map::new();
    let mut length = 0;
    for (name, schema) in JsonSchemas::new(contract).all() {
        length += schema.to_string().len();
        if length > DOCUMENT {
            return None;
        }
        document.insert(name, schema);
    }
    written(&Value::Object(document))
}
