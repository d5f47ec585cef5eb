//! What can go wrong with messages in fragments (RFC 7383 §2.6).

use super::Fault;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;
use ikev2_wire::codes::ExchangeType;
use thiserror::Error;

/// Why a fragment is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum FragmentFault {
    /// The two ends did not agree to fragment (RFC 7383 §2.3).
    #[error("a fragment, and fragmentation was not agreed")]
    NotAgreed,
    /// It is kept already.
    #[error("fragment {number} is there already")]
    Held {
        /// Its number.
        number: u16,
    },
    /// Its message began anew in smaller fragments.
    #[error("a fragment of {total} in all, of a message that now comes in {by}")]
    Replaced {
        /// Its Total Fragments.
        total: u16,
        /// That of the fragments that are kept.
        by: u16,
    },
    /// Its request is whole already, and fragment 1 alone asks for the answer again (§2.6.1).
    #[error("fragment {number} of a request that is whole already")]
    Answered {
        /// Its number.
        number: u16,
    },
}

/// A message of the peer's of which some fragments never came.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Error)]
pub struct Incomplete {
    /// Its exchange type.
    pub exchange: ExchangeType,
    /// Its Message ID.
    pub message_id: u32,
    /// Whether it would have been an answer.
    pub is_response: bool,
    /// How many fragments came.
    pub received: u16,
    /// How many there are.
    pub total: u16,
    /// The numbers of those that did not come, in order.
    pub missing: Vec<RangeInclusive<u16>>,
    /// Octets of those that came, headers included, without the non-ESP marker.
    pub octets: usize,
    /// Octets of the largest of them: the path takes as many at least.
    pub largest: usize,
}

impl Incomplete {
    /// Who has to change something: the path, which loses fragments or is too narrow for them. All that came was
    /// authentic.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Environment
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange, message_id, received, total, octets, largest, .. } = self;
        let kind = if self.is_response { "answer" } else { "request" };
        write!(f, "{received} of {total} fragments came of the {exchange} {kind} {message_id}, ")?;
        write!(f, "{octets} octets, the largest with {largest}; missing: ")?;
        const SHOWN: usize = 16;
        for (at, run) in self.missing.iter().take(SHOWN).enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            match (run.start(), run.end()) {
                (first, last) if first == last => write!(f, "{separator}{first}")?,
                (first, last) => write!(f, "{separator}{first} to {last}")?,
            }
        }
        if self.missing.len() > SHOWN {
            f.write_str(" and more")?;
        }
        Ok(())
    }
}
