//! NIST's Public Key Interoperability Test Suite for path validation (PKITS 1.0.1), but its sections on certificate
//! policies: where the data is from stands in `pkits/pack.py`.
#![cfg(feature = "x509")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_core::cert::x509::{self, Purpose, X509Verifier};
use ikev2_core::cert::{ChainError, ChainQuestion, ChainVerifier};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_types::UnixTime;

const FILES: &[u8] = include_bytes!("pkits/files.bin");
const CASES: &str = include_str!("pkits/cases.txt");

/// 2020-01-01, within the validity of NIST's certificates.
const NOW: UnixTime = UnixTime(1_577_836_800);

/// Valid by RFC 5280 and refused all the same, with the reason. Nothing is taken that is invalid.
const STRICTER: &[(&str, &[&str])] = &[
    ("DSA is no algorithm of ours", &["4.1.4", "4.1.5"]),
    ("a date before 1970", &["4.2.3"]),
    (
        "names of issuers are compared octet for octet",
        &["4.3.3", "4.3.4", "4.3.5", "4.3.6", "4.3.10", "4.3.11"],
    ),
    ("an authority that signs lists by another key", &["4.4.19", "4.5.1", "4.5.3"]),
    ("self-issued certificates count for the path length", &["4.6.8", "4.6.14", "4.6.15", "4.6.17"]),
    (
        "directory names, mailboxes and URIs that are constrained",
        &[
            "4.13.1", "4.13.4", "4.13.5", "4.13.6", "4.13.11", "4.13.14", "4.13.18", "4.13.19", "4.13.21",
            "4.13.23", "4.13.25", "4.13.27", "4.13.34", "4.13.36",
        ],
    ),
    (
        "lists that are indirect, deltas, partial or of another distribution point",
        &[
            "4.14.1", "4.14.4", "4.14.5", "4.14.7", "4.14.13", "4.14.18", "4.14.19", "4.14.22", "4.14.24",
            "4.14.25", "4.14.28", "4.14.29", "4.14.30", "4.14.33", "4.15.2", "4.15.5", "4.15.7", "4.15.8",
        ],
    ),
];

struct Case {
    section: &'static str,
    valid: bool,
    name: &'static str,
    certificates: Vec<&'static [u8]>,
    lists: Vec<Vec<u8>>,
}

fn place(text: &str) -> &'static [u8] {
    let (at, len) = text.split_once('+').unwrap();
    let at: usize = at.parse().unwrap();
    &FILES[at..at + len.parse::<usize>().unwrap()]
}

fn cases() -> Vec<Case> {
    let lines = CASES.lines().skip(1).map(|line| line.split(' ').collect::<Vec<_>>());
    let of = |fields: Vec<&'static str>| Case {
        section: fields[0],
        valid: fields[1] == "valid",
        name: fields[2],
        certificates: fields[3].split(',').map(place).collect(),
        lists: fields[4].split(',').map(|list| place(list).to_vec()).collect(),
    };
    lines.map(of).collect()
}

fn anchor() -> Vec<u8> {
    place(CASES.lines().next().unwrap().strip_prefix("anchor ").unwrap()).to_vec()
}

fn verify(case: &Case) -> Result<(), String> {
    let verifier = X509Verifier::new([anchor()]).unwrap().purpose(Purpose::Ike);
    let verifier =
        verifier.with_revocation_lists(case.lists.clone(), false).map_err(|error| error.to_string())?;
    let Some(peer) = x509::subject(case.certificates[0]) else { return Err("no subject".into()) };
    let question =
        ChainQuestion { peer: &peer, certificates: &case.certificates, now: Some(NOW), crypto: &RUSTCRYPTO };
    verifier.verify(&question).map(drop).map_err(|error: ChainError| error.to_string())
}

#[test]
fn no_invalid_path_is_taken_and_valid_ones_but_these_are() {
    let (mut taken, mut refused, mut stricter) = (0, 0, Vec::new());
    for case in cases() {
        match (case.valid, verify(&case)) {
            (true, Ok(())) => taken += 1,
            (false, Err(_)) => refused += 1,
            (true, Err(_)) => stricter.push(case.section),
            (false, Ok(())) => panic!("{} {} is taken", case.section, case.name),
        }
    }
    let known: Vec<_> = STRICTER.iter().flat_map(|(_, sections)| *sections).copied().collect();
    assert_eq!(stricter, known);
    assert_eq!((taken, refused, stricter.len()), (21, 92, 48));
}
