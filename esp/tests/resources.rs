//! SAs per core: the rules of RFC 9611 for what sends and receives by several pairs with the same selectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{child, mirrored, roomy, spi, v4};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry};
use ipsec_esp::{Arrival, CommandError, Engine, EngineConfig, Opened, PacketBuf, SealError};
use ipsec_types::sa::{ChildSa, ChildSaId, PacketSelectors, PolicyId, ResourceId, SaInstall, SaKeys};
use ipsec_types::{AddressRange, Instant, PortRange, SaCommand, SaReport, SecretBytes, TrafficSelector};
use std::iter::from_fn;
use std::sync::Arc;

const NOW: Instant = Instant::ZERO;
const CORES: [Option<ResourceId>; 3] = [Some(ResourceId(0)), Some(ResourceId(1)), Some(ResourceId(u16::MAX))];

fn core(number: u16) -> Option<ResourceId> {
    Some(ResourceId(number))
}

fn pair(id: u64) -> ChildSa {
    ChildSa { id: ChildSaId(id), ..child() }
}

fn install(child: &ChildSa) -> Box<SaInstall> {
    let spi_value = 0x1000 + child.id.0 as u32;
    let mut key = [7; 20];
    key[..4].copy_from_slice(&spi_value.to_be_bytes());
    let keys = SaKeys { encr: SecretBytes::copy_from(&key), integ: SecretBytes::zeroed(0) };
    Box::new(SaInstall { child: Arc::new(child.clone()), spi: spi(spi_value), keys })
}

fn send_by(engine: &mut Engine, child: &ChildSa) {
    engine.apply(NOW, SaCommand::InstallOutbound(install(child))).unwrap();
}

fn bind(engine: &mut Engine, id: u64, resource: Option<ResourceId>) {
    engine.apply(NOW, SaCommand::Bind { id: ChildSaId(id), resource }).unwrap();
}

fn remove(engine: &mut Engine, id: u64) {
    engine.apply(NOW, SaCommand::Remove { id: ChildSaId(id), inbound: true, outbound: true }).unwrap();
}

/// An engine with a policy for everything, a pair that serves all cores, and one for each of the first two.
fn engine() -> Engine {
    let all = || vec![TrafficSelector::ALL_V4, TrafficSelector::ALL_V6];
    let (action, applies) = (Action::Protect(PolicyId(1)), Applies::BothWays);
    let entry = SpdEntry { action, applies, local: all(), remote: all() };
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    engine.set_policy(Some(Spd::new(vec![entry]).unwrap()));
    for id in 1..=3 {
        send_by(&mut engine, &pair(id));
    }
    bind(&mut engine, 2, CORES[0]);
    bind(&mut engine, 3, CORES[1]);
    engine
}

/// The pair that a packet of this core goes by.
fn sent_by(engine: &mut Engine, now: Instant, resource: Option<ResourceId>) -> Result<u64, SealError> {
    let (mut storage, at) = roomy(&v4(84));
    engine.set_resource(resource);
    engine.seal(now, &mut PacketBuf::new(&mut storage, at).unwrap()).map(|outgoing| outgoing.child.0)
}

fn reports(engine: &mut Engine) -> Vec<SaReport> {
    from_fn(|| engine.poll_report()).collect()
}

/// What the packet of `v4` asks for a core that sends by this pair.
fn asks(id: u64, resource: u16) -> SaReport {
    let side = |address: [u8; 4], port| TrafficSelector {
        addresses: AddressRange::single(address.into()),
        protocol: 17,
        ports: PortRange::single(port),
    };
    let packet = PacketSelectors { source: side([10, 1, 0, 1], 5_000), destination: side([10, 2, 0, 1], 53) };
    SaReport::AcquireForResource { id: ChildSaId(id), resource: ResourceId(resource), packet }
}

/// RFC 9611 §3, §4: a core sends by its own SA, and until it has one by that which serves all. Packet by packet, since
/// answers are remembered for a core as well as for a flow.
#[test]
fn a_core_sends_by_its_own_sa() {
    let mut engine = engine();
    for _ in 0..3 {
        let sent = CORES.map(|core| sent_by(&mut engine, NOW, core));
        assert_eq!(sent, [Ok(2), Ok(3), Ok(1)]);
        assert_eq!(sent_by(&mut engine, NOW, None), Ok(1));
    }
}

/// RFC 9611 §6: the packet that has to take the SA of all asks for one for its core, once in a while; others ask nothing.
#[test]
fn a_core_without_an_sa_asks_for_one() {
    let mut engine = engine();
    for core in [CORES[0], CORES[2], None, CORES[2]] {
        sent_by(&mut engine, NOW, core).unwrap();
    }
    sent_by(&mut engine, NOW, core(7)).unwrap();
    assert_eq!(reports(&mut engine), [asks(1, u16::MAX), asks(1, 7)]);
    let later = Instant::from_millis(4_999);
    sent_by(&mut engine, later, core(7)).unwrap();
    assert_eq!(reports(&mut engine), []);
    let later = Instant::from_millis(5_000);
    sent_by(&mut engine, later, core(7)).unwrap();
    assert_eq!(reports(&mut engine), [asks(1, 7)]);
    // It comes, and nothing more is asked.
    send_by(&mut engine, &pair(4));
    bind(&mut engine, 4, core(7));
    assert_eq!(sent_by(&mut engine, Instant::from_millis(60_000), core(7)), Ok(4));
    assert_eq!(reports(&mut engine), []);
}

/// An SA of one core carries nothing of another: its numbers are that core's alone (§2).
#[test]
fn no_sa_of_another_core_is_used() {
    let mut engine = engine();
    remove(&mut engine, 1);
    assert_eq!(sent_by(&mut engine, NOW, CORES[0]), Ok(2));
    for core in [CORES[2], None] {
        assert_eq!(sent_by(&mut engine, NOW, core), Err(SealError::NoSa));
    }
    // The policy asks, once for the flow.
    assert!(matches!(reports(&mut engine)[..], [SaReport::Acquire { policy: PolicyId(1), .. }]));
}

/// RFC 9611 §3: the pair that replaces one is for its core, said or not.
#[test]
fn a_rekeyed_pair_stays_with_its_core() {
    let mut engine = engine();
    for (old, new) in [(2, 12), (1, 11), (12, 22)] {
        send_by(&mut engine, &ChildSa { replaces: Some(ChildSaId(old)), ..pair(new) });
        engine.apply(NOW, SaCommand::SwitchOutbound { from: ChildSaId(old), to: ChildSaId(new) }).unwrap();
        remove(&mut engine, old);
    }
    assert_eq!(CORES.map(|core| sent_by(&mut engine, NOW, core)), [Ok(22), Ok(3), Ok(11)]);
    // It may be said before the switch too, and then that counts.
    send_by(&mut engine, &ChildSa { replaces: Some(ChildSaId(22)), ..pair(32) });
    bind(&mut engine, 32, CORES[2]);
    assert_eq!(CORES.map(|core| sent_by(&mut engine, NOW, core)), [Ok(22), Ok(3), Ok(11)]);
    engine.apply(NOW, SaCommand::SwitchOutbound { from: ChildSaId(22), to: ChildSaId(32) }).unwrap();
    assert_eq!(CORES.map(|core| sent_by(&mut engine, NOW, core)), [Ok(11), Ok(3), Ok(32)]);
}

/// RFC 9611 §6: an SA may move from one core to another, and become one for all. §3: a pair whose core is idle may go.
#[test]
fn sas_move_between_cores_and_go() {
    let mut engine = engine();
    bind(&mut engine, 2, CORES[2]);
    assert_eq!(CORES.map(|core| sent_by(&mut engine, NOW, core)), [Ok(1), Ok(3), Ok(2)]);
    bind(&mut engine, 3, None);
    assert_eq!(CORES.map(|core| sent_by(&mut engine, NOW, core)), [Ok(3), Ok(3), Ok(2)]);
    bind(&mut engine, 1, CORES[0]);
    assert_eq!(CORES.map(|core| sent_by(&mut engine, NOW, core)), [Ok(1), Ok(3), Ok(2)]);
    reports(&mut engine);
    remove(&mut engine, 2);
    assert_eq!(sent_by(&mut engine, NOW, CORES[2]), Ok(3));
    assert_eq!(reports(&mut engine), [asks(3, u16::MAX)]);
}

/// Of several pairs for one core the newest carries its packets.
#[test]
fn the_newest_of_a_core_is_used() {
    let mut engine = engine();
    send_by(&mut engine, &pair(4));
    bind(&mut engine, 4, CORES[0]);
    assert_eq!(sent_by(&mut engine, NOW, CORES[0]), Ok(4));
}

/// A core's own SA is preferred to one with the same selectors alone: a newer pair for less goes before it for that.
#[test]
fn cores_choose_among_the_same_selectors() {
    let mut engine = engine();
    let dns = TrafficSelector { protocol: 17, ports: PortRange::single(53), ..TrafficSelector::ALL_V4 };
    send_by(&mut engine, &ChildSa { remote: vec![dns], ..pair(4) });
    assert_eq!(CORES.map(|core| sent_by(&mut engine, NOW, core)), [Ok(4); 3]);
    assert_eq!(reports(&mut engine), [asks(4, 0), asks(4, 1), asks(4, u16::MAX)]);
    // One of another policy is no pair of the same kind either.
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    send_by(&mut engine, &ChildSa { policy: PolicyId(2), ..pair(1) });
    bind(&mut engine, 1, CORES[0]);
    send_by(&mut engine, &pair(2));
    assert_eq!(sent_by(&mut engine, NOW, CORES[0]), Ok(2));
}

/// RFC 9611 §4: who has fewer cores than the peer sends by fewer pairs, and receives by all of them, wherever packets
/// come.
#[test]
fn every_pair_is_received_by() {
    let (mut sends, mut receives) = (engine(), Engine::new(&RUSTCRYPTO, EngineConfig::default()));
    for id in 1..=3 {
        receives.apply(NOW, SaCommand::InstallInbound(install(&mirrored(&pair(id))))).unwrap();
        bind(&mut receives, id, CORES[0]);
    }
    receives.set_resource(CORES[2]);
    let arrival = Arrival::udp(mirrored(&child()).path);
    for (core, id) in CORES.into_iter().zip([2, 3, 1]) {
        let (mut storage, at) = roomy(&v4(84));
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        sends.set_resource(core);
        sends.seal(NOW, &mut packet).unwrap();
        let incoming = receives.open(NOW, arrival, &mut packet).unwrap();
        assert_eq!(incoming.child, ChildSaId(id));
        assert!(matches!(incoming.opened, Opened::Packet(_)));
    }
}

#[test]
fn a_pair_that_is_not_there_is_not_bound() {
    let (id, resource) = (ChildSaId(9), CORES[0]);
    let refused = engine().apply(NOW, SaCommand::Bind { id, resource });
    assert_eq!(refused, Err(CommandError::NotInstalled(id)));
}
