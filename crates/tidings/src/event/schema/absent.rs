//! Stands in for the schemas of events without the feature `schema`.

use std::borrow::Cow;

/// Without the feature, nothing is declared.
#[derive(Debug)]
pub struct Declarations(());

impl Declarations {
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn names(
        &mut self,
        _names: impl IntoIterator<Item = (Cow<'static, str>, &'static str)>,
    ) {
    }
}
