//! Public keys as certificates and raw public keys carry them: SubjectPublicKeyInfo (RFC 5280 §4.1.2.7,
//! RFC 3279 §2.3.1, RFC 5480, RFC 8410; in IKE RFC 7670).

use super::oid::ObjectId;
use crate::pem;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use core::fmt;
use core::hash::{Hash, Hasher};
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Tag, Tagged};
use pkcs1::RsaPublicKeyRef;
use sha2::{Digest, Sha256};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use thiserror::Error;
use x509_cert::Certificate;

/// The smallest RSA modulus that is taken, in bits (RFC 8247 §3.1.1: less is SHOULD NOT, and NIST SP 800-131A
/// forbids it).
pub const MIN_RSA_BITS: usize = 2048;

/// The largest RSA modulus that is taken, in bits, so that a peer's key cannot cost much time.
pub const MAX_RSA_BITS: usize = 8192;

/// The largest public exponent that is taken, for the same reason.
const MAX_RSA_EXPONENT: u64 = (1 << 33) - 1;

/// Why octets are no public key.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// They are no DER encoding of a SubjectPublicKeyInfo, or octets follow it.
    #[error("no DER encoding of a SubjectPublicKeyInfo")]
    Spki,
    /// They are no DER encoding of an X.509 certificate, or octets follow it.
    #[error("no DER encoding of an X.509 certificate")]
    Certificate,
    /// They are no PEM text.
    #[error("no PEM text")]
    Pem,
    /// They are PEM text of something else.
    #[error("PEM text of a {label}, not of a public key or certificate")]
    PemLabel {
        /// What stands after BEGIN.
        label: String,
    },
    /// The key's octets or its parameters are not what the algorithm says.
    #[error("a malformed key or wrong parameters of {oid}")]
    Malformed {
        /// The algorithm.
        oid: ObjectId,
    },
    /// The RSA modulus has a size that is not taken.
    #[error("an RSA modulus of {bits} bits, where {MIN_RSA_BITS} to {MAX_RSA_BITS} are taken")]
    RsaModulus {
        /// Its bits.
        bits: usize,
    },
    /// The RSA modulus is even, or the exponent even, 1, or above 2^33 - 1.
    #[error("an RSA key whose modulus or exponent is unsound")]
    RsaUnsound,
}

/// What kind of key it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum KeyType {
    /// RSA, for either padding (rsaEncryption of RFC 3279).
    Rsa,
    /// ECDSA on NIST P-256.
    EcP256,
    /// ECDSA on NIST P-384.
    EcP384,
    /// ECDSA on NIST P-521.
    EcP521,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Another one, named by its algorithm or, for an elliptic curve, by the curve. No scheme goes with it.
    Other(ObjectId),
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa => f.write_str("RSA"),
            Self::EcP256 => f.write_str("P-256"),
            Self::EcP384 => f.write_str("P-384"),
            Self::EcP521 => f.write_str("P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "{oid}"),
        }
    }
}

/// What a key consists of.
#[derive(Clone)]
pub(crate) enum KeyMaterial {
    /// RSA: the modulus without leading zeros, of [`MIN_RSA_BITS`] to [`MAX_RSA_BITS`] bits and odd; the
    /// exponent, odd and greater than 1.
    Rsa { modulus: Box<[u8]>, exponent: u64 },
    /// A point as SEC 1 §2.3.3 has it, of the right length; whether it lies on the curve is not known yet.
    Ec { curve: KeyType, point: Box<[u8]> },
    /// The point's encoding; whether it is one is not known yet.
    Ed25519([u8; 32]),
    /// What is not known.
    Other(ObjectId),
}

/// A public key in its SubjectPublicKeyInfo.
///
/// Two keys are equal if their encodings are. A key of an unknown type is kept, so that it can be compared
/// and reported; no signature verifies with it.
#[derive(Clone)]
pub struct PublicKey {
    spki: Box<[u8]>,
    material: KeyMaterial,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`PublicKeyError`]: malformed, or an RSA key that is too small, too large or unsound. Whether a point
    /// lies on its curve shows when a signature is checked.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| PublicKeyError::Spki)?;
        Ok(Self { spki: der.into(), material: material(spki.algorithm, spki.subject_public_key)? })
    }

    /// Takes the key out of an X.509 certificate in DER. Nothing else of the certificate is looked at or
    /// validated: it must be trusted already.
    ///
    /// # Errors
    /// [`PublicKeyError::Certificate`], and those of [`PublicKey::from_spki_der`].
    pub fn from_certificate_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let certificate = Certificate::from_der(der).map_err(|_| PublicKeyError::Certificate)?;
        let spki = certificate.tbs_certificate().subject_public_key_info();
        Self::from_spki_der(&spki.to_der().map_err(|_| PublicKeyError::Certificate)?)
    }

    /// Reads a public key or takes it out of a certificate, whichever the PEM text (RFC 7468) holds first.
    ///
    /// # Errors
    /// [`PublicKeyError::Pem`], [`PublicKeyError::PemLabel`], and those of [`PublicKey::from_spki_der`] and
    /// [`PublicKey::from_certificate_der`].
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        let (label, der) = pem::first(text, |_| true).ok_or(PublicKeyError::Pem)?;
        match label {
            "PUBLIC KEY" => Self::from_spki_der(&der),
            "CERTIFICATE" => Self::from_certificate_der(&der),
            label => Err(PublicKeyError::PemLabel { label: label.into() }),
        }
    }

    /// The X.509 certificates in PEM text, in DER and in their order. Blocks of other kinds are skipped.
    ///
    /// # Errors
    /// [`PublicKeyError::Pem`] where there is none, or one is no PEM.
    pub fn certificates_in_pem(text: &str) -> Result<Vec<Vec<u8>>, PublicKeyError> {
        let found = pem::all(text, "CERTIFICATE").filter(|found| !found.is_empty());
        let found = found.ok_or(PublicKeyError::Pem)?;
        Ok(found.into_iter().map(|certificate| certificate.to_vec()).collect())
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        match &self.material {
            KeyMaterial::Rsa { .. } => KeyType::Rsa,
            KeyMaterial::Ec { curve, .. } => *curve,
            KeyMaterial::Ed25519(_) => KeyType::Ed25519,
            KeyMaterial::Other(oid) => KeyType::Other(*oid),
        }
    }

    /// The bits of an RSA modulus; `None` for other keys.
    #[must_use]
    pub fn rsa_bits(&self) -> Option<usize> {
        match &self.material {
            KeyMaterial::Rsa { modulus, .. } => Some(bits(modulus)),
            _ => None,
        }
    }

    /// The SubjectPublicKeyInfo in DER: what a CERT payload of encoding 15 carries (RFC 7670 §3).
    #[must_use]
    pub fn as_spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA2-256 of the SubjectPublicKeyInfo: a short name for the key that no other key has.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.spki).into()
    }

    /// Puts a key together from its algorithm and the octets of its BIT STRING.
    pub(crate) fn from_parts(
        algorithm: AlgorithmIdentifierRef<'_>,
        octets: &[u8],
    ) -> Result<Self, PublicKeyError> {
        let spki = BitStringRef::from_bytes(octets)
            .and_then(|key| SubjectPublicKeyInfoRef { algorithm, subject_public_key: key }.to_der())
            .map_err(|_| PublicKeyError::Spki)?;
        Self::from_spki_der(&spki)
    }

    pub(crate) const fn material(&self) -> &KeyMaterial {
        &self.material
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spki.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    /// Type and the first octets of the fingerprint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.fingerprint();
        write!(f, "PublicKey({}, {a:02x}{b:02x}{c:02x}{d:02x}…)", self.key_type())
    }
}

/// The bits of an integer without leading zero octets.
fn bits(octets: &[u8]) -> usize {
    let unused = octets.first().map_or(0, |top| top.leading_zeros() as usize);
    octets.len().saturating_mul(8).saturating_sub(unused)
}

fn material(
    algorithm: AlgorithmIdentifierRef<'_>,
    key: BitStringRef<'_>,
) -> Result<KeyMaterial, PublicKeyError> {
    let malformed = PublicKeyError::Malformed { oid: ObjectId::new(algorithm.oid) };
    let octets = key.as_bytes().ok_or(malformed.clone())?;
    match (algorithm.oid, algorithm.parameters) {
        (rfc5912::RSA_ENCRYPTION, parameters) => {
            let null = |any: AnyRef<'_>| any.tag() == Tag::Null && any.value().is_empty();
            if !parameters.is_none_or(null) {
                return Err(malformed);
            }
            let key = RsaPublicKeyRef::from_der(octets).map_err(|_| malformed)?;
            rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes())
        }
        (rfc5912::ID_EC_PUBLIC_KEY, Some(parameters)) => {
            // Curves without a name are not for X.509 (RFC 5480 §2.1.1).
            let curve = parameters.decode_as::<ObjectIdentifier>().map_err(|_| malformed.clone())?;
            ec(curve, octets).ok_or(malformed)
        }
        (rfc5912::ID_EC_PUBLIC_KEY, None) => Err(malformed),
        (rfc8410::ID_ED_25519, None) => octets.try_into().map(KeyMaterial::Ed25519).map_err(|_| malformed),
        (rfc8410::ID_ED_25519, Some(_)) => Err(malformed),
        (oid, _) => Ok(KeyMaterial::Other(ObjectId::new(oid))),
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<KeyMaterial, PublicKeyError> {
    let size = bits(modulus);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&size) {
        return Err(PublicKeyError::RsaModulus { bits: size });
    }
    let mut value = [0; 8];
    let at = value.len().checked_sub(exponent.len()).ok_or(PublicKeyError::RsaUnsound)?;
    value.get_mut(at..).ok_or(PublicKeyError::RsaUnsound)?.copy_from_slice(exponent);
    let exponent = u64::from_be_bytes(value);
    let odd = |octet: &u8| octet & 1 == 1;
    let sound = modulus.last().is_some_and(odd) && exponent % 2 == 1;
    if !sound || !(3..=MAX_RSA_EXPONENT).contains(&exponent) {
        return Err(PublicKeyError::RsaUnsound);
    }
    Ok(KeyMaterial::Rsa { modulus: modulus.into(), exponent })
}

/// A point: uncompressed, which all must take, or compressed, which some send (RFC 5480 §2.2).
fn ec(curve: ObjectIdentifier, point: &[u8]) -> Option<KeyMaterial> {
    let (curve, coordinate_len) = match curve {
        rfc5912::SECP_256_R_1 => (KeyType::EcP256, 32),
        rfc5912::SECP_384_R_1 => (KeyType::EcP384, 48),
        rfc5912::SECP_521_R_1 => (KeyType::EcP521, 66),
        other => return Some(KeyMaterial::Other(ObjectId::new(other))),
    };
    let (form, coordinates) = point.split_first()?;
    let expected = match form {
        2 | 3 => coordinate_len,
        4 => 2 * coordinate_len,
        _ => return None,
    };
    (coordinates.len() == expected).then(|| KeyMaterial::Ec { curve, point: point.into() })
}
