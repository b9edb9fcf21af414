//! device.pair.*, device.token.*.

use super::Method;

pub(super) const METHODS: &[Method] = &[];
