//! What both sides prove who they are with: secrets in the configuration, keys and certificates in files beside it.

use super::List;
use ikev2_core::{EapPolicy, LocalAuth, RemoteAuth, SharedKeys, Signer, SigningIdentity, TrustedKeys};
use ipsec_crypto::rustcrypto::PrivateKey;
use ipsec_crypto::{PublicKey, SecureRandom, SignatureEncoding, SignatureError, SignatureScheme, SigningKey};
use ipsec_types::SecretBytes;
use serde::Deserialize;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The fields of a connection that are about credentials.
pub(super) struct CredentialFields {
    pub(super) psk: Option<Secret>,
    pub(super) psk_hex: Option<Secret>,
    pub(super) key: Option<PathBuf>,
    pub(super) certificates: Option<PathBuf>,
    pub(super) sign_by: List<Scheme>,
    pub(super) trusted: List<PathBuf>,
    /// Whether we authenticate by EAP.
    pub(super) eap: bool,
    /// Whether the peer does.
    pub(super) eap_users: bool,
}

impl CredentialFields {
    /// Reads the files, relative to this folder. Each side signs, or has the secret.
    pub(super) fn build(self, folder: &Path) -> Result<(LocalAuth, RemoteAuth), String> {
        let secret = secret(self.psk, self.psk_hex)?.map(SharedKeys::One);
        let signing = match self.key {
            Some(key) => Some(signing_identity(folder, &key, self.certificates, self.sign_by)?),
            None if self.certificates.is_some() => return Err("`certificates` needs a `key`".into()),
            None if !self.sign_by.0.is_empty() => return Err("`sign_by` needs a `key`".into()),
            None => None,
        };
        let trusted = self.trusted.0.iter().map(|file| public_key(folder, file));
        let trusted = trusted.collect::<Result<Vec<_>, _>>()?;
        if secret.is_some() && signing.is_some() && !trusted.is_empty() {
            return Err("neither side uses the secret where there are `key` and `trusted`".into());
        }
        let local = match (signing, &secret) {
            _ if self.eap => LocalAuth::Eap(EapPolicy::default()),
            (Some(signing), _) => LocalAuth::Signature(signing),
            (None, Some(secret)) => LocalAuth::SharedKey(secret.clone()),
            (None, None) => return Err("there is no `psk`, `psk_hex` or `key`".into()),
        };
        let remote = match secret {
            _ if self.eap_users => RemoteAuth::Eap(EapPolicy::default()),
            _ if !trusted.is_empty() => RemoteAuth::Signature(TrustedKeys::Pinned(trusted)),
            Some(secret) => RemoteAuth::SharedKey(secret),
            None => return Err("there is no `psk`, `psk_hex` or `trusted`".into()),
        };
        Ok((local, remote))
    }
}

fn secret(text: Option<Secret>, hex: Option<Secret>) -> Result<Option<SecretBytes>, String> {
    let secret = match (text, hex) {
        (Some(text), None) => SecretBytes::copy_from(text.0.as_bytes()),
        (None, Some(text)) => unhex(&text.0).ok_or("`psk_hex` is not hexadecimal")?,
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err("there are both `psk` and `psk_hex`".into()),
    };
    if secret.is_empty() { Err("the secret is empty".into()) } else { Ok(Some(secret)) }
}

fn signing_identity(
    folder: &Path,
    key: &Path,
    certificates: Option<PathBuf>,
    sign_by: List<Scheme>,
) -> Result<SigningIdentity, String> {
    let private = private_key(folder, key)?;
    let certificates = certificates.map(|file| certificates_of(folder, &file, private.public_key()));
    let schemes: Vec<SignatureScheme> = sign_by.0.into_iter().map(|scheme| scheme.0).collect();
    let ours = private.schemes();
    if let Some(other) = schemes.iter().find(|scheme| !ours.contains(scheme)) {
        let ty = private.public_key().key_type();
        return Err(format!("`sign_by`: a key of type {ty} does not sign by {other}"));
    }
    let key: Arc<dyn SigningKey> =
        if schemes.is_empty() { Arc::new(private) } else { Arc::new(Restricted { key: private, schemes }) };
    Ok(SigningIdentity {
        certificates: certificates.transpose()?.unwrap_or_default(),
        signer: Signer::Key(key),
    })
}

fn private_key(folder: &Path, name: &Path) -> Result<PrivateKey, String> {
    let key = match read(folder, name)? {
        Content::Pem(text) => PrivateKey::from_pem(&text),
        Content::Der(der) => PrivateKey::from_pkcs8_der(&der)
            .or_else(|error| PrivateKey::from_pkcs1_der(&der).map_err(|_| error))
            .or_else(|error| PrivateKey::from_sec1_der(&der).map_err(|_| error)),
    };
    key.map_err(|error| in_file(name, error))
}

fn public_key(folder: &Path, name: &Path) -> Result<PublicKey, String> {
    let key = match read(folder, name)? {
        Content::Pem(text) => PublicKey::from_pem(&text),
        Content::Der(der) => PublicKey::from_certificate_der(&der)
            .or_else(|error| PublicKey::from_spki_der(&der).map_err(|_| error)),
    };
    key.map_err(|error| in_file(name, error))
}

fn certificates_of(folder: &Path, name: &Path, key: &PublicKey) -> Result<Vec<Vec<u8>>, String> {
    let certificates = match read(folder, name)? {
        Content::Pem(text) => PublicKey::certificates_in_pem(&text).map_err(|error| in_file(name, error))?,
        Content::Der(der) => vec![der.to_vec()],
    };
    for (index, certificate) in certificates.iter().enumerate() {
        let certified = PublicKey::from_certificate_der(certificate).map_err(|error| in_file(name, error))?;
        if index == 0 && certified != *key {
            return Err(in_file(name, "the first certificate is of another key than `key`"));
        }
    }
    Ok(certificates)
}

/// What a file holds.
enum Content {
    Pem(Zeroizing<String>),
    Der(Zeroizing<Vec<u8>>),
}

fn read(folder: &Path, name: &Path) -> Result<Content, String> {
    let octets =
        std::fs::read(folder.join(name)).map(Zeroizing::new).map_err(|error| in_file(name, error))?;
    match std::str::from_utf8(&octets) {
        Ok(text) if text.contains("-----BEGIN ") => Ok(Content::Pem(Zeroizing::new(text.into()))),
        _ => Ok(Content::Der(octets)),
    }
}

fn in_file(name: &Path, error: impl Display) -> String {
    format!("{}: {error}", name.display())
}

/// A key that signs in some of its ways alone.
#[derive(Debug)]
struct Restricted {
    key: PrivateKey,
    schemes: Vec<SignatureScheme>,
}

impl SigningKey for Restricted {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        encoding: SignatureEncoding,
        message: &[&[u8]],
        random: &mut dyn SecureRandom,
    ) -> Result<Vec<u8>, SignatureError> {
        self.key.sign(scheme, encoding, message, random)
    }
}

/// A scheme by the name that it has in the file.
pub(super) struct Scheme(SignatureScheme);

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "ed25519" => SignatureScheme::Ed25519,
            "ecdsa-sha256" => SignatureScheme::EcdsaSha256,
            "ecdsa-sha384" => SignatureScheme::EcdsaSha384,
            "ecdsa-sha512" => SignatureScheme::EcdsaSha512,
            "rsa-pss-sha256" => SignatureScheme::RsaPssSha256,
            "rsa-pss-sha384" => SignatureScheme::RsaPssSha384,
            "rsa-pss-sha512" => SignatureScheme::RsaPssSha512,
            "rsa-pkcs1-sha256" => SignatureScheme::RsaPkcs1Sha256,
            "rsa-pkcs1-sha384" => SignatureScheme::RsaPkcs1Sha384,
            "rsa-pkcs1-sha512" => SignatureScheme::RsaPkcs1Sha512,
            "rsa-pkcs1-sha1" => SignatureScheme::RsaPkcs1Sha1,
            _ => return Err("no way to sign".into()),
        }))
    }
}

/// A secret text, wiped after use.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

fn unhex(text: &str) -> Option<SecretBytes> {
    let digits: Option<Zeroizing<Vec<u8>>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<Vec<u8>>>()
        .map(Zeroizing::new);
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    let octets: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | d)).collect();
    Some(SecretBytes::from(octets))
}
