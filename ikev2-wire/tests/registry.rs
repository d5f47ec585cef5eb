//! The code points against the registry itself: `tests/data/ikev2-parameters.txt` is IANA's "Internet Key
//! Exchange Version 2 (IKEv2) Parameters" of 2026-07-16 as text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ikev2_wire::*;
use std::collections::BTreeMap;

const REGISTRY: &str = include_str!("data/ikev2-parameters.txt");

/// The rows of a registry: the value and the rest of the line. Ranges, reserved and unassigned values are left
/// out.
fn rows(title: &str) -> BTreeMap<u32, &'static str> {
    let mut rows = BTreeMap::new();
    let mut lines = REGISTRY.lines().map(str::trim).skip_while(|line| *line != title);
    lines.next().unwrap_or_else(|| panic!("no registry {title}"));
    let mut in_table = false;
    for line in lines {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if matches!(first, "Value" | "Number" | "Type") || line.starts_with("Protocol ID") {
            in_table = true;
        } else if in_table && line.is_empty() {
            break;
        } else if let Ok(value) = first.parse()
            && in_table
        {
            let rest = rest.trim();
            if !rest.to_ascii_lowercase().starts_with("reserved") && !rest.starts_with("Unassigned") {
                rows.insert(value, rest);
            }
        }
    }
    assert!(!rows.is_empty(), "{title} has no rows");
    rows
}

/// That our names are those of the registry, as `matches` compares a row with a name, and none is missing.
fn compare(title: &str, ours: &[(u32, &'static str)], matches: impl Fn(&str, &str) -> bool) {
    let mut theirs = rows(title);
    for (value, name) in ours {
        let row = theirs.remove(value).unwrap_or_else(|| panic!("{title} has no {value} ({name})"));
        assert!(matches(row, name), "{title} {value}: {row:?} is not {name:?}");
    }
    assert!(theirs.is_empty(), "{title}: not named here: {theirs:?}");
}

/// A row that starts with the name as a word of its own.
fn starts_with(row: &str, name: &str) -> bool {
    row.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Values and names of a code point type.
macro_rules! ours {
    ($ty:ty) => {
        <$ty>::REGISTERED
            .iter()
            .map(|code| (u32::from(code.0), code.name().unwrap()))
            .collect::<Vec<_>>()
            .as_slice()
    };
}

#[test]
fn every_plain_registry_is_complete() {
    compare("IKEv2 Exchange Types", ours!(ExchangeType), starts_with);
    compare("Transform Type 1 - Encryption Algorithm Transform IDs", ours!(EncrId), starts_with);
    compare("Transform Type 2 - Pseudorandom Function Transform IDs", ours!(PrfId), starts_with);
    compare("Transform Type 3 - Integrity Algorithm Transform IDs", ours!(IntegId), starts_with);
    compare("Transform Type 5 - Sequence Numbers Transform IDs", ours!(SequenceNumbersId), starts_with);
    compare("Transform Type 13 - Key Wrap Algorithm Transform IDs", ours!(KeyWrapId), starts_with);
    compare(
        "Transform Type 14 - Group Controller Authentication Method Transform IDs",
        ours!(GcAuthId),
        starts_with,
    );
    compare("IKEv2 Transform Attribute Types", ours!(TransformAttribute), starts_with);
    compare("IKEv2 Identification Payload ID Types", ours!(IdType), starts_with);
    compare("IKEv2 Certificate Encodings", ours!(CertEncoding), starts_with);
    compare("IKEv2 Authentication Method", ours!(AuthMethod), starts_with);
    compare("IKEv2 Notification IPCOMP Transform IDs (Value 16387)", ours!(IpcompTransform), starts_with);
    compare("IKEv2 Security Protocol Identifiers", &ours!(ProtocolId)[1..], starts_with);
    compare("IKEv2 Traffic Selector Types", ours!(TsType), starts_with);
    compare("IKEv2 Configuration Payload CFG Types", ours!(CfgType), starts_with);
    compare("IKEv2 Configuration Payload Attribute Types", ours!(CfgAttribute), starts_with);
    compare("IKEv2 Gateway Identity Types", ours!(GatewayIdType), starts_with);
    compare("ROHC Attribute Types", ours!(RohcAttribute), starts_with);
    compare("IKEv2 Secure Password Methods", ours!(SecurePasswordMethod), starts_with);
    compare("IKEv2 Hash Algorithms", ours!(HashAlgorithm), starts_with);
    compare("IKEv2 Post-quantum Preshared Key ID Types", ours!(PpkIdType), starts_with);
    compare("Group SA Attributes", ours!(GroupSaAttribute), starts_with);
    compare("Group-Wide Policy Attributes", ours!(GroupPolicyAttribute), starts_with);
    compare("Group Key Bag Attributes", ours!(GroupKeyBagAttribute), starts_with);
    compare("Member Key Bag Attributes", ours!(MemberKeyBagAttribute), starts_with);
}

#[test]
fn notify_types_are_those_of_both_registries() {
    let all = ours!(NotifyType).to_vec();
    let (errors, statuses): (Vec<_>, Vec<_>) = all.into_iter().partition(|(value, _)| *value < 16_384);
    compare("IKEv2 Notify Message Error Types", &errors, starts_with);
    compare("IKEv2 Notify Message Status Types", &statuses, starts_with);
    for value in 0..=u16::MAX {
        assert_eq!(NotifyType(value).is_error(), value < 16_384);
        assert_ne!(NotifyType(value).is_error(), NotifyType(value).is_status());
    }
    let private =
        [8_191, 8_192, 16_383, 16_384, 40_959, 40_960, 65_535].map(|ty| NotifyType(ty).is_private());
    assert_eq!(private, [false, true, true, false, false, true, true]);
}

#[test]
fn key_exchange_methods_with_names_on_two_lines() {
    compare("Transform Type 4 - Key Exchange Method Transform IDs", ours!(KeMethod), |row, name| {
        starts_with(row, name.strip_suffix(" Order Subgroup").unwrap_or(name))
    });
}

#[test]
fn payload_types_by_their_notation() {
    compare("IKEv2 Payload Types", ours!(PayloadType), |row, name| match name {
        "NONE" => starts_with(row, "No Next Payload"),
        "Nonce" => row.contains("  Ni, Nr  "),
        _ => row.contains(&format!(" {name} ")),
    });
}

#[test]
fn transform_types_by_their_abbreviation() {
    compare("Transform Type Values", ours!(TransformType), |row, name| row.contains(&format!("({name})")));
    for n in 1..=7 {
        let ty = TransformType::addke(n).unwrap();
        assert_eq!(ty.name(), Some(format!("ADDKE{n}").as_str()));
        assert!(ty.is_key_exchange());
    }
    assert_eq!((TransformType::addke(0), TransformType::addke(8)), (None, None));
    let key_exchanges = TransformType::REGISTERED.iter().filter(|ty| ty.is_key_exchange()).count();
    assert_eq!(key_exchanges, 8);
}
