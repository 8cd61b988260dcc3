//! Assigns each line of code to a step by its source file, which inlining does not change.
//!
//! A file of tidings without a rule here counts as "other".

use crate::callgrind::Place;
use crate::step::Step;

use Step::{Call, Decode, Encode, Frame, Memory, Other, Program, Queue, Route, Runtime};
use Step::{Send, Sequence, Split};

/// The step that a place belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Step(Step),
    /// As [`SHARED`].
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

/// Returns true if the path contains the parts of the pattern in order.
fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    parts
        .try_fold(path, |rest, part| Some(rest.split_once(part)?.1))
        .is_some()
}

/// Rules: parts of the path, in which `*` is any text, part of the name of the function that the
/// code was inlined into, and the step. The first rule that matches decides.
#[rustfmt::skip]
const RULES: &[(&[&str], &str, Step)] = &[
    (&["crates/tidings-steps/src/event/sent."], "", Encode),
    (&["crates/tidings-steps/src/event/received."], "", Decode),
    (&["crates/tidings-steps/"], "", Program),

    (&["crates/tidings-codec/src/payload."], "check_bounds", Frame),
    (&["crates/tidings-codec/src/payload."], "FrameWriter", Frame),
    (&["crates/tidings-codec/src/payload."], "", Decode),
    (&[
        "crates/tidings-codec/src/format.", "crates/tidings-codec/src/strict.",
        "crates/tidings-codec/src/strict/",
    ], "", Encode),
    (&[
        "crates/tidings-codec/src/fast_path.", "crates/tidings-codec/src/fast_path/",
        "crates/tidings-codec/src/number_keys.",
    ], "", Decode),
    (&["crates/tidings-codec/src/writer.", "crates/tidings-codec/src/encoder."], "", Frame),
    (&[
        "crates/tidings-codec/src/frame.", "crates/tidings-codec/src/json.",
        "crates/tidings-codec/src/msgpack.", "crates/tidings-codec/src/read.",
    ], "", Split),

    (&["crates/tidings/src/receive/sequence.", "crates/tidings/src/receive/sequence/"], "", Sequence),
    (&[
        "crates/tidings/src/receive/control.", "crates/tidings/src/receive/dispatch.",
        "crates/tidings/src/receive/request.", "crates/tidings/src/receive/routes.",
        "crates/tidings/src/receive/sorter.", "crates/tidings/src/request/",
        "crates/tidings/src/event/", "crates/tidings/src/api/request.",
    ], "", Route),
    (&["crates/tidings/src/receive/", "crates/tidings/src/handler/stream."], "", Queue),
    (&[
        "crates/tidings/src/api/", "crates/tidings/src/bus", "crates/tidings/src/connection/",
        "crates/tidings/src/handler/key.", "crates/tidings/src/namespace/",
        "crates/tidings/src/send/",
    ], "", Send),
    (&[
        "crates/tidings/src/handler", "crates/tidings/src/macros/",
        "crates/tidings/src/task/panic.",
    ], "", Call),
    (&[
        "crates/tidings/src/resp", "crates/tidings/src/transport", "crates/tidings/src/task/",
        "crates/tidings/src/journal", "crates/tidings/src/keyspace/journal",
    ], "", Runtime),

    (&["/serde_json-*/src/ser.", "/serde*/src/ser/", "/rmp-*/src/encode"], "", Encode),
    (&[
        "/serde_json-*/src/de.", "/serde_json-*/src/read.", "/serde*/src/de/", "/rmp-*/src/decode",
    ], "", Decode),
    (&["/foldhash-"], "", Route),
    (&["/tokio-", "/futures-", "/mio-"], "", Runtime),
];

/// Shared code: it counts like the rest of the function that it was inlined into. If that function
/// contains nothing else, it counts like the callers, each by its part of the cost.
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

/// Returns true for the C library and the dynamic loader.
fn is_system(object: &str) -> bool {
    let name = object.rsplit('/').next().unwrap_or(object);
    ["libc.", "libc-", "libm.", "ld-", "ld."]
        .iter()
        .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callgrind::Function;

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
                Route,
            ),
            ("poll", "crates/tidings-steps/src/event/received.rs", Decode),
            ("poll", "crates/tidings-steps/src/event/main.rs", Program),
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
    fn a_file_of_two_steps_is_assigned_by_function() {
        let payload = "crates/tidings-codec/src/payload.rs";

        assert_eq!(owned("payload::check_bounds", payload), Owner::Step(Frame));
        assert_eq!(owned("ReceivedEvent::decode", payload), Owner::Step(Decode));
    }

    #[test]
    fn the_c_library_is_memory() {
        let mut malloc = place("malloc", "???");
        malloc.function.object = "/lib/x86_64-linux-gnu/libc.so.6".into();

        assert_eq!(owner(&malloc), Owner::Step(Memory));
    }
}
