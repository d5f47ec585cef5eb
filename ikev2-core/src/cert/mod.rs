//! Certificates in IKEv2 (RFC 7296 §3.6, §3.7, RFC 4945): what a peer's chain proves. An embedder that is asked by
//! [`Event::VerificationNeeded`](crate::Event::VerificationNeeded) finds the key here by which the signature is to be
//! checked.
//!
//! | module | what it does |
//! |---|---|
//! | `authority` | authorities as CERTREQ names them |
//! | `received` | a peer's CERT payloads, within bounds |
//! | `verifier` | who verifies a chain: a trait for who can at once |
//! | [`x509`] | the one that is ready, behind the feature `x509` |
//! | `error` | which certificate broke which rule |

mod authority;
mod error;
mod received;
mod verifier;
#[cfg(feature = "x509")]
pub mod x509;

pub use authority::AuthorityHash;
pub use error::{CertificateName, CertificateRule, ChainError};
pub use received::{CertificateLimits, HashAndUrl, PeerCertificate, Received};
pub use verifier::{ChainQuestion, ChainVerifier, RevocationQuestion, TrustedChain};
