//! Advice about prompts: syntax of other programs that this model reads as text, and characters
//! that no screen shows.

use std::ops::Range;

use serde_json::Value as Json;
use zimg_client::Params;

/// A kind of advice, given once in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdviceTopic {
    Tag,
    Weight,
    Keyword,
    Embedding,
    Choice,
    Wildcard,
    Options,
    Escape,
    Parameters,
    Object,
    Invisible,
}

/// A sentence about a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PromptAdvice {
    pub(crate) topic: AdviceTopic,
    pub(crate) text: String,
}

/// The longest piece of a prompt in a sentence, in characters.
const PIECE_MAX: usize = 40;

/// Options of Midjourney, which stand at the end of a prompt. Those of one letter have a number.
const MIDJOURNEY: &[&str] = &[
    "ar", "aspect", "c", "chaos", "cref", "cw", "draft", "fast", "hd", "iw", "niji", "no", "oref",
    "ow", "p", "profile", "q", "quality", "raw", "relax", "repeat", "s", "sref", "stop", "style",
    "stylize", "sv", "sw", "tile", "turbo", "v", "version", "w", "weird",
];

/// Options of zimg and of the web UI that are typed into prompts.
const OPTIONS: &[&str] = &[
    "cfg",
    "cfg-scale",
    "cfg_scale",
    "guidance",
    "height",
    "negative",
    "negative-prompt",
    "negative_prompt",
    "prompt",
    "seed",
    "size",
    "steps",
    "width",
];

/// What the prompts of a request have that does not do what it does in other programs. At most one
/// sentence for a topic.
pub(crate) fn prompt_advice(draw: &Params) -> Vec<PromptAdvice> {
    let mut found: Vec<PromptAdvice> = Vec::new();
    for text in [Some(&draw.prompt), draw.negative.as_ref()].into_iter().flatten() {
        for advice in of_text(text) {
            if !found.iter().any(|other| other.topic == advice.topic) {
                found.push(advice);
            }
        }
    }
    found
}

fn of_text(prompt: &str) -> Vec<PromptAdvice> {
    // What is in quotes is to be read on the image.
    let text = without_quoted(prompt);
    let piece = |topic, piece: Option<Range<usize>>, why: &str| {
        let text = format!("`{}` is read as text: {why}", shortened(prompt.get(piece?)?));
        Some(PromptAdvice { topic, text })
    };
    let syntax = [
        tag(&text).and_then(|tag| {
            let why = tag_advice(&text[tag.clone()]);
            piece(AdviceTopic::Tag, Some(tag), &why)
        }),
        piece(AdviceTopic::Weight, weight(&text), "there are no weights of words"),
        piece(AdviceTopic::Choice, choice(&text), "there is no choice between words"),
        piece(AdviceTopic::Wildcard, wildcard(&text), "there are no wildcards"),
        piece(AdviceTopic::Embedding, embedding(&text), "there are no embeddings"),
        piece(AdviceTopic::Escape, escape(&text), "parentheses need no backslash"),
    ];
    let mut found: Vec<_> = syntax.into_iter().flatten().collect();
    let keyword = keyword(&text, !found.is_empty());
    found.extend(piece(AdviceTopic::Keyword, keyword, "a prompt is one text, without parts"));
    if let Some((option, instead)) = options(&text) {
        let why = format!("options stand outside of the prompt{instead}");
        found.extend(piece(AdviceTopic::Options, Some(option), &why));
    }
    if is_parameters(prompt) {
        let text = "the prompt holds an image's parameters text, which is read as text: give its \
                    parts as options, or `zimg redo` the image";
        found.push(PromptAdvice { topic: AdviceTopic::Parameters, text: text.to_owned() });
    }
    if is_object(prompt) {
        let text = "the prompt is a JSON object with a `prompt`, which is read as text: --batch \
                    reads such objects";
        found.push(PromptAdvice { topic: AdviceTopic::Object, text: text.to_owned() });
    }
    found.extend(invisible(prompt));
    found
}

/// Names the first invisible characters of a prompt.
fn invisible(prompt: &str) -> Option<PromptAdvice> {
    let mut all = zimg_text::invisible(prompt);
    let named: Vec<_> = all.by_ref().take(3).map(|found| found.to_string()).collect();
    let more = match all.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = format!(
        "the prompt has characters that are invisible and change the image: {}{more}",
        named.join(", ")
    );
    (!named.is_empty()).then_some(PromptAdvice { topic: AdviceTopic::Invisible, text })
}

/// The text with spaces in the place of what is quoted, byte for byte.
fn without_quoted(text: &str) -> String {
    let mut plain = text.to_owned();
    for (open, close) in [('"', '"'), ('“', '”'), ('„', '“'), ('«', '»'), ('`', '`')] {
        let mut from = 0;
        while let Some(start) = plain[from..].find(open).map(|at| from + at) {
            let inner = start + open.len_utf8();
            let Some(end) = plain[inner..].find(close).map(|at| inner + at) else { break };
            // A mark of inches or minutes has no partner in its line.
            if plain[inner..end].contains('\n') {
                from = inner;
                continue;
            }
            plain.replace_range(inner..end, &" ".repeat(end - inner));
            from = end + close.len_utf8();
        }
    }
    plain
}

/// What to do with a tag.
fn tag_advice(tag: &str) -> String {
    let lora = tag.strip_prefix("<lora:").or_else(|| tag.strip_prefix("<lyco:"));
    match lora.map(|rest| rest.trim_end_matches('>')) {
        Some(lora) => format!("a LoRA is an option, --lora {}", zimg_text::shell_word(lora)),
        None => "there are no such tags".to_owned(),
    }
}

/// `<lora:detail:0.8>`, `<hypernet:x:1>`, `<random:a|b>`.
fn tag(text: &str) -> Option<Range<usize>> {
    spans(text, '<', '>').find(|span| {
        let inner = &text[span.start + 1..span.end - 1];
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic());
        inner.split_once(':').is_some_and(|(name, rest)| is_name(name) && !rest.is_empty())
    })
}

/// `(word:1.3)`, `((word))`, `[word]`, `[from:to:0.5]`, `{{word}}`.
fn weight(text: &str) -> Option<Range<usize>> {
    let numbered = spans(text, '(', ')').find(|span| {
        let inner = &text[span.start + 1..span.end - 1];
        inner.rsplit_once(':').is_some_and(|(words, number)| is_weight(words, number.trim()))
    });
    let doubled = |open: &str, close: &str| {
        let start = text.find(open)?;
        let end = text[start..].find(close)? + start + close.len();
        text[start..end].chars().any(char::is_alphabetic).then_some(start..end)
    };
    numbered
        .or_else(|| {
            spans(text, '[', ']').find(|span| is_bracket(&text[span.start + 1..span.end - 1]))
        })
        .or_else(|| doubled("((", "))"))
        .or_else(|| doubled("{{", "}}"))
}

/// A number that is a weight, and no time, score or verse after words.
fn is_weight(words: &str, number: &str) -> bool {
    let is_number = number.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && number.parse::<f32>().is_ok_and(|weight| (0.0..=5.0).contains(&weight));
    let is_word = words.chars().any(char::is_alphabetic)
        && !words.trim_end().ends_with(|c: char| c.is_ascii_digit());
    is_number && is_word && (number.contains('.') || number.len() == 1)
}

/// The inside of brackets that weigh or schedule words; no number, mark of a citation or ellipsis.
fn is_bracket(inner: &str) -> bool {
    if inner.contains('|')
        || inner.rsplit_once(':').is_some_and(|(words, last)| is_weight(words, last))
    {
        return inner.chars().any(char::is_alphabetic);
    }
    let words = inner.split_whitespace().count();
    (1..=4).contains(&words)
        && inner.starts_with(char::is_alphabetic)
        && !["sic", "and", "or", "the"].contains(&&*inner.to_lowercase())
}

/// `{red|blue}`.
fn choice(text: &str) -> Option<Range<usize>> {
    spans(text, '{', '}').find(|span| text[span.clone()].contains('|'))
}

/// `__colour__`.
fn wildcard(text: &str) -> Option<Range<usize>> {
    words(text).find_map(|word| {
        let start = word.start + text[word.clone()].find("__")?;
        let name = start + 2;
        let end = name + text[name..word.end].find("__")?;
        let inner = &text[name..end];
        let is_name = !inner.is_empty()
            && inner.chars().all(|c| c.is_alphanumeric() || "_-/*".contains(c))
            && !["init", "main", "name"].contains(&inner);
        is_name.then_some(start..end + 2)
    })
}

/// `embedding:easynegative`.
fn embedding(text: &str) -> Option<Range<usize>> {
    words(text).find_map(|word| {
        let start = word.start + text[word.clone()].find("embedding:")?;
        let begins = text[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        (begins && start + "embedding:".len() < word.end).then_some(start..word.end)
    })
}

/// `\(` of tags that the web UI and ComfyUI would take for weights.
fn escape(text: &str) -> Option<Range<usize>> {
    let start = text.find("\\(")?;
    let end = text[start..].find("\\)").map_or(start + 2, |at| start + at + 2);
    Some(start..end)
}

/// `BREAK` between words, and `AND` where it begins a part of a prompt.
fn keyword(text: &str, has_syntax: bool) -> Option<Range<usize>> {
    let all: Vec<_> = words(text).collect();
    // In capitals throughout it is lettering.
    let is_shouted = |word: &Range<usize>| {
        let word = &text[word.clone()];
        word.chars().filter(|c| c.is_alphabetic()).count() > 1
            && !word.chars().any(char::is_lowercase)
    };
    all.iter().enumerate().find_map(|(at, word)| {
        let (before, after) = (all.get(at.checked_sub(1)?)?, all.get(at + 1)?);
        if is_shouted(before) || is_shouted(after) {
            return None;
        }
        let begins = text[(*before).clone()].ends_with([',', ';'])
            || text[before.end..word.start].contains('\n');
        let is_keyword = match &text[word.clone()] {
            "BREAK" => true,
            "AND" => begins || has_syntax,
            _ => false,
        };
        is_keyword.then(|| word.clone())
    })
}

/// `--ar 16:9`, and the option of zimg that does it.
fn options(text: &str) -> Option<(Range<usize>, String)> {
    let all: Vec<_> = words(text).collect();
    all.iter().enumerate().find_map(|(at, word)| {
        let name = text[word.clone()].strip_prefix("--")?;
        let next = all.get(at + 1).filter(|next| !text[(*next).clone()].starts_with("--"));
        let value = next.map(|next| &text[next.clone()]);
        let is_number = value.is_some_and(|value| value.starts_with(|c: char| c.is_ascii_digit()));
        let is_known = match name.len() {
            1 => MIDJOURNEY.contains(&name) && is_number,
            _ if name == "no" => value.is_some(),
            _ => MIDJOURNEY.contains(&name) || OPTIONS.contains(&name),
        };
        if !is_known {
            return None;
        }
        let value_text = value.unwrap_or_default();
        let instead = match name {
            "ar" | "aspect" => format!(", as --aspect {value_text}"),
            "no" | "negative" | "negative-prompt" | "negative_prompt" => {
                ", as --negative".to_owned()
            }
            "seed" | "steps" | "guidance" | "cfg" => format!(", as --{name} {value_text}"),
            "size" | "width" | "height" => ", as --size WxH".to_owned(),
            _ => String::new(),
        };
        let end = next.map_or(word.end, |next| next.end);
        Some((word.start..end, instead))
    })
}

/// The text that the web UI writes into images: a line of settings, or of the negative prompt.
fn is_parameters(text: &str) -> bool {
    text.lines().skip(1).any(|line| {
        let is_settings = line.strip_prefix("Steps: ").is_some_and(|rest| rest.contains(": "));
        is_settings || line.starts_with("Negative prompt: ")
    })
}

fn is_object(text: &str) -> bool {
    let is_begun = text.trim_start().starts_with(['{', '[']);
    let value = is_begun.then(|| serde_json::from_str::<Json>(text).ok()).flatten();
    value.is_some_and(|value| value.get("prompt").or_else(|| value.get(0)?.get("prompt")).is_some())
}

/// The pieces from a sign to its partner that have none of the two inside.
fn spans(text: &str, open: char, close: char) -> impl Iterator<Item = Range<usize>> {
    let mut start = None;
    text.char_indices().filter_map(move |(at, c)| {
        if c == open {
            start = Some(at);
        } else if c == close {
            return start.take().map(|start| start..at + c.len_utf8());
        }
        None
    })
}

/// The words between white space.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_whitespace().map(|word| {
        let start = word.as_ptr().addr() - text.as_ptr().addr();
        start..start + word.len()
    })
}

/// At most `PIECE_MAX` characters in one line.
fn shortened(piece: &str) -> String {
    let line: String = piece.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(PIECE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(prompt: &str) -> Vec<(AdviceTopic, String)> {
        let advice = prompt_advice(&Params::new(prompt));
        advice.into_iter().map(|advice| (advice.topic, advice.text)).collect()
    }

    #[test]
    fn syntax_of_other_programs_is_told() {
        use AdviceTopic::*;
        for (prompt, topic, piece) in [
            ("a red circle <lora:detail:0.8>", Tag, "<lora:detail:0.8>"),
            ("<hypernet:x:1> a fox", Tag, "<hypernet:x:1>"),
            ("a <random:red|blue> fox", Tag, "<random:red|blue>"),
            ("a (sharp:1.4) circle", Weight, "(sharp:1.4)"),
            ("(red hair, long:0.7)", Weight, "(red hair, long:0.7)"),
            ("(best quality:2)", Weight, "(best quality:2)"),
            ("((masterpiece)), a fox", Weight, "((masterpiece))"),
            ("{{{masterpiece}}}, a fox", Weight, "{{{masterpiece}}"),
            ("a fox, [blurry], snow", Weight, "[blurry]"),
            ("a [cat|dog] in snow", Weight, "[cat|dog]"),
            ("a [cat:dog:0.5] in snow", Weight, "[cat:dog:0.5]"),
            ("a red circle BREAK a dog", Keyword, "BREAK"),
            ("a cat :1.2, AND a dog", Keyword, "AND"),
            ("(a cat:1.2) AND a dog", Keyword, "AND"),
            ("a cat\nAND a dog", Keyword, "AND"),
            ("a fox embedding:easynegative", Embedding, "embedding:easynegative"),
            ("(embedding:bad-hands:1.2)", Embedding, "embedding:bad-hands:1.2)"),
            ("a {red|blue} fox", Choice, "{red|blue}"),
            ("a __colour__ fox", Wildcard, "__colour__"),
            ("__animals/pets__ in snow", Wildcard, "__animals/pets__"),
            ("a fox --ar 16:9", Options, "--ar 16:9"),
            ("a fox --v 6 --style raw", Options, "--v 6"),
            ("a fox --no text", Options, "--no text"),
            ("a fox --steps 20 --seed 5", Options, "--steps 20"),
            ("a fox --tile", Options, "--tile"),
            ("saber \\(fate\\), sword", Escape, "\\(fate\\)"),
        ] {
            let said = said(prompt);
            let piece = format!("`{piece}` is read as text: ");
            assert!(
                said.iter().any(|(own, text)| *own == topic && text.starts_with(&piece)),
                "{prompt}: {said:?}"
            );
        }
        for (prompt, topic) in [
            ("a fox\nNegative prompt: blur\nSteps: 20, Sampler: Euler", Parameters),
            ("{\"prompt\": \"a fox\", \"steps\": 4}", Object),
            ("[{\"prompt\": \"a fox\"}]", Object),
            ("a\u{feff} fox", Invisible),
        ] {
            assert!(said(prompt).iter().any(|(own, _)| *own == topic), "{prompt}");
        }
        let all = "a red circle <lora:detail:0.8> (sharp:1.4) BREAK a dog --ar 16:9";
        let topics: Vec<_> = said(all).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(topics, [Tag, Weight, Keyword, Options]);
        let (_, text) = said("a\u{202e}b\u{200b}c\u{ad}\u{ad}\u{ad}").remove(0);
        assert_eq!(
            text,
            "the prompt has characters that are invisible and change the image: U+202E \
             (right-to-left override) at character 2, U+200B (zero width space) at character 4, \
             U+00AD (soft hyphen) at character 6 and 2 more"
        );
    }

    #[test]
    fn ordinary_prose_needs_no_advice() {
        for prompt in [
            "",
            "a red fox in the snow",
            "a fox (Vulpes vulpes) and a hen (in the back)",
            "a church (built 1874), at 10:30",
            "John 3:16 on a wall (John 3:16)",
            "a screen of 16:9, a score of 3:1 (3:1)",
            "a photo (f/1.8, 50mm)",
            "a sign that says \"BREAK\" and \"[EXIT]\" and \"<b:c>\"",
            "lettering: COFFEE BREAK ROOM",
            "TAKE A BREAK",
            "ROCK AND ROLL on a poster",
            "she eats the cake AND keeps it",
            "bread AND butter",
            "a coffee break and a rest",
            "a quote [sic], a citation [1], an ellipsis [...]",
            "a well-known place -- at night -- in rain",
            "the fox --no, the hen-- ran",
            "1 < 2 and 3 > 2",
            "<html> on a screen",
            "a blank _____ to fill in, snake_case, __init__",
            "a face {smiling}",
            "x | y",
            "a word embedding: king - man + woman",
            "C:\\Users on a screen",
            "time 5:00 (pm)",
            "a 5\" pipe (3:4) and a 6\" one",
            "{\"subject\": \"a fox\", \"style\": \"photo\"}",
            "Steps: a stairway to heaven",
            "👨‍👩‍👧 on a beach ❤️",
            "雪中的狐狸，（红色）",
        ] {
            assert_eq!(said(prompt), [], "{prompt}");
        }
    }

    #[test]
    fn the_negative_prompt_is_read_too_and_a_topic_is_told_once() {
        let draw = Params {
            negative: Some("(bad:1.3), embedding:x".to_owned()),
            ..Params::new("(a:1.2) (b:1.3)")
        };
        let topics: Vec<_> = prompt_advice(&draw).iter().map(|advice| advice.topic).collect();
        assert_eq!(topics, [AdviceTopic::Weight, AdviceTopic::Embedding]);
    }

    proptest! {
        #[test]
        fn any_prompt_is_looked_through(prompt in "[a-zA-Z(){}<>:|_\\[\\]\"“”„«»` \\\\\n.0-9é雪-]{0,60}") {
            for (_, text) in said(&prompt) {
                prop_assert!(!text.is_empty());
            }
        }

        #[test]
        fn plain_words_need_no_advice(prompt in "[a-z]{1,8}( [a-z]{1,8}){0,8}[,.]?( \\([a-z ]{1,9}\\))?") {
            prop_assert_eq!(said(&prompt), []);
        }
    }
}
