//! Chains of X.509 certificates (RFC 5280 §6, as RFC 4945 profiles it): from the end entity's certificate to a trust
//! anchor by rustls-webpki, and beside it what that leaves open: names of peers, uses of keys, bounds.
//!
//! rustls-webpki and certval were measured for it, both `no_std`:
//!
//! | | rustls-webpki 0.103 | certval 0.2.0-rc.1 |
//! |---|---|---|
//! | lines, crates that come with it | 6,700; two | 26,100; over thirty, a CMS parser, CBOR and a serializer among them |
//! | finds a path without `std` | yes | no: its path builder needs it |
//! | algorithms of our own | by a trait, told the key and the message | by callbacks |
//! | name constraints | DNS names and addresses; a chain that constrains other kinds and has them is refused | all kinds |
//! | certificate policies | refused where critical | all of RFC 5280 §6.1 |
//! | its bounds | depth, signatures, steps, comparisons of names | a path as given |
//! | kept by | the rustls project; fuzzed; under every rustls client | one author; a release candidate |
//!
//! It is rustls-webpki for its size, its bounds and its users. What it lacks it refuses, so that a chain with directory
//! names or mailboxes constrained does not pass; RFC 4945 §5.1.3.10 advises authorities against name constraints at
//! all. It compares issuers and subjects octet for octet, where RFC 5280 §7.1 would fold case and white space.
//!
//! | module | what it does |
//! |---|---|
//! | `algorithms` | our signature algorithms for the validator, counted |
//! | `rules` | key usage and extended key usage |
//! | `identity`, `name` | the ID payload against the certificate |
//! | `explain` | which certificate broke which rule |

mod algorithms;
mod explain;
mod identity;
mod name;
mod rules;

pub use rules::Purpose;

use super::authority::AuthorityHash;
use super::error::{CertificateRule, ChainError};
use super::verifier::{ChainQuestion, ChainVerifier, RevocationQuestion, TrustedChain};
use crate::identity::Identity;
use algorithms::{Trace, of_provider, tagged};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{self, Debug};
use core::time::Duration;
use explain::Search;
use ikev2_wire::codes::IdType;
use ipsec_crypto::signature::PublicKey;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use thiserror::Error;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    OwnedCertRevocationList, RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder,
    UnknownStatusPolicy, VerifiedPath,
};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::name::Name;

/// How many certificates of one name are tried at most: of more, too many paths could be made.
const MAX_NAMESAKES: usize = 4;

/// The most authorities between end entity and trust anchor that any setting allows: the validator's own bound.
pub const MAX_INTERMEDIATES: usize = 6;

/// Why something is no trust anchor or no list of revocations.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// A certificate cannot be read.
    #[error("trust anchor {0} is no X.509 certificate")]
    Malformed(usize),
    /// There is none.
    #[error("no trust anchor is given")]
    None,
    /// A revocation list cannot be read, or is of a kind that is not known: a delta, an indirect one.
    #[error("revocation list {0} is no X.509 one that is known")]
    RevocationList(usize),
}

/// What a connection says of chains that are good otherwise.
pub trait ChainRule: Send + Sync + Debug {
    /// Whether this peer may come with this chain.
    ///
    /// # Errors
    /// Why not, in words for an administrator.
    fn accepts(&self, peer: &Identity, chain: &Path<'_>) -> Result<(), String>;
}

/// A chain from the end entity to a trust anchor.
#[derive(Clone, Debug)]
pub struct Path<'a> {
    /// The end entity's certificate in DER.
    pub end_entity: &'a [u8],
    /// The authorities' certificates in DER, the end entity's issuer first.
    pub intermediates: Vec<&'a [u8]>,
    /// The subject of the trust anchor (RFC 4514).
    pub anchor: &'a str,
}

/// How it is found out whether certificates were revoked.
#[derive(Debug, Default)]
struct Revocation {
    lists: Vec<CertRevocationList<'static>>,
    /// Whether a certificate passes that no list is about.
    unknown_passes: bool,
    ask: bool,
}

struct Anchor {
    anchor: TrustAnchor<'static>,
    subject: String,
}

/// Verifies chains by trust anchors at hand.
///
/// The time is [`ChainQuestion::now`]. By default nothing is asked
/// about revocation, which RFC 4945 §5.2 wants: [`X509Verifier::with_revocation_lists`] or
/// [`X509Verifier::asking_about_revocation`] turn it on.
///
/// One search costs at most 16 signatures, or what [`X509Verifier::max_signatures`] says, and some hundred steps.
pub struct X509Verifier {
    anchors: Vec<TrustAnchor<'static>>,
    subjects: Vec<String>,
    hashes: Vec<AuthorityHash>,
    max_intermediates: usize,
    max_signatures: usize,
    purpose: Purpose,
    revocation: Revocation,
    rule: Option<Arc<dyn ChainRule>>,
}

impl Debug for X509Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Verifier")
            .field("anchors", &self.subjects)
            .field("max_intermediates", &self.max_intermediates)
            .field("purpose", &self.purpose)
            .field("revocation_lists", &self.revocation.lists.len())
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

impl X509Verifier {
    /// With these authorities' certificates in DER as trust anchors. Their names, keys and name constraints count;
    /// their validity does not (RFC 5280 §6.1.1).
    ///
    /// # Errors
    /// [`AnchorError`].
    pub fn new(anchors: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, AnchorError> {
        let read = |(at, der): (usize, Vec<u8>)| Anchor::read(der).ok_or(AnchorError::Malformed(at));
        let anchors = anchors.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        if anchors.is_empty() {
            return Err(AnchorError::None);
        }
        let hash =
            |anchor: &Anchor| AuthorityHash::of_spki(&tagged(0x30, &anchor.anchor.subject_public_key_info));
        Ok(Self {
            hashes: anchors.iter().map(hash).collect(),
            subjects: anchors.iter().map(|anchor| anchor.subject.clone()).collect(),
            anchors: anchors.into_iter().map(|anchor| anchor.anchor).collect(),
            max_intermediates: 4,
            max_signatures: 16,
            purpose: Purpose::default(),
            revocation: Revocation::default(),
            rule: None,
        })
    }

    /// How many authorities may stand between end entity and trust anchor. Default: 4; never above
    /// [`MAX_INTERMEDIATES`].
    #[must_use]
    pub fn max_intermediates(mut self, max: usize) -> Self {
        self.max_intermediates = max.min(MAX_INTERMEDIATES);
        self
    }

    /// How many signatures one search checks at most, those of revocation lists included. Default: 16. Worst case: as
    /// many of RSA with 8,192 bits, for a peer that is not authenticated.
    #[must_use]
    pub fn max_signatures(mut self, max: usize) -> Self {
        self.max_signatures = max;
        self
    }

    /// What the extended key usage must allow. Default: [`Purpose::Ike`].
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// The authorities' current revocation lists in DER (RFC 5280 §5). A certificate that is on one is refused, and so
    /// is one that no current list is about, unless `unknown_passes`.
    ///
    /// # Errors
    /// [`AnchorError::RevocationList`].
    pub fn with_revocation_lists(
        mut self,
        lists: impl IntoIterator<Item = Vec<u8>>,
        unknown_passes: bool,
    ) -> Result<Self, AnchorError> {
        let read = |(at, der): (usize, Vec<u8>)| {
            OwnedCertRevocationList::from_der(&der).map_err(|_| AnchorError::RevocationList(at))
        };
        let lists = lists.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        self.revocation.lists = lists.into_iter().map(CertRevocationList::Owned).collect();
        self.revocation.unknown_passes = unknown_passes;
        Ok(self)
    }

    /// Asks the embedder about every chain that is good, and by whose key the peer has signed
    /// ([`TrustedChain::revocation`]): never about a stranger's.
    #[must_use]
    pub fn asking_about_revocation(mut self) -> Self {
        self.revocation.ask = true;
        self
    }

    /// What the connection says of chains that are good otherwise.
    #[must_use]
    pub fn with_rule(mut self, rule: Arc<dyn ChainRule>) -> Self {
        self.rule = Some(rule);
        self
    }

    /// The checks that are ours, of a path that is good otherwise.
    fn check_path(&self, search: &Search<'_>, path: &VerifiedPath<'_>) -> Result<(), ChainError> {
        let authorities = path.intermediate_certificates();
        if path.intermediate_certificates().count() > self.max_intermediates {
            return Err(ChainError::TooLong { max: self.max_intermediates });
        }
        for authority in authorities {
            let der = authority.der();
            if self.revocation.lists_it(authority) {
                return Err(search.broken(&der, CertificateRule::Revoked));
            }
            search.certificate(&der).and_then(|certificate| {
                rules::authority(&certificate, self.purpose).map_err(|rule| search.broken(&der, rule))
            })?;
        }
        let der = path.end_entity().der();
        if self.revocation.lists_it(path.end_entity()) {
            return Err(search.broken(&der, CertificateRule::Revoked));
        }
        let end_entity = search.certificate(&der)?;
        rules::end_entity(&end_entity, self.purpose).map_err(|rule| search.broken(&der, rule))?;
        let certificate = || Box::new(search.name(0));
        identity::check(search.peer, &end_entity).map_err(|names| ChainError::Identity {
            peer: search.peer.clone(),
            certificate: certificate(),
            names,
        })?;
        let Some(rule) = &self.rule else { return Ok(()) };
        let anchor = self.subject_of(path.anchor());
        let ders: Vec<_> = path.intermediate_certificates().map(webpki::Cert::der).collect();
        let intermediates = ders.iter().map(AsRef::as_ref).collect();
        let told = rule.accepts(search.peer, &Path { end_entity: &der, intermediates, anchor });
        let anchor = anchor.to_string();
        told.map_err(|reason| ChainError::NotAccepted { certificate: certificate(), anchor, reason })
    }

    fn subject_of(&self, anchor: &TrustAnchor<'_>) -> &str {
        let at = self.anchors.iter().position(|known| known == anchor);
        at.and_then(|at| self.subjects.get(at)).map_or("", String::as_str)
    }

    /// What the embedder is to be asked about a path, if anything.
    fn question(&self, path: &VerifiedPath<'_>) -> Option<Box<RevocationQuestion>> {
        self.revocation.ask.then(|| {
            let authorities = path.intermediate_certificates().map(|authority| authority.der().to_vec());
            let end_entity = path.end_entity().der().to_vec();
            Box::new(RevocationQuestion {
                path: core::iter::once(end_entity).chain(authorities).collect(),
                anchor: self.subject_of(path.anchor()).to_string(),
                anchor_key: tagged(0x30, &path.anchor().subject_public_key_info),
            })
        })
    }
}

impl ChainVerifier for X509Verifier {
    fn authorities(&self) -> &[AuthorityHash] {
        &self.hashes
    }

    fn verify(&self, question: &ChainQuestion<'_>) -> Result<TrustedChain, ChainError> {
        let now = question.now.ok_or(ChainError::NoTime)?;
        let search = Search::new(question.peer, question.certificates, now, &self.subjects);
        let Some((first, others)) = question.certificates.split_first() else {
            return Err(ChainError::Missing { ignored: Vec::new() });
        };
        search.check_namesakes(MAX_NAMESAKES)?;
        let trace = Trace::new(question.certificates, self.max_signatures);
        let explained = |error| match trace.is_exhausted() {
            true => ChainError::TooMuchWork { max: self.max_signatures },
            false => search.explain(error, &trace, &self.revocation.lists, self.max_intermediates),
        };
        let first = CertificateDer::from(*first);
        let end_entity = EndEntityCert::try_from(&first).map_err(explained)?;
        let others: Vec<_> = others.iter().map(|der| CertificateDer::from(*der)).collect();
        let algorithms = of_provider(question.crypto, &trace);
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
            algorithms.iter().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm).collect();
        let lists: Vec<_> = self.revocation.lists.iter().collect();
        // What is ours to say of a path has no place in the validator's errors.
        let ours = RefCell::new(None);
        let check = |path: &VerifiedPath<'_>| {
            self.check_path(&search, path).map_err(|error| {
                ours.replace(Some(error));
                webpki::Error::UnknownIssuer
            })
        };
        let found = end_entity.verify_for_usage(
            &algorithms,
            &self.anchors,
            &others,
            rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.0)),
            AnyPurpose,
            self.revocation.options(&lists),
            Some(&check),
        );
        let path = found.map_err(|error| ours.take().unwrap_or_else(|| explained(error)))?;
        let key = PublicKey::from_spki_der(&path.end_entity().subject_public_key_info())
            .map_err(|error| search.broken(&first, CertificateRule::Key(error)))?;
        Ok(TrustedChain { key, revocation: self.question(&path) })
    }
}

impl Revocation {
    /// Whether any of its issuer's lists has it. The validator asks the first one alone, and an authority that changes
    /// its key has several; one that says revoked is enough (RFC 4945 §5.2.1).
    fn lists_it(&self, certificate: &webpki::Cert<'_>) -> bool {
        self.lists.iter().any(|list| {
            list.issuer() == certificate.issuer()
                && list.find_serial(certificate.serial()).is_ok_and(|entry| entry.is_some())
        })
    }

    fn options<'a>(&self, lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
        let unknown =
            if self.unknown_passes { UnknownStatusPolicy::Allow } else { UnknownStatusPolicy::Deny };
        let builder = RevocationOptionsBuilder::new(lists).ok()?;
        let builder = builder.with_depth(RevocationCheckDepth::Chain).with_status_policy(unknown);
        Some(builder.with_expiration_policy(ExpirationPolicy::Enforce).build())
    }
}

impl Anchor {
    fn read(der: Vec<u8>) -> Option<Self> {
        let der = CertificateDer::from(der);
        let anchor = webpki::anchor_from_trusted_cert(&der).ok()?.to_owned();
        let subject = Name::from_der(&tagged(0x30, &anchor.subject)).ok()?.to_string();
        Some(Self { anchor, subject })
    }
}

/// Takes every extended key usage: [`rules`] says which certificate has the wrong one.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// A distinguished name as an identity (ID_DER_ASN1_DN) from its text (RFC 4514): `CN=gateway,O=Example`; `None` where
/// it is none.
#[must_use]
pub fn distinguished_name(text: &str) -> Option<Identity> {
    let name = text.parse::<Name>().ok().filter(|name| !name.is_empty())?;
    Some(Identity { ty: IdType::DER_ASN1_DN, data: name.to_der().ok()? })
}

/// The subject of a certificate in DER as an identity (ID_DER_ASN1_DN); `None` where it has none.
#[must_use]
pub fn subject(certificate: &[u8]) -> Option<Identity> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let name = Some(certificate.tbs_certificate().subject()).filter(|name| !name.is_empty())?;
    Some(Identity { ty: IdType::DER_ASN1_DN, data: name.to_der().ok()? })
}

/// A distinguished name in DER as text (RFC 4514).
pub(crate) fn name_text(der: &[u8]) -> Option<String> {
    Name::from_der(der).ok().filter(|name| !name.is_empty()).map(|name| legible(&name))
}

/// How much of a name that a stranger wrote is shown, in characters.
const MAX_SHOWN: usize = 256;

/// A name that a stranger wrote, for a person's eyes: in one line, and not too long.
fn legible(name: &impl ToString) -> String {
    let text = name.to_string();
    let mut shown = String::new();
    for character in text.chars().take(MAX_SHOWN) {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
