//! The IKE header (RFC 7296 §3.1).

use crate::codes::{ExchangeType, PayloadType};
use crate::error::{Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use alloc::vec::Vec;
use core::fmt;
use ipsec_types::IkeSpi;

/// The version of IKE that a message is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// The major version, 4 bits on the wire.
    pub major: u8,
    /// The minor version, 4 bits on the wire; to be ignored on receipt (RFC 7296 §2.5).
    pub minor: u8,
}

impl Version {
    /// Version 2.0.
    pub const V2: Self = Self { major: 2, minor: 0 };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The flags of a message, all eight bits as they are on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// I: the sender is the original initiator of the IKE SA.
    pub const INITIATOR: u8 = 0x08;
    /// V: the sender could speak a higher major version. Sent as zero, ignored on receipt.
    pub const VERSION: u8 = 0x10;
    /// R: the message is a response.
    pub const RESPONSE: u8 = 0x20;

    /// The flags of a message sent by the original initiator of the IKE SA or not, and as a response or not.
    #[must_use]
    pub const fn new(initiator: bool, response: bool) -> Self {
        let i = if initiator { Self::INITIATOR } else { 0 };
        let r = if response { Self::RESPONSE } else { 0 };
        Self(i | r)
    }

    /// Whether the sender is the original initiator of the IKE SA.
    #[must_use]
    pub const fn is_initiator(self) -> bool {
        self.0 & Self::INITIATOR != 0
    }

    /// Whether the message is a response.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.0 & Self::RESPONSE != 0
    }

    /// Whether the sender could speak a higher major version.
    #[must_use]
    pub const fn is_version(self) -> bool {
        self.0 & Self::VERSION != 0
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({:#04x})", self.0)
    }
}

/// The 28 octets before the payloads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Header {
    /// The SPI chosen by the IKE SA's initiator.
    pub initiator_spi: IkeSpi,
    /// The SPI chosen by its responder; `None` while that is not known, zero on the wire.
    pub responder_spi: Option<IkeSpi>,
    /// The type of the first payload; [`PayloadType::NONE`] where there is none.
    pub next_payload: PayloadType,
    /// The version.
    pub version: Version,
    /// The exchange.
    pub exchange: ExchangeType,
    /// The flags.
    pub flags: Flags,
    /// The Message ID.
    pub message_id: u32,
    /// The length of the whole message in octets, header included, non-ESP marker not.
    pub length: u32,
}

impl Header {
    /// The length of the header in octets.
    pub const LEN: usize = 28;

    /// Reads the header of a datagram that holds one message and nothing else.
    ///
    /// A header of another major version is accepted, so that it can be answered with INVALID_MAJOR_VERSION;
    /// [`Message::parse`](crate::Message::parse) refuses it.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] below 28 octets, [`ParseErrorKind::MessageLength`] where the Length field
    /// is not the datagram's length, [`ParseErrorKind::ZeroSpi`] where the initiator's SPI is zero.
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        let start = Reader::new(datagram, 0, None);
        if start.len() < Self::LEN {
            return Err(start.error(Field::Header, start.truncated(Self::LEN)));
        }
        let mut reader = start;
        let initiator_spi = u64::from_be_bytes(reader.array(Field::InitiatorSpi)?);
        let responder_spi = u64::from_be_bytes(reader.array(Field::Header)?);
        let [next_payload, version, exchange, flags] = reader.array(Field::Header)?;
        let message_id = u32::from_be_bytes(reader.array(Field::Header)?);
        let length = u32::from_be_bytes(reader.array(Field::MessageLength)?);
        if usize::try_from(length) != Ok(datagram.len()) {
            let kind = ParseErrorKind::MessageLength { claimed: length, actual: datagram.len() };
            return Err(start.error_at(24, Field::MessageLength, kind));
        }
        let Some(initiator_spi) = IkeSpi::new(initiator_spi) else {
            return Err(start.error(Field::InitiatorSpi, ParseErrorKind::ZeroSpi));
        };
        Ok(Self {
            initiator_spi,
            responder_spi: IkeSpi::new(responder_spi),
            next_payload: PayloadType(next_payload),
            version: Version { major: version >> 4, minor: version & 0x0F },
            exchange: ExchangeType(exchange),
            flags: Flags(flags),
            message_id,
            length,
        })
    }

    /// The 28 octets, every field as it is.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let version = (self.version.major << 4) | (self.version.minor & 0x0F);
        let [a, b, c, d, e, f, g, h] = self.initiator_spi.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = self.responder_spi.map_or([0; 8], IkeSpi::to_be_bytes);
        let [next, exchange, flags] = [self.next_payload.0, self.exchange.0, self.flags.0];
        let [q, r, s, t] = self.message_id.to_be_bytes();
        let [u, v, w, x] = self.length.to_be_bytes();
        [
            a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, next, version, exchange, flags, q, r, s, t, u, v,
            w, x,
        ]
    }

    /// Appends the 28 octets, every field as it is.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}
