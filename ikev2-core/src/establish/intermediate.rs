//! What IKE_INTERMEDIATE adds to authentication (RFC 9242 §3.3.2): each of its messages enters IntAuth, and IntAuth the
//! octets that AUTH covers.
//!
//! | formula | here |
//! |---|---|
//! | `IntAuth_i1 = prf(SK_pi1, A_i1 \| P_i1)` | [`IntAuth::add`], the first time |
//! | `IntAuth_in = prf(SK_pin, IntAuth_i(n-1) \| A_in \| P_in)` | [`IntAuth::add`] |
//! | `IntAuth = IntAuth_iN \| IntAuth_rN \| IKE_AUTH_MID` | [`IntAuth::octets`] |
//!
//! SK_pi and SK_pr are those of the keys that protect the exchange: what it agrees on comes after. A message counts as
//! if it had never been fragmented.

use crate::exchange::exchanges::Role;
use crate::exchange::protect::MessageHead;
use crate::keys;
use alloc::vec::Vec;
use ikev2_wire::codes::PayloadType;
use ikev2_wire::{GenericHeader, Header};
use ipsec_crypto::PrfAlgorithm;
use ipsec_types::SecretBytes;

/// Where the header has its Length (RFC 7296 §3.1).
const LENGTH_AT: usize = 24;

/// A message as IntAuth sees it: A, from the header to the generic header of the SK payload, and P, what is inside. The
/// two lengths in A count A and P, and neither IV nor padding nor ICV.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Covered<'a> {
    head: Vec<u8>,
    inner: &'a [u8],
}

impl<'a> Covered<'a> {
    /// A message that came: everything in front of what is encrypted, whatever its lengths say, and what was decrypted.
    /// `None` where that is no message with an SK payload.
    #[must_use]
    pub fn received(mut head: Vec<u8>, inner: &'a [u8]) -> Option<Self> {
        let sk_length_at = head.len().checked_sub(2).filter(|at| *at >= Header::LEN + 2)?;
        let sk = u16::try_from(GenericHeader::LEN.checked_add(inner.len())?).ok()?;
        let all = u32::try_from(head.len().checked_add(inner.len())?).ok()?;
        head.get_mut(sk_length_at..)?.copy_from_slice(&sk.to_be_bytes());
        head.get_mut(LENGTH_AT..LENGTH_AT + 4)?.copy_from_slice(&all.to_be_bytes());
        Some(Self { head, inner })
    }

    /// A message that we make, with all its payloads inside SK; `first` is the type of the first.
    #[must_use]
    pub fn sent(head: &MessageHead, first: PayloadType, inner: &'a [u8]) -> Option<Self> {
        let mut octets = Header { next_payload: PayloadType::SK, ..head.header() }.to_bytes().to_vec();
        octets.extend_from_slice(&[first.0, 0, 0, 0]);
        Self::received(octets, inner)
    }
}

/// IntAuth so far, of both directions.
#[derive(Clone, Default, Debug)]
pub struct IntAuth {
    initiator: Option<SecretBytes>,
    responder: Option<SecretBytes>,
}

impl IntAuth {
    /// Adds the message of one direction: `sender` sent it, and `sk_p` is that end's.
    pub fn add(&mut self, prf: &dyn PrfAlgorithm, sender: Role, sk_p: &SecretBytes, message: &Covered<'_>) {
        let so_far = match sender {
            Role::Initiator => &mut self.initiator,
            Role::Responder => &mut self.responder,
        };
        let before = so_far.as_ref().map_or(&[][..], SecretBytes::as_slice);
        *so_far = Some(keys::int_auth(prf, sk_p, &[before, &message.head, message.inner]));
    }

    /// What follows in the octets that AUTH covers, at either end; `message_id` is that of the first IKE_AUTH request.
    /// Nothing where there was no IKE_INTERMEDIATE.
    #[must_use]
    pub fn octets(&self, message_id: u32) -> Vec<u8> {
        match (&self.initiator, &self.responder) {
            (Some(initiator), Some(responder)) => {
                [initiator.as_slice(), responder.as_slice(), &message_id.to_be_bytes()].concat()
            }
            _ => Vec::new(),
        }
    }
}
