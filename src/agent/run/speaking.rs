//! What a model says while it speaks, made into events: whole text so far and what was added, as clients expect.
//!
//! Because each event carries the whole text, a fast model would cost its square. So events have a pace: some hundred may
//! follow each other as they come, then they are at least [`INTERVAL`] apart, more where the text is long; what comes
//! between is put together, and goes out when it is due also if the model falls silent. Runs on the run's thread.

use std::time::{Duration, Instant};

use crate::agent::events::{RunEvent, RunSink};
use crate::agent::providers::Hearer;
use crate::agent::stream::{self, Look, Visible};
use crate::base::clock::Clock;

/// Least time between two events of a model that is faster than that for long.
const INTERVAL: Duration = Duration::from_millis(20);
/// Bytes of text for each further millisecond.
const BYTES_PER_MS: usize = 4096;
/// How far events may be ahead of their pace: 250 short ones.
const AHEAD_MAX: Duration = Duration::from_secs(5);

/// When events may go out.
#[derive(Debug, Default)]
struct Pace {
    /// When the last one would have gone out at their pace.
    paced_at: Option<Instant>,
}

impl Pace {
    /// Returns how long the next event has to wait.
    fn wait(&self, now: Instant) -> Duration {
        self.paced_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now).saturating_sub(AHEAD_MAX))
    }

    /// One of so many bytes goes out.
    fn note(&mut self, now: Instant, bytes: usize) {
        let more = Duration::from_millis(u64::try_from(bytes / BYTES_PER_MS).unwrap_or(u64::MAX));
        self.paced_at = Some(self.paced_at.map_or(now, |at| at.max(now)) + INTERVAL + more);
    }
}

/// See the module. For one try of one turn.
pub(super) struct Speaking<'a> {
    sink: &'a dyn RunSink,
    clock: &'a dyn Clock,
    /// Everything that the model wrote.
    pub(super) streamed: String,
    visible: Visible,
    /// What it thought, where somebody watches.
    thoughts: Option<String>,
    waits: Waits,
    pace: Pace,
    /// When the last piece of text came, until its silence was told.
    heard_at: Option<Instant>,
    /// After how long a silence is told.
    lull: Option<Duration>,
    /// Whether anything was shown.
    pub(super) has_shown: bool,
}

/// What was heard and not told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Nothing,
    Thought,
    Text,
}

impl<'a> Speaking<'a> {
    pub(super) fn new(sink: &'a dyn RunSink, clock: &'a dyn Clock, shows_thoughts: bool) -> Self {
        Self {
            sink,
            clock,
            streamed: String::new(),
            visible: Visible::default(),
            thoughts: shows_thoughts.then(String::new),
            waits: Waits::Nothing,
            pace: Pace::default(),
            heard_at: None,
            lull: sink.lull(),
            has_shown: false,
        }
    }

    /// The turn is over: what waits is told, and when it is whole also what was held back.
    pub(super) fn finish(&mut self, is_whole: bool) {
        self.show(false);
        if is_whole {
            self.waits = Waits::Text;
            self.show(true);
        }
    }

    fn heard(&mut self, what: Waits) {
        if self.waits != Waits::Nothing && self.waits != what {
            self.show(false);
        }
        self.waits = what;
        if self.pace.wait(self.clock.now()).is_zero() {
            self.show(false);
        }
    }

    /// Tells what waits.
    fn show(&mut self, is_over: bool) {
        let (event, bytes) = match std::mem::replace(&mut self.waits, Waits::Nothing) {
            Waits::Nothing => return,
            Waits::Text => {
                let Some(Look { text, delta, media }) = self.visible.look(is_over) else {
                    return self.show_tagged();
                };
                self.has_shown = true;
                let bytes = text.len();
                (RunEvent::Assistant { text, delta, media }, bytes)
            }
            Waits::Thought => {
                let Some(text) = self.thoughts.clone().filter(|text| !text.trim().is_empty()) else { return };
                let bytes = text.len();
                (RunEvent::Thinking { text }, bytes)
            }
        };
        self.pace.note(self.clock.now(), bytes);
        self.sink.emit(event);
    }

    /// Tells what a model thinks aloud between tags, where somebody watches.
    fn show_tagged(&mut self) {
        let Some(before) = &mut self.thoughts else { return };
        let text = stream::thoughts(&self.streamed);
        if text.len() > before.len() {
            before.clone_from(&text);
            self.pace.note(self.clock.now(), text.len());
            self.sink.emit(RunEvent::Thinking { text });
        }
    }

    /// Returns how long the model has to be silent still for that to be told.
    fn until_lull(&self, now: Instant) -> Option<Duration> {
        Some((self.heard_at? + self.lull?).saturating_duration_since(now))
    }
}

impl Hearer for Speaking<'_> {
    fn text(&mut self, piece: &str) {
        self.streamed.push_str(piece);
        self.visible.add(piece);
        self.heard_at = Some(self.clock.now());
        self.heard(Waits::Text);
    }

    fn thought(&mut self, piece: &str) {
        let Some(thoughts) = &mut self.thoughts else { return };
        thoughts.push_str(piece);
        self.heard(Waits::Thought);
    }

    fn patience(&self) -> Option<Duration> {
        let now = self.clock.now();
        let pace = (self.waits != Waits::Nothing).then(|| self.pace.wait(now));
        pace.into_iter().chain(self.until_lull(now)).min()
    }

    fn pause(&mut self) {
        let now = self.clock.now();
        let is_lull = self.until_lull(now).is_some_and(|left| left.is_zero());
        if is_lull || self.pace.wait(now).is_zero() {
            self.show(false);
        }
        if is_lull {
            self.heard_at = None;
            self.sink.emit(RunEvent::Lull);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use std::cell::RefCell;

    #[derive(Default)]
    struct Heard(RefCell<Vec<RunEvent>>);

    impl RunSink for Heard {
        fn emit(&self, event: RunEvent) {
            self.0.borrow_mut().push(event);
        }
    }

    #[test]
    fn a_fast_model_is_told_at_a_pace_and_nothing_is_lost() {
        let (heard, clock) = (Heard::default(), ManualClock::new(0));
        let mut speaking = Speaking::new(&heard, &clock, false);
        let mut said = String::new();
        for word in 0..40_000 {
            let piece = format!("w{word} ");
            said.push_str(&piece);
            speaking.text(&piece);
            if word % 10 == 0 {
                clock.advance(Duration::from_millis(1));
            }
        }
        assert!(speaking.patience().is_some());
        speaking.finish(true);
        assert_eq!(speaking.patience(), None);
        let events = heard.0.into_inner();
        // Four seconds of words: the first ones as they came, then one in twenty milliseconds at most.
        assert!((200..600).contains(&events.len()), "{}", events.len());
        let mut shown = String::new();
        for event in &events {
            let RunEvent::Assistant { text, delta, .. } = event else { panic!("{event:?}") };
            shown.push_str(delta);
            assert_eq!(&shown, text);
        }
        assert_eq!(shown, said.trim_end());
    }

    #[test]
    fn thoughts_between_tags_are_told_before_the_text() {
        let (heard, clock) = (Heard::default(), ManualClock::new(0));
        let mut speaking = Speaking::new(&heard, &clock, true);
        for piece in ["<think>", "hm", " yes</think>", "Done."] {
            speaking.text(piece);
        }
        speaking.finish(true);
        let told = heard.0.into_inner().into_iter().map(|event| match event {
            RunEvent::Thinking { text } => format!("thinks {text}"),
            RunEvent::Assistant { delta, .. } => format!("says {delta}"),
            event => panic!("{event:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), ["thinks hm", "thinks hm yes", "says Done."]);
    }

    #[test]
    fn a_slow_model_is_told_word_by_word_and_its_thoughts_to_whoever_watches() {
        let (heard, clock) = (Heard::default(), ManualClock::new(0));
        let mut speaking = Speaking::new(&heard, &clock, true);
        for word in 0..1000 {
            speaking.thought("hm ");
            speaking.text(&format!("w{word}"));
            clock.advance(Duration::from_millis(45));
        }
        assert_eq!(heard.0.into_inner().len(), 2000);
    }
}
