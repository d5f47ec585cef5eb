//! MOBIKE (RFC 4555): what an INFORMATIONAL request of the peer's says of addresses, and what it is answered.

use super::context::Context;
use super::mobike::{Heading, add_detection};
use super::notices::Notices;
use super::{IkeSa, Task};
use crate::contents::Contents;
use crate::error::{AddressFault, Failure};
use crate::event::{DownReason, Event, NatStatus, Role};
use crate::exchange::exchanges::{Ends, Request};
use crate::mobike::Routability;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use ikev2_wire::NotifyPayload;
use ikev2_wire::codes::NotifyType;
use ipsec_types::Path;

/// What a request is answered, and what follows once that is sent.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub notices: Notices,
    /// To go there.
    update: Option<(Path, NatStatus)>,
    /// The peer's addresses are others now; with where it said so.
    addresses: Option<(Vec<IpAddr>, Path)>,
    refused: Option<(Path, AddressFault)>,
}

/// The two ends in NO_NATS_ALLOWED: source and destination as the sender sees them (§4.2.6).
fn ends_of(notify: &NotifyPayload<'_>) -> Option<(SocketAddr, SocketAddr)> {
    fn split<const N: usize>(data: &[u8]) -> Option<([u8; N], [u8; N], u16, u16)> {
        let (source, rest) = data.split_first_chunk::<N>()?;
        let (destination, rest) = rest.split_first_chunk::<N>()?;
        let [a, b, c, d] = *<&[u8; 4]>::try_from(rest).ok()?;
        Some((*source, *destination, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }
    let pair = |s: IpAddr, d: IpAddr, sp, dp| (SocketAddr::new(s, sp), SocketAddr::new(d, dp));
    match split::<4>(notify.data) {
        Some((s, d, sp, dp)) => Some(pair(s.into(), d.into(), sp, dp)),
        None => split::<16>(notify.data).map(|(s, d, sp, dp)| pair(s.into(), d.into(), sp, dp)),
    }
}

/// Whether a request that forbids NATs came as it was sent (§3.9).
pub(super) fn check_no_nats(contents: &Contents<'_>, path: &Path) -> Result<(), Box<AddressFault>> {
    let Some(notify) = contents.notify(NotifyType::NO_NATS_ALLOWED) else { return Ok(()) };
    let said = ends_of(notify);
    if said == Some((path.remote, path.local)) {
        return Ok(());
    }
    Err(Box::new(AddressFault::UnexpectedNat { said, seen: *path }))
}

/// The list of addresses in a message, if it has one: no other addresses is a list too (§3.6). Those of a wrong length
/// are none.
fn addresses_in(contents: &Contents<'_>) -> Option<Vec<IpAddr>> {
    let of = |notify: &NotifyPayload<'_>| match notify.ty {
        NotifyType::ADDITIONAL_IP4_ADDRESS => <[u8; 4]>::try_from(notify.data).ok().map(IpAddr::from),
        NotifyType::ADDITIONAL_IP6_ADDRESS => <[u8; 16]>::try_from(notify.data).ok().map(IpAddr::from),
        _ => None,
    };
    let list: Vec<_> = contents.notifies.iter().filter_map(of).collect();
    (!list.is_empty() || contents.notify(NotifyType::NO_ADDITIONAL_ADDRESSES).is_some()).then_some(list)
}

impl IkeSa {
    /// What the request says of addresses, and what the answer to it says then (§3.5 to §3.9). `ends` are those of the
    /// generation that it came by.
    pub(super) fn take_addresses(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        contents: &Contents<'_>,
        ends: &Ends,
    ) -> Taken {
        let mut taken = Taken::default();
        let Some(mobike) = &self.mobike else { return taken };
        let path = request.path;
        if let Some(cookie) =
            contents.notify(NotifyType::COOKIE2).filter(|n| (8..=64).contains(&n.data.len()))
        {
            taken.notices.add(NotifyType::COOKIE2, cookie.data);
        }
        if let Err(fault) = check_no_nats(contents, &path) {
            taken.notices.add(fault.notify(), []);
            taken.refused = Some((path, *fault));
            return taken;
        }
        // Requests of a window may come in any order (§3.5).
        let age = (ends.local_spi(), request.message_id());
        let current = self.current.local_spi();
        let is_old = mobike
            .newest
            .is_some_and(|newest| if newest.0 == age.0 { age.1 < newest.1 } else { newest.0 == current });
        let updates =
            contents.notify(NotifyType::UPDATE_SA_ADDRESSES).is_some() && self.origin == Role::Responder;
        if updates && !is_old && !self.accepts(&path) {
            let fault = AddressFault::Unacceptable { path };
            taken.notices.add(fault.notify(), []);
            taken.refused = Some((path, fault));
            return taken;
        }
        let asks_for_nat = contents.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_some()
            || contents.notify(NotifyType::NAT_DETECTION_DESTINATION_IP).is_some();
        let mut claims = false;
        if asks_for_nat && let Ok((claim, claims_nat)) = self.claim(context, &path, ends) {
            claims = claims_nat;
            add_detection(&mut taken.notices, &claim);
        }
        let list = addresses_in(contents);
        if is_old || (!updates && list.is_none()) {
            return taken;
        }
        if let Some(mobike) = self.mobike.as_deref_mut() {
            mobike.newest = Some(age);
        }
        if updates {
            let nat = ends.detect_nat(&path, contents, claims).unwrap_or_default();
            taken.update = Some((path, nat));
        }
        taken.addresses = list.map(|list| (list, path));
        taken
    }

    /// Whether our policy lets the peer move there.
    fn accepts(&self, path: &Path) -> bool {
        let here = self.connection.local_address.is_none_or(|ours| ours == path.local_ip());
        here && self.connection.mobike.as_ref().is_some_and(|policy| policy.accepts(path.remote_ip()))
    }

    /// Does what the request asks for, once it is answered.
    pub(super) fn follow_addresses(&mut self, context: &mut Context<'_>, taken: Taken) {
        if let Some((path, fault)) = taken.refused {
            context.event(Event::MoveFailed { sa: self.handle, path, failure: Box::new(fault.into()) });
        }
        if let Some((path, nat)) = taken.update.filter(|_| self.is_established()) {
            self.go(context, path, nat);
        }
        if let Some((list, seen)) = taken.addresses.filter(|_| self.is_established()) {
            self.keep_peers_addresses(context, list);
            self.leave_gone_peer(context, seen);
        }
    }

    /// The initiator moves to this path: follows at once, or when it has shown that it receives there (§3.5, §3.7).
    fn go(&mut self, context: &mut Context<'_>, path: Path, nat: NatStatus) {
        let policy = self.connection.mobike.as_ref().map(|policy| policy.routability);
        // It was heard from there before.
        let is_known = path.remote == self.path.remote;
        let routability = policy.filter(|_| !is_known).unwrap_or(Routability::Never);
        if routability == Routability::Before {
            self.head_for(context, path);
            if let Some(mobike) = self.mobike.as_deref_mut() {
                mobike.heading = Some(Heading { path, nat });
            }
            return;
        }
        if let Some(mobike) = self.mobike.as_deref_mut() {
            mobike.heading = None;
            mobike.renew(|wishes| wishes.check = routability == Routability::After);
        }
        self.move_to(context, path, nat);
        self.resend(context);
    }

    /// The peer's list in IKE_AUTH (§3.4).
    pub(super) fn learn_peers_addresses(&mut self, _: &mut Context<'_>, contents: &Contents<'_>) {
        if let Some(list) = addresses_in(contents) {
            self.replace_peers_addresses(list);
        }
    }

    /// Puts the list in place of the one before, as far as policy and bound allow. Gives whether it is another.
    fn replace_peers_addresses(&mut self, mut list: Vec<IpAddr>) -> bool {
        let (Some(policy), Some(mobike)) = (&self.connection.mobike, self.mobike.as_deref_mut()) else {
            return false;
        };
        list.retain(|address| {
            let usable = !address.is_unspecified() && !address.is_multicast();
            usable && policy.accepts(*address)
        });
        list.truncate(policy.max_addresses);
        list.shrink_to_fit();
        let changed = mobike.peer != list;
        if changed {
            mobike.refused.clear();
        }
        mobike.peer = list;
        changed
    }

    fn keep_peers_addresses(&mut self, context: &mut Context<'_>, list: Vec<IpAddr>) {
        if self.replace_peers_addresses(list) {
            let addresses = self.mobike.as_ref().map(|mobike| mobike.peer.clone()).unwrap_or_default();
            context.event(Event::PeerAddresses { sa: self.handle, addresses });
        }
    }

    /// Where we decide, and the address that we send to is none of the peer's any more: goes to where it was heard from,
    /// or to another of its addresses (§3.5, §3.6). Where our policy allows none of them, it ends, and the peer is told.
    fn leave_gone_peer(&mut self, context: &mut Context<'_>, heard: Path) {
        let (used, seen) = (self.way().remote_ip(), heard.remote_ip());
        let Some(mobike) = self.mobike.as_deref_mut() else { return };
        if self.origin == Role::Responder || used == seen || mobike.peer.contains(&used) {
            return;
        }
        mobike.peer.insert(0, seen);
        let next = self.candidates(context).into_iter().find(|path| path.remote_ip() != used);
        if let Some(mobike) = self.mobike.as_deref_mut() {
            mobike.peer.remove(0);
        }
        if let Some(next) = next {
            return self.head_for(context, next);
        }
        if let Some(mobike) = self.mobike.as_deref_mut() {
            mobike.heading = Some(Heading { path: heard, nat: self.nat });
        }
        let failure = Failure::from(AddressFault::Unacceptable { path: heard });
        self.start_closing(context, Some(DownReason::Failed(Box::new(failure))), Task::DeleteIke);
    }
}
