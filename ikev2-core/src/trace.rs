//! What an endpoint says through [`tracing`]: three spans whose names and fields stay as they are, so that filters and
//! dashboards can rely on them, and events within them whose texts may change.
//!
//! | span | one for | fields |
//! |---|---|---|
//! | [`CALL`] | each call of an [`Endpoint`](crate::Endpoint) that may change it | `call`: its name |
//! | [`IKE_SA`] | what one IKE SA does in a call | `sa`: its handle; `connection`: its name; `initiator_spi`, `responder_spi`: 16 hexadecimal digits, the latter absent before the first answer |
//! | [`EXCHANGE`] | each message of an exchange, in or out | `exchange`: its type; `message_id`; `response`: whether it is the answer; `initiator_spi`, `responder_spi` as in its header |
//!
//! They nest in this order:
//!
//! ```text
//! ike.call ─┬─ ike.exchange ── ike.sa ── ike.exchange     a message in, and what is sent for it
//!           ├─ ike.exchange ── ike.exchange               the same, where it belongs to no IKE SA yet
//!           ├─ ike.sa ── ike.exchange                     a call or a timer, and what is sent for it
//!           └─ ike.exchange                               an IKE SA's first message
//! ```
//!
//! All spans, and all events but warnings, are of the level `DEBUG`, and all have the target `ikev2_core` or one below
//! it. Without a subscriber none of it is computed.
//!
//! **No secret is ever in it**: no key, no shared secret, no nonce, no payload. Identities, addresses, SPIs, algorithms
//! and lengths are.

use crate::sa::IkeSa;
use ikev2_wire::Header;
use ipsec_types::{IkeSpi, Path};
use tracing::span::EnteredSpan;
use tracing::{Level, debug, debug_span, enabled};

/// The name of the span of a call.
pub const CALL: &str = "ike.call";
/// The name of the span of an IKE SA.
pub const IKE_SA: &str = "ike.sa";
/// The name of the span of an exchange.
pub const EXCHANGE: &str = "ike.exchange";

/// Enters the span of a call.
pub(crate) fn call(name: &'static str) -> EnteredSpan {
    debug_span!(CALL, call = name).entered()
}

/// Enters the span of an IKE SA.
pub(crate) fn ike_sa(sa: &IkeSa) -> EnteredSpan {
    let (initiator, responder) = sa.spis();
    let connection = sa.connection.name.as_str();
    debug_span!(
        IKE_SA,
        sa = %sa.handle,
        connection,
        initiator_spi = %initiator,
        responder_spi = responder.map(tracing::field::display::<IkeSpi>),
    )
    .entered()
}

/// Enters the span of an exchange.
pub(crate) fn exchange(header: &Header) -> EnteredSpan {
    debug_span!(
        EXCHANGE,
        exchange = %header.exchange,
        message_id = header.message_id,
        response = header.flags.is_response(),
        initiator_spi = %header.initiator_spi,
        responder_spi = header.responder_spi.map(tracing::field::display::<IkeSpi>),
    )
    .entered()
}

/// A message goes out, for the first time or again.
pub(crate) fn sent(path: &Path, message: &[u8], again: bool) {
    if enabled!(Level::DEBUG)
        && let Ok(header) = Header::parse(message)
    {
        let _exchange = exchange(&header);
        debug!(%path, octets = message.len(), again, "message sent");
    }
}
