//! Two sessions that talk to each other after one sent the other a message (agent.md §20): whose turn it is, what it is told,
//! when it is over.
//!
//! Pure rules over data, which the journal of runs keeps: a conversation that a restart has cut off goes on. Not here: the
//! runs (`gateway::talks`), who may write to whom (`agent::tools`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::ids::SessionKey;
use crate::config::types::Config;

/// What ends the turns.
const REPLY_SKIP: &str = "REPLY_SKIP";
/// What ends the conversation without a word to anybody.
const ANNOUNCE_SKIP: &str = "ANNOUNCE_SKIP";
/// Turns after the first answer: at most, and when nobody says otherwise.
const TURNS_MAX: u64 = 5;
/// Characters of earlier texts that the announcement repeats.
const QUOTE_CHARS_MAX: usize = 4000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Talk {
    /// Who began.
    pub requester: SessionKey,
    /// The channel that its message came by.
    pub requester_channel: String,
    /// Who was written to.
    pub target: SessionKey,
    /// As the one who began calls it.
    pub target_name: String,
    /// What was written.
    pub message: String,
    /// How many turns follow the first answer at most.
    pub turns_max: u32,
    /// Where the conversation stands.
    pub step: Step,
    /// The first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The latest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
}

/// A step of a conversation; each is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The target reads the message.
    Opening,
    /// They answer each other; from 1, the one who began has the odd turns.
    Turn(u32),
    /// The target tells its own chat.
    Announcement,
}

/// What is said to whom in a step.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Who speaks next.
    pub session: SessionKey,
    /// What that session is told.
    pub message: String,
    /// What its model is told besides.
    pub brief: String,
}

/// Returns how many turns follow a first answer.
pub fn turns_max(config: &Config) -> u32 {
    let set = config.tree.pointer("/session/agentToAgent/maxPingPongTurns").and_then(Value::as_u64);
    u32::try_from(set.unwrap_or(TURNS_MAX).min(TURNS_MAX)).unwrap_or(0)
}

impl Talk {
    /// Returns what the present step says.
    pub fn said(&self) -> Said {
        let latest = self.latest.clone().unwrap_or_default();
        match self.step {
            Step::Opening => Said {
                session: self.target.clone(),
                message: self.message.clone(),
                brief: self.brief("Agent-to-agent message context:", &[], &[]),
            },
            Step::Turn(turn) => {
                let (session, who) = match turn % 2 {
                    1 => (&self.requester, "Agent 1 (requester)"),
                    _ => (&self.target, "Agent 2 (target)"),
                };
                let before = [format!("Current agent: {who}."), format!("Turn {turn} of {}.", self.turns_max)];
                let after = [format!("To end the exchange, reply exactly \"{REPLY_SKIP}\".")];
                let brief = self.brief("Agent-to-agent reply step:", &before, &after);
                Said { session: session.clone(), message: latest, brief }
            }
            Step::Announcement => {
                let quote = |text: Option<&str>| {
                    text.map_or("(not available)".to_owned(), |text| {
                        crate::base::text::ellipsize(text, QUOTE_CHARS_MAX)
                    })
                };
                let after = [
                    format!("Original request: {}", quote(Some(&self.message))),
                    format!("Round 1 reply: {}", quote(self.first.as_deref())),
                    format!("Latest reply: {}", quote(self.latest.as_deref())),
                    format!("To stay silent, reply exactly \"{ANNOUNCE_SKIP}\"."),
                    "Any other reply goes to the chat of this session. The conversation between the agents ends with it."
                        .to_owned(),
                ];
                let brief = self.brief("Agent-to-agent announce step:", &[], &after);
                Said { session: self.target.clone(), message: "Agent-to-agent announce step.".to_owned(), brief }
            }
        }
    }

    fn brief(&self, title: &str, before: &[String], after: &[String]) -> String {
        let mut lines = vec![title.to_owned()];
        lines.extend_from_slice(before);
        lines.push(format!("Agent 1 (requester) session: {}.", self.requester));
        lines.push(format!("Agent 1 (requester) channel: {}.", self.requester_channel));
        lines.push(format!("Agent 2 (target) session: {}.", self.target_name));
        lines.extend_from_slice(after);
        lines.join("\n")
    }

    /// Returns the next step after `reply` to the present one; `None` when the conversation is over.
    pub fn next(mut self, reply: Option<&str>) -> Option<Self> {
        let reply = reply.map(str::trim).filter(|reply| !reply.is_empty());
        self.step = match (self.step, reply) {
            (Step::Opening, None) | (Step::Announcement, _) => return None,
            (Step::Opening, Some(reply)) => {
                self.first = Some(reply.to_owned());
                self.latest = Some(reply.to_owned());
                if self.turns_max > 0 && self.requester != self.target { Step::Turn(1) } else { Step::Announcement }
            }
            (Step::Turn(turn), Some(reply)) if reply != REPLY_SKIP => {
                self.latest = Some(reply.to_owned());
                if turn < self.turns_max { Step::Turn(turn + 1) } else { Step::Announcement }
            }
            (Step::Turn(_), _) => Step::Announcement,
        };
        Some(self)
    }

    /// Returns what the reply to the present step tells the target's chat.
    pub fn announced<'a>(&self, reply: Option<&'a str>) -> Option<&'a str> {
        let reply = reply.map(str::trim).filter(|reply| !reply.is_empty() && *reply != ANNOUNCE_SKIP);
        reply.filter(|_| self.step == Step::Announcement)
    }

    /// Names the present step's run after the one that opened the conversation.
    pub fn run_id(&self, opening: &str) -> String {
        match self.step {
            Step::Opening => opening.to_owned(),
            Step::Turn(turn) => format!("{opening}:turn-{turn}"),
            Step::Announcement => format!("{opening}:announce"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(turns_max: u32) -> Talk {
        Talk {
            requester: SessionKey::new("agent:main:main"),
            requester_channel: "webchat".into(),
            target: SessionKey::new("agent:ops:main"),
            target_name: "agent:ops:main".into(),
            message: "Is it up?".into(),
            turns_max,
            step: Step::Opening,
            first: None,
            latest: None,
        }
    }

    /// Who speaks in each step, with what is said to them, until the replies have come to an end.
    fn course(turns_max: u32, replies: &[&str]) -> Vec<String> {
        let mut course = Vec::new();
        let mut next = Some(talk(turns_max));
        let mut replies = replies.iter();
        while let Some(talk) = next {
            let said = talk.said();
            course.push(format!("{}: {}", said.session.as_str().split(':').nth(1).unwrap_or_default(), said.message));
            next = talk.next(replies.next().copied());
        }
        course
    }

    #[test]
    fn they_take_turns_until_one_is_done_and_the_target_announces() {
        for (turns_max, replies, expected) in [
            (5, vec![], vec!["ops: Is it up?"]),
            (0, vec!["Yes."], vec!["ops: Is it up?", "ops: Agent-to-agent announce step."]),
            (
                2,
                vec!["Yes.", "Since when?", "Monday."],
                vec!["ops: Is it up?", "main: Yes.", "ops: Since when?", "ops: Agent-to-agent announce step."],
            ),
            (
                5,
                vec!["Yes.", " REPLY_SKIP\n"],
                vec!["ops: Is it up?", "main: Yes.", "ops: Agent-to-agent announce step."],
            ),
        ] {
            assert_eq!(course(turns_max, &replies), expected, "{turns_max} {replies:?}");
        }
    }

    #[test]
    fn an_announcement_is_what_is_not_skipped() {
        let last =
            Talk { step: Step::Announcement, first: Some("Yes.".into()), latest: Some("Monday.".into()), ..talk(5) };
        assert_eq!(last.announced(Some(" It is up. ")), Some("It is up."));
        assert_eq!((last.announced(Some("ANNOUNCE_SKIP")), last.announced(None)), (None, None));
        assert_eq!(talk(5).announced(Some("x")), None);
        let brief = last.said().brief;
        assert!(
            brief.contains("Round 1 reply: Yes.\nLatest reply: Monday.\n") && brief.contains("ANNOUNCE_SKIP"),
            "{brief}"
        );
        assert_eq!(last.run_id("r"), "r:announce");
    }
}
