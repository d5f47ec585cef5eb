//! Which established IKE SAs serve a policy, for the data path's acquires.

use crate::config::ChildConfig;
use crate::event::IkeSaHandle;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use ipsec_types::sa::PolicyId;

/// Pairs of a policy and an IKE SA that can make a Child SA for it.
#[derive(Debug, Default)]
pub(crate) struct Policies(BTreeSet<(PolicyId, IkeSaHandle)>);

impl Policies {
    /// An IKE SA serves these Child SAs from now on, or no longer.
    pub(crate) fn set(&mut self, sa: IkeSaHandle, children: &[Arc<ChildConfig>], serves: bool) {
        for child in children {
            let pair = (child.policy, sa);
            if serves {
                self.0.insert(pair);
            } else {
                self.0.remove(&pair);
            }
        }
    }

    /// One that serves this policy.
    pub(crate) fn serving(&self, policy: PolicyId) -> Option<IkeSaHandle> {
        let all = (policy, IkeSaHandle::FIRST)..=(policy, IkeSaHandle::LAST);
        self.0.range(all).next().map(|(_, sa)| *sa)
    }
}
