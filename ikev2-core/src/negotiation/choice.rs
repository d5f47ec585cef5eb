//! Choosing among the peer's proposals as the responder, and checking its choice among ours as the initiator
//! (RFC 7296 §2.7, §3.3.1 to §3.3.6).
//!
//! How the choice is made, where the document leaves it to us: our policy's order of proposals decides, then the
//! order in which the peer sent its own; in each transform type our order decides. All of it yields to the method
//! of the request's KE payload: a combination that uses it, or none, is taken before any that would cost another
//! round trip. Proposal numbers are labels, which are only repeated.
//!
//! An SA payload has at most 1,024 transforms ([`ikev2_wire::payload::sa::MAX_TRANSFORMS`]), and each is compared with
//! each of the policy a fixed number of times: the bound of the work for one request.

use super::key_exchanges::{self, AdditionalExchanges};
use super::mismatch::{KeMismatch, Lacking, MAX_REPORTED, Mismatch, RefusalReason, Refused};
use super::proposal::{
    ChildExchange, ESP, EspProposal, IKE, IkeExchange, IkeProposal, ProtocolRules, esp_policy, ike_policy,
    is_of_another_protocol, offered_ke,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::{
    EncrId, IntegId, KeMethod, PrfId, Proposal, ProtocolId, SaPayload, Transform, TransformType,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{EspSpi, IkeSpi, SequenceNumbers};
use thiserror::Error;

/// What the responder decides about proposals of which one is acceptable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selection<C> {
    /// This is chosen, and it uses the request's KE payload or needs none.
    Chosen(C),
    /// The best that is acceptable uses another method than the request's KE payload: answer with
    /// N(INVALID_KE_PAYLOAD) and [`KeMismatch::wanted`] (RFC 7296 §1.2, §1.3).
    InvalidKe(Box<KeMismatch>),
}

/// What two sides agreed on for an IKE SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IkeChoice {
    /// The label of the proposal.
    pub number: u8,
    /// The peer's SPI for the new SA, if an IKE SA is rekeyed.
    pub peer_spi: Option<IkeSpi>,
    /// The algorithms of the SK payload.
    pub cipher: CipherSuite,
    /// The pseudorandom function.
    pub prf: PrfId,
    /// The key exchange method.
    pub ke: KeMethod,
    /// The key exchanges after that one (RFC 9370).
    pub additional: AdditionalExchanges,
    transforms: Vec<Transform>,
}

impl IkeChoice {
    /// The proposal of the answer: the chosen transforms as the peer sent them, and our SPI if an IKE SA is rekeyed.
    #[must_use]
    pub fn reply(&self, spi: Option<IkeSpi>) -> Proposal {
        Proposal {
            number: self.number,
            protocol: ProtocolId::IKE,
            spi: spi.map_or_else(Vec::new, |spi| spi.to_be_bytes().to_vec()),
            transforms: self.transforms.clone(),
        }
    }

    /// The transform of this type, if there is one: that of another protocol's own
    /// ([`IkeProposal::with_others`]) too.
    #[must_use]
    pub fn transform(&self, ty: TransformType) -> Option<&Transform> {
        self.transforms.iter().find(|transform| transform.ty == ty)
    }

    fn new(agreed: Agreed) -> Option<Self> {
        Some(Self {
            number: agreed.number,
            peer_spi: agreed.spi.as_slice().try_into().ok().map(u64::from_be_bytes).and_then(IkeSpi::new),
            cipher: agreed.cipher()?,
            prf: PrfId(agreed.of_type(TransformType::PRF)?.id),
            ke: agreed.ke()?,
            additional: AdditionalExchanges::of(&agreed.transforms),
            transforms: agreed.transforms,
        })
    }
}

/// What two sides agreed on for a Child SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EspChoice {
    /// The label of the proposal.
    pub number: u8,
    /// The SPI that we send to.
    pub peer_spi: EspSpi,
    /// The algorithms.
    pub cipher: CipherSuite,
    /// The key exchange method. `None` for no key exchange: a KE payload of the request is to be ignored, and the
    /// answer has none (RFC 7296 §3.3.6).
    pub ke: Option<KeMethod>,
    /// The key exchanges after that one (RFC 9370).
    pub additional: AdditionalExchanges,
    /// The kind of sequence numbers.
    pub sequence_numbers: SequenceNumbers,
    transforms: Vec<Transform>,
}

impl EspChoice {
    /// The proposal of the answer: the chosen transforms as the peer sent them, and our SPI.
    #[must_use]
    pub fn reply(&self, spi: EspSpi) -> Proposal {
        Proposal {
            number: self.number,
            protocol: ProtocolId::ESP,
            spi: spi.to_be_bytes().to_vec(),
            transforms: self.transforms.clone(),
        }
    }

    fn new(agreed: Agreed) -> Option<Self> {
        Some(Self {
            number: agreed.number,
            peer_spi: EspSpi::new(u32::from_be_bytes(agreed.spi.as_slice().try_into().ok()?))?,
            cipher: agreed.cipher()?,
            ke: agreed.ke(),
            additional: AdditionalExchanges::of(&agreed.transforms),
            sequence_numbers: SequenceNumbers::from_transform_id(agreed.of_type(TransformType::SN)?.id)?,
            transforms: agreed.transforms,
        })
    }
}

/// Chooses among the proposals for an IKE SA, as the responder. `ke_sent` is the method that the request's KE payload
/// names.
///
/// # Errors
/// [`Mismatch`], to be answered with N(NO_PROPOSAL_CHOSEN).
pub fn choose_ike(
    policy: &[IkeProposal],
    offered: &SaPayload<'_>,
    exchange: IkeExchange,
    ke_sent: KeMethod,
) -> Result<Selection<IkeChoice>, Box<Mismatch>> {
    let rules = Rules::ike(exchange).with_others_of(policy);
    choose(&rules, ike_policy(policy, &[]), offered, Some(ke_sent), IkeChoice::new)
}

/// Chooses among the proposals for a Child SA, as the responder.
///
/// # Errors
/// [`Mismatch`], to be answered with N(NO_PROPOSAL_CHOSEN).
pub fn choose_esp(
    policy: &[EspProposal],
    offered: &SaPayload<'_>,
    exchange: ChildExchange,
) -> Result<Selection<EspChoice>, Box<Mismatch>> {
    choose(
        &Rules::esp(exchange),
        esp_policy(policy, &[], exchange),
        offered,
        exchange.ke_sent(),
        EspChoice::new,
    )
}

/// Checks the peer's choice among our proposals for an IKE SA, as the initiator. `ke_sent` is the method of our KE
/// payload.
///
/// # Errors
/// [`ResponseFault`]: the exchange fails (RFC 7296 §3.3.6).
pub fn accept_ike(
    offered: &[Proposal],
    answer: &SaPayload<'_>,
    exchange: IkeExchange,
    ke_sent: KeMethod,
) -> Result<IkeChoice, ResponseFault> {
    accept(&Rules::ike(exchange), offered, answer, Some(ke_sent), IkeChoice::new)
}

/// Checks the peer's choice among our proposals for a Child SA, as the initiator.
///
/// # Errors
/// [`ResponseFault`]: the Child SA fails, and where the peer has set it up, it is to be deleted.
pub fn accept_esp(
    offered: &[Proposal],
    answer: &SaPayload<'_>,
    exchange: ChildExchange,
) -> Result<EspChoice, ResponseFault> {
    accept(&Rules::esp(exchange), offered, answer, exchange.ke_sent(), EspChoice::new)
}

/// What is wrong with the peer's choice among our proposals (RFC 7296 §2.7, §3.3.6).
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResponseFault {
    /// An answer has exactly one proposal.
    #[error("the answer has {0} proposals instead of one")]
    ProposalCount(usize),
    /// No proposal of ours has the number.
    #[error("proposal number {0} was not offered")]
    Number(u8),
    /// Another protocol than we proposed.
    #[error("the answer is for {found} instead of {expected}")]
    Protocol {
        /// The protocol that we proposed.
        expected: ProtocolId,
        /// The protocol of the answer.
        found: ProtocolId,
    },
    /// The SPI has the wrong size.
    #[error("the SPI has {found} octets instead of {expected}")]
    SpiSize {
        /// The size in octets that it should have.
        expected: usize,
        /// The size in octets that it has.
        found: usize,
    },
    /// The SPI is one that no SA may have: 0, or for ESP one of 1 to 255 (RFC 4303 §2.1).
    #[error("the SPI is reserved")]
    SpiReserved,
    /// Two transforms of one type.
    #[error("the answer has more than one {0} transform")]
    Repeated(TransformType),
    /// A transform type for which we offered something is not answered.
    #[error("the answer has no {0} transform")]
    Missing(TransformType),
    /// A transform that we did not offer in this proposal.
    #[error("{0} was not offered in this proposal")]
    NotOffered(Transform),
    /// A transform that we offered with other attributes: they must come back unmodified.
    #[error("{found} was offered as {offered} only")]
    AttributesChanged {
        /// The transform of the answer.
        found: Transform,
        /// The first of ours with the same ID.
        offered: Transform,
    },
    /// An additional key exchange, while the answer does not say that IKE_INTERMEDIATE is supported (RFC 9370 §2.2.1).
    #[error("the answer chooses {0} and no IKE_INTERMEDIATE to make it in")]
    NoIntermediate(Transform),
    /// A key exchange method that is chosen twice (RFC 9370 §2.2.1).
    #[error("the answer chooses {0} for more than one key exchange")]
    SameKeyExchange(KeMethod),
    /// The chosen method is not that of our KE payload, for which there is N(INVALID_KE_PAYLOAD) instead.
    #[error("the answer chooses the key exchange {chosen} and our KE payload is not for it")]
    KeMethod {
        /// The method of the answer.
        chosen: KeMethod,
        /// The method of our KE payload.
        sent: Option<KeMethod>,
    },
}

/// What the proposals of one exchange must look like.
pub(super) struct Rules {
    protocol: &'static ProtocolRules,
    spi_len: usize,
    /// Whether the exchange negotiates a key exchange at all.
    ke: bool,
    /// Whether additional key exchanges can follow, without which their types are not known (RFC 9370 §2.1).
    additional: bool,
    /// Types of another protocol's that our policy has.
    others: Vec<TransformType>,
}

impl Rules {
    fn ike(exchange: IkeExchange) -> Self {
        let (spi_len, additional) = match exchange {
            IkeExchange::Initial => (0, false),
            IkeExchange::InitialIntermediate => (0, true),
            IkeExchange::Rekey => (8, true),
        };
        Self { protocol: &IKE, spi_len, ke: true, additional, others: Vec::new() }
    }

    fn esp(exchange: ChildExchange) -> Self {
        let ke = exchange.negotiates(TransformType::KE);
        Self { protocol: &ESP, spi_len: 4, ke, additional: true, others: Vec::new() }
    }

    /// The same, and what this policy negotiates beside.
    fn with_others_of(mut self, policy: &[IkeProposal]) -> Self {
        let types = policy.iter().flat_map(IkeProposal::transforms).map(|transform| transform.ty);
        for ty in types.filter(|ty| is_of_another_protocol(*ty)) {
            if !self.others.contains(&ty) {
                self.others.push(ty);
            }
        }
        self
    }

    /// Whether transforms of this type are negotiated.
    fn knows(&self, ty: TransformType) -> bool {
        let additional = self.additional || !key_exchanges::ADDITIONAL.contains(&ty);
        self.protocol.has(ty) && additional || self.others.contains(&ty)
    }

    /// The transform types that are negotiated beside the cipher and the key exchanges.
    fn further_types(&self) -> impl Iterator<Item = TransformType> + '_ {
        let known = self.protocol.mandatory.iter().chain(self.protocol.optional).copied();
        known.filter(|ty| *ty != TransformType::ENCR && !ty.is_key_exchange())
    }

    /// Our transforms of a type that the peer has too, in our order.
    pub(super) fn common(
        &self,
        ours: &Proposal,
        theirs: &Proposal,
        ty: TransformType,
    ) -> impl Iterator<Item = Transform> {
        alternatives(self, ours, ty).filter(|transform| self.offers(theirs, transform))
    }

    /// Checks what a proposal must be to be looked at (RFC 7296 §3.3.1, §3.3.6).
    fn check(&self, proposal: &Proposal) -> Result<(), RefusalReason> {
        if proposal.protocol != self.protocol.protocol {
            return Err(RefusalReason::Protocol { expected: self.protocol.protocol });
        }
        if proposal.spi.len() != self.spi_len {
            return Err(RefusalReason::SpiSize { expected: self.spi_len });
        }
        if self.spi_is_reserved(&proposal.spi) {
            return Err(RefusalReason::SpiReserved);
        }
        if let Some(unknown) = proposal.transforms.iter().find(|t| !self.knows(t.ty)) {
            return Err(RefusalReason::TransformType(unknown.ty));
        }
        match self.protocol.mandatory.iter().find(|ty| proposal.of_type(**ty).next().is_none()) {
            Some(missing) => Err(RefusalReason::Missing(*missing)),
            None => Ok(()),
        }
    }

    /// Whether an SPI of the right size is one that no SA may have.
    fn spi_is_reserved(&self, spi: &[u8]) -> bool {
        match <[u8; 4]>::try_from(spi) {
            Ok(spi) => EspSpi::new(u32::from_be_bytes(spi)).is_none_or(EspSpi::is_reserved),
            Err(_) => !spi.is_empty() && spi.iter().all(|octet| *octet == 0),
        }
    }

    /// Whether a proposal has the transform, or has it by leaving out the type.
    fn offers(&self, proposal: &Proposal, transform: &Transform) -> bool {
        proposal.transforms.contains(transform)
            || self.may_be_none(transform.ty)
                && *transform == Transform::new(transform.ty, 0)
                && proposal.of_type(transform.ty).next().is_none()
    }

    /// Whether leaving out transforms of the type is the same as one with ID 0 (RFC 7296 §3.3.2).
    fn may_be_none(&self, ty: TransformType) -> bool {
        ty == TransformType::INTEG || self.protocol.optional.contains(&ty)
    }
}

/// One transform of each type, from a proposal that both sides have.
struct Agreed {
    number: u8,
    spi: Vec<u8>,
    /// As they stand in the answer: with NONE only where it was offered.
    transforms: Vec<Transform>,
}

impl Agreed {
    fn of_type(&self, ty: TransformType) -> Option<&Transform> {
        self.transforms.iter().find(|transform| transform.ty == ty)
    }

    fn cipher(&self) -> Option<CipherSuite> {
        let encr = self.of_type(TransformType::ENCR)?;
        let integ = self.of_type(TransformType::INTEG).map_or(IntegId::NONE, |integ| IntegId(integ.id));
        let encr_id = EncrId(encr.id);
        let fits = encr_id.is_combined() == (integ == IntegId::NONE);
        fits.then_some(CipherSuite { encr: encr_id, key_bits: encr.key_bits, integ })
    }

    /// The method, with NONE as `None`.
    fn ke(&self) -> Option<KeMethod> {
        let method = KeMethod(self.of_type(TransformType::KE)?.id);
        (method != KeMethod::NONE).then_some(method)
    }
}

fn choose<C>(
    rules: &Rules,
    policy: impl Iterator<Item = Proposal> + Clone,
    offered: &SaPayload<'_>,
    ke_sent: Option<KeMethod>,
    build: fn(Agreed) -> Option<C>,
) -> Result<Selection<C>, Box<Mismatch>> {
    let offers: Vec<Proposal> = offered.proposals().map(|view| view.to_owned()).collect();
    let mut other_ke = None;
    for ours in policy.clone() {
        for theirs in offers.iter().filter(|theirs| rules.check(theirs).is_ok()) {
            let Ok(transforms) = select(rules, &ours, theirs, ke_sent) else { continue };
            let agreed = Agreed { number: theirs.number, spi: theirs.spi.clone(), transforms };
            match agreed.ke() {
                Some(method) if ke_sent != Some(method) => {
                    other_ke.get_or_insert(method);
                }
                _ => {
                    if let Some(choice) = build(agreed) {
                        return Ok(Selection::Chosen(choice));
                    }
                }
            }
        }
    }
    let policy: Vec<Proposal> = policy.collect();
    if let Some(wanted) = other_ke {
        let (offered, allowed) = (offered_ke(&offers), offered_ke(&policy));
        return Ok(Selection::InvalidKe(Box::new(KeMismatch { sent: ke_sent, wanted, offered, allowed })));
    }
    let more = offers.len().saturating_sub(MAX_REPORTED);
    let refused = offers.into_iter().take(MAX_REPORTED).map(|proposal| Refused {
        reason: rules.check(&proposal).err().unwrap_or_else(|| explain(rules, &policy, &proposal)),
        proposal,
    });
    Err(Box::new(Mismatch { offered: refused.collect(), allowed: policy, more }))
}

/// One transform of each type that the peer's proposal has, out of those that both have; or what there is none for. A
/// combination that [`Rules::check`] has passed.
fn select(
    rules: &Rules,
    ours: &Proposal,
    theirs: &Proposal,
    ke_sent: Option<KeMethod>,
) -> Result<Vec<Transform>, Lacking> {
    let mut chosen = select_cipher(ours, theirs).map_err(Lacking::InCommon)?;
    let has = |proposal: &Proposal, ty| proposal.of_type(ty).next().is_some();
    let others = rules.others.iter().copied().filter(|ty| has(ours, *ty) || has(theirs, *ty));
    for ty in rules.further_types().chain(others) {
        chosen.push(rules.common(ours, theirs, ty).next().ok_or(Lacking::InCommon(ty))?);
    }
    if rules.ke {
        chosen.extend(key_exchanges::select(rules, ours, theirs, ke_sent)?);
    }
    // An answer has one transform of each type in the proposal (RFC 7296 §2.7), and no others.
    chosen.retain(|transform| has(theirs, transform.ty));
    chosen.sort_by_key(|transform| transform.ty);
    Ok(chosen)
}

/// The first of our ciphers that the peer offers with an integrity that fits it.
fn select_cipher(ours: &Proposal, theirs: &Proposal) -> Result<Vec<Transform>, TransformType> {
    let mut failed = TransformType::ENCR;
    for encr in ours.of_type(TransformType::ENCR).filter(|encr| theirs.transforms.contains(encr)) {
        match select_integrity(EncrId(encr.id), ours, theirs) {
            Ok(integ) => {
                // PRF, key exchange or sequence numbers may come to it.
                let mut chosen = Vec::with_capacity(4);
                chosen.push(encr.clone());
                chosen.extend(integ);
                return Ok(chosen);
            }
            Err(ty) => failed = ty,
        }
    }
    Err(failed)
}

/// The integrity transform to go with a cipher: for one that protects integrity itself none, or NONE if the peer says
/// so (RFC 5282 §8); for others the first of our algorithms that the peer offers.
fn select_integrity(
    encr: EncrId,
    ours: &Proposal,
    theirs: &Proposal,
) -> Result<Option<Transform>, TransformType> {
    let mut offered = theirs.of_type(TransformType::INTEG).peekable();
    let integ = if !encr.is_combined() {
        ours.of_type(TransformType::INTEG).find(|integ| theirs.transforms.contains(integ)).cloned()
    } else if offered.peek().is_none() {
        return Ok(None);
    } else {
        offered.find(|integ| **integ == Transform::integ(IntegId::NONE)).cloned()
    };
    integ.map(Some).ok_or(TransformType::INTEG)
}

/// Our transforms of a type; NONE where we leave out an optional one.
fn alternatives(rules: &Rules, ours: &Proposal, ty: TransformType) -> impl Iterator<Item = Transform> {
    let none = rules.may_be_none(ty) && ours.of_type(ty).next().is_none();
    ours.of_type(ty).cloned().chain(none.then(|| Transform::new(ty, 0)))
}

/// What a well-formed proposal failed on, with those of ours that came the furthest.
fn explain(rules: &Rules, policy: &[Proposal], theirs: &Proposal) -> RefusalReason {
    let rank = |lacking: Lacking| match lacking {
        Lacking::InCommon(ty) => CHECKED_IN_ORDER.iter().position(|checked| *checked == ty),
        Lacking::Distinct => None,
    };
    let rank = |lacking: Lacking| rank(lacking).unwrap_or(CHECKED_IN_ORDER.len());
    let failed = |ours: &Proposal| select(rules, ours, theirs, None).err();
    let furthest = policy.iter().filter_map(failed).max_by_key(|lacking| rank(*lacking));
    let ty = match furthest {
        Some(Lacking::Distinct) => return RefusalReason::SameKeyExchange,
        Some(Lacking::InCommon(ty)) => ty,
        None => TransformType::ENCR,
    };
    let mut allowed: Vec<Transform> = Vec::new();
    let lacks = |ours: &&Proposal| failed(ours) == Some(Lacking::InCommon(ty));
    for transform in policy.iter().filter(lacks).flat_map(|ours| ours.of_type(ty)) {
        if !allowed.contains(transform) {
            allowed.push(transform.clone());
        }
    }
    RefusalReason::Transform { ty, offered: theirs.of_type(ty).cloned().collect(), allowed }
}

/// How far a proposal came by what it lacks in the end; what is not here came the furthest.
const CHECKED_IN_ORDER: [TransformType; 5] =
    [TransformType::ENCR, TransformType::INTEG, TransformType::PRF, TransformType::KE, TransformType::SN];

fn accept<C>(
    rules: &Rules,
    offered: &[Proposal],
    answer: &SaPayload<'_>,
    ke_sent: Option<KeMethod>,
    build: fn(Agreed) -> Option<C>,
) -> Result<C, ResponseFault> {
    let mut answered = answer.proposals();
    let (Some(view), None) = (answered.next(), answered.next()) else {
        return Err(ResponseFault::ProposalCount(answer.proposals().count()));
    };
    let theirs = view.to_owned();
    let ours = offered.iter().find(|ours| ours.number == theirs.number);
    let ours = ours.ok_or(ResponseFault::Number(theirs.number))?;
    if theirs.protocol != rules.protocol.protocol {
        return Err(ResponseFault::Protocol { expected: rules.protocol.protocol, found: theirs.protocol });
    }
    if theirs.spi.len() != rules.spi_len {
        return Err(ResponseFault::SpiSize { expected: rules.spi_len, found: theirs.spi.len() });
    }
    if rules.spi_is_reserved(&theirs.spi) {
        return Err(ResponseFault::SpiReserved);
    }
    check_answer(rules, ours, &theirs)?;
    let too_many = |t: &&Transform| !rules.additional && key_exchanges::is_additional(t);
    if let Some(transform) = theirs.transforms.iter().find(too_many) {
        return Err(ResponseFault::NoIntermediate(transform.clone()));
    }
    let is_ke = |t: &Transform| t.ty == TransformType::KE && t.id != KeMethod::NONE.0;
    if theirs.transforms.iter().any(key_exchanges::is_additional) && !theirs.transforms.iter().any(is_ke) {
        return Err(ResponseFault::Missing(TransformType::KE));
    }
    if let Some(method) = key_exchanges::repeated(&theirs.transforms) {
        return Err(ResponseFault::SameKeyExchange(method));
    }
    let agreed = Agreed { number: theirs.number, spi: theirs.spi, transforms: theirs.transforms };
    match agreed.ke() {
        Some(chosen) if ke_sent != Some(chosen) => {
            return Err(ResponseFault::KeMethod { chosen, sent: ke_sent });
        }
        _ => {}
    }
    // All else is there, so what can still be wrong is a proposal not of ours, with a cipher and no integrity.
    build(agreed).ok_or(ResponseFault::Missing(TransformType::INTEG))
}

/// Checks that an answer has one transform of each type that we offered, as we offered it.
///
/// NONE of a type that we left out means the same as leaving it out, and passes.
fn check_answer(rules: &Rules, ours: &Proposal, theirs: &Proposal) -> Result<(), ResponseFault> {
    for (index, transform) in theirs.transforms.iter().enumerate() {
        if theirs.transforms.iter().take(index).any(|earlier| earlier.ty == transform.ty) {
            return Err(ResponseFault::Repeated(transform.ty));
        }
        if rules.offers(ours, transform) {
            continue;
        }
        return Err(match ours.of_type(transform.ty).find(|ours| ours.id == transform.id) {
            Some(ours) => {
                ResponseFault::AttributesChanged { found: transform.clone(), offered: ours.clone() }
            }
            None => ResponseFault::NotOffered(transform.clone()),
        });
    }
    let needed = rules.protocol.mandatory.iter().copied().chain(ours.transforms.iter().map(|t| t.ty));
    for ty in needed {
        let left_out = theirs.of_type(ty).next().is_none();
        let optional = rules.may_be_none(ty) && rules.offers(ours, &Transform::new(ty, 0));
        if left_out && !optional {
            return Err(ResponseFault::Missing(ty));
        }
    }
    Ok(())
}
