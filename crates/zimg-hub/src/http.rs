//! One request: proxies, time limits, redirects, the token, and what a status means.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::http::{HeaderMap, Method, Request, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use crate::environment::{HubSettings, Proxies};
use crate::error::{Error, Result};
use crate::origin::{Origin, redirected};
use crate::retry;

/// Redirects of one request: the Hub needs two, and a mirror in front of it two more.
const REDIRECTS_MAX: u32 = 8;
/// Bytes that an answer's headers may have.
const HEADERS_MAX: usize = 64 * 1024;
const AGENT: &str = concat!("zimg/", env!("CARGO_PKG_VERSION"), "; rust");

/// Sends requests to the endpoint and to where it redirects.
#[derive(Debug)]
pub(crate) struct HttpClient {
    pub(crate) settings: HubSettings,
    plain: Agent,
    /// Built when it is needed: it reads the system's certificates.
    secure: OnceLock<Agent>,
}

/// What is asked for, and what messages call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a str,
    /// The first byte, if not the first of all.
    pub(crate) from: u64,
    /// The limit for the whole answer; without it a file is read for as long as bytes come.
    pub(crate) whole: Option<Duration>,
    /// A noun, such as `the repository a/b`.
    pub(crate) object: &'a str,
    /// Where access is granted.
    pub(crate) page: &'a str,
}

/// An answer with the status 200 or 206, or 416 to a request for a part.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The headers of the endpoint's first answer, which may be the redirect.
    pub(crate) first: HeaderMap,
    /// The server that answers.
    pub(crate) host: String,
    pub(crate) body: Body,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It would be the same again.
    Fatal(Error),
    /// It may be another time.
    Again {
        error: Error,
        /// The pause that the server asks for.
        wait: Option<Duration>,
    },
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl HttpClient {
    pub(crate) fn new(settings: HubSettings) -> Result<Self> {
        if let Some(variable) = settings.offline {
            return Err(Error::Offline { variable });
        }
        let proxy = proxy(settings.proxies.http.as_deref(), "http_proxy", &settings.proxies)?;
        let plain = agent(&settings, proxy, None);
        Ok(Self { settings, plain, secure: OnceLock::new() })
    }

    /// The agent for `https`.
    fn secure(&self) -> Result<&Agent> {
        if let Some(agent) = self.secure.get() {
            return Ok(agent);
        }
        let Proxies { https, .. } = &self.settings.proxies;
        let proxy = proxy(https.as_deref(), "HTTPS_PROXY", &self.settings.proxies)?;
        let agent = agent(&self.settings, proxy, Some(certificates(&self.settings)?));
        Ok(self.secure.get_or_init(|| agent))
    }

    /// Sends a request and follows redirects. The token goes to the endpoint's own server only.
    ///
    /// # Errors
    /// No connection, or a status that is no success.
    pub(crate) fn send(&self, target: &Target<'_>) -> Result<Answer, Failed> {
        let endpoint = &self.settings.endpoint.origin;
        let invalid = || Error::InvalidRepository { text: target.url.to_owned() };
        let mut uri: Uri = target.url.parse().map_err(|_| invalid())?;
        let mut first = None;
        for _ in 0..=REDIRECTS_MAX {
            let origin = Origin::of(&uri).ok_or_else(invalid)?;
            let answer = self.ask(target, &uri, &origin)?;
            let (status, headers) = (answer.status().as_u16(), answer.headers());
            let first = first.get_or_insert_with(|| headers.clone());
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                let (parts, body) = answer.into_parts();
                let answer = Answer {
                    status,
                    headers: parts.headers,
                    first: std::mem::take(first),
                    host: origin.to_string(),
                    body,
                };
                return self.judged(answer, target, &origin == endpoint);
            }
            let bad = |how: String| Error::BadRedirect {
                host: origin.to_string(),
                object: target.object.to_owned(),
                how,
            };
            let location = headers.get("location").and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| redirected(&uri, location));
            let next = next.and_then(|next| Some((Origin::of(&next)?, next)));
            let (next_origin, next) = next.ok_or_else(|| bad("to no place".to_owned()))?;
            if origin.is_secure() && !next_origin.is_secure() {
                let how = format!("to {next_origin} without encryption");
                return Err(bad(how).into());
            }
            uri = next;
        }
        Err(Error::BadRedirect {
            host: endpoint.to_string(),
            object: target.object.to_owned(),
            how: format!("more than {REDIRECTS_MAX} times"),
        }
        .into())
    }

    /// Sends one request.
    fn ask(
        &self,
        target: &Target<'_>,
        uri: &Uri,
        origin: &Origin,
    ) -> Result<ureq::http::Response<Body>, Failed> {
        let mut request = Request::builder().method(target.method.clone()).uri(uri);
        if target.from > 0 {
            request = request.header("range", format!("bytes={}-", target.from));
        }
        let is_endpoint = *origin == self.settings.endpoint.origin;
        if let Some(token) = self.settings.token.as_ref().filter(|_| is_endpoint) {
            request = request.header("authorization", token.authorization());
        }
        let unreachable = |error: &ureq::Error| Error::Unreachable {
            host: origin.to_string(),
            reason: reason(error, self.settings.timings.stall),
        };
        let request = request.body(()).map_err(|error| unreachable(&error.into()))?;
        let agent = if origin.is_secure() { self.secure()? } else { &self.plain };
        let request = agent.configure_request(request).timeout_global(target.whole).build();
        agent.run(request).map_err(|error| Failed::Again { error: unreachable(&error), wait: None })
    }

    /// What the status means. `own`: the endpoint's server answers, not one of a redirect.
    fn judged(&self, answer: Answer, target: &Target<'_>, own: bool) -> Result<Answer, Failed> {
        let Answer { status, ref headers, ref host, .. } = answer;
        let (host, object) = (host.clone(), target.object.to_owned());
        let wait = retry::asked_for(headers);
        let code = headers.get("x-error-code").and_then(|value| value.to_str().ok());
        let error = match status {
            200 | 206 => return Ok(answer),
            416 if target.from > 0 => return Ok(answer),
            429 => {
                let error = Error::RateLimited { host, wait };
                let too_long = wait.is_some_and(|wait| wait > self.settings.timings.longest_wait);
                return Err(if too_long { error.into() } else { Failed::Again { error, wait } });
            }
            408 | 500.. => {
                let error = Error::ServerError { host, status };
                return Err(Failed::Again { error, wait });
            }
            // The signed address that the endpoint redirects to is valid for an hour.
            401 | 403 if !own => {
                let error = Error::ServerError { host, status };
                return Err(Failed::Again { error, wait: None });
            }
            // The Hub answers 401 for a repository that may not exist.
            _ if matches!(code, Some("RepoNotFound" | "RevisionNotFound" | "EntryNotFound")) => {
                Error::NotFound { host, object }
            }
            401 | 403 | 451 => {
                let token = self.settings.token.is_some();
                let to = if token { "to the user of this token" } else { "without a token" };
                Error::Denied { host, object, to, page: target.page.to_owned(), token }
            }
            404 | 410 => Error::NotFound { host, object },
            _ => Error::ServerError { host, status },
        };
        Err(error.into())
    }
}

fn agent(settings: &HubSettings, proxy: Option<Proxy>, roots: Option<RootCerts>) -> Agent {
    let timings = &settings.timings;
    let mut tls = TlsConfig::builder();
    if let Some(roots) = roots {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        tls = tls.root_certs(roots).unversioned_rustls_crypto_provider(provider);
    }
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(AGENT)
        // A compressed body has another length and other bytes.
        .accept_encoding("identity")
        .max_response_header_size(HEADERS_MAX)
        .timeout_connect(Some(timings.connect))
        .timeout_recv_response(Some(timings.answer))
        .timeout_per_read(Some(timings.stall))
        .tls_config(tls.build())
        .build()
        .new_agent()
}

/// The system's certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn certificates(settings: &HubSettings) -> Result<RootCerts> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(Error::Unreachable {
            host: settings.endpoint.origin.to_string(),
            reason: "the system has no certificates of authorities (package ca-certificates)"
                .to_owned(),
        });
    }
    Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).into())
}

fn proxy(address: Option<&str>, variable: &'static str, all: &Proxies) -> Result<Option<Proxy>> {
    let Some(address) = address else { return Ok(None) };
    let invalid = || Error::InvalidVariable {
        variable,
        // Without the password.
        value: address.rsplit('@').next().unwrap_or_default().to_owned(),
        expected: "the address of a proxy, such as http://proxy:3128",
    };
    let given = Proxy::new(address).map_err(|_| invalid())?;
    let mut proxy = Proxy::builder(given.protocol()).host(given.host()).port(given.port());
    if let Some(name) = given.username() {
        proxy = proxy.username(name);
    }
    if let Some(password) = given.password() {
        proxy = proxy.password(password);
    }
    proxy = all.without.iter().fold(proxy, |proxy, host| proxy.no_proxy(host));
    proxy.build().map(Some).map_err(|_| invalid())
}

/// An error of a connection in words.
pub(crate) fn reason(error: &ureq::Error, stall: Duration) -> String {
    use ureq::Timeout;
    match error {
        ureq::Error::HostNotFound => "its name is not known".to_owned(),
        ureq::Error::Timeout(Timeout::PerRead | Timeout::PerWrite | Timeout::RecvBody) => {
            format!("nothing came for {} s", stall.as_secs_f32())
        }
        ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection".to_owned()
        }
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// [`reason`] of an error while a body is read.
pub(crate) fn read_reason(error: io::Error, stall: Duration) -> String {
    reason(&ureq::Error::from(error), stall)
}
