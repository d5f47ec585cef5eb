//! The Security Association payload: proposals, transforms and attributes on the wire (RFC 7296 §3.3).

use super::proposal::{Attribute, AttributeValue, Proposal, Transform};
use crate::codes::{PayloadType, ProtocolId, TransformAttribute, TransformName, TransformType};
use crate::error::{EncodeError, EncodeErrorKind, Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use crate::writer;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

/// The most proposals in one payload: as many as there are proposal numbers, which start at 1 and grow by 1.
pub const MAX_PROPOSALS: usize = 255;

/// The most transforms in one payload, all proposals together. Real payloads have fewer than two hundred.
pub const MAX_TRANSFORMS: usize = 1_024;

/// Proposals, from the most to the least preferred; or the one that was chosen.
///
/// Every length and count in it has been checked. Whether numbers, SPI sizes, types and attributes make sense is
/// for negotiation to say: an unknown one costs its transform or its proposal, not the message (RFC 7296
/// §3.3.6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SaPayload<'a> {
    body: Cow<'a, [u8]>,
}

impl<'a> SaPayload<'a> {
    /// A payload with these proposals. A Key Length is written before the other attributes.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`] for no proposals or more than [`MAX_PROPOSALS`], for more than 255
    /// transforms in one or [`MAX_TRANSFORMS`] in all, for an SPI of more than 255 octets, an attribute type of
    /// more than 15 bits, or more octets than a length field can say.
    pub fn build(proposals: &[Proposal]) -> Result<SaPayload<'static>, EncodeError> {
        in_range(proposals.len(), 1, MAX_PROPOSALS, Field::Proposals)?;
        let transforms = proposals.iter().map(|proposal| proposal.transforms.len()).sum();
        in_range(transforms, 0, MAX_TRANSFORMS, Field::Transforms)?;
        // Each has 8 octets before its SPI or its attributes, and a Key Length 4.
        let spis = proposals.iter().map(|proposal| proposal.spi.len().saturating_add(8)).sum::<usize>();
        let mut body = Vec::with_capacity(spis.saturating_add(transforms.saturating_mul(12)));
        let mut left = proposals.len();
        for proposal in proposals {
            left = left.saturating_sub(1);
            put_proposal(proposal, left == 0, &mut body)?;
        }
        Ok(SaPayload { body: Cow::Owned(body) })
    }

    /// The proposals, in order.
    #[must_use]
    pub fn proposals(&self) -> Proposals<'_> {
        Proposals { reader: Reader::checked(&self.body) }
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let body = reader.rest();
        if reader.is_empty() {
            return Err(reader.error(Field::Proposals, ParseErrorKind::Empty));
        }
        let (mut proposals, mut transforms) = (0usize, 0usize);
        while !reader.is_empty() {
            let start = reader;
            proposals = proposals.saturating_add(1);
            if proposals > MAX_PROPOSALS {
                return Err(start.error(Field::Proposals, ParseErrorKind::TooMany { limit: MAX_PROPOSALS }));
            }
            let (proposal, fields) = ProposalView::read(&mut reader)?;
            transforms = transforms.saturating_add(proposal.check_transforms(fields)?);
            if transforms > MAX_TRANSFORMS {
                return Err(start.error(Field::Transforms, ParseErrorKind::TooMany { limit: MAX_TRANSFORMS }));
            }
        }
        Ok(Self { body: Cow::Borrowed(body) })
    }
}

/// The proposals of an SA payload.
#[derive(Clone, Debug)]
pub struct Proposals<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Proposals<'a> {
    type Item = ProposalView<'a>;

    fn next(&mut self) -> Option<ProposalView<'a>> {
        ProposalView::read(&mut self.reader).ok().map(|(proposal, _)| proposal)
    }
}

/// One proposal of an SA payload, as received.
#[derive(Clone, Copy, Debug)]
pub struct ProposalView<'a> {
    number: u8,
    protocol: ProtocolId,
    count: u8,
    spi: &'a [u8],
    transforms: Reader<'a>,
}

/// The octets of a proposal before its SPI.
const PROPOSAL_HEADER_LEN: usize = 8;
/// What Last Substruc says where another proposal follows.
const MORE_PROPOSALS: u8 = 2;
/// The octets of a transform before its attributes.
const TRANSFORM_HEADER_LEN: usize = 8;
/// What Last Substruc says where another transform follows.
const MORE_TRANSFORMS: u8 = 3;

impl<'a> ProposalView<'a> {
    /// The label of the proposal.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// The protocol.
    #[must_use]
    pub const fn protocol(&self) -> ProtocolId {
        self.protocol
    }

    /// The sender's SPI; any length up to 255 octets.
    #[must_use]
    pub const fn spi(&self) -> &'a [u8] {
        self.spi
    }

    /// The transforms, in order.
    #[must_use]
    pub const fn transforms(&self) -> Transforms<'a> {
        Transforms { reader: self.transforms }
    }

    /// How many transforms there are.
    #[must_use]
    pub const fn transform_count(&self) -> usize {
        self.count as usize
    }

    /// A copy that owns its octets.
    #[must_use]
    pub fn to_owned(&self) -> Proposal {
        let mut transforms = Vec::with_capacity(self.transform_count());
        transforms.extend(self.transforms().map(|transform| transform.to_owned()));
        Proposal { number: self.number, protocol: self.protocol, spi: self.spi.to_vec(), transforms }
    }

    /// Reads a proposal without looking at its transforms. Gives the place of its Proposal Num too.
    fn read(reader: &mut Reader<'a>) -> Result<(Self, Reader<'a>), ParseError> {
        let mut inside = substructure(reader, PROPOSAL_HEADER_LEN, MORE_PROPOSALS, Field::ProposalLength)?;
        let fields = inside;
        let [number, protocol, spi_size, count] = inside.array(Field::SubstructureHeader)?;
        let spi = inside.take(spi_size.into(), Field::Spi)?;
        let protocol = ProtocolId(protocol);
        Ok((Self { number, protocol, count, spi, transforms: inside }, fields))
    }

    /// Checks every transform and their number, and gives it. `fields` starts at Proposal Num.
    fn check_transforms(&self, fields: Reader<'a>) -> Result<usize, ParseError> {
        let mut reader = self.transforms;
        let mut actual = 0usize;
        while !reader.is_empty() {
            let mut attributes = TransformView::read(&mut reader)?.attributes;
            while !attributes.is_empty() {
                read_attribute(&mut attributes)?;
            }
            actual = actual.saturating_add(1);
        }
        let claimed = usize::from(self.count);
        if claimed != actual {
            return Err(fields.error_at(3, Field::NumTransforms, ParseErrorKind::Count { claimed, actual }));
        }
        Ok(actual)
    }
}

/// The transforms of a proposal.
#[derive(Clone, Debug)]
pub struct Transforms<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Transforms<'a> {
    type Item = TransformView<'a>;

    fn next(&mut self) -> Option<TransformView<'a>> {
        TransformView::read(&mut self.reader).ok()
    }
}

/// One transform of a proposal, as received.
#[derive(Clone, Copy, Debug)]
pub struct TransformView<'a> {
    ty: TransformType,
    id: u16,
    attributes: Reader<'a>,
}

impl<'a> TransformView<'a> {
    /// What kind of algorithm it is.
    #[must_use]
    pub const fn ty(&self) -> TransformType {
        self.ty
    }

    /// Which one.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// The name of the transform ID.
    #[must_use]
    pub const fn name(&self) -> TransformName {
        TransformName { ty: self.ty, id: self.id }
    }

    /// The attributes, in order.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes { reader: self.attributes }
    }

    /// The value of the first well-formed Key Length attribute.
    #[must_use]
    pub fn key_bits(&self) -> Option<u16> {
        self.attributes().find_map(|attribute| attribute.as_key_length())
    }

    /// Whether there is any attribute besides one well-formed Key Length, so that the transform is not one that
    /// this crate's documents know.
    #[must_use]
    pub fn has_other_attributes(&self) -> bool {
        self.attributes().count() != usize::from(self.key_bits().is_some())
    }

    /// A copy that owns its octets.
    #[must_use]
    pub fn to_owned(&self) -> Transform {
        let mut transform = Transform::new(self.ty, self.id);
        for attribute in self.attributes() {
            match attribute.as_key_length() {
                Some(bits) if transform.key_bits.is_none() => transform.key_bits = Some(bits),
                _ => transform.other_attributes.push(attribute.into_owned()),
            }
        }
        transform
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let mut inside = substructure(reader, TRANSFORM_HEADER_LEN, MORE_TRANSFORMS, Field::TransformLength)?;
        let [ty, _, high, low] = inside.array(Field::SubstructureHeader)?;
        Ok(Self { ty: TransformType(ty), id: u16::from_be_bytes([high, low]), attributes: inside })
    }
}

impl fmt::Display for TransformView<'_> {
    /// As [`Transform`] does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key_bits = self.key_bits();
        let others = self
            .attributes()
            .filter(|attribute| attribute.as_key_length().is_none() || key_bits.take().is_none());
        self.name().fmt_with(f, self.key_bits(), others.map(|attribute| attribute.ty))
    }
}

/// The attributes of a transform.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        read_attribute(&mut self.reader).ok()
    }
}

/// The bit that tells a short attribute (AF = 1) from a long one.
const SHORT_FORMAT: u16 = 0x8000;

/// Reads an attribute (RFC 7296 §3.3.5).
fn read_attribute<'a>(reader: &mut Reader<'a>) -> Result<Attribute<'a>, ParseError> {
    let start = *reader;
    let [a, b, c, d] = reader.array(Field::Attribute)?;
    let (ty, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let value = if ty & SHORT_FORMAT != 0 {
        AttributeValue::Short(low)
    } else if let Some(value) = reader.split(low.into()) {
        AttributeValue::Long(Cow::Borrowed(value.rest()))
    } else {
        return Err(start.error(Field::Attribute, reader.truncated(low.into())));
    };
    Ok(Attribute { ty: TransformAttribute(ty & !SHORT_FORMAT), value })
}

/// Reads the first four octets of a proposal or transform and gives what follows them; checks that Last Substruc
/// agrees with whether anything is left after the substructure.
fn substructure<'a>(
    reader: &mut Reader<'a>,
    min: usize,
    more: u8,
    length_name: Field,
) -> Result<Reader<'a>, ParseError> {
    let start = *reader;
    let [last, _, high, low] = reader.array(Field::SubstructureHeader)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < min {
        let kind = ParseErrorKind::OutOfRange { value: length, min, max: usize::from(u16::MAX) };
        return Err(start.error_at(2, length_name, kind));
    }
    let rest = length.saturating_sub(4);
    let Some(inside) = reader.split(rest) else {
        return Err(start.error_at(2, length_name, reader.truncated(rest)));
    };
    let expected = if reader.is_empty() { 0 } else { more };
    if last != expected {
        let kind = ParseErrorKind::LastSubstructure { value: last, expected };
        return Err(start.error(Field::LastSubstructure, kind));
    }
    Ok(inside)
}

fn in_range(value: usize, min: usize, max: usize, field: Field) -> Result<(), EncodeError> {
    writer::in_range(value, min, max, PayloadType::SA, field)
}

fn put_proposal(proposal: &Proposal, last: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let spi_size = writer::to_u8(proposal.spi.len(), PayloadType::SA, Field::SpiSize)?;
    let count = writer::to_u8(proposal.transforms.len(), PayloadType::SA, Field::NumTransforms)?;
    out.extend_from_slice(&[if last { 0 } else { MORE_PROPOSALS }, 0, 0, 0]);
    out.extend_from_slice(&[proposal.number, proposal.protocol.0, spi_size, count]);
    out.extend_from_slice(&proposal.spi);
    let mut left = proposal.transforms.len();
    for transform in &proposal.transforms {
        left = left.saturating_sub(1);
        put_transform(transform, left == 0, out)?;
    }
    writer::patch_length(out, start, PayloadType::SA, Field::ProposalLength)
}

fn put_transform(transform: &Transform, last: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[if last { 0 } else { MORE_TRANSFORMS }, 0, 0, 0, transform.ty.0, 0]);
    out.extend_from_slice(&transform.id.to_be_bytes());
    if let Some(bits) = transform.key_bits {
        put_attribute(&Attribute::key_length(bits), out)?;
    }
    for attribute in &transform.other_attributes {
        put_attribute(attribute, out)?;
    }
    writer::patch_length(out, start, PayloadType::SA, Field::TransformLength)
}

fn put_attribute(attribute: &Attribute<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let ty = attribute.ty.0;
    if ty & SHORT_FORMAT != 0 {
        let kind = EncodeErrorKind::OutOfRange { value: ty.into(), min: 0, max: (!SHORT_FORMAT).into() };
        return Err(writer::error(PayloadType::SA, Field::AttributeType, kind));
    }
    match &attribute.value {
        AttributeValue::Short(value) => {
            out.extend_from_slice(&(ty | SHORT_FORMAT).to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        AttributeValue::Long(value) => {
            let length = writer::to_u16(value.len(), PayloadType::SA, Field::Attribute)?;
            out.extend_from_slice(&ty.to_be_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
        }
    }
    Ok(())
}
