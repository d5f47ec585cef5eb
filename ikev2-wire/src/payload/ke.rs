//! The Key Exchange payload (RFC 7296 §3.4).

use crate::codes::KeMethod;
use crate::error::{Field, ParseError};
use crate::reader::Reader;
use alloc::vec::Vec;

/// One side's part of a key exchange. Its two RESERVED octets are sent as zero and not kept when received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KePayload<'a> {
    /// The method that `data` is for.
    pub method: KeMethod,
    /// The public value, encapsulation key or ciphertext. Its length is for the method to check.
    pub data: &'a [u8],
}

impl<'a> KePayload<'a> {
    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        let [high, low, _, _] = reader.array(Field::FixedFields)?;
        Ok(Self { method: KeMethod(u16::from_be_bytes([high, low])), data: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.method.0.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(self.data);
    }
}
