//! The chain of payloads: the generic payload header and how one payload leads to the next (RFC 7296 §3.2).

use crate::codes::PayloadType;
use crate::error::{EncodeError, Field, ParseError, ParseErrorKind};
use crate::payload::Payload;
use crate::reader::Reader;
use crate::writer;
use alloc::vec::Vec;
use core::iter::FusedIterator;

/// The most payloads that a message may have: those outside an SK payload, itself, and those inside.
///
/// Real messages have fewer than forty. The cap bounds the work that a message of 64 KiB full of empty
/// payloads can cause; nothing is allocated for payloads either way.
pub const MAX_PAYLOADS: usize = 128;

/// The four octets in front of every payload, for whoever writes a payload's body in place: the SK and SKF
/// payloads. Its reserved bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GenericHeader {
    /// The type of the payload after this one; in SK and SKF that of the first one inside.
    pub next_payload: PayloadType,
    /// The critical bit.
    pub critical: bool,
    /// The payload's length, these four octets included.
    pub length: u16,
}

impl GenericHeader {
    /// The length of the generic payload header in octets.
    pub const LEN: usize = 4;

    /// The four octets.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [high, low] = self.length.to_be_bytes();
        [self.next_payload.0, if self.critical { CRITICAL } else { 0 }, high, low]
    }

    /// Appends the four octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}

/// The critical bit in the second octet; the other seven are reserved.
const CRITICAL: u8 = 0x80;

/// One payload of a chain, its body not looked into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RawPayload<'a> {
    /// The payload's type, which stood in the header before it.
    pub ty: PayloadType,
    /// The critical bit. It matters for unknown types only (RFC 7296 §2.5).
    pub critical: bool,
    /// The seven reserved bits beside it, to be ignored.
    pub reserved_bits: u8,
    /// What follows the generic payload header.
    pub body: &'a [u8],
    /// Where the generic payload header starts, in octets from the first octet of the message.
    pub offset: usize,
}

impl<'a> RawPayload<'a> {
    /// Looks into the body. A type that this crate has no form for gives [`Payload::Unknown`].
    ///
    /// # Errors
    /// What is wrong with the body and where: the payload, and with it the message, is malformed.
    pub fn decode(&self) -> Result<Payload<'a>, ParseError> {
        Payload::decode(self)
    }

    /// A cursor at the start of the body.
    pub(crate) const fn reader(&self) -> Reader<'a> {
        Reader::new(self.body, self.offset.saturating_add(GenericHeader::LEN), Some(self.ty))
    }

    /// Reads the payload of type `ty` at the cursor, and the type of the one after it.
    fn read(ty: PayloadType, reader: &mut Reader<'a>) -> Result<(Self, PayloadType), ParseError> {
        let start = reader.within(ty);
        let mut here = start;
        let [next, flags, high, low] = here.array(Field::GenericHeader)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(body_length) = length.checked_sub(GenericHeader::LEN) else {
            let max = usize::from(u16::MAX);
            let kind = ParseErrorKind::OutOfRange { value: length, min: GenericHeader::LEN, max };
            return Err(start.error_at(2, Field::PayloadLength, kind));
        };
        let Some(body) = here.split(body_length) else {
            return Err(start.error_at(2, Field::PayloadLength, here.truncated(body_length)));
        };
        *reader = here;
        let raw = Self {
            ty,
            critical: flags & CRITICAL != 0,
            reserved_bits: flags & !CRITICAL,
            body: body.rest(),
            offset: start.offset(),
        };
        Ok((raw, PayloadType(next)))
    }
}

/// The payloads of a chain whose framing has been checked.
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    next: PayloadType,
    reader: Reader<'a>,
    left: usize,
}

/// A chain whose framing has been checked.
pub(crate) struct Walked<'a> {
    /// The payloads before the SK or SKF payload, or all of them.
    pub(crate) payloads: Payloads<'a>,
    /// The SK or SKF payload.
    pub(crate) protected: Option<ProtectedRaw<'a>>,
}

/// An SK or SKF payload, not looked into.
pub(crate) struct ProtectedRaw<'a> {
    pub(crate) raw: RawPayload<'a>,
    /// The type of the first payload inside.
    pub(crate) first_inner: PayloadType,
}

impl<'a> Payloads<'a> {
    /// Checks the framing of the chain inside an SK payload: each payload whole, the last Next Payload zero,
    /// no octets left over, no SK or SKF, at most [`MAX_PAYLOADS`].
    ///
    /// `first` is the type of the first payload, `octets` the plaintext without its padding, and `base_offset`
    /// where errors should say that it starts.
    ///
    /// # Errors
    /// What is wrong with the framing and where.
    pub fn parse(first: PayloadType, octets: &'a [u8], base_offset: usize) -> Result<Self, ParseError> {
        Self::parse_limited(first, octets, base_offset, MAX_PAYLOADS)
    }

    /// Like [`Payloads::parse`], with at most `limit` payloads: what
    /// [`Message::inner_limit`](crate::Message::inner_limit) says for a message with payloads outside SK too.
    ///
    /// # Errors
    /// What is wrong with the framing and where.
    pub fn parse_limited(
        first: PayloadType,
        octets: &'a [u8],
        base_offset: usize,
        limit: usize,
    ) -> Result<Self, ParseError> {
        let reader = Reader::new(octets, base_offset, None);
        let Walked { payloads, protected } = Self::walk(first, reader, limit)?;
        match protected {
            None => Ok(payloads),
            Some(ProtectedRaw { raw, .. }) => {
                let at = Reader::new(&[], raw.offset, Some(raw.ty));
                Err(at.error(Field::PayloadType, ParseErrorKind::Nested))
            }
        }
    }

    /// Walks a chain to its end or to an SK or SKF payload, which must then be the last.
    pub(crate) fn walk(
        first: PayloadType,
        reader: Reader<'a>,
        limit: usize,
    ) -> Result<Walked<'a>, ParseError> {
        let mut payloads = Self { next: first, reader, left: 0 };
        let mut here = reader;
        let mut next = first;
        while next != PayloadType::NONE {
            if payloads.left >= limit {
                return Err(here.within(next).error(Field::Chain, ParseErrorKind::TooMany { limit }));
            }
            let (raw, after) = RawPayload::read(next, &mut here)?;
            if raw.ty.is_protected() {
                if !here.is_empty() {
                    return Err(here.error(Field::Chain, ParseErrorKind::NotLast { count: here.len() }));
                }
                return Ok(Walked { payloads, protected: Some(ProtectedRaw { raw, first_inner: after }) });
            }
            payloads.left += 1;
            next = after;
        }
        here.end(Field::Chain)?;
        Ok(Walked { payloads, protected: None })
    }

    /// A chain without payloads.
    #[must_use]
    pub const fn empty() -> Self {
        Self { next: PayloadType::NONE, reader: Reader::checked(&[]), left: 0 }
    }
}

impl<'a> Iterator for Payloads<'a> {
    type Item = RawPayload<'a>;

    fn next(&mut self) -> Option<RawPayload<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (raw, after) = RawPayload::read(self.next, &mut self.reader).ok()?;
        self.next = after;
        Some(raw)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Payloads<'_> {}
impl FusedIterator for Payloads<'_> {}

/// Writes a chain payload by payload. Each one's type goes into the Next Payload field before it.
///
/// For chains that end in an SK or SKF payload, whose body the caller writes; [`encode_chain`] is for the
/// others.
///
/// ```
/// use ikev2_wire::{ChainEncoder, GenericHeader, Payload, PayloadType, VendorIdPayload};
///
/// let mut out = Vec::new();
/// let mut chain = ChainEncoder::new(&mut out);
/// chain.push(&Payload::VendorId(VendorIdPayload(b"hello")))?;
/// let first = chain.finish(PayloadType::SK);
/// GenericHeader { next_payload: PayloadType::NONE, critical: false, length: 4 + 3 }.encode(&mut out);
/// out.extend_from_slice(&[1, 2, 3]);
/// assert_eq!(first, PayloadType::VENDOR_ID);
/// assert_eq!(out, *b"\x2e\0\0\x09hello\0\0\0\x07\x01\x02\x03");
/// # Ok::<(), ikev2_wire::EncodeError>(())
/// ```
#[derive(Debug)]
#[must_use = "a chain is not finished until its last Next Payload field is written"]
pub struct ChainEncoder<'o> {
    out: &'o mut Vec<u8>,
    first: PayloadType,
    /// Where the last payload's generic header starts; `None` before the first payload.
    last: Option<usize>,
}

impl<'o> ChainEncoder<'o> {
    /// A chain to be appended to `out`.
    pub const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, first: PayloadType::NONE, last: None }
    }

    /// Appends a payload. The critical bit is zero, except as an unknown payload says.
    ///
    /// # Errors
    /// What cannot be encoded; the payload is then not in the chain.
    pub fn push(&mut self, payload: &Payload<'_>) -> Result<(), EncodeError> {
        let flags = match payload {
            Payload::Unknown(unknown) if unknown.critical => CRITICAL,
            _ => 0,
        };
        self.put(payload.ty(), flags, |out| payload.encode_body(out))
    }

    /// Appends a payload as it was received, its critical and reserved bits included.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`](crate::EncodeErrorKind::OutOfRange) where the body is longer than a
    /// payload can be.
    pub fn push_raw(&mut self, raw: &RawPayload<'_>) -> Result<(), EncodeError> {
        let critical = if raw.critical { CRITICAL } else { 0 };
        self.put(raw.ty, critical | (raw.reserved_bits & !CRITICAL), |out| {
            out.extend_from_slice(raw.body);
            Ok(())
        })
    }

    /// Ends the chain: the last payload names `next` as the one after it, [`PayloadType::NONE`] or that of an
    /// SK or SKF payload which the caller appends. Gives the type of the first payload, to be named in front of
    /// the chain; that is `next` where the chain is empty.
    #[must_use = "the type of the first payload belongs in front of the chain"]
    pub fn finish(mut self, next: PayloadType) -> PayloadType {
        self.link(next);
        self.first
    }

    fn put(
        &mut self,
        ty: PayloadType,
        flags: u8,
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let start = self.out.len();
        writer::all_or_nothing(self.out, |out| {
            out.extend_from_slice(&[PayloadType::NONE.0, flags, 0, 0]);
            body(out)?;
            writer::patch_length(out, start, ty, Field::PayloadLength)
        })?;
        self.link(ty);
        self.last = Some(start);
        Ok(())
    }

    /// Names the next payload in front of it.
    fn link(&mut self, next: PayloadType) {
        match self.last.and_then(|last| self.out.get_mut(last)) {
            Some(place) => *place = next.0,
            None => self.first = next,
        }
    }
}

/// Appends a chain of payloads that ends with the last of them, and gives the type of the first:
/// [`PayloadType::NONE`] for an empty chain.
///
/// # Errors
/// What cannot be encoded, more than [`MAX_PAYLOADS`] payloads included; `out` is then as it was.
pub fn encode_chain(payloads: &[Payload<'_>], out: &mut Vec<u8>) -> Result<PayloadType, EncodeError> {
    encode_chain_before(payloads, PayloadType::NONE, out)
}

/// Like [`encode_chain`], for a chain that goes on with a payload of type `next`, which the caller appends.
pub(crate) fn encode_chain_before(
    payloads: &[Payload<'_>],
    next: PayloadType,
    out: &mut Vec<u8>,
) -> Result<PayloadType, EncodeError> {
    let first = payloads.first().map_or(next, Payload::ty);
    writer::in_range(payloads.len(), 0, MAX_PAYLOADS, first, Field::Chain)?;
    writer::all_or_nothing(out, |out| {
        let mut chain = ChainEncoder::new(out);
        for payload in payloads {
            chain.push(payload)?;
        }
        Ok(chain.finish(next))
    })
}
