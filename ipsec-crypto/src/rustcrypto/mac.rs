//! Integrity algorithms that are a MAC cut to its first octets: HMAC-SHA2 (RFC 4868 §2.3).

use super::etm::Integrity;
use aead::KeyInit;
use hmac::Mac;

/// The MAC `M` with a key of `KEY` octets, cut to `ICV` octets.
///
/// The key's schedule, for HMAC the hash states after its two padded keys, is made once; each packet starts
/// from a copy.
pub(super) struct TruncatedMac<M, const KEY: usize, const ICV: usize>(M);

impl<M: Mac + Clone, const KEY: usize, const ICV: usize> TruncatedMac<M, KEY, ICV> {
    fn over(&self, parts: [&[u8]; 4]) -> M {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

impl<M, const KEY: usize, const ICV: usize> Integrity for TruncatedMac<M, KEY, ICV>
where
    M: Mac + KeyInit + Clone + Send + Sync + 'static,
{
    const KEY_LEN: usize = KEY;
    const ICV_LEN: usize = ICV;

    fn new(key: &[u8]) -> Option<Self> {
        // HMAC itself takes keys of any length; the integrity algorithm does not (RFC 4868 §2.1.1).
        if key.len() != KEY {
            return None;
        }
        M::new_from_slice(key).ok().map(Self)
    }

    fn compute(&self, parts: [&[u8]; 4], icv: &mut [u8]) {
        let full = self.over(parts).finalize();
        for (octet, full) in icv.iter_mut().zip(full.as_bytes()) {
            *octet = *full;
        }
    }

    fn verify(&self, parts: [&[u8]; 4], icv: &[u8]) -> bool {
        self.over(parts).verify_truncated_left(icv).is_ok()
    }
}
