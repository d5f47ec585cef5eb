//! The default provider: pure Rust, from the RustCrypto and dalek projects. It needs no operating system,
//! uses the CPU's AES, carry-less multiplication and SHA instructions where it finds them at run time, and
//! is constant time without them.

mod aead;
mod cbc;
mod dh;
mod ecdsa;
mod ecp;
mod ed25519;
mod etm;
mod limits;
mod mac;
mod message;
mod packet;
mod prf;
mod private_key;
mod rsa;
mod x25519;

use crate::cipher::CipherAlgorithm;
use crate::kx::KeyExchangeMethod;
use crate::prf::{PrfAlgorithm, PrfId};
use crate::provider::CryptoProvider;
use crate::signature::{SignatureAlgorithm, SignatureScheme};
use ::aead::consts::{U12, U16};
use aead::Aead;
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use cbc::Cbc;
use dh::DiffieHellman;
use ecdsa::Ecdsa;
use ecp::Ecp;
use etm::EncryptThenMac;
use hmac::Hmac;
use ipsec_types::{EncrId, IntegId};
use mac::TruncatedMac;
use p256::NistP256;
use prf::HmacPrf;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use x25519::Curve25519;

pub use private_key::{PrivateKey, PrivateKeyError};

type Gcm16<C> = Aead<AesGcm<C, U12, U16>>;
type HmacSha256 = TruncatedMac<Hmac<Sha256>, 32, 16>;

const fn gcm_16<C>(key_bits: u16) -> Gcm16<C> {
    Aead::new(EncrId::AES_GCM_16, Some(key_bits), limits::GCM_16)
}

const fn cbc_sha256<C>(key_bits: u16) -> EncryptThenMac<Cbc<C>, HmacSha256> {
    EncryptThenMac::new(EncrId::AES_CBC, Some(key_bits), IntegId::HMAC_SHA2_256_128, limits::AES_CBC_HMAC)
}

/// ENCR_AES_GCM_16 with a 128-bit key (RFC 4106, RFC 5282).
pub static AES_128_GCM_16: &dyn CipherAlgorithm = &gcm_16::<Aes128>(128);
/// ENCR_AES_GCM_16 with a 192-bit key (RFC 4106, RFC 5282).
pub static AES_192_GCM_16: &dyn CipherAlgorithm = &gcm_16::<Aes192>(192);
/// ENCR_AES_GCM_16 with a 256-bit key (RFC 4106, RFC 5282).
pub static AES_256_GCM_16: &dyn CipherAlgorithm = &gcm_16::<Aes256>(256);

/// ENCR_AES_CBC with a 128-bit key (RFC 3602) and AUTH_HMAC_SHA2_256_128 (RFC 4868).
pub static AES_128_CBC_HMAC_SHA2_256_128: &dyn CipherAlgorithm = &cbc_sha256::<Aes128>(128);
/// ENCR_AES_CBC with a 192-bit key (RFC 3602) and AUTH_HMAC_SHA2_256_128 (RFC 4868).
pub static AES_192_CBC_HMAC_SHA2_256_128: &dyn CipherAlgorithm = &cbc_sha256::<Aes192>(192);
/// ENCR_AES_CBC with a 256-bit key (RFC 3602) and AUTH_HMAC_SHA2_256_128 (RFC 4868).
pub static AES_256_CBC_HMAC_SHA2_256_128: &dyn CipherAlgorithm = &cbc_sha256::<Aes256>(256);

/// PRF_HMAC_SHA2_256 (RFC 4868).
pub static HMAC_SHA2_256: &dyn PrfAlgorithm = &HmacPrf::<Sha256>::new(PrfId::HMAC_SHA2_256);
/// PRF_HMAC_SHA2_384 (RFC 4868).
pub static HMAC_SHA2_384: &dyn PrfAlgorithm = &HmacPrf::<Sha384>::new(PrfId::HMAC_SHA2_384);
/// PRF_HMAC_SHA2_512 (RFC 4868).
pub static HMAC_SHA2_512: &dyn PrfAlgorithm = &HmacPrf::<Sha512>::new(PrfId::HMAC_SHA2_512);

/// Curve25519 (RFC 8031).
pub static X25519: &dyn KeyExchangeMethod = &DiffieHellman::<Curve25519>::new();
/// The 256-bit random ECP group, NIST P-256 (RFC 5903).
pub static P256: &dyn KeyExchangeMethod = &DiffieHellman::<Ecp<NistP256>>::new();

/// Ed25519 (RFC 8032, RFC 8420).
pub static ED25519: &dyn SignatureAlgorithm = &ed25519::Ed25519;
/// ECDSA with SHA2-256, on P-256, P-384 and P-521 (RFC 7427, RFC 4754).
pub static ECDSA_SHA2_256: &dyn SignatureAlgorithm = &Ecdsa::<Sha256>::new(SignatureScheme::EcdsaSha256);
/// ECDSA with SHA2-384, on P-256, P-384 and P-521 (RFC 7427, RFC 4754).
pub static ECDSA_SHA2_384: &dyn SignatureAlgorithm = &Ecdsa::<Sha384>::new(SignatureScheme::EcdsaSha384);
/// ECDSA with SHA2-512, on P-256, P-384 and P-521 (RFC 7427, RFC 4754).
pub static ECDSA_SHA2_512: &dyn SignatureAlgorithm = &Ecdsa::<Sha512>::new(SignatureScheme::EcdsaSha512);

/// RSASSA-PSS with SHA2-256 (RFC 8017, RFC 7427).
pub static RSA_PSS_SHA2_256: &dyn SignatureAlgorithm =
    &rsa::Pss::<Sha256>::new(SignatureScheme::RsaPssSha256);
/// RSASSA-PSS with SHA2-384 (RFC 8017, RFC 7427).
pub static RSA_PSS_SHA2_384: &dyn SignatureAlgorithm =
    &rsa::Pss::<Sha384>::new(SignatureScheme::RsaPssSha384);
/// RSASSA-PSS with SHA2-512 (RFC 8017, RFC 7427).
pub static RSA_PSS_SHA2_512: &dyn SignatureAlgorithm =
    &rsa::Pss::<Sha512>::new(SignatureScheme::RsaPssSha512);
/// RSASSA-PKCS1-v1_5 with SHA2-256 (RFC 8017, RFC 7296, RFC 7427).
pub static RSA_PKCS1_SHA2_256: &dyn SignatureAlgorithm =
    &rsa::Pkcs1::<Sha256>::new(SignatureScheme::RsaPkcs1Sha256);
/// RSASSA-PKCS1-v1_5 with SHA2-384 (RFC 8017, RFC 7296, RFC 7427).
pub static RSA_PKCS1_SHA2_384: &dyn SignatureAlgorithm =
    &rsa::Pkcs1::<Sha384>::new(SignatureScheme::RsaPkcs1Sha384);
/// RSASSA-PKCS1-v1_5 with SHA2-512 (RFC 8017, RFC 7296, RFC 7427).
pub static RSA_PKCS1_SHA2_512: &dyn SignatureAlgorithm =
    &rsa::Pkcs1::<Sha512>::new(SignatureScheme::RsaPkcs1Sha512);
/// RSASSA-PKCS1-v1_5 with SHA-1 (RFC 8017, RFC 7296): weak, for peers that know nothing else.
pub static RSA_PKCS1_SHA1: &dyn SignatureAlgorithm = &rsa::Pkcs1::<Sha1>::new(SignatureScheme::RsaPkcs1Sha1);

/// All of this module's algorithms.
pub static RUSTCRYPTO: CryptoProvider = CryptoProvider {
    name: "RustCrypto",
    ciphers: &[
        AES_256_GCM_16,
        AES_128_GCM_16,
        AES_192_GCM_16,
        AES_256_CBC_HMAC_SHA2_256_128,
        AES_128_CBC_HMAC_SHA2_256_128,
        AES_192_CBC_HMAC_SHA2_256_128,
    ],
    prfs: &[HMAC_SHA2_256, HMAC_SHA2_384, HMAC_SHA2_512],
    key_exchanges: &[X25519, P256],
    signatures: &[
        ED25519,
        ECDSA_SHA2_256,
        ECDSA_SHA2_384,
        ECDSA_SHA2_512,
        RSA_PSS_SHA2_256,
        RSA_PSS_SHA2_384,
        RSA_PSS_SHA2_512,
        RSA_PKCS1_SHA2_256,
        RSA_PKCS1_SHA2_384,
        RSA_PKCS1_SHA2_512,
        RSA_PKCS1_SHA1,
    ],
};
