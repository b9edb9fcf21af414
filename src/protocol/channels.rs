//! Parameters of `channels.*`, `send`, `poll` and `web.login.*`.

use super::{NonEmpty, params};

params! {
    /// Parameters of `channels.status`.
    pub struct ChannelsStatusParams {
        /// Whether each account is tried.
        pub probe: Option<bool>,
        /// How long a try may take, default 10000, at least 1000.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub timeout_ms: Option<u64>,
    }

    /// Parameters of `channels.logout`.
    pub struct ChannelsLogoutParams {
        /// Which channel.
        pub channel: NonEmpty,
        /// Which account; absent = the channel's default.
        pub account_id: Option<String>,
    }

    /// Parameters of `send`.
    pub struct SendParams {
        /// To whom.
        pub to: NonEmpty,
        /// What to say.
        pub message: NonEmpty,
        /// A picture or file.
        pub media_url: Option<String>,
        /// More of them.
        pub media_urls: Option<Vec<String>>,
        /// Whether a video plays as an animation.
        pub gif_playback: Option<bool>,
        /// Which channel; absent = WhatsApp.
        pub channel: Option<String>,
        /// Which account; absent = the channel's default.
        pub account_id: Option<String>,
        /// Session whose transcript gets a copy.
        pub session_key: Option<String>,
        /// A repetition is answered with the first result.
        pub idempotency_key: NonEmpty,
    }

    /// Parameters of `poll`.
    pub struct PollParams {
        /// To whom.
        pub to: NonEmpty,
        /// The question.
        pub question: NonEmpty,
        /// What can be chosen.
        #[cfg_attr(test, schemars(length(min = 2, max = 12)))]
        pub options: Vec<NonEmpty>,
        /// How many of them, default 1.
        #[cfg_attr(test, schemars(range(min = 1, max = 12)))]
        pub max_selections: Option<u64>,
        /// How long it is open, where the channel knows that.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub duration_hours: Option<u64>,
        /// Which channel; absent = WhatsApp.
        pub channel: Option<String>,
        /// Which account; absent = the channel's default.
        pub account_id: Option<String>,
        /// A repetition is answered with the first result.
        pub idempotency_key: NonEmpty,
    }

    /// Parameters of `web.login.start`.
    pub struct WebLoginStartParams {
        /// Whether a linked account is linked anew.
        pub force: Option<bool>,
        /// How long the code may take, default 30000, at least 5000.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub timeout_ms: Option<u64>,
        /// Accepted and ignored.
        pub verbose: Option<bool>,
        /// Which account.
        pub account_id: Option<String>,
    }

    /// Parameters of `web.login.wait`.
    pub struct WebLoginWaitParams {
        /// How long to wait, default 120000, at least 1000.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub timeout_ms: Option<u64>,
        /// Which account.
        pub account_id: Option<String>,
    }
}
