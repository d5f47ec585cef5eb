//! Reads the AlgorithmIdentifier before a signature (RFC 7427 §3, RFC 4055, RFC 5758 §3.2, RFC 8410 §3).

use super::oid::ObjectId;
use super::scheme::{AlgorithmIdentifierError, SignatureScheme};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::AnyRef;
use der::{Decode, Tag, Tagged};
use pkcs1::RsaPssParamsOwned;
use spki::AlgorithmIdentifierRef;

/// Which parameters an algorithm takes.
enum Parameters {
    Absent,
    NullOrAbsent,
}

pub(super) fn parse(octets: &[u8]) -> Result<SignatureScheme, AlgorithmIdentifierError> {
    use Parameters::{Absent, NullOrAbsent};

    let identifier =
        AlgorithmIdentifierRef::from_der(octets).map_err(|_| AlgorithmIdentifierError::Malformed)?;
    let oid = ObjectId::new(identifier.oid);
    let (scheme, parameters) = match identifier.oid {
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => (SignatureScheme::RsaPkcs1Sha1, NullOrAbsent),
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => (SignatureScheme::RsaPkcs1Sha256, NullOrAbsent),
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => (SignatureScheme::RsaPkcs1Sha384, NullOrAbsent),
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => (SignatureScheme::RsaPkcs1Sha512, NullOrAbsent),
        rfc5912::ECDSA_WITH_SHA_256 => (SignatureScheme::EcdsaSha256, Absent),
        rfc5912::ECDSA_WITH_SHA_384 => (SignatureScheme::EcdsaSha384, Absent),
        rfc5912::ECDSA_WITH_SHA_512 => (SignatureScheme::EcdsaSha512, Absent),
        rfc8410::ID_ED_25519 => (SignatureScheme::Ed25519, Absent),
        rfc5912::ID_RSASSA_PSS => {
            let parameters = identifier.parameters.ok_or(AlgorithmIdentifierError::Parameters { oid })?;
            return pss(oid, parameters);
        }
        _ => return Err(AlgorithmIdentifierError::Unknown { oid }),
    };
    let fits = match parameters {
        Absent => identifier.parameters.is_none(),
        NullOrAbsent => null_or_absent(identifier.parameters),
    };
    if fits { Ok(scheme) } else { Err(AlgorithmIdentifierError::Parameters { oid }) }
}

fn null_or_absent(parameters: Option<AnyRef<'_>>) -> bool {
    parameters.is_none_or(|any| any.tag() == Tag::Null && any.value().is_empty())
}

/// RSASSA-PSS-params (RFC 4055 §3.1): the hash, the mask's function with a hash of its own, the salt's
/// length, and the trailer, which is 1.
fn pss(oid: ObjectId, parameters: AnyRef<'_>) -> Result<SignatureScheme, AlgorithmIdentifierError> {
    let malformed = AlgorithmIdentifierError::Parameters { oid };
    let parameters = parameters.decode_as::<RsaPssParamsOwned>().map_err(|_| malformed)?;
    let mask_hash = parameters.mask_gen.parameters.ok_or(malformed)?;
    let hashes = [parameters.hash, mask_hash];
    if parameters.mask_gen.oid != rfc5912::ID_MGF_1
        || !hashes.iter().all(|hash| null_or_absent(hash.parameters.as_ref().map(AnyRef::from)))
    {
        return Err(malformed);
    }
    let [hash, mask_hash] = hashes.map(|hash| hash.oid);
    pss_scheme(hash, mask_hash, parameters.salt_len).ok_or(AlgorithmIdentifierError::PssParameters {
        hash: ObjectId::new(hash),
        mask_hash: ObjectId::new(mask_hash),
        salt_len: parameters.salt_len,
    })
}

fn pss_scheme(hash: ObjectIdentifier, mask_hash: ObjectIdentifier, salt_len: u8) -> Option<SignatureScheme> {
    let (scheme, hash_len) = match hash {
        rfc5912::ID_SHA_256 => (SignatureScheme::RsaPssSha256, 32),
        rfc5912::ID_SHA_384 => (SignatureScheme::RsaPssSha384, 48),
        rfc5912::ID_SHA_512 => (SignatureScheme::RsaPssSha512, 64),
        _ => return None,
    };
    (mask_hash == hash && salt_len == hash_len).then_some(scheme)
}
