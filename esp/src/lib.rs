//! ESP (RFC 4303) as a state machine over buffers.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod buffer;
mod checksum;
pub mod config;
pub mod ecn;
pub mod engine;
pub mod error;
pub mod inbound;
mod install;
pub mod ip;
pub mod lifetime;
pub mod outbound;
pub mod outer;
pub mod packet;
pub mod replay;
pub mod selectors;
mod sequence;
pub mod statistics;

pub use buffer::{NoRoom, PacketBuf};
pub use config::{Framing, InboundConfig, OutboundConfig, TfcPadding};
pub use engine::{Arrival, Engine, EngineConfig, EngineStatistics, Incoming, Outgoing, ReportConfig};
pub use error::{CommandError, InstallError, OpenError, SealError};
pub use inbound::{InboundSa, Opened};
pub use outbound::{OutboundSa, Sealed};
pub use replay::{AntiReplay, WindowSize};
pub use statistics::{DropReason, Statistics};
