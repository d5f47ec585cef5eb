//! What an IKE SA may touch beyond itself, lent for the length of one call.

use crate::config::EndpointConfig;
use crate::connections::ConnectionIndex;
use crate::error::{Failure, Rejection};
use crate::establish::half::Half;
use crate::establish::init;
use crate::establish::initiator::InitAnswer;
use crate::establish::secrets::Agreement;
use crate::event::{Event, IkeSaHandle, Transmit};
use crate::exchange::datagram::Datagram;
use crate::exchange::exchanges::Ends;
use crate::exchange::fragment::{Arrival, Opened, Reception};
use crate::exchange::outgoing::Outgoing;
use crate::exchange::protect::MessageHead;
use crate::keylog;
use crate::keys::IkeKeys;
use crate::observe::MessageDirection;
use crate::rate::Bucket;
use crate::sa::peers::Peers;
use crate::stats::{Statistics, count};
use crate::trace;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Display;
use core::slice;
use core::time::Duration;
use ikev2_wire::codes::KeMethod;
use ikev2_wire::print::Tree;
use ikev2_wire::{Header, Message, NotifyPayload, Payload, Payloads, Proposal};
use ipsec_crypto::{KeyExchangeMethod, KxResponse, RandomError, SecureRandom};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, Limit, SaKeys};
use ipsec_types::{EspSpi, IkeSpi, Instant, Path, SecretBytes};

/// What waits to be polled.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub transmits: VecDeque<Transmit>,
    pub events: VecDeque<Event>,
}

impl Outbox {
    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Whether as much waits as the configuration allows.
    pub(crate) fn is_full(&self, config: &EndpointConfig) -> bool {
        self.events.len() >= config.max_events || self.transmits.len() >= config.max_events
    }
}

/// The first of so many random values that is usable. A generator that gives none has failed, whatever it says.
fn draw<const N: usize, T>(
    random: &mut dyn SecureRandom,
    tries: usize,
    usable: impl Fn([u8; N]) -> Option<T>,
) -> Result<T, RandomError> {
    for _ in 0..tries {
        let mut octets = [0; N];
        random.fill(&mut octets)?;
        if let Some(value) = usable(octets) {
            return Ok(value);
        }
    }
    Err(RandomError)
}

/// The IKE SPIs that we receive by, those of generations to come and gone included.
#[derive(Debug, Default)]
pub(crate) struct IkeSpis(BTreeMap<IkeSpi, IkeSaHandle>);

impl IkeSpis {
    /// Whose it is.
    pub(crate) fn owner(&self, spi: IkeSpi) -> Option<IkeSaHandle> {
        self.0.get(&spi).copied()
    }

    /// One that is not in use, drawn at random.
    pub(crate) fn allocate(
        &mut self,
        random: &mut dyn SecureRandom,
        owner: IkeSaHandle,
    ) -> Result<IkeSpi, RandomError> {
        // 64 random bits meet by accident once in ages.
        let spi = draw(random, 8, |octets| {
            IkeSpi::new(u64::from_be_bytes(octets)).filter(|spi| !self.0.contains_key(spi))
        })?;
        self.0.insert(spi, owner);
        Ok(spi)
    }

    pub(crate) fn release(&mut self, spi: IkeSpi) {
        self.0.remove(&spi);
    }
}

/// The names of Child SAs and the SPIs that we receive by.
#[derive(Debug, Default)]
pub(crate) struct ChildNames {
    next_id: u64,
    inbound: BTreeSet<EspSpi>,
    owners: BTreeMap<ChildSaId, IkeSaHandle>,
}

impl ChildNames {
    /// The IKE SA that an installed Child SA belongs to.
    pub(crate) fn owner(&self, id: ChildSaId) -> Option<IkeSaHandle> {
        self.owners.get(&id).copied()
    }

    pub(crate) fn own(&mut self, id: ChildSaId, sa: IkeSaHandle) {
        self.owners.insert(id, sa);
    }

    pub(crate) fn disown(&mut self, id: ChildSaId) {
        self.owners.remove(&id);
    }

    /// A name that was never used, and an SPI that is not in use, drawn at random.
    pub(crate) fn allocate(
        &mut self,
        random: &mut dyn SecureRandom,
    ) -> Result<(ChildSaId, EspSpi), RandomError> {
        let spi = draw(random, 64, |octets| {
            let spi = EspSpi::new(u32::from_be_bytes(octets))?;
            (!spi.is_reserved() && !self.inbound.contains(&spi)).then_some(spi)
        })?;
        self.inbound.insert(spi);
        self.next_id = self.next_id.saturating_add(1);
        Ok((ChildSaId(self.next_id), spi))
    }
}

/// Lent to an IKE SA for one call.
pub(crate) struct Context<'a> {
    pub now: Instant,
    pub config: &'a EndpointConfig,
    pub connections: &'a ConnectionIndex,
    pub random: &'a mut dyn SecureRandom,
    pub out: &'a mut Outbox,
    pub statistics: &'a mut Statistics,
    pub names: &'a mut ChildNames,
    pub ike_spis: &'a mut IkeSpis,
    pub peers: &'a mut Peers,
    /// IKE SAs that must give way to one that was just established.
    pub give_way: &'a mut Vec<IkeSaHandle>,
    /// The budget for what is expensive and done for peers that are not authenticated.
    pub operations: &'a mut Bucket,
}

impl Context<'_> {
    /// How a message comes in by this path.
    pub(crate) fn reception(&self, path: Path) -> Reception<'_> {
        Reception { now: self.now, path, limits: &self.config.reassembly }
    }

    /// The algorithm of a key exchange method.
    pub(crate) fn key_exchange(&self, method: KeMethod) -> Result<&'static dyn KeyExchangeMethod, Failure> {
        let found = self.config.crypto.key_exchange(method);
        found.ok_or_else(|| Failure::Algorithm(method.to_string()))
    }

    /// Our half of a key exchange by the first of these proposals that has one.
    pub(crate) fn half(&mut self, offered: &[Proposal]) -> Result<Option<Half>, Failure> {
        Half::first(self.config.crypto, self.random, offered)
    }

    /// Another half, by the method that INVALID_KE_PAYLOAD names (§1.3): as often as a peer may let us start over.
    pub(crate) fn other_half(
        &mut self,
        offered: &[Proposal],
        sent: Option<KeMethod>,
        wanted: KeMethod,
        retries: &mut u32,
    ) -> Result<Half, Failure> {
        if *retries >= self.config.max_init_retries {
            return Err(Failure::TooManyRetries(*retries));
        }
        let half = Half::other(self.config.crypto, self.random, offered, sent, wanted)?;
        *retries = retries.saturating_add(1);
        Ok(half)
    }

    /// The shared secret of our half and the peer's answer.
    pub(crate) fn finish(&mut self, half: &Half, peer: &[u8]) -> Result<SecretBytes, Failure> {
        let method = half.method;
        count(&mut self.statistics.key_exchanges);
        half.pending.finish(peer).map_err(|error| Failure::KeyExchange { method, error })
    }

    /// Our answer to the peer's half, and the shared secret.
    pub(crate) fn respond(&mut self, method: KeMethod, peer: &[u8]) -> Result<KxResponse, Failure> {
        let algorithm = self.key_exchange(method)?;
        count(&mut self.statistics.key_exchanges);
        algorithm.respond(self.random, peer).map_err(|error| Failure::KeyExchange { method, error })
    }

    /// Whether the budget has room for so many expensive operations.
    pub(crate) fn affords(&self, operations: u32) -> bool {
        self.operations.left(self.now, self.config.operations_per_second()) >= operations
    }

    /// Takes an expensive operation out of the budget.
    pub(crate) fn spend(&mut self) {
        self.operations.take(self.now, self.config.operations_per_second());
    }

    /// Sends a message for the first time.
    pub(crate) fn transmit(&mut self, path: Path, message: &Outgoing) {
        if let Outgoing::Fragments(_) = message {
            count(&mut self.statistics.messages_fragmented);
        }
        self.push_datagrams(path, message.datagrams(), false);
    }

    fn push_datagrams(&mut self, path: Path, datagrams: &[Datagram], again: bool) {
        for datagram in datagrams {
            trace::sent(&path, datagram.message(), again);
            self.push_transmit(path, datagram.for_path(path.kind));
        }
    }

    /// Queues a datagram. What nobody polls is lost when the queue is full, as a network would lose it.
    pub(crate) fn push_transmit(&mut self, path: Path, datagram: Bytes) {
        if self.out.transmits.len() >= self.config.max_events {
            count(&mut self.statistics.transmits_lost);
            return;
        }
        count(&mut self.statistics.datagrams_sent);
        self.out.transmits.push_back(Transmit { path, datagram });
    }

    /// Sends an unprotected message with one notify.
    pub(crate) fn send_notify(&mut self, path: Path, head: &MessageHead, notify: NotifyPayload<'_>) {
        let payloads = [Payload::Notify(notify)];
        // A notify of ours is never too long for its length field.
        if let Ok(datagram) = init::plain(head, &payloads) {
            self.send_plain(path, &datagram);
        }
    }

    /// Sends a message once more.
    pub(crate) fn transmit_again(&mut self, path: Path, message: &Outgoing) {
        count(&mut self.statistics.repeats_sent);
        self.observe_outgoing(MessageDirection::Repeated, &path, message.datagrams(), &"");
        self.push_datagrams(path, message.datagrams(), true);
    }

    pub(crate) fn release_spi(&mut self, spi: EspSpi) {
        self.names.inbound.remove(&spi);
    }

    /// Sends an unprotected message for the first time.
    pub(crate) fn send_plain(&mut self, path: Path, datagram: &Datagram) {
        if self.config.hooks.observer.is_some()
            && let Ok(message) = Message::parse(datagram.message())
        {
            let tree = Tree::new(message.payloads());
            self.observe_outgoing(MessageDirection::Sent, &path, slice::from_ref(datagram), &tree);
        }
        self.push_datagrams(path, slice::from_ref(datagram), false);
    }

    /// Shows a received message without protection to the observer, if there is one.
    pub(crate) fn observe_plain(&self, path: Path, message: &Message<'_>) {
        self.observe_received(&path, message, message.as_bytes().len(), message.payloads());
    }

    /// Shows a received message to the observer, if there is one.
    fn observe_received(&self, path: &Path, message: &Message<'_>, octets: usize, payloads: Payloads<'_>) {
        if self.config.hooks.observer.is_some() {
            let tree = Tree::new(payloads);
            self.observe(MessageDirection::Received, path, message.header(), octets, &tree);
        }
    }

    /// Counts a message that was opened or could not be, and shows it to the observer, if there is one.
    pub(crate) fn opened(&mut self, path: &Path, message: &Message<'_>, opened: &Opened<'_>) {
        // Fragments are refused for many reasons, most of them before anything is decrypted.
        if matches!(opened, Ok(_) | Err(Rejection::IntegrityCheck)) {
            count(&mut self.statistics.decryptions);
        }
        let arrived = match opened {
            Ok(Arrival::Message(arrived)) => arrived,
            Ok(Arrival::Fragment) => return count(&mut self.statistics.fragments_received),
            Err(_) => return,
        };
        let octets = match arrived.fragments {
            Some(fragments) => {
                count(&mut self.statistics.fragments_received);
                count(&mut self.statistics.messages_reassembled);
                fragments.octets
            }
            None => message.as_bytes().len(),
        };
        if let Ok(plaintext) = &arrived.plaintext
            && let Ok(payloads) = plaintext.payloads()
        {
            self.observe_received(path, message, octets, payloads);
        }
    }

    /// Counts the key exchange that an IKE_SA_INIT answer caused.
    pub(crate) fn count_key_exchange<P>(&mut self, answer: &Result<InitAnswer<P>, Rejection>) {
        if matches!(answer, Ok(InitAnswer::Secured(_)) | Err(Rejection::KeyExchange(_))) {
            count(&mut self.statistics.key_exchanges);
        }
    }

    pub(crate) fn nonce(&mut self) -> Result<Vec<u8>, RandomError> {
        init::nonce(self.random)
    }

    /// A random number below `bound`, or 0 where there is no randomness: what it is for is never a secret.
    fn below(&mut self, bound: u64) -> u64 {
        let mut octets = [0; 8];
        match self.random.fill(&mut octets) {
            // The product's upper half is spread evenly enough over so small a range.
            Ok(()) => ((u128::from(u64::from_be_bytes(octets)) * u128::from(bound)) >> 64) as u64,
            Err(_) => 0,
        }
    }

    /// A pause, made longer at random by up to so many thousandths, so that two ends do not meet again.
    pub(crate) fn lengthened(&mut self, pause: Duration, permille: u16) -> Duration {
        let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let most = (u128::from(nanos) * u128::from(permille) / 1_000).min(u128::from(u64::MAX)) as u64;
        Duration::from_nanos(nanos.saturating_add(self.below(most.saturating_add(1))))
    }

    /// A time, made shorter at random by up to a tenth.
    pub(crate) fn shortened(&mut self, time: Duration) -> Duration {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos.saturating_sub(self.below((nanos / 10).saturating_add(1))))
    }

    /// Lifetimes whose soft limits come earlier at random by up to so many thousandths (§2.8).
    pub(crate) fn jittered(&mut self, lifetimes: Lifetimes, permille: u16) -> Lifetimes {
        let mut earlier = |limit: Limit| Limit {
            soft: limit.soft.map(|soft| {
                let most = (u128::from(soft) * u128::from(permille.min(1_000)) / 1_000) as u64;
                soft - self.below(most.saturating_add(1)).min(soft)
            }),
            ..limit
        };
        Lifetimes {
            seconds: earlier(lifetimes.seconds),
            octets: earlier(lifetimes.octets),
            packets: earlier(lifetimes.packets),
        }
    }

    pub(crate) fn observe_sent(&self, path: &Path, message: &Outgoing, payloads: &[Payload<'_>]) {
        if self.config.hooks.observer.is_none() {
            return;
        }
        let mut octets = Vec::new();
        // What was sent a moment ago encodes and parses; an observer is shown nothing else.
        if let Ok(first) = ikev2_wire::encode_chain(payloads, &mut octets)
            && let Ok(payloads) = Payloads::parse(first, &octets, 0)
        {
            let tree = Tree::new(payloads);
            self.observe_outgoing(MessageDirection::Sent, path, message.datagrams(), &tree);
        }
    }

    /// One message, in as many datagrams.
    fn observe_outgoing(
        &self,
        direction: MessageDirection,
        path: &Path,
        datagrams: &[Datagram],
        payloads: &dyn Display,
    ) {
        if let Some(Ok(header)) = datagrams.first().map(|first| Header::parse(first.message())) {
            let octets = datagrams.iter().map(|datagram| datagram.message().len()).sum();
            self.observe(direction, path, &header, octets, payloads);
        }
    }

    /// Shows the keys of an IKE SA to the key log, if there is one.
    pub(crate) fn log_ike_keys(&self, agreement: &Agreement, keys: &IkeKeys) {
        self.log_keys_of(agreement.ends, agreement.algorithms.cipher.suite(), keys);
    }

    /// The same of the IKE SA with these ends.
    pub(crate) fn log_keys_of(&self, ends: Ends, suite: CipherSuite, keys: &IkeKeys) {
        if let Some(log) = &self.config.hooks.key_log {
            let Ends { initiator_spi, responder_spi, .. } = ends;
            log.ike(&keylog::ike_line(initiator_spi, responder_spi, suite, keys));
        }
    }

    /// Shows the keys of a Child SA to the key log, if there is one.
    pub(crate) fn log_esp_keys(&self, sa: &ChildSa, inbound: (EspSpi, &SaKeys), outbound: (EspSpi, &SaKeys)) {
        if let Some(log) = &self.config.hooks.key_log {
            let (local, remote) = (sa.path.local_ip(), sa.path.remote_ip());
            for (source, destination, (spi, keys)) in [(remote, local, inbound), (local, remote, outbound)] {
                log.esp(&keylog::esp_line(source, destination, spi, sa.suite, keys, sa.sequence_numbers));
            }
        }
    }

    /// Shows a message to the observer, if there is one.
    pub(crate) fn observe(
        &self,
        direction: MessageDirection,
        path: &Path,
        header: &Header,
        octets: usize,
        payloads: &dyn Display,
    ) {
        if let Some(observer) = &self.config.hooks.observer {
            observer.message(direction, path, header, octets, payloads);
        }
    }
}
