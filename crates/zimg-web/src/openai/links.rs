//! Links to images of detached jobs, signed for an hour: who has the link has the image.

use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zimg_image::{Encoding, ImageFormat};

use crate::App;
use crate::access::{Access, User};
use crate::daemon::{self, JobId, StoredImage};
use crate::problem::{Problem, Reason};
use crate::translate::now;

/// How long a link is valid, in seconds: as long as OpenAI's.
const VALID_S: u64 = 3600;
/// What a signature is for.
const PURPOSE: &str = "link to an image";

const FORMATS: [(ImageFormat, &str, &str); 3] = [
    (ImageFormat::Png, "png", "image/png"),
    (ImageFormat::Jpeg, "jpeg", "image/jpeg"),
    (ImageFormat::WebP, "webp", "image/webp"),
];

/// An image that a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) user: User,
    pub(super) job: JobId,
    /// From 0.
    pub(super) index: u32,
    pub(super) format: ImageFormat,
    pub(super) encoding: Encoding,
}

/// The query of a link.
#[derive(Debug, Deserialize)]
pub(super) struct Signed {
    /// The key's name in base64, empty for the user that runs zimg-web.
    user: String,
    /// 0 is the format's own.
    quality: u8,
    expires: u64,
    signature: String,
}

impl Link {
    /// The path and the query of a link that is made now.
    pub(super) fn path(&self, access: &Access, now: u64) -> String {
        let expires = now + VALID_S;
        let signature = access.sign(PURPOSE, &self.text(expires));
        let Self { job, index, encoding, .. } = self;
        let number = index + 1;
        let (_, extension, _) = self.names();
        let quality = encoding.quality.unwrap_or(0);
        let user = URL_SAFE_NO_PAD.encode(self.user.name().unwrap_or_default());
        format!(
            "/v1/images/files/{job}-{number}.{extension}?user={user}&quality={quality}\
             &expires={expires}&signature={signature}"
        )
    }

    /// What is signed: every field, none of which can be read as another.
    fn text(&self, expires: u64) -> String {
        let Self { user, job, index, encoding, .. } = self;
        let (_, extension, _) = self.names();
        let quality = encoding.quality.unwrap_or(0);
        format!("{job}-{index}.{extension} {quality} {expires} {}", user.name().unwrap_or_default())
    }

    fn names(&self) -> (ImageFormat, &'static str, &'static str) {
        FORMATS.into_iter().find(|(format, ..)| *format == self.format).unwrap_or(FORMATS[0])
    }

    /// The link of an id and a query.
    fn read(id: &str, query: &Signed) -> Option<Self> {
        let (number, extension) = id.split_once('.')?;
        let (job, number) = number.split_once('-')?;
        let (format, ..) = *FORMATS.iter().find(|(_, known, _)| *known == extension)?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(&query.user).ok()?).ok()?;
        let user = if name.is_empty() { User::OWN } else { User::named(&name) };
        let index = number.parse::<u32>().ok()?.checked_sub(1)?;
        let encoding = Encoding { quality: Some(query.quality).filter(|quality| *quality > 0) };
        Some(Self { user, job: job.parse().ok()?, index, format, encoding })
    }
}

/// The address of this server as the client has it, without a slash at its end.
pub(super) fn base(app: &App, headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    app.config.public_url.clone().unwrap_or_else(|| format!("http://{host}"))
}

/// `GET /v1/images/files/{id}`.
pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
    query: Result<Query<Signed>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(Reason::Forbidden, "the link to the image is not valid");
    let Query(query) = query.map_err(|_| unknown())?;
    let link = Link::read(&id, &query).ok_or_else(unknown)?;
    if !app.access.verify(PURPOSE, &link.text(query.expires), &query.signature) {
        return Err(unknown());
    }
    if query.expires < now() {
        let message = "the link to the image has expired: it was valid for an hour";
        return Err(Problem::new(Reason::Forbidden, message));
    }
    let stored = app.daemon.image(&link.user, link.job, link.index).await?;
    let StoredImage { context, image } = stored;
    let file = daemon::encode(&context, image, link.format, link.encoding, true).await?;
    let (.., kind) = link.names();
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(kind))], file).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Hosts, Login, Secret};

    fn access() -> Access {
        Access::new(Hosts::new(None, &[]), Login::None, Secret::random().unwrap())
    }

    fn link() -> Link {
        let encoding = Encoding { quality: Some(80) };
        Link { user: User::named("ann"), job: 17, index: 1, format: ImageFormat::WebP, encoding }
    }

    fn query(path: &str) -> (String, Signed) {
        let (path, query) = path.split_once('?').unwrap();
        let id = path.rsplit('/').next().unwrap().to_owned();
        let value = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            pair.unwrap().to_owned()
        };
        let signed = Signed {
            user: value("user"),
            quality: value("quality").parse().unwrap(),
            expires: value("expires").parse().unwrap(),
            signature: value("signature"),
        };
        (id, signed)
    }

    #[test]
    fn a_link_gives_its_image_back() {
        let access = access();
        for user in [User::named("ann"), User::OWN, User::named("a b/c&d=é")] {
            for quality in [None, Some(80)] {
                let link = Link { user: user.clone(), encoding: Encoding { quality }, ..link() };
                let (id, signed) = query(&link.path(&access, 1000));
                assert_eq!(Link::read(&id, &signed), Some(link.clone()));
                assert_eq!(signed.expires, 4600);
                assert!(access.verify(PURPOSE, &link.text(4600), &signed.signature));
            }
        }
    }

    #[test]
    fn a_changed_link_is_no_other_image() {
        let access = access();
        let signature = query(&link().path(&access, 1000)).1.signature;
        for other in [
            Link { user: User::named("bob"), ..link() },
            Link { user: User::OWN, ..link() },
            Link { job: 18, ..link() },
            Link { index: 0, ..link() },
            Link { format: ImageFormat::Png, ..link() },
            Link { encoding: Encoding { quality: None }, ..link() },
        ] {
            assert!(!access.verify(PURPOSE, &other.text(4600), &signature), "{other:?}");
        }
        assert!(!access.verify(PURPOSE, &link().text(4601), &signature));
        for id in ["", "17", "17-0.png", "17-1", "17-1.gif", "x-1.png", "../17-1.png"] {
            let signed = query(&link().path(&access, 0)).1;
            assert_eq!(Link::read(id, &signed), None, "{id}");
        }
    }
}
