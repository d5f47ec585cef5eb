//! What holds for every input: nothing panics, what is built comes back, what is accepted goes out unchanged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ikev2_wire::print::Tree;
use ikev2_wire::*;
use ipsec_types::{AddressRange, PortRange};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The values of a payload, owning what the payload borrows.
#[derive(Clone, Debug)]
enum Spec {
    Sa(Vec<Proposal>),
    Ke(u16, Vec<u8>),
    Id(bool, IdType, [u8; 3], Vec<u8>),
    Cert(bool, u8, Vec<u8>),
    Auth(u8, [u8; 3], Vec<u8>),
    Nonce(Vec<u8>),
    Notify(u8, Vec<u8>, u16, Vec<u8>),
    DeleteIke,
    DeleteEsp(Vec<EspSpi>),
    VendorId(Vec<u8>),
    Ts(bool, Vec<OwnedSelector>),
    Cp(u8, Vec<(u16, Vec<u8>)>),
    Eap(Vec<u8>),
    Unknown(u8, bool, Vec<u8>),
}

#[derive(Clone, Debug)]
enum OwnedSelector {
    Known(TrafficSelector),
    Unknown(u8, u8, Vec<u8>),
}

impl Spec {
    fn payload(&self) -> Payload<'_> {
        match self {
            Self::Sa(proposals) => Payload::Sa(SaPayload::build(proposals).unwrap()),
            Self::Ke(method, data) => Payload::Ke(KePayload { method: KeMethod(*method), data }),
            Self::Id(initiator, ty, reserved, data) => {
                let id = IdPayload { ty: *ty, reserved: *reserved, data };
                if *initiator { Payload::IdI(id) } else { Payload::IdR(id) }
            }
            Self::Cert(request, encoding, data) if *request => {
                Payload::CertReq(CertReqPayload { encoding: CertEncoding(*encoding), authorities: data })
            }
            Self::Cert(_, encoding, data) => {
                Payload::Cert(CertPayload { encoding: CertEncoding(*encoding), data })
            }
            Self::Auth(method, reserved, data) => {
                Payload::Auth(AuthPayload { method: AuthMethod(*method), reserved: *reserved, data })
            }
            Self::Nonce(nonce) => Payload::Nonce(NoncePayload::new(nonce).unwrap()),
            Self::Notify(protocol, spi, ty, data) => {
                let protocol = if spi.is_empty() { ProtocolId::NONE } else { ProtocolId(*protocol) };
                Payload::Notify(NotifyPayload::with_spi(protocol, spi, NotifyType(*ty), data))
            }
            Self::DeleteIke => Payload::Delete(DeletePayload::ike()),
            Self::DeleteEsp(spis) => Payload::Delete(DeletePayload::esp(spis).unwrap()),
            Self::VendorId(octets) => Payload::VendorId(VendorIdPayload(octets)),
            Self::Ts(initiator, selectors) => {
                let selectors = selectors.iter().map(|selector| match selector {
                    OwnedSelector::Known(selector) => Selector::Known(*selector),
                    OwnedSelector::Unknown(ty, protocol, body) => {
                        Selector::Unknown(UnknownSelector { ty: TsType(*ty), protocol: *protocol, body })
                    }
                });
                let ts = TsPayload::from_selectors(selectors).unwrap();
                if *initiator { Payload::TsI(ts) } else { Payload::TsR(ts) }
            }
            Self::Cp(ty, attributes) => {
                let attributes: Vec<_> =
                    attributes.iter().map(|(ty, value)| CpAttribute::new(CfgAttribute(*ty), value)).collect();
                Payload::Cp(CpPayload::build(CfgType(*ty), &attributes).unwrap())
            }
            Self::Eap(message) => Payload::Eap(EapPayload::new(message).unwrap()),
            Self::Unknown(ty, critical, body) => {
                Payload::Unknown(UnknownPayload { ty: PayloadType(*ty), critical: *critical, body })
            }
        }
    }
}

fn octets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

fn transform() -> impl Strategy<Value = Transform> {
    let value = prop_oneof![
        any::<u16>().prop_map(AttributeValue::Short),
        octets(6).prop_map(|value| AttributeValue::Long(value.into())),
    ];
    let attribute = (select(vec![14, 18, 0, 0x7FFF]), value);
    let attribute = attribute.prop_map(|(ty, value)| Attribute { ty: TransformAttribute(ty), value });
    let key_bits = prop::option::of(any::<u16>());
    (0u8..=15, 0u16..40, key_bits, vec(attribute, 0..3)).prop_map(|(ty, id, key_bits, mut others)| {
        // Were there none, the first well-formed Key Length among the others would be taken for it.
        others.retain(|attribute| key_bits.is_some() || attribute.as_key_length().is_none());
        Transform { ty: TransformType(ty), id, key_bits, other_attributes: others }
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (any::<u8>(), 0u8..7, octets(9), vec(transform(), 0..6)).prop_map(
        |(number, protocol, spi, transforms)| Proposal {
            number,
            protocol: ProtocolId(protocol),
            spi,
            transforms,
        },
    )
}

fn selector() -> impl Strategy<Value = OwnedSelector> {
    let addresses = prop_oneof![
        (any::<u32>(), any::<u32>())
            .prop_map(|(a, b)| { [a.min(b), a.max(b)].map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))) }),
        (any::<u128>(), any::<u128>())
            .prop_map(|(a, b)| { [a.min(b), a.max(b)].map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))) }),
    ];
    let ports = prop_oneof![
        Just(PortRange::ANY),
        Just(PortRange::OPAQUE),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()),
    ];
    let known = (addresses, any::<u8>(), ports).prop_map(|([start, end], protocol, ports)| {
        let addresses = AddressRange::new(start, end).unwrap();
        OwnedSelector::Known(TrafficSelector { addresses, protocol, ports })
    });
    let unknown = (select(vec![0u8, 9, 10, 241]), any::<u8>(), octets(9));
    prop_oneof![known, unknown.prop_map(|(ty, protocol, body)| OwnedSelector::Unknown(ty, protocol, body))]
}

fn identity() -> impl Strategy<Value = Spec> {
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|data| (IdType::IPV4_ADDR, data.to_vec())),
        any::<[u8; 16]>().prop_map(|data| (IdType::IPV6_ADDR, data.to_vec())),
        "[a-z.@]{0,20}".prop_map(|text| (IdType::FQDN, text.into_bytes())),
        octets(20).prop_map(|data| (IdType::KEY_ID, data)),
        Just((IdType::NULL, vec![])),
        octets(5).prop_map(|data| (IdType(201), data)),
    ];
    (any::<bool>(), any::<[u8; 3]>(), data)
        .prop_map(|(i, reserved, (ty, data))| Spec::Id(i, ty, reserved, data))
}

fn eap() -> impl Strategy<Value = Spec> {
    (select(vec![1u8, 2, 3, 4, 5, 200]), any::<u8>(), any::<u8>(), octets(20)).prop_map(
        |(code, identifier, ty, data)| {
            let mut message = vec![code, identifier, 0, 0];
            if matches!(code, 1 | 2) {
                message.push(ty);
            }
            if !matches!(code, 3 | 4) {
                message.extend_from_slice(&data);
            }
            message[3] = u8::try_from(message.len()).unwrap();
            Spec::Eap(message)
        },
    )
}

fn spec() -> impl Strategy<Value = Spec> {
    let spi = any::<u32>().prop_filter_map("zero", EspSpi::new);
    let unknown_types: Vec<u8> = (1..=255u8).filter(|ty| !matches!(ty, 33..=48 | 53)).collect();
    let types = prop_oneof![select(NotifyType::REGISTERED).prop_map(|ty| ty.0), any::<u16>()];
    let attribute = (0u16..32_768, octets(20));
    let registered = (select(CfgAttribute::REGISTERED).prop_map(|ty| ty.0), octets(20));
    prop_oneof![
        vec(proposal(), 1..4).prop_map(Spec::Sa),
        (any::<u16>(), octets(40)).prop_map(|(method, data)| Spec::Ke(method, data)),
        identity(),
        (any::<bool>(), any::<u8>(), octets(45)).prop_map(|(request, e, data)| Spec::Cert(request, e, data)),
        (any::<u8>(), any::<[u8; 3]>(), octets(40)).prop_map(|(method, r, data)| Spec::Auth(method, r, data)),
        vec(any::<u8>(), 16..=256).prop_map(Spec::Nonce),
        (any::<u8>(), octets(9), types, octets(20))
            .prop_map(|(protocol, spi, ty, data)| Spec::Notify(protocol, spi, ty, data)),
        Just(Spec::DeleteIke),
        vec(spi, 0..20).prop_map(Spec::DeleteEsp),
        octets(20).prop_map(Spec::VendorId),
        (any::<bool>(), vec(selector(), 1..5)).prop_map(|(initiator, list)| Spec::Ts(initiator, list)),
        (any::<u8>(), vec(prop_oneof![attribute, registered], 0..5))
            .prop_map(|(ty, list)| Spec::Cp(ty, list)),
        eap(),
        (select(unknown_types), any::<bool>(), octets(20))
            .prop_map(|(ty, c, body)| Spec::Unknown(ty, c, body)),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    let spis = (1u64.., any::<u64>());
    (spis, any::<u8>(), 0u8..16, any::<u8>(), any::<u32>()).prop_map(
        |((initiator, responder), exchange, minor, flags, message_id)| Header {
            initiator_spi: IkeSpi::new(initiator).unwrap(),
            responder_spi: IkeSpi::new(responder),
            next_payload: PayloadType(99),
            version: Version { major: 2, minor },
            exchange: ExchangeType(exchange),
            flags: Flags(flags),
            message_id,
            length: 7,
        },
    )
}

/// A whole message, in the clear or with an SK or SKF payload at its end.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let protected = prop::option::of((any::<bool>(), any::<u8>(), octets(60)));
    (header(), vec(spec(), 0..6), protected).prop_map(|(header, specs, protected)| {
        let mut out = vec![0; Header::LEN];
        let mut chain = ChainEncoder::new(&mut out);
        for spec in &specs {
            chain.push(&spec.payload()).unwrap();
        }
        let next_payload = match protected {
            None => chain.finish(PayloadType::NONE),
            Some((fragment, first_inner, body)) => {
                let ty = if fragment { PayloadType::SKF } else { PayloadType::SK };
                let first = chain.finish(ty);
                let numbers = FragmentHeader { number: 2, total: 3 }.to_bytes();
                let numbers = if fragment { &numbers[..] } else { &[] };
                let length = u16::try_from(GenericHeader::LEN + numbers.len() + body.len()).unwrap();
                let next_payload = PayloadType(first_inner);
                GenericHeader { next_payload, critical: false, length }.encode(&mut out);
                out.extend_from_slice(numbers);
                out.extend_from_slice(&body);
                first
            }
        };
        let length = u32::try_from(out.len()).unwrap();
        out[..Header::LEN].copy_from_slice(&Header { next_payload, length, ..header }.to_bytes());
        out
    })
}

/// Everything that can be asked of octets, none of which may panic; and that what is accepted goes out as it
/// came in.
fn exercise(octets: &[u8]) {
    if let Ok(header) = Header::parse(octets) {
        assert_eq!(header.to_bytes(), octets[..Header::LEN]);
    }
    let Ok(message) = Message::parse(octets) else { return };
    assert_eq!(message.as_bytes(), octets);
    assert!(message.to_string().lines().count() > message.payloads().len());
    exercise_chain(message.header().next_payload, message.payloads(), &octets[Header::LEN..]);
    if let Some(protected) = message.protected() {
        assert_eq!(protected.header_len() + protected.body().len(), octets.len());
        assert_eq!(&octets[protected.header_len()..], protected.body());
    }
}

fn exercise_chain(first: PayloadType, payloads: Payloads<'_>, octets: &[u8]) {
    let mut out = Vec::new();
    let mut chain = ChainEncoder::new(&mut out);
    let count = payloads.len();
    assert!(count <= MAX_PAYLOADS);
    assert_eq!(payloads.clone().count(), count);
    let _ = Tree::new(payloads.clone()).to_string();
    for raw in payloads {
        chain.push_raw(&raw).unwrap();
        assert_eq!(&octets[raw.offset - Header::LEN + GenericHeader::LEN..][..raw.body.len()], raw.body);
        match raw.decode() {
            Ok(payload) => exercise_payload(&raw, &payload),
            Err(error) => {
                assert!(error.offset >= raw.offset && error.offset <= raw.offset + 4 + raw.body.len());
                assert!(error.payload == Some(raw.ty) && !error.to_string().is_empty());
            }
        }
    }
    let end = chain.finish(PayloadType::NONE);
    if count > 0 {
        assert_eq!(end, first);
    }
    // The last Next Payload is that of the SK payload, where there is one.
    if let Some(last) = last_header(&out) {
        out[last] = octets[last];
    }
    assert_eq!(out, octets[..out.len()]);
}

/// Where the last generic payload header of a chain starts.
fn last_header(chain: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut last = None;
    while at < chain.len() {
        last = Some(at);
        at += usize::from(u16::from_be_bytes([chain[at + 2], chain[at + 3]]));
    }
    last
}

fn exercise_payload(raw: &RawPayload<'_>, payload: &Payload<'_>) {
    assert_eq!(payload.ty(), raw.ty);
    let mut body = Vec::new();
    payload.encode_body(&mut body).unwrap();
    let mut expected = raw.body.to_vec();
    match payload {
        // The three things that are to be ignored on receipt; see the page of the module `payload`.
        Payload::Ke(_) => expected[2..4].fill(0),
        Payload::Notify(notify) if notify.spi.is_empty() => {
            expected[0] = u8::from(notify.ty == NotifyType::CHILDLESS_IKEV2_SUPPORTED);
        }
        Payload::Sa(sa) => {
            // Built again from values, with no reserved octets, it still says the same.
            let proposals: Vec<_> = sa.proposals().map(|proposal| proposal.to_owned()).collect();
            let again = SaPayload::build(&proposals).unwrap();
            assert_eq!(again.proposals().map(|proposal| proposal.to_owned()).collect::<Vec<_>>(), proposals);
            for (view, owned) in sa.proposals().zip(&proposals) {
                assert_eq!(view.transform_count(), owned.transforms.len());
                assert_eq!(view.transforms().count(), owned.transforms.len());
            }
        }
        Payload::TsI(ts) | Payload::TsR(ts) => assert_eq!(ts.selectors().count(), usize::from(raw.body[0])),
        Payload::Delete(delete) => {
            let count = u16::from_be_bytes([raw.body[2], raw.body[3]]);
            assert_eq!(delete.spis().count(), usize::from(count));
            assert!(delete.esp_spis().count() <= usize::from(count));
        }
        Payload::Cp(cp) => {
            let values: usize = cp.attributes().map(|attribute| 4 + attribute.value.len()).sum();
            assert_eq!(4 + values, raw.body.len());
        }
        _ => {}
    }
    assert_eq!(body, expected);
}

/// Octets changed in one of several ways.
fn mutate(octets: &mut Vec<u8>, changes: &[(Index, u8, u8)]) {
    for (at, kind, value) in changes {
        let at = at.index(octets.len().max(1));
        match kind {
            0 => octets.truncate(at),
            1 => octets.insert(at.min(octets.len()), *value),
            2 if at < octets.len() => {
                octets.remove(at);
            }
            3 if at < octets.len() => octets[at] ^= 1 << (value & 7),
            4 if at < octets.len() => octets[at] = 0,
            5 if at < octets.len() => octets[at] = octets[at].wrapping_add(1),
            _ if at < octets.len() => octets[at] = *value,
            _ => {}
        }
    }
}

/// The right Length for the octets there are, so that they are looked at beyond the header.
fn fix_length(octets: &mut [u8]) {
    let length = u32::try_from(octets.len()).unwrap();
    if let Some(field) = octets.get_mut(24..28) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_octets(octets in octets(400)) {
        exercise(&octets);
    }

    #[test]
    fn any_octets_after_a_header(first in any::<u8>(), after in octets(400)) {
        exercise(&common::message(first, &after));
    }

    #[test]
    fn any_body_of_any_payload(
        ty in (33u8..55).prop_filter("not in a chain", |ty| !PayloadType(*ty).is_protected()),
        body in octets(120),
    ) {
        let raw = common::raw(ty, &body);
        if let Ok(payload) = raw.decode() {
            exercise_payload(&raw, &payload);
        }
    }

    #[test]
    fn messages_as_built(octets in datagram()) {
        prop_assert!(Message::parse(&octets).is_ok());
        exercise(&octets);
    }

    #[test]
    fn mutated_messages(
        mut octets in datagram(),
        changes in vec((any::<Index>(), 0u8..9, any::<u8>()), 1..5),
        fixed in prop::bool::weighted(0.9),
    ) {
        mutate(&mut octets, &changes);
        if fixed {
            fix_length(&mut octets);
        }
        exercise(&octets);
    }

    #[test]
    fn what_is_encoded_is_parsed_again(header in header(), specs in vec(spec(), 0..8)) {
        let payloads: Vec<_> = specs.iter().map(Spec::payload).collect();
        let mut octets = vec![0xAA; 3];
        encode_message(&header, &payloads, &mut octets).unwrap();
        prop_assert_eq!(&octets[..3], &[0xAA; 3]);
        let message = Message::parse(&octets[3..]).unwrap();
        let expected = Header {
            next_payload: payloads.first().map_or(PayloadType::NONE, Payload::ty),
            length: u32::try_from(octets.len() - 3).unwrap(),
            ..header
        };
        prop_assert_eq!(message.header(), &expected);
        let parsed: Vec<_> = message.payloads().map(|raw| raw.decode().unwrap()).collect();
        prop_assert_eq!(&parsed, &payloads);
        prop_assert_eq!(message.protected(), None);

        // Inside an SK payload it is the same chain.
        let inner = Payloads::parse(expected.next_payload, &octets[3 + Header::LEN..], 1_000).unwrap();
        let parsed: Vec<_> = inner.map(|raw| raw.decode().unwrap()).collect();
        prop_assert_eq!(&parsed, &payloads);
    }

    #[test]
    fn owned_values_come_back(specs in vec(spec(), 0..8)) {
        for spec in &specs {
            match (spec, spec.payload()) {
                (Spec::Sa(proposals), Payload::Sa(sa)) => {
                    prop_assert_eq!(&sa.proposals().map(|view| view.to_owned()).collect::<Vec<_>>(), proposals);
                }
                (Spec::DeleteEsp(spis), Payload::Delete(delete)) => {
                    prop_assert_eq!(&delete.esp_spis().collect::<Vec<_>>(), spis);
                }
                (Spec::Cp(ty, attributes), Payload::Cp(cp)) => {
                    let got: Vec<_> = cp.attributes().map(|a| (a.ty.0, a.value.to_vec())).collect();
                    prop_assert_eq!((cp.ty().0, &got), (*ty, attributes));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn mutated_captures(which in any::<Index>(), changes in vec((any::<Index>(), 0u8..9, any::<u8>()), 1..5)) {
        let mut octets = which.get(CAPTURED.get_or_init(all_captured)).clone();
        mutate(&mut octets, &changes);
        fix_length(&mut octets);
        exercise(&octets);
    }
}

static CAPTURED: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();

fn all_captured() -> Vec<Vec<u8>> {
    common::captured().into_iter().flat_map(|(_, messages)| messages).collect()
}
