//! Replays the corpus of the fuzz targets.

use std::fs;
use std::path::Path;

use crate::checks;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(
        files.len() >= 20,
        "only {} files in {}",
        files.len(),
        folder.display()
    );
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let replayed = std::panic::catch_unwind(|| check(&bytes));
        assert!(replayed.is_ok(), "{}", file.display());
    }
}

#[test]
fn read_frame() {
    replay("read_frame", checks::read_frame);
}

#[test]
fn payload_msgpack() {
    replay("payload_msgpack", checks::payload_msgpack);
}

#[test]
fn round_trip() {
    replay("round_trip", checks::round_trip);
}
