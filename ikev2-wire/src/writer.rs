//! The one way in which structures that state their own length are written.

use crate::codes::PayloadType;
use crate::error::{EncodeError, EncodeErrorKind, Field};
use alloc::vec::Vec;

/// An error about a value of this payload.
pub(crate) const fn error(payload: PayloadType, field: Field, kind: EncodeErrorKind) -> EncodeError {
    EncodeError { kind, payload: Some(payload), field }
}

/// `value` as an octet, or that it is out of range.
pub(crate) fn to_u8(value: usize, payload: PayloadType, field: Field) -> Result<u8, EncodeError> {
    u8::try_from(value)
        .map_err(|_| error(payload, field, EncodeErrorKind::OutOfRange { value, min: 0, max: 255 }))
}

/// `value` as two octets, or that it is out of range.
pub(crate) fn to_u16(value: usize, payload: PayloadType, field: Field) -> Result<u16, EncodeError> {
    u16::try_from(value)
        .map_err(|_| error(payload, field, EncodeErrorKind::OutOfRange { value, min: 0, max: 65_535 }))
}

/// That `value` lies between `min` and `max`.
pub(crate) const fn in_range(
    value: usize,
    min: usize,
    max: usize,
    payload: PayloadType,
    field: Field,
) -> Result<(), EncodeError> {
    if value < min || value > max {
        return Err(error(payload, field, EncodeErrorKind::OutOfRange { value, min, max }));
    }
    Ok(())
}

/// Writes a structure with a two-octet length, which counts from its first octet, at its octets 2 and 3: a
/// payload, a proposal, a transform, a selector. `start` is where the structure began in `out`; everything
/// after it has been written, the length as zero.
pub(crate) fn patch_length(
    out: &mut [u8],
    start: usize,
    payload: PayloadType,
    field: Field,
) -> Result<(), EncodeError> {
    let length = to_u16(out.len().saturating_sub(start), payload, field)?;
    if let Some([_, _, place @ ..]) = out.get_mut(start..)
        && let Some(place) = place.first_chunk_mut()
    {
        *place = length.to_be_bytes();
    }
    Ok(())
}

/// Runs `write`, and takes back what it wrote if it fails.
pub(crate) fn all_or_nothing<T>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, EncodeError>,
) -> Result<T, EncodeError> {
    let before = out.len();
    let result = write(out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}
