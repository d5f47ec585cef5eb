//! Messages and chains of payloads as indented text for people: what was proposed, selected, notified, and what
//! is malformed and where.
//!
//! Keys do not come this way, but identities, addresses and SPIs do. Key exchange data, nonces, certificates,
//! signatures and other long octets are told by their length alone. Text from the peer is escaped.

use crate::chain::{GenericHeader, Payloads, RawPayload};
use crate::codes::{IdType, PayloadType};
use crate::message::Message;
use crate::payload::Payload;
use crate::payload::cp::{CpAttribute, CpPayload};
use crate::payload::delete::DeletePayload;
use crate::payload::eap::EapPayload;
use crate::payload::encrypted::Protected;
use crate::payload::id::IdPayload;
use crate::payload::notify::NotifyPayload;
use crate::payload::sa::SaPayload;
use crate::payload::ts::{Selector, TsPayload};
use core::fmt::{Display, Formatter, Result};

/// The payloads of a chain, each on a line of its own and what is in it on lines below.
///
/// For the payloads inside SK, once decrypted; a [`Message`] prints those outside itself.
///
/// ```
/// use ikev2_wire::{Payload, PayloadType, Payloads, NotifyPayload, NotifyType, encode_chain, print::Tree};
///
/// let mut plaintext = Vec::new();
/// let notify = NotifyPayload::new(NotifyType::SET_WINDOW_SIZE, &[0, 0, 0, 5]);
/// let first = encode_chain(&[Payload::Notify(notify)], &mut plaintext)?;
/// let payloads = Payloads::parse(first, &plaintext, 0)?;
/// assert_eq!(Tree::new(payloads).to_string(), "N, 12 octets: SET_WINDOW_SIZE, 5\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    payloads: Payloads<'a>,
    depth: usize,
}

impl<'a> Tree<'a> {
    /// The tree of these payloads, its first level not indented.
    #[must_use]
    pub const fn new(payloads: Payloads<'a>) -> Self {
        Self { payloads, depth: 0 }
    }

    /// The same tree, indented by two spaces more.
    #[must_use]
    pub const fn indented(self) -> Self {
        Self { depth: self.depth.saturating_add(1), ..self }
    }
}

impl Display for Tree<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for raw in self.payloads.clone() {
            payload(f, self.depth, &raw)?;
        }
        Ok(())
    }
}

impl Display for Message<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let header = self.header();
        write!(f, "{} ", header.exchange)?;
        f.write_str(if header.flags.is_response() { "response" } else { "request" })?;
        f.write_str(if header.flags.is_initiator() { " of initiator" } else { " of responder" })?;
        write!(f, ", Message ID {}, SPIs {}", header.message_id, header.initiator_spi)?;
        match header.responder_spi {
            Some(spi) => write!(f, " {spi}")?,
            None => f.write_str(" none")?,
        }
        writeln!(f, ", version {}, {} octets", header.version, header.length)?;
        write!(f, "{}", Tree::new(self.payloads()).indented())?;
        match self.protected() {
            Some(protected) => encrypted(f, &protected),
            None => Ok(()),
        }
    }
}

/// The most elements of a list that is printed on one line.
const LIST_LIMIT: usize = 16;
/// The most octets of data that are printed; longer data is told by its length.
const DATA_LIMIT: usize = 8;

fn indent(f: &mut Formatter<'_>, depth: usize) -> Result {
    for _ in 0..depth {
        f.write_str("  ")?;
    }
    Ok(())
}

fn encrypted(f: &mut Formatter<'_>, protected: &Protected<'_>) -> Result {
    indent(f, 1)?;
    write!(f, "{}: {} octets", protected.ty(), protected.body().len())?;
    if let Protected::Skf(fragment) = protected {
        write!(f, ", fragment {} of {}", fragment.number, fragment.total)?;
    }
    match protected.first_inner() {
        PayloadType::NONE => writeln!(f),
        first => writeln!(f, ", first inside {first}"),
    }
}

fn payload(f: &mut Formatter<'_>, depth: usize, raw: &RawPayload<'_>) -> Result {
    indent(f, depth)?;
    write!(f, "{}, {} octets", raw.ty, raw.body.len().saturating_add(GenericHeader::LEN))?;
    if raw.critical {
        f.write_str(", critical")?;
    }
    let decoded = match raw.decode() {
        Ok(decoded) => decoded,
        Err(error) => return writeln!(f, ": malformed: {error}"),
    };
    let below = depth.saturating_add(1);
    match &decoded {
        Payload::Sa(sa) => return proposals(f, below, sa),
        Payload::TsI(ts) | Payload::TsR(ts) => return selectors(f, below, ts),
        Payload::Cp(cp) => return configuration(f, below, cp),
        Payload::Ke(ke) => write!(f, ": {}, {} octets of data", ke.method, ke.data.len())?,
        Payload::IdI(id) | Payload::IdR(id) => identity(f, id)?,
        Payload::Cert(cert) => write!(f, ": {}, {} octets of data", cert.encoding, cert.data.len())?,
        Payload::CertReq(request) => {
            write!(f, ": {}, {} authorities", request.encoding, request.key_hashes().count())?;
        }
        Payload::Auth(auth) => write!(f, ": {}, {} octets of data", auth.method, auth.data.len())?,
        Payload::Nonce(nonce) => write!(f, ": {} octets of data", nonce.as_bytes().len())?,
        Payload::Notify(notify) => notification(f, notify)?,
        Payload::Delete(delete) => deletion(f, delete)?,
        Payload::VendorId(vendor) => vendor_id(f, vendor.0)?,
        Payload::Eap(message) => eap(f, message)?,
        Payload::Unknown(_) => {}
    }
    writeln!(f)
}

fn proposals(f: &mut Formatter<'_>, depth: usize, sa: &SaPayload<'_>) -> Result {
    writeln!(f)?;
    for proposal in sa.proposals() {
        indent(f, depth)?;
        write!(f, "proposal {}: {}", proposal.number(), proposal.protocol())?;
        if !proposal.spi().is_empty() {
            write!(f, ", SPI {}", Hex(proposal.spi()))?;
        }
        writeln!(f)?;
        for transform in proposal.transforms() {
            indent(f, depth.saturating_add(1))?;
            writeln!(f, "{transform}")?;
        }
    }
    Ok(())
}

fn selectors(f: &mut Formatter<'_>, depth: usize, ts: &TsPayload<'_>) -> Result {
    writeln!(f)?;
    for selector in ts.selectors() {
        indent(f, depth)?;
        match selector {
            Selector::Known(selector) => writeln!(f, "{selector}")?,
            Selector::Unknown(unknown) => {
                writeln!(f, "{}, {} octets of data", unknown.ty, unknown.body.len())?;
            }
        }
    }
    Ok(())
}

fn configuration(f: &mut Formatter<'_>, depth: usize, cp: &CpPayload<'_>) -> Result {
    writeln!(f, ": {}", cp.ty())?;
    for attribute in cp.attributes() {
        indent(f, depth)?;
        write!(f, "{}", attribute.ty)?;
        configured(f, &attribute)?;
        writeln!(f)?;
    }
    Ok(())
}

fn configured(f: &mut Formatter<'_>, attribute: &CpAttribute<'_>) -> Result {
    if let Some((address, mask)) = attribute.subnet4() {
        return write!(f, ": {address}, mask {mask}");
    }
    match attribute.address() {
        Some((address, Some(prefix))) => write!(f, ": {address}/{prefix}"),
        Some((address, None)) => write!(f, ": {address}"),
        None if attribute.value.is_empty() => Ok(()),
        None if !attribute.has_allowed_length() => {
            write!(f, ": {} octets, which its type does not allow", attribute.value.len())
        }
        None => data(f, ": ", attribute.value),
    }
}

fn identity(f: &mut Formatter<'_>, id: &IdPayload<'_>) -> Result {
    write!(f, ": {}", id.ty)?;
    if let Some(address) = id.address() {
        return write!(f, " {address}");
    }
    match id.ty {
        IdType::FQDN | IdType::RFC822_ADDR | IdType::KEY_ID => write!(f, " {}", Text(id.data)),
        _ => data(f, ", ", id.data),
    }
}

fn notification(f: &mut Formatter<'_>, notify: &NotifyPayload<'_>) -> Result {
    write!(f, ": {}", notify.ty)?;
    if !notify.spi.is_empty() {
        write!(f, ", {} SPI {}", notify.protocol, Hex(notify.spi))?;
    }
    if let Some(method) = notify.ke_method() {
        return write!(f, ", {method}");
    }
    if let Some(ty) = notify.unsupported_payload() {
        return write!(f, ", {ty}");
    }
    if let Some(number) = notify.window_size().or_else(|| notify.message_id()) {
        return write!(f, ", {number}");
    }
    match notify.hash_algorithms() {
        Some(hashes) => list(f, ", ", hashes),
        None => data(f, ", ", notify.data),
    }
}

fn deletion(f: &mut Formatter<'_>, delete: &DeletePayload<'_>) -> Result {
    write!(f, ": {}", delete.protocol())?;
    list(f, ", SPIs ", delete.spis().map(Hex))
}

fn vendor_id(f: &mut Formatter<'_>, vendor: &[u8]) -> Result {
    if !vendor.is_empty() && vendor.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        return write!(f, ": {}", Text(vendor));
    }
    let shown = vendor.get(..LIST_LIMIT).unwrap_or(vendor);
    write!(f, ": {}{}", Hex(shown), if shown.len() < vendor.len() { "..." } else { "" })
}

fn eap(f: &mut Formatter<'_>, message: &EapPayload<'_>) -> Result {
    write!(f, ": {}, identifier {}", message.code(), message.identifier())?;
    match message.ty() {
        Some(ty) => write!(f, ", type {ty}, {} octets of data", message.data().len()),
        None => Ok(()),
    }
}

/// The elements, a space between them; those beyond the limit by their number.
fn list(
    f: &mut Formatter<'_>,
    before: &str,
    elements: impl ExactSizeIterator<Item = impl Display>,
) -> Result {
    let more = elements.len().saturating_sub(LIST_LIMIT);
    let mut separator = before;
    for element in elements.take(LIST_LIMIT) {
        write!(f, "{separator}{element}")?;
        separator = " ";
    }
    if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
}

/// Short data in hex, long data by its length, no data not at all.
fn data(f: &mut Formatter<'_>, before: &str, data: &[u8]) -> Result {
    match data.len() {
        0 => Ok(()),
        1..=DATA_LIMIT => write!(f, "{before}{}", Hex(data)),
        length => write!(f, "{before}{length} octets of data"),
    }
}

/// Octets as hex digits.
struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Octets as quoted text, whatever is not printable ASCII escaped.
struct Text<'a>(&'a [u8]);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
