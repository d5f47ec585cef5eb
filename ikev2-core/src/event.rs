//! What comes out of an endpoint besides time: datagrams and events.

use crate::admission::AdmissionPolicy;
use crate::config_payload::Configuration;
use crate::config_payload::pool::LeaseRequest;
use crate::eap::{EapAnswer, EapTurn};
use crate::error::{CallError, Failure, Incomplete};
use crate::establish::auth::SignatureToVerify;
pub use crate::exchange::exchanges::Role;
use crate::identity::Identity;
use crate::keylog::KeyLog;
use crate::lifecycle::Next;
use crate::negotiation::AdditionalExchanges;
use crate::redirect::{Gateway, RedirectCourse};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use ikev2_wire::codes::{KeMethod, NotifyType, PrfId};
use ipsec_crypto::signature::{SignatureEncoding, SignatureScheme};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, ChildSaId, ExpiryReason, PolicyId};
use ipsec_types::{EspSpi, IkeSpi, Instant, Path, SaCommand};

/// Names an IKE SA of an endpoint. A handle of an SA that is gone never names another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeSaHandle {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl IkeSaHandle {
    pub(crate) const FIRST: Self = Self { slot: 0, generation: 0 };
    pub(crate) const LAST: Self = Self { slot: u32::MAX, generation: u32::MAX };
}

impl fmt::Debug for IkeSaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IkeSa({}.{})", self.slot, self.generation)
    }
}

impl fmt::Display for IkeSaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// A datagram to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// From where to where, and by which of the two sockets.
    pub path: Path,
    /// The UDP payload, the non-ESP marker included where the path demands it.
    pub datagram: Bytes,
}

/// What NAT detection found (RFC 7296 §2.23).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NatStatus {
    /// We are behind a NAT: we send keepalives.
    pub local: bool,
    /// The peer is behind a NAT: its address and port may change.
    pub remote: bool,
}

impl NatStatus {
    /// Whether there is any NAT, so that ESP goes in UDP.
    #[must_use]
    pub fn any(self) -> bool {
        self.local || self.remote
    }
}

/// An established IKE SA, for whoever wants to show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IkeSaInfo {
    /// The connection's name.
    pub connection: String,
    /// Which end began.
    pub role: Role,
    /// The original initiator's SPI.
    pub initiator_spi: IkeSpi,
    /// The original responder's SPI; `None` before its first answer.
    pub responder_spi: Option<IkeSpi>,
    /// The path in use.
    pub path: Path,
    /// What NAT detection found.
    pub nat: NatStatus,
    /// Whether it may move to other addresses: both ends do MOBIKE (RFC 4555).
    pub mobike: bool,
    /// Who we are.
    pub local_id: Identity,
    /// Who the peer is; `None` before it proved it.
    pub remote_id: Option<Identity>,
    /// As responder: whom EAP authenticated, as its method told (RFC 7296 §2.16).
    pub eap_identity: Option<Identity>,
    /// The IKE SA whose place it takes, where the two ends authenticate anew (RFC 7296 §2.8.3).
    pub replaces: Option<IkeSaHandle>,
    /// The gateway that sent us to this one (RFC 5685).
    pub redirected_from: Option<IpAddr>,
    /// What protects the messages; `None` before IKE_SA_INIT is over.
    pub suite: Option<CipherSuite>,
    /// The PRF.
    pub prf: Option<PrfId>,
    /// The key exchange method.
    pub ke: Option<KeMethod>,
    /// The key exchanges after that one (RFC 9370).
    pub additional: AdditionalExchanges,
    /// The size of IP datagrams, in octets, that messages are fragmented to fit; `None` where the two ends did not
    /// agree to fragment (RFC 7383).
    pub fragment_size: Option<u16>,
    /// What the responder gave the initiator: its inner addresses and more; `None` where nothing was asked for or given.
    pub configuration: Option<Arc<Configuration>>,
    /// The Child SAs.
    pub children: Vec<ChildSaId>,
    /// How far it is.
    pub state: IkeSaState,
    /// When its first message came or went.
    pub created_at: Instant,
    /// When the peer was authenticated.
    pub established_at: Option<Instant>,
    /// The last proof that the peer lives.
    pub heard_at: Instant,
    /// Requests that we sent; also the Message ID of the next one.
    pub requests_sent: u32,
    /// Requests of the peer that we answered in order; also the Message ID that we wait for.
    pub requests_answered: u32,
}

/// How far an IKE SA is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum IkeSaState {
    /// Our IKE_SA_INIT request is out.
    Initiating,
    /// We answered IKE_SA_INIT and wait for IKE_AUTH.
    HalfOpen,
    /// Our IKE_AUTH request is out.
    Authenticating,
    /// Both ends are authenticated.
    Established,
    /// It is being deleted.
    Closing,
}

/// An installed Child SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChildSaInfo {
    /// What both directions share.
    pub child: Arc<ChildSa>,
    /// The SPI that we receive by.
    pub inbound: EspSpi,
    /// The SPI that we send by.
    pub outbound: EspSpi,
    /// The key exchange method of its own keys; `None` where they come from the IKE SA's alone.
    pub ke: Option<KeMethod>,
    /// The key exchanges after that one (RFC 9370).
    pub additional: AdditionalExchanges,
    /// Whether the peer agreed to less traffic than was asked for.
    pub narrowed: bool,
}

/// Why an SA ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DownReason {
    /// We were asked to delete it.
    Requested,
    /// The peer deleted it.
    DeletedByPeer,
    /// A newer IKE SA with the same peer took its place.
    Replaced,
    /// The peer did not authenticate anew in the time that it was given (RFC 4478).
    AuthenticationExpired,
    /// The peer sent us to another gateway (RFC 5685). Where that is an address, another IKE SA is begun there at once.
    Redirected(Gateway),
    /// A rekey took its place.
    Rekeyed,
    /// Both ends rekeyed one SA at once, and this one is left over (RFC 7296 §2.8.1).
    Redundant,
    /// A hard lifetime was reached.
    Expired(ExpiryReason),
    /// Its IKE SA ended.
    IkeSaEnded,
    /// It failed.
    Failed(Box<Failure>),
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("deleted by us"),
            Self::DeletedByPeer => f.write_str("deleted by the peer"),
            Self::Replaced => f.write_str("replaced by a newer one with the same peer"),
            Self::AuthenticationExpired => f.write_str("the peer did not authenticate anew in time"),
            Self::Redirected(to) => write!(f, "redirected to {to}"),
            Self::Rekeyed => f.write_str("replaced by a rekey"),
            Self::Redundant => f.write_str("left over after both ends rekeyed at once"),
            Self::Expired(reason) => write!(f, "expired ({reason:?})"),
            Self::IkeSaEnded => f.write_str("its IKE SA ended"),
            Self::Failed(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

/// Something that the embedder must know or do.
///
/// Every Child SA appears in one chain: [`Event::ChildSaUp`] or [`Event::IkeSaImported`], at most one [`Event::ChildSaReplaced`] where
/// another takes over its traffic, then [`Event::ChildSaDown`]; every IKE SA ends with one
/// [`Event::IkeSaDown`], after those of its Child SAs. A rekey of the IKE SA changes neither its handle nor its
/// Child SAs, and is told by [`Event::IkeSaRekeyed`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// For the data path, in this order.
    DataPath(SaCommand),
    /// The peer is authenticated; addresses and NAT state are final.
    IkeSaUp {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// What was agreed.
        info: Box<IkeSaInfo>,
    },
    /// An IKE SA came from another endpoint, with its Child SAs ([`Endpoint::import`](crate::Endpoint::import)); those have
    /// no commands for the data path.
    IkeSaImported {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// What holds.
        info: Box<IkeSaInfo>,
        /// The Child SAs.
        children: Vec<ChildSaInfo>,
    },
    /// A signature is needed; [`Endpoint::answer`](crate::Endpoint::answer) brings it.
    SignatureNeeded {
        /// To answer with.
        ticket: Ticket,
        /// When the IKE SA ends without an answer.
        deadline: Instant,
        /// What to sign.
        request: Box<SignatureRequest>,
    },
    /// A signature must be verified; [`Endpoint::answer`](crate::Endpoint::answer) brings the verdict.
    VerificationNeeded {
        /// To answer with.
        ticket: Ticket,
        /// When the IKE SA ends without an answer.
        deadline: Instant,
        /// What to verify.
        request: Box<VerificationRequest>,
    },
    /// EAP goes on with the embedder (RFC 7296 §2.16); [`Endpoint::answer`](crate::Endpoint::answer) brings what follows.
    EapNeeded {
        /// The IKE SA that is to be.
        sa: IkeSaHandle,
        /// To answer with.
        ticket: Ticket,
        /// When the IKE SA ends without an answer.
        deadline: Instant,
        /// What came, and from whom.
        turn: Box<EapTurn>,
    },
    /// An inner address is needed for a peer that has proved who it is; [`Endpoint::answer`](crate::Endpoint::answer) brings
    /// it. Without an answer in time, or with [`Answer::Refused`], the peer gets none, and no Child SA with IKE_AUTH.
    AddressNeeded {
        /// To answer with.
        ticket: Ticket,
        /// Until when it is awaited.
        deadline: Instant,
        /// Who asks for what.
        request: Box<LeaseRequest>,
    },
    /// The last IKE SA ended by which a peer had this inner address, where the embedder gave it.
    AddressReleased {
        /// Which, and whose.
        released: Box<Released>,
    },
    /// Somebody answered IKE_SA_INIT with an error. It may be forged, so the attempt goes on for
    /// [`Connection::init_error_patience`](crate::Connection::init_error_patience).
    InitErrorSeen {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The error.
        notify: NotifyType,
    },
    /// A Child SA is agreed; its commands for the data path came before.
    ChildSaUp {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// What was agreed.
        info: Box<ChildSaInfo>,
    },
    /// After a rekey, traffic goes by the new Child SA from now on; the data path was told before. The old one
    /// receives until its [`Event::ChildSaDown`].
    ChildSaReplaced {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// What was in use.
        old: ChildSaId,
        /// What is in use now.
        new: ChildSaId,
    },
    /// The IKE SA has new keys, SPIs and Message IDs (RFC 7296 §1.3.2, §2.18). Its Child SAs and everything else
    /// went over to them.
    IkeSaRekeyed {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// What holds now.
        info: Box<IkeSaInfo>,
    },
    /// A rekey of the IKE SA came to nothing, ours or one that the peer asked for. It lives on, and ours is tried again.
    IkeRekeyFailed {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// Why.
        failure: Box<Failure>,
    },
    /// It is time to authenticate anew: another IKE SA is begun, whose [`IkeSaInfo::replaces`] names this one. When it
    /// has its Child SAs, this one ends with [`DownReason::Replaced`]; if it comes to nothing, this one lives on, and
    /// another attempt follows after a pause (RFC 7296 §2.8.3).
    IkeSaReauthenticating {
        /// The IKE SA.
        sa: IkeSaHandle,
    },
    /// The peer of an established IKE SA wants us to go to another gateway (RFC 5685 §5).
    IkeSaRedirected {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// To whom.
        to: Gateway,
        /// What becomes of it.
        course: RedirectCourse,
    },
    /// The IKE SA that was to take the place of this one, or to follow it where its peer sent us, could not be begun.
    /// One that lives on tries again after a pause.
    IkeSaNotFollowed {
        /// The connection of both.
        connection: String,
        /// The IKE SA, which may have ended.
        predecessor: IkeSaHandle,
        /// Why.
        error: CallError,
    },
    /// A Child SA came to nothing. The IKE SA lives on.
    ChildSaFailed {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The policy that it was for; `None` where the peer's request fits none of ours.
        policy: Option<PolicyId>,
        /// Why.
        failure: Box<Failure>,
    },
    /// A soft lifetime of a Child SA was reached.
    ChildSaExpiring {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The Child SA.
        id: ChildSaId,
        /// Which lifetime.
        reason: ExpiryReason,
    },
    /// A Child SA is gone; the data path was told before.
    ChildSaDown {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The Child SA.
        id: ChildSaId,
        /// Why.
        reason: DownReason,
    },
    /// A liveness check was answered.
    PeerAlive {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// From the first transmission to the answer.
        round_trip: Duration,
    },
    /// Some fragments of a message of the peer's never came, and it was given up (RFC 7383 §2.6): as if nothing of
    /// it had come. The IKE SA may be one of which nothing else was told yet.
    MessageIncomplete {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// What there is of it.
        incomplete: Incomplete,
    },
    /// The IKE SA and all these Child SAs moved in one step; the data path was told before. The peer's NAT gave it another
    /// address or port (RFC 7296 §2.23), or one of the two ends moved (MOBIKE, RFC 4555).
    Moved {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The new path.
        path: Path,
        /// Which NATs there are on it.
        nat: NatStatus,
        /// The Child SAs that moved with it.
        children: Vec<ChildSaId>,
    },
    /// The IKE SA does not move there: the peer refuses, or our policy does. It stays where it was.
    MoveFailed {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// Where it was to move.
        path: Path,
        /// Why it did not.
        failure: Box<Failure>,
    },
    /// The peer said which addresses it has besides the one in use (RFC 4555 §3.6).
    PeerAddresses {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The list, which replaces the one before.
        addresses: Vec<IpAddr>,
    },
    /// A connection has no IKE SA any more, and its [`Lifecycle`](crate::Lifecycle) says what follows; or what
    /// was to follow does not.
    ConnectionIdle {
        /// The connection's name.
        connection: String,
        /// What follows.
        next: Next,
    },
    /// A Child SA ended or came to nothing while its IKE SA lives, and its
    /// [`ChildLifecycle`](crate::ChildLifecycle) says what follows.
    ChildSaIdle {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The policy that it is for.
        policy: PolicyId,
        /// What follows.
        next: Next,
    },
    /// The IKE SA is gone, or never came to be.
    IkeSaDown {
        /// The IKE SA.
        sa: IkeSaHandle,
        /// The connection's name.
        connection: String,
        /// Why.
        reason: DownReason,
    },
}

/// An inner address that nobody has any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Released {
    /// The connection's name.
    pub connection: String,
    /// Who had it.
    pub peer: Identity,
    /// The address.
    pub address: IpAddr,
}

/// Names one answer that the embedder owes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket {
    pub(crate) sa: IkeSaHandle,
    pub(crate) number: u32,
}

/// Octets that must be signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureRequest {
    /// The connection's name.
    pub connection: String,
    /// Who we are.
    pub identity: Identity,
    /// Key type, padding and hash.
    pub scheme: SignatureScheme,
    /// The form of the signature.
    pub encoding: SignatureEncoding,
    /// What is to be signed, not hashed yet.
    pub octets: Vec<u8>,
}

/// A signature of the peer's that must be verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerificationRequest {
    /// The connection's name.
    pub connection: String,
    /// Who the peer says it is.
    pub peer: Option<Identity>,
    /// The signature, what it must cover, and the peer's certificates.
    pub signature: SignatureToVerify,
}

/// What the embedder answers to a ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The signature, to [`Event::SignatureNeeded`].
    Signature(Vec<u8>),
    /// The peer's signature is good and by a key of this peer's, to [`Event::VerificationNeeded`].
    Verified,
    /// What follows in EAP, to [`Event::EapNeeded`].
    Eap(EapAnswer),
    /// The peer's inner addresses and what else it is to know, to [`Event::AddressNeeded`].
    Leased(Configuration),
    /// No signature, or none that is good: the IKE SA ends. Or no inner address.
    Refused,
}

/// What a handled datagram was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Handled {
    /// A message that took the state forward.
    Processed,
    /// A repeat of a request: its answer was sent again, nothing else happened.
    RepeatAnswered,
    /// A repeat of a request whose answer waits for the embedder.
    InHand,
    /// A fragment of a message that others are still to come of.
    Fragment,
    /// A NAT keepalive.
    Keepalive,
}

/// The hooks that are off unless an embedder sets them.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Receives keys, for packet analysers.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// Sees messages in the clear.
    pub observer: Option<Arc<dyn crate::observe::MessageObserver>>,
    /// Decides on requests for new IKE SAs.
    pub admission: Option<Arc<dyn AdmissionPolicy>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events wait in a queue; what is large in them is boxed.
    #[test]
    fn events_stay_small_and_can_change_threads() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Event>();
        assert_send_sync::<Transmit>();
        assert!(size_of::<Event>() <= 128, "{}", size_of::<Event>());
    }
}
