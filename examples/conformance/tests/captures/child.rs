//! The keys of Child SAs (RFC 7296 §2.17), derived and compared with those that were logged.

use crate::coverage::Coverage;
use crate::ike_sa::{self, IkeSa, chosen_suite};
use crate::message::Plain;
use ikev2_core::Role;
use ikev2_core::contents::Contents;
use ikev2_core::keys::{ChildKeys, Nonces, child_keys};
use ikev2_core::negotiation;
use ikev2_wire::{EspSpi, KeMethod, NotifyType, SaPayload, TransformType, TsPayload};
use ipsec_conformance::{KeyFile, Label};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{SecretBytes, SequenceNumbers, TrafficSelector};
use std::net::IpAddr;

/// BEET's notify, a private number of strongSwan's.
const USE_BEET_MODE: NotifyType = NotifyType(40_961);

/// What an SA's packets carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carried {
    /// IP packets.
    Tunnel,
    /// What follows an IP header.
    Transport,
    /// What follows an IP header whose addresses the SA knows.
    Beet,
    /// AGGFRAG payloads (RFC 9347).
    AggFrag,
}

/// One direction of a Child SA.
#[derive(Clone, Debug)]
pub(crate) struct EspSa {
    pub(crate) spi: EspSpi,
    pub(crate) suite: CipherSuite,
    pub(crate) sequence_numbers: SequenceNumbers,
    pub(crate) carried: Carried,
    /// What its receiver's side receives for.
    pub(crate) local: Vec<TrafficSelector>,
    /// What its sender's side sends from.
    pub(crate) remote: Vec<TrafficSelector>,
    pub(crate) keys: SaKeys,
}

/// An exchange that made a Child SA. With EAP, its IKE_AUTH begins and ends in different messages.
pub(crate) struct ChildExchange<'m> {
    pub(crate) request: &'m Plain,
    pub(crate) answer: &'m Plain,
    /// Where it has a key exchange.
    pub(crate) shared: Option<&'m SecretBytes>,
}

/// The SPI that this payload's sender chose, in the proposal with this number.
fn spi_of(sa: &SaPayload<'_>, number: u8) -> EspSpi {
    let proposal = sa.proposals().find(|proposal| proposal.number() == number).unwrap();
    EspSpi::new(u32::from_be_bytes(proposal.spi().try_into().unwrap())).unwrap()
}

fn selectors(ts: Option<&TsPayload<'_>>) -> Vec<TrafficSelector> {
    ts.unwrap().selectors().map(|selector| *selector.known().unwrap()).collect()
}

fn carried(request: &Contents<'_>, answer: &Contents<'_>) -> Carried {
    let agreed = |ty| {
        let (asked, granted) = (request.notify(ty).is_some(), answer.notify(ty).is_some());
        assert_eq!(asked, granted, "{ty}");
        granted
    };
    match (agreed(NotifyType::USE_TRANSPORT_MODE), agreed(USE_BEET_MODE), agreed(NotifyType::USE_AGGFRAG)) {
        (false, false, false) => Carried::Tunnel,
        (true, false, false) => Carried::Transport,
        (false, true, false) => Carried::Beet,
        (false, false, true) => Carried::AggFrag,
        modes => panic!("{modes:?}"),
    }
}

/// Both directions of the Child SA that an exchange made; `None` where the IKE SA is childless.
pub(crate) fn made_by(
    sa: &IkeSa<'_>,
    exchange: &ChildExchange<'_>,
    coverage: &mut Coverage,
) -> Option<[EspSa; 2]> {
    let (request, answer) = (exchange.request.contents(), exchange.answer.contents());
    let (asked, chosen) = (request.sa.as_ref()?, answer.sa.as_ref()?);
    let suite = chosen_suite(chosen);
    // IKE_AUTH has no nonces: those of IKE_SA_INIT count (§2.17).
    let (nonces, kind) = match (request.nonce, answer.nonce) {
        (Some(ni), Some(nr)) => (
            Nonces { initiator: ni.as_bytes(), responder: nr.as_bytes() },
            negotiation::ChildExchange::CreateChildSa { ke_sent: request.ke.map(|ke| ke.method) },
        ),
        _ => (sa.agreement.nonces(), negotiation::ChildExchange::IkeAuth),
    };
    let ke = ike_sa::chosen(chosen, TransformType::KE).map(|(id, _)| KeMethod(id));
    assert_eq!(ke, answer.ke.map(|ke| ke.method));
    assert_eq!(ke.is_some(), exchange.shared.is_some());
    let keys = derive(sa, suite, exchange.shared, nonces);
    let (sn, _) = ike_sa::chosen(chosen, TransformType::SN).unwrap();
    let number = chosen.proposals().next().unwrap().number();

    let offered: Vec<_> = asked.proposals().map(|proposal| proposal.to_owned()).collect();
    let choice = negotiation::accept_esp(&offered, chosen, kind).unwrap();
    assert_eq!((choice.cipher, choice.ke, choice.number), (suite, ke, number));
    assert_eq!(choice.peer_spi, spi_of(chosen, number));
    coverage.choices += 1;
    let (i, r) = (selectors(answer.ts_i.as_ref()), selectors(answer.ts_r.as_ref()));
    let one = |spi, keys, local: &[_], remote: &[_]| EspSa {
        spi,
        suite,
        sequence_numbers: SequenceNumbers::from_transform_id(sn).unwrap(),
        carried: carried(&request, &answer),
        local: local.to_vec(),
        remote: remote.to_vec(),
        keys,
    };
    // Each end chose the SPI of the SA that it receives by.
    Some([
        one(spi_of(chosen, number), keys.initiator_to_responder, &r, &i),
        one(spi_of(asked, number), keys.responder_to_initiator, &i, &r),
    ])
}

fn derive(sa: &IkeSa<'_>, suite: CipherSuite, shared: Option<&SecretBytes>, nonces: Nonces<'_>) -> ChildKeys {
    let prf = sa.agreement.algorithms.prf;
    child_keys(prf, ike_sa::cipher(suite), &sa.final_keys.d, shared, nonces, &[]).unwrap()
}

/// The ESP SAs of the key file. Those whose exchange was opened were derived, and so is the first Child SA of an
/// IKE SA whose messages stay closed, for its nonces are those of IKE_SA_INIT; the others are taken as logged.
pub(crate) fn esp_sas(
    file: &KeyFile,
    made: Vec<EspSa>,
    closed: Option<(&IkeSa<'_>, IpAddr)>,
    coverage: &mut Coverage,
) -> Vec<EspSa> {
    let mut sas: Vec<EspSa> = Vec::new();
    for line in file.esp_sas() {
        let (suite, sequence_numbers) = (line.algorithms.suite, line.algorithms.sequence_numbers);
        if let Some(known) = sas.iter().find(|sa| sa.spi == line.spi) {
            // Logged by daemon and kernel, or twice.
            assert_eq!((known.suite, known.sequence_numbers), (suite, sequence_numbers));
            assert_eq!(known.keys, line.keys);
            continue;
        }
        if let Some(sa) = made.iter().find(|sa| sa.spi == line.spi) {
            assert_eq!((sa.suite, sa.sequence_numbers), (suite, sequence_numbers), "{}", line.spi);
            assert_eq!(sa.keys, line.keys, "{}", line.spi);
            coverage.esp_keys += 1;
            sas.push(sa.clone());
            continue;
        }
        let derived = closed.is_some_and(|(sa, initiator)| {
            let keys = derive(sa, suite, None, sa.agreement.nonces());
            let by_initiator = line.source == initiator;
            line.keys == if by_initiator { keys.initiator_to_responder } else { keys.responder_to_initiator }
        });
        coverage.esp_keys += usize::from(derived);
        coverage.logged_esp_keys += usize::from(!derived);
        sas.push(EspSa {
            spi: line.spi,
            suite,
            sequence_numbers,
            carried: Carried::Tunnel,
            local: vec![TrafficSelector::ALL_V4],
            remote: vec![TrafficSelector::ALL_V4],
            keys: line.keys.clone(),
        });
    }
    assert!(made.iter().all(|sa| sas.iter().any(|known| known.spi == sa.spi)), "an ESP SA has no line");
    sas
}

/// The shared secrets of CREATE_CHILD_SAs for Child SAs, in the order in which they were made.
pub(crate) fn shared_secrets<'f>(sa: &IkeSa<'f>) -> impl Iterator<Item = &'f SecretBytes> + use<'f> {
    sa.lines.all(0, Label::ChildKe)
}

/// The end that began an exchange.
pub(crate) fn beginner(request: &Plain) -> Role {
    crate::message::sender(&request.header)
}
