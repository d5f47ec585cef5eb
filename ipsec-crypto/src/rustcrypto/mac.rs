//! Integrity algorithms that are a MAC cut to its first octets: HMAC-SHA2 (RFC 4868 §2.3), HMAC-SHA1
//! (RFC 2404 §3), AES-XCBC-MAC (RFC 3566 §4.1) and AES-CMAC (RFC 4494 §3).

use super::etm::Integrity;
use super::xcbc::Xcbc;
use crate::cipher::UsageLimits;
use crate::limits;
use aead::KeyInit;
use aes::Aes128;
use cmac::Cmac;
use hmac::Mac;
use hmac::digest::typenum::Unsigned;
use hmac::{EagerHash, Hmac};

/// How long a MAC's key may be used.
pub(super) trait Limited {
    const LIMITS: UsageLimits;
}

impl<H: EagerHash> Limited for Hmac<H> {
    const LIMITS: UsageLimits = limits::HMAC;
}

impl Limited for Xcbc {
    const LIMITS: UsageLimits = limits::AES_MAC;
}

impl Limited for Cmac<Aes128> {
    const LIMITS: UsageLimits = limits::AES_MAC;
}

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
    M: Mac + KeyInit + Limited + Clone + Send + Sync + 'static,
{
    const KEY_LEN: usize = KEY;
    const ICV_LEN: usize = ICV;
    const LIMITS: UsageLimits = M::LIMITS;

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
    use hex_literal::hex;
    use sha1::Sha1;
    use sha2::{Sha256, Sha384, Sha512};
    use std::vec;

    fn check<M, const KEY: usize, const ICV: usize>(case: &serde_json::Value)
    where
        TruncatedMac<M, KEY, ICV>: Integrity,
    {
        let [key, data, expected] = ["key", "data", "icv"].map(|name| octets(case, name));
        check_octets::<M, KEY, ICV>(&key, &data, &expected);
    }

    fn check_octets<M, const KEY: usize, const ICV: usize>(key: &[u8], data: &[u8], expected: &[u8])
    where
        TruncatedMac<M, KEY, ICV>: Integrity,
    {
        assert_eq!(expected.len(), ICV);
        let mac = TruncatedMac::<M, KEY, ICV>::new(key).unwrap();
        let mut icv = vec![0; ICV];
        for middle in 0..=data.len() {
            let (head, tail) = data.split_at(middle);
            mac.compute(head, tail, &mut icv);
            assert_eq!(icv, expected);
        }
        assert!(mac.verify(data, &[], &icv));
        for bit in 0..8 * ICV {
            icv[bit / 8] ^= 1 << (bit % 8);
            assert!(!mac.verify(data, &[], &icv));
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

    /// RFC 2202 §3, the cases whose keys have 20 octets, cut to 96 bits (RFC 2404 §3).
    #[test]
    fn rfc_2202() {
        for (key, data, expected) in [
            ([0x0b; 20], b"Hi There".to_vec(), hex!("b617318655057264e28bc0b6")),
            ([0xaa; 20], vec![0xdd; 50], hex!("125d7342b9ac11cd91a39af4")),
            ([0x0c; 20], b"Test With Truncation".to_vec(), hex!("4c1a03424b55e07fe7f27be1")),
        ] {
            check_octets::<Hmac<Sha1>, 20, 12>(&key, &data, &expected);
        }
    }

    /// RFC 3566 §4.6.
    #[test]
    fn rfc_3566() {
        let file = json(include_str!("../../tests/vectors/rfc3566_aes_xcbc_mac_96.json"));
        let cases = file["vectors"].as_array().unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let [key, message, icv] = ["key", "message", "icv"].map(|name| octets(case, name));
            check_octets::<Xcbc, 16, 12>(&key, &message, &icv);
        }
    }

    /// RFC 4494 §5.
    #[test]
    fn rfc_4494() {
        let file = json(include_str!("../../tests/vectors/rfc4494_aes_cmac_96.json"));
        let key = octets(&file, "key");
        let cases = file["vectors"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let [message, icv] = ["message", "icv"].map(|name| octets(case, name));
            check_octets::<Cmac<Aes128>, 16, 12>(&key, &message, &icv);
        }
    }
}
