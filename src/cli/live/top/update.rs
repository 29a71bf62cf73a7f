//! What a key, a look or the end of an order changes. It does nothing by itself: what is to be done is handed back.

use std::time::Instant;

use super::dialog::{BreakerAct, Dialog, DialogStep, GivenOrder};
use super::look::TopLook;
use super::model::{Listed, OrderEnd, TopMode, TopModel};

/// A key, whichever terminal it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PressedKey {
    Letter(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    RubOut,
    /// Leave, whatever is being done.
    Interrupt,
}

/// What has happened.
#[derive(Clone, Debug)]
pub(super) enum Happened {
    Pressed(PressedKey),
    /// A text that was pasted: never taken for keys.
    Pasted(String),
    Looked(Result<Box<TopLook>, String>),
    Ordered(Result<String, String>),
    /// Some time has passed, or the terminal has another size.
    Passed,
    /// The process is asked to end.
    Asked,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TopEffect {
    Nothing,
    Leave,
    Give(GivenOrder),
}

/// Rows of a page.
const PAGE: usize = 10;

pub(super) fn update(model: &mut TopModel, happened: Happened, now: Instant) -> TopEffect {
    model.now = now;
    match happened {
        Happened::Pressed(PressedKey::Interrupt) | Happened::Asked => return TopEffect::Leave,
        Happened::Pressed(key) => return pressed(model, key),
        Happened::Pasted(text) => pasted(model, &text),
        Happened::Looked(Ok(look)) => model.looked(*look, now),
        Happened::Looked(Err(why)) => model.missed(why, now),
        Happened::Ordered(Ok(done)) => model.said = Some(OrderEnd::Done(done)),
        Happened::Ordered(Err(why)) => model.said = Some(OrderEnd::Refused(why)),
        Happened::Passed => {}
    }
    TopEffect::Nothing
}

fn pasted(model: &mut TopModel, text: &str) {
    let letters = text.chars().filter(|letter| !letter.is_control());
    match &mut model.mode {
        TopMode::Filter => model.filter.extend(letters),
        // A text confirms nothing.
        TopMode::Dialog(dialog) if dialog.asked != super::dialog::Question::Meant => {
            letters.for_each(|letter| drop(dialog.letter(letter)));
        }
        TopMode::Dialog(_) | TopMode::List | TopMode::Detail(_) | TopMode::Help => {}
    }
}

fn pressed(model: &mut TopModel, key: PressedKey) -> TopEffect {
    match &mut model.mode {
        TopMode::List => return in_list(model, key),
        TopMode::Filter => in_filter(model, key),
        TopMode::Detail(scrolled) => {
            let scrolled = match key {
                PressedKey::Up | PressedKey::Letter('k') => scrolled.saturating_sub(1),
                PressedKey::Down | PressedKey::Letter('j') => *scrolled + 1,
                PressedKey::PageUp => scrolled.saturating_sub(PAGE),
                PressedKey::PageDown => *scrolled + PAGE,
                PressedKey::Home => 0,
                PressedKey::Letter('q') => return TopEffect::Leave,
                PressedKey::Escape | PressedKey::Enter | PressedKey::RubOut => {
                    model.mode = TopMode::List;
                    return TopEffect::Nothing;
                }
                PressedKey::Letter(letter) => return act(model, letter),
                PressedKey::End | PressedKey::Tab | PressedKey::Interrupt => return TopEffect::Nothing,
            };
            model.mode = TopMode::Detail(scrolled);
        }
        TopMode::Dialog(_) => return in_dialog(model, key),
        TopMode::Help => model.mode = TopMode::List,
    }
    TopEffect::Nothing
}

fn in_filter(model: &mut TopModel, key: PressedKey) {
    match key {
        PressedKey::Letter(letter) => model.filter.push(letter),
        PressedKey::RubOut => _ = model.filter.pop(),
        PressedKey::Enter => model.mode = TopMode::List,
        PressedKey::Escape => {
            model.filter.clear();
            model.mode = TopMode::List;
        }
        PressedKey::Up
        | PressedKey::Down
        | PressedKey::PageUp
        | PressedKey::PageDown
        | PressedKey::Home
        | PressedKey::End
        | PressedKey::Tab
        | PressedKey::Interrupt => {}
    }
}

fn in_dialog(model: &mut TopModel, key: PressedKey) -> TopEffect {
    let TopMode::Dialog(dialog) = &mut model.mode else { return TopEffect::Nothing };
    match key {
        PressedKey::Letter(letter) => {
            if let DialogStep::Given(order) = dialog.letter(letter) {
                model.mode = TopMode::List;
                return TopEffect::Give(order);
            }
        }
        PressedKey::RubOut => dialog.rub_out(),
        PressedKey::Enter => dialog.enter(),
        PressedKey::Escape => model.mode = TopMode::List,
        PressedKey::Up
        | PressedKey::Down
        | PressedKey::PageUp
        | PressedKey::PageDown
        | PressedKey::Home
        | PressedKey::End
        | PressedKey::Tab
        | PressedKey::Interrupt => {}
    }
    TopEffect::Nothing
}

fn in_list(model: &mut TopModel, key: PressedKey) -> TopEffect {
    match key {
        PressedKey::Up | PressedKey::Letter('k') => go(model, |at, _| at.saturating_sub(1)),
        PressedKey::Down | PressedKey::Letter('j') => go(model, |at, _| at + 1),
        PressedKey::PageUp => go(model, |at, _| at.saturating_sub(PAGE)),
        PressedKey::PageDown => go(model, |at, _| at + PAGE),
        PressedKey::Home | PressedKey::Letter('g') => go(model, |_, _| 0),
        PressedKey::End | PressedKey::Letter('G') => go(model, |_, last| last),
        PressedKey::Enter => {
            if let Some(row) = model.row() {
                model.chosen = Some(row.key);
                model.mode = TopMode::Detail(0);
            }
        }
        PressedKey::Escape => {
            model.filter.clear();
            model.said = None;
        }
        PressedKey::Tab => {
            model.chosen = None;
            model.listed = match model.listed {
                Listed::Routes => Listed::Upstreams,
                Listed::Upstreams => Listed::Routes,
            };
        }
        PressedKey::Letter('q') => return TopEffect::Leave,
        PressedKey::Letter('s') => model.sort = model.sort.next(),
        PressedKey::Letter('S') => model.reversed = !model.reversed,
        PressedKey::Letter('w') => model.span = model.span.next(),
        PressedKey::Letter('/') => model.mode = TopMode::Filter,
        PressedKey::Letter('?') => model.mode = TopMode::Help,
        PressedKey::Letter(letter) => return act(model, letter),
        PressedKey::RubOut | PressedKey::Interrupt => {}
    }
    TopEffect::Nothing
}

/// Opens the dialog of an order about the breaker of the chosen row.
fn act(model: &mut TopModel, letter: char) -> TopEffect {
    let act = match letter {
        'h' => BreakerAct::Hold,
        'c' => BreakerAct::Close,
        'r' => BreakerAct::Release,
        _ => return TopEffect::Nothing,
    };
    let Some(row) = model.row() else { return TopEffect::Nothing };
    match row.breaker_name {
        // What could lead elsewhere in a path is no name.
        Some(breaker) if super::super::asking::named(&breaker).is_ok() => {
            model.said = None;
            model.mode = TopMode::Dialog(Dialog::new(act, breaker));
        }
        Some(_) | None => {
            model.said = Some(OrderEnd::Refused(format!("{} has no breaker that takes orders", row.name)));
        }
    }
    TopEffect::Nothing
}

fn go(model: &mut TopModel, to: impl FnOnce(usize, usize) -> usize) {
    let rows = model.rows();
    let Some(last) = rows.len().checked_sub(1) else { return };
    let at = to(model.place(&rows), last).min(last);
    model.chosen = rows.get(at).map(|row| row.key.clone());
}
