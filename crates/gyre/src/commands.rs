//! One command a module.

pub(crate) mod baseline;
pub(crate) mod up;
