//! EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2, RFC 2759), and the key that comes of it (RFC 3079). Whoever records a
//! conversation can try passwords on it: within IKEv2 the responder has proved itself by a signature before.

use des::Des;
use des::cipher::{Block, BlockCipherEncrypt, KeyInit};
use ikev2_core::{EapAnswer, EapOutcome, Identity};
use ikev2_wire::codes::IdType;
use ipsec_types::SecretBytes;
use md4::Md4;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const IDENTITY: u8 = 1;
const NAK: u8 = 3;
const MSCHAPV2: u8 = 26;

const OP_CHALLENGE: u8 = 1;
const OP_RESPONSE: u8 = 2;
const OP_SUCCESS: u8 = 3;
const OP_FAILURE: u8 = 4;

/// An EAP packet of a type.
fn packet(code: u8, identifier: u8, ty: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len().saturating_add(5)).unwrap_or(u16::MAX);
    let mut packet = vec![code, identifier];
    packet.extend_from_slice(&length.to_be_bytes());
    packet.push(ty);
    packet.extend_from_slice(data);
    packet
}

/// OpCode, MS-CHAPv2-ID, MS-Length and what follows.
fn message(op: u8, id: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len().saturating_add(4)).unwrap_or(u16::MAX);
    let mut message = vec![op, id];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(data);
    message
}

/// What of a hash is a key.
fn first_16(hash: [u8; 20]) -> Zeroizing<[u8; 16]> {
    let mut key = Zeroizing::new([0; 16]);
    key.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    key
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut sha = Sha1::new();
    parts.iter().for_each(|part| sha.update(part));
    sha.finalize().into()
}

/// RFC 2759 §8.2: ChallengeHash().
fn challenge_hash(peer: &[u8; 16], authenticator: &[u8; 16], name: &str) -> [u8; 8] {
    // Without a domain in front (RFC 2759 §4).
    let name = name.rsplit('\\').next().unwrap_or(name);
    let [a, b, c, d, e, f, g, h, ..] = sha1(&[peer, authenticator, name.as_bytes()]);
    [a, b, c, d, e, f, g, h]
}

/// RFC 2759 §8.3: NtPasswordHash().
fn password_hash(password: &str) -> Zeroizing<[u8; 16]> {
    let unicode: Zeroizing<Vec<u8>> =
        Zeroizing::new(password.encode_utf16().flat_map(u16::to_le_bytes).collect());
    Zeroizing::new(Md4::digest(&*unicode).into())
}

/// RFC 2759 §8.6: DesEncrypt(), with the parity bits that a key of seven octets lacks.
fn des(clear: &[u8; 8], key: &[u8; 7]) -> [u8; 8] {
    let [a, b, c, d, e, f, g] = *key;
    let bits = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    let octet = |at: u32| ((bits >> (49 - 7 * at)) as u8 & 0x7f) << 1;
    let key: [u8; 8] = std::array::from_fn(|at| octet(at as u32));
    let mut block = Block::<Des>::from(*clear);
    Des::new(&key.into()).encrypt_block(&mut block);
    block.into()
}

/// RFC 2759 §8.5: ChallengeResponse().
fn nt_response(challenge: &[u8; 8], hash: &[u8; 16]) -> [u8; 24] {
    let mut padded = Zeroizing::new([0; 21]);
    padded.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    let mut response = [0; 24];
    for (part, key) in response.chunks_exact_mut(8).zip(padded.as_chunks::<7>().0) {
        part.copy_from_slice(&des(challenge, key));
    }
    response
}

/// RFC 2759 §8.7: GenerateAuthenticatorResponse().
fn authenticator_response(hash: &[u8; 16], nt_response: &[u8; 24], challenge: &[u8; 8]) -> String {
    let hash_hash: [u8; 16] = Md4::digest(hash).into();
    let digest = sha1(&[&hash_hash, nt_response, b"Magic server to client signing constant"]);
    let digest = sha1(&[&digest, challenge, b"Pad to make it do more than one iteration"]);
    digest.iter().fold("S=".to_string(), |text, octet| text + &format!("{octet:02X}"))
}

/// RFC 3079 §3.4: the key that the client sends by and the server receives by, then the other one, then zeros. The first is
/// what the server's side calls the receive key, and both sides' MSK begins with it.
fn msk(hash: &[u8; 16], nt_response: &[u8; 24]) -> SecretBytes {
    let hash_hash: [u8; 16] = Md4::digest(hash).into();
    let master = first_16(sha1(&[&hash_hash, nt_response, b"This is the MPPE Master Key"]));
    let client_sends =
        b"On the client side, this is the send key; on the server side, it is the receive key.";
    let server_sends =
        b"On the client side, this is the receive key; on the server side, it is the send key.";
    let mut msk = Zeroizing::new([0; 64]);
    for (part, magic) in msk.chunks_exact_mut(16).zip([client_sends, server_sends]) {
        part.copy_from_slice(&*first_16(sha1(&[&*master, &[0; 40], magic, &[0xf2; 40]])));
    }
    SecretBytes::copy_from(&*msk)
}

fn name_of(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok()
}

/// The initiator's side.
pub struct Client {
    name: String,
    password: Zeroizing<String>,
    peer_challenge: [u8; 16],
    /// What the server must prove, and the key, once we have answered its challenge.
    expected: Option<(String, SecretBytes)>,
    proven: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .field("proven", &self.proven)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Of this name, with a challenge of sixteen random octets.
    #[must_use]
    pub fn new(name: &str, password: &str, peer_challenge: [u8; 16]) -> Self {
        let password = Zeroizing::new(password.to_string());
        Self { name: name.into(), password, peer_challenge, expected: None, proven: false }
    }

    /// What follows a packet; `None` to give up.
    pub fn answer(&mut self, received: &[u8]) -> Option<EapAnswer> {
        let [code, identifier, _, _, rest @ ..] = received else { return None };
        if *code == SUCCESS {
            let (_, msk) = self.expected.take().filter(|_| self.proven)?;
            let outcome = EapOutcome { msk: Some(msk), identity: None, safe_alone: false };
            return Some(EapAnswer::Done(outcome));
        }
        let (ty, data) = rest.split_first()?;
        let response = |ty: u8, data: &[u8]| Some(EapAnswer::Send(packet(RESPONSE, *identifier, ty, data)));
        match (*ty, data) {
            (IDENTITY, _) => response(IDENTITY, self.name.as_bytes()),
            (MSCHAPV2, [OP_CHALLENGE, id, _, _, 16, value @ ..]) => {
                let challenge = value.first_chunk::<16>()?;
                let hash = password_hash(&self.password);
                let short = challenge_hash(&self.peer_challenge, challenge, &self.name);
                let answer = nt_response(&short, &hash);
                self.expected = Some((authenticator_response(&hash, &answer, &short), msk(&hash, &answer)));
                let mut value = vec![49];
                value.extend_from_slice(&self.peer_challenge);
                value.extend_from_slice(&[0; 8]);
                value.extend_from_slice(&answer);
                value.push(0);
                value.extend_from_slice(self.name.as_bytes());
                response(MSCHAPV2, &message(OP_RESPONSE, *id, &value))
            }
            (MSCHAPV2, [OP_SUCCESS, _, _, _, text @ ..]) => {
                let (expected, _) = self.expected.as_ref()?;
                if !text.starts_with(expected.as_bytes()) {
                    return None;
                }
                self.proven = true;
                response(MSCHAPV2, &[OP_SUCCESS])
            }
            (MSCHAPV2, [OP_FAILURE, ..]) => response(MSCHAPV2, &[OP_FAILURE]),
            // "I would rather do this one."
            _ => response(NAK, &[MSCHAPV2]),
        }
    }
}

/// The responder's side.
pub struct Server {
    challenge: [u8; 16],
    identifier: u8,
    /// Who has shown the password, and the key.
    proven: Option<(String, SecretBytes)>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("identifier", &self.identifier).finish_non_exhaustive()
    }
}

impl Server {
    /// With a challenge of sixteen random octets.
    #[must_use]
    pub fn new(challenge: [u8; 16]) -> Self {
        Self { challenge, identifier: challenge[0], proven: None }
    }

    fn request(&mut self, data: &[u8]) -> Option<EapAnswer> {
        self.identifier = self.identifier.wrapping_add(1);
        Some(EapAnswer::Send(packet(REQUEST, self.identifier, MSCHAPV2, data)))
    }

    /// What follows a packet, or begins; `None` to refuse.
    pub fn answer(
        &mut self,
        received: Option<&[u8]>,
        users: &BTreeMap<String, Zeroizing<String>>,
    ) -> Option<EapAnswer> {
        let Some(received) = received else {
            let mut value = vec![16];
            value.extend_from_slice(&self.challenge);
            value.extend_from_slice(b"gateway");
            return self.request(&message(OP_CHALLENGE, 1, &value));
        };
        let [_, _, _, _, MSCHAPV2, data @ ..] = received else { return None };
        match data {
            [OP_RESPONSE, id, _, _, 49, value @ ..] => {
                let (peer_challenge, rest) = value.split_first_chunk::<16>()?;
                let (_, rest) = rest.split_first_chunk::<8>()?;
                let (given, rest) = rest.split_first_chunk::<24>()?;
                let name = name_of(rest.get(1..)?)?;
                let hash = password_hash(users.get(name)?);
                let short = challenge_hash(peer_challenge, &self.challenge, name);
                if nt_response(&short, &hash) != *given {
                    return None;
                }
                self.proven = Some((name.to_string(), msk(&hash, given)));
                let text = authenticator_response(&hash, given, &short) + " M=welcome";
                self.request(&message(OP_SUCCESS, *id, text.as_bytes()))
            }
            [OP_SUCCESS, ..] => {
                let (name, msk) = self.proven.take()?;
                let identity = Some(Identity { ty: IdType::RFC822_ADDR, data: name.into_bytes() });
                Some(EapAnswer::Done(EapOutcome { msk: Some(msk), identity, safe_alone: false }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// RFC 2759 §9.2, and RFC 3079 §3.5.3 for the key.
    #[test]
    fn the_examples_of_the_documents() {
        let authenticator: [u8; 16] = hex("5B5D7C7D7B3F2F3E3C2C602132262628").try_into().unwrap();
        let peer: [u8; 16] = hex("21402324255E262A28295F2B3A337C7E").try_into().unwrap();
        let short = challenge_hash(&peer, &authenticator, "User");
        assert_eq!(short.to_vec(), hex("D02E4386BCE91226"));
        let hash = password_hash("clientPass");
        assert_eq!(hash.to_vec(), hex("44EBBA8D5312B8D611474411F56989AE"));
        let answer = nt_response(&short, &hash);
        assert_eq!(answer.to_vec(), hex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"));
        let server = authenticator_response(&hash, &answer, &short);
        assert_eq!(server, "S=407A5589115FD0D6209F510FE9C04566932CDA56");
        let msk = msk(&hash, &answer);
        // The client's receive key there is what the server sends by.
        assert_eq!(msk.as_slice()[16..32].to_vec(), hex("8B7CDC149B993A1BA118CB153F56DCCB"));
        assert_eq!((msk.len(), &msk.as_slice()[32..]), (64, &[0; 32][..]));
    }

    /// Both sides together.
    #[test]
    fn a_client_and_a_server_agree_on_a_key_or_not_at_all() {
        let users = BTreeMap::from([("user".to_string(), Zeroizing::new("right".to_string()))]);
        for (name, password, good) in
            [("user", "right", true), ("user", "wrong", false), ("nobody", "right", false)]
        {
            let (mut client, mut server) = (Client::new(name, password, [3; 16]), Server::new([9; 16]));
            let mut came = server.answer(None, &users);
            let mut done = None;
            for _ in 0..4 {
                match came.take() {
                    Some(EapAnswer::Send(packet)) => {
                        let Some(EapAnswer::Send(response)) = client.answer(&packet) else { panic!() };
                        came = server.answer(Some(&response), &users);
                    }
                    Some(EapAnswer::Done(outcome)) => {
                        let success = [SUCCESS, server.identifier, 0, 4];
                        done = Some((outcome, client.answer(&success)));
                    }
                    None => break,
                }
            }
            assert_eq!(done.is_some(), good);
            if let Some((ours, Some(EapAnswer::Done(theirs)))) = done {
                assert_eq!(ours.msk, theirs.msk);
                assert_eq!(ours.identity.unwrap().data, b"user");
            }
        }
    }
}
