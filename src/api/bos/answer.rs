//! What BOS v2's answers hold, for the document; what is sent is held against it in tests.

use super::shape;
use crate::api::schema::{Field, Shape, optional, required, text};

const TEXT: Shape = text(usize::MAX);
const MAYBE_TEXT: Shape = Shape::Nullable(&TEXT);
const COUNT: Shape = Shape::Integer { min: 0, max: i64::MAX };
const PERCENT: Shape = Shape::Number;

/// UTC without saying so, whole seconds.
const TIME: Shape = Shape::Grammar {
    max: 127,
    holds: |_| true,
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
    what: "a moment in UTC, as in 2026-01-31T12:00:00",
};

/// Who answers.
pub const VERSION: Shape = Shape::Named(
    "Version",
    &Shape::Object(&[
        required("major", &TEXT),
        required("minor", &TEXT),
        required("patch", &TEXT),
        required("links", &Shape::List { min: 0, max: 2, item: &LINK }),
    ]),
);
const LINK: Shape = Shape::Object(&[required("rel", &TEXT), required("href", &TEXT)]);

/// All versions.
pub const VERSIONS: Shape = Shape::List { min: 1, max: 1, item: &VERSION };

/// Whether it is well.
pub const HEALTH: Shape = Shape::Named(
    "Health",
    &Shape::Object(&[
        required("apiStatus", &Shape::Word(&["ok"])),
        required("dbStatus", &Shape::Word(&["ok", "not_available"])),
    ]),
);

const CONFIGURATION: Shape = Shape::Object(&[optional("configuration", &TEXT)]);
const NAMES: Shape = Shape::Many(&TEXT);
const ORDINAL: Shape = Shape::Integer { min: 0, max: 65_535 };

const BOOT_SET: Shape = Shape::Object(&[
    required("path", &TEXT),
    required("type", &TEXT),
    optional("etag", &TEXT),
    optional("kernel_parameters", &TEXT),
    optional("cfs", &CONFIGURATION),
    optional("node_list", &NAMES),
    optional("node_roles_groups", &NAMES),
    optional("node_groups", &NAMES),
    optional("arch", &shape::ARCH),
    optional("rootfs_provider", &TEXT),
    optional("rootfs_provider_passthrough", &TEXT),
    optional("boot_ordinal", &ORDINAL),
    optional("shutdown_ordinal", &ORDINAL),
]);

/// What a session template holds.
pub const TEMPLATE_FIELDS: &[Field] = &[
    required("boot_sets", &Shape::Map { max: 127, key: &Shape::Name, value: &BOOT_SET }),
    optional("name", &Shape::Name),
    optional("tenant", &MAYBE_TEXT),
    optional("description", &TEXT),
    optional("enable_cfs", &Shape::Boolean),
    optional("cfs", &CONFIGURATION),
    optional("partition", &TEXT),
];

/// A session template as it is shown.
pub const SESSION_TEMPLATE: Shape = Shape::Named("SessionTemplate", &Shape::Object(TEMPLATE_FIELDS));

/// All of them.
pub const SESSION_TEMPLATES: Shape = Shape::Many(&SESSION_TEMPLATE);

/// A sentence.
pub const SENTENCE: Shape = TEXT;

/// A session as it is shown.
pub const SESSION: Shape = Shape::Named(
    "Session",
    &Shape::Object(&[
        required("name", &Shape::Name),
        required("tenant", &MAYBE_TEXT),
        required("operation", &Shape::Word(&["boot", "reboot", "shutdown"])),
        required("template_name", &TEXT),
        required("limit", &TEXT),
        required("stage", &Shape::Boolean),
        required("include_disabled", &Shape::Boolean),
        required("components", &TEXT),
        required(
            "status",
            &Shape::Object(&[
                required("status", &shape::SESSION_LABEL),
                required("start_time", &TEXT),
                required("end_time", &MAYBE_TEXT),
                required("error", &MAYBE_TEXT),
            ]),
        ),
    ]),
);

/// Sessions.
pub const SESSIONS: Shape = Shape::Many(&SESSION);

/// How far a session is.
pub const SESSION_STATUS: Shape = Shape::Named(
    "SessionStatus",
    &Shape::Object(&[
        required("status", &shape::SESSION_LABEL),
        required("managed_components_count", &COUNT),
        required(
            "phases",
            &Shape::Object(&[
                required("percent_complete", &PERCENT),
                required("percent_powering_on", &PERCENT),
                required("percent_powering_off", &PERCENT),
                required("percent_configuring", &PERCENT),
            ]),
        ),
        required("percent_successful", &PERCENT),
        required("percent_failed", &PERCENT),
        required("percent_staged", &PERCENT),
        required("error_summary", &ERROR_SUMMARY),
        required(
            "timing",
            &Shape::Object(&[
                required("start_time", &TIME),
                required("end_time", &Shape::Nullable(&TIME)),
                required("duration", &TEXT),
            ]),
        ),
    ]),
);
const ERROR_SUMMARY: Shape =
    Shape::Table(&Shape::Object(&[required("count", &COUNT), required("list", &TEXT)]));

const ARTIFACTS: Shape = Shape::Object(&[
    optional("kernel", &TEXT),
    optional("kernel_parameters", &TEXT),
    optional("initrd", &TEXT),
]);

const STATE: Shape = Shape::Object(&[
    optional("boot_artifacts", &ARTIFACTS),
    optional("bss_token", &TEXT),
    optional("configuration", &TEXT),
    optional("last_updated", &TIME),
]);

/// A component's record: sparse, what was never written is not there.
pub const COMPONENT: Shape = Shape::Named(
    "Component",
    &Shape::Object(&[
        required("id", &shape::COMPONENT_ID),
        optional("enabled", &Shape::Boolean),
        optional("error", &TEXT),
        optional("session", &TEXT),
        optional("retry_policy", &COUNT),
        optional("actual_state", &STATE),
        optional("desired_state", &STATE),
        optional(
            "staged_state",
            &Shape::Object(&[
                optional("boot_artifacts", &ARTIFACTS),
                optional("configuration", &TEXT),
                optional("session", &TEXT),
                optional("last_updated", &TIME),
            ]),
        ),
        optional(
            "last_action",
            &Shape::Object(&[
                optional("action", &TEXT),
                optional("failed", &Shape::Boolean),
                optional("last_updated", &TIME),
            ]),
        ),
        optional(
            "event_stats",
            &Shape::Object(&[
                optional("power_on_attempts", &COUNT),
                optional("power_off_graceful_attempts", &COUNT),
                optional("power_off_forceful_attempts", &COUNT),
            ]),
        ),
        optional(
            "status",
            &Shape::Object(&[
                optional("phase", &shape::PHASE),
                optional("status", &TEXT),
                optional("status_override", &TEXT),
            ]),
        ),
    ]),
);

/// Components.
pub const COMPONENTS: Shape = Shape::Many(&COMPONENT);

/// What became of the components that were to be applied.
pub const APPLIED: Shape = Shape::Named(
    "Applied",
    &Shape::Object(&[required("failed", &NAMES), required("ignored", &NAMES), required("succeeded", &NAMES)]),
);

/// BOS's options; a PATCH shows what else it was sent, once.
pub const OPTIONS: Shape = Shape::Named("Options", &Shape::Open(shape::OPTIONS));
