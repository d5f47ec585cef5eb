//! Proposals as text, and what makes a proposal at all (RFC 7296 §3.3, §3.3.3, §3.3.5, RFC 5282 §8, RFC 8221 §4).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_core::negotiation::{EspProposal, IkeProposal, ProposalError, SuiteNameError};
use ikev2_wire::{EncrId, IntegId, KeMethod, PrfId, ProtocolId, Transform, TransformType};
use ipsec_types::SequenceNumbers;
use proptest::prelude::*;

fn ike(text: &str) -> Result<IkeProposal, SuiteNameError> {
    text.parse()
}

fn esp(text: &str) -> Result<EspProposal, SuiteNameError> {
    text.parse()
}

// Transform IDs below are written as numbers of the IANA registry, so that a wrong constant cannot hide.
fn t(ty: u8, id: u16, key_bits: Option<u16>) -> Transform {
    Transform { key_bits, ..Transform::new(TransformType(ty), id) }
}

#[test]
fn the_usual_names_mean_the_registered_transforms() {
    for (text, transforms) in [
        ("aes256gcm16-prfsha256-x25519", vec![t(1, 20, Some(256)), t(2, 5, None), t(4, 31, None)]),
        // The PRF goes by the integrity algorithm.
        ("aes256-sha256-ecp256", vec![t(1, 12, Some(256)), t(2, 5, None), t(3, 12, None), t(4, 19, None)]),
        // So it does where the cipher needs no integrity algorithm.
        ("aes256gcm16-sha384-ecp384", vec![t(1, 20, Some(256)), t(2, 6, None), t(4, 20, None)]),
        (
            "aes128-weak:sha1-prfsha512-modp2048",
            vec![t(1, 12, Some(128)), t(2, 7, None), t(3, 2, None), t(4, 14, None)],
        ),
        (
            "chacha20poly1305-aes192ccm8-prfaesxcbc-x448-mlkem768",
            vec![t(1, 28, None), t(1, 14, Some(192)), t(2, 4, None), t(4, 32, None), t(4, 36, None)],
        ),
    ] {
        assert_eq!(ike(text).unwrap().transforms(), transforms, "{text}");
    }
    for (text, transforms) in [
        ("aes128gcm16-esn", vec![t(1, 20, Some(128)), t(5, 1, None)]),
        ("aes128gcm16", vec![t(1, 20, Some(128)), t(5, 1, None), t(5, 0, None)]),
        ("AES256-SHA512-NoESN", vec![t(1, 12, Some(256)), t(3, 14, None), t(5, 0, None)]),
        (
            "weak:null-sha256-modp3072-none-noesn-esn",
            vec![t(1, 11, None), t(3, 12, None), t(4, 15, None), t(4, 0, None), t(5, 0, None), t(5, 1, None)],
        ),
        ("weak:aes128gmac-none-esn", vec![t(1, 21, Some(128)), t(5, 1, None)]),
    ] {
        assert_eq!(esp(text).unwrap().transforms(), transforms, "{text}");
    }
}

#[test]
fn integrity_names_the_prf_of_the_same_function() {
    // Transform IDs of types 3 and 2 in the IANA registry.
    for (name, integ, prf) in [
        ("weak:sha1", 2, 2),
        ("sha256", 12, 5),
        ("sha384", 13, 6),
        ("sha512", 14, 7),
        ("aesxcbc", 5, 4),
        ("aescmac", 8, 8),
    ] {
        let proposal = ike(&format!("aes128-{name}-ecp256")).unwrap();
        let expected = [t(1, 12, Some(128)), t(2, prf, None), t(3, integ, None), t(4, 19, None)];
        assert_eq!(proposal.transforms(), expected, "{name}");
    }
}

#[test]
fn errors_name_the_bad_word() {
    for (text, token) in [
        ("aes256gcm16-prfsha256-x25518", "x25518"),
        ("aes257-sha256-x25519", "aes257"),
        ("aes-sha256-x25519", "aes"),
        ("aes256gcm15-prfsha256-x25519", "aes256gcm15"),
        ("aes256-sha256--x25519", ""),
        ("", ""),
        ("aes256-md5-x25519", "md5"),
        ("AES256 -sha256-x25519", "AES256 "),
    ] {
        assert_eq!(ike(text), Err(SuiteNameError::Unknown { token: token.into() }), "{text}");
    }
    assert_eq!(ike("aes256-what-x25519").unwrap_err().to_string(), "no algorithm is called \"what\"");
    for (text, token) in [("aes256-sha256-x25519-esn", "esn"), ("aes256-sha256-x25519-none", "none")] {
        let error = ike(text).unwrap_err();
        assert_eq!(error, SuiteNameError::NotForProtocol { token: token.into(), protocol: ProtocolId::IKE });
    }
    assert_eq!(esp("aes256-prfsha256").unwrap_err().to_string(), "\"prfsha256\" is not for ESP");
    assert_eq!(ike("aes256gcm16-x25519").unwrap_err().to_string(), "the proposal has no PRF transform");
    assert_eq!(ike("aes256-sha256").unwrap_err().to_string(), "the proposal has no KE transform");
}

#[test]
fn the_defaults_by_name() {
    let names = |list: Vec<IkeProposal>| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        names(IkeProposal::defaults()),
        [
            "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256-prfsha512-x25519-ecp256-modp2048",
            "aes256-aes128-sha256-sha512-prfsha256-prfsha512-x25519-ecp256-modp2048",
        ]
    );
    let names: Vec<_> = EspProposal::defaults().iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp256-modp2048-none-esn-noesn",
            "aes256-aes128-sha512-sha256-x25519-ecp256-modp2048-none-esn-noesn",
        ]
    );
    // They are made without the builder, and yet what it would make.
    for default in IkeProposal::defaults() {
        assert_eq!(ike(&default.to_string()), Ok(default));
    }
    for default in EspProposal::defaults() {
        assert_eq!(esp(&default.to_string()), Ok(default));
    }
}

#[test]
fn ciphers_and_integrity_must_fit() {
    let combined = EncrId::AES_GCM_16;
    let plain = EncrId::AES_CBC;
    let integ = IntegId::HMAC_SHA2_256_128;
    assert_eq!(
        EspProposal::builder().encr(combined, 128).integ(integ).build(),
        Err(ProposalError::CombinedWithInteg { encr: combined, integ })
    );
    assert_eq!(
        EspProposal::builder().encr(plain, 128).encr(combined, 128).integ(integ).build(),
        Err(ProposalError::MixedCiphers { combined, plain })
    );
    let none = EspProposal::builder().encr(combined, 128).integ(IntegId::NONE).build().unwrap();
    assert_eq!(none, EspProposal::builder().encr(combined, 128).build().unwrap());
    for builder in [
        EspProposal::builder().encr(plain, 128),
        EspProposal::builder().encr(plain, 128).integ(IntegId::NONE),
        EspProposal::builder().encr(plain, 128).integ(integ).integ(IntegId::NONE),
    ] {
        assert_eq!(builder.build(), Err(ProposalError::IntegrityMissing(plain)));
    }
    assert!(ike("aes256-prfsha256-x25519").is_err());
}

#[test]
fn key_lengths_are_the_ciphers_own() {
    let build = |encr, bits: Option<u16>| {
        EspProposal::builder().encr(encr, bits).build().map(|proposal| proposal.transforms()[0].key_bits)
    };
    assert_eq!(build(EncrId::AES_GCM_16, None), Err(ProposalError::KeyLengthMissing(EncrId::AES_GCM_16)));
    for bits in [0, 13, 64, 512, 65_535] {
        let error = ProposalError::KeyLength { encr: EncrId::AES_GCM_16, bits };
        assert_eq!(build(EncrId::AES_GCM_16, Some(bits)), Err(error));
    }
    assert_eq!(build(EncrId::AES_GCM_16, Some(192)), Ok(Some(192)));
    assert_eq!(build(EncrId::CHACHA20_POLY1305, None), Ok(None));
    assert_eq!(
        build(EncrId::CHACHA20_POLY1305, Some(256)),
        Err(ProposalError::KeyLength { encr: EncrId::CHACHA20_POLY1305, bits: 256 })
    );
    // Only ciphers have the attribute.
    let prf = t(2, 5, Some(256));
    let builder = IkeProposal::builder().encr(EncrId::AES_GCM_16, 128).ke(KeMethod::ECP_256);
    assert_eq!(
        builder.transform(prf.clone()).build(),
        Err(ProposalError::NotForProtocol { transform: prf, protocol: ProtocolId::IKE })
    );
}

#[test]
fn key_lengths_of_every_registered_cipher() {
    // By transform ID, as the documents in the registry say: RFC 3602, 3686, 4309, 4106, 4543, 5529 and 8750 want
    // the attribute; RFC 2405, 2451, 2410, 7634, 8750 and 9227 have keys of one length.
    let sized = [12, 13, 14, 15, 16, 18, 19, 20, 21, 23, 24, 25, 26, 27, 29, 30];
    let fixed = [2, 3, 5, 11, 28, 31, 32, 33, 34, 35];
    let build = |id, bits: Option<u16>| {
        let builder = EspProposal::builder().weak(Transform::encr(EncrId(id), bits));
        if EncrId(id).is_combined() { builder } else { builder.integ(IntegId::HMAC_SHA2_256_128) }.build()
    };
    for id in sized {
        assert_eq!(build(id, None), Err(ProposalError::KeyLengthMissing(EncrId(id))));
        assert_eq!(build(id, Some(160)), Err(ProposalError::KeyLength { encr: EncrId(id), bits: 160 }));
        for bits in [128, 192, 256] {
            assert!(build(id, Some(bits)).is_ok(), "{id} with {bits}");
        }
    }
    for id in fixed {
        assert!(build(id, None).is_ok(), "{id}");
        assert_eq!(build(id, Some(256)), Err(ProposalError::KeyLength { encr: EncrId(id), bits: 256 }));
    }
    // What nobody has specified here is left to whoever names it.
    for bits in [None, Some(77)] {
        assert!(build(65_000, bits).is_ok());
    }
}

#[test]
fn what_a_protocol_may_not_use_is_refused() {
    let ike = || IkeProposal::builder().prf(PrfId::HMAC_SHA2_256).ke(KeMethod::CURVE25519);
    // ESP only, by the notes of the registry; 11 and 21 are "not allowed for IKEv2".
    for encr in [11, 21, 24, 25, 26, 27, 29, 30, 31, 34, 35] {
        let result = ike().encr(EncrId(encr), Some(128)).integ(IntegId::HMAC_SHA2_256_128).build();
        assert!(matches!(result, Err(ProposalError::NotForProtocol { .. })), "{encr}: {result:?}");
    }
    let base = || ike().encr(EncrId::AES_GCM_16, 256);
    assert!(base().build().is_ok());
    for transform in [
        Transform::ke(KeMethod::NONE),
        Transform::sn(SequenceNumbers::Sequential32),
        t(77, 1, None),
        Transform::integ(IntegId::AES_256_GMAC),
    ] {
        let error = ProposalError::NotForProtocol { transform: transform.clone(), protocol: ProtocolId::IKE };
        assert_eq!(base().transform(transform).build(), Err(error));
    }
    let esp = || EspProposal::builder().encr(EncrId::AES_GCM_16, 256);
    for transform in [Transform::prf(PrfId::HMAC_SHA2_256), t(5, 3, None), t(3, 9, None)] {
        assert!(matches!(esp().transform(transform).build(), Err(ProposalError::NotForProtocol { .. })));
    }
    assert!(esp().sn(SequenceNumbers::Unspecified32).build().is_ok());
    let with_ke = |count| (1..count).fold(base(), |builder, id| builder.ke(KeMethod(1024 + id))).build();
    // Cipher, PRF and Curve25519 are three of the 255 that a proposal can count.
    assert_eq!(with_ke(253).unwrap().transforms().len(), 255);
    assert_eq!(with_ke(254), Err(ProposalError::TooMany));
}

#[test]
fn a_transform_given_twice_is_one() {
    let twice = "aes256-aes256-sha256-sha256-x25519-x25519";
    assert_eq!(ike(twice), ike("aes256-sha256-x25519"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_survives(
        ciphers in prop::sample::subsequence(
            vec!["aes128", "aes192", "aes256ctr", "camellia256", "camellia128ctr", "weak:3des", "weak:null"], 1..4),
        combined in prop::sample::subsequence(
            vec!["weak:aes128gcm8", "aes256gcm12", "aes192gcm16", "aes128ccm8", "aes256ccm12", "aes256ccm16",
                 "camellia128ccm8", "camellia192ccm12", "camellia256ccm16", "weak:aes256gmac", "chacha20poly1305"], 1..4),
        integ in prop::sample::subsequence(
            vec!["weak:sha1", "sha256", "sha384", "sha512", "aesxcbc", "aescmac"], 1..4).prop_shuffle(),
        ke in prop::sample::subsequence(
            vec!["x25519", "x448", "weak:ecp192", "weak:ecp224", "ecp256", "ecp384", "ecp521", "weak:ecp224bp", "ecp256bp",
                 "ecp384bp", "ecp512bp", "weak:modp1024", "weak:modp1536", "modp2048", "modp3072", "modp4096", "modp6144",
                 "modp8192", "weak:modp2048s224", "weak:modp2048s256", "mlkem512", "mlkem768", "mlkem1024"], 1..5)
            .prop_shuffle(),
        sn in prop::sample::subsequence(vec!["esn", "noesn"], 1..=2).prop_shuffle(),
    ) {
        let (ke, sn) = (ke.join("-"), sn.join("-"));
        for text in [
            format!("{}-{}-{ke}-{sn}", ciphers.join("-"), integ.join("-")),
            format!("{}-{ke}-{sn}", combined.join("-")),
        ] {
            prop_assert_eq!(esp(&text).unwrap().to_string(), text);
        }
        let prfs = integ.join("-").replace("aes", "prfaes").replace("sha", "prfsha");
        let text = format!("aes256gcm16-{prfs}-{ke}");
        prop_assert_eq!(ike(&text).unwrap().to_string(), text);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z0-9_:-]{0,40}") {
        if let Ok(proposal) = esp(&text) {
            prop_assert_eq!(esp(&proposal.to_string()).unwrap(), proposal);
        }
        let _ = ike(&text);
    }
}
