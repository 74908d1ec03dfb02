//! Claims about the heavy suites: no page says more than the last table of `make verify`, which is
//! `docs/verified.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::markdown::{pages, top};
use crate::tables::{code, rows};

/// The table's page.
const TABLE: &str = "docs/verified.md";
/// The page that says of each suite at which commit it passed last.
const SPECIFICATION: &str = "docs/specification.md";
/// Pages about the past, whose claims name a version.
const PAST: [&str; 2] = ["CHANGELOG.md", TABLE];

/// A row of the table.
#[derive(Clone, Debug)]
struct Verified {
    verdict: String,
    commit: String,
    result: String,
}

/// The table's rows by suite, or what is wrong with it.
fn table(text: &str) -> Result<BTreeMap<String, Verified>, String> {
    let mut found = BTreeMap::new();
    for row in rows(text).filter(|row| row.len() == 7 && !code(row[2]).is_empty()) {
        let [suite, verdict, commit, date, ..] = row[..] else { continue };
        let (commit, known) = (code(commit), ["passed", "partly", "not run", "FAILED"]);
        if !known.contains(&verdict) {
            return Err(format!("{suite}: `{verdict}` is no verdict"));
        }
        let is_commit = (7..=40).contains(&commit.len())
            && commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_commit {
            return Err(format!("{suite}: `{commit}` is no commit"));
        }
        if date.len() != 10 {
            return Err(format!("{suite}: `{date}` is no date"));
        }
        let (verdict, commit) = (verdict.to_owned(), commit.to_owned());
        let row = Verified { verdict, commit, result: row[6].to_owned() };
        if found.insert(suite.to_owned(), row).is_some() {
            return Err(format!("{suite} comes twice"));
        }
    }
    Ok(found)
}

/// The suites of the script, in their order.
fn suites() -> Vec<String> {
    let script = fs::read_to_string(top().join("contrib/dev/verify/run.sh")).unwrap();
    let suite = |line: &str| Some(line.strip_prefix("suite ")?.split(' ').next()?.to_owned());
    script.lines().filter_map(suite).collect()
}

/// What the specification may say of a suite, as `contrib/dev/verify/table.py` writes it.
fn allowed(row: Option<&Verified>) -> String {
    match row.map(|row| (&*row.verdict, &row.commit)) {
        None | Some(("not run", _)) => "not run".to_owned(),
        Some(("FAILED", commit)) => format!("failed at `{commit}`"),
        Some((verdict, commit)) => format!("{verdict} at `{commit}`"),
    }
}

/// Target and claim of each suite in the specification's table of suites.
fn claimed<'a>(text: &'a str, suites: &[String]) -> BTreeMap<&'a str, (&'a str, &'a str)> {
    let of_a_suite = |row: &Vec<&str>| {
        row.len() == 3 && suites.iter().any(|s| s == row[0]) && code(row[1]).starts_with("make ")
    };
    let rows = rows(text).filter(of_a_suite);
    rows.map(|row| (row[0], (code(row[1]), row[2]))).collect()
}

/// What the specification claims beyond the table.
fn overclaims(text: &str, table: &BTreeMap<String, Verified>, suites: &[String]) -> Vec<String> {
    let claims = claimed(text, suites);
    let missing = suites.iter().filter(|suite| !claims.contains_key(suite.as_str()));
    let missing = missing.map(|suite| format!("{suite} has no row"));
    let wrong = claims.iter().filter_map(|(suite, (_, claim))| {
        let allowed = allowed(table.get(*suite));
        (*claim != allowed).then(|| format!("{suite}: `{claim}`, and the table allows `{allowed}`"))
    });
    missing.chain(wrong).collect()
}

/// Sentences that say how a suite ended without the table: "all 18 passed", "last result", "passed
/// at". `commits` are those that the table has for suites that passed.
fn loose_claims(text: &str, table: &BTreeMap<String, Verified>) -> Vec<String> {
    let passed: BTreeSet<_> = table
        .values()
        .filter(|row| row.verdict == "passed")
        .flat_map(|row| [row.commit.as_str(), row.result.as_str()])
        .collect();
    let mut found = Vec::new();
    for line in text.lines() {
        let lower = line.to_lowercase();
        let words: Vec<_> = lower.split_whitespace().collect();
        let all_passed = words.windows(2).enumerate().any(|(at, pair)| {
            let number = pair[1].bytes().all(|b| b.is_ascii_digit());
            let ends = words.iter().skip(at + 2).take(3).any(|word| word.starts_with("pass"));
            pair[0] == "all" && number && ends
        });
        if !all_passed && !lower.contains("last result") && !lower.contains("passed at `") {
            continue;
        }
        let commit = line.split('`').skip(1).step_by(2).any(|code| passed.contains(code));
        if !commit {
            found.push(line.to_owned());
        }
    }
    found
}

fn last() -> BTreeMap<String, Verified> {
    table(&fs::read_to_string(top().join(TABLE)).unwrap()).unwrap()
}

#[test]
fn the_table_has_rows_of_the_suites_alone() {
    let (suites, table) = (suites(), last());
    assert!(suites.len() >= 10, "{suites:?}");
    let all: BTreeSet<_> = suites.iter().collect();
    let surplus: Vec<_> = table.keys().filter(|suite| !all.contains(suite)).collect();
    assert!(surplus.is_empty() && !table.is_empty(), "{surplus:?}");
}

#[test]
fn no_page_claims_more_than_the_table() {
    let table = last();
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for page in pages() {
        if PAST.contains(&&*page.name) {
            continue;
        }
        looked_at += 1;
        let loose = loose_claims(&page.text, &table);
        wrong.extend(loose.into_iter().map(|line| format!("{}: {line}", page.name)));
        if page.name == SPECIFICATION {
            wrong.extend(overclaims(&page.text, &table, &suites()));
        }
    }
    assert!(looked_at >= 10 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_suite_is_in_the_makefile() {
    let makefile = fs::read_to_string(top().join("Makefile")).unwrap();
    let specification = fs::read_to_string(top().join(SPECIFICATION)).unwrap();
    let suites = suites();
    let claims = claimed(&specification, &suites);
    assert_eq!(claims.len(), suites.len());
    for (suite, (command, _)) in claims {
        let target = command.trim_start_matches("make ");
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "{suite}");
    }
}

#[test]
fn planted_claims_are_refused() {
    let page = "| units | passed | `abc123456` | 2026-01-02 | 3 s | 2 cores | no fault |\n\
                | disks | FAILED | `abc123456` | 2026-01-02 | 3 s | 2 cores | see the log |\n\
                | gpu | not run | `abc123456` | 2026-01-02 | 0 s | 2 cores | no GPU |\n";
    let table = table(page).unwrap();
    assert_eq!(table.len(), 3);
    let suites: Vec<_> = ["units", "disks", "gpu", "soak"].map(str::to_owned).into();
    let says = |units: &str, disks: &str, gpu: &str, soak: &str| {
        let row = |suite, claim| format!("| {suite} | `make x`: it | {claim} |\n");
        [("units", units), ("disks", disks), ("gpu", gpu), ("soak", soak)]
            .map(|(suite, claim)| row(suite, claim))
            .concat()
    };
    let (passed, failed) = ("passed at `abc123456`", "failed at `abc123456`");
    let right = says(passed, failed, "not run", "not run");
    assert_eq!(overclaims(&right, &table, &suites), [""; 0]);
    for planted in [
        // Another commit, a pass of what failed, did not run or has no row, and no row.
        says("passed at `fff000000`", failed, "not run", "not run"),
        says("passed at `abc123456-dirty`", failed, "not run", "not run"),
        says("passed", failed, "not run", "not run"),
        says(passed, passed, "not run", "not run"),
        says(passed, failed, passed, "not run"),
        says(passed, failed, "not run", passed),
        says(passed, failed, "not run", "not run").replace("| gpu", "| g"),
    ] {
        assert_eq!(overclaims(&planted, &table, &suites).len(), 1, "{planted}");
    }
    for planted in [
        "Last result: all 18 passed, on 2 cores.",
        "all 18 checks passed",
        "`make soak` passed at `fff000000`",
    ] {
        assert_eq!(loose_claims(planted, &table), [planted]);
    }
    for fine in ["passed at `abc123456`", "all 18 checks pass at `abc123456`", "all tests pass"] {
        assert_eq!(loose_claims(fine, &table), [""; 0]);
    }
}

#[test]
fn a_table_that_was_written_by_hand_is_refused() {
    for planted in [
        "| units | ok | `abc123456` | 2026-01-02 | 3 s | 2 cores | fine |",
        "| units | passed | `abc123456-dirty` | 2026-01-02 | 3 s | 2 cores | fine |",
        "| units | passed | `HEAD` | 2026-01-02 | 3 s | 2 cores | fine |",
        "| units | passed | `abc123456` | today | 3 s | 2 cores | fine |",
    ] {
        assert!(table(planted).is_err(), "{planted}");
    }
    let twice = "| units | passed | `abc123456` | 2026-01-02 | 3 s | 2 cores | fine |\n".repeat(2);
    assert!(table(&twice).is_err());
}
