//! Looks at the rendered book in Chromium, on a telephone and on a desk.
//!
//! Chromium loads one page, which loads each page of the book in a frame of each width, and writes
//! down what does not fit. Further starts take pictures of the pages, several in a row.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::book::{BUILT, rendered_pages};
use crate::install::CHROMIUM;
use crate::tool::{Tool, repository, tool};

/// The widths of the frames, in pixels.
const WIDTHS: [u32; 2] = [360, 1280];

/// The folder of the pictures.
const PICTURES: &str = "target/book-pictures";

/// The size of a picture: the beginnings of several pages.
const HEIGHT: u32 = 2_000;
const WIDTH: u32 = 3_840;

/// Writes the problems of the frames into the page, one a line.
const MEASURE: &str = r#"<!doctype html><meta charset="utf-8"><pre id="said">measuring</pre><script>
// The page is printed with all that it contains.
document.querySelector("script").remove();
const said = document.getElementById("said");
function problems(page, frame) {
  const found = [], root = frame.contentDocument.documentElement, width = frame.clientWidth;
  const style = it => frame.contentWindow.getComputedStyle(it);
  if (root.scrollWidth > width) found.push(`is ${root.scrollWidth} pixels wide`);
  for (const code of root.querySelectorAll("main pre code, main pre")) {
    const scrolls = ["auto", "scroll"].includes(style(code).overflowX);
    const parent = ["auto", "scroll"].includes(style(code.parentElement).overflowX);
    if (code.scrollWidth > code.clientWidth + 1 && !scrolls && !parent)
      found.push(`cuts the code: ${code.textContent.slice(0, 40)}`);
  }
  for (const head of root.querySelectorAll("main thead"))
    if (!head.textContent.trim()) found.push("has a table with an empty head");
  for (const picture of root.querySelectorAll("main img")) {
    if (!picture.naturalWidth) found.push(`does not show ${picture.getAttribute("src")}`);
    if (!picture.alt) found.push(`has no text for ${picture.getAttribute("src")}`);
  }
  for (const link of root.querySelectorAll("main a[href*='#']")) {
    const at = new URL(link.href);
    if (at.pathname === frame.contentWindow.location.pathname
        && !frame.contentDocument.getElementById(decodeURIComponent(at.hash.slice(1))))
      found.push(`has no place ${at.hash}`);
  }
  return found.map(problem => `PROBLEM ${page} at ${width}: ${problem}`);
}
async function measure() {
  const lines = [];
  for (const page of PAGES) for (const width of WIDTHS) {
    const frame = document.createElement("iframe");
    frame.style = `width:${width}px;height:900px;border:0`;
    frame.src = page;
    await new Promise(loaded => { frame.onload = loaded; document.body.append(frame); });
    await frame.contentDocument.fonts.ready;
    lines.push(...problems(page, frame));
    frame.remove();
  }
  said.textContent = lines.concat("MEASURED " + PAGES.length).join("\n");
}
measure().catch(error => said.textContent = "PROBLEM " + error);
</script>"#;

/// Looks at each page, and keeps pictures of them.
pub(crate) fn look() -> Result<()> {
    CHROMIUM.ensure()?;
    let pages = rendered_pages()?;
    let names: Vec<_> = pages
        .iter()
        .map(|page| page.display().to_string())
        .collect();
    let measured = measure(&names);
    take_pictures(&names)?;
    println!("pictures of {} pages are in {PICTURES}", names.len());
    measured
}

fn measure(pages: &[String]) -> Result<()> {
    let script = MEASURE.replacen("PAGES)", &format!("{pages:?})"), 1);
    let script = script.replace("WIDTHS)", &format!("{WIDTHS:?})"));
    let script = script.replace("PAGES.length", &pages.len().to_string());
    let page = repository().join(BUILT).join("measured.html");
    fs::write(&page, script)?;
    let dump = [
        "--dump-dom",
        "--virtual-time-budget=600000",
        "--timeout=120000",
    ];
    let printed = chromium().args(dump).args([address(&page)]).printed()?;
    fs::remove_file(page)?;
    let found = |prefix: &str| -> Vec<String> {
        let lines = printed
            .lines()
            .filter_map(|line| line.find(prefix).map(|at| &line[at..]));
        lines.map(str::to_owned).collect()
    };
    let problems = found("PROBLEM ");
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    ensure!(
        !found("MEASURED ").is_empty(),
        "Chromium measured nothing:\n{printed}"
    );
    Ok(())
}

/// Takes pictures of all pages in each width.
fn take_pictures(pages: &[String]) -> Result<()> {
    let folder = repository().join(PICTURES);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for width in WIDTHS {
        let in_a_row = (WIDTH / width) as usize;
        for (number, row) in pages.chunks(in_a_row).enumerate() {
            take_picture(
                &folder.join(format!("{width}-{}.png", number + 1)),
                row,
                width,
            )?;
        }
    }
    Ok(())
}

/// Takes a picture of pages in frames: a window is never as narrow as a telephone.
fn take_picture(picture: &Path, pages: &[String], width: u32) -> Result<()> {
    let row = repository().join(BUILT).join("row.html");
    let mut html = "<!doctype html><body style=\"margin:0;display:flex\">".to_owned();
    for page in pages {
        let size = format!("width={width} height={HEIGHT} style=\"border:0\"");
        write!(html, "<iframe src=\"{page}\" {size}></iframe>")?;
    }
    fs::write(&row, html)?;
    let size = format!("--window-size={WIDTH},{HEIGHT}");
    let shot = format!("--screenshot={}", picture.display());
    let printed = chromium().args([size, shot, address(&row)]).printed();
    fs::remove_file(row)?;
    ensure!(picture.exists(), "no picture of {pages:?}: {}", printed?);
    Ok(())
}

fn chromium() -> Tool {
    tool("chromium").args([
        "--headless",
        // A container has no user namespaces, and the pages are our own.
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
    ])
}

fn address(page: &Path) -> String {
    format!("file://{}", page.display())
}
