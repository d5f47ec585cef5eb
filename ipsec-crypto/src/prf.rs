//! Pseudorandom functions (RFC 7296 §2.13) and prf+ over them.

use alloc::boxed::Box;
use core::fmt::Debug;
use ipsec_types::SecretBytes;
use thiserror::Error;

pub use ikev2_wire::codes::PrfId;

/// Why prf+ gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PrfError {
    /// More was asked for than 255 times the PRF's output, where prf+ ends (RFC 7296 §2.13).
    #[error("prf+ gives at most {max} octets, not {wanted}")]
    OutputLength {
        /// Octets that the PRF can give.
        max: usize,
        /// Octets asked for.
        wanted: usize,
    },
}

/// A pseudorandom function.
pub trait PrfAlgorithm: Send + Sync + Debug {
    /// What it is called in negotiation.
    fn id(&self) -> PrfId;

    /// Octets of a key derived for it: its preferred key size.
    fn key_len(&self) -> usize;

    /// Octets of its output; at most [`MAX_PRF_OUTPUT`].
    fn output_len(&self) -> usize;

    /// How many octets of each nonce make the key of SKEYSEED, where it is not all of them.
    ///
    /// Two PRFs, AES-XCBC and AES-CMAC, are keyed with the first 64 bits of Ni and of Nr there, for the sake
    /// of those who did so before. Nonces enter everything else whole, under these PRFs too (RFC 7296 §2.14).
    fn nonce_key_octets(&self) -> Option<usize> {
        None
    }

    /// Expands a key of any length, for more than one call.
    fn with_key(&self, key: &[u8]) -> Box<dyn KeyedPrf>;

    /// `prf(key, parts[0] | parts[1] | …)` into `output`, whose length is [`PrfAlgorithm::output_len`]. A key
    /// may have any length.
    ///
    /// A shorter buffer gets the result's first octets; of a longer one the rest is left as it is.
    fn compute(&self, key: &[u8], parts: &[&[u8]], output: &mut [u8]) {
        self.with_key(key).compute(parts, output);
    }
}

/// A PRF under a key. It wipes its state when dropped.
pub trait KeyedPrf: Send + Sync {
    /// `prf(key, parts[0] | parts[1] | …)` into `output`, as [`PrfAlgorithm::compute`].
    fn compute(&self, parts: &[&[u8]], output: &mut [u8]);
}

/// The longest output of any PRF, in octets.
pub const MAX_PRF_OUTPUT: usize = 64;

/// `prf+(key, seed[0] | seed[1] | …)`, as many octets as `output` holds (RFC 7296 §2.13).
///
/// ```text
/// prf+(K, S) = T1 | T2 | …        T1 = prf(K, S | 0x01)        Tn = prf(K, Tn-1 | S | n)
/// ```
///
/// # Errors
/// [`PrfError::OutputLength`] beyond 255 blocks, and then `output` is untouched.
pub fn prf_plus(
    prf: &dyn PrfAlgorithm,
    key: &[u8],
    seed: &[&[u8]],
    output: &mut [u8],
) -> Result<(), PrfError> {
    let block_len = prf.output_len();
    let max = block_len.saturating_mul(usize::from(u8::MAX));
    if output.len() > max {
        return Err(PrfError::OutputLength { max, wanted: output.len() });
    }
    let prf = prf.with_key(key);
    // A key exchange's shared secret may be in it.
    let seed = SecretBytes::from(seed.concat());
    let mut previous: &[u8] = &[];
    for (number, block) in (1..=u8::MAX).zip(output.chunks_mut(block_len.max(1))) {
        prf.compute(&[previous, seed.as_slice(), &[number]], block);
        previous = block;
    }
    Ok(())
}
