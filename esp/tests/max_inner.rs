//! Overhead is a function, not a constant. What `max_inner` names fits, one octet more does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_esp::{Framing, OutboundConfig, OutboundSa, TfcPadding};
use ipsec_types::sa::ChildSa;
use ipsec_types::{Encapsulation, Path};

fn sa(child: &ChildSa, framing: Framing, tfc: TfcPadding) -> OutboundSa {
    let config = OutboundConfig { framing, tfc, ..OutboundConfig::default() };
    sa_pair(child, config, ipsec_esp::InboundConfig::default()).0
}

fn all_kinds() -> impl Iterator<Item = (ChildSa, usize)> {
    let paths: [(Path, usize); 2] = [(path_v4(), 20), (path_v6(), 40)];
    let encapsulations = [(Encapsulation::None, 0), (Encapsulation::Udp, 8)];
    SUITES.into_iter().flat_map(move |suite| {
        paths.into_iter().flat_map(move |(path, ip)| {
            encapsulations.into_iter().map(move |(encapsulation, udp)| {
                (ChildSa { suite, path, encapsulation, ..child() }, ip + udp)
            })
        })
    })
}

/// All suites, outer families, encapsulations and framings, outer 576 to 9,000, both inner families.
#[test]
fn max_inner_fits_and_one_more_does_not() {
    for (child, outer_header) in all_kinds() {
        let mut whole = sa(&child, Framing::IpPacket, TfcPadding::Off);
        let mut esp_only = sa(&child, Framing::EspPacket, TfcPadding::Off);
        let mut last = 0;
        for mtu in 576..=9_000 {
            let largest = whole.max_inner(mtu).unwrap();
            assert_eq!(esp_only.max_inner(mtu), Some(largest), "framing makes no difference");
            assert!(largest >= last, "monotonic");
            last = largest;
            if mtu % 7 != 0 && ![1_280, 1_500].contains(&mtu) {
                continue;
            }
            for inner in [v4, v6] {
                assert!(seal(&mut whole, &inner(largest)).len() <= mtu);
                assert!(seal(&mut whole, &inner(largest + 1)).len() > mtu);
                assert!(seal(&mut esp_only, &inner(largest)).len() + outer_header <= mtu);
                assert!(seal(&mut esp_only, &inner(largest + 1)).len() + outer_header > mtu);
            }
        }
    }
}

#[test]
fn tfc_padding_counts() {
    for (child, _) in all_kinds() {
        for tfc in [TfcPadding::ToLength(500), TfcPadding::ToMultiple(128), TfcPadding::ToMultiple(1)] {
            let mut sa = sa(&child, Framing::IpPacket, tfc);
            for mtu in (576..2_000).step_by(31) {
                let largest = sa.max_inner(mtu).unwrap_or(0);
                if largest >= 48 {
                    assert!(seal(&mut sa, &v6(largest)).len() <= mtu, "{tfc:?} {mtu}");
                }
                assert!(seal(&mut sa, &v6((largest + 1).max(48))).len() > mtu, "{tfc:?} {mtu}");
            }
        }
    }
}

#[test]
fn what_can_not_fit() {
    let sa = sa(&child(), Framing::EspPacket, TfcPadding::Off);
    for mtu in 0..28 + 8 + 8 + 4 + 16 {
        assert_eq!(sa.max_inner(mtu), None);
    }
    assert_eq!(sa.max_inner(28 + 8 + 8 + 4 + 16), Some(2));
    // An IPv4 total length ends at 65,535 whatever the link could carry.
    assert_eq!(sa.max_inner(1 << 20), sa.max_inner(65_535));
}
