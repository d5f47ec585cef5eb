//! Bad input of every kind that is told from the octets alone, and the odd input that must be taken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{empty_payloads, hex, message, message_of, payload, raw};
use ikev2_wire::*;
use ipsec_types::udp::{Datagram4500, classify};

/// What is wrong with a message.
fn refused(octets: &[u8]) -> (ParseErrorKind, Field, usize) {
    let error = Message::parse(octets).expect_err("parsed");
    (error.kind, error.field, error.offset)
}

/// What is wrong with the body of a payload, its first octet being octet 32 of the message.
fn undecodable(ty: u8, body: &[u8]) -> (ParseErrorKind, Field, usize) {
    let error = raw(ty, body).decode().expect_err("decoded");
    assert_eq!(error.payload, Some(PayloadType(ty)));
    (error.kind, error.field, error.offset)
}

fn out_of_range(value: usize, min: usize, max: usize) -> ParseErrorKind {
    ParseErrorKind::OutOfRange { value, min, max }
}

fn truncated(needed: usize, available: usize) -> ParseErrorKind {
    ParseErrorKind::Truncated { needed, available }
}

#[test]
fn lengths_of_datagram_and_header() {
    let whole = message(0, &[]);
    for end in 0..28 {
        assert_eq!(refused(&whole[..end]), (truncated(28, end), Field::Header, 0));
    }
    for claimed in [0, 1, 27, 29, 0x8000_001C, u32::MAX] {
        let mut octets = whole.clone();
        octets[24..].copy_from_slice(&u32::to_be_bytes(claimed));
        let kind = ParseErrorKind::MessageLength { claimed, actual: 28 };
        assert_eq!(refused(&octets), (kind, Field::MessageLength, 24));
    }
    let mut trailing = whole;
    trailing.push(0);
    let kind = ParseErrorKind::MessageLength { claimed: 28, actual: 29 };
    assert_eq!(refused(&trailing), (kind, Field::MessageLength, 24));
}

#[test]
fn the_marker_belongs_to_port_4500_alone() {
    let whole = message(0, &[]);
    // Without the marker on port 4500 it is ESP, its SPI the upper half of the initiator's.
    assert_eq!(classify(&whole), Datagram4500::Esp(&whole));
    let mut marked = vec![0; 4];
    marked.extend_from_slice(&whole);
    assert_eq!(classify(&marked), Datagram4500::Ike(&whole));
    // With the marker on port 500 the Length field stands elsewhere.
    assert!(Message::parse(&marked).is_err());
}

#[test]
fn spis_and_flags() {
    let mut octets = message(0, &[]);
    octets[..8].fill(0);
    assert_eq!(refused(&octets), (ParseErrorKind::ZeroSpi, Field::InitiatorSpi, 0));
    // The rest depends on the state of the SA, and is there to be seen.
    for (flags, initiator, response) in
        [(0u8, false, false), (0x08, true, false), (0x28, true, true), (0xFF, true, true)]
    {
        let mut octets = message(0, &[]);
        octets[15] = 9;
        octets[19] = flags;
        let header = *Message::parse(&octets).unwrap().header();
        assert_eq!(header.responder_spi, IkeSpi::new(9));
        assert_eq!((header.flags.is_initiator(), header.flags.is_response()), (initiator, response));
        assert_eq!(header.to_bytes(), octets[..]);
    }
}

#[test]
fn versions_and_exchange_types() {
    for version in 0..=255u8 {
        let mut octets = message(200, &[0xFF; 3]);
        octets[17] = version;
        let header = Header::parse(&octets).unwrap();
        assert_eq!(header.version, Version { major: version >> 4, minor: version & 15 });
        assert_eq!(header.to_bytes(), octets[..28]);
        if version >> 4 == 2 {
            assert_eq!(refused(&octets), (truncated(4, 3), Field::GenericHeader, 28));
        } else {
            let kind = ParseErrorKind::MajorVersion { major: version >> 4 };
            assert_eq!(refused(&octets), (kind, Field::Version, 17));
        }
    }
    for exchange in 0..=255 {
        let octets = message_of(exchange, 0, &[]);
        let unprotected = Message::parse(&octets).unwrap().header().exchange.is_unprotected();
        assert_eq!(unprotected, matches!(exchange, 34 | 38));
    }
}

#[test]
fn payload_lengths_and_ends_of_chains() {
    for length in 0..4u8 {
        let octets = message(40, &[0, 0, 0, length, 0, 0]);
        let kind = out_of_range(length.into(), 4, 65_535);
        assert_eq!(refused(&octets), (kind, Field::PayloadLength, 30));
    }
    assert_eq!(refused(&message(40, &[0, 0, 0, 7, 0, 0])), (truncated(3, 2), Field::PayloadLength, 30));
    assert_eq!(refused(&message(40, &[0, 0, 255, 255])), (truncated(65_531, 0), Field::PayloadLength, 30));
    for end in 1..4 {
        assert_eq!(refused(&message(40, &[0; 4][..end])), (truncated(4, end), Field::GenericHeader, 28));
    }
    // The chain goes on where the message does not.
    assert_eq!(refused(&message(40, &payload(41, &[]))), (truncated(4, 0), Field::GenericHeader, 32));
    // The message goes on where the chain does not.
    let kind = ParseErrorKind::Trailing { count: 1 };
    assert_eq!(refused(&message(40, &[0, 0, 0, 4, 9])), (kind, Field::Chain, 32));
    assert_eq!(refused(&message(0, &[9])), (kind, Field::Chain, 28));
}

#[test]
fn a_payload_of_every_length_up_to_the_longest() {
    let octets = message(43, &payload(0, &vec![7; 65_531]));
    let message = Message::parse(&octets).unwrap();
    let raw = message.payloads().next().unwrap();
    assert_eq!(raw.body.len(), 65_531);
    let mut out = Vec::new();
    assert_eq!(encode_chain(&[raw.decode().unwrap()], &mut out), Ok(PayloadType::VENDOR_ID));
    assert_eq!(out, octets[28..]);

    let longer = vec![7; 65_532];
    let error = encode_chain(&[Payload::VendorId(VendorIdPayload(&longer))], &mut out).unwrap_err();
    assert_eq!(error.kind, EncodeErrorKind::OutOfRange { value: 65_536, min: 0, max: 65_535 });
    assert_eq!(out, octets[28..], "nothing of the refused payload stays");
}

#[test]
fn thousands_of_empty_payloads() {
    let parsed = |count| Message::parse(&message(200, &empty_payloads(count, 0))).map(|m| m.payloads().len());
    assert_eq!(parsed(MAX_PAYLOADS), Ok(MAX_PAYLOADS));
    for count in [MAX_PAYLOADS + 1, 16_000] {
        let error = parsed(count).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::TooMany { limit: MAX_PAYLOADS });
        assert_eq!((error.field, error.offset), (Field::Chain, 28 + 4 * MAX_PAYLOADS));
    }
    let many = vec![Payload::VendorId(VendorIdPayload(&[])); MAX_PAYLOADS + 1];
    let mut out = Vec::new();
    assert!(encode_chain(&many, &mut out).is_err() && out.is_empty());
    assert!(encode_chain(&many[1..], &mut out).is_ok());
}

#[test]
fn encrypted_payloads_that_are_not_last_or_not_alone() {
    let sk = payload(41, &[1; 20]);
    for (first, then, offset) in [(46, 46, 52), (46, 53, 52), (53, 46, 52), (46, 43, 52)] {
        let mut after = sk.clone();
        after[0] = then;
        if first == 53 {
            after[4..8].copy_from_slice(&[0, 1, 0, 1]);
        }
        after.extend_from_slice(&payload(0, &[0, 1, 0, 1, 5]));
        let kind = ParseErrorKind::NotLast { count: 9 };
        assert_eq!(refused(&message_of(37, first, &after)), (kind, Field::Chain, offset));
    }
    // Inside the plaintext of one.
    for ty in [PayloadType::SK, PayloadType::SKF] {
        let error = Payloads::parse(ty, &payload(0, &[0, 1, 0, 1]), 60).unwrap_err();
        assert_eq!((error.kind, error.offset, error.payload), (ParseErrorKind::Nested, 60, Some(ty)));
        let mut chain = payload(ty.0, &[]);
        chain.extend_from_slice(&payload(0, &[]));
        let error = Payloads::parse(PayloadType(200), &chain, 60).unwrap_err();
        assert_eq!((error.kind, error.offset), (ParseErrorKind::Nested, 64));
    }
    // In IKE_SA_INIT it parses, and the exchange layer sees that it cannot be.
    let octets = message_of(34, 46, &payload(0, &[1; 20]));
    let message = Message::parse(&octets).unwrap();
    assert!(message.header().exchange.is_unprotected() && message.protected().is_some());
}

#[test]
fn unknown_payloads_critical_or_not() {
    for ty in (1..=255u8).filter(|ty| !matches!(ty, 33..=48 | 53)) {
        for critical in [false, true] {
            let mut after = payload(0, b"xyz");
            after[1] = if critical { 0x80 } else { 0x7F };
            let octets = message(ty, &after);
            let message = Message::parse(&octets).unwrap();
            let expected = UnknownPayload { ty: PayloadType(ty), critical, body: b"xyz" };
            assert_eq!(message.payloads().next().unwrap().decode(), Ok(Payload::Unknown(expected)));
            let inner = Payloads::parse(PayloadType(ty), &after, 0).unwrap().next().unwrap();
            assert_eq!(inner.decode(), Ok(Payload::Unknown(expected)));
        }
    }
    // The critical bit of a payload that is known is ignored.
    let mut after = payload(0, b"xyz");
    after[1] = 0x80;
    let octets = message(43, &after);
    let raw = Message::parse(&octets).unwrap().payloads().next().unwrap();
    assert_eq!((raw.critical, raw.decode()), (true, Ok(Payload::VendorId(VendorIdPayload(b"xyz")))));
    // What has a form of its own cannot be sent as something unknown.
    for ty in (33..=48).chain([0, 53]) {
        let unknown = Payload::Unknown(UnknownPayload { ty: PayloadType(ty), critical: false, body: &[] });
        let error = encode_chain(&[unknown], &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind, EncodeErrorKind::Type { ty: ty.into() });
    }
}

#[test]
fn encrypted_bodies_of_any_length_down_to_none() {
    for length in 0..40 {
        let octets = message_of(37, 46, &payload(0, &vec![3; length]));
        let protected = Message::parse(&octets).unwrap().protected().unwrap();
        assert_eq!((protected.body().len(), protected.header_len()), (length, 32));
    }
    // No payloads inside, and none outside.
    assert_eq!(Payloads::parse(PayloadType::NONE, &[], 9).unwrap().count(), 0);
    assert_eq!(Payloads::empty().count(), 0);
    let error = Payloads::parse(PayloadType::NONE, &[0], 9).unwrap_err();
    assert_eq!((error.kind, error.offset), (ParseErrorKind::Trailing { count: 1 }, 9));
}

#[test]
fn framing_of_proposals_and_transforms() {
    assert_eq!(undecodable(33, &[]), (ParseErrorKind::Empty, Field::Proposals, 32));
    let good = hex("00000014 01010001 0300000c 0100000c 800e0080");
    // Last Substruc of the only transform says that another follows.
    let last = |value, expected| ParseErrorKind::LastSubstructure { value, expected };
    assert_eq!(undecodable(33, &good), (last(3, 0), Field::LastSubstructure, 40));
    let good = hex("00000014 01010001 0000000c 0100000c 800e0080");
    assert!(raw(33, &good).decode().is_ok());
    for end in 1..good.len() {
        assert!(raw(33, &good[..end]).decode().is_err(), "cut to {end}");
    }

    let changed = |at: usize, to: u8| {
        let mut octets = good.clone();
        octets[at] = to;
        undecodable(33, &octets)
    };
    assert_eq!(changed(0, 2), (last(2, 0), Field::LastSubstructure, 32));
    assert_eq!(changed(0, 1), (last(1, 0), Field::LastSubstructure, 32));
    assert_eq!(changed(3, 7), (out_of_range(7, 8, 65_535), Field::ProposalLength, 34));
    assert_eq!(changed(3, 21), (truncated(17, 16), Field::ProposalLength, 34));
    let count = |claimed, actual| ParseErrorKind::Count { claimed, actual };
    assert_eq!(changed(7, 0), (count(0, 1), Field::NumTransforms, 39));
    assert_eq!(changed(7, 255), (count(255, 1), Field::NumTransforms, 39));
    assert_eq!(changed(6, 255), (truncated(255, 12), Field::Spi, 40));
    assert_eq!(changed(11, 7), (out_of_range(7, 8, 65_535), Field::TransformLength, 42));
    assert_eq!(changed(11, 13), (truncated(9, 8), Field::TransformLength, 42));
    // A transform of 10 octets leaves half an attribute, and two octets that are no transform.
    assert_eq!(changed(11, 10).1, Field::LastSubstructure);
    // An attribute in the long format, longer than its transform.
    assert_eq!(changed(16, 0), (truncated(128, 0), Field::Attribute, 48));

    // Two proposals, the first of which says that it is the last; then as it should be.
    let mut two = [good.clone(), good.clone()].concat();
    assert_eq!(undecodable(33, &two), (last(0, 2), Field::LastSubstructure, 32));
    two[0] = 2;
    assert!(raw(33, &two).decode().is_ok());
}

#[test]
fn odd_proposals_that_negotiation_must_see() {
    let transforms = [
        Transform { key_bits: Some(0), ..Transform::encr(EncrId::AES_CBC, None) },
        Transform::encr(EncrId::AES_CBC, Some(13)),
        Transform::encr(EncrId::AES_CBC, Some(65_535)),
        Transform::encr(EncrId::CHACHA20_POLY1305, Some(256)),
        Transform::new(TransformType(77), 1),
        Transform::new(TransformType::ENCR, 65_535),
        // Given twice, and in the long format.
        Transform {
            key_bits: Some(128),
            other_attributes: vec![
                Attribute::key_length(256),
                Attribute {
                    ty: TransformAttribute::KEY_LENGTH,
                    value: AttributeValue::Long(vec![1, 0].into()),
                },
            ],
            ..Transform::encr(EncrId::AES_CBC, None)
        },
        Transform {
            other_attributes: vec![Attribute {
                ty: TransformAttribute(32_767),
                value: AttributeValue::Long(vec![].into()),
            }],
            ..Transform::prf(PrfId::HMAC_SHA2_256)
        },
    ];
    let odd = |spi_size| Proposal {
        number: 7,
        protocol: ProtocolId(0),
        spi: vec![9; spi_size],
        transforms: transforms.to_vec(),
    };
    for spi_size in [0, 1, 4, 8, 255] {
        let sa = Payload::Sa(SaPayload::build(&[odd(spi_size)]).unwrap());
        let mut body = Vec::new();
        sa.encode_body(&mut body).unwrap();
        let Payload::Sa(received) = raw(33, &body).decode().unwrap() else { panic!() };
        let proposal = received.proposals().next().unwrap();
        assert_eq!(proposal.to_owned(), odd(spi_size));
        let others: Vec<_> =
            proposal.transforms().map(|transform| transform.has_other_attributes()).collect();
        assert_eq!(others, [false, false, false, false, false, false, true, true]);
        for (view, owned) in proposal.transforms().zip(&transforms) {
            assert_eq!(view.to_string(), owned.to_string());
        }
    }
    // No transforms at all: unacceptable, which is not malformed.
    let none = [Proposal { transforms: vec![], ..odd(0) }];
    assert_eq!(SaPayload::build(&none).unwrap().proposals().next().unwrap().transforms().count(), 0);
}

#[test]
fn numbers_of_proposals_and_transforms() {
    let proposal = |transforms| Proposal {
        number: 1,
        protocol: ProtocolId::ESP,
        spi: vec![1; 4],
        transforms: vec![Transform::prf(PrfId::HMAC_SHA1); transforms],
    };
    let count = |sa: &SaPayload<'_>| {
        let mut body = Vec::new();
        Payload::Sa(sa.clone()).encode_body(&mut body).unwrap();
        let Payload::Sa(received) = raw(33, &body).decode().unwrap() else { panic!() };
        received.proposals().map(|proposal| proposal.transform_count()).sum::<usize>()
    };
    assert_eq!(count(&SaPayload::build(&[proposal(255)]).unwrap()), 255);
    assert_eq!(count(&SaPayload::build(&vec![proposal(1); 255]).unwrap()), 255);
    let four = [proposal(255), proposal(255), proposal(255), proposal(255), proposal(4)];
    assert_eq!(count(&SaPayload::build(&four).unwrap()), payload::sa::MAX_TRANSFORMS);
    assert!(SaPayload::build(&[]).is_err());
    assert!(SaPayload::build(&[proposal(256)]).is_err());
    assert!(SaPayload::build(&vec![proposal(0); 256]).is_err());

    // The same bounds for what comes in.
    let none = hex("02000008 01030000");
    let mut many = none.repeat(256);
    many[255 * 8] = 0;
    let kind = ParseErrorKind::TooMany { limit: 255 };
    assert_eq!(undecodable(33, &many), (kind, Field::Proposals, 32 + 255 * 8));
    let mut body = Vec::new();
    Payload::Sa(SaPayload::build(&[proposal(255)]).unwrap()).encode_body(&mut body).unwrap();
    let length = body.len();
    let mut five = body.repeat(5);
    for n in 0..4 {
        five[n * length] = 2;
    }
    let kind = ParseErrorKind::TooMany { limit: payload::sa::MAX_TRANSFORMS };
    assert_eq!(undecodable(33, &five), (kind, Field::Transforms, 32 + 4 * length));
}

#[test]
fn what_of_a_proposal_cannot_be_encoded() {
    let with = |spi: usize, attribute: Option<Attribute<'static>>| {
        let mut transform = Transform::prf(PrfId::HMAC_SHA1);
        transform.other_attributes.extend(attribute);
        let transforms = vec![transform];
        SaPayload::build(&[Proposal { number: 1, protocol: ProtocolId::IKE, spi: vec![0; spi], transforms }])
    };
    let long = |length: usize| AttributeValue::Long(vec![0; length].into());
    assert!(with(255, None).is_ok());
    assert_eq!(with(256, None).unwrap_err().field, Field::SpiSize);
    let ty = TransformAttribute(0x8000);
    let error = with(0, Some(Attribute { ty, value: AttributeValue::Short(1) })).unwrap_err();
    assert_eq!((error.field, error.payload), (Field::AttributeType, Some(PayloadType::SA)));
    let ty = TransformAttribute(18);
    assert_eq!(with(0, Some(Attribute { ty, value: long(65_536) })).unwrap_err().field, Field::Attribute);
    assert_eq!(
        with(0, Some(Attribute { ty, value: long(65_535) })).unwrap_err().field,
        Field::TransformLength
    );
    assert_eq!(
        with(255, Some(Attribute { ty, value: long(65_523) })).unwrap_err().field,
        Field::ProposalLength
    );
}

#[test]
fn nonces_of_16_to_256_octets() {
    for length in [0, 1, 15, 257, 1_000] {
        let nonce = vec![1; length];
        assert_eq!(undecodable(40, &nonce), (out_of_range(length, 16, 256), Field::Data, 32));
        let kind = EncodeErrorKind::OutOfRange { value: length, min: 16, max: 256 };
        assert_eq!(NoncePayload::new(&nonce).unwrap_err().kind, kind);
    }
    for length in 16..=256 {
        let nonce = vec![1; length];
        let expected = Payload::Nonce(NoncePayload::new(&nonce).unwrap());
        assert_eq!(raw(40, &nonce).decode(), Ok(expected));
    }
}

#[test]
fn identities_whose_data_their_type_does_not_allow() {
    let body = |ty: u8, data: &[u8]| [&[ty, 0xA, 0xB, 0xC], data].concat();
    for (ty, length) in [(1, 4), (5, 16), (13, 0)] {
        for other in (0..20).filter(|other| *other != length) {
            let kind = out_of_range(other, length, length);
            assert_eq!(undecodable(35, &body(ty, &vec![1; other])), (kind, Field::Data, 36));
        }
        let octets = body(ty, &vec![1; length]);
        let Payload::IdR(id) = raw(36, &octets).decode().unwrap() else { panic!() };
        assert_eq!(id.reserved, [0xA, 0xB, 0xC], "the reserved octets are under AUTH as received");
    }
    for octet in [0, b'\r', b'\n'] {
        for ty in [2, 3] {
            let kind = ParseErrorKind::Terminator { octet };
            assert_eq!(undecodable(36, &body(ty, &[b'a', octet, b'b'])), (kind, Field::Data, 37));
            let text = [b'a', octet];
            let id = Payload::IdI(IdPayload::new(IdType(ty), &text));
            let error = encode_chain(&[id], &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind, EncodeErrorKind::Terminator { octet });
        }
        // A key ID is any octets.
        assert!(raw(35, &body(11, &[octet])).decode().is_ok());
    }
    for ty in [2, 3, 9, 10, 11, 12, 200] {
        assert!(raw(35, &body(ty, &[])).decode().is_ok(), "an empty identity of type {ty} matches no policy");
    }
    for end in 0..4 {
        assert_eq!(undecodable(35, &[0; 4][..end]), (truncated(4, end), Field::FixedFields, 32));
        assert_eq!(undecodable(39, &[0; 4][..end]), (truncated(4, end), Field::FixedFields, 32));
        assert_eq!(undecodable(34, &[0; 4][..end]), (truncated(4, end), Field::FixedFields, 32));
        assert_eq!(undecodable(41, &[0; 4][..end]), (truncated(4, end), Field::FixedFields, 32));
    }
    assert_eq!(undecodable(37, &[]), (truncated(1, 0), Field::FixedFields, 32));
    assert_eq!(undecodable(38, &[]), (truncated(1, 0), Field::FixedFields, 32));
}

#[test]
fn lengths_in_digital_signatures() {
    fn parse(data: &[u8]) -> Result<DigitalSignature<'_>, (ParseErrorKind, Field, usize)> {
        DigitalSignature::parse(data).map_err(|error| (error.kind, error.field, error.offset))
    }
    assert_eq!(parse(&[]), Err((truncated(1, 0), Field::AlgorithmIdentifier, 0)));
    assert_eq!(parse(&[0, 1, 2]), Err((ParseErrorKind::Empty, Field::AlgorithmIdentifier, 1)));
    assert_eq!(parse(&[3, 1, 2]), Err((truncated(3, 2), Field::AlgorithmIdentifier, 1)));
    assert_eq!(parse(&[2, 1, 2]), Ok(DigitalSignature { algorithm: &[1, 2], signature: &[] }));
    for length in [0, 256] {
        let algorithm = vec![0x30; length];
        let signature = DigitalSignature { algorithm: &algorithm, signature: &[1] };
        let mut out = Vec::new();
        assert!(signature.encode(&mut out).is_err() && out.is_empty());
    }
}

#[test]
fn hash_and_url_certificates() {
    let data = [[7; 20].as_slice(), b"http://192.0.2.1/c"].concat();
    fn cert(encoding: CertEncoding, data: &[u8]) -> CertPayload<'_> {
        CertPayload { encoding, data }
    }
    let bundle = cert(CertEncoding::HASH_AND_URL_BUNDLE, &data);
    assert_eq!(bundle.hash_and_url(), Some((&[7; 20], &b"http://192.0.2.1/c"[..])));
    assert_eq!(cert(CertEncoding::HASH_AND_URL_X509, &data[..19]).hash_and_url(), None);
    assert_eq!(cert(CertEncoding::X509_SIGNATURE, &data).hash_and_url(), None);
    let request = CertReqPayload { encoding: CertEncoding::X509_SIGNATURE, authorities: &data };
    assert_eq!(request.key_hashes().count(), 1, "octets left over are not an authority");
    let request = CertReqPayload { encoding: CertEncoding::OCSP_CONTENT, authorities: &data };
    assert_eq!(request.key_hashes().count(), 0);
}

#[test]
fn eap_lengths() {
    let range = |value, min, max| (out_of_range(value, min, max), Field::EapLength, 34);
    let count = |claimed, actual| (ParseErrorKind::Count { claimed, actual }, Field::EapLength, 34);
    assert_eq!(undecodable(48, &[1, 0, 0, 4]), range(4, 5, 65_535));
    assert_eq!(undecodable(48, &[1, 0, 0, 6, 1]), count(6, 5));
    assert_eq!(undecodable(48, &[2, 0, 0, 5, 1, 1]), count(5, 6));
    assert_eq!(undecodable(48, &[3, 0, 0, 5, 1]), range(5, 4, 4));
    assert_eq!(undecodable(48, &[4, 0, 0, 3]), count(3, 4));
    assert_eq!(undecodable(48, &[9, 0, 0, 3]), count(3, 4));
    for end in 0..4 {
        assert_eq!(undecodable(48, &[3, 0, 0, 4][..end]), (truncated(4, end), Field::EapMessage, 32));
    }
    for octets in
        [&[3, 9, 0, 4][..], &[4, 9, 0, 4], &[1, 9, 0, 5, 4], &[2, 9, 0, 6, 4, 1], &[5, 9, 0, 6, 1, 1]]
    {
        let Payload::Eap(eap) = raw(48, octets).decode().unwrap() else { panic!() };
        assert_eq!((eap.message(), eap.identifier()), (octets, 9));
        assert_eq!(EapPayload::new(octets), Ok(eap));
    }
    let response = EapPayload::new(&[2, 9, 0, 6, 26, 1]).unwrap();
    assert_eq!((response.ty(), response.data()), (Some(26), &[1][..]));
    assert_eq!(EapPayload::new(&[3, 9, 0, 4]).unwrap().ty(), None);
    assert!(EapPayload::new(&[2, 9, 0, 7, 26, 1]).is_err() && EapPayload::new(&[2]).is_err());
}

#[test]
fn notifications() {
    assert_eq!(undecodable(41, &[3, 255, 0, 1, 9]), (truncated(255, 1), Field::Spi, 36));
    let mut longest = vec![3, 255, 0x40, 9];
    longest.extend_from_slice(&[8; 255]);
    let Payload::Notify(notify) = raw(41, &longest).decode().unwrap() else { panic!() };
    assert_eq!((notify.spi.len(), notify.data.len(), notify.protocol), (255, 0, ProtocolId::ESP));
    for ty in [0, 2, 8_191, 8_192, 16_383, 16_448, 40_960, 65_535] {
        let body = [0, 0, (ty >> 8) as u8, ty as u8, 5];
        let Payload::Notify(notify) = raw(41, &body).decode().unwrap() else { panic!() };
        assert_eq!((notify.ty, notify.ty.is_error(), notify.data), (NotifyType(ty), ty < 16_384, &[5][..]));
    }
    let spi = [1; 256];
    let long = NotifyPayload::with_spi(ProtocolId::ESP, &spi, NotifyType::REKEY_SA, &[]);
    let error = encode_chain(&[Payload::Notify(long)], &mut Vec::new()).unwrap_err();
    assert_eq!((error.field, error.payload), (Field::SpiSize, Some(PayloadType::NOTIFY)));
}

#[test]
fn data_of_notifications() {
    fn notify(ty: NotifyType, data: &[u8]) -> NotifyPayload<'_> {
        NotifyPayload::new(ty, data)
    }
    for data in [&[][..], &[1], &[1, 2, 3]] {
        assert_eq!(notify(NotifyType::INVALID_KE_PAYLOAD, data).ke_method(), None);
        assert_eq!(notify(NotifyType::SET_WINDOW_SIZE, data).window_size(), None);
        assert_eq!(notify(NotifyType::INVALID_MESSAGE_ID, data).message_id(), None);
    }
    assert_eq!(notify(NotifyType::COOKIE, &[1, 2]).ke_method(), None);
    let unsupported = notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[200]);
    assert_eq!(unsupported.unsupported_payload(), Some(PayloadType(200)));
    assert_eq!(notify(NotifyType::SET_WINDOW_SIZE, &[0, 0, 1, 0]).window_size(), Some(256));
    assert_eq!(notify(NotifyType::INVALID_MESSAGE_ID, &[0, 0, 1, 0]).message_id(), Some(256));
    for (length, good) in [(0, false), (1, true), (64, true), (65, false)] {
        let cookie = vec![5; length];
        assert_eq!(notify(NotifyType::COOKIE, &cookie).cookie().is_some(), good);
    }
    let hashes =
        |data| notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, data).hash_algorithms().map(Iterator::count);
    assert_eq!((hashes(&[]), hashes(&[0, 2]), hashes(&[0, 2, 0])), (Some(0), Some(1), None));
}

#[test]
fn deletes() {
    let spi_size = |size, protocol| ParseErrorKind::SpiSize { size, protocol: ProtocolId(protocol) };
    assert_eq!(undecodable(42, &[1, 4, 0, 1, 1, 1, 1, 1]), (spi_size(4, 1), Field::SpiSize, 33));
    assert_eq!(undecodable(42, &[3, 0, 0, 0]), (spi_size(0, 3), Field::SpiSize, 33));
    assert_eq!(undecodable(42, &[2, 8, 0, 0]), (spi_size(8, 2), Field::SpiSize, 33));
    assert_eq!(undecodable(42, &[9, 0, 0, 0]), (spi_size(0, 9), Field::SpiSize, 33));
    let count = |claimed, actual| (ParseErrorKind::Count { claimed, actual }, Field::NumSpis, 34);
    assert_eq!(undecodable(42, &[3, 4, 0, 2, 1, 1, 1, 1]), count(2, 1));
    assert_eq!(undecodable(42, &[3, 4, 0, 0, 1, 1, 1, 1]), count(0, 1));
    assert_eq!(undecodable(42, &[3, 4, 255, 255]), count(65_535, 0));
    assert_eq!(undecodable(42, &[1, 0, 0, 1]), count(1, 0));
    let trailing = |count, offset| (ParseErrorKind::Trailing { count }, Field::Spi, offset);
    assert_eq!(undecodable(42, &[3, 4, 0, 1, 1, 1, 1, 1, 9]), trailing(1, 40));
    assert_eq!(undecodable(42, &[1, 0, 0, 0, 9, 9]), trailing(2, 36));
    for end in 0..4 {
        assert!(raw(42, &[1, 0, 0, 0][..end]).decode().is_err());
    }
    // Repeated, zero and reserved SPIs are for the SA database to judge; zero is no SPI.
    let body = hex("03040004 00000100 00000100 00000000 00000007");
    let Payload::Delete(delete) = raw(42, &body).decode().unwrap() else { panic!() };
    assert_eq!(delete.spis().len(), 4);
    assert_eq!(delete.esp_spis().map(EspSpi::get).collect::<Vec<_>>(), [256, 256, 7]);
    // AH, and a protocol with longer SPIs.
    let ah = hex("02040001 00000100");
    let Payload::Delete(delete) = raw(42, &ah).decode().unwrap() else { panic!() };
    assert_eq!((delete.protocol(), delete.spis().len(), delete.esp_spis().count()), (ProtocolId::AH, 1, 0));
    let update = hex("06100001 000102030405060708090a0b0c0d0e0f");
    let Payload::Delete(delete) = raw(42, &update).decode().unwrap() else { panic!() };
    assert_eq!(delete.spis().collect::<Vec<_>>(), [&update[4..]]);

    let spis = vec![EspSpi::new(300).unwrap(); 16_382];
    assert!(DeletePayload::esp(&spis).is_err());
    let most = Payload::Delete(DeletePayload::esp(&spis[1..]).unwrap());
    assert!(encode_chain(&[most], &mut Vec::new()).is_ok());
    assert_eq!(DeletePayload::esp(&[]).unwrap().spis().len(), 0);
}

#[test]
fn traffic_selectors() {
    let any = hex("07000010 0000ffff 00000000 ffffffff");
    let body = |count: u8, selectors: &[u8]| [&[count, 0, 0, 0], selectors].concat();
    assert!(raw(44, &body(1, &any)).decode().is_ok());
    let count = |claimed, actual| (ParseErrorKind::Count { claimed, actual }, Field::NumSelectors, 32);
    assert_eq!(undecodable(44, &body(2, &any)), count(2, 1));
    assert_eq!(undecodable(45, &body(0, &any)), count(0, 1));
    assert_eq!(undecodable(45, &body(0, &[])), (ParseErrorKind::Empty, Field::NumSelectors, 32));
    let changed = |at: usize, to: u8| {
        let mut selector = any.clone();
        selector[at] = to;
        undecodable(44, &body(1, &selector))
    };
    assert_eq!(changed(3, 15), (out_of_range(15, 16, 16), Field::SelectorLength, 38));
    assert_eq!(changed(3, 40), (out_of_range(40, 16, 16), Field::SelectorLength, 38));
    assert_eq!(changed(0, 8), (out_of_range(16, 40, 40), Field::SelectorLength, 38));
    let ports = ParseErrorKind::PortsReversed { start: 2, end: 1 };
    assert_eq!(
        undecodable(44, &body(1, &hex("07000010 00020001 00000000 ffffffff"))),
        (ports, Field::Ports, 40)
    );
    let (start, end) = ("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap());
    assert_eq!(
        undecodable(44, &body(1, &hex("07000010 0000ffff 0a000002 0a000001"))),
        (ParseErrorKind::AddressesReversed { start, end }, Field::Addresses, 44)
    );
    assert_eq!(undecodable(44, &body(1, &any[..15])), (truncated(12, 11), Field::SelectorLength, 38));
    assert_eq!(undecodable(44, &body(1, &any[..3])), (truncated(4, 3), Field::SubstructureHeader, 36));

    // 255 selectors, unknown types alone, one of them without anything in it.
    let Payload::TsI(ts) = Payload::TsI(TsPayload::build(&[TrafficSelector::ALL_V6; 255]).unwrap()) else {
        panic!()
    };
    assert_eq!(ts.selectors().filter(|selector| selector.known().is_some()).count(), 255);
    assert!(TsPayload::build(&[TrafficSelector::ALL_V6; 256]).is_err() && TsPayload::build(&[]).is_err());
    let unknown = body(2, &hex("0a000006 6162 09050004"));
    let Payload::TsR(ts) = raw(45, &unknown).decode().unwrap() else { panic!() };
    let selectors: Vec<_> = ts.selectors().collect();
    let label = UnknownSelector { ty: TsType::SECLABEL, protocol: 0, body: b"ab" };
    let channel = UnknownSelector { ty: TsType::FC_ADDR_RANGE, protocol: 5, body: &[] };
    assert_eq!(selectors, [Selector::Unknown(label), Selector::Unknown(channel)]);
    assert_eq!(TsPayload::from_selectors(selectors), Ok(ts.clone()));
    assert_eq!(
        undecodable(45, &body(1, &hex("0a000003"))),
        (out_of_range(3, 4, 65_535), Field::SelectorLength, 38)
    );
    let known = Selector::Unknown(UnknownSelector { ty: TsType::IPV4_ADDR_RANGE, protocol: 0, body: &[] });
    assert_eq!(TsPayload::from_selectors([known]).unwrap_err().kind, EncodeErrorKind::Type { ty: 7 });
}

#[test]
fn configuration_attributes() {
    // The reserved bit is ignored, unknown types stay, lengths that a type does not allow are told.
    let body = hex("01000000 80010004 0a000001  00010003 0a0000  7fff0002 beef  00080011
        20010db8000000000000000000000001 40  000d0008 c0000200 ffffff00  000e0003 000100");
    let Payload::Cp(cp) = raw(47, &body).decode().unwrap() else { panic!() };
    assert_eq!(cp.ty(), CfgType::REQUEST);
    let attributes: Vec<_> = cp.attributes().collect();
    let types: Vec<_> = attributes.iter().map(|attribute| attribute.ty.0).collect();
    assert_eq!(types, [1, 1, 0x7FFF, 8, 13, 14]);
    let allowed: Vec<_> = attributes.iter().map(CpAttribute::has_allowed_length).collect();
    assert_eq!(allowed, [true, false, true, true, true, false]);
    assert_eq!(attributes[0].address(), Some(("10.0.0.1".parse().unwrap(), None)));
    assert_eq!(attributes[1].address(), None);
    assert_eq!(attributes[3].address(), Some(("2001:db8::1".parse().unwrap(), Some(64))));
    assert_eq!(
        attributes[4].subnet4(),
        Some(("192.0.2.0".parse().unwrap(), "255.255.255.0".parse().unwrap()))
    );
    let mut out = Vec::new();
    Payload::Cp(cp).encode_body(&mut out).unwrap();
    assert_eq!(out, body);

    let error = undecodable(47, &hex("01000000 00010005 0a000001"));
    assert_eq!(error, (truncated(5, 4), Field::Attribute, 36));
    assert_eq!(undecodable(47, &hex("01000000 0001")), (truncated(4, 2), Field::Attribute, 36));
    assert_eq!(undecodable(47, &[1, 0]), (truncated(4, 2), Field::FixedFields, 32));
    let Payload::Cp(empty) = raw(47, &[4, 0, 0, 0]).decode().unwrap() else { panic!() };
    assert_eq!((empty.ty(), empty.attributes().count()), (CfgType::ACK, 0));
    let wide = CpAttribute::new(CfgAttribute(0x8001), &[]);
    assert_eq!(CpPayload::build(CfgType::SET, &[wide]).unwrap_err().field, Field::AttributeType);
    let long = vec![0; 65_536];
    let long = CpAttribute::new(CfgAttribute::APPLICATION_VERSION, &long);
    assert_eq!(CpPayload::build(CfgType::REPLY, &[long]).unwrap_err().field, Field::Attribute);
}

/// The Length column of IANA's registry of attribute types; no octets are a request.
#[test]
fn lengths_of_configuration_values() {
    let octets = [0; 40];
    let allowed = |ty| -> Vec<usize> {
        let attribute = |length| CpAttribute::new(CfgAttribute(ty), &octets[..length]);
        (0..=40).filter(|length| attribute(*length).has_allowed_length()).collect()
    };
    for (types, lengths) in [
        (&[1, 2, 3, 4, 6, 20, 24][..], &[0, 4][..]),
        (&[8, 15, 18], &[0, 17]),
        (&[10, 12, 21], &[0, 16]),
        (&[13], &[0, 8]),
        (&[16], &[0, 21]),
        (&[19], &[0, 16, 20]),
        (&[22], &[0, 2]),
        (&[23], &[0, 6]),
    ] {
        for ty in types {
            assert_eq!(allowed(*ty), lengths, "{}", CfgAttribute(*ty));
        }
    }
    assert_eq!(allowed(14), (0..=40).step_by(2).collect::<Vec<_>>());
    assert_eq!(allowed(17)[..3], [0, 8, 9]);
    for ty in [0, 5, 7, 9, 25, 26, 27, 28, 29, 30, 32_767] {
        assert_eq!(allowed(ty).len(), 41);
    }
}

#[test]
fn errors_say_what_and_where() {
    let error = raw(42, &[1, 4, 0, 1]).decode().unwrap_err();
    assert_eq!(error.to_string(), "D payload, SPI Size at octet 33: SPI size 4 with protocol IKE");
    let error = Message::parse(&[0; 5]).unwrap_err();
    assert_eq!(error.to_string(), "IKE message, header at octet 0: 28 octets needed, 5 left");
    let error = NoncePayload::new(&[]).unwrap_err();
    assert_eq!(error.to_string(), "Nonce payload, data: 0 is not between 16 and 256");
    fn is_error<E: std::error::Error + Send + Sync + Copy + 'static>(_: E) {}
    is_error(error);
    is_error(raw(40, &[]).decode().unwrap_err());
    fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<(Message<'_>, Payload<'_>, Payloads<'_>, Proposal)>();
}
