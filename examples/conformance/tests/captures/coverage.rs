//! What a replay has done, counted.

/// How much of a conversation was recomputed and found equal, and how much was seen and left alone. A mismatch is
/// never counted: it ends the test.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Coverage {
    /// IKE messages parsed, and encoded again from their values to the same octets.
    pub(crate) messages: usize,
    /// SK payloads opened by the exchange layer.
    pub(crate) opened: usize,
    /// SKF payloads opened and put together by the exchange layer, and by the test beside it.
    pub(crate) fragments: usize,
    /// SK and SKF payloads whose cipher the provider does not have.
    pub(crate) closed: usize,
    /// Messages with an SK or SKF payload sealed again to the same octets.
    pub(crate) sealed: usize,
    /// Answers that choose among what was offered, accepted as the initiator does.
    pub(crate) choices: usize,
    /// SKEYSEED with its seven keys, derived.
    pub(crate) key_sets: usize,
    /// Sets of keys taken as they were logged, since they come of what is not built.
    pub(crate) logged_key_sets: usize,
    /// Signed octets, as the peer logged them.
    pub(crate) signed_octets: usize,
    /// AUTH payloads by shared secret, recomputed.
    pub(crate) auths: usize,
    /// AUTH payloads by signature, verified by the key of the certificate beside them.
    pub(crate) signatures: usize,
    /// AUTH payloads that were left alone: their secret, key or octets are not known.
    pub(crate) other_auths: usize,
    /// AUTH values by shared secret that the log has, recomputed from the octets that it has.
    pub(crate) logged_auths: usize,
    /// NAT_DETECTION hashes that are those of the packet's addresses.
    pub(crate) nat_hashes: usize,
    /// NAT_DETECTION_SOURCE_IP hashes that claim a NAT where there is none.
    pub(crate) nat_claims: usize,
    /// One-way ESP SAs whose keys were derived.
    pub(crate) esp_keys: usize,
    /// One-way ESP SAs whose keys were taken as they were logged.
    pub(crate) logged_esp_keys: usize,
    /// ESP packets opened by the engine, and delivered.
    pub(crate) esp_opened: usize,
    /// ESP packets opened by the cipher alone, since their mode is not built.
    pub(crate) esp_by_cipher: usize,
    /// ESP packets whose cipher the provider does not have.
    pub(crate) esp_closed: usize,
    /// Echo requests in ESP packets, each followed by its reply.
    pub(crate) pings: usize,
}

impl Coverage {
    /// Whether nothing was left alone, taken as logged, or done by the test in place of the crates.
    pub(crate) fn is_whole(&self) -> bool {
        let left = [
            self.closed,
            self.logged_key_sets,
            self.other_auths,
            self.logged_esp_keys,
            self.esp_by_cipher,
            self.esp_closed,
        ];
        left.iter().all(|count| *count == 0)
    }
}
