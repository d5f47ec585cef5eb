//! Sealed states: octets as Python makes them, what is refused, and fields.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::state::{StateError, StateKey, StateKind, StateReader, StateWriter, name_of};
use ipsec_crypto::{CipherError, CryptoProvider};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{PacketSelectors, SaKeys};
use ipsec_types::{AddressRange, EncrId, EspSpi, IkeSpi, IntegId, PortRange, SecretBytes, TrafficSelector};
use proptest::prelude::*;
use std::net::IpAddr;
use std::time::Duration;

fn key(seed: u8) -> StateKey {
    let octets: Vec<u8> = (0..32).map(|octet| octet + seed).collect();
    StateKey::new(&RUSTCRYPTO, &octets).unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

const STATE: &[u8] = b"a pair of SAs, or what else is to move";

/// A kind that there is none of yet.
const OTHER_KIND: StateKind = StateKind(255);

/// Made by Python from `hmac`, `hashlib` and AESGCM of `cryptography` by the formulas of the module, with the key
/// 00 01 … 1f.
#[test]
fn as_python_makes_it() {
    let sealed = from_hex(
        "01010000993fceb7936174a33ddd41867ee13ad3d047aac6795d3090924d6f4f8718ff050000000000000001ebdc827574b32759\
         708ce9db9e9861d6716c20a7bfdf266f09df8d7b879527223caff5876c9b002c36d78e891dca10ffa96f1dcf60a9",
    );
    assert_eq!(key(0).seal(StateKind::CHILD_SA, STATE).unwrap(), sealed);
    assert_eq!(key(0).open(StateKind::CHILD_SA, &sealed).unwrap().as_slice(), STATE);
}

/// The cipher's key depends on all that is sealed: nothing else differs from one container to the next, so none may be
/// the same for two states.
#[test]
fn each_state_has_its_own_synthetic_iv() {
    let siv = |kind, state: &[u8]| key(0).seal(kind, state).unwrap()[4..36].to_vec();
    let mut sivs = vec![siv(StateKind::CHILD_SA, STATE), siv(OTHER_KIND, STATE)];
    for at in 0..STATE.len() {
        let mut other = STATE.to_vec();
        other[at] ^= 1;
        sivs.push(siv(StateKind::CHILD_SA, &other));
    }
    sivs.push(siv(StateKind::CHILD_SA, &STATE[1..]));
    sivs.push(siv(StateKind::CHILD_SA, &[]));
    let count = sivs.len();
    sivs.sort();
    sivs.dedup();
    assert_eq!(sivs.len(), count);
}

#[test]
fn every_truncation_and_every_flipped_bit() {
    let key = key(0);
    let sealed = key.seal(StateKind::CHILD_SA, STATE).unwrap();
    for len in 0..sealed.len() {
        let error = key.open(StateKind::CHILD_SA, &sealed[..len]).unwrap_err();
        let expected = match len {
            0..36 => StateError::TooShort { got: len, needed: 36 },
            36..60 => StateError::TooShort { got: len, needed: 60 },
            _ => StateError::Cipher(CipherError::IntegrityCheck),
        };
        assert_eq!(error, expected, "{len}");
    }
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = key.open(StateKind::CHILD_SA, &changed).unwrap_err();
        let expected = match bit / 8 {
            0 => StateError::Version(changed[0]),
            1 => StateError::Kind(StateKind(changed[1])),
            _ => StateError::Cipher(CipherError::IntegrityCheck),
        };
        assert_eq!(error, expected, "bit {bit}");
    }
}

#[test]
fn another_key_and_another_kind() {
    let sealed = key(0).seal(StateKind::CHILD_SA, STATE).unwrap();
    let forged = StateError::Cipher(CipherError::IntegrityCheck);
    assert_eq!(key(1).open(StateKind::CHILD_SA, &sealed).unwrap_err(), forged);
    let error = key(0).open(OTHER_KIND, &sealed).unwrap_err();
    assert_eq!(error, StateError::Kind(StateKind::CHILD_SA));
    assert!(!format!("{:?}", key(0)).contains("31"));
}

#[test]
fn keys_and_providers_that_do_not_do() {
    let error = StateKey::new(&RUSTCRYPTO, &[1; 31]).unwrap_err();
    assert_eq!(error, StateError::KeyLength { got: 31, needed: 32 });
    for poor in [CryptoProvider { ciphers: &[], ..RUSTCRYPTO }, CryptoProvider { prfs: &[], ..RUSTCRYPTO }] {
        let error = StateKey::new(&poor, &[1; 32]).unwrap_err();
        assert_eq!(error, StateError::Unsupported(RUSTCRYPTO.name));
    }
}

/// The octets of each kind of field, as the module describes them.
#[test]
fn fields_on_the_wire() {
    let mut w = StateWriter::new();
    w.put_u8(1);
    w.put_u16(2);
    w.put_u32(3);
    w.put_u64(4);
    w.put_bool(true);
    w.put_duration(Duration::from_nanos(5));
    w.put_octets(b"xy");
    w.put_address("192.0.2.1".parse().unwrap());
    w.put_socket_address("[2001:db8::1]:500".parse().unwrap());
    w.put_option(Some(6), StateWriter::put_u8);
    w.put_option(None, StateWriter::put_u8);
    w.put_list(&[7, 8], |w, value| w.put_u8(*value));
    let expected = from_hex(
        "010002000000030000000000000004010000000000000005000000027879\
         04c00002010620010db800000000000000000000000101f401060000000002\
         0708",
    );
    assert_eq!(w.as_slice(), expected);
    let read = |r: &mut StateReader<'_>| -> Result<(), StateError> {
        assert_eq!((r.u8()?, r.u16()?, r.u32()?, r.u64()?, r.bool()?), (1, 2, 3, 4, true));
        assert_eq!((r.duration()?, r.octets()?), (Duration::from_nanos(5), &b"xy"[..]));
        assert_eq!(r.address()?, "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(r.socket_address()?, "[2001:db8::1]:500".parse().unwrap());
        assert_eq!((r.option(StateReader::u8)?, r.option(StateReader::u8)?), (Some(6), None));
        assert_eq!(r.list(StateReader::u8)?, [7, 8]);
        Ok(())
    };
    let mut r = StateReader::new(&expected);
    read(&mut r).unwrap();
    r.finish().unwrap();
    for len in 0..expected.len() {
        let error = read(&mut StateReader::new(&expected[..len])).unwrap_err();
        assert!(matches!(error, StateError::Truncated { at } if at <= len), "{len}: {error}");
    }
    let mut longer = StateReader::new(&[0; 2]);
    assert_eq!(longer.u8(), Ok(0));
    assert_eq!(longer.finish(), Err(StateError::Surplus { at: 1 }));
}

#[test]
fn fields_that_lie() {
    assert!(matches!(StateReader::new(&[2]).bool(), Err(StateError::Value { at: 0, .. })));
    assert!(matches!(StateReader::new(&[5, 0, 0, 0, 0]).address(), Err(StateError::Value { at: 0, .. })));
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 1];
    assert_eq!(StateReader::new(&huge).octets(), Err(StateError::Truncated { at: 0 }));
    // A count that lies takes no memory.
    let info = allocation_counter::measure(|| {
        assert_eq!(StateReader::new(&huge).list(StateReader::u64), Err(StateError::Truncated { at: 0 }));
    });
    assert_eq!(info.bytes_total, 0);
}

proptest! {
    /// States of every length come back, and readers of anything end without a panic.
    #[test]
    fn any_state(state in prop::collection::vec(any::<u8>(), 0..2_000), seed in 0u8..200) {
        let key = key(seed);
        let sealed = key.seal(StateKind::CHILD_SA, &state).unwrap();
        prop_assert_eq!(sealed.len(), state.len() + 60);
        let opened = key.open(StateKind::CHILD_SA, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), &state[..]);
        let mut r = StateReader::new(&state);
        while r.octets().is_ok() && r.option(StateReader::socket_address).is_ok() {}
        let _may_be_broken = key.open(StateKind::CHILD_SA, &state);
    }
}

/// What IKE and ESP both speak of; the octets of a whole pair are pinned by `ipsec-esp`.
#[test]
fn values_on_the_wire() {
    let keys = SaKeys { encr: SecretBytes::copy_from(&[1, 2]), integ: SecretBytes::copy_from(&[3]) };
    let suite = CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(256), integ: IntegId::NONE };
    let ports = PortRange::new(500, 501).unwrap();
    let address = AddressRange::single("192.0.2.1".parse().unwrap());
    let packet = PacketSelectors {
        source: TrafficSelector { addresses: address, protocol: 17, ports },
        destination: TrafficSelector { addresses: address, protocol: 0, ports: PortRange::OPAQUE },
    };
    let mut w = StateWriter::new();
    w.put_ike_spi(IkeSpi::new(0x0102).unwrap());
    w.put_esp_spi(EspSpi::new(0x0304).unwrap());
    w.put_keys(&keys);
    w.put_suite(suite);
    w.put_packet_selectors(&packet);
    w.put_one_of(&['a', 'b'], &'b');
    let expected = from_hex(
        "0000000000000102000003040000000201020000000103001401010000\
         0004c000020104c00002011101f401f504c000020104c000020100ffff000002",
    );
    assert_eq!(w.as_slice(), expected);
    let mut r = StateReader::new(&expected);
    assert_eq!((r.ike_spi().unwrap().get(), r.esp_spi().unwrap().get()), (0x0102, 0x0304));
    assert_eq!((r.keys().unwrap(), r.suite().unwrap()), (keys, suite));
    assert_eq!((r.packet_selectors().unwrap(), r.one_of(&['a', 'b'], "letter").unwrap()), (packet, 'b'));
    r.finish().unwrap();

    // No SPI is 0, no range ends before it begins, and what is not in the list is none of it.
    let value = |what| StateError::Value { at: 0, what };
    assert_eq!(StateReader::new(&[0; 8]).ike_spi(), Err(value("SPI")));
    assert_eq!(StateReader::new(&[0; 4]).esp_spi(), Err(value("SPI")));
    let backwards = from_hex("04c000020204c00002010000000000");
    assert_eq!(StateReader::new(&backwards).selector(), Err(value("range of addresses")));
    for place in [0, 3, 255] {
        assert_eq!(StateReader::new(&[place]).one_of(&['a', 'b'], "letter"), Err(value("letter")));
    }
}

/// Containers are known by their synthetic IV.
#[test]
fn names() {
    let one = key(0).seal(StateKind::CHILD_SA, STATE).unwrap();
    assert_eq!(name_of(&one), Some(one[4..36].try_into().unwrap()));
    assert_eq!(name_of(&one[..35]), None);
    let other = key(0).seal(OTHER_KIND, STATE).unwrap();
    assert_ne!(name_of(&one), name_of(&other));
}
