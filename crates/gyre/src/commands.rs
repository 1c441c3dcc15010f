//! One command a module.

pub(crate) mod access;
pub(crate) mod baseline;
pub(crate) mod bias;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod export;
mod front;
pub(crate) mod gc;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod lineage;
pub(crate) mod log;
pub(crate) mod model;
mod offline;
mod operations;
pub(crate) mod predict;
mod project;
pub(crate) mod run;
mod signature;
pub(crate) mod split;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod traffic;
pub(crate) mod training;
pub(crate) mod up;
