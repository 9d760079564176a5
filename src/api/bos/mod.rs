//! BOS's API v2, as `reference` clients know it: paths, bodies, status codes and words.
//!
//! Deliberate differences from BOS:
//! * Bulk DELETE of sessions without a filter takes complete ones only, and without a tenant only what is nobody's;
//!   deleting a running session cancels it.
//! * PATCH of a session changes what is shown, never what is done; where it says that the session is counts until the
//!   session itself moves on.
//! * A newer session takes components over from an older one, as in BOS; but nothing is begun with a component before the
//!   call that the older one has made for it has come to its end, and the older one says of it that it was taken over.
//! * A session that is over shows what it came to, also after another one took its nodes.
//! * A staged session runs until all that it staged was applied, and is complete then also where `clear_stage` is off: BOS's
//!   goes on for ever. Applying starts a session of our own that BOS's clients do not see, with the artifacts and
//!   configuration that were staged; components show the session that staged. Who cannot be applied (locked, held by
//!   another session) is `failed`, with the reason.
//! * No change is lost: a PATCH of a component is one transaction over locked rows, that of a template is tried again.
//! * `?ids=` may be longer than 127 characters; nothing that a client sends is answered by 500.
//! * A tenant's PUT of components is for its own components, as every other request; a component of others does not
//!   exist for it (404, and nothing is written).
//! * While TAPMS does not answer, a tenant's requests that need it are answered by 503. What it says is believed for a
//!   few seconds, but not when a session is admitted.
//! * Clean-up takes the sessions of tenants, too.
//! * Components that are enabled without a session are gathered for two seconds and driven by one session of our own, which
//!   BOS's clients do not see. Who cannot be acted on (locked, not in HSM) is `failed` at once, with the reason.
//! * Enabling a component that a session drives to that very state already does not put it on hold.
//! * A report expires only while no session holds the component.
//!
//! Options that mean nothing here, and are kept and shown: `polling_frequency` (nothing waits for a poll) and
//! `max_component_batch_size` (the services' own limits are kept to). `logging_level` counts where no filter was given
//! with `--log` or `BOSUN_LOG`; it and the `*_read_timeout`s are heeded within seconds by `serve` and by each worker when
//! it starts. `OPTIONS` of a path is answered by 204 and `Allow`.

pub mod answer;
mod component;
mod component_view;
mod options;
pub mod session;
mod session_template;
mod session_view;
pub mod shape;
mod staged;
mod time;
pub mod version;

use super::endpoint::Endpoint;

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    [
        version::endpoints(),
        session_template::endpoints(),
        session::endpoints(),
        component::endpoints(),
        options::endpoints(),
        staged::endpoints(),
    ]
    .concat()
}
