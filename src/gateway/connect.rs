//! The handshake: judge `connect`, then admit with `hello-ok` or refuse with a reason (protocol.md §3).
//!
//! Runs on a frame worker. The order of checks is the original's; the first that fails decides the answer. Not here:
//! sockets, and what admitted clients may do (`dispatch`).

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::auth::{Place, may_be_rebound, place};
use super::client::{Client, Role, scope};
use super::ctx::Ctx;
use super::{events, methods};
use crate::base::ids::ConnId;
use crate::base::rng::uuid;
use crate::base::text::cut_bytes;
use crate::channels;
use crate::devices::identity;
use crate::devices::pairing::{Admission, DeviceInfo, Token};
use crate::devices::tokens::TokenRefusal;
use crate::net::ws::text_frame;
use crate::net::{LoopMsg, Peer};
use crate::presence::PresenceEntry;
use crate::protocol::connect::{ConnectDevice, ConnectParams};
use crate::protocol::error::ErrorShape;
use crate::protocol::frame::{BadFrame, Request, error_text, ok_text, parse_request};
use crate::protocol::{BUFFERED_BYTES_MAX, PAYLOAD_BYTES_MAX, PROTOCOL_VERSION, TICK_INTERVAL_MS, validate};

/// Longest close reason, in bytes.
const REASON_BYTES_MAX: usize = 120;
/// How far a signature's time may be off.
const SIGNATURE_AGE_MS_MAX: u64 = 600_000;

/// A refused handshake.
#[derive(Debug)]
struct Refused {
    error: Option<Box<ErrorShape>>,
    code: u16,
    reason: String,
}

impl Refused {
    fn invalid(message: impl Into<String>) -> Self {
        Self::with(ErrorShape::invalid(message))
    }

    fn with(error: ErrorShape) -> Self {
        Self { reason: error.message.clone(), error: Some(Box::new(error)), code: 1008 }
    }

    fn reason(self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..self }
    }

    /// Adds what mends it, beside the recorded text: `details.hint`, which clients may show.
    fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(error) = &mut self.error {
            error.details.get_or_insert_with(|| json!({}))["hint"] = Value::String(hint.into());
        }
        self
    }
}

/// What the checks established.
struct Admitted {
    params: ConnectParams,
    role: Role,
    scopes: Vec<String>,
    place: Place,
    token: Option<Token>,
}

/// Handles the first frame of a connection.
pub fn first_frame(cx: &Arc<Ctx>, conn: ConnId, peer: &Peer, bytes: &[u8]) {
    let request = match parse_request(bytes) {
        Ok(request) => request,
        // compat: 1000 without a reason for what is not JSON, 1008 for what is no request.
        Err(BadFrame::NotJson(error)) => {
            log::info!(target: "gateway/ws", "first frame is not JSON conn={conn}: {error}");
            return close(cx, conn, None, Refused { error: None, code: 1000, reason: String::new() });
        }
        Err(BadFrame::NotRequest { .. }) => {
            let reason = "invalid request frame".to_owned();
            return close(cx, conn, None, Refused { error: None, code: 1008, reason });
        }
    };
    match judge(cx, peer, &request) {
        Ok(admitted) => admit(cx, conn, peer, &request, admitted),
        Err(refused) => close(cx, conn, Some(&request), refused),
    }
}

fn close(cx: &Ctx, conn: ConnId, request: Option<&Request>, refused: Refused) {
    let Refused { error, code, reason } = refused;
    if !reason.is_empty() {
        log::info!(target: "gateway/ws", "connect refused conn={conn} code={code} reason={reason}");
    }
    let frames = match (request, error) {
        (Some(request), Some(error)) => text_frame(&error_text(&Value::String(request.id.clone()), &error, None)),
        _ => Bytes::new(),
    };
    let reason = cut_bytes(&reason, REASON_BYTES_MAX).to_owned();
    cx.net.send(LoopMsg::Close { conn, frames, code, reason });
}

fn judge(cx: &Ctx, peer: &Peer, request: &Request) -> Result<Admitted, Refused> {
    if request.method != "connect" {
        return Err(Refused::invalid("invalid handshake: first request must be connect"));
    }
    let raw = request.params.clone().unwrap_or(Value::Null);
    validate::check("ConnectParams", &raw)
        .map_err(|issues| Refused::invalid(format!("invalid connect params: {issues}")))?;
    let params: ConnectParams =
        serde_json::from_value(raw).map_err(|error| Refused::invalid(format!("invalid connect params: {error}")))?;
    if params.max_protocol < PROTOCOL_VERSION || params.min_protocol > PROTOCOL_VERSION {
        let error =
            ErrorShape::invalid("protocol mismatch").with_details(json!({"expectedProtocol": PROTOCOL_VERSION}));
        return Err(Refused { code: 1002, ..Refused::with(error) });
    }
    let role = match params.role.as_deref() {
        None | Some("operator") => Role::Operator,
        Some("node") => Role::Node,
        Some(_) => return Err(Refused::invalid("invalid role")),
    };
    let asked: Vec<String> = params.scopes.iter().flatten().map(|scope| scope.0.clone()).collect();
    let scopes = match role {
        Role::Operator if asked.is_empty() => vec!["operator.admin".to_owned()],
        _ => asked,
    };
    let config = cx.config.get();
    let place = place(&config, peer);
    refuse_strange_place(cx, peer, &place)?;
    let given = params.auth.clone().unwrap_or_default();
    let token = given.token.as_deref().filter(|token| !token.is_empty());
    let password = given.password.as_deref().filter(|password| !password.is_empty());
    let is_insecure_page = params.client.id == "clawdbot-control-ui"
        && config.gateway.control_ui.allow_insecure_auth == Some(true)
        && (token.is_some() || password.is_some());
    match &params.device {
        None => require_skippable_device(peer, &params, is_insecure_page, &config, token)?,
        Some(device) => prove_device(cx, &params, device, role, peer, &place, token)?,
    }
    if let Err(refusal) = cx.auth.check(peer, &place, token, password) {
        let refused = || Refused::invalid(refusal.message(&params.client.id, &params.client.mode));
        let (Some(token), Some(device)) = (token, params.device.as_ref()) else { return Err(refused()) };
        let checked = cx.pairing.check_token(&device.id, role.as_str(), &scopes, token, cx.clock.now_ms());
        let own = "connect with the gateway's own token";
        checked.map_err(|refusal| match refusal {
            TokenRefusal::Unknown => refused(),
            TokenRefusal::Revoked => refused().hint(format!("this device's token was revoked: {own}")),
            TokenRefusal::TooNarrow => {
                refused().hint(format!("this device's token covers less: {own} to ask for more"))
            }
        })?;
    }
    let token = match &params.device {
        Some(device) if !is_insecure_page => Some(pair(cx, &params, device, role, &scopes, &place)?),
        _ => None,
    };
    Ok(Admitted { params, role, scopes, place, token })
}

/// Refuses whom a gateway without a secret must not believe.
fn refuse_strange_place(cx: &Ctx, peer: &Peer, place: &Place) -> Result<(), Refused> {
    if place.has_untrusted_proxy {
        log::warn!(
            target: "gateway/ws",
            "forwarding headers from {}, which is not in gateway.trustedProxies: the client does not count as local",
            peer.address.ip(),
        );
    }
    if place.has_untrusted_proxy && !cx.auth.is_required() {
        let details = json!({"hint": "set gateway.auth or configure gateway.trustedProxies"});
        let error = ErrorShape::invalid("gateway auth required behind reverse proxy").with_details(details);
        return Err(Refused::with(error).reason("gateway auth required"));
    }
    if !cx.auth.is_required() && may_be_rebound(&peer.head) {
        let port = peer.local.port();
        return Err(Refused::invalid("origin not allowed")
            .reason("origin not allowed: open the page by address, or set gateway.auth.token")
            .hint(format!("open http://127.0.0.1:{port}/, or set gateway.auth.token on the gateway and restart it")));
    }
    Ok(())
}

/// A client without a device identity needs another reason to be let in.
fn require_skippable_device(
    peer: &Peer,
    params: &ConnectParams,
    is_insecure_page: bool,
    config: &crate::config::types::Config,
    token: Option<&str>,
) -> Result<(), Refused> {
    if params.client.id == "clawdbot-control-ui" {
        if config.gateway.control_ui.allow_insecure_auth != Some(true) {
            let port = peer.local.port();
            return Err(Refused::invalid("control ui requires HTTPS or localhost (secure context)").hint(format!(
                "open http://127.0.0.1:{port}/ on the gateway's host, put HTTPS in front of it, or set \
                 gateway.controlUi.allowInsecureAuth=true"
            )));
        }
        if is_insecure_page {
            return Ok(());
        }
    } else if token.is_some() {
        // compat: any token lets a client skip the device; the token itself is judged by the shared authentication.
        return Ok(());
    }
    Err(Refused::with(ErrorShape::not_paired("device identity required"))
        .hint("connect with a device identity, or send the gateway's token as auth.token"))
}

fn prove_device(
    cx: &Ctx,
    params: &ConnectParams,
    device: &ConnectDevice,
    role: Role,
    peer: &Peer,
    place: &Place,
    token: Option<&str>,
) -> Result<(), Refused> {
    let key =
        identity::decode_public_key(&device.public_key).map_err(|_| Refused::invalid("device public key invalid"))?;
    if identity::device_id_of(&key) != *device.id {
        return Err(Refused::invalid("device identity mismatch"));
    }
    let skew_ms = cx.clock.now_ms().abs_diff(device.signed_at);
    if skew_ms > SIGNATURE_AGE_MS_MAX {
        return Err(Refused::invalid("device signature expired").hint(format!(
            "set the clocks: the device's and the gateway's differ by {}",
            crate::base::text::duration(skew_ms)
        )));
    }
    let nonce = device.nonce.as_deref().map(str::trim).filter(|nonce| !nonce.is_empty());
    match nonce {
        None if !place.is_local => {
            return Err(Refused::invalid("device nonce required")
                .hint("sign the nonce of connect.challenge; only clients on the gateway's host may leave it out"));
        }
        Some(nonce) if nonce != peer.nonce => return Err(Refused::invalid("device nonce mismatch")),
        _ => {}
    }
    // compat: the scopes as sent, not the effective ones, are signed.
    let scopes: Vec<String> = params.scopes.iter().flatten().map(|scope| scope.0.clone()).collect();
    let payload = identity::payload(&identity::PayloadFields {
        device_id: &device.id,
        client_id: &params.client.id,
        client_mode: &params.client.mode,
        role: role.as_str(),
        scopes: &scopes,
        signed_at_ms: device.signed_at,
        token,
        nonce,
    });
    if identity::verify(&key, &payload, &device.signature) {
        Ok(())
    } else {
        Err(Refused::invalid("device signature invalid"))
    }
}

fn pair(
    cx: &Ctx,
    params: &ConnectParams,
    device: &ConnectDevice,
    role: Role,
    scopes: &[String],
    place: &Place,
) -> Result<Token, Refused> {
    let key =
        identity::decode_public_key(&device.public_key).map_err(|_| Refused::invalid("device public key invalid"))?;
    let info = DeviceInfo {
        device_id: device.id.0.clone(),
        public_key: identity::encode_public_key(&key),
        display_name: params.client.display_name.as_ref().map(|name| name.0.clone()),
        platform: Some(params.client.platform.0.clone()),
        client_id: Some(params.client.id.clone()),
        client_mode: Some(params.client.mode.clone()),
        role: Some(role.as_str().to_owned()),
        remote_ip: place.ip.map(|ip| ip.to_string()),
        ..DeviceInfo::default()
    };
    let now_ms = cx.clock.now_ms();
    let admission =
        cx.pairing.admit(&info, role.as_str(), scopes, place.is_local, now_ms, &*cx.rng).map_err(|error| {
            log::error!(target: "gateway", "cannot store the pairing of device {}: {error}", info.device_id);
            Refused::with(ErrorShape::exception(format!("cannot store the device pairing: {error}")))
        })?;
    match admission {
        Admission::Admitted { token, approved } => {
            for request in approved {
                log::info!(
                    target: "gateway",
                    "device pairing auto-approved device={} role={}", request.info.device_id, role.as_str(),
                );
                let payload = json!({
                    "requestId": request.request_id, "deviceId": request.info.device_id, "decision": "approved", "ts": now_ms,
                });
                events::broadcast(&cx.net, events::DEVICE_PAIR_RESOLVED, &payload, None);
            }
            Ok(token)
        }
        Admission::Pending { request, is_new } => {
            if is_new {
                log::info!(
                    target: "gateway",
                    "device {} asks for pairing; approve it with: {}",
                    info.device_id, approve_command(cx, &request.request_id),
                );
                events::broadcast(&cx.net, events::DEVICE_PAIR_REQUESTED, &request, None);
            }
            let error =
                ErrorShape::not_paired("pairing required").with_details(json!({"requestId": request.request_id}));
            let command = approve_command(cx, &request.request_id);
            Err(Refused::with(error).hint(format!("approve it on the gateway's host: {command}")))
        }
    }
}

fn approve_command(cx: &Ctx, request_id: &str) -> String {
    cx.paths.hint(&format!("devices approve {request_id}"))
}

fn admit(cx: &Arc<Ctx>, conn: ConnId, peer: &Peer, request: &Request, admitted: Admitted) {
    let Admitted { params, role, scopes, place, token } = admitted;
    let conn_id = uuid(&*cx.rng);
    let said = |text: &Option<crate::protocol::NonEmpty>| text.as_ref().map(|text| text.0.clone());
    let presence_key = (params.client.mode != "cli").then(|| {
        let device = params.device.as_ref().map(|device| device.id.0.clone());
        device.or_else(|| said(&params.client.instance_id)).unwrap_or_else(|| conn_id.clone())
    });
    if let Some(key) = &presence_key {
        let device_id = params.device.as_ref().map(|device| device.id.0.clone());
        cx.presence.connect(
            key,
            PresenceEntry {
                host: Some(said(&params.client.display_name).unwrap_or_else(|| params.client.id.clone())),
                ip: place.ip.filter(|_| !place.is_local).map(|ip| ip.to_string()),
                version: Some(params.client.version.0.clone()),
                platform: Some(params.client.platform.0.clone()),
                device_family: said(&params.client.device_family),
                model_identifier: said(&params.client.model_identifier),
                mode: Some(params.client.mode.clone()),
                reason: Some("connect".to_owned()),
                instance_id: device_id.clone().or_else(|| said(&params.client.instance_id)),
                device_id,
                roles: vec![role.as_str().to_owned()],
                scopes: scopes.clone(),
                ts: cx.clock.now_ms(),
                ..PresenceEntry::default()
            },
        );
    }
    let bits = match role {
        Role::Operator => scopes.iter().fold(0, |bits, name| bits | scope::bit(name)),
        Role::Node => 0,
    };
    let hello = hello_ok(cx, peer, &conn_id, token.as_ref());
    log::debug!(
        target: "gateway/ws",
        "connected conn={conn_id} client={} mode={} role={} ip={}",
        params.client.id, params.client.mode, role.as_str(), peer.address.ip(),
    );
    let instance_id = said(&params.client.instance_id);
    if role == Role::Node {
        super::nodes::register(cx, conn, &params, &place);
    }
    let client = Arc::new(Client {
        conn_id,
        role,
        scopes: bits,
        mode: params.client.mode,
        display_name: params.client.display_name.map(|name| name.0),
        device_id: params.device.map(|device| device.id.0),
        id: params.client.id,
        presence_key,
    });
    let frames = text_frame(&ok_text(&Value::String(request.id.clone()), &hello));
    cx.net.send(LoopMsg::Admit { conn, client: client.clone(), audience: bits, frames });
    if role == Role::Node {
        super::nodes::greet(cx, conn, client.node_id(), instance_id.as_deref());
    }
    // Every connect asks for a fresh health snapshot; those who come while one is made share it.
    super::health::refresh_soon(cx);
    super::work::arm_settled(cx);
}

fn hello_ok(cx: &Ctx, peer: &Peer, conn_id: &str, token: Option<&Token>) -> Value {
    let now_ms = cx.clock.now_ms();
    let (presence, presence_version) = cx.presence.list(now_ms);
    let (health, health_version) = cx.health.latest();
    let mut server = json!({"version": super::version()});
    if let Some(commit) = option_env!("GIT_COMMIT") {
        server["commit"] = commit.into();
    }
    server["host"] = cx.host.name.as_str().into();
    server["connId"] = conn_id.into();
    let config = cx.config.get();
    let has_web_login =
        channels::active(&cx.channels_at(&config)).iter().any(|channel| channel.capabilities().has_web_login);
    let methods = methods::advertised(has_web_login);
    let mut hello = json!({
        "type": "hello-ok",
        "protocol": PROTOCOL_VERSION,
        "server": server,
        "features": {"methods": methods.collect::<Vec<_>>(), "events": events::ADVERTISED},
        "snapshot": {
            "presence": presence,
            "health": health.map_or_else(|| json!({}), |health| (*health).clone()),
            "stateVersion": {"presence": presence_version, "health": health_version},
            "uptimeMs": u64::try_from(cx.clock.now().saturating_duration_since(cx.started_at).as_millis()).unwrap_or(u64::MAX),
            "configPath": cx.paths.config_file,
            "stateDir": cx.paths.state_dir,
            "sessionDefaults": cx.session_defaults(),
        },
    });
    #[cfg(feature = "canvas")]
    if let Some(url) = super::canvas_host::url(cx, peer) {
        hello["canvasHostUrl"] = url;
    }
    #[cfg(not(feature = "canvas"))]
    let _ = peer;
    if let Some(token) = token {
        hello["auth"] = json!({
            "deviceToken": token.token,
            "role": token.role,
            "scopes": token.scopes,
            "issuedAtMs": token.rotated_at_ms.unwrap_or(token.created_at_ms),
        });
    }
    hello["policy"] = json!({
        "maxPayload": PAYLOAD_BYTES_MAX, "maxBufferedBytes": BUFFERED_BYTES_MAX, "tickIntervalMs": TICK_INTERVAL_MS,
    });
    hello
}
