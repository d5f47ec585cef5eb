//! An endpoint at every stage of a life, with a genuine message for it that it has not got yet.

use super::forge::Forger;
use super::setup::two;
use super::world::{A, B, Packet, World};
use ikev2_core::Role;
use ikev2_wire::codes::ExchangeType;
use ipsec_types::Path;

/// Two that are about to authenticate: the IKE_AUTH request, which B has not got yet, and the keys to alter it.
pub fn about_to_authenticate() -> (World, Forger, Packet) {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let request = world.take();
    let forger = Forger::new(&world.node(A).keys);
    (world, forger, request)
}

/// Where an endpoint can stand when a datagram comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Fresh,
    Initiating,
    HalfOpen,
    Authenticating,
    EstablishedInitiator,
    EstablishedResponder,
    Waiting,
    Deleting,
    Deleted,
}

pub const STAGES: [Stage; 9] = [
    Stage::Fresh,
    Stage::Initiating,
    Stage::HalfOpen,
    Stage::Authenticating,
    Stage::EstablishedInitiator,
    Stage::EstablishedResponder,
    Stage::Waiting,
    Stage::Deleting,
    Stage::Deleted,
];

/// A world with a node at that stage, the path by which its peer comes, and the last message for it that it has
/// not got.
pub fn at(stage: Stage) -> (World, usize, Path, Vec<u8>) {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let (node, deliveries) = match stage {
        Stage::Fresh => (B, 0),
        Stage::Initiating => (A, 1),
        Stage::HalfOpen => (B, 2),
        Stage::Authenticating => (A, 3),
        _ => (if stage == Stage::EstablishedResponder { B } else { A }, 4),
    };
    for _ in 0..deliveries {
        world.deliver_next();
    }
    let sa = world.endpoint(A).ike_sas().next().unwrap().0;
    match stage {
        Stage::EstablishedInitiator => {
            let at_b = world.handle(B);
            world.call(B, |e, now| e.check_liveness(now, at_b)).unwrap();
        }
        Stage::EstablishedResponder => world.call(A, |e, now| e.check_liveness(now, sa)).unwrap(),
        Stage::Waiting => {
            world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
            world.deliver_next();
        }
        Stage::Deleting | Stage::Deleted => {
            world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
            world.deliver_next();
            if stage == Stage::Deleted {
                world.run();
                world.call(B, |_, _| ());
                let last = payloads_of_last(&world);
                return (world, A, path_to(A), last);
            }
        }
        _ => {}
    }
    let message = world.take();
    let (to, path) = world.route(&message).unwrap();
    assert_eq!(to, node, "{stage:?}");
    (world, node, path, message.message().to_vec())
}

fn path_to(node: usize) -> Path {
    let ends = ["192.0.2.1:500", "192.0.2.2:500"];
    Path::ike(ends[node].parse().unwrap(), ends[1 - node].parse().unwrap())
}

/// Something that was authentic once, for an SA that is gone: an empty header of it.
fn payloads_of_last(world: &World) -> Vec<u8> {
    let line = world.node(A).keys.ike_lines().pop().unwrap();
    let mut forger = Forger::from_line(&line);
    let head = forger.head(Role::Responder, ExchangeType::INFORMATIONAL, 0, false);
    forger.seal(&head, &[])
}
