//! How many seeds reached what: each cell of the collision rules, each outcome of the nonce rule, each error notify,
//! each reason to drop a datagram, and what the events tell. What nobody can reach is listed with the reason, and
//! reaching it after all is a failure, as is reaching anything else too seldom.

use super::matrix::{Doing, Rule, rule};
use super::reading::Asks;
use ikev2_core::error::{FragmentFault, RejectionKind};
use ikev2_core::{DownReason, Event, Rejection};
use ikev2_wire::codes::NotifyType;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Which SA of two that were made at once is left over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    OursIsLeftOver,
    TheirsIsLeftOver,
}

/// Something that a seed can reach.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Point {
    Cell(Asks, Doing),
    ChildNonces(Outcome),
    IkeNonces(Outcome),
    Notify(NotifyType),
    /// A kind of rejection.
    Drop(&'static str),
    /// A bound that a datagram was dropped for, by its field's name.
    Bound(String),
    /// A field of the statistics.
    Counter(String),
    Told(&'static str),
    Class(&'static str),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cell(asks, doing) => write!(f, "cell {asks:?} / {doing:?}"),
            Self::ChildNonces(outcome) => write!(f, "nonces of Child SAs: {outcome:?}"),
            Self::IkeNonces(outcome) => write!(f, "nonces of IKE SAs: {outcome:?}"),
            Self::Notify(notify) => write!(f, "notify {notify}"),
            Self::Drop(kind) => write!(f, "dropped: {kind}"),
            Self::Bound(bound) => write!(f, "dropped by bound: {bound}"),
            Self::Counter(name) => write!(f, "counter {name}"),
            Self::Told(what) => write!(f, "told: {what}"),
            Self::Class(name) => write!(f, "class {name}"),
        }
    }
}

/// Whether seeds can reach a point.
#[derive(Clone, Copy, Debug)]
pub enum Standing {
    Reachable,
    /// Why not.
    Unreachable(&'static str),
}

use Standing::{Reachable, Unreachable};

const NOT_SPOKEN: Standing = Unreachable("it belongs to an extension that neither end speaks");
const NO_PLAIN_ERRORS: Standing =
    Unreachable("what is outside any SA is dropped without a word, as §2.21.4 and §1.5 allow");

/// Every error notify of the registry, up to the last that is assigned.
const NOTIFIES: &[(NotifyType, Standing)] = &[
    (NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, Reachable),
    (NotifyType::INVALID_IKE_SPI, NO_PLAIN_ERRORS),
    (NotifyType::INVALID_MAJOR_VERSION, Reachable),
    (NotifyType::INVALID_SYNTAX, Reachable),
    (NotifyType::INVALID_MESSAGE_ID, Unreachable("optional, and never sent (§2.3)")),
    (NotifyType::INVALID_SPI, NO_PLAIN_ERRORS),
    (NotifyType::NO_PROPOSAL_CHOSEN, Reachable),
    (NotifyType::INVALID_KE_PAYLOAD, Reachable),
    (NotifyType::AUTHENTICATION_FAILED, Reachable),
    (NotifyType::SINGLE_PAIR_REQUIRED, Unreachable("policies here take any number of pairs")),
    (NotifyType::NO_ADDITIONAL_SAS, Reachable),
    (NotifyType::INTERNAL_ADDRESS_FAILURE, Unreachable("there are no configuration payloads")),
    (NotifyType::FAILED_CP_REQUIRED, Unreachable("there are no configuration payloads")),
    (NotifyType::TS_UNACCEPTABLE, Reachable),
    (NotifyType::INVALID_SELECTORS, Unreachable("the data path counts such packets and tells nobody")),
    (NotifyType::UNACCEPTABLE_ADDRESSES, Reachable),
    (NotifyType::UNEXPECTED_NAT_DETECTED, NOT_SPOKEN),
    (NotifyType::USE_ASSIGNED_HOA, NOT_SPOKEN),
    (NotifyType::TEMPORARY_FAILURE, Reachable),
    (NotifyType::CHILD_SA_NOT_FOUND, Reachable),
    (NotifyType::INVALID_GROUP_ID, NOT_SPOKEN),
    (NotifyType::AUTHORIZATION_FAILED, NOT_SPOKEN),
    (NotifyType::STATE_NOT_FOUND, NOT_SPOKEN),
    (NotifyType::TS_MAX_QUEUE, NOT_SPOKEN),
    (NotifyType::REGISTRATION_FAILED, NOT_SPOKEN),
];

/// What a rejection of this kind is called here. A new kind must be placed.
fn place(kind: RejectionKind) -> (&'static str, Standing) {
    use RejectionKind as K;
    match kind {
        K::NotIke => ("not IKE", Reachable),
        K::Malformed => ("malformed", Reachable),
        K::Version => ("version", Reachable),
        K::UnknownSpi => ("unknown SPI", Reachable),
        K::Contradictory => ("contradictory", Reachable),
        K::UnexpectedExchange => ("unexpected exchange", Reachable),
        K::OldMessageId => ("old Message ID", Reachable),
        K::MessageIdAhead => ("Message ID ahead", Reachable),
        K::AlteredRepeat => ("altered repeat", Reachable),
        K::Unsolicited => ("unsolicited", Reachable),
        K::Unprotected => ("unprotected", Reachable),
        K::IntegrityCheck => ("integrity check", Reachable),
        K::MissingPayload => ("missing payload", Reachable),
        K::DuplicatePayload => ("duplicate payload", Reachable),
        K::CriticalPayload => ("critical payload", Reachable),
        K::UselessAnswer => ("useless answer", Reachable),
        K::NoConnection => ("no connection", Reachable),
        K::NoProposalChosen => ("no proposal chosen", Reachable),
        K::KeMethod => ("KE method", Reachable),
        K::KeyExchange => ("key exchange", Reachable),
        K::CookieRequired => ("cookie required", Reachable),
        K::Fragment => ("fragment", Reachable),
        K::Refused => ("refused by the embedder", Reachable),
        K::Limit => ("limit", Reachable),
        K::Algorithm => ("algorithm", Reachable),
        K::Encode => ("encoding", Unreachable("no IKE_SA_INIT answer of ours is too long to encode")),
        K::Random => ("randomness", Reachable),
    }
}

/// Every bound by which a datagram can be dropped, and those by which none is.
const BOUNDS: &[(&str, Standing)] = &[
    ("max_ike_sas", Reachable),
    ("max_half_open", Reachable),
    ("max_half_open_from_source", Reachable),
    ("max_operations_per_second", Reachable),
    ("of the embedder's admission", Reachable),
    ("max_events", Reachable),
    ("max_datagram", Reachable),
    ("reassembly.octets", Unreachable("it ends the IKE SA, as malformed messages do")),
    ("reassembly.fragments", Reachable),
    ("reassembly.messages", Reachable),
    ("max_queued_requests", Unreachable("it refuses calls")),
    ("max_init_retries", Unreachable("the attempt fails, and the datagram was of use")),
    ("max_children", Unreachable("it fails an exchange, which is answered")),
    ("the window of the peer", Unreachable("it holds our own requests back")),
    ("the Message IDs of the IKE SA", Unreachable("2^32 requests take longer than a run")),
];

/// What a fragment that is of no use is called here. A new fault must be placed.
fn place_fragment(fault: FragmentFault) -> &'static str {
    match fault {
        FragmentFault::NotAgreed => "fragment, not agreed",
        FragmentFault::Held { .. } => "fragment held",
        FragmentFault::Replaced { .. } => "fragment of a larger size",
        FragmentFault::Answered { .. } => "fragment of an answered request",
    }
}

const FRAGMENTS: [FragmentFault; 4] = [
    FragmentFault::NotAgreed,
    FragmentFault::Held { number: 1 },
    FragmentFault::Replaced { total: 1, by: 2 },
    FragmentFault::Answered { number: 1 },
];

/// Every counter.
const COUNTERS: &[(&str, Standing)] = &[
    ("datagrams_received", Reachable),
    ("datagrams_sent", Reachable),
    ("transmits_lost", Reachable),
    ("repeats_sent", Reachable),
    ("messages_fragmented", Reachable),
    ("fragments_received", Reachable),
    ("messages_reassembled", Reachable),
    ("messages_incomplete", Reachable),
    ("clock_went_back", Reachable),
    ("admitted", Reachable),
    ("cookies_sent", Reachable),
    ("admissions_refused", Reachable),
    ("admissions_ignored", Reachable),
    ("half_open_displaced", Reachable),
    ("auth_requests_ignored", Reachable),
    ("answers_withheld", Reachable),
    ("decryptions", Reachable),
    ("key_exchanges", Reachable),
    ("half_open_expired", Reachable),
    ("ike_sas_established", Reachable),
    ("ike_sas_rekeyed", Reachable),
    ("ike_sas_exported", Reachable),
    ("ike_sas_imported", Reachable),
    ("child_sas_installed", Reachable),
];

/// What events tell.
const TOLD: &[&str] = &[
    "IKE SA up",
    "IKE SA imported",
    "IKE SA up after several key exchanges",
    "IKE SA rekeyed by several key exchanges",
    "Child SA with several key exchanges",
    "IKE SA rekeyed",
    "IKE rekey failed",
    "IKE SA authenticating anew",
    "Child SA up",
    "Child SA with its own key exchange",
    "Child SA narrowed",
    "Child SA replaced",
    "Child SA failed",
    "Child SA expiring",
    "connection idle",
    "Child SA idle",
    "moved",
    "move failed",
    "peer's addresses",
    "Child SAs moved",
    "peer alive",
    "message incomplete",
    "error seen",
    "signature asked for",
    "verification asked for",
    "down: requested",
    "down: by peer",
    "down: replaced",
    "down: rekeyed",
    "down: left over",
    "down: expired",
    "down: with its IKE SA",
    "down: failed",
    "down: not authenticated anew",
];

/// What they would tell of a gateway.
const NOT_TOLD: &[&str] = &["IKE SA redirected", "down: redirected"];
const NO_GATEWAY: Standing = Unreachable("neither end sends the other to another gateway");

/// What one seed reached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen(BTreeSet<Point>);

impl Seen {
    pub fn reach(&mut self, point: Point) {
        self.0.insert(point);
    }

    pub fn rejection(&mut self, rejection: &Rejection) {
        self.reach(Point::Drop(place(rejection.kind()).0));
        match rejection {
            Rejection::Limit(bound) => self.reach(Point::Bound(bound.to_string())),
            Rejection::Fragment(fault) => self.reach(Point::Drop(place_fragment(*fault))),
            _ => {}
        }
    }

    /// The counters that are not zero, by the names of their fields.
    pub fn counters(&mut self, statistics: &ikev2_core::Statistics) {
        let text = format!("{statistics:?}");
        let fields = text.trim_start_matches("Statistics { ").trim_end_matches(" }").split(", ");
        for (name, value) in fields.filter_map(|field| field.split_once(": ")) {
            if value != "0" && !value.starts_with('[') {
                self.reach(Point::Counter(name.to_string()));
            }
        }
    }

    pub fn event(&mut self, event: &Event) {
        let mut told = |what| self.reach(Point::Told(what));
        match event {
            Event::DataPath(_) => {}
            Event::IkeSaUp { info, .. } => {
                told("IKE SA up");
                if !info.additional.is_empty() {
                    told("IKE SA up after several key exchanges");
                }
            }
            Event::IkeSaImported { .. } => told("IKE SA imported"),
            Event::IkeSaRekeyed { info, .. } => {
                told("IKE SA rekeyed");
                if !info.additional.is_empty() {
                    told("IKE SA rekeyed by several key exchanges");
                }
            }
            Event::IkeRekeyFailed { .. } => told("IKE rekey failed"),
            Event::IkeSaReauthenticating { .. } => told("IKE SA authenticating anew"),
            Event::IkeSaRedirected { .. } => told("IKE SA redirected"),
            Event::ChildSaUp { info, .. } => {
                told("Child SA up");
                if info.ke.is_some() {
                    told("Child SA with its own key exchange");
                }
                if !info.additional.is_empty() {
                    told("Child SA with several key exchanges");
                }
                if info.narrowed {
                    told("Child SA narrowed");
                }
            }
            Event::ChildSaReplaced { .. } => told("Child SA replaced"),
            Event::ChildSaFailed { .. } => told("Child SA failed"),
            Event::ChildSaExpiring { .. } => told("Child SA expiring"),
            Event::ConnectionIdle { .. } => told("connection idle"),
            Event::ChildSaIdle { .. } => told("Child SA idle"),
            Event::Moved { children, .. } => {
                told("moved");
                if !children.is_empty() {
                    told("Child SAs moved");
                }
            }
            Event::MoveFailed { .. } => told("move failed"),
            Event::PeerAddresses { .. } => told("peer's addresses"),
            Event::PeerAlive { .. } => told("peer alive"),
            Event::MessageIncomplete { .. } => told("message incomplete"),
            Event::InitErrorSeen { .. } => told("error seen"),
            Event::SignatureNeeded { .. } => told("signature asked for"),
            Event::VerificationNeeded { .. } => told("verification asked for"),
            Event::ChildSaDown { reason, .. } | Event::IkeSaDown { reason, .. } => told(down(reason)),
            _ => told("something new"),
        }
    }
}

fn down(reason: &DownReason) -> &'static str {
    match reason {
        DownReason::Requested => "down: requested",
        DownReason::DeletedByPeer => "down: by peer",
        DownReason::Replaced => "down: replaced",
        DownReason::Rekeyed => "down: rekeyed",
        DownReason::Redundant => "down: left over",
        DownReason::Expired(_) => "down: expired",
        DownReason::AuthenticationExpired => "down: not authenticated anew",
        DownReason::Redirected(_) => "down: redirected",
        DownReason::IkeSaEnded => "down: with its IKE SA",
        DownReason::Failed(_) => "down: failed",
        _ => "something new",
    }
}

/// Everything there is to reach.
fn all() -> BTreeMap<Point, Standing> {
    let cells = Asks::ALL.iter().flat_map(|asks| Doing::ALL.iter().map(|doing| (*asks, *doing)));
    let cells = cells.map(|(asks, doing)| {
        let standing = match rule(asks, doing) {
            Rule::Never(why) => Unreachable(why),
            _ => Reachable,
        };
        (Point::Cell(asks, doing), standing)
    });
    let outcomes = [Outcome::OursIsLeftOver, Outcome::TheirsIsLeftOver].into_iter();
    let nonces = outcomes.flat_map(|outcome| [Point::ChildNonces(outcome), Point::IkeNonces(outcome)]);
    let drops = RejectionKind::ALL.into_iter().map(place);
    let drops = drops.map(|(name, standing)| (Point::Drop(name), standing));
    let fragments = FRAGMENTS.into_iter().map(|fault| (Point::Drop(place_fragment(fault)), Reachable));
    let bounds = BOUNDS.iter().map(|(name, standing)| (Point::Bound(name.to_string()), *standing));
    let counters = COUNTERS.iter().map(|(name, standing)| (Point::Counter(name.to_string()), *standing));
    let told = TOLD.iter().map(|what| (Point::Told(what), Reachable));
    let told = told.chain(NOT_TOLD.iter().map(|what| (Point::Told(what), NO_GATEWAY)));
    let notifies = NOTIFIES.iter().map(|(notify, standing)| (Point::Notify(*notify), *standing));
    cells
        .chain(nonces.map(|point| (point, Reachable)))
        .chain(notifies)
        .chain(drops)
        .chain(fragments)
        .chain(bounds)
        .chain(counters)
        .chain(told)
        .collect()
}

/// In how many seeds of 10,000 each point must be reached.
const LEAST: u64 = 20;
const OF: u64 = 10_000;

/// What many seeds reached.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    seeds: u64,
    /// How many seeds reached each point, and the first of them.
    reached: BTreeMap<Point, (u64, u64)>,
}

impl Coverage {
    pub fn add(&mut self, seed: u64, seen: Seen) {
        let reached = seen.0.into_iter().map(|point| (point, (1, seed)));
        self.merge(Self { seeds: 1, reached: reached.collect() });
    }

    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        for (point, (seeds, first)) in other.reached {
            let known = self.reached.entry(point).or_insert((0, first));
            *known = (known.0 + seeds, known.1.min(first));
        }
    }

    /// What is wrong with it: nothing, where too few seeds ran to tell.
    pub fn faults(&self) -> Vec<String> {
        let all = all();
        let seeds = |point: &Point| self.reached.get(point).map_or(0, |reached| reached.0);
        let mut faults = Vec::new();
        for (point, standing) in &all {
            match standing {
                Reachable if self.seeds >= OF && seeds(point) * OF < LEAST * self.seeds => {
                    faults.push(format!("{point}: reached by {} seeds of {}", seeds(point), self.seeds));
                }
                Unreachable(why) if seeds(point) > 0 => {
                    faults.push(format!("{point}: reached by {} seeds, although: {why}", seeds(point)));
                }
                _ => {}
            }
        }
        let placed = |point: &&Point| matches!(point, Point::Class(_)) || all.contains_key(point);
        let stray = self.reached.keys().filter(|point| !placed(point));
        faults.extend(stray.map(|point| format!("{point}: reached, and it has no place in the lists")));
        faults
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} seeds; of them reached", self.seeds)?;
        for (point, (seeds, first)) in &self.reached {
            writeln!(f, "{seeds:>9}  {point} (seed {first})")?;
        }
        for (point, standing) in all() {
            if let Unreachable(why) = standing {
                writeln!(f, "    never  {point}: {why}")?;
            }
        }
        Ok(())
    }
}
