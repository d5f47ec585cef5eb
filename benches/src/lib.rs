//! Measurements of the crates, each as a ratio to the bare primitives in the same run, since absolute figures
//! say more of the machine than of the code. The programs are in `benches/`:
//!
//! | program | what it measures | beside what |
//! |---|---|---|
//! | `handshake` | IKE_SA_INIT and IKE_AUTH of two endpoints, by a shared key and by Ed25519 | all calls of primitives that it makes, made again |
//! | `esp` | sealing and opening ESP packets of each kind of suite, at five sizes | the bare cipher in place over the same octets |
//! | `wire` | parsing and encoding each message of IKE | nothing: nanoseconds and rates, by criterion |
//!
//! `cargo bench -p ipsec-benches` runs them all. What they share is here.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod median;
pub mod pair;
pub mod record;
