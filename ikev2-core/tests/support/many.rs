//! One endpoint with many peers, each an endpoint of its own: what a gateway is.

use super::setup::*;
use super::tickets::{sign_now, verify_now};
use ikev2_core::{Connection, Endpoint, EndpointConfig, Event, IkeSaHandle, IkeSaInfo, Role};
use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
use ipsec_types::{Instant, Path};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// How both ends prove who they are.
#[derive(Clone, Debug)]
pub enum Proof {
    SharedKey,
    /// By this key at either end, which the other has pinned; with a certificate of so many octets sent along.
    Signature(Arc<PrivateKey>, usize),
}

/// The endpoint in the middle.
#[derive(Debug)]
pub struct Gateway {
    pub endpoint: Endpoint,
    pub now: Instant,
    pub role: Role,
    /// Does what is the peers' work, apart from the gateway's.
    pub aside: fn(&mut dyn FnMut()),
    proof: Proof,
    ups: Vec<IkeSaHandle>,
    octets: Vec<u8>,
}

/// One of its peers.
#[derive(Debug)]
pub struct Peer {
    pub endpoint: Endpoint,
    pub number: u32,
    /// Of the gateway.
    pub sa: IkeSaHandle,
}

fn name(number: u32) -> String {
    format!("peer-{number}.clients.example")
}

const GATEWAY: &str = "gateway.example";

fn proven(mut setup: Setup, proof: &Proof) -> Setup {
    if let Proof::Signature(key, certificate) = proof {
        sign_now(&mut setup, key);
        verify_now(&mut setup, key);
        if let ikev2_core::LocalAuth::Signature(identity) = &mut setup.connection.local_auth {
            identity.certificates = vec![vec![0x30; *certificate]];
        }
    }
    setup
}

/// The gateway's end of the path to a peer.
pub fn path(number: u32) -> Path {
    let peer = Ipv4Addr::from(0x0A00_0000 + number);
    Path::ike("192.0.2.1:500".parse().unwrap(), SocketAddr::new(peer.into(), 500))
}

fn reversed(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, ..path }
}

impl Gateway {
    /// One for so many peers: as responder with one connection for all, as initiator with one for each, whose policy
    /// has the peer's number.
    pub fn new(role: Role, proof: Proof, peers: u32, change: impl FnOnce(&mut EndpointConfig)) -> Self {
        let connection = |name: &str, peer: &str, policy: u32| -> Connection {
            let mut setup = proven(Setup::new(GATEWAY, GATEWAY), &proof);
            setup.connection.name = name.to_string();
            setup.connection.remote_id = peer.parse().unwrap();
            setup.connection.children = vec![child(policy.into(), "first", &["0.0.0.0/0"], &["0.0.0.0/0"])];
            setup.connection
        };
        let mut config = EndpointConfig::new(&RUSTCRYPTO);
        // All of them come at once.
        config.max_operations_per_second = u32::MAX;
        config.connections = match role {
            Role::Responder => vec![Arc::new(connection("clients", "*.clients.example", 0))],
            Role::Initiator => (0..peers).map(|n| Arc::new(connection(&name(n), &name(n), n))).collect(),
        };
        change(&mut config);
        let endpoint = Endpoint::new(Arc::new(config), seeded(7));
        let now = Instant::from_millis(1_000);
        let (ups, octets) = (Vec::with_capacity(8), Vec::with_capacity(65_535));
        Self { endpoint, now, role, aside: |act| act(), proof, ups, octets }
    }

    /// A peer with an established IKE SA and a Child SA.
    pub fn establish(&mut self, number: u32) -> Peer {
        let (now, aside, mut made) = (self.now, self.aside, None);
        aside(&mut || {
            let setup = proven(Setup::new(&name(number), GATEWAY), &self.proof);
            let mut peer = Endpoint::new(setup.finish(), seeded(1_000 + u64::from(number)));
            if self.role == Role::Responder {
                peer.connect(now, "tunnel", reversed(path(number))).unwrap();
            }
            made = Some(peer);
        });
        let mut endpoint = made.unwrap();
        if self.role == Role::Initiator {
            self.endpoint.connect(now, &name(number), path(number)).unwrap();
        }
        self.ups.clear();
        self.run(&mut endpoint, number);
        assert_eq!(self.ups.len(), 1);
        let sa = self.ups[0];
        assert_eq!(self.endpoint.child_sas(sa).count(), 1);
        Peer { endpoint, number, sa }
    }

    /// Carries datagrams between the two until there are none. What is for other peers is lost.
    pub fn run(&mut self, peer: &mut Endpoint, number: u32) {
        let (now, aside) = (self.now, self.aside);
        loop {
            while let Some(event) = self.endpoint.poll_event() {
                if let Event::IkeSaUp { sa, .. } = event {
                    self.ups.push(sa);
                }
            }
            let octets = &mut self.octets;
            octets.clear();
            let mut idle = true;
            while let Some(transmit) = self.endpoint.poll_transmit() {
                if transmit.path == path(number) {
                    idle = false;
                    aside(&mut || {
                        peer.handle_datagram(now, reversed(path(number)), &transmit.datagram).unwrap();
                    });
                }
            }
            aside(&mut || {
                while peer.poll_event().is_some() {}
                if let Some(transmit) = peer.poll_transmit() {
                    octets.extend_from_slice(&transmit.datagram);
                }
            });
            if !octets.is_empty() {
                self.endpoint.handle_datagram(now, path(number), octets).unwrap();
            } else if idle {
                return;
            }
        }
    }

    /// The peer asks whether the gateway is there, so that the gateway keeps an answer.
    pub fn be_asked(&mut self, peer: &mut Peer) {
        let (now, aside) = (self.now, self.aside);
        aside(&mut || {
            let sa = peer.endpoint.ike_sas().next().unwrap().0;
            peer.endpoint.check_liveness(now, sa).unwrap();
        });
        self.run(&mut peer.endpoint, peer.number);
    }

    /// The peer asks for another Child SA.
    pub fn be_asked_for_a_child(&mut self, peer: &mut Peer) {
        let (now, aside) = (self.now, self.aside);
        aside(&mut || {
            let sa = peer.endpoint.ike_sas().next().unwrap().0;
            peer.endpoint.create_child(now, sa, "first").unwrap();
        });
        let before = self.endpoint.child_sas(peer.sa).count();
        self.run(&mut peer.endpoint, peer.number);
        assert_eq!(self.endpoint.child_sas(peer.sa).count(), before + 1);
    }

    pub fn info(&self, peer: &Peer) -> IkeSaInfo {
        self.endpoint.ike_sa(peer.sa).unwrap()
    }
}
