//! From both halves of the key exchange to the keys of the IKE SA (RFC 7296 §2.14).

use super::intermediate::Intermediates;
use crate::contents::Contents;
use crate::event::NatStatus;
use crate::exchange::datagram::Datagram;
use crate::exchange::exchanges::{Ends, Exchanges, Role};
use crate::exchange::protect::Protection;
use crate::keys::{self, IkeKeys, Nonces};
use crate::negotiation::{AdditionalExchanges, IkeChoice};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::{HashAlgorithm, KeMethod, PrfId, TransformType};
use ikev2_wire::{Message, Transform};
use ipsec_crypto::{CipherAlgorithm, CryptoProvider, KxError, PendingKeyExchange, PrfAlgorithm};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{Path, SecretBytes};

/// The algorithms of an IKE SA, found in the provider.
#[derive(Clone, Copy, Debug)]
pub struct IkeAlgorithms {
    /// What protects messages.
    pub cipher: &'static dyn CipherAlgorithm,
    /// What derives keys.
    pub prf: &'static dyn PrfAlgorithm,
    /// The key exchange method that was used.
    pub ke: KeMethod,
    /// The key exchanges after that one (RFC 9370).
    pub additional: AdditionalExchanges,
}

impl IkeAlgorithms {
    /// Finds those that were chosen.
    ///
    /// # Errors
    /// The name of the one that the provider lacks.
    pub fn of(provider: &'static CryptoProvider, choice: &IkeChoice) -> Result<Self, String> {
        let lacks = |method: &KeMethod| provider.key_exchange(*method).is_none();
        match choice.additional.methods().find(lacks) {
            Some(method) => Err(method.to_string()),
            None => {
                let found = Self::find(provider, choice.cipher, choice.prf, choice.ke)?;
                Ok(Self { additional: choice.additional, ..found })
            }
        }
    }

    /// Finds them, where there is one key exchange alone.
    ///
    /// # Errors
    /// The name of the one that the provider lacks.
    pub fn find(
        provider: &'static CryptoProvider,
        suite: CipherSuite,
        prf: PrfId,
        ke: KeMethod,
    ) -> Result<Self, String> {
        let cipher = provider.cipher(suite).filter(|c| c.for_ike()).ok_or_else(|| suite.to_string())?;
        let prf = provider.prf(prf).ok_or_else(|| prf.to_string())?;
        Ok(Self { cipher, prf, ke, additional: AdditionalExchanges::NONE })
    }
}

/// What IKE_SA_INIT agreed, and what IKE_AUTH has to prove.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// The algorithms.
    pub algorithms: IkeAlgorithms,
    /// Both SPIs, and which end we are.
    pub ends: Ends,
    /// Ni.
    pub initiator_nonce: Vec<u8>,
    /// Nr.
    pub responder_nonce: Vec<u8>,
    /// RealMessage1: the request as it was finally sent.
    pub request: Datagram,
    /// RealMessage2: the answer.
    pub answer: Datagram,
    /// The hashes that the peer announced, where both sides announced any: signatures are then of method 14
    /// alone (RFC 7427 §3).
    pub peer_hashes: Option<Vec<HashAlgorithm>>,
    /// Whether the responder offers an IKE SA that begins without a Child SA (RFC 6023).
    pub childless: bool,
    /// Whether both ends do IKE_INTERMEDIATE (RFC 9242 §3.1).
    pub intermediate: bool,
}

impl Agreement {
    /// Both nonces.
    #[must_use]
    pub fn nonces(&self) -> Nonces<'_> {
        Nonces { initiator: &self.initiator_nonce, responder: &self.responder_nonce }
    }

    /// The transform of this type that was agreed on, as it stands in the answer: that of another protocol's own
    /// ([`IkeProposal::with_others`](crate::negotiation::IkeProposal::with_others)) too.
    #[must_use]
    pub fn transform(&self, ty: TransformType) -> Option<Transform> {
        let message = Message::parse(self.answer.message()).ok()?;
        let contents = Contents::read(message.payloads()).ok()?;
        let chosen = contents.sa?.proposals().next()?.to_owned();
        chosen.of_type(ty).next().cloned()
    }

    /// The keys from the shared secret, and the message protection of our role.
    ///
    /// # Errors
    /// `None` where provider and algorithm disagree about lengths, which a sound provider does not.
    #[must_use]
    pub fn keys(&self, shared: &SecretBytes) -> Option<(IkeKeys, Protection)> {
        self.expand(&keys::skeyseed(self.algorithms.prf, self.nonces(), shared))
    }

    /// The keys after an additional key exchange, and the message protection of our role (RFC 9370 §2.2.2).
    ///
    /// # Errors
    /// As of [`Agreement::keys`].
    #[must_use]
    pub fn keys_after(&self, before: &IkeKeys, shared: &SecretBytes) -> Option<(IkeKeys, Protection)> {
        self.expand(&keys::additional_skeyseed(self.algorithms.prf, &before.d, shared, self.nonces()))
    }

    fn expand(&self, seed: &SecretBytes) -> Option<(IkeKeys, Protection)> {
        let IkeAlgorithms { cipher, prf, .. } = self.algorithms;
        let Ends { role, initiator_spi, responder_spi } = self.ends;
        let keys = IkeKeys::derive(prf, cipher, seed, self.nonces(), initiator_spi, responder_spi)?;
        let protection = protection(cipher, &keys, role)?;
        Some((keys, protection))
    }
}

/// The message protection of one end.
#[must_use]
pub fn protection(cipher: &dyn CipherAlgorithm, keys: &IkeKeys, role: Role) -> Option<Protection> {
    let (i2r, r2i) = (keys.initiator_to_responder(), keys.responder_to_initiator());
    match role {
        Role::Initiator => Protection::new(cipher, &i2r, &r2i).ok(),
        Role::Responder => Protection::new(cipher, &r2i, &i2r).ok(),
    }
}

/// IKE_SA_INIT is over: both ends have keys, and neither has proved who it is.
#[derive(Debug)]
pub struct Secured<P> {
    /// What was agreed.
    pub agreement: Agreement,
    /// The keys.
    pub keys: IkeKeys,
    /// The exchanges from here on: those of IKE_INTERMEDIATE, and then the one that authenticates. `P` is what a
    /// request is for.
    pub exchanges: Exchanges<P>,
    /// Where those of IKE_INTERMEDIATE stand.
    pub intermediates: Intermediates,
    /// What NAT detection found.
    pub nat: NatStatus,
    /// By which everything goes on.
    pub path: Path,
}

/// A responder's shared secret. With Diffie-Hellman it is computed only when IKE_AUTH shows that the
/// initiator got our answer; with a KEM the answer holds it already.
pub enum ResponderSecret {
    /// Known.
    Ready(SecretBytes),
    /// Our half and the peer's data.
    Postponed {
        /// Our half.
        exchange: Box<dyn PendingKeyExchange>,
        /// KEi's data.
        peer: Vec<u8>,
    },
}

impl ResponderSecret {
    /// Whether the work is still to be done.
    #[must_use]
    pub fn is_postponed(&self) -> bool {
        matches!(self, Self::Postponed { .. })
    }

    /// The secret, computed if it was not.
    ///
    /// # Errors
    /// [`KxError`] where the peer's data is no valid public value.
    pub fn compute(self) -> Result<SecretBytes, KxError> {
        match self {
            Self::Ready(secret) => Ok(secret),
            Self::Postponed { exchange, peer } => exchange.finish(&peer),
        }
    }
}

impl fmt::Debug for ResponderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Postponed { .. } => "Postponed",
        })
    }
}
