//! How far a long command is, on standard error: one line that is drawn over on a terminal, else a line every few
//! seconds.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::Console;

/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows the steps of a command, one after the other.
pub(crate) struct Progress {
    console: Console,
    /// `None` without a terminal.
    bar: Option<ProgressBar>,
    step: Mutex<Step>,
}

struct Step {
    name: String,
    began: Instant,
    told: Instant,
}

impl Progress {
    /// Nothing is shown before the first step.
    pub(crate) fn new(console: Console) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        let step = Step {
            name: String::new(),
            began: now,
            told: now,
        };
        Progress {
            console,
            bar,
            step: Mutex::new(step),
        }
    }

    /// `done` things of the step `name` are done. Another name is the next step.
    pub(crate) fn at(&self, name: &str, done: u64, total: Option<u64>) {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if step.name != name {
            *step = Step {
                name: name.to_owned(),
                began: now,
                told: now,
            };
        }
        let line = || line(name, done, total, now.duration_since(step.began));
        match &self.bar {
            Some(bar) => bar.set_message(line()),
            None if now.duration_since(step.told) >= PAUSE => {
                self.console.line(&line());
                step.told = now;
            }
            None => {}
        }
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(name: &str, done: u64, total: Option<u64>, took: Duration) -> String {
    let percent = total.map_or_else(String::new, |total| {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        format!(" of {total} ({percent} %)")
    });
    let rate = match took.as_secs_f64() {
        seconds if seconds >= 1.0 => format!(", {:.0}/s", done as f64 / seconds),
        _ => String::new(),
    };
    format!("  {name}: {done}{percent}{rate}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let seconds = Duration::from_secs;
        assert_eq!(
            line("leaves", 5, Some(20), seconds(0)),
            "  leaves: 5 of 20 (25 %)"
        );
        assert_eq!(line("rows", 3_000, None, seconds(3)), "  rows: 3000, 1000/s");
        assert_eq!(line("leaves", 0, Some(0), seconds(0)), "  leaves: 0 of 0 (100 %)");
    }
}
