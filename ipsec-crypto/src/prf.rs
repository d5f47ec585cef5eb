//! Pseudorandom functions (RFC 7296 §2.13) and prf+ over them.

use core::fmt::Debug;
use ipsec_types::code_points;

code_points! {
    /// A pseudorandom function: transform type 2 (PRF).
    pub struct PrfId(u16) {
        /// HMAC-SHA2-256 (RFC 4868).
        HMAC_SHA2_256 = 5, "PRF_HMAC_SHA2_256";
    }
}

/// A pseudorandom function.
pub trait PrfAlgorithm: Send + Sync + Debug {
    /// What it is called in negotiation.
    fn id(&self) -> PrfId;

    /// Octets of a key derived for it: its preferred key size.
    fn key_len(&self) -> usize;

    /// Octets of its output; at most [`MAX_PRF_OUTPUT`].
    fn output_len(&self) -> usize;

    /// `prf(key, parts[0] | parts[1] | …)` into `output`, whose length is [`PrfAlgorithm::output_len`]. A key
    /// may have any length.
    fn compute(&self, key: &[u8], parts: &[&[u8]], output: &mut [u8]);
}

/// The longest output of any PRF, in octets.
pub const MAX_PRF_OUTPUT: usize = 64;
