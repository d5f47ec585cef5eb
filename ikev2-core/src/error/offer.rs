//! What we offered and a peer refused, for whoever has to compare it with the peer's configuration.

use crate::negotiation::{SelectorLists, TsList};
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::Proposal;

/// What we offered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Offer {
    /// Proposals, as they were sent.
    Proposals(Vec<Proposal>),
    /// Traffic selectors, as they were sent.
    Selectors(SelectorLists),
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proposals(proposals) => proposals.iter().try_for_each(|p| write!(f, "\n    {p}")),
            Self::Selectors(lists) => write!(f, " {} === {}", TsList(&lists.local), TsList(&lists.remote)),
        }
    }
}
