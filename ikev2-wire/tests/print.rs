//! What messages look like.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{empty_payloads, hex, message_of, payload};
use ikev2_wire::print::Tree;
use ikev2_wire::*;
use ipsec_types::{AddressRange, PortRange, SequenceNumbers};

/// The payloads of an IKE_AUTH request, and a few that do not belong there.
fn inner_chain() -> (PayloadType, Vec<u8>) {
    let esp = Proposal {
        number: 1,
        protocol: ProtocolId::ESP,
        spi: hex("c0ffee02"),
        transforms: vec![
            Transform::encr(EncrId::AES_GCM_16, Some(256)),
            Transform::encr(EncrId::CHACHA20_POLY1305, None),
            Transform::integ(IntegId::NONE),
            Transform::sn(SequenceNumbers::Sequential64),
            Transform {
                other_attributes: vec![Attribute::key_length(5)],
                ..Transform::encr(EncrId(1_024), Some(7))
            },
        ],
    };
    let tcp = TrafficSelector {
        addresses: AddressRange::prefix("10.1.0.0".parse().unwrap(), 16).unwrap(),
        protocol: 6,
        ports: PortRange::single(443),
    };
    let label = Selector::Unknown(UnknownSelector { ty: TsType::SECLABEL, protocol: 0, body: b"secret" });
    let attributes = [
        CpAttribute::new(CfgAttribute::INTERNAL_IP4_ADDRESS, &[]),
        CpAttribute::new(CfgAttribute::INTERNAL_IP4_DNS, &[192, 0, 2, 53]),
        CpAttribute::new(CfgAttribute::INTERNAL_IP4_NETMASK, &[1]),
        CpAttribute::new(CfgAttribute(20_000), &[0xBE, 0xEF]),
    ];
    let spis: Vec<EspSpi> = (256..274).filter_map(EspSpi::new).collect();
    let payloads = [
        Payload::IdI(IdPayload::new(IdType::FQDN, b"moon\x1b[31m.example")),
        Payload::IdR(IdPayload::new(IdType::IPV4_ADDR, &[192, 0, 2, 1])),
        Payload::IdR(IdPayload::new(IdType::DER_ASN1_DN, &[0x30; 90])),
        Payload::Cert(CertPayload { encoding: CertEncoding::X509_SIGNATURE, data: &[0x30; 700] }),
        Payload::CertReq(CertReqPayload { encoding: CertEncoding::X509_SIGNATURE, authorities: &[1; 40] }),
        Payload::Auth(AuthPayload::new(AuthMethod::DIGITAL_SIGNATURE, &[2; 80])),
        Payload::Cp(CpPayload::build(CfgType::REQUEST, &attributes).unwrap()),
        Payload::Sa(SaPayload::build(&[esp]).unwrap()),
        Payload::TsI(TsPayload::from_selectors([Selector::Known(tcp), label]).unwrap()),
        Payload::TsR(TsPayload::build(&[TrafficSelector::ALL_V6]).unwrap()),
        Payload::Notify(NotifyPayload::with_spi(ProtocolId::ESP, &[1, 2, 3, 4], NotifyType::REKEY_SA, &[])),
        Payload::Notify(NotifyPayload::new(NotifyType::INVALID_KE_PAYLOAD, &[0, 19])),
        Payload::Notify(NotifyPayload::new(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[200])),
        Payload::Notify(NotifyPayload::new(NotifyType::AUTH_LIFETIME, &[0, 0, 0x0E, 0x10])),
        Payload::Notify(NotifyPayload::new(NotifyType(50_000), &[9; 20])),
        Payload::Delete(DeletePayload::ike()),
        Payload::Delete(DeletePayload::esp(&spis).unwrap()),
        Payload::VendorId(VendorIdPayload(b"strong stuff")),
        Payload::VendorId(VendorIdPayload(&[0xAB; 20])),
        Payload::Eap(EapPayload::new(&[2, 7, 0, 8, 26, 1, 2, 3]).unwrap()),
        Payload::Eap(EapPayload::new(&[3, 7, 0, 4]).unwrap()),
        Payload::Unknown(UnknownPayload { ty: PayloadType::GSA, critical: true, body: &[1, 2] }),
    ];
    let mut out = Vec::new();
    let first = encode_chain(&payloads, &mut out).unwrap();
    (first, out)
}

const INNER: &str = r#"IDi, 25 octets: ID_FQDN "moon\x1b[31m.example"
IDr, 12 octets: ID_IPV4_ADDR 192.0.2.1
IDr, 98 octets: ID_DER_ASN1_DN, 90 octets of data
CERT, 705 octets: X.509 Certificate - Signature, 700 octets of data
CERTREQ, 45 octets: X.509 Certificate - Signature, 2 authorities
AUTH, 88 octets: Digital Signature, 80 octets of data
CP, 31 octets: CFG_REQUEST
  INTERNAL_IP4_ADDRESS
  INTERNAL_IP4_DNS: 192.0.2.53
  INTERNAL_IP4_NETMASK: 1 octets, which its type does not allow
  CfgAttribute(20000): beef
SA, 68 octets
  proposal 1: ESP, SPI c0ffee02
    ENCR_AES_GCM_16-256
    ENCR_CHACHA20_POLY1305
    INTEG=NONE
    SN=Partially Transmitted 64-bit Sequential Numbers
    ENCR=EncrId(1024)-7+Key Length
TSi, 34 octets
  10.1.0.0/16[tcp/443]
  TS_SECLABEL, 6 octets of data
TSr, 48 octets
  ::/0
N, 12 octets: REKEY_SA, ESP SPI 01020304
N, 10 octets: INVALID_KE_PAYLOAD, 256-bit random ECP group
N, 9 octets: UNSUPPORTED_CRITICAL_PAYLOAD, PayloadType(200)
N, 12 octets: AUTH_LIFETIME, 00000e10
N, 28 octets: NotifyType(50000), 20 octets of data
D, 8 octets: IKE
D, 80 octets: ESP, SPIs 00000100 00000101 00000102 00000103 00000104 00000105 00000106 00000107 00000108 00000109 0000010a 0000010b 0000010c 0000010d 0000010e 0000010f and 2 more
V, 16 octets: "strong stuff"
V, 24 octets: abababababababababababababababab...
EAP, 12 octets: Response, identifier 7, type 26, 3 octets of data
EAP, 8 octets: Success, identifier 7
GSA, 6 octets, critical
"#;

#[test]
fn payloads_inside() {
    let (first, octets) = inner_chain();
    let tree = Tree::new(Payloads::parse(first, &octets, 0).unwrap());
    assert_eq!(tree.to_string(), INNER);
    let indented: String = INNER.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(tree.indented().to_string(), indented);
}

#[test]
fn a_protected_message_with_a_payload_outside() {
    let mut after = payload(53, b"hi");
    after.extend_from_slice(&hex("23000014 0001 0003 000102030405060708090a0b"));
    let mut octets = message_of(43, 43, &after);
    octets[15] = 0xFF;
    octets[19] = 0x20;
    octets[23] = 1;
    assert_eq!(
        Message::parse(&octets).unwrap().to_string(),
        "IKE_INTERMEDIATE response of responder, Message ID 1, SPIs 0102030405060708 00000000000000ff, \
         version 2.0, 54 octets\n  \
           V, 6 octets: \"hi\"\n  \
           SKF: 12 octets, fragment 1 of 3, first inside IDi\n"
    );
    let octets = message_of(37, 46, &payload(0, &[7; 30]));
    assert_eq!(
        Message::parse(&octets).unwrap().to_string(),
        "INFORMATIONAL request of initiator, Message ID 0, SPIs 0102030405060708 none, version 2.0, 62 octets\n  \
           SK: 30 octets\n"
    );
}

#[test]
fn malformed_payloads_say_what_is_wrong_and_the_others_are_printed() {
    let mut after = payload(41, &[5; 8]);
    after.extend_from_slice(&payload(0, &[0, 0, 0x40, 0x05]));
    let octets = message_of(240, 40, &after);
    assert_eq!(
        Message::parse(&octets).unwrap().to_string(),
        "ExchangeType(240) request of initiator, Message ID 0, SPIs 0102030405060708 none, version 2.0, \
         48 octets\n  \
           Nonce, 12 octets: malformed: Nonce payload, data at octet 32: 8 is not between 16 and 256\n  \
           N, 8 octets: NAT_DETECTION_DESTINATION_IP\n"
    );
}

#[test]
fn the_longest_text_is_bounded_by_the_message() {
    let octets = message_of(34, 200, &empty_payloads(MAX_PAYLOADS, 0));
    let text = Message::parse(&octets).unwrap().to_string();
    assert_eq!(text.lines().count(), 1 + MAX_PAYLOADS);
}
