//! What a type must be to be shared.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values processes can share: serde writes and reads it, and it can be used by several
/// threads. Nothing else has to be done for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a shared value",
    label = "serde cannot serialize and deserialize this type, or threads cannot share it",
    note = "add `#[derive(Serialize, Deserialize)]` to `{Self}`; it must be `Send + Sync + 'static`"
)]
pub trait Shareable: Serialize + DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Shareable for T {}
