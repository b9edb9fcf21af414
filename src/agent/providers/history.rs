//! The conversation as any provider may be sent it (agent.md §5, §13): what was said, in order, with every tool call
//! answered exactly once.
//!
//! Turns that failed and answers of commands are left out, reasoning of another model becomes text, signatures go back
//! only to whom they came from, ids are spelled as the provider wants them. Pure. Not here: the provider's own shapes.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::agent::message::{AssistantMessage, Block, Content, Message, StopReason, blocks_text};
use crate::agent::models::Model;
use crate::base::hash::sha256_hex;

/// What a call is answered with whose result was lost: a crash, an abort.
const NO_RESULT: &str = "No result provided";

/// One turn.
#[derive(Debug, PartialEq)]
pub(super) enum Turn<'a> {
    /// Text and images; never empty.
    User(Vec<Piece<'a>>),
    /// Text, reasoning and calls; never empty.
    Assistant(Vec<Piece<'a>>),
    /// What a call of the turn before gave.
    Result(Answered<'a>),
}

/// A part of a turn.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// Text that is not blank.
    Text { text: &'a str, signature: Option<&'a str> },
    /// Reasoning of the very model that is asked.
    Thinking { text: &'a str, signature: Option<&'a str> },
    /// An image, for models that see.
    Image { data: &'a str, mime_type: &'a str },
    /// A tool call.
    Call { id: String, name: &'a str, arguments: &'a Value, signature: Option<&'a str> },
}

/// The result of a call.
#[derive(Debug, PartialEq)]
pub(super) struct Answered<'a> {
    /// The call's id, as in its turn.
    pub(super) id: String,
    /// The tool.
    pub(super) name: &'a str,
    /// Its text.
    pub(super) text: String,
    /// Data and media type of its images, for models that see.
    pub(super) images: Vec<(&'a str, &'a str)>,
    /// Whether it failed.
    pub(super) is_error: bool,
}

impl Answered<'_> {
    /// Returns the text, or words that stand for the images where there is none.
    pub(super) fn text_or_hint(&self) -> &str {
        if self.text.is_empty() && !self.images.is_empty() { "(see attached image)" } else { &self.text }
    }
}

/// How a provider wants the ids of tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// As they came.
    Any,
    /// Letters, digits, `_` and `-`; so many at most.
    Word(usize),
    /// Exactly nine letters and digits.
    Nine,
}

/// Returns what to send to `model`.
pub(super) fn turns<'a>(messages: &'a [Message], model: &Model, ids: Ids) -> Vec<Turn<'a>> {
    let mut reader = Reader { model, ids, out: Vec::new(), open: Vec::new(), used: HashSet::new() };
    for message in messages {
        match message {
            Message::User(user) => reader.user(&user.content),
            Message::Assistant(turn) => reader.assistant(turn),
            Message::ToolResult(result) => {
                // A result that no call waits for would be refused.
                let Some(at) = reader.open.iter().position(|call| call.given == result.tool_call_id) else { continue };
                let call = reader.open.remove(at);
                let images = reader.images(&result.content);
                reader.out.push(Turn::Result(Answered {
                    id: call.sent,
                    name: &result.tool_name,
                    text: blocks_text(&result.content),
                    images,
                    is_error: result.is_error,
                }));
            }
        }
    }
    reader.answer_open();
    reader.out
}

struct Reader<'a, 'm> {
    model: &'m Model,
    ids: Ids,
    out: Vec<Turn<'a>>,
    /// Calls of the last turn that have no result yet.
    open: Vec<Open<'a>>,
    used: HashSet<String>,
}

struct Open<'a> {
    given: &'a str,
    sent: String,
    name: &'a str,
}

impl<'a> Reader<'a, '_> {
    fn user(&mut self, content: &'a Content) {
        self.answer_open();
        let pieces: Vec<Piece<'a>> = match content {
            Content::Text(text) => text_piece(text, None).into_iter().collect(),
            Content::Blocks(blocks) => blocks
                .iter()
                .filter_map(|block| match block {
                    Block::Text { text, .. } => text_piece(text, None),
                    Block::Image { data, mime_type } if self.model.sees() => Some(Piece::Image { data, mime_type }),
                    _ => None,
                })
                .collect(),
        };
        if !pieces.is_empty() {
            self.out.push(Turn::User(pieces));
        }
    }

    fn assistant(&mut self, turn: &'a AssistantMessage) {
        self.answer_open();
        if matches!(turn.stop_reason, StopReason::Error | StopReason::Aborted | StopReason::Injected) {
            return;
        }
        let model = self.model;
        let is_same = turn.provider.as_deref() == Some(&model.provider)
            && turn.model.as_deref() == Some(&model.id)
            && turn.api.as_deref() == Some(&model.api);
        let signed = |signature: &'a Option<String>| signature.as_deref().filter(|it| is_same && !it.is_empty());
        let mut pieces = Vec::new();
        for block in &turn.content {
            match block {
                Block::Text { text, text_signature } => pieces.extend(text_piece(text, signed(text_signature))),
                Block::Thinking { thinking, thinking_signature } => match signed(thinking_signature) {
                    // Encrypted reasoning may have no text at all.
                    Some(signature) => pieces.push(Piece::Thinking { text: thinking, signature: Some(signature) }),
                    None if is_same && !thinking.trim().is_empty() => {
                        pieces.push(Piece::Thinking { text: thinking, signature: None });
                    }
                    None => pieces.extend(text_piece(thinking, None)),
                },
                Block::ToolCall { id, name, arguments, thought_signature } => {
                    let sent = self.spell(id);
                    self.open.push(Open { given: id, sent: sent.clone(), name });
                    pieces.push(Piece::Call { id: sent, name, arguments, signature: signed(thought_signature) });
                }
                Block::Image { .. } => {}
            }
        }
        if !pieces.is_empty() {
            self.out.push(Turn::Assistant(pieces));
        }
    }

    fn answer_open(&mut self) {
        for call in self.open.drain(..) {
            let text = NO_RESULT.to_owned();
            let answered = Answered { id: call.sent, name: call.name, text, images: Vec::new(), is_error: true };
            self.out.push(Turn::Result(answered));
        }
    }

    fn images(&self, content: &'a [Block]) -> Vec<(&'a str, &'a str)> {
        let image = |block: &'a Block| match block {
            Block::Image { data, mime_type } => Some((data.as_str(), mime_type.as_str())),
            _ => None,
        };
        content.iter().filter(|_| self.model.sees()).filter_map(image).collect()
    }

    /// Spells an id, unlike all before it: some servers count their calls from one in every turn.
    fn spell(&mut self, id: &str) -> String {
        let mut spelled = spelled(id, self.ids);
        let mut count = 2;
        while self.ids != Ids::Any && !self.used.insert(spelled.clone()) {
            spelled = match self.ids {
                Ids::Word(len_max) => {
                    let suffix = format!("_{count}");
                    let base = spelled_word(id, len_max - suffix.len());
                    format!("{base}{suffix}")
                }
                Ids::Nine | Ids::Any => nine(&format!("{id}#{count}")),
            };
            count += 1;
        }
        spelled
    }
}

fn text_piece<'a>(text: &'a str, signature: Option<&'a str>) -> Option<Piece<'a>> {
    (!text.trim().is_empty()).then_some(Piece::Text { text, signature })
}

fn spelled(id: &str, ids: Ids) -> String {
    match ids {
        Ids::Any => id.to_owned(),
        Ids::Word(len_max) => spelled_word(id, len_max),
        Ids::Nine if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => id.to_owned(),
        Ids::Nine => nine(id),
    }
}

fn spelled_word(id: &str, len_max: usize) -> String {
    // Ids of the Responses API are two in one; the first is the call's.
    let id = id.split('|').next().unwrap_or(id);
    let word = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    id.chars().take(len_max).map(word).collect()
}

fn nine(id: &str) -> String {
    sha256_hex(id.as_bytes())[..9].to_owned()
}

/// Returns a piece of what a user said, where a part of text is called `kind` and `image` makes one of an image.
pub(super) fn part(piece: &Piece<'_>, kind: &str, image: fn(&str, &str) -> Value) -> Option<Value> {
    match piece {
        Piece::Text { text, .. } => Some(json!({"type": kind, "text": text})),
        Piece::Image { data, mime_type } => Some(image(data, mime_type)),
        Piece::Thinking { .. } | Piece::Call { .. } => None,
    }
}

/// Puts the images of tool results behind them as a user's message, where a format takes no images in results; `kind` is what
/// it calls a part of text.
pub(super) fn attach_images(out: &mut Vec<Value>, images: &mut Vec<Value>, kind: &str) {
    if images.is_empty() {
        return;
    }
    let mut parts = vec![json!({"type": kind, "text": "Attached image(s) from tool result:"})];
    parts.append(images);
    out.push(json!({"role": "user", "content": parts}));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::agent::models::offline;

    /// A conversation in the form of a transcript.
    pub(in crate::agent::providers) fn messages(value: Value) -> Vec<Message> {
        serde_json::from_value(value).expect("messages")
    }

    pub(in crate::agent::providers) fn model(provider: &str, id: &str, api: &str) -> Model {
        let input = vec!["text".to_owned(), "image".to_owned()];
        Model { provider: provider.into(), id: id.into(), api: api.into(), input, max_tokens: 4096, ..offline() }
    }

    #[test]
    fn every_call_is_answered_once_and_failed_turns_are_left_out() {
        let call = |id: &str| json!({"type": "toolCall", "id": id, "name": "exec", "arguments": {}});
        let result = |id: &str| {
            json!({"role": "toolResult", "toolCallId": id, "toolName": "exec", "isError": false,
                "content": [{"type": "text", "text": "out"}]})
        };
        let history = messages(json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "partial"}], "stopReason": "error"},
            result("nobody"),
            {"role": "assistant", "content": [call("a|fc_1"), call("b!")], "stopReason": "toolUse"},
            result("b!"), result("b!"),
            {"role": "user", "content": " "},
            {"role": "assistant", "content": [call("a|fc_1")], "stopReason": "toolUse"},
        ]));
        let model = model("p", "m", "x");
        let turns = turns(&history, &model, Ids::Word(64));
        let shown: Vec<String> = turns
            .iter()
            .map(|turn| match turn {
                Turn::User(_) => "user".to_owned(),
                Turn::Assistant(pieces) => format!("assistant {}", pieces.len()),
                Turn::Result(it) => format!("{} {}", it.id, it.text),
            })
            .collect();
        let expected =
            ["user", "assistant 2", "b_ out", "a No result provided", "assistant 1", "a_2 No result provided"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn signatures_go_back_to_their_own_model_only() {
        let history = messages(json!([{"role": "assistant", "provider": "p", "model": "m", "api": "x", "content": [
            {"type": "thinking", "thinking": "hm", "thinkingSignature": "sig"},
            {"type": "text", "text": "t", "textSignature": "s"},
        ]}]));
        let own = model("p", "m", "x");
        let Turn::Assistant(pieces) = &turns(&history, &own, Ids::Any)[0] else { panic!("assistant") };
        assert_eq!(pieces[0], Piece::Thinking { text: "hm", signature: Some("sig") });
        let other = model("p", "m2", "x");
        let Turn::Assistant(pieces) = &turns(&history, &other, Ids::Any)[0] else { panic!("assistant") };
        let text = |text| Piece::Text { text, signature: None };
        assert_eq!(pieces[..], [text("hm"), text("t")]);
    }

    #[test]
    fn ids_are_spelled_as_wanted() {
        for (id, ids, expected) in [
            ("toolu_01", Ids::Word(64), "toolu_01"),
            ("call x|fc_9", Ids::Word(64), "call_x"),
            ("abcdefghij", Ids::Word(4), "abcd"),
            ("abc123XYZ", Ids::Nine, "abc123XYZ"),
        ] {
            assert_eq!(spelled(id, ids), expected, "{id}");
        }
        assert_eq!(nine("call_1").len(), 9);
    }
}
