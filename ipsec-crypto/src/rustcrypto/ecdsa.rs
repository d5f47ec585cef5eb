//! ECDSA on the NIST curves (FIPS 186-5 §6.4; in IKE RFC 7427 and RFC 4754).

use super::message::digest;
use super::private_key::Signer;
use crate::random::SecureRandom;
use crate::signature::{
    KeyMaterial, KeyType, PublicKey, PublicKeyError, SignatureAlgorithm, SignatureEncoding, SignatureError,
    SignatureScheme, check_fit,
};
use alloc::vec;
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1};
use core::fmt;
use core::marker::PhantomData;
use der::asn1::{AnyRef, UintRef};
use der::{Decode, Encode, Sequence};
use ecdsa::hazmat::{sign_prehashed_rfc6979, verify_prehashed};
use ecdsa::{EcdsaCurve, Signature};
use hmac::digest::block_api::BlockSizeUser;
use p256::NistP256;
use p256::elliptic_curve::array::typenum::Unsigned;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{self, AffinePoint, CurveArithmetic, FieldBytesSize, SecretKey};
use p384::NistP384;
use p521::NistP521;
use sha2::{Digest, Sha256, Sha384, Sha512};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

/// ECDSA with the hash `D`, on whatever curve the key has.
pub(super) struct Ecdsa<D> {
    scheme: SignatureScheme,
    hash: PhantomData<fn() -> D>,
}

impl<D> Ecdsa<D> {
    pub(super) const fn new(scheme: SignatureScheme) -> Self {
        Self { scheme, hash: PhantomData }
    }
}

impl<D> fmt::Debug for Ecdsa<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ecdsa({})", self.scheme)
    }
}

/// A curve that signs.
pub(super) trait Curve: EcdsaCurve + CurveArithmetic {
    /// Its name in X.509 (RFC 5480 §2.1.1.1).
    const OID: ObjectIdentifier;
    /// The type of its keys.
    const KEY_TYPE: KeyType;
    /// What its keys sign with: the hash as strong as the curve first.
    const SCHEMES: &'static [SignatureScheme];
}

impl Curve for NistP256 {
    const OID: ObjectIdentifier = SECP_256_R_1;
    const KEY_TYPE: KeyType = KeyType::EcP256;
    const SCHEMES: &'static [SignatureScheme] =
        &[SignatureScheme::EcdsaSha256, SignatureScheme::EcdsaSha384, SignatureScheme::EcdsaSha512];
}

impl Curve for NistP384 {
    const OID: ObjectIdentifier = SECP_384_R_1;
    const KEY_TYPE: KeyType = KeyType::EcP384;
    const SCHEMES: &'static [SignatureScheme] =
        &[SignatureScheme::EcdsaSha384, SignatureScheme::EcdsaSha512, SignatureScheme::EcdsaSha256];
}

impl Curve for NistP521 {
    const OID: ObjectIdentifier = SECP_521_R_1;
    const KEY_TYPE: KeyType = KeyType::EcP521;
    const SCHEMES: &'static [SignatureScheme] =
        &[SignatureScheme::EcdsaSha512, SignatureScheme::EcdsaSha384, SignatureScheme::EcdsaSha256];
}

/// `Ecdsa-Sig-Value` of RFC 3279 §2.2.3.
#[derive(Sequence)]
struct SignatureValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// Reads r and s; `None` where they are malformed or out of range.
fn decode<C: EcdsaCurve>(encoding: SignatureEncoding, signature: &[u8]) -> Option<Signature<C>> {
    match encoding {
        SignatureEncoding::Raw => Signature::from_slice(signature).ok(),
        SignatureEncoding::Rfc7427 => {
            let value = SignatureValue::from_der(signature).ok()?;
            let width = FieldBytesSize::<C>::USIZE;
            let mut octets = vec![0; width.checked_mul(2)?];
            let (r, s) = octets.split_at_mut_checked(width)?;
            for (number, field) in [(value.r, r), (value.s, s)] {
                let number = number.as_bytes();
                let start = width.checked_sub(number.len())?;
                field.get_mut(start..)?.copy_from_slice(number);
            }
            Signature::from_slice(&octets).ok()
        }
    }
}

fn encode<C: EcdsaCurve>(encoding: SignatureEncoding, signature: &Signature<C>) -> Option<Vec<u8>> {
    let (r, s) = signature.split_bytes();
    match encoding {
        SignatureEncoding::Raw => Some([r.as_slice(), s.as_slice()].concat()),
        SignatureEncoding::Rfc7427 => {
            SignatureValue { r: UintRef::new(&r).ok()?, s: UintRef::new(&s).ok()? }.to_der().ok()
        }
    }
}

fn verify<C>(
    point: &[u8],
    encoding: SignatureEncoding,
    hash: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError>
where
    C: Curve,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    let key = elliptic_curve::PublicKey::<C>::from_sec1_bytes(point)
        .map_err(|_| SignatureError::InvalidPublicKey { key: C::KEY_TYPE })?;
    let signature = decode::<C>(encoding, signature).ok_or(SignatureError::Wrong)?;
    verify_prehashed(&key.to_projective(), hash, &signature).map_err(|_| SignatureError::Wrong)
}

impl<D: Digest> SignatureAlgorithm for Ecdsa<D> {
    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    fn verify(
        &self,
        public_key: &PublicKey,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let key = public_key.key_type();
        check_fit(self.scheme, key, encoding)?;
        let wrong_type = SignatureError::KeyType { scheme: self.scheme, key };
        let KeyMaterial::Ec { curve, point } = public_key.material() else { return Err(wrong_type) };
        let hash = digest::<D>(message);
        match curve {
            KeyType::EcP256 => verify::<NistP256>(point, encoding, &hash, signature),
            KeyType::EcP384 => verify::<NistP384>(point, encoding, &hash, signature),
            KeyType::EcP521 => verify::<NistP521>(point, encoding, &hash, signature),
            _ => Err(wrong_type),
        }
    }
}

/// Octets of randomness in a signature's secret number, beside the key and the message.
const ADDED_RANDOMNESS: usize = 32;

/// Signs with a secret number made of the key, the message and randomness (RFC 6979 §3.6). A generator that
/// repeats costs nothing that way, and neither does a fault that makes one message be signed twice.
fn sign<C: Curve, D: Digest + BlockSizeUser>(
    key: &SecretKey<C>,
    message: &[&[u8]],
    random: &mut dyn SecureRandom,
) -> Result<Signature<C>, SignatureError> {
    let mut added = Zeroizing::new([0; ADDED_RANDOMNESS]);
    random.fill(&mut *added)?;
    Ok(sign_with::<C, D>(key, message, &*added))
}

fn sign_with<C: Curve, D: Digest + BlockSizeUser>(
    key: &SecretKey<C>,
    message: &[&[u8]],
    added: &[u8],
) -> Signature<C> {
    let scalar = Zeroizing::new(key.to_nonzero_scalar());
    sign_prehashed_rfc6979::<C, D>(&scalar, &digest::<D>(message), added).0
}

impl<C> Signer for SecretKey<C>
where
    C: Curve,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    fn public_key(&self) -> Result<PublicKey, PublicKeyError> {
        let curve = C::OID;
        let algorithm =
            AlgorithmIdentifierRef { oid: ID_EC_PUBLIC_KEY, parameters: Some(AnyRef::from(&curve)) };
        PublicKey::from_parts(algorithm, self.public_key().to_sec1_point(false).as_bytes())
    }

    fn schemes(&self) -> &'static [SignatureScheme] {
        C::SCHEMES
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        random: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError> {
        let signature = match scheme {
            SignatureScheme::EcdsaSha256 => sign::<C, Sha256>(self, message, random),
            SignatureScheme::EcdsaSha384 => sign::<C, Sha384>(self, message, random),
            SignatureScheme::EcdsaSha512 => sign::<C, Sha512>(self, message, random),
            scheme => Err(SignatureError::KeyType { scheme, key: C::KEY_TYPE }),
        }?;
        encode(encoding, &signature).ok_or(SignatureError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_vectors::{json, octets};

    fn check<C: Curve>(case: &serde_json::Value) {
        let key = SecretKey::<C>::from_slice(&octets(case, "private")).unwrap();
        let message = octets(case, "message");
        let signature = match case["scheme"].as_str().unwrap() {
            "ECDSA with SHA2-256" => sign_with::<C, Sha256>(&key, &[&message], &[]),
            "ECDSA with SHA2-384" => sign_with::<C, Sha384>(&key, &[&message], &[]),
            "ECDSA with SHA2-512" => sign_with::<C, Sha512>(&key, &[&message], &[]),
            other => panic!("{other}"),
        };
        for (encoding, name) in [(SignatureEncoding::Raw, "raw"), (SignatureEncoding::Rfc7427, "der")] {
            assert_eq!(encode(encoding, &signature).unwrap(), octets(case, name), "{}", case["id"]);
        }
    }

    /// RFC 6979 A.2.5, A.2.6, A.2.7: what is signed with no randomness added.
    #[test]
    fn rfc_6979() {
        let file = json(include_str!("../../tests/vectors/signatures_generated.json"));
        let cases = file["ecdsa"].as_array().unwrap();
        assert_eq!(cases.len(), 18);
        for case in cases {
            match case["private"].as_str().unwrap().len() {
                64 => check::<NistP256>(case),
                96 => check::<NistP384>(case),
                132 => check::<NistP521>(case),
                other => panic!("{other}"),
            }
        }
    }
}
