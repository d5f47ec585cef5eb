//! Certification authorities as CERTREQ names them (RFC 7296 §3.7).

use alloc::vec::Vec;
use core::fmt;
use ipsec_crypto::signature::PublicKey;
use sha1::{Digest, Sha1};

/// SHA-1 of an authority's SubjectPublicKeyInfo: a name that nothing rests on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityHash(pub [u8; 20]);

impl AuthorityHash {
    /// The name of the authority with this key.
    #[must_use]
    pub fn of_key(key: &PublicKey) -> Self {
        Self::of_spki(key.as_spki_der())
    }

    /// The name of the authority with this SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(Sha1::digest(spki).into())
    }

    /// Those of the certificates of a chain but its first, in DER, as far as they can be read.
    #[must_use]
    pub fn of_chain(certificates: &[Vec<u8>]) -> Vec<Self> {
        let keys = certificates.iter().skip(1).filter_map(|der| PublicKey::from_certificate_der(der).ok());
        keys.map(|key| Self::of_key(&key)).collect()
    }
}

impl fmt::Display for AuthorityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for AuthorityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
