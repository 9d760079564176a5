//! `bosun session results`, `skips` and `effects`: lists that may be long, read page by page.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, Lines, ListFormat, ListOutputArgs},
};
use crate::model::xname::{self, Xname};

/// Most pages of one list: a million lines.
const PAGES_MAX: usize = 1_000;
/// Lines of a page of what has no cursor.
const PAGE: usize = 1_000;

/// `bosun session skips`, `bosun session effects`
#[derive(Args, Debug, Clone)]
pub struct ListingArgs {
    /// The session
    pub name: String,
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun session results`
#[derive(Args, Debug, Clone)]
pub struct ResultsArgs {
    /// Only of this step
    #[arg(long)]
    pub step: Option<String>,
    /// Only of this outcome
    #[arg(long, value_parser = ["succeeded", "failed", "skipped", "sent_back", "passed", "noticed"])]
    pub outcome: Option<String>,
    /// Only of this component
    #[arg(long)]
    pub component: Option<String>,
    /// Which session, and how it is printed
    #[command(flatten)]
    pub listing: ListingArgs,
}

/// Carries out `bosun session results`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn results(args: &ResultsArgs) -> Result<Exit, CliError> {
    let filters = [("step", &args.step), ("outcome", &args.outcome), ("component", &args.component)];
    let filters: Vec<_> = filters.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect();
    let lines = pages(&args.listing, "results", &filters).await?;
    let shown = Value::Array(lines);
    let lines = &Lines {
        columns: &[
            (Column::Text("AT"), "at"),
            (Column::Text("COMPONENT"), "component"),
            (Column::Text("STEP"), "step"),
            (Column::Number("RUN"), "run"),
            (Column::Text("OUTCOME"), "outcome"),
            (Column::Number("ATTEMPTS"), "attempts"),
            (Column::Text("REASON"), "reason"),
            (Column::Text("ERROR"), "error"),
        ],
        wide: &[(Column::Text("DECISION"), "decision"), (Column::Text("SENT TO"), "sent_to")],
        name: "component",
    };
    output::list(&args.listing.output, &shown, lines)?;
    Ok(Exit::Done)
}

/// Carries out `bosun session skips`: for people those left out for one reason are one line.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn skips(args: &ListingArgs) -> Result<Exit, CliError> {
    let lines = pages(args, "skips", &[]).await?;
    let for_people = matches!(args.output.output, ListFormat::Table | ListFormat::Wide);
    let shown = if for_people { grouped(&lines) } else { Value::Array(lines) };
    let lines = &Lines {
        columns: &[
            (Column::Text("WHERE"), "step"),
            (Column::Text("WHY"), "why"),
            (Column::Number("COUNT"), "count"),
            (Column::Text("COMPONENTS"), "components"),
        ],
        wide: &[],
        name: "component",
    };
    output::list(&args.output, &shown, lines)?;
    Ok(Exit::Done)
}

fn grouped(lines: &[Value]) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut groups: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in lines {
        let step = line["step"].as_str().unwrap_or("admission").to_owned();
        let (reason, error) = (text(&line["reason"]), text(&line["error"]));
        let why = if error.is_empty() { reason } else { format!("{reason}: {error}") };
        groups.entry((step, why)).or_default().push(text(&line["component"]));
    }
    let shown = groups.into_iter().map(|((step, why), names)| {
        let (nodes, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.parse::<Xname>().is_ok());
        let nodes: Vec<Xname> = nodes.iter().filter_map(|name| name.parse().ok()).collect();
        let folded = xname::fold(&nodes);
        let parts = Some(folded).filter(|folded| !folded.is_empty()).into_iter().chain(others.into_iter().cloned());
        json!({"step": step, "why": why, "count": names.len(), "components": parts.collect::<Vec<_>>().join(",")})
    });
    Value::Array(shown.collect())
}

/// Carries out `bosun session effects`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn effects(args: &ListingArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.client)?;
    let path = ["sessions", args.name.as_str(), "effects"];
    let all = by_last(&client, &path, &[], |line| line["no"].to_string()).await?;
    let lines = &Lines {
        columns: &[
            (Column::Number("NO"), "no"),
            (Column::Text("STEP"), "step"),
            (Column::Text("RUNG"), "rung"),
            (Column::Text("STATE"), "state"),
            (Column::Number("COMPONENTS"), "components"),
            (Column::Text("REFERENCE"), "reference"),
            (Column::Text("INTENDED"), "intended_at"),
            (Column::Text("ERROR"), "error"),
        ],
        wide: &[
            (Column::Text("ANSWERED"), "answered_at"),
            (Column::Text("LOST"), "lost_at"),
            (Column::Text("FOUND"), "found_at"),
            (Column::Text("SETTLED"), "settled_at"),
        ],
        name: "no",
    };
    output::list(&args.output, &all, lines)?;
    Ok(Exit::Done)
}

/// All claims that a filter leaves.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn claims(client: &Client, filters: &[(&str, &str)]) -> Result<Value, CliError> {
    by_last(client, &["claims"], filters, |line| line["component"].as_str().unwrap_or_default().to_owned())
        .await
}

/// Pages that begin after the last line of the one before.
async fn by_last(
    client: &Client,
    path: &[&str],
    filters: &[(&str, &str)],
    key: impl Fn(&Value) -> String,
) -> Result<Value, CliError> {
    let mut all: Vec<Value> = Vec::new();
    for _ in 0..PAGES_MAX {
        let after = all.last().map(&key);
        let mut query = filters.to_vec();
        query.extend(after.as_deref().map(|after| ("after", after)));
        let page: Vec<Value> = client.get(path, &query).await?;
        let full = page.len() >= PAGE;
        all.extend(page);
        if !full {
            break;
        }
    }
    Ok(Value::Array(all))
}

/// All lines of a list whose pages say where the next begins.
async fn pages(args: &ListingArgs, list: &str, filters: &[(&str, &str)]) -> Result<Vec<Value>, CliError> {
    let client = Client::new(&args.client)?;
    let mut all = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let mut query = filters.to_vec();
        query.extend(after.as_deref().map(|after| ("after", after)));
        let mut page: Value = client.get(&["sessions", &args.name, list], &query).await?;
        if let Value::Array(lines) = page[list].take() {
            all.extend(lines);
        }
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_left_out_for_one_reason_are_one_line() {
        let line = |component: &str, step: Value, error: Value| json!({"component": component, "step": step, "reason": "locked", "error": error, "at": null});
        let shown = grouped(&[
            line("x1000c0s0b0n1", Value::Null, Value::Null),
            line("x1000c0s0b0n0", Value::Null, Value::Null),
            line("lamp", json!("a/power_off"), json!("by somebody")),
        ]);
        assert_eq!(
            shown,
            json!([
                {"step": "a/power_off", "why": "locked: by somebody", "count": 1, "components": "lamp"},
                {"step": "admission", "why": "locked", "count": 2, "components": "x1000c0s0b0n[0-1]"},
            ])
        );
    }
}
