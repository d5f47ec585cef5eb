//! What IKEv2 and ESP both speak of.
//!
//! This crate is the floor on which the others stand: identifiers, selectors, time, secrets, and the
//! two values that pass between an IKE implementation and an IPsec data path. It has no behaviour
//! beyond them.
//!
//! | module | what it holds | from |
//! |---|---|---|
//! | [`spi`] | SPIs of IKE SAs and of ESP SAs | RFC 7296 §3.1, RFC 4303 §2.1 |
//! | [`algorithm`] | transform IDs that IKE and ESP share | RFC 7296 §3.3.2 |
//! | [`selector`] | traffic selectors as sets of packets | RFC 7296 §3.13, RFC 4301 §4.4.1.1 |
//! | [`mode`] | mode, encapsulation, kind of sequence numbers | RFC 4301 §3.2, RFC 3948, RFC 9827 |
//! | [`time`] | monotonic and wall time as the embedder tells it | |
//! | [`path`] | the addresses that a datagram travels between | RFC 7296 §2.11, §2.23 |
//! | [`secret`] | octets that are wiped and never printed | |
//! | [`udp`] | what a datagram on port 4500 is | RFC 3948 §2 |
//! | [`sa`] | [`SaCommand`] downwards and [`SaReport`] upwards | |
//!
//! # The two values between IKE and ESP
//!
//! ```
//! use ipsec_types::{EspSpi, SaCommand, SaReport, sa::ChildSaId};
//!
//! /// Anything that can carry packets: the `ipsec-esp` engine, a kernel, a network card.
//! trait DataPath {
//!     fn apply(&mut self, command: SaCommand);
//!     fn next_report(&mut self) -> Option<SaReport>;
//! }
//!
//! struct Log(Vec<String>);
//! impl DataPath for Log {
//!     fn apply(&mut self, command: SaCommand) {
//!         self.0.push(format!("{command:?}"));
//!     }
//!     fn next_report(&mut self) -> Option<SaReport> {
//!         None
//!     }
//! }
//!
//! let mut log = Log(Vec::new());
//! log.apply(SaCommand::Remove { id: ChildSaId(7), inbound: true, outbound: true });
//! assert!(log.0[0].contains("Remove"));
//! # let _ = EspSpi::new(0x100);
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod algorithm;
mod code_point;
pub mod mode;
pub mod path;
pub mod sa;
pub mod secret;
pub mod selector;
pub mod spi;
pub mod time;
pub mod udp;

pub use algorithm::{EncrId, IntegId};
pub use mode::{Encapsulation, Mode, SequenceNumbers};
pub use path::{Path, PathKind};
pub use sa::{SaCommand, SaReport};
pub use secret::SecretBytes;
pub use selector::{AddressRange, PortRange, TrafficSelector};
pub use spi::{EspSpi, IkeSpi};
pub use time::{Instant, UnixTime};
