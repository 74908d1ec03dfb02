//! LoRAs through the whole way: named by a request, looked up among the daemon's files, applied by the
//! worker, and written into the image's metadata.

use std::path::Path;

use zimg_client::{Kind, Params};
use zimg_tests::{Daemon, Options, built_worker};

fn fixture(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path).display().to_string()
}

fn daemon(environment: &[(&str, String)]) -> Daemon {
    let model = ("ZIMAGED_MODEL", fixture("reference/plain"));
    let environment = environment.iter().chain([&model]);
    let environment = environment.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let environment = environment.chain([("ZIMAGED_WARMUP".to_owned(), "64x64".to_owned())]);
    Daemon::with(Options {
        worker: Some(built_worker()),
        environment: environment.collect(),
        ..Options::default()
    })
}

fn draw(lora: &str) -> Params {
    Params {
        width: Some(64),
        height: Some(64),
        steps: Some(2),
        seed: Some(7),
        lora: Some(lora.to_owned()).filter(|lora| !lora.is_empty()),
        ..Params::new("a red fox in the snow")
    }
}

#[test]
fn a_request_names_loras_and_only_it_has_them() {
    let daemon = daemon(&[("ZIMAGED_LORA_DIRS", fixture("adapters"))]);
    let pixels = |lora: &str| daemon.draw(&draw(lora)).unwrap().remove(0).pixels;
    let plain = pixels("");
    let with = pixels("kohya");
    assert_ne!(with, plain);
    assert_eq!(pixels("kohya:0"), plain, "a weight of 0 is none");
    assert_ne!(pixels("kohya:0.5,peft-lokr:1"), with);
    assert_eq!(pixels("KOHYA.safetensors"), with, "the same file");
    assert_eq!(pixels(""), plain, "nothing is left of it");
    let mut client = daemon.client();
    let listed = client.loras().unwrap();
    assert!(listed.remarks.is_empty());
    let found = |name: &str| listed.loras.iter().find(|lora| lora.name == name).unwrap();
    let kohya = found("kohya");
    assert_eq!((kohya.rank, kohya.maps, &*kohya.kind), (Some(4), 49, "LoRA"));
    assert_eq!((kohya.problem.as_ref(), found("text-encoder").text_maps), (None, 21));
    assert!(found("latents").problem.is_some(), "a file that is no LoRA is listed with the reason");
    for (lora, kind, part) in [
        ("kohja", Kind::Refused, "kohya"),
        ("../reference/plain", Kind::Refused, "no LoRA named"),
        ("latents", Kind::Refused, "expected a LoRA"),
        ("kohya:x", Kind::Refused, "names with weights"),
    ] {
        let failure = daemon.draw(&draw(lora)).unwrap_err();
        assert_eq!(failure.kind, kind, "{lora}: {failure}");
        assert!(failure.message.contains(part), "{lora}: {failure}");
    }
    assert_eq!(pixels("kohya"), with, "after failures as before");
}

#[test]
fn without_directories_a_lora_is_refused() {
    let daemon = daemon(&[]);
    let failure = daemon.draw(&draw("kohya")).unwrap_err();
    assert_eq!(failure.kind, Kind::Refused);
    assert!(failure.hint.unwrap().contains("--lora-dir"));
    let mut client = daemon.client();
    assert!(client.loras().unwrap().loras.is_empty());
}
