//! The user for whom a request is made: the one who started zimg-web, or the name of a key.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use zimg_client::JobInfo;

use crate::problem::{Problem, Reason};

/// A user: fair shares, limits and ownership of jobs are by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User(Option<Arc<str>>);

impl User {
    /// The user that runs zimg-web.
    pub const OWN: Self = Self(None);

    /// The user of a key.
    pub fn named(name: &str) -> Self {
        Self(Some(name.into()))
    }

    /// The user for whom a job was submitted.
    pub(crate) fn of_job(job: &JobInfo) -> Self {
        Self(job.on_behalf_of.as_deref().map(Arc::from))
    }

    /// The name of the key, on whose behalf the daemon is asked.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether a job is this user's.
    pub fn owns(&self, job: &JobInfo) -> bool {
        job.on_behalf_of.as_deref() == self.name()
    }
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let user = parts.extensions.get::<Self>().cloned();
        user.ok_or_else(|| Problem::new(Reason::Internal, "the route has no access layer"))
    }
}
