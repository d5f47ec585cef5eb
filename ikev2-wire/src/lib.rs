//! IKEv2 codecs and code points.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod codes;
pub mod payload;

pub use codes::*;
pub use payload::proposal::{Attribute, AttributeValue, Proposal, Transform};
