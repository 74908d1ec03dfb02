//! Characters that are no text, and characters that no screen shows.

use std::fmt;

/// A control character in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// The character.
    pub character: char,
    /// Its place in the text, counted in characters from 1.
    pub place: usize,
}

/// An invisible character in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invisible {
    /// The character.
    pub character: char,
    /// Its name in Unicode, in small letters.
    pub name: &'static str,
    /// Its place in the text, counted in characters from 1.
    pub place: usize,
}

/// The first control character of a text: C0 without tab and LF, DEL, and C1. Line ends are LF in
/// a text that was read by this crate.
pub fn control(text: &str) -> Option<Control> {
    let found = |c: &char| c.is_control() && !matches!(c, '\t' | '\n');
    (1..)
        .zip(text.chars())
        .find(|(_, c)| found(c))
        .map(|(place, character)| Control { character, place })
}

/// The invisible characters of a text that change what is read and that no keyboard types by
/// habit. Joiners and selectors inside emoji, and joiners inside words of scripts that need them,
/// are ordinary.
pub fn invisible(text: &str) -> impl Iterator<Item = Invisible> {
    let next = text.chars().skip(1).map(Some).chain([None]);
    let before = [None].into_iter().chain(text.chars().map(Some));
    let around = before.zip(text.chars()).zip(next);
    (1..).zip(around).filter_map(|(place, ((before, character), next))| {
        let name = name(character)?;
        (!is_ordinary(before, character, next)).then_some(Invisible { character, name, place })
    })
}

fn name(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{ad}' => "soft hyphen",
        '\u{34f}' => "combining grapheme joiner",
        '\u{61c}' => "Arabic letter mark",
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => "Hangul filler",
        '\u{180e}' => "Mongolian vowel separator",
        '\u{200b}' => "zero width space",
        '\u{200c}' => "zero width non-joiner",
        '\u{200d}' => "zero width joiner",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{2028}' => "line separator",
        '\u{2029}' => "paragraph separator",
        '\u{202a}' => "left-to-right embedding",
        '\u{202b}' => "right-to-left embedding",
        '\u{202c}' => "pop directional formatting",
        '\u{202d}' => "left-to-right override",
        '\u{202e}' => "right-to-left override",
        '\u{2060}' => "word joiner",
        '\u{2061}'..='\u{2064}' => "invisible operator",
        '\u{2066}' => "left-to-right isolate",
        '\u{2067}' => "right-to-left isolate",
        '\u{2068}' => "first strong isolate",
        '\u{2069}' => "pop directional isolate",
        '\u{206a}'..='\u{206f}' => "deprecated format character",
        '\u{feff}' => "byte order mark",
        '\u{fff9}'..='\u{fffb}' => "interlinear annotation",
        '\u{e0000}'..='\u{e007f}' => "tag character",
        _ => return None,
    })
}

/// Whether the character belongs where it stands: in an emoji sequence or in a word.
fn is_ordinary(before: Option<char>, c: char, next: Option<char>) -> bool {
    let (Some(before), next) = (before, next) else { return false };
    match c {
        // Family, flags, professions: emoji, joiner, emoji.
        '\u{200d}' => {
            ends_emoji(before) && next.is_some_and(is_emoji) || both(needs_joiners, before, next)
        }
        '\u{200c}' => both(needs_joiners, before, next),
        // The flags of England, Scotland and Wales: a black flag, tags, and the end tag.
        '\u{e0020}'..='\u{e007f}' => {
            before == '\u{1f3f4}' || ('\u{e0020}'..='\u{e007e}').contains(&before)
        }
        // Directions are marked where right-to-left letters stand by others.
        '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            is_right_to_left(before) || next.is_some_and(is_right_to_left)
        }
        _ => false,
    }
}

fn both(is: fn(char) -> bool, before: char, next: Option<char>) -> bool {
    is(before) && next.is_some_and(is)
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2190}'..='\u{2bff}' | '\u{3030}' | '\u{303d}')
}

/// An emoji, its skin tone, or the selector after it.
fn ends_emoji(c: char) -> bool {
    is_emoji(c) || c == '\u{fe0f}'
}

/// Letters of Arabic, Syriac and N'Ko, and of the scripts of India and around it.
fn needs_joiners(c: char) -> bool {
    is_right_to_left(c)
        || matches!(c, '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}')
        || matches!(c, '\u{1780}'..='\u{18af}' | '\u{a800}'..='\u{aaff}')
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.character {
            '\0' => " (NUL)",
            '\u{8}' => " (backspace)",
            '\u{b}' => " (vertical tab)",
            '\u{c}' => " (form feed)",
            '\r' => " (carriage return)",
            '\u{1b}' => " (escape)",
            '\u{7f}' => " (delete)",
            '\u{85}' => " (next line)",
            _ => "",
        };
        write!(f, "U+{:04X}{name} at character {}", u32::from(self.character), self.place)
    }
}

impl fmt::Display for Invisible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { character, name, place } = self;
        write!(f, "U+{:04X} ({name}) at character {place}", u32::from(*character))
    }
}
