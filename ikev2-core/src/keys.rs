//! Every key derivation of IKEv2, one function a formula.
//!
//! | function | formula | section |
//! |---|---|---|
//! | [`skeyseed`] | `prf(Ni \| Nr, g^ir)` | RFC 7296 §2.14 |
//! | [`rekey_skeyseed`] | `prf(SK_d (old), g^ir (new) \| Ni \| Nr [\| SK(1) \| ...])` | §2.18, RFC 9370 §2.2.4 |
//! | [`additional_skeyseed`] | `prf(SK_d(n-1), SK(n) \| Ni \| Nr)` | RFC 9370 §2.2.2 |
//! | [`IkeKeys::derive`] | `prf+(SKEYSEED, Ni \| Nr \| SPIi \| SPIr)` | §2.14 |
//! | [`child_keys`] | `prf+(SK_d, [g^ir (new) \|] Ni \| Nr [\| SK(1) \| ...])` | §2.17, RFC 9370 §2.2.4 |
//! | [`maced_id`] | `prf(SK_pi or SK_pr, RestOfInitIDPayload)` | §2.15 |
//! | [`int_auth`] | `prf(SK_pi or SK_pr, [IntAuth before \|] A \| P)` | RFC 9242 §3.3.2 |
//! | [`shared_key_auth`] | `prf(prf(Shared Secret, "Key Pad for IKEv2"), octets)` | §2.15 |

use alloc::vec::Vec;
use ipsec_crypto::prf::prf_plus;
use ipsec_crypto::{CipherAlgorithm, PrfAlgorithm};
use ipsec_types::sa::SaKeys;
use ipsec_types::{IkeSpi, SecretBytes};

/// The text that turns a shared secret into a key of the right length (§2.15): 17 ASCII octets, no terminator.
const KEY_PAD: &[u8] = b"Key Pad for IKEv2";

/// Both nonces of an exchange, without their payload headers.
#[derive(Clone, Copy, Debug)]
pub struct Nonces<'a> {
    /// Ni: the initiator's of the exchange.
    pub initiator: &'a [u8],
    /// Nr: the responder's.
    pub responder: &'a [u8],
}

/// One PRF output as a secret.
fn prf(algorithm: &dyn PrfAlgorithm, key: &[u8], parts: &[&[u8]]) -> SecretBytes {
    let mut output = SecretBytes::zeroed(algorithm.output_len());
    algorithm.compute(key, parts, output.as_mut());
    output
}

/// `SKEYSEED = prf(Ni | Nr, g^ir)` (§2.14).
///
/// Both nonces enter whole, but with AES-XCBC-PRF-128 and AES-CMAC-PRF-128: there it is the first 64 bits of
/// each, here alone, and whole nonces in prf+ as with every other PRF.
#[must_use]
pub fn skeyseed(algorithm: &dyn PrfAlgorithm, nonces: Nonces<'_>, shared: &SecretBytes) -> SecretBytes {
    let [initiator, responder] = [nonces.initiator, nonces.responder]
        .map(|nonce| algorithm.nonce_key_octets().and_then(|octets| nonce.get(..octets)).unwrap_or(nonce));
    prf(algorithm, &[initiator, responder].concat(), &[shared.as_slice()])
}

/// `SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr)` with the PRF of the old SA (§2.18), and the secrets of the
/// additional key exchanges behind it, in order (RFC 9370 §2.2.4).
#[must_use]
pub fn rekey_skeyseed(
    old_algorithm: &dyn PrfAlgorithm,
    old_sk_d: &SecretBytes,
    shared: &SecretBytes,
    nonces: Nonces<'_>,
    additional: &[SecretBytes],
) -> SecretBytes {
    let parts = [shared.as_slice(), nonces.initiator, nonces.responder];
    let parts: Vec<&[u8]> = parts.into_iter().chain(additional.iter().map(SecretBytes::as_slice)).collect();
    prf(old_algorithm, old_sk_d.as_slice(), &parts)
}

/// `SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr)`, with SK(n) of the n-th additional key exchange of an IKE SA that is
/// being made, and the nonces of IKE_SA_INIT (RFC 9370 §2.2.2).
#[must_use]
pub fn additional_skeyseed(
    algorithm: &dyn PrfAlgorithm,
    sk_d: &SecretBytes,
    shared: &SecretBytes,
    nonces: Nonces<'_>,
) -> SecretBytes {
    prf(algorithm, sk_d.as_slice(), &[shared.as_slice(), nonces.initiator, nonces.responder])
}

/// The seven keys of an IKE SA (§2.14).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IkeKeys {
    /// SK_d: from which the keys of Child SAs come.
    pub d: SecretBytes,
    /// SK_ai: integrity, initiator to responder; empty with combined-mode ciphers.
    pub ai: SecretBytes,
    /// SK_ar: integrity, responder to initiator.
    pub ar: SecretBytes,
    /// SK_ei: encryption, initiator to responder, salt included.
    pub ei: SecretBytes,
    /// SK_er: encryption, responder to initiator.
    pub er: SecretBytes,
    /// SK_pi: for the initiator's AUTH.
    pub pi: SecretBytes,
    /// SK_pr: for the responder's AUTH.
    pub pr: SecretBytes,
}

impl IkeKeys {
    /// `{SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)`.
    ///
    /// # Errors
    /// `None` where the lengths add up to more than prf+ gives, which no registered algorithm does.
    #[must_use]
    pub fn derive(
        prf: &dyn PrfAlgorithm,
        cipher: &dyn CipherAlgorithm,
        skeyseed: &SecretBytes,
        nonces: Nonces<'_>,
        initiator: IkeSpi,
        responder: IkeSpi,
    ) -> Option<Self> {
        let (p, a, e) = (prf.key_len(), cipher.integ_key_len(), cipher.encr_key_len());
        let seed = [nonces.initiator, nonces.responder, &initiator.to_be_bytes(), &responder.to_be_bytes()];
        let keymat = KeyMaterial::expand(prf, skeyseed, &seed, 3 * p + 2 * a + 2 * e)?;
        let mut keys = keymat.reader();
        Some(Self {
            d: keys.take(p)?,
            ai: keys.take(a)?,
            ar: keys.take(a)?,
            ei: keys.take(e)?,
            er: keys.take(e)?,
            pi: keys.take(p)?,
            pr: keys.take(p)?,
        })
    }

    /// What protects the initiator's messages.
    #[must_use]
    pub fn initiator_to_responder(&self) -> SaKeys {
        SaKeys { encr: self.ei.clone(), integ: self.ai.clone() }
    }

    /// What protects the responder's messages.
    #[must_use]
    pub fn responder_to_initiator(&self) -> SaKeys {
        SaKeys { encr: self.er.clone(), integ: self.ar.clone() }
    }
}

/// The keys of a Child SA; "initiator" is who began the exchange that made it (§2.17).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChildKeys {
    /// For packets from the exchange's initiator to its responder.
    pub initiator_to_responder: SaKeys,
    /// For packets from the exchange's responder to its initiator.
    pub responder_to_initiator: SaKeys,
}

/// `KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr)`, all keys of one direction before those of the other, and
/// the encryption key before the integrity key (§2.17); the secrets of additional key exchanges come behind the nonces
/// (RFC 9370 §2.2.4).
///
/// # Errors
/// `None` where the lengths add up to more than prf+ gives, which no registered algorithm does.
#[must_use]
pub fn child_keys(
    prf: &dyn PrfAlgorithm,
    cipher: &dyn CipherAlgorithm,
    sk_d: &SecretBytes,
    shared: Option<&SecretBytes>,
    nonces: Nonces<'_>,
    additional: &[SecretBytes],
) -> Option<ChildKeys> {
    let (e, a) = (cipher.encr_key_len(), cipher.integ_key_len());
    let seed = [shared.map_or(&[][..], SecretBytes::as_slice), nonces.initiator, nonces.responder];
    let seed: Vec<&[u8]> = seed.into_iter().chain(additional.iter().map(SecretBytes::as_slice)).collect();
    let keymat = KeyMaterial::expand(prf, sk_d, &seed, 2 * (e + a))?;
    let mut keys = keymat.reader();
    let mut direction = || Some(SaKeys { encr: keys.take(e)?, integ: keys.take(a)? });
    Some(ChildKeys { initiator_to_responder: direction()?, responder_to_initiator: direction()? })
}

/// `MACedIDForI = prf(SK_pi, IDType | RESERVED | InitIDData)`, and the same for the responder (§2.15). The
/// body is the ID payload after its generic header, RESERVED octets as they were on the wire.
#[must_use]
pub fn maced_id(algorithm: &dyn PrfAlgorithm, sk_p: &SecretBytes, id_body: &[u8]) -> SecretBytes {
    prf(algorithm, sk_p.as_slice(), &[id_body])
}

/// `prf(SK_pi or SK_pr, [IntAuth before |] A | P)`, the octets in parts (RFC 9242 §3.3.2).
#[must_use]
pub fn int_auth(algorithm: &dyn PrfAlgorithm, sk_p: &SecretBytes, parts: &[&[u8]]) -> SecretBytes {
    prf(algorithm, sk_p.as_slice(), parts)
}

/// `AUTH = prf(prf(Shared Secret, "Key Pad for IKEv2"), <SignedOctets>)` (§2.15), the octets in parts.
#[must_use]
pub fn shared_key_auth(
    algorithm: &dyn PrfAlgorithm,
    shared_secret: &SecretBytes,
    signed_octets: &[&[u8]],
) -> SecretBytes {
    let key = prf(algorithm, shared_secret.as_slice(), &[KEY_PAD]);
    prf(algorithm, key.as_slice(), signed_octets)
}

/// prf+ output on its way into keys.
struct KeyMaterial(SecretBytes);

impl KeyMaterial {
    fn expand(prf: &dyn PrfAlgorithm, key: &SecretBytes, seed: &[&[u8]], length: usize) -> Option<Self> {
        let mut octets = SecretBytes::zeroed(length);
        prf_plus(prf, key.as_slice(), seed, octets.as_mut()).ok()?;
        Some(Self(octets))
    }

    fn reader(&self) -> KeyReader<'_> {
        KeyReader(self.0.as_slice())
    }
}

/// Cuts keys from the front.
struct KeyReader<'a>(&'a [u8]);

impl KeyReader<'_> {
    fn take(&mut self, length: usize) -> Option<SecretBytes> {
        let (key, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(SecretBytes::copy_from(key))
    }
}
