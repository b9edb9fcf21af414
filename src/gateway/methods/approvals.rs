//! exec.approval.*, exec.approvals.*.

use super::Method;

pub(super) const METHODS: &[Method] = &[];
