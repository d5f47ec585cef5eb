//! Packets made by others, octet for octet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketNumber};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};
use serde_json::Value;
use support::{gcm_16, json, keys, list, octets, text};

const ESP_HEADER_LEN: usize = 8;

/// One ESP packet with its keys.
struct Case {
    name: String,
    algorithm: &'static dyn CipherAlgorithm,
    keys: SaKeys,
    number: PacketNumber,
    plain: Vec<u8>,
    packet: Vec<u8>,
}

impl Case {
    /// Opens the packet; opens it with each octet changed in turn; seals it again where its IV is a packet's
    /// number.
    fn check(&self) {
        let name = &self.name;
        let cipher = self.algorithm.with_keys(&self.keys).unwrap();
        let text_at = ESP_HEADER_LEN + cipher.iv_len();
        let icv_at = self.packet.len() - cipher.icv_len();

        let mut opened = self.packet.clone();
        cipher
            .open(self.number, ESP_HEADER_LEN, &mut opened)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(opened[text_at..icv_at], self.plain, "{name}");
        assert_eq!(opened[..text_at], self.packet[..text_at], "{name}: header and IV stay");

        for position in 0..self.packet.len() {
            let mut forged = self.packet.clone();
            forged[position] ^= 0x80;
            assert_eq!(
                cipher.open(self.number, ESP_HEADER_LEN, &mut forged),
                Err(CipherError::IntegrityCheck),
                "{name}: octet {position}"
            );
            assert!(!forged.windows(self.plain.len()).any(|part| part == self.plain), "{name}: plain text");
        }

        if self.algorithm.suite().encr.is_combined() && !self.number.high_in_icv {
            let iv = self.packet[ESP_HEADER_LEN..text_at].try_into().unwrap();
            let mut sealed = opened;
            sealed[ESP_HEADER_LEN..text_at].fill(0xee);
            sealed[icv_at..].fill(0xee);
            let number = PacketNumber::explicit(u64::from_be_bytes(iv));
            cipher.seal(number, ESP_HEADER_LEN, &mut sealed).unwrap();
            assert_eq!(sealed, self.packet, "{name}: sealed");
        }
    }
}

/// draft-mcgrew-gcm-test-01: AES-GCM in ESP, with and without ESN.
#[test]
fn mcgrew_gcm_esp() {
    let file = json(include_str!("vectors/mcgrew_gcm_gmac_esp.json"));
    let cases = list(&file, "gcm");
    for case in cases {
        let key_bits = u16::try_from(case["key_bits"].as_u64().unwrap()).unwrap();
        let low = u32::from_be_bytes(octets(case, "seq_lo").try_into().unwrap());
        let number = if case["esn"].as_bool().unwrap() {
            let high = u32::from_be_bytes(octets(case, "seq_hi").try_into().unwrap());
            PacketNumber::esn(u64::from(high) << 32 | u64::from(low))
        } else {
            PacketNumber::explicit(low.into())
        };
        Case {
            name: text(case, "id").into(),
            algorithm: gcm_16(key_bits),
            keys: keys(&[octets(case, "key"), octets(case, "salt")].concat(), &[]),
            number,
            plain: octets(case, "plaintext_with_trailer"),
            packet: octets(case, "esp_packet"),
        }
        .check();
    }
    assert_eq!(cases.len(), 14);
}

fn suite_of(case: &Value) -> CipherSuite {
    let encr = EncrId(u16::try_from(case["encr_id"].as_u64().unwrap()).unwrap());
    let integ = case["integ"].as_str().map_or(IntegId::NONE, |name| {
        *IntegId::REGISTERED.iter().find(|id| id.name() == Some(name)).expect("a registered name")
    });
    let key_bits = case["key_bits"].as_u64().map(|bits| u16::try_from(bits).unwrap());
    CipherSuite { encr, key_bits, integ }
}

/// Packets that another implementation (Python's `cryptography`) made by the rules of RFC 4303 and the cipher
/// documents. Those of suites that the provider has.
#[test]
fn generated_esp() {
    let file = json(include_str!("vectors/esp_generated.json"));
    let mut checked = Vec::new();
    for case in list(&file, "cases") {
        let Some(algorithm) = RUSTCRYPTO.cipher(suite_of(case)) else { continue };
        let value = u64::from_str_radix(text(case, "seq64"), 16).unwrap();
        let high_in_icv = case["esn"].as_bool().unwrap();
        let keymat = octets(case, "keymat");
        let (encr, integ) = keymat.split_at(algorithm.encr_key_len());
        Case {
            name: text(case, "id").into(),
            algorithm,
            keys: keys(encr, integ),
            number: PacketNumber { value, high_in_icv },
            plain: octets(case, "plaintext_with_trailer"),
            packet: octets(case, "esp_packet"),
        }
        .check();
        checked.push(text(case, "id"));
    }
    assert_eq!(
        checked,
        [
            "gcm16-128",
            "gcm16-256-esn",
            "gcm16-128-tfc",
            "gcm16-128-longpad",
            "gcm16-128-dummy",
            "gcm16-128-empty",
            "cbc128-sha256",
            "cbc128-sha256-esn",
        ]
    );
}

/// Packets that another implementation (Python's `cryptography`, in `vectors/make_sealed.py`) sealed with the
/// IVs that we make of a packet's number.
#[test]
fn sealed_with_our_ivs() {
    let file = json(include_str!("vectors/sealed_generated.json"));
    let cases = list(&file, "cases");
    for case in cases {
        let id = text(case, "id");
        let [encr, integ, header, plain, expected] =
            ["encr_key", "integ_key", "header", "text", "packet"].map(|name| octets(case, name));
        let value = u64::from_str_radix(text(case, "number"), 16).unwrap();
        let number = PacketNumber { value, high_in_icv: case["esn"].as_bool().unwrap() };
        let algorithm = RUSTCRYPTO.cipher(suite_of(case)).unwrap();
        let cipher = algorithm.with_keys(&keys(&encr, &integ)).unwrap();

        // What lay in the buffer where IV and ICV go is of no consequence.
        let room = [header.clone(), vec![0xee; cipher.iv_len()], plain, vec![0xee; cipher.icv_len()]];
        let mut packet = room.concat();
        cipher.seal(number, header.len(), &mut packet).unwrap();
        assert_eq!(packet, expected, "{id}");
        cipher.open(number, header.len(), &mut packet).unwrap();
        assert_eq!(packet[header.len() + cipher.iv_len()..][..room[2].len()], room[2], "{id}");
    }
    assert_eq!(cases.len(), 24);
}

/// Wycheproof: salt and IV are the two parts of its 96-bit nonce, the header is its associated data. The
/// invalid cases have a wrong tag.
#[test]
fn wycheproof_aes_gcm() {
    let file = json(include_str!("vectors/wycheproof_aes_gcm.json"));
    let (mut valid, mut invalid) = (0, 0);
    for case in list(&file, "cases") {
        let id = &case["tcId"];
        let [key, nonce, header, plain] = ["key", "iv", "aad", "msg"].map(|name| octets(case, name));
        let (salt, iv) = nonce.split_at(4);
        let encrypted = [octets(case, "ct"), octets(case, "tag")].concat();
        let algorithm = gcm_16(u16::try_from(8 * key.len()).unwrap());
        let cipher = algorithm.with_keys(&keys(&[&key, salt].concat(), &[])).unwrap();
        let number = PacketNumber::explicit(u64::from_be_bytes(iv.try_into().unwrap()));

        let sealed = [&header, iv, &encrypted].concat();
        let open = [&header, iv, &plain, &encrypted[plain.len()..]].concat();
        let mut packet = sealed.clone();
        let result = cipher.open(number, header.len(), &mut packet);
        if text(case, "result") == "invalid" {
            assert_eq!(result, Err(CipherError::IntegrityCheck), "{id}");
            assert_eq!(packet, sealed, "{id}: a refused packet stays as it came");
            invalid += 1;
            continue;
        }
        assert_eq!(result, Ok(()), "{id}");
        assert_eq!(packet, open, "{id}");
        cipher.seal(number, header.len(), &mut packet).unwrap();
        assert_eq!(packet, sealed, "{id}");
        valid += 1;
    }
    assert_eq!((valid, invalid), (116, 81));
}
