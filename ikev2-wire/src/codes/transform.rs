//! What proposals are made of: transform types, the transform IDs of each, and attribute types (RFC 7296
//! §3.3.2 to §3.3.5, RFC 9370, RFC 9827, RFC 9838).

use core::fmt;
use ipsec_types::{EncrId, IntegId, SequenceNumbers, code_points};

code_points! {
    /// A transform type (RFC 7296 §3.3.2); 241 to 255 are for private use.
    pub struct TransformType(u8) {
        /// Encryption algorithm: an [`EncrId`].
        ENCR = 1, "ENCR";
        /// Pseudorandom function: a [`PrfId`].
        PRF = 2, "PRF";
        /// Integrity algorithm: an [`IntegId`].
        INTEG = 3, "INTEG";
        /// Key exchange method: a [`KeMethod`].
        KE = 4, "KE";
        /// Sequence numbers (RFC 9827): a [`SequenceNumbersId`].
        SN = 5, "SN";
        /// Additional key exchange 1 (RFC 9370): a [`KeMethod`].
        ADDKE1 = 6, "ADDKE1";
        /// Additional key exchange 2 (RFC 9370): a [`KeMethod`].
        ADDKE2 = 7, "ADDKE2";
        /// Additional key exchange 3 (RFC 9370): a [`KeMethod`].
        ADDKE3 = 8, "ADDKE3";
        /// Additional key exchange 4 (RFC 9370): a [`KeMethod`].
        ADDKE4 = 9, "ADDKE4";
        /// Additional key exchange 5 (RFC 9370): a [`KeMethod`].
        ADDKE5 = 10, "ADDKE5";
        /// Additional key exchange 6 (RFC 9370): a [`KeMethod`].
        ADDKE6 = 11, "ADDKE6";
        /// Additional key exchange 7 (RFC 9370): a [`KeMethod`].
        ADDKE7 = 12, "ADDKE7";
        /// Key wrap algorithm (RFC 9838): a [`KeyWrapId`].
        KWA = 13, "KWA";
        /// Group controller authentication method (RFC 9838): a [`GcAuthId`].
        GCAUTH = 14, "GCAUTH";
    }
}

impl TransformType {
    /// Whether transforms of this type name key exchange methods: KE and the seven ADDKE types.
    #[must_use]
    pub const fn is_key_exchange(self) -> bool {
        matches!(self.0, 4 | 6..=12)
    }

    /// The type of the `n`-th additional key exchange (RFC 9370 §2.2.1), `n` from 1 to 7.
    #[must_use]
    pub const fn addke(n: u8) -> Option<Self> {
        match n {
            1..=7 => Some(Self(5 + n)),
            _ => None,
        }
    }
}

/// A transform ID with the type that says which registry it is of. It exists to be printed: as the
/// registered name, or as the number where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransformName {
    /// The transform type.
    pub ty: TransformType,
    /// The transform ID.
    pub id: u16,
}

impl TransformName {
    /// Whether the name alone tells the type too, as those of ENCR, PRF and INTEG do by their prefix.
    const fn tells_type(self) -> bool {
        match self.ty {
            TransformType::ENCR => EncrId(self.id).name().is_some(),
            TransformType::PRF => PrfId(self.id).name().is_some(),
            TransformType::INTEG => self.id != IntegId::NONE.0 && IntegId(self.id).name().is_some(),
            _ => false,
        }
    }

    /// Writes a whole transform: the type where the name does not tell it, the name, the key length, and the
    /// types of other attributes.
    pub(crate) fn fmt_with(
        self,
        f: &mut fmt::Formatter<'_>,
        key_bits: Option<u16>,
        other_attributes: impl Iterator<Item = TransformAttribute>,
    ) -> fmt::Result {
        if !self.tells_type() {
            write!(f, "{}=", self.ty)?;
        }
        write!(f, "{self}")?;
        if let Some(bits) = key_bits {
            write!(f, "-{bits}")?;
        }
        for ty in other_attributes {
            write!(f, "+{ty}")?;
        }
        Ok(())
    }
}

impl fmt::Display for TransformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ty {
            TransformType::ENCR => EncrId(self.id).fmt(f),
            TransformType::PRF => PrfId(self.id).fmt(f),
            TransformType::INTEG => IntegId(self.id).fmt(f),
            TransformType::SN => SequenceNumbersId(self.id).fmt(f),
            TransformType::KWA => KeyWrapId(self.id).fmt(f),
            TransformType::GCAUTH => GcAuthId(self.id).fmt(f),
            ty if ty.is_key_exchange() => KeMethod(self.id).fmt(f),
            _ => self.id.fmt(f),
        }
    }
}

code_points! {
    /// A pseudorandom function: transform type 2 (PRF).
    pub struct PrfId(u16) {
        /// HMAC-MD5; MUST NOT (RFC 8247).
        HMAC_MD5 = 1, "PRF_HMAC_MD5";
        /// HMAC-SHA1 (RFC 2104).
        HMAC_SHA1 = 2, "PRF_HMAC_SHA1";
        /// HMAC-Tiger; deprecated (RFC 9395).
        HMAC_TIGER = 3, "PRF_HMAC_TIGER";
        /// AES-XCBC-PRF-128 (RFC 4434).
        AES128_XCBC = 4, "PRF_AES128_XCBC";
        /// HMAC-SHA2-256 (RFC 4868).
        HMAC_SHA2_256 = 5, "PRF_HMAC_SHA2_256";
        /// HMAC-SHA2-384 (RFC 4868).
        HMAC_SHA2_384 = 6, "PRF_HMAC_SHA2_384";
        /// HMAC-SHA2-512 (RFC 4868).
        HMAC_SHA2_512 = 7, "PRF_HMAC_SHA2_512";
        /// AES-CMAC-PRF-128 (RFC 4615).
        AES128_CMAC = 8, "PRF_AES128_CMAC";
        /// HMAC-Streebog-512 (RFC 9385).
        HMAC_STREEBOG_512 = 9, "PRF_HMAC_STREEBOG_512";
    }
}

code_points! {
    /// A key exchange method: transform type 4 (KE) and types 6 to 12 (ADDKE1 to ADDKE7).
    pub struct KeMethod(u16) {
        /// No key exchange, where one is optional.
        NONE = 0, "NONE";
        /// 768-bit MODP; MUST NOT (RFC 8247).
        MODP_768 = 1, "768-bit MODP Group";
        /// 1024-bit MODP (RFC 7296 appendix B.2).
        MODP_1024 = 2, "1024-bit MODP Group";
        /// 1536-bit MODP (RFC 3526).
        MODP_1536 = 5, "1536-bit MODP Group";
        /// 2048-bit MODP (RFC 3526).
        MODP_2048 = 14, "2048-bit MODP Group";
        /// 3072-bit MODP (RFC 3526).
        MODP_3072 = 15, "3072-bit MODP Group";
        /// 4096-bit MODP (RFC 3526).
        MODP_4096 = 16, "4096-bit MODP Group";
        /// 6144-bit MODP (RFC 3526).
        MODP_6144 = 17, "6144-bit MODP Group";
        /// 8192-bit MODP (RFC 3526).
        MODP_8192 = 18, "8192-bit MODP Group";
        /// NIST P-256 (RFC 5903).
        ECP_256 = 19, "256-bit random ECP group";
        /// NIST P-384 (RFC 5903).
        ECP_384 = 20, "384-bit random ECP group";
        /// NIST P-521 (RFC 5903).
        ECP_521 = 21, "521-bit random ECP group";
        /// MODP with a subgroup; MUST NOT (RFC 8247).
        MODP_1024_160 = 22, "1024-bit MODP Group with 160-bit Prime Order Subgroup";
        /// MODP with a subgroup (RFC 5114).
        MODP_2048_224 = 23, "2048-bit MODP Group with 224-bit Prime Order Subgroup";
        /// MODP with a subgroup (RFC 5114).
        MODP_2048_256 = 24, "2048-bit MODP Group with 256-bit Prime Order Subgroup";
        /// NIST P-192 (RFC 5114).
        ECP_192 = 25, "192-bit Random ECP Group";
        /// NIST P-224 (RFC 5114).
        ECP_224 = 26, "224-bit Random ECP Group";
        /// Brainpool, 224 bits (RFC 6954).
        BRAINPOOL_P224R1 = 27, "brainpoolP224r1";
        /// Brainpool, 256 bits (RFC 6954).
        BRAINPOOL_P256R1 = 28, "brainpoolP256r1";
        /// Brainpool, 384 bits (RFC 6954).
        BRAINPOOL_P384R1 = 29, "brainpoolP384r1";
        /// Brainpool, 512 bits (RFC 6954).
        BRAINPOOL_P512R1 = 30, "brainpoolP512r1";
        /// X25519 (RFC 8031).
        CURVE25519 = 31, "Curve25519";
        /// X448 (RFC 8031).
        CURVE448 = 32, "Curve448";
        /// GOST R 34.10-2012, 256 bits (RFC 9385).
        GOST3410_2012_256 = 33, "GOST3410_2012_256";
        /// GOST R 34.10-2012, 512 bits (RFC 9385).
        GOST3410_2012_512 = 34, "GOST3410_2012_512";
        /// ML-KEM-512 (draft-ietf-ipsecme-ikev2-mlkem).
        ML_KEM_512 = 35, "ml-kem-512";
        /// ML-KEM-768 (draft-ietf-ipsecme-ikev2-mlkem).
        ML_KEM_768 = 36, "ml-kem-768";
        /// ML-KEM-1024 (draft-ietf-ipsecme-ikev2-mlkem).
        ML_KEM_1024 = 37, "ml-kem-1024";
    }
}

code_points! {
    /// A kind of sequence numbers: transform type 5 (SN, RFC 9827).
    pub struct SequenceNumbersId(u16) {
        /// 32 bits, formerly "no extended sequence numbers".
        SEQUENTIAL_32 = 0, "32-bit Sequential Numbers";
        /// 64 bits, formerly "extended sequence numbers".
        SEQUENTIAL_64 = 1, "Partially Transmitted 64-bit Sequential Numbers";
        /// 32 bits whose values mean nothing (RFC 9838).
        UNSPECIFIED_32 = 2, "32-bit Unspecified Numbers";
    }
}

impl From<SequenceNumbers> for SequenceNumbersId {
    fn from(kind: SequenceNumbers) -> Self {
        Self(kind.transform_id())
    }
}

code_points! {
    /// A key wrap algorithm: transform type 13 (KWA, RFC 9838).
    pub struct KeyWrapId(u16) {
        /// AES key wrap with padding, 128-bit key (RFC 5649).
        KW_5649_128 = 1, "KW_5649_128";
        /// AES key wrap with padding, 192-bit key (RFC 5649).
        KW_5649_192 = 2, "KW_5649_192";
        /// AES key wrap with padding, 256-bit key (RFC 5649).
        KW_5649_256 = 3, "KW_5649_256";
        /// ChaCha20-based key wrap (RFC 9838).
        KW_ARX = 4, "KW_ARX";
    }
}

code_points! {
    /// How a group controller authenticates rekey messages: transform type 14 (GCAUTH, RFC 9838).
    pub struct GcAuthId(u16) {
        /// By possession of the group's key.
        IMPLICIT = 1, "Implicit";
        /// By a signature on each rekey message.
        DIGITAL_SIGNATURE = 2, "Digital Signature";
    }
}

code_points! {
    /// The type of a transform attribute, 15 bits (RFC 7296 §3.3.5); 16384 to 32767 are for private use.
    pub struct TransformAttribute(u16) {
        /// Key length in bits (RFC 7296 §3.3.5); always in the short format.
        KEY_LENGTH = 14, "Key Length";
        /// A DER AlgorithmIdentifier (RFC 9838).
        SIGNATURE_ALGORITHM = 18, "Signature Algorithm Identifier";
    }
}
