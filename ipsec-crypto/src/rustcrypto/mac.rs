//! Integrity algorithms that are a MAC cut to its first octets: HMAC-SHA2 (RFC 4868 §2.3).

use super::etm::Integrity;
use aead::KeyInit;
use hmac::Mac;
use hmac::digest::typenum::Unsigned;

/// The MAC `M` with a key of `KEY` octets, cut to `ICV` octets.
///
/// The key's schedule, for HMAC the hash states after its two padded keys, is made once; each packet starts
/// from a copy.
pub(super) struct TruncatedMac<M, const KEY: usize, const ICV: usize>(M);

impl<M: Mac + Clone, const KEY: usize, const ICV: usize> TruncatedMac<M, KEY, ICV> {
    fn over(&self, packet: &[u8], unsent: &[u8]) -> M {
        let mut mac = self.0.clone();
        mac.update(packet);
        mac.update(unsent);
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
        const { assert!(ICV <= M::OutputSize::USIZE, "an ICV is a part of the MAC") };
        // HMAC itself takes keys of any length; the integrity algorithm does not (RFC 4868 §2.1.1).
        if key.len() != KEY {
            return None;
        }
        M::new_from_slice(key).ok().map(Self)
    }

    fn compute(&self, packet: &[u8], unsent: &[u8], icv: &mut [u8]) {
        let full = self.over(packet, unsent).finalize();
        if let Some(start) = full.as_bytes().get(..icv.len()) {
            icv.copy_from_slice(start);
        }
    }

    fn verify(&self, packet: &[u8], unsent: &[u8], icv: &[u8]) -> bool {
        self.over(packet, unsent).verify_truncated_left(icv).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_vectors::{json, octets};
    use hmac::Hmac;
    use sha2::{Sha256, Sha384, Sha512};
    use std::vec;

    fn check<M, const KEY: usize, const ICV: usize>(case: &serde_json::Value)
    where
        TruncatedMac<M, KEY, ICV>: Integrity,
    {
        let [key, data, expected] = ["key", "data", "icv"].map(|name| octets(case, name));
        assert_eq!(expected.len(), ICV);
        let mac = TruncatedMac::<M, KEY, ICV>::new(&key).unwrap();
        let mut icv = vec![0; ICV];
        for middle in 0..=data.len() {
            let (head, tail) = data.split_at(middle);
            mac.compute(head, tail, &mut icv);
            assert_eq!(icv, expected);
        }
        assert!(mac.verify(&data, &[], &icv));
        for bit in 0..8 * ICV {
            icv[bit / 8] ^= 1 << (bit % 8);
            assert!(!mac.verify(&data, &[], &icv));
            icv[bit / 8] ^= 1 << (bit % 8);
        }
        for length in (0..=2 * KEY).filter(|&length| length != KEY) {
            assert!(TruncatedMac::<M, KEY, ICV>::new(&vec![1; length]).is_none());
        }
    }

    /// RFC 4868 §2.7.2.
    #[test]
    fn rfc_4868() {
        let file = json(include_str!("../../tests/vectors/rfc4868_hmac_sha2_ipsec.json"));
        let cases = file["auth"].as_array().unwrap();
        assert_eq!(cases.len(), 12);
        for case in cases {
            match case["hash"].as_str() {
                Some("sha256") => check::<Hmac<Sha256>, 32, 16>(case),
                Some("sha384") => check::<Hmac<Sha384>, 48, 24>(case),
                Some("sha512") => check::<Hmac<Sha512>, 64, 32>(case),
                other => panic!("{other:?}"),
            }
        }
    }
}
