//! Events and counters as lines that a person reads.

use ikev2_core::{ChildSaInfo, Configuration, Endpoint, IkeSaInfo, NatStatus, Role};
use ipsec_esp::engine::Engine;
use ipsec_types::{Encapsulation, Mode, TrafficSelector};

/// `NAME, initiator, us a.example, peer b.example at 10.9.0.2:500, suite/PRF/KE, no NAT`.
#[must_use]
pub fn ike_sa(info: &IkeSaInfo) -> String {
    let IkeSaInfo { connection, local_id, .. } = info;
    let role = if info.role == Role::Initiator { "initiator" } else { "responder" };
    let peer = info.remote_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let suite = info.suite.map(|suite| suite.to_string());
    let methods = info.ke.into_iter().chain(info.additional.methods()).map(|method| method.to_string());
    let parts = suite.into_iter().chain(info.prf.map(|prf| prf.to_string())).chain(methods);
    let parts = parts.collect::<Vec<_>>().join("/");
    let nat = match info.nat {
        NatStatus { local: false, remote: false } => "no NAT",
        NatStatus { local: true, remote: false } => "we are behind a NAT",
        NatStatus { local: false, remote: true } => "the peer is behind a NAT",
        NatStatus { local: true, remote: true } => "both are behind NATs",
    };
    format!("{connection}, {role}, us {local_id}, peer {peer} at {}, {parts}, {nat}", info.path.remote)
}

/// `10.3.0.1; name servers 10.2.0.53; domains example.com`.
#[must_use]
pub fn configuration(configuration: &Configuration) -> String {
    fn list<T: ToString>(name: &str, items: impl Iterator<Item = T>) -> String {
        let items: Vec<_> = items.map(|item| item.to_string()).collect();
        if items.is_empty() { String::new() } else { format!("{name}{}", items.join(" ")) }
    }
    let domains = configuration.dns_domains();
    [
        list("", configuration.addresses()),
        list("; name servers ", configuration.dns()),
        list("; domains ", domains.iter().map(|domain| &domain.name)),
        list("; behind it ", configuration.subnets()),
    ]
    .concat()
}

/// `NAME, SPIs in c0ffee00 out c0ffee01, 10.1.0.0/24 <-> 10.2.0.0/24, suite, sequence numbers, ESP in UDP`, and the mode if
/// it is no tunnel.
#[must_use]
pub fn child_sa(name: &str, info: &ChildSaInfo) -> String {
    let ChildSaInfo { child, inbound, outbound, .. } = info;
    let list = |selectors: &[TrafficSelector]| {
        selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let ke: String =
        info.ke.into_iter().chain(info.additional.methods()).map(|method| format!("/{method}")).collect();
    let mode = if child.mode == Mode::Tunnel { String::new() } else { format!(", {} mode", child.mode) };
    let encapsulation = if child.encapsulation == Encapsulation::Udp { "ESP in UDP" } else { "raw ESP" };
    format!(
        "{name}, SPIs in {inbound} out {outbound}, {} <-> {}, {}{ke}, {}, {encapsulation}{mode}",
        list(&child.local),
        list(&child.remote),
        child.suite,
        child.sequence_numbers,
    )
}

/// What was carried and dropped since the start, a line each.
#[must_use]
pub fn statistics(endpoint: &Endpoint, engine: &Engine) -> Vec<String> {
    let sum = engine.statistics();
    let packets = [("in", &sum.inbound), ("out", &sum.outbound)].into_iter().map(|(direction, carried)| {
        let dropped: Vec<String> =
            carried.drops().map(|(reason, count)| format!("{reason} {count}")).collect();
        let dropped = if dropped.is_empty() { "none".into() } else { dropped.join(", ") };
        format!("packets {direction}: {}, {} octets; dropped: {dropped}", carried.packets, carried.octets)
    });
    let ike = endpoint.statistics();
    let messages = format!(
        "IKE datagrams in: {}, of them rejected {}; out: {}, of them repeats {}",
        ike.datagrams_received,
        ike.rejected_in_all(),
        ike.datagrams_sent,
        ike.repeats_sent
    );
    packets.chain([messages]).collect()
}
