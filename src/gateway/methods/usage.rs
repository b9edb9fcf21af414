//! usage.status, usage.cost.

use super::Method;

pub(super) const METHODS: &[Method] = &[];
