//! What goes wrong about inner addresses (RFC 7296 §2.19, §3.15.4).

use alloc::vec::Vec;
use core::net::IpAddr;
use ikev2_wire::codes::NotifyType;
use thiserror::Error;

/// Why a Child SA does not come to be for want of configuration.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConfigFault {
    /// The peer asks for no inner address, and the connection gives traffic to none without; it is told FAILED_CP_REQUIRED.
    #[error("the peer did not ask for an inner address, which the connection requires")]
    NotAsked,
    /// There is no address for the peer; it is told INTERNAL_ADDRESS_FAILURE.
    #[error("there is no inner address for the peer, who asks for {}", List(.asked))]
    NoAddress {
        /// What it asks for; the unspecified address for any.
        asked: Vec<IpAddr>,
    },
    /// The pool or the embedder gave an address that another peer has.
    #[error("the inner address {0} was given out twice")]
    GivenTwice(IpAddr),
    /// The peer authenticated by EAP, which named nobody to give an address to; it is told INTERNAL_ADDRESS_FAILURE.
    #[error("EAP named nobody whom an inner address could be given to")]
    Unidentified,
    /// The peer answered without an inner address, which the connection requires.
    #[error("the peer gave no inner address; we asked for {}", List(.asked))]
    NotGiven {
        /// What we asked for.
        asked: Vec<IpAddr>,
    },
}

impl ConfigFault {
    /// What the peer is told where it is its request that fails.
    pub(crate) fn notify(&self) -> NotifyType {
        match self {
            Self::NotAsked => NotifyType::FAILED_CP_REQUIRED,
            _ => NotifyType::INTERNAL_ADDRESS_FAILURE,
        }
    }
}

struct List<'a>(&'a [IpAddr]);

impl core::fmt::Display for List<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, address) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match (address.is_unspecified(), address.is_ipv4()) {
                (true, true) => write!(f, "{comma}any IPv4 address")?,
                (true, false) => write!(f, "{comma}any IPv6 address")?,
                _ => write!(f, "{comma}{address}")?,
            }
        }
        Ok(())
    }
}
