//! Choosing and checking proposals against RFC 7296 §2.7 and §3.3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use hex_literal::hex;
use ikev2_core::negotiation::{
    ChildExchange, EspChoice, EspProposal, IkeChoice, IkeExchange, IkeProposal, KeMismatch, MAX_REPORTED,
    Mismatch, ProposalError, RefusalReason, ResponseFault, Selection, accept_esp, accept_ike, choose_esp,
    choose_ike, offer_esp, offer_ike, offered_ke,
};
use ikev2_wire::{
    Attribute, AttributeValue, EncrId, IntegId, KeMethod, Payload, PayloadType, Payloads, PrfId, Proposal,
    ProtocolId, SaPayload, Transform, TransformAttribute, TransformType, encode_chain,
};
use ipsec_types::{EspSpi, IkeSpi, SequenceNumbers};

const SPI: u32 = 0xc0ff_ee02;

fn our_spi() -> EspSpi {
    EspSpi::new(0x1234_5678).unwrap()
}

fn ike(texts: &[&str]) -> Vec<IkeProposal> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn esp(texts: &[&str]) -> Vec<EspProposal> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// An SA payload of these proposals, as an initiator sends it.
fn sa(proposals: &[Proposal]) -> SaPayload<'static> {
    SaPayload::build(proposals).unwrap()
}

/// What an initiator with this policy sends in IKE_SA_INIT.
fn ike_request(texts: &[&str]) -> SaPayload<'static> {
    sa(&offer_ike(&ike(texts), None))
}

fn create(ke_sent: impl Into<Option<KeMethod>>) -> ChildExchange {
    ChildExchange::CreateChildSa { ke_sent: ke_sent.into() }
}

/// A proposal for an ESP SA of these transforms.
fn esp_proposal(number: u8, transforms: Vec<Transform>) -> Proposal {
    Proposal { number, protocol: ProtocolId::ESP, spi: SPI.to_be_bytes().into(), transforms }
}

fn ike_proposal(number: u8, transforms: Vec<Transform>) -> Proposal {
    Proposal { number, protocol: ProtocolId::IKE, spi: Vec::new(), transforms }
}

fn chosen<C: core::fmt::Debug>(result: Result<Selection<C>, Box<Mismatch>>) -> C {
    match result {
        Ok(Selection::Chosen(choice)) => choice,
        other => panic!("{other:?}"),
    }
}

fn first_ike(policy: &[&str], offered: &SaPayload<'_>, ke_sent: KeMethod) -> IkeChoice {
    chosen(choose_ike(&ike(policy), offered, IkeExchange::Initial, ke_sent))
}

fn child(policy: &[&str], proposals: &[Proposal], exchange: ChildExchange) -> EspChoice {
    chosen(choose_esp(&esp(policy), &sa(proposals), exchange))
}

/// Why each proposal of the peer was refused.
fn reasons<C: core::fmt::Debug>(result: Result<Selection<C>, Box<Mismatch>>) -> Vec<RefusalReason> {
    result.unwrap_err().offered.into_iter().map(|refused| refused.reason).collect()
}

fn gcm(bits: u16) -> Transform {
    Transform::encr(EncrId::AES_GCM_16, Some(bits))
}

fn cbc(bits: u16) -> Transform {
    Transform::encr(EncrId::AES_CBC, Some(bits))
}

const SHA256: Transform = Transform::integ(IntegId::HMAC_SHA2_256_128);
const X25519: Transform = Transform::ke(KeMethod::CURVE25519);
const P256: Transform = Transform::ke(KeMethod::ECP_256);

fn sn64() -> Transform {
    Transform::sn(SequenceNumbers::Sequential64)
}

fn sn32() -> Transform {
    Transform::sn(SequenceNumbers::Sequential32)
}

// Octets written out by hand from RFC 7296 §3.3.

/// The SA payload at the head of these octets, which are its generic header and body.
fn parse_sa(octets: &[u8]) -> SaPayload<'static> {
    let mut octets = octets.to_vec();
    octets[0] = 0;
    let raw = Payloads::parse(PayloadType::SA, &octets, 0).unwrap().next().unwrap();
    match raw.decode().unwrap() {
        Payload::Sa(sa) => {
            SaPayload::build(&sa.proposals().map(|view| view.to_owned()).collect::<Vec<_>>()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn octets_of(proposal: Proposal) -> Vec<u8> {
    let mut out = Vec::new();
    encode_chain(&[Payload::Sa(sa(&[proposal]))], &mut out).unwrap();
    out
}

/// ESP, SPI c0ffee02, AES_GCM_16-256, SN 0, 1 and 2.
#[test]
fn esp_offer_and_answer_to_the_octet() {
    let request = parse_sa(&hex!(
        "2c0000340000003001030404c0ffee02 0300000c01000014800e0100 0300000805000000 0300000805000001"
        "0000000805000002"
    ));
    let choice = chosen(choose_esp(&EspProposal::defaults(), &request, ChildExchange::IkeAuth));
    assert_eq!(choice.number, 1);
    assert_eq!(choice.peer_spi.get(), SPI);
    assert_eq!(choice.cipher.to_string(), "ENCR_AES_GCM_16-256");
    assert_eq!(choice.sequence_numbers, SequenceNumbers::Sequential64);
    assert_eq!(choice.ke, None);
    assert_eq!(
        octets_of(choice.reply(our_spi())),
        hex!("000000240000002001030402 12345678 0300000c01000014800e0100 0000000805000001")
    );
    let unspecified = chosen(choose_esp(
        &[EspProposal::builder()
            .encr(EncrId::AES_GCM_16, 256)
            .sn(SequenceNumbers::Unspecified32)
            .build()
            .unwrap()],
        &request,
        ChildExchange::IkeAuth,
    ));
    assert_eq!(unspecified.sequence_numbers, SequenceNumbers::Unspecified32);
}

/// IKE, AES_GCM_16-256, PRF SHA2-256, Curve25519, ADDKE1 = ML-KEM-768 or NONE: with a type that takes part in no
/// exchange of ours (RFC 9370 §2.2.1: then as any unknown type), even where NONE would do.
#[test]
fn addke_that_is_not_negotiated_is_an_unknown_type() {
    let octets = hex!(
        "2200003800000034010100050300000c01000014800e0100 0300000802000005 030000080400001f"
        "0300000806000024 0000000806000000"
    );
    let request = parse_sa(&octets);
    let result = choose_ike(&IkeProposal::defaults(), &request, IkeExchange::Initial, KeMethod::CURVE25519);
    assert_eq!(reasons(result), [RefusalReason::TransformType(TransformType::ADDKE1)]);
    // The fallback behind it, as every initiator should send one.
    let mut proposals: Vec<Proposal> = request.proposals().map(|view| view.to_owned()).collect();
    let mut fallback = proposals[0].clone();
    fallback.number = 2;
    fallback.transforms.retain(|transform| transform.ty != TransformType::ADDKE1);
    proposals.push(fallback);
    let choice = first_ike(&["aes256gcm16-prfsha256-x25519"], &sa(&proposals), KeMethod::CURVE25519);
    assert_eq!(choice.number, 2);
    assert_eq!(
        octets_of(choice.reply(None)),
        hex!("0000002800000024020100030300000c01000014800e0100 0300000802000005 000000080400001f")
    );
}

/// Key wrap algorithms (RFC 9838 §6, transform type 13): of a type that IKE has not, for a protocol that has it.
#[test]
fn types_of_another_protocol_are_negotiated_where_the_policy_has_them() {
    let kwa = |id| Transform::new(TransformType::KWA, id);
    let plain = ike(&["aes256gcm16-prfsha256-x25519"]);
    let with = |ids: &[u16]| vec![plain[0].clone().with_others(ids.iter().map(|id| kwa(*id))).unwrap()];
    let choose = |policy: &[IkeProposal], offer: &[Proposal]| {
        choose_ike(policy, &sa(offer), IkeExchange::Initial, KeMethod::CURVE25519)
    };
    let offer = offer_ike(&with(&[3, 1, 3]), None);
    assert_eq!(
        octets_of(offer[0].clone()),
        hex!(
            "0000003800000034010100050300000c01000014800e0100 0300000802000005 030000080400001f"
            "030000080d000003 000000080d000001"
        )
    );
    let choice = chosen(choose(&with(&[2, 1, 3]), &offer));
    assert_eq!(choice.transform(TransformType::KWA), Some(&kwa(1)));
    let accept = |reply: Proposal| {
        accept_ike(&offer, &sa(&[reply]), IkeExchange::Initial, KeMethod::CURVE25519).map(|choice| {
            assert_eq!(choice.transform(TransformType::PRF), Some(&Transform::prf(PrfId::HMAC_SHA2_256)));
            choice.transform(TransformType::KWA).cloned()
        })
    };
    let reply = |ids: &[u16]| {
        let mut reply = choice.reply(None);
        reply.transforms.retain(|transform| transform.ty != TransformType::KWA);
        reply.transforms.extend(ids.iter().map(|id| kwa(*id)));
        reply
    };
    assert_eq!(accept(choice.reply(None)), Ok(Some(kwa(1))));
    assert_eq!(accept(reply(&[])), Err(ResponseFault::Missing(TransformType::KWA)));
    assert_eq!(accept(reply(&[2])), Err(ResponseFault::NotOffered(kwa(2))));
    assert_eq!(accept(reply(&[1, 3])), Err(ResponseFault::Repeated(TransformType::KWA)));

    let none_in_common = |offered: &[u16], allowed: &[u16]| RefusalReason::Transform {
        ty: TransformType::KWA,
        offered: offered.iter().map(|id| kwa(*id)).collect(),
        allowed: allowed.iter().map(|id| kwa(*id)).collect(),
    };
    assert_eq!(reasons(choose(&plain, &offer)), [RefusalReason::TransformType(TransformType::KWA)]);
    assert_eq!(reasons(choose(&with(&[2]), &offer)), [none_in_common(&[3, 1], &[2])]);
    assert_eq!(reasons(choose(&with(&[1]), &offer_ike(&plain, None))), [none_in_common(&[], &[1])]);
    // A policy for both protocols: neither takes what is for the other.
    let both = [with(&[1]), plain.clone()].concat();
    assert_eq!(chosen(choose(&both, &offer)).transform(TransformType::KWA), Some(&kwa(1)));
    assert_eq!(chosen(choose(&both, &offer_ike(&plain, None))).transform(TransformType::KWA), None);
    assert_eq!(reasons(choose(&both, &offer_ike(&with(&[2]), None))), [none_in_common(&[2], &[1])]);

    let types = [TransformType(0), TransformType::ENCR, TransformType::SN, TransformType::ADDKE7];
    for transform in types.map(|ty| Transform::new(ty, 1)) {
        let refused =
            ProposalError::NotForProtocol { transform: transform.clone(), protocol: ProtocolId::IKE };
        assert_eq!(plain[0].clone().with_others([transform]), Err(refused));
    }
    assert_eq!(plain[0].clone().with_others((0..253).map(kwa)), Err(ProposalError::TooMany));
}

#[test]
fn addke_for_a_child_sa_and_addke_without_ke() {
    let addke = Transform::new(TransformType::ADDKE2, KeMethod::ML_KEM_768.0);
    let with_ke = esp_proposal(1, vec![gcm(256), X25519, addke.clone(), sn32()]);
    let without_ke = esp_proposal(2, vec![gcm(256), addke.clone(), sn32()]);
    let result =
        choose_esp(&EspProposal::defaults(), &sa(&[with_ke, without_ke]), create(KeMethod::CURVE25519));
    let unwanted =
        RefusalReason::Transform { ty: TransformType::ADDKE2, offered: vec![addke], allowed: vec![] };
    assert_eq!(reasons(result), vec![unwanted; 2]);
}

/// The two proposals of RFC 7296 §3.3: CBC of three sizes with HMAC-SHA1 or XCBC, and GCM with 8-octet ICV.
#[test]
fn example_of_section_3_3() {
    let proposals = [
        Proposal {
            spi: vec![0x05, 0x23, 0x57, 0xbb],
            ..esp_proposal(
                1,
                vec![
                    cbc(128),
                    cbc(192),
                    cbc(256),
                    Transform::integ(IntegId::HMAC_SHA1_96),
                    Transform::integ(IntegId::AES_XCBC_96),
                    sn64(),
                    sn32(),
                ],
            )
        },
        Proposal {
            spi: vec![0x35, 0xa1, 0xd6, 0xf2],
            ..esp_proposal(
                2,
                vec![
                    Transform::encr(EncrId::AES_GCM_8, Some(128)),
                    Transform::encr(EncrId::AES_GCM_8, Some(256)),
                    sn64(),
                    sn32(),
                ],
            )
        },
    ];
    let choice = child(&["aes192-aesxcbc-noesn"], &proposals, create(None));
    assert_eq!((choice.number, choice.peer_spi.get()), (1, 0x0523_57bb));
    assert_eq!(choice.cipher.to_string(), "ENCR_AES_CBC-192/AUTH_AES_XCBC_96");
    assert_eq!(choice.sequence_numbers, SequenceNumbers::Sequential32);
    // Our order of proposals comes before the peer's, and our order in a proposal, too.
    let choice = child(&["weak:aes256gcm8-weak:aes128gcm8", "aes256-weak:sha1"], &proposals, create(None));
    assert_eq!((choice.number, choice.peer_spi.get()), (2, 0x35a1_d6f2));
    assert_eq!(choice.cipher.key_bits, Some(256));
    assert_eq!(choice.reply(our_spi()).transforms, [Transform::encr(EncrId::AES_GCM_8, Some(256)), sn64()]);
}

// Proposal numbers are labels.

#[test]
fn a_rekey_by_one_proposal_numbered_3() {
    let mut offered = offer_ike(&ike(&["aes256gcm16-prfsha256-x25519"]), IkeSpi::new(0xaabb));
    offered[0].number = 3;
    let policy = IkeProposal::defaults();
    let choice = chosen(choose_ike(&policy, &sa(&offered), IkeExchange::Rekey, KeMethod::CURVE25519));
    assert_eq!(choice.number, 3);
    assert_eq!(choice.peer_spi, IkeSpi::new(0xaabb));
    let reply = choice.reply(IkeSpi::new(0xccdd));
    assert_eq!(reply.number, 3);
    assert_eq!(reply.spi, hex!("00000000 0000ccdd"));
    let accepted = accept_ike(&offered, &sa(&[reply]), IkeExchange::Rekey, KeMethod::CURVE25519).unwrap();
    assert_eq!(accepted.peer_spi, IkeSpi::new(0xccdd));
}

#[test]
fn gaps_and_repetitions_choose_by_content_and_position() {
    let proposals = |numbers: [u8; 2]| {
        [(numbers[0], SPI), (numbers[1], SPI + 1)].map(|(number, spi)| Proposal {
            spi: spi.to_be_bytes().into(),
            ..esp_proposal(number, vec![gcm(256), sn64()])
        })
    };
    for numbers in [[1, 3], [2, 2], [0, 255], [9, 1]] {
        let choice = child(&["aes256gcm16"], &proposals(numbers), create(None));
        assert_eq!((choice.number, choice.peer_spi.get()), (numbers[0], SPI), "{numbers:?}");
    }
    // The second of two with one number, where only it is acceptable.
    let mut second = proposals([2, 2]);
    second[0].transforms[0] = gcm(192);
    let choice = child(&["aes256gcm16"], &second, create(None));
    assert_eq!((choice.number, choice.peer_spi.get()), (2, SPI + 1));
}

#[test]
fn the_initiator_refuses_a_number_that_it_did_not_offer() {
    let offered = offer_esp(&EspProposal::defaults(), our_spi(), create(None));
    let answer = sa(&[esp_proposal(3, vec![gcm(256), sn64()])]);
    assert_eq!(accept_esp(&offered, &answer, create(None)), Err(ResponseFault::Number(3)));
}

// A key exchange on one side only.

#[test]
fn ke_required_and_forbidden_meet_in_ike_auth_and_fail_at_the_rekey() {
    let requires = esp(&["aes256gcm16-x25519-ecp256"]);
    let forbids = ["aes256gcm16"];
    let offered = offer_esp(&requires, our_spi(), ChildExchange::IkeAuth);
    assert!(offered[0].of_type(TransformType::KE).next().is_none(), "§1.2: no KE in IKE_AUTH");
    let choice = child(&forbids, &offered, ChildExchange::IkeAuth);
    assert!(accept_esp(&offered, &sa(&[choice.reply(our_spi())]), ChildExchange::IkeAuth).is_ok());
    // The other way round it is the same.
    let back = offer_esp(&esp(&forbids), our_spi(), ChildExchange::IkeAuth);
    assert_eq!(chosen(choose_esp(&requires, &sa(&back), ChildExchange::IkeAuth)).ke, None);
    // At the rekey both lists are in the failure.
    let exchange = create(KeMethod::CURVE25519);
    let offered = offer_esp(&requires, our_spi(), exchange);
    let mismatch = choose_esp(&esp(&forbids), &sa(&offered), exchange).unwrap_err();
    assert_eq!(
        mismatch.offered[0].reason,
        RefusalReason::Transform { ty: TransformType::KE, offered: vec![X25519, P256], allowed: vec![] }
    );
    assert_eq!(
        mismatch.to_string().lines().next().unwrap(),
        "no proposal in common: no KE in common: offered Curve25519, 256-bit random ECP group, allowed none"
    );
    let back = offer_esp(&esp(&forbids), our_spi(), create(None));
    assert_eq!(
        reasons(choose_esp(&requires, &sa(&back), create(None))),
        [RefusalReason::Transform { ty: TransformType::KE, offered: vec![], allowed: vec![X25519, P256] }]
    );
}

#[test]
fn optional_ke_accepts_both_forms() {
    let optional = ["aes256gcm16-x25519-none"];
    for (peer, ke_sent, agreed) in [
        ("aes256gcm16-x25519", Some(KeMethod::CURVE25519), Some(KeMethod::CURVE25519)),
        ("aes256gcm16", None, None),
        ("aes256gcm16-x25519-none", Some(KeMethod::CURVE25519), Some(KeMethod::CURVE25519)),
        ("aes256gcm16-x25519-none", None, None),
        ("aes256gcm16-ecp256-none", Some(KeMethod::ECP_256), None),
    ] {
        let exchange = create(ke_sent);
        let offered = offer_esp(&esp(&[peer]), our_spi(), exchange);
        let choice = child(&optional, &offered, exchange);
        assert_eq!(choice.ke, agreed, "{peer}");
        let answer = sa(&[choice.reply(our_spi())]);
        assert_eq!(accept_esp(&offered, &answer, exchange).unwrap().ke, agreed, "{peer}");
    }
    // We as the initiator with the optional policy, towards a peer without a key exchange.
    let exchange = create(KeMethod::CURVE25519);
    let offered = offer_esp(&esp(&optional), our_spi(), exchange);
    let choice = child(&["aes256gcm16"], &offered, exchange);
    assert_eq!(choice.ke, None, "the request's KE payload is ignored");
    let reply = choice.reply(our_spi());
    assert!(reply.transforms.contains(&Transform::ke(KeMethod::NONE)), "one transform of each type (§2.7)");
    assert_eq!(accept_esp(&offered, &sa(std::slice::from_ref(&reply)), exchange).unwrap().ke, None);
    // A peer that leaves NONE out means the same.
    let mut short = reply;
    short.transforms.retain(|transform| transform.ty != TransformType::KE);
    assert_eq!(accept_esp(&offered, &sa(&[short]), exchange).unwrap().ke, None);
}

#[test]
fn ke_in_ike_auth_is_not_looked_at() {
    // §1.2 forbids it, and peers that send it anyway mean their later rekeys.
    for ke in [X25519, Transform::ke(KeMethod(777)), Transform::ke(KeMethod::NONE)] {
        let offered = [esp_proposal(1, vec![gcm(256), ke, sn64()])];
        for policy in ["aes256gcm16", "aes256gcm16-ecp256"] {
            let choice = child(&[policy], &offered, ChildExchange::IkeAuth);
            assert_eq!(choice.ke, None);
            assert_eq!(choice.reply(our_spi()).transforms, [gcm(256), sn64()]);
        }
    }
    // Proposals that differ in it only are one.
    let policy = esp(&["aes256gcm16-x25519", "aes256gcm16-ecp256", "aes256-sha256-x25519"]);
    let offered = offer_esp(&policy, our_spi(), ChildExchange::IkeAuth);
    assert_eq!(offered.iter().map(|proposal| proposal.number).collect::<Vec<_>>(), [1, 2]);
}

// The key exchange method of the request decides before our order does.

#[test]
fn the_method_of_the_request_is_taken_although_another_is_preferred() {
    let request = ike_request(&["aes256-sha256-modp2048-modp4096"]);
    let choice = first_ike(&["aes256-sha256-modp4096-modp2048"], &request, KeMethod::MODP_2048);
    assert_eq!(choice.ke, KeMethod::MODP_2048);
    // In another proposal of ours, and in another proposal of the peer's.
    let choice = first_ike(
        &["aes256-sha256-modp4096", "aes128-sha256-modp2048"],
        &ike_request(&["aes256-sha256-modp4096-modp2048", "aes128-sha256-modp4096-modp2048"]),
        KeMethod::MODP_2048,
    );
    assert_eq!((choice.number, choice.ke, choice.cipher.key_bits), (2, KeMethod::MODP_2048, Some(128)));
}

#[test]
fn invalid_ke_names_ours_when_the_method_of_the_request_does_not_do() {
    let request = ike_request(&["aes256-sha256-modp2048-modp4096-modp3072"]);
    let select = |policy: &[&str]| {
        choose_ike(&ike(policy), &request, IkeExchange::Initial, KeMethod::MODP_2048).unwrap()
    };
    let (m14, m15, m16) = (KeMethod::MODP_2048, KeMethod::MODP_3072, KeMethod::MODP_4096);
    let offered = vec![m14, m16, m15];
    let mismatch = |sent, wanted, offered: &[KeMethod], allowed: &[KeMethod]| {
        let (offered, allowed) = (offered.to_vec(), allowed.to_vec());
        Selection::InvalidKe(Box::new(KeMismatch { sent, wanted, offered, allowed }))
    };
    assert_eq!(select(&["aes256-sha256-modp4096"]), mismatch(Some(m14), m16, &offered, &[m16]));
    let result = select(&["aes256-sha256-modp3072-modp4096"]);
    assert_eq!(result, mismatch(Some(m14), m15, &offered, &[m15, m16]));
    // A method that the request has a KE payload for and does not offer is no match either.
    let policy = ike(&["aes256-sha256-x25519-modp4096"]);
    let result = choose_ike(&policy, &request, IkeExchange::Initial, KeMethod::CURVE25519).unwrap();
    let x25519 = KeMethod::CURVE25519;
    assert_eq!(result, mismatch(Some(x25519), m16, &offered, &[x25519, m16]));
    // For Child SAs the same, with and without a KE payload.
    let offered = [esp_proposal(1, vec![gcm(256), X25519, P256, sn64()])];
    for ke_sent in [None, Some(KeMethod::CURVE25519)] {
        let result = choose_esp(&esp(&["aes256gcm16-ecp256"]), &sa(&offered), create(ke_sent)).unwrap();
        let p256 = KeMethod::ECP_256;
        let Selection::InvalidKe(told) = result else { panic!("{result:?}") };
        assert_eq!((told.sent, told.wanted), (ke_sent, p256));
        assert_eq!((&told.offered[..], &told.allowed[..]), (&[x25519, p256][..], &[p256][..]));
    }
    // The initiator follows only if it offered the method.
    let methods = offered_ke(&request.proposals().map(|view| view.to_owned()).collect::<Vec<_>>());
    assert_eq!(methods, [KeMethod::MODP_2048, KeMethod::MODP_4096, KeMethod::MODP_3072]);
    assert_eq!(offered_ke(&[esp_proposal(1, vec![Transform::ke(KeMethod::NONE)])]), []);
}

// Item 11 of the edge cases: what an SA payload may have in it.

#[test]
fn protocol_and_spi_must_fit_the_exchange() {
    let esp_policy = EspProposal::defaults();
    let transforms = vec![gcm(256), sn64()];
    for spi in [&hex!("")[..], &hex!("c0ffee"), &hex!("c0ffee02 00000000")] {
        let proposal = Proposal { spi: spi.into(), ..esp_proposal(1, transforms.clone()) };
        let result = choose_esp(&esp_policy, &sa(&[proposal]), create(None));
        assert_eq!(reasons(result), [RefusalReason::SpiSize { expected: 4 }]);
    }
    for spi in [0u32, 1, 7, 255] {
        let proposal = Proposal { spi: spi.to_be_bytes().into(), ..esp_proposal(1, transforms.clone()) };
        let result = choose_esp(&esp_policy, &sa(&[proposal]), create(None));
        assert_eq!(reasons(result), [RefusalReason::SpiReserved], "{spi}");
    }
    let ah = Proposal { protocol: ProtocolId::AH, ..esp_proposal(1, vec![SHA256, sn64()]) };
    assert_eq!(
        reasons(choose_esp(&esp_policy, &sa(&[ah]), create(None))),
        [RefusalReason::Protocol { expected: ProtocolId::ESP }]
    );
    let with_spi = |spi: &[u8]| {
        let mut offered = offer_ike(&ike(&["aes256gcm16-prfsha256-x25519"]), None);
        offered[0].spi = spi.into();
        sa(&offered)
    };
    let result = |spi: &[u8], exchange| {
        let policy = IkeProposal::defaults();
        choose_ike(&policy, &with_spi(spi), exchange, KeMethod::CURVE25519)
            .map_err(|m| m.offered[0].reason.clone())
    };
    let eight = hex!("0102030405060708");
    assert!(result(&[], IkeExchange::Initial).is_ok());
    assert_eq!(result(&eight, IkeExchange::Initial), Err(RefusalReason::SpiSize { expected: 0 }));
    assert!(result(&eight, IkeExchange::Rekey).is_ok());
    assert_eq!(result(&[], IkeExchange::Rekey), Err(RefusalReason::SpiSize { expected: 8 }));
    assert_eq!(result(&[0; 8], IkeExchange::Rekey), Err(RefusalReason::SpiReserved));
}

#[test]
fn one_bad_proposal_does_not_spoil_the_others() {
    let bad = [
        Proposal { protocol: ProtocolId(99), ..esp_proposal(1, vec![gcm(256), sn64()]) },
        esp_proposal(2, vec![gcm(256), sn64(), Transform::new(TransformType(77), 0)]),
        esp_proposal(3, vec![]),
        esp_proposal(4, vec![gcm(256)]),
        esp_proposal(5, vec![gcm(256), sn64(), Transform::prf(PrfId::HMAC_SHA2_256)]),
    ];
    assert_eq!(
        reasons(choose_esp(&EspProposal::defaults(), &sa(&bad), create(None))),
        [
            RefusalReason::Protocol { expected: ProtocolId::ESP },
            RefusalReason::TransformType(TransformType(77)),
            RefusalReason::Missing(TransformType::ENCR),
            RefusalReason::Missing(TransformType::SN),
            RefusalReason::TransformType(TransformType::PRF),
        ]
    );
    let mut proposals = bad.to_vec();
    proposals.push(esp_proposal(6, vec![gcm(256), sn64()]));
    assert_eq!(child(&["aes256gcm16"], &proposals, create(None)).number, 6);
}

#[test]
fn bad_key_lengths_and_unknown_attributes_cost_the_transform_only() {
    let attribute = |ty, value| Attribute { ty: TransformAttribute(ty), value };
    let with = |attributes: Vec<Attribute<'static>>| Transform { other_attributes: attributes, ..gcm(256) };
    let bad = vec![
        Transform::encr(EncrId::AES_GCM_16, None),
        gcm(0),
        gcm(13),
        gcm(65_535),
        with(vec![attribute(14, AttributeValue::Short(256))]),
        with(vec![attribute(20_000, AttributeValue::Short(1))]),
        with(vec![attribute(14, AttributeValue::Long(vec![1, 0].into()))]),
        Transform::encr(EncrId::CHACHA20_POLY1305, Some(256)),
        Transform::encr(EncrId(1999), Some(256)),
        Transform { key_bits: Some(256), ..sn64() },
        Transform { key_bits: Some(256), ..SHA256 },
    ];
    let policy = ["aes256gcm16-chacha20poly1305-x25519-none", "aes256-sha256"];
    let mut transforms = bad;
    transforms.push(sn32());
    let result = choose_esp(&esp(&policy), &sa(&[esp_proposal(1, transforms.clone())]), create(None));
    let [RefusalReason::Transform { ty, offered, allowed }] = &reasons(result)[..] else { panic!() };
    assert_eq!((*ty, offered.len()), (TransformType::ENCR, 9));
    let chacha = Transform::encr(EncrId::CHACHA20_POLY1305, None);
    assert_eq!(*allowed, [gcm(256), chacha.clone(), cbc(256)]);
    // The same with a good one among them: INTEG is there and unusable, so it is the ciphers with a good INTEG
    // beside them that fit, or those that need none once the bad INTEG is away.
    transforms.push(chacha);
    transforms.push(SHA256);
    transforms.push(cbc(256));
    let choice = child(&policy, &[esp_proposal(1, transforms.clone())], create(None));
    assert_eq!(choice.cipher.to_string(), "ENCR_AES_CBC-256/AUTH_HMAC_SHA2_256_128");
    transforms.retain(|transform| transform.ty != TransformType::INTEG);
    let choice = child(&policy, &[esp_proposal(1, transforms)], create(None));
    assert_eq!(choice.cipher.to_string(), "ENCR_CHACHA20_POLY1305");
    assert_eq!(choice.sequence_numbers, SequenceNumbers::Sequential32);
}

#[test]
fn as_many_as_255_transforms_and_255_proposals() {
    let mut transforms: Vec<Transform> =
        (0..253).map(|id| Transform::encr(EncrId(2000 + id), Some(128))).collect();
    transforms.extend([gcm(256), sn64()]);
    let choice = child(&["aes256gcm16"], &[esp_proposal(1, transforms)], create(None));
    assert_eq!(choice.reply(our_spi()).transforms, [gcm(256), sn64()]);
    let mut proposals: Vec<Proposal> =
        (1..=255).map(|number| esp_proposal(number, vec![cbc(128), sn64()])).collect();
    let mismatch = choose_esp(&esp(&["aes256gcm16"]), &sa(&proposals), create(None)).unwrap_err();
    assert_eq!((mismatch.offered.len(), mismatch.more), (MAX_REPORTED, 255 - MAX_REPORTED));
    assert!(mismatch.to_string().contains("\n    and 239 more\n  we allow:"), "{mismatch}");
    proposals[254].transforms[0] = gcm(256);
    assert_eq!(child(&["aes256gcm16"], &proposals, create(None)).number, 255);
}

// Ciphers and integrity (RFC 5282 §8, RFC 7296 §3.3).

#[test]
fn combined_mode_goes_with_no_integrity_or_with_none() {
    let none = Transform::integ(IntegId::NONE);
    for (transforms, reply) in [
        (vec![gcm(256), sn64()], vec![gcm(256), sn64()]),
        (vec![gcm(256), none.clone(), sn64()], vec![gcm(256), none.clone(), sn64()]),
    ] {
        let choice = child(&["aes256gcm16"], &[esp_proposal(1, transforms)], create(None));
        assert_eq!(choice.cipher.integ, IntegId::NONE);
        assert_eq!(choice.reply(our_spi()).transforms, reply);
    }
    let result = choose_esp(
        &esp(&["aes256gcm16"]),
        &sa(&[esp_proposal(1, vec![gcm(256), SHA256, sn64()])]),
        create(None),
    );
    assert_eq!(
        reasons(result),
        [RefusalReason::Transform { ty: TransformType::INTEG, offered: vec![SHA256], allowed: vec![] }]
    );
    // A cipher that does not protect integrity, offered without any.
    let result = choose_esp(
        &esp(&["aes256-sha256"]),
        &sa(&[
            esp_proposal(1, vec![cbc(256), none.clone(), sn64()]),
            esp_proposal(2, vec![cbc(256), sn64()]),
        ]),
        create(None),
    );
    let refused =
        |offered| RefusalReason::Transform { ty: TransformType::INTEG, offered, allowed: vec![SHA256] };
    assert_eq!(reasons(result), [refused(vec![none.clone()]), refused(vec![])]);
    // Both kinds in one proposal, which §3.3 forbids: never a combination that it forbids, too.
    let mixed = [esp_proposal(1, vec![gcm(256), cbc(256), SHA256, none, sn64()])];
    for (policy, suite) in
        [("aes256gcm16", "ENCR_AES_GCM_16-256"), ("aes256-sha256", "ENCR_AES_CBC-256/AUTH_HMAC_SHA2_256_128")]
    {
        assert_eq!(child(&[policy], &mixed, create(None)).cipher.to_string(), suite);
    }
}

// The initiator's check: item 12 of the edge cases, each a fault of its own.

#[test]
fn answers_that_are_none_of_our_proposals() {
    let exchange = create(KeMethod::CURVE25519);
    let offered = offer_esp(
        &esp(&["aes256gcm16-aes128gcm16-x25519-ecp256", "aes256-sha256-none"]),
        our_spi(),
        exchange,
    );
    let good = esp_proposal(1, vec![gcm(256), X25519, sn64()]);
    let check = |proposals: &[Proposal]| accept_esp(&offered, &sa(proposals), exchange);
    assert_eq!(check(std::slice::from_ref(&good)).unwrap().cipher.to_string(), "ENCR_AES_GCM_16-256");
    let fault = |change: fn(&mut Proposal)| {
        let mut proposal = good.clone();
        change(&mut proposal);
        check(&[proposal]).unwrap_err()
    };
    assert_eq!(check(&[good.clone(), good.clone()]).unwrap_err(), ResponseFault::ProposalCount(2));
    assert_eq!(fault(|p| p.number = 3), ResponseFault::Number(3));
    assert_eq!(
        fault(|p| p.protocol = ProtocolId::AH),
        ResponseFault::Protocol { expected: ProtocolId::ESP, found: ProtocolId::AH }
    );
    assert_eq!(fault(|p| p.spi.push(0)), ResponseFault::SpiSize { expected: 4, found: 5 });
    assert_eq!(fault(|p| p.spi = vec![0, 0, 0, 200]), ResponseFault::SpiReserved);
    assert_eq!(fault(|p| p.transforms.push(gcm(128))), ResponseFault::Repeated(TransformType::ENCR));
    assert_eq!(fault(|p| p.transforms.push(sn64())), ResponseFault::Repeated(TransformType::SN));
    assert_eq!(
        fault(|p| p.transforms[0] = gcm(192)),
        ResponseFault::AttributesChanged { found: gcm(192), offered: gcm(256) }
    );
    assert_eq!(
        fault(|p| p.transforms[0].key_bits = None),
        ResponseFault::AttributesChanged {
            found: Transform::encr(EncrId::AES_GCM_16, None),
            offered: gcm(256)
        }
    );
    assert_eq!(
        fault(|p| p.transforms[0] = cbc(256)),
        ResponseFault::NotOffered(cbc(256)),
        "of the other one"
    );
    assert_eq!(fault(|p| p.transforms.push(SHA256)), ResponseFault::NotOffered(SHA256));
    let ke_none = Transform::ke(KeMethod::NONE);
    assert_eq!(
        fault(|p| p.transforms[1] = Transform::ke(KeMethod::NONE)),
        ResponseFault::NotOffered(ke_none)
    );
    for (index, ty) in [TransformType::ENCR, TransformType::KE, TransformType::SN].into_iter().enumerate() {
        let mut proposal = good.clone();
        proposal.transforms.remove(index);
        assert_eq!(check(&[proposal]).unwrap_err(), ResponseFault::Missing(ty));
    }
    assert_eq!(
        fault(|p| p.transforms[1] = P256),
        ResponseFault::KeMethod { chosen: KeMethod::ECP_256, sent: Some(KeMethod::CURVE25519) }
    );
    // The second proposal has no key exchange, and NONE of a type that was left out says nothing new.
    for extra in [None, Some(Transform::ke(KeMethod::NONE))] {
        let mut second = esp_proposal(2, vec![cbc(256), SHA256, sn32()]);
        second.transforms.extend(extra);
        assert_eq!(check(&[second]).unwrap().ke, None);
    }
    let none = Transform::integ(IntegId::NONE);
    let mut aead = good.clone();
    aead.transforms.push(none.clone());
    assert!(check(&[aead]).is_ok());
    let unprotected = esp_proposal(2, vec![cbc(256), none.clone(), sn32()]);
    assert_eq!(check(&[unprotected]).unwrap_err(), ResponseFault::NotOffered(none));
    let missing = esp_proposal(2, vec![cbc(256), sn32()]);
    assert_eq!(check(&[missing]).unwrap_err(), ResponseFault::Missing(TransformType::INTEG));
}

#[test]
fn an_ike_answer() {
    let offered = offer_ike(&IkeProposal::defaults(), None);
    let prf = Transform::prf(PrfId::HMAC_SHA2_256);
    let check = |proposal: Proposal| {
        accept_ike(&offered, &sa(&[proposal]), IkeExchange::Initial, KeMethod::CURVE25519)
    };
    let choice = check(ike_proposal(2, vec![X25519, SHA256, prf.clone(), cbc(128)])).unwrap();
    assert_eq!((choice.prf, choice.ke, choice.peer_spi), (PrfId::HMAC_SHA2_256, KeMethod::CURVE25519, None));
    assert_eq!(
        check(ike_proposal(1, vec![gcm(128), X25519])).unwrap_err(),
        ResponseFault::Missing(TransformType::PRF)
    );
    assert_eq!(
        check(ike_proposal(1, vec![gcm(128), prf.clone()])).unwrap_err(),
        ResponseFault::Missing(TransformType::KE)
    );
    assert_eq!(
        check(ike_proposal(1, vec![gcm(128), prf.clone(), P256])).unwrap_err().to_string(),
        "the answer chooses the key exchange 256-bit random ECP group and our KE payload is not for it"
    );
    assert_eq!(
        check(ike_proposal(1, vec![gcm(128), prf, Transform::ke(KeMethod::NONE)])).unwrap_err(),
        ResponseFault::NotOffered(Transform::ke(KeMethod::NONE))
    );
    // Proposals that this module would not have made are judged by the same rules.
    let foreign = [ike_proposal(1, vec![gcm(128), SHA256, X25519])];
    let answer = sa(&foreign);
    let result = accept_ike(&foreign, &answer, IkeExchange::Initial, KeMethod::CURVE25519);
    assert_eq!(result, Err(ResponseFault::Missing(TransformType::PRF)));
    let foreign = [esp_proposal(1, vec![cbc(128), sn64()])];
    let result = accept_esp(&foreign, &sa(&foreign), create(None));
    assert_eq!(result, Err(ResponseFault::Missing(TransformType::INTEG)));
}

// What a person is told.

#[test]
fn a_mismatch_shows_both_lists_and_the_first_transform_that_failed() {
    let request = ike_request(&["aes256-aes128-weak:sha1-weak:modp1024", "aes256gcm16-prfsha384-modp2048"]);
    let policy = ike(&["aes256gcm16-prfsha256-prfsha384-x25519-ecp256", "aes256-sha256-x25519"]);
    let mismatch = choose_ike(&policy, &request, IkeExchange::Initial, KeMethod::MODP_1024).unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        "no proposal in common\n  \
         the peer offers:\n    \
         1 IKE: ENCR_AES_CBC-256, ENCR_AES_CBC-128, PRF_HMAC_SHA1, AUTH_HMAC_SHA1_96, KE=1024-bit MODP Group\n      \
         no INTEG in common: offered AUTH_HMAC_SHA1_96, allowed AUTH_HMAC_SHA2_256_128\n    \
         2 IKE: ENCR_AES_GCM_16-256, PRF_HMAC_SHA2_384, KE=2048-bit MODP Group\n      \
         no KE in common: offered 2048-bit MODP Group, allowed Curve25519, 256-bit random ECP group\n  \
         we allow:\n    \
         1 IKE: ENCR_AES_GCM_16-256, PRF_HMAC_SHA2_256, PRF_HMAC_SHA2_384, KE=Curve25519, \
         KE=256-bit random ECP group\n    \
         2 IKE: ENCR_AES_CBC-256, PRF_HMAC_SHA2_256, AUTH_HMAC_SHA2_256_128, KE=Curve25519"
    );
    let nothing = choose_ike(&[], &request, IkeExchange::Initial, KeMethod::MODP_1024).unwrap_err();
    assert!(nothing.to_string().ends_with("we allow: nothing"), "{nothing}");
}
