//! Authentication of the IKE SA (RFC 7296 §2.15): the octets that AUTH covers, and proofs by a shared key or by a
//! signature (RFC 7427, RFC 8420, RFC 7296 §3.8). No Child SA stands here.

use super::intermediate::IntAuth;
use super::secrets::Agreement;
use crate::credentials::{LocalAuth, RemoteAuth, SharedKeys, Signer, TrustedKeys};
use crate::error::{AnnouncedHashes, AuthFailure, Failure, Unsupported};
use crate::exchange::exchanges::Role;
use crate::identity::Identity;
use crate::keys::{self, IkeKeys};
use alloc::boxed::Box;
use alloc::vec::Vec;
use ikev2_wire::codes::{AuthMethod, HashAlgorithm};
use ikev2_wire::{AuthPayload, DigitalSignature};
use ipsec_crypto::signature::{KeyType, PublicKey, SignatureEncoding, SignatureScheme};
use ipsec_crypto::{CryptoProvider, SecureRandom};
use ipsec_types::SecretBytes;
use subtle::ConstantTimeEq;

/// The octets under one end's AUTH: `RealMessage | nonce of the other end | prf(SK_p, ID') [| IntAuth]` (RFC 7296 §2.15,
/// RFC 9242 §3.3.2).
#[derive(Debug)]
pub struct SignedOctets<'a> {
    real_message: &'a [u8],
    peer_nonce: &'a [u8],
    maced_id: SecretBytes,
    int_auth: Vec<u8>,
}

impl<'a> SignedOctets<'a> {
    /// Those of the end with this role, whose ID payload has this body; the keys are those in use now.
    #[must_use]
    pub fn of(
        signer: Role,
        agreement: &'a Agreement,
        keys: &IkeKeys,
        int_auth: &IntAuth,
        id_body: &[u8],
    ) -> Self {
        let (real_message, peer_nonce, sk_p) = match signer {
            Role::Initiator => (&agreement.request, &agreement.responder_nonce, &keys.pi),
            Role::Responder => (&agreement.answer, &agreement.initiator_nonce, &keys.pr),
        };
        let maced_id = keys::maced_id(agreement.algorithms.prf, sk_p, id_body);
        Self { real_message: real_message.message(), peer_nonce, maced_id, int_auth: int_auth.octets() }
    }

    /// The octets, in four parts.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 4] {
        [self.real_message, self.peer_nonce, self.maced_id.as_slice(), &self.int_auth]
    }

    /// The octets in one piece.
    #[must_use]
    pub fn concat(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

/// AUTH by a shared secret (method 2).
#[must_use]
pub fn shared_key(agreement: &Agreement, octets: &SignedOctets<'_>, secret: &SecretBytes) -> SecretBytes {
    keys::shared_key_auth(agreement.algorithms.prf, secret, &octets.parts())
}

/// Whether the peer's AUTH by a shared secret is right; in constant time.
#[must_use]
pub fn verify_shared_key(
    agreement: &Agreement,
    octets: &SignedOctets<'_>,
    secret: &SecretBytes,
    auth: &[u8],
) -> bool {
    shared_key(agreement, octets, secret).as_slice().ct_eq(auth).into()
}

/// The content of an AUTH payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The method.
    pub method: AuthMethod,
    /// The data.
    pub data: Vec<u8>,
}

impl Proof {
    /// A signature, with its AlgorithmIdentifier where the method has one (RFC 7427 §3).
    ///
    /// # Errors
    /// [`Failure::Encode`] where the identifier is longer than its length octet can say.
    pub fn from_signature(form: SignatureForm, signature: Vec<u8>) -> Result<Self, Failure> {
        let data = match form.encoding {
            SignatureEncoding::Rfc7427 => {
                let mut data = Vec::new();
                let algorithm = form.scheme.algorithm_identifier();
                DigitalSignature { algorithm, signature: &signature }.encode(&mut data)?;
                data
            }
            SignatureEncoding::Raw => signature,
        };
        Ok(Self { method: form.method, data })
    }
}

/// How a signature stands in an AUTH payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignatureForm {
    /// The method.
    pub method: AuthMethod,
    /// Key type, padding and hash.
    pub scheme: SignatureScheme,
    /// The octets of the signature.
    pub encoding: SignatureEncoding,
}

impl SignatureForm {
    /// What to sign with: a scheme of ours whose hash the peer announced, first of all the one that the peer
    /// itself used; without an announcement one that has a method of its own (RFC 7427 §3, RFC 7296 §3.8).
    ///
    /// `sha1` allows SHA-1 in method 1, whose default it is (RFC 7296 §2.15): it is taken first then, unless the
    /// peer showed that it uses another. In method 14 it MUST NOT be used (RFC 8247 §3.2).
    #[must_use]
    pub fn choose(
        schemes: &[SignatureScheme],
        key: KeyType,
        announced: Option<&[HashAlgorithm]>,
        used_by_peer: Option<SignatureScheme>,
        sha1: bool,
    ) -> Option<Self> {
        let sha1 = sha1 && announced.is_none();
        let default = sha1.then_some(SignatureScheme::RsaPkcs1Sha1);
        let preferred = used_by_peer.or(default).filter(|scheme| schemes.contains(scheme));
        let usable = |scheme: &SignatureScheme| sha1 || scheme.hash() != HashAlgorithm::SHA1;
        preferred.iter().chain(schemes).copied().filter(usable).find_map(|scheme| match announced {
            Some(hashes) => hashes.contains(&scheme.hash()).then_some(Self {
                method: AuthMethod::DIGITAL_SIGNATURE,
                scheme,
                encoding: SignatureEncoding::Rfc7427,
            }),
            None => scheme.raw_auth_method(key).map(|method| Self {
                method,
                scheme,
                encoding: SignatureEncoding::Raw,
            }),
        })
    }
}

/// Our proof, or what it takes to make it elsewhere.
#[derive(Debug)]
pub enum ProofOrRequest {
    /// The proof.
    Ready(Proof),
    /// These octets must be signed in this form.
    Sign(SignatureForm, Vec<u8>),
}

/// The two ends of an IKE SA about to be authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Our identity.
    pub local: &'a Identity,
    /// The peer's, if it is known.
    pub remote: Option<&'a Identity>,
    /// The connection's name, for errors.
    pub connection: &'a str,
    /// Whether SHA-1 is allowed in method 1
    /// ([`Connection::sha1_signatures`](crate::Connection::sha1_signatures)).
    pub sha1: bool,
}

impl Ends<'_> {
    fn secret(&self, keys: &SharedKeys) -> Result<SecretBytes, Failure> {
        keys.find(self.local, self.remote).ok_or_else(|| {
            Failure::Authentication(AuthFailure::NoSecret {
                local: self.local.clone(),
                remote: self.remote.cloned(),
            })
        })
    }
}

/// Proves who we are.
///
/// # Errors
/// [`Failure::Authentication`] where we have no secret for these ends or no scheme that the peer reads.
pub fn prove(
    local: &LocalAuth,
    ends: &Ends<'_>,
    agreement: &Agreement,
    octets: &SignedOctets<'_>,
    used_by_peer: Option<SignatureScheme>,
    provider: &CryptoProvider,
    random: &mut dyn SecureRandom,
) -> Result<ProofOrRequest, Failure> {
    let identity = match local {
        LocalAuth::SharedKey(keys) => {
            let data = shared_key(agreement, octets, &ends.secret(keys)?).as_slice().to_vec();
            return Ok(ProofOrRequest::Ready(Proof { method: AuthMethod::SHARED_KEY, data }));
        }
        LocalAuth::Signature(identity) => identity,
        LocalAuth::Eap(_) => return Err(Failure::Unsupported(Unsupported::Eap)),
    };
    let (schemes, announced) = (identity.signer.schemes(), agreement.peer_hashes.as_deref());
    let key = identity.signer.key_type();
    let form = SignatureForm::choose(schemes, key, announced, used_by_peer, ends.sha1).ok_or_else(|| {
        let (ours, hashes) = (schemes.to_vec(), hashes_of_both(agreement, provider));
        Failure::Authentication(AuthFailure::NoCommonScheme { ours, hashes })
    })?;
    match &identity.signer {
        Signer::Later { .. } => Ok(ProofOrRequest::Sign(form, octets.concat())),
        Signer::Key(key) => {
            let signature = key
                .sign(form.scheme, form.encoding, &octets.parts(), random)
                .map_err(|error| Failure::Signing { scheme: form.scheme, error })?;
            Proof::from_signature(form, signature).map(ProofOrRequest::Ready)
        }
    }
}

/// What checking a peer's proof came to.
#[derive(Debug)]
pub enum Verdict {
    /// The proof is good. A signature's scheme is what the peer can read in return.
    Proven(Option<SignatureScheme>),
    /// The embedder must say whether this signature is good.
    Verify(Box<SignatureToVerify>),
}

impl SignatureToVerify {
    /// The scheme, where the method says it.
    #[must_use]
    pub fn scheme(&self) -> Option<SignatureScheme> {
        match self.forms.as_slice() {
            [form] => Some(form.scheme),
            _ => None,
        }
    }
}

/// A peer's signature for the embedder to verify.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureToVerify {
    /// The forms that it may have, of which one must fit: several for method 1, which does not say its hash.
    pub forms: Vec<SignatureForm>,
    /// What it must cover.
    pub octets: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// The certificates that the peer sent, in DER, its own first.
    pub certificates: Vec<Vec<u8>>,
}

/// Checks the peer's proof.
///
/// # Errors
/// [`Failure::Authentication`] says what about the proof is not as the connection wants it.
pub fn check(
    remote: &RemoteAuth,
    ends: &Ends<'_>,
    peer: &Identity,
    agreement: &Agreement,
    octets: &SignedOctets<'_>,
    auth: &AuthPayload<'_>,
    provider: &CryptoProvider,
) -> Result<Verdict, Failure> {
    let wrong_method = || {
        Failure::Authentication(AuthFailure::Method {
            got: auth.method,
            wanted: remote.methods(agreement.peer_hashes.is_some()),
            connection: ends.connection.into(),
            hashes: hashes_of_both(agreement, provider),
        })
    };
    let trusted = match (remote, auth.method) {
        (RemoteAuth::SharedKey(keys), AuthMethod::SHARED_KEY) => {
            if verify_shared_key(agreement, octets, &ends.secret(keys)?, auth.data) {
                return Ok(Verdict::Proven(None));
            }
            return Err(Failure::Authentication(AuthFailure::WrongSecret {
                peer: peer.clone(),
                connection: ends.connection.into(),
            }));
        }
        (RemoteAuth::Signature(trusted), method) if method != AuthMethod::SHARED_KEY => trusted,
        _ => return Err(wrong_method()),
    };
    let ReadSignature { forms, octets: signature } =
        read_signature(agreement, ends, auth, provider)?.ok_or_else(wrong_method)?;
    let keys = match trusted {
        TrustedKeys::Pinned(keys) => keys.clone(),
        TrustedKeys::ByIdentity(store) => store.trusted_keys(peer),
        TrustedKeys::Later => {
            return Ok(Verdict::Verify(Box::new(SignatureToVerify {
                forms,
                octets: octets.concat(),
                signature: signature.to_vec(),
                certificates: Vec::new(),
            })));
        }
    };
    if let Some(scheme) = verified_by(provider, &keys, &forms, &octets.parts(), signature) {
        return Ok(Verdict::Proven(Some(scheme)));
    }
    let (peer, method, hashes) = (peer.clone(), auth.method, hashes_of_both(agreement, provider));
    let weak = unwanted_form(auth.method, ends.sha1);
    let weak = weak.and_then(|form| verified_by(provider, &keys, &[form], &octets.parts(), signature));
    Err(Failure::Authentication(match weak {
        Some(scheme) => {
            AuthFailure::WeakScheme { peer, method, scheme, connection: ends.connection.into(), hashes }
        }
        None => {
            let schemes = forms.iter().map(|form| form.scheme).collect();
            AuthFailure::Signature { peer, method, schemes, trusted: keys.len(), hashes }
        }
    }))
}

/// What both sides announced.
fn hashes_of_both(agreement: &Agreement, provider: &CryptoProvider) -> Box<AnnouncedHashes> {
    Box::new(AnnouncedHashes { ours: announced_hashes(provider), peer: agreement.peer_hashes.clone() })
}

/// The form that a method has by default and that is refused unless it was asked for, to tell it from a wrong key.
fn unwanted_form(method: AuthMethod, sha1: bool) -> Option<SignatureForm> {
    let (scheme, encoding) = (SignatureScheme::RsaPkcs1Sha1, SignatureEncoding::Raw);
    (method == AuthMethod::RSA_SIGNATURE && !sha1).then_some(SignatureForm { method, scheme, encoding })
}

/// A signature as it stands in AUTH.
struct ReadSignature<'a> {
    /// The forms that it may have.
    forms: Vec<SignatureForm>,
    octets: &'a [u8],
}

/// The forms that a signature may have, and its octets; `None` where the method is no signature that we read.
///
/// Where hashes were announced both ways, method 14 is the only one (RFC 7427 §3), and its hash must be one
/// that we announced.
fn read_signature<'a>(
    agreement: &Agreement,
    ends: &Ends<'_>,
    auth: &AuthPayload<'a>,
    provider: &CryptoProvider,
) -> Result<Option<ReadSignature<'a>>, Failure> {
    let negotiated = agreement.peer_hashes.is_some();
    let supported = || provider.signatures.iter().map(|algorithm| algorithm.scheme());
    if auth.method != AuthMethod::DIGITAL_SIGNATURE {
        let method = auth.method;
        let wanted = |scheme: &SignatureScheme| ends.sha1 || scheme.hash() != HashAlgorithm::SHA1;
        let readable =
            |scheme: &SignatureScheme| !negotiated && wanted(scheme) && supported().any(|s| s == *scheme);
        let forms: Vec<_> = SignatureScheme::of_raw_auth_method(method)
            .iter()
            .copied()
            .filter(readable)
            .map(|scheme| SignatureForm { method, scheme, encoding: SignatureEncoding::Raw })
            .collect();
        return Ok((!forms.is_empty()).then_some(ReadSignature { forms, octets: auth.data }));
    }
    if !negotiated {
        return Ok(None);
    }
    let DigitalSignature { algorithm, signature } = DigitalSignature::parse(auth.data)?;
    let scheme = SignatureScheme::from_algorithm_identifier(algorithm)
        .map_err(|error| AuthFailure::UnknownScheme { error, hashes: hashes_of_both(agreement, provider) })
        .map_err(Failure::Authentication)?;
    if !announced_hashes(provider).contains(&scheme.hash()) {
        let hashes = hashes_of_both(agreement, provider);
        return Err(Failure::Authentication(AuthFailure::HashNotAnnounced { scheme, hashes }));
    }
    if !supported().any(|supported| supported == scheme) {
        return Err(Failure::Algorithm(scheme.name().into()));
    }
    let encoding = SignatureEncoding::Rfc7427;
    let forms = Vec::from([SignatureForm { method: auth.method, scheme, encoding }]);
    Ok(Some(ReadSignature { forms, octets: signature }))
}

/// The scheme by which one of the keys made the signature.
fn verified_by(
    provider: &CryptoProvider,
    keys: &[PublicKey],
    forms: &[SignatureForm],
    octets: &[&[u8]],
    signature: &[u8],
) -> Option<SignatureScheme> {
    forms.iter().find_map(|form| {
        let algorithm = provider.signatures.iter().find(|a| a.scheme() == form.scheme)?;
        keys.iter()
            .any(|key| algorithm.verify(key, form.encoding, octets, signature).is_ok())
            .then_some(form.scheme)
    })
}

/// The hashes that we announce (SIGNATURE_HASH_ALGORITHMS, RFC 7427 §4): those of the provider's signatures, in
/// its order. SHA-1 MUST NOT be among them (RFC 8247 §3.2).
#[must_use]
pub fn announced_hashes(provider: &CryptoProvider) -> Vec<HashAlgorithm> {
    let mut hashes = Vec::new();
    for hash in provider.signatures.iter().map(|algorithm| algorithm.scheme().hash()) {
        if hash != HashAlgorithm::SHA1 && !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    hashes
}
