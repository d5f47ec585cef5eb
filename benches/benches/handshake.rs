//! What a whole handshake costs beside the key exchange in it: IKE_SA_INIT and IKE_AUTH of two endpoints, with a
//! shared key, X25519, AES-256-GCM and PRF HMAC-SHA2-256, and a first Child SA; both ends, without IO.
//!
//! Each round makes one handshake and then its four X25519 operations alone; figures are medians over the
//! rounds. `cargo bench -p ipsec-benches --bench handshake`

#![allow(clippy::unwrap_used, missing_docs)]

use ikev2_core::{ChildConfig, Connection, Endpoint, EndpointConfig, Event, IdentityPattern};
use ikev2_wire::KeMethod;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_types::sa::PolicyId;
use ipsec_types::{Instant, Path, SecretBytes, TrafficSelector};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::Arc;
use std::time::Instant as Clock;

const ROUNDS: usize = 1_001;

fn endpoint(us: &str, peer: &str, seed: u64) -> Endpoint {
    let secret = SecretBytes::copy_from(b"a long and random secret");
    let peer = IdentityPattern::Exactly(peer.parse().unwrap());
    let mut connection = Connection::with_shared_key("tunnel", us.parse().unwrap(), peer, secret);
    connection.ike_proposals = vec!["aes256gcm16-prfsha256-x25519".parse().unwrap()];
    let all = || vec![TrafficSelector::ALL_V4];
    connection.children.push(Arc::new(ChildConfig::tunnel(PolicyId(1), "net", all(), all())));
    let mut config = EndpointConfig::new(&RUSTCRYPTO);
    // The clock stands still here, and a budget for each second would be used up.
    config.max_operations_per_second = u32::MAX;
    config.connections.push(Arc::new(connection));
    Endpoint::new(Arc::new(config), Box::new(ChaCha20Rng::seed_from_u64(seed)))
}

/// One handshake; gives how many Child SAs came up.
fn handshake(a: &mut Endpoint, b: &mut Endpoint, path: Path) -> usize {
    a.connect(Instant::ZERO, "tunnel", path).unwrap();
    let mut children = 0;
    loop {
        for endpoint in [&mut *a, &mut *b] {
            while let Some(event) = endpoint.poll_event() {
                children += usize::from(matches!(event, Event::ChildSaUp { .. }));
            }
        }
        let (transmit, to) = match (a.poll_transmit(), b.poll_transmit()) {
            (Some(transmit), _) => (transmit, &mut *b),
            (None, Some(transmit)) => (transmit, &mut *a),
            (None, None) => return children,
        };
        let seen = Path { local: transmit.path.remote, remote: transmit.path.local, ..transmit.path };
        to.handle_datagram(Instant::ZERO, seen, &transmit.datagram).unwrap();
    }
}

/// The four operations of one exchange: two key pairs, two shared secrets.
fn key_exchange(random: &mut ChaCha20Rng) {
    let x25519 = RUSTCRYPTO.key_exchange(KeMethod::CURVE25519).unwrap();
    let (initiator, responder) = (x25519.start(random).unwrap(), x25519.start(random).unwrap());
    let secrets = (initiator.finish(responder.public()), responder.finish(initiator.public()));
    assert_eq!(secrets.0.unwrap(), secrets.1.unwrap());
}

fn median(mut nanoseconds: Vec<u128>) -> u128 {
    nanoseconds.sort_unstable();
    nanoseconds.get(nanoseconds.len() / 2).copied().unwrap_or(0)
}

fn main() {
    let path = Path::ike("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
    let mut random = ChaCha20Rng::seed_from_u64(0);
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        let (mut a, mut b) = (
            endpoint("a.example", "b.example", 2 * round),
            endpoint("b.example", "a.example", 2 * round + 1),
        );
        let start = Clock::now();
        assert_eq!(handshake(&mut a, &mut b, path), 2);
        whole.push(start.elapsed().as_nanos());
        let start = Clock::now();
        key_exchange(&mut random);
        alone.push(start.elapsed().as_nanos());
    }
    let (whole, alone) = (median(whole), median(alone));
    println!("handshake, both ends: {} us", whole / 1_000);
    println!("its four X25519 operations: {} us", alone / 1_000);
    println!("ratio: {:.2}", whole as f64 / alone as f64);
}
