//! Why an SA ended.

use ikev2_core::Failure;
use ikev2_wire::codes::NotifyType;
use thiserror::Error;

/// Why an SA ended.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Ending {
    /// As an IKE SA of IKEv2 can end too.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Who wants to join names a group that is not the controller's.
    #[error("there is no group {wanted:?} here, only {ours:?}")]
    OtherGroup {
        /// The group that it names.
        wanted: String,
        /// The group that there is.
        ours: String,
    },
}

impl Ending {
    /// What the other end is told.
    #[must_use]
    pub fn notify(&self) -> NotifyType {
        match self {
            Self::Failed(failure) => failure.notify(),
            Self::OtherGroup { .. } => NotifyType::INVALID_GROUP_ID,
        }
    }
}
