//! A peer that says in a handshake whatever a test wants, and proves it: AUTH covers what was really sent. It
//! speaks AES-GCM-256, HMAC-SHA2-256 and Curve25519.

use super::forge::{Forger, Raw, head_of, payloads_of, plain};
use super::setup::{SECRET, id, net, seeded};
use ikev2_core::establish::secrets::{Agreement, IkeAlgorithms};
use ikev2_core::exchange::datagram::Datagram;
use ikev2_core::exchange::exchanges::Ends;
use ikev2_core::exchange::protect::MessageHead;
use ikev2_core::keys::IkeKeys;
use ikev2_core::{Identity, Role};
use ikev2_wire::codes::{AuthMethod, ExchangeType, PayloadType};
use ikev2_wire::{
    AuthPayload, Flags, IkeSpi, KePayload, NoncePayload, Payload, Proposal, SaPayload, TsPayload,
};
use ikev2_wire::{KeMethod, NotifyType, PrfId, ProtocolId, Transform};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{PendingKeyExchange, SecureRandom};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{EncrId, IntegId, SecretBytes, SequenceNumbers};

const SUITE: CipherSuite =
    CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(256), integ: IntegId::NONE };

pub struct Peer {
    pub role: Role,
    pub identity: Identity,
    /// The identity payload's reserved octets.
    pub id_reserved: [u8; 3],
    pub secret: SecretBytes,
    pub spi: IkeSpi,
    pub nonce: Vec<u8>,
    pub exchange: Box<dyn PendingKeyExchange>,
    pub random: Box<dyn SecureRandom>,
    request: Vec<u8>,
    agreement: Option<Agreement>,
    keys: Option<IkeKeys>,
    /// What IKE_INTERMEDIATE adds to the octets under AUTH, and the Message ID of IKE_AUTH.
    pub int_auth: Vec<u8>,
    pub auth_id: u32,
    /// Once the keys are known.
    pub forger: Option<Forger>,
}

impl Peer {
    pub fn new(role: Role, name: &str) -> Self {
        let mut random = seeded(0xFEED);
        let method = RUSTCRYPTO.key_exchange(KeMethod::CURVE25519).unwrap();
        let exchange = method.start(&mut *random).unwrap();
        let mut spi = [0; 8];
        random.fill(&mut spi).unwrap();
        let mut nonce = vec![0; 32];
        random.fill(&mut nonce).unwrap();
        Self {
            role,
            identity: id(name),
            id_reserved: [0; 3],
            secret: SecretBytes::copy_from(SECRET),
            spi: IkeSpi::new(u64::from_be_bytes(spi)).unwrap(),
            nonce,
            exchange,
            random,
            request: Vec::new(),
            agreement: None,
            keys: None,
            int_auth: Vec::new(),
            auth_id: 1,
            forger: None,
        }
    }

    pub fn initiator() -> Self {
        Self::new(Role::Initiator, "a.example")
    }

    pub fn responder() -> Self {
        Self::new(Role::Responder, "b.example")
    }

    pub fn ike_proposal(number: u8) -> Proposal {
        Proposal {
            number,
            protocol: ProtocolId::IKE,
            spi: Vec::new(),
            transforms: vec![
                Transform::encr(EncrId::AES_GCM_16, Some(256)),
                Transform::prf(PrfId::HMAC_SHA2_256),
                Transform::ke(KeMethod::CURVE25519),
            ],
        }
    }

    pub fn esp_proposal(spi: u32) -> Proposal {
        Proposal {
            number: 1,
            protocol: ProtocolId::ESP,
            spi: spi.to_be_bytes().to_vec(),
            transforms: vec![
                Transform::encr(EncrId::AES_GCM_16, Some(256)),
                Transform::sn(SequenceNumbers::Sequential64),
            ],
        }
    }

    pub fn sa(proposals: &[Proposal]) -> Raw {
        Raw::of(&Payload::Sa(SaPayload::build(proposals).unwrap()))
    }

    fn init_payloads(&self) -> Vec<Raw> {
        vec![
            Self::sa(&[Self::ike_proposal(1)]),
            Raw::of(&Payload::Ke(KePayload { method: KeMethod::CURVE25519, data: self.exchange.public() })),
            Raw::of(&Payload::Nonce(NoncePayload::new(&self.nonce).unwrap())),
        ]
    }

    /// The IKE_SA_INIT request, with its payloads changed.
    pub fn init_request(&mut self, change: impl FnOnce(&mut Vec<Raw>)) -> Vec<u8> {
        let head = MessageHead {
            initiator_spi: self.spi,
            responder_spi: None,
            exchange: ExchangeType::IKE_SA_INIT,
            flags: Flags::new(true, false),
            message_id: 0,
        };
        let mut payloads = self.init_payloads();
        change(&mut payloads);
        self.request = plain(&head, &payloads);
        self.request.clone()
    }

    /// The IKE_SA_INIT answer to a request, with its payloads changed.
    pub fn init_answer(&mut self, request: &[u8], change: impl FnOnce(&mut Vec<Raw>)) -> Vec<u8> {
        let asked = head_of(request);
        let head = MessageHead { responder_spi: Some(self.spi), flags: Flags::new(false, true), ..asked };
        let mut payloads = self.init_payloads();
        change(&mut payloads);
        let answer = plain(&head, &payloads);
        self.agree(request, &answer);
        answer
    }

    /// The other side's answer came.
    pub fn got_init_answer(&mut self, answer: &[u8]) {
        let request = self.request.clone();
        self.agree(&request, answer);
    }

    fn agree(&mut self, request: &[u8], answer: &[u8]) {
        let find = |message: &[u8], ty| payloads_of(message).into_iter().find(|raw| raw.ty == ty).unwrap();
        let theirs = if self.role == Role::Initiator { answer } else { request };
        let shared = self.exchange.finish(&find(theirs, PayloadType::KE).body[4..]).unwrap();
        let head = head_of(answer);
        let agreement = Agreement {
            algorithms: IkeAlgorithms::find(&RUSTCRYPTO, SUITE, PrfId::HMAC_SHA2_256, KeMethod::CURVE25519)
                .unwrap(),
            ends: Ends {
                role: self.role,
                initiator_spi: head.initiator_spi,
                responder_spi: head.responder_spi.unwrap(),
            },
            initiator_nonce: find(request, PayloadType::NONCE).body,
            responder_nonce: find(answer, PayloadType::NONCE).body,
            request: Datagram::copy_from(request),
            answer: Datagram::copy_from(answer),
            peer_hashes: None,
            childless: false,
            intermediate: false,
        };
        let (keys, _) = agreement.keys(&shared).unwrap();
        let spis = (agreement.ends.initiator_spi, agreement.ends.responder_spi);
        let (i2r, r2i) = (keys.initiator_to_responder(), keys.responder_to_initiator());
        self.forger = Some(Forger::from_keys(spis, SUITE, &i2r, &r2i));
        (self.agreement, self.keys) = (Some(agreement), Some(keys));
    }

    fn id_body(&self) -> Vec<u8> {
        let mut body = self.identity.to_body();
        body[1..4].copy_from_slice(&self.id_reserved);
        body
    }

    /// What this peer's AUTH covers.
    pub fn signed_octets(&self) -> Vec<u8> {
        self.octets_under_auth(self.role, &self.id_body())
    }

    /// What the AUTH of the end with this role and this ID payload covers, by the formula, and not by the code under
    /// test: RealMessage | the other's nonce | prf(SK_p, ID) (§2.15) | IntAuth (RFC 9242 §3.3.2).
    pub fn octets_under_auth(&self, of: Role, id_body: &[u8]) -> Vec<u8> {
        let (agreement, keys) = (self.agreement.as_ref().unwrap(), self.keys.as_ref().unwrap());
        let (message, nonce, sk_p) = match of {
            Role::Initiator => (&agreement.request, &agreement.responder_nonce, &keys.pi),
            Role::Responder => (&agreement.answer, &agreement.initiator_nonce, &keys.pr),
        };
        [message.message(), nonce, &prf(sk_p.as_slice(), &[id_body]), &self.int_auth].concat()
    }

    /// `prf(SK_p, A | P)` of a message of this end, by the formula (RFC 9242 §3.3.2).
    pub fn int_auth_of(&self, sender: Role, head: &[u8], inner: &[u8]) -> Vec<u8> {
        let keys = self.keys.as_ref().unwrap();
        let sk_p = if sender == Role::Initiator { &keys.pi } else { &keys.pr };
        prf(sk_p.as_slice(), &[head, inner])
    }

    fn auth_payloads(&self, esp_spi: u32) -> Vec<Raw> {
        let body = self.id_body();
        let proof = shared_key_proof(self.secret.as_slice(), &self.signed_octets());
        let id_type = if self.role == Role::Initiator { PayloadType::ID_I } else { PayloadType::ID_R };
        let everything = TsPayload::build(&[net("0.0.0.0/0")]).unwrap();
        vec![
            Raw::new(id_type, &body),
            Raw::of(&Payload::Auth(AuthPayload::new(AuthMethod::SHARED_KEY, &proof))),
            Self::sa(&[Self::esp_proposal(esp_spi)]),
            Raw::of(&Payload::TsI(everything.clone())),
            Raw::of(&Payload::TsR(everything)),
        ]
    }

    /// The IKE_AUTH request, with its payloads changed.
    pub fn auth_request(&mut self, change: impl FnOnce(&mut Vec<Raw>)) -> Vec<u8> {
        let mut payloads = self.auth_payloads(0xAAAA_0001);
        change(&mut payloads);
        self.request(ExchangeType::IKE_AUTH, self.auth_id, &payloads)
    }

    /// The IKE_AUTH answer, with its payloads changed.
    pub fn auth_answer(&mut self, change: impl FnOnce(&mut Vec<Raw>)) -> Vec<u8> {
        let mut payloads = self.auth_payloads(0xBBBB_0001);
        change(&mut payloads);
        self.answer(ExchangeType::IKE_AUTH, self.auth_id, &payloads)
    }

    /// Any protected request.
    pub fn request(&mut self, exchange: ExchangeType, message_id: u32, payloads: &[Raw]) -> Vec<u8> {
        let role = self.role;
        let forger = self.forger.as_mut().unwrap();
        let head = forger.head(role, exchange, message_id, false);
        forger.seal(&head, payloads)
    }

    /// Any protected answer.
    pub fn answer(&mut self, exchange: ExchangeType, message_id: u32, payloads: &[Raw]) -> Vec<u8> {
        let role = self.role;
        let forger = self.forger.as_mut().unwrap();
        let head = forger.head(role, exchange, message_id, true);
        forger.seal(&head, payloads)
    }

    /// `prf+(SK_d, Ni | Nr)` (RFC 7296 §2.17), with the nonces of IKE_SA_INIT or others.
    pub fn child_keymat(&self, nonces: Option<(&[u8], &[u8])>, length: usize) -> Vec<u8> {
        let (agreement, keys) = (self.agreement.as_ref().unwrap(), self.keys.as_ref().unwrap());
        let (ni, nr) = nonces.unwrap_or((&agreement.initiator_nonce, &agreement.responder_nonce));
        let mut keymat = vec![0; length];
        let prf = agreement.algorithms.prf;
        ipsec_crypto::prf_plus(prf, keys.d.as_slice(), &[ni, nr], &mut keymat).unwrap();
        keymat
    }

    /// What the other side sent.
    pub fn open(&self, message: &[u8]) -> Vec<Raw> {
        self.forger.as_ref().unwrap().open(message)
    }
}

/// AUTH by a shared secret over these octets (§2.15).
pub fn shared_key_proof(secret: &[u8], octets: &[u8]) -> Vec<u8> {
    prf(&prf(secret, &[b"Key Pad for IKEv2"]), &[octets])
}

/// HMAC-SHA2-256.
fn prf(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut output = vec![0; 32];
    RUSTCRYPTO.prf(PrfId::HMAC_SHA2_256).unwrap().compute(key, parts, &mut output);
    output
}

/// The notifies among payloads, as (type, data).
pub fn notifies(payloads: &[Raw]) -> Vec<(NotifyType, Vec<u8>)> {
    payloads
        .iter()
        .filter(|raw| raw.ty == PayloadType::NOTIFY)
        .map(|raw| {
            let spi = usize::from(raw.body[1]);
            let ty = NotifyType(u16::from_be_bytes([raw.body[2], raw.body[3]]));
            (ty, raw.body[4 + spi..].to_vec())
        })
        .collect()
}

pub fn has(payloads: &[Raw], ty: PayloadType) -> bool {
    payloads.iter().any(|raw| raw.ty == ty)
}

pub fn body(payloads: &[Raw], ty: PayloadType) -> &[u8] {
    &payloads.iter().find(|raw| raw.ty == ty).unwrap_or_else(|| panic!("no {ty}")).body
}

pub fn body_mut(payloads: &mut [Raw], ty: PayloadType) -> &mut Vec<u8> {
    &mut payloads.iter_mut().find(|raw| raw.ty == ty).unwrap_or_else(|| panic!("no {ty}")).body
}
