//! One generation of an IKE SA: what each rekey makes anew (RFC 7296 §2.18), that is roles, SPIs, keys, Message
//! IDs and windows. Everything else lives on from one generation to the next.

use super::Purpose;
use crate::error::Failure;
use crate::event::Role;
use crate::exchange::exchanges::Exchanges;
use ipsec_types::IkeSpi;

/// One generation.
#[derive(Debug)]
pub(crate) enum Generation {
    /// There are no keys yet, or none with one that proved to be the peer.
    Unkeyed {
        /// Which end began it.
        role: Role,
        /// Our SPI; the peer's is not certain.
        local_spi: IkeSpi,
    },
    /// There are keys. A rekey gives the role of the initiator to who began the rekey (§2.18).
    Keyed(Exchanges<Purpose>),
}

impl Generation {
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Unkeyed { role, .. } => *role,
            Self::Keyed(exchanges) => exchanges.ends().role,
        }
    }

    pub(crate) fn local_spi(&self) -> IkeSpi {
        match self {
            Self::Unkeyed { local_spi, .. } => *local_spi,
            Self::Keyed(exchanges) => exchanges.ends().local_spi(),
        }
    }

    /// Its exchanges, once there are keys.
    pub(crate) fn exchanges(&self) -> Option<&Exchanges<Purpose>> {
        match self {
            Self::Unkeyed { .. } => None,
            Self::Keyed(exchanges) => Some(exchanges),
        }
    }

    /// The same, to use.
    pub(crate) fn keyed(&mut self) -> Result<&mut Exchanges<Purpose>, Failure> {
        match self {
            Self::Unkeyed { .. } => Err(Failure::NoKeys),
            Self::Keyed(exchanges) => Ok(exchanges),
        }
    }

    /// What our requests in flight are for.
    pub(crate) fn purposes(&self) -> impl Iterator<Item = &Purpose> {
        self.exchanges().into_iter().flat_map(|exchanges| exchanges.requests().purposes())
    }
}
