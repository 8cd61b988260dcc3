//! The macro that keeps what a contract needs.

/// Expands to its argument. The macros of tidings cannot see the features of this crate: they put into
/// it what only the feature `schema` needs.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_schema {
    ($($code:tt)*) => { $($code)* };
}
