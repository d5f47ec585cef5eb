//! What can go wrong in authentication (RFC 7296 §2.15, §2.21.2, RFC 7427).

use super::Joined;
use crate::identity::{Identity, IdentityPattern};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::codes::{AuthMethod, HashAlgorithm};
use ipsec_crypto::signature::{AlgorithmIdentifierError, SignatureScheme};
use thiserror::Error;

/// The hashes that both sides announced by SIGNATURE_HASH_ALGORITHMS (RFC 7427 §4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnouncedHashes {
    /// Ours.
    pub ours: Vec<HashAlgorithm>,
    /// The peer's; `None` where it announced nothing, and so reads and makes only signatures of methods 1, 9, 10 and
    /// 11.
    pub peer: Option<Vec<HashAlgorithm>>,
}

impl fmt::Display for AnnouncedHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hashes announced: ours {}, the peer's ", OrNone(&self.ours))?;
        match &self.peer {
            Some(hashes) => write!(f, "{}", OrNone(hashes)),
            None => f.write_str("not announced"),
        }
    }
}

/// What a peer that announced this reads.
fn readable(hashes: &AnnouncedHashes) -> &'static str {
    match hashes.peer {
        Some(_) => "Digital Signature with the hashes that it announced",
        None => "methods 1, 9, 10 and 11 alone",
    }
}

/// With commas between, or `none`.
struct OrNone<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for OrNone<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { fmt::Display::fmt(&Joined(self.0), f) }
    }
}

/// Why a peer is not who it says it is, or may not be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AuthFailure {
    /// We hold no secret for these two.
    #[error("no shared secret for {local} with {}", OrAnyone(.remote))]
    NoSecret {
        /// Who we are.
        local: Identity,
        /// Who the peer is, if that is known.
        remote: Option<Identity>,
    },
    /// None of our signature schemes is one that the peer reads.
    #[error("we sign by {}, and the peer reads {}; {hashes}", Joined(.ours), readable(.hashes))]
    NoCommonScheme {
        /// What we can sign with.
        ours: Vec<SignatureScheme>,
        /// What both sides announced.
        hashes: Box<AnnouncedHashes>,
    },
    /// The peer signs by method 14 in a way that we do not know.
    #[error("the peer's signature (Digital Signature): {error}; {hashes}")]
    UnknownScheme {
        /// What is not known of it.
        error: AlgorithmIdentifierError,
        /// What both sides announced.
        hashes: Box<AnnouncedHashes>,
    },
    /// The peer signs by method 14 with a hash that we did not announce.
    #[error("the peer signs by {scheme} (Digital Signature), and we did not announce its hash; {hashes}")]
    HashNotAnnounced {
        /// What the peer uses.
        scheme: SignatureScheme,
        /// What both sides announced.
        hashes: Box<AnnouncedHashes>,
    },
    /// The peer's signature is good and its scheme a weak one that nobody asked for (RFC 8247 §3.2).
    #[error("{peer} signs by {scheme} ({method}), which connection `{connection}` does not allow; {hashes}")]
    WeakScheme {
        /// Who the peer says it is.
        peer: Identity,
        /// The method of AUTH.
        method: AuthMethod,
        /// What the peer uses.
        scheme: SignatureScheme,
        /// The connection.
        connection: String,
        /// What both sides announced.
        hashes: Box<AnnouncedHashes>,
    },
    /// The signature is by none of the keys that we trust for this peer.
    #[error("the signature of {peer} ({method}, {}) is by none of the {trusted} keys trusted for it; {hashes}", Joined(.schemes))]
    Signature {
        /// Who the peer says it is.
        peer: Identity,
        /// The method of AUTH.
        method: AuthMethod,
        /// The schemes that it was tried as.
        schemes: Vec<SignatureScheme>,
        /// How many keys were tried.
        trusted: usize,
        /// What both sides announced.
        hashes: Box<AnnouncedHashes>,
    },
    /// The embedder would not sign.
    #[error("the signature that was asked for was refused")]
    NotSigned,
    /// The embedder says that the peer's signature is not good.
    #[error("the peer's signature was found wanting")]
    NotVerified,
    /// The embedder did not answer in time.
    #[error("no answer came to what was asked for")]
    NotAnswered,
    /// The AUTH value does not fit: most often the two sides hold different secrets.
    #[error(
        "the AUTH of {peer} does not fit the shared secret of connection `{connection}`; are both sides' secrets the same?"
    )]
    WrongSecret {
        /// Who the peer says it is.
        peer: Identity,
        /// The connection whose secret was tried.
        connection: String,
    },
    /// No connection takes this pair of identities.
    #[error("no connection for {peer} asking for {us}; known: {known}", us = OrAnyone(.us), known = ListDisplay(.known))]
    UnknownIdentity {
        /// IDi or IDr of the peer.
        peer: Identity,
        /// Whom the peer asked for, if it said so.
        us: Option<Identity>,
        /// What the connections of these addresses take, ours first; at most 16 of them.
        known: Vec<(Identity, IdentityPattern)>,
    },
    /// The peer is not the one that the connection names.
    #[error("the peer is {got}, connection `{connection}` wants {wanted}")]
    WrongIdentity {
        /// IDr of the answer.
        got: Identity,
        /// What the connection takes.
        wanted: IdentityPattern,
        /// The connection.
        connection: String,
    },
    /// The peer has an IKE SA already, and the connection keeps the old one.
    #[error("{peer} has an IKE SA already, and connection `{connection}` keeps it")]
    Duplicate {
        /// Who the peer proved to be.
        peer: Identity,
        /// The connection.
        connection: String,
    },
    /// The peer authenticates by a method that the connection does not take.
    #[error(
        "the peer authenticates by {got}, connection `{connection}` wants {}; {hashes}",
        Joined(.wanted)
    )]
    Method {
        /// What AUTH names.
        got: AuthMethod,
        /// What the connection takes from a peer that announced this.
        wanted: Vec<AuthMethod>,
        /// The connection.
        connection: String,
        /// What both sides announced.
        hashes: Box<AnnouncedHashes>,
    },
}

struct OrAnyone<'a>(&'a Option<Identity>);

impl fmt::Display for OrAnyone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(identity) => write!(f, "{identity}"),
            None => f.write_str("anyone"),
        }
    }
}

struct ListDisplay<'a>(&'a [(Identity, IdentityPattern)]);

impl fmt::Display for ListDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (ours, theirs)) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{ours} with {theirs}")?;
        }
        Ok(())
    }
}
