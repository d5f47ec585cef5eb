//! Datagrams in: which IKE SA each is for, and what is answered outside any (RFC 7296 §2.1, §2.5, §2.21).

use super::Endpoint;
use crate::config::CookiePolicy;
use crate::error::{Bound, Rejection};
use crate::establish::responder::{InitRequest, Refusal, stateless_head};
use crate::event::Handled;
use crate::exchange::responses::RequestDigest;
use crate::sa::IkeSa;
use crate::stats::count;
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
        if header.version.major != Version::V2.major {
            return Err(self.refuse_version(path, &header));
        }
        let message = Message::parse(octets)?;
        let from_initiator = header.flags.is_initiator();
        let local = if from_initiator { header.responder_spi } else { Some(header.initiator_spi) };
        match local {
            Some(spi) => {
                let handle = self.state.sas.find(spi).ok_or(Rejection::UnknownSpi(spi))?;
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
        let reflected = self.state.sas.has_spi(header.initiator_spi);
        if header.flags.is_response() || header.message_id != 0 || reflected {
            return Err(Rejection::Contradictory);
        }
        if message.protected().is_some() {
            return Err(Rejection::UnexpectedExchange(header.exchange));
        }
        let digest = RequestDigest::of(message.as_bytes());
        if let Some(handle) = self.state.half_open.get(&digest).copied() {
            let answered = self.with_sa(handle, |sa, context| sa.repeat_init_answer(context, path, message));
            return answered.unwrap_or(Err(Rejection::OldMessageId(0)));
        }
        self.admit(path, message, digest).map_err(|refusal| self.answer_refusal(path, header, refusal))
    }

    /// Cookies first, then bounds, then work.
    fn admit(
        &mut self,
        path: Path,
        message: &Message<'_>,
        digest: RequestDigest,
    ) -> Result<Handled, Refusal> {
        let spi = self.new_spi().map_err(|error| Refusal::silent(error.into()))?;
        let (mut context, kept) = self.lend();
        let half_open = kept.half_open.len();
        let handle = kept.sas.next_handle();
        context.observe_plain(path, message);
        let request = InitRequest::read(path, message)?;
        let needed = match context.config.cookies {
            CookiePolicy::Never => false,
            CookiePolicy::WhenHalfOpen(threshold) => half_open >= threshold,
            CookiePolicy::Always => true,
        };
        if needed && !request.brings_cookie(context.now, kept.cookies) {
            let cookie = request.cookie(context.now, context.random, kept.cookies)?;
            let head = stateless_head(message.header());
            context.send_notify(path, &head, NotifyPayload::new(NotifyType::COOKIE, &cookie));
            count(&mut context.statistics.cookies_sent);
            return Err(Refusal::silent(Rejection::CookieRequired));
        }
        if half_open >= context.config.max_half_open {
            return Err(Refusal::silent(Rejection::Limit(Bound::HalfOpen)));
        }
        if kept.sas.len() >= context.config.max_ike_sas {
            return Err(Refusal::silent(Rejection::Limit(Bound::IkeSas)));
        }
        let sa = IkeSa::respond(&mut context, &request, handle, spi)?;
        kept.sas.insert(spi, sa);
        kept.half_open.insert(digest, handle);
        self.with_sa(handle, |_, _| {});
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
