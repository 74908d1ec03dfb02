//! Import graph of a crate's files, from the paths in its sources, and the cycles in it.
//!
//! An edge is a `use` or a path in code. Names are followed through imports and re-exports to the
//! file that defines them. `mod` declarations, a module's re-exports of its inner files and code for
//! tests are no edges. A folder is one module, so a file may use what the `mod.rs` above it defines;
//! the crate's root is no such folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module by the names from the crate's root, which is empty.
type Module = Vec<String>;
/// The files that a file imports.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// What `use` lines bring into a module under a name.
#[derive(Clone)]
struct Import {
    name: String,
    path: Vec<String>,
    is_exported: bool,
}

/// A file's paths, and the modules of it that exist for tests alone.
#[derive(Default)]
struct File {
    imports: Vec<Import>,
    paths: Vec<Vec<String>>,
    test_modules: Vec<String>,
}

/// The words of a path that starts at `at`, and the place after it.
fn path(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut words = Vec::new();
    while let Some(TokenTree::Ident(word)) = tokens.get(at) {
        words.push(word.to_string());
        at += 1;
        if !is_double_colon(tokens, at) {
            break;
        }
        at += 2;
    }
    (words, at)
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

/// The imports of a `use` tree.
fn imports(tokens: &[TokenTree], before: &[String], is_exported: bool, found: &mut Vec<Import>) {
    let branches = tokens.split(|token| is_punct(Some(token), ','));
    for branch in branches.filter(|branch| !branch.is_empty()) {
        let (words, at) = path(branch, 0);
        let mut whole = [before, &words].concat();
        match branch.get(at) {
            Some(TokenTree::Group(group)) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                imports(&inner, &whole, is_exported, found);
            }
            Some(token) if is_punct(Some(token), '*') => {
                found.push(Import { name: "*".into(), path: whole, is_exported });
            }
            rest => {
                let mut name = whole.last().cloned().unwrap_or_default();
                if name == "self" && whole.len() > 1 {
                    whole.pop();
                    name = whole.last().cloned().unwrap_or_default();
                }
                if is_word(rest, "as") {
                    name = branch.get(at + 1).map(ToString::to_string).unwrap_or_default();
                }
                found.push(Import { name, path: whole, is_exported });
            }
        }
    }
}

/// Reads a stream of tokens; `inner` is the inline module that it is the body of.
fn read(stream: TokenStream, inner: &[String], file: &mut File) {
    let tokens: Vec<_> = stream.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let end_of_item = |from: usize| {
            let ends = |token: &TokenTree| match token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                token => is_punct(Some(token), ';'),
            };
            tokens[from..].iter().position(ends).map_or(tokens.len(), |place| from + place + 1)
        };
        match &tokens[at] {
            TokenTree::Punct(sign) if sign.as_char() == '#' => {
                let text = tokens.get(at + 1).map(ToString::to_string).unwrap_or_default();
                at += 2;
                if text.replace(' ', "").starts_with("[cfg(test)") {
                    let end = end_of_item(at);
                    let name = tokens[at..end].iter().position(|token| is_word(Some(token), "mod"));
                    file.test_modules
                        .extend(name.and_then(|name| Some(tokens.get(at + name + 1)?.to_string())));
                    at = end;
                }
            }
            TokenTree::Ident(word) if word == "use" => {
                let end = end_of_item(at).max(at + 1);
                let semicolon = tokens[at..].iter().position(|token| is_punct(Some(token), ';'));
                let end = semicolon.map_or(end, |place| at + place);
                let is_exported = at > 0
                    && (is_word(tokens.get(at - 1), "pub")
                        || (at > 1 && is_word(tokens.get(at - 2), "pub")));
                if inner.is_empty() {
                    imports(&tokens[at + 1..end], &[], is_exported, &mut file.imports);
                }
                at = end + 1;
            }
            TokenTree::Ident(word) if word == "mod" => {
                match (tokens.get(at + 1), tokens.get(at + 2)) {
                    (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) => {
                        let inner = [inner, &[name.to_string()]].concat();
                        read(body.stream(), &inner, file);
                        at += 3;
                    }
                    _ => at += 2,
                }
            }
            TokenTree::Ident(_) => {
                let (words, end) = path(&tokens, at);
                if words.len() > 1 && inner.is_empty() {
                    file.paths.push(words);
                }
                at = end;
            }
            TokenTree::Group(group) => {
                read(group.stream(), inner, file);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// The sources of a crate: texts by module.
fn sources(folder: &Path) -> BTreeMap<Module, String> {
    fn gather(folder: &Path, module: &Module, found: &mut BTreeMap<Module, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let inner = [module.as_slice(), std::slice::from_ref(&stem)].concat();
            if path.is_dir() {
                if stem != "bin" {
                    gather(&path, &inner, found);
                }
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let is_root = module.is_empty() && stem == "lib";
                let own = if stem == "mod" || is_root { module.clone() } else { inner };
                found.insert(own, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    gather(folder, &Vec::new(), &mut found);
    // A crate without a library has its root in main.rs.
    if !found.contains_key(&Vec::new())
        && let Some(main) = found.remove(&vec!["main".to_owned()])
    {
        found.insert(Vec::new(), main);
    }
    found
}

/// The module that defines what a path in `from` names; none if it is of another crate.
fn target(
    files: &BTreeMap<Module, File>,
    from: &Module,
    path: &[String],
    depth: u32,
) -> Option<Module> {
    let mut module = from.clone();
    let mut words = path;
    match words.first()?.as_str() {
        "crate" => (module, words) = (Vec::new(), &words[1..]),
        "self" => words = &words[1..],
        "super" => {
            while words.first().is_some_and(|word| word == "super") {
                module.pop();
                words = &words[1..];
            }
        }
        child if files.contains_key(&[from.as_slice(), &[child.to_owned()]].concat()) => {}
        name => {
            let import = files.get(from)?.imports.iter().find(|import| import.name == name)?;
            let whole = [import.path.as_slice(), &words[1..]].concat();
            return target(files, from, &whole, depth.checked_sub(1)?);
        }
    }
    while let Some((word, rest)) = words.split_first() {
        let inner = [module.as_slice(), std::slice::from_ref(word)].concat();
        if files.contains_key(&inner) {
            (module, words) = (inner, rest);
            continue;
        }
        let import = files.get(&module)?.imports.iter().find(|import| import.name == *word);
        match import {
            Some(import) if depth > 0 => {
                let whole = [import.path.as_slice(), rest].concat();
                return target(files, &module, &whole, depth - 1);
            }
            _ => break,
        }
    }
    Some(module)
}

/// Which files of a crate import which.
fn graph(sources: &BTreeMap<Module, String>) -> Graph {
    let mut files = BTreeMap::new();
    let mut for_tests = Vec::new();
    for (module, text) in sources {
        let mut file = File::default();
        read(text.parse().unwrap(), &[], &mut file);
        let names = file.test_modules.iter();
        for_tests
            .extend(names.map(|name| [module.as_slice(), std::slice::from_ref(name)].concat()));
        files.insert(module.clone(), file);
    }
    files.retain(|module, _| !for_tests.iter().any(|tests| module.starts_with(tests)));
    let edges = |(module, file): (&Module, &File)| {
        let is_inner = |target: &Module| target.starts_with(module);
        let imports = file.imports.iter().filter_map(|import| {
            let target = target(&files, module, &import.path, 8)?;
            (!import.is_exported || !is_inner(&target)).then_some(target)
        });
        let paths = file.paths.iter().filter_map(|path| target(&files, module, path, 8));
        let targets = imports.chain(paths);
        let is_above = |target: &Module| !target.is_empty() && module.starts_with(target);
        (module.clone(), targets.filter(|target| target != module && !is_above(target)).collect())
    };
    files.iter().map(edges).collect()
}

/// What can be reached from a module, by at least one edge.
fn reached(graph: &Graph, from: &Module) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    let mut next: Vec<_> = graph[from].iter().collect();
    while let Some(module) = next.pop() {
        if found.insert(module.clone()) {
            next.extend(&graph[module]);
        }
    }
    found
}

/// The cycles of a crate, each as its edges.
fn cycles(graph: &Graph) -> Vec<String> {
    let reach: BTreeMap<_, _> =
        graph.keys().map(|module| (module, reached(graph, module))).collect();
    let mut found = Vec::new();
    for (from, targets) in graph {
        for to in targets.iter().filter(|to| reach[to].contains(from)) {
            found.push(format!("crate::{} imports crate::{}", from.join("::"), to.join("::")));
        }
    }
    found
}

fn cycles_of(folder: &Path) -> Vec<String> {
    let graph = graph(&sources(folder));
    cycles(&graph)
}

#[test]
fn no_crate_has_an_import_cycle() {
    let (mut seen, mut found) = (0, Vec::new());
    for entry in fs::read_dir(crate::top().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let graph = graph(&sources(&crate::top().join("crates").join(&name).join("src")));
        seen += graph.values().map(BTreeSet::len).sum::<usize>();
        found.extend(cycles(&graph).into_iter().map(|edge| format!("{name}: {edge}")));
    }
    assert!(seen > 500, "only {seen} imports were found");
    assert!(found.is_empty(), "import cycles:\n{}", found.join("\n"));
}

#[test]
fn a_planted_cycle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a; mod b; mod c; pub use a::A; pub use c::C;");
    write("a.rs", "use crate::b::B; pub struct A; #[cfg(test)] mod tests { use crate::C; }");
    write("b/mod.rs", "mod inner; pub use self::inner::B;");
    write("b/inner.rs", "pub struct B(u8);");
    write("c.rs", "pub struct C; fn f() { let _ = super::A; }");
    assert_eq!(cycles_of(folder.path()), Vec::<String>::new());
    // A path in code, through two re-exports.
    write("b/inner.rs", "pub struct B; fn f() -> Option<crate::C> { None }");
    let found = cycles_of(folder.path());
    assert_eq!(
        found,
        [
            "crate::a imports crate::b::inner",
            "crate::b::inner imports crate::c",
            "crate::c imports crate::a"
        ]
    );
    write("b/inner.rs", "pub struct B(u8);");
    // A file that re-exports a constant of the file that imports it.
    write("d.rs", "pub(super) use super::e::LIMIT; pub struct D;");
    write("e.rs", "use super::d::D; pub const LIMIT: u8 = 1;");
    write("f.rs", "use super::d::LIMIT; pub struct F;");
    let cycle = ["crate::d imports crate::e", "crate::e imports crate::d"];
    assert_eq!(cycles_of(folder.path()), cycle);
    // A constant that is imported from another file than the one that defines it.
    write("e.rs", "use super::f::F; pub const LIMIT: u8 = 1;");
    let cycle = ["crate::e imports crate::f", "crate::f imports crate::e"];
    assert_eq!(cycles_of(folder.path()), cycle);
    // A path that begins with an imported module.
    write("e.rs", "use crate::b; pub const LIMIT: u8 = b::FEW;");
    write("b/inner.rs", "pub struct B(u8); pub const FEW: u8 = super::super::f::MOST;");
    write("b/mod.rs", "mod inner; pub use self::inner::{B, FEW};");
    let cycle = [
        "crate::b::inner imports crate::f",
        "crate::e imports crate::b::inner",
        "crate::f imports crate::e",
    ];
    assert_eq!(cycles_of(folder.path()), cycle);
}
