//! Chains of certificates, good and bad, each bad one by the certificate and the rule that it breaks (RFC 5280 §6,
//! RFC 4945 §5.1). `chains/make.sh` makes them with OpenSSL.
#![cfg(feature = "x509")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::Identity;
use ikev2_core::cert::x509::{self, AnchorError, ChainRule, Path, Purpose, X509Verifier};
use ikev2_core::cert::{AuthorityHash, CertificateRule, ChainError, ChainVerifier};
use ipsec_crypto::signature::{PublicKey, SigningKey};
use ipsec_types::UnixTime;
use std::sync::Arc;
use support::chains::*;

const UPWARDS: [&str; 3] = ["i3", "i2", "i1"];

fn below_i3(name: &'static str) -> Vec<&'static str> {
    [&[name], &UPWARDS[..]].concat()
}

/// Which certificate breaks which rule.
fn broken(error: &ChainError) -> (usize, &CertificateRule) {
    match error {
        ChainError::Certificate { certificate, rule } => (certificate.position, rule),
        error => panic!("{error}"),
    }
}

fn refused(chain: &[&str]) -> ChainError {
    verify(&verifier(&["root"]), "a.example", chain).unwrap_err()
}

#[test]
fn a_chain_of_three_intermediates_gives_the_key_of_its_end_entity() {
    let trusted = verify(&verifier(&["root"]), "a.example", &below_i3("a")).unwrap();
    assert_eq!(&trusted.key, key("a").public_key());
    assert_eq!(trusted.revocation, None);
    // In any order, with the anchor, with strangers and with repeats among them (RFC 4945 §4.3.3).
    let shuffled = ["a", "i1", "b", "root", "i3", "i2", "i3", "other"];
    assert!(verify(&verifier(&["other", "root"]), "a.example", &shuffled).is_ok());
    // An intermediate can be the anchor, and then needs nothing above it.
    assert!(verify(&verifier(&["i3"]), "a.example", &["a"]).is_ok());
    assert!(verify(&verifier(&["i2"]), "a.example", &["a", "i3"]).is_ok());
}

#[test]
fn authorities_are_named_by_the_hash_of_their_keys() {
    let verifier = verifier(&["root", "other"]);
    let of = |name| AuthorityHash::of_key(&PublicKey::from_certificate_der(&der(name)).unwrap());
    assert_eq!(verifier.authorities(), [of("root"), of("other")]);
    // `openssl x509 -pubkey -noout -in root.der -inform DER | openssl pkey -pubin -outform DER | openssl sha1`
    assert_eq!(AuthorityHash::of_chain(&ders(&["a", "i3", "i2"])), [of("i3"), of("i2")]);
}

#[test]
fn anchors_must_be_certificates() {
    assert_eq!(X509Verifier::new([]).unwrap_err(), AnchorError::None);
    assert_eq!(X509Verifier::new([der("root"), vec![0x30, 0]]).unwrap_err(), AnchorError::Malformed(1));
}

#[test]
fn without_the_time_nothing_is_valid() {
    let chain = ders(&below_i3("a"));
    assert_eq!(verify_ders(&verifier(&["root"]), "a.example", &chain, None).unwrap_err(), ChainError::NoTime);
}

#[test]
fn expired_and_not_yet_valid_end_entities() {
    let (now, until) = (NOW, UnixTime(1_609_459_200));
    assert_eq!(broken(&refused(&below_i3("expired"))), (0, &CertificateRule::Expired { until, now }));
    let from = UnixTime(1_893_456_000);
    assert_eq!(broken(&refused(&below_i3("early"))), (0, &CertificateRule::NotYetValid { from, now }));
    // The moments at which they begin and end count as valid (RFC 5280 §4.1.2.5).
    for moment in [1_577_836_800, 1_609_459_200] {
        let chain = ders(&["expired"]);
        assert!(verify_ders(&verifier(&["i3"]), "a.example", &chain, Some(UnixTime(moment))).is_ok());
    }
    for moment in [1_577_836_799, 1_609_459_201] {
        let chain = ders(&["expired"]);
        assert!(verify_ders(&verifier(&["i3"]), "a.example", &chain, Some(UnixTime(moment))).is_err());
    }
}

#[test]
fn an_expired_issuer() {
    let (now, until) = (NOW, UnixTime(1_609_459_200));
    let error = refused(&["expired-issuer", "i1", "expired-issuer-ca"]);
    assert_eq!(broken(&error), (2, &CertificateRule::Expired { until, now }));
    let text = error.to_string();
    assert!(
        text.starts_with("certificate 2 of the chain (CN=expired-issuer authority,O=Example, serial "),
        "{text}"
    );
}

#[test]
fn another_name_and_no_name() {
    for (name, peer) in [("a", "b.example"), ("a", "x.a.example"), ("a", "example"), ("a", "10.9.0.2")] {
        let ChainError::Identity { peer: told, names, .. } =
            verify(&verifier(&["root"]), peer, &below_i3(name)).unwrap_err()
        else {
            panic!("{peer}")
        };
        assert_eq!(told, peer.parse::<Identity>().unwrap());
        let subject = "CN=Gateway A,OU=Gateways,O=Example";
        assert_eq!(names, ["a.example", "a@example.org", "10.9.0.1", "fd09::1", subject]);
    }
    // Neither a common name nor a wildcard names a host.
    assert!(matches!(refused(&below_i3("common")), ChainError::Identity { .. }));
    assert!(matches!(refused(&below_i3("wildcard")), ChainError::Identity { .. }));
    let wildcard = verify(&verifier(&["root"]), "@*.example", &below_i3("wildcard"));
    assert!(matches!(wildcard, Err(ChainError::Identity { .. })));
    assert!(matches!(
        verify(&verifier(&["root"]), "keyid:41", &below_i3("a")).unwrap_err(),
        ChainError::Identity { .. }
    ));
}

#[test]
fn every_kind_of_name_that_a_certificate_can_have() {
    for peer in ["a.example", "A.Example", "a@example.org", "a@EXAMPLE.org", "10.9.0.1", "fd09::1"] {
        assert!(verify(&verifier(&["root"]), peer, &below_i3("a")).is_ok(), "{peer}");
    }
    // The local part of a mailbox is its host's business (RFC 5280 §7.5).
    assert!(verify(&verifier(&["root"]), "A@example.org", &below_i3("a")).is_err());
    // An empty subject is fine (RFC 4945 §5.1.2.1).
    assert!(verify(&verifier(&["root"]), "a.example", &below_i3("nameless")).is_ok());
}

#[test]
fn distinguished_names_are_compared_and_not_their_octets() {
    let chain = ders(&below_i3("a"));
    let certificates: Vec<_> = chain.iter().map(Vec::as_slice).collect();
    let verify_as = |peer: &Identity| {
        verifier(&["root"]).verify(&ikev2_core::cert::ChainQuestion {
            peer,
            certificates: &certificates,
            now: Some(NOW),
            crypto: &ipsec_crypto::rustcrypto::RUSTCRYPTO,
        })
    };
    let name = |text| x509::distinguished_name(text).unwrap();
    assert!(verify_as(&x509::subject(&chain[0]).unwrap()).is_ok());
    assert!(verify_as(&name("CN=gateway  a,OU=GATEWAYS,O=example")).is_ok());
    for other in
        ["CN=Gateway A,O=Example", "O=Example,OU=Gateways,CN=Gateway A", "CN=Gateway B,OU=Gateways,O=Example"]
    {
        assert!(matches!(verify_as(&name(other)), Err(ChainError::Identity { .. })), "{other}");
    }
    assert_eq!(x509::distinguished_name(""), None);
    // An empty name names nobody, the empty subject neither.
    let nobody = Identity { ty: ikev2_wire::codes::IdType::DER_ASN1_DN, data: vec![0x30, 0] };
    assert!(matches!(verify_as(&nobody), Err(ChainError::Identity { .. })));
}

#[test]
fn an_unknown_critical_extension() {
    let rule = CertificateRule::CriticalExtension { oid: "1.2.3.4".into() };
    assert_eq!(broken(&refused(&below_i3("critical"))), (0, &rule));
    assert_eq!(broken(&refused(&["issuer-critical", "issuer-critical-ca"])), (1, &rule));
}

#[test]
fn a_wrong_key_usage() {
    let needed = "digital signatures";
    assert_eq!(broken(&refused(&below_i3("encipherment"))), (0, &CertificateRule::KeyUsage { needed }));
    let needed = "signing certificates";
    assert_eq!(
        broken(&refused(&["no-cert-sign", "no-cert-sign-ca"])),
        (1, &CertificateRule::KeyUsage { needed })
    );
    // Either bit does, and so does none at all (RFC 4945 §5.1.3.2).
    for fine in ["repudiation", "bare"] {
        assert!(verify(&verifier(&["root"]), "a.example", &below_i3(fine)).is_ok(), "{fine}");
    }
}

#[test]
fn a_wrong_extended_key_usage() {
    let rule = CertificateRule::ExtendedKeyUsage { present: vec!["1.3.6.1.5.5.7.3.1".into()] };
    assert_eq!(broken(&refused(&below_i3("server"))), (0, &rule));
    assert_eq!(broken(&refused(&["issuer-server", "issuer-server-ca"])), (1, &rule));
    for fine in ["ike", "any"] {
        assert!(verify(&verifier(&["root"]), "a.example", &below_i3(fine)).is_ok(), "{fine}");
    }
    for purpose in [Purpose::IkeOrTls, Purpose::Unchecked] {
        assert!(verify(&verifier(&["root"]).purpose(purpose), "a.example", &below_i3("server")).is_ok());
    }
}

#[test]
fn an_issuer_without_the_ca_flag() {
    assert_eq!(broken(&refused(&["no-ca", "no-ca-ca"])), (1, &CertificateRule::NotAnAuthority));
    assert_eq!(
        broken(&refused(&["no-constraints", "no-constraints-ca"])),
        (1, &CertificateRule::NotAnAuthority)
    );
}

#[test]
fn an_authority_as_end_entity_and_an_old_version() {
    assert_eq!(broken(&refused(&UPWARDS)), (0, &CertificateRule::AuthorityAsEndEntity));
    assert_eq!(broken(&refused(&below_i3("old"))), (0, &CertificateRule::Version));
}

#[test]
fn violated_name_constraints() {
    for violated in ["excluded", "not-permitted", "directory"] {
        let authority = format!("{violated}-ca");
        let error = refused(&[violated, &authority]);
        assert_eq!(broken(&error), (1, &CertificateRule::NameConstraints), "{violated}");
    }
    assert!(verify(&verifier(&["root"]), "a.example", &["permitted", "permitted-ca"]).is_ok());
    // Kinds of names that are not compared are refused where they are constrained.
    let mail =
        verify(&verifier(&["root"]), "a@example.org", &["mail-permitted", "mail-permitted-ca"]).unwrap_err();
    assert_eq!(broken(&mail), (1, &CertificateRule::NameConstraints));
    // A trust anchor's constraints count too.
    assert!(verify(&verifier(&["permitted-ca"]), "a.example", &["permitted"]).is_ok());
    assert!(verify(&verifier(&["excluded-ca"]), "a.example", &["excluded"]).is_err());
}

#[test]
fn a_path_length_constraint() {
    let error = refused(&["too-deep", "below-short", "short"]);
    assert_eq!(broken(&error), (2, &CertificateRule::PathLength));
}

#[test]
fn a_bad_signature_anywhere() {
    for at in 0..4 {
        let mut chain = ders(&below_i3("a"));
        let last = chain[at].len() - 1;
        chain[at][last] ^= 1;
        let error = verify_ders(&verifier(&["root"]), "a.example", &chain, Some(NOW)).unwrap_err();
        assert_eq!(broken(&error), (at, &CertificateRule::Signature));
    }
}

#[test]
fn octets_that_are_no_certificate() {
    for (at, broken_by) in [(0, 1), (0, 40), (2, 3)] {
        let mut chain = ders(&below_i3("a"));
        chain[at][broken_by] ^= 0x40;
        assert!(verify_ders(&verifier(&["root"]), "a.example", &chain, Some(NOW)).is_err());
    }
    let mut chain = ders(&below_i3("a"));
    chain[0].push(0);
    let error = verify_ders(&verifier(&["root"]), "a.example", &chain, Some(NOW)).unwrap_err();
    assert_eq!(broken(&error), (0, &CertificateRule::Malformed));
    // One that is of no use does no harm.
    let mut chain = ders(&below_i3("a"));
    chain.push(vec![0x30, 0x80, 0]);
    assert!(verify_ders(&verifier(&["root"]), "a.example", &chain, Some(NOW)).is_ok());
    assert_eq!(
        verify_ders(&verifier(&["root"]), "a.example", &[], Some(NOW)).unwrap_err(),
        ChainError::Missing { ignored: Vec::new() }
    );
}

#[test]
fn a_missing_intermediate_and_a_stranger() {
    let ChainError::UnknownIssuer { certificate, issuer, anchors } = refused(&["a", "i3", "i1"]) else {
        panic!()
    };
    assert_eq!((certificate.position, issuer.as_str()), (1, "CN=Intermediate 2,O=Example"));
    assert_eq!(anchors, ["CN=Root,O=Example"]);
    let error = refused(&["fetching"]);
    let text = error.to_string();
    assert!(text.contains("CN=fetching") && text.contains("trusted: CN=Root,O=Example"), "{text}");
}

#[test]
fn a_chain_that_loops() {
    let ChainError::UnknownIssuer { .. } = refused(&["looping", "loop1", "loop2"]) else { panic!() };
    // With a way out it is left.
    assert!(verify(&verifier(&["loop2"]), "a.example", &["looping", "loop1", "loop2"]).is_ok());
}

#[test]
fn a_chain_that_is_too_long() {
    let five = ["five", "long5", "long4", "long3", "long2", "long1"];
    assert_eq!(refused(&five), ChainError::TooLong { max: 4 });
    assert!(verify(&verifier(&["root"]).max_intermediates(5), "a.example", &five).is_ok());
    assert_eq!(
        verify(&verifier(&["root"]).max_intermediates(0), "a.example", &below_i3("a")).unwrap_err(),
        ChainError::TooLong { max: 0 }
    );
    let seven = ["long", "long7", "long6", "long5", "long4", "long3", "long2", "long1"];
    let error = verify(&verifier(&["root"]).max_intermediates(100), "a.example", &seven).unwrap_err();
    assert_eq!(error, ChainError::TooLong { max: x509::MAX_INTERMEDIATES });
}

#[test]
fn several_authorities_of_one_name() {
    let four = ["of-same4", "same1", "same2", "same3", "same4"];
    assert!(verify(&verifier(&["root"]), "a.example", &four).is_ok());
    let five = ["of-same4", "same1", "same2", "same3", "same4", "same5"];
    let subject = "CN=Same,O=Example".into();
    assert_eq!(refused(&five), ChainError::Namesakes { subject, got: 5, max: 4 });
    assert_eq!(
        verify(&verifier(&["root"]).max_signatures(3), "a.example", &four).unwrap_err(),
        ChainError::TooMuchWork { max: 3 }
    );
}

#[test]
fn hashes_that_are_too_weak() {
    let algorithm = "1.2.840.113549.1.1.5 (sha1WithRSAEncryption)".into();
    let rule = CertificateRule::Algorithm { algorithm };
    assert_eq!(broken(&refused(&["rsa-sha1", "rsa-ca"])), (0, &rule));
    let algorithm = "1.2.840.113549.1.1.4 (md5WithRSAEncryption)".into();
    let rule = CertificateRule::Algorithm { algorithm };
    assert_eq!(broken(&refused(&["rsa-md5", "rsa-ca"])), (0, &rule));
}

#[test]
fn every_algorithm_that_we_have() {
    for (name, authority) in [
        ("rsa-sha256", "rsa-ca"),
        ("rsa-pss", "rsa-ca"),
        ("P-256", "P-256-ca"),
        ("P-384", "P-384-ca"),
        ("P-521", "P-521-ca"),
    ] {
        let trusted = verify(&verifier(&["root"]), "a.example", &[name, authority]).unwrap();
        assert_eq!(&trusted.key, key(name).public_key(), "{name}");
    }
}

#[test]
fn lists_of_revocations() {
    let lists = ["i3", "i2", "i1", "root"].map(crl);
    let verifier_with =
        |lists: Vec<Vec<u8>>, unknown| verifier(&["root"]).with_revocation_lists(lists, unknown).unwrap();
    let all = verifier_with(lists.to_vec(), false);
    assert!(verify(&all, "a.example", &below_i3("a")).is_ok());
    let error = verify(&all, "a.example", &below_i3("revoked")).unwrap_err();
    assert_eq!(broken(&error), (0, &CertificateRule::Revoked));
    let none_of_the_issuer = verifier_with(lists[1..].to_vec(), false);
    let error = verify(&none_of_the_issuer, "a.example", &below_i3("a")).unwrap_err();
    assert_eq!(broken(&error), (0, &CertificateRule::RevocationUnknown));
    let unknown_passes = verifier_with(lists[1..].to_vec(), true);
    assert!(verify(&unknown_passes, "a.example", &below_i3("a")).is_ok());
    let outdated = verifier_with(vec![crl("i3-outdated")], true);
    let error = verify(&outdated, "a.example", &below_i3("a")).unwrap_err();
    assert_eq!(broken(&error), (0, &CertificateRule::RevocationList));
    let mut forged = crl("i3");
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let error = verify(&verifier_with(vec![forged], true), "a.example", &below_i3("a")).unwrap_err();
    assert_eq!(broken(&error), (0, &CertificateRule::RevocationList));
    let malformed = verifier(&["root"]).with_revocation_lists([vec![0x30, 0]], true).unwrap_err();
    assert_eq!(malformed, AnchorError::RevocationList(0));
}

#[test]
fn what_is_asked_about_revocation_is_the_path_alone() {
    let asking = verifier(&["root"]).asking_about_revocation();
    let trusted = verify(&asking, "a.example", &["a", "b", "i1", "i2", "i3", "other"]).unwrap();
    let question = trusted.revocation.unwrap();
    assert_eq!(question.path, ders(&["a", "i3", "i2", "i1"]));
    assert_eq!(question.anchor, "CN=Root,O=Example");
    let root = PublicKey::from_certificate_der(&der("root")).unwrap();
    assert_eq!(question.anchor_key, root.as_spki_der());
    // Nothing is asked about who is not trusted.
    assert!(verify(&asking, "a.example", &["fetching"]).is_err());
    assert!(verify(&asking, "b.example", &below_i3("a")).is_err());
}

#[derive(Debug)]
struct UnderRoot(&'static str);

impl ChainRule for UnderRoot {
    fn accepts(&self, _peer: &Identity, chain: &Path<'_>) -> Result<(), String> {
        assert_eq!((chain.end_entity, chain.intermediates.len()), (&der("a")[..], 3));
        if chain.anchor == self.0 { Ok(()) } else { Err(format!("not under {}", self.0)) }
    }
}

#[test]
fn the_connection_has_a_rule_of_its_own() {
    let with = |anchor| verifier(&["other", "root"]).with_rule(Arc::new(UnderRoot(anchor)));
    assert!(verify(&with("CN=Root,O=Example"), "a.example", &below_i3("a")).is_ok());
    let ChainError::NotAccepted { anchor, reason, .. } =
        verify(&with("CN=Another"), "a.example", &below_i3("a")).unwrap_err()
    else {
        panic!()
    };
    assert_eq!((anchor.as_str(), reason.as_str()), ("CN=Root,O=Example", "not under CN=Another"));
}

/// What a stranger can make us do is bounded: the most certificates that are taken, all with one of four names and each
/// the issuer of all others.
#[test]
fn many_paths_cost_no_more_than_is_allowed() {
    let chain = ["looping", "loop1", "loop2", "same1", "same2", "same3", "same4", "i1", "i2", "i3"];
    let error = verify(&verifier(&["root"]).max_signatures(2), "a.example", &chain).unwrap_err();
    assert!(matches!(error, ChainError::UnknownIssuer { .. }), "{error}");
}
