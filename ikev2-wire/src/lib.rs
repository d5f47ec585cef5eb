//! The wire format of IKEv2: every code point of the registry, the header, the chain of payloads, and every
//! payload of RFC 7296 §3 and RFC 7383. No cryptography, no policy, no state.
//!
//! | module | what it holds | from |
//! |---|---|---|
//! | [`codes`] | the registries as open newtypes with the IANA names | IANA, "IKEv2 Parameters" |
//! | [`header`] | the 28 octets in front | RFC 7296 §3.1 |
//! | [`message`] | a message: header, payloads, the encrypted one | RFC 7296 §3, RFC 7383 §2.5 |
//! | [`chain`] | payload to payload, without looking into them | RFC 7296 §3.2 |
//! | [`payload`] | the payloads | RFC 7296 §3.3 to §3.16 |
//! | [`print`] | messages as indented text | |
//! | [`error`] | what is wrong, in which payload, field and octet | |
//!
//! # From octets to values and back
//!
//! ```
//! use ikev2_wire::{
//!     EncrId, Flags, Header, IkeSpi, KeMethod, KePayload, Message, NoncePayload, NotifyPayload, NotifyType,
//!     ExchangeType, Payload, PayloadType, PrfId, Proposal, ProtocolId, SaPayload, Transform, Version,
//!     encode_message,
//! };
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // An initiator's first message. The header's next payload and length are filled in.
//!     let header = Header {
//!         initiator_spi: IkeSpi::new(0x0123_4567_89ab_cdef).ok_or("zero")?,
//!         responder_spi: None,
//!         next_payload: PayloadType::NONE,
//!         version: Version::V2,
//!         exchange: ExchangeType::IKE_SA_INIT,
//!         flags: Flags::new(true, false),
//!         message_id: 0,
//!         length: 0,
//!     };
//!     let proposal = Proposal {
//!         number: 1,
//!         protocol: ProtocolId::IKE,
//!         spi: Vec::new(),
//!         transforms: vec![
//!             Transform::encr(EncrId::AES_GCM_16, Some(256)),
//!             Transform::prf(PrfId::HMAC_SHA2_256),
//!             Transform::ke(KeMethod::CURVE25519),
//!         ],
//!     };
//!     let payloads = [
//!         Payload::Sa(SaPayload::build(&[proposal])?),
//!         Payload::Ke(KePayload { method: KeMethod::CURVE25519, data: &[9; 32] }),
//!         Payload::Nonce(NoncePayload::new(&[7; 32])?),
//!         Payload::Notify(NotifyPayload::new(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[])),
//!     ];
//!     let mut datagram = Vec::new();
//!     encode_message(&header, &payloads, &mut datagram)?;
//!
//!     // What its responder sees. Nothing is copied, nothing is decoded before it is asked for.
//!     let message = Message::parse(&datagram)?;
//!     assert_eq!(message.header().exchange, ExchangeType::IKE_SA_INIT);
//!     for raw in message.payloads() {
//!         match raw.decode()? {
//!             Payload::Sa(sa) => {
//!                 for proposal in sa.proposals() {
//!                     assert_eq!(proposal.transforms().count(), 3);
//!                 }
//!             }
//!             Payload::Notify(notify) => assert!(notify.ty.is_status()),
//!             Payload::Unknown(unknown) if unknown.critical => return Err("unsupported".into()),
//!             _ => {}
//!         }
//!     }
//!
//!     assert_eq!(
//!         message.to_string(),
//!         "IKE_SA_INIT request of initiator, Message ID 0, SPIs 0123456789abcdef none, version 2.0, 152 octets\n  \
//!          SA, 40 octets\n    \
//!            proposal 1: IKE\n      \
//!              ENCR_AES_GCM_16-256\n      \
//!              PRF_HMAC_SHA2_256\n      \
//!              KE=Curve25519\n  \
//!          KE, 40 octets: Curve25519, 32 octets of data\n  \
//!          Nonce, 36 octets: 32 octets of data\n  \
//!          N, 8 octets: IKEV2_FRAGMENTATION_SUPPORTED\n"
//!     );
//!
//!     // What is malformed says where.
//!     datagram[30] ^= 0xFF;
//!     let error = Message::parse(&datagram).unwrap_err();
//!     assert_eq!(error.to_string(), "SA payload, Payload Length at octet 30: 65316 octets needed, 120 left");
//!     Ok(())
//! }
//! ```
//!
//! # What is checked when
//!
//! 1. [`Header::parse`]: 28 octets, the Length field against the datagram, the initiator's SPI.
//! 2. [`Message::parse`] and, for the plaintext of an SK payload, [`Payloads::parse`]: the framing of the whole
//!    chain, so that walking it cannot fail.
//! 3. [`RawPayload::decode`]: everything inside one payload that the format itself says, so that iterating over
//!    proposals, selectors, attributes and SPIs cannot fail.
//! 4. What a value means is for others: negotiation, authentication, the exchange.
//!
//! # Bounds
//!
//! Parsing allocates nothing and does not recurse; its work is linear in the length of the datagram, of which at
//! most [`MAX_PAYLOADS`] payloads and in each SA payload [`payload::sa::MAX_PROPOSALS`] proposals and
//! [`payload::sa::MAX_TRANSFORMS`] transforms are accepted. Encoding allocates in the caller's buffer, and for
//! built list payloads a buffer of their own.
//!
//! # What survives a round trip
//!
//! Unknown numbers everywhere, unknown payloads, attributes and selectors, and RESERVED fields. Re-encoding a
//! decoded payload gives the octets it was decoded from but for what [`payload`] lists.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod chain;
pub mod codes;
pub mod error;
pub mod header;
pub mod message;
pub mod payload;
pub mod print;
mod reader;
mod writer;

pub use chain::{ChainEncoder, GenericHeader, MAX_PAYLOADS, Payloads, RawPayload, encode_chain};
pub use codes::*;
pub use error::{EncodeError, EncodeErrorKind, Field, ParseError, ParseErrorKind};
pub use header::{Flags, Header, Version};
pub use ipsec_types::{EspSpi, IkeSpi, TrafficSelector};
pub use message::{Message, encode_message};
pub use payload::auth::{AuthPayload, DigitalSignature};
pub use payload::cert::{CertPayload, CertReqPayload};
pub use payload::cp::{CpAttribute, CpPayload};
pub use payload::delete::DeletePayload;
pub use payload::eap::{EapCode, EapPayload};
pub use payload::encrypted::{EncryptedFragment, EncryptedPayload, FragmentHeader, Protected};
pub use payload::id::IdPayload;
pub use payload::ke::KePayload;
pub use payload::nonce::NoncePayload;
pub use payload::notify::NotifyPayload;
pub use payload::proposal::{Attribute, AttributeValue, Proposal, Transform};
pub use payload::redirect::{GatewayId, Redirect, redirected_from};
pub use payload::sa::{ProposalView, SaPayload, TransformView};
pub use payload::ts::{Selector, TsPayload, UnknownSelector};
pub use payload::vendor::VendorIdPayload;
pub use payload::{Payload, UnknownPayload};
