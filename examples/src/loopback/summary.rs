//! What everything cost: octets and microseconds for each exchange, and for the packets of each Child SA.

use super::Failed;
use super::sides::{NAMES, Seen};
use crate::log::message_name;
use ikev2_core::MessageDirection;
use std::fmt;
use std::time::Duration;

/// What a run cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The IKE exchanges, in order.
    pub exchanges: Vec<ExchangeLine>,
    /// The packets, by Child SA.
    pub packets: Vec<PacketLine>,
}

/// One exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeLine {
    /// Its name and its Message ID.
    pub name: String,
    /// Who began it.
    pub by: &'static str,
    /// Octets of the request.
    pub request: usize,
    /// Octets of the response.
    pub response: usize,
    /// From the request's making to the response's opening.
    pub took: Duration,
}

/// The packets of one Child SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacketLine {
    /// Its name.
    pub child: String,
    /// How many were carried.
    pub packets: u32,
    /// Octets of the packets inside.
    pub inner: usize,
    /// Octets of the UDP datagrams outside.
    pub outer: usize,
    /// How long each took: sealed, sent, received, opened.
    pub took: Vec<Duration>,
}

impl PacketLine {
    pub(super) fn add(lines: &mut Vec<Self>, child: &str, inner: usize, outer: usize, took: Duration) {
        let place = lines.iter().position(|line| line.child == child).unwrap_or_else(|| {
            let child = child.into();
            lines.push(Self { child, packets: 0, inner: 0, outer: 0, took: Vec::new() });
            lines.len() - 1
        });
        if let Some(line) = lines.get_mut(place) {
            line.packets += 1;
            line.inner += inner;
            line.outer += outer;
            line.took.push(took);
        }
    }
}

/// Pairs each request with its response.
pub(super) fn exchanges(seen: &[Seen]) -> Result<Vec<ExchangeLine>, Failed> {
    let requests = seen.iter().filter(|message| {
        message.direction != MessageDirection::Received && !message.header.flags.is_response()
    });
    requests
        .map(|request| {
            let answers = |message: &&Seen| {
                message.direction == MessageDirection::Received
                    && message.side == request.side
                    && message.header.flags.is_response()
                    && message.header.exchange == request.header.exchange
                    && message.header.message_id == request.header.message_id
            };
            let name = message_name(&request.header).replace(" request", "");
            let response = seen
                .iter()
                .find(answers)
                .ok_or_else(|| Failed::Wrong(format!("no response to {name} was seen")))?;
            Ok(ExchangeLine {
                by: NAMES.get(request.side).copied().unwrap_or_default(),
                request: request.octets,
                response: response.octets,
                took: response.at.saturating_since(request.at),
                name,
            })
        })
        .collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>2}  {:>8}  {:>8}  {:>8}", "exchange", "by", "request", "response", "us")?;
        for ExchangeLine { name, by, request, response, took } in &self.exchanges {
            writeln!(f, "{name:<22} {by:>2}  {request:>8}  {response:>8}  {:>8}", took.as_micros())?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<22} {:>2}  {:>8}  {:>8}  {:>8}",
            "packets of Child SA", "", "inside", "outside", "us each"
        )?;
        for PacketLine { child, packets, inner, outer, took } in &self.packets {
            // The median: one packet that waited for the scheduler says nothing.
            let mut sorted = took.clone();
            sorted.sort_unstable();
            let each = sorted.get(sorted.len() / 2).map_or(0, Duration::as_micros);
            writeln!(f, "{child:<22} {packets:>2}  {inner:>8}  {outer:>8}  {each:>8}")?;
        }
        Ok(())
    }
}
