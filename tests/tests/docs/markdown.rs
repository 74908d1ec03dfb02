//! Markdown of the docs: pages, blocks, code within a line, links, headings.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What commands print as help, made from their definition.
pub(crate) const HELP: &str = "docs/reference.md";

/// A page of documentation.
pub(crate) struct Page {
    /// Its path from the top of the repository.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A block of code.
pub(crate) struct Block {
    /// What stands behind the fence.
    pub(crate) language: String,
    pub(crate) text: String,
    /// The line of its fence.
    pub(crate) line: usize,
}

/// The repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All pages.
pub(crate) fn pages() -> Vec<Page> {
    let names = ["docs", "docs/decisions"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(top().join(folder)).unwrap();
        entries.map(move |entry| format!("{folder}/{}", entry.unwrap().file_name().display()))
    });
    let others = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "contrib/packaging/desktop/README.md",
    ];
    let others = others.map(str::to_owned);
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".md")).chain(others).collect();
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(top().join(name)).unwrap();
        Self { name: name.to_owned(), text }
    }

    fn events(&self) -> impl Iterator<Item = (Event<'_>, usize)> {
        let line = |at: usize| self.text[..at].matches('\n').count() + 1;
        let options = Options::ENABLE_TABLES;
        Parser::new_ext(&self.text, options)
            .into_offset_iter()
            .map(move |(event, range)| (event, line(range.start)))
    }

    /// Its blocks of code.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut inside = false;
        for (event, line) in self.events() {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(info) => info.to_string(),
                        CodeBlockKind::Indented => "indented".to_owned(),
                    };
                    blocks.push(Block { language, text: String::new(), line });
                    inside = true;
                }
                Event::Text(text) if inside => blocks.last_mut().unwrap().text += &text,
                Event::End(TagEnd::CodeBlock) => inside = false,
                _ => {}
            }
        }
        blocks
    }

    /// Its code within lines, with the line.
    pub(crate) fn spans(&self) -> Vec<(String, usize)> {
        self.events()
            .filter_map(|(event, line)| match event {
                Event::Code(code) => Some((code.to_string(), line)),
                _ => None,
            })
            .collect()
    }

    /// What is in italics, with the line: the messages that it quotes.
    pub(crate) fn quotes(&self) -> Vec<(String, usize)> {
        let mut quotes: Vec<(String, usize)> = Vec::new();
        let mut inside = false;
        for (event, line) in self.events() {
            match event {
                Event::Start(Tag::Emphasis) => {
                    quotes.push((String::new(), line));
                    inside = true;
                }
                Event::Text(text) if inside => quotes.last_mut().unwrap().0 += &text,
                Event::Code(text) if inside => {
                    quotes.last_mut().unwrap().0 += &format!("`{text}`");
                }
                Event::End(TagEnd::Emphasis) => inside = false,
                _ => {}
            }
        }
        quotes
    }

    /// Where its links and images lead, with the line.
    pub(crate) fn links(&self) -> Vec<(String, usize)> {
        self.events()
            .filter_map(|(event, line)| match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    Some((dest_url.to_string(), line))
                }
                _ => None,
            })
            .collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        let mut heading: Option<String> = None;
        for (event, _) in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        *heading += &text;
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap());
                    let same = anchors.iter().filter(|anchor| **anchor == slug).count();
                    anchors.push(if same == 0 { slug } else { format!("{slug}-{same}") });
                }
                _ => {}
            }
        }
        anchors
    }
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}
