//! Transport mode between the two ends of an IKE SA, with NATs between them or none (RFC 7296 §1.3.1, §2.23.1).
//!
//! The packet's own addresses stay outside, so that they are those of the IKE SA, and each side sees others where a
//! NAT stands between. So each side replaces what the other one sent by what it sees itself, before it looks at
//! policies, checks an answer, or installs anything.

use super::narrow::{SelectorLists, SelectorPair};
use alloc::vec::Vec;
use core::net::IpAddr;
use ikev2_wire::{Selector, TsPayload};
use ipsec_types::sa::OriginalAddresses;
use ipsec_types::{AddressRange, TrafficSelector};

/// The two ends of an IKE SA, by our own view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransportEnds {
    /// Our address; unspecified where the system chooses it, and then there is no transport mode.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// Whether we are behind a NAT.
    pub local_behind_nat: bool,
    /// Whether the peer is.
    pub remote_behind_nat: bool,
}

/// The peer's selectors for transport mode as we see them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenSelectors {
    /// With the addresses of our own view.
    pub selectors: SelectorLists,
    /// The addresses that the peer sent, where there is a NAT: what its checksums are made over.
    pub original: Option<OriginalAddresses>,
}

impl TransportEnds {
    /// What a policy has between the two ends themselves, each of them one address: what may be proposed or granted
    /// in transport mode. `None` where it has nothing there.
    #[must_use]
    pub fn policy(&self, policy: SelectorPair<'_>) -> Option<SelectorLists> {
        if self.local.is_unspecified() || self.remote.is_unspecified() {
            return None;
        }
        let within = |list: &[TrafficSelector], address| {
            let end = TrafficSelector::addresses(AddressRange::single(address));
            let mut found = Vec::new();
            for selector in list.iter().filter_map(|selector| selector.intersection(&end)) {
                if !found.contains(&selector) {
                    found.push(selector);
                }
            }
            found
        };
        let lists = SelectorLists {
            local: within(policy.local, self.local),
            remote: within(policy.remote, self.remote),
        };
        (!lists.local.is_empty() && !lists.remote.is_empty()).then_some(lists)
    }

    /// Replaces the addresses of an end behind a NAT by those that we see (§2.23.1), the same way for a request and
    /// for an answer.
    ///
    /// `None` where a NAT stands between and an end has other selectors than those of one address, which §2.23.1
    /// forbids: there would be no telling which of them the checksums are made over.
    #[must_use]
    pub fn seen(&self, sent: &SelectorLists) -> Option<SeenSelectors> {
        if !self.local_behind_nat && !self.remote_behind_nat {
            return Some(SeenSelectors { selectors: sent.clone(), original: None });
        }
        let original =
            OriginalAddresses { local: only_address(&sent.local)?, remote: only_address(&sent.remote)? };
        let replaced = |list: &[TrafficSelector], behind: bool, address| {
            let replace = |s: &TrafficSelector| TrafficSelector {
                addresses: if behind { AddressRange::single(address) } else { s.addresses },
                ..*s
            };
            list.iter().map(replace).collect()
        };
        let selectors = SelectorLists {
            local: replaced(&sent.local, self.local_behind_nat, self.local),
            remote: replaced(&sent.remote, self.remote_behind_nat, self.remote),
        };
        Some(SeenSelectors { selectors, original: Some(original) })
    }

    /// The same with the payloads of an answer, selectors of unknown types left where they are.
    #[must_use]
    pub fn seen_answer(
        &self,
        local: &TsPayload<'_>,
        remote: &TsPayload<'_>,
    ) -> Option<(TsPayload<'static>, TsPayload<'static>, Option<OriginalAddresses>)> {
        let SeenSelectors { selectors, original } = self.seen(&SelectorLists::known(local, remote))?;
        let replaced = |payload: &TsPayload<'_>, list: &[TrafficSelector]| {
            let mut known = list.iter().copied();
            let selectors = payload.selectors().map(|selector| match selector {
                Selector::Known(sent) => Selector::Known(known.next().unwrap_or(sent)),
                unknown => unknown,
            });
            TsPayload::from_selectors(selectors).ok()
        };
        Some((replaced(local, &selectors.local)?, replaced(remote, &selectors.remote)?, original))
    }
}

/// The one address of all the selectors, if there is one.
fn only_address(list: &[TrafficSelector]) -> Option<IpAddr> {
    let address = list.first()?.addresses.start();
    list.iter().all(|s| s.addresses == AddressRange::single(address)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipsec_types::PortRange;

    const IP1: &str = "10.0.0.1";
    const IPN1: &str = "198.51.100.1";
    const IPN2: &str = "203.0.113.2";
    const IP2: &str = "192.168.0.2";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn host(text: &str, protocol: u8, port: u16) -> TrafficSelector {
        let addresses = AddressRange::single(address(text));
        TrafficSelector { addresses, protocol, ports: PortRange::single(port) }
    }

    fn ends(local: &str, remote: &str, local_behind_nat: bool, remote_behind_nat: bool) -> TransportEnds {
        TransportEnds { local: address(local), remote: address(remote), local_behind_nat, remote_behind_nat }
    }

    /// The example of §2.23.1: client IP1 behind NAT A (IPN1), server IP2 behind NAT B (IPN2).
    #[test]
    fn the_worked_example_of_section_2_23_1() {
        let (client, server) = (ends(IP1, IPN2, true, true), ends(IP2, IPN1, true, true));
        // The client proposes IP1 and IPN2.
        let policy = [TrafficSelector { protocol: 6, ..TrafficSelector::ALL_V4 }];
        let proposed = client.policy(SelectorPair { local: &policy, remote: &policy }).unwrap();
        let single = |text| TrafficSelector { ports: PortRange::ANY, ..host(text, 6, 0) };
        assert_eq!((&proposed.local[..], &proposed.remote[..]), (&[single(IP1)][..], &[single(IPN2)][..]));
        // The server stores them and reads IPN1 and IP2; the client's side is its remote one.
        let got = SelectorLists { local: proposed.remote, remote: proposed.local };
        let at_server = server.seen(&got).unwrap();
        assert_eq!(at_server.selectors.remote, [single(IPN1)]);
        assert_eq!(at_server.selectors.local, [single(IP2)]);
        let original = OriginalAddresses { local: address(IPN2), remote: address(IP1) };
        assert_eq!(at_server.original, Some(original));
        // It answers IPN1 and IP2, which the client stores, and reads as IP1 and IPN2 again.
        let answer = SelectorLists { local: at_server.selectors.remote, remote: at_server.selectors.local };
        let at_client = client.seen(&answer).unwrap();
        assert_eq!(at_client.selectors.local, [single(IP1)]);
        assert_eq!(at_client.selectors.remote, [single(IPN2)]);
        let original = OriginalAddresses { local: address(IPN1), remote: address(IP2) };
        assert_eq!(at_client.original, Some(original));
    }

    #[test]
    fn only_the_end_behind_a_nat_is_replaced_and_ports_stay() {
        let sent = SelectorLists {
            local: [host(IPN2, 17, 53), host(IPN2, 6, 80)].to_vec(),
            remote: [host(IP1, 17, 1024)].to_vec(),
        };
        let remote_alone = ends(IPN2, IPN1, false, true).seen(&sent).unwrap();
        assert_eq!(remote_alone.selectors.local, sent.local);
        assert_eq!(remote_alone.selectors.remote, [host(IPN1, 17, 1024)]);
        let local_alone = ends(IP2, IP1, true, false).seen(&sent).unwrap();
        assert_eq!(local_alone.selectors.local, [host(IP2, 17, 53), host(IP2, 6, 80)]);
        assert_eq!(local_alone.selectors.remote, sent.remote);
        let none = ends(IPN2, IP1, false, false).seen(&sent).unwrap();
        assert_eq!((none.selectors, none.original), (sent, None));
    }

    #[test]
    fn several_addresses_of_one_end_cannot_go_through_a_nat() {
        let two = SelectorLists {
            local: [host(IP2, 6, 1)].to_vec(),
            remote: [host(IP1, 6, 1), host("10.0.0.9", 6, 1)].to_vec(),
        };
        let range = SelectorLists { remote: [TrafficSelector::ALL_V4].to_vec(), ..two.clone() };
        let empty = SelectorLists { remote: Vec::new(), ..two.clone() };
        for sent in [two, range, empty] {
            assert_eq!(ends(IP2, IPN1, false, true).seen(&sent), None, "{sent:?}");
            assert!(ends(IP2, IPN1, false, false).seen(&sent).is_some());
        }
    }

    #[test]
    fn a_policy_without_traffic_between_the_ends_has_no_transport_mode() {
        let net = |text| TrafficSelector::addresses(AddressRange::prefix(address(text), 16).unwrap());
        let (local, remote) = ([net("10.1.0.0")], [net("10.2.0.0")]);
        let policy = SelectorPair { local: &local, remote: &remote };
        assert_eq!(ends("192.0.2.1", "192.0.2.2", false, false).policy(policy), None);
        assert_eq!(ends("10.1.0.1", "192.0.2.2", false, false).policy(policy), None);
        assert!(ends("10.1.0.1", "10.2.0.1", false, false).policy(policy).is_some());
        let all = [TrafficSelector::ALL_V4];
        let policy = SelectorPair { local: &all, remote: &all };
        assert_eq!(ends("0.0.0.0", "192.0.2.2", false, false).policy(policy), None);
        assert_eq!(ends("2001:db8::1", "2001:db8::2", false, false).policy(policy), None);
    }
}
