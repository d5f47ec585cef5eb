//! Keys and packets that must be refused, for every suite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketCipher, PacketNumber};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{EncrId, IntegId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use support::{all_ciphers, counting_keys, keys};

const ESP_HEADER_LEN: usize = 8;
const ESN: PacketNumber = PacketNumber::esn(0x0102_0304_0000_0007);

/// A sealed packet of a recognisable text of three blocks.
fn sealed(cipher: &dyn PacketCipher, number: PacketNumber) -> (Vec<u8>, Vec<u8>) {
    let text: Vec<u8> = (0..48).map(|octet| octet ^ 0x55).collect();
    let header: Vec<u8> = (0xa0..).take(ESP_HEADER_LEN).collect();
    let mut packet = [header, vec![0; cipher.iv_len()], text.clone(), vec![0; cipher.icv_len()]].concat();
    cipher.seal(number, ESP_HEADER_LEN, &mut packet).unwrap();
    (packet, text)
}

fn for_all(check: impl Fn(&'static dyn CipherAlgorithm, &dyn PacketCipher)) {
    assert_eq!(RUSTCRYPTO.ciphers.len(), 71);
    for algorithm in all_ciphers() {
        check(algorithm, &*counting_keys(algorithm));
    }
}

#[test]
fn keys_of_any_other_length() {
    for algorithm in all_ciphers() {
        assert!(algorithm.encr_key_len() <= 80 && algorithm.integ_key_len() <= 80);
        let (encr_len, integ_len) = (algorithm.encr_key_len(), algorithm.integ_key_len());
        for got in (0..=80).filter(|&got| got != encr_len) {
            let error = algorithm.with_keys(&keys(&vec![1; got], &vec![1; integ_len])).err();
            assert_eq!(error, Some(CipherError::KeyLength { expected: encr_len, got }), "{algorithm:?}");
        }
        for got in (0..=80).filter(|&got| got != integ_len) {
            let error = algorithm.with_keys(&keys(&vec![1; encr_len], &vec![1; got])).err();
            assert_eq!(error, Some(CipherError::KeyLength { expected: integ_len, got }), "{algorithm:?}");
        }
    }
}

/// Whether the text can be read in the packet.
fn hides_nothing(algorithm: &dyn CipherAlgorithm) -> bool {
    matches!(algorithm.suite().encr, EncrId::NULL | EncrId::NULL_AUTH_AES_GMAC)
}

#[test]
fn every_bit_flipped_in_turn() {
    for_all(|algorithm, cipher| {
        for number in [PacketNumber::explicit(7), ESN] {
            let (packet, text) = sealed(cipher, number);
            for bit in 0..8 * packet.len() {
                let mut forged = packet.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                let result = cipher.open(number, ESP_HEADER_LEN, &mut forged);
                assert_eq!(result, Err(CipherError::IntegrityCheck), "{algorithm:?}: bit {bit}");
                assert!(
                    no_block_of(&text, &forged) || hides_nothing(algorithm),
                    "{algorithm:?}: plain text after bit {bit}"
                );
            }
            let mut packet = packet;
            cipher.open(number, ESP_HEADER_LEN, &mut packet).unwrap();
            assert!(!no_block_of(&text, &packet), "the check sees plain text where there is some");
        }
    });
}

fn no_block_of(text: &[u8], packet: &[u8]) -> bool {
    text.chunks(4).all(|part| !packet.windows(part.len()).any(|window| window == part))
}

/// The high half is authenticated in every bit, though none of them is sent; and it is no longer the same
/// packet where the other side takes none into account.
#[test]
fn another_high_half() {
    for_all(|algorithm, cipher| {
        let (packet, _) = sealed(cipher, ESN);
        for bit in 32..64 {
            let number = PacketNumber::esn(ESN.value ^ 1 << bit);
            let result = cipher.open(number, ESP_HEADER_LEN, &mut packet.clone());
            assert_eq!(result, Err(CipherError::IntegrityCheck), "{algorithm:?}: bit {bit}");
        }
        let number = PacketNumber::explicit(ESN.value);
        let result = cipher.open(number, ESP_HEADER_LEN, &mut packet.clone());
        assert_eq!(result, Err(CipherError::IntegrityCheck), "{algorithm:?}");
    });
}

#[test]
fn packets_cut_short() {
    for_all(|algorithm, cipher| {
        let number = PacketNumber::explicit(7);
        let (packet, _) = sealed(cipher, number);
        let smallest = ESP_HEADER_LEN + cipher.iv_len() + cipher.icv_len();
        for got in 0..packet.len() {
            let mut cut = packet[..got].to_vec();
            let whole_blocks = got >= smallest && (got - smallest).is_multiple_of(cipher.block_len());
            let expected =
                if whole_blocks { CipherError::IntegrityCheck } else { CipherError::PacketLength { got } };
            assert_eq!(cipher.open(number, ESP_HEADER_LEN, &mut cut), Err(expected), "{algorithm:?}: {got}");
        }
        for got in 0..smallest {
            let mut room = vec![0xee; got];
            let error = Err(CipherError::PacketLength { got });
            assert_eq!(cipher.seal(number, ESP_HEADER_LEN, &mut room), error, "{algorithm:?}: {got}");
            assert!(room.iter().all(|&octet| octet == 0xee), "{algorithm:?}: {got}");
        }
    });
}

#[test]
fn header_lengths_out_of_bounds() {
    for_all(|_, cipher| {
        let room = 64 - cipher.icv_len() - cipher.iv_len();
        for header_len in [room + 1, 64, 65, usize::MAX] {
            let mut packet = [0xee; 64];
            let error = Err(CipherError::PacketLength { got: 64 });
            assert_eq!(cipher.seal(PacketNumber::explicit(1), header_len, &mut packet), error);
            assert_eq!(cipher.open(PacketNumber::explicit(1), header_len, &mut packet), error);
            assert_eq!(packet, [0xee; 64]);
        }
    });
}

#[test]
fn text_of_broken_blocks() {
    for_all(|algorithm, cipher| {
        let fixed = ESP_HEADER_LEN + cipher.iv_len() + cipher.icv_len();
        for text_len in (1_usize..=33).filter(|length| !length.is_multiple_of(cipher.block_len())) {
            let got = fixed + text_len;
            let mut packet = vec![0xee; got];
            let error = Err(CipherError::PacketLength { got });
            let number = PacketNumber::explicit(7);
            assert_eq!(cipher.seal(number, ESP_HEADER_LEN, &mut packet), error, "{algorithm:?}");
            assert_eq!(cipher.open(number, ESP_HEADER_LEN, &mut packet), error, "{algorithm:?}");
            assert!(packet.iter().all(|&octet| octet == 0xee), "{algorithm:?}");
        }
    });
    let blocks = |algorithm: &&&dyn CipherAlgorithm| counting_keys(**algorithm).block_len() == 16;
    assert_eq!(RUSTCRYPTO.ciphers.iter().filter(blocks).count(), 18, "AES-CBC has blocks");
}

/// An implied high half belongs between the fields of an ESP header; there is no such place in another one.
#[test]
fn implied_high_half_with_another_header() {
    for_all(|algorithm, cipher| {
        for got in (0..=32).filter(|&length| length != ESP_HEADER_LEN) {
            let mut packet = vec![0xee; got + cipher.iv_len() + 16 + cipher.icv_len()];
            let error = Err(CipherError::EsnHeaderLength { got });
            assert_eq!(cipher.seal(ESN, got, &mut packet), error, "{algorithm:?}");
            assert_eq!(cipher.open(ESN, got, &mut packet), error, "{algorithm:?}");
            assert!(packet.iter().all(|&octet| octet == 0xee), "{algorithm:?}");
        }
    });
}

#[test]
fn another_key() {
    for_all(|algorithm, cipher| {
        let number = PacketNumber::explicit(7);
        let (packet, _) = sealed(cipher, number);
        let encr = vec![3; algorithm.encr_key_len()];
        let integ = vec![3; algorithm.integ_key_len()];
        let other = algorithm.with_keys(&keys(&encr, &integ)).unwrap();
        let result = other.open(number, ESP_HEADER_LEN, &mut packet.clone());
        assert_eq!(result, Err(CipherError::IntegrityCheck), "{algorithm:?}");
    });
}

#[test]
fn suites_that_are_not_there() {
    let gcm = CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(128), integ: IntegId::NONE };
    assert!(RUSTCRYPTO.cipher(gcm).is_some());
    for suite in [
        CipherSuite { key_bits: None, ..gcm },
        CipherSuite { key_bits: Some(129), ..gcm },
        CipherSuite { integ: IntegId::HMAC_SHA2_256_128, ..gcm },
        CipherSuite { encr: EncrId::AES_CBC, ..gcm },
        CipherSuite { encr: EncrId::DES, ..gcm },
        CipherSuite { encr: EncrId::CHACHA20_POLY1305, key_bits: Some(256), ..gcm },
        CipherSuite { encr: EncrId::NULL, key_bits: None, ..gcm },
        CipherSuite { encr: EncrId::NULL_AUTH_AES_GMAC, integ: IntegId::AES_128_GMAC, ..gcm },
        CipherSuite { encr: EncrId(65535), ..gcm },
    ] {
        assert!(RUSTCRYPTO.cipher(suite).is_none(), "{suite}");
    }
}

proptest! {
    /// Whatever the buffer, its header and its number are: either an error that leaves the buffer alone, or a
    /// packet that opens to the text it was made of, and under no other number that takes part in it.
    #[test]
    fn arbitrary_packets(
        algorithm in select(all_ciphers().collect::<Vec<_>>()),
        packet in vec(any::<u8>(), 0..200),
        header_len in prop_oneof![Just(ESP_HEADER_LEN), 0..220_usize, Just(usize::MAX)],
        value in any::<u64>(),
        high_in_icv in any::<bool>(),
    ) {
        let cipher = counting_keys(algorithm);
        let number = PacketNumber { value, high_in_icv };
        prop_assert!(cipher.open(number, header_len, &mut packet.clone()).is_err());
        let mut sealed = packet.clone();
        if cipher.seal(number, header_len, &mut sealed).is_err() {
            prop_assert_eq!(sealed, packet);
            return Ok(());
        }
        let mut opened = sealed.clone();
        prop_assert_eq!(cipher.open(number, header_len, &mut opened), Ok(()));
        let text = header_len + cipher.iv_len()..packet.len() - cipher.icv_len();
        prop_assert_eq!(&opened[text.clone()], &packet[text]);
        prop_assert_eq!(&opened[..header_len], &packet[..header_len]);
        // An implicit IV makes every bit of the number count, whether it is authenticated by itself or not.
        let implicit = matches!(
            algorithm.suite().encr,
            EncrId::AES_CCM_8_IIV | EncrId::AES_GCM_16_IIV | EncrId::CHACHA20_POLY1305_IIV
        );
        if implicit {
            let other = PacketNumber { value: value ^ 1, high_in_icv };
            let result = cipher.open(other, header_len, &mut sealed.clone());
            prop_assert_eq!(result, Err(CipherError::IntegrityCheck));
        }
        if high_in_icv {
            let other = PacketNumber::esn(value ^ 1 << 32);
            prop_assert_eq!(cipher.open(other, header_len, &mut sealed), Err(CipherError::IntegrityCheck));
        }
    }
}
