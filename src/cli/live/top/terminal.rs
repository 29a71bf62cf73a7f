//! The terminal: taken whole, painted, and given back as it was, whatever ends the program.

use std::io::{self, Stdout, Write, stdout};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll,
    read,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::style::{Color, Modifier, Style};

use super::super::tint::Colour;
use super::model::TopModel;
use super::painted::TextTone;
use super::update::{Happened, PressedKey};
use super::view::screen;

/// The terminal, while it is ours. Dropped, it is as it was.
pub(super) struct TakenTerminal {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    colour: Colour,
}

impl TakenTerminal {
    /// Takes it. A panic, whosever it is, gives it back before it is told.
    pub(super) fn take(colour: Colour) -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back(&mut stdout());
            before(panic);
        }));
        enable_raw_mode()?;
        // From here on it is given back.
        let taken = Self { terminal: Terminal::new(CrosstermBackend::new(stdout()))?, colour };
        execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All), EnableBracketedPaste)?;
        Ok(taken)
    }

    pub(super) fn draw(&mut self, model: &TopModel) -> io::Result<()> {
        paint(&mut self.terminal, model, self.colour)
    }
}

impl Drop for TakenTerminal {
    fn drop(&mut self) {
        give_back(&mut stdout());
    }
}

/// Once more does no harm.
fn give_back(out: &mut impl Write) {
    // It may be gone: then there is nothing to be given back.
    let _ = execute!(out, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// What is on the screen, on this terminal.
fn paint<B: Backend>(terminal: &mut Terminal<B>, model: &TopModel, colour: Colour) -> Result<(), B::Error> {
    let drawn = terminal.draw(|frame| {
        let area = frame.area();
        let told = screen(model, area.width.into(), area.height.into());
        let buffer = frame.buffer_mut();
        for (y, line) in (area.top()..area.bottom()).zip(&told.lines) {
            let mut x = area.left();
            for (text, tone) in line {
                let left = usize::from(area.right().saturating_sub(x));
                (x, _) = buffer.set_stringn(x, y, text, left, style(*tone, colour));
            }
        }
        if let Some((x, y)) = told.cursor {
            let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
            frame.set_cursor_position((place(x), place(y)));
        }
    });
    drawn.map(drop)
}

fn style(tone: TextTone, colour: Colour) -> Style {
    let plain = Style::new();
    let tinted = |tint: Color| if colour.is_shown() { plain.fg(tint) } else { plain };
    match tone {
        TextTone::Plain => plain,
        TextTone::Faint => plain.add_modifier(Modifier::DIM),
        TextTone::Strong => plain.add_modifier(Modifier::BOLD),
        TextTone::Good => tinted(Color::Green),
        TextTone::Doubtful => tinted(Color::Yellow),
        TextTone::Bad => tinted(Color::Red).add_modifier(Modifier::BOLD),
        TextTone::Chosen => plain.add_modifier(Modifier::REVERSED),
    }
}

/// What has been pressed, waited for so long; `None`: nothing. A new size is something that passed.
pub(super) fn pressed(wait: Duration) -> io::Result<Option<Happened>> {
    if !poll(wait)? {
        return Ok(None);
    }
    Ok(match read()? {
        Event::Key(event) if event.kind != KeyEventKind::Release => key(event).map(Happened::Pressed),
        Event::Paste(text) => Some(Happened::Pasted(text)),
        Event::Resize(_, _) => Some(Happened::Passed),
        Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    })
}

fn key(event: KeyEvent) -> Option<PressedKey> {
    let held = event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    Some(match event.code {
        // In raw mode they are keys like others.
        KeyCode::Char('c' | 'd') if event.modifiers.contains(KeyModifiers::CONTROL) => PressedKey::Interrupt,
        KeyCode::Char(letter) if !held => PressedKey::Letter(letter),
        KeyCode::Up => PressedKey::Up,
        KeyCode::Down => PressedKey::Down,
        KeyCode::PageUp => PressedKey::PageUp,
        KeyCode::PageDown => PressedKey::PageDown,
        KeyCode::Home => PressedKey::Home,
        KeyCode::End => PressedKey::End,
        KeyCode::Enter => PressedKey::Enter,
        KeyCode::Esc => PressedKey::Escape,
        KeyCode::Tab | KeyCode::BackTab => PressedKey::Tab,
        KeyCode::Backspace | KeyCode::Delete => PressedKey::RubOut,
        KeyCode::Char(_)
        | KeyCode::Left
        | KeyCode::Right
        | KeyCode::Insert
        | KeyCode::F(_)
        | KeyCode::Null
        | KeyCode::CapsLock
        | KeyCode::ScrollLock
        | KeyCode::NumLock
        | KeyCode::PrintScreen
        | KeyCode::Pause
        | KeyCode::Menu
        | KeyCode::KeypadBegin
        | KeyCode::Media(_)
        | KeyCode::Modifier(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::super::tests::looked_at;
    use super::super::update::update;
    use super::*;
    use crate::runtime::clock;

    fn painted(model: &TopModel, width: u16, height: u16, colour: Colour) -> (Vec<String>, bool) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        paint(&mut terminal, model, colour).expect("paints");
        let buffer = terminal.backend().buffer();
        let lines = (0..height).map(|y| {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        });
        (lines.collect(), buffer.content().iter().any(|cell| cell.fg != Color::Reset))
    }

    #[test]
    fn at_80_by_24_all_columns_are_there() {
        let mut model = looked_at(clock::instant());
        let (lines, coloured) = painted(&model, 80, 24, Colour::always());
        let wanted = [
            "strop top till-7  All is well: no incident is open.",
            "seen 0.2 s ago; window 10s, failed over 5m; by rate",
            "ROUTE               REQ/S  FAILED  P50 MS  P95 MS  P99 MS IN FL     BREAKER",
            "default > backend     123   0.00%    4.25    80.0     413     3      closed",
            "stripe               50.0   0.10%    4.25    80.0     413     3        open",
            "orders > backend     4.00  12.00%    4.25    80.0    413*     3      closed",
        ];
        assert_eq!(lines[..6], wanted, "{lines:#?}");
        let keys = "q leave  ? help  Enter details  Tab upstreams  / filter  s sort  w window";
        assert_eq!(lines[23], keys);
        assert!(coloured);
        update(&mut model, Happened::Pressed(PressedKey::Tab), clock::instant());
        let (lines, coloured) = painted(&model, 80, 24, Colour::never());
        assert_eq!(lines[2], "UPSTREAM           STATUS   ATT/S  FAILED  P99 MS IN FL  ENDP     BREAKER");
        assert!(lines.iter().any(|line| line.starts_with("stripe.charges          –")), "{lines:#?}");
        assert!(!coloured, "without colour nothing is lost but the colour");
    }

    #[test]
    fn at_40_by_12_what_matters_most_is_left() {
        let (lines, _) = painted(&looked_at(clock::instant()), 40, 12, Colour::never());
        assert_eq!(lines[2], "ROUTE          REQ/S  P99 MS     BREAKER", "{lines:#?}");
        assert_eq!(lines[4], "stripe          50.0     413        open");
        assert_eq!(lines[11], "q leave  ? help  Enter details");
    }

    #[test]
    fn what_is_taken_is_given_back() {
        let mut out = Vec::new();
        give_back(&mut out);
        let out = String::from_utf8(out).expect("text");
        for sequence in ["\u{1b}[?2004l", "\u{1b}[?1049l", "\u{1b}[?25h"] {
            assert!(out.contains(sequence), "{sequence:?} is missing: {out:?}");
        }
    }

    #[test]
    fn keys_that_are_held_with_others_are_no_letters() {
        let with = |letter, modifiers| key(KeyEvent::new(KeyCode::Char(letter), modifiers));
        assert_eq!(with('c', KeyModifiers::CONTROL), Some(PressedKey::Interrupt));
        assert_eq!(with('c', KeyModifiers::NONE), Some(PressedKey::Letter('c')));
        assert_eq!(with('h', KeyModifiers::ALT), None);
        assert_eq!(with('G', KeyModifiers::SHIFT), Some(PressedKey::Letter('G')));
    }
}
