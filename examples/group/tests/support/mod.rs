//! Nodes on one network. What is sent waits until a test delivers, loses or repeats it.
#![allow(unreachable_pub, reason = "a module of a test")]

use ikev2_core::exchange::one_way::OneWayId;
use ikev2_core::exchange::retransmit::RetransmitPolicy;
use ikev2_core::{
    EndpointConfig, FragmentPolicy, Handled, IkeSaHandle, LocalAuth, Rejection, RemoteAuth, SharedKeys,
    Signer, SigningIdentity, Transmit, TrustedKeys,
};
use ikev2_group_example::wire::{GROUP_NEWS, Keys};
use ikev2_group_example::{Event, Group, Node, Settings};
use ikev2_wire::{EncrId, IkeSpi, IntegId};
use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
use ipsec_crypto::signature::SigningKey;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{Instant, Path, SecretBytes};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// The controller is the first node.
pub const CONTROLLER: usize = 0;
/// Where all members listen.
pub const GROUP: &str = "239.1.2.3:848";

pub fn secret(text: &str) -> (LocalAuth, RemoteAuth) {
    let keys = SharedKeys::One(SecretBytes::copy_from(text.as_bytes()));
    (LocalAuth::SharedKey(keys.clone()), RemoteAuth::SharedKey(keys))
}

pub fn signature(ours: &Arc<PrivateKey>, theirs: &Arc<PrivateKey>) -> (LocalAuth, RemoteAuth) {
    let signer = Signer::Key(Arc::clone(ours) as Arc<dyn SigningKey>);
    let trusted = TrustedKeys::Pinned(vec![theirs.public_key().clone()]);
    let identity = SigningIdentity { certificates: Vec::new(), signer };
    (LocalAuth::Signature(identity), RemoteAuth::Signature(trusted))
}

pub fn settings(name: &str, (local_auth, remote_auth): (LocalAuth, RemoteAuth)) -> Settings {
    let suite = CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(128), integ: IntegId::NONE };
    Settings {
        name: name.to_string(),
        group: "a group".to_string(),
        identity: name.parse().unwrap(),
        local_auth,
        remote_auth,
        proposals: vec!["aes128gcm16-prfsha256-x25519-ecp256".parse().unwrap()],
        retransmit: RetransmitPolicy::default(),
        fragmentation: Some(FragmentPolicy::default()),
        cipher: RUSTCRYPTO.cipher(suite).unwrap(),
    }
}

pub fn keys() -> Keys {
    let half = |value| IkeSpi::new(value).unwrap();
    let id = OneWayId { exchange: GROUP_NEWS, first: half(0xa0a1_a2a3), second: half(0xb0b1_b2b3) };
    Keys { id, next_id: 0, encr: SecretBytes::copy_from(&[7; 20]) }
}

pub fn address(node: usize) -> SocketAddr {
    let node = u16::try_from(node).unwrap() + 1;
    let [high, low] = node.to_be_bytes();
    SocketAddr::from(([192, 0, high, low], 500))
}

pub struct Net {
    pub nodes: Vec<Node>,
    pub events: Vec<Vec<Event>>,
    pub queue: VecDeque<Transmit>,
    pub now: Instant,
}

impl Net {
    /// A controller.
    pub fn new(config: EndpointConfig, settings: Settings) -> Self {
        let mut net =
            Self { nodes: Vec::new(), events: Vec::new(), queue: VecDeque::new(), now: Instant::ZERO };
        net.add(config, Group::controller(settings, keys()).unwrap());
        net
    }

    /// A controller and so many members with one secret.
    pub fn with_members(members: usize) -> Self {
        let mut net = Self::new(config(), settings("controller.example", secret("s")));
        for _ in 0..members {
            net.add_member(settings("member.example", secret("s")));
        }
        net
    }

    /// Settings that accept nothing of what the others offer.
    pub fn incompatible(mut settings: Settings) -> Settings {
        settings.proposals = vec!["aes256gcm16-prfsha512-ecp384".parse().unwrap()];
        settings
    }

    fn add(&mut self, config: EndpointConfig, group: Group) -> usize {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.nodes.len().to_be_bytes());
        self.nodes.push(Node::new(config, Box::new(ChaCha20Rng::from_seed(seed)), group));
        self.events.push(Vec::new());
        self.nodes.len() - 1
    }

    pub fn add_member(&mut self, settings: Settings) -> usize {
        self.add(config(), Group::member(settings))
    }

    pub fn add_controller(&mut self, settings: Settings) -> usize {
        self.add(config(), Group::controller(settings, keys()).unwrap())
    }

    /// Events first, then datagrams.
    pub fn poll(&mut self, node: usize) {
        while let Some(event) = self.nodes[node].poll_event() {
            self.events[node].push(event);
        }
        while let Some(transmit) = self.nodes[node].poll_transmit() {
            self.queue.push_back(transmit);
        }
    }

    /// The path between two nodes, as the first sees it.
    pub fn path(from: usize, to: usize) -> Path {
        Path::ike(address(from), address(to))
    }

    pub fn join(&mut self, member: usize) -> IkeSaHandle {
        let sa = self.nodes[member].join(self.now, Self::path(member, CONTROLLER)).unwrap();
        self.poll(member);
        sa
    }

    pub fn announce(&mut self, news: &[u8]) {
        let path = Path::ike(address(CONTROLLER), GROUP.parse().unwrap());
        self.nodes[CONTROLLER].announce(self.now, &[path], news).unwrap();
        self.poll(CONTROLLER);
    }

    /// Hands octets to a node; one that refuses them says nothing.
    pub fn receive(&mut self, node: usize, path: Path, octets: &[u8]) -> Result<Handled, Rejection> {
        let before = format!("{:?}", self.nodes[node]);
        let result = self.nodes[node].handle_datagram(self.now, path, octets);
        if result.is_err() {
            while let Some(transmit) = self.nodes[node].poll_transmit() {
                self.queue.push_back(transmit);
            }
            // The time alone may stand there anew.
            let tail = |text: &str| text.split_once(", sas:").unwrap().1.to_string();
            if self.queue.is_empty() {
                assert_eq!(tail(&before), tail(&format!("{:?}", self.nodes[node])));
            }
        }
        self.poll(node);
        result
    }

    /// Hands a datagram to whom it is for, all members where it is for the group.
    pub fn deliver(&mut self, transmit: &Transmit) -> Vec<Result<Handled, Rejection>> {
        let to = transmit.path.remote;
        let path = Path::ike(to, transmit.path.local);
        let all = to == GROUP.parse().unwrap();
        let nodes: Vec<_> = (0..self.nodes.len())
            .filter(|node| if all { *node != CONTROLLER } else { address(*node) == to })
            .collect();
        nodes.into_iter().map(|node| self.receive(node, path, &transmit.datagram)).collect()
    }

    pub fn deliver_next(&mut self) -> Vec<Result<Handled, Rejection>> {
        let transmit = self.queue.pop_front().unwrap();
        self.deliver(&transmit)
    }

    /// Delivers until nothing is under way.
    pub fn run(&mut self) {
        while let Some(transmit) = self.queue.pop_front() {
            self.deliver(&transmit);
        }
    }

    /// Fires the next timer of a node, at its time.
    pub fn fire(&mut self, node: usize) {
        let due = self.nodes[node].poll_timeout().unwrap();
        self.now = self.now.max(due);
        self.nodes[node].handle_timeout(self.now);
        assert!(self.nodes[node].poll_timeout().is_none_or(|at| at > self.now));
        self.poll(node);
    }

    /// Fires timers until there is none, losing what is sent.
    pub fn run_alone(&mut self, node: usize) {
        while self.nodes[node].poll_timeout().is_some() {
            self.fire(node);
            self.queue.clear();
        }
    }

    pub fn take(&mut self, node: usize) -> Vec<Event> {
        std::mem::take(&mut self.events[node])
    }
}

pub fn config() -> EndpointConfig {
    EndpointConfig::new(&RUSTCRYPTO)
}
