//! The key exchanges of one SA (RFC 7296 §3.3.2, RFC 9370 §2.1): the one of the KE payload, and up to seven more, each
//! by a method of its own.

use super::choice::Rules;
use super::mismatch::Lacking;
use alloc::vec::Vec;
use core::fmt;
use ikev2_wire::{KeMethod, Proposal, Transform, TransformType};

/// The types of the additional key exchanges, in the order in which these are made (RFC 9370 §2.1).
pub(super) const ADDITIONAL: [TransformType; AdditionalExchanges::MAX] = [
    TransformType::ADDKE1,
    TransformType::ADDKE2,
    TransformType::ADDKE3,
    TransformType::ADDKE4,
    TransformType::ADDKE5,
    TransformType::ADDKE6,
    TransformType::ADDKE7,
];

/// The key exchanges that follow the one of the KE payload (RFC 9370 §2.1): at most seven, each by another method.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdditionalExchanges([KeMethod; Self::MAX]);

impl AdditionalExchanges {
    /// The most that an SA has.
    pub const MAX: usize = 7;

    /// None at all, as in every SA before RFC 9370.
    pub const NONE: Self = Self([KeMethod::NONE; Self::MAX]);

    /// Those that transforms of a chosen proposal name.
    #[must_use]
    pub fn of(transforms: &[Transform]) -> Self {
        Self(ADDITIONAL.map(|ty| {
            let chosen = transforms.iter().find(|transform| transform.ty == ty);
            chosen.map_or(KeMethod::NONE, |transform| KeMethod(transform.id))
        }))
    }

    /// The method of each type, one after the other.
    pub(crate) fn try_from_types<E>(mut next: impl FnMut() -> Result<KeMethod, E>) -> Result<Self, E> {
        let mut methods = Self::NONE;
        for method in &mut methods.0 {
            *method = next()?;
        }
        Ok(methods)
    }

    /// Their methods, in order.
    pub fn methods(&self) -> impl Iterator<Item = KeMethod> + '_ {
        self.0.iter().copied().filter(|method| *method != KeMethod::NONE)
    }

    /// The method of each type, [`KeMethod::NONE`] where there is no exchange.
    pub fn by_type(&self) -> impl Iterator<Item = (TransformType, KeMethod)> + '_ {
        ADDITIONAL.into_iter().zip(self.0)
    }

    /// Whether a proposal of ours with these transforms leads to them.
    pub(crate) fn are_in(&self, transforms: &[Transform]) -> bool {
        self.by_type().all(|(ty, method)| {
            let mut ours = transforms.iter().filter(|transform| transform.ty == ty).peekable();
            ours.peek().is_none() && method == KeMethod::NONE || ours.any(|t| t.id == method.0)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.methods().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for AdditionalExchanges {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Debug for AdditionalExchanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.methods()).finish()
    }
}

/// Whether a transform asks for an additional key exchange.
pub(super) fn is_additional(transform: &Transform) -> bool {
    ADDITIONAL.contains(&transform.ty) && transform.id != KeMethod::NONE.0
}

/// The method that stands twice among transforms of an answer (RFC 9370 §2.2.1).
pub(super) fn repeated(transforms: &[Transform]) -> Option<KeMethod> {
    let methods = || transforms.iter().filter(|t| t.ty.is_key_exchange() && t.id != KeMethod::NONE.0);
    let twice = |(at, transform): &(usize, &Transform)| methods().take(*at).any(|t| t.id == transform.id);
    methods().enumerate().find(twice).map(|(_, transform)| KeMethod(transform.id))
}

/// One transform of each type of key exchange that either proposal has, no method twice: of each type the first of
/// ours with which the rest can still be chosen. A method of type KE that the peer has sent data for comes first, and
/// without an exchange of that type there are none of the others.
pub(super) fn select(
    rules: &Rules,
    ours: &Proposal,
    theirs: &Proposal,
    ke_sent: Option<KeMethod>,
) -> Result<Vec<Transform>, Lacking> {
    let sent = ke_sent.unwrap_or(KeMethod::NONE).0;
    let (fitting, others): (Vec<_>, Vec<_>) =
        rules.common(ours, theirs, TransformType::KE).partition(|transform| transform.id == sent);
    let mut further = Vec::new();
    for ty in
        ADDITIONAL.into_iter().filter(|ty| [ours, theirs].iter().any(|p| p.of_type(*ty).next().is_some()))
    {
        let methods: Vec<u16> = rules.common(ours, theirs, ty).map(|transform| transform.id).collect();
        if methods.is_empty() {
            return Err(Lacking::InCommon(ty));
        }
        further.push((ty, methods));
    }
    let mut lacking = Lacking::InCommon(TransformType::KE);
    for ke in fitting.into_iter().chain(others) {
        let rows: Vec<&[u16]> = further.iter().map(|(_, methods)| &**methods).collect();
        if let Some(methods) = distinct(&rows, ke.id) {
            let further = further.iter().zip(methods).map(|((ty, _), method)| Transform::new(*ty, method));
            return Ok([ke].into_iter().chain(further).collect());
        }
        lacking = Lacking::Distinct;
    }
    Err(lacking)
}

/// Whether transforms of one proposal leave a choice at all.
pub(super) fn can_be_chosen(transforms: &[Transform]) -> bool {
    let ids = |ty| transforms.iter().filter(move |t| t.ty == ty).map(|t| t.id).collect::<Vec<_>>();
    let further: Vec<Vec<u16>> = ADDITIONAL.into_iter().map(ids).filter(|ids| !ids.is_empty()).collect();
    let rows: Vec<&[u16]> = further.iter().map(|ids| &**ids).collect();
    ids(TransformType::KE).into_iter().any(|ke| distinct(&rows, ke).is_some())
}

/// A method of each row, none of them twice and none the `first`.
fn distinct(rows: &[&[u16]], first: u16) -> Option<Vec<u16>> {
    let mut taken = Vec::from([first]);
    for (at, row) in rows.iter().enumerate() {
        let rest = rows.get(at + 1..).unwrap_or_default();
        let fits = |method: &&u16| {
            let with = [&taken[..], &[**method]].concat();
            is_free(**method, &taken) && can_be_distinct(rest, &with)
        };
        taken.push(*row.iter().find(fits)?);
    }
    taken.remove(0);
    Some(taken)
}

/// Whether a method may be chosen beside those that are taken: one that is none always, any other if there is an
/// exchange of type KE at all, and once.
fn is_free(method: u16, taken: &[u16]) -> bool {
    method == KeMethod::NONE.0 || taken.first() != Some(&KeMethod::NONE.0) && !taken.contains(&method)
}

/// Whether each row has a method for itself beside those that are taken: a matching of rows to methods, grown row by
/// row along augmenting paths, so that the work is polynomial whatever the peer offers.
fn can_be_distinct(rows: &[&[u16]], taken: &[u16]) -> bool {
    let mut holders: Vec<(u16, usize)> = Vec::new();
    (0..rows.len()).all(|row| place(rows, taken, row, &mut holders, &mut Vec::new()))
}

fn place(
    rows: &[&[u16]],
    taken: &[u16],
    row: usize,
    holders: &mut Vec<(u16, usize)>,
    tried: &mut Vec<u16>,
) -> bool {
    for method in rows.get(row).into_iter().flat_map(|row| row.iter().copied()) {
        if method == KeMethod::NONE.0 {
            return true;
        }
        if !is_free(method, taken) || tried.contains(&method) {
            continue;
        }
        tried.push(method);
        let Some(at) = holders.iter().position(|(held, _)| *held == method) else {
            holders.push((method, row));
            return true;
        };
        let Some((_, holder)) = holders.get(at).copied() else { continue };
        if place(rows, taken, holder, holders, tried) {
            if let Some(held) = holders.get_mut(at) {
                held.1 = row;
            }
            return true;
        }
    }
    false
}
