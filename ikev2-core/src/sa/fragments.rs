//! Messages in fragments that never become whole (RFC 7383 §2.6), over the life of an IKE SA.

use super::context::Context;
use super::{IkeSa, Purpose, Stage};
use crate::error::{Failure, Incomplete};
use crate::event::Event;
use crate::exchange::exchanges::Exchanges;
use crate::exchange::fragment::Fragmentation;
use crate::stats::count;
use alloc::vec::Vec;
use ikev2_wire::codes::ExchangeType;
use ipsec_types::Instant;

impl IkeSa {
    /// When the first message in fragments is given up.
    pub(super) fn reassembly_deadline(&self) -> Option<Instant> {
        let of = |fragmentation: &Fragmentation| fragmentation.reassembly.deadline();
        let stage = match &self.stage {
            Stage::HalfOpen(half_open, _) => of(half_open.fragmentation()),
            Stage::Authenticating(attempt) => {
                let answerers = attempt.answerers.iter();
                answerers.filter_map(|answerer| of(answerer.exchanges.fragmentation())).min()
            }
            _ => None,
        };
        let former = self.former.iter().map(|former| &former.exchanges);
        let keyed = self.current.exchanges().into_iter().chain(former);
        keyed.filter_map(|exchanges| of(exchanges.fragmentation())).chain(stage).min()
    }

    /// Gives up what never became whole.
    pub(super) fn expire_fragments(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        self.drop_fragments(context, |fragmentation| fragmentation.reassembly.expire(now));
    }

    /// The IKE SA ends with nothing more to come.
    pub(super) fn give_up_fragments(&mut self, context: &mut Context<'_>) {
        self.drop_fragments(context, |fragmentation| fragmentation.reassembly.clear());
    }

    fn drop_fragments(
        &mut self,
        context: &mut Context<'_>,
        drop: impl Fn(&mut Fragmentation) -> Vec<Incomplete>,
    ) {
        let former = self.former.iter_mut().map(|former| &mut former.exchanges);
        let keyed = self.current.keyed().into_iter().chain(former);
        let mut lacking: Vec<_> = keyed.flat_map(|exchanges| drop(exchanges.fragmentation_mut())).collect();
        match &mut self.stage {
            Stage::HalfOpen(half_open, _) => lacking.append(&mut drop(half_open.fragmentation_mut())),
            Stage::Authenticating(attempt) => {
                for answerer in &mut attempt.answerers {
                    lacking.append(&mut drop(answerer.exchanges.fragmentation_mut()));
                }
            }
            _ => {}
        }
        self.tell_incomplete(context, lacking);
    }

    pub(super) fn tell_incomplete(&self, context: &mut Context<'_>, lacking: Vec<Incomplete>) {
        for incomplete in lacking {
            tracing::debug!(sa = %self.handle, %incomplete, "message given up");
            count(&mut context.statistics.messages_incomplete);
            context.event(Event::MessageIncomplete { sa: self.handle, incomplete });
        }
    }
}

/// Why a request stays without an answer.
pub(super) fn unanswered(exchanges: &Exchanges<Purpose>, exchange: ExchangeType) -> Failure {
    let part = exchanges.fragmentation().reassembly.incomplete_answer(exchange);
    part.map_or(Failure::Timeout { exchange, hint: None }, Failure::Incomplete)
}
