//! The arguments of `tidings console`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

const CONSOLE: &str = "\
Prints an address with a token, which is new at each start. Anyone who has it can see all events and
values, and can change nothing without --allow-send or --allow-write: each change is a line on standard
error. While no page is open, it asks Redis for the member list only.

Examples:
  tidings console
  tidings console --listen 127.0.0.1:0 -c production
  tidings console --allow-send -c production --yes=production
  tidings console --mask 'user.*:email' --token-file /run/secrets/console";

/// Show the fleet in a browser: members, events, gaps, state and servers.
#[derive(Debug, Parser)]
#[command(after_help = CONSOLE)]
pub(crate) struct Console {
    /// Address of this machine to listen at; port 0 takes a free one. One that other machines reach needs
    /// --tls-cert and --tls-key.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8425")]
    pub(crate) listen: SocketAddr,
    /// Another name under which browsers reach it, as through a proxy: `HOST` or `HOST:PORT`.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Show the names and sizes of events and values, and not what they contain.
    #[arg(long)]
    pub(crate) hide_payloads: bool,
    /// Mask a field, at any depth, of events and values whose name matches; as `user.*:email`.
    #[arg(long, value_name = "NAME:FIELD")]
    pub(crate) mask: Vec<Mask>,
    /// File with the token, for a proxy or a service; mode 0600, at least 32 letters and digits.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// File with the certificate and those that signed it, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// File with the key of the certificate, as PEM, which other users cannot read.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let the page send events; a protected context asks for its name at the start.
    #[arg(long)]
    pub(crate) allow_send: bool,
    /// Let the page change values, maps and counters; a protected context asks for its name at the start.
    #[arg(long, conflicts_with = "hide_payloads")]
    pub(crate) allow_write: bool,
}

/// A field that is masked in the events and values whose names match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) pattern: String,
    pub(crate) field: String,
}

impl FromStr for Mask {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rsplit_once(':') {
            Some((pattern, field)) if !pattern.is_empty() && !field.is_empty() => Ok(Self {
                pattern: pattern.to_owned(),
                field: field.to_owned(),
            }),
            _ => Err("expected `NAME:FIELD`, as in `user.*:email`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_a_name_and_a_field() {
        let mask: Mask = "a:b.*:email".parse().unwrap();
        assert_eq!((&*mask.pattern, &*mask.field), ("a:b.*", "email"));
        for wrong in ["", "email", ":email", "user.*:"] {
            assert!(wrong.parse::<Mask>().is_err(), "{wrong}");
        }
    }
}
