//! Paths: any bytes, and `~/` at their beginning.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::fake::{Fake, requested, zimg};
use crate::schema::Schema;

fn odd(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[test]
fn file_names_are_bytes() {
    for (options, file) in [
        (&[odd(b"-o"), odd(b"caf\xe9.png")][..], &b"caf\xe9.png"[..]),
        (&[odd(b"-ocaf\xe9.png")], b"caf\xe9.png"),
        (&[odd(b"--output=\xff-{prompt}-{seed}.png")], b"\xff-a-fox-7.png"),
        (&[odd(b"-o\xe9/"), odd(b"--json")], b"\xe9/zimg-7.png"),
        (&[odd(b"-o\xe9")], b"\xe9/zimg-7.png"),
    ] {
        let fake = Fake::honest();
        let out = fake.out();
        let path = out.join(odd(file));
        if path.parent() != Some(&out) {
            fs::create_dir(path.parent().unwrap()).unwrap();
        }
        let output = fake.zimg(&["a fox", "--seed=7"]).args(options).output().unwrap();
        assert!(output.status.success(), "{options:?}: {}", output.stderr.escape_ascii());
        assert!(image::open(&path).is_ok(), "{options:?}");
        let shown = zimg(&out).arg("show").arg(&path).arg("--json").output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert_eq!(Schema::read().check(&shown), "metadata");
        assert!(shown.contains(r#""path_percent":""#), "{shown}");
        if options.contains(&odd(b"--json")) {
            let text = String::from_utf8(output.stdout).unwrap();
            let saved = text.lines().find(|line| line.contains("saved")).unwrap();
            assert_eq!(Schema::read().check(saved), "saved");
            assert!(saved.contains(r#""path_percent":"%E9/zimg-7.png""#), "{saved}");
        }
        fake.joined();
    }
}

#[test]
fn a_path_is_printed_as_it_is() {
    let fake = Fake::honest();
    let folder = fake.out().join(odd(b"d\xe9"));
    fs::create_dir(&folder).unwrap();
    let mut command = fake.zimg(&["a fox", "--seed=7"]);
    let set = OsString::from(folder.join("x.png"));
    let output = command.env("ZIMG_OUTPUT", &set).current_dir(&folder).output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, [set.as_bytes(), b"\n"].concat());
    fake.joined();
}

#[test]
fn a_batch_and_its_folder_are_bytes() {
    let fake = Fake::many(|peer, request| peer.generates(&requested(request)));
    let folder = fake.out().join(odd(b"d\xe9"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(odd(b"b\xe9.txt")), "a fox\n{\"prompt\":\"a hen\"}\n").unwrap();
    for (words, skipped) in [(&[][..], 0), (&["--json"], 2)] {
        let mut command = fake.zimg(&["--seed=7", "--batch"]);
        command.arg(odd(b"b\xe9.txt")).arg("-o").arg(odd(b"\xfc.png")).args(words);
        let output = command.current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", output.stderr.escape_ascii());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches(r#""path_percent":"%FC-000"#).count(), skipped, "{text}");
    }
    for name in [b"\xfc-0001.png", b"\xfc-0002.png"] {
        assert!(image::open(folder.join(odd(name))).is_ok());
    }
    fake.leave();
}

#[test]
fn an_image_in_such_a_folder_is_generated_again_beside_it() {
    let fake = Fake::honest();
    let path = fake.out().join(odd(b"caf\xe9{}.png"));
    let output = fake.zimg(&["a fox", "--seed=7", "-o", "x.png"]).output().unwrap();
    assert!(output.status.success());
    let out = fake.out();
    fs::rename(out.join("x.png"), &path).unwrap();
    let again = Fake::honest();
    let output = again.zimg(&["redo"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    assert!(again.out().join(odd(b"caf\xe9{}-redo.png")).exists());
    fake.joined();
    again.joined();
}

#[test]
fn a_text_that_is_not_utf8_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (words, what) in [
        (&[odd(b"caf\xe9")][..], "the prompt"),
        (&[odd(b"draw"), odd(b"caf\xe9")], "the prompt"),
        (&[odd(b"-q"), odd(b"caf\xe9")], "the prompt"),
        (&[odd(b"x"), odd(b"--negative"), odd(b"\xe9")], "the value of --negative"),
        (&[odd(b"x"), odd(b"--negative=\xe9")], "the value of --negative"),
        (&[odd(b"redo"), odd(b"a.png"), odd(b"--prompt=\xe9")], "the value of --prompt"),
    ] {
        let output = zimg(folder.path()).args(words).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let said = format!("zimg: {what} is not UTF-8\nhint: convert it, for example with `iconv");
        assert!(text.starts_with(&said), "{words:?}: {text}");
        assert_eq!(output.status.code(), Some(64));
    }
}

#[test]
fn a_tilde_is_the_home_folder_wherever_it_stands() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.toml");
    for (words, file) in
        [(&["-o", "~/x.png"][..], ""), (&["--output=~//x.png"], ""), (&[], "output = '~/x.png'")]
    {
        fs::write(&config, file).unwrap();
        let fake = Fake::honest();
        let mut command = fake.zimg(&["a fox"]);
        command.env("HOME", home.path()).env("ZIMG_CONFIG", &config);
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", output.stderr.escape_ascii());
        fs::remove_file(home.path().join("x.png")).unwrap();
        let ran = fake.finish(output);
        assert!(ran.files.is_empty(), "{:?}", ran.files);
    }
    for (words, file, code, said) in [
        (&["-o", "~/no/x.png"][..], "", 73, format!("mkdir -p {}/no`", home.path().display())),
        (&["-o", "~eve/x.png"], "", 64, "begins with ~eve/, but only ~/ is".to_owned()),
        (&["--socket=~eve/s"], "", 64, "begins with ~eve/".to_owned()),
        (&["--socket=~/s"], "", 69, format!("no socket at {}/s", home.path().display())),
        (&[], "socket = '~/s'", 69, format!("no socket at {}/s", home.path().display())),
        (&[], "output = '~eve/x.png'", 78, "`output` in ".to_owned()),
        (
            &["--batch=~/none.txt"],
            "",
            74,
            format!("cannot read {}/none.txt", home.path().display()),
        ),
    ] {
        fs::write(&config, file).unwrap();
        let mut command = zimg(home.path());
        command.env("HOME", home.path()).env("ZIMG_CONFIG", &config);
        if !words.iter().any(|word| word.starts_with("--batch")) {
            command.arg("a fox");
        }
        let output = command.args(words).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?} {file}: {text}");
        assert!(text.contains(&said) && !text.contains("mkdir -p '~"), "{words:?} {file}: {text}");
    }
    let mut homeless = zimg(home.path());
    let output = homeless.env_remove("HOME").args(["a fox", "-o", "~/x.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stderr.escape_ascii().to_string().contains("HOME is not set"));
}
