//! EAP methods as an embedder has them: what comes is [`EapTurn`], what follows is [`Answer`]. An example; a product asks its AAA
//! server, or uses a method that withstands dictionary attacks.

pub mod mschapv2;

use ikev2_core::{Answer, EapTurn, IkeSaHandle, Role};
use mschapv2::{Client, Server};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Who is who.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    /// As initiator: our name within EAP, and our password.
    pub ours: Option<(String, Zeroizing<String>)>,
    /// As responder: those of the peers by their names.
    pub users: BTreeMap<String, Zeroizing<String>>,
}

/// One conversation.
#[derive(Debug)]
enum Conversation {
    Client(Client),
    Server(Server),
}

/// The conversations under way, by IKE SA.
#[derive(Debug, Default)]
pub struct Conversations(BTreeMap<IkeSaHandle, Conversation>);

impl Conversations {
    /// What follows. `challenge` is sixteen random octets for the one that may be needed.
    pub fn answer(
        &mut self,
        sa: IkeSaHandle,
        turn: &EapTurn,
        passwords: &Passwords,
        challenge: [u8; 16],
    ) -> Answer {
        if turn.round == 0 {
            let begun = match (turn.role, &passwords.ours) {
                (Role::Initiator, Some((name, password))) => {
                    Conversation::Client(Client::new(name, password, challenge))
                }
                (Role::Initiator, None) => return Answer::Refused,
                (Role::Responder, _) => Conversation::Server(Server::new(challenge)),
            };
            self.0.insert(sa, begun);
        }
        let received = turn.received.as_deref();
        let answer = match self.0.get_mut(&sa) {
            Some(Conversation::Client(client)) => client.answer(received.unwrap_or_default()),
            Some(Conversation::Server(server)) => server.answer(received, &passwords.users),
            None => None,
        };
        answer.map_or(Answer::Refused, Answer::Eap)
    }

    /// An IKE SA is up or gone.
    pub fn forget(&mut self, sa: IkeSaHandle) {
        self.0.remove(&sa);
    }
}
