//! Why an IKE SA does not leave, or is not taken in.

use super::CallError;
use alloc::string::String;
use ikev2_wire::codes::ExchangeType;
use ipsec_crypto::state::StateError;
use ipsec_types::sa::{ChildSaId, PolicyId};
use ipsec_types::{EspSpi, IkeSpi};
use thiserror::Error;

/// What an IKE SA has under way, so that it can't move before that is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Unsettled {
    /// A request of ours has no answer yet.
    #[error("our {0} request is out")]
    RequestOut(ExchangeType),
    /// Key exchanges are still to follow a CREATE_CHILD_SA of the peer's (RFC 9370).
    #[error("additional key exchanges of the peer's are under way")]
    KeyExchanges,
    /// A request of ours waits for its turn.
    #[error("a request of ours waits for its turn")]
    RequestWaits,
    /// The embedder owes an answer.
    #[error("the embedder's answer to a ticket is due")]
    Ticket,
    /// Another IKE SA is to take the place of this one, or this one that of another.
    #[error("one IKE SA takes the place of another")]
    Renewal,
}

/// An IKE SA that could not be exported or imported. Nothing changed then.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The SA is not there or not established, or a bound is reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It does not stand still: try again when that is over, which takes no longer than its exchange.
    #[error("the IKE SA can't move now: {0}")]
    Unsettled(#[from] Unsettled),
    /// The container was forged or damaged, sealed by another key, of another kind or version; or what is inside makes no
    /// sense.
    #[error(transparent)]
    State(#[from] StateError),
    /// The provider lacks an algorithm that it uses.
    #[error("the crypto provider has no {0}")]
    Algorithm(String),
    /// It belongs to a connection that the configuration has not.
    #[error("there is no connection `{0}`")]
    NoSuchConnection(String),
    /// The connection has other identities than those that were authenticated.
    #[error("the connection `{0}` is not for these identities")]
    Identities(String),
    /// The connection has no child for the policy of one of its Child SAs.
    #[error("the connection `{connection}` has no child for the policy {policy:?}")]
    NoSuchChild {
        /// The connection.
        connection: String,
        /// The policy.
        policy: PolicyId,
    },
    /// An IKE SA here has this SPI.
    #[error("the SPI {0} is in use")]
    IkeSpiInUse(IkeSpi),
    /// A Child SA here has this SPI.
    #[error("the SPI {0} of a Child SA is in use")]
    EspSpiInUse(EspSpi),
    /// A Child SA here has this name.
    #[error("there is a Child SA {0:?} already")]
    ChildInUse(ChildSaId),
    /// The same container was imported here before.
    #[error("this container was imported before")]
    AlreadyImported,
}
