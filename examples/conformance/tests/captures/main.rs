//! Replays recorded conversations of strongSwan, libreswan and Linux: opens every message with the keys beside it,
//! derives those keys again, proves the AUTH payloads, encodes and seals each message to the same octets, and opens
//! the ESP packets.
//!
//! [`TABLE`] says what is done with each recording, down to the number of packets. Whatever is not built is in it
//! too, so that building it changes the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod auth;
mod child;
mod coverage;
mod esp;
mod ike_sa;
mod message;
mod nat;
mod replay;

use coverage::Coverage;
use ipsec_conformance::{Carries, KeyFile, open_recording, recordings, recordings_folder};
use replay::replay;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A recording, what is expected of it, and why that is not all.
struct Row {
    name: &'static str,
    expected: Coverage,
    left: &'static str,
}

/// Columns as [`Coverage`] has them. IKE: messages; SK opened; SKF opened and put together; not opened; sealed
/// again. Keys: choices accepted; key sets derived; taken as logged. AUTH: signed octets; recomputed; left alone;
/// recomputed from the log alone. NAT: hashes right; claims of a NAT. ESP: one-way SAs with derived keys; with
/// logged ones; packets opened by the engine; by the cipher alone; not opened; pings.
const fn row(
    name: &'static str,
    ike: [usize; 5],
    keys: [usize; 3],
    auth: [usize; 5],
    nat: [usize; 2],
    esp: [usize; 6],
    left: &'static str,
) -> Row {
    let [messages, opened, fragments, closed, sealed] = ike;
    let [choices, key_sets, logged_key_sets] = keys;
    let [signed_octets, auths, signatures, other_auths, logged_auths] = auth;
    let [nat_hashes, nat_claims] = nat;
    let [esp_keys, logged_esp_keys, esp_opened, esp_by_cipher, esp_closed, pings] = esp;
    let expected = Coverage {
        messages,
        opened,
        fragments,
        closed,
        sealed,
        choices,
        key_sets,
        logged_key_sets,
        signed_octets,
        auths,
        signatures,
        other_auths,
        logged_auths,
        nat_hashes,
        nat_claims,
        esp_keys,
        logged_esp_keys,
        esp_opened,
        esp_by_cipher,
        esp_closed,
        pings,
    };
    Row { name, expected, left }
}

/// strongSwan claims a NAT where its ESP is in user space. Messages, SK and SKF payloads and ESP packets were counted
/// in the files by a program that shares no code with this one. The IntAuth of mlkem768-intermediate is the log's.
#[rustfmt::skip]
const TABLE: [Row; 18] = [
    //                                   IKE                 Keys       AUTH             NAT     ESP                  left alone
    row("cert-chain-fragments",          [16,  6, 8, 0, 14], [2, 1, 0], [2, 0, 2, 0, 0], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("childless-chapoly",             [ 8,  6, 0, 0,  6], [2, 1, 0], [2, 2, 0, 0, 2], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("eap-md5",                       [13,  9, 2, 0, 11], [2, 1, 0], [3, 2, 1, 0, 2], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("eap-mschapv2",                  [15, 11, 2, 0, 13], [2, 1, 0], [3, 2, 1, 0, 2], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("ed25519-cbc",                   [ 6,  4, 0, 0,  0], [2, 1, 0], [2, 0, 2, 0, 0], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("kernel-beet",                   [ 8,  6, 0, 0,  6], [2, 1, 0], [2, 2, 0, 0, 2], [4, 0], [2, 0,  0, 6, 0, 3], "BEET mode"),
    row("kernel-esn",                    [ 8,  6, 0, 0,  6], [2, 1, 0], [2, 2, 0, 0, 2], [4, 0], [2, 0,  6, 0, 0, 3], ""),
    row("kernel-iptfs",                  [10,  8, 0, 0,  8], [2, 1, 0], [2, 2, 0, 0, 2], [4, 0], [2, 0,  0, 6, 0, 3], "AGGFRAG"),
    row("kernel-transport",              [ 8,  6, 0, 0,  6], [2, 1, 0], [2, 2, 0, 0, 2], [4, 0], [2, 0,  0, 6, 0, 3], "transport mode"),
    row("libreswan-ppk-rfc9867",         [ 9,  7, 0, 0,  7], [2, 1, 1], [0, 0, 0, 2, 0], [4, 0], [2, 0,  6, 0, 0, 3], "PPK; its log has no IntAuth"),
    row("mlkem512-alone",                [ 6,  4, 0, 0,  4], [2, 1, 0], [2, 2, 0, 0, 0], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("mlkem768-intermediate",         [ 9,  5, 2, 0,  7], [2, 2, 0], [2, 2, 0, 0, 2], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("mobike",                        [20, 18, 0, 0, 18], [3, 1, 0], [2, 2, 0, 0, 2], [4, 4], [4, 0, 12, 0, 0, 6], ""),
    row("ppk-rfc8784",                   [ 6,  4, 0, 0,  4], [2, 1, 1], [2, 2, 0, 0, 2], [2, 2], [2, 0,  6, 0, 0, 3], "PPK"),
    row("psk-x25519",                    [ 6,  4, 0, 0,  4], [2, 1, 0], [2, 2, 0, 0, 2], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("rekey-child-and-ike",           [18, 16, 0, 0, 16], [4, 2, 0], [2, 2, 0, 0, 2], [2, 2], [4, 0, 18, 0, 0, 9], ""),
    row("rsa-pss",                       [10,  4, 4, 0,  8], [2, 1, 0], [2, 0, 2, 0, 0], [2, 2], [2, 0,  6, 0, 0, 3], ""),
    row("strongswan-libreswan-ppk8784",  [ 4,  2, 0, 0,  2], [2, 1, 1], [2, 2, 0, 0, 2], [4, 0], [2, 0,  6, 0, 0, 3], "PPK"),
];

/// One test for each recording, and one list of their names.
macro_rules! tests {
    ($($test:ident $name:literal)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                let row = TABLE.iter().find(|row| row.name == $name).expect("the table has no such row");
                let (packets, keys) = open_recording($name).unwrap();
                assert_eq!(replay(&packets, &keys), row.expected);
            }
        )*
    };
}

tests! {
    cert_chain_fragments "cert-chain-fragments"
    childless_chapoly "childless-chapoly"
    eap_md5 "eap-md5"
    eap_mschapv2 "eap-mschapv2"
    ed25519_cbc "ed25519-cbc"
    kernel_beet "kernel-beet"
    kernel_esn "kernel-esn"
    kernel_iptfs "kernel-iptfs"
    kernel_transport "kernel-transport"
    libreswan_ppk_rfc9867 "libreswan-ppk-rfc9867"
    mlkem512_alone "mlkem512-alone"
    mlkem768_intermediate "mlkem768-intermediate"
    mobike "mobike"
    ppk_rfc8784 "ppk-rfc8784"
    psk_x25519 "psk-x25519"
    rekey_child_and_ike "rekey-child-and-ike"
    rsa_pss "rsa-pss"
    strongswan_libreswan_ppk8784 "strongswan-libreswan-ppk8784"
}

#[test]
fn table_tests_and_folder_name_the_same_recordings() {
    let names = recordings().unwrap();
    assert_eq!(names, TESTED);
    assert_eq!(names, TABLE.each_ref().map(|row| row.name));
}

#[test]
fn the_table_says_what_is_left_alone() {
    for row in &TABLE {
        assert_eq!(row.expected.is_whole(), row.left.is_empty(), "{}", row.name);
    }
}

/// Whether a replay ends without a mismatch and covers what it should.
fn succeeds(name: &str, change: impl FnOnce(&mut Vec<ipsec_conformance::Packet>), keys: &str) -> bool {
    let row = TABLE.iter().find(|row| row.name == name).unwrap();
    let (mut packets, _) = open_recording(name).unwrap();
    change(&mut packets);
    let keys = KeyFile::parse(keys).unwrap();
    catch_unwind(AssertUnwindSafe(|| replay(&packets, &keys))).is_ok_and(|found| found == row.expected)
}

fn key_text(name: &str) -> String {
    std::fs::read_to_string(recordings_folder().join(name).with_extension("keys")).unwrap()
}

/// Every secret of a key file is compared with something: changed in its last digit, it is noticed.
#[test]
fn a_changed_secret_is_noticed() {
    for name in ["psk-x25519", "rekey-child-and-ike", "mlkem768-intermediate", "kernel-transport", "eap-md5"]
    {
        let text = key_text(name);
        assert!(succeeds(name, |_| {}, &text), "{name}");
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains(" proposal ") {
                continue;
            }
            let (rest, digit) = line.trim_end_matches(" -").split_at(line.trim_end_matches(" -").len() - 1);
            let other = if digit == "0" { "1" } else { "0" };
            let after = &line[rest.len() + 1..];
            let changed: Vec<String> = (1..)
                .zip(text.lines())
                .map(|(n, l)| if n == number { format!("{rest}{other}{after}") } else { l.to_owned() })
                .collect();
            assert!(!succeeds(name, |_| {}, &changed.join("\n")), "{name}, line {number}: {line}");
        }
    }
}

/// Every octet of an IKE message is under AUTH or under an ICV: changed in one bit, it is noticed.
#[test]
fn a_changed_octet_is_noticed() {
    let name = "psk-x25519";
    let (text, packets) = (key_text(name), open_recording(name).unwrap().0);
    let mut changed = 0;
    for (index, packet) in packets.iter().enumerate() {
        let Carries::Ike(octets) = &packet.carries else { continue };
        for at in (index..octets.len()).step_by(5) {
            let change = |packets: &mut Vec<ipsec_conformance::Packet>| {
                let Carries::Ike(octets) = &mut packets[index].carries else { panic!("no IKE") };
                octets[at] ^= 0x10;
            };
            assert!(!succeeds(name, change, &text), "frame {}, octet {at}", packet.frame);
            changed += 1;
        }
    }
    assert_eq!(changed, 227);
}
