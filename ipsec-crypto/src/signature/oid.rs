//! Object identifiers of algorithms and curves, so that an error can name what was not known.

use const_oid::ObjectIdentifier;
use const_oid::db::DB;
use core::fmt;

/// An object identifier (ITU-T X.660).
///
/// It prints as its numbers, with its name in parentheses where it has a well-known one:
///
/// ```
/// # use ipsec_crypto::signature::{AlgorithmIdentifierError, SignatureScheme};
/// let ed448 = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71];
/// let Err(AlgorithmIdentifierError::Unknown { oid }) = SignatureScheme::from_algorithm_identifier(&ed448)
/// else { panic!() };
/// assert_eq!(oid.to_string(), "1.3.101.113 (id-Ed448)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId(ObjectIdentifier);

impl ObjectId {
    pub(crate) const fn new(oid: ObjectIdentifier) -> Self {
        Self(oid)
    }

    /// The content octets of its DER encoding, without tag and length.
    #[must_use]
    pub fn as_der_content(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Its well-known name, as `id-Ed448`.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        DB.by_oid(&self.0)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.name().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}
