//! Layer 2: establishment. IKE_SA_INIT, and authentication as a layer of its own with no Child SA in it.
//!
//! | module | what it does | sections |
//! |---|---|---|
//! | [`initiator`] | IKE_SA_INIT as initiator, up to keys with whoever answers | RFC 7296 §1.2, §2.6, §2.7 |
//! | [`responder`] | IKE_SA_INIT as responder, up to a half-open IKE SA and its keys | §1.2, §2.6 |
//! | [`init`] | what the IKE_SA_INIT messages hold | §1.2 |
//! | [`cookie`] | stateless cookies | §2.6 |
//! | [`nat`] | NAT detection | §2.23 |
//! | [`secrets`] | from both halves of the key exchange to the keys of the IKE SA | §2.14 |
//! | [`auth`] | the octets under AUTH, proofs by a shared key or a signature | §2.15, RFC 7427 |

pub mod auth;
pub mod cookie;
pub(crate) mod half;
pub mod init;
pub mod initiator;
pub mod intermediate;
pub mod nat;
pub mod responder;
pub mod secrets;
