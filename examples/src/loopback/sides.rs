//! One side: an endpoint, an engine and two sockets.

use super::Failed;
use crate::keys::KeyFiles;
use crate::log::{Log, message_name};
use ikev2_core::event::Hooks;
use ikev2_core::{
    ChildConfig, Connection, Endpoint, EndpointConfig, IdentityPattern, KeyLog, MessageDirection,
    MessageObserver,
};
use ikev2_wire::Header;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::engine::{Engine, EngineConfig};
use ipsec_types::sa::PolicyId;
use ipsec_types::{AddressRange, Instant, Path, PathKind, SecretBytes, TrafficSelector};
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UdpSocket;

/// The side that begins.
pub(super) const A: usize = 0;
/// The side that answers.
pub(super) const B: usize = 1;
/// What they are called.
pub(super) const NAMES: [&str; 2] = ["a", "b"];

/// What the two agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Suites {
    /// X25519 and P-256.
    #[default]
    Classic,
    /// X25519 with ML-KEM-768 behind it, for the IKE SA in IKE_INTERMEDIATE and in IKE_FOLLOWUP_KE afterwards.
    PostQuantum,
}

impl Suites {
    /// For the IKE SA, and for the second Child SA.
    fn proposals(self) -> [&'static str; 2] {
        match self {
            Self::Classic => ["aes256gcm16-prfsha384-x25519", "aes128-sha256-ecp256"],
            Self::PostQuantum => {
                ["aes256gcm16-prfsha384-x25519-ke1_mlkem768", "aes256gcm16-x25519-ke1_mlkem768"]
            }
        }
    }
}

/// One of the two.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) endpoint: Endpoint,
    pub(super) engine: Engine,
    pub(super) sockets: Sockets,
}

/// Its sockets, in the places of ports 500 and 4500.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) ike: UdpSocket,
    pub(super) nat_t: UdpSocket,
}

impl Sockets {
    /// Two ports that are free now.
    pub(super) async fn bind() -> io::Result<Self> {
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        Ok(Self { ike: UdpSocket::bind(any).await?, nat_t: UdpSocket::bind(any).await? })
    }
}

impl Side {
    /// The side with this number, whose peer has the sockets `peer`.
    pub(super) fn new(
        number: usize,
        sockets: Sockets,
        peer: &Sockets,
        messages: &Arc<Messages>,
        keys: Option<Arc<KeyFiles>>,
        suites: Suites,
    ) -> Result<Self, Failed> {
        let mut config = EndpointConfig::new(&RUSTCRYPTO);
        config.local_nat_t_port = sockets.nat_t.local_addr()?.port();
        config.connections.push(Arc::new(connection(number, peer, suites)?));
        config.hooks = Hooks {
            key_log: keys.map(|keys| keys as Arc<dyn KeyLog>),
            observer: Some(Arc::new(Observer { side: number, messages: Arc::clone(messages) })),
            ..Hooks::default()
        };
        Ok(Self {
            endpoint: Endpoint::new(Arc::new(config), Box::new(getrandom::SysRng)),
            engine: Engine::new(&RUSTCRYPTO, EngineConfig::default()),
            sockets,
        })
    }
}

fn connection(number: usize, peer: &Sockets, suites: Suites) -> Result<Connection, Failed> {
    let [ike, of_lab] = suites.proposals();
    let (us, them) = if number == A { ("a.example", "b.example") } else { ("b.example", "a.example") };
    let wrong = |error: &dyn Display| Failed::Wrong(error.to_string());
    let secret = SecretBytes::copy_from(b"a secret for two endpoints in one process");
    let them = IdentityPattern::Exactly(them.parse().map_err(|error| wrong(&error))?);
    let us = us.parse().map_err(|error| wrong(&error))?;
    let mut connection = Connection::with_shared_key("loopback", us, them, secret);
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    connection.local_address = Some(localhost);
    connection.remote_address = Some(localhost);
    connection.remote_port = peer.ike.local_addr()?.port();
    connection.remote_nat_t_port = peer.nat_t.local_addr()?.port();
    // No NAT is between the two; ESP in UDP needs no privilege.
    connection.force_udp_encapsulation = number == A;
    connection.ike_proposals = vec![ike.parse().map_err(|error| wrong(&error))?];
    let selectors = |own: usize, nets: &[&str]| -> Result<Vec<TrafficSelector>, Failed> {
        nets.iter().map(|net| net_of(own, net)).collect()
    };
    let (net, lab) = (["10.#.0.0/24", "fd0#::/64"], ["10.#.7.0/24"]);
    for (name, nets, esp, policy) in [("net", &net[..], "aes256gcm16", 1), ("lab", &lab[..], of_lab, 2)] {
        let (local, remote) = (selectors(number, nets)?, selectors(1 - number, nets)?);
        let mut child = ChildConfig::tunnel(PolicyId(policy), name, local, remote);
        child.proposals = vec![esp.parse().map_err(|error| wrong(&error))?];
        connection.children.push(Arc::new(child));
    }
    Ok(connection)
}

/// The network of a side: `#` stands for 1 or 2.
fn net_of(side: usize, text: &str) -> Result<TrafficSelector, Failed> {
    let text = text.replace('#', &(side + 1).to_string());
    let wrong = || Failed::Wrong(format!("{text} is no network"));
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let (address, prefix) = (address.parse().map_err(|_| wrong())?, prefix.parse().map_err(|_| wrong())?);
    Ok(TrafficSelector::addresses(AddressRange::prefix(address, prefix).map_err(|_| wrong())?))
}

/// An IKE message that was sent or received.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) side: usize,
    pub(super) direction: MessageDirection,
    pub(super) header: Header,
    pub(super) octets: usize,
    pub(super) at: Instant,
}

/// All messages, as both sides see them. Told is what is sent: what is received is the same.
#[derive(Debug)]
pub(super) struct Messages {
    log: Arc<Log>,
    seen: Mutex<Vec<Seen>>,
}

impl Messages {
    pub(super) fn new(log: &Arc<Log>) -> Arc<Self> {
        Arc::new(Self { log: Arc::clone(log), seen: Mutex::new(Vec::new()) })
    }

    /// A copy of what was seen so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
struct Observer {
    side: usize,
    messages: Arc<Messages>,
}

impl MessageObserver for Observer {
    fn message(
        &self,
        direction: MessageDirection,
        path: &Path,
        header: &Header,
        octets: usize,
        payloads: &dyn Display,
    ) {
        let Self { side, messages } = self;
        let seen = Seen { side: *side, direction, header: *header, octets, at: messages.log.now() };
        messages.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        if direction == MessageDirection::Received {
            return;
        }
        let (arrow, name) = (if *side == A { "a -> b" } else { "a <- b" }, message_name(header));
        let port = match path.kind {
            PathKind::Ike => 500,
            PathKind::NatT => 4_500,
        };
        messages.log.block(format_args!("{arrow}  {name:<32} {octets:>5} octets  port {port}"), payloads);
    }
}
