//! One taxonomy of what goes wrong: who is at fault, how far it reaches, and what the peer is told.
//!
//! | type | scope | who gets it |
//! |---|---|---|
//! | [`Rejection`] | one datagram | the caller of `handle_datagram`, at once; nothing else changed |
//! | [`Failure`] | an exchange, a Child SA or an IKE SA | an event |
//! | [`CallError`] | a call | its caller |
//! | [`MoveError`] | an IKE SA that is to move | its caller |
//!
//! [`Failure::notify`] is the one table from which the notify to the peer is taken (RFC 7296 §2.21, §3.10.1).

mod addresses;
mod auth;
mod configuration;
mod eap;
mod fragments;
mod moving;
mod offer;
mod put_off;

pub use addresses::AddressFault;
pub use auth::{AnnouncedHashes, AuthFailure};
pub use configuration::ConfigFault;
pub use eap::EapFault;
pub use fragments::{FragmentFault, Incomplete};
pub use moving::{MoveError, Unsettled};
pub use offer::Offer;
pub use put_off::{Busy, Unsupported};

use crate::exchange::exchanges::SealError;
use crate::negotiation::{KeMismatch, Mismatch, ResponseFault, SelectorLists, TsMismatch};
use crate::redirect::Gateway;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType, ProtocolId};
use ikev2_wire::{EncodeError, ParseError, Proposal};
use ipsec_crypto::signature::{SignatureError, SignatureScheme};
use ipsec_crypto::{KxError, RandomError};
use ipsec_types::{EspSpi, IkeSpi, Mode};
use thiserror::Error;

/// Who has to change something for it to work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The peer broke a rule of the protocol, or somebody pretends to be it.
    PeerMisbehaved,
    /// Both sides keep the rules and their configurations do not fit.
    PeerIncompatible,
    /// The embedder, or its configuration.
    Caller,
    /// The network, the clock, the random generator.
    Environment,
    /// A bound of ours.
    Limit,
}

/// How far a failure reaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// One exchange; the SAs live on.
    Exchange,
    /// One Child SA.
    ChildSa,
    /// The IKE SA and all its Child SAs.
    IkeSa,
}

/// A datagram that was dropped, or answered with an error outside any SA. Nothing changed but statistics.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It is no IKE message: ESP, or shorter than anything, on the NAT-T path.
    #[error("not an IKE message")]
    NotIke,
    /// It breaks the format of RFC 7296 §3.
    #[error("malformed: {0}")]
    Malformed(#[from] ParseError),
    /// Its major version is not 2 (§2.5).
    #[error("major version {0}")]
    Version(u8),
    /// It names an IKE SA that does not exist.
    #[error("no IKE SA has the SPI {0}")]
    UnknownSpi(IkeSpi),
    /// Its SPIs and flags contradict each other or the SA: a reflected message, or one from nobody.
    #[error("its flags contradict its SPIs")]
    Contradictory,
    /// Its exchange type has no place in the state that the SA is in.
    #[error("{0} is not expected now")]
    UnexpectedExchange(ExchangeType),
    /// Its Message ID was answered, and the answer is no longer kept (§2.3).
    #[error("Message ID {0} lies before the window")]
    OldMessageId(u32),
    /// Its Message ID lies beyond the window (§2.3).
    #[error("Message ID {0} lies beyond the window")]
    MessageIdAhead(u32),
    /// Its Message ID was answered for other octets.
    #[error("Message ID {0} came before with other octets")]
    AlteredRepeat(u32),
    /// It answers a request that is not waiting.
    #[error("no request {0} waits for an answer")]
    Unsolicited(u32),
    /// It must be protected by an SK payload and is not.
    #[error("not protected")]
    Unprotected,
    /// Its integrity check failed.
    #[error("the integrity check failed")]
    IntegrityCheck,
    /// It lacks a payload that its exchange demands.
    #[error("the {0} payload is missing")]
    MissingPayload(PayloadType),
    /// It has a payload more than once that may stand there once.
    #[error("the {0} payload is there twice")]
    DuplicatePayload(PayloadType),
    /// It holds a payload that we do not know and must not skip (§2.5).
    #[error("the critical payload {0} is unknown")]
    CriticalPayload(PayloadType),
    /// It is an IKE_SA_INIT answer that the peer's real answer can still follow (§2.21.1).
    #[error("the IKE_SA_INIT answer is of no use: {0}")]
    UselessAnswer(Box<Failure>),
    /// It asks for an IKE SA that no connection offers.
    #[error("no connection serves these addresses")]
    NoConnection,
    /// It offers no proposal that a connection accepts.
    #[error("no proposal chosen: {0}")]
    NoProposalChosen(Box<Mismatch>),
    /// Its key exchange method is not the one that we would choose; the peer was told which.
    #[error("{0}")]
    KeMethod(Box<KeMismatch>),
    /// Its key exchange data is not what the method's is.
    #[error("key exchange: {0}")]
    KeyExchange(#[from] KxError),
    /// It must be repeated with a cookie first (§2.6).
    #[error("a cookie is asked for")]
    CookieRequired,
    /// The embedder's admission refused it, and the peer was told so.
    #[error("refused with {0}")]
    Refused(NotifyType),
    /// It is a fragment that is of no use (RFC 7383 §2.6).
    #[error(transparent)]
    Fragment(#[from] FragmentFault),
    /// A bound of the configuration is reached.
    #[error("the limit {0} is reached")]
    Limit(Bound),
    /// The provider lacks an algorithm that the configuration names.
    #[error("the crypto provider has no {0}")]
    Algorithm(String),
    /// Our own answer cannot be encoded.
    #[error("our own answer cannot be encoded: {0}")]
    Encode(EncodeError),
    /// The random generator failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The kinds of [`Rejection`], to count them by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
#[allow(missing_docs, reason = "each is the variant of `Rejection` with its name")]
pub enum RejectionKind {
    NotIke,
    Malformed,
    Version,
    UnknownSpi,
    Contradictory,
    UnexpectedExchange,
    OldMessageId,
    MessageIdAhead,
    AlteredRepeat,
    Unsolicited,
    Unprotected,
    IntegrityCheck,
    MissingPayload,
    DuplicatePayload,
    CriticalPayload,
    UselessAnswer,
    NoConnection,
    NoProposalChosen,
    KeMethod,
    KeyExchange,
    CookieRequired,
    Refused,
    Fragment,
    Limit,
    Algorithm,
    Encode,
    Random,
}

impl RejectionKind {
    /// All kinds.
    pub const ALL: [Self; 27] = [
        Self::NotIke,
        Self::Malformed,
        Self::Version,
        Self::UnknownSpi,
        Self::Contradictory,
        Self::UnexpectedExchange,
        Self::OldMessageId,
        Self::MessageIdAhead,
        Self::AlteredRepeat,
        Self::Unsolicited,
        Self::Unprotected,
        Self::IntegrityCheck,
        Self::MissingPayload,
        Self::DuplicatePayload,
        Self::CriticalPayload,
        Self::UselessAnswer,
        Self::NoConnection,
        Self::NoProposalChosen,
        Self::KeMethod,
        Self::KeyExchange,
        Self::CookieRequired,
        Self::Refused,
        Self::Fragment,
        Self::Limit,
        Self::Algorithm,
        Self::Encode,
        Self::Random,
    ];
}

impl Rejection {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        match self {
            Self::NotIke => RejectionKind::NotIke,
            Self::Malformed(_) => RejectionKind::Malformed,
            Self::Version(_) => RejectionKind::Version,
            Self::UnknownSpi(_) => RejectionKind::UnknownSpi,
            Self::Contradictory => RejectionKind::Contradictory,
            Self::UnexpectedExchange(_) => RejectionKind::UnexpectedExchange,
            Self::OldMessageId(_) => RejectionKind::OldMessageId,
            Self::MessageIdAhead(_) => RejectionKind::MessageIdAhead,
            Self::AlteredRepeat(_) => RejectionKind::AlteredRepeat,
            Self::Unsolicited(_) => RejectionKind::Unsolicited,
            Self::Unprotected => RejectionKind::Unprotected,
            Self::IntegrityCheck => RejectionKind::IntegrityCheck,
            Self::MissingPayload(_) => RejectionKind::MissingPayload,
            Self::DuplicatePayload(_) => RejectionKind::DuplicatePayload,
            Self::CriticalPayload(_) => RejectionKind::CriticalPayload,
            Self::UselessAnswer(_) => RejectionKind::UselessAnswer,
            Self::NoConnection => RejectionKind::NoConnection,
            Self::NoProposalChosen(_) => RejectionKind::NoProposalChosen,
            Self::KeMethod(_) => RejectionKind::KeMethod,
            Self::KeyExchange(_) => RejectionKind::KeyExchange,
            Self::CookieRequired => RejectionKind::CookieRequired,
            Self::Refused(_) => RejectionKind::Refused,
            Self::Fragment(_) => RejectionKind::Fragment,
            Self::Limit(_) => RejectionKind::Limit,
            Self::Algorithm(_) => RejectionKind::Algorithm,
            Self::Encode(_) => RejectionKind::Encode,
            Self::Random(_) => RejectionKind::Random,
        }
    }
}

impl Rejection {
    /// Who has to change something, if anybody: late and repeated datagrams are the network's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoConnection | Self::NoProposalChosen(_) | Self::KeMethod(_) => Fault::PeerIncompatible,
            Self::UnknownSpi(_) | Self::OldMessageId(_) | Self::Unsolicited(_) | Self::CookieRequired => {
                Fault::Environment
            }
            Self::Fragment(
                FragmentFault::Held { .. } | FragmentFault::Replaced { .. } | FragmentFault::Answered { .. },
            ) => Fault::Environment,
            Self::KeyExchange(KxError::Random(_)) | Self::Random(_) => Fault::Environment,
            Self::Algorithm(_) | Self::Encode(_) | Self::Refused(_) => Fault::Caller,
            Self::Limit(_) => Fault::Limit,
            Self::UselessAnswer(failure) => failure.fault(),
            _ => Fault::PeerMisbehaved,
        }
    }
}

/// A bound of the configuration, by the name of its field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Bound {
    /// [`EndpointConfig::max_ike_sas`](crate::EndpointConfig::max_ike_sas).
    #[error("max_ike_sas")]
    IkeSas,
    /// [`EndpointConfig::max_half_open`](crate::EndpointConfig::max_half_open).
    #[error("max_half_open")]
    HalfOpen,
    /// [`EndpointConfig::max_half_open_from_source`](crate::EndpointConfig::max_half_open_from_source).
    #[error("max_half_open_from_source")]
    HalfOpenFromSource,
    /// [`EndpointConfig::max_half_open_octets`](crate::EndpointConfig::max_half_open_octets).
    #[error("max_half_open_octets")]
    HalfOpenOctets,
    /// [`EndpointConfig::max_half_open_octets_from_source`](crate::EndpointConfig::max_half_open_octets_from_source).
    #[error("max_half_open_octets_from_source")]
    HalfOpenOctetsFromSource,
    /// [`EndpointConfig::max_operations_per_second`](crate::EndpointConfig::max_operations_per_second).
    #[error("max_operations_per_second")]
    Operations,
    /// One of the embedder's own, of [`Hooks::admission`](crate::Hooks::admission).
    #[error("of the embedder's admission")]
    Admission,
    /// [`EndpointConfig::max_events`](crate::EndpointConfig::max_events).
    #[error("max_events")]
    Events,
    /// [`EndpointConfig::max_queued_requests`](crate::EndpointConfig::max_queued_requests).
    #[error("max_queued_requests")]
    QueuedRequests,
    /// [`EndpointConfig::max_children`](crate::EndpointConfig::max_children).
    #[error("max_children")]
    Children,
    /// [`EndpointConfig::max_datagram`](crate::EndpointConfig::max_datagram).
    #[error("max_datagram")]
    Datagram,
    /// How many requests the peer takes at once (RFC 7296 §2.3).
    #[error("the window of the peer")]
    Window,
    /// [`ReassemblyLimits::octets`](crate::ReassemblyLimits::octets).
    #[error("reassembly.octets")]
    ReassemblyOctets,
    /// [`ReassemblyLimits::fragments`](crate::ReassemblyLimits::fragments).
    #[error("reassembly.fragments")]
    Fragments,
    /// [`ReassemblyLimits::messages`](crate::ReassemblyLimits::messages).
    #[error("reassembly.messages")]
    FragmentedMessages,
    /// The Message IDs of an IKE SA (RFC 7296 §2.2).
    #[error("the Message IDs of the IKE SA")]
    MessageIds,
}

/// Why an exchange, a Child SA or an IKE SA failed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The peer offers nothing that our policy accepts.
    #[error("no proposal chosen: {0}")]
    NoProposalChosen(Box<Mismatch>),
    /// The peer's answer to our proposals is not one of them.
    #[error("the peer's choice is none of our proposals: {0}")]
    ProposalAnswer(ResponseFault),
    /// The peer asks for traffic that our policy does not allow.
    #[error("traffic selectors unacceptable: {0}")]
    TsUnacceptable(Box<TsMismatch>),
    /// The peer's answer holds selectors that we did not ask for.
    #[error("the peer's traffic selectors are not a part of ours: {0}")]
    TsAnswer(Box<TsMismatch>),
    /// The peer takes another mode than the one of our policy (§1.3.1).
    #[error("the peer takes {got} mode, our policy {wanted} mode alone")]
    Mode {
        /// What the peer asks for or has chosen.
        got: Mode,
        /// What our policy has.
        wanted: Mode,
    },
    /// Transport mode is between the two ends of the IKE SA, and the policy has no traffic there, or our own address
    /// is not known.
    #[error("the policy has no traffic between {local} and {remote} themselves, as transport mode needs")]
    TransportEnds {
        /// Our address on the path.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// The peer sends us to another gateway, and the connection does not follow redirects (RFC 5685).
    #[error("redirected to {0}, which the connection does not follow")]
    Redirected(Gateway),
    /// The peer offers no IKE SA without a Child SA, and the connection requires one (RFC 6023).
    #[error("the peer does not offer to begin without a Child SA")]
    NotChildless,
    /// A redirect to an address of the other version of IP, or of no host: no path leads there from where we are
    /// (RFC 5685). An embedder that has another path may take it
    /// ([`Endpoint::connect_redirected`](crate::Endpoint::connect_redirected)).
    #[error("redirected to {0}, where no path leads")]
    RedirectOutOfReach(Gateway),
    /// A redirect that does not hold our nonce (RFC 5685 §3).
    #[error("a redirect without our nonce")]
    RedirectNonce,
    /// Gateways sent us from one to the other too often (RFC 5685 §7).
    #[error("more than {0} redirects in a row")]
    TooManyRedirects(u32),
    /// The key exchange gave no secret.
    #[error("key exchange by {method}: {error}")]
    KeyExchange {
        /// The method.
        method: KeMethod,
        /// What was wrong.
        error: KxError,
    },
    /// The peer's request has KE by another method than we would choose; it is told which.
    #[error("{0}")]
    InvalidKe(Box<KeMismatch>),
    /// The KE payload of the peer's answer is of another method than the chosen one.
    #[error("KE with {got} where {wanted} is wanted")]
    KeMethod {
        /// What the KE payload names; NONE where there was none.
        got: KeMethod,
        /// What was chosen.
        wanted: KeMethod,
    },
    /// A KE payload of IKE_INTERMEDIATE or IKE_FOLLOWUP_KE is of another method than the additional key exchange that
    /// is next (RFC 9370 §2.2.2).
    #[error("KE with {got} where {} is the next additional key exchange", Method(*.wanted))]
    AdditionalKe {
        /// What the KE payload names.
        got: KeMethod,
        /// What is next; `None` where nothing is.
        wanted: Option<KeMethod>,
    },
    /// The peer agreed to additional key exchanges and does not say how the next one is called (RFC 9370 §2.2.4).
    #[error("no ADDITIONAL_KEY_EXCHANGE in the peer's answer")]
    NoLink,
    /// The peer goes on with a series of key exchanges that we do not know, or no more (RFC 9370 §2.2.4).
    #[error("no series of additional key exchanges goes by that name")]
    StateNotFound,
    /// The peer wants a key exchange method that we did not offer.
    #[error("the peer wants {wanted}, we offer {}", Joined(.offered))]
    KeMethodWanted {
        /// What INVALID_KE_PAYLOAD named.
        wanted: KeMethod,
        /// What we offered.
        offered: Vec<KeMethod>,
    },
    /// The peer did not prove who it is.
    #[error("authentication failed: {0}")]
    Authentication(AuthFailure),
    /// A protected message is malformed.
    #[error("malformed: {0}")]
    Malformed(#[from] ParseError),
    /// A protected message says that it has more padding than text.
    #[error("the padding is longer than the text")]
    Padding,
    /// A protected message lacks a payload.
    #[error("the {0} payload is missing")]
    MissingPayload(PayloadType),
    /// A protected message has a payload more than once that may stand there once.
    #[error("the {0} payload is there twice")]
    DuplicatePayload(PayloadType),
    /// A protected message holds a payload that we do not know and must not skip.
    #[error("the critical payload {0} is unknown")]
    CriticalPayload(PayloadType),
    /// The peer refused with an error notify.
    #[error("the peer answered {notify}{}", hint(*.notify))]
    Refused {
        /// The notify.
        notify: NotifyType,
    },
    /// The peer takes nothing of what we offered. It does not say what it would take (§2.7, §2.9).
    #[error("the peer answered {notify}{}\n  we offer:{offer}", hint(*.notify))]
    OfferRefused {
        /// NO_PROPOSAL_CHOSEN or TS_UNACCEPTABLE.
        notify: NotifyType,
        /// What we offered.
        offer: Box<Offer>,
    },
    /// The connection has no child to begin with.
    #[error("the connection has no child")]
    NoChild,
    /// There are no keys to protect a message with.
    #[error("no keys yet")]
    NoKeys,
    /// The peer deleted the Child SA before its answer to our request came.
    #[error("the peer deleted it before its answer came")]
    DeletedEarly,
    /// The peer's answer says neither yes nor no.
    #[error("the peer's answer holds neither an SA nor an error")]
    NoAnswer,
    /// No answer came, however often the request was repeated.
    #[error("no answer to {exchange}")]
    Timeout {
        /// The exchange.
        exchange: ExchangeType,
        /// The last unprotected error that came meanwhile: a hint, which anyone can send.
        hint: Option<NotifyType>,
    },
    /// No answer came but for some of its fragments: perhaps the others are too large for the path.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// The peer keeps asking for a cookie or another method, as often as
    /// [`EndpointConfig::max_init_retries`](crate::EndpointConfig::max_init_retries) allows.
    #[error("the peer let us start over {0} times, which is max_init_retries")]
    TooManyRetries(u32),
    /// The peer asks for something that we do not do.
    #[error("{0} is not supported")]
    Unsupported(Unsupported),
    /// The peer asks for something that must wait for what is going on (§2.25).
    #[error("{0}")]
    Busy(Busy),
    /// The peer rekeys a Child SA that we do not have (§2.25).
    #[error("there is no Child SA that we send by under the SPI {spi}")]
    ChildSaNotFound {
        /// The SPI of REKEY_SA.
        spi: EspSpi,
    },
    /// The notify that names the Child SA to rekey does not name one: REKEY_SA is of ESP, with an SPI of four
    /// octets (§1.3.3).
    #[error("REKEY_SA names no Child SA: protocol {protocol}, SPI of {spi_len} octets")]
    RekeySaForm {
        /// The protocol that it names.
        protocol: ProtocolId,
        /// Octets of its SPI.
        spi_len: usize,
    },
    /// A proposal to rekey the IKE SA has no SPI of eight octets, or zero (§3.3.1).
    #[error("a proposal for an IKE SA without its SPI")]
    IkeSpi,
    /// The peer answered TEMPORARY_FAILURE as often as we ask (§2.25).
    #[error("the peer was busy {0} times in a row")]
    BusyTooLong(u32),
    /// Our key would not sign.
    #[error("signing by {scheme}: {error}")]
    Signing {
        /// The scheme.
        scheme: SignatureScheme,
        /// What was wrong.
        error: SignatureError,
    },
    /// EAP came to nothing (RFC 7296 §2.16).
    #[error(transparent)]
    Eap(#[from] EapFault),
    /// There is no inner address (RFC 7296 §2.19).
    #[error(transparent)]
    Configuration(#[from] ConfigFault),
    /// The IKE SA does not move to other addresses (RFC 4555).
    #[error(transparent)]
    Addresses(Box<AddressFault>),
    /// A bound of ours is reached.
    #[error("the limit {0} is reached")]
    Limit(Bound),
    /// The random generator failed.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Our own message cannot be encoded: the configuration makes it too large.
    #[error("our own message cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// The provider lacks an algorithm that the configuration names.
    #[error("the crypto provider has no {0}")]
    Algorithm(String),
}

/// A method, or none.
struct Method(Option<KeMethod>);

impl core::fmt::Display for Method {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(method) => write!(f, "{method}"),
            None => f.write_str("nothing"),
        }
    }
}

/// With commas between.
struct Joined<'a, T>(&'a [T]);

impl<T: core::fmt::Display> core::fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (at, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What a person can do about a refusal.
fn hint(notify: NotifyType) -> &'static str {
    match notify {
        NotifyType::AUTHENTICATION_FAILED => {
            ": it does not accept our identity or our proof of it; are both sides' secrets and identities the same?"
        }
        NotifyType::NO_PROPOSAL_CHOSEN => ": none of our proposals is in its policy",
        NotifyType::TS_UNACCEPTABLE => ": our traffic selectors are not in its policy",
        NotifyType::NO_ADDITIONAL_SAS => ": it takes no further Child SA on this IKE SA",
        NotifyType::INTERNAL_ADDRESS_FAILURE => ": it has no inner address for us",
        NotifyType::FAILED_CP_REQUIRED => ": it wants to be asked for an inner address",
        NotifyType::TEMPORARY_FAILURE => ": it is busy with another exchange on this SA",
        _ => "",
    }
}

impl Failure {
    /// The peer refused our request with this notify, where these were our proposals and selectors.
    #[must_use]
    pub fn refused(notify: NotifyType, proposals: &[Proposal], selectors: Option<&SelectorLists>) -> Self {
        let offer = match (notify, selectors) {
            (NotifyType::NO_PROPOSAL_CHOSEN, _) => Offer::Proposals(proposals.to_vec()),
            (NotifyType::TS_UNACCEPTABLE, Some(selectors)) => Offer::Selectors(selectors.clone()),
            _ => return Self::Refused { notify },
        };
        Self::OfferRefused { notify, offer: Box::new(offer) }
    }

    /// Who has to change something.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Authentication(
                AuthFailure::NoSecret { .. } | AuthFailure::NotSigned | AuthFailure::NotAnswered,
            ) => Fault::Caller,
            Self::Addresses(fault) => match **fault {
                AddressFault::Cookie2 { .. } => Fault::PeerMisbehaved,
                AddressFault::NoPath | AddressFault::UnexpectedNat { .. } => Fault::Environment,
                _ => Fault::PeerIncompatible,
            },
            Self::Eap(EapFault::OutOfTurn { .. } | EapFault::WrongKey) => Fault::PeerMisbehaved,
            Self::Eap(EapFault::OwnPacket) => Fault::Caller,
            Self::Eap(EapFault::TooManyRounds(_)) => Fault::Limit,
            Self::Eap(_) => Fault::PeerIncompatible,
            Self::Configuration(ConfigFault::GivenTwice(_)) => Fault::Caller,
            Self::Configuration(ConfigFault::NoAddress { .. }) => Fault::Limit,
            Self::Configuration(_) => Fault::PeerIncompatible,
            // RFC 7427 §4: only what was announced may be used.
            Self::Authentication(AuthFailure::HashNotAnnounced { .. }) => Fault::PeerMisbehaved,
            Self::NoProposalChosen(_)
            | Self::TsUnacceptable(_)
            | Self::Mode { .. }
            | Self::InvalidKe(_)
            | Self::KeMethodWanted { .. }
            | Self::Authentication(_)
            | Self::Redirected(_)
            | Self::RedirectOutOfReach(_)
            | Self::NotChildless
            | Self::Refused { .. }
            | Self::OfferRefused { .. }
            | Self::DeletedEarly
            | Self::Busy(_)
            | Self::BusyTooLong(_)
            | Self::ChildSaNotFound { .. }
            | Self::Unsupported(_) => Fault::PeerIncompatible,
            Self::ProposalAnswer(_)
            | Self::TsAnswer(_)
            | Self::KeMethod { .. }
            | Self::AdditionalKe { .. }
            | Self::NoLink
            | Self::StateNotFound
            | Self::Malformed(_)
            | Self::Padding
            | Self::MissingPayload(_)
            | Self::DuplicatePayload(_)
            | Self::CriticalPayload(_)
            | Self::NoAnswer
            | Self::RekeySaForm { .. }
            | Self::IkeSpi
            | Self::RedirectNonce
            | Self::TooManyRedirects(_)
            | Self::TooManyRetries(_) => Fault::PeerMisbehaved,
            Self::KeyExchange { error: KxError::Random(_), .. } => Fault::Environment,
            Self::KeyExchange { .. } => Fault::PeerMisbehaved,
            Self::Timeout { .. } | Self::Incomplete(_) | Self::Random(_) => Fault::Environment,
            Self::Limit(_) => Fault::Limit,
            Self::Signing { .. }
            | Self::Encode(_)
            | Self::Algorithm(_)
            | Self::NoChild
            | Self::TransportEnds { .. }
            | Self::NoKeys => Fault::Caller,
        }
    }

    /// What the peer is told when it is its request that failed: the one table for it.
    #[must_use]
    pub fn notify(&self) -> NotifyType {
        match self {
            Self::NoProposalChosen(_) | Self::Algorithm(_) | Self::Mode { .. } => {
                NotifyType::NO_PROPOSAL_CHOSEN
            }
            Self::TsUnacceptable(_) | Self::TransportEnds { .. } | Self::NoChild => {
                NotifyType::TS_UNACCEPTABLE
            }
            Self::InvalidKe(_) | Self::KeMethod { .. } => NotifyType::INVALID_KE_PAYLOAD,
            Self::Authentication(_)
            | Self::Signing { .. }
            | Self::Eap(_)
            | Self::Unsupported(Unsupported::Eap) => NotifyType::AUTHENTICATION_FAILED,
            Self::Addresses(fault) => fault.notify(),
            Self::Configuration(fault) => fault.notify(),
            Self::CriticalPayload(_) => NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD,
            Self::ChildSaNotFound { .. } => NotifyType::CHILD_SA_NOT_FOUND,
            Self::StateNotFound => NotifyType::STATE_NOT_FOUND,
            Self::Busy(_)
            | Self::Random(_)
            | Self::KeyExchange { error: KxError::Random(_), .. }
            | Self::Encode(_) => NotifyType::TEMPORARY_FAILURE,
            // A message that is larger than any may be.
            Self::Limit(Bound::ReassemblyOctets) => NotifyType::INVALID_SYNTAX,
            Self::Limit(_) => NotifyType::NO_ADDITIONAL_SAS,
            // Of the rest only a malformed request is ever answered; the others are answers themselves.
            _ => NotifyType::INVALID_SYNTAX,
        }
    }

    /// The data of that notify (§3.10.1).
    #[must_use]
    pub fn notify_data(&self) -> Vec<u8> {
        match self {
            Self::InvalidKe(mismatch) => mismatch.wanted.0.to_be_bytes().to_vec(),
            Self::KeMethod { wanted, .. } => wanted.0.to_be_bytes().to_vec(),
            Self::CriticalPayload(ty) => Vec::from([ty.0]),
            _ => Vec::new(),
        }
    }
}

impl Failure {
    /// The SPI of that notify, where it is about a Child SA: copied from the request (§2.25).
    #[must_use]
    pub fn notify_spi(&self) -> Option<EspSpi> {
        match self {
            Self::ChildSaNotFound { spi } => Some(*spi),
            _ => None,
        }
    }
}

/// A call that cannot be done.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The handle names no SA, or one that is gone.
    #[error("there is no such IKE SA")]
    NoSuchSa,
    /// The identifier names no Child SA, or one that is gone.
    #[error("there is no such Child SA")]
    NoSuchChild,
    /// The name or number is of no connection.
    #[error("there is no such connection")]
    NoSuchConnection,
    /// No connection has a child of this policy.
    #[error("no connection serves this policy")]
    NoSuchPolicy,
    /// The connection or the child of the policy is not begun by traffic.
    #[error("no traffic begins what serves this policy")]
    NotByTraffic,
    /// The IKE SA is not established, or is being closed.
    #[error("the IKE SA is not established")]
    NotEstablished,
    /// The path's two ends are of different families, or the remote one is not known.
    #[error("the path names no peer")]
    BadPath,
    /// The two ends do not do MOBIKE (RFC 4555), or the peer began the IKE SA, and then it decides where it runs.
    #[error("the IKE SA cannot be moved by us")]
    NotMovable,
    /// The ticket was answered, or its IKE SA is gone.
    #[error("nothing waits for this ticket")]
    NoSuchTicket,
    /// The ticket waits for another kind of answer.
    #[error("the ticket waits for another kind of answer")]
    WrongAnswer,
    /// A bound of the configuration is reached.
    #[error("the limit {0} is reached")]
    Limit(Bound),
    /// The connection cannot begin: its own fault.
    #[error(transparent)]
    Failed(Box<Failure>),
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Window | SealError::Answered(_) => Self::Limit(Bound::Window),
            SealError::Encode(error) => Self::Encode(error),
        }
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}
