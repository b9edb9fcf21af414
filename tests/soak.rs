//! Many turns over many sessions with aborts, restarts and kills at random moments: nothing that was accepted is lost,
//! nothing happens twice, and every transcript can be read.
//!
//! `CLAWDBOT_SOAK=1` runs the long form: 2,000 turns over 50 sessions. `SIM_SEED` names the seed, which a failure prints.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Gate, Provider};

/// How much is done.
struct Size {
    turns: usize,
    sessions: usize,
}

/// splitmix64: the test's own dice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("small")
    }
}

fn session(number: usize) -> String {
    format!("agent:main:soak-{number}")
}

fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        content => content.as_array().into_iter().flatten().filter_map(|it| it["text"].as_str()).collect(),
    }
}

/// Answers by what was said last: `tool` has it write the word into a file first, `held` waits for the end of the soak.
fn provider(gate: &Gate) -> Provider {
    let gate = gate.clone();
    Provider::start(move |_, request| {
        let last = request["messages"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
        let said = text_of(&last);
        let word = said.split_whitespace().next().unwrap_or_default();
        match &last["role"] {
            role if role != "user" => Answer::Text(vec!["The tool ", "has run."]),
            _ if said.ends_with("tool") => {
                Answer::Tool("exec", json!({ "command": format!("echo {word} >> ~/calls") }))
            }
            _ if said.ends_with("held") => Answer::Held("Wait", gate.clone(), " over."),
            _ => Answer::Text(vec!["Good", " answer."]),
        }
    })
}

/// The soak under way: what it has sent, and what it was told.
struct Soak {
    size: Size,
    dice: Dice,
    gateway: Option<Gateway>,
    client: Option<Client>,
    /// Turns whose acceptance nobody has heard of, by number.
    unheard: BTreeMap<usize, (usize, String)>,
    accepted: BTreeSet<usize>,
}

impl Soak {
    fn client(&mut self) -> &mut Client {
        let gateway = self.gateway.as_ref().expect("running");
        self.client.get_or_insert_with(|| gateway.client())
    }

    fn turn(&mut self, turn: usize) {
        let session = self.dice.roll(self.size.sessions);
        let kind = ["plain", "plain", "plain", "tool", "held"][self.dice.roll(5)];
        self.post(turn, session, format!("msg-{turn}- {kind}"));
        // A client that is fresh now and then has fewer old frames to look through.
        if turn % 40 == 39 {
            self.hear();
            self.client = None;
        }
        match self.dice.roll(40) {
            0 | 1 => self.kill(),
            2 => self.stop(),
            3..8 => self.abort(),
            8..24 => self.hear(),
            _ => {}
        }
    }

    /// Sends a message without waiting for the answer.
    fn post(&mut self, turn: usize, session: usize, message: String) {
        let params = json!({
            "sessionKey": self::session(session), "message": message, "idempotencyKey": format!("turn-{turn}"),
        });
        let id = self.client().post("chat.send", params);
        self.unheard.insert(turn, (session, message));
        self.asked(turn, id);
    }

    fn asked(&mut self, turn: usize, id: String) {
        // Most answers are waited for at once, so that much is accepted before the next accident.
        if self.dice.roll(3) > 0 {
            self.client().response(&id).expect("accepted");
            self.accept(turn);
        }
    }

    fn accept(&mut self, turn: usize) {
        self.unheard.remove(&turn);
        self.accepted.insert(turn);
    }

    /// Asks again about everything that nobody has heard of: the same request is the same run.
    fn hear(&mut self) {
        for (turn, (session, message)) in self.unheard.clone() {
            let params = json!({
                "sessionKey": self::session(session), "message": message, "idempotencyKey": format!("turn-{turn}"),
            });
            // An aborted or failed run answers with its end; it was accepted all the same.
            let _ = self.client().request("chat.send", params);
            self.accept(turn);
        }
    }

    fn abort(&mut self) {
        let session = self::session(self.dice.roll(self.size.sessions));
        self.client().request("chat.abort", json!({ "sessionKey": session })).expect("an answer");
    }

    fn kill(&mut self) {
        self.client = None;
        let home = self.gateway.take().expect("running").kill();
        self.gateway = Some(Gateway::start_in(home, &[], &[]));
    }

    fn stop(&mut self) {
        self.client = None;
        let mut gateway = self.gateway.take().expect("running");
        assert_eq!(gateway.stop().code, Some(0));
        self.gateway = Some(Gateway::start_in(gateway.kill(), &[], &[]));
    }

    /// Waits until every session is done: a last message in each.
    fn finish(&mut self) {
        self.hear();
        for session in 0..self.size.sessions {
            let params = json!({
                "sessionKey": self::session(session), "message": "last", "idempotencyKey": format!("last-{session}"),
            });
            self.client().request("chat.send", params).expect("accepted");
        }
        for session in 0..self.size.sessions {
            let params = json!({ "runId": format!("last-{session}"), "timeoutMs": 60_000 });
            let id = self.client().post("agent.wait", params);
            let end = self.client().response(&id).expect("an answer");
            assert_eq!(end["status"], "ok", "session {session}: {end}");
        }
    }
}

fn soak(seed: u64, size: Size) {
    let gate = Gate::default();
    let provider = provider(&gate);
    let config = json!({ "agents": { "defaults": { "maxConcurrent": size.sessions } } });
    let gateway = Gateway::with_provider(&provider, config);
    let turns = size.turns;
    let (unheard, accepted) = (BTreeMap::new(), BTreeSet::new());
    let mut soak = Soak { size, dice: Dice(seed), gateway: Some(gateway), client: None, unheard, accepted };
    for turn in 0..turns {
        soak.turn(turn);
    }
    gate.open();
    soak.finish();
    assert_eq!(soak.accepted.len(), turns);
    let mut gateway = soak.gateway.take().expect("running");
    assert_eq!(gateway.stop().code, Some(0));

    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for path in gateway.home.transcripts() {
        let text = std::fs::read_to_string(&path).expect("a transcript");
        assert!(text.ends_with('\n'), "seed {seed}: {} is torn", path.display());
        let mut parent = Value::Null;
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("seed {seed}: {error}: {line}"));
            if line["type"] != "session" {
                assert_eq!(line["parentId"], parent, "seed {seed}: the chain is broken in {}", path.display());
                parent = line["id"].clone();
            }
            if line["message"]["role"] == "user"
                && let Some(word) = text_of(&line["message"]).split_whitespace().next()
            {
                *said.entry(word.to_owned()).or_default() += 1;
            }
        }
    }
    for turn in &soak.accepted {
        let count = said.get(&format!("msg-{turn}-")).copied().unwrap_or(0);
        assert_eq!(count, 1, "seed {seed}: message {turn} is there {count} times; {}", what_is_known(&gateway, *turn));
    }
    let calls = std::fs::read_to_string(gateway.home.path().join("calls")).unwrap_or_default();
    let mut made = BTreeSet::new();
    for call in calls.lines() {
        assert!(made.insert(call), "seed {seed}: the call of {call} was made twice");
    }
    let journal = gateway.home.state_dir().join("journal/runs.jsonl");
    let left = std::fs::read_to_string(journal).unwrap_or_default();
    let open = left.lines().filter(|line| line.starts_with("{\"accepted\"")).count();
    let ended = left.lines().filter(|line| line.starts_with("{\"ended\"")).count();
    assert!(open <= ended, "seed {seed}: {open} runs were accepted and {ended} have ended");
}

/// What log and journal say of a turn.
fn what_is_known(gateway: &Gateway, turn: usize) -> String {
    let files = [gateway.home.log_file(), gateway.home.state_dir().join("journal/runs.jsonl")];
    let texts: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect();
    let lines = texts
        .lines()
        .filter(|line| line.contains(&format!("turn-{turn} ")) || line.contains(&format!("turn-{turn}\"")));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_accepted_is_lost_and_nothing_happens_twice() {
    let seed = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let is_long = std::env::var("CLAWDBOT_SOAK").as_deref() == Ok("1");
    soak(seed, if is_long { Size { turns: 2000, sessions: 50 } } else { Size { turns: 60, sessions: 8 } });
}
