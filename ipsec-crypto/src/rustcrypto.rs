//! The default provider: pure Rust, from the RustCrypto and dalek projects. It needs no operating system,
//! uses the CPU's AES, carry-less multiplication and SHA instructions where it finds them at run time, and
//! is constant time without them.

mod aead;
mod block_prf;
mod cbc;
mod ctr;
mod dh;
mod ecdsa;
mod ecp;
mod ed25519;
mod etm;
mod gcm;
mod gmac;
mod mac;
mod message;
mod ml_kem;
mod modp;
mod null;
mod prf;
mod private_key;
mod rsa;
pub(crate) mod suites;
mod x25519;
mod xcbc;

use crate::cipher::CipherAlgorithm;
use crate::kx::KeyExchangeMethod;
use crate::prf::{PrfAlgorithm, PrfId};
use crate::provider::CryptoProvider;
use crate::signature::{SignatureAlgorithm, SignatureScheme};
use aes::Aes128;
use block_prf::BlockPrf;
use cmac::Cmac;
use dh::DiffieHellman;
use ecdsa::Ecdsa;
use ecp::Ecp;
use ml_kem::{MlKem, MlKem512, MlKem768, MlKem1024};
use modp::{Modp2048, Modp3072, Modp4096};
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use prf::HmacPrf;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use x25519::Curve25519;
use xcbc::Xcbc;

/// What this library is called where it is reported.
const LIBRARY: &str = "RustCrypto";

pub use private_key::{PrivateKey, PrivateKeyError};
pub use suites::*;

/// PRF_HMAC_SHA2_256 (RFC 4868).
pub static HMAC_SHA2_256: &dyn PrfAlgorithm = &HmacPrf::<Sha256>::new(PrfId::HMAC_SHA2_256);
/// PRF_HMAC_SHA2_384 (RFC 4868).
pub static HMAC_SHA2_384: &dyn PrfAlgorithm = &HmacPrf::<Sha384>::new(PrfId::HMAC_SHA2_384);
/// PRF_HMAC_SHA2_512 (RFC 4868).
pub static HMAC_SHA2_512: &dyn PrfAlgorithm = &HmacPrf::<Sha512>::new(PrfId::HMAC_SHA2_512);

/// PRF_HMAC_SHA1 (RFC 2104, RFC 7296): on its way out.
pub static HMAC_SHA1: &dyn PrfAlgorithm = &HmacPrf::<Sha1>::new(PrfId::HMAC_SHA1);
/// PRF_AES128_XCBC (RFC 4434).
pub static AES128_XCBC: &dyn PrfAlgorithm = &BlockPrf::<Xcbc>::new();
/// PRF_AES128_CMAC (RFC 4615).
pub static AES128_CMAC: &dyn PrfAlgorithm = &BlockPrf::<Cmac<Aes128>>::new();

/// Curve25519 (RFC 8031).
pub static X25519: &dyn KeyExchangeMethod = &DiffieHellman::<Curve25519>::new();
/// The 256-bit random ECP group, NIST P-256 (RFC 5903).
pub static P256: &dyn KeyExchangeMethod = &DiffieHellman::<Ecp<NistP256>>::new();
/// The 384-bit random ECP group, NIST P-384 (RFC 5903).
pub static P384: &dyn KeyExchangeMethod = &DiffieHellman::<Ecp<NistP384>>::new();
/// The 521-bit random ECP group, NIST P-521 (RFC 5903).
pub static P521: &dyn KeyExchangeMethod = &DiffieHellman::<Ecp<NistP521>>::new();
/// The 2048-bit MODP group, 14 (RFC 3526).
pub static MODP_2048: &dyn KeyExchangeMethod = &DiffieHellman::<Modp2048>::new();
/// The 3072-bit MODP group, 15 (RFC 3526).
pub static MODP_3072: &dyn KeyExchangeMethod = &DiffieHellman::<Modp3072>::new();
/// The 4096-bit MODP group, 16 (RFC 3526).
pub static MODP_4096: &dyn KeyExchangeMethod = &DiffieHellman::<Modp4096>::new();

/// ML-KEM-512 (draft-ietf-ipsecme-ikev2-mlkem).
pub static ML_KEM_512: &dyn KeyExchangeMethod = &MlKem::<MlKem512>::new();
/// ML-KEM-768 (draft-ietf-ipsecme-ikev2-mlkem).
pub static ML_KEM_768: &dyn KeyExchangeMethod = &MlKem::<MlKem768>::new();
/// ML-KEM-1024 (draft-ietf-ipsecme-ikev2-mlkem).
pub static ML_KEM_1024: &dyn KeyExchangeMethod = &MlKem::<MlKem1024>::new();

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

static CIPHERS: [&dyn CipherAlgorithm; 71] = suites::in_order(suites::own());

/// All of this module's algorithms.
pub static RUSTCRYPTO: CryptoProvider = CryptoProvider {
    name: LIBRARY,
    ciphers: &CIPHERS,
    prfs: &[HMAC_SHA2_512, HMAC_SHA2_256, HMAC_SHA2_384, AES128_CMAC, AES128_XCBC, HMAC_SHA1],
    key_exchanges: &[
        X25519,
        P256,
        P384,
        MODP_3072,
        MODP_4096,
        MODP_2048,
        P521,
        ML_KEM_768,
        ML_KEM_1024,
        ML_KEM_512,
    ],
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
