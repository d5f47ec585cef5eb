//! The Nonce payload (RFC 7296 §3.9).

use crate::codes::PayloadType;
use crate::error::{EncodeError, Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use crate::writer;

/// Ni or Nr: 16 to 256 octets, checked. Whether it has half the size of the PRF's key (RFC 7296 §2.10) is for
/// whoever knows the PRF.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NoncePayload<'a>(&'a [u8]);

impl<'a> NoncePayload<'a> {
    /// The fewest octets of a nonce.
    pub const MIN: usize = 16;
    /// The most octets of a nonce.
    pub const MAX: usize = 256;

    /// A payload with this nonce.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`](crate::EncodeErrorKind::OutOfRange) where it is shorter than 16 octets or
    /// longer than 256.
    pub const fn new(nonce: &'a [u8]) -> Result<Self, EncodeError> {
        match writer::in_range(nonce.len(), Self::MIN, Self::MAX, PayloadType::NONCE, Field::Data) {
            Ok(()) => Ok(Self(nonce)),
            Err(error) => Err(error),
        }
    }

    /// The nonce, as it goes into key derivation and under AUTH.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn parse(reader: Reader<'a>) -> Result<Self, ParseError> {
        let nonce = reader.rest();
        Self::new(nonce).map_err(|_| {
            let kind = ParseErrorKind::OutOfRange { value: nonce.len(), min: Self::MIN, max: Self::MAX };
            reader.error(Field::Data, kind)
        })
    }
}
