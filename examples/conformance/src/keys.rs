//! Key files: what one side of a recorded conversation knew, a secret a line.

use ikev2_wire::PrfId;
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, EspSpi, IkeSpi, IntegId, SecretBytes, SequenceNumbers};
use std::net::IpAddr;
use thiserror::Error;

/// Why a key file cannot be read. Lines count from 1.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {kind}")]
pub struct KeyFileError {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub kind: KeyFileErrorKind,
}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KeyFileErrorKind {
    /// It is neither an `ike` nor an `esp` line with its number of words.
    #[error("no ike or esp line")]
    Form,
    /// A word that must be a number, an address, or hexadecimal octets.
    #[error("{0:?} is no value of its place")]
    Value(String),
    /// A label that no secret has.
    #[error("{0:?} names no secret")]
    Label(String),
    /// An algorithm that has no name here.
    #[error("{0:?} names no algorithm")]
    Algorithm(String),
}

/// Which secret a line holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Label {
    /// `ke`: the shared secret of the key exchange.
    Ke,
    /// `addke`: that of an additional key exchange.
    AddKe,
    /// `nonces`: Ni | Nr.
    Nonces,
    /// `skeyseed`.
    Skeyseed,
    /// `d`.
    SkD,
    /// `ai`.
    SkAi,
    /// `ar`.
    SkAr,
    /// `ei`, salt included.
    SkEi,
    /// `er`, salt included.
    SkEr,
    /// `pi`.
    SkPi,
    /// `pr`.
    SkPr,
    /// `intauth`: IntAuth of a direction.
    IntAuth,
    /// `octets`: what is under an AUTH.
    SignedOctets,
    /// `psk`: a shared secret behind an AUTH; with EAP its MSK, or SK_p where it has none.
    SharedSecret,
    /// `auth`: an AUTH by shared secret.
    Auth,
    /// `ppk`: a post-quantum preshared key.
    Ppk,
    /// `child-ke`: the shared secret of a CREATE_CHILD_SA for a Child SA.
    ChildKe,
}

/// The words of the format.
const LABELS: [(&str, Label); 17] = [
    ("ke", Label::Ke),
    ("addke", Label::AddKe),
    ("nonces", Label::Nonces),
    ("skeyseed", Label::Skeyseed),
    ("d", Label::SkD),
    ("ai", Label::SkAi),
    ("ar", Label::SkAr),
    ("ei", Label::SkEi),
    ("er", Label::SkEr),
    ("pi", Label::SkPi),
    ("pr", Label::SkPr),
    ("intauth", Label::IntAuth),
    ("octets", Label::SignedOctets),
    ("psk", Label::SharedSecret),
    ("auth", Label::Auth),
    ("ppk", Label::Ppk),
    ("child-ke", Label::ChildKe),
];

/// The algorithms that a proposal's text names. Key exchange methods are not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Algorithms {
    /// What protects packets. The key length is missing where the text does not tell it.
    pub suite: CipherSuite,
    /// The PRF of an IKE SA.
    pub prf: Option<PrfId>,
    /// The sequence numbers of an ESP SA.
    pub sequence_numbers: SequenceNumbers,
}

/// All lines about one IKE SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IkeSaLines {
    /// The initiator's SPI.
    pub initiator: IkeSpi,
    /// The responder's SPI.
    pub responder: IkeSpi,
    /// What was negotiated.
    pub algorithms: Option<Algorithms>,
    secrets: Vec<(usize, Label, SecretBytes)>,
}

impl IkeSaLines {
    /// The secrets with this label, in the order of the file. Stage 0 is IKE_SA_INIT or the rekey; each
    /// IKE_INTERMEDIATE that makes new keys begins another one.
    pub fn all(&self, stage: usize, label: Label) -> impl Iterator<Item = &SecretBytes> {
        self.secrets.iter().filter(move |line| (line.0, line.1) == (stage, label)).map(|line| &line.2)
    }

    /// The last stage that has keys.
    #[must_use]
    pub fn last_stage(&self) -> usize {
        self.secrets.iter().map(|line| line.0).max().unwrap_or(0)
    }
}

/// One direction of a Child SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EspLine {
    /// The SPI on the wire.
    pub spi: EspSpi,
    /// The sender's address.
    pub source: IpAddr,
    /// The receiver's address.
    pub destination: IpAddr,
    /// The algorithms, the key length always told.
    pub algorithms: Algorithms,
    /// The keys.
    pub keys: SaKeys,
}

/// A key file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyFile {
    ike: Vec<IkeSaLines>,
    esp: Vec<EspLine>,
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`] at the first line that is not as the format says.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut file = Self::default();
        for (line, words) in (1..).zip(text.lines()) {
            let words: Vec<&str> = words.split_whitespace().collect();
            file.read_line(&words).map_err(|kind| KeyFileError { line, kind })?;
        }
        Ok(file)
    }

    /// The IKE SAs, in the order in which they were made.
    #[must_use]
    pub fn ike_sas(&self) -> &[IkeSaLines] {
        &self.ike
    }

    /// The lines of one IKE SA.
    #[must_use]
    pub fn ike_sa(&self, initiator: IkeSpi, responder: IkeSpi) -> Option<&IkeSaLines> {
        self.ike.iter().find(|sa| (sa.initiator, sa.responder) == (initiator, responder))
    }

    /// The ESP SAs, in the order of the file. One that both an IKE daemon and a kernel told of is there twice.
    #[must_use]
    pub fn esp_sas(&self) -> &[EspLine] {
        &self.esp
    }

    fn read_line(&mut self, words: &[&str]) -> Result<(), KeyFileErrorKind> {
        match *words {
            [] => Ok(()),
            ["ike", i, r, stage, label, value] => {
                let sa = self.ike_lines(ike_spi(i)?, ike_spi(r)?).ok_or(KeyFileErrorKind::Form)?;
                let stage = stage.parse().map_err(|_| KeyFileErrorKind::Value(stage.into()))?;
                if label == "proposal" {
                    sa.algorithms = Some(algorithms(value)?);
                    return Ok(());
                }
                let (_, known) = LABELS
                    .iter()
                    .find(|(word, _)| *word == label)
                    .ok_or_else(|| KeyFileErrorKind::Label(label.into()))?;
                sa.secrets.push((stage, *known, octets(value)?));
                Ok(())
            }
            ["esp", spi, source, destination, proposal, encr, integ] => {
                let bad = |word: &str| KeyFileErrorKind::Value(word.into());
                let keys = SaKeys { encr: octets(encr)?, integ: octets(integ)? };
                let mut algorithms = algorithms(proposal)?;
                if algorithms.suite.encr == EncrId::AES_GCM_16 && algorithms.suite.key_bits.is_none() {
                    // A kernel names the mode alone. The key ends in four octets of salt (RFC 4106 §8.1).
                    let bits = keys.encr.len().checked_sub(4).and_then(|key| key.checked_mul(8));
                    let bits = bits.and_then(|bits| u16::try_from(bits).ok());
                    algorithms.suite.key_bits = Some(bits.ok_or_else(|| bad(encr))?);
                }
                self.esp.push(EspLine {
                    spi: u32::from_str_radix(spi, 16).ok().and_then(EspSpi::new).ok_or_else(|| bad(spi))?,
                    source: source.parse().map_err(|_| bad(source))?,
                    destination: destination.parse().map_err(|_| bad(destination))?,
                    algorithms,
                    keys,
                });
                Ok(())
            }
            _ => Err(KeyFileErrorKind::Form),
        }
    }

    /// The lines of one IKE SA, made where there are none. It is always found.
    fn ike_lines(&mut self, initiator: IkeSpi, responder: IkeSpi) -> Option<&mut IkeSaLines> {
        let is_it = |sa: &IkeSaLines| (sa.initiator, sa.responder) == (initiator, responder);
        if !self.ike.iter().any(is_it) {
            self.ike.push(IkeSaLines { initiator, responder, algorithms: None, secrets: Vec::new() });
        }
        self.ike.iter_mut().find(|sa| is_it(sa))
    }
}

fn ike_spi(word: &str) -> Result<IkeSpi, KeyFileErrorKind> {
    let value = u64::from_str_radix(word, 16).ok().and_then(IkeSpi::new);
    value.ok_or_else(|| KeyFileErrorKind::Value(word.into()))
}

/// Hexadecimal octets; `-` is none.
fn octets(word: &str) -> Result<SecretBytes, KeyFileErrorKind> {
    if word == "-" {
        return Ok(SecretBytes::zeroed(0));
    }
    let digits: Option<Vec<u8>> =
        word.chars().map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    match digits.as_deref().map(<[u8]>::as_chunks) {
        Some((pairs, [])) => {
            Ok(pairs.iter().map(|[high, low]| (high << 4) | low).collect::<Vec<u8>>().into())
        }
        _ => Err(KeyFileErrorKind::Value(word.into())),
    }
}

/// The algorithms of a text such as `AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519`.
fn algorithms(text: &str) -> Result<Algorithms, KeyFileErrorKind> {
    let mut names = text.split('/');
    let cipher = names.next().unwrap_or_default();
    let unknown = || KeyFileErrorKind::Algorithm(cipher.into());
    let (encr, bits) = [
        ("AES_GCM_16", EncrId::AES_GCM_16),
        ("AES_CBC", EncrId::AES_CBC),
        ("CHACHA20_POLY1305", EncrId::CHACHA20_POLY1305),
    ]
    .iter()
    .find_map(|(name, encr)| Some((*encr, cipher.strip_prefix(name)?)))
    .ok_or_else(unknown)?;
    let key_bits = match bits.strip_prefix('_') {
        Some(bits) => Some(bits.parse().map_err(|_| unknown())?),
        None if bits.is_empty() => None,
        None => return Err(unknown()),
    };
    let mut found = Algorithms {
        suite: CipherSuite { encr, key_bits, integ: IntegId::NONE },
        prf: None,
        sequence_numbers: SequenceNumbers::Sequential32,
    };
    for name in names {
        match name {
            "HMAC_SHA2_256_128" => found.suite.integ = IntegId::HMAC_SHA2_256_128,
            "HMAC_SHA2_512_256" => found.suite.integ = IntegId::HMAC_SHA2_512_256,
            "PRF_HMAC_SHA2_256" => found.prf = Some(PrfId::HMAC_SHA2_256),
            "PRF_HMAC_SHA2_384" => found.prf = Some(PrfId::HMAC_SHA2_384),
            "PRF_HMAC_SHA2_512" => found.prf = Some(PrfId::HMAC_SHA2_512),
            "NO_EXT_SEQ" => found.sequence_numbers = SequenceNumbers::Sequential32,
            "EXT_SEQ" => found.sequence_numbers = SequenceNumbers::Sequential64,
            "CURVE_25519" | "DH31" | "ML_KEM_512" | "KE1_ML_KEM_768" => {}
            other => return Err(KeyFileErrorKind::Algorithm(other.into())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
ike 0000000000000001 0000000000000002 0 proposal AES_CBC_256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/CURVE_25519
ike 0000000000000001 0000000000000002 0 ke 0aff
ike 0000000000000001 0000000000000002 1 ke 0b
ike 0000000000000003 0000000000000004 0 psk -
ike 0000000000000001 0000000000000002 0 ke 0c
esp 00000100 10.0.0.1 10.0.0.2 AES_GCM_16/EXT_SEQ 000102030405060708090a0b0c0d0e0f10111213 -
esp 00000101 2001:db8::1 2001:db8::2 AES_CBC_128/HMAC_SHA2_256_128/NO_EXT_SEQ aa bb
";

    #[test]
    fn lines_are_kept_by_sa_stage_and_label() {
        let file = KeyFile::parse(FILE).unwrap();
        let spi = |value| IkeSpi::new(value).unwrap();
        assert_eq!(file.ike_sas().len(), 2);
        let sa = file.ike_sa(spi(1), spi(2)).unwrap();
        let all = |stage| sa.all(stage, Label::Ke).map(SecretBytes::as_slice).collect::<Vec<_>>();
        assert_eq!(
            (all(0), all(1), sa.last_stage()),
            (vec![&[0x0a, 0xff][..], &[0x0c]], vec![&[0x0b][..]], 1)
        );
        let told = sa.algorithms.unwrap();
        assert_eq!(told.suite.to_string(), "ENCR_AES_CBC-256/AUTH_HMAC_SHA2_512_256");
        assert_eq!(told.prf, Some(PrfId::HMAC_SHA2_512));
        assert_eq!(file.ike_sa(spi(1), spi(3)), None);
    }

    #[test]
    fn esp_lines_tell_the_key_length() {
        let file = KeyFile::parse(FILE).unwrap();
        let [gcm, cbc] = file.esp_sas() else { panic!("two lines") };
        assert_eq!(gcm.algorithms.suite.to_string(), "ENCR_AES_GCM_16-128");
        assert_eq!(gcm.algorithms.sequence_numbers, SequenceNumbers::Sequential64);
        assert!(gcm.keys.integ.is_empty());
        assert_eq!(cbc.algorithms.suite.to_string(), "ENCR_AES_CBC-128/AUTH_HMAC_SHA2_256_128");
        assert_eq!((cbc.keys.encr.as_slice(), cbc.keys.integ.as_slice()), (&[0xaa][..], &[0xbb][..]));
        assert!(cbc.source.is_ipv6());
    }

    #[test]
    fn other_lines_are_refused_with_their_number() {
        use KeyFileErrorKind::{Algorithm, Form, Label, Value};
        let spis = "0000000000000001 0000000000000002";
        for (line, kind) in [
            ("esp 1".to_owned(), Form),
            (format!("ike {spis} 0 sk 00"), Label("sk".into())),
            (format!("ike {spis} 0 ke 0"), Value("0".into())),
            (format!("ike {spis} x ke 00"), Value("x".into())),
            (format!("ike {spis} 0 proposal AES_XTS"), Algorithm("AES_XTS".into())),
            (format!("ike {spis} 0 proposal AES_CBC256"), Algorithm("AES_CBC256".into())),
            (format!("ike {spis} 0 proposal AES_CBC_256/MD5"), Algorithm("MD5".into())),
            ("ike 0 1 0 ke 00".into(), Value("0".into())),
            ("esp 0 10.0.0.1 10.0.0.2 AES_GCM_16_128 - -".into(), Value("0".into())),
            ("esp 100 10.0.0.1 10.0.0.2 AES_GCM_16 0011 -".into(), Value("0011".into())),
        ] {
            assert_eq!(KeyFile::parse(&format!("\n{line}\n")), Err(KeyFileError { line: 2, kind }), "{line}");
        }
    }
}
