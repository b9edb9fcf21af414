//! What is typed into a chat besides messages: commands alone, and directives within other words.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::eventually_some;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};

const MAIN: &str = "agent:main:main";

fn answer(client: &mut Client, run: &str, message: &str) -> String {
    let params = json!({ "sessionKey": MAIN, "message": message, "idempotencyKey": run });
    assert_eq!(client.request("chat.send", params).expect("started")["status"], "started");
    let end = client.chat_end(run);
    assert_eq!(end["state"], "final", "{end}");
    end["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn commands_are_answered_without_a_model() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let gateway = Gateway::with_provider(&provider, json!({ "commands": { "config": true } }));
    let mut client = gateway.client();
    for (at, (message, wanted)) in [
        ("/think high /verbose on", "Thinking level set to high. ⚙️ Verbose logging enabled."),
        ("/queue steer", "⚙️ Queue mode set to steer."),
        ("/elevated full", "elevated is not available right now"),
        ("/approve nothing", "Usage: /approve <id> allow-once|allow-always|deny"),
        ("/approve 1 deny", "❌ Failed to submit approval: Error: unknown approval id"),
        ("/config set messages.queue.cap=7", "⚙️ Config updated: messages.queue.cap=7"),
        ("/config get messages.queue.cap", "⚙️ Config messages.queue.cap:\n```json\n7\n```"),
        ("/config set x", "⚠️ Usage: /config set path=value"),
        ("/allowlist", "⚠️ Unknown channel. Add channel=<id> to the command."),
        ("/subagents", "🧭 Subagents: none for this session."),
        ("/usage cost", "💸 Usage cost\nSession $0.00"),
        ("/context", "🧠 Context breakdown\n"),
        ("/whoami", "🧭 Identity\nChannel: webchat"),
        ("/debug", "⚠️ /debug is disabled."),
        ("/restart", "⚠️ /restart is disabled."),
        ("/status", "🦞 Clawdbot "),
    ]
    .iter()
    .enumerate()
    {
        let reply = answer(&mut client, &format!("c{at}"), message);
        assert!(reply.starts_with(wanted), "{message}: {reply}");
    }
    assert!(provider.requests().is_empty());
}

#[test]
fn directives_within_a_message_are_taken_out() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, "r1", "fix it /think high please /status"), "A model spoke.");
    let request = provider.requests().pop().expect("a request");
    let users: Vec<&Value> = request["messages"].as_array().unwrap().iter().filter(|it| it["role"] == "user").collect();
    let said = users[0].to_string();
    assert!(said.contains("fix it please") && !said.contains("/think") && !said.contains("/status"), "{said}");
    let status = client.event("chat", |chat| chat["runId"] == "r1-status");
    assert!(status.to_string().contains("Clawdbot") && status.to_string().contains("test/m · 🔑 api-key"), "{status}");
    let sessions = client.request("sessions.list", json!({})).unwrap();
    assert_eq!(sessions["sessions"][0]["thinkingLevel"], Value::Null, "it counts only alone: {sessions}");
}

#[test]
fn command_lines_are_run_for_those_who_may() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let shut = json!({ "commands": { "bash": true } });
    let gateway = Gateway::with_provider(&provider, shut);
    let mut client = gateway.client();
    let refused = answer(&mut client, "r1", "!echo hi");
    assert!(refused.contains("Failing gates: allowFrom (tools.elevated.allowFrom.webchat)"), "{refused}");
    drop((client, gateway));

    let open = json!({
        "commands": { "bash": true, "bashForegroundMs": 300 },
        "tools": { "elevated": { "allowFrom": { "webchat": ["*"] } }, "deny": ["exec", "process"] },
    });
    let gateway = Gateway::with_provider(&provider, open);
    let mut client = gateway.client();
    let pending = answer(&mut client, "b0", "!touch approved");
    assert!(pending.contains("Approval required") && pending.contains("/approve "), "{pending}");
    assert_eq!(
        answer(&mut client, "b1", "/elevated full").lines().next(),
        Some("⚙️ Elevated mode set to full (auto-approve). ⚙️ Runtime is direct; sandboxing does not apply.")
    );
    for (at, (line, wanted)) in [
        ("!echo hello", "⚙️ bash: echo hello\nExit: 0\n```txt\nhello\n```"),
        ("/bash exit 3", "⚠️ bash failed: exit 3\n```txt\nCommand exited with code 3\n```"),
        ("!", "⚙️ Usage:"),
        ("! poll", "⚙️ No active bash job."),
        ("!stop", "⚙️ No active bash job."),
        ("!poll nobody", "⚙️ No bash session found for nobody."),
        ("!echo begun; sleep 600", "⚙️ bash started (session "),
        ("!echo more", "⚠️ A bash job is already running ("),
        ("!poll", "⚙️ bash still running (session "),
        ("/bash stop", "⚙️ bash stopped (session "),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = answer(&mut client, &format!("l{at}"), line);
        assert!(reply.starts_with(wanted), "{line}: {reply}");
    }
    let mut polls = 0;
    let ended = eventually_some("the command's end", || {
        polls += 1;
        Some(answer(&mut client, &format!("p{polls}"), "!poll")).filter(|it| !it.contains("still running"))
    });
    assert!(ended.starts_with("⚠️ bash finished") && ended.contains("begun"), "{ended}");
    assert!(provider.requests().is_empty());
    let list = answer(&mut client, "list", "/commands");
    assert!(list.contains("\n/bash <command>|poll|stop - ") && !list.contains("\n/debug"), "{list}");
}

#[test]
fn without_the_command_an_exclamation_mark_is_for_the_model() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, "m1", "!important"), "A model spoke.");
    let refused = answer(&mut client, "m2", "/bash ls");
    assert!(refused.starts_with("⚠️ bash is disabled."), "{refused}");
}

#[test]
fn an_alias_behind_a_slash_chooses_its_model() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let models =
        json!({ "agents": { "defaults": { "models": { "test/m": {}, "openai/gpt-5.2": { "alias": "swift" } } } } });
    let home = Home::with_config(&models);
    Gateway::use_provider(&home, &provider);
    let gateway = Gateway::start_in(home, &[], &[("OPENAI_API_KEY", "k")]);
    let mut client = gateway.client();
    let reply = answer(&mut client, "a1", "/swift");
    assert!(reply.starts_with("Model set to swift (openai/gpt-5.2)"), "{reply}");
    assert_eq!(answer(&mut client, "a2", "/model test/m"), "Model reset to default (test/m).");
    assert_eq!(answer(&mut client, "a3", "/swift and more"), "A model spoke.");
}

#[test]
fn a_skill_may_call_a_tool_by_its_command() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    for (name, tool) in [("crew", "agents_list"), ("shell", "exec")] {
        let dir = gateway.home.path().join("clawd/skills").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let head = format!("name: {name}\ndescription: d\ncommand-dispatch: tool\ncommand-tool: {tool}");
        std::fs::write(dir.join("SKILL.md"), format!("---\n{head}\n---\nText.\n")).unwrap();
    }
    let mut client = gateway.client();
    let reply = answer(&mut client, "s1", "/crew");
    assert!(reply.contains("main"), "{reply}");
    assert_eq!(answer(&mut client, "s2", "/skill shell ls"), "❌ Tool not available: exec");
    assert!(provider.requests().is_empty());
    let list = answer(&mut client, "s3", "/commands");
    assert!(list.contains("\n/crew - d"), "{list}");
}

#[test]
fn overrides_are_laid_over_the_file_and_never_written() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let gateway = Gateway::with_provider(&provider, json!({ "commands": { "debug": true, "config": true } }));
    let mut client = gateway.client();
    let before = std::fs::read_to_string(gateway.home.config_file()).unwrap();
    for (at, (message, wanted)) in [
        ("/debug", "⚙️ Debug overrides: (none)"),
        ("/debug set messages.queue.cap=3", "⚙️ Debug override set: messages.queue.cap=3"),
        ("/debug set logging.level=debug", "⚙️ Debug override set: logging.level=\"debug\""),
        ("/queue", "Current queue settings: mode=collect, debounce=1000ms, cap=3, drop=summarize."),
        (
            "/debug show",
            "⚙️ Debug overrides (memory-only):\n```json\n{\n  \"messages\": {\n    \"queue\": {\n      \"cap\": 3",
        ),
        ("/config get messages.queue.cap", "⚙️ Config messages.queue.cap:\n```json\nnull"),
        ("/debug set messages.queue.cap=many", "⚠️ Invalid override"),
        ("/debug set gateway.port=1", "⚠️ gateway.port is read when the gateway starts"),
        ("/debug set messages", "⚠️ Usage: /debug set path=value"),
        ("/debug unset messages.queue.drop", "⚙️ No debug override found for messages.queue.drop."),
        ("/debug unset logging.level", "⚙️ Debug override removed for logging.level."),
        ("/queue", "Current queue settings: mode=collect, debounce=1000ms, cap=3,"),
        ("/config set messages.queue.debounceMs=7", "⚙️ Config updated: messages.queue.debounceMs=7"),
        (
            "/debug set messages.tts.openai.apiKey=sk-shy",
            "⚙️ Debug override set: messages.tts.openai.apiKey=\"__REDACTED__\"",
        ),
        (
            "/config set messages.tts.openai.apiKey=sk-shy",
            "⚙️ Config updated: messages.tts.openai.apiKey=\"__REDACTED__\"",
        ),
        (
            "/config show messages.tts.openai",
            "⚙️ Config messages.tts.openai:\n```json\n{\n  \"apiKey\": \"__REDACTED__\"",
        ),
        ("/debug unset messages.tts.openai.apiKey", "⚙️ Debug override removed for messages.tts.openai.apiKey."),
        ("/debug reset", "⚙️ Debug overrides cleared; using config on disk."),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = answer(&mut client, &format!("d{at}"), message);
        assert!(reply.starts_with(wanted), "{message}: {reply}");
        if message.starts_with("/debug") {
            let now = std::fs::read_to_string(gateway.home.config_file()).unwrap();
            assert!(now == before || now.contains("debounceMs"), "{message}");
        }
    }
    gateway.wait_lines("config change applied", 1);
    let queue = answer(&mut client, "end", "/queue");
    assert!(queue.contains("debounce=7ms, cap=20,"), "{queue}");
}
