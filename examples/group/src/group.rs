//! A group, as its controller or as one of its members.

use crate::authenticate::{self, Purpose};
use crate::ending::Ending;
use crate::sa::{GroupSa, Joining, Stage};
use crate::wire::{self, GROUP_ASK, GROUP_AUTH, GROUP_NEWS, Keys, NEWS, OURS};
use ikev2_core::contents::Contents;
use ikev2_core::endpoint::{Protocol, Services};
use ikev2_core::error::{Bound, Incomplete};
use ikev2_core::establish::initiator::{InitAnswer, Initiator, InitiatorTerms};
use ikev2_core::establish::responder::{InitRequest, Refusal, ResponderTerms};
use ikev2_core::exchange::exchanges::{Exchanges, Received, Request};
use ikev2_core::exchange::fragment::{Arrival, Arrived, FragmentPolicy};
use ikev2_core::exchange::one_way::{OneWayReceiver, OneWaySender};
use ikev2_core::exchange::requests::Due;
use ikev2_core::exchange::retransmit::RetransmitPolicy;
use ikev2_core::negotiation::IkeProposal;
use ikev2_core::redirect::RedirectSupport;
use ikev2_core::{CallError, Failure, Handled, Identity, IkeSaHandle, LocalAuth, Rejection, RemoteAuth};
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ikev2_wire::{Message, NotifyPayload, Payload};
use ipsec_crypto::{CipherAlgorithm, CipherError};
use ipsec_types::{IkeSpi, Path};

/// What GROUP_AUTH costs a controller at most: the shared secret, a signature to check and one to make.
const AUTH_OPERATIONS: u32 = 3;

/// What one end goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called in errors.
    pub name: String,
    /// The name of the group.
    pub group: String,
    /// Who we are.
    pub identity: Identity,
    /// How we prove it.
    pub local_auth: LocalAuth,
    /// What proof we take.
    pub remote_auth: RemoteAuth,
    /// What is offered and accepted.
    pub proposals: Vec<IkeProposal>,
    /// Repeats of requests.
    pub retransmit: RetransmitPolicy,
    /// Fragmentation of large messages, if the other end does it too.
    pub fragmentation: Option<FragmentPolicy>,
    /// What protects one-way messages: a combined-mode cipher.
    pub cipher: &'static dyn CipherAlgorithm,
}

/// What the embedder is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// As member: we are in, and this is the controller.
    Joined(IkeSaHandle, Identity),
    /// As controller: this member is in.
    Admitted(IkeSaHandle, Identity),
    /// Somebody answered IKE_SA_INIT with an error, which may be forged.
    ErrorSeen(IkeSaHandle, NotifyType),
    /// A member asked this, and was answered.
    Asked(IkeSaHandle, Vec<u8>),
    /// The answer to what we asked.
    Answered(IkeSaHandle, Vec<u8>),
    /// A one-way message.
    News(Vec<u8>),
    /// Fragments of a message of the other end's never came.
    Incomplete(IkeSaHandle, Incomplete),
    /// An SA is over.
    Ended(IkeSaHandle, Box<Ending>),
}

/// Which end we are.
#[derive(Debug)]
pub enum Part {
    /// Sends to all.
    Controller(OneWaySender, Keys),
    /// Receives, once it is in.
    Member(Option<OneWayReceiver>),
}

/// The protocol, with what its SAs share.
#[derive(Debug)]
pub struct Group {
    settings: Settings,
    part: Part,
}

impl Group {
    /// A controller with a fresh key.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`].
    pub fn controller(settings: Settings, keys: Keys) -> Result<Self, CipherError> {
        let sender = OneWaySender::new(keys.id, settings.cipher, &keys.sa_keys())?;
        Ok(Self { settings, part: Part::Controller(sender, keys) })
    }

    /// A member that is not in yet.
    #[must_use]
    pub fn member(settings: Settings) -> Self {
        Self { settings, part: Part::Member(None) }
    }

    /// Sends the first message to a controller.
    ///
    /// # Errors
    /// [`CallError::Failed`].
    pub fn join(
        &mut self,
        services: &mut Services<'_, Event>,
        handle: IkeSaHandle,
        spi: IkeSpi,
        path: Path,
    ) -> Result<GroupSa, CallError> {
        let terms = InitiatorTerms {
            redirects: RedirectSupport::None,
            crypto: services.config.crypto,
            force_udp_encapsulation: false,
            nat_t_ports: (services.config.local_nat_t_port, 4500),
            always_nat_t: false,
            retransmit: self.settings.retransmit,
            error_patience: core::time::Duration::from_secs(3),
            max_restarts: services.config.max_init_retries,
            window: services.config.window,
            fragmentation: self.settings.fragmentation,
            intermediate: false,
            childless_only: false,
        };
        let proposals = &self.settings.proposals;
        let initiator = Initiator::start(services.now, services.random, terms, proposals, spi, path)?;
        services.send_plain(path, initiator.request());
        let stage = Stage::Joining(Box::new(Joining { initiator, answerers: Vec::new() }));
        Ok(GroupSa::new(handle, spi, path, stage))
    }

    /// Asks the controller something.
    ///
    /// # Errors
    /// [`CallError::NotEstablished`], [`CallError::Failed`] where the window has no room.
    pub fn ask(
        &self,
        services: &mut Services<'_, Event>,
        sa: &mut GroupSa,
        what: &[u8],
    ) -> Result<(), CallError> {
        let Stage::Up(exchanges) = &mut sa.stage else { return Err(CallError::NotEstablished) };
        let payloads = [wire::payload(NEWS, what)];
        let sealed = exchanges.seal_request(&sa.path, GROUP_ASK, &payloads).map_err(Failure::from)?;
        services.observe_sent(&sa.path, sealed.message(), &payloads);
        let sent = exchanges.sent(services.now, sealed, Purpose::Ask, &self.settings.retransmit);
        if let Some(message) = sent {
            services.transmit(sa.path, &message);
        }
        Ok(())
    }

    /// As controller: tells all who are reached by these paths, by the same octets.
    ///
    /// # Errors
    /// [`CallError::NotEstablished`] at a member, [`CallError::Failed`] where the Message IDs are used up.
    pub fn announce(
        &mut self,
        services: &mut Services<'_, Event>,
        paths: &[Path],
        news: &[u8],
    ) -> Result<(), CallError> {
        let Part::Controller(sender, keys) = &mut self.part else { return Err(CallError::NotEstablished) };
        let payloads = [wire::payload(NEWS, news)];
        let message = sender.seal(&payloads).map_err(Failure::from)?.into();
        keys.next_id = sender.next_id();
        for path in paths {
            services.observe_sent(path, &message, &payloads);
            services.transmit(*path, &message);
        }
        Ok(())
    }

    fn receive_joining(
        &mut self,
        services: &mut Services<'_, Event>,
        sa: &mut GroupSa,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let (settings, exchange) = (&self.settings, message.header().exchange);
        let Stage::Joining(joining) = &mut sa.stage else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let Joining { initiator, answerers } = &mut **joining;
        if exchange == ExchangeType::IKE_SA_INIT {
            services.observe_plain(path, message);
            let answer = initiator.receive(services.now, services.random, path, message);
            services.count_key_exchange(&answer);
            match answer? {
                InitAnswer::StartOver => services.send_plain(sa.path, initiator.request()),
                InitAnswer::Error(notify) => services.event(Event::ErrorSeen(sa.handle, notify)),
                InitAnswer::FurtherError | InitAnswer::Redirect(_) => {}
                InitAnswer::Secured(mut secured) => {
                    services.log_ike_keys(&secured.agreement, &secured.keys);
                    match authenticate::ask(settings, services, &mut secured) {
                        Ok(()) => answerers.push(*secured),
                        Err(failure) => end(services, sa, None, failure),
                    }
                }
            }
            return Ok(Handled::Processed);
        }
        let spi = message.header().responder_spi;
        let at = answerers.iter().position(|answerer| Some(answerer.agreement.ends.responder_spi) == spi);
        let answerer = at.and_then(|at| answerers.get_mut(at)).ok_or(Rejection::Contradictory)?;
        let id = match answerer.exchanges.judge(path, message)? {
            Received::Answer(id) if exchange == GROUP_AUTH => id,
            _ => return Err(Rejection::UnexpectedExchange(exchange)),
        };
        let opened = answerer.exchanges.open(&services.reception(path), message, scratch);
        services.opened(&path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        answerer.exchanges.answered(id);
        let answerer = answerers.swap_remove(at.unwrap_or_default());
        let joined = arrived
            .plaintext
            .and_then(|plaintext| authenticate::joined(settings, services, &answerer, &plaintext))
            .and_then(|(peer, keys)| {
                let (cipher, sa_keys) = (settings.cipher, keys.sa_keys());
                let receiver = OneWayReceiver::new(keys.id, cipher, &sa_keys, keys.next_id);
                Ok((peer, receiver.map_err(|error| Failure::Algorithm(error.to_string()))?))
            });
        match joined {
            Ok((peer, receiver)) => {
                self.part = Part::Member(Some(receiver));
                sa.is_up(answerer.path, &answerer.agreement, answerer.exchanges);
                services.event(Event::Joined(sa.handle, peer));
            }
            // Another one may be the controller.
            Err(_) if !answerers.is_empty() => initiator.dismiss(answerer.agreement.ends.responder_spi),
            Err(failure) => end(services, sa, None, failure),
        }
        Ok(Handled::Processed)
    }

    fn receive_first(
        &mut self,
        services: &mut Services<'_, Event>,
        sa: &mut GroupSa,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let exchange = message.header().exchange;
        let (Stage::HalfOpen(half_open, _), Part::Controller(_, keys)) = (&mut sa.stage, &self.part) else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let mut request = match half_open.judge(path, message)? {
            Received::Request(request) if exchange == GROUP_AUTH => request,
            Received::Repeat(answer) => {
                services.transmit_again(path, &answer);
                return Ok(Handled::RepeatAnswered);
            }
            _ => return Err(Rejection::UnexpectedExchange(exchange)),
        };
        // Nothing is begun that could not be finished.
        if !services.affords(AUTH_OPERATIONS) {
            return Err(Rejection::Limit(Bound::Operations));
        }
        if half_open.owes_key_exchange() {
            services.spend();
        }
        let opened = half_open.open(&services.reception(path), message, scratch);
        services.opened(&path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        request.put_together(arrived.fragments.as_ref());
        let placeholder = Stage::Over(None, services.now);
        let Stage::HalfOpen(half_open, _) = core::mem::replace(&mut sa.stage, placeholder) else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let Some(mut secured) = half_open.secure() else { return Err(Rejection::Unprotected) };
        services.log_ike_keys(&secured.agreement, &secured.keys);
        // One proof to check, one to make.
        services.spend();
        services.spend();
        let admitted = arrived.plaintext.map_err(Ending::from).and_then(|plaintext| {
            authenticate::admit(&self.settings, services, &mut secured, &request, &plaintext, keys)
        });
        match admitted {
            Ok(peer) => {
                sa.is_up(path, &secured.agreement, secured.exchanges);
                services.event(Event::Admitted(sa.handle, peer));
            }
            Err(why) => {
                let notify = Payload::Notify(NotifyPayload::new(why.notify(), &[]));
                answer(services, &mut secured.exchanges, &request, &[notify]);
                end(services, sa, Some(secured.exchanges), why);
            }
        }
        Ok(Handled::Processed)
    }

    fn receive_up(
        services: &mut Services<'_, Event>,
        sa: &mut GroupSa,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let exchange = message.header().exchange;
        let (Stage::Up(exchanges) | Stage::Over(Some(exchanges), _)) = &mut sa.stage else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let received = match exchanges.judge(path, message)? {
            Received::Repeat(answer) => {
                let answer = exchanges.repeat(&path, message.header().message_id, answer);
                services.transmit_again(path, &answer);
                return Ok(Handled::RepeatAnswered);
            }
            Received::Refragmented(answer) => {
                let answer = exchanges.refragmented(&path, message, answer, scratch)?;
                services.transmit_again(path, &answer);
                return Ok(Handled::RepeatAnswered);
            }
            Received::Request(request) => Ok(request),
            Received::Answer(id) => Err(id),
        };
        let Stage::Up(exchanges) = &mut sa.stage else { return Err(Rejection::UnexpectedExchange(exchange)) };
        if exchange != GROUP_ASK {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        let opened = exchanges.open(&services.reception(path), message, scratch);
        services.opened(&path, message, &opened);
        let Arrival::Message(Arrived { plaintext, fragments }) = opened? else {
            return Ok(Handled::Fragment);
        };
        let said = plaintext.and_then(|plaintext| {
            let contents = Contents::with_others(&plaintext, &OURS)?;
            contents.other(NEWS).map(<[u8]>::to_vec).ok_or(Failure::MissingPayload(NEWS))
        });
        let received = received.map(|mut request: Request| {
            request.put_together(fragments.as_ref());
            request
        });
        match (received, said) {
            (Ok(request), Ok(said)) => {
                answer(services, exchanges, &request, &[wire::payload(NEWS, &said)]);
                services.event(Event::Asked(sa.handle, said));
            }
            (Ok(request), Err(failure)) => {
                let notify = Payload::Notify(NotifyPayload::new(failure.notify(), &[]));
                answer(services, exchanges, &request, &[notify]);
            }
            (Err(id), said) => {
                exchanges.answered(id);
                match said {
                    Ok(said) => services.event(Event::Answered(sa.handle, said)),
                    Err(failure) => end(services, sa, None, failure),
                }
            }
        }
        Ok(Handled::Processed)
    }

    /// Repeats what is due.
    fn repeat(&self, services: &mut Services<'_, Event>, sa: &mut GroupSa) -> Result<(), Failure> {
        let (now, path) = (services.now, sa.path);
        let policy = self.settings.retransmit;
        let timeout = |exchange| Failure::Timeout { exchange, hint: None };
        match &mut sa.stage {
            Stage::Joining(joining) => {
                while let Some(due) = joining.initiator.due(now) {
                    services.transmit_again(path, &due?.into());
                }
                let mut silent = false;
                joining.answerers.retain_mut(|answerer| {
                    let path = answerer.path;
                    while let Some(due) = answerer.exchanges.due(now, &path, &policy) {
                        let Due::Repeat { message, .. } = due else {
                            silent = true;
                            return false;
                        };
                        services.transmit_again(path, &message);
                    }
                    true
                });
                if silent && joining.answerers.is_empty() { Err(timeout(GROUP_AUTH)) } else { Ok(()) }
            }
            Stage::Up(exchanges) => {
                while let Some(due) = exchanges.due(now, &path, &policy) {
                    let Due::Repeat { message, .. } = due else { return Err(timeout(GROUP_ASK)) };
                    services.transmit_again(path, &message);
                }
                Ok(())
            }
            Stage::HalfOpen(..) | Stage::Over(..) => Ok(()),
        }
    }
}

/// Answers a request; one whose answer cannot be made stays without, as if it had been lost.
fn answer(
    services: &mut Services<'_, Event>,
    exchanges: &mut Exchanges<Purpose>,
    request: &Request,
    payloads: &[Payload<'_>],
) {
    if let Ok(message) = exchanges.answer(request, payloads) {
        services.observe_sent(&request.path, &message, payloads);
        services.transmit(request.path, &message);
    }
}

fn end(
    services: &mut Services<'_, Event>,
    sa: &mut GroupSa,
    exchanges: Option<Exchanges<Purpose>>,
    why: impl Into<Ending>,
) {
    sa.stage = Stage::Over(exchanges.map(Box::new), services.now + services.config.closed_linger);
    services.event(Event::Ended(sa.handle, Box::new(why.into())));
}

impl Protocol for Group {
    type Sa = GroupSa;
    type Event = Event;

    fn respond(
        &mut self,
        services: &mut Services<'_, Event>,
        request: &InitRequest<'_>,
        handle: IkeSaHandle,
        spi: IkeSpi,
    ) -> Result<GroupSa, Refusal> {
        let Part::Controller(..) = &self.part else { return Err(Refusal::silent(Rejection::NoConnection)) };
        let policies = [((), self.settings.proposals.as_slice())];
        let ((), choice) = request.choose(policies.into_iter(), false)?;
        let config = services.config;
        let terms = ResponderTerms {
            crypto: config.crypto,
            force_udp_encapsulation: false,
            window: config.window,
            fragmentation: self.settings.fragmentation,
            intermediate: false,
            childless: false,
        };
        services.spend();
        let half_open = request.answer(services.random, &terms, &choice, spi)?;
        let path = *request.path();
        services.send_plain(path, half_open.answer());
        let until = services.now + config.half_open_timeout;
        Ok(GroupSa::new(handle, spi, path, Stage::HalfOpen(Box::new(half_open), until)))
    }

    fn receive(
        &mut self,
        services: &mut Services<'_, Event>,
        sa: &mut GroupSa,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        match &sa.stage {
            Stage::Joining(_) => self.receive_joining(services, sa, path, message, scratch),
            Stage::HalfOpen(..) => self.receive_first(services, sa, path, message, scratch),
            Stage::Up(_) | Stage::Over(..) => Self::receive_up(services, sa, path, message, scratch),
        }
    }

    fn on_timeout(&mut self, services: &mut Services<'_, Event>, sa: &mut GroupSa) {
        if matches!(sa.stage, Stage::HalfOpen(_, until) if until <= services.now) {
            // The embedder was never told of it.
            sa.stage = Stage::Over(None, services.now);
            return;
        }
        for incomplete in sa.expire_fragments(services.now) {
            services.statistics.messages_incomplete =
                services.statistics.messages_incomplete.saturating_add(1);
            services.event(Event::Incomplete(sa.handle, incomplete));
        }
        if let Err(failure) = self.repeat(services, sa) {
            end(services, sa, None, failure);
        }
    }

    fn make_room(&mut self, services: &mut Services<'_, Event>, sa: &mut GroupSa) {
        sa.stage = Stage::Over(None, services.now);
    }

    fn is_one_way(&self, exchange: ExchangeType) -> bool {
        exchange == GROUP_NEWS
    }

    fn receive_one_way(
        &mut self,
        services: &mut Services<'_, Event>,
        _path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let Part::Member(Some(receiver)) = &mut self.part else {
            return Err(Rejection::UnexpectedExchange(GROUP_NEWS));
        };
        let id = message.header().message_id;
        // Every member has the key: what is broken may be from any of them.
        let opened = receiver.open(message, scratch)?.map_err(|_| Rejection::IntegrityCheck)?;
        let contents = Contents::with_others(opened.plaintext(), &OURS)?;
        let news = contents.other(NEWS).ok_or(Rejection::MissingPayload(NEWS))?.to_vec();
        receiver.accept(opened).ok_or(Rejection::OldMessageId(id))?;
        services.event(Event::News(news));
        Ok(Handled::Processed)
    }
}
