//! NULL encryption (RFC 2410), for packets that are authenticated and not hidden. ESP only.

use super::etm::Encryption;
use crate::cipher::UsageLimits;
use crate::limits;

/// The identity.
pub(super) struct Null;

impl Encryption for Null {
    const KEY_LEN: usize = 0;
    const SALT_LEN: usize = 0;
    const IV_LEN: usize = 0;
    const BLOCK_LEN: usize = 1;
    const FOR_IKE: bool = false;
    const LIMITS: UsageLimits = limits::NONE;

    fn new(key: &[u8]) -> Option<Self> {
        key.is_empty().then_some(Self)
    }

    fn encrypt(&self, _: u64, _: &mut [u8]) {}

    fn decrypt(&self, _: &mut [u8]) {}
}
