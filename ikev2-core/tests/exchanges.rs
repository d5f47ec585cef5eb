//! Message IDs, repeats, the window, retransmission and liveness (RFC 7296 §2.1 to §2.4).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::exchange::retransmit::RetransmitPolicy;
use ikev2_core::{DownReason, Event, Failure, Handled, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ipsec_types::SaReport;
use std::time::Duration;
use support::forge::Forger;
use support::mirror::assert_crosswise;
use support::peer::notifies;
use support::setup::*;
use support::told::*;
use support::world::*;

fn check_liveness(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
}

fn create(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.create_child(now, sa, "first")).unwrap();
}

/// Brings a pair to where `node` has sent this request and waits for the answer.
fn waiting_for(exchange: ExchangeType) -> World {
    let (mut a, b) = two();
    a.connection.liveness = None;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    match exchange {
        ExchangeType::IKE_SA_INIT => return world,
        ExchangeType::IKE_AUTH => {
            world.deliver_next();
            world.deliver_next();
            return world;
        }
        _ => world.run(),
    }
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    match exchange {
        ExchangeType::CREATE_CHILD_SA => create(&mut world, A),
        _ => check_liveness(&mut world, A),
    }
    world
}

const EXCHANGES: [ExchangeType; 4] = [
    ExchangeType::IKE_SA_INIT,
    ExchangeType::IKE_AUTH,
    ExchangeType::CREATE_CHILD_SA,
    ExchangeType::INFORMATIONAL,
];

/// §2.1, §2.4: the same octets, at growing intervals, for minutes; then the SA is gone and nothing more is sent.
#[test]
fn a_request_is_repeated_octet_for_octet_at_growing_intervals_and_given_up() {
    for exchange in EXCHANGES {
        let mut world = waiting_for(exchange);
        let request = world.take();
        let began = world.now;
        let mut times = Vec::new();
        while let Some((at, node)) = world.next_timer() {
            if at > began + Duration::from_secs(300) {
                break;
            }
            world.now = world.now.max(at);
            world.fire(node);
            for packet in world.take_all() {
                if packet.from.ip() == world.node(A).ip {
                    assert_eq!(packet, request, "{exchange}");
                    times.push(world.now.saturating_since(began).as_millis());
                }
            }
        }
        let expected = [1_000, 2_800, 6_040, 11_872, 22_369, 41_265, 75_277, 135_277];
        assert_eq!(times, expected, "{exchange}");
        let events = world.take_events(A);
        let failure = down(&events);
        assert_eq!(failure, Failure::Timeout { exchange, hint: None });
        says(&failure, &["no answer to", &exchange.to_string()]);
        assert_eq!(world.endpoint(A).statistics().repeats_sent, 8);
        assert!(world.node(A).mirror.children.is_empty());
        assert_eq!(world.endpoint(A).ike_sas().count(), 0);
    }
}

#[test]
fn the_retransmission_policy_is_the_connections() {
    let (mut a, b) = two();
    a.connection.retransmit = RetransmitPolicy {
        initial: Duration::from_millis(100),
        growth_permille: 1_000,
        longest: Duration::from_millis(100),
        repeats: 3,
    };
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.link.loss = 1_000;
    world.take_all();
    world.run_for(Duration::from_millis(399));
    assert_eq!(world.endpoint(A).statistics().repeats_sent, 3);
    assert_eq!(world.take_events(A), []);
    world.run_for(Duration::from_millis(1));
    assert!(matches!(down(&world.take_events(A)), Failure::Timeout { .. }));
}

/// The last answer comes after the last repeat.
#[test]
fn an_answer_in_the_last_moment_counts() {
    for exchange in EXCHANGES {
        let mut world = waiting_for(exchange);
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        world.link.loss = 1_000;
        world.now += Duration::from_millis(190_000);
        world.fire(A);
        world.link.loss = 0;
        world.deliver(&answer).unwrap().unwrap();
        assert_eq!(downs(&world.take_events(A)), [], "{exchange}");
    }
}

/// §2.1: a responder never repeats by itself, whatever happens.
#[test]
fn a_responder_does_not_repeat_by_itself() {
    let (mut a, mut b) = two();
    for setup in [&mut a, &mut b] {
        setup.connection.liveness = None;
        setup.connection.ike_keepalive = None;
    }
    let mut world = World::established(a, b);
    check_liveness(&mut world, A);
    world.deliver_next();
    world.take_all();
    let sent = world.endpoint(B).statistics().datagrams_sent;
    for _ in 0..300 {
        world.now += Duration::from_secs(1);
        world.fire(B);
    }
    assert_eq!(world.endpoint(B).statistics().datagrams_sent, sent);
}

/// Recognised by its octets before anything is decrypted, and answered with the same octets.
#[test]
fn a_repeat_is_answered_alike_without_decrypting() {
    for exchange in EXCHANGES {
        let mut world = waiting_for(exchange);
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        world.take_events(B);
        let (decryptions, exchanges) = {
            let statistics = world.endpoint(B).statistics();
            (statistics.decryptions, statistics.key_exchanges)
        };
        let before = dump(world.endpoint(B));
        for _ in 0..5 {
            assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)), "{exchange}");
            assert_eq!(world.take(), answer, "{exchange}");
        }
        let statistics = world.endpoint(B).statistics();
        assert_eq!((statistics.decryptions, statistics.key_exchanges), (decryptions, exchanges));
        assert_eq!(statistics.repeats_sent, 5);
        assert_eq!(before, dump(world.endpoint(B)), "{exchange}");
        assert_eq!(world.take_events(B), []);
        world.deliver(&answer).unwrap().unwrap();
        world.run();
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

/// §2.11, §2.23: a repeat from elsewhere is answered there, and nobody moves.
#[test]
fn a_repeat_from_elsewhere_is_answered_there() {
    for exchange in EXCHANGES {
        let mut world = waiting_for(exchange);
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        let elsewhere = Packet { from: "203.0.113.5:1024".parse().unwrap(), ..request };
        assert_eq!(world.deliver(&elsewhere), Some(Ok(Handled::RepeatAnswered)));
        let again = world.take();
        assert_eq!((again.to, &again.octets), (elsewhere.from, &answer.octets));
        let path = world.node(B).endpoint.ike_sas().next().unwrap().1.path;
        assert_eq!(path.remote, answer.to, "{exchange}");
    }
}

/// The same Message ID with one flipped bit: dropped before it is decrypted.
#[test]
fn an_altered_repeat_is_dropped_without_decrypting() {
    for exchange in EXCHANGES {
        let mut world = waiting_for(exchange);
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        world.take();
        let decryptions = world.endpoint(B).statistics().decryptions;
        let mut octets = request.message().to_vec();
        *octets.last_mut().unwrap() ^= 1;
        let id = request.header().message_id;
        let altered = request.with_message(&octets);
        let result = world.deliver(&altered).unwrap();
        if exchange == ExchangeType::IKE_SA_INIT {
            // Another request, for all that can be known: it makes another half-open SA.
            assert_eq!(result, Ok(Handled::Processed));
            assert_eq!(world.endpoint(B).half_open(), 2);
        } else {
            assert_eq!(result, Err(Rejection::AlteredRepeat(id)), "{exchange}");
            assert_eq!(world.in_flight().count(), 0);
        }
        assert_eq!(world.endpoint(B).statistics().decryptions, decryptions);
    }
}

#[test]
fn message_ids_before_and_beyond_the_window_are_dropped() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let mut old = Vec::new();
    for _ in 0..3 {
        check_liveness(&mut world, A);
        old.push(world.take());
        world.deliver(old.last().unwrap());
        world.run();
    }
    let decryptions = world.endpoint(B).statistics().decryptions;
    // IDs 0 and 1 were the handshake; 2, 3 and 4 came after it, and only the last answer is kept.
    assert_eq!(world.deliver(&old[0]), Some(Err(Rejection::OldMessageId(2))));
    assert_eq!(world.deliver(&old[1]), Some(Err(Rejection::OldMessageId(3))));
    assert_eq!(world.deliver(&old[2]), Some(Ok(Handled::RepeatAnswered)));
    world.run();
    let mut forger = Forger::new(&world.node(A).keys);
    let path = world.path(B, A);
    for id in [6, 7, 100, u32::MAX] {
        let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, id, false);
        let message = forger.seal(&head, &[]);
        assert_eq!(world.receive(B, path, &message), Err(Rejection::MessageIdAhead(id)));
    }
    assert_eq!(world.endpoint(B).statistics().decryptions, decryptions);
    assert_eq!(world.in_flight().count(), 0);
    check_liveness(&mut world, A);
    world.run();
}

/// Message ID 0 belongs to both ends.
#[test]
fn the_responders_first_request_has_message_id_zero() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    check_liveness(&mut world, B);
    let request = world.take();
    let header = request.header();
    assert_eq!((header.message_id, header.exchange), (0, ExchangeType::INFORMATIONAL));
    assert!(!header.flags.is_initiator() && !header.flags.is_response());
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    assert!(answer.header().flags.is_initiator() && answer.header().flags.is_response());
    assert_eq!(answer.header().message_id, 0);
    world.deliver(&answer).unwrap().unwrap();
    assert_eq!(kinds(&world.take_events(B)), ["alive"]);
    assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)));
    assert_eq!(world.deliver(&answer), Some(Err(Rejection::Unsolicited(0))));
}

/// B's request comes before A has B's answer to IKE_AUTH: it is dropped, and B repeats it.
#[test]
fn a_request_that_overtakes_the_answer_to_ike_auth_is_served_later() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    for _ in 0..3 {
        world.deliver_next();
    }
    let answer = world.take();
    check_liveness(&mut world, B);
    let request = world.take();
    let refused = world.deliver(&request).unwrap();
    assert_eq!(refused, Err(Rejection::UnexpectedExchange(ExchangeType::INFORMATIONAL)));
    world.deliver(&answer).unwrap().unwrap();
    world.run_for(Duration::from_millis(1_100));
    assert!(kinds(&world.take_events(B)).contains(&"alive"));
}

#[test]
fn answers_that_nobody_waits_for_are_dropped() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    for (node, role) in [(A, Role::Responder), (B, Role::Initiator)] {
        let path = world.path(node, 1 - node);
        for exchange in EXCHANGES {
            for id in [0, 1, 2, 3, 1_000, u32::MAX] {
                let head = forger.head(role, exchange, id, true);
                let message = forger.seal(&head, &[]);
                let refused = world.receive(node, path, &message);
                assert_eq!(refused, Err(Rejection::Unsolicited(id)), "{exchange} {id}");
            }
        }
        assert_eq!(world.take_events(node), []);
    }
}

#[test]
fn an_answer_counts_once_and_only_with_its_exchange_type() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    check_liveness(&mut world, A);
    world.deliver_next();
    let answer = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    for exchange in [ExchangeType::CREATE_CHILD_SA, ExchangeType::IKE_AUTH, ExchangeType(250)] {
        let head = forger.head(Role::Responder, exchange, answer.header().message_id, true);
        let forged = answer.with_message(&forger.seal(&head, &[]));
        assert_eq!(world.deliver(&forged), Some(Err(Rejection::UnexpectedExchange(exchange))));
    }
    world.deliver(&answer).unwrap().unwrap();
    let id = answer.header().message_id;
    assert_eq!(world.deliver(&answer), Some(Err(Rejection::Unsolicited(id))));
    assert_eq!(kinds(&world.take_events(A)), ["alive"]);
}

/// §2.3: what each side can serve at once is what the other may send at once.
#[test]
fn each_sides_window_is_the_others_limit() {
    for (window_a, window_b) in [(1, 1), (1, 5), (5, 1), (4, 4)] {
        let (mut a, mut b) = two();
        (a.config.window, b.config.window) = (window_a, window_b);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.deliver_next();
        world.deliver_next();
        let forger = Forger::new(&world.node(A).keys);
        for window in [window_a, window_b] {
            let told = notifies(&forger.open(world.peek().message()));
            world.deliver_next().unwrap().unwrap();
            let told = told.iter().find(|(ty, _)| *ty == NotifyType::SET_WINDOW_SIZE);
            let expected = (window > 1).then(|| window.to_be_bytes().to_vec());
            assert_eq!(told.map(|(_, data)| data.clone()), expected);
        }
        assert_eq!(world.node(A).mirror.sas.len(), 1);
        for (node, limit) in [(A, window_b), (B, window_a)] {
            for _ in 0..8 {
                check_liveness(&mut world, node);
            }
            let mut flying = world.take_all();
            assert_eq!(flying.len() as u32, limit, "{window_a} {window_b}");
            let ids: Vec<u32> = flying.iter().map(|packet| packet.header().message_id).collect();
            assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
            // Served in any order.
            flying.reverse();
            for request in &flying {
                assert_eq!(world.deliver(request), Some(Ok(Handled::Processed)));
            }
            world.run();
            let alive = kinds(&world.take_events(node)).iter().filter(|kind| **kind == "alive").count();
            assert_eq!(alive, 8, "{window_a} {window_b}");
        }
    }
}

/// §2.3: the window is counted from the oldest request without an answer, whatever was answered after it.
#[test]
fn a_gap_holds_the_window_back() {
    let (mut a, mut b) = two();
    (a.config.window, b.config.window) = (3, 3);
    let mut world = World::established(a, b);
    for _ in 0..5 {
        check_liveness(&mut world, A);
    }
    let requests = world.take_all();
    assert_eq!(requests.len(), 3);
    for request in &requests[1..] {
        world.deliver(request).unwrap().unwrap();
        world.deliver_next().unwrap().unwrap();
    }
    assert_eq!(world.in_flight().count(), 0);
    // All of them are still known at the peer.
    for request in &requests[1..] {
        assert_eq!(world.deliver(request), Some(Ok(Handled::RepeatAnswered)));
    }
    world.take_all();
    world.deliver(&requests[0]).unwrap().unwrap();
    world.deliver_next().unwrap().unwrap();
    assert_eq!(world.in_flight().count(), 2);
    world.run();
}

#[test]
fn requests_beyond_the_window_wait_in_their_order() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    check_liveness(&mut world, A);
    create(&mut world, A);
    check_liveness(&mut world, A);
    let mut exchanges = Vec::new();
    while world.in_flight().count() > 0 {
        assert_eq!(world.in_flight().count(), 1);
        let packet = world.take();
        if !packet.header().flags.is_response() {
            exchanges.push(packet.header().exchange);
        }
        world.deliver(&packet).unwrap().unwrap();
    }
    let informational = ExchangeType::INFORMATIONAL;
    assert_eq!(exchanges, [informational, ExchangeType::CREATE_CHILD_SA, informational]);
}

/// §2.3: a peer must serve requests while it waits for its own answer.
#[test]
fn requests_are_served_while_one_waits_for_an_answer() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    check_liveness(&mut world, A);
    check_liveness(&mut world, B);
    create(&mut world, A);
    create(&mut world, B);
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 3);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// §2.4: silence asks; any authentic message is an answer.
#[test]
fn a_silent_peer_is_asked_after_the_configured_time() {
    let (mut a, mut b) = two();
    a.connection.liveness = Some(Duration::from_secs(10));
    b.connection.liveness = None;
    let mut world = World::established(a, b);
    world.run_for(Duration::from_millis(9_999));
    assert_eq!(world.endpoint(A).statistics().datagrams_sent, 2);
    world.link.latency = (35, 35);
    world.run_for(Duration::from_millis(1));
    let request = world.in_flight().next().cloned().unwrap();
    assert_eq!(request.header().exchange, ExchangeType::INFORMATIONAL);
    assert_eq!(Forger::new(&world.node(A).keys).open(request.message()), []);
    world.run_for(Duration::from_millis(100));
    let events = world.take_events(A);
    let expected = Duration::from_millis(70);
    assert!(
        matches!(events[..], [Event::PeerAlive { round_trip, .. }] if round_trip == expected),
        "{events:?}"
    );
    // B's own request is as good.
    world.run_for(Duration::from_secs(8));
    check_liveness(&mut world, B);
    world.run_for(Duration::from_secs(9));
    assert_eq!(world.take_events(A), []);
    world.run_for(Duration::from_secs(2));
    assert_eq!(kinds(&world.take_events(A)), ["alive"]);
}

#[test]
fn what_anyone_can_send_is_no_sign_of_life() {
    let (mut a, mut b) = two();
    a.connection.liveness = Some(Duration::from_secs(10));
    b.connection.liveness = None;
    let mut world = World::established(a, b);
    check_liveness(&mut world, B);
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    world.run();
    let mut garbage = request.message().to_vec();
    let last = garbage.len() - 1;
    garbage[last] ^= 1;
    garbage[23] += 1;
    world.now += Duration::from_secs(9);
    // A repeat, a forgery, and something unprotected.
    world.deliver(&request).unwrap().unwrap();
    world.take_all();
    assert_eq!(world.deliver(&request.with_message(&garbage)), Some(Err(Rejection::IntegrityCheck)));
    assert_eq!(
        world.next_timer().map(|(at, _)| at.saturating_since(world.now)),
        Some(Duration::from_secs(1))
    );
}

#[test]
fn inbound_esp_is_a_sign_of_life() {
    let (mut a, mut b) = two();
    a.connection.liveness = Some(Duration::from_secs(10));
    b.connection.liveness = None;
    let mut world = World::established(a, b);
    let id = *world.node(A).mirror.children.keys().next().unwrap();
    world.run_for_secs(9);
    let at = world.now;
    world.call(A, |e, now| e.handle_report(now, &SaReport::LastInbound { id, at })).unwrap();
    world.run_for_secs(9);
    assert_eq!(world.take_events(A), []);
    // An old one, or one from the future, proves nothing more.
    let future = world.now + Duration::from_secs(1_000);
    for at in [ipsec_types::Instant::ZERO, future] {
        world.call(A, |e, now| e.handle_report(now, &SaReport::LastInbound { id, at })).unwrap();
    }
    world.run_for_secs(9);
    assert_eq!(world.take_events(A), []);
    world.run_for_secs(2);
    assert_eq!(kinds(&world.take_events(A)), ["alive"]);
}

#[test]
fn without_liveness_checks_silence_means_nothing() {
    let (mut a, mut b) = two();
    for setup in [&mut a, &mut b] {
        setup.connection.liveness = None;
        setup.connection.ike_rekey_after = None;
        setup.connection.ike_expires_after = None;
        setup.connection.ike_keepalive = None;
    }
    let mut world = World::established(a, b);
    assert_eq!(world.next_timer(), None);
    world.run_for_secs(1_000_000);
    assert_eq!(world.node(A).mirror.sas.len(), 1);
    check_liveness(&mut world, A);
    world.run();
    assert_eq!(kinds(&world.take_events(A)), ["alive"]);
}

/// §2.4: given up after minutes, with all Child SAs, and without a Delete.
#[test]
fn a_dead_peer_is_given_up_with_everything() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    create(&mut world, A);
    world.run();
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    world.link.loss = 1_000;
    world.run_for_secs(30 + 194);
    assert_eq!(world.take_events(A), []);
    world.run_for_secs(2);
    for node in [A, B] {
        let events = world.take_events(node);
        assert_eq!(kinds(&events), ["data path", "Child down", "data path", "Child down", "IKE down"]);
        let failure = down(&events);
        assert_eq!(failure, Failure::Timeout { exchange: ExchangeType::INFORMATIONAL, hint: None });
        assert!(child_downs(&events).iter().all(|(_, reason)| *reason == DownReason::IkeSaEnded));
    }
    // Nine liveness checks each, and nothing besides.
    assert_eq!(world.endpoint(B).statistics().datagrams_sent, 3 + 9);
    world.run_for_secs(15);
    world.assert_empty(A);
    world.assert_empty(B);
}

#[test]
fn a_peer_that_comes_back_in_time_is_not_given_up() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    world.link.loss = 1_000;
    world.run_for_secs(150);
    world.link.loss = 0;
    world.run_for_secs(100);
    let events = world.take_events(A);
    assert_eq!(downs(&events), []);
    assert!(kinds(&events).contains(&"alive"));
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn a_half_open_sa_expires_without_a_word() {
    let (a, mut b) = two();
    b.config.half_open_timeout = Duration::from_secs(7);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.take_all();
    world.link.loss = 1_000;
    assert_eq!((world.endpoint(B).half_open(), world.endpoint(B).ike_sas().count()), (1, 1));
    world.run_for(Duration::from_millis(6_999));
    assert_eq!(world.endpoint(B).half_open(), 1);
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.take_events(B), []);
    assert_eq!(world.endpoint(B).statistics().half_open_expired, 1);
    world.assert_empty(B);
}

/// Every count is owned by what it counts, and falls with it.
#[test]
fn the_count_of_half_open_sas_falls_with_each_end_that_there_is() {
    let (a, mut b) = two();
    b.set_secret(b"another");
    let mut world = World::pair(a, b);
    // Refused; expired; deleted.
    world.connect(A, B);
    world.run();
    assert_eq!(world.endpoint(B).half_open(), 0);
    world.connect(A, B);
    world.deliver_next();
    world.take_all();
    assert_eq!(world.endpoint(B).half_open(), 1);
    let sa = world.endpoint(B).ike_sas().next().unwrap().0;
    world.call(B, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    assert_eq!(world.endpoint(B).half_open(), 0);
    // What never made one is not counted: Message ID 1, an SPIr, truncated, repeated.
    world.connect(A, B);
    let request = world.take();
    let path = world.path(B, A);
    let mut with_id = request.message().to_vec();
    with_id[23] = 1;
    let mut with_spi = request.message().to_vec();
    with_spi[15] = 1;
    for octets in [&with_id[..], &with_spi[..], &request.message()[..60]] {
        assert!(world.receive(B, path, octets).is_err());
        assert_eq!(world.endpoint(B).half_open(), 0);
    }
    for _ in 0..3 {
        world.deliver(&request).unwrap().unwrap();
        assert_eq!(world.endpoint(B).half_open(), 1);
    }
    world.link.loss = 1_000;
    world.run_for_secs(31);
    assert_eq!(world.endpoint(B).half_open(), 0);
}
