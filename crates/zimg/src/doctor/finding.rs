//! What one check of `zimg doctor` found, and what to type.

use zimg_client::Kind;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Ok,
    /// A warning: it may be intended.
    Warn,
    /// A failure: no image can be generated.
    Fail,
}

/// The finding of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The subject, one word.
    pub(crate) topic: &'static str,
    pub(crate) level: Level,
    /// One sentence.
    pub(crate) text: String,
    /// What to do.
    pub(crate) fix: Option<String>,
    /// The kind of a failure: `Config` or `Unavailable`.
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

    /// Something does not exist or does not work.
    pub(super) fn fail(
        topic: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Fail, ..Self::warn(topic, text, fix) }
    }

    /// Something is misconfigured or damaged.
    pub(super) fn wrong(
        topic: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { kind: Kind::Config, ..Self::fail(topic, text, fix) }
    }
}
