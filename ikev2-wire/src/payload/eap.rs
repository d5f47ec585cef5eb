//! The Extensible Authentication payload: one EAP message (RFC 7296 §3.16, RFC 3748 §4).

use crate::codes::PayloadType;
use crate::error::{EncodeError, EncodeErrorKind, Field, ParseError, ParseErrorKind};
use crate::reader::Reader;
use crate::writer;
use ipsec_types::code_points;

code_points! {
    /// What kind of EAP message it is (RFC 3748 §4, RFC 6696 §5.3).
    pub struct EapCode(u8) {
        /// From the authenticator: has a type.
        REQUEST = 1, "Request";
        /// From the peer: has a type.
        RESPONSE = 2, "Response";
        /// The method succeeded: four octets.
        SUCCESS = 3, "Success";
        /// The method failed: four octets.
        FAILURE = 4, "Failure";
        /// Starts reauthentication (RFC 6696).
        INITIATE = 5, "Initiate";
        /// Ends reauthentication (RFC 6696).
        FINISH = 6, "Finish";
    }
}

/// An EAP message whose lengths have been checked: the Length field is that of the message, Success and Failure
/// have four octets, Request and Response have a type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EapPayload<'a> {
    code: EapCode,
    identifier: u8,
    message: &'a [u8],
}

/// Code, Identifier and Length.
const HEADER_LEN: usize = 4;

impl<'a> EapPayload<'a> {
    /// A payload with this EAP message, from its Code on.
    ///
    /// # Errors
    /// [`EncodeErrorKind::OutOfRange`] where the lengths are not as an EAP message's must be.
    pub fn new(message: &'a [u8]) -> Result<Self, EncodeError> {
        let reader = Reader::new(message, 0, Some(PayloadType::EAP));
        Self::parse(reader).map_err(|ParseError { kind, field, .. }| {
            let (min, max) = match kind {
                ParseErrorKind::OutOfRange { min, max, .. } => (min, max),
                ParseErrorKind::Count { claimed, .. } => (claimed, claimed),
                _ => (HEADER_LEN, usize::from(u16::MAX)),
            };
            writer::error(
                PayloadType::EAP,
                field,
                EncodeErrorKind::OutOfRange { value: message.len(), min, max },
            )
        })
    }

    /// What kind of message it is.
    #[must_use]
    pub const fn code(&self) -> EapCode {
        self.code
    }

    /// Which request it is or answers.
    #[must_use]
    pub const fn identifier(&self) -> u8 {
        self.identifier
    }

    /// The type of a Request or Response; `None` for other codes.
    #[must_use]
    pub fn ty(&self) -> Option<u8> {
        match self.code {
            EapCode::REQUEST | EapCode::RESPONSE => self.message.get(HEADER_LEN).copied(),
            _ => None,
        }
    }

    /// What follows the type of a Request or Response, or the Length of others.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        let start = if self.ty().is_some() { HEADER_LEN + 1 } else { HEADER_LEN };
        self.message.get(start..).unwrap_or_default()
    }

    /// The whole message, for an EAP method or an AAA server.
    #[must_use]
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let start = reader;
        let [code, identifier, high, low] = reader.array(Field::EapMessage)?;
        let (code, length) = (EapCode(code), usize::from(u16::from_be_bytes([high, low])));
        let message = start.rest();
        if length != message.len() {
            let kind = ParseErrorKind::Count { claimed: length, actual: message.len() };
            return Err(start.error_at(2, Field::EapLength, kind));
        }
        let (min, max) = match code {
            EapCode::SUCCESS | EapCode::FAILURE => (HEADER_LEN, HEADER_LEN),
            EapCode::REQUEST | EapCode::RESPONSE => (HEADER_LEN + 1, usize::from(u16::MAX)),
            _ => (HEADER_LEN, usize::from(u16::MAX)),
        };
        if length < min || length > max {
            let kind = ParseErrorKind::OutOfRange { value: length, min, max };
            return Err(start.error_at(2, Field::EapLength, kind));
        }
        Ok(Self { code, identifier, message })
    }
}
