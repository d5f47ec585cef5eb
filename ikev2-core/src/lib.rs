//! IKEv2 (RFC 7296) as a pure state machine: bytes, events and time in; bytes, events and timers out.
//!
//! # The contract
//!
//! An [`Endpoint`] has no socket, no clock, no thread and no source of randomness of its own. It is driven by
//! five verbs:
//!
//! | verb | |
//! |---|---|
//! | [`Endpoint::handle_datagram`] | bytes in |
//! | [`Endpoint::handle_timeout`] | time in |
//! | [`Endpoint::poll_event`] | what the embedder must know or do; until `None` |
//! | [`Endpoint::poll_transmit`] | bytes out; until `None` |
//! | [`Endpoint::poll_timeout`] | when to call `handle_timeout` next |
//!
//! After **every** call that takes `&mut self`, poll events, then transmits, then the timeout, in this order:
//! the data path must be ready to receive before the peer hears that it may send. Time is an argument, from
//! any origin, and never goes back; if it does, the latest time counts. A rejected datagram changes nothing
//! but [`Statistics`] and says why. No input panics, and none makes memory grow beyond a bound that a field of
//! [`EndpointConfig`] names.
//!
//! # A run
//!
//! Two endpoints in one process; the loop in the middle is what an embedder writes around its sockets.
//!
//! ```
//! use ikev2_core::{ChildConfig, Connection, Endpoint, EndpointConfig, Event, IdentityPattern};
//! use ipsec_crypto::rustcrypto::RUSTCRYPTO;
//! use ipsec_types::{Instant, Path, SecretBytes, TrafficSelector, sa::PolicyId};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! use std::sync::Arc;
//!
//! fn endpoint(us: &str, peer: &str, seed: u8) -> Endpoint {
//!     let secret = SecretBytes::copy_from(b"a long and random secret");
//!     let peer = IdentityPattern::Exactly(peer.parse().unwrap());
//!     let mut connection = Connection::with_shared_key("tunnel", us.parse().unwrap(), peer, secret);
//!     let everything = || vec![TrafficSelector::ALL_V4];
//!     connection.children.push(Arc::new(ChildConfig::tunnel(PolicyId(1), "net", everything(), everything())));
//!     let mut config = EndpointConfig::new(&RUSTCRYPTO);
//!     config.connections.push(Arc::new(connection));
//!     Endpoint::new(Arc::new(config), Box::new(ChaCha20Rng::from_seed([seed; 32])))
//! }
//!
//! let (mut a, mut b) = (endpoint("a.example", "b.example", 1), endpoint("b.example", "a.example", 2));
//! let path = Path::ike("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
//! let now = Instant::ZERO;
//! a.connect(now, "tunnel", path).unwrap();
//!
//! let mut children = 0;
//! loop {
//!     for endpoint in [&mut a, &mut b] {
//!         while let Some(event) = endpoint.poll_event() {
//!             // Event::DataPath goes to the ESP engine, the rest to whoever wants to know.
//!             children += usize::from(matches!(event, Event::ChildSaUp { .. }));
//!         }
//!     }
//!     // A real loop sends on a socket, and waits for a datagram or until `poll_timeout`.
//!     if let Some(transmit) = a.poll_transmit() {
//!         let seen = Path { local: transmit.path.remote, remote: transmit.path.local, ..transmit.path };
//!         b.handle_datagram(now, seen, &transmit.datagram).unwrap();
//!     } else if let Some(transmit) = b.poll_transmit() {
//!         let seen = Path { local: transmit.path.remote, remote: transmit.path.local, ..transmit.path };
//!         a.handle_datagram(now, seen, &transmit.datagram).unwrap();
//!     } else {
//!         break;
//!     }
//! }
//! assert_eq!(children, 2);
//! ```
//!
//! # Layers
//!
//! Each stands on those above it in this table. The first three are public and have no Child SAs in them, so that
//! another protocol with IKE's messages can stand on them from another crate: `examples/group` in the repository is
//! one.
//!
//! | layer | module | what another protocol takes from it |
//! |---|---|---|
//! | exchange: Message IDs, windows, repeats, fragments, protection, one-way messages | [`exchange`] | [`Exchanges`](exchange::exchanges::Exchanges), [`OneWaySender`](exchange::one_way::OneWaySender), [`OneWayReceiver`](exchange::one_way::OneWayReceiver) |
//! | establishment: IKE_SA_INIT, proofs of identity | [`establish`], [`keys`] | [`Initiator`](establish::initiator::Initiator), [`HalfOpen`](establish::responder::HalfOpen), [`Secured`](establish::secrets::Secured), [`auth`](establish::auth) |
//! | the endpoint of any protocol: many SAs, admission, timers, events | [`endpoint`] | [`Shell`](endpoint::Shell), which runs a [`Protocol`](endpoint::Protocol) |
//! | the IKE SA: Child SAs, rekeys, Delete, liveness | behind [`Endpoint`] | |
//! | the endpoint of IKEv2: connections and their lives | [`Endpoint`] | |
//!
//! # Another process
//!
//! [`Endpoint::export`] and [`Endpoint::import`] move live IKE SAs to another endpoint, as where a process is upgraded;
//! the peer notices nothing. A container is taken once, and the IKE SA is gone where it came from: a standby that holds
//! one while the IKE SA goes on would come back with Message IDs and packet numbers that were used since, which breaks
//! the cipher; so there is no call that gives one. What a cluster needs for that is RFC 6311, which is not implemented:
//! without it, who takes over has its clients connect anew.
//!
//! [`cert`] verifies chains of X.509 certificates, behind the feature `x509`, which is on by default, for who is asked by
//! [`Event::VerificationNeeded`].
//!
//! What two sides agree on is decided by pure functions in [`negotiation`]; why they cannot agree is told by
//! [`error::Failure`], with both sides' lists. What happens can be followed through [`trace`]'s named spans.
//! [`negotiation::Profile`] has policies for the usual peers; weak algorithms are refused unless they are asked for as
//! such.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod admission;
pub mod cert;
pub mod config;
pub mod config_payload;
mod connections;
pub mod contents;
pub mod credentials;
pub mod eap;
pub mod endpoint;
pub mod error;
pub mod establish;
pub mod event;
pub mod exchange;
pub mod identity;
mod ike;
pub mod keylog;
pub mod keys;
pub mod lifecycle;
pub mod mobike;
pub mod negotiation;
pub mod observe;
mod rate;
pub mod redirect;
mod sa;
mod saved;
pub mod stats;
pub mod trace;
mod warning;

pub use admission::{Admission, AdmissionFacts, AdmissionPolicy};
pub use config::{
    AddressPolicy, ChildConfig, Childless, Connection, CookiePolicy, DuplicatePolicy, EndpointConfig,
    Intermediate, ModePolicy,
};
pub use config_payload::pool::{AddressPool, AddressSource, LeaseRequest};
pub use config_payload::{ConfigAttribute, ConfigRequest, Configuration};
pub use credentials::{LocalAuth, RemoteAuth, SharedKeys, Signer, SigningIdentity, TrustedKeys};
pub use eap::{EapAnswer, EapOutcome, EapPolicy, EapTurn};
pub use error::{CallError, Failure, MoveError, Rejection, Unsettled};
pub use event::{
    Answer, ChildSaInfo, DownReason, Event, Handled, Hooks, IkeSaHandle, IkeSaInfo, IkeSaState, NatStatus,
    Released, Role, SignatureRequest, Ticket, Transmit, VerificationRequest,
};
pub use exchange::fragment::{FragmentPolicy, FragmentSizes};
pub use exchange::reassembly::ReassemblyLimits;
pub use identity::{Identity, IdentityPattern};
pub use ike::Endpoint;
pub use keylog::KeyLog;
pub use lifecycle::{After, ChildLifecycle, Lifecycle, Next, RetryPolicy, Start};
pub use mobike::{MobikePolicy, Routability};
pub use observe::{MessageDirection, MessageObserver};
pub use redirect::{Gateway, RedirectCourse, RedirectPolicy};
pub use stats::Statistics;
pub use warning::ConfigWarning;
