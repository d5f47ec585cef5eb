//! The security policy database (RFC 4301 §4.4.1): ordered entries, of which the first that matches a packet says
//! what becomes of it. What none matches is discarded.
//!
//! ```
//! use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry};
//! use ipsec_types::sa::PolicyId;
//! use ipsec_types::{PortRange, TrafficSelector};
//!
//! let all = || vec![TrafficSelector::ALL_V4, TrafficSelector::ALL_V6];
//! let ike = |selector| TrafficSelector { protocol: 17, ports: PortRange::single(500), ..selector };
//! let spd = Spd::new(vec![
//!     SpdEntry {
//!         action: Action::Bypass,
//!         applies: Applies::BothWays,
//!         local: all().into_iter().map(ike).collect(),
//!         remote: all(),
//!     },
//!     SpdEntry {
//!         action: Action::Protect(PolicyId(1)),
//!         applies: Applies::BothWays,
//!         local: all(),
//!         remote: all(),
//!     },
//! ])?;
//! # Ok::<(), ipsec_esp::spd::SpdError>(())
//! ```

use crate::ip::IpHeader;
use crate::selectors::{self, SelectorFault};
use alloc::vec::Vec;
use ipsec_types::TrafficSelector;
use ipsec_types::sa::{Direction, PolicyId};
use thiserror::Error;

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Only by an SA of this policy ([`ipsec_types::sa::ChildSa::policy`]). Where there is none, IKE is asked for one.
    Protect(PolicyId),
    /// Passes as it is.
    Bypass,
    /// Dropped.
    Discard,
}

/// Which packets an entry is for. Entries for one way are the SPD-O and the SPD-I of RFC 4301 §4.4.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Applies {
    /// Those that are sent and those that are received.
    #[default]
    BothWays,
    /// Those that are sent.
    Outbound,
    /// Those that are received.
    Inbound,
}

/// One entry: each selector of one side goes with each of the other (RFC 4301 §4.4.1.2).
///
/// A packet that shows no ports, as a fragment that is not the first, matches selectors with ANY or OPAQUE ports
/// alone (RFC 4301 §7): an entry that lets some ports pass never lets such a fragment pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpdEntry {
    /// What becomes of its packets.
    pub action: Action,
    /// Which way they go.
    pub applies: Applies,
    /// Our side: the source of what is sent, the destination of what is received.
    pub local: Vec<TrafficSelector>,
    /// The other side.
    pub remote: Vec<TrafficSelector>,
}

/// Why there is no such policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("entry {entry}: {fault}")]
pub struct SpdError {
    /// Which entry, counted from 0.
    pub entry: usize,
    /// What is wrong with it.
    pub fault: SelectorFault,
}

/// The ordered entries.
///
/// Their number is the embedder's to bound; a packet of a flow that was not seen lately is held against each in
/// turn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spd(Vec<SpdEntry>);

impl Spd {
    /// The entries, the first the most important.
    ///
    /// # Errors
    /// [`SpdError`] names the first entry that could never match, or means different things for different
    /// protocols.
    pub fn new(entries: Vec<SpdEntry>) -> Result<Self, SpdError> {
        for (at, entry) in entries.iter().enumerate() {
            selectors::check(&entry.local, &entry.remote).map_err(|fault| SpdError { entry: at, fault })?;
        }
        Ok(Self(entries))
    }

    /// What becomes of the packet: the first entry that matches, else [`Action::Discard`].
    #[must_use]
    pub fn find(&self, packet: &IpHeader, direction: Direction) -> Action {
        let mut entries = self.0.iter();
        entries.find(|entry| entry.matches(packet, direction)).map_or(Action::Discard, |entry| entry.action)
    }

    /// The entries in their order.
    #[must_use]
    pub fn entries(&self) -> &[SpdEntry] {
        &self.0
    }
}

impl SpdEntry {
    /// Whether it is for such a packet.
    #[must_use]
    pub fn matches(&self, packet: &IpHeader, direction: Direction) -> bool {
        let this_way = match self.applies {
            Applies::BothWays => true,
            Applies::Outbound => direction == Direction::Outbound,
            Applies::Inbound => direction == Direction::Inbound,
        };
        this_way && selectors::match_sides(&self.local, &self.remote, packet, direction)
    }
}
