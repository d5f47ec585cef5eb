//! A peer's CERT payloads (RFC 7296 §3.6), within bounds: X.509 certificates, and where others lie that the embedder
//! may fetch. Other encodings, PKCS #7 among them, are passed over, and the reason is kept.

use super::error::ChainError;
use alloc::vec::Vec;
use ikev2_wire::CertPayload;
use ikev2_wire::codes::CertEncoding;

/// How many certificates of a peer are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CertificateLimits {
    /// CERT payloads of one message at most, of whatever encoding. Default: 10.
    pub count: usize,
    /// Octets at most that they have together. Default: 32 KiB. Worst case: as many, once, while a chain is asked
    /// about; else nothing beyond the message that they came in, whose bound is
    /// [`EndpointConfig::reassembly`](crate::EndpointConfig::reassembly).
    pub octets: usize,
}

impl Default for CertificateLimits {
    fn default() -> Self {
        Self { count: 10, octets: 32_768 }
    }
}

/// A certificate, or where it is said to lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerCertificate {
    /// In DER.
    X509(Vec<u8>),
    /// Elsewhere.
    HashAndUrl(HashAndUrl),
}

/// Where a certificate is said to lie. The peer is not authenticated: who fetches what it names lets it choose the
/// server, and should know the hosts that it goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashAndUrl {
    /// [`CertEncoding::HASH_AND_URL_X509`] or [`CertEncoding::HASH_AND_URL_BUNDLE`].
    pub encoding: CertEncoding,
    /// SHA-1 of what lies there.
    pub hash: [u8; 20],
    /// The URL, as received.
    pub url: Vec<u8>,
}

/// The certificates of one message.
#[derive(Clone, Debug, Default)]
pub struct Received<'a> {
    payloads: Vec<CertPayload<'a>>,
    ignored: Vec<CertEncoding>,
}

impl<'a> Received<'a> {
    /// Sorts CERT payloads. Those that say where a certificate lies count if `fetched`.
    ///
    /// # Errors
    /// [`ChainError::TooMany`], [`ChainError::TooLarge`].
    pub fn read(
        payloads: &[CertPayload<'a>],
        limits: CertificateLimits,
        fetched: bool,
    ) -> Result<Self, ChainError> {
        if payloads.len() > limits.count {
            return Err(ChainError::TooMany { got: payloads.len(), max: limits.count });
        }
        let got = payloads.iter().fold(0_usize, |sum, payload| sum.saturating_add(payload.data.len()));
        if got > limits.octets {
            return Err(ChainError::TooLarge { got, max: limits.octets });
        }
        let is_read = |payload: &CertPayload<'_>| match payload.encoding {
            CertEncoding::X509_SIGNATURE => true,
            _ => fetched && payload.hash_and_url().is_some(),
        };
        let (payloads, ignored): (Vec<_>, Vec<_>) = payloads.iter().copied().partition(is_read);
        let ignored: Vec<_> = ignored.iter().map(|payload| payload.encoding).collect();
        if let Some(encoding) = ignored.first() {
            tracing::debug!(%encoding, count = ignored.len(), "certificates of an encoding that is not read");
        }
        Ok(Self { payloads, ignored })
    }

    /// The X.509 certificates in DER, in the order of the payloads.
    ///
    /// # Errors
    /// [`ChainError::Missing`], which names what came instead.
    pub fn x509(&self) -> Result<Vec<&'a [u8]>, ChainError> {
        let x509 = self.payloads.iter().filter(|payload| payload.encoding == CertEncoding::X509_SIGNATURE);
        let found: Vec<_> = x509.map(|payload| payload.data).collect();
        if found.is_empty() { Err(self.missing()) } else { Ok(found) }
    }

    /// All that are read, for somebody who looks at them later.
    ///
    /// # Errors
    /// [`ChainError::Missing`], which names what came instead.
    pub fn owned(&self) -> Result<Vec<PeerCertificate>, ChainError> {
        if self.payloads.is_empty() {
            return Err(self.missing());
        }
        let owned = |payload: &CertPayload<'_>| match payload.hash_and_url() {
            Some((hash, url)) => PeerCertificate::HashAndUrl(HashAndUrl {
                encoding: payload.encoding,
                hash: *hash,
                url: url.to_vec(),
            }),
            None => PeerCertificate::X509(payload.data.to_vec()),
        };
        Ok(self.payloads.iter().map(owned).collect())
    }

    fn missing(&self) -> ChainError {
        ChainError::Missing { ignored: self.ignored.clone() }
    }
}
