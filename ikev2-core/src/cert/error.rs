//! Why a peer's certificates do not prove who it is: which certificate, and by which rule.

use crate::identity::Identity;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::CertEncoding;
use ipsec_crypto::signature::PublicKeyError;
use ipsec_types::UnixTime;
use thiserror::Error;

/// Which of the certificates that a peer sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateName {
    /// Its place among them; the end entity's is 0.
    pub position: usize,
    /// Its subject (RFC 4514), or nothing where it cannot be read.
    pub subject: String,
    /// Its serial number in hexadecimal, or nothing where it cannot be read.
    pub serial: String,
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            0 => f.write_str("the end entity certificate")?,
            position => write!(f, "certificate {position} of the chain")?,
        }
        match (self.subject.as_str(), self.serial.as_str()) {
            ("", "") => Ok(()),
            ("", serial) => write!(f, " (serial {serial})"),
            (subject, serial) => write!(f, " ({subject}, serial {serial})"),
        }
    }
}

/// A rule that one certificate of a chain breaks.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CertificateRule {
    /// It cannot be read (RFC 5280 §4.1).
    #[error("cannot be read")]
    Malformed,
    /// It is not of version 3 (RFC 4945 §5.1.1).
    #[error("is not of version 3")]
    Version,
    /// Its validity has not begun (RFC 5280 §4.1.2.5).
    #[error("is not valid before {} (now: {})", .from.0, .now.0)]
    NotYetValid {
        /// When it begins.
        from: UnixTime,
        /// The time that it was looked at.
        now: UnixTime,
    },
    /// Its validity is over (RFC 5280 §4.1.2.5).
    #[error("is not valid after {} (now: {})", .until.0, .now.0)]
    Expired {
        /// When it ended.
        until: UnixTime,
        /// The time that it was looked at.
        now: UnixTime,
    },
    /// An extension that must not be ignored is not known (RFC 5280 §4.2).
    #[error("has the critical extension {oid}, which is not known")]
    CriticalExtension {
        /// Its object identifier.
        oid: String,
    },
    /// It issued another certificate and is no authority's (RFC 5280 §4.2.1.9).
    #[error("issued another one without being an authority's")]
    NotAnAuthority,
    /// It is an authority's, and the peer authenticates with it (RFC 5280 §4.2.1.9).
    #[error("is an authority's own, not an end entity's")]
    AuthorityAsEndEntity,
    /// More authorities stand below it than it allows (RFC 5280 §4.2.1.9).
    #[error("has more authorities below it than its path length constraint allows")]
    PathLength,
    /// Its key is not for this use (RFC 5280 §4.2.1.3, RFC 4945 §5.1.3.2).
    #[error("is not for {needed} by its key usage")]
    KeyUsage {
        /// The use that it lacks.
        needed: &'static str,
    },
    /// It is for other purposes alone (RFC 4945 §5.1.3.12).
    #[error("is not for IKE by its extended key usage ({})", .present.join(", "))]
    ExtendedKeyUsage {
        /// The purposes that it names, as object identifiers.
        present: Vec<String>,
    },
    /// It constrains names that a certificate below it has, or has kinds of names constrained that are not looked
    /// into: directory names, mailboxes and URIs (RFC 5280 §4.2.1.10).
    #[error(
        "constrains the names below it, and one of them is not allowed or of a kind that is not compared"
    )]
    NameConstraints,
    /// It is signed by an algorithm that is not known or is too weak, or that does not go with its issuer's key.
    #[error("is signed by an algorithm that is not taken with its issuer's key: {algorithm}")]
    Algorithm {
        /// The algorithm.
        algorithm: String,
    },
    /// Its signature is not by its issuer.
    #[error("has a signature that is not its issuer's")]
    Signature,
    /// It was revoked (RFC 5280 §5).
    #[error("was revoked")]
    Revoked,
    /// No list says whether it was revoked.
    #[error("may have been revoked: no current list of its issuer's is at hand")]
    RevocationUnknown,
    /// A list that would say whether it was revoked is out of date, or cannot be used.
    #[error(
        "may have been revoked: its issuer's list is out of date, not signed by it, or of a kind that is not known"
    )]
    RevocationList,
    /// Its key cannot be used.
    #[error("has a key that cannot be used: {0}")]
    Key(PublicKeyError),
}

/// Why certificates do not prove who a peer is.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The embedder has not said what time it is.
    #[error("the time of day is not known, so that no certificate can be valid")]
    NoTime,
    /// There is no certificate that can be read.
    #[error("the peer sent no X.509 certificate{}", Ignored(.ignored))]
    Missing {
        /// What it sent of other encodings.
        ignored: Vec<CertEncoding>,
    },
    /// There are more than the configuration allows
    /// ([`CertificateLimits::count`](super::CertificateLimits::count)).
    #[error("the peer sent {got} certificates, {max} are taken")]
    TooMany {
        /// How many.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// They are larger than the configuration allows
    /// ([`CertificateLimits::octets`](super::CertificateLimits::octets)).
    #[error("the peer's certificates have {got} octets, {max} are taken")]
    TooLarge {
        /// How many octets.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// There are so many of one name that too many chains could be made of them.
    #[error("{got} certificates have the subject {subject}, {max} are taken")]
    Namesakes {
        /// The name.
        subject: String,
        /// How many have it.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A certificate breaks a rule.
    #[error("{certificate} {rule}")]
    Certificate {
        /// Which one.
        certificate: Box<CertificateName>,
        /// The rule.
        rule: CertificateRule,
    },
    /// The chain ends before it reaches a trust anchor.
    #[error("{certificate} is issued by {issuer}, which is neither in the chain nor trusted; trusted: {}", OrNone(.anchors))]
    UnknownIssuer {
        /// The last one.
        certificate: Box<CertificateName>,
        /// Its issuer.
        issuer: String,
        /// The subjects of the anchors, at most 16.
        anchors: Vec<String>,
    },
    /// All chains have more authorities than are allowed.
    #[error("more than {max} authorities stand between the end entity and a trust anchor")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// The search took as many signatures as are allowed, and found no chain.
    #[error("no chain was found within {max} signatures")]
    TooMuchWork {
        /// The bound.
        max: usize,
    },
    /// The end entity has other names (RFC 4945 §3.1, §5.1.3.6).
    #[error("the peer says that it is {peer}, and {certificate} is for {}", OrNone(.names))]
    Identity {
        /// Who the peer says it is.
        peer: Identity,
        /// The end entity.
        certificate: Box<CertificateName>,
        /// The names in its certificate: the alternative ones, and the subject.
        names: Vec<String>,
    },
    /// The connection's own rule takes no such chain.
    #[error("the chain of {certificate} under {anchor} is not taken by the connection's own rule: {reason}")]
    NotAccepted {
        /// The end entity.
        certificate: Box<CertificateName>,
        /// The subject of the trust anchor.
        anchor: String,
        /// What the rule says.
        reason: String,
    },
}

struct Ignored<'a>(&'a [CertEncoding]);

impl fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, encoding) in self.0.iter().enumerate() {
            let before = if at == 0 { "; not read: " } else { ", " };
            write!(f, "{before}{encoding}")?;
        }
        Ok(())
    }
}

struct OrNone<'a>(&'a [String]);

impl fmt::Display for OrNone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("nobody") } else { f.write_str(&self.0.join(", ")) }
    }
}
