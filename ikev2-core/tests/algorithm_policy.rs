//! Which algorithms are offered and accepted: the tables of RFC 8247 and RFC 8221, weak ones only where they were
//! asked for as such, and the size of IKE_SA_INIT.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::negotiation::{
    ChildExchange, EspProposal, IkeExchange, IkeProposal, Profile, ProposalError, SuiteNameError, choose_esp,
    choose_ike,
};
use ikev2_core::{ConfigWarning, CookiePolicy, Event, Failure, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{KeMethod, Proposal, ProtocolId, SaPayload, Transform};
use std::collections::BTreeSet;
use support::forge::{Raw, head_of, payloads_of, plain};
use support::mirror::assert_crosswise;
use support::peer::{has, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

/// Transform type, ID and key length, as numbers of the registry.
type Code = (u8, u16, Option<u16>);

/// RFC 8247 §2.1 to §2.4: MUST and SHOULD, without what is SHOULD for small devices alone; and Curve25519, which the
/// registry has since RFC 8031.
const IKE: [Code; 12] = [
    (1, 12, Some(128)),
    (1, 12, Some(256)),
    (1, 20, Some(128)),
    (1, 20, Some(256)),
    (1, 28, None),
    (2, 5, None),
    (2, 7, None),
    (3, 12, None),
    (3, 14, None),
    (4, 14, None),
    (4, 19, None),
    (4, 31, None),
];

/// RFC 8221 §5 and §6: MUST and SHOULD, without NULL and what is SHOULD for small devices alone. The key exchange
/// is RFC 8247's, and it is optional.
const ESP: [Code; 13] = [
    (1, 12, Some(128)),
    (1, 12, Some(256)),
    (1, 20, Some(128)),
    (1, 20, Some(256)),
    (1, 28, None),
    (3, 12, None),
    (3, 14, None),
    (4, 0, None),
    (4, 14, None),
    (4, 19, None),
    (4, 31, None),
    (5, 0, None),
    (5, 1, None),
];

fn codes<'a>(transforms: impl Iterator<Item = &'a Transform>) -> BTreeSet<Code> {
    transforms.map(|t| (t.ty.0, t.id, t.key_bits)).collect()
}

#[test]
fn the_defaults_are_what_the_documents_require_and_nothing_else() {
    let (ike, esp) = (IkeProposal::defaults(), EspProposal::defaults());
    assert_eq!(codes(ike.iter().flat_map(IkeProposal::transforms)), BTreeSet::from(IKE));
    assert_eq!(codes(esp.iter().flat_map(EspProposal::transforms)), BTreeSet::from(ESP));
    assert_eq!((Profile::Standard.ike(), Profile::Standard.esp()), (ike, esp));
}

/// Each weak algorithm, by its name in a text, and by its registered one in the error.
const WEAK_IN_IKE: [(&str, &str); 12] = [
    ("3des-sha256-x25519", "ENCR_3DES"),
    ("aes128gcm8-prfsha256-x25519", "ENCR_AES_GCM_8"),
    ("aes128-sha1-prfsha256-x25519", "AUTH_HMAC_SHA1_96"),
    ("aes128gcm16-prfsha1-x25519", "PRF_HMAC_SHA1"),
    ("aes128gcm16-sha1-x25519", "PRF_HMAC_SHA1"),
    ("aes128-sha256-modp1024", "1024-bit MODP"),
    ("aes128-sha256-modp1536", "1536-bit MODP"),
    ("aes128-sha256-modp2048s224", "2048-bit MODP"),
    ("aes128-sha256-modp2048s256", "2048-bit MODP"),
    ("aes128-sha256-ecp192", "192-bit"),
    ("aes128-sha256-ecp224", "224-bit"),
    ("aes128-sha256-ecp224bp", "brainpool"),
];
const WEAK_IN_ESP: [(&str, &str); 6] = [
    ("3des-sha256", "ENCR_3DES"),
    ("null-sha256", "ENCR_NULL"),
    ("aes128gmac", "ENCR_NULL_AUTH_AES_GMAC"),
    ("aes256gcm8", "ENCR_AES_GCM_8"),
    ("aes128-sha1", "AUTH_HMAC_SHA1_96"),
    ("aes128gcm16-modp1024", "1024-bit MODP"),
];

fn refused<T: core::fmt::Debug>(result: Result<T, SuiteNameError>, text: &str, name: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, SuiteNameError::Proposal(ProposalError::Weak(_))), "{text}: {error:?}");
    says(&error, &[name, "is weak", "must be asked for"]);
}

#[test]
fn a_weak_algorithm_is_an_error_of_the_configuration_that_names_it() {
    for (text, name) in WEAK_IN_IKE {
        refused(text.parse::<IkeProposal>(), text, name);
    }
    for (text, name) in WEAK_IN_ESP {
        refused(text.parse::<EspProposal>(), text, name);
    }
    // In whatever way it is named.
    let sha1 = Transform::prf(ikev2_wire::PrfId::HMAC_SHA1);
    let base = || IkeProposal::builder().encr(ikev2_wire::EncrId::AES_GCM_16, 128).ke(KeMethod::CURVE25519);
    assert_eq!(base().prf(ikev2_wire::PrfId::HMAC_SHA1).build(), Err(ProposalError::Weak(sha1.clone())));
    assert_eq!(base().transform(sha1.clone()).build(), Err(ProposalError::Weak(sha1.clone())));
    assert_eq!(base().weak(sha1.clone()).build().unwrap().to_string(), "aes128gcm16-weak:prfsha1-x25519");
    // What was asked for is not a licence for others.
    let modp = Transform::ke(KeMethod::MODP_1024);
    assert_eq!(base().weak(sha1).ke(KeMethod::MODP_1024).build(), Err(ProposalError::Weak(modp)));
}

/// MUST NOT by RFC 8247 or RFC 8221: no names at all.
#[test]
fn what_must_not_be_has_no_name() {
    for text in ["des-sha256-x25519", "aes128-md5-x25519", "weak:des-sha256-x25519", "aes128-sha256-modp768"]
    {
        let error = text.parse::<IkeProposal>().unwrap_err();
        assert!(matches!(error, SuiteNameError::Unknown { .. }), "{text}: {error:?}");
    }
}

/// One weak transform in an otherwise good offer is not chosen, and an offer of nothing else for its type fails.
#[test]
fn weak_algorithms_are_not_accepted_of_a_peer() {
    let profiles = || Profile::ALL.into_iter().filter(|profile| !profile.is_weak());
    for (text, _) in WEAK_IN_IKE {
        let marked = mark_weak(text);
        let offer = &marked.parse::<IkeProposal>().unwrap();
        let proposal = |transforms: &[Transform]| Proposal {
            number: 1,
            protocol: ProtocolId::IKE,
            spi: Vec::new(),
            transforms: transforms.to_vec(),
        };
        for profile in profiles() {
            let alone = SaPayload::build(&[proposal(offer.transforms())]).unwrap();
            let result = choose_ike(&profile.ike(), &alone, IkeExchange::Initial, KeMethod::CURVE25519);
            assert!(result.is_err(), "{profile} takes {text}");
        }
    }
    for (text, _) in WEAK_IN_ESP {
        let offer = &mark_weak(text).parse::<EspProposal>().unwrap();
        let transforms = offer.transforms().to_vec();
        let spi = 0xABCD_1234_u32.to_be_bytes().to_vec();
        let proposal = Proposal { number: 1, protocol: ProtocolId::ESP, spi, transforms };
        for profile in profiles() {
            let request = SaPayload::build(std::slice::from_ref(&proposal)).unwrap();
            let exchange = ChildExchange::CreateChildSa { ke_sent: None };
            assert!(choose_esp(&profile.esp(), &request, exchange).is_err(), "{profile} takes {text}");
        }
    }
}

/// The same text with every name marked as weak.
fn mark_weak(text: &str) -> String {
    text.split('-').map(|name| format!("weak:{name}")).collect::<Vec<_>>().join("-")
}

/// Who asks for it by name gets it, from end to end.
#[test]
fn what_was_opted_into_is_negotiated() {
    let (a, mut b) = two();
    let a = a.ike(&["aes128-weak:sha1-modp2048"]);
    b.connection.ike_proposals =
        ike(&["aes256gcm16-prfsha256-x25519", "aes256-aes128-sha256-weak:sha1-modp2048"]);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let suite = world.node(B).only_sa().1.suite.unwrap();
    assert_eq!(suite.to_string(), "ENCR_AES_CBC-128/AUTH_HMAC_SHA1_96");
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// Without it the refusal names what the peer offered and what we allow.
#[test]
fn a_peer_with_weak_algorithms_alone_is_refused_with_both_lists() {
    let (a, b) = two();
    let mut world = World::pair(a.ike(&["aes128-weak:sha1-modp2048"]), b);
    world.connect(A, B);
    world.deliver_next();
    let rejection = world.nodes[B].rejections.pop().unwrap();
    says(&rejection, &["no proposal chosen", "AUTH_HMAC_SHA1_96", "AUTH_HMAC_SHA2_256_128"]);
    world.run_for_secs(5);
    let failure = down(&world.take_events(A));
    assert!(
        matches!(failure, Failure::OfferRefused { notify: NotifyType::NO_PROPOSAL_CHOSEN, .. }),
        "{failure:?}"
    );
}

/// The MTU of IPv6 without its header and UDP's: what passes everywhere without fragments.
const SMALLEST: usize = 1_280 - 40 - 8;

/// The longest cookie (§2.6: 1 to 64 octets) goes with the default policy and every profile, marker included, and
/// so does the longest key exchange of the defaults.
#[test]
fn ike_sa_init_stays_below_the_smallest_mtu() {
    let retries = [(Profile::Standard, KeMethod::MODP_2048), (Profile::Android, KeMethod::MODP_4096)];
    for profile in Profile::ALL {
        let (mut a, _) = two();
        a.connection.ike_proposals = profile.ike();
        a.connection.remote_port = 4500;
        let mut world = World::pair(a, two().1);
        let path =
            ipsec_types::Path::nat_t("192.0.2.1:4500".parse().unwrap(), "192.0.2.2:4500".parse().unwrap());
        world.call(A, |e, now| e.connect(now, "tunnel", path)).unwrap();
        let first = world.take();
        let answer = |notify, data: &[u8], request: &Packet| {
            let head = head_of(request.message());
            let head = ikev2_core::exchange::protect::MessageHead {
                flags: ikev2_wire::Flags::new(false, true),
                ..head
            };
            let octets = [&[0; 4][..], &plain(&head, &[Raw::notify(notify, data)])].concat();
            Packet { from: request.to, to: request.from, octets }
        };
        world.deliver(&answer(NotifyType::COOKIE, &[7; 64], &first)).unwrap().unwrap();
        let mut request = world.take();
        for (_, method) in retries.iter().filter(|(p, _)| *p == profile) {
            let wanted = answer(NotifyType::INVALID_KE_PAYLOAD, &method.0.to_be_bytes(), &request);
            world.deliver(&wanted).unwrap().unwrap();
            request = world.take();
            let payloads = payloads_of(request.message());
            let ke = payloads.iter().find(|raw| raw.ty == PayloadType::KE).unwrap();
            assert_eq!(ke.body[..2], method.0.to_be_bytes());
        }
        let payloads = payloads_of(request.message());
        let told: BTreeSet<_> = notifies(&payloads).into_iter().map(|(ty, _)| ty).collect();
        for ty in [
            NotifyType::COOKIE,
            NotifyType::NAT_DETECTION_SOURCE_IP,
            NotifyType::NAT_DETECTION_DESTINATION_IP,
            NotifyType::SIGNATURE_HASH_ALGORITHMS,
        ] {
            assert!(told.contains(&ty), "{ty}");
        }
        assert!(request.octets.len() <= SMALLEST, "{profile}: {}", request.octets.len());
    }
}

/// The same between two of us, with our own cookie, and the answer too.
#[test]
fn request_and_answer_of_the_default_policy_stay_below_the_smallest_mtu() {
    for method in ["x25519", "ecp256", "modp2048"] {
        let (a, mut b) = two();
        b.config.cookies = CookiePolicy::Always;
        let b = b.ike(&[&format!("aes256-sha256-{method}")]);
        let mut world = World::pair(a, b);
        world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
        world.connect(A, B);
        let mut seen = Vec::new();
        loop {
            let packet = world.take();
            let header = packet.header();
            if header.exchange != ExchangeType::IKE_SA_INIT {
                break;
            }
            assert!(packet.octets.len() <= SMALLEST, "{method}: {}", packet.octets.len());
            seen.push((header.flags.is_response(), has(&payloads_of(packet.message()), PayloadType::KE)));
            world.deliver(&packet);
        }
        assert_eq!(seen.last(), Some(&(true, true)), "{method}");
        assert!(seen.len() >= 4, "{method}: {seen:?}");
    }
}

/// IKE fragmentation cannot help IKE_SA_INIT: a method whose messages are too large for some paths is warned of, with
/// the sizes that both then have on the wire. What the other tests here hold to the bound is not.
#[test]
fn methods_that_make_ike_sa_init_too_large_are_warned_of() {
    let (mut a, _) = two();
    for profile in Profile::ALL {
        a.connection.ike_proposals = profile.ike();
        let mut config = a.config.clone();
        config.connections = vec![a.connection.clone().into()];
        assert_eq!(config.warnings(), [], "{profile}");
    }
    let methods = [
        ("x25519", None),
        ("mlkem512", None),
        ("mlkem768", Some(KeMethod::ML_KEM_768)),
        ("mlkem1024", Some(KeMethod::ML_KEM_1024)),
        ("modp4096", None),
    ];
    for (name, large) in methods {
        let proposals = [&*format!("aes256-sha256-{name}"), &*format!("aes256gcm16-prfsha256-x25519-{name}")];
        let (a, mut b) = two();
        b.config.cookies = CookiePolicy::Always;
        let mut world = World::pair(a.ike(&proposals), b.ike(&proposals));
        world.connect(A, B);
        assert_eq!(world.deliver_next(), Some(Err(Rejection::CookieRequired)));
        let asked = world.take();
        let cookie = notifies(&payloads_of(asked.message())).remove(0).1.len();
        world.deliver(&asked).unwrap().unwrap();
        let request = world.peek().octets.len();
        world.deliver_next();
        let answer = world.peek().octets.len();
        // The marker, and a cookie longer than ours.
        let (request, answer) = (request + 4 + 64 - cookie, answer + 4);
        assert_eq!(request.max(answer) > SMALLEST, large.is_some(), "{name}: {request}, {answer}");
        let expected = large.map(|method| {
            let connection = "tunnel".to_string();
            ConfigWarning::InitTooLarge { connection, method, request, answer }
        });
        for node in [A, B] {
            let warnings = world.node(node).config.warnings();
            assert_eq!(warnings, expected.clone().into_iter().collect::<Vec<_>>(), "{name}");
        }
        if let Some(warning) = expected {
            says(&warning, &["`tunnel`", "ml-kem", &request.to_string(), "1232"]);
        }
    }
}

/// A profile at both ends makes an IKE SA with a Child SA, and a weak one only with itself.
#[test]
fn profiles_meet_the_standard_policy() {
    for profile in Profile::ALL {
        let (mut a, b) = two();
        a.connection.ike_proposals = profile.ike();
        let mut child = (*a.connection.children[0]).clone();
        child.proposals = profile.esp();
        a.connection.children = vec![child.into()];
        let mut world = World::established(a, b);
        let sa = world.handle(A);
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.run();
        let up = world.take_events(A).iter().filter(|event| matches!(event, Event::ChildSaUp { .. })).count();
        assert_eq!(up, 1, "{profile}");
        assert_eq!(world.node(A).only_sa().1.role, Role::Initiator);
        let child = world.node(A).mirror.children.values().next().unwrap();
        assert_ne!(child.child.suite.encr, ikev2_wire::EncrId::NULL);
    }
}
