//! talk.mode, voicewake.*.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Any, Method, decode, methods};
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::events;
use crate::nodes::policy::Platform;
use crate::nodes::registry::Node;
use crate::protocol::error::ErrorShape;
use crate::protocol::talk::TalkModeParams;

pub(super) const METHODS: &[Method] = methods! {
    "talk.mode" Write Any talk_mode;
    "voicewake.get" Read Any voicewake_get;
    "voicewake.set" Write Any voicewake_set;
};

/// Tells everybody that talk mode was switched; the mode itself lives in the devices.
fn talk_mode(cx: &Arc<Ctx>, call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    // compat: judged before the parameters.
    if call.client.is_webchat() && !has_mobile_node(cx) {
        return Err(ErrorShape::unavailable("talk disabled: no connected iOS/Android nodes"));
    }
    let params: TalkModeParams = decode("talk.mode", "TalkModeParams", params)?;
    // compat: null for an absent phase.
    let payload = json!({"enabled": params.enabled, "phase": params.phase, "ts": cx.clock.now_ms()});
    events::broadcast(&cx.net, events::TALK_MODE, &payload, None);
    Ok(Reply::Now(payload))
}

/// Returns whether a node that can hear and speak for the web page is connected (platform `ios`, `ipados`, `android`).
fn has_mobile_node(cx: &Ctx) -> bool {
    let is_mobile = |node: &Arc<Node>| Platform::of(node.platform.as_deref(), None).is_mobile();
    cx.nodes.list().iter().any(is_mobile)
}

fn voicewake_get(cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    Ok(Reply::Now(json!({"triggers": cx.voicewake.triggers()})))
}

fn voicewake_set(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let wanted = params.get("triggers").and_then(Value::as_array);
    let wanted = wanted.ok_or_else(|| ErrorShape::invalid("voicewake.set requires triggers: string[]"))?;
    let triggers = cx.voicewake.set(wanted, cx.clock.now_ms()).map_err(ErrorShape::exception)?;
    let payload = json!({"triggers": triggers});
    events::broadcast(&cx.net, events::VOICEWAKE_CHANGED, &payload, None);
    Ok(Reply::Now(payload))
}
