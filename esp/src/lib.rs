//! ESP (RFC 4303) as pure state machines over buffers: packets are protected and opened in place, by method
//! calls, without allocating and without copying a payload.
//!
//! No socket, no clock, no thread, no randomness: time is an argument, packets are slices, and everything that
//! IKE says or must hear is one of two values, [`SaCommand`](ipsec_types::SaCommand) and
//! [`SaReport`](ipsec_types::SaReport).
//!
//! # Levels
//!
//! | type | what it is |
//! |---|---|
//! | [`Engine`] | all SAs of a host: finds the SA of a packet, takes commands, gives reports, keeps timers |
//! | [`OutboundSa`], [`InboundSa`] | one direction of one pair, for embedders with a table of their own |
//! | `SharedOutboundSa`, `SharedInboundSa` | the same for several threads at once (feature `std`) |
//!
//! [`spd`] is the policy that an engine can be given: PROTECT, BYPASS and DISCARD entries in order. Without one the
//! selectors of the SAs decide alone. Usable alone: [`replay`] (the anti-replay window), [`packet`] (sizes and
//! layout), [`ip`] and [`outer`] (headers), [`ecn`] (the tables of RFC 6040), [`selectors`], [`icmp`] (errors to send
//! and to hear), [`audit`] (what an administrator may see of single packets).
//!
//! # The order of the calls
//!
//! 1. [`Engine::apply`] with each command of IKE, in order.
//! 2. A packet to send: [`Engine::seal`], or [`Engine::send`] where policy may let packets pass unprotected, on a
//!    [`PacketBuf`] with [`MAX_HEADROOM`] octets of room in front of it and [`MAX_TAILROOM`] behind it; then send
//!    it as [`Outgoing`] says.
//! 3. A packet received: [`Engine::open`], or [`Engine::open_ip`] where it still has its outer header; then
//!    deliver the inner packet.
//! 4. After any call: [`Engine::poll_report`] until `None`, each report to IKE; [`Engine::poll_timeout`], and
//!    [`Engine::handle_timeout`] when that time has come. The next deadline is then later, or none. And, for who wants
//!    to see them, [`Engine::poll_audit`].
//!
//! Several packets go in one call with [`Engine::seal_batch`], [`Engine::send_batch`] and [`Engine::open_batch`]: where there
//! are thousands of SAs the waits for memory overlap. Where each core has a pair of its own, [`Engine::set_resource`] says
//! which one sends.
//!
//! [`Engine::export`] and [`Engine::import`] move pairs of SAs to another process, numbers and all;
//! [`Engine::checkpoint`] is for a standby.
//!
//! A call with bad input changes nothing but [`Engine::statistics`], and says why. Whatever grows is bounded by
//! a field of [`EngineConfig`], which names its default and its cost.
//!
//! # Two engines, one packet
//!
//! ```
//! use ipsec_crypto::rustcrypto::RUSTCRYPTO;
//! use ipsec_esp::{Arrival, Engine, EngineConfig, MAX_HEADROOM, MAX_TAILROOM, Opened, PacketBuf};
//! use ipsec_types::algorithm::CipherSuite;
//! use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, PolicyId, SaInstall, SaKeys};
//! use ipsec_types::{
//!     Encapsulation, EncrId, EspSpi, Instant, IntegId, Mode, Path, SaCommand, SaReport, SecretBytes,
//!     SequenceNumbers, TrafficSelector,
//! };
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // What IKE would have agreed on: a tunnel for all IPv4 traffic, in UDP.
//! let (alice, bob) = ("192.0.2.1:4500".parse()?, "198.51.100.2:4500".parse()?);
//! let child = |path| ChildSa {
//!     id: ChildSaId(1),
//!     policy: PolicyId(1),
//!     suite: CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(128), integ: IntegId::NONE },
//!     mode: Mode::Tunnel,
//!     sequence_numbers: SequenceNumbers::Sequential64,
//!     encapsulation: Encapsulation::Udp,
//!     path,
//!     local: vec![TrafficSelector::ALL_V4],
//!     remote: vec![TrafficSelector::ALL_V4],
//!     lifetimes: Lifetimes::default(),
//!     original_addresses: None,
//!     tfc_allowed: false,
//!     replaces: None,
//!     group: None,
//! };
//! let install = |path| SaInstall {
//!     child: Arc::new(child(path)),
//!     spi: EspSpi::new(0xC0FF_EE01).unwrap(),
//!     keys: SaKeys { encr: SecretBytes::copy_from(&[7; 20]), integ: SecretBytes::zeroed(0) },
//! };
//! let now = Instant::ZERO;
//! let mut a = Engine::new(&RUSTCRYPTO, EngineConfig::default());
//! a.apply(now, SaCommand::InstallOutbound(Box::new(install(Path::nat_t(alice, bob)))))?;
//! let mut b = Engine::new(&RUSTCRYPTO, EngineConfig::default());
//! b.apply(now, SaCommand::InstallInbound(Box::new(install(Path::nat_t(bob, alice)))))?;
//!
//! // An IP packet, read into the middle of a buffer.
//! let mut buffer = [0; 2048];
//! let inner = [
//!     0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7, 0, 7, 0, 8, 0, 0,
//! ];
//! let at = MAX_HEADROOM..MAX_HEADROOM + inner.len();
//! buffer[at.clone()].copy_from_slice(&inner);
//! assert!(buffer.len() >= at.end + MAX_TAILROOM);
//!
//! let mut packet = PacketBuf::new(&mut buffer, at.clone()).unwrap();
//! let outgoing = a.seal(now, &mut packet)?;
//! assert_eq!((outgoing.path.remote, outgoing.sealed.number), (bob, 1));
//! let datagram = packet.as_slice(); // goes out by the UDP socket
//! assert_eq!(datagram[..8], [0xC0, 0xFF, 0xEE, 0x01, 0, 0, 0, 1]);
//!
//! // The same octets, received at the other end.
//! let incoming = b.open(now, Arrival::udp(Path::nat_t(bob, alice)), &mut packet)?;
//! assert!(matches!(incoming.opened, Opened::Packet(_)));
//! assert_eq!((packet.range(), packet.as_slice()), (at, &inner[..]));
//! assert!(matches!(b.poll_report(), Some(SaReport::LastInbound { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! # A turn of an embedder's loop
//!
//! ```
//! use ipsec_esp::{Arrival, Engine, MAX_HEADROOM, Opened, PacketBuf};
//! use ipsec_types::{Instant, Path, SaReport};
//! use std::io::{self, Write};
//! use std::net::UdpSocket;
//!
//! /// What the loop was woken by. The octets lie in its buffer, those of the TUN device behind some headroom.
//! enum Wake {
//!     FromTun { len: usize },
//!     FromSocket { len: usize, path: Path },
//!     Deadline,
//! }
//!
//! /// Does what is to be done and says when to wake up at the latest.
//! fn turn(
//!     engine: &mut Engine,
//!     now: Instant,
//!     wake: Wake,
//!     buffer: &mut [u8],
//!     socket: &UdpSocket,
//!     tun: &mut impl Write,
//!     mut to_ike: impl FnMut(SaReport),
//! ) -> io::Result<Option<Instant>> {
//!     match wake {
//!         Wake::FromTun { len } => {
//!             if let Some(mut packet) = PacketBuf::new(buffer, MAX_HEADROOM..MAX_HEADROOM + len)
//!                 && let Ok(outgoing) = engine.seal(now, &mut packet)
//!             {
//!                 socket.send_to(packet.as_slice(), outgoing.path.remote)?;
//!             }
//!         }
//!         Wake::FromSocket { len, path } => {
//!             if let Some(mut packet) = PacketBuf::new(buffer, 0..len)
//!                 && let Ok(incoming) = engine.open(now, Arrival::udp(path), &mut packet)
//!                 && let Opened::Packet(_) = incoming.opened
//!             {
//!                 tun.write_all(packet.as_slice())?;
//!             }
//!         }
//!         Wake::Deadline => engine.handle_timeout(now),
//!     }
//!     while let Some(report) = engine.poll_report() {
//!         to_ike(report);
//!     }
//!     Ok(engine.poll_timeout())
//! }
//! ```
//!
//! # What is carried
//!
//! Tunnel mode, IPv4 and IPv6 in either; transport mode, with IPv4 options and IPv6 extension headers, and the
//! checksum repair of RFC 3948 behind NATs; BEET mode as the Linux kernel does it (RFC 7402 Appendix B); 32-bit and
//! 64-bit sequence numbers; raw or in UDP (RFC 3948); SAs to groups, with preserved addresses (RFC 5374); SAs per core (RFC 9611); TFC padding
//! and dummy packets; ECN by RFC 6040; path MTU and the ICMP errors to send ([`icmp`]). IP reassembly before ESP,
//! fragmentation and routing are the embedder's.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod audit;
mod beet;
pub mod buffer;
mod checksum;
pub mod config;
pub mod ecn;
pub mod engine;
pub mod error;
mod form;
mod header;
pub mod icmp;
pub mod inbound;
mod install;
pub mod ip;
pub mod lifetime;
mod nat;
mod opener;
pub mod outbound;
pub mod outer;
pub mod packet;
mod path_mtu;
pub mod replay;
mod restore;
pub mod resync;
mod saved;
mod sealer;
pub mod selectors;
mod sequence;
#[cfg(feature = "std")]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub mod shared;
pub mod spd;
pub mod statistics;

pub use audit::{AuditConfig, AuditEvent, AuditRecord};
pub use beet::PseudoHeaderError;
pub use buffer::{NoRoom, PacketBuf};
pub use config::{Framing, InboundConfig, OutboundConfig, TfcPadding};
pub use engine::{
    Arrival, Checkpoint, Engine, EngineConfig, EngineStatistics, Incoming, Outgoing, ReportConfig, Sending,
};
pub use error::{CommandError, InstallError, MoveError, NotCarried, OpenError, SealError};
pub use inbound::{InboundSa, Opened};
pub use outbound::{OutboundSa, Sealed};
pub use path_mtu::PathMtuConfig;
pub use replay::{AntiReplay, WindowSize};
pub use resync::Resync;
#[cfg(feature = "std")]
pub use shared::{SharedInboundSa, SharedOutboundSa};
pub use statistics::{DropReason, Statistics};

/// Octets of room that are enough in front of a packet for every SA: IPv6, UDP and ESP header, and an IV of 16
/// octets. [`OutboundSa::headroom`] is what one SA needs.
pub const MAX_HEADROOM: usize = outer::MAX_OUTER_HEADER + packet::ESP_HEADER + 16;

/// Octets of room that are enough in front of a received ESP packet that came without its IP header, for every
/// SA: in transport and BEET mode the packet gets a header, at most IPv6's, in the place of ESP's. Tunnel mode
/// needs none. A whole packet in BEET mode, IPv6 inside of IPv4, needs 12 octets.
pub const OPEN_HEADROOM: usize = outer::ip_header_len(false) - packet::ESP_HEADER;

/// Octets of room that are enough behind a packet for every SA without TFC padding: padding to a block of 16,
/// trailer, and an ICV of 32 octets. [`OutboundSa::tailroom`] is what one SA needs, TFC padding included.
pub const MAX_TAILROOM: usize = 15 + packet::TRAILER + 32;
