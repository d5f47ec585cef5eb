//! IKE SAs that take the place of others, so that the two ends authenticate anew: make before break (RFC 7296 §2.8.3).
//!
//! The new one gets as many Child SAs for each policy as the old one has; then the old one is deleted. While this goes on
//! the old one takes no rekeys and begins none, and whatever ends it does not begin the connection once more.

use super::Endpoint;
use super::lifecycle::{End, Note};
use crate::config::Connection;
use crate::error::CallError;
use crate::event::{Event, IkeSaHandle};
use crate::sa::IkeSa;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;
use core::net::{IpAddr, SocketAddr};
use ipsec_types::Path;
use ipsec_types::sa::PolicyId;

/// How many Child SAs there are to be for each policy.
type Counts = BTreeMap<PolicyId, usize>;

/// An IKE SA on its way to take the place of another.
#[derive(Debug)]
struct Renewal {
    old: IkeSaHandle,
    /// What the old one had when this began.
    had: Counts,
    /// What was asked for on the new one: what failed is not asked for again.
    tried: Counts,
}

/// All of them, by the handle of the new IKE SA. Never more than there are IKE SAs.
#[derive(Debug, Default)]
pub(super) struct Renewals(BTreeMap<IkeSaHandle, Renewal>);

impl Renewals {
    fn of_old(&self, old: IkeSaHandle) -> Option<IkeSaHandle> {
        self.0.iter().find(|(_, renewal)| renewal.old == old).map(|(new, _)| *new)
    }
}

/// Its Child SAs, and those that are to come.
fn children_of(sa: &IkeSa) -> Counts {
    let mut counts = Counts::new();
    for policy in sa.policies_in_use() {
        let count = counts.entry(policy).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

impl Endpoint {
    /// Whether this IKE SA is on its way to take the place of another.
    pub(super) fn is_renewal(&self, sa: IkeSaHandle) -> bool {
        self.renewals.0.contains_key(&sa)
    }

    /// Begins the IKE SA that is to take the place of this one, with the peer where it is or where it sends us; instead of
    /// one that is on its way.
    fn renew(&mut self, old: IkeSaHandle) {
        self.end_renewal_of(old);
        if let Err(error) = self.begin_renewal(old) {
            self.with_sa(old, |sa, context| {
                if sa.is_established() {
                    sa.renew_later(context);
                }
            });
            self.tell_not_followed(old, error);
        }
    }

    fn tell_not_followed(&mut self, predecessor: IkeSaHandle, error: CallError) {
        let Some(sa) = self.shell.sa(predecessor) else { return };
        let connection = sa.connection.name.clone();
        self.tell(Event::IkeSaNotFollowed { connection, predecessor, error });
    }

    fn begin_renewal(&mut self, old: IkeSaHandle) -> Result<(), CallError> {
        let sa = self.shell.sa(old).filter(|sa| sa.is_established()).ok_or(CallError::NoSuchSa)?;
        let had = children_of(sa);
        let held = sa.inner_addresses().into();
        let sent_on = sa.authentication.sent_on.as_deref();
        let (connection, path) = self.way_to(sa, sent_on.map(|sent| sent.to));
        let redirected = sent_on.map(|sent| sent.counted);
        let first = had.keys().find_map(|policy| connection.child_of(*policy)).cloned();
        let tried = first.iter().map(|child| (child.policy, 1)).collect();
        let new = self.begin(&connection, path, first.map(|child| (child, None)), redirected)?;
        self.with_sa(new, |sa, _| {
            sa.authentication.predecessor = Some(old);
            sa.held = held;
        });
        self.note_begun(&connection, new, None);
        self.renewals.0.insert(new, Renewal { old, had, tried });
        Ok(())
    }

    /// The connection of an IKE SA as it is configured now, and the path for a first message to the peer, where it is or
    /// at another address.
    fn way_to(&self, sa: &IkeSa, at: Option<IpAddr>) -> (Arc<Connection>, Path) {
        let connection = self.shell.protocol().connection(&sa.connection.name).unwrap_or(&sa.connection);
        let local = SocketAddr::new(sa.path.local_ip(), sa.first_port);
        let remote = at.unwrap_or(sa.path.remote_ip());
        (Arc::clone(connection), connection.path_between(local, remote, self.shell.config()))
    }

    /// An IKE SA ended since its peer sends us elsewhere: begins the next, which does what that one was to do.
    fn follow_redirect(&mut self, ended: IkeSaHandle, to: IpAddr) -> Result<(), CallError> {
        let sa = self.shell.sa(ended).ok_or(CallError::NoSuchSa)?;
        let opening = sa.opening.as_deref().cloned();
        let redirected = sa.next_redirect(self.shell.now());
        let (connection, path) = self.way_to(sa, Some(to));
        let new = self.begin(&connection, path, opening, redirected)?;
        self.note_begun(&connection, new, None);
        if let Some(renewal) = self.renewals.0.remove(&ended) {
            let old = renewal.old;
            self.with_sa(new, |sa, _| sa.authentication.predecessor = Some(old));
            self.renewals.0.insert(new, renewal);
        }
        Ok(())
    }

    /// What an event of an IKE SA means to the one whose place it takes, or that takes its place.
    pub(super) fn follow_renewal(&mut self, note: &Note) {
        match *note {
            Note::Renew { sa } => self.renew(sa),
            Note::Down { sa, to: Some(to), end, .. } => {
                if let Err(error) = self.follow_redirect(sa, to) {
                    self.tell_not_followed(sa, error);
                    self.on_renewal_down(sa, end);
                }
            }
            Note::Down { sa, end, .. } => self.on_renewal_down(sa, end),
            Note::Up { sa, .. } | Note::ChildUp { sa, .. } | Note::ChildFailed { sa, .. } => {
                self.advance_renewal(sa);
            }
            Note::ChildDown { .. } | Note::Imported { .. } => {}
        }
    }

    fn on_renewal_down(&mut self, sa: IkeSaHandle, end: End) {
        if let Some(renewal) = self.renewals.0.remove(&sa) {
            self.with_sa(renewal.old, |old, context| {
                if old.is_established() {
                    old.on_renewal_failed(context);
                }
            });
        } else if end == End::Meant {
            // Somebody else took its place.
            self.end_renewal_of(sa);
        }
    }

    /// This one is not wanted any more, and none in its place.
    pub(super) fn end_renewal_of(&mut self, old: IkeSaHandle) {
        if let Some(new) = self.renewals.of_old(old) {
            self.renewals.0.remove(&new);
            // What is closing already needs nothing.
            self.with_sa(new, |sa, context| sa.delete(context).unwrap_or_default());
        }
    }

    /// Asks for the Child SAs that the new IKE SA lacks, and deletes the old one when all are there or refused.
    fn advance_renewal(&mut self, new: IkeSaHandle) {
        let Some(Renewal { old, had, tried }) = self.renewals.0.get(&new) else { return };
        let Some(sa) = self.shell.sa(new).filter(|sa| sa.is_established()) else { return };
        let there = children_of(sa);
        let live = self.shell.sa(*old).filter(|old| old.is_established()).map(children_of);
        let count = |counts: &Counts, policy: &PolicyId| counts.get(policy).copied().unwrap_or_default();
        let missing = |(policy, needed): (PolicyId, usize)| {
            let begun = count(&there, &policy).max(count(tried, &policy));
            iter::repeat_n(policy, needed.saturating_sub(begun))
        };
        let old = *old;
        let needed = live.unwrap_or_else(|| had.clone());
        for policy in needed.into_iter().flat_map(missing).collect::<Vec<_>>() {
            if let Some(renewal) = self.renewals.0.get_mut(&new) {
                let tried = renewal.tried.entry(policy).or_default();
                *tried = tried.saturating_add(1);
            }
            if let Err(error) = self.create_another(new, policy, None) {
                tracing::debug!(sa = %new, %error, "a Child SA of the former IKE SA cannot be asked for");
            }
        }
        if self.shell.sa(new).is_some_and(|sa| sa.is_established() && !sa.asks_for_children()) {
            self.renewals.0.remove(&new);
            self.with_sa(old, IkeSa::retire);
        }
    }
}
