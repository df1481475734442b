//! What every refusal has to be like.

use std::time::Duration;

use super::process::Ended;
use super::start::Start;

/// How long chukka may take to say that it cannot run a guest.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How often it may try: on a busy machine others may take the time.
const TRIES: u32 = 20;
/// chukka could not run the guest.
const COULD_NOT_RUN: i32 = 125;

/// One that was as it should be: status 125, nothing on standard output, one line of message and
/// one `hint:` on standard error, within a tenth of a second. What the lines say is still to be
/// checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    message: String,
    hint: String,
}

impl Refusal {
    pub(super) fn of(start: &Start) -> Self {
        let mut times = Vec::new();
        loop {
            let ended = start.run();
            let refusal = Self::read(&ended);
            times.push(ended.elapsed);
            if ended.elapsed < AT_ONCE {
                return refusal;
            }
            assert!(times.len() < TRIES as usize, "{:?} took {times:?}", start.words);
        }
    }

    #[expect(clippy::panic, reason = "this is how a test fails")]
    fn read(ended: &Ended) -> Self {
        assert_eq!(ended.code(), Some(COULD_NOT_RUN), "{ended:?}");
        assert_eq!(ended.text(), "", "standard output is the guest's");
        let lines: Vec<&str> = ended.stderr.split('\n').collect();
        let [message, hint, ""] = lines[..] else {
            panic!("expected a message and a hint: {}", ended.stderr);
        };
        let strip = |line: &str, prefix: &str| line.strip_prefix(prefix).map(str::to_owned);
        match (strip(message, "chukka: "), strip(hint, "hint: ")) {
            (Some(message), Some(hint)) if !hint.is_empty() => Self { message, hint },
            _ => panic!("expected \"chukka: …\" and \"hint: …\": {}", ended.stderr),
        }
    }

    /// The message says `text`, among other things.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.message.contains(text), "{text:?} is not in {:?}", self.message);
        self
    }

    /// The hint says `text`, among other things.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn hints(self, text: &str) -> Self {
        assert!(self.hint.contains(text), "{text:?} is not in {:?}", self.hint);
        self
    }
}
