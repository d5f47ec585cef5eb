//! The Vendor ID payload (RFC 7296 §3.12).

/// Octets by which an implementation or an extension makes itself known. An unfamiliar one is to be ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct VendorIdPayload<'a>(pub &'a [u8]);
