//! Our half of a key exchange, and which method it is by: the first of the proposals that the provider has, or the
//! one that INVALID_KE_PAYLOAD names (RFC 7296 §1.2, §1.3).

use crate::error::Failure;
use crate::negotiation;
use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;
use ikev2_wire::Proposal;
use ikev2_wire::codes::KeMethod;
use ipsec_crypto::{CryptoProvider, PendingKeyExchange, SecureRandom};

/// Our half of a key exchange.
pub(crate) struct Half {
    pub method: KeMethod,
    pub pending: Box<dyn PendingKeyExchange>,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method)
    }
}

impl Half {
    /// By this method.
    pub(crate) fn start(
        crypto: &CryptoProvider,
        random: &mut dyn SecureRandom,
        method: KeMethod,
    ) -> Result<Self, Failure> {
        let algorithm = crypto.key_exchange(method).ok_or_else(|| Failure::Algorithm(method.to_string()))?;
        let pending = algorithm.start(random).map_err(|error| Failure::KeyExchange { method, error })?;
        Ok(Self { method, pending })
    }

    /// By the first method of the proposals that the provider has; `None` where there is none.
    pub(crate) fn first(
        crypto: &CryptoProvider,
        random: &mut dyn SecureRandom,
        offered: &[Proposal],
    ) -> Result<Option<Self>, Failure> {
        let known = |method: &KeMethod| crypto.key_exchange(*method).is_some();
        let method = negotiation::offered_ke(offered).into_iter().find(known);
        method.map(|method| Self::start(crypto, random, method)).transpose()
    }

    /// The same where the proposals cannot do without a key exchange: those of an IKE SA (§3.3.3).
    pub(crate) fn required(
        crypto: &CryptoProvider,
        random: &mut dyn SecureRandom,
        offered: &[Proposal],
    ) -> Result<Self, Failure> {
        let missing = || Failure::Algorithm("any key exchange method of the proposals".to_string());
        Self::first(crypto, random, offered)?.ok_or_else(missing)
    }

    /// By the method that the peer names in place of the one that was `sent`. One that was not offered, or was just
    /// sent, is of no use, and perhaps not from the peer at all.
    pub(crate) fn other(
        crypto: &CryptoProvider,
        random: &mut dyn SecureRandom,
        offered: &[Proposal],
        sent: Option<KeMethod>,
        wanted: KeMethod,
    ) -> Result<Self, Failure> {
        let offered = negotiation::offered_ke(offered);
        if sent == Some(wanted) || !offered.contains(&wanted) {
            return Err(Failure::KeMethodWanted { wanted, offered });
        }
        Self::start(crypto, random, wanted)
    }
}
