//! How long one key of each algorithm may be used.

use crate::cipher::UsageLimits;

pub(super) const GCM_16: UsageLimits =
    UsageLimits { packets: 1 << 46, octets: 1 << 51, failed_opens: 1 << 52 };
pub(super) const AES_HMAC: UsageLimits =
    UsageLimits { packets: 1 << 46, octets: 1 << 51, failed_opens: u64::MAX };
