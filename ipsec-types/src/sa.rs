//! The two values between IKE and the data path: [`SaCommand`] downwards, [`SaReport`] upwards.
//!
//! They are the whole interface, so that an embedder joins `ikev2-core` to the `ipsec-esp` engine, to a
//! kernel, or to a network card in the same line.

use crate::algorithm::CipherSuite;
use crate::{Encapsulation, EspSpi, Instant, Mode, Path, SecretBytes, SequenceNumbers, TrafficSelector};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

/// Names a Child SA, that is a pair of SAs, for as long as the process lives. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChildSaId(pub u64);

/// Names an entry of the embedder's security policy. The embedder picks the value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PolicyId(pub u64);

/// Names a resource of this host that SAs can be bound to, such as a core or a queue (RFC 9611 §3). The embedder picks the
/// value; it never leaves the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResourceId(pub u16);

/// The keys of one direction, as RFC 7296 §2.17 cuts them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaKeys {
    /// The encryption key; for counter-mode and combined-mode ciphers with the salt at its end.
    pub encr: SecretBytes,
    /// The integrity key; empty with combined-mode ciphers.
    pub integ: SecretBytes,
}

/// When an SA must be replaced or ends. `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Limit {
    /// Asks for a replacement.
    pub soft: Option<u64>,
    /// Ends the SA.
    pub hard: Option<u64>,
}

/// The lifetimes of one SA (RFC 4301 §4.4.2.1), all in force at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lifetimes {
    /// Seconds since installation.
    pub seconds: Limit,
    /// Octets that the cipher processed, padding included.
    pub octets: Limit,
    /// Packets.
    pub packets: Limit,
}

/// The addresses by which the peer computed the checksums of what it sends in transport mode, before NATs changed
/// them: its "real" addresses (RFC 7296 §2.23.1, RFC 3948 §3.1.2).
///
/// The packets that come out of the SA have those of [`ChildSa::path`] instead, and the checksums of TCP and UDP
/// are to be mended by the difference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OriginalAddresses {
    /// Our own address as the peer sees it: the destination of its packets.
    pub local: IpAddr,
    /// The peer's address as it sees itself: the source of its packets.
    pub remote: IpAddr,
}

/// What makes an SA one to a group instead of to one peer (RFC 4301 §4.1, RFC 5374). Such an SA has one direction: to
/// the group or from it.
///
/// Its SPI was chosen for the group and not by its receivers, so that it may be one of theirs too, and they look for it
/// by the group's address as well. Its selectors mean the same at both ends: the local ones are those of the senders,
/// the remote ones those of the group (RFC 5374 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupSa {
    /// The multicast address that the outer packets go to.
    pub group: IpAddr,
    /// The one address that they come from, where the SA is for that sender alone. `None` for any sender: then the
    /// numbers are [`SequenceNumbers::Unspecified32`], since no order is common to all senders' (RFC 4303 §2.2). An SA to
    /// send by with an encrypting suite has one sender, whose key is no other sender's: there are no Sender-IDs (RFC
    /// 6054) that would keep their nonces apart.
    pub source: Option<IpAddr>,
    /// In tunnel mode: whether the outer source is the inner one, as checks of the reverse path need it (RFC 5374
    /// §3.1).
    pub preserves_source: bool,
    /// In tunnel mode: whether the outer destination is the inner one, as multicast routing needs it (RFC 5374 §3.1).
    pub preserves_destination: bool,
}

/// What both directions of a Child SA have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChildSa {
    /// The pair's name.
    pub id: ChildSaId,
    /// The policy entry that it serves, as the embedder named it.
    pub policy: PolicyId,
    /// The algorithms.
    pub suite: CipherSuite,
    /// Tunnel, transport or BEET. In transport mode [`ChildSa::path`] has the addresses of the packets themselves,
    /// as this host sees them, and the selectors name these (RFC 7296 §2.23.1).
    pub mode: Mode,
    /// The kind of sequence numbers.
    pub sequence_numbers: SequenceNumbers,
    /// Raw ESP or UDP.
    pub encapsulation: Encapsulation,
    /// The outer addresses, and the UDP ports where encapsulated. For a group the remote address is the group's, at both
    /// ends.
    pub path: Path,
    /// What our side sends from and receives for.
    pub local: Vec<TrafficSelector>,
    /// What the peer's side sends from and receives for.
    pub remote: Vec<TrafficSelector>,
    /// When the SAs end.
    pub lifetimes: Lifetimes,
    /// In transport mode with a NAT between: the addresses in the checksums of what comes in. `None` leaves the
    /// checksums alone.
    pub original_addresses: Option<OriginalAddresses>,
    /// Whether TFC padding may be sent (RFC 7296 §3.10.1, ESP_TFC_PADDING_NOT_SUPPORTED).
    pub tfc_allowed: bool,
    /// The pair that this one replaces after a rekey.
    pub replaces: Option<ChildSaId>,
    /// The group that it is for. `None` for an SA between two peers, which is what IKEv2 makes.
    pub group: Option<GroupSa>,
}

/// One direction to install.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaInstall {
    /// What both directions share.
    pub child: Arc<ChildSa>,
    /// The SPI on the wire in this direction.
    pub spi: EspSpi,
    /// The keys of this direction.
    pub keys: SaKeys,
}

/// What IKE asks of the data path. Commands are to be carried out in order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SaCommand {
    /// Be ready to receive.
    InstallInbound(Box<SaInstall>),
    /// Hold ready for sending. Where the new SA replaces another, traffic stays on the old one until
    /// [`SaCommand::SwitchOutbound`]; else it is used at once.
    InstallOutbound(Box<SaInstall>),
    /// Send by `to` what went by `from`.
    SwitchOutbound {
        /// The pair that was replaced.
        from: ChildSaId,
        /// The pair to use from now on.
        to: ChildSaId,
    },
    /// The outer addresses or the encapsulation changed; keys and sequence numbers go on.
    Move {
        /// The pair.
        id: ChildSaId,
        /// The new addresses and ports.
        path: Path,
        /// The new encapsulation.
        encapsulation: Encapsulation,
    },
    /// Send by the pair for this resource alone, among pairs with the same selectors (RFC 9611 §3); with `None` for every
    /// resource that has no pair of its own. A pair that replaces another has its resource from that. What comes in by
    /// it is received wherever it comes.
    Bind {
        /// The pair.
        id: ChildSaId,
        /// The resource.
        resource: Option<ResourceId>,
    },
    /// Forget one or both directions. The inbound SA of a pair that another one has replaced may go on receiving for
    /// some seconds: the peer may have sent by it before its Delete.
    Remove {
        /// The pair.
        id: ChildSaId,
        /// Remove the inbound SA.
        inbound: bool,
        /// Remove the outbound SA.
        outbound: bool,
    },
}

/// Which limit of an SA was reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ExpiryReason {
    /// [`Lifetimes::seconds`].
    Time,
    /// [`Lifetimes::octets`].
    Octets,
    /// [`Lifetimes::packets`].
    Packets,
    /// The sequence numbers run out (RFC 4303 §3.3.3).
    SequenceNumbers,
    /// The cipher's usage limit of one key.
    CipherUsage,
}

/// Which of a pair's two SAs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// What we receive by.
    Inbound,
    /// What we send by.
    Outbound,
}

/// The packet that asked for an SA, as far as its headers tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PacketSelectors {
    /// The packet's source as a one-packet selector.
    pub source: TrafficSelector,
    /// The packet's destination as a one-packet selector.
    pub destination: TrafficSelector,
}

/// What the data path tells IKE.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SaReport {
    /// A soft limit was reached: replace the pair.
    SoftExpired {
        /// The pair.
        id: ChildSaId,
        /// The direction whose limit it is.
        direction: Direction,
        /// Which limit.
        reason: ExpiryReason,
    },
    /// A hard limit was reached: the SA carries nothing more.
    HardExpired {
        /// The pair.
        id: ChildSaId,
        /// The direction whose limit it is.
        direction: Direction,
        /// Which limit.
        reason: ExpiryReason,
    },
    /// The last authentic packet came in at this time: a proof that the peer lives (RFC 7296 §2.4).
    LastInbound {
        /// The pair.
        id: ChildSaId,
        /// When it came.
        at: Instant,
    },
    /// Nothing was received for this long while packets were sent.
    OutboundOnly {
        /// The pair.
        id: ChildSaId,
        /// How long nothing came.
        silent_for: Duration,
    },
    /// The newest authentic packet came from other outer addresses than the SA's (RFC 7296 §2.23).
    PeerMoved {
        /// The pair.
        id: ChildSaId,
        /// Where the packet came from.
        path: Path,
    },
    /// A policy asks for protection and has no SA.
    Acquire {
        /// The policy entry.
        policy: PolicyId,
        /// The packet that asked.
        packet: PacketSelectors,
    },
    /// A resource sends by a pair that serves all, and could have one of its own with the same selectors (RFC 9611 §6).
    AcquireForResource {
        /// The pair that it sends by.
        id: ChildSaId,
        /// The resource.
        resource: ResourceId,
        /// The packet that asked.
        packet: PacketSelectors,
    },
    /// A packet came for an SPI that is not ours (RFC 7296 §1.5).
    UnknownSpi {
        /// The SPI.
        spi: EspSpi,
        /// Where it came from.
        path: Path,
    },
}
