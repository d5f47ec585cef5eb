//! A message: the header, and the payloads outside and the one that holds those inside (RFC 7296 §3, RFC 7383
//! §2.5).

use crate::chain::{MAX_PAYLOADS, Payloads, Walked, encode_chain};
use crate::error::{EncodeError, EncodeErrorKind, Field, ParseError, ParseErrorKind};
use crate::header::{Header, Version};
use crate::payload::Payload;
use crate::payload::encrypted::Protected;
use crate::reader::Reader;
use crate::writer;
use alloc::vec::Vec;

/// A received message: its header, and payloads whose framing has been checked while nothing in them has been
/// decoded.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    header: Header,
    octets: &'a [u8],
    payloads: Payloads<'a>,
    protected: Option<Protected<'a>>,
}

impl<'a> Message<'a> {
    /// Reads a datagram that holds one message and nothing else; on port 4500 without the non-ESP marker.
    ///
    /// # Errors
    /// What [`Header::parse`] refuses; a major version other than 2; a chain of payloads that is not whole,
    /// leaves octets over, has more than [`MAX_PAYLOADS`] payloads, or has an SK or SKF payload that is not the
    /// last one; an SKF payload whose Fragment Number or Total Fragments cannot be (RFC 7383 §2.6).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::parse(datagram)?;
        let mut reader = Reader::new(datagram, 0, None);
        if header.version.major != Version::V2.major {
            let kind = ParseErrorKind::MajorVersion { major: header.version.major };
            return Err(reader.error_at(17, Field::Version, kind));
        }
        reader.take(Header::LEN, Field::Header)?;
        let Walked { payloads, protected } = Payloads::walk(header.next_payload, reader, MAX_PAYLOADS)?;
        let protected = protected.as_ref().map(Protected::parse).transpose()?;
        Ok(Self { header, octets: datagram, payloads, protected })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The payloads outside an SK or SKF payload, which itself is not among them.
    #[must_use]
    pub fn payloads(&self) -> Payloads<'a> {
        self.payloads.clone()
    }

    /// The SK or SKF payload, if there is one.
    #[must_use]
    pub const fn protected(&self) -> Option<Protected<'a>> {
        self.protected
    }

    /// How many payloads there may be inside the SK or SKF payload, so that those outside and inside and it
    /// itself are at most [`MAX_PAYLOADS`]. For [`Payloads::parse_limited`].
    #[must_use]
    pub fn inner_limit(&self) -> usize {
        let outer = self.payloads.len().saturating_add(usize::from(self.protected.is_some()));
        MAX_PAYLOADS.saturating_sub(outer)
    }

    /// The whole message as received.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.octets
    }
}

/// Appends a message without SK payload. The header's `next_payload` and `length` are not looked at: the right
/// ones are written.
///
/// # Errors
/// What cannot be encoded; `out` is then as it was.
pub fn encode_message(
    header: &Header,
    payloads: &[Payload<'_>],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    writer::all_or_nothing(out, |out| {
        let start = out.len();
        out.extend_from_slice(&[0; Header::LEN]);
        let next_payload = encode_chain(payloads, out)?;
        let octets = out.len().saturating_sub(start);
        let length = u32::try_from(octets).map_err(|_| EncodeError {
            kind: EncodeErrorKind::OutOfRange { value: octets, min: Header::LEN, max: u32::MAX as usize },
            payload: None,
            field: Field::MessageLength,
        })?;
        if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *place = Header { next_payload, length, ..*header }.to_bytes();
        }
        Ok(())
    })
}
