//! The documents of a contract that a page saves: the same as those of `tidings schema export`.

use std::io;

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
        let contract = self.contract(hash)?;
        let namespace = self.namespace.clone();
        let turn = self.turn().await;
        let written = spawn_blocking(move || {
            let _turn = turn;
            match form {
                Form::AsyncApi => written(&asyncapi(&contract, &namespace)),
                Form::JsonSchema => schemas(&contract),
            }
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
    let mut text = Limited(Vec::new());
    serde_json::to_writer_pretty(&mut text, document).ok()?;
    text.0.push(b'\n');
    String::from_utf8(text.0).ok()
}

/// Writes all schemas into one document, by the names of their files.
fn schemas(contract: &Contract) -> Option<String> {
    let mut document = serde_json::Map::new();
    let mut length = 0;
    for (name, schema) in JsonSchemas::new(contract).all() {
        length += written(&schema)?.len();
        if length > DOCUMENT {
            return None;
        }
        document.insert(name, schema);
    }
    written(&Value::Object(document))
}

/// A text of limited length: indented, a deep document is many times as long as in a contract.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > DOCUMENT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_written_up_to_its_limit_when_it_is_indented() {
        assert_eq!(written(&json!({ "a": 1 })).unwrap(), "{\n  \"a\": 1\n}\n");
        let deep = (0..100).fold(json!(vec![0; DOCUMENT >> 7]), |inner, _| json!([inner]));
        assert!(deep.to_string().len() < DOCUMENT / 8);
        assert_eq!(written(&deep), None);
    }
}
