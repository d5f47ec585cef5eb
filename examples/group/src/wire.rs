//! Exchanges and payloads, all of private-use types (RFC 7296 §3.1, §3.2), and what is in them.

use ikev2_core::exchange::one_way::OneWayId;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{IkeSpi, Payload, UnknownPayload};
use ipsec_types::SecretBytes;
use ipsec_types::sa::SaKeys;

/// Authenticates both ends, and brings the key of the group.
pub const GROUP_AUTH: ExchangeType = ExchangeType(240);
/// A request of a member, and its answer.
pub const GROUP_ASK: ExchangeType = ExchangeType(241);
/// A one-way message to all members.
pub const GROUP_NEWS: ExchangeType = ExchangeType(242);

/// The name of the group.
pub const NAME: PayloadType = PayloadType(200);
/// The name and the key of the one-way SA.
pub const KEYS: PayloadType = PayloadType(201);
/// What is told.
pub const NEWS: PayloadType = PayloadType(202);

/// The payloads that [`ikev2_core`] does not know.
pub const OURS: [PayloadType; 3] = [NAME, KEYS, NEWS];

/// A payload that whoever does not know it must refuse.
#[must_use]
pub fn payload(ty: PayloadType, body: &[u8]) -> Payload<'_> {
    Payload::Unknown(UnknownPayload { ty, critical: true, body })
}

/// What a member needs to receive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// The one-way SA.
    pub id: OneWayId,
    /// The Message ID from which on messages are new.
    pub next_id: u32,
    /// The key of a combined-mode cipher.
    pub encr: SecretBytes,
}

impl Keys {
    /// The body of a KEYS payload: both halves of the SPI, the Message ID, the key.
    #[must_use]
    pub fn to_body(&self) -> SecretBytes {
        let (first, second) = (self.id.first.to_be_bytes(), self.id.second.to_be_bytes());
        let parts: [&[u8]; 4] = [&first, &second, &self.next_id.to_be_bytes(), self.encr.as_slice()];
        SecretBytes::copy_from(&parts.concat())
    }

    /// Reads the body; `None` where it is too short or an SPI is zero.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        let (first, rest) = body.split_first_chunk()?;
        let (second, rest) = rest.split_first_chunk()?;
        let (next_id, encr) = rest.split_first_chunk()?;
        let spi = |octets| IkeSpi::new(u64::from_be_bytes(octets));
        let id = OneWayId { exchange: GROUP_NEWS, first: spi(*first)?, second: spi(*second)? };
        Some(Self { id, next_id: u32::from_be_bytes(*next_id), encr: SecretBytes::copy_from(encr) })
    }

    /// The keys as a cipher takes them.
    #[must_use]
    pub fn sa_keys(&self) -> SaKeys {
        SaKeys { encr: self.encr.clone(), integ: SecretBytes::copy_from(&[]) }
    }
}
