//! What was counted. Statistics are the one thing that a rejected datagram may change.

use crate::error::RejectionKind;

/// Counters since the endpoint was made; none of them ever shrinks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Datagrams given to the endpoint.
    pub datagrams_received: u64,
    /// Datagrams handed out, repeats included.
    pub datagrams_sent: u64,
    /// Datagrams that were lost because nobody polled.
    pub transmits_lost: u64,
    /// Requests and answers that were sent again.
    pub repeats_sent: u64,
    /// Messages that were sent in fragments for the first time, or in smaller ones (RFC 7383 §2.5.2).
    pub messages_fragmented: u64,
    /// Fragments that were authentic and new.
    pub fragments_received: u64,
    /// Messages that were whole when their last fragment came.
    pub messages_reassembled: u64,
    /// Messages that were given up because fragments never came.
    pub messages_incomplete: u64,
    /// Calls whose clock stood before an earlier one's; the earlier time was used.
    pub clock_went_back: u64,
    /// Requests for a new IKE SA that were let in.
    pub admitted: u64,
    /// Those of which a cookie was asked.
    pub cookies_sent: u64,
    /// Those that the embedder's admission refused.
    pub admissions_refused: u64,
    /// Those that were dropped because of a bound.
    pub admissions_ignored: u64,
    /// Half-open IKE SAs that gave way to a peer with a cookie.
    pub half_open_displaced: u64,
    /// IKE_AUTH requests that were dropped because the budget for expensive operations was used up.
    pub auth_requests_ignored: u64,
    /// Unprotected error answers that the rate limit held back.
    pub answers_withheld: u64,
    /// Times that anything was decrypted, successfully or not.
    pub decryptions: u64,
    /// Shared secrets computed.
    pub key_exchanges: u64,
    /// Peers that did not go on after IKE_SA_INIT.
    pub half_open_expired: u64,
    /// IKE SAs that were established.
    pub ike_sas_established: u64,
    /// Rekeys of IKE SAs, whoever began them.
    pub ike_sas_rekeyed: u64,
    /// IKE SAs that went to another endpoint.
    pub ike_sas_exported: u64,
    /// IKE SAs that came from another endpoint.
    pub ike_sas_imported: u64,
    /// Child SAs that were installed.
    pub child_sas_installed: u64,
    rejected: [u64; RejectionKind::ALL.len()],
}

/// One more. No counter wraps.
pub(crate) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

impl Statistics {
    /// How many datagrams were rejected for this reason.
    #[must_use]
    pub fn rejected(&self, kind: RejectionKind) -> u64 {
        self.rejected.get(kind as usize).copied().unwrap_or(0)
    }

    /// How many datagrams were rejected for any reason.
    #[must_use]
    pub fn rejected_in_all(&self) -> u64 {
        self.rejected.iter().sum()
    }

    pub(crate) fn count_rejection(&mut self, kind: RejectionKind) {
        if let Some(counter) = self.rejected.get_mut(kind as usize) {
            count(counter);
        }
    }
}
