//! What happens when nothing comes: repeats, liveness checks, NAT keepalives, and ends (RFC 7296 §2.4, RFC 3948
//! §4).

use super::context::Context;
use super::{IkeSa, Purpose, Stage, Task};
use crate::error::Failure;
use crate::event::DownReason;
use crate::exchange::requests::Due;
use crate::stats::count;
use alloc::boxed::Box;
use bytes::Bytes;
use core::time::Duration;
use ikev2_wire::codes::ExchangeType;
use ipsec_types::udp::NAT_KEEPALIVE;
use ipsec_types::{Instant, PathKind};

/// Intervals are never shorter, whatever is configured, so that each deadline lies in the future.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

impl IkeSa {
    /// When it must be looked at next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Initiating(attempt) => attempt.hint.map(|(_, believed)| believed),
            // A peer whose proof is in hand has shown that it is there.
            Stage::Answered(answered) => Some(answered.expires).filter(|_| self.suspended.is_none()),
            Stage::Lingering(until) => return Some(*until),
            Stage::Established(_) => self.liveness_at(),
            Stage::Authenticating(_) | Stage::Closing(_) => None,
        };
        let answer = self.suspended.as_ref().map(|suspended| suspended.deadline);
        [stage, answer, self.current.requests.deadline(), self.keepalive_at()].into_iter().flatten().min()
    }

    /// When a liveness check is due: only while no request is out, since any answer is a sign of life.
    fn liveness_at(&self) -> Option<Instant> {
        if !self.current.requests.is_idle() {
            return None;
        }
        let silent = self.connection.liveness.map(|interval| (self.heard_at, interval));
        // ESP in UDP keeps the same mapping open as IKE; plain ESP keeps none.
        let alone = self.connection.ike_keepalive.filter(|_| !self.nat.any());
        let unused = alone.map(|interval| (self.ike_heard_at, interval));
        let due = |(since, interval): (Instant, Duration)| since + interval.max(SHORTEST_INTERVAL);
        [silent, unused].into_iter().flatten().map(due).min()
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
        let policy = self.connection.retransmit;
        while let Some(due) = self.current.requests.due(context.now, &policy) {
            match due {
                Due::Repeat(datagram) => {
                    match &self.stage {
                        Stage::Authenticating(_) => self.repeat_auth(context),
                        _ => context.transmit_again(self.path, &datagram),
                    }
                    self.sent_at = context.now;
                }
                Due::Exhausted(purpose) => return self.on_no_answer(context, purpose),
            }
        }
        match &self.stage {
            Stage::Initiating(attempt) => {
                if let Some((notify, _)) = attempt.hint.filter(|(_, at)| *at <= context.now) {
                    let failure = Failure::Refused { notify };
                    return self.close(context, DownReason::Failed(Box::new(failure)));
                }
            }
            Stage::Answered(answered) if answered.expires <= context.now && self.suspended.is_none() => {
                return self.expire(context);
            }
            Stage::Established(_) if self.liveness_at().is_some_and(|at| at <= context.now) => {
                self.queue.push_back(Task::Liveness);
                self.pump(context);
            }
            _ => {}
        }
        if self.keepalive_at().is_some_and(|at| at <= context.now) {
            context.push_transmit(self.path, Bytes::from_static(&NAT_KEEPALIVE));
            self.sent_at = context.now;
        }
    }

    /// A peer that never got as far as IKE_AUTH was never told of to the embedder, and neither is its end.
    fn expire(&mut self, context: &mut Context<'_>) {
        tracing::debug!(sa = %self.handle, path = %self.path, "half-open IKE SA expired");
        count(&mut context.statistics.half_open_expired);
        self.stage = Stage::Lingering(context.now);
    }

    /// A request stayed without an answer: the peer is gone, or cannot be reached. It is told nothing (§2.4).
    fn on_no_answer(&mut self, context: &mut Context<'_>, purpose: Purpose) {
        let exchange = match &purpose {
            Purpose::Init => ExchangeType::IKE_SA_INIT,
            Purpose::Auth => ExchangeType::IKE_AUTH,
            Purpose::CreateChild(_) => ExchangeType::CREATE_CHILD_SA,
            _ => ExchangeType::INFORMATIONAL,
        };
        if let Purpose::CreateChild(attempt) = purpose {
            context.release_spi(attempt.inbound);
        }
        let hint = match &self.stage {
            Stage::Initiating(attempt) => attempt.hint.map(|(notify, _)| notify),
            _ => None,
        };
        self.close(context, DownReason::Failed(Box::new(Failure::Timeout { exchange, hint })));
    }
}
