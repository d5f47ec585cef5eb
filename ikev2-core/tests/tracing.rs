//! The named spans of `ikev2_core::trace`: their names, fields and nesting as its page has them, and that no secret
//! gets into any of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::trace::{CALL, EXCHANGE, IKE_SA};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use support::forge::{Forger, unhex};
use support::setup::*;
use support::tickets::*;
use support::world::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Fields = BTreeMap<&'static str, String>;

/// Keeps every span and every event.
#[derive(Default)]
struct Recorder {
    next: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By their numbers.
    spans: BTreeMap<u64, (&'static str, Fields)>,
    open: Vec<u64>,
    /// The spans around each span when it was entered.
    nests: BTreeSet<Vec<&'static str>>,
    /// All that was said, spans' fields and events'.
    text: String,
    events: usize,
}

struct Collect(Fields);

impl Visit for Collect {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Kept {
    fn note(&mut self, name: &str, fields: &Fields) {
        writeln!(self.text, "{name} {fields:?}").unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Collect(Fields::new());
        span.record(&mut fields);
        assert!(span.metadata().target().starts_with("ikev2_core"), "{span:?}");
        let mut kept = self.kept.lock().unwrap();
        kept.note(span.metadata().name(), &fields.0);
        kept.spans.insert(id, (span.metadata().name(), fields.0));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Collect(Fields::new());
        event.record(&mut fields);
        let mut kept = self.kept.lock().unwrap();
        kept.events += 1;
        kept.note("event", &fields.0);
    }

    fn enter(&self, id: &Id) {
        let mut kept = self.kept.lock().unwrap();
        kept.open.push(id.into_u64());
        let nest = kept.open.iter().map(|id| kept.spans[id].0).collect();
        kept.nests.insert(nest);
    }

    fn exit(&self, id: &Id) {
        assert_eq!(self.kept.lock().unwrap().open.pop(), Some(id.into_u64()));
    }
}

/// One test at a time: whether anyone listens is remembered for all threads.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs something under a recorder.
fn recorded(act: impl FnOnce()) -> Kept {
    let _alone = alone();
    let recorder = Arc::new(Recorder::default());
    tracing::subscriber::with_default(recorder.clone(), act);
    std::mem::take(&mut *recorder.kept.lock().unwrap())
}

/// A life with everything in it: a NAT, a signature, Child SAs, liveness, a repeat, what is rejected, a Delete.
fn a_whole_life(books: &mut Vec<Arc<KeyBook>>) {
    let (mut a, mut b) = two();
    let key = ed25519();
    sign_now(&mut b, &key);
    verify_now(&mut a, &key);
    books.extend([a.keys.clone(), b.keys.clone()]);
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    world.connect(A, B);
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    world.deliver(&request).unwrap().unwrap();
    world.run();
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    world.run();
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    // The first try is lost.
    world.take_all();
    world.run_for_secs(10);
    let mut forger = Forger::new(&world.node(A).keys);
    let head =
        forger.head(ikev2_core::Role::Initiator, ikev2_wire::codes::ExchangeType::INFORMATIONAL, 99, false);
    let ahead = forger.seal(&head, &[]);
    let path = world.node(B).only_sa().1.path;
    let marked = [&[0; 4][..], &ahead].concat();
    assert!(world.receive(B, path, &marked).is_err());
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run_for_secs(30);
    world.assert_empty(A);
}

fn names(of: &Fields) -> Vec<&'static str> {
    of.keys().copied().collect()
}

#[test]
fn the_spans_have_the_names_fields_and_nesting_of_their_page() {
    let kept = recorded(|| a_whole_life(&mut Vec::new()));
    let spans: Vec<&(&str, Fields)> = kept.spans.values().collect();
    let found: BTreeSet<&str> = spans.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, BTreeSet::from([CALL, EXCHANGE, IKE_SA]));
    assert_eq!((CALL, IKE_SA, EXCHANGE), ("ike.call", "ike.sa", "ike.exchange"));
    let all =
        |name: &str| spans.iter().filter(|(n, _)| *n == name).map(|(_, fields)| fields).collect::<Vec<_>>();

    let calls: BTreeSet<String> = all(CALL).iter().map(|fields| fields["call"].clone()).collect();
    for call in
        ["connect", "handle_datagram", "handle_timeout", "create_child", "check_liveness", "delete_ike_sa"]
    {
        assert!(calls.contains(&format!("{call:?}")), "{call}: {calls:?}");
    }
    assert!(all(CALL).iter().all(|fields| names(fields) == ["call"]));

    let spi = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    for fields in all(IKE_SA) {
        let mut expected = vec!["connection", "initiator_spi", "sa"];
        if fields.contains_key("responder_spi") {
            expected.insert(2, "responder_spi");
        }
        assert_eq!(names(fields), expected);
        assert_eq!(fields["connection"], "\"tunnel\"");
        assert!(spi(&fields["initiator_spi"]), "{fields:?}");
    }
    assert!(all(IKE_SA).iter().any(|fields| fields.get("responder_spi").is_some_and(|text| spi(text))));

    let exchanges = all(EXCHANGE);
    for (exchange, id, response) in [
        ("IKE_SA_INIT", "0", "false"),
        ("IKE_SA_INIT", "0", "true"),
        ("IKE_AUTH", "1", "false"),
        ("IKE_AUTH", "1", "true"),
        ("CREATE_CHILD_SA", "2", "false"),
        ("CREATE_CHILD_SA", "2", "true"),
        ("INFORMATIONAL", "3", "false"),
        ("INFORMATIONAL", "4", "true"),
    ] {
        // Sent by the one, received by the other.
        let those = exchanges
            .iter()
            .filter(|f| f["exchange"] == exchange && f["message_id"] == id && f["response"] == response);
        assert!(those.count() >= 2, "{exchange} {id} {response}");
    }
    let nests: BTreeSet<Vec<&str>> = kept.nests;
    let expected = [
        vec![CALL],
        vec![CALL, EXCHANGE],
        vec![CALL, EXCHANGE, EXCHANGE],
        vec![CALL, EXCHANGE, IKE_SA],
        vec![CALL, EXCHANGE, IKE_SA, EXCHANGE],
        vec![CALL, IKE_SA],
        vec![CALL, IKE_SA, EXCHANGE],
    ];
    assert_eq!(nests, BTreeSet::from(expected));
    assert!(kept.events > 10 && kept.open.is_empty());
}

/// Octets in the ways in which somebody prints them.
fn spellings(octets: &[u8]) -> [String; 3] {
    let lower = octets.iter().map(|o| format!("{o:02x}")).collect::<String>();
    let decimal = octets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    [lower.clone(), lower.to_uppercase(), decimal]
}

#[test]
fn no_secret_is_in_any_of_it() {
    let mut books = Vec::new();
    let mut kept = recorded(|| a_whole_life(&mut books));
    // And where it goes wrong.
    let more = recorded(|| {
        let (a, mut b) = two();
        b.set_secret(b"quite another secret");
        books.extend([a.keys.clone(), b.keys.clone()]);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
    });
    kept.text += &more.text;
    let secret = std::str::from_utf8(SECRET).unwrap();
    let mut hidden = vec![secret.to_string(), "quite another secret".to_string()];
    hidden.extend(spellings(SECRET));
    for book in &books {
        for line in book.ike_lines().iter().chain(&book.esp_lines()) {
            let keys = line.split(',').map(|field| field.trim_matches('"').trim_start_matches("0x"));
            let keys = keys.filter(|f| f.len() >= 32 && f.bytes().all(|b| b.is_ascii_hexdigit()));
            for key in keys.map(unhex) {
                // Half of one is a secret too.
                hidden.extend(key.chunks_exact(8).flat_map(spellings));
            }
        }
    }
    assert!(hidden.len() > 100, "{}", hidden.len());
    assert!(kept.text.contains("IKE SA up") && kept.text.contains("does not fit"), "{}", kept.text);
    for text in hidden {
        assert!(!kept.text.contains(&text), "{text} is in {}", kept.text);
    }
}

/// Without a subscriber that asks for it, nothing is said and nothing changes.
#[test]
fn a_run_is_the_same_with_and_without() {
    let run = || {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.transcript = Some(String::new());
        world.connect(A, B);
        world.run_for_secs(100);
        world.transcript.take().unwrap()
    };
    let plain = {
        let _alone = alone();
        run()
    };
    let mut traced = String::new();
    recorded(|| traced = run());
    assert_eq!(plain, traced);
}
