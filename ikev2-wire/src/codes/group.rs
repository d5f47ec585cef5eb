//! The attributes of group policy and group keys (RFC 9838 §4.4, §4.5). All are 15 bits wide; 16384 to 32767
//! are for private use.

use ipsec_types::code_points;

code_points! {
    /// An attribute of a group SA policy.
    pub struct GroupSaAttribute(u16) {
        /// Seconds that the keys live.
        KEY_LIFETIME = 1, "GSA_KEY_LIFETIME";
        /// The Message ID that rekey messages start with.
        INITIAL_MESSAGE_ID = 2, "GSA_INITIAL_MESSAGE_ID";
        /// The SPI of a later rekey.
        NEXT_SPI = 3, "GSA_NEXT_SPI";
    }
}

code_points! {
    /// An attribute of the group-wide policy.
    pub struct GroupPolicyAttribute(u16) {
        /// Activation time delay, in seconds.
        ATD = 1, "GWP_ATD";
        /// Deactivation time delay, in seconds.
        DTD = 2, "GWP_DTD";
        /// How many bits of the IV name the sender.
        SENDER_ID_BITS = 3, "GWP_SENDER_ID_BITS";
    }
}

code_points! {
    /// An attribute of a group key bag.
    pub struct GroupKeyBagAttribute(u16) {
        /// The keying material of an SA.
        SA_KEY = 1, "SA_KEY";
    }
}

code_points! {
    /// An attribute of a member key bag.
    pub struct MemberKeyBagAttribute(u16) {
        /// A key that wraps others.
        WRAP_KEY = 1, "WRAP_KEY";
        /// The key that authenticates rekey messages.
        AUTH_KEY = 2, "AUTH_KEY";
        /// A Sender-ID given to this member.
        GM_SENDER_ID = 3, "GM_SENDER_ID";
    }
}
