//! Which files are fetched, where they are, and what is printed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::fixture::{Machine, TURBO, WEIGHTS, content, done, failed, gguf, loras, turbo};
use crate::schema::Schema;
use crate::server::{Act, COMMIT, Server, checksum};

#[test]
fn a_diffusers_folder_is_fetched_into_the_cache() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    let snapshot = machine.snapshot(TURBO);
    assert_eq!(done(&machine.pull(&[])), format!("{}\n", snapshot.display()));
    for (name, content) in &turbo()[0].1 {
        let path = snapshot.join(name);
        let is_wanted = !matches!(*name, ".gitattributes" | "README.md" | "assets/showcase.jpg");
        assert_eq!(path.exists(), is_wanted, "{name}");
        if is_wanted {
            assert!(fs::read(&path).unwrap() == *content, "{name}");
            let up = "../".repeat(name.matches('/').count() + 2);
            let link = format!("{up}blobs/{}", checksum(content));
            assert_eq!(fs::read_link(&path).unwrap(), Path::new(&link));
        }
    }
    let folder = machine.folder(TURBO);
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    assert!(machine.leftovers().is_empty(), "{:?}", machine.leftovers());
    // Each file once, except the empty one, and nothing else.
    let asked = machine.server.asked();
    assert_eq!(asked.len(), 1 + 11, "{asked:#?}");
    assert!(asked.iter().all(|asked| asked.headers["accept-encoding"] == "identity"));
    // The second time only the list is asked for.
    assert_eq!(done(&machine.pull(&[])), format!("{}\n", snapshot.display()));
    assert_eq!(machine.server.asked().len(), asked.len() + 1);
}

#[test]
fn nothing_is_fetched_in_a_dry_run() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    let text = done(&machine.pull(&["--dry-run"]));
    assert!(text.contains(&format!("    2 MB  {TURBO}/{WEIGHTS}\n")), "{text}");
    assert!(text.ends_with("    2 MB  in all, 2 MB to fetch\n"), "{text}");
    assert_eq!(machine.server.asked().len(), 1);
    assert!(!machine.folder(TURBO).exists());
}

#[test]
fn a_file_gets_a_text_encoder_and_a_vae_from_another_repository() {
    let machine = Machine::with(Server::start(gguf(), |_| Act::Serve));
    let output = machine.pull(&["leejet/Z-Image-Turbo-GGUF:q4_k"]);
    let model = machine.snapshot("leejet/Z-Image-Turbo-GGUF").join("z-Q4_K.gguf");
    assert_eq!(done(&output), format!("{}\n", model.display()));
    let split = machine.snapshot("Comfy-Org/z_image_turbo").join("split_files");
    let command = format!(
        "ready: zimaged --model {} --text-encoder {} --vae {}\n",
        model.display(),
        split.join("text_encoders/qwen_3_4b_fp4_mixed.safetensors").display(),
        split.join("vae/ae.safetensors").display()
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.ends_with(&command), "{said}");
    assert!(split.join("vae/ae.safetensors").exists());
    assert!(!split.join("diffusion_models").exists());

    let alone = Machine::with(Server::start(gguf(), |_| Act::Serve));
    done(&alone.pull(&["--only", "leejet/Z-Image-Turbo-GGUF:Q4_K"]));
    assert!(!alone.folder("Comfy-Org/z_image_turbo").exists());
}

#[test]
fn a_revision_is_a_ref_of_its_own() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    done(&machine.pull(&["--revision=refs/pr/1"]));
    assert!(machine.server.asked()[0].path.ends_with("/revision/refs%2Fpr%2F1?blobs=true"));
    let refs = machine.folder(TURBO).join("refs");
    assert_eq!(fs::read_to_string(refs.join("refs/pr/1")).unwrap(), COMMIT);
    assert!(!refs.join("main").exists());
    // A commit is no ref.
    done(&machine.pull(&["--revision", COMMIT]));
    assert!(!refs.join(COMMIT).exists());
}

#[test]
fn progress_goes_to_standard_error_and_events_to_standard_output() {
    let machine = Machine::with(Server::start(turbo(), |_| Act::Serve));
    let output = machine.pull(&["--quiet"]);
    assert!(output.stderr.is_empty(), "{output:?}");
    let machine = Machine::with(Server::start(turbo(), |asked| match asked.is_file(WEIGHTS) {
        true if asked.before == 0 => Act::Cut(1_000_000),
        _ => Act::Serve,
    }));
    let output = machine.pull(&["--json"]);
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = done(&output);
    let schema = Schema::read();
    let seen: BTreeSet<_> = text.lines().map(|line| schema.check(line)).collect();
    let printed = ["fetched", "fetching", "file", "pulled", "retry"];
    assert_eq!(seen, printed.map(str::to_owned).into());
    assert!(seen.is_subset(&schema.events()));
    let events: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!((of("file").len(), of("fetched").len()), (12, 12));
    assert_eq!(of("file")[0]["path"], WEIGHTS);
    assert_eq!(of("file")[0]["bytes"], 1_500_000);
    assert_eq!(of("retry").len(), 1, "{text}");
    assert!(!of("fetching").is_empty());
    let last = events.last().unwrap();
    assert_eq!(last["event"], "pulled");
    assert_eq!(last["path"].as_str(), machine.snapshot(TURBO).to_str());
    let bytes: u64 = of("file").iter().map(|event| event["bytes"].as_u64().unwrap()).sum();
    assert_eq!(last["bytes"], bytes);
}

#[test]
fn a_mirror_that_lists_no_checksums_has_them_in_its_headers() {
    let machine = Machine::with(Server::start(turbo(), |asked| {
        if !asked.path.starts_with("/api/") {
            return Act::Serve;
        }
        let names: Vec<_> =
            turbo()[0].1.iter().map(|(name, _)| format!(r#"{{"rfilename":"{name}"}}"#)).collect();
        let json = format!(r#"{{"sha":"{COMMIT}","siblings":[{}]}}"#, names.join(","));
        Act::Answer(200, Vec::new(), json.into_bytes())
    }));
    done(&machine.pull(&[]));
    assert!(
        fs::read(machine.snapshot(TURBO).join(WEIGHTS)).unwrap() == content(WEIGHTS, 1_500_000)
    );
    assert_eq!(machine.server.asked().iter().filter(|asked| asked.method == "HEAD").count(), 12);
}

#[test]
fn redirects_are_followed_and_the_token_stays_with_the_hub() {
    let storage = Server::start(turbo(), |asked| {
        // The checksum of the storage is its own.
        Act::With(vec![("etag", format!("\"{}\"", "e".repeat(32))), ("x-seen", asked.path.clone())])
    });
    let to = storage.address.clone();
    let machine = Machine::with(Server::start(turbo(), move |asked| {
        if asked.path.contains("old-name") || asked.path.starts_with("/api/models/old/") {
            let path = asked.path.replace("old/name", TURBO);
            return Act::Answer(307, vec![("location", path)], Vec::new());
        }
        if asked.is_file(WEIGHTS) {
            let etag = format!("\"{}\"", checksum(&content(WEIGHTS, 1_500_000)));
            let location = format!("{to}{}?X-Amz-Signature=0", asked.path);
            let location = location.replace("?X-Amz-Signature=0", "");
            return Act::Answer(
                302,
                vec![("location", location), ("x-linked-etag", etag)],
                Vec::new(),
            );
        }
        Act::Serve
    }));
    let mut command = machine.zimg(&["pull", TURBO]);
    done(&command.env("HF_TOKEN", "hf_secret").output().unwrap());
    let has_token = |server: &Server| {
        server
            .asked()
            .iter()
            .map(|asked| asked.headers.get("authorization").cloned())
            .collect::<Vec<_>>()
    };
    let token = Some("Bearer hf_secret".to_owned());
    assert!(has_token(&machine.server).iter().all(|sent| *sent == token));
    assert_eq!(has_token(&storage), [None]);
    // A repository that was renamed.
    done(&machine.pull(&["old/name", "--dry-run"]));
}

#[test]
fn a_lora_is_linked_into_the_directory_of_the_daemon() {
    let machine = Machine::with(Server::start(loras(), |_| Act::Serve));
    let directory = machine.home.path().join("loras");
    let pull = |words: &[&str]| {
        let option = format!("--lora-dir={}", directory.display());
        machine.pull(&[&[option.as_str()], words].concat())
    };
    let output = pull(&["someone/Z-Image-Distill:Distill-4-Steps"]);
    let file = directory.join("Z-Image-Distill/Distill-4-Steps.safetensors");
    assert_eq!(done(&output), format!("{}\n", file.display()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.ends_with("ready: zimg --lora Z-Image-Distill/Distill-4-Steps\n"), "{said}");
    let expected = content("Distill-4-Steps.safetensors", 3000);
    assert_eq!(fs::read(&file).unwrap(), expected);
    let cached = machine.snapshot("someone/Z-Image-Distill").join("Distill-4-Steps.safetensors");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    assert_eq!(inode(&file), inode(&cached), "it takes no room twice");
    assert!(!file.with_file_name("Distill-8-Steps.safetensors").exists());
    // Again: it is there.
    done(&pull(&["someone/Z-Image-Distill:Distill-4-Steps"]));
    let events = done(&pull(&["someone/ink", "--json"]));
    let last = events.lines().last().unwrap();
    assert_eq!(Schema::read().check(last), "pulled_lora");
    assert!(last.contains(r#""lora":"ink""#), "{last}");
    for name in ["adapter_model.safetensors", "adapter_config.json"] {
        assert!(directory.join("ink").join(name).exists(), "{name}");
    }
    // Another file in its place stays.
    fs::remove_file(&file).unwrap();
    fs::write(&file, vec![0; 3000]).unwrap();
    let (code, said) = failed(&pull(&["someone/Z-Image-Distill:Distill-4-Steps"]));
    assert!(code == 73 && said.contains("exists and is another file"), "{code} {said}");
    assert_eq!(fs::read(&file).unwrap(), vec![0; 3000]);
    let (code, said) = failed(&pull(&["someone/Z-Image-Distill"]));
    assert!(code == 64 && said.contains("Distill-8-Steps") || said.contains("8-Steps"), "{said}");
}
