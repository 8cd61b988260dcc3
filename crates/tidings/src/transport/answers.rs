//! The answers of several servers to the same question, for errors that name each of them.

use crate::error::connect::ConnectError;
use crate::error::report;
use crate::transport::address::{Place, shown};

/// The maximum number of servers that are asked, including those that others name.
pub(super) const MOST: usize = 32;

/// The reason why a server gives no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer {
    pub(super) why: String,
    /// True if it rejects this bus, for a wrong password for example.
    pub(super) is_final: bool,
}

impl NoAnswer {
    /// The reason of a server that has not answered in time.
    pub(super) fn yet() -> Self {
        Self {
            why: "no answer yet".to_owned(),
            is_final: false,
        }
    }
}

impl From<&ConnectError> for NoAnswer {
    fn from(why: &ConnectError) -> Self {
        Self {
            why: report(why).to_string(),
            is_final: why.is_final(),
        }
    }
}

/// Lists the answer of each server.
pub(super) fn list<'a>(said: impl IntoIterator<Item = (&'a Place, String)>) -> String {
    let said: Vec<_> = said.into_iter().map(line).collect();
    said.join("; ")
}

/// The answer of one server, with its address.
pub(super) fn line((place, said): (&Place, String)) -> String {
    let server = shown(place);
    if said.starts_with(&server) {
        said
    } else {
        format!("{server}: {said}")
    }
}
