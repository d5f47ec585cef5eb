//! Two endpoints with an ESP engine each, joined in memory.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ikev2_core::{ChildConfig, Connection, Endpoint, EndpointConfig, Event, IdentityPattern};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::{Arrival, Engine, EngineConfig, MAX_HEADROOM, MAX_TAILROOM, PacketBuf};
use ipsec_types::sa::PolicyId;
use ipsec_types::{Instant, Path, SecretBytes, TrafficSelector};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// What to do to datagrams on their way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    AlteredDatagrams,
}

/// What was not as it must be; the texts are for whoever reads the program's last line.
#[derive(Debug)]
#[allow(dead_code, reason = "read by Debug")]
pub(crate) enum Error {
    Argument,
    MoreMemoryThanThereIs(usize),
    Address,
    Identity,
    Proposal,
    Connect(ikev2_core::CallError),
    Datagram(ikev2_core::Rejection),
    Command(ipsec_esp::CommandError),
    ChildSas(usize),
    Buffer,
    Seal(ipsec_esp::SealError),
    StillPlain,
    Open(ipsec_esp::OpenError),
    AnotherPacket,
}

struct Side {
    ike: Endpoint,
    esp: Engine,
    children: usize,
}

const NOW: Instant = Instant::ZERO;

/// An IPv4 packet with a UDP datagram in it.
const PACKET: [u8; 32] = [
    0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 0, 7, 0, 7, 0, 12, 0, 0, b'b', b'a',
    b'r', b'e',
];

impl Side {
    /// Randomness is a seed here: what a machine without an operating system has is its own.
    fn new(us: &str, peer: &str, seed: u8) -> Result<Self, Error> {
        let secret = SecretBytes::copy_from(b"a long and random secret");
        let us = us.parse().map_err(|_| Error::Identity)?;
        let peer = IdentityPattern::Exactly(peer.parse().map_err(|_| Error::Identity)?);
        let mut connection = Connection::with_shared_key("tunnel", us, peer, secret);
        let proposal = "aes256gcm16-prfsha256-x25519".parse().map_err(|_| Error::Proposal)?;
        connection.ike_proposals = vec![proposal];
        let all = || vec![TrafficSelector::ALL_V4];
        connection.children.push(Arc::new(ChildConfig::tunnel(PolicyId(1), "net", all(), all())));
        let mut config = EndpointConfig::new(&RUSTCRYPTO);
        config.connections.push(Arc::new(connection));
        // A policy for one peer is looked through at once, no SA here comes near 2^32 packets, and nobody audits.
        let mut engine =
            EngineConfig { flow_cache: 0, resync_buffer: 0, used_keys: 16, ..EngineConfig::default() };
        engine.reports.queue = 16;
        engine.audit.queue = 0;
        let random = Box::new(ChaCha20Rng::from_seed([seed; 32]));
        Ok(Self {
            ike: Endpoint::new(Arc::new(config), random),
            esp: Engine::new(&RUSTCRYPTO, engine),
            children: 0,
        })
    }

    fn take_events(&mut self) -> Result<(), Error> {
        while let Some(event) = self.ike.poll_event() {
            match event {
                Event::DataPath(command) => self.esp.apply(NOW, command).map_err(Error::Command)?,
                Event::ChildSaUp { .. } => self.children += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes events, then hands what is to be sent to the other side. Gives whether there was anything.
    fn send_to(&mut self, other: &mut Self, fault: Fault) -> Result<bool, Error> {
        self.take_events()?;
        let Some(transmit) = self.ike.poll_transmit() else { return Ok(false) };
        let seen = Path { local: transmit.path.remote, remote: transmit.path.local, ..transmit.path };
        let mut datagram = transmit.datagram.to_vec();
        if fault == Fault::AlteredDatagrams
            && let Some(last) = datagram.last_mut()
        {
            *last ^= 1;
        }
        other.ike.handle_datagram(NOW, seen, &datagram).map_err(Error::Datagram)?;
        other.take_events()?;
        Ok(true)
    }
}

/// An IKE SA, a Child SA, and a packet through it.
pub(crate) fn run(fault: Fault) -> Result<(), Error> {
    let (mut a, mut b) = (Side::new("a.example", "b.example", 1)?, Side::new("b.example", "a.example", 2)?);
    let address = |text: &str| text.parse::<SocketAddr>().map_err(|_| Error::Address);
    let path = Path::ike(address("192.0.2.1:500")?, address("192.0.2.2:500")?);
    a.ike.connect(NOW, "tunnel", path).map_err(Error::Connect)?;
    while a.send_to(&mut b, fault)? || b.send_to(&mut a, fault)? {}
    if a.children + b.children != 2 {
        return Err(Error::ChildSas(a.children + b.children));
    }

    let at = MAX_HEADROOM..MAX_HEADROOM + PACKET.len();
    let mut buffer: Vec<u8> = vec![0; at.end + MAX_TAILROOM];
    buffer.get_mut(at.clone()).ok_or(Error::Buffer)?.copy_from_slice(&PACKET);
    let mut packet = PacketBuf::new(&mut buffer, at).ok_or(Error::Buffer)?;
    let outgoing = a.esp.seal(NOW, &mut packet).map_err(Error::Seal)?;
    if packet.as_slice().windows(4).any(|octets| octets == b"bare") {
        return Err(Error::StillPlain);
    }
    let arrival = Arrival::raw(outgoing.path.remote_ip(), outgoing.path.local_ip());
    b.esp.open(NOW, arrival, &mut packet).map_err(Error::Open)?;
    if packet.as_slice() == PACKET { Ok(()) } else { Err(Error::AnotherPacket) }
}
