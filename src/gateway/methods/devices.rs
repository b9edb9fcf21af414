//! device.pair.*, device.token.*.
//!
//! Handlers that write run on the lane `pairing`, one at a time and off the frame workers: each write is synced.

use std::sync::Arc;

use serde_json::json;

use super::{Method, methods};
use crate::devices::pairing::PairedSummary;
use crate::gateway::client::scope;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::events;
use crate::protocol::devices::{
    DevicePairApproveParams, DevicePairListParams, DevicePairRejectParams, DeviceTokenRevokeParams,
    DeviceTokenRotateParams,
};
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "device.pair.list" Pairing DevicePairListParams list on pairing;
    "device.pair.approve" Pairing DevicePairApproveParams approve on pairing;
    "device.pair.reject" Pairing DevicePairRejectParams reject on pairing;
    "device.token.rotate" Pairing DeviceTokenRotateParams rotate on pairing;
    "device.token.revoke" Pairing DeviceTokenRevokeParams revoke on pairing;
};

fn list(cx: &Arc<Ctx>, _call: &Call, _params: DevicePairListParams) -> Result<Reply, ErrorShape> {
    let (pending, paired) = cx.pairing.list(cx.clock.now_ms());
    let paired: Vec<PairedSummary> = paired.iter().map(|device| device.summary()).collect();
    Ok(Reply::Now(json!({"pending": pending, "paired": paired})))
}

fn approve(cx: &Arc<Ctx>, call: &Call, params: DevicePairApproveParams) -> Result<Reply, ErrorShape> {
    let (id, now_ms) = (&*params.request_id, cx.clock.now_ms());
    let request = cx.pairing.pending(id, now_ms).ok_or_else(unknown_request)?;
    require_grantable(call.client.scopes, &request.info.scopes)?;
    let approved = cx.pairing.approve(id, now_ms, &*cx.rng).map_err(ErrorShape::exception)?;
    let device = approved.ok_or_else(unknown_request)?;
    log::info!(
        target: "gateway",
        "device pairing approved device={} role={} by={}",
        device.info.device_id, device.info.role.as_deref().unwrap_or("unknown"), call.client.id,
    );
    resolved(cx, id, &device.info.device_id, "approved");
    Ok(Reply::Now(json!({"requestId": id, "device": device.summary()})))
}

fn reject(cx: &Arc<Ctx>, _call: &Call, params: DevicePairRejectParams) -> Result<Reply, ErrorShape> {
    let id = &*params.request_id;
    let rejected = cx.pairing.reject(id, cx.clock.now_ms()).map_err(ErrorShape::exception)?;
    let device_id = rejected.ok_or_else(unknown_request)?.info.device_id;
    log::info!(target: "gateway", "device pairing rejected device={device_id}");
    resolved(cx, id, &device_id, "rejected");
    Ok(Reply::Now(json!({"requestId": id, "deviceId": device_id})))
}

fn rotate(cx: &Arc<Ctx>, call: &Call, params: DeviceTokenRotateParams) -> Result<Reply, ErrorShape> {
    let (device_id, role) = (params.device_id.trim(), params.role.trim());
    let is_approval = params.scopes.is_some();
    let given = params.scopes.map(|scopes| scopes.into_iter().map(|scope| scope.0).collect());
    let scopes = cx.pairing.rotation_scopes(device_id, role, given).filter(|_| !role.is_empty());
    let scopes = scopes.ok_or_else(unknown_device)?;
    require_grantable(call.client.scopes, &scopes)?;
    let now_ms = cx.clock.now_ms();
    let rotated = cx.pairing.rotate(device_id, role, &scopes, is_approval, now_ms, &*cx.rng);
    let token = rotated.map_err(ErrorShape::exception)?.ok_or_else(unknown_device)?;
    log::info!(
        target: "gateway",
        "device token rotated device={device_id} role={role} scopes={} by={}", token.scopes.join(","), call.client.id,
    );
    Ok(Reply::Now(json!({
        "deviceId": params.device_id.0,
        "role": token.role,
        "token": token.token,
        "scopes": token.scopes,
        "rotatedAtMs": token.rotated_at_ms.unwrap_or(token.created_at_ms),
    })))
}

fn revoke(cx: &Arc<Ctx>, call: &Call, params: DeviceTokenRevokeParams) -> Result<Reply, ErrorShape> {
    let (device_id, role) = (params.device_id.trim(), params.role.trim());
    let revoked = cx.pairing.revoke(device_id, role, cx.clock.now_ms()).map_err(ErrorShape::exception)?;
    let token = revoked.ok_or_else(unknown_device)?;
    log::info!(target: "gateway", "device token revoked device={device_id} role={role} by={}", call.client.id);
    Ok(Reply::Now(json!({"deviceId": params.device_id.0, "role": token.role, "revokedAtMs": token.revoked_at_ms})))
}

/// Nobody hands out what they do not hold themselves: in the original, `operator.pairing` alone could make itself an
/// admin, by approving its own wish or by rotating its own token.
fn require_grantable(held: u32, scopes: &[String]) -> Result<(), ErrorShape> {
    if held & scope::ADMIN != 0 {
        return Ok(());
    }
    match scopes.iter().find(|name| held & scope::bit(name) == 0) {
        None => Ok(()),
        Some(name) => Err(ErrorShape::invalid(format!("missing scope: {name}"))),
    }
}

fn resolved(cx: &Ctx, request_id: &str, device_id: &str, decision: &str) {
    let payload =
        json!({"requestId": request_id, "deviceId": device_id, "decision": decision, "ts": cx.clock.now_ms()});
    events::broadcast(&cx.net, events::DEVICE_PAIR_RESOLVED, &payload, None);
}

fn unknown_request() -> ErrorShape {
    ErrorShape::invalid("unknown requestId")
}

fn unknown_device() -> ErrorShape {
    ErrorShape::invalid("unknown deviceId/role")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_grants_what_they_do_not_hold() {
        let check = |held: &[&str], granted: &[&str]| {
            let scopes = held.iter().fold(0, |bits, name| bits | scope::bit(name));
            let granted: Vec<String> = granted.iter().map(|&name| name.to_owned()).collect();
            require_grantable(scopes, &granted).is_ok()
        };
        assert!(check(&["operator.admin"], &["operator.admin", "anything"]));
        assert!(check(&["operator.pairing", "operator.read"], &["operator.read"]));
        assert!(check(&["operator.pairing"], &[]));
        assert!(!check(&["operator.pairing"], &["operator.admin"]));
        assert!(!check(&["operator.pairing"], &["operator.pairing", "something.new"]));
    }
}
