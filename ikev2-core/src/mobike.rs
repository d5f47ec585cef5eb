//! How an IKE SA follows addresses that change (RFC 4555, MOBIKE).
//!
//! The end that began the IKE SA decides between which addresses it runs; the embedder tells what there is
//! ([`Endpoint::set_local_addresses`](crate::Endpoint::set_local_addresses)) or decides itself
//! ([`Endpoint::move_ike_sa`](crate::Endpoint::move_ike_sa)). The IKE SA and all its Child SAs move in one step, told by
//! [`Event::Moved`](crate::Event::Moved), once the peer has agreed.

use crate::exchange::retransmit::RetransmitPolicy;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipsec_types::AddressRange;

/// When a responder makes sure that the peer really receives at the address that it moves to (RFC 4555 §3.7): by a
/// request with an unpredictable value, which the peer must return.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Routability {
    /// Before anything is sent there by the Child SAs, as RFC 4555 §3.5 recommends: a peer cannot make us flood
    /// somebody else.
    #[default]
    Before,
    /// Afterwards: nothing is lost meanwhile, and a peer that does not answer is given up like any other.
    After,
    /// Never, for peers that are trusted to say the truth.
    Never,
}

/// What an end allows and does where both do MOBIKE.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MobikePolicy {
    /// When a responder checks that the peer is where it says. Default: before the Child SAs move.
    pub routability: Routability,
    /// Where the peer may be; `None` for anywhere. As responder we answer UNACCEPTABLE_ADDRESSES elsewhere, as initiator
    /// we go nowhere else. Default: `None`.
    pub acceptable: Option<Vec<AddressRange>>,
    /// Whether the peer is told that no NAT may be between (NO_NATS_ALLOWED, RFC 4555 §3.9), in IKE_AUTH and whenever
    /// the IKE SA moves. A peer that says so is believed whatever this is. Default: no.
    pub no_nats: bool,
    /// How many further addresses of the peer's are kept, and how many of ours it is told. Default: 8. Worst case: 17
    /// octets each.
    pub max_addresses: usize,
    /// After how many transmissions without an answer the initiator tries other paths: what is repeated goes by those
    /// too, and the one that an answer comes by is used (RFC 4555 §3.10). Default: 2.
    pub probe_after: u32,
    /// By how many other paths at most a message is repeated at once, the next ones in turn. Default: 8; 0 for never.
    pub max_probes: usize,
    /// How often the initiator asks again where the peer saw a NAT that was forbidden (RFC 4555 §3.9). Default: 4.
    pub nat_retries: u32,
    /// Repeats of the responder's requests, in place of [`Connection::retransmit`](crate::Connection::retransmit): the
    /// initiator must have time to find another path, "at least five minutes" (RFC 4555 §3.11). Default: ten repeats over
    /// 315 s.
    pub patience: RetransmitPolicy,
}

impl Default for MobikePolicy {
    fn default() -> Self {
        Self {
            routability: Routability::default(),
            acceptable: None,
            no_nats: false,
            max_addresses: 8,
            probe_after: 2,
            max_probes: 8,
            nat_retries: 4,
            patience: RetransmitPolicy { repeats: 10, ..RetransmitPolicy::default() },
        }
    }
}

impl MobikePolicy {
    /// Whether the peer may be at this address.
    #[must_use]
    pub fn accepts(&self, address: IpAddr) -> bool {
        self.acceptable.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_responder_is_patient_for_more_than_five_minutes() {
        let policy = MobikePolicy::default().patience;
        let total: Duration = (0..=policy.repeats).map(|n| policy.pause(n)).sum();
        assert_eq!(total.as_secs(), 315);
    }
}
