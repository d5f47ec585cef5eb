//! What a peer may ask for that we do not do, or not now (RFC 7296 §2.25).

use thiserror::Error;

/// What a peer may ask for and we refuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// EAP: an IKE_AUTH request without AUTH, or an answer that goes on with it.
    #[error("EAP authentication")]
    Eap,
}

/// What a request of the peer's has to wait for; it is answered TEMPORARY_FAILURE (§2.25.1, §2.25.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Busy {
    /// We are deleting the IKE SA, or it was replaced.
    #[error("the IKE SA is being deleted")]
    IkeSaClosing,
    /// We are rekeying the IKE SA.
    #[error("the IKE SA is being rekeyed")]
    IkeSaRekeying,
    /// Another IKE SA is on its way to take its place.
    #[error("the IKE SA is being authenticated anew")]
    Reauthenticating,
    /// We are deleting the Child SA.
    #[error("the Child SA is being deleted")]
    ChildSaClosing,
    /// A request of ours about a Child SA waits for its answer.
    #[error("an exchange about a Child SA is under way")]
    ChildExchange,
    /// The peer replaced the same SA again and again and deleted none of those that it replaced.
    #[error("too many replacements of one SA are there at once")]
    Replacements,
}
