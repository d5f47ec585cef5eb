//! The collision rules as a table: what each request is answered with, by what the end that gets it is doing (RFC
//! 7296 §1.4.1, §2.8.1, §2.25.1, §2.25.2).

use super::reading::{Asks, Reading};
use ikev2_wire::codes::NotifyType;

/// What an end is doing with the SA that a request is about, or with the IKE SA that it came by: its own requests
/// that are out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Doing {
    Nothing,
    /// A new Child SA is asked for.
    CreatingChild,
    /// Some other Child SA is being rekeyed, or any, where the request is about the IKE SA.
    RekeyingAnother,
    /// Some other Child SA is being deleted, or any.
    ClosingAnother,
    /// The Child SA that the request names is being rekeyed.
    RekeyingIt,
    /// It is being deleted.
    ClosingIt,
    /// It is not there.
    NoSuchChild,
    RekeyingIke,
    ClosingIke,
    /// The IKE SA was rekeyed, and the request came by what was replaced or is left over.
    Replaced,
    /// The IKE SA is not there any more.
    Gone,
}

impl Doing {
    pub const ALL: [Self; 11] = [
        Self::Nothing,
        Self::CreatingChild,
        Self::RekeyingAnother,
        Self::ClosingAnother,
        Self::RekeyingIt,
        Self::ClosingIt,
        Self::NoSuchChild,
        Self::RekeyingIke,
        Self::ClosingIke,
        Self::Replaced,
        Self::Gone,
    ];
}

/// What the answer must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The request is served, or refused for what it holds.
    Serve,
    /// The same, and the nonces decide which of the two SAs is left over.
    Nonces,
    /// TEMPORARY_FAILURE.
    Busy,
    /// CHILD_SA_NOT_FOUND with the SPI of the request.
    NotFound,
    /// A Delete in return.
    WithDelete,
    /// No Delete in return.
    WithoutDelete,
    /// An empty answer; what was out by that IKE SA is forgotten.
    End,
    /// Nothing by this IKE SA.
    Outside,
    /// It cannot be.
    Never(&'static str),
}

const ABOUT_THE_IKE_SA: Rule = Rule::Never("the request names no Child SA");

const BEFORE_THE_REKEY: Rule = Rule::Never(
    "who rekeys an IKE SA has nothing out about its Child SAs, and begins nothing before the answer",
);

/// The table.
pub fn rule(asks: Asks, doing: Doing) -> Rule {
    use Doing::*;
    match (asks, doing) {
        (_, Gone) => Rule::Outside,
        (Asks::CloseIke, Nothing | CreatingChild | RekeyingAnother | ClosingAnother) => Rule::End,
        (Asks::CloseIke, RekeyingIke | ClosingIke | Replaced) => Rule::End,
        (Asks::CloseIke | Asks::RekeyIke | Asks::CreateChild, RekeyingIt | ClosingIt | NoSuchChild) => {
            ABOUT_THE_IKE_SA
        }
        (Asks::RekeyIke, Nothing) => Rule::Serve,
        (Asks::RekeyIke, CreatingChild | RekeyingAnother | ClosingAnother) => Rule::Busy,
        (Asks::RekeyIke, RekeyingIke) => Rule::Nonces,
        (Asks::RekeyIke, ClosingIke | Replaced) => Rule::Busy,
        (Asks::CreateChild | Asks::RekeyChild, RekeyingIke | ClosingIke) => Rule::Busy,
        (Asks::CreateChild | Asks::RekeyChild, Replaced) => BEFORE_THE_REKEY,
        (Asks::CreateChild | Asks::RekeyChild, Nothing | CreatingChild) => Rule::Serve,
        (Asks::CreateChild | Asks::RekeyChild, RekeyingAnother | ClosingAnother) => Rule::Serve,
        (Asks::RekeyChild, RekeyingIt) => Rule::Nonces,
        (Asks::RekeyChild, ClosingIt) => Rule::Busy,
        (Asks::RekeyChild, NoSuchChild) => Rule::NotFound,
        (Asks::CloseChild, Nothing | CreatingChild | RekeyingAnother | ClosingAnother) => Rule::WithDelete,
        (Asks::CloseChild, RekeyingIt | RekeyingIke | ClosingIke | Replaced) => Rule::WithDelete,
        (Asks::CloseChild, ClosingIt | NoSuchChild) => Rule::WithoutDelete,
    }
}

/// What holds where an end does several things at once.
pub fn strictest(asks: Asks, doing: &[Doing]) -> Rule {
    let weight = |rule: &Rule| match rule {
        Rule::Outside => 7,
        Rule::Busy => 6,
        Rule::NotFound => 5,
        Rule::Nonces => 4,
        Rule::Serve | Rule::End | Rule::WithDelete | Rule::WithoutDelete => 3,
        Rule::Never(_) => 0,
    };
    doing.iter().map(|doing| rule(asks, *doing)).max_by_key(weight).unwrap_or(Rule::Serve)
}

/// What a request may be refused with for what it holds, or for a bound.
const REFUSALS: [NotifyType; 6] = [
    NotifyType::NO_PROPOSAL_CHOSEN,
    NotifyType::TS_UNACCEPTABLE,
    NotifyType::INVALID_KE_PAYLOAD,
    NotifyType::NO_ADDITIONAL_SAS,
    // A Delete of ours waits for the window, the peer has replaced the same SA too often, or there is no randomness.
    NotifyType::TEMPORARY_FAILURE,
    NotifyType::INVALID_SYNTAX,
];

/// Whether an answer is what a rule demands of it, apart from the SPIs of a Delete.
pub fn keeps(rule: Rule, request: &Reading, answer: &Reading) -> bool {
    match rule {
        Rule::Serve | Rule::Nonces => {
            let refused = answer.errors.iter().any(|(ty, _)| REFUSALS.contains(ty));
            answer.proposal.is_some() != refused
        }
        Rule::Busy => answer.says(NotifyType::TEMPORARY_FAILURE) && answer.proposal.is_none(),
        Rule::NotFound => answer.errors == [(NotifyType::CHILD_SA_NOT_FOUND, request.rekeys)],
        Rule::End => answer.payloads == 0,
        Rule::WithDelete | Rule::WithoutDelete => answer.errors.is_empty() && !answer.deletes_ike,
        Rule::Outside | Rule::Never(_) => false,
    }
}
