//! What has gone wrong in other implementations' codecs in the field.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{empty_payloads, hex, message, message_of, payload, raw};
use ikev2_wire::*;

/// A header alone that promises a payload took whole servers down.
#[test]
fn a_header_that_promises_a_payload_and_brings_none() {
    for exchange in [34, 35, 36, 37, 38, 43, 44] {
        for next in 0..=255 {
            let octets = message_of(exchange, next, &[]);
            assert_eq!(octets.len(), 28);
            match Message::parse(&octets) {
                Ok(message) => {
                    assert_eq!(next, 0);
                    assert_eq!(message.payloads().next(), None);
                    assert_eq!(message.protected(), None);
                }
                Err(error) => {
                    let kind = ParseErrorKind::Truncated { needed: 4, available: 0 };
                    let payload = Some(PayloadType(next));
                    assert_eq!(error, ParseError { kind, payload, field: Field::GenericHeader, offset: 28 });
                    assert_ne!(next, 0);
                }
            }
        }
    }
}

/// Some routers send Protocol ID 1 with notifications that have no SPI.
#[test]
fn protocol_id_of_a_notification_without_spi() {
    let expected = NotifyPayload::new(NotifyType::NAT_DETECTION_SOURCE_IP, &[7; 20]);
    for protocol in [0, 1, 2, 3, 255] {
        let mut body = vec![protocol, 0, 0x40, 0x04];
        body.extend_from_slice(&[7; 20]);
        assert_eq!(raw(41, &body).decode().unwrap(), Payload::Notify(expected));
        let mut sent = Vec::new();
        Payload::Notify(NotifyPayload { protocol: ProtocolId(protocol), ..expected })
            .encode_body(&mut sent)
            .unwrap();
        assert_eq!(sent[..4], [0, 0, 0x40, 0x04]);
    }
    // RFC 6023 wants 1 here.
    let mut sent = Vec::new();
    let childless = NotifyPayload::new(NotifyType::CHILDLESS_IKEV2_SUPPORTED, &[]);
    Payload::Notify(childless).encode_body(&mut sent).unwrap();
    assert_eq!(sent, [1, 0, 0x40, 0x22]);
    assert_eq!(raw(41, &sent).decode().unwrap(), Payload::Notify(childless));
}

/// Unknown payloads before SKF and those inside were counted apart, one too many.
#[test]
fn payloads_outside_and_inside_are_counted_together() {
    for outside in [MAX_PAYLOADS - 2, MAX_PAYLOADS - 1, MAX_PAYLOADS] {
        let mut after = empty_payloads(outside, 53);
        after.extend_from_slice(&hex("c8 00 000a 0001 0001 aabb"));
        let octets = message_of(35, 200, &after);
        let parsed = Message::parse(&octets);
        if outside == MAX_PAYLOADS {
            let error = parsed.unwrap_err();
            assert_eq!(error.kind, ParseErrorKind::TooMany { limit: MAX_PAYLOADS });
            assert_eq!((error.payload, error.offset), (Some(PayloadType::SKF), 28 + 4 * MAX_PAYLOADS));
            continue;
        }
        let message = parsed.unwrap();
        assert_eq!(message.payloads().len(), outside);
        for inside in 0..=2 {
            let plaintext = empty_payloads(inside, 0);
            let first = PayloadType(if inside == 0 { 0 } else { 200 });
            let payloads = Payloads::parse_limited(first, &plaintext, 100, message.inner_limit());
            assert_eq!(payloads.is_ok(), outside + 1 + inside <= MAX_PAYLOADS, "{outside} and {inside}");
        }
    }
}

/// macOS rekeys with a single proposal that has the number of the one once chosen.
#[test]
fn proposal_numbers_are_labels() {
    let proposal = |number| Proposal {
        number,
        protocol: ProtocolId::IKE,
        spi: vec![0x11; 8],
        transforms: vec![Transform::ke(KeMethod::CURVE25519)],
    };
    for numbers in [vec![3], vec![1, 3], vec![2, 2], vec![0], vec![255, 1]] {
        let sa = SaPayload::build(&numbers.iter().copied().map(proposal).collect::<Vec<_>>()).unwrap();
        let mut octets = Vec::new();
        encode_chain(&[Payload::Sa(sa)], &mut octets).unwrap();
        let Payload::Sa(received) = raw(33, &octets[4..]).decode().unwrap() else { panic!() };
        assert_eq!(received.proposals().map(|proposal| proposal.number()).collect::<Vec<_>>(), numbers);
    }
}

/// A fragment 5 of 1 in a datagram without any authentication made a daemon panic.
#[test]
fn fragment_numbers_that_cannot_be() {
    for (number, total, field, offset) in [
        (0, 0, Field::TotalFragments, 34),
        (1, 0, Field::TotalFragments, 34),
        (0, 1, Field::FragmentNumber, 32),
        (5, 1, Field::FragmentNumber, 32),
        (65_535, 65_534, Field::FragmentNumber, 32),
    ] {
        let numbers: [u16; 2] = [number, total];
        let octets = message_of(35, 53, &payload(0, &numbers.map(u16::to_be_bytes).concat()));
        let error = Message::parse(&octets).unwrap_err();
        assert_eq!((error.field, error.offset, error.payload), (field, offset, Some(PayloadType::SKF)));
    }
    for (number, total) in [(1u16, 1u16), (65_535, 65_535)] {
        let octets = message_of(35, 53, &payload(0, &[number, total].map(u16::to_be_bytes).concat()));
        let message = Message::parse(&octets).unwrap();
        assert!(matches!(message.protected(), Some(Protected::Skf(skf)) if skf.body.is_empty()));
    }
    for length in 0..4 {
        let octets = message(53, &payload(0, &vec![0; length]));
        assert!(Message::parse(&octets).is_err());
    }
}
