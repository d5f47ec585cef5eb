//! Which message goes where (RFC 7296 §2.1 to §2.3, §2.21). Repeats are recognised before anything is
//! decrypted; only what is authentic changes anything. Fragments wait for each other below (RFC 7383 §2.6).

use super::context::Context;
use super::former;
use super::generation::Generation;
use super::{IkeSa, Purpose, Stage, Task};
use crate::contents::Contents;
use crate::error::{Failure, FragmentFault, Rejection};
use crate::event::{DownReason, Handled};
use crate::exchange::exchanges::{Ends, Exchanges, Received, Request, fragment_number};
use crate::exchange::fragment::Arrival;
use crate::exchange::outgoing::Outgoing;
use crate::exchange::protect::Plaintext;
use crate::stats::count;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::Message;
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ipsec_types::{Instant, Path};

impl IkeSa {
    /// A message for this SA.
    pub(crate) fn receive(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let header = message.header();
        let ours =
            if header.flags.is_initiator() { header.responder_spi } else { Some(header.initiator_spi) };
        if let Some(at) = ours.and_then(|spi| self.former_at(spi)) {
            return self.receive_former(context, at, path, message, scratch);
        }
        match (&mut self.current, &self.stage) {
            (Generation::Keyed(exchanges), _) => match exchanges.judge(path, message)? {
                Received::Answer(id) => self.on_answer(context, path, message, scratch, id),
                Received::Request(request) => self.on_request(context, request, message, scratch),
                Received::Repeat(answer) => Ok(repeat(context, exchanges, path, message, answer)),
                Received::Refragmented(answer) => {
                    refragment(context, exchanges, path, message, answer, scratch)
                }
            },
            (_, Stage::HalfOpen(..)) => self.receive_half_open(context, path, message, scratch),
            // Somebody else may answer what was answered.
            (_, Stage::Authenticating(_)) if message.header().exchange != ExchangeType::IKE_SA_INIT => {
                self.on_auth_answer(context, path, message, scratch)
            }
            _ => self.on_init_answer(context, path, message),
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
        id: u32,
    ) -> Result<Handled, Rejection> {
        let exchange = message.header().exchange;
        let Generation::Keyed(exchanges) = &mut self.current else { return Err(Rejection::Unsolicited(id)) };
        if exchanges.requests().get(id).is_none_or(|purpose| purpose.exchange() != exchange) {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        let opened = exchanges.open(&context.reception(path), message, scratch);
        context.opened(&path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        let (answered, ends) = (exchanges.answered(id), *exchanges.ends());
        self.heard(context, path);
        self.answered_by(context, path);
        let Some((purpose, sent)) = answered else { return Err(Rejection::Unsolicited(id)) };
        self.dispatch_answer(context, purpose, arrived.plaintext, sent, (path, &ends));
        self.pump(context);
        Ok(Handled::Processed)
    }

    /// An answer ended the SA. A peer that refused our request as malformed has dropped it already; one whose
    /// answer is malformed is told.
    fn end_after_answer(&mut self, context: &mut Context<'_>, failure: Failure) {
        let dropped = matches!(failure, Failure::Refused { .. });
        let reason = DownReason::Failed(Box::new(failure));
        if dropped || !self.is_established() {
            self.close(context, reason);
        } else {
            self.start_closing(context, Some(reason), Task::DeleteIke);
        }
    }

    /// A faulty answer is not answered; it ends the SA (§2.21.3).
    fn dispatch_answer(
        &mut self,
        context: &mut Context<'_>,
        purpose: Purpose,
        plaintext: Result<Plaintext<'_>, Failure>,
        sent: Instant,
        from: (Path, &Ends),
    ) {
        let contents = match contents_of(&plaintext).and_then(without_fatal) {
            Ok(contents) => contents,
            Err(failure) => {
                former::forget(context, core::iter::once(purpose));
                return self.end_after_answer(context, failure);
            }
        };
        match purpose {
            Purpose::CreateChild(attempt) => {
                self.on_create_child_answer(context, *attempt, &contents);
                if !self.awaits_child() {
                    self.deleted_early.clear();
                }
            }
            Purpose::RekeyIke(attempt) => self.on_rekey_ike_answer(context, *attempt, &contents),
            Purpose::FollowUp(follow_up) => self.on_follow_up_answer(context, *follow_up, &contents),
            Purpose::DeleteChildren(ids) => self.on_children_deleted(context, &ids),
            Purpose::DeleteIke => self.on_ike_deleted(context),
            Purpose::Liveness => {
                self.on_alive(context, sent);
                self.check_mapping(&contents);
            }
            Purpose::Mobike(ask) => self.on_mobike_answer(context, &ask, &contents, from),
            // Their answers go a way of their own.
            Purpose::Auth | Purpose::Intermediate(_) => {}
        }
    }

    fn on_request(
        &mut self,
        context: &mut Context<'_>,
        mut request: Request,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let (exchange, id) = (request.exchange, request.message_id());
        let (half_open, awaits_claim) = (self.is_half_open(), self.awaits_claim());
        let Generation::Keyed(exchanges) = &mut self.current else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        // IKE_AUTH and what comes before it are one after the other, whatever the window (§2.2, RFC 9242 §3.2).
        if half_open && id != exchanges.responses().expected() {
            return Err(Rejection::MessageIdAhead(id));
        }
        if let Some(in_hand) = self.suspended.as_ref().and_then(|suspended| suspended.request()) {
            return match fragment_number(message) {
                _ if in_hand == request.digest() => Ok(Handled::InHand),
                None | Some(1) => Err(Rejection::AlteredRepeat(id)),
                Some(number) => Err(Rejection::Fragment(FragmentFault::Answered { number })),
            };
        }
        if awaits_claim {
            return self.on_claim(context, request, message, scratch);
        }
        let lives = matches!(self.stage, Stage::Established(_) | Stage::Closing(_));
        if !lives || !is_of_session(exchange) {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        let opened = exchanges.open(&context.reception(request.path), message, scratch);
        context.opened(&request.path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        request.put_together(arrived.fragments.as_ref());
        let request = &request;
        self.heard(context, request.path);
        match contents_of(&arrived.plaintext) {
            Ok(contents) if exchange == ExchangeType::CREATE_CHILD_SA => {
                self.on_create_child_request(context, request, &contents);
            }
            Ok(contents) if exchange == ExchangeType::IKE_FOLLOWUP_KE => {
                self.answer_follow_up(context, request, &contents);
            }
            Ok(contents) => self.on_informational_request(context, request, &contents),
            // Known by name alone: the request fails, the SA lives (§2.5).
            Err(failure @ Failure::CriticalPayload(_)) => self.answer_with(context, request, &failure),
            Err(failure) => self.refuse_request(context, request, failure),
        }
        self.pump(context);
        Ok(Handled::Processed)
    }
}

/// Whether an established IKE SA takes requests of this exchange.
pub(super) fn is_of_session(exchange: ExchangeType) -> bool {
    use ExchangeType as Is;
    matches!(exchange, Is::CREATE_CHILD_SA | Is::IKE_FOLLOWUP_KE | Is::INFORMATIONAL)
}

/// What an authentic message holds, if it can be read.
pub(super) fn contents_of<'a>(opened: &'a Result<Plaintext<'_>, Failure>) -> Result<Contents<'a>, Failure> {
    let plaintext = opened.as_ref().map_err(Failure::clone)?;
    Ok(Contents::of(plaintext)?)
}

/// Refuses an answer that says INVALID_SYNTAX: the peer has dropped the SA (§2.21.3).
fn without_fatal(contents: Contents<'_>) -> Result<Contents<'_>, Failure> {
    match contents.error().map(|error| error.ty) {
        Some(notify @ NotifyType::INVALID_SYNTAX) => Err(Failure::Refused { notify }),
        _ => Ok(contents),
    }
}

/// A request came again that was answered (§2.1).
pub(super) fn repeat(
    context: &mut Context<'_>,
    exchanges: &mut Exchanges<Purpose>,
    path: Path,
    message: &Message<'_>,
    answer: Outgoing,
) -> Handled {
    let answer = exchanges.repeat(&path, message.header().message_id, answer);
    context.transmit_again(path, &answer);
    Handled::RepeatAnswered
}

/// It came again in other fragments, or so it seems (RFC 7383 §2.6.1).
pub(super) fn refragment(
    context: &mut Context<'_>,
    exchanges: &mut Exchanges<Purpose>,
    path: Path,
    message: &Message<'_>,
    answer: Outgoing,
    scratch: &mut Vec<u8>,
) -> Result<Handled, Rejection> {
    count(&mut context.statistics.decryptions);
    let answer = exchanges.refragmented(&path, message, answer, scratch)?;
    context.transmit_again(path, &answer);
    Ok(Handled::RepeatAnswered)
}
