//! IKE SAs that move to another endpoint while they live, in some of the seeds.

use super::support::Dice;
use super::support::world::*;
use ikev2_core::{CallError, MoveError};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::state::StateKey;
use std::time::Duration;

/// Moves them, by dice of its own: what else happens in a seed does not depend on it before the first one moves.
pub struct Mover {
    dice: Dice,
    key: StateKey,
    /// Whether the first node's connections begin by themselves.
    starts: bool,
}

impl Mover {
    /// For one seed in four.
    pub fn of(seed: u64, starts: bool) -> Option<Self> {
        let key = StateKey::new(&RUSTCRYPTO, &[7; 32]).unwrap();
        (seed % 4 == 1).then(|| Self { dice: Dice::new(seed ^ 0x6D6F_7665), key, starts })
    }

    /// Now and then an IKE SA of some node moves: the only one to a new process, one of several out and in again.
    pub fn act(&mut self, world: &mut World) {
        if !self.dice.per_mille(300) {
            return;
        }
        let node = self.dice.below(world.nodes.len() as u64) as usize;
        let sas: Vec<_> = world.endpoint(node).ike_sas().map(|(handle, _)| handle).collect();
        let Some(sa) = self.dice.pick(&sas).copied() else { return };
        let sealed = match world.export(node, sa, &self.key) {
            Ok(sealed) => sealed,
            Err(error) => {
                let fine =
                    matches!(error, MoveError::Unsettled(_) | MoveError::Call(CallError::NotEstablished));
                assert!(fine, "{error}");
                return;
            }
        };
        let mut pause = Duration::ZERO;
        if sas.len() == 1 {
            // Before anything else is begun there, which could take the names of its Child SAs.
            world.restart(node, self.dice.next());
        } else {
            pause = Duration::from_millis(*self.dice.pick(&[0, 0, 5, 1_500]).unwrap());
            world.run_for(pause);
        }
        let import = |e: &mut ikev2_core::Endpoint, now| e.import(now, &self.key, &sealed, pause);
        world.call(node, import).unwrap();
        if sas.len() == 1 && node == A && self.starts {
            world.call(A, ikev2_core::Endpoint::start);
        }
    }
}
