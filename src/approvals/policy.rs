//! How strict the policy is, and what follows for one command. Pure.

use std::fmt;

/// Which commands may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// None.
    Deny,
    /// Those of the allowlist.
    Allowlist,
    /// All.
    Full,
}

/// When a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// Never.
    Off,
    /// When the allowlist does not cover the command.
    OnMiss,
    /// Always.
    Always,
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// This time.
    AllowOnce,
    /// From now on.
    AllowAlways,
    /// No.
    Deny,
}

impl Security {
    /// Reads a value of the configuration or the file.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "deny" => Some(Self::Deny),
            "allowlist" => Some(Self::Allowlist),
            "full" => Some(Self::Full),
            _ => None,
        }
    }

    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allowlist => "allowlist",
            Self::Full => "full",
        }
    }
}

impl Ask {
    /// Reads a value of the configuration or the file.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "on-miss" => Some(Self::OnMiss),
            "always" => Some(Self::Always),
            _ => None,
        }
    }

    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::OnMiss => "on-miss",
            Self::Always => "always",
        }
    }
}

impl Decision {
    /// Reads a decision of the wire.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "allow-once" => Some(Self::AllowOnce),
            "allow-always" => Some(Self::AllowAlways),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }

    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowOnce => "allow-once",
            Self::AllowAlways => "allow-always",
            Self::Deny => "deny",
        }
    }
}

/// How strict the policy is for one agent: the stricter of the tool's settings and the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strictness {
    /// Which commands may run.
    pub security: Security,
    /// When a person is asked.
    pub ask: Ask,
    /// What holds when nobody answers.
    pub fallback: Security,
    /// Whether programs named by skills count as allowed.
    pub allows_skills: bool,
}

/// What is to be done with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Run,
    /// A person is asked, and [`Strictness::answered`] decides.
    Ask,
    /// It does not run.
    Deny(Denial),
}

/// Why a command does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// No command may.
    Security,
    /// The allowlist does not cover it.
    AllowlistMiss,
    /// A person said no.
    UserDenied,
    /// Nobody answered.
    ApprovalTimeout,
    /// Nobody answered, and the allowlist does not cover it.
    ApprovalTimeoutMiss,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "security=deny",
            Self::AllowlistMiss => "allowlist-miss",
            Self::UserDenied => "user-denied",
            Self::ApprovalTimeout => "approval-timeout",
            Self::ApprovalTimeoutMiss => "approval-timeout (allowlist-miss)",
        })
    }
}

impl Strictness {
    /// No command runs: what holds when the policy cannot be read.
    pub const CLOSED: Self =
        Self { security: Security::Deny, ask: Ask::Always, fallback: Security::Deny, allows_skills: false };

    /// Decides about a command; `is_allowed` says whether the allowlist covers all of it.
    pub fn judge(&self, is_allowed: bool) -> Verdict {
        if self.security == Security::Deny {
            return Verdict::Deny(Denial::Security);
        }
        let is_miss = self.security == Security::Allowlist && !is_allowed;
        match self.ask {
            Ask::Always => Verdict::Ask,
            Ask::OnMiss if is_miss => Verdict::Ask,
            _ if is_miss => Verdict::Deny(Denial::AllowlistMiss),
            _ => Verdict::Run,
        }
    }

    /// Decides after a person was asked; `None` is no answer in time.
    ///
    /// # Errors
    /// Why it does not run.
    pub fn answered(&self, decision: Option<Decision>, is_allowed: bool) -> Result<(), Denial> {
        match decision {
            Some(Decision::AllowOnce | Decision::AllowAlways) => Ok(()),
            Some(Decision::Deny) => Err(Denial::UserDenied),
            None => match self.fallback {
                Security::Full => Ok(()),
                Security::Allowlist if is_allowed => Ok(()),
                Security::Allowlist => Err(Denial::ApprovalTimeoutMiss),
                Security::Deny => Err(Denial::ApprovalTimeout),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        use Verdict::{Ask as Asks, Deny, Run};
        let check = |security, ask, is_allowed, expected| {
            let strictness = Strictness { security, ask, fallback: Security::Deny, allows_skills: false };
            assert_eq!(strictness.judge(is_allowed), expected, "{security:?} {ask:?} {is_allowed}");
        };
        for is_allowed in [true, false] {
            for ask in [Ask::Off, Ask::OnMiss, Ask::Always] {
                check(Security::Deny, ask, is_allowed, Deny(Denial::Security));
            }
            check(Security::Full, Ask::Off, is_allowed, Run);
            check(Security::Full, Ask::OnMiss, is_allowed, Run);
            check(Security::Full, Ask::Always, is_allowed, Asks);
            check(Security::Allowlist, Ask::Always, is_allowed, Asks);
        }
        check(Security::Allowlist, Ask::Off, true, Run);
        check(Security::Allowlist, Ask::Off, false, Deny(Denial::AllowlistMiss));
        check(Security::Allowlist, Ask::OnMiss, true, Run);
        check(Security::Allowlist, Ask::OnMiss, false, Asks);
    }

    #[test]
    fn answers() {
        let check = |fallback, decision, is_allowed, expected: Result<(), Denial>| {
            let strictness = Strictness { fallback, ..Strictness::CLOSED };
            assert_eq!(strictness.answered(decision, is_allowed), expected, "{fallback:?} {decision:?} {is_allowed}");
        };
        check(Security::Deny, Some(Decision::AllowOnce), false, Ok(()));
        check(Security::Full, Some(Decision::Deny), true, Err(Denial::UserDenied));
        check(Security::Full, None, false, Ok(()));
        check(Security::Allowlist, None, true, Ok(()));
        check(Security::Allowlist, None, false, Err(Denial::ApprovalTimeoutMiss));
        check(Security::Deny, None, true, Err(Denial::ApprovalTimeout));
    }

    #[test]
    fn names_go_both_ways() {
        for name in ["deny", "allowlist", "full"] {
            assert_eq!(Security::parse(name).map(Security::as_str), Some(name));
        }
        for name in ["off", "on-miss", "always"] {
            assert_eq!(Ask::parse(name).map(Ask::as_str), Some(name));
        }
        for name in ["allow-once", "allow-always", "deny"] {
            assert_eq!(Decision::parse(name).map(Decision::as_str), Some(name));
        }
        assert_eq!((Security::parse("Full"), Ask::parse(""), Decision::parse("maybe")), (None, None, None));
    }
}
