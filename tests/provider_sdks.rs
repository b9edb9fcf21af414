//! The official clients of model providers as judges, and the original's library where there is none: their types take what
//! is sent, and they read what the scripted server says. Part of the step that npm is needed for.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client_models::tsc;
use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};
use crate::support::original::Original;
use crate::support::provider::{Answer, Provider};
use crate::support::wire_formats::{Part, Wire};

const PATIENCE: Duration = Duration::from_secs(120);
/// A picture of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Where the clients are installed, beside the original that uses them.
fn modules() -> Option<(std::path::PathBuf, &'static Original)> {
    let original = Original::find()?;
    let modules = original.directory("../..");
    modules.join("@anthropic-ai/sdk").is_dir().then_some((modules, original))
}

fn answer() -> Vec<Part> {
    vec![
        Part::Thinking("let me see", "c2lnbmF0dXJl"),
        Part::Text("Hello there."),
        Part::Call("call_1", "exec", r#"{"command": "echo tool-$((40+2))"}"#),
    ]
}

/// What a gateway asks in a conversation with a picture, reasoning and a tool call.
fn bodies(wire: Wire) -> Vec<Value> {
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Parts(answer()),
        _ => Answer::Parts(vec![Part::Text("Done.")]),
    });
    let model = json!({"id": "m", "name": "m", "reasoning": true, "input": ["text", "image"], "contextWindow": 32000,
        "maxTokens": 8000, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}});
    let test = json!({"baseUrl": provider.url(), "apiKey": "k", "api": wire.api(), "models": [model]});
    let gateway = Gateway::start(json!({
        "models": {"providers": {"test": test}}, "agents": {"defaults": {"model": {"primary": "test/m"}}},
    }));
    let mut client = gateway.client();
    let attachment = json!({"type": "image", "mimeType": "image/png", "content": PNG});
    let params = json!({"sessionKey": "main", "message": "look", "idempotencyKey": "r1", "attachments": [attachment]});
    client.request("chat.send", params).expect("started");
    assert_eq!(client.chat_end("r1")["state"], "final");
    let bodies = provider.requests();
    assert_eq!(bodies.len(), 2, "{wire:?}");
    bodies
}

#[test]
fn their_types_take_what_is_sent() {
    let Some((modules, _)) = modules() else { return };
    let Some(tsc) = tsc() else { return };
    let home = Home::empty();
    std::os::unix::fs::symlink(&modules, home.path().join("node_modules")).expect("a link");
    let mut text = String::from(
        "import Anthropic from '@anthropic-ai/sdk';\nimport OpenAI from 'openai';\nimport type { Content } from '@google/genai';\n",
    );
    for wire in Wire::PUBLIC {
        for (index, mut body) in bodies(wire).into_iter().enumerate() {
            let kind = match wire {
                Wire::Anthropic => "Anthropic.MessageCreateParamsStreaming",
                Wire::Completions => "OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming",
                Wire::Responses => "OpenAI.Responses.ResponseCreateParamsStreaming",
                Wire::Google => {
                    body = body["contents"].take();
                    "Content[]"
                }
                Wire::Codex | Wire::CodeAssist => unreachable!("no official client"),
            };
            if wire == Wire::Completions {
                // Not of this provider: a field of others that takes their reasoning back.
                for message in body["messages"].as_array_mut().expect("messages") {
                    message.as_object_mut().expect("object").remove("reasoning_content");
                }
            }
            text.push_str(&format!("export const {wire:?}{index}: {kind} = {body};\n"));
        }
    }
    std::fs::write(home.path().join("bodies.ts"), &text).unwrap();
    // The check must be able to fail.
    let wrong = text.replacen("\"stream\":true", "\"stream\":7", 1);
    std::fs::write(home.path().join("wrong.ts"), wrong).unwrap();
    let check = |file: &str| {
        let options = json!({"strict": true, "noEmit": true, "skipLibCheck": true, "target": "es2022", "module": "es2022",
            "moduleResolution": "bundler", "types": [], "lib": ["es2022", "dom", "dom.iterable"]});
        let project = json!({"compilerOptions": options, "files": [file]});
        std::fs::write(home.path().join("tsconfig.json"), project.to_string()).unwrap();
        let mut command = Command::new(&tsc[0]);
        command.args(&tsc[1..]).current_dir(home.path()).args(["--pretty", "false", "--project", "tsconfig.json"]);
        Ran::of_within(&mut command, PATIENCE)
    };
    let right = check("bodies.ts");
    assert_eq!(right.code, Some(0), "{right:#?}");
    assert_ne!(check("wrong.ts").code, Some(0));
}

const READ: &str = r"
const from = require('node:module').createRequire(process.env.MODULES + '/from.js');
const Anthropic = from('@anthropic-ai/sdk').default ?? from('@anthropic-ai/sdk');
const OpenAI = from('openai').default ?? from('openai');
const { GoogleGenAI } = from('@google/genai');
const url = process.env.SERVER;
const user = [{ role: 'user', content: 'hi' }];
(async () => {
  const out = {};
  const claude = new Anthropic({ apiKey: 'k', baseURL: url.replace('/v1', '') });
  const message = await claude.messages.stream({ model: 'm', max_tokens: 99, messages: user }).finalMessage();
  const block = (type) => message.content.find((it) => it.type === type);
  out.Anthropic = [block('text').text, block('tool_use').input.command, message.usage.output_tokens];
  const openai = new OpenAI({ apiKey: 'k', baseURL: url });
  const chat = await openai.chat.completions.stream({ model: 'm', messages: user, stream_options: { include_usage: true } }).finalChatCompletion();
  const said = chat.choices[0].message;
  out.Completions = [said.content, JSON.parse(said.tool_calls[0].function.arguments).command, chat.usage.completion_tokens];
  const response = await openai.responses.stream({ model: 'm', input: 'hi' }).finalResponse();
  const item = (type) => response.output.find((it) => it.type === type);
  out.Responses = [item('message').content[0].text, JSON.parse(item('function_call').arguments).command, response.usage.output_tokens];
  const gemini = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: url, apiVersion: '' } });
  const google = ['', '', 0];
  for await (const chunk of await gemini.models.generateContentStream({ model: 'm', contents: 'hi' })) {
    for (const part of chunk.candidates[0].content.parts) {
      if (part.text && !part.thought) google[0] += part.text;
      if (part.functionCall) google[1] = part.functionCall.args.command;
    }
    google[2] = chunk.usageMetadata?.candidatesTokenCount ?? google[2];
  }
  out.Google = google;
  // The other two have no official client: the original's own library reads them.
  const pi = await import(process.env.MODULES + '/@mariozechner/pi-ai/dist/index.js');
  const model = (api) => ({ id: 'm', name: 'm', api, provider: 'p', baseUrl: url, reasoning: true, input: ['text'],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }, contextWindow: 32000, maxTokens: 4000 });
  const context = { systemPrompt: 'be brief', messages: [{ role: 'user', content: 'hi', timestamp: 1 }] };
  const read = async (stream) => {
    const said = await stream.result();
    const block = (type) => said.content.find((it) => it.type === type) ?? {};
    return said.errorMessage ?? [block('text').text, block('toolCall').arguments?.command, said.usage.output];
  };
  const assist = { apiKey: JSON.stringify({ token: 't', projectId: 'p' }), maxTokens: 99 };
  out.CodeAssist = await read(pi.streamGoogleGeminiCli(model('google-gemini-cli'), context, assist));
  const { fetch } = globalThis;
  globalThis.fetch = (to, options) => fetch(url + new URL(to).pathname, options);
  const claims = Buffer.from(JSON.stringify({ 'https://api.openai.com/auth': { chatgpt_account_id: 'a' } }));
  const codex = { apiKey: `x.${claims.toString('base64')}.y`, sessionId: 's' };
  out.Codex = await read(pi.stream(model('openai-codex-responses'), context, codex));
  console.log(JSON.stringify(out));
})();
";

#[test]
fn they_read_what_the_scripted_server_says() {
    let Some((modules, original)) = modules() else { return };
    let provider = Provider::always(Answer::Parts(answer()));
    let home = Home::empty();
    std::fs::write(home.path().join("read.cjs"), READ).unwrap();
    let mut command = Command::new(original.program());
    command.arg("read.cjs").current_dir(home.path()).env("MODULES", modules).env("SERVER", provider.url());
    let read = Ran::of_within(&mut command, PATIENCE).json();
    for wire in Wire::ALL {
        let expected = json!(["Hello there.", "echo tool-$((40+2))", 9]);
        assert_eq!(read[format!("{wire:?}")], expected, "{wire:?}: {read}");
    }
}
