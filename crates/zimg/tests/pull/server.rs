//! A server that speaks as the Hub does, and does not keep to it where a test says so.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The commit of every repository here.
pub(crate) const COMMIT: &str = "2f862278568d3f0a83167a16e5f11094da6dee72";
/// Files of this length are in LFS.
const LFS: usize = 1000;

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The right answer.
    Serve,
    /// Another one.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The right answer, cut after so many bytes of the body.
    Cut(usize),
    /// The same, and then silence until the client closes the connection.
    Stall(usize),
    /// The whole file, whatever part was asked for.
    Whole,
    /// The right answer with these headers besides.
    With(Vec<(&'static str, String)>),
    /// Headers that never end.
    EndlessHeaders,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    /// How many requests for the same path came before.
    pub(crate) before: usize,
}

impl Asked {
    pub(crate) fn is_file(&self, name: &str) -> bool {
        self.path.contains("/resolve/") && self.path.ends_with(name)
    }

    /// The first byte that is asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        let range = self.headers.get("range")?.strip_prefix("bytes=")?;
        range.split_once('-')?.0.parse().ok()
    }
}

type Rule = dyn Fn(&Asked) -> Act + Send + Sync;

/// The server; it ends with the test.
pub(crate) struct Server {
    pub(crate) address: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

/// The repositories of a server: their names, and files with contents.
pub(crate) type Repositories = Vec<(&'static str, Vec<(&'static str, Vec<u8>)>)>;

impl Server {
    pub(crate) fn start(
        repositories: Repositories,
        rule: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let state = Arc::new((repositories, Box::new(rule) as Box<Rule>, Arc::clone(&log)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&state);
                // The client may leave at any moment.
                thread::spawn(move || stream.and_then(|stream| serve(stream, &state)));
            }
        });
        Self { address, log }
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// The requests for a file, each with its first byte.
    pub(crate) fn asked_for(&self, name: &str) -> Vec<Option<usize>> {
        self.asked().iter().filter(|asked| asked.is_file(name)).map(Asked::from).collect()
    }
}

/// The checksum that the Hub has for a file.
pub(crate) fn checksum(content: &[u8]) -> String {
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if content.len() >= LFS {
        return digits(&Sha256::digest(content));
    }
    let blob = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    digits(&Sha1::digest(blob))
}

/// The API's list of a repository's files.
pub(crate) fn listing(files: &[(&'static str, Vec<u8>)]) -> String {
    let entry = |(name, content): &(&str, Vec<u8>)| {
        let (size, sum) = (content.len(), checksum(content));
        if content.len() >= LFS {
            format!(
                r#"{{"rfilename":"{name}","size":{size},"blobId":"{COMMIT}","lfs":{{"sha256":"{sum}","size":{size},"pointerSize":134}}}}"#
            )
        } else {
            format!(r#"{{"rfilename":"{name}","size":{size},"blobId":"{sum}"}}"#)
        }
    };
    let files: Vec<_> = files.iter().map(entry).collect();
    format!(r#"{{"sha":"{COMMIT}","gated":false,"siblings":[{}]}}"#, files.join(","))
}

fn serve(
    mut stream: TcpStream,
    (repositories, rule, log): &(Repositories, Box<Rule>, Arc<Mutex<Vec<Asked>>>),
) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(()) };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    for line in lines.by_ref() {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let asked = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|asked| asked.path == path).count();
        log.push(Asked { method, path, headers, before });
        log.last().unwrap().clone()
    };
    let mut limit = usize::MAX;
    let (mut more, mut whole, mut stalls) = (Vec::new(), false, false);
    match rule(&asked) {
        Act::Serve => {}
        Act::Answer(status, headers, body) => {
            let length = ("content-length", body.len().to_string());
            let has_length = headers.iter().any(|(name, _)| *name == "content-length");
            let headers = if has_length { headers } else { [headers, vec![length]].concat() };
            return answer(&mut stream, status, &headers, &body);
        }
        Act::Cut(bytes) => limit = bytes,
        Act::Stall(bytes) => (limit, stalls) = (bytes, true),
        Act::Whole => whole = true,
        Act::With(headers) => more = headers,
        Act::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            let line = format!("x-filler: {}\r\n", "x".repeat(4000));
            loop {
                stream.write_all(line.as_bytes())?;
            }
        }
    }
    let Some((status, mut headers, body)) = right(repositories, &asked, whole) else {
        return answer(&mut stream, 404, &[("content-length", "0".to_owned())], b"");
    };
    headers.extend(more);
    let body = if asked.method == "HEAD" { &[] } else { &body[..body.len().min(limit)] };
    answer(&mut stream, status, &headers, body)?;
    if stalls {
        // Ends when the client closes.
        let _ = stream.read(&mut [0; 1]);
    }
    Ok(())
}

type Right = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// The Hub's answer.
fn right(repositories: &Repositories, asked: &Asked, whole: bool) -> Option<Right> {
    let (name, files) = repositories.iter().find(|(name, _)| asked.path.contains(name))?;
    if asked.path.starts_with(&format!("/api/models/{name}/revision/")) {
        let json = listing(files).into_bytes();
        return Some((200, vec![("content-length", json.len().to_string())], json));
    }
    let path = asked.path.strip_prefix(&format!("/{name}/resolve/{COMMIT}/"))?;
    let (_, content) = files.iter().find(|(file, _)| *file == path)?;
    let etag = format!("\"{}\"", checksum(content));
    let mut headers = vec![
        ("x-repo-commit", COMMIT.to_owned()),
        ("x-linked-etag", etag.clone()),
        ("x-linked-size", content.len().to_string()),
        ("etag", etag),
    ];
    let from = asked.from().filter(|_| !whole);
    let status = match from {
        Some(from) if from >= content.len() => 416,
        Some(from) => {
            let (last, all) = (content.len() - 1, content.len());
            headers.push(("content-range", format!("bytes {from}-{last}/{all}")));
            206
        }
        None => 200,
    };
    let body = content.get(from.unwrap_or_default()..).unwrap_or_default().to_vec();
    headers.push(("content-length", body.len().to_string()));
    Some((status, headers, body))
}

fn answer(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}
