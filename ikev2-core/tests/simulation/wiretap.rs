//! Listens to what the nodes say to each other, knows from it what each of them is doing, and holds their answers to
//! the collision rules and to the nonce rule (RFC 7296 §2.8.1, §2.25).

use super::coverage::{Outcome, Point, Seen};
use super::matrix::{Doing, Rule, keeps, strictest};
use super::reading::{Asks, Reading, Spis, header_of, line, message_of};
use super::support::mirror::ChildView;
use super::support::world::{Tap, World};
use ikev2_core::{Event, Handled, IkeSaHandle, IkeSaInfo, IkeSaState, Rejection};
use ipsec_types::sa::ChildSaId;
use ipsec_types::{EspSpi, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A request of a node's that waits for its answer.
#[derive(Clone, Debug)]
struct Out {
    asks: Asks,
    reading: Reading,
    since: Instant,
    /// What the peer made in place of the same SA meanwhile: its name, and the lower nonce of its exchange.
    rivals: Vec<(Made, Vec<u8>)>,
}

/// What a rekey made, by our end's name for it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Made {
    Child(EspSpi),
    Ike(Spis),
}

/// A request that a node is about to get.
#[derive(Clone, Debug)]
struct Arriving {
    spis: Spis,
    id: u32,
    asks: Option<Asks>,
    request: Reading,
    doing: Vec<Doing>,
    /// Which of our own SPIs a Delete in return must name.
    in_return: Vec<EspSpi>,
    /// Whether what it is doing is known well enough.
    certain: bool,
    answer: Option<Reading>,
}

/// What is known of one node.
#[derive(Debug, Default)]
struct Ear {
    out: BTreeMap<(Spis, u32), Out>,
    /// Requests that were answered: an embedder that hung may send repeats of them later.
    done: BTreeSet<(Spis, u32)>,
    sas: BTreeMap<Spis, IkeSaHandle>,
    children: BTreeMap<ChildSaId, EspSpi>,
    /// IKE SAs that are authenticated anew, or were tried to be: they refuse what they would serve otherwise.
    renewing: BTreeSet<IkeSaHandle>,
    /// What it sent under protection, by IKE SA, Message ID and whether it was an answer.
    sent: BTreeMap<(Spis, u32, bool), Vec<u8>>,
    arriving: Option<Arriving>,
    answered: Option<((Spis, u32), Reading)>,
    /// Which Child SAs took over from others in the call that is being made.
    took_over: Vec<EspSpi>,
}

/// A request that is out for longer may have been given up.
const SURELY_OUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Wiretap {
    ears: Vec<Ear>,
    /// Whether answers are held to the rules.
    judges: bool,
    pub seen: Seen,
}

fn lower(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.min(b).to_vec()
}

/// The SPIs of the IKE SA that an exchange made: the proposals of both ends name one each.
fn made_ike(request: &Reading, answer: &Reading) -> Option<Made> {
    Some(Made::Ike((request.ike_spi()?, Some(answer.ike_spi()?))))
}

fn spis_of(info: &IkeSaInfo) -> Spis {
    (info.initiator_spi, info.responder_spi)
}

/// A node's Child SA by the SPI that it receives by.
fn child_by(world: &World, node: usize, spi: EspSpi) -> Option<&ChildView> {
    let mut children = world.node(node).mirror.children.values();
    children.find(|child| child.inbound.as_ref().is_some_and(|half| half.spi == spi))
}

impl Wiretap {
    pub fn new(nodes: usize, judges: bool) -> Self {
        Self { ears: (0..nodes).map(|_| Ear::default()).collect(), judges, seen: Seen::default() }
    }

    /// What a node is doing, as far as it matters for this request.
    fn situation(&self, world: &World, node: usize, spis: Spis, reading: &Reading, asks: Asks) -> Arriving {
        let ear = &self.ears[node];
        let endpoint = world.endpoint(node);
        let sa = ear.sas.get(&spis).copied();
        let info = sa.and_then(|sa| endpoint.ike_sa(sa));
        let mut doing = Vec::new();
        let mut closing_by: Vec<EspSpi> = Vec::new();
        let mut rekeying: Vec<EspSpi> = Vec::new();
        // What was not polled, or lost before it could be, was never on the wire.
        let mut certain = world.node(node).polled && endpoint.statistics().transmits_lost == 0;
        // By any generation of the IKE SA.
        let of_sa = ear.out.iter().filter(|((spis, _), _)| sa.is_some() && ear.sas.get(spis) == sa.as_ref());
        let mut creating = false;
        for (_, out) in of_sa {
            certain &= world.clock(node).saturating_since(out.since) < SURELY_OUT;
            match out.asks {
                Asks::CreateChild => creating = true,
                Asks::RekeyChild => rekeying.extend(out.reading.rekeys),
                Asks::CloseChild => closing_by.extend(out.reading.deletes.iter().flatten()),
                Asks::RekeyIke => doing.push(Doing::RekeyingIke),
                Asks::CloseIke => {}
            }
        }
        match &info {
            Some(info) if spis_of(info) != spis => doing.push(Doing::Replaced),
            Some(info) if info.state == IkeSaState::Closing => doing.push(Doing::ClosingIke),
            Some(_) => {}
            // Its end was told, or it never came up and the peer's proof was refused.
            None => doing.push(Doing::ClosingIke),
        }
        certain &= sa.is_some() || asks != Asks::CloseChild;
        certain &= sa.is_none_or(|sa| !ear.renewing.contains(&sa));
        let children: Vec<_> = sa.into_iter().flat_map(|sa| endpoint.child_sas(sa)).collect();
        let by_outbound = |spi: EspSpi| children.iter().find(|child| child.outbound == spi);
        let mut in_return = Vec::new();
        let mut others = (rekeying.clone(), closing_by.clone());
        for spi in reading.rekeys.iter().chain(reading.deletes.iter().flatten()) {
            let Some(child) = by_outbound(*spi) else {
                doing.push(Doing::NoSuchChild);
                continue;
            };
            others.0.retain(|spi| *spi != child.inbound);
            others.1.retain(|spi| *spi != child.inbound);
            if closing_by.contains(&child.inbound) {
                doing.push(Doing::ClosingIt);
            } else {
                in_return.push(child.inbound);
                if rekeying.contains(&child.inbound) {
                    doing.push(Doing::RekeyingIt);
                }
            }
        }
        for (holds, which) in [
            (creating, Doing::CreatingChild),
            (!others.0.is_empty(), Doing::RekeyingAnother),
            (!others.1.is_empty(), Doing::ClosingAnother),
        ] {
            if holds {
                doing.push(which);
            }
        }
        if doing.is_empty() {
            doing.push(Doing::Nothing);
        }
        let request = reading.clone();
        Arriving { spis, id: 0, asks: Some(asks), request, doing, in_return, certain, answer: None }
    }

    /// Holds an answer to the rules.
    fn judge(&mut self, node: usize, arriving: &Arriving) {
        let Some(asks) = arriving.asks else { return };
        if !self.judges || !arriving.certain {
            return;
        }
        for doing in &arriving.doing {
            self.seen.reach(Point::Cell(asks, *doing));
        }
        let Some(answer) = arriving.answer.as_ref() else { return };
        let Arriving { doing, request, .. } = arriving;
        let rule = strictest(asks, doing);
        // It may be the one whose answer has not come yet.
        let awaits_child = doing.contains(&Doing::CreatingChild) || doing.contains(&Doing::RekeyingAnother);
        let kept = keeps(rule, request, answer)
            || (rule == Rule::NotFound && awaits_child && keeps(Rule::Busy, request, answer));
        assert!(kept, "{node}, {doing:?}: {asks:?} must be met with {rule:?}, and the answer is {answer:?}");
        if asks == Asks::CloseChild {
            let named = answer.deletes.clone().unwrap_or_default();
            assert_eq!(named, arriving.in_return, "{node}, {doing:?}: the answer to {asks:?} deletes others");
        }
    }

    /// A node has served a rekey: it may be the rival of its own.
    fn note_rival(&mut self, node: usize, arriving: &Arriving) {
        let (request, Some(answer)) = (&arriving.request, &arriving.answer) else { return };
        if answer.proposal.is_none() {
            return;
        }
        let made = match arriving.asks {
            Some(Asks::RekeyChild) if arriving.doing.contains(&Doing::RekeyingIt) => {
                answer.esp_spi().map(Made::Child)
            }
            Some(Asks::RekeyIke) => made_ike(request, answer),
            _ => None,
        };
        let Some(made) = made else { return };
        let low = lower(&request.nonce, &answer.nonce);
        let it = arriving.in_return.first().copied();
        for ((spis, _), out) in &mut self.ears[node].out {
            let crosses = match out.asks {
                Asks::RekeyChild => matches!(made, Made::Child(_)) && out.reading.rekeys == it,
                Asks::RekeyIke => matches!(made, Made::Ike(_)) && *spis == arriving.spis,
                _ => false,
            };
            if crosses {
                out.rivals.push((made.clone(), low.clone()));
            }
        }
    }

    /// The answer to a node's own rekey came: the exchange with the lowest of the nonces made what is left over.
    fn settle(&mut self, world: &World, node: usize, sa: Option<IkeSaHandle>, out: &Out, answer: &Reading) {
        let alive = |(made, _): &&(Made, Vec<u8>)| match made {
            Made::Ike(_) => true,
            Made::Child(spi) => child_by(world, node, *spi).is_some(),
        };
        let rivals: Vec<_> = out.rivals.iter().filter(alive).collect();
        if rivals.is_empty() || answer.proposal.is_none() || !self.judges {
            return;
        }
        let ours = lower(&out.reading.nonce, &answer.nonce);
        let lost = rivals.iter().all(|(_, rival)| ours < *rival);
        let outcome = if lost { Outcome::OursIsLeftOver } else { Outcome::TheirsIsLeftOver };
        if out.asks == Asks::RekeyChild {
            let Some(made) = out.reading.esp_spi() else { return };
            let took_over = self.ears[node].took_over.contains(&made);
            assert!(!(lost && took_over), "{node}: its nonce is the lowest, and it uses its own {made:?}");
            let there = child_by(world, node, made).is_some();
            let at_once = there && self.is_plain(world, node, out);
            assert!(lost || took_over || !at_once, "{node}: its {made:?} is not used");
            self.seen.reach(Point::ChildNonces(outcome));
        } else if let Some(Made::Ike(spis)) = made_ike(&out.reading, answer) {
            let current = sa.and_then(|sa| world.endpoint(node).ike_sa(sa));
            let Some(current) = current.filter(|info| info.state == IkeSaState::Established) else { return };
            let uses_it = spis_of(&current) == spis;
            assert_eq!(uses_it, !lost, "{node}: which IKE SA is left over is decided by the lowest nonce");
            self.seen.reach(Point::IkeNonces(outcome));
        }
    }

    /// Whether the SA that was rekeyed awaits none itself, so that what replaces it is used at once.
    fn is_plain(&self, world: &World, node: usize, out: &Out) -> bool {
        let old = out.reading.rekeys.and_then(|spi| child_by(world, node, spi));
        old.is_some_and(|old| old.child.replaces.is_none())
    }

    /// What a node gets is a request that it has not answered yet, if it turns out to be authentic.
    fn arrives(&mut self, world: &World, node: usize, octets: &[u8]) {
        self.ears[node].arriving = None;
        self.ears[node].answered = None;
        self.ears[node].took_over.clear();
        let Some((header, spis)) = header_of(octets) else { return };
        let Some(reading) = Reading::of(octets) else { return };
        if header.flags.is_response() {
            self.ears[node].answered = Some(((spis, header.message_id), reading));
        } else if let Some(asks) = reading.asks(header.exchange) {
            let arriving = self.situation(world, node, spis, &reading, asks);
            self.ears[node].arriving = Some(Arriving { id: header.message_id, ..arriving });
        }
    }

    /// A repeat is the same to the octet, of a request and of an answer (RFC 7296 §2.1).
    fn same_as_before(&mut self, node: usize, reading: &Reading, octets: &[u8]) {
        if !self.judges || !reading.protected {
            return;
        }
        let Some((header, spis)) = header_of(octets) else { return };
        let key = (spis, header.message_id, header.flags.is_response());
        let message = message_of(octets);
        let before = self.ears[node].sent.entry(key).or_insert_with(|| message.to_vec());
        assert!(
            before == message,
            "{node}: other octets in {}, before it was {}",
            line(octets),
            line(before)
        );
    }

    /// A rejected request of an IKE SA that is gone.
    fn rejected(&mut self, node: usize, rejection: &Rejection) {
        let gone = matches!(rejection, Rejection::UnknownSpi(_) | Rejection::UnexpectedExchange(_));
        let arriving = self.ears[node].arriving.take();
        if let Some(asks) = arriving.filter(|_| gone).and_then(|arriving| arriving.asks) {
            self.seen.reach(Point::Cell(asks, Doing::Gone));
        }
    }
}

impl Tap for Wiretap {
    fn sends(&mut self, world: &World, node: usize, octets: &[u8]) {
        let Some((header, spis)) = header_of(octets) else { return };
        let Some(reading) = Reading::of(octets) else { return };
        self.same_as_before(node, &reading, octets);
        for (notify, _) in &reading.errors {
            self.seen.reach(Point::Notify(*notify));
        }
        let ear = &mut self.ears[node];
        if header.flags.is_response() {
            let to_it = |a: &&mut Arriving| (a.spis, a.id) == (spis, header.message_id) && a.answer.is_none();
            if let Some(arriving) = ear.arriving.as_mut().filter(to_it) {
                arriving.answer = Some(reading);
            }
        } else if let Some(asks) = reading.asks(header.exchange)
            && !ear.done.contains(&(spis, header.message_id))
        {
            let since = world.clock(node);
            let out = Out { asks, reading, since, rivals: Vec::new() };
            ear.out.entry((spis, header.message_id)).or_insert(out);
        }
    }

    fn gets(&mut self, world: &World, node: usize, octets: &[u8]) {
        self.arrives(world, node, octets);
    }

    fn got(&mut self, world: &World, node: usize, _: &[u8], result: &Result<Handled, Rejection>) {
        match result {
            Err(rejection) => return self.rejected(node, rejection),
            Ok(Handled::Processed) => {}
            Ok(_) => return,
        }
        if let Some(arriving) = self.ears[node].arriving.take() {
            self.judge(node, &arriving);
            self.note_rival(node, &arriving);
            if arriving.asks == Some(Asks::CloseIke) {
                let closed = Made::Ike(arriving.spis);
                let Ear { out, done, .. } = &mut self.ears[node];
                // An embedder that hung may send them now.
                done.extend(out.keys().filter(|(spis, _)| *spis == arriving.spis));
                out.retain(|(spis, _), _| *spis != arriving.spis);
                out.values_mut().for_each(|out| out.rivals.retain(|(rival, _)| *rival != closed));
            }
        }
        if let Some((key, answer)) = self.ears[node].answered.take()
            && let Some(out) = self.ears[node].out.remove(&key)
        {
            self.ears[node].done.insert(key);
            let sa = self.ears[node].sas.get(&key.0).copied();
            let made = made_ike(&out.reading, &answer).filter(|_| out.asks == Asks::RekeyIke);
            if let (Some(sa), Some(Made::Ike(spis))) = (sa, made) {
                self.ears[node].sas.insert(spis, sa);
            }
            self.settle(world, node, sa, &out, &answer);
            if out.asks == Asks::CloseIke {
                self.ears[node].out.retain(|(spis, _), _| *spis != key.0);
            }
        }
    }

    fn tells(&mut self, _: &World, node: usize, event: &Event) {
        let ear = &mut self.ears[node];
        match event {
            Event::IkeSaUp { sa, info } | Event::IkeSaRekeyed { sa, info } => {
                ear.sas.insert(spis_of(info), *sa);
            }
            Event::IkeSaImported { sa, info, children } => {
                // Under another name than before, with all its generations.
                let spis = spis_of(info);
                let before = ear.sas.get(&spis).copied();
                ear.sas.values_mut().filter(|known| Some(**known) == before).for_each(|known| *known = *sa);
                ear.sas.insert(spis, *sa);
                ear.children.extend(children.iter().map(|info| (info.child.id, info.inbound)));
            }
            Event::ChildSaUp { info, .. } => {
                ear.children.insert(info.child.id, info.inbound);
            }
            Event::IkeSaReauthenticating { sa } => drop(ear.renewing.insert(*sa)),
            Event::ChildSaReplaced { new, .. } => ear.took_over.extend(ear.children.get(new)),
            Event::ChildSaDown { id, .. } => drop(ear.children.remove(id)),
            Event::IkeSaDown { sa, .. } => {
                let sas = &ear.sas;
                ear.out.retain(|(spis, _), out| sas.get(spis) != Some(sa) || out.asks == Asks::CloseIke);
            }
            _ => {}
        }
    }

    fn text(&self, octets: &[u8]) -> String {
        line(octets)
    }
}
