//! Checkpoints: what a standby may go on with when this engine is gone without a word.
//!
//! A sequence number must not be used twice, since it is what nonces are made of. So what sends here and what a standby may
//! send have a number between them, the ceiling: nothing is sent here above it, and nothing there below. It rises only
//! when the standby is known to have a later checkpoint.
//!
//! ```text
//!  numbers  0 ......... last ........................ ceiling ........................ next ceiling ........>
//!                       |<-- this engine sends, now -->|<-- and when it is confirmed -->|
//!                                                      |<-- a standby with the first checkpoint sends ------>
//!                                                                                       |<-- with the second
//! ```

use super::Engine;
use super::entry::Outbound;
use crate::error::MoveError;
use alloc::vec::Vec;
use ipsec_crypto::state::{StateKey, StateKind};
use ipsec_types::Instant;
use ipsec_types::sa::ChildSaId;

/// A receiver tells the high half of 64-bit numbers as long as fewer than 2^32 are left out (RFC 4303 Appendix A2).
const LONGEST_LEAP: u64 = 1 << 31;

/// What a standby is to be given.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "the pair is held to it"]
pub struct Checkpoint {
    /// The container for [`Engine::import`].
    pub sealed: Vec<u8>,
    /// The last number that is not the standby's; 0 for a pair that sends nothing. It is what
    /// [`Engine::confirm_checkpoint`] takes.
    pub ceiling: u64,
}

impl Engine {
    /// Makes a container of a pair of SAs that goes on here, for a standby that [imports](Engine::import) it when this
    /// engine is gone.
    ///
    /// The standby sends its first packet with a number that is more than `leap` above the last one here, and here no
    /// number above that is given from now on: [`SealError::CheckpointDue`](crate::SealError::CheckpointDue). For the
    /// pair's first checkpoint this holds at once; a further one raises the ceiling when it is
    /// [confirmed](Engine::confirm_checkpoint). So `leap` is to be some times as many packets as are sent from one
    /// checkpoint to the next; those that are left out do no harm, but 32-bit numbers have few of them. More than 2^31
    /// counts as that.
    ///
    /// What this does not know, and the embedder sees to: of all checkpoints of a pair one is imported, once, by one
    /// engine, and the others are thrown away then.
    ///
    /// The standby takes nothing that is not newer than the newest packet here. What is received here later than the
    /// checkpoint it does not know: who recorded that can have it received once more there (RFC 4303 §3.4.3 has no
    /// answer to that), so checkpoints are to be taken as often as that is worth. Lifetimes go on from the checkpoint,
    /// with numbers as if all of `leap` had been sent, and octets as if nothing had. The IKE SA is another matter:
    /// `ikev2_core::Endpoint` gives none to a standby.
    ///
    /// # Errors
    /// [`MoveError::NotInstalled`], [`MoveError::KeysNotKept`], [`MoveError::State`]; nothing has changed then.
    pub fn checkpoint(
        &mut self,
        now: Instant,
        id: ChildSaId,
        key: &StateKey,
        leap: u64,
    ) -> Result<Checkpoint, MoveError> {
        let now = self.clock(now);
        let is_first = |entry: &Outbound| entry.checkpoint == 0 && entry.sa.ceiling().is_none();
        let ceiling = self.outbound.get(&id).map(|entry| {
            // What may be sent here under a checkpoint before this one is not the standby's.
            let held = if is_first(entry) { 0 } else { entry.sa.limit() };
            entry.sa.leap(leap.min(LONGEST_LEAP), true).max(held)
        });
        let state = self.write_pair(now, id, ceiling, true)?;
        let sealed = key.seal(StateKind::CHILD_SA, state.as_slice())?;
        let (Some(entry), Some(ceiling)) = (self.outbound.get_mut(&id), ceiling) else {
            return Ok(Checkpoint { sealed, ceiling: 0 });
        };
        if is_first(entry) {
            entry.sa.hold(ceiling);
        }
        entry.checkpoint = entry.checkpoint.max(ceiling);
        Ok(Checkpoint { sealed, ceiling })
    }

    /// The standby has this checkpoint, and none before it can be imported any more: here numbers up to its ceiling may
    /// be given.
    ///
    /// # Errors
    /// [`MoveError::NotInstalled`]; [`MoveError::NoSuchCheckpoint`] for a ceiling above that of each checkpoint.
    pub fn confirm_checkpoint(&mut self, id: ChildSaId, ceiling: u64) -> Result<(), MoveError> {
        let receives = self.inbound_entry(id).is_some();
        let Some(entry) = self.outbound.get_mut(&id) else {
            return if receives && ceiling == 0 { Ok(()) } else { Err(MoveError::NotInstalled(id)) };
        };
        if ceiling > entry.checkpoint {
            return Err(MoveError::NoSuchCheckpoint { id, ceiling });
        }
        if entry.sa.ceiling().is_some_and(|held| held < ceiling) {
            entry.sa.hold(ceiling);
        }
        Ok(())
    }
}
