//! The data path allocates nothing, whether a packet is good or bad; counted by a global allocator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use allocation_counter::measure;
use ipsec_crypto::{CipherError, PacketNumber};
use ipsec_types::EncrId;
use support::{all_ciphers, counting_keys};

const HEADER_LEN: usize = 8;

#[test]
fn seal_and_open() {
    for algorithm in all_ciphers() {
        let setup = measure(|| drop(counting_keys(algorithm)));
        assert!(setup.count_total > 0, "the counter counts");

        let hides_nothing = matches!(algorithm.suite().encr, EncrId::NULL | EncrId::NULL_AUTH_AES_GMAC);
        let cipher = counting_keys(algorithm);
        for text_len in [0, 16, 64, 1408, 65_520] {
            let mut packet = vec![7; HEADER_LEN + cipher.iv_len() + text_len + cipher.icv_len()];
            for number in [PacketNumber::explicit(1), PacketNumber::esn(1 << 40)] {
                let counted = measure(|| {
                    assert_eq!(cipher.seal(number, HEADER_LEN, &mut packet), Ok(()));
                    assert_eq!(cipher.open(number, HEADER_LEN, &mut packet), Ok(()));
                    // Nothing was there to decrypt, or it is no longer the packet.
                    let again = cipher.open(number, HEADER_LEN, &mut packet);
                    assert_eq!(again.is_ok(), text_len == 0 || hides_nothing, "{algorithm:?}");
                    packet[0] ^= 1;
                    let forged = cipher.open(number, HEADER_LEN, &mut packet);
                    assert_eq!(forged, Err(CipherError::IntegrityCheck));
                    assert!(cipher.open(number, HEADER_LEN, &mut packet[..9]).is_err());
                    assert!(cipher.seal(number, HEADER_LEN, &mut packet[..9]).is_err());
                });
                assert_eq!(counted.count_total, 0, "{algorithm:?}, {text_len} octets");
            }
        }
    }
}
