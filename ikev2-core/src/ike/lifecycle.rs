//! Connections and Child SAs that begin by themselves, and begin again. It follows the IKE SAs by their events
//! alone, and asks of them what an embedder could ask.

use super::Endpoint;
use crate::config::{ChildConfig, Connection};
use crate::error::{CallError, Failure};
use crate::event::{DownReason, Event, IkeSaHandle, Role};
use crate::lifecycle::{After, Next, RetryPolicy, Start};
use crate::redirect::{Gateway, RedirectCourse};
use crate::trace;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipsec_types::sa::{ChildSaId, PacketSelectors, PolicyId};
use ipsec_types::{Instant, Path};

/// What is told of, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Subject {
    Connection(String),
    Child(IkeSaHandle, PolicyId),
}

/// An attempt that waits, and the failures before it.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    failures: u32,
    attempt: Option<Instant>,
    /// Before this no acquire begins anything.
    not_before: Option<Instant>,
}

/// A connection that has a life of its own.
#[derive(Debug, Default)]
struct Life {
    /// Its IKE SAs that we know of, and since when each is established.
    sas: Vec<(IkeSaHandle, Option<Instant>)>,
    /// By which path a call began it, where the connection names no address.
    path: Option<Path>,
    /// Traffic that asks for a Child SA meanwhile.
    wanted: Vec<(PolicyId, PacketSelectors)>,
}

/// All of them. One entry for each connection with a life of its own, and for each of its Child SAs.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// Between `start` and `shut_down` connections begin by themselves.
    started: bool,
    /// After `shut_down` nothing follows anything.
    over: bool,
    connections: BTreeMap<String, Life>,
    courses: BTreeMap<Subject, Course>,
    due: BTreeSet<(Instant, Subject)>,
    /// Policies and when they came up, by Child SA of these connections.
    children: BTreeMap<ChildSaId, (PolicyId, Instant)>,
}

impl Lives {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn course(&self, subject: &Subject) -> Course {
        self.courses.get(subject).copied().unwrap_or_default()
    }

    fn set(&mut self, subject: Subject, course: Course) {
        if let Some(at) = self.course(&subject).attempt {
            self.due.remove(&(at, subject.clone()));
        }
        if let Some(at) = course.attempt {
            self.due.insert((at, subject.clone()));
        }
        self.courses.insert(subject, course);
    }

    fn forget(&mut self, subject: &Subject) -> bool {
        let course = self.courses.remove(subject);
        let attempt = course.and_then(|course| course.attempt);
        attempt.is_some_and(|at| self.due.remove(&(at, subject.clone())))
    }

    fn forget_children_of(&mut self, sa: IkeSaHandle) {
        let of_sa = |subject: &&Subject| matches!(subject, Subject::Child(of, _) if *of == sa);
        let gone: Vec<_> = self.courses.keys().filter(of_sa).cloned().collect();
        for subject in gone {
            self.forget(&subject);
        }
    }
}

/// What an event of an IKE SA means here.
pub(super) enum Note {
    Up {
        sa: IkeSaHandle,
        connection: String,
        began: bool,
    },
    Down {
        sa: IkeSaHandle,
        connection: String,
        end: End,
        /// Where the peer sends us.
        to: Option<IpAddr>,
    },
    ChildUp {
        sa: IkeSaHandle,
        id: ChildSaId,
        policy: PolicyId,
    },
    ChildDown {
        sa: IkeSaHandle,
        id: ChildSaId,
        end: End,
    },
    ChildFailed {
        sa: IkeSaHandle,
        policy: Option<PolicyId>,
    },
    /// It is time that another takes its place.
    Renew {
        sa: IkeSaHandle,
    },
    Imported {
        sa: IkeSaHandle,
    },
}

/// How something ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As the embedder, or we, wanted it.
    Meant,
    DeletedByPeer,
    NoAnswer,
    Failed,
}

impl End {
    fn of(reason: &DownReason) -> Self {
        match reason {
            DownReason::Requested
            | DownReason::Replaced
            | DownReason::Rekeyed
            | DownReason::Redundant
            | DownReason::AuthenticationExpired
            | DownReason::IkeSaEnded => Self::Meant,
            DownReason::DeletedByPeer => Self::DeletedByPeer,
            DownReason::Failed(failure) => match **failure {
                Failure::Timeout { .. } | Failure::Incomplete(_) => Self::NoAnswer,
                _ => Self::Failed,
            },
            DownReason::Expired(_) | DownReason::Redirected(_) => Self::Failed,
        }
    }
}

impl Note {
    /// What there is to note, if anything.
    pub(super) fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::IkeSaUp { sa, info } => {
                let began = info.role == Role::Initiator;
                Self::Up { sa: *sa, connection: info.connection.clone(), began }
            }
            Event::IkeSaDown { sa, connection, reason } => {
                let to = match reason {
                    DownReason::Redirected(Gateway::Address(to)) => Some(*to),
                    _ => None,
                };
                Self::Down { sa: *sa, connection: connection.clone(), end: End::of(reason), to }
            }
            Event::ChildSaUp { sa, info } => {
                Self::ChildUp { sa: *sa, id: info.child.id, policy: info.child.policy }
            }
            Event::ChildSaDown { sa, id, reason } => {
                Self::ChildDown { sa: *sa, id: *id, end: End::of(reason) }
            }
            Event::ChildSaFailed { sa, policy, .. } => Self::ChildFailed { sa: *sa, policy: *policy },
            Event::IkeSaReauthenticating { sa }
            | Event::IkeSaRedirected { sa, course: RedirectCourse::Followed, .. } => Self::Renew { sa: *sa },
            Event::IkeSaImported { sa, .. } => Self::Imported { sa: *sa },
            _ => return None,
        })
    }
}

/// Whether a connection begins, or begins again, by itself.
fn has_life(connection: &Connection) -> bool {
    let life = &connection.lifecycle;
    let follows = |after: After| after.resolved(life.start) != After::Nothing;
    let child = |child: &Arc<ChildConfig>| {
        let life = &child.lifecycle;
        life.start == Start::AtOnce
            || [life.failed, life.deleted].iter().any(|after| after.resolved(life.start) == After::Restart)
    };
    life.start != Start::OnDemand
        || [life.failed, life.dead_peer, life.deleted].into_iter().any(follows)
        || connection.children.iter().any(child)
}

impl Endpoint {
    /// Begins every connection whose [`Lifecycle`](crate::Lifecycle) says so, and those of later configurations.
    pub fn start(&mut self, now: Instant) {
        let _call = trace::call("start");
        self.shell.advance(now);
        (self.lives.started, self.lives.over) = (true, false);
        self.begin_new();
        self.run_lives();
    }

    /// Plans the first attempt of each connection that begins at once and was not begun yet.
    fn begin_new(&mut self) {
        let at = self.shell.now();
        let lives = &mut self.lives;
        for connection in &self.shell.config().connections {
            let known = lives.connections.contains_key(&connection.name);
            if connection.lifecycle.start == Start::AtOnce && !known {
                lives.connections.insert(connection.name.clone(), Life::default());
                let course = Course { attempt: Some(at), ..Course::default() };
                lives.set(Subject::Connection(connection.name.clone()), course);
            }
        }
    }

    /// Connections that are gone from the configuration begin no more, new ones begin.
    pub(super) fn follow_config(&mut self) {
        let named: Vec<_> = self.lives.connections.keys().cloned().collect();
        for name in named {
            if self.shell.protocol().connection(&name).is_none_or(|connection| !has_life(connection)) {
                self.end_life(&name);
            }
        }
        if self.lives.started {
            self.begin_new();
        }
    }

    fn end_life(&mut self, name: &str) {
        let lives = &mut self.lives;
        if lives.forget(&Subject::Connection(name.to_string())) {
            let (connection, next) = (name.to_string(), Next::Nothing);
            self.tell(Event::ConnectionIdle { connection, next });
        }
        if let Some(life) = self.lives.connections.remove(name) {
            for (sa, _) in life.sas {
                self.lives.forget_children_of(sa);
            }
        }
    }

    /// Nothing begins by itself any more.
    pub(super) fn end_lives(&mut self) {
        let named: Vec<_> = self.lives.connections.keys().cloned().collect();
        for name in named {
            self.end_life(&name);
        }
        self.lives.children.clear();
        (self.lives.started, self.lives.over) = (false, true);
    }

    /// A call began an IKE SA: its connection has a life, if the configuration says so.
    pub(super) fn note_begun(&mut self, connection: &Connection, sa: IkeSaHandle, path: Option<Path>) {
        if self.lives.over || !has_life(connection) {
            return;
        }
        let life = self.lives.connections.entry(connection.name.clone()).or_default();
        life.sas.push((sa, None));
        life.path = path.or(life.path);
        let subject = Subject::Connection(connection.name.clone());
        let course = Course { attempt: None, not_before: None, ..self.lives.course(&subject) };
        self.lives.set(subject, course);
    }

    /// Does what is due.
    pub(super) fn run_lives(&mut self) {
        let now = self.shell.now();
        while let Some((at, subject)) = self.lives.due.first().filter(|(at, _)| *at <= now).cloned() {
            self.lives.due.remove(&(at, subject.clone()));
            let course = Course { attempt: None, ..self.lives.course(&subject) };
            self.lives.courses.insert(subject.clone(), course);
            match &subject {
                Subject::Connection(name) => self.attempt(name),
                Subject::Child(sa, policy) => {
                    if self.has_child(*sa, *policy) {
                        continue;
                    }
                    if let Err(error) = self.create_for(*sa, *policy, None) {
                        tracing::debug!(%sa, %error, "a Child SA cannot be begun");
                        self.plan_child(*sa, *policy, End::Failed, None);
                    }
                }
            }
        }
    }

    fn attempt(&mut self, name: &str) {
        let Some(connection) = self.shell.protocol().connection(name).cloned() else {
            return self.end_life(name);
        };
        let life = self.lives.connections.entry(name.to_string()).or_default();
        if !life.sas.is_empty() {
            return;
        }
        let path = connection.own_path(self.shell.config()).or(life.path);
        let wanted = life.wanted.first().and_then(|(policy, packet)| {
            let child = connection.child_of(*policy)?;
            Some((Arc::clone(child), Some(*packet)))
        });
        let begun = path
            .ok_or(CallError::BadPath)
            .and_then(|path| self.begin(&connection, path, wanted, None).map(|sa| (sa, path)));
        match begun {
            Ok((sa, path)) => self.note_begun(&connection, sa, Some(path)),
            Err(error) => {
                tracing::debug!(connection = name, %error, "a connection cannot be begun");
                self.plan_connection(&connection, End::Failed, None);
            }
        }
    }

    /// What an event of an IKE SA leads to.
    pub(super) fn note(&mut self, note: Note) {
        if self.lives.over {
            return;
        }
        match note {
            Note::Up { sa, connection, began } => self.note_up(sa, &connection, began),
            Note::Imported { sa } => self.note_imported(sa),
            _ if self.lives.connections.is_empty() => {}
            Note::Down { sa, connection, end, .. } => self.note_down(sa, &connection, end),
            Note::ChildUp { sa, id, policy } => {
                if self.life_of(sa).is_some() {
                    self.lives.children.insert(id, (policy, self.shell.now()));
                }
            }
            Note::ChildDown { sa, id, end } => {
                if let Some((policy, since)) = self.lives.children.remove(&id) {
                    self.plan_child(sa, policy, end, Some(since));
                }
            }
            Note::ChildFailed { policy: None, .. } | Note::Renew { .. } => {}
            Note::ChildFailed { sa, policy: Some(policy) } => self.plan_child(sa, policy, End::Failed, None),
        }
    }

    /// The connection of an IKE SA that lives, if it has a life of its own.
    fn life_of(&self, sa: IkeSaHandle) -> Option<Arc<Connection>> {
        let connection = self.shell.sa(sa).filter(|sa| !sa.has_ended())?.connection.clone();
        self.lives.connections.contains_key(&connection.name).then_some(connection)
    }

    fn note_up(&mut self, sa: IkeSaHandle, name: &str, began: bool) {
        let Some(connection) = self.shell.protocol().connection(name).cloned().filter(|c| has_life(c)) else {
            return;
        };
        self.live_on(sa, &connection, Some(self.shell.now()), began);
    }

    /// Its connection has a life here too. How long its Child SAs were up is not known.
    fn note_imported(&mut self, sa: IkeSaHandle) {
        let Some(imported) = self.shell.sa(sa).filter(|sa| has_life(&sa.connection)) else { return };
        let now = self.shell.now();
        let children = imported.children.iter().map(|child| (child.sa.id, (child.sa.policy, now)));
        self.lives.children.extend(children);
        let connection = Arc::clone(&imported.connection);
        let (since, began) = (imported.established_at, imported.origin == Role::Initiator);
        self.live_on(sa, &connection, since, began);
    }

    /// It goes on elsewhere: nothing follows that here.
    pub(super) fn leave_life(&mut self, sa: IkeSaHandle, connection: &str, children: &[ChildSaId]) {
        self.lives.forget_children_of(sa);
        if let Some(life) = self.lives.connections.get_mut(connection) {
            life.sas.retain(|(other, _)| *other != sa);
        }
        for id in children {
            self.lives.children.remove(id);
        }
    }

    fn live_on(&mut self, sa: IkeSaHandle, connection: &Connection, since: Option<Instant>, began: bool) {
        let (now, name) = (self.shell.now(), &connection.name);
        let lives = &mut self.lives;
        let life = lives.connections.entry(name.to_string()).or_default();
        life.sas.retain(|(other, _)| *other != sa);
        life.sas.push((sa, since));
        let wanted = core::mem::take(&mut life.wanted);
        let subject = Subject::Connection(name.to_string());
        let course = Course { attempt: None, not_before: None, ..lives.course(&subject) };
        lives.set(subject, course);
        for (policy, packet) in wanted {
            if !self.has_child(sa, policy) {
                // What cannot be asked for now is asked for by the next packet.
                let _ = self.create_for(sa, policy, Some(packet));
            }
        }
        if began {
            let at_once = |child: &&Arc<ChildConfig>| child.lifecycle.start == Start::AtOnce;
            for child in connection.children.iter().filter(at_once) {
                let course = Course { attempt: Some(now), ..Course::default() };
                self.lives.set(Subject::Child(sa, child.policy), course);
            }
            self.run_lives();
        }
    }

    fn note_down(&mut self, sa: IkeSaHandle, name: &str, end: End) {
        self.lives.forget_children_of(sa);
        let Some(life) = self.lives.connections.get_mut(name) else { return };
        let Some(at) = life.sas.iter().position(|(other, _)| *other == sa) else { return };
        let (_, established) = life.sas.swap_remove(at);
        if !life.sas.is_empty() {
            return;
        }
        match self.shell.protocol().connection(name).cloned() {
            Some(connection) if end != End::Meant => self.plan_connection(&connection, end, established),
            _ => {
                self.lives.forget(&Subject::Connection(name.to_string()));
                self.lives.connections.remove(name);
            }
        }
    }

    /// Decides what follows the end of a connection's last IKE SA.
    fn plan_connection(&mut self, connection: &Connection, end: End, established: Option<Instant>) {
        let life = connection.lifecycle;
        let after = match end {
            End::Meant => After::Nothing,
            End::DeletedByPeer => life.deleted,
            End::NoAnswer if established.is_some() => life.dead_peer,
            End::NoAnswer | End::Failed => life.failed,
        };
        let name = connection.name.clone();
        let after = after.resolved(life.start);
        let wanted = self.lives.connections.get(&name).is_some_and(|life| !life.wanted.is_empty());
        let next = self.plan(Subject::Connection(name.clone()), after, &life.retry, established, wanted);
        if next == Next::Nothing {
            self.lives.connections.remove(&name);
        }
        self.tell(Event::ConnectionIdle { connection: name, next });
    }

    /// Decides what follows the end of a Child SA.
    fn plan_child(&mut self, sa: IkeSaHandle, policy: PolicyId, end: End, up_since: Option<Instant>) {
        let Some(connection) = self.life_of(sa) else { return };
        let Some(child) = connection.child_of(policy) else { return };
        let after = match end {
            End::Meant => After::Nothing,
            End::DeletedByPeer => child.lifecycle.deleted,
            End::NoAnswer | End::Failed => child.lifecycle.failed,
        };
        if after.resolved(child.lifecycle.start) != After::Restart || self.has_child(sa, policy) {
            self.lives.forget(&Subject::Child(sa, policy));
            return;
        }
        let retry = connection.lifecycle.retry;
        let next = self.plan(Subject::Child(sa, policy), After::Restart, &retry, up_since, false);
        self.tell(Event::ChildSaIdle { sa, policy, next });
    }

    fn plan(
        &mut self,
        subject: Subject,
        after: After,
        retry: &RetryPolicy,
        up_since: Option<Instant>,
        wanted: bool,
    ) -> Next {
        let now = self.shell.now();
        let steady = up_since.is_some_and(|since| now.saturating_since(since) >= retry.steady);
        let failures = if steady { 0 } else { self.lives.course(&subject).failures.saturating_add(1) };
        let at = now + retry.pause(failures, self.jitter());
        let next = match after {
            After::Restart if retry.is_spent(failures) => Next::Nothing,
            After::Restart => Next::Attempt(at),
            // Traffic waits already.
            After::OnTraffic if wanted && !retry.is_spent(failures) => Next::Attempt(at),
            After::OnTraffic => Next::OnTraffic(at),
            After::Nothing | After::AsStarted => Next::Nothing,
        };
        match next {
            Next::Nothing => {
                self.lives.forget(&subject);
            }
            Next::Attempt(at) => {
                self.lives.set(subject, Course { failures, attempt: Some(at), not_before: None });
            }
            Next::OnTraffic(at) => {
                self.lives.set(subject, Course { failures, attempt: None, not_before: Some(at) });
            }
        }
        next
    }

    /// 32 random bits. Where there are none the pause is whole.
    fn jitter(&mut self) -> u32 {
        let mut octets = [0; 4];
        let filled = self.shell.with_protocol(|_, services| services.random.fill(&mut octets));
        filled.map_or(0, |()| u32::from_be_bytes(octets))
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.shell.with_protocol(|_, services| services.event(event));
    }

    fn has_child(&self, sa: IkeSaHandle, policy: PolicyId) -> bool {
        let Some(sa) = self.shell.sa(sa) else { return false };
        sa.is_asked_for(policy) || sa.children.iter().any(|child| child.sa.policy == policy)
    }

    /// A policy has traffic, and no established IKE SA serves it: its connection is begun, now or when its pause is
    /// over, with this Child SA.
    pub(super) fn acquire_connection(
        &mut self,
        policy: PolicyId,
        packet: PacketSelectors,
    ) -> Result<(), CallError> {
        let connections = &self.shell.config().connections;
        let found = connections.iter().find(|connection| connection.child_of(policy).is_some()).cloned();
        let connection = found.ok_or(CallError::NoSuchPolicy)?;
        let subject = Subject::Connection(connection.name.clone());
        let lives = &mut self.lives;
        let course = lives.course(&subject);
        let child = connection.child_of(policy);
        let by_call = child.is_some_and(|child| child.lifecycle.start == Start::OnDemand);
        let waits = lives.connections.contains_key(&connection.name);
        let begins = connection.lifecycle.start != Start::OnDemand || course.not_before.is_some() || waits;
        if lives.over || by_call || !begins {
            return Err(CallError::NotByTraffic);
        }
        let life = lives.connections.entry(connection.name.clone()).or_default();
        let room = life.wanted.len() < self.shell.config().max_queued_requests;
        if room && !life.wanted.iter().any(|(other, _)| *other == policy) {
            life.wanted.push((policy, packet));
        }
        if life.sas.is_empty() && course.attempt.is_none() {
            let at = course.not_before.unwrap_or(self.shell.now()).max(self.shell.now());
            lives.set(subject, Course { attempt: Some(at), not_before: None, ..course });
            self.run_lives();
        }
        Ok(())
    }
}
