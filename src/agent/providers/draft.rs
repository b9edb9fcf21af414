//! An answer while it arrives: blocks in the order of their arrival, put together from pieces.
//!
//! Every wire format fills one of these and nothing else, so that what a finished turn is (ids, arguments, stop reason,
//! price) is decided once. A block is addressed by its slot, whatever the format counts with. Not here: reading events.

use serde_json::{Value, json};

use super::{Hearer, ProviderError};
use crate::agent::message::{AssistantMessage, Block, StopReason, Usage};
use crate::agent::models::Model;
use crate::agent::usage;
use crate::base::clock::UnixMs;

/// Largest answer: text, reasoning and arguments together.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most tool calls in one answer.
const CALLS_MAX: usize = 128;
/// Most blocks in one answer.
const BLOCKS_MAX: usize = 4096;

/// See the module.
pub(super) struct Draft<'a> {
    blocks: Vec<(u64, Block)>,
    bytes: usize,
    /// Hears what arrives.
    pub(super) hearer: &'a mut dyn Hearer,
    /// Tokens as last reported.
    pub(super) usage: Usage,
    /// How the server said that the answer ended.
    pub(super) stop: Option<StopReason>,
    /// Whether nothing more has to be read.
    pub(super) is_over: bool,
    /// What the price is multiplied with.
    pub(super) cost_factor: f64,
}

impl<'a> Draft<'a> {
    /// An answer of which nothing has arrived.
    pub(super) fn new(hearer: &'a mut dyn Hearer) -> Self {
        Self {
            blocks: Vec::new(),
            bytes: 0,
            hearer,
            usage: Usage::default(),
            stop: None,
            is_over: false,
            cost_factor: 1.0,
        }
    }

    /// Returns whether the server has said that the answer is whole.
    pub(super) fn is_complete(&self) -> bool {
        self.is_over || self.stop.is_some()
    }

    /// Returns whether a tool is called.
    pub(super) fn has_calls(&self) -> bool {
        self.blocks.iter().any(|(_, block)| matches!(block, Block::ToolCall { .. }))
    }

    /// Adds to the text in a slot.
    pub(super) fn text(&mut self, slot: u64, piece: &str) -> Result<(), ProviderError> {
        if piece.is_empty() {
            return Ok(());
        }
        if !self.has(slot, |block| matches!(block, Block::Text { .. })) {
            let is_first =
                !self.blocks.iter().any(|(_, it)| matches!(it, Block::Text { text, .. } if !text.is_empty()));
            self.push(slot, Block::text(""))?;
            if !is_first {
                // As the blocks of a finished message are joined.
                self.hearer.text("\n");
            }
        }
        self.grow(piece.len())?;
        if let Some(Block::Text { text, .. }) = self.at(slot, |block| matches!(block, Block::Text { .. })) {
            text.push_str(piece);
        }
        self.hearer.text(piece);
        Ok(())
    }

    /// Adds to the reasoning in a slot; begins it, if it is new.
    pub(super) fn thinking(&mut self, slot: u64, piece: &str) -> Result<(), ProviderError> {
        if !self.has(slot, |block| matches!(block, Block::Thinking { .. })) {
            self.push(slot, Block::Thinking { thinking: String::new(), thinking_signature: None })?;
        }
        self.grow(piece.len())?;
        if let Some(Block::Thinking { thinking, .. }) = self.at(slot, |it| matches!(it, Block::Thinking { .. })) {
            thinking.push_str(piece);
        }
        self.hearer.thought(piece);
        Ok(())
    }

    /// Begins a tool call.
    pub(super) fn call(&mut self, slot: u64, id: &str, name: &str) -> Result<(), ProviderError> {
        if self.blocks.iter().filter(|(_, it)| matches!(it, Block::ToolCall { .. })).count() >= CALLS_MAX {
            return Err(ProviderError::failed(format!("the model asked for more than {CALLS_MAX} tool calls at once")));
        }
        let arguments = Value::String(String::new());
        self.push(
            slot,
            Block::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments, thought_signature: None },
        )
    }

    /// Adds to the arguments of the call in a slot, which arrive as text.
    pub(super) fn arguments(&mut self, slot: u64, piece: &str) -> Result<(), ProviderError> {
        self.grow(piece.len())?;
        if let Some(Block::ToolCall { arguments: Value::String(text), .. }) = self.block(slot) {
            text.push_str(piece);
        }
        Ok(())
    }

    /// Returns the block in a slot, the last one if there are several.
    pub(super) fn block(&mut self, slot: u64) -> Option<&mut Block> {
        self.at(slot, |_| true)
    }

    /// Returns the tool call of that id.
    pub(super) fn call_of(&mut self, wanted: &str) -> Option<&mut Block> {
        let blocks = self.blocks.iter_mut().map(|(_, block)| block);
        blocks.rev().find(|block| matches!(block, Block::ToolCall { id, .. } if id == wanted))
    }

    /// Returns the call that was begun last, with its slot.
    pub(super) fn last_call(&mut self) -> Option<(u64, &mut String, &mut String)> {
        self.blocks.iter_mut().rev().find_map(|(slot, block)| match block {
            Block::ToolCall { id, name, .. } => Some((*slot, id, name)),
            _ => None,
        })
    }

    fn has(&self, slot: u64, kind: fn(&Block) -> bool) -> bool {
        self.blocks.iter().any(|(at, block)| *at == slot && kind(block))
    }

    fn at(&mut self, slot: u64, kind: fn(&Block) -> bool) -> Option<&mut Block> {
        let blocks = self.blocks.iter_mut().rev();
        blocks.filter(|(at, block)| *at == slot && kind(block)).map(|(_, block)| block).next()
    }

    fn push(&mut self, slot: u64, block: Block) -> Result<(), ProviderError> {
        if self.blocks.len() >= BLOCKS_MAX {
            return Err(ProviderError::failed(format!("the answer has more than {BLOCKS_MAX} parts")));
        }
        self.blocks.push((slot, block));
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ProviderError> {
        self.bytes += bytes;
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(ProviderError::failed("the answer is larger than 16 MiB"));
        }
        Ok(())
    }

    /// Makes the message of it.
    ///
    /// # Errors
    /// When there is nothing to make one of.
    pub(super) fn finish(self, model: &Model, now_ms: UnixMs) -> Result<AssistantMessage, ProviderError> {
        if self.stop.is_none() && self.blocks.is_empty() {
            return Err(ProviderError::failed(format!("{} answered without any content", model.provider)));
        }
        let is_cut = self.stop == Some(StopReason::Length);
        let has_calls = self.has_calls();
        let last = self.blocks.len().saturating_sub(1);
        let mut content = Vec::with_capacity(self.blocks.len());
        for (at, (_, block)) in self.blocks.into_iter().enumerate() {
            match block {
                Block::Text { text, .. } if text.is_empty() => {}
                Block::Thinking { thinking, thinking_signature: None } if thinking.is_empty() => {}
                Block::ToolCall { id, name, arguments, thought_signature } => content.push(Block::ToolCall {
                    id: if id.is_empty() { format!("call_{now_ms}_{at}") } else { id },
                    name,
                    arguments: read_arguments(arguments, is_cut && at == last),
                    thought_signature,
                }),
                other => content.push(other),
            }
        }
        let mut usage = usage::priced(self.usage, model.cost);
        let cost = &mut usage.cost;
        for part in [&mut cost.input, &mut cost.output, &mut cost.cache_read, &mut cost.cache_write, &mut cost.total] {
            *part *= self.cost_factor;
        }
        Ok(AssistantMessage {
            content,
            api: Some(model.api.clone()),
            provider: Some(model.provider.clone()),
            model: Some(model.id.clone()),
            usage,
            stop_reason: if has_calls { StopReason::ToolUse } else { self.stop.unwrap_or_default() },
            error_message: None,
            timestamp: now_ms,
        })
    }
}

/// Reads the text of arguments. What is no JSON stays as it is, so that the tool's own check tells the model: carrying
/// out half of a call would do something that nobody asked for.
fn read_arguments(arguments: Value, may_be_cut: bool) -> Value {
    let Value::String(text) = arguments else { return arguments };
    match text.trim() {
        "" if may_be_cut => Value::String(text),
        "" => json!({}),
        trimmed => serde_json::from_str(trimmed).unwrap_or(Value::String(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::models::offline;

    #[test]
    fn pieces_become_blocks_and_broken_arguments_stay_text() {
        let mut shown = String::new();
        let mut on_text = |piece: &str| shown.push_str(piece);
        let mut draft = Draft::new(&mut on_text);
        draft.thinking(0, "hm").expect("room");
        draft.text(1, "a").expect("room");
        draft.text(1, "b").expect("room");
        draft.text(3, "c").expect("room");
        for (slot, id, arguments) in [(4, "x", "{\"a\":1}"), (5, "", ""), (6, "z", "{\"a\":")] {
            draft.call(slot, id, "t").expect("room");
            draft.arguments(slot, arguments).expect("room");
        }
        draft.stop = Some(StopReason::Length);
        let message = draft.finish(&offline(), 7).expect("a message");
        assert_eq!(shown, "ab\nc");
        assert_eq!(crate::agent::message::blocks_text(&message.content), shown);
        assert_eq!(message.stop_reason, StopReason::ToolUse);
        let calls: Vec<_> = message
            .content
            .iter()
            .filter_map(|block| match block {
                Block::ToolCall { id, arguments, .. } => Some((id.as_str(), arguments.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(calls, [("x", json!({"a": 1})), ("call_7_4", json!({})), ("z", json!("{\"a\":"))]);
    }

    #[test]
    fn a_call_that_the_limit_cut_before_its_arguments_is_not_carried_out() {
        assert_eq!(read_arguments(json!(""), true), json!(""));
        assert_eq!(read_arguments(json!(""), false), json!({}));
    }
}
