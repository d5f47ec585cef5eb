//! A Child SA as fields of a state that moves: see [`ipsec_crypto::state`]. Where something was added since, the version
//! in front of a pair says so.

use ipsec_crypto::state::{StateError, StateReader, StateWriter};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{
    ChildSa, ChildSaId, ExpiryReason, GroupSa, Lifetimes, Limit, OriginalAddresses, PolicyId, SaKeys,
};
use ipsec_types::{
    AddressRange, Encapsulation, EncrId, EspSpi, IntegId, Mode, Path, PathKind, PortRange, SecretBytes,
    SequenceNumbers, TrafficSelector,
};

type Read<T> = Result<T, StateError>;

/// What a value is called: its place in the list, from 1.
fn put_one_of<T: PartialEq>(w: &mut StateWriter, list: &[T], value: &T) {
    let place = list.iter().position(|listed| listed == value);
    w.put_u8(place.map_or(0, |place| place as u8 + 1));
}

fn one_of<T: Copy>(r: &mut StateReader<'_>, list: &[T], what: &'static str) -> Read<T> {
    let at = r.at();
    let place = usize::from(r.u8()?).checked_sub(1);
    place.and_then(|place| list.get(place).copied()).ok_or(StateError::Value { at, what })
}

const MODES: [Mode; 3] = [Mode::Tunnel, Mode::Transport, Mode::Beet];
const ENCAPSULATIONS: [Encapsulation; 2] = [Encapsulation::None, Encapsulation::Udp];
const PATH_KINDS: [PathKind; 2] = [PathKind::Ike, PathKind::NatT];
const REASONS: [ExpiryReason; 5] = [
    ExpiryReason::Time,
    ExpiryReason::Octets,
    ExpiryReason::Packets,
    ExpiryReason::SequenceNumbers,
    ExpiryReason::CipherUsage,
];

pub(crate) fn put_reason(w: &mut StateWriter, reason: ExpiryReason) {
    put_one_of(w, &REASONS, &reason);
}

pub(crate) fn reason(r: &mut StateReader<'_>) -> Read<ExpiryReason> {
    one_of(r, &REASONS, "limit of an SA")
}

pub(crate) fn put_encapsulation(w: &mut StateWriter, encapsulation: Encapsulation) {
    put_one_of(w, &ENCAPSULATIONS, &encapsulation);
}

pub(crate) fn encapsulation(r: &mut StateReader<'_>) -> Read<Encapsulation> {
    one_of(r, &ENCAPSULATIONS, "encapsulation")
}

pub(crate) fn put_path(w: &mut StateWriter, path: &Path) {
    w.put_socket_address(path.local);
    w.put_socket_address(path.remote);
    put_one_of(w, &PATH_KINDS, &path.kind);
}

pub(crate) fn path(r: &mut StateReader<'_>) -> Read<Path> {
    let (local, remote) = (r.socket_address()?, r.socket_address()?);
    Ok(Path { local, remote, kind: one_of(r, &PATH_KINDS, "kind of path")? })
}

pub(crate) fn put_spi_and_keys(w: &mut StateWriter, spi: EspSpi, keys: &SaKeys) {
    w.put_u32(spi.get());
    w.put_octets(keys.encr.as_slice());
    w.put_octets(keys.integ.as_slice());
}

pub(crate) fn spi_and_keys(r: &mut StateReader<'_>) -> Read<(EspSpi, SaKeys)> {
    let at = r.at();
    let spi = EspSpi::new(r.u32()?).ok_or(StateError::Value { at, what: "SPI" })?;
    let encr = SecretBytes::copy_from(r.octets()?);
    Ok((spi, SaKeys { encr, integ: SecretBytes::copy_from(r.octets()?) }))
}

pub(crate) fn put_child(w: &mut StateWriter, child: &ChildSa) {
    let ChildSa { suite, lifetimes, .. } = child;
    w.put_u64(child.id.0);
    w.put_u64(child.policy.0);
    w.put_u16(suite.encr.0);
    w.put_option(suite.key_bits, StateWriter::put_u16);
    w.put_u16(suite.integ.0);
    put_one_of(w, &MODES, &child.mode);
    w.put_u16(child.sequence_numbers.transform_id());
    put_encapsulation(w, child.encapsulation);
    put_path(w, &child.path);
    w.put_list(&child.local, put_selector);
    w.put_list(&child.remote, put_selector);
    for Limit { soft, hard } in [lifetimes.seconds, lifetimes.octets, lifetimes.packets] {
        w.put_option(soft, StateWriter::put_u64);
        w.put_option(hard, StateWriter::put_u64);
    }
    w.put_option(child.original_addresses, |w, original| {
        w.put_address(original.local);
        w.put_address(original.remote);
    });
    w.put_bool(child.tfc_allowed);
    w.put_option(child.replaces, |w, id| w.put_u64(id.0));
    w.put_option(child.group, |w, group| {
        w.put_address(group.group);
        w.put_option(group.source, StateWriter::put_address);
        w.put_bool(group.preserves_source);
        w.put_bool(group.preserves_destination);
    });
}

pub(crate) fn child(r: &mut StateReader<'_>) -> Read<ChildSa> {
    let (id, policy) = (ChildSaId(r.u64()?), PolicyId(r.u64()?));
    let (encr, key_bits) = (EncrId(r.u16()?), r.option(StateReader::u16)?);
    let suite = CipherSuite { encr, key_bits, integ: IntegId(r.u16()?) };
    let mode = one_of(r, &MODES, "mode")?;
    let at = r.at();
    let numbers = SequenceNumbers::from_transform_id(r.u16()?);
    let sequence_numbers = numbers.ok_or(StateError::Value { at, what: "kind of sequence numbers" })?;
    let (encapsulation, path) = (encapsulation(r)?, path(r)?);
    let (local, remote) = (r.list(selector)?, r.list(selector)?);
    let mut limit = || -> Read<Limit> {
        Ok(Limit { soft: r.option(StateReader::u64)?, hard: r.option(StateReader::u64)? })
    };
    let lifetimes = Lifetimes { seconds: limit()?, octets: limit()?, packets: limit()? };
    let original_addresses =
        r.option(|r| Ok(OriginalAddresses { local: r.address()?, remote: r.address()? }))?;
    Ok(ChildSa {
        id,
        policy,
        suite,
        mode,
        sequence_numbers,
        encapsulation,
        path,
        local,
        remote,
        lifetimes,
        original_addresses,
        tfc_allowed: r.bool()?,
        replaces: r.option(StateReader::u64)?.map(ChildSaId),
        group: r.option(|r| {
            let (group, source) = (r.address()?, r.option(StateReader::address)?);
            Ok(GroupSa { group, source, preserves_source: r.bool()?, preserves_destination: r.bool()? })
        })?,
    })
}

fn put_selector(w: &mut StateWriter, selector: &TrafficSelector) {
    let TrafficSelector { addresses, protocol, ports } = selector;
    w.put_address(addresses.start());
    w.put_address(addresses.end());
    w.put_u8(*protocol);
    w.put_u16(ports.start());
    w.put_u16(ports.end());
}

fn selector(r: &mut StateReader<'_>) -> Read<TrafficSelector> {
    let at = r.at();
    let range = AddressRange::new(r.address()?, r.address()?);
    let addresses = range.map_err(|_| StateError::Value { at, what: "range of addresses" })?;
    let protocol = r.u8()?;
    let at = r.at();
    let range = PortRange::new(r.u16()?, r.u16()?);
    let ports = range.map_err(|_| StateError::Value { at, what: "range of ports" })?;
    Ok(TrafficSelector { addresses, protocol, ports })
}
