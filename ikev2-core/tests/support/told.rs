//! What events told.

use ikev2_core::{DownReason, Event, Failure, IkeSaHandle};
use ipsec_types::Path;
use ipsec_types::sa::ChildSaId;

/// What happened, in short.
pub fn kinds(events: &[Event]) -> Vec<&'static str> {
    events
        .iter()
        .map(|event| match event {
            Event::DataPath(_) => "data path",
            Event::IkeSaUp { .. } => "IKE up",
            Event::IkeSaImported { .. } => "IKE imported",
            Event::ChildSaUp { .. } => "Child up",
            Event::ChildSaFailed { .. } => "Child failed",
            Event::ChildSaExpiring { .. } => "Child expiring",
            Event::InitErrorSeen { .. } => "error seen",
            Event::IkeSaDown { .. } => "IKE down",
            Event::ChildSaDown { .. } => "Child down",
            Event::PeerAlive { .. } => "alive",
            Event::Moved { .. } => "moved",
            Event::MoveFailed { .. } => "move failed",
            Event::PeerAddresses { .. } => "addresses",
            Event::ChildSaReplaced { .. } => "Child replaced",
            Event::IkeSaRekeyed { .. } => "IKE rekeyed",
            Event::IkeRekeyFailed { .. } => "IKE rekey failed",
            Event::IkeSaReauthenticating { .. } => "authenticating anew",
            _ => "other",
        })
        .collect()
}

/// Why IKE SAs ended.
pub fn downs(events: &[Event]) -> Vec<(IkeSaHandle, DownReason)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::IkeSaDown { sa, reason, .. } => Some((*sa, reason.clone())),
            _ => None,
        })
        .collect()
}

/// The failure that ended the only IKE SA.
pub fn down(events: &[Event]) -> Failure {
    match downs(events).as_slice() {
        [(_, DownReason::Failed(failure))] => (**failure).clone(),
        other => panic!("{other:?} in {events:?}"),
    }
}

/// Why Child SAs ended.
pub fn child_downs(events: &[Event]) -> Vec<(ChildSaId, DownReason)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::ChildSaDown { id, reason, .. } => Some((*id, reason.clone())),
            _ => None,
        })
        .collect()
}

/// Why the only Child SA that was asked for came to nothing.
pub fn child_failure(events: &[Event]) -> Failure {
    let failures: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::ChildSaFailed { failure, .. } => Some((**failure).clone()),
            _ => None,
        })
        .collect();
    assert_eq!(failures.len(), 1, "{events:?}");
    failures[0].clone()
}

/// Where peers moved to, and with how many Child SAs.
pub fn moves(events: &[Event]) -> Vec<(Path, usize)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Moved { path, children, .. } => Some((*path, children.len())),
            _ => None,
        })
        .collect()
}

/// Why moves failed.
pub fn move_failures(events: &[Event]) -> Vec<Failure> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::MoveFailed { failure, .. } => Some((**failure).clone()),
            _ => None,
        })
        .collect()
}

/// Asserts that a text has all of these parts.
pub fn says(text: &impl ToString, parts: &[&str]) {
    let text = text.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}
