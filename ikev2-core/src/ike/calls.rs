//! What an embedder asks of an endpoint.

use super::Endpoint;
use crate::config::{ChildConfig, Connection};
use crate::error::{Bound, CallError};
use crate::event::{Answer, DownReason, Event, IkeSaHandle, Ticket};
use crate::lifecycle::Start;
use crate::redirect::Redirected;
use crate::sa::context::Context;
use crate::sa::mode;
use crate::sa::{IkeSa, Opening, Task};
use crate::trace;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipsec_types::sa::{ChildSaId, PacketSelectors, PolicyId};
use ipsec_types::{Instant, Path, SaReport};

impl Endpoint {
    /// Begins an IKE SA with the peer of a connection, and with it the connection's first Child SA.
    ///
    /// `path` says from where to where, and by which of our two sockets;
    /// [`Connection::initial_path`](crate::Connection::initial_path) makes the right one.
    ///
    /// # Errors
    /// [`CallError::NoSuchConnection`], [`CallError::NoSuchChild`] where it has none and
    /// [needs one](crate::Childless), [`CallError::BadPath`],
    /// [`CallError::Limit`], and
    /// [`CallError::Failed`] where the connection cannot begin.
    pub fn connect(&mut self, now: Instant, connection: &str, path: Path) -> Result<IkeSaHandle, CallError> {
        let _call = trace::call("connect");
        self.shell.advance(now);
        let connection = self.connection(connection)?;
        let sa = self.begin(&connection, path, None, None)?;
        self.note_begun(&connection, sa, Some(path));
        Ok(sa)
    }

    /// Begins an IKE SA with a gateway that another one named, after [`DownReason::Redirected`] or
    /// [`Event::IkeSaRedirected`] with a [`Gateway::Name`](crate::Gateway::Name): the embedder resolved it, and `path`
    /// leads there. `from` is the address of the gateway that sent us, which the new one is told (RFC 5685 §3). In the
    /// second case the embedder deletes the old IKE SA when the new one is up.
    ///
    /// Redirects by name are not counted over IKE SAs: an embedder that follows them bounds them.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub fn connect_redirected(
        &mut self,
        now: Instant,
        connection: &str,
        path: Path,
        from: IpAddr,
    ) -> Result<IkeSaHandle, CallError> {
        let _call = trace::call("connect_redirected");
        let now = self.shell.advance(now);
        let connection = self.connection(connection)?;
        let sa = self.begin(&connection, path, None, Some(Redirected::first(from, now)))?;
        self.note_begun(&connection, sa, None);
        Ok(sa)
    }

    /// Begins an IKE SA, with a Child SA that traffic asks for or with the connection's first.
    pub(super) fn begin(
        &mut self,
        connection: &Arc<Connection>,
        path: Path,
        wanted: Option<Opening>,
        redirected: Option<Redirected>,
    ) -> Result<IkeSaHandle, CallError> {
        if !path.is_consistent() {
            return Err(CallError::BadPath);
        }
        let first = wanted.as_ref().map(|(child, _)| child).or(connection.children.first());
        match first {
            Some(first) => drop(mode::propose(first, &path, None)?),
            None if connection.childless.is_begun() => {}
            None => return Err(CallError::NoSuchChild),
        }
        self.shell.initiate(|ike, services, handle, spi| {
            let context = &mut ike.context(services);
            let mut sa = IkeSa::initiate(context, handle, Arc::clone(connection), spi, path, redirected)?;
            sa.opening = wanted.map(Box::new);
            Ok(sa)
        })
    }

    fn connection(&self, name: &str) -> Result<Arc<Connection>, CallError> {
        self.shell.protocol().connection(name).cloned().ok_or(CallError::NoSuchConnection)
    }

    fn with_live_sa<T>(
        &mut self,
        now: Instant,
        handle: IkeSaHandle,
        act: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.shell.advance(now);
        self.shell.check_events()?;
        self.with_sa(handle, act).unwrap_or(Err(CallError::NoSuchSa))
    }

    /// Asks for another Child SA, by the name of one of the connection's children.
    ///
    /// # Errors
    /// [`CallError::NoSuchSa`], [`CallError::NoSuchChild`], [`CallError::NotEstablished`],
    /// [`CallError::Limit`]. What the peer answers is an event.
    pub fn create_child(&mut self, now: Instant, handle: IkeSaHandle, child: &str) -> Result<(), CallError> {
        let _call = trace::call("create_child");
        self.with_live_sa(now, handle, |sa, context| {
            let found = sa.child_configs().iter().find(|c| c.name == child);
            let config = found.cloned().ok_or(CallError::NoSuchChild)?;
            create(sa, context, config, None)
        })
    }

    /// Rekeys a Child SA (RFC 7296 §1.3.3): [`Event::ChildSaUp`], [`Event::ChildSaReplaced`] and
    /// [`Event::ChildSaDown`] tell how it goes. One that is being rekeyed or deleted needs nothing more.
    ///
    /// # Errors
    /// [`CallError::NoSuchSa`], [`CallError::NoSuchChild`], [`CallError::NotEstablished`],
    /// [`CallError::Limit`].
    pub fn rekey_child(
        &mut self,
        now: Instant,
        handle: IkeSaHandle,
        child: ChildSaId,
    ) -> Result<(), CallError> {
        let _call = trace::call("rekey_child");
        self.with_live_sa(now, handle, |sa, context| rekey(sa, context, child))
    }

    /// Rekeys the IKE SA (RFC 7296 §1.3.2): [`Event::IkeSaRekeyed`] or [`Event::IkeRekeyFailed`] tells. One that
    /// is being rekeyed needs nothing more.
    ///
    /// # Errors
    /// [`CallError::NoSuchSa`], [`CallError::NotEstablished`], [`CallError::Limit`].
    pub fn rekey_ike_sa(&mut self, now: Instant, handle: IkeSaHandle) -> Result<(), CallError> {
        self.with_live_sa(now, handle, |sa, context| {
            if sa.is_rekeying_ike() { Ok(()) } else { sa.request(context, Task::RekeyIke { tries: 0 }) }
        })
    }

    /// Deletes a Child SA; [`Event::ChildSaDown`] tells when the peer has answered.
    ///
    /// # Errors
    /// [`CallError::NoSuchSa`], [`CallError::NoSuchChild`], [`CallError::NotEstablished`],
    /// [`CallError::Limit`].
    pub fn delete_child(
        &mut self,
        now: Instant,
        handle: IkeSaHandle,
        child: ChildSaId,
    ) -> Result<(), CallError> {
        let _call = trace::call("delete_child");
        self.with_live_sa(now, handle, |sa, context| sa.delete_child(context, child, DownReason::Requested))
    }

    /// Deletes an IKE SA with its Child SAs, and the one that is on its way to take its place; [`Event::IkeSaDown`] tells when the peer has answered or was given
    /// up. One that is not established yet ends at once.
    ///
    /// # Errors
    /// [`CallError::NoSuchSa`], [`CallError::NotEstablished`] where it is being closed already.
    pub fn delete_ike_sa(&mut self, now: Instant, handle: IkeSaHandle) -> Result<(), CallError> {
        let _call = trace::call("delete_ike_sa");
        self.shell.advance(now);
        let deleted = self.with_sa(handle, IkeSa::delete).unwrap_or(Err(CallError::NoSuchSa));
        self.end_renewal_of(handle);
        deleted
    }

    /// Asks the peer whether it is there (RFC 7296 §2.4); [`Event::PeerAlive`] or [`Event::IkeSaDown`] tells.
    ///
    /// # Errors
    /// [`CallError::NoSuchSa`], [`CallError::NotEstablished`], [`CallError::Limit`].
    pub fn check_liveness(&mut self, now: Instant, handle: IkeSaHandle) -> Result<(), CallError> {
        let _call = trace::call("check_liveness");
        self.with_live_sa(now, handle, |sa, context| sa.request(context, Task::Liveness))
    }

    /// Moves an IKE SA that we began, with its Child SAs, to another pair of addresses (MOBIKE, RFC 4555 §3.5):
    /// [`Event::Moved`] tells when the peer has agreed, [`Event::MoveFailed`] that it does not. What waits for an answer
    /// is sent by the new path at once. A move while another one is under way takes its place.
    ///
    /// # Errors
    /// [`CallError::NoSuchSa`], [`CallError::NotEstablished`], [`CallError::NotMovable`], [`CallError::BadPath`],
    /// [`CallError::Limit`].
    pub fn move_ike_sa(&mut self, now: Instant, handle: IkeSaHandle, path: Path) -> Result<(), CallError> {
        let _call = trace::call("move_ike_sa");
        self.with_live_sa(now, handle, |sa, context| sa.move_at_wish(context, path))
    }

    /// Our addresses are these from now on; those of each version of IP in order of preference. Tell it before the first
    /// [`Endpoint::connect`], and whenever they change.
    ///
    /// Every IKE SA with MOBIKE tells its peer those that it does not use (RFC 4555 §3.6), and one whose address is gone
    /// moves: where we began, with the peer's consent; where the peer did, it is told from another address, and decides.
    /// They are also the paths that are tried where one has died (§3.10). Costs a look at every IKE SA.
    ///
    /// # Errors
    /// [`CallError::Limit`] while the events are full.
    pub fn set_local_addresses(&mut self, now: Instant, addresses: &[IpAddr]) -> Result<(), CallError> {
        let _call = trace::call("set_local_addresses");
        self.shell.advance(now);
        self.shell.check_events()?;
        let changed = self.shell.with_protocol(|ike, _| {
            let changed = ike.local_addresses != addresses;
            ike.local_addresses = addresses.to_vec();
            changed
        });
        let handles: Vec<_> =
            self.shell.sas().filter(|(_, sa)| sa.mobike.is_some()).map(|(h, _)| h).collect();
        for handle in handles.into_iter().filter(|_| changed) {
            self.with_sa(handle, IkeSa::on_local_addresses);
        }
        Ok(())
    }

    /// Answers what an event asked for, once.
    ///
    /// # Errors
    /// [`CallError::NoSuchTicket`] where it was answered, came too late, or its IKE SA is gone;
    /// [`CallError::WrongAnswer`] where it waits for another kind of answer.
    pub fn answer(&mut self, now: Instant, ticket: Ticket, answer: Answer) -> Result<(), CallError> {
        let _call = trace::call("answer");
        self.shell.advance(now);
        self.with_sa(ticket.sa, |sa, context| sa.resume(context, ticket, answer))
            .unwrap_or(Err(CallError::NoSuchTicket))
    }

    /// What the data path reports.
    ///
    /// # Errors
    /// [`CallError::NoSuchChild`] where the Child SA is gone, [`CallError::NoSuchPolicy`] where no
    /// connection serves the policy of an acquire, [`CallError::NotByTraffic`], [`CallError::Limit`].
    pub fn handle_report(&mut self, now: Instant, report: &SaReport) -> Result<(), CallError> {
        let _call = trace::call("handle_report");
        match *report {
            SaReport::SoftExpired { id, reason, .. } => self.with_child(now, id, |sa, context| {
                context.event(Event::ChildSaExpiring { sa: sa.handle, id, reason });
                if sa.child(id).is_some_and(|child| child.config.rekey) {
                    rekey(sa, context, id)
                } else {
                    Ok(())
                }
            }),
            SaReport::HardExpired { id, reason, .. } => self
                .with_child(now, id, |sa, context| sa.delete_child(context, id, DownReason::Expired(reason))),
            SaReport::LastInbound { id, at } => self.with_child(now, id, |sa, context| {
                sa.heard_at = sa.heard_at.max(at.min(context.now));
                sa.on_child_used(context, id);
                Ok(())
            }),
            SaReport::PeerMoved { id, path } => self.with_child(now, id, |sa, context| {
                sa.heard_at = context.now;
                sa.follow(context, path);
                Ok(())
            }),
            SaReport::Acquire { policy, packet } => self.acquire(now, policy, packet),
            // Nothing to do for IKE: a hint that anyone can send (RFC 7296 §1.5).
            _ => Ok(()),
        }
    }

    fn with_child(
        &mut self,
        now: Instant,
        id: ChildSaId,
        act: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let owner = self.shell.protocol().names.owner(id).ok_or(CallError::NoSuchChild)?;
        self.with_live_sa(now, owner, act)
    }

    /// A policy has traffic and no Child SA: one is asked for on an established IKE SA of its connection, or the
    /// connection is begun with it.
    fn acquire(&mut self, now: Instant, policy: PolicyId, packet: PacketSelectors) -> Result<(), CallError> {
        self.shell.advance(now);
        self.shell.check_events()?;
        match self.shell.protocol().policies.serving(policy) {
            Some(handle) => {
                let child = self.shell.sa(handle).and_then(|sa| sa.connection.child_of(policy));
                if child.is_some_and(|child| child.lifecycle.start == Start::OnDemand) {
                    return Err(CallError::NotByTraffic);
                }
                self.create_for(handle, policy, Some(packet))
            }
            None => self.acquire_connection(policy, packet),
        }
    }

    /// Asks for the Child SA of a policy, unless it is asked for already.
    pub(super) fn create_for(
        &mut self,
        handle: IkeSaHandle,
        policy: PolicyId,
        packet: Option<PacketSelectors>,
    ) -> Result<(), CallError> {
        if self.shell.sa(handle).is_some_and(|sa| sa.is_asked_for(policy)) {
            return Ok(());
        }
        self.create_another(handle, policy, packet)
    }

    /// Asks for the Child SA of a policy, though there may be others.
    pub(super) fn create_another(
        &mut self,
        handle: IkeSaHandle,
        policy: PolicyId,
        packet: Option<PacketSelectors>,
    ) -> Result<(), CallError> {
        let now = self.shell.now();
        self.with_live_sa(now, handle, |sa, context| {
            let config = sa.connection.child_of(policy).cloned().ok_or(CallError::NoSuchPolicy)?;
            let config = sa.for_inner_addresses(config).ok_or(CallError::NoSuchPolicy)?;
            create(sa, context, config, packet)
        })
    }

    /// Begins to delete every IKE SA, for an orderly end. Those that are not established end at once, and nothing
    /// begins by itself any more before [`Endpoint::start`].
    pub fn shut_down(&mut self, now: Instant) {
        let _call = trace::call("shut_down");
        let now = self.shell.advance(now);
        self.end_lives();
        let handles: Vec<_> = self.shell.sas().map(|(handle, _)| handle).collect();
        for handle in handles {
            // What is closing already needs nothing.
            let _ = self.delete_ike_sa(now, handle);
        }
    }
}

fn rekey(sa: &mut IkeSa, context: &mut Context<'_>, id: ChildSaId) -> Result<(), CallError> {
    let child = sa.child(id).ok_or(CallError::NoSuchChild)?;
    if child.deleting.is_some() || child.replaced || sa.is_rekeying(id) {
        return Ok(());
    }
    sa.request(context, Task::RekeyChild { id, tries: 0 })
}

fn create(
    sa: &mut IkeSa,
    context: &mut Context<'_>,
    config: Arc<ChildConfig>,
    packet: Option<PacketSelectors>,
) -> Result<(), CallError> {
    if sa.child_count() >= context.config.max_children {
        return Err(CallError::Limit(Bound::Children));
    }
    sa.request(context, Task::CreateChild { config, packet, tries: 0 })
}
