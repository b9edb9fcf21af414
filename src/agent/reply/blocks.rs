//! Long answers in parts while they are being written (agent.md §9.4).
//!
//! Where an answer is cut depends on its text, and on where its model fell silent for long. A run that is carried on after
//! a crash begins behind what was promised before it, and so says nothing twice. Pure. Not here: sending, and telling time.

use std::time::Duration;

use serde_json::Value;

use crate::config::types::Config;

/// How long a model is silent before what is long enough goes out, in milliseconds.
const IDLE_MS: usize = 1000;

/// Where an answer is best cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preference {
    Paragraph,
    Newline,
    Sentence,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    chars_min: usize,
    chars_max: usize,
    preference: Preference,
    /// Parts shorter than this wait for the next one.
    coalesce_min: usize,
    /// How long a model is silent before what is long enough goes out; `None` when it waits for more.
    pub idle: Option<Duration>,
    /// Whether parts go out only when a message is complete.
    pub waits_for_end: bool,
}

impl Settings {
    /// Returns those of a channel's account; `None` when answers go out whole.
    pub fn of(config: &Config, channel: &str, account: &str) -> Option<Self> {
        let defaults = &config.tree["agents"]["defaults"];
        let section = config.channel(channel);
        let account = config.channel_account(channel, account);
        let set = |name: &str| if account[name].is_null() { &section[name] } else { &account[name] };
        let is_on = set("blockStreaming").as_bool().unwrap_or(defaults["blockStreamingDefault"] == "on");
        if !is_on {
            return None;
        }
        let number =
            |value: &Value, default: usize| value.as_u64().map_or(default, |it| usize::try_from(it).unwrap_or(default));
        let chunk = &defaults["blockStreamingChunk"];
        let limit = number(set("textChunkLimit"), if channel == "discord" { 2000 } else { 4000 }).max(1);
        let chars_max = number(&chunk["maxChars"], 1200).clamp(1, limit);
        let coalesce = set("blockStreamingCoalesce");
        let coalesce = if coalesce.is_null() { &defaults["blockStreamingCoalesce"] } else { coalesce };
        let built_in = if matches!(channel, "discord" | "slack" | "signal") { 1500 } else { 0 };
        Some(Self {
            chars_min: number(&chunk["minChars"], 800).clamp(1, chars_max),
            chars_max,
            preference: match chunk["breakPreference"].as_str() {
                Some("newline") => Preference::Newline,
                Some("sentence") => Preference::Sentence,
                _ => Preference::Paragraph,
            },
            coalesce_min: number(&coalesce["minChars"], built_in).min(limit),
            idle: Some(Duration::from_millis(number(&coalesce["idleMs"], IDLE_MS) as u64))
                .filter(|idle| !idle.is_zero()),
            waits_for_end: defaults["blockStreamingBreak"] == "message_end",
        })
    }
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it begins in the message, in bytes.
    pub at: usize,
    /// Where it ends.
    pub end: usize,
    /// Its text.
    pub text: String,
}

/// Cuts one message while it grows.
#[derive(Debug, Clone, Default)]
pub struct Cutter {
    /// Bytes that were cut off.
    taken: usize,
    /// The line that opens the code in which the rest begins.
    fence: Option<String>,
    pending: Option<Block>,
}

impl Cutter {
    /// Cuts a message whose beginning is out already, up to this byte.
    pub fn behind(end: usize) -> Self {
        Self { taken: end, ..Self::default() }
    }

    /// Takes the whole message so far; returns the parts that are complete.
    pub fn grow(&mut self, text: &str, settings: &Settings) -> Vec<Block> {
        self.cut(text, settings, false)
    }

    /// Takes the whole message; returns the parts that are left.
    pub fn finish(&mut self, text: &str, settings: &Settings) -> Vec<Block> {
        self.cut(text, settings, true)
    }

    /// Takes the whole message so far, whose model has fallen silent; returns what is long enough and ends well.
    pub fn lull(&mut self, text: &str, settings: &Settings) -> Vec<Block> {
        let mut out = Vec::new();
        if let Some(rest) = self.rest(text)
            && rest.chars().count() >= settings.chars_min
            && let Some(len) = good_place(rest, settings)
        {
            self.take(rest, len, settings, &mut out);
        }
        out
    }

    /// Returns what is not cut off yet, without the blanks in front: what separates parts belongs to none.
    fn rest<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let rest = text.get(self.taken..)?;
        if self.fence.is_some() {
            return Some(rest);
        }
        let bare = rest.trim_start_matches(['\n', ' ']);
        self.taken += rest.len() - bare.len();
        Some(bare)
    }

    fn cut(&mut self, text: &str, settings: &Settings, is_over: bool) -> Vec<Block> {
        let mut out = Vec::new();
        while let Some(rest) = self.rest(text) {
            let count = rest.chars().count();
            if count <= settings.chars_max && !is_over || rest.trim().is_empty() {
                break;
            }
            let len = if count <= settings.chars_max { rest.len() } else { place(rest, settings) };
            self.take(rest, len, settings, &mut out);
        }
        if is_over {
            out.extend(self.pending.take());
        }
        out.retain(|block| !block.text.trim().is_empty());
        out
    }

    /// Cuts so many bytes off the rest.
    fn take(&mut self, rest: &str, len: usize, settings: &Settings, out: &mut Vec<Block>) {
        let at = self.taken;
        let opening = self.fence.take().map_or_else(String::new, |line| format!("{line}\n"));
        let mut text = format!("{opening}{}", &rest[..len]);
        if let Some(line) = open_fence(&text).filter(|_| len < rest.len()) {
            let marker: String = line.trim_start().chars().take_while(|c| matches!(c, '`' | '~')).collect();
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&marker);
            self.fence = Some(line);
        }
        self.taken += len + usize::from(self.fence.is_some() && rest[len..].starts_with('\n'));
        self.collect(Block { at, end: self.taken, text: text.trim_end().to_owned() }, settings, out);
    }

    /// Lets short parts wait for the next one.
    fn collect(&mut self, block: Block, settings: &Settings, out: &mut Vec<Block>) {
        let joiner = match settings.preference {
            Preference::Paragraph => "\n\n",
            Preference::Newline => "\n",
            Preference::Sentence => " ",
        };
        let block = match self.pending.take() {
            Some(before) => {
                Block { at: before.at, end: block.end, text: format!("{}{joiner}{}", before.text, block.text) }
            }
            None => block,
        };
        if block.text.chars().count() < settings.coalesce_min {
            self.pending = Some(block);
        } else {
            out.push(block);
        }
    }
}

/// Returns after how many bytes to cut a text that is too long.
fn place(text: &str, settings: &Settings) -> usize {
    let (min, window) = window(text, settings);
    let mut blanks = window.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
    let blank = || blanks.rfind(|at| *at >= min && open_fence(&text[..*at]).is_none());
    let within_code = || window[min..].rfind('\n').map(|at| min + at).filter(|at| *at > 0);
    good_place(text, settings).or_else(blank).or_else(within_code).unwrap_or(window.len())
}

/// Returns after how many bytes a text is best cut, if it has such a place.
fn good_place(text: &str, settings: &Settings) -> Option<usize> {
    let (min, window) = window(text, settings);
    let is_good = |at: usize| at >= min && open_fence(&text[..at]).is_none();
    let last = |found: &mut dyn Iterator<Item = usize>| found.filter(|at| is_good(*at)).last();
    let paragraph = || last(&mut window.match_indices("\n\n").map(|(at, _)| at));
    let line = || last(&mut window.match_indices('\n').map(|(at, _)| at));
    let sentence = || {
        let ends = window.char_indices().filter(|(at, c)| {
            matches!(c, '.' | '!' | '?') && window[at + 1..].chars().next().is_none_or(char::is_whitespace)
        });
        last(&mut ends.map(|(at, _)| at + 1))
    };
    match settings.preference {
        Preference::Paragraph => paragraph().or_else(line).or_else(sentence),
        Preference::Newline => line(),
        Preference::Sentence => sentence(),
    }
}

/// Returns the least length of a part in bytes, and the text that the next one may take.
fn window<'a>(text: &'a str, settings: &Settings) -> (usize, &'a str) {
    let byte = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    (byte(settings.chars_min), &text[..byte(settings.chars_max)])
}

/// Returns the line that opens the code block in which a text ends, if it ends in one.
fn open_fence(text: &str) -> Option<String> {
    let mut open: Option<&str> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let is_fence = bare.starts_with("```") || bare.starts_with("~~~");
        match open {
            None if is_fence => open = Some(line),
            Some(opening)
                if is_fence
                    && bare.trim_end()
                        == opening.trim_start().chars().take_while(|c| matches!(c, '`' | '~')).collect::<String>() =>
            {
                open = None;
            }
            _ => {}
        }
    }
    open.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(chunk: Value, coalesce: Value) -> Settings {
        let defaults =
            json!({"blockStreamingDefault": "on", "blockStreamingChunk": chunk, "blockStreamingCoalesce": coalesce});
        let config = Config { tree: json!({"agents": {"defaults": defaults}}), ..Config::default() };
        Settings::of(&config, "telegram", "default").expect("on")
    }

    fn texts(blocks: Vec<Block>) -> Vec<String> {
        blocks.into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        let of = |tree: Value| Settings::of(&Config { tree, ..Config::default() }, "telegram", "work").is_some();
        assert!(!of(json!({})));
        assert!(of(json!({"channels": {"telegram": {"blockStreaming": true}}})));
        assert!(!of(json!({"agents": {"defaults": {"blockStreamingDefault": "on"}},
            "channels": {"telegram": {"accounts": {"work": {"blockStreaming": false}}}}})));
    }

    #[test]
    fn cuts_depend_on_the_text_alone() {
        let settings = settings(json!({"minChars": 10, "maxChars": 30}), Value::Null);
        let text = "First paragraph here.\n\nSecond one. It goes on and on for a while\nand ends. é!\n\n```rust\nlet a = 1;\nlet b = 2;\nlet c = 3;\n```\nDone.";
        let whole = Cutter::default().finish(text, &settings);
        for step in 1..40 {
            let mut cutter = Cutter::default();
            let mut blocks = Vec::new();
            let ends = text.char_indices().map(|(at, _)| at).step_by(step);
            ends.for_each(|end| blocks.extend(cutter.grow(&text[..end], &settings)));
            blocks.extend(cutter.finish(text, &settings));
            assert_eq!(blocks, whole, "{step}");
        }
        assert_eq!(whole[0].text, "First paragraph here.");
        assert!(whole.iter().all(|block| block.text.matches("```").count() % 2 == 0), "{whole:#?}");
        assert!(whole.iter().any(|block| block.text.starts_with("```rust\nlet")), "{whole:#?}");
    }

    #[test]
    fn a_silent_model_lets_go_of_what_ends_well_and_a_crash_repeats_none_of_it() {
        let settings = settings(json!({"minChars": 10, "maxChars": 200}), Value::Null);
        let text = "First paragraph here.\n\nSecond one, which goes on";
        let mut cutter = Cutter::default();
        assert!(cutter.grow(text, &settings).is_empty());
        let out = cutter.lull(text, &settings);
        assert_eq!((out.len(), out[0].at, out[0].end, out[0].text.as_str()), (1, 0, 21, "First paragraph here."));
        assert!(cutter.lull(text, &settings).is_empty(), "the rest ends nowhere");
        let whole = format!("{text} and ends.");
        let rest = texts(Cutter::behind(out[0].end).finish(&whole, &settings));
        assert_eq!(rest, texts(cutter.finish(&whole, &settings)));
        assert_eq!(rest, ["Second one, which goes on and ends."]);
        assert!(Cutter::behind(1000).finish(&whole, &settings).is_empty());
    }

    #[test]
    fn preferences_and_coalescing() {
        let text = "One two. Three four. Five six seven eight.";
        let sentence = settings(json!({"minChars": 5, "maxChars": 20, "breakPreference": "sentence"}), Value::Null);
        assert_eq!(
            texts(Cutter::default().finish(text, &sentence)),
            ["One two. Three four.", "Five six seven", "eight."]
        );
        let joined =
            settings(json!({"minChars": 5, "maxChars": 20, "breakPreference": "sentence"}), json!({"minChars": 30}));
        assert_eq!(texts(Cutter::default().finish(text, &joined)), ["One two. Three four. Five six seven", "eight."]);
        let hard = settings(json!({"minChars": 1, "maxChars": 5}), Value::Null);
        assert_eq!(texts(Cutter::default().finish("abcdefghij", &hard)), ["abcde", "fghij"]);
    }
}
