//! What the two programs share: how they tell what happens, the files that Wireshark reads, and the gateway's
//! configuration.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod capture;
pub mod config;
pub mod echo;
pub mod keys;
pub mod log;
pub mod loopback;
