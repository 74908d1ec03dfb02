//! The settings that Hugging Face's own programs read from the environment.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::time::Duration;

use zimage_checkpoint::hugging_face;

use crate::error::{Error, Result};
use crate::origin::Endpoint;

/// The Hub.
const HUB: &str = "https://huggingface.co";
/// A file with a token is one line.
const TOKEN_MAX: u64 = 4096;
/// Values of a variable that switch something on, in huggingface_hub.
const TRUE: [&str; 4] = ["1", "ON", "YES", "TRUE"];

/// A secret that is never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// From the text of a variable or a file; none if it is empty or could end a header.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self(text.to_owned()))
    }

    /// The value of the header.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Time limits of connections.
#[derive(Clone, Debug)]
pub struct Timings {
    /// Until a connection is made, the name's look-up and TLS included.
    pub connect: Duration,
    /// Until all headers of an answer are there, and until the API's answer is.
    pub answer: Duration,
    /// Until the next bytes of a file come.
    pub stall: Duration,
    /// The pause before the first repeated request; it doubles with each further one.
    pub pause: Duration,
    /// Requests for a file without one new byte before it is given up.
    pub attempts: u32,
    /// The longest pause that the server can ask for.
    pub longest_wait: Duration,
}

impl Default for Timings {
    /// The stall is huggingface_hub's; the Hub counts requests in windows of five minutes.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(10),
            pause: Duration::from_millis(500),
            attempts: 6,
            longest_wait: Duration::from_secs(300),
        }
    }
}

/// What the environment says about the Hub.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The server: `HF_ENDPOINT`.
    pub(crate) endpoint: Endpoint,
    /// `HF_TOKEN`, or the content of the file `HF_TOKEN_PATH` or `HF_HOME/token`.
    pub(crate) token: Option<Token>,
    /// The variable that forbids connections.
    pub(crate) offline: Option<&'static str>,
    /// `HF_HUB_DOWNLOAD_TIMEOUT` changes the stall.
    pub timings: Timings,
    /// The proxies for `https` and `http`, and the hosts without one.
    pub(crate) proxies: Proxies,
}

/// The proxies of the environment, as curl reads them.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    pub(crate) https: Option<String>,
    pub(crate) http: Option<String>,
    /// Hosts and domains that are asked directly.
    pub(crate) without: Vec<String>,
}

impl fmt::Debug for Proxies {
    /// An address can have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxies(https: {}, http: {})", self.https.is_some(), self.http.is_some())
    }
}

impl HubSettings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// `InvalidVariable`: a value cannot be used.
    pub fn read() -> Result<Self> {
        Self::from(|name| env::var_os(name))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name: &str| {
            let value = variable(name)?.into_string().ok()?;
            Some(value).filter(|value| !value.trim().is_empty())
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let endpoint = Endpoint::parse(&endpoint).ok_or(Error::InvalidVariable {
            variable: "HF_ENDPOINT",
            value: endpoint,
            expected: "the address of a server, such as https://huggingface.co",
        })?;
        let is_set = |name: &&str| {
            text(name).is_some_and(|value| TRUE.contains(&value.to_uppercase().as_str()))
        };
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(is_set);
        let mut timings = Timings::default();
        if let Some(value) = text("HF_HUB_DOWNLOAD_TIMEOUT") {
            let seconds = value.trim().parse().ok().filter(|seconds| (1..=3600).contains(seconds));
            timings.stall = Duration::from_secs(seconds.ok_or(Error::InvalidVariable {
                variable: "HF_HUB_DOWNLOAD_TIMEOUT",
                value,
                expected: "1 to 3600 seconds",
            })?);
        }
        let first = |names: &[&str]| names.iter().find_map(|name| text(name));
        let without = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        let proxies = Proxies {
            https: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            // Not HTTP_PROXY: a CGI program has it from its client.
            http: first(&["http_proxy", "ALL_PROXY", "all_proxy"]),
            without: without.split(',').map(|host| host.trim().to_owned()).collect(),
        };
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| token_file(&variable)).and_then(|text| Token::parse(&text));
        Ok(Self { endpoint, token, offline, timings, proxies })
    }
}

/// The content of the file that `hf auth login` writes.
fn token_file(variable: &impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let path = hugging_face::path(variable, "HF_TOKEN_PATH")
        .or_else(|| Some(hugging_face::home(variable)?.join("token")))?;
    let metadata = fs::metadata(&path).ok()?;
    // Not a pipe, which would be waited for.
    let is_small = metadata.is_file() && metadata.len() <= TOKEN_MAX;
    is_small.then(|| fs::read_to_string(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + use<> {
        let set: Vec<(String, OsString)> =
            set.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        move |name| Some(set.iter().find(|pair| pair.0 == name)?.1.clone())
    }

    #[test]
    fn a_token_is_a_variable_or_a_file_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "hf_file\n").unwrap();
        let token = |set: &[(&str, &str)]| {
            HubSettings::from(with(set)).unwrap().token.map(|token| token.authorization())
        };
        let home = ("HF_HOME", folder.path().to_str().unwrap());
        assert_eq!(token(&[home]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(token(&[home, ("HF_TOKEN", " hf_x ")]).as_deref(), Some("Bearer hf_x"));
        assert_eq!(token(&[("HF_TOKEN_PATH", file.to_str().unwrap())]).unwrap(), "Bearer hf_file");
        // It would end the header and begin another.
        assert_eq!(token(&[("HF_TOKEN", "a\r\nX: y")]), None);
        assert_eq!(token(&[]), None);
        let shown = format!("{:?}", HubSettings::from(with(&[("HF_TOKEN", "hf_x")])).unwrap());
        assert!(!shown.contains("hf_x"), "{shown}");
    }

    #[test]
    fn switches_and_times_are_read_as_huggingface_hub_reads_them() {
        let read = |set: &[(&str, &str)]| HubSettings::from(with(set));
        assert_eq!(read(&[("HF_HUB_OFFLINE", "1")]).unwrap().offline, Some("HF_HUB_OFFLINE"));
        assert_eq!(read(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline, None);
        let stall = read(&[("HF_HUB_DOWNLOAD_TIMEOUT", "30")]).unwrap().timings.stall;
        assert_eq!(stall, Duration::from_secs(30));
        for (name, value) in [("HF_HUB_DOWNLOAD_TIMEOUT", "0"), ("HF_ENDPOINT", "ftp://x")] {
            let said = read(&[(name, value)]).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{name} is `{value}`, but must be ")), "{said}");
        }
    }
}
