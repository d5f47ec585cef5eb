//! The key derivations of `ikev2_core::keys` against vectors from elsewhere.
//!
//! Published: the NIST vectors for the IKEv2 KDF of SP 800-135 (CAVP, ACVP). The one with HMAC-SHA-1 is the only
//! one that goes on to Child SAs and to a rekey. Those with SHA-2 cover RFC 7296 §2.14.
//!
//! Computed: for inputs of ascending octets, by another program (Python's `hmac`) from the formulas alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use hex_literal::hex;
use ikev2_core::keys::{
    ChildKeys, IkeKeys, Nonces, additional_skeyseed, child_keys, maced_id, rekey_skeyseed, shared_key_auth,
    skeyseed,
};
use ipsec_crypto::rustcrypto::{
    AES_256_CBC_HMAC_SHA2_256_128, AES_256_GCM_16, AES128_CMAC, AES128_XCBC, HMAC_SHA1, HMAC_SHA2_256,
    HMAC_SHA2_384, HMAC_SHA2_512,
};
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketCipher, PrfAlgorithm};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IkeSpi, IntegId, SecretBytes};

/// A cipher that is nothing but its key lengths, so that a vector of any length can be cut.
#[derive(Debug)]
struct KeyLengths {
    encr: usize,
    integ: usize,
}

impl CipherAlgorithm for KeyLengths {
    fn suite(&self) -> CipherSuite {
        CipherSuite { encr: EncrId(65_535), key_bits: None, integ: IntegId(65_535) }
    }

    fn library(&self) -> &'static str {
        "none"
    }

    fn encr_key_len(&self) -> usize {
        self.encr
    }

    fn salt_len(&self) -> usize {
        0
    }

    fn integ_key_len(&self) -> usize {
        self.integ
    }

    fn for_ike(&self) -> bool {
        true
    }

    fn with_keys(&self, _: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        Err(CipherError::KeyLength { expected: 0, got: 0 })
    }
}

fn secret(octets: &[u8]) -> SecretBytes {
    SecretBytes::copy_from(octets)
}

fn spi(octets: &[u8]) -> IkeSpi {
    IkeSpi::new(u64::from_be_bytes(octets.try_into().unwrap())).unwrap()
}

/// Key material as prf+ gave it: the keys in their order.
fn joined(keys: &IkeKeys) -> Vec<u8> {
    [&keys.d, &keys.ai, &keys.ar, &keys.ei, &keys.er, &keys.pi, &keys.pr]
        .iter()
        .flat_map(|key| key.as_slice().to_vec())
        .collect()
}

/// Key material as prf+ gave it: one direction before the other, encryption before integrity (RFC 7296 §2.17).
fn joined_child(keys: &ChildKeys) -> Vec<u8> {
    [&keys.initiator_to_responder, &keys.responder_to_initiator]
        .iter()
        .flat_map(|keys| [keys.encr.as_slice(), keys.integ.as_slice()].concat())
        .collect()
}

/// The octets from `first` to `last`.
fn ascending(first: u8, last: u8) -> Vec<u8> {
    (first..=last).collect()
}

mod sp800_135_sha1 {
    use super::*;

    const NI: [u8; 8] = hex!("32b50d5f4a3763f3");
    const NR: [u8; 8] = hex!("9206a04b26564cb1");
    const NONCES: Nonces<'_> = Nonces { initiator: &NI, responder: &NR };
    const SHARED: [u8; 32] = hex!("4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52");
    const NEW_SHARED: [u8; 32] = hex!("863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330");
    const SKEYSEED: [u8; 20] = hex!("a9a7b222b59f8f48645f28a1db5b5f5d7479cba7");
    const DKM: [u8; 132] = hex!(
        "a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062"
        "768b76606f9fa5e992204fc5a670bde3f10d6b027113936a5c55b648a194ae587b0088d52204b702"
        "c979fa280870d2ed41efa9c549fd11198af1670b143d384bd275c5f594cf266b05ebadca855e4249"
        "520a441a81157435a7a56cc4"
    );
    const CHILD: [u8; 132] = hex!(
        "8059e3ee8810e6c3a91bc8bcd2a7a41151b8d0e6ae239c7b38093ad85ef4c5811a8e7b5d1cdabd95"
        "60b2d5e092d1f24e2d4b85eccdf0ad0dc9abd94b51ee71814ca6dbc8bb51b6309f5b9545c7eb35cf"
        "5580b1e521a8fe20754a2d883ba0c2cf285f524aea6545b33106bc03e614296d319d41d4b50b3f51"
        "0b1c0a22f3e664994d234cb4"
    );
    const CHILD_WITH_KE: [u8; 132] = hex!(
        "bb43244c1860ad65ee1e211ffe8bb3661750c8f89cb9f547df7f4fa61d37301628190e38c66232ea"
        "b4b3ab14c400a5197dd3730ed4820a8a10394d51e1c0400052f63ebd36b0e7ef53aaed31eba4a508"
        "0d7d4b5666023a8bbb5ffb7857240f9a05884d1b7d2f933708450b7b3288f1fc863ab49fa901227c"
        "ffc06e27899c7054d56fd74c"
    );
    const REKEY_SKEYSEED: [u8; 20] = hex!("63e81194946ebd05df7df5ebf5d8750056bf1f1d");

    fn sk_d() -> SecretBytes {
        secret(&DKM[..20])
    }

    #[test]
    fn the_seed_comes_from_both_nonces_and_the_shared_secret() {
        assert_eq!(skeyseed(HMAC_SHA1, NONCES, &secret(&SHARED)), secret(&SKEYSEED));
    }

    /// 132 octets are three keys of the PRF, two of HMAC-SHA1-96 and two of AES-128-CBC.
    #[test]
    fn the_seven_keys_are_cut_in_their_order() {
        let (i, r) = (spi(&hex!("34c9e7c188868785")), spi(&hex!("3ff77d760d2b2199")));
        let cipher = KeyLengths { encr: 16, integ: 20 };
        let keys = IkeKeys::derive(HMAC_SHA1, &cipher, &secret(&SKEYSEED), NONCES, i, r).unwrap();
        for (key, place) in [
            (&keys.d, 0..20),
            (&keys.ai, 20..40),
            (&keys.ar, 40..60),
            (&keys.ei, 60..76),
            (&keys.er, 76..92),
            (&keys.pi, 92..112),
            (&keys.pr, 112..132),
        ] {
            assert_eq!(key.as_slice(), &DKM[place.clone()], "octets {place:?}");
        }
        assert_eq!(keys.initiator_to_responder(), SaKeys { encr: keys.ei.clone(), integ: keys.ai.clone() });
        assert_eq!(keys.responder_to_initiator(), SaKeys { encr: keys.er.clone(), integ: keys.ar.clone() });
    }

    #[test]
    fn child_keys_without_a_key_exchange() {
        let cipher = KeyLengths { encr: 34, integ: 32 };
        let keys = child_keys(HMAC_SHA1, &cipher, &sk_d(), None, NONCES, &[]).unwrap();
        assert_eq!(keys.initiator_to_responder.encr.as_slice(), &CHILD[..34]);
        assert_eq!(keys.initiator_to_responder.integ.as_slice(), &CHILD[34..66]);
        assert_eq!(keys.responder_to_initiator.encr.as_slice(), &CHILD[66..100]);
        assert_eq!(keys.responder_to_initiator.integ.as_slice(), &CHILD[100..]);
    }

    #[test]
    fn child_keys_with_a_key_exchange() {
        let cipher = KeyLengths { encr: 66, integ: 0 };
        let keys = child_keys(HMAC_SHA1, &cipher, &sk_d(), Some(&secret(&NEW_SHARED)), NONCES, &[]).unwrap();
        assert_eq!(joined_child(&keys), CHILD_WITH_KE);
    }

    #[test]
    fn the_seed_of_a_rekeyed_ike_sa() {
        let seed = rekey_skeyseed(HMAC_SHA1, &sk_d(), &secret(&NEW_SHARED), NONCES, &[]);
        assert_eq!(seed, secret(&REKEY_SKEYSEED));
    }
}

/// RFC 7296 §2.14: AES-CMAC and AES-XCBC take the first 64 bits of each nonce for SKEYSEED, and the nonces whole
/// in prf+; computed with Python's `cryptography`.
#[test]
fn prfs_that_cut_the_nonces() {
    let octets: Vec<u8> = (0..0x60).collect();
    let nonces = Nonces { initiator: &octets[..0x20], responder: &octets[0x20..0x40] };
    let shared = secret(&octets[0x40..]);
    let (i, r) = (spi(&hex!("0102030405060708")), spi(&hex!("1112131415161718")));
    for (prf, seed, sk_d) in [
        (AES128_CMAC, hex!("86521034dcf0885cd5cb281d5c49c753"), hex!("f487c1d5407b4a169cfb5ae322548bbc")),
        (AES128_XCBC, hex!("48c342895dd1d8a49be8c067032adcf8"), hex!("531e16475fbe6657fc69436353f352c2")),
    ] {
        let found = skeyseed(prf, nonces, &shared);
        assert_eq!(found, secret(&seed), "{prf:?}");
        let keys = IkeKeys::derive(prf, AES_256_GCM_16, &found, nonces, i, r).unwrap();
        assert_eq!(keys.d, secret(&sk_d), "{prf:?}");
        // Whatever follows the eighth octet of a nonce is of no account.
        let changed = Nonces { initiator: &octets[..8], responder: &octets[0x20..0x2c] };
        assert_eq!(skeyseed(prf, changed, &shared), found, "{prf:?}");
    }
}

mod sp800_135_sha2 {
    use super::*;

    struct Vector {
        prf: &'static dyn PrfAlgorithm,
        shared: [u8; 128],
        nonces: [u8; 16],
        spis: [u8; 16],
        skeyseed: &'static [u8],
        keymat: [u8; 132],
    }

    fn vectors() -> [Vector; 3] {
        [
            Vector {
                prf: HMAC_SHA2_256,
                shared: hex!(
                    "42968e5d0ccc3cfc5a3e4bc1bba370cea1fae0d54c49ccba34b2bee804beeb2e9e8c57a4e01bd451"
                    "02cf2433aacc6cfec06792f363e5170e6aa6650274e906648e449d27a8f00b5b44261982c9835c74"
                    "8a751ec5138eaacc5e025661339538a61bf418e454699e19c32db8d9ce5dd86b220f1e89afc5872e"
                    "68be36cb1a0c8866"
                ),
                nonces: hex!("ed80dc79912c32a935fb6d1a3feac078"),
                spis: hex!("47c1858efc932ea4606fd05609624002"),
                skeyseed: &hex!("37fde90b81d63692620f67367b62092e3efdc6a03509137d731004767ff35010"),
                keymat: hex!(
                    "63d018a08f7a29daa7d1f92cb63f45fa39bbaf5e5f1a78139613bb891e3e6bf9d0448f7c74e05b4c"
                    "1a25c0b61e62c875e852f287e192d4ae536112db5197216400bd5e123470efc15f53161865fe8b19"
                    "a1416518a157d651ecd2caddab6a9eae6a27a55af088218d5156edaa9789f934d9836ed43edffda5"
                    "53822202ff9f7d4860ca72e0"
                ),
            },
            Vector {
                prf: HMAC_SHA2_384,
                shared: hex!(
                    "4df040b70978629c49437cff41a0d46cbea68c8d75b370ffc11d7b387144ea83bb5903fbb92e473d"
                    "f50a9b19ea43e9c2f3da9a849c03864276c6f264ecf02a60d40ba65c06656b633f02a87427e928eb"
                    "66a2dabd9dc05744717bcaf7ae78c296872f5c48d1a8120c2155b70c565ce271998e3e44af263d48"
                    "7ea3ba7f56132d7d"
                ),
                nonces: hex!("d672b0bc852829b93509f3b724706364"),
                spis: hex!("0f9a016d7b22223c85f710daf8b982d8"),
                skeyseed: &hex!(
                    "54436a9ea95d6ff79b967f4b07f6de976a376e8ea26aa9574709afc60243c9c141da4ca0e158e627"
                    "a75ea87f6feb07ef"
                ),
                keymat: hex!(
                    "10b00a654643b3b985764f86e23ef62431122fcc96de16e338a372bee49391db1f83a7358c080380"
                    "abbf4af47cdb83b9530343168f7dbc9221260e1546c6b383e2235d2705a727f0b41aebf6a1b4c61c"
                    "b460660152a17ba74c20d5191ba6841794945270d829587b7f3294639ea7b77149e1d07230ac16e0"
                    "cd5ab236fa3212bd569ee70f"
                ),
            },
            Vector {
                prf: HMAC_SHA2_512,
                shared: hex!(
                    "1e3b007d2da913ca60ecc98c25a22db08073d5c35c11b2524b298a922b6abfe6acf7359db66ae5f8"
                    "5d67aacff686419cd8666d05ae7977cefad7f54dd8e312a8e8e5e0370f88142fbdd659dd6fde22bd"
                    "d531f5402881a8de85c1024e595ec93c575618af7fd3dbac7982919078d71cc13eff1910a032750e"
                    "1ff428675de189ee"
                ),
                nonces: hex!("df7931db9b429e10b8aa8e4d46042393"),
                spis: hex!("9ba40af9157f47925383c7cd3d1046e6"),
                skeyseed: &hex!(
                    "daf9bd6f2f912da553867966af386e67909a8df0ca7e84b83b355cb7d7f1026f17d8ea34b5d57fd0"
                    "d1ba389528fca1e81d1c8ce511b28a2458241143fee30ccc"
                ),
                keymat: hex!(
                    "919a75deaeccbd393bebc89615f8a215edb7073b2319d86740221eee7a2deb92509044d7e61fcb1b"
                    "f9676b3881c7ced49e6bba1549da3113601677a2445d91ac13a597335782dd3a9cf496d9e19b932f"
                    "27dd35e36f8070d232d0a3b3f4c4a0b4ba4470778dc090f31f52ab1b6d81e4c7dfb35063ad96c327"
                    "adcdbde714cc9a6b5ef049b8"
                ),
            },
        ]
    }

    /// The vectors end after 132 octets wherever that is; a suite that needs more goes on from there.
    #[test]
    fn seed_and_keys_for_every_prf_and_kind_of_cipher() {
        for vector in vectors() {
            let (ni, nr) = vector.nonces.split_at(8);
            let nonces = Nonces { initiator: ni, responder: nr };
            let seed = skeyseed(vector.prf, nonces, &secret(&vector.shared));
            assert_eq!(seed, secret(vector.skeyseed), "{}", vector.prf.id());
            let (i, r) = (spi(&vector.spis[..8]), spi(&vector.spis[8..]));
            for cipher in [AES_256_GCM_16, AES_256_CBC_HMAC_SHA2_256_128] {
                let keys = IkeKeys::derive(vector.prf, cipher, &seed, nonces, i, r).unwrap();
                assert_eq!(&joined(&keys)[..132], vector.keymat, "{}, {}", vector.prf.id(), cipher.suite());
            }
        }
    }
}

/// PRF HMAC-SHA2-256, AES-256-GCM-16; Ni, Nr, SPIs, g^ir and the later secrets are ascending octets.
mod ascending_inputs {
    use super::*;

    fn first_nonces() -> (Vec<u8>, Vec<u8>) {
        (ascending(0x00, 0x1f), ascending(0x20, 0x3f))
    }

    fn spis() -> (IkeSpi, IkeSpi) {
        (spi(&ascending(0x01, 0x08)), spi(&ascending(0x11, 0x18)))
    }

    /// The keys of IKE_SA_INIT.
    fn first_keys() -> IkeKeys {
        let (ni, nr) = first_nonces();
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let seed = skeyseed(HMAC_SHA2_256, nonces, &secret(&ascending(0x40, 0x5f)));
        assert_eq!(seed.as_slice(), hex!("fb7b0d6107cf71fb87cb4f19020bd81cc0f757a8f6a81a8a62c5b6f3a2660ac5"));
        let (i, r) = spis();
        IkeKeys::derive(HMAC_SHA2_256, AES_256_GCM_16, &seed, nonces, i, r).unwrap()
    }

    /// Nonces and the shared secret of a CREATE_CHILD_SA.
    fn later() -> (Vec<u8>, Vec<u8>, SecretBytes) {
        (ascending(0xa0, 0xbf), ascending(0xc0, 0xdf), secret(&ascending(0xe0, 0xff)))
    }

    #[track_caller]
    fn assert_keys(keys: &IkeKeys, d: &[u8], ei: &[u8], er: &[u8], pi: &[u8], pr: &[u8]) {
        assert_eq!(keys.d.as_slice(), d);
        assert!(keys.ai.is_empty() && keys.ar.is_empty());
        assert_eq!(keys.ei.as_slice(), ei);
        assert_eq!(keys.er.as_slice(), er);
        assert_eq!(keys.pi.as_slice(), pi);
        assert_eq!(keys.pr.as_slice(), pr);
    }

    #[test]
    fn keys_of_ike_sa_init() {
        assert_keys(
            &first_keys(),
            &hex!("0c26341d77313c227236f4aebf29182f0629dbe10e8ac56347f067a8defc22d5"),
            &hex!("8748594d3353b3e04121026ebf49d4a4907e2ae4eb2a9831832397da89af6f7968b67ce3"),
            &hex!("c70fad273ae0bbb34ee581341bbfd3303ab1d48166dde54604d0286bd75427665fbbb117"),
            &hex!("f4d9f877d73606ca959fbdb34f746d24f8939191f8d3af60fc816d7edfca54ae"),
            &hex!("0e23cdb44dc9e8476619d587774b27a4824b6c47d2e341e57237e03458c7e3e9"),
        );
    }

    /// RFC 9370 §2.2.2: SPIs and nonces are those of before.
    #[test]
    fn keys_after_an_additional_key_exchange() {
        let (ni, nr) = first_nonces();
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let additional = secret(&ascending(0x80, 0x9f));
        let seed = additional_skeyseed(HMAC_SHA2_256, &first_keys().d, &additional, nonces);
        assert_eq!(seed.as_slice(), hex!("3c113b951c59e100b3819a795d7907e3e87785fcbcb46ef8e397c72ddbcfc9f2"));
        let (i, r) = spis();
        assert_keys(
            &IkeKeys::derive(HMAC_SHA2_256, AES_256_GCM_16, &seed, nonces, i, r).unwrap(),
            &hex!("c4d059de1f2b0afcb1bb6b2401bd6a4cf247fe12a0833bb6b1e353dbee6fb543"),
            &hex!("a1d648ff7f1f346094758808a2dcf5daa26ede7f5576249b0fb284a8a6284f60894d3416"),
            &hex!("ee0665be00b00112cdb94cc5a76b06ebff3a0fc4a1f260a2938fa2a6a0190c2730863c70"),
            &hex!("3eb01aed416dd183029f0ef26d95a00aa876cc2e1a13ef759981e1a1c8f47c29"),
            &hex!("f292f9ad3bbb3ae445fc75d2be67a8653b53005e35ade6b275e89b280ba41453"),
        );
    }

    #[test]
    fn child_keys_without_and_with_a_key_exchange() {
        let (ni, nr, shared) = later();
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let derive = |shared, additional: &[_]| {
            child_keys(HMAC_SHA2_256, AES_256_GCM_16, &first_keys().d, shared, nonces, additional)
                .as_ref()
                .map(joined_child)
                .unwrap()
        };
        assert_eq!(
            derive(None, &[]),
            hex!(
                "3d578f068c01d10e0efc2c8ddfbaa300dc7af55180b9f8e3a7cf12da4f8ff5521ce6b583005056c9"
                "ade4fca52bc1abcfb4892683896b619afca2f20da36a226d819453f9eb34f40f"
            )
        );
        assert_eq!(
            derive(Some(&shared), &[]),
            hex!(
                "154db33bc2b2d4fda2e07b8ea37fc033e9081ac8697a67b098531f02592013d9afca96a135c31a5c"
                "6ddba60a3ea79a422389782561fe666e7e380bde07542272dbe95cec27cff4fa"
            )
        );
        // RFC 9370 §2.2.4.
        assert_eq!(
            derive(Some(&shared), &[secret(&ascending(0x80, 0x9f))]),
            hex!(
                "5eac663c5937270d8a1614317de8063b6d3081522b94f27a25ef533fbc2f2155"
                "67b0e89d89bcd966db600e0efbd424bfbb8dce8a1b78e4c75426916bd9a5876531cd0caca5369797"
            )
        );
    }

    #[test]
    fn the_seed_of_a_rekeyed_ike_sa() {
        let (ni, nr, shared) = later();
        let nonces = Nonces { initiator: &ni, responder: &nr };
        assert_eq!(
            rekey_skeyseed(HMAC_SHA2_256, &first_keys().d, &shared, nonces, &[]).as_slice(),
            hex!("f4bc2e3f0a163b85a9716f10c0f34b7e8e18ee18f5dafe3de51bfa0e8ffbae3d")
        );
        // RFC 9370 §2.2.4.
        let additional = [secret(&ascending(0x80, 0x9f))];
        assert_eq!(
            rekey_skeyseed(HMAC_SHA2_256, &first_keys().d, &shared, nonces, &additional).as_slice(),
            hex!("2978c1b6712153a29be8867252ed84e57d29b5981ee025c5fd53b8b42ee27a7e")
        );
    }

    /// `prf("secret", "Key Pad for IKEv2")` is known; the octets are then under it as a key.
    #[test]
    fn auth_is_keyed_by_the_padded_secret() {
        let padded = hex!("5fd8819cd79c7d1470058863cddc51ba31b4b8c876e6a7a803c3c95aaf71c10d");
        let octets: [&[u8]; 3] = [b"RealMessage1", b"Nr", b"MACedIDForI"];
        let mut expected = [0; 32];
        HMAC_SHA2_256.compute(&padded, &octets, &mut expected);
        assert_eq!(shared_key_auth(HMAC_SHA2_256, &secret(b"secret"), &octets).as_slice(), expected);
        // Where the parts end does not matter.
        let whole = octets.concat();
        assert_eq!(shared_key_auth(HMAC_SHA2_256, &secret(b"secret"), &[&whole]).as_slice(), expected);
    }

    /// By Python's `hmac`: `prf(00..1f, 02 000000 "a.example")`.
    #[test]
    fn the_identity_is_under_sk_p_with_its_type_and_reserved_octets() {
        assert_eq!(
            maced_id(HMAC_SHA2_256, &secret(&ascending(0x00, 0x1f)), b"\x02\0\0\0a.example").as_slice(),
            hex!("b1b8eca2eb8a5d6d29e410b270f252d80ff8a4dc921d1b3b66cec532899b802e")
        );
    }
}
