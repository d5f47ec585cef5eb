//! Two endpoints that talk to each other in memory.

use crate::record::Recorder;
use ikev2_core::{
    ChildConfig, Connection, Endpoint, EndpointConfig, Event, IdentityPattern, LocalAuth, RemoteAuth, Signer,
    SigningIdentity, TrustedKeys,
};
use ipsec_crypto::CryptoProvider;
use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
use ipsec_crypto::signature::SigningKey;
use ipsec_types::sa::PolicyId;
use ipsec_types::{Instant, Path, SecretBytes, TrafficSelector};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::Arc;
use std::time::Duration;

/// How both ends prove who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// By a shared secret.
    SharedKey,
    /// By a shared secret, after an additional key exchange by ML-KEM-768.
    Hybrid,
    /// By Ed25519, each end with the other's key pinned.
    Ed25519,
}

/// An Ed25519 key that OpenSSL made, for the tests of `ipsec-crypto`.
const ED25519: &str = include_str!("../../ipsec-crypto/tests/vectors/keys/ed25519.pem");

/// Two endpoints and the datagrams between them.
#[derive(Debug)]
pub struct Pair {
    /// The initiator and the responder.
    pub ends: [Endpoint; 2],
    /// Child SAs that came up, counted at both ends.
    pub children: usize,
    /// Datagrams that were delivered, if they are kept.
    pub datagrams: Option<Vec<Vec<u8>>>,
    now: Instant,
}

fn endpoint(
    us: &str,
    peer: &str,
    proof: Proof,
    provider: &'static CryptoProvider,
    recorder: Option<&Recorder>,
    seed: u64,
) -> Option<Endpoint> {
    let secret = SecretBytes::copy_from(b"a long and random secret");
    let peer = IdentityPattern::Exactly(peer.parse().ok()?);
    let mut connection = Connection::with_shared_key("tunnel", us.parse().ok()?, peer, secret);
    if proof == Proof::Ed25519 {
        let key = Arc::new(PrivateKey::from_pem(ED25519).ok()?);
        let trusted = TrustedKeys::Pinned(vec![key.public_key().clone()]);
        let key: Arc<dyn SigningKey> = match recorder {
            Some(recorder) => recorder.signing_key(key),
            None => key,
        };
        let identity = SigningIdentity { certificates: Vec::new(), signer: Signer::Key(key) };
        connection.local_auth = LocalAuth::Signature(identity);
        connection.remote_auth = RemoteAuth::Signature(trusted);
    }
    let additional = if proof == Proof::Hybrid { "-ke1_mlkem768" } else { "" };
    connection.ike_proposals = vec![format!("aes256gcm16-prfsha256-x25519{additional}").parse().ok()?];
    let all = || vec![TrafficSelector::ALL_V4];
    connection.children.push(Arc::new(ChildConfig::tunnel(PolicyId(1), "net", all(), all())));
    let mut config = EndpointConfig::new(provider);
    // The clock stands still here, and a budget for each second would be used up.
    config.max_operations_per_second = u32::MAX;
    config.connections.push(Arc::new(connection));
    Some(Endpoint::new(Arc::new(config), Box::new(ChaCha20Rng::seed_from_u64(seed))))
}

impl Pair {
    /// Two that have not spoken yet; `None` where the crates refuse the configuration.
    #[must_use]
    pub fn new(proof: Proof, seed: u64) -> Option<Self> {
        Self::with(proof, &RUSTCRYPTO, None, seed)
    }

    /// Two whose primitives are recorded.
    #[must_use]
    pub fn recorded(proof: Proof, recorder: &Recorder, seed: u64) -> Option<Self> {
        Self::with(proof, recorder.provider(), Some(recorder), seed)
    }

    fn with(
        proof: Proof,
        provider: &'static CryptoProvider,
        recorder: Option<&Recorder>,
        seed: u64,
    ) -> Option<Self> {
        let end = |us, peer, seed| endpoint(us, peer, proof, provider, recorder, seed);
        let ends = [
            end("a.example", "b.example", seed.wrapping_mul(2))?,
            end("b.example", "a.example", seed.wrapping_mul(2).wrapping_add(1))?,
        ];
        Some(Self { ends, children: 0, datagrams: None, now: Instant::ZERO })
    }

    /// IKE_SA_INIT and IKE_AUTH with the first Child SA.
    pub fn handshake(&mut self) {
        let address = |last| std::net::SocketAddr::from(([192, 0, 2, last], 500));
        let [a, _] = &mut self.ends;
        if a.connect(self.now, "tunnel", Path::ike(address(1), address(2))).is_ok() {
            self.run();
        }
    }

    /// Deletes what there is, so that the endpoints are as they were before, but for the memory of their tables.
    pub fn delete_all(&mut self) {
        let [a, _] = &mut self.ends;
        a.shut_down(self.now);
        self.run();
        // Closed IKE SAs answer repeats for a while.
        self.now += Duration::from_secs(60);
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.children = 0;
    }

    /// Delivers datagrams until there are none.
    pub fn run(&mut self) {
        loop {
            for end in &mut self.ends {
                while let Some(event) = end.poll_event() {
                    self.children += usize::from(matches!(event, Event::ChildSaUp { .. }));
                }
            }
            let [a, b] = &mut self.ends;
            let (transmit, to) = match (a.poll_transmit(), b) {
                (Some(transmit), b) => (transmit, b),
                (None, b) => match b.poll_transmit() {
                    Some(transmit) => (transmit, a),
                    None => return,
                },
            };
            let seen = Path { local: transmit.path.remote, remote: transmit.path.local, ..transmit.path };
            // What is refused ends the run without the Child SAs that the caller counts.
            let _ = to.handle_datagram(self.now, seen, &transmit.datagram);
            if let Some(datagrams) = &mut self.datagrams {
                datagrams.push(transmit.datagram.to_vec());
            }
        }
    }
}
