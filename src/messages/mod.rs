//! Every word that a build logs.

pub(crate) mod errors;
mod file_kind;
pub(crate) mod progress;
pub(crate) mod warnings;
