//! Which certificate of a chain broke which rule: the path validator says what is wrong with a chain, not where.

use super::algorithms::Trace;
use super::{legible, name};
use crate::cert::error::{CertificateName, CertificateRule, ChainError};
use crate::identity::Identity;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::fmt::Write;
use ikev2_wire::codes::HashAlgorithm;
use ipsec_crypto::signature::{PublicKey, SignatureScheme};
use ipsec_types::UnixTime;
use rustls_pki_types::CertificateDer;
use webpki::{CertRevocationList, EndEntityCert, Error};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, NameConstraints};

/// How many anchors an error names.
const MAX_NAMED: usize = 16;

/// The extensions that the validator knows (RFC 5280 §4.2.1): key usage, alternative names, basic constraints, name
/// constraints, distribution points, extended key usage.
const KNOWN_EXTENSIONS: [&str; 6] =
    ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];

/// What a peer sent, looked at for names.
pub(super) struct Search<'a> {
    pub(super) peer: &'a Identity,
    sent: &'a [&'a [u8]],
    now: UnixTime,
    anchors: &'a [String],
    parsed: OnceCell<Vec<Option<Certificate>>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        peer: &'a Identity,
        sent: &'a [&'a [u8]],
        now: UnixTime,
        anchors: &'a [String],
    ) -> Self {
        Self { peer, sent, now, anchors, parsed: OnceCell::new() }
    }

    /// Reads one for the checks of ours.
    pub(super) fn certificate(&self, der: &[u8]) -> Result<Certificate, ChainError> {
        Certificate::from_der(der).map_err(|_| self.broken(der, CertificateRule::Malformed))
    }

    /// That this one breaks a rule.
    pub(super) fn broken(&self, der: &[u8], rule: CertificateRule) -> ChainError {
        let position = self.sent.iter().position(|sent| *sent == der).unwrap_or_default();
        self.broken_at(position, rule)
    }

    fn broken_at(&self, position: usize, rule: CertificateRule) -> ChainError {
        ChainError::Certificate { certificate: Box::new(self.name(position)), rule }
    }

    /// Refuses so many authorities of one name that too many paths could be made of them.
    pub(super) fn check_namesakes(&self, max: usize) -> Result<(), ChainError> {
        let ders: Vec<_> = self.sent.iter().skip(1).map(|der| CertificateDer::from(*der)).collect();
        let read: Vec<_> = ders.iter().filter_map(|der| EndEntityCert::try_from(der).ok()).collect();
        for one in &read {
            let got = read.iter().filter(|other| other.subject() == one.subject()).count();
            if got > max {
                let der = one.der();
                let position = self.sent.iter().position(|sent| *sent == der.as_ref()).unwrap_or_default();
                return Err(ChainError::Namesakes { subject: self.name(position).subject, got, max });
            }
        }
        Ok(())
    }

    fn parsed(&self) -> &[Option<Certificate>] {
        self.parsed.get_or_init(|| self.sent.iter().map(|der| Certificate::from_der(der).ok()).collect())
    }

    fn at(&self, position: usize) -> Option<&Certificate> {
        self.parsed().get(position)?.as_ref()
    }

    /// What one is called.
    pub(super) fn name(&self, position: usize) -> CertificateName {
        let (mut subject, mut serial) = (String::new(), String::new());
        if let Some(certificate) = self.at(position) {
            subject = legible(certificate.tbs_certificate().subject());
            for octet in certificate.tbs_certificate().serial_number().as_bytes() {
                // Writing into a string does not fail.
                let _ = write!(serial, "{octet:02x}");
            }
        }
        CertificateName { position, subject, serial }
    }

    /// The places of the end entity, its issuer, and so on, as far as names lead; then the rest.
    fn chain(&self) -> (Vec<usize>, Vec<usize>) {
        let mut chain = Vec::from([0]);
        let mut rest: Vec<_> = (1..self.sent.len()).collect();
        while let Some(last) = chain.last().and_then(|last| self.at(*last)) {
            let issuer = last.tbs_certificate().issuer();
            let is_issuer = |at: &usize| {
                self.at(*at).is_some_and(|found| name::is_same(found.tbs_certificate().subject(), issuer))
            };
            let Some(found) = rest.iter().position(is_issuer) else { break };
            chain.push(rest.remove(found));
        }
        (chain, rest)
    }

    /// The first on the chain that something is true of, else any; else the end entity.
    fn find(&self, is_it: impl Fn(usize, usize, &Certificate) -> bool) -> usize {
        let (chain, rest) = self.chain();
        let found =
            chain.iter().chain(&rest).enumerate().find(|(depth, at)| {
                self.at(**at).is_some_and(|certificate| is_it(*depth, **at, certificate))
            });
        found.map_or(0, |(_, at)| *at)
    }

    /// What the validator's error is about.
    pub(super) fn explain(
        &self,
        error: Error,
        trace: &Trace<'_>,
        lists: &[CertRevocationList<'_>],
        max_intermediates: usize,
    ) -> ChainError {
        let (at, rule) = match error {
            Error::UnknownIssuer => return self.unknown_issuer(),
            Error::MaximumPathDepthExceeded => return ChainError::TooLong { max: max_intermediates },
            Error::MaximumSignatureChecksExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumNameConstraintComparisonsExceeded => {
                return ChainError::TooMuchWork { max: 100 };
            }
            Error::CertNotValidYet { not_before, .. } => {
                let from = UnixTime(not_before.as_secs());
                (
                    self.find(|_, _, found| validity(found).0 == from),
                    CertificateRule::NotYetValid { from, now: self.now },
                )
            }
            Error::CertExpired { not_after, .. } => {
                let until = UnixTime(not_after.as_secs());
                (
                    self.find(|_, _, found| validity(found).1 == until),
                    CertificateRule::Expired { until, now: self.now },
                )
            }
            Error::UnsupportedCriticalExtension => self.critical_extension(),
            Error::UnsupportedCertVersion => {
                let old = |found: &Certificate| found.tbs_certificate().version() != x509_cert::Version::V3;
                (self.find(|_, _, found| old(found)), CertificateRule::Version)
            }
            Error::CaUsedAsEndEntity => (0, CertificateRule::AuthorityAsEndEntity),
            Error::EndEntityUsedAsCa => (
                self.find(|depth, _, found| depth > 0 && !is_authority(found)),
                CertificateRule::NotAnAuthority,
            ),
            Error::PathLenConstraintViolated => {
                let short = |depth: usize, found: &Certificate| {
                    path_length(found).is_some_and(|length| depth > usize::from(length).saturating_add(1))
                };
                (self.find(|depth, _, found| short(depth, found)), CertificateRule::PathLength)
            }
            Error::NameConstraintViolation => {
                (self.find(|_, _, found| constrains_names(found)), CertificateRule::NameConstraints)
            }
            Error::InvalidSignatureForPublicKey => {
                (trace.failed().unwrap_or_default(), CertificateRule::Signature)
            }
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => self.algorithm(),
            Error::SignatureAlgorithmMismatch => {
                let differ =
                    |found: &Certificate| found.signature_algorithm() != found.tbs_certificate().signature();
                (self.find(|_, _, found| differ(found)), CertificateRule::Malformed)
            }
            Error::CertRevoked => {
                let serial =
                    |found: &Certificate| found.tbs_certificate().serial_number().as_bytes().to_vec();
                let listed = |found: &Certificate| {
                    lists
                        .iter()
                        .any(|list| list.find_serial(&serial(found)).is_ok_and(|entry| entry.is_some()))
                };
                (self.find(|_, _, found| listed(found)), CertificateRule::Revoked)
            }
            Error::UnknownRevocationStatus => (0, CertificateRule::RevocationUnknown),
            Error::CrlExpired { .. }
            | Error::IssuerNotCrlSigner
            | Error::InvalidCrlSignatureForPublicKey
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
                (0, CertificateRule::RevocationList)
            }
            _ => self.malformed(),
        };
        self.broken_at(at, rule)
    }

    fn unknown_issuer(&self) -> ChainError {
        let (chain, _) = self.chain();
        let last = chain.last().copied().unwrap_or_default();
        let issuer = self.at(last).map(|found| legible(found.tbs_certificate().issuer()));
        ChainError::UnknownIssuer {
            certificate: Box::new(self.name(last)),
            issuer: issuer.unwrap_or_default(),
            anchors: self.anchors.iter().take(MAX_NAMED).cloned().collect(),
        }
    }

    fn critical_extension(&self) -> (usize, CertificateRule) {
        let at = self.find(|_, _, found| critical(found).is_some());
        let oid = self.at(at).and_then(critical).map(|oid| oid.to_string()).unwrap_or_default();
        (at, CertificateRule::CriticalExtension { oid })
    }

    /// The first whose algorithm is unknown, weak, or does not go with the key of the next on the chain.
    fn algorithm(&self) -> (usize, CertificateRule) {
        let (chain, _) = self.chain();
        let issuer = |at: usize| {
            let place = chain.iter().position(|found| *found == at)?;
            self.at(*chain.get(place.checked_add(1)?)?)
        };
        let at = self.find(|_, at, found| !is_taken(found, issuer(at)));
        let algorithm = self.at(at).map(|found| found.signature_algorithm().oid);
        let algorithm = algorithm.map_or_else(String::new, algorithm_name);
        (at, CertificateRule::Algorithm { algorithm })
    }

    /// The first that the validator cannot read.
    fn malformed(&self) -> (usize, CertificateRule) {
        let unreadable = self.sent.iter().position(|der| {
            EndEntityCert::try_from(&CertificateDer::from(*der)).is_err()
                || Certificate::from_der(der).is_err()
        });
        (unreadable.unwrap_or_default(), CertificateRule::Malformed)
    }
}

fn validity(certificate: &Certificate) -> (UnixTime, UnixTime) {
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: x509_cert::time::Time| UnixTime(time.to_unix_duration().as_secs());
    (seconds(validity.not_before), seconds(validity.not_after))
}

fn is_authority(certificate: &Certificate) -> bool {
    matches!(certificate.tbs_certificate().get_extension::<BasicConstraints>(), Ok(Some((_, found))) if found.ca)
}

fn path_length(certificate: &Certificate) -> Option<u8> {
    let found = certificate.tbs_certificate().get_extension::<BasicConstraints>();
    found.ok().flatten()?.1.path_len_constraint
}

fn constrains_names(certificate: &Certificate) -> bool {
    !matches!(certificate.tbs_certificate().get_extension::<NameConstraints>(), Ok(None))
}

fn critical(certificate: &Certificate) -> Option<ObjectIdentifier> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let known = |oid: &ObjectIdentifier| KNOWN_EXTENSIONS.contains(&oid.to_string().as_str());
    extensions.iter().find(|found| found.critical && !known(&found.extn_id)).map(|found| found.extn_id)
}

fn is_taken(certificate: &Certificate, issuer: Option<&Certificate>) -> bool {
    let Ok(der) = certificate.signature_algorithm().to_der() else { return false };
    let Ok(scheme) = SignatureScheme::from_algorithm_identifier(&der) else { return false };
    let key = issuer.and_then(|issuer| issuer.tbs_certificate().subject_public_key_info().to_der().ok());
    let key = key.and_then(|spki| PublicKey::from_spki_der(&spki).ok());
    scheme.hash() != HashAlgorithm::SHA1 && key.is_none_or(|key| scheme.goes_with(key.key_type()))
}

/// Its numbers, and its name where it has a well-known one.
fn algorithm_name(oid: ObjectIdentifier) -> String {
    match x509_cert::der::oid::db::DB.by_oid(&oid) {
        Some(name) => alloc::format!("{oid} ({name})"),
        None => oid.to_string(),
    }
}
