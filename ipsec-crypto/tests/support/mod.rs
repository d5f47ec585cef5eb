//! What the integration tests share.
#![allow(dead_code)]

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherAlgorithm, PacketCipher, RandomError};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId, SecretBytes};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

/// Octets from hexadecimal digits; white space is skipped.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).expect("hexadecimal digits"))
        .collect()
}

/// The member `name` of a JSON object as octets.
pub(crate) fn octets(value: &Value, name: &str) -> Vec<u8> {
    hex(text(value, name))
}

/// The member `name` of a JSON object as a string.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no string {name} in {value}"))
}

/// The elements of the array `name` in a JSON object.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no array {name}"))
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("valid JSON")
}

pub(crate) fn keys(encr: &[u8], integ: &[u8]) -> SaKeys {
    SaKeys { encr: SecretBytes::copy_from(encr), integ: SecretBytes::copy_from(integ) }
}

pub(crate) const fn gcm_16(key_bits: u16) -> CipherSuite {
    CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(key_bits), integ: IntegId::NONE }
}

/// What another library than RustCrypto does.
pub(crate) fn other_libraries() -> Vec<&'static dyn CipherAlgorithm> {
    #[cfg(feature = "aws-lc")]
    let others = ipsec_crypto::aws_lc::AWS_LC.ciphers;
    #[cfg(not(feature = "aws-lc"))]
    let others: &[&'static dyn CipherAlgorithm] = &[];
    others.iter().copied().filter(|cipher| cipher.library() != RUSTCRYPTO.name).collect()
}

/// Every suite of every library.
pub(crate) fn all_ciphers() -> impl Iterator<Item = &'static dyn CipherAlgorithm> {
    RUSTCRYPTO.ciphers.iter().copied().chain(other_libraries())
}

/// One suite, by each library that does it.
pub(crate) fn libraries(suite: CipherSuite) -> Vec<&'static dyn CipherAlgorithm> {
    let found: Vec<_> = all_ciphers().filter(|cipher| cipher.suite() == suite).collect();
    assert!(!found.is_empty(), "no {suite}");
    found
}

/// A cipher of the suite under octets that only count up.
pub(crate) fn counting_keys(algorithm: &dyn CipherAlgorithm) -> Box<dyn PacketCipher> {
    let octets: Vec<u8> = (0..=255).collect();
    let (encr, rest) = octets.split_at(algorithm.encr_key_len());
    let keys = keys(encr, &rest[..algorithm.integ_key_len()]);
    algorithm.with_keys(&keys).expect("keys of the right length")
}

/// A generator that gives the octets of a script, and fails where the script ends.
pub(crate) struct Script(pub(crate) Vec<u8>);

impl TryRng for Script {
    type Error = RandomError;

    fn try_next_u32(&mut self) -> Result<u32, RandomError> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, RandomError> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), RandomError> {
        if self.0.len() < dst.len() {
            return Err(RandomError);
        }
        let rest = self.0.split_off(dst.len());
        dst.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}
