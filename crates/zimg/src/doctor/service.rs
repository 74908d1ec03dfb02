//! Check of the systemd units. systemd is asked if it runs; it is not needed.

use std::collections::BTreeMap;
use std::process::Command;

use zimg_client::service::Service;

use super::program::ask;
use super::{DaemonScope, Finding};

const TOPIC: &str = "service";
const ASKED: &str = "--property=Id,LoadState,ActiveState,UnitFileState,Result,ExecMainStatus";

/// Checks the service of this scope.
pub(super) fn look(scope: DaemonScope, service: &Service) -> Vec<Finding> {
    let user = match scope {
        DaemonScope::ByHand => {
            return vec![Finding::ok(TOPIC, "not checked: the socket is not that of a service")];
        }
        DaemonScope::System if service.system.is_some() => false,
        DaemonScope::User if service.user.is_some() => true,
        DaemonScope::System | DaemonScope::User => {
            let text = match &service.supervisord {
                Some(file) => format!("supervisord runs it: {}", file.display()),
                None => "none is installed: zimaged runs by hand".to_owned(),
            };
            return vec![Finding::ok(TOPIC, text)];
        }
    };
    let mut command = Command::new("systemctl");
    if user {
        command.arg("--user");
    }
    let said = ask(command.args(["show", "zimaged.service", "zimaged.socket", ASKED]));
    match said {
        Ok(said) if said.well => vec![judged(&units(&said.out), user)],
        Ok(said) => {
            let text = format!("systemctl failed: {}", said.complaint());
            vec![Finding::warn(TOPIC, text, "is this user's systemd running? Log out and in again")]
        }
        Err(why) => vec![Finding::warn(TOPIC, why, "look with `systemctl status zimaged`")],
    }
}

/// Properties by unit: blocks of `Name=value`, with a line between them.
fn units(text: &str) -> BTreeMap<String, BTreeMap<&str, &str>> {
    let block = |block| str::lines(block).filter_map(|line: &str| line.split_once('=')).collect();
    let blocks = text.split("\n\n").map(block);
    blocks
        .filter_map(|unit: BTreeMap<&str, &str>| Some(((*unit.get("Id")?).to_owned(), unit)))
        .collect()
}

fn judged(units: &BTreeMap<String, BTreeMap<&str, &str>>, user: bool) -> Finding {
    let property = |unit: &str, name: &str| {
        let found = units.get(unit).and_then(|unit| unit.get(name));
        found.copied().unwrap_or_default().to_owned()
    };
    let (sudo, own) = if user { ("", " --user") } else { ("sudo ", "") };
    let journal = if user { "journalctl --user -u zimaged" } else { "journalctl -u zimaged" };
    let type_this = |what: &str| format!("`{sudo}systemctl{own} {what}`");
    let is = |name| property("zimaged.service", name);
    let (active, enabled) = (is("ActiveState"), is("UnitFileState"));
    let socket = property("zimaged.socket", "ActiveState");
    let status = is("ExecMainStatus");
    if is("LoadState") != "loaded" {
        let text = "systemd has not read the unit that is installed";
        return Finding::warn(TOPIC, text, type_this("daemon-reload"));
    }
    if active == "failed" {
        let text = format!("it failed ({}, status {status})", is("Result"));
        let fix = format!("see why: `{journal} -n 20`; then {}", type_this("restart zimaged"));
        let finding = Finding::fail(TOPIC, text, fix);
        // The exit code of an invalid configuration.
        return if status == "78" {
            Finding::wrong(TOPIC, finding.text, finding.fix.unwrap_or_default())
        } else {
            finding
        };
    }
    if active == "inactive" && socket != "active" {
        let text = format!("it does not run, and its socket does not listen ({enabled})");
        return Finding::fail(TOPIC, text, type_this("enable --now zimaged"));
    }
    let waits = if active == "inactive" { ", the first client starts it" } else { "" };
    let text = format!("{active}{waits}, {enabled}; socket {socket}");
    if enabled == "disabled" && property("zimaged.socket", "UnitFileState") != "enabled" {
        let text = format!("{text}: it will not start with the machine");
        return Finding::warn(TOPIC, text, type_this("enable zimaged"));
    }
    Finding::ok(TOPIC, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn judge(service: &str, socket: &str) -> Finding {
        let text = format!("Id=zimaged.service\n{service}\n\nId=zimaged.socket\n{socket}\n");
        judged(&units(&text), false)
    }

    const LISTENS: &str = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled";

    #[test]
    fn a_service_that_runs_or_waits_is_well() {
        let runs = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nResult=success";
        let finding = judge(runs, LISTENS);
        assert_eq!(finding, Finding::ok(TOPIC, "active, enabled; socket active"));
        let waits = "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled";
        let finding = judge(waits, LISTENS);
        assert_eq!(finding.level, Level::Ok);
        assert!(finding.text.contains("the first client starts it"), "{finding:?}");
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_type() {
        let fix = |service, socket| judge(service, socket).fix.unwrap();
        let none = "LoadState=not-found\nActiveState=inactive\nUnitFileState=";
        assert_eq!(fix(none, none), "`sudo systemctl daemon-reload`");
        let off = "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled";
        assert_eq!(fix(off, off), "`sudo systemctl enable --now zimaged`");
        let runs = "LoadState=loaded\nActiveState=active\nUnitFileState=disabled";
        assert_eq!(fix(runs, off), "`sudo systemctl enable zimaged`");
        let failed = "LoadState=loaded\nActiveState=failed\nUnitFileState=enabled\n\
                      Result=exit-code\nExecMainStatus=78";
        let finding = judge(failed, LISTENS);
        assert_eq!((finding.level, finding.kind.exit_code()), (Level::Fail, 78));
        assert_eq!(finding.text, "it failed (exit-code, status 78)");
        let text = "Id=zimaged.service\nLoadState=loaded\nActiveState=inactive\n";
        let user = judged(&units(text), true).fix.unwrap();
        assert_eq!(user, "`systemctl --user enable --now zimaged`");
    }
}
