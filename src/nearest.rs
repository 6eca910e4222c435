//! "Did you mean": the known word nearest to a mistyped one.

/// The candidate most like `word`, when it is near enough to be what was meant: one slip for short words,
/// one in three characters for longer ones.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let near_enough = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= near_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let fields = ["resource", "method", "depends_on", "id"];
        assert_eq!(nearest("depend_on", fields), Some("depends_on"));
        assert_eq!(nearest("Resource", fields), Some("resource"));
        assert_eq!(nearest("ressources", fields), Some("resource"));
        assert_eq!(nearest("di", fields), Some("id"));
        assert_eq!(nearest("query", fields), None);
    }
}
