//! The sessions of `docs/src/cli.md`: what the page shows is what `tidings` prints.
//!
//! The test runs the commands of each `console` block, and compares their output with the block. To
//! add a session:
//!
//! 1. Write the block below a heading of the page: `$ ` before each command, and its output.
//! 2. Give the heading a fleet in `fleet_of`. Blocks below the same heading have the same fleet.
//! 3. Run `UPDATE=1 cargo nextest run -p tidings-cli book::`. It replaces each line that differs. Read
//!    the difference before you commit it.
//!
//! Ids, times, durations, sizes, hosts and numbers with four or more digits are not compared, so the page keeps
//! its own; `blot` has the list. A line that ends with ` …` stands for one that begins so. `^C` at the
//! beginning of a line interrupts the command there.

mod blocks;
mod blot;
mod editor;
mod fleets;
mod page;
mod reader;
mod session;
mod shop;
mod terminal;
mod tutorial;

use futures_util::future::join_all;

use self::blocks::{of_markdown, repository};
pub(crate) use self::blot::is_same;
use self::fleets::fleet_of;
use self::page::{Difference, Page, Session};
use self::session::run;

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_the_book_show_what_tidings_prints() {
    let mut page = Page::read();
    let ran = join_all(page.sessions().into_iter().map(differences)).await;
    let differences: Vec<_> = ran.into_iter().flatten().collect();
    if std::env::var_os("UPDATE").is_some() {
        page.update(&differences);
        return;
    }
    let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert!(
        shown.is_empty(),
        "docs/src/cli.md differs from what `tidings` prints (UPDATE=1 rewrites it):\n\n{}",
        shown.join("\n")
    );
}

async fn differences(session: Session) -> Vec<Difference> {
    let heading = &session.heading;
    let stage = fleet_of(heading).await;
    let stage = stage.unwrap_or_else(|| {
        panic!("the session below `{heading}` needs a fleet in tests/cli/book/fleets.rs")
    });
    run(session, stage).await
}

/// Returns the lines of the block `text,NAME` of a page. `cargo xtask check words` finds such blocks
/// for which there is no call.
pub(crate) fn shown(page: &str, name: &str) -> Vec<String> {
    let blocks = of_markdown(&repository("docs/src").join(page));
    let block = blocks.iter().find(|it| it.place() == ("text", name));
    block.unwrap().text.lines().map(str::to_owned).collect()
}
