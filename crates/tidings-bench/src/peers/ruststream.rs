//! todo
use std::sync::Arc;
use crate::event::Sample;
use crate::hearing::Hearing;
use crate::sending::Sent;
use crate::work::Work;
pub(crate) async fn hear<E: Sample>(_url: &str, _hearing: Arc<Hearing>) -> anyhow::Result<()> { Ok(()) }
pub(crate) async fn send<E: Sample>(_url: &str, _work: Work) -> anyhow::Result<Sent> { Ok(Sent::default()) }
