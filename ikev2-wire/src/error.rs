//! What can be wrong with octets that came in or with values that are to go out, and where.

use crate::codes::{PayloadType, ProtocolId};
use core::fmt;
use core::net::IpAddr;
use thiserror::Error;

/// Why octets are not an IKE message, or not the payload they claim to be.
///
/// A message with such an error is malformed as a whole (RFC 7296 §2.21); nothing of it is to be acted upon.
/// The one exception is [`ParseErrorKind::MajorVersion`]: the header alone can still be answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[error("{} at octet {offset}: {kind}", Place { payload: *.payload, field: *.field })]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The payload it is wrong in; `None` for the header.
    pub payload: Option<PayloadType>,
    /// The field it is wrong in.
    pub field: Field,
    /// Where that field starts, in octets from the first octet of the IKE header. Inside an SK payload the
    /// offset counts from where the caller says its plaintext starts.
    pub offset: usize,
}

/// What is wrong with octets that came in. Lengths and counts are those of octets unless they say otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The field does not fit in what is left.
    #[error("{needed} octets needed, {available} left")]
    Truncated {
        /// How many octets the field takes.
        needed: usize,
        /// How many are left in the message or in the structure around it.
        available: usize,
    },
    /// Octets are left over after everything that was announced.
    #[error("{count} octets left over")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// The Length field of the header is not the length of the datagram.
    #[error("length {claimed} in a datagram of {actual} octets")]
    MessageLength {
        /// What the field says.
        claimed: u32,
        /// The datagram's octets.
        actual: usize,
    },
    /// A value or a length is out of its range.
    #[error("{value} is not between {min} and {max}")]
    OutOfRange {
        /// What there is.
        value: usize,
        /// The least allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// A count field disagrees with what follows.
    #[error("{claimed} announced, {actual} there")]
    Count {
        /// What the field says.
        claimed: usize,
        /// What there is.
        actual: usize,
    },
    /// A Last Substruc field disagrees with what follows (RFC 7296 §3.3.1, §3.3.2).
    #[error("{value} where {expected} is due")]
    LastSubstructure {
        /// What the field says.
        value: u8,
        /// What it should say.
        expected: u8,
    },
    /// More than this crate takes.
    #[error("more than {limit}")]
    TooMany {
        /// The most allowed.
        limit: usize,
    },
    /// A list that needs at least one element has none.
    #[error("nothing there")]
    Empty,
    /// The initiator's SPI is zero (RFC 7296 §3.1).
    #[error("zero")]
    ZeroSpi,
    /// The major version is not 2: no payload was looked at (RFC 7296 §2.5).
    #[error("major version {major}")]
    MajorVersion {
        /// The version.
        major: u8,
    },
    /// Something follows an SK or SKF payload, which must be the last (RFC 7296 §3.14).
    #[error("{count} octets follow an encrypted payload")]
    NotLast {
        /// How many.
        count: usize,
    },
    /// An SK or SKF payload inside an SK or SKF payload.
    #[error("an encrypted payload inside an encrypted payload")]
    Nested,
    /// The SPI Size does not suit the protocol.
    #[error("SPI size {size} with protocol {protocol}")]
    SpiSize {
        /// What the field says.
        size: u8,
        /// The protocol.
        protocol: ProtocolId,
    },
    /// An octet that must not be in a text.
    #[error("octet {octet:#04x} in a text")]
    Terminator {
        /// The octet.
        octet: u8,
    },
    /// A range of addresses whose start is after its end.
    #[error("{start} is after {end}")]
    AddressesReversed {
        /// The first address.
        start: IpAddr,
        /// The last address.
        end: IpAddr,
    },
    /// A range of ports whose start is after its end, and that is not OPAQUE.
    #[error("{start} is after {end}")]
    PortsReversed {
        /// The first port.
        start: u16,
        /// The last port.
        end: u16,
    },
}

/// Why a value cannot be put on the wire. Nothing has been written then.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[error("{}: {kind}", Place { payload: *.payload, field: *.field })]
pub struct EncodeError {
    /// What is wrong.
    pub kind: EncodeErrorKind,
    /// The payload it is wrong in; `None` for the message as a whole.
    pub payload: Option<PayloadType>,
    /// The field it is wrong in.
    pub field: Field,
}

/// What is wrong with a value that is to go out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// More octets or elements than the format or this crate allows, or fewer.
    #[error("{value} is not between {min} and {max}")]
    OutOfRange {
        /// What there is.
        value: usize,
        /// The least allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// An octet that must not be in a text.
    #[error("octet {octet:#04x} in a text")]
    Terminator {
        /// The octet.
        octet: u8,
    },
    /// The type number cannot stand there: the payload has a form of its own, or it is an encrypted one.
    #[error("type {ty} cannot be sent as a payload of unknown form")]
    Type {
        /// The type.
        ty: u16,
    },
}

/// A field of the header, of a payload or of a structure inside one, named as in the documents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Field {
    /// The header as a whole (RFC 7296 §3.1).
    Header,
    /// IKE SA Initiator's SPI.
    InitiatorSpi,
    /// Major and minor version.
    Version,
    /// Length of the message.
    MessageLength,
    /// The chain of payloads as a whole.
    Chain,
    /// The generic payload header as a whole (RFC 7296 §3.2).
    GenericHeader,
    /// Payload Length.
    PayloadLength,
    /// The payload's fields before its data.
    FixedFields,
    /// The payload's data.
    Data,
    /// The proposals of an SA payload.
    Proposals,
    /// The first four octets of a proposal, transform, selector or attribute.
    SubstructureHeader,
    /// Last Substruc of a proposal or transform.
    LastSubstructure,
    /// Proposal Length.
    ProposalLength,
    /// SPI Size.
    SpiSize,
    /// The SPI or SPIs.
    Spi,
    /// Num Transforms.
    NumTransforms,
    /// The transforms of a proposal.
    Transforms,
    /// Transform Length.
    TransformLength,
    /// A transform or configuration attribute.
    Attribute,
    /// Attribute Type.
    AttributeType,
    /// Num of SPIs of a Delete payload.
    NumSpis,
    /// Number of TSs.
    NumSelectors,
    /// The selectors of a TS payload.
    Selectors,
    /// Selector Length.
    SelectorLength,
    /// Start Port and End Port of a selector.
    Ports,
    /// Starting Address and Ending Address of a selector.
    Addresses,
    /// Fragment Number of an SKF payload.
    FragmentNumber,
    /// Total Fragments of an SKF payload.
    TotalFragments,
    /// The EAP message of an EAP payload.
    EapMessage,
    /// Length of the EAP message.
    EapLength,
    /// ASN.1 Length in the data of a digital signature (RFC 7427 §3).
    AlgorithmIdentifier,
    /// The type of the payload itself.
    PayloadType,
}

impl Field {
    /// The name in the documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::InitiatorSpi => "Initiator's SPI",
            Self::Version => "Version",
            Self::MessageLength => "Length",
            Self::Chain => "payload chain",
            Self::GenericHeader => "generic payload header",
            Self::PayloadLength => "Payload Length",
            Self::FixedFields => "fixed fields",
            Self::Data => "data",
            Self::Proposals => "proposals",
            Self::SubstructureHeader => "substructure header",
            Self::LastSubstructure => "Last Substruc",
            Self::ProposalLength => "Proposal Length",
            Self::SpiSize => "SPI Size",
            Self::Spi => "SPI",
            Self::NumTransforms => "Num Transforms",
            Self::Transforms => "transforms",
            Self::TransformLength => "Transform Length",
            Self::Attribute => "attribute",
            Self::AttributeType => "Attribute Type",
            Self::NumSpis => "Num of SPIs",
            Self::NumSelectors => "Number of TSs",
            Self::Selectors => "Traffic Selectors",
            Self::SelectorLength => "Selector Length",
            Self::Ports => "ports",
            Self::Addresses => "addresses",
            Self::FragmentNumber => "Fragment Number",
            Self::TotalFragments => "Total Fragments",
            Self::EapMessage => "EAP message",
            Self::EapLength => "EAP Length",
            Self::AlgorithmIdentifier => "AlgorithmIdentifier",
            Self::PayloadType => "payload type",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Payload and field, as the texts of both errors name them.
struct Place {
    payload: Option<PayloadType>,
    field: Field,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload {
            Some(payload) => write!(f, "{payload} payload, {}", self.field),
            None => write!(f, "IKE message, {}", self.field),
        }
    }
}
