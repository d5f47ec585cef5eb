//! What we are willing to negotiate: proposals that are known to be well formed (RFC 7296 §3.3, §3.3.3, §3.3.5,
//! RFC 5282 §8, RFC 8221 §4), and have no weak algorithm (RFC 8247, RFC 8221) but those that were asked for as weak
//! ones. A policy is a list of them, the one we like best first. Since nothing else is ever accepted, what a peer
//! offers beside is refused.

use super::key_exchanges::{self, ADDITIONAL};
use super::strength::strength;
use alloc::vec::Vec;
use ikev2_wire::{EncrId, IntegId, KeMethod, PrfId, Proposal, ProtocolId, Transform, TransformType};
use ipsec_types::{EspSpi, IkeSpi, SequenceNumbers};
use thiserror::Error;

/// The most transforms of one proposal: what its header can count (RFC 7296 §3.3.1).
const MAX_TRANSFORMS: usize = 255;

/// Why a proposal cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// A transform type without which there is no SA (RFC 7296 §3.3.3).
    #[error("the proposal has no {0} transform")]
    Missing(TransformType),
    /// An integrity algorithm beside a cipher that protects integrity itself (RFC 5282 §8).
    #[error("{encr} protects integrity itself and goes with no {integ}")]
    CombinedWithInteg {
        /// The cipher.
        encr: EncrId,
        /// The integrity algorithm.
        integ: IntegId,
    },
    /// Ciphers that need an integrity algorithm beside ciphers that must not have one: two proposals
    /// (RFC 7296 §3.3).
    #[error(
        "{combined} and {plain} cannot be in one proposal, since only one of them protects integrity itself"
    )]
    MixedCiphers {
        /// The first cipher that protects integrity itself.
        combined: EncrId,
        /// The first cipher that does not.
        plain: EncrId,
    },
    /// A cipher that does not protect integrity itself, with no integrity algorithm or an optional one: encryption
    /// alone is a MUST NOT (RFC 8221 §4), and IKE has no such form (RFC 7296 §3.14).
    #[error("{0} needs an integrity algorithm")]
    IntegrityMissing(EncrId),
    /// A cipher with keys of several lengths and no Key Length (RFC 7296 §3.3.5).
    #[error("{0} needs a key length")]
    KeyLengthMissing(EncrId),
    /// A Key Length that the cipher does not have, or any for a cipher whose keys have one length.
    #[error("{encr} has no keys of {bits} bits to be negotiated")]
    KeyLength {
        /// The cipher.
        encr: EncrId,
        /// The key length in bits.
        bits: u16,
    },
    /// A transform that the protocol may not use.
    #[error("{transform} is not for {protocol}")]
    NotForProtocol {
        /// The transform.
        transform: Transform,
        /// The protocol of the proposal.
        protocol: ProtocolId,
    },
    /// A weak algorithm that was not added as one, by `weak` of the builder or `weak:` in a text.
    #[error("{0} is weak (RFC 8247, RFC 8221) and must be asked for as a weak algorithm")]
    Weak(Transform),
    /// An additional key exchange beside none that it could be additional to (RFC 9370 §2.1).
    #[error("{0} needs a KE transform")]
    AdditionalAlone(TransformType),
    /// Whatever is chosen, one method serves for two key exchanges (RFC 9370 §2.2.1).
    #[error("no choice of key exchanges without one method twice")]
    SameKeyExchange,
    /// More transforms than a proposal can count.
    #[error("more than 255 transforms in one proposal")]
    TooMany,
}

/// A proposal for an IKE SA: ENCR, PRF and KE, and INTEG with ciphers that need it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IkeProposal {
    transforms: Vec<Transform>,
}

impl IkeProposal {
    /// Starts a proposal.
    ///
    /// ```
    /// use ikev2_core::negotiation::IkeProposal;
    /// use ikev2_wire::{EncrId, KeMethod, PrfId};
    ///
    /// let proposal = IkeProposal::builder()
    ///     .encr(EncrId::AES_GCM_16, 256)
    ///     .encr(EncrId::CHACHA20_POLY1305, None)
    ///     .prf(PrfId::HMAC_SHA2_256)
    ///     .ke(KeMethod::CURVE25519)
    ///     .build()?;
    /// assert_eq!(proposal.to_string(), "aes256gcm16-chacha20poly1305-prfsha256-x25519");
    /// # Ok::<(), ikev2_core::negotiation::ProposalError>(())
    /// ```
    pub fn builder() -> IkeProposalBuilder {
        IkeProposalBuilder { transforms: Vec::new(), asked: Vec::new() }
    }

    /// All that RFC 8247 says MUST or SHOULD of for everybody: AES-GCM and ChaCha20-Poly1305, then AES-CBC with
    /// HMAC-SHA2-256-128 or HMAC-SHA2-512-256; 256 bits, then 128; with the PRFs of SHA2-256 and SHA2-512, and
    /// Curve25519 (RFC 8031), P-256 and the 2048-bit MODP group.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let mut common: Vec<Transform> =
            [PrfId::HMAC_SHA2_256, PrfId::HMAC_SHA2_512].map(Transform::prf).into();
        common.extend(DEFAULT_KE.map(Transform::ke));
        let integ = [IntegId::HMAC_SHA2_256_128, IntegId::HMAC_SHA2_512_256];
        default_ciphers(integ, &common).map(|transforms| Self { transforms }).into()
    }

    /// The same with transforms of types that IKE itself has not, for a protocol that negotiates them beside, such as
    /// the key wrap algorithms of RFC 9838. Of each such type the peer must offer or answer one;
    /// [`IkeChoice::transform`](super::IkeChoice::transform) and
    /// [`Agreement::transform`](crate::establish::secrets::Agreement::transform) tell which was agreed on.
    ///
    /// # Errors
    /// [`ProposalError::NotForProtocol`] for a type that IKE or ESP give a meaning to, [`ProposalError::TooMany`].
    pub fn with_others(mut self, others: impl IntoIterator<Item = Transform>) -> Result<Self, ProposalError> {
        for transform in others {
            if !is_of_another_protocol(transform.ty) {
                return Err(ProposalError::NotForProtocol { transform, protocol: ProtocolId::IKE });
            }
            if !self.transforms.contains(&transform) {
                self.transforms.push(transform);
            }
        }
        self.transforms.sort_by_key(|transform| transform.ty);
        if self.transforms.len() > MAX_TRANSFORMS { Err(ProposalError::TooMany) } else { Ok(self) }
    }

    /// The transforms: by type, and in each type the preferred one first.
    #[must_use]
    pub fn transforms(&self) -> &[Transform] {
        &self.transforms
    }

    /// Whether it has additional key exchanges (RFC 9370).
    #[must_use]
    pub fn has_additional(&self) -> bool {
        self.transforms.iter().any(|transform| ADDITIONAL.contains(&transform.ty))
    }
}

/// Whether neither IKE nor ESP negotiate transforms of this type.
pub(super) fn is_of_another_protocol(ty: TransformType) -> bool {
    ty.0 != 0 && !IKE.has(ty) && !ESP.has(ty) && !ty.is_key_exchange()
}

/// A proposal for an ESP SA pair: ENCR and SN, INTEG with ciphers that need it, and KE where wanted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EspProposal {
    transforms: Vec<Transform>,
}

impl EspProposal {
    /// Starts a proposal.
    ///
    /// ```
    /// use ikev2_core::negotiation::EspProposal;
    /// use ikev2_wire::{EncrId, IntegId, KeMethod};
    ///
    /// let proposal = EspProposal::builder()
    ///     .encr(EncrId::AES_CBC, 128)
    ///     .integ(IntegId::HMAC_SHA2_256_128)
    ///     .ke(KeMethod::ECP_256)
    ///     .ke_optional()
    ///     .build()?;
    /// assert_eq!(proposal.to_string(), "aes128-sha256-ecp256-none-esn-noesn");
    /// # Ok::<(), ikev2_core::negotiation::ProposalError>(())
    /// ```
    pub fn builder() -> EspProposalBuilder {
        EspProposalBuilder { transforms: Vec::new(), asked: Vec::new() }
    }

    /// All that RFC 8221 says MUST or SHOULD of for everybody: AES-GCM and ChaCha20-Poly1305, then AES-CBC with
    /// HMAC-SHA2-512-256, which §6 prefers, or HMAC-SHA2-256-128; 256 bits, then 128; with a key exchange by
    /// Curve25519, P-256 or the 2048-bit MODP group that is optional; 64-bit sequence numbers, then 32-bit ones.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let mut common: Vec<Transform> = DEFAULT_KE.map(Transform::ke).into();
        common.push(Transform::ke(KeMethod::NONE));
        common.extend(DEFAULT_SN.map(Transform::sn));
        let integ = [IntegId::HMAC_SHA2_512_256, IntegId::HMAC_SHA2_256_128];
        default_ciphers(integ, &common).map(|transforms| Self { transforms }).into()
    }

    /// The transforms: by type, and in each type the preferred one first.
    #[must_use]
    pub fn transforms(&self) -> &[Transform] {
        &self.transforms
    }
}

const DEFAULT_KE: [KeMethod; 3] = [KeMethod::CURVE25519, KeMethod::ECP_256, KeMethod::MODP_2048];
const DEFAULT_SN: [SequenceNumbers; 2] = [SequenceNumbers::Sequential64, SequenceNumbers::Sequential32];

/// The two groups of default ciphers, each followed by what both have in common.
fn default_ciphers(integ: [IntegId; 2], common: &[Transform]) -> [Vec<Transform>; 2] {
    let sized = |encr| [256, 128].map(|bits| Transform::encr(encr, Some(bits))).to_vec();
    let mut combined = sized(EncrId::AES_GCM_16);
    combined.push(Transform::encr(EncrId::CHACHA20_POLY1305, None));
    let mut plain = sized(EncrId::AES_CBC);
    plain.extend(integ.map(Transform::integ));
    [combined, plain].map(|mut transforms| {
        transforms.extend_from_slice(common);
        transforms.sort_by_key(|transform| transform.ty);
        transforms
    })
}

/// Collects the transforms of an [`IkeProposal`]; of each type the preferred one comes first.
#[derive(Clone, Debug)]
#[must_use]
pub struct IkeProposalBuilder {
    transforms: Vec<Transform>,
    /// Those that were asked for as weak ones.
    asked: Vec<Transform>,
}

/// Collects the transforms of an [`EspProposal`]; of each type the preferred one comes first.
#[derive(Clone, Debug)]
#[must_use]
pub struct EspProposalBuilder {
    transforms: Vec<Transform>,
    /// Those that were asked for as weak ones.
    asked: Vec<Transform>,
}

/// What both builders can add.
macro_rules! common_setters {
    () => {
        /// Adds a cipher, with its key length in bits, or `None` where its keys have one length.
        pub fn encr(self, encr: EncrId, key_bits: impl Into<Option<u16>>) -> Self {
            self.transform(Transform::encr(encr, key_bits.into()))
        }

        /// Adds an integrity algorithm.
        pub fn integ(self, integ: IntegId) -> Self {
            self.transform(Transform::integ(integ))
        }

        /// Adds a key exchange method.
        pub fn ke(self, method: KeMethod) -> Self {
            self.transform(Transform::ke(method))
        }

        /// Adds a method of the `n`-th key exchange after that of the KE payload, `n` from 1 to 7 (RFC 9370 §2.1);
        /// [`KeMethod::NONE`] makes it optional. Another `n` adds nothing that [`Self::build`] takes.
        pub fn additional_ke(self, n: u8, method: KeMethod) -> Self {
            let ty = TransformType::addke(n).unwrap_or(TransformType(u8::MAX));
            self.transform(Transform::new(ty, method.0))
        }

        /// Adds a transform although RFC 8247 or RFC 8221 hold it for weak: whoever adds it knows what it costs.
        /// Others are taken too.
        pub fn weak(mut self, transform: Transform) -> Self {
            self.asked.push(transform.clone());
            self.transform(transform)
        }

        /// Adds a transform of any type; one that is there already is not added again.
        pub fn transform(mut self, transform: Transform) -> Self {
            if !self.transforms.contains(&transform) {
                self.transforms.push(transform);
            }
            self
        }
    };
}

impl IkeProposalBuilder {
    common_setters!();

    /// Adds a pseudorandom function.
    pub fn prf(self, prf: PrfId) -> Self {
        self.transform(Transform::prf(prf))
    }

    /// Finishes the proposal.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn build(self) -> Result<IkeProposal, ProposalError> {
        Ok(IkeProposal { transforms: checked(self.transforms, &self.asked, &IKE)? })
    }
}

impl EspProposalBuilder {
    common_setters!();

    /// Makes the key exchange optional: without one is acceptable too (RFC 7296 §3.3.2, a transform with ID 0).
    pub fn ke_optional(self) -> Self {
        self.ke(KeMethod::NONE)
    }

    /// Adds a kind of sequence numbers. If none is added, they are 64-bit ones and then 32-bit ones.
    pub fn sn(self, kind: SequenceNumbers) -> Self {
        self.transform(Transform::sn(kind))
    }

    /// Finishes the proposal.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn build(mut self) -> Result<EspProposal, ProposalError> {
        if !self.transforms.iter().any(|transform| transform.ty == TransformType::SN) {
            self.transforms.extend(DEFAULT_SN.map(Transform::sn));
        }
        Ok(EspProposal { transforms: checked(self.transforms, &self.asked, &ESP)? })
    }
}

/// What a protocol's proposals consist of (RFC 7296 §3.3.3). INTEG depends on the cipher and is in neither list.
#[derive(Debug)]
pub(super) struct ProtocolRules {
    pub(super) protocol: ProtocolId,
    pub(super) mandatory: &'static [TransformType],
    pub(super) optional: &'static [TransformType],
    forbids: fn(&Transform) -> bool,
}

impl ProtocolRules {
    /// Whether the protocol has transforms of this type.
    pub(super) fn has(&self, ty: TransformType) -> bool {
        ty == TransformType::INTEG || self.mandatory.contains(&ty) || self.optional.contains(&ty)
    }
}

/// The types of all key exchanges.
const KEY_EXCHANGES: [TransformType; 8] = {
    let [a, b, c, d, e, f, g] = ADDITIONAL;
    [TransformType::KE, a, b, c, d, e, f, g]
};

pub(super) const IKE: ProtocolRules = ProtocolRules {
    protocol: ProtocolId::IKE,
    mandatory: &[TransformType::ENCR, TransformType::PRF, TransformType::KE],
    optional: &ADDITIONAL,
    forbids: forbidden_in_ike,
};

pub(super) const ESP: ProtocolRules = ProtocolRules {
    protocol: ProtocolId::ESP,
    mandatory: &[TransformType::ENCR, TransformType::SN],
    optional: &KEY_EXCHANGES,
    forbids: forbidden_in_esp,
};

/// Sorts the transforms by type and checks that they make a proposal.
fn checked(
    mut transforms: Vec<Transform>,
    asked: &[Transform],
    rules: &ProtocolRules,
) -> Result<Vec<Transform>, ProposalError> {
    transforms.sort_by_key(|transform| transform.ty);
    let foreign = |t: &&Transform| !rules.has(t.ty) || !t.other_attributes.is_empty() || (rules.forbids)(t);
    if let Some(transform) = transforms.iter().find(foreign) {
        return Err(ProposalError::NotForProtocol { transform: transform.clone(), protocol: rules.protocol });
    }
    let unasked = |t: &&Transform| strength(t).needs_opt_in() && !asked.contains(t);
    if let Some(weak) = transforms.iter().find(unasked) {
        return Err(ProposalError::Weak(weak.clone()));
    }
    drop_types_of_none(&mut transforms);
    for ty in rules.mandatory {
        if !transforms.iter().any(|transform| transform.ty == *ty) {
            return Err(ProposalError::Missing(*ty));
        }
    }
    for transform in &transforms {
        check_key_length(transform, rules)?;
    }
    check_key_exchanges(&transforms)?;
    check_integrity(&mut transforms)?;
    if transforms.len() > MAX_TRANSFORMS {
        return Err(ProposalError::TooMany);
    }
    Ok(transforms)
}

/// Checks that the key exchanges can be chosen (RFC 9370 §2.1, §2.2.1).
fn check_key_exchanges(transforms: &[Transform]) -> Result<(), ProposalError> {
    let has_ke = transforms.iter().any(|transform| transform.ty == TransformType::KE);
    match transforms.iter().find(|transform| ADDITIONAL.contains(&transform.ty)) {
        Some(additional) if !has_ke => Err(ProposalError::AdditionalAlone(additional.ty)),
        Some(_) if !key_exchanges::can_be_chosen(transforms) => Err(ProposalError::SameKeyExchange),
        _ => Ok(()),
    }
}

/// No method but NONE is the same as none at all, and some peers know only the latter.
fn drop_types_of_none(transforms: &mut Vec<Transform>) {
    for ty in KEY_EXCHANGES {
        if transforms.iter().all(|transform| transform.ty != ty || transform.id == KeMethod::NONE.0) {
            transforms.retain(|transform| transform.ty != ty);
        }
    }
}

fn check_key_length(transform: &Transform, rules: &ProtocolRules) -> Result<(), ProposalError> {
    if transform.ty != TransformType::ENCR {
        // No other transform has the attribute (RFC 7296 §3.3.5).
        return match transform.key_bits {
            None => Ok(()),
            Some(_) => {
                Err(ProposalError::NotForProtocol { transform: transform.clone(), protocol: rules.protocol })
            }
        };
    }
    let encr = EncrId(transform.id);
    match (key_lengths(encr), transform.key_bits) {
        (KeyLengths::Unknown, _) | (KeyLengths::Fixed, None) => Ok(()),
        (KeyLengths::OneOf(_), None) => Err(ProposalError::KeyLengthMissing(encr)),
        (KeyLengths::OneOf(lengths), Some(bits)) if lengths.contains(&bits) => Ok(()),
        (_, Some(bits)) => Err(ProposalError::KeyLength { encr, bits }),
    }
}

/// Checks that ciphers and integrity algorithms fit, and drops INTEG NONE, which is better left out (RFC 7296
/// §3.3: "no integrity algorithm being the RECOMMENDED method").
fn check_integrity(transforms: &mut Vec<Transform>) -> Result<(), ProposalError> {
    let ciphers = || transforms.iter().filter(|t| t.ty == TransformType::ENCR).map(|t| EncrId(t.id));
    let combined = ciphers().find(|encr| encr.is_combined());
    let plain = ciphers().find(|encr| !encr.is_combined());
    let none = Transform::integ(IntegId::NONE);
    let integ =
        transforms.iter().find(|t| t.ty == TransformType::INTEG && **t != none).map(|t| IntegId(t.id));
    match (combined, plain, integ) {
        (Some(combined), Some(plain), _) => Err(ProposalError::MixedCiphers { combined, plain }),
        (Some(encr), None, Some(integ)) => Err(ProposalError::CombinedWithInteg { encr, integ }),
        (None, Some(encr), None) => Err(ProposalError::IntegrityMissing(encr)),
        (None, Some(encr), Some(_)) if transforms.contains(&none) => {
            Err(ProposalError::IntegrityMissing(encr))
        }
        _ => {
            transforms.retain(|transform| *transform != none);
            Ok(())
        }
    }
}

/// The Key Length attributes that a cipher has.
enum KeyLengths {
    /// The attribute must be there, with one of these.
    OneOf(&'static [u16]),
    /// The attribute must not be there.
    Fixed,
    /// Nothing is known: a cipher of the future, for private use, or that was never specified.
    Unknown,
}

/// RFC 7296 §3.3.5 and the documents of each cipher.
const fn key_lengths(encr: EncrId) -> KeyLengths {
    const AES: KeyLengths = KeyLengths::OneOf(&[128, 192, 256]);
    match encr {
        EncrId::AES_CBC | EncrId::AES_CTR | EncrId::NULL_AUTH_AES_GMAC => AES,
        EncrId::AES_CCM_8 | EncrId::AES_CCM_12 | EncrId::AES_CCM_16 | EncrId::AES_CCM_8_IIV => AES,
        EncrId::AES_GCM_8 | EncrId::AES_GCM_12 | EncrId::AES_GCM_16 | EncrId::AES_GCM_16_IIV => AES,
        EncrId::CAMELLIA_CBC | EncrId::CAMELLIA_CTR => AES,
        EncrId::CAMELLIA_CCM_8 | EncrId::CAMELLIA_CCM_12 | EncrId::CAMELLIA_CCM_16 => AES,
        EncrId::DES | EncrId::TRIPLE_DES | EncrId::IDEA | EncrId::NULL => KeyLengths::Fixed,
        EncrId::CHACHA20_POLY1305 | EncrId::CHACHA20_POLY1305_IIV => KeyLengths::Fixed,
        EncrId::KUZNYECHIK_MGM_KTREE | EncrId::MAGMA_MGM_KTREE => KeyLengths::Fixed,
        EncrId::KUZNYECHIK_MGM_MAC_KTREE | EncrId::MAGMA_MGM_MAC_KTREE => KeyLengths::Fixed,
        _ => KeyLengths::Unknown,
    }
}

/// The ciphers that IKE may not use by the registry, a key exchange of none (RFC 7296 §3.3.3), and what is for AH.
fn forbidden_in_ike(transform: &Transform) -> bool {
    match transform.ty {
        TransformType::ENCR => matches!(
            EncrId(transform.id),
            EncrId::NULL
                | EncrId::NULL_AUTH_AES_GMAC
                | EncrId::CAMELLIA_CTR
                | EncrId::CAMELLIA_CCM_8
                | EncrId::CAMELLIA_CCM_12
                | EncrId::CAMELLIA_CCM_16
                | EncrId::AES_CCM_8_IIV
                | EncrId::AES_GCM_16_IIV
                | EncrId::CHACHA20_POLY1305_IIV
                | EncrId::KUZNYECHIK_MGM_MAC_KTREE
                | EncrId::MAGMA_MGM_MAC_KTREE
        ),
        TransformType::KE => transform.id == KeMethod::NONE.0,
        _ => is_ah_integrity(transform),
    }
}

/// Kinds of sequence numbers that nobody knows, and what is for AH.
fn forbidden_in_esp(transform: &Transform) -> bool {
    let unknown = SequenceNumbers::from_transform_id(transform.id).is_none();
    transform.ty == TransformType::SN && unknown || is_ah_integrity(transform)
}

/// AES-GMAC as an integrity algorithm is for AH; ESP has it as a cipher (RFC 4543 §3).
fn is_ah_integrity(transform: &Transform) -> bool {
    transform.ty == TransformType::INTEG
        && matches!(
            IntegId(transform.id),
            IntegId::AES_128_GMAC | IntegId::AES_192_GMAC | IntegId::AES_256_GMAC
        )
}

/// Which SA of the peer's an IKE proposal is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IkeExchange {
    /// The first one, in IKE_SA_INIT: SPIs are in the header, and proposals have none (RFC 7296 §3.3.1).
    Initial,
    /// The same where both ends do IKE_INTERMEDIATE, so that additional key exchanges can follow (RFC 9370 §2.2.1).
    InitialIntermediate,
    /// One that replaces another, in CREATE_CHILD_SA: proposals have the sender's SPI of 8 octets.
    Rekey,
}

impl IkeExchange {
    /// The first one, where both ends do IKE_INTERMEDIATE or not.
    #[must_use]
    pub fn initial(intermediate: bool) -> Self {
        if intermediate { Self::InitialIntermediate } else { Self::Initial }
    }
}

/// In which exchange a Child SA is negotiated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChildExchange {
    /// With IKE_AUTH, where there is no key exchange: transforms of type KE and of the additional ones are neither
    /// sent nor looked at (RFC 7296 §1.2).
    IkeAuth,
    /// By CREATE_CHILD_SA, with the method of the request's KE payload if it has one.
    CreateChildSa {
        /// The method of KEi.
        ke_sent: Option<KeMethod>,
    },
}

impl ChildExchange {
    pub(super) const fn ke_sent(self) -> Option<KeMethod> {
        match self {
            Self::IkeAuth => None,
            Self::CreateChildSa { ke_sent } => ke_sent,
        }
    }

    /// Whether transforms of this type count here.
    pub(super) fn negotiates(self, ty: TransformType) -> bool {
        self != Self::IkeAuth || !ty.is_key_exchange()
    }
}

/// The proposals to send for an IKE SA, numbered from 1: the whole policy, also when an INVALID_KE_PAYLOAD is
/// answered (RFC 7296 §3.3.6). `spi` is ours for the new SA when an IKE SA is rekeyed, else `None`.
#[must_use]
pub fn offer_ike(policy: &[IkeProposal], spi: Option<IkeSpi>) -> Vec<Proposal> {
    match spi {
        Some(spi) => ike_policy(policy, &spi.to_be_bytes()).collect(),
        None => ike_policy(policy, &[]).collect(),
    }
}

/// The proposals to send for a Child SA, numbered from 1. `spi` is ours.
///
/// With IKE_AUTH, proposals that differ in their key exchange only become one.
#[must_use]
pub fn offer_esp(policy: &[EspProposal], spi: EspSpi, exchange: ChildExchange) -> Vec<Proposal> {
    esp_policy(policy, &spi.to_be_bytes(), exchange).collect()
}

/// Our proposals, numbered.
pub(super) fn ike_policy<'p>(
    policy: &'p [IkeProposal],
    spi: &'p [u8],
) -> impl Iterator<Item = Proposal> + Clone + use<'p> {
    numbered(ProtocolId::IKE, spi, policy.iter().map(|proposal| proposal.transforms.clone()))
}

/// Our proposals without what the exchange does not negotiate, each once, numbered.
pub(super) fn esp_policy<'p>(
    policy: &'p [EspProposal],
    spi: &'p [u8],
    exchange: ChildExchange,
) -> impl Iterator<Item = Proposal> + Clone + use<'p> {
    let negotiated = move |proposal: &'p EspProposal| {
        proposal.transforms.iter().filter(move |transform| exchange.negotiates(transform.ty))
    };
    let first_of_kind = move |(at, proposal): &(usize, &'p EspProposal)| {
        !policy.iter().take(*at).any(|earlier| negotiated(earlier).eq(negotiated(proposal)))
    };
    let distinct = policy.iter().enumerate().filter(first_of_kind);
    let transforms = move |(_, proposal): (usize, &'p EspProposal)| {
        let mut transforms = Vec::with_capacity(proposal.transforms.len());
        transforms.extend(negotiated(proposal).cloned());
        transforms
    };
    numbered(ProtocolId::ESP, spi, distinct.map(transforms))
}

fn numbered(
    protocol: ProtocolId,
    spi: &[u8],
    proposals: impl Iterator<Item = Vec<Transform>> + Clone,
) -> impl Iterator<Item = Proposal> + Clone {
    (1..=u8::MAX).zip(proposals).map(move |(number, transforms)| Proposal {
        number,
        protocol,
        spi: spi.to_vec(),
        transforms,
    })
}

/// The methods of all the proposals, each once, in order and without NONE. A request's KE payload should have the
/// first (RFC 7296 §3.4), and an INVALID_KE_PAYLOAD that names none of them is not to be followed.
#[must_use]
pub fn offered_ke(proposals: &[Proposal]) -> Vec<KeMethod> {
    let mut methods = Vec::new();
    for transform in proposals.iter().flat_map(|proposal| proposal.of_type(TransformType::KE)) {
        let method = KeMethod(transform.id);
        if method != KeMethod::NONE && !methods.contains(&method) {
            methods.push(method);
        }
    }
    methods
}
