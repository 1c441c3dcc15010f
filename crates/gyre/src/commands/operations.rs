//! The words with which `gyre up` is told how to run: what it logs, and how it goes down.

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use gyre_server::{Drain, Server};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

#[derive(Debug, Args)]
#[command(next_help_heading = "Operations")]
pub(crate) struct OperationsArgs {
    /// How events are written to standard error, one a line.
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "GYRE_LOG_FORMAT")]
    log_format: Format,
    /// The least severe events that are written: error, warn, info, debug.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "GYRE_LOG_LEVEL")]
    log_level: Level,
    /// Write an event for each request too.
    #[arg(long, env = "GYRE_ACCESS_LOG")]
    access_log: bool,
    /// When asked to end, go on for that many seconds first, but say in /v2/health/ready that nothing more should be sent.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, env = "GYRE_DRAIN_DELAY")]
    drain_delay: u32,
    /// How many seconds requests that are under way may then take to finish.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, env = "GYRE_DRAIN_TIMEOUT")]
    drain_timeout: u32,
    /// The most connections at a time; by default as many as the system's limit of open files allows, up to 16384.
    #[arg(long, value_name = "N", env = "GYRE_MAX_CONNECTIONS")]
    max_connections: Option<usize>,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs: an object a line.
    Json,
}

impl OperationsArgs {
    /// Has events written from now on.
    pub(super) fn begin_log(&self) {
        // What libraries say is worth hearing only when something is wrong.
        let level = tracing_subscriber::filter::LevelFilter::from_level(self.log_level);
        let others = level.min(tracing_subscriber::filter::LevelFilter::WARN);
        let wanted = Targets::new().with_default(others).with_target("gyre", level);
        let wanted = wanted.with_target(gyre_server::ACCESS, if self.access_log { level } else { others });
        // Nobody may be there to read it, and then there is nobody to tell that.
        let to = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
        let layer = match self.log_format {
            Format::Text => to.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
            Format::Json => {
                to.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
            }
        };
        // Only a test that runs two servers in one process has set one already.
        let _ = tracing_subscriber::registry().with(layer.with_filter(wanted)).try_init();
    }

    /// Whether each request is told of.
    pub(super) fn access_log(&self) -> bool {
        self.access_log
    }

    /// The first words: for people a sentence.
    pub(super) fn greet(&self, words: &str, url: &str) {
        match self.log_format {
            Format::Text => anstream::eprintln!("{words}"),
            Format::Json => tracing::info!(url, "{words}"),
        }
    }

    /// `server`, run in that way.
    pub(super) fn apply(&self, server: Server) -> Server {
        let seconds = |count: u32| Duration::from_secs(count.into());
        let server = match self.max_connections {
            Some(most) => server.with_connections(most),
            None => server,
        };
        server.draining(Drain { delay: seconds(self.drain_delay), timeout: seconds(self.drain_timeout) })
    }
}
