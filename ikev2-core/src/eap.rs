//! EAP as a pass-through (RFC 7296 §2.16, RFC 3748): the packets of a method go between the peer and the embedder, who runs
//! the method, alone or with an AAA server behind it. Here they have a code, an identifier and a length, and no more.
//!
//! | who | is asked by [`Event::EapNeeded`](crate::Event::EapNeeded) with | answers with |
//! |---|---|---|
//! | the initiator: EAP's peer | a Request | [`EapAnswer::Send`], its Response |
//! | | Success | [`EapAnswer::Done`]: the key of the method |
//! | the responder: EAP's authenticator | nothing: the peer wants EAP | [`EapAnswer::Send`], the first Request |
//! | | a Response | [`EapAnswer::Send`], the next Request; or [`EapAnswer::Done`], and Success is sent |
//!
//! Whoever answers [`Answer::Refused`](crate::Answer::Refused) ends it: the responder sends Failure then.

use crate::event::Role;
use crate::identity::Identity;
use alloc::string::String;
use alloc::vec::Vec;
use ikev2_wire::{EapCode, EapPayload};
use ipsec_types::SecretBytes;

/// How an initiator authenticates by EAP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EapPolicy {
    /// Whether the responder may leave out its own proof, where the method authenticates both ends (RFC 5998). As initiator
    /// it is offered (EAP_ONLY_AUTHENTICATION); as responder an offer is taken. Default: no.
    pub eap_only: bool,
    /// How many packets we send at most, Success and Failure not counted. Default: 64, which EAP-TLS with long chains in
    /// small pieces stays below.
    pub max_rounds: u32,
}

impl Default for EapPolicy {
    fn default() -> Self {
        Self { eap_only: false, max_rounds: 64 }
    }
}

/// What the embedder is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EapTurn {
    /// The connection's name.
    pub connection: String,
    /// Which end we are: EAP's peer as initiator, its authenticator as responder.
    pub role: Role,
    /// Who the initiator says it is (IDi): no EAP Identity is needed (§2.16).
    pub initiator: Identity,
    /// Who the responder is, as far as it has said so.
    pub responder: Option<Identity>,
    /// Whether the responder proves who it is by itself. Where it does not, both ends are to go on by a method alone that is
    /// safe so (RFC 5998 §4): by any other, nothing of a secret may be sent, and the answer is
    /// [`Answer::Refused`](crate::Answer::Refused).
    pub responder_proven: bool,
    /// The packet that came, from its Code on; `None` where a responder is to begin.
    pub received: Option<Vec<u8>>,
    /// How many packets we sent before.
    pub round: u32,
}

/// What the embedder answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EapAnswer {
    /// This packet, from its Code on: a Response as initiator, a Request as responder.
    Send(Vec<u8>),
    /// The method has succeeded.
    Done(EapOutcome),
}

/// What came of a method.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EapOutcome {
    /// The key that it made (MSK), which both ends prove by AUTH then; `None` where it makes none, and SK_pi and SK_pr
    /// serve instead (§2.16), which binds the method to nothing.
    pub msk: Option<SecretBytes>,
    /// Whom it authenticated: as responder, what the peer called itself within EAP.
    pub identity: Option<Identity>,
    /// Whether it authenticates both ends, makes a key, and withstands dictionary attacks. Only then the responder's own
    /// proof may be missing (RFC 5998 §4, which names the methods).
    pub safe_alone: bool,
}

/// A packet's code and identifier, if it is one.
pub(crate) fn head_of(packet: &[u8]) -> Option<(EapCode, u8)> {
    let payload = EapPayload::new(packet).ok()?;
    Some((payload.code(), payload.identifier()))
}

/// Success or Failure, in answer to the Response with this identifier (RFC 3748 §4.2).
pub(crate) fn verdict(code: EapCode, identifier: u8) -> [u8; 4] {
    [code.0, identifier, 0, 4]
}
