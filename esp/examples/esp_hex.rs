//! Seals and opens packets given in hexadecimal: one command a line on standard input, one answer a line on
//! standard output. For programs in other languages that check this crate against other implementations.
//!
//! ```text
//! sa NAME suite=20-128-0 spi=00001001 encr=HEX integ=HEX esn=0 udp=1 local=192.0.2.1 remote=192.0.2.2 start=0
//! seal NAME HEX      the inner IP packet; the answer is the outer IP packet
//! open NAME HEX      the outer IP packet; the answer is the inner IP packet
//! mtu NAME N         the largest inner packet for an outer MTU
//! ```
//!
//! An SA of this program has both directions, with one SPI and one key. Its suite is three numbers: the
//! encryption algorithm's transform ID, the bits of its key (0 for none to be said), the integrity algorithm's
//! transform ID. `start` is the sequence number before its first. `mode=transport` and `mode=beet` are for these
//! modes; `inner-local` and `inner-remote` are addresses that the selectors name alone. Answers are `ok`, `ok HEX`,
//! or `error` with the reason.

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::{
    Framing, InboundConfig, InboundSa, MAX_HEADROOM, MAX_TAILROOM, OPEN_HEADROOM, Opened, OutboundConfig,
    OutboundSa, PacketBuf,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, PolicyId, SaInstall, SaKeys};
use ipsec_types::{
    AddressRange, Encapsulation, EncrId, EspSpi, Instant, IntegId, Mode, Path, SecretBytes, SequenceNumbers,
    TrafficSelector,
};
use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

type Answer<T> = Result<T, Box<dyn Error>>;

struct Sa {
    outbound: OutboundSa,
    inbound: InboundSa,
}

fn main() -> io::Result<()> {
    let mut sas = HashMap::new();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        match answer(&mut sas, &line?) {
            Ok(text) => writeln!(out, "ok {text}")?,
            Err(error) => writeln!(out, "error {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn answer(sas: &mut HashMap<String, Sa>, line: &str) -> Answer<String> {
    let mut words = line.split_whitespace();
    let command = words.next().ok_or("no command")?;
    let name = words.next().ok_or("no name")?.to_owned();
    if command == "sa" {
        sas.insert(name, make(words.filter_map(|word| word.split_once('=')).collect())?);
        return Ok(String::new());
    }
    let sa = sas.get_mut(&name).ok_or("no such SA")?;
    let operand = words.next().unwrap_or_default();
    match command {
        "seal" => seal(&mut sa.outbound, &from_hex(operand)?),
        "open" => open(&mut sa.inbound, &from_hex(operand)?),
        "mtu" => Ok(sa.outbound.max_inner(operand.parse()?).ok_or("nothing fits")?.to_string()),
        _ => Err("unknown command".into()),
    }
}

fn make(options: HashMap<&str, &str>) -> Answer<Sa> {
    let option = |name: &str| options.get(name).copied().ok_or(format!("{name} is missing"));
    let suite: Vec<u16> = option("suite")?.split('-').map(str::parse).collect::<Result<_, _>>()?;
    let &[encr, bits, integ] = &suite[..] else { return Err("suite: three numbers".into()) };
    let suite = CipherSuite {
        encr: EncrId(encr),
        key_bits: Some(bits).filter(|bits| *bits > 0),
        integ: IntegId(integ),
    };
    let mode = match options.get("mode").copied().unwrap_or("tunnel") {
        "tunnel" => Mode::Tunnel,
        "transport" => Mode::Transport,
        "beet" => Mode::Beet,
        _ => return Err("mode: tunnel, transport or beet".into()),
    };
    let end = |name: &str| -> Answer<SocketAddr> { Ok((option(name)?.parse::<IpAddr>()?, 4500).into()) };
    let inside = |name: &str| -> Answer<Vec<TrafficSelector>> {
        Ok(match options.get(name) {
            Some(address) => vec![TrafficSelector::addresses(AddressRange::single(address.parse()?))],
            None => vec![TrafficSelector::ALL_V4, TrafficSelector::ALL_V6],
        })
    };
    let flag = |name: &str| Ok::<_, String>(option(name)? == "1");
    let child = Arc::new(ChildSa {
        id: ChildSaId(1),
        policy: PolicyId(1),
        suite,
        mode,
        sequence_numbers: match flag("esn")? {
            true => SequenceNumbers::Sequential64,
            false => SequenceNumbers::Sequential32,
        },
        encapsulation: if flag("udp")? { Encapsulation::Udp } else { Encapsulation::None },
        path: Path::nat_t(end("local")?, end("remote")?),
        local: inside("inner-local")?,
        remote: inside("inner-remote")?,
        lifetimes: Lifetimes::default(),
        original_addresses: None,
        tfc_allowed: false,
        replaces: None,
        group: None,
    });
    let install = SaInstall {
        child,
        spi: EspSpi::new(u32::from_str_radix(option("spi")?, 16)?).ok_or("SPI 0")?,
        keys: SaKeys {
            encr: SecretBytes::from(from_hex(option("encr")?)?),
            integ: SecretBytes::from(from_hex(option("integ")?)?),
        },
    };
    let config = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
    let mut sa = Sa {
        outbound: OutboundSa::new(&RUSTCRYPTO, install.clone(), config, Instant::ZERO)?,
        inbound: InboundSa::new(&RUSTCRYPTO, install, InboundConfig::default(), Instant::ZERO)?,
    };
    let start: u64 = option("start")?.parse()?;
    if !sa.outbound.leap_to(start) {
        return Err("start is past the last sequence number".into());
    }
    if start > 0 {
        sa.inbound.resume_at(start);
    }
    Ok(sa)
}

fn seal(sa: &mut OutboundSa, inner: &[u8]) -> Answer<String> {
    let mut buffer = vec![0; MAX_HEADROOM];
    buffer.extend_from_slice(inner);
    buffer.resize(MAX_HEADROOM + inner.len() + MAX_TAILROOM, 0);
    let at = MAX_HEADROOM..MAX_HEADROOM + inner.len();
    let mut packet = PacketBuf::new(&mut buffer, at).ok_or("outside of the buffer")?;
    sa.seal(Instant::ZERO, &mut packet)?;
    Ok(to_hex(packet.as_slice()))
}

fn open(sa: &mut InboundSa, outer: &[u8]) -> Answer<String> {
    let mut buffer = vec![0; OPEN_HEADROOM];
    buffer.extend_from_slice(outer);
    let at = OPEN_HEADROOM..buffer.len();
    let mut packet = PacketBuf::new(&mut buffer, at).ok_or("outside of the buffer")?;
    match sa.open_ip(Instant::ZERO, &mut packet)? {
        Opened::Packet(_) => Ok(to_hex(packet.as_slice())),
        Opened::Dummy => Ok("dummy".to_owned()),
    }
}

fn from_hex(text: &str) -> Answer<Vec<u8>> {
    let octet = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    text.as_bytes().chunks(2).map(octet).collect()
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
