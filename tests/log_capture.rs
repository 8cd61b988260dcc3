//! The log of the program, to wait for and to inspect.

use std::io;
use std::sync::OnceLock;

use tidings_testkit::Collected;
use tracing_subscriber::filter::LevelFilter;

/// The lines logged from the first call on. Tests of one process share them: look for text that
/// only this test can cause.
pub(crate) fn log() -> Collected<String> {
    static LINES: OnceLock<Collected<String>> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let lines = Collected::default();
        let writer = lines.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || Writer(writer.clone()))
            .init();
        lines
    });
    lines.clone()
}

struct Writer(Collected<String>);

impl io::Write for Writer {
    /// Each line comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
