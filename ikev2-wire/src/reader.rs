//! The one way in which octets are read: a cursor that knows where it is in the message, so that every error
//! says so.

use crate::codes::PayloadType;
use crate::error::{Field, ParseError, ParseErrorKind};

/// A cursor over the octets of a message or of a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    octets: &'a [u8],
    offset: usize,
    payload: Option<PayloadType>,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `octets`, which lie `offset` octets into the message.
    pub(crate) const fn new(octets: &'a [u8], offset: usize, payload: Option<PayloadType>) -> Self {
        Self { octets, offset, payload }
    }

    /// A cursor over a body that has been checked before, so that its errors are never seen.
    pub(crate) const fn checked(octets: &'a [u8]) -> Self {
        Self::new(octets, 0, None)
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) const fn len(&self) -> usize {
        self.octets.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The same cursor, its errors attributed to this payload.
    pub(crate) const fn within(self, payload: PayloadType) -> Self {
        Self { payload: Some(payload), ..self }
    }

    /// An error about a field that starts here.
    pub(crate) const fn error(&self, field: Field, kind: ParseErrorKind) -> ParseError {
        self.error_at(0, field, kind)
    }

    /// An error about a field that starts `ahead` octets from here.
    pub(crate) const fn error_at(&self, ahead: usize, field: Field, kind: ParseErrorKind) -> ParseError {
        ParseError { kind, payload: self.payload, field, offset: self.offset.saturating_add(ahead) }
    }

    /// That there are fewer than `needed` octets from here on.
    pub(crate) const fn truncated(&self, needed: usize) -> ParseErrorKind {
        ParseErrorKind::Truncated { needed, available: self.octets.len() }
    }

    /// The next `count` octets.
    pub(crate) fn take(&mut self, count: usize, field: Field) -> Result<&'a [u8], ParseError> {
        match self.split(count) {
            Some(taken) => Ok(taken.octets),
            None => Err(self.error(field, self.truncated(count))),
        }
    }

    /// The next `N` octets.
    pub(crate) fn array<const N: usize>(&mut self, field: Field) -> Result<[u8; N], ParseError> {
        let Some((taken, rest)) = self.octets.split_first_chunk::<N>() else {
            return Err(self.error(field, self.truncated(N)));
        };
        self.octets = rest;
        self.offset = self.offset.saturating_add(N);
        Ok(*taken)
    }

    /// The next octet.
    pub(crate) fn u8(&mut self, field: Field) -> Result<u8, ParseError> {
        self.array::<1>(field).map(|[octet]| octet)
    }

    /// The next two octets as a number.
    pub(crate) fn u16(&mut self, field: Field) -> Result<u16, ParseError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// A cursor over the next `count` octets, which this one skips; `None` where there are not as many.
    pub(crate) fn split(&mut self, count: usize) -> Option<Self> {
        let (octets, rest) = self.octets.split_at_checked(count)?;
        let taken = Self { octets, ..*self };
        self.octets = rest;
        self.offset = self.offset.saturating_add(count);
        Some(taken)
    }

    /// All that is left.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.octets
    }

    /// That nothing is left.
    pub(crate) fn end(&self, field: Field) -> Result<(), ParseError> {
        if self.octets.is_empty() {
            return Ok(());
        }
        Err(self.error(field, ParseErrorKind::Trailing { count: self.octets.len() }))
    }
}
