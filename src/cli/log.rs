//! The log on standard error: which topics, up to which level.

use std::env;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

/// The topics of the stack, as the targets of its events name them behind `glasstcp::`.
const TOPICS: [&str; 7] = ["state", "path_mtu", "recovery", "timer", "drop", "output", "driver"];

/// What is logged: a level for everything, and topics with levels of their own.
#[derive(Clone, Debug)]
pub(super) struct Filter(Targets);

impl FromStr for Filter {
    type Err = String;

    /// `warn`, `state`, `info,drop=trace`, `glasstcp::state=debug`.
    fn from_str(text: &str) -> Result<Filter, String> {
        let mut targets = Targets::new().with_default(LevelFilter::WARN);
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (topic, level) = match part.split_once('=') {
                Some((topic, text)) => (Some(topic), level(text).ok_or(format!("'{text}' is no level: {LEVELS}"))?),
                None => match level(part) {
                    Some(level) => (None, level),
                    None => (Some(part), LevelFilter::TRACE),
                },
            };
            targets = match topic {
                None => targets.with_default(level),
                Some(topic) => targets.with_target(target(topic)?, level),
            };
        }
        Ok(Filter(targets))
    }
}

const LEVELS: &str = "off, error, warn, info, debug or trace";

fn level(text: &str) -> Option<LevelFilter> {
    // The parser of the crate takes numbers, too, and the empty text.
    let known = text.chars().all(|c| c.is_ascii_alphabetic()) && !text.is_empty();
    known.then(|| text.parse().ok()).flatten()
}

/// The target of a topic: one of ours by its short name, or any module's path.
fn target(topic: &str) -> Result<String, String> {
    match topic.strip_prefix("glasstcp::").unwrap_or(topic) {
        short if TOPICS.contains(&short) => Ok(format!("glasstcp::{short}")),
        _ if topic.contains("::") || topic == "glasstcp" => Ok(topic.into()),
        _ => Err(format!("'{topic}' is neither a level ({LEVELS}) nor a topic ({})", TOPICS.join(", "))),
    }
}

/// Starts the log.
pub(super) fn start(filter: &Filter) {
    let color = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(color);
    let subscriber = tracing_subscriber::registry().with(filter.0.clone()).with(layer);
    // It fails where a log is running already, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn shows(filter: &str, target: &str, level: Level) -> bool {
        filter.parse::<Filter>().unwrap().0.would_enable(target, &level)
    }

    #[test]
    fn levels_and_topics_are_told_apart() {
        assert!(shows("warn", "glasstcp::driver", Level::WARN) && !shows("warn", "glasstcp::state", Level::DEBUG));
        assert!(shows("debug", "glasstcp::state", Level::DEBUG) && !shows("debug", "glasstcp::output", Level::TRACE));
        assert!(shows("state", "glasstcp::state", Level::TRACE) && !shows("state", "glasstcp::drop", Level::INFO));
        assert!(shows("state", "glasstcp::driver", Level::WARN), "warnings stay on");
        assert!(shows("info,drop=trace", "glasstcp::drop", Level::TRACE));
        assert!(shows("info,glasstcp::drop=debug", "x", Level::INFO));
        assert!(!shows("off", "glasstcp::driver", Level::ERROR));
        assert!(shows("glasstcp::cli=debug", "glasstcp::cli::serve", Level::DEBUG));
    }

    #[test]
    fn mistakes_are_explained() {
        for bad in ["loud", "state=loud", "5", "stat=debug", "state="] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
        assert!("stat".parse::<Filter>().unwrap_err().contains("recovery"));
    }
}
