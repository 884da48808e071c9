//! Text in columns, as wide as the terminal, with colours where there is one.

use std::env;
use std::io::{self, IsTerminal};

/// Columns where nobody says how wide it is.
const DEFAULT_WIDTH: usize = 120;
/// Bounds of what is believed.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=400;

/// How text is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Columns.
    pub(super) width: usize,
    /// With colours.
    pub(super) colour: bool,
}

/// A colour by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    /// Of the first of two, or what is wrong.
    Red,
    /// Of the second of two, or what is right.
    Green,
    /// What it is called.
    Yellow,
    /// Beside the point.
    Dim,
    /// A heading.
    Bold,
}

impl Look {
    /// That of standard output: as wide as it is, or as COLUMNS says; with colours on a terminal, unless NO_COLOR is set.
    pub(super) fn of_output() -> Look {
        let terminal = io::stdout().is_terminal();
        let measured = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let said = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = measured.or(said).unwrap_or(DEFAULT_WIDTH).clamp(*WIDTHS.start(), *WIDTHS.end());
        let colour = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Look { width, colour }
    }

    /// The text in a colour.
    pub(super) fn tint(&self, tint: Tint, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tint {
            Tint::Red => 31,
            Tint::Green => 32,
            Tint::Yellow => 33,
            Tint::Dim => 2,
            Tint::Bold => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Breaks text into lines of at most `width` characters, at spaces where there are any; later lines are indented by two.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for mut word in text.split(' ').filter(|word| !word.is_empty()) {
        let fits = |line: &str, word: &str| line.chars().count() + 1 + word.chars().count() <= width;
        if !line.trim().is_empty() && !fits(&line, word) {
            lines.push(std::mem::take(&mut line));
            line.push(' ');
        }
        while word.chars().count() + 2 > width {
            // A word longer than a line.
            let cut = word.char_indices().nth(width - 2).map_or(word.len(), |(at, _)| at);
            if !line.trim().is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            lines.push(format!("  {}", &word[..cut]));
            word = &word[cut..];
            line = " ".to_owned();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.trim().is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Cells beside each other, each wrapped to its width and in its colour, parted by ` | `.
pub(super) fn row(look: &Look, cells: &[(String, usize, Option<Tint>)]) -> String {
    let wrapped: Vec<Vec<String>> = cells.iter().map(|(text, width, _)| wrap(text, *width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for line in 0..height {
        let mut shown = String::new();
        for (number, ((_, width, tint), lines)) in cells.iter().zip(&wrapped).enumerate() {
            let text = lines.get(line).map_or("", String::as_str);
            let last = number + 1 == cells.len();
            let pad = if last { 0 } else { width.saturating_sub(text.chars().count()) };
            shown.push_str(&tint.map_or(text.to_owned(), |tint| look.tint(tint, text)));
            shown.push_str(&" ".repeat(pad));
            if !last {
                shown.push_str(&look.tint(Tint::Dim, " | "));
            }
        }
        out.push_str(shown.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_nothing_is_lost() {
        assert_eq!(wrap("one two three", 9), ["one two", "  three"]);
        assert_eq!(wrap("", 9), [""]);
        assert_eq!(wrap("abcdefghijklmnop", 10), ["  abcdefgh", "  ijklmnop"]);
        for width in 8..40 {
            let text =
                "> PSH 1..1461 ack 1 win 65536 <sack 10000..20000 30000..40000> aVeryLongWordWithoutAnySpaceInIt";
            let lines = wrap(text, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            let squeezed = |text: &str| text.replace(' ', "");
            assert_eq!(squeezed(&lines.concat()), squeezed(text));
        }
    }

    #[test]
    fn cells_stand_beside_each_other() {
        let look = Look { width: 40, colour: false };
        let cells = [("one two three".to_owned(), 9, None), ("x".to_owned(), 3, Some(Tint::Red))];
        assert_eq!(row(&look, &cells), "one two   | x\n  three   |\n");
        let colours = Look { width: 40, colour: true };
        assert!(row(&colours, &cells).contains("\x1b[31mx\x1b[0m"));
    }
}
