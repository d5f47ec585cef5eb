//! Ed25519 (RFC 8032 §5.1; in IKE RFC 8420).

use super::private_key::Signer;
use crate::random::SecureRandom;
use crate::signature::{
    KeyMaterial, KeyType, PublicKey, PublicKeyError, SignatureAlgorithm, SignatureEncoding, SignatureError,
    SignatureScheme, check_fit,
};
use alloc::vec::Vec;
use const_oid::db::rfc8410::ID_ED_25519;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use spki::AlgorithmIdentifierRef;

/// Pure Ed25519.
#[derive(Debug)]
pub(super) struct Ed25519;

const SCHEME: SignatureScheme = SignatureScheme::Ed25519;

impl SignatureAlgorithm for Ed25519 {
    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }

    /// Refuses keys and points of small order, under which one signature would fit many messages.
    fn verify(
        &self,
        public_key: &PublicKey,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let key_type = public_key.key_type();
        check_fit(SCHEME, key_type, encoding)?;
        let KeyMaterial::Ed25519(point) = public_key.material() else {
            return Err(SignatureError::KeyType { scheme: SCHEME, key: key_type });
        };
        let invalid = SignatureError::InvalidPublicKey { key: key_type };
        let key = VerifyingKey::from_bytes(point).map_err(|_| invalid)?;
        if key.is_weak() {
            return Err(invalid);
        }
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError::Wrong)?;
        // The message is hashed after what the signature says, so it must be whole.
        key.verify_strict(&message.concat(), &signature).map_err(|_| SignatureError::Wrong)
    }
}

impl Signer for SigningKey {
    fn public_key(&self) -> Result<PublicKey, PublicKeyError> {
        let algorithm = AlgorithmIdentifierRef { oid: ID_ED_25519, parameters: None };
        PublicKey::from_parts(algorithm, self.verifying_key().as_bytes())
    }

    fn schemes(&self) -> &'static [SignatureScheme] {
        &[SCHEME]
    }

    /// Deterministic: the randomness is not used (RFC 8032 §5.1.6).
    fn sign(
        &self,
        _: SignatureScheme,
        _: SignatureEncoding,
        message: &[&[u8]],
        _: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError> {
        self.try_sign(&message.concat())
            .map(|signature| signature.to_bytes().to_vec())
            .map_err(|_| SignatureError::Failed)
    }
}

/// The key of a seed.
pub(super) fn from_seed(seed: &[u8; 32]) -> SigningKey {
    SigningKey::from_bytes(seed)
}

/// The type of the keys.
pub(super) const KEY_TYPE: KeyType = KeyType::Ed25519;
