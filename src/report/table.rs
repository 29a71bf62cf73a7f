//! Tables of plain text, for a terminal and for whoever asks for text. What is shown comes from traffic too: what would steer a
//! terminal is not passed on.

use crate::units::turns_direction;

/// A cell longer than this is cut, in letters.
const WIDEST: usize = 100;

/// Without control letters and those that turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    let shown = |letter: char| match letter {
        letter if turns_direction(letter) => '\u{fffd}',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    text.chars().map(shown).collect()
}

/// A line a row, in columns below their heads. A row that is shorter than the heads ends early.
pub(crate) fn table(heads: &[String], rows: &[Vec<String>]) -> String {
    table_shown(heads, rows, |_, cell| cell.to_owned())
}

/// The same; `shown`: how a cell of that column is written. It may add what takes no room, such as a colour.
pub(crate) fn table_shown(
    heads: &[String],
    rows: &[Vec<String>],
    shown: impl Fn(usize, &str) -> String,
) -> String {
    let cut = |cell: &String| match cell.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell.clone(),
    };
    let heads = heads.iter().map(|head| head.to_uppercase()).collect();
    let rows = rows.iter().map(|row| row.iter().map(cut).collect());
    let all: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| all.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or_default()).collect();
    let line = |(nth, row): (usize, &Vec<String>)| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            // Heads are as they are.
            let cell = if nth == 0 { cell.clone() } else { shown(column, cell) };
            cell + &padding
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(row: &[&str]) -> Vec<String> {
        row.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn columns_stand_below_their_heads() {
        let rows = [texts(&["stripe", "open"]), texts(&["b", "closed"])];
        let told = table(&texts(&["name", "state"]), &rows);
        assert_eq!(told, "NAME    STATE\nstripe  open\nb       closed");
        assert_eq!(table(&texts(&["name"]), &[]), "NAME");
    }

    #[test]
    fn what_takes_no_room_moves_no_column() {
        let rows = [texts(&["open", "a"]), texts(&["closed", "b"])];
        let told = table_shown(&texts(&["state", "of"]), &rows, |column, cell| match column {
            0 => format!("<{cell}>"),
            _ => cell.to_owned(),
        });
        assert_eq!(told, "STATE   OF\n<open>    a\n<closed>  b");
    }

    #[test]
    fn nothing_in_a_title_steers_the_terminal() {
        assert_eq!(plain("\u{1b}[31mred\u{7}\u{202e}x"), " [31mred \u{fffd}x");
        let long = table(&texts(&["what"]), &[vec!["x".repeat(500)]]);
        assert!(long.lines().all(|line| line.chars().count() <= WIDEST + 1), "{long}");
    }
}
