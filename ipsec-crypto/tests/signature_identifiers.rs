//! AlgorithmIdentifiers of method 14.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use hex_literal::hex;
use ipsec_crypto::SignatureScheme;
use ipsec_crypto::signature::AlgorithmIdentifierError as Error;
use proptest::collection::vec;
use proptest::prelude::*;

const PSS: [u8; 9] = hex!("2a864886f70d01010a");

fn parse(der: &[u8]) -> Result<SignatureScheme, Error> {
    SignatureScheme::from_algorithm_identifier(der)
}

/// RFC 7427 appendix A and RFC 8420 appendix A, octet for octet.
#[test]
fn as_the_documents_print_them() {
    for (scheme, der) in [
        (SignatureScheme::RsaPkcs1Sha1, &hex!("300d06092a864886f70d0101050500")[..]),
        (SignatureScheme::RsaPkcs1Sha256, &hex!("300d06092a864886f70d01010b0500")),
        (SignatureScheme::RsaPkcs1Sha384, &hex!("300d06092a864886f70d01010c0500")),
        (SignatureScheme::RsaPkcs1Sha512, &hex!("300d06092a864886f70d01010d0500")),
        (SignatureScheme::EcdsaSha256, &hex!("300a06082a8648ce3d040302")),
        (SignatureScheme::EcdsaSha384, &hex!("300a06082a8648ce3d040303")),
        (SignatureScheme::EcdsaSha512, &hex!("300a06082a8648ce3d040304")),
        (SignatureScheme::Ed25519, &hex!("300506032b6570")),
    ] {
        assert_eq!(scheme.algorithm_identifier(), der, "{scheme}");
    }
}

/// RFC 7427 appendix A.4.3 spells out the trailer, which DER leaves out: it is read, and ours is that without it.
#[test]
fn the_trailer_of_pss_is_left_out() {
    let printed = hex!(
        "304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
        "300d06096086480165030402010500a203020120a303020101"
    );
    assert_eq!(parse(&printed), Ok(SignatureScheme::RsaPssSha256));
    let mut shorter = printed[..printed.len() - 5].to_vec();
    shorter[1] -= 5;
    shorter[14] -= 5;
    assert_eq!(SignatureScheme::RsaPssSha256.algorithm_identifier(), shorter);
}

#[test]
fn each_is_read_as_what_it_is() {
    for scheme in SignatureScheme::ALL {
        let der = scheme.algorithm_identifier();
        assert_eq!(parse(der), Ok(scheme));
        assert!(u8::try_from(der.len()).is_ok(), "its length goes into one octet (RFC 7427 §3)");
        for length in 0..der.len() {
            assert_eq!(parse(&der[..length]), Err(Error::Malformed), "{scheme} cut at {length}");
        }
        assert_eq!(parse(&[der, &[0]].concat()), Err(Error::Malformed), "{scheme} with an octet more");
    }
}

/// RFC 4055 §2.1, §5: absent where NULL should be, and defaults spelled out or left away.
#[test]
fn variants_of_rsa() {
    assert_eq!(parse(&hex!("300b06092a864886f70d01010b")), Ok(SignatureScheme::RsaPkcs1Sha256));
    assert_eq!(parse(&hex!("300b06092a864886f70d010105")), Ok(SignatureScheme::RsaPkcs1Sha1));
    for (scheme, hash, salt) in [
        (SignatureScheme::RsaPssSha256, 1, 32),
        (SignatureScheme::RsaPssSha384, 2, 48),
        (SignatureScheme::RsaPssSha512, 3, 64),
    ] {
        let (null, absent) = (sha2(hash, true), sha2(hash, false));
        for (hash, mask_hash) in [(&null, &null), (&null, &absent), (&absent, &null), (&absent, &absent)] {
            for trailer in [&hex!("a303020101")[..], &[]] {
                let der = pss(&[field(0, hash), mgf1(mask_hash), field(2, &[2, 1, salt]), trailer.to_vec()]);
                assert_eq!(parse(&der), Ok(scheme));
            }
        }
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, content)
}

/// The AlgorithmIdentifier of SHA2-256 (1), -384 (2), -512 (3) or -224 (4).
fn sha2(which: u8, null: bool) -> Vec<u8> {
    let oid = tlv(6, &[&hex!("6086480165030402")[..], &[which]].concat());
    tlv(0x30, &[oid, if null { vec![5, 0] } else { vec![] }].concat())
}

fn mgf1(hash: &[u8]) -> Vec<u8> {
    field(1, &tlv(0x30, &[&hex!("0609 2a864886f70d010108")[..], hash].concat()))
}

fn pss(fields: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &[tlv(6, &PSS), tlv(0x30, &fields.concat())].concat())
}

/// RFC 8247 §3.2: what has empty or default parameters is SHA-1's. Each other mismatch is named.
#[test]
fn pss_parameters_that_are_refused() {
    let (sha256, sha384) = (sha2(1, true), sha2(2, true));
    for (what, der, expected) in [
        ("empty", pss(&[]), "1.3.14.3.2.26 (id-sha1), MGF1 hash 1.3.14.3.2.26 (id-sha1) and a salt of 20"),
        (
            "SHA2-224",
            pss(&[field(0, &sha2(4, true)), mgf1(&sha2(4, true)), field(2, &[2, 1, 28])]),
            "2.16.840.1.101.3.4.2.4",
        ),
        ("MGF1 of SHA-1", pss(&[field(0, &sha256), field(2, &[2, 1, 32])]), "MGF1 hash 1.3.14.3.2.26"),
        (
            "MGF1 of another hash",
            pss(&[field(0, &sha256), mgf1(&sha384), field(2, &[2, 1, 32])]),
            "MGF1 hash 2.16.840.1.101.3.4.2.2",
        ),
        ("the default salt", pss(&[field(0, &sha256), mgf1(&sha256)]), "a salt of 20 octets"),
        ("no salt", pss(&[field(0, &sha256), mgf1(&sha256), field(2, &[2, 1, 0])]), "a salt of 0 octets"),
        (
            "a longer salt",
            pss(&[field(0, &sha256), mgf1(&sha256), field(2, &[2, 1, 33])]),
            "a salt of 33 octets",
        ),
    ] {
        let error = parse(&der).unwrap_err();
        assert!(matches!(error, Error::PssParameters { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains(expected), "{what}: {error}");
    }
}

#[test]
fn malformed_parameters() {
    let sha256 = sha2(1, true);
    let whole = [field(0, &sha256), mgf1(&sha256), field(2, &[2, 1, 32])];
    let [hash, mask, salt] = &whole;
    let other_mask = field(1, &tlv(0x30, &[&hex!("0609 2a864886f70d010109")[..], &sha256].concat()));
    let mask_alone = field(1, &tlv(0x30, &hex!("0609 2a864886f70d010108")));
    let hash_with_integer = field(0, &tlv(0x30, &hex!("0609 608648016503040201 020100")));
    for (what, der) in [
        ("PSS without parameters", tlv(0x30, &tlv(6, &PSS))),
        ("PSS with NULL", tlv(0x30, &[tlv(6, &PSS), vec![5, 0]].concat())),
        ("a mask that is not MGF1", pss(&[hash.clone(), other_mask, salt.clone()])),
        ("MGF1 without a hash", pss(&[hash.clone(), mask_alone, salt.clone()])),
        ("a hash with parameters", pss(&[hash_with_integer, mask.clone(), salt.clone()])),
        ("trailer 2", pss(&[hash.clone(), mask.clone(), salt.clone(), hex!("a303020102").into()])),
        ("a negative salt", pss(&[hash.clone(), mask.clone(), field(2, &[2, 1, 0xe0])])),
        ("a salt of 256 octets", pss(&[hash.clone(), mask.clone(), field(2, &[2, 2, 1, 0])])),
        ("fields in another order", pss(&[mask.clone(), hash.clone(), salt.clone()])),
        ("a field of number 4", pss(&[hash.clone(), mask.clone(), salt.clone(), field(4, &[2, 1, 1])])),
        ("RSA with an integer", hex!("300e06092a864886f70d01010b020100").into()),
        ("RSA with NULL that is not empty", hex!("300e06092a864886f70d01010b050100").into()),
        ("ECDSA with NULL", hex!("300c06082a8648ce3d0403020500").into()),
        ("Ed25519 with NULL", hex!("300706032b65700500").into()),
    ] {
        let error = parse(&der).unwrap_err();
        assert!(matches!(error, Error::Parameters { .. } | Error::Malformed), "{what}: {error:?}");
    }
    assert_eq!(parse(&pss(&whole)), Ok(SignatureScheme::RsaPssSha256));
}

/// What is not known is named.
#[test]
fn unknown_algorithms() {
    for (der, name) in [
        (&hex!("300506032b6571")[..], "1.3.101.113 (id-Ed448)"),
        (&hex!("300906072a8648ce3d0401"), "1.2.840.10045.4.1"),
        (&hex!("300906072a8648ce380403"), "1.2.840.10040.4.3 (dsa-with-sha1)"),
        (&hex!("300d06092a864886f70d0101040500"), "1.2.840.113549.1.1.4 (md5WithRSAEncryption)"),
        (&hex!("300506032a0304"), "1.2.3.4"),
    ] {
        let error = parse(der).unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("unknown signature algorithm {name}"));
    }
}

#[test]
fn not_der() {
    for der in [
        &[][..],
        &hex!("05 00"),
        &hex!("30 00"),
        &hex!("30 80 0603 2b6570 0000"),
        &hex!("30 8105 0603 2b6570"),
        &hex!("31 05 0603 2b6570"),
        &hex!("30 07 0603 2b6570"),
        &[0xff; 255],
    ] {
        assert_eq!(parse(der), Err(Error::Malformed), "{der:02x?}");
    }
}

proptest! {
    /// Whatever the octets, there is an answer; and what was accepted says what the scheme says.
    #[test]
    fn arbitrary_octets(
        scheme in 0..SignatureScheme::ALL.len(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in vec(any::<u8>(), 0..80),
    ) {
        let _ = parse(&noise);
        let scheme = SignatureScheme::ALL[scheme];
        let mut der = scheme.algorithm_identifier().to_vec();
        for (index, octet) in changes {
            let at = index.index(der.len());
            der[at] = octet;
        }
        let _ = parse(&der);
    }
}
