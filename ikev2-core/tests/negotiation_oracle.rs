//! Choosing and checking IKE proposals against an oracle that lists every suite of every proposal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_core::negotiation::{IkeExchange, IkeProposal, Selection, accept_ike, choose_ike, offer_ike};
use ikev2_wire::{
    Attribute, AttributeValue, EncrId, IntegId, KeMethod, PrfId, Proposal, ProtocolId, SaPayload, Transform,
    TransformAttribute, TransformType,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeSet;

fn ike(texts: &[&str]) -> Vec<IkeProposal> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn sa(proposals: &[Proposal]) -> SaPayload<'static> {
    SaPayload::build(proposals).unwrap()
}

fn proposal(number: u8, transforms: Vec<Transform>) -> Proposal {
    Proposal { number, protocol: ProtocolId::IKE, spi: Vec::new(), transforms }
}

fn gcm(bits: u16) -> Transform {
    Transform::encr(EncrId::AES_GCM_16, Some(bits))
}

fn cbc(bits: u16) -> Transform {
    Transform::encr(EncrId::AES_CBC, Some(bits))
}

/// Cipher with key length, integrity, PRF, key exchange (0 for none), sequence numbers.
type Suite = ((u16, Option<u16>), u16, u16, u16, u16);

/// Every suite that an IKE proposal of these transforms stands for, by RFC 7296 §3.3 and RFC 5282 §8 read naively.
fn ike_suites(proposal: &Proposal) -> BTreeSet<Suite> {
    let plain = |t: &&Transform| t.other_attributes.is_empty();
    let ids = |ty| proposal.of_type(ty).filter(plain).map(|t| t.id).collect::<Vec<_>>();
    let mut suites = BTreeSet::new();
    if proposal.transforms.iter().any(|t| t.ty.0 > 4) {
        return suites;
    }
    for encr in proposal.of_type(TransformType::ENCR).filter(plain) {
        let mut integs = ids(TransformType::INTEG);
        if integs.is_empty() {
            integs.push(0);
        }
        integs.retain(|integ| (*integ == 0) == EncrId(encr.id).is_combined());
        for integ in integs {
            for prf in ids(TransformType::PRF) {
                for ke in ids(TransformType::KE).into_iter().filter(|ke| *ke != 0) {
                    suites.insert(((encr.id, encr.key_bits), integ, prf, ke, 0));
                }
            }
        }
    }
    suites
}

fn offered_transforms() -> impl Strategy<Value = Vec<Transform>> {
    let attribute = Attribute { ty: TransformAttribute(99), value: AttributeValue::Short(1) };
    let pool = vec![
        gcm(256),
        gcm(128),
        cbc(256),
        cbc(128),
        Transform { other_attributes: vec![attribute], ..gcm(256) },
        Transform::encr(EncrId(1999), None),
        Transform::prf(PrfId::HMAC_SHA2_256),
        Transform::prf(PrfId::HMAC_SHA2_512),
        Transform::prf(PrfId(1999)),
        Transform::integ(IntegId::HMAC_SHA2_256_128),
        Transform::integ(IntegId::HMAC_SHA2_512_256),
        Transform::integ(IntegId::NONE),
        Transform::ke(KeMethod::CURVE25519),
        Transform::ke(KeMethod::ECP_256),
        Transform::ke(KeMethod::MODP_2048),
        Transform::ke(KeMethod::NONE),
        Transform::new(TransformType(20), 1),
    ];
    // The last, an unknown type, spoils a proposal: rarely.
    let length = pool.len();
    (subsequence(pool, 0..=length).prop_shuffle(), any::<u8>()).prop_map(|(mut transforms, dice)| {
        if dice > 40 {
            transforms.retain(|transform| transform.ty.0 < 20);
        }
        transforms
    })
}

fn policy() -> impl Strategy<Value = Vec<IkeProposal>> {
    let names = vec![
        "aes256gcm16-prfsha256-x25519",
        "aes128gcm16-aes256gcm16-prfsha512-prfsha256-ecp256-x25519",
        "aes256-sha256-modp2048",
        "aes128-aes256-sha512-sha256-prfsha256-x25519-modp2048",
        "aes192gcm16-prfsha384-x25519",
    ];
    subsequence(names, 0..4).prop_shuffle().prop_map(|names| ike(&names))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn choice_is_in_both_and_is_made_whenever_there_is_one(
        policy in policy(),
        offered in prop::collection::vec((any::<u8>(), offered_transforms()), 1..5),
        ke_sent in select(vec![KeMethod::CURVE25519, KeMethod::ECP_256, KeMethod::MODP_2048, KeMethod(77)]),
    ) {
        let offered: Vec<Proposal> =
            offered.into_iter().map(|(number, transforms)| proposal(number, transforms)).collect();
        let allowed: BTreeSet<Suite> = offer_ike(&policy, None).iter().flat_map(ike_suites).collect();
        let both: BTreeSet<Suite> =
            offered.iter().flat_map(ike_suites).filter(|suite| allowed.contains(suite)).collect();
        let at_once = both.iter().any(|suite| suite.3 == ke_sent.0);
        match choose_ike(&policy, &sa(&offered), IkeExchange::Initial, ke_sent) {
            Ok(Selection::Chosen(choice)) => {
                let encr = (choice.cipher.encr.0, choice.cipher.key_bits);
                let suite = (encr, choice.cipher.integ.0, choice.prf.0, choice.ke.0, 0);
                prop_assert!(both.contains(&suite));
                prop_assert_eq!(choice.ke, ke_sent);
                // One transform of each type of the proposal, and the initiator is content with it.
                let reply = choice.reply(None);
                let types = |p: &Proposal| {
                    p.transforms.iter().map(|t| t.ty).collect::<BTreeSet<_>>()
                };
                prop_assert_eq!(types(&reply).len(), reply.transforms.len());
                let mut labelled = offered.iter().filter(|p| p.number == reply.number);
                prop_assert!(labelled.any(|p| types(p) == types(&reply)));
                let numbers: BTreeSet<u8> = offered.iter().map(|proposal| proposal.number).collect();
                if numbers.len() == offered.len() {
                    let accepted = accept_ike(&offered, &sa(&[reply]), IkeExchange::Initial, ke_sent);
                    prop_assert_eq!(accepted, Ok(choice));
                }
            }
            Ok(Selection::InvalidKe(mismatch)) => {
                prop_assert!(!at_once);
                prop_assert!(both.iter().any(|suite| suite.3 == mismatch.wanted.0));
                prop_assert_eq!(mismatch.sent, Some(ke_sent));
            }
            Err(mismatch) => {
                prop_assert!(both.is_empty());
                prop_assert_eq!(mismatch.offered.len(), offered.len());
                prop_assert!(!mismatch.to_string().is_empty());
            }
        }
    }

    #[test]
    fn an_answer_is_accepted_only_if_it_was_offered(
        policy in policy(),
        number in 0u8..4,
        transforms in offered_transforms(),
    ) {
        let offered = offer_ike(&policy, None);
        let answer = proposal(number, transforms);
        let result = accept_ike(&offered, &sa(std::slice::from_ref(&answer)), IkeExchange::Initial, KeMethod::CURVE25519);
        if result.is_ok() {
            let ours = offered.iter().find(|proposal| proposal.number == number).unwrap();
            let answered = ike_suites(&answer);
            prop_assert_eq!(answered.len(), 1);
            prop_assert!(answered.is_subset(&ike_suites(ours)));
        }
    }
}
