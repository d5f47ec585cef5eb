//! Measurements of the crates, each as a ratio to the bare primitives in the same run, since absolute figures
//! say more of the machine than of the code. The programs are in `benches/`:
//!
//! | program | what it measures | beside what |
//! |---|---|---|
//! | `esp` | sealing and opening ESP packets | `aes-gcm` in place over the same octets |
//! | `handshake` | IKE_SA_INIT and IKE_AUTH of two endpoints, shared key and X25519 | its four X25519 operations |
//!
//! `cargo bench -p ipsec-benches` runs them all.
#![forbid(unsafe_code)]
