//! Why a packet was not carried, and why an SA was not installed.

use crate::beet::PseudoHeaderError;
use crate::buffer::NoRoom;
use crate::ecn::CongestionLost;
use crate::ip::IpError;
use crate::lifetime::Expired;
use crate::outer::{FamiliesMixed, OuterError};
use crate::packet::{LayoutError, TrailerError};
use crate::replay::ReplayError;
use crate::selectors::SelectorFault;
use crate::statistics::DropReason;
use core::net::IpAddr;
use ipsec_crypto::CipherError;
use ipsec_crypto::state::StateError;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSaId, Direction};
use ipsec_types::{EspSpi, Mode};
use thiserror::Error;

/// Why a packet can't go by an SA of this mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NotCarried {
    /// Transport mode protects whole packets alone (RFC 4303 §3.1.1); in BEET mode an IPv4 fragment's fields
    /// would be the outer packet's.
    #[error("a fragment")]
    Fragment,
    /// The packet is not between the SA's two ends.
    #[error("a packet between other addresses than the SA's")]
    Addresses,
    /// The IPv6 extension headers can't be followed to their end.
    #[error("a broken or too long chain of extension headers")]
    ExtensionHeaders,
    /// The packet is of another IP version than the outer header, whose addresses were to be the packet's own.
    #[error("a packet of another IP version than the outer header's, with its addresses to be preserved")]
    OtherVersion,
    /// Options or extension headers belong in front of ESP, where the operating system makes the header.
    #[error("headers that belong in front of ESP, where only the ESP packet is made")]
    HeadersOutside,
    /// What follows the header has the number that stands for something else within ESP: 59, the dummy packet; in
    /// BEET mode 94, the pseudo header.
    #[error("next header {0}, which means something else within ESP")]
    NextHeader(u8),
}

/// Why a packet was not sealed. Nothing of it may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// It is no sound IP packet.
    #[error("the packet to protect is broken: {0}")]
    Inner(#[from] IpError),
    /// The IP header says that the packet is shorter than the octets given.
    #[error("the IP packet states {stated} octets and {got} were given")]
    InnerLength {
        /// What the header states.
        stated: usize,
        /// Octets given.
        got: usize,
    },
    /// No SA carries such packets. Where policy wants them protected, IKE is asked for an SA.
    #[error("no SA carries this packet")]
    NoSa,
    /// Policy discards it, or no entry is for it (RFC 4301 §4.4.1).
    #[error("policy discards this packet")]
    Discarded,
    /// Policy lets it pass as it is, and it was to be sealed: [`crate::Engine::send`] tells such packets apart.
    #[error("policy lets this packet pass unprotected")]
    Bypass,
    /// The SA's mode does not carry it.
    #[error("the SA's mode does not carry the packet: {0}")]
    NotCarried(#[from] NotCarried),
    /// The SA has reached a hard limit.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// All sequence numbers are used up (RFC 4303 §3.3.3).
    #[error("the sequence numbers are used up")]
    NumbersExhausted,
    /// A standby would go on with the next number: [`crate::Engine::checkpoint`].
    #[error("a standby goes on from here, until a further checkpoint is confirmed")]
    CheckpointDue,
    /// The outer packet would be longer than an IP length field can say.
    #[error("the outer packet would have {0} octets")]
    TooLarge(usize),
    /// It must not be fragmented and is larger than fits into what the path takes (RFC 4301 §8.2):
    /// [`crate::icmp::Answer::TooBig`] tells its source. Or it may be fragmented, but not behind the outer header:
    /// then it must be before.
    #[error("the path takes inner packets of {0} octets")]
    TooBig(usize),
    /// The buffer has too little room around the packet.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The cipher refused the packet.
    #[error("the cipher refused the packet: {0}")]
    Cipher(#[from] CipherError),
}

impl SealError {
    /// The counter that it raises.
    #[must_use]
    pub const fn reason(&self) -> DropReason {
        match self {
            Self::Inner(_) | Self::InnerLength { .. } => DropReason::OutboundPacket,
            Self::NoSa => DropReason::NoOutboundSa,
            Self::Discarded => DropReason::OutboundPolicy,
            Self::Bypass => DropReason::NotToBeSealed,
            Self::NotCarried(_) => DropReason::NotCarried,
            Self::Expired(_) => DropReason::OutboundExpired,
            Self::NumbersExhausted => DropReason::NumbersExhausted,
            Self::CheckpointDue => DropReason::CheckpointDue,
            Self::TooLarge(_) => DropReason::TooLarge,
            Self::TooBig(_) => DropReason::TooBig,
            Self::NoRoom(_) => DropReason::NoRoom,
            Self::Cipher(_) => DropReason::OutboundCipher,
        }
    }
}

/// Why a received packet was dropped. What the buffer holds then is unspecified and must not be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The outer packet is broken, a fragment, or of another protocol.
    #[error("the outer packet: {0}")]
    Outer(#[from] OuterError),
    /// The datagram is a NAT keepalive, an IKE message, or nothing known (RFC 3948 §2).
    #[error("the datagram carries no ESP packet")]
    NotEsp,
    /// The packet can't be one of the SA's.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The SPI is 0 or reserved (RFC 4303 §2.1).
    #[error("SPI {0} is reserved")]
    ReservedSpi(u32),
    /// The SPI is not one of ours.
    #[error("SPI {0} is not ours")]
    UnknownSpi(EspSpi),
    /// The SA has reached a hard limit.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// The anti-replay check refused the sequence number.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The integrity check failed: forged, damaged, or another key.
    #[error("the integrity check failed")]
    Integrity,
    /// The integrity check failed, and the low half of the sequence number lies below the window: more likely a
    /// late packet, tried with the wrong high half, than a forgery.
    #[error("the integrity check failed, and the packet seems to be older than the window")]
    IntegrityOrLate,
    /// The end of the decrypted text is wrong.
    #[error(transparent)]
    Trailer(#[from] TrailerError),
    /// The text does not end on a 4-octet boundary (RFC 4303 §2.4).
    #[error("the text does not end on a 4-octet boundary")]
    Alignment,
    /// The next header is none that the SA's mode carries.
    #[error("next header {0}")]
    NextHeader(u8),
    /// The pseudo header of BEET mode is wrong.
    #[error(transparent)]
    PseudoHeader(#[from] PseudoHeaderError),
    /// An address of the packet to deliver is not known: it came without its header, and the SA's path does not
    /// tell.
    #[error("an address of the packet is not known")]
    UnknownAddress,
    /// The buffer has too little room for the packet's header.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The inner packet's version is not the next header's.
    #[error("next header {next_header} with IP version {version}")]
    VersionMismatch {
        /// The next header.
        next_header: u8,
        /// The first four bits of the inner packet.
        version: u8,
    },
    /// The inner packet is broken.
    #[error("the inner packet is broken: {0}")]
    Inner(#[from] IpError),
    /// The ECN fields of inner and outer header forbid delivery.
    #[error(transparent)]
    Ecn(#[from] CongestionLost),
    /// An outer address is not the inner one, as it is in all packets of the SA (RFC 5374 §5.2).
    #[error("the outer addresses are not the inner ones")]
    Preservation,
    /// It came unprotected and policy does not let it pass so (RFC 4301 §5.2).
    #[error("policy does not let this packet pass unprotected")]
    Policy,
    /// The SA's selectors don't admit the inner packet (RFC 4301 §5.2).
    #[error("the SA does not carry such packets")]
    Selectors,
}

impl OpenError {
    /// The counter that it raises.
    #[must_use]
    pub const fn reason(&self) -> DropReason {
        match self {
            Self::Outer(OuterError::Fragment) => DropReason::OuterFragment,
            Self::Outer(_) => DropReason::OuterPacket,
            Self::NotEsp => DropReason::NotEsp,
            Self::Layout(LayoutError::TooShort { .. }) => DropReason::TooShort,
            Self::Layout(LayoutError::PartialBlock { .. }) => DropReason::PartialBlock,
            Self::ReservedSpi(_) => DropReason::ReservedSpi,
            Self::UnknownSpi(_) => DropReason::UnknownSpi,
            Self::Expired(_) => DropReason::InboundExpired,
            Self::Replay(ReplayError::Zero) => DropReason::NumberZero,
            Self::Replay(ReplayError::BelowWindow) => DropReason::BelowWindow,
            Self::Replay(ReplayError::Replayed) => DropReason::Replayed,
            Self::Replay(ReplayError::NoSuchNumber) => DropReason::NoSuchNumber,
            Self::Integrity => DropReason::Integrity,
            Self::IntegrityOrLate => DropReason::IntegrityOrLate,
            Self::Trailer(TrailerError::PadLength { .. }) => DropReason::PadLength,
            Self::Trailer(TrailerError::PaddingContent) => DropReason::PaddingContent,
            Self::Alignment => DropReason::Alignment,
            Self::NextHeader(_) => DropReason::NextHeader,
            Self::PseudoHeader(_) => DropReason::PseudoHeader,
            Self::UnknownAddress => DropReason::UnknownAddress,
            Self::NoRoom(_) => DropReason::InboundNoRoom,
            Self::VersionMismatch { .. } => DropReason::VersionMismatch,
            Self::Inner(_) => DropReason::InnerPacket,
            Self::Ecn(_) => DropReason::Ecn,
            Self::Preservation => DropReason::Preservation,
            Self::Policy => DropReason::InboundPolicy,
            Self::Selectors => DropReason::Selectors,
        }
    }
}

/// Why an SA was not made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The provider lacks the algorithms.
    #[error("the provider {provider} has no {suite}")]
    UnsupportedSuite {
        /// What was asked.
        suite: CipherSuite,
        /// The provider's name.
        provider: &'static str,
    },
    /// The key material does not fit the algorithms.
    #[error("the keys: {0}")]
    Keys(#[from] CipherError),
    /// The mode is not carried.
    #[error("{0} mode is not carried")]
    UnsupportedMode(Mode),
    /// BEET mode is for one address on either side, of one family.
    #[error("BEET mode with selectors for more than one address on a side, or for two families")]
    BeetAddresses,
    /// An SPI below 256 belongs to no SA (RFC 4303 §2.1).
    #[error("SPI {0} is reserved")]
    ReservedSpi(EspSpi),
    /// Numbers that may repeat, with a cipher whose IV is the number (RFC 8750 §5).
    #[error("{0} takes its IV from sequence numbers, which are not sequential here")]
    ImplicitIvNeedsSequence(CipherSuite),
    /// The selectors mean nothing.
    #[error(transparent)]
    Selectors(#[from] SelectorFault),
    /// The SA is to a group, as which it can't be.
    #[error(transparent)]
    Group(#[from] GroupFault),
    /// The two outer addresses are of two families.
    #[error(transparent)]
    FamiliesMixed(#[from] FamiliesMixed),
    /// A whole outer packet is to be made and one of its addresses is not known.
    #[error("an outer address is unspecified")]
    UnspecifiedAddress,
}

/// Why there is no such SA to a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum GroupFault {
    /// What packets go to is no multicast address.
    #[error("{0} is no multicast address")]
    NotMulticast(IpAddr),
    /// The one sender can't be one.
    #[error("{0} can't send to the group")]
    Source(IpAddr),
    /// The SA's path does not lead to the group, and the outer destination is not the inner one.
    #[error("the path leads to {0}, not to the group")]
    Path(IpAddr),
    /// Outer addresses are the inner ones in tunnel mode alone (RFC 5374 §3.1), and not where UDP stands between.
    #[error("addresses can be preserved in tunnel mode without UDP alone")]
    Preservation,
    /// Who comes late can't know the high half of 64-bit numbers (RFC 9838 §2.6).
    #[error("64-bit sequence numbers in a group")]
    SequenceNumbers,
    /// An SA for any sender needs [`ipsec_types::SequenceNumbers::Unspecified32`]: each sender counts for itself, so that
    /// their numbers say nothing of repeats (RFC 4303 §2.2).
    #[error("sequential numbers where several may send")]
    SeveralSenders,
    /// IVs are made of sequence numbers, which two senders with one key both count from 1: without a Sender-ID in them
    /// (RFC 6054), which is not carried, their nonces would be the same. An SA that sends is one sender's
    /// ([`ipsec_types::sa::GroupSa::source`]), unless it does not encrypt.
    #[error("an SA by which several may send, with {0} and without Sender-IDs")]
    NoSenderId(CipherSuite),
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The SA can't be made.
    #[error("the SA can't be installed: {0}")]
    Install(#[from] InstallError),
    /// Another inbound SA has the SPI.
    #[error("SPI {0} is in use")]
    SpiInUse(EspSpi),
    /// The key that was given with this SPI is one that another SA has, or that one had and went further with. To send,
    /// it is refused under any SPI: numbers that begin anew would give nonces of old packets to new ones (RFC 4303
    /// §3.3.3, RFC 4106 §2). To receive, it is refused under the SPI that it had: an empty window, or an older one, would
    /// take packets that came before (RFC 4303 §3.4.3).
    #[error("the key given with SPI {0} was used before")]
    KeyUsed(EspSpi),
    /// The pair has an SA in this direction already.
    #[error("{id:?} has an SA in the direction {direction:?} already")]
    AlreadyInstalled {
        /// The pair.
        id: ChildSaId,
        /// The direction.
        direction: Direction,
    },
    /// The pair has no SA that the command could be meant for.
    #[error("{0:?} is not installed")]
    NotInstalled(ChildSaId),
    /// The configured number of SAs is reached.
    #[error("no room for another SA: {limit} are installed")]
    TableFull {
        /// The configured bound for one direction.
        limit: usize,
    },
    /// A command of a later version of the interface.
    #[error("a command that this engine does not know")]
    UnknownCommand,
}

/// Why a pair of SAs did not move. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The pair has no SA here.
    #[error("{0:?} is not installed")]
    NotInstalled(ChildSaId),
    /// Keys are not kept for moving: [`crate::EngineConfig::keep_keys`].
    #[error("the engine does not keep keys, so that SAs can't move")]
    KeysNotKept,
    /// No checkpoint of the pair has such a ceiling.
    #[error("no checkpoint of {id:?} has the ceiling {ceiling}")]
    NoSuchCheckpoint {
        /// The pair.
        id: ChildSaId,
        /// What was to be confirmed.
        ceiling: u64,
    },
    /// The container is broken, or not for this key.
    #[error(transparent)]
    State(#[from] StateError),
    /// An SA can't be installed here, or its key was used beyond the numbers of the container.
    #[error(transparent)]
    Refused(#[from] CommandError),
}
