//! Slugs: a prompt as part of a file name.

/// The slug of a prompt without letters and digits.
const NOTHING: &str = "image";

/// The letters and digits of `text` in any script, joined by `-`, at most `length` characters, cut
/// between words if at least half of them remain.
pub(super) fn slug(text: &str, length: usize) -> String {
    let mut slug = String::new();
    let mut characters = 0;
    for c in text.chars() {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        } else {
            continue;
        }
        characters += 1;
        // One character more than fits shows whether the last word is complete.
        if characters > length {
            break;
        }
    }
    if characters > length {
        let cut = slug.pop().is_some_and(|c| c != '-');
        let word = slug.rfind('-').filter(|&at| cut && 2 * slug[..at].chars().count() >= length);
        slug.truncate(word.unwrap_or(slug.len()));
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { NOTHING.to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_joined_and_cut_between() {
        assert_eq!(slug("A red fox, in the snow!", 60), "A-red-fox-in-the-snow");
        assert_eq!(slug("A red fox, in the snow!", 12), "A-red-fox-in");
        assert_eq!(slug("A red fox, in the snow!", 11), "A-red-fox");
        assert_eq!(slug("  ../../etc/passwd\n\0", 60), "etc-passwd");
        assert_eq!(slug("雪の中の狐 🦊", 3), "雪の中");
        assert_eq!(slug("…", 60), "image");
        assert_eq!(slug("incomprehensibilities", 5), "incom");
    }

    proptest! {
        #[test]
        fn any_text_is_a_safe_name(text: String, length in 1_usize..=60) {
            let slug = slug(&text, length);
            prop_assert!(!slug.is_empty() && slug.len() <= 240);
            prop_assert!(slug.chars().count() <= length.max("image".len()));
            prop_assert!(slug.chars().all(|c| c.is_alphanumeric() || c == '-'));
            prop_assert!(!slug.starts_with('-') && !slug.ends_with('-'));
        }
    }
}
