//! What happens when nothing comes: repeats, liveness checks, NAT keepalives, and ends (RFC 7296 §2.4, RFC 3948
//! §4).

use super::context::Context;
use super::fragments::unanswered;
use super::{IkeSa, Stage, Task, former};
use crate::error::Failure;
use crate::event::{DownReason, Role};
use crate::exchange::requests::Due;
use crate::stats::count;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use ipsec_types::sa::ExpiryReason;
use ipsec_types::udp::NAT_KEEPALIVE;
use ipsec_types::{Instant, PathKind};

/// Intervals are never shorter, whatever is configured, so that each deadline lies in the future.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

impl IkeSa {
    /// When it must be looked at next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Initiating(initiator) => initiator.deadline(),
            Stage::HalfOpen(_, expires) => Some(*expires),
            Stage::Authenticating(attempt) => attempt.deadline(),
            Stage::Lingering(until) => return Some(*until),
            Stage::Established(_) => self.liveness_at(),
            // A peer whose proof is in hand has shown that it is there.
            Stage::Claiming(claim) => claim.expires,
            Stage::Closing(_) => None,
        };
        let answer = self.suspended.as_ref().map(|suspended| suspended.deadline);
        let requests = self.current.exchanges().and_then(|exchanges| exchanges.requests().deadline());
        let lifetime =
            [self.rekey_at, self.expires_at, self.authentication.deadline()].into_iter().flatten().min();
        let lifetime = lifetime.filter(|_| self.is_established());
        let own = [
            self.keepalive_at(),
            self.later_at(),
            self.former_at_time(),
            self.reassembly_deadline(),
            self.peers_series_deadline(),
            lifetime,
        ];
        own.into_iter().chain([stage, answer, requests]).flatten().min()
    }

    /// When a liveness check is due: only while no request is out, since any answer is a sign of life.
    fn liveness_at(&self) -> Option<Instant> {
        if self.current.exchanges().is_some_and(|exchanges| !exchanges.requests().is_idle()) {
            return None;
        }
        let silent = self.connection.liveness.map(|interval| (self.heard_at, interval));
        // ESP in UDP keeps the same mapping open as IKE; plain ESP keeps none.
        let alone = self.connection.ike_keepalive.filter(|_| !self.nat.any());
        let unused = alone.map(|interval| (self.ike_heard_at, self.in_turn(interval)));
        let due = |(since, interval): (Instant, Duration)| since + interval.max(SHORTEST_INTERVAL);
        [silent, unused].into_iter().flatten().map(due).min()
    }

    /// Both ends see the same silence: who is responder waits a little longer, so that one exchange ends it for both.
    fn in_turn(&self, interval: Duration) -> Duration {
        match self.current.role() {
            Role::Initiator => interval,
            Role::Responder => interval.saturating_add(interval / 16),
        }
    }

    /// When a NAT would forget us.
    fn keepalive_at(&self) -> Option<Instant> {
        let waits = self.nat.local && self.path.kind == PathKind::NatT;
        waits.then(|| self.sent_at + self.connection.nat_keepalive.max(SHORTEST_INTERVAL))
    }

    /// Does what is due, and leaves nothing due behind.
    pub(crate) fn on_timeout(&mut self, context: &mut Context<'_>) {
        if matches!(self.stage, Stage::Lingering(_)) {
            return;
        }
        self.on_answer_timeout(context);
        if let Err(failure) = self.repeat_requests(context) {
            return self.close(context, DownReason::Failed(Box::new(failure)));
        }
        // Afterwards: what came of an answer says why it is none.
        self.expire_fragments(context);
        self.on_former_timeout(context);
        self.expire_peers_series(context);
        if self.is_established() {
            self.on_lifetime(context);
        }
        if self.is_established() {
            self.on_authentication_time(context);
        }
        match &self.stage {
            Stage::HalfOpen(_, expires) if *expires <= context.now => return self.expire(context),
            Stage::Claiming(claim) if claim.expires.is_some_and(|at| at <= context.now) => {
                return self.expire(context);
            }
            Stage::Established(_) if self.later_at().is_some_and(|at| at <= context.now) => {
                self.queue_due(context.now);
                self.pump(context);
            }
            Stage::Established(_) if self.liveness_at().is_some_and(|at| at <= context.now) => {
                // Ahead of what waits for an exchange by a former generation, or it would stay due.
                self.queue.push_front(Task::Liveness);
                self.pump(context);
            }
            _ => {}
        }
        if self.keepalive_at().is_some_and(|at| at <= context.now) {
            context.push_transmit(self.path, Bytes::from_static(&NAT_KEEPALIVE));
            self.sent_at = context.now;
        }
    }

    /// From now on: when the IKE SA is rekeyed, a little earlier each time (§2.8), and when it ends without.
    pub(crate) fn set_rekey_time(&mut self, context: &mut Context<'_>) {
        let (after, end) = (self.connection.ike_rekey_after, self.connection.ike_expires_after);
        let after = after.map(|after| context.shortened(after.max(SHORTEST_INTERVAL)));
        self.rekey_at = after.map(|after| context.now + after);
        self.expires_at = end.map(|end| context.now + end.max(SHORTEST_INTERVAL));
    }

    fn on_lifetime(&mut self, context: &mut Context<'_>) {
        if self.expires_at.is_some_and(|at| at <= context.now) {
            self.expires_at = None;
            let reason = DownReason::Expired(ExpiryReason::Time);
            return self.start_closing(context, Some(reason), Task::DeleteIke);
        }
        if self.rekey_at.is_some_and(|at| at <= context.now) {
            self.rekey_at = None;
            if !self.is_rekeying_ike() {
                self.queue.push_back(Task::RekeyIke { tries: 0 });
                self.pump(context);
            }
        }
    }

    /// A peer that never got as far as IKE_AUTH was never told of to the embedder, and neither is its end.
    fn expire(&mut self, context: &mut Context<'_>) {
        tracing::debug!(sa = %self.handle, path = %self.path, "half-open IKE SA expired");
        count(&mut context.statistics.half_open_expired);
        self.give_up_fragments(context);
        self.vanish(context);
    }

    /// Repeats what is due. A request that stays without an answer is the end: the peer is gone, or cannot be
    /// reached, and is told nothing (§2.4).
    pub(super) fn repeat_requests(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let (policy, way) = (self.repeats(), self.way());
        match &mut self.stage {
            Stage::Initiating(initiator) => {
                while let Some(due) = initiator.due(context.now) {
                    context.transmit_again(self.path, &due?.into());
                    self.sent_at = context.now;
                }
            }
            Stage::Authenticating(_) => self.repeat_auth(context)?,
            _ => {}
        }
        let Ok(exchanges) = self.current.keyed() else { return Ok(()) };
        let mut unanswered_yet = Vec::new();
        while let Some(due) = exchanges.due(context.now, &way, &policy) {
            match due {
                Due::Repeat { message, transmissions, .. } => {
                    context.transmit_again(way, &message);
                    self.sent_at = context.now;
                    unanswered_yet.push((message, transmissions));
                }
                Due::Exhausted(purpose) => {
                    let failure = unanswered(exchanges, purpose.exchange());
                    former::forget(context, core::iter::once(purpose));
                    return Err(failure);
                }
            }
        }
        for (message, transmissions) in unanswered_yet {
            self.probe(context, &message, transmissions);
        }
        Ok(())
    }
}
