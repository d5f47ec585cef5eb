//! A tunnel for a day and more of virtual time: two endpoints and two engines with the defaults of both and Child SAs that
//! live for an hour. A packet goes each way in every minute, and whenever IKE does something. ESP is slower than IKE,
//! so that what was sent by a Child SA comes after its Delete. No packet is lost, and nothing grows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use allocation_counter::measure;
use ikev2_core::{ChildConfig, Connection, Endpoint, EndpointConfig, Event, IdentityPattern};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::state::StateKey;
use ipsec_esp::{Arrival, Engine, EngineConfig, MAX_HEADROOM, MAX_TAILROOM, PacketBuf};
use ipsec_types::sa::{Lifetimes, Limit, PolicyId};
use ipsec_types::{AddressRange, Encapsulation, Instant, Path, SaCommand, SecretBytes, TrafficSelector};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const IKE_DELAY: Duration = Duration::from_millis(5);
const ESP_DELAY: Duration = Duration::from_millis(40);

struct Side {
    endpoint: Endpoint,
    engine: Engine,
    /// Inner packets so far.
    sent: u32,
    received: u32,
    child_rekeys: u32,
    checks: u32,
}

enum Flying {
    Ike(Path, Vec<u8>),
    Esp(Arrival, Vec<u8>),
}

struct World {
    now: Instant,
    sides: [Side; 2],
    /// By when each arrives, and in which order it was sent.
    flying: BTreeMap<(Instant, u64), (usize, Flying)>,
    count: u64,
    next_minute: Instant,
}

fn side(number: usize, linger: Option<Duration>, seed: u64) -> Side {
    let name = |n: usize| ["a.example", "b.example"][n].parse().unwrap();
    let net = |n: usize| {
        let address = ["10.1.0.0", "10.2.0.0"][n].parse().unwrap();
        vec![TrafficSelector::addresses(AddressRange::prefix(address, 24).unwrap())]
    };
    let secret = SecretBytes::copy_from(b"a secret that lasts for a day");
    let them = IdentityPattern::Exactly(name(1 - number));
    let mut connection = Connection::with_shared_key("day", name(number), them, secret);
    let mut child = ChildConfig::tunnel(PolicyId(1), "net", net(number), net(1 - number));
    let seconds = Limit { soft: Some(3_240), hard: Some(3_600) };
    child.lifetimes = Lifetimes { seconds, ..Lifetimes::default() };
    connection.children.push(Arc::new(child));
    let mut config = EndpointConfig::new(&RUSTCRYPTO);
    config.connections.push(Arc::new(connection));
    let random = ChaCha20Rng::seed_from_u64(seed);
    let mut engine = EngineConfig::default();
    engine.linger = linger.unwrap_or(engine.linger);
    engine.keep_keys = true;
    Side {
        endpoint: Endpoint::new(Arc::new(config), Box::new(random)),
        engine: Engine::new(&RUSTCRYPTO, engine),
        sent: 0,
        received: 0,
        child_rekeys: 0,
        checks: 0,
    }
}

impl World {
    /// A tunnel that stands.
    fn new(linger: Option<Duration>) -> Self {
        let sides = [side(0, linger, 0), side(1, linger, 1)];
        let next_minute = Instant::ZERO + MINUTE;
        let mut world = Self { now: Instant::ZERO, sides, flying: BTreeMap::new(), count: 0, next_minute };
        let path = Path::ike("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
        world.sides[0].endpoint.connect(world.now, "day", path).unwrap();
        world.settle();
        world.run_for(MINUTE / 2);
        world
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.sides.iter().flat_map(|s| [s.endpoint.poll_timeout(), s.engine.poll_timeout()]);
            let first = self.flying.keys().next().map(|(at, _)| *at);
            let next = timers.flatten().chain(first).chain([self.next_minute]).min().unwrap();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.step();
            self.settle();
        }
    }

    fn step(&mut self) {
        if self.next_minute <= self.now {
            self.next_minute += MINUTE;
            self.send_both_ways();
        }
        let due = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now);
        match due.map(|entry| entry.remove()) {
            Some((to, Flying::Ike(path, datagram))) => {
                self.send_both_ways();
                self.sides[to].endpoint.handle_datagram(self.now, path, &datagram).unwrap();
            }
            Some((to, Flying::Esp(arrival, mut packet))) => {
                let side = &mut self.sides[to];
                if side.engine.open(self.now, arrival, &mut PacketBuf::whole(&mut packet)).is_ok() {
                    side.received += 1;
                }
            }
            None => {
                for side in &mut self.sides {
                    side.endpoint.handle_timeout(self.now);
                    side.engine.handle_timeout(self.now);
                }
            }
        }
    }

    /// Another process takes the place of a side's, if its IKE SA stands still.
    fn upgrade(&mut self, number: usize) -> bool {
        let key = StateKey::new(&RUSTCRYPTO, &[7; 32]).unwrap();
        let old = &mut self.sides[number];
        let sa = old.endpoint.ike_sas().next().unwrap().0;
        let children: Vec<_> = old.endpoint.child_sas(sa).map(|info| info.child.id).collect();
        let Ok(ike) = old.endpoint.export(self.now, sa, &key) else { return false };
        let pairs = children.iter().map(|id| old.engine.export(self.now, *id, &key, 0).unwrap());
        let pairs: Vec<_> = pairs.collect();
        let Side { sent, received, child_rekeys, checks, .. } = *old;
        let Side { mut endpoint, mut engine, .. } = side(number, None, self.count);
        endpoint.import(self.now, &key, &ike, Duration::ZERO).unwrap();
        for (id, pair) in children.iter().zip(&pairs) {
            assert_eq!(engine.import(self.now, &key, pair, Duration::ZERO), Ok(*id));
        }
        self.sides[number] = Side { endpoint, engine, sent, received, child_rekeys, checks };
        true
    }

    /// Carries out all that the two say.
    fn settle(&mut self) {
        for number in [0, 1] {
            let mut idle = false;
            while !idle {
                idle = true;
                let Side { endpoint, engine, child_rekeys, checks, .. } = &mut self.sides[number];
                while let Some(report) = engine.poll_report() {
                    idle = false;
                    endpoint.handle_report(self.now, &report).unwrap();
                }
                while let Some(event) = endpoint.poll_event() {
                    idle = false;
                    match event {
                        Event::DataPath(command) => {
                            *child_rekeys += u32::from(matches!(command, SaCommand::SwitchOutbound { .. }));
                            engine.apply(self.now, command).unwrap();
                        }
                        Event::PeerAlive { .. } => *checks += 1,
                        Event::IkeSaDown { .. }
                        | Event::ChildSaFailed { .. }
                        | Event::IkeRekeyFailed { .. } => {
                            panic!("{event:?}")
                        }
                        _ => {}
                    }
                }
                while let Some(transmit) = endpoint.poll_transmit() {
                    let Path { local, remote, kind } = transmit.path;
                    let path = Path { local: remote, remote: local, kind };
                    let flying = Flying::Ike(path, transmit.datagram.to_vec());
                    self.count += 1;
                    self.flying.insert((self.now + IKE_DELAY, self.count), (1 - number, flying));
                }
            }
        }
    }

    /// A packet each way, once there is an SA for it.
    fn send_both_ways(&mut self) {
        for number in [0, 1] {
            let side = &mut self.sides[number];
            let [own, other] = [1 + number as u8, 2 - number as u8];
            let mut buffer = [0; MAX_HEADROOM + 28 + MAX_TAILROOM];
            let inner = [
                0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, own, 0, 1, 10, other, 0, 1, 0, 7, 0, 7, 0, 8,
                0, 0,
            ];
            buffer[MAX_HEADROOM..][..inner.len()].copy_from_slice(&inner);
            let mut packet = PacketBuf::new(&mut buffer, MAX_HEADROOM..MAX_HEADROOM + inner.len()).unwrap();
            let Ok(outgoing) = side.engine.seal(self.now, &mut packet) else {
                assert_eq!(side.sent, 0, "no SA any more");
                continue;
            };
            side.sent += 1;
            assert_eq!(outgoing.encapsulation, Encapsulation::None);
            let arrival = Arrival::raw(outgoing.path.remote.ip(), outgoing.path.local.ip());
            let flying = Flying::Esp(arrival, packet.as_slice().to_vec());
            self.count += 1;
            self.flying.insert((self.now + ESP_DELAY, self.count), (1 - number, flying));
        }
    }

    fn lost(&self) -> [u32; 2] {
        [self.sides[0].sent - self.sides[1].received, self.sides[1].sent - self.sides[0].received]
    }
}

#[test]
fn a_day_loses_no_packet_and_leaves_nothing() {
    let mut world = World::new(None);
    // Both kinds of SA have been rekeyed once and more.
    world.run_for(6 * HOUR);
    let (sent, rekeys) = (world.sides[0].sent, world.sides[0].child_rekeys);
    let checks = world.sides.iter().map(|side| side.checks).sum::<u32>();
    let ike = |world: &World| -> u64 {
        world.sides.iter().map(|side| side.endpoint.statistics().ike_sas_rekeyed).max().unwrap()
    };
    let ike_rekeys = ike(&world);
    let grown = measure(|| world.run_for(24 * HOUR)).bytes_current;
    assert_eq!(world.lost(), [0, 0]);
    assert!(world.sides[0].sent - sent > 24 * 60, "{}", world.sides[0].sent - sent);
    let rekeys = world.sides[0].child_rekeys - rekeys;
    assert!((24..=32).contains(&rekeys), "{rekeys} rekeys of the Child SA");
    let ike_rekeys = ike(&world) - ike_rekeys;
    assert!((6..=14).contains(&ike_rekeys), "{ike_rekeys} rekeys of the IKE SA");
    assert!(world.sides.iter().map(|side| side.checks).sum::<u32>() > checks);
    println!("{rekeys} rekeys of the Child SA, {ike_rekeys} of the IKE SA, {grown} octets");
    assert!(grown.abs() < 256, "{grown} octets more than a day before");
    for side in &world.sides {
        assert_eq!(side.endpoint.ike_sas().count(), 1);
    }
}

/// A process of either side is replaced every few minutes, whatever the other one does; packets are under way meanwhile.
#[test]
fn a_day_of_upgrades_loses_no_packet() {
    let mut world = World::new(None);
    let mut upgrades = [0, 0];
    for turn in 0..24 * 12 {
        world.run_for(5 * MINUTE);
        world.send_both_ways();
        upgrades[turn % 2] += u32::from(world.upgrade(turn % 2));
        world.settle();
    }
    world.run_for(MINUTE / 4);
    assert_eq!(world.lost(), [0, 0]);
    assert!(world.sides[0].sent > 24 * 60 && world.sides[0].child_rekeys >= 24);
    assert!(upgrades.iter().all(|upgrades| *upgrades > 100), "{upgrades:?}");
    for side in &world.sides {
        let (_, info) = side.endpoint.ike_sas().next().unwrap();
        assert_eq!(side.endpoint.ike_sas().count(), 1);
        assert!(info.established_at.unwrap() < Instant::ZERO + MINUTE);
    }
}

/// What lingers is what makes it so.
#[test]
fn packets_that_come_after_a_delete_are_lost_where_nothing_lingers() {
    let mut world = World::new(Some(Duration::ZERO));
    world.run_for(6 * HOUR);
    assert!(world.lost().iter().sum::<u32>() > 0);
}
