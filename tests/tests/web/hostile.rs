//! Hostile HTTP: foreign hosts and origins, bodies and headers without end, paths that lead out.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use zimg_tests::{Daemon, Web};

const FOX: &str = r#"{"params":{"prompt":"a red fox","width":64,"height":64,"steps":2}}"#;

#[test]
fn other_sites_are_refused_before_the_queue_is_touched() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &["--host", "zimg.example"]);
    let port = web.address().port();
    let own = format!("Origin: http://127.0.0.1:{port}");
    let host = |name: &str| format!("Host: {name}:{port}");
    let post = |headers: &[&str]| web.ask("POST", "/zimg/v1/jobs", headers, FOX.as_bytes()).status;
    let refused: &[&[&str]] = &[
        &[&host("evil.example")],
        &[&host("0.0.0.0")],
        &[&host("127.0.0.1.evil.example")],
        &["Origin: http://evil.example"],
        &["Origin: null"],
        &["Origin: http://127.0.0.1"],
        &[&own, "Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Content-Type: text/plain"],
        &["Content-Type: application/x-www-form-urlencoded"],
        &["Content-Type: multipart/form-data; boundary=x"],
    ];
    for headers in refused {
        let status = post(headers);
        assert!(matches!(status, 403 | 415), "{headers:?}: {status}");
    }
    let read = |headers: &[&str]| web.ask("GET", "/zimg/v1/jobs", headers, b"").status;
    assert_eq!(read(&["Origin: http://evil.example"]), 403);
    assert_eq!(read(&["Sec-Fetch-Site: cross-site"]), 403);
    let foreign = web.ask("GET", "/", &[&host("evil.example")], b"");
    assert_eq!(foreign.status, 403, "nor the page");
    let head = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(web.raw(head, b"").status, 400, "no host");
    let head = format!("GET http://evil.example/ HTTP/1.1\r\n{}\r\n\r\n", host("127.0.0.1"));
    assert_eq!(web.raw(&head, b"").status, 403, "another in the target");
    assert!(daemon.client().jobs().unwrap().is_empty());
    for headers in [&[&*own][..], &[&*host("localhost")], &[&*host("zimg.example")], &[]] {
        assert_eq!(post(headers), 202, "{headers:?}");
    }
}

#[test]
fn no_answer_lets_another_site_in() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    for path in ["/", "/zimg/v1/status", "/healthz", "/nothing"] {
        let answer = web.get(path);
        let csp = answer.header("content-security-policy").unwrap();
        assert!(csp.starts_with("default-src 'none'") && !csp.contains("unsafe"), "{csp}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let preflight = web.ask("OPTIONS", "/zimg/v1/jobs", &["Origin: http://evil.example"], b"");
    assert_eq!(preflight.status, 403);
}

#[test]
fn bodies_without_end_are_refused() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    let head = |length: u64| {
        format!(
            "POST /zimg/v1/session HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {length}\r\n\r\n",
            web.address()
        )
    };
    let announced = web.raw(&head(1 << 30), b"");
    assert_eq!(announced.status, 413, "before it is read");
    // What does not announce its length is counted.
    let chunked = format!(
        "POST /zimg/v1/session HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        web.address()
    );
    let mut body = Vec::new();
    for _ in 0..40 {
        body.extend_from_slice(b"10000\r\n");
        body.resize(body.len() + 0x10000, b' ');
        body.extend_from_slice(b"\r\n");
    }
    let answer = web.raw(&chunked, &body);
    assert!(matches!(answer.status, 413 | 0), "{}", answer.status);
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(web.post("/zimg/v1/jobs", &deep).status, 400);
    assert_eq!(web.post("/zimg/v1/jobs", "{\"params\":").status, 400);
    assert_eq!(web.post("/zimg/v1/jobs", "").status, 400);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    assert!(matches!(web.raw(&long, b"").status, 414 | 431 | 400 | 0));
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: {}\r\n{many}\r\n", web.address());
    assert!(matches!(web.raw(&many, b"").status, 431 | 0));
    assert!(web.memory() < 40 << 20, "{} bytes", web.memory());
    assert_eq!(web.get("/healthz").status, 200);
}

#[test]
fn no_path_leads_out_of_the_page() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    for path in [
        "/../Cargo.toml",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/index.html%00.png",
        "//etc/passwd",
        "/\\..\\etc\\passwd",
        "/.git/config",
        "/build.rs",
        "/zimg/v1/images/..%2f1-1",
        "/zimg/v1/images/1-1%00",
        "/zimg/v1/jobs/..",
        "/zimg/v1/jobs/1%2fevents",
        "/zimg/v1/jobs/%ff",
    ] {
        let answer = web.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("root:"), "{path}");
    }
}

#[test]
fn a_prompt_is_text_wherever_it_goes() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    let body = r#"{"params":{"prompt":"\"><img src=x onerror=alert(1)>\ndata: x","width":64,"height":64,"steps":1}}"#;
    assert_eq!(web.post("/zimg/v1/jobs", body).status, 202);
    let list = web.get("/zimg/v1/jobs");
    assert_eq!(list.header("content-type"), Some("application/json"));
    let control = r#"{"params":{"prompt":"a\r\u0000b"}}"#;
    let answer = web.post("/zimg/v1/jobs", control);
    assert_eq!(answer.status, 400);
    assert!(answer.reason.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{}", answer.reason);
}

#[test]
fn silent_and_slow_clients_cost_no_other_its_answer() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &["--connections", "64"]);
    // More than there are places; the oldest make room.
    let silent: Vec<_> = (0..200).map(|_| web.connect()).collect();
    let begun = Instant::now();
    assert_eq!(web.get("/healthz").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(web.post("/zimg/v1/jobs", FOX).status, 202);
    drop(silent);
    // Headers a byte at a time end with the time for headers.
    let mut slow = web.connect();
    let begun = Instant::now();
    let mut answer = Vec::new();
    for byte in
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a'))
    {
        if slow.write_all(&[*byte]).is_err() || begun.elapsed() > Duration::from_secs(20) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let _ = slow.read_to_end(&mut answer);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn images_that_are_bombs_or_none_are_read_within_bounds() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &[]);
    let read = |kind: &str, body: &[u8]| {
        web.ask("POST", "/zimg/v1/metadata", &[&format!("Content-Type: {kind}")], body).status
    };
    assert_eq!(read("image/png", b"not an image"), 422);
    assert_eq!(read("image/png", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffzTXt"), 422);
    assert_eq!(read("text/plain", &vec![b'a'; 2 << 20]), 422);
    assert_eq!(read("text/html", b"<p>"), 415);
    let text = b"a fox\nSteps: 8, Sampler: Euler, CFG scale: 1, Seed: 7, Size: 64x64, Model: x";
    assert_eq!(read("text/plain", text), 200);
    assert!(web.memory() < 60 << 20, "{} bytes", web.memory());
}
