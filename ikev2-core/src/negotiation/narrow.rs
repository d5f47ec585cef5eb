//! Traffic selector negotiation (RFC 7296 §2.9, §2.9.2): narrowing as the responder, checking as the initiator.
//!
//! A pair of selector lists is a set of packets: those whose one end matches a selector of the one list and whose
//! other end matches one of the other list, with the same protocol on both ends. A policy and a request are such
//! pairs, and so is their intersection, list by list. Hence the four cases of §2.9 are one computation here, and
//! the third, that the answer include the first selectors of the request where the policy has them, needs no
//! rule of its own.
//!
//! Everything here speaks of *local* and *remote*: in a request that we received, local is TSr and remote is TSi;
//! in one that we sent, local is TSi.

use super::coverage::{Cuboid, Union};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::{Selector, TsPayload, TsType};
use ipsec_types::sa::PacketSelectors;
use ipsec_types::{AddressRange, TrafficSelector};

/// The most selectors that a list is read to, and that an answer has: what one TS payload can count (§3.13). A
/// list takes at most 10 KiB.
pub const MAX_SELECTORS: usize = 255;

/// The selectors of both ends: a policy, a request, an answer, or what an SA uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SelectorPair<'a> {
    /// Our end.
    pub local: &'a [TrafficSelector],
    /// The peer's end.
    pub remote: &'a [TrafficSelector],
}

impl<'a> SelectorPair<'a> {
    /// Whether each selector of the other pair is within this one's, where several of them may have it together.
    /// Selectors that nothing at the other end goes with stand for no packet, and do not count.
    #[must_use]
    pub fn covers(self, other: SelectorPair<'_>) -> bool {
        first_lost(other, self).is_none()
    }

    /// The same lists without what [`MAX_SELECTORS`] leaves out.
    fn bounded(self) -> Self {
        let cut = |list: &'a [TrafficSelector]| list.get(..MAX_SELECTORS).unwrap_or(list);
        Self { local: cut(self.local), remote: cut(self.remote) }
    }
}

/// The selectors of both ends, owned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SelectorLists {
    /// Our end.
    pub local: Vec<TrafficSelector>,
    /// The peer's end.
    pub remote: Vec<TrafficSelector>,
}

impl SelectorLists {
    /// The selectors of a request. Those of unknown types are passed over (§2.9).
    #[must_use]
    pub fn known(local: &TsPayload<'_>, remote: &TsPayload<'_>) -> Self {
        let known =
            |payload: &TsPayload<'_>| payload.selectors().filter_map(|s| s.known().copied()).collect();
        Self { local: known(local), remote: known(remote) }
    }

    /// The lists by reference.
    #[must_use]
    pub fn pair(&self) -> SelectorPair<'_> {
        SelectorPair { local: &self.local, remote: &self.remote }
    }
}

/// Which of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Ours.
    Local,
    /// The peer's.
    Remote,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::Remote => "remote",
        })
    }
}

/// What the responder grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Narrowed {
    /// Our end: the answer's TSr. Never empty.
    pub local: Vec<TrafficSelector>,
    /// The peer's end: the answer's TSi. Never empty.
    pub remote: Vec<TrafficSelector>,
    /// Whether the answer leaves out a part of a selector that was proposed.
    pub narrowed: bool,
    /// Whether more of the request would be acceptable, though only in another SA: what N(ADDITIONAL_TS_POSSIBLE)
    /// says.
    pub additional_possible: bool,
}

/// Why two sides' selectors do not fit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TsMismatchKind {
    /// A list of the peer is empty, or has only selectors of types that we do not know.
    NothingKnown(Side),
    /// No selector of this end overlaps one of ours.
    NoOverlap(Side),
    /// Each end overlaps, and no local selector goes with a remote one: their address families or their protocols
    /// differ.
    NoPair,
    /// The peer's answer has a selector of a type that we did not request (§2.9).
    TypeNotRequested(Side, TsType),
    /// The peer's answer has a selector that is not within what we requested (§2.9).
    NotRequested(Side, TrafficSelector),
    /// A rekey that leaves out a selector that the SA uses (§2.9.2).
    LessThanInUse(Side, TrafficSelector),
    /// A rekey of an SA with a selector that our policy no longer has (§2.9.2).
    InUseOutsidePolicy(Side, TrafficSelector),
}

/// Why there can be no Child SA with these selectors, with both sides' lists.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct TsMismatch {
    /// What is wrong.
    pub kind: TsMismatchKind,
    /// Our end by our own view: the policy, or the request that we sent. At most [`MAX_SELECTORS`], as all lists.
    pub our_local: Vec<TrafficSelector>,
    /// The peer's end by our own view.
    pub our_remote: Vec<TrafficSelector>,
    /// Our end as the peer sent it.
    pub peer_local: Vec<TrafficSelector>,
    /// The peer's end as the peer sent it.
    pub peer_remote: Vec<TrafficSelector>,
}

impl TsMismatch {
    fn new(kind: TsMismatchKind, ours: SelectorPair<'_>, theirs: SelectorPair<'_>) -> Box<Self> {
        let (ours, theirs) = (ours.bounded(), theirs.bounded());
        Box::new(Self {
            kind,
            our_local: ours.local.to_vec(),
            our_remote: ours.remote.to_vec(),
            peer_local: theirs.local.to_vec(),
            peer_remote: theirs.remote.to_vec(),
        })
    }
}

impl fmt::Display for TsMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TsMismatchKind::NothingKnown(side) => {
                write!(f, "no {side} traffic selector of a known type from the peer")?;
            }
            TsMismatchKind::NoOverlap(side) => write!(f, "no {side} traffic selector in common")?,
            TsMismatchKind::NoPair => f.write_str("no local traffic selector goes with a remote one")?,
            TsMismatchKind::TypeNotRequested(side, ty) => {
                write!(
                    f,
                    "the peer's answer has a {side} traffic selector of type {ty}, which was not requested"
                )?;
            }
            TsMismatchKind::NotRequested(side, s) => {
                write!(f, "the peer's {side} traffic selector {s} was not requested")?;
            }
            TsMismatchKind::LessThanInUse(side, s) => {
                write!(f, "the new SA would lose the {side} traffic selector {s} that the old one uses")?;
            }
            TsMismatchKind::InUseOutsidePolicy(side, s) => {
                write!(f, "the old SA's {side} traffic selector {s} is outside the policy")?;
            }
        }
        write!(
            f,
            "\n  ours:   {} === {}\n  peer's: {} === {}",
            TsList(&self.our_local),
            TsList(&self.our_remote),
            TsList(&self.peer_local),
            TsList(&self.peer_remote)
        )
    }
}

/// Prints a list as a person reads it, cut where it gets long.
pub(crate) struct TsList<'a>(pub &'a [TrafficSelector]);

impl fmt::Display for TsList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        if self.0.is_empty() {
            return f.write_str("(none)");
        }
        for (index, selector) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{selector}", if index == 0 { "" } else { ", " })?;
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(more @ 1..) => write!(f, ", and {more} more"),
            _ => Ok(()),
        }
    }
}

/// The selectors to propose for a new Child SA: the policy's, behind the packet that asked for the SA, if one did
/// (§2.9: so that a responder that must choose can choose what is needed now). A packet outside the policy is
/// left out, since proposing it would violate the policy (§2.9.1).
#[must_use]
pub fn propose(policy: SelectorPair<'_>, packet: Option<&PacketSelectors>) -> SelectorLists {
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    if let Some(packet) = packet
        && Union::new(policy.local).covers(&packet.source)
        && Union::new(policy.remote).covers(&packet.destination)
    {
        local.push(packet.source);
        remote.push(packet.destination);
    }
    for (list, from) in [(&mut local, policy.local), (&mut remote, policy.remote)] {
        let room = MAX_SELECTORS.saturating_sub(list.len());
        list.extend(from.iter().take(room));
    }
    SelectorLists { local, remote }
}

/// Narrows a request to what the policy allows (§2.9), as its responder.
///
/// The answer is the set of packets that both have, in the order of the request. A selector that the policy has in
/// full is answered as it came, even where only several entries of the policy together have it; of another, the
/// answer has its intersections with the policy's entries, in their order. Entries that others cover are left out,
/// and so are those that no selector of the other end goes with. An answer of more than [`MAX_SELECTORS`] is cut at
/// its end, which `additional_possible` tells.
///
/// # Errors
/// [`TsMismatch`], to be answered with N(TS_UNACCEPTABLE).
pub fn narrow(policy: SelectorPair<'_>, proposed: SelectorPair<'_>) -> Result<Narrowed, Box<TsMismatch>> {
    let proposed = proposed.bounded();
    let fail = |kind| Err(TsMismatch::new(kind, policy, proposed));
    for (side, list) in [(Side::Local, proposed.local), (Side::Remote, proposed.remote)] {
        if list.is_empty() {
            return fail(TsMismatchKind::NothingKnown(side));
        }
    }
    let local_kinds = Kinds::in_common(policy.local, proposed.local);
    let remote_kinds = Kinds::in_common(policy.remote, proposed.remote);
    for (side, kinds) in [(Side::Local, &local_kinds), (Side::Remote, &remote_kinds)] {
        if kinds.is_empty() {
            return fail(TsMismatchKind::NoOverlap(side));
        }
    }
    let requested = |list: &[TrafficSelector]| Kinds::of(list.iter().copied());
    let local = intersect(policy.local, proposed.local, &requested(proposed.remote), &remote_kinds);
    let remote = intersect(policy.remote, proposed.remote, &requested(proposed.local), &local_kinds);
    if local.list.is_empty() || remote.list.is_empty() {
        return fail(TsMismatchKind::NoPair);
    }
    Ok(Narrowed {
        narrowed: local.narrowed || remote.narrowed,
        additional_possible: local.cut || remote.cut,
        local: local.list,
        remote: remote.list,
    })
}

/// Answers a request that rekeys a Child SA (§2.9.2), as its responder: with just the selectors that the SA uses.
///
/// Initiators may propose more than the SA uses, and some always do; the new SA should not have other selectors
/// than the old one (§2.8).
///
/// # Errors
/// [`TsMismatch`], to be answered with N(TS_UNACCEPTABLE): the request leaves out what is in use, where §2.9.2
/// forbids a narrower SA, or the policy has changed and the SA is against it.
pub fn narrow_for_rekey(
    in_use: SelectorPair<'_>,
    policy: SelectorPair<'_>,
    proposed: SelectorPair<'_>,
) -> Result<Narrowed, Box<TsMismatch>> {
    let proposed = proposed.bounded();
    let lost = first_lost(in_use, proposed).map(|(side, s)| TsMismatchKind::LessThanInUse(side, s));
    let stale = first_lost(in_use, policy).map(|(side, s)| TsMismatchKind::InUseOutsidePolicy(side, s));
    if let Some(kind) = lost.or(stale) {
        return Err(TsMismatch::new(kind, policy, proposed));
    }
    let possible = narrow(policy, proposed)?;
    let granted = SelectorPair { local: &possible.local, remote: &possible.remote };
    Ok(Narrowed {
        local: in_use.local.to_vec(),
        remote: in_use.remote.to_vec(),
        narrowed: !in_use.covers(proposed),
        additional_possible: !in_use.covers(granted),
    })
}

/// Reads and checks the answer to our request, as its initiator (§2.9): nothing that we did not request, and
/// something.
///
/// An answered selector need not lie within one of ours: it may straddle several that together have it.
///
/// # Errors
/// [`TsMismatch`]: the Child SA fails, and where the peer has set it up, it is to be deleted.
pub fn verify_answer(
    request: SelectorPair<'_>,
    local: &TsPayload<'_>,
    remote: &TsPayload<'_>,
) -> Result<SelectorLists, Box<TsMismatch>> {
    let answer = SelectorLists::known(local, remote);
    let unknown = |side, payload: &TsPayload<'_>| {
        payload.selectors().find_map(|selector| match selector {
            Selector::Unknown(unknown) => Some(TsMismatchKind::TypeNotRequested(side, unknown.ty)),
            Selector::Known(_) => None,
        })
    };
    let fault = unknown(Side::Local, local)
        .or_else(|| unknown(Side::Remote, remote))
        .or_else(|| answer_fault(request, answer.pair()));
    match fault {
        Some(kind) => Err(TsMismatch::new(kind, request, answer.pair())),
        None => Ok(answer),
    }
}

/// Reads and checks the answer to our request to rekey a Child SA, as its initiator: as [`verify_answer`] does, and
/// that it leaves out nothing that the SA uses (§2.9.2).
///
/// # Errors
/// [`TsMismatch`]: the new SA is to be deleted and the old one stays.
pub fn verify_rekey_answer(
    in_use: SelectorPair<'_>,
    request: SelectorPair<'_>,
    local: &TsPayload<'_>,
    remote: &TsPayload<'_>,
) -> Result<SelectorLists, Box<TsMismatch>> {
    let answer = verify_answer(request, local, remote)?;
    match first_lost(in_use, answer.pair()) {
        Some((side, s)) => {
            Err(TsMismatch::new(TsMismatchKind::LessThanInUse(side, s), request, answer.pair()))
        }
        None => Ok(answer),
    }
}

/// What is wrong with an answer of known selectors.
fn answer_fault(request: SelectorPair<'_>, answer: SelectorPair<'_>) -> Option<TsMismatchKind> {
    let unions = [(Side::Local, answer.local, request.local), (Side::Remote, answer.remote, request.remote)];
    for (side, answered, requested) in unions {
        let union = Union::new(requested);
        if let Some(selector) = answered.iter().find(|s| !union.covers(s)) {
            return Some(TsMismatchKind::NotRequested(side, *selector));
        }
    }
    let remote_kinds = Kinds::of(answer.remote.iter().copied());
    let meet = answer.local.iter().any(|s| remote_kinds.go_with(s));
    (!meet).then_some(TsMismatchKind::NoPair)
}

/// The first selector of `inner` that `outer` does not have in full.
///
/// Selectors that nothing at the other end goes with stand for no packet, and cannot be lost.
fn first_lost(inner: SelectorPair<'_>, outer: SelectorPair<'_>) -> Option<(Side, TrafficSelector)> {
    let lost = |list: &[TrafficSelector], other: &[TrafficSelector], within: &[TrafficSelector]| {
        let kinds = Kinds::of(other.iter().copied());
        let union = Union::new(within);
        list.iter().find(|s| kinds.go_with(s) && !union.covers(s)).copied()
    };
    lost(inner.local, inner.remote, outer.local)
        .map(|s| (Side::Local, s))
        .or_else(|| lost(inner.remote, inner.local, outer.remote).map(|s| (Side::Remote, s)))
}

/// One end of an answer under construction: no entry covers another.
#[derive(Default)]
struct Granted {
    list: Vec<TrafficSelector>,
    /// Whether something of the request that stands for packets is left out.
    narrowed: bool,
    /// Whether something had to be left out that both sides have.
    cut: bool,
}

impl Granted {
    /// Adds a selector at the end, or in the place of the first entry that it covers.
    fn add(&mut self, selector: TrafficSelector) {
        let added = Cuboid::from(&selector);
        if self.list.iter().any(|s| Cuboid::from(s).covers(&added)) {
            return;
        }
        if let Some(place) = self.list.iter().position(|s| added.covers(&s.into())) {
            self.list.retain(|s| !added.covers(&s.into()));
            self.list.insert(place, selector);
        } else if self.list.len() < MAX_SELECTORS {
            self.list.push(selector);
        } else {
            self.cut = true;
        }
    }
}

/// One end of an answer: the selectors in both lists that go with some of the other end, of which `requested` are the
/// kinds in the request and `granted` those in the answer.
fn intersect(
    policy: &[TrafficSelector],
    proposed: &[TrafficSelector],
    requested: &Kinds,
    granted: &Kinds,
) -> Granted {
    let union = Union::new(policy);
    let mut result = Granted::default();
    for selector in proposed.iter().filter(|selector| requested.go_with(selector)) {
        let whole = union.covers(selector);
        result.narrowed |= !whole || !granted.go_with(selector);
        if whole && granted.go_with(selector) {
            result.add(*selector);
        } else if !whole {
            let pieces = policy.iter().filter_map(|entry| selector.intersection(entry));
            pieces.filter(|piece| granted.go_with(piece)).for_each(|piece| result.add(piece));
        }
        if result.cut {
            break;
        }
    }
    result.narrowed |= result.cut;
    result
}

/// Which protocols a list has of each address family: all that decides whether a selector of one end goes with
/// one of the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Kinds {
    v4: ProtocolSet,
    v6: ProtocolSet,
}

impl Kinds {
    fn of(selectors: impl Iterator<Item = TrafficSelector>) -> Self {
        let mut kinds = Self::default();
        for selector in selectors {
            kinds.family_mut(&selector.addresses).insert(selector.protocol);
        }
        kinds
    }

    fn in_common(policy: &[TrafficSelector], proposed: &[TrafficSelector]) -> Self {
        Self::of(policy.iter().flat_map(|entry| proposed.iter().filter_map(|s| s.intersection(entry))))
    }

    fn family_mut(&mut self, addresses: &AddressRange) -> &mut ProtocolSet {
        if addresses.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    /// Whether a packet can match the selector at its one end and a selector of this list at the other.
    fn go_with(&self, selector: &TrafficSelector) -> bool {
        let family = if selector.addresses.is_ipv4() { &self.v4 } else { &self.v6 };
        match selector.protocol {
            TrafficSelector::ANY_PROTOCOL => !family.is_empty(),
            protocol => family.contains(protocol) || family.contains(TrafficSelector::ANY_PROTOCOL),
        }
    }

    fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// A set of protocol numbers; 0 stands for any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct ProtocolSet([u128; 2]);

impl ProtocolSet {
    fn insert(&mut self, protocol: u8) {
        let [low, high] = &mut self.0;
        *(if protocol < 128 { low } else { high }) |= 1u128 << (protocol & 127);
    }

    fn contains(&self, protocol: u8) -> bool {
        let [low, high] = self.0;
        (if protocol < 128 { low } else { high }) >> (protocol & 127) & 1 == 1
    }

    fn is_empty(&self) -> bool {
        self.0 == [0, 0]
    }
}
