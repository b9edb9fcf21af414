//! How a session's messages wait: modes and limits, by whom they are set, and the words of `/queue`.

use serde_json::Value;

use crate::agent::sessions::Entry;
use crate::base::text::parse_duration_ms;
use crate::config::types::Config;

/// Where a session's entry keeps them.
const FIELDS: [&str; 4] = ["queueMode", "queueDebounceMs", "queueCap", "queueDrop"];
/// Quiet time before what waits is answered.
const DEBOUNCE_MS_DEFAULT: u64 = 1000;
/// Messages that wait.
const CAP_DEFAULT: usize = 20;
/// Most that a configuration may let wait.
const CAP_MAX: usize = 1000;

/// What a message does to a run that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is told to the run, behind the tool call that is being made.
    Steer,
    /// It is answered afterwards.
    Followup,
    /// It is answered afterwards, together with others.
    #[default]
    Collect,
    /// It is told to the run and answered afterwards.
    SteerBacklog,
    /// It takes the run's place.
    Interrupt,
}

impl Mode {
    /// Returns the mode that a word means.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_lowercase().as_str() {
            "steer" | "steering" | "queue" | "queued" => Self::Steer,
            "followup" | "follow-ups" | "followups" => Self::Followup,
            "collect" | "coalesce" => Self::Collect,
            "steer-backlog" | "steer+backlog" | "steer_backlog" => Self::SteerBacklog,
            "interrupt" | "interrupts" | "abort" => Self::Interrupt,
            _ => return None,
        })
    }

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steer => "steer",
            Self::Followup => "followup",
            Self::Collect => "collect",
            Self::SteerBacklog => "steer-backlog",
            Self::Interrupt => "interrupt",
        }
    }
}

/// What happens when one more would be too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DropPolicy {
    /// The oldest goes.
    Old,
    /// The newest is not taken.
    New,
    /// The oldest goes, and a line of it stays.
    #[default]
    Summarize,
}

impl DropPolicy {
    /// Returns the policy that a word means.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_lowercase().as_str() {
            "old" | "oldest" => Self::Old,
            "new" | "newest" => Self::New,
            "summarize" | "summary" => Self::Summarize,
            _ => return None,
        })
    }

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Summarize => "summarize",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What a message does to a run.
    pub mode: Mode,
    /// Quiet time before what waits is answered.
    pub debounce_ms: u64,
    /// Messages that wait, at least one.
    pub cap: usize,
    /// What happens beyond that.
    pub drop: DropPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: Mode::default(), debounce_ms: DEBOUNCE_MS_DEFAULT, cap: CAP_DEFAULT, drop: DropPolicy::default() }
    }
}

impl Settings {
    /// Returns those of a session whose messages come by a channel: its own, else the channel's, else the general ones.
    pub fn of(config: &Config, channel: &str, entry: Option<&Entry>) -> Self {
        let queue = &config.tree["messages"]["queue"];
        let channel = channel.trim().to_lowercase();
        let own = |field: &str| entry.and_then(|entry| entry.other.get(field)).unwrap_or(&Value::Null);
        let mode = |value: &Value| value.as_str().and_then(Mode::parse);
        let policy = |value: &Value| value.as_str().and_then(DropPolicy::parse);
        let number = |value: &Value| value.as_f64().map(|number| number.max(0.0) as u64);
        let default = Self::default();
        let cap = number(own("queueCap")).or_else(|| number(&queue["cap"])).filter(|cap| *cap > 0);
        Self {
            mode: mode(own("queueMode"))
                .or_else(|| mode(&queue["byChannel"][channel.as_str()]))
                .or_else(|| mode(&queue["mode"]))
                .unwrap_or(default.mode),
            debounce_ms: number(own("queueDebounceMs"))
                .or_else(|| number(&queue["debounceMsByChannel"][channel.as_str()]))
                .or_else(|| number(&queue["debounceMs"]))
                .unwrap_or(default.debounce_ms),
            cap: cap.map_or(default.cap, |cap| usize::try_from(cap).unwrap_or(CAP_MAX).min(CAP_MAX)),
            drop: policy(own("queueDrop")).or_else(|| policy(&queue["drop"])).unwrap_or(default.drop),
        }
    }
}

/// What `/queue` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Back to what the configuration says.
    pub is_reset: bool,
    /// A mode.
    pub mode: Option<Mode>,
    /// A quiet time.
    pub debounce_ms: Option<u64>,
    /// A cap.
    pub cap: Option<usize>,
    /// A policy.
    pub drop: Option<DropPolicy>,
    /// What could not be understood: kind and word.
    pub wrong: Option<(&'static str, String)>,
}

impl Options {
    /// Reads the words behind `/queue`.
    pub fn parse(args: &str) -> Self {
        let mut options = Self::default();
        for word in args.split_whitespace() {
            let lower = word.to_lowercase();
            let split = lower.split_once([':', '=']);
            match split {
                _ if matches!(lower.as_str(), "default" | "reset" | "clear") => {
                    options.is_reset = true;
                    break;
                }
                Some(("debounce", value)) => match parse_duration_ms(value, 1.0) {
                    Some(ms) => options.debounce_ms = Some(ms.round() as u64),
                    None => options.is_wrong("debounce", value),
                },
                Some(("cap", value)) => match value.parse().ok().filter(|cap| (1..=CAP_MAX).contains(cap)) {
                    Some(cap) => options.cap = Some(cap),
                    None => options.is_wrong("cap", value),
                },
                Some(("drop", value)) => match DropPolicy::parse(value) {
                    Some(drop) => options.drop = Some(drop),
                    None => options.is_wrong("drop policy", value),
                },
                _ => match Mode::parse(word) {
                    Some(mode) => options.mode = Some(mode),
                    None => options.is_wrong("mode", word),
                },
            }
        }
        options
    }

    /// Returns whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes it into a session's entry.
    pub fn apply(&self, entry: &mut Entry) {
        if self.is_reset {
            FIELDS.iter().for_each(|field| drop(entry.other.shift_remove(*field)));
            return;
        }
        let values: [Option<Value>; 4] = [
            self.mode.map(|mode| mode.as_str().into()),
            self.debounce_ms.map(Value::from),
            self.cap.map(Value::from),
            self.drop.map(|drop| drop.as_str().into()),
        ];
        for (field, value) in FIELDS.iter().zip(values) {
            if let Some(value) = value {
                entry.other.insert((*field).to_owned(), value);
            }
        }
    }

    fn is_wrong(&mut self, kind: &'static str, word: &str) {
        self.wrong.get_or_insert((kind, word.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_nearest_setting_wins() {
        let config = |queue: Value| Config { tree: json!({"messages": {"queue": queue}}), ..Config::default() };
        let none = Settings::of(&config(Value::Null), "telegram", None);
        assert_eq!(none, Settings::default());
        let queue = json!({
            "mode": "followup", "byChannel": {"telegram": "queue"}, "debounceMs": 5, "debounceMsByChannel": {"telegram": 7},
            "cap": 3, "drop": "old",
        });
        let general = Settings::of(&config(queue.clone()), "whatsapp", None);
        assert_eq!((general.mode, general.debounce_ms, general.cap), (Mode::Followup, 5, 3));
        let channel = Settings::of(&config(queue.clone()), "Telegram", None);
        assert_eq!((channel.mode, channel.debounce_ms, channel.drop), (Mode::Steer, 7, DropPolicy::Old));
        let mut entry = Entry::default();
        Options::parse("interrupt debounce:2s cap:9 drop:new").apply(&mut entry);
        let own = Settings::of(&config(queue.clone()), "telegram", Some(&entry));
        assert_eq!(own, Settings { mode: Mode::Interrupt, debounce_ms: 2000, cap: 9, drop: DropPolicy::New });
        Options::parse("reset").apply(&mut entry);
        assert_eq!(Settings::of(&config(queue), "telegram", Some(&entry)), channel);
    }

    #[test]
    fn words_are_understood_or_named() {
        for (args, wrong) in [
            ("", None),
            ("steer+backlog", None),
            ("debounce=1.5s cap:3", None),
            ("later", Some(("mode", "later"))),
            ("cap:0", Some(("cap", "0"))),
            ("debounce:soon", Some(("debounce", "soon"))),
            ("drop:all", Some(("drop policy", "all"))),
        ] {
            let found = Options::parse(args).wrong;
            assert_eq!(found.as_ref().map(|(kind, word)| (*kind, word.as_str())), wrong, "{args}");
        }
        assert_eq!(Options::parse("debounce=1.5s").debounce_ms, Some(1500));
        assert!(Options::parse(" ").is_empty());
    }
}
