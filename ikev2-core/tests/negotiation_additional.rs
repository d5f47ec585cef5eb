//! Choosing additional key exchanges (RFC 9370 §2.1, §2.2.1): one method of each type, none of them twice, optional where
//! NONE is among them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_core::negotiation::{
    AdditionalExchanges, ChildExchange, EspProposal, IkeExchange, IkeProposal, ProposalError, RefusalReason,
    ResponseFault, Selection, accept_esp, accept_ike, choose_esp, choose_ike, offer_esp, offer_ike,
};
use ikev2_wire::{EncrId, KeMethod, PrfId, Proposal, ProtocolId, SaPayload, Transform, TransformType};
use ipsec_types::EspSpi;
use proptest::prelude::*;
use proptest::sample::subsequence;
use std::slice::from_ref;

const X25519: KeMethod = KeMethod::CURVE25519;
const INITIAL: IkeExchange = IkeExchange::InitialIntermediate;

fn ike(text: &str) -> IkeProposal {
    format!("aes256gcm16-prfsha256-{text}").parse().unwrap()
}

fn choose(
    policy: &[IkeProposal],
    offered: &[IkeProposal],
    exchange: IkeExchange,
) -> Result<Vec<KeMethod>, String> {
    let request = SaPayload::build(&offer_ike(offered, None)).unwrap();
    match choose_ike(policy, &request, exchange, X25519) {
        Ok(Selection::Chosen(choice)) => Ok(choice.additional.methods().collect()),
        Ok(Selection::InvalidKe(mismatch)) => Err(mismatch.to_string()),
        Err(mismatch) => Err(mismatch.first().unwrap().to_string()),
    }
}

#[test]
fn our_order_decides_in_each_type() {
    let ours = ike("x25519-ke1_mlkem768-ke1_mlkem512-ke3_ecp256-ke3_none");
    let (kem, small, curve) = (KeMethod::ML_KEM_768, KeMethod::ML_KEM_512, KeMethod::ECP_256);
    for (theirs, chosen) in [
        ("x25519-ke1_mlkem512-ke1_mlkem768-ke3_none-ke3_ecp256", vec![kem, curve]),
        ("x25519-ke1_mlkem512-ke3_ecp256", vec![small, curve]),
        ("x25519-ke1_mlkem768", vec![kem]),
        ("x25519-ke1_mlkem768-ke3_none-ke3_ecp384", vec![kem]),
    ] {
        assert_eq!(choose(from_ref(&ours), &[ike(theirs)], INITIAL), Ok(chosen), "{theirs}");
    }
    for (theirs, why) in [
        ("x25519", "no ADDKE1 in common: offered none, allowed ml-kem-768, ml-kem-512"),
        (
            "x25519-ke1_none-ke1_mlkem1024",
            "no ADDKE1 in common: offered NONE, ml-kem-1024, allowed ml-kem-768, ml-kem-512",
        ),
        (
            "x25519-ke1_mlkem768-ke2_ecp256",
            "no ADDKE2 in common: offered 256-bit random ECP group, allowed none",
        ),
    ] {
        assert_eq!(choose(from_ref(&ours), &[ike(theirs)], INITIAL), Err(why.into()), "{theirs}");
    }
}

/// "such proposals are skipped": without IKE_INTERMEDIATE their types are not known (§2.2.1).
#[test]
fn without_ike_intermediate_there_are_none() {
    let (hybrid, classic) = (ike("x25519-ke1_mlkem768"), ike("x25519"));
    let both = [hybrid.clone(), classic.clone()];
    assert_eq!(choose(&both, &both, IkeExchange::Initial), Ok(vec![]));
    assert_eq!(choose(&both, &both, INITIAL), Ok(vec![KeMethod::ML_KEM_768]));
    let unknown = "it has the transform type ADDKE1, which is not known here";
    assert_eq!(choose(&both, &[hybrid], IkeExchange::Initial), Err(unknown.into()));
    assert_eq!(choose(from_ref(&classic), from_ref(&classic), IkeExchange::Initial), Ok(vec![]));
}

/// The first of ours is given up where it would leave nothing to another exchange.
#[test]
fn no_method_serves_twice() {
    let ours = ike("x25519-ke1_mlkem768-ke1_ecp256-ke2_mlkem768-ke2_none");
    let (kem, curve) = (KeMethod::ML_KEM_768, KeMethod::ECP_256);
    let theirs = |text| choose(from_ref(&ours), &[ike(text)], INITIAL);
    assert_eq!(theirs("x25519-ke1_mlkem768-ke1_ecp256-ke2_mlkem768"), Ok(vec![curve, kem]));
    assert_eq!(theirs("x25519-ke1_mlkem768-ke1_ecp256-ke2_mlkem768-ke2_none"), Ok(vec![kem]));
    // What each end would take is no choice together.
    let theirs = ike("x25519-ke1_mlkem768-ke2_mlkem768-ke2_ecp384");
    let ours = ike("x25519-ke1_mlkem768-ke2_mlkem768-ke2_ecp521");
    let same = "what is in common has one method for more than one key exchange";
    assert_eq!(choose(&[ours], &[theirs], INITIAL), Err(same.into()));
    // The KE payload's method is kept where it can be, and another asked for where it cannot.
    let ours = ike("x25519-ecp256-ke1_x25519");
    let wanted = choose(from_ref(&ours), from_ref(&ours), INITIAL).unwrap_err();
    assert!(wanted.starts_with("KE with Curve25519 where 256-bit random ECP group is wanted"), "{wanted}");
}

#[test]
fn a_proposal_that_leaves_no_choice_is_none() {
    let base = || IkeProposal::builder().encr(EncrId::AES_GCM_16, 256).prf(PrfId::HMAC_SHA2_256).ke(X25519);
    assert_eq!(base().additional_ke(1, X25519).build(), Err(ProposalError::SameKeyExchange));
    assert_eq!(
        base().additional_ke(1, KeMethod::ML_KEM_768).additional_ke(2, KeMethod::ML_KEM_768).build(),
        Err(ProposalError::SameKeyExchange)
    );
    assert!(base().additional_ke(1, X25519).additional_ke(1, KeMethod::NONE).build().is_ok());
    for n in [0, 8] {
        let error = base().additional_ke(n, KeMethod::ML_KEM_768).build().unwrap_err();
        assert!(matches!(error, ProposalError::NotForProtocol { .. }), "{error}");
    }
    // NONE alone is the same as nothing.
    assert!(!base().additional_ke(1, KeMethod::NONE).build().unwrap().has_additional());
    let esp = EspProposal::builder().encr(EncrId::AES_GCM_16, 256).additional_ke(2, KeMethod::ML_KEM_768);
    assert_eq!(esp.clone().build(), Err(ProposalError::AdditionalAlone(TransformType::ADDKE2)));
    assert_eq!(esp.clone().ke_optional().build(), Err(ProposalError::AdditionalAlone(TransformType::ADDKE2)));
    assert!(esp.ke(X25519).build().is_ok());
}

#[test]
fn names_come_back_as_they_were() {
    for text in [
        "aes256gcm16-prfsha256-x25519-ke1_mlkem768",
        "aes256gcm16-prfsha256-x25519-ecp256-ke1_mlkem768-ke1_none-ke7_mlkem1024",
    ] {
        assert_eq!(text.parse::<IkeProposal>().unwrap().to_string(), text);
    }
    let text = "aes256gcm16-x25519-ke2_mlkem512-esn-noesn";
    assert_eq!(text.parse::<EspProposal>().unwrap().to_string(), "aes256gcm16-x25519-esn-noesn-ke2_mlkem512");
    for bad in
        ["ke0_mlkem768", "ke8_mlkem768", "ke1_", "ke1_aes128", "ke1mlkem768", "ke_mlkem768", "ke01_mlkem768x"]
    {
        assert!(format!("aes256gcm16-prfsha256-x25519-{bad}").parse::<IkeProposal>().is_err(), "{bad}");
    }
}

/// With the key exchange of a Child SA left out, nothing is additional to it; IKE_AUTH negotiates none at all.
#[test]
fn a_child_sa_without_a_key_exchange_has_no_further_ones() {
    let policy: EspProposal = "aes256gcm16-none-x25519-ke1_mlkem768-ke1_none".parse().unwrap();
    let spi = EspSpi::new(0x1000).unwrap();
    for (exchange, ke, additional) in [
        (ChildExchange::CreateChildSa { ke_sent: Some(X25519) }, Some(X25519), 1),
        (ChildExchange::CreateChildSa { ke_sent: None }, None, 0),
        (ChildExchange::IkeAuth, None, 0),
    ] {
        let offered = offer_esp(from_ref(&policy), spi, exchange);
        let request = SaPayload::build(&offered).unwrap();
        let chosen = choose_esp(from_ref(&policy), &request, exchange).unwrap();
        let Selection::Chosen(choice) = chosen else { panic!("{chosen:?}") };
        assert_eq!((choice.ke, choice.additional.len()), (ke, additional), "{exchange:?}");
        let answer = SaPayload::build(&[choice.reply(spi)]).unwrap();
        assert_eq!(accept_esp(&offered, &answer, exchange).unwrap().additional, choice.additional);
    }
}

#[test]
fn what_a_responder_must_not_answer() {
    let offered = offer_ike(&[ike("x25519-ecp256-ke1_mlkem768-ke1_ecp256-ke2_ecp256-ke2_none")], None);
    let addke = |n: u8, method: KeMethod| Transform::new(TransformType::addke(n).unwrap(), method.0);
    let answer = |additional: &[Transform]| {
        let mut transforms = vec![
            Transform::encr(EncrId::AES_GCM_16, Some(256)),
            Transform::prf(PrfId::HMAC_SHA2_256),
            Transform::ke(X25519),
        ];
        transforms.extend_from_slice(additional);
        let chosen = Proposal { number: 1, protocol: ProtocolId::IKE, spi: Vec::new(), transforms };
        accept_ike(&offered, &SaPayload::build(&[chosen]).unwrap(), INITIAL, X25519)
            .map(|choice| choice.additional.methods().collect::<Vec<_>>())
    };
    let (kem, curve) = (KeMethod::ML_KEM_768, KeMethod::ECP_256);
    assert_eq!(answer(&[addke(1, kem), addke(2, curve)]), Ok(vec![kem, curve]));
    assert_eq!(answer(&[addke(1, kem), addke(2, KeMethod::NONE)]), Ok(vec![kem]));
    assert_eq!(answer(&[addke(1, kem)]), Ok(vec![kem]));
    assert_eq!(answer(&[addke(1, curve), addke(2, curve)]), Err(ResponseFault::SameKeyExchange(curve)));
    assert_eq!(answer(&[addke(2, curve)]), Err(ResponseFault::Missing(TransformType::ADDKE1)));
    assert_eq!(answer(&[addke(1, kem), addke(3, curve)]), Err(ResponseFault::NotOffered(addke(3, curve))));
    assert_eq!(answer(&[addke(1, kem), addke(1, kem)]), Err(ResponseFault::Repeated(TransformType::ADDKE1)));
}

const METHODS: [KeMethod; 5] =
    [KeMethod::CURVE25519, KeMethod::ECP_256, KeMethod::ECP_384, KeMethod::ML_KEM_768, KeMethod::NONE];

/// KE and two further types, with some of the methods each.
fn lists() -> impl Strategy<Value = [Vec<KeMethod>; 4]> {
    let some = || subsequence(METHODS.to_vec(), 0..=4).prop_shuffle();
    let ke = subsequence(METHODS[..4].to_vec(), 1..=3).prop_shuffle();
    (ke, some(), some(), some()).prop_map(|(ke, a, b, c)| [ke, a, b, c])
}

fn proposal(lists: &[Vec<KeMethod>; 4]) -> Option<IkeProposal> {
    let mut builder = IkeProposal::builder().encr(EncrId::AES_GCM_16, 256).prf(PrfId::HMAC_SHA2_256);
    for (n, methods) in (0..).zip(lists) {
        for method in methods {
            builder = if n == 0 { builder.ke(*method) } else { builder.additional_ke(n, *method) };
        }
    }
    builder.build().ok()
}

/// All choices that both lists allow, each method once, in our order of preference: the naive reading of §2.2.1.
fn all_choices(ours: &[Vec<KeMethod>; 4], theirs: &[Vec<KeMethod>; 4]) -> Vec<Vec<KeMethod>> {
    let with_none = |list: &[KeMethod]| if list.is_empty() { vec![KeMethod::NONE] } else { list.to_vec() };
    let mut choices = vec![vec![]];
    for (ours, theirs) in ours.iter().zip(theirs) {
        let (ours, theirs) = (with_none(ours), with_none(theirs));
        choices = choices
            .iter()
            .flat_map(|so_far: &Vec<KeMethod>| {
                let free =
                    |m: &&KeMethod| theirs.contains(m) && (**m == KeMethod::NONE || !so_far.contains(m));
                ours.iter().filter(free).map(|m| [&so_far[..], &[*m]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    choices
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn the_choice_is_the_first_of_all_that_there_are(ours in lists(), theirs in lists(), sent in 0..4_usize) {
        let (Some(policy), Some(offer)) = (proposal(&ours), proposal(&theirs)) else { return Ok(()) };
        let sent = METHODS[sent];
        let choices = all_choices(&ours, &theirs);
        let best = choices.iter().find(|choice| choice[0] == sent).or(choices.first());
        let offered = offer_ike(&[offer], None);
        let request = SaPayload::build(&offered).unwrap();
        match choose_ike(from_ref(&policy), &request, INITIAL, sent) {
            Ok(Selection::Chosen(choice)) => {
                let by_type: Vec<_> = choice.additional.by_type().map(|(_, method)| method).take(3).collect();
                prop_assert_eq!(Some(&[&[choice.ke], &by_type[..]].concat()), best);
                let reply = SaPayload::build(&[choice.reply(None)]).unwrap();
                let accepted = accept_ike(&offered, &reply, INITIAL, sent).unwrap();
                prop_assert_eq!(accepted.additional, choice.additional);
            }
            Ok(Selection::InvalidKe(mismatch)) => prop_assert_eq!(Some(mismatch.wanted), best.map(|b| b[0])),
            Err(mismatch) => {
                prop_assert_eq!(best, None);
                let same = mismatch.first() == Some(&RefusalReason::SameKeyExchange);
                let repeated = |list: &[Vec<KeMethod>; 4]| list.iter().map(Vec::len).sum::<usize>() > 1;
                prop_assert!(!same || repeated(&ours));
            }
        }
    }
}

#[test]
fn there_are_none_by_default() {
    assert_eq!(AdditionalExchanges::default(), AdditionalExchanges::NONE);
    assert!(AdditionalExchanges::NONE.is_empty());
    assert!(IkeProposal::defaults().iter().all(|proposal| !proposal.has_additional()));
}
