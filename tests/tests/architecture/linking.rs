//! Dependencies of the packages, and the shared libraries that the programs load.

use std::fs;
use std::path::Path;
use std::process::Command;

use zimg_tests::{built_worker, program};

use crate::{cargo, containing, files, top};

/// The names of the packages that a package is built from, itself included.
fn dependencies(package: &str) -> Vec<String> {
    let tree = cargo(&[
        "tree",
        "--locked",
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
        "--package",
        package,
    ]);
    let names: Vec<_> =
        tree.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    assert!(names.contains(&package.to_owned()), "{names:?}");
    names
}

/// The shared libraries that the dynamic loader finds for a program, as it prints them.
fn loaded(program: &Path) -> String {
    let output = Command::new(program).env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
    let libraries = String::from_utf8(output.stdout).unwrap();
    assert!(libraries.contains("libc.so"), "{}: {libraries}", program.display());
    libraries
}

#[test]
fn zimg_and_zimaged_are_built_without_libtorch() {
    let torch = |package: &str| dependencies(package).iter().any(|name| name == "torch-sys");
    assert!(torch("zimage-worker"), "the question itself must be able to say yes");
    let with_it = ["zimage", "zimage-cuda", "zimage-worker"];
    let mut without = 0;
    for folder in fs::read_dir(top().join("crates")).unwrap() {
        let package = folder.unwrap().file_name().into_string().unwrap();
        if !with_it.contains(&package.as_str()) {
            assert!(!torch(&package), "{package} depends on torch-sys");
            without += 1;
        }
    }
    assert!(without >= 5, "only {without} packages were looked at");
}

#[test]
fn zimg_and_zimaged_load_no_libtorch() {
    assert!(loaded(&built_worker()).contains("libtorch_cpu.so"));
    for name in ["zimg", "zimaged", "zimg-web"] {
        let libraries = loaded(&program(name));
        for library in ["libtorch", "libc10", "libcuda", "libstdc++"] {
            assert!(!libraries.contains(library), "{name} loads {library}:\n{libraries}");
        }
    }
}

#[test]
fn the_worker_links_no_cuda_and_finds_every_library() {
    let libraries = loaded(&built_worker());
    for library in ["libtorch_cuda", "libc10_cuda", "libcuda.so", "not found"] {
        assert!(!libraries.contains(library), "{library}:\n{libraries}");
    }
}

#[test]
fn only_the_protocol_names_its_codec() {
    let codec = concat!("bin", "code");
    let (ours, others): (Vec<_>, Vec<_>) = files(&["crates", "tests"], &[".rs", "Cargo.toml"])
        .into_iter()
        .partition(|path| path.starts_with(top().join("crates/zimg-protocol")));
    assert!(!containing(&ours, &[codec]).is_empty(), "the question itself must be able to say yes");
    let found = containing(&others, &[codec]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn clients_link_nothing_of_the_workers_protocol() {
    assert!(dependencies("zimaged").iter().any(|name| name == "zimage-ipc"));
    for package in ["zimg-protocol", "zimg-client", "zimg", "zimg-web"] {
        let names = dependencies(package);
        assert!(!names.iter().any(|name| name == "zimage-ipc"), "{package}");
    }
}

/// Who may link which library of HTTP or TLS: `zimg pull` is a client, `zimg-web` a server that
/// leaves TLS to a proxy.
#[test]
fn only_the_command_line_and_the_web_front_end_speak_http() {
    let network = ["ureq", "rustls", "ring", "hyper", "axum", "reqwest", "zimg-hub"];
    let speaks = |package: &str| -> Vec<String> {
        let names = dependencies(package).into_iter();
        names.filter(|name| network.contains(&name.as_str())).collect()
    };
    for package in ["zimg", "zimg-hub"] {
        let found = speaks(package);
        assert!(found.contains(&"ureq".to_owned()), "{package}: {found:?}");
        assert!(
            !found.iter().any(|name| name == "hyper" || name == "axum"),
            "{package}: {found:?}"
        );
    }
    let mut served = speaks("zimg-web");
    served.sort();
    served.dedup();
    assert_eq!(served, ["axum", "hyper"], "of zimg-web");
    for folder in fs::read_dir(top().join("crates")).unwrap() {
        let package = folder.unwrap().file_name().into_string().unwrap();
        if !["zimg", "zimg-hub", "zimg-web"].contains(&package.as_str()) {
            assert!(speaks(&package).is_empty(), "of {package}: {:?}", speaks(&package));
        }
    }
}

#[test]
fn the_model_knows_no_socket() {
    let names = dependencies("zimage");
    for foreign in ["tokio", "mio", "socket2", "nix", "zimg-protocol", "zimg-client"] {
        assert!(!names.iter().any(|name| name == foreign), "zimage depends on {foreign}");
    }
    let sources = files(&["crates/zimage/src"], &[".rs"]);
    let found = containing(&sources, &["std::net", "unix::net", "tokio", "Socket", "socket"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
