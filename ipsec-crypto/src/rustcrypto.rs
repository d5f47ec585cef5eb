//! The default provider: pure Rust, from the RustCrypto and dalek projects. It needs no operating system,
//! uses the CPU's AES, carry-less multiplication and SHA instructions where it finds them at run time, and
//! is constant time without them.

mod aead;
mod cbc;
mod dh;
mod ecp;
mod etm;
mod limits;
mod mac;
mod packet;
mod prf;
mod x25519;

use crate::cipher::CipherAlgorithm;
use crate::kx::KeyExchangeMethod;
use crate::prf::{PrfAlgorithm, PrfId};
use crate::provider::CryptoProvider;
use ::aead::consts::{U12, U16};
use aead::Aead;
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use cbc::Cbc;
use dh::DiffieHellman;
use ecp::Ecp;
use etm::EncryptThenMac;
use hmac::Hmac;
use ipsec_types::{EncrId, IntegId};
use mac::TruncatedMac;
use p256::NistP256;
use prf::HmacPrf;
use sha2::{Sha256, Sha384, Sha512};
use x25519::Curve25519;

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
};
