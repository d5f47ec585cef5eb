//! Every IKE message of the captures of real peers: strongSwan, libreswan and Linux, see
//! `ikev2-core/tests/captures/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use ikev2_wire::*;

/// The message put together again from what was parsed.
fn reencode(message: &Message<'_>) -> Vec<u8> {
    let mut out = vec![0; Header::LEN];
    let mut chain = ChainEncoder::new(&mut out);
    for raw in message.payloads() {
        chain.push_raw(&raw).unwrap();
    }
    let next_payload = match message.protected() {
        None => chain.finish(PayloadType::NONE),
        Some(protected) => {
            let next_payload = chain.finish(protected.ty());
            let fragment = match protected {
                Protected::Sk(_) => None,
                Protected::Skf(skf) => Some(FragmentHeader { number: skf.number, total: skf.total }),
            };
            let octets =
                GenericHeader::LEN + fragment.map_or(0, |_| FragmentHeader::LEN) + protected.body().len();
            let length = u16::try_from(octets).unwrap();
            GenericHeader { next_payload: protected.first_inner(), critical: false, length }.encode(&mut out);
            if let Some(fragment) = fragment {
                fragment.encode(&mut out);
            }
            assert_eq!(out.len(), protected.header_len());
            out.extend_from_slice(protected.body());
            next_payload
        }
    };
    let length = u32::try_from(out.len()).unwrap();
    out[..Header::LEN].copy_from_slice(&Header { next_payload, length, ..*message.header() }.to_bytes());
    out
}

#[test]
fn every_message_parses_and_reencodes_to_the_same_octets() {
    let (mut messages, mut fragments, mut payloads) = (0, 0, 0);
    for (name, octets) in common::captured() {
        assert!(octets.len() >= 4, "{name} has {} messages", octets.len());
        for octets in octets {
            let message = Message::parse(&octets).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(reencode(&message), octets, "{name}");
            messages += 1;
            fragments += usize::from(matches!(message.protected(), Some(Protected::Skf(_))));
            payloads += message.payloads().len();
        }
    }
    // As counted in the same files by a program that shares no code with this one.
    assert_eq!((messages, fragments, payloads), (178, 18, 349));
}

#[test]
fn every_payload_in_the_clear_decodes_and_reencodes_to_the_same_octets() {
    for (name, octets) in common::captured() {
        for octets in octets {
            let message = Message::parse(&octets).unwrap();
            for raw in message.payloads() {
                let payload = raw.decode().unwrap_or_else(|error| panic!("{name}: {error}"));
                let mut body = Vec::new();
                payload.encode_body(&mut body).unwrap();
                assert!(!matches!(payload, Payload::Unknown(_)), "{name}: {payload:?}");
                let sent_otherwise = matches!(
                    payload,
                    Payload::Notify(NotifyPayload { ty: NotifyType::CHILDLESS_IKEV2_SUPPORTED, .. })
                );
                if sent_otherwise {
                    body[0] = raw.body[0];
                }
                assert_eq!(body, raw.body, "{name}: {payload:?}");
            }
        }
    }
}

#[test]
fn no_message_parses_when_cut_short_or_with_octets_behind() {
    for (name, octets) in common::captured() {
        for mut octets in octets {
            for end in 0..octets.len() {
                assert!(Message::parse(&octets[..end]).is_err(), "{name} cut to {end}");
            }
            octets.push(0);
            assert!(Message::parse(&octets).is_err(), "{name} with an octet behind");
        }
    }
}

#[test]
fn messages_cut_short_in_the_header_too_name_the_payload() {
    for (_, octets) in common::captured() {
        for mut octets in octets {
            octets.pop();
            let length = u32::try_from(octets.len()).unwrap();
            octets[24..28].copy_from_slice(&length.to_be_bytes());
            let error = Message::parse(&octets).unwrap_err();
            assert_eq!(error.field, Field::PayloadLength);
            assert!(error.payload.is_some() && error.offset > Header::LEN);
        }
    }
}

#[test]
fn a_first_message_prints_what_it_offers() {
    let captures = common::captured();
    let (_, messages) = captures.iter().find(|(name, _)| name == "mlkem768-intermediate").unwrap();
    let text = Message::parse(&messages[0]).unwrap().to_string();
    for line in [
        "  SA, ",
        "    proposal 1: IKE",
        "KE=Curve25519",
        "ADDKE1=ml-kem-768",
        "Curve25519, 32 octets of data",
        "N, 8 octets: INTERMEDIATE_EXCHANGE_SUPPORTED",
        "SIGNATURE_HASH_ALGORITHMS, SHA2-256 SHA2-384 SHA2-512 Identity",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}
