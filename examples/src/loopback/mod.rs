//! Two endpoints in one process over real UDP sockets: a handshake, packets both ways, a second Child SA, a liveness
//! check, and the end of it all.
//!
//! [`run`] is the whole story. Whatever does not go as told ends it with an error.

mod sides;
mod summary;
mod wire;

pub use sides::Suites;
pub use summary::{ExchangeLine, PacketLine, Summary};

use crate::echo::{Echo, Kind};
use crate::keys::KeyFiles;
use crate::log::Log;
use ikev2_core::{CallError, DownReason, Event, Rejection};
use ipsec_esp::{CommandError, OpenError, SealError};
use ipsec_types::sa::ChildSaId;
use sides::{A, B};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use wire::World;

/// What did not go as it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failed {
    /// A socket or a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An endpoint refused a call.
    #[error("{side} refuses the call: {error}")]
    Call {
        /// Whose endpoint.
        side: &'static str,
        /// Why.
        error: CallError,
    },
    /// An endpoint dropped a datagram.
    #[error("{side} drops a message: {error}")]
    Rejected {
        /// Whose endpoint.
        side: &'static str,
        /// Why.
        error: Rejection,
    },
    /// An ESP engine refused a command.
    #[error("the ESP engine of {side} refuses a command: {error}")]
    Command {
        /// Whose engine.
        side: &'static str,
        /// Why.
        error: CommandError,
    },
    /// A packet was not protected.
    #[error("{side} does not protect a packet: {error}")]
    Seal {
        /// Whose engine.
        side: &'static str,
        /// Why.
        error: SealError,
    },
    /// A packet was not delivered.
    #[error("{side} drops a packet: {error}")]
    Open {
        /// Whose engine.
        side: &'static str,
        /// Why.
        error: OpenError,
    },
    /// Something ended or failed that should not.
    #[error("{side}: {what}")]
    Ended {
        /// On which side.
        side: &'static str,
        /// What, and why.
        what: String,
    },
    /// Nothing came for [`PATIENCE`].
    #[error("nothing came for {PATIENCE:?} while waiting for {0}")]
    Silence(&'static str),
    /// What came is not what was sent, or was carried by the wrong SA.
    #[error("{0}")]
    Wrong(String),
}

/// How long a step may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Sizes of what the echo requests carry: nothing, around a cipher's block, and what almost fills 1,500 octets outside.
const SIZES: [usize; 6] = [0, 15, 16, 56, 1_000, 1_380];

/// A pair of hosts behind the two sides, and which Child SA must carry their packets.
#[derive(Clone, Copy, Debug)]
struct Route {
    child: &'static str,
    a: &'static str,
    b: &'static str,
}

const NET: [Route; 2] = [
    Route { child: "net", a: "10.1.0.1", b: "10.2.0.1" },
    Route { child: "net", a: "fd01::1", b: "fd02::1" },
];
const LAB: Route = Route { child: "lab", a: "10.1.7.1", b: "10.2.7.1" };

/// Tells the story to `log`, and where a folder is given writes `loopback.pcapng` and `loopback.keys` into it. With
/// [`Suites::PostQuantum`] the IKE SA is rekeyed, too.
///
/// # Errors
/// [`Failed`], as soon as anything does not go as it should.
pub async fn run(log: &Arc<Log>, folder: Option<&Path>, suites: Suites) -> Result<Summary, Failed> {
    let keys = match folder {
        Some(folder) => {
            let keys = folder.join("loopback.keys");
            let files = Arc::new(KeyFiles::create(&keys)?);
            std::fs::write(keys.join("preferences"), PREFERENCES)?;
            Some(files)
        }
        None => None,
    };
    let mut world = World::new(log, keys, suites).await?;
    let ike = handshake(&mut world).await?;
    packets(&mut world, &NET).await?;
    let lab = second_child(&mut world, ike).await?;
    packets(&mut world, &[LAB]).await?;
    if suites == Suites::PostQuantum {
        rekey(&mut world, ike).await?;
    }
    liveness(&mut world, ike).await?;
    delete_child(&mut world, ike, lab).await?;
    delete_all(&mut world).await?;
    let summary = world.summary()?;
    if let Some(folder) = folder {
        std::fs::write(folder.join("loopback.pcapng"), world.finish()?)?;
    }
    Ok(summary)
}

/// What Wireshark must be told beside the keys.
const PREFERENCES: &str = "# Decrypt ESP and check it.
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
";

async fn handshake(world: &mut World) -> Result<ikev2_core::IkeSaHandle, Failed> {
    world.heading("IKE_SA_INIT and IKE_AUTH: an IKE SA, and with it the first Child SA");
    let ike = world.connect()?;
    world
        .until("both sides to have the IKE SA and its Child SA", |seen| {
            [A, B].iter().all(|side| {
                seen.count(*side, |event| matches!(event, Event::IkeSaUp { .. })) == 1
                    && seen.count(*side, |event| matches!(event, Event::ChildSaUp { .. })) == 1
            })
        })
        .await?;
    Ok(ike)
}

async fn second_child(world: &mut World, ike: ikev2_core::IkeSaHandle) -> Result<ChildSaId, Failed> {
    world.heading("CREATE_CHILD_SA: another Child SA, with a key exchange of its own");
    world.call(A, |endpoint, now| endpoint.create_child(now, ike, "lab"))?;
    world
        .until("both sides to have the second Child SA", |seen| {
            [A, B].iter().all(|side| seen.count(*side, |event| matches!(event, Event::ChildSaUp { .. })) == 2)
        })
        .await?;
    world.child(A, "lab").ok_or_else(|| Failed::Wrong("the second Child SA has another name".into()))
}

async fn rekey(world: &mut World, ike: ikev2_core::IkeSaHandle) -> Result<(), Failed> {
    world.heading("CREATE_CHILD_SA: the IKE SA gets other keys");
    world.call(A, |endpoint, now| endpoint.rekey_ike_sa(now, ike))?;
    world
        .until("both sides to have rekeyed the IKE SA", |seen| {
            [A, B]
                .iter()
                .all(|side| seen.count(*side, |event| matches!(event, Event::IkeSaRekeyed { .. })) == 1)
        })
        .await
}

async fn liveness(world: &mut World, ike: ikev2_core::IkeSaHandle) -> Result<(), Failed> {
    world.heading("INFORMATIONAL: is the peer there?");
    world.call(A, |endpoint, now| endpoint.check_liveness(now, ike))?;
    world
        .until("the answer to the liveness check", |seen| {
            seen.count(A, |event| matches!(event, Event::PeerAlive { .. })) == 1
        })
        .await
}

async fn delete_child(world: &mut World, ike: ikev2_core::IkeSaHandle, lab: ChildSaId) -> Result<(), Failed> {
    world.heading("INFORMATIONAL: a deletes the second Child SA");
    world.expect_end();
    world.call(A, |endpoint, now| endpoint.delete_child(now, ike, lab))?;
    world
        .until("both sides to have deleted the Child SA", |seen| {
            [(A, DownReason::Requested), (B, DownReason::DeletedByPeer)].iter().all(|(side, why)| {
                seen.count(*side, |event| matches!(event, Event::ChildSaDown { reason, .. } if reason == why))
                    == 1
            })
        })
        .await
}

async fn delete_all(world: &mut World) -> Result<(), Failed> {
    world.heading("INFORMATIONAL: b deletes the IKE SA, and with it what is left");
    world.call(B, |endpoint, now| {
        endpoint.shut_down(now);
        Ok(())
    })?;
    world
        .until("both sides to have deleted the IKE SA", |seen| {
            [(B, DownReason::Requested), (A, DownReason::DeletedByPeer)].iter().all(|(side, why)| {
                seen.count(*side, |event| matches!(event, Event::IkeSaDown { reason, .. } if reason == why))
                    == 1
            })
        })
        .await
}

/// Echo requests of every size from a to b, and the replies.
async fn packets(world: &mut World, routes: &[Route]) -> Result<(), Failed> {
    world.heading("ESP: echo requests of a host behind a, replies of a host behind b");
    for (route, identifier) in routes.iter().zip(1..) {
        let address =
            |text: &str| text.parse::<IpAddr>().map_err(|error| Failed::Wrong(format!("{text}: {error}")));
        let (source, destination) = (address(route.a)?, address(route.b)?);
        for (size, sequence) in SIZES.iter().zip(1..) {
            let data: Vec<u8> = (0..=u8::MAX).cycle().take(*size).collect();
            let echo = Echo { kind: Kind::Request, source, destination, identifier, sequence, data };
            world.carry(A, route.child, &echo).await?;
            world.carry(B, route.child, &echo.reply()).await?;
        }
    }
    Ok(())
}
