//! IntAuth of RFC 9242 §3.3.2 against values that another program (Python's `hmac`) computed from the formulas alone:
//! two exchanges, the keys changed by the first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use hex_literal::hex;
use ikev2_core::Role;
use ikev2_core::establish::intermediate::{Covered, IntAuth};
use ikev2_core::exchange::protect::MessageHead;
use ikev2_core::keys::IkeKeys;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{Flags, Payload, Payloads};
use ipsec_crypto::rustcrypto::HMAC_SHA2_256;
use ipsec_types::{IkeSpi, SecretBytes};

const SK_PI: [[u8; 32]; 2] = [
    hex!("f4d9f877d73606ca959fbdb34f746d24f8939191f8d3af60fc816d7edfca54ae"),
    hex!("3eb01aed416dd183029f0ef26d95a00aa876cc2e1a13ef759981e1a1c8f47c29"),
];
const SK_PR: [[u8; 32]; 2] = [
    hex!("0e23cdb44dc9e8476619d587774b27a4824b6c47d2e341e57237e03458c7e3e9"),
    hex!("f292f9ad3bbb3ae445fc75d2be67a8653b53005e35ade6b275e89b280ba41453"),
];
const INT_AUTH: [u8; 68] = hex!(
    "3cac5c2a36733e7daf3cdbfee131f6b037615ec72e4245a663b27bccdb1845ee"
    "ba11582739ed82539041aaf9ca5ebf2b25ec820c66e4971de2d1470e29aab612"
    "00000003"
);

/// Who sent it, the first payload's type, what is in front of the encrypted octets, and what is in them.
const MESSAGES: [(Role, PayloadType, &[u8], &[u8]); 4] = [
    (
        Role::Initiator,
        PayloadType::KE,
        &hex!("010203040506070811121314151617182e202b08000000010000002c22000010"),
        &hex!("0000000c00240000deadbeef"),
    ),
    (
        Role::Responder,
        PayloadType::KE,
        &hex!("010203040506070811121314151617182e202b20000000010000002c22000010"),
        &hex!("0000000c00240000cafef00d"),
    ),
    (
        Role::Initiator,
        PayloadType::NOTIFY,
        &hex!("010203040506070811121314151617182e202b0800000002000000362900001a"),
        &hex!("000000160000403e0270706b2d312df211686708367f"),
    ),
    (
        Role::Responder,
        PayloadType::NOTIFY,
        &hex!("010203040506070811121314151617182e202b20000000020000002e29000012"),
        &hex!("0000000e000040340270706b2d31"),
    ),
];

/// The keys of an exchange, as far as they enter.
fn keys(exchange: usize) -> IkeKeys {
    let none = SecretBytes::zeroed(0);
    let [d, ai, ar, ei, er] = [&none; 5].map(SecretBytes::clone);
    let [pi, pr] = [SK_PI, SK_PR].map(|of| SecretBytes::copy_from(&of[exchange]));
    IkeKeys { d, ai, ar, ei, er, pi, pr }
}

fn of(cover: impl Fn(usize) -> Covered) -> IntAuth {
    let mut int_auth = IntAuth::default();
    for exchange in [0, 1] {
        let (request, answer) = (cover(2 * exchange), cover(2 * exchange + 1));
        int_auth.add(HMAC_SHA2_256, &keys(exchange), &request, &answer);
    }
    int_auth
}

/// The head of a received message is taken with other lengths than it counts with: those of what was on the wire.
#[test]
fn of_messages_that_came() {
    let int_auth = of(|at| {
        let (_, _, head, inner) = MESSAGES[at];
        let mut head = head.to_vec();
        head[24..28].fill(0xff);
        head[30..].fill(0xff);
        Covered::of(head, inner.to_vec()).unwrap()
    });
    assert_eq!(int_auth.octets(), INT_AUTH);
    assert_eq!(int_auth.auth_id(), 3);
}

#[test]
fn of_messages_that_are_sent() {
    let spi = |spi| IkeSpi::new(spi).unwrap();
    let int_auth = of(|at| {
        let (sender, first, _, inner) = MESSAGES[at];
        let head = MessageHead {
            initiator_spi: spi(0x0102_0304_0506_0708),
            responder_spi: Some(spi(0x1112_1314_1516_1718)),
            exchange: ExchangeType::IKE_INTERMEDIATE,
            flags: Flags::new(sender == Role::Initiator, sender == Role::Responder),
            message_id: at as u32 / 2 + 1,
        };
        let payloads: Vec<Payload<'_>> =
            Payloads::parse(first, inner, 0).unwrap().map(|raw| raw.decode().unwrap()).collect();
        Covered::sent(&head, &payloads).unwrap()
    });
    assert_eq!(int_auth.octets(), INT_AUTH);
}

/// Without an exchange nothing is added to the octets that AUTH covers; a head that is none is refused.
#[test]
fn what_is_none() {
    assert!(IntAuth::default().octets().is_empty());
    for len in [0, 1, 27, 28, 29] {
        assert_eq!(Covered::of(vec![0; len], vec![]), None, "{len}");
    }
    assert!(Covered::of(vec![0; 32], vec![0; 65_531]).is_some());
    assert_eq!(Covered::of(vec![0; 32], vec![0; 65_532]), None);
}
