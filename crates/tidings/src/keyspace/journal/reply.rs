//! The answers of Redis about a stream: untrusted input.

use bytes::Bytes;

use crate::event::position::JournalPosition;
use crate::keyspace::journal::answer::JournalError;
use crate::keyspace::journal::{Content, Entry, Floor, fingerprint};
use crate::resp::cursor::{Cursor, Unexpected};

/// The field of the frame.
const FRAME: &[u8] = b"f";

/// The field of the attempt.
const ATTEMPT: &[u8] = b"r";

/// Returns true for the answer to `ROLE` of a master.
pub(super) fn is_master(answer: Bytes) -> Result<bool, Unexpected> {
    let mut answer = Cursor::new(answer);
    answer.enter()?.ok_or(Unexpected)?;
    Ok(answer.text()? == Some(b"master"))
}

/// Reads the answer to `XREAD` on one stream.
pub(super) fn read(answer: Bytes) -> Result<Vec<Entry>, Unexpected> {
    let mut answer = Cursor::new(answer);
    let Some(streams) = answer.enter()? else {
        return Ok(Vec::new());
    };
    if streams != 1 {
        return Err(Unexpected);
    }
    answer.text()?;
    entries(answer)
}

/// Reads the answer to `XRANGE` or `XREVRANGE`.
pub(super) fn range(answer: Bytes) -> Result<Vec<Entry>, Unexpected> {
    entries(Cursor::new(answer))
}

fn entries(mut answer: Cursor) -> Result<Vec<Entry>, Unexpected> {
    let count = answer.enter()?.unwrap_or(0);
    (0..count).map(|_| entry(&mut answer)).collect()
}

fn entry(answer: &mut Cursor) -> Result<Entry, Unexpected> {
    if answer.enter()? != Some(2) {
        return Err(Unexpected);
    }
    let id = id(answer.text()?.ok_or(Unexpected)?)?;
    let fields = answer.enter()?.unwrap_or(0);
    let before = answer.clone();
    if let Some(content) = frame(answer, fields)? {
        return Ok(Entry { id, content });
    }
    *answer = before;
    let texts: Result<Vec<Bytes>, _> = (0..fields).map(|_| answer.owned_text()).collect();
    let content = Content::Foreign(fingerprint(texts?.iter().map(|text| &**text)));
    Ok(Entry { id, content })
}

/// Reads the fields that a bus writes; `None` for others.
fn frame(answer: &mut Cursor, fields: usize) -> Result<Option<Content>, Unexpected> {
    if !matches!(fields, 2 | 4) || answer.text()? != Some(FRAME) {
        return Ok(None);
    }
    let frame = answer.owned_text()?;
    if fields == 2 {
        return Ok(Some(Content::Frame { frame, attempt: 0 }));
    }
    if answer.text()? != Some(ATTEMPT) {
        return Ok(None);
    }
    let attempt = answer
        .text()?
        .and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    Ok(attempt.map(|attempt| Content::Frame { frame, attempt }))
}

/// Reads the answer to `GET` of the floor. A floor that nobody could have written is none.
pub(super) fn floor(answer: Bytes) -> Result<Option<Floor>, Unexpected> {
    let mut answer = Cursor::new(answer);
    let text = answer.text()?.map(String::from_utf8_lossy);
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Reads the id of an entry.
pub(super) fn id(text: &[u8]) -> Result<JournalPosition, Unexpected> {
    let text = str::from_utf8(text).map_err(|_| Unexpected)?;
    text.parse().map_err(|_| Unexpected)
}

/// Reads the answer to `TIME`, in milliseconds since 1970.
pub(super) fn time(answer: Bytes) -> Result<u64, Unexpected> {
    let mut answer = Cursor::new(answer);
    answer.enter()?.ok_or(Unexpected)?;
    let mut part = || answer.number()?.ok_or(Unexpected);
    let (seconds, microseconds) = (part()?, part()?);
    Ok(seconds
        .saturating_mul(1_000)
        .saturating_add(microseconds / 1_000))
}

/// Checks the answer to `TYPE`.
pub(super) fn check_type(answer: Bytes, key: &str, wanted: &str) -> Result<(), JournalError> {
    let mut answer = Cursor::new(answer);
    let there = String::from_utf8_lossy(answer.text()?.unwrap_or_default()).into_owned();
    if there == wanted || there == "none" {
        return Ok(());
    }
    let problem = format!("the key `{key}` of the journal holds a {there}, not a {wanted}");
    Err(JournalError::Key(problem))
}

/// Reads a number; 0 for nil.
pub(super) fn number(answer: Bytes) -> Result<u64, Unexpected> {
    Ok(Cursor::new(answer).number()?.unwrap_or(0))
}
