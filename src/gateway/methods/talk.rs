//! talk.mode, voicewake.*.

use super::Method;

pub(super) const METHODS: &[Method] = &[];
