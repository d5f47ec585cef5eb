//! Datagrams in: which IKE SA each is for, and what is answered outside any (RFC 7296 §2.1, §2.5, §2.21).

use super::admission::{decide, operations_left};
use super::half_open::{Displaced, Most, Source};
use super::services::Services;
use super::shell::{Association, Kept, Protocol, Shell};
use crate::admission::{Admission, AdmissionFacts};
use crate::error::{Bound, Rejection};
use crate::establish::responder::{InitRequest, Refusal, stateless_head};
use crate::event::{Handled, IkeSaHandle};
use crate::exchange::responses::{RequestDigest, Standing};
use crate::stats::{Statistics, count};
use crate::trace;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ikev2_wire::{Header, Message, NotifyPayload, Version};
use ipsec_types::udp::{self, Datagram4500};
use ipsec_types::{Instant, Path, PathKind};

impl<P: Protocol> Shell<P> {
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
        if self.state.protocol.is_one_way(header.exchange) {
            return self.with_scratch(|shell, scratch| {
                shell.with_protocol(|protocol, services| {
                    protocol.receive_one_way(services, path, &message, scratch)
                })
            });
        }
        let from_initiator = header.flags.is_initiator();
        let local = if from_initiator { header.responder_spi } else { Some(header.initiator_spi) };
        match local {
            Some(spi) => {
                let handle = self.state.ike_spis.owner(spi).ok_or(Rejection::UnknownSpi(spi))?;
                let result = self.with_scratch(|shell, scratch| {
                    shell.with_sa(handle, |protocol, services, sa| {
                        protocol.receive(services, sa, path, &message, scratch)
                    })
                });
                result.unwrap_or(Err(Rejection::UnknownSpi(spi)))
            }
            None => self.on_first_message(path, &message),
        }
    }

    fn with_scratch<T>(&mut self, act: impl FnOnce(&mut Self, &mut Vec<u8>) -> T) -> T {
        let mut scratch = mem::take(&mut self.scratch);
        let result = act(self, &mut scratch);
        self.scratch = scratch;
        result
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
            return self.repeat_init_answer(handle, path, &digest);
        }
        self.admit(path, message, digest).map_err(|refusal| self.answer_refusal(path, header, refusal))
    }

    /// The IKE_SA_INIT request of a half-open SA came once more.
    fn repeat_init_answer(
        &mut self,
        handle: IkeSaHandle,
        path: Path,
        digest: &RequestDigest,
    ) -> Result<Handled, Rejection> {
        let answered = self.with_sa(handle, |_, services, sa| {
            let Some(Standing::Repeat(answer)) = sa.responses().map(|kept| kept.judge(0, digest, None))
            else {
                return Err(Rejection::OldMessageId(0));
            };
            services.transmit_again(path, &answer);
            Ok(Handled::RepeatAnswered)
        });
        answered.unwrap_or(Err(Rejection::OldMessageId(0)))
    }

    /// The decision first, then the work.
    fn admit(
        &mut self,
        path: Path,
        message: &Message<'_>,
        digest: RequestDigest,
    ) -> Result<Handled, Refusal> {
        let (_, mut services, kept) = self.lend();
        services.observe_plain(path, message);
        let request = InitRequest::read(path, message)?;
        let source = Source::of(path.remote_ip(), services.config.source_prefix);
        let facts = AdmissionFacts {
            path,
            cookie_verified: request.brings_cookie(services.now, kept.cookies),
            half_open: kept.half_open.len(),
            half_open_from_source: kept.half_open.of_source(source),
            ike_sas: kept.sas.len(),
            operations_left: operations_left(services.config, services.operations, services.now),
        };
        let usual = decide(services.config, &facts);
        let hook = services.config.hooks.admission.as_ref();
        match hook.map_or(usual, |hook| hook.admit(&facts, usual)) {
            Admission::Accept => {}
            Admission::Cookie => {
                let cookie = request.cookie(services.now, services.random, kept.cookies)?;
                let head = stateless_head(message.header());
                services.send_notify(path, &head, NotifyPayload::new(NotifyType::COOKIE, &cookie));
                count(&mut services.statistics.cookies_sent);
                return Err(Refusal::silent(Rejection::CookieRequired));
            }
            Admission::Refuse(notify) => {
                count(&mut services.statistics.admissions_refused);
                return Err(Refusal::with(notify, Rejection::Refused(notify)));
            }
            Admission::Ignore(bound) => return Err(ignore(services.statistics, bound)),
        }
        let displaced = room(&services, &kept, &facts, source, message.as_bytes().len());
        let displaced = displaced.map_err(|bound| ignore(services.statistics, bound))?;
        let (protocol, mut services, kept) = self.lend();
        let handle = kept.sas.next_handle();
        let spi = services.allocate_ike_spi(handle).map_err(|error| Refusal::silent(error.into()))?;
        let sa = protocol.respond(&mut services, &request, handle, spi);
        let sa = sa.inspect_err(|_| services.release_ike_spi(spi))?;
        count(&mut services.statistics.admitted);
        if sa.half_open().is_some() {
            kept.half_open.insert(digest, handle, source, services.now);
        }
        kept.sas.insert(sa);
        self.with_sa(handle, |_, _, _| {});
        for displaced in displaced.handles {
            count(&mut self.statistics.half_open_displaced);
            self.with_sa(displaced, P::make_room);
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
        self.lend().1.send_notify(path, &head, NotifyPayload::new(notify, data));
    }
}

fn ignore(statistics: &mut Statistics, bound: Bound) -> Refusal {
    count(&mut statistics.admissions_ignored);
    Refusal::silent(Rejection::Limit(bound))
}

/// Whether there is room for one more half-open IKE SA with a request of so many octets, and which must give way for it.
fn room<P: Protocol>(
    services: &Services<'_, P::Event>,
    kept: &Kept<'_, P>,
    facts: &AdmissionFacts,
    source: Source,
    octets: usize,
) -> Result<Displaced, Bound> {
    let config = services.config;
    if facts.ike_sas >= config.max_ike_sas {
        return Err(Bound::IkeSas);
    }
    // Who may not be there at all takes nobody's place.
    let grace = if facts.cookie_verified { config.half_open_grace } else { Duration::MAX };
    let mut displaced = Displaced::default();
    for most in [Most::of_source(source, config), Most::of_all(config)] {
        kept.half_open.displace(&mut displaced, octets, &most, services.now, grace)?;
    }
    Ok(displaced)
}
