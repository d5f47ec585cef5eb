//! Redirects, as an initiator takes them (RFC 5685).
//!
//! A gateway sends its client to another one: in IKE_SA_INIT (§3), where the client's own nonce shows that it comes from
//! the path; in IKE_AUTH (§6) and later (§5), where it is authentic. Whoever the client is sent to must prove to be the
//! same peer as ever: a redirect changes an address, and nothing of what is asked of the peer.

use crate::error::{Failure, MoveError};
use crate::saved::{Restoring, Saving};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use ikev2_wire::GatewayId;
use ikev2_wire::codes::NotifyType;
use ipsec_types::Instant;

/// To whom a redirect leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Gateway {
    /// An address.
    Address(IpAddr),
    /// A domain name, which the embedder resolves
    /// ([`Endpoint::connect_redirected`](crate::Endpoint::connect_redirected)).
    Name(String),
}

impl Gateway {
    /// Whether a path can lead there from this address of ours, as far as addresses tell. Names are not resolved here.
    pub(crate) fn is_within_reach(&self, from: IpAddr) -> bool {
        match self {
            Self::Name(_) => true,
            Self::Address(to) => {
                let nobody = to.is_unspecified() || to.is_multicast() || *to == Ipv4Addr::BROADCAST;
                to.is_ipv4() == from.is_ipv4() && !nobody
            }
        }
    }
}

impl From<GatewayId<'_>> for Gateway {
    fn from(id: GatewayId<'_>) -> Self {
        match id {
            GatewayId::Address(address) => Self::Address(address),
            GatewayId::Name(name) => Self::Name(name.to_string()),
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What becomes of a redirect of an established IKE SA (§5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RedirectCourse {
    /// Another IKE SA is begun there to take the place of this one, as for
    /// [`Event::IkeSaReauthenticating`](crate::Event::IkeSaReauthenticating); instead of one that was on its way.
    Followed,
    /// The embedder resolves the name and begins it
    /// ([`Endpoint::connect_redirected`](crate::Endpoint::connect_redirected)).
    Named,
    /// It is not followed, and why. The IKE SA goes on until the peer deletes it.
    Refused(Box<Failure>),
}

/// How many redirects are followed in a row, so that gateways that send us to each other do not keep us for ever (§7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RedirectPolicy {
    /// So many. Default: 5, MAX_REDIRECTS.
    pub most: u32,
    /// In this time from the first. Default: 300 s, REDIRECT_LOOP_DETECT_PERIOD.
    pub within: Duration,
}

impl Default for RedirectPolicy {
    fn default() -> Self {
        Self { most: 5, within: Duration::from_secs(300) }
    }
}

/// What an IKE_SA_INIT request says of redirects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RedirectSupport {
    /// None is followed.
    #[default]
    None,
    /// REDIRECT_SUPPORTED (§9.1).
    Supported,
    /// REDIRECTED_FROM with the address of the gateway that sent us here (§9.3). It says the same (§3).
    From(IpAddr),
}

impl RedirectSupport {
    /// The notification, with its data.
    pub(crate) fn notify(self) -> Option<(NotifyType, alloc::vec::Vec<u8>)> {
        match self {
            Self::None => None,
            Self::Supported => Some((NotifyType::REDIRECT_SUPPORTED, alloc::vec::Vec::new())),
            Self::From(gateway) => Some((NotifyType::REDIRECTED_FROM, ikev2_wire::redirected_from(gateway))),
        }
    }
}

/// The redirects that led to an IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Redirected {
    /// Who sent us last.
    pub from: IpAddr,
    count: u32,
    /// When the first was followed.
    since: Instant,
}

impl Redirected {
    /// The first of them.
    pub(crate) fn first(from: IpAddr, now: Instant) -> Self {
        Self { from, count: 1, since: now }
    }

    pub(crate) fn save(&self, w: &mut Saving) {
        let Self { from, count, since } = self;
        w.put_address(*from);
        w.put_u32(*count);
        w.put_time(*since);
    }

    pub(crate) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        Ok(Self { from: r.address()?, count: r.u32()?, since: r.time()? })
    }

    /// One more after those that led here; `None` where there were too many.
    pub(crate) fn next(
        before: Option<&Self>,
        from: IpAddr,
        now: Instant,
        policy: &RedirectPolicy,
    ) -> Option<Self> {
        let recent = before.filter(|before| now.saturating_since(before.since) < policy.within);
        let (count, since) = recent.map_or((0, now), |before| (before.count, before.since));
        (count < policy.most).then(|| Self { from, count: count.saturating_add(1), since })
    }
}
