//! The Traffic Selector payloads, TSi and TSr (RFC 7296 §3.13).

use crate::codes::{PayloadType, TsType};
use crate::error::{EncodeError, EncodeErrorKind, Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use crate::writer;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipsec_types::{AddressRange, PortRange, TrafficSelector};

/// A list of 1 to 255 traffic selectors.
///
/// Every length and count in it has been checked, and that the ranges of known selectors start before they end.
/// TSi and TSr have the same form; errors of [`TsPayload::build`] name TSi.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TsPayload<'a> {
    body: Cow<'a, [u8]>,
}

/// One selector of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Selector<'a> {
    /// A range of IPv4 or IPv6 addresses.
    Known(TrafficSelector),
    /// A selector of another type, such as a security label. It is to be passed over by whoever does not know
    /// the type.
    Unknown(UnknownSelector<'a>),
}

/// A selector of a type that this crate has no form for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnknownSelector<'a> {
    /// The type.
    pub ty: TsType,
    /// The octet after the type: the protocol, or reserved.
    pub protocol: u8,
    /// What follows the Selector Length.
    pub body: &'a [u8],
}

/// Number of TSs and three reserved octets.
const HEADER_LEN: usize = 4;
/// A range of IPv4 addresses.
const IPV4_SELECTOR_LEN: usize = 16;
/// Type, protocol and length of a selector.
const SELECTOR_HEADER_LEN: usize = 4;

impl<'a> TsPayload<'a> {
    /// A payload with these selectors.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`] for no selectors or more than 255.
    pub fn build(selectors: &[TrafficSelector]) -> Result<TsPayload<'static>, EncodeError> {
        Self::from_selectors(selectors.iter().copied().map(Selector::Known))
    }

    /// A payload with these selectors, unknown types among them.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`] for no selectors or more than 255, or
    /// for one of more than 65,535 octets; [`EncodeErrorKind::Type`] for an unknown
    /// selector with the type of a known one.
    pub fn from_selectors<'s>(
        selectors: impl IntoIterator<Item = Selector<'s>>,
    ) -> Result<TsPayload<'static>, EncodeError> {
        let selectors = selectors.into_iter();
        let capacity = selectors.size_hint().0.saturating_mul(IPV4_SELECTOR_LEN).saturating_add(HEADER_LEN);
        let mut body = Vec::with_capacity(capacity);
        body.extend_from_slice(&[0; HEADER_LEN]);
        let mut count = 0usize;
        for selector in selectors {
            count = count.saturating_add(1);
            writer::in_range(count, 1, 255, PayloadType::TS_I, Field::NumSelectors)?;
            selector.encode(&mut body)?;
        }
        writer::in_range(count, 1, 255, PayloadType::TS_I, Field::NumSelectors)?;
        if let Some(place) = body.first_mut() {
            *place = writer::to_u8(count, PayloadType::TS_I, Field::NumSelectors)?;
        }
        Ok(TsPayload { body: Cow::Owned(body) })
    }

    /// The selectors, in order.
    #[must_use]
    pub fn selectors(&self) -> Selectors<'_> {
        Selectors { reader: Reader::checked(self.body.get(HEADER_LEN..).unwrap_or_default()) }
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let body = reader.rest();
        let fields = reader;
        let [count, ..] = reader.array::<HEADER_LEN>(Field::FixedFields)?;
        let mut actual = 0usize;
        while !reader.is_empty() {
            Selector::read(&mut reader)?;
            actual = actual.saturating_add(1);
        }
        let claimed = usize::from(count);
        if claimed != actual {
            return Err(fields.error(Field::NumSelectors, ParseErrorKind::Count { claimed, actual }));
        }
        if actual == 0 {
            return Err(fields.error(Field::NumSelectors, ParseErrorKind::Empty));
        }
        Ok(Self { body: Cow::Borrowed(body) })
    }
}

/// The selectors of a TS payload.
#[derive(Clone, Debug)]
pub struct Selectors<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Selectors<'a> {
    type Item = Selector<'a>;

    fn next(&mut self) -> Option<Selector<'a>> {
        Selector::read(&mut self.reader).ok()
    }
}

impl<'a> Selector<'a> {
    /// The selector, if its type is known.
    #[must_use]
    pub const fn known(&self) -> Option<&TrafficSelector> {
        match self {
            Self::Known(selector) => Some(selector),
            Self::Unknown(_) => None,
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let start = *reader;
        let [ty, protocol, high, low] = reader.array(Field::SubstructureHeader)?;
        let (ty, length) = (TsType(ty), usize::from(u16::from_be_bytes([high, low])));
        let (min, max) = match ty {
            TsType::IPV4_ADDR_RANGE => (IPV4_SELECTOR_LEN, IPV4_SELECTOR_LEN),
            TsType::IPV6_ADDR_RANGE => (40, 40),
            _ => (SELECTOR_HEADER_LEN, usize::from(u16::MAX)),
        };
        if length < min || length > max {
            let kind = ParseErrorKind::OutOfRange { value: length, min, max };
            return Err(start.error_at(2, Field::SelectorLength, kind));
        }
        let rest = length.saturating_sub(SELECTOR_HEADER_LEN);
        let Some(mut body) = reader.split(rest) else {
            return Err(start.error_at(2, Field::SelectorLength, reader.truncated(rest)));
        };
        match ty {
            TsType::IPV4_ADDR_RANGE => {
                Self::read_range(&mut body, protocol, |octets: [u8; 4]| IpAddr::from(Ipv4Addr::from(octets)))
            }
            TsType::IPV6_ADDR_RANGE => {
                Self::read_range(&mut body, protocol, |octets: [u8; 16]| IpAddr::from(Ipv6Addr::from(octets)))
            }
            _ => Ok(Self::Unknown(UnknownSelector { ty, protocol, body: body.rest() })),
        }
    }

    /// Reads ports and addresses, each address `N` octets.
    fn read_range<const N: usize>(
        body: &mut Reader<'a>,
        protocol: u8,
        address: impl Fn([u8; N]) -> IpAddr,
    ) -> Result<Self, ParseError> {
        let fields = *body;
        let (start, end) = (body.u16(Field::Ports)?, body.u16(Field::Ports)?);
        let ports = PortRange::new(start, end)
            .map_err(|_| fields.error(Field::Ports, ParseErrorKind::PortsReversed { start, end }))?;
        let (start, end) = (address(body.array(Field::Addresses)?), address(body.array(Field::Addresses)?));
        let addresses = AddressRange::new(start, end).map_err(|_| {
            fields.error_at(4, Field::Addresses, ParseErrorKind::AddressesReversed { start, end })
        })?;
        Ok(Self::Known(TrafficSelector { addresses, protocol, ports }))
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        match self {
            Self::Known(selector) => put_range(selector, out),
            Self::Unknown(selector) => {
                if matches!(selector.ty, TsType::IPV4_ADDR_RANGE | TsType::IPV6_ADDR_RANGE) {
                    let kind = EncodeErrorKind::Type { ty: selector.ty.0.into() };
                    return Err(writer::error(PayloadType::TS_I, Field::Selectors, kind));
                }
                out.extend_from_slice(&[selector.ty.0, selector.protocol, 0, 0]);
                out.extend_from_slice(selector.body);
            }
        }
        writer::patch_length(out, start, PayloadType::TS_I, Field::SelectorLength)
    }
}

/// Appends a selector of a known type, its length as zero.
fn put_range(selector: &TrafficSelector, out: &mut Vec<u8>) {
    let ty = if selector.addresses.is_ipv4() { TsType::IPV4_ADDR_RANGE } else { TsType::IPV6_ADDR_RANGE };
    out.extend_from_slice(&[ty.0, selector.protocol, 0, 0]);
    out.extend_from_slice(&selector.ports.start().to_be_bytes());
    out.extend_from_slice(&selector.ports.end().to_be_bytes());
    for address in [selector.addresses.start(), selector.addresses.end()] {
        match address {
            IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
        }
    }
}
