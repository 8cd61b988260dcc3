//! The token of the console.

use std::fmt::Write as _;
use std::path::Path;

use subtle::ConstantTimeEq as _;

use super::private::{self, OTHERS};
use crate::exit::Problem;
use crate::terminal::escape;

/// The lengths of a token in a file.
const SHORTEST: usize = 32;
const LONGEST: usize = 1_024;

/// A secret: 256 bits as hexadecimal digits, unless it comes from a file.
pub(super) struct Token(String);

impl Token {
    pub(super) fn random() -> Result<Self, Problem> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Problem::failed(format!("cannot create a token: {error}")))?;
        let mut token = String::with_capacity(64);
        for byte in bytes {
            let _ = write!(token, "{byte:02x}");
        }
        Ok(Self(token))
    }

    /// Reads the token from a file of its owner.
    pub(super) fn of_file(path: &Path) -> Result<Self, Problem> {
        let bytes = private::read("the token file", path, OTHERS)?;
        let token = bytes.trim_ascii();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if token.len() < SHORTEST || token.len() > LONGEST || !token.iter().all(is_plain) {
            let shown = escape(path.display());
            let text = format!(
                "the token file {shown} needs {SHORTEST} to {LONGEST} letters, digits or `-._~`"
            );
            return Err(
                Problem::usage(text).help(format!("(umask 077 && openssl rand -hex 32 > {shown})"))
            );
        }
        Ok(Self(String::from_utf8_lossy(token).into_owned()))
    }

    /// Returns the token as it is, for its owner.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// Returns whether a header `Authorization` has the token, in a time that does not tell how much of
    /// it is right.
    pub(super) fn is_in(&self, authorization: &[u8]) -> bool {
        let given = authorization.strip_prefix(b"Bearer ");
        given.is_some_and(|given| given.ct_eq(self.0.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_accepted() {
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(token.secret().len(), 64);
        let is_in = |header: &str| token.is_in(header.as_bytes());
        assert!(is_in(&format!("Bearer {}", token.secret())));
        for wrong in [
            String::new(),
            "Bearer ".to_owned(),
            token.secret().to_owned(),
            format!("bearer {}", token.secret()),
            format!("Bearer {}", other.secret()),
            format!("Bearer {}", &token.secret()[1..]),
            format!("Bearer {} ", token.secret()),
        ] {
            assert!(!is_in(&wrong), "{wrong}");
        }
    }
}
