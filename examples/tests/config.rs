//! The gateway's configuration: what a good one becomes, and what each bad one is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_core::config::ModePolicy;
use ikev2_core::{
    Connection, CookiePolicy, IdentityPattern, LocalAuth, RemoteAuth, SharedKeys, SigningIdentity,
    TrustedKeys,
};
use ipsec_crypto::signature::{KeyType, PublicKey, SignatureScheme};
use ipsec_examples::config::{ConfigError, GatewayConfig, Reconnect, Start};
use ipsec_types::SecretBytes;
use ipsec_types::sa::Limit;
use std::path::Path;
use std::time::Duration;

/// Keys and certificates for these tests, by OpenSSL 3.0.
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");

const SMALL: &str = r#"
[[connection]]
name = "b"
local = "10.9.0.1"
local_id = "a.example"
remote_id = "b.example"
psk = "secret"

[[connection.child]]
name = "net"
local = "10.1.0.0/24"
remote = "10.2.0.0/24"
"#;

fn parse(text: &str) -> Result<GatewayConfig, ConfigError> {
    GatewayConfig::parse(text, Path::new(KEYS))
}

/// What a configuration is told that differs from the small one in this place.
fn told(what: &str, instead: &str) -> String {
    assert!(SMALL.contains(what), "{what}");
    parse(&SMALL.replacen(what, instead, 1)).unwrap_err().to_string()
}

#[test]
fn the_small_one_has_the_defaults() {
    let config = parse(SMALL).unwrap();
    assert_eq!(config.listen, ["10.9.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((config.ike_port, config.endpoint.local_nat_t_port), (500, 4_500));
    assert_eq!(config.endpoint.cookies, CookiePolicy::WhenHalfOpen(100));
    assert_eq!(config.starts, []);
    assert_eq!((config.tun.name.as_str(), config.tun.mtu, config.tun.path_mtu), ("ipsec0", None, 1_500));
    assert!(config.tun.routes && config.tun.addresses.is_empty());
    let connection = &config.endpoint.connections[0];
    assert_eq!((connection.remote_port, connection.remote_nat_t_port), (500, 4_500));
    assert_eq!(connection.liveness, Some(Duration::from_secs(30)));
    assert!(!connection.force_udp_encapsulation && !connection.ike_proposals.is_empty());
    assert!(!connection.sha1_signatures);
    let child = &connection.children[0];
    assert_eq!(child.local[0].to_string(), "10.1.0.0/24");
    assert_eq!(child.lifetimes.seconds, Limit { soft: None, hard: None });
}

#[test]
fn the_one_in_the_documentation_is_good() {
    let source = include_str!("../src/config.rs");
    let fenced = source
        .lines()
        .skip_while(|line| *line != "//! ```toml")
        .skip(1)
        .take_while(|line| *line != "//! ```");
    let text: Vec<&str> = fenced.map(|line| line.trim_start_matches("//!").trim_start()).collect();
    let config = parse(&text.join("\n")).unwrap();
    assert_eq!(config.endpoint.cookies, CookiePolicy::Never);
    let start = Start { connection: "b".into(), reconnect: Reconnect::AfterFailure };
    assert_eq!(config.starts, [start]);
    let connection = &config.endpoint.connections[0];
    assert_eq!(connection.ike_proposals[0].to_string(), "aes256gcm16-prfsha256-x25519");
    assert_eq!(signing(connection).signer.schemes(), [SignatureScheme::Ed25519]);
    assert_eq!(trusted(connection)[0].key_type(), KeyType::EcP256);
    let child = &connection.children[0];
    assert_eq!(child.lifetimes.seconds, Limit { soft: Some(3_240), hard: Some(3_600) });
    assert_eq!(child.lifetimes.octets.hard, Some(1_000_000_000));
}

#[test]
fn the_examples_are_good_and_fit_each_other() {
    let a = parse(include_str!("../gateway-a.toml")).unwrap();
    let b = parse(include_str!("../gateway-b.toml")).unwrap();
    assert_eq!((a.starts.len(), b.starts.len()), (1, 0));
    let (a, b) = (&a.endpoint.connections[0], &b.endpoint.connections[0]);
    assert_eq!((a.local_address, a.remote_address), (b.remote_address, b.local_address));
    assert!(a.remote_id.matches(&b.local_id) && b.remote_id.matches(&a.local_id));
    assert_eq!(shared_secret(a), shared_secret(b));
    assert_eq!(a.ike_proposals, b.ike_proposals);
    let (a, b) = (&a.children[0], &b.children[0]);
    assert_eq!((&a.local, &a.remote, &a.proposals), (&b.remote, &b.local, &b.proposals));
}

/// The secret that both ends of a connection hold.
fn shared_secret(connection: &Connection) -> Option<SecretBytes> {
    match (&connection.local_auth, &connection.remote_auth) {
        (LocalAuth::SharedKey(SharedKeys::One(ours)), RemoteAuth::SharedKey(SharedKeys::One(theirs))) => {
            (ours == theirs).then(|| ours.clone())
        }
        _ => None,
    }
}

fn signing(connection: &Connection) -> &SigningIdentity {
    match &connection.local_auth {
        LocalAuth::Signature(identity) => identity,
        other => panic!("{other:?}"),
    }
}

fn trusted(connection: &Connection) -> &[PublicKey] {
    match &connection.remote_auth {
        RemoteAuth::Signature(TrustedKeys::Pinned(keys)) => keys,
        other => panic!("{other:?}"),
    }
}

/// The small one with these lines in the place of its secret.
fn with_credentials(lines: &str) -> Result<GatewayConfig, ConfigError> {
    parse(&SMALL.replacen("psk = \"secret\"", lines, 1))
}

#[test]
fn keys_are_read_from_files_beside_the_configuration() {
    let config =
        with_credentials("key = \"a-key.pem\"\ncertificates = \"a.pem\"\ntrusted = \"b.pem\"").unwrap();
    let connection = &config.endpoint.connections[0];
    assert_eq!(signing(connection).signer.key_type(), KeyType::Ed25519);
    // Its own certificate, then its issuer's, each as it is in the file.
    let ours = &signing(connection).certificates;
    assert_eq!(ours.len(), 2);
    let certified: Vec<_> = ours.iter().map(|der| PublicKey::from_certificate_der(der).unwrap()).collect();
    assert_ne!(certified[0], certified[1]);
    let pinned = trusted(connection);

    // DER, of a certificate and of a bare key; a private key by SEC 1; no certificate to send.
    let config = with_credentials("key = \"b-key.der\"\ntrusted = [\"b.der\", \"b-public.der\"]").unwrap();
    let connection = &config.endpoint.connections[0];
    assert_eq!(signing(connection).signer.key_type(), KeyType::EcP256);
    assert!(signing(connection).certificates.is_empty());
    assert!(trusted(connection).iter().all(|key| *key == pinned[0]) && trusted(connection).len() == 2);
}

#[test]
fn either_side_alone_may_sign() {
    let config = with_credentials("psk = \"secret\"\nkey = \"a-key.pem\"").unwrap();
    let connection = &config.endpoint.connections[0];
    assert_eq!(signing(connection).signer.key_type(), KeyType::Ed25519);
    assert!(matches!(&connection.remote_auth, RemoteAuth::SharedKey(SharedKeys::One(_))));
    let config = with_credentials("psk = \"secret\"\ntrusted = \"b.pem\"").unwrap();
    let connection = &config.endpoint.connections[0];
    assert!(matches!(&connection.local_auth, LocalAuth::SharedKey(SharedKeys::One(_))));
    assert_eq!(trusted(connection).len(), 1);
}

#[test]
fn a_key_signs_by_what_it_is_told() {
    let schemes = |sign_by: &str| {
        let lines = format!("key = \"b-key.der\"\nsign_by = {sign_by}\ntrusted = \"b.pem\"");
        signing(&with_credentials(&lines).unwrap().endpoint.connections[0]).signer.schemes().to_vec()
    };
    assert_eq!(schemes("\"ecdsa-sha384\""), [SignatureScheme::EcdsaSha384]);
    let two = [SignatureScheme::EcdsaSha512, SignatureScheme::EcdsaSha256];
    assert_eq!(schemes("[\"ecdsa-sha512\", \"ecdsa-sha256\"]"), two);
}

/// It is kept, so that what its peer's signature is refused for is told by its name.
#[test]
fn a_trusted_key_may_be_of_a_type_that_is_not_known() {
    let config = with_credentials("psk = \"secret\"\ntrusted = \"ed448.pem\"").unwrap();
    let key = &trusted(&config.endpoint.connections[0])[0];
    assert_eq!(key.key_type().to_string(), "1.3.101.113 (id-Ed448)");
}

#[test]
fn what_is_wrong_with_credentials_is_told() {
    for (lines, message) in [
        ("psk = \"secret\"\ncertificates = \"a.pem\"", "`certificates` needs a `key`"),
        ("psk = \"secret\"\nsign_by = \"ed25519\"", "`sign_by` needs a `key`"),
        ("key = \"a-key.pem\"", "there is no `psk`, `psk_hex` or `trusted`"),
        ("trusted = \"b.pem\"", "there is no `psk`, `psk_hex` or `key`"),
        (
            "psk = \"secret\"\nkey = \"a-key.pem\"\ntrusted = \"b.pem\"",
            "neither side uses the secret where there are `key` and `trusted`",
        ),
        ("key = \"none.pem\"", "connection `b`: none.pem: No such file"),
        ("key = \"a.pem\"", "a.pem: no PEM text of a private key"),
        ("key = \"b.der\"", "b.der: no DER encoding of a private key by PKCS#8"),
        (
            "key = \"ed448-key.pem\"",
            "ed448-key.pem: a private key for 1.3.101.113 (id-Ed448), which is not known",
        ),
        ("key = \"a-key.pem\"\ncertificates = \"a-key.pem\"", "a-key.pem: no PEM text"),
        ("key = \"a-key.pem\"\ncertificates = \"b.pem\"", "b.pem: the first certificate is of another key"),
        ("key = \"a-key.pem\"\nsign_by = \"rsa\"", "\"rsa\": no way to sign"),
        (
            "key = \"a-key.pem\"\nsign_by = \"ecdsa-sha256\"",
            "a key of type Ed25519 does not sign by ECDSA with SHA2-256",
        ),
        (
            "psk = \"secret\"\ntrusted = \"a-key.pem\"",
            "a-key.pem: PEM text of a PRIVATE KEY, not of a public key",
        ),
        ("psk = \"secret\"\ntrusted = \"b-key.der\"", "b-key.der: no DER encoding of an X.509 certificate"),
    ] {
        let told = with_credentials(lines).unwrap_err().to_string();
        assert!(told.contains(message), "{lines}\nis told:\n{told}\nand not: {message}");
    }
}

#[test]
fn values_in_all_their_forms() {
    let with = |what: &str, instead: &str| parse(&SMALL.replacen(what, instead, 1)).unwrap();
    let secret = |config: &GatewayConfig| shared_secret(&config.endpoint.connections[0]);
    let hex = with("psk = \"secret\"", "psk_hex = \"00ffA0\"");
    assert_eq!(secret(&hex), Some(SecretBytes::copy_from(&[0, 0xFF, 0xA0])));
    let any = with("\"b.example\"", "\"any\"");
    assert_eq!(any.endpoint.connections[0].remote_id, IdentityPattern::Any);
    let hasty =
        with("psk", "retransmit = { seconds = 2, repeats = 3 }\npsk").endpoint.connections[0].retransmit;
    assert_eq!((hasty.pause(0), hasty.repeats), (Duration::from_secs(2), 3));
    let old = with("psk", "sha1_signatures = true\npsk");
    assert!(old.endpoint.connections[0].sha1_signatures);
    let short = with("psk", "lifetime = { seconds = 100 }\npsk");
    let short = &short.endpoint.connections[0];
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!((short.ike_rekey_after, short.ike_expires_after), (seconds(90), seconds(100)));
    let anew = with("psk", "reauthenticate = 60\nauthentication_lifetime = 70\npsk");
    let anew = &anew.endpoint.connections[0];
    assert_eq!((anew.reauthenticate_after, anew.authentication_lifetime), (seconds(60), seconds(70)));
    let quiet = with("psk", "liveness = 0\npsk");
    assert_eq!(quiet.endpoint.connections[0].liveness, None);
    let never = with("psk", "fragments = 0\npsk");
    assert_eq!(never.endpoint.connections[0].fragmentation, None);
    let small = with("psk", "fragments = 1000\npsk").endpoint.connections[0].fragmentation.unwrap();
    assert_eq!((small.ipv4.first, small.ipv4.least, small.ipv6.first), (1_000, 576, 1_000));
    for (cookies, policy) in [
        ("\"always\"", CookiePolicy::Always),
        ("\"never\"", CookiePolicy::Never),
        ("7", CookiePolicy::WhenHalfOpen(7)),
        ("\"7\"", CookiePolicy::WhenHalfOpen(7)),
    ] {
        assert_eq!(parse(&format!("cookies = {cookies}\n{SMALL}")).unwrap().endpoint.cookies, policy);
    }
    for selector in [
        "10.1.0.1/32",
        "10.1.0.1-10.1.0.9",
        "fd01::/64",
        "10.1.0.0/24[tcp/443]",
        "10.1.0.0/24[udp/1000-2000]",
        "10.1.0.0/24[icmp]",
        "10.1.0.0/24[any/53]",
        "10.1.0.0/24[132/opaque]",
    ] {
        let config = with("\"10.1.0.0/24\"", &format!("[\"{selector}\"]"));
        assert_eq!(config.endpoint.connections[0].children[0].local[0].to_string(), selector);
    }
    for (mode, policy) in [
        ("tunnel", ModePolicy::Tunnel),
        ("transport", ModePolicy::RequireTransport),
        ("prefer-transport", ModePolicy::PreferTransport),
    ] {
        let config = with("name = \"net\"", &format!("name = \"net\"\nmode = \"{mode}\""));
        assert_eq!(config.endpoint.connections[0].children[0].mode, policy);
    }
    let own = with("local = \"10.1.0.0/24\"", "local = \"10.1.0.1\"");
    assert_eq!(own.endpoint.connections[0].children[0].local[0].to_string(), "10.1.0.1/32");
}

#[test]
fn what_is_wrong_is_told() {
    for (what, instead, message) in [
        ("name = \"b\"", "", "missing field `name`"),
        ("psk = \"secret\"", "", "connection `b`: there is no `psk`, `psk_hex` or `key`"),
        ("psk = \"secret\"", "psk = \"\"", "connection `b`: the secret is empty"),
        ("psk = \"secret\"", "psk_hex = \"123\"", "connection `b`: `psk_hex` is not hexadecimal"),
        ("psk = \"secret\"", "psk = \"a\"\npsk_hex = \"12\"", "there are both `psk` and `psk_hex`"),
        ("psk = ", "start = true\npsk = ", "connection `b`: `start` needs a `remote`"),
        (
            "psk = ",
            "remote = \"fd09::2\"\npsk = ",
            "`local` 10.9.0.1 and `remote` fd09::2 are of two families",
        ),
        ("psk = ", "pks = ", "unknown field `pks`"),
        ("local = \"10.9.0.1\"", "", "no address to listen on"),
        ("[[connection]]", "listen = [\"10.9.0.7\"]\n[[connection]]", "`local` 10.9.0.1 is not in `listen`"),
        ("[[connection]]", "ike_port = 4500\n[[connection]]", "ike_port and nat_t_port are both 4500"),
        ("[[connection]]", "cookies = \"sometimes\"\n[[connection]]", "\"never\", \"always\" or a number"),
        ("psk = ", "reconnect = \"daily\"\npsk = ", "unknown variant `daily`"),
        ("psk = ", "ike = \"aes512-sha256-ecp256\"\npsk = ", "no algorithm is called \"aes512\""),
        ("psk = ", "ike = [\"aes128-sha256\"]\npsk = ", "no KE transform"),
        ("name = \"net\"", "name = \"net\"\nesp = 7", "expected a text or a list of texts"),
        ("\"10.1.0.0/24\"", "\"10.1.0.0/33\"", "a prefix of 33 bits is longer than the address"),
        ("\"10.1.0.0/24\"", "\"10.1.0/24\"", "`10.1.0` is no address"),
        ("\"10.1.0.0/24\"", "\"10.1.0.0/24[tcp/443\"", "`]` is missing"),
        ("\"10.1.0.0/24\"", "\"10.1.0.0/24[gopher]\"", "`gopher` is no protocol"),
        ("\"10.1.0.0/24\"", "\"10.1.0.0/24[tcp/70000]\"", "`70000` is no port"),
        ("\"10.1.0.0/24\"", "\"10.1.0.9-10.1.0.1\"", "the address range starts at 10.1.0.9"),
        ("\"10.1.0.0/24\"", "[]", "child `net` needs `local` and `remote` selectors"),
        ("remote_id = \"b.example\"", "remote_id = \"\"", "an identity cannot be empty"),
    ] {
        let told = told(what, instead);
        assert!(told.contains(message), "{instead:?} is told:\n{told}\nand not: {message}");
    }
}

/// What the TOML parser finds is shown with its line.
#[test]
fn a_wrong_value_is_shown_in_its_line() {
    let told = told("\"10.1.0.0/24\"", "\"10.1.0.0/33\"");
    assert!(told.contains("line 11") && told.contains("local = \"10.1.0.0/33\""), "{told}");
}

#[test]
fn names_stand_once() {
    let connection = SMALL.to_string() + SMALL;
    assert_eq!(parse(&connection).unwrap_err().to_string(), "connection `b`: the name stands twice");
    let child = SMALL[SMALL.find("[[connection.child]]").unwrap()..].to_string();
    let twice = SMALL.to_string() + &child;
    assert_eq!(parse(&twice).unwrap_err().to_string(), "connection `b`: two children are called `net`");
    let (none, _) = SMALL.split_once("[[connection.child]]").unwrap();
    assert_eq!(parse(none).unwrap_err().to_string(), "connection `b`: there is no [[connection.child]]");
    assert_eq!(parse("").unwrap_err().to_string(), "there is no [[connection]]");
}

/// The secret appears in no text that a person sees.
#[test]
fn the_secret_is_not_printed() {
    let config = parse(&SMALL.replace("\"secret\"", "\"swordfish\"")).unwrap();
    assert!(!format!("{config:?}").contains("swordfish"));
}
