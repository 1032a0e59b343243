//! The ids that users give to whatever holds state or touches the outside.

/// What is wrong with an id, if anything: ids name column families, counters and files, so they
/// are short and plain.
pub fn problem_with(id: &str) -> Option<String> {
    let plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        Some(format!(
            "the id `{id}` must have 1 to {ID_BYTES_MAX} characters"
        ))
    } else if !id.chars().all(plain) || !id.starts_with(|c: char| c.is_ascii_lowercase()) {
        Some(format!(
            "the id `{id}` must begin with a letter a-z and hold only a-z, 0-9, `-`, `_` and `.`"
        ))
    } else {
        None
    }
}

const ID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["a", "delay-by-hour", "eu.visits", "x_1"] {
            assert_eq!(problem_with(good), None, "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "Flights", "1st", "a b", "a/b", "é", long.as_str()] {
            assert!(problem_with(bad).is_some(), "{bad}");
        }
    }
}
