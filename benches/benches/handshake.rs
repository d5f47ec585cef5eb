//! What a whole handshake costs beside the primitives in it: IKE_SA_INIT and IKE_AUTH of two endpoints with X25519,
//! AES-256-GCM and PRF HMAC-SHA2-256, and a first Child SA; both ends, without IO.
//!
//! One handshake is recorded: every key pair, shared secret, signature made or checked, PRF and message sealed or
//! opened, with its arguments. A round makes one handshake, between endpoints that made others before and hold none, and
//! all these calls again with nothing around them; figures
//! are medians over the rounds. `cargo bench -p ipsec-benches --bench handshake`, with `-- SharedKey`, `-- Hybrid` (X25519
//! and ML-KEM-768, by a shared key) or `-- Ed25519` for one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use ipsec_benches::median::interleaved;
use ipsec_benches::pair::{Pair, Proof};
use ipsec_benches::record::{Kind, Recorder};
use std::cell::RefCell;
use std::rc::Rc;

const ROUNDS: usize = 2_001;
const KINDS: [(Kind, &str); 6] = [
    (Kind::KeyExchange, "key exchange"),
    (Kind::Sign, "signatures made"),
    (Kind::Verify, "signatures checked"),
    (Kind::Prf, "PRF: keys expanded, and computed"),
    (Kind::CipherKey, "cipher: keys expanded"),
    (Kind::Cipher, "cipher: messages sealed and opened"),
];

fn measure(proof: Proof) {
    let recorder = Rc::new(Recorder::default());
    let mut pair = Pair::recorded(proof, &recorder, 0).unwrap();
    recorder.clear();
    pair.handshake();
    assert_eq!(pair.children, 2);
    drop(pair);

    let pair = Rc::new(RefCell::new(Pair::new(proof, 1).unwrap()));
    let [whole, primitives] = interleaved(ROUNDS, |side| {
        if side == 1 {
            let recorder = Rc::clone(&recorder);
            return Box::new(move || recorder.replay(None));
        }
        let pair = Rc::clone(&pair);
        pair.borrow_mut().delete_all();
        assert_eq!(pair.borrow().ends[0].ike_sas().count() + pair.borrow().ends[1].ike_sas().count(), 0);
        Box::new(move || {
            let mut pair = pair.borrow_mut();
            pair.handshake();
            assert_eq!(pair.children, 2);
        })
    });
    println!("{proof:?}: handshake, both ends: {:.1} us", whole as f64 / 1e3);
    println!("{proof:?}: its primitives alone: {:.1} us", primitives as f64 / 1e3);
    for (kind, name) in KINDS {
        let [time] = interleaved(ROUNDS / 4, |_| {
            let recorder = Rc::clone(&recorder);
            Box::new(move || recorder.replay(Some(kind)))
        });
        println!("{proof:?}:   {:3} {name}: {:.1} us", recorder.count(kind), time as f64 / 1e3);
    }
    println!("{proof:?}: ratio: {:.3}", whole as f64 / primitives as f64);
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for proof in [Proof::SharedKey, Proof::Hybrid, Proof::Ed25519] {
        if wanted.as_ref().is_none_or(|wanted| format!("{proof:?}").contains(wanted)) {
            measure(proof);
        }
    }
}
