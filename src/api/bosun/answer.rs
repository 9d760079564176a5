//! What our own API's answers hold, for the document; what is sent is held against it in tests.

use crate::api::{
    bos,
    schema::{Field, Shape, optional, required, text},
};

/// Text of any length.
pub const TEXT: Shape = text(usize::MAX);
const MAYBE_TEXT: Shape = Shape::Nullable(&TEXT);
/// How many.
pub const COUNT: Shape = Shape::Integer { min: 0, max: i64::MAX };
const MAYBE_MOMENT: Shape = Shape::Nullable(&Shape::Moment);

/// Whether it is well.
pub const HEALTH: Shape =
    Shape::Object(&[required("database", &Shape::Word(&["ok"])), required("version", &TEXT)]);

/// A sentence about what was done.
pub const MESSAGE: Shape = Shape::Named("Message", &Shape::Object(&[required("message", &TEXT)]));

/// Where a session is.
pub const STATE: Shape =
    Shape::Word(&["waiting", "running", "paused", "halted", "stuck", "cancelling", "ended"]);
const OUTCOME: Shape = Shape::Nullable(&Shape::Word(&[
    "succeeded",
    "partial",
    "failed",
    "cancelled",
    "nothing_to_do",
    "rejected",
]));

/// A line of the list of sessions.
pub const SESSION_LINE: Shape = Shape::Named(
    "SessionLine",
    &Shape::Object(&[
        required("id", &COUNT),
        required("name", &Shape::Name),
        required("tenant", &MAYBE_TEXT),
        required("operation", &TEXT),
        required("template", &TEXT),
        required("limit", &TEXT),
        required("state", &STATE),
        required("outcome", &OUTCOME),
        required("reason", &MAYBE_TEXT),
        required("targeted", &COUNT),
        required("succeeded", &COUNT),
        required("failed", &COUNT),
        required("skipped", &COUNT),
        required("actor", &TEXT),
        required("created_at", &Shape::Moment),
        required("started_at", &MAYBE_MOMENT),
        required("ended_at", &MAYBE_MOMENT),
    ]),
);

/// Sessions.
pub const SESSIONS: Shape = Shape::Many(&SESSION_LINE);

/// A step with its counters.
pub const STEP: Shape = Shape::Named(
    "Step",
    &Shape::Object(&[
        required("name", &TEXT),
        required("verb", &TEXT),
        required(
            "state",
            &Shape::Word(&["waiting", "running", "succeeded", "partial", "failed", "skipped", "passed"]),
        ),
        required("targeted", &COUNT),
        required("not_reached", &COUNT),
        required("in_flight", &COUNT),
        required("succeeded", &COUNT),
        required("failed", &COUNT),
        required("skipped", &COUNT),
        required("attempts", &COUNT),
        required("started_at", &MAYBE_MOMENT),
        required("ended_at", &MAYBE_MOMENT),
    ]),
);

/// Steps.
pub const STEPS: Shape = Shape::Many(&STEP);

/// Equal failures.
pub const ERROR: Shape = Shape::Named(
    "Error",
    &Shape::Object(&[
        required("step", &TEXT),
        required("error", &TEXT),
        required("count", &COUNT),
        required("components", &TEXT),
    ]),
);

/// Failures.
pub const ERRORS: Shape = Shape::Many(&ERROR);

/// Components that one session still holds and gives to another.
pub const HAND_OVER: Shape = Shape::Named(
    "HandOver",
    &Shape::Object(&[
        required("from", &TEXT),
        required("to", &TEXT),
        required("count", &COUNT),
        required("components", &TEXT),
    ]),
);

/// A session, whole.
pub const SESSION: Shape = Shape::Named(
    "SessionView",
    &Shape::Object(&[
        required("id", &COUNT),
        required("name", &Shape::Name),
        required("operation", &TEXT),
        required("state", &STATE),
        required("outcome", &OUTCOME),
        optional("reason", &TEXT),
        required("targeted", &COUNT),
        required("not_reached", &COUNT),
        required("in_flight", &COUNT),
        required("succeeded", &COUNT),
        required("failed", &COUNT),
        required("skipped", &COUNT),
        required("retry_command", &MAYBE_TEXT),
        required("plan_hash", &MAYBE_TEXT),
        required("started_at", &MAYBE_MOMENT),
        required("ended_at", &MAYBE_MOMENT),
        required("seconds", &Shape::Nullable(&Shape::Number)),
        required("steps", &STEPS),
        required("errors", &ERRORS),
        required("hand_overs", &Shape::Many(&HAND_OVER)),
        optional("waves", &Shape::Many(&super::wave::WAVE)),
        optional("gates", &Shape::Any),
        optional("notes", &Shape::Many(&TEXT)),
    ]),
);

/// What became of a component in a step.
pub const RESULT: Shape = Shape::Named(
    "Result",
    &Shape::Object(&[
        required("component", &TEXT),
        required("step", &TEXT),
        required("run", &COUNT),
        required("outcome", &super::result::OUTCOME),
        required("attempts", &COUNT),
        required("reason", &MAYBE_TEXT),
        required("error", &MAYBE_TEXT),
        required("decision", &MAYBE_TEXT),
        required("at", &Shape::Moment),
        required("seq", &COUNT),
    ]),
);

/// A call that changes the world.
pub const EFFECT: Shape = Shape::Named(
    "Effect",
    &Shape::Object(&[
        required("no", &COUNT),
        required("step", &TEXT),
        required("verb", &TEXT),
        required("rung", &TEXT),
        required("state", &Shape::Word(&["intended", "accepted", "lost", "found", "not_taken", "settled"])),
        required("components", &COUNT),
        required("reference", &MAYBE_TEXT),
        required("error", &MAYBE_TEXT),
        required("intended_at", &Shape::Moment),
        required("answered_at", &MAYBE_MOMENT),
        required("lost_at", &MAYBE_MOMENT),
        required("settled_at", &MAYBE_MOMENT),
    ]),
);

/// A line of the narrative.
pub const EVENT: Shape = Shape::Named(
    "Event",
    &Shape::Object(&[
        required("seq", &COUNT),
        required("at", &Shape::Moment),
        required("epoch", &COUNT),
        required("kind", &TEXT),
        required("actor", &MAYBE_TEXT),
        required("data", &Shape::Any),
    ]),
);

/// A command and what became of it.
pub const COMMAND: Shape = Shape::Named(
    "Command",
    &Shape::Object(&[
        required("id", &COUNT),
        required("kind", &TEXT),
        required("step", &MAYBE_TEXT),
        required("reason", &MAYBE_TEXT),
        required("actor", &TEXT),
        required("created_at", &Shape::Moment),
        required("obeyed_at", &MAYBE_MOMENT),
        required("answer", &MAYBE_TEXT),
    ]),
);

/// What a session would do.
pub const PLAN: Shape = Shape::Named(
    "Plan",
    &Shape::Object(&[
        required("operation", &TEXT),
        required("template", &TEXT),
        required("plan_hash", &TEXT),
        required("targeted", &COUNT),
        required("power_cycled", &COUNT),
        required("forecast", &FORECAST),
        required("boot_sets", &Shape::Many(&PLANNED_BOOT_SET)),
        required("skipped", &Shape::Many(&PLANNED_SKIP)),
        required("conflicts", &Shape::Many(&HOLDER)),
        required("notes", &Shape::Many(&TEXT)),
        required("tree", &TEXT),
        required("dot", &TEXT),
        required("steps", &Shape::Many(&PLANNED_STEP)),
    ]),
);
const PLANNED_BOOT_SET: Shape = Shape::Object(&[
    required("name", &TEXT),
    required("wave", &COUNT),
    required("count", &COUNT),
    required("components", &TEXT),
    required("kernel", &MAYBE_TEXT),
    required("initrd", &MAYBE_TEXT),
    required("kernel_parameters", &MAYBE_TEXT),
    required("image", &MAYBE_TEXT),
    required("configuration", &MAYBE_TEXT),
]);
const PLANNED_SKIP: Shape = Shape::Object(&[
    required("boot_set", &MAYBE_TEXT),
    required("reason", &TEXT),
    required("count", &COUNT),
    required("components", &TEXT),
]);
const PLANNED_STEP: Shape = Shape::Object(&[
    required("name", &TEXT),
    required("verb", &TEXT),
    required("timeout", &TEXT),
    required("attempts", &COUNT),
    required("calls_at_most", &Shape::Nullable(&COUNT)),
    required("expected", &Shape::Nullable(&EXPECTED)),
]);
const EXPECTED: Shape = Shape::Object(&[
    required("p50_seconds", &Shape::Number),
    required("p95_seconds", &Shape::Number),
    required("timed_components", &COUNT),
]);
const FORECAST: Shape = Shape::Object(&[
    required("power_cycled", &WHO),
    required("powered_on", &WHO),
    required("powered_off", &WHO),
    required("untouched", &WHO),
    required("unknown_artifacts", &WHO),
    required("unknown_power", &WHO),
]);
const WHO: Shape = Shape::Object(&[required("count", &COUNT), required("components", &TEXT)]);
/// Who holds components that were asked for.
pub const HOLDER: Shape = Shape::Named(
    "Holder",
    &Shape::Object(&[required("session", &TEXT), required("count", &COUNT), required("components", &TEXT)]),
);
/// What keeps components that were asked for from being touched.
pub const FROZEN: Shape = Shape::Named(
    "Frozen",
    &Shape::Object(&[
        required("freeze", &COUNT),
        required("reason", &TEXT),
        required("actor", &TEXT),
        required("until", &MAYBE_MOMENT),
        required("count", &COUNT),
        required("components", &TEXT),
    ]),
);

/// A component and what is being done with it.
pub const COMPONENT: Shape = Shape::Named(
    "ComponentView",
    &Shape::Object(&[
        required("name", &TEXT),
        required("status", &TEXT),
        required("phase", &MAYBE_TEXT),
        required("enabled", &Shape::Nullable(&Shape::Boolean)),
        required("session", &MAYBE_TEXT),
        required("held_by", &Shape::Nullable(&COUNT)),
        required("last_action", &MAYBE_TEXT),
        required("last_action_at", &MAYBE_MOMENT),
        required("error", &MAYBE_TEXT),
        required("kernel", &MAYBE_TEXT),
        required("configuration", &MAYBE_TEXT),
    ]),
);

/// What became of a component in a step of a session.
pub const HISTORY_LINE: Shape = Shape::Named(
    "HistoryLine",
    &Shape::Object(&[
        required("at", &MAYBE_MOMENT),
        required("session", &TEXT),
        required("session_id", &COUNT),
        required("operation", &TEXT),
        required("step", &TEXT),
        required("run", &COUNT),
        required("outcome", &super::result::OUTCOME),
        required("attempts", &COUNT),
        required("reason", &MAYBE_TEXT),
        required("error", &MAYBE_TEXT),
        required("template", &TEXT),
        required("template_version", &Shape::Nullable(&COUNT)),
        required("image", &MAYBE_TEXT),
        required("kernel", &MAYBE_TEXT),
    ]),
);

/// A session template, with its version's number.
pub const TEMPLATE: Shape =
    Shape::Named("SessionTemplateView", &Shape::Both(bos::answer::TEMPLATE_FIELDS, VERSION));
const VERSION: &[Field] = &[required("version", &COUNT)];

/// A line of the list of session templates.
pub const TEMPLATE_LINE: Shape = Shape::Named(
    "SessionTemplateLine",
    &Shape::Object(&[
        required("name", &Shape::Name),
        required("version", &COUNT),
        required("description", &MAYBE_TEXT),
        required("tenant", &MAYBE_TEXT),
        required("boot_set_count", &COUNT),
        required("updated_at", &Shape::Moment),
    ]),
);

/// A version of a session template.
pub const TEMPLATE_VERSION: Shape = Shape::Named(
    "SessionTemplateVersion",
    &Shape::Object(&[
        required("version", &COUNT),
        required("is_current", &Shape::Boolean),
        required("created_at", &Shape::Moment),
        required("sessions", &COUNT),
        required("last_used_at", &MAYBE_MOMENT),
    ]),
);

/// What is found wrong with a session template.
pub const FINDINGS: Shape = Shape::Named(
    "TemplateFindings",
    &Shape::Object(&[required("errors", &Shape::Many(&TEXT)), required("warnings", &Shape::Many(&TEXT))]),
);
