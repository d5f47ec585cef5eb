//! EAP as initiator (RFC 7296 §2.16, RFC 5998): IKE_AUTH without our proof, then packets one at a time, and at the end AUTH
//! of both sides by the key that the method made.

use super::auth::{id_body, identity};
use super::auth_initiate::AuthAttempt;
use super::context::Context;
use super::suspend::Step;
use super::{IkeSa, Purpose, Stage};
use crate::contents::Contents;
use crate::credentials::LocalAuth;
use crate::eap::{EapOutcome, EapPolicy, EapTurn, head_of};
use crate::error::{AuthFailure, EapFault, Failure};
use crate::establish::auth::{self, Verdict};
use crate::event::{DownReason, Role};
use crate::exchange::protect::Plaintext;
use crate::identity::Identity;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::codes::{AuthMethod, ExchangeType, PayloadType};
use ikev2_wire::{AuthPayload, EapCode, EapPayload, Payload};
use ipsec_types::{IkeSpi, SecretBytes};

/// EAP under way with one that answered.
#[derive(Debug)]
pub(crate) struct EapAttempt {
    /// Who it says it is, and the body of its ID payload, which its AUTH covers.
    pub peer: Identity,
    id_body: Vec<u8>,
    /// Its own proof was good.
    proven: bool,
    /// How many packets we sent.
    rounds: u32,
    /// What came of the method, once it has succeeded.
    outcome: Option<EapOutcome>,
}

/// What an answer leads to.
enum EapNext {
    /// The embedder looks at the responder's signature first.
    Verify(Option<Identity>, Box<auth::SignatureToVerify>),
    /// The embedder takes this packet.
    Ask(Vec<u8>),
    /// Both ends have proved that they have the key.
    Done,
}

/// The key by which this end proves itself at the end.
pub(super) fn key_of<'k>(
    outcome: &'k EapOutcome,
    keys: &'k crate::keys::IkeKeys,
    end: Role,
) -> &'k SecretBytes {
    match (&outcome.msk, end) {
        (Some(msk), _) => msk,
        (None, Role::Initiator) => &keys.pi,
        (None, Role::Responder) => &keys.pr,
    }
}

impl IkeSa {
    /// How we authenticate by EAP, if we do.
    pub(super) fn own_eap(&self) -> Option<EapPolicy> {
        match self.connection.local_auth {
            LocalAuth::Eap(policy) => Some(policy),
            _ => None,
        }
    }

    fn eap_attempt(&mut self) -> Option<&mut AuthAttempt> {
        match &mut self.stage {
            Stage::Authenticating(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// An answer to one of our IKE_AUTH requests.
    pub(super) fn on_eap_answer(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        plaintext: Plaintext<'_>,
        policy: EapPolicy,
    ) {
        let read = Contents::of(&plaintext).map_err(Failure::from);
        let next = read.and_then(|contents| {
            let next = self.read_eap_answer(context, spi, &contents, policy)?;
            Ok((contents, next))
        });
        match next {
            Ok((contents, EapNext::Done)) => self.finish_auth(context, spi, &contents),
            Ok((contents, EapNext::Ask(packet))) => {
                drop(contents);
                self.ask_for_response(context, spi, packet, policy);
            }
            Ok((contents, EapNext::Verify(peer, signature))) => {
                drop(contents);
                let step = Step::VerifyAnswer(spi, plaintext.into_owned());
                self.suspend_to_verify(context, peer, *signature, step);
            }
            Err(failure) => self.fail_eap_attempt(context, spi, failure),
        }
    }

    /// The embedder says that the responder's signature is good.
    pub(super) fn on_eap_responder_verified(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        contents: &Contents<'_>,
        policy: EapPolicy,
    ) {
        match self.begin_eap_attempt(spi, contents, true) {
            Ok(packet) => self.ask_for_response(context, spi, packet, policy),
            Err(failure) => self.fail_eap_attempt(context, spi, failure),
        }
    }

    /// EAP Failure is the last word (§2.21.2); of everything else the peer is told.
    fn fail_eap_attempt(&mut self, context: &mut Context<'_>, spi: IkeSpi, failure: Failure) {
        if matches!(failure, Failure::Eap(EapFault::Failed { .. })) {
            self.close(context, DownReason::Failed(Box::new(failure)));
        } else {
            self.refuse_answerer(context, spi, failure);
        }
    }

    fn read_eap_answer(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        contents: &Contents<'_>,
        policy: EapPolicy,
    ) -> Result<EapNext, Failure> {
        let attempt = self.eap_attempt().ok_or(Failure::NoKeys)?;
        if let Some(EapAttempt { outcome: Some(outcome), id_body, .. }) = attempt.eap.as_deref() {
            let auth = contents.auth.as_ref().ok_or_else(|| missing(contents, PayloadType::AUTH))?;
            let answerer = attempt.answerer(spi)?;
            let octets = answerer.octets(Role::Responder, id_body);
            let key = key_of(outcome, &answerer.keys, Role::Responder);
            let good = auth.method == AuthMethod::SHARED_KEY
                && auth::verify_shared_key(&answerer.agreement, &octets, key, auth.data);
            return if good { Ok(EapNext::Done) } else { Err(EapFault::WrongKey.into()) };
        }
        if attempt.eap.is_some() {
            let packet = contents.eap.as_ref().ok_or_else(|| missing(contents, PayloadType::EAP))?;
            return Ok(EapNext::Ask(packet.message().to_vec()));
        }
        match &contents.auth {
            None if contents.eap.is_none() => Err(missing(contents, PayloadType::EAP)),
            None if !policy.eap_only => Err(EapFault::ResponderUnproven { offered: false }.into()),
            None => self.begin_eap_attempt(spi, contents, false).map(EapNext::Ask),
            Some(auth) if auth.method == AuthMethod::SHARED_KEY => Err(EapFault::ResponderBySecret.into()),
            Some(_) => match self.check_responder(context, spi, contents)? {
                Verdict::Proven(_) => self.begin_eap_attempt(spi, contents, true).map(EapNext::Ask),
                Verdict::Verify(signature) => {
                    Ok(EapNext::Verify(contents.id_r.as_ref().map(identity), signature))
                }
            },
        }
    }

    /// The responder has said who it is: goes on with it alone. Gives its first packet.
    fn begin_eap_attempt(
        &mut self,
        spi: IkeSpi,
        contents: &Contents<'_>,
        proven: bool,
    ) -> Result<Vec<u8>, Failure> {
        let id = contents.id_r.as_ref().ok_or_else(|| missing(contents, PayloadType::ID_R))?;
        let packet = contents.eap.as_ref().ok_or_else(|| missing(contents, PayloadType::EAP))?;
        let peer = identity(id);
        if !self.connection.remote_id.matches(&peer) {
            return Err(Failure::Authentication(AuthFailure::WrongIdentity {
                got: peer,
                wanted: self.connection.remote_id.clone(),
                connection: self.connection.name.clone(),
            }));
        }
        let eap = EapAttempt { peer, id_body: id_body(id), proven, rounds: 0, outcome: None };
        let attempt = self.eap_attempt().ok_or(Failure::NoKeys)?;
        attempt.go_on_with(spi);
        attempt.eap = Some(Box::new(eap));
        Ok(packet.message().to_vec())
    }

    /// Asks the embedder for what is to follow this packet.
    fn ask_for_response(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        packet: Vec<u8>,
        policy: EapPolicy,
    ) {
        let connection = alloc::sync::Arc::clone(&self.connection);
        let Some(eap) = self.eap_attempt().and_then(|attempt| attempt.eap.as_deref_mut()) else { return };
        let rounds = eap.rounds;
        let Some((code, identifier)) = head_of(&packet) else { return };
        let fault = match code {
            EapCode::REQUEST if rounds >= policy.max_rounds => EapFault::TooManyRounds(rounds),
            EapCode::SUCCESS if rounds > 0 => return self.ask_eap(context, spi, packet, rounds, &connection),
            EapCode::REQUEST => return self.ask_eap(context, spi, packet, rounds, &connection),
            EapCode::FAILURE => EapFault::Failed { rounds },
            got => EapFault::OutOfTurn { got, identifier, wanted: "a Request, or what follows one" },
        };
        self.fail_eap_attempt(context, spi, fault.into());
    }

    fn ask_eap(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        packet: Vec<u8>,
        round: u32,
        connection: &crate::config::Connection,
    ) {
        let eap = self.eap_attempt().and_then(|attempt| attempt.eap.as_ref());
        let (responder, responder_proven) = eap.map(|eap| (eap.peer.clone(), eap.proven)).unzip();
        let head = head_of(&packet);
        let turn = EapTurn {
            connection: connection.name.clone(),
            role: Role::Initiator,
            initiator: connection.local_id.clone(),
            responder,
            responder_proven: responder_proven.unwrap_or(false),
            received: Some(packet),
            round,
        };
        if let Some((code, identifier)) = head {
            self.suspend_for_eap(context, turn, Step::EapResponse { spi, code, identifier });
        }
    }

    /// The embedder's packet goes out.
    pub(super) fn send_eap_response(&mut self, context: &mut Context<'_>, spi: IkeSpi, packet: &[u8]) {
        if let Some(eap) = self.eap_attempt().and_then(|attempt| attempt.eap.as_deref_mut()) {
            eap.rounds = eap.rounds.saturating_add(1);
        }
        let sent = EapPayload::new(packet)
            .map_err(Failure::from)
            .and_then(|payload| self.send_in_auth(context, spi, &[Payload::Eap(payload)]));
        if let Err(failure) = sent {
            self.close(context, DownReason::Failed(Box::new(failure)));
        }
    }

    /// The method has succeeded at both ends: proves that we have its key.
    pub(super) fn prove_by_eap(&mut self, context: &mut Context<'_>, spi: IkeSpi, outcome: EapOutcome) {
        let own = self.connection.local_id.to_body();
        let proof = self.eap_attempt().ok_or(Failure::NoKeys).and_then(|attempt| {
            let answerer = attempt.answerer(spi)?;
            let octets = answerer.octets(Role::Initiator, &own);
            let key = key_of(&outcome, &answerer.keys, Role::Initiator);
            let data = auth::shared_key(&answerer.agreement, &octets, key).as_slice().to_vec();
            let eap = attempt.eap.as_deref_mut().ok_or(Failure::NoKeys)?;
            let stands_for_proof = outcome.safe_alone && outcome.msk.is_some();
            if !eap.proven && !stands_for_proof {
                return Err(EapFault::ResponderUnproven { offered: true }.into());
            }
            eap.outcome = Some(outcome);
            Ok(data)
        });
        let sent = proof.and_then(|data| {
            self.send_in_auth(context, spi, &[Payload::Auth(AuthPayload::new(AuthMethod::SHARED_KEY, &data))])
        });
        if let Err(failure) = sent {
            self.fail_eap_attempt(context, spi, failure);
        }
    }

    /// The embedder does not go on.
    pub(super) fn give_up_eap(&mut self, context: &mut Context<'_>, spi: IkeSpi, failure: Option<Failure>) {
        let eap = self.eap_attempt().and_then(|attempt| attempt.eap.as_deref());
        let rounds = eap.map_or(0, |eap| eap.rounds);
        let failure = failure.unwrap_or(EapFault::Refused { rounds }.into());
        self.refuse_answerer(context, spi, failure);
    }

    /// Sends one more IKE_AUTH request.
    fn send_in_auth(
        &mut self,
        context: &mut Context<'_>,
        spi: IkeSpi,
        payloads: &[Payload<'_>],
    ) -> Result<(), Failure> {
        let policy = self.connection.retransmit;
        let attempt = self.eap_attempt().ok_or(Failure::NoKeys)?;
        let answerer = attempt.answerer_mut(spi)?;
        let path = answerer.path;
        let request = answerer.exchanges.seal_request(&path, ExchangeType::IKE_AUTH, payloads)?;
        context.observe_sent(&path, request.message(), payloads);
        if let Some(message) = answerer.exchanges.sent(context.now, request, Purpose::Auth, &policy) {
            context.transmit(path, &message);
        }
        self.sent_at = context.now;
        Ok(())
    }
}

/// Without what an answer must have, an error notify is the answer (§2.21.2).
fn missing(contents: &Contents<'_>, ty: PayloadType) -> Failure {
    match contents.error() {
        Some(error) => Failure::Refused { notify: error.ty },
        None => Failure::MissingPayload(ty),
    }
}
