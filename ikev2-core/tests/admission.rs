//! Floods of first requests: what they may cost, and that they keep nobody out (RFC 7296 §2.6, RFC 8019).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::Bound;
use ikev2_core::{
    Admission, AdmissionFacts, AdmissionPolicy, CookiePolicy, Endpoint, EndpointConfig, Handled, Rejection,
    Statistics,
};
use ikev2_wire::NotifyType;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ipsec_types::{Instant, Path};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::forge::{Raw, head_of, payloads_of, plain};
use support::peer::notifies;
use support::setup::*;
use support::told::*;
use support::world::*;

/// A first request that many send: the same but for its SPI.
struct Stranger {
    message: Vec<u8>,
    path: Path,
}

impl Stranger {
    /// As `A` of this world would send it to `B`.
    fn new(world: &mut World) -> Self {
        world.connect(A, B);
        let message = world.take().message().to_vec();
        Self { message, path: world.path(B, A) }
    }

    /// Its request has so many octets more.
    fn enlarge(&mut self, octets: usize) {
        let mut payloads = payloads_of(&self.message);
        payloads.push(Raw::new(PayloadType::VENDOR_ID, &vec![7; octets - 4]));
        self.message = plain(&head_of(&self.message), &payloads);
    }

    fn request(&self, number: u32) -> Vec<u8> {
        let mut octets = self.message.clone();
        octets[..4].copy_from_slice(&(0x5500_0000 + number).to_be_bytes());
        octets
    }

    fn path(&self, from: impl Into<IpAddr>, number: u32) -> Path {
        let (from, port) = (from.into(), 1_024 + (number % 60_000) as u16);
        let mut local = self.path.local;
        if from.is_ipv6() {
            local.set_ip("2001:db8:ffff::1".parse().unwrap());
        }
        Path { local, remote: (from, port).into(), ..self.path }
    }

    /// A request without a cookie.
    fn knock(&self, endpoint: &mut Endpoint, now: Instant, from: impl Into<IpAddr>, number: u32) -> Outcome {
        let outcome = endpoint.handle_datagram(now, self.path(from, number), &self.request(number));
        drain(endpoint);
        outcome
    }

    /// A request, and if a cookie is asked for, the same with it: what needs a true address.
    fn come(&self, endpoint: &mut Endpoint, now: Instant, from: impl Into<IpAddr>, number: u32) -> Outcome {
        let (path, request) = (self.path(from, number), self.request(number));
        let outcome = endpoint.handle_datagram(now, path, &request);
        if outcome != Err(Rejection::CookieRequired) {
            drain(endpoint);
            return outcome;
        }
        let asked = payloads_of(&endpoint.poll_transmit().unwrap().datagram);
        let (ty, cookie) = notifies(&asked).remove(0);
        assert_eq!(ty, NotifyType::COOKIE);
        let mut payloads = payloads_of(&request);
        payloads.insert(0, Raw::notify(NotifyType::COOKIE, &cookie));
        let outcome = endpoint.handle_datagram(now, path, &plain(&head_of(&request), &payloads));
        drain(endpoint);
        outcome
    }
}

type Outcome = Result<Handled, Rejection>;

fn limit(bound: Bound) -> Outcome {
    Err(Rejection::Limit(bound))
}

/// An address for each number.
fn anywhere(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0A00_0000 + number)
}

fn drain(endpoint: &mut Endpoint) {
    while endpoint.poll_event().is_some() {}
    while endpoint.poll_transmit().is_some() {}
}

fn without_key_log() -> (Setup, Setup) {
    let (mut a, mut b) = two();
    (a.config.hooks.key_log, b.config.hooks.key_log) = (None, None);
    (a, b)
}

/// A world whose `B` is flooded, and what to flood it with. The attempt of `A` that it came from is gone.
fn flooded(a: Setup, b: Setup) -> (World, Stranger) {
    let mut world = World::pair(a, b);
    world.strict = false;
    let stranger = Stranger::new(&mut world);
    let sa = world.handle(A);
    world.call(A, |endpoint, now| endpoint.delete_ike_sa(now, sa)).unwrap();
    world.take_events(A);
    (world, stranger)
}

/// `A` begins now, and the flood goes on until it is in, for at most this long.
fn gets_in(world: &mut World, within: Duration, mut flood: impl FnMut(&mut Endpoint, Instant)) -> Duration {
    let began = world.now;
    world.connect(A, B);
    while world.node(A).mirror.sas.is_empty() {
        let now = world.now;
        assert!(now.saturating_since(began) < within, "kept out: {:?}", world.endpoint(B).statistics());
        flood(&mut world.nodes[B].endpoint, now);
        world.run_for(Duration::from_millis(10));
    }
    assert_eq!(world.node(B).mirror.sas.len(), 1);
    assert_eq!(world.node(B).mirror.children.len(), 1);
    world.now.saturating_since(began)
}

/// Every request found exactly one end.
fn assert_told(statistics: &Statistics, requests: u64) {
    let decided = [
        statistics.admitted,
        statistics.cookies_sent,
        statistics.admissions_refused,
        statistics.admissions_ignored,
    ];
    assert_eq!(decided.iter().sum::<u64>(), requests, "{statistics:?}");
}

/// Two requests a millisecond, 100,000 of them, by whatever sends one with its number; never more half-open IKE SAs
/// than so many. Gives what was allocated.
fn flood(
    world: &mut World,
    most: usize,
    mut send: impl FnMut(&mut Endpoint, Instant, u32),
) -> allocation_counter::AllocationInfo {
    let mut now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    let used = allocation_counter::measure(|| {
        for number in 0..100_000 {
            send(endpoint, now, number);
            if number % 2 == 0 {
                now += Duration::from_millis(1);
                endpoint.handle_timeout(now);
            }
            assert!(endpoint.half_open() <= most);
        }
    });
    world.now = now;
    used
}

#[test]
fn a_hundred_thousand_spoofed_requests_are_bounded_and_keep_nobody_out() {
    let (a, b) = without_key_log();
    let (mut world, stranger) = flooded(a, b);
    let used = flood(&mut world, 100, |endpoint, now, number| {
        let _ = stranger.knock(endpoint, now, anywhere(number), number);
    });
    // 100 IKE SAs are half open before cookies are asked for, at 8 KiB each.
    assert!(used.bytes_max < 100 * 8_192, "{used:?}");
    assert!(used.bytes_current < 100 * 8_192, "{used:?}");
    let statistics = world.endpoint(B).statistics();
    assert_told(statistics, 100_000);
    assert!(statistics.cookies_sent > 99_000 && statistics.key_exchanges == 0, "{statistics:?}");
    let mut number = 100_000;
    let took = gets_in(&mut world, Duration::from_secs(1), |endpoint, now| {
        for _ in 0..100 {
            number += 1;
            let _ = stranger.knock(endpoint, now, anywhere(number), number);
        }
    });
    assert!(took < Duration::from_millis(100), "{took:?}");
}

/// The strangers receive where they send from, and there are more of them than places.
#[test]
fn a_hundred_thousand_requests_with_cookies_are_bounded_and_keep_nobody_out() {
    let (a, b) = without_key_log();
    let (mut world, stranger) = flooded(a, b);
    let used = flood(&mut world, 1_000, |endpoint, now, number| {
        let _ = stranger.come(endpoint, now, anywhere(number), number);
    });
    assert!(used.bytes_max < 1_000 * 8_192, "{used:?}");
    let statistics = world.endpoint(B).statistics();
    assert!(statistics.half_open_displaced > 10_000, "{statistics:?}");
    assert!(statistics.admissions_ignored > 10_000, "{statistics:?}");
    let mut number = 100_000;
    gets_in(&mut world, Duration::from_secs(60), |endpoint, now| {
        for _ in 0..20 {
            number += 1;
            let _ = stranger.come(endpoint, now, anywhere(number), number);
        }
    });
}

/// Fifty others behind the address of an honest client hold every place that the address has.
#[test]
fn fifty_others_behind_one_address_do_not_keep_an_honest_client_out() {
    let (a, mut b) = two();
    b.config.max_half_open_from_source = 50;
    let (mut world, stranger) = flooded(a, b);
    let (now, shared) = (world.now, world.node(A).ip);
    let endpoint = &mut world.nodes[B].endpoint;
    for number in 0..50 {
        assert_eq!(stranger.come(endpoint, now, shared, number), Ok(Handled::Processed));
    }
    assert_eq!(endpoint.half_open(), 50);
    let full = limit(Bound::HalfOpenFromSource);
    assert_eq!(stranger.come(endpoint, now, shared, 50), full);
    // Elsewhere nobody notices.
    assert_eq!(stranger.come(endpoint, now, anywhere(1), 51), Ok(Handled::Processed));
    let mut number = 100;
    let took = gets_in(&mut world, Duration::from_secs(20), |endpoint, now| {
        // Each of the fifty tries again ten times a second.
        for _ in 0..5 {
            number += 1;
            let _ = stranger.come(endpoint, now, shared, number);
        }
    });
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(world.endpoint(B).half_open() <= 51);
}

/// Fifty honest clients behind one address at once, and one more.
#[test]
fn everybody_behind_one_address_gets_in_at_once() {
    let mut setups: Vec<_> = (0..51).map(|n| Setup::new(&format!("c{n}.example"), "b.example")).collect();
    let mut gateway = Setup::new("b.example", "*");
    gateway.connection.remote_id = "*".parse().unwrap();
    setups.push(gateway);
    let mut world = World::new(setups, 4);
    world.strict = false;
    for client in 0..51 {
        world.nodes[client].nat = Some(Nat::new("198.51.100.1"));
        world.nodes[client].nat.as_mut().unwrap().start_at(20_000 + 100 * client as u16);
    }
    world.link.latency = (20, 20);
    for client in 0..51 {
        world.connect(client, 51);
    }
    world.run_for_secs(1);
    assert_eq!(world.node(51).mirror.sas.len(), 51);
    let statistics = world.endpoint(51).statistics();
    assert_eq!((statistics.admitted, statistics.cookies_sent), (51, 46));
    assert_eq!((statistics.admissions_ignored, statistics.half_open_displaced), (0, 0));
}

#[test]
fn a_cookie_is_asked_of_a_busy_source_alone() {
    let (a, mut b) = two();
    b.config.cookies_from_source = 3;
    let (mut world, stranger) = flooded(a, b);
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    let (cookie, taken) = (Err(Rejection::CookieRequired), Ok(Handled::Processed));
    let from = anywhere(1);
    let outcomes: Vec<_> = (0..5).map(|n| stranger.knock(endpoint, now, from, n)).collect();
    assert_eq!(outcomes, [taken.clone(), taken.clone(), taken.clone(), cookie.clone(), cookie]);
    assert_eq!(stranger.knock(endpoint, now, anywhere(2), 9), taken);
}

/// The alarm has an end: when the attempts of a flood are over, nobody is asked for a cookie any more, neither for what
/// all of them were nor for what one source did, and nothing of them is left.
#[test]
fn cookies_are_no_longer_asked_for_when_a_flood_is_over() {
    let (taken, cookie) = (Ok(Handled::Processed), Err(Rejection::CookieRequired));
    for (all, of_source, from_one) in [(20, 1_000, false), (1_000, 5, true)] {
        let (a, mut b) = without_key_log();
        b.config.cookies = CookiePolicy::WhenHalfOpen(all);
        b.config.cookies_from_source = of_source;
        let (mut world, stranger) = flooded(a, b);
        let (now, timeout) = (world.now, world.node(B).config.half_open_timeout);
        let endpoint = &mut world.nodes[B].endpoint;
        let from = |number| if from_one { anywhere(1) } else { anywhere(number) };
        let outcomes: Vec<_> = (0..200).map(|n| stranger.knock(endpoint, now, from(n), n)).collect();
        let made = endpoint.half_open();
        assert_eq!(made, all.min(of_source));
        assert!(outcomes[..made].iter().all(|outcome| *outcome == taken));
        assert!(outcomes[made..].iter().all(|outcome| *outcome == cookie));
        // It goes on without cookies, which does not prolong it.
        let late = now + (timeout - Duration::from_secs(1));
        (200..400).for_each(|n| assert_eq!(stranger.knock(endpoint, late, from(n), n), cookie));
        let over = now + timeout;
        endpoint.handle_timeout(over);
        drain(endpoint);
        assert_eq!((endpoint.half_open(), endpoint.poll_timeout()), (0, None));
        assert_eq!(stranger.knock(endpoint, over, from(1), 500), taken);
        assert_eq!(stranger.knock(endpoint, over, anywhere(99), 501), taken);
        assert_eq!(endpoint.statistics().half_open_expired, made as u64);
    }
}

/// RFC 8019 §4.2: whoever has an IPv6 address has at least a /64 of them.
#[test]
fn an_ipv6_prefix_is_one_source() {
    let (a, mut b) = two();
    b.config.max_half_open_from_source = 3;
    b.config.cookies = CookiePolicy::Never;
    let (mut world, stranger) = flooded(a, b);
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    let address = |subnet: u16, host: u16| Ipv6Addr::new(0x2001, 0xDB8, 0, subnet, 0, 0, 0, host);
    for host in 0..6 {
        let outcome = stranger.knock(endpoint, now, address(1, host), host.into());
        assert_eq!(outcome, if host < 3 { Ok(Handled::Processed) } else { limit(Bound::HalfOpenFromSource) });
    }
    assert_eq!(stranger.knock(endpoint, now, address(2, 0), 9), Ok(Handled::Processed));
    // Without a cookie nobody takes a place, however old its holder is.
    let later = now + Duration::from_secs(10);
    assert_eq!(stranger.knock(endpoint, later, address(1, 9), 10), limit(Bound::HalfOpenFromSource));
    assert_eq!(endpoint.statistics().half_open_displaced, 0);
}

#[test]
fn expensive_operations_are_limited_and_half_of_them_kept_for_who_was_let_in() {
    let (a, mut b) = two();
    b.config.max_operations_per_second = 20;
    b.config.cookies = CookiePolicy::Never;
    let (mut world, stranger) = flooded(a, b);
    world.connect(A, B);
    let honest = world.take();
    world.deliver(&honest).unwrap().unwrap();
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    let outcomes: Vec<_> = (0..12).map(|n| stranger.knock(endpoint, now, anywhere(n), n)).collect();
    let let_in = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(let_in, 9);
    assert_eq!(outcomes[9..], [limit(Bound::Operations), limit(Bound::Operations), limit(Bound::Operations)]);
    // Who was let in before gets through all the same.
    world.run();
    assert_eq!(world.node(A).mirror.sas.len(), 1);
    // A second later there is room again.
    let later = world.now + Duration::from_secs(1);
    let endpoint = &mut world.nodes[B].endpoint;
    assert_eq!(stranger.knock(endpoint, later, anywhere(20), 20), Ok(Handled::Processed));
    assert_told(endpoint.statistics(), 14);
}

/// With nothing left even for IKE_AUTH it is dropped before anything is derived, and its repeat gets in.
#[test]
fn an_ike_auth_that_cannot_be_afforded_is_dropped_and_its_repeat_is_taken() {
    let (a, mut b) = two();
    b.config.max_operations_per_second = 8;
    b.config.cookies = CookiePolicy::Never;
    let mut world = World::pair(a, b);
    // Four get as far as IKE_SA_INIT in the first second, at one operation each, and IKE_AUTH needs three.
    for _ in 0..4 {
        world.connect(A, B);
    }
    for request in world.take_all() {
        world.deliver(&request).unwrap().unwrap();
    }
    for answer in world.take_all() {
        world.deliver(&answer).unwrap().unwrap();
    }
    let outcomes: Vec<_> = world.take_all().iter().map(|auth| world.deliver(auth).unwrap()).collect();
    let dropped = limit(Bound::Operations);
    assert_eq!(outcomes, [Ok(Handled::Processed), Ok(Handled::Processed), dropped.clone(), dropped]);
    assert_eq!(world.endpoint(B).statistics().auth_requests_ignored, 2);
    world.run_for_secs(5);
    assert_eq!(world.node(B).mirror.sas.len(), 4);
}

/// A budget that runs low is spent on who is there.
#[test]
fn a_low_budget_asks_for_cookies() {
    let (a, mut b) = two();
    b.config.max_operations_per_second = 40;
    let (mut world, stranger) = flooded(a, b);
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    for number in 0..10 {
        assert_eq!(stranger.knock(endpoint, now, anywhere(number), number), Ok(Handled::Processed));
    }
    assert_eq!(stranger.knock(endpoint, now, anywhere(10), 10), Err(Rejection::CookieRequired));
    assert_eq!(stranger.come(endpoint, now, anywhere(11), 11), Ok(Handled::Processed));
}

/// RFC 8019 §3, §4.6: keys that were derived are kept, so that garbage costs one derivation however much comes.
#[test]
fn a_flood_of_garbage_at_a_half_open_sa_costs_one_derivation() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.strict = false;
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let genuine = world.take();
    let (_, path) = world.route(&genuine).unwrap();
    for number in 0..1_000u32 {
        let mut octets = genuine.octets.clone();
        let end = octets.len() - 1;
        octets[end] ^= 1 + (number % 255) as u8;
        assert_eq!(world.receive(B, path, &octets), Err(Rejection::IntegrityCheck));
    }
    let statistics = world.endpoint(B).statistics();
    assert_eq!((statistics.key_exchanges, statistics.decryptions), (1, 1_000));
    world.deliver(&genuine);
    world.run();
    assert_eq!(world.node(B).mirror.sas.len(), 1);
    assert_eq!(world.endpoint(B).statistics().key_exchanges, 1);
}

/// Says what a test wants, and remembers what it was asked.
#[derive(Debug)]
struct Porter {
    says: Admission,
    asked: Mutex<Vec<(AdmissionFacts, Admission)>>,
}

impl AdmissionPolicy for Porter {
    fn admit(&self, facts: &AdmissionFacts, usual: Admission) -> Admission {
        self.asked.lock().unwrap().push((*facts, usual));
        self.says
    }
}

#[test]
fn an_embedder_decides_and_statistics_tell_each_decision() {
    let cases = [
        (Admission::Accept, Ok(Handled::Processed), ExchangeType::IKE_SA_INIT, [1, 0, 0, 0]),
        (Admission::Cookie, Err(Rejection::CookieRequired), ExchangeType::IKE_SA_INIT, [0, 1, 0, 0]),
        (
            Admission::Refuse(NotifyType::NO_ADDITIONAL_SAS),
            Err(Rejection::Refused(NotifyType::NO_ADDITIONAL_SAS)),
            ExchangeType::IKE_SA_INIT,
            [0, 0, 1, 0],
        ),
        (Admission::Ignore(Bound::Admission), limit(Bound::Admission), ExchangeType(0), [0, 0, 0, 1]),
    ];
    for (says, outcome, answer, counts) in cases {
        let (a, mut b) = two();
        let porter = Arc::new(Porter { says, asked: Mutex::default() });
        b.config.hooks.admission = Some(porter.clone());
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let request = world.take();
        assert_eq!(world.deliver(&request), Some(outcome));
        let answers: Vec<_> = world.take_all().iter().map(|packet| packet.header().exchange).collect();
        let expected: &[_] = if answer == ExchangeType(0) { &[] } else { &[answer] };
        assert_eq!(answers, expected, "{says:?}");
        let statistics = world.endpoint(B).statistics();
        let counted = [
            statistics.admitted,
            statistics.cookies_sent,
            statistics.admissions_refused,
            statistics.admissions_ignored,
        ];
        assert_eq!(counted, counts, "{says:?}");
        let asked = porter.asked.lock().unwrap();
        let (facts, usual) = asked[0];
        assert_eq!((asked.len(), usual, facts.cookie_verified), (1, Admission::Accept, false));
        assert_eq!(facts.path, world.path(B, A));
        assert_eq!((facts.half_open, facts.half_open_from_source, facts.ike_sas), (0, 0, 0));
    }
}

/// Whatever a hook says, the tables are as large as the configuration allows.
#[test]
fn an_embedder_that_takes_everyone_is_held_to_the_bounds() {
    let (a, mut b) = two();
    b.config.hooks.admission = Some(Arc::new(Porter { says: Admission::Accept, asked: Mutex::default() }));
    (b.config.max_half_open, b.config.max_ike_sas) = (10, 12);
    let (mut world, stranger) = flooded(a, b);
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    for number in 0..20 {
        let outcome = stranger.knock(endpoint, now, anywhere(number), number);
        assert_eq!(outcome, if number < 10 { Ok(Handled::Processed) } else { limit(Bound::HalfOpen) });
    }
    assert_eq!(endpoint.half_open(), 10);
}

/// A refusal of the embedder's ends an attempt like any other error, after some doubt.
#[test]
fn an_initiator_that_is_refused_learns_why() {
    let (a, mut b) = two();
    let says = Admission::Refuse(NotifyType::NO_ADDITIONAL_SAS);
    b.config.hooks.admission = Some(Arc::new(Porter { says, asked: Mutex::default() }));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run_for_secs(5);
    let events = world.take_events(A);
    says_refused(&down(&events));
}

fn says_refused(failure: &ikev2_core::Failure) {
    says(failure, &["NO_ADDITIONAL_SAS"]);
}

/// What half-open IKE SAs keep of their initiators' has bounds of its own; who brings a cookie takes the places of the
/// oldest.
#[test]
fn the_octets_of_first_requests_are_bounded() {
    let (a, mut b) = without_key_log();
    b.config.max_half_open_octets = 20_000;
    b.config.max_half_open_octets_from_source = 9_000;
    b.config.cookies = CookiePolicy::Never;
    let (mut world, mut stranger) = flooded(a, b);
    let small = stranger.message.len();
    stranger.enlarge(4_000 - small);
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    for number in 0..2 {
        assert_eq!(stranger.knock(endpoint, now, anywhere(1), number), Ok(Handled::Processed));
    }
    let of_source = limit(Bound::HalfOpenOctetsFromSource);
    assert_eq!(stranger.knock(endpoint, now, anywhere(1), 3), of_source);
    for number in 4..7 {
        assert_eq!(stranger.knock(endpoint, now, anywhere(number), number), Ok(Handled::Processed));
    }
    assert_eq!(stranger.knock(endpoint, now, anywhere(8), 8), limit(Bound::HalfOpenOctets));
    assert_eq!(endpoint.half_open(), 5);

    let mut careful = EndpointConfig::clone(endpoint.config());
    careful.cookies = CookiePolicy::Always;
    endpoint.set_config(Arc::new(careful));
    assert_eq!(stranger.come(endpoint, now, anywhere(8), 8), limit(Bound::HalfOpenOctets));
    let later = now + Duration::from_secs(3);
    // With the cookie it is larger than each of them.
    assert_eq!(stranger.come(endpoint, later, anywhere(8), 8), Ok(Handled::Processed));
    assert_eq!((endpoint.half_open(), endpoint.statistics().half_open_displaced), (4, 2));
    assert_eq!(stranger.come(endpoint, later, anywhere(8), 9), Ok(Handled::Processed));
    assert_eq!(endpoint.half_open(), 4);
    // Those of the same source had no grace yet.
    assert_eq!(stranger.come(endpoint, later, anywhere(8), 10), of_source);
    endpoint.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(endpoint.half_open(), 0);
    assert_eq!(
        stranger.come(endpoint, now + Duration::from_secs(60), anywhere(8), 11),
        Ok(Handled::Processed)
    );
}
