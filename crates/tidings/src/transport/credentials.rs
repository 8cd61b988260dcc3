//! Credentials that are asked for at each connect.

use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;

use crate::error::connect::ConnectError;
use crate::error::failure::HandlerError;
use crate::task::panic::{caught, panic_text};

/// A user of Redis and its password, for [`BusBuilder::credentials`](crate::BusBuilder::credentials).
#[derive(Clone)]
pub struct Credentials {
    pub(crate) user: Option<String>,
    pub(crate) password: String,
}

impl Credentials {
    /// A user and its password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: Some(user.into()),
            ..Self::password(password)
        }
    }

    /// The password of the user in the address, or of the default user.
    pub fn password(password: impl Into<String>) -> Self {
        Self {
            user: None,
            password: password.into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

type Answer = BoxFuture<'static, Result<Credentials, HandlerError>>;

/// Returns the credentials for the next connection.
#[derive(Clone)]
pub(crate) struct CredentialSource(Arc<dyn Fn() -> Answer + Send + Sync>);

impl CredentialSource {
    pub(crate) fn new<S, A, E>(source: S) -> Self
    where
        S: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<HandlerError>,
    {
        Self(Arc::new(move || {
            let answer = source();
            async { answer.await.map_err(Into::into) }.boxed()
        }))
    }

    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self::new(move || read_password(path.clone()))
    }

    /// Asks for credentials. The code of the source may fail and panic.
    pub(crate) async fn ask(&self) -> Result<Credentials, ConnectError> {
        let answer = AssertUnwindSafe(async { (self.0)().await }).catch_unwind();
        let answer = answer.await.unwrap_or_else(|panic| {
            let text = panic_text(&*panic);
            let _ = caught(|| drop(panic));
            Err(format!("the source panicked: {text}").into())
        });
        match answer {
            Ok(credentials) if credentials.password.is_empty() => {
                Err("the password is empty".into())
            }
            answer => answer,
        }
        .map_err(|source| ConnectError::Credentials { source })
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource").finish_non_exhaustive()
    }
}

async fn read_password(path: PathBuf) -> Result<Credentials, PasswordFileError> {
    let file = path.clone();
    let read = spawn_blocking(move || std::fs::read_to_string(file)).await;
    match read.map_err(io::Error::other).flatten() {
        Ok(text) => Ok(Credentials::password(text.trim_end_matches(['\r', '\n']))),
        Err(source) => Err(PasswordFileError { path, source }),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read the password file `{}`", .path.display())]
struct PasswordFileError {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    async fn error_of(source: CredentialSource) -> String {
        report(&source.ask().await.unwrap_err()).to_string()
    }

    #[test]
    fn a_debug_view_holds_no_secret() {
        let credentials = Credentials::new("hush", "hush-hush");
        assert!(!format!("{credentials:?}").contains("hush"));
    }

    #[tokio::test]
    async fn a_source_that_panics_or_has_no_password_is_an_error() {
        let panics = async || -> Result<Credentials, HandlerError> { panic!("no token") };
        let text = error_of(CredentialSource::new(panics)).await;
        assert_eq!(
            text,
            "cannot get the credentials: the source panicked: no token"
        );
        let empty = async || Ok::<_, HandlerError>(Credentials::password(""));
        let text = error_of(CredentialSource::new(empty)).await;
        assert_eq!(text, "cannot get the credentials: the password is empty");
    }

    #[tokio::test]
    async fn an_error_names_the_password_file() {
        let text = error_of(CredentialSource::of_file("/nowhere/password".into())).await;
        let expected = "cannot get the credentials: cannot read the password file \
                        `/nowhere/password`: ";
        assert!(text.starts_with(expected), "{text}");
    }
}
