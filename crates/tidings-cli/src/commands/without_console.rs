//! `tidings console` of a program that was built without it.

use std::future::{Ready, ready};

use crate::app::App;
use crate::args::Console;
use crate::exit::{Exit, Problem};

pub(crate) fn console(_: &App, _: &Console) -> Ready<anyhow::Result<Exit>> {
    let text = "this `tidings` was built without the web console";
    let problem = Problem::usage(text).help("build it with the feature `console`");
    ready(Err(problem.into()))
}
