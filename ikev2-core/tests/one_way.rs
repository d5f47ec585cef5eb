//! One-way protected messages, and payloads of another protocol, through the public layers alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_core::Rejection;
use ikev2_core::contents::{Contents, ContentsError};
use ikev2_core::exchange::one_way::{OneWayId, OneWayReceiver, OneWaySender};
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{EncrId, IkeSpi, IntegId, Message, Payload, UnknownPayload};
use ipsec_crypto::CipherAlgorithm;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_types::SecretBytes;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;

const NEWS: PayloadType = PayloadType(202);

fn cipher() -> &'static dyn CipherAlgorithm {
    let suite = CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(128), integ: IntegId::NONE };
    RUSTCRYPTO.cipher(suite).unwrap()
}

fn keys(octet: u8) -> SaKeys {
    SaKeys { encr: SecretBytes::copy_from(&[octet; 20]), integ: SecretBytes::copy_from(&[]) }
}

fn id() -> OneWayId {
    let half = |value| IkeSpi::new(value).unwrap();
    OneWayId { exchange: ExchangeType(242), first: half(0xa0a1_a2a3), second: half(0xb0b1_b2b3) }
}

fn news(body: &[u8]) -> Payload<'_> {
    Payload::Unknown(UnknownPayload { ty: NEWS, critical: true, body })
}

/// A signature inside covers header, SK header and payloads as if nothing were encrypted (RFC 9838 §2.4.1.1).
#[test]
fn both_ends_see_the_same_octets_to_sign() {
    let mut sender = OneWaySender::new(id(), cipher(), &keys(7)).unwrap();
    let mut receiver = OneWayReceiver::new(id(), cipher(), &keys(7), 0).unwrap();
    for number in 0..3_u8 {
        let payloads = [news(b"news")];
        // Both SPI fields; SK next, version 2.0, exchange, initiator; Message ID; length; then SK and the payload.
        let mut expected = vec![0, 0, 0, 0, 0xa0, 0xa1, 0xa2, 0xa3, 0, 0, 0, 0, 0xb0, 0xb1, 0xb2, 0xb3];
        expected.extend([46, 0x20, 242, 0x08, 0, 0, 0, number, 0, 0, 0, 40]);
        expected.extend([202, 0, 0, 12, 0, 0x80, 0, 8]);
        expected.extend(b"news");
        assert_eq!(sender.octets_to_sign(&payloads).unwrap()[..36], expected[..36]);
        assert_eq!(sender.octets_to_sign(&payloads).unwrap()[36..], expected[36..]);
        let datagram = sender.seal(&payloads).unwrap();
        let message = Message::parse(datagram.message()).unwrap();
        let mut scratch = Vec::new();
        let opened = receiver.open(&message, &mut scratch).unwrap().unwrap();
        assert_eq!(opened.signed_octets().unwrap(), expected);
        assert_eq!(receiver.expected(), u32::from(number), "nothing is taken before it is checked");
        assert!(receiver.accept(opened).is_some());
        assert_eq!(
            receiver.open(&message, &mut scratch).unwrap_err(),
            Rejection::OldMessageId(number.into())
        );
    }
}

#[test]
fn message_ids_only_grow_and_a_forgery_changes_nothing() {
    let mut sender = OneWaySender::new(id(), cipher(), &keys(7)).unwrap();
    let sent: Vec<_> = (0..3).map(|_| sender.seal(&[news(b"news")]).unwrap()).collect();
    let mut receivers = [0, 1].map(|from| OneWayReceiver::new(id(), cipher(), &keys(7), from).unwrap());
    let mut scratch = Vec::new();
    let mut forged = sent[1].message().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for receiver in &mut receivers {
        let forged = Message::parse(&forged).unwrap();
        assert_eq!(receiver.open(&forged, &mut scratch).unwrap_err(), Rejection::IntegrityCheck);
        let message = Message::parse(sent[1].message()).unwrap();
        let opened = receiver.open(&message, &mut scratch).unwrap().unwrap();
        assert!(receiver.accept(opened).is_some());
        for old in [0, 1] {
            let message = Message::parse(sent[old].message()).unwrap();
            let refused = receiver.open(&message, &mut scratch).unwrap_err();
            assert_eq!(refused, Rejection::OldMessageId(u32::try_from(old).unwrap()));
        }
    }
    let mut late = OneWayReceiver::new(id(), cipher(), &keys(7), 2).unwrap();
    late.expect(1);
    assert_eq!(late.expected(), 2, "it never goes back");
    assert_eq!(sender.next_id(), 3);
    let stranger = OneWayReceiver::new(id(), cipher(), &keys(8), 0).unwrap();
    let message = Message::parse(sent[2].message()).unwrap();
    assert_eq!(stranger.open(&message, &mut scratch).unwrap_err(), Rejection::IntegrityCheck);
    let other = OneWayId { exchange: ExchangeType(243), ..id() };
    let elsewhere = OneWayReceiver::new(other, cipher(), &keys(7), 0).unwrap();
    assert_eq!(elsewhere.open(&message, &mut scratch).unwrap_err(), Rejection::Contradictory);
}

#[test]
fn critical_payloads_are_taken_by_who_knows_them_alone() {
    let mut sender = OneWaySender::new(id(), cipher(), &keys(7)).unwrap();
    let receiver = OneWayReceiver::new(id(), cipher(), &keys(7), 0).unwrap();
    let datagram = sender.seal(&[news(b"first"), news(b"second")]).unwrap();
    let message = Message::parse(datagram.message()).unwrap();
    let mut scratch = Vec::new();
    let opened = receiver.open(&message, &mut scratch).unwrap().unwrap();
    assert_eq!(Contents::of(opened.plaintext()).unwrap_err(), ContentsError::Critical(NEWS));
    let contents = Contents::with_others(opened.plaintext(), &[NEWS]).unwrap();
    assert_eq!((contents.other(NEWS), contents.others.len()), (Some(&b"first"[..]), 2));
    assert_eq!(contents.other(PayloadType(203)), None);
}
