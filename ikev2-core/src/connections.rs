//! Which connections a call or a peer may mean, found without looking at all of them: by name, by the addresses of a
//! path, by the peer's identity. A gateway may have thousands, and anyone can send it first messages.

use crate::config::Connection;
use crate::identity::{Identity, IdentityPattern};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;
use core::net::IpAddr;
use ikev2_wire::codes::IdType;
use ipsec_types::Path;

/// A connection, and its place in the order of preference.
#[derive(Clone, Debug)]
struct Entry {
    place: usize,
    connection: Arc<Connection>,
}

/// The connections to one address, or to any. Each list is in the order of preference.
#[derive(Debug, Default)]
struct ToAddress {
    all: Vec<Entry>,
    /// Those that IKE_SA_INIT can be answered by: of several with one local address and the same proposals none but
    /// the first is ever chosen.
    first_of_kind: Vec<Entry>,
    /// Those that take more than one identity.
    patterns: Vec<Entry>,
}

/// The connections of a configuration.
#[derive(Debug, Default)]
pub(crate) struct ConnectionIndex {
    /// In the order of names, and of preference where names are the same.
    by_name: Vec<Arc<Connection>>,
    by_remote: BTreeMap<Option<IpAddr>, ToAddress>,
    by_identity: BTreeMap<Identity, Vec<Entry>>,
}

impl ConnectionIndex {
    pub(crate) fn new(connections: &[Arc<Connection>]) -> Self {
        let mut index = Self { by_name: connections.to_vec(), ..Self::default() };
        index.by_name.sort_by(|a, b| a.name.cmp(&b.name));
        for (place, connection) in connections.iter().enumerate() {
            let entry = Entry { place, connection: Arc::clone(connection) };
            let to_address = index.by_remote.entry(connection.remote_address).or_default();
            to_address.all.push(entry.clone());
            if !to_address.first_of_kind.iter().any(|first| is_same_kind(&first.connection, connection)) {
                to_address.first_of_kind.push(entry.clone());
            }
            match &connection.remote_id {
                IdentityPattern::Exactly(peer) => {
                    index.by_identity.entry(folded(peer)).or_default().push(entry);
                }
                _ => to_address.patterns.push(entry),
            }
        }
        index
    }

    /// The first of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Connection>> {
        let at = self.by_name.partition_point(|connection| connection.name.as_str() < name);
        self.by_name.get(at).filter(|connection| connection.name == name)
    }

    /// Those of this path.
    pub(crate) fn of_path<'i>(&'i self, path: &'i Path) -> impl Iterator<Item = &'i Arc<Connection>> {
        self.to_addresses(path, |to_address| &to_address.all)
    }

    /// Those that may answer a first IKE_SA_INIT request on this path.
    pub(crate) fn answering<'i>(&'i self, path: &'i Path) -> impl Iterator<Item = &'i Arc<Connection>> {
        self.to_addresses(path, |to_address| &to_address.first_of_kind)
    }

    /// Those of this path that take this peer, those that name it first.
    pub(crate) fn taking<'i>(
        &'i self,
        path: &'i Path,
        peer: &'i Identity,
    ) -> impl Iterator<Item = &'i Arc<Connection>> {
        let exact = self.by_identity.get(&folded(peer)).map_or(&[][..], Vec::as_slice);
        let exact = exact.iter().map(|entry| &entry.connection).filter(|c| c.matches_path(path));
        let patterns = self.to_addresses(path, |to_address| &to_address.patterns);
        exact.chain(patterns.filter(|connection| connection.remote_id.matches(peer)))
    }

    /// The lists of the path's remote address and of any address, as one.
    fn to_addresses<'i>(
        &'i self,
        path: &'i Path,
        list: fn(&ToAddress) -> &Vec<Entry>,
    ) -> impl Iterator<Item = &'i Arc<Connection>> {
        let of = |address| self.by_remote.get(&address).map_or(&[][..], |to_address| list(to_address));
        let mut to_it = of(Some(path.remote_ip())).iter().peekable();
        let mut to_any = of(None).iter().peekable();
        let merged = iter::from_fn(move || match (to_it.peek(), to_any.peek()) {
            (Some(it), Some(any)) if any.place < it.place => to_any.next(),
            (None, _) => to_any.next(),
            _ => to_it.next(),
        });
        merged.map(|entry| &entry.connection).filter(|connection| connection.matches_path(path))
    }
}

fn is_same_kind(a: &Connection, b: &Connection) -> bool {
    a.local_address == b.local_address && a.ike_proposals == b.ike_proposals
}

/// One form for all identities that are the same ([`Identity::is_same`]).
fn folded(identity: &Identity) -> Identity {
    let mut folded = identity.clone();
    if matches!(identity.ty, IdType::FQDN | IdType::RFC822_ADDR) {
        folded.data.make_ascii_lowercase();
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use ipsec_types::SecretBytes;

    fn connection(name: &str, peer: &str, change: impl FnOnce(&mut Connection)) -> Arc<Connection> {
        let secret = SecretBytes::copy_from(b"secret");
        let (us, peer) = ("us".parse().unwrap(), peer.parse().unwrap());
        let mut connection = Connection::with_shared_key(name, us, peer, secret);
        change(&mut connection);
        Arc::new(connection)
    }

    fn path(remote: &str) -> Path {
        Path::ike("192.0.2.1:500".parse().unwrap(), remote.parse().unwrap())
    }

    fn names<'i>(found: impl Iterator<Item = &'i Arc<Connection>>) -> Vec<String> {
        found.map(|connection| connection.name.clone()).collect()
    }

    /// Against what is said of connections in plain words, for every path and peer.
    #[test]
    fn it_finds_what_a_look_at_all_finds() {
        let address = |text: &str| Some(text.parse().unwrap());
        let weak = || Vec::from(["aes128-weak:sha1-modp2048".parse().unwrap()]);
        let connections = [
            connection("b", "*", |c| c.remote_address = address("10.0.0.2")),
            connection("a", "a.example", |c| c.local_address = address("192.0.2.1")),
            connection("a", "A.example", |c| c.ike_proposals = weak()),
            connection("c", "*.example", |c| c.remote_address = address("10.0.0.1")),
            connection("d", "10.0.0.1", |c| c.local_address = address("192.0.2.9")),
            connection("e", "*", |_| {}),
            connection("f", "keyid:41", |c| c.remote_address = address("10.0.0.1")),
            connection("g", "*@a.example", |_| {}),
        ];
        let index = ConnectionIndex::new(&connections);
        for name in ["", "a", "b", "bb", "g", "h"] {
            let found = connections.iter().find(|connection| connection.name == name);
            assert_eq!(index.named(name).map(Arc::as_ptr), found.map(Arc::as_ptr), "{name}");
        }
        let pointers = |found: &mut dyn Iterator<Item = &Arc<Connection>>| -> Vec<*const Connection> {
            found.map(Arc::as_ptr).collect()
        };
        for path in ["10.0.0.1:500", "10.0.0.2:500", "[2001:db8::1]:500"].map(path) {
            let on_path = || connections.iter().filter(|connection| connection.matches_path(&path));
            assert_eq!(pointers(&mut index.of_path(&path)), pointers(&mut on_path()), "{path}");
            for proposals in connections.iter().map(|connection| &connection.ike_proposals) {
                let chosen = |c: &&Arc<Connection>| c.ike_proposals == *proposals;
                let found = index.answering(&path).find(chosen).map(Arc::as_ptr);
                assert_eq!(found, on_path().find(chosen).map(Arc::as_ptr), "{path}");
            }
            for peer in ["a.example", "x.A.example", "10.0.0.1", "keyid:41", "keyid:61", "u@a.example"] {
                let peer: Identity = peer.parse().unwrap();
                let mut all: Vec<_> = on_path().filter(|c| c.remote_id.matches(&peer)).collect();
                let mut found: Vec<_> = index.taking(&path, &peer).collect();
                let closest = |list: &[&Arc<Connection>]| {
                    list.iter().min_by_key(|c| c.remote_id.looseness()).map(|c| Arc::as_ptr(c))
                };
                assert_eq!(closest(&found), closest(&all), "{path} {peer}");
                all.sort_by_key(|c| Arc::as_ptr(c));
                found.sort_by_key(|c| Arc::as_ptr(c));
                assert_eq!(pointers(&mut found.into_iter()), pointers(&mut all.into_iter()), "{path} {peer}");
            }
        }
    }

    /// Among ten thousand peers one is found without a look at the others, and so is that there is none.
    #[test]
    fn it_looks_at_few_of_many() {
        let connections: Vec<_> = (0..10_000)
            .map(|n: u32| connection(&n.to_string(), &format!("{n}.example"), |_| {}))
            .chain((0..10_000).map(|n: u32| {
                let address = IpAddr::from((0x0A00_0000 + n).to_be_bytes());
                connection(&format!("to {address}"), "*", |c| c.remote_address = Some(address))
            }))
            .collect();
        let index = ConnectionIndex::new(&connections);
        let (known, unknown) = (path("10.0.0.7:500"), path("198.51.100.1:500"));
        assert_eq!(names(index.answering(&known)), ["0", "to 10.0.0.7"]);
        assert_eq!(names(index.answering(&unknown)), ["0"]);
        let (peer, stranger) = ("77.EXAMPLE".parse().unwrap(), "x.example".parse().unwrap());
        assert_eq!(names(index.taking(&known, &peer)), ["77", "to 10.0.0.7"]);
        assert_eq!(names(index.taking(&unknown, &peer)), ["77"]);
        assert_eq!(names(index.taking(&unknown, &stranger)), [""; 0]);
    }
}
