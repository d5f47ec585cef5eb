//! The keys of an IKE SA, derived from its shared secrets and compared with those that were logged.

use crate::coverage::Coverage;
use crate::message::Plain;
use ikev2_core::Role;
use ikev2_core::contents::Contents;
use ikev2_core::establish::secrets::{Agreement, IkeAlgorithms};
use ikev2_core::exchange::datagram::Datagram;
use ikev2_core::exchange::exchanges::Ends;
use ikev2_core::keys::{self, IkeKeys};
use ikev2_core::negotiation::{AdditionalExchanges, IkeExchange, accept_ike};
use ikev2_wire::{EncrId, IkeSpi, IntegId, KeMethod, NotifyType, PrfId, SaPayload, TransformType};
use ipsec_conformance::{IkeSaLines, Label};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketCipher};
use ipsec_types::SecretBytes;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;

/// An IKE SA of a conversation.
pub(crate) struct IkeSa<'a> {
    pub(crate) lines: &'a IkeSaLines,
    /// What was agreed, as either end has it.
    pub(crate) agreement: Agreement,
    /// The keys of IKE_SA_INIT or of the rekey, then those after each IKE_INTERMEDIATE that made new ones.
    stages: Vec<IkeKeys>,
    /// Those with which IKE_AUTH is proved and Child SAs are made: a PPK changes SK_d, SK_pi and SK_pr alone
    /// (RFC 8784 §3).
    pub(crate) final_keys: IkeKeys,
}

/// A cipher that the provider does not have: its key lengths, so that the keys can be derived.
#[derive(Debug)]
struct KeyLengths {
    suite: CipherSuite,
    encr: usize,
    salt: usize,
    integ: usize,
}

impl CipherAlgorithm for KeyLengths {
    fn suite(&self) -> CipherSuite {
        self.suite
    }

    fn library(&self) -> &'static str {
        "none"
    }

    fn encr_key_len(&self) -> usize {
        self.encr
    }

    fn salt_len(&self) -> usize {
        self.salt
    }

    fn integ_key_len(&self) -> usize {
        self.integ
    }

    fn for_ike(&self) -> bool {
        true
    }

    fn with_keys(&self, keys: &SaKeys) -> Result<Box<dyn PacketCipher>, CipherError> {
        Err(CipherError::KeyLength { expected: 0, got: keys.encr.len() })
    }
}

/// ChaCha20-Poly1305 (RFC 7634 §2), and AES-CBC with HMAC-SHA2-512-256 (RFC 4868 §2.1.1).
static LENGTHS: [KeyLengths; 2] = [
    KeyLengths {
        suite: CipherSuite { encr: EncrId::CHACHA20_POLY1305, key_bits: None, integ: IntegId::NONE },
        encr: 36,
        salt: 4,
        integ: 0,
    },
    KeyLengths {
        suite: CipherSuite { encr: EncrId::AES_CBC, key_bits: Some(256), integ: IntegId::HMAC_SHA2_512_256 },
        encr: 32,
        salt: 0,
        integ: 64,
    },
];

/// The provider's cipher, or one with nothing but its key lengths.
pub(crate) fn cipher(suite: CipherSuite) -> &'static dyn CipherAlgorithm {
    RUSTCRYPTO.cipher(suite).unwrap_or_else(|| {
        let lengths = LENGTHS.iter().find(|lengths| lengths.suite == suite);
        lengths.unwrap_or_else(|| panic!("nothing is known of {suite}"))
    })
}

/// Whether the provider has the cipher.
pub(crate) fn is_covered(suite: CipherSuite) -> bool {
    RUSTCRYPTO.cipher(suite).is_some()
}

/// The one transform of this type in the one proposal of an answer: its ID and key length.
pub(crate) fn chosen(answer: &SaPayload<'_>, ty: TransformType) -> Option<(u16, Option<u16>)> {
    let proposals: Vec<_> = answer.proposals().collect();
    assert_eq!(proposals.len(), 1);
    let of_type: Vec<_> = proposals[0].transforms().filter(|transform| transform.ty() == ty).collect();
    assert!(of_type.len() <= 1);
    of_type.first().map(|transform| (transform.id(), transform.key_bits()))
}

/// What protects packets, as the answer says.
pub(crate) fn chosen_suite(answer: &SaPayload<'_>) -> CipherSuite {
    let (encr, key_bits) = chosen(answer, TransformType::ENCR).unwrap();
    let integ = chosen(answer, TransformType::INTEG).map_or(IntegId::NONE, |(id, _)| IntegId(id));
    CipherSuite { encr: EncrId(encr), key_bits, integ }
}

/// The algorithms that the answer says, compared with those that were logged.
fn algorithms(answer: &SaPayload<'_>, lines: &IkeSaLines) -> IkeAlgorithms {
    let suite = chosen_suite(answer);
    let (prf, _) = chosen(answer, TransformType::PRF).unwrap();
    let (ke, _) = chosen(answer, TransformType::KE).unwrap();
    let (prf, ke) = (PrfId(prf), KeMethod(ke));
    let transforms = answer.proposals().next().unwrap().to_owned().transforms;
    let additional = AdditionalExchanges::of(&transforms);
    let logged = lines.algorithms.unwrap();
    assert_eq!((suite, Some(prf)), (logged.suite, logged.prf));
    if is_covered(suite) {
        let found = IkeAlgorithms::find(&RUSTCRYPTO, suite, prf, ke).unwrap();
        return IkeAlgorithms { additional, ..found };
    }
    IkeAlgorithms { cipher: cipher(suite), prf: RUSTCRYPTO.prf(prf).unwrap(), ke, additional }
}

/// Accepts the answer as the initiator does.
fn accept(
    request: &Contents<'_>,
    answer: &Contents<'_>,
    exchange: IkeExchange,
    algorithms: IkeAlgorithms,
    coverage: &mut Coverage,
) {
    let offered: Vec<_> =
        request.sa.iter().flat_map(|sa| sa.proposals()).map(|proposal| proposal.to_owned()).collect();
    let ke_sent = request.ke.unwrap().method;
    let choice = accept_ike(&offered, answer.sa.as_ref().unwrap(), exchange, ke_sent).unwrap();
    assert_eq!(choice.cipher, algorithms.cipher.suite());
    assert_eq!((choice.prf, choice.ke), (algorithms.prf.id(), algorithms.ke));
    assert_eq!(choice.additional, algorithms.additional);
    coverage.choices += 1;
}

fn spi(octets: &[u8]) -> IkeSpi {
    IkeSpi::new(u64::from_be_bytes(octets.try_into().unwrap())).unwrap()
}

impl<'a> IkeSa<'a> {
    /// The SA that IKE_SA_INIT makes.
    pub(crate) fn initial(
        lines: &'a IkeSaLines,
        request: &Plain,
        answer: &Plain,
        datagrams: [Datagram; 2],
        coverage: &mut Coverage,
    ) -> Self {
        let [request_octets, answer_octets] = datagrams;
        let algorithms = algorithms(answer.contents().sa.as_ref().unwrap(), lines);
        let said = [request, answer]
            .map(|init| init.contents().notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED).is_some());
        let intermediate = said == [true; 2];
        let exchange = IkeExchange::initial(intermediate);
        accept(&request.contents(), &answer.contents(), exchange, algorithms, coverage);
        let agreement = Agreement {
            algorithms,
            ends: Ends {
                role: Role::Initiator,
                initiator_spi: request.header.initiator_spi,
                responder_spi: answer.header.responder_spi.unwrap(),
            },
            initiator_nonce: request.contents().nonce.unwrap().as_bytes().to_vec(),
            responder_nonce: answer.contents().nonce.unwrap().as_bytes().to_vec(),
            request: request_octets,
            answer: answer_octets,
            peer_hashes: None,
            childless: false,
            intermediate,
        };
        let shared = lines.all(0, Label::Ke).next().unwrap();
        let seed = keys::skeyseed(agreement.algorithms.prf, agreement.nonces(), shared);
        let sa = Self::derive(lines, agreement, &seed, coverage);
        // The establishment layer takes the same steps by itself.
        if is_covered(sa.suite()) {
            assert_eq!(sa.agreement.keys(shared).unwrap().0, sa.stages[0]);
        }
        sa
    }

    /// The SA that a CREATE_CHILD_SA makes out of this one (RFC 7296 §2.18).
    pub(crate) fn rekeyed(
        &self,
        lines: &'a IkeSaLines,
        request: &Plain,
        answer: &Plain,
        coverage: &mut Coverage,
    ) -> Self {
        let (request, answer) = (request.contents(), answer.contents());
        let sa = answer.sa.as_ref().unwrap();
        let algorithms = algorithms(sa, lines);
        accept(&request, &answer, IkeExchange::Rekey, algorithms, coverage);
        let new_spi = |sa: &SaPayload<'_>| spi(sa.proposals().next().unwrap().spi());
        let agreement = Agreement {
            algorithms,
            ends: Ends {
                initiator_spi: new_spi(request.sa.as_ref().unwrap()),
                responder_spi: new_spi(sa),
                ..self.agreement.ends
            },
            initiator_nonce: request.nonce.unwrap().as_bytes().to_vec(),
            responder_nonce: answer.nonce.unwrap().as_bytes().to_vec(),
            ..self.agreement.clone()
        };
        let shared = lines.all(0, Label::Ke).next().unwrap();
        let old_prf = self.agreement.algorithms.prf;
        let seed = keys::rekey_skeyseed(old_prf, &self.final_keys.d, shared, agreement.nonces(), &[]);
        Self::derive(lines, agreement, &seed, coverage)
    }

    /// Derives the keys of every stage.
    fn derive(
        lines: &'a IkeSaLines,
        agreement: Agreement,
        seed: &SecretBytes,
        coverage: &mut Coverage,
    ) -> Self {
        let Ends { initiator_spi, responder_spi, .. } = agreement.ends;
        assert_eq!((initiator_spi, responder_spi), (lines.initiator, lines.responder));
        let both = [agreement.initiator_nonce.as_slice(), &agreement.responder_nonce].concat();
        let mut nonces = (0..=lines.last_stage()).flat_map(|stage| lines.all(stage, Label::Nonces));
        assert!(nonces.all(|logged| logged.as_slice() == both));
        let mut stages = vec![derived(lines, &agreement, 0, seed)];
        coverage.key_sets += 1;
        for stage in 1..=lines.last_stage() {
            let before = stages.last().unwrap();
            let Some(shared) = lines.all(stage, Label::Ke).next() else {
                // From a PPK (RFC 9867), which is not built.
                stages.push(logged(lines, stage, before));
                coverage.logged_key_sets += 1;
                continue;
            };
            let prf = agreement.algorithms.prf;
            let seed = keys::additional_skeyseed(prf, &before.d, shared, agreement.nonces());
            stages.push(derived(lines, &agreement, stage, &seed));
            coverage.key_sets += 1;
        }
        let last = stages.last().unwrap();
        let final_keys = logged(lines, lines.last_stage(), last);
        coverage.logged_key_sets += usize::from(final_keys != *last);
        Self { lines, agreement, stages, final_keys }
    }

    /// What protects the SA's messages.
    pub(crate) fn suite(&self) -> CipherSuite {
        self.agreement.algorithms.cipher.suite()
    }

    /// The keys of an IKE_INTERMEDIATE with this Message ID are those before it; all else has the last ones.
    pub(crate) fn message_keys(&self, intermediate: Option<u32>) -> &IkeKeys {
        match intermediate {
            Some(message_id) => &self.stages[message_id as usize - 1],
            None => self.stages.last().unwrap(),
        }
    }
}

/// Derives the keys of a stage and compares them with those that were logged.
fn derived(lines: &IkeSaLines, agreement: &Agreement, stage: usize, seed: &SecretBytes) -> IkeKeys {
    assert!(lines.all(stage, Label::Skeyseed).eq([seed]), "SKEYSEED of stage {stage}");
    let (prf, cipher) = (agreement.algorithms.prf, agreement.algorithms.cipher);
    let Ends { initiator_spi, responder_spi, .. } = agreement.ends;
    let keys = IkeKeys::derive(prf, cipher, seed, agreement.nonces(), initiator_spi, responder_spi).unwrap();
    for (label, key) in labelled(&keys) {
        match lines.all(stage, label).next() {
            Some(logged) => assert_eq!(key.as_slice(), logged.as_slice(), "{label:?} of stage {stage}"),
            None => assert!(key.is_empty(), "{label:?} of stage {stage} was not logged"),
        }
    }
    keys
}

fn labelled(keys: &IkeKeys) -> [(Label, &SecretBytes); 7] {
    [
        (Label::SkD, &keys.d),
        (Label::SkAi, &keys.ai),
        (Label::SkAr, &keys.ar),
        (Label::SkEi, &keys.ei),
        (Label::SkEr, &keys.er),
        (Label::SkPi, &keys.pi),
        (Label::SkPr, &keys.pr),
    ]
}

/// The keys that were logged last in a stage; those that were not logged are as before.
fn logged(lines: &IkeSaLines, stage: usize, before: &IkeKeys) -> IkeKeys {
    let last = |label, before: &SecretBytes| lines.all(stage, label).last().unwrap_or(before).clone();
    IkeKeys {
        d: last(Label::SkD, &before.d),
        ai: last(Label::SkAi, &before.ai),
        ar: last(Label::SkAr, &before.ar),
        ei: last(Label::SkEi, &before.ei),
        er: last(Label::SkEr, &before.er),
        pi: last(Label::SkPi, &before.pi),
        pr: last(Label::SkPr, &before.pr),
    }
}
