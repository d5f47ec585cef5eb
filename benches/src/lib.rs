//! Measurements of the crates, each as a ratio to the bare primitives in the same run, since absolute figures
//! say more of the machine than of the code. The programs are in `benches/`:
//!
//! | program | what it measures | beside what |
//! |---|---|---|
//! | `handshake` | IKE_SA_INIT and IKE_AUTH of two endpoints, by a shared key and by Ed25519 | all calls of primitives that it makes, made again |
//! | `esp` | sealing and opening ESP packets of each kind of suite by each library, at five sizes | the bare cipher in place over the same octets; boringtun |
//! | `esp_threads` | two threads on one SA | what the bare cipher gains from two threads |
//! | `esp_many_sas` | opening packets of 1,000,000 SAs in random order; the memory of an SA | the same at 1,000 SAs |
//! | `wire` | parsing and encoding each message of IKE | nothing: nanoseconds and rates, by criterion |
//!
//! `cargo bench -p ipsec-benches` runs them all. What they share is here.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod esp;
pub mod median;
pub mod pair;
pub mod record;
