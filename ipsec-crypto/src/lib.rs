//! The algorithms of IKEv2 and ESP behind one provider.
//!
//! IKE's SK payload and ESP protect packets with the same ciphers, so they share them here: a
//! [`PacketCipher`] seals and opens a packet in place in the buffer where it lies, without allocating, and
//! knows by itself how nonce, IV, additional authenticated data and ICV are made (RFC 4303, RFC 7296 §3.14,
//! RFC 5282). Beside them stand the pseudorandom functions with [`prf_plus`] (RFC 7296 §2.13) and the key
//! exchange methods (RFC 7296 §2.14).
//!
//! ```
//! use ipsec_crypto::{CipherError, PacketNumber, rustcrypto::RUSTCRYPTO};
//! use ipsec_types::algorithm::CipherSuite;
//! use ipsec_types::sa::SaKeys;
//! use ipsec_types::{EncrId, IntegId, SecretBytes};
//!
//! # fn main() -> Result<(), CipherError> {
//! // What a negotiation agreed on, and the key material that it left: 16 octets of key and 4 of salt.
//! let suite = CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(128), integ: IntegId::NONE };
//! let algorithm = RUSTCRYPTO.cipher(suite).expect("the provider has AES-GCM");
//! let keys = SaKeys { encr: SecretBytes::copy_from(&[7; 20]), integ: SecretBytes::zeroed(0) };
//! assert_eq!(algorithm.encr_key_len(), keys.encr.len());
//! let cipher = algorithm.with_keys(&keys)?;
//!
//! // One buffer: header, room for the IV, text, room for the ICV.
//! let header = [0, 0, 1, 0, 0, 0, 0, 1];
//! let text = *b"attack at dawn\x00\x3b";
//! let text_at = header.len() + cipher.iv_len();
//! let icv_at = text_at + text.len();
//! let mut packet = vec![0; icv_at + cipher.icv_len()];
//! packet[..header.len()].copy_from_slice(&header);
//! packet[text_at..icv_at].copy_from_slice(&text);
//!
//! // A number is used once. Here it is ESP's sequence number.
//! let number = PacketNumber::explicit(1);
//! cipher.seal(number, header.len(), &mut packet)?;
//! assert_ne!(packet[text_at..icv_at], text);
//!
//! let mut forged = packet.clone();
//! forged[3] ^= 1;
//! assert_eq!(cipher.open(number, header.len(), &mut forged), Err(CipherError::IntegrityCheck));
//!
//! cipher.open(number, header.len(), &mut packet)?;
//! assert_eq!(packet[text_at..icv_at], text);
//! # Ok(())
//! # }
//! ```
//!
//! # What there is, and what proves it
//!
//! The vectors lie in `tests/vectors` or stand in the tests, each with its source.
//!
//! | algorithm | transform | vectors |
//! |---|---|---|
//! | AES-GCM with a 16-octet ICV, keys of 128, 192 and 256 bits | ENCR 20 | draft-mcgrew-gcm-test-01 (ESP, ESN); Wycheproof; ESP and IKE packets made with Python's `cryptography` |
//! | AES-CBC, keys of 128, 192 and 256 bits | ENCR 12 | RFC 3602 §4; NIST SP 800-38A F.2; the same packets |
//! | HMAC-SHA2-256-128 | INTEG 12 | RFC 4868 §2.7.2; the same packets |
//! | HMAC-SHA2-256, -384, -512 | PRF 5, 6, 7 | RFC 4231 §4; RFC 4868 §2.7.1 |
//! | prf+ | | NIST CAVP for SP 800-135 |
//! | X25519 | KE 31 | RFC 7748 §6.1; RFC 8031 appendix A; Wycheproof |
//! | ECP-256 (P-256) | KE 19 | RFC 5903 §8.1; Wycheproof |
//!
//! # Numbers, IVs and limits
//!
//! The caller gives each packet a number that never repeats under its key, and every IV is made of it:
//! combined-mode ciphers send it as it is, AES-CBC sends it encrypted. So no randomness is drawn on the data
//! path, and a number given twice is the one way to break a key. [`PacketCipher::limits`] says how long a key
//! may be used, and the documents that say so stand beside the figures:
//!
//! | cipher | packets | octets | failed opens | after them |
//! |---|---|---|---|---|
//! | AES-GCM-16 | 2^45 | 2^50 | 2^52 | text told from random octets with advantage 2^-33, a forgery with chance 2^-57 (RFC 9001 B.1) |
//! | AES-CBC with HMAC-SHA2-256-128 | 2^45 | 2^50 | 2^64 - 1 | the same advantage, a forgery with chance 2^-64 |
//!
//! # Secrets and randomness
//!
//! Expanded keys, private values and what a PRF holds are wiped when dropped; `Debug` prints none of them.
//! ICVs are compared in constant time, and nothing is decrypted before its ICV was found right. Randomness is
//! drawn from the [`SecureRandom`] that a call is given, and from nowhere else; where it fails the call
//! fails.
//!
//! # Features
//!
//! `std` (default): nothing but speed, a table of P-256's base point. Without it the crate needs `alloc`
//! alone.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod cipher;
pub mod kx;
mod pem;
pub mod prf;
pub mod provider;
pub mod random;
pub mod requirements;
pub mod rustcrypto;
pub mod signature;
#[cfg(test)]
mod test_vectors;

pub use cipher::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber, UsageLimits};
pub use kx::{KeMethod, KeyExchangeMethod, KxError, KxResponse, PendingKeyExchange};
pub use prf::{KeyedPrf, PrfAlgorithm, PrfError, PrfId, prf_plus};
pub use provider::CryptoProvider;
pub use random::{RandomError, SecureRandom};
pub use signature::{
    KeyType, PublicKey, SignatureAlgorithm, SignatureEncoding, SignatureError, SignatureScheme, SigningKey,
};
