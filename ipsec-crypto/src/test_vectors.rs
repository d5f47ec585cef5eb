//! Reads vectors for the tests of what is not public.

use serde_json::Value;
use std::vec::Vec;

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The member `name` of a JSON object, which is octets in hexadecimal digits.
pub(crate) fn octets(case: &Value, name: &str) -> Vec<u8> {
    let digits = case[name].as_str().unwrap().as_bytes();
    let pairs = digits.chunks(2).map(|pair| core::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
