//! What an SA may touch beyond itself, lent for the length of one call, whatever the protocol.

use super::spis::IkeSpis;
use crate::config::EndpointConfig;
use crate::error::{Bound, Rejection};
use crate::establish::init;
use crate::establish::initiator::InitAnswer;
use crate::establish::secrets::Agreement;
use crate::event::{IkeSaHandle, Transmit};
use crate::exchange::datagram::Datagram;
use crate::exchange::exchanges::Ends;
use crate::exchange::fragment::{Arrival, Opened, Reception};
use crate::exchange::outgoing::Outgoing;
use crate::exchange::protect::MessageHead;
use crate::keylog;
use crate::keys::IkeKeys;
use crate::observe::MessageDirection;
use crate::rate::Bucket;
use crate::stats::{Statistics, count};
use crate::trace;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::{self, Display};
use core::slice;
use ikev2_wire::print::Tree;
use ikev2_wire::{Header, Message, NotifyPayload, Payload, Payloads};
use ipsec_crypto::{RandomError, SecureRandom};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{IkeSpi, Instant, Path};

/// What waits to be polled.
#[derive(Debug)]
pub(super) struct Outbox<E> {
    pub(super) transmits: VecDeque<Transmit>,
    pub(super) events: VecDeque<E>,
}

impl<E> Default for Outbox<E> {
    fn default() -> Self {
        Self { transmits: VecDeque::new(), events: VecDeque::new() }
    }
}

impl<E> Outbox<E> {
    /// Whether as much waits as the configuration allows.
    pub(super) fn is_full(&self, config: &EndpointConfig) -> bool {
        self.events.len() >= config.max_events || self.transmits.len() >= config.max_events
    }
}

/// Lent to an SA for one call. `E` is what the protocol tells the embedder.
pub struct Services<'a, E> {
    /// The time of the call.
    pub now: Instant,
    /// The bounds, the algorithms and the hooks.
    pub config: &'a EndpointConfig,
    /// The only source of randomness.
    pub random: &'a mut dyn SecureRandom,
    /// What is counted.
    pub statistics: &'a mut Statistics,
    pub(super) out: &'a mut Outbox<E>,
    pub(super) ike_spis: &'a mut IkeSpis,
    pub(super) give_way: &'a mut Vec<IkeSaHandle>,
    pub(super) operations: &'a mut Bucket,
    /// Why a half-open SA may keep nothing more, if so.
    pub(super) crowded: Option<Bound>,
}

impl<E> fmt::Debug for Services<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("now", &self.now).finish_non_exhaustive()
    }
}

impl<E> Services<'_, E> {
    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> Services<'_, E> {
        Services {
            now: self.now,
            config: self.config,
            random: &mut *self.random,
            statistics: &mut *self.statistics,
            out: &mut *self.out,
            ike_spis: &mut *self.ike_spis,
            give_way: &mut *self.give_way,
            operations: &mut *self.operations,
            crowded: self.crowded,
        }
    }

    /// How a message comes in by this path.
    #[must_use]
    pub fn reception(&self, path: Path) -> Reception<'_> {
        Reception { now: self.now, path, limits: &self.config.reassembly, crowded: self.crowded }
    }

    /// Tells the embedder.
    pub fn event(&mut self, event: E) {
        self.out.events.push_back(event);
    }

    /// Another SA must end because of this one: it is told when this call is over
    /// ([`Protocol::give_way`](super::Protocol::give_way)).
    pub fn end_other(&mut self, other: IkeSaHandle) {
        self.give_way.push(other);
    }

    /// One more IKE SPI by which messages reach this SA, as a rekey needs it. From then on it is among
    /// [`Association::local_spis`](super::Association::local_spis), or is given back.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn allocate_ike_spi(&mut self, owner: IkeSaHandle) -> Result<IkeSpi, RandomError> {
        self.ike_spis.allocate(&mut *self.random, owner)
    }

    /// An IKE SPI of an SA that came from elsewhere, if it is not in use; as [`Services::allocate_ike_spi`] otherwise.
    #[must_use = "it may be in use"]
    pub fn claim_ike_spi(&mut self, spi: IkeSpi, owner: IkeSaHandle) -> bool {
        self.ike_spis.claim(spi, owner)
    }

    /// Gives an IKE SPI back: no message reaches anything by it any more.
    pub fn release_ike_spi(&mut self, spi: IkeSpi) {
        self.ike_spis.release(spi);
    }

    /// Whether the budget for what is expensive, and done for peers that are not authenticated, has room for so
    /// many operations.
    #[must_use]
    pub fn affords(&self, operations: u32) -> bool {
        self.operations.left(self.now, self.config.operations_per_second()) >= operations
    }

    /// Takes an expensive operation out of that budget.
    pub fn spend(&mut self) {
        self.operations.take(self.now, self.config.operations_per_second());
    }

    /// Sends a protected message for the first time. [`Services::observe_sent`] shows it.
    pub fn transmit(&mut self, path: Path, message: &Outgoing) {
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
    pub(super) fn send_notify(&mut self, path: Path, head: &MessageHead, notify: NotifyPayload<'_>) {
        let payloads = [Payload::Notify(notify)];
        // A notify of ours is never too long for its length field.
        if let Ok(datagram) = init::plain(head, &payloads) {
            self.send_plain(path, &datagram);
        }
    }

    /// Sends a message once more, and shows it.
    pub fn transmit_again(&mut self, path: Path, message: &Outgoing) {
        count(&mut self.statistics.repeats_sent);
        self.observe_outgoing(MessageDirection::Repeated, &path, message.datagrams(), &"");
        self.push_datagrams(path, message.datagrams(), true);
    }

    /// Sends an unprotected message for the first time, and shows it.
    pub fn send_plain(&mut self, path: Path, datagram: &Datagram) {
        if self.config.hooks.observer.is_some()
            && let Ok(message) = Message::parse(datagram.message())
        {
            let tree = Tree::new(message.payloads());
            self.observe_outgoing(MessageDirection::Sent, &path, slice::from_ref(datagram), &tree);
        }
        self.push_datagrams(path, slice::from_ref(datagram), false);
    }

    /// Shows a received message without protection to the observer, if there is one.
    pub fn observe_plain(&self, path: Path, message: &Message<'_>) {
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
    pub fn opened(&mut self, path: &Path, message: &Message<'_>, opened: &Opened<'_>) {
        // Fragments are refused for many reasons, most of them before anything is decrypted.
        if matches!(opened, Ok(_) | Err(Rejection::IntegrityCheck)) {
            count(&mut self.statistics.decryptions);
        }
        let arrived = match opened {
            Ok(Arrival::Message(arrived)) => arrived,
            Ok(Arrival::Fragment) => return count(&mut self.statistics.fragments_received),
            Err(_) => return,
        };
        let octets = match &arrived.fragments {
            Some(fragments) => {
                count(&mut self.statistics.fragments_received);
                count(&mut self.statistics.messages_reassembled);
                fragments.octets
            }
            None => message.as_bytes().len(),
        };
        if self.config.hooks.observer.is_some()
            && let Ok(plaintext) = &arrived.plaintext
            && let Ok(payloads) = plaintext.payloads()
        {
            self.observe_received(path, message, octets, payloads);
        }
    }

    /// Counts the key exchange that an IKE_SA_INIT answer caused.
    pub fn count_key_exchange<P>(&mut self, answer: &Result<InitAnswer<P>, Rejection>) {
        if matches!(answer, Ok(InitAnswer::Secured(_)) | Err(Rejection::KeyExchange(_))) {
            count(&mut self.statistics.key_exchanges);
        }
    }

    pub(crate) fn nonce(&mut self) -> Result<Vec<u8>, RandomError> {
        init::nonce(self.random)
    }

    /// Shows a protected message that is sent to the observer, if there is one, with what is in it.
    pub fn observe_sent(&self, path: &Path, message: &Outgoing, payloads: &[Payload<'_>]) {
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
    pub fn log_ike_keys(&self, agreement: &Agreement, keys: &IkeKeys) {
        self.log_keys_of(agreement.ends, agreement.algorithms.cipher.suite(), keys);
    }

    /// The same of the IKE SA with these ends.
    pub(crate) fn log_keys_of(&self, ends: Ends, suite: CipherSuite, keys: &IkeKeys) {
        if let Some(log) = &self.config.hooks.key_log {
            let Ends { initiator_spi, responder_spi, .. } = ends;
            log.ike(&keylog::ike_line(initiator_spi, responder_spi, suite, keys));
        }
    }

    /// Shows a message to the observer, if there is one.
    fn observe(
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
