//! What an endpoint with ten thousand IKE SAs looks at when something happens to one of them: counted in visits of IKE
//! SAs, without a clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::CallError;
use ikev2_core::{CookiePolicy, Event, IkeSaState, Role};
use ipsec_types::sa::{PacketSelectors, PolicyId};
use ipsec_types::{Instant, SaReport};
use std::time::Duration;
use support::many::{Gateway, Peer, Proof, path};
use support::setup::net;

const SAS: u32 = 10_000;
/// For one event of one IKE SA.
const FEW: u64 = 4;

/// An endpoint with as many IKE SAs as its default bound allows, each of another millisecond.
fn gateway(role: Role) -> (Gateway, Vec<Peer>) {
    let mut gateway = Gateway::new(role, Proof::SharedKey, SAS, |config| {
        assert_eq!(config.max_ike_sas, SAS as usize);
        // Room for new ones beside those that end.
        config.max_ike_sas += 8;
        config.cookies = CookiePolicy::Never;
    });
    let peers = (0..SAS).map(|number| {
        gateway.now += Duration::from_millis(1);
        gateway.establish(number)
    });
    let peers = peers.collect();
    (gateway, peers)
}

/// What a call gives, and how many visits of IKE SAs it took.
fn visits<T>(gateway: &mut Gateway, act: impl FnOnce(&mut Gateway) -> T) -> (T, u64) {
    let before = gateway.endpoint.ike_sas_visited();
    let result = act(gateway);
    (result, gateway.endpoint.ike_sas_visited() - before)
}

/// Takes what waits to be sent, and gives how many datagrams it was.
fn sent(gateway: &mut Gateway) -> u64 {
    while gateway.endpoint.poll_event().is_some() {}
    std::iter::from_fn(|| gateway.endpoint.poll_transmit()).count() as u64
}

#[test]
fn timers_touch_only_what_is_due() {
    let (mut gateway, _peers) = gateway(Role::Responder);
    // Each peer is asked in a millisecond of its own whether it lives.
    for _ in 0..500 {
        let (due, looked) = visits(&mut gateway, |gateway| gateway.endpoint.poll_timeout().unwrap());
        assert_eq!(looked, 0);
        let early = Instant::from_origin(due.since_origin() - Duration::from_nanos(1));
        let ((), looked) = visits(&mut gateway, |gateway| gateway.endpoint.handle_timeout(early));
        assert_eq!(looked, 0, "before {due:?}");
        let ((), looked) = visits(&mut gateway, |gateway| gateway.endpoint.handle_timeout(due));
        let requests = sent(&mut gateway);
        assert!(looked <= requests, "{looked} visits for {requests} requests at {due:?}");
        gateway.now = due;
    }
    // All at once: those that were not asked yet, and those whose requests are to be repeated.
    let now = gateway.now + Duration::from_secs(30);
    let ((), looked) = visits(&mut gateway, |gateway| gateway.endpoint.handle_timeout(now));
    assert_eq!(looked, u64::from(SAS));
}

#[test]
fn one_event_touches_one_ike_sa() {
    let (mut gateway, mut peers) = gateway(Role::Initiator);
    for number in [0, 1, SAS / 2, SAS - 1] {
        let peer = &mut peers[number as usize];
        // A request of the peer's.
        let ((), looked) = visits(&mut gateway, |gateway| gateway.be_asked(peer));
        assert!(looked <= FEW, "{looked}");
        // Reports of the data path about its Child SA, and about its policy.
        let id = gateway.info(peer).children[0];
        let at = gateway.now;
        let report = SaReport::LastInbound { id, at };
        let (handled, looked) = visits(&mut gateway, |gateway| gateway.endpoint.handle_report(at, &report));
        assert!(handled.is_ok() && looked <= FEW, "{handled:?} {looked}");
        let packet = PacketSelectors { source: net("10.0.0.1/32"), destination: net("10.0.0.2/32") };
        let report = SaReport::Acquire { policy: PolicyId(number.into()), packet };
        let (handled, looked) = visits(&mut gateway, |gateway| gateway.endpoint.handle_report(at, &report));
        assert!(handled.is_ok() && looked <= FEW, "{handled:?} {looked}");
        gateway.run(&mut peer.endpoint, number);
        assert_eq!(gateway.info(peer).children.len(), 2);
        let report = SaReport::Acquire { policy: PolicyId(u64::from(SAS) + 1), packet };
        let (handled, looked) = visits(&mut gateway, |gateway| gateway.endpoint.handle_report(at, &report));
        assert_eq!((handled, looked), (Err(CallError::NoSuchPolicy), 0));
        // Its end, and a new one with the same peer.
        let sa = peer.sa;
        let (deleted, looked) = visits(&mut gateway, |gateway| gateway.endpoint.delete_ike_sa(at, sa));
        assert!(deleted.is_ok() && looked <= FEW, "{deleted:?} {looked}");
        let report = SaReport::Acquire { policy: PolicyId(number.into()), packet };
        let (handled, looked) = visits(&mut gateway, |gateway| gateway.endpoint.handle_report(at, &report));
        assert_eq!((handled, looked), (Err(CallError::NotByTraffic), 0));
        let (handled, looked) = visits(&mut gateway, |gateway| {
            gateway.run(&mut peer.endpoint, number);
            gateway.endpoint.connect(gateway.now, &format!("peer-{number}.clients.example"), path(number))
        });
        assert!(handled.is_ok() && looked <= 2 * FEW, "{handled:?} {looked}");
        sent(&mut gateway);
    }
}

#[test]
fn a_shutdown_touches_each_ike_sa_once_or_twice() {
    let (mut gateway, _) = gateway(Role::Responder);
    let ((), looked) = visits(&mut gateway, |gateway| gateway.endpoint.shut_down(gateway.now));
    assert!(looked <= 2 * u64::from(SAS), "{looked}");
    assert!(gateway.endpoint.ike_sas().all(|(_, info)| info.state == IkeSaState::Closing));
    assert_eq!(gateway.endpoint.ike_sas().count(), SAS as usize);
    let mut ended = 0;
    while ended < SAS {
        gateway.now = gateway.endpoint.poll_timeout().unwrap();
        gateway.endpoint.handle_timeout(gateway.now);
        while let Some(event) = gateway.endpoint.poll_event() {
            ended += u32::from(matches!(event, Event::IkeSaDown { .. }));
        }
        while gateway.endpoint.poll_transmit().is_some() {}
    }
}
