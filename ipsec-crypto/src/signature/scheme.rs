//! The signature schemes of IKEv2: key type, padding and hash, and what each is called in the AUTH payload
//! (RFC 7427 §3 and appendix A, RFC 8420 §3, RFC 4754 §3, RFC 7296 §3.8).

use super::identifier;
use super::oid::ObjectId;
use super::public_key::KeyType;
use core::fmt;
use hex_literal::hex;
use ikev2_wire::codes::{AuthMethod, HashAlgorithm};
use thiserror::Error;

/// One way to sign.
///
/// The AlgorithmIdentifiers of ECDSA name a hash and no curve, so that neither do these: any curve goes with
/// any hash (RFC 7427 §3). Methods 9, 10 and 11 are those combinations for which
/// [`SignatureScheme::raw_auth_method`] gives a method.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5 with SHA-1: MUST NOT by method 14 (RFC 8247 §3.2), and yet what method 1 was
    /// made with for long (RFC 7296 §2.15).
    RsaPkcs1Sha1,
    /// RSASSA-PKCS1-v1_5 with SHA2-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA2-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA2-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA2-256 in hash and MGF1, and a salt of 32 octets.
    RsaPssSha256,
    /// RSASSA-PSS with SHA2-384 in hash and MGF1, and a salt of 48 octets.
    RsaPssSha384,
    /// RSASSA-PSS with SHA2-512 in hash and MGF1, and a salt of 64 octets.
    RsaPssSha512,
    /// ECDSA with SHA2-256.
    EcdsaSha256,
    /// ECDSA with SHA2-384.
    EcdsaSha384,
    /// ECDSA with SHA2-512.
    EcdsaSha512,
    /// Pure Ed25519, which hashes by itself.
    Ed25519,
}

/// Why an AlgorithmIdentifier names no scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AlgorithmIdentifierError {
    /// It is no DER encoding of an AlgorithmIdentifier, or octets follow it.
    #[error("no DER encoding of an AlgorithmIdentifier")]
    Malformed,
    /// It names an algorithm that is not known here.
    #[error("unknown signature algorithm {oid}")]
    Unknown {
        /// The algorithm.
        oid: ObjectId,
    },
    /// The algorithm is known and its parameters are not those that it may have.
    #[error("parameters that do not go with {oid}")]
    Parameters {
        /// The algorithm.
        oid: ObjectId,
    },
    /// RSASSA-PSS whose hash is not SHA2-256, SHA2-384 or SHA2-512, whose mask is not MGF1 with the same
    /// hash, or whose salt is not as long as the hash. Empty parameters mean SHA-1, which MUST NOT be used
    /// (RFC 8247 §3.2).
    #[error("RSASSA-PSS with hash {hash}, MGF1 hash {mask_hash} and a salt of {salt_len} octets")]
    PssParameters {
        /// The hash of the message.
        hash: ObjectId,
        /// The hash of the mask.
        mask_hash: ObjectId,
        /// Octets of salt.
        salt_len: u8,
    },
}

impl SignatureScheme {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ed25519,
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::RsaPkcs1Sha1,
    ];

    /// What the peer must list in SIGNATURE_HASH_ALGORITHMS for it (RFC 7427 §4, RFC 8420 §2).
    #[must_use]
    pub const fn hash(self) -> HashAlgorithm {
        match self {
            Self::RsaPkcs1Sha1 => HashAlgorithm::SHA1,
            Self::RsaPkcs1Sha256 | Self::RsaPssSha256 | Self::EcdsaSha256 => HashAlgorithm::SHA2_256,
            Self::RsaPkcs1Sha384 | Self::RsaPssSha384 | Self::EcdsaSha384 => HashAlgorithm::SHA2_384,
            Self::RsaPkcs1Sha512 | Self::RsaPssSha512 | Self::EcdsaSha512 => HashAlgorithm::SHA2_512,
            Self::Ed25519 => HashAlgorithm::IDENTITY,
        }
    }

    /// The AlgorithmIdentifier in DER that goes before the signature in method 14 (RFC 7427 appendix A,
    /// RFC 8420 appendix A).
    ///
    /// Of RSASSA-PSS the trailer is left out, which has its default, as DER has it (ITU-T X.690 §11.5): appendix A.4 spells
    /// it out, other implementations do not, and one of them compares octets.
    #[must_use]
    pub const fn algorithm_identifier(self) -> &'static [u8] {
        match self {
            Self::RsaPkcs1Sha1 => &hex!("300d 0609 2a864886f70d010105 0500"),
            Self::RsaPkcs1Sha256 => &hex!("300d 0609 2a864886f70d01010b 0500"),
            Self::RsaPkcs1Sha384 => &hex!("300d 0609 2a864886f70d01010c 0500"),
            Self::RsaPkcs1Sha512 => &hex!("300d 0609 2a864886f70d01010d 0500"),
            Self::RsaPssSha256 => &hex!(
                "3041 0609 2a864886f70d01010a 3034"
                "a00f 300d 0609 608648016503040201 0500"
                "a11c 301a 0609 2a864886f70d010108 300d 0609 608648016503040201 0500"
                "a203 0201 20"
            ),
            Self::RsaPssSha384 => &hex!(
                "3041 0609 2a864886f70d01010a 3034"
                "a00f 300d 0609 608648016503040202 0500"
                "a11c 301a 0609 2a864886f70d010108 300d 0609 608648016503040202 0500"
                "a203 0201 30"
            ),
            Self::RsaPssSha512 => &hex!(
                "3041 0609 2a864886f70d01010a 3034"
                "a00f 300d 0609 608648016503040203 0500"
                "a11c 301a 0609 2a864886f70d010108 300d 0609 608648016503040203 0500"
                "a203 0201 40"
            ),
            Self::EcdsaSha256 => &hex!("300a 0608 2a8648ce3d040302"),
            Self::EcdsaSha384 => &hex!("300a 0608 2a8648ce3d040303"),
            Self::EcdsaSha512 => &hex!("300a 0608 2a8648ce3d040304"),
            Self::Ed25519 => &hex!("3005 0603 2b6570"),
        }
    }

    /// The scheme of an AlgorithmIdentifier in DER, as method 14 brings it.
    ///
    /// For RSA the parameters may be NULL or absent, in RSASSA-PSS for each of its hashes (RFC 4055 §2.1);
    /// defaults may be spelled out.
    ///
    /// # Errors
    /// [`AlgorithmIdentifierError`].
    pub fn from_algorithm_identifier(der: &[u8]) -> Result<Self, AlgorithmIdentifierError> {
        identifier::parse(der)
    }

    /// Whether a key of this type signs so.
    #[must_use]
    pub const fn goes_with(self, key: KeyType) -> bool {
        match self {
            Self::RsaPkcs1Sha1
            | Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha384
            | Self::RsaPkcs1Sha512
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512 => matches!(key, KeyType::Rsa),
            Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512 => {
                matches!(key, KeyType::EcP256 | KeyType::EcP384 | KeyType::EcP521)
            }
            Self::Ed25519 => matches!(key, KeyType::Ed25519),
        }
    }

    /// The authentication method that says it without an AlgorithmIdentifier, where there is one: 1 for
    /// RSASSA-PKCS1-v1_5, which leaves the hash to the signature; 9, 10 and 11 for ECDSA on the curve that
    /// each of them fixes.
    #[must_use]
    pub const fn raw_auth_method(self, key: KeyType) -> Option<AuthMethod> {
        match (self, key) {
            (
                Self::RsaPkcs1Sha1 | Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 | Self::RsaPkcs1Sha512,
                KeyType::Rsa,
            ) => Some(AuthMethod::RSA_SIGNATURE),
            (Self::EcdsaSha256, KeyType::EcP256) => Some(AuthMethod::ECDSA_SHA256_P256),
            (Self::EcdsaSha384, KeyType::EcP384) => Some(AuthMethod::ECDSA_SHA384_P384),
            (Self::EcdsaSha512, KeyType::EcP521) => Some(AuthMethod::ECDSA_SHA512_P521),
            _ => None,
        }
    }

    /// What a signature of this method can be: for method 1 there are several schemes, of which only the
    /// signature itself tells the right one. Empty for every method that is none of 1, 9, 10 and 11.
    #[must_use]
    pub const fn of_raw_auth_method(method: AuthMethod) -> &'static [Self] {
        match method {
            AuthMethod::RSA_SIGNATURE => {
                &[Self::RsaPkcs1Sha256, Self::RsaPkcs1Sha512, Self::RsaPkcs1Sha384, Self::RsaPkcs1Sha1]
            }
            AuthMethod::ECDSA_SHA256_P256 => &[Self::EcdsaSha256],
            AuthMethod::ECDSA_SHA384_P384 => &[Self::EcdsaSha384],
            AuthMethod::ECDSA_SHA512_P521 => &[Self::EcdsaSha512],
            _ => &[],
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1Sha1 => "RSASSA-PKCS1-v1_5 with SHA-1",
            Self::RsaPkcs1Sha256 => "RSASSA-PKCS1-v1_5 with SHA2-256",
            Self::RsaPkcs1Sha384 => "RSASSA-PKCS1-v1_5 with SHA2-384",
            Self::RsaPkcs1Sha512 => "RSASSA-PKCS1-v1_5 with SHA2-512",
            Self::RsaPssSha256 => "RSASSA-PSS with SHA2-256",
            Self::RsaPssSha384 => "RSASSA-PSS with SHA2-384",
            Self::RsaPssSha512 => "RSASSA-PSS with SHA2-512",
            Self::EcdsaSha256 => "ECDSA with SHA2-256",
            Self::EcdsaSha384 => "ECDSA with SHA2-384",
            Self::EcdsaSha512 => "ECDSA with SHA2-512",
            Self::Ed25519 => "Ed25519",
        }
    }
}

impl fmt::Display for SignatureScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
