//! Users: keys, sessions, and that no user sees or stops another's jobs.

use std::fs;
use std::process::Command;

use nix::unistd::{Group, getgid};
use zimg_tests::{Answer, Daemon, Options, Web, field, program};

const FOX: &str = r#"{"params":{"prompt":"a red fox","width":64,"height":64,"steps":2}}"#;

/// A daemon that believes this process's group about its users.
fn trusting(mock: &str) -> Daemon {
    let group = Group::from_gid(getgid()).unwrap().unwrap().name;
    let environment = vec![("ZIMAGED_TRUSTED_GROUP".to_owned(), group)];
    let mut daemon = Daemon::with(Options { mock: mock.into(), environment, ..Options::default() });
    daemon.wait_for("READY=1");
    daemon
}

/// A key for a name, from the program itself.
fn new_key(file: &str, name: &str) -> String {
    let output = Command::new(program("zimg-web"))
        .args(["--keys", file, "--new-key", name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn with(web: &Web, key: &str, method: &str, path: &str, body: &str) -> Answer {
    web.ask(method, path, &[&format!("Authorization: Bearer {key}")], body.as_bytes())
}

#[test]
fn each_key_has_jobs_of_its_own() {
    let daemon = trusting("");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys").display().to_string();
    let (ann, bob) = (new_key(&file, "ann"), new_key(&file, "bob"));
    let web = Web::start(daemon.socket(), &["--keys", &file]);
    for path in ["/zimg/v1/jobs", "/zimg/v1/status", "/zimg/v1/events", "/zimg/v1/parameters"] {
        let refused = web.get(path);
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(with(&web, "zimg-wrong", "GET", path, "").status, 401);
    }
    assert_eq!(web.get("/healthz").status, 200);

    let job = with(&web, &ann, "POST", "/zimg/v1/jobs", FOX);
    assert_eq!(job.status, 202, "{}", job.text());
    let id = field(&job.text(), "id").unwrap();
    let jobs = daemon.client().jobs().unwrap();
    assert_eq!(jobs[0].on_behalf_of.as_deref(), Some("ann"));
    let whole: Vec<_> = web
        .events(&format!("/zimg/v1/jobs/{id}/events"), &[&format!("Authorization: Bearer {ann}")])
        .collect();
    assert_eq!(whole.last().map(|event| &*event.name), Some("done"));
    let paths = [
        format!("/zimg/v1/jobs/{id}"),
        format!("/zimg/v1/jobs/{id}/events"),
        format!("/zimg/v1/images/{id}-1"),
    ];
    for path in &paths {
        assert_eq!(with(&web, &bob, "GET", path, "").status, 404, "{path}");
    }
    for path in [&paths[0], &paths[2]] {
        assert_eq!(with(&web, &bob, "DELETE", path, "").status, 404, "{path}");
    }
    assert_eq!(with(&web, &bob, "GET", "/zimg/v1/jobs", "").text(), r#"{"jobs":[],"next":null}"#);
    assert_eq!(with(&web, &ann, "GET", &paths[2], "").status, 200);
    let log = web.log();
    for secret in [&*ann, &*bob, "a red fox"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_key_is_exchanged_for_a_session_that_ends_with_it() {
    let daemon = trusting("");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let file = path.display().to_string();
    let ann = new_key(&file, "ann");
    let web = Web::start(daemon.socket(), &["--keys", &file]);
    assert_eq!(web.post("/zimg/v1/session", r#"{"key":"zimg-wrong"}"#).status, 401);
    let signed = web.post("/zimg/v1/session", &format!("{{\"key\":\"{ann}\"}}"));
    assert_eq!(signed.status, 204);
    let cookie = signed.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    assert_eq!(web.ask("GET", "/zimg/v1/jobs", &[&cookie], b"").status, 200);
    let session = web.ask("GET", "/zimg/v1/session", &[&cookie], b"").text();
    assert_eq!(session, r#"{"login":"key","signed_in":true,"user":"ann"}"#);

    // It outlives the front, and not its key.
    let web = web.restarted(daemon.socket(), &["--keys", &file]);
    assert_eq!(web.ask("GET", "/zimg/v1/jobs", &[&cookie], b"").status, 200);
    fs::remove_file(&path).unwrap();
    new_key(&file, "ann");
    let web = web.restarted(daemon.socket(), &["--keys", &file]);
    assert_eq!(web.ask("GET", "/zimg/v1/jobs", &[&cookie], b"").status, 401);
}

#[test]
fn a_link_signs_one_browser_in() {
    let daemon = Daemon::ready("");
    let web = Web::start(daemon.socket(), &["--link"]);
    assert_eq!(web.get("/zimg/v1/jobs").status, 401);
    let link = web.printed();
    let (_, token) = link.trim().split_once("/#token=").unwrap();
    let sign_in = || web.post("/zimg/v1/session", &format!("{{\"token\":\"{token}\"}}"));
    let signed = sign_in();
    assert_eq!(signed.status, 204);
    assert_eq!(sign_in().status, 401, "the link was used");
    let cookie = signed.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let cookie = format!("Cookie: {cookie}");
    assert_eq!(web.ask("GET", "/zimg/v1/jobs", &[&cookie], b"").status, 200);
    assert!(!web.log().contains(token));
}

#[test]
fn an_address_that_others_reach_needs_keys() {
    let output = Command::new(program("zimg-web"))
        .args(["--listen", "0.0.0.0:0", "--socket", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there are no keys") && said.contains("--keys"), "{said}");
}

#[test]
fn a_daemon_that_does_not_believe_the_front_is_a_fault_of_configuration() {
    let daemon = Daemon::ready("");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys").display().to_string();
    let ann = new_key(&file, "ann");
    let web = Web::start(daemon.socket(), &["--keys", &file]);
    let answer = with(&web, &ann, "POST", "/zimg/v1/jobs", FOX);
    assert_eq!((answer.status, answer.header("x-should-retry")), (503, Some("false")));
    assert!(answer.text().contains("on behalf of others"), "{}", answer.text());
}
