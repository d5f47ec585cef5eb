//! The ID payload against the end entity's certificate (RFC 4945 §3.1, §5.1.3.6): names of hosts, mailboxes and
//! addresses against the subject's alternative names, a distinguished name against the subject.
//!
//! The common name is no host's name here, nor a wildcard one that stands for others. What no certificate can say,
//! ID_KEY_ID and ID_NULL among it, no certificate proves.

use super::{legible, name};
use crate::identity::Identity;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use ikev2_wire::codes::IdType;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// How many names an error tells.
const MAX_NAMED: usize = 16;

/// Whether the certificate is for who the peer says it is.
///
/// # Errors
/// The names that it is for.
pub(super) fn check(peer: &Identity, certificate: &Certificate) -> Result<(), Vec<String>> {
    let subject = certificate.tbs_certificate().subject();
    let names = alternative_names(certificate);
    let is_for = match peer.ty {
        IdType::DER_ASN1_DN => Name::from_der(&peer.data)
            .is_ok_and(|claimed| !claimed.is_empty() && name::is_same(&claimed, subject)),
        _ => names.iter().any(|name| names_it(name, peer)),
    };
    if is_for {
        return Ok(());
    }
    let subject = (!subject.is_empty()).then(|| legible(subject));
    Err(names.iter().filter_map(shown).take(MAX_NAMED).chain(subject).collect())
}

fn alternative_names(certificate: &Certificate) -> Vec<GeneralName> {
    match certificate.tbs_certificate().get_extension::<SubjectAltName>() {
        Ok(Some((_, names))) => names.0,
        _ => Vec::new(),
    }
}

fn names_it(name: &GeneralName, peer: &Identity) -> bool {
    match (peer.ty, name) {
        (IdType::FQDN, GeneralName::DnsName(name)) => {
            !name.as_bytes().contains(&b'*')
                && !peer.data.is_empty()
                && name.as_bytes().eq_ignore_ascii_case(&peer.data)
        }
        (IdType::RFC822_ADDR, GeneralName::Rfc822Name(name)) => same_mailbox(name.as_bytes(), &peer.data),
        (IdType::IPV4_ADDR, GeneralName::IpAddress(address)) => {
            peer.data.len() == 4 && address.as_bytes() == peer.data
        }
        (IdType::IPV6_ADDR, GeneralName::IpAddress(address)) => {
            peer.data.len() == 16 && address.as_bytes() == peer.data
        }
        _ => false,
    }
}

/// The local part octet for octet, the host without regard to case (RFC 5280 §7.5).
fn same_mailbox(one: &[u8], other: &[u8]) -> bool {
    let parts = |mailbox: &[u8]| {
        let at = mailbox.iter().rposition(|octet| *octet == b'@')?;
        let (local, host) = mailbox.split_at_checked(at)?;
        (!local.is_empty()).then(|| (local.to_vec(), host.to_ascii_lowercase()))
    };
    parts(one).is_some_and(|one| parts(other) == Some(one))
}

fn shown(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => Some(legible(name)),
        GeneralName::UniformResourceIdentifier(uri) => Some(format!("URI {}", legible(uri))),
        GeneralName::DirectoryName(name) => Some(legible(name)),
        GeneralName::IpAddress(address) => match address.as_bytes().len() {
            4 => <[u8; 4]>::try_from(address.as_bytes()).ok().map(|octets| IpAddr::from(octets).to_string()),
            16 => {
                <[u8; 16]>::try_from(address.as_bytes()).ok().map(|octets| IpAddr::from(octets).to_string())
            }
            _ => None,
        },
        _ => None,
    }
}
