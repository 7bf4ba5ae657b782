//! What a text that people or partners hand in has to be: something, not too long, on one line. The bounds are those of the
//! interfaces the text goes out through (T/CEC 102), counted in characters as they count. What a *device* says is a fact and is not checked here.

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing, or only blanks.
    #[error("{field} is empty")]
    Empty {
        /// Which text.
        field: &'static str,
    },
    /// Longer than the interfaces carry.
    #[error("{field} has {length} characters; at most {most} are taken")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// A line break, a tab or another control character, which would break a line of CSV or of a log.
    #[error("{field} has a control character in it")]
    ControlCharacter {
        /// Which text.
        field: &'static str,
    },
}

/// Takes `text` if it says something in at most `most` characters.
///
/// # Errors
/// When it does not.
pub fn required(field: &'static str, text: &str, most: usize) -> Result<(), TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Empty { field });
    }
    optional(field, text, most)
}

/// Takes `text` if it says nothing, or something in at most `most` characters.
///
/// # Errors
/// When it does not.
pub fn optional(field: &'static str, text: &str, most: usize) -> Result<(), TextError> {
    let length = text.chars().count();
    if length > most {
        return Err(TextError::TooLong { field, length, most });
    }
    if text.chars().any(char::is_control) {
        return Err(TextError::ControlCharacter { field });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_characters_not_bytes() {
        assert_eq!(required("name", "深圳湾充电站", 6), Ok(()));
        assert_eq!(required("name", "深圳湾充电站", 5), Err(TextError::TooLong { field: "name", length: 6, most: 5 }));
    }

    #[test]
    fn blanks_say_nothing() {
        assert_eq!(required("name", " \u{3000}", 5), Err(TextError::Empty { field: "name" }));
        assert_eq!(optional("model", "", 5), Ok(()));
    }

    #[test]
    fn a_text_is_one_line() {
        assert_eq!(required("name", "a\nb", 5), Err(TextError::ControlCharacter { field: "name" }));
    }
}
