//! The signature algorithms of our provider, as the path validator takes them. How often it uses them is bounded,
//! and where one fails is noted, which the validator does not tell.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use ikev2_wire::codes::HashAlgorithm;
use ipsec_crypto::CryptoProvider;
use ipsec_crypto::signature::{KeyType, PublicKey, SignatureAlgorithm, SignatureEncoding, SignatureScheme};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

/// What is counted and noted during one search.
pub(super) struct Trace<'a> {
    certificates: &'a [&'a [u8]],
    left: AtomicUsize,
    failed: AtomicUsize,
}

impl<'a> Trace<'a> {
    pub(super) fn new(certificates: &'a [&'a [u8]], max_signatures: usize) -> Self {
        Self { certificates, left: AtomicUsize::new(max_signatures), failed: AtomicUsize::new(usize::MAX) }
    }

    /// Whether as many signatures were checked as are allowed.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// The certificate whose signature was found wrong last.
    pub(super) fn failed(&self) -> Option<usize> {
        Some(self.failed.load(Ordering::Relaxed)).filter(|at| *at < self.certificates.len())
    }

    fn spend(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// What is signed of a certificate follows its outer header, of two to five octets.
    fn note(&self, message: &[u8]) {
        let signed =
            |der: &&[u8]| (2..=5).any(|at| der.get(at..).is_some_and(|der| der.starts_with(message)));
        if let Some(at) = self.certificates.iter().position(signed) {
            self.failed.store(at, Ordering::Relaxed);
        }
    }
}

/// One way to sign with one type of key.
pub(super) struct Algorithm<'a> {
    verifier: &'a dyn SignatureAlgorithm,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    trace: &'a Trace<'a>,
}

impl fmt::Debug for Algorithm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Algorithm").field(&self.verifier.scheme()).finish()
    }
}

/// Those of the provider but SHA-1's.
pub(super) fn of_provider<'a>(crypto: &'a CryptoProvider, trace: &'a Trace<'a>) -> Vec<Algorithm<'a>> {
    let mut algorithms = Vec::new();
    for &verifier in crypto.signatures {
        let scheme = verifier.scheme();
        if scheme.hash() == HashAlgorithm::SHA1 {
            continue;
        }
        for (key_type, key) in KEYS {
            if scheme.goes_with(key_type) {
                let of = |signature| Algorithm { verifier, key, signature, trace };
                algorithms.extend(identifiers(scheme).into_iter().flatten().map(of));
            }
        }
    }
    algorithms
}

const KEYS: [(KeyType, AlgorithmIdentifier); 5] = [
    (KeyType::Rsa, alg_id::RSA_ENCRYPTION),
    (KeyType::EcP256, alg_id::ECDSA_P256),
    (KeyType::EcP384, alg_id::ECDSA_P384),
    (KeyType::EcP521, alg_id::ECDSA_P521),
    (KeyType::Ed25519, alg_id::ED25519),
];

/// The identifiers of a scheme in certificates, without tag and length: with a parameter NULL or none for RSA (RFC 4055
/// §5), and the trailer of RSASSA-PSS, which has its default, left out or spelled out.
fn identifiers(scheme: SignatureScheme) -> [Option<AlgorithmIdentifier>; 2] {
    let (_, content) = scheme.algorithm_identifier().split_at_checked(2).unwrap_or_default();
    let other = match scheme {
        SignatureScheme::RsaPssSha256 => Some(&PSS_SHA256[..]),
        SignatureScheme::RsaPssSha384 => Some(&PSS_SHA384[..]),
        SignatureScheme::RsaPssSha512 => Some(&PSS_SHA512[..]),
        _ => content.strip_suffix(&[5, 0]),
    };
    [Some(AlgorithmIdentifier::from_slice(content)), other.map(AlgorithmIdentifier::from_slice)]
}

/// RSASSA-PSS with its trailer spelled out (RFC 7427 appendix A.4).
const PSS_SHA256: [u8; 70] = with_trailer(1, 32);
const PSS_SHA384: [u8; 70] = with_trailer(2, 48);
const PSS_SHA512: [u8; 70] = with_trailer(3, 64);

/// `hash` is the last arc of the hash's object identifier.
const fn with_trailer(hash: u8, salt: u8) -> [u8; 70] {
    [
        0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0a, 0x30, 0x39, 0xa0, 0x0f, 0x30, 0x0d, 6, 9,
        0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0, 0xa1, 0x1c, 0x30, 0x1a, 6, 9, 0x2a, 0x86, 0x48, 0x86,
        0xf7, 0x0d, 1, 1, 8, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0, 0xa2, 3, 2, 1,
        salt, 0xa3, 3, 2, 1, 1,
    ]
}

impl SignatureVerificationAlgorithm for Algorithm<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if !self.trace.spend() {
            return Err(InvalidSignature);
        }
        let verified = PublicKey::from_spki_der(&spki(&self.key, public_key)).is_ok_and(|key| {
            self.verifier.verify(&key, SignatureEncoding::Rfc7427, &[message], signature).is_ok()
        });
        if verified {
            return Ok(());
        }
        self.trace.note(message);
        Err(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// A SubjectPublicKeyInfo of its two parts.
fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut bits = Vec::with_capacity(key.len().saturating_add(1));
    bits.push(0);
    bits.extend_from_slice(key);
    let content = [tagged(0x30, algorithm), tagged(0x03, &bits)].concat();
    tagged(0x30, &content)
}

/// DER of a tag and its content.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(5));
    out.push(tag);
    let length = content.len().to_be_bytes();
    let significant =
        length.iter().position(|octet| *octet != 0).and_then(|at| length.get(at..)).unwrap_or(&[0]);
    match (content.len(), significant) {
        (0..=127, [.., last]) => out.push(*last),
        _ => {
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// rustls-pki-types has them from RFC 4055, and RFC 7427 appendix A.4.3 has the longer form.
    #[test]
    fn identifiers_of_pss_are_the_published_ones() {
        for (scheme, published) in [
            (SignatureScheme::RsaPssSha256, alg_id::RSA_PSS_SHA256),
            (SignatureScheme::RsaPssSha384, alg_id::RSA_PSS_SHA384),
            (SignatureScheme::RsaPssSha512, alg_id::RSA_PSS_SHA512),
        ] {
            let [short, long] = identifiers(scheme).map(|identifier| identifier.unwrap().to_vec());
            assert_eq!(short, published.as_ref());
            let whole = tagged(0x30, &long);
            assert_eq!(SignatureScheme::from_algorithm_identifier(&whole), Ok(scheme));
        }
    }
}
