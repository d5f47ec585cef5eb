//! The peer's messages that came in fragments and are not whole yet (RFC 7383 §2.6).
//!
//! A fragment is judged by its numbers first, then opened, and kept only if its integrity is good; nobody but the
//! peer fills anything here. What is kept is bounded by [`ReassemblyLimits`] for each IKE SA.

use super::protect::Plaintext;
use super::responses::RequestDigest;
use crate::error::{Bound, FragmentFault, Incomplete, Rejection};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{EncryptedFragment, GenericHeader, Header, Message, Protected};
use ipsec_types::Instant;

/// What the fragments of one IKE SA may take.
///
/// Worst case for each IKE SA: `octets`, and about 64 octets more for each of `fragments`; with the defaults
/// 128 KiB. Only a peer that has the keys of the IKE SA can cause it, which before IKE_AUTH is anyone who answers
/// at its address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReassemblyLimits {
    /// Octets kept at most of what was in fragments or in the clear before them, of all messages together. Default:
    /// 65,536, as RFC 7383 §5 advises. A peer that sends more loses the IKE SA.
    pub octets: usize,
    /// Fragments kept at most, of all messages together; also the largest Total Fragments that is taken. Default:
    /// 1,024, which is the largest message in pieces of 64 octets.
    pub fragments: u16,
    /// Messages at most that are not whole. Default: 4.
    pub messages: usize,
    /// How long the rest of a message is waited for. Default: 200 s, longer than its sender repeats it with the
    /// default [`RetransmitPolicy`](super::retransmit::RetransmitPolicy) (§2.6).
    pub timeout: Duration,
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self { octets: 65_536, fragments: 1_024, messages: 4, timeout: Duration::from_secs(200) }
    }
}

/// A message put together.
#[derive(Debug)]
pub struct Reassembled {
    /// The message as if it had never been fragmented, from its header to the generic header of its SK payload,
    /// whose Length fields count nothing behind it: the header and the payloads in the clear of fragment 1.
    pub head: Vec<u8>,
    /// What is inside.
    pub plaintext: Plaintext<'static>,
    /// Of fragment 1, which stands for the message where repeats are recognised (§2.6.1).
    pub digest: RequestDigest,
    /// How many fragments it came in.
    pub total: u16,
    /// The octets of the largest of them, without the non-ESP marker.
    pub largest: usize,
    /// The octets of all of them.
    pub received: usize,
}

/// What a fragment made of a message.
#[derive(Debug)]
pub enum Added {
    /// Others are to come.
    Part,
    /// It is whole, and nothing of it is kept here any more.
    Whole(Box<Reassembled>),
    /// It has more content than [`ReassemblyLimits::octets`], and nothing of it is kept.
    TooLarge,
}

/// What is known from fragment 1 alone.
#[derive(Debug)]
struct First {
    head: Vec<u8>,
    inner: PayloadType,
    offset: usize,
    limit: usize,
    digest: RequestDigest,
}

/// A message that is not whole.
#[derive(Debug)]
struct Pieces {
    is_response: bool,
    message_id: u32,
    exchange: ExchangeType,
    total: u16,
    first: Option<First>,
    contents: BTreeMap<u16, Box<[u8]>>,
    octets: usize,
    largest: usize,
    received: usize,
    expires: Instant,
}

impl Pieces {
    fn is_of(&self, header: &Header) -> bool {
        self.message_id == header.message_id && self.is_response == header.flags.is_response()
    }

    fn incomplete(&self) -> Incomplete {
        Incomplete {
            exchange: self.exchange,
            message_id: self.message_id,
            is_response: self.is_response,
            received: u16::try_from(self.contents.len()).unwrap_or(u16::MAX),
            total: self.total,
            missing: self.missing(),
            octets: self.received,
            largest: self.largest,
        }
    }

    /// The numbers of those that did not come.
    fn missing(&self) -> Vec<RangeInclusive<u16>> {
        let mut missing: Vec<RangeInclusive<u16>> = Vec::new();
        for number in (1..=self.total).filter(|number| !self.contents.contains_key(number)) {
            match missing.last_mut().filter(|run| run.end().checked_add(1) == Some(number)) {
                Some(run) => *run = *run.start()..=number,
                None => missing.push(number..=number),
            }
        }
        missing
    }

    fn join(self) -> Option<Box<Reassembled>> {
        let First { head, inner, offset, limit, digest } = self.first?;
        let mut octets = Vec::with_capacity(self.octets);
        self.contents.into_values().for_each(|content| octets.extend_from_slice(&content));
        let plaintext = Plaintext { first: inner, octets: Cow::Owned(octets), offset, limit };
        let Self { total, largest, received, .. } = self;
        Some(Box::new(Reassembled { head, plaintext, digest, total, largest, received }))
    }
}

/// The messages of one IKE SA that are not whole.
#[derive(Debug, Default)]
pub struct Reassembly {
    open: Vec<Pieces>,
}

impl Reassembly {
    fn find(&self, header: &Header) -> Option<&Pieces> {
        self.open.iter().find(|pieces| pieces.is_of(header))
    }

    fn held(&self) -> (usize, usize) {
        let octets = self.open.iter().map(|pieces| pieces.octets).sum();
        (octets, self.open.iter().map(|pieces| pieces.contents.len()).sum())
    }

    /// Judges a fragment by its numbers, before it is opened (§2.6).
    ///
    /// # Errors
    /// [`Rejection::Fragment`] where it belongs to a set that was replaced or is held already,
    /// [`Rejection::UnexpectedExchange`] where its exchange is not that of the fragments held,
    /// [`Rejection::Limit`]. Where the memory is `crowded`, that is the bound for what makes no message whole.
    pub fn judge(
        &self,
        message: &Message<'_>,
        fragment: &EncryptedFragment<'_>,
        limits: &ReassemblyLimits,
        crowded: Option<Bound>,
    ) -> Result<(), Rejection> {
        let EncryptedFragment { number, total, .. } = *fragment;
        let header = message.header();
        if total > limits.fragments {
            return Err(Rejection::Limit(Bound::Fragments));
        }
        let pieces = self.find(header);
        let replaces = match pieces {
            None if self.open.len() >= limits.messages => {
                return Err(Rejection::Limit(Bound::FragmentedMessages));
            }
            None => 0,
            Some(pieces) if pieces.exchange != header.exchange => {
                return Err(Rejection::UnexpectedExchange(header.exchange));
            }
            Some(pieces) if total < pieces.total => {
                let fault = FragmentFault::Replaced { total, by: pieces.total };
                return Err(Rejection::Fragment(fault));
            }
            Some(pieces) if total == pieces.total && pieces.contents.contains_key(&number) => {
                return Err(Rejection::Fragment(FragmentFault::Held { number }));
            }
            Some(pieces) if total > pieces.total => pieces.contents.len(),
            Some(_) => 0,
        };
        let others = pieces.filter(|_| replaces == 0).map_or(0, |pieces| pieces.contents.len());
        if let Some(bound) = crowded.filter(|_| others + 1 < usize::from(total)) {
            return Err(Rejection::Limit(bound));
        }
        if self.held().1.saturating_sub(replaces) >= usize::from(limits.fragments) {
            return Err(Rejection::Limit(Bound::Fragments));
        }
        Ok(())
    }

    /// Takes the content of a fragment that [`Reassembly::judge`] let pass and whose integrity is good.
    pub fn add(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        fragment: &EncryptedFragment<'_>,
        plaintext: &Plaintext<'_>,
        limits: &ReassemblyLimits,
    ) -> Added {
        let EncryptedFragment { number, total, .. } = *fragment;
        let header = message.header();
        // Larger numbers come of smaller pieces: the sender began anew, and so do we (§2.5.2, §2.6).
        self.open.retain(|pieces| !pieces.is_of(header) || pieces.total >= total);
        let content = &*plaintext.octets;
        let head = if number == 1 { unfragmented_head(message) } else { Vec::new() };
        let octets = content.len().saturating_add(head.len());
        if self.held().0.saturating_add(octets) > limits.octets {
            self.forget(header.flags.is_response(), header.message_id);
            return Added::TooLarge;
        }
        let at = self.open.iter().position(|pieces| pieces.is_of(header)).unwrap_or_else(|| {
            self.open.push(Pieces {
                is_response: header.flags.is_response(),
                message_id: header.message_id,
                exchange: header.exchange,
                total,
                first: None,
                contents: BTreeMap::new(),
                octets: 0,
                largest: 0,
                received: 0,
                expires: now + limits.timeout,
            });
            self.open.len() - 1
        });
        let Some(pieces) = self.open.get_mut(at) else { return Added::Part };
        if number == 1 {
            pieces.first = Some(First {
                head,
                inner: fragment.first_inner,
                offset: plaintext.offset,
                limit: plaintext.limit,
                digest: RequestDigest::of(message.as_bytes()),
            });
        }
        pieces.octets = pieces.octets.saturating_add(octets);
        let length = message.as_bytes().len();
        pieces.largest = pieces.largest.max(length);
        pieces.received = pieces.received.saturating_add(length);
        pieces.contents.insert(number, Box::from(content));
        if pieces.contents.len() < usize::from(total) {
            return Added::Part;
        }
        // Every number from 1 to the total is there, and so is the first.
        let pieces = self.open.swap_remove(at);
        self.give_back();
        pieces.join().map_or(Added::Part, Added::Whole)
    }

    /// Drops what is kept of one message.
    pub fn forget(&mut self, is_response: bool, message_id: u32) {
        self.open.retain(|p| p.message_id != message_id || p.is_response != is_response);
        self.give_back();
    }

    /// Most IKE SAs never see a fragment again.
    fn give_back(&mut self) {
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }

    /// What there is of an answer of this exchange that is not whole.
    #[must_use]
    pub fn incomplete_answer(&self, exchange: ExchangeType) -> Option<Incomplete> {
        let answer = self.open.iter().find(|pieces| pieces.is_response && pieces.exchange == exchange);
        answer.map(Pieces::incomplete)
    }

    /// What it holds, in octets.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.held().0
    }

    /// When the first message is given up.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|pieces| pieces.expires).min()
    }

    /// Drops the messages whose time is over, and says what they lacked.
    pub fn expire(&mut self, now: Instant) -> Vec<Incomplete> {
        self.drop_if(|pieces| pieces.expires <= now)
    }

    /// Drops everything, and says what it lacked.
    pub fn clear(&mut self) -> Vec<Incomplete> {
        self.drop_if(|_| true)
    }

    fn drop_if(&mut self, gone: impl Fn(&Pieces) -> bool) -> Vec<Incomplete> {
        let lacking = self.open.iter().filter(|pieces| gone(pieces)).map(Pieces::incomplete).collect();
        self.open.retain(|pieces| !gone(pieces));
        self.give_back();
        lacking
    }
}

/// Everything in front of what is encrypted, as it stands in a message that is not fragmented, with nothing behind
/// it: an SK payload in place of SKF.
fn unfragmented_head(message: &Message<'_>) -> Vec<u8> {
    let Some(Protected::Skf(fragment)) = message.protected() else { return Vec::new() };
    let sk_at = fragment.header_len.saturating_sub(GenericHeader::LEN + ikev2_wire::FragmentHeader::LEN);
    let mut head = message.as_bytes().get(..sk_at + GenericHeader::LEN).unwrap_or_default().to_vec();
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    // The Next Payload field that named SKF: of the last payload in front of it, or of the header.
    const HEADERS_NEXT: usize = 16;
    let named_at = message.payloads().last().map_or(HEADERS_NEXT, |last| last.offset);
    let changes = [(named_at, &[PayloadType::SK.0][..]), (24, &length.to_be_bytes()), (sk_at + 2, &[0, 4])];
    for (at, octets) in changes {
        if let Some(place) = head.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    }
    head
}
