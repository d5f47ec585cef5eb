//! What a rekey of the IKE SA takes along (RFC 7296 §2.8, §2.18), and what messages for an IKE SA that is over cost
//! (§2.1, RFC 7383 §2.6.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::FragmentFault;
use ikev2_core::{ChildSaInfo, Connection, Event, Handled, IkeSaHandle, IkeSaInfo, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ipsec_types::SaReport;
use ipsec_types::sa::{ChildSaId, Direction, ExpiryReason};
use ipsec_types::udp::NAT_KEEPALIVE;
use std::time::Duration;
use support::counting::{COUNTING, opened};
use support::forge::{Forger, Raw};
use support::fragments::{fragment, sizes, total, two_with_certificates};
use support::mirror::assert_crosswise;
use support::setup::*;
use support::told::*;
use support::world::*;

/// Nothing happens but what a test asks for.
fn quiet(connection: &mut Connection) {
    connection.liveness = None;
    connection.ike_keepalive = None;
    connection.ike_rekey_after = None;
    connection.ike_expires_after = None;
}

/// Two with everything that an IKE SA can have agreed: A is behind a NAT, the path is narrow, so that fragments became
/// smaller, and both ends take several requests at once.
fn with_everything() -> World {
    let (mut a, mut b) = two_with_certificates(3_000, 3_000);
    let nets: Vec<String> = (0..60).map(|net| format!("10.{net}.0.0/16")).collect();
    let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
    for setup in [&mut a, &mut b] {
        quiet(&mut setup.connection);
        setup.config.window = 3;
        setup.connection.fragmentation = sizes(1_280, 576);
        setup.connection.children.push(child(7, "large", &nets, &nets));
    }
    let mut world = World::pair(a, b);
    world.strict = false;
    world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    world.link.mtu = 600;
    world.connect(A, B);
    world.run_for_secs(60);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    let info = world.node(A).only_sa().1;
    assert_eq!((info.fragment_size, info.nat.local), (Some(576), true));
    world
}

fn children(world: &World, node: usize) -> Vec<ChildSaInfo> {
    world.endpoint(node).child_sas(world.handle(node)).collect()
}

fn rekey(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
    world.run_for_secs(11);
}

/// All that can be said of an IKE SA is as before but for what §2.18 makes anew: SPIs, roles, Message IDs, and when the
/// peer was heard. A field that is added counts too.
#[test]
fn a_rekey_of_the_ike_sa_forgets_nothing() {
    for rekeyer in [A, B] {
        let mut world = with_everything();
        let before = [A, B].map(|node| (world.node(node).only_sa(), children(&world, node)));
        rekey(&mut world, rekeyer);
        for (node, ((handle, info), children_before)) in before.into_iter().enumerate() {
            let (handle_after, after): (IkeSaHandle, IkeSaInfo) = world.node(node).only_sa();
            assert_ne!((after.initiator_spi, after.responder_spi), (info.initiator_spi, info.responder_spi));
            let role = if node == rekeyer { Role::Initiator } else { Role::Responder };
            let expected = IkeSaInfo {
                role,
                initiator_spi: after.initiator_spi,
                responder_spi: after.responder_spi,
                requests_sent: 0,
                requests_answered: 0,
                heard_at: after.heard_at,
                ..info
            };
            assert_eq!((handle_after, after), (handle, expected));
            assert_eq!(children(&world, node), children_before);
        }
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

/// RFC 3948 §4: the mapping is kept alive by who is behind the NAT, whichever end rekeyed, and followed by the other.
#[test]
fn nat_keepalives_and_moves_go_on_after_a_rekey() {
    for rekeyer in [A, B] {
        let mut world = with_everything();
        let sa = world.handle(rekeyer);
        world.call(rekeyer, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
        world.run();
        let last = world.now;
        // The first of A's timers: every other is off, and the former IKE SA is forgotten before.
        for _ in 0..3 {
            let (at, _) = world.next_timer().unwrap();
            let keepalive = last + Duration::from_secs(20);
            if at < keepalive {
                world.run_until(at);
                continue;
            }
            assert_eq!(at, keepalive, "{rekeyer}");
            world.now = at;
            world.fire(A);
            let packet = world.take();
            assert_eq!((world.in_flight().count(), &packet.octets[..]), (0, &NAT_KEEPALIVE[..]));
            assert_eq!(world.deliver(&packet), Some(Ok(Handled::Keepalive)));
            break;
        }
        world.nodes[A].nat.as_mut().unwrap().rebind();
        let sa = world.handle(A);
        world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
        world.run();
        let moved = moves(&world.take_events(B));
        assert_eq!(moved.len(), 1, "{rekeyer}");
        assert_eq!(moved[0].1, 1, "with its Child SA");
    }
}

/// RFC 7383 §2.5.2: the size that was found holds on, and both ends still take fragments.
#[test]
fn the_size_of_fragments_holds_on_after_a_rekey() {
    for rekeyer in [A, B] {
        let mut world = with_everything();
        rekey(&mut world, rekeyer);
        for node in [A, B] {
            let sa = world.handle(node);
            world.call(node, |e, now| e.create_child(now, sa, "large")).unwrap();
            let request: Vec<_> = world.in_flight().cloned().collect();
            assert!(total(&request) > 1, "not in fragments");
            assert!(request.iter().all(|packet| packet.ip_octets() <= 576 && fragment(packet).is_some()));
            world.run();
            assert!(kinds(&world.take_events(node)).contains(&"Child up"));
        }
    }
}

/// §2.3: the window is 1 again until the peer says otherwise, whatever it was.
#[test]
fn the_window_is_one_again_after_a_rekey() {
    let mut world = with_everything();
    let ask = |world: &mut World| {
        let sa = world.handle(A);
        for _ in 0..2 {
            world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
        }
        let sent = world.in_flight().count();
        world.run();
        sent
    };
    assert_eq!(ask(&mut world), 2);
    rekey(&mut world, B);
    assert_eq!(ask(&mut world), 1);
    assert_eq!(world.node(A).only_sa().1.requests_sent, 2);
}

/// What was to be done with a Child SA is done by the new IKE SA: a soft limit rekeys it, and so does either end.
#[test]
fn child_sas_are_rekeyed_by_the_new_ike_sa() {
    for rekeyer in [A, B] {
        let mut world = with_everything();
        rekey(&mut world, rekeyer);
        for (turn, node) in [(1, A), (2, B)] {
            let id: ChildSaId = *world.node(node).mirror.children.keys().next().unwrap();
            let (direction, reason) = (Direction::Outbound, ExpiryReason::Octets);
            let report = SaReport::SoftExpired { id, direction, reason };
            world.call(node, |e, now| e.handle_report(now, &report)).unwrap();
            world.run();
            let told = world.take_events(node);
            assert!(
                told.iter().any(|event| matches!(event, Event::ChildSaReplaced { old, .. } if *old == id))
            );
            assert_eq!(world.endpoint(node).statistics().child_sas_installed, 1 + turn);
            assert_eq!(world.node(A).mirror.children.len(), 1);
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        }
    }
}

/// Keys open what has the SPIs of their own generation alone, and anything else has no effect but its count.
#[test]
fn keys_of_one_generation_open_nothing_of_the_other() {
    let (mut a, mut b) = two();
    quiet(&mut a.connection);
    quiet(&mut b.connection);
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
    // Both generations are there: the Delete of the former one is lost.
    for _ in 0..2 {
        world.deliver_next().unwrap().unwrap();
    }
    world.take_all();
    let mut keys: Vec<_> =
        world.node(A).keys.ike_lines().iter().map(|line| Forger::from_line(line)).collect();
    assert_eq!(keys.len(), 2);
    for (of, by, id) in [(0, 1, 3), (1, 0, 0)] {
        let head = keys[of].head(Role::Initiator, ExchangeType::INFORMATIONAL, id, false);
        let delete = [Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])];
        let forged = keys[by].seal(&head, &delete);
        assert_eq!(send(&mut world, &forged), Err(Rejection::IntegrityCheck));
        assert_eq!(world.node(B).mirror.sas.len(), 1);
    }
    // By its own keys the same is served.
    let head = keys[0].head(Role::Initiator, ExchangeType::INFORMATIONAL, 3, false);
    let empty = keys[0].seal(&head, &[]);
    assert_eq!(send(&mut world, &empty), Ok(Handled::Processed));
}

/// How an IKE SA of B's came to be over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    /// Rekeyed, and not deleted yet.
    Rekeyed,
    /// Rekeyed and deleted.
    RekeyedAndDeleted,
    Deleted,
}

/// An IKE SA at B that is over, its keys, the requests that were served at last, and the next Message ID.
fn over(how: Over, window: u32) -> (World, Forger, Vec<Vec<u8>>, u32) {
    let (mut a, mut b) = two();
    (b.config.crypto, b.config.window) = (&COUNTING, window);
    b.connection.ike_proposals = ike(&["aes256gcm16-prfsha256-x25519"]);
    b.connection.children = vec![child_with(1, "first", &["aes256gcm16"])];
    quiet(&mut a.connection);
    quiet(&mut b.connection);
    let mut world = World::established(a, b);
    world.strict = false;
    let mut forger = Forger::new(&world.node(A).keys);
    let sa = world.handle(A);
    world.call(A, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
    let rekey = forger.open(world.take().message());
    let (create, info) = (ExchangeType::CREATE_CHILD_SA, ExchangeType::INFORMATIONAL);
    let mut served = Vec::new();
    let mut id = 2;
    let vendor = Raw::new(PayloadType::VENDOR_ID, &[7; 90]);
    let head = forger.head(Role::Initiator, info, id, false);
    served.extend(forger.seal_fragments(&head, &[vendor], 2));
    let mut requests = Vec::new();
    if how != Over::Deleted {
        requests.push((create, rekey));
    }
    if how != Over::Rekeyed {
        requests.push((info, vec![Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])]));
    }
    for (exchange, payloads) in requests {
        id += 1;
        let head = forger.head(Role::Initiator, exchange, id, false);
        served.push(forger.seal(&head, &payloads));
    }
    for message in &served {
        send(&mut world, message).unwrap();
    }
    world.take_all();
    (world, forger, served, id + 1)
}

fn send(world: &mut World, message: &[u8]) -> Result<Handled, Rejection> {
    let path = world.path(B, A);
    world.receive(B, path, message)
}

/// A repeat is known by its octets and answered without being opened, and what is none is dropped without: whoever has
/// recorded an IKE SA, or has its keys, costs it nothing when it is over.
#[test]
fn nothing_is_decrypted_for_an_ike_sa_that_is_over() {
    for how in [Over::Rekeyed, Over::RekeyedAndDeleted, Over::Deleted] {
        for window in [1, 4] {
            let (mut world, mut forger, served, next) = over(how, window);
            let before = (opened(), world.endpoint(B).statistics().decryptions);
            assert_ne!(before, (0, 0));
            let last = served.len() - 1;
            for _ in 0..1_000 {
                for (at, message) in served.iter().enumerate() {
                    let result = send(&mut world, message);
                    match at {
                        // No longer kept where a window of 1 has gone on.
                        _ if at < last && window == 1 => {
                            assert!(matches!(result, Err(Rejection::OldMessageId(_))), "{result:?}");
                        }
                        1 => {
                            let again = FragmentFault::Answered { number: 2 };
                            assert_eq!(result, Err(Rejection::Fragment(again)));
                        }
                        _ => assert_eq!(result, Ok(Handled::RepeatAnswered), "{how:?} {at}"),
                    }
                }
                world.take_all();
                let mut altered = served[last].clone();
                *altered.last_mut().unwrap() ^= 1;
                assert_eq!(send(&mut world, &altered), Err(Rejection::AlteredRepeat(next - 1)));
                let answer = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 0, true);
                let answer = forger.seal(&answer, &[]);
                assert_eq!(send(&mut world, &answer), Err(Rejection::Unsolicited(0)));
                if how != Over::Rekeyed {
                    let new = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, next, false);
                    let new = forger.seal(&new, &[]);
                    let unexpected = Err(Rejection::UnexpectedExchange(ExchangeType::INFORMATIONAL));
                    assert_eq!(send(&mut world, &new), unexpected);
                }
            }
            // And when it is forgotten, nobody knows what they are for.
            if how != Over::Rekeyed {
                world.link.loss = 1_000;
                world.run_for_secs(11);
                assert!(matches!(send(&mut world, &served[last]), Err(Rejection::UnknownSpi(_))));
            }
            assert_eq!((opened(), world.endpoint(B).statistics().decryptions), before, "{how:?} {window}");
        }
    }
}
