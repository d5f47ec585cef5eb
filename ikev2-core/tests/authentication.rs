//! IKE_AUTH (RFC 7296 §1.2, §2.15, §2.21.2): who proves what, and what becomes of the SAs. Each case by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::AuthFailure;
use ikev2_core::{DownReason, DuplicatePolicy, Event, Failure, IdentityPattern, IkeSaState};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use support::forge::{Forger, Raw, head_of, payloads_of, plain};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body_mut, has};
use support::setup::*;
use support::told::*;
use support::world::*;

#[test]
fn a_wrong_secret_ends_on_both_sides_with_words_a_person_understands() {
    let (a, mut b) = two();
    b.set_secret(b"another secret");
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let (at_a, at_b) = (world.take_events(A), world.take_events(B));
    assert_eq!((kinds(&at_a), kinds(&at_b)), (vec!["IKE down"], vec!["IKE down"]));
    assert_eq!(down(&at_a), Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
    says(&down(&at_a), &["AUTHENTICATION_FAILED", "are both sides' secrets and identities the same?"]);
    let refused = down(&at_b);
    assert!(matches!(refused, Failure::Authentication(AuthFailure::WrongSecret { .. })), "{refused:?}");
    says(&refused, &["authentication failed", "a.example", "`tunnel`", "are both sides' secrets the same?"]);
    world.run_for_secs(30);
    world.assert_empty(A);
    world.assert_empty(B);
}

#[test]
fn an_initiator_that_no_connection_knows_is_refused() {
    let (mut a, b) = two();
    a.connection.local_id = id("mallory.example");
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    assert_eq!(down(&world.take_events(A)), Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
    let refused = down(&world.take_events(B));
    says(&refused, &["no connection for mallory.example asking for b.example", "b.example with a.example"]);
    world.run_for_secs(30);
    world.assert_empty(B);
}

#[test]
fn a_responder_that_is_not_the_one_asked_for_refuses() {
    let (mut a, b) = two();
    a.connection.remote_id = IdentityPattern::Exactly(id("c.example"));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    assert_eq!(down(&world.take_events(A)), Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
    says(&down(&world.take_events(B)), &["no connection for a.example asking for c.example"]);
}

/// The peer proves who it is, and it is not whom we want: §2.21.2 lets us say so in an INFORMATIONAL.
#[test]
fn a_responder_with_another_name_is_refused_and_told() {
    let (mut a, b) = two();
    a.connection.remote_id = IdentityPattern::Exactly(id("c.example"));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let request = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    let anyone = forger.alter(&request, |payloads| payloads.retain(|raw| raw.ty != PayloadType::ID_R));
    world.deliver(&anyone).unwrap().unwrap();
    assert_eq!(world.node(B).mirror.sas.len(), 1);
    world.deliver_next().unwrap().unwrap();
    let failure = down(&world.take_events(A));
    assert!(matches!(failure, Failure::Authentication(AuthFailure::WrongIdentity { .. })), "{failure:?}");
    says(&failure, &["the peer is b.example", "`tunnel` wants c.example"]);
    let told = world.take();
    assert_eq!(told.header().exchange, ExchangeType::INFORMATIONAL);
    assert_eq!(forger.open(told.message()), [Raw::notify(NotifyType::AUTHENTICATION_FAILED, &[])]);
    world.take_events(B);
    world.deliver(&told).unwrap().unwrap();
    assert_eq!(down(&world.take_events(B)), Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
    world.run();
    world.run_for_secs(30);
    world.assert_empty(A);
    world.assert_empty(B);
}

/// Each side's AUTH, damaged in each octet, is refused (§2.15).
#[test]
fn no_octet_of_auth_is_spare() {
    for side in [A, B] {
        for at in (0..36).step_by(5) {
            let (a, b) = two();
            let mut world = World::pair(a, b);
            world.connect(A, B);
            world.deliver_next();
            world.deliver_next();
            if side == B {
                world.deliver_next();
            }
            let message = world.take();
            let mut forger = Forger::new(&world.node(A).keys);
            let altered = forger.alter(&message, |payloads| {
                let auth = body_mut(payloads, PayloadType::AUTH);
                // Method and reserved octets come first; the latter mean nothing.
                if at != 0 && at < 4 {
                    return;
                }
                auth[at] ^= 0x40;
            });
            world.deliver(&altered).unwrap().unwrap();
            let refusing = if side == A { B } else { A };
            let failure = down(&world.take_events(refusing));
            let expected = if at == 0 { "authenticates by" } else { "does not fit the shared secret" };
            says(&failure, &[expected]);
            assert!(world.node(refusing).mirror.sas.is_empty());
        }
    }
}

/// §2.15: what was really sent is under AUTH, so that a change of IKE_SA_INIT on the way is found out.
#[test]
fn a_change_of_ike_sa_init_on_the_way_is_found_out() {
    for of_answer in [false, true] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        if of_answer {
            world.deliver_next();
        }
        let message = world.take();
        let mut payloads = payloads_of(message.message());
        payloads.push(Raw::new(PayloadType::VENDOR_ID, b"only this was added"));
        let altered = message.with_message(&plain(&head_of(message.message()), &payloads));
        world.deliver(&altered).unwrap().unwrap();
        world.run();
        let (finder, other) = if of_answer { (A, B) } else { (B, A) };
        says(&down(&world.take_events(finder)), &["does not fit"]);
        let told = Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED };
        assert_eq!(down(&world.take_events(other)), told);
    }
}

#[test]
fn traffic_that_cannot_be_agreed_in_ike_auth_leaves_the_ike_sa() {
    let (mut a, mut b) = two();
    a.connection.children = vec![child(1, "one", &["10.1.0.0/16"], &["10.2.0.0/16"])];
    b.connection.children = vec![child(1, "one", &["10.3.0.0/16"], &["10.1.0.0/16"])];
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let (at_a, at_b) = (world.take_events(A), world.take_events(B));
    assert_eq!(
        (kinds(&at_a), kinds(&at_b)),
        (vec!["IKE up", "Child failed"], vec!["IKE up", "Child failed"])
    );
    let failure = child_failure(&at_a);
    assert!(matches!(failure, Failure::OfferRefused { notify: NotifyType::TS_UNACCEPTABLE, .. }));
    says(&failure, &["TS_UNACCEPTABLE", "our traffic selectors are not in its policy"]);
    let failure = child_failure(&at_b);
    says(&failure, &["traffic selectors unacceptable", "10.3.0.0/16", "10.2.0.0/16"]);
    // And it can serve another one.
    for node in [A, B] {
        assert_eq!(world.node(node).only_sa().1.state, IkeSaState::Established);
    }
}

#[test]
fn a_suite_that_cannot_be_agreed_in_ike_auth_leaves_the_ike_sa() {
    let (mut a, mut b) = two();
    a.connection.children = vec![child_with(1, "one", &["aes256gcm16"])];
    b.connection.children = vec![child_with(1, "one", &["aes128gcm16"])];
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let (at_a, at_b) = (world.take_events(A), world.take_events(B));
    assert_eq!(
        (kinds(&at_a), kinds(&at_b)),
        (vec!["IKE up", "Child failed"], vec!["IKE up", "Child failed"])
    );
    says(&child_failure(&at_a), &["NO_PROPOSAL_CHOSEN", "we offer", "AES_GCM_16-256"]);
    let failure = child_failure(&at_b);
    says(&failure, &["no proposal chosen", "AES_GCM_16-256", "AES_GCM_16-128"]);
}

/// Reserved octets of the identity are under AUTH as they came.
#[test]
fn reserved_octets_of_an_identity_are_under_auth_as_received() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    let mut peer = Peer::initiator();
    peer.id_reserved = [1, 2, 3];
    let path = world.path(B, A);
    let request = peer.init_request(|_| {});
    world.receive(B, path, &request).unwrap();
    let answer = world.take();
    peer.got_init_answer(answer.message());
    let request = peer.auth_request(|_| {});
    world.receive(B, path, &request).unwrap();
    assert_eq!(world.node(B).mirror.sas.len(), 1);
    let answer = peer.open(world.take().message());
    assert!(has(&answer, PayloadType::ID_R) && has(&answer, PayloadType::AUTH));
}

/// §2.21.2: IDr and AUTH with an error notify: the Child SA failed, the IKE SA did not.
#[test]
fn any_error_beside_good_authentication_is_of_the_child_sa() {
    for notify in [
        NotifyType::NO_PROPOSAL_CHOSEN,
        NotifyType::TS_UNACCEPTABLE,
        NotifyType::SINGLE_PAIR_REQUIRED,
        NotifyType::INTERNAL_ADDRESS_FAILURE,
        NotifyType::FAILED_CP_REQUIRED,
        NotifyType::NO_ADDITIONAL_SAS,
        NotifyType(8_000),
    ] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let request = world.take();
        let mut peer = Peer::responder();
        let answer = peer.init_answer(request.message(), |_| {});
        world.deliver(&Packet { from: request.to, to: request.from, octets: answer }).unwrap().unwrap();
        let auth = world.take();
        let answer = peer.auth_answer(|payloads| {
            payloads.truncate(2);
            payloads.push(Raw::notify(notify, &[]));
        });
        world.deliver(&Packet { from: auth.to, to: auth.from, octets: answer }).unwrap().unwrap();
        let events = world.take_events(A);
        assert_eq!(kinds(&events), ["IKE up", "Child failed"], "{notify}");
        let failure = child_failure(&events);
        assert!(
            matches!(&failure, Failure::Refused { notify: n } | Failure::OfferRefused { notify: n, .. } if *n == notify),
            "{failure:?}"
        );
        assert_eq!(world.in_flight().count(), 0);
    }
}

/// §2.4: INITIAL_CONTACT ends the SAs that the peer has forgotten, and only those with the same identities.
#[test]
fn initial_contact_replaces_what_the_peer_has_forgotten() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let old = world.handle(B);
    // A starts anew and remembers nothing.
    world.run_for_secs(1);
    let (fresh, _) = two();
    world.nodes[A].keys = fresh.keys.clone();
    world.nodes[A].endpoint = ikev2_core::Endpoint::new(fresh.finish(), seeded(77));
    world.nodes[A].mirror = Default::default();
    world.connect(A, B);
    world.run();
    let events = world.take_events(B);
    let replaced: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::IkeSaDown { sa, reason, .. } => Some((*sa, reason.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(replaced, [(old, DownReason::Replaced)]);
    assert_eq!(world.node(B).mirror.sas.len(), 1);
    assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
    world.run_for_secs(400);
    assert_eq!(world.node(B).mirror.sas.len(), 1);
}

#[test]
fn duplicates_are_handled_as_the_connection_says() {
    for (policy, at_end, refused) in [
        (DuplicatePolicy::Allow, 2, false),
        (DuplicatePolicy::KeepNew, 1, false),
        (DuplicatePolicy::KeepOld, 1, true),
    ] {
        let (a, mut b) = two();
        b.connection.duplicates = policy;
        let mut world = World::established(a, b);
        let first = world.handle(B);
        world.run_for_secs(1);
        world.connect(A, B);
        world.run();
        assert_eq!(world.node(B).mirror.sas.len(), at_end, "{policy:?}");
        assert_eq!(world.node(A).mirror.sas.len(), at_end, "{policy:?}");
        let keeps_first = world.endpoint(B).ike_sa(first).is_some();
        assert_eq!(keeps_first, policy != DuplicatePolicy::KeepNew, "{policy:?}");
        if refused {
            says(&down(&world.take_events(B)), &["a.example has an IKE SA already", "keeps it"]);
        }
        assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
    }
}

/// A connection for whoever comes: the identity decides which connection it is, not the address.
#[test]
fn the_connection_is_chosen_by_the_identities() {
    let (a, mut b) = two();
    let mut other = ikev2_core::Connection::with_shared_key(
        "other",
        id("b.example"),
        IdentityPattern::Exactly(id("c.example")),
        secret(b"the secret of c"),
    );
    other.children = b.connection.children.clone();
    b.others.push(other);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    assert_eq!(world.node(B).only_sa().1.connection, "tunnel");
}

/// IKE_SA_INIT may have taken another connection of the same address for the peer's.
#[test]
fn what_fails_after_the_identities_is_told_of_the_connection_that_they_chose() {
    let (mut a, mut b) = two();
    a.set_secret(b"another secret");
    let mut first = b.connection.clone();
    first.name = "other".into();
    first.remote_id = IdentityPattern::Exactly(id("c.example"));
    let mine = core::mem::replace(&mut b.connection, first);
    b.others.push(mine);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let events = world.take_events(B);
    says(&down(&events), &["does not fit the shared secret of connection `tunnel`"]);
    let told = events.iter().find_map(|event| match event {
        Event::IkeSaDown { connection, .. } => Some(connection.as_str()),
        _ => None,
    });
    assert_eq!(told, Some("tunnel"));
}

/// Secrets that come and go.
#[derive(Debug, Default)]
struct Store(std::sync::Mutex<std::collections::BTreeMap<String, ipsec_types::SecretBytes>>);

impl ikev2_core::credentials::SharedKeyStore for Store {
    fn shared_key(
        &self,
        local: &ikev2_core::Identity,
        remote: Option<&ikev2_core::Identity>,
    ) -> Option<ipsec_types::SecretBytes> {
        let remote = remote.map_or_else(String::new, ToString::to_string);
        self.0.lock().unwrap().get(&format!("{local} {remote}")).cloned()
    }
}

/// Our own credential is missing. The attempt ends in order, says which, and the next one works.
#[test]
fn a_secret_that_is_missing_ends_the_attempt_and_names_both_ends() {
    for missing_at in [A, B] {
        let (mut a, mut b) = two();
        let store = std::sync::Arc::new(Store::default());
        let keys = ikev2_core::SharedKeys::ByIdentity(store.clone());
        let setup = if missing_at == A { &mut a } else { &mut b };
        setup.connection.local_auth = ikev2_core::LocalAuth::SharedKey(keys.clone());
        setup.connection.remote_auth = ikev2_core::RemoteAuth::SharedKey(keys);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        let failure = down(&world.take_events(missing_at));
        assert!(matches!(failure, Failure::Authentication(AuthFailure::NoSecret { .. })), "{failure:?}");
        says(&failure, &["a.example", "b.example"]);
        if missing_at == B {
            let told = Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED };
            assert_eq!(down(&world.take_events(A)), told);
        }
        let sent = world.endpoint(A).statistics().datagrams_sent;
        world.run_for_secs(60);
        assert_eq!(world.endpoint(A).statistics().datagrams_sent, sent, "repeated after its end");
        world.assert_empty(A);
        world.assert_empty(B);
        let (us, peer) = if missing_at == A { ("a", "b") } else { ("b", "a") };
        let names = format!("{us}.example {peer}.example");
        store.0.lock().unwrap().insert(names, secret(SECRET));
        world.connect(A, B);
        world.run();
        assert_eq!(world.node(A).mirror.sas.len(), 1);
        assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
    }
}

/// A pattern takes whom it names, and the closest one wins.
#[test]
fn the_closest_pattern_of_identities_wins() {
    let patterns = [("anyone", "*"), ("domain", "*.example"), ("exact", "a.example")];
    for (name, connection) in [("a.example", "exact"), ("c.example", "domain"), ("a.else", "anyone")] {
        let (mut a, mut b) = two();
        a.connection.local_id = id(name);
        let template = b.connection.clone();
        b.others = patterns
            .iter()
            .map(|(name, pattern)| {
                let mut connection = template.clone();
                connection.name = (*name).into();
                connection.remote_id = pattern.parse().unwrap();
                connection
            })
            .collect();
        b.connection.remote_id = IdentityPattern::Exactly(id("nobody.example"));
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        assert_eq!(world.node(B).only_sa().1.connection, connection, "{name}");
    }
}
