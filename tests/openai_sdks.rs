//! OpenAI's official clients, unchanged: JavaScript where the original is installed (it brings the client along), Python
//! where `CLAWDBOT_OPENAI_PYTHON` names a directory that holds the package, or `CLAWDBOT_TEST_NPM=1` lets pip install it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};
use crate::support::original::Original;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::wire_formats::Part;
use crate::support::{TOKEN, asks_npm, skipped};

const PATIENCE: Duration = Duration::from_secs(180);

/// What both clients do, one after the other; they print what they saw.
const JAVASCRIPT: &str = r#"
const from = require('node:module').createRequire(process.env.MODULES + '/from.js');
const OpenAI = from('openai').default ?? from('openai');
const openai = new OpenAI({ apiKey: process.env.KEY, baseURL: process.env.SERVER });
const user = (content) => [{ role: 'user', content }];
const fn = { name: 'get_weather', description: 'w', parameters: { type: 'object', properties: { city: { type: 'string' } } } };
const png = 'data:image/png;base64,' + process.env.PNG;
(async () => {
  const out = {};
  out.models = (await openai.models.list()).data.map((it) => it.id);
  const chat = await openai.chat.completions.create({ model: 'clawdbot', messages: user('hi') });
  out.create = [chat.choices[0].message.content, chat.choices[0].finish_reason, chat.usage.total_tokens];
  const stream = openai.chat.completions.stream({ model: 'clawdbot', messages: user('hi'), stream_options: { include_usage: true } });
  const final = await stream.finalChatCompletion();
  out.stream = [final.choices[0].message.content, final.choices[0].finish_reason, final.usage.total_tokens];
  const tools = await openai.chat.completions.create({ model: 'clawdbot', messages: user('weather?'), tools: [{ type: 'function', function: fn }] });
  const call = tools.choices[0].message.tool_calls[0];
  out.tools = [tools.choices[0].finish_reason, call.function.name, JSON.parse(call.function.arguments).city];
  const after = await openai.chat.completions.create({ model: 'clawdbot', tools: [{ type: 'function', function: fn }],
    messages: [...user('weather?'), tools.choices[0].message, { role: 'tool', tool_call_id: call.id, content: 'sunny' }] });
  out.after = after.choices[0].message.content;
  const picture = await openai.chat.completions.create({ model: 'clawdbot', messages: user([{ type: 'text', text: 'look' }, { type: 'image_url', image_url: { url: png } }]) });
  out.picture = picture.choices[0].message.content;
  const response = await openai.responses.create({ model: 'clawdbot', input: [{ role: 'user', content: [{ type: 'input_text', text: 'look' }, { type: 'input_image', image_url: png, detail: 'auto' }] }] });
  out.response = [response.output_text, response.status];
  const events = openai.responses.stream({ model: 'clawdbot', input: 'hi' });
  let deltas = '';
  events.on('response.output_text.delta', (event) => { deltas += event.delta; });
  const whole = await events.finalResponse();
  out.events = [whole.output_text, deltas, whole.usage.total_tokens];
  const called = await openai.responses.stream({ model: 'clawdbot', input: 'weather?', tools: [{ type: 'function', strict: false, ...fn }] }).finalResponse();
  const item = called.output.find((it) => it.type === 'function_call');
  out.called = [item.name, JSON.parse(item.arguments).city];
  const next = await openai.responses.create({ model: 'clawdbot', input: [{ role: 'user', content: 'weather?' }, ...called.output, { type: 'function_call_output', call_id: item.call_id, output: 'sunny' }] });
  out.next = next.output_text;
  try { await new OpenAI({ apiKey: 'wrong', baseURL: process.env.SERVER }).models.list(); } catch (error) { out.wrong = error.status; }
  try { await openai.responses.create({ model: 'clawdbot', input: '' }); } catch (error) { out.bad = [error.status, error.message.includes('Missing user message')]; }
  const aborted = await openai.chat.completions.create({ model: 'clawdbot', stream: true, messages: user('HANG') });
  for await (const chunk of aborted) if (chunk.choices[0]?.delta?.content) { out.aborted = chunk.choices[0].delta.content; break; }
  console.log(JSON.stringify(out));
})();
"#;

const PYTHON: &str = r#"
import json, os
from openai import OpenAI, APIStatusError
server, png = os.environ['SERVER'], 'data:image/png;base64,' + os.environ['PNG']
openai = OpenAI(api_key=os.environ['KEY'], base_url=server)
user = lambda content: [{'role': 'user', 'content': content}]
fn = {'name': 'get_weather', 'description': 'w', 'parameters': {'type': 'object', 'properties': {'city': {'type': 'string'}}}}
tool = [{'type': 'function', 'function': fn}]
out = {}
out['models'] = [it.id for it in openai.models.list()]
chat = openai.chat.completions.create(model='clawdbot', messages=user('hi'))
out['create'] = [chat.choices[0].message.content, chat.choices[0].finish_reason, chat.usage.total_tokens]
with openai.chat.completions.stream(model='clawdbot', messages=user('hi'), stream_options={'include_usage': True}) as stream:
    for event in stream: pass
    final = stream.get_final_completion()
out['stream'] = [final.choices[0].message.content, final.choices[0].finish_reason, final.usage.total_tokens]
tools = openai.chat.completions.create(model='clawdbot', messages=user('weather?'), tools=tool)
call = tools.choices[0].message.tool_calls[0]
out['tools'] = [tools.choices[0].finish_reason, call.function.name, json.loads(call.function.arguments)['city']]
after = openai.chat.completions.create(model='clawdbot', tools=tool, messages=user('weather?') + [
    tools.choices[0].message, {'role': 'tool', 'tool_call_id': call.id, 'content': 'sunny'}])
out['after'] = after.choices[0].message.content
picture = openai.chat.completions.create(model='clawdbot', messages=user([{'type': 'text', 'text': 'look'}, {'type': 'image_url', 'image_url': {'url': png}}]))
out['picture'] = picture.choices[0].message.content
response = openai.responses.create(model='clawdbot', input=[{'role': 'user', 'content': [
    {'type': 'input_text', 'text': 'look'}, {'type': 'input_image', 'image_url': png, 'detail': 'auto'}]}])
out['response'] = [response.output_text, response.status]
deltas = ''
with openai.responses.stream(model='clawdbot', input='hi') as events:
    for event in events:
        if event.type == 'response.output_text.delta': deltas += event.delta
    whole = events.get_final_response()
out['events'] = [whole.output_text, deltas, whole.usage.total_tokens]
with openai.responses.stream(model='clawdbot', input='weather?', tools=[{'type': 'function', 'strict': False, **fn}]) as events:
    for event in events: pass
    called = events.get_final_response()
item = next(it for it in called.output if it.type == 'function_call')
out['called'] = [item.name, json.loads(item.arguments)['city']]
following = openai.responses.create(model='clawdbot', input=[{'role': 'user', 'content': 'weather?'},
    *[it.to_dict() for it in called.output], {'type': 'function_call_output', 'call_id': item.call_id, 'output': 'sunny'}])
out['next'] = following.output_text
try: OpenAI(api_key='wrong', base_url=server).models.list()
except APIStatusError as error: out['wrong'] = error.status_code
try: openai.responses.create(model='clawdbot', input='')
except APIStatusError as error: out['bad'] = [error.status_code, 'Missing user message' in error.message]
with openai.chat.completions.create(model='clawdbot', stream=True, messages=user('HANG')) as aborted:
    for chunk in aborted:
        if chunk.choices and chunk.choices[0].delta.content:
            out['aborted'] = chunk.choices[0].delta.content
            break
print(json.dumps(out))
"#;

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Runs a script against a gateway whose model is scripted, and judges what it saw.
fn judge(run: impl FnOnce(&Home, &str) -> Ran) {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_, body| {
        let asked = body["messages"].as_array().expect("messages").last().expect("one").to_string();
        match () {
            () if asked.contains("HANG") => Answer::Held("Hello", held.clone(), " again."),
            () if asked.contains("sunny") => Answer::Text(vec!["It is", " sunny."]),
            () if asked.contains(PNG) => Answer::Text(vec!["A", " dot."]),
            () if asked.contains("weather?") => {
                Answer::Parts(vec![Part::Call("call_7", "get_weather", r#"{"city":"Graz"}"#)])
            }
            () => Answer::Text(vec!["Hello", " there."]),
        }
    });
    let model = json!({"id": "m", "name": "m", "reasoning": false, "input": ["text", "image"], "contextWindow": 32000,
        "maxTokens": 1000, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}});
    let gateway = Gateway::start(json!({
        "gateway": {"http": {"endpoints": {"chatCompletions": {"enabled": true}, "responses": {"enabled": true}}}},
        "models": {"providers": {"test": {"baseUrl": provider.url(), "apiKey": "k", "api": "openai-completions", "models": [model]}}},
        "agents": {"defaults": {"model": {"primary": "test/m"}}},
    }));
    let mut client = gateway.client();
    let home = Home::empty();
    let seen = run(&home, &format!("http://127.0.0.1:{}/v1", gateway.port)).json();
    for (what, expected) in [
        ("models", json!(["clawdbot", "clawdbot:main"])),
        ("create", json!(["Hello there.", "stop", 20])),
        ("stream", json!(["Hello there.", "stop", 20])),
        ("tools", json!(["tool_calls", "get_weather", "Graz"])),
        ("after", json!("It is sunny.")),
        ("picture", json!("A dot.")),
        ("response", json!(["A dot.", "completed"])),
        ("events", json!(["Hello there.", "Hello there.", 20])),
        ("called", json!(["get_weather", "Graz"])),
        ("next", json!("It is sunny.")),
        ("wrong", json!(401)),
        ("bad", json!([400, true])),
        ("aborted", json!("Hello")),
    ] {
        assert_eq!(seen[what], expected, "{what}: {seen}");
    }
    // The run behind the stream that it left is over.
    client.wait("the end of the aborted run", |frame| frame["payload"]["data"]["aborted"] == Value::Bool(true));
    gate.open();
}

#[test]
fn javascript() {
    let Some(original) = Original::find() else { return };
    let modules = original.directory("../..");
    judge(|home, server| {
        std::fs::write(home.path().join("client.cjs"), JAVASCRIPT).unwrap();
        let mut command = Command::new(original.program());
        command.arg("client.cjs").current_dir(home.path()).env("MODULES", &modules);
        command.env("SERVER", server).env("KEY", TOKEN).env("PNG", PNG);
        Ran::of_within(&mut command, PATIENCE)
    });
}

#[test]
fn python() {
    let Some(packages) = python_packages() else { return };
    judge(|home, server| {
        std::fs::write(home.path().join("client.py"), PYTHON).unwrap();
        let mut command = Command::new("python3");
        command.arg("client.py").current_dir(home.path()).env("PYTHONPATH", &packages).env("NO_PROXY", "127.0.0.1");
        command.env("SERVER", server).env("KEY", TOKEN).env("PNG", PNG);
        Ran::of_within(&mut command, PATIENCE)
    });
}

/// Where the Python client is; `None`, with one line about it, where it is not.
fn python_packages() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("CLAWDBOT_OPENAI_PYTHON") {
        return Some(given.into());
    }
    if !asks_npm() {
        skipped("OpenAI's Python client (set CLAWDBOT_TEST_NPM=1, or CLAWDBOT_OPENAI_PYTHON to where it is)");
        return None;
    }
    let place = std::env::temp_dir().join("clawdbot-test-openai-python");
    if place.join("openai").is_dir() {
        return Some(place);
    }
    let installed = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&place)
        .arg("openai")
        .output();
    match installed {
        Ok(output) if output.status.success() => Some(place),
        Ok(output) => {
            skipped(&format!("OpenAI's Python client: {}", String::from_utf8_lossy(&output.stderr).trim()));
            None
        }
        Err(error) => {
            skipped(&format!("OpenAI's Python client: {error}"));
            None
        }
    }
}
