//! IKE SAs that go on in another endpoint: out of one in a sealed container, and into another.

use super::Endpoint;
use crate::error::{CallError, MoveError, Unsettled};
use crate::event::IkeSaHandle;
use crate::sa::IkeSa;
use crate::sa::moving::{LAST_NAME, read_identities};
use crate::saved::{Restoring, Saving};
use crate::trace;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use ipsec_crypto::state::{self, StateError, StateKey, StateKind, StateReader, StateWriter};
use ipsec_types::Instant;
use ipsec_types::sa::ChildSaId;

/// Of what is inside of the container.
const VERSION: u8 = 1;

/// Half of the [name](state::name_of) of a container: enough that no two are the same.
type Name = [u8; 16];

/// The newest containers that were imported.
#[derive(Debug, Default)]
pub(super) struct Imports {
    in_order: VecDeque<Name>,
    known: BTreeSet<Name>,
}

impl Imports {
    fn remember(&mut self, name: Name, most: usize) {
        while self.in_order.len() >= most.max(1) {
            if let Some(oldest) = self.in_order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        self.in_order.push_back(name);
        self.known.insert(name);
    }
}

impl Endpoint {
    /// Takes an IKE SA with its Child SAs out of this endpoint, so that another one goes on with it, as that of an upgraded
    /// process. Here it is gone at once, without an event and without a word to the peer; datagrams for it are for an SPI
    /// that nobody has. What [`Endpoint::poll_transmit`] still gives is to be sent.
    ///
    /// The container has what it is now: keys, SPIs, roles, algorithms, Message IDs, the answers that the peer may ask for
    /// again, generations that still answer, addresses, the identities that were authenticated, timers, and its Child SAs
    /// but for their keys: their ESP SAs move by the engine's own containers. No secret is in it that an authentication or
    /// a key exchange started from. It is sealed by `key`.
    ///
    /// An IKE SA moves when it stands still. Where something is under way, ask again later: requests are answered or given
    /// up in a bounded time.
    ///
    /// # Errors
    /// [`MoveError::Unsettled`]; [`MoveError::Call`] with [`CallError::NoSuchSa`] or [`CallError::NotEstablished`];
    /// [`MoveError::State`]. Nothing has changed then.
    pub fn export(
        &mut self,
        now: Instant,
        handle: IkeSaHandle,
        key: &StateKey,
    ) -> Result<Vec<u8>, MoveError> {
        let _call = trace::call("export");
        let now = self.shell.advance(now);
        let sa = self.shell.sa(handle).filter(|sa| !sa.has_ended()).ok_or(CallError::NoSuchSa)?;
        if !sa.is_established() {
            return Err(CallError::NotEstablished.into());
        }
        if self.is_renewal(handle) {
            return Err(Unsettled::Renewal.into());
        }
        sa.check_settled()?;
        let mut w = Saving { writer: StateWriter::new(), now };
        w.put_u8(VERSION);
        w.put_u64(self.shell.protocol().names.last().0);
        sa.save(&mut w)?;
        let sealed = key.seal(StateKind::IKE_SA, w.as_slice())?;
        let connection = Arc::clone(&sa.connection);
        let children: Vec<_> = sa.children.iter().map(|child| child.sa.id).collect();
        self.with_sa(handle, IkeSa::depart);
        self.leave_life(handle, &connection.name, &children);
        Ok(sealed)
    }

    /// Takes in an IKE SA that another endpoint gave away by [`Endpoint::export`].
    /// [`Event::IkeSaImported`](crate::Event::IkeSaImported) tells of it. The peer notices nothing: it goes on where it
    /// was, by the connection of the same name here, whose configuration counts from now on. Timers go on;
    /// `since_export` is the time that passed in between, as far as it is known.
    ///
    /// Child SAs keep their names, so that ESP SAs that move with them fit. Where those did not move, their keys are gone:
    /// [`Endpoint::rekey_child`] brings others, and commands about the old ones can be ignored.
    ///
    /// Import before [`Endpoint::start`], so that what is there is not begun once more, and before the first datagram, so
    /// that no other Child SA has the name of one that comes.
    ///
    /// A container is taken once. This endpoint knows of the newest
    /// [`EndpointConfig::max_remembered_imports`](crate::EndpointConfig::max_remembered_imports) that it took; of those
    /// that another one took, it can't know: two endpoints that go on with one IKE SA would use one key for different
    /// messages under the same numbers, which breaks its cipher. So the embedder gives each container to one.
    ///
    /// # Errors
    /// [`MoveError`] says what does not fit. Nothing has changed then.
    pub fn import(
        &mut self,
        now: Instant,
        key: &StateKey,
        sealed: &[u8],
        since_export: Duration,
    ) -> Result<IkeSaHandle, MoveError> {
        let _call = trace::call("import");
        let now = self.shell.advance(now);
        let state = key.open(StateKind::IKE_SA, sealed)?;
        let name = state::name_of(sealed).and_then(|name| name.first_chunk().copied()).unwrap_or_default();
        if self.imports.known.contains(&name) {
            return Err(MoveError::AlreadyImported);
        }
        let mut reader = StateReader::new(state.as_slice());
        let version = reader.u8()?;
        if version != VERSION {
            return Err(StateError::Version(version).into());
        }
        let at = reader.at();
        let last = ChildSaId(reader.u64()?);
        if last.0 >= LAST_NAME {
            return Err(StateError::Value { at, what: "name of a Child SA" }.into());
        }
        let at = reader.at();
        let connection = String::from_utf8(reader.octets()?.to_vec());
        let connection = connection.map_err(|_| StateError::Value { at, what: "name" })?;
        let Some(connection) = self.shell.protocol().connection(&connection).cloned() else {
            return Err(MoveError::NoSuchConnection(connection));
        };
        let (local_id, peer_id) = read_identities(&mut reader)?;
        let is_peer = peer_id.as_ref().is_none_or(|peer| connection.remote_id.matches(peer));
        if !local_id.is_same(&connection.local_id) || !is_peer {
            return Err(MoveError::Identities(connection.name.clone()));
        }
        let crypto = self.shell.config().crypto;
        let adopted = self.follow(|shell| {
            shell.adopt(|ike, services, handle| {
                let since = since_export;
                let mut r = Restoring { reader, now, since, crypto, connection: &connection };
                let mut sa = IkeSa::restore(&mut r, handle, &connection, peer_id)?;
                r.reader.finish()?;
                sa.arrive(&mut ike.context(services))?;
                ike.names.skip(last);
                ike.policies.set(handle, &connection.children, true);
                Ok::<_, MoveError>(sa)
            })
        });
        let handle = adopted?;
        let most = self.shell.config().max_remembered_imports;
        self.imports.remember(name, most);
        Ok(handle)
    }
}
