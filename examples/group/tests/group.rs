//! What group key management needs of the layers, end to end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{Bound, RejectionKind};
use ikev2_core::{CallError, CookiePolicy, Failure, Handled, IkeSaHandle, Rejection};
use ikev2_group_example::wire::GROUP_ASK;
use ikev2_group_example::{Ending, Event, Node};
use ikev2_wire::codes::{KeyWrapId, NotifyType, TransformType};
use ikev2_wire::{Header, Transform};
use ipsec_crypto::rustcrypto::PrivateKey;
use ipsec_types::Path;
use std::sync::Arc;
use support::*;

fn handled() -> Vec<Result<Handled, Rejection>> {
    vec![Ok(Handled::Processed)]
}

/// Joins, and gives the member's handle.
fn joined(net: &mut Net, member: usize) -> IkeSaHandle {
    let sa = net.join(member);
    net.run();
    let events = net.take(member);
    assert!(
        matches!(&events[..], [Event::Joined(by, who)] if *by == sa && who.to_string() == "controller.example")
    );
    assert!(
        matches!(&net.take(CONTROLLER)[..], [Event::Admitted(_, who)] if who.to_string() == "member.example")
    );
    sa
}

fn news(net: &mut Net, node: usize) -> Vec<Vec<u8>> {
    let events = net.take(node);
    events.into_iter().map(|event| if let Event::News(news) = event { news } else { panic!() }).collect()
}

#[test]
fn members_join_by_a_secret_ask_and_hear_the_same_news() {
    let mut net = Net::with_members(2);
    let sas = [joined(&mut net, 1), joined(&mut net, 2)];
    for (member, sa) in [1, 2].into_iter().zip(sas) {
        for said in [&b"first"[..], b"second"] {
            net.nodes[member].ask(net.now, sa, said).unwrap();
            net.poll(member);
            net.run();
            assert_eq!(net.take(member), [Event::Answered(sa, said.to_vec())]);
            assert!(matches!(&net.take(CONTROLLER)[..], [Event::Asked(_, what)] if what == said));
        }
    }
    net.announce(b"to all");
    assert_eq!(net.deliver_next(), [Ok(Handled::Processed), Ok(Handled::Processed)]);
    assert!(net.queue.is_empty(), "a one-way message is not answered");
    assert_eq!((news(&mut net, 1), news(&mut net, 2)), (vec![b"to all".to_vec()], vec![b"to all".to_vec()]));
}

#[test]
fn members_join_by_signatures() {
    let ed25519 = include_str!("../../../ipsec-crypto/tests/vectors/keys/ed25519.pem");
    let p256 = include_str!("../../../ipsec-crypto/tests/vectors/keys/p256.pem");
    let [a, b] = [ed25519, p256].map(|pem| Arc::new(PrivateKey::from_pem(pem).unwrap()));
    let mut net = Net::new(config(), settings("controller.example", signature(&a, &b)));
    let member = net.add_member(settings("member.example", signature(&b, &a)));
    joined(&mut net, member);
    let stranger = net.add_member(settings("member.example", signature(&a, &a)));
    net.join(stranger);
    net.run();
    assert!(
        matches!(&net.take(CONTROLLER)[..], [Event::Ended(_, why)] if matches!(**why, Ending::Failed(Failure::Authentication(_))))
    );
}

#[test]
fn a_wrong_secret_and_a_wrong_group_are_refused() {
    let cases = [
        ("other", "a group", NotifyType::AUTHENTICATION_FAILED),
        ("s", "another group", NotifyType::INVALID_GROUP_ID),
    ];
    for (auth, group, notify) in cases {
        let refused = Ending::Failed(Failure::Refused { notify });
        let mut net = Net::with_members(0);
        let mut wrong = settings("member.example", secret(auth));
        wrong.group = group.to_string();
        let member = net.add_member(wrong);
        let sa = net.join(member);
        net.run();
        assert!(matches!(&net.take(CONTROLLER)[..], [Event::Ended(..)]));
        let events = net.take(member);
        assert!(matches!(&events[..], [Event::Ended(of, why)] if *of == sa && **why == refused));
        net.run_alone(member);
        net.run_alone(CONTROLLER);
        assert_eq!((net.nodes[member].counts(), net.nodes[CONTROLLER].counts()), ((0, 0), (0, 0)));
    }
}

#[test]
fn cookies_and_another_method_start_ike_sa_init_over() {
    let mut config = config();
    config.cookies = CookiePolicy::Always;
    let mut controller = settings("controller.example", secret("s"));
    controller.proposals = vec!["aes128gcm16-prfsha256-ecp256".parse().unwrap()];
    let mut net = Net::new(config, controller);
    let member = net.add_member(settings("member.example", secret("s")));
    joined(&mut net, member);
    let statistics = net.nodes[CONTROLLER].statistics();
    assert_eq!(statistics.cookies_sent, 1);
    assert_eq!(statistics.rejected(RejectionKind::CookieRequired), 1);
    assert_eq!(statistics.rejected(RejectionKind::KeMethod), 1);
}

/// RFC 9838: each IKE proposal has key wrap algorithms, of a transform type that IKE itself has not.
#[test]
fn a_key_wrap_algorithm_is_agreed_on_in_ike_sa_init() {
    let with = |name: &str, ids: &[u16]| {
        let mut settings = settings(name, secret("s"));
        let kwa = ids.iter().map(|id| Transform::new(TransformType::KWA, *id));
        let proposal = settings.proposals.remove(0).with_others(kwa).unwrap();
        settings.proposals.push(proposal);
        settings
    };
    let mut net = Net::new(config(), with("controller.example", &[1, 2]));
    let member = net.add_member(with("member.example", &[3, 2]));
    let sa = net.join(member);
    net.run();
    let [Event::Admitted(at_controller, _)] = net.take(CONTROLLER)[..] else { panic!() };
    for (node, sa) in [(member, sa), (CONTROLLER, at_controller)] {
        assert_eq!(net.nodes[node].key_wrap(sa), Some(KeyWrapId::KW_5649_192));
    }
    let outsider = net.add_member(with("member.example", &[3]));
    net.join(outsider);
    let [Err(Rejection::NoProposalChosen(mismatch))] = &net.deliver_next()[..] else { panic!() };
    assert!(mismatch.to_string().contains("no KWA in common"), "{mismatch}");
}

#[test]
fn a_lost_answer_is_repeated_and_the_member_is_admitted_once() {
    let mut net = Net::with_members(1);
    net.join(1);
    for lost in 0..2 {
        assert_eq!(net.deliver_next(), handled());
        let answer = net.queue.pop_front().unwrap();
        net.fire(1);
        assert_eq!(net.deliver_next(), vec![Ok(Handled::RepeatAnswered)], "{lost}");
        assert_eq!(net.queue.front(), Some(&answer));
        assert_eq!(net.deliver_next(), handled());
    }
    assert!(matches!(&net.take(CONTROLLER)[..], [Event::Admitted(..)]));
    assert!(matches!(&net.take(1)[..], [Event::Joined(..)]));
}

#[test]
fn a_request_is_answered_once_and_its_repeats_from_the_kept_answer() {
    let mut net = Net::with_members(1);
    let sa = joined(&mut net, 1);
    net.nodes[1].ask(net.now, sa, b"once").unwrap();
    assert_eq!(
        net.nodes[1].ask(net.now, sa, b"twice"),
        Err(CallError::from(Failure::Limit(Bound::Window))),
        "the controller takes one at a time"
    );
    net.poll(1);
    let request = net.queue.pop_front().unwrap();
    let header = Header::parse(&request.datagram).unwrap();
    assert_eq!((header.exchange, header.message_id), (GROUP_ASK, 2));
    assert_eq!(net.deliver(&request), handled());
    let answer = net.queue.pop_front().unwrap();
    assert_eq!(net.deliver(&request), vec![Ok(Handled::RepeatAnswered)]);
    assert_eq!(net.queue.pop_front(), Some(answer.clone()));
    // The same Message ID with other octets is none.
    let mut altered = request.clone();
    let mut octets = altered.datagram.to_vec();
    *octets.last_mut().unwrap() ^= 1;
    altered.datagram = octets.into();
    assert_eq!(net.deliver(&altered), vec![Err(Rejection::AlteredRepeat(2))]);
    assert!(matches!(&net.take(CONTROLLER)[..], [Event::Asked(_, what)] if what == b"once"));
    assert_eq!(net.deliver(&answer), handled());
    assert_eq!(net.deliver(&answer), vec![Err(Rejection::Unsolicited(2))]);
    assert_eq!(net.take(1), [Event::Answered(sa, b"once".to_vec())]);
    assert_eq!(net.nodes[1].poll_timeout(), None);
}

#[test]
fn what_is_too_large_for_a_datagram_travels_in_fragments() {
    let mut net = Net::with_members(1);
    let sa = joined(&mut net, 1);
    let much = vec![7; 5_000];
    net.nodes[1].ask(net.now, sa, &much).unwrap();
    net.poll(1);
    assert_eq!(net.queue.len(), 5);
    // One is lost, and all are sent again.
    net.queue.remove(2);
    for _ in 0..4 {
        assert_eq!(net.deliver_next(), [Ok(Handled::Fragment)]);
    }
    net.fire(1);
    net.run();
    assert_eq!(net.take(1), [Event::Answered(sa, much.clone())]);
    assert!(matches!(&net.take(CONTROLLER)[..], [Event::Asked(_, what)] if *what == much));
    let statistics = |node: usize| net.nodes[node].statistics().messages_reassembled;
    assert_eq!([CONTROLLER, 1].map(statistics), [1, 1]);
    assert_eq!(net.nodes[CONTROLLER].poll_timeout(), None);
}

#[test]
fn fragments_that_never_come_are_given_up() {
    let mut net = Net::with_members(1);
    let sa = joined(&mut net, 1);
    net.nodes[1].ask(net.now, sa, &[7; 2_000]).unwrap();
    net.poll(1);
    assert_eq!(net.deliver_next(), [Ok(Handled::Fragment)]);
    net.queue.clear();
    net.run_alone(CONTROLLER);
    assert!(
        matches!(&net.take(CONTROLLER)[..], [Event::Incomplete(_, lost)] if (lost.received, lost.total) == (1, 2))
    );
    assert_eq!(net.nodes[CONTROLLER].statistics().messages_incomplete, 1);
    assert_eq!(net.nodes[CONTROLLER].counts(), (1, 0));
}

#[test]
fn one_way_messages_only_grow_older() {
    let mut net = Net::with_members(1);
    joined(&mut net, 1);
    net.announce(b"zero");
    net.announce(b"one");
    let (zero, one) = (net.queue.pop_front().unwrap(), net.queue.pop_front().unwrap());
    // A forgery changes nothing: the genuine one is taken after it.
    let mut forged = one.clone();
    let mut octets = forged.datagram.to_vec();
    *octets.last_mut().unwrap() ^= 1;
    forged.datagram = octets.into();
    assert_eq!(net.deliver(&forged), vec![Err(Rejection::IntegrityCheck)]);
    assert_eq!(net.deliver(&one), handled());
    assert_eq!(net.deliver(&one), vec![Err(Rejection::OldMessageId(1))]);
    assert_eq!(net.deliver(&zero), vec![Err(Rejection::OldMessageId(0))]);
    assert_eq!(news(&mut net, 1), vec![b"one".to_vec()]);
}

#[test]
fn who_joins_late_takes_no_old_news() {
    let mut net = Net::with_members(2);
    net.announce(b"before anyone");
    let old = net.queue.pop_front().unwrap();
    let refused = Err(Rejection::UnexpectedExchange(ikev2_group_example::wire::GROUP_NEWS));
    assert_eq!(net.deliver(&old), [refused.clone(), refused]);
    joined(&mut net, 1);
    net.join(2);
    net.run();
    net.take(2);
    assert_eq!(net.deliver(&old), [0, 0].map(|id| Err(Rejection::OldMessageId(id))));
    net.announce(b"now");
    net.run();
    assert_eq!((news(&mut net, 1).len(), news(&mut net, 2).len()), (1, 1));
}

#[test]
fn a_forged_controller_that_answers_first_shuts_nobody_out() {
    let mut net = Net::with_members(1);
    let impostor = net.add_controller(settings("controller.example", secret("another")));
    net.join(1);
    let request = net.queue.pop_front().unwrap();
    // In the controller's place, by the controller's address.
    net.receive(impostor, Net::path(CONTROLLER, 1), &request.datagram).unwrap();
    let forged = net.queue.pop_front().unwrap();
    assert_eq!(net.deliver(&forged), handled());
    assert_eq!(net.deliver(&request), handled());
    let answered = |net: &Net| net.queue.iter().map(|t| t.path.local).collect::<Vec<_>>();
    assert_eq!(answered(&net), [address(1), address(CONTROLLER)]);
    let to_impostor = net.queue.pop_front().unwrap();
    net.receive(impostor, Net::path(CONTROLLER, 1), &to_impostor.datagram).unwrap();
    net.run();
    assert!(matches!(&net.take(1)[..], [Event::Joined(..)]));
    assert!(matches!(&net.take(CONTROLLER)[..], [Event::Admitted(..)]));
}

#[test]
fn half_open_sas_are_bounded_and_expire_without_a_word() {
    let mut config = config();
    config.max_half_open = 3;
    config.cookies = CookiePolicy::Never;
    let mut net = Net::new(config, settings("controller.example", secret("s")));
    for _ in 0..5 {
        let member = net.add_member(settings("member.example", secret("s")));
        net.join(member);
    }
    let results: Vec<_> = (0..5).flat_map(|_| net.deliver_next()).collect();
    assert_eq!(results[..3], [Ok(Handled::Processed), Ok(Handled::Processed), Ok(Handled::Processed)]);
    assert_eq!(
        results[3..],
        [Err(Rejection::Limit(Bound::HalfOpen)), Err(Rejection::Limit(Bound::HalfOpen))]
    );
    assert_eq!(net.nodes[CONTROLLER].counts(), (3, 3));
    net.queue.clear();
    net.run_alone(CONTROLLER);
    assert_eq!(net.nodes[CONTROLLER].counts(), (0, 0));
    assert_eq!(net.take(CONTROLLER), []);
}

#[test]
fn work_for_strangers_keeps_within_the_budget() {
    let mut config = config();
    config.max_operations_per_second = 8;
    config.cookies = CookiePolicy::Never;
    let mut net = Net::new(config, settings("controller.example", secret("s")));
    for _ in 0..3 {
        let member = net.add_member(settings("member.example", secret("s")));
        net.join(member);
    }
    let beyond = Err(Rejection::Limit(Bound::Operations));
    // Three answers to IKE_SA_INIT leave five operations: one GROUP_AUTH takes three of them.
    let results: Vec<_> = (0..9).flat_map(|_| net.deliver_next()).collect();
    assert_eq!(results[..6], vec![Ok(Handled::Processed); 6]);
    assert_eq!(results[6..], [Ok(Handled::Processed), beyond.clone(), beyond]);
    assert!(matches!(&net.take(CONTROLLER)[..], [Event::Admitted(..)]));
    // Repeats find it filled again.
    net.run();
    for member in [2, 3] {
        net.fire(member);
        net.run();
        assert!(matches!(&net.take(CONTROLLER)[..], [Event::Admitted(..)]), "{member}");
    }
}

#[test]
fn a_dead_controller_is_given_up() {
    let mut net = Net::with_members(2);
    net.join(1);
    net.queue.clear();
    net.run_alone(1);
    assert!(
        matches!(&net.take(1)[..], [Event::Ended(_, why)] if matches!(**why, Ending::Failed(Failure::Timeout { .. })))
    );
    let sa = joined(&mut net, 2);
    net.nodes[2].ask(net.now, sa, b"anyone?").unwrap();
    net.poll(2);
    net.queue.clear();
    net.run_alone(2);
    assert!(
        matches!(&net.take(2)[..], [Event::Ended(of, why)] if *of == sa && matches!(**why, Ending::Failed(Failure::Timeout { exchange: GROUP_ASK, .. })))
    );
    assert_eq!((net.nodes[1].counts(), net.nodes[2].counts()), ((0, 0), (0, 0)));
}

#[test]
fn many_members_have_one_controller() {
    const MEMBERS: usize = 60;
    let mut net = Net::with_members(MEMBERS);
    for member in 1..=MEMBERS {
        net.join(member);
    }
    net.run();
    assert_eq!(net.nodes[CONTROLLER].counts(), (MEMBERS, 0));
    assert_eq!(net.nodes[CONTROLLER].poll_timeout(), None);
    net.announce(b"hello");
    net.run();
    let heard = |net: &mut Net, member| matches!(&net.take(member)[..], [Event::Joined(..), Event::News(_)]);
    assert!((1..=MEMBERS).all(|member| heard(&mut net, member)));
}

#[test]
fn an_error_in_the_clear_is_doubted_and_a_later_answer_wins() {
    let mut net = Net::with_members(1);
    let sa = net.join(1);
    let request = net.queue.pop_front().unwrap();
    let stranger = settings("controller.example", secret("s"));
    let deaf = net.add_controller(Net::incompatible(stranger));
    assert!(net.receive(deaf, Net::path(CONTROLLER, 1), &request.datagram).is_err());
    net.run();
    assert_eq!(net.take(1), [Event::ErrorSeen(sa, NotifyType::NO_PROPOSAL_CHOSEN)]);
    assert_eq!(net.deliver(&request), handled());
    net.run();
    assert!(matches!(&net.take(1)[..], [Event::Joined(..)]));
}

#[test]
fn nodes_can_change_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Node>();
    assert_send::<Path>();
}
