//! Reads a payload from the arguments, a file or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::args::PayloadArgs;
use crate::exit::Problem;
use crate::terminal::escape;

/// The maximum size of a payload in a file: more than a frame holds.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a payload. `command` is how the command begins, for the help.
pub(crate) fn read(args: &PayloadArgs, command: &str) -> Result<Value, Problem> {
    if let Some(text) = &args.text {
        return Ok(text.as_str().into());
    }
    if let Some(path) = &args.file {
        return of_file(path);
    }
    match &args.words[..] {
        [] => Ok(Value::Null),
        [stdin] if stdin == "-" => of_reader(io::stdin().lock(), "the standard input"),
        [word] => match serde_json::from_str(word) {
            Ok(value) => Ok(value),
            Err(_) if is_field(word) => fields(&args.words),
            Err(error) => Err(not_json(word, &error, command)),
        },
        words => fields(words),
    }
}

fn of_file(path: &Path) -> Result<Value, Problem> {
    let shown = escape(path.display());
    let file = File::open(path)
        .map_err(|error| Problem::usage(format!("cannot read {shown}: {error}")))?;
    of_reader(file, &shown)
}

fn of_reader(reader: impl Read, from: &str) -> Result<Value, Problem> {
    let mut bytes = Vec::new();
    let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Problem::usage(format!("cannot read {from}: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Problem::usage(format!(
            "{from} has more than {MAX_BYTES} bytes"
        )));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::usage(format!("{from} is not JSON: {}", escape(error))))
}

fn not_json(word: &str, error: &serde_json::Error, command: &str) -> Problem {
    // What begins like JSON was meant to be.
    if word.starts_with(['{', '[', '"']) {
        let text = format!("`{}` is not JSON: {}", escape(word), escape(error));
        return Problem::usage(text);
    }
    let text = format!("`{}` is not JSON", escape(word));
    Problem::usage(text).help(format!("as a text: {command} --text {}", quoted(word)))
}

/// Returns the word as an argument of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "+-_.,:/@%".contains(it);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    escape(format!("'{}'", word.replace('\'', r"'\''")))
}

fn is_field(word: &str) -> bool {
    field(word).is_some()
}

/// Splits `name=text` or `name:=json`.
fn field(word: &str) -> Option<(&str, &str, bool)> {
    let (name, value) = word.split_once('=')?;
    let (name, is_json) = match name.strip_suffix(':') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let is_name = |it: char| it.is_alphanumeric() || "_-.$".contains(it);
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, value, is_json))
}

fn fields(words: &[String]) -> Result<Value, Problem> {
    let mut object = Map::new();
    for word in words {
        let shown = escape(word);
        let (name, value, is_json) = field(word).ok_or_else(|| {
            let text = format!("`{shown}` is no field");
            Problem::usage(text).help("write `name=text` or `name:=json`, or one argument of JSON")
        })?;
        let value = if is_json {
            serde_json::from_str(value)
                .map_err(|_| Problem::usage(format!("`{shown}`: the value is not JSON")))?
        } else {
            value.into()
        };
        if object.insert(name.to_owned(), value).is_some() {
            return Err(Problem::usage(format!(
                "the field `{}` is given twice",
                escape(name)
            )));
        }
    }
    Ok(object.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(words: &[&str]) -> Result<Value, String> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let args = PayloadArgs {
            words,
            ..PayloadArgs::default()
        };
        read(&args, "tidings send tick").map_err(|error| error.to_string())
    }

    #[test]
    fn a_payload_is_json_or_fields() {
        for (words, value) in [
            (&[][..], Value::Null),
            (&["7"], json!(7)),
            (&["-7"], json!(-7)),
            (&["\"a=b\""], json!("a=b")),
            (&[r#"{"a":"b=c"}"#], json!({ "a": "b=c" })),
            (&["name=Ada"], json!({ "name": "Ada" })),
            (
                &["id:=7", "name=Ada = x", "tags:=[1,\"=\"]"],
                json!({ "id": 7, "name": "Ada = x", "tags": [1, "="] }),
            ),
            (&["url=http://a:1"], json!({ "url": "http://a:1" })),
        ] {
            assert_eq!(of(words), Ok(value), "{words:?}");
        }
    }

    #[test]
    fn what_is_neither_is_an_error_that_shows_the_way() {
        assert_eq!(of(&["user:7"]).unwrap_err(), "`user:7` is not JSON");
        assert!(of(&["{\"a\":}"]).unwrap_err().contains("line 1"));
        assert_eq!(of(&["a=1", "7"]).unwrap_err(), "`7` is no field");
        assert_eq!(
            of(&["a=1", "a=2"]).unwrap_err(),
            "the field `a` is given twice"
        );
        assert_eq!(of(&["a:=x"]).unwrap_err(), "`a:=x`: the value is not JSON");
        assert!(!of(&["\u{1b}[2J"]).unwrap_err().contains('\u{1b}'));
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
