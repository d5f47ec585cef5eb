//! Layer 3: the endpoint. Many SAs behind the five verbs: demultiplexing by SPI, admission, timers, events. It knows
//! of an SA that it begins with IKE_SA_INIT, and nothing of what follows.
//!
//! | item | what it does |
//! |---|---|
//! | [`Shell`] | the endpoint of a protocol |
//! | [`Protocol`], [`Association`] | what it must know of the protocol and its SAs |
//! | [`Services`] | what it lends them |
//!
//! [`Endpoint`](crate::Endpoint) is the endpoint of IKEv2 itself, and stands on the same.

mod admission;
mod half_open;
mod incoming;
mod services;
mod shell;
pub(crate) mod spis;
mod table;

pub use services::Services;
pub use shell::{Association, Protocol, Shell};
