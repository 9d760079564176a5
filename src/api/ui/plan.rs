//! What a session would do: members, who would be left out, artifacts, steps. Nothing is changed.

mod forecast;

use axum::{Router, extract::State, routing::get};
use maud::{Markup, html};
use uuid::Uuid;

use super::{
    Failure, dag,
    page::{Page, Place, Theme},
    part, words,
};
use crate::{
    admit::{Api, Guards, Preview, SessionRequest, default_on_conflict},
    api::{ApiError, ApiState, actor::Actor, bosun::view, query::Query},
    db,
    model::{
        gate::Rollout,
        plan::{SliceNo, UnknownPolicy},
        session::SessionState,
        xname,
    },
};

/// The path of plans.
pub fn router() -> Router<ApiState> {
    Router::new().route("/ui/plan", get(plan))
}

/// What somebody wants to know of.
#[derive(Debug, Default)]
struct Wanted {
    template: String,
    operation: String,
    limit: String,
    include_disabled: bool,
    reboot_unknown: bool,
}

impl Wanted {
    fn of(query: &Query) -> Self {
        let text = |name| query.text(name).unwrap_or_default().trim().to_owned();
        Self {
            template: text("template"),
            operation: text("operation"),
            limit: text("limit"),
            include_disabled: query.text("include_disabled").is_some(),
            reboot_unknown: query.text("unknown") == Some("reboot"),
        }
    }

    fn request(&self, actor: Actor) -> SessionRequest {
        let name = Uuid::new_v4().to_string().parse();
        SessionRequest {
            name: name.expect("a UUID is made of letters, digits and '-'"),
            tenant: String::new(),
            operation: self.operation.clone(),
            template: self.template.clone(),
            limit: self.limit.clone(),
            include_disabled: self.include_disabled,
            stage: false,
            api: Api::Bosun,
            unknown: self.reboot_unknown.then_some(UnknownPolicy::Reboot),
            on_conflict: default_on_conflict(Api::Bosun),
            guards: Guards::default(),
            rollout: Rollout::default(),
            actor: actor.0,
        }
    }

    /// The command that starts what was planned.
    fn command(&self) -> String {
        let mut command =
            format!("bosun session create --template {} --operation {}", self.template, self.operation);
        if !self.limit.is_empty() {
            command.push_str(&format!(" --limit '{}'", self.limit.replace('\'', r"'\''")));
        }
        if self.include_disabled {
            command.push_str(" --include-disabled");
        }
        if self.reboot_unknown {
            command.push_str(" --unknown reboot");
        }
        command
    }
}

async fn plan(
    State(state): State<ApiState>,
    theme: Theme,
    actor: Actor,
    query: Query,
) -> Result<Page, Failure> {
    let wanted = Wanted::of(&query);
    let mut conn = db::acquire(&state.pool).await?;
    let templates = db::session_template::list(&mut conn, None).await?;
    drop(conn);
    let names: Vec<&str> = templates.iter().map(|template| template.name.as_str()).collect();
    let operations: Vec<&str> = state.admit.operations().collect();
    let answer = if wanted.template.is_empty() {
        html! { p.empty.dim { "Choose a template and an operation. Nothing is changed by looking." } }
    } else {
        match state.admit.plan(wanted.request(actor)).await {
            Ok(preview) => shown(&preview, &wanted),
            Err(rejection) => {
                let error = ApiError::from(rejection);
                error.log();
                html! { p.banner.tone-failed role="alert" { (part::icon("failed")) span { (error.to_string()) } } }
            }
        }
    };
    let body = html! {
        div.head { h1 { "Plan" } }
        (form(&wanted, &names, &operations))
        (answer)
    };
    Ok(Page::new("Plan").theme(theme).place(Place::Plan).body(body))
}

fn form(wanted: &Wanted, templates: &[&str], operations: &[&str]) -> Markup {
    html! {
        form.filter action="/ui/plan" method="get" aria-label="What to plan" {
            div.field {
                label for="template" { "Template" }
                input #template name="template" list="templates" value=(wanted.template) required autocomplete="off" spellcheck="false";
                datalist #templates { @for name in templates { option value=(name) {} } }
            }
            div.field {
                label for="operation" { "Operation" }
                select #operation name="operation" {
                    @for operation in operations {
                        option value=(operation) selected[wanted.operation == *operation] { (operation) }
                    }
                }
            }
            div.field.grow {
                label for="limit" { "Limit" }
                input #limit name="limit" value=(wanted.limit) placeholder="everybody" autocomplete="off" spellcheck="false";
            }
            div.field.check {
                label { input type="checkbox" name="include_disabled" value="1" checked[wanted.include_disabled]; " disabled ones, too" }
                label { input type="checkbox" name="unknown" value="reboot" checked[wanted.reboot_unknown]; " reboot nodes with unknown artifacts" }
            }
            div.field.actions { button.solid type="submit" { "Show the plan" } }
        }
    }
}

fn shown(preview: &Preview, wanted: &Wanted) -> Markup {
    let plan = &preview.plan;
    let left_out: usize = preview.skipped.iter().map(|(_, _, names)| names.len()).sum();
    html! {
        @for note in &preview.notes { p.banner.tone-waiting { (part::icon("waiting")) span { (note) } } }
        @for claim in &preview.claimed {
            p.banner.tone-halted {
                (part::icon("halted"))
                span {
                    (words::nodes(claim.components.len() as i64)) " are held by session " strong { (claim.session) } ": "
                    code { (xname::fold(&claim.components)) }
                }
            }
        }
        section.card.summary aria-label="Summary" {
            ul.counts {
                li.total { strong { (words::number(plan.members.len() as i64)) } " nodes take part" }
                li { strong { (words::number(left_out as i64)) } " are left out" }
                li { strong { (plan.steps.len()) } " steps" }
            }
            div.shell { code #command tabindex="0" { (wanted.command()) } (part::copy("command", "the command that starts it")) }
        }
        section #forecast .card {
            h2 { "What would be done" }
            (forecast::deeds(&preview.forecast))
            @if !plan.steps.is_empty() { (forecast::times(plan, &preview.forecast)) }
        }
        @if !plan.steps.is_empty() {
            section.card { h2 { "Graph" } (dag::draw(plan, None, &[], SessionState::Waiting)) }
        }
        section.card {
            h2 { "Boot sets" }
            @for (slice, number) in plan.slices.iter().zip(0..) {
                @let members: Vec<_> = plan.members.iter().filter(|m| m.slice == SliceNo(number)).map(|m| m.xname).collect();
                article.past {
                    header { h3 { (slice.boot_set) } span.count { (words::nodes(members.len() as i64)) } }
                    dl.facts.long {
                        @if let Some(boots) = &slice.artifacts {
                            div { dt { "Kernel" } dd { code { (boots.artifacts.kernel) } } }
                            div { dt { "Initrd" } dd { code { (boots.artifacts.initrd) } } }
                            div { dt { "Parameters" } dd { code { (boots.artifacts.kernel_parameters) } } }
                        }
                        @if let Some(configuration) = &slice.configuration {
                            div { dt { "Configuration" } dd { (configuration) } }
                        }
                        div { dt { "Nodes" } dd { code.names { (xname::fold(&members)) } } }
                    }
                }
            }
        }
        @if !preview.skipped.is_empty() {
            section.card {
                h2 { "Left out" }
                @for (boot_set, reason, names) in &preview.skipped {
                    article.failure.mild {
                        header {
                            (part::icon("skipped"))
                            h3 { (words::plain(reason.label())) " " span.dim { "in " (boot_set) } }
                            span.count { (words::nodes(names.len() as i64)) }
                        }
                        code.names { (view::fold(names)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_survives_a_shell() {
        let wanted = Wanted {
            template: "demo".to_owned(),
            operation: "boot".to_owned(),
            limit: "a,!b'c".to_owned(),
            include_disabled: true,
            reboot_unknown: true,
        };
        assert_eq!(
            wanted.command(),
            r"bosun session create --template demo --operation boot --limit 'a,!b'\''c' --include-disabled --unknown reboot"
        );
    }
}
