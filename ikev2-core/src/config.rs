//! What an endpoint is told once, and what it is told of each peer. Every bound is a field here, with its
//! default and its worst case.

use crate::config_payload::ConfigRequest;
use crate::config_payload::pool::AddressSource;
use crate::credentials::{LocalAuth, RemoteAuth, SharedKeys};
use crate::event::Hooks;
use crate::exchange::fragment::FragmentPolicy;
use crate::exchange::reassembly::ReassemblyLimits;
use crate::exchange::retransmit::RetransmitPolicy;
use crate::identity::{Identity, IdentityPattern};
use crate::lifecycle::{ChildLifecycle, Lifecycle};
use crate::mobike::MobikePolicy;
use crate::negotiation::{EspProposal, IkeProposal};
use crate::redirect::RedirectPolicy;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use ipsec_crypto::CryptoProvider;
use ipsec_types::sa::{Lifetimes, PolicyId};
use ipsec_types::{Mode, Path, SecretBytes, TrafficSelector};

/// When a cookie is asked of an initiator (RFC 7296 §2.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CookiePolicy {
    /// Never. Only for closed networks.
    Never,
    /// While at least so many IKE SAs are half open. The default, with 100.
    WhenHalfOpen(usize),
    /// Always.
    Always,
}

/// What an endpoint is told once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// The algorithms.
    pub crypto: &'static CryptoProvider,
    /// The peers, in order of preference where several fit.
    pub connections: Vec<Arc<Connection>>,
    /// The port of our NAT-T socket. Default: 4500.
    pub local_nat_t_port: u16,
    /// IKE SAs at most, half-open ones included. Default: 10,000. Worst case: 4 KiB each with one Child SA and no
    /// request out, one kept answer included (3.3 KiB with AES-256-GCM and one selector for either side);
    /// [`EndpointConfig::max_children`], [`EndpointConfig::max_queued_requests`], [`EndpointConfig::window`] and
    /// [`EndpointConfig::max_half_open`] say what may come to it.
    pub max_ike_sas: usize,
    /// IKE SAs at most that wait for IKE_AUTH as responder. Default: 1,000. Worst case: 2,432 octets each, besides
    /// [`EndpointConfig::max_half_open_octets`] for all. While there are as many, who brings a cookie takes the place
    /// of the oldest one that has had its grace.
    pub max_half_open: usize,
    /// The same of one source, an address or a prefix. Default: 64. Who brings a cookie takes the place of the
    /// oldest one of its source.
    pub max_half_open_from_source: usize,
    /// Octets at most that they keep of their initiators': the IKE_SA_INIT request, which AUTH covers, and IKE_AUTH in
    /// fragments or in hand. Default: 16 MiB. Worst case: one datagram and 64 octets for each fragment more. A new one
    /// takes the place of the oldest ones, as for their number; while all is taken, no fragment is but what makes a
    /// message whole.
    pub max_half_open_octets: usize,
    /// The same of one source. Default: 1 MiB.
    pub max_half_open_octets_from_source: usize,
    /// The length of the IPv6 prefix that counts as one source; an IPv4 address counts for itself. Default: 64
    /// (RFC 8019 §4.2 names 64 and 48).
    pub source_prefix: u8,
    /// How long a responder waits for IKE_AUTH. Default: 30 s.
    pub half_open_timeout: Duration,
    /// How long it waits at least before another peer may take the place. Default: 2 s, as little as RFC 8019
    /// §4.1 thinks realistic.
    pub half_open_grace: Duration,
    /// How long a closed IKE SA still answers repeats of its last requests. Default: 10 s.
    pub closed_linger: Duration,
    /// When a cookie is asked for. Default: from 100 half-open SAs on.
    pub cookies: CookiePolicy,
    /// From how many half-open IKE SAs of one source on a cookie is asked of it all the same, unless cookies are
    /// never asked for. Default: 5 (RFC 8019 §6 suggests 3 to 5).
    pub cookies_from_source: usize,
    /// How long a cookie secret is used; the one before it is accepted as long again. Default: 60 s.
    pub cookie_lifetime: Duration,
    /// Expensive operations a second that peers may cost before they are authenticated, and as many at once: key
    /// exchanges, and signatures to make and to check. Default: 5,000, of which a peer that authenticates by a
    /// signature costs four and one with a shared secret two. Never below 8. First requests may use the first
    /// half of what is there alone, and what is too much is dropped: peers repeat.
    pub max_operations_per_second: u32,
    /// Unprotected error answers a second, and as many at once (§2.21). Default: 100. Worst case: none of them
    /// holds state.
    pub max_error_answers_per_second: u32,
    /// The largest message taken, in octets. Default: 65,535, the largest UDP payload. Never below 1,280 (§2).
    pub max_datagram: usize,
    /// Events that wait at most. Default: 4,096. While it is reached, datagrams and calls that could make more
    /// are refused; peers repeat. What ends SAs is never held back, so that each SA can add two for itself
    /// and three for each of its Child SAs, and one for each message of which fragments are missing.
    pub max_events: usize,
    /// Requests of one IKE SA that wait for the window at most, and as many in flight, whatever window the peer
    /// grants. Default: 64.
    pub max_queued_requests: usize,
    /// Child SAs of one IKE SA at most. Default: 64. Worst case: 592 octets each with one selector for either
    /// side, and 40 for every other selector.
    pub max_children: usize,
    /// How often a peer may let us start IKE_SA_INIT or CREATE_CHILD_SA over, by COOKIE or INVALID_KE_PAYLOAD.
    /// Default: 6.
    pub max_init_retries: u32,
    /// Octets of a peer's configuration payload that are kept at most. Default: 4,096. Worst case: as many again for what
    /// keeps them apart, for each IKE SA with one.
    pub max_config_octets: usize,
    /// How many requests we take from a peer at once; above 1 it is told so (SET_WINDOW_SIZE, §2.3).
    /// Default: 1. As many answers are kept.
    pub window: u32,
    /// What the fragments of one IKE SA's messages may take, and for how long (RFC 7383 §2.6). Worst case: 128 KiB
    /// for each IKE SA, half-open ones included.
    pub reassembly: ReassemblyLimits,
    /// How many containers that were [imported](crate::Endpoint::import) are known, so that none is imported twice. Default:
    /// 10,000, as many as there are IKE SAs at most. Worst case: 48 octets each. Never below 1.
    pub max_remembered_imports: usize,
    /// Key log, message observer and an admission of one's own: off.
    pub hooks: Hooks,
}

impl EndpointConfig {
    /// The defaults, with these algorithms and no peer.
    #[must_use]
    pub fn new(crypto: &'static CryptoProvider) -> Self {
        Self {
            crypto,
            connections: Vec::new(),
            local_nat_t_port: 4500,
            max_ike_sas: 10_000,
            max_half_open: 1_000,
            max_half_open_from_source: 64,
            max_half_open_octets: 1 << 24,
            max_half_open_octets_from_source: 1 << 20,
            source_prefix: 64,
            half_open_timeout: Duration::from_secs(30),
            half_open_grace: Duration::from_secs(2),
            closed_linger: Duration::from_secs(10),
            cookies: CookiePolicy::WhenHalfOpen(100),
            cookies_from_source: 5,
            cookie_lifetime: Duration::from_secs(60),
            max_operations_per_second: 5_000,
            max_error_answers_per_second: 100,
            max_datagram: 65_535,
            max_events: 4_096,
            max_queued_requests: 64,
            max_children: 64,
            max_init_retries: 6,
            max_config_octets: 4_096,
            window: 1,
            reassembly: ReassemblyLimits::default(),
            max_remembered_imports: 10_000,
            hooks: Hooks::default(),
        }
    }

    /// The budget for expensive operations, never so small that nobody gets through.
    pub(crate) fn operations_per_second(&self) -> u32 {
        self.max_operations_per_second.max(8)
    }
}

/// What a second IKE SA with the same peer means: the same pair of identities, both authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum DuplicatePolicy {
    /// Both live (RFC 7296 §2.8 has uses for that), unless the peer says INITIAL_CONTACT: it has forgotten the
    /// older ones.
    #[default]
    Allow,
    /// The older ones end when the new one is established.
    KeepNew,
    /// The new one is refused while an older one lives, unless the peer says INITIAL_CONTACT.
    KeepOld,
}

/// One peer, or one kind of peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection {
    /// What it is called in events.
    pub name: String,
    /// Our address; `None` for any.
    pub local_address: Option<IpAddr>,
    /// The peer's address; `None` for any, and then it can only respond.
    pub remote_address: Option<IpAddr>,
    /// The peer's port for the first message. Default: 500. With any other port the first message already
    /// goes by the NAT-T path.
    pub remote_port: u16,
    /// The peer's NAT-T port. Default: 4500.
    pub remote_nat_t_port: u16,
    /// Who we are.
    pub local_id: Identity,
    /// Who the peer must be.
    pub remote_id: IdentityPattern,
    /// How we prove it.
    pub local_auth: LocalAuth,
    /// What proof we take of the peer.
    pub remote_auth: RemoteAuth,
    /// Whether RSASSA-PKCS1-v1_5 with SHA-1 is made and taken in authentication method 1, whose default it is
    /// (RFC 7296 §2.15), where the peer announces no hashes. Default: no; it is weak (RFC 8247 §3.2).
    pub sha1_signatures: bool,
    /// What we offer and accept for the IKE SA, in order of preference. [`EndpointConfig::warnings`] tells which key
    /// exchange methods make IKE_SA_INIT too large for some paths, which nothing fragments.
    pub ike_proposals: Vec<IkeProposal>,
    /// Its Child SAs. The first is made with the IKE SA.
    pub children: Vec<Arc<ChildConfig>>,
    /// What configuration we ask for where we begin: an inner address, name servers (RFC 7296 §2.19). What is given is in
    /// [`IkeSaInfo::configuration`](crate::IkeSaInfo::configuration), and our side of the children's traffic is that of the
    /// inner addresses then. Default: `None`, nothing.
    pub config_request: Option<ConfigRequest>,
    /// Where inner addresses for peers come from that ask for one. The peer's side of the children's traffic is that of its
    /// inner addresses then, whatever it asks for. Default: `None`: what is asked for is ignored.
    pub addresses: Option<AddressPolicy>,
    /// When IKE_INTERMEDIATE is made where we begin (RFC 9242). Default: [`Intermediate::AsNeeded`]. As responder we take
    /// it from whoever offers it.
    pub intermediate: Intermediate,
    /// Whether the IKE SA may begin without a Child SA (RFC 6023). Default: [`Childless::Never`].
    pub childless: Childless,
    /// Repeats of requests.
    pub retransmit: RetransmitPolicy,
    /// When a request is tried again that the peer refused with TEMPORARY_FAILURE, and a rekey that failed (§2.25):
    /// after [`RetransmitPolicy::pause`], up to half as much again at random. Default: 5 s, then twice as long each
    /// time up to 60 s, six times, which is over 3 min. Then the IKE SA ends if the peer was busy to the last.
    pub busy_retry: RetransmitPolicy,
    /// Fragmentation of large messages (RFC 7383), if the peer does it too; `None` for never. Default: on.
    pub fragmentation: Option<FragmentPolicy>,
    /// How long an unprotected error in answer to IKE_SA_INIT is doubted before it is believed (§2.21.1).
    /// Default: 3 s.
    pub init_error_patience: Duration,
    /// How long a refusal in IKE_AUTH is doubted, while others may answer IKE_SA_INIT: who refuses has proved
    /// nothing (§2.4). Default: zero, since IKE_SA_INIT is repeated meanwhile, which leaves a half-open IKE SA with
    /// a peer that does refuse. A network where others answer first wants seconds.
    pub refusal_patience: Duration,
    /// How long the embedder has for a signature or a verification that it was asked for. Default: 20 s.
    pub answer_timeout: Duration,
    /// After how long the IKE SA is rekeyed, up to a tenth earlier at random (§2.8); `None` for never.
    /// Default: 4 h; never below 1 s.
    pub ike_rekey_after: Option<Duration>,
    /// After how long an IKE SA ends that nothing has rekeyed; `None` for never. Default: 5 h; never below 1 s.
    pub ike_expires_after: Option<Duration>,
    /// After how long we authenticate anew where we began, up to a tenth earlier at random: by another IKE SA with
    /// Child SAs of its own, after which the old one is deleted (§2.8.3). `None`: when the peer asks for it
    /// (AUTH_LIFETIME, RFC 4478) or takes no rekey (NO_ADDITIONAL_SAS). Default: `None`; never below 10 s.
    pub reauthenticate_after: Option<Duration>,
    /// How long an authentication of the peer's lasts where it began, in whole seconds: it is told (AUTH_LIFETIME,
    /// RFC 4478), and then the IKE SA is deleted. RFC 4478 §3 calls 300 s to one day reasonable. Default: `None`,
    /// for ever; never below 1 s.
    pub authentication_lifetime: Option<Duration>,
    /// Whether and how often we go where the peer sends us, where we began (RFC 5685): our own requests then say that
    /// we do. Whoever we are sent to must prove to be the same peer. Default: `None`, never.
    pub redirects: Option<RedirectPolicy>,
    /// After how long without a sign of the peer a liveness check is made (§2.4); `None` for never.
    /// Default: 30 s; never below 1 s.
    pub liveness: Option<Duration>,
    /// How long the IKE SA may be silent while its ESP is not in UDP, so that a firewall on the way forgets it,
    /// however lively the Child SAs are; `None` for ever. Then the two ends exchange something once: the initiator of
    /// the IKE SA begins, and the responder where nothing came for a sixteenth longer. Default: 5 min; never below
    /// 1 s.
    pub ike_keepalive: Option<Duration>,
    /// How often a NAT keepalive is sent while we are behind a NAT and send nothing else (RFC 3948 §4).
    /// Default: 20 s; never below 1 s.
    pub nat_keepalive: Duration,
    /// When it begins by itself, and what follows its end.
    pub lifecycle: Lifecycle,
    /// What a second IKE SA with the same peer means. Default: [`DuplicatePolicy::Allow`].
    pub duplicates: DuplicatePolicy,
    /// Whether the IKE SA may move to other addresses, if the peer does it too (MOBIKE, RFC 4555), and how. What follows
    /// IKE_SA_INIT then goes by the NAT-T ports, NAT or not (RFC 4555 §3.3). Default: `None`, never.
    pub mobike: Option<MobikePolicy>,
    /// Pretend to be behind a NAT, so that ESP always goes in UDP. Default: off.
    pub force_udp_encapsulation: bool,
}

impl Connection {
    /// A connection with the default proposals and no children, both ends of which hold one secret.
    #[must_use]
    pub fn with_shared_key(
        name: impl Into<String>,
        local_id: Identity,
        remote_id: IdentityPattern,
        secret: SecretBytes,
    ) -> Self {
        let keys = SharedKeys::One(secret);
        let remote_auth = RemoteAuth::SharedKey(keys.clone());
        Self::new(name, local_id, remote_id, LocalAuth::SharedKey(keys), remote_auth)
    }

    /// A connection with the default proposals and no children.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        local_id: Identity,
        remote_id: IdentityPattern,
        local_auth: LocalAuth,
        remote_auth: RemoteAuth,
    ) -> Self {
        Self {
            name: name.into(),
            local_address: None,
            remote_address: None,
            remote_port: 500,
            remote_nat_t_port: 4500,
            local_id,
            remote_id,
            local_auth,
            remote_auth,
            sha1_signatures: false,
            answer_timeout: Duration::from_secs(20),
            ike_proposals: IkeProposal::defaults(),
            children: Vec::new(),
            config_request: None,
            addresses: None,
            intermediate: Intermediate::default(),
            childless: Childless::default(),
            retransmit: RetransmitPolicy::default(),
            busy_retry: RetransmitPolicy::when_busy(),
            fragmentation: Some(FragmentPolicy::default()),
            init_error_patience: Duration::from_secs(3),
            refusal_patience: Duration::ZERO,
            ike_rekey_after: Some(Duration::from_secs(4 * 3_600)),
            ike_expires_after: Some(Duration::from_secs(5 * 3_600)),
            reauthenticate_after: None,
            authentication_lifetime: None,
            redirects: None,
            liveness: Some(Duration::from_secs(30)),
            ike_keepalive: Some(Duration::from_secs(300)),
            nat_keepalive: Duration::from_secs(20),
            lifecycle: Lifecycle::default(),
            duplicates: DuplicatePolicy::Allow,
            mobike: None,
            force_udp_encapsulation: false,
        }
    }

    /// The Child SA of a policy.
    #[must_use]
    pub fn child_of(&self, policy: PolicyId) -> Option<&Arc<ChildConfig>> {
        self.children.iter().find(|child| child.policy == policy)
    }

    /// Whether a message on this path may belong to it.
    #[must_use]
    pub fn matches_path(&self, path: &Path) -> bool {
        let fits = |wanted: Option<IpAddr>, got: IpAddr| wanted.is_none_or(|w| w == got);
        fits(self.local_address, path.local_ip()) && fits(self.remote_address, path.remote_ip())
    }

    /// The path for the first message where the endpoint begins by itself: from the connection's local address, or
    /// from the unspecified one, which leaves the choice to the embedder's socket.
    #[must_use]
    pub fn own_path(&self, config: &EndpointConfig) -> Option<Path> {
        let unspecified = match self.remote_address? {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        self.initial_path(SocketAddr::new(self.local_address.unwrap_or(unspecified), 500), config)
    }

    /// The path for the first message from this local address: by the socket of port 500, or by the NAT-T
    /// socket where the peer is reached at another port (§2.23). `None` where the peer's address is not known
    /// or is of another family.
    #[must_use]
    pub fn initial_path(&self, local: SocketAddr, config: &EndpointConfig) -> Option<Path> {
        let path = self.path_between(local, self.remote_address?, config);
        path.is_consistent().then_some(path)
    }

    /// The path for a first message to this address.
    pub(crate) fn path_between(&self, local: SocketAddr, remote: IpAddr, config: &EndpointConfig) -> Path {
        let remote = SocketAddr::new(remote, self.remote_port);
        if self.remote_port == 500 {
            Path::ike(local, remote)
        } else {
            Path::nat_t(SocketAddr::new(local.ip(), config.local_nat_t_port), remote)
        }
    }
}

/// How peers get inner addresses.
#[derive(Clone, Debug)]
pub struct AddressPolicy {
    /// Who gives them.
    pub source: AddressSource,
    /// Whether a peer that asks for none gets no Child SA with IKE_AUTH (FAILED_CP_REQUIRED).
    pub required: bool,
}

/// When an initiator makes IKE_INTERMEDIATE exchanges with a peer that does them too (RFC 9242).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Intermediate {
    /// Where something needs them: additional key exchanges (RFC 9370).
    #[default]
    AsNeeded,
    /// Always: one without content where nothing needs them.
    Always,
}

impl Intermediate {
    /// Whether IKE_SA_INIT says that we do them.
    pub(crate) fn is_announced(self, proposals: &[IkeProposal]) -> bool {
        self == Self::Always || proposals.iter().any(IkeProposal::has_additional)
    }
}

/// Whether an IKE SA may begin without a Child SA (RFC 6023).
///
/// The first Child SA then comes right after it, by CREATE_CHILD_SA and with a key exchange of its own; or none at all
/// where the connection has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Childless {
    /// No. As responder we do not offer it, and refuse it.
    #[default]
    Never,
    /// As responder we offer it (CHILDLESS_IKEV2_SUPPORTED) and leave it to the initiator; as initiator we ask for the
    /// first Child SA in IKE_AUTH.
    Accepted,
    /// The same as responder; as initiator we ask for none in IKE_AUTH where the peer offers that.
    Preferred,
    /// The same, and nobody who does not offer it is taken for the peer.
    Required,
}

impl Childless {
    /// Whether it is offered to initiators.
    pub(crate) fn is_offered(self) -> bool {
        self != Self::Never
    }

    /// Whether we begin so where the responder offers it.
    pub(crate) fn is_begun(self) -> bool {
        self >= Self::Preferred
    }
}

/// Which modes a Child SA may have (RFC 7296 §1.3.1).
///
/// Transport mode is for the traffic between the two ends of the IKE SA themselves: of the selectors of a
/// [`ChildConfig`] only what they have there is proposed and granted, each end with one address. It is negotiated
/// in the same way through NATs (§2.23.1), and there the selectors are of addresses as this side sees them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum ModePolicy {
    /// Tunnel mode alone; as responder transport mode is declined, and the SA made in tunnel mode.
    #[default]
    Tunnel,
    /// Transport mode, and tunnel mode with the same selectors where the peer declines it; as responder whichever
    /// the peer asks for. Where the selectors have no traffic between the two ends, tunnel mode from the start.
    PreferTransport,
    /// Transport mode alone. An SA that the peer made in tunnel mode is deleted, as §1.3.1 demands, and a request
    /// for one is refused with NO_PROPOSAL_CHOSEN.
    RequireTransport,
}

impl ModePolicy {
    /// Whether what a peer asks for in this mode is to be compared with it.
    pub(crate) fn tries(self, mode: Mode) -> bool {
        mode != Mode::Transport || self != Self::Tunnel
    }
}

/// What a Child SA is to carry, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChildConfig {
    /// What the embedder calls it.
    pub policy: PolicyId,
    /// What it is called in texts.
    pub name: String,
    /// What we offer and accept, in order of preference.
    pub proposals: Vec<EspProposal>,
    /// What our side may send from and receive for.
    pub local: Vec<TrafficSelector>,
    /// What the peer's side may.
    pub remote: Vec<TrafficSelector>,
    /// Which modes it may have. Default: tunnel mode alone.
    pub mode: ModePolicy,
    /// When the SAs are replaced, by their soft limits, and when they end, by their hard ones.
    pub lifetimes: Lifetimes,
    /// By how many thousandths a soft limit may come earlier, at random for each SA, so that both ends, and many SAs
    /// of one age, do not rekey at once (§2.8). Default: 100.
    pub jitter_permille: u16,
    /// Whether a soft limit leads to a rekey. Default: yes. If not, it is told by
    /// [`Event::ChildSaExpiring`](crate::Event::ChildSaExpiring) alone.
    pub rekey: bool,
    /// When it begins by itself, and what follows its end.
    pub lifecycle: ChildLifecycle,
}

impl ChildConfig {
    /// A tunnel for this traffic with the default proposals and no lifetimes.
    #[must_use]
    pub fn tunnel(
        policy: PolicyId,
        name: impl Into<String>,
        local: Vec<TrafficSelector>,
        remote: Vec<TrafficSelector>,
    ) -> Self {
        Self {
            policy,
            name: name.into(),
            proposals: EspProposal::defaults(),
            local,
            remote,
            mode: ModePolicy::Tunnel,
            lifetimes: Lifetimes::default(),
            jitter_permille: 100,
            rekey: true,
            lifecycle: ChildLifecycle::default(),
        }
    }

    /// Transport mode for this traffic between the two ends, with the default proposals and no lifetimes.
    #[must_use]
    pub fn transport(
        policy: PolicyId,
        name: impl Into<String>,
        local: Vec<TrafficSelector>,
        remote: Vec<TrafficSelector>,
    ) -> Self {
        Self { mode: ModePolicy::RequireTransport, ..Self::tunnel(policy, name, local, remote) }
    }
}
