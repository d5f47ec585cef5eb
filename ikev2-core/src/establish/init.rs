//! What the IKE_SA_INIT messages hold (RFC 7296 §1.2, Appendix C.1).

use super::auth::announced_hashes;
use super::nat::{self, Claim};
use crate::contents::Contents;
use crate::event::NatStatus;
use crate::exchange::datagram::Datagram;
use crate::exchange::exchanges::Ends;
use crate::exchange::fragment::{FragmentPolicy, Fragmentation};
use crate::exchange::protect::MessageHead;
use crate::negotiation::{self, IkeProposal};
use crate::redirect::RedirectSupport;
use alloc::vec;
use alloc::vec::Vec;
use ikev2_wire::codes::{HashAlgorithm, KeMethod, NotifyType};
use ikev2_wire::{EncodeError, Header, Payload, Proposal, Transform, TransformType, encode_chain};
use ikev2_wire::{KePayload, NoncePayload, NotifyPayload, SaPayload};
use ipsec_crypto::{CryptoProvider, RandomError, SecureRandom};
use ipsec_types::udp::NON_ESP_MARKER;
use ipsec_types::{IkeSpi, Path};

/// Octets of our nonces: at least half the key of any PRF that we know, at least 16 (§2.10).
pub const NONCE_LEN: usize = 32;

/// Octets of UDP's payload that pass every path whole: what the smallest MTU of IPv6 leaves without the headers of IPv6
/// and UDP (RFC 8200 §5).
pub const PASSES_EVERYWHERE: usize = 1_280 - 40 - 8;

/// What both IKE_SA_INIT messages are made of.
#[derive(Clone, Debug)]
pub struct InitMessage<'a> {
    /// The cookie to return, first of all (§2.6). Requests only.
    pub cookie: Option<&'a [u8]>,
    /// What is offered, or the one proposal chosen.
    pub sa: SaPayload<'a>,
    /// The method of our key exchange data.
    pub method: KeMethod,
    /// The data.
    pub public: &'a [u8],
    /// The nonce.
    pub nonce: &'a [u8],
    /// What we say of the path; `None` where the peer does no NAT traversal.
    pub nat: Option<Claim>,
    /// What we say of redirects (RFC 5685).
    pub redirect: Option<(NotifyType, &'a [u8])>,
    /// The hashes of the signatures that we read, as 16-bit numbers (RFC 7427 §4); empty for none.
    pub hashes: &'a [u8],
    /// Whether we fragment and take fragments (RFC 7383 §2.3); an answer only says so where its request did.
    pub fragmentation: bool,
    /// Whether we do IKE_INTERMEDIATE (RFC 9242 §3.1); an answer only says so where its request did.
    pub intermediate: bool,
    /// Whether we take an IKE_AUTH without a Child SA (RFC 6023 §3). Answers only.
    pub childless: bool,
}

impl<'a> InitMessage<'a> {
    /// The payloads, in the order of Appendix C.1.
    ///
    /// # Errors
    /// [`EncodeError`] where the nonce has no length that §3.9 allows.
    pub fn payloads(&'a self) -> Result<Vec<Payload<'a>>, EncodeError> {
        let mut payloads = Vec::with_capacity(6);
        if let Some(cookie) = self.cookie {
            payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::COOKIE, cookie)));
        }
        payloads.push(Payload::Sa(self.sa.clone()));
        payloads.push(Payload::Ke(KePayload { method: self.method, data: self.public }));
        payloads.push(Payload::Nonce(NoncePayload::new(self.nonce)?));
        if let Some(nat) = &self.nat {
            let notify = |ty, hash| Payload::Notify(NotifyPayload::new(ty, hash));
            payloads.push(notify(NotifyType::NAT_DETECTION_SOURCE_IP, &nat.source));
            payloads.push(notify(NotifyType::NAT_DETECTION_DESTINATION_IP, &nat.destination));
        }
        if let Some((ty, data)) = self.redirect {
            payloads.push(Payload::Notify(NotifyPayload::new(ty, data)));
        }
        if !self.hashes.is_empty() {
            let notify = NotifyPayload::new(NotifyType::SIGNATURE_HASH_ALGORITHMS, self.hashes);
            payloads.push(Payload::Notify(notify));
        }
        if self.fragmentation {
            let notify = NotifyPayload::new(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[]);
            payloads.push(Payload::Notify(notify));
        }
        if self.intermediate {
            let notify = NotifyPayload::new(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, &[]);
            payloads.push(Payload::Notify(notify));
        }
        if self.childless {
            let notify = NotifyPayload::new(NotifyType::CHILDLESS_IKEV2_SUPPORTED, &[]);
            payloads.push(Payload::Notify(notify));
        }
        Ok(payloads)
    }
}

/// How many octets IKE_SA_INIT takes at most by one key exchange method, the non-ESP marker included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InitSizes {
    pub method: KeMethod,
    /// With the longest cookie (§2.6).
    pub request: usize,
    /// Where one of the proposals is chosen.
    pub answer: usize,
}

/// What IKE_SA_INIT says of us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Announced {
    pub fragmentation: bool,
    pub intermediate: bool,
    pub childless: bool,
}

/// How large IKE_SA_INIT is by each method of a policy that the provider has.
pub(crate) fn sizes(
    crypto: &CryptoProvider,
    policy: &[IkeProposal],
    redirects: RedirectSupport,
    says: Announced,
) -> Vec<InitSizes> {
    let (offered, redirect) = (negotiation::offer_ike(policy, None), redirects.notify());
    const LONGEST_COOKIE: [u8; 64] = [0; 64];
    let hashes = hash_list(&announced_hashes(crypto));
    let size = |proposals: &[Proposal], method, public: usize, is_request: bool| {
        let message = InitMessage {
            cookie: is_request.then_some(&LONGEST_COOKIE[..]),
            sa: SaPayload::build(proposals).ok()?,
            method,
            public: &vec![0; public],
            nonce: &[0; NONCE_LEN],
            nat: Some(Claim { source: [0; 20], destination: [0; 20] }),
            redirect: redirect.as_ref().filter(|_| is_request).map(|(ty, data)| (*ty, &**data)),
            hashes: &hashes,
            fragmentation: says.fragmentation,
            intermediate: says.intermediate,
            childless: says.childless && !is_request,
        };
        let mut payloads = Vec::new();
        let first = encode_chain(&message.payloads().ok()?, &mut payloads);
        first.ok().map(|_| NON_ESP_MARKER.len() + Header::LEN + payloads.len())
    };
    let of = |method: KeMethod| {
        let algorithm = crypto.key_exchange(method)?;
        let request = size(&offered, method, algorithm.initiator_len(), true)?;
        let chosen = offered.iter().filter_map(|proposal| one_of_each_type(proposal, method));
        let answers = chosen.filter_map(|one| size(&[one], method, algorithm.responder_len(), false));
        Some(InitSizes { method, request, answer: answers.max()? })
    };
    negotiation::offered_ke(&offered).into_iter().filter_map(of).collect()
}

/// Whether the peer does IKE_INTERMEDIATE (RFC 9242 §3.1).
pub(super) fn peer_intermediate(contents: &Contents<'_>) -> bool {
    contents.notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED).is_some()
}

/// What is chosen of a proposal with this method, as far as its size goes.
fn one_of_each_type(proposal: &Proposal, method: KeMethod) -> Option<Proposal> {
    let is_it = |transform: &Transform| transform.ty != TransformType::KE || transform.id == method.0;
    let mut chosen = proposal.clone();
    chosen.transforms.retain(is_it);
    // A key length makes a transform longer.
    chosen.transforms.sort_by_key(|transform| (transform.ty, transform.key_bits.is_none()));
    chosen.transforms.dedup_by_key(|transform| transform.ty);
    chosen.of_type(TransformType::KE).next()?;
    Some(chosen)
}

/// The data of SIGNATURE_HASH_ALGORITHMS.
#[must_use]
pub fn hash_list(hashes: &[HashAlgorithm]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0.to_be_bytes()).collect()
}

/// A message without protection.
///
/// # Errors
/// [`EncodeError`] where something is larger than its length field can say.
pub fn plain(head: &MessageHead, payloads: &[Payload<'_>]) -> Result<Datagram, EncodeError> {
    let mut buffer = Datagram::buffer(512);
    ikev2_wire::encode_message(&head.header(), payloads, &mut buffer)?;
    Ok(Datagram::finish(buffer))
}

/// Fragmentation, if we do it and the peer says that it does (RFC 7383 §2.3).
pub(super) fn fragmentation(policy: Option<FragmentPolicy>, contents: &Contents<'_>) -> Fragmentation {
    let said = contents.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
    policy.filter(|_| said).map(Fragmentation::agreed).unwrap_or_default()
}

/// A nonce of ours.
pub(crate) fn nonce(random: &mut dyn SecureRandom) -> Result<Vec<u8>, RandomError> {
    let mut nonce = vec![0; NONCE_LEN];
    random.fill(&mut nonce)?;
    Ok(nonce)
}

/// The hashes that the peer announced, if we announce any too: a notify that answers nothing means nothing.
pub(super) fn peer_hashes(crypto: &CryptoProvider, contents: &Contents<'_>) -> Option<Vec<HashAlgorithm>> {
    if crypto.signatures.is_empty() {
        return None;
    }
    let notify = contents.notify(NotifyType::SIGNATURE_HASH_ALGORITHMS)?;
    Some(notify.hash_algorithms()?.collect())
}

/// What the NAT_DETECTION notifies of a message say, if it has any.
pub(super) fn detect_nat(
    initiator: IkeSpi,
    responder: Option<IkeSpi>,
    path: &Path,
    contents: &Contents<'_>,
    claimed: bool,
) -> Option<NatStatus> {
    let of = |ty| contents.notifies.iter().filter(move |n| n.ty == ty).map(|n| n.data);
    nat::detect(
        initiator,
        responder,
        path,
        of(NotifyType::NAT_DETECTION_SOURCE_IP),
        of(NotifyType::NAT_DETECTION_DESTINATION_IP).next(),
        claimed,
    )
}

impl Ends {
    /// What the NAT_DETECTION notifies of a message of this SA say, if it has any. `claimed` is whether our own claim a NAT
    /// in front of us.
    pub(crate) fn detect_nat(
        &self,
        path: &Path,
        contents: &Contents<'_>,
        claimed: bool,
    ) -> Option<NatStatus> {
        let (initiator, responder) = self.spis();
        detect_nat(initiator, responder, path, contents, claimed)
    }
}
