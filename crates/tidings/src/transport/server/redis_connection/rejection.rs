//! Errors of a handshake, with what to do about them.

use std::io;
use std::sync::atomic::Ordering;

use redis::{ConnectionAddr, ErrorKind, RedisError};

use crate::error::connect::{ConnectError, is_wrong_login};
use crate::redis_error::words;
use crate::resp;
use crate::transport::server::redis_connection::{Access, NO_SUCH_MASTER, RedisConnection, Wanted};
use crate::transport::server::tls;

/// The maximum number of characters that are shown of a server's error.
const MAX_SHOWN: usize = 400;

impl Access {
    /// Explains a failed handshake. A server that is full or rejects this client sends one error and
    /// closes the connection, without a reply to each command.
    pub(super) fn refused(
        &self,
        at: &ConnectionAddr,
        doing: &'static str,
        error: &RedisError,
        line: &RedisConnection,
    ) -> ConnectError {
        let is_answered = matches!(error.kind(), ErrorKind::Server(_));
        if is_answered || tls::explain(doing, error).is_some() {
            return self.explain(doing, error);
        }
        // A server that wants TLS closes a connection without it. So does one that shuts down.
        let is_plain = self.tls.is_none() && matches!(at, ConnectionAddr::Tcp(..));
        let may_want_tls = is_plain && !self.has_worked.load(Ordering::Relaxed);
        let source = match line.driver.unanswered() {
            // The second is a TLS alert.
            Some([] | [0x15, 0x03, ..]) if may_want_tls => {
                let hint = "if it speaks TLS on this port, write `rediss:`";
                io::Error::other(format!("{error} ({hint})"))
            }
            Some(bytes @ [first, ..]) if !resp::KINDS.contains(first) => {
                let line = bytes.split(|byte| b"\r\n".contains(byte)).next();
                let line = self.shown(&String::from_utf8_lossy(line.unwrap_or_default()));
                io::Error::other(format!("the server is not Redis: it answered `{line}`"))
            }
            _ => return self.explain(doing, error),
        };
        ConnectError::Io { doing, source }
    }

    /// Turns an error into one with a hint.
    pub(crate) fn explain(&self, doing: &'static str, error: &RedisError) -> ConnectError {
        if let Some(problem) = tls::explain(doing, error) {
            return problem;
        }
        if error.is_io_error() || error.is_connection_dropped() {
            let source = io::Error::other(error.to_string());
            return ConnectError::Io { doing, source };
        }
        self.judge(doing, &words(error))
    }

    /// Turns the text of a Redis error into an error with a hint.
    pub(super) fn judge(&self, doing: &'static str, words: &str) -> ConnectError {
        let words = self.shown(words);
        let says = |code: &str| words.contains(code);
        if says("NOPERM") || says("no permissions") {
            let cure = self.needs.cure(&words);
            return ConnectError::Denied { doing, words, cure };
        }
        let is_of_sentinel = matches!(self.wants, Wanted::SentinelOf(_));
        let (cure, is_final) = if is_wrong_login(&words) {
            // The next answer of the source may be right: passwords are rotated.
            let may_change = self.credentials.is_some() && self.has_worked.load(Ordering::Relaxed);
            (Some(self.login_cure), !may_change)
        } else if words.starts_with("DENIED") || says("protected mode") {
            let cure = "set a password on the server, or turn off its protected mode";
            (Some(cure), true)
        } else if is_of_sentinel && says("unknown command") && says("SENTINEL") {
            let cure = "it is not a sentinel: sentinels have a port of their own, usually 26379";
            (Some(cure), true)
        } else if is_of_sentinel && says(NO_SUCH_MASTER) {
            let cure = "check the name of the master, which is the path of the address";
            (Some(cure), true)
        } else if says("HELLO") || says("NOPROTO") {
            (Some("tidings needs Redis 6.2 or newer"), false)
        } else if says("DB index") {
            (Some("the server has no database with this number"), true)
        } else {
            (None, false)
        };
        let cure = cure.map(str::to_owned);
        ConnectError::Redis {
            doing,
            words,
            cure,
            is_final,
        }
    }

    /// The text of an error without secrets. A server that does not know a command quotes it, and the
    /// first one has the password.
    fn shown(&self, words: &str) -> String {
        let (words, _) = words
            .split_once(", with args beginning with")
            .unwrap_or((words, ""));
        let words = match self.settings.password() {
            Some(password) if !password.is_empty() => words.replace(password, "…"),
            _ => words.to_owned(),
        };
        let mut shown = String::new();
        for character in words.chars().take(MAX_SHOWN) {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        if words.chars().nth(MAX_SHOWN).is_some() {
            shown.push('…');
        }
        shown
    }
}
