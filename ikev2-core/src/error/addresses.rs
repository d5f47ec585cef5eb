//! What goes wrong where an IKE SA moves to other addresses (RFC 4555).

use super::Failure;
use alloc::boxed::Box;
use core::net::SocketAddr;
use ikev2_wire::codes::NotifyType;
use ipsec_types::Path;
use thiserror::Error;

/// Why an IKE SA does not move.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AddressFault {
    /// The peer asks to move to addresses that our policy does not allow; it is told UNACCEPTABLE_ADDRESSES.
    #[error("the peer wants to move to {path}, which our policy does not accept")]
    Unacceptable {
        /// Where its request came from and to.
        path: Path,
    },
    /// The peer takes none of the addresses that we tried.
    #[error("the peer does not accept the addresses of {path}, nor of any other path ({tried} tried)")]
    Refused {
        /// The last path that was tried.
        path: Path,
        /// How many were.
        tried: usize,
    },
    /// The peer forbids NATs, and its request came by other addresses than it says; it is told UNEXPECTED_NAT_DETECTED.
    #[error("a NAT, which the peer forbids: it sent from {} to {}, what came is of {seen}", Known(.said.map(|s| s.0)), Known(.said.map(|s| s.1)))]
    UnexpectedNat {
        /// From where to where the peer says that it sent; `None` where that is of another version of IP or malformed.
        said: Option<(SocketAddr, SocketAddr)>,
        /// What came.
        seen: Path,
    },
    /// We forbid NATs, and the peer saw one each time.
    #[error("the peer saw a NAT on {path}, which the policy forbids, {tries} times in a row")]
    NatForbidden {
        /// Where we went.
        path: Path,
        /// How often we asked.
        tries: u32,
    },
    /// An answer does not return our COOKIE2: whoever answers may not have seen the request (RFC 4555 §3.7).
    #[error("the answer has {} in place of our COOKIE2 of 16 octets", match .got { None => "nothing", Some(_) => "something else" })]
    Cookie2 {
        /// Octets of what it has; `None` for nothing.
        got: Option<usize>,
    },
    /// Our address is gone, and none of the others fits an address of the peer's.
    #[error("no address of ours is left that leads to one of the peer's")]
    NoPath,
}

impl AddressFault {
    /// What the peer is told where it is its request that fails.
    pub(crate) fn notify(&self) -> NotifyType {
        match self {
            Self::UnexpectedNat { .. } => NotifyType::UNEXPECTED_NAT_DETECTED,
            _ => NotifyType::UNACCEPTABLE_ADDRESSES,
        }
    }
}

impl From<AddressFault> for Failure {
    fn from(fault: AddressFault) -> Self {
        Self::Addresses(Box::new(fault))
    }
}

/// An end, if it could be read.
struct Known(Option<SocketAddr>);

impl core::fmt::Display for Known {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(end) => core::fmt::Display::fmt(&end, f),
            None => f.write_str("somewhere"),
        }
    }
}
