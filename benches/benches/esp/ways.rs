//! The ways of sealing and opening a batch in place that stand beside each other.

use aes::{Aes192, Aes256};
use aes_gcm::aead::consts::{U11, U12, U16};
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use aws_lc_rs::aead as lc;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;
use ipsec_benches::esp::{KEY, engines, receiver, sas};
use ipsec_crypto::aws_lc::AWS_LC;
use ipsec_crypto::{CipherAlgorithm, CryptoProvider, PacketCipher, PacketNumber};
use ipsec_esp::packet::Layout;
use ipsec_esp::{Arrival, Engine, InboundSa, OutboundSa, PacketBuf};
use ipsec_types::{EncrId, Instant};
use std::hint::black_box;

/// One way. `at` is the packet's place in the batch. Results are looked at where they lie: who moves them waits for the
/// octets that were just written.
pub(crate) trait Way {
    fn seal(&mut self, at: usize, packet: &mut PacketBuf<'_>);
    fn open(&mut self, at: usize, packet: &mut PacketBuf<'_>);

    fn seal_all(&mut self, packets: &mut [PacketBuf<'_>]) {
        packets.iter_mut().enumerate().for_each(|(at, packet)| self.seal(at, packet));
    }

    fn open_all(&mut self, packets: &mut [(Arrival, PacketBuf<'_>)]) {
        packets.iter_mut().enumerate().for_each(|(at, (_, packet))| self.open(at, packet));
    }
}

/// A library's AEAD in place.
trait Library {
    fn seal(&self, nonce: [u8; 12], aad: [u8; 8], text: &mut [u8], icv: &mut [u8]);
    fn open(&self, nonce: [u8; 12], aad: [u8; 8], text: &mut [u8], icv: &[u8]);
}

struct RustCrypto<A>(A);

fn nonce_of<A: AeadInOut>(nonce: [u8; 12]) -> Nonce<A> {
    let mut short = Nonce::<A>::default();
    let len = short.len();
    short.copy_from_slice(&nonce[nonce.len() - len..]);
    short
}

impl<A: AeadInOut> Library for RustCrypto<A> {
    fn seal(&self, nonce: [u8; 12], aad: [u8; 8], text: &mut [u8], icv: &mut [u8]) {
        let tag = self.0.encrypt_inout_detached(&nonce_of::<A>(nonce), &aad, text.into()).unwrap();
        icv.copy_from_slice(&tag);
    }

    fn open(&self, nonce: [u8; 12], aad: [u8; 8], text: &mut [u8], icv: &[u8]) {
        let tag = Tag::<A>::try_from(icv).unwrap();
        self.0.decrypt_inout_detached(&nonce_of::<A>(nonce), &aad, text.into(), &tag).unwrap();
    }
}

struct AwsLc(lc::LessSafeKey);

impl Library for AwsLc {
    fn seal(&self, nonce: [u8; 12], aad: [u8; 8], text: &mut [u8], icv: &mut [u8]) {
        let nonce = lc::Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_scatter(nonce, lc::Aad::from(aad), text, &[], icv).unwrap();
    }

    fn open(&self, nonce: [u8; 12], aad: [u8; 8], text: &mut [u8], icv: &[u8]) {
        let nonce = lc::Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place_separate_tag(nonce, lc::Aad::from(aad), icv, text).unwrap();
    }
}

/// The cipher alone: text in place, a tag behind it.
struct Bare<L> {
    library: L,
    layout: Layout,
    number: u64,
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    *nonce.last_chunk_mut().unwrap() = number.to_be_bytes();
    nonce
}

impl<L: Library> Way for Bare<L> {
    fn seal(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        self.number += 1;
        let text_at = self.layout.payload_offset();
        packet.grow(text_at, self.layout.behind(packet.len())).unwrap();
        let (head, rest) = packet.as_mut_slice().split_at_mut(text_at);
        // Of the number no more is sent than there is room for.
        head[text_at - 8..].copy_from_slice(&self.number.to_be_bytes());
        let text_len = rest.len() - 16;
        let (text, icv) = rest.split_at_mut(text_len);
        self.library.seal(nonce(self.number), head[..8].try_into().unwrap(), text, icv);
    }

    fn open(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        let text_at = self.layout.payload_offset();
        let (head, rest) = packet.as_mut_slice().split_at_mut(text_at);
        let number = u64::from_be_bytes(head[text_at - 8..].try_into().unwrap());
        let text_len = rest.len() - 16;
        let (text, icv) = rest.split_at_mut(text_len);
        self.library.open(nonce(number), head[..8].try_into().unwrap(), text, icv);
    }
}

/// The library's AEAD of a suite, if there is one.
fn bare(suite: &dyn CipherAlgorithm, layout: Layout) -> Option<Box<dyn Way>> {
    fn way(library: impl Library + 'static, layout: Layout) -> Option<Box<dyn Way>> {
        Some(Box::new(Bare { library, layout, number: 0 }))
    }
    fn rustcrypto<A: AeadInOut + KeyInit + 'static>(len: usize, layout: Layout) -> Option<Box<dyn Way>> {
        way(RustCrypto(A::new_from_slice(&KEY[..len]).unwrap()), layout)
    }
    let aws_lc = |algorithm: &'static lc::Algorithm| {
        let key = lc::UnboundKey::new(algorithm, &KEY[..algorithm.key_len()]).unwrap();
        way(AwsLc(lc::LessSafeKey::new(key)), layout)
    };
    let by_aws_lc = suite.library() == AWS_LC.name;
    match (suite.suite().encr, suite.suite().key_bits) {
        (EncrId::AES_GCM_16, Some(128)) if by_aws_lc => aws_lc(&lc::AES_128_GCM),
        (EncrId::AES_GCM_16, Some(192)) if by_aws_lc => aws_lc(&lc::AES_192_GCM),
        (EncrId::AES_GCM_16 | EncrId::AES_GCM_16_IIV, Some(256)) if by_aws_lc => aws_lc(&lc::AES_256_GCM),
        (EncrId::CHACHA20_POLY1305, _) if by_aws_lc => aws_lc(&lc::CHACHA20_POLY1305),
        (EncrId::AES_GCM_16, Some(128)) => rustcrypto::<Aes128Gcm>(16, layout),
        (EncrId::AES_GCM_16, Some(192)) => rustcrypto::<AesGcm<Aes192, U12>>(24, layout),
        (EncrId::AES_GCM_16 | EncrId::AES_GCM_16_IIV, Some(256)) => rustcrypto::<Aes256Gcm>(32, layout),
        (EncrId::CHACHA20_POLY1305, _) => rustcrypto::<ChaCha20Poly1305>(32, layout),
        (EncrId::AES_CCM_16, Some(256)) => rustcrypto::<Ccm<Aes256, U16, U11>>(32, layout),
        _ => None,
    }
}

/// The provider's packet cipher: the cipher, its IV and its additional data behind one call.
struct Packets {
    cipher: Box<dyn PacketCipher>,
    layout: Layout,
    number: u64,
}

impl Way for Packets {
    fn seal(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        self.number += 1;
        packet.grow(self.layout.payload_offset(), self.layout.behind(packet.len())).unwrap();
        // What ESP's header says of it, for opening.
        packet.as_mut_slice()[..8].copy_from_slice(&self.number.to_be_bytes());
        self.cipher.seal(PacketNumber::explicit(self.number), 8, packet.as_mut_slice()).unwrap();
    }

    fn open(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        let number = u64::from_be_bytes(packet.as_slice()[..8].try_into().unwrap());
        self.cipher.open(PacketNumber::explicit(number), 8, packet.as_mut_slice()).unwrap();
    }
}

/// One SA of each direction.
struct Sas(OutboundSa, InboundSa);

impl Way for Sas {
    fn seal(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        black_box(&self.0.seal(Instant::ZERO, packet)).as_ref().unwrap();
    }

    fn open(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        black_box(&self.1.open(Instant::ZERO, packet, None)).as_ref().unwrap();
    }
}

/// Engines with these SAs and a policy: the flow and the SA are found, reports and timers are kept.
struct Engines(Engine, Engine, Arrival);

impl Way for Engines {
    fn seal(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        black_box(&self.0.seal(Instant::ZERO, packet)).as_ref().unwrap();
    }

    fn open(&mut self, _: usize, packet: &mut PacketBuf<'_>) {
        black_box(&self.1.open(Instant::ZERO, self.2, packet)).as_ref().unwrap();
    }
}

/// The same, given all packets in one call.
struct Batches(Engines);

impl Way for Batches {
    fn seal(&mut self, at: usize, packet: &mut PacketBuf<'_>) {
        self.0.seal(at, packet);
    }

    fn open(&mut self, at: usize, packet: &mut PacketBuf<'_>) {
        self.0.open(at, packet);
    }

    fn seal_all(&mut self, packets: &mut [PacketBuf<'_>]) {
        self.0.0.seal_batch(Instant::ZERO, packets, |_, sealed| {
            black_box(&sealed).as_ref().unwrap();
        });
    }

    fn open_all(&mut self, packets: &mut [(Arrival, PacketBuf<'_>)]) {
        self.0.1.open_batch(Instant::ZERO, packets, |_, opened| {
            black_box(&opened).as_ref().unwrap();
        });
    }
}

/// Two ends of a WireGuard tunnel, whose packets go through buffers of their own.
struct Boringtun {
    ends: [Tunn; 2],
    /// Octets of each packet that was sealed, and where they lie.
    sealed: Vec<(usize, Vec<u8>)>,
    opened: Vec<u8>,
}

impl Boringtun {
    /// Octets of the largest packet with what WireGuard adds.
    const ROOM: usize = 10_000;

    fn new(batch: usize) -> Self {
        let [a, b] = [1, 2].map(|octet| StaticSecret::from([octet; 32]));
        let [to_a, to_b] = [&a, &b].map(PublicKey::from);
        let mut ends = [Tunn::new(a, to_b, None, None, 1, None), Tunn::new(b, to_a, None, None, 2, None)];
        // Initiation, response, and the keepalive that confirms it.
        let [mut message, mut answer] = [0; 2].map(|_| vec![0; Self::ROOM]);
        let mut len = match ends[0].format_handshake_initiation(&mut message, false) {
            TunnResult::WriteToNetwork(octets) => octets.len(),
            other => panic!("no initiation: {other:?}"),
        };
        for to in [1, 0, 1] {
            if let TunnResult::WriteToNetwork(octets) =
                ends[to].decapsulate(None, &message[..len], &mut answer)
            {
                len = octets.len();
                std::mem::swap(&mut message, &mut answer);
            }
        }
        Self { ends, sealed: vec![(0, vec![0; Self::ROOM]); batch], opened: vec![0; Self::ROOM] }
    }
}

impl Way for Boringtun {
    fn seal(&mut self, at: usize, packet: &mut PacketBuf<'_>) {
        let (len, room) = &mut self.sealed[at];
        match self.ends[0].encapsulate(packet.as_slice(), room) {
            TunnResult::WriteToNetwork(octets) => *len = black_box(octets).len(),
            other => panic!("not sealed: {other:?}"),
        }
    }

    fn open(&mut self, at: usize, packet: &mut PacketBuf<'_>) {
        let (len, datagram) = &self.sealed[at];
        match self.ends[1].decapsulate(None, &datagram[..*len], &mut self.opened) {
            TunnResult::WriteToTunnelV4(octets, _) => assert_eq!(black_box(octets).len(), packet.len()),
            other => panic!("not opened: {other:?}"),
        }
    }
}

pub(crate) const COLUMNS: [&str; 6] = ["bare", "PacketCipher", "SA", "Engine", "batch", "boringtun"];

/// As many as there are columns, but for the first where the library has no AEAD.
pub(crate) fn all(
    provider: &CryptoProvider,
    suite: &dyn CipherAlgorithm,
    batch: usize,
) -> Vec<Option<Box<dyn Way>>> {
    let cipher = suite.with_keys(&receiver(suite).keys).unwrap();
    let layout = Layout::of(&*cipher);
    let (out, inn) = sas(provider, suite).unwrap();
    let engines = || {
        let (a, b) = engines(provider, suite).unwrap();
        Engines(a, b, Arrival::udp(receiver(suite).child.path))
    };
    vec![
        bare(suite, layout),
        Some(Box::new(Packets { cipher, layout, number: 0 })),
        Some(Box::new(Sas(out, inn))),
        Some(Box::new(engines())),
        Some(Box::new(Batches(engines()))),
        Some(Box::new(Boringtun::new(batch))),
    ]
}
