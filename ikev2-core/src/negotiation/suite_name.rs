//! Proposals as text, in the words that configuration files of IPsec gateways have for them:
//! `aes256gcm16-prfsha256-x25519`, `aes128-sha256-ecp256-esn`.
//!
//! A text is a list of names joined by hyphens, in any order between types; of one type, the preferred name comes
//! first. What a name leaves open:
//!
//! - `ke1_mlkem768` is a method of the first key exchange after that of the KE payload, up to `ke7_`; `ke1_none` makes
//!   it optional (RFC 9370).
//! - IKE: without a PRF, the integrity algorithms name the PRFs too, also where the ciphers protect integrity
//!   themselves and need no other: `aes128-sha256-ecp256`, `aes256gcm16-sha384-ecp384`.
//! - ESP: `none` makes the key exchange optional; without `esn` (64-bit sequence numbers) and `noesn` (32-bit), both
//!   are offered, 64-bit first.
//!
//! The weak algorithms of RFC 8247 and RFC 8221 are refused by that name unless `weak:` stands before it:
//! `aes128-weak:sha1-weak:modp1024`. Those that are a MUST NOT have no name here.

use super::proposal::{EspProposal, EspProposalBuilder, IkeProposal, IkeProposalBuilder, ProposalError};
use super::strength::strength;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use ikev2_wire::{EncrId, IntegId, KeMethod, PrfId, ProtocolId, Transform, TransformType};
use ipsec_types::SequenceNumbers;
use thiserror::Error;

/// Why a text is no proposal.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SuiteNameError {
    /// Not the name of an algorithm.
    #[error("no algorithm is called {token:?}")]
    Unknown {
        /// The name as it was written.
        token: String,
    },
    /// The name of an algorithm that the protocol does not negotiate.
    #[error("{token:?} is not for {protocol}")]
    NotForProtocol {
        /// The name as it was written.
        token: String,
        /// The protocol of the proposal.
        protocol: ProtocolId,
    },
    /// Names that make no proposal together.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
}

impl FromStr for IkeProposal {
    type Err = SuiteNameError;

    fn from_str(text: &str) -> Result<Self, SuiteNameError> {
        let mut words = parse(text, ProtocolId::IKE)?;
        if !words.iter().any(|word| word.transform.ty == TransformType::PRF) {
            let prfs: Vec<Word> = words.iter().filter_map(prf_of_integrity).collect();
            words.extend(prfs);
            let combined = |t: &Transform| t.ty == TransformType::ENCR && EncrId(t.id).is_combined();
            if words.iter().any(|word| combined(&word.transform)) {
                words.retain(|word| word.transform.ty != TransformType::INTEG);
            }
        }
        let add = |builder: IkeProposalBuilder, word: Word| match word.weak {
            true => builder.weak(word.transform),
            false => builder.transform(word.transform),
        };
        Ok(words.into_iter().fold(Self::builder(), add).build()?)
    }
}

impl FromStr for EspProposal {
    type Err = SuiteNameError;

    fn from_str(text: &str) -> Result<Self, SuiteNameError> {
        let add = |builder: EspProposalBuilder, word: Word| match word.weak {
            true => builder.weak(word.transform),
            false => builder.transform(word.transform),
        };
        Ok(parse(text, ProtocolId::ESP)?.into_iter().fold(Self::builder(), add).build()?)
    }
}

impl fmt::Display for IkeProposal {
    /// The text that parses to this proposal. An algorithm without a name here stands as its registered name,
    /// which does not parse.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.transforms(), f)
    }
}

impl fmt::Display for EspProposal {
    /// The text that parses to this proposal. An algorithm without a name here stands as its registered name,
    /// which does not parse.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.transforms(), f)
    }
}

/// What stands before the name of a weak algorithm.
const WEAK: &str = "weak:";

/// One name of a text.
struct Word {
    transform: Transform,
    /// Whether it was asked for as a weak one.
    weak: bool,
}

fn parse(text: &str, protocol: ProtocolId) -> Result<Vec<Word>, SuiteNameError> {
    let parse_one = |token: &str| {
        let lower = token.to_ascii_lowercase();
        let (name, weak) = lower.strip_prefix(WEAK).map_or((lower.as_str(), false), |name| (name, true));
        let transform = named(name).ok_or_else(|| SuiteNameError::Unknown { token: token.into() })?;
        let fits = match transform.ty {
            TransformType::PRF => protocol == ProtocolId::IKE,
            TransformType::SN => protocol == ProtocolId::ESP,
            TransformType::KE => protocol == ProtocolId::ESP || transform.id != KeMethod::NONE.0,
            _ => true,
        };
        if fits {
            Ok(Word { transform, weak })
        } else {
            Err(SuiteNameError::NotForProtocol { token: token.into(), protocol })
        }
    };
    text.trim().split('-').map(parse_one).collect()
}

fn print(transforms: &[Transform], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // The usual order has integrity before the PRF; the rest is in the order of the types.
    let place = |t: &&Transform| match t.ty {
        TransformType::ENCR => 0,
        TransformType::INTEG => 1,
        TransformType::PRF => 2,
        _ => 3,
    };
    let mut ordered: Vec<&Transform> = transforms.iter().collect();
    ordered.sort_by_key(place);
    for (index, transform) in ordered.into_iter().enumerate() {
        if index > 0 {
            f.write_str("-")?;
        }
        if strength(transform).needs_opt_in() {
            f.write_str(WEAK)?;
        }
        match transform.ty {
            TransformType::ENCR => print_cipher(transform, f)?,
            _ => print_single(transform, f)?,
        }
    }
    Ok(())
}

/// The transform of a name in small letters.
fn named(name: &str) -> Option<Transform> {
    let single = |name| SINGLE_NAMES.iter().find(move |(known, ..)| *known == name);
    let additional = || {
        let (n, name) = name.strip_prefix(ADDITIONAL)?.split_once('_')?;
        let ty = TransformType::addke(n.parse().ok()?)?;
        single(name).filter(|(_, ty, _)| *ty == TransformType::KE).map(|(.., id)| Transform::new(ty, *id))
    };
    let known = single(name).map(|(_, ty, id)| Transform::new(*ty, *id));
    known.or_else(additional).or_else(|| cipher(name))
}

/// What stands before the number of an additional key exchange.
const ADDITIONAL: &str = "ke";

fn print_single(transform: &Transform, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let additional = (1..=7).find(|n| TransformType::addke(*n) == Some(transform.ty));
    let ty = additional.map_or(transform.ty, |_| TransformType::KE);
    let known = SINGLE_NAMES.iter().find(|(_, known, id)| (*known, *id) == (ty, transform.id));
    match (known, additional) {
        (Some((name, ..)), Some(n)) => write!(f, "{ADDITIONAL}{n}_{name}"),
        (Some((name, ..)), None) => f.write_str(name),
        (None, _) => write!(f, "{transform}"),
    }
}

/// Ciphers whose keys have one length.
const FIXED_CIPHERS: &[(&str, EncrId)] =
    &[("chacha20poly1305", EncrId::CHACHA20_POLY1305), ("3des", EncrId::TRIPLE_DES), ("null", EncrId::NULL)];

/// Ciphers whose names are the block cipher, the key length, and the mode; the first name of each is printed.
const SIZED_CIPHERS: &[(&str, &str, EncrId)] = &[
    ("aes", "", EncrId::AES_CBC),
    ("aes", "cbc", EncrId::AES_CBC),
    ("aes", "ctr", EncrId::AES_CTR),
    ("aes", "ccm8", EncrId::AES_CCM_8),
    ("aes", "ccm64", EncrId::AES_CCM_8),
    ("aes", "ccm12", EncrId::AES_CCM_12),
    ("aes", "ccm96", EncrId::AES_CCM_12),
    ("aes", "ccm16", EncrId::AES_CCM_16),
    ("aes", "ccm128", EncrId::AES_CCM_16),
    ("aes", "gcm8", EncrId::AES_GCM_8),
    ("aes", "gcm64", EncrId::AES_GCM_8),
    ("aes", "gcm12", EncrId::AES_GCM_12),
    ("aes", "gcm96", EncrId::AES_GCM_12),
    ("aes", "gcm16", EncrId::AES_GCM_16),
    ("aes", "gcm128", EncrId::AES_GCM_16),
    ("aes", "gcm", EncrId::AES_GCM_16),
    ("aes", "gmac", EncrId::NULL_AUTH_AES_GMAC),
    ("camellia", "", EncrId::CAMELLIA_CBC),
    ("camellia", "cbc", EncrId::CAMELLIA_CBC),
    ("camellia", "ctr", EncrId::CAMELLIA_CTR),
    ("camellia", "ccm8", EncrId::CAMELLIA_CCM_8),
    ("camellia", "ccm12", EncrId::CAMELLIA_CCM_12),
    ("camellia", "ccm16", EncrId::CAMELLIA_CCM_16),
];

fn cipher(name: &str) -> Option<Transform> {
    if let Some((_, encr)) = FIXED_CIPHERS.iter().find(|(known, _)| *known == name) {
        return Some(Transform::encr(*encr, None));
    }
    SIZED_CIPHERS.iter().find_map(|(block, mode, encr)| {
        let bits = name.strip_prefix(block)?.strip_suffix(mode)?;
        let bits = ["128", "192", "256"].contains(&bits).then(|| bits.parse().ok())??;
        Some(Transform::encr(*encr, Some(bits)))
    })
}

fn print_cipher(transform: &Transform, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let encr = EncrId(transform.id);
    let fixed = FIXED_CIPHERS.iter().find(|(_, known)| *known == encr);
    let sized = SIZED_CIPHERS.iter().find(|(.., known)| *known == encr);
    match (fixed, sized, transform.key_bits) {
        (Some((name, _)), _, None) => f.write_str(name),
        (_, Some((block, mode, _)), Some(bits)) => write!(f, "{block}{bits}{mode}"),
        _ => write!(f, "{transform}"),
    }
}

/// The names of everything but ciphers; the first name of each is printed.
const SINGLE_NAMES: &[(&str, TransformType, u16)] = {
    const INTEG: TransformType = TransformType::INTEG;
    const PRF: TransformType = TransformType::PRF;
    const KE: TransformType = TransformType::KE;
    const SN: TransformType = TransformType::SN;
    &[
        ("sha256", INTEG, IntegId::HMAC_SHA2_256_128.0),
        ("sha384", INTEG, IntegId::HMAC_SHA2_384_192.0),
        ("sha512", INTEG, IntegId::HMAC_SHA2_512_256.0),
        ("sha1", INTEG, IntegId::HMAC_SHA1_96.0),
        ("sha", INTEG, IntegId::HMAC_SHA1_96.0),
        ("sha2_256", INTEG, IntegId::HMAC_SHA2_256_128.0),
        ("sha2_384", INTEG, IntegId::HMAC_SHA2_384_192.0),
        ("sha2_512", INTEG, IntegId::HMAC_SHA2_512_256.0),
        ("aesxcbc", INTEG, IntegId::AES_XCBC_96.0),
        ("aescmac", INTEG, IntegId::AES_CMAC_96.0),
        ("prfsha256", PRF, PrfId::HMAC_SHA2_256.0),
        ("prfsha384", PRF, PrfId::HMAC_SHA2_384.0),
        ("prfsha512", PRF, PrfId::HMAC_SHA2_512.0),
        ("prfsha1", PRF, PrfId::HMAC_SHA1.0),
        ("prfaesxcbc", PRF, PrfId::AES128_XCBC.0),
        ("prfaescmac", PRF, PrfId::AES128_CMAC.0),
        ("x25519", KE, KeMethod::CURVE25519.0),
        ("curve25519", KE, KeMethod::CURVE25519.0),
        ("x448", KE, KeMethod::CURVE448.0),
        ("curve448", KE, KeMethod::CURVE448.0),
        ("ecp256", KE, KeMethod::ECP_256.0),
        ("ecp384", KE, KeMethod::ECP_384.0),
        ("ecp521", KE, KeMethod::ECP_521.0),
        ("ecp192", KE, KeMethod::ECP_192.0),
        ("ecp224", KE, KeMethod::ECP_224.0),
        ("ecp224bp", KE, KeMethod::BRAINPOOL_P224R1.0),
        ("ecp256bp", KE, KeMethod::BRAINPOOL_P256R1.0),
        ("ecp384bp", KE, KeMethod::BRAINPOOL_P384R1.0),
        ("ecp512bp", KE, KeMethod::BRAINPOOL_P512R1.0),
        ("modp2048", KE, KeMethod::MODP_2048.0),
        ("modp3072", KE, KeMethod::MODP_3072.0),
        ("modp4096", KE, KeMethod::MODP_4096.0),
        ("modp6144", KE, KeMethod::MODP_6144.0),
        ("modp8192", KE, KeMethod::MODP_8192.0),
        ("modp1536", KE, KeMethod::MODP_1536.0),
        ("modp1024", KE, KeMethod::MODP_1024.0),
        ("modp2048s224", KE, KeMethod::MODP_2048_224.0),
        ("modp2048s256", KE, KeMethod::MODP_2048_256.0),
        ("mlkem512", KE, KeMethod::ML_KEM_512.0),
        ("mlkem768", KE, KeMethod::ML_KEM_768.0),
        ("mlkem1024", KE, KeMethod::ML_KEM_1024.0),
        ("none", KE, KeMethod::NONE.0),
        ("esn", SN, SequenceNumbers::Sequential64.transform_id()),
        ("noesn", SN, SequenceNumbers::Sequential32.transform_id()),
    ]
};

/// The PRF of the same function as an integrity algorithm, and as weak.
fn prf_of_integrity(word: &Word) -> Option<Word> {
    let prf = match (word.transform.ty, IntegId(word.transform.id)) {
        (TransformType::INTEG, IntegId::HMAC_SHA1_96) => PrfId::HMAC_SHA1,
        (TransformType::INTEG, IntegId::HMAC_SHA2_256_128) => PrfId::HMAC_SHA2_256,
        (TransformType::INTEG, IntegId::HMAC_SHA2_384_192) => PrfId::HMAC_SHA2_384,
        (TransformType::INTEG, IntegId::HMAC_SHA2_512_256) => PrfId::HMAC_SHA2_512,
        (TransformType::INTEG, IntegId::AES_XCBC_96) => PrfId::AES128_XCBC,
        (TransformType::INTEG, IntegId::AES_CMAC_96) => PrfId::AES128_CMAC,
        _ => return None,
    };
    Some(Word { transform: Transform::prf(prf), weak: word.weak })
}
