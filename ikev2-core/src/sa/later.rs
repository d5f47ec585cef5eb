//! What is tried again after a pause, since the peer was busy or refused (RFC 7296 §2.25): "the peer should not
//! immediately retry", and who is busy for minutes is not worth the IKE SA.

use super::context::Context;
use super::{IkeSa, Task};
use crate::error::Failure;
use crate::event::DownReason;
use alloc::boxed::Box;
use ikev2_wire::codes::NotifyType;
use ipsec_types::Instant;

/// A request that waits for its time.
#[derive(Debug)]
pub(crate) struct Later {
    pub at: Instant,
    pub task: Task,
}

impl IkeSa {
    /// Puts a task off that failed, or gives it up: after as many tries as the connection allows, and with it the
    /// IKE SA where the peer never was anything but busy.
    pub(crate) fn try_again_later(&mut self, context: &mut Context<'_>, mut task: Task, failure: &Failure) {
        let busy = matches!(failure, Failure::Refused { notify: NotifyType::TEMPORARY_FAILURE });
        let policy = self.connection.busy_retry;
        let Some(tries) = task.tries_mut() else { return };
        let done = *tries;
        *tries = done.saturating_add(1);
        if done < policy.repeats {
            let at = context.now + context.lengthened(policy.pause(done), 500);
            self.later.push(Later { at, task });
        } else if busy {
            let failure = Failure::BusyTooLong(done.saturating_add(1));
            let reason = DownReason::Failed(Box::new(failure));
            self.start_closing(context, Some(reason), Task::DeleteIke);
        }
    }

    /// When the first of them is due.
    pub(crate) fn later_at(&self) -> Option<Instant> {
        self.later.iter().map(|later| later.at).min()
    }

    /// Queues those that are due.
    pub(crate) fn queue_due(&mut self, now: Instant) {
        while let Some(at) = self.later.iter().position(|later| later.at <= now) {
            self.queue.push_back(self.later.remove(at).task);
        }
    }

    /// All that waits for the window or for its time.
    pub(crate) fn waiting_tasks(&self) -> impl Iterator<Item = &Task> {
        self.queue.iter().chain(self.later.iter().map(|later| &later.task))
    }
}
