//! Parameters of `device.pair.*` and `device.token.*`.

use super::{NonEmpty, params};

params! {
    /// Parameters of `device.pair.list`.
    pub struct DevicePairListParams {}

    /// Parameters of `device.pair.approve`.
    pub struct DevicePairApproveParams {
        /// The request.
        pub request_id: NonEmpty,
    }

    /// Parameters of `device.pair.reject`.
    pub struct DevicePairRejectParams {
        /// The request.
        pub request_id: NonEmpty,
    }

    /// Parameters of `device.token.rotate`.
    pub struct DeviceTokenRotateParams {
        /// The device.
        pub device_id: NonEmpty,
        /// Whose token of it.
        pub role: NonEmpty,
        /// The new token's scopes, which become the device's; absent = as before.
        pub scopes: Option<Vec<NonEmpty>>,
    }

    /// Parameters of `device.token.revoke`.
    pub struct DeviceTokenRevokeParams {
        /// The device.
        pub device_id: NonEmpty,
        /// Whose token of it.
        pub role: NonEmpty,
    }
}
