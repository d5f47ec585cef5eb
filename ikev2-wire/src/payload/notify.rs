//! The Notify payload (RFC 7296 §3.10), and the data of the notifications that a fixed form can be given to.

use crate::codes::{HashAlgorithm, KeMethod, NotifyType, PayloadType, ProtocolId};
use crate::error::{EncodeError, Field, ParseError};
use crate::reader::Reader;
use crate::writer;
use alloc::vec::Vec;

/// A notification: an error, a status, a capability.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NotifyPayload<'a> {
    /// The protocol of the SA that `spi` names. It means nothing where there is no SPI: whatever was received,
    /// it is [`ProtocolId::NONE`] then, and whatever it is, it is sent as zero (RFC 7296 §3.10). The one
    /// exception is CHILDLESS_IKEV2_SUPPORTED, sent with protocol 1 (RFC 6023 §3).
    pub protocol: ProtocolId,
    /// The SPI of the SA that the notification is about; empty for most. At most 255 octets.
    pub spi: &'a [u8],
    /// What is notified.
    pub ty: NotifyType,
    /// What the type wants to be said besides.
    pub data: &'a [u8],
}

impl<'a> NotifyPayload<'a> {
    /// A notification about no SA in particular, or about the IKE SA that the message belongs to.
    #[must_use]
    pub const fn new(ty: NotifyType, data: &'a [u8]) -> Self {
        Self { protocol: ProtocolId::NONE, spi: &[], ty, data }
    }

    /// A notification about a Child SA.
    #[must_use]
    pub const fn with_spi(protocol: ProtocolId, spi: &'a [u8], ty: NotifyType, data: &'a [u8]) -> Self {
        Self { protocol, spi, ty, data }
    }

    /// INVALID_KE_PAYLOAD: the method wanted (RFC 7296 §1.3). `None` for other types and other lengths.
    #[must_use]
    pub fn ke_method(&self) -> Option<KeMethod> {
        self.fixed(NotifyType::INVALID_KE_PAYLOAD).map(|data| KeMethod(u16::from_be_bytes(data)))
    }

    /// UNSUPPORTED_CRITICAL_PAYLOAD: the type of that payload. `None` for other types and other lengths.
    #[must_use]
    pub fn unsupported_payload(&self) -> Option<PayloadType> {
        self.fixed(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD).map(|[ty]| PayloadType(ty))
    }

    /// INVALID_MESSAGE_ID: that Message ID (RFC 7296 §2.3). `None` for other types and other lengths.
    #[must_use]
    pub fn message_id(&self) -> Option<u32> {
        self.fixed(NotifyType::INVALID_MESSAGE_ID).map(u32::from_be_bytes)
    }

    /// SET_WINDOW_SIZE: how many requests the sender serves at once (RFC 7296 §2.3). `None` for other types and
    /// other lengths.
    #[must_use]
    pub fn window_size(&self) -> Option<u32> {
        self.fixed(NotifyType::SET_WINDOW_SIZE).map(u32::from_be_bytes)
    }

    /// AUTH_LIFETIME: in how many seconds the initiator should authenticate anew (RFC 4478 §3). `None` for other types
    /// and other lengths.
    #[must_use]
    pub fn auth_lifetime(&self) -> Option<u32> {
        self.fixed(NotifyType::AUTH_LIFETIME).map(u32::from_be_bytes)
    }

    /// COOKIE: its 1 to 64 octets (RFC 7296 §2.6). `None` for other types and other lengths.
    #[must_use]
    pub fn cookie(&self) -> Option<&'a [u8]> {
        (self.ty == NotifyType::COOKIE && matches!(self.data.len(), 1..=64)).then_some(self.data)
    }

    /// SIGNATURE_HASH_ALGORITHMS: the hashes that the sender takes (RFC 7427 §4). `None` for other types and for
    /// an odd number of octets.
    #[must_use]
    pub fn hash_algorithms(&self) -> Option<impl ExactSizeIterator<Item = HashAlgorithm> + use<'a>> {
        match self.data.as_chunks() {
            (hashes, []) if self.ty == NotifyType::SIGNATURE_HASH_ALGORITHMS => {
                Some(hashes.iter().map(|hash| HashAlgorithm(u16::from_be_bytes(*hash))))
            }
            _ => None,
        }
    }

    /// The data of a notification that has exactly `N` octets.
    fn fixed<const N: usize>(&self, ty: NotifyType) -> Option<[u8; N]> {
        if self.ty == ty { self.data.try_into().ok() } else { None }
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let [protocol, spi_size, high, low] = reader.array(Field::FixedFields)?;
        let spi = reader.take(spi_size.into(), Field::Spi)?;
        Ok(Self {
            protocol: if spi.is_empty() { ProtocolId::NONE } else { ProtocolId(protocol) },
            spi,
            ty: NotifyType(u16::from_be_bytes([high, low])),
            data: reader.rest(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let spi_size = writer::to_u8(self.spi.len(), PayloadType::NOTIFY, Field::SpiSize)?;
        let protocol = match (self.ty, spi_size) {
            (NotifyType::CHILDLESS_IKEV2_SUPPORTED, 0) => ProtocolId::IKE,
            (_, 0) => ProtocolId::NONE,
            _ => self.protocol,
        };
        out.extend_from_slice(&[protocol.0, spi_size]);
        out.extend_from_slice(&self.ty.0.to_be_bytes());
        out.extend_from_slice(self.spi);
        out.extend_from_slice(self.data);
        Ok(())
    }
}
