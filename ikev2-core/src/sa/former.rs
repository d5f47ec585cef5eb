//! Generations that a rekey of the IKE SA has replaced, and those left over when both ends rekeyed at once: they
//! answer until they are deleted (RFC 7296 §2.8), and nothing new begins on them.

use super::context::Context;
use super::generation::Generation;
use super::informational::{deletes, is_fatal};
use super::receive::{contents_of, is_of_session, refragment, repeat};
use super::{Established, IkeSa, Purpose, Task};
use crate::contents::Contents;
use crate::error::{Busy, Failure, Rejection};
use crate::event::{Event, Handled};
use crate::exchange::exchanges::{Exchanges, Received, Request};
use crate::exchange::fragment::Arrival;
use crate::exchange::requests::Due;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, ProtocolId};
use ikev2_wire::{DeletePayload, Message, NotifyPayload, Payload};
use ipsec_types::{IkeSpi, Instant, Path};

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The peer deletes it; we do when it has not by then.
    PeerDeletes(Instant),
    /// We delete it once its requests are answered.
    ToDelete,
    /// Our Delete is out.
    Deleting,
    /// It is deleted; repeats are answered until then.
    Over(Instant),
}

/// A former generation.
#[derive(Debug)]
pub(crate) struct Former {
    pub exchanges: Exchanges<Purpose>,
    /// While our own rekey of it is out: what that one's keys are made from.
    pub established: Option<Established>,
    pub fate: Fate,
    /// The lower nonce of the peer's rekey that replaced it while ours was out.
    pub crossed: Option<Vec<u8>>,
}

impl Former {
    pub(crate) fn new(exchanges: Exchanges<Purpose>, established: Option<Established>, fate: Fate) -> Self {
        Self { exchanges, established, fate, crossed: None }
    }

    /// What our requests in flight are for.
    pub(crate) fn purposes(&self) -> impl Iterator<Item = &Purpose> {
        self.exchanges.requests().purposes()
    }

    pub(crate) fn awaits_rekey(&self) -> bool {
        self.purposes().any(Purpose::is_ike_rekey)
    }

    pub(crate) fn lives(&self) -> bool {
        !matches!(self.fate, Fate::Over(_))
    }

    fn deadline(&self) -> Option<Instant> {
        let fate = match self.fate {
            Fate::PeerDeletes(by) => Some(by),
            Fate::Over(until) => Some(until),
            Fate::ToDelete | Fate::Deleting => None,
        };
        [fate, self.exchanges.requests().deadline()].into_iter().flatten().min()
    }

    /// It is deleted: our own requests on it are forgotten, a rekey among them (§2.25.2). Gives what must be asked
    /// for again on the generation in use.
    #[must_use]
    fn end(&mut self, context: &mut Context<'_>) -> Option<Task> {
        let (deletes, others): (Vec<_>, Vec<_>) =
            self.exchanges.clear().partition(|purpose| matches!(purpose, Purpose::DeleteChildren(_)));
        forget(context, others.into_iter());
        // What is not whole needs to be whole no more.
        self.exchanges.fragmentation_mut().reassembly.clear();
        self.established = None;
        self.crossed = None;
        self.fate = Fate::Over(context.now + context.config.closed_linger);
        let ids = deletes.into_iter().flat_map(|purpose| match purpose {
            Purpose::DeleteChildren(ids) => ids,
            _ => Vec::new(),
        });
        let ids: Vec<_> = ids.collect();
        (!ids.is_empty()).then_some(Task::DeleteChildren(ids))
    }
}

/// Gives back what requests hold that get no answer any more.
pub(super) fn forget(context: &mut Context<'_>, purposes: impl Iterator<Item = Purpose>) {
    for purpose in purposes {
        match purpose {
            Purpose::CreateChild(attempt) => context.release_spi(attempt.asked.inbound),
            Purpose::RekeyIke(attempt) => context.release_ike_spi(attempt.asked.local_spi),
            Purpose::FollowUp(follow_up) => follow_up.forget(context),
            _ => {}
        }
    }
}

impl IkeSa {
    /// Which former generation a message to this SPI of ours is for.
    pub(crate) fn former_at(&self, spi: IkeSpi) -> Option<usize> {
        self.former.iter().position(|former| former.exchanges.ends().local_spi() == spi)
    }

    /// A message for a former generation.
    pub(crate) fn receive_former(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let mut former = self.former.remove(at);
        let handled = match former.exchanges.judge(path, message) {
            Ok(Received::Repeat(answer)) => Ok(repeat(context, &mut former.exchanges, path, message, answer)),
            Ok(Received::Refragmented(answer)) => {
                refragment(context, &mut former.exchanges, path, message, answer, scratch)
            }
            Ok(Received::Answer(id)) => {
                self.on_former_answer(context, &mut former, path, message, scratch, id)
            }
            Ok(Received::Request(request)) if former.lives() => {
                self.on_former_request(context, &mut former, request, message, scratch)
            }
            Ok(Received::Request(request)) => Err(Rejection::UnexpectedExchange(request.exchange)),
            Err(rejection) => Err(rejection),
        };
        // In its place, so that a rejected message changes nothing.
        self.former.insert(at.min(self.former.len()), former);
        if handled.is_ok() {
            self.pump(context);
        }
        handled
    }

    fn on_former_answer(
        &mut self,
        context: &mut Context<'_>,
        former: &mut Former,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
        id: u32,
    ) -> Result<Handled, Rejection> {
        let exchange = message.header().exchange;
        if former.exchanges.requests().get(id).is_none_or(|purpose| purpose.exchange() != exchange) {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        let opened = former.exchanges.open(&context.reception(path), message, scratch);
        context.opened(&path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        self.heard(context, path);
        self.answered_by(context, path);
        let Some((purpose, sent)) = former.exchanges.answered(id) else {
            return Err(Rejection::Unsolicited(id));
        };
        match purpose {
            Purpose::RekeyIke(attempt) => match contents_of(&arrived.plaintext) {
                Ok(contents) => self.on_crossed_rekey_answer(context, former, *attempt, &contents),
                Err(_) => context.release_ike_spi(attempt.asked.local_spi),
            },
            Purpose::DeleteIke => self.queue.extend(former.end(context)),
            Purpose::DeleteChildren(ids) => self.on_children_deleted(context, &ids),
            Purpose::Liveness => self.on_alive(context, sent),
            Purpose::Mobike(ask) => {
                if let Ok(contents) = contents_of(&arrived.plaintext) {
                    let ends = *former.exchanges.ends();
                    self.on_mobike_answer(context, &ask, &contents, (path, &ends));
                }
            }
            other => forget(context, core::iter::once(other)),
        }
        Ok(Handled::Processed)
    }

    fn on_former_request(
        &mut self,
        context: &mut Context<'_>,
        former: &mut Former,
        mut request: Request,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let exchange = request.exchange;
        if !is_of_session(exchange) {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        let opened = former.exchanges.open(&context.reception(request.path), message, scratch);
        context.opened(&request.path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        request.put_together(arrived.fragments.as_ref());
        let request = &request;
        self.heard(context, request.path);
        match contents_of(&arrived.plaintext) {
            Ok(_) if exchange == ExchangeType::CREATE_CHILD_SA => {
                refuse(context, former, request, &Failure::Busy(Busy::IkeSaClosing));
            }
            Ok(_) if exchange == ExchangeType::IKE_FOLLOWUP_KE => {
                refuse(context, former, request, &Failure::StateNotFound);
            }
            Ok(contents) => self.on_former_informational(context, former, request, &contents),
            Err(failure @ Failure::CriticalPayload(_)) => refuse(context, former, request, &failure),
            Err(failure) => {
                refuse(context, former, request, &failure);
                self.queue.extend(former.end(context));
            }
        }
        Ok(Handled::Processed)
    }

    /// Deletes of Child SAs, and what is said of the time to come, are heeded as ever; the Delete of the generation
    /// ends it alone.
    fn on_former_informational(
        &mut self,
        context: &mut Context<'_>,
        former: &mut Former,
        request: &Request,
        contents: &Contents<'_>,
    ) {
        let deletes_ike = contents.deletes.iter().any(|d| d.protocol() == ProtocolId::IKE);
        let over = deletes_ike || contents.notifies.iter().any(|notify| is_fatal(notify.ty, false));
        let spis = if over { Vec::new() } else { self.delete_at_peers_wish(context, contents) };
        // A payload holds more SPIs than an IKE SA has Child SAs.
        let taken = self.take_addresses(context, request, contents, former.exchanges.ends());
        let mut payloads = deletes(&spis).unwrap_or_default();
        taken.notices.push_to(&mut payloads);
        answer(context, former, request, &payloads);
        drop(payloads);
        self.follow_addresses(context, taken);
        if over {
            self.queue.extend(former.end(context));
        } else {
            self.heed(context, contents);
        }
    }

    /// When a former generation must be looked at next.
    pub(crate) fn former_at_time(&self) -> Option<Instant> {
        self.former.iter().filter_map(Former::deadline).min()
    }

    /// Does what is due on former generations.
    pub(crate) fn on_former_timeout(&mut self, context: &mut Context<'_>) {
        let (policy, path) = (self.repeats(), self.way());
        for former in &mut self.former {
            while let Some(due) = former.exchanges.due(context.now, &path, &policy) {
                match due {
                    Due::Repeat { message, .. } => context.transmit_again(path, &message),
                    Due::Exhausted(purpose) => {
                        // The peer has forgotten it; whether it lives is found out on the one in use.
                        forget(context, core::iter::once(purpose));
                        self.queue.extend(former.end(context));
                    }
                }
            }
            if matches!(former.fate, Fate::PeerDeletes(by) if by <= context.now) {
                former.fate = Fate::ToDelete;
            }
        }
        let now = context.now;
        let over = |former: &Former| matches!(former.fate, Fate::Over(until) if until <= now);
        for former in self.former.iter().filter(|former| over(former)) {
            context.release_ike_spi(former.exchanges.ends().local_spi());
        }
        self.former.retain(|former| !over(former));
        self.pump(context);
    }

    /// Sends the Deletes that are ours to send: the last request on each (§2.8).
    pub(crate) fn pump_former(&mut self, context: &mut Context<'_>) {
        let (policy, path) = (self.repeats(), self.way());
        for former in self.former.iter_mut().filter(|former| former.fate == Fate::ToDelete) {
            if !former.exchanges.requests().is_idle() {
                continue;
            }
            let payloads = [Payload::Delete(DeletePayload::ike())];
            let sealed = former.exchanges.seal_request(&path, ExchangeType::INFORMATIONAL, &payloads);
            let sent = sealed.ok().and_then(|request| {
                context.observe_sent(&path, request.message(), &payloads);
                former.exchanges.sent(context.now, request, Purpose::DeleteIke, &policy)
            });
            match sent {
                Some(message) => {
                    context.transmit(path, &message);
                    former.fate = Fate::Deleting;
                }
                None => self.queue.extend(former.end(context)),
            }
        }
    }

    /// The peer deletes the generation in use while our own rekey of the one before is not answered. If the peer's
    /// new one can be the one that is left over, that is what it deletes (§2.8.1), and the one before is in use
    /// again, until our rekey is answered.
    pub(crate) fn fall_back(&mut self, context: &mut Context<'_>) -> bool {
        let may_lose = |former: &Former| match (&former.crossed, former.rekey_nonce()) {
            // Where our nonce is the lowest, ours is left over whatever the peer's other one is.
            (Some(rival), Some(ours)) => ours >= rival.as_slice(),
            _ => false,
        };
        let Some(at) = self.former.iter().position(may_lose) else { return false };
        let mut former = self.former.swap_remove(at);
        let Some(established) = former.established.take() else { return false };
        self.algorithms = Some(established.algorithms);
        self.replace_keys(established);
        self.hangs_on_rekey = true;
        let fate = Fate::Over(context.now + context.config.closed_linger);
        let lost = core::mem::replace(&mut self.current, Generation::Keyed(former.exchanges));
        if let Generation::Keyed(exchanges) = lost {
            self.former.push(Former::new(exchanges, None, fate));
        }
        if self.is_established() {
            let info = Box::new(self.info());
            context.event(Event::IkeSaRekeyed { sa: self.handle, info });
        }
        true
    }
}

impl Former {
    fn rekey_nonce(&self) -> Option<&[u8]> {
        self.exchanges.requests().purposes().find_map(|purpose| match purpose {
            Purpose::RekeyIke(attempt) => Some(attempt.nonce()),
            _ => None,
        })
    }
}

fn refuse(context: &mut Context<'_>, former: &mut Former, request: &Request, failure: &Failure) {
    let data = failure.notify_data();
    answer(context, former, request, &[Payload::Notify(NotifyPayload::new(failure.notify(), &data))]);
}

fn answer(context: &mut Context<'_>, former: &mut Former, request: &Request, payloads: &[Payload<'_>]) {
    match former.exchanges.answer(request, payloads) {
        Ok(message) => {
            context.observe_sent(&request.path, &message, payloads);
            context.transmit(request.path, &message);
        }
        // The request stays without an answer, as if it had been lost.
        Err(error) => tracing::debug!(%error, "no answer"),
    }
}
