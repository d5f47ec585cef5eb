//! Whom a responder lets in (RFC 7296 §2.6, RFC 8019): what becomes of a request for a new IKE SA, decided
//! before it costs more than reading it.
//!
//! Our own decision follows the bounds of [`EndpointConfig`](crate::EndpointConfig). In this order:
//!
//! 1. a cookie is asked of who brings none, as [`CookiePolicy`](crate::CookiePolicy) says, where many IKE SAs of
//!    its source are half open, and where the budget for expensive operations runs low;
//! 2. the request is dropped while that budget is used up, or there is no room for another IKE SA;
//! 3. it is let in.
//!
//! Who is let in while the half-open IKE SAs are as many as may be, in all or of its source, takes the place of
//! the oldest of them, if it brought a cookie and that one has had its
//! [`half_open_grace`](crate::EndpointConfig::half_open_grace): a peer that is there goes on within a round trip,
//! and so a table full of IKE SAs that nobody goes on with keeps nobody out for longer than that.
//!
//! An embedder that knows more than we do sets [`Hooks::admission`](crate::Hooks::admission).

use crate::error::Bound;
use core::fmt::Debug;
use ikev2_wire::codes::NotifyType;
use ipsec_types::Path;

/// What becomes of a request for a new IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Admission {
    /// It is answered, and the IKE SA is half open then.
    Accept,
    /// A cookie is asked for. Nothing is kept.
    Cookie,
    /// It is answered with this error, unprotected and within
    /// [`EndpointConfig::max_error_answers_per_second`](crate::EndpointConfig::max_error_answers_per_second).
    /// Nothing is kept. Some initiators give up at once then.
    Refuse(NotifyType),
    /// It is dropped, and the peer repeats it.
    Ignore(Bound),
}

/// What is known of a request for a new IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AdmissionFacts {
    /// By which path it came.
    pub path: Path,
    /// Whether it brings a cookie of ours: the initiator receives where it seems to send from.
    pub cookie_verified: bool,
    /// How many IKE SAs are half open.
    pub half_open: usize,
    /// How many of them are of the same source: an IPv4 address, or an IPv6 prefix of
    /// [`EndpointConfig::source_prefix`](crate::EndpointConfig::source_prefix).
    pub half_open_from_source: usize,
    /// How many IKE SAs there are, half-open ones included.
    pub ike_sas: usize,
    /// How many expensive operations first requests may still cost now.
    pub operations_left: u32,
}

/// Decides on requests for new IKE SAs in an embedder's stead.
pub trait AdmissionPolicy: Send + Sync + Debug {
    /// What becomes of a request. `usual` is what would become of it without this hook, and a good answer
    /// wherever the embedder does not know better.
    ///
    /// Whatever it says, [`max_half_open`](crate::EndpointConfig::max_half_open),
    /// [`max_half_open_from_source`](crate::EndpointConfig::max_half_open_from_source) and
    /// [`max_ike_sas`](crate::EndpointConfig::max_ike_sas) hold.
    fn admit(&self, facts: &AdmissionFacts, usual: Admission) -> Admission;
}
