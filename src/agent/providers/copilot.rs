//! What GitHub Copilot wants beside OpenAI's formats: the server that the token names, and headers that tell what kind of
//! request it is.
//!
//! The original also introduces itself as Visual Studio Code's extension; here the editor's headers carry our own name, and
//! an integration id is sent only if the owner configures one (`models.providers.github-copilot.headers`). Pure. Not here:
//! the token (`auth_profiles::copilot`).

use super::TurnRequest;
use super::exchange::Call;
use crate::agent::auth_profiles::copilot::{BASE_URL_DEFAULT, PROVIDER, base_url};
use crate::agent::message::{Block, Content, Message};

const OWN_NAME: &str = concat!("clawdbot/", env!("CARGO_PKG_VERSION"));

/// Makes a request one for Copilot, if it is.
pub(super) fn adapt(request: &TurnRequest<'_>, call: &mut Call) {
    let model = request.model;
    if model.provider != PROVIDER {
        return;
    }
    // Whoever configures another server means it.
    if let (Some(path), Some(key)) = (call.url.strip_prefix(BASE_URL_DEFAULT), request.key)
        && let Some(base) = base_url(key.expose())
    {
        call.url = format!("{base}{path}");
    }
    // Only what a person asks for counts against a plan.
    let is_users = request.messages.last().is_none_or(|last| matches!(last, Message::User(_)));
    let mut add = |name: &'static str, value: &str| call.headers.push((name, value.to_owned()));
    add("editor-version", OWN_NAME);
    add("editor-plugin-version", OWN_NAME);
    add("x-initiator", if is_users { "user" } else { "agent" });
    add("openai-intent", "conversation-edits");
    if request.messages.iter().any(has_image) {
        add("copilot-vision-request", "true");
    }
}

fn has_image(message: &Message) -> bool {
    let is_image = |block: &Block| matches!(block, Block::Image { .. });
    match message {
        Message::User(said) => matches!(&said.content, Content::Blocks(blocks) if blocks.iter().any(is_image)),
        Message::ToolResult(result) => result.content.iter().any(is_image),
        Message::Assistant(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{messages, model};
    use super::super::tests::request;
    use super::*;
    use crate::base::secret::Secret;
    use serde_json::json;

    #[test]
    fn requests_go_where_the_token_says_and_tell_who_asks() {
        let user = json!({"role": "user", "content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]});
        let result = json!({"role": "toolResult", "toolCallId": "a", "toolName": "x", "isError": false, "content": []});
        let token = Secret::new("tid=1;proxy-ep=proxy.business.example.com");
        let mut copilot = model(PROVIDER, "gpt-4o", "openai-completions");
        copilot.base_url = BASE_URL_DEFAULT.into();
        for (said, initiator) in [(json!([user]), "user"), (json!([user, result]), "agent")] {
            let said = messages(said);
            let mut asked = request(&copilot, &said);
            asked.key = Some(&token);
            let mut call = Call { url: format!("{BASE_URL_DEFAULT}/responses"), headers: Vec::new(), body: json!({}) };
            adapt(&asked, &mut call);
            assert_eq!(call.url, "https://api.business.example.com/responses");
            let header = |name: &str| call.headers.iter().find(|(it, _)| *it == name).map(|(_, value)| value.as_str());
            assert_eq!(header("x-initiator"), Some(initiator));
            assert_eq!(header("copilot-vision-request"), Some("true"));
            assert!(header("editor-version").is_some_and(|name| name.starts_with("clawdbot/")));
        }
    }
}
