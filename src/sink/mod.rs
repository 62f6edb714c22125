//! Outputs. One file or folder a sink.

pub mod eve;
