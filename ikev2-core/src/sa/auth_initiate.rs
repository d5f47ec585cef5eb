//! IKE_AUTH as initiator (RFC 7296 §1.2, §2.15, Appendix C.2): our proof and the first Child SA out, the
//! peer's proof and its answer in.

use super::auth::{check_peer, id_body, identity, peer_ends, push_certificates};
use super::child::ChildAttempt;
use super::context::Context;
use super::eap_initiate::EapAttempt;
use super::generation::Generation;
use super::mobike;
use super::redirect;
use super::suspend::Step;
use super::{Closing, Established, IkeSa, Opening, Purpose, Stage, Task};
use crate::config::Intermediate;
use crate::contents::Contents;
use crate::error::{AuthFailure, Failure, Rejection, Unsupported};
use crate::establish::auth::{self, Proof, ProofOrRequest, SignedOctets, Verdict};
use crate::establish::initiator::Initiator;
use crate::establish::secrets::{Agreement, Secured};
use crate::event::{DownReason, Handled, Role};
use crate::exchange::exchanges::{Received, SealedRequest};
use crate::exchange::fragment::Arrival;
use crate::exchange::requests::Due;
use crate::identity::{Identity, IdentityPattern};
use crate::keys::IkeKeys;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{AuthPayload, IdPayload, Message, NotifyPayload, Payload};
use ipsec_types::{IkeSpi, Instant, Path};

/// Whoever answered our IKE_SA_INIT request; it may be the peer.
pub(crate) type Answerer = Secured<Purpose>;

impl Answerer {
    /// What the AUTH of this end covers, whose ID payload has this body.
    pub(super) fn octets(&self, of: Role, id_body: &[u8]) -> SignedOctets<'_> {
        SignedOctets::of(of, &self.agreement, &self.keys, &self.intermediates.int_auth, id_body)
    }

    fn spi(&self) -> IkeSpi {
        self.agreement.ends.responder_spi
    }
}

/// What an initiator holds from the first answer to IKE_SA_INIT to the end of IKE_AUTH.
#[derive(Debug)]
pub(crate) struct AuthAttempt {
    /// For further answers.
    pub initiator: Box<Initiator>,
    /// Unless all of them begin without one.
    pub child: Option<ChildAttempt>,
    pub answerers: Vec<Answerer>,
    /// EAP under way, with the only one that is left.
    pub eap: Option<Box<EapAttempt>>,
    /// The last one that refused us, while another answer may come.
    refused: Option<Box<Refusing>>,
}

/// Whoever refused us without having proved to be the peer.
#[derive(Debug)]
struct Refusing {
    failure: Failure,
    /// When it is believed.
    until: Instant,
}

/// What comes next with one that answered.
enum NextStep {
    Intermediate,
    Authenticate,
}

/// What is left of it when the IKE SA is with one of them.
struct Adopted {
    agreement: Agreement,
    keys: IkeKeys,
    child: Option<ChildAttempt>,
    /// Who said so before EAP.
    peer: Option<Identity>,
}

impl AuthAttempt {
    /// When an IKE_AUTH request is to be repeated, or a refusal is believed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.answerers.is_empty() {
            return self.refused.as_ref().map(|refused| refused.until);
        }
        self.answerers.iter().filter_map(|answerer| answerer.exchanges.requests().deadline()).min()
    }

    /// The Message ID of the request after those that were sent.
    pub(crate) fn next_id(&self) -> u32 {
        self.answerers.iter().map(|answerer| answerer.exchanges.requests().next_id()).max().unwrap_or(1)
    }

    /// This one is the peer, as far as it can show yet: the others are not asked any more.
    pub(super) fn go_on_with(&mut self, spi: IkeSpi) {
        let Self { initiator, answerers, .. } = self;
        answerers
            .iter()
            .map(Answerer::spi)
            .filter(|other| *other != spi)
            .for_each(|other| initiator.dismiss(other));
        answerers.retain(|answerer| answerer.spi() == spi);
    }

    /// EAP ends with the one that it went on with: what it has proved counts for nobody else.
    fn forget_eap(&mut self) {
        if self.answerers.is_empty() {
            self.eap = None;
        }
    }

    pub(super) fn answerer(&self, spi: IkeSpi) -> Result<&Answerer, Failure> {
        self.answerers.iter().find(|answerer| answerer.spi() == spi).ok_or(Failure::NoKeys)
    }

    pub(super) fn answerer_mut(&mut self, spi: IkeSpi) -> Result<&mut Answerer, Failure> {
        self.answerers.iter_mut().find(|answerer| answerer.spi() == spi).ok_or(Failure::NoKeys)
    }
}

impl IkeSa {
    /// Somebody answered IKE_SA_INIT: proves who we are, now or when the embedder has signed.
    pub(crate) fn begin_auth(&mut self, context: &mut Context<'_>, answerer: Answerer) {
        match self.add_answerer(context, answerer) {
            Ok(()) => self.prove_to_next(context),
            Err(failure) => self.close(context, DownReason::Failed(Box::new(failure))),
        }
    }

    /// Goes on with all that wait for us: makes what must come before IKE_AUTH, and proves who we are.
    pub(crate) fn prove_to_next(&mut self, context: &mut Context<'_>) {
        while let Some((spi, step)) = self.next_step() {
            let begun = match step {
                NextStep::Intermediate => self.begin_intermediate(context, spi),
                NextStep::Authenticate => self.begin_to_prove(context, spi),
            };
            if let Err(failure) = begun {
                self.close(context, DownReason::Failed(Box::new(failure)));
            }
        }
    }

    /// Whose turn it is, and for what. One question to the embedder is open at a time.
    fn next_step(&self) -> Option<(IkeSpi, NextStep)> {
        let Stage::Authenticating(attempt) = &self.stage else { return None };
        let wanted = self.connection.intermediate == Intermediate::Always;
        let step = |answerer: &Answerer| {
            let Answerer { exchanges, intermediates, .. } = answerer;
            if exchanges.requests().next_id() > intermediates.int_auth.auth_id() {
                // Something was asked already.
                return None;
            }
            let step = match intermediates.next(wanted) {
                Some(_) => NextStep::Intermediate,
                None if self.suspended.is_some() => return None,
                None => NextStep::Authenticate,
            };
            Some((answerer.spi(), step))
        };
        attempt.answerers.iter().find_map(step)
    }

    fn begin_to_prove(&mut self, context: &mut Context<'_>, spi: IkeSpi) -> Result<(), Failure> {
        if self.own_eap().is_some() {
            self.send_auth_request(context, spi, None);
            return Ok(());
        }
        match self.prove_to(context, spi)? {
            ProofOrRequest::Ready(proof) => self.send_auth_request(context, spi, Some(&proof)),
            ProofOrRequest::Sign(form, octets) => {
                let step = Step::SignRequest(spi, form);
                self.suspend_to_sign(context, form, octets, step);
            }
        }
        Ok(())
    }

    fn add_answerer(&mut self, context: &mut Context<'_>, answerer: Answerer) -> Result<(), Failure> {
        let mut child = match &mut self.stage {
            Stage::Authenticating(attempt) => attempt.child.take(),
            _ => None,
        };
        if child.is_none() && !self.begins_childless(&answerer.agreement) {
            let (config, packet) = self.first_child().ok_or(Failure::NoChild)?;
            child = Some(ChildAttempt::in_auth(context, &config, &self.path, packet.as_ref())?);
        }
        if let Stage::Authenticating(attempt) = &mut self.stage {
            attempt.child = child;
            attempt.answerers.push(answerer);
            return Ok(());
        }
        let placeholder = Stage::Lingering(context.now);
        if let Stage::Initiating(initiator) = core::mem::replace(&mut self.stage, placeholder) {
            let answerers = Vec::from([answerer]);
            self.stage = Stage::Authenticating(Box::new(AuthAttempt {
                initiator,
                child,
                answerers,
                eap: None,
                refused: None,
            }));
        }
        Ok(())
    }

    /// What Child SA comes first, if any.
    fn first_child(&self) -> Option<Opening> {
        let first = || Some((self.connection.children.first().cloned()?, None));
        self.opening.as_deref().cloned().or_else(first)
    }

    /// Whether that waits until the IKE SA is there (RFC 6023).
    fn begins_childless(&self, agreement: &Agreement) -> bool {
        agreement.childless && self.connection.childless.is_begun()
    }

    fn answerer(&self, spi: IkeSpi) -> Result<&Answerer, Failure> {
        let Stage::Authenticating(attempt) = &self.stage else { return Err(Failure::NoKeys) };
        attempt.answerer(spi)
    }

    fn prove_to(&self, context: &mut Context<'_>, spi: IkeSpi) -> Result<ProofOrRequest, Failure> {
        let Answerer { agreement, keys, intermediates, .. } = self.answerer(spi)?;
        let connection = &self.connection;
        let id_body = connection.local_id.to_body();
        let int_auth = &intermediates.int_auth;
        let octets = SignedOctets::of(Role::Initiator, agreement, keys, int_auth, &id_body);
        let remote = match &connection.remote_id {
            IdentityPattern::Exactly(peer) => Some(peer),
            _ => None,
        };
        let ends = peer_ends(connection, remote);
        auth::prove(
            &connection.local_auth,
            &ends,
            agreement,
            &octets,
            None,
            context.config.crypto,
            context.random,
        )
    }

    /// Sends the IKE_AUTH request to one that answered; without a proof it asks for EAP.
    pub(crate) fn send_auth_request(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        proof: Option<&Proof>,
    ) {
        let policy = self.connection.retransmit;
        let sent = self.seal_auth_request(context, spi, proof).and_then(|request| {
            let Stage::Authenticating(attempt) = &mut self.stage else { return Err(Failure::NoKeys) };
            let answerer = attempt.answerer_mut(spi)?;
            if let Some(message) = answerer.exchanges.sent(context.now, request, Purpose::Auth, &policy) {
                context.transmit(answerer.path, &message);
            }
            Ok(())
        });
        match sent {
            Ok(()) => self.sent_at = context.now,
            Err(failure) => self.close(context, DownReason::Failed(Box::new(failure))),
        }
    }

    fn seal_auth_request(
        &mut self,
        context: &Context<'_>,
        spi: IkeSpi,
        proof: Option<&Proof>,
    ) -> Result<SealedRequest, Failure> {
        let initial_contact = self.is_initial_contact(context);
        let childless = self.begins_childless(&self.answerer(spi)?.agreement);
        let notices = mobike::claim_in_auth(&self.connection, context, &self.answerer(spi)?.path);
        let config_request = self.config_request()?;
        let eap = self.own_eap();
        let connection = &self.connection;
        let Stage::Authenticating(attempt) = &mut self.stage else { return Err(Failure::NoKeys) };
        let AuthAttempt { child, answerers, .. } = &mut **attempt;
        let found = answerers.iter_mut().find(|answerer| answerer.spi() == spi);
        let answerer = found.ok_or(Failure::NoKeys)?;

        let window = answerer.exchanges.responses().size();
        let window_octets = window.to_be_bytes();
        let mut payloads = Vec::with_capacity(10);
        let us = &connection.local_id;
        payloads.push(Payload::IdI(IdPayload::new(us.ty, &us.data)));
        push_certificates(&mut payloads, &connection.local_auth);
        if initial_contact {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::INITIAL_CONTACT, &[])));
        }
        if let IdentityPattern::Exactly(peer) = &connection.remote_id {
            payloads.push(Payload::IdR(IdPayload::new(peer.ty, &peer.data)));
        }
        payloads.extend(proof.map(|proof| Payload::Auth(AuthPayload::new(proof.method, &proof.data))));
        if eap.is_some_and(|policy| policy.eap_only) {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::EAP_ONLY_AUTHENTICATION, &[])));
        }
        payloads.extend(config_request.map(Payload::Cp));
        if let Some(child) = child.as_ref().filter(|_| !childless) {
            child.push_request(&mut payloads, None)?;
        }
        if window > 1 {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::SET_WINDOW_SIZE, &window_octets)));
        }
        notices.push_to(&mut payloads);
        let request = answerer.exchanges.seal_request(&answerer.path, ExchangeType::IKE_AUTH, &payloads)?;
        context.observe_sent(&answerer.path, request.message(), &payloads);
        Ok(request)
    }

    /// Sends the IKE_AUTH requests that are due once more. One that does not answer is not the peer, if there is
    /// another one.
    pub(super) fn repeat_auth(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let policy = self.connection.retransmit;
        let Stage::Authenticating(attempt) = &mut self.stage else { return Ok(()) };
        let AuthAttempt { initiator, answerers, refused, eap, .. } = &mut **attempt;
        let sent_at = &mut self.sent_at;
        let mut lacking = Vec::new();
        let mut unanswered = ExchangeType::IKE_AUTH;
        answerers.retain_mut(|answerer| {
            while let Some(due) = answerer.exchanges.due(context.now, &answerer.path, &policy) {
                match due {
                    Due::Repeat { message, .. } => context.transmit_again(answerer.path, &message),
                    Due::Exhausted(purpose) => {
                        unanswered = purpose.exchange();
                        initiator.dismiss(answerer.spi());
                        lacking.append(&mut answerer.exchanges.fragmentation_mut().reassembly.clear());
                        return false;
                    }
                }
                *sent_at = context.now;
            }
            true
        });
        if answerers.is_empty() {
            *eap = None;
        }
        let ended = match refused.take_if(|refused| answerers.is_empty() && refused.until <= context.now) {
            Some(refused) => Err(refused.failure),
            None if answerers.is_empty() && refused.is_none() => {
                let timeout = Failure::Timeout { exchange: unanswered, hint: None };
                Err(lacking.first().cloned().map_or(timeout, Failure::Incomplete))
            }
            None => Ok(()),
        };
        self.tell_incomplete(context, lacking);
        ended
    }

    /// Whether this is our only IKE SA with a peer whose identity we know beforehand (§2.4).
    fn is_initial_contact(&self, context: &Context<'_>) -> bool {
        match &self.connection.remote_id {
            IdentityPattern::Exactly(peer) => {
                let pair = Arc::new((self.connection.local_id.clone(), peer.clone()));
                context.peers.between(&pair).all(|other| other == self.handle)
            }
            _ => false,
        }
    }

    /// An answer to our IKE_AUTH request, or to one before it.
    pub(crate) fn on_auth_answer(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        message: &Message<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Handled, Rejection> {
        let spi = message.header().responder_spi.ok_or(Rejection::Contradictory)?;
        let exchange = message.header().exchange;
        let Stage::Authenticating(attempt) = &mut self.stage else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let answerer = attempt.answerer_mut(spi).map_err(|_| Rejection::Contradictory)?;
        let Received::Answer(id) = answerer.exchanges.judge(path, message)? else {
            return Err(Rejection::UnexpectedExchange(exchange));
        };
        let asked = answerer.exchanges.requests().get(id).map(Purpose::exchange);
        if asked != Some(exchange) {
            return Err(Rejection::UnexpectedExchange(exchange));
        }
        if self.suspended.as_ref().is_some_and(|suspended| suspended.verifies()) {
            // One at a time; our request is repeated, and its answer with it.
            return Err(Rejection::Unsolicited(id));
        }
        let opened = answerer.exchanges.open(&context.reception(path), message, scratch);
        context.opened(&path, message, &opened);
        let Arrival::Message(arrived) = opened? else { return Ok(Handled::Fragment) };
        if let Some((Purpose::Intermediate(request), _)) = answerer.exchanges.answered(id) {
            self.on_intermediate_answer(context, spi, &request, message, arrived);
            return Ok(Handled::Processed);
        }
        let plaintext = match arrived.plaintext {
            Ok(plaintext) => plaintext,
            Err(failure) => {
                self.refuse_answerer(context, spi, failure);
                return Ok(Handled::Processed);
            }
        };
        if let Some(policy) = self.own_eap() {
            self.on_eap_answer(context, spi, plaintext, policy);
            return Ok(Handled::Processed);
        }
        let checked = Contents::of(&plaintext).map_err(Failure::from).and_then(|contents| {
            let verdict = self.check_responder(context, spi, &contents)?;
            Ok((contents, verdict))
        });
        match checked {
            Ok((contents, Verdict::Proven(_))) => self.finish_auth(context, spi, &contents),
            Ok((contents, Verdict::Verify(signature))) => {
                let peer = contents.id_r.as_ref().map(identity);
                drop(contents);
                let step = Step::VerifyAnswer(spi, plaintext.into_owned());
                self.suspend_to_verify(context, peer, *signature, step);
            }
            Err(failure) => self.refuse_answerer(context, spi, failure),
        }
        Ok(Handled::Processed)
    }

    /// One that answered is not the peer, or refuses us. Where another one may be, the attempt goes on.
    pub(crate) fn refuse_answerer(&mut self, context: &mut Context<'_>, spi: IkeSpi, failure: Failure) {
        if matches!(failure, Failure::Refused { .. }) {
            self.doubt_refusal(context, spi, failure);
        } else if self.has_other_answerers() {
            tracing::debug!(%failure, %spi, "an answerer was not the peer");
            self.drop_answerer(spi);
            self.prove_to_next(context);
        } else {
            if let Some(adopted) = self.adopt(context, spi) {
                forget_child(context, adopted.child);
                self.refuse_peer(context, failure);
            }
        }
    }

    /// Whoever answers first can refuse us, and has proved nothing: other answers are waited for, and the
    /// IKE_SA_INIT request is sent once more (§2.4).
    fn doubt_refusal(&mut self, context: &mut Context<'_>, spi: IkeSpi, failure: Failure) {
        let patience = self.connection.refusal_patience;
        let Stage::Authenticating(attempt) = &mut self.stage else { return };
        let AuthAttempt { initiator, answerers, refused, eap, .. } = &mut **attempt;
        let Some(at) = answerers.iter().position(|answerer| answerer.spi() == spi) else { return };
        answerers.remove(at);
        initiator.dismiss(spi);
        *eap = None;
        // Strangers one after the other are doubted no longer than one.
        let until = refused.as_ref().map_or(context.now + patience, |refused| refused.until);
        if !answerers.is_empty() {
            *refused = Some(Box::new(Refusing { failure, until }));
            self.prove_to_next(context);
        } else if until > context.now {
            tracing::debug!(%failure, %spi, "refused by an answerer; others are waited for");
            *refused = Some(Box::new(Refusing { failure, until }));
            context.transmit_again(self.path, &initiator.request().clone().into());
            self.sent_at = context.now;
        } else {
            self.close(context, DownReason::Failed(Box::new(failure)));
        }
    }

    /// Whether anyone else may be the peer: one that was asked, or one that may answer while a refusal is doubted.
    pub(super) fn has_other_answerers(&self) -> bool {
        match &self.stage {
            Stage::Authenticating(attempt) => attempt.answerers.len() > 1 || attempt.refused.is_some(),
            _ => false,
        }
    }

    fn drop_answerer(&mut self, spi: IkeSpi) {
        if let Stage::Authenticating(attempt) = &mut self.stage {
            attempt.answerers.retain(|answerer| answerer.spi() != spi);
            attempt.initiator.dismiss(spi);
            attempt.forget_eap();
        }
    }

    /// This one is the peer, or the last that could be: the IKE SA is with it.
    fn adopt(&mut self, context: &Context<'_>, spi: IkeSpi) -> Option<Adopted> {
        // Without it nothing must be taken apart.
        self.answerer(spi).ok()?;
        let placeholder = Stage::Lingering(context.now);
        let Stage::Authenticating(attempt) = core::mem::replace(&mut self.stage, placeholder) else {
            return None;
        };
        let AuthAttempt { child, answerers, eap, .. } = *attempt;
        let peer = eap.map(|eap| eap.peer);
        let Secured { agreement, keys, exchanges, nat, path, .. } =
            answerers.into_iter().find(|answerer| answerer.spi() == spi)?;
        self.current = Generation::Keyed(exchanges);
        self.algorithms = Some(agreement.algorithms);
        self.nat = nat;
        self.path = path;
        self.heard_at = context.now;
        self.ike_heard_at = context.now;
        Some(Adopted { agreement, keys, child, peer })
    }

    /// Whether the peer is the one that the connection wants.
    pub(super) fn check_responder(
        &self,
        context: &Context<'_>,
        spi: IkeSpi,
        contents: &Contents<'_>,
    ) -> Result<Verdict, Failure> {
        let Answerer { agreement, keys, intermediates, .. } = self.answerer(spi)?;
        let connection = &self.connection;
        // Whoever goes on with EAP does not take the proof that we gave (§2.16).
        let refuses = contents.eap.is_some() && contents.sa.is_none() && contents.error().is_none();
        if refuses && self.own_eap().is_none() {
            return Err(Failure::Unsupported(Unsupported::Eap));
        }
        let (Some(id), Some(auth)) = (&contents.id_r, &contents.auth) else {
            // Without both, an error notify is the answer (§2.21.2).
            return Err(match contents.error() {
                Some(error) => Failure::Refused { notify: error.ty },
                None if contents.id_r.is_none() => Failure::MissingPayload(PayloadType::ID_R),
                None => Failure::MissingPayload(PayloadType::AUTH),
            });
        };
        let peer = identity(id);
        if !connection.remote_id.matches(&peer) {
            return Err(Failure::Authentication(AuthFailure::WrongIdentity {
                got: peer,
                wanted: connection.remote_id.clone(),
                connection: connection.name.clone(),
            }));
        }
        let body = id_body(id);
        let octets = SignedOctets::of(Role::Responder, agreement, keys, &intermediates.int_auth, &body);
        check_peer(context, connection, &peer, agreement, &octets, auth, contents)
    }

    /// The peer is authenticated: the IKE SA is up, and its first Child SA if the peer agreed.
    pub(crate) fn finish_auth(&mut self, context: &mut Context<'_>, spi: IkeSpi, contents: &Contents<'_>) {
        let Some(Adopted { agreement, keys, child, peer }) = self.adopt(context, spi) else { return };
        if let Some(to) = redirect::gateway(contents) {
            forget_child(context, child);
            return self.on_redirect_in_auth(context, to);
        }
        let first = self.first_child();
        self.opening = None;
        self.peer_id = peer.or(contents.id_r.as_ref().map(identity));
        let algorithms = agreement.algorithms;
        self.stage = Stage::Established(Established { algorithms, sk_d: keys.d });
        self.learn_window(context, contents);
        self.learn_configuration(context, contents);
        self.tell_up(context, contents);
        if self.begins_childless(&agreement) {
            forget_child(context, child);
            self.queue.extend(first.and_then(|(config, packet)| {
                let config = self.for_inner_addresses(config)?;
                Some(Task::CreateChild { config, packet, tries: 0 })
            }));
        } else if let Some(mut child) = child {
            if let Some(config) = self.for_inner_addresses(Arc::clone(&child.asked.config)) {
                child.asked.config = config;
            }
            if let (Some(_), Err(failure)) = (&contents.sa, self.lacks_address()) {
                self.fail_child(context, child.asked, failure, true);
                return self.pump(context);
            }
            self.finish_child(context, child, contents, agreement.nonces());
        }
        self.pump(context);
    }

    /// The peer did not prove itself, or refused us: tell the embedder now, and end the SA. A peer that did
    /// not refuse us believes the SA established, and is told (§2.21.2).
    fn refuse_peer(&mut self, context: &mut Context<'_>, failure: Failure) {
        let refused_us = matches!(failure, Failure::Refused { .. });
        self.tell_down(context, Some(DownReason::Failed(Box::new(failure))));
        self.stage = Stage::Closing(Closing { reason: None, established: None });
        if refused_us {
            self.close(context, DownReason::IkeSaEnded);
        } else {
            self.start_closing(context, None, Task::RefuseAuthentication);
        }
    }
}

/// Whoever the IKE SA is with was not asked for it.
fn forget_child(context: &mut Context<'_>, child: Option<ChildAttempt>) {
    if let Some(child) = child {
        context.release_spi(child.asked.inbound);
    }
}
