//! Texts beside each other, and how they stand out: what a screen is made of.

/// How a text stands out. Colour says nothing alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTone {
    Plain,
    Faint,
    Strong,
    Good,
    Doubtful,
    Bad,
    /// The row that keys are about.
    Chosen,
}

/// Texts beside each other.
pub(super) type ScreenLine = Vec<(String, TextTone)>;

/// A line of one text.
pub(super) fn line(text: impl Into<String>, tone: TextTone) -> ScreenLine {
    vec![(text.into(), tone)]
}

/// A text of at most so many letters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.push('…');
    kept
}
