//! Event names.

use crate::{Limits, NameError};

/// Checks that `name` is a valid event name: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
///
/// ```
/// use tidings_codec::{NameError, check_name};
///
/// assert!(check_name("user.renamed").is_ok());
/// assert_eq!(check_name("a b"), Err(NameError::Character { character: ' ', position: 1 }));
/// ```
///
/// # Errors
///
/// When the name is empty, too long, or contains another character.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if is_name(name.as_bytes()) {
        Ok(())
    } else {
        Err(name_error(name))
    }
}

/// Checks a name that may not be UTF-8.
pub(crate) fn check_name_bytes(name: &[u8]) -> Result<(), NameError> {
    if is_name(name) {
        Ok(())
    } else {
        Err(name_error(&String::from_utf8_lossy(name)))
    }
}

/// Returns the length of the name at the start of `bytes`, if there is one.
#[inline]
pub(crate) fn name_len(bytes: &[u8]) -> Option<usize> {
    let is_end = |byte: &u8| !NAME_BYTES[usize::from(*byte)];
    let len = bytes.iter().position(is_end)?;
    (1..=Limits::NAME).contains(&len).then_some(len)
}

fn is_name(name: &[u8]) -> bool {
    (1..=Limits::NAME).contains(&name.len())
        // Without an early return: a fifth fewer instructions.
        && name.iter().fold(true, |is_name, &byte| is_name & NAME_BYTES[usize::from(byte)])
}

#[cold]
fn name_error(name: &str) -> NameError {
    if name.is_empty() {
        return NameError::Empty;
    }
    if name.len() > Limits::NAME {
        return NameError::TooLong { len: name.len() };
    }
    name.char_indices()
        .find(|(_, character)| {
            !u8::try_from(*character).is_ok_and(|byte| NAME_BYTES[usize::from(byte)])
        })
        .map_or(NameError::Empty, |(position, character)| {
            NameError::Character {
                character,
                position,
            }
        })
}

static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let character = byte as u8;
        table[byte] =
            character.is_ascii_alphanumeric() || matches!(character, b'.' | b'_' | b':' | b'-');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascii_letters_digits_and_four_signs_are_allowed() {
        for character in '\0'..='\u{200}' {
            let allowed = character.is_ascii_alphanumeric() || "._:-".contains(character);
            assert_eq!(
                check_name(&character.to_string()).is_ok(),
                allowed,
                "{character:?}"
            );
        }
    }

    #[test]
    fn the_codec_and_the_macros_accept_the_same_names() {
        for (name, is_valid) in include!("name/cases.rs") {
            assert_eq!(check_name(&name).is_ok(), is_valid, "{name:?}");
        }
    }

    #[test]
    fn a_name_has_1_to_128_characters() {
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name(&"a".repeat(128)), Ok(()));
        assert_eq!(
            check_name(&"a".repeat(129)),
            Err(NameError::TooLong { len: 129 })
        );
    }

    #[test]
    fn invalid_utf8_is_not_a_name() {
        assert!(matches!(
            check_name_bytes(b"ab\xff"),
            Err(NameError::Character { position: 2, .. })
        ));
        assert!(check_name_bytes(&[0xff; 128]).is_err());
    }
}
