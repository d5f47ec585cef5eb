//! IKE_SA_INIT as initiator (RFC 7296 §1.2): the request, its repeats with a cookie (§2.6) or another key exchange
//! method (§2.7), and whoever answers it.
//!
//! Nothing in an answer is authentic yet. What is of no use is dropped and the attempt goes on (§2.21.1). Several
//! answers may come, of which one is the peer's: each becomes a [`Secured`] of its own, with exchanges of its own,
//! and who proves in the authentication exchange to be the peer gets the IKE SA; so a forged answer that comes first
//! does not shut out the genuine one (§2.4).

use super::auth::announced_hashes;
use super::half::Half;
use super::init::{self, InitMessage};
use super::intermediate::Intermediates;
use super::nat::{Claim, NatHash};
use super::secrets::{Agreement, IkeAlgorithms, Secured};
use crate::contents::Contents;
use crate::error::{Failure, Rejection};
use crate::exchange::datagram::Datagram;
use crate::exchange::exchanges::{Ends, Exchanges, Role};
use crate::exchange::fragment::FragmentPolicy;
use crate::exchange::protect::MessageHead;
use crate::exchange::requests::{Due, RequestWindow};
use crate::exchange::responses::ResponseWindow;
use crate::exchange::retransmit::RetransmitPolicy;
use crate::negotiation::{self, IkeExchange, IkeProposal};
use crate::redirect::{Gateway, RedirectSupport};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use ikev2_wire::{Flags, Message, Proposal, Redirect, SaPayload};
use ipsec_crypto::{CryptoProvider, SecureRandom};
use ipsec_types::{IkeSpi, Instant, Path, PathKind};

/// How many answers are followed at once. Each costs a key exchange and one more request.
pub const MAX_ANSWERERS: usize = 4;

/// How many are followed in all, those included that turned out not to be the peer.
pub const MAX_FOLLOWED: usize = 16;

/// What an initiator goes by.
#[derive(Clone, Copy, Debug)]
pub struct InitiatorTerms {
    /// The algorithms.
    pub crypto: &'static CryptoProvider,
    /// Makes both sides see a NAT in front of us, so that ESP goes in UDP.
    pub force_udp_encapsulation: bool,
    /// Our and the peer's port for everything after IKE_SA_INIT if there is a NAT between (§2.23).
    pub nat_t_ports: (u16, u16),
    /// Goes on by these ports wherever the peer does NAT detection, so that they need not change when a NAT comes
    /// between later (RFC 4555 §3.3).
    pub always_nat_t: bool,
    /// Repeats of the request.
    pub retransmit: RetransmitPolicy,
    /// How long an unprotected error is doubted before it is believed (§2.21.1).
    pub error_patience: Duration,
    /// How often a peer may let us start over.
    pub max_restarts: u32,
    /// How many requests we take from the peer at once.
    pub window: u32,
    /// Fragmentation of large messages, if the peer does it too; `None` for never (RFC 7383).
    pub fragmentation: Option<FragmentPolicy>,
    /// What the request says of redirects (RFC 5685).
    pub redirects: RedirectSupport,
    /// Whether the request says that we do IKE_INTERMEDIATE, without which there are no additional key exchanges
    /// (RFC 9242 §3.1, RFC 9370).
    pub intermediate: bool,
    /// Whether only who offers an IKE SA that begins without a Child SA is followed (RFC 6023).
    pub childless_only: bool,
}

/// What an answer was.
#[derive(Debug)]
pub enum InitAnswer<P> {
    /// A cookie or another method was asked for: [`Initiator::request`] is another one now, and must be sent.
    StartOver,
    /// An error, which anyone can send. It is believed after [`InitiatorTerms::error_patience`], unless something
    /// better comes.
    Error(NotifyType),
    /// One more error while an earlier one is doubted.
    FurtherError,
    /// Somebody who saw our request sends us to another gateway (RFC 5685 §3): nothing more comes of this one.
    Redirect(Gateway),
    /// Somebody answered, and there are keys with them: go on to authenticate.
    Secured(Box<Secured<P>>),
}

/// An IKE_SA_INIT request and who answers it, until an IKE SA comes of it.
pub struct Initiator {
    terms: InitiatorTerms,
    spi: IkeSpi,
    path: Path,
    offered: Vec<Proposal>,
    half: Half,
    nonce: Vec<u8>,
    cookie: Option<Vec<u8>>,
    claim: Claim,
    claims_nat: bool,
    /// How often the peer let us start over.
    restarts: u32,
    request: Datagram,
    /// Holds the request until the first one answered.
    window: RequestWindow<()>,
    /// The first unprotected error, and when it will be believed.
    doubted: Option<(NotifyType, Instant)>,
    /// Who answered and may still be the peer.
    answerers: Vec<IkeSpi>,
    /// Who answered and is not the peer.
    dismissed: Vec<IkeSpi>,
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("method", &self.half.method)
            .field("nonce", &self.nonce)
            .field("cookie", &self.cookie)
            .field("restarts", &self.restarts)
            .field("request", &self.request)
            .field("window", &self.window)
            .field("doubted", &self.doubted)
            .field("answerers", &self.answerers)
            .field("dismissed", &self.dismissed)
            .finish_non_exhaustive()
    }
}

fn useless(failure: Failure) -> Rejection {
    Rejection::UselessAnswer(Box::new(failure))
}

impl Initiator {
    /// Makes the first message of an IKE SA that will have this SPI of ours. [`Initiator::request`] must be sent
    /// on this path.
    ///
    /// # Errors
    /// [`Failure::Algorithm`] where the provider has no method of the proposals, [`Failure::KeyExchange`],
    /// [`Failure::Random`], [`Failure::Encode`].
    pub fn start(
        now: Instant,
        random: &mut dyn SecureRandom,
        terms: InitiatorTerms,
        proposals: &[IkeProposal],
        spi: IkeSpi,
        path: Path,
    ) -> Result<Self, Failure> {
        let offered = negotiation::offer_ike(proposals, None);
        let half = Half::required(terms.crypto, random, &offered)?;
        let nonce = init::nonce(random)?;
        let mut forced: Option<NatHash> = None;
        let claim = Claim::new(spi, None, &path, terms.force_udp_encapsulation, &mut forced, random)?;
        let mut initiator = Self {
            terms,
            spi,
            path,
            offered,
            half,
            nonce,
            cookie: None,
            claim,
            claims_nat: forced.is_some(),
            restarts: 0,
            request: Datagram::finish(Datagram::buffer(0)),
            window: RequestWindow::default(),
            doubted: None,
            answerers: Vec::new(),
            dismissed: Vec::new(),
        };
        initiator.request = initiator.build(None, &initiator.half)?;
        initiator.window.sent(now, initiator.request.clone().into(), (), &terms.retransmit);
        Ok(initiator)
    }

    fn build(&self, cookie: Option<&[u8]>, half: &Half) -> Result<Datagram, Failure> {
        let head = MessageHead {
            initiator_spi: self.spi,
            responder_spi: None,
            exchange: ExchangeType::IKE_SA_INIT,
            flags: Flags::new(true, false),
            message_id: 0,
        };
        let redirect = self.terms.redirects.notify();
        let message = InitMessage {
            cookie,
            sa: SaPayload::build(&self.offered)?,
            method: half.method,
            public: half.pending.public(),
            nonce: &self.nonce,
            nat: Some(self.claim),
            redirect: redirect.as_ref().map(|(ty, data)| (*ty, &**data)),
            hashes: &init::hash_list(&announced_hashes(self.terms.crypto)),
            fragmentation: self.terms.fragmentation.is_some(),
            intermediate: self.terms.intermediate,
            childless: false,
        };
        Ok(init::plain(&head, &message.payloads()?)?)
    }

    /// The request as it stands.
    #[must_use]
    pub fn request(&self) -> &Datagram {
        &self.request
    }

    /// The first unprotected error that came, which may be forged.
    #[must_use]
    pub fn doubted_error(&self) -> Option<NotifyType> {
        self.doubted.map(|(notify, _)| notify)
    }

    /// When [`Initiator::due`] has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let doubted = self.doubted.filter(|_| self.answerers.is_empty()).map(|(_, until)| until);
        [doubted, self.window.deadline()].into_iter().flatten().min()
    }

    /// What is due: the request once more, or the end of the attempt. Call it until it gives `None`.
    ///
    /// # Errors
    /// [`Failure::Timeout`], [`Failure::Refused`], [`Failure::OfferRefused`]: nothing will come of it.
    pub fn due(&mut self, now: Instant) -> Option<Result<Datagram, Failure>> {
        match self.window.due(now, &self.terms.retransmit) {
            Some(Due::Repeat { .. }) => return Some(Ok(self.request.clone())),
            Some(Due::Exhausted(())) => {
                let (exchange, hint) = (ExchangeType::IKE_SA_INIT, self.doubted_error());
                return Some(Err(Failure::Timeout { exchange, hint }));
            }
            None => {}
        }
        let (notify, _) = self.doubted.filter(|(_, at)| *at <= now && self.answerers.is_empty())?;
        Some(Err(Failure::refused(notify, &self.offered, None)))
    }

    /// Whoever answered with this SPI is not the peer; another one may be.
    pub fn dismiss(&mut self, answerer: IkeSpi) {
        let before = self.answerers.len();
        self.answerers.retain(|spi| *spi != answerer);
        if self.answerers.len() < before {
            self.dismissed.push(answerer);
        }
    }

    /// A message that names our SPI came before there was an IKE SA.
    ///
    /// # Errors
    /// [`Rejection`]: it is of no use, and the attempt goes on as it was.
    pub fn receive<P>(
        &mut self,
        now: Instant,
        random: &mut dyn SecureRandom,
        path: Path,
        message: &Message<'_>,
    ) -> Result<InitAnswer<P>, Rejection> {
        let header = message.header();
        if header.initiator_spi != self.spi || header.flags.is_initiator() {
            return Err(Rejection::Contradictory);
        }
        if !header.flags.is_response() {
            return Err(Rejection::UnexpectedExchange(header.exchange));
        }
        if header.message_id != 0 {
            return Err(Rejection::Unsolicited(header.message_id));
        }
        if header.exchange != ExchangeType::IKE_SA_INIT || message.protected().is_some() {
            return Err(Rejection::UnexpectedExchange(header.exchange));
        }
        let contents = Contents::read(message.payloads())?;
        if contents.sa.is_some() {
            return self.on_answerer(path, message, &contents);
        }
        if !self.answerers.is_empty() {
            // Somebody else answers what was answered.
            return Err(Rejection::Unsolicited(0));
        }
        // One of an illegal length is as good as none (§2.6).
        if let Some(cookie) = contents.notify(NotifyType::COOKIE).and_then(|notify| notify.cookie()) {
            self.start_over(now, Some(cookie.to_vec()), None)?;
            return Ok(InitAnswer::StartOver);
        }
        if let Some(redirect) = contents.notify(NotifyType::REDIRECT).and_then(|notify| notify.redirect()) {
            return self.on_redirect(&redirect);
        }
        let Some(error) = contents.error() else {
            return Err(Rejection::MissingPayload(PayloadType::SA));
        };
        if error.ty == NotifyType::INVALID_KE_PAYLOAD {
            let wanted = error.ke_method().ok_or(Rejection::MissingPayload(PayloadType::KE))?;
            let half = self.other_half(random, wanted)?;
            self.start_over(now, None, Some(half))?;
            return Ok(InitAnswer::StartOver);
        }
        if self.doubted.is_some() {
            return Ok(InitAnswer::FurtherError);
        }
        self.doubted = Some((error.ty, now + self.terms.error_patience));
        Ok(InitAnswer::Error(error.ty))
    }

    /// One without our nonce comes from somebody who has not seen our request, and the wait goes on (RFC 5685 §3).
    fn on_redirect<P>(&self, redirect: &Redirect<'_>) -> Result<InitAnswer<P>, Rejection> {
        let gateway = Gateway::from(redirect.gateway);
        if redirect.nonce != self.nonce {
            return Err(useless(Failure::RedirectNonce));
        }
        match self.terms.redirects {
            RedirectSupport::None => Err(useless(Failure::Redirected(gateway))),
            RedirectSupport::Supported | RedirectSupport::From(_) => Ok(InitAnswer::Redirect(gateway)),
        }
    }

    /// INVALID_KE_PAYLOAD (§1.2): the same proposals with the method that the peer names, if we offered it.
    fn other_half(&self, random: &mut dyn SecureRandom, wanted: KeMethod) -> Result<Half, Rejection> {
        self.check_restarts()?;
        Half::other(self.terms.crypto, random, &self.offered, Some(self.half.method), wanted).map_err(useless)
    }

    fn check_restarts(&self) -> Result<(), Rejection> {
        if self.restarts >= self.terms.max_restarts {
            return Err(useless(Failure::TooManyRetries(self.restarts)));
        }
        Ok(())
    }

    /// The same request with another cookie or another half, under the same Message ID.
    fn start_over(
        &mut self,
        now: Instant,
        cookie: Option<Vec<u8>>,
        half: Option<Half>,
    ) -> Result<(), Rejection> {
        self.check_restarts()?;
        let cookie = cookie.or_else(|| self.cookie.clone());
        let request = self.build(cookie.as_deref(), half.as_ref().unwrap_or(&self.half)).map_err(useless)?;
        self.cookie = cookie;
        if let Some(half) = half {
            self.half = half;
        }
        self.restarts = self.restarts.saturating_add(1);
        self.window.replace(now, 0, request.clone().into(), &self.terms.retransmit);
        self.request = request;
        Ok(())
    }

    /// An answer that agrees, or says that it does.
    fn on_answerer<P>(
        &mut self,
        path: Path,
        message: &Message<'_>,
        contents: &Contents<'_>,
    ) -> Result<InitAnswer<P>, Rejection> {
        let spi = message.header().responder_spi.ok_or(Rejection::Contradictory)?;
        let known = self.answerers.contains(&spi) || self.dismissed.contains(&spi);
        let followed = self.answerers.len().saturating_add(self.dismissed.len());
        if known || self.answerers.len() >= MAX_ANSWERERS || followed >= MAX_FOLLOWED {
            return Err(Rejection::Unsolicited(0));
        }
        let agreement = self.agreement(spi, message, contents)?;
        let peer = contents.ke.as_ref().map_or(&[][..], |ke| ke.data);
        let shared = self.half.pending.finish(peer)?;
        let (keys, protection) = agreement
            .keys(&shared)
            .ok_or_else(|| useless(Failure::Algorithm(agreement.algorithms.cipher.suite().to_string())))?;
        let detected = init::detect_nat(self.spi, Some(spi), &path, contents, self.claims_nat);
        let nat = detected.unwrap_or_default();
        let path = if nat.any() || (self.terms.always_nat_t && detected.is_some()) {
            self.nat_t_path()
        } else {
            self.path
        };
        self.window.answered(0);
        self.answerers.push(spi);
        // IKE_SA_INIT was Message ID 0 (§2.2).
        let (requests, responses) = (RequestWindow::from_id(1), ResponseWindow::new(self.terms.window));
        let fragmentation = init::fragmentation(self.terms.fragmentation, contents);
        let exchanges = Exchanges::new(agreement.ends, protection, fragmentation, requests, responses);
        let intermediates = Intermediates::new(agreement.intermediate, agreement.algorithms.additional);
        let secured = Secured { agreement, keys, exchanges, intermediates, nat, path };
        Ok(InitAnswer::Secured(Box::new(secured)))
    }

    fn agreement(
        &self,
        responder_spi: IkeSpi,
        message: &Message<'_>,
        contents: &Contents<'_>,
    ) -> Result<Agreement, Rejection> {
        let sa = contents.sa.as_ref().ok_or(Rejection::MissingPayload(PayloadType::SA))?;
        let ke = contents.ke.as_ref().ok_or(Rejection::MissingPayload(PayloadType::KE))?;
        let nonce = contents.nonce.as_ref().ok_or(Rejection::MissingPayload(PayloadType::NONCE))?;
        let method = self.half.method;
        let intermediate = self.terms.intermediate && init::peer_intermediate(contents);
        let exchange = IkeExchange::initial(intermediate);
        let choice = negotiation::accept_ike(&self.offered, sa, exchange, method)
            .map_err(|fault| useless(Failure::ProposalAnswer(fault)))?;
        if ke.method != method {
            return Err(useless(Failure::KeMethod { got: ke.method, wanted: method }));
        }
        let algorithms = IkeAlgorithms::of(self.terms.crypto, &choice)
            .map_err(|name| useless(Failure::Algorithm(name)))?;
        let childless = contents.notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED).is_some();
        if self.terms.childless_only && !childless {
            return Err(useless(Failure::NotChildless));
        }
        Ok(Agreement {
            algorithms,
            ends: Ends { role: Role::Initiator, initiator_spi: self.spi, responder_spi },
            initiator_nonce: self.nonce.clone(),
            responder_nonce: nonce.as_bytes().to_vec(),
            request: self.request.clone(),
            answer: Datagram::copy_from(message.as_bytes()),
            peer_hashes: init::peer_hashes(self.terms.crypto, contents),
            childless,
            intermediate,
        })
    }

    /// With a NAT between, everything from now on goes by the NAT-T ports (§2.23).
    fn nat_t_path(&self) -> Path {
        let (local, remote) = self.terms.nat_t_ports;
        match self.path.kind {
            PathKind::NatT => self.path,
            PathKind::Ike => Path::nat_t(
                SocketAddr::new(self.path.local_ip(), local),
                SocketAddr::new(self.path.remote_ip(), remote),
            ),
        }
    }
}
