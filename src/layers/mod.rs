//! The layers of the image, one file each.

pub(crate) mod agent;
