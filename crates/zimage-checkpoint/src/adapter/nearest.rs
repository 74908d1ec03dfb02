//! The nearest of some names, for a sentence about one that does not exist.

/// The `most` names that are nearest to `name`, nearest first; none that have little in common with it.
pub fn nearest<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    let folded = name.to_lowercase();
    let limit = folded.chars().count().div_ceil(3).max(2);
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let is_part =
                !folded.is_empty() && (other.contains(&folded) || folded.contains(&other));
            let distance = if is_part { 1 } else { distance(&folded, &other) };
            (distance <= limit).then_some((distance, candidate))
        })
        .collect();
    near.sort();
    near.into_iter().take(most).map(|(_, name)| name).collect()
}

/// The number of insertions, deletions and replacements between two texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in
            [("", "", 0), ("kitten", "sitting", 3), ("a", "", 1), ("ab", "ba", 2), ("é", "e", 1)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn near_names_are_found_in_order_and_far_ones_are_not() {
        let names = ["pixel-art", "ink", "watercolour", "pixel-art-v2"];
        assert_eq!(nearest("pixelart", names, 2), ["pixel-art"]);
        assert_eq!(nearest("Pixel-Art", names, 2), ["pixel-art", "pixel-art-v2"]);
        assert_eq!(nearest("inc", names, 3), ["ink"]);
        assert!(nearest("", names, 3).is_empty());
        assert!(nearest("photographic", names, 3).is_empty());
    }
}
