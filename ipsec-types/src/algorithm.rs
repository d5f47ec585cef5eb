//! Transform IDs that both IKE's negotiation and ESP's packets are made of: transform types 1 and 3 of
//! the IKEv2 registry (RFC 7296 §3.3.2). The other registries live with the codecs in `ikev2-wire`.

use crate::code_points;

code_points! {
    /// An encryption algorithm: transform type 1 (ENCR).
    pub struct EncrId(u16) {
        /// DES with a 64-bit IV; deprecated (RFC 9395).
        DES_IV64 = 1, "ENCR_DES_IV64";
        /// DES; deprecated (RFC 8247).
        DES = 2, "ENCR_DES";
        /// Triple DES (RFC 2451).
        TRIPLE_DES = 3, "ENCR_3DES";
        /// RC5; deprecated (RFC 9395).
        RC5 = 4, "ENCR_RC5";
        /// IDEA; deprecated (RFC 9395).
        IDEA = 5, "ENCR_IDEA";
        /// CAST; deprecated (RFC 9395).
        CAST = 6, "ENCR_CAST";
        /// Blowfish; deprecated (RFC 9395).
        BLOWFISH = 7, "ENCR_BLOWFISH";
        /// Triple IDEA; deprecated (RFC 9395).
        TRIPLE_IDEA = 8, "ENCR_3IDEA";
        /// DES with a 32-bit IV; deprecated (RFC 9395).
        DES_IV32 = 9, "ENCR_DES_IV32";
        /// No encryption (RFC 2410); not for IKE.
        NULL = 11, "ENCR_NULL";
        /// AES in CBC mode (RFC 3602).
        AES_CBC = 12, "ENCR_AES_CBC";
        /// AES in counter mode (RFC 3686, RFC 5930).
        AES_CTR = 13, "ENCR_AES_CTR";
        /// AES-CCM with an 8-octet ICV (RFC 4309).
        AES_CCM_8 = 14, "ENCR_AES_CCM_8";
        /// AES-CCM with a 12-octet ICV (RFC 4309).
        AES_CCM_12 = 15, "ENCR_AES_CCM_12";
        /// AES-CCM with a 16-octet ICV (RFC 4309).
        AES_CCM_16 = 16, "ENCR_AES_CCM_16";
        /// AES-GCM with an 8-octet ICV (RFC 4106).
        AES_GCM_8 = 18, "ENCR_AES_GCM_8";
        /// AES-GCM with a 12-octet ICV (RFC 4106).
        AES_GCM_12 = 19, "ENCR_AES_GCM_12";
        /// AES-GCM with a 16-octet ICV (RFC 4106).
        AES_GCM_16 = 20, "ENCR_AES_GCM_16";
        /// Integrity without encryption by AES-GMAC (RFC 4543); not for IKE.
        NULL_AUTH_AES_GMAC = 21, "ENCR_NULL_AUTH_AES_GMAC";
        /// Camellia in CBC mode (RFC 5529).
        CAMELLIA_CBC = 23, "ENCR_CAMELLIA_CBC";
        /// Camellia in counter mode (RFC 5529); ESP only.
        CAMELLIA_CTR = 24, "ENCR_CAMELLIA_CTR";
        /// Camellia-CCM with an 8-octet ICV (RFC 5529); ESP only.
        CAMELLIA_CCM_8 = 25, "ENCR_CAMELLIA_CCM_8";
        /// Camellia-CCM with a 12-octet ICV (RFC 5529); ESP only.
        CAMELLIA_CCM_12 = 26, "ENCR_CAMELLIA_CCM_12";
        /// Camellia-CCM with a 16-octet ICV (RFC 5529); ESP only.
        CAMELLIA_CCM_16 = 27, "ENCR_CAMELLIA_CCM_16";
        /// ChaCha20-Poly1305 (RFC 7634); no Key Length attribute.
        CHACHA20_POLY1305 = 28, "ENCR_CHACHA20_POLY1305";
        /// AES-CCM with an 8-octet ICV and an implicit IV (RFC 8750); ESP only.
        AES_CCM_8_IIV = 29, "ENCR_AES_CCM_8_IIV";
        /// AES-GCM with a 16-octet ICV and an implicit IV (RFC 8750); ESP only.
        AES_GCM_16_IIV = 30, "ENCR_AES_GCM_16_IIV";
        /// ChaCha20-Poly1305 with an implicit IV (RFC 8750); ESP only.
        CHACHA20_POLY1305_IIV = 31, "ENCR_CHACHA20_POLY1305_IIV";
        /// Kuznyechik in MGM mode with key tree (RFC 9227).
        KUZNYECHIK_MGM_KTREE = 32, "ENCR_KUZNYECHIK_MGM_KTREE";
        /// Magma in MGM mode with key tree (RFC 9227).
        MAGMA_MGM_KTREE = 33, "ENCR_MAGMA_MGM_KTREE";
        /// Kuznyechik MGM, integrity only (RFC 9227); ESP only.
        KUZNYECHIK_MGM_MAC_KTREE = 34, "ENCR_KUZNYECHIK_MGM_MAC_KTREE";
        /// Magma MGM, integrity only (RFC 9227); ESP only.
        MAGMA_MGM_MAC_KTREE = 35, "ENCR_MAGMA_MGM_MAC_KTREE";
    }
}

code_points! {
    /// An integrity algorithm: transform type 3 (INTEG).
    pub struct IntegId(u16) {
        /// None: the encryption algorithm protects integrity itself.
        NONE = 0, "NONE";
        /// HMAC-MD5-96; MUST NOT (RFC 8247).
        HMAC_MD5_96 = 1, "AUTH_HMAC_MD5_96";
        /// HMAC-SHA1-96 (RFC 2404).
        HMAC_SHA1_96 = 2, "AUTH_HMAC_SHA1_96";
        /// DES-MAC; MUST NOT (RFC 8247).
        DES_MAC = 3, "AUTH_DES_MAC";
        /// KPDK-MD5; MUST NOT (RFC 8247).
        KPDK_MD5 = 4, "AUTH_KPDK_MD5";
        /// AES-XCBC-MAC-96 (RFC 3566).
        AES_XCBC_96 = 5, "AUTH_AES_XCBC_96";
        /// HMAC-MD5-128 of Fibre Channel; deprecated (RFC 9395).
        HMAC_MD5_128 = 6, "AUTH_HMAC_MD5_128";
        /// HMAC-SHA1-160 of Fibre Channel; deprecated (RFC 9395).
        HMAC_SHA1_160 = 7, "AUTH_HMAC_SHA1_160";
        /// AES-CMAC-96 (RFC 4494).
        AES_CMAC_96 = 8, "AUTH_AES_CMAC_96";
        /// AES-128-GMAC (RFC 4543); AH only.
        AES_128_GMAC = 9, "AUTH_AES_128_GMAC";
        /// AES-192-GMAC (RFC 4543); AH only.
        AES_192_GMAC = 10, "AUTH_AES_192_GMAC";
        /// AES-256-GMAC (RFC 4543); AH only.
        AES_256_GMAC = 11, "AUTH_AES_256_GMAC";
        /// HMAC-SHA2-256-128 (RFC 4868).
        HMAC_SHA2_256_128 = 12, "AUTH_HMAC_SHA2_256_128";
        /// HMAC-SHA2-384-192 (RFC 4868).
        HMAC_SHA2_384_192 = 13, "AUTH_HMAC_SHA2_384_192";
        /// HMAC-SHA2-512-256 (RFC 4868).
        HMAC_SHA2_512_256 = 14, "AUTH_HMAC_SHA2_512_256";
    }
}

impl EncrId {
    /// Whether the algorithm protects integrity too, so that no INTEG transform goes with it (RFC 5282 §8,
    /// RFC 4543 §3).
    #[must_use]
    pub const fn is_combined(self) -> bool {
        matches!(self.0, 14..=16 | 18..=21 | 25..=35)
    }
}

/// The algorithms that protect packets: an encryption algorithm, its key length, and the integrity
/// algorithm beside it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CipherSuite {
    /// The encryption algorithm.
    pub encr: EncrId,
    /// The value of the Key Length attribute in bits; `None` for algorithms that forbid the attribute.
    pub key_bits: Option<u16>,
    /// The integrity algorithm; [`IntegId::NONE`] with combined-mode ciphers.
    pub integ: IntegId,
}

impl core::fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.encr)?;
        if let Some(bits) = self.key_bits {
            write!(f, "-{bits}")?;
        }
        if self.integ != IntegId::NONE {
            write!(f, "/{}", self.integ)?;
        }
        Ok(())
    }
}
