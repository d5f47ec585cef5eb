//! What the documents say of each algorithm, so that a policy can tell what it offers by itself from what
//! must be asked for: RFC 8247 for IKE, RFC 8221 for ESP, RFC 9395 for what both let go.
//!
//! The table goes by code points, so that it speaks of what a peer offers too, whether a provider has it or
//! not. It is advice: an embedder may know better, in either direction.

use crate::kx::KeMethod;
use crate::prf::PrfId;
use crate::signature::{AuthMethod, HashAlgorithm, SignatureScheme};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{EncrId, IntegId};

/// How an algorithm stands. The better ones come first, so that the strength of several algorithms together
/// is their maximum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Strength {
    /// MUST or SHOULD, for everybody.
    Recommended,
    /// MAY, SHOULD for small devices alone, or not spoken of: nothing is held against it.
    Acceptable,
    /// MUST-, SHOULD NOT, or a MUST that protects less than a user expects. Only for who asks for it by name.
    OptIn,
    /// MUST NOT, or deprecated.
    MustNot,
}

impl Strength {
    /// Whether it may be used only where it was asked for by name.
    #[must_use]
    pub const fn needs_opt_in(self) -> bool {
        matches!(self, Self::OptIn | Self::MustNot)
    }
}

/// An encryption algorithm (RFC 8247 §2.1, RFC 8221 §5).
#[must_use]
pub const fn encryption(id: EncrId) -> Strength {
    match id {
        EncrId::AES_CBC | EncrId::AES_GCM_16 | EncrId::CHACHA20_POLY1305 => Strength::Recommended,
        // They hide nothing: MUST in ESP (RFC 8221 §5), and never what somebody means who asks for a tunnel.
        EncrId::NULL
        | EncrId::NULL_AUTH_AES_GMAC
        | EncrId::KUZNYECHIK_MGM_MAC_KTREE
        | EncrId::MAGMA_MGM_MAC_KTREE => Strength::OptIn,
        // Blocks of 64 bits: MAY in IKE, SHOULD NOT in ESP.
        EncrId::TRIPLE_DES => Strength::OptIn,
        // A hash that gives way with the first forgery, and only 64 bits before that. AES-CCM's ICV of the
        // same length, which is SHOULD for small devices, does not.
        EncrId::AES_GCM_8 => Strength::OptIn,
        EncrId::DES_IV64
        | EncrId::DES
        | EncrId::RC5
        | EncrId::IDEA
        | EncrId::CAST
        | EncrId::BLOWFISH
        | EncrId::TRIPLE_IDEA
        | EncrId::DES_IV32 => Strength::MustNot,
        _ => Strength::Acceptable,
    }
}

/// An integrity algorithm (RFC 8247 §2.3, RFC 8221 §6).
#[must_use]
pub const fn integrity(id: IntegId) -> Strength {
    match id {
        IntegId::HMAC_SHA2_256_128 | IntegId::HMAC_SHA2_512_256 => Strength::Recommended,
        IntegId::HMAC_SHA1_96 => Strength::OptIn,
        IntegId::HMAC_MD5_96
        | IntegId::DES_MAC
        | IntegId::KPDK_MD5
        | IntegId::HMAC_MD5_128
        | IntegId::HMAC_SHA1_160
        // For AH alone.
        | IntegId::AES_128_GMAC
        | IntegId::AES_192_GMAC
        | IntegId::AES_256_GMAC => Strength::MustNot,
        _ => Strength::Acceptable,
    }
}

/// A suite as a whole: the weaker of its parts, with AES keys of 192 bits, which are MAY, no better than
/// that. No integrity algorithm beside a cipher that needs one is a MUST NOT (RFC 8221 §4), and so is one too
/// many (RFC 5282 §8).
#[must_use]
pub fn cipher(suite: CipherSuite) -> Strength {
    let key = if suite.key_bits == Some(192) { Strength::Acceptable } else { Strength::Recommended };
    let integrity = match (suite.encr.is_combined(), suite.integ) {
        (true, IntegId::NONE) => Strength::Recommended,
        (true, _) | (false, IntegId::NONE) => Strength::MustNot,
        (false, integ) => integrity(integ),
    };
    encryption(suite.encr).max(integrity).max(key)
}

/// A pseudorandom function (RFC 8247 §2.2).
#[must_use]
pub const fn prf(id: PrfId) -> Strength {
    match id {
        PrfId::HMAC_SHA2_256 | PrfId::HMAC_SHA2_512 => Strength::Recommended,
        PrfId::HMAC_SHA1 => Strength::OptIn,
        PrfId::HMAC_MD5 | PrfId::HMAC_TIGER => Strength::MustNot,
        _ => Strength::Acceptable,
    }
}

/// A key exchange method (RFC 8247 §2.4). Curve25519 is younger than the document by a few months (RFC 8031).
#[must_use]
pub const fn key_exchange(method: KeMethod) -> Strength {
    match method {
        KeMethod::MODP_2048 | KeMethod::ECP_256 | KeMethod::CURVE25519 => Strength::Recommended,
        KeMethod::MODP_1024
        | KeMethod::MODP_1536
        | KeMethod::MODP_2048_224
        | KeMethod::MODP_2048_256
        // As weak, and not spoken of.
        | KeMethod::ECP_192
        | KeMethod::ECP_224
        | KeMethod::BRAINPOOL_P224R1 => Strength::OptIn,
        KeMethod::MODP_768 | KeMethod::MODP_1024_160 => Strength::MustNot,
        _ => Strength::Acceptable,
    }
}

/// A signature scheme (RFC 8247 §3.2; RFC 8420 for Ed25519).
///
/// RSASSA-PKCS1-v1_5 with SHA-1 is MUST NOT in method 14, and what method 1 was made with by default
/// (RFC 7296 §2.15), so that a policy may still have to ask for it.
#[must_use]
pub const fn signature(scheme: SignatureScheme) -> Strength {
    match scheme {
        SignatureScheme::RsaPssSha256
        | SignatureScheme::RsaPssSha384
        | SignatureScheme::RsaPssSha512
        | SignatureScheme::EcdsaSha256
        | SignatureScheme::EcdsaSha384
        | SignatureScheme::EcdsaSha512
        | SignatureScheme::Ed25519 => Strength::Recommended,
        SignatureScheme::RsaPkcs1Sha256
        | SignatureScheme::RsaPkcs1Sha384
        | SignatureScheme::RsaPkcs1Sha512 => Strength::Acceptable,
        SignatureScheme::RsaPkcs1Sha1 => Strength::OptIn,
    }
}

/// A hash for method 14 (RFC 8247 §3.2).
#[must_use]
pub const fn hash(id: HashAlgorithm) -> Strength {
    match id {
        HashAlgorithm::SHA2_256 | HashAlgorithm::SHA2_512 | HashAlgorithm::IDENTITY => Strength::Recommended,
        HashAlgorithm::SHA1 => Strength::MustNot,
        _ => Strength::Acceptable,
    }
}

/// An authentication method (RFC 8247 §3.1).
#[must_use]
pub const fn auth_method(method: AuthMethod) -> Strength {
    match method {
        AuthMethod::RSA_SIGNATURE
        | AuthMethod::SHARED_KEY
        | AuthMethod::ECDSA_SHA256_P256
        | AuthMethod::ECDSA_SHA384_P384
        | AuthMethod::ECDSA_SHA512_P521
        | AuthMethod::DIGITAL_SIGNATURE => Strength::Recommended,
        // NULL authenticates nobody (RFC 7619).
        AuthMethod::DSS_SIGNATURE | AuthMethod::NULL => Strength::OptIn,
        _ => Strength::Acceptable,
    }
}
