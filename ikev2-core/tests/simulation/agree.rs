//! What must hold when everything has come to rest: both ends of every SA agree on it and on its keys, nothing is
//! stuck, and nothing is left of what is over.

use super::support::mirror::{ChildView, assert_same};
use super::support::world::*;
use ikev2_core::{Event, IkeSaInfo, IkeSaState};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherError, PacketNumber};
use ipsec_types::sa::SaKeys;
use std::collections::BTreeSet;

/// The established IKE SAs of a node.
fn ike_sas(world: &World, node: usize) -> Vec<IkeSaInfo> {
    world.endpoint(node).ike_sas().map(|(_, info)| info).collect()
}

/// Whether anything is out, or on its way.
pub fn is_quiet(world: &World) -> bool {
    let all: Vec<_> = (0..world.nodes.len()).flat_map(|node| ike_sas(world, node)).collect();
    let answered = |ours: &IkeSaInfo| {
        if ours.state != IkeSaState::Established {
            return false;
        }
        let mut theirs = all.iter().filter(|theirs| theirs.initiator_spi == ours.initiator_spi);
        theirs.any(|theirs| theirs.role != ours.role && theirs.requests_answered == ours.requests_sent)
    };
    let waits = |node| waiting(world, node).is_some();
    let nodes = 0..world.nodes.len();
    world.in_flight().next().is_none() && all.iter().all(answered) && !nodes.into_iter().any(waits)
}

/// Both ends of each IKE SA have the same, with nothing out, and no end has another.
fn assert_ike_sas(world: &World) {
    for node in 0..world.nodes.len() {
        for ours in ike_sas(world, node) {
            let others = (0..world.nodes.len()).filter(|other| *other != node);
            let theirs: Vec<_> = others.flat_map(|other| ike_sas(world, other)).collect();
            let spis = (ours.initiator_spi, ours.responder_spi);
            let theirs: Vec<_> =
                theirs.iter().filter(|theirs| (theirs.initiator_spi, theirs.responder_spi) == spis).collect();
            assert_eq!(theirs.len(), 1, "{node} has an IKE SA that no other has: {ours:?}");
            let theirs = theirs[0];
            assert_eq!([ours.state, theirs.state], [IkeSaState::Established; 2], "{ours:?} {theirs:?}");
            assert_ne!(ours.role, theirs.role);
            assert_eq!((ours.suite, ours.prf, ours.ke), (theirs.suite, theirs.prf, theirs.ke));
            assert_eq!(ours.requests_sent, theirs.requests_answered, "a request is out: {ours:?}");
        }
    }
}

/// A packet that is sealed by one end's outbound keys opens by the other's inbound ones, and by none of the others.
fn assert_packet(ours: &ChildView, theirs: &ChildView) {
    let algorithm = RUSTCRYPTO.cipher(ours.child.suite).unwrap();
    let cipher = |keys: &SaKeys| algorithm.with_keys(keys).unwrap();
    let (sealing, opening) = (ours.outbound.as_ref().unwrap(), theirs.inbound.as_ref().unwrap());
    let [seals, opens] = [cipher(&sealing.keys), cipher(&opening.keys)];
    let mut packet = sealing.spi.to_be_bytes().to_vec();
    packet.extend_from_slice(&[0, 0, 0, 1]);
    let (header_len, text_at) = (packet.len(), packet.len() + seals.iv_len());
    let text = [0xA5; 32];
    packet.resize(text_at, 0);
    packet.extend_from_slice(&text);
    packet.resize(packet.len() + seals.icv_len(), 0);
    let number = PacketNumber::explicit(1);
    seals.seal(number, header_len, &mut packet).unwrap();
    let mut reflected = packet.clone();
    opens.open(number, header_len, &mut packet).expect("the other end's keys are others");
    assert_eq!(packet[text_at..text_at + text.len()], text);
    let back = cipher(&ours.inbound.as_ref().unwrap().keys);
    let result = back.open(number, header_len, &mut reflected);
    assert_eq!(result, Err(CipherError::IntegrityCheck), "both directions have one key");
}

/// Both ends of each Child SA have the same, and packets pass both ways.
fn assert_children(world: &World) {
    let mut seen = BTreeSet::new();
    for node in 0..world.nodes.len() {
        for ours in world.node(node).mirror.children.values() {
            let (inbound, outbound) = (ours.inbound.as_ref(), ours.outbound.as_ref());
            let (inbound, outbound) = inbound.zip(outbound).expect("a half of a Child SA is left");
            assert!(seen.insert((node, inbound.spi)));
            assert!(ours.in_use, "{node}: left over from a rekey: {ours:?}");
            let fits = |theirs: &&ChildView| {
                theirs.inbound.as_ref().is_some_and(|half| half.spi == outbound.spi)
                    && theirs.outbound.as_ref().is_some_and(|half| half.spi == inbound.spi)
            };
            let others = world.nodes.iter().enumerate().filter(|(other, _)| *other != node);
            let theirs = others.flat_map(|(_, other)| other.mirror.children.values()).find(fits);
            let theirs = theirs.unwrap_or_else(|| panic!("{node} has a Child SA alone: {ours:?}"));
            assert_same(ours, theirs);
            assert_packet(ours, theirs);
            assert_packet(theirs, ours);
        }
    }
}

/// What waits and should not for long: a former generation, a request, a try, an answer of the embedder's.
fn waiting(world: &World, node: usize) -> Option<String> {
    let dump = dump(world.endpoint(node));
    let fields = [("former: [", "]"), ("queue: [", "]"), ("later: [", "]"), ("suspended: ", "None")];
    let waits = |(field, rest): &(&str, &str)| {
        dump.match_indices(field).any(|(at, _)| !dump[at + field.len()..].starts_with(rest))
    };
    fields.iter().any(waits).then_some(dump)
}

fn assert_not_stuck(world: &World, node: usize) {
    assert_eq!(waiting(world, node), None, "{node} is stuck");
    let due = world.endpoint(node).poll_timeout();
    assert!(due.is_none_or(|at| at > world.clock(node)), "{node}: {due:?} is over");
}

/// Both ends of everything agree, as each end says of itself and as the keys show. SAs that age may end meanwhile.
pub fn assert_agreement(world: &mut World, ages: bool) {
    assert_ike_sas(world);
    assert_children(world);
    (0..world.nodes.len()).for_each(|node| assert_not_stuck(world, node));
    // A protected message, opened both ways.
    for node in 0..world.nodes.len() {
        let handles: Vec<_> = world.endpoint(node).ike_sas().map(|(handle, _)| handle).collect();
        for handle in handles {
            let told = world.nodes[node].events.len();
            if let Err(error) = world.call(node, |e, now| e.check_liveness(now, handle)) {
                assert!(ages, "{error}");
                continue;
            }
            // It may cross a rekey, and be repeated; and a signature of the other end's may take its time.
            world.run_for_secs(if ages { 40 } else { 5 });
            let alive = |event: &Event| match event {
                Event::PeerAlive { sa, .. } => *sa == handle,
                Event::IkeSaDown { sa, .. } => ages && *sa == handle,
                _ => false,
            };
            let events = &world.nodes[node].events[told..];
            assert!(events.iter().any(alive), "{node}: no answer on {handle}: {events:?}");
        }
    }
}
