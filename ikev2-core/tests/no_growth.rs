//! Memory, counted by a global allocator: what is rejected leaves nothing behind, what repeats is bounded, and
//! what ends is given back. A binary of its own, for the allocator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{Bound, RejectionKind};
use ikev2_core::{CookiePolicy, Endpoint, Rejection};
use ikev2_wire::codes::{NotifyType, PayloadType};
use ipsec_types::{Instant, Path};
use std::sync::Arc;
use std::time::Duration;
use support::forge::{Raw, head_of, payloads_of, plain};
use support::setup::*;
use support::world::*;

/// Octets that an action leaves allocated.
fn left_by(act: impl FnOnce()) -> i64 {
    allocation_counter::measure(act).bytes_current
}

/// Takes and drops what waits.
fn drain(endpoint: &mut Endpoint) -> usize {
    let mut count = 0;
    while endpoint.poll_event().is_some() {
        count += 1;
    }
    while endpoint.poll_transmit().is_some() {
        count += 1;
    }
    count
}

/// Datagrams of many kinds, none of which is taken by an established responder that asks for cookies.
fn rejected(world: &mut World) -> Vec<(&'static str, Path, Vec<u8>)> {
    let path = world.path(B, A);
    let nat_t = Path { kind: ipsec_types::PathKind::NatT, ..path };
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    let genuine = world.take().message().to_vec();
    let mut garbage = genuine.clone();
    *garbage.last_mut().unwrap() ^= 1;
    let mut long = garbage.clone();
    long.resize(20_000, 7);
    let length = long.len() as u32;
    long[24..28].copy_from_slice(&length.to_be_bytes());
    long[28 + 2..28 + 4].copy_from_slice(&(length as u16 - 28).to_be_bytes());
    let with = |message: &[u8], at: usize, octet: u8| {
        let mut changed = message.to_vec();
        changed[at] = octet;
        changed
    };
    world.connect(A, B);
    let init = world.take().message().to_vec();
    let with_cookie = |octets: &[u8]| {
        let mut payloads = payloads_of(&init);
        payloads.insert(0, Raw::notify(NotifyType::COOKIE, octets));
        plain(&head_of(&init), &payloads)
    };
    let mut other_protocol = payloads_of(&init);
    other_protocol.iter_mut().find(|raw| raw.ty == PayloadType::SA).unwrap().body[5] = 3;
    let no_nonce: Vec<Raw> =
        payloads_of(&init).into_iter().filter(|raw| raw.ty != PayloadType::NONCE).collect();
    let many = vec![Raw::new(PayloadType::VENDOR_ID, &[]); 3_000];
    vec![
        ("nothing", path, vec![]),
        ("less than a header", path, vec![0; 27]),
        ("half a marker", nat_t, vec![0; 3]),
        ("ESP", nat_t, vec![9; 64]),
        ("garbage in SK", path, garbage),
        ("much garbage in SK", path, long),
        ("truncated", path, genuine[..genuine.len() - 9].to_vec()),
        ("an unknown SPI", path, with(&genuine, 0, 0x55)),
        ("major version 3", path, with(&genuine, 17, 0x30)),
        ("major version 1", path, with(&genuine, 17, 0x10)),
        ("another exchange", path, with(&genuine, 18, 99)),
        ("the flags of nobody", path, with(&genuine, 19, 0x00)),
        ("the flags of an answer", path, with(&genuine, 19, 0x28)),
        ("an old Message ID", path, with(&genuine, 23, 0)),
        ("a Message ID to come", path, with(&genuine, 23, 77)),
        ("IKE_SA_INIT without a cookie", path, init.clone()),
        ("IKE_SA_INIT with a wrong cookie", path, with_cookie(&[7; 33])),
        ("IKE_SA_INIT with an empty cookie", path, with_cookie(&[])),
        ("IKE_SA_INIT with a cookie too long", path, with_cookie(&[7; 500])),
        ("IKE_SA_INIT with Message ID 1", path, with(&init, 23, 1)),
        ("IKE_SA_INIT with a responder's SPI", path, with(&init, 15, 1)),
        ("IKE_SA_INIT without SPI", path, [&[0; 8], &init[8..]].concat()),
        ("IKE_SA_INIT truncated", path, init[..init.len() - 9].to_vec()),
        ("IKE_SA_INIT of another protocol", path, plain(&head_of(&init), &other_protocol)),
        ("IKE_SA_INIT without a nonce", path, plain(&head_of(&init), &no_nonce)),
        ("IKE_SA_INIT with thousands of payloads", path, plain(&head_of(&init), &many)),
    ]
}

/// Of each kind ten thousand: no octet more is allocated, no table has changed, and each was counted once.
#[test]
fn ten_thousand_rejected_datagrams_of_each_kind_leave_nothing() {
    const EACH: u64 = 10_000;
    let (a, mut b) = two();
    b.config.hooks.key_log = None;
    b.config.cookies = CookiePolicy::Always;
    let mut world = World::pair(a.ike(&["aes256gcm16-prfsha256-x25519"]), b);
    world.connect(A, B);
    world.run();
    let datagrams = rejected(&mut world);
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    // Once, so that buffers have the size that they keep.
    for (why, path, octets) in &datagrams {
        assert!(endpoint.handle_datagram(now, *path, octets).is_err(), "{why}");
        drain(endpoint);
    }
    let tables = dump_of_sas(endpoint);
    for (why, path, octets) in &datagrams {
        let before = endpoint.statistics().rejected_in_all();
        let left = left_by(|| {
            for _ in 0..EACH {
                let _ = endpoint.handle_datagram(now, *path, octets);
                drain(endpoint);
            }
        });
        assert_eq!(left, 0, "{why}");
        assert_eq!(endpoint.statistics().rejected_in_all() - before, EACH, "{why}");
        assert_eq!(dump_of_sas(endpoint), tables, "{why}");
    }
    let kinds = RejectionKind::ALL.iter().filter(|kind| endpoint.statistics().rejected(**kind) > 0).count();
    assert!(kinds >= 11, "{kinds} kinds");
}

/// Cookies hold no state (RFC 7296 §2.6), and spoofed requests below the threshold give back what they took.
#[test]
fn a_flood_of_first_requests_leaves_nothing() {
    for cookies in [CookiePolicy::Always, CookiePolicy::WhenHalfOpen(20), CookiePolicy::Never] {
        let (a, mut b) = two();
        b.config.hooks.key_log = None;
        b.config.cookies = cookies;
        b.config.max_half_open = 50;
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let first = world.take();
        let path = world.path(B, A);
        let endpoint = &mut world.nodes[B].endpoint;
        let mut now = world.now;
        let flood = |endpoint: &mut Endpoint, now: Instant, from: u32, count: u32| {
            for number in from..from + count {
                let mut octets = first.message().to_vec();
                octets[..4].copy_from_slice(&number.to_be_bytes());
                let remote = (std::net::Ipv4Addr::from(number), 500).into();
                let _ = endpoint.handle_datagram(now, Path { remote, ..path }, &octets);
                drain(endpoint);
            }
        };
        let expire = |endpoint: &mut Endpoint, now: &mut Instant| {
            *now += Duration::from_secs(60);
            endpoint.handle_timeout(*now);
            drain(endpoint);
            assert_eq!((endpoint.half_open(), endpoint.ike_sas().count()), (0, 0));
        };
        // Tables reach the size that they keep.
        flood(endpoint, now, 0x0A00_0000, 200);
        expire(endpoint, &mut now);
        let left = left_by(|| {
            for round in 1..6 {
                flood(endpoint, now, 0x0A00_0000 + round * 1_000, 400);
                assert!(endpoint.half_open() <= 50);
                expire(endpoint, &mut now);
            }
        });
        assert!(left.abs() < 4_096, "{cookies:?}: {left}");
    }
}

/// A peer repeats a request for ever and nobody polls: the queue is as long as the configuration says.
#[test]
fn repeats_that_nobody_polls_are_bounded() {
    let (a, mut b) = two();
    b.config.max_events = 100;
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    let request = world.take();
    let (_, path) = world.route(&request).unwrap();
    let now = world.now;
    let endpoint = &mut world.nodes[B].endpoint;
    let left = left_by(|| {
        for _ in 0..10_000 {
            let _ = endpoint.handle_datagram(now, path, &request.octets);
        }
    });
    // One answer, shared, and a place for each time that it is to be sent.
    assert!(left < 100 * 1_000, "{left}");
    let full = endpoint.handle_datagram(now, path, &request.octets);
    assert_eq!(full, Err(Rejection::Limit(Bound::Events)));
    assert_eq!(drain(endpoint), 100);
}

/// Timers go on for a day and nobody polls.
#[test]
fn timers_that_nobody_polls_are_bounded() {
    let (mut a, b) = two();
    a.config.max_events = 100;
    a.connection.force_udp_encapsulation = true;
    let mut world = World::established(a, b);
    let endpoint = &mut world.nodes[A].endpoint;
    let mut now = world.now;
    let left = left_by(|| {
        while let Some(at) = endpoint.poll_timeout().filter(|at| *at < Instant::from_millis(86_400_000)) {
            now = at;
            endpoint.handle_timeout(now);
        }
    });
    assert!(left < 100 * 1_000, "{left}");
    assert!(drain(endpoint) < 200);
}

/// Lives come and go: IKE SAs, Child SAs, deletes, failures.
#[test]
fn a_thousand_lives_leave_what_the_first_left() {
    let (mut a, mut b) = two();
    (a.config.hooks.key_log, b.config.hooks.key_log) = (None, None);
    let configs = [a.finish(), b.finish()];
    let mut endpoints = configs.map(|config| Endpoint::new(Arc::clone(&config), seeded(5)));
    let mut now = Instant::from_millis(1);
    let path = Path::ike("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
    let exchange = |endpoints: &mut [Endpoint; 2], now: Instant| {
        loop {
            let mut busy = false;
            for from in 0..2 {
                while endpoints[from].poll_event().is_some() {}
                while let Some(transmit) = endpoints[from].poll_transmit() {
                    busy = true;
                    let Path { local, remote, kind } = transmit.path;
                    let seen = Path { local: remote, remote: local, kind };
                    let _ = endpoints[1 - from].handle_datagram(now, seen, &transmit.datagram);
                }
            }
            if !busy {
                return;
            }
        }
    };
    let mut life = |endpoints: &mut [Endpoint; 2], number: u64| {
        let sa = endpoints[0].connect(now, "tunnel", path).unwrap();
        exchange(endpoints, now);
        for _ in 0..number % 3 {
            endpoints[0].create_child(now, sa, "first").unwrap();
            exchange(endpoints, now);
        }
        let deleter = (number % 2) as usize;
        let handle = endpoints[deleter].ike_sas().next().unwrap().0;
        endpoints[deleter].delete_ike_sa(now, handle).unwrap();
        exchange(endpoints, now);
        now += Duration::from_secs(20);
        endpoints.iter_mut().for_each(|endpoint| endpoint.handle_timeout(now));
        exchange(endpoints, now);
        assert!(endpoints.iter().all(|endpoint| endpoint.poll_timeout().is_none()));
    };
    (0..10).for_each(|number| life(&mut endpoints, number));
    let left = left_by(|| (10..1_000).for_each(|number| life(&mut endpoints, number)));
    assert!(left.abs() < 4_096, "{left}");
}
