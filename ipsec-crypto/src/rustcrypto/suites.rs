//! The table of packet ciphers: one row a suite.

use super::aead::RustCrypto;
use super::cbc::Cbc;
use super::ctr::Ctr;
use super::etm::EncryptThenMac;
use super::gcm::Gcm;
use super::gmac::Gmac;
use super::mac::TruncatedMac;
use super::null::Null;
use super::xcbc::Xcbc;
use crate::aead::{Aead, Iv};
use crate::cipher::CipherAlgorithm;
use crate::limits;
use ::aead::consts::{U8, U11, U12, U16};
use aes::{Aes128, Aes128Enc, Aes192, Aes192Enc, Aes256, Aes256Enc};
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;
use cmac::Cmac;
use hmac::Hmac;
use ipsec_types::{EncrId, IntegId};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

type HmacSha1 = TruncatedMac<Hmac<Sha1>, 20, 12>;
type HmacSha256 = TruncatedMac<Hmac<Sha256>, 32, 16>;
type HmacSha384 = TruncatedMac<Hmac<Sha384>, 48, 24>;
type HmacSha512 = TruncatedMac<Hmac<Sha512>, 64, 32>;
type AesXcbc = TruncatedMac<Xcbc, 16, 12>;
type AesCmac = TruncatedMac<Cmac<Aes128>, 16, 12>;

/// Names suites that have a cipher of their own.
macro_rules! suites {
    ($($name:ident = $cipher:expr, $what:expr;)*) => {
        $(
            #[doc = $what]
            pub static $name: &dyn CipherAlgorithm = &$cipher;
        )*
    };
}

/// Names combined-mode ciphers: transform, bits of the key, where the IV is, cipher, limits.
macro_rules! combined {
    ($($name:ident = $encr:ident, $bits:literal, $iv:ident, $cipher:ty, $limits:ident;)*) => {
        suites! {
            $(
                $name = Aead::<$cipher>::new(EncrId::$encr, Some($bits), Iv::$iv, limits::$limits),
                concat!("ENCR_", stringify!($encr), " with a key of ", $bits, " bits.");
            )*
        }
    };
}

/// Names ciphers with an integrity algorithm beside them: both transforms, bits of the key, cipher, MAC.
macro_rules! pairs {
    ($($name:ident = $encr:ident, $bits:literal, $cipher:ty, $integ:ident, $mac:ty;)*) => {
        suites! {
            $(
                $name = EncryptThenMac::<$cipher, $mac>::new(EncrId::$encr, Some($bits), IntegId::$integ),
                concat!(
                    "ENCR_", stringify!($encr), " with a key of ", $bits, " bits, and AUTH_",
                    stringify!($integ), "."
                );
            )*
        }
    };
}

/// Names integrity algorithms without encryption.
macro_rules! nulls {
    ($($name:ident = $integ:ident, $mac:ty;)*) => {
        suites! {
            $(
                $name = EncryptThenMac::<Null, $mac>::new(EncrId::NULL, None, IntegId::$integ),
                concat!("AUTH_", stringify!($integ), " with ENCR_NULL: nothing is encrypted. ESP only.");
            )*
        }
    };
}

// AES-GCM: RFC 4106, in IKE RFC 5282.
combined! {
    AES_128_GCM_16 = AES_GCM_16, 128, Sent, Gcm<Aes128Enc, U16>, GCM_16;
    AES_192_GCM_16 = AES_GCM_16, 192, Sent, Gcm<Aes192Enc, U16>, GCM_16;
    AES_256_GCM_16 = AES_GCM_16, 256, Sent, Gcm<Aes256Enc, U16>, GCM_16;
    AES_128_GCM_12 = AES_GCM_12, 128, Sent, Gcm<Aes128Enc, U12>, GCM_12;
    AES_192_GCM_12 = AES_GCM_12, 192, Sent, Gcm<Aes192Enc, U12>, GCM_12;
    AES_256_GCM_12 = AES_GCM_12, 256, Sent, Gcm<Aes256Enc, U12>, GCM_12;
    AES_128_GCM_8 = AES_GCM_8, 128, Sent, Gcm<Aes128Enc, U8>, GCM_8;
    AES_192_GCM_8 = AES_GCM_8, 192, Sent, Gcm<Aes192Enc, U8>, GCM_8;
    AES_256_GCM_8 = AES_GCM_8, 256, Sent, Gcm<Aes256Enc, U8>, GCM_8;
}

// AES-CCM: RFC 4309, in IKE RFC 5282.
combined! {
    AES_128_CCM_16 = AES_CCM_16, 128, Sent, RustCrypto<Ccm<Aes128, U16, U11>>, CCM_16;
    AES_192_CCM_16 = AES_CCM_16, 192, Sent, RustCrypto<Ccm<Aes192, U16, U11>>, CCM_16;
    AES_256_CCM_16 = AES_CCM_16, 256, Sent, RustCrypto<Ccm<Aes256, U16, U11>>, CCM_16;
    AES_128_CCM_12 = AES_CCM_12, 128, Sent, RustCrypto<Ccm<Aes128, U12, U11>>, CCM_12;
    AES_192_CCM_12 = AES_CCM_12, 192, Sent, RustCrypto<Ccm<Aes192, U12, U11>>, CCM_12;
    AES_256_CCM_12 = AES_CCM_12, 256, Sent, RustCrypto<Ccm<Aes256, U12, U11>>, CCM_12;
    AES_128_CCM_8 = AES_CCM_8, 128, Sent, RustCrypto<Ccm<Aes128, U8, U11>>, CCM_8;
    AES_192_CCM_8 = AES_CCM_8, 192, Sent, RustCrypto<Ccm<Aes192, U8, U11>>, CCM_8;
    AES_256_CCM_8 = AES_CCM_8, 256, Sent, RustCrypto<Ccm<Aes256, U8, U11>>, CCM_8;
}

// Implicit IVs, for ESP alone: RFC 8750.
combined! {
    AES_128_GCM_16_IIV = AES_GCM_16_IIV, 128, Implicit, Gcm<Aes128Enc, U16>, GCM_16;
    AES_192_GCM_16_IIV = AES_GCM_16_IIV, 192, Implicit, Gcm<Aes192Enc, U16>, GCM_16;
    AES_256_GCM_16_IIV = AES_GCM_16_IIV, 256, Implicit, Gcm<Aes256Enc, U16>, GCM_16;
    AES_128_CCM_8_IIV = AES_CCM_8_IIV, 128, Implicit, RustCrypto<Ccm<Aes128, U8, U11>>, CCM_8;
    AES_192_CCM_8_IIV = AES_CCM_8_IIV, 192, Implicit, RustCrypto<Ccm<Aes192, U8, U11>>, CCM_8;
    AES_256_CCM_8_IIV = AES_CCM_8_IIV, 256, Implicit, RustCrypto<Ccm<Aes256, U8, U11>>, CCM_8;
}

suites! {
    CHACHA20_POLY1305 = chacha(EncrId::CHACHA20_POLY1305, Iv::Sent), "ENCR_CHACHA20_POLY1305 (RFC 7634).";
    CHACHA20_POLY1305_IIV = chacha(EncrId::CHACHA20_POLY1305_IIV, Iv::Implicit),
        "ENCR_CHACHA20_POLY1305_IIV (RFC 8750). ESP only.";
    AES_128_GMAC = Gmac::<Aes128>::new(128, limits::GCM_16), "ENCR_NULL_AUTH_AES_GMAC (RFC 4543) with a key of \
        128 bits: nothing is encrypted. ESP only.";
    AES_192_GMAC = Gmac::<Aes192>::new(192, limits::GCM_16), "ENCR_NULL_AUTH_AES_GMAC (RFC 4543) with a key of \
        192 bits: nothing is encrypted. ESP only.";
    AES_256_GMAC = Gmac::<Aes256>::new(256, limits::GCM_16), "ENCR_NULL_AUTH_AES_GMAC (RFC 4543) with a key of \
        256 bits: nothing is encrypted. ESP only.";
}

/// ChaCha20-Poly1305 has no Key Length attribute.
const fn chacha(encr: EncrId, iv: Iv) -> Aead<RustCrypto<ChaCha20Poly1305>> {
    Aead::new(encr, None, iv, limits::CHACHA20_POLY1305)
}

// AES in CBC mode: RFC 3602.
pairs! {
    AES_128_CBC_HMAC_SHA2_256_128 = AES_CBC, 128, Cbc<Aes128>, HMAC_SHA2_256_128, HmacSha256;
    AES_192_CBC_HMAC_SHA2_256_128 = AES_CBC, 192, Cbc<Aes192>, HMAC_SHA2_256_128, HmacSha256;
    AES_256_CBC_HMAC_SHA2_256_128 = AES_CBC, 256, Cbc<Aes256>, HMAC_SHA2_256_128, HmacSha256;
    AES_128_CBC_HMAC_SHA2_384_192 = AES_CBC, 128, Cbc<Aes128>, HMAC_SHA2_384_192, HmacSha384;
    AES_192_CBC_HMAC_SHA2_384_192 = AES_CBC, 192, Cbc<Aes192>, HMAC_SHA2_384_192, HmacSha384;
    AES_256_CBC_HMAC_SHA2_384_192 = AES_CBC, 256, Cbc<Aes256>, HMAC_SHA2_384_192, HmacSha384;
    AES_128_CBC_HMAC_SHA2_512_256 = AES_CBC, 128, Cbc<Aes128>, HMAC_SHA2_512_256, HmacSha512;
    AES_192_CBC_HMAC_SHA2_512_256 = AES_CBC, 192, Cbc<Aes192>, HMAC_SHA2_512_256, HmacSha512;
    AES_256_CBC_HMAC_SHA2_512_256 = AES_CBC, 256, Cbc<Aes256>, HMAC_SHA2_512_256, HmacSha512;
    AES_128_CBC_AES_CMAC_96 = AES_CBC, 128, Cbc<Aes128>, AES_CMAC_96, AesCmac;
    AES_192_CBC_AES_CMAC_96 = AES_CBC, 192, Cbc<Aes192>, AES_CMAC_96, AesCmac;
    AES_256_CBC_AES_CMAC_96 = AES_CBC, 256, Cbc<Aes256>, AES_CMAC_96, AesCmac;
    AES_128_CBC_AES_XCBC_96 = AES_CBC, 128, Cbc<Aes128>, AES_XCBC_96, AesXcbc;
    AES_192_CBC_AES_XCBC_96 = AES_CBC, 192, Cbc<Aes192>, AES_XCBC_96, AesXcbc;
    AES_256_CBC_AES_XCBC_96 = AES_CBC, 256, Cbc<Aes256>, AES_XCBC_96, AesXcbc;
    AES_128_CBC_HMAC_SHA1_96 = AES_CBC, 128, Cbc<Aes128>, HMAC_SHA1_96, HmacSha1;
    AES_192_CBC_HMAC_SHA1_96 = AES_CBC, 192, Cbc<Aes192>, HMAC_SHA1_96, HmacSha1;
    AES_256_CBC_HMAC_SHA1_96 = AES_CBC, 256, Cbc<Aes256>, HMAC_SHA1_96, HmacSha1;
}

// AES in counter mode: RFC 3686, in IKE RFC 5930.
pairs! {
    AES_128_CTR_HMAC_SHA2_256_128 = AES_CTR, 128, Ctr<Aes128>, HMAC_SHA2_256_128, HmacSha256;
    AES_192_CTR_HMAC_SHA2_256_128 = AES_CTR, 192, Ctr<Aes192>, HMAC_SHA2_256_128, HmacSha256;
    AES_256_CTR_HMAC_SHA2_256_128 = AES_CTR, 256, Ctr<Aes256>, HMAC_SHA2_256_128, HmacSha256;
    AES_128_CTR_HMAC_SHA2_384_192 = AES_CTR, 128, Ctr<Aes128>, HMAC_SHA2_384_192, HmacSha384;
    AES_192_CTR_HMAC_SHA2_384_192 = AES_CTR, 192, Ctr<Aes192>, HMAC_SHA2_384_192, HmacSha384;
    AES_256_CTR_HMAC_SHA2_384_192 = AES_CTR, 256, Ctr<Aes256>, HMAC_SHA2_384_192, HmacSha384;
    AES_128_CTR_HMAC_SHA2_512_256 = AES_CTR, 128, Ctr<Aes128>, HMAC_SHA2_512_256, HmacSha512;
    AES_192_CTR_HMAC_SHA2_512_256 = AES_CTR, 192, Ctr<Aes192>, HMAC_SHA2_512_256, HmacSha512;
    AES_256_CTR_HMAC_SHA2_512_256 = AES_CTR, 256, Ctr<Aes256>, HMAC_SHA2_512_256, HmacSha512;
    AES_128_CTR_AES_CMAC_96 = AES_CTR, 128, Ctr<Aes128>, AES_CMAC_96, AesCmac;
    AES_192_CTR_AES_CMAC_96 = AES_CTR, 192, Ctr<Aes192>, AES_CMAC_96, AesCmac;
    AES_256_CTR_AES_CMAC_96 = AES_CTR, 256, Ctr<Aes256>, AES_CMAC_96, AesCmac;
    AES_128_CTR_AES_XCBC_96 = AES_CTR, 128, Ctr<Aes128>, AES_XCBC_96, AesXcbc;
    AES_192_CTR_AES_XCBC_96 = AES_CTR, 192, Ctr<Aes192>, AES_XCBC_96, AesXcbc;
    AES_256_CTR_AES_XCBC_96 = AES_CTR, 256, Ctr<Aes256>, AES_XCBC_96, AesXcbc;
    AES_128_CTR_HMAC_SHA1_96 = AES_CTR, 128, Ctr<Aes128>, HMAC_SHA1_96, HmacSha1;
    AES_192_CTR_HMAC_SHA1_96 = AES_CTR, 192, Ctr<Aes192>, HMAC_SHA1_96, HmacSha1;
    AES_256_CTR_HMAC_SHA1_96 = AES_CTR, 256, Ctr<Aes256>, HMAC_SHA1_96, HmacSha1;
}

// No encryption: RFC 2410.
nulls! {
    NULL_HMAC_SHA2_256_128 = HMAC_SHA2_256_128, HmacSha256;
    NULL_HMAC_SHA2_384_192 = HMAC_SHA2_384_192, HmacSha384;
    NULL_HMAC_SHA2_512_256 = HMAC_SHA2_512_256, HmacSha512;
    NULL_AES_CMAC_96 = AES_CMAC_96, AesCmac;
    NULL_AES_XCBC_96 = AES_XCBC_96, AesXcbc;
    NULL_HMAC_SHA1_96 = HMAC_SHA1_96, HmacSha1;
}

/// The suites that another library may do too.
pub(crate) struct Exchangeable {
    /// AES-GCM with an ICV of 16 octets and a sent IV: keys of 256, 128 and 192 bits.
    pub(crate) gcm: [&'static dyn CipherAlgorithm; 3],
    /// The same with an implicit IV.
    pub(crate) gcm_iiv: [&'static dyn CipherAlgorithm; 3],
    pub(crate) chacha: &'static dyn CipherAlgorithm,
    pub(crate) chacha_iiv: &'static dyn CipherAlgorithm,
}

/// Those of RustCrypto.
pub(super) const fn own() -> Exchangeable {
    Exchangeable {
        gcm: [AES_256_GCM_16, AES_128_GCM_16, AES_192_GCM_16],
        gcm_iiv: [AES_256_GCM_16_IIV, AES_128_GCM_16_IIV, AES_192_GCM_16_IIV],
        chacha: CHACHA20_POLY1305,
        chacha_iiv: CHACHA20_POLY1305_IIV,
    }
}

/// All suites in the order of preference, after RFC 8221 and RFC 8247: what SHOULD and MUST be there before
/// what MAY, combined modes before pairs, 256 bits before 128, and these before 192. At the end stands what a
/// policy must ask for by name: short ICVs of AES-GCM, SHA-1, and what does not encrypt.
pub(crate) const fn in_order(exchangeable: Exchangeable) -> [&'static dyn CipherAlgorithm; 71] {
    let Exchangeable { gcm: [gcm_256, gcm_128, gcm_192], gcm_iiv, chacha, chacha_iiv } = exchangeable;
    let [gcm_256_iiv, gcm_128_iiv, gcm_192_iiv] = gcm_iiv;
    [
        gcm_256,
        gcm_128,
        gcm_192,
        chacha,
        AES_256_CBC_HMAC_SHA2_512_256,
        AES_128_CBC_HMAC_SHA2_512_256,
        AES_192_CBC_HMAC_SHA2_512_256,
        AES_256_CBC_HMAC_SHA2_256_128,
        AES_128_CBC_HMAC_SHA2_256_128,
        AES_192_CBC_HMAC_SHA2_256_128,
        AES_256_CBC_HMAC_SHA2_384_192,
        AES_128_CBC_HMAC_SHA2_384_192,
        AES_192_CBC_HMAC_SHA2_384_192,
        AES_256_CCM_16,
        AES_128_CCM_16,
        AES_192_CCM_16,
        AES_256_CCM_12,
        AES_128_CCM_12,
        AES_192_CCM_12,
        AES_256_GCM_12,
        AES_128_GCM_12,
        AES_192_GCM_12,
        AES_256_CTR_HMAC_SHA2_512_256,
        AES_128_CTR_HMAC_SHA2_512_256,
        AES_192_CTR_HMAC_SHA2_512_256,
        AES_256_CTR_HMAC_SHA2_256_128,
        AES_128_CTR_HMAC_SHA2_256_128,
        AES_192_CTR_HMAC_SHA2_256_128,
        AES_256_CTR_HMAC_SHA2_384_192,
        AES_128_CTR_HMAC_SHA2_384_192,
        AES_192_CTR_HMAC_SHA2_384_192,
        AES_256_CCM_8,
        AES_128_CCM_8,
        AES_192_CCM_8,
        gcm_256_iiv,
        gcm_128_iiv,
        gcm_192_iiv,
        chacha_iiv,
        AES_256_CCM_8_IIV,
        AES_128_CCM_8_IIV,
        AES_192_CCM_8_IIV,
        AES_256_CBC_AES_CMAC_96,
        AES_128_CBC_AES_CMAC_96,
        AES_192_CBC_AES_CMAC_96,
        AES_256_CTR_AES_CMAC_96,
        AES_128_CTR_AES_CMAC_96,
        AES_192_CTR_AES_CMAC_96,
        AES_256_CBC_AES_XCBC_96,
        AES_128_CBC_AES_XCBC_96,
        AES_192_CBC_AES_XCBC_96,
        AES_256_CTR_AES_XCBC_96,
        AES_128_CTR_AES_XCBC_96,
        AES_192_CTR_AES_XCBC_96,
        AES_256_GCM_8,
        AES_128_GCM_8,
        AES_192_GCM_8,
        AES_256_CBC_HMAC_SHA1_96,
        AES_128_CBC_HMAC_SHA1_96,
        AES_192_CBC_HMAC_SHA1_96,
        AES_256_CTR_HMAC_SHA1_96,
        AES_128_CTR_HMAC_SHA1_96,
        AES_192_CTR_HMAC_SHA1_96,
        AES_256_GMAC,
        AES_128_GMAC,
        AES_192_GMAC,
        NULL_HMAC_SHA2_512_256,
        NULL_HMAC_SHA2_256_128,
        NULL_HMAC_SHA2_384_192,
        NULL_AES_CMAC_96,
        NULL_AES_XCBC_96,
        NULL_HMAC_SHA1_96,
    ]
}
