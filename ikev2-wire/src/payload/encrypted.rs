//! The Encrypted payload, SK (RFC 7296 §3.14), and the Encrypted Fragment payload, SKF (RFC 7383 §2.5), as far
//! as they are readable without keys.

use crate::chain::{GenericHeader, ProtectedRaw};
use crate::codes::PayloadType;
use crate::error::{Field, ParseError, ParseErrorKind};
use alloc::vec::Vec;

/// The payload that holds the encrypted ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protected<'a> {
    /// All of them.
    Sk(EncryptedPayload<'a>),
    /// A piece of them.
    Skf(EncryptedFragment<'a>),
}

/// An SK payload. Nothing in it is known to be from the peer before its integrity has been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncryptedPayload<'a> {
    /// The type of the first payload inside; [`PayloadType::NONE`] where there is none.
    pub first_inner: PayloadType,
    /// From the first octet of the IV to the last of the integrity checksum. It may be too short for them.
    pub body: &'a [u8],
    /// How many octets of the message are before the IV: those that an AEAD cipher authenticates beside the
    /// ciphertext (RFC 5282 §5.1).
    pub header_len: usize,
}

/// An SKF payload. Nothing in it is known to be from the peer before its integrity has been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncryptedFragment<'a> {
    /// The type of the first payload inside, in fragment 1; in the others it should be
    /// [`PayloadType::NONE`] and is not to be looked at.
    pub first_inner: PayloadType,
    /// From the first octet of the IV to the last of the integrity checksum. It may be too short for them.
    pub body: &'a [u8],
    /// How many octets of the message are before the IV: those that an AEAD cipher authenticates beside the
    /// ciphertext.
    pub header_len: usize,
    /// Fragment Number: at least 1, at most `total`.
    pub number: u16,
    /// Total Fragments: at least 1.
    pub total: u16,
}

/// The four octets between the generic payload header of an SKF payload and its IV.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FragmentHeader {
    /// Fragment Number, from 1.
    pub number: u16,
    /// Total Fragments.
    pub total: u16,
}

impl FragmentHeader {
    /// The length in octets.
    pub const LEN: usize = 4;

    /// The four octets.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let ([a, b], [c, d]) = (self.number.to_be_bytes(), self.total.to_be_bytes());
        [a, b, c, d]
    }

    /// Appends the four octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}

impl<'a> Protected<'a> {
    /// The type of the payload.
    #[must_use]
    pub const fn ty(&self) -> PayloadType {
        match self {
            Self::Sk(_) => PayloadType::SK,
            Self::Skf(_) => PayloadType::SKF,
        }
    }

    /// The type of the first payload inside.
    #[must_use]
    pub const fn first_inner(&self) -> PayloadType {
        match self {
            Self::Sk(sk) => sk.first_inner,
            Self::Skf(skf) => skf.first_inner,
        }
    }

    /// From the first octet of the IV to the last of the integrity checksum.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        match self {
            Self::Sk(sk) => sk.body,
            Self::Skf(skf) => skf.body,
        }
    }

    /// How many octets of the message are before the IV.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        match self {
            Self::Sk(sk) => sk.header_len,
            Self::Skf(skf) => skf.header_len,
        }
    }

    /// Makes the two tests of RFC 7383 §2.6 that need no state.
    pub(crate) fn parse(protected: &ProtectedRaw<'a>) -> Result<Self, ParseError> {
        let ProtectedRaw { raw, first_inner } = *protected;
        let mut reader = raw.reader();
        if raw.ty != PayloadType::SKF {
            let header_len = raw.offset.saturating_add(GenericHeader::LEN);
            return Ok(Self::Sk(EncryptedPayload { first_inner, body: raw.body, header_len }));
        }
        let start = reader;
        let [a, b, c, d] = reader.array(Field::FixedFields)?;
        let (number, total) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        if total == 0 {
            let kind = ParseErrorKind::OutOfRange { value: 0, min: 1, max: usize::from(u16::MAX) };
            return Err(start.error_at(2, Field::TotalFragments, kind));
        }
        if number == 0 || number > total {
            let kind = ParseErrorKind::OutOfRange { value: number.into(), min: 1, max: total.into() };
            return Err(start.error(Field::FragmentNumber, kind));
        }
        let header_len = reader.offset();
        Ok(Self::Skf(EncryptedFragment { first_inner, body: reader.rest(), header_len, number, total }))
    }
}
