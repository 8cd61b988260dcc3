//! Which step of an event's way a line of code belongs to, by the file it is written in.
//!
//! The file is what inlining leaves as it is. A new file of tidings needs a rule here: until it has
//! one, `cargo xtask bench --instructions` shows its cost under "other".

use super::callgrind::Place;
use super::step::Step;

use Step::{Call, Decode, Encode, Frame, HandOver, Judge, LookUp, Memory, Program, Runtime};
use Step::{Other, Send, Split};

/// Where a place's instructions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Step(Step),
    Shared,
}

pub(crate) fn owner(place: &Place) -> Owner {
    let Place { function, file } = place;
    if is_system(&function.object) {
        return Owner::Step(Memory);
    }
    let is_one_of = |patterns: &[&str]| patterns.iter().any(|pattern| fits(pattern, file));
    let rule = RULES
        .iter()
        .find(|(files, name, _)| is_one_of(files) && function.name.contains(name));
    match rule {
        Some((_, _, step)) => Owner::Step(*step),
        None if is_one_of(SHARED) || &**file == "???" => Owner::Shared,
        None => Owner::Step(Other),
    }
}

/// Whether the path has the pattern's parts, one after the other.
fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    parts
        .try_fold(path, |rest, part| Some(rest.split_once(part)?.1))
        .is_some()
}

/// The first rule that fits decides: one that has a part of the file's path, where `*` is anything,
/// and of the name of the function that the code was inlined into.
#[rustfmt::skip]
const RULES: &[(&[&str], &str, Step)] = &[
    (&["crates/tidings-steps/src/sent."], "", Encode),
    (&["crates/tidings-steps/src/heard."], "", Decode),
    (&["crates/tidings-steps/"], "", Program),

    (&["crates/tidings-codec/src/payload."], "check_bounds", Frame),
    (&["crates/tidings-codec/src/payload."], "FrameWriter", Frame),
    (&["crates/tidings-codec/src/payload."], "", Decode),
    (&[
        "crates/tidings-codec/src/format.", "crates/tidings-codec/src/strict.",
        "crates/tidings-codec/src/strict/",
    ], "", Encode),
    (&["crates/tidings-codec/src/number_keys."], "", Decode),
    (&["crates/tidings-codec/src/writer.", "crates/tidings-codec/src/encoder."], "", Frame),
    (&[
        "crates/tidings-codec/src/frame.", "crates/tidings-codec/src/json.",
        "crates/tidings-codec/src/msgpack.",
    ], "", Split),

    (&["crates/tidings/src/receive/sequence."], "", Judge),
    (&[
        "crates/tidings/src/receive/control.", "crates/tidings/src/receive/dispatch.",
        "crates/tidings/src/receive/request.", "crates/tidings/src/receive/routes.",
        "crates/tidings/src/receive/sorter.", "crates/tidings/src/request/",
        "crates/tidings/src/event/", "crates/tidings/src/api/request.",
    ], "", LookUp),
    (&["crates/tidings/src/receive/", "crates/tidings/src/handler/stream."], "", HandOver),
    (&[
        "crates/tidings/src/api/", "crates/tidings/src/bus", "crates/tidings/src/connection/",
        "crates/tidings/src/handler/key.", "crates/tidings/src/send/",
    ], "", Send),
    (&[
        "crates/tidings/src/handler", "crates/tidings/src/macros/",
        "crates/tidings/src/task/panic.",
    ], "", Call),
    (&["crates/tidings/src/transport", "crates/tidings/src/task/"], "", Runtime),

    (&["/serde_json-*/src/ser.", "/serde*/src/ser/", "/rmp-*/src/encode"], "", Encode),
    (&[
        "/serde_json-*/src/de.", "/serde_json-*/src/read.", "/serde*/src/de/", "/rmp-*/src/decode",
    ], "", Decode),
    (&["/foldhash-"], "", LookUp),
    (&["/tokio-", "/futures-", "/mio-"], "", Runtime),
];

/// Code that works for whoever uses it: it counts like the rest of the function that it was inlined
/// into or, where there is nothing else in it, like the callers of that function, each by what it
/// spent there.
const SHARED: &[&str] = &[
    "/library/",
    "/rust/deps/",
    "/bytes-",
    "/itoa-",
    "/memchr-",
    "/rmp-",
    "/ryu-",
    "/serde",
    "/zmij-",
    "crates/tidings-codec/src/lib.",
    "crates/tidings-codec/src/limits.",
    "crates/tidings-codec/src/name.",
    "crates/tidings-codec/src/node_id.",
    "crates/tidings-codec/src/scan.",
    "crates/tidings-codec/src/walk.",
    "crates/tidings/src/observe/",
];

/// The C library, and what loads it.
fn is_system(object: &str) -> bool {
    let name = object.rsplit('/').next().unwrap_or(object);
    ["libc.", "libc-", "libm.", "ld-", "ld."]
        .iter()
        .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::super::callgrind::Function;
    use super::*;

    fn place(function: &str, file: &str) -> Place {
        let object = "/target/tidings-steps".into();
        let name = function.into();
        Place {
            function: Function { object, name },
            file: file.into(),
        }
    }

    fn owned(function: &str, file: &str) -> Owner {
        owner(&place(function, file))
    }

    #[test]
    fn a_file_belongs_to_a_step() {
        let crates = "/home/.cargo/registry/src/index";
        for (function, file, step) in [
            (
                "Sorter::sort",
                "crates/tidings/src/receive/sorter.rs",
                LookUp,
            ),
            ("poll", "crates/tidings-steps/src/heard.rs", Decode),
            ("poll", "crates/tidings-steps/src/main.rs", Program),
            (
                "x",
                &format!("{crates}/serde_json-1.0.1/src/ser.rs"),
                Encode,
            ),
            (
                "x",
                &format!("{crates}/serde_core-1.0.2/src/de/mod.rs"),
                Decode,
            ),
            (
                "x",
                &format!("{crates}/rmp-0.8.15/src/encode/str.rs"),
                Encode,
            ),
            (
                "x",
                &format!("{crates}/tokio-1.54.1/src/task/mod.rs"),
                Runtime,
            ),
            ("x", &format!("{crates}/redis-1.8.1/src/cmd.rs"), Other),
            ("x", "crates/tidings/src/brand_new.rs", Other),
        ] {
            assert_eq!(owned(function, file), Owner::Step(step), "{file}");
        }
        let macros = format!("{crates}/serde_json-1.0.1/src/lib.rs");
        assert_eq!(owned("x", &macros), Owner::Shared);
    }

    #[test]
    fn a_file_that_works_for_both_sides_is_told_by_the_function() {
        let payload = "crates/tidings-codec/src/payload.rs";

        assert_eq!(owned("payload::check_bounds", payload), Owner::Step(Frame));
        assert_eq!(owned("Heard::decode", payload), Owner::Step(Decode));
    }

    #[test]
    fn the_c_library_is_memory() {
        let mut malloc = place("malloc", "???");
        malloc.function.object = "/lib/x86_64-linux-gnu/libc.so.6".into();

        assert_eq!(owner(&malloc), Owner::Step(Memory));
    }
}
