//! The Authentication payload (RFC 7296 §3.8) and the data of a digital signature in it (RFC 7427 §3).

use crate::codes::{AuthMethod, PayloadType};
use crate::error::{EncodeError, Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use crate::writer;
use alloc::vec::Vec;

/// The proof of an identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AuthPayload<'a> {
    /// How the identity is proved.
    pub method: AuthMethod,
    /// Three octets to be sent as zero and ignored when received.
    pub reserved: [u8; 3],
    /// The proof, in the form of the method.
    pub data: &'a [u8],
}

impl<'a> AuthPayload<'a> {
    /// A proof, its reserved octets zero.
    #[must_use]
    pub const fn new(method: AuthMethod, data: &'a [u8]) -> Self {
        Self { method, reserved: [0; 3], data }
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let [method, reserved @ ..] = reader.array::<4>(Field::FixedFields)?;
        Ok(Self { method: AuthMethod(method), reserved, data: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.method.0);
        out.extend_from_slice(&self.reserved);
        out.extend_from_slice(self.data);
    }
}

/// The authentication data of method 14, [`AuthMethod::DIGITAL_SIGNATURE`] (RFC 7427 §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DigitalSignature<'a> {
    /// The DER encoding of the AlgorithmIdentifier, 1 to 255 octets, not looked into.
    pub algorithm: &'a [u8],
    /// The signature, in the form of the algorithm.
    pub signature: &'a [u8],
}

impl<'a> DigitalSignature<'a> {
    /// Takes authentication data apart. Offsets in errors count from its first octet.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] where the AlgorithmIdentifier goes beyond the data, and
    /// [`ParseErrorKind::Empty`] where it has no octets.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(data, 0, Some(PayloadType::AUTH));
        let length = reader.u8(Field::AlgorithmIdentifier)?;
        if length == 0 {
            return Err(reader.error(Field::AlgorithmIdentifier, ParseErrorKind::Empty));
        }
        let algorithm = reader.take(length.into(), Field::AlgorithmIdentifier)?;
        Ok(Self { algorithm, signature: reader.rest() })
    }

    /// Appends the authentication data.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`](crate::EncodeErrorKind::OutOfRange) where the AlgorithmIdentifier has no
    /// octets or more than 255.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let field = Field::AlgorithmIdentifier;
        writer::in_range(self.algorithm.len(), 1, 255, PayloadType::AUTH, field)?;
        out.push(writer::to_u8(self.algorithm.len(), PayloadType::AUTH, field)?);
        out.extend_from_slice(self.algorithm);
        out.extend_from_slice(self.signature);
        Ok(())
    }
}
