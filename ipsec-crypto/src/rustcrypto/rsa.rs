//! RSA signatures (RFC 8017 §8; in IKE RFC 7296 §3.8, RFC 7427).

use super::message::digest;
use super::private_key::Signer;
use crate::random::{AsRng, RandomError, SecureRandom};
use crate::signature::{
    KeyMaterial, MAX_RSA_BITS, MIN_RSA_BITS, PublicKey, PublicKeyError, SignatureAlgorithm,
    SignatureEncoding, SignatureError, SignatureScheme, check_fit,
};
use alloc::vec;
use alloc::vec::Vec;
use const_oid::AssociatedOid;
use const_oid::db::rfc5912::RSA_ENCRYPTION;
use core::fmt;
use core::marker::PhantomData;
use der::Encode;
use der::asn1::{AnyRef, UintRef};
use hex_literal::hex;
use pkcs1::RsaPublicKeyRef;
use rsa::BoxedUint;
use rsa::hazmat::rsa_encrypt;
use rsa::traits::PublicKeyParts;
use sha1::Sha1;
use sha2::digest::FixedOutputReset;
use sha2::{Digest, Sha256, Sha384, Sha512};
use spki::AlgorithmIdentifierRef;

/// A hash for RSASSA-PKCS1-v1_5.
pub(super) trait Hash: Digest + FixedOutputReset + AssociatedOid + 'static {
    /// What stands before the hash in a `DigestInfo`: with NULL parameters, as everybody must write it, and
    /// with none, as some did (RFC 8017 §9.2, note 1 and appendix A.2.4).
    const PREFIXES: [&'static [u8]; 2];
}

impl Hash for Sha1 {
    const PREFIXES: [&'static [u8]; 2] =
        [&hex!("3021 3009 0605 2b0e03021a 0500 0414"), &hex!("301f 3007 0605 2b0e03021a 0414")];
}

impl Hash for Sha256 {
    const PREFIXES: [&'static [u8]; 2] = [
        &hex!("3031 300d 0609 608648016503040201 0500 0420"),
        &hex!("302f 300b 0609 608648016503040201 0420"),
    ];
}

impl Hash for Sha384 {
    const PREFIXES: [&'static [u8]; 2] = [
        &hex!("3041 300d 0609 608648016503040202 0500 0430"),
        &hex!("303f 300b 0609 608648016503040202 0430"),
    ];
}

impl Hash for Sha512 {
    const PREFIXES: [&'static [u8]; 2] = [
        &hex!("3051 300d 0609 608648016503040203 0500 0440"),
        &hex!("304f 300b 0609 608648016503040203 0440"),
    ];
}

/// RSASSA-PKCS1-v1_5 with the hash `D`.
pub(super) struct Pkcs1<D> {
    scheme: SignatureScheme,
    hash: PhantomData<fn() -> D>,
}

/// RSASSA-PSS with the hash `D`, MGF1 with the same, and a salt as long.
pub(super) struct Pss<D> {
    scheme: SignatureScheme,
    hash: PhantomData<fn() -> D>,
}

impl<D> Pkcs1<D> {
    pub(super) const fn new(scheme: SignatureScheme) -> Self {
        Self { scheme, hash: PhantomData }
    }
}

impl<D> Pss<D> {
    pub(super) const fn new(scheme: SignatureScheme) -> Self {
        Self { scheme, hash: PhantomData }
    }
}

impl<D> fmt::Debug for Pkcs1<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs1({})", self.scheme)
    }
}

impl<D> fmt::Debug for Pss<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pss({})", self.scheme)
    }
}

/// The key for a scheme.
fn key_for(
    scheme: SignatureScheme,
    encoding: SignatureEncoding,
    key: &PublicKey,
) -> Result<rsa::PublicKey, SignatureError> {
    let key_type = key.key_type();
    check_fit(scheme, key_type, encoding)?;
    let KeyMaterial::Rsa { modulus, exponent } = key.material() else {
        return Err(SignatureError::KeyType { scheme, key: key_type });
    };
    let modulus = BoxedUint::from_be_slice_vartime(modulus);
    rsa::PublicKey::new_with_size_limits(modulus, BoxedUint::from(*exponent), MIN_RSA_BITS..=MAX_RSA_BITS)
        .map_err(|_| SignatureError::InvalidPublicKey { key: key_type })
}

/// EMSA-PKCS1-v1_5 (RFC 8017 §9.2): the one block that a signature may hold, `0x00 0x01 0xff… 0x00 T`, of
/// `len` octets.
fn encoded_block(prefix: &[u8], hash: &[u8], len: usize) -> Option<Vec<u8>> {
    let padding = len.checked_sub(prefix.len())?.checked_sub(hash.len())?.checked_sub(3)?;
    (padding >= 8).then(|| [&[0, 1], &*vec![0xff; padding], &[0], prefix, hash].concat())
}

/// RSAVP1 (RFC 8017 §5.2.2): the block that a signature holds; `None` where it is none of this key.
fn opened_block(key: &rsa::PublicKey, signature: &[u8]) -> Option<Vec<u8>> {
    if signature.len() != key.size() {
        return None;
    }
    let signature = BoxedUint::from_be_slice(signature, key.n_bits_precision()).ok()?;
    if signature >= **key.n() {
        return None;
    }
    let block = rsa_encrypt(key, &signature).ok()?.to_be_bytes();
    // The integer is stored in whole words; what is above the modulus is zero.
    block.get(block.len().checked_sub(key.size())?..).map(Into::into)
}

impl<D: Hash> SignatureAlgorithm for Pkcs1<D> {
    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// Nothing in the block is parsed: what is expected is built whole and compared whole (RFC 8017 §8.2.2).
    /// Whoever parses it accepts what a forger for small exponents puts into the gaps.
    fn verify(
        &self,
        key: &PublicKey,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let key = key_for(self.scheme, encoding, key)?;
        let block = opened_block(&key, signature).ok_or(SignatureError::Wrong)?;
        let hash = digest::<D>(message);
        let right = |prefix: &&[u8]| encoded_block(prefix, &hash, block.len()).is_some_and(|it| it == block);
        if D::PREFIXES.iter().any(right) { Ok(()) } else { Err(SignatureError::Wrong) }
    }
}

impl<D: Hash> SignatureAlgorithm for Pss<D> {
    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    fn verify(
        &self,
        key: &PublicKey,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let key = key_for(self.scheme, encoding, key)?;
        // The length of the salt is checked too.
        key.pss_verify_prehash::<D>(&digest::<D>(message), signature).map_err(|_| SignatureError::Wrong)
    }
}

fn sign_pkcs1<D: Hash>(
    key: &rsa::PrivateKey,
    message: &[&[u8]],
    random: &mut AsRng<'_>,
) -> rsa::Result<Vec<u8>> {
    key.pkcs1v15_sign_prehash_with_rng::<D, _>(random, &digest::<D>(message))
}

fn sign_pss<D: Hash>(
    key: &rsa::PrivateKey,
    message: &[&[u8]],
    random: &mut AsRng<'_>,
) -> rsa::Result<Vec<u8>> {
    key.pss_sign_prehash_with_rng::<D, _>(random, &digest::<D>(message))
}

/// The public key of these numbers.
pub(super) fn public_key(
    modulus: UintRef<'_>,
    public_exponent: UintRef<'_>,
) -> Result<PublicKey, PublicKeyError> {
    let octets = RsaPublicKeyRef { modulus, public_exponent }.to_der().map_err(|_| PublicKeyError::Spki)?;
    // NULL parameters (RFC 3279 §2.3.1).
    let algorithm = AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) };
    PublicKey::from_parts(algorithm, &octets)
}

impl Signer for rsa::PrivateKey {
    fn public_key(&self) -> Result<PublicKey, PublicKeyError> {
        let (modulus, exponent) = (self.n_bytes(), self.e_bytes());
        let number = |octets| UintRef::new(octets).map_err(|_| PublicKeyError::Spki);
        public_key(number(&modulus)?, number(&exponent)?)
    }

    /// RSASSA-PSS before the older padding, SHA-1 last.
    fn schemes(&self) -> &'static [SignatureScheme] {
        &[
            SignatureScheme::RsaPssSha256,
            SignatureScheme::RsaPssSha384,
            SignatureScheme::RsaPssSha512,
            SignatureScheme::RsaPkcs1Sha256,
            SignatureScheme::RsaPkcs1Sha384,
            SignatureScheme::RsaPkcs1Sha512,
            SignatureScheme::RsaPkcs1Sha1,
        ]
    }

    /// The private operation is blinded and its result checked before it leaves, so that neither its time nor
    /// a fault in it tells of the key.
    fn sign(
        &self,
        scheme: SignatureScheme,
        _: SignatureEncoding,
        message: &[&[u8]],
        random: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError> {
        let random = &mut AsRng(random);
        match scheme {
            SignatureScheme::RsaPssSha256 => sign_pss::<Sha256>(self, message, random),
            SignatureScheme::RsaPssSha384 => sign_pss::<Sha384>(self, message, random),
            SignatureScheme::RsaPssSha512 => sign_pss::<Sha512>(self, message, random),
            SignatureScheme::RsaPkcs1Sha256 => sign_pkcs1::<Sha256>(self, message, random),
            SignatureScheme::RsaPkcs1Sha384 => sign_pkcs1::<Sha384>(self, message, random),
            SignatureScheme::RsaPkcs1Sha512 => sign_pkcs1::<Sha512>(self, message, random),
            SignatureScheme::RsaPkcs1Sha1 => sign_pkcs1::<Sha1>(self, message, random),
            _ => Err(rsa::Error::InvalidPaddingScheme),
        }
        .map_err(|error| match error {
            rsa::Error::Rng => SignatureError::Random(RandomError),
            _ => SignatureError::Failed,
        })
    }
}
