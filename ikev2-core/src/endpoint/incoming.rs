//! Datagrams in: which IKE SA each is for, and what is answered outside any (RFC 7296 §2.1, §2.5, §2.21).

use super::admission::{decide, operations_left};
use super::half_open::Source;
use super::{Endpoint, Kept};
use crate::admission::{Admission, AdmissionFacts};
use crate::error::{Bound, Rejection};
use crate::establish::responder::{InitRequest, Refusal, stateless_head};
use crate::event::{Handled, IkeSaHandle};
use crate::exchange::responses::RequestDigest;
use crate::sa::IkeSa;
use crate::sa::context::Context;
use crate::stats::{Statistics, count};
use crate::trace;
use core::mem;
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ikev2_wire::{Header, Message, NotifyPayload, Version};
use ipsec_types::udp::{self, Datagram4500};
use ipsec_types::{Instant, Path, PathKind};

impl Endpoint {
    /// A datagram came in. On a NAT-T path it begins with the non-ESP marker, or it is a keepalive; ESP is the
    /// data path's ([`ipsec_types::udp::classify`] tells).
    ///
    /// # Errors
    /// [`Rejection`] says why it was dropped, or answered outside any IKE SA. Nothing changed then but
    /// statistics, and what the answer itself is.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<Handled, Rejection> {
        let _call = trace::call("handle_datagram");
        self.advance(now);
        count(&mut self.statistics.datagrams_received);
        let handled = self.route(path, datagram);
        if let Err(rejection) = &handled {
            tracing::debug!(%path, %rejection, "datagram rejected");
            self.statistics.count_rejection(rejection.kind());
        }
        handled
    }

    fn route(&mut self, path: Path, datagram: &[u8]) -> Result<Handled, Rejection> {
        let octets = match path.kind {
            PathKind::Ike => datagram,
            PathKind::NatT => match udp::classify(datagram) {
                Datagram4500::Ike(octets) => octets,
                Datagram4500::Keepalive => return Ok(Handled::Keepalive),
                Datagram4500::Esp(_) | Datagram4500::Invalid => return Err(Rejection::NotIke),
            },
        };
        // Every implementation must take 1,280 octets (§2), whatever is configured.
        if octets.len() > self.config.max_datagram.max(1_280) {
            return Err(Rejection::Limit(Bound::Datagram));
        }
        if self.state.out.is_full(&self.config) {
            return Err(Rejection::Limit(Bound::Events));
        }
        let header = Header::parse(octets)?;
        let _exchange = trace::exchange(&header);
        if header.version.major != Version::V2.major {
            return Err(self.refuse_version(path, &header));
        }
        let message = Message::parse(octets)?;
        let from_initiator = header.flags.is_initiator();
        let local = if from_initiator { header.responder_spi } else { Some(header.initiator_spi) };
        match local {
            Some(spi) => {
                let handle = self.state.ike_spis.owner(spi).ok_or(Rejection::UnknownSpi(spi))?;
                let mut scratch = mem::take(&mut self.scratch);
                let result =
                    self.with_sa(handle, |sa, context| sa.receive(context, path, &message, &mut scratch));
                self.scratch = scratch;
                result.unwrap_or(Err(Rejection::UnknownSpi(spi)))
            }
            None => self.on_first_message(path, &message),
        }
    }

    /// A message without our SPI: only a first IKE_SA_INIT request may be that.
    fn on_first_message(&mut self, path: Path, message: &Message<'_>) -> Result<Handled, Rejection> {
        let header = message.header();
        if header.exchange != ExchangeType::IKE_SA_INIT {
            return Err(Rejection::UnexpectedExchange(header.exchange));
        }
        // Our own message, reflected, has an SPI of ours in the initiator's place.
        let reflected = self.state.ike_spis.owner(header.initiator_spi).is_some();
        if header.flags.is_response() || header.message_id != 0 || reflected {
            return Err(Rejection::Contradictory);
        }
        if message.protected().is_some() {
            return Err(Rejection::UnexpectedExchange(header.exchange));
        }
        let digest = RequestDigest::of(message.as_bytes());
        if let Some(handle) = self.state.half_open.find(&digest) {
            let answered = self.with_sa(handle, |sa, context| sa.repeat_init_answer(context, path, message));
            return answered.unwrap_or(Err(Rejection::OldMessageId(0)));
        }
        self.admit(path, message, digest).map_err(|refusal| self.answer_refusal(path, header, refusal))
    }

    /// The decision first, then the work.
    fn admit(
        &mut self,
        path: Path,
        message: &Message<'_>,
        digest: RequestDigest,
    ) -> Result<Handled, Refusal> {
        let (mut context, kept) = self.lend();
        context.observe_plain(path, message);
        let request = InitRequest::read(path, message)?;
        let source = Source::of(path.remote_ip(), context.config.source_prefix);
        let facts = AdmissionFacts {
            path,
            cookie_verified: request.brings_cookie(context.now, kept.cookies),
            half_open: kept.half_open.len(),
            half_open_from_source: kept.half_open.of_source(source),
            ike_sas: kept.sas.len(),
            operations_left: operations_left(context.config, context.operations, context.now),
        };
        let usual = decide(context.config, &facts);
        let hook = context.config.hooks.admission.as_ref();
        match hook.map_or(usual, |hook| hook.admit(&facts, usual)) {
            Admission::Accept => {}
            Admission::Cookie => {
                let cookie = request.cookie(context.now, context.random, kept.cookies)?;
                let head = stateless_head(message.header());
                context.send_notify(path, &head, NotifyPayload::new(NotifyType::COOKIE, &cookie));
                count(&mut context.statistics.cookies_sent);
                return Err(Refusal::silent(Rejection::CookieRequired));
            }
            Admission::Refuse(notify) => {
                count(&mut context.statistics.admissions_refused);
                return Err(Refusal::with(notify, Rejection::Refused(notify)));
            }
            Admission::Ignore(bound) => return Err(ignore(context.statistics, bound)),
        }
        let displaced = room(&context, &kept, &facts, source);
        let displaced = displaced.map_err(|bound| ignore(context.statistics, bound))?;
        let (mut context, kept) = self.lend();
        let handle = kept.sas.next_handle();
        let spi = context.allocate_ike_spi(handle);
        let spi = spi.map_err(|error| Refusal::silent(error.into()))?;
        let sa = IkeSa::respond(&mut context, &request, handle, spi);
        let sa = sa.inspect_err(|_| context.release_ike_spi(spi))?;
        count(&mut context.statistics.admitted);
        let now = context.now;
        let handle = kept.sas.insert(sa);
        kept.half_open.insert(digest, handle, source, now);
        self.with_sa(handle, |_, _| {});
        if let Some(displaced) = displaced {
            count(&mut self.statistics.half_open_displaced);
            self.with_sa(displaced, IkeSa::vanish);
        }
        Ok(Handled::Processed)
    }

    fn answer_refusal(&mut self, path: Path, header: &Header, refusal: Refusal) -> Rejection {
        if let Some((notify, data)) = &refusal.notify {
            self.send_error(path, header, *notify, data);
        }
        refusal.rejection
    }

    /// A major version that we do not speak is answered in ours, which tells the peer the highest (§2.5).
    fn refuse_version(&mut self, path: Path, header: &Header) -> Rejection {
        let major = header.version.major;
        if major > Version::V2.major && !header.flags.is_response() {
            self.send_error(path, header, NotifyType::INVALID_MAJOR_VERSION, &[]);
        }
        Rejection::Version(major)
    }

    /// An unprotected error answer, within the budget (§2.21).
    fn send_error(&mut self, path: Path, header: &Header, notify: NotifyType, data: &[u8]) {
        if !self.state.errors.take(self.state.now, self.config.max_error_answers_per_second) {
            count(&mut self.statistics.answers_withheld);
            return;
        }
        let head = stateless_head(header);
        self.lend().0.send_notify(path, &head, NotifyPayload::new(notify, data));
    }
}

fn ignore(statistics: &mut Statistics, bound: Bound) -> Refusal {
    count(&mut statistics.admissions_ignored);
    Refusal::silent(Rejection::Limit(bound))
}

/// Whether there is room for one more half-open IKE SA, and which one must give way for it.
fn room(
    context: &Context<'_>,
    kept: &Kept<'_>,
    facts: &AdmissionFacts,
    source: Source,
) -> Result<Option<IkeSaHandle>, Bound> {
    let config = context.config;
    if facts.ike_sas >= config.max_ike_sas {
        return Err(Bound::IkeSas);
    }
    let (of, bound) = if facts.half_open_from_source >= config.max_half_open_from_source {
        (Some(source), Bound::HalfOpenFromSource)
    } else if facts.half_open >= config.max_half_open {
        (None, Bound::HalfOpen)
    } else {
        return Ok(None);
    };
    // Who may not be there at all takes nobody's place.
    let oldest = kept.half_open.oldest(of, context.now, config.half_open_grace);
    oldest.filter(|_| facts.cookie_verified).map(Some).ok_or(bound)
}
