//! Randomness as the embedder gives it: fallible, and never read behind its back.

use rand_core::{TryCryptoRng, TryRng};
use thiserror::Error;

/// The generator could not deliver. What it said is the embedder's own to log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the random generator failed")]
pub struct RandomError;

/// A cryptographically secure generator that may fail; what `rand_core`'s fallible generators are, in a
/// form that fits behind `dyn`.
pub trait SecureRandom: Send {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// [`RandomError`], and then the buffer's content is unspecified.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), RandomError>;
}

impl<R: TryCryptoRng + Send> SecureRandom for R {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), RandomError> {
        self.try_fill_bytes(buffer).map_err(|_| RandomError)
    }
}

/// A [`SecureRandom`] in the shape that `rand_core`'s users ask for.
pub struct AsRng<'a>(pub &'a mut dyn SecureRandom);

impl core::fmt::Debug for AsRng<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AsRng")
    }
}

impl TryRng for AsRng<'_> {
    type Error = RandomError;

    fn try_next_u32(&mut self) -> Result<u32, RandomError> {
        let mut octets = [0; 4];
        self.0.fill(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, RandomError> {
        let mut octets = [0; 8];
        self.0.fill(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), RandomError> {
        self.0.fill(dst)
    }
}

impl TryCryptoRng for AsRng<'_> {}
