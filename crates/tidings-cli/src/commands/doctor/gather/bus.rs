//! Starts a bus, as any process of the fleet would.

use tidings::{Bus, StartError};

use crate::app::App;
use crate::connect;
use crate::settings::Settings;

pub(super) async fn look(app: &App, settings: &Settings) -> Result<Bus, StartError> {
    connect::builder(app, settings).start().await
}
