//! The shape of group key management (RFC 9838), from outside `ikev2-core` and on its public layers alone. It is no
//! G-IKEv2: its exchanges and payloads are of private-use types, and a group has one key.
//!
//! | what group key management needs | what it stands on |
//! |---|---|
//! | IKE_SA_INIT as it is, cookies and INVALID_KE_PAYLOAD included | [`Initiator`], [`InitRequest`], [`HalfOpen`] |
//! | transform types of its own in IKE_SA_INIT's proposals | [`IkeProposal::with_others`] |
//! | an authentication exchange of another type, with payloads of its own beside IDi, IDr and AUTH | [`Secured`], [`auth`](ikev2_core::establish::auth), [`Contents::with_others`] |
//! | exchanges of other types under the SA: Message IDs, window, repeats, kept answers, fragments | [`Exchanges`] |
//! | one-way messages to many receivers, with keys that the authentication exchange brought | [`OneWaySender`], [`OneWayReceiver`] |
//! | many SAs by SPI, half-open ones within bounds, one heap of timers, events | [`Shell`], [`Protocol`], [`Association`] |
//!
//! ```text
//! member -> controller  GROUP_AUTH  SK{IDi, AUTH, NAME}
//! member <- controller  GROUP_AUTH  SK{IDr, AUTH, KEYS}      or SK{N(AUTHENTICATION_FAILED)}
//! member -> controller  GROUP_ASK   SK{NEWS}                 what it asks
//! member <- controller  GROUP_ASK   SK{NEWS}                 the same, back
//! controller -> members GROUP_NEWS  SK{NEWS}                 no answer
//! ```
//!
//! [`Initiator`]: ikev2_core::establish::initiator::Initiator
//! [`InitRequest`]: ikev2_core::establish::responder::InitRequest
//! [`HalfOpen`]: ikev2_core::establish::responder::HalfOpen
//! [`IkeProposal::with_others`]: ikev2_core::negotiation::IkeProposal::with_others
//! [`Secured`]: ikev2_core::establish::secrets::Secured
//! [`Contents::with_others`]: ikev2_core::contents::Contents::with_others
//! [`Exchanges`]: ikev2_core::exchange::exchanges::Exchanges
//! [`OneWaySender`]: ikev2_core::exchange::one_way::OneWaySender
//! [`OneWayReceiver`]: ikev2_core::exchange::one_way::OneWayReceiver
//! [`Shell`]: ikev2_core::endpoint::Shell
//! [`Protocol`]: ikev2_core::endpoint::Protocol
//! [`Association`]: ikev2_core::endpoint::Association
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod authenticate;
pub mod ending;
pub mod group;
pub mod node;
pub mod sa;
pub mod wire;

pub use ending::Ending;
pub use group::{Event, Group, Part, Settings};
pub use node::Node;
