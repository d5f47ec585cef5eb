//! Inbound SAs that another pair has replaced go on for a while after their removal, and no others do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::{
    Arrival, CommandError, DropReason, Engine, EngineConfig, OpenError, OutboundConfig, OutboundSa, PacketBuf,
};
use ipsec_types::sa::{ChildSa, ChildSaId, GroupSa, Lifetimes, Limit};
use ipsec_types::{Encapsulation, Instant, Path, SaCommand, SaReport};
use std::net::SocketAddr;
use std::time::Duration;

const LINGER: Duration = Duration::from_secs(5);

/// An engine, and the peer's outbound SA of each pair. Pair N receives at SPI 0x1000 + N.
struct World {
    engine: Engine,
    peer: Vec<OutboundSa>,
    now: Instant,
}

impl World {
    fn new(config: EngineConfig) -> Self {
        Self { engine: Engine::new(&RUSTCRYPTO, config), peer: Vec::new(), now: Instant::from_millis(7) }
    }

    fn apply(&mut self, command: SaCommand) -> Result<(), CommandError> {
        self.engine.apply(self.now, command)
    }

    /// The next pair, in the place of another one or of none: its number.
    fn pair(&mut self, replaces: Option<u64>) -> u64 {
        self.pair_with(ChildSa { replaces: replaces.map(ChildSaId), ..child() })
    }

    fn pair_with(&mut self, child: ChildSa) -> u64 {
        let id = self.peer.len() as u64 + 1;
        let child = ChildSa { id: ChildSaId(id), ..child };
        let made = |child: &ChildSa, spi| Box::new(install(child, spi, id as u8));
        let theirs = *made(&mirrored(&child), 0x1000 + id as u32);
        let theirs = OutboundSa::new(&RUSTCRYPTO, theirs, OutboundConfig::default(), self.now).unwrap();
        self.peer.push(theirs);
        self.apply(SaCommand::InstallInbound(made(&child, 0x1000 + id as u32))).unwrap();
        self.apply(SaCommand::InstallOutbound(made(&child, 0x2000 + id as u32))).unwrap();
        id
    }

    fn switch(&mut self, from: u64, to: u64) {
        self.apply(SaCommand::SwitchOutbound { from: ChildSaId(from), to: ChildSaId(to) }).unwrap();
    }

    fn remove(&mut self, id: u64) {
        self.apply(SaCommand::Remove { id: ChildSaId(id), inbound: true, outbound: true }).unwrap();
    }

    /// A pair in the place of another one, which is removed.
    fn rekeyed(&mut self, old: u64) -> u64 {
        let new = self.pair(Some(old));
        self.switch(old, new);
        self.remove(old);
        new
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.handle_timeout(self.now);
    }

    /// Opens a packet that the peer sends by this pair.
    fn receive(&mut self, id: u64) -> Result<(), OpenError> {
        let mut packet = seal(&mut self.peer[id as usize - 1], &v4(60));
        self.open(&mut packet).map(|child| assert_eq!(child, ChildSaId(id)))
    }

    fn open(&mut self, packet: &mut [u8]) -> Result<ChildSaId, OpenError> {
        let arrival = Arrival::udp(child().path);
        self.engine.open(self.now, arrival, &mut PacketBuf::whole(packet)).map(|incoming| incoming.child)
    }

    /// Which of the pairs so far still receive.
    fn receiving(&mut self) -> Vec<u64> {
        let all = 1..=self.peer.len() as u64;
        all.filter(|id| match self.receive(*id) {
            Ok(()) => true,
            Err(OpenError::UnknownSpi(_)) => false,
            Err(error) => panic!("{id}: {error}"),
        })
        .collect()
    }
}

fn world() -> World {
    World::new(EngineConfig::default())
}

#[test]
fn a_replaced_pair_receives_until_its_time_is_over() {
    let mut world = world();
    let old = world.pair(None);
    let new = world.rekeyed(old);
    assert_eq!(world.receiving(), [old, new]);
    let end = world.now + LINGER;
    assert_eq!(world.engine.poll_timeout(), Some(end));
    world.pass(LINGER - Duration::from_millis(1));
    assert_eq!(world.receiving(), [old, new]);
    assert_eq!(world.engine.poll_timeout(), Some(end));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.receiving(), [new]);
    assert_eq!(world.engine.poll_timeout(), None);
    let statistics = world.engine.statistics().inbound;
    assert_eq!((statistics.packets, statistics.dropped(DropReason::UnknownSpi)), (5, 1));
}

#[test]
fn its_outbound_half_goes_at_once_and_ike_hears_no_more_of_it() {
    let mut world = world();
    let old = world.pair(None);
    let new = world.rekeyed(old);
    assert!(world.engine.outbound(ChildSaId(old)).is_none());
    let elsewhere = Arrival::udp(Path { remote: "203.0.113.9:4500".parse().unwrap(), ..child().path });
    let mut packet = seal(&mut world.peer[0], &v4(60));
    world.engine.open(world.now, elsewhere, &mut PacketBuf::whole(&mut packet)).unwrap();
    assert_eq!(world.engine.poll_report(), None);
    for command in [
        SaCommand::Remove { id: ChildSaId(old), inbound: true, outbound: true },
        SaCommand::Move { id: ChildSaId(old), path: path_v6(), encapsulation: Encapsulation::Udp },
    ] {
        let before = format!("{:?}", world.engine);
        assert_eq!(world.apply(command), Err(CommandError::NotInstalled(ChildSaId(old))));
        assert_eq!(format!("{:?}", world.engine), before);
    }
    world.receive(new).unwrap();
    let report = world.engine.poll_report();
    assert!(matches!(report, Some(SaReport::LastInbound { id: ChildSaId(2), .. })), "{report:?}");
}

/// What it has seen it remembers, and when its life is over it is over.
#[test]
fn replays_and_its_hard_lifetime_count_as_before() {
    let mut world = world();
    let seconds = Limit { soft: Some(1), hard: Some(2) };
    let old =
        world.pair_with(ChildSa { lifetimes: Lifetimes { seconds, ..Lifetimes::default() }, ..child() });
    let packet = seal(&mut world.peer[0], &v4(60));
    world.open(&mut packet.clone()).unwrap();
    while world.engine.poll_report().is_some() {}
    let new = world.rekeyed(old);
    assert_eq!(world.open(&mut packet.clone()).unwrap_err().reason(), DropReason::Replayed);
    assert_eq!(world.receiving(), [old, new]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.receive(old).unwrap_err().reason(), DropReason::InboundExpired);
    let told = std::iter::from_fn(|| world.engine.poll_report());
    let of_old = |report: &SaReport| match report {
        SaReport::SoftExpired { id, .. } | SaReport::HardExpired { id, .. } => *id == ChildSaId(old),
        _ => false,
    };
    assert_eq!(told.filter(of_old).collect::<Vec<_>>(), []);
    world.pass(LINGER);
    assert_eq!((world.receiving(), world.engine.poll_timeout()), (vec![new], None));
}

#[test]
fn without_time_nothing_lingers() {
    let mut world = World::new(EngineConfig { linger: Duration::ZERO, ..EngineConfig::default() });
    let old = world.pair(None);
    let new = world.rekeyed(old);
    assert_eq!((world.receiving(), world.engine.poll_timeout()), (vec![new], None));
}

#[test]
fn a_pair_without_a_successor_ends_at_once() {
    let mut world = world();
    let alone = world.pair(None);
    let other = world.pair(None);
    world.remove(alone);
    assert_eq!(world.receiving(), [other]);
    // One that is to be replaced, and is not yet.
    let new = world.pair(Some(other));
    world.remove(other);
    assert_eq!(world.receiving(), [new]);
}

/// A tunnel that is torn down shortly after a rekey leaves nothing that receives, in whichever order its pairs go.
#[test]
fn nothing_outlives_the_last_pair() {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for order in orders {
        let mut world = world();
        let first = world.pair(None);
        let second = world.pair(Some(first));
        world.switch(first, second);
        let third = world.pair(Some(second));
        world.switch(second, third);
        for id in order {
            world.remove(id);
        }
        assert_eq!(world.receiving(), [0; 0], "{order:?}");
        assert_eq!(world.engine.poll_timeout(), None, "{order:?}");
    }
}

/// One that lingers waits for whatever has its place by now.
#[test]
fn the_place_is_inherited() {
    let mut world = world();
    let first = world.pair(None);
    let second = world.pair(Some(first));
    world.switch(first, second);
    let third = world.rekeyed(second);
    world.pass(LINGER / 2);
    world.remove(first);
    assert_eq!(world.receiving(), [first, second, third]);
    world.pass(LINGER / 2);
    assert_eq!(world.receiving(), [first, third]);
    world.remove(third);
    assert_eq!(world.receiving(), [0; 0]);
}

/// Both ends rekey a pair at once, and what the peer made is left over: it may have sent by that already (RFC 7296
/// §2.8.1). Where the whole tunnel ends, that one does too.
#[test]
fn one_that_is_left_over_lingers() {
    for torn_down in [false, true] {
        let mut world = world();
        let old = world.pair(None);
        let theirs = world.pair(Some(old));
        let ours = world.pair(Some(old));
        world.switch(old, ours);
        world.remove(old);
        world.remove(theirs);
        assert_eq!(world.receiving(), [old, theirs, ours]);
        if torn_down {
            world.remove(ours);
            assert_eq!(world.receiving(), [0; 0]);
        } else {
            world.pass(LINGER);
            assert_eq!(world.receiving(), [ours]);
        }
    }
}

/// Those to groups take their part of the room too.
#[test]
fn those_that_linger_give_way_beside_groups() {
    let mut world = World::new(EngineConfig { max_sas: 3, ..EngineConfig::default() });
    let first = world.pair(None);
    let second = world.rekeyed(first);
    let group = GroupSa {
        group: [233, 252, 0, 1].into(),
        source: Some([192, 0, 2, 1].into()),
        preserves_source: false,
        preserves_destination: false,
    };
    let path = Path::nat_t(child().path.local, SocketAddr::new(group.group, 0));
    let to_group = ChildSa { id: ChildSaId(9), group: Some(group), path, ..child() };
    world.apply(SaCommand::InstallInbound(Box::new(install(&to_group, 0x1009, 9)))).unwrap();
    assert_eq!(world.receiving(), [first, second]);
    let third = world.pair(None);
    assert_eq!(world.receiving(), [second, third]);
    assert!(world.engine.group(ChildSaId(9)).is_some());
}

#[test]
fn those_that_linger_give_way() {
    let mut world = World::new(EngineConfig { max_sas: 3, ..EngineConfig::default() });
    let first = world.pair(None);
    let second = world.rekeyed(first);
    let third = world.rekeyed(second);
    assert_eq!(world.receiving(), [first, second, third]);
    // To one that needs the room: the oldest. One that is refused takes nobody's place.
    let mut wrong = install(&ChildSa { id: ChildSaId(9), local: vec![], ..child() }, 0x1009, 9);
    let before = format!("{:?}", world.engine);
    assert!(world.apply(SaCommand::InstallInbound(Box::new(wrong.clone()))).is_err());
    assert_eq!(format!("{:?}", world.engine), before);
    let fourth = world.pair(None);
    assert_eq!(world.receiving(), [second, third, fourth]);
    // To one that is given its SPI.
    wrong = install(&ChildSa { id: ChildSaId(9), ..child() }, 0x1002, 9);
    world.apply(SaCommand::InstallInbound(Box::new(wrong))).unwrap();
    assert_eq!(world.receive(second).unwrap_err().reason(), DropReason::Integrity);
    assert_eq!(world.engine.poll_timeout(), None);
    // Where none lingers, the table is full.
    let install = install(&ChildSa { id: ChildSaId(10), ..child() }, 0x1010, 9);
    let full = CommandError::TableFull { limit: 3 };
    assert_eq!(world.apply(SaCommand::InstallInbound(Box::new(install))), Err(full));
    assert_eq!(world.engine.statistics().inbound.dropped(DropReason::Integrity), 1);
}
