//! The workers: for each its lifecycle, its process, its link to the supervisor and the weights
//! that outlive it.

pub(crate) mod exit;
pub(crate) mod lifecycle;
pub(crate) mod link;
pub(crate) mod process;
pub(crate) mod retained_weights;
pub(crate) mod set;
pub(crate) mod slot;

pub(crate) use zimg_protocol::messages::WorkerId;
