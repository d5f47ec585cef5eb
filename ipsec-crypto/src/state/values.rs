//! The values that IKE and ESP both speak of, as fields of a state. Each is taken apart to its last field when it is
//! written, so that one that it gets later can't be left out by oversight.

use super::{StateError, StateReader, StateWriter};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{
    ChildSa, ChildSaId, GroupSa, Lifetimes, Limit, OriginalAddresses, PacketSelectors, PolicyId, SaKeys,
};
use ipsec_types::{
    AddressRange, Encapsulation, EncrId, EspSpi, IkeSpi, IntegId, Mode, Path, PathKind, PortRange,
    SecretBytes, SequenceNumbers, TrafficSelector,
};

type Read<T> = Result<T, StateError>;

const MODES: [Mode; 3] = [Mode::Tunnel, Mode::Transport, Mode::Beet];
const ENCAPSULATIONS: [Encapsulation; 2] = [Encapsulation::None, Encapsulation::Udp];
const PATH_KINDS: [PathKind; 2] = [PathKind::Ike, PathKind::NatT];

impl StateWriter {
    /// A value by its place in the list of all that there are, from 1; at most 255 of them.
    pub fn put_one_of<T: PartialEq>(&mut self, list: &[T], value: &T) {
        let place = list.iter().position(|listed| listed == value);
        self.put_u8(place.map_or(0, |place| place as u8 + 1));
    }

    /// The SPI of an ESP SA.
    pub fn put_esp_spi(&mut self, spi: EspSpi) {
        self.put_u32(spi.get());
    }

    /// The SPI of an IKE SA.
    pub fn put_ike_spi(&mut self, spi: IkeSpi) {
        self.put_u64(spi.get());
    }

    /// The keys of one direction.
    pub fn put_keys(&mut self, keys: &SaKeys) {
        let SaKeys { encr, integ } = keys;
        self.put_octets(encr.as_slice());
        self.put_octets(integ.as_slice());
    }

    /// A cipher suite.
    pub fn put_suite(&mut self, suite: CipherSuite) {
        let CipherSuite { encr, key_bits, integ } = suite;
        self.put_u16(encr.0);
        self.put_option(key_bits, Self::put_u16);
        self.put_u16(integ.0);
    }

    /// Whether ESP goes in UDP.
    pub fn put_encapsulation(&mut self, encapsulation: Encapsulation) {
        self.put_one_of(&ENCAPSULATIONS, &encapsulation);
    }

    /// A path.
    pub fn put_path(&mut self, path: &Path) {
        let Path { local, remote, kind } = path;
        self.put_socket_address(*local);
        self.put_socket_address(*remote);
        self.put_one_of(&PATH_KINDS, kind);
    }

    /// A traffic selector.
    pub fn put_selector(&mut self, selector: &TrafficSelector) {
        let TrafficSelector { addresses, protocol, ports } = selector;
        self.put_address(addresses.start());
        self.put_address(addresses.end());
        self.put_u8(*protocol);
        self.put_u16(ports.start());
        self.put_u16(ports.end());
    }

    /// What asked for an SA.
    pub fn put_packet_selectors(&mut self, packet: &PacketSelectors) {
        let PacketSelectors { source, destination } = packet;
        self.put_selector(source);
        self.put_selector(destination);
    }

    /// A Child SA, without keys.
    pub fn put_child_sa(&mut self, child: &ChildSa) {
        let ChildSa {
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
            tfc_allowed,
            replaces,
            group,
        } = child;
        self.put_u64(id.0);
        self.put_u64(policy.0);
        self.put_suite(*suite);
        self.put_one_of(&MODES, mode);
        self.put_u16(sequence_numbers.transform_id());
        self.put_encapsulation(*encapsulation);
        self.put_path(path);
        self.put_list(local, Self::put_selector);
        self.put_list(remote, Self::put_selector);
        let Lifetimes { seconds, octets, packets } = lifetimes;
        for Limit { soft, hard } in [seconds, octets, packets] {
            self.put_option(*soft, Self::put_u64);
            self.put_option(*hard, Self::put_u64);
        }
        self.put_option(*original_addresses, |w, OriginalAddresses { local, remote }| {
            w.put_address(local);
            w.put_address(remote);
        });
        self.put_bool(*tfc_allowed);
        self.put_option(*replaces, |w, id| w.put_u64(id.0));
        self.put_option(*group, |w, group| {
            let GroupSa { group, source, preserves_source, preserves_destination } = group;
            w.put_address(group);
            w.put_option(source, Self::put_address);
            w.put_bool(preserves_source);
            w.put_bool(preserves_destination);
        });
    }
}

impl StateReader<'_> {
    /// One of a list.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`], as each of these has.
    pub fn one_of<T: Copy>(&mut self, list: &[T], what: &'static str) -> Read<T> {
        let at = self.at();
        let place = usize::from(self.u8()?).checked_sub(1);
        place.and_then(|place| list.get(place).copied()).ok_or(StateError::Value { at, what })
    }

    /// The SPI of an ESP SA.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn esp_spi(&mut self) -> Read<EspSpi> {
        let at = self.at();
        EspSpi::new(self.u32()?).ok_or(StateError::Value { at, what: "SPI" })
    }

    /// The SPI of an IKE SA.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn ike_spi(&mut self) -> Read<IkeSpi> {
        let at = self.at();
        IkeSpi::new(self.u64()?).ok_or(StateError::Value { at, what: "SPI" })
    }

    /// The keys of one direction.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn keys(&mut self) -> Read<SaKeys> {
        let encr = SecretBytes::copy_from(self.octets()?);
        Ok(SaKeys { encr, integ: SecretBytes::copy_from(self.octets()?) })
    }

    /// A cipher suite.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn suite(&mut self) -> Read<CipherSuite> {
        let (encr, key_bits) = (EncrId(self.u16()?), self.option(Self::u16)?);
        Ok(CipherSuite { encr, key_bits, integ: IntegId(self.u16()?) })
    }

    /// Whether ESP goes in UDP.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn encapsulation(&mut self) -> Read<Encapsulation> {
        self.one_of(&ENCAPSULATIONS, "encapsulation")
    }

    /// A path.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn path(&mut self) -> Read<Path> {
        let (local, remote) = (self.socket_address()?, self.socket_address()?);
        Ok(Path { local, remote, kind: self.one_of(&PATH_KINDS, "kind of path")? })
    }

    /// A traffic selector.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn selector(&mut self) -> Read<TrafficSelector> {
        let at = self.at();
        let range = AddressRange::new(self.address()?, self.address()?);
        let addresses = range.map_err(|_| StateError::Value { at, what: "range of addresses" })?;
        let protocol = self.u8()?;
        let at = self.at();
        let range = PortRange::new(self.u16()?, self.u16()?);
        let ports = range.map_err(|_| StateError::Value { at, what: "range of ports" })?;
        Ok(TrafficSelector { addresses, protocol, ports })
    }

    /// What asked for an SA.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn packet_selectors(&mut self) -> Read<PacketSelectors> {
        Ok(PacketSelectors { source: self.selector()?, destination: self.selector()? })
    }

    /// A Child SA, without keys.
    ///
    /// # Errors
    /// [`StateError::Truncated`], [`StateError::Value`].
    pub fn child_sa(&mut self) -> Read<ChildSa> {
        let (id, policy) = (ChildSaId(self.u64()?), PolicyId(self.u64()?));
        let suite = self.suite()?;
        let mode = self.one_of(&MODES, "mode")?;
        let at = self.at();
        let numbers = SequenceNumbers::from_transform_id(self.u16()?);
        let sequence_numbers = numbers.ok_or(StateError::Value { at, what: "kind of sequence numbers" })?;
        let (encapsulation, path) = (self.encapsulation()?, self.path()?);
        let (local, remote) = (self.list(Self::selector)?, self.list(Self::selector)?);
        let mut limit =
            || -> Read<Limit> { Ok(Limit { soft: self.option(Self::u64)?, hard: self.option(Self::u64)? }) };
        let lifetimes = Lifetimes { seconds: limit()?, octets: limit()?, packets: limit()? };
        let original_addresses =
            self.option(|r| Ok(OriginalAddresses { local: r.address()?, remote: r.address()? }))?;
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
            tfc_allowed: self.bool()?,
            replaces: self.option(Self::u64)?.map(ChildSaId),
            group: self.option(|r| {
                let (group, source) = (r.address()?, r.option(Self::address)?);
                Ok(GroupSa { group, source, preserves_source: r.bool()?, preserves_destination: r.bool()? })
            })?,
        })
    }
}
