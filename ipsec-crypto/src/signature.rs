//! Signatures by which IKE peers authenticate (RFC 7296 §2.15), in both of their dresses: named by an
//! AlgorithmIdentifier (method 14: RFC 7427, RFC 8420), and the older methods whose number says it all
//! (1: RFC 7296 §3.8; 9, 10, 11: RFC 4754).
//!
//! ```
//! use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
//! use ipsec_crypto::{SignatureEncoding, SignatureScheme, SigningKey};
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! // RFC 8410 §10.3.
//! let key = PrivateKey::from_pem(
//!     "-----BEGIN PRIVATE KEY-----
//! MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
//! -----END PRIVATE KEY-----",
//! )?;
//! # let random = &mut ChaCha20Rng::seed_from_u64(1);
//! let octets: [&[u8]; 3] = [b"RealMessage1", b"NonceRData", b"MACedIDForI"];
//! let scheme = key.schemes()[0];
//! let signature = key.sign(scheme, SignatureEncoding::Rfc7427, &octets, random)?;
//!
//! // Its peer reads the AlgorithmIdentifier that stood before the signature, and has the key from elsewhere.
//! let read = SignatureScheme::from_algorithm_identifier(scheme.algorithm_identifier())?;
//! assert_eq!(read, SignatureScheme::Ed25519);
//! let algorithm = RUSTCRYPTO.signature(read).expect("the provider has Ed25519");
//! algorithm.verify(key.public_key(), SignatureEncoding::Rfc7427, &octets, &signature)?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod identifier;
mod oid;
mod public_key;
mod scheme;

use crate::random::{RandomError, SecureRandom};
use alloc::vec::Vec;
use core::fmt::Debug;
use thiserror::Error;

pub use ikev2_wire::codes::{AuthMethod, HashAlgorithm};
pub use oid::ObjectId;
pub(crate) use public_key::KeyMaterial;
pub use public_key::{KeyType, MAX_RSA_BITS, MIN_RSA_BITS, PublicKey, PublicKeyError};
pub use scheme::{AlgorithmIdentifierError, SignatureScheme};

/// Why a signature was not made, or not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The key is of a type that the scheme does not sign with.
    #[error("{scheme} does not go with a key of type {key}")]
    KeyType {
        /// The scheme asked for.
        scheme: SignatureScheme,
        /// The type of the key given.
        key: KeyType,
    },
    /// The scheme with this key has no form without an AlgorithmIdentifier.
    #[error("{scheme} with a key of type {key} is not expressible by authentication methods 1, 9, 10 and 11")]
    NoRawForm {
        /// The scheme asked for.
        scheme: SignatureScheme,
        /// The type of the key given.
        key: KeyType,
    },
    /// The public key is no valid value of its type: no point of the curve, or one of small order.
    #[error("the public key is not a valid one of type {key}")]
    InvalidPublicKey {
        /// The type that the key claims.
        key: KeyType,
    },
    /// The signature is malformed, or not one of this message by this key. Which of both is not told.
    #[error("the signature is wrong")]
    Wrong,
    /// The key failed to sign, for reasons of its own.
    #[error("the private key failed to sign")]
    Failed,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// How a signature lies in the AUTH payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignatureEncoding {
    /// As X.509 has it, for method 14 (RFC 7427 §3): ECDSA's is a DER SEQUENCE of r and s.
    Rfc7427,
    /// As methods 1, 9, 10 and 11 have it: ECDSA's is r and s side by side, each as long as the curve's order
    /// (RFC 4754 §7).
    Raw,
}

/// A way to check signatures.
pub trait SignatureAlgorithm: Send + Sync + Debug {
    /// What it checks.
    fn scheme(&self) -> SignatureScheme;

    /// Whether `signature` is one of the message `message[0] | message[1] | …` by the holder of the key.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`] where it is not; [`SignatureError::KeyType`], [`SignatureError::NoRawForm`]
    /// and [`SignatureError::InvalidPublicKey`] where it cannot be.
    fn verify(
        &self,
        public_key: &PublicKey,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), SignatureError>;
}

/// A private key, wherever it is kept.
pub trait SigningKey: Send + Sync + Debug {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The schemes it can sign with, the preferred one first.
    fn schemes(&self) -> &[SignatureScheme];

    /// Signs the message `message[0] | message[1] | …`.
    ///
    /// # Errors
    /// [`SignatureError::KeyType`] where the scheme is not among [`SigningKey::schemes`],
    /// [`SignatureError::NoRawForm`], [`SignatureError::Failed`] and [`SignatureError::Random`].
    fn sign(
        &self,
        scheme: SignatureScheme,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        random: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError>;
}

/// Refuses a scheme that does not go with the key, or not in this encoding.
pub(crate) fn check_fit(
    scheme: SignatureScheme,
    key: KeyType,
    encoding: SignatureEncoding,
) -> Result<(), SignatureError> {
    if !scheme.goes_with(key) {
        return Err(SignatureError::KeyType { scheme, key });
    }
    match encoding {
        SignatureEncoding::Rfc7427 => Ok(()),
        SignatureEncoding::Raw if scheme.raw_auth_method(key).is_some() => Ok(()),
        SignatureEncoding::Raw => Err(SignatureError::NoRawForm { scheme, key }),
    }
}
