//! The AUTH payloads of an IKE SA (RFC 7296 §2.15, §2.16).

use crate::coverage::Coverage;
use crate::ike_sa::IkeSa;
use crate::message::Plain;
use ikev2_core::Role;
use ikev2_core::establish::auth::{SignedOctets, shared_key, verify_shared_key};
use ikev2_core::establish::intermediate::IntAuth;
use ikev2_core::keys;
use ikev2_wire::codes::CertEncoding;
use ikev2_wire::{AuthMethod, AuthPayload, DigitalSignature};
use ipsec_conformance::Label;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{PublicKey, SignatureEncoding, SignatureError, SignatureScheme};
use ipsec_types::SecretBytes;

/// What the logs have of signed octets that are longer.
const CUT_AT: usize = 1_008;

/// Checks the AUTH payloads of both ends. `messages` are those of IKE_AUTH that were opened.
pub(crate) fn check(sa: &IkeSa<'_>, messages: &[(Role, &Plain)], coverage: &mut Coverage) {
    check_log(sa, coverage);
    let mut signed = Vec::new();
    for signer in [Role::Initiator, Role::Responder] {
        let sent: Vec<_> =
            messages.iter().filter(|(role, _)| *role == signer).map(|(_, plain)| plain.contents()).collect();
        let id = sent.iter().find_map(|contents| match signer {
            Role::Initiator => contents.id_i,
            Role::Responder => contents.id_r,
        });
        let mut id_body = Vec::new();
        if let Some(id) = id {
            id.body(&mut id_body);
        }
        let octets = SignedOctets::of(signer, &sa.agreement, &sa.final_keys, &IntAuth::default(), &id_body);
        let whole = [&octets.parts().concat()[..], &after_identity(sa)].concat();
        // Whether the certificate belongs to the identity is for path validation to say.
        let certificates: Vec<&[u8]> = sent
            .iter()
            .flat_map(|contents| &contents.certs)
            .filter(|cert| cert.encoding == CertEncoding::X509_SIGNATURE)
            .map(|cert| cert.data)
            .collect();
        // With EAP, the responder sends two.
        for auth in sent.iter().filter_map(|contents| contents.auth) {
            if let Some(certificate) = certificates.first().filter(|_| auth.method != AuthMethod::SHARED_KEY)
            {
                check_signature(certificate, &whole, &auth);
                coverage.signatures += 1;
            } else {
                check_payload(sa, &octets, &whole, &auth, coverage);
            }
            signed.push(whole.clone());
        }
    }
    if !signed.is_empty() {
        check_octets(sa, &signed, coverage);
    }
}

/// The octets that were logged are those under the AUTH payloads that were sent, all of them, if any were.
fn check_octets(sa: &IkeSa<'_>, signed: &[Vec<u8>], coverage: &mut Coverage) {
    let mut logged: Vec<&[u8]> =
        sa.lines.all(sa.lines.last_stage(), Label::SignedOctets).map(SecretBytes::as_slice).collect();
    if logged.is_empty() {
        return;
    }
    let mut signed: Vec<&[u8]> = signed
        .iter()
        .map(|octets| if octets.len() > CUT_AT { &octets[..CUT_AT] } else { octets.as_slice() })
        .collect();
    logged.sort_unstable();
    signed.sort_unstable();
    assert_eq!(logged, signed);
    coverage.signed_octets += signed.len();
}

/// What comes after the identity under AUTH, where there was an IKE_INTERMEDIATE (RFC 9242 §3.3.2): IntAuth, which
/// is logged, and IKE_AUTH's first Message ID.
fn after_identity(sa: &IkeSa<'_>) -> Vec<u8> {
    let mut octets: Vec<u8> =
        sa.lines.all(0, Label::IntAuth).flat_map(|value| value.as_slice().to_vec()).collect();
    if !octets.is_empty() {
        let first_message_id = 1 + u32::try_from(sa.lines.last_stage()).unwrap();
        octets.extend_from_slice(&first_message_id.to_be_bytes());
    }
    octets
}

/// One AUTH payload by signature (RFC 7427 §3): made by the key of the certificate, over these octets and no others.
fn check_signature(certificate: &[u8], whole: &[u8], auth: &AuthPayload<'_>) {
    assert_eq!(auth.method, AuthMethod::DIGITAL_SIGNATURE);
    let DigitalSignature { algorithm, signature } = DigitalSignature::parse(auth.data).unwrap();
    let scheme = SignatureScheme::from_algorithm_identifier(algorithm).unwrap();
    let key = PublicKey::from_certificate_der(certificate).unwrap();
    let algorithm = RUSTCRYPTO.signature(scheme).unwrap();
    let verify = |octets: &[u8]| algorithm.verify(&key, SignatureEncoding::Rfc7427, &[octets], signature);
    assert_eq!(verify(whole), Ok(()), "{scheme}");
    assert_eq!(verify(&whole[1..]), Err(SignatureError::Wrong), "{scheme}");
}

/// One AUTH payload by shared secret: that of a logged secret over `whole`, which is `octets` with what comes after them.
fn check_payload(
    sa: &IkeSa<'_>,
    octets: &SignedOctets<'_>,
    whole: &[u8],
    auth: &AuthPayload<'_>,
    coverage: &mut Coverage,
) {
    let stage = sa.lines.last_stage();
    let secrets: Vec<&SecretBytes> = sa.lines.all(stage, Label::SharedSecret).collect();
    if auth.method != AuthMethod::SHARED_KEY || secrets.is_empty() {
        coverage.other_auths += 1;
        return;
    }
    let prf = sa.agreement.algorithms.prf;
    let is_right =
        |secret: &&&SecretBytes| keys::shared_key_auth(prf, secret, &[whole]).as_slice() == auth.data;
    let secret = *secrets.iter().find(is_right).expect("no logged secret gives the AUTH on the wire");
    if octets.parts().concat() == whole {
        assert_eq!(shared_key(&sa.agreement, octets, secret).as_slice(), auth.data);
        assert!(verify_shared_key(&sa.agreement, octets, secret, auth.data));
        let other = SecretBytes::copy_from(b"another secret");
        assert!(!verify_shared_key(&sa.agreement, octets, &other, auth.data));
        assert!(!verify_shared_key(&sa.agreement, octets, secret, &auth.data[1..]));
    }
    assert!(sa.lines.all(stage, Label::Auth).any(|logged| logged.as_slice() == auth.data));
    coverage.auths += 1;
}

/// The log alone: each of its AUTH values comes of one of its secrets and of its octets.
fn check_log(sa: &IkeSa<'_>, coverage: &mut Coverage) {
    let prf = sa.agreement.algorithms.prf;
    let stage = sa.lines.last_stage();
    if sa.lines.all(stage, Label::SignedOctets).any(|octets| octets.len() == CUT_AT) {
        return;
    }
    let secrets = sa.lines.all(stage, Label::SharedSecret);
    let auths = sa.lines.all(stage, Label::Auth);
    for (secret, logged) in secrets.zip(auths) {
        let octets = sa.lines.all(stage, Label::SignedOctets);
        let mut made = octets.map(|octets| keys::shared_key_auth(prf, secret, &[octets.as_slice()]));
        assert!(made.any(|auth| auth == *logged));
        coverage.logged_auths += 1;
    }
}
