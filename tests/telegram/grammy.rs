//! An independent client judges the server that the other tests trust: grammY, which the original brings along.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::bot_api::{BotApi, Fault, TOKEN, group};
use crate::support::home::{Home, Ran};
use crate::support::original::Original;

const PATIENCE: Duration = Duration::from_secs(60);

/// Answers what comes in until it is told to stop, then says what it saw.
const BOT: &str = r"
const from = require('node:module').createRequire(process.env.MODULES + '/from.js');
const { Api, Bot, GrammyError, HttpError, InputFile } = from('grammy');
const bot = new Bot(process.env.TOKEN, { client: { apiRoot: process.env.SERVER } });
const seen = { texts: [], errors: [] };
const failing = async (call) => { try { await call(); } catch (error) {
  seen.errors.push(error instanceof GrammyError ? [error.error_code, error.description, error.parameters.retry_after ?? 0]
    : [error instanceof HttpError ? 'HttpError' : String(error)]);
} };
bot.on('callback_query:data', async (ctx) => { seen.button = ctx.callbackQuery.data; await ctx.answerCallbackQuery(); });
bot.on('message_reaction', (ctx) => { seen.reaction = ctx.reactions().emojiAdded; });
bot.on('my_chat_member', (ctx) => { seen.member = ctx.myChatMember.new_chat_member.status; });
bot.on('message:photo', async (ctx) => {
  const file = await ctx.getFile();
  const bytes = await (await fetch(`${process.env.SERVER}/file/bot${process.env.TOKEN}/${file.file_path}`)).arrayBuffer();
  seen.photo = [ctx.message.caption, bytes.byteLength];
});
bot.on('message:text', async (ctx) => {
  seen.texts.push(ctx.message.text);
  if (ctx.message.text !== 'go') return;
  const sent = await ctx.reply('<b>bold</b> &lt;x&gt;', { parse_mode: 'HTML', reply_parameters: { message_id: ctx.message.message_id } });
  seen.sent = [sent.text, sent.chat.id, sent.from.is_bot];
  const photo = await ctx.replyWithPhoto(new InputFile(Buffer.from([0xff, 0xd8, 0xff]), 'a.jpg'), { caption: 'look' });
  seen.sentPhoto = [photo.caption, photo.photo[0].file_size];
  await bot.api.setMyCommands([{ command: 'help', description: 'Shows help' }]);
  seen.commands = await bot.api.getMyCommands();
  await ctx.react('👍');
  await bot.api.editMessageText(ctx.chat.id, sent.message_id, 'edited');
  await bot.api.deleteMessage(ctx.chat.id, sent.message_id);
  await ctx.replyWithChatAction('typing');
  seen.status = (await bot.api.getChatMember(ctx.chat.id, bot.botInfo.id)).status;
  await failing(() => bot.api.editMessageText(ctx.chat.id, sent.message_id, 'gone'));
  await failing(() => ctx.reply('<b>open', { parse_mode: 'HTML' }));
  await failing(() => ctx.reply('x'.repeat(4097)));
  await failing(() => bot.api.sendMessage('nonsense', 'x'));
  for (const text of ['limit', 'html', 'close']) await failing(() => ctx.reply(text));
  // It waits for the other half as long as it is told to.
  const hasty = new Api(process.env.TOKEN, { apiRoot: process.env.SERVER, timeoutSeconds: 1 });
  await failing(() => hasty.sendMessage(ctx.chat.id, 'half'));
  await failing(() => new Bot('1:no', { client: { apiRoot: process.env.SERVER } }).api.getMe());
});
const stop = setInterval(async () => {
  if (seen.errors.length < 9 || !seen.button || !seen.reaction || !seen.photo || !seen.member) return;
  clearInterval(stop);
  await bot.stop();
  console.log(JSON.stringify(seen));
}, 20);
bot.start({ allowed_updates: ['message', 'callback_query', 'message_reaction', 'my_chat_member'] });
";

#[test]
fn an_independent_client_takes_the_server_for_telegrams() {
    let Some(original) = Original::find() else { return };
    let modules = original.directory("../..");
    let api = BotApi::start();
    api.fail(|call| match (call.method.as_str(), call.params["text"].as_str()) {
        ("sendMessage", Some("limit")) => Some(Fault::Refuse(429, "Too Many Requests: retry after 7", Some(7))),
        ("sendMessage", Some("html")) => Some(Fault::Html(502)),
        ("sendMessage", Some("close")) => Some(Fault::Close),
        ("sendMessage", Some("half")) => Some(Fault::Half),
        _ => None,
    });
    api.put_file("pic", b"twelve bytes");
    api.say(5, "go");
    api.message(
        5,
        json!({"caption": "see", "photo": [{"file_id": "pic", "file_unique_id": "p", "width": 1, "height": 1}]}),
    );
    api.push(
        json!({"callback_query": {"id": "cb", "from": {"id": 5, "first_name": "P"}, "chat_instance": "1", "data": "/x",
        "message": {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}}}}),
    );
    api.push(json!({"message_reaction": {"chat": group(-100), "message_id": 1, "date": 1, "user": {"id": 5, "first_name": "P"},
        "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": "🔥"}]}}));
    api.push(json!({"channel_post": {"message_id": 1, "date": 1, "text": "not asked for", "chat": {"id": -7, "type": "channel"}}}));
    api.push(json!({"my_chat_member": {"chat": group(-100), "from": {"id": 5, "first_name": "P"}, "date": 1,
        "old_chat_member": {"status": "left"}, "new_chat_member": {"status": "member"}}}));
    let home = Home::empty();
    std::fs::write(home.path().join("bot.cjs"), BOT).unwrap();
    let mut command = Command::new(original.program());
    command.arg("bot.cjs").current_dir(home.path());
    command.env("MODULES", modules).env("SERVER", api.url()).env("TOKEN", TOKEN);
    let seen = Ran::of_within(&mut command, PATIENCE).json();

    let expected = json!({
        "texts": ["go"], "sent": ["bold <x>", 5, true], "sentPhoto": ["look", 3],
        "commands": [{"command": "help", "description": "Shows help"}], "status": "member",
        "photo": ["see", 12], "button": "/x", "reaction": ["🔥"], "member": "member",
    });
    for (key, value) in expected.as_object().expect("object") {
        assert_eq!(&seen[key], value, "{key}: {seen:#}");
    }
    let errors = seen["errors"].as_array().expect("errors");
    let is = |index: usize, code: u16, words: &str| {
        let error = &errors[index];
        assert!(error[0] == code && error[1].as_str().is_some_and(|it| it.contains(words)), "{index}: {seen:#}");
    };
    is(0, 400, "message to edit not found");
    is(1, 400, "can't parse entities");
    is(2, 400, "message is too long");
    is(3, 400, "chat not found");
    is(4, 429, "retry after");
    assert_eq!(errors[4][2], 7);
    assert!((5..8).all(|index| errors[index] == json!(["HttpError"])), "{seen:#}");
    is(8, 401, "Unauthorized");
    // It stopped as it should: everything it saw is confirmed, and it polled alone.
    let confirmed = |api: &BotApi| api.pending() == 0;
    api.wait("everything is confirmed", confirmed);
    assert_eq!(api.polls_at_once_max(), 1);
    let calls = api.calls();
    let photo = calls.iter().find(|call| call.method == "sendPhoto").expect("a picture");
    let part = photo.params["photo"].as_str().and_then(|it| it.strip_prefix("attach://")).expect("a named part");
    assert_eq!(photo.params[part]["size"], 3, "{photo:?}");
    let _: &Value = &photo.answer;
}

#[test]
fn a_second_poll_ends_the_first() {
    let Some(original) = Original::find() else { return };
    let api = BotApi::start();
    let home = Home::empty();
    let script = r"
const from = require('node:module').createRequire(process.env.MODULES + '/from.js');
const { Api, GrammyError } = from('grammy');
const api = () => new Api(process.env.TOKEN, { apiRoot: process.env.SERVER });
(async () => {
  const poll = () => api().getUpdates({ timeout: 2 }).catch((error) => error);
  const both = await Promise.all([poll(), poll()]);
  // Two connections: either may be the first to arrive.
  const [ended, other] = both[0] instanceof GrammyError ? both : both.reverse();
  console.log(JSON.stringify([ended.error_code, ended.description, other]));
})();
";
    std::fs::write(home.path().join("poll.cjs"), script).unwrap();
    let mut command = Command::new(original.program());
    command.arg("poll.cjs").current_dir(home.path());
    command.env("MODULES", original.directory("../..")).env("SERVER", api.url()).env("TOKEN", TOKEN);
    let seen = Ran::of_within(&mut command, PATIENCE).json();
    assert_eq!((&seen[0], &seen[2]), (&json!(409), &json!([])), "{seen}");
    assert!(seen[1].as_str().is_some_and(|text| text.contains("terminated by other getUpdates")), "{seen}");
}
