//! What the nodes' embedders do, at any time and at the same instant.

use super::support::mirror::ChildView;
use super::support::world::*;
use ikev2_core::{CallError, IkeSaHandle, IkeSaInfo, IkeSaState};
use ipsec_types::SaReport;
use ipsec_types::sa::{ChildSaId, Direction, ExpiryReason, PacketSelectors, PolicyId};
use std::collections::BTreeSet;
use std::time::Duration;

use super::support::setup::net;

/// What may be wrong with a call that comes at any time.
fn allowed(result: Result<(), CallError>) {
    use CallError::{Limit, NoSuchChild, NoSuchPolicy, NoSuchSa, NotByTraffic, NotEstablished};
    let fine = matches!(
        result,
        Ok(()) | Err(Limit(_) | NoSuchChild | NoSuchPolicy | NotByTraffic | NoSuchSa | NotEstablished)
    );
    assert!(fine || matches!(result, Err(CallError::Failed(_))), "{result:?}");
}

/// What to do with an IKE SA or with a Child SA of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Create,
    RekeyChild,
    DeleteChild,
    RekeyIke,
    DeleteIke,
    CheckLiveness,
}

const DEEDS: [Deed; 9] = [
    Deed::Create,
    Deed::RekeyChild,
    Deed::RekeyChild,
    Deed::DeleteChild,
    Deed::DeleteChild,
    Deed::RekeyIke,
    Deed::RekeyIke,
    Deed::DeleteIke,
    Deed::CheckLiveness,
];

/// A Child SA by its end at a node.
type ChildEnd = (IkeSaHandle, Option<ChildSaId>);

fn perform(world: &mut World, node: usize, (sa, child): ChildEnd, deed: Deed) {
    let name = *world.dice.pick(&["first", "pfs", "net"]).unwrap();
    let result = match (deed, child) {
        (Deed::Create, _) => world.call(node, |e, now| e.create_child(now, sa, name)),
        (Deed::RekeyChild, Some(id)) => world.call(node, |e, now| e.rekey_child(now, sa, id)),
        (Deed::DeleteChild, Some(id)) => world.call(node, |e, now| e.delete_child(now, sa, id)),
        (Deed::RekeyIke, _) => world.call(node, |e, now| e.rekey_ike_sa(now, sa)),
        (Deed::DeleteIke, _) => world.call(node, |e, now| e.delete_ike_sa(now, sa)),
        (Deed::CheckLiveness | Deed::RekeyChild | Deed::DeleteChild, _) => {
            world.call(node, |e, now| e.check_liveness(now, sa))
        }
    };
    allowed(result);
}

/// Some IKE SA of a node's, with some Child SA of it.
fn some_child(world: &mut World, node: usize) -> Option<ChildEnd> {
    let sas: Vec<_> = world.endpoint(node).ike_sas().map(|(handle, _)| handle).collect();
    let sa = *world.dice.pick(&sas)?;
    let children: Vec<_> = world.endpoint(node).child_sas(sa).map(|child| child.child.id).collect();
    Some((sa, world.dice.pick(&children).copied()))
}

/// The other end of it, and whose that is.
fn other_end(world: &World, node: usize, (sa, child): ChildEnd) -> Option<(usize, ChildEnd)> {
    let info = world.endpoint(node).ike_sa(sa)?;
    let same = |(_, other): &(IkeSaHandle, IkeSaInfo)| other.initiator_spi == info.initiator_spi;
    let mut others = (0..world.nodes.len()).filter(|other| *other != node);
    let (other, handle) = others.find_map(|other| {
        let found = world.endpoint(other).ike_sas().find(same)?;
        Some((other, found.0))
    })?;
    let ours = world.endpoint(node).child_sas(sa).find(|c| Some(c.child.id) == child);
    let theirs = ours.and_then(|ours| {
        let mut children = world.endpoint(other).child_sas(handle);
        children.find(|c| c.inbound == ours.outbound).map(|c| c.child.id)
    });
    Some((other, (handle, theirs)))
}

/// Both ends do something with the same SAs, at the same instant or nearly so.
fn clash(world: &mut World) {
    let node = world.dice.below(world.nodes.len() as u64) as usize;
    let Some(end) = some_child(world, node) else { return };
    let Some((other, other_end)) = other_end(world, node, end) else { return };
    let (mine, theirs) = (*world.dice.pick(&DEEDS).unwrap(), *world.dice.pick(&DEEDS).unwrap());
    let pause = *world.dice.pick(&[0, 0, 0, 10, 60]).unwrap();
    perform(world, node, end, mine);
    if world.dice.per_mille(150) {
        // What it has just sent is lost and comes late, when it is repeated.
        let from = world.nodes[node].public_ip();
        let packets = world.take_all();
        packets.into_iter().filter(|packet| packet.from.ip() != from).for_each(|packet| world.put(packet));
    }
    let pause = world.dice.below(pause + 1);
    world.run_for(Duration::from_millis(pause));
    perform(world, other, other_end, theirs);
    for (node, end) in [(node, end), (other, other_end)] {
        if world.dice.per_mille(400) {
            let deed = *world.dice.pick(&DEEDS).unwrap();
            perform(world, node, end, deed);
        }
    }
}

/// Whether another end sends by this one, so that packets can come.
fn is_used(world: &World, node: usize, id: ChildSaId) -> bool {
    let spi = world.node(node).mirror.children[&id].inbound.as_ref().map(|half| half.spi);
    let sends = |child: &ChildView| child.in_use && child.outbound.as_ref().map(|half| half.spi) == spi;
    spi.is_some() && world.nodes.iter().any(|other| other.mirror.children.values().any(sends))
}

/// A node asks for several Child SAs at once, now and then.
pub fn crowd(world: &mut World) {
    let node = world.dice.below(world.nodes.len() as u64) as usize;
    if world.dice.per_mille(300)
        && let Some(end) = some_child(world, node)
    {
        (0..4).for_each(|_| perform(world, node, end, Deed::Create));
    }
}

/// The data path of a node reports something.
fn report(world: &mut World, node: usize) {
    let children: Vec<ChildSaId> = world.node(node).mirror.children.keys().copied().collect();
    let direction = Direction::Inbound;
    let at = world.clock(node);
    let id = world.dice.pick(&children).copied();
    let report = match (world.dice.below(5), id) {
        (0, Some(id)) => SaReport::HardExpired { id, direction, reason: ExpiryReason::Octets },
        (1, Some(id)) => SaReport::SoftExpired { id, direction, reason: ExpiryReason::Time },
        (2 | 3, Some(id)) if is_used(world, node, id) => SaReport::LastInbound { id, at },
        _ => {
            let packet = PacketSelectors { source: net("10.1.2.3/32"), destination: net("10.2.3.4/32") };
            SaReport::Acquire { policy: PolicyId(1 + world.dice.below(4)), packet }
        }
    };
    allowed(world.call(node, |e, now| e.handle_report(now, &report)));
}

fn outage(world: &mut World) {
    let loss = std::mem::replace(&mut world.link.loss, 1_000);
    let outage = 1_000 * world.dice.below(60);
    world.run_for(Duration::from_millis(outage));
    world.link.loss = loss;
}

/// A node's clock jumps ahead by up to an hour, or back by a minute at most.
fn jump(world: &mut World, node: usize) {
    let secs = *world.dice.pick(&[1, 30, 600, 3_600]).unwrap();
    let jump = Duration::from_secs(world.dice.below(secs + 1));
    let back = world.dice.per_mille(300);
    let clock = &mut world.nodes[node].clock;
    if back {
        clock.back += jump.min(Duration::from_secs(60));
    } else {
        clock.ahead += jump;
    }
}

/// The embedder of a node polls nothing for a while.
fn hang(world: &mut World, node: usize) {
    world.nodes[node].polled = false;
    let pause = world.dice.below(3_000);
    world.run_for(Duration::from_millis(pause));
    if let Some((sa, child)) = some_child(world, node) {
        let deed = *world.dice.pick(&DEEDS).unwrap();
        perform(world, node, (sa, child), deed);
    }
    let pause = world.dice.below(3_000);
    world.run_for(Duration::from_millis(pause));
    world.nodes[node].polled = true;
    world.settle(node);
}

/// A NAT forgets a node. Others find it again only where they are not behind NATs themselves (RFC 7296 §2.23).
fn rebind(world: &mut World, node: usize) {
    let alone = world.nodes.iter().filter(|node| node.nat.is_some()).count() == 1;
    if let Some(nat) = world.nodes[node].nat.as_mut().filter(|_| alone) {
        nat.rebind();
    }
}

fn connect(world: &mut World, from: usize) {
    let others: Vec<_> = (0..world.nodes.len()).filter(|to| *to != from).collect();
    let to = *world.dice.pick(&others).unwrap();
    let result = world.try_connect(from, to);
    assert!(matches!(result, Ok(_) | Err(CallError::Limit(_) | CallError::Failed(_))), "{result:?}");
}

/// The first node gets other addresses: one or two, and now and then the one that it uses is dead. The others stay where
/// they are, since two that move at once find each other by luck alone.
fn relocate(world: &mut World) {
    let mut fresh = || format!("198.18.0.{}", 1 + world.dice.below(14));
    let (one, other) = (fresh(), fresh());
    let old = world.nodes[A].ip.to_string();
    let addresses = match world.dice.below(4) {
        0 => vec![old, one],
        1 => vec![one, old],
        2 if one != other => vec![one, other],
        _ => vec![one],
    };
    let distinct = addresses.iter().collect::<BTreeSet<_>>().len() == addresses.len();
    if distinct {
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        allowed(world.set_addresses(A, &addresses));
        if world.dice.per_mille(200) {
            let first = world.nodes[A].ip;
            world.dead.insert(first);
        }
    }
}

/// What embedders do here beside calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// In so many of a thousand turns both ends do something at once.
    pub clashes: u64,
    /// Clocks jump.
    pub jumps: bool,
    /// Embedders hang.
    pub hangs: bool,
    /// The first node moves.
    pub moves: bool,
}

/// One actor does one thing.
pub fn act(world: &mut World, manners: Manners) {
    if world.dice.per_mille(manners.clashes) {
        return clash(world);
    }
    if manners.moves && world.dice.per_mille(200) {
        return relocate(world);
    }
    let node = world.dice.below(world.nodes.len() as u64) as usize;
    let established = world.endpoint(node).ike_sas().count();
    match world.dice.below(16) {
        0 | 1 if established < 4 => connect(world, node),
        2..=4 => report(world, node),
        5 => rebind(world, node),
        6 if world.dice.per_mille(200) => outage(world),
        7 if manners.jumps => jump(world, node),
        8 | 9 if manners.hangs => hang(world, node),
        _ => {
            let Some(end) = some_child(world, node) else {
                return if established == 0 {
                    connect(world, node)
                };
            };
            let closing = world.endpoint(node).ike_sa(end.0).is_none_or(|sa| sa.state == IkeSaState::Closing);
            let rare = if closing { 0 } else { 700 };
            let deed = *world.dice.pick(&DEEDS).unwrap();
            // IKE SAs live for a while.
            if deed != Deed::DeleteIke || world.dice.per_mille(1_000 - rare) {
                perform(world, node, end, deed);
            }
        }
    }
}
