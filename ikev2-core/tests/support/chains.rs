//! The certificates of `tests/chains`, and how they are verified.

use ikev2_core::Identity;
use ikev2_core::cert::x509::X509Verifier;
use ikev2_core::cert::{ChainError, ChainQuestion, ChainVerifier, TrustedChain};
use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
use ipsec_types::UnixTime;
use std::path::PathBuf;

/// 2026-06-01 00:00 UTC, when those are valid that are to be.
pub const NOW: UnixTime = UnixTime(1_780_272_000);

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/chains").join(name)
}

pub fn der(name: &str) -> Vec<u8> {
    std::fs::read(file(&format!("{name}.der"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn crl(name: &str) -> Vec<u8> {
    std::fs::read(file(&format!("{name}.crl"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn key(name: &str) -> PrivateKey {
    let text = std::fs::read_to_string(file(&format!("{name}.key"))).unwrap();
    PrivateKey::from_pem(&text).unwrap()
}

pub fn ders(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| der(name)).collect()
}

/// By these anchors.
pub fn verifier(anchors: &[&str]) -> X509Verifier {
    X509Verifier::new(ders(anchors)).unwrap()
}

pub fn verify_ders(
    verifier: &X509Verifier,
    peer: &str,
    chain: &[Vec<u8>],
    now: Option<UnixTime>,
) -> Result<TrustedChain, ChainError> {
    let peer: Identity = peer.parse().unwrap();
    let certificates: Vec<_> = chain.iter().map(Vec::as_slice).collect();
    verifier.verify(&ChainQuestion { peer: &peer, certificates: &certificates, now, crypto: &RUSTCRYPTO })
}

pub fn verify(verifier: &X509Verifier, peer: &str, chain: &[&str]) -> Result<TrustedChain, ChainError> {
    verify_ders(verifier, peer, &ders(chain), Some(NOW))
}
