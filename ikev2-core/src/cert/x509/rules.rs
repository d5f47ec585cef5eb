//! What certificates must say of their use, beside what every path must (RFC 5280 §4.2.1.3, RFC 4945 §5.1.3.2,
//! §5.1.3.12).

use crate::cert::error::CertificateRule;
use alloc::string::ToString;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage};

/// id-kp-ipsecIKE.
const IPSEC_IKE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17");
/// anyExtendedKeyUsage.
const ANY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
/// id-kp-serverAuth and id-kp-clientAuth.
const TLS: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"), ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2")];

/// What the extended key usage of a chain's certificates must allow, where they have one (RFC 4945 §5.1.3.12).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Purpose {
    /// IKE, or anything: what RFC 4945 demands by default.
    #[default]
    Ike,
    /// TLS besides, for authorities that know of nothing else.
    IkeOrTls,
    /// It is not looked at.
    Unchecked,
}

/// The end entity's: it signs.
pub(super) fn end_entity(certificate: &Certificate, purpose: Purpose) -> Result<(), CertificateRule> {
    if let Some(usage) = key_usage(certificate)?
        && !usage.digital_signature()
        && !usage.non_repudiation()
    {
        return Err(CertificateRule::KeyUsage { needed: "digital signatures" });
    }
    extended(certificate, purpose)
}

/// An authority's: it signs certificates.
pub(super) fn authority(certificate: &Certificate, purpose: Purpose) -> Result<(), CertificateRule> {
    if key_usage(certificate)?.is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(CertificateRule::KeyUsage { needed: "signing certificates" });
    }
    extended(certificate, purpose)
}

fn key_usage(certificate: &Certificate) -> Result<Option<KeyUsage>, CertificateRule> {
    let found = certificate.tbs_certificate().get_extension::<KeyUsage>();
    found.map(|usage| usage.map(|(_, usage)| usage)).map_err(|_| CertificateRule::Malformed)
}

fn extended(certificate: &Certificate, purpose: Purpose) -> Result<(), CertificateRule> {
    let found = certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>();
    let Some((_, ExtendedKeyUsage(present))) = found.map_err(|_| CertificateRule::Malformed)? else {
        return Ok(());
    };
    let allows = |oid: &ObjectIdentifier| match purpose {
        Purpose::Unchecked => true,
        Purpose::Ike => [IPSEC_IKE, ANY].contains(oid),
        Purpose::IkeOrTls => [IPSEC_IKE, ANY].contains(oid) || TLS.contains(oid),
    };
    if present.iter().any(allows) {
        return Ok(());
    }
    Err(CertificateRule::ExtendedKeyUsage { present: present.iter().map(ToString::to_string).collect() })
}
