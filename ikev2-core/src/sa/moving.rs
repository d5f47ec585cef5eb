//! An IKE SA that goes on in another endpoint: what it is now, and nothing that it came from.
//!
//! It moves when it stands still. What is carried is told by the functions below, which take everything apart to the last
//! field; what is not:
//!
//! - configuration: the connection and its children, by name and policy; retransmission, fragment sizes, intervals;
//! - the keys of Child SAs, which are the data path's; SK_pi, SK_pr and everything that keys were made from;
//! - fragments of messages that are not whole, which the peer sends again;
//! - a former generation's keys for rekeys, and what crossing rekeys left: these are of exchanges under way;
//! - the IKE SA whose place it took, which is a handle of another endpoint.

use super::configure::RemoteAccess;
use super::context::Context;
use super::former::{Fate, Former};
use super::generation::Generation;
use super::later::Later;
use super::mobike::Mobike;
use super::reauthenticate::Authentication;
use super::{Child, Established, IkeSa, Purpose, Stage, Task};
use crate::error::{Bound, CallError, MoveError, Unsettled};
use crate::establish::secrets::IkeAlgorithms;
use crate::event::{Event, IkeSaHandle, NatStatus, Role};
use crate::exchange::exchanges::Exchanges;
use crate::identity::Identity;
use crate::negotiation::AdditionalExchanges;
use crate::redirect::Redirected;
use crate::saved::{Restoring, Saving};
use crate::stats::count;
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ikev2_wire::codes::{ExchangeType, IdType, KeMethod, PrfId};
use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::sa::{ChildSaId, PolicyId};
use ipsec_types::{IkeSpi, SecretBytes};

/// Names of Child SAs are given out in order: whatever comes from elsewhere, there are some left.
pub(crate) const LAST_NAME: u64 = 1 << 63;

impl IkeSa {
    /// Whether it stands still.
    ///
    /// # Errors
    /// [`Unsettled`] says what it has under way.
    pub(crate) fn check_settled(&self) -> Result<(), Unsettled> {
        if self.suspended.is_some() {
            return Err(Unsettled::Ticket);
        }
        if let Some(purpose) = self.purposes().next() {
            return Err(Unsettled::RequestOut(purpose.exchange()));
        }
        if !self.peers_series.is_empty() {
            return Err(Unsettled::KeyExchanges);
        }
        if self.hangs_on_rekey {
            return Err(Unsettled::RequestOut(ExchangeType::CREATE_CHILD_SA));
        }
        if self.authentication.renewing {
            return Err(Unsettled::Renewal);
        }
        let put_off = |later: &Later| put_off_as(&later.task).is_some();
        let deletes = self.children.iter().any(|child| child.deleting.is_some())
            || self.former.iter().any(|former| matches!(former.fate, Fate::ToDelete | Fate::Deleting));
        let moves = self.mobike.as_ref().is_some_and(|mobike| mobike.has_wishes());
        if moves || !self.queue.is_empty() || deletes || !self.later.iter().all(put_off) {
            return Err(Unsettled::RequestWaits);
        }
        Ok(())
    }

    /// Writes it down. It stands still.
    ///
    /// # Errors
    /// [`CallError::NotEstablished`].
    pub(crate) fn save(&self, w: &mut Saving) -> Result<(), CallError> {
        let Self {
            handle: _,
            origin,
            connection,
            opening: _,
            current,
            former,
            hangs_on_rekey: _,
            generation,
            moves,
            rekey_at,
            expires_at,
            authentication,
            redirected,
            path,
            first_port,
            nat,
            mobike,
            peer_id,
            eap_identity,
            access,
            held: _,
            stage,
            algorithms: _,
            queue: _,
            later,
            children,
            deleted_early: _,
            crossed: _,
            peers_series: _,
            links,
            listed: _,
            suspended: _,
            tickets: _,
            created_at,
            established_at,
            last_auth,
            heard_at,
            ike_heard_at,
            sent_at,
        } = self;
        let (Generation::Keyed(exchanges), Stage::Established(established)) = (current, stage) else {
            return Err(CallError::NotEstablished);
        };
        w.put_octets(connection.name.as_bytes());
        put_identity(w, &connection.local_id);
        w.put_option(peer_id.as_ref(), put_identity);
        w.put_u32(moves.saturating_add(1));
        w.put_bool(*origin == Role::Initiator);
        established.save(w);
        exchanges.save(w);
        w.put_each(former, |w, former| former.save(w));
        w.put_u32(*generation);
        w.put_u32(*links);
        w.put_u32(*last_auth);
        authentication.save(w);
        w.put_bool(redirected.is_some());
        if let Some(redirected) = redirected {
            redirected.save(w);
        }
        w.put_path(path);
        w.put_u16(*first_port);
        let NatStatus { local, remote } = nat;
        w.put_bool(*local);
        w.put_bool(*remote);
        w.put_option(eap_identity.as_deref(), put_identity);
        w.put_option(mobike.as_deref(), |w, mobike| mobike.save(w));
        w.put_option(access.as_deref(), |w, access| access.save(w));
        w.put_each(children, |w, child| child.save(w));
        w.put_each(later, |w, later| later.save(w));
        w.put_times([*rekey_at, *expires_at, *established_at]);
        for at in [created_at, heard_at, ike_heard_at, sent_at] {
            w.put_time(*at);
        }
        Ok(())
    }

    /// Reads what [`IkeSa::save`] wrote, from behind the identities.
    pub(crate) fn restore(
        r: &mut Restoring<'_>,
        handle: IkeSaHandle,
        connection: &Arc<crate::config::Connection>,
        peer_id: Option<Identity>,
    ) -> Result<Self, MoveError> {
        let moves = r.u32()?;
        let origin = if r.bool()? { Role::Initiator } else { Role::Responder };
        let established = Established::restore(r)?;
        let algorithms = Some(established.algorithms);
        let current = Generation::Keyed(Exchanges::restore(r)?);
        let former = r.each(Former::restore)?;
        let (generation, links, last_auth) = (r.u32()?, r.u32()?, r.u32()?);
        let authentication = Authentication::restore(r)?;
        let redirected = if r.bool()? { Some(Box::new(Redirected::restore(r)?)) } else { None };
        let at = r.at();
        let path = r.path()?;
        if !path.is_consistent() {
            return Err(r.value(at, "path to a peer"));
        }
        let first_port = r.u16()?;
        let nat = NatStatus { local: r.bool()?, remote: r.bool()? };
        let eap_identity = r.option(read_identity)?.map(Box::new);
        let mobike = r.option(Mobike::restore)?.map(Box::new);
        let restore_access = |r: &mut StateReader<'_>| {
            let whom = eap_identity.as_deref().or(peer_id.as_ref());
            RemoteAccess::restore(r, connection, whom)
        };
        let access = r.option(restore_access)?.map(Box::new);
        let mut children = r.each(Child::restore)?;
        children.shrink_to_fit();
        let later = r.each(Later::restore)?;
        let [rekey_at, expires_at, established_at] = r.times()?;
        let mut sa = Self {
            handle,
            origin,
            connection: Arc::clone(connection),
            opening: None,
            current,
            former,
            hangs_on_rekey: false,
            generation,
            moves,
            rekey_at,
            expires_at,
            authentication,
            redirected,
            path,
            first_port,
            nat,
            mobike,
            peer_id,
            eap_identity,
            access,
            held: Box::default(),
            stage: Stage::Established(established),
            algorithms,
            queue: VecDeque::new(),
            later,
            children,
            deleted_early: Vec::new(),
            crossed: Vec::new(),
            peers_series: Vec::new(),
            links,
            listed: None,
            suspended: None,
            tickets: 0,
            created_at: r.time()?,
            established_at,
            last_auth,
            heard_at: r.time()?,
            ike_heard_at: r.time()?,
            sent_at: r.time()?,
        };
        for at in 0..sa.children.len() {
            let Some(config) = sa.children.get(at).map(|child| Arc::clone(&child.config)) else { break };
            if let (Some(config), Some(child)) = (sa.for_inner_addresses(config), sa.children.get_mut(at)) {
                child.config = config;
            }
        }
        Ok(sa)
    }

    /// Takes its place among the others here, if its SPIs and the names of its Child SAs are free.
    pub(crate) fn arrive(&mut self, context: &mut Context<'_>) -> Result<(), MoveError> {
        if self.children.len() > context.config.max_children {
            return Err(CallError::Limit(Bound::Children).into());
        }
        let (mut ids, mut spis) = (BTreeSet::new(), BTreeSet::new());
        for child in &self.children {
            context.names.check_claim(child.sa.id, child.inbound)?;
            if !ids.insert(child.sa.id) {
                return Err(MoveError::ChildInUse(child.sa.id));
            }
            if !spis.insert(child.inbound) {
                return Err(MoveError::EspSpiInUse(child.inbound));
            }
        }
        let mut claimed: Vec<IkeSpi> = Vec::new();
        for spi in self.ike_spis() {
            if !context.claim_ike_spi(spi, self.handle) {
                claimed.into_iter().for_each(|spi| context.release_ike_spi(spi));
                return Err(MoveError::IkeSpiInUse(spi));
            }
            claimed.push(spi);
        }
        for child in &self.children {
            context.names.claim(child.sa.id, child.inbound, self.handle);
        }
        self.adopt_lease(context);
        if let Some(peer) = self.proven_peer().cloned() {
            self.list(context, Arc::new((self.connection.local_id.clone(), peer)));
        }
        let (sa, info) = (self.handle, Box::new(self.info()));
        let children = self.children.iter().map(Child::info).collect();
        count(&mut context.statistics.ike_sas_imported);
        context.event(Event::IkeSaImported { sa, info, children });
        Ok(())
    }

    /// It goes on elsewhere: nothing of it is left here, and nobody is told.
    pub(crate) fn depart(&mut self, context: &mut Context<'_>) {
        if let Some(pair) = self.listed.take() {
            context.peers.remove(&pair, self.handle);
        }
        for child in core::mem::take(&mut self.children) {
            context.release_spi(child.inbound);
            context.names.disown(child.sa.id);
        }
        self.leave_lease(context);
        count(&mut context.statistics.ike_sas_exported);
        self.vanish(context);
    }
}

/// The identities as they stand in front: ours, and the peer's.
pub(crate) fn read_identities(r: &mut StateReader<'_>) -> Result<(Identity, Option<Identity>), StateError> {
    Ok((read_identity(r)?, r.option(read_identity)?))
}

fn put_identity(w: &mut StateWriter, identity: &Identity) {
    let Identity { ty, data } = identity;
    w.put_u8(ty.0);
    w.put_octets(data);
}

fn read_identity(r: &mut StateReader<'_>) -> Result<Identity, StateError> {
    Ok(Identity { ty: IdType(r.u8()?), data: r.octets()?.to_vec() })
}

fn put_additional(w: &mut StateWriter, additional: AdditionalExchanges) {
    for (_, method) in additional.by_type() {
        w.put_u16(method.0);
    }
}

fn read_additional(r: &mut StateReader<'_>) -> Result<AdditionalExchanges, StateError> {
    AdditionalExchanges::try_from_types(|| r.u16().map(KeMethod))
}

impl Established {
    fn save(&self, w: &mut Saving) {
        let Self { algorithms: IkeAlgorithms { cipher, prf, ke, additional }, sk_d } = self;
        w.put_suite(cipher.suite());
        w.put_u16(prf.id().0);
        w.put_u16(ke.0);
        put_additional(w, *additional);
        w.put_octets(sk_d.as_slice());
    }

    fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let cipher = r.cipher()?;
        let prf = PrfId(r.u16()?);
        let prf = r.crypto.prf(prf).ok_or_else(|| MoveError::Algorithm(prf.to_string()))?;
        let ke = KeMethod(r.u16()?);
        let additional = read_additional(r)?;
        let at = r.at();
        let sk_d = SecretBytes::copy_from(r.octets()?);
        if sk_d.len() != prf.key_len() {
            return Err(r.value(at, "SK_d of this PRF"));
        }
        Ok(Self { algorithms: IkeAlgorithms { cipher, prf, ke, additional }, sk_d })
    }
}

impl Former {
    fn save(&self, w: &mut Saving) {
        let Self { exchanges, established: _, fate, crossed: _ } = self;
        exchanges.save(w);
        let (is_over, at) = match fate {
            Fate::PeerDeletes(by) => (false, Some(*by)),
            Fate::Over(until) => (true, Some(*until)),
            // These have a request out, or are about to.
            Fate::ToDelete | Fate::Deleting => (false, None),
        };
        w.put_bool(is_over);
        w.put_time(at.unwrap_or(w.now));
    }

    fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let exchanges: Exchanges<Purpose> = Exchanges::restore(r)?;
        let fate = if r.bool()? { Fate::Over } else { Fate::PeerDeletes };
        let at = r.time()?;
        Ok(Self::new(exchanges, None, fate(at)))
    }
}

impl Child {
    fn save(&self, w: &mut Saving) {
        let Self {
            sa,
            ke,
            additional,
            narrowed,
            inbound,
            outbound,
            outbound_gone,
            deleting: _,
            config: _,
            awaits,
            replaced,
            rival_nonce: _,
        } = self;
        w.put_child_sa(sa);
        w.put_option(*ke, |w, ke| w.put_u16(ke.0));
        put_additional(w, *additional);
        w.put_bool(*narrowed);
        w.put_esp_spi(*inbound);
        w.put_esp_spi(*outbound);
        w.put_bool(*outbound_gone);
        w.put_option(*awaits, |w, id| w.put_u64(id.0));
        w.put_bool(*replaced);
    }

    fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let at = r.at();
        let sa = r.child_sa()?;
        if sa.id.0 >= LAST_NAME {
            return Err(r.value(at, "name of a Child SA"));
        }
        let config = child_config(r, sa.policy)?;
        Ok(Self {
            sa: Arc::new(sa),
            ke: r.option(StateReader::u16)?.map(KeMethod),
            additional: read_additional(r)?,
            narrowed: r.bool()?,
            inbound: r.esp_spi()?,
            outbound: r.esp_spi()?,
            outbound_gone: r.bool()?,
            deleting: None,
            config,
            awaits: r.option(StateReader::u64)?.map(ChildSaId),
            replaced: r.bool()?,
            rival_nonce: None,
        })
    }
}

fn child_config(r: &Restoring<'_>, policy: PolicyId) -> Result<Arc<crate::config::ChildConfig>, MoveError> {
    let found = r.connection.child_of(policy).cloned();
    found.ok_or_else(|| MoveError::NoSuchChild { connection: r.connection.name.clone(), policy })
}

/// What may be put off, by number; `None` for what is done at once.
fn put_off_as(task: &Task) -> Option<u8> {
    match task {
        Task::CreateChild { .. } => Some(1),
        Task::RekeyChild { .. } => Some(2),
        Task::RekeyIke { .. } => Some(3),
        Task::DeleteChildren(_)
        | Task::DeleteUnused(_)
        | Task::DeleteIke
        | Task::FollowUp(_)
        | Task::RefuseAuthentication
        | Task::Liveness
        | Task::Mobike => None,
    }
}

impl Later {
    fn save(&self, w: &mut Saving) {
        let Self { at, task } = self;
        w.put_time(*at);
        w.put_u8(put_off_as(task).unwrap_or(0));
        let tries = match task {
            Task::CreateChild { config, packet, tries } => {
                w.put_u64(config.policy.0);
                w.put_option(packet.as_ref(), StateWriter::put_packet_selectors);
                tries
            }
            Task::RekeyChild { id, tries } => {
                w.put_u64(id.0);
                tries
            }
            Task::RekeyIke { tries } => tries,
            _ => &0,
        };
        w.put_u32(*tries);
    }

    fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let time = r.time()?;
        let at = r.at();
        let task = match r.u8()? {
            1 => {
                let policy = PolicyId(r.u64()?);
                let (config, packet) = (child_config(r, policy)?, r.option(StateReader::packet_selectors)?);
                Task::CreateChild { config, packet, tries: r.u32()? }
            }
            2 => Task::RekeyChild { id: ChildSaId(r.u64()?), tries: r.u32()? },
            3 => Task::RekeyIke { tries: r.u32()? },
            _ => return Err(r.value(at, "request that was put off")),
        };
        Ok(Self { at: time, task })
    }
}
