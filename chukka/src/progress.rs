//! Download progress on standard error: a bar on a terminal, lines elsewhere. Short downloads are
//! not shown.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use location::fetch::FetchProgress;

use vmm::config::Size;

use crate::report;

/// What takes less time is not worth a bar.
const SHORT: Duration = Duration::from_millis(300);

/// A shorter and smaller transfer is not worth a line: a tree's lists and settings.
const SMALL: u64 = 64 << 10;

/// The longest time without a line; more often only for each tenth of the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows each transfer.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    /// No transfer is shown; warnings are.
    is_quiet: bool,
    /// The one that is under way; taken once chukka is to stop.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    transfer: Option<Transfer>,
    /// Nothing is said any more.
    silent: bool,
}

/// One transfer.
#[derive(Debug)]
struct Transfer {
    name: String,
    total: u64,
    /// Bytes that were here before it began.
    already: u64,
    /// Bytes that are here.
    here: u64,
    resumes: bool,
    began: Instant,
    bar: Option<ProgressBar>,
    /// When there was a line last, and how many bytes were here then.
    last_line: Option<(Instant, u64)>,
}

impl Progress {
    /// On standard error.
    #[must_use]
    pub fn new() -> Self {
        let (terminal, state) = (io::stderr().is_terminal(), Mutex::default());
        Self { terminal, is_quiet: false, state }
    }

    /// Shows warnings only.
    #[must_use]
    pub fn quiet() -> Self {
        Self { is_quiet: true, ..Self::new() }
    }

    /// Falls silent. Returns, in words, the transfer that was running and what remains of it.
    pub fn stop(&self) -> Option<String> {
        let mut state = self.state_soon()?;
        state.silent = true;
        let transfer = state.transfer.take()?;
        transfer.clear();
        let Transfer { name, total, here, resumes, .. } = &transfer;
        let (here, total) = (Size(*here), Size(*total));
        Some(if *resumes {
            format!("{name}: {here} of {total} are cached; the next run resumes there")
        } else {
            format!("{name}: {here} of {total} received; the next run starts over")
        })
    }

    /// The state, unless the transfer's thread keeps it: it waits then until somebody reads
    /// standard error.
    fn state_soon(&self) -> Option<MutexGuard<'_, State>> {
        for _ in 0..20 {
            match self.state.try_lock() {
                Ok(state) => return Some(state),
                Err(TryLockError::Poisoned(state)) => return Some(state.into_inner()),
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Transfer {
    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self) {
        if self.began.elapsed() < SHORT {
            return;
        }
        let (name, total) = (&self.name, self.total);
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "{wide_msg} {here:>6} of {total:6} {bar:20} {speed:>8} {eta:>4}";
            let style = ProgressStyle::with_template(template).map(|style| {
                // Sizes as messages have them: "13.5M".
                style
                    .with_key("here", |state: &ProgressState, out: &mut dyn fmt::Write| {
                        let _ = write!(out, "{}", Size(state.pos()));
                    })
                    .with_key("total", |state: &ProgressState, out: &mut dyn fmt::Write| {
                        let _ = write!(out, "{}", Size(state.len().unwrap_or_default()));
                    })
                    .with_key("speed", |state: &ProgressState, out: &mut dyn fmt::Write| {
                        let _ = write!(out, "{}/s", Size(whole(state.per_sec())));
                    })
            });
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            // The place is long, and known; the file's name is what is new.
            bar.set_message(name.rsplit('/').next().unwrap_or(name).to_owned());
            // What is here already did not come at this speed.
            bar.set_position(self.here);
            bar.reset_eta();
            bar
        });
        bar.set_position(self.here);
    }

    fn print_line(&mut self) {
        let (now, here, total) = (Instant::now(), Size(self.here), Size(self.total));
        match self.last_line {
            None if self.began.elapsed() < SHORT => return,
            None if self.already > 0 => {
                say(&format!(
                    "fetching {}: {} of {total} are cached",
                    self.name,
                    Size(self.already)
                ));
            }
            None => say(&format!("fetching {} ({total})", self.name)),
            Some((when, then)) => {
                let waited = now.duration_since(when);
                let tenth = self.here - then >= self.total / 10 && waited >= PATIENCE / 5;
                if self.here == self.total || (!tenth && waited < PATIENCE) {
                    return;
                }
                let percent = u128::from(self.here) * 100 / u128::from(self.total.max(1));
                say(&format!("  {here} of {total} ({percent} %)"));
            }
        }
        self.last_line = Some((now, self.here));
    }
}

impl FetchProgress for Progress {
    fn begin(&self, name: &str, total: u64, already: u64, resumes: bool) {
        if self.is_quiet {
            return;
        }
        // A server's names must not control the terminal.
        let name = name.escape_debug().to_string();
        let (here, began) = (already, Instant::now());
        let transfer =
            Transfer { name, total, already, here, resumes, began, bar: None, last_line: None };
        self.state().transfer = Some(transfer);
    }

    fn advance(&self, bytes: u64) {
        let mut state = self.state();
        if let Some(transfer) = &mut state.transfer {
            transfer.here += bytes;
            if self.terminal { transfer.draw() } else { transfer.print_line() }
        }
    }

    fn end(&self, whole: bool) {
        let mut state = self.state();
        let Some(transfer) = state.transfer.take() else { return };
        transfer.clear();
        let took = transfer.began.elapsed();
        if whole && !state.silent && (took >= SHORT || transfer.total > SMALL) {
            let (total, name) = (Size(transfer.total), &transfer.name);
            let size = match transfer.already {
                0 => total.to_string(),
                already => format!("{total}, {} of it cached", Size(already)),
            };
            say(&format!("fetched {name} ({size}) in {:.1} s", took.as_secs_f64()));
        }
    }

    fn note(&self, text: &str) {
        let state = self.state();
        if state.silent {
            return;
        }
        match state.transfer.as_ref().and_then(|transfer| transfer.bar.as_ref()) {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

/// Bytes per second as a whole number; 0 if there is no speed yet.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes an integer by saturating, and NaN becomes 0"
)]
fn whole(speed: f64) -> u64 {
    speed as u64
}

fn say(text: &str) {
    report::message(text, None);
}
