//! Encodings worked out by hand from the layouts of the documents, octet by octet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{hex, raw};
use core::net::Ipv4Addr;
use ikev2_wire::*;
use ipsec_types::{AddressRange, PortRange, SequenceNumbers};

/// That this payload, followed by one of type `next`, is these octets, and the other way round.
fn is_encoded(payload: &Payload<'_>, next: u8, octets: &[u8]) {
    let mut out = Vec::new();
    let mut chain = ChainEncoder::new(&mut out);
    chain.push(payload).unwrap();
    assert_eq!(chain.finish(PayloadType(next)), payload.ty());
    assert_eq!(out, octets, "{payload:?}");
    assert_eq!(raw(payload.ty().0, &octets[4..]).decode().unwrap(), *payload);
}

/// RFC 7296 §3.3.1, §3.3.2, §3.3.5; RFC 9370 §2.2.1 for the ADDKE1 transforms.
#[test]
fn ike_proposal_with_an_optional_additional_key_exchange() {
    let proposal = Proposal {
        number: 1,
        protocol: ProtocolId::IKE,
        spi: vec![],
        transforms: vec![
            Transform::encr(EncrId::AES_GCM_16, Some(256)),
            Transform::prf(PrfId::HMAC_SHA2_256),
            Transform::ke(KeMethod::CURVE25519),
            Transform::new(TransformType::ADDKE1, KeMethod::ML_KEM_768.0),
            Transform::new(TransformType::ADDKE1, KeMethod::NONE.0),
        ],
    };
    let sa = SaPayload::build(std::slice::from_ref(&proposal)).unwrap();
    let octets =
        hex("22000038 00000034 01010005 0300000c 01000014 800e0100 03000008 02000005 03000008 0400001f
                      03000008 06000024 00000008 06000000");
    is_encoded(&Payload::Sa(sa.clone()), 34, &octets);
    assert_eq!(sa.proposals().map(|view| view.to_owned()).collect::<Vec<_>>(), [proposal]);
}

/// RFC 7296 §3.3.1, §3.3.2; RFC 9827 for the SN transforms.
#[test]
fn esp_proposal_with_every_kind_of_sequence_numbers() {
    let proposal = Proposal {
        number: 1,
        protocol: ProtocolId::ESP,
        spi: hex("c0ffee02"),
        transforms: vec![
            Transform::encr(EncrId::AES_GCM_16, Some(256)),
            Transform::sn(SequenceNumbers::Sequential32),
            Transform::sn(SequenceNumbers::Sequential64),
            Transform::sn(SequenceNumbers::Unspecified32),
        ],
    };
    let sa = SaPayload::build(std::slice::from_ref(&proposal)).unwrap();
    let octets = hex("2c000034 00000030 01030404 c0ffee02 0300000c 01000014 800e0100 03000008 05000000
                      03000008 05000001 00000008 05000002");
    is_encoded(&Payload::Sa(sa.clone()), 44, &octets);
    assert_eq!(sa.proposals().map(|view| view.to_owned()).collect::<Vec<_>>(), [proposal]);
}

/// The example of RFC 7296 §3.3: two ESP proposals, the second with a combined-mode cipher.
#[test]
fn the_two_proposals_of_rfc_7296_section_3_3() {
    let encr = |id, bits| Transform::encr(id, Some(bits));
    let both = [SequenceNumbers::Sequential64, SequenceNumbers::Sequential32].map(Transform::sn);
    let [esn, no_esn] = &both;
    let first = vec![
        encr(EncrId::AES_CBC, 128),
        encr(EncrId::AES_CBC, 192),
        encr(EncrId::AES_CBC, 256),
        Transform::integ(IntegId::HMAC_SHA1_96),
        Transform::integ(IntegId::AES_XCBC_96),
        esn.clone(),
        no_esn.clone(),
    ];
    let second =
        vec![encr(EncrId::AES_GCM_8, 128), encr(EncrId::AES_GCM_8, 256), esn.clone(), no_esn.clone()];
    let proposals = [
        Proposal { number: 1, protocol: ProtocolId::ESP, spi: hex("052357bb"), transforms: first },
        Proposal { number: 2, protocol: ProtocolId::ESP, spi: hex("35a1d6f2"), transforms: second },
    ];
    let octets = hex("00000088
        02000050 01030407 052357bb
          0300000c 0100000c 800e0080  0300000c 0100000c 800e00c0  0300000c 0100000c 800e0100
          03000008 03000002  03000008 03000005  03000008 05000001  00000008 05000000
        00000034 02030404 35a1d6f2
          0300000c 01000012 800e0080  0300000c 01000012 800e0100  03000008 05000001  00000008 05000000");
    is_encoded(&Payload::Sa(SaPayload::build(&proposals).unwrap()), 0, &octets);
}

/// RFC 7296 §3.13: the selector list that matches any IPv4 packet.
#[test]
fn any_ipv4() {
    let ts = TsPayload::build(&[TrafficSelector::ALL_V4]).unwrap();
    is_encoded(&Payload::TsI(ts), 0, &hex("00000018 01000000 07000010 0000ffff 00000000 ffffffff"));
}

/// RFC 7296 §3.13: the example TSi of two ports of one host; IPv6; OPAQUE ports.
#[test]
fn traffic_selectors() {
    let host = AddressRange::single(Ipv4Addr::new(198, 51, 100, 66).into());
    let port = |port| TrafficSelector { addresses: host, protocol: 17, ports: PortRange::single(port) };
    let octets =
        hex("2d000028 02000000 07110010 00640064 c6336442 c6336442 07110010 00c800c8 c6336442 c6336442");
    is_encoded(&Payload::TsI(TsPayload::build(&[port(100), port(200)]).unwrap()), 45, &octets);

    let v6 = AddressRange::prefix("2001:db8::".parse().unwrap(), 32).unwrap();
    let opaque = TrafficSelector { addresses: v6, protocol: 6, ports: PortRange::OPAQUE };
    let octets = hex("00000030 01000000 08060028 ffff0000
        20010db8 00000000 00000000 00000000 20010db8 ffffffff ffffffff ffffffff");
    is_encoded(&Payload::TsR(TsPayload::build(&[opaque]).unwrap()), 0, &octets);
}

/// RFC 7427 §4: the example notification, after its generic payload header.
#[test]
fn signature_hash_algorithms() {
    let notify = NotifyPayload::new(NotifyType::SIGNATURE_HASH_ALGORITHMS, &[0, 2, 0, 3, 0, 4, 0, 5]);
    is_encoded(&Payload::Notify(notify), 0, &hex("0000 0010 0000 402f 0002 0003 0004 0005"));
    assert_eq!(
        notify.hash_algorithms().unwrap().collect::<Vec<_>>(),
        [HashAlgorithm::SHA2_256, HashAlgorithm::SHA2_384, HashAlgorithm::SHA2_512, HashAlgorithm::IDENTITY]
    );
}

/// RFC 7427 §3 and appendix A; RFC 8420 appendix A.
#[test]
fn digital_signatures() {
    for algorithm in [
        "300d06092a864886f70d0101050500",
        "300d06092a864886f70d01010b0500",
        "300d06092a864886f70d01010c0500",
        "300d06092a864886f70d01010d0500",
        "300906072a8648ce380403",
        "300b0609608648016503040302",
        "300906072a8648ce3d0401",
        "300a06082a8648ce3d040302",
        "300a06082a8648ce3d040303",
        "300a06082a8648ce3d040304",
        "300d06092a864886f70d01010a3000",
        "303e06092a864886f70d01010a3031 a00b300906052b0e03021a0500 a118301606092a864886f70d010108
         300906052b0e03021a0500 a203020114 a303020101",
        "304606092a864886f70d01010a3039 a00f300d06096086480165030402010500 a11c301a06092a864886f70d010108
         300d06096086480165030402010500 a203020120 a303020101",
        "300506032b6570",
        "300506032b6571",
    ] {
        let algorithm = hex(algorithm);
        // A DER SEQUENCE states its own length: the ASN.1 Length octet is two more.
        assert_eq!(usize::from(algorithm[1]) + 2, algorithm.len());
        let mut data = vec![algorithm[1] + 2];
        data.extend_from_slice(&algorithm);
        data.extend_from_slice(&[0xAB; 64]);
        let signature = DigitalSignature::parse(&data).unwrap();
        assert_eq!((signature.algorithm, signature.signature), (&algorithm[..], &[0xAB; 64][..]));
        let mut encoded = Vec::new();
        signature.encode(&mut encoded).unwrap();
        assert_eq!(encoded, data);
    }
}

/// RFC 7296 §3.4 to §3.12, §3.15, §3.16, and RFC 7619 §2.2.
#[test]
fn the_other_payloads() {
    let ke = KePayload { method: KeMethod::CURVE25519, data: &[1, 2, 3] };
    is_encoded(&Payload::Ke(ke), 40, &hex("2800000b 001f0000 010203"));

    let id = IdPayload::new(IdType::FQDN, b"example.com");
    is_encoded(&Payload::IdI(id), 39, &hex("27000013 02000000 6578616d706c652e636f6d"));
    let id = IdPayload { ty: IdType::IPV4_ADDR, reserved: [1, 2, 3], data: &[192, 0, 2, 1] };
    is_encoded(&Payload::IdR(id), 0, &hex("0000000c 01010203 c0000201"));
    assert_eq!(id.address(), Some(Ipv4Addr::new(192, 0, 2, 1).into()));
    is_encoded(&Payload::IdR(IdPayload::new(IdType::NULL, &[])), 0, &hex("00000008 0d000000"));

    let cert = CertPayload { encoding: CertEncoding::X509_SIGNATURE, data: &[0x30, 0] };
    is_encoded(&Payload::Cert(cert), 38, &hex("26000007 04 3000"));
    let authorities = [0x11; 20];
    let request = CertReqPayload { encoding: CertEncoding::X509_SIGNATURE, authorities: &authorities };
    let octets = hex("00000019 04 1111111111111111111111111111111111111111");
    is_encoded(&Payload::CertReq(request), 0, &octets);
    assert_eq!(request.key_hashes().collect::<Vec<_>>(), [&authorities]);

    let auth = AuthPayload::new(AuthMethod::SHARED_KEY, &[0xAA; 4]);
    is_encoded(&Payload::Auth(auth), 33, &hex("2100000c 02000000 aaaaaaaa"));

    let nonce = NoncePayload::new(&[5; 16]).unwrap();
    is_encoded(&Payload::Nonce(nonce), 0, &hex("00000014 05050505050505050505050505050505"));

    let rekey = NotifyPayload::with_spi(ProtocolId::ESP, &[0xC0, 0xFF, 0xEE, 2], NotifyType::REKEY_SA, &[]);
    is_encoded(&Payload::Notify(rekey), 33, &hex("2100000c 03044009 c0ffee02"));
    let wants = NotifyPayload::new(NotifyType::INVALID_KE_PAYLOAD, &[0, 19]);
    is_encoded(&Payload::Notify(wants), 0, &hex("0000000a 00000011 0013"));
    assert_eq!(wants.ke_method(), Some(KeMethod::ECP_256));

    is_encoded(&Payload::Delete(DeletePayload::ike()), 0, &hex("00000008 01000000"));
    let spis = [0xC0FF_EE02, 0x0000_0100].map(|spi| EspSpi::new(spi).unwrap());
    let delete = DeletePayload::esp(&spis).unwrap();
    assert_eq!(delete.esp_spis().collect::<Vec<_>>(), spis);
    is_encoded(&Payload::Delete(delete), 0, &hex("00000010 03040002 c0ffee02 00000100"));

    is_encoded(&Payload::VendorId(VendorIdPayload(b"hi")), 0, &hex("00000006 6869"));

    let attributes = [
        CpAttribute::new(CfgAttribute::INTERNAL_IP4_ADDRESS, &[]),
        CpAttribute::new(CfgAttribute::INTERNAL_IP4_DNS, &[192, 0, 2, 53]),
    ];
    let cp = CpPayload::build(CfgType::REQUEST, &attributes).unwrap();
    assert_eq!(cp.attributes().collect::<Vec<_>>(), attributes);
    is_encoded(&Payload::Cp(cp), 33, &hex("21000014 01000000 00010000 00030004 c0000235"));

    let eap = EapPayload::new(&[1, 7, 0, 5, 1]).unwrap();
    assert_eq!((eap.code(), eap.identifier(), eap.ty()), (EapCode::REQUEST, 7, Some(1)));
    is_encoded(&Payload::Eap(eap), 0, &hex("00000009 01070005 01"));

    let unknown = UnknownPayload { ty: PayloadType(200), critical: true, body: &[9] };
    let mut out = Vec::new();
    assert_eq!(encode_chain(&[Payload::Unknown(unknown)], &mut out).unwrap(), PayloadType(200));
    assert_eq!(out, hex("0080 0005 09"));
}

/// RFC 7296 §3.1.
#[test]
fn header() {
    let header = Header {
        initiator_spi: IkeSpi::new(0x0102_0304_0506_0708).unwrap(),
        responder_spi: IkeSpi::new(0x1112_1314_1516_1718),
        next_payload: PayloadType::NONE,
        version: Version::V2,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags::new(true, true),
        message_id: 0x2122_2324,
        length: 28,
    };
    let octets = hex("0102030405060708 1112131415161718 00202528 21222324 0000001c");
    assert_eq!(header.to_bytes(), octets[..]);
    assert_eq!(Header::parse(&octets), Ok(header));
    assert_eq!(
        (Flags::new(false, false).0, Flags::new(true, false).0, Flags::new(false, true).0),
        (0, 8, 0x20)
    );
    assert!(Flags(0x10).is_version() && !Flags(0xEF).is_version());
}

/// RFC 7296 §2.15: RestOfInitIDPayload is type, reserved octets as received, and data.
#[test]
fn what_of_an_identity_is_under_auth() {
    let octets = hex("02 a1a2a3 78");
    let Payload::IdI(id) = raw(35, &octets).decode().unwrap() else { panic!() };
    let mut body = Vec::new();
    id.body(&mut body);
    assert_eq!(body, octets);
}

/// RFC 7296 §3.14, RFC 7383 §2.5: where the associated data ends and the IV starts.
#[test]
fn encrypted_payloads() {
    let octets = common::message_of(37, 46, &hex("29 00 0007 aabbcc"));
    let message = Message::parse(&octets).unwrap();
    let Some(Protected::Sk(sk)) = message.protected() else { panic!() };
    assert_eq!((sk.first_inner, sk.header_len, sk.body), (PayloadType::NOTIFY, 32, &hex("aabbcc")[..]));
    assert_eq!(message.payloads().len(), 0);

    let octets = common::message_of(43, 43, &hex("35 00 0005 77  23 00 000b 0001 0002 aabbcc"));
    let message = Message::parse(&octets).unwrap();
    let Some(Protected::Skf(skf)) = message.protected() else { panic!() };
    assert_eq!((skf.first_inner, skf.number, skf.total), (PayloadType::ID_I, 1, 2));
    assert_eq!((skf.header_len, skf.body), (28 + 5 + 8, &hex("aabbcc")[..]));
    let outer: Vec<_> = message.payloads().map(|raw| (raw.ty, raw.offset, raw.body)).collect();
    assert_eq!(outer, [(PayloadType::VENDOR_ID, 28, &[0x77][..])]);
}
