//! The shapes of BOS v2's request bodies, with the bounds of its contract.

use super::time;
use crate::api::schema::{Field, Shape, optional, required, some_text, text};

/// BOS's bound of most strings.
pub const NAME_LONG: Shape = text(127);
/// A component's id: any string.
pub const COMPONENT_ID: Shape = some_text(127);
/// Comma-separated components, as in a limit.
const COMPONENTS_LONG: Shape = text(524_288);

const CONFIGURATION: Shape = Shape::Object(&[optional("configuration", &NAME_LONG)]);

/// The last two are ours: boot sets with an order.
const ORDINAL: Shape = Shape::Integer { min: 0, max: 65_535 };

/// BOS's words for what a node is made of.
pub const ARCH: Shape = Shape::Word(&["X86", "ARM", "Other", "Unknown"]);

const BOOT_SET: Shape = Shape::Object(&[
    required("path", &some_text(4_095)),
    required("type", &some_text(127)),
    optional("name", &Shape::Name),
    optional("etag", &text(65_536)),
    optional("kernel_parameters", &text(4_096)),
    optional("cfs", &CONFIGURATION),
    optional("node_list", &Shape::List { min: 1, max: 65_535, item: &COMPONENT_ID }),
    optional("node_roles_groups", &Shape::List { min: 1, max: 1_023, item: &some_text(127) }),
    optional("node_groups", &Shape::List { min: 1, max: 4_095, item: &some_text(127) }),
    optional("arch", &ARCH),
    optional("rootfs_provider", &some_text(511)),
    optional("rootfs_provider_passthrough", &text(4_096)),
    optional("boot_ordinal", &ORDINAL),
    optional("shutdown_ordinal", &ORDINAL),
]);

const BOOT_SETS: Shape = Shape::Map { max: 127, key: &Shape::Name, value: &BOOT_SET };

/// PUT of a session template.
pub const SESSION_TEMPLATE: Shape = Shape::Object(&[
    required("boot_sets", &BOOT_SETS),
    optional("description", &some_text(1_023)),
    optional("enable_cfs", &Shape::Boolean),
    optional("cfs", &CONFIGURATION),
    optional("partition", &some_text(127)),
    optional("name", &Shape::ReadOnly),
    optional("tenant", &Shape::ReadOnly),
    optional("links", &Shape::ReadOnly),
]);

/// PATCH of a session template: what can be changed is not even read-only elsewhere.
pub const SESSION_TEMPLATE_PATCH: Shape = Shape::Object(&[
    optional("boot_sets", &BOOT_SETS),
    optional("description", &some_text(1_023)),
    optional("enable_cfs", &Shape::Boolean),
    optional("cfs", &CONFIGURATION),
    optional("partition", &some_text(127)),
]);

/// POST of a session.
pub const SESSION_CREATE: Shape = Shape::Object(&[
    required("operation", &Shape::Word(&["boot", "reboot", "shutdown"])),
    required("template_name", &Shape::Name),
    optional("name", &Shape::Name),
    optional("limit", &Shape::Nullable(&COMPONENTS_LONG)),
    optional("stage", &Shape::Boolean),
    optional("include_disabled", &Shape::Boolean),
]);

/// POST of applystaged.
pub const APPLY_STAGED: Shape =
    Shape::Object(&[optional("xnames", &Shape::List { min: 0, max: 32_768, item: &COMPONENT_ID })]);

/// What a node boots.
pub const ARTIFACTS: Shape = Shape::Object(&[
    optional("kernel", &text(4_095)),
    optional("kernel_parameters", &text(4_096)),
    optional("initrd", &text(4_095)),
]);

/// A BSS token.
pub const TOKEN: Shape = text(65_535);

/// How often something is tried.
pub const ATTEMPTS: Shape = Shape::Integer { min: 0, max: 1_048_576 };

const COMPONENT_FIELDS: &[Field] = &[
    optional(
        "actual_state",
        &Shape::Object(&[
            optional("boot_artifacts", &ARTIFACTS),
            optional("bss_token", &TOKEN),
            optional("last_updated", &Shape::ReadOnly),
        ]),
    ),
    optional(
        "desired_state",
        &Shape::Object(&[
            optional("boot_artifacts", &ARTIFACTS),
            optional("bss_token", &TOKEN),
            optional("configuration", &NAME_LONG),
            optional("last_updated", &Shape::ReadOnly),
        ]),
    ),
    optional(
        "staged_state",
        &Shape::Object(&[
            optional("boot_artifacts", &ARTIFACTS),
            optional("configuration", &NAME_LONG),
            optional("session", &Shape::NameOrEmpty),
            optional("last_updated", &Shape::ReadOnly),
        ]),
    ),
    optional(
        "last_action",
        &Shape::Object(&[
            optional(
                "action",
                &Shape::Word(&[
                    "actual_state_cleanup",
                    "apply_staged",
                    "newly_discovered",
                    "powering_off_forcefully",
                    "powering_off_gracefully",
                    "powering_on",
                    "session_setup",
                ]),
            ),
            optional("failed", &Shape::Boolean),
            optional("last_updated", &Shape::ReadOnly),
        ]),
    ),
    optional(
        "event_stats",
        &Shape::Object(&[
            optional("power_on_attempts", &ATTEMPTS),
            optional("power_off_graceful_attempts", &ATTEMPTS),
            optional("power_off_forceful_attempts", &ATTEMPTS),
        ]),
    ),
    optional(
        "status",
        &Shape::Object(&[
            optional("phase", &PHASE),
            optional("status", &Shape::ReadOnly),
            optional("status_override", &text(65_536)),
        ]),
    ),
    optional("enabled", &Shape::Boolean),
    optional("error", &text(65_536)),
    optional("session", &Shape::NameOrEmpty),
    optional("retry_policy", &ATTEMPTS),
];

/// BOS's words for what is being done with a component.
pub const PHASE: Shape = Shape::Word(&["configuring", "powering_off", "powering_on", ""]);

/// PUT or PATCH of one component; the path says which.
pub const COMPONENT: Shape = Shape::NonEmptyObject(&[COMPONENT_FIELDS, &[optional("id", &COMPONENT_ID)]]);

const COMPONENT_WITH_ID: Shape = Shape::NonEmptyObject(&[COMPONENT_FIELDS, &[required("id", &COMPONENT_ID)]]);

/// PATCH of many components, each with its own patch. The bound is ours: more than any machine has.
pub const COMPONENT_LIST: Shape = Shape::List { min: 0, max: 200_000, item: &COMPONENT_WITH_ID };

/// PATCH of many components with one patch.
pub const COMPONENT_BULK: Shape =
    Shape::Object(&[required("patch", &COMPONENT), required("filters", &COMPONENT_FILTERS)]);

/// Exactly one of both is to be given; the endpoint sees to it.
const COMPONENT_FILTERS: Shape = Shape::Object(&[
    optional("ids", &Shape::Nullable(&text(65_535))),
    optional("session", &Shape::Nullable(&Shape::NameOrEmpty)),
]);

/// PATCH of components in either form.
pub const COMPONENT_PATCHES: Shape = Shape::AnyOf(&[&COMPONENT_LIST, &COMPONENT_BULK]);

/// PATCH of a session: what BOS's own operators write.
pub const SESSION_UPDATE: Shape = Shape::Object(&[
    optional("components", &COMPONENTS_LONG),
    optional(
        "status",
        &Shape::Object(&[
            optional("start_time", &NAME_LONG),
            optional("end_time", &Shape::Nullable(&NAME_LONG)),
            optional("status", &SESSION_LABEL),
            optional("error", &Shape::Nullable(&text(65_536))),
        ]),
    ),
]);

/// BOS's words for where a session is.
pub const SESSION_LABEL: Shape = Shape::Word(&["pending", "running", "complete"]);

/// How old something is.
pub const AGE: Shape = Shape::Grammar {
    max: 8,
    holds: time::is_age,
    pattern: "^(0|0[mMhHdDwW]|[1-9][0-9]{0,6}[mMhH]|[1-9][0-9]{0,4}[dD]|[1-9][0-9]{0,3}[wW])$",
    what: "an age, as in 30m, 12h, 7d or 2w, or 0 for never",
};

const READ_TIMEOUT: Shape = Shape::Integer { min: 10, max: 86_400 };
const SECONDS: Shape = Shape::Integer { min: 0, max: 1_048_576 };

/// PATCH of options.
pub const OPTIONS_PATCH: Shape = Shape::Open(OPTIONS);

/// The options that mean something; BOS takes any others, too.
pub const OPTIONS: &[Field] = &[
    optional("bss_read_timeout", &READ_TIMEOUT),
    optional("cfs_read_timeout", &READ_TIMEOUT),
    optional("hsm_read_timeout", &READ_TIMEOUT),
    optional("ims_read_timeout", &READ_TIMEOUT),
    optional("pcs_read_timeout", &READ_TIMEOUT),
    optional("cleanup_completed_session_ttl", &AGE),
    optional("clear_stage", &Shape::Boolean),
    optional(
        "component_actual_state_ttl",
        &Shape::Grammar {
            max: 8,
            holds: time::is_time_to_live,
            pattern: "^([1-9][0-9]{0,6}[hH]|[1-9][0-9]{0,4}[dD]|[1-9][0-9]{0,3}[wW])$",
            what: "a time, as in 4h, 7d or 2w",
        },
    ),
    optional("default_retry_policy", &ATTEMPTS),
    optional("discovery_frequency", &Shape::Integer { min: 0, max: 33_554_432 }),
    optional("ims_errors_fatal", &Shape::Boolean),
    optional("ims_images_must_exist", &Shape::Boolean),
    optional(
        "logging_level",
        &Shape::Grammar {
            max: 8,
            holds: |text| {
                ["debug", "info", "warning", "error", "critical"]
                    .contains(&text.to_ascii_lowercase().as_str())
            },
            pattern: "^([dD][eE][bB][uU][gG]|[iI][nN][fF][oO]|[wW][aA][rR][nN][iI][nN][gG]|\
                      [eE][rR][rR][oO][rR]|[cC][rR][iI][tT][iI][cC][aA][lL])$",
            what: "one of debug, info, warning, error, critical",
        },
    ),
    optional("max_boot_wait_time", &SECONDS),
    optional("max_component_batch_size", &Shape::Integer { min: 0, max: 131_071 }),
    optional("max_power_off_wait_time", &SECONDS),
    optional("max_power_on_wait_time", &SECONDS),
    optional("polling_frequency", &SECONDS),
    optional("reject_nids", &Shape::Boolean),
    optional("session_limit_required", &Shape::Boolean),
];
