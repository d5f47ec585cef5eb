//! Private keys in memory, as files hold them: PKCS#8 (RFC 5958, RFC 8410 §7), PKCS#1 (RFC 8017 appendix
//! A.1.2) and SEC 1 (RFC 5915), in DER and PEM.

use super::{ecdsa, ed25519, rsa};
use crate::pem;
use crate::random::SecureRandom;
use crate::signature::{
    KeyType, ObjectId, PublicKey, PublicKeyError, SignatureEncoding, SignatureError, SignatureScheme,
    SigningKey, check_fit,
};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use core::fmt;
use der::Decode;
use der::asn1::OctetStringRef;
use p256::NistP256;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, FieldBytesSize, SecretKey};
use p384::NistP384;
use p521::NistP521;
use pkcs1::RsaPrivateKeyRef;
use pkcs8::PrivateKeyInfoRef;
use sec1::EcPrivateKey;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why octets are no private key.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// They are no DER encoding of this structure, or octets follow it.
    #[error("no DER encoding of a private key by {0}")]
    Der(&'static str),
    /// They are no PEM text with a private key in it.
    #[error("no PEM text of a private key")]
    Pem,
    /// The PEM text holds a private key of a kind that is not read, an encrypted one for example.
    #[error("PEM text of a {label}, which is not read")]
    PemLabel {
        /// What stands after BEGIN.
        label: String,
    },
    /// The key is for an algorithm or a curve that is not known here.
    #[error("a private key for {oid}, which is not known")]
    Unknown {
        /// The algorithm or the curve.
        oid: ObjectId,
    },
    /// The key's octets are no key of that type.
    #[error("no valid private key of type {0}")]
    Invalid(KeyType),
    /// The public key beside the private one is not its own.
    #[error("the public key that stands beside the private one is another one's")]
    OtherPublicKey,
    /// The public half is not taken: an RSA key that is too small, for example.
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
}

/// What a private key does, once the scheme was found to go with it.
pub(super) trait Signer: Send + Sync {
    fn public_key(&self) -> Result<PublicKey, PublicKeyError>;

    fn schemes(&self) -> &'static [SignatureScheme];

    fn sign(
        &self,
        scheme: SignatureScheme,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        random: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError>;
}

/// A private key for RSA, ECDSA on P-256, P-384 or P-521, or Ed25519. It is wiped when dropped.
pub struct PrivateKey {
    public_key: PublicKey,
    signer: Box<dyn Signer>,
}

impl fmt::Debug for PrivateKey {
    /// The public half.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {:?})", self.public_key)
    }
}

impl PrivateKey {
    /// Reads a key in PKCS#8: of any type, unencrypted, with or without its public half.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| PrivateKeyError::Der("PKCS#8"))?;
        let algorithm = info.algorithm;
        let octets = info.private_key.as_bytes();
        let key = match algorithm.oid {
            rfc5912::RSA_ENCRYPTION => Self::from_pkcs1_der(octets),
            rfc8410::ID_ED_25519 => Self::ed25519(octets),
            rfc5912::ID_EC_PUBLIC_KEY => {
                let curve = algorithm.parameters.map(|any| any.decode_as::<ObjectIdentifier>());
                let curve = curve.transpose().map_err(|_| PrivateKeyError::Der("PKCS#8"))?;
                Self::ec(octets, curve)
            }
            oid => Err(PrivateKeyError::Unknown { oid: ObjectId::new(oid) }),
        }?;
        if let Some(public) = info.public_key {
            let parameters = algorithm.parameters;
            let stated = PublicKey::from_parts(
                spki::AlgorithmIdentifierRef { oid: algorithm.oid, parameters },
                public.as_bytes().unwrap_or_default(),
            );
            if stated.as_ref() != Ok(&key.public_key) {
                return Err(PrivateKeyError::OtherPublicKey);
            }
        }
        Ok(key)
    }

    /// Reads an RSA key in the structure of PKCS#1, with its two primes.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let structure = RsaPrivateKeyRef::from_der(der).map_err(|_| PrivateKeyError::Der("PKCS#1"))?;
        // The cheap checks of the public half first: size and exponent.
        rsa::public_key(structure.modulus, structure.public_exponent)?;
        let key =
            ::rsa::PrivateKey::try_from(structure).map_err(|_| PrivateKeyError::Invalid(KeyType::Rsa))?;
        Self::new(key)
    }

    /// Reads an elliptic curve's key in the structure of SEC 1, with its curve named in it.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn from_sec1_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        Self::ec(der, None)
    }

    /// Reads the first private key in PEM text, in any of the structures above.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn from_pem(text: &str) -> Result<Self, PrivateKeyError> {
        let (label, der) =
            pem::first(text, |label| label.ends_with("PRIVATE KEY")).ok_or(PrivateKeyError::Pem)?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8_der(&der),
            "RSA PRIVATE KEY" => Self::from_pkcs1_der(&der),
            "EC PRIVATE KEY" => Self::from_sec1_der(&der),
            label => Err(PrivateKeyError::PemLabel { label: label.into() }),
        }
    }

    fn new(signer: impl Signer + 'static) -> Result<Self, PrivateKeyError> {
        Ok(Self { public_key: signer.public_key()?, signer: Box::new(signer) })
    }

    /// `CurvePrivateKey` of RFC 8410 §7: 32 octets in an OCTET STRING.
    fn ed25519(octets: &[u8]) -> Result<Self, PrivateKeyError> {
        let invalid = PrivateKeyError::Invalid(ed25519::KEY_TYPE);
        let seed = <&OctetStringRef>::from_der(octets).map_err(|_| invalid.clone())?;
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_bytes()).map_err(|_| invalid)?);
        Self::new(ed25519::from_seed(&seed))
    }

    /// `ECPrivateKey` of RFC 5915 §3, with the curve from around it or from within.
    fn ec(octets: &[u8], curve: Option<ObjectIdentifier>) -> Result<Self, PrivateKeyError> {
        let malformed = PrivateKeyError::Der("SEC 1");
        let key = EcPrivateKey::from_der(octets).map_err(|_| malformed.clone())?;
        let own_curve = key.parameters.and_then(sec1::EcParameters::named_curve);
        let curve = match (curve, own_curve) {
            (Some(outer), Some(own)) if outer != own => return Err(malformed),
            (outer, own) => outer.or(own).ok_or(malformed)?,
        };
        match curve {
            rfc5912::SECP_256_R_1 => Self::ec_on::<NistP256>(&key),
            rfc5912::SECP_384_R_1 => Self::ec_on::<NistP384>(&key),
            rfc5912::SECP_521_R_1 => Self::ec_on::<NistP521>(&key),
            oid => Err(PrivateKeyError::Unknown { oid: ObjectId::new(oid) }),
        }
    }

    fn ec_on<C>(key: &EcPrivateKey<'_>) -> Result<Self, PrivateKeyError>
    where
        C: ecdsa::Curve,
        FieldBytesSize<C>: ModulusSize,
        AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    {
        let secret =
            SecretKey::<C>::from_slice(key.private_key).map_err(|_| PrivateKeyError::Invalid(C::KEY_TYPE))?;
        if let Some(stated) = key.public_key {
            let own = secret.public_key();
            if ![false, true].iter().any(|&compress| own.to_sec1_point(compress).as_bytes() == stated) {
                return Err(PrivateKeyError::OtherPublicKey);
            }
        }
        Self::new(secret)
    }
}

impl SigningKey for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.signer.schemes()
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        random: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError> {
        check_fit(scheme, self.public_key.key_type(), encoding)?;
        self.signer.sign(scheme, encoding, message, random)
    }
}
