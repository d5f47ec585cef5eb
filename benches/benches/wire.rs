//! Parsing and encoding of each message of IKE, in nanoseconds and octets a second: the messages that two endpoints
//! send each other, those with an SK payload as what is in it. `cargo bench -p ipsec-benches --bench wire`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ikev2_wire::codes::PayloadType;
use ikev2_wire::{Message, Payload, Payloads, encode_chain, encode_message};
use ipsec_benches::pair::{Pair, Proof};
use ipsec_benches::record::Recorder;
use ipsec_types::Instant;
use std::hint::black_box;

/// The two messages of IKE_SA_INIT, and what is in the others by their names.
type Messages = (Vec<(&'static str, Vec<u8>)>, Vec<(&'static str, u8, Vec<u8>)>);

fn messages() -> Messages {
    let recorder = Recorder::default();
    let mut pair = Pair::recorded(Proof::Ed25519, &recorder, 0).unwrap();
    pair.datagrams = Some(Vec::new());
    pair.handshake();
    assert_eq!(pair.children, 2);
    let (sa, info) = pair.ends[0].ike_sas().next().unwrap();
    let now = Instant::ZERO;
    pair.ends[0].create_child(now, sa, "net").unwrap();
    pair.run();
    pair.ends[0].check_liveness(now, sa).unwrap();
    pair.run();
    pair.ends[0].delete_child(now, sa, info.children[0]).unwrap();
    pair.run();
    pair.ends[0].delete_ike_sa(now, sa).unwrap();
    pair.run();
    let init = pair.datagrams.take().unwrap();
    let names = [
        "IKE_AUTH request",
        "IKE_AUTH answer",
        "CREATE_CHILD_SA request",
        "CREATE_CHILD_SA answer",
        "liveness request",
        "liveness answer",
        "Delete of a Child SA",
        "its answer",
        "Delete of the IKE SA",
        "its answer, empty",
    ];
    let texts = recorder.texts();
    assert_eq!(texts.len(), names.len());
    let clear = ["IKE_SA_INIT request", "IKE_SA_INIT answer"].into_iter().zip(init).collect();
    let protected = names.into_iter().zip(texts).map(|(name, (first, octets))| (name, first, octets));
    // An empty message has nothing to parse.
    (clear, protected.filter(|(_, _, octets)| !octets.is_empty()).collect())
}

fn decode(payloads: Payloads<'_>) -> usize {
    payloads.fold(0, |count, raw| {
        black_box(raw.decode().unwrap());
        count + 1
    })
}

fn wire(criterion: &mut Criterion) {
    let (clear, protected) = messages();
    let mut group = criterion.benchmark_group("parse");
    for (name, octets) in &clear {
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), octets, |bench, octets| {
            bench.iter(|| decode(Message::parse(black_box(octets)).unwrap().payloads()));
        });
    }
    for (name, first, octets) in &protected {
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), octets, |bench, octets| {
            bench.iter(|| decode(Payloads::parse(PayloadType(*first), black_box(octets), 0).unwrap()));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::with_capacity(65_535);
    for (name, octets) in &clear {
        let message = Message::parse(octets).unwrap();
        let payloads: Vec<Payload<'_>> = message.payloads().map(|raw| raw.decode().unwrap()).collect();
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter(|| {
                out.clear();
                encode_message(message.header(), black_box(&payloads), &mut out).unwrap();
            });
        });
        assert_eq!(&out, octets);
    }
    for (name, first, octets) in &protected {
        let chain = Payloads::parse(PayloadType(*first), octets, 0).unwrap();
        let payloads: Vec<Payload<'_>> = chain.map(|raw| raw.decode().unwrap()).collect();
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter(|| {
                out.clear();
                encode_chain(black_box(&payloads), &mut out).unwrap()
            });
        });
        assert_eq!(&out, octets);
    }
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
