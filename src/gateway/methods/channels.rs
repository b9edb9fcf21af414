//! channels.status, channels.logout, send, poll, web.login.*.

use super::Method;

pub(super) const METHODS: &[Method] = &[];
