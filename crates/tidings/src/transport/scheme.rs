//! The schemes of addresses, and the hint for a malformed one.

use crate::error::connect::UrlError;

/// The scheme of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_secure: bool,
}

/// The kind of transport that a scheme stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    Server,
    Socket,
    Sentinels,
    Cluster,
}

const SCHEMES: [(&str, Kind, bool); 18] = [
    ("memory", Kind::Memory, false),
    ("redis", Kind::Server, false),
    ("valkey", Kind::Server, false),
    ("rediss", Kind::Server, true),
    ("valkeys", Kind::Server, true),
    ("unix", Kind::Socket, false),
    ("redis+unix", Kind::Socket, false),
    ("valkey+unix", Kind::Socket, false),
    ("redis+sentinel", Kind::Sentinels, false),
    ("valkey+sentinel", Kind::Sentinels, false),
    ("rediss+sentinel", Kind::Sentinels, true),
    ("valkeys+sentinel", Kind::Sentinels, true),
    ("redis+cluster", Kind::Cluster, false),
    ("redis-cluster", Kind::Cluster, false),
    ("valkey+cluster", Kind::Cluster, false),
    ("rediss+cluster", Kind::Cluster, true),
    ("rediss-cluster", Kind::Cluster, true),
    ("valkeys+cluster", Kind::Cluster, true),
];

impl Scheme {
    /// Splits the scheme off an address, ignoring case.
    pub(super) fn take_from(text: &str) -> Result<(Self, &str), UrlError> {
        let unknown = || UrlError::Scheme { hint: hint(text) };
        let (before, rest) = text.split_once(':').ok_or_else(unknown)?;
        let before = before.to_ascii_lowercase();
        let known = SCHEMES.into_iter().find(|(name, ..)| *name == before);
        let Some((name, kind, is_secure)) = known else {
            return Err(unknown());
        };
        let scheme = Self {
            name,
            kind,
            is_secure,
        };
        match (kind, rest.strip_prefix("//")) {
            (Kind::Memory, _) => Ok((scheme, rest)),
            (_, Some(rest)) => Ok((scheme, rest)),
            (Kind::Socket, None) if rest.starts_with('/') => Ok((scheme, rest)),
            (_, None) => Err(scheme.malformed("two slashes are missing after its first colon")),
        }
    }

    /// Returns true for an unencrypted network connection.
    pub(super) fn is_open(self) -> bool {
        let is_remote = matches!(self.kind, Kind::Server | Kind::Sentinels | Kind::Cluster);
        is_remote && !self.is_secure
    }

    /// The scheme, with `…` for the rest of the address.
    pub(super) fn shown(self, rest: &str) -> String {
        let slashes = if self.kind == Kind::Memory { "" } else { "//" };
        let rest = if rest.is_empty() { "" } else { "…" };
        format!("{}:{slashes}{rest}", self.name)
    }

    /// Returns the error for a malformed address of this scheme. The reason must not quote it.
    pub(super) fn malformed(self, reason: &str) -> UrlError {
        let secure = if self.is_secure { "s" } else { "" };
        let form = match self.kind {
            Kind::Memory => "`memory:name`".to_owned(),
            Kind::Server => format!("`redis{secure}://user:password@host:port/database`"),
            Kind::Socket => "`unix:///path?user=…&pass=…`".to_owned(),
            Kind::Sentinels => {
                format!("`redis{secure}+sentinel://user:password@host:port,host:port/master`")
            }
            Kind::Cluster => {
                format!("`redis{secure}+cluster://user:password@host:port,host:port`")
            }
        };
        UrlError::Malformed {
            reason: format!("{reason}: write {form}"),
        }
    }
}

/// Returns a hint for an address without a known scheme.
fn hint(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let is_list = [
        "password=",
        "ssl=",
        "accesskey=",
        "accountkey=",
        "abortconnect=",
    ]
    .iter()
    .any(|key| lower.contains(key));
    if text.is_empty() {
        Some("it is empty")
    } else if text.starts_with(['"', '\'', '<', '`']) {
        Some("remove the quotation marks")
    } else if text.starts_with(['$', '{', '[', '%']) {
        Some("write the address alone: this seems to be a variable or a list that holds it")
    } else if lower.contains("redis://") || lower.contains("rediss://") {
        Some("write the address alone, without the text before it")
    } else if is_list {
        Some(
            "a list of settings is written `rediss://:password@host:6380`, or `redis://` without TLS",
        )
    } else if text.starts_with('/') && !text.starts_with("//") {
        Some("write `unix:///path` for a socket")
    } else if lower.contains("sentinel:") {
        Some("write `redis+sentinel://host:port,host:port/master`")
    } else if lower.contains("cluster:") {
        Some("write `redis+cluster://host:port,host:port`")
    } else if !text.contains("//") {
        Some("write `redis://host:port`, or `redis://user:password@host:port`")
    } else {
        None
    }
}
