//! What one check of `zimg doctor` found, and what to type.

use zimg_client::Kind;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Ok,
    /// It may be meant so.
    Warn,
    /// Nothing is drawn like that.
    Fail,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The thing, one word.
    pub(crate) topic: &'static str,
    pub(crate) level: Level,
    /// One sentence.
    pub(crate) text: String,
    /// What to type or change.
    pub(crate) fix: Option<String>,
    /// Of a failure, what it is one of: `Config` or `Unavailable`.
    pub(crate) kind: Kind,
}

impl Finding {
    pub(super) fn ok(topic: &'static str, text: impl Into<String>) -> Self {
        Self { topic, level: Level::Ok, text: text.into(), fix: None, kind: Kind::Unavailable }
    }

    pub(super) fn warn(
        topic: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warn, fix: Some(fix.into()), ..Self::ok(topic, text) }
    }

    /// Something that is not there.
    pub(super) fn fail(
        topic: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Fail, ..Self::warn(topic, text, fix) }
    }

    /// Something that is set wrongly, or damaged.
    pub(super) fn wrong(
        topic: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { kind: Kind::Config, ..Self::fail(topic, text, fix) }
    }
}
