//! The Certificate and Certificate Request payloads (RFC 7296 §3.6, §3.7).

use crate::codes::CertEncoding;
use crate::error::{Field, ParseError};
use crate::reader::Reader;
use alloc::vec::Vec;

/// The length in octets of the SHA-1 hashes in both payloads.
const SHA1_LEN: usize = 20;

/// A certificate, or what is akin to one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CertPayload<'a> {
    /// What the data is.
    pub encoding: CertEncoding,
    /// The certificate data, not looked into.
    pub data: &'a [u8],
}

impl<'a> CertPayload<'a> {
    /// The SHA-1 hash and the URL of the encodings "Hash and URL" (12 and 13); `None` for other encodings and
    /// where the hash is not whole. The URL is as received: unchecked octets.
    #[must_use]
    pub fn hash_and_url(&self) -> Option<(&'a [u8; SHA1_LEN], &'a [u8])> {
        match self.encoding {
            CertEncoding::HASH_AND_URL_X509 | CertEncoding::HASH_AND_URL_BUNDLE => {
                self.data.split_first_chunk()
            }
            _ => None,
        }
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        Ok(Self { encoding: CertEncoding(reader.u8(Field::FixedFields)?), data: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.encoding.0);
        out.extend_from_slice(self.data);
    }
}

/// A wish for certificates below certain authorities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CertReqPayload<'a> {
    /// The encoding wished for.
    pub encoding: CertEncoding,
    /// The authorities, in a form that the encoding tells; may be empty.
    pub authorities: &'a [u8],
}

impl<'a> CertReqPayload<'a> {
    /// The SHA-1 hashes of the authorities' SubjectPublicKeyInfo, for the encodings that have them (4, 12, 13).
    /// Octets at the end that do not make up a hash are left out.
    pub fn key_hashes(&self) -> impl Iterator<Item = &'a [u8; SHA1_LEN]> + use<'a> {
        let hashes = match self.encoding {
            CertEncoding::X509_SIGNATURE
            | CertEncoding::HASH_AND_URL_X509
            | CertEncoding::HASH_AND_URL_BUNDLE => self.authorities,
            _ => &[],
        };
        hashes.as_chunks().0.iter()
    }

    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, ParseError> {
        Ok(Self { encoding: CertEncoding(reader.u8(Field::FixedFields)?), authorities: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.encoding.0);
        out.extend_from_slice(self.authorities);
    }
}
