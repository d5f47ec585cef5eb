//! The Delete payload (RFC 7296 §3.11).

use crate::codes::{PayloadType, ProtocolId};
use crate::error::{EncodeError, Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use crate::writer;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use ipsec_types::EspSpi;

/// SAs that the sender has deleted, all of one protocol: the IKE SA itself, or Child SAs by the SPIs of their
/// inbound halves at the sender.
///
/// It is checked that the counts agree, and that the SPI size is that of the protocol: 0 and no SPIs for IKE, 4
/// for AH and ESP, and not 0 for others.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DeletePayload<'a> {
    protocol: ProtocolId,
    spi_size: u8,
    body: Cow<'a, [u8]>,
}

/// Protocol ID, SPI Size and Num of SPIs.
const HEADER_LEN: usize = 4;

impl<'a> DeletePayload<'a> {
    /// The deletion of the IKE SA that the message belongs to.
    #[must_use]
    pub const fn ike() -> DeletePayload<'static> {
        let body = Cow::Borrowed([ProtocolId::IKE.0, 0, 0, 0].as_slice());
        DeletePayload { protocol: ProtocolId::IKE, spi_size: 0, body }
    }

    /// The deletion of the inbound ESP SAs with these SPIs.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`](crate::EncodeErrorKind::OutOfRange) for more than 16,381 SPIs: they would
    /// not fit in a payload.
    pub fn esp(spis: &[EspSpi]) -> Result<DeletePayload<'static>, EncodeError> {
        let spi_size = 4;
        let most = (usize::from(u16::MAX) - 2 * HEADER_LEN) / usize::from(spi_size);
        writer::in_range(spis.len(), 0, most, PayloadType::DELETE, Field::NumSpis)?;
        let count = writer::to_u16(spis.len(), PayloadType::DELETE, Field::NumSpis)?;
        let mut body = Vec::with_capacity(HEADER_LEN.saturating_add(spis.len().saturating_mul(4)));
        body.extend_from_slice(&[ProtocolId::ESP.0, spi_size]);
        body.extend_from_slice(&count.to_be_bytes());
        body.extend(spis.iter().flat_map(|spi| spi.to_be_bytes()));
        Ok(DeletePayload { protocol: ProtocolId::ESP, spi_size, body: Cow::Owned(body) })
    }

    /// The protocol of the SAs.
    #[must_use]
    pub const fn protocol(&self) -> ProtocolId {
        self.protocol
    }

    /// The SPIs; none for the IKE SA.
    pub fn spis(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let spis = self.body.get(HEADER_LEN..).unwrap_or_default();
        spis.chunks_exact(usize::from(self.spi_size).max(1))
    }

    /// The SPIs, for ESP; zero, which is not an SPI, is left out. None for other protocols.
    pub fn esp_spis(&self) -> impl Iterator<Item = EspSpi> {
        let is_esp = self.protocol == ProtocolId::ESP;
        let spis = self.spis().filter(move |_| is_esp);
        spis.filter_map(|spi| EspSpi::new(u32::from_be_bytes(spi.try_into().ok()?)))
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let start = reader;
        let [protocol, spi_size, high, low] = reader.array(Field::FixedFields)?;
        let (protocol, count) = (ProtocolId(protocol), usize::from(u16::from_be_bytes([high, low])));
        let fits = match protocol {
            ProtocolId::IKE => spi_size == 0,
            ProtocolId::AH | ProtocolId::ESP => spi_size == 4,
            _ => spi_size != 0,
        };
        if !fits {
            return Err(start.error_at(
                1,
                Field::SpiSize,
                ParseErrorKind::SpiSize { size: spi_size, protocol },
            ));
        }
        // Without a size there are no SPIs, and nothing may follow.
        let size = usize::from(spi_size);
        let actual = reader.len().checked_div(size).unwrap_or(0);
        if count != actual {
            let kind = ParseErrorKind::Count { claimed: count, actual };
            return Err(start.error_at(2, Field::NumSpis, kind));
        }
        reader.take(count.saturating_mul(size), Field::Spi)?;
        reader.end(Field::Spi)?;
        let body = start.rest();
        Ok(Self { protocol, spi_size, body: Cow::Borrowed(body) })
    }
}
