//! The payloads of RFC 7296 §3, each in its own module.

pub mod proposal;
