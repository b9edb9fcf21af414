//! Long answers in parts while they are being written (agent.md §9.4).
//!
//! Where an answer is cut depends on its text alone, not on how it arrived: a run that is carried on after a crash cuts
//! the same text at the same places, and so says nothing twice. Pure. Not here: sending.

use serde_json::Value;

use crate::config::types::Config;

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
    /// Whether parts go out only when a message is complete.
    pub waits_for_end: bool,
}

impl Settings {
    /// Returns those of a channel's account; `None` when answers go out whole.
    pub fn of(config: &Config, channel: &str, account: &str) -> Option<Self> {
        let defaults = &config.tree["agents"]["defaults"];
        let section = &config.tree["channels"][channel];
        let set = |name: &str| {
            let own = &section["accounts"][account][name];
            if own.is_null() { &section[name] } else { own }
        };
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
            waits_for_end: defaults["blockStreamingBreak"] == "message_end",
        })
    }
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it begins in the message, in bytes.
    pub at: usize,
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
    /// Takes the whole message so far; returns the parts that are complete.
    pub fn grow(&mut self, text: &str, settings: &Settings) -> Vec<Block> {
        self.cut(text, settings, false)
    }

    /// Takes the whole message; returns the parts that are left.
    pub fn finish(&mut self, text: &str, settings: &Settings) -> Vec<Block> {
        self.cut(text, settings, true)
    }

    fn cut(&mut self, text: &str, settings: &Settings, is_over: bool) -> Vec<Block> {
        let mut out = Vec::new();
        while let Some(rest) = text.get(self.taken..) {
            if self.fence.is_none() {
                // What separates parts belongs to none.
                let blanks = rest.len() - rest.trim_start_matches(['\n', ' ']).len();
                if blanks > 0 {
                    self.taken += blanks;
                    continue;
                }
            }
            let count = rest.chars().count();
            if count <= settings.chars_max && !is_over || rest.trim().is_empty() {
                break;
            }
            let len = if count <= settings.chars_max { rest.len() } else { place(rest, settings) };
            let at = self.taken;
            let opening = self.fence.take().map_or_else(String::new, |line| format!("{line}\n"));
            let mut block = format!("{opening}{}", &rest[..len]);
            if let Some(line) = open_fence(&block).filter(|_| len < rest.len()) {
                let marker: String = line.trim_start().chars().take_while(|c| matches!(c, '`' | '~')).collect();
                if !block.ends_with('\n') {
                    block.push('\n');
                }
                block.push_str(&marker);
                self.fence = Some(line);
            }
            self.taken += len + usize::from(self.fence.is_some() && rest[len..].starts_with('\n'));
            self.collect(Block { at, text: block.trim_end().to_owned() }, settings, &mut out);
        }
        if is_over {
            out.extend(self.pending.take());
        }
        out.retain(|block| !block.text.trim().is_empty());
        out
    }

    /// Lets short parts wait for the next one.
    fn collect(&mut self, block: Block, settings: &Settings, out: &mut Vec<Block>) {
        let joiner = match settings.preference {
            Preference::Paragraph => "\n\n",
            Preference::Newline => "\n",
            Preference::Sentence => " ",
        };
        let block = match self.pending.take() {
            Some(before) => Block { at: before.at, text: format!("{}{joiner}{}", before.text, block.text) },
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
    let byte = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    let (min, max) = (byte(settings.chars_min), byte(settings.chars_max));
    let window = &text[..max];
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
    let blank = || last(&mut window.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at));
    let preferred = match settings.preference {
        Preference::Paragraph => paragraph().or_else(line).or_else(sentence),
        Preference::Newline => line(),
        Preference::Sentence => sentence(),
    };
    let within_code = || window[min..].rfind('\n').map(|at| min + at).filter(|at| *at > 0);
    preferred.or_else(blank).or_else(within_code).unwrap_or(max)
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
