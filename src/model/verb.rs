//! Verbs: what a step does, as data. `plan` reads their shapes, `steps` carries them out.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    artifacts::{BootArtifacts, BootToken},
    component::Report,
    effect::{EffectNo, RemoteRef},
    plan::Ordinal,
    reason::Reason,
    session::SessionId,
    site::{HttpStep, JobStep, Per},
    xname::Xname,
};

/// The version of the verbs' meaning. A stored plan with another one is parked, never guessed (law 11).
pub const VERB_VERSION: i16 = 1;

/// What a step does. A closed list: a typo in a workflow is refused with the list of what exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verb {
    /// Looks at a component once and decides what is to be done with it.
    Inspect {
        /// What the operation wants of a component.
        goal: Goal,
    },
    /// Marks the boot image in IMS so that its root file system is projected (`sbps`); once per image.
    TagImage {},
    /// Soft-Off, then Force-Off for those that stay on.
    PowerOff {
        /// How long PCS may take for Soft-Off; `0s` leaves the rung out.
        #[serde(with = "super::workflow::duration")]
        soft_off_within: Duration,
        /// How long PCS may take for Force-Off.
        #[serde(with = "super::workflow::duration")]
        force_off_within: Duration,
    },
    /// Tells BSS what the nodes boot, and keeps the token.
    SetBootParameters {},
    /// Tells CFS the desired configuration.
    StageConfiguration {
        /// `false` for a node that is off (it enables itself when it is up), `true` for one that stays up.
        enable: bool,
    },
    /// On.
    PowerOn {
        /// How long PCS may take for one try.
        #[serde(with = "super::workflow::duration")]
        within: Duration,
        /// How often On is tried.
        tries: u16,
    },
    /// Waits for the node's own report, or for HSM's Ready.
    AwaitBoot {},
    /// Waits until CFS has configured the node.
    AwaitConfiguration {},
    /// Calls a web service of the site's own, waits until it says that a condition holds, or both.
    Http(HttpStep),
    /// Runs a command of the site's own, here or as a Kubernetes Job; its exit code decides.
    Job(JobStep),
}

/// What an operation wants of a component; `inspect` compares it with what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Up, with the wanted artifacts; left alone if it is.
    Boot,
    /// Power-cycled whatever it runs.
    Reboot,
    /// Off.
    Shutdown,
    /// Configured; no power action.
    Configure,
}

/// What is to be done with a component: decided once per run, recorded, never computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is as wanted.
    Nothing,
    /// Up with the wanted artifacts; only its configuration differs.
    ConfigureOnly,
    /// Off and wanted on.
    PowerOn,
    /// On and wanted off.
    PowerOff,
    /// On and to be booted anew.
    PowerCycle,
    /// On, and nobody knows with what.
    UnknownArtifacts,
}

/// How a verb's components are grouped into calls, and what a lost call means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Components per call.
    pub group: Group,
    /// What is done about a call whose answer never came.
    pub lost: Lost,
    /// What is tried in turn. None: the verb only watches.
    pub rungs: Vec<Rung>,
    /// The service asked, by the name operators know it under.
    pub service: &'static str,
    /// Whether a call is a power action on its components.
    pub power: Option<Power>,
}

/// Grouping of components into calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Up to so many components in a call.
    UpTo(NonZeroU32),
    /// One call for everybody who shares the image, in whatever step; later comers pass on its result.
    OncePerImage,
    /// One call for everybody of the step who is under way, once nobody is left in the steps before it.
    Slice,
    /// The same over all slices: a call of one slice's step speaks for those who wait in the same step of others, and
    /// they share its result.
    Session,
}

/// What to do with a call that may or may not have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Saying it twice is harmless: say it again.
    Repeat,
    /// Look for it first.
    Find,
}

/// The direction of a power action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Off.
    Off,
    /// On.
    On,
}

/// One of the things a verb tries in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// As the service calls it.
    pub name: &'static str,
    /// The service's own deadline for one try.
    pub within: Duration,
    /// How often it is tried before the next rung.
    pub tries: u16,
}

/// Most components in one power request: half of what PCS and its etcd were seen to refuse is kept clear of
/// (trouble starts near 2,500).
const POWER_COMPONENTS_MAX: NonZeroU32 = NonZeroU32::new(1_800).expect("not zero");
/// Most hosts in one BSS PUT: it writes them one by one, about 1 ms each, inside our call's timeout.
const BSS_HOSTS_MAX: NonZeroU32 = NonZeroU32::new(2_000).expect("not zero");
/// Most ids in one CFS PATCH: what BOS itself sends at once.
const CFS_COMPONENTS_MAX: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

impl Verb {
    /// The verb's name, as in a workflow.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Inspect { .. } => "inspect",
            Self::TagImage {} => "tag_image",
            Self::PowerOff { .. } => "power_off",
            Self::SetBootParameters {} => "set_boot_parameters",
            Self::StageConfiguration { .. } => "stage_configuration",
            Self::PowerOn { .. } => "power_on",
            Self::AwaitBoot {} => "await_boot",
            Self::AwaitConfiguration {} => "await_configuration",
            Self::Http(_) => "http",
            Self::Job(_) => "job",
        }
    }

    /// Whether a call changes a node that somebody may be using: its gate is behind it then.
    pub fn disturbs(&self) -> bool {
        match self {
            Self::PowerOff { .. } | Self::PowerOn { .. } => true,
            Self::StageConfiguration { enable } => *enable,
            Self::Http(step) => step.disturbs,
            Self::Job(step) => step.disturbs,
            Self::Inspect { .. }
            | Self::TagImage {}
            | Self::SetBootParameters {}
            | Self::AwaitBoot {}
            | Self::AwaitConfiguration {} => false,
        }
    }

    /// How the verb's components are grouped, what it tries, and what a lost call means.
    pub fn shape(&self) -> Shape {
        let watches = |service| Shape {
            group: Group::UpTo(NonZeroU32::MAX),
            lost: Lost::Repeat,
            rungs: Vec::new(),
            service,
            power: None,
        };
        let once = |name| vec![Rung { name, within: Duration::ZERO, tries: u16::MAX }];
        let says = |group, service, name| Shape {
            group: Group::UpTo(group),
            lost: Lost::Repeat,
            rungs: once(name),
            service,
            power: None,
        };
        let powers = |power, rungs| Shape {
            group: Group::UpTo(POWER_COMPONENTS_MAX),
            lost: Lost::Find,
            rungs,
            service: "pcs",
            power: Some(power),
        };
        // Said twice it may do harm: a webhook is asked again under the same key, a job is looked for by its name.
        let own = |per, service, name, within| Shape {
            group: match per {
                Per::Batch(most) => Group::UpTo(most),
                Per::Slice => Group::Slice,
                Per::Session => Group::Session,
            },
            lost: Lost::Find,
            rungs: vec![Rung { name, within, tries: u16::MAX }],
            service,
            power: None,
        };
        match self {
            Self::Inspect { .. } => watches("pcs"),
            Self::TagImage {} => Shape {
                group: Group::OncePerImage,
                lost: Lost::Repeat,
                rungs: once("tag"),
                service: "ims",
                power: None,
            },
            Self::PowerOff { soft_off_within, force_off_within } => {
                let soft = Rung { name: "Soft-Off", within: *soft_off_within, tries: 1 };
                let force = Rung { name: "Force-Off", within: *force_off_within, tries: 1 };
                let rungs = if soft_off_within.is_zero() { vec![force] } else { vec![soft, force] };
                powers(Power::Off, rungs)
            }
            Self::SetBootParameters {} => says(BSS_HOSTS_MAX, "bss", "put"),
            Self::StageConfiguration { .. } => says(CFS_COMPONENTS_MAX, "cfs", "patch"),
            Self::PowerOn { within, tries } => {
                powers(Power::On, vec![Rung { name: "On", within: *within, tries: *tries }])
            }
            Self::AwaitBoot {} => watches("hsm"),
            Self::AwaitConfiguration {} => watches("cfs"),
            Self::Http(step) if step.call.is_none() => watches("webhook"),
            Self::Http(step) => own(step.per, "webhook", "call", Duration::ZERO),
            Self::Job(step) => {
                let service = if step.kubernetes.is_some() { "kubernetes" } else { "command" };
                own(step.per, service, "run", step.within)
            }
        }
    }
}

/// One component in a call or an observation.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its place in the session.
    pub ordinal: Ordinal,
    /// Its name.
    pub xname: &'a Xname,
    /// The rung it is on, counted from 0.
    pub rung: u8,
    /// When it entered this rung (or, for a verb that only watches, this step).
    pub since: Timestamp,
    /// The last power effect on it by any session, *before* the open effect of this step.
    pub last_power: Option<Timestamp>,
    /// This session's last power-on of it.
    pub powered_on: Option<Timestamp>,
    /// What was noticed about it and has to be remembered (it left Ready).
    pub noticed: bool,
    /// What it last reported, ever.
    pub reported: Option<&'a Report>,
}

/// What all components of a call or observation share.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// The session's name, for tags and reasons given to services.
    pub session: &'a str,
    /// Its number, which nobody shares with it.
    pub session_id: SessionId,
    /// The step's name, with its boot set.
    pub step: &'a str,
    /// Those of other slices for whom a call once per session speaks as well.
    pub others: &'a [Xname],
    /// What the slice boots.
    pub artifacts: Option<&'a BootArtifacts>,
    /// The database's number of those artifacts, to compare reports with.
    pub artifacts_id: Option<super::artifacts::BootArtifactsId>,
    /// The IMS image those artifacts belong to.
    pub image: Option<&'a str>,
    /// The configuration wanted; none where configuration is not enabled.
    pub configuration: Option<&'a str>,
    /// Postgres' time.
    pub now: Timestamp,
}

/// One call that changes the world, about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Its number in the session.
    pub effect: EffectNo,
    /// The rung tried.
    pub rung: u8,
    /// Its components; never empty.
    pub members: &'a [Member<'a>],
    /// What they share.
    pub shared: Shared<'a>,
}

/// An effect of this step that is still open, for an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenEffect {
    /// Its number in the session.
    pub effect: EffectNo,
    /// The rung it tries.
    pub rung: u8,
    /// Its components.
    pub members: Vec<Ordinal>,
    /// The service's name for it.
    pub reference: Option<RemoteRef>,
    /// When its intent was written.
    pub intended_at: Timestamp,
}

/// One question for all components in flight.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// Who is asked about.
    pub members: &'a [Member<'a>],
    /// The step's open effects that cover them.
    pub open: &'a [OpenEffect],
    /// What they share.
    pub shared: Shared<'a>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The service's name for what it now does (a PCS transition id).
    pub reference: Option<RemoteRef>,
    /// The BSS token.
    pub token: Option<BootToken>,
    /// What became of every component that is not named.
    pub rest: Took,
    /// What became of those that the service named.
    pub named: Vec<(Ordinal, Took)>,
}

/// What a call did with one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Took {
    /// The effect is complete.
    Done,
    /// It has begun: observe.
    Underway,
    /// Somebody holds it: try again within the step's time.
    Busy(Reason),
    /// It will not be done.
    Refused(Reason),
}

/// What an observation says of one component. One that is not mentioned is unseen, not failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// At the goal; `inspect` says what it decided.
    Reached(Option<Decision>),
    /// Not yet.
    Pending,
    /// Not yet, and why: what is told should it never be.
    Waits(String),
    /// Pending, with something to be remembered: it left Ready.
    Noticed,
    /// This rung has ended without reaching the goal: the next one, if there is one.
    Spent(Reason),
    /// Somebody else holds it: the same rung again, later.
    Busy(Reason),
    /// It will not get there.
    Failed(Reason),
    /// It must be left out: an administrator's lock, for instance.
    Skipped(Reason),
}

/// Why a call, or a question, has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Surely not taken: refused, no connection, 429, 503.
    #[error("{service} did not take it: {text}")]
    Transient {
        /// Who was asked.
        service: &'static str,
        /// What it said.
        text: String,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Too many components at once.
    #[error("too many components in one call")]
    TooLarge,
    /// Refused as it stands; `named` are the culprits where the service says so.
    #[error("refused: {text}")]
    Rejected {
        /// What it said.
        text: String,
        /// The components it named.
        named: Vec<Ordinal>,
    },
    /// It may have been taken: timeout or reset after the request was written, 500, 502, 504.
    #[error("{service} may or may not have taken it: {text}")]
    Lost {
        /// Who was asked.
        service: &'static str,
        /// What was seen.
        text: String,
    },
}
