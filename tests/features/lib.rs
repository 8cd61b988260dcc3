//! Empty: this package selects features of dependencies.
