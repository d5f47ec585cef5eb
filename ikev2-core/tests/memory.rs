//! What IKE SAs take, counted by a global allocator: octets asked of it, without its own overhead. A binary of its own,
//! for the allocator.
//!
//! The figures stand in the docs of `EndpointConfig`. An established IKE SA with one Child SA is, in octets:
//!
//! | | |
//! |---|---|
//! | the IKE SA | 808 |
//! | its two expanded keys, AES-256-GCM | 2 × 688 |
//! | the keys themselves, so that it can move | 72 |
//! | the Child SA, with one selector for either side | 40 + 272 + 2 × 40 |
//! | the kept answer, and what it is an answer to | 85 + 72 |
//! | SK_d, and the identities at both ends | about 220 |
//! | its places in the tables of SPIs, names, timers and peers | about 200 |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use allocation_counter::measure;
use ikev2_core::{CookiePolicy, Endpoint, Role};
use ikev2_wire::codes::PayloadType;
use ipsec_types::Instant;
use support::forge::{Raw, head_of, payloads_of, plain};
use support::many::{Gateway, Peer, Proof, path};
use support::setup::*;
use support::tickets::ed25519;

const SAS: u32 = 1_000;
const NOW: Instant = Instant::from_millis(1_000);

/// Octets for each of [`SAS`].
fn each(act: impl FnOnce()) -> i64 {
    measure(act).bytes_current / i64::from(SAS)
}

fn gateway(role: Role, proof: Proof) -> Gateway {
    let mut gateway = Gateway::new(role, proof, SAS, |config| config.cookies = CookiePolicy::Never);
    gateway.aside = |act| allocation_counter::opt_out(act);
    gateway
}

/// The peers of a gateway, and what each IKE SA took there: after IKE_AUTH, and after the peer asked for the first time
/// whether the gateway lives.
fn established(gateway: &mut Gateway) -> (Vec<Peer>, [i64; 2]) {
    let mut peers = Vec::with_capacity(SAS as usize);
    let made = each(|| peers.extend((0..SAS).map(|number| gateway.establish(number))));
    let checked = each(|| peers.iter_mut().for_each(|peer| gateway.be_asked(peer)));
    for peer in &peers {
        assert_eq!(gateway.info(peer).requests_answered, if gateway.role == Role::Initiator { 1 } else { 3 });
    }
    println!("{:?}: {made} octets after IKE_AUTH, {} later", gateway.role, made + checked);
    (peers, [made, made + checked])
}

#[test]
fn an_established_ike_sa_takes_less_than_4_kib() {
    for role in [Role::Responder, Role::Initiator] {
        let (_, [made, later]) = established(&mut gateway(role, Proof::SharedKey));
        assert!(made < 4_096 && later < 4_096, "{role:?}: {made}, {later}");
    }
}

/// What the peer proved itself by is not kept; our own certificate is, in the answer, until the peer asks for more. The
/// answer is in two fragments, each with its own header, IV and ICV.
#[test]
fn signatures_and_certificates_are_not_kept() {
    const CERTIFICATE: usize = 1_200;
    for role in [Role::Responder, Role::Initiator] {
        let (_, by_secret) = established(&mut gateway(role, Proof::SharedKey));
        let (_, by_signature) = established(&mut gateway(role, Proof::Signature(ed25519(), CERTIFICATE)));
        let answer = if role == Role::Responder { CERTIFICATE as i64 + 250 } else { 50 };
        assert!(by_signature[0] < by_secret[0] + answer, "{role:?}: {by_signature:?}, {by_secret:?}");
        assert!(by_signature[1] < by_secret[1] + 50, "{role:?}: {by_signature:?}, {by_secret:?}");
    }
}

#[test]
fn each_further_child_sa_takes_less_than_592_octets() {
    let mut gateway = gateway(Role::Responder, Proof::SharedKey);
    let (mut peers, _) = established(&mut gateway);
    let taken = each(|| {
        for peer in &mut peers {
            gateway.be_asked_for_a_child(peer);
            // The kept answer is again the one to a liveness check.
            gateway.be_asked(peer);
        }
    });
    println!("{taken} octets");
    assert!(taken < 592, "{taken}");
}

/// A request of the length of `fill` and some hundred octets more for each of many half-open IKE SAs.
fn half_open(fill: usize) -> i64 {
    let mut endpoint = gateway(Role::Responder, Proof::SharedKey).endpoint;
    let requests: Vec<Vec<u8>> = (0..SAS)
        .map(|number| {
            let mut peer = Endpoint::new(Setup::new("a", "b").finish(), seeded(1_000 + u64::from(number)));
            peer.connect(NOW, "tunnel", path(number)).unwrap();
            let request = peer.poll_transmit().unwrap().datagram;
            let mut payloads = payloads_of(&request);
            payloads.push(Raw::new(PayloadType::VENDOR_ID, &vec![0; fill]));
            plain(&head_of(&request), &payloads)
        })
        .collect();
    let taken = each(|| {
        for (number, request) in (0..SAS).zip(&requests) {
            endpoint.handle_datagram(NOW, path(number), request).unwrap();
            endpoint.poll_transmit().unwrap();
        }
    });
    assert_eq!(endpoint.half_open(), SAS as usize);
    println!("half open: {taken} octets, the request has {}", requests[0].len());
    taken - requests[0].len() as i64
}

#[test]
fn a_half_open_ike_sa_takes_less_than_2_432_octets_besides_its_request() {
    let [short, long] = [0, 10_000].map(half_open);
    assert!(short < 2_432 && (short - long).abs() < 64, "{short}, {long}");
}
