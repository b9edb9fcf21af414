//! node.*, node.pair.*.

use super::Method;

pub(super) const METHODS: &[Method] = &[];
