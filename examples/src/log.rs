//! How the programs tell what happens: a line each, with the time since the start; messages with their payloads
//! below them.

use ikev2_core::{MessageDirection, MessageObserver};
use ikev2_wire::Header;
use ipsec_types::{Instant, Path};
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Takes lines, and is the clock that they are stamped by.
pub struct Log {
    origin: std::time::Instant,
    colour: bool,
    sink: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("colour", &self.colour).finish_non_exhaustive()
    }
}

impl Log {
    /// To standard output, in colour where that is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn stdout() -> Arc<Self> {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self::new(Box::new(io::stdout()), colour)
    }

    /// The same, but held back until [`Log::flush`]: so that what is told does not take the time of what is measured.
    #[must_use]
    pub fn buffered_stdout() -> Arc<Self> {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self::new(Box::new(io::BufWriter::with_capacity(1 << 16, io::stdout())), colour)
    }

    /// To anywhere, without colour.
    #[must_use]
    pub fn to(sink: impl Write + Send + 'static) -> Arc<Self> {
        Self::new(Box::new(sink), false)
    }

    fn new(sink: Box<dyn Write + Send>, colour: bool) -> Arc<Self> {
        Arc::new(Self { origin: std::time::Instant::now(), colour, sink: Mutex::new(sink) })
    }

    /// The time since the start, for everything that wants a time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    /// A line with the time in front.
    pub fn line(&self, text: impl Display) {
        self.block(text, "");
    }

    /// A line with the time in front, and further lines, indented below it.
    pub fn block(&self, head: impl Display, below: impl Display) {
        let seconds = self.origin.elapsed().as_secs_f64();
        let (dim, plain) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let mut text = format!("{dim}{seconds:>11.6}{plain}  {head}\n");
        for line in below.to_string().lines() {
            text.push_str("             ");
            text.push_str(dim);
            text.push_str(line);
            text.push_str(plain);
            text.push('\n');
        }
        self.raw(&text);
    }

    /// A headline.
    pub fn heading(&self, text: impl Display) {
        let (bold, plain) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.raw(&format!("\n{bold}{text}{plain}\n"));
    }

    /// Lets out what is held back.
    pub fn flush(&self) {
        let _ = self.sink.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }

    /// A text as it is.
    pub fn raw(&self, text: &str) {
        // Where nobody listens any more, nothing is lost.
        let _ = self.sink.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes());
    }
}

/// Tells of every IKE message of an endpoint, with its payloads in the clear.
#[derive(Debug)]
pub struct Narrator {
    /// Where to.
    pub log: Arc<Log>,
    /// Whose messages they are, as a mark in front of each; empty for none.
    pub who: &'static str,
}

impl MessageObserver for Narrator {
    fn message(
        &self,
        direction: MessageDirection,
        path: &Path,
        header: &Header,
        octets: usize,
        payloads: &dyn Display,
    ) {
        let Self { log, who } = self;
        let (arrow, remote) = (arrow(direction), path.remote);
        let repeated = if direction == MessageDirection::Repeated { ", repeated" } else { "" };
        let name = message_name(header);
        log.block(format_args!("{who}{arrow} {name}, {octets} octets, {remote}{repeated}"), payloads);
    }
}

/// The way of a message as seen from its endpoint.
#[must_use]
pub const fn arrow(direction: MessageDirection) -> &'static str {
    match direction {
        MessageDirection::Received => "<-",
        MessageDirection::Sent | MessageDirection::Repeated => "->",
    }
}

/// `IKE_AUTH request 1`: the exchange, which half of it, and the Message ID.
#[must_use]
pub fn message_name(header: &Header) -> String {
    let half = if header.flags.is_response() { "response" } else { "request" };
    format!("{} {half} {}", header.exchange, header.message_id)
}
