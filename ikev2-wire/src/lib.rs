//! IKEv2 codecs and code points.
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
pub use payload::sa::{ProposalView, SaPayload, TransformView};
pub use payload::ts::{Selector, TsPayload, UnknownSelector};
pub use payload::vendor::VendorIdPayload;
pub use payload::{Payload, UnknownPayload};
