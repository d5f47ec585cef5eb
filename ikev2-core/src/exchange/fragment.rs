//! How large the datagrams of a protected message may be: the sizes that fragments are made for (RFC 7383 §2.5.1),
//! and the way down where they do not arrive (§2.5.2). And the way in: a message, or a fragment that may be the last
//! of one (§2.6).

use super::outgoing::Outgoing;
use super::protect::{Form, OpenError, Plaintext, Protection, nothing_critical};
use super::reassembly::{Added, Reassembled, Reassembly, ReassemblyLimits};
use super::responses::RequestDigest;
use crate::error::{Bound, Failure, FragmentFault, MoveError, Rejection};
use crate::saved::{Restoring, Saving};
use alloc::vec::Vec;
use ikev2_wire::{EncryptedFragment, Message, Protected};
use ipsec_types::udp::NON_ESP_MARKER;
use ipsec_types::{Instant, Path};

/// The sizes of IP datagrams over one version of IP, in octets, IP and UDP headers included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FragmentSizes {
    /// What messages are made to fit at first.
    pub first: u16,
    /// What they are made to fit at last, when nothing larger was answered. A value above `first` counts as
    /// `first`.
    pub least: u16,
}

/// When and how messages are fragmented.
///
/// A size that leaves less than 16 octets of content to a fragment counts as one that leaves 16.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FragmentPolicy {
    /// Over IPv4. Default: 1,280 first, which nearly every path takes, and 576 at least (§2.5.1).
    pub ipv4: FragmentSizes,
    /// Over IPv6. Default: 1,280 first and last, which every path takes (§2.5.1).
    pub ipv6: FragmentSizes,
    /// How often a message is sent at one size before the next smaller one is tried: requests without an answer,
    /// and answers whose request comes again. Default: 3. Zero counts as one.
    pub tries: u32,
}

impl Default for FragmentPolicy {
    fn default() -> Self {
        Self {
            ipv4: FragmentSizes { first: 1_280, least: 576 },
            ipv6: FragmentSizes { first: 1_280, least: 1_280 },
            tries: 3,
        }
    }
}

impl FragmentPolicy {
    fn sizes(&self, path: &Path) -> FragmentSizes {
        let FragmentSizes { first, least } = if path.remote.is_ipv6() { self.ipv6 } else { self.ipv4 };
        FragmentSizes { first, least: least.min(first) }
    }
}

/// The octets of an IP datagram around an IKE message. Always with the non-ESP marker, so that a kept message
/// fits by either port.
fn overhead(path: &Path) -> u16 {
    const UDP_AND_MARKER: u16 = 8 + NON_ESP_MARKER.len() as u16;
    UDP_AND_MARKER + if path.remote.is_ipv6() { 40 } else { 20 }
}

/// When and by which path a message comes in, and what fragments may take.
#[derive(Clone, Copy, Debug)]
pub struct Reception<'a> {
    /// Now.
    pub now: Instant,
    /// By which it comes.
    pub path: Path,
    /// What fragments may take.
    pub limits: &'a ReassemblyLimits,
    /// The bound that keeps a half-open IKE SA from holding more, if one does.
    pub crowded: Option<Bound>,
}

/// A message whose integrity is good.
#[derive(Debug)]
pub struct Arrived<'s> {
    /// What is inside, or what a peer that is authentic did wrong.
    pub plaintext: Result<Plaintext<'s>, Failure>,
    /// How it came, if it came in fragments.
    pub fragments: Option<Fragments>,
}

/// How a message came in fragments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fragments {
    /// What stands in front of the message's content, as if it had never been fragmented
    /// ([`Reassembled::head`]).
    pub head: Vec<u8>,
    /// Of fragment 1, which stands for the message where repeats are recognised (§2.6.1).
    pub digest: RequestDigest,
    /// The octets of all of them.
    pub octets: usize,
}

/// What a datagram with good integrity brought.
#[derive(Debug)]
pub enum Arrival<'s> {
    /// A message, or the last fragment of one.
    Message(Arrived<'s>),
    /// A fragment of a message that others are still to come of.
    Fragment,
}

/// What opening a datagram came to. The error is of one that may be from anyone, and nothing changed.
pub type Opened<'s> = Result<Arrival<'s>, Rejection>;

/// The fragmentation of one IKE SA's messages, both ways.
#[derive(Debug, Default)]
pub struct Fragmentation {
    policy: Option<FragmentPolicy>,
    /// The size that was come down to; `None` while none was given up.
    reduced: Option<u16>,
    /// The peer's messages that are not whole yet.
    pub reassembly: Reassembly,
}

impl Fragmentation {
    /// Of an IKE SA both ends of which said IKEV2_FRAGMENTATION_SUPPORTED (§2.3). [`Fragmentation::default`] is of
    /// one where they did not: nothing is fragmented, and no fragment is taken.
    #[must_use]
    pub fn agreed(policy: FragmentPolicy) -> Self {
        Self { policy: Some(policy), ..Self::default() }
    }

    /// What an IKE SA that a rekey makes begins with: the notify is not said again, and the size holds on.
    #[must_use]
    pub fn inherit(&self) -> Self {
        Self { policy: self.policy, reduced: self.reduced, reassembly: Reassembly::default() }
    }

    /// For an SA that moves: what was agreed. The sizes are the configuration's, and what is not whole is not kept.
    pub(super) fn save(&self, w: &mut Saving) {
        let Self { policy, reduced, reassembly: _ } = self;
        w.put_bool(policy.is_some());
        w.put_option(*reduced, ipsec_crypto::state::StateWriter::put_u16);
    }

    pub(super) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let configured = r.connection.fragmentation.unwrap_or_default();
        let policy = r.bool()?.then_some(configured);
        let reduced = r.option(ipsec_crypto::state::StateReader::u16)?;
        Ok(Self { policy, reduced, reassembly: Reassembly::default() })
    }

    /// Whether both ends take fragments.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        self.policy.is_some()
    }

    /// The size of IP datagrams that messages are made to fit now; `None` where fragmentation was not agreed.
    #[must_use]
    pub fn size(&self, path: &Path) -> Option<u16> {
        let FragmentSizes { first, least } = self.policy?.sizes(path);
        Some(self.reduced.unwrap_or(first).clamp(least, first))
    }

    /// The next smaller size, if there is one. Few steps, each of which makes more fragments (§2.5.2).
    #[must_use]
    pub fn smaller(&self, path: &Path, size: u16) -> Option<u16> {
        const BETWEEN: u16 = 1_280;
        let least = self.policy?.sizes(path).least;
        if size <= least {
            return None;
        }
        Some(if size > BETWEEN { BETWEEN.max(least) } else { least })
    }

    /// Whether datagrams of so many octets of IKE message can be made smaller.
    #[must_use]
    pub fn can_shrink(&self, path: &Path, largest: usize) -> bool {
        self.policy.is_some_and(|policy| largest > Self::room(path, policy.sizes(path).least))
    }

    /// Goes on with a smaller size. It never grows again: what did not pass once may not pass again.
    pub fn reduce(&mut self, size: u16) {
        self.reduced = Some(self.reduced.map_or(size, |reduced| reduced.min(size)));
    }

    /// The peer's fragments were at most so large, in octets of IKE message: ours need not be larger (§2.5.1).
    pub fn follow(&mut self, path: &Path, largest: usize) {
        let size = u16::try_from(largest).unwrap_or(u16::MAX).saturating_add(overhead(path));
        if self.size(path).is_some_and(|now| size < now) {
            self.reduce(size);
        }
    }

    /// Whether a message that was sent so often at one size is to be tried at the next smaller one.
    #[must_use]
    pub fn gives_up_after(&self, transmissions: u32) -> bool {
        self.policy.is_some_and(|policy| transmissions >= policy.tries.max(1))
    }

    /// The octets of an IKE message that fit an IP datagram of this size.
    #[must_use]
    pub fn room(path: &Path, size: u16) -> usize {
        usize::from(size.saturating_sub(overhead(path)))
    }

    /// The same message in smaller fragments, with whose size everything goes on; `None` where there is no smaller
    /// size, or none that makes a difference (§2.5.2).
    pub(super) fn shrink(
        &mut self,
        protection: &mut Protection,
        path: &Path,
        message: &Outgoing,
    ) -> Option<Outgoing> {
        let mut size = self.size(path)?;
        while let Some(next) = self.smaller(path, size) {
            size = next;
            if let Some(smaller) = protection.refragment(message, Self::room(path, size)) {
                self.reduce(size);
                return Some(smaller);
            }
        }
        None
    }

    /// Whether a fragment is of use, by its numbers alone (§2.6). Anything else is.
    ///
    /// # Errors
    /// [`Rejection::Fragment`] where fragmentation was not agreed, and those of [`Reassembly::judge`].
    pub fn judge(&self, message: &Message<'_>, reception: &Reception<'_>) -> Result<(), Rejection> {
        match message.protected() {
            Some(Protected::Skf(_)) if !self.is_agreed() => {
                Err(Rejection::Fragment(FragmentFault::NotAgreed))
            }
            Some(Protected::Skf(fragment)) => {
                let Reception { limits, crowded, .. } = *reception;
                self.reassembly.judge(message, &fragment, limits, crowded)
            }
            _ => Ok(()),
        }
    }

    /// Opens a message, or a fragment and with the last of them a message. `scratch` is overwritten; the plain text
    /// may borrow from it.
    ///
    /// # Errors
    /// As [`Opened`] says.
    pub fn open<'s>(
        &mut self,
        protection: &Protection,
        reception: &Reception<'_>,
        message: &Message<'_>,
        scratch: &'s mut Vec<u8>,
    ) -> Opened<'s> {
        self.judge(message, reception)?;
        if let Some(Protected::Skf(fragment)) = message.protected() {
            return self.open_fragment(protection, reception, message, &fragment, scratch);
        }
        let plaintext = match protection.open(message, scratch) {
            Ok(plaintext) => Ok(plaintext),
            Err(error) => Err(error.sort()?),
        };
        // Fragments of the same message are of no use any more.
        self.forget(message);
        Ok(Arrival::Message(Arrived { plaintext, fragments: None }))
    }

    fn forget(&mut self, message: &Message<'_>) {
        let header = message.header();
        self.reassembly.forget(header.flags.is_response(), header.message_id);
    }

    fn open_fragment<'s>(
        &mut self,
        protection: &Protection,
        reception: &Reception<'_>,
        message: &Message<'_>,
        fragment: &EncryptedFragment<'_>,
        scratch: &mut Vec<u8>,
    ) -> Opened<'s> {
        let broken = |failure| Arrival::Message(Arrived { plaintext: Err(failure), fragments: None });
        let plaintext = match protection.open_fragment(message, scratch) {
            Ok(plaintext) => plaintext,
            Err(error) => {
                let failure = error.sort()?;
                self.forget(message);
                return Ok(broken(failure));
            }
        };
        let Reception { now, path, limits, .. } = *reception;
        match self.reassembly.add(now, message, fragment, &plaintext, limits) {
            Added::Part => Ok(Arrival::Fragment),
            Added::TooLarge => Ok(broken(Failure::Limit(Bound::ReassemblyOctets))),
            Added::Whole(whole) => Ok(Arrival::Message(self.put_together(&path, *whole))),
        }
    }

    fn put_together<'s>(&mut self, path: &Path, whole: Reassembled) -> Arrived<'s> {
        let Reassembled { head, plaintext, digest, total, largest, received } = whole;
        // The size of one alone says nothing of the path.
        if total > 1 {
            self.follow(path, largest);
        }
        let clear = match Message::parse(&head).map(|head| nothing_critical(&head)) {
            Ok(Err(OpenError::Critical(ty))) => Err(Failure::CriticalPayload(ty)),
            Ok(_) => Ok(()),
            // Octets that were parsed when they came.
            Err(error) => Err(Failure::Malformed(error)),
        };
        let fragments = Some(Fragments { head, digest, octets: received });
        Arrived { plaintext: clear.map(|()| plaintext), fragments }
    }

    /// How a message is to leave by this path. An answer takes the form of its request (§2.4).
    #[must_use]
    pub fn form(&self, path: &Path, fragmented_request: bool) -> Form {
        match self.size(path) {
            None => Form::Whole,
            Some(size) if fragmented_request => Form::Fragments(Self::room(path, size)),
            Some(size) => Form::UpTo(Self::room(path, size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn v4() -> Path {
        Path::ike("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap())
    }

    fn v6() -> Path {
        Path::ike("[2001:db8::1]:500".parse().unwrap(), "[2001:db8::2]:500".parse().unwrap())
    }

    fn steps(policy: FragmentPolicy, path: &Path) -> Vec<u16> {
        let fragmentation = Fragmentation::agreed(policy);
        let mut steps = vec![fragmentation.size(path).unwrap()];
        while let Some(next) = fragmentation.smaller(path, steps[steps.len() - 1]) {
            steps.push(next);
        }
        steps
    }

    /// RFC 7383 §2.5.1 recommends 576 and 1,280; §2.5.2 wants few steps, from large to small.
    #[test]
    fn the_steps_are_few_and_end_at_the_least_size() {
        let policy = FragmentPolicy::default();
        assert_eq!(steps(policy, &v4()), [1_280, 576]);
        assert_eq!(steps(policy, &v6()), [1_280]);
        let sizes = |first, least| FragmentPolicy { ipv4: FragmentSizes { first, least }, ..policy };
        assert_eq!(steps(sizes(9_000, 576), &v4()), [9_000, 1_280, 576]);
        assert_eq!(steps(sizes(1_500, 1_400), &v4()), [1_500, 1_400]);
        assert_eq!(steps(sizes(500, 576), &v4()), [500]);
        assert_eq!(steps(sizes(0, 0), &v4()), [0]);
    }

    #[test]
    fn a_size_that_was_given_up_is_inherited_and_never_comes_back() {
        let mut fragmentation = Fragmentation::agreed(FragmentPolicy::default());
        fragmentation.reduce(576);
        fragmentation.reduce(1_280);
        assert_eq!(fragmentation.size(&v4()), Some(576));
        // The other version of IP has a least size of its own.
        assert_eq!(fragmentation.size(&v6()), Some(1_280));
        assert_eq!(fragmentation.inherit().size(&v4()), Some(576));
        assert!(fragmentation.inherit().is_agreed());
        assert!(!Fragmentation::default().inherit().is_agreed());
    }

    #[test]
    fn the_peers_fragments_say_how_large_ours_may_be() {
        let mut fragmentation = Fragmentation::agreed(FragmentPolicy::default());
        fragmentation.follow(&v4(), 2_000);
        assert_eq!(fragmentation.size(&v4()), Some(1_280));
        fragmentation.follow(&v4(), 968);
        assert_eq!(fragmentation.size(&v4()), Some(1_000));
        fragmentation.follow(&v4(), 100);
        assert_eq!(fragmentation.size(&v4()), Some(576));
        assert_eq!(Fragmentation::room(&v4(), 576), 544);
        assert_eq!(Fragmentation::room(&v6(), 1_280), 1_228);
    }
}
