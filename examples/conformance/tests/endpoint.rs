//! An endpoint in the place of one side of a recorded conversation. It is given that side's SPIs, nonce, public value
//! and shared secret where it would draw them at random, so that what the other side really sent fits: it opens, its
//! AUTH is right, and its ESP packets come out of the data path that the endpoint commands.
//!
//! Our own messages differ from the recorded ones, and may: AUTH covers what its signer sent, and of the other side
//! the nonce alone (RFC 7296 §2.15).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_core::contents::Contents;
use ikev2_core::error::{AuthFailure, Unsupported};
use ikev2_core::negotiation::IkeProposal;
use ikev2_core::{
    Answer, ChildConfig, Connection, DownReason, EapAnswer, EapOutcome, EapPolicy, Endpoint, EndpointConfig,
    Event, Failure, Identity, IdentityPattern, LocalAuth, MobikePolicy, NatStatus, Rejection, RemoteAuth,
    Role, Routability, Signer, SigningIdentity, Transmit,
};
use ikev2_wire::{EncrId, Header, Message, PrfId};
use ipsec_conformance::{Carries, EspLine, KeyFile, Label, Packet, open_recording};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{
    CryptoProvider, KeMethod, KeyExchangeMethod, KeyType, KxError, KxResponse, PendingKeyExchange,
    RandomError, SecureRandom, SignatureScheme,
};
use ipsec_esp::{Engine, EngineConfig, OpenError, PacketBuf};
use ipsec_types::sa::{ChildSa, PolicyId};
use ipsec_types::udp::NON_ESP_MARKER;
use ipsec_types::{Encapsulation, Instant, Path, PathKind, SecretBytes, TrafficSelector};
use std::net::SocketAddr;
use std::sync::Arc;

/// No recording lasts long enough for a timer to matter.
const NOW: Instant = Instant::ZERO;

/// A key exchange whose outcome is known. Any other data of a peer is refused.
#[derive(Clone, Debug)]
struct Recorded {
    method: KeMethod,
    role: Role,
    ours: Vec<u8>,
    theirs: Vec<u8>,
    secret: SecretBytes,
}

impl PendingKeyExchange for Recorded {
    fn public(&self) -> &[u8] {
        &self.ours
    }

    fn finish(&self, peer: &[u8]) -> Result<SecretBytes, KxError> {
        if peer == self.theirs { Ok(self.secret.clone()) } else { Err(KxError::InvalidPublicValue) }
    }
}

impl KeyExchangeMethod for Recorded {
    fn method(&self) -> KeMethod {
        self.method
    }

    fn initiator_len(&self) -> usize {
        if self.role == Role::Initiator { self.ours.len() } else { self.theirs.len() }
    }

    fn responder_len(&self) -> usize {
        if self.role == Role::Initiator { self.theirs.len() } else { self.ours.len() }
    }

    fn is_kem(&self) -> bool {
        self.method == KeMethod::ML_KEM_512
    }

    fn start(&self, _: &mut dyn SecureRandom) -> Result<Box<dyn PendingKeyExchange>, KxError> {
        Ok(Box::new(self.clone()))
    }

    fn respond(&self, _: &mut dyn SecureRandom, peer: &[u8]) -> Result<KxResponse, KxError> {
        Ok(KxResponse { public: self.ours.clone(), secret: self.finish(peer)? })
    }
}

/// What one side drew at random, told apart by its length.
struct Drawn {
    spi: [u8; 8],
    nonce: [u8; 32],
    esp_spi: [u8; 4],
}

impl SecureRandom for Drawn {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), RandomError> {
        let drawn: &mut [u8] = match buffer.len() {
            4 => &mut self.esp_spi,
            8 => &mut self.spi,
            32 => &mut self.nonce,
            other => panic!("{other} random octets"),
        };
        buffer.copy_from_slice(drawn);
        // Whatever is drawn later is another value.
        drawn[0] ^= 0x55;
        Ok(())
    }
}

/// An endpoint with its data path.
struct Gateway {
    role: Role,
    endpoint: Endpoint,
    engine: Engine,
    transmits: Vec<Transmit>,
    outcome: Outcome,
    /// What the embedder answers, in order, the first last.
    answers: Vec<Answer>,
}

/// What became of the endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Outcome {
    /// The identity that the peer proved, and what NAT detection found.
    up: Option<(String, NatStatus)>,
    /// Algorithms, traffic and encapsulation of each Child SA.
    children: Vec<(String, String, Encapsulation)>,
    /// Requests of the peer that were answered.
    answered: usize,
    /// Messages that were not taken.
    rejected: Vec<Rejection>,
    /// ESP packets delivered.
    delivered: usize,
    /// ESP packets dropped.
    refused: Vec<OpenError>,
    /// Where it moved, and with how many Child SAs.
    moved: Vec<(Path, usize)>,
    /// How the IKE SA ended.
    down: Option<DownReason>,
}

/// An IKE message of a recording.
fn message(packet: &Packet) -> Option<Message<'_>> {
    let Carries::Ike(octets) = &packet.carries else { return None };
    Some(Message::parse(octets).unwrap())
}

/// The sockets of IKE, as a gateway has them.
fn path(local: SocketAddr, remote: SocketAddr) -> Path {
    if local.port() == 500 { Path::ike(local, remote) } else { Path::nat_t(local, remote) }
}

impl Gateway {
    /// The side with this role, which holds the secret.
    fn new(
        role: Role,
        packets: &[Packet],
        keys: &KeyFile,
        secret: SecretBytes,
        change: impl FnOnce(&mut Connection),
    ) -> Self {
        let [request, answer] = [0, 1].map(|index| message(&packets[index]).unwrap());
        let init = [&request, &answer].map(|message| Contents::read(message.payloads()).unwrap());
        let (ours, theirs) = match role {
            Role::Initiator => (&init[0], &init[1]),
            Role::Responder => (&init[1], &init[0]),
        };
        let (initiator, responder) = (request.header().initiator_spi, answer.header().responder_spi.unwrap());
        let local = if role == Role::Initiator { packets[0].source } else { packets[0].destination };
        let lines = keys.ike_sa(initiator, responder).unwrap();
        let ke = ours.ke.unwrap();
        let recorded: &'static Recorded = Box::leak(Box::new(Recorded {
            method: ke.method,
            role,
            ours: ke.data.to_vec(),
            theirs: theirs.ke.unwrap().data.to_vec(),
            secret: lines.all(0, Label::Ke).next().unwrap().clone(),
        }));
        let methods: [&dyn KeyExchangeMethod; 1] = [recorded];
        let crypto = Box::leak(Box::new(CryptoProvider {
            name: "recorded",
            key_exchanges: Box::leak(Box::new(methods)),
            ..RUSTCRYPTO
        }));
        let received_by = |line: &&EspLine| line.destination == local.ip();
        let drawn = Drawn {
            spi: if role == Role::Initiator { initiator } else { responder }.to_be_bytes(),
            nonce: ours.nonce.unwrap().as_bytes().try_into().unwrap(),
            esp_spi: keys.esp_sas().iter().find(received_by).unwrap().spi.to_be_bytes(),
        };
        let mut config = EndpointConfig::new(crypto);
        let mut connection = connection(role, secret, ke.method, packets);
        change(&mut connection);
        config.connections.push(Arc::new(connection));
        Self {
            role,
            endpoint: Endpoint::new(Arc::new(config), Box::new(drawn)),
            engine: Engine::new(&RUSTCRYPTO, EngineConfig::default()),
            transmits: Vec::new(),
            outcome: Outcome::default(),
            answers: Vec::new(),
        }
    }

    /// Takes what the endpoint has to say.
    fn poll(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::DataPath(command) => self.engine.apply(NOW, command).unwrap(),
                Event::IkeSaUp { info, .. } => {
                    let peer = info.remote_id.unwrap().to_string();
                    assert_eq!(self.outcome.up.replace((peer, info.nat)), None);
                }
                Event::ChildSaUp { info, .. } => {
                    let texts = |list: &[TrafficSelector]| {
                        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                    };
                    let ChildSa { suite, local, remote, encapsulation, .. } = &*info.child;
                    let traffic = format!("{} to {}", texts(local), texts(remote));
                    self.outcome.children.push((suite.to_string(), traffic, *encapsulation));
                }
                Event::SignatureNeeded { ticket, .. } | Event::EapNeeded { ticket, .. } => {
                    let answer = self.answers.pop().expect("asked too often");
                    self.endpoint.answer(NOW, ticket, answer).unwrap();
                }
                Event::Moved { path, children, .. } => self.outcome.moved.push((path, children.len())),
                Event::IkeSaDown { reason, .. } => {
                    assert_eq!(self.outcome.down.replace(reason), None);
                }
                _ => {}
            }
        }
        self.transmits.extend(std::iter::from_fn(|| self.endpoint.poll_transmit()));
    }

    /// Hands over a message of the peer.
    fn handle(&mut self, path: Path, octets: &[u8]) {
        let datagram = match path.kind {
            PathKind::Ike => octets.to_vec(),
            PathKind::NatT => [&NON_ESP_MARKER, octets].concat(),
        };
        if let Err(rejection) = self.endpoint.handle_datagram(NOW, path, &datagram) {
            self.outcome.rejected.push(rejection);
        }
        self.poll();
    }

    /// The first request, or the first answer, of ours that was not taken yet, and its path.
    fn sent(&mut self, answer: bool) -> Option<(Path, Header)> {
        let header = |transmit: &Transmit| {
            let octets = match transmit.path.kind {
                PathKind::Ike => &transmit.datagram[..],
                PathKind::NatT => &transmit.datagram[NON_ESP_MARKER.len()..],
            };
            *Message::parse(octets).unwrap().header()
        };
        let is_it = |transmit: &Transmit| header(transmit).flags.is_response() == answer;
        let transmit = self.transmits.remove(self.transmits.iter().position(is_it)?);
        Some((transmit.path, header(&transmit)))
    }

    /// Takes a packet that the recorded side received.
    fn receive(&mut self, packet: &Packet) {
        match &packet.carries {
            Carries::Ike(octets) => {
                let header = *message(packet).unwrap().header();
                if !header.flags.is_response() {
                    self.handle(path(packet.destination, packet.source), octets);
                    if let Some((_, answer)) = self.sent(true) {
                        assert_eq!(
                            (answer.exchange, answer.message_id),
                            (header.exchange, header.message_id)
                        );
                        assert_eq!(answer.flags.is_initiator(), self.role == Role::Initiator);
                        self.outcome.answered += 1;
                    }
                } else if let Some((path, request)) = self.sent(false) {
                    // Our request may have gone by another of the two ports than the recorded one.
                    assert_eq!((request.exchange, request.message_id), (header.exchange, header.message_id));
                    self.handle(path, octets);
                }
            }
            Carries::Esp(_) => {
                let mut storage = packet.ip.clone();
                let whole = 0..storage.len();
                let mut buffer = PacketBuf::new(&mut storage, whole).unwrap();
                match self.engine.open_ip(NOW, &mut buffer) {
                    Ok(_) => self.outcome.delivered += 1,
                    Err(error) => self.outcome.refused.push(error),
                }
            }
            Carries::Keepalive => {}
        }
    }
}

/// What the recorded side was configured with, as far as it matters.
fn connection(role: Role, secret: SecretBytes, method: KeMethod, packets: &[Packet]) -> Connection {
    let (a, b): (Identity, Identity) = ("a.example".parse().unwrap(), "b.example".parse().unwrap());
    let (local, remote) = if role == Role::Initiator { (a, b) } else { (b, a) };
    let mut connection =
        Connection::with_shared_key("recorded", local, IdentityPattern::Exactly(remote), secret);
    if role == Role::Initiator {
        connection.remote_address = Some(packets[0].destination.ip());
    }
    let proposal = IkeProposal::builder().encr(EncrId::AES_GCM_16, 128).prf(PrfId::HMAC_SHA2_256).ke(method);
    connection.ike_proposals = vec![proposal.build().unwrap()];
    let all = || vec![TrafficSelector::ALL_V4];
    connection.children.push(Arc::new(ChildConfig::tunnel(PolicyId(1), "net", all(), all())));
    connection
}

/// Lets an endpoint take the part of one side of a recording.
fn take_part(role: Role, name: &str, secret: Option<&[u8]>) -> Outcome {
    take_part_as(role, name, secret, Vec::new(), |_| {})
}

/// The same with a connection that is changed in something.
fn take_part_as(
    role: Role,
    name: &str,
    secret: Option<&[u8]>,
    answers: Vec<Answer>,
    change: impl FnOnce(&mut Connection),
) -> Outcome {
    let (packets, keys) = open_recording(name).unwrap();
    let logged = || keys.ike_sas()[0].all(0, Label::SharedSecret).next().unwrap().clone();
    let secret = secret.map_or_else(logged, SecretBytes::copy_from);
    let mut gateway = Gateway::new(role, &packets, &keys, secret, change);
    gateway.answers = answers;
    if role == Role::Initiator {
        let path = Path::ike(packets[0].source, packets[0].destination);
        gateway.endpoint.connect(NOW, "recorded", path).unwrap();
        gateway.poll();
    }
    for packet in &packets {
        // The initiator may move.
        let by_initiator = match message(packet) {
            Some(message) => message.header().flags.is_initiator(),
            None => packet.source.ip() != packets[1].source.ip(),
        };
        if by_initiator != (role == Role::Initiator) {
            gateway.receive(packet);
        }
    }
    gateway.outcome
}

/// Algorithms, traffic and encapsulation of a Child SA.
type Child = (&'static str, &'static str, Encapsulation);

/// An IKE SA that came up and has this one Child SA.
#[track_caller]
fn assert_up(outcome: &Outcome, peer: &str, claims_nat: bool, child: Child) {
    let nat = NatStatus { local: false, remote: claims_nat };
    assert_eq!(outcome.up, Some((peer.to_owned(), nat)));
    let (suite, traffic, encapsulation) = child;
    assert_eq!(outcome.children, [(suite.to_owned(), traffic.to_owned(), encapsulation)]);
}

/// Both sides of each tunnel. strongSwan claims a NAT where its ESP is in user space, and then everything goes by port
/// 4500. A change of address that was not agreed upon is answered, and the tunnel lives on.
#[test]
fn a_tunnel_carries_what_the_recorded_side_sent() {
    use Role::{Initiator, Responder};
    let gcm = "ENCR_AES_GCM_16-128";
    for (name, we_are, suite, claims_nat, answered, deleted) in [
        ("psk-x25519", Responder, gcm, true, 3, true),
        ("psk-x25519", Initiator, gcm, true, 1, true),
        ("mlkem512-alone", Responder, gcm, true, 3, true),
        ("mlkem512-alone", Initiator, gcm, true, 1, true),
        ("kernel-esn", Responder, "ENCR_AES_GCM_16-256", false, 2, false),
        ("kernel-esn", Initiator, "ENCR_AES_GCM_16-256", false, 2, true),
        ("mobike", Responder, gcm, true, 7, true),
        ("mobike", Initiator, gcm, true, 1, false),
        ("rekey-child-and-ike", Responder, gcm, true, 3, false),
        ("rekey-child-and-ike", Initiator, gcm, true, 1, false),
    ] {
        let outcome = take_part(we_are, name, None);
        let (peer, traffic) = match we_are {
            Initiator => ("b.example", "10.1.0.0/24 to 10.2.0.0/24"),
            Responder => ("a.example", "10.2.0.0/24 to 10.1.0.0/24"),
        };
        let encapsulation = if claims_nat { Encapsulation::Udp } else { Encapsulation::None };
        assert_up(&outcome, peer, claims_nat, (suite, traffic, encapsulation));
        assert_eq!((outcome.delivered, outcome.answered), (3, answered), "{name}");
        // The replay holds the secret of IKE_SA_INIT alone: a rekey with a key exchange of its own ends it.
        let ended = matches!(&outcome.down, Some(DownReason::Failed(why)) if matches!(**why, Failure::KeyExchange { .. }));
        let expected = deleted.then_some(DownReason::DeletedByPeer);
        assert!(outcome.down == expected || (ended && !deleted), "{name}: {:?}", outcome.down);
        // What came by SAs of a rekey.
        let later = |error: &OpenError| matches!(error, OpenError::UnknownSpi(_));
        assert!(outcome.refused.iter().all(later), "{name}: {:?}", outcome.refused);
        let of_another = |error: &Rejection| matches!(error, Rejection::UnknownSpi(_));
        assert!(ended || outcome.rejected.iter().all(of_another), "{name}: {:?}", outcome.rejected);
    }
}

/// strongSwan moves to 10.9.0.3 (RFC 4555): everything goes there, and packets that come from there are opened.
#[test]
fn the_recorded_initiator_moves() {
    let outcome = take_part_as(Role::Responder, "mobike", None, Vec::new(), |connection| {
        let mut policy = MobikePolicy::default();
        // No request of ours was recorded.
        policy.routability = Routability::Never;
        connection.mobike = Some(policy);
    });
    let ends = ["10.9.0.2:4500", "10.9.0.3:4500"].map(|end| end.parse().unwrap());
    assert_eq!(outcome.moved, [(Path::nat_t(ends[0], ends[1]), 1)]);
    assert_eq!((outcome.answered, outcome.down), (7, Some(DownReason::DeletedByPeer)));
    assert_eq!(outcome.rejected, []);
}

/// A responder may answer a request for transport mode with a tunnel (RFC 7296 §1.3.1), and need not know the other
/// two. What the recorded peer sent as if it had been granted is no packet of a tunnel.
#[test]
fn other_modes_are_not_granted() {
    for (name, suite, ends, next_header) in [
        ("kernel-transport", "ENCR_AES_CBC-256/AUTH_HMAC_SHA2_256_128", "10.9.0.2/32 to 10.9.0.1/32", 1),
        ("kernel-beet", "ENCR_AES_GCM_16-128", "10.2.0.1/32 to 10.1.0.1/32", 1),
        ("kernel-iptfs", "ENCR_AES_GCM_16-128", "10.2.0.0/24 to 10.1.0.0/24", 144),
    ] {
        let outcome = take_part(Role::Responder, name, None);
        assert_up(&outcome, "a.example", false, (suite, ends, Encapsulation::None));
        assert_eq!(outcome.refused, [OpenError::NextHeader(next_header); 3], "{name}");
        assert_eq!((outcome.delivered, outcome.rejected), (0, vec![]), "{name}");
    }
}

/// An answer in transport mode to a request without it makes no Child SA; the IKE SA lives on.
#[test]
fn transport_mode_unasked_for_makes_no_child() {
    let outcome = take_part(Role::Initiator, "kernel-transport", None);
    assert!(outcome.up.is_some() && outcome.children.is_empty());
    assert_eq!((outcome.delivered, outcome.down), (0, Some(DownReason::DeletedByPeer)));
}

#[test]
fn a_wrong_secret_is_told() {
    for role in [Role::Initiator, Role::Responder] {
        let outcome = take_part(role, "psk-x25519", Some(b"another secret"));
        assert_eq!((outcome.up, outcome.children, outcome.delivered), (None, vec![], 0));
        let Some(DownReason::Failed(failure)) = outcome.down else { panic!("{:?}", outcome.down) };
        let wrong = matches!(*failure, Failure::Authentication(AuthFailure::WrongSecret { .. }));
        assert!(wrong, "{failure}");
    }
}

/// EAP with the recorded initiator, whose AUTH is by SK_pi after EAP-MD5 and by the key of EAP-MSCHAPv2 (RFC 7296 §2.16).
/// AUTH covers nothing of EAP, so that Requests with the recorded identifiers, which tshark shows, stand for the recorded
/// ones.
#[test]
fn eap_is_passed_through() {
    for (name, identifiers, answered) in [("eap-md5", &[0, 93][..], 6), ("eap-mschapv2", &[0, 120, 121], 7)] {
        let (_, keys) = open_recording(name).unwrap();
        let msk = keys.ike_sas()[0].all(0, Label::SharedSecret).next().cloned().filter(|_| name != "eap-md5");
        let outcome = EapOutcome { msk, identity: None, safe_alone: false };
        let mut answers = vec![Answer::Signature(vec![0; 64])];
        let request = |identifier: &u8| Answer::Eap(EapAnswer::Send(vec![1, *identifier, 0, 5, 1]));
        answers.extend(identifiers.iter().map(request));
        answers.push(Answer::Eap(EapAnswer::Done(outcome)));
        answers.reverse();
        let outcome = take_part_as(Role::Responder, name, Some(b"none"), answers, |connection| {
            connection.remote_auth = RemoteAuth::Eap(EapPolicy::default());
            let signer = Signer::Later { key: KeyType::EcP256, schemes: vec![SignatureScheme::EcdsaSha256] };
            connection.local_auth =
                LocalAuth::Signature(SigningIdentity { certificates: Vec::new(), signer });
        });
        let child = ("ENCR_AES_GCM_16-128", "10.2.0.0/24 to 10.1.0.0/24", Encapsulation::Udp);
        assert_up(&outcome, "a.example", true, child);
        assert_eq!((outcome.delivered, outcome.answered), (3, answered), "{name}");
        assert_eq!((outcome.down, outcome.rejected), (Some(DownReason::DeletedByPeer), vec![]), "{name}");
    }
}

/// The recorded initiator wants EAP, and says so by leaving AUTH out.
#[test]
fn eap_is_refused() {
    for name in ["eap-md5", "eap-mschapv2"] {
        let outcome = take_part(Role::Responder, name, None);
        assert_eq!((outcome.up, outcome.answered), (None, 2), "{name}");
        let Some(DownReason::Failed(failure)) = outcome.down else { panic!("{name}: {:?}", outcome.down) };
        assert!(matches!(*failure, Failure::Unsupported(Unsupported::Eap)), "{name}: {failure}");
    }
}

#[test]
fn no_proposal_in_common_is_told() {
    let outcome = take_part(Role::Responder, "childless-chapoly", None);
    assert_eq!((outcome.up, outcome.answered), (None, 1));
    assert!(matches!(outcome.rejected[0], Rejection::NoProposalChosen(_)), "{:?}", outcome.rejected);
}
