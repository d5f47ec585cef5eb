//! IKE_SA_INIT as responder (RFC 7296 §1.2, §2.6): what is wrong is answered without keeping anything, what is
//! right becomes a half-open IKE SA.

use super::auth::announced_hashes;
use super::cookie::{Cookie, CookieJar, Initiator};
use super::init::{self, InitMessage};
use super::intermediate::Intermediates;
use super::nat::Claim;
use super::secrets::{Agreement, IkeAlgorithms, ResponderSecret, Secured};
use crate::contents::{Contents, ContentsError};
use crate::error::Rejection;
use crate::event::NatStatus;
use crate::exchange::datagram::Datagram;
use crate::exchange::exchanges::{Ends, Exchanges, Received, Role};
use crate::exchange::fragment::{FragmentPolicy, Fragmentation, Opened, Reception};
use crate::exchange::protect::{MessageHead, Protection};
use crate::exchange::requests::RequestWindow;
use crate::exchange::responses::{RequestDigest, ResponseWindow};
use crate::keys::IkeKeys;
use crate::negotiation::{self, IkeChoice, IkeExchange, IkeProposal, Selection};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{Flags, Header, KePayload, Message, SaPayload};
use ipsec_crypto::{CryptoProvider, KxError, SecureRandom};
use ipsec_types::{IkeSpi, Instant, Path};

/// What a responder goes by.
#[derive(Clone, Copy, Debug)]
pub struct ResponderTerms {
    /// The algorithms.
    pub crypto: &'static CryptoProvider,
    /// Makes both sides see a NAT in front of us, so that ESP goes in UDP.
    pub force_udp_encapsulation: bool,
    /// How many requests we take from the peer at once.
    pub window: u32,
    /// Fragmentation of large messages, if the peer does it too; `None` for never (RFC 7383).
    pub fragmentation: Option<FragmentPolicy>,
    /// Whether we do IKE_INTERMEDIATE with a peer that does (RFC 9242).
    pub intermediate: bool,
    /// Whether an IKE SA may begin without a Child SA, which is offered (RFC 6023).
    pub childless: bool,
}

/// Why a request made no IKE SA, and what to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Why.
    pub rejection: Rejection,
    /// The notify and its data; `None` for no answer at all.
    pub notify: Option<(NotifyType, Vec<u8>)>,
}

impl Refusal {
    /// One that is not answered.
    #[must_use]
    pub fn silent(rejection: Rejection) -> Self {
        Self { rejection, notify: None }
    }

    /// One that is answered with a notify without data.
    #[must_use]
    pub fn with(notify: NotifyType, rejection: Rejection) -> Self {
        Self { rejection, notify: Some((notify, Vec::new())) }
    }

    /// The configuration names what the provider lacks.
    fn lacking(algorithm: String) -> Self {
        Self::with(NotifyType::NO_PROPOSAL_CHOSEN, Rejection::Algorithm(algorithm))
    }
}

impl From<ContentsError> for Refusal {
    fn from(error: ContentsError) -> Self {
        match error {
            ContentsError::Critical(ty) => Self {
                rejection: Rejection::CriticalPayload(ty),
                notify: Some((NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, Vec::from([ty.0]))),
            },
            error => Self::silent(error.into()),
        }
    }
}

/// The head of an answer that belongs to no SA: the request's SPIs and Message ID (§2.21, §2.6).
#[must_use]
pub fn stateless_head(header: &Header) -> MessageHead {
    MessageHead {
        initiator_spi: header.initiator_spi,
        responder_spi: header.responder_spi,
        exchange: header.exchange,
        flags: Flags::new(false, true),
        message_id: header.message_id,
    }
}

/// An IKE_SA_INIT request with the three payloads that every one has.
#[derive(Debug)]
pub struct InitRequest<'a> {
    path: Path,
    message: &'a Message<'a>,
    contents: Contents<'a>,
    sa: SaPayload<'a>,
    ke: KePayload<'a>,
    nonce: &'a [u8],
}

impl<'a> InitRequest<'a> {
    /// Reads a request that came on this path.
    ///
    /// # Errors
    /// [`Refusal`]: a payload is missing, malformed, there twice, or unknown and critical.
    pub fn read(path: Path, message: &'a Message<'a>) -> Result<Self, Refusal> {
        let mut contents = Contents::read(message.payloads())?;
        let missing = |ty| Refusal::with(NotifyType::INVALID_SYNTAX, Rejection::MissingPayload(ty));
        let sa = contents.sa.take().ok_or_else(|| missing(PayloadType::SA))?;
        let ke = contents.ke.take().ok_or_else(|| missing(PayloadType::KE))?;
        let nonce = contents.nonce.take().ok_or_else(|| missing(PayloadType::NONCE))?.as_bytes();
        Ok(Self { path, message, contents, sa, ke, nonce })
    }

    /// The path by which it came.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds besides SA, KE and nonce.
    #[must_use]
    pub fn contents(&self) -> &Contents<'a> {
        &self.contents
    }

    fn initiator(&self) -> Initiator<'_> {
        let spi = self.message.header().initiator_spi;
        Initiator { address: self.path.remote_ip(), spi, nonce: self.nonce }
    }

    /// Whether it brings a cookie of ours (§2.6).
    #[must_use]
    pub fn brings_cookie(&self, now: Instant, jar: &CookieJar) -> bool {
        let brought = self.contents.notify(NotifyType::COOKIE).map_or(&[][..], |notify| notify.data);
        jar.check(now, &self.initiator(), brought)
    }

    /// The cookie that it must bring.
    ///
    /// # Errors
    /// [`Rejection::Random`], without an answer.
    pub fn cookie(
        &self,
        now: Instant,
        random: &mut dyn SecureRandom,
        jar: &mut CookieJar,
    ) -> Result<Cookie, Refusal> {
        jar.make(now, random, &self.initiator()).map_err(|error| Refusal::silent(error.into()))
    }

    /// Whether its sender does IKE_INTERMEDIATE (RFC 9242 §3.1).
    #[must_use]
    pub fn does_intermediate(&self) -> bool {
        init::peer_intermediate(&self.contents)
    }

    /// The first of these policies that accepts one of the proposals, and what it chooses (§2.7); `intermediate` where
    /// both ends do IKE_INTERMEDIATE.
    ///
    /// # Errors
    /// [`Refusal`] with NO_PROPOSAL_CHOSEN, or with INVALID_KE_PAYLOAD where a policy would accept another method.
    pub fn choose<'p, T>(
        &self,
        policies: impl Iterator<Item = (T, &'p [IkeProposal])>,
        intermediate: bool,
    ) -> Result<(T, IkeChoice), Refusal> {
        let mut refusal = Refusal::with(NotifyType::NO_PROPOSAL_CHOSEN, Rejection::NoConnection);
        let got = self.ke.method;
        for (whose, policy) in policies {
            match negotiation::choose_ike(policy, &self.sa, IkeExchange::initial(intermediate), got) {
                Ok(Selection::Chosen(choice)) => return Ok((whose, choice)),
                Ok(Selection::InvalidKe(mismatch)) => {
                    let wanted = mismatch.wanted.0.to_be_bytes();
                    let notify = (NotifyType::INVALID_KE_PAYLOAD, wanted.to_vec());
                    let rejection = Rejection::KeMethod(mismatch);
                    refusal = Refusal { rejection, notify: Some(notify) };
                }
                Err(mismatch) => {
                    if refusal.rejection == Rejection::NoConnection {
                        refusal.rejection = Rejection::NoProposalChosen(mismatch);
                    }
                }
            }
        }
        Err(refusal)
    }

    /// Makes the half-open IKE SA that will have this SPI of ours. [`HalfOpen::answer`] must be sent.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn answer(
        &self,
        random: &mut dyn SecureRandom,
        terms: &ResponderTerms,
        choice: &IkeChoice,
        spi: IkeSpi,
    ) -> Result<HalfOpen, Refusal> {
        let method = self.ke.method;
        let algorithms = IkeAlgorithms::of(terms.crypto, choice).map_err(Refusal::lacking)?;
        let (public, secret) = respond(random, terms.crypto, &self.ke)?;
        let nonce = init::nonce(random).map_err(|error| Refusal::silent(error.into()))?;
        let initiator_spi = self.message.header().initiator_spi;
        let (nat, claim) = self.nat(random, terms, spi)?;
        let peer_hashes = init::peer_hashes(terms.crypto, &self.contents);
        let hashes = match peer_hashes {
            Some(_) => init::hash_list(&announced_hashes(terms.crypto)),
            None => Vec::new(),
        };
        let fragmentation = init::fragmentation(terms.fragmentation, &self.contents);
        let agreed_intermediate = terms.intermediate && self.does_intermediate();
        let encoded = SaPayload::build(&[choice.reply(None)]).and_then(|sa| {
            let head = MessageHead { responder_spi: Some(spi), ..stateless_head(self.message.header()) };
            let (public, nonce, hashes) = (&public, &nonce, &hashes);
            let (nat, fragmentation) = (claim, fragmentation.is_agreed());
            let (cookie, redirect) = (None, None);
            let (intermediate, childless) = (agreed_intermediate, terms.childless);
            let answer = InitMessage {
                cookie,
                sa,
                method,
                public,
                nonce,
                nat,
                redirect,
                hashes,
                fragmentation,
                intermediate,
                childless,
            };
            init::plain(&head, &answer.payloads()?)
        });
        let answer = encoded.map_err(|error| Refusal::silent(Rejection::Encode(error)))?;
        let digest = RequestDigest::of(self.message.as_bytes());
        let mut responses = ResponseWindow::new(terms.window);
        responses.answer(0, digest, answer.clone().into());
        let agreement = Agreement {
            algorithms,
            ends: Ends { role: Role::Responder, initiator_spi, responder_spi: spi },
            initiator_nonce: self.nonce.to_vec(),
            responder_nonce: nonce,
            request: Datagram::copy_from(self.message.as_bytes()),
            answer,
            peer_hashes,
            childless: terms.childless,
            intermediate: agreed_intermediate,
        };
        let keys = LateKeys::Secret(secret);
        Ok(HalfOpen { agreement, digest, responses, fragmentation, nat, path: self.path, keys })
    }

    /// What NAT detection finds, and what we say of the path; only if the peer says anything of it.
    fn nat(
        &self,
        random: &mut dyn SecureRandom,
        terms: &ResponderTerms,
        spi: IkeSpi,
    ) -> Result<(NatStatus, Option<Claim>), Refusal> {
        let force = terms.force_udp_encapsulation;
        let initiator = self.message.header().initiator_spi;
        let Some(nat) = init::detect_nat(initiator, None, &self.path, &self.contents, force) else {
            return Ok((NatStatus::default(), None));
        };
        let mut forced = None;
        let claim = Claim::new(initiator, Some(spi), &self.path, force, &mut forced, random)
            .map_err(|error| Refusal::silent(error.into()))?;
        Ok((NatStatus { local: nat.local || forced.is_some(), ..nat }, Some(claim)))
    }
}

/// Our half of the key exchange. With Diffie-Hellman it does not depend on the peer's data, so that the
/// second half of the work waits until the peer has shown that it is there.
fn respond(
    random: &mut dyn SecureRandom,
    crypto: &CryptoProvider,
    ke: &KePayload<'_>,
) -> Result<(Vec<u8>, ResponderSecret), Refusal> {
    let KePayload { method, data: peer } = *ke;
    let refuse = |error: KxError| {
        let notify = match error {
            KxError::Random(_) => None,
            _ => Some((NotifyType::INVALID_SYNTAX, Vec::new())),
        };
        Refusal { rejection: Rejection::KeyExchange(error), notify }
    };
    let algorithm = crypto.key_exchange(method).ok_or_else(|| Refusal::lacking(method.to_string()))?;
    if peer.len() != algorithm.initiator_len() {
        return Err(refuse(KxError::Length { expected: algorithm.initiator_len(), got: peer.len() }));
    }
    if algorithm.is_kem() {
        let response = algorithm.respond(random, peer).map_err(refuse)?;
        return Ok((response.public, ResponderSecret::Ready(response.secret)));
    }
    let exchange = algorithm.start(random).map_err(refuse)?;
    let public = exchange.public().to_vec();
    Ok((public, ResponderSecret::Postponed { exchange, peer: peer.to_vec() }))
}

/// The keys of a half-open IKE SA, derived once, by whatever message asks first. That is work saved and no
/// state: it looks the same before and after.
enum LateKeys {
    Secret(ResponderSecret),
    Derived(Box<(IkeKeys, Protection)>),
    /// The peer's data gives no secret; nobody will ever authenticate here.
    Failed(KxError),
}

impl fmt::Debug for LateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateKeys")
    }
}

/// An IKE SA whose initiator has not shown yet that it got our answer.
#[derive(Debug)]
pub struct HalfOpen {
    agreement: Agreement,
    digest: RequestDigest,
    responses: ResponseWindow,
    fragmentation: Fragmentation,
    nat: NatStatus,
    path: Path,
    keys: LateKeys,
}

impl HalfOpen {
    /// What was agreed.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// The IKE_SA_INIT answer.
    #[must_use]
    pub fn answer(&self) -> &Datagram {
        &self.agreement.answer
    }

    /// The octets of the request that it answers, to know its repeats.
    #[must_use]
    pub fn request(&self) -> &RequestDigest {
        &self.digest
    }

    /// The answer, kept for repeats of the request.
    #[must_use]
    pub fn responses(&self) -> &ResponseWindow {
        &self.responses
    }

    /// What NAT detection found.
    #[must_use]
    pub fn nat(&self) -> NatStatus {
        self.nat
    }

    /// Whether the shared secret must still be computed, which the next [`HalfOpen::open`] does.
    #[must_use]
    pub fn owes_key_exchange(&self) -> bool {
        matches!(&self.keys, LateKeys::Secret(secret) if secret.is_postponed())
    }

    /// The keys, once they are derived.
    #[must_use]
    pub fn keys(&self) -> Option<&IkeKeys> {
        match &self.keys {
            LateKeys::Derived(derived) => Some(&derived.0),
            _ => None,
        }
    }

    /// Whether the first request after IKE_SA_INIT may be one of this exchange: IKE_INTERMEDIATE, or IKE_AUTH where
    /// nothing must come before it (RFC 9242 §3.2, RFC 9370 §2.2.2).
    #[must_use]
    pub fn expects(&self, exchange: ExchangeType) -> bool {
        let Agreement { intermediate, algorithms, .. } = &self.agreement;
        Intermediates::new(*intermediate, algorithms.additional).expects(exchange)
    }

    /// What a message is, before anything is decrypted: a repeat of IKE_SA_INIT, or the first request after it,
    /// which is Message ID 1 whatever the window (§2.2).
    ///
    /// # Errors
    /// [`Rejection`]: it is neither. Nothing changed.
    pub fn judge(&self, path: Path, message: &Message<'_>) -> Result<Received, Rejection> {
        let (header, ends) = (message.header(), &self.agreement.ends);
        let id = header.message_id;
        if header.initiator_spi != ends.initiator_spi || !header.flags.is_initiator() {
            return Err(Rejection::Contradictory);
        }
        if header.flags.is_response() {
            return Err(Rejection::Unsolicited(id));
        }
        match Received::judge(path, message, &self.responses)? {
            Received::Request(_) if id != self.responses.expected() => Err(Rejection::MessageIdAhead(id)),
            received => Ok(received),
        }
    }

    /// What was agreed of fragments, and the peer's that are not whole.
    #[must_use]
    pub fn fragmentation(&self) -> &Fragmentation {
        &self.fragmentation
    }

    /// The octets of the initiator's that it keeps: its request, and fragments.
    #[must_use]
    pub fn kept_octets(&self) -> usize {
        self.agreement.request.message().len().saturating_add(self.fragmentation.reassembly.octets())
    }

    /// The same, to give up what is not whole.
    pub fn fragmentation_mut(&mut self) -> &mut Fragmentation {
        &mut self.fragmentation
    }

    /// Opens the first request after IKE_SA_INIT or a fragment of it, and derives the keys if nothing asked for them
    /// before. Where it is authentic and whole, the initiator has the keys: go on with [`HalfOpen::secure`].
    ///
    /// # Errors
    /// As [`Exchanges::open`](crate::exchange::exchanges::Exchanges::open), and [`Rejection::KeyExchange`] where
    /// the peer's data gives no secret.
    pub fn open<'s>(
        &mut self,
        reception: &Reception<'_>,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Opened<'s> {
        if message.protected().is_none() {
            return Err(Rejection::Unprotected);
        }
        // What is of no use is not worth a key exchange.
        self.fragmentation.judge(message, reception)?;
        let keys = core::mem::replace(&mut self.keys, LateKeys::Failed(KxError::InvalidPublicValue));
        self.keys = match keys {
            LateKeys::Secret(secret) => match secret.compute().map(|shared| self.agreement.keys(&shared)) {
                Ok(Some(derived)) => LateKeys::Derived(Box::new(derived)),
                Ok(None) => LateKeys::Failed(KxError::ZeroSecret),
                Err(error) => LateKeys::Failed(error),
            },
            derived => derived,
        };
        match &self.keys {
            LateKeys::Derived(derived) => self.fragmentation.open(&derived.1, reception, message, scratch),
            LateKeys::Failed(error) => Err(Rejection::KeyExchange(*error)),
            LateKeys::Secret(_) => Err(Rejection::Unprotected),
        }
    }

    /// The initiator has shown that it has the keys: the exchanges go on. `None` where nothing was opened yet.
    #[must_use]
    pub fn secure<P>(self) -> Option<Secured<P>> {
        let LateKeys::Derived(derived) = self.keys else { return None };
        let (keys, protection) = *derived;
        let requests = RequestWindow::default();
        let Self { agreement, fragmentation, nat, path, responses, .. } = self;
        let exchanges = Exchanges::new(agreement.ends, protection, fragmentation, requests, responses);
        let intermediates = Intermediates::new(agreement.intermediate, agreement.algorithms.additional);
        Some(Secured { agreement, keys, exchanges, intermediates, nat, path })
    }
}
