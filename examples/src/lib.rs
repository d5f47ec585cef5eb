//! What the two programs are made of, apart from sockets and devices of the gateway, which are its own.
//!
//! | module | what it holds | for |
//! |---|---|---|
//! | [`log`], [`tell`] | how they tell what happens | both |
//! | [`keys`], [`capture`] | the files that Wireshark reads | both, `loopback` |
//! | [`loopback`], [`echo`] | the story of two endpoints, and the packets in it | `loopback` |
//! | [`config`] | the TOML file | `gateway` |
//! | [`eap`] | a method of EAP | `gateway` |
//! | [`starts`], [`prefix`] | what to start when, and routes | `gateway` |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod capture;
pub mod config;
pub mod eap;
pub mod echo;
pub mod keys;
pub mod log;
pub mod loopback;
pub mod prefix;
pub mod starts;
pub mod state_file;
pub mod tell;

/// The code in the workspace's first page compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FirstPage;
